package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/policy"
)

const feedPolicy = "providers:\n  - {name: feed, url: 'https://feed.example/list', format: ipsum, refresh: 86400, levels: [{at_least: 3, action: challenge}, {at_least: 5, action: block}]}\n"

func (r *rig) begin(q Query) Attempt {
	r.Helper()
	a, err := r.Begin(context.Background(), r.app, q, 0, "")
	if err != nil {
		r.Fatalf("begin: %v", err)
	}
	return a
}

func (r *rig) setPolicy(yaml string) {
	r.Helper()
	d, err := policy.Parse([]byte(yaml))
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.SetPolicy(context.Background(), Actor{Name: "test"}, d, "", -1); err != nil {
		r.Fatal(err)
	}
}

// SEMANTICS 27: each step hides those below it.
func TestOrderOfDeciding(t *testing.T) {
	bubble(t, rules("cooling_period: 0")+feedPolicy, func(r *rig) {
		e := succeed(attacker, "alice")
		e.Session = "s1"
		r.report(e)
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Session: "s1"}
		decide := func() warder.Decision { return r.Check(r.app, &q) }
		r.want(decide(), warder.Allow, warder.OK)
		r.SetProvider("feed", func(a netip.Addr) (int, bool) { return 3, a == addr(attacker) })
		r.want(decide(), warder.Challenge, warder.Provider)
		r.SetProvider("feed", func(a netip.Addr) (int, bool) { return 5, a == addr(attacker) })
		r.want(decide(), warder.BlockAction, warder.Provider)
		if _, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: warder.AddressKey(addr("203.0.113.99"))}); err != nil {
			t.Fatal(err)
		}
		q.IP = addr("203.0.113.99")
		r.SetProvider("feed", func(netip.Addr) (int, bool) { return 5, true })
		r.want(decide(), warder.BlockAction, warder.Blocked)
		if _, err := r.Trust(context.Background(), Actor{Name: "test"}, warder.AddressKey(q.IP), "", 0); err != nil {
			t.Fatal(err)
		}
		r.want(decide(), warder.Allow, warder.Trusted)
		if _, err := r.RevokeSessions(context.Background(), Actor{Name: "test"}, RevokeRequest{Session: "s1"}); err != nil {
			t.Fatal(err)
		}
		r.want(decide(), warder.BlockAction, warder.SessionRevoked)
		r.setPolicy("enabled: false\n")
		r.want(decide(), warder.Allow, warder.Disabled)
	})
}

// What is only observed hides nothing that is enforced (SEMANTICS 27, 29).
func TestObservedHidesNothing(t *testing.T) {
	bubble(t, rules("cooling_period: 0")+feedPolicy, func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		r.setPolicy(rules("cooling_period: 0\n      mode: observe") + feedPolicy)
		d := r.check(attacker)
		r.want(d, warder.Allow, warder.OK)
		if d.Would == nil || d.Would.Action != warder.BlockAction || !d.Observe {
			t.Errorf("decision %+v, want the observed block in it", d)
		}
		r.SetProvider("feed", func(netip.Addr) (int, bool) { return 3, true })
		r.want(r.check(attacker), warder.Challenge, warder.Provider)
	})
	// Nor does a crossing that is observed, or asks for less, take away a demand.
	yaml := strings.Replace(rules("cooling_period: 600"), "action: block", "action: mfa", 1)
	for _, other := range []string{"action: block\n      mode: observe", "action: challenge"} {
		other = "    - id: other\n      events: ['*_LOGIN_SUCCESS']\n      key: ip\n      threshold: 1\n      time_range: 60\n      cooling_period: 60\n      " + other + "\n"
		bubble(t, yaml+other, func(r *rig) {
			for range 5 {
				r.report(fail(attacker, "alice"))
			}
			a := r.begin(Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"})
			r.want(r.settle(a, warder.Success).Decision, warder.MFA, warder.DemandStanding)
		})
	}
}

// SEMANTICS 23.
func TestSettlementIsFinal(t *testing.T) {
	q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
	t.Run("block", func(t *testing.T) {
		bubble(t, "", func(r *rig) {
			a := r.begin(q)
			for i := range 5 {
				r.report(fail(attacker, fmt.Sprint("user", i)))
			}
			res, err := r.Settle(context.Background(), r.app, a.Token, Settlement{Outcome: warder.Success, Session: "s1"})
			if err != nil {
				t.Fatal(err)
			}
			r.want(res.Decision, warder.BlockAction, warder.Blocked)
			// An application that opens the session all the same has it ended.
			r.want(r.Check(r.app, &Query{IP: addr("198.51.100.1"), Session: "s1"}), warder.BlockAction, warder.SessionRevoked)
			if len(r.j.peek().known) != 0 {
				t.Error("a refused sign-in made its source known")
			}
		})
	})
	challenge := strings.Replace(rules("cooling_period: 600"), "action: block", "action: challenge", 1)
	t.Run("challenge met", func(t *testing.T) {
		bubble(t, challenge, func(r *rig) {
			for range 5 {
				r.report(fail(attacker, "bob"))
			}
			q := q
			q.Clearance, _ = r.Cleared(q.IP, q.Realm)
			for range clearanceUses - 1 {
				r.settle(r.begin(q), warder.Failure)
			}
			r.want(r.settle(r.begin(q), warder.Success).Decision, warder.Allow, warder.OK)
		})
	})
	t.Run("challenge too late", func(t *testing.T) {
		bubble(t, challenge, func(r *rig) {
			a := r.begin(q)
			for range 5 {
				r.report(fail(attacker, "bob"))
			}
			r.want(r.check(attacker), warder.Challenge, warder.DemandStanding)
			r.want(r.settle(a, warder.Success).Decision, warder.Allow, warder.OK)
		})
	})
	t.Run("mfa", func(t *testing.T) {
		bubble(t, strings.Replace(challenge, "action: challenge", "action: mfa", 1), func(r *rig) {
			a := r.begin(q)
			for range 5 {
				r.report(fail(attacker, "bob"))
			}
			r.want(r.settle(a, warder.Success).Decision, warder.MFA, warder.DemandStanding)
			if len(r.j.peek().known) != 0 {
				t.Error("the password alone completed a sign-in that MFA was demanded for")
			}
		})
	})
	t.Run("mfa over", func(t *testing.T) {
		// What is answered with allow is a completed sign-in.
		bubble(t, strings.Replace(rules("cooling_period: 20"), "action: block", "action: mfa", 1), func(r *rig) {
			for range 5 {
				r.report(fail(attacker, "bob"))
			}
			a := r.begin(q)
			r.want(a.Decision, warder.MFA, warder.DemandStanding)
			time.Sleep(21 * time.Second)
			r.want(r.settle(a, warder.Success).Decision, warder.Allow, warder.OK)
			if len(r.j.peek().known) == 0 {
				t.Error("an allowed sign-in was not completed")
			}
		})
	})
}

// SEMANTICS 39.
func TestClearanceIsGoodForOneSignIn(t *testing.T) {
	bubble(t, strings.Replace(rules("cooling_period: 3600"), "action: block", "action: challenge", 1), func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "bob"))
		}
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		q.Clearance, _ = r.Cleared(q.IP, q.Realm)
		r.settle(r.begin(q), warder.Success)
		r.want(r.begin(q).Decision, warder.Challenge, warder.DemandStanding)

		q.Clearance, _ = r.Cleared(q.IP, q.Realm)
		time.Sleep(15 * time.Minute)
		r.want(r.begin(q).Decision, warder.Challenge, warder.DemandStanding)

		q.Clearance, _ = r.Cleared(q.IP, "admin")
		r.want(r.begin(q).Decision, warder.Challenge, warder.DemandStanding)
	})
}

// Whoever is refused by a list cannot fill the journal by changing what they
// send (SEMANTICS 35, 57).
func TestRefusalsOfOneSourceAreOne(t *testing.T) {
	bubble(t, rules("cooling_period: 0")+feedPolicy, func(r *rig) {
		r.SetProvider("feed", func(netip.Addr) (int, bool) { return 5, true })
		refs := map[string]bool{}
		for i := range 100 {
			q := Query{IP: addr(fmt.Sprintf("2001:db8::%x", i+1)), Session: fmt.Sprint("s", i), Account: fmt.Sprint("a", i), Realm: "user", Event: "USER_LOGIN"}
			refs[r.Check(r.app, &q).Reference] = true
			refs[r.begin(q).Decision.Reference] = true
		}
		time.Sleep(time.Second)
		if n, told := len(r.j.peek().refusals), len(r.j.named(warder.SuspiciousIP)); n != 1 || told != 1 || len(refs) != 1 {
			t.Errorf("%d refusals, %d events, %d references, want one of each", n, told, len(refs))
		}
	})
	// The first refusal is told of, whichever way it came.
	bubble(t, rules("cooling_period: 0")+feedPolicy, func(r *rig) {
		r.SetProvider("feed", func(netip.Addr) (int, bool) { return 5, true })
		r.begin(Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"})
		r.report(fail("203.0.113.67", "alice"))
		time.Sleep(time.Second)
		if n := len(r.j.named(warder.SuspiciousIP)); n != 2 {
			t.Errorf("%d events of two refused sources", n)
		}
	})
}

// SEMANTICS 37: a session is bound to its latest address, however often that
// changes, and the changes cost little.
func TestSessionsAreWrittenTogether(t *testing.T) {
	bubble(t, "", func(r *rig) {
		e := succeed("203.0.113.5", "alice")
		e.Session = "s1"
		r.report(e)
		for i := range 200 { // a client with two address families
			ip := "203.0.113.5"
			if i%2 == 0 {
				ip = "2001:db8::5"
			}
			r.want(r.Check(r.app, &Query{IP: addr(ip), Session: "s1"}), warder.Allow, warder.OK)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if n := r.j.peek().sessionRows; n > 5 {
			t.Errorf("200 uses of a session within 2 s made %d rows", n)
		}
		// The use just before the Block is not missed.
		r.Check(r.app, &Query{IP: addr(attacker), Session: "s1"})
		for i := range 5 {
			r.report(fail(attacker, fmt.Sprint("x", i)))
		}
		r.want(r.Check(r.app, &Query{IP: addr("203.0.113.5"), Session: "s1"}), warder.BlockAction, warder.SessionRevoked)
	})
}

// SEMANTICS 16: while a Demand stands its own rule rests, also for a known
// source, which the Demand spares and which distinct rules count.
func TestRuleRestsWhileItsDemandStands(t *testing.T) {
	yaml := strings.NewReplacer("key: ip", "key: account\n      distinct: ip", "action: block", "action: challenge").Replace(rules("cooling_period: 600"))
	bubble(t, yaml, func(r *rig) {
		r.report(succeed("203.0.113.200", "alice"))
		for i := range 5 {
			r.report(fail(fmt.Sprintf("198.51.100.%d", i+1), "alice"))
		}
		known, strange := Query{IP: addr("203.0.113.200"), Account: "alice", Realm: "user"}, Query{IP: addr(attacker), Account: "alice", Realm: "user"}
		r.want(r.Check(r.app, &strange), warder.Challenge, warder.DemandStanding)
		r.want(r.Check(r.app, &known), warder.Allow, warder.OK)
		r.report(fail("203.0.113.200", "alice"))
		if n := r.Explain(known).Counters[0].Count; n != 0 {
			t.Errorf("the rule counts %d while its demand stands, want 0", n)
		}
		time.Sleep(601 * time.Second)
		r.report(fail("203.0.113.200", "alice"))
		if n := r.Explain(known).Counters[0].Count; n != 1 {
			t.Errorf("the rule counts %d after its demand, want 1", n)
		}
	})
}

// A session that its user ended is gone, also after a restart and although it
// was used a moment ago, and is no revocation (SEMANTICS 37).
func TestLogoutForgetsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newMemJournal()
		r := newRig(t, j, "")
		open := func(id string) {
			e := succeed("203.0.113.5", "alice")
			e.Session = id
			r.report(e)
		}
		open("s1")
		open("s2")
		for _, id := range []string{"s1", "s2"} { // dirty, and not written yet
			r.Check(r.app, &Query{IP: addr("198.51.100.5"), Session: id})
		}
		if _, err := r.RevokeSessions(context.Background(), Actor{Name: "test"}, RevokeRequest{Session: "s2"}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"s1", "s2", "never opened"} {
			r.report(warder.Event{Name: warder.Logout, IP: addr("198.51.100.5"), Account: "alice", Realm: "user", Session: id})
		}
		time.Sleep(2 * time.Second)
		r.stop()
		r = newRig(t, j, "")
		defer r.stop()
		if n := r.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are live after their logouts", n)
		}
		if len(j.sessions) != 1 || len(j.revoked) != 1 || j.revoked[0].Session != "s2" {
			t.Errorf("kept sessions %v, revocations %v, want s2 alone", j.sessions, j.revoked)
		}
		r.want(r.Check(r.app, &Query{IP: addr("203.0.113.5"), Session: "s1"}), warder.Allow, warder.OK)
		r.want(r.Check(r.app, &Query{IP: addr("203.0.113.5"), Session: "s2"}), warder.BlockAction, warder.SessionRevoked)
	})
}

// Revoked sessions are remembered up to a bound, the last ones surely.
func TestRevokedSessionsAreBounded(t *testing.T) {
	s := newSessions(16)
	now := time.Now()
	for i := range 10_000 {
		s.revoke(fmt.Sprint(i), now.Add(time.Duration(i)*time.Second))
	}
	if n := len(s.revoked); n != 16*revokedTimes || !s.isRevoked("9999") {
		t.Errorf("%d are remembered, the last %t", n, s.isRevoked("9999"))
	}
}

// SEMANTICS 47: an id belongs to the key that chose it.
func TestIdsOfTwoKeys(t *testing.T) {
	bubble(t, "", func(r *rig) {
		in := Incoming{Event: fail(attacker, "alice"), Digest: []byte("d")}
		in.Event.ID = "1"
		level := func() int { return r.Explain(Query{IP: addr(attacker)}).Counters[0].Count }
		res := r.Report(context.Background(), r.app, []Incoming{in, in})
		if res[0].Err != nil || res[1].Err != nil || level() != 1 {
			t.Fatalf("twice in one batch: %+v, counted %d", res, level())
		}
		other := &App{ID: "other"}
		if res := r.Report(context.Background(), other, []Incoming{in}); res[0].Err != nil || level() != 2 {
			t.Fatalf("from another key: %+v, counted %d", res, level())
		}
		in.Event.ID = "2"
		changed := in
		changed.Digest = []byte("e")
		if res := r.Report(context.Background(), r.app, []Incoming{in, changed}); res[0].Err != nil || !errors.Is(res[1].Err, ErrConflict) {
			t.Fatalf("two bodies under one id in a batch: %+v", res)
		}
		in.Event.ID = "3"
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { r.Report(context.Background(), r.app, []Incoming{in}) })
		}
		wg.Wait()
		if level() != 4 {
			t.Errorf("50 parallel repeats: counted %d, want 4", level())
		}
	})
}

// A repeated announcement is the same attempt, also while the first one waits.
func TestRepeatedAttempts(t *testing.T) {
	bubble(t, "", func(r *rig) {
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		first, err := r.Begin(context.Background(), r.app, q, 0, "k")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.Begin(context.Background(), r.app, q, 0, "k"); err != nil || again.Token != first.Token {
			t.Errorf("repeat: %+v, %v", again, err)
		}
		elsewhere := q
		elsewhere.Account = "bob"
		if _, err := r.Begin(context.Background(), r.app, elsewhere, 0, "k"); !errors.Is(err, ErrConflict) {
			t.Errorf("another attempt under the same name: %v, want conflict", err)
		}
		others := []Attempt{first}
		for range 4 {
			others = append(others, r.begin(q))
		}
		var tokens [2]string
		var wg sync.WaitGroup
		for i := range tokens {
			wg.Go(func() {
				a, err := r.Begin(context.Background(), r.app, q, 5*time.Second, "waiting")
				if err != nil {
					t.Errorf("waiting: %v", err)
				}
				tokens[i] = a.Token
			})
		}
		synctest.Wait()
		for _, a := range others {
			r.settle(a, warder.Success)
		}
		wg.Wait()
		if tokens[0] == "" || tokens[0] != tokens[1] {
			t.Error("two repeats that waited are two attempts")
		}
		r.mu.Lock()
		n := len(r.attempts.m)
		r.mu.Unlock()
		if n != 1 {
			t.Errorf("%d attempts under way, want 1", n)
		}
	})
}

// Whoever has a session ended could otherwise send it along and guess
// uncounted ever after.
func TestRevokedSessionIsNoCover(t *testing.T) {
	bubble(t, "", func(r *rig) {
		e := succeed("198.51.100.3", "mallory")
		e.Session = "ended"
		r.report(e)
		if _, err := r.RevokeSessions(context.Background(), Actor{Name: "test"}, RevokeRequest{Session: "ended"}); err != nil {
			t.Fatal(err)
		}
		var d warder.Decision
		for i := range 5 {
			guess := fail(attacker, fmt.Sprint("victim", i))
			guess.Session = "ended"
			d = r.report(guess).Decision
		}
		r.want(d, warder.BlockAction, warder.Threshold)
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
	})
}

func TestPhonesThatAskForTheDesktopSite(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"Chrome/Android", "Chrome/Linux", true},
		{"Safari/macOS", "Safari/iOS", true},
		{"Chrome/Android", "Chrome/Windows", false},
		{"Chrome/Android", "Firefox/Linux", false},
		{"Chrome/Windows", "Chrome/Windows", true},
	} {
		if got := sameAgent(tt.a, tt.b); got != tt.same {
			t.Errorf("%s and %s: same is %t, want %t", tt.a, tt.b, got, tt.same)
		}
	}
}

func TestPolicyWithoutRulesIsDegraded(t *testing.T) {
	bubble(t, "enabled: true\n", func(r *rig) {
		time.Sleep(3 * time.Second)
		if d := r.Degraded(); len(d) != 1 || d[0].Reason != DegradedNoRules {
			t.Errorf("degraded: %+v", d)
		}
	})
}

// TestExplainRefusesNobody: whoever asks why is not refused. The first request
// that is refused is told of as if nobody had asked.
func TestExplainRefusesNobody(t *testing.T) {
	bubble(t, rules("cooling_period: 0")+feedPolicy, func(r *rig) {
		r.SetProvider("feed", func(netip.Addr) (int, bool) { return 5, true })
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user"}
		if d := r.Explain(q).Decision; d.Action != warder.BlockAction || d.Reference != "" {
			t.Errorf("%+v, want a refusal that nobody met yet", d)
		}
		time.Sleep(time.Second)
		if n := len(r.j.peek().refusals); n != 0 {
			t.Errorf("%d refusals of nobody", n)
		}
		d := r.Check(r.app, &q)
		time.Sleep(time.Second)
		if n, told := len(r.j.peek().refusals), len(r.j.named(warder.SuspiciousIP)); n != 1 || told != 1 || d.Reference == "" {
			t.Errorf("%d refusals, %d events, reference %q", n, told, d.Reference)
		}
		if x := r.Explain(q).Decision; x.Reference != d.Reference {
			t.Errorf("explained as %q, was %q", x.Reference, d.Reference)
		}
	})
}

// TestSettledAttemptsAreLetGo: an attempt that is settled is kept only for those
// who gave it a name, and of these no more than so many bytes: strangers choose
// the texts of attempts.
func TestSettledAttemptsAreLetGo(t *testing.T) {
	bubble(t, "", func(r *rig) {
		begin := func(name string) weak.Pointer[attempt] {
			a, err := r.Begin(context.Background(), r.app, Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}, 0, name)
			if err != nil {
				t.Fatal(err)
			}
			var held weak.Pointer[attempt]
			r.mu.Lock()
			for _, under := range r.attempts.m {
				held = weak.Make(under)
			}
			r.mu.Unlock()
			r.settle(a, warder.Success)
			return held
		}
		unnamed, named := begin(""), begin("one")
		runtime.GC()
		if unnamed.Value() != nil {
			t.Error("a settled attempt is still held")
		}
		if named.Value() == nil {
			t.Error("a settled attempt with a name is forgotten")
		}
		long := "/" + strings.Repeat("x", warder.MaxPath-1)
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range 40_000 {
			a := &attempt{id: strconv.Itoa(i), q: Query{Path: long}, answer: Attempt{Token: long}}
			r.attempts.name(recentKey{"app", a.id}, a)
		}
		sum := 0
		for _, a := range r.attempts.idem {
			sum += a.bytes()
		}
		if sum != r.attempts.named || sum > maxNamedBytes || sum < maxNamedBytes/2 {
			t.Errorf("attempts with names take %d bytes, counted as %d", sum, r.attempts.named)
		}
	})
}

// SEMANTICS 29, 32: a Block that is only observed since its rule is does not
// stand in for the Block of another rule.
func TestObservedBlockMakesRoom(t *testing.T) {
	two := func(mode string) string {
		return strings.Replace(rules("cooling_period: 0\n      mode: "+mode), "['*_LOGIN_FAILURE']", "[USER_LOGIN_FAILURE]", 1) +
			"    - {id: second, events: [MFA_FAILURE], key: ip, threshold: 5, time_range: 3600, cooling_period: 900, action: block}\n"
	}
	bubble(t, two("enforce"), func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		r.setPolicy(two("observe"))
		r.want(r.check(attacker), warder.Allow, warder.OK)
		e := fail(attacker, "alice")
		e.Name = warder.MFAFailure
		for range 5 {
			r.report(e)
		}
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		if x := r.Explain(Query{IP: addr(attacker)}); len(x.Blocks) != 1 || x.Blocks[0].Rule != "second" {
			t.Errorf("blocks %+v, want that of the second rule alone", x.Blocks)
		}
	})
}
