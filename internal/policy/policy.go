// Package policy is the policy document: how it is written, what is wrong with
// it, and the pure functions that decide by it. It knows no clock, does no I/O
// and keeps no state (a World is its caller's), so a replayed log is judged
// exactly like live traffic.
//
// A decision takes four steps. Needs names what must be known about an event;
// the caller answers with Facts. Hits names the counters that the event
// touches; the caller applies them in one atomic step. Decide turns the counts
// into a Verdict.
package policy

import (
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// KeyKind is what a rule counts by.
type KeyKind string

// The kinds of key.
const (
	ByIP        KeyKind = "ip"
	ByAccount   KeyKind = "account"
	ByIPAccount KeyKind = "ip+account"
	BySession   KeyKind = "session"
	ByRealm     KeyKind = "realm"
)

// Needs names the facts that cost something to find out. The others are always
// given.
type Needs struct {
	Source        bool // is the event's source known to its account?
	RecentSession bool // was its session valid within 24 h?
	// Steps are the subjects whose earlier Blocks decide the step of an
	// escalation. Where the source turns out to be known, the answer to a
	// subject of an account alone is also given for that account with the
	// source (SEMANTICS 8).
	Steps []warder.Subject
}

// Facts is what the engine knows about an event on its arrival.
type Facts struct {
	Trusted       bool   // the address is trusted
	SelfProtected bool   // loopback, own interface, trusted proxy, a signed-in administrator's address
	Covered       bool   // a Block or a revoked session covered the event on arrival
	Refused       bool   // Warder itself refused it
	Errored       bool   // its outcome is `error`
	Source        string // the known source it came from; empty: unknown to the account
	RecentSession bool

	GoodAccounts int  // different accounts that completed sign-ins from the address in 14 days
	Hostile      bool // fewer than 5 % of the address's sign-ins of the last 24 h succeeded
	Suspect      bool // the address looks like a proxy, not like a client (SEMANTICS 55)
	BlastRadius  bool // new automatic Blocks are cut short for now (SEMANTICS 56)

	Steps map[warder.Subject]int // see Needs.Steps: automatic Blocks that ended within 7 days, not lifted
	// Demanded lists the Demands that stand on the event, by rule: while one
	// stands, its own rule does not count.
	Demanded []Demanded
}

// Demanded is a rule's standing Demand.
type Demanded struct {
	Rule    string
	Subject warder.Subject
}

// Hit is a hit together with the rule it belongs to.
type Hit struct {
	counter.Hit
	Rule *Rule
}

// Verdict is what one event led to. Counted says that at least one rule counted
// it as something new.
type Verdict struct {
	Severity warder.Severity
	Counted  bool
	Repeat   bool          // a rule that counts guesses has this one already
	Crossing *Crossing     // the crossing of record, or nil
	Emptied  []counter.Key // every counter that the event emptied, that of record included
}

// Crossing is the hit that brought a rule's count to its threshold, and what
// follows from it.
type Crossing struct {
	Rule     *Rule
	Subject  warder.Subject
	Action   warder.Action
	Observed bool          // the rule only observes: a row, nothing is enforced
	Duration time.Duration // from arrival; 0 = until lifted
	Cut      string        // why Duration is shorter than the rule says: "", "shared_address", "unsettled", "blast_radius", "event"
	Spared   string        // why nothing is blocked: "", "self_protected", "client_address_suspect"
	Alert    bool          // an alert belongs to it
	Count    int
	Evidence []counter.Evidence
	Also     []string // other rules that the same event crossed
}

// Blocked is a standing refusal that the document itself names.
type Blocked struct {
	IP     netip.Prefix
	Reason string
	Until  time.Time // zero: no end
}

// Rule is a compiled rule of the activity section. Its mode is the effective
// one: the weakest of the document's, the section's and its own.
type Rule struct {
	ID        string
	Index     int // place in the policy, from 0
	Key       KeyKind
	Distinct  string // "", account, ip, path
	Threshold int
	Window    time.Duration
	Cooling   time.Duration   // 0 = until lifted
	Escalate  []time.Duration // replaces Cooling if not empty
	Action    warder.Action
	Mode      warder.Mode
	Severity  warder.Severity

	events        []string // names and patterns
	realms        []string // none: all
	reasons       []string // none: all
	crossSite     bool     // passes over events with reason cross_site
	recentSession bool     // passes over events of a recent session
	atMost        map[string]time.Duration
}
