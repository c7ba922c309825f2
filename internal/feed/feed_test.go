package feed

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/outbound"
)

// lines makes a list of n addresses, the first being number from.
func lines(from, n int) string {
	var b strings.Builder
	b.WriteString("# Last update: Sat, 22 Aug 2026 03:00:29 +0200\n")
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "20.%d.%d.%d\t3\n", i>>16&255, i>>8&255, i&255)
	}
	return b.String()
}

func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})
}

// publisher is a web server that serves a list.
type publisher struct {
	*httptest.Server
	mu       sync.Mutex
	body     string
	status   int
	header   http.Header
	requests []http.Header
}

func newPublisher(t *testing.T) *publisher {
	p := &publisher{status: 200}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests = append(p.requests, r.Header.Clone())
		maps.Copy(w.Header(), p.header)
		if tag := p.header.Get("Etag"); tag != "" && r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(p.status)
		fmt.Fprint(w, p.body)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) serve(status int, body string, header ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.body, p.header = status, body, http.Header{"Content-Type": {"text/plain"}}
	for i := 0; i < len(header); i += 2 {
		p.header.Set(header[i], header[i+1])
	}
}

func (p *publisher) options(t *testing.T) Options {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	c, err := outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Name: "ipsum", Source: p.URL + "/ipsum.txt", Dir: filepath.Join(t.TempDir(), "providers"), Client: c}
}

func newFeed(t *testing.T, o Options) *Feed {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func listed(f *Feed, i int) bool {
	_, ok := f.List().Lookup(addr(i))
	return ok
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"name":      {Name: "../x", Source: "/x", Dir: "d"},
		"no name":   {Source: "/x", Dir: "d"},
		"no source": {Name: "x", Dir: "d"},
		"no dir":    {Name: "x", Source: "/x"},
		"scheme":    {Name: "x", Source: "ftp://example.com/", Dir: "d"},
		"file url":  {Name: "x", Source: "file:///etc/passwd", Dir: "d"},
		"no client": {Name: "x", Source: "https://example.com/", Dir: "d"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestConditionalRequests(t *testing.T) {
	p := newPublisher(t)
	p.serve(200, lines(0, 100), "ETag", `"v1"`, "Last-Modified", "Sat, 22 Aug 2026 01:00:29 GMT")
	f := newFeed(t, p.options(t))
	for range 2 {
		if err := f.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.requests) != 2 || p.requests[0].Get("If-None-Match") != "" || p.requests[1].Get("If-None-Match") != `"v1"` ||
		p.requests[1].Get("If-Modified-Since") == "" || p.requests[1].Get("Accept-Encoding") != "gzip" {
		t.Errorf("requests: %v", p.requests)
	}
	s := f.Status()
	if s.Entries != 100 || s.LastError != "" || s.UpstreamDate.IsZero() || s.CheckedAt.Before(s.LoadedAt) {
		t.Errorf("status %+v", s)
	}
}

func TestBrokenFeedKeepsLastGood(t *testing.T) {
	p := newPublisher(t)
	p.serve(200, lines(0, 100), "ETag", `"v1"`)
	f := newFeed(t, p.options(t))
	var updates int
	f.opts.OnUpdate = func(*List) { updates++ }
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string]func(){
		"page":        func() { p.serve(200, "<html>maintenance</html>") },
		"page type":   func() { p.serve(200, lines(0, 100), "Content-Type", "text/html; charset=utf-8") },
		"empty":       func() { p.serve(200, "") },
		"not found":   func() { p.serve(404, lines(0, 5)) },
		"error":       func() { p.serve(500, "") },
		"too large":   func() { p.serve(200, strings.Repeat("#", DefaultMaxBody+1)) },
		"bad gzip":    func() { p.serve(200, "x", "Content-Encoding", "gzip") },
		"canary":      func() { p.serve(200, lines(0, 100)+"1.1.1.1\t9\n") },
		"mostly junk": func() { p.serve(200, lines(0, 3)+strings.Repeat("10.0.0.1\n", 20)) },
	} {
		broken()
		if err := f.Refresh(t.Context()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		s := f.Status()
		if !listed(f, 0) || s.Entries != 100 || s.LastError == "" {
			t.Errorf("%s: %+v", name, s)
		}
		if name == "mostly junk" && (s.Rejected != 20 || len(s.Rejects) != 20 || s.Rejects[0] != (Reject{5, whyNotPublic})) {
			t.Errorf("reasons are missing: %+v", s)
		}
	}
	p.serve(200, lines(0, 101), "ETag", `"v2"`)
	if err := f.Refresh(t.Context()); err != nil || !listed(f, 100) || f.Status().LastError != "" {
		t.Errorf("does not recover: %v, %+v", err, f.Status())
	}
	if updates != 2 {
		t.Errorf("%d updates, want 2", updates)
	}
}

func TestPoisonedLinesAreLeftOut(t *testing.T) {
	p := newPublisher(t)
	p.serve(200, lines(0, 100)+strings.Repeat("0.0.0.0/0\n10.1.2.3\t10\nrubbish\n20.0.0.7/31\n", 5))
	o := p.options(t)
	o.NeverBlock = netip.PrefixFrom(addr(3), 32).Overlaps
	f := newFeed(t, o)
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := f.Status()
	if s.Rejected != 21 || s.Entries != 99 || listed(f, 3) || !listed(f, 4) {
		t.Errorf("%+v", s)
	}
	if diff := cmp.Diff(map[string]int{whyWide: 5, whyNotPublic: 5, whyNoAddress: 5, whyHostBits: 5, whyNever: 1}, s.Reasons); diff != "" {
		t.Error(diff)
	}
}

func TestChurnIsHeldForApproval(t *testing.T) {
	p := newPublisher(t)
	o := p.options(t)
	p.serve(200, lines(0, 100), "ETag", `"v1"`)
	f := newFeed(t, o)
	if err := f.Approve(t.Context()); !errors.Is(err, ErrNotHeld) {
		t.Errorf("approve without a held list: %v", err)
	}
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.serve(200, lines(20, 100), "ETag", `"v2"`) // 20 % new
	if err := f.Refresh(t.Context()); err != nil || !listed(f, 119) {
		t.Fatalf("small change: %v", err)
	}
	p.serve(200, lines(60, 100), "ETag", `"v3"`) // 40 % new
	for range 2 {                                // the second is a 304
		if err := f.Refresh(t.Context()); !errors.Is(err, ErrHeld) {
			t.Fatalf("big change: %v", err)
		}
	}
	check := func(f *Feed) {
		t.Helper()
		s := f.Status()
		if s.Held == nil || s.Held.Added != 40 || s.Held.Removed != 40 || s.Held.Entries != 100 || !listed(f, 20) || listed(f, 150) {
			t.Fatalf("held: %+v", s)
		}
	}
	check(f)

	f = newFeed(t, o) // a restart forgets nothing of it
	check(f)
	if err := f.Approve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := f.Status(); s.Held != nil || listed(f, 20) || !listed(f, 150) {
		t.Errorf("approved: %+v", s)
	}
	if err := f.Refresh(t.Context()); err != nil { // 304 of what was approved
		t.Error(err)
	}

	p.serve(200, lines(60, 10), "ETag", `"v4"`) // shrunk
	if err := f.Refresh(t.Context()); !errors.Is(err, ErrHeld) {
		t.Fatalf("shrunk: %v", err)
	}
	p.serve(200, lines(60, 100), "ETag", `"v5"`) // the source recovers: nothing to approve any more
	if err := f.Refresh(t.Context()); err != nil || f.Status().Held != nil {
		t.Errorf("after recovery: %v %+v", err, f.Status())
	}
}

func TestRaisedLevelsAreHeld(t *testing.T) {
	p := newPublisher(t)
	p.serve(200, lines(0, 3000))
	f := newFeed(t, p.options(t))
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.serve(200, strings.ReplaceAll(lines(0, 3000), "\t3", "\t10"))
	if err := f.Refresh(t.Context()); !errors.Is(err, ErrHeld) {
		t.Errorf("%v, want held", err)
	}
}

// Raised levels are no better for being spread over many.
func TestSpreadLevelsAreHeld(t *testing.T) {
	list := func(n int, level func(i int) uint16) *List {
		entries := make([]Entry, n)
		for i := range entries {
			entries[i] = Entry{netip.PrefixFrom(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), 32), level(i)}
		}
		return newList(entries)
	}
	old := list(3000, func(i int) uint16 { return 2 })
	for name, tt := range map[string]struct {
		level func(i int) uint16
		held  bool
	}{
		"as before":          {func(int) uint16 { return 2 }, false},
		"all to one":         {func(int) uint16 { return 10 }, true},
		"spread":             {func(i int) uint16 { return uint16(10 + i%1000) }, true},
		"a thousand, as may": {func(i int) uint16 { return uint16(2 + min(1, i/2000)*(8+i%1000)) }, false},
	} {
		if h := brake(old, list(3000, tt.level), time.Now()); (h != nil) != tt.held {
			t.Errorf("%s: held %+v, want %t", name, h, tt.held)
		}
	}
}

func TestLastGoodListSurvivesRestart(t *testing.T) {
	p := newPublisher(t)
	o := p.options(t)
	p.serve(200, lines(0, 100), "ETag", `"v1"`)
	if err := newFeed(t, o).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.serve(500, "")
	var got *List
	o.OnUpdate = func(l *List) { got = l }
	f := newFeed(t, o)
	if !listed(f, 99) || got.Len() != 100 || f.Status().LoadedAt.IsZero() {
		t.Errorf("not loaded: %+v", f.Status())
	}
	if err := f.Refresh(t.Context()); err == nil || !listed(f, 99) {
		t.Errorf("broken source: %v", err)
	}

	// The list was renamed into place but its description was not: the list is
	// good, the validators are not those of it.
	list := filepath.Join(o.Dir, "ipsum.list")
	if err := os.WriteFile(list, []byte(lines(0, 90)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.serve(200, lines(0, 100), "ETag", `"v1"`)
	f = newFeed(t, o)
	if f.Status().Entries != 90 {
		t.Errorf("%+v", f.Status())
	}
	if err := f.Refresh(t.Context()); err != nil || f.Status().Entries != 100 {
		t.Errorf("%v %+v", err, f.Status())
	}

	// Damaged files are reported and fetched anew.
	for _, name := range []string{list, filepath.Join(o.Dir, "ipsum.json")} {
		if err := os.WriteFile(name, []byte("{\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
		f = newFeed(t, o)
		if f.Status().LastError == "" {
			t.Errorf("%s: damage not shown", name)
		}
		if err := f.Refresh(t.Context()); err != nil || f.Status().Entries != 100 {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Another source under the same name begins anew, without a brake.
	o.Source += "?other"
	f = newFeed(t, o)
	if f.List() != nil {
		t.Error("kept the list of another source")
	}
	p.serve(200, lines(5000, 100))
	if err := f.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Dir, ".*")); len(left) != 0 {
		t.Errorf("temporary files stay: %v", left)
	}
}

func TestUnwritableDirectoryDoesNotDisarm(t *testing.T) {
	p := newPublisher(t)
	o := p.options(t)
	blocker := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Dir = filepath.Join(blocker, "providers")
	p.serve(200, lines(0, 100), "ETag", `"v1"`)
	f := newFeed(t, o)
	if err := f.Refresh(t.Context()); err == nil || !listed(f, 0) || f.Status().LastError == "" {
		t.Errorf("%v, %+v", err, f.Status())
	}
}

func TestRetryAfter(t *testing.T) {
	p := newPublisher(t)
	p.serve(429, "", "Retry-After", "3600")
	f := newFeed(t, p.options(t))
	if err := f.Refresh(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if d := time.Until(f.due()); d < 54*time.Minute || d > 66*time.Minute {
		t.Errorf("next try in %s", d)
	}
	if err := f.Refresh(t.Context()); !errors.Is(err, ErrWait) || len(p.requests) != 1 {
		t.Errorf("%v after %d requests", err, len(p.requests))
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "-5": 0, "x": 0, "120": 2 * time.Minute, "99999999999": 24 * time.Hour, "9999999999999999999999": 0,
		"Thu, 01 Jan 2026 00:10:00 GMT": 10 * time.Minute, "Thu, 01 Jan 2099 00:10:00 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(s, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestFileSource(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "list.txt")
	f := newFeed(t, Options{Name: "mine", Source: source, Dir: filepath.Join(dir, "providers"), MaxBody: 4096})
	if err := f.Refresh(t.Context()); err == nil {
		t.Error("missing file accepted")
	}
	if err := os.WriteFile(source, []byte(lines(0, 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Refresh(t.Context()); err != nil || !listed(f, 19) {
		t.Error(err)
	}
	if err := os.WriteFile(source, []byte(lines(0, 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 4096") {
		t.Errorf("long file: %v", err)
	}
	for _, special := range []string{"/dev/zero", dir} {
		f := newFeed(t, Options{Name: "mine", Source: special, Dir: t.TempDir()})
		if err := f.Refresh(t.Context()); err == nil {
			t.Errorf("%s accepted", special)
		}
	}
}

// timed is a feed with a source of the test's making, for use in a bubble.
func timed(t *testing.T, o Options, fetch func(etag string) (*fetched, error)) *Feed {
	f := newFeed(t, o)
	f.fetch = func(_ context.Context, etag, _ string) (*fetched, error) { return fetch(etag) }
	return f
}

func TestRefreshesWithJitterAndBacksOff(t *testing.T) {
	p := newPublisher(t)
	o := p.options(t)
	o.Refresh = time.Hour
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var times []time.Time
		take := func() []time.Time {
			mu.Lock()
			defer mu.Unlock()
			defer func() { times = nil }()
			return times
		}
		var fail atomic.Bool
		f := timed(t, o, func(string) (*fetched, error) {
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Now())
			if fail.Load() {
				return nil, errors.New("down")
			}
			return &fetched{body: []byte(lines(0, 100))}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		rest(24 * time.Hour)
		at := take()
		if len(at) < 21 || len(at) > 27 {
			t.Errorf("%d refreshes in a day of hours", len(at))
		}
		same := true
		for i := 2; i < len(at); i++ {
			gap := at[i].Sub(at[i-1])
			if gap < 54*time.Minute || gap > 66*time.Minute {
				t.Errorf("gap of %s", gap)
			}
			same = same && gap == at[1].Sub(at[0])
		}
		if same {
			t.Error("no jitter")
		}
		fail.Store(true)
		rest(10 * time.Hour)
		at = take()
		if len(at) < 12 || len(at) > 18 {
			t.Errorf("%d tries in ten hours of failure: %v", len(at), at)
		}
		if gap := at[1].Sub(at[0]); gap > 2*time.Minute {
			t.Errorf("first retry after %s", gap)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestDeadFeedExpires(t *testing.T) {
	p := newPublisher(t)
	o := p.options(t)
	for name, answer := range map[string]func() (*fetched, error){
		"unreachable": func() (*fetched, error) { return nil, errors.New("down") },
		"unchanged":   func() (*fetched, error) { return &fetched{}, nil },
		"same body":   func() (*fetched, error) { return &fetched{body: []byte(lines(0, 100))}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Dir = t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				const day = 24 * time.Hour
				var from atomic.Int64
				var dead atomic.Bool
				var last atomic.Pointer[List]
				o.OnUpdate = last.Store
				f := timed(t, o, func(string) (*fetched, error) {
					if dead.Load() {
						return answer()
					}
					return &fetched{body: []byte(lines(int(from.Load()), 100))}, nil
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { _ = f.Run(ctx) }()
				synctest.Wait()
				start := f.Status().LoadedAt
				dead.Store(true)
				until := func(d time.Duration) { rest(time.Until(start.Add(d))) }
				until(7*day - time.Minute)
				if s := f.Status(); s.Stale || !listed(f, 0) {
					t.Errorf("before a week: %+v", s)
				}
				until(7*day + time.Minute)
				if s := f.Status(); !s.Stale || s.Expired || !listed(f, 0) {
					t.Errorf("after a week: %+v", s)
				}
				until(14*day - time.Minute)
				if !listed(f, 0) || last.Load() == nil {
					t.Error("dropped too early")
				}
				until(14*day + time.Minute)
				if s := f.Status(); !s.Expired || s.Entries != 0 || listed(f, 0) || last.Load() != nil {
					t.Errorf("after two weeks: %+v", s)
				}
				if again := newFeed(t, o); again.List() != nil || !again.Status().Expired {
					t.Error("a restart revives it")
				}
				// A name that comes to life again in other hands is not trusted blindly.
				from.Store(5000)
				dead.Store(false)
				until(21 * day)
				if s := f.Status(); s.Held == nil || listed(f, 5000) {
					t.Errorf("revived: %+v", s)
				}
				if err := f.Approve(t.Context()); err != nil || !listed(f, 5000) || f.Status().Expired {
					t.Errorf("approved: %v %+v", err, f.Status())
				}
			})
		})
	}
}

// rest lets time pass in a bubble and waits until everybody is idle again.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
