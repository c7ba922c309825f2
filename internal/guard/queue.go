package guard

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the queue in front of the journal. What does not fit is refused
// before it is counted.
const (
	maxQueueRows  = 64 << 10
	maxQueueBytes = 64 << 20
	// A transaction takes at most this much, so that its waiters are not kept
	// by a backlog that piled up behind a locked database.
	maxCommitRows  = 8 << 10
	maxCommitBytes = 8 << 20
	// commitPatience is how long one transaction may take before it is given up
	// and repeated.
	commitPatience = 10 * time.Second
)

// pending is a record on its way to the journal. done is closed when its fate
// is known; err may be read after that.
type pending struct {
	rec   *Record
	rows  int
	bytes int64
	done  chan struct{}
	err   error
	// applied is called once after the commit, before done is closed.
	applied func(Committed)
	// underWay tells that the record is being committed: it cannot be withdrawn
	// now. If its commit fails and it is unwanted by then, it is given up.
	underWay, unwanted bool
}

// queue is the group commit: while one transaction runs the next gathers, and
// while the disk makes one durable the next is written. Commits follow one
// another without a timer.
type queue struct {
	journal Journal
	log     *slog.Logger
	health  func(err error) // nil error: the journal works again

	mu      sync.Mutex // guards what follows
	items   []*pending // those written and not yet durable, then the others
	written int        // how many of items are
	rows    int
	bytes   int64
	no      int64

	wake     chan struct{}
	unsynced atomic.Bool // what was written does not become durable

	commits      atomic.Int64
	commitNanos  atomic.Int64
	committed    func(*Record) // publishes to subscribers
	afterBatches func(Committed)
}

func newQueue(j Journal, log *slog.Logger) *queue {
	return &queue{journal: j, log: log, wake: make(chan struct{}, 1)}
}

// full reports whether a new event would have to be refused.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows >= maxQueueRows || q.bytes >= maxQueueBytes
}

// add queues a record behind all others. force lets in what must not be
// refused (settlements, releases) up to twice the bound, and up to four times
// what stands against somebody, which is rare; false means that the record was
// not queued.
func (q *queue) add(rec *Record, applied func(Committed), force bool) (*pending, bool) {
	p := &pending{rec: rec, done: make(chan struct{}), applied: applied}
	p.rows, p.bytes = rec.size()
	q.mu.Lock()
	factor := 1
	switch {
	case force && len(rec.Blocks)+len(rec.Demands)+len(rec.Revoke) > 0:
		factor = 4
	case force:
		factor = 2
	}
	if q.rows+p.rows > factor*maxQueueRows || q.bytes+p.bytes > int64(factor)*maxQueueBytes {
		q.mu.Unlock()
		return nil, false
	}
	q.no++
	rec.No = q.no
	q.items = append(q.items, p)
	q.rows += p.rows
	q.bytes += p.bytes
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return p, true
}

// notice queues a record that strangers cause by being refused. It takes no
// more than a quarter of the queue, so that they cannot crowd out events; false
// means that it was dropped.
func (q *queue) notice(rec *Record) bool {
	if rows, bytes := q.depth(); rows >= maxQueueRows/4 || bytes >= maxQueueBytes/4 {
		return false
	}
	_, ok := q.add(rec, nil, false)
	return ok
}

// withdraw takes a record back that is not durable. False means that it is too
// late: its commit is done, or under way; should that fail, the record is not
// tried again but ends with ErrBusy. What is written stays.
func (q *queue) withdraw(p *pending) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.underWay {
		p.unwanted = true
		return false
	}
	return q.remove(p)
}

// remove takes a record out; the caller holds mu.
func (q *queue) remove(p *pending) bool {
	for i, item := range q.items {
		if item == p {
			q.items = append(q.items[:i], q.items[i+1:]...)
			q.rows -= p.rows
			q.bytes -= p.bytes
			return true
		}
	}
	return false
}

// snapshot returns the records that are queued and not yet durable, oldest
// first.
func (q *queue) snapshot() []*Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	recs := make([]*Record, len(q.items))
	for i, p := range q.items {
		recs[i] = p.rec
	}
	return recs
}

func (q *queue) depth() (rows int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows, q.bytes
}

// writeAhead is how many transactions may be written before the first of them
// is durable.
const writeAhead = 4

// batch is what one transaction wrote.
type batch struct {
	items  []*pending
	result Committed
	begun  time.Time
}

// run commits until ctx ends, then once more what is left, for at most five
// seconds.
func (q *queue) run(ctx context.Context) {
	ends, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastPatience, cancel) })()
	written := make(chan batch, writeAhead)
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		q.sync(ends, written)
	}()
	q.write(ctx, ends, written)
	close(written)
	<-synced
	q.abandon()
}

// lastPatience is how long the last commits may take after the end.
const lastPatience = 5 * time.Second

// write commits what is queued until ctx ends, then what is left until ends does.
func (q *queue) write(ctx, ends context.Context, written chan<- batch) {
	var pause time.Duration
	for {
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		} else {
			select {
			case <-q.wake:
			case <-ctx.Done():
			}
		}
		for q.writeBatch(ends, &pause, written) {
		}
		if ctx.Err() != nil {
			for q.writeBatch(ends, &pause, written) {
			}
			return
		}
	}
}

// writeBatch commits the oldest records and reports whether to go on at once.
func (q *queue) writeBatch(ends context.Context, pause *time.Duration, written chan<- batch) bool {
	b := batch{items: q.take(), begun: time.Now()}
	if len(b.items) == 0 {
		*pause = 0
		return false
	}
	recs := make([]*Record, len(b.items))
	for i, p := range b.items {
		recs[i] = p.rec
	}
	cctx, cancel := context.WithTimeout(ends, commitPatience)
	var err error
	b.result, err = q.journal.Commit(cctx, recs)
	cancel()
	if err != nil {
		if refused := (*RefusedError)(nil); errors.As(err, &refused) && q.drop(b.items, refused) {
			return true
		}
		q.release(b.items)
		q.tell(err)
		*pause = min(max(2**pause, 20*time.Millisecond), time.Second)
		return false
	}
	*pause = 0
	if !q.unsynced.Load() {
		q.tell(nil)
	}
	q.mu.Lock()
	q.written += len(b.items)
	q.mu.Unlock()
	written <- b
	return true
}

// sync makes durable what was written, one batch or several at a time, and tells
// everybody. It gives up when ends does.
func (q *queue) sync(ends context.Context, written <-chan batch) {
	for b := range written {
		ready := []batch{b}
		for more := true; more && len(ready) < writeAhead; {
			select {
			case b, open := <-written:
				if more = open; open {
					ready = append(ready, b)
				}
			default:
				more = false
			}
		}
		var pause time.Duration
		err := q.journal.Sync()
		for err != nil && ends.Err() == nil {
			q.unsynced.Store(true)
			q.tell(err)
			pause = min(max(2*pause, 20*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-ends.Done():
			}
			err = q.journal.Sync()
		}
		if err != nil {
			for range written { //nolint:revive // abandon tells the waiters of all that is left
			}
			return
		}
		if q.unsynced.Swap(false) {
			q.tell(nil)
		}
		for _, b := range ready {
			q.commits.Add(1)
			q.commitNanos.Add(int64(time.Since(b.begun)))
			q.finish(b.items, b.result)
		}
	}
}

func (q *queue) tell(err error) {
	if q.health != nil {
		q.health(err)
	}
}

// take marks the oldest records that are not written as under way, as many as
// fit in one transaction, and returns them; they stay where they are in the queue.
func (q *queue) take() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items[q.written:]
	n, rows, bytes := 0, 0, int64(0)
	for n < len(items) && (n == 0 || rows+items[n].rows <= maxCommitRows && bytes+items[n].bytes <= maxCommitBytes) {
		rows += items[n].rows
		bytes += items[n].bytes
		items[n].underWay = true
		n++
	}
	return append([]*pending(nil), items[:n]...)
}

// release makes the records of a failed commit wait for the next one, except
// those that nobody wants any more.
func (q *queue) release(batch []*pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range batch {
		p.underWay = false
		if p.unwanted && q.remove(p) {
			p.err = ErrBusy
			close(p.done)
		}
	}
}

// drop gives up a record that can never be committed and reports whether it
// was found in the batch.
func (q *queue) drop(batch []*pending, refused *RefusedError) bool {
	q.release(batch)
	for _, p := range batch {
		if p.rec.No != refused.No || !q.withdraw(p) {
			continue
		}
		q.log.Error("journal refused a record", "no", refused.No, "error", refused.Err)
		p.err = refused
		close(p.done)
		return true
	}
	return false
}

// finish removes a batch that is durable from the queue and tells everybody.
func (q *queue) finish(batch []*pending, result Committed) {
	q.mu.Lock()
	for _, p := range batch {
		q.rows -= p.rows
		q.bytes -= p.bytes
	}
	q.written -= len(batch)
	rest := q.items[len(batch):]
	// Moving the rest down lets go of the committed records.
	copy(q.items, rest)
	clear(q.items[len(rest):])
	q.items = q.items[:len(rest)]
	q.mu.Unlock()
	if q.afterBatches != nil {
		q.afterBatches(result)
	}
	for _, p := range batch {
		if p.applied != nil {
			p.applied(result)
		}
		close(p.done)
		if q.committed != nil {
			q.committed(p.rec)
		}
		p.rec, p.applied = nil, nil // who waits for repeats keeps p
	}
}

// abandon tells the waiters of everything left that it will not become durable
// in this process.
func (q *queue) abandon() {
	q.mu.Lock()
	items := q.items
	q.items, q.written, q.rows, q.bytes = nil, 0, 0, 0
	q.mu.Unlock()
	for _, p := range items {
		p.err = ErrNotDurable
		close(p.done)
	}
	if len(items) > 0 {
		q.log.Error("stopped with records that are not durable", "records", len(items))
	}
}

// size estimates what a record takes in the queue.
func (r *Record) size() (rows int, bytes int64) {
	bytes = 256
	for i := range r.Events {
		e := &r.Events[i]
		bytes += 512 + int64(len(e.Account)+len(e.Session)+len(e.Device)+len(e.UserAgent)+len(e.Path)+len(e.Details)+len(e.Answer))
	}
	for i := range r.Shards {
		bytes += int64(len(r.Shards[i].Data))
	}
	if r.Policy != nil {
		bytes += int64(len(r.Policy.Document))
	}
	rest := len(r.Blocks) + len(r.Alerts) + len(r.Audit) + len(r.Sessions) + len(r.SessionEnds) + len(r.Known) + len(r.BlockEnds) +
		len(r.BlockHits) + len(r.BlockEdits) + len(r.Demands) + len(r.DemandEnds) + len(r.Revoke) + len(r.Trusted) +
		len(r.TrustedEnds) + len(r.Clears) + len(r.Marks) + len(r.Refusals) + len(r.Shards)
	return max(1, len(r.Events)+rest), bytes + 256*int64(rest)
}
