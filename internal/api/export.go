package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// ExportFormat is how an export is written.
type ExportFormat struct {
	Format string `query:"format" enum:"csv,ndjson,json" default:"csv"`
}

// exportPause is how long a reader of an export may take for each piece.
const exportPause = 30 * time.Second

// maxOwnExports is how many exports of one operator or key may be under way:
// each reads all that there is, and nobody's must make the others wait.
const maxOwnExports = 4

// exports counts what is under way, by caller.
type exports struct {
	mu      sync.Mutex
	running map[string]int
}

// begin is false if there are too many; else end must be called.
func (e *exports) begin(who string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[who] >= maxOwnExports {
		return false
	}
	if e.running == nil {
		e.running = map[string]int{}
	}
	e.running[who]++
	return true
}

func (e *exports) end(who string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[who]--; e.running[who] <= 0 {
		delete(e.running, who)
	}
}

// manageExports registers the exports: the filters of the lists, no cap, rows
// written as they are read.
func (s *Server) manageExports() {
	db := s.opts.Store
	export(s, "events", "Export events", eventColumns,
		func(in *struct {
			EventQuery
			ExportFormat
		},
		) (func(context.Context, func(any, []string) error) error, string, error) {
			f, err := in.filter()
			return func(ctx context.Context, row func(any, []string) error) error {
				return db.EachEvent(ctx, f, func(e *guard.Event) error {
					v := newEventView(e)
					return row(v, eventCells(&v))
				})
			}, in.Format, err
		})
	export(s, "blocks", "Export blocks", blockColumns,
		func(in *struct {
			BlockQuery
			ExportFormat
		},
		) (func(context.Context, func(any, []string) error) error, string, error) {
			now := time.Now()
			f, err := in.filter(now)
			return func(ctx context.Context, row func(any, []string) error) error {
				return db.EachBlock(ctx, f, func(b *guard.Block) error {
					v := newBlockView(b, now)
					return row(v, blockCells(&v))
				})
			}, in.Format, err
		})
	export(s, "audit", "Export the audit trail", auditColumns,
		func(in *struct {
			AuditQuery
			ExportFormat
		},
		) (func(context.Context, func(any, []string) error) error, string, error) {
			f, err := in.filter()
			return func(ctx context.Context, row func(any, []string) error) error {
				return db.EachAudit(ctx, f, func(a *store.AuditRow) error { return row(a, auditCells(a)) })
			}, in.Format, err
		})
}

// export registers GET /v1/export/{what}. read turns the query into the rows.
func export[I any](s *Server, what, summary string, columns []string,
	read func(*I) (rows func(context.Context, func(any, []string) error) error, format string, err error),
) {
	registerRaw(s, "GET /v1/export/"+what, "export-"+what, summary+": CSV, NDJSON or JSON, streamed without a cap", 0,
		func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
			rows, format, err := read(in)
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				r, w := humago.Unwrap(hc)
				s.writeExport(ctx, r, w, what, format, columns, rows)
			}}, nil
		})
}

// writeExport streams. Headers go out with the first rows, so that a database
// that cannot be read at all still becomes a problem document. A failure after
// that breaks the connection: nobody must take half an export for a whole one.
func (s *Server) writeExport(ctx context.Context, r *http.Request, w http.ResponseWriter, what, format string,
	columns []string, rows func(context.Context, func(any, []string) error) error,
) {
	rc := http.NewResponseController(w)
	e := &exporter{rc: rc, out: bufio.NewWriterSize(w, 32<<10), format: format}
	e.begin = func() error {
		h := w.Header()
		h["Content-Type"] = []string{exportTypes[format]}
		h["Content-Disposition"] = []string{`attachment; filename="warder-` + what + `-` + time.Now().UTC().Format("20060102T150405Z") + `.` + format + `"`}
		w.WriteHeader(http.StatusOK)
		return e.head(columns)
	}
	err := rows(ctx, e.row)
	if err == nil {
		err = e.finish()
	}
	switch {
	case err == nil:
	case !e.begun:
		s.writeProblem(w, r, s.managed(ctx, r.Pattern, err))
	default:
		if !errors.Is(err, context.Canceled) {
			s.log.WarnContext(ctx, "export broken off", "what", what, "rows", e.n, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

var exportTypes = map[string]string{
	"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson", "json": "application/json",
}

// exporter writes rows in one of the formats.
type exporter struct {
	rc     *http.ResponseController
	out    *bufio.Writer
	format string
	begin  func() error
	begun  bool
	n      int64
}

func (e *exporter) head(columns []string) error {
	switch e.format {
	case "csv":
		return (&csvWriter{w: e.out}).row(columns)
	case "json":
		_, err := e.out.WriteString("[")
		return err
	}
	return nil
}

func (e *exporter) start() error {
	if e.begun {
		return nil
	}
	e.begun = true
	return e.begin()
}

func (e *exporter) row(v any, cells []string) error {
	if err := e.start(); err != nil {
		return err
	}
	if e.n%256 == 0 {
		_ = e.rc.SetWriteDeadline(time.Now().Add(exportPause)) // tests without a connection have none
	}
	e.n++
	if e.format == "csv" {
		return (&csvWriter{w: e.out}).row(cells)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if e.format == "json" && e.n > 1 {
		if err := e.out.WriteByte(','); err != nil {
			return err
		}
	}
	if _, err := e.out.Write(text); err != nil {
		return err
	}
	return e.out.WriteByte('\n')
}

func (e *exporter) finish() error {
	if err := e.start(); err != nil {
		return err
	}
	if e.format == "json" {
		if _, err := e.out.WriteString("]\n"); err != nil {
			return err
		}
	}
	return e.out.Flush()
}

var eventColumns = []string{
	"id", "time", "arrival", "name", "severity", "ip", "account", "realm", "session", "device", "user_agent", "method",
	"path", "reason", "action", "decision_reason", "rule", "block_id", "reference", "app", "details",
}

func eventCells(v *EventView) []string {
	return []string{
		v.ID, stamp(&v.Time), stamp(&v.Arrival), v.Name, v.Severity.String(), v.IP, v.Account, v.Realm, v.Session,
		v.Device, v.UserAgent, v.Method, v.Path, v.Reason, v.Action.String(), string(v.Why), v.Rule, v.BlockID,
		v.Reference, v.App, string(v.Details),
	}
}

var blockColumns = []string{
	"id", "ip", "account", "realm", "state", "source", "reason", "rule", "event", "reference", "by", "blocked_at", "until",
	"cut", "lifted_at", "lifted_by", "verdict", "lift_reason", "ended_at", "hits", "last_hit", "good_accounts_14d",
	"reviewed_by", "reviewed_at", "note", "evidence",
}

func blockCells(v *BlockView) []string {
	evidence, _ := json.Marshal(v.Evidence) // our own types encode
	return []string{
		v.ID, v.IP, v.Account, v.Realm, v.State, v.Source, v.Reason, v.Rule, v.Event, v.Reference, v.By,
		stamp(&v.BlockedAt), stamp(v.Until), v.Cut, stamp(v.LiftedAt), v.LiftedBy, v.Verdict, v.LiftReason,
		stamp(v.EndedAt), strconv.FormatInt(v.Hits, 10), stamp(v.LastHit), strconv.Itoa(v.GoodAccounts), v.ReviewedBy,
		stamp(v.ReviewedAt), v.Note, string(evidence),
	}
}

var auditColumns = []string{"seq", "time", "actor", "from", "action", "target", "reason", "before", "after"}

func auditCells(a *store.AuditRow) []string {
	return []string{
		strconv.FormatInt(a.Seq, 10), stamp(&a.Time), a.Actor, a.From, a.Action, a.Target, a.Reason, string(a.Before),
		string(a.After),
	}
}

func stamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
