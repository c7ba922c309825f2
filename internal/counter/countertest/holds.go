package countertest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder/internal/counter"
)

func (b *bench) reserve(id string, want counter.Status, hits ...counter.Hit) *counter.Ticket {
	b.Helper()
	t, status, err := b.Reserve(b.Context(), b.now, id, hits)
	if err != nil || status != want || t == nil || t.ID != id {
		b.Fatalf("Reserve(%s) = %v, %v; want %v", id, status, err, want)
	}
	if done := isDone(t); done != (want == counter.Granted) {
		b.Fatalf("%s: done is %v", id, done)
	}
	return t
}

func isDone(t *counter.Ticket) bool {
	select {
	case <-t.Done():
		return true
	default:
		return false
	}
}

// wantTicket checks a ticket: "waiting", "granted" or "retry".
func (b *bench) wantTicket(t *counter.Ticket, want string) {
	b.Helper()
	got := "waiting"
	if isDone(t) {
		if got = "granted"; b.Retry(t) {
			got = "retry"
		}
	}
	if got != want {
		b.Fatalf("ticket %s is %s; want %s", t.ID, got, want)
	}
}

func (b *bench) settle(id string, hits ...counter.Hit) []counter.Count {
	b.Helper()
	counts, err := b.Settle(b.Context(), b.now, id, hits)
	if err != nil || len(counts) != len(hits) {
		b.Fatalf("Settle = %d counts, %v; want %d", len(counts), err, len(hits))
	}
	return counts
}

func (b *bench) cancel(t *counter.Ticket) {
	b.Helper()
	if err := b.Cancel(b.Context(), b.now, t); err != nil {
		b.Fatal(err)
	}
}

// fill holds n slots of a key, by reservations 0 to n-1 of members "held0"...
func (b *bench) fill(key string, n int) {
	b.Helper()
	for i := range n {
		b.reserve(key+strconv.Itoa(i), counter.Granted, b.hit(key, "held"+strconv.Itoa(i)))
	}
}

func reserveAllOrNone(b *bench) {
	b.fill("full", 5)
	t := b.reserve("both", counter.Waiting, b.hit("free", "a"), b.hit("full", "a"))
	b.wantN("free", 0, 0)
	b.settle("full0")
	b.wantTicket(t, "granted")
	b.wantN("free", 0, 1)
	b.wantN("full", 0, 5)
	b.settle("both")
	b.wantN("free", 0, 0)
	b.wantN("full", 0, 4)
	b.reserve("nothing", counter.Granted)
	b.settle("nothing")
}

func heldMemberCountsOnce(b *bench) {
	b.fill("k", 4)
	b.reserve("x", counter.Granted, b.hit("k", "x"), b.hit("k", "x"))
	b.reserve("y", counter.Granted, b.hit("k", "x"))
	b.wantN("k", 0, 5)
	t := b.reserve("z", counter.Waiting, b.hit("k", "z"))
	b.settle("x")
	b.wantTicket(t, "waiting") // y holds the same member
	b.settle("y")
	b.wantTicket(t, "granted")
}

func countedMemberNeedsNoSlot(b *bench) {
	b.apply(b.hits("k", "a", "b")...)
	b.fill("k", 3)
	b.reserve("again", counter.Granted, b.hit("k", "a"))
	b.wantN("k", 2, 3)
	// Its member is gone, so it now holds a slot.
	if err := b.Remove(b.Context(), b.now, b.hits("k", "a"), 0); err != nil {
		b.Fatal(err)
	}
	b.wantN("k", 1, 4)
	b.reserve("one more", counter.Waiting, b.hit("k", "c"))
}

func firstComeFirstServed(b *bench) {
	b.fill("k", 5)
	var line []*counter.Ticket
	for i := range 7 {
		line = append(line, b.reserve("w"+strconv.Itoa(i), counter.Waiting, b.hit("k", "w"+strconv.Itoa(i))))
	}
	order := func(want ...string) {
		b.Helper()
		for i, w := range want {
			b.wantTicket(line[i], w)
		}
	}
	order("waiting", "waiting")
	b.settle("k3")
	order("granted", "waiting", "waiting")
	b.settle("k0")
	b.settle("w0")
	order("granted", "granted", "granted", "waiting")
	b.cancel(line[3])
	b.settle("k1")
	order("granted", "granted", "granted", "waiting", "granted", "waiting")
}

// newcomerQueuesBehind: nobody overtakes in any of his lines, though there be
// room for him.
func newcomerQueuesBehind(b *bench) {
	b.fill("full", 5)
	b.apply(b.hits("half", "a")...)
	first := b.reserve("first", counter.Waiting, b.hit("full", "x"), b.hit("half", "x"))
	second := b.reserve("second", counter.Waiting, b.hit("half", "y"), b.hit("other", "y"))
	third := b.reserve("third", counter.Waiting, b.hit("other", "z"))
	same := b.reserve("same", counter.Waiting, b.hit("half", "a"))
	b.reserve("elsewhere", counter.Granted, b.hit("elsewhere", "a"))
	b.cancel(first)
	for _, t := range []*counter.Ticket{second, third, same} {
		b.wantTicket(t, "granted")
	}
}

func crossingTellsWaitersToRetry(b *bench) {
	b.fill("other", 5)
	b.fill("k", 5)
	k := b.reserve("k", counter.Waiting, b.hit("k", "x"))
	both := b.reserve("both", counter.Waiting, b.hit("k", "y"), b.hit("other", "y"))
	other := b.reserve("behind", counter.Waiting, b.hit("other", "z"))
	for i := range 4 {
		b.settle("k"+strconv.Itoa(i), b.hit("k", "held"+strconv.Itoa(i)))
	}
	b.wantTicket(k, "waiting")
	if c := b.settle("k4", b.hit("k", "held4")); !c[0].Crossed {
		b.Fatalf("no crossing: %+v", c)
	}
	b.wantTicket(k, "retry")
	b.wantTicket(both, "retry")
	b.wantTicket(other, "waiting")
	b.settle("other0")
	b.wantTicket(other, "granted")
	b.wantN("k", 0, 0)
	b.cancel(k) // harmless
	b.reserve("k", counter.Granted, b.hit("k", "x"))
}

func successFreesSlot(b *bench) {
	b.fill("k", 5)
	t := b.reserve("next", counter.Waiting, b.hit("k", "x"))
	b.settle("k2")
	b.wantTicket(t, "granted")
	b.wantN("k", 0, 5)
}

func failureBecomesHit(b *bench) {
	b.fill("k", 5)
	t := b.reserve("next", counter.Waiting, b.hit("k", "x"))
	h := b.hit("k", "held2")
	b.want(b.settle("k2", h), []counter.Count{{N: 1}})
	b.wantTicket(t, "waiting")
	b.wantN("k", 1, 4)
	b.want(b.level(h.Key).Evidence, []counter.Evidence{{Seq: h.Seq, At: epoch}})
}

func repeatedGuessFreesSlot(b *bench) {
	b.fill("k", 5)
	t := b.reserve("next", counter.Waiting, b.hit("k", "x"))
	b.settle("k0", b.hit("k", "guess"))
	b.wantTicket(t, "waiting")
	b.want(b.settle("k1", b.hit("k", "guess")), []counter.Count{{N: 1, Repeat: true}})
	b.wantTicket(t, "granted")
	b.wantN("k", 1, 4)
}

func settleUnknown(b *bench) {
	b.want(b.settle("nobody", b.hit("k", "a")), []counter.Count{{N: 1}})
	b.fill("k", 1)
	b.settle("k0", b.hit("k", "b"))
	b.want(b.settle("k0", b.hit("k", "c")), []counter.Count{{N: 3}})
	b.wantN("k", 3, 0)
}

func idsAreUnique(b *bench) {
	t := b.reserve("id", counter.Granted, b.hit("k", "a"))
	if _, _, err := b.Reserve(b.Context(), b.now, "id", b.hits("k", "b")); !errors.Is(err, counter.ErrReserved) {
		b.Fatalf("a second reservation under the same id: %v", err)
	}
	b.wantN("k", 0, 1)
	b.cancel(t)
	again := b.reserve("id", counter.Granted, b.hit("k", "a"))
	b.cancel(t) // it is another ticket, though it has the same id
	b.wantN("k", 0, 1)
	b.cancel(again)
}

func cancelWaiting(b *bench) {
	b.fill("k", 5)
	first := b.reserve("first", counter.Waiting, b.hit("k", "x"))
	second := b.reserve("second", counter.Waiting, b.hit("k", "y"))
	b.cancel(first)
	b.wantTicket(second, "waiting")
	b.settle("k0")
	b.wantTicket(second, "granted")
	b.cancel(first)
	b.wantN("k", 0, 5)
}

func cancelGranted(b *bench) {
	t := b.reserve("id", counter.Granted, b.hit("k", "a"))
	b.fill("k", 4)
	next := b.reserve("next", counter.Waiting, b.hit("k", "x"))
	b.cancel(t)
	b.wantTicket(next, "granted")
	b.cancel(t)
	b.wantN("k", 0, 5)
	b.cancel(next)
	b.wantN("k", 0, 4)
}

func busyPerKey(b *bench) {
	b.fill("k", 5)
	var first *counter.Ticket
	for i := range counter.MaxWaitersPerKey {
		t := b.reserve("w"+strconv.Itoa(i), counter.Waiting, b.hit("k", "x"))
		if i == 0 {
			first = t
		}
	}
	if _, _, err := b.Reserve(b.Context(), b.now, "late", append(b.hits("free", "a"), b.hit("k", "x"))); !errors.Is(err, counter.ErrBusy) {
		b.Fatalf("one too many in line: %v", err)
	}
	b.wantN("free", 0, 0)
	b.cancel(first)
	b.reserve("late", counter.Waiting, b.hit("k", "x"))
}

func busyInAll(b *bench) {
	const keys = 10
	for k := range keys {
		b.fill(strconv.Itoa(k)+"/", 5)
	}
	for i := range counter.MaxWaiters {
		b.reserve("w"+strconv.Itoa(i), counter.Waiting, b.hit(strconv.Itoa(i%keys)+"/", "x"))
	}
	if _, _, err := b.Reserve(b.Context(), b.now, "late", b.hits("0/", "x")); !errors.Is(err, counter.ErrBusy) {
		b.Fatalf("one too many in all lines: %v", err)
	}
}

func takeOutFreesSlots(b *bench) {
	mine := counter.Tag{Account: "ann"}
	for _, free := range []struct {
		name string
		do   func(key string) error
	}{
		{"take out", func(string) error {
			_, err := b.TakeOut(b.Context(), b.now, mine, b.now, 0)
			return err
		}},
		{"remove", func(key string) error { return b.Remove(b.Context(), b.now, b.hits(key, "a"), 0) }},
		{"clear", func(key string) error {
			return b.Clear(b.Context(), b.now, counter.Selection{Account: key}, 0)
		}},
	} {
		b.apply(b.tagged(free.name, "a", mine))
		b.fill(free.name, 4)
		t := b.reserve(free.name, counter.Waiting, b.hit(free.name, "x"))
		if err := free.do(free.name); err != nil {
			b.Fatal(err)
		}
		b.wantTicket(t, "granted")
	}
}

func reservationsSurviveClear(b *bench) {
	b.apply(b.hits("k", "a")...)
	b.fill("k", 4)
	if err := b.Clear(b.Context(), b.now, counter.Selection{All: true}, 0); err != nil {
		b.Fatal(err)
	}
	b.wantN("k", 0, 4)
	b.settle("k0", b.hit("k", "held0"))
	b.wantN("k", 1, 3)
}

func holdsAboveExact(b *bench) {
	for i := range 199 {
		h := b.coarse("k", 200)
		if i%2 == 0 {
			b.apply(h)
			continue
		}
		h.Member = strconv.Itoa(i)
		b.reserve("h"+strconv.Itoa(i), counter.Granted, h)
	}
	b.reserve("last", counter.Granted, b.coarse("k", 200))
	next := b.coarse("k", 200)
	next.Member = "next"
	t := b.reserve("next", counter.Waiting, next)
	b.settle("h1", b.coarse("k", 200))
	b.wantTicket(t, "waiting")
	b.settle("h3")
	b.wantTicket(t, "granted")
}

// neverOvershoots: 300 attempts at once with different wrong guesses, 50 times.
// In every other round a lock like that of the engine makes the crossing and the
// block one step: then exactly as many as the threshold are let through. In the
// others attempts may come between the crossing and the block and count anew.
func neverOvershoots(b *bench) {
	const attempts, rounds, threshold = 300, 50, 5
	for round := range rounds {
		key := "round" + strconv.Itoa(round)
		locked := round%2 == 0
		var (
			engine                  sync.Mutex
			blocked                 atomic.Bool
			let, refused, crossings atomic.Int32
			all                     sync.WaitGroup
		)
		step := func(f func()) {
			if locked {
				engine.Lock()
				defer engine.Unlock()
			}
			f()
		}
		for i := range attempts {
			all.Go(func() {
				id := key + "/" + strconv.Itoa(i)
				hits := []counter.Hit{{
					Key: keyOf(key), Window: window, Threshold: threshold,
					Member: id, At: epoch, Seq: int64(i),
				}}
				var t *counter.Ticket
				step(func() {
					if blocked.Load() {
						return
					}
					var err error
					if t, _, err = b.Reserve(context.Background(), epoch, id, hits); err != nil {
						b.Error(err)
					}
				})
				if t == nil {
					refused.Add(1)
					return
				}
				if <-t.Done(); b.Retry(t) {
					refused.Add(1) // finds the block
					return
				}
				let.Add(1)
				step(func() {
					counts, err := b.Settle(context.Background(), epoch, id, hits)
					if err != nil {
						b.Error(err)
					} else if counts[0].Crossed {
						crossings.Add(1)
						blocked.Store(true)
					}
				})
			})
		}
		all.Wait()
		n, c := int32(b.level(keyOf(key)).N), crossings.Load()
		if let.Load()+refused.Load() != attempts || let.Load() != c*threshold+n || n >= threshold || locked && c != 1 || locked && n != 0 {
			b.Fatalf("round %d: %d let through, %d refused, %d crossings, %d left", round, let.Load(), refused.Load(), c, n)
		}
	}
}

// validSignInsAllPass: 40 valid sign-ins at once, all of which succeed.
func validSignInsAllPass(b *bench) {
	var all sync.WaitGroup
	var let atomic.Int32
	for i := range 40 {
		all.Go(func() {
			id := strconv.Itoa(i)
			h := counter.Hit{Key: keyOf("k"), Window: window, Threshold: 5, Member: id, At: epoch}
			t, _, err := b.Reserve(context.Background(), epoch, id, []counter.Hit{h})
			if err != nil {
				b.Error(err)
				return
			}
			select {
			case <-t.Done():
			case <-time.After(30 * time.Second):
				b.Errorf("attempt %s waits for ever", id)
				return
			}
			if !b.Retry(t) {
				let.Add(1)
			}
			if _, err := b.Settle(context.Background(), epoch, id, nil); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	b.want(let.Load(), int32(40))
	b.wantN("k", 0, 0)
}
