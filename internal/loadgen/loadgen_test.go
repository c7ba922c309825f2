package loadgen

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pipes is a network of pipes, so that a test can run in a bubble in which time
// is not real.
type pipes struct {
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs f with options that lead to a server of handler, in a bubble.
func inBubble(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, o Options)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: handler}
		done := make(chan error, 1)
		go func() { done <- server.Serve(p) }()
		f(t, Options{
			Target: "http://127.0.0.1", dial: p.dial, Connections: 10,
			Next: func(n int64) Request { return Request{Path: "/" + strconv.FormatInt(n, 10)} },
		})
		_ = server.Shutdown(context.Background()) // waits for what still runs
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func between(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s is %v, want %v to %v", what, got, least, most)
	}
}

// TestStallIsNotHidden: a server that answers at once but stalls for two seconds
// of ten makes a third of the requests late: those that were due meanwhile and
// those behind them. The open loop says so. The closed loop, which asks nothing
// while the server stalls, hardly notices: that is what the open loop is for.
func TestStallIsNotHidden(t *testing.T) {
	stalling := func() http.HandlerFunc {
		var start time.Time
		var once sync.Once
		return func(http.ResponseWriter, *http.Request) {
			once.Do(func() { start = time.Now() })
			time.Sleep(10 * time.Millisecond)
			if age := time.Since(start); age >= 4*time.Second && age < 6*time.Second {
				time.Sleep(6*time.Second - age)
			}
		}
	}
	inBubble(t, stalling(), func(t *testing.T, o Options) {
		o.Duration = 10 * time.Second
		r, err := Open(t.Context(), 400, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent != 4000 || r.OK != 4000 || r.Unsent != 0 {
			t.Errorf("%v", r)
		}
		between(t, "p50", r.P50, 10*time.Millisecond, 20*time.Millisecond)
		between(t, "p90", r.P90, 1200*time.Millisecond, 1600*time.Millisecond)
		between(t, "p99", r.P99, 1800*time.Millisecond, 2020*time.Millisecond)
		between(t, "max", r.Max, 1900*time.Millisecond, 2020*time.Millisecond)
	})
	inBubble(t, stalling(), func(t *testing.T, o Options) {
		o.Duration = 10 * time.Second
		r, err := Closed(t.Context(), 10, o)
		if err != nil {
			t.Fatal(err)
		}
		between(t, "p99 of the closed loop", r.P99, 10*time.Millisecond, 11*time.Millisecond)
		between(t, "max of the closed loop", r.Max, 1900*time.Millisecond, 2020*time.Millisecond)
	})
}

// TestOpenKeepsTheRate: requests go out when they are due, evenly, whatever the
// answers take.
func TestOpenKeepsTheRate(t *testing.T) {
	var mu sync.Mutex
	var arrivals []time.Duration
	var start time.Time
	inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		arrivals = append(arrivals, time.Since(start))
		mu.Unlock()
		time.Sleep(40 * time.Millisecond)
	}, func(t *testing.T, o Options) {
		start = time.Now()
		o.Count = 100
		r, err := Open(t.Context(), 200, o)
		if err != nil || r.Sent != 100 || r.OK != 100 || r.Lag != 0 {
			t.Fatalf("%v, %v", r, err)
		}
		between(t, "p50", r.P50, 40*time.Millisecond, 40*time.Millisecond+50*time.Microsecond)
		between(t, "max", r.Max, 40*time.Millisecond, 40*time.Millisecond+50*time.Microsecond)
		between(t, "elapsed", r.Elapsed, 535*time.Millisecond, 535*time.Millisecond)
		if r.Rate < 186 || r.Rate > 188 {
			t.Errorf("rate %v", r.Rate)
		}
	})
	for i, at := range arrivals {
		if want := time.Duration(i) * 5 * time.Millisecond; at != want {
			t.Fatalf("request %d arrived at %v, not %v", i, at, want)
		}
	}
}

// TestOverload: what could not be sent in time is not forgotten, and a run ends.
func TestOverload(t *testing.T) {
	inBubble(t, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }, func(t *testing.T, o Options) {
		o.Duration, o.Timeout = 5*time.Second, 3*time.Second
		r, err := Open(t.Context(), 100, o)
		if err != nil || r.Sent+r.Unsent != 500 || r.Unsent < 400 || r.Elapsed > 10*time.Second {
			t.Fatalf("%v, %v", r, err)
		}
		between(t, "p90", r.P90, 5*time.Second, 10*time.Second)
	})
}

func TestTimeouts(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(t *testing.T, o Options) {
		o.Count, o.Timeout = 5, 2*time.Second
		r, err := Open(t.Context(), 100, o)
		if err != nil || r.Failures["timeout"] != 5 || r.OK != 0 || len(r.Statuses) != 0 || r.Rate != 0 {
			t.Fatalf("%v, %v", r, err)
		}
		between(t, "p50", r.P50, 2*time.Second, 2010*time.Millisecond)
	})
}

func TestCancel(t *testing.T) {
	for name, run := range map[string]func(context.Context, Options) (Result, error){
		"open":   func(ctx context.Context, o Options) (Result, error) { return Open(ctx, 10, o) },
		"closed": func(ctx context.Context, o Options) (Result, error) { return Closed(ctx, 2, o) },
	} {
		inBubble(t, func(http.ResponseWriter, *http.Request) { time.Sleep(100 * time.Millisecond) }, func(t *testing.T, o Options) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			o.Duration = time.Hour
			r, err := run(ctx, o)
			if !errors.Is(err, context.DeadlineExceeded) || r.OK < 19 || r.Elapsed > 2200*time.Millisecond {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		})
	}
}

// TestRequests go over a real network as they were made, and answers are sorted.
func TestRequests(t *testing.T) {
	var good atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		wantMethod, wantBody := http.MethodPost, "body "+strconv.Itoa(n)
		if n%4 == 0 {
			wantMethod, wantBody = http.MethodGet, ""
		}
		if r.Method == wantMethod && string(body) == wantBody && r.Header.Get("Authorization") == "Bearer x" {
			good.Add(1)
		}
		switch n % 4 {
		case 1:
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	o := Options{
		Target: server.URL, Count: 400, Connections: 3,
		OK: func(status int) bool { return status == 200 || status == 302 },
		Next: func(n int64) Request {
			r := Request{Path: "/p?n=" + strconv.FormatInt(n, 10), Header: http.Header{"Authorization": {"Bearer x"}}}
			if n%4 != 0 {
				r.Body = []byte("body " + strconv.FormatInt(n, 10))
			}
			return r
		},
	}
	for name, run := range map[string]func() (Result, error){
		"open":   func() (Result, error) { return Open(t.Context(), 20_000, o) },
		"closed": func() (Result, error) { return Closed(t.Context(), 3, o) },
	} {
		good.Store(0)
		r, err := run()
		if err != nil || good.Load() != 400 || r.Sent != 400 || r.OK != 200 {
			t.Errorf("%s: %d good, %v, %v", name, good.Load(), r, err)
		}
		if d := cmp.Diff(map[int]int64{200: 100, 302: 100, 429: 100}, r.Statuses); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := cmp.Diff(map[string]int64{"closed": 100}, r.Failures); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if r.P50 <= 0 || r.P50 > r.P90 || r.P90 > r.P99 || r.P99 > r.P999 || r.P999 > r.Max || r.Max > time.Minute || r.Rate <= 0 {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// TestConnectionsAreBounded: never more requests at once than allowed.
func TestConnectionsAreBounded(t *testing.T) {
	var now, most atomic.Int64
	inBubble(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(50 * time.Millisecond)
		now.Add(-1)
	}, func(t *testing.T, o Options) {
		o.Connections, o.Count = 4, 100
		if r, err := Open(t.Context(), 1000, o); err != nil || r.OK != 100 {
			t.Fatalf("%v, %v", r, err)
		}
	})
	if most.Load() != 4 {
		t.Errorf("%d at once", most.Load())
	}
}

// TestOnlyThisMachine: nothing is ever sent elsewhere.
func TestOnlyThisMachine(t *testing.T) {
	o := Options{Count: 1, Next: func(int64) Request { return Request{Path: "/"} }}
	for _, target := range []string{
		"http://192.0.2.1:80", "http://10.0.0.1", "http://example.com", "http://[2001:db8::1]:80", "http://0.0.0.0:80",
		"http://localhost.example.com", "http://127.0.0.1.example.com", "http://2130706433",
	} {
		o.Target = target
		if _, err := Open(t.Context(), 1, o); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", target, err)
		}
		if _, err := Closed(t.Context(), 1, o); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", target, err)
		}
	}
	for address, ok := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"192.0.2.1:80": false, "[::ffff:192.0.2.1]:80": false, "[::]:80": false, "example.com:80": false,
	} {
		if err := loopbackOnly("tcp", address, nil); (err == nil) != ok {
			t.Errorf("dial %s: %v", address, err)
		}
	}
	// A path cannot turn into another host.
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, path := range []string{"@192.0.2.1/", ".example.com/", "0/", " /", "\n"} {
		o.Target, o.Next = server.URL, func(int64) Request { return Request{Path: path} }
		if r, err := Closed(t.Context(), 1, o); err != nil || r.Failures["request"] != 1 || r.Sent != 0 {
			t.Errorf("path %q: %v, %v", path, r, err)
		}
	}
}

func TestOptions(t *testing.T) {
	next := func(int64) Request { return Request{Path: "/"} }
	for name, o := range map[string]Options{
		"no target":            {Next: next, Count: 1},
		"https":                {Target: "https://127.0.0.1", Next: next, Count: 1},
		"path":                 {Target: "http://127.0.0.1/x", Next: next, Count: 1},
		"user":                 {Target: "http://a@127.0.0.1", Next: next, Count: 1},
		"nothing to send":      {Target: "http://127.0.0.1", Count: 1},
		"no end":               {Target: "http://127.0.0.1", Next: next},
		"negative":             {Target: "http://127.0.0.1", Next: next, Count: -1, Duration: 1},
		"too many connections": {Target: "http://127.0.0.1", Next: next, Count: 1, Connections: 1e6},
		"negative timeout":     {Target: "http://127.0.0.1", Next: next, Count: 1, Timeout: -1},
	} {
		if _, err := Open(t.Context(), 1, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	good := Options{Target: "http://127.0.0.1:1", Next: next, Count: 3}
	for _, rate := range []float64{0, -1, 1e9} {
		if _, err := Open(t.Context(), rate, good); err == nil {
			t.Errorf("rate %v: no error", rate)
		}
	}
	if _, err := Closed(t.Context(), 0, good); err == nil {
		t.Error("no workers: no error")
	}
	// Nobody listens there.
	if r, err := Closed(t.Context(), 1, good); err != nil || r.Failures["refused"] != 3 {
		t.Errorf("%v, %v", r, err)
	}
}
