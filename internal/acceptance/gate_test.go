//go:build linux

package acceptance

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// platform is an application that knows nothing of Warder.
type platform struct {
	*httptest.Server
	mux       *http.ServeMux
	checked   atomic.Int64 // passwords
	byAddress sync.Map     // of a client, as the gate names it -> *atomic.Int64, requests
	// check, if set, is called while a password is being checked.
	check func(account string)
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	p := &platform{mux: http.NewServeMux()}
	p.mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		account, password := r.FormValue("username"), r.FormValue("password")
		p.checked.Add(1)
		if p.check != nil {
			p.check(account)
		}
		if password != "right" {
			_, _ = io.WriteString(w, "Wrong user name or password.")
			return
		}
		var id [8]byte
		_, _ = rand.Read(id[:])
		http.SetCookie(w, &http.Cookie{Name: "sms_session", Value: hex.EncodeToString(id[:]), Path: "/", HttpOnly: true})
		http.Redirect(w, r, "/home", http.StatusSeeOther)
	})
	p.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") })
	p.mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			_, _ = fmt.Fprint(w, n)
		}
	})
	p.mux.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		var n int64
		_, _ = fmt.Sscan(r.URL.RawQuery, &n)
		_, _ = io.CopyN(w, zeros{}, n)
	})
	p.mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		var n int
		_, _ = fmt.Sscan(r.URL.RawQuery, &n)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range n {
			_, _ = fmt.Fprintf(w, "id: %d\ndata: %0100d\n\n", i, i)
			_ = http.NewResponseController(w).Flush()
		}
	})
	p.mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p.mux.HandleFunc("/socket", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(conn, rw)
	})
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := p.byAddress.LoadOrStore(r.Header.Get("X-Real-Ip"), new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		p.mux.ServeHTTP(w, r)
	}))
	p.Config.ErrorLog = nil
	p.Start()
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// gated is a server with two sites before one platform: www, and secure by TLS.
// Clients are told apart by the address of loopback that they come from.
type gated struct {
	*server
	app   *platform
	roots *x509.CertPool
}

func newGated(t testing.TB) *gated {
	t.Helper()
	g := &gated{app: newPlatform(t)}
	dir := t.TempDir()
	g.roots = makeCertificate(t, dir)
	config := filepath.Join(dir, "warder.yaml")
	text := fmt.Sprintf("sites:\n  - {name: www, listen: '127.0.0.1:0', upstream: '%[1]s', profile: sms-platform}\n"+
		"  - {name: secure, listen: '127.0.0.1:0', upstream: '%[1]s', profile: sms-platform, tls: {cert: '%[2]s/cert.pem', key: '%[2]s/key.pem'}}\n", g.app.URL, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.server = newServer(t, "CONFIG="+config, "PROTECT_LOOPBACK=false")
	return g
}

// makeCertificate writes cert.pem and key.pem for loopback.
func makeCertificate(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"www.example.org"},
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
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}

var guardingLine = regexp.MustCompile(`msg=guarding .*?site=(\S+) address=(\S+)`)

// site is where a site listens.
func (g *gated) site(name string) (address string) {
	g.t.Helper()
	eventually(g.t, 30*time.Second, "the gate listens", func() bool {
		for _, m := range guardingLine.FindAllStringSubmatch(g.log.tail(1<<20), -1) {
			if m[1] == name {
				address = m[2]
			}
		}
		return address != ""
	})
	return address
}

// dial connects to a site from an address of loopback.
func (g *gated) dial(site, from string) (net.Conn, error) { return dialFrom(g.site(site), from) }

func dialFrom(address, from string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return d.Dial("tcp", address)
}

// visitor is a client of a site that comes from an address of loopback.
func (g *gated) visitor(site, from string) *visitor {
	g.t.Helper()
	address, scheme := g.site(site), "http"
	if site == "secure" {
		scheme = "https"
	}
	return &visitor{base: scheme + "://" + address, Client: &http.Client{
		Timeout: 5 * time.Minute,
		Transport: &http.Transport{
			DialContext:        func(context.Context, string, string) (net.Conn, error) { return dialFrom(address, from) },
			TLSClientConfig:    &tls.Config{RootCAs: g.roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:  true,
			DisableCompression: true,
			MaxIdleConns:       512, MaxIdleConnsPerHost: 512,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type visitor struct {
	*http.Client
	base string
}

// signIn posts a form and returns the status.
func (v *visitor) signIn(account, password string) (status int, body string, err error) {
	res, err := v.PostForm(v.base+"/login", url.Values{"username": {account}, "password": {password}})
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func (v *visitor) page(path string) (status int, body string, err error) {
	res, err := v.Get(v.base + path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// healthy keeps asking for pages and signing in, as people do, until the
// returned function is called, which fails the test if anything was wrong or
// slow.
func (g *gated) healthy(t testing.TB, site, from string) (done func()) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	var took []time.Duration
	var faults []string
	v := g.visitor(site, from)
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if i%8 == 0 {
				v.CloseIdleConnections() // so that they have to get in again
			}
			begun := time.Now()
			var status, want int
			var err error
			if i%16 == 5 {
				want = http.StatusSeeOther
				status, _, err = v.signIn(fmt.Sprintf("person-%d", i), "right")
			} else {
				want = http.StatusOK
				status, _, err = v.page("/home")
			}
			took = append(took, time.Since(begun))
			if err != nil || status != want {
				faults = append(faults, fmt.Sprintf("request %d: %d %v", i, status, err))
			}
		}
	}()
	return func() {
		t.Helper()
		close(stop)
		<-stopped
		v.CloseIdleConnections()
		if len(faults) > 0 {
			t.Errorf("of %d requests of a healthy client %d failed: %.500v", len(took), len(faults), faults)
		}
		if len(took) < 10 {
			t.Fatalf("a healthy client got only %d answers", len(took))
		}
		slices.Sort(took)
		usual, late, last := took[len(took)/2], took[len(took)*95/100], took[len(took)-1]
		t.Logf("healthy client: %d requests, p50 %v, p95 %v, max %v", len(took), usual, late, last)
		if late > time.Second {
			t.Errorf("p95 of a healthy client is %v", late)
		}
	}
}

// alive checks that the server is the process that it was, and has not panicked.
func (g *gated) alive(t testing.TB, pid int) {
	t.Helper()
	select {
	case <-g.exited:
		t.Fatal("the server has ended")
	default:
	}
	if g.cmd.Process.Pid != pid {
		t.Error("the server is another process")
	}
	if said := g.log.tail(1 << 20); strings.Contains(said, "panic") {
		t.Errorf("the server panicked: %.2000s", said[strings.Index(said, "panic"):])
	}
	var r readiness
	g.get("/readyz", &r)
	if !r.Ready {
		t.Error("the server is not ready")
	}
}

// TestGateFlatMemory: whatever size passes, in whatever direction, the process
// grows by next to nothing.
func TestGateFlatMemory(t *testing.T) {
	g := newGated(t)
	size := pick[int64](256<<20, 1<<30)
	for _, site := range []string{"www", "secure"} {
		v := g.visitor(site, "127.0.0.9")
		if status, body, err := v.page("/home"); status != http.StatusOK || body != "a page" || err != nil {
			t.Fatalf("a page: %d %s %v", status, body, err)
		}
	}
	before := g.memory("VmHWM")
	flat := func(what string) {
		t.Helper()
		grown := g.memory("VmHWM") - before
		t.Logf("%s: the process has grown by %d KiB in all, to %d MiB", what, grown>>10, g.memory("VmRSS")>>20)
		if grown > 32<<20 {
			t.Errorf("%s: memory grew by %d MiB", what, grown>>20)
		}
	}
	for _, site := range []string{"www", "secure"} {
		v := g.visitor(site, "127.0.0.9")
		for _, length := range []int64{size, -1} {
			req, err := http.NewRequest("POST", v.base+"/upload", io.LimitReader(zeros{}, size))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			res, err := v.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if string(text) != fmt.Sprint(size) || err != nil {
				t.Errorf("upload to %s: %s %v", site, text, err)
			}
		}
		flat(fmt.Sprintf("2 uploads of %d MiB to %s", size>>20, site))
		res, err := v.Get(fmt.Sprintf("%s/download?%d", v.base, size))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if n != size || err != nil {
			t.Errorf("download from %s (%s): %d %v", site, res.Proto, n, err)
		}
		flat(fmt.Sprintf("a download of %d MiB from %s", size>>20, site))
		events := pick(20_000, 200_000)
		res, err = v.Get(fmt.Sprintf("%s/events?%d", v.base, events))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := bufio.NewReader(res.Body), error(nil)
		count := 0
		for err == nil {
			var line string
			if line, err = lines.ReadString('\n'); strings.HasPrefix(line, "data: ") {
				count++
			}
		}
		_ = res.Body.Close()
		if count != events || err != io.EOF {
			t.Errorf("%d of %d events from %s: %v", count, events, site, err)
		}
		flat(fmt.Sprintf("%d events from %s", events, site))
	}
	conn, err := g.dial("www", "127.0.0.9")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	rw := upgrade(t, conn)
	sent := pick[int64](64<<20, 1<<30)
	go func() { _, _ = io.CopyN(conn, zeros{}, sent) }()
	if n, err := io.CopyN(io.Discard, rw, sent); n != sent || err != nil {
		t.Errorf("echo: %d of %d bytes, %v", n, sent, err)
	}
	flat(fmt.Sprintf("%d MiB echoed by a WebSocket", sent>>20))
}

// upgrade makes a WebSocket of a connection, as far as the gate sees it.
func upgrade(t testing.TB, conn net.Conn) *bufio.Reader {
	t.Helper()
	if _, err := io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: www\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	rw := bufio.NewReader(conn)
	res, err := http.ReadResponse(rw, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %s", res.Status)
	}
	return rw
}

// TestGateKilledMidSignIn kills the server while a hundred passwords are being
// checked. Whoever was told that a password is wrong has used that guess up,
// before and after: nobody comes to more than the threshold with those.
func TestGateKilledMidSignIn(t *testing.T) {
	g := newGated(t)
	const addresses, threshold = 20, 5
	for round := range pick(1, 10) {
		var (
			mu     sync.Mutex
			inside = map[string]int{} // passwords under check, by account
			open   = make(chan struct{})
			total  atomic.Int64
		)
		g.app.check = func(account string) {
			mu.Lock()
			inside[account]++
			n := inside[account]
			mu.Unlock()
			total.Add(1)
			var which int
			_, _ = fmt.Sscanf(account, "victim-%d", &which)
			if n > which%threshold { // the first few of each are answered
				<-open
			}
		}
		told := make([]atomic.Int64, addresses)
		var all sync.WaitGroup
		from := func(i int) string { return fmt.Sprintf("127.%d.2.%d", round+1, i+1) }
		for i := range addresses {
			v := g.visitor("www", from(i))
			for k := range threshold {
				all.Go(func() {
					if status, body, err := v.signIn(fmt.Sprintf("victim-%d", i), fmt.Sprintf("guess %d", k)); err == nil && status == http.StatusOK && strings.HasPrefix(body, "Wrong") {
						told[i].Add(1)
					}
				})
			}
		}
		eventually(t, 30*time.Second, "a hundred passwords are under check and some are answered", func() bool {
			for i := range told {
				if told[i].Load() != int64(i%threshold) {
					return false
				}
			}
			return total.Load() == addresses*threshold
		})
		_ = g.cmd.Process.Kill()
		close(open)
		all.Wait()
		g.kill()
		g.app.check = nil
		g.start()
		checked := g.app.checked.Load()
		for i := range addresses {
			v := g.visitor("www", from(i))
			for k := range 3 * threshold {
				if _, _, err := v.signIn(fmt.Sprintf("victim-%d", i), fmt.Sprintf("another guess %d", k)); err != nil {
					t.Fatal(err)
				}
			}
			v.CloseIdleConnections()
			after := g.app.checked.Load() - checked
			checked += after
			if want := threshold - told[i].Load(); after > want {
				t.Errorf("round %d, address %d: told of %d wrong passwords, then %d more were checked", round, i, told[i].Load(), after)
			} else if after < 1 {
				t.Errorf("round %d, address %d: told of %d wrong passwords and blocked by the kill alone", round, i, told[i].Load())
			}
		}
	}
}
