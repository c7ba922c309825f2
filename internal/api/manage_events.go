package api

import (
	"context"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// EventQuery is the filter that lists, statistics and exports of events share.
type EventQuery struct {
	From     time.Time `query:"from" doc:"Events at or after this time."`
	To       time.Time `query:"to" doc:"Events before this time."`
	Name     []string  `query:"name" maxItems:"32" doc:"Names, separated by commas."`
	Severity []string  `query:"severity" maxItems:"4" doc:"info, warning, high or critical, separated by commas."`
	IP       string    `query:"ip" maxLength:"64" doc:"An address or a prefix."`
	Account  string    `query:"account" maxLength:"256" doc:"An account, in any spelling."`
	Realm    string    `query:"realm" maxLength:"64"`
	Rule     string    `query:"rule" maxLength:"64"`
	Q        string    `query:"q" maxLength:"256" doc:"Exact id, reference, address or account; else the beginning of an account or path."`
}

func (q *EventQuery) filter() (store.EventFilter, error) {
	var faults warder.Faults
	f := store.EventFilter{
		From: q.From.UTC(), To: q.To.UTC(), Account: q.Account, Realm: q.Realm, Rule: q.Rule, Q: q.Q,
		IP: parseRange(&faults, "query.ip", q.IP),
	}
	for _, name := range q.Name {
		if !warder.ValidName(name) {
			faults.Add("query.name", "must be names such as USER_LOGIN_FAILURE, separated by commas")
			break
		}
		f.Names = append(f.Names, name)
	}
	for _, text := range q.Severity {
		var sev warder.Severity
		if err := sev.UnmarshalText([]byte(text)); err != nil {
			faults.Add("query.severity", "must be info, warning, high or critical, separated by commas")
			break
		}
		f.Severities = append(f.Severities, sev)
	}
	checkSpan(&faults, q.From, q.To)
	return f, faults.Err()
}

func checkSpan(f *warder.Faults, from, to time.Time) {
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		f.Add("query.to", "must not be before query.from")
	}
}

// TrendView is a trend.
type TrendView struct {
	Buckets []store.Bucket `json:"buckets"`
}

// manageEvents registers what is looked up in the event log.
func (s *Server) manageEvents() {
	db := s.opts.Store
	type eventList struct {
		EventQuery
		Paging
	}
	register(s, "GET /v1/events", "list-events", "Events, latest first", 0,
		func(ctx context.Context, in *eventList) (Items[EventView], error) {
			f, err := in.filter()
			if err != nil {
				return Items[EventView]{}, err
			}
			list, err := db.ListEvents(ctx, f, in.page())
			return Items[EventView]{Items: views(list.Items, newEventView), Next: list.Next}, err
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
	type trend struct {
		EventQuery
		Days   int    `query:"days" minimum:"1" maximum:"400" default:"30"`
		Bucket string `query:"bucket" enum:"day,hour" default:"day"`
		TZ     string `query:"tz" maxLength:"64" default:"UTC" doc:"Time zone that days begin in, such as Asia/Kolkata."`
	}
	register(s, "GET /v1/stats/trend", "stats-trend", "Events over time by severity", 0,
		func(ctx context.Context, in *trend) (TrendView, error) {
			var out TrendView
			f, err := in.filter()
			if err != nil {
				return out, err
			}
			zone, err := loadZone(in.TZ)
			if err != nil {
				return out, err
			}
			out.Buckets, err = db.Trend(ctx, f, store.TrendQuery{Now: time.Now(), Days: in.Days, Bucket: in.Bucket, Zone: zone})
			if out.Buckets == nil {
				out.Buckets = []store.Bucket{}
			}
			return out, err
		})
	register(s, "GET /v1/stats/types", "stats-types", "Events by name", 0,
		func(ctx context.Context, in *struct{ EventQuery }) (Items[store.Count], error) {
			f, err := in.filter()
			if err != nil {
				return Items[store.Count]{}, err
			}
			list, err := db.Types(ctx, f)
			return Items[store.Count]{Items: some(list)}, err
		})
	type attackers struct {
		EventQuery
		Limit int `query:"limit" minimum:"1" maximum:"500" default:"10"`
	}
	register(s, "GET /v1/stats/attackers", "stats-attackers", "Addresses with the most suspicious events", 0,
		func(ctx context.Context, in *attackers) (Items[AttackerView], error) {
			f, err := in.filter()
			if err != nil {
				return Items[AttackerView]{}, err
			}
			list, err := db.Attackers(ctx, f, time.Now(), in.Limit)
			return Items[AttackerView]{Items: views(list, newAttackerView)}, err
		})
	register(s, "GET /v1/stats/countries", "stats-countries", "Events by country; empty without a geographic database", 0,
		func(_ context.Context, in *struct{ EventQuery }) (Items[store.Count], error) {
			_, err := in.filter()
			return Items[store.Count]{Items: []store.Count{}}, err
		})
	register(s, "GET /v1/stats/summary", "stats-summary", "Figures at a glance", 0,
		func(ctx context.Context, in *struct{ EventQuery }) (store.Summary, error) {
			f, err := in.filter()
			if err != nil {
				return store.Summary{}, err
			}
			return db.Summary(ctx, f, time.Now())
		})
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
	checkSpan(&faults, q.From, q.To)
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
