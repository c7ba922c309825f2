package guard

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warderhq/warder"
)

// clone is what a start would find now, with or without the checkpoint.
func (m *memJournal) clone(checkpoint bool) *memJournal {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemJournal()
	c.no, c.policy = m.no, m.policy
	c.events, c.known, c.revoked, c.clears = slices.Clone(m.events), slices.Clone(m.known), slices.Clone(m.revoked), slices.Clone(m.clears)
	for id, b := range m.blocks {
		k := *b
		c.blocks[id] = &k
	}
	c.demands, c.trusted, c.sessions, c.marks = maps.Clone(m.demands), maps.Clone(m.trusted), maps.Clone(m.sessions), maps.Clone(m.marks)
	if checkpoint {
		c.shards = maps.Clone(m.shards)
	}
	return c
}

// picture is all that decisions come from, but for slots that are held.
func (r *rig) picture(ips, accounts, devices, sessions []string) map[string]string {
	out := make(map[string]string)
	for _, ip := range ips {
		for _, account := range accounts {
			for _, device := range devices {
				x := r.Explain(Query{IP: addr(ip), Account: account, Realm: "user", Device: device})
				var parts []string
				for _, c := range x.Counters {
					parts = append(parts, fmt.Sprintf("%s %d", c.Rule, c.Count))
				}
				for _, b := range x.Blocks {
					parts = append(parts, fmt.Sprint("block ", b.ID, b.Until))
				}
				for _, d := range x.Demands {
					parts = append(parts, fmt.Sprint("demand ", d.ID, d.Until))
				}
				slices.Sort(parts)
				out[ip+" "+account+" "+device] = fmt.Sprint(x.Decision.Action, x.Decision.Reason, x.Known, x.Shared, parts)
			}
		}
		r.mu.Lock()
		out["steps of "+ip] = fmt.Sprint(r.steps.count(warder.Subject{IP: warder.AddressKey(addr(ip))}, r.now()))
		r.mu.Unlock()
	}
	for _, id := range sessions {
		out["session "+id] = fmt.Sprint(r.sessions.isRevoked(id), r.SessionAccount(id))
	}
	return out
}

const manyRules = `mode: enforce
activity:
  rules:
    - {id: by_ip, events: ['*_LOGIN_FAILURE', MFA_FAILURE], key: ip, threshold: 5, time_range: 600, action: block, escalate: [60, 120, 300]}
    - {id: pair, events: ['*_LOGIN_FAILURE'], key: ip+account, threshold: 3, time_range: 900, cooling_period: 200, action: challenge}
    - {id: account, events: ['*_LOGIN_FAILURE'], key: account, threshold: 6, time_range: 900, cooling_period: 120, action: block}
    - {id: many, events: ['*_LOGIN_FAILURE'], key: ip, distinct: account, threshold: 4, time_range: 900, cooling_period: 90, action: block}
    - {id: spread, events: ['*_LOGIN_FAILURE'], key: account, distinct: ip, threshold: 4, time_range: 900, cooling_period: 100, action: mfa}
    - {id: watch, events: ['*_LOGIN_*'], key: ip, threshold: 7, time_range: 600, cooling_period: 60, action: block, mode: observe}
    - {id: coarse, events: ['*_LOGIN_FAILURE'], key: realm, threshold: 200, time_range: 600, cooling_period: 60, action: challenge}
`

// SEMANTICS 48: whatever happened, a start finds the counters, Blocks, Demands,
// steps and sessions that there were, from the checkpoint or without it.
func TestRestartRebuildsTheSame(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) { restartAtRandom(t, rand.New(rand.NewPCG(seed, 7)), seed) })
	}
}

func restartAtRandom(t *testing.T, rnd *rand.Rand, seed uint64) {
	r := newRig(t, newMemJournal(), manyRules)
	defer r.stop()
	ips := []string{"203.0.113.1", "203.0.113.2", "203.0.113.3", "2001:db8::1", "10.0.0.2"}
	accounts, devices, sessions := []string{"alice", "bob", "carol", "dave", "erin"}, []string{"", "d1", "d2"}, []string{"s1", "s2", "s3"}
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	by, ctx := Actor{Name: "test"}, context.Background()
	apps := []*App{r.app, r.app, r.app, {ID: "own", Own: true}}
	type open struct {
		app   *App
		token string
	}
	var attempts []open
	for step := range 150 {
		e := fail(pick(ips), pick(accounts))
		e.Device = pick(devices)
		if rnd.IntN(4) == 0 {
			e.Time = r.now().Add(time.Duration(rnd.IntN(1200)-1000) * time.Second)
		}
		app, key := apps[rnd.IntN(len(apps))], warder.AddressKey(e.IP)
		report := func() { r.Report(ctx, app, []Incoming{{Event: e}}) }
		switch what := rnd.IntN(40); {
		case what < 16:
			if rnd.IntN(2) == 0 {
				e.Guess.Same = strconv.Itoa(rnd.IntN(4))
			}
			report()
		case what < 19:
			e.Name, e.Session = "USER_LOGIN_SUCCESS", pick(append(sessions, ""))
			report()
		case what < 22:
			e.Name = []string{warder.MFAFailure, warder.MFAFailure, warder.MFASuccess}[rnd.IntN(3)]
			report()
		case what < 26:
			q := Query{IP: e.IP, Account: e.Account, Realm: "user", Device: e.Device, Event: "USER_LOGIN"}
			if a, err := r.Begin(ctx, app, q, 0, ""); err == nil && a.Token != "" {
				attempts = append(attempts, open{app, a.Token})
			}
		case what < 31 && len(attempts) > 0:
			i := rnd.IntN(len(attempts))
			s := Settlement{Outcome: []warder.Outcome{warder.Failure, warder.Success, warder.OutcomeError}[rnd.IntN(3)]}
			if rnd.IntN(3) == 0 {
				s.Account = pick(accounts)
			}
			_, _ = r.Settle(ctx, attempts[i].app, attempts[i].token, s) // too late, now and then
			attempts = slices.Delete(attempts, i, i+1)
		case what < 32:
			clear := []ClearRequest{{IP: key}, {Account: e.Account, Realm: "user"}}
			if err := r.ClearCounters(ctx, by, clear[rnd.IntN(2)]); err != nil {
				t.Fatal(err)
			}
		case what < 33:
			verdict := []string{VerdictError, VerdictResolved}[rnd.IntN(2)]
			_, _ = r.Lift(ctx, Actor{Name: "test", Urgent: rnd.IntN(2) == 0}, Lift{IP: key, Verdict: verdict})
		case what < 34:
			_, _ = r.Block(ctx, by, NewBlock{IP: key, Duration: time.Duration(rnd.IntN(100)) * time.Second})
		case what < 35:
			_, _ = r.Trust(ctx, by, key, "", time.Duration(1+rnd.IntN(60))*time.Second)
		case what < 36:
			e.Name, e.Session = warder.Logout, pick(sessions)
			report()
		default:
			time.Sleep(time.Duration(rnd.IntN(40)) * time.Second)
		}
		if rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		}
		if step%10 != 9 {
			continue
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		want := r.picture(ips, accounts, devices, sessions)
		for _, checkpoint := range []bool{true, false} {
			anew := newRig(t, r.j.clone(checkpoint), manyRules)
			got := anew.picture(ips, accounts, devices, sessions)
			anew.stop()
			for _, k := range slices.Sorted(maps.Keys(want)) {
				if want[k] != got[k] {
					t.Fatalf("seed %d, step %d, checkpoint %t, %s:\nbefore %s\nafter  %s", seed, step, checkpoint, k, want[k], got[k])
				}
			}
		}
	}
}

// What is known when an attempt is settled late is not what was known when its
// failure was written: a replay takes back what was counted.
func TestLateSettlementOfAnotherAccount(t *testing.T) {
	for _, s := range []Settlement{{Outcome: warder.OutcomeError}, {Outcome: warder.Success, Account: "alice@example.org"}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, newMemJournal(), "")
			a := r.begin(Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"})
			time.Sleep(31 * time.Second)
			e := succeed(attacker, "alice") // makes the source known, and takes out what is older
			e.Time = r.now().Add(-20 * time.Second)
			r.report(e)
			if _, err := r.Settle(context.Background(), r.app, a.Token, s); err != nil {
				t.Fatal(err)
			}
			r.stop()
			anew := newRig(t, r.j.clone(false), "")
			defer anew.stop()
			for _, account := range []string{"alice", "bob"} {
				for _, c := range anew.Explain(Query{IP: addr(attacker), Account: account, Realm: "user"}).Counters {
					if c.Count != 0 {
						t.Errorf("settled as %s: %s of %s stands at %d after a replay", s.Outcome, c.Rule, account, c.Count)
					}
				}
			}
		})
	}
}

// A rule by address rests at the dashboard while a Block of the address stands,
// also in a replay.
func TestDashboardRestsInAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemJournal(), "")
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		own := &App{ID: "own", Own: true}
		for i := range 4 {
			e := fail(attacker, fmt.Sprint("operator", i))
			e.Realm = "warder"
			r.Report(context.Background(), own, []Incoming{{Event: e}})
		}
		r.lift(attacker, VerdictResolved)
		r.stop()
		anew := newRig(t, r.j.clone(false), "")
		defer anew.stop()
		if n := anew.Explain(Query{IP: addr(attacker), Account: "bob"}).Counters[0].Count; n != 0 {
			t.Errorf("the counter of an address that was lifted stands at %d after a replay", n)
		}
	})
}
