package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/policy"
	"github.com/warderhq/warder/internal/store"
)

// whole is the API on a real engine and a real database.
type whole struct {
	*Server
	url   string
	token string
	db    *store.DB
	last  string // body of the last answer to do
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	db, err := store.Open(ctx, store.Options{Path: filepath.Join(t.TempDir(), "warder.db"), AuditKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	preset, err := policy.Preset("classic")
	if err != nil {
		t.Fatal(err)
	}
	g, err := guard.New(guard.Options{
		Journal: db, Counters: counter.New(counter.Options{Bytes: 8 << 20}), Secret: bytes.Repeat([]byte("s"), 32), Preset: preset,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Load(ctx); err != nil {
		t.Fatal(err)
	}
	key, err := CreateKey(ctx, db, guard.Actor{Name: "cli:0"}, NewKeyBody{Name: "test", Scopes: []string{"admin"}, Can: []string{"challenge", "mfa"}})
	if err != nil {
		t.Fatal(err)
	}
	people, err := operator.New(operator.Options{Store: db, Hasher: operator.NewHasher(operator.Cost{Memory: 64, Passes: 1, Threads: 1}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Guard: g, Store: db, People: people, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- g.Run(ctx) }()
	go func() { done <- s.Run(ctx) }()
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &whole{Server: s, url: srv.URL, token: key.Token, db: db}
}

// do sends a request over the wire and decodes the answer into out.
func (h *whole) do(t *testing.T, method, path, body string, out any, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := out.(*string); ok {
		*text = string(data)
	} else if out != nil && res.StatusCode < 300 {
		if err := json.Unmarshal(data, out); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, data, err)
		}
	}
	h.last = string(data)
	return res
}

func (h *whole) want(t *testing.T, status int, method, path, body string, out any, header ...string) *http.Response {
	t.Helper()
	res := h.do(t, method, path, body, out, header...)
	if res.StatusCode != status {
		t.Fatalf("%s %s %s: %d, want %d: %s", method, path, clip(body, 100), res.StatusCode, status, h.last)
	}
	return res
}

func failure(ip string, n int) string {
	return fmt.Sprintf(`{"name":"USER_LOGIN_FAILURE","ip":%q,"account":"alice","reason":"wrong_password","id":"%s-%d"}`, ip, ip, n)
}

// TestFirstAttack is the first minute of a newcomer: five failures, the block,
// the refused sixth, the session that ends, the reference, the lifting.
func TestFirstAttack(t *testing.T) {
	h := newWhole(t)
	const ip = "203.0.113.7"
	h.want(t, 200, "POST", "/v1/events", `{"name":"USER_LOGIN_SUCCESS","ip":"203.0.113.7","account":"bob","session":"s1"}`, nil)
	var answers []EventAnswer
	for i := range 6 {
		var a EventAnswer
		h.want(t, 200, "POST", "/v1/events", failure(ip, i), &a)
		answers = append(answers, a)
	}
	for i, sev := range []warder.Severity{warder.Warning, warder.High, warder.High, warder.High, warder.Critical, warder.High} {
		if answers[i].Severity != sev {
			t.Errorf("failure %d is %s, want %s", i+1, answers[i].Severity, sev)
		}
	}
	fifth, sixth := answers[4].Decision, answers[5].Decision
	if fifth.Action != warder.BlockAction || fifth.Reason != warder.Threshold || sixth.Reason != warder.Blocked {
		t.Errorf("fifth %+v, sixth %+v", fifth, sixth)
	}
	var d warder.Decision
	h.want(t, 200, "POST", "/v1/check", `{"ip":"203.0.113.7"}`, &d)
	if d.Action != warder.BlockAction || d.BlockID == "" || d.Reference == "" {
		t.Errorf("check: %+v", d)
	}
	var again EventAnswer
	h.want(t, 200, "POST", "/v1/events", failure(ip, 0), &again)
	if again.Severity != answers[0].Severity || again.Decision.Action != answers[0].Decision.Action {
		t.Errorf("a repeat was answered %+v, first %+v", again, answers[0])
	}
	h.want(t, 409, "POST", "/v1/events", strings.Replace(failure(ip, 0), "alice", "carol", 1), nil)

	var feed RevocationsAnswer
	h.want(t, 200, "GET", "/v1/sessions/revocations?wait=5", "", &feed)
	if len(feed.Items) != 1 || feed.Items[0].Session != "s1" {
		t.Errorf("revocations: %+v", feed)
	}
	var list Items[BlockView]
	h.want(t, 200, "GET", "/v1/blocks?state=active&ip="+ip, "", &list)
	if len(list.Items) != 1 || list.Items[0].IP != ip || list.Items[0].State != "active" || list.Items[0].Until != nil {
		t.Fatalf("blocks: %+v", list)
	}
	var b BlockView
	h.want(t, 200, "GET", "/v1/blocks/"+d.BlockID, "", &b)
	if len(b.Evidence) != 5 || b.Reference != d.Reference {
		t.Errorf("block: %+v", b)
	}
	var ref ReferenceView
	h.want(t, 200, "GET", "/v1/references/"+strings.ToLower(d.Reference), "", &ref)
	if ref.Block == nil || ref.Block.ID != b.ID {
		t.Errorf("reference: %+v", ref)
	}
	h.want(t, 422, "DELETE", "/v1/blocks/"+b.ID, `{"verdict":"perhaps"}`, nil)
	var lifted Lifted
	h.want(t, 200, "DELETE", "/v1/blocks/"+b.ID, `{"verdict":"error","reason":"a colleague"}`, &lifted)
	if lifted.Lifted != 1 || lifted.Blocks[0].Verdict != "error" || lifted.Blocks[0].LiftedBy != "key:test" {
		t.Errorf("lifted: %+v", lifted)
	}
	h.want(t, 200, "POST", "/v1/check", `{"ip":"203.0.113.7"}`, &d)
	if d.Action != warder.Allow {
		t.Errorf("after lifting: %+v", d)
	}
	h.want(t, 404, "DELETE", "/v1/blocks/"+b.ID, `{"verdict":"error"}`, nil)
	var audit Items[store.AuditRow]
	h.want(t, 200, "GET", "/v1/audit", "", &audit)
	if len(audit.Items) < 2 {
		t.Errorf("audit: %+v", audit)
	}
	var report store.AuditReport
	h.want(t, 200, "GET", "/v1/audit/verify", "", &report)
	if !report.OK {
		t.Errorf("audit: %+v", report)
	}
}

// TestAttemptOverHTTP announces, settles, settles again.
func TestAttemptOverHTTP(t *testing.T) {
	h := newWhole(t)
	var a AttemptAnswer
	h.want(t, 200, "POST", "/v1/attempts", `{"ip":"203.0.113.8","account":"alice","event":"USER_LOGIN"}`, &a)
	if a.Attempt == "" || a.ExpiresIn != 30 {
		t.Fatalf("attempt: %+v", a)
	}
	var e EventAnswer
	h.want(t, 200, "POST", "/v1/attempts/"+a.Attempt, `{"outcome":"failure","reason":"wrong_password"}`, &e)
	if e.Severity != warder.Warning || e.ID == "" {
		t.Errorf("settled: %+v", e)
	}
	h.want(t, 409, "POST", "/v1/attempts/"+a.Attempt, `{"outcome":"success"}`, nil)
	h.want(t, 404, "POST", "/v1/attempts/forged", `{"outcome":"success"}`, nil)
}

// TestLongPollWakes: a waiting poll answers at the revocation.
func TestLongPollWakes(t *testing.T) {
	h := newWhole(t)
	h.want(t, 200, "POST", "/v1/events", `{"name":"USER_LOGIN_SUCCESS","ip":"203.0.113.9","account":"bob","session":"s9"}`, nil)
	got := make(chan RevocationsAnswer, 1)
	go func() {
		var feed RevocationsAnswer
		other := *h
		other.do(t, "GET", "/v1/sessions/revocations?wait=20", "", &feed)
		got <- feed
	}()
	h.want(t, 200, "POST", "/v1/sessions/revoke", `{"session":"s9","reason":"test"}`, nil)
	feed := <-got
	if len(feed.Items) != 1 || feed.Items[0].Session != "s9" || feed.Next == "" {
		t.Errorf("%+v", feed)
	}
	var rest RevocationsAnswer
	h.want(t, 200, "GET", "/v1/sessions/revocations?after="+feed.Next, "", &rest)
	if len(rest.Items) != 0 || rest.Next != feed.Next {
		t.Errorf("after the last: %+v", rest)
	}
	for _, q := range []string{"after=-1", "after=x", "wait=26", "wait=-1", "colour=1", "wait=1&wait=2"} {
		h.want(t, 422, "GET", "/v1/sessions/revocations?"+q, "", nil)
	}
}

// TestLongPollAtShutdown: what ends a poll before its time is no reason to answer
// with nothing at all, which no caller can read.
func TestLongPollAtShutdown(t *testing.T) {
	h := newWhole(t)
	requests, cut := context.WithCancel(t.Context())
	srv := httptest.NewUnstartedServer(h.Handler())
	srv.Config.BaseContext = func(net.Listener) context.Context { return requests }
	srv.Start()
	defer srv.Close()
	other := *h
	other.url = srv.URL
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	go func() {
		for h.metrics.polls.Load() == 0 {
			<-tick.C
		}
		cut()
	}()
	var text string
	res := other.do(t, "GET", "/v1/sessions/revocations?wait=20", "", &text)
	var feed RevocationsAnswer
	switch err := json.Unmarshal([]byte(text), &feed); {
	case err != nil:
		t.Errorf("%d %q: %v", res.StatusCode, text, err)
	case res.StatusCode == http.StatusServiceUnavailable: // cut while it looked
	case res.StatusCode != http.StatusOK || feed.Items == nil || feed.Next != "0":
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

// TestManagementCalls goes once through everything that an operator does.
func TestManagementCalls(t *testing.T) {
	h := newWhole(t)
	for i := range 3 {
		h.want(t, 200, "POST", "/v1/events", failure("198.51.100.4", i), nil)
	}
	for _, path := range []string{
		"/v1/events", "/v1/events?name=USER_LOGIN_FAILURE&severity=high,warning&ip=198.51.100.0/24&account=ALICE&limit=2", "/v1/events/198.51.100.4-1",
		"/v1/stats/trend?days=7&bucket=hour&tz=Asia/Kolkata", "/v1/stats/types", "/v1/stats/attackers?limit=3", "/v1/stats/countries", "/v1/stats/summary",
		"/v1/ips?suspicious=true", "/v1/ips/198.51.100.4", "/v1/ips/2001:db8::1", "/v1/accounts", "/v1/accounts/alice", "/v1/blocks", "/v1/trusted",
		"/v1/sessions", "/v1/policy/revisions", "/v1/policy/presets", "/v1/providers", "/v1/explain?ip=198.51.100.4&account=alice",
		"/v1/explain?event=198.51.100.4-1", "/v1/demands", "/v1/notes", "/v1/audit", "/v1/operators", "/v1/keys", "/readyz", "/healthz", "/",
	} {
		h.want(t, 200, "GET", path, "", nil)
	}
	for path, place := range map[string]string{
		"/v1/events?colour=red": "query.colour", "/v1/events?from=yesterday": "query.from", "/v1/events?severity=bad": "query.severity",
		"/v1/events?name=a": "query.name", "/v1/events?ip=1.2.3": "query.ip", "/v1/blocks?state=gone": "query.state", "/v1/blocks?limit=501": "query.limit",
		"/v1/events?cursor=zzz": "query.cursor", "/v1/stats/trend?tz=Mars/Base": "query.tz", "/v1/ips/localhost": "path.ip",
		"/v1/explain": "query", "/v1/events?limit=1&limit=2": "query.limit", "/v1/events?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z": "query.to",
		"/v1/stats/types?to=9999-12-31T23:59:59-23:59": "query.to", "/v1/stats/trend?from=9999-12-31T23:59:59Z": "query.from",
		"/v1/blocks?from=0000-01-01T00:00:00Z": "query.from", "/v1/audit?to=9999-12-31T23:59:59Z": "query.to",
	} {
		var text string
		h.want(t, 422, "GET", path, "", &text)
		if !strings.Contains(text, `"location":"`+place+`"`) {
			t.Errorf("%s: %s", path, text)
		}
	}
	h.want(t, 404, "GET", "/v1/events/none", "", nil)

	var b, again BlockView
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"192.0.2.0/24","reason":"abuse","duration":3600}`, &b, "Idempotency-Key", "b1")
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"192.0.2.0/24","reason":"abuse","duration":3600}`, &again, "Idempotency-Key", "b1")
	if again.ID != b.ID || b.Until == nil || b.Source != "manual" {
		t.Errorf("block %+v, repeated %+v", b, again)
	}
	h.want(t, 409, "POST", "/v1/blocks", `{"ip":"192.0.2.0/25"}`, nil, "Idempotency-Key", "b1")
	for _, mode := range []string{"observe", "enforce"} { // of what changes nothing, no answer is kept
		h.want(t, 200, "POST", "/v1/policy/validate", `{"yaml":"mode: `+mode+`"}`, nil, "Idempotency-Key", "v1")
	}
	h.want(t, 409, "POST", "/v1/blocks", `{"ip":"10.0.0.0/7"}`, nil)
	h.want(t, 422, "POST", "/v1/blocks", `{"ip":"192.0.2.1/24"}`, nil)
	h.want(t, 422, "POST", "/v1/blocks", `{"ip":"192.0.2.9","colour":1}`, nil)
	h.want(t, 400, "POST", "/v1/blocks", `{"ip":"192.0.2.9","ip":"192.0.2.10"}`, nil)
	h.want(t, 200, "PATCH", "/v1/blocks/"+b.ID, `{"reviewed":true,"note":"looked at it\nfine"}`, &again)
	if again.ReviewedBy != "key:test" || again.Note == "" {
		t.Errorf("edited: %+v", again)
	}
	var imported Imported
	h.want(t, 200, "POST", "/v1/blocks/import", `{"blocks":[{"ip":"192.0.2.77"},{"ip":"bad"},{"ip":"2001:db8:5::/64","reason":"x"}]}`, &imported)
	if imported.Imported != 2 || len(imported.Rejected) != 1 || imported.Rejected[0].Index != 1 {
		t.Errorf("imported: %+v", imported)
	}
	h.want(t, 200, "POST", "/v1/blocks/import", `{"blocks":[{"ip":"192.0.2.77","duration":2000000000}]}`, &imported)
	if len(imported.Rejected) != 1 || !strings.HasPrefix(imported.Rejected[0].Message, "duration must be between") {
		t.Errorf("a rejected entry does not say why: %+v", imported)
	}
	// JSON knows no such time; a block that had it could not be shown again.
	h.want(t, 422, "PATCH", "/v1/blocks/"+b.ID, `{"until":"9999-12-31T23:59:59-23:59"}`, nil)
	h.want(t, 200, "GET", "/v1/blocks", "", nil)
	var lifted Lifted
	h.want(t, 200, "POST", "/v1/blocks/lift", `{"verdict":"resolved","filter":{"source":"import","reviewed":true},"dry_run":true}`, &lifted)
	if lifted.Lifted != 0 {
		t.Errorf("nobody reviewed anything, yet these would be lifted: %+v", lifted)
	}
	h.want(t, 200, "POST", "/v1/blocks/lift", `{"verdict":"resolved","filter":{"source":"import"},"dry_run":true}`, &lifted)
	if lifted.Lifted != 2 || lifted.Blocks[0].State != "active" {
		t.Errorf("would be lifted: %+v", lifted)
	}
	one := `{"verdict":"resolved","ids":["` + lifted.Blocks[0].ID + `","` + lifted.Blocks[0].ID + `","nothing"],"dry_run":true}`
	if h.want(t, 200, "POST", "/v1/blocks/lift", one, &lifted); lifted.Lifted != 1 {
		t.Errorf("would be lifted by id: %+v", lifted)
	}
	h.want(t, 422, "POST", "/v1/blocks/lift", `{"verdict":"resolved","ip":"203.0.113.1","dry_run":true}`, nil)
	h.want(t, 200, "POST", "/v1/blocks/lift", `{"verdict":"resolved","filter":{"source":"import"}}`, &lifted)
	if lifted.Lifted != 2 {
		t.Errorf("lifted: %+v", lifted)
	}
	h.want(t, 422, "POST", "/v1/blocks/lift", `{"verdict":"resolved"}`, nil)
	h.want(t, 422, "POST", "/v1/blocks/lift", `{"verdict":"resolved","filter":{"from":"2026-03-02T00:00:00Z","to":"2026-03-01T00:00:00Z"}}`, nil)
	if !strings.Contains(h.last, `"location":"body.filter.to"`) || strings.Contains(h.last, "query") {
		t.Errorf("the fault is placed elsewhere: %s", h.last)
	}

	var tr TrustedView
	h.want(t, 201, "POST", "/v1/trusted", `{"ip":"198.51.100.0/24","note":"office","expires_in":3600}`, &tr)
	h.want(t, 409, "POST", "/v1/blocks", `{"ip":"198.51.100.9"}`, nil)
	h.want(t, 204, "DELETE", "/v1/trusted/"+tr.ID, "", nil)
	h.want(t, 204, "POST", "/v1/counters/clear", `{"ip":"198.51.100.4"}`, nil)
	h.want(t, 204, "POST", "/v1/ips/198.51.100.4/mark", `{"fraudulent":true,"note":"seen before"}`, nil)
	var profile AddressProfile
	h.want(t, 200, "GET", "/v1/ips/198.51.100.4", "", &profile)
	if !profile.Fraudulent || !profile.Known || len(profile.Events) < 3 {
		t.Errorf("profile: %+v", profile)
	}
	h.want(t, 201, "POST", "/v1/notes", `{"on":"ip:198.51.100.4","text":"called them"}`, nil)
	h.want(t, 201, "POST", "/v1/operators", `{"email":"ann@example.org","role":"owner","password":"correct horse battery"}`, nil)
	h.want(t, 422, "POST", "/v1/operators", `{"email":"ann","role":"owner","password":"x"}`, nil)
	h.want(t, 404, "POST", "/v1/alerts/test", `{}`, nil)

	var key NewKey
	h.want(t, 201, "POST", "/v1/keys", `{"name":"app","scopes":["check"]}`, &key)
	h.want(t, 200, "POST", "/v1/check", `{"ip":null}`, nil, "Authorization", "Bearer "+key.Token)
	h.want(t, 204, "DELETE", "/v1/keys/app", "", nil)
	h.want(t, 401, "POST", "/v1/check", `{"ip":null}`, nil, "Authorization", "Bearer "+key.Token)
	h.want(t, 422, "POST", "/v1/keys", `{"name":"app","scopes":["everything"]}`, nil)
}

// TestDocumentedStatuses: what is answered is what the document says.
func TestDocumentedStatuses(t *testing.T) {
	h := newWhole(t)
	paths := h.huma.OpenAPI().Paths
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/denied", 403},
		{"POST", "/v1/csp-report", 204},
		{"GET", "/v1/sessions/revocations?after=x", 422},
		{"GET", "/v1/stream?colour=red", 422},
	} {
		h.want(t, tt.status, tt.method, tt.path, "", nil)
		path, _, _ := strings.Cut(tt.path, "?")
		op := paths[path].Get
		if tt.method == "POST" {
			op = paths[path].Post
		}
		if op.Responses[strconv.Itoa(tt.status)] == nil {
			t.Errorf("%s %s: %d is not documented", tt.method, path, tt.status)
		}
		if tt.status != 422 && op.Responses["200"] != nil {
			t.Errorf("%s %s: 200 is documented", tt.method, path)
		}
	}
}

// TestKeyPrefixes: a key bound to prefixes is refused from elsewhere.
func TestKeyPrefixes(t *testing.T) {
	h := newWhole(t)
	var far, near NewKey
	h.want(t, 201, "POST", "/v1/keys", `{"name":"far","scopes":["check"],"from":["192.0.2.0/24"]}`, &far)
	h.want(t, 201, "POST", "/v1/keys", `{"name":"near","scopes":["check"],"from":["127.0.0.0/8"]}`, &near)
	h.want(t, 403, "POST", "/v1/check", `{"ip":null}`, nil, "Authorization", "Bearer "+far.Token)
	h.want(t, 200, "POST", "/v1/check", `{"ip":null}`, nil, "Authorization", "Bearer "+near.Token)
}

// TestPolicyOverHTTP reads, changes, restores and previews the policy.
func TestPolicyOverHTTP(t *testing.T) {
	h := newWhole(t)
	for i := range 4 {
		h.want(t, 200, "POST", "/v1/events", failure("198.51.100.5", i), nil)
	}
	var doc, yaml string
	res := h.want(t, 200, "GET", "/v1/policy", "", &doc)
	tag := res.Header.Get("ETag")
	if tag == "" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", res.Header)
	}
	h.want(t, 200, "GET", "/v1/policy", "", &yaml, "Accept", "application/yaml")
	var rev RevisionView
	res = h.want(t, 200, "PUT", "/v1/policy?comment=first", yaml, &rev, "Content-Type", "application/yaml", "If-Match", tag)
	if rev.Revision < 1 || rev.Comment != "first" || res.Header.Get("ETag") == tag {
		t.Errorf("%+v, %v", rev, res.Header)
	}
	h.want(t, 412, "PUT", "/v1/policy", doc, nil, "If-Match", tag)
	h.want(t, 200, "PUT", "/v1/policy", doc, nil, "If-Match", res.Header.Get("ETag"))
	h.want(t, 422, "PUT", "/v1/policy", `{"enabled":true,"colour":1}`, nil)
	h.want(t, 400, "PUT", "/v1/policy", `{"enabled":true,"enabled":false}`, nil)
	h.want(t, 415, "PUT", "/v1/policy", doc, nil, "Content-Type", "text/plain")
	h.want(t, 200, "POST", fmt.Sprintf("/v1/policy/revisions/%d/restore", rev.Revision), "", nil)
	var one RevisionView
	h.want(t, 200, "GET", fmt.Sprintf("/v1/policy/revisions/%d", rev.Revision), "", &one)
	if one.Document == "" {
		t.Error("no document")
	}
	var p Preview
	h.want(t, 200, "POST", "/v1/policy/preview?days=2", strings.Replace(yaml, "threshold: 5", "threshold: 3", 1), &p, "Content-Type", "application/yaml")
	if p.Events < 4 || p.Blocks != 1 || !p.Complete || len(p.Crossings) != 1 || p.Crossings[0].IP != "198.51.100.5" {
		t.Errorf("preview: %+v", p)
	}
	h.want(t, 200, "POST", "/v1/policy/preview", yaml, &p, "Content-Type", "application/yaml")
	if p.Blocks != 0 {
		t.Errorf("preview of what is in force: %+v", p)
	}
}

// once leaves a long test out of the race detector's run, where it finds nothing:
// it makes one call after the other.
func once(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("one call after the other, and long")
	}
}

// TestExports: every format holds every row, and a spreadsheet takes none for
// a formula.
func TestExports(t *testing.T) {
	once(t)
	h := newWhole(t)
	var events []string
	for i := range 1000 {
		events = append(events, fmt.Sprintf(`{"name":"LOGOUT","ip":"203.0.113.%d","account":"=cmd|%d"}`, i%250+1, i))
	}
	for range 2 {
		h.want(t, 200, "POST", "/v1/events", `{"events":[`+strings.Join(events, ",")+`]}`, nil)
	}
	var text string
	res := h.want(t, 200, "GET", "/v1/export/events?name=LOGOUT", "", &text)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 2001 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if !strings.HasPrefix(rows[1][6], "'=cmd") || !strings.Contains(res.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("account %q, %v", rows[1][6], res.Header)
	}
	h.want(t, 200, "GET", "/v1/export/events?format=ndjson", "", &text)
	if n := strings.Count(text, "\n"); n != 2000 {
		t.Errorf("%d lines", n)
	}
	var list []EventView
	h.want(t, 200, "GET", "/v1/export/events?format=json", "", &list)
	if len(list) != 2000 {
		t.Errorf("%d items", len(list))
	}
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"192.0.2.1","reason":"@evil"}`, nil)
	for _, what := range []string{"blocks", "audit"} {
		for _, format := range []string{"csv", "ndjson", "json"} {
			h.want(t, 200, "GET", "/v1/export/"+what+"?format="+format, "", &text)
			if !strings.Contains(text, "192.0.2.1") {
				t.Errorf("%s as %s: %s", what, format, clip(text, 200))
			}
		}
	}
	h.want(t, 200, "GET", "/v1/export/blocks?state=lifted", "", &text)
	if n := strings.Count(text, "\n"); n != 1 {
		t.Errorf("an empty export has %d lines", n)
	}
	h.want(t, 422, "GET", "/v1/export/events?format=xls", "", nil)
	h.want(t, 422, "GET", "/v1/export/events?state=active", "", nil)
	h.want(t, 404, "GET", "/v1/export/secrets", "", nil)
}

// TestStream: what is committed arrives, and after a break nothing is missed.
func TestStream(t *testing.T) {
	h := newWhole(t)
	read := func(last string, until string) (ids []string, text string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", h.url+"/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+h.token)
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if last == "" {
			h.want(t, 200, "POST", "/v1/events", failure("203.0.113.20", 1), nil)
		}
		buf := make([]byte, 4096)
		for !strings.Contains(text, until) {
			n, err := res.Body.Read(buf)
			text += string(buf[:n])
			if err != nil {
				t.Fatalf("after %q: %v", text, err)
			}
		}
		for line := range strings.Lines(text) {
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				ids = append(ids, strings.TrimSpace(id))
			}
		}
		return ids, text
	}
	ids, _ := read("", "203.0.113.20-1")
	h.want(t, 200, "POST", "/v1/events", failure("203.0.113.20", 2), nil)
	if _, text := read(ids[len(ids)-1], "203.0.113.20-2"); strings.Contains(text, "203.0.113.20-1") || strings.Contains(text, "reset") {
		t.Errorf("resumed with %q", text)
	}
	if _, text := read("other-1", "event: reset"); text == "" {
		t.Error("nothing")
	}
}

// TestMetricsHoldNoNames: no address, no account in any label.
func TestMetricsHoldNoNames(t *testing.T) {
	h := newWhole(t)
	h.want(t, 200, "POST", "/v1/events", failure("203.0.113.30", 1), nil)
	var text string
	h.want(t, 200, "GET", "/metrics", "", &text)
	for _, name := range []string{
		"warder_decisions_total{action=\"allow\"", "warder_events_total", "warder_blocks_live", "warder_journal_queue_rows",
		"warder_journal_commit_seconds_count", "warder_counter_guaranteed_keys", "warder_build_info",
	} {
		if !strings.Contains(text, name) {
			t.Errorf("no %s", name)
		}
	}
	if strings.Contains(text, "203.0.113") || strings.Contains(text, "alice") {
		t.Error("a name is in the metrics")
	}
}

// TestReadiness: degraded is not the same as not ready, and each reason comes
// with what to do about it.
func TestReadiness(t *testing.T) {
	h := newWhole(t)
	h.opts.Guard.Degrade("provider_failing", "ipsum: no answer", true)
	var r Readiness
	h.want(t, 200, "GET", "/readyz", "", &r)
	if !r.Ready || len(r.Degraded) != 1 || r.Degraded[0].Remedy == "" || r.Degraded[0].Since.IsZero() {
		t.Errorf("%+v", r)
	}
	h.opts.Ready = func() bool { return false }
	h.want(t, 503, "GET", "/readyz", "", nil)
}

// TestLastUseOfKeys is stored now and then, not by request.
func TestLastUseOfKeys(t *testing.T) {
	h := newWhole(t)
	h.want(t, 200, "POST", "/v1/check", `{"ip":null}`, nil)
	if err := h.touch(t.Context()); err != nil {
		t.Fatal(err)
	}
	var list Items[KeyView]
	h.want(t, 200, "GET", "/v1/keys", "", &list)
	if len(list.Items) != 1 || list.Items[0].LastUsed == nil {
		t.Errorf("%+v", list)
	}
}

// TestSocketNamesTheUser: over the unix socket no key is needed, and the audit
// trail names the user id.
func TestSocketNamesTheUser(t *testing.T) {
	h := newWhole(t)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := h.HTTPServer(h.SocketHandler())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	defer func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	res, err := client.Post("http://warder/v1/blocks", "application/json", strings.NewReader(`{"ip":"192.0.2.5"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("status %d", res.StatusCode)
	}
	rows, err := h.db.ListAudit(t.Context(), store.AuditFilter{}, store.Page{})
	if err != nil || len(rows.Items) == 0 || !strings.HasPrefix(rows.Items[0].Actor, "cli:") {
		t.Errorf("audit %+v, %v", rows.Items, err)
	}
}

// TestEveryPresetTakesEveryEvent: whatever preset is in force, what is reported
// of new and of known addresses becomes durable, good or bad.
func TestEveryPresetTakesEveryEvent(t *testing.T) {
	h := newWhole(t)
	for i, name := range policy.Presets() {
		d, err := policy.Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		h.want(t, 200, "PUT", "/v1/policy", string(d.YAML()), nil, "Content-Type", "application/yaml")
		for _, event := range []string{"USER_LOGIN_SUCCESS", "USER_LOGIN_FAILURE", "LOGOUT", "UNAUTHORIZED_ACCESS", "SESSION_HIJACK_SUSPECTED"} {
			h.want(t, 200, "POST", "/v1/events",
				fmt.Sprintf(`{"name":%q,"ip":"198.51.100.%d","account":"a","session":"s%d"}`, event, 10*i+1, i), nil)
			h.want(t, 200, "POST", "/v1/events", fmt.Sprintf(`{"name":%q,"ip":"2001:db8:%d:%x::1","account":"b"}`, event, i, len(event)), nil)
		}
	}
}

// TestMarkOutlastsALift: lifting a block takes that block out of the address's
// past, with clear_counters its failures, too; that somebody marked the address
// stays.
func TestMarkOutlastsALift(t *testing.T) {
	h := newWhole(t)
	h.want(t, 200, "PUT", "/v1/policy", "history: {criteria: [{when: marked_fraudulent, at_least: 1, action: block}, {when: failures, at_least: 1, action: challenge}]}\n",
		nil, "Content-Type", "application/yaml")
	for i, lift := range []string{`{"verdict":"resolved"}`, `{"verdict":"resolved","clear_counters":true}`, `{"verdict":"error"}`} {
		ip := fmt.Sprintf("198.51.100.%d", 20+i)
		h.want(t, 200, "POST", "/v1/events", `{"name":"USER_LOGIN_FAILURE","ip":"`+ip+`","account":"a"}`, nil)
		for _, marked := range []bool{true, false} {
			h.want(t, 204, "POST", "/v1/ips/"+ip+"/mark", fmt.Sprintf(`{"fraudulent":%t}`, marked), nil)
			var b BlockView
			h.want(t, 201, "POST", "/v1/blocks", `{"ip":"`+ip+`"}`, &b)
			h.want(t, 200, "DELETE", "/v1/blocks/"+b.ID, lift, nil)
			want := warder.Decision{Action: warder.BlockAction, Reason: warder.History}
			switch {
			case marked:
			case i == 0:
				want = warder.Decision{Action: warder.Challenge, Reason: warder.History}
			default:
				want = warder.Decision{Reason: warder.OK}
			}
			var d warder.Decision
			h.want(t, 200, "POST", "/v1/check", `{"ip":"`+ip+`"}`, &d)
			if d.Action != want.Action || d.Reason != want.Reason {
				t.Errorf("%s, marked %t: %s %s, want %s %s", lift, marked, d.Action, d.Reason, want.Action, want.Reason)
			}
		}
	}
}

// TestReferencesOfRefusals: what was refused without a block is found by its
// reference, too.
func TestReferencesOfRefusals(t *testing.T) {
	h := newWhole(t)
	h.want(t, 200, "PUT", "/v1/policy", "history: {criteria: [{when: marked_fraudulent, at_least: 1, action: block}]}\n",
		nil, "Content-Type", "application/yaml")
	h.want(t, 204, "POST", "/v1/ips/198.51.100.9/mark", `{"fraudulent":true,"note":"known fraud"}`, nil)
	h.want(t, 200, "POST", "/v1/events", `{"name":"USER_LOGIN_SUCCESS","ip":"203.0.113.7","account":"alice","session":"s1"}`, nil)
	h.want(t, 200, "POST", "/v1/sessions/revoke", `{"session":"s1","reason":"lost"}`, nil)
	for body, why := range map[string]warder.Why{
		`{"ip":"198.51.100.9"}`:               warder.History,
		`{"ip":"203.0.113.7","session":"s1"}`: warder.SessionRevoked,
	} {
		var d warder.Decision
		h.want(t, 200, "POST", "/v1/check", body, &d)
		if d.Action != warder.BlockAction || d.Reason != why || d.BlockID != "" || d.Reference == "" {
			t.Fatalf("%s: %+v", body, d)
		}
		// Refusals are journaled behind the answer.
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var ref ReferenceView
		for range 500 {
			if h.do(t, "GET", "/v1/references/"+d.Reference, "", &ref).StatusCode == http.StatusOK {
				break
			}
			<-tick.C
		}
		if ref.Reference != d.Reference || ref.Reason != why || ref.Block != nil {
			t.Errorf("%s: %+v, last answer %s", d.Reference, ref, h.last)
		}
	}
}
