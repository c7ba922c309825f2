package app

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/store"
)

// TestGateCertificateIsRenewed: a new certificate is used without a restart; a
// broken one leaves the old one in force, and /readyz says so.
func TestGateCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	roots := putCertificate(t, dir, 1)
	g := behindGate(t, func(_ *config.Config, s *config.Site) {
		s.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	})
	g.roots, g.h2 = roots, true
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(g.base, "https://"), &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if p := conn.ConnectionState().NegotiatedProtocol; p != "h2" {
			t.Errorf("protocol %q", p)
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	degraded := func() bool {
		for _, d := range g.app.guard.Degraded() {
			if d.Reason == "certificate_unreadable" {
				return true
			}
		}
		return false
	}
	c := g.client() // with a connection that was there before
	page := func() {
		t.Helper()
		if r := do(t, c, g.request("GET", "/login", "203.0.113.1", nil)); r.status != http.StatusOK {
			t.Errorf("a page: %d", r.status)
		}
	}
	page()
	if n := serial(); n != 1 || degraded() {
		t.Fatalf("serial %d, degraded %v", n, degraded())
	}
	for _, broken := range []string{"", "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n"} {
		putFile(t, filepath.Join(dir, "cert.pem"), broken)
		g.app.refreshCertificates(t.Context(), time.Now())
		if n := serial(); n != 1 || !degraded() {
			t.Errorf("broken: serial %d, degraded %v", n, degraded())
		}
		page()
	}
	roots = putCertificate(t, dir, 2)
	g.app.refreshCertificates(t.Context(), time.Now())
	if n := serial(); n != 2 || degraded() {
		t.Errorf("renewed: serial %d, degraded %v", n, degraded())
	}
	page()
}

// TestGateShutdown: at a shutdown a sign-in under way is answered and its
// outcome stored, streams and WebSockets end, and it does not take long.
func TestGateShutdown(t *testing.T) {
	data := ""
	g := behindGate(t, func(c *config.Config, _ *config.Site) { data = c.Data })
	const from = "203.0.113.5"
	_, socket := g.socket(t, from, "a=b")
	stream, err := g.client().Do(g.request("GET", "/stream", from, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()

	inside, answer := make(chan struct{}), make(chan struct{})
	g.mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		close(inside)
		<-answer
		http.SetCookie(w, &http.Cookie{Name: "sms_session", Value: "s1", Path: "/"})
		http.Redirect(w, r, "/home", http.StatusSeeOther)
	})
	signedIn := make(chan int, 1)
	go func() {
		res, err := g.client().Do(g.request("POST", "/login", from, right("alice")))
		if err != nil {
			signedIn <- 0
			return
		}
		res.Body.Close()
		signedIn <- res.StatusCode
	}()
	<-inside
	begun := time.Now()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		g.stop()
	}()
	_, _ = io.ReadAll(socket) // until it is closed
	if _, err := io.ReadAll(stream.Body); err == nil {
		t.Error("the stream ended as if it were complete")
	}
	close(answer)
	if status := <-signedIn; status != http.StatusSeeOther {
		t.Errorf("the sign-in: %d", status)
	}
	<-stopped
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
	again := start(t, data, nil)
	page, err := again.app.db.ListEvents(t.Context(), store.EventFilter{Names: []string{"USER_LOGIN_SUCCESS"}}, store.Page{Limit: 10})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("%d sign-ins are stored: %v", len(page.Items), err)
	}
}

// TestListenerIsFair: one address holds a quarter of the connections at most,
// and few once half of all are taken; proxies that are trusted hold any number.
func TestListenerIsFair(t *testing.T) {
	l, err := listenTCP("127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const all = 128
	l.slots = make(chan struct{}, all)
	var refused atomic.Int64
	l.fair(func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.2") }, func(netip.Addr) { refused.Add(1) })
	accepted := make(chan net.Conn, all)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	held := map[string][]net.Conn{} // the server's ends
	open := func(from string, n int) (got int) {
		t.Helper()
		for range n {
			before := refused.Load()
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err := d.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			select {
			case s := <-accepted:
				held[from] = append(held[from], s)
				got++
			case <-readsEnd(c):
				if refused.Load() != before+1 {
					t.Error("nobody is told of a refused connection")
				}
			}
		}
		return got
	}
	if n := open("127.0.0.66", 40); n != all/4 {
		t.Errorf("one address got %d of 40", n)
	}
	if n := open("127.0.0.2", 33); n != 33 {
		t.Errorf("a trusted proxy got %d of 33", n)
	}
	// More than half are taken now.
	if n := open("127.0.0.67", 5); n != all/64 {
		t.Errorf("another address got %d of 5", n)
	}
	if n := open("127.0.0.9", 1); n != 1 {
		t.Error("somebody with one connection is refused")
	}
	for _, c := range held["127.0.0.66"] {
		c.Close()
		c.Close() // gives back once
	}
	if n := open("127.0.0.66", 3); n != 3 {
		t.Errorf("after closing, the address got %d of 3", n)
	}
	for _, list := range held {
		for _, c := range list {
			c.Close()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) != 0 || len(l.slots) > 1 {
		t.Errorf("left: %v, %d", l.held, len(l.slots))
	}
}

// readsEnd is closed when the other side has closed the connection.
func readsEnd(c net.Conn) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, c)
	}()
	return end
}
