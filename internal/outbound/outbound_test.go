package outbound

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// site is a real server on loopback that counts its connections, and a client
// whose resolver sends every name there.
type site struct {
	*httptest.Server
	conns   atomic.Int64
	lookups atomic.Int64
	addr    netip.AddrPort
}

func newSite(t *testing.T, secure bool, h http.HandlerFunc) *site {
	t.Helper()
	s := &site{Server: httptest.NewUnstartedServer(h)}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	s.addr = netip.MustParseAddrPort(s.Listener.Addr().String())
	return s
}

func (s *site) client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Resolve == nil {
		o.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			s.lookups.Add(1)
			return []netip.Addr{s.addr.Addr()}, nil
		}
	}
	if s.TLS != nil {
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AddCert(s.Certificate())
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *site) url(host, path string) string {
	scheme := "http"
	if s.TLS != nil {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s:%d%s", scheme, host, s.addr.Port(), path)
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestSpellingsOfPrivateTargetsAreRefused(t *testing.T) {
	s := newSite(t, false, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") })
	c := s.client(t, Options{})
	port := fmt.Sprint(s.addr.Port())
	hosts := []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",
		"017700000001", "127.0.0.1.", "0", "0.0.0.0", "0x0", "127.000.000.001", "127.0.0.0x1",
		"localhost", "LOCALHOST", "localhost.", "app.localhost", "example.test", "xn--e1afmkfd.test",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]",
		"[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]",
		"[fe80::1%25lo]", "[::1%25lo]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]",
		"10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.169.254", "198.18.0.1",
		"203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"metadata.google.internal", "METADATA.google.internal.", "instance-data", "①②⑦.⓪.⓪.①", "１２７.0.0.1",
		"127%2e0%2e0%2e1", "127。0。0。1", "user@127.0.0.1", "example.test@127.0.0.1", "127.0.0.1#@example.test",
		"", ".", "..", "a..b", strings.Repeat("a", 64) + ".test", "exa mple.test", "127.0.0.1\\@example.test",
	}
	if len(hosts) < 40 {
		t.Fatalf("only %d spellings", len(hosts))
	}
	for _, scheme := range []string{"http", "https"} {
		for _, h := range hosts {
			u := scheme + "://" + h + ":" + port + "/x"
			if resp, err := c.Do(t.Context(), Request{URL: u}); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: got %v, %v, want a refusal", u, resp, err)
			}
		}
	}
	for _, u := range []string{
		"", "127.0.0.1", "//127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/",
		"http:127.0.0.1", "http:///etc", "HTTP://127.0.0.1:" + port, "http://127.0.0.1:0/", "http://127.0.0.1:99999/",
		"http://127.0.0.1:/", "javascript:1", "http://[::1", "http://127.0.0.1:" + port + "/\r\nHost: x",
		"https://example.test/" + strings.Repeat("a", 3000),
	} {
		if resp, err := c.Do(t.Context(), Request{URL: u}); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: got %v, %v, want a refusal", u, resp, err)
		}
	}
	if n := s.conns.Load(); n != 0 {
		t.Errorf("%d connections were made, want none", n)
	}
}

func TestPublicAddresses(t *testing.T) {
	c, err := New(Options{Deny: prefixes("9.9.9.0/24"), Interfaces: func() ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("8.8.4.4")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		addr string
		ok   bool
	}{
		{"1.1.1.1", true},
		{"8.8.8.8", true},
		{"8.8.4.4", false}, // this machine
		{"9.9.9.9", false}, // denied by the operator
		{"2606:4700::1111", true},
		{"2a00::1", true},
		{"172.32.0.1", true},
		{"172.16.0.1", false},
		{"192.0.1.1", true},
		{"4000::1", false},
		{"::ffff:1.1.1.1", true},
		{"::ffff:10.1.1.1", false},
	} {
		if err := c.check(plain(netip.MustParseAddr(tc.addr))); (err == nil) != tc.ok {
			t.Errorf("check(%s) = %v, want ok %t", tc.addr, err, tc.ok)
		}
	}
	if err := c.check(netip.Addr{}); err == nil {
		t.Error("the zero address is accepted")
	}
}

func TestMixedAnswersAreRefused(t *testing.T) {
	s := newSite(t, true, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") })
	public := netip.MustParseAddr("1.1.1.1")
	for _, answers := range [][]netip.Addr{
		{public, s.addr.Addr()},
		{s.addr.Addr(), public},
		{public, netip.MustParseAddr("::ffff:127.0.0.1")},
		{public, netip.MustParseAddr("fe80::1%eth0")},
		{public, {}},
	} {
		c := s.client(t, Options{Resolve: func(context.Context, string) ([]netip.Addr, error) { return answers, nil }})
		if _, err := c.Do(t.Context(), Request{URL: s.url("example.com", "/")}); !errors.Is(err, ErrRefused) {
			t.Errorf("%v: %v, want a refusal", answers, err)
		}
	}
	if n := s.conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// A name that answers with a public address first and a private one later gets
// nowhere: the checked address is the dialled one, one look-up per connection.
func TestRebindingIsRefused(t *testing.T) {
	s := newSite(t, true, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") })
	var lookups atomic.Int64
	c := s.client(t, Options{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		if lookups.Add(1) == 1 {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1").Next()}, nil
		}
		return []netip.Addr{s.addr.Addr()}, nil
	}})
	for range 4 {
		if _, err := c.Do(t.Context(), Request{URL: s.url("example.com", "/")}); !errors.Is(err, ErrRefused) {
			t.Errorf("%v, want a refusal", err)
		}
	}
	if lookups.Load() != 4 || s.conns.Load() != 0 {
		t.Errorf("%d look-ups for 4 requests, %d connections", lookups.Load(), s.conns.Load())
	}
}

func TestAllowedPrivateTarget(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := newSite(t, secure, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Agent", r.UserAgent())
			fmt.Fprint(w, "hello")
		})
		c := s.client(t, Options{AllowPrivate: loopback, UserAgent: "Warder/1"})
		resp, err := c.Do(t.Context(), Request{URL: s.url("example.com", "/")})
		if err != nil {
			t.Fatal(err)
		}
		if resp.Status != 200 || string(resp.Body) != "hello" || resp.Header.Get("X-Agent") != "Warder/1" {
			t.Errorf("got %+v", resp)
		}
		if s.lookups.Load() != 1 {
			t.Errorf("%d look-ups, want 1", s.lookups.Load())
		}
	}
}

func TestMetadataIsNeverReached(t *testing.T) {
	c, err := New(Options{AllowPrivate: prefixes("0.0.0.0/0", "::/0"), SMTPHosts: []string{"169.254.169.254"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"http://169.254.169.254/latest", "http://[fd00:ec2::254]/", "http://metadata.google.internal/", "http://[::ffff:169.254.169.254]/"} {
		if _, err := c.Do(t.Context(), Request{URL: u}); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, want a refusal", u, err)
		}
	}
	if _, err := c.DialSMTP(t.Context(), "tcp", "169.254.169.254:25"); !errors.Is(err, ErrRefused) {
		t.Errorf("smtp: %v", err)
	}
}

func TestPlainHTTPOnlyToAllowedTargets(t *testing.T) {
	c, err := New(Options{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("1.1.1.1")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), Request{URL: "http://example.com/"}); !errors.Is(err, ErrRefused) {
		t.Errorf("%v, want a refusal", err)
	}
}

func TestRedirects(t *testing.T) {
	insecure := newSite(t, false, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "insecure") })
	var mu sync.Mutex
	var seen []http.Header
	s := newSite(t, true, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Clone())
		mu.Unlock()
		switch to := r.URL.Query().Get("to"); {
		case to != "":
			http.Redirect(w, r, to, http.StatusFound)
		case r.URL.Path == "/n":
			var n int
			_, _ = fmt.Sscan(r.URL.Query().Get("n"), &n)
			if n > 0 {
				http.Redirect(w, r, fmt.Sprintf("/n?n=%d", n-1), http.StatusFound)
				return
			}
			fallthrough
		default:
			fmt.Fprint(w, "end")
		}
	})
	c := s.client(t, Options{AllowPrivate: loopback, Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "inside.example.com" {
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		}
		return []netip.Addr{s.addr.Addr()}, nil
	}})
	get := func(u string) (*Response, error) {
		return c.Do(t.Context(), Request{URL: u, Header: http.Header{"Key": {"secret"}, "Accept": {"text/plain"}}})
	}
	for _, tc := range []struct {
		url string
		ok  bool
	}{
		{s.url("example.com", "/n?n=3"), true},
		{s.url("example.com", "/n?n=4"), false},
		{s.url("example.com", "/?to="+url.QueryEscape(insecure.url("example.com", "/"))), false},
		{s.url("example.com", "/?to="+url.QueryEscape(s.url("inside.example.com", "/"))), false},
		{s.url("example.com", "/?to="+url.QueryEscape("https://169.254.169.254/")), false},
		{s.url("example.com", "/?to="+url.QueryEscape("https://0x7f000001/")), false},
		{s.url("example.com", "/?to="+url.QueryEscape("file:///etc/passwd")), false},
	} {
		resp, err := get(tc.url)
		if tc.ok != (err == nil) || !tc.ok && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, %v", tc.url, resp, err)
		}
		if err != nil && strings.Contains(err.Error(), "to=") {
			t.Errorf("error shows the query: %v", err)
		}
	}
	if insecure.conns.Load() != 0 {
		t.Error("followed a redirect from https to http")
	}

	mu.Lock()
	seen = nil
	mu.Unlock()
	if _, err := get(s.url("example.com", "/?to="+url.QueryEscape(s.url("127.0.0.1", "/")))); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[0].Get("Key") != "secret" || seen[1].Get("Key") != "" || seen[1].Get("Referer") != "" || seen[1].Get("Accept") == "" {
		t.Errorf("headers of the hops: %v", seen)
	}
	if _, err := c.Do(t.Context(), Request{Method: "POST", URL: s.url("example.com", "/n?n=1")}); !errors.Is(err, ErrRefused) {
		t.Errorf("redirect of a POST: %v", err)
	}
}

func TestBodyLimits(t *testing.T) {
	zip := func(b []byte, times int) []byte {
		for range times {
			var out bytes.Buffer
			z := gzip.NewWriter(&out)
			z.Write(b)
			z.Close()
			b = out.Bytes()
		}
		return b
	}
	big := bytes.Repeat([]byte("a"), 1<<20)
	s := newSite(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exact":
			w.Write(big[:1000])
		case "/long":
			w.Write(big[:1001])
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(big); err != nil {
					return
				}
			}
		case "/zipped":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zip(big[:1000], 1))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zip(big, 1)[:])
		case "/nested":
			w.Header().Set("Content-Encoding", "gzip, gzip")
			w.Write(zip(big[:10], 2))
		case "/twice": // one layer is taken off, no more
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zip(big[:10], 2))
		case "/broken":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("topsecret is not gzip"))
		case "/cut":
			w.Header().Set("Content-Encoding", "gzip")
			b := zip(big[:1000], 1)
			w.Write(b[:len(b)-5])
		case "/br":
			w.Header().Set("Content-Encoding", "br")
			w.Write(big[:10])
		}
	})
	c := s.client(t, Options{AllowPrivate: loopback})
	for _, tc := range []struct {
		path string
		n    int // -1: error
		is   error
	}{
		{"/exact", 1000, nil},
		{"/long", -1, ErrTooLarge},
		{"/endless", -1, ErrTooLarge},
		{"/zipped", 1000, nil},
		{"/bomb", -1, nil},
		{"/nested", -1, nil},
		{"/twice", len(zip(big[:10], 1)), nil},
		{"/broken", -1, nil},
		{"/cut", -1, io.ErrUnexpectedEOF},
		{"/br", -1, nil},
	} {
		resp, err := c.Do(t.Context(), Request{URL: s.url("example.com", tc.path), MaxBody: 1000})
		switch {
		case tc.n < 0 && err == nil, tc.n >= 0 && err != nil, tc.is != nil && !errors.Is(err, tc.is):
			t.Errorf("%s: %v", tc.path, err)
		case err == nil && len(resp.Body) != tc.n:
			t.Errorf("%s: %d bytes, want %d", tc.path, len(resp.Body), tc.n)
		case err != nil && strings.Contains(err.Error(), "topsecret"):
			t.Errorf("%s: error echoes the answer: %v", tc.path, err)
		}
	}
	if _, err := c.Do(t.Context(), Request{URL: s.url("example.com", "/bomb"), MaxBody: 2000}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a bomb that is small on the wire: %v", err)
	}
}

func TestEnvironmentProxyIsIgnored(t *testing.T) {
	proxy := newSite(t, false, func(http.ResponseWriter, *http.Request) {})
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	s := newSite(t, true, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "direct") })
	c := s.client(t, Options{AllowPrivate: loopback})
	if _, err := c.Do(t.Context(), Request{URL: s.url("example.com", "/")}); err != nil {
		t.Fatal(err)
	}
	if proxy.conns.Load() != 0 {
		t.Error("used the proxy of the environment")
	}
}

func TestTimeoutCoversTheWholeExchange(t *testing.T) {
	s := newSite(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c := s.client(t, Options{AllowPrivate: loopback})
	_, err := c.Do(t.Context(), Request{URL: s.url("example.com", "/?key=secret"), Timeout: 50 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "secret") {
		t.Errorf("error shows the query: %v", err)
	}
}

func TestMailServersOfTheConfigurationMayBePrivate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c, err := New(Options{SMTPHosts: []string{"Relay.internal.", "127.0.0.1"}, Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for host, ok := range map[string]bool{"relay.internal": true, "RELAY.internal": true, "127.0.0.1": true, "other.internal": false, "127.0.0.2": false, "127.1": false} {
		conn, err := c.DialSMTP(t.Context(), "tcp", net.JoinHostPort(host, port))
		if ok != (err == nil) || !ok && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", host, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
	if _, err := c.DialSMTP(t.Context(), "unix", "/tmp/x"); !errors.Is(err, ErrRefused) {
		t.Errorf("unix socket: %v", err)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.com/a?b#c", "http://127.1/", "https://[::1%25lo]/", "https://a@b/", "https://0x7f.1/", "https://１.2.3.4/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := CheckURL(s)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("%q: %v is no refusal", s, err)
			}
			return
		}
		again, err := CheckURL(u.String())
		if err != nil || again.String() != u.String() {
			t.Fatalf("%q: %s does not survive a second look: %v", s, u, err)
		}
		host := u.Hostname()
		if u.User != nil || host == "" || strings.ContainsAny(host, "%@\\ ") {
			t.Fatalf("%q: host %q", s, host)
		}
		if host[len(host)-1] >= '0' && host[len(host)-1] <= '9' && !strings.ContainsAny(host, ":abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") {
			if _, err := netip.ParseAddr(host); err != nil {
				t.Fatalf("%q: number %q is not an address", s, host)
			}
		}
	})
}
