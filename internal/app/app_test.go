package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/challenge"
	"github.com/warderhq/warder/internal/config"
)

// server is an instance under test, reached as outsiders reach it.
type server struct {
	t    *testing.T
	app  *App
	key  string
	stop func()
}

// start runs an instance on a data directory until stop, or the end of the
// test.
func start(t *testing.T, dir string, change func(*config.Config)) *server {
	t.Helper()
	cfg := config.Default()
	cfg.Data, cfg.Listen = dir, "127.0.0.1:0"
	if change != nil {
		change(cfg)
	}
	a, err := New(t.Context(), Options{Config: cfg, Logger: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w := &server{t: t, app: a, key: a.FirstKey}
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, a.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// post sends a request to the API as the application with the key.
func (w *server) post(path string, body, out any) int {
	w.t.Helper()
	return w.do(http.DefaultClient, w.app.URL()+path, "POST", body, out)
}

// local sends a request through the socket, as the command line does.
func (w *server) local(method, path string, body, out any) int {
	w.t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.app.Dial(ctx) }}
	defer tr.CloseIdleConnections()
	return w.do(&http.Client{Transport: tr}, "http://warder"+path, method, body, out)
}

func (w *server) do(client *http.Client, url, method string, body, out any) int {
	w.t.Helper()
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			w.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, &text)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		w.t.Logf("%s %s: %d %s", method, url, resp.StatusCode, answer)
	} else if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			w.t.Fatalf("%s: %v", answer, err)
		}
	}
	return resp.StatusCode
}

// answer is what the tests look at in the answer to an event or a check.
type answer struct {
	Severity string   `json:"severity"`
	Decision decision `json:"decision"`
}

type decision struct {
	Action    string `json:"action"`
	Reason    string `json:"reason"`
	Reference string `json:"reference"`
}

func (w *server) fail(ip string) answer {
	w.t.Helper()
	return w.report(map[string]any{"name": "USER_LOGIN_FAILURE", "ip": ip, "account": "alice", "reason": "wrong_password", "path": "/login"})
}

func (w *server) report(event map[string]any) (a answer) {
	w.t.Helper()
	if code := w.post("/v1/events", event, &a); code != http.StatusOK {
		w.t.Fatalf("POST /v1/events: %d", code)
	}
	return a
}

func (w *server) check(ip string) (d decision) {
	w.t.Helper()
	if code := w.post("/v1/check", map[string]any{"ip": ip}, &d); code != http.StatusOK {
		w.t.Fatalf("POST /v1/check: %d", code)
	}
	return d
}

const attacker = "203.0.113.7"

func TestFiveFailuresBlockThroughARestart(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, nil)
	w.report(map[string]any{"name": "USER_LOGIN_SUCCESS", "ip": attacker, "account": "mallory", "session": "s-1"})
	var severities []string
	var last answer
	for range 5 {
		last = w.fail(attacker)
		severities = append(severities, last.Severity)
	}
	if diff := cmp.Diff([]string{"warning", "high", "high", "high", "critical"}, severities); diff != "" {
		t.Error(diff)
	}
	if last.Decision.Action != "block" || last.Decision.Reason != "threshold_exceeded" || last.Decision.Reference == "" {
		t.Errorf("fifth: %+v", last.Decision)
	}
	if sixth := w.fail(attacker); sixth.Decision.Action != "block" || sixth.Decision.Reason != "blocked" {
		t.Errorf("sixth: %+v", sixth.Decision)
	}
	var feed struct {
		Items []struct{ Session string }
	}
	if w.local("GET", "/v1/sessions/revocations?wait=0", nil, &feed); len(feed.Items) != 1 || feed.Items[0].Session != "s-1" {
		t.Errorf("revocations: %+v, want the session that was opened there", feed)
	}
	if d := w.check("203.0.113.8"); d.Action != "allow" {
		t.Errorf("a neighbour: %+v", d)
	}
	w.stop()

	key := w.key
	w = start(t, dir, nil)
	if w.app.FirstKey != "" {
		t.Error("the second start made another key")
	}
	w.key = key
	if d := w.check(attacker); d.Action != "block" || d.Reason != "blocked" || d.Reference != last.Decision.Reference {
		t.Errorf("after the restart: %+v, want the block %s", d, last.Decision.Reference)
	}
}

func TestFourFailuresCountThroughARestart(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, nil)
	for range 4 {
		w.fail(attacker)
	}
	key := w.key
	w.stop()
	w = start(t, dir, nil)
	w.key = key
	if a := w.fail(attacker); a.Decision.Reason != "threshold_exceeded" {
		t.Errorf("the fifth: %+v", a.Decision)
	}
}

func TestUnblockThroughTheSocket(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	for range 5 {
		w.fail(attacker)
	}
	if code := w.local("POST", "/v1/blocks/lift", map[string]any{"ip": attacker, "verdict": "error"}, nil); code != http.StatusOK {
		t.Fatalf("lift: %d", code)
	}
	if d := w.check(attacker); d.Action != "allow" {
		t.Errorf("after the lift: %+v", d)
	}
	if a := w.fail(attacker); a.Decision.Action != "allow" {
		t.Errorf("one more failure blocks again: %+v", a)
	}
	var trail struct {
		Items []struct{ Actor, Action string }
	}
	w.local("GET", "/v1/audit", nil, &trail)
	want := fmt.Sprintf("cli:%d", os.Getuid())
	found := false
	for _, row := range trail.Items {
		found = found || row.Actor == want
	}
	if !found {
		t.Errorf("the audit trail does not name %s: %+v", want, trail.Items)
	}
	var report struct{ OK bool }
	if w.local("GET", "/v1/audit/verify", nil, &report); !report.OK {
		t.Error("the audit trail does not verify")
	}
}

func TestAKeyCannotDoWhatTheSocketCan(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	for path, want := range map[string]int{"/v1/blocks": http.StatusForbidden, "/v1/keys": http.StatusForbidden, "/local/backup": http.StatusNotFound} {
		if code := w.post(path, map[string]any{}, nil); code != want {
			t.Errorf("POST %s: %d, want %d", path, code, want)
		}
	}
}

func TestAChallengeIsSolvedOnce(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	var posed struct {
		Provider, Challenge string
		ExpiresIn           int `json:"expires_in"`
	}
	if code := w.post("/v1/challenge", map[string]any{"ip": attacker, "realm": "user"}, &posed); code != http.StatusOK || posed.ExpiresIn <= 0 {
		t.Fatalf("%d %+v", code, posed)
	}
	token, err := challenge.Solve(t.Context(), posed.Challenge)
	if err != nil {
		t.Fatal(err)
	}
	type verified struct {
		Success    bool
		Clearance  string
		ErrorCodes []string `json:"error_codes"`
	}
	verify := func(ip string) (v verified) {
		if code := w.post("/v1/challenge/verify", map[string]any{"ip": ip, "realm": "user", "token": token}, &v); code != http.StatusOK {
			t.Fatalf("verify: %d", code)
		}
		return v
	}
	if v := verify("203.0.113.8"); v.Success || v.ErrorCodes[0] != "binding" {
		t.Errorf("from another address: %+v", v)
	}
	if v := verify(attacker); !v.Success || v.Clearance == "" {
		t.Errorf("solved: %+v", v)
	}
	if v := verify(attacker); v.Success || v.ErrorCodes[0] != "spent" {
		t.Errorf("a second time: %+v", v)
	}
}

// postbox is a mail server that keeps what it gets.
type postbox struct{ mails chan mail }

type mail struct {
	to   []string
	text string
}

func (p *postbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &postSession{box: p}, nil }

type postSession struct {
	box *postbox
	to  []string
}

func (*postSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *postSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *postSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.box.mails <- mail{s.to, string(text)}
	return nil
}

func (s *postSession) Reset()      { s.to = nil }
func (*postSession) Logout() error { return nil }

func TestActiveAdministratorsAreMailed(t *testing.T) {
	box := &postbox{mails: make(chan mail, 16)}
	post := smtp.NewServer(box)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = post.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = post.Close() })

	w := start(t, t.TempDir(), func(c *config.Config) {
		c.SMTP.Host, c.SMTP.Port, c.SMTP.TLS, c.SMTP.From = "127.0.0.1", l.Addr().(*net.TCPAddr).Port, "none", "warder@example.org"
	})
	for email, role := range map[string]string{"ann@example.org": "owner", "bob@example.org": "admin", "eve@example.org": "admin", "vic@example.org": "viewer"} {
		body := map[string]any{"email": email, "role": role, "password": "correct horse battery"}
		if code := w.local("POST", "/v1/operators", body, nil); code != http.StatusCreated {
			t.Fatalf("create %s: %d", email, code)
		}
	}
	if code := w.local("PATCH", "/v1/operators/eve@example.org", map[string]any{"active": false}, nil); code != http.StatusOK {
		t.Fatalf("disable: %d", code)
	}
	var last answer
	for i := range 5 {
		last = w.fail(attacker)
		if i < 4 && len(box.mails) > 0 {
			t.Fatal("a mail for a failure that did not cross")
		}
	}
	deadline := time.After(10 * time.Second)
	got := map[string]string{}
	for len(got) < 2 {
		select {
		case m := <-box.mails:
			for _, to := range m.to {
				if got[to] != "" {
					t.Errorf("%s got two mails", to)
				}
				got[to] = m.text
			}
		case <-deadline:
			t.Fatalf("mails after 10 s: %d, want 2", len(got))
		}
	}
	if got["ann@example.org"] == "" || got["bob@example.org"] == "" {
		t.Errorf("mails to the wrong people")
	}
	for _, part := range []string{attacker, last.Decision.Reference, "alice", "/login"} {
		if !strings.Contains(got["ann@example.org"], part) {
			t.Errorf("the mail does not name %s:\n%s", part, got["ann@example.org"])
		}
	}
	w.stop() // whatever is under way is sent or stays in the outbox
	if len(box.mails) > 0 {
		t.Errorf("a third mail: %+v", <-box.mails)
	}
}

func TestMailsAreFilesWithoutSMTP(t *testing.T) {
	w := start(t, t.TempDir(), func(c *config.Config) { c.SMTP.To = []string{"ops@example.org"} })
	for range 5 {
		w.fail(attacker)
	}
	var ready struct {
		Degraded []struct{ Reason string }
	}
	resp, err := http.Get(w.app.URL() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if err := json.NewDecoder(resp.Body).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(fmt.Sprint(ready), "mail_unconfigured") {
		t.Errorf("%d %+v, want ready, and degraded: mail_unconfigured", resp.StatusCode, ready)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		if files, _ := filepath.Glob(filepath.Join(w.app.MailDir(), "*.eml")); len(files) == 1 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no mail is written within 10 s")
		}
	}
}

const lenient = `activity:
  rules:
    - {id: patient, events: [USER_LOGIN_FAILURE], key: ip, threshold: 2, time_range: 60, cooling_period: 60, action: block}
`

func TestPolicyFileRules(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(lenient), 0o600); err != nil {
		t.Fatal(err)
	}
	ruled := func(c *config.Config) { c.PolicyFile = path }
	w := start(t, dir, ruled)
	w.fail(attacker)
	if a := w.fail(attacker); a.Decision.Reason != "threshold_exceeded" {
		t.Errorf("the file does not rule: %+v", a)
	}
	req := map[string]any{"enabled": false}
	if code := w.local("PUT", "/v1/policy", req, nil); code != http.StatusConflict {
		t.Errorf("PUT of a policy that a file rules: %d", code)
	}
	key := w.key
	w.stop()
	w = start(t, dir, ruled) // the same file makes no second revision
	w.key = key
	var revisions struct{ Items []struct{ Revision int } }
	if w.local("GET", "/v1/policy/revisions", nil, &revisions); len(revisions.Items) != 1 {
		t.Errorf("revisions: %+v, want 1", revisions.Items)
	}
	w.stop()
	if err := os.WriteFile(path, []byte("activity: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Data, cfg.Listen, cfg.PolicyFile = dir, "127.0.0.1:0", path
	if _, err := New(t.Context(), Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken policy file: %v", err)
	}
}

func TestLocalInstanceIsHeldByOneCommand(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data = dir
	l, err := Open(t.Context(), Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := Open(t.Context(), Options{Config: cfg}); !errors.As(err, &locked) {
		t.Errorf("a second one: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestSelfProtected(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	for i := range 6 {
		if a := w.fail("127.0.0.1"); a.Decision.Action != "allow" {
			t.Fatalf("failure %d from loopback: %+v", i+1, a.Decision)
		}
	}
	w.stop()
	w = start(t, t.TempDir(), func(c *config.Config) { c.ProtectLoopback = false })
	for range 4 {
		w.fail("127.0.0.2")
	}
	if a := w.fail("127.0.0.2"); a.Decision.Action != "block" {
		t.Errorf("loopback that nobody protects: %+v", a.Decision)
	}
}
