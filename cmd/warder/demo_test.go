package main

import (
	"bytes"
	"context"
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what a command that runs on has printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// within waits until a condition holds.
func within(t *testing.T, d time.Duration, what func() string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", d, what())
		}
	}
}

// The demo's dashboard is alive by itself: everything that it should show comes
// of real requests, and only attackers are blocked.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for some seconds")
	}
	t.Setenv("TMPDIR", t.TempDir())
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var out output
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"demo", "--port", "0", "--dashboard-port", "0", "--speed", "20"},
			stdio{strings.NewReader(""), io.Discard, &out}, []string{"WARDER_DATA=/nonexistent", "WARDER_LISTEN=127.0.0.1:1"})
	}()
	find := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(out.String())
		if m == nil {
			return ""
		}
		return m[1]
	}
	within(t, time.Minute, out.String, func() bool { return strings.Contains(out.String(), "on their way") })
	dashboard := find(`Dashboard: +http://localhost(:\d+)`)
	mails := find(`Mails: +(/\S+)`)

	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar, Timeout: time.Minute}
	call := func(method, path string, body, into any) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(method, "http://127.0.0.1"+dashboard+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "http://127.0.0.1"+dashboard)
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		if res.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, answer)
		}
		if into != nil {
			if err := json.Unmarshal(answer, into); err != nil {
				t.Fatal(err)
			}
		}
	}
	call("POST", "/v1/session", map[string]string{"email": find(`e-mail +(\S+)`), "password": find(`password +(\S+)`)}, nil)

	type block struct {
		IP    string `json:"ip"`
		Rule  string `json:"rule"`
		State string `json:"state"`
	}
	var blocks struct{ Items []block }
	live := map[string]bool{}
	rules := map[string]bool{}
	severities := map[string]bool{}
	want := []string{"USER_LOGIN_SUCCESS", "USER_LOGIN_FAILURE", "USER_PASSWORD_RESET_REQUEST", "UNAUTHORIZED_ACCESS", "IP_BLOCKED", "THRESHOLD_EXCEEDED", "SESSION_HIJACK_SUSPECTED", "SESSION_TERMINATED", "ADMIN_LOGIN_SUCCESS", "LOGOUT", "SUSPICIOUS_IP"}
	missing := func() string {
		var list []string
		for _, name := range want {
			if !live[name] {
				list = append(list, name)
			}
		}
		for _, name := range []string{"info", "warning", "high", "critical"} {
			if !severities[name] {
				list = append(list, name)
			}
		}
		for _, name := range []string{"sign_in", "recovery", "admin_area"} {
			if !rules[name] {
				list = append(list, "rule "+name)
			}
		}
		if got, _ := filepath.Glob(filepath.Join(mails, "*.eml")); len(got) == 0 {
			list = append(list, "mails")
		}
		return strings.Join(list, ", ")
	}
	since := time.Now().Add(-90 * time.Minute).UTC().Format(time.RFC3339) // what is older is invented
	within(t, 2*time.Minute, missing, func() bool {
		var events struct {
			Items []struct {
				Name     string `json:"name"`
				Severity string `json:"severity"`
			}
		}
		call("GET", "/v1/events?limit=500&from="+since, nil, &events)
		for _, e := range events.Items {
			live[e.Name], severities[e.Severity] = true, true
		}
		call("GET", "/v1/blocks?limit=500&state=all", nil, &blocks)
		for _, b := range blocks.Items {
			rules[b.Rule] = true
			if !strings.HasPrefix(b.IP, "203.0.113.") && !strings.HasPrefix(b.IP, "2001:db8:bad:") && b.IP != "" {
				t.Fatalf("somebody honest is blocked: %+v", b)
			}
		}
		return missing() == ""
	})

	// What was invented is stored and blocks nobody: there are thirty days, and
	// no block is older than the demo.
	var trend struct {
		Buckets []struct{ Info, Warning, High, Critical int }
	}
	call("GET", "/v1/stats/trend?days=30&bucket=day", nil, &trend)
	filled := 0
	for _, b := range trend.Buckets {
		if b.Info > 0 {
			filled++
		}
	}
	if filled < 28 {
		t.Errorf("%d of %d days have events", filled, len(trend.Buckets))
	}

	// A second demo says in one line what is in the way.
	var again output
	_, port, _ := net.SplitHostPort(find(`Start here: +http://(\S+)`))
	if code := run(ctx, []string{"demo", "--port", port, "--dashboard-port", "0"}, stdio{strings.NewReader(""), io.Discard, &again}, nil); code != exitFailure ||
		!strings.Contains(again.String(), "the port is taken") || strings.Count(again.String(), "\n") != 1 {
		t.Errorf("exit code %d: %s", code, again.String())
	}
	if code := run(ctx, []string{"demo", "--port", "0", "--dashboard-port", strings.TrimPrefix(dashboard, ":")}, stdio{strings.NewReader(""), io.Discard, &again}, nil); code != exitFailure ||
		!strings.Contains(again.String(), "choose another with --dashboard-port") {
		t.Errorf("exit code %d: %s", code, again.String())
	}
	if code := run(ctx, []string{"demo", "--data", filepath.Dir(mails)}, stdio{strings.NewReader(""), io.Discard, &again}, nil); code != exitFailure ||
		!strings.Contains(again.String(), "holds a Warder already") {
		t.Errorf("exit code %d: %s", code, again.String())
	}

	stop()
	select {
	case code := <-done:
		if code != exitOK {
			t.Errorf("exit code %d: %s", code, out.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("the demo does not end")
	}
	if _, err := os.Stat(filepath.Dir(mails)); !os.IsNotExist(err) {
		t.Errorf("the data is still there: %v", err)
	}
}

// Only the command of the demo knows the demo: whatever else this program does,
// the server above all, has no way to it.
func TestOnlyItsCommandKnowsTheDemo(t *testing.T) {
	list, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range list {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if strings.HasSuffix(strings.Trim(spec.Path.Value, `"`), "/internal/demo") {
				found = true
				if name != "demo.go" {
					t.Errorf("%s imports the demo", name)
				}
			}
		}
	}
	if !found {
		t.Error("nothing imports the demo: this test looks in the wrong place")
	}
}
