package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warderhq/warder"
)

// SEMANTICS 45: what arrives while one commit runs is the next, and what it
// decides acts before that.
func TestCommitsGather(t *testing.T) {
	bubble(t, "", func(r *rig) {
		stuck := make(chan struct{})
		r.j.set(func() { r.j.stuck = stuck })
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				res := r.Report(context.Background(), r.app, []Incoming{{Event: fail(fmt.Sprintf("198.51.100.%d", i%50), "alice")}})[0]
				if res.Err != nil {
					t.Errorf("event %d: %v", i, res.Err)
				}
			})
		}
		for range 5 {
			wg.Go(func() { r.Report(context.Background(), r.app, []Incoming{{Event: fail(attacker, "alice")}}) })
		}
		synctest.Wait()
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		if blocks, alerts, _ := r.j.counts(); blocks != 0 || alerts != 0 {
			t.Error("announced before its commit")
		}
		records, cancel := r.Subscribe()
		defer cancel()
		before := r.j.peek().commits
		r.j.set(func() { r.j.stuck = nil })
		close(stuck)
		wg.Wait()
		if n := r.j.peek().commits - before; n > 2 {
			t.Errorf("105 events took %d commits, want 2", n)
		}
		synctest.Wait()
		blocks := 0
		for len(records) > 0 {
			blocks += len((<-records).Blocks)
		}
		if blocks != 1 {
			t.Errorf("%d blocks announced after the commit, want 1", blocks)
		}
	})
}

// SEMANTICS 46: a full queue refuses events before they count; settlements
// count, and a crossing is durable afterwards.
func TestFullQueue(t *testing.T) {
	bubble(t, "", func(r *rig) {
		var attempts []Attempt
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		for range 5 {
			attempts = append(attempts, r.begin(q))
		}
		r.j.set(func() { r.j.broken = errDisk })
		// With large records first, so that the test is quick.
		fill := func(force bool) {
			for _, size := range []int{1 << 20, 1 << 10, 1} {
				for ok := true; ok; {
					_, ok = r.queue.add(&Record{Policy: &Revision{Document: make([]byte, size)}}, nil, force)
				}
			}
		}
		fill(false)
		r.queue.add(&Record{Policy: &Revision{Document: make([]byte, 1<<20)}}, nil, true)
		in := Incoming{Event: fail("198.51.100.7", "bob"), Digest: []byte("d")}
		in.Event.ID = "later"
		r.j.set(func() { r.j.broken = nil; r.j.stuck = make(chan struct{}) })
		res := r.Report(context.Background(), r.app, []Incoming{in})[0]
		if !errors.Is(res.Err, ErrBusy) {
			t.Fatalf("an event for a full queue: %v, want busy", res.Err)
		}
		if n := r.Explain(Query{IP: addr("198.51.100.7")}).Counters[0].Count; n != 0 {
			t.Errorf("it counted %d all the same", n)
		}
		if err := r.ClearCounters(context.Background(), Actor{Name: "test"}, ClearRequest{}); !errors.Is(err, ErrBusy) {
			t.Errorf("a change without its audit row: %v, want busy", err)
		}
		fill(true) // as settlements would
		for _, a := range attempts {
			_, err := r.Settle(context.Background(), r.app, a.Token, Settlement{Outcome: warder.Failure})
			if !errors.Is(err, ErrNotDurable) {
				t.Errorf("settlement: %v, want not durable", err)
			}
		}
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		if n := r.Stats().Unjournaled; n != 4 {
			t.Errorf("%d settlements shown as not journaled, want 4", n)
		}
		r.j.set(func() { close(r.j.stuck); r.j.stuck = nil })
		time.Sleep(5 * time.Second)
		if blocks, alerts, audits := r.j.counts(); blocks != 1 || alerts != 1 || audits != 1 {
			t.Errorf("%d blocks, %d alerts, %d audit rows afterwards, want one of each", blocks, alerts, audits)
		}
		if res := r.Report(context.Background(), r.app, []Incoming{in})[0]; res.Err != nil {
			t.Errorf("the event again: %v", res.Err)
		}
	})
}

// While the disk makes one transaction durable the next is written, and nobody
// is told before his own is.
func TestCommitsGoOnWhileTheDiskWorks(t *testing.T) {
	bubble(t, "", func(r *rig) {
		slow := make(chan struct{})
		r.j.set(func() { r.j.slow = slow })
		before := r.j.peek().commits
		var wg sync.WaitGroup
		var told atomic.Int64
		for i := range 3 * writeAhead {
			wg.Go(func() {
				res := r.Report(context.Background(), r.app, []Incoming{{Event: fail(fmt.Sprintf("198.51.100.%d", i), "alice")}})[0]
				if res.Err != nil {
					t.Errorf("event %d: %v", i, res.Err)
				}
				told.Add(1)
			})
			synctest.Wait()
		}
		now, syncs := r.j.peek().commits, r.j.synced()
		// One batch is being synchronised, so many wait for that, and one has been
		// written and waits for its place.
		if n := now - before; n != 2+writeAhead {
			t.Errorf("%d transactions were written ahead, want %d", n, 2+writeAhead)
		}
		if told.Load() != 0 {
			t.Error("somebody was told before the disk was done")
		}
		r.j.set(func() { r.j.slow = nil })
		close(slow)
		wg.Wait()
		if n := r.j.synced() - syncs; n >= 2+writeAhead {
			t.Errorf("%d synchronisations for what had gathered", n)
		}
	})
}

// SEMANTICS 44: a disk that does not take what is written: 503, degraded,
// nothing is written twice, and when it does again all of it counted once.
func TestSyncFails(t *testing.T) {
	bubble(t, "", func(r *rig) {
		r.j.set(func() { r.j.unsynced = errDisk })
		in := Incoming{Event: fail(attacker, "alice"), Digest: []byte("d")}
		in.Event.ID = "one"
		if res := r.Report(context.Background(), r.app, []Incoming{in})[0]; !errors.Is(res.Err, ErrNotDurable) {
			t.Fatalf("got %v, want not durable", res.Err)
		}
		r.want(r.check("198.51.100.9"), warder.Allow, warder.OK)
		if d := r.Degraded(); len(d) != 1 || d[0].Reason != DegradedStore {
			t.Errorf("degraded %v, want %s", d, DegradedStore)
		}
		r.j.set(func() { r.j.unsynced = nil })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if d := r.Degraded(); len(d) != 0 {
			t.Errorf("still degraded: %v", d)
		}
		if res := r.Report(context.Background(), r.app, []Incoming{in})[0]; res.Err != nil {
			t.Errorf("the event again: %v", res.Err)
		}
		if n := len(r.j.named("USER_LOGIN_FAILURE")); n != 1 {
			t.Errorf("%d events are stored, want one", n)
		}
		// A change that takes longer than anybody waits is not taken back when it is
		// written already.
		r.j.set(func() { r.j.unsynced = errDisk })
		_, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: netip.MustParsePrefix("203.0.113.200/32"), Reason: "x"})
		if !errors.Is(err, ErrNotDurable) && !errors.Is(err, ErrBusy) {
			t.Errorf("a block: %v", err)
		}
		r.j.set(func() { r.j.unsynced = nil })
		time.Sleep(2 * time.Second)
		r.want(r.check("203.0.113.200"), warder.BlockAction, warder.Blocked)
	})
}

// What is written and not durable when the engine stops is not acknowledged.
func TestStopsWhileTheDiskFails(t *testing.T) {
	bubble(t, "", func(r *rig) {
		r.j.set(func() { r.j.unsynced = errDisk })
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				res := r.Report(context.Background(), r.app, []Incoming{{Event: fail(fmt.Sprintf("198.51.100.%d", i), "alice")}})[0]
				if !errors.Is(res.Err, ErrNotDurable) {
					t.Errorf("event %d: %v, want not durable", i, res.Err)
				}
			})
			synctest.Wait()
		}
		began := time.Now()
		r.stop()
		wg.Wait()
		if d := time.Since(began); d > lastPatience+2*time.Second {
			t.Errorf("stopped after %s", d)
		}
	})
}

// What is refused while the journal has no room is journaled when it has: the
// count on the Block, and the reference that somebody reads out.
func TestRefusalsOutlastAFullQueue(t *testing.T) {
	bubble(t, rules("cooling_period: 0")+feedPolicy, func(r *rig) {
		r.SetProvider("feed", func(a netip.Addr) (int, bool) { return 5, a == addr("198.51.100.5") })
		for range 5 {
			r.report(fail(attacker, "alice"))
		}
		block := r.check(attacker).BlockID
		time.Sleep(10 * time.Second)
		r.j.set(func() { r.j.stuck = make(chan struct{}) })
		for ok := true; ok; {
			_, ok = r.queue.add(&Record{Policy: &Revision{Document: make([]byte, 1<<20)}}, nil, false)
		}
		reference := r.check("198.51.100.5").Reference
		for range 100 {
			r.check(attacker)
		}
		r.flushHits()
		r.j.set(func() { close(r.j.stuck); r.j.stuck = nil })
		time.Sleep(10 * time.Second)
		if again := r.check("198.51.100.5").Reference; again != reference {
			t.Errorf("reference %s, then %s", reference, again)
		}
		time.Sleep(10 * time.Second)
		if list := r.j.peek().refusals; len(list) != 1 || list[0].Reference != reference {
			t.Errorf("refusals %+v, want %s", list, reference)
		}
		if n := r.j.peek().hits[block]; n != 101 {
			t.Errorf("%d refusals on the block, want 101", n)
		}
	})
}

// Settlements that the journal has no room for are remembered for their repeats,
// and forgotten also while it is behind.
func TestSettlementsAreForgottenWhileTheJournalIsBehind(t *testing.T) {
	bubble(t, "", func(r *rig) {
		stuck := make(chan struct{})
		r.j.set(func() { r.j.stuck = stuck })
		hurry, cancel := context.WithCancel(context.Background())
		cancel()
		settle := func(i int) string {
			a := r.begin(Query{IP: addr(fmt.Sprintf("198.51.100.%d", i)), Account: "alice", Realm: "user", Event: "USER_LOGIN"})
			_, _ = r.Settle(hurry, r.app, a.Token, Settlement{Outcome: warder.Failure})
			return a.Token
		}
		settle(0) // on its way to the journal
		for _, size := range []int{1 << 20, 1 << 10, 1} {
			for ok := true; ok; {
				_, ok = r.queue.add(&Record{Policy: &Revision{Document: make([]byte, size)}}, nil, true)
			}
		}
		for i := range 100 {
			token := settle(1 + i)
			if _, err := r.Settle(hurry, r.app, token, Settlement{Outcome: warder.Failure}); err == nil {
				t.Fatal("settled twice")
			}
		}
		time.Sleep(recentLife + 2*time.Second)
		r.mu.Lock()
		n := len(r.recent)
		r.mu.Unlock()
		if n != 1 {
			t.Errorf("%d settlements are remembered, want the one on its way", n)
		}
		r.j.set(func() { r.j.stuck = nil })
		close(stuck)
	})
}
