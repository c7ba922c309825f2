package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json/jsontext"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
)

// manage registers the management API and builds the OpenAPI document.
func (s *Server) manage() error {
	config := huma.DefaultConfig("Warder", s.opts.Version)
	config.CreateHooks = nil // no $schema fields and Link headers in answers
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.RejectUnknownQueryParameters = true
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshalStrict}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format}
	config.NoFormatFallback = false
	config.Transformers = []huma.Transformer{asProblem}
	config.Info.Description = "Self-hosted login protection. Errors are problem documents (RFC 9457)."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":     {Type: "http", Scheme: "bearer", BearerFormat: "wk_<id>_<secret>", Description: "An API key; each call names the scope it needs."},
		"session": {Type: "apiKey", In: "cookie", Name: cookieName, Description: "The cookie of a signed-in operator; " + secureCookieName + " over TLS. Each call names the role it needs."},
	}
	s.huma = humago.New(s.router, config)
	s.manageEvents()
	s.manageBlocks()
	s.manageSources()
	s.managePolicy()
	s.managePeople()
	s.manageSession()
	s.manageMe()
	s.manageSetup()
	s.manageExports()
	s.manageDesk()
	s.manageSites()
	s.router.handle("GET /v1/stream", s.serveStream)
	return s.describe()
}

// unmarshalStrict is the JSON of management calls: as strict as that of the
// data plane. Unknown names are found by huma's validation.
func unmarshalStrict(data []byte, v any) error {
	if depth(data) > maxDepth {
		return errors.New("must be nested at most 32 levels deep")
	}
	if err := jsonv2.Unmarshal(data, v); err != nil {
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) && syntax.Err != nil {
			return errors.New("is not JSON at " + clip(printable("/"+strings.TrimPrefix(string(syntax.JSONPointer), "/")), 100) + ": " + clip(printable(syntax.Err.Error()), 200))
		}
		return errors.New(clip(printable(err.Error()), 200))
	}
	return nil
}

// asProblem gives huma's own errors the shape of all others, and does not
// repeat to callers what they sent.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := newProblem(m.Status, m.Detail)
	if m.Status >= 500 && m.Status != http.StatusServiceUnavailable {
		p.Detail = "Warder made a mistake; its log has more."
		return p, nil
	}
	for _, e := range m.Errors {
		if strings.HasPrefix(e.Message, "invalid date/time") { // in words of Go's own
			e.Message = "must be a time of RFC 3339, such as 2026-03-01T00:00:00Z"
		}
		p.Errors = append(p.Errors, warder.Fault{Location: clip(printable(e.Location), 200), Message: clip(printable(e.Message), 300)})
	}
	return p, nil
}

// body is an answer without headers of its own.
type body[T any] struct{ Body T }

// register adds a management call: its place in the table of routes, its
// schema and what it does. status 0 means 200.
func register[I, O any](s *Server, pattern, id, summary string, status int, h func(context.Context, *I) (O, error)) {
	registerRaw(s, pattern, id, summary, status, func(ctx context.Context, in *I) (*body[O], error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, err
		}
		return &body[O]{Body: out}, nil
	})
}

// registerRaw is register for answers with headers, or without a body.
func registerRaw[I, O any](s *Server, pattern, id, summary string, status int, h func(context.Context, *I) (*O, error)) {
	method, path, _ := strings.Cut(pattern, " ")
	row := s.router.rows[pattern]
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status,
		MaxBodyBytes: s.opts.MaxBody + 1, // huma refuses a body of exactly this size
		Tags:         []string{tagOf(path)},
	}
	if strings.HasSuffix(pattern, "/import") {
		op.MaxBodyBytes = s.opts.MaxBatch + 1
	}
	if row != nil {
		secure(&op, row)
	}
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		if err := s.stillMay(ctx, row); err != nil {
			return nil, s.managed(ctx, pattern, err)
		}
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.managed(ctx, pattern, err)
		}
		return out, nil
	})
}

func secure(op *huma.Operation, row *route) {
	if row.open {
		op.Security = []map[string][]string{}
		return
	}
	op.Extensions = map[string]any{}
	var text string
	if row.scope != "" {
		op.Security = append(op.Security, map[string][]string{"key": {string(row.scope)}})
		op.Extensions["x-warder-scope"] = string(row.scope)
		text = " Scope: `" + string(row.scope) + "`."
	}
	if row.role != "" {
		op.Security = append(op.Security, map[string][]string{"session": {string(row.role)}})
		op.Extensions["x-warder-role"] = string(row.role)
		text += " Operators: `" + string(row.role) + "` and above."
	}
	op.Description = strings.TrimSpace(op.Description + "\n\n" + strings.TrimSpace(text))
}

func tagOf(path string) string {
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	return tag
}

// managed turns an error of the engine or the store into the answer.
func (s *Server) managed(ctx context.Context, pattern string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, operator.ErrNotFound):
		err = guard.ErrNotFound
	case errors.Is(err, store.ErrConflict):
		err = guard.ErrConflict
	case errors.Is(err, operator.ErrNoFactor):
		err = newProblem(http.StatusNotFound, "There is no such thing (any more).")
	case errors.Is(err, operator.ErrExists), errors.Is(err, operator.ErrLastOwner), errors.Is(err, operator.ErrOwnRole),
		errors.Is(err, operator.ErrSetUp), errors.Is(err, operator.ErrFactorExists), errors.Is(err, operator.ErrTooMany),
		errors.Is(err, operator.ErrNoHost):
		err = newProblem(http.StatusConflict, sentence(err))
	case errors.Is(err, operator.ErrBadLink):
		err = newProblem(http.StatusForbidden, "This link does not work (any more): each works once, and not for ever. Ask an owner for another one.")
	case errors.Is(err, operator.ErrNoSession):
		err = newProblem(http.StatusUnauthorized, "Your session has ended. Sign in again.")
	case errors.Is(err, operator.ErrBusy):
		err = guard.ErrBusy
	case errors.Is(err, store.ErrBadCursor):
		err = fault(http.StatusUnprocessableEntity, "query.cursor", store.ErrBadCursor.Error())
	case errors.Is(err, store.ErrLocked), errors.Is(err, store.ErrNotWritable):
		err = guard.ErrBusy
	}
	p := problemOf(err)
	if p.Status >= 500 && p.cause != nil {
		s.log.ErrorContext(ctx, "management call failed", "route", pattern, "error", p.cause)
	}
	return p
}

// sentence is an error of our own as people read it.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// inBody places the faults of a value that came as the body.
func inBody(err error) error {
	var faults warder.Faults
	if !errors.As(err, &faults) {
		return err
	}
	out := make(warder.Faults, len(faults))
	for i, f := range faults {
		out[i] = warder.Fault{Location: strings.TrimSuffix("body."+f.Location, "."), Message: f.Message}
	}
	return out
}

// checkText checks a text that people write. Lines may be broken if lines.
func checkText(f *warder.Faults, location, s string, limit int, lines bool) {
	switch {
	case len(s) > limit:
		f.Add(location, "must be at most %d bytes, is %d", limit, len(s))
	case !utf8.ValidString(s):
		f.Add(location, "must be valid UTF-8")
	case strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && (!lines || c != '\n' && c != '\t') }):
		f.Add(location, "must not contain control characters")
	}
}

// parseSource reads an address or prefix at location; empty is the invalid one.
func parseSource(f *warder.Faults, location, s string) (p netip.Prefix) {
	if s == "" {
		return p
	}
	p, err := warder.ParseSource(clip(s, 128))
	if err != nil {
		f.Add(location, "%s", printable(err.Error()))
	}
	return p
}

// seconds reads a duration at location.
func seconds(f *warder.Faults, location string, n int64) time.Duration {
	const most = 100 * 365 * 86400
	if n < 0 || n > most {
		f.Add(location, "must be a whole number of seconds from 0 to %d", most)
		return 0
	}
	return time.Duration(n) * time.Second
}

// Paging is the part of a list that is asked for.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Items at most."`
	Cursor string `query:"cursor" maxLength:"512" doc:"The next of the part before."`
}

func (p Paging) page() store.Page { return store.Page{Cursor: p.Cursor, Limit: p.Limit} }

// door is what stands before every management handler: strict queries, and
// repeats of a call with an Idempotency-Key.
func (s *Server) door(w http.ResponseWriter, r *http.Request, c *caller, h http.HandlerFunc) {
	for name, values := range r.URL.Query() {
		if len(values) > 1 {
			s.writeProblem(w, r, fault(http.StatusUnprocessableEntity, "query."+clip(printable(name), 64), "is there twice"))
			return
		}
	}
	if _, err := queryIsValid(r); err != nil {
		s.writeProblem(w, r, err)
		return
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		h(w, r)
		return
	}
	limit := s.opts.MaxBody
	if strings.HasSuffix(r.URL.Path, "/import") {
		limit = s.opts.MaxBatch
	}
	if r.ContentLength > limit {
		s.writeProblem(w, r, tooLarge(limit))
		return
	}
	if r.ContentLength != 0 && r.Header.Get("Content-Type") == "" {
		s.writeProblem(w, r, newProblem(http.StatusUnsupportedMediaType, "Content-Type is missing."))
		return
	}
	key, err := idempotencyKey(r)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	if key == "" || forgets(r.URL.Path) {
		h(w, r)
		return
	}
	s.once(w, r, c, key, limit, h)
}

// queryIsValid refuses a query string that cannot be decoded, which net/url
// would pass over in silence.
func queryIsValid(r *http.Request) (ok bool, err error) {
	if strings.Contains(r.URL.RawQuery, ";") {
		return false, fault(http.StatusUnprocessableEntity, "query", "must separate its parts by &")
	}
	for name, values := range r.URL.Query() {
		for _, v := range append(values, name) {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return false, fault(http.StatusUnprocessableEntity, "query."+clip(printable(name), 64), "must be text in valid UTF-8")
			}
		}
	}
	return true, nil
}

// forgets lists calls whose answers are not kept: those that hold a secret, or
// belong to one person, since an Idempotency-Key says nothing about who sends it,
// and those that change nothing, which anybody may make without end.
func forgets(path string) bool {
	switch path {
	case "/v1/policy/validate", "/v1/policy/preview", "/v1/export/verify":
		return true
	}
	rest, _ := strings.CutPrefix(path, "/v1/")
	first, _, _ := strings.Cut(rest, "/")
	switch first {
	case "keys", "operators", "setup", "session", "me", "invitations":
		return true
	}
	return false
}

// underWay holds the calls with an Idempotency-Key that are being done.
type underWay struct {
	mu  sync.Mutex
	set map[string]struct{}
}

func (u *underWay) begin(k string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.set == nil {
		u.set = map[string]struct{}{}
	}
	if _, busy := u.set[k]; busy {
		return false
	}
	u.set[k] = struct{}{}
	return true
}

func (u *underWay) end(k string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.set, k)
}

// repeatFor is how long the answer to a call with an Idempotency-Key is kept.
const repeatFor = 24 * time.Hour

// once does a call the first time that its key is seen, and repeats the answer
// after that.
func (s *Server) once(w http.ResponseWriter, r *http.Request, c *caller, key string, limit int64, h http.HandlerFunc) {
	who := c.actor.Name
	if c.key != nil {
		who = "key:" + c.key.id
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		s.writeProblem(w, r, problemOrBroken(err))
		return
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	sum := sha256.Sum256([]byte(r.Method + "\n" + r.URL.RequestURI() + "\n" + media + "\n" + string(data)))
	if !s.calls.begin(who + "\n" + key) {
		s.writeProblem(w, r, newProblem(http.StatusConflict, "A call with this Idempotency-Key is under way."))
		return
	}
	defer s.calls.end(who + "\n" + key)
	now := time.Now()
	before, err := s.opts.Store.Repeated(r.Context(), who, key, now.Add(-repeatFor))
	switch {
	case err == nil && !bytes.Equal(before.Digest, sum[:]):
		s.writeProblem(w, r, newProblem(http.StatusConflict, "This Idempotency-Key was used for another call."))
		return
	case err == nil:
		w.Header().Set("Idempotency-Replayed", "true")
		w.Header()["Content-Type"] = jsonType
		w.WriteHeader(before.Status)
		_, _ = w.Write(before.Body)
		return
	case !errors.Is(err, store.ErrNotFound) && !c.actor.Urgent:
		s.writeProblem(w, r, s.managed(r.Context(), r.Pattern, err))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	rec := &recorder{ResponseWriter: w}
	h(rec, r)
	if rec.status >= 200 && rec.status < 300 {
		err := s.opts.Store.Remember(context.WithoutCancel(r.Context()), store.Repeat{
			Actor: who, Key: key, Digest: sum[:], Status: rec.status, Body: rec.body.Bytes(), At: now,
		})
		if err != nil {
			s.log.WarnContext(r.Context(), "answer for repeats is not kept", "route", r.Pattern, "error", err)
		}
	}
}

func problemOrBroken(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return newProblem(http.StatusBadRequest, "The body could not be read to its end.")
}

// recorder keeps a copy of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// audited is the audit row of a change that the engine does not make.
func audited(a guard.Actor, now time.Time, action, target string, after any) guard.Audit {
	row := guard.Audit{Time: now.UTC(), Actor: a.Name, From: a.From, Action: action, Target: target}
	if after != nil {
		row.After, _ = json.Marshal(after) // our own types encode
	}
	return row
}
