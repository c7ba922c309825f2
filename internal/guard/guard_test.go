package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// rig is an engine with its journal, running in a synctest bubble.
type rig struct {
	*testing.T
	*Guard
	j    *memJournal
	app  *App
	stop func()
}

// newRig starts an engine on j under a policy; "" is the preset classic.
func newRig(t *testing.T, j *memJournal, yaml string) *rig {
	t.Helper()
	doc, err := policy.Preset("classic")
	if err != nil {
		t.Fatal(err)
	}
	if yaml != "" {
		if doc, err = policy.Parse([]byte(yaml)); err != nil {
			t.Fatal(err)
		}
	}
	g, err := New(Options{
		Journal: j, Counters: counter.New(counter.Options{Bytes: 16 << 20, Secret: testSecret}), Secret: testSecret, Preset: doc,
		Protected: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.2/32")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(t.Name(), "Long") {
		g.every = time.Minute // days pass in these
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	r := &rig{T: t, Guard: g, j: j, app: &App{ID: "app", CanChallenge: true, CanMFA: true}}
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	return r
}

// bubble runs a test with a fake clock.
func bubble(t *testing.T, yaml string, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemJournal(), yaml)
		defer r.stop()
		f(r)
	})
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func fail(ip, account string) warder.Event {
	return warder.Event{Name: "USER_LOGIN_FAILURE", IP: addr(ip), Account: account, Realm: "user", Path: "/login", Method: "POST"}
}

func succeed(ip, account string) warder.Event {
	e := fail(ip, account)
	e.Name = "USER_LOGIN_SUCCESS"
	return e
}

func (r *rig) report(e warder.Event) Reported {
	r.Helper()
	res := r.Report(context.Background(), r.app, []Incoming{{Event: e}})[0]
	if res.Err != nil {
		r.Fatalf("report %s: %v", e.Name, res.Err)
	}
	return res
}

func (r *rig) check(ip string) warder.Decision {
	return r.Check(r.app, &Query{IP: addr(ip)})
}

func (r *rig) want(d warder.Decision, action warder.Action, why warder.Why) {
	r.Helper()
	if d.Action != action || d.Reason != why {
		r.Fatalf("decision is %s (%s), want %s (%s)", d.Action, d.Reason, action, why)
	}
}

const attacker = "203.0.113.66"

func TestFiveFailuresBlock(t *testing.T) {
	bubble(t, "", func(r *rig) {
		want := []warder.Severity{warder.Warning, warder.High, warder.High, warder.High, warder.Critical}
		for i, severity := range want {
			res := r.report(fail(attacker, "alice"))
			if res.Severity != severity {
				t.Errorf("failure %d has severity %s, want %s", i+1, res.Severity, severity)
			}
			if i < 4 {
				r.want(res.Decision, warder.Allow, warder.OK)
			} else {
				r.want(res.Decision, warder.BlockAction, warder.Threshold)
			}
		}
		sixth := r.report(fail(attacker, "alice"))
		r.want(sixth.Decision, warder.BlockAction, warder.Blocked)
		if sixth.Severity != warder.High {
			t.Errorf("a failure during a block has severity %s, want high", sixth.Severity)
		}
		d := r.check(attacker)
		r.want(d, warder.BlockAction, warder.Blocked)
		if len(d.Reference) != 9 || !strings.Contains(d.Message, d.Reference) || d.ExpiresAt != nil {
			t.Errorf("decision %+v", d)
		}
		r.want(r.check("203.0.113.67"), warder.Allow, warder.OK)
		if blocks, alerts, audits := r.j.counts(); blocks != 1 || alerts != 1 || audits != 1 {
			t.Errorf("%d blocks, %d alerts, %d audit rows, want one of each", blocks, alerts, audits)
		}
		if n := len(r.j.named(warder.ThresholdExceeded)); n != 1 {
			t.Errorf("%d THRESHOLD_EXCEEDED events, want 1", n)
		}
	})
}

func TestRestartForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newMemJournal()
		r := newRig(t, j, "")
		for range 4 {
			r.report(fail(attacker, "alice"))
		}
		for range 5 {
			r.report(fail("203.0.113.9", "bob"))
		}
		r.stop()
		for _, lose := range []bool{false, true} {
			if lose { // the checkpoint: the journal alone must do
				j.shards = map[int]Shard{}
			}
			r = newRig(t, j, "")
			r.want(r.check("203.0.113.9"), warder.BlockAction, warder.Blocked)
			x := r.Explain(Query{IP: addr(attacker), Account: "alice", Realm: "user"})
			// Without an address or a device there is no source to speak of.
			for _, step := range r.Explain(Query{Account: "alice", Realm: "user"}).Steps {
				if strings.Contains(step, "this source") {
					t.Errorf("of an account alone it is said: %s", step)
				}
			}
			if x.Counters[0].Count != 4 {
				t.Fatalf("lose checkpoint %t: counter stands at %d after a restart, want 4", lose, x.Counters[0].Count)
			}
			r.stop()
		}
		r = newRig(t, j, "")
		r.want(r.report(fail(attacker, "alice")).Decision, warder.BlockAction, warder.Threshold)
		r.stop()
	})
}

func TestClearSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newMemJournal()
		r := newRig(t, j, "")
		for range 4 {
			r.report(fail(attacker, "alice"))
		}
		if err := r.ClearCounters(context.Background(), Actor{Name: "test"}, ClearRequest{IP: warder.AddressKey(addr(attacker))}); err != nil {
			t.Fatal(err)
		}
		r.stop()
		for _, lose := range []bool{false, true} {
			if lose {
				j.shards = map[int]Shard{}
			}
			r = newRig(t, j, "")
			r.want(r.report(fail(attacker, "alice")).Decision, warder.Allow, warder.OK)
			r.stop()
		}
	})
}

func TestSuccessTakesOutItsShare(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for range 4 {
			r.report(fail(attacker, "alice"))
		}
		r.report(succeed(attacker, "alice"))
		for range 4 {
			r.want(r.report(fail(attacker, "bob")).Decision, warder.Allow, warder.OK)
		}
		// Alice's success helps Alice only.
		r.report(succeed(attacker, "alice"))
		r.want(r.report(fail(attacker, "bob")).Decision, warder.BlockAction, warder.Threshold)
	})
}

func TestMFALoopIsClosed(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for i := range 5 {
			r.report(succeed(attacker, "alice"))
			e := fail(attacker, "alice")
			e.Name = warder.MFAFailure
			d := r.report(e).Decision
			if i < 4 {
				r.want(d, warder.Allow, warder.OK)
			} else {
				// The known source is judged apart, with the same result.
				r.want(d, warder.BlockAction, warder.Threshold)
			}
		}
	})
}

func TestKnownSourceIsJudgedApart(t *testing.T) {
	bubble(t, "", func(r *rig) {
		r.report(succeed("203.0.113.5", "alice"))
		for range 4 {
			r.report(fail("203.0.113.5", "alice"))
		}
		for range 4 {
			r.want(r.report(fail("203.0.113.5", "mallory")).Decision, warder.Allow, warder.OK)
		}
		r.want(r.report(fail("203.0.113.5", "mallory")).Decision, warder.BlockAction, warder.Threshold)
	})
}

func TestSameGuessCountsOnce(t *testing.T) {
	bubble(t, "", func(r *rig) {
		e := fail("203.0.113.20", "alice")
		e.Guess.Same = "abcd12"
		for range 20 {
			r.want(r.report(e).Decision, warder.Allow, warder.OK)
		}
		for i := range 4 {
			e.Guess.Same = fmt.Sprintf("ab%02d", i)
			d := r.report(e).Decision
			if i == 3 {
				r.want(d, warder.BlockAction, warder.Threshold)
			}
		}
	})
}

func TestTrustedIsNeverCountedNorRefused(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		trusted, err := r.Trust(context.Background(), Actor{Name: "test"}, netip.MustParsePrefix("203.0.113.66/32"), "", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		r.want(r.check(attacker), warder.Allow, warder.Trusted)
		for range 20 {
			r.want(r.report(fail(attacker, "alice")).Decision, warder.Allow, warder.Trusted)
		}
		if err := r.Untrust(context.Background(), Actor{Name: "test"}, trusted.ID); err != nil {
			t.Fatal(err)
		}
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked) // it lifted nothing
	})
}

func TestTrustEndsByItself(t *testing.T) {
	bubble(t, "", func(r *rig) {
		if _, err := r.Trust(context.Background(), Actor{Name: "test"}, netip.MustParsePrefix("203.0.113.0/24"), "", time.Minute); err != nil {
			t.Fatal(err)
		}
		r.want(r.check(attacker), warder.Allow, warder.Trusted)
		time.Sleep(time.Minute)
		r.want(r.check(attacker), warder.Allow, warder.OK)
	})
}

func TestSelfProtectedIsAlertedNotBlocked(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for i := range 9 {
			r.want(r.report(fail("10.0.0.2", fmt.Sprint("user", i))).Decision, warder.Allow, warder.OK)
		}
		if blocks, alerts, _ := r.j.counts(); blocks != 0 || alerts != 1 {
			t.Errorf("%d blocks, %d alerts, want 0 and 1", blocks, alerts)
		}
		for i := range 10 {
			d := r.report(fail("10.0.0.2", "victim")).Decision
			if i == 9 {
				r.want(d, warder.BlockAction, warder.Threshold) // rules with the account act
			}
		}
	})
}

func TestCoolingPeriodEndsByItself(t *testing.T) {
	bubble(t, rules("cooling_period: 2"), func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		d := r.check(attacker)
		r.want(d, warder.BlockAction, warder.Blocked)
		if d.ExpiresAt == nil || d.RetryAfter == nil || *d.RetryAfter != 2 {
			t.Errorf("decision %+v", d)
		}
		time.Sleep(2 * time.Second)
		r.want(r.check(attacker), warder.Allow, warder.OK)
		time.Sleep(time.Second)
		if n := len(r.j.named(warder.IPUnblocked)); n != 1 {
			t.Errorf("%d IP_UNBLOCKED events, want 1", n)
		}
		// After a release counting starts at 0.
		r.want(r.report(fail(attacker, "alice")).Decision, warder.Allow, warder.OK)
	})
}

func TestPermanentBlockStaysLong(t *testing.T) {
	bubble(t, rules("cooling_period: 0"), func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		time.Sleep(400 * 24 * time.Hour)
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
	})
}

func TestEscalationLong(t *testing.T) {
	bubble(t, rules("escalate: [10, 60, 300]"), func(r *rig) {
		for _, want := range []int64{10, 60, 300, 300} {
			for range 4 {
				r.report(fail(attacker, "alice"))
			}
			d := r.report(fail(attacker, "alice")).Decision
			r.want(d, warder.BlockAction, warder.Threshold)
			if *d.RetryAfter != want {
				t.Fatalf("block lasts %d s, want %d", *d.RetryAfter, want)
			}
			time.Sleep(time.Duration(want)*time.Second + 2*time.Minute)
		}
		// Lifted by an operator: not a step.
		time.Sleep(8 * 24 * time.Hour)
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		r.lift(attacker, VerdictResolved)
		for range 4 {
			r.report(fail(attacker, "alice"))
		}
		if d := r.report(fail(attacker, "alice")).Decision; *d.RetryAfter != 10 {
			t.Fatalf("after 7 quiet days and a lift a block lasts %d s, want 10", *d.RetryAfter)
		}
	})
}

func (r *rig) lift(ip, verdict string) {
	r.Helper()
	if _, err := r.Lift(context.Background(), Actor{Name: "cli:0"}, Lift{IP: warder.AddressKey(addr(ip)), Verdict: verdict}); err != nil {
		r.Fatal(err)
	}
}

func TestLiftStartsAtZero(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		if _, err := r.Lift(context.Background(), Actor{}, Lift{IP: warder.AddressKey(addr(attacker))}); err == nil {
			t.Error("a lift without a verdict is accepted")
		}
		if b := r.j.lastAlert().Block; len(b.Members) != 5 {
			t.Errorf("the block has %d pieces of evidence, want 5", len(b.Members))
		}
		r.lift(attacker, VerdictError)
		r.want(r.check(attacker), warder.Allow, warder.OK)
		for range 4 {
			r.want(r.report(fail(attacker, "alice")).Decision, warder.Allow, warder.OK)
		}
		r.want(r.report(fail(attacker, "alice")).Decision, warder.BlockAction, warder.Threshold)
		if a, err := r.Begin(context.Background(), r.app, Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}, 0, ""); err != nil || a.Token != "" {
			t.Errorf("an attempt from a blocked address: %+v, %v", a, err)
		}
	})
}

func TestLiftUnderWiderBlock(t *testing.T) {
	bubble(t, "", func(r *rig) {
		if _, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: netip.MustParsePrefix("203.0.113.0/24")}); err != nil {
			t.Fatal(err)
		}
		_, err := r.Lift(context.Background(), Actor{}, Lift{IP: warder.AddressKey(addr(attacker)), Verdict: VerdictResolved})
		covered := (*CoveredError)(nil)
		if !errors.As(err, &covered) || covered.By.Subject.IP.String() != "203.0.113.0/24" {
			t.Errorf("error is %v, want the block of 203.0.113.0/24 named", err)
		}
		if _, err := r.Lift(context.Background(), Actor{}, Lift{IP: netip.MustParsePrefix("198.51.100.1/32"), Verdict: VerdictResolved}); !errors.Is(err, ErrNotFound) {
			t.Errorf("error is %v, want not found", err)
		}
	})
}

func TestManualBlockSparesOwnAndTrusted(t *testing.T) {
	bubble(t, "", func(r *rig) {
		if _, err := r.Trust(context.Background(), Actor{}, netip.MustParsePrefix("198.51.100.7/32"), "", 0); err != nil {
			t.Fatal(err)
		}
		for prefix, what := range map[string]string{
			"10.0.0.0/24": "self_protected", "127.0.0.1/32": "self_protected", "198.51.100.0/24": "trusted",
			"11.0.0.0/7": "too_wide", "2000::/16": "too_wide",
		} {
			_, err := r.Block(context.Background(), Actor{}, NewBlock{IP: netip.MustParsePrefix(prefix).Masked()})
			if o := (*OverlapError)(nil); !errors.As(err, &o) || o.What != what {
				t.Errorf("block %s: %v, want an overlap with %s", prefix, err, what)
			}
		}
	})
}

func TestLongestBlockIsReported(t *testing.T) {
	bubble(t, "", func(r *rig) {
		short, _ := r.Block(context.Background(), Actor{}, NewBlock{IP: netip.MustParsePrefix("203.0.113.66/32"), Duration: time.Minute})
		long, _ := r.Block(context.Background(), Actor{}, NewBlock{IP: netip.MustParsePrefix("203.0.113.0/24"), Duration: time.Hour})
		if d := r.check(attacker); d.BlockID != long.ID {
			t.Errorf("block %s is reported, want the longer %s", d.BlockID, long.ID)
		}
		time.Sleep(2 * time.Minute)
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		r.liftID(long.ID)
		r.want(r.check(attacker), warder.Allow, warder.OK)
		_ = short
	})
}

func (r *rig) liftID(id string) {
	r.Helper()
	if _, err := r.Lift(context.Background(), Actor{}, Lift{IDs: []string{id}, Verdict: VerdictResolved}); err != nil {
		r.Fatal(err)
	}
}

func TestObserveOnlyWatches(t *testing.T) {
	bubble(t, strings.Replace(rules("cooling_period: 0"), "mode: enforce", "mode: observe", 1), func(r *rig) {
		for range 4 {
			r.report(fail(attacker, "alice"))
		}
		d := r.report(fail(attacker, "alice")).Decision
		r.want(d, warder.Allow, warder.OK)
		if !d.Observe || d.Would == nil || d.Would.Action != warder.BlockAction || d.Would.Rule != "r" {
			t.Errorf("decision %+v", d)
		}
		r.want(r.check(attacker), warder.Allow, warder.OK)
		if _, alerts, _ := r.j.counts(); alerts != 0 {
			t.Errorf("%d alerts in observe mode, want none", alerts)
		}
		if _, err := r.Block(context.Background(), Actor{}, NewBlock{IP: netip.MustParsePrefix("203.0.113.66/32")}); err != nil {
			t.Fatal(err)
		}
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked) // by hand it is enforced
	})
}

func TestOffStoresOnly(t *testing.T) {
	bubble(t, "enabled: false\n"+rules("cooling_period: 0"), func(r *rig) {
		for range 20 {
			r.want(r.report(fail(attacker, "alice")).Decision, warder.Allow, warder.Disabled)
		}
		if n := len(r.j.named("USER_LOGIN_FAILURE")); n != 20 {
			t.Errorf("%d events stored, want 20", n)
		}
	})
}

// rules is a policy of one rule like the first of classic.
func rules(rest string) string {
	return "mode: enforce\nactivity:\n  rules:\n    - id: r\n      events: ['*_LOGIN_FAILURE']\n      key: ip\n      threshold: 5\n      time_range: 3600\n      action: block\n      " + rest + "\n"
}

func TestDemandIsMetByClearance(t *testing.T) {
	yaml := strings.Replace(rules("cooling_period: 600"), "action: block", "action: challenge", 1)
	bubble(t, yaml, func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		r.want(r.check(attacker), warder.Challenge, warder.DemandStanding)
		clearance, _ := r.Cleared(addr(attacker), "user")
		q := Query{IP: addr(attacker), Realm: "user", Clearance: clearance}
		r.want(r.Check(r.app, &q), warder.Allow, warder.OK)
		elsewhere := q
		elsewhere.IP = addr("203.0.113.70")
		if _, ok := r.clearance(&elsewhere, r.now()); ok {
			t.Error("a clearance is good from another address")
		}
		// Three attempts, then it is used up.
		q.Account, q.Event = "alice", "USER_LOGIN"
		for range 3 {
			a, err := r.Begin(context.Background(), r.app, q, 0, "")
			if err != nil || a.Token == "" {
				t.Fatalf("attempt with a clearance: %+v, %v", a, err)
			}
			r.settle(a, warder.Failure)
		}
		a, _ := r.Begin(context.Background(), r.app, q, 0, "")
		r.want(a.Decision, warder.Challenge, warder.DemandStanding)
		if a.Token != "" {
			t.Error("an attempt is given while a challenge is due")
		}
		// Its own rule did not count while the Demand stood.
		time.Sleep(11 * time.Minute)
		r.want(r.check(attacker), warder.Allow, warder.OK)
		if x := r.Explain(Query{IP: addr(attacker)}); x.Counters[0].Count != 0 {
			t.Errorf("the rule of a standing demand counted to %d", x.Counters[0].Count)
		}
	})
}

// A Demand that an operator lifts is gone, once, with a row in the audit trail;
// the rule counts from zero again.
func TestLiftDemand(t *testing.T) {
	yaml := strings.Replace(rules("cooling_period: 600"), "action: block", "action: challenge", 1)
	bubble(t, yaml, func(r *rig) {
		demand := func() string {
			t.Helper()
			for range 5 {
				r.report(fail(attacker, "alice"))
			}
			r.want(r.check(attacker), warder.Challenge, warder.DemandStanding)
			return r.Explain(Query{IP: addr(attacker)}).Demands[0].ID
		}
		id := demand()
		ctx := context.Background()
		if _, err := r.LiftDemand(ctx, Actor{Name: "operator:ann"}, "nonsense", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown demand: %v", err)
		}
		if _, err := r.LiftDemand(ctx, Actor{Name: "operator:ann"}, id, strings.Repeat("x", 2000)); err == nil {
			t.Error("a reason without end")
		}
		d, err := r.LiftDemand(ctx, Actor{Name: "operator:ann"}, id, "it was Alice")
		if err != nil || d.Subject.IP != warder.AddressKey(addr(attacker)) {
			t.Fatalf("%+v, %v", d, err)
		}
		r.want(r.check(attacker), warder.Allow, warder.OK)
		if r.j.mu.Lock(); r.j.demands[id] != nil {
			t.Error("it stands in the journal")
		}
		r.j.mu.Unlock()
		if _, err := r.LiftDemand(ctx, Actor{Name: "operator:ann"}, id, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("lifted twice: %v", err)
		}
		id = demand() // five failures again, not fewer
		time.Sleep(11 * time.Minute)
		if _, err := r.LiftDemand(ctx, Actor{}, id, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("one that is over: %v", err)
		}
	})
}

func TestMFADemandIsMetLong(t *testing.T) {
	yaml := strings.Replace(rules("cooling_period: 86400"), "action: block", "action: mfa", 1)
	bubble(t, yaml, func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		a, err := r.Begin(context.Background(), r.app, q, 0, "")
		if err != nil || a.Token == "" {
			t.Fatalf("attempt: %+v, %v", a, err)
		}
		r.want(a.Decision, warder.MFA, warder.DemandStanding)
		r.settle(a, warder.Success)
		if len(r.j.peek().sessions) != 0 || len(r.j.peek().known) != 0 {
			t.Error("the password alone completed a sign-in that MFA was demanded for")
		}
		mfa := succeed(attacker, "alice")
		mfa.Name, mfa.Session = warder.MFASuccess, "s1"
		r.report(mfa)
		r.want(r.Check(r.app, &q), warder.Allow, warder.OK)
		if _, ok := r.j.peek().sessions["s1"]; !ok {
			t.Error("MFA_SUCCESS did not complete the sign-in")
		}
		time.Sleep(25 * time.Hour)
	})
}

func TestActionTheAppCannotPerform(t *testing.T) {
	yaml := strings.Replace(rules("cooling_period: 600"), "action: block", "action: challenge", 1)
	bubble(t, yaml, func(r *rig) {
		r.app = &App{ID: "simple"}
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		d := r.check(attacker)
		r.want(d, warder.Allow, warder.OK)
		if d.Would == nil || d.Would.Action != warder.Challenge || d.Observe {
			t.Errorf("decision %+v", d)
		}
	})
}

func (r *rig) settle(a Attempt, o warder.Outcome) Reported {
	r.Helper()
	res, err := r.Settle(context.Background(), r.app, a.Token, Settlement{Outcome: o, Reason: ""})
	if err != nil {
		r.Fatalf("settle: %v", err)
	}
	return res
}

func TestParallelWrongPasswords(t *testing.T) {
	bubble(t, "", func(r *rig) {
		var mu sync.Mutex
		checked := 0
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				q := Query{IP: addr(attacker), Account: fmt.Sprint("user", i%7), Realm: "user", Event: "USER_LOGIN"}
				a, err := r.Begin(context.Background(), r.app, q, 2*time.Second, "")
				if err != nil || a.Token == "" {
					return
				}
				mu.Lock()
				checked++
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				r.settle(a, warder.Failure)
			})
		}
		wg.Wait()
		if checked != 5 {
			t.Errorf("%d passwords were checked, want exactly 5", checked)
		}
		if blocks, alerts, audits := r.j.counts(); blocks != 1 || alerts != 1 || audits != 1 {
			t.Errorf("%d blocks, %d alerts, %d audit rows, want one of each", blocks, alerts, audits)
		}
	})
}

func TestParallelRightPasswords(t *testing.T) {
	bubble(t, "", func(r *rig) {
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				q := Query{IP: addr(attacker), Account: fmt.Sprint("user", i), Realm: "user", Event: "USER_LOGIN"}
				a, err := r.Begin(context.Background(), r.app, q, 2*time.Second, "")
				if err != nil || a.Token == "" {
					t.Errorf("sign-in %d: %+v, %v", i, a, err)
					return
				}
				time.Sleep(100 * time.Millisecond)
				if res := r.settle(a, warder.Success); res.Decision.Action != warder.Allow {
					t.Errorf("sign-in %d: %+v", i, res)
				}
			})
		}
		wg.Wait()
	})
}

func TestUnsettledAttempts(t *testing.T) {
	bubble(t, "", func(r *rig) {
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		var tokens []Attempt
		for range 5 {
			a, err := r.Begin(context.Background(), r.app, q, 0, "")
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, a)
		}
		if _, err := r.Begin(context.Background(), r.app, q, 0, ""); !errors.Is(err, ErrBusy) {
			t.Errorf("a sixth attempt gets %v, want busy", err)
		}
		time.Sleep(31 * time.Second)
		d := r.check(attacker)
		r.want(d, warder.BlockAction, warder.Blocked)
		if d.RetryAfter == nil || *d.RetryAfter > 900 {
			t.Errorf("a block by unsettled attempts lasts %v s, want 900 at most", d.RetryAfter)
		}
		if _, err := r.Settle(context.Background(), r.app, tokens[0].Token, Settlement{Outcome: warder.Success}); err != nil {
			t.Errorf("late settlement: %v", err)
		}
		if _, err := r.Settle(context.Background(), r.app, tokens[0].Token, Settlement{Outcome: warder.Success}); !errors.Is(err, ErrConflict) {
			t.Errorf("second settlement: %v, want conflict", err)
		}
		time.Sleep(11 * time.Minute)
		if _, err := r.Settle(context.Background(), r.app, tokens[1].Token, Settlement{Outcome: warder.Success}); !errors.Is(err, ErrNotFound) {
			t.Errorf("settlement after the grace: %v, want not found", err)
		}
	})
}

func TestLateSettlementReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newMemJournal()
		r := newRig(t, j, "")
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		a, _ := r.Begin(context.Background(), r.app, q, 0, "")
		time.Sleep(31 * time.Second)
		level := func() int { return r.Explain(Query{IP: addr(attacker), Account: "bob"}).Counters[0].Count }
		if level() != 1 {
			t.Fatalf("an unsettled attempt counts %d, want 1", level())
		}
		if _, err := r.Settle(context.Background(), r.app, a.Token, Settlement{Outcome: warder.OutcomeError}); err != nil {
			t.Fatal(err)
		}
		if level() != 0 {
			t.Fatalf("after its late settlement it counts %d, want 0", level())
		}
		r.stop()
		j.shards = map[int]Shard{}
		r = newRig(t, j, "")
		if level() != 0 {
			t.Fatalf("after a replay it counts %d, want 0", level())
		}
		r.stop()
	})
}

func TestSettlementAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newMemJournal()
		r := newRig(t, j, "")
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		a, _ := r.Begin(context.Background(), r.app, q, 0, "")
		r.stop()
		r = newRig(t, j, "")
		r.settle(a, warder.Failure)
		if _, err := r.Settle(context.Background(), r.app, a.Token, Settlement{Outcome: warder.Failure}); !errors.Is(err, ErrConflict) {
			t.Errorf("second settlement: %v, want conflict", err)
		}
		r.stop()
		r = newRig(t, j, "")
		if _, err := r.Settle(context.Background(), r.app, a.Token, Settlement{Outcome: warder.Failure}); !errors.Is(err, ErrConflict) {
			t.Errorf("second settlement after another restart: %v, want conflict", err)
		}
		r.stop()
	})
}

// SEMANTICS 24: who settles late after a restart still replaces the failure
// that was written meanwhile, once.
func TestLateSettlementAfterRestart(t *testing.T) {
	for name, keep := range map[string]bool{"from the checkpoint": true, "from the journal": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newMemJournal()
				r := newRig(t, j, "")
				level := func() int { return r.Explain(Query{IP: addr(attacker), Account: "bob"}).Counters[0].Count }
				restart := func() {
					r.stop()
					if !keep {
						j.shards = map[int]Shard{}
					}
					r = newRig(t, j, "")
				}
				q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
				a, _ := r.Begin(context.Background(), r.app, q, 0, "")
				time.Sleep(31 * time.Second)
				restart()
				if level() != 1 {
					t.Fatalf("after a restart an unsettled attempt counts %d, want 1", level())
				}
				if res := r.settle(a, warder.Success); res.Decision.Action != warder.Allow {
					t.Errorf("a late success is answered %s", res.Decision.Action)
				}
				if level() != 0 {
					t.Errorf("after its late settlement it counts %d, want 0", level())
				}
				for range 2 {
					if _, err := r.Settle(context.Background(), r.app, a.Token, Settlement{Outcome: warder.Failure}); !errors.Is(err, ErrConflict) {
						t.Errorf("second late settlement: %v, want conflict", err)
					}
					restart()
				}
				if level() != 0 {
					t.Errorf("after another restart it counts %d, want 0", level())
				}
				if e := j.named("USER_LOGIN_SUCCESS"); len(e) != 1 || e[0].Replaces != j.named("USER_LOGIN_FAILURE")[0].Seq {
					t.Errorf("journaled %+v, want one success that replaces the failure", e)
				}
				r.stop()
			})
		})
	}
}

func TestOutageBlocksNobody(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for i := range 200 {
			for range 10 {
				q := Query{IP: addr(fmt.Sprintf("198.51.100.%d", i%200+1)), Account: fmt.Sprint("user", i), Realm: "user", Event: "USER_LOGIN"}
				a, err := r.Begin(context.Background(), r.app, q, 0, "")
				if err != nil || a.Token == "" {
					t.Fatalf("attempt: %+v, %v", a, err)
				}
				r.settle(a, warder.OutcomeError)
			}
		}
		if blocks, _, _ := r.j.counts(); blocks != 0 {
			t.Errorf("%d blocks during an outage", blocks)
		}
	})
}

func TestSharedAddressIsSpared(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for i := range 37 {
			r.report(succeed("203.0.113.200", fmt.Sprint("staff", i)))
			r.report(succeed(fmt.Sprintf("198.51.100.%d", i+1), fmt.Sprint("other", i)))
		}
		var d warder.Decision
		for i := range 5 {
			d = r.report(fail("203.0.113.200", fmt.Sprint("stranger", i))).Decision
		}
		r.want(d, warder.BlockAction, warder.Threshold)
		if d.RetryAfter == nil || *d.RetryAfter != 900 {
			t.Errorf("the block of a shared address lasts %v, want 900 s", d.RetryAfter)
		}
		alert := r.j.lastAlert()
		if alert.GoodAccounts != 37 || alert.Block.Cut != policy.CutShared {
			t.Errorf("alert names %d accounts and cut %q", alert.GoodAccounts, alert.Block.Cut)
		}
	})
}

func TestProxyIsSuspectedNotBlocked(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for i := range 25 {
			r.report(succeed("198.51.100.9", fmt.Sprint("user", i)))
		}
		for i := range 9 {
			r.want(r.report(fail("198.51.100.9", fmt.Sprint("x", i))).Decision, warder.Allow, warder.OK)
		}
		time.Sleep(time.Second)
		if d := r.Degraded(); len(d) != 1 || d[0].Reason != DegradedSuspect {
			t.Errorf("degraded: %+v", d)
		}
		kinds := map[string]int{}
		for _, a := range r.j.peek().alerts {
			kinds[a.Kind]++
		}
		if kinds[AlertSuspect] != 1 {
			t.Errorf("alerts: %v, want one that says what to configure", kinds)
		}
	})
}

func TestBlastRadius(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for i := range 100 {
			r.report(succeed(fmt.Sprintf("198.51.100.%d", i+1), fmt.Sprint("user", i)))
		}
		long, short := 0, 0
		for i := range 20 {
			var d warder.Decision
			for n := range 5 {
				d = r.report(fail(fmt.Sprintf("198.51.100.%d", i+1), fmt.Sprint("x", n))).Decision
			}
			if d.RetryAfter == nil {
				long++
			} else {
				short++
			}
		}
		if long != 10 || short != 10 {
			t.Errorf("%d permanent blocks and %d short ones, want 10 and 10", long, short)
		}
		if d := r.Degraded(); !slices.ContainsFunc(d, func(d Degradation) bool { return d.Reason == DegradedBlast }) {
			t.Errorf("degraded: %+v", d)
		}
		told := 0
		for _, a := range r.j.peek().alerts {
			if a.Kind == AlertBlastRadius {
				told++
			}
		}
		if told != 1 {
			t.Errorf("%d alerts about it, want 1", told)
		}
	})
}

func TestHijackedSessionEnds(t *testing.T) {
	bubble(t, "", func(r *rig) {
		e := succeed("203.0.113.5", "alice")
		e.Session, e.UserAgent = "sess-1", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
		r.report(e)
		q := Query{IP: addr("203.0.113.5"), Session: "sess-1", UserAgent: e.UserAgent}
		r.want(r.Check(r.app, &q), warder.Allow, warder.OK)
		phone := q
		phone.IP = addr("198.51.100.1") // one change of network is a phone that leaves the house
		r.want(r.Check(r.app, &phone), warder.Allow, warder.OK)
		thief := q
		thief.UserAgent = "curl/8.5.0"
		r.Check(r.app, &thief)
		time.Sleep(time.Second)
		r.want(r.Check(r.app, &q), warder.BlockAction, warder.SessionRevoked)
		if n := len(r.j.named(warder.SessionHijackSuspected)); n != 1 {
			t.Errorf("%d hijack events, want 1", n)
		}
		if len(r.j.peek().revoked) != 1 || r.j.peek().revoked[0].Session != "sess-1" {
			t.Errorf("revocations: %+v", r.j.peek().revoked)
		}
	})
}

// More stolen sessions at once than fit are told of at their next use.
func TestManyHijackedSessionsEnd(t *testing.T) {
	bubble(t, "", func(r *rig) {
		const many = 1200
		thief := func(i int) warder.Decision {
			return r.Check(r.app, &Query{IP: addr("198.51.100.1"), Session: fmt.Sprintf("sess-%d", i), UserAgent: "curl/8.5.0"})
		}
		for i := range many {
			e := succeed("203.0.113.5", "alice")
			e.Session, e.UserAgent = fmt.Sprintf("sess-%d", i), "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
			r.report(e)
		}
		r.mu.Lock() // the engine is busy
		for i := range many {
			thief(i)
		}
		r.mu.Unlock()
		for range 2 {
			time.Sleep(time.Second)
			for i := range many {
				thief(i)
			}
		}
		for i := range many {
			if d := thief(i); d.Reason != warder.SessionRevoked {
				t.Fatalf("session %d: %s %s", i, d.Action, d.Reason)
			}
		}
	})
}

func TestTwoNetworksAtOnce(t *testing.T) {
	bubble(t, "", func(r *rig) {
		e := succeed("203.0.113.5", "alice")
		e.Session = "sess-1"
		r.report(e)
		for range 3 {
			for _, ip := range []string{"198.51.100.1", "203.0.113.5"} {
				r.Check(r.app, &Query{IP: addr(ip), Session: "sess-1"})
				time.Sleep(time.Second)
			}
		}
		if n := len(r.j.named(warder.SessionHijackSuspected)); n != 1 {
			t.Errorf("%d hijack events, want 1", n)
		}
	})
}

func TestBlockEndsSessions(t *testing.T) {
	bubble(t, "", func(r *rig) {
		e := succeed(attacker, "mallory")
		e.Session = "stolen"
		r.report(e)
		for i := range 5 {
			r.report(fail(attacker, fmt.Sprint("x", i)))
		}
		r.want(r.Check(r.app, &Query{IP: addr("198.51.100.1"), Session: "stolen"}), warder.BlockAction, warder.SessionRevoked)
		time.Sleep(time.Second)
		if n := len(r.j.named(warder.SessionTerminated)); n != 1 {
			t.Errorf("%d SESSION_TERMINATED events, want 1", n)
		}
	})
}

func TestRepeatsAreHarmless(t *testing.T) {
	bubble(t, "", func(r *rig) {
		in := Incoming{Event: fail(attacker, "alice"), Digest: []byte("d1")}
		in.Event.ID = "e-1"
		for range 10 {
			res := r.Report(context.Background(), r.app, []Incoming{in})[0]
			if res.Err != nil || res.Severity != warder.Warning {
				t.Fatalf("repeat: %+v", res)
			}
			time.Sleep(10 * time.Second)
		}
		if n := len(r.j.named("USER_LOGIN_FAILURE")); n != 1 {
			t.Errorf("%d events stored, want 1", n)
		}
		in.Digest = []byte("d2")
		if res := r.Report(context.Background(), r.app, []Incoming{in})[0]; !errors.Is(res.Err, ErrConflict) {
			t.Errorf("another body under the same id: %v, want conflict", res.Err)
		}
	})
}

func TestBrokenJournal(t *testing.T) {
	bubble(t, "", func(r *rig) {
		r.j.mu.Lock()
		r.j.broken = errDisk
		r.j.mu.Unlock()
		for i := range 5 {
			res := r.Report(context.Background(), r.app, []Incoming{{Event: fail(attacker, "alice")}})[0]
			if !errors.Is(res.Err, ErrNotDurable) || res.ID == "" {
				t.Fatalf("failure %d: %v, want not durable with an id", i, res.Err)
			}
		}
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked) // enforced all the same
		// All events of a call wait together, not one after the other.
		begun := time.Now()
		for i, res := range r.Report(context.Background(), r.app, []Incoming{{Event: succeed(attacker, "a")}, {Event: succeed(attacker, "b")}, {Event: succeed(attacker, "c")}}) {
			if !errors.Is(res.Err, ErrNotDurable) {
				t.Errorf("event %d of a call: %v, want not durable", i, res.Err)
			}
		}
		if took := time.Since(begun); took != durabilityPatience {
			t.Errorf("a call was answered after %s, want %s", took, durabilityPatience)
		}
		if d := r.Degraded(); len(d) != 1 || d[0].Reason != DegradedStore {
			t.Errorf("degraded: %+v", d)
		}
		if _, err := r.Block(context.Background(), Actor{Name: "key:x"}, NewBlock{IP: netip.MustParsePrefix("198.51.100.1/32")}); !errors.Is(err, ErrBusy) {
			t.Errorf("a change without its audit row: %v, want busy", err)
		}
		r.want(r.check("198.51.100.1"), warder.Allow, warder.OK)
		if _, err := r.Lift(context.Background(), Actor{Name: "cli:0", Urgent: true}, Lift{IP: warder.AddressKey(addr(attacker)), Verdict: VerdictResolved}); err != nil {
			t.Errorf("urgent lift: %v", err)
		}
		r.want(r.check(attacker), warder.Allow, warder.OK)
		r.j.mu.Lock()
		r.j.broken = nil
		r.j.mu.Unlock()
		time.Sleep(3 * time.Second)
		if len(r.Degraded()) != 0 {
			t.Errorf("still degraded: %+v", r.Degraded())
		}
		if n := len(r.j.named("USER_LOGIN_FAILURE")); n != 5 {
			t.Errorf("%d events journaled after recovery, want 5", n)
		}
		if blocks, _, audits := r.j.counts(); blocks != 1 || audits != 2 {
			t.Errorf("%d blocks, %d audit rows after recovery, want 1 and 2", blocks, audits)
		}
	})
}

func TestPolicyChangeRecounts(t *testing.T) {
	bubble(t, rules("cooling_period: 60"), func(r *rig) {
		for range 3 {
			r.report(fail(attacker, "alice"))
		}
		d, err := policy.Parse([]byte(strings.Replace(rules("cooling_period: 60"), "threshold: 5", "threshold: 3", 1)))
		if err != nil {
			t.Fatal(err)
		}
		rev, err := r.SetPolicy(context.Background(), Actor{Name: "test"}, d, "stricter", 0)
		if err != nil || rev.N != 1 {
			t.Fatalf("revision %+v, %v", rev, err)
		}
		r.want(r.check(attacker), warder.Allow, warder.OK) // nothing happens until the next hit
		r.want(r.report(fail(attacker, "alice")).Decision, warder.BlockAction, warder.Threshold)
		if _, err := r.SetPolicy(context.Background(), Actor{}, d, "", 0); !errors.Is(err, ErrStale) {
			t.Errorf("a change of an old revision: %v, want stale", err)
		}
	})
}

func TestProviderRefusesBeforeAnySignIn(t *testing.T) {
	yaml := rules("cooling_period: 0") + "providers:\n  - {name: feed, url: 'https://feed.example/list', format: ipsum, refresh: 86400, levels: [{at_least: 3, action: challenge}, {at_least: 5, action: block}]}\n"
	bubble(t, yaml, func(r *rig) {
		r.SetProvider("feed", func(a netip.Addr) (int, bool) {
			return map[netip.Addr]int{addr("203.0.113.1"): 1, addr("203.0.113.3"): 3, addr("203.0.113.5"): 7, addr("10.0.0.2"): 9}[a], true
		})
		r.want(r.check("203.0.113.1"), warder.Allow, warder.OK)
		r.want(r.check("203.0.113.3"), warder.Challenge, warder.Provider)
		d := r.check("203.0.113.5")
		r.want(d, warder.BlockAction, warder.Provider)
		if again := r.check("203.0.113.5"); again.Reference != d.Reference || d.Reference == "" {
			t.Errorf("references %q and %q", d.Reference, again.Reference)
		}
		r.want(r.check("10.0.0.2"), warder.Allow, warder.OK) // ourselves
		time.Sleep(time.Second)
		if len(r.j.peek().refusals) != 1 || r.j.peek().refusals[0].Reference != d.Reference {
			t.Errorf("refusals: %+v", r.j.peek().refusals)
		}
		// A refusal by a feed is no Block and never becomes one.
		for range 6 {
			r.want(r.report(fail("203.0.113.5", "alice")).Decision, warder.BlockAction, warder.Provider)
		}
		if blocks, _, _ := r.j.counts(); blocks != 0 {
			t.Errorf("%d blocks", blocks)
		}
	})
}

func TestHistoryVerdicts(t *testing.T) {
	yaml := rules("cooling_period: 0") + "history:\n  enabled: true\n  lookback: 86400\n  criteria: [{when: marked_fraudulent, at_least: 1, action: block}]\n"
	bubble(t, yaml, func(r *rig) {
		if err := r.Mark(context.Background(), Actor{}, addr(attacker), true, "known fraud"); err != nil {
			t.Fatal(err)
		}
		r.want(r.check(attacker), warder.BlockAction, warder.History)
		if err := r.Mark(context.Background(), Actor{}, addr(attacker), false, ""); err != nil {
			t.Fatal(err)
		}
		r.want(r.check(attacker), warder.Allow, warder.OK)
	})
}

func TestRefusalsAreCountedOnTheBlock(t *testing.T) {
	bubble(t, "", func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		id := r.check(attacker).BlockID
		for range 999 {
			r.check(attacker)
		}
		time.Sleep(10 * time.Second)
		if r.j.peek().hits[id] != 1000 {
			t.Errorf("%d refusals on the block, want 1000", r.j.peek().hits[id])
		}
		if n := len(r.j.named(warder.SuspiciousIP)); n != 1 {
			t.Errorf("%d events for a thousand refusals in one minute, want 1", n)
		}
	})
}

func TestWaitersGetTheDecisionAtOnce(t *testing.T) {
	bubble(t, "", func(r *rig) {
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		var held []Attempt
		for range 5 {
			a, _ := r.Begin(context.Background(), r.app, q, 0, "")
			held = append(held, a)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				a, err := r.Begin(context.Background(), r.app, q, 10*time.Second, "")
				if err != nil || a.Decision.Action != warder.BlockAction {
					t.Errorf("waiter got %+v, %v", a, err)
				}
			})
		}
		synctest.Wait()
		for _, a := range held {
			r.settle(a, warder.Failure)
		}
		wg.Wait()
		if d := time.Since(start); d > time.Second {
			t.Errorf("waiters were told after %s", d)
		}
	})
}

func TestForgedTokensAreRefused(t *testing.T) {
	bubble(t, "", func(r *rig) {
		a, _ := r.Begin(context.Background(), r.app, Query{IP: addr(attacker), Event: "USER_LOGIN"}, 0, "")
		for _, token := range []string{"", "x", "a.b", a.Token + "x", "A" + a.Token, strings.Replace(a.Token, ".", "..", 1)} {
			if _, err := r.Settle(context.Background(), r.app, token, Settlement{}); !errors.Is(err, ErrNotFound) {
				t.Errorf("token %q: %v, want not found", token, err)
			}
		}
		if _, err := r.Settle(context.Background(), &App{ID: "other"}, a.Token, Settlement{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("another application's token: %v, want not found", err)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	g := &Guard{secret: testSecret}
	f.Add(g.seal("attempt", attemptToken{ID: "x"}))
	f.Add("a.b")
	f.Fuzz(func(t *testing.T, token string) {
		var v attemptToken
		if err := g.unseal("attempt", token, &v); err == nil && g.seal("attempt", v) != token {
			t.Errorf("token %q was never sealed", token)
		}
	})
}

func FuzzReference(f *testing.F) {
	f.Add("7K3M-22QP")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := parseReference(s); ok && formatReference(n) != s {
			t.Errorf("%q is read as %q", s, formatReference(n))
		}
		var n uint64
		for _, b := range []byte(s) {
			n = (n<<8 | uint64(b)) & (1<<40 - 1)
		}
		if got, ok := parseReference(formatReference(n)); !ok || got != n {
			t.Errorf("%s, which was given, is read as %d, %t, want %d", formatReference(n), got, ok, n)
		}
	})
}

func TestReferencesNeverRepeat(t *testing.T) {
	r := newReferences(testSecret)
	seen := map[uint64]bool{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 100_000 {
		n := r.next(now)
		if seen[n] {
			t.Fatalf("reference %s repeats", formatReference(n))
		}
		seen[n] = true
	}
}

// TestReferencesAfterAnImport: an import of many blocks uses up the references of
// minutes to come. A restart meanwhile does not give them out again: whom an
// operator lifts by a reference must be the one who read it out.
func TestReferencesAfterAnImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // bubbles begin before references do
		j := newMemJournal()
		r := newRig(t, j, "")
		list := make([]NewBlock, 3000)
		for i := range list {
			list[i].IP = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32)
		}
		if _, err := r.ImportBlocks(context.Background(), Actor{}, list); err != nil {
			t.Fatal(err)
		}
		r.stop()
		time.Sleep(time.Second)
		r = newRig(t, j, "")
		defer r.stop()
		b, err := r.Block(context.Background(), Actor{}, NewBlock{IP: netip.MustParsePrefix("203.0.113.67/32")})
		if err != nil {
			t.Fatal(err)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, o := range j.blocks {
			if o.Reference == b.Reference && o.ID != b.ID {
				t.Errorf("the reference %s of %s is also that of %s", b.Reference, b.Subject.IP, o.Subject.IP)
			}
		}
	})
}

func TestStoredTimeIsNeverAhead(t *testing.T) {
	bubble(t, "", func(r *rig) {
		level := func() int { return r.Explain(Query{IP: addr(attacker), Account: "bob"}).Counters[0].Count }
		early := fail(attacker, "alice")
		early.Time = time.Now().Add(-2 * time.Hour)
		r.report(early)
		if n := level(); n != 0 {
			t.Errorf("an event older than its window counts %d, want 0", n)
		}
		late := fail(attacker, "alice")
		late.Time = time.Now().Add(4 * time.Minute)
		r.report(late)
		time.Sleep(time.Hour - time.Second)
		if n := level(); n != 1 {
			t.Errorf("an event of a fast clock counts %d within its window, want 1", n)
		}
		time.Sleep(2 * time.Second)
		if n := level(); n != 0 {
			t.Errorf("an event of a fast clock counts %d after its window, want 0", n)
		}
	})
}
