package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

var update = flag.Bool("update", false, "write golden files")

// fake answers the hot calls and notes what reached it.
type fake struct {
	query    guard.Query
	wait     time.Duration
	key      string
	incoming []guard.Incoming
	settled  guard.Settlement
	calls    int
	answer   func(i int) guard.Reported
	err      error
	decision warder.Decision
}

func (f *fake) Check(_ *guard.App, q *guard.Query) warder.Decision {
	f.calls++
	f.query = *q
	return f.decision
}

func (f *fake) Report(_ context.Context, _ *guard.App, events []guard.Incoming) []guard.Reported {
	f.calls++
	out := make([]guard.Reported, len(events))
	for i := range events {
		out[i] = guard.Reported{ID: events[i].Event.ID, Severity: warder.Warning, Decision: f.decision}
		if events[i].Faults != nil {
			out[i].Err = events[i].Faults
		} else if f.answer != nil {
			out[i] = f.answer(len(f.incoming) + i)
		}
	}
	f.incoming = append(f.incoming, events...)
	return out
}

func (f *fake) Begin(_ context.Context, _ *guard.App, q guard.Query, wait time.Duration, key string) (guard.Attempt, error) {
	f.calls++
	f.query, f.wait, f.key = q, wait, key
	return guard.Attempt{Token: "t", ExpiresIn: 30 * time.Second, Decision: f.decision}, f.err
}

func (f *fake) Settle(_ context.Context, _ *guard.App, _ string, s guard.Settlement) (guard.Reported, error) {
	f.calls++
	f.settled = s
	return guard.Reported{ID: "e1", Decision: f.decision}, f.err
}

func (f *fake) Bulk() func() { return func() {} }

const testSecret = "0123456789abcdef0123456789abcdef"

// bare is a Server around a fake engine with one key for each scope, whose
// token is wk_<scope>_<secret>.
func bare(t testing.TB, opts Options) (*Server, *fake) {
	t.Helper()
	opts.Guard, opts.Store = new(guard.Guard), new(store.DB)
	s, err := build(opts)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{decision: warder.Decision{Reason: warder.OK}}
	s.engine = f
	m := map[string]*key{}
	for _, scope := range Scopes() {
		id := string(scope)
		m[id] = newKey(&store.Key{
			ID: id, Name: id, Hash: sha256.Sum256([]byte(testSecret)), Scopes: []string{id}, Can: []string{"mfa"},
		})
	}
	s.keys.byID.Store(&m)
	return s, f
}

func bearer(scope Scope) string { return "Bearer wk_" + string(scope) + "_" + testSecret }

// call sends one request with a key of every scope it could need.
func call(t testing.TB, s *Server, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", bearer(ScopeAdmin))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// places are the locations of a problem document, which it must be.
func places(t testing.TB, w *httptest.ResponseRecorder) []string {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q of a problem", got)
	}
	var p Problem
	dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("problem %s: %v", w.Body, err)
	}
	if p.Status != w.Code || p.Title == "" || p.Type == "" {
		t.Errorf("problem %s with status %d", w.Body, w.Code)
	}
	var out []string
	for _, f := range p.Errors {
		out = append(out, f.Location)
	}
	return out
}

// openPaths are the calls that nobody can be signed in for yet: a link or a
// password is their key.
var openPaths = []string{
	"/v1/setup", "/v1/invitations/accept", "/v1/session", "/v1/session/totp", "/v1/session/recovery",
	"/v1/session/passkey", "/v1/session/passkey/options", "/v1/csp-report",
}

// TestRouteTable walks the registered routes against the table: every route
// has a row, every row has a route, and every row says who may use it.
func TestRouteTable(t *testing.T) {
	s, _ := bare(t, Options{})
	seen := map[string]bool{}
	for _, row := range routes {
		if seen[row.pattern] {
			t.Errorf("%s is there twice", row.pattern)
		}
		seen[row.pattern] = true
		if !s.router.registered[row.pattern] {
			t.Errorf("%s is in the table and nobody handles it", row.pattern)
		}
		if row.open == (row.scope != "" || row.role != "") {
			t.Errorf("%s must be either open or need a scope or a role", row.pattern)
		}
		if _, path, _ := strings.Cut(row.pattern, " "); row.open && strings.HasPrefix(path, "/v1/") && !slices.Contains(openPaths, path) {
			t.Errorf("%s is open", row.pattern)
		}
	}
	for pattern := range s.router.registered {
		if !seen[pattern] {
			t.Errorf("%s has no row", pattern)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a route without a row was registered")
		}
	}()
	s.router.handle("GET /v1/backdoor", func(http.ResponseWriter, *http.Request, *caller) {})
}

// TestScopes asks for every route with every scope: only the route's own and
// admin get past the door.
func TestScopes(t *testing.T) {
	s, _ := bare(t, Options{})
	for _, row := range routes {
		if row.open {
			continue
		}
		method, path, _ := strings.Cut(row.pattern, " ")
		request := func(auth string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, strings.NewReplacer("{", "", "}", "").Replace(path), nil)
			if auth != "" {
				r.Header.Set("Authorization", auth)
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			return w
		}
		for _, auth := range []string{
			"", "Bearer", "Bearer wk_admin", "Bearer wk_admin_", "Bearer wk_admin_" + strings.Repeat("0", 32),
			"Bearer wk_nobody_" + testSecret, "Basic YTpi", bearer(ScopeAdmin) + "0", "wk_admin_" + testSecret,
		} {
			if w := request(auth); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: %d", row.pattern, auth, w.Code)
			}
		}
		for _, scope := range Scopes() {
			if row.scope != "" && (scope == row.scope || scope == ScopeAdmin) {
				continue
			}
			if w := request(bearer(scope)); w.Code != http.StatusForbidden {
				t.Errorf("%s with scope %s: %d, want 403", row.pattern, scope, w.Code)
			}
		}
	}
}

// TestOpenAPIGolden shows every change of the published document.
func TestOpenAPIGolden(t *testing.T) {
	s, _ := bare(t, Options{Version: "test"})
	w := call(t, s, "GET", "/openapi.json", "", "Authorization", "")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d", w.Code)
	}
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(w.Body.String(), "\n")); diff != "" {
		t.Errorf("the OpenAPI document changed; if that is meant, run this test with -update:\n%s", diff)
	}
}

// TestOpenAPICoversRoutes compares the document with the table of routes.
func TestOpenAPICoversRoutes(t *testing.T) {
	s, _ := bare(t, Options{})
	doc := s.huma.OpenAPI()
	for _, row := range routes {
		method, path, _ := strings.Cut(row.pattern, " ")
		if path == "/{$}" || path == "/openapi.json" || path == "/references/{ref}" {
			continue
		}
		item := doc.Paths[strings.Replace(path, "...}", "}", 1)]
		if item == nil {
			t.Errorf("%s is not described", row.pattern)
			continue
		}
		op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete}[method]
		if op == nil {
			t.Errorf("%s is not described", row.pattern)
			continue
		}
		// Who may call it is said so that programs can read it.
		var want []map[string][]string
		if row.scope != "" {
			want = append(want, map[string][]string{"key": {string(row.scope)}})
		}
		if row.role != "" {
			want = append(want, map[string][]string{"session": {string(row.role)}})
		}
		if diff := cmp.Diff(want, op.Security, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("security of %s: %s", row.pattern, diff)
		}
	}
}

// TestDocumentedFields compares the fields that the document lists for the hot
// calls with those that the decoder reads.
func TestDocumentedFields(t *testing.T) {
	s, _ := bare(t, Options{})
	schemas := s.huma.OpenAPI().Components.Schemas.Map()
	for name, fields := range map[string][]string{
		"EventBody": eventFields[:fieldEvents], "GuessBody": guessFields, "CheckBody": queryFields[:fieldQueryWait],
		"AttemptBody": queryFields, "SettleBody": settleFields, "PoseBody": poseFields, "VerifyBody": verifyFields,
	} {
		var got []string
		for field := range schemas[name].Properties {
			got = append(got, field)
		}
		want := slices.Clone(fields)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestEveryAnswerHasTheHeaders: also errors, also of routes that do not exist.
func TestEveryAnswerHasTheHeaders(t *testing.T) {
	s, _ := bare(t, Options{})
	for _, path := range []string{"/", "/healthz", "/nothing", "/v1/check", "/openapi.json"} {
		h := call(t, s, "GET", path, "").Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestUnknownPathAndMethod(t *testing.T) {
	s, _ := bare(t, Options{})
	if w := call(t, s, "GET", "/v1/nothing", ""); w.Code != http.StatusNotFound {
		t.Errorf("unknown path: %d", w.Code)
	} else {
		places(t, w)
	}
	for path, allow := range map[string]string{"/v1/check": "POST", "/v1/events": "GET, HEAD, POST", "/v1/blocks/x": "GET, HEAD, PATCH, DELETE"} {
		w := call(t, s, "PUT", path, "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allow {
			t.Errorf("PUT %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
		places(t, w)
	}
}

// TestPanicIsOneRequest: a panic is a 500 without its text.
func TestPanicIsOneRequest(t *testing.T) {
	s, _ := bare(t, Options{})
	s.engine = nil
	w := call(t, s, "POST", "/v1/check", `{"ip":null}`)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "nil pointer") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	places(t, w)
}

func TestCrossSiteRequestsAreRefused(t *testing.T) {
	s, _ := bare(t, Options{})
	w := call(t, s, "POST", "/v1/counters/clear", `{}`, "Authorization", "", "Sec-Fetch-Site", "cross-site")
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
}

// endless is a body that never ends, and counts what was read of it.
type endless struct {
	start string
	read  int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.start)
	e.start = e.start[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'a'
	}
	e.read += int64(len(p))
	return len(p), nil
}

var _ io.Reader = (*endless)(nil)
