package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// EventQuery is the filter that lists, statistics and exports of events share.
// Every field that is given must hold; not_ fields must not.
type EventQuery struct {
	From     time.Time `query:"from" doc:"Events at or after this time."`
	To       time.Time `query:"to" doc:"Events before this time."`
	Name     []string  `query:"name" maxItems:"32" doc:"Names, separated by commas."`
	Severity []string  `query:"severity" maxItems:"4" doc:"info, warning, high or critical, separated by commas."`
	IP       string    `query:"ip" maxLength:"64" doc:"An address or a prefix."`
	Account  string    `query:"account" maxLength:"256" doc:"An account, in any spelling."`
	Realm    string    `query:"realm" maxLength:"64"`
	Rule     string    `query:"rule" maxLength:"64"`
	Session  string    `query:"session" maxLength:"256"`
	Reason   string    `query:"reason" maxLength:"64" doc:"Such as wrong_password."`
	App      string    `query:"app" maxLength:"64" doc:"Id of the API key that reported it."`
	Action   []string  `query:"action" maxItems:"4" doc:"What was decided: allow, challenge, mfa or block, separated by commas."`
	Q        string    `query:"q" maxLength:"256" doc:"Exact id, reference, address or account; else the beginning of an account or path."`

	NotName     []string `query:"not_name" maxItems:"32" doc:"None of these names, separated by commas."`
	NotSeverity []string `query:"not_severity" maxItems:"4" doc:"None of these severities, separated by commas."`
	NotIP       []string `query:"not_ip" maxItems:"32" doc:"None of these addresses or prefixes, separated by commas."`
	NotAccount  string   `query:"not_account" maxLength:"256" doc:"Not this account."`
	NotRealm    []string `query:"not_realm" maxItems:"16" doc:"None of these realms, separated by commas."`
	NotRule     []string `query:"not_rule" maxItems:"32" doc:"None of these rules, separated by commas."`
	NotReason   []string `query:"not_reason" maxItems:"16" doc:"None of these reasons, separated by commas."`
	NotAction   []string `query:"not_action" maxItems:"4" doc:"None of these actions, separated by commas."`
}

func (q *EventQuery) filter() (store.EventFilter, error) {
	var faults warder.Faults
	f := store.EventFilter{
		From: q.From.UTC(), To: q.To.UTC(), Account: q.Account, Realm: q.Realm, Rule: q.Rule, Q: q.Q,
		IP: parseRange(&faults, "query.ip", q.IP), Session: q.Session, Reason: q.Reason, App: q.App,
		NotAccount: q.NotAccount, NotRealms: q.NotRealm, NotRules: q.NotRule, NotReasons: q.NotReason,
		Names: parseNames(&faults, "query.name", q.Name), NotNames: parseNames(&faults, "query.not_name", q.NotName),
		Severities:    parseSeverities(&faults, "query.severity", q.Severity),
		NotSeverities: parseSeverities(&faults, "query.not_severity", q.NotSeverity),
		Actions:       parseActions(&faults, "query.action", q.Action),
		NotActions:    parseActions(&faults, "query.not_action", q.NotAction),
	}
	for _, text := range q.NotIP {
		if p := parseRange(&faults, "query.not_ip", text); p.IsValid() {
			f.NotIPs = append(f.NotIPs, p)
		}
	}
	checkSpan(&faults, "query", q.From, q.To)
	return f, faults.Err()
}

func parseNames(f *warder.Faults, location string, names []string) []string {
	for _, name := range names {
		if !warder.ValidName(name) {
			f.Add(location, "must be names such as USER_LOGIN_FAILURE, separated by commas")
			return nil
		}
	}
	return names
}

func parseSeverities(f *warder.Faults, location string, texts []string) (out []warder.Severity) {
	for _, text := range texts {
		var sev warder.Severity
		if err := sev.UnmarshalText([]byte(text)); err != nil {
			f.Add(location, "must be info, warning, high or critical, separated by commas")
			return nil
		}
		out = append(out, sev)
	}
	return out
}

func parseActions(f *warder.Faults, location string, texts []string) (out []warder.Action) {
	for _, text := range texts {
		var a warder.Action
		if err := a.UnmarshalText([]byte(text)); err != nil {
			f.Add(location, "must be allow, challenge, mfa or block, separated by commas")
			return nil
		}
		out = append(out, a)
	}
	return out
}

// checkSpan checks the ends of a span, which stand under place. Statistics are
// rounded to whole buckets in some time zone, and JSON has no times beyond the
// year 9999.
func checkSpan(f *warder.Faults, place string, from, to time.Time) {
	for _, end := range []struct {
		location string
		at       time.Time
	}{{place + ".from", from}, {place + ".to", to}} {
		if year := end.at.UTC().Year(); year < 1 || year > 9998 {
			f.Add(end.location, "must lie in the years 1 to 9998")
		}
	}
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		f.Add(place+".to", "must not be before %s.from", place)
	}
}

// Counted says what a statistic was counted over, in whole quarters of an hour
// but for now: the same filter with these ends lists exactly what was counted.
type Counted struct {
	From    *time.Time `json:"from,omitempty" doc:"Where counting began; absent: at the oldest event."`
	To      *time.Time `json:"to,omitempty" doc:"Where it ended; absent: now."`
	Sampled bool       `json:"sampled,omitempty" doc:"The filter is one that no statistic is kept for and matches too much: only what happened since counted_since is in the figures."`
	Since   *time.Time `json:"counted_since,omitempty" doc:"With sampled: the oldest event counted."`
}

func newCounted(c store.Counted) Counted {
	return Counted{From: maybe(c.From), To: maybe(c.To), Sampled: c.Sampled, Since: maybe(c.Since)}
}

// TrendView is a trend.
type TrendView struct {
	Buckets []store.Bucket `json:"buckets" doc:"Without gaps; the first and the last may be cut by from and to."`
	Bucket  string         `json:"bucket" enum:"minute,quarter,hour,day"`
	TZ      string         `json:"tz"`
	Counted
}

// CountsView is how often names occurred, most frequent first.
type CountsView struct {
	Items []store.Count `json:"items"`
	Counted
}

// AttackersView are the addresses that did the most.
type AttackersView struct {
	Items []AttackerView `json:"items"`
	Counted
}

// SummaryView is the head of the dashboard.
type SummaryView struct {
	store.Summary
	Counted
}

// EventList is a part of the events. A filter that no index serves is given up
// after a while: then searched_to says how far it got and next goes on there.
type EventList struct {
	Items      []EventView `json:"items"`
	Next       string      `json:"next,omitempty" doc:"Send it as cursor to get the next part; absent at the end."`
	SearchedTo *time.Time  `json:"searched_to,omitempty" doc:"The search was paused here before the page was full; next continues it."`
}

// NeighboursView is what happened around an event, oldest first.
type NeighboursView struct {
	Before []EventView `json:"before"`
	After  []EventView `json:"after"`
}

// manageEvents registers what is looked up in the event log.
func (s *Server) manageEvents() {
	db := s.opts.Store
	type eventList struct {
		EventQuery
		Paging
	}
	register(s, "GET /v1/events", "list-events", "Events, latest first", 0,
		func(ctx context.Context, in *eventList) (EventList, error) {
			f, err := in.filter()
			if err != nil {
				return EventList{}, err
			}
			list, err := db.ListEvents(ctx, f, in.page())
			return EventList{Items: views(list.Items, newEventView), Next: list.Next, SearchedTo: maybe(list.SearchedTo)}, err
		})
	register(s, "GET /v1/events/{id}/neighbours", "event-neighbours", "What happened around an event: at all, or of the same address, account or session", 0,
		func(ctx context.Context, in *struct {
			ID    string `path:"id" maxLength:"128"`
			By    string `query:"by" enum:"time,ip,account,session" default:"time"`
			Limit int    `query:"limit" minimum:"1" maximum:"100" default:"10" doc:"On each side."`
		},
		) (NeighboursView, error) {
			before, after, err := db.Neighbours(ctx, in.ID, in.By, in.Limit)
			return NeighboursView{Before: views(before, newEventView), After: views(after, newEventView)}, err
		})
	register(s, "GET /v1/events/{id}", "get-event", "One event", 0,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"128"`
		},
		) (EventView, error) {
			e, err := db.Event(ctx, in.ID)
			if err != nil {
				return EventView{}, err
			}
			return newEventView(e), nil
		})
	s.manageStats()
	type auditList struct {
		AuditQuery
		Paging
	}
	register(s, "GET /v1/audit", "list-audit", "The audit trail, latest first", 0,
		func(ctx context.Context, in *auditList) (Items[store.AuditRow], error) {
			f, err := in.filter()
			if err != nil {
				return Items[store.AuditRow]{}, err
			}
			list, err := db.ListAudit(ctx, f, in.page())
			return Items[store.AuditRow]{Items: some(list.Items), Next: list.Next}, err
		})
	register(s, "GET /v1/audit/verify", "verify-audit", "Check the chain of the audit trail", 0,
		func(ctx context.Context, _ *struct{}) (store.AuditReport, error) { return db.VerifyAudit(ctx) })
	register(s, "GET /v1/references/{ref}", "get-reference", "What a refusal's reference stands for", 0,
		func(ctx context.Context, in *struct {
			Ref string `path:"ref" maxLength:"32"`
		},
		) (ReferenceView, error) {
			found, err := db.Reference(ctx, strings.ToUpper(strings.TrimSpace(in.Ref)))
			if err != nil {
				return ReferenceView{}, err
			}
			return newReferenceView(found, time.Now())
		})
}

// AuditQuery is the filter of the audit trail.
type AuditQuery struct {
	From   time.Time `query:"from"`
	To     time.Time `query:"to"`
	Actor  string    `query:"actor" maxLength:"300" doc:"operator:<email>, key:<name>, cli:<uid> or warder."`
	Action string    `query:"action" maxLength:"64"`
	Target string    `query:"target" maxLength:"300"`
}

func (q *AuditQuery) filter() (store.AuditFilter, error) {
	var faults warder.Faults
	checkSpan(&faults, "query", q.From, q.To)
	return store.AuditFilter{From: q.From.UTC(), To: q.To.UTC(), Actor: q.Actor, Action: q.Action, Target: q.Target}, faults.Err()
}

// AttackerView is an address and what it did.
type AttackerView struct {
	IP       string           `json:"ip"`
	Count    int64            `json:"count"`
	Types    map[string]int64 `json:"types"`
	LastSeen time.Time        `json:"last_seen"`
	BlockID  string           `json:"block_id,omitempty" doc:"A live block of it."`
}

func newAttackerView(a *store.Attacker) AttackerView {
	v := AttackerView{IP: prefixText(a.IP), Count: a.Count, Types: a.Types, LastSeen: a.LastSeen.UTC(), BlockID: a.BlockID}
	if v.Types == nil {
		v.Types = map[string]int64{}
	}
	return v
}

// ReferenceView is what a reference stands for: a block, or a refusal without
// one.
type ReferenceView struct {
	Reference string         `json:"reference"`
	Reason    warder.Why     `json:"reason"`
	Rule      string         `json:"rule,omitempty"`
	IP        string         `json:"ip,omitempty"`
	Account   string         `json:"account,omitempty"`
	Time      time.Time      `json:"time"`
	Block     *BlockView     `json:"block,omitempty"`
	Details   map[string]any `json:"details,omitempty" doc:"The numbers behind a refusal without a block."`
}

func newReferenceView(found store.Referenced, now time.Time) (ReferenceView, error) {
	switch {
	case found.Block != nil:
		b := newBlockView(found.Block, now)
		return ReferenceView{
			Reference: b.Reference, Reason: warder.Blocked, Rule: b.Rule, IP: b.IP, Account: b.Account,
			Time: b.BlockedAt, Block: &b,
		}, nil
	case found.Refusal != nil:
		r := found.Refusal
		v := ReferenceView{
			Reference: r.Reference, Reason: r.Why, Rule: r.Rule, IP: prefixText(r.Address), Account: r.Account, Time: r.Time.UTC(),
		}
		if len(r.Details) > 0 {
			if err := unmarshalStrict(r.Details, &v.Details); err != nil {
				v.Details = map[string]any{"text": string(r.Details)}
			}
		}
		return v, nil
	}
	return ReferenceView{}, guard.ErrNotFound
}

// trendQuery asks for a trend.
type trendQuery struct {
	EventQuery
	Days   int    `query:"days" minimum:"1" maximum:"400" default:"30" doc:"The last days up to now, today included; not used beside from."`
	Bucket string `query:"bucket" enum:"auto,minute,quarter,hour,day" default:"day" doc:"auto: as fine as is readable. minute: for 6 hours at most."`
	TZ     string `query:"tz" maxLength:"64" default:"UTC" doc:"Time zone that days begin in, such as Asia/Kolkata."`
}

// manageStats registers the statistics. All of them take the filter of the list
// of events.
func (s *Server) manageStats() {
	db := s.opts.Store
	register(s, "GET /v1/stats/trend", "stats-trend", "Events over time by severity", 0,
		func(ctx context.Context, in *trendQuery) (TrendView, error) {
			var out TrendView
			f, err := in.filter()
			if err != nil {
				return out, err
			}
			zone, err := loadZone(in.TZ)
			if err != nil {
				return out, err
			}
			t, err := db.Trend(ctx, f, store.TrendQuery{Now: time.Now(), Days: in.Days, Bucket: in.Bucket, Zone: zone})
			if errors.Is(err, store.ErrTooFine) {
				return out, warder.Fault{Location: "query.bucket", Message: "is too fine for so long a time: minute takes 6 hours at most, quarter 32 days, the others 400 days"}
			}
			for i := range t.Buckets {
				t.Buckets[i].Time, t.Buckets[i].End = t.Buckets[i].Time.UTC(), t.Buckets[i].End.UTC()
			}
			return TrendView{Buckets: some(t.Buckets), Bucket: t.Bucket, TZ: zone.String(), Counted: newCounted(t.Counted)}, err
		})
	counts := func(name, summary string, count func(context.Context, store.EventFilter) ([]store.Count, store.Counted, error)) {
		register(s, "GET /v1/stats/"+name, "stats-"+name, summary, 0,
			func(ctx context.Context, in *struct{ EventQuery }) (CountsView, error) {
				f, err := in.filter()
				if err != nil {
					return CountsView{}, err
				}
				list, c, err := count(ctx, f)
				return CountsView{Items: some(list), Counted: newCounted(c)}, err
			})
	}
	counts("types", "Events by name", db.Types)
	counts("realms", "Events by realm", db.Realms)
	type attackers struct {
		EventQuery
		Limit int `query:"limit" minimum:"1" maximum:"500" default:"10"`
	}
	register(s, "GET /v1/stats/attackers", "stats-attackers", "Addresses with the most suspicious events", 0,
		func(ctx context.Context, in *attackers) (AttackersView, error) {
			f, err := in.filter()
			if err != nil {
				return AttackersView{}, err
			}
			list, c, err := db.Attackers(ctx, f, time.Now(), in.Limit)
			return AttackersView{Items: views(list, newAttackerView), Counted: newCounted(c)}, err
		})
	register(s, "GET /v1/stats/countries", "stats-countries", "Events by country; empty in this version, which knows no countries", 0,
		func(_ context.Context, in *struct{ EventQuery }) (CountsView, error) {
			_, err := in.filter()
			return CountsView{Items: []store.Count{}}, err
		})
	register(s, "GET /v1/stats/summary", "stats-summary", "Figures at a glance", 0,
		func(ctx context.Context, in *struct{ EventQuery }) (SummaryView, error) {
			f, err := in.filter()
			if err != nil {
				return SummaryView{}, err
			}
			sum, c, err := db.Summary(ctx, f, time.Now())
			return SummaryView{Summary: sum, Counted: newCounted(c)}, err
		})
}

// loadZone reads the name of a time zone.
func loadZone(name string) (*time.Location, error) {
	if name == "" || strings.EqualFold(name, "UTC") {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, warder.Faults{{Location: "query.tz", Message: "must be the name of a time zone, such as Asia/Kolkata"}}
	}
	return zone, nil
}

// some is list, never null in JSON.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
