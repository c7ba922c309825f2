package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/policy"
	"github.com/warderhq/warder/internal/store"
)

// reportSources is how many of the top sources a report lists. It says so.
const reportSources = 100

// maxDiffLines bounds the lines that a report shows of one change of the
// policy. It says how many there are.
const maxDiffLines = 200

// report is the security report of one time, while it is written.
type report struct {
	s        *Server
	from, to time.Time
	now      time.Time
	zone     *time.Location
	format   string
	inline   bool
	by       string
	key      []byte // public
	out      reportWriter
	blocks   int64
}

// newReport reads what is asked for and leaves a row in the audit trail: who
// takes such a file out should be known.
func (s *Server) newReport(ctx context.Context, in *ReportQuery) (*report, error) {
	now := time.Now()
	from, to, zone, err := in.span(now)
	if err != nil {
		return nil, err
	}
	format := in.Format
	if format == "" {
		format = "json"
	}
	a := callerOf(ctx).actor
	row := audited(a, now, "report.create", from.Format(time.RFC3339)+" to "+to.Format(time.RFC3339), map[string]string{"format": format, "tz": zone.String()})
	if err := s.opts.Store.AppendAudit(ctx, row); err != nil {
		return nil, err
	}
	return &report{s: s, from: from.UTC(), to: to.UTC(), now: now.UTC(), zone: zone, format: format, inline: in.Inline, by: a.Name}, nil
}

// section is one part of a report: rows under columns. Note says in words what
// its rows are, and what they are not.
type section struct {
	name, title, note string
	columns           []string
}

// write writes the report, section by section, rows as they are read.
func (r *report) write(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		r.head, r.totals, r.trend, r.types, r.sources, r.rules, r.modes, r.conditions, r.changes, r.mails, r.actions, r.list,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// table writes a section whose rows each makes.
func (r *report) table(s section, each func(row func(cells ...any) error) error) error {
	if err := r.out.begin(&s); err != nil {
		return err
	}
	if err := each(r.out.row); err != nil {
		return err
	}
	return r.out.end()
}

func (r *report) head(ctx context.Context) error {
	trail, err := r.s.opts.Store.VerifyAudit(ctx)
	if err != nil {
		return err
	}
	genuine := fmt.Sprintf("verified, rows %d to %d", trail.First, trail.Last)
	if !trail.OK {
		genuine = "NOT genuine: " + trail.Fault
	}
	oldest, err := r.s.opts.Store.OldestEvent(ctx)
	if err != nil {
		return err
	}
	complete := "yes"
	switch {
	case r.to.After(r.now):
		complete = "no: the period is not over"
	case !oldest.IsZero() && oldest.After(r.from):
		complete = "events before " + oldest.Format(time.RFC3339) + " were deleted by retention, or none were reported; statistics, blocks and the audit trail are kept longer"
	}
	return r.table(section{"report", "Security report", "", []string{"name", "value"}}, func(row func(...any) error) error {
		for _, pair := range [][2]any{
			{"installation", r.instance()},
			{"from", r.from},
			{"to", r.to},
			{"time zone", r.zone.String()},
			{"complete", complete},
			{"made at", r.now},
			{"made by", r.by},
			{"version", r.s.opts.Version},
			{"audit trail", genuine},
		} {
			if err := row(pair[0], pair[1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// instance names the installation: where people reach it, or its key.
func (r *report) instance() string {
	if u := r.s.settings.Current().PublicURL; u != "" {
		return u
	}
	return "key " + hexString(r.key)[:16]
}

// filter selects the events of the period. That somebody had the statistics of
// the dashboard start anew takes nothing out of the report.
func (r *report) filter() store.EventFilter {
	return store.EventFilter{From: r.from, To: r.to, Whole: true}
}

// end is when the period ended, or now if it is not over.
func (r *report) end() time.Time {
	if r.now.Before(r.to) {
		return r.now
	}
	return r.to
}

func (r *report) totals(ctx context.Context) error {
	db := r.s.opts.Store
	sum, _, err := db.Summary(ctx, r.filter(), r.now)
	if err != nil {
		return err
	}
	types, _, err := db.Types(ctx, r.filter())
	if err != nil {
		return err
	}
	var failed, good int64
	for _, t := range types {
		switch {
		case policy.SignInFailed(t.Name):
			failed += t.Count
		case strings.HasSuffix(t.Name, "_LOGIN_SUCCESS"):
			good += t.Count
		}
	}
	f, err := db.BlockFigures(ctx, r.from, r.end())
	if err != nil {
		return err
	}
	return r.table(section{"totals", "Totals", "Events are counted by whole quarters of an hour.", []string{"name", "value"}}, func(row func(...any) error) error {
		for _, pair := range []struct {
			name string
			n    int64
		}{
			{"events", sum.Events},
			{"events of severity critical", sum.Critical},
			{"events of severity high", sum.High},
			{"events of severity warning", sum.Warning},
			{"sign-ins that failed", failed},
			{"sign-ins that succeeded", good},
			{"addresses that something bad came from (whole days of UTC)", f.Attackers},
			{"blocks in force when the period began", f.Before},
			{"blocks made by rules", f.Made[guard.FromRule]},
			{"blocks made by hand", f.Made[guard.FromManual]},
			{"blocks made by the policy", f.Made[guard.FromPolicy]},
			{"blocks imported", f.Made[guard.FromImport]},
			{"blocks that would have been made (observe)", f.Observed},
			{"requests refused by the blocks made in the period", f.Refused},
			{"blocks lifted as an error", f.Lifted[guard.VerdictError]},
			{"blocks lifted as resolved", f.Lifted[guard.VerdictResolved]},
			{"blocks that ended by themselves", f.Ended},
			{"blocks in force when the period ended", f.After},
			{"automatic blocks that somebody reviewed", f.Reviewed},
			{"automatic blocks that nobody reviewed", f.Automatic - f.Reviewed},
		} {
			if err := row(pair.name, pair.n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *report) trend(ctx context.Context) error {
	db := r.s.opts.Store
	t, err := db.Trend(ctx, r.filter(), store.TrendQuery{Now: r.now, Bucket: "day", Zone: r.zone})
	if err != nil {
		return err
	}
	starts := make([]time.Time, 0, len(t.Buckets)+1)
	for _, b := range t.Buckets {
		starts = append(starts, b.Time)
	}
	made, err := db.BlocksMade(ctx, append(starts, t.To))
	if err != nil {
		return err
	}
	r.out.chart(t.Buckets)
	s := section{"trend", "Events by day", "Days of the time zone.", []string{"day", "info", "warning", "high", "critical", "blocks"}}
	return r.table(s, func(row func(...any) error) error {
		for i, b := range t.Buckets {
			if err := row(b.Time.In(r.zone).Format(time.DateOnly), b.Info, b.Warning, b.High, b.Critical, made[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *report) types(ctx context.Context) error {
	types, _, err := r.s.opts.Store.Types(ctx, r.filter())
	if err != nil {
		return err
	}
	return r.table(section{"types", "Events by type", "", []string{"type", "count"}}, func(row func(...any) error) error {
		for _, t := range types {
			if err := row(t.Name, t.Count); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *report) sources(ctx context.Context) error {
	list, _, err := r.s.opts.Store.Attackers(ctx, r.filter(), r.now, reportSources)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("The %d addresses with the most events of severity warning and above, by whole days of UTC; every block is listed below.", reportSources)
	return r.table(section{"sources", "Top sources", note, []string{"address", "events", "types", "last seen", "block"}}, func(row func(...any) error) error {
		for i := range list {
			a := newAttackerView(&list[i])
			var types []string
			for _, name := range slices.Sorted(maps.Keys(a.Types)) {
				types = append(types, name+" "+strconv.FormatInt(a.Types[name], 10))
			}
			if err := row(a.IP, a.Count, strings.Join(types, ", "), a.LastSeen, a.BlockID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *report) rules(ctx context.Context) error {
	list, err := r.s.opts.Store.RuleFigures(ctx, r.from, r.to)
	if err != nil {
		return err
	}
	return r.table(section{"rules", "Blocks by rule", "", []string{"rule", "blocks", "lifted as errors", "observed"}}, func(row func(...any) error) error {
		for _, f := range list {
			if err := row(f.Rule, f.Blocks, f.Errors, f.Observed); err != nil {
				return err
			}
		}
		return nil
	})
}

// modes lists what the policy did when: enforcing, observing, or off.
func (r *report) modes(ctx context.Context) error {
	s := section{"protection", "Mode of protection", "A new row begins where the mode changed.", []string{"from", "to", "mode", "revision", "by"}}
	return r.table(s, func(row func(...any) error) error {
		var mode, by string
		var since time.Time
		var n int64
		end := r.end()
		err := r.s.opts.Store.RevisionsBetween(ctx, r.from, r.to, func(v *guard.Revision) error {
			next := modeOf(v.Document)
			if next == mode {
				return nil
			}
			at := v.Time
			if at.Before(r.from) {
				at = r.from
			}
			if mode != "" && at.After(since) {
				if err := row(since, at, mode, n, by); err != nil {
					return err
				}
			}
			mode, since, n, by = next, at, v.N, v.By
			return nil
		})
		if err != nil || mode == "" {
			return err
		}
		return row(since, end, mode, n, by)
	})
}

func modeOf(document []byte) string {
	d, err := policy.Parse(document)
	switch {
	case err != nil:
		return "unknown"
	case !d.Enabled:
		return "off"
	}
	return d.Mode.String()
}

// conditions lists when Warder worked with less than it should, or not at all.
func (r *report) conditions(ctx context.Context) error {
	db := r.s.opts.Store
	list, err := db.ConditionsBetween(ctx, r.from, r.to)
	if err != nil {
		return err
	}
	var ran time.Time // up to here it is known whether it ran
	switch installed, err := db.RanBefore(ctx, r.from); {
	case err != nil:
		return err
	case installed: // and may have been down when the period began
		ran = r.from
	}
	s := section{
		"degraded", "Degraded or not running", "Times in which something worked with less than it should. Gaps of less than a minute may not show.",
		[]string{"from", "to", "what", "detail"},
	}
	return r.table(s, func(row func(...any) error) error {
		end := r.end()
		clipped := func(c *store.Condition) (from, to time.Time) {
			from, to = c.From, c.Until
			if from.Before(r.from) {
				from = r.from
			}
			if to.IsZero() || to.After(end) {
				to = end
			}
			return from, to
		}
		down := func(until time.Time) error {
			if ran.IsZero() || until.Sub(ran) < time.Minute {
				return nil
			}
			return row(ran, until, "not running", "")
		}
		for i := range list {
			c := &list[i]
			from, to := clipped(c)
			if c.Reason != store.Running {
				if err := row(from, to, c.Reason, c.Detail); err != nil {
					return err
				}
				continue
			}
			if err := down(from); err != nil {
				return err
			}
			if to.After(ran) {
				ran = to
			}
		}
		return down(end)
	})
}

// changes lists the changes of the policy, with the lines that changed.
func (r *report) changes(ctx context.Context) error {
	s := section{"policy_changes", "Changes of the policy", "", []string{"time", "revision", "by", "comment", "lines taken out", "lines put in"}}
	return r.table(s, func(row func(...any) error) error {
		var before []byte
		return r.s.opts.Store.RevisionsBetween(ctx, r.from, r.to, func(v *guard.Revision) error {
			was := before
			before = v.Document
			if v.Time.Before(r.from) {
				return nil
			}
			out, in := changedLines(string(was), string(v.Document))
			return row(v.Time, v.N, v.By, v.Comment, out, in)
		})
	})
}

// changedLines are the lines that only one of two texts has, as often as it has
// them more.
func changedLines(a, b string) (out, in string) {
	count := map[string]int{}
	for line := range strings.Lines(b) {
		count[line]++
	}
	var gone []string
	for line := range strings.Lines(a) {
		if count[line]--; count[line] < 0 {
			gone = append(gone, strings.TrimRight(line, "\n"))
		}
	}
	var came []string
	clear(count)
	for line := range strings.Lines(a) {
		count[line]++
	}
	for line := range strings.Lines(b) {
		if count[line]--; count[line] < 0 {
			came = append(came, strings.TrimRight(line, "\n"))
		}
	}
	return someLines(gone), someLines(came)
}

func someLines(list []string) string {
	if n := len(list); n > maxDiffLines {
		list = append(list[:maxDiffLines:maxDiffLines], fmt.Sprintf("and %d more lines, see the revision", n-maxDiffLines))
	}
	return strings.Join(list, "\n")
}

func (r *report) mails(ctx context.Context) error {
	s := section{"deliveries", "Delivery of alerts", "Every mail, latest first.", []string{"first tried", "last tried", "to", "subject", "kind", "alerts", "state", "attempts", "answer"}}
	return r.table(s, func(row func(...any) error) error {
		return r.s.opts.Store.EachDelivery(ctx, store.DeliveryFilter{From: r.from, To: r.to}, func(d *store.Delivery) error {
			return row(d.First, d.Time, d.To, d.Subject, d.Kind, int64(d.Alerts), d.State, int64(d.Attempts), d.Answer)
		})
	})
}

func (r *report) actions(ctx context.Context) error {
	s := section{
		"actions", "Administrative actions", "Everything that a person or an API key changed, latest first. What Warder did by itself is in the list of blocks.",
		[]string{"number", "time", "who", "from", "action", "target", "reason", "before", "after"},
	}
	return r.table(s, func(row func(...any) error) error {
		return r.s.opts.Store.EachAudit(ctx, store.AuditFilter{From: r.from, To: r.to}, func(a *store.AuditRow) error {
			if a.Actor == "warder" {
				return nil
			}
			return row(a.Seq, a.Time, a.Actor, a.From, a.Action, a.Target, a.Reason, string(a.Before), string(a.After))
		})
	})
}

// list lists the Blocks: those made in the time, and those lifted in it.
func (r *report) list(ctx context.Context) error {
	s := section{
		"blocks", "Blocks", "Every block that was made in the period, then those made before that were lifted in it; latest first.",
		[]string{
			"address", "account", "realm", "blocked at", "until", "state", "reason", "rule", "event", "source", "made by", "reference",
			"refused requests", "good accounts in 14 days", "lifted at", "lifted by", "verdict", "lift reason", "reviewed by", "note",
		},
	}
	return r.table(s, func(row func(...any) error) error {
		each := func(b *guard.Block) error {
			v := newBlockView(b, r.now)
			var until any = "permanent"
			if v.Until != nil {
				until = *v.Until
			}
			r.blocks++
			return row(v.IP, v.Account, v.Realm, v.BlockedAt, until, v.State, v.Reason, v.Rule, v.Event, v.Source, v.By, v.Reference,
				v.Hits, int64(v.GoodAccounts), v.LiftedAt, v.LiftedBy, v.Verdict, v.LiftReason, v.ReviewedBy, v.Note)
		}
		if err := r.s.opts.Store.EachBlock(ctx, store.BlockFilter{Now: r.now, From: r.from, To: r.to, NoEvidence: true}, each); err != nil {
			return err
		}
		return r.s.opts.Store.EachBlock(ctx, store.BlockFilter{
			Now: r.now, To: r.from, LiftedFrom: r.from, LiftedTo: r.to, NoEvidence: true,
		}, each)
	})
}

// plainCell is a value as text, for CSV.
func plainCell(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		return stamp(&v)
	case *time.Time:
		return stamp(v)
	}
	text, _ := json.Marshal(v) // our own types encode
	return string(text)
}
