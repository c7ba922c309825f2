package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/warderhq/warder"
)

// A Block is seen as soon as it acts, and may be lifted at once. Its end is
// journaled after it, or it would stand again after a restart.
func TestLiftOfABlockThatIsBeingMade(t *testing.T) {
	r := newRig(t, newMemJournal(), "")
	defer r.stop()
	for i := range 500 {
		ip := fmt.Sprintf("198.51.%d.%d", 100+i/250, i%250)
		lifted := make(chan error, 1)
		go func() {
			l := Lift{IP: warder.AddressKey(addr(ip)), Verdict: VerdictResolved}
			for {
				_, err := r.Lift(context.Background(), Actor{Name: "cli:0", Urgent: true}, l)
				if !errors.Is(err, ErrNotFound) {
					lifted <- err
					return
				}
			}
		}()
		for range 5 {
			r.report(fail(ip, "alice"))
		}
		if err := <-lifted; err != nil {
			t.Fatal(err)
		}
	}
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	for _, b := range r.j.blocks {
		if b.LiftedAt.IsZero() {
			t.Errorf("the journal does not know that %s was lifted", b.Subject.IP)
		}
	}
}

// While a policy change replays the journal, events go on and an address is
// lifted by the socket. The new counters know of its clearing, however the
// replay came upon the rest.
func TestLiftDuringAPolicyChange(t *testing.T) {
	bubble(t, rules("cooling_period: 0"), func(r *rig) {
		for range 4 {
			r.report(fail(attacker, "alice"))
		}
		if _, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: warder.AddressKey(addr(attacker))}); err != nil {
			r.Fatal(err)
		}
		r.j.set(func() {
			r.j.reading = func() {
				l := Lift{IP: warder.AddressKey(addr(attacker)), Verdict: VerdictError}
				if _, err := r.Lift(context.Background(), Actor{Name: "cli:0", Urgent: true}, l); err != nil {
					r.Error(err)
				}
				for range 4 {
					r.report(fail("203.0.113.67", "bob"))
				}
			}
		})
		r.setPolicy(strings.Replace(rules("cooling_period: 0"), "3600", "3601", 1))
		r.want(r.report(fail(attacker, "alice")).Decision, warder.Allow, warder.OK)
		r.want(r.report(fail("203.0.113.67", "bob")).Decision, warder.BlockAction, warder.Threshold)
	})
}

// What is committed while the history is read for another policy is not undone
// by what was read before it.
func TestHistoryDuringAPolicyChange(t *testing.T) {
	const yaml = "history: {enabled: true, lookback: 2592000, criteria: [{when: marked_fraudulent, at_least: 1, action: block}]}\n"
	bubble(t, rules("cooling_period: 0")+yaml, func(r *rig) {
		mark := func(ip string, fraudulent bool) {
			m := Mark{Address: warder.AddressKey(addr(ip)), Fraudulent: fraudulent}
			if err := r.change(context.Background(), &Record{Marks: []Mark{m}}, func() {}); err != nil {
				r.Fatal(err)
			}
		}
		mark("203.0.113.67", true)
		r.want(r.check("203.0.113.67"), warder.BlockAction, warder.History)
		r.j.set(func() {
			r.j.reading = func() {
				mark(attacker, true)
				mark("203.0.113.67", false)
			}
		})
		r.setPolicy(rules("cooling_period: 60") + yaml)
		r.want(r.check(attacker), warder.BlockAction, warder.History)
		r.want(r.check("203.0.113.67"), warder.Allow, warder.OK)
	})
}
