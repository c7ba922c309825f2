package api

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Items is one part of a list. Next is absent at the end.
type Items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Send it as cursor to get the next part; absent at the end."`
}

// EventView is an event as it is shown.
type EventView struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Time       time.Time       `json:"time"`
	Arrival    time.Time       `json:"arrival"`
	Severity   warder.Severity `json:"severity"`
	IP         string          `json:"ip,omitempty"`
	Address    string          `json:"address,omitempty" doc:"What the address is counted by: the address, or its /64."`
	Account    string          `json:"account,omitempty"`
	Realm      string          `json:"realm,omitempty"`
	Session    string          `json:"session,omitempty"`
	Device     string          `json:"device,omitempty"`
	UserAgent  string          `json:"user_agent,omitempty"`
	Method     string          `json:"method,omitempty"`
	Path       string          `json:"path,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Details    json.RawMessage `json:"details,omitempty"`
	App        string          `json:"app,omitempty" doc:"Id of the API key that reported it; absent for Warder's own."`
	Counted    bool            `json:"eligible" doc:"It may count towards rules."`
	Completed  bool            `json:"completed" doc:"It completed a sign-in."`
	Action     warder.Action   `json:"action"`
	Why        warder.Why      `json:"decision_reason,omitempty"`
	Rule       string          `json:"rule,omitempty"`
	BlockID    string          `json:"block_id,omitempty"`
	Reference  string          `json:"reference,omitempty"`
	KnownFrom  string          `json:"known_source,omitempty"`
	Superseded bool            `json:"replaces_unsettled,omitempty"`
}

func newEventView(e *guard.Event) EventView {
	v := EventView{
		ID: e.ID, Name: e.Name, Time: e.Time.UTC(), Arrival: e.Arrival.UTC(), Severity: e.Severity,
		Account: e.Account, Realm: e.Realm, Session: e.Session, Device: e.Device, UserAgent: e.UserAgent,
		Method: e.Method, Path: e.Path, Reason: e.Reason, Details: e.Details, App: e.App,
		Counted: e.Eligible, Completed: e.Completed, Action: e.Action, Why: e.Why, Rule: e.Rule,
		BlockID: e.BlockID, Reference: e.Reference, KnownFrom: e.Source, Superseded: e.Replaces != 0,
	}
	if e.IP.IsValid() {
		v.IP = e.IP.String()
	}
	v.Address = prefixText(e.Address)
	return v
}

// prefixText writes a prefix the way people read it: an address without its
// length if it is one address.
func prefixText(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP() && p.Addr().Is4():
		return p.Addr().String()
	}
	return p.String()
}

// splitAccount takes an account key apart.
func splitAccount(key string) (realm, account string) {
	realm, account, ok := strings.Cut(key, "\x1f")
	if !ok {
		return "", key
	}
	return realm, account
}

// SubjectView says what a Block or a Demand stands on.
type SubjectView struct {
	IP      string `json:"ip,omitempty"`
	Account string `json:"account,omitempty"`
	Realm   string `json:"realm,omitempty"`
	Source  string `json:"known_source,omitempty"`
	Session string `json:"session,omitempty"`
}

func newSubjectView(s warder.Subject) SubjectView {
	v := SubjectView{IP: prefixText(s.IP), Realm: s.Realm, Source: s.Source, Session: s.Session}
	if s.Account != "" {
		v.Realm, v.Account = splitAccount(s.Account)
	}
	return v
}

// BlockView is a row of the suspicious-address report.
type BlockView struct {
	ID string `json:"id"`
	SubjectView
	State        string           `json:"state" enum:"active,expired,lifted,observed"`
	Source       string           `json:"source" enum:"rule,manual,policy,import"`
	Reason       string           `json:"reason,omitempty"`
	Rule         string           `json:"rule,omitempty"`
	Event        string           `json:"event,omitempty" doc:"Name of the event that led to it."`
	Reference    string           `json:"reference"`
	By           string           `json:"by,omitempty"`
	BlockedAt    time.Time        `json:"blocked_at,omitzero" doc:"Absent where only memory was asked."`
	Until        *time.Time       `json:"until" doc:"null: until lifted."`
	Cut          string           `json:"cut,omitempty" doc:"Why it is shorter than its rule says."`
	LiftedAt     *time.Time       `json:"lifted_at,omitempty"`
	LiftedBy     string           `json:"lifted_by,omitempty"`
	Verdict      string           `json:"verdict,omitempty"`
	LiftReason   string           `json:"lift_reason,omitempty"`
	EndedAt      *time.Time       `json:"ended_at,omitempty"`
	Hits         int64            `json:"hits" doc:"Requests refused by it."`
	LastHit      *time.Time       `json:"last_hit,omitempty"`
	GoodAccounts int              `json:"good_accounts_14d" doc:"Different accounts that signed in well from there: could this be a mistake?"`
	Threshold    int              `json:"threshold,omitempty"`
	Window       int64            `json:"window,omitempty" doc:"Seconds."`
	Also         []string         `json:"also,omitempty" doc:"Other rules that the same event crossed."`
	ReviewedBy   string           `json:"reviewed_by,omitempty"`
	ReviewedAt   *time.Time       `json:"reviewed_at,omitempty"`
	Note         string           `json:"note,omitempty"`
	Evidence     []guard.Evidence `json:"evidence,omitempty"`
}

func newBlockView(b *guard.Block, now time.Time) BlockView {
	return BlockView{
		ID: b.ID, SubjectView: newSubjectView(b.Subject), State: b.State(now), Source: b.Origin, Reason: b.Reason,
		Rule: b.Rule, Event: b.EventName, Reference: b.Reference, By: b.By, BlockedAt: b.From.UTC(),
		Until: maybe(b.Until), Cut: b.Cut, LiftedAt: maybe(b.LiftedAt), LiftedBy: b.LiftedBy, Verdict: b.Verdict,
		LiftReason: b.LiftReason, EndedAt: maybe(b.EndedAt), Hits: b.Hits, LastHit: maybe(b.LastHit),
		GoodAccounts: b.GoodAccounts, Threshold: b.Threshold, Window: b.Window, Also: b.Also,
		ReviewedBy: b.ReviewedBy, ReviewedAt: maybe(b.ReviewedAt), Note: b.Note, Evidence: b.Evidence,
	}
}

// maybe is nil for the zero time.
func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// DemandView is a standing requirement of a challenge or of MFA.
type DemandView struct {
	ID string `json:"id"`
	SubjectView
	Action   warder.Action `json:"action"`
	Rule     string        `json:"rule"`
	From     time.Time     `json:"from"`
	Until    *time.Time    `json:"until"`
	Observed bool          `json:"observed"`
}

func newDemandView(d *guard.Demand) DemandView {
	return DemandView{
		ID: d.ID, SubjectView: newSubjectView(d.Subject), Action: d.Action, Rule: d.Rule,
		From: d.From.UTC(), Until: maybe(d.Until), Observed: d.Observed,
	}
}

// SessionView is a session of an application.
type SessionView struct {
	Session   string     `json:"session"`
	Account   string     `json:"account"`
	Realm     string     `json:"realm,omitempty"`
	Opening   string     `json:"opened_from,omitempty"`
	Latest    string     `json:"last_from,omitempty"`
	Agent     string     `json:"agent,omitempty"`
	Opened    time.Time  `json:"opened"`
	LastUsed  time.Time  `json:"last_used"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

func newSessionView(s *guard.Session) SessionView {
	return SessionView{
		Session: s.ID, Account: s.Account, Realm: s.Realm, Opening: prefixText(s.Opening), Latest: prefixText(s.Latest),
		Agent: s.Agent, Opened: s.Opened.UTC(), LastUsed: s.LastUsed.UTC(), RevokedAt: maybe(s.RevokedAt), Reason: s.Reason,
	}
}

// TrustedView is an entry of the trusted list.
type TrustedView struct {
	ID       string     `json:"id"`
	IP       string     `json:"ip"`
	Note     string     `json:"note,omitempty"`
	By       string     `json:"by,omitempty"`
	From     *time.Time `json:"from,omitempty"`
	Until    *time.Time `json:"until"`
	ReadOnly bool       `json:"read_only" doc:"It stands in the policy and is changed there."`
}

func newTrustedView(t *guard.Trusted) TrustedView {
	return TrustedView{
		ID: t.ID, IP: prefixText(t.IP), Note: t.Note, By: t.By, From: maybe(t.From), Until: maybe(t.Until),
		ReadOnly: strings.HasPrefix(t.ID, "policy:"),
	}
}

// views turns rows into what is shown of them.
func views[T, V any](rows []T, view func(*T) V) []V {
	out := make([]V, len(rows))
	for i := range rows {
		out[i] = view(&rows[i])
	}
	return out
}
