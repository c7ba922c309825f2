// Package counter counts different members in sliding windows: how many
// different guesses came from one address, how many different accounts were
// tried from it. It also holds slots for attempts whose outcome is not known
// yet, so that a threshold is never overshot however parallel the attempts are.
//
// It promises: exact counts for thresholds up to Exact, with evidence; all
// operations atomic; memory within the bytes it was given. It knows no policy,
// no clock and no storage: instants arrive as values, keys as the caller built
// them.
package counter

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Exact is the largest threshold that is counted exactly, member by member.
// Above it a window is divided into Buckets sub-buckets: every hit counts, the
// error is at most window/Buckets, there is no evidence and nothing is taken
// out by a success.
const (
	Exact   = 128
	Buckets = 60
)

// Bounds on waiting (SEMANTICS 20).
const (
	MaxWaitersPerKey = 1024
	MaxWaiters       = 10000
)

// ErrBusy is returned by Reserve when a queue, or the memory for reservations,
// is full.
var ErrBusy = errors.New("too many attempts are waiting")

// ErrReserved is returned by Reserve for an id that is in use.
var ErrReserved = errors.New("reservation exists already")

// Key names one counter: a rule and the parts of a request it counts by. Parts
// that the rule does not count by are zero. Account is an account key; Source
// is set for the counters that judge a known source apart (SEMANTICS 8).
type Key struct {
	Rule    string
	Address netip.Prefix
	Account string
	Source  string
	Session string
	Realm   string
}

// Tag says whose hit it is, so that a completed sign-in can take its share out
// of every counter. Class separates hits that different successes take out
// ("" by a sign-in, "mfa" by an MFA success).
type Tag struct {
	Account string
	Address netip.Prefix
	Class   string
}

// Hit is one event seen by one counter.
type Hit struct {
	Key       Key
	Window    time.Duration
	Threshold int
	Member    string    // hits with the same member count once
	At        time.Time // the hit's own time, never after now
	Seq       int64     // the event's number; kept as evidence, and 0 while reserving
	Tag       Tag
	Unsettled bool // the outcome was never reported; kept in the evidence
}

// Evidence is one member of a counter.
type Evidence struct {
	Seq       int64
	At        time.Time
	Unsettled bool
}

// Count is what a hit did to its counter. N is the number of different members
// in the window with this hit included, before a crossing emptied it. Repeat
// says that the member was there already: its time, number and tag are renewed,
// unless this hit is the older of the two. Stale says that the hit is older than
// its window and was not counted. Crossed says that N reached the threshold: the
// members became Evidence, oldest first, and the counter was emptied.
type Count struct {
	N        int
	Repeat   bool
	Stale    bool
	Crossed  bool
	Evidence []Evidence
}

// Status is what Reserve found.
type Status uint8

// The states of a reservation.
const (
	Granted Status = iota // every slot is held
	Waiting               // some slot is held by others; see Ticket
)

// Ticket is a reservation, granted or waiting in line.
type Ticket struct {
	// ID is the caller's name of the reservation.
	ID string

	done  chan struct{}
	state ticketState // of Memory, like slots
	slots []slot
}

// NewTicket is for other implementations of Counter: a ticket and the function
// that closes its Done, to be called once.
func NewTicket(id string) (t *Ticket, ready func()) {
	t = &Ticket{ID: id, done: make(chan struct{})}
	return t, func() { close(t.done) }
}

// Done is closed when the ticket is granted, or when one of its counters crossed
// and the caller has to decide anew (Retry).
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Counter is the contract that every implementation fulfils and
// countertest.Run checks. All times in one call and between calls may go
// backwards by a little; a hit is placed by its own time. Implementations are
// safe for concurrent use. Errors are those of a remote store; Memory returns
// none but ErrBusy and ErrReserved.
type Counter interface {
	// Apply counts hits, each in its own counter, all in one atomic step, and
	// returns a Count for each. Waiting tickets on a counter that crossed are
	// told to retry.
	Apply(ctx context.Context, now time.Time, hits []Hit) ([]Count, error)

	// Reserve holds one slot for every hit, all or none. A slot is free while
	// the different members and the different held members together are fewer
	// than the threshold; a member that is counted or held already needs no
	// slot of its own. When slots are lacking only because others hold them,
	// or when somebody waits ahead in one of its lines, the ticket waits, first
	// come first served. id must be new.
	Reserve(ctx context.Context, now time.Time, id string, hits []Hit) (*Ticket, Status, error)

	// Retry reports whether a ticket whose Done is closed was told to decide
	// anew; it is then out of every line and holds nothing. False means granted.
	Retry(t *Ticket) bool

	// Cancel takes a waiting ticket out of line, or frees what it was granted.
	Cancel(ctx context.Context, now time.Time, t *Ticket) error

	// Settle frees the slots of reservation id (unknown ids hold none) and
	// counts hits in the same atomic step. No hits: the slots become free.
	Settle(ctx context.Context, now time.Time, id string, hits []Hit) ([]Count, error)

	// TakeOut removes the members whose latest hit carries tag and is not after
	// upTo from every exact counter, and returns how many it removed. seq is the
	// number of the event that causes it (see Memory.Restore).
	TakeOut(ctx context.Context, now time.Time, tag Tag, upTo time.Time, seq int64) (int, error)

	// Remove takes the members of hits out of their counters.
	Remove(ctx context.Context, now time.Time, hits []Hit, seq int64) error

	// Counts returns the members in the window and the slots held for keys.
	Counts(ctx context.Context, now time.Time, keys []Key) ([]Level, error)

	// Clear empties the counters and scores that a selection names.
	// Reservations stay.
	Clear(ctx context.Context, now time.Time, s Selection, seq int64) error

	// AddScore adds weight to the decaying score of key and returns it. The
	// score halves every halfLife. Score reads it.
	AddScore(ctx context.Context, now time.Time, key Key, weight float64, halfLife time.Duration) (float64, error)
	Score(ctx context.Context, now time.Time, key Key) (float64, error)
}

// Level is the state of one counter.
type Level struct {
	N         int
	Held      int
	Threshold int // of its latest hit or reservation; 0 if nothing is counted or held
	Evidence  []Evidence
}

// Selection names counters for Clear: those of an address key, of an account
// key, of one rule, of exactly one key, or all of them. The set fields must all match; All must
// be set to select everything.
type Selection struct {
	All     bool
	Address netip.Prefix
	Account string
	Rule    string
	Key     *Key
}
