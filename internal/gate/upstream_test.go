package gate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/guard"
)

// settler is an engine that lets everybody through and notes the outcomes.
type settler struct {
	idle
	revoked atomic.Bool // sessions

	mu       sync.Mutex
	outcomes []warder.Outcome
}

func (e *settler) Check(_ *guard.App, q *guard.Query) warder.Decision {
	if q.Session != "" && e.revoked.Load() {
		return warder.Decision{Action: warder.BlockAction, Reason: warder.SessionRevoked}
	}
	return warder.Decision{Reason: warder.OK}
}

func (e *settler) Settle(_ context.Context, _ *guard.App, _ string, s guard.Settlement) (guard.Reported, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outcomes = append(e.outcomes, s.Outcome)
	return guard.Reported{}, nil
}

// settled waits until as many attempts have an outcome, and returns the last.
func (e *settler) settled(t *testing.T, n int) warder.Outcome {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		e.mu.Lock()
		if len(e.outcomes) >= n {
			defer e.mu.Unlock()
			if len(e.outcomes) > n {
				t.Errorf("%d outcomes of %d attempts", len(e.outcomes), n)
			}
			return e.outcomes[n-1]
		}
		e.mu.Unlock()
		select {
		case <-deadline:
			t.Fatal("an attempt is never settled")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

const outcomesProfile = `
name: test
sessions: [sid]
endpoints:
  - kind: sign_in
    paths: [/login]
    account: [username]
    password: [password]
    failure: [{status: [200]}]
    success: [{status: [303]}]
  - kind: sign_in
    paths: [/read]
    account: [username]
    password: [password]
    failure: [{body: [Wrong]}]
    success: [{status: [200], not_body: [Wrong]}]
`

// scripted is a site before an application that says whatever a test lets it
// say, byte by byte.
type scripted struct {
	*settler
	site *Site
	url  string
	conn chan func(net.Conn, *http.Request)
	open atomic.Int64 // connections that the application has
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{settler: &settler{}, conn: make(chan func(net.Conn, *http.Request), 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.open.Add(1)
			go func() {
				defer s.open.Add(-1)
				defer func() { _ = c.Close() }()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err == nil {
					(<-s.conn)(c, r)
				}
			}()
		}
	}()
	profile, err := ParseProfile([]byte(outcomesProfile))
	if err != nil {
		t.Fatal(err)
	}
	s.site, err = NewSite(SiteOptions{
		Name: "x", Upstream: &url.URL{Scheme: "http", Host: l.Addr().String()}, Profile: profile, Engine: s.settler,
		Proxies: resolver(t, clientip.Options{}), Secret: make([]byte, 32), Timeout: time.Second,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if tr, ok := s.site.proxy.Transport.(*http.Transport); ok {
		tr.DisableKeepAlives = true // each script has a connection of its own
	}
	srv := httptest.NewUnstartedServer(s.site)
	srv.Config = s.site.Server()
	srv.Start()
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// said is what came of a request.
type said struct {
	status   int
	header   http.Header
	trailer  http.Header
	body     string
	err      error // while the body was read
	informed []int
	hinted   http.Header // of the last informational response
}

func (s *scripted) do(t *testing.T, r *http.Request) (out said) {
	t.Helper()
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		out.informed, out.hinted = append(out.informed, code), http.Header(h)
		return nil
	}}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true, ExpectContinueTimeout: 10 * time.Second}}
	res, err := client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil {
		out.err = err
		return out
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	out.status, out.header, out.trailer, out.body, out.err = res.StatusCode, res.Header, res.Trailer, string(body), err
	return out
}

func (s *scripted) request(t *testing.T, path string) *http.Request {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if path != "/home" {
		method, body = http.MethodPost, strings.NewReader("username=alice&password=x")
	}
	r, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func gzipped(t *testing.T, parts ...io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.Copy(z, io.MultiReader(parts...)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type endlessly struct{ text string }

func (e endlessly) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e.text)
	}
	return n, nil
}

// forever sends a text again and again until nobody listens any more.
func forever(c net.Conn, text string) {
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

// TestUpstreamMisbehaves: whatever an application says or does not say, the
// client gets an answer, an attempt gets one outcome, and nothing is left open.
func TestUpstreamMisbehaves(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const home, login, read = "/home", "/login", "/read"
	bomb := gzipped(t, strings.NewReader("Wrong password."), io.LimitReader(endlessly{"\x00"}, 80<<20))
	wait := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // until the gate gives up
	tests := []struct {
		name   string
		script func(c net.Conn)
		path   string
		status int
		broken bool // the body ends before its end
		want   warder.Outcome
	}{
		{"no answer", wait, home, 504, false, 0},
		{"no answer", wait, login, 504, false, warder.OutcomeError},
		{"hangs up at once", func(net.Conn) {}, home, 502, false, 0},
		{"hangs up at once", func(net.Conn) {}, login, 502, false, warder.OutcomeError},
		{"hangs up within the headers", func(c net.Conn) { io.WriteString(c, ok+"X-A: b\r\nX-") }, home, 502, false, 0},
		{"hangs up within the headers", func(c net.Conn) { io.WriteString(c, ok+"X-A: b\r\nX-") }, login, 502, false, warder.OutcomeError},
		{"headers without end", func(c net.Conn) { io.WriteString(c, ok); forever(c, "X-A: b\r\n") }, home, 502, false, 0},
		{"headers without end", func(c net.Conn) { io.WriteString(c, ok); forever(c, "X-A: b\r\n") }, login, 502, false, warder.OutcomeError},
		{"a header without end", func(c net.Conn) { io.WriteString(c, ok+"X-A: "); forever(c, "bbbbbbbb") }, login, 502, false, warder.OutcomeError},
		{"a status line without end", func(c net.Conn) { forever(c, "HTTP/1.1 200 ") }, login, 502, false, warder.OutcomeError},
		{"rubbish", func(c net.Conn) { io.WriteString(c, "\x00\xff rubbish\r\n\r\n") }, login, 502, false, warder.OutcomeError},
		{"two lengths", func(c net.Conn) { io.WriteString(c, ok+"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc") }, login, 502, false, warder.OutcomeError},
		{"informs without end", func(c net.Conn) { forever(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") }, login, 504, false, warder.OutcomeError},
		{"informs without end", func(c net.Conn) { forever(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") }, home, 504, false, 0},
		{"changes the protocol unasked", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			wait(c)
		}, home, 502, false, 0},
		{"changes the protocol unasked", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			wait(c)
		}, login, 502, false, warder.Failure},
		{"hangs up within the body", func(c net.Conn) { io.WriteString(c, ok+"Content-Length: 100\r\n\r\nabc") }, home, 0, true, 0},
		{"hangs up within the body", func(c net.Conn) { io.WriteString(c, ok+"Content-Length: 100\r\n\r\nabc") }, login, 0, true, warder.Failure},
		{"hangs up within the body", func(c net.Conn) { io.WriteString(c, ok+"Content-Length: 100\r\n\r\nabc") }, read, 502, false, warder.OutcomeError},
		{"hangs up within the chunks", func(c net.Conn) { io.WriteString(c, ok+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") }, read, 502, false, warder.OutcomeError},
		{"body without end", func(c net.Conn) { io.WriteString(c, ok+"\r\nWelcome."); forever(c, "and so on ") }, home, 200, false, 0},
		{"body without end", func(c net.Conn) { io.WriteString(c, ok+"\r\nWelcome."); forever(c, "and so on ") }, read, 200, false, warder.Failure},
		{"body without end", func(c net.Conn) { io.WriteString(c, ok+"\r\nWrong password."); forever(c, "and so on ") }, read, 200, false, warder.Failure},
		{"body that does not come", func(c net.Conn) { io.WriteString(c, ok+"Content-Length: 100\r\n\r\nWel"); wait(c) }, read, 504, false, warder.OutcomeError},
		{"gzip though not asked for", func(c net.Conn) {
			fmt.Fprintf(c, "%sContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", ok, len(bomb))
			_, _ = c.Write(bomb)
		}, read, 200, false, warder.Failure},
		{"gzip that says yes", func(c net.Conn) {
			yes := gzipped(t, strings.NewReader("Welcome."))
			fmt.Fprintf(c, "%sContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", ok, len(yes))
			_, _ = c.Write(yes)
		}, read, 200, false, warder.Success},
		{"gzip that is none", func(c net.Conn) { io.WriteString(c, ok+"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nWelcome.") }, read, 200, false, warder.Failure},
		{"an encoding nobody reads", func(c net.Conn) { io.WriteString(c, ok+"Content-Encoding: br\r\nContent-Length: 8\r\n\r\nWelcome.") }, read, 200, false, warder.Failure},
		{"two encodings", func(c net.Conn) {
			io.WriteString(c, ok+"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nWelcome.")
		}, read, 200, false, warder.Failure},
	}
	s := newScripted(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	attempts := 0
	for _, tt := range tests {
		begun := time.Now()
		s.conn <- func(c net.Conn, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the end of the connection would take the answer along
			tt.script(c)
		}
		got := s.do(t, s.request(t, tt.path))
		if got.status != tt.status || (got.err != nil) != tt.broken {
			t.Errorf("%s at %s: %d %v %.60q, want %d", tt.name, tt.path, got.status, got.err, got.body, tt.status)
		}
		if len(got.informed) > maxInformed || tt.path != home && len(got.informed) > 0 {
			t.Errorf("%s at %s: %d informational responses", tt.name, tt.path, len(got.informed))
		}
		if tt.path != home {
			attempts++
			if o := s.settled(t, attempts); o != tt.want {
				t.Errorf("%s at %s: outcome %v, want %v", tt.name, tt.path, o, tt.want)
			}
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s at %s: it took %v", tt.name, tt.path, took)
		}
	}
	for begun := time.Now(); s.open.Load() > 0 || s.site.live.count() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d connections to the application and %d exchanges are left", s.open.Load(), s.site.live.count())
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	if look, sealed := readable([]string{"gzip"}, bomb[:maxLook]); len(look) != maxLook || sealed {
		t.Errorf("%d bytes of the bomb were looked at, sealed %v", len(look), sealed)
	}
}

// TestUpstreamExtras: informational responses, trailers and expectations pass.
func TestUpstreamExtras(t *testing.T) {
	s := newScripted(t)
	const hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
	for _, ended := range []bool{false, true} {
		s.revoked.Store(ended)
		s.conn <- func(c net.Conn, _ *http.Request) {
			fmt.Fprint(c, hints+hints+"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
		}
		r := s.request(t, "/home")
		r.Header.Set("Cookie", "sid=1")
		got := s.do(t, r)
		if got.status != 200 || got.body != "abc" || got.err != nil || got.trailer.Get("X-Sum") != "42" {
			t.Errorf("%+v", got)
		}
		if len(got.informed) != 2 || got.hinted.Get("Link") == "" {
			t.Errorf("informed %v %v", got.informed, got.hinted)
		}
		if away := strings.HasPrefix(got.header.Get("Set-Cookie"), "sid=;"); away != ended {
			t.Errorf("ended %v: Set-Cookie %q", ended, got.header["Set-Cookie"])
		}
	}
	s.revoked.Store(false)

	// The application refuses a body before it is sent, or takes it.
	for _, take := range []bool{false, true} {
		s.conn <- func(c net.Conn, r *http.Request) {
			if r.Header.Get("Expect") != "100-continue" {
				fmt.Fprint(c, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
				return
			}
			if !take {
				fmt.Fprint(c, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				return
			}
			fmt.Fprint(c, "HTTP/1.1 100 Continue\r\n\r\n")
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d", len(fmt.Sprint(n)), n)
		}
		var read atomic.Int64
		r, err := http.NewRequest(http.MethodPost, s.url+"/upload", io.TeeReader(io.LimitReader(endlessly{"x"}, 1<<20), counted{&read}))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = 1 << 20
		r.Header.Set("Expect", "100-continue")
		got := s.do(t, r)
		switch {
		case take && (got.status != 200 || got.body != fmt.Sprint(1<<20)):
			t.Errorf("an expected body: %+v", got)
		case !take && (got.status != 413 || read.Load() > 0):
			t.Errorf("a refused body: %d, %d bytes were sent", got.status, read.Load())
		}
	}
}

type counted struct{ n *atomic.Int64 }

func (c counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestClientBreaksOff: a client that stops in the middle of its body is at fault,
// and that is no failure of the application.
func TestClientBreaksOff(t *testing.T) {
	s := newScripted(t)
	s.conn <- func(c net.Conn, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	fmt.Fprint(c, "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nrubbish\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusBadRequest || !res.Close {
		t.Errorf("%v %+v", err, res)
	}
	if at := s.site.figures.unanswered.Load(); at != 0 {
		t.Error("the application is said not to answer")
	}
}

// TestRefusedAtOnce: whoever is refused is told so though his body has not come,
// and the connection ends.
func TestRefusedAtOnce(t *testing.T) {
	s := newScripted(t)
	for _, head := range []string{
		"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
		"POST /login HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
		"POST /login HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 100\r\n\r\n",
		"POST /%2561/..;/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
		"POST /.warder/nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprint(c, head)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode < 400 || !res.Close {
			t.Errorf("%q: %v %+v", head, err, res)
		}
		_ = c.Close()
	}
}

// TestFormsAreBounded: large forms share a site's memory; small ones always get
// through.
func TestFormsAreBounded(t *testing.T) {
	s := newScripted(t)
	hog := &exchange{}
	if !s.site.forms.take(hog, maxForms) || s.site.forms.take(&exchange{}, 1) {
		t.Fatal("the memory is not what it is said to be")
	}
	form := func(n int) *http.Request {
		r := s.request(t, "/login")
		text := "username=alice&password=x&more=" + strings.Repeat("a", n)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		return r
	}
	answer := func(c net.Conn, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(c, "HTTP/1.1 303 See Other\r\nLocation: /home\r\nContent-Length: 0\r\n\r\n")
	}
	if got := s.do(t, form(100_000)); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a large form without memory: %+v", got)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, n := range []int{0, 1000, 7000} {
		s.conn <- answer
		res, err := client.Do(form(n))
		if err != nil || res.StatusCode != http.StatusSeeOther {
			t.Errorf("a small form: %v %+v", err, res)
		}
	}
	s.site.forms.give(hog)
	for _, n := range []int{8100, 8192, 100_000, maxForm - 40} {
		s.conn <- answer
		res, err := client.Do(form(n))
		if err != nil || res.StatusCode != http.StatusSeeOther {
			t.Errorf("a form of %d bytes: %v %+v", n, err, res)
		}
	}
	for begun := time.Now(); s.site.forms.taken.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d bytes are never given back", s.site.forms.taken.Load())
		}
	}
}

// TestLiveIsBounded: one address has so much under way and no more, and so have
// all.
func TestLiveIsBounded(t *testing.T) {
	l := newLive()
	at := func(i int) *exchange {
		return &exchange{key: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)}
	}
	var one []*exchange
	for range maxPerAddress {
		x := at(1)
		if !l.add(x) {
			t.Fatal("refused too early")
		}
		one = append(one, x)
	}
	if l.add(at(1)) || !l.add(at(2)) {
		t.Error("the bound of one address is not of that address")
	}
	l.remove(one[0])
	if !l.add(at(1)) {
		t.Error("a place that was left is not free")
	}
	n := l.count()
	for i := 3; l.add(at(i)); i++ {
		n++
	}
	if n != maxUnderWay || l.count() != maxUnderWay || len(l.all()) != maxUnderWay || len(l.list()) != 0 {
		t.Errorf("%d under way, counted %d, listed %d and %d", n, l.count(), len(l.all()), len(l.list()))
	}
	for _, x := range l.all() {
		l.remove(x)
	}
	if l.count() != 0 {
		t.Errorf("%d are left", l.count())
	}
}

// TestDrain: at a shutdown the outcome of a sign-in is waited for, but not for
// ever.
func TestDrain(t *testing.T) {
	s := newScripted(t)
	for i, patience := range []time.Duration{10 * time.Second, 20 * time.Millisecond} {
		inside, answer := make(chan struct{}), make(chan struct{})
		s.conn <- func(c net.Conn, _ *http.Request) {
			close(inside)
			<-answer
			fmt.Fprint(c, "HTTP/1.1 303 See Other\r\nLocation: /home\r\nContent-Length: 0\r\n\r\n")
		}
		ctx, hangUp := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			res, err := http.DefaultTransport.RoundTrip(s.request(t, "/login").WithContext(ctx))
			if err == nil {
				_ = res.Body.Close()
			}
			gone <- err
		}()
		<-inside
		hangUp()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Fatalf("the client: %v", err)
		}
		drained := make(chan int)
		go func() { drained <- s.site.Drain(patience, 5*time.Second) }()
		want, givenUp := warder.Success, 0
		if i == 1 {
			want, givenUp = warder.OutcomeError, 1
		} else {
			close(answer)
		}
		if n := <-drained; n != givenUp {
			t.Errorf("%d given up, want %d", n, givenUp)
		}
		if o := s.settled(t, i+1); o != want || s.site.live.count() != 0 {
			t.Errorf("outcome %v, want %v; %d under way", o, want, s.site.live.count())
		}
		if i == 1 {
			close(answer)
		}
	}
}

// FuzzOutcome: whatever an application answers to a sign-in, a response that
// carries the sign of failure is no success, and what cannot be read is none.
func FuzzOutcome(f *testing.F) {
	f.Add(200, "", "gzip", []byte("\x1f\x8b\x08\x00Wrong"), "sid=1")
	f.Add(303, "//evil/..;/login?x", "", []byte("Wrong"), "sid=; Max-Age=0")
	f.Add(200, "http://[::1", "br", []byte("Welcome"), "sid")
	f.Add(101, "/home\x00", "identity", []byte{}, "\xff=\xfe")
	profile, err := ParseProfile([]byte(outcomesProfile))
	if err != nil {
		f.Fatal(err)
	}
	s := &Site{sessions: profile.Sessions, keys: newKeys(make([]byte, 32)), profile: profile, left: newMemory[struct{}](16, time.Hour)}
	f.Fuzz(func(t *testing.T, status int, loc, encoding string, body []byte, cookie string) {
		res := &http.Response{
			StatusCode: status, Header: http.Header{"Location": {loc}, "Set-Cookie": {cookie}, "Content-Encoding": {encoding}},
			Request: &http.Request{URL: &url.URL{Scheme: "http", Host: "www", Path: "/read"}},
		}
		look := response{status: status, location: location(res), cookies: res.Cookies()}
		look.session = s.opened(look.cookies) != ""
		look.body, look.sealed = readable(res.Header["Content-Encoding"], body)
		if len(look.body) > maxLook && len(look.body) > len(body) {
			t.Errorf("%d bytes were looked at", len(look.body))
		}
		for i := range profile.Endpoints {
			outcome, _ := profile.Endpoints[i].outcome(&look)
			if outcome == warder.Success && profile.Endpoints[i].bodies && (look.sealed || bytes.Contains(look.body, []byte("Wrong"))) {
				t.Errorf("%d %q %q is a success", status, encoding, body)
			}
		}
	})
}
