package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/policy"
	"github.com/warderhq/warder/internal/store"
)

// Bounds on what is saved.
const (
	maxViews     = 1000
	maxOwnViews  = 200 // of one person: nobody uses up what all share
	maxViewName  = 80
	maxViewQuery = 4000
	maxReviewed  = 1000 // blocks reviewed by one call
)

// SavedView is a filter of a page that was saved under a name.
type SavedView struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Page    string    `json:"page" doc:"The page that it belongs to, such as events."`
	Query   string    `json:"query" doc:"The part of the address behind the question mark."`
	Shared  bool      `json:"shared" doc:"Everybody sees it; else only who saved it."`
	By      string    `json:"by"`
	Own     bool      `json:"own" doc:"The caller saved it."`
	Created time.Time `json:"created"`
}

// SavedViewBody is a filter to save.
type SavedViewBody struct {
	Name   string `json:"name" minLength:"1" maxLength:"80"`
	Page   string `json:"page" pattern:"^[a-z][a-z0-9/-]{0,39}$" doc:"Such as events or blocks."`
	Query  string `json:"query" maxLength:"4000" doc:"name=value&...; without the question mark."`
	Shared bool   `json:"shared,omitempty"`
}

// SearchHit is one thing that a search found. Path is its page in the
// dashboard.
type SearchHit struct {
	Kind  string `json:"kind" enum:"address,prefix,account,event,reference,block"`
	Value string `json:"value"`
	Title string `json:"title"`
	Path  string `json:"path"`
}

// ReviewBody marks blocks as looked at.
type ReviewBody struct {
	IDs      []string `json:"ids" minItems:"1" maxItems:"1000"`
	Reviewed bool     `json:"reviewed"`
}

// Reviewed is the answer to a review. An id of the list that is no block any
// more is not counted.
type Reviewed struct {
	Reviewed int `json:"reviewed"`
}

// TestEventAnswer is what became of a test event.
type TestEventAnswer struct {
	Event    EventView       `json:"event"`
	Decision warder.Decision `json:"decision"`
}

// PolicyCheckBody is a document to check: one of the two.
type PolicyCheckBody struct {
	Policy json.RawMessage `json:"policy,omitempty" doc:"The document as JSON."`
	YAML   string          `json:"yaml,omitempty" doc:"The document as YAML."`
}

// PolicyCheck says whether a document could be put in force.
type PolicyCheck struct {
	Valid  bool             `json:"valid"`
	Faults []warder.Fault   `json:"faults" doc:"Every fault with its place, such as activity.rules[3].time_range."`
	Policy *policy.Document `json:"policy,omitempty" doc:"The document as it was understood; absent if it cannot be read."`
	YAML   string           `json:"yaml,omitempty" doc:"The same as YAML."`
}

// StatusView is the state of protection.
type StatusView struct {
	Enabled   bool           `json:"enabled"`
	Mode      string         `json:"mode" enum:"off,observe,enforce"`
	Revision  int64          `json:"revision" doc:"Of the policy in force."`
	Preset    string         `json:"preset,omitempty" doc:"The preset that the policy equals; absent if it was changed."`
	ReadOnly  bool           `json:"policy_read_only" doc:"A file rules the policy."`
	Degraded  []Reason       `json:"degraded" doc:"What works with less than it should, and the remedy."`
	Providers []ProviderView `json:"providers"`
	Mail      MailStatus     `json:"mail"`
	Database  DatabaseStatus `json:"database"`
	Version   string         `json:"version"`
	Time      time.Time      `json:"time" doc:"Of the server."`
}

// MailStatus says how alerts leave.
type MailStatus struct {
	Configured bool       `json:"configured" doc:"false: mails are written to files."`
	Recipients int        `json:"recipients"`
	LastSent   *time.Time `json:"last_sent,omitempty"`
	LastFailed *time.Time `json:"last_failed,omitempty"`
	LastError  string     `json:"last_error,omitempty"`
}

// DatabaseStatus says how much is kept.
type DatabaseStatus struct {
	Bytes       int64      `json:"bytes"`
	OldestEvent *time.Time `json:"oldest_event,omitempty"`
}

// manageDesk registers what the dashboard needs besides the lists.
func (s *Server) manageDesk() {
	s.manageViews()
	s.manageNotifications()
	s.manageSettings()
	s.manageReports()
	db := s.opts.Store
	registerRaw(s, "DELETE /v1/notes/{id}", "delete-note", "Delete a note: one's own, or any as an admin", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			n, err := db.Note(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			c := callerOf(ctx)
			if n.By != c.actor.Name && !c.administers() {
				return nil, newProblem(http.StatusForbidden, "Only who wrote a note, or an admin, may delete it.")
			}
			return nil, db.DeleteNote(ctx, in.ID, audited(c.actor, time.Now(), "note.delete", n.On, n))
		})
	register(s, "GET /v1/search", "search", "Find an address, a prefix, an account, an event or a reference", 0,
		func(ctx context.Context, in *struct {
			Q string `query:"q" required:"true" minLength:"1" maxLength:"256"`
		},
		) (Items[SearchHit], error) {
			list, err := s.search(ctx, strings.TrimSpace(in.Q))
			return Items[SearchHit]{Items: some(list)}, err
		})
	register(s, "POST /v1/blocks/review", "review-blocks", "Mark blocks as looked at, or not", 0,
		func(ctx context.Context, in *body[ReviewBody]) (Reviewed, error) { return s.review(ctx, &in.Body) })
	register(s, "POST /v1/events/test", "send-test-event", "Send one harmless event, marked as a test, through the engine", 0,
		func(ctx context.Context, _ *struct{}) (TestEventAnswer, error) { return s.testEvent(ctx) })
	register(s, "POST /v1/policy/validate", "validate-policy", "Check a policy without putting it in force", 0,
		func(_ context.Context, in *body[PolicyCheckBody]) (PolicyCheck, error) { return checkPolicy(&in.Body) })
	register(s, "GET /v1/status", "status", "The state of protection", 0,
		func(ctx context.Context, _ *struct{}) (StatusView, error) { return s.status(ctx) })
	s.router.handle("POST /v1/csp-report", s.cspReport)
}

// administers reports whether a caller may change what belongs to others.
func (c *caller) administers() bool {
	switch c.role {
	case operator.Owner, operator.Admin:
		return true
	case "":
		return c.key != nil && c.key.may(ScopeAdmin)
	}
	return false
}

// person is the e-mail address of the operator that a caller is; empty: it is
// none.
func (c *caller) person() string {
	email, ok := strings.CutPrefix(c.actor.Name, "operator:")
	if !ok {
		return ""
	}
	return email
}

func (s *Server) manageViews() {
	db := s.opts.Store
	register(s, "GET /v1/views", "list-views", "Saved filters: one's own and the shared ones, by name", 0,
		func(ctx context.Context, in *struct {
			Page string `query:"page" maxLength:"40"`
		},
		) (Items[SavedView], error) {
			who := callerOf(ctx).actor.Name
			list, err := db.Views(ctx)
			out := Items[SavedView]{Items: []SavedView{}}
			for i := range list {
				v := &list[i]
				if (v.Shared || v.By == who) && (in.Page == "" || v.List == in.Page) {
					out.Items = append(out.Items, newSavedView(v, who))
				}
			}
			return out, err
		})
	register(s, "POST /v1/views", "create-view", "Save a filter", http.StatusCreated,
		func(ctx context.Context, in *body[SavedViewBody]) (SavedView, error) {
			b := &in.Body
			var f warder.Faults
			checkText(&f, "body.name", b.Name, maxViewName, false)
			checkText(&f, "body.query", b.Query, maxViewQuery, false)
			if strings.TrimSpace(b.Name) == "" {
				f.Add("body.name", "is required")
			}
			if _, err := url.ParseQuery(b.Query); err != nil || strings.HasPrefix(b.Query, "?") {
				f.Add("body.query", "must be name=value&..., without the question mark")
			}
			if err := f.Err(); err != nil {
				return SavedView{}, err
			}
			list, err := db.Views(ctx)
			if err != nil {
				return SavedView{}, err
			}
			if len(list) >= maxViews {
				return SavedView{}, newProblem(http.StatusConflict, "There are 1000 saved views; delete some first.")
			}
			a, now := callerOf(ctx).actor, time.Now().UTC()
			id, _, _ := NewToken()
			own := 0
			for i := range list {
				if list[i].By == a.Name {
					own++
				}
			}
			if own >= maxOwnViews {
				return SavedView{}, newProblem(http.StatusConflict, "You have 200 saved views; delete some first.")
			}
			v := store.View{ID: id, Name: strings.TrimSpace(b.Name), List: b.Page, Query: b.Query, Shared: b.Shared, By: a.Name, Created: now}
			if slices.ContainsFunc(list, func(o store.View) bool { return o.By == v.By && o.List == v.List && o.Name == v.Name }) {
				return SavedView{}, newProblem(http.StatusConflict, "You have a view of this name on this page already.")
			}
			return newSavedView(&v, a.Name), db.SaveView(ctx, v, audited(a, now, "view.create", v.Name, v))
		})
	registerRaw(s, "DELETE /v1/views/{id}", "delete-view", "Delete a saved filter: one's own, or a shared one as an admin", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			c := callerOf(ctx)
			list, err := db.Views(ctx)
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(list, func(v store.View) bool { return v.ID == in.ID })
			if i < 0 || list[i].By != c.actor.Name && !list[i].Shared {
				return nil, guard.ErrNotFound // others' private views do not show
			}
			if list[i].By != c.actor.Name && !c.administers() {
				return nil, newProblem(http.StatusForbidden, "Only who saved a view, or an admin, may delete it.")
			}
			return nil, db.DeleteView(ctx, in.ID, audited(c.actor, time.Now(), "view.delete", list[i].Name, nil))
		})
}

func newSavedView(v *store.View, who string) SavedView {
	return SavedView{
		ID: v.ID, Name: v.Name, Page: v.List, Query: v.Query, Shared: v.Shared, By: v.By, Own: v.By == who, Created: v.Created.UTC(),
	}
}

// search finds what a text could mean, the most exact first.
func (s *Server) search(ctx context.Context, q string) (out []SearchHit, err error) {
	db := s.opts.Store
	add := func(kind, value, title string, path ...string) {
		for i := range path {
			path[i] = url.PathEscape(path[i])
		}
		out = append(out, SearchHit{Kind: kind, Value: value, Title: title, Path: "/" + strings.Join(path, "/")})
	}
	missing := func(err error) bool { return errors.Is(err, store.ErrNotFound) }
	var f warder.Faults
	if p := parseRange(&f, "q", q); p.IsValid() {
		if p.IsSingleIP() {
			key := warder.AddressKey(p.Addr())
			title := "never seen"
			switch a, err := db.Address(ctx, key); {
			case err == nil:
				title = "last seen " + a.LastSeen.UTC().Format(time.RFC3339)
			case !missing(err):
				return nil, err
			}
			add("address", p.Addr().String(), title, "addresses", p.Addr().String())
			return out, nil
		}
		out = append(out, SearchHit{
			Kind: "prefix", Value: p.String(), Title: "every address within", Path: "/events?ip=" + url.QueryEscape(p.String()),
		})
		return out, nil
	}
	if q == "" {
		return nil, nil
	}
	ref, err := db.Reference(ctx, q)
	switch {
	case err == nil:
		v, err := newReferenceView(ref, time.Now())
		if err != nil {
			return nil, err
		}
		title := string(v.Reason)
		if v.IP != "" {
			title = v.IP + ": " + title
		}
		add("reference", v.Reference, title, "references", v.Reference)
	case !missing(err):
		return nil, err
	}
	switch e, err := db.Event(ctx, q); {
	case err == nil:
		add("event", e.ID, e.Name+" "+e.Time.UTC().Format(time.RFC3339), "events", e.ID)
	case !missing(err):
		return nil, err
	}
	switch b, err := db.Block(ctx, q); {
	case err == nil:
		add("block", b.ID, newSubjectView(b.Subject).text(), "blocks", b.ID)
	case !missing(err):
		return nil, err
	}
	list, err := db.ListAccounts(ctx, store.AccountFilter{Q: q}, store.Page{Limit: 10})
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		a := &list.Items[i]
		title := "account"
		if a.Realm != "" {
			title += " in realm " + a.Realm
		}
		hit := SearchHit{Kind: "account", Value: a.Account, Title: title, Path: "/accounts/" + url.PathEscape(a.Account)}
		if a.Realm != "" {
			hit.Path += "?realm=" + url.QueryEscape(a.Realm)
		}
		out = append(out, hit)
	}
	return out, nil
}

// text is the subject in one line.
func (v SubjectView) text() string {
	var parts []string
	for _, p := range []string{v.IP, v.Account, v.Realm, v.Session} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, " ")
}

func (s *Server) review(ctx context.Context, in *ReviewBody) (Reviewed, error) {
	var out Reviewed
	if len(in.IDs) > maxReviewed {
		return out, warder.Fault{Location: "body.ids", Message: "must name at most 1000 blocks"}
	}
	actor := callerOf(ctx).actor
	who := ""
	if in.Reviewed {
		who = actor.Name
	}
	for _, id := range in.IDs {
		_, err := s.opts.Store.Block(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return out, err
		}
		err = s.opts.Guard.EditBlock(ctx, actor, guard.BlockEdit{ID: id, Reviewed: &who, At: time.Now().UTC()})
		switch {
		case err == nil:
			out.Reviewed++
		case errors.Is(err, guard.ErrNotFound):
		default:
			return out, err
		}
	}
	return out, nil
}

// testAddress is where test events come from: a documentation address (RFC
// 5737), whom nobody is behind.
var testAddress = netip.MustParseAddr("192.0.2.1")

// testEvent sends an event of a kind that counts towards nothing.
func (s *Server) testEvent(ctx context.Context) (TestEventAnswer, error) {
	c := callerOf(ctx)
	id, _, _ := NewToken()
	e := warder.Event{
		ID: "test-" + id, Name: testEventName, IP: testAddress, Account: "test", Realm: "test",
		UserAgent: "Warder", Reason: "test", Details: json.RawMessage(`{"test":true}`),
	}
	if who := c.person(); who != "" {
		e.Details = mustJSON(map[string]any{"test": true, "sent_by": who})
	}
	app := c.app
	if app == nil || app.ID == "" {
		app = &guard.App{ID: "dashboard", Name: "dashboard", CanChallenge: true, CanMFA: true}
	}
	reported := s.opts.Guard.Report(ctx, app, []guard.Incoming{{Event: e}})
	if len(reported) != 1 {
		return TestEventAnswer{}, guard.ErrBusy
	}
	if reported[0].Err != nil {
		return TestEventAnswer{}, reported[0].Err
	}
	stored, err := s.opts.Store.Event(ctx, e.ID)
	if err != nil {
		return TestEventAnswer{}, err
	}
	return TestEventAnswer{Event: newEventView(stored), Decision: reported[0].Decision}, nil
}

// testEventName is in no preset's rules and ends in nothing that counts.
const testEventName = "TEST_EVENT"

// checkPolicy parses, compiles and runs the document's own tests.
func checkPolicy(in *PolicyCheckBody) (PolicyCheck, error) {
	out := PolicyCheck{Faults: []warder.Fault{}}
	if (len(in.Policy) == 0) == (in.YAML == "") {
		return out, warder.Fault{Location: "body", Message: "must hold one of policy and yaml"}
	}
	text := []byte(in.YAML)
	if in.YAML == "" {
		text = in.Policy
	}
	faulty := func(err error) PolicyCheck {
		if faults, ok := errors.AsType[warder.Faults](err); ok {
			out.Faults = faults
		} else {
			out.Faults = append(out.Faults, warder.Fault{Message: clip(printable(err.Error()), 300)})
		}
		return out
	}
	d, err := policy.Parse(text)
	if err != nil {
		return faulty(err), nil
	}
	out.Policy, out.YAML = d, string(d.YAML())
	compiled, err := d.Compile()
	if err != nil {
		return faulty(err), nil
	}
	if err := compiled.Test(); err != nil {
		return faulty(err), nil
	}
	out.Valid = true
	return out, nil
}

// status gathers the state of protection.
func (s *Server) status(ctx context.Context) (StatusView, error) {
	d, n := s.opts.Guard.Policy()
	out := StatusView{
		Revision: n, ReadOnly: s.opts.PolicyFile != "", Degraded: s.reasons(), Providers: s.providers(),
		Version: s.opts.Version, Time: time.Now().UTC(), Mode: warder.Off.String(),
	}
	if d != nil {
		out.Enabled = d.Enabled
		if d.Enabled {
			out.Mode = d.Mode.String()
		}
		for _, name := range policy.Presets() {
			if p, err := policy.Preset(name); err == nil && p.Mode == d.Mode && sameRules(p, d) {
				out.Preset = name
			}
		}
	}
	if s.settings != nil {
		out.Mail.Configured = s.settings.Current().SMTP.Host != ""
	}
	if s.opts.Alerts != nil {
		list, err := s.opts.Alerts.Recipients(ctx)
		if err != nil {
			return out, err
		}
		out.Mail.Recipients = len(list)
	}
	last, err := s.opts.Store.LastDeliveries(ctx)
	if err != nil {
		return out, err
	}
	out.Mail.LastSent, out.Mail.LastFailed, out.Mail.LastError = maybe(last.Sent), maybe(last.Failed), last.Error
	if out.Database.Bytes, err = s.opts.Store.Size(ctx); err != nil {
		return out, err
	}
	oldest, err := s.opts.Store.OldestEvent(ctx)
	out.Database.OldestEvent = maybe(oldest)
	return out, err
}

// sameRules reports whether a policy has the rules of a preset, whatever else
// was set in it.
func sameRules(preset, d *policy.Document) bool {
	a, err := json.Marshal(preset.Activity)
	b, err2 := json.Marshal(d.Activity)
	return err == nil && err2 == nil && string(a) == string(b)
}

// Bounds of the reports that browsers send.
const (
	maxCSPReport   = 16 << 10
	cspReportsPer  = time.Minute
	cspReportsMost = 20 // logged in that time; all are counted
)

// cspReport takes what a browser says about a page of ours that tried to do
// what its policy forbids. Anybody can send one, so it is counted, logged a few
// times a minute, and answered the same whatever it says.
func (s *Server) cspReport(w http.ResponseWriter, r *http.Request, _ *caller) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCSPReport))
	if err != nil {
		s.writeProblem(w, r, problemOrBroken(err))
		return
	}
	s.metrics.cspReports.Inc()
	if s.cspLog.allow(time.Now()) {
		s.log.WarnContext(r.Context(), "a browser reports a violation of the content security policy",
			"report", clip(printable(string(text)), 1000))
	}
	w.WriteHeader(http.StatusNoContent)
}

func mustJSON(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // only for values that encode
	}
	return text
}

// rate lets a few things through in each minute.
type rate struct {
	mu    sync.Mutex
	begun time.Time
	n     int
}

func (r *rate) allow(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.begun) >= cspReportsPer {
		r.begun, r.n = now, 0
	}
	r.n++
	return r.n <= cspReportsMost
}
