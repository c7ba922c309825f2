package guard

import (
	"context"
	"errors"
	"fmt"
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
