// Package loadgen loads an HTTP server on this machine and measures how it
// answers. Open sends at a fixed rate, whether answers come or not, and measures
// every latency from the instant at which the request was due: a server that
// stalls cannot hide that behind requests that were never sent. Closed keeps a
// number of workers busy and is good for throughput only.
//
// It sends nothing to other machines: targets that are not loopback are refused,
// also when a name leads to them.
package loadgen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrNotLoopback refuses a target on another machine.
var ErrNotLoopback = errors.New("target is not on this machine")

// Request is one request of a run. Path begins with a slash and may have a
// query. Method is GET if it is empty and there is no body, else POST.
type Request struct {
	Method string
	Path   string
	Header http.Header
	Body   []byte
}

// Options say what to send, and how much of it.
type Options struct {
	// Target is the server, such as http://127.0.0.1:8080.
	Target string
	// Next makes request number n, from 0. It is called by many goroutines.
	Next func(n int64) Request
	// OK judges a status; by default 200 to 299 are good.
	OK func(status int) bool
	// Connections is how many requests are under way at most; default 64.
	Connections int
	// Duration and Count end a run, whichever comes first; one must be set.
	Duration time.Duration
	Count    int64
	// Timeout is the longest wait for one answer; default 10 s. An open loop
	// gives up on requests that are still not sent so long after the last was
	// due.
	Timeout time.Duration

	// dial replaces the network in tests.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	maxConnections = 10_000
	maxAnswer      = 16 << 20 // bytes of one answer that are read
)

func (o *Options) validate() (*url.URL, error) {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(o.Target)
	switch {
	case err != nil:
		faults = append(faults, fmt.Errorf("target: %w", err))
	case u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		faults = append(faults, fmt.Errorf("target %q: must be http://address:port", o.Target))
	case !loopbackName(u.Hostname()):
		faults = append(faults, fmt.Errorf("target %q: %w", o.Target, ErrNotLoopback))
	}
	fault(o.Next == nil, "next: is missing")
	fault(o.Connections < 0 || o.Connections > maxConnections, "connections: must be 1 to %d", maxConnections)
	fault(o.Duration < 0 || o.Count < 0 || o.Duration == 0 && o.Count == 0, "duration, count: one must be positive")
	fault(o.Timeout < 0, "timeout: must be positive")
	if o.Connections == 0 {
		o.Connections = 64
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.OK == nil {
		o.OK = func(status int) bool { return status >= 200 && status < 300 }
	}
	return u, errors.Join(faults...)
}

// loopbackName reports whether a host may be dialled at all. What localhost
// leads to is checked again when it is.
func loopbackName(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// loopbackOnly is called with the address that is really going to be dialled.
func loopbackOnly(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("dial %s: %w", address, ErrNotLoopback)
	}
	return nil
}

// run is one measurement.
type run struct {
	*Options
	base   string
	client *http.Client
	start  time.Time
	next   atomic.Int64

	mu    sync.Mutex
	tally tally
}

func newRun(o *Options) (*run, error) {
	u, err := o.validate()
	if err != nil {
		return nil, fmt.Errorf("load options: %w", err)
	}
	dial := o.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: o.Timeout, Control: loopbackOnly}).DialContext
	}
	return &run{
		Options: o, base: "http://" + u.Host, tally: newTally(), start: time.Now(),
		client: &http.Client{
			Transport: &http.Transport{
				Proxy: nil, DialContext: dial, DisableCompression: true,
				MaxConnsPerHost: o.Connections, MaxIdleConnsPerHost: o.Connections, MaxIdleConns: o.Connections,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       o.Timeout,
		},
	}, nil
}

// Open sends requests at a rate per second, evenly spaced. If all connections
// are taken, requests wait, and their waiting counts as latency. The error is
// that of the options or of ctx; whatever was measured until then is returned.
func Open(ctx context.Context, rate float64, o Options) (Result, error) {
	if !(rate > 0 && rate <= 1e6) {
		return Result{}, fmt.Errorf("load options: rate: must be above 0 and at most 1,000,000 per second")
	}
	r, err := newRun(&o)
	if err != nil {
		return Result{}, err
	}
	last := o.Count
	if n := int64(rate * o.Duration.Seconds()); o.Duration > 0 && (last == 0 || n < last) {
		last = max(n, 1)
	}
	dueAt := func(n int64) time.Time {
		return r.start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	}
	giveUp := dueAt(last).Add(o.Timeout)
	r.work(func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for n := r.next.Add(1) - 1; n < last; n = r.next.Add(1) - 1 {
			due := dueAt(n)
			wait := time.Until(due)
			if wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
			if ctx.Err() != nil {
				return
			}
			now := time.Now()
			if now.After(giveUp) {
				r.note(func(t *tally) {
					t.unsent++
					t.took(now.Sub(due))
				})
				continue
			}
			if wait > 0 { // it had a connection, so being late is our own fault
				r.note(func(t *tally) { t.lag = max(t.lag, now.Sub(due)) })
			}
			r.send(ctx, n, due)
		}
	})
	return r.result(), ctx.Err()
}

// Closed keeps workers busy, each sending its next request when it has the
// answer to the last. Its latencies say little about a server under load (a slow
// server is asked less often); its rate is the server's throughput. The error is
// that of the options or of ctx; whatever was measured until then is returned.
func Closed(ctx context.Context, workers int, o Options) (Result, error) {
	if workers < 1 || workers > maxConnections {
		return Result{}, fmt.Errorf("load options: workers: must be 1 to %d", maxConnections)
	}
	o.Connections = workers
	r, err := newRun(&o)
	if err != nil {
		return Result{}, err
	}
	r.work(func() {
		for n := r.next.Add(1) - 1; o.Count == 0 || n < o.Count; n = r.next.Add(1) - 1 {
			now := time.Now()
			if ctx.Err() != nil || o.Duration > 0 && now.Sub(r.start) >= o.Duration {
				return
			}
			r.send(ctx, n, now)
		}
	})
	return r.result(), ctx.Err()
}

// work runs f on every connection.
func (r *run) work(f func()) {
	var all sync.WaitGroup
	for range r.Connections {
		all.Go(f)
	}
	all.Wait()
	r.tally.elapsed = time.Since(r.start)
	r.client.CloseIdleConnections()
}

func (r *run) note(f func(*tally)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.tally)
}

// send sends request n and measures from due to the last byte of the answer.
func (r *run) send(ctx context.Context, n int64, due time.Time) {
	next := r.Next(n)
	method := next.Method
	if method == "" {
		if method = http.MethodGet; next.Body != nil {
			method = http.MethodPost
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+next.Path, bytes.NewReader(next.Body))
	if err == nil && req.URL.Host != strings.TrimPrefix(r.base, "http://") {
		err = ErrNotLoopback // a path that is more than a path
	}
	if err != nil {
		r.note(func(t *tally) { t.failures["request"]++ })
		return
	}
	maps.Copy(req.Header, next.Header)
	status, err := r.exchange(req)
	took := time.Since(due)
	r.note(func(t *tally) {
		t.sent++
		t.took(took)
		if err != nil {
			t.failures[reason(err)]++
			return
		}
		t.statuses[status]++
		if r.OK(status) {
			t.ok++
		}
	})
}

func (r *run) exchange(req *http.Request) (status int, err error) {
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// reason sorts what went wrong below HTTP.
func reason(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, ErrNotLoopback):
		return "not_loopback"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return "other"
}
