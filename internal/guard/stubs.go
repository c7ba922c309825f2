package guard

import (
	"context"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// The signatures below are final; their bodies are being written.

// New makes an engine from opts. Call Load before anything else, and Run.
func New(opts Options) (*Guard, error) { panic("unwritten") }

// Load reads Blocks, Demands, trusted, sessions, known sources and counters
// from the journal, so that a restart resets nobody.
func (g *Guard) Load(ctx context.Context) error { panic("unwritten") }

// Run commits the journal, expires attempts and Blocks and checkpoints the
// counters until ctx ends; then it commits what is queued.
func (g *Guard) Run(ctx context.Context) error { panic("unwritten") }

// Check decides about one request. It counts nothing, waits for nothing and
// reads memory only.
func (g *Guard) Check(app *App, q *Query) warder.Decision { panic("unwritten") }

// Report takes events in, one by one in the order given, and returns when all
// of them are durable (or after 2 s, with ErrNotDurable on those that are not).
func (g *Guard) Report(ctx context.Context, app *App, events []Incoming) []Reported {
	panic("unwritten")
}

// Begin announces a sign-in: it reserves a slot in every enforcing rule that
// its failure would hit. While slots are held by others it waits its turn, at
// most wait, then ErrBusy. idempotency may be empty.
func (g *Guard) Begin(ctx context.Context, app *App, q Query, wait time.Duration, idempotency string) (Attempt, error) {
	panic("unwritten")
}

// Settle reports the outcome of an attempt. ErrConflict: it was settled
// before. ErrNotFound: the token is not ours or too old.
func (g *Guard) Settle(ctx context.Context, app *App, token string, s Settlement) (Reported, error) {
	panic("unwritten")
}

// Cleared records that a challenge was solved and returns the clearance.
func (g *Guard) Cleared(ip netip.Addr, realm string) (clearance string, expiresIn time.Duration) {
	panic("unwritten")
}

// Block makes a Block by hand. *OverlapError says whom it would have hit.
func (g *Guard) Block(ctx context.Context, by Actor, b NewBlock) (*Block, error) { panic("unwritten") }

// ImportBlocks makes many; the result has one error (or nil) for each.
func (g *Guard) ImportBlocks(ctx context.Context, by Actor, list []NewBlock) ([]error, error) {
	panic("unwritten")
}

// Lift ends Blocks and returns them. ErrNotFound: none of them is live;
// *CoveredError: the address is blocked by a wider one.
func (g *Guard) Lift(ctx context.Context, by Actor, l Lift) ([]*Block, error) { panic("unwritten") }

// EditBlock changes the note, the review or the end of a live Block.
func (g *Guard) EditBlock(ctx context.Context, by Actor, edit BlockEdit) error { panic("unwritten") }

// Trust adds an entry to the trusted list; zero expiry: until removed.
func (g *Guard) Trust(ctx context.Context, by Actor, ip netip.Prefix, note string, expiresIn time.Duration) (Trusted, error) {
	panic("unwritten")
}

// Untrust removes an entry. ErrNotFound; ErrConflict for one of the policy.
func (g *Guard) Untrust(ctx context.Context, by Actor, id string) error { panic("unwritten") }

// TrustedList returns the entries in force, those of the policy (ID
// "policy:<n>") first.
func (g *Guard) TrustedList() []Trusted { panic("unwritten") }

// ClearCounters empties counters and scores: of an address, of an account (in
// a realm), of both, or all. It lifts no Block.
func (g *Guard) ClearCounters(ctx context.Context, by Actor, c ClearRequest) error {
	panic("unwritten")
}

// ClearRequest says what to clear; all empty means everything.
type ClearRequest struct {
	IP             netip.Prefix // an address key, or a wider prefix
	Account        string
	Realm          string
	RestartMetrics bool
}

// Mark records that an address is known to be fraudulent, or that it is not.
func (g *Guard) Mark(ctx context.Context, by Actor, ip netip.Addr, fraudulent bool, note string) error {
	panic("unwritten")
}

// RevokeSessions ends sessions: exactly one of session, account or ip is set.
func (g *Guard) RevokeSessions(ctx context.Context, by Actor, r RevokeRequest) ([]Revoked, error) {
	panic("unwritten")
}

// RevokeRequest names the sessions to end.
type RevokeRequest struct {
	Session string
	Account string
	Realm   string // of Account; empty: every realm it was seen in is not searched, only ""
	IP      netip.Prefix
	Reason  string
}

// RevocationsChanged returns a channel that is closed at the next revocation.
func (g *Guard) RevocationsChanged() <-chan struct{} { panic("unwritten") }

// Policy returns the document in force and its revision (0: the preset).
func (g *Guard) Policy() (*policy.Document, int64) { panic("unwritten") }

// SetPolicy validates a document, runs its tests, saves it and puts it in
// force. ifRevision < 0 means whatever is in force; otherwise ErrStale if the
// revision in force is another. The error is warder.Faults for a faulty
// document.
func (g *Guard) SetPolicy(ctx context.Context, by Actor, d *policy.Document, comment string, ifRevision int64) (Revision, error) {
	panic("unwritten")
}

// SetProvider puts a provider's list in force; nil takes it out. lookup must
// be safe for concurrent use and allocate nothing.
func (g *Guard) SetProvider(name string, lookup func(netip.Addr) (level int, ok bool)) {
	panic("unwritten")
}

// ProtectAddress makes the address key of a signed-in administrator
// self-protected until the given time.
func (g *Guard) ProtectAddress(ip netip.Addr, until time.Time) { panic("unwritten") }

// Protected reports whether an automatic Block of p would hit ourselves.
func (g *Guard) Protected(p netip.Prefix) bool { panic("unwritten") }

// NoteUntrustedForwarder is told when a private peer sends a forwarding header
// without being a trusted proxy (SEMANTICS 55).
func (g *Guard) NoteUntrustedForwarder(peer netip.Addr) { panic("unwritten") }

// Degraded lists what is degraded now, oldest first.
func (g *Guard) Degraded() []Degradation { panic("unwritten") }

// Degrade sets or clears a reason from outside: mail, providers.
func (g *Guard) Degrade(reason, detail string, on bool) { panic("unwritten") }

// Explain tells how a decision comes about now, in numbers and words.
func (g *Guard) Explain(q Query) Explanation { panic("unwritten") }

// Explanation is the answer to "why?": the decision, and every fact, rule and
// counter behind it.
type Explanation struct {
	Decision warder.Decision `json:"decision"`
	Steps    []string        `json:"steps"` // in words, in the order of deciding
	Counters []CounterState  `json:"counters"`
	Blocks   []*Block        `json:"blocks"`
	Demands  []*Demand       `json:"demands"`
	Known    bool            `json:"known_source"`
	Shared   int             `json:"good_accounts_14d"`
	Levels   map[string]int  `json:"providers,omitempty"`
	History  *History        `json:"history,omitempty"`
}

// CounterState is one counter that a failure of the query would hit.
type CounterState struct {
	Rule      string      `json:"rule"`
	Key       string      `json:"key"`
	Count     int         `json:"count"`
	Held      int         `json:"held"`
	Threshold int         `json:"threshold"`
	Window    int64       `json:"window"` // seconds
	Mode      warder.Mode `json:"mode"`
}

// Subscribe returns the records that are committed from now on. A slow reader
// misses records rather than delaying anybody; cancel ends it.
func (g *Guard) Subscribe() (records <-chan *Record, cancel func()) { panic("unwritten") }

// Stats are figures for /metrics.
type Stats struct {
	Blocks        int
	Demands       int
	Trusted       int
	Sessions      int
	Known         int
	Attempts      int
	QueueRows     int
	QueueBytes    int64
	Unjournaled   int64 // settlements that counted but could not be journaled
	Commits       int64
	CommitSeconds float64 // sum
	Counters      counter.Stats
}

// Stats returns current figures.
func (g *Guard) Stats() Stats { panic("unwritten") }
