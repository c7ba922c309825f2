// Package guard is the engine: events, attempts and checks come in, decisions
// go out. It keeps in memory everything that a decision needs, changes it one
// event at a time, and journals every change.
//
// It promises the order memory, journal, answer: a check or a refusal never
// waits for storage; an event is acknowledged only when it is durable. Its own
// refusals never count as failures, its own proxies are never blocked, and a
// dead database lifts no block. It does not speak HTTP, SQL or SMTP.
package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// Errors that callers may test for.
var (
	ErrNotFound   = errors.New("not found")
	ErrConflict   = errors.New("conflict")          // already done, or done differently
	ErrBusy       = errors.New("busy")              // try again; nothing was counted
	ErrNotDurable = errors.New("not durable yet")   // it is counted and queued, its commit is outstanding
	ErrStale      = errors.New("changed meanwhile") // If-Match failed
)

// What ErrConflict is about.
var (
	errSettled   = fmt.Errorf("%w: the outcome of this attempt was reported before", ErrConflict)
	errOtherBody = fmt.Errorf("%w: this id was used within 24 hours with another body", ErrConflict)
)

// OverlapError refuses a Block that would cover somebody who must not be
// blocked.
type OverlapError struct {
	With netip.Prefix
	What string // "trusted", "self_protected", "too_wide"
}

func (e *OverlapError) Error() string {
	switch e.What {
	case "too_wide":
		return e.With.String() + " is wider than /8 (IPv6 /19)"
	case "self_protected":
		return "overlaps " + e.With.String() + ", which protects Warder itself, its proxies and its people"
	}
	return "overlaps " + e.With.String() + ", which is " + e.What
}

// Options are what an engine is made of.
type Options struct {
	Journal  Journal
	Counters *counter.Memory
	Logger   *slog.Logger
	// Secret (32 bytes or more) signs attempts and clearances. It must survive
	// restarts.
	Secret []byte
	// Protected are prefixes that are never blocked by a rule: loopback, own
	// interfaces, trusted proxies, never_block.
	Protected []netip.Prefix
	// Preset is the policy in force until one is saved.
	Preset *policy.Document
	// OnPolicy is told of every policy that comes into force, also the first.
	OnPolicy func(*policy.Policy)
	// ChallengeURL makes the address of the page that poses a challenge to who
	// sends a request; empty: there is none. May be nil.
	ChallengeURL func(q *Query) string
	// KnownBytes and SessionBytes cap the tables of known sources and sessions.
	KnownBytes, SessionBytes int64
}

// App is the application that asks, known by its API key.
type App struct {
	ID           string
	Name         string
	CanChallenge bool
	CanMFA       bool
	// StepsDown says that it poses a challenge where MFA is demanded and it
	// cannot ask for it, instead of letting the request through (SEMANTICS 30).
	StepsDown bool
	// Own is Warder's own dashboard. What stands against an address refuses
	// nobody there (SEMANTICS 36): whoever is to lift a Block must get in.
	Own bool
	// Known says that the device is known to the account by the dashboard's own
	// records. What stands against the account by strangers does not concern it.
	Known bool
}

// Actor is who changes something, for the audit trail. Urgent lets Lift act at
// once, whatever the database does, and be journaled later: for the local
// socket, since an innocent must not wait for a disk. All else waits for its
// audit row.
type Actor struct {
	Name   string // operator:<email>, key:<name>, cli:<uid>
	From   string // address, may be empty
	Urgent bool
}

// Query asks for a decision about one request.
type Query struct {
	IP        netip.Addr // invalid: the client is unknown
	Account   string
	Realm     string
	Session   string
	Device    string
	UserAgent string
	Event     string // stem of the event that an attempt will become, such as USER_LOGIN
	Method    string
	Path      string
	Clearance string

	own, known, stepsDown bool // of the App that asks; see there
	why                   bool // an operator asks: nobody is refused
}

// Incoming is one reported event. Faults refuse it without harming the others
// of its batch. Digest identifies the body as it was sent.
type Incoming struct {
	Event  warder.Event
	Digest []byte
	Faults warder.Faults
}

// Reported is the answer to one event. Err is nil, warder.Faults, ErrConflict
// (same id, other body), ErrBusy or ErrNotDurable.
type Reported struct {
	ID       string
	Severity warder.Severity
	Decision warder.Decision
	Err      error
}

// Attempt is the answer to the announcement of a sign-in.
type Attempt struct {
	Token     string // empty: do not check the password
	ExpiresIn time.Duration
	Decision  warder.Decision
}

// Settlement is the outcome of an attempt.
type Settlement struct {
	Outcome warder.Outcome
	Reason  string
	Guess   warder.Guess
	Session string
	Account string // if it was not known at the start
	// SecondFactor says that a success is half of one: the sign-in is completed
	// by the MFA_SUCCESS that follows.
	SecondFactor bool
	Digest       []byte
}

// NewBlock is a Block made by hand. Zero Duration means permanent.
type NewBlock struct {
	IP       netip.Prefix
	Reason   string
	Duration time.Duration
}

// Lift names Blocks to lift, by id or by subject prefix, and why.
type Lift struct {
	IDs           []string
	IP            netip.Prefix
	Verdict       string // VerdictError or VerdictResolved
	Reason        string
	TrustFor      time.Duration // 0: not at all
	ClearCounters bool
}

// CoveredError says that an address is blocked by a wider Block than the one
// asked to be lifted.
type CoveredError struct {
	By *Block
}

func (e *CoveredError) Error() string {
	return "covered by the block of " + e.By.Subject.IP.String() + ": lift that one"
}

// Listed is what a provider says of an address.
type Listed struct {
	Level int
}

// Degradation is one reason why Warder works with less than it should, and
// what to do about it.
type Degradation struct {
	Reason string    `json:"reason"`
	Detail string    `json:"detail,omitempty"`
	Since  time.Time `json:"since"`
}
