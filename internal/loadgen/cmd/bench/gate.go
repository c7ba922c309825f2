package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/warderhq/warder/internal/loadgen"
)

const (
	gateRate  = 2000 // requests a second of the open loop
	gateTime  = 2 * time.Second
	idleConns = 2000
	// How long a process may do nothing before its memory is read.
	idleTime = 3 * time.Second
)

// page is what the application behind every proxy answers.
var page = strings.Repeat("Hello, this is a page of an application. ", 25)[:1024]

// application answers every request with a page, and takes over connections
// that want to become WebSockets.
func application(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		w.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
		_, _ = io.WriteString(w, page)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	_, _ = io.Copy(conn, rw)
}

// serveHandler serves h on a port of loopback and says which.
func serveHandler(ctx context.Context, h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: h}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	fmt.Println("http://" + l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// plainProxy is httputil.ReverseProxy by itself, set up as well as it can be.
func plainProxy(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("plain: wants the address of the application")
	}
	u, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	return serveHandler(ctx, &httputil.ReverseProxy{
		Rewrite:    func(pr *httputil.ProxyRequest) { pr.SetURL(u); pr.SetXForwarded(); pr.Out.Host = pr.In.Host },
		Transport:  &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true},
		BufferPool: &copyBuffers{},
	})
}

// copyBuffers lends memory to a ReverseProxy.
type copyBuffers struct{ pool sync.Pool }

func (b *copyBuffers) Get() []byte {
	p, ok := b.pool.Get().(*[32 << 10]byte)
	if !ok {
		p = new([32 << 10]byte)
	}
	return p[:]
}

func (b *copyBuffers) Put(p []byte) { b.pool.Put((*[32 << 10]byte)(p)) }

// play starts this program in another role that listens.
func (b *bench) play(ctx context.Context, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, b.self, append([]string{"part"}, args...)...)
	return start(cmd, cmd.StdoutPipe, func(line []byte) string { return string(line) })
}

// gate runs Warder before an application. Its url is that of the gate.
func (b *bench) gate(ctx context.Context, upstream string) (*process, error) {
	dir, _, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.warder, "gate", "--data", dir, "--listen", "127.0.0.1:0", "--site", "127.0.0.1:0", "--upstream", upstream)
	cmd.Env = append(os.Environ(), "WARDER_LOG_FORMAT=json", "WARDER_TRUSTED_PROXIES=127.0.0.1/32")
	return start(cmd, cmd.StderrPipe, func(line []byte) string {
		var said struct{ Msg, Address string }
		if json.Unmarshal(line, &said) != nil || said.Msg != "guarding" {
			return ""
		}
		return "http://" + said.Address
	})
}

// nginx runs nginx as a reverse proxy; nil without an error if there is none on
// this machine.
func (b *bench) nginx(ctx context.Context, upstream string) (*process, error) {
	bin, err := exec.LookPath("nginx")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return nil, nil //nolint:nilnil,nilerr // its row is left out
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "nginx-*")
	if err != nil {
		return nil, err
	}
	var conf strings.Builder
	fmt.Fprintf(&conf, "daemon off;\npid %s/pid;\nworker_processes auto;\nerror_log stderr notice;\nevents { worker_connections 1024; }\n", dir)
	conf.WriteString("http {\naccess_log off;\nkeepalive_requests 1000000000;\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	fmt.Fprintf(&conf, `upstream app { server %s; keepalive 64; keepalive_requests 1000000000; }
server {
	listen %s;
	location / {
		proxy_pass http://app;
		proxy_http_version 1.1;
		proxy_set_header Connection "";
		proxy_set_header Host $host;
		proxy_set_header X-Forwarded-For $remote_addr;
		proxy_set_header X-Forwarded-Proto $scheme;
	}
}
}
`, strings.TrimPrefix(upstream, "http://"), address)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, bin, "-p", dir, "-c", path, "-e", "stderr")
	return start(cmd, cmd.StderrPipe, func(line []byte) string {
		if !strings.Contains(string(line), "start worker process ") {
			return ""
		}
		return "http://" + address
	})
}

// visit makes the requests of people who look at a page, each with a session.
func visit(n int64) loadgen.Request {
	return loadgen.Request{Path: "/home?x=1", Header: http.Header{
		"User-Agent": {agent}, "Accept": {"text/html"}, "Accept-Language": {"en"}, "Accept-Encoding": {"gzip"},
		"Cookie": {fmt.Sprintf("theme=dark; sessionid=%032d", n%1000)}, "X-Forwarded-For": {person(int(n % people))},
	}}
}

// gateRow compares the gate with a reverse proxy that does nothing else, and
// with nginx, in front of the same application.
func gateRow(ctx context.Context, b *bench) (_ []figure, err error) {
	app, err := b.play(ctx, "application")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, app.stop()) }()
	gate, err := b.gate(ctx, app.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gate.stop()) }()
	plain, err := b.play(ctx, "plain", app.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.stop()) }()
	sides := []*process{gate, plain}
	nginx, err := b.nginx(ctx, app.url)
	if err != nil {
		return nil, err
	}
	if nginx != nil {
		defer func() { err = errors.Join(err, nginx.stop()) }()
		sides = append(sides, nginx)
	}
	rate, work := make([][]float64, len(sides)), make([][]float64, len(sides))
	for i := range rounds + 1 {
		for side, p := range sides {
			before, err1 := cpu(p.pid)
			r, err2 := good(loadgen.Closed(ctx, clients, loadgen.Options{Target: p.url, Next: visit, Duration: roundTime}))
			after, err3 := cpu(p.pid)
			if err := errors.Join(err1, err2, err3); err != nil {
				return nil, err
			}
			if i > 0 { // the first round warms up
				rate[side] = append(rate[side], r.Rate)
				work[side] = append(work[side], float64((after-before).Microseconds())/float64(r.OK))
			}
		}
	}
	ours, theirs := median(rate[0]), median(rate[1])
	figures := []figure{{
		what:   "gate, unprotected path, against a plain httputil.ReverseProxy",
		got:    fmt.Sprintf("%.0f %% (%.0f against %.0f/s; CPU %.0f against %.0f us)", ours/theirs*100, ours, theirs, median(work[0]), median(work[1])),
		budget: ">= 85 %", ok: ours/theirs >= 0.85,
	}}
	if nginx != nil {
		figures = append(figures, figure{
			what: "... against nginx proxy_pass", got: fmt.Sprintf("%.0f %% (%.0f against %.0f/s)", ours/median(rate[2])*100, ours, median(rate[2])),
			budget: "(told)", ok: true,
		})
	} else {
		figures = append(figures, figure{what: "... against nginx proxy_pass", got: "-", budget: "(told)", skipped: "nginx is not installed"})
	}

	sides = []*process{app, gate, plain}
	late, usual := make([][]time.Duration, len(sides)), make([][]time.Duration, len(sides))
	for i := range rounds + 1 {
		for side, p := range sides {
			r, err := good(loadgen.Open(ctx, gateRate, loadgen.Options{Target: p.url, Next: visit, Duration: gateTime, Connections: clients}))
			if err != nil {
				return figures, err
			}
			if i > 0 {
				late[side], usual[side] = append(late[side], r.P99), append(usual[side], r.P50)
			}
		}
	}
	direct, added := median(late[0]), median(late[1])-median(late[0])
	figures = append(figures, figure{
		what: fmt.Sprintf("gate at %d/s on an unprotected path: added to the p99 without it", gateRate),
		got: fmt.Sprintf("%s (%s after %s; p50 adds %s; a plain ReverseProxy adds %s)", ms(added), ms(median(late[1])), ms(direct),
			ms(median(usual[1])-median(usual[0])), ms(median(late[2])-direct)),
		budget: "<= 1 ms", ok: added <= time.Millisecond,
	})

	for _, kind := range []struct {
		what  string
		greet string
	}{
		{"memory of an idle keep-alive connection at the gate", "GET /home HTTP/1.1\r\nHost: www\r\nX-Forwarded-For: %s\r\n\r\n"},
		{"... of an idle WebSocket (with its connection to the application)", "GET /ws HTTP/1.1\r\nHost: www\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: %s\r\n\r\n"},
	} {
		each, err := idleMemory(ctx, gate, kind.greet)
		if err != nil {
			return figures, err
		}
		figures = append(figures, figure{what: kind.what, got: fmt.Sprintf("%.1f KiB", each/1024), budget: "<= 64 KiB", ok: each <= 64<<10})
	}
	return figures, nil
}

// idleMemory is what a connection costs a process that has been greeted and has
// nothing more to say, in bytes.
func idleMemory(ctx context.Context, p *process, greet string) (each float64, err error) {
	if err := pause(ctx, idleTime); err != nil {
		return 0, err
	}
	before, err := memory(p.pid, "VmRSS")
	if err != nil {
		return 0, err
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range idleConns {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
		if err := greeted(c, fmt.Sprintf(greet, person(i))); err != nil {
			return 0, err
		}
	}
	if err := pause(ctx, idleTime); err != nil {
		return 0, err
	}
	after, err := memory(p.pid, "VmRSS")
	return float64(after-before) / idleConns, err
}

// greeted sends a request and reads its answer.
func greeted(c net.Conn, greet string) error {
	if _, err := io.WriteString(c, greet); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		_, err = io.Copy(io.Discard, res.Body)
	}
	return errors.Join(err, res.Body.Close())
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// forwardRow compares forward auth with a handler that answers the same and
// does nothing.
func forwardRow(ctx context.Context, b *bench) (_ []figure, err error) {
	dir, _, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("WARDER_TRUSTED_PROXIES", "127.0.0.1/32"); err != nil {
		return nil, err
	}
	server, err := b.serve(ctx, dir)
	if err := errors.Join(err, os.Unsetenv("WARDER_TRUSTED_PROXIES")); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	bare, err := b.play(ctx, "allow")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	ask := func(n int64) loadgen.Request {
		return loadgen.Request{Path: "/authz/nginx", Header: http.Header{
			"User-Agent": {agent}, "X-Forwarded-For": {person(int(n % people))},
			"X-Original-Method": {"GET"}, "X-Original-Url": {"https://www.example.org/home?x=1"}, "Cookie": {"sessionid=0123456789abcdef0123456789abcdef"},
		}}
	}
	var rate, work [2][]float64
	for i := range rounds + 1 {
		for side, p := range []*process{server, bare} {
			before, err1 := cpu(p.pid)
			r, err2 := good(loadgen.Closed(ctx, clients, loadgen.Options{Target: p.url, Next: ask, Duration: roundTime}))
			after, err3 := cpu(p.pid)
			if err := errors.Join(err1, err2, err3); err != nil {
				return nil, err
			}
			if i > 0 {
				rate[side] = append(rate[side], r.Rate)
				work[side] = append(work[side], float64((after-before).Microseconds())/float64(r.OK))
			}
		}
	}
	ours, theirs := median(rate[0]), median(rate[1])
	return []figure{{
		what:   "forward auth against a bare net/http handler",
		got:    fmt.Sprintf("%.0f %% (%.0f against %.0f/s; server CPU %.0f against %.0f us)", ours/theirs*100, ours, theirs, median(work[0]), median(work[1])),
		budget: ">= 70 %", ok: ours/theirs >= 0.7,
	}}, nil
}

// allow answers as forward auth does when somebody may pass.
func allow(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h["Cache-Control"], h["X-Warder-Reason"], h["X-Warder-Action"], h["Content-Length"] = []string{"no-store"}, []string{"ok"}, []string{"allow"}, []string{"0"}
	w.WriteHeader(http.StatusOK)
}
