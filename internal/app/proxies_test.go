package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/guard"
)

// snippet reads the first block of code in the given language from a page of
// the documentation: what is printed there is what runs here.
func snippet(t *testing.T, page, language string) string {
	t.Helper()
	return snippets(t, page, language)[0]
}

// snippets reads all of them.
func snippets(t *testing.T, page, language string) (blocks []string) {
	t.Helper()
	for _, rest := range strings.Split(readPage(t, page), "```"+language+"\n")[1:] {
		code, _, closed := strings.Cut(rest, "```")
		if !closed {
			t.Fatalf("%s has a block of %s that does not end", page, language)
		}
		blocks = append(blocks, code)
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return blocks
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "integrations", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// substitute puts other values into a configuration, each of which it must
// hold.
func substitute(t *testing.T, s string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, pairs[i]) {
			t.Fatalf("the configuration does not hold %q", pairs[i])
		}
		s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
	}
	return s
}

func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed: apt-get install %s", name, name)
	return ""
}

// freePort is a port of loopback that nobody uses now, and that stays free: it
// lies below those that the system hands out by itself.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(11_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// launch runs a program until the end of the test and waits until its port
// answers.
func launch(t *testing.T, port string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	var out lockedText
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its workers, too
		<-exited
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-exited:
			t.Fatalf("%s ended: %s", name, out.String())
		case <-ctx.Done():
			t.Fatalf("%s does not listen: %v", name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// confusing are targets that mean /admin to somebody; every one must be as
// refused as /admin itself.
func confusing() []string {
	list := []string{
		"/admin", "/admin/", "//admin", "///admin", "/./admin", "/x/../admin", "/%61dmin", "/%61%64min",
		"/adm%69n", "/x/..%2fadmin", "/x/%2e%2e/admin", "/x/%2e%2e%2fadmin", "/x%2f..%2fadmin", "/admin;x", "/admin;x=1/",
		"/;/admin", "/;a=b/admin", "/..;/admin", "/x/..;/admin", "/admin%20", "/admin%2f", "/admin?", "/admin?x=/public",
		"/admin%3fx", "/ADMIN", "/Admin", "/admin/.", "/admin/..", "/admin//users", "/admin/users", "/admin%00", "/admin%09",
		"/%2fadmin", "/%5cadmin", "/public/..%5cadmin", "/%2561dmin", "/x/%252e%252e/admin", "/admin.php", "/admin%23",
		"/\\admin",
	}
	return list
}

// ask sends a request with its target exactly as it is given.
func ask(t *testing.T, port, from, method, target string, header ...string) (status int, body string, h http.Header) {
	t.Helper()
	return askWith(t, port, from, method, target, "", header...)
}

// askWith is ask with a body.
func askWith(t *testing.T, port, from, method, target, send string, header ...string) (status int, body string, h http.Header) {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nConnection: close\r\n", method, target)
	if !slices.Contains(header, "Host") {
		header = append(slices.Clip(header), "Host", "www.example.org")
	}
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	if send != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(send))
	}
	b.WriteString("\r\n" + send)
	if _, err := io.WriteString(conn, b.String()); err != nil {
		t.Fatal(err)
	}
	res, err := readResponse(conn, method)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return res.StatusCode, string(text), res.Header
}

// realProxies run the configurations of the documentation in the programs that
// they are for, with the addresses of Warder, of its pages for end users and of
// the application; open is the choice to stay open without Warder.
var realProxies = []struct {
	name string
	run  func(t *testing.T, warder, pages, application, port string, open bool)
}{
	{"nginx", func(t *testing.T, warder, pages, application, port string, open bool) {
		bin, dir := program(t, "nginx"), t.TempDir()
		conf := snippet(t, "nginx.md", "nginx")
		if open {
			within, beside, ok := strings.Cut(snippets(t, "nginx.md", "nginx")[1], "# beside it\n")
			if !ok {
				t.Fatal("nginx.md does not say what stands beside the location")
			}
			conf = substitute(t, conf, "error_page 403 = @warder_denied;", "error_page 403 = @warder_denied;\n"+within,
				"location = /.warder-auth {", beside+"\nlocation = /.warder-auth {")
		}
		conf = substitute(t, conf, "127.0.0.1:8420", warder, "127.0.0.1:8421", pages, "127.0.0.1:3000", application, "listen 80;", "listen 127.0.0.1:"+port+";")
		path := filepath.Join(dir, "nginx.conf")
		putFile(t, path, nginxAround(dir, conf))
		launch(t, port, bin, "-p", dir, "-c", path, "-e", "stderr")
	}},
	{"caddy", func(t *testing.T, warder, pages, application, port string, open bool) {
		bin, dir := program(t, "caddy"), t.TempDir()
		conf := snippet(t, "caddy.md", "caddy")
		if open {
			conf = strings.TrimSuffix(strings.TrimSpace(conf), "}") + snippets(t, "caddy.md", "caddy")[1] + "}\n"
		}
		conf = substitute(t, conf,
			"127.0.0.1:8420", warder, "127.0.0.1:8421", pages, "127.0.0.1:3000", application, "www.example.org {", "http://www.example.org:"+port+" {\n\tbind 127.0.0.1")
		path := filepath.Join(dir, "Caddyfile")
		putFile(t, path, "{\n\tadmin off\n}\n"+conf)
		launch(t, port, bin, "run", "--config", path, "--adapter", "caddyfile")
	}},
	{"haproxy", func(t *testing.T, warder, pages, application, port string, open bool) {
		bin, dir := program(t, "haproxy"), t.TempDir()
		script, path := filepath.Join(dir, "warder.lua"), filepath.Join(dir, "haproxy.cfg")
		lua := substitute(t, snippet(t, "haproxy.md", "lua"), "127.0.0.1:8420", warder)
		if open {
			lua = substitute(t, lua, "local open = false", "local open = true")
		}
		putFile(t, script, lua)
		putFile(t, path, substitute(t, snippet(t, "haproxy.md", "haproxy"),
			"/etc/haproxy/warder.lua", script, "bind :80", "bind 127.0.0.1:"+port, "127.0.0.1:8421", pages, "127.0.0.1:3000", application))
		launch(t, port, bin, "-db", "-f", path)
	}},
}

// recorder is an application that says welcome and notes who was there.
type recorder struct {
	addr    string
	reached atomic.Int64
	seen    atomic.Pointer[http.Header] // of the latest request
}

// behindProxy runs an instance that trusts a proxy of this machine, and an
// application.
func behindProxy(t *testing.T) (*server, *recorder) {
	t.Helper()
	a := &recorder{}
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.reached.Add(1)
		h := r.Header.Clone()
		a.seen.Store(&h)
		_, _ = w.Write([]byte("welcome"))
	}))
	t.Cleanup(application.Close)
	a.addr = strings.TrimPrefix(application.URL, "http://")
	return start(t, filepath.Join(t.TempDir(), "data"), func(c *config.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.ProtectLoopback = false
		c.Listen = "127.0.0.1:" + freePort(t) // for hang
	}), a
}

// browsers is what they accept when they open a page.
const browsers = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// TestRealProxies: clients come from two addresses of loopback; one of them is
// blocked, and nothing it sends reaches the application.
func TestRealProxies(t *testing.T) {
	for _, tt := range realProxies {
		t.Run(tt.name, func(t *testing.T) {
			w, application := behindProxy(t)
			port := freePort(t)
			tt.run(t, w.app.Addr(), "127.0.0.1:1", application.addr, port, false)

			const good, bad = "127.0.0.9", "127.0.0.66"
			spoofed := []string{
				"X-Forwarded-For", good, "X-Real-IP", good, "Forwarded", "for=" + good, "X-Original-URL", "http://www.example.org/public",
				"X-Original-Method", "GET", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/public", "X-Warder-Action", "allow",
				"X_Forwarded_For", good, "Authorization", "Basic YTpi", "User-Agent", "GoogleHC/1.0",
			}
			if status, body, _ := ask(t, port, good, "GET", "/admin", spoofed...); status != http.StatusOK || body != "welcome" {
				t.Fatalf("a good client: %d %s", status, body)
			}
			if h := *application.seen.Load(); h.Get("X-Forwarded-For") != good || len(h["Forwarded"]) > 0 && tt.name != "caddy" {
				t.Errorf("the application is told X-Forwarded-For %q, Forwarded %q", h["X-Forwarded-For"], h["Forwarded"])
			}
			blocks, err := w.app.guard.ImportBlocks(t.Context(), guard.Actor{Name: "test"}, []guard.NewBlock{{IP: netip.MustParsePrefix(bad + "/32"), Reason: "test"}})
			if err != nil || blocks[0] != nil {
				t.Fatal(err, blocks)
			}
			before := application.reached.Load()
			status, body, h := ask(t, port, bad, "GET", "/", append(spoofed, "Accept", browsers, "Accept-Language", "de,en-US;q=0.7,en;q=0.3")...)
			if status != http.StatusForbidden || !strings.Contains(body, "Kennung") || !strings.Contains(h.Get("Content-Type"), "text/html") ||
				!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("the page of a refusal: %d %v %s", status, h, body)
			}
			status, body, _ = ask(t, port, bad, "GET", "/")
			if status != http.StatusForbidden || !strings.Contains(body, `"reference":"`) {
				t.Errorf("the problem document of a refusal: %d %s", status, body)
			}
			targets := confusing()
			if len(targets) < 40 {
				t.Fatalf("only %d targets", len(targets))
			}
			for _, target := range targets {
				for _, method := range []string{"GET", "POST", "HEAD"} {
					if status, _, _ := ask(t, port, bad, method, target, spoofed...); status < 400 {
						t.Errorf("%s %s: %d", method, target, status)
					}
				}
			}
			if n := application.reached.Load() - before; n != 0 {
				t.Errorf("%d requests of the blocked client reached the application", n)
			}
			if status, _, _ := ask(t, port, good, "GET", "/x%2Fy;z?q=1"); status != http.StatusOK {
				t.Errorf("an unusual path of a good client: %d", status)
			}
			if tt.name == "haproxy" { // which speaks HTTP/2 to whoever begins with it
				for from, want := range map[string]int{good: http.StatusOK, bad: http.StatusForbidden} {
					if status := askHTTP2(t, port, from, "/x?q=1"); status != want {
						t.Errorf("%s over HTTP/2: %d", from, status)
					}
				}
			}
			where := w.app.Addr()
			w.stop()
			before = application.reached.Load()
			for _, target := range targets[:3] { // HAProxy tries for seconds
				if status, _, _ := ask(t, port, good, "GET", target, spoofed...); status < 400 || target == "/admin" && status < 500 {
					t.Errorf("%s without Warder: %d", target, status)
				}
			}
			hang(t, where)
			if status, _, _ := ask(t, port, good, "GET", "/"); status < 500 {
				t.Errorf("while Warder says nothing: %d", status)
			}
			if application.reached.Load() != before {
				t.Error("without Warder the application is open")
			}
		})
	}
}

// askHTTP2 asks for a target by HTTP/2 without TLS.
func askHTTP2(t *testing.T, port, from, target string) (status int) {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: d.DialContext}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "www.example.org"
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// hang listens in the place of a Warder that ended, and says nothing.
func hang(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var held []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range held {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			held = append(held, c)
			mu.Unlock()
		}
	}()
}

// TestRealProxiesOpen: where the operator chose so, the same proxies stay open
// while Warder is stopped or silent, and closed to who is blocked while it runs.
func TestRealProxiesOpen(t *testing.T) {
	for _, tt := range realProxies {
		t.Run(tt.name, func(t *testing.T) {
			w, application := behindProxy(t)
			port := freePort(t)
			tt.run(t, w.app.Addr(), "127.0.0.1:1", application.addr, port, true)
			const good, bad = "127.0.0.9", "127.0.0.66"
			blocks, err := w.app.guard.ImportBlocks(t.Context(), guard.Actor{Name: "test"}, []guard.NewBlock{{IP: netip.MustParsePrefix(bad + "/32"), Reason: "test"}})
			if err != nil || blocks[0] != nil {
				t.Fatal(err, blocks)
			}
			if status, _, _ := ask(t, port, bad, "GET", "/"); status != http.StatusForbidden {
				t.Errorf("who is blocked: %d", status)
			}
			where := w.app.Addr()
			w.stop()
			for _, state := range []string{"stopped", "silent"} {
				if state == "silent" {
					hang(t, where)
				}
				status, body, _ := ask(t, port, good, "GET", "/", "X-Forwarded-For", "192.0.2.1", "X-Real-IP", "192.0.2.1")
				if status != http.StatusOK || body != "welcome" {
					t.Errorf("%s: %d %s", state, status, body)
					continue
				}
				if h := *application.seen.Load(); h.Get("X-Forwarded-For") != good {
					t.Errorf("%s: the application is told X-Forwarded-For %q", state, h["X-Forwarded-For"])
				}
			}
		})
	}
}

func putFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readResponse(r io.Reader, method string) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(r), &http.Request{Method: method})
}

// lockedText is what a program says, also while it is being read.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
