package app

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// platform is an application that knows nothing of Warder: forms, cookies, an
// administration, a WebSocket, a stream and files.
type platform struct {
	*httptest.Server
	mux      *http.ServeMux
	checked  atomic.Int64 // passwords that were checked
	paths    atomic.Int64 // requests to protected handlers
	header   atomic.Pointer[http.Header]
	down     atomic.Bool
	mu       sync.Mutex
	sessions map[string]string
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	p := &platform{sessions: map[string]string{}, mux: http.NewServeMux()}
	signIn := func(prefix, home string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				fmt.Fprint(w, `<form method="post"><input name="username"><input name="password"></form>`)
				return
			}
			p.checked.Add(1)
			if r.FormValue("password") != "right" {
				fmt.Fprint(w, "Wrong user name or password.")
				return
			}
			b := make([]byte, 8)
			_, _ = rand.Read(b)
			id := prefix + hex.EncodeToString(b)
			p.mu.Lock()
			p.sessions[id] = r.FormValue("username")
			p.mu.Unlock()
			http.SetCookie(w, &http.Cookie{Name: "sms_session", Value: id, Path: "/", HttpOnly: true})
			http.Redirect(w, r, home, http.StatusSeeOther)
		}
	}
	who := func(r *http.Request) string {
		c, err := r.Cookie("sms_session")
		if err != nil {
			return ""
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.sessions[c.Value]
	}
	p.mux.HandleFunc("/login", signIn("u", "/home"))
	p.mux.HandleFunc("/admin/login", signIn("a", "/admin/home"))
	p.mux.HandleFunc("/admin/", func(w http.ResponseWriter, r *http.Request) {
		p.paths.Add(1)
		if who(r) != "root" {
			http.Redirect(w, r, "/admin/login", http.StatusFound)
			return
		}
		fmt.Fprint(w, "administration")
	})
	p.mux.HandleFunc("/home", func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		p.header.Store(&h)
		if who(r) == "" {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		fmt.Fprintf(w, "hello %s", who(r))
	})
	p.mux.HandleFunc("/forgot", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "A mail is on its way.") })
	p.mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusSeeOther) })
	p.mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	p.mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(conn, rw)
	})
	p.mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	p.mux.HandleFunc("/download", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zeros{}, big1) })
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		p.mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Server.Close)
	return p
}

const big1 = 256 << 20

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// guarded is an instance with one site before a platform. Clients say who they
// are by X-Forwarded-For, since their front proxy is trusted.
type guarded struct {
	*server
	*platform
	base  string
	h2    bool
	roots *x509.CertPool
}

func behindGate(t *testing.T, change func(*config.Config, *config.Site)) *guarded {
	t.Helper()
	p := newPlatform(t)
	g := &guarded{platform: p}
	scheme := "http"
	g.server = start(t, filepath.Join(t.TempDir(), "data"), func(c *config.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		s := config.Site{
			Name: "www", Listen: "127.0.0.1:0", Upstream: p.URL, Profile: "sms-platform", Timeout: time.Minute,
			Brand: "Example SMS", Contact: "help@example.org",
		}
		if change != nil {
			change(c, &s)
		}
		if s.TLS.Cert != "" {
			scheme = "https"
		}
		c.Sites = append(c.Sites, s)
	})
	g.base = scheme + "://" + g.app.SiteAddr("www")
	return g
}

// client makes a client with a connection and cookies of its own.
func (g *guarded) client() *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: g.h2, DisableCompression: true}
	return &http.Client{
		Transport: tr, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (g *guarded) request(method, path, from string, form url.Values, header ...string) *http.Request {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, g.base+path, body)
	if err != nil {
		panic(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if from != "" {
		r.Header.Set("X-Forwarded-For", from)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// reply is a response that was read.
type reply struct {
	status int
	body   string
	header http.Header
}

func (r reply) cookie(name string) string {
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func do(t testing.TB, c *http.Client, r *http.Request) reply {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return reply{res.StatusCode, string(b), res.Header}
}

func wrong(account string, i int) url.Values {
	return url.Values{"username": {account}, "password": {fmt.Sprintf("guess %d", i)}}
}

func right(account string) url.Values {
	return url.Values{"username": {account}, "password": {"right"}}
}

// blocks are the live Blocks.
func (g *guarded) blocks(t testing.TB) []string {
	t.Helper()
	page, err := g.app.db.ListBlocks(t.Context(), store.BlockFilter{Now: time.Now(), State: guard.StateActive}, store.Page{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range page.Items {
		out = append(out, b.Subject.IP.String())
	}
	return out
}

// events counts the events of a name.
func (g *guarded) events(t testing.TB, name string) int {
	t.Helper()
	page, err := g.app.db.ListEvents(t.Context(), store.EventFilter{Names: []string{name}}, store.Page{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Items)
}

// overTLS gives the site a certificate, so that clients speak HTTP/2.
func overTLS(t *testing.T, g **x509.CertPool) func(*config.Config, *config.Site) {
	t.Helper()
	dir := t.TempDir()
	*g = putCertificate(t, dir, 1)
	return func(_ *config.Config, s *config.Site) {
		s.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	}
}

// putCertificate writes a certificate for loopback and its key.
func putCertificate(t *testing.T, dir string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "www"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	putFile(t, filepath.Join(dir, "cert.pem"), cert)
	putFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	return roots
}

// both runs a test over HTTP/1.1 and over HTTP/2.
func both(t *testing.T, test func(t *testing.T, g *guarded)) {
	t.Helper()
	t.Run("http1", func(t *testing.T) { test(t, behindGate(t, nil)) })
	t.Run("http2", func(t *testing.T) {
		var roots *x509.CertPool
		g := behindGate(t, overTLS(t, &roots))
		g.roots, g.h2 = roots, true
		test(t, g)
	})
}

// TestGateParallelGuesses: of 300 different wrong passwords at once, exactly
// five are checked, round after round, and one Block comes of each.
func TestGateParallelGuesses(t *testing.T) {
	both(t, func(t *testing.T, g *guarded) {
		c := g.client()
		rounds := 5
		if os.Getenv("WARDER_SOAK") != "" {
			rounds = 20
		}
		for round := range rounds {
			before := g.checked.Load()
			from := fmt.Sprintf("203.0.113.%d", round+1)
			var wg sync.WaitGroup
			var denied, others atomic.Int64
			for i := range 300 {
				wg.Go(func() {
					res, err := c.Do(g.request("POST", "/login", from, wrong("alice", i)))
					if err != nil {
						t.Error(err)
						return
					}
					defer res.Body.Close()
					if g.h2 && res.ProtoMajor != 2 {
						t.Errorf("%s", res.Proto)
					}
					switch res.StatusCode {
					case http.StatusForbidden:
						denied.Add(1)
					case http.StatusOK:
						others.Add(1)
					default:
						t.Errorf("status %d", res.StatusCode)
					}
				})
			}
			wg.Wait()
			if n := g.checked.Load() - before; n != 5 {
				t.Errorf("round %d: %d passwords were checked", round, n)
			}
			if denied.Load() != 296 || others.Load() != 4 {
				t.Errorf("round %d: %d refused, %d told that the password was wrong", round, denied.Load(), others.Load())
			}
		}
		if list := g.blocks(t); len(list) != rounds {
			t.Errorf("blocks: %v", list)
		}
	})
}

// TestGateHangUps: whoever hangs up before the answer gains no guess.
func TestGateHangUps(t *testing.T) {
	both(t, func(t *testing.T, g *guarded) {
		const from = "203.0.113.7"
		c := g.client()
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%20)*time.Millisecond)
				defer cancel()
				res, err := c.Do(g.request("POST", "/login", from, wrong("alice", i)).WithContext(ctx))
				if err == nil {
					res.Body.Close()
				}
			})
		}
		wg.Wait()
		// Whatever was left over is guessed to the end.
		for i := 0; len(g.blocks(t)) == 0 && i < 10; i++ {
			do(t, c, g.request("POST", "/login", from, wrong("alice", 1000+i)))
		}
		if n := g.checked.Load(); n != 5 {
			t.Errorf("%d passwords were checked", n)
		}
		if r := do(t, c, g.request("GET", "/login", from, nil)); r.status != http.StatusForbidden {
			t.Errorf("afterwards: %d", r.status)
		}
	})
}

// TestGateManySignIns: 40 people with the right password at once all get in.
func TestGateManySignIns(t *testing.T) {
	both(t, func(t *testing.T, g *guarded) {
		c := g.client()
		var wg sync.WaitGroup
		var mu sync.Mutex
		sessions := map[string]bool{}
		for i := range 40 {
			wg.Go(func() {
				r := do(t, c, g.request("POST", "/login", "203.0.113.9", right(fmt.Sprintf("person%d", i))))
				mu.Lock()
				defer mu.Unlock()
				if id := r.cookie("sms_session"); r.status == http.StatusSeeOther && id != "" {
					sessions[id] = true
				} else {
					t.Errorf("person %d: %d %v", i, r.status, r.header)
				}
			})
		}
		wg.Wait()
		if len(sessions) != 40 {
			t.Errorf("%d sessions", len(sessions))
		}
	})
}

// TestGateOutage: a platform that is out of order gets nobody blocked.
func TestGateOutage(t *testing.T) {
	g := behindGate(t, nil)
	g.down.Store(true)
	c := g.client()
	try := func(broken func(status int) bool) {
		var wg sync.WaitGroup
		gate := make(chan struct{}, 32)
		for i := range 200 {
			wg.Go(func() {
				gate <- struct{}{}
				defer func() { <-gate }()
				for try := range 10 {
					r := do(t, c, g.request("POST", "/login", fmt.Sprintf("203.0.113.%d", i%50), wrong(fmt.Sprintf("person%d", i), try)))
					if !broken(r.status) {
						t.Errorf("status %d", r.status)
					}
				}
			})
		}
		wg.Wait()
	}
	try(func(status int) bool { return status == http.StatusServiceUnavailable })
	g.platform.Server.Close()
	try(func(status int) bool { return status == http.StatusBadGateway })
	if list := g.blocks(t); len(list) > 0 {
		t.Errorf("blocked: %v", list)
	}
	if s := g.app.sites[0].Stats(); s.Errors == 0 || s.Failure > 0 || s.Success > 0 {
		t.Errorf("%+v", s)
	}
}

// TestGateRefusesEverywhere: five wrong passwords at the administration lead to
// the page, on every path, for pages, files and WebSockets; another address
// goes on.
func TestGateRefusesEverywhere(t *testing.T) {
	g := behindGate(t, nil)
	c := g.client()
	const from, other = "203.0.113.66", "198.51.100.4"
	victim := do(t, c, g.request("POST", "/login", from, right("victim"))).cookie("sms_session")
	cookie := "sms_session=" + victim
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", cookie)); r.body != "hello victim" {
		t.Fatalf("signed in: %d %s", r.status, r.body)
	}
	socket, rw := g.socket(t, from, cookie)
	if _, err := socket.Write([]byte("ping\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := rw.ReadString('\n'); line != "ping\n" {
		t.Fatalf("echo %q %v", line, err)
	}
	stream, err := c.Do(g.request("GET", "/stream", from, nil, "Cookie", cookie))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	events := bufio.NewReader(stream.Body)
	if line, err := events.ReadString('\n'); line != "data: hello\n" {
		t.Fatalf("stream %q %v", line, err)
	}

	var last reply
	for i := range 5 {
		last = do(t, c, g.request("POST", "/admin/login", from, wrong("root", i), "Accept", "text/html"))
	}
	if last.status != http.StatusForbidden || !strings.Contains(last.body, "Access denied") || !strings.Contains(last.body, "Example SMS") ||
		!strings.Contains(last.body, "help@example.org") || !strings.Contains(last.body, `class="reference"`) {
		t.Errorf("the fifth: %d %s", last.status, last.body)
	}
	if n := g.checked.Load(); n != 6 {
		t.Errorf("%d passwords were checked", n)
	}
	// What was open ends by itself.
	_ = socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := rw.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the WebSocket is still open: %v", err)
	}
	if _, err := io.ReadAll(events); err == nil {
		t.Error("the stream ended as if it were complete")
	}
	before := g.paths.Load()
	for i := range 30 {
		path := []string{"/", "/home", "/admin/users", "/app.js", "/style.css", "/socket", "/stream", "/login", "/.warder/denied", "//x"}[i%10]
		r := do(t, c, g.request([]string{"GET", "POST", "HEAD"}[i/10], path, from, nil, "Cookie", cookie))
		if r.status != http.StatusForbidden {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if g.paths.Load() != before {
		t.Error("something reached the application")
	}
	if r := do(t, c, g.request("GET", "/login", other, nil)); r.status != http.StatusOK {
		t.Errorf("another address: %d", r.status)
	}
	// Also from elsewhere the victim's session is over, and its cookie goes.
	r := do(t, c, g.request("GET", "/home", other, nil, "Cookie", cookie))
	if r.status != http.StatusFound || !strings.Contains(strings.Join(r.header["Set-Cookie"], "|"), "sms_session=; Path=/; Max-Age=0") {
		t.Errorf("the victim elsewhere: %d %v", r.status, r.header)
	}
	if r := do(t, c, g.request("POST", "/login", other, right("victim"), "Cookie", cookie)); r.status != http.StatusSeeOther {
		t.Errorf("the victim signs in again: %d", r.status)
	}
}

// socket opens a WebSocket, as far as the gate sees it.
func (g *guarded) socket(t *testing.T, from, cookie string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: www\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: %s\r\nCookie: %s\r\n\r\n", from, cookie)
	rw := bufio.NewReader(conn)
	res, err := http.ReadResponse(rw, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(err, res)
	}
	return conn, rw
}

// TestGateRevokedSession: a session that an operator ends is over at the next
// request and at once where it holds a connection open; its owner's other
// session and address are left alone.
func TestGateRevokedSession(t *testing.T) {
	g := behindGate(t, nil)
	c := g.client()
	const from = "203.0.113.5"
	one := "sms_session=" + do(t, c, g.request("POST", "/login", from, right("alice"))).cookie("sms_session")
	two := "sms_session=" + do(t, c, g.request("POST", "/login", from, right("bob"))).cookie("sms_session")
	socket, rw := g.socket(t, from, one)
	if _, err := g.app.guard.RevokeSessions(t.Context(), guard.Actor{Name: "test"}, guard.RevokeRequest{Account: "alice", Realm: "user", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	_ = socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := rw.ReadByte(); err == nil {
		t.Error("the WebSocket is still open")
	}
	for name, cookie := range map[string]string{"alone": one, "after a decoy": "sms_session=x; " + one, "before a decoy": one + "; sms_session=x"} {
		if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", cookie)); r.status != http.StatusFound || len(r.header["Set-Cookie"]) == 0 {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
	}
	many := one
	for i := range 10 {
		many = fmt.Sprintf("sms_session=decoy%d; ", i) + many
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", many)); r.body == "hello alice" {
		t.Error("a revoked session hides behind many others")
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", two)); r.body != "hello bob" {
		t.Errorf("bob: %d %s", r.status, r.body)
	}
}

// TestGateConfusion: a signed-out client tries 40 spellings of the
// administration and of the sign-in: the protected handlers never run, and no
// password is checked that is not counted.
func TestGateConfusion(t *testing.T) {
	g := behindGate(t, nil)
	// An application that understands every spelling as badly as it can.
	var admin, guesses atomic.Int64
	loose := http.NewServeMux()
	g.mux = loose
	loose.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.Path
		for range 3 {
			if q, err := url.PathUnescape(p); err == nil {
				p = q
			}
		}
		p = strings.ToLower(strings.ReplaceAll(p, "\\", "/"))
		var kept []string
		for seg := range strings.SplitSeq(p, "/") {
			seg, _, _ = strings.Cut(seg, ";")
			seg, _, _ = strings.Cut(seg, "?")
			seg, _, _ = strings.Cut(seg, "#")
			switch seg = strings.Trim(seg, " \x00\t."); seg {
			case "":
				if n := len(kept); n > 0 && strings.Contains(p, "..") {
					kept = kept[:n-1]
				}
			default:
				kept = append(kept, seg)
			}
		}
		p = "/" + strings.Join(kept, "/")
		switch {
		case (p == "/login" || strings.HasPrefix(p, "/login.")) && r.Method == http.MethodPost:
			guesses.Add(1)
			http.Error(w, "wrong", http.StatusUnauthorized)
		case p == "/admin" || strings.HasPrefix(p, "/admin/"):
			admin.Add(1)
			http.Error(w, "not for you", http.StatusForbidden)
		}
	})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.base, "http://"))
	n := 0
	for _, target := range confusing() {
		n++
		from := fmt.Sprintf("203.0.113.%d", n)
		before := admin.Load()
		status, body, _ := ask(t, port, "127.0.0.1", "GET", target, "X-Forwarded-For", from)
		if admin.Load() != before && g.events(t, "UNAUTHORIZED_ACCESS") != int(admin.Load()) {
			t.Errorf("%s reached the administration unseen: %d %s", target, status, body)
		}
		target = strings.NewReplacer("admin", "login", "ADMIN", "LOGIN", "Admin", "Login", "adm%69n", "log%69n", "%61dmin", "%6cogin",
			"%61%64min", "%6c%6fgin", "%2561dmin", "%256cogin").Replace(target)
		beforeGuess := guesses.Load()
		ask(t, port, "127.0.0.1", "POST", target, "X-Forwarded-For", from, "Content-Length", "0")
		if guesses.Load() != beforeGuess && g.events(t, "USER_LOGIN_FAILURE") != int(guesses.Load()) {
			t.Errorf("POST %s was a guess that nobody counted", target)
		}
	}
	if n < 40 {
		t.Errorf("only %d spellings", n)
	}
	if guesses.Load() == 0 || admin.Load() == 0 {
		t.Error("the plain spellings did not reach the application")
	}
}

// TestGateHeaders: the application believes nobody but the gate.
func TestGateHeaders(t *testing.T) {
	g := behindGate(t, nil)
	c := g.client()
	const from = "203.0.113.5"
	in := do(t, c, g.request("POST", "/login", from, right("alice")))
	device := in.cookie("warder_device")
	var attributes string
	for _, line := range in.header["Set-Cookie"] {
		if strings.HasPrefix(line, "warder_device=") {
			attributes = line
		}
	}
	if device == "" || !strings.Contains(attributes, "HttpOnly") || !strings.Contains(attributes, "SameSite=Lax") {
		t.Fatalf("device cookie %q", attributes)
	}
	forged := []string{
		"X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Forwarded", "X-Forwarded-User",
		"X-Forwarded-Prefix", "X-Forwarded-Port", "X-Original-Url", "X-Rewrite-Url", "X-Original-Method", "X-Http-Method-Override",
		"X-Warder-Action", "Remote-User", "X-Remote-User", "X-Webauth-User", "X-Auth-Request-User", "X_forwarded_for", "X_real_ip",
		"Remote_user", "X_warder_action", "X-Forwarded-Uri", "X-Forwarded-Server", "Proxy",
		"X-Forwarded", "Forwarded-For", "X-Webauth-Fullname", "X-Ms-Client-Principal-Id", "X-Goog-Authenticated-User-Id",
	}
	r := g.request("GET", "/home", from, nil, "Cookie", "a=b; sms_session="+in.cookie("sms_session")+"; warder_device="+device+"; c=\"d\"")
	for _, name := range forged {
		r.Header[name] = []string{"10.9.9.9"}
	}
	if got := do(t, c, r); got.body != "hello alice" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	h := *g.header.Load()
	for name, values := range h {
		if slices.Contains(values, "10.9.9.9") {
			t.Errorf("the application is told %s: %q", name, values)
		}
	}
	if h.Get("X-Forwarded-For") != from || h.Get("X-Real-Ip") != from || h.Get("X-Forwarded-Proto") != "http" {
		t.Errorf("%v", h)
	}
	if got := h.Get("Cookie"); strings.Contains(got, "warder_device") || !strings.HasPrefix(got, "a=b; sms_session=") || !strings.HasSuffix(got, `; c="d"`) {
		t.Errorf("cookies %q", got)
	}
}

// TestGateSignIns: what counts and what does not.
func TestGateSignIns(t *testing.T) {
	g := behindGate(t, nil)
	c := g.client()
	post := func(from string, body string, header ...string) reply {
		r := g.request("POST", "/login", from, nil, header...)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		if r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return do(t, c, r)
	}
	uncounted := []struct {
		name   string
		body   string
		header []string
		status int
	}{
		{"from another site", "username=a&password=x", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"from another origin", "username=a&password=x", []string{"Origin", "https://evil.example"}, 403},
		{"from nowhere", "username=a&password=x", []string{"Origin", "null"}, 403},
		{"two names", "username=a&username=b&password=x", nil, 400},
		{"two passwords", "username=a&password=x&password=y", nil, 400},
		{"broken JSON", `{"username":`, []string{"Content-Type", "application/json"}, 400},
		{"name twice in JSON", `{"username":"a","username":"b","password":"x"}`, []string{"Content-Type", "application/json"}, 400},
		{"compressed", "x", []string{"Content-Encoding", "gzip"}, 415},
		{"huge", strings.Repeat("a", 1<<20+1), nil, 413},
	}
	before := g.checked.Load()
	for _, tt := range uncounted {
		for range 6 {
			if r := post("203.0.113.20", tt.body, tt.header...); r.status != tt.status {
				t.Errorf("%s: %d %s", tt.name, r.status, r.body)
			}
		}
	}
	if g.checked.Load() != before || len(g.blocks(t)) > 0 {
		t.Errorf("%d reached the application, blocked %v", g.checked.Load()-before, g.blocks(t))
	}
	// The same mistake again and again is one.
	for range 8 {
		if r := post("203.0.113.21", "username=alice&password=mistake"); r.status != http.StatusOK {
			t.Fatalf("the same mistake: %d", r.status)
		}
	}
	// Whatever form the guesses have, five is all there are.
	guesses := []func(i int) reply{
		func(i int) reply { return post("203.0.113.22", fmt.Sprintf("username=u%d&password=p%d", i, i)) },
		func(i int) reply {
			return post("203.0.113.23", fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nu%d\r\n--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\np%d\r\n--b--\r\n", i, i),
				"Content-Type", "multipart/form-data; boundary=b")
		},
		func(i int) reply {
			return post("203.0.113.24", fmt.Sprintf(`{"username":"u","password":"p%d"}`, i), "Content-Type", "application/json")
		},
		func(i int) reply {
			return post("203.0.113.25", fmt.Sprint("opaque ", i), "Content-Type", "application/x-unknown")
		},
		func(int) reply { return post("203.0.113.26", "") },
	}
	for n, guess := range guesses {
		before := g.checked.Load()
		for i := range 8 {
			guess(i)
		}
		if got := g.checked.Load() - before; got != 5 {
			t.Errorf("form %d: %d guesses reached the application", n, got)
		}
	}
	page, err := g.app.db.ListEvents(t.Context(), store.EventFilter{Names: []string{"USER_LOGIN_FAILURE"}, IP: netip.MustParsePrefix("203.0.113.23/32")}, store.Page{Limit: 10})
	if err != nil || len(page.Items) != 5 || !strings.HasPrefix(page.Items[0].Account, "u") || page.Items[0].Reason != "wrong_password" {
		t.Errorf("%+v %v", page.Items, err)
	}
}

// TestGateRecoveryAndAdminArea: requests for password resets are counted before
// they reach the application; pages for administrators that refuse somebody
// are told, but eight tabs of an administrator whose session has run out are
// no attack.
func TestGateRecoveryAndAdminArea(t *testing.T) {
	g := behindGate(t, nil)
	c := g.client()
	for i := range 6 {
		r := do(t, c, g.request("POST", "/forgot", "203.0.113.30", url.Values{"username": {fmt.Sprintf("person%d", i)}}))
		if want := i < 4; (r.status == http.StatusOK) != want {
			t.Errorf("reset %d: %d", i, r.status)
		}
	}
	for i := range 11 {
		r := do(t, c, g.request("GET", fmt.Sprintf("/admin/page%d", i), "203.0.113.31", nil))
		if (r.status == http.StatusForbidden) != (i >= 9) {
			t.Errorf("page %d: %d", i, r.status)
		}
	}
	in := do(t, c, g.request("POST", "/admin/login", "203.0.113.32", right("root")))
	cookie := "sms_session=" + in.cookie("sms_session")
	if r := do(t, c, g.request("GET", "/admin/users", "203.0.113.32", nil, "Cookie", cookie)); r.body != "administration" {
		t.Fatalf("the administrator: %d %s", r.status, r.body)
	}
	g.mu.Lock()
	clear(g.sessions)
	g.mu.Unlock()
	for i := range 20 {
		if r := do(t, c, g.request("GET", fmt.Sprintf("/admin/tab%d", i), "203.0.113.32", nil, "Cookie", cookie)); r.status != http.StatusFound {
			t.Errorf("tab %d: %d", i, r.status)
		}
	}
	for i := range 20 {
		if r := do(t, c, g.request("GET", fmt.Sprintf("/admin/link%d", i), "203.0.113.33", nil, "Sec-Fetch-Site", "cross-site")); r.status != http.StatusFound {
			t.Errorf("link %d: %d", i, r.status)
		}
	}
	do(t, c, g.request("POST", "/logout", "203.0.113.32", url.Values{}, "Cookie", cookie))
	if g.events(t, "LOGOUT") != 1 {
		t.Errorf("%d LOGOUT", g.events(t, "LOGOUT"))
	}
}

// TestGateUnknownClient: a client that the proxy in front does not name may
// look at pages, but not sign in.
func TestGateUnknownClient(t *testing.T) {
	g := behindGate(t, nil)
	c := g.client()
	if r := do(t, c, g.request("GET", "/home", "unknown", nil)); r.status != http.StatusFound {
		t.Errorf("a page: %d", r.status)
	}
	for range 10 {
		if r := do(t, c, g.request("POST", "/login", "unknown", right("alice"))); r.status != http.StatusForbidden {
			t.Errorf("a sign-in: %d", r.status)
		}
	}
	if g.checked.Load() != 0 {
		t.Error("a password was checked")
	}
}

// TestGateBasicWhereNobodyAsks: only where an application asks for credentials
// does its answer prove any.
func TestGateBasicWhereNobodyAsks(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "basic-auth" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello all") })
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, pass, _ := r.BasicAuth(); pass != "right" {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "hello")
	})
	c := g.client()
	get := func(path, from, pass string) int {
		r := g.request("GET", path, from, nil)
		if pass != "" {
			r.SetBasicAuth("alice", pass)
		}
		return do(t, c, r).status
	}
	get("/open", "203.0.113.40", "")
	// A page that is open to all confirms no guess, and takes none back.
	for i := range 4 {
		if got := get("/closed", "203.0.113.41", fmt.Sprint("guess ", i)); got != http.StatusUnauthorized {
			t.Errorf("guess %d: %d", i, got)
		}
		if got := get("/open", "203.0.113.41", fmt.Sprint("guess ", i+100)); got != http.StatusOK {
			t.Errorf("the open page: %d", got)
		}
	}
	if n := g.events(t, "USER_LOGIN_SUCCESS"); n != 0 {
		t.Errorf("%d successes", n)
	}
	if got := get("/closed", "203.0.113.41", "guess 5"); got != http.StatusForbidden {
		t.Errorf("the fifth guess: %d", got)
	}
	if got := get("/closed", "203.0.113.40", "right"); got != http.StatusOK || g.events(t, "USER_LOGIN_SUCCESS") != 1 {
		t.Errorf("the right password: %d %v", got, g.outcomes())
	}
}

// TestGateLocations: what the operator says of where sign-ins lead to goes
// before what the profile takes for success.
func TestGateLocations(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) {
		s.Profile, s.Succeeded = "generic-form", []string{"/home*"}
	})
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") == "right" {
			http.Redirect(w, r, "/home?x=1", http.StatusFound)
			return
		}
		http.Redirect(w, r, "/", http.StatusFound) // where it says what was wrong
	})
	c := g.client()
	for i := range 5 {
		if got := do(t, c, g.request("POST", "/login", "203.0.113.42", wrong("alice", i))).status; (got == http.StatusForbidden) != (i == 4) {
			t.Errorf("guess %d: %d", i, got)
		}
	}
	if got := do(t, c, g.request("POST", "/login", "203.0.113.43", right("alice"))).status; got != http.StatusFound || g.events(t, "USER_LOGIN_SUCCESS") != 1 {
		t.Errorf("the right password: %d", got)
	}
}

// TestGateBasic: credentials that come with every request.
func TestGateBasic(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "basic-auth" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		user, pass, given := r.BasicAuth()
		if given {
			g.checked.Add(1)
		}
		if user != "alice" || pass != "right" {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "hello")
	})
	c := g.client()
	get := func(from, pass string) int {
		r := g.request("GET", "/x%20y", from, nil)
		if pass != "" {
			r.SetBasicAuth("alice", pass)
		}
		return do(t, c, r).status
	}
	for range 20 {
		if got := get("203.0.113.40", ""); got != http.StatusUnauthorized {
			t.Fatalf("without credentials: %d", got)
		}
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if got := get("203.0.113.40", "right"); got != http.StatusOK {
				t.Errorf("right: %d", got)
			}
		})
	}
	wg.Wait()
	if n := g.events(t, "USER_LOGIN_SUCCESS"); n > 40 {
		t.Errorf("%d successes", n)
	}
	before := g.checked.Load()
	for i := range 50 {
		get("203.0.113.41", fmt.Sprint("guess", i))
	}
	if n := g.checked.Load() - before; n != 5 {
		t.Errorf("%d guesses reached the application", n)
	}
}

// TestGateBodies: large bodies pass in both directions without being held in
// memory.
func TestGateBodies(t *testing.T) {
	both(t, func(t *testing.T, g *guarded) {
		c := g.client()
		var peak uint64
		stop := make(chan struct{})
		watched := make(chan struct{})
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		base := m.HeapAlloc
		go func() {
			defer close(watched)
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}()
		r := g.request("POST", "/upload", "203.0.113.50", nil)
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeros{}, big1)), -1
		if got := do(t, c, r); got.body != fmt.Sprint(big1, " <nil>") && got.body != fmt.Sprint(int64(big1), nil) && !strings.HasPrefix(got.body, fmt.Sprint(big1)) {
			t.Errorf("upload: %s", got.body)
		}
		res, err := c.Do(g.request("GET", "/download", "203.0.113.50", nil))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if n != big1 || err != nil {
			t.Errorf("download: %d %v", n, err)
		}
		close(stop)
		<-watched
		if grown := int64(peak) - int64(base); grown > 64<<20 {
			t.Errorf("memory grew by %d MiB", grown>>20)
		}
	})
}

// TestGateReferer: an application that answers a wrong password with a redirect
// to where the client says it comes from cannot be made to look as if the
// password was right.
func TestGateReferer(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		g.checked.Add(1)
		http.Redirect(w, r, r.Header.Get("Referer"), http.StatusFound)
	})
	c := g.client()
	for i := range 10 {
		do(t, c, g.request("POST", "/login", "203.0.113.60", wrong("alice", i), "Referer", g.base+"/home"))
	}
	if n := g.checked.Load(); n != 5 {
		t.Errorf("%d passwords were checked", n)
	}
}
