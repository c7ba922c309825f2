package guard

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warderhq/warder"
)

// TestStepsDown: whoever can pose challenges but ask for no second factor, and
// says so, poses a challenge where MFA is demanded; a clearance meets it. Others
// are answered allow, with what was wanted.
func TestStepsDown(t *testing.T) {
	yaml := strings.Replace(rules("cooling_period: 600"), "action: block", "action: mfa", 1)
	bubble(t, yaml, func(r *rig) {
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		gate := &App{ID: "gate", CanChallenge: true, StepsDown: true}
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		a, err := r.Begin(context.Background(), gate, q, 0, "")
		if err != nil || a.Token != "" {
			t.Fatalf("attempt: %+v, %v", a, err)
		}
		r.want(a.Decision, warder.Challenge, warder.DemandStanding)
		q.Clearance, _ = r.Cleared(addr(attacker), "user")
		for range 3 {
			a, err := r.Begin(context.Background(), gate, q, 0, "")
			if err != nil || a.Token == "" {
				t.Fatalf("attempt with a clearance: %+v, %v", a, err)
			}
			r.want(a.Decision, warder.Allow, warder.OK)
			if _, err := r.Settle(context.Background(), gate, a.Token, Settlement{Outcome: warder.Failure}); err != nil {
				t.Fatal(err)
			}
		}
		r.want(r.Check(gate, &q), warder.Challenge, warder.DemandStanding)
		// A clearance does not meet MFA for those who can ask for it.
		q.Clearance, _ = r.Cleared(addr(attacker), "user")
		r.want(r.Check(r.app, &q), warder.MFA, warder.DemandStanding)
		for _, app := range []*App{{ID: "a", CanChallenge: true}, {ID: "b"}, {ID: "c", StepsDown: true}} {
			if d := r.Check(app, &q); d.Action != warder.Allow || d.Would == nil || d.Would.Action != warder.MFA {
				t.Errorf("app %s: %+v", app.ID, d)
			}
		}
	})
}

// TestTakeClearance: a clearance has three uses, however they meet.
func TestTakeClearance(t *testing.T) {
	bubble(t, rules("cooling_period: 600"), func(r *rig) {
		clearance, _ := r.Cleared(addr(attacker), "user")
		q := Query{IP: addr(attacker), Realm: "user", Clearance: clearance}
		for _, other := range []Query{
			{IP: addr("203.0.113.70"), Realm: "user", Clearance: clearance},
			{IP: addr(attacker), Realm: "admin", Clearance: clearance},
			{IP: addr(attacker), Realm: "user"},
			{IP: addr(attacker), Realm: "user", Clearance: clearance + "x"},
			{Realm: "user", Clearance: clearance},
		} {
			if r.TakeClearance(&other) {
				t.Errorf("%+v is taken", other)
			}
		}
		var taken atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if q := q; r.TakeClearance(&q) {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 3 {
			t.Errorf("taken %d times", taken.Load())
		}
	})
}
