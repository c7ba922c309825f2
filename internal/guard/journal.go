package guard

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// Journal is all that the engine asks of durable storage. store implements it.
type Journal interface {
	// Commit writes records, all in one transaction, in the order given. A record
	// whose No is not above the last one committed is skipped: the caller repeats
	// a Commit whose outcome it does not know. An error means that nothing of the
	// call was written (or that its outcome is unknown).
	Commit(ctx context.Context, records []*Record) (Committed, error)

	// Sync makes durable what was committed before. Commit goes on meanwhile.
	// After an error it is called again.
	Sync() error

	// Answers returns what was answered to the events that app reported under
	// ids since the given time; ids never seen are absent.
	Answers(ctx context.Context, app string, ids []string, since time.Time) (map[string]Answer, error)

	// Load reads everything that decisions need, as of now.
	Load(ctx context.Context, now time.Time) (*State, error)

	// History returns what addresses did within the look-back, those that did
	// anything a criterion could ask for, and keeps Committed.History up to date
	// with that look-back from now on; 0 ends that.
	History(ctx context.Context, lookback time.Duration, now time.Time) (map[netip.Prefix]History, error)

	// Blocks calls f for every Block that is live at now, in any order. f must not
	// keep it: the next one may be in the same place.
	Blocks(ctx context.Context, now time.Time, f func(*Block) error) error

	// Tail calls f for every event and clearing with a number above after, in
	// the order of their numbers.
	Tail(ctx context.Context, after int64, f func(TailItem) error) error
}

// ErrRecordRefused wraps the error of a record that can never be committed,
// such as one that breaks a constraint; Commit returns it as a *RefusedError.
var ErrRecordRefused = errors.New("record refused")

// RefusedError names the record that made a Commit fail for good.
type RefusedError struct {
	No  int64
	Err error
}

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap makes errors.Is(err, ErrRecordRefused) true.
func (e *RefusedError) Unwrap() []error { return []error{ErrRecordRefused, e.Err} }

// Record is one unit of the journal: all of it becomes durable together, or
// none of it. Most records hold one reported event with what followed from it.
// All slices may be empty.
type Record struct {
	No int64 // consecutive within the life of a database

	Events      []Event // the reported event first, then Warder's own
	Blocks      []*Block
	BlockEnds   []BlockEnd
	BlockHits   []BlockHits
	BlockEdits  []BlockEdit
	Demands     []*Demand
	DemandEnds  []string // ids
	Known       []Known
	Sessions    []Session // opened, or seen again: upserted by (Realm-independent) ID
	SessionEnds []string  // ids that their users ended: forgotten, unless revoked
	Revoke      []Revoke
	Trusted     []Trusted
	TrustedEnds []string // ids
	Clears      []Clear
	Marks       []Mark
	Refusals    []Refusal
	Alerts      []*Alert
	Audit       []Audit
	Shards      []Shard
	Policy      *Revision
}

// Event is a row of the event log: what was reported, and what it led to.
type Event struct {
	warder.Event           // ID, Time and all texts as stored; Time is filled in
	Seq          int64     // ascending in the order of decision; Unix microseconds, made unique
	Arrival      time.Time // when it reached Warder
	App          string    // id of the API key that reported it; "" = Warder's own
	OwnID        bool      // the application chose the ID; its answer is kept whole
	AccountKey   string
	Address      netip.Prefix // the address key; invalid if degraded
	Severity     warder.Severity
	Action       warder.Action // of the decision
	Why          warder.Why
	Rule         string
	BlockID      string
	Reference    string
	Eligible     bool          // it may count (SEMANTICS 5)
	Source       string        // the known source it came from
	Facts        []byte        // what a replay must know to judge it again, JSON; usually empty
	Completed    bool          // it completed a sign-in
	Failed       bool          // it is a failed sign-in that may count, with a guess that was not counted yet
	Takes        []string      // classes of hits that it took out as a success
	Emptied      []counter.Key // counters that it emptied
	Replaces     int64         // number of the unsettled event whose hits it replaces
	Digest       []byte        // of the reported body, for repeats
	Answer       []byte        // the decision as it was answered, JSON
}

// Answer is what was answered to an event before.
type Answer struct {
	Digest   []byte
	Severity warder.Severity
	Answer   []byte // the decision as JSON
	// Unsettled is the event itself if it is the failure that the engine wrote
	// for an attempt which nobody settled in time.
	Unsettled *Event
}

// Origins of a Block.
const (
	FromRule   = "rule"
	FromManual = "manual"
	FromPolicy = "policy" // the policy's `blocked` list
	FromImport = "import"
)

// Verdicts of lifting a Block.
const (
	VerdictError    = "error"
	VerdictResolved = "resolved"
)

// Block is a standing refusal. State is derived, see State.
type Block struct {
	ID           string         `json:"id"`
	Reference    string         `json:"reference"`
	Subject      warder.Subject `json:"subject"`
	Origin       string         `json:"source"`
	Rule         string         `json:"rule,omitempty"`
	EventName    string         `json:"event,omitempty"`  // of the deciding event
	EventSeq     int64          `json:"-"`                // of the deciding event
	Reason       string         `json:"reason,omitempty"` // in words
	By           string         `json:"by,omitempty"`     // actor of a manual Block
	From         time.Time      `json:"from,omitzero"`    // zero: memory does not keep it
	Until        time.Time      `json:"until,omitzero"`   // zero: until lifted
	Cut          string         `json:"cut,omitempty"`    // why it is shorter than its rule says
	Observed     bool           `json:"observed"`
	GoodAccounts int            `json:"good_accounts_14d"`
	Threshold    int            `json:"threshold,omitempty"`
	Window       int64          `json:"window,omitempty"` // seconds
	Also         []string       `json:"also,omitempty"`
	// Members are the numbers of the events that led to it; the store copies
	// what matters of them into Evidence when it commits the Block.
	Members  []counter.Evidence `json:"-"`
	Evidence []Evidence         `json:"evidence,omitempty"`

	LiftedAt   time.Time `json:"lifted_at,omitzero"`
	LiftedBy   string    `json:"lifted_by,omitempty"`
	Verdict    string    `json:"verdict,omitempty"`
	LiftReason string    `json:"lift_reason,omitempty"`
	EndedAt    time.Time `json:"ended_at,omitzero"` // released by itself
	Hits       int64     `json:"hits"`
	LastHit    time.Time `json:"last_hit,omitzero"`
	ReviewedBy string    `json:"reviewed_by,omitempty"`
	ReviewedAt time.Time `json:"reviewed_at,omitzero"`
	Note       string    `json:"note,omitempty"`
}

// Evidence is a copy of one event that led to a Block.
type Evidence struct {
	Seq       int64     `json:"seq"`
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Name      string    `json:"name"`
	IP        string    `json:"ip,omitempty"`
	Account   string    `json:"account,omitempty"`
	Realm     string    `json:"realm,omitempty"`
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

// States of a Block.
const (
	StateActive   = "active"
	StateExpired  = "expired"
	StateLifted   = "lifted"
	StateObserved = "observed"
)

// State derives the state of a Block at now.
func (b *Block) State(now time.Time) string {
	switch {
	case b.Observed:
		return StateObserved
	case !b.LiftedAt.IsZero():
		return StateLifted
	case !b.EndedAt.IsZero(), !b.Until.IsZero() && !now.Before(b.Until):
		return StateExpired // by itself, or superseded before its time
	}
	return StateActive
}

// outlasts reports whether b ends later than o.
func (b *Block) outlasts(o *Block) bool {
	return !o.Until.IsZero() && (b.Until.IsZero() || b.Until.After(o.Until))
}

// BlockEnd ends a Block: lifted by somebody, or released because its time is
// over (By empty).
type BlockEnd struct {
	ID      string
	At      time.Time
	By      string
	Verdict string
	Reason  string
}

// BlockHits adds refused requests to a Block's count.
type BlockHits struct {
	ID   string
	N    int64
	Last time.Time
}

// BlockEdit changes what people wrote on a Block; nil leaves a field alone.
type BlockEdit struct {
	ID       string
	Note     *string
	Reviewed *string // who reviewed it; "" takes the review back
	At       time.Time
	Until    *time.Time // zero time: permanent
}

// Demand is a standing requirement of a challenge or of MFA.
type Demand struct {
	ID       string         `json:"id"`
	Subject  warder.Subject `json:"subject"`
	Action   warder.Action  `json:"action"`
	Rule     string         `json:"rule"`
	From     time.Time      `json:"from"`
	Until    time.Time      `json:"until,omitzero"`
	Observed bool           `json:"observed"`
	EventSeq int64          `json:"-"`
}

// Known is a source from which an account completed a sign-in: a device
// ("d:" and a hash) or an address key ("a:" and the prefix).
type Known struct {
	Account string // account key
	Source  string
	Address netip.Prefix // where it signed in from, also for a device
	Realm   string
	At      time.Time
}

// Session is an application's session, exactly as the application names it.
type Session struct {
	ID         string       `json:"session"`
	Account    string       `json:"account"` // as last reported, for display
	AccountKey string       `json:"-"`
	Realm      string       `json:"realm,omitempty"`
	Opening    netip.Prefix `json:"opened_from"`
	Latest     netip.Prefix `json:"last_from"`
	Agent      string       `json:"agent,omitempty"` // family of the user agent at its opening
	Opened     time.Time    `json:"opened"`
	LastUsed   time.Time    `json:"last_used"`
	RevokedAt  time.Time    `json:"revoked_at,omitzero"`
	Reason     string       `json:"reason,omitempty"`
}

// Revoke ends sessions: the one named, or all of an account key, or all whose
// opening or latest address lies in a prefix. Sessions that were never opened
// are revoked by name too, so that a hijacked session that is unknown here ends.
type Revoke struct {
	Session    string
	AccountKey string
	Address    netip.Prefix
	Reason     string
	At         time.Time
	By         string
}

// Revoked is one session that a Commit ended.
type Revoked struct {
	Seq     int64     `json:"seq"`
	Session string    `json:"session"`
	Account string    `json:"account,omitempty"`
	IP      string    `json:"ip,omitempty"` // latest address key
	Reason  string    `json:"reason"`
	Time    time.Time `json:"time"`

	AccountKey string `json:"-"`
	Realm      string `json:"-"`
}

// Trusted is an operator's entry of the trusted list.
type Trusted struct {
	ID    string       `json:"id"`
	IP    netip.Prefix `json:"ip"`
	Note  string       `json:"note,omitempty"`
	By    string       `json:"by,omitempty"`
	From  time.Time    `json:"from"`
	Until time.Time    `json:"until,omitzero"`
}

// Clear is a clearing of counters, journaled so that a replay repeats it.
type Clear struct {
	Seq            int64
	At             time.Time
	Selection      counter.Selection
	RestartMetrics bool // statistics start anew from here
}

// Mark is an operator's judgement of an address.
type Mark struct {
	Address    netip.Prefix
	Fraudulent bool
	Note       string
	By         string
	At         time.Time
}

// Refusal remembers a refusal that has no Block, so that its reference can be
// looked up.
type Refusal struct {
	Reference string          `json:"reference"`
	Time      time.Time       `json:"time"`
	Address   netip.Prefix    `json:"ip"`
	Account   string          `json:"account,omitempty"`
	Why       warder.Why      `json:"reason"`
	Rule      string          `json:"rule,omitempty"`
	Details   json.RawMessage `json:"details,omitempty"` // the numbers
}

// Kinds of alert.
const (
	AlertCrossing     = "crossing"
	AlertSuspect      = "client_address_suspect"
	AlertForwarder    = "untrusted_forwarder"
	AlertBlastRadius  = "blast_radius"
	AlertCountersFull = "counters_full"
	AlertTest         = "test"
	AlertThreshold    = "threshold" // one operator's own
)

// Alert is something that the administrators are told. It is written in the
// transaction of what it tells about and delivered at least once.
type Alert struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	For      string          `json:"for,omitempty"` // the one e-mail address that it is for; empty: everybody who wants it
	Time     time.Time       `json:"time"`
	Severity warder.Severity `json:"severity"`
	IP       string          `json:"ip,omitempty"` // the address of the deciding event
	Account  string          `json:"account,omitempty"`
	Realm    string          `json:"realm,omitempty"`
	Event    string          `json:"event,omitempty"` // name of the deciding event
	Rule     string          `json:"rule,omitempty"`
	Action   warder.Action   `json:"action"`
	Spared   string          `json:"spared,omitempty"` // why nothing was blocked
	Text     string          `json:"text,omitempty"`   // for kinds without a crossing: what to do
	Count    int             `json:"count,omitempty"`
	Window   int64           `json:"window,omitempty"` // seconds
	// GoodAccounts is the number of different accounts that signed in well from
	// the address in 14 days: could this be a mistake?
	GoodAccounts int                `json:"good_accounts_14d"`
	Block        *Block             `json:"block,omitempty"`
	Members      []counter.Evidence `json:"-"` // as in Block
	Evidence     []Evidence         `json:"evidence,omitempty"`
}

// Audit is one row of the audit trail; the store chains it to the one before.
type Audit struct {
	Time   time.Time       `json:"time"`
	Actor  string          `json:"actor"` // operator:<email>, key:<name>, cli:<uid>, warder
	Action string          `json:"action"`
	Target string          `json:"target,omitempty"`
	Reason string          `json:"reason,omitempty"`
	From   string          `json:"from,omitempty"` // address of the actor
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Shard is the checkpoint of one shard of the counters: everything up to event
// number Seq is in it.
type Shard struct {
	Index int
	Seq   int64
	Data  []byte
}

// Revision is one version of the policy document.
type Revision struct {
	N        int64     `json:"revision"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	Comment  string    `json:"comment,omitempty"`
	Document []byte    `json:"-"` // YAML
}

// Committed is what the engine learns from a Commit.
type Committed struct {
	Revoked []Revoked
	// History is filled for the address keys of the committed events, marks and
	// clearings when the journal was asked to keep it (Journal.History).
	History map[netip.Prefix]History
}

// History is what an address did before.
type History struct {
	Blocks     int // automatic Blocks within the look-back, not lifted by an operator
	Failures   int // failures within the look-back
	Fraudulent bool
}

// State is what Load returns.
type State struct {
	LastSeq  int64 // of events and clearings
	LastNo   int64
	Demands  []*Demand
	Trusted  []Trusted
	Known    []Known   // newest first, at most as many as fit
	Sessions []Session // live ones, last used first, at most as many as fit
	Revoked  []string  // ids of sessions revoked and last used within 30 days
	Good     []Good    // of the last 14 days
	Hours    []Hour    // of the last 24 h, of addresses in Good
	Steps    []Step    // automatic Blocks that ended within 7 days, not lifted
	Shards   []Shard
	Policy   *Revision // nil: none was ever saved
	Shown    time.Time // start of the statistics, see Clear.RestartMetrics
}

// Good is one account that completed sign-ins from an address; At is the last.
type Good struct {
	Address netip.Prefix
	Account string
	At      time.Time
}

// Hour counts the completed and the failed sign-ins of one address and realm
// in one hour.
type Hour struct {
	Address netip.Prefix
	Realm   string
	Hour    time.Time
	OK, Bad int
}

// Step is one ended automatic Block.
type Step struct {
	Subject warder.Subject
	Ended   time.Time
}

// TailItem is an event, or a clearing.
type TailItem struct {
	Event *Event
	Clear *Clear
}
