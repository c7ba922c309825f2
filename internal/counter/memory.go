package counter

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

type ticketState = atomic.Uint32

var errStub = errors.New("not built yet")

// Options are what a Memory is made of. Zero values take the defaults.
type Options struct {
	// Bytes is the memory it may use; default 128 MiB.
	Bytes int64
	// Shards is the number of parts that are saved and restored one by one, a
	// power of two; default 64.
	Shards int
	// Secret keys the digests of everything that strangers choose, so that
	// nobody can aim at a shard or a bucket. A checkpoint can be restored only
	// under the secret it was made under. Empty: a random one.
	Secret []byte
}

// Stats are the figures of a Memory.
type Stats struct {
	Keys       int
	Bytes      int64 // what it occupies
	Cap        int64 // what it may occupy
	Evicted    int64 // keys forgotten for lack of memory, ever
	Full       bool  // keys at half of their threshold had to be forgotten
	Guaranteed int   // as long as fewer keys stand at half of their threshold, none of them is forgotten
	Held       int   // reservations that hold slots
	Waiters    int   // tickets in line
}

// Memory is the Counter of one instance.
type Memory struct{}

var _ Counter = (*Memory)(nil)

// New returns an empty Memory.
func New(Options) *Memory { return &Memory{} }

// Fresh returns an empty Memory with the options of m, into which the journal
// can be replayed under a new policy; then Carry.
func (m *Memory) Fresh() *Memory { return &Memory{} }

// Carry takes over the reservations of from, which must not be used any more.
// Tickets that wait are told to retry.
func (m *Memory) Carry(from *Memory) {}

// Stats returns the figures of m.
func (m *Memory) Stats() Stats { return Stats{} }

// Sweep forgets what has left its window, and grants waiting tickets what
// became free by the passing of time.
func (m *Memory) Sweep(now time.Time) {}

// Expire grants waiting tickets what became free by the passing of time.
func (m *Memory) Expire(now time.Time) {}

// Replay counts hits as Apply does, but never crosses.
func (m *Memory) Replay(now time.Time, seq int64, hits []Hit) {}

// Empty empties the counters of keys, as a crossing did.
func (m *Memory) Empty(keys []Key, seq int64) {}

// Shards is the number of shards.
func (m *Memory) Shards() int { return 0 }

// Snapshot returns a shard, or nil if it has not changed since the last one.
func (m *Memory) Snapshot(shard int, seq int64) []byte { return nil }

// Unsaved makes the next Snapshot of shard return it in any case.
func (m *Memory) Unsaved(shard int) {}

// Restore fills a shard with a snapshot.
func (m *Memory) Restore(shard int, seq int64, data []byte) error { return errStub }

// Apply implements Counter.
func (m *Memory) Apply(ctx context.Context, now time.Time, hits []Hit) ([]Count, error) {
	return nil, errStub
}

// Reserve implements Counter.
func (m *Memory) Reserve(ctx context.Context, now time.Time, id string, hits []Hit) (*Ticket, Status, error) {
	return nil, 0, errStub
}

// Retry implements Counter.
func (m *Memory) Retry(t *Ticket) bool { return false }

// Cancel implements Counter.
func (m *Memory) Cancel(ctx context.Context, now time.Time, t *Ticket) error { return errStub }

// Settle implements Counter.
func (m *Memory) Settle(ctx context.Context, now time.Time, id string, hits []Hit) ([]Count, error) {
	return nil, errStub
}

// TakeOut implements Counter.
func (m *Memory) TakeOut(ctx context.Context, now time.Time, tag Tag, upTo time.Time, seq int64) (int, error) {
	return 0, errStub
}

// Remove implements Counter.
func (m *Memory) Remove(ctx context.Context, now time.Time, hits []Hit, seq int64) error {
	return errStub
}

// Counts implements Counter.
func (m *Memory) Counts(ctx context.Context, now time.Time, keys []Key) ([]Level, error) {
	return nil, errStub
}

// Clear implements Counter.
func (m *Memory) Clear(ctx context.Context, now time.Time, s Selection, seq int64) error {
	return errStub
}

// AddScore implements Counter.
func (m *Memory) AddScore(ctx context.Context, now time.Time, key Key, weight float64, halfLife time.Duration) (float64, error) {
	return 0, errStub
}

// Score implements Counter.
func (m *Memory) Score(ctx context.Context, now time.Time, key Key) (float64, error) {
	return 0, errStub
}
