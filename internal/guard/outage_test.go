package guard

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/policy"
)

// A change whose commit fails after nobody waits for it any more does not
// happen later behind its operator's back, and a policy that was given up does
// not take its counters along.
func TestChangeGivenUpDuringAnOutage(t *testing.T) {
	bubble(t, rules("cooling_period: 60"), func(r *rig) {
		for range 3 {
			r.report(fail(attacker, "alice"))
		}
		stuck := make(chan struct{})
		r.j.set(func() { r.j.stuck = stuck })
		d, err := policy.Parse([]byte(strings.Replace(rules("cooling_period: 60"), "threshold: 5", "threshold: 9", 1)))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := r.SetPolicy(context.Background(), Actor{Name: "test"}, d, "", -1); !errors.Is(err, ErrBusy) {
			t.Errorf("policy during an outage: %v, want busy", err)
		}
		if _, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: netip.MustParsePrefix("198.51.100.1/32")}); !errors.Is(err, ErrBusy) {
			t.Errorf("block during an outage: %v, want busy", err)
		}
		time.Sleep(25*time.Second - time.Since(start)) // in the middle of another try
		r.j.set(func() { r.j.stuck = nil })
		close(stuck)
		time.Sleep(5 * time.Second)
		if _, n := r.Policy(); n != 0 {
			t.Errorf("revision %d came into force after it was given up", n)
		}
		if blocks, _, audits := r.j.counts(); blocks != 0 || audits != 0 {
			t.Errorf("%d blocks and %d audit rows of changes that were given up", blocks, audits)
		}
		if _, err := r.SetPolicy(context.Background(), Actor{Name: "test"}, d, "", -1); err != nil {
			t.Errorf("policy after the outage: %v", err)
		}
		if c := r.Explain(Query{IP: addr(attacker)}).Counters[0]; c.Count != 3 || c.Threshold != 9 {
			t.Errorf("counter %+v, want 3 of 9", c)
		}
	})
}

// SEMANTICS 44: who repeats an event under the id that came with the 503 does
// not have it counted twice.
func TestRepeatUnderTheIDOf503(t *testing.T) {
	bubble(t, "", func(r *rig) {
		r.j.set(func() { r.j.stuck = make(chan struct{}) })
		in := Incoming{Event: fail(attacker, "alice"), Digest: []byte("d")}
		res := r.Report(context.Background(), r.app, []Incoming{in})[0]
		if !errors.Is(res.Err, ErrNotDurable) || res.ID == "" {
			t.Fatalf("%+v, want an id and not durable", res)
		}
		in.Event.ID = res.ID
		for range 3 {
			if again := r.Report(context.Background(), r.app, []Incoming{in})[0]; !errors.Is(again.Err, ErrNotDurable) || again.ID != res.ID {
				t.Errorf("repeat during the outage: %+v", again)
			}
		}
		r.j.set(func() { close(r.j.stuck); r.j.stuck = nil })
		if again := r.Report(context.Background(), r.app, []Incoming{in})[0]; again.Err != nil {
			t.Errorf("repeat after it: %+v", again)
		}
		time.Sleep(recentLife + 2*time.Second)
		if again := r.Report(context.Background(), r.app, []Incoming{in})[0]; again.Err != nil || again.ID != res.ID || again.Severity != res.Severity {
			t.Errorf("repeat long after it: %+v", again)
		}
		if n := r.Explain(Query{IP: addr(attacker)}).Counters[0].Count; n != 1 {
			t.Errorf("counted %d, want 1", n)
		}
		if n := len(r.j.named("USER_LOGIN_FAILURE")); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}
