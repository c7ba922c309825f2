package clientip

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
)

var trusted = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("2001:db8:ffff::/48"),
	netip.MustParsePrefix("198.51.100.0/24"),
}

func resolver(t testing.TB, o Options) *Resolver {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// remote is what net/http would call the peer.
func remote(peer string) string {
	if a, err := netip.ParseAddr(peer); err == nil {
		return netip.AddrPortFrom(a, 40000).String()
	}
	return peer
}

func TestVectors(t *testing.T) {
	tests := []struct {
		name  string
		peer  string
		lines []string
		want  string
		kind  Kind
	}{
		{"01 untrusted peer", "203.0.113.9", []string{"10.0.0.1"}, "203.0.113.9", Socket},
		{"02 no header", "10.0.0.2", nil, "10.0.0.2", Internal},
		{"03 one hop", "10.0.0.2", []string{"203.0.113.9"}, "203.0.113.9", Header},
		{"04 forged on the left", "10.0.0.2", []string{"1.1.1.1, 203.0.113.9"}, "203.0.113.9", Header},
		{"05 two proxies", "10.0.0.2", []string{"1.1.1.1, 203.0.113.9, 10.0.0.7"}, "203.0.113.9", Header},
		{"06 two lines", "10.0.0.2", []string{"1.1.1.1", "203.0.113.9"}, "203.0.113.9", Header},
		{"07 junk behind a proxy", "10.0.0.2", []string{"203.0.113.9, junk, 10.0.0.7"}, "", Degraded},
		{"08 junk last", "10.0.0.2", []string{"203.0.113.9, junk"}, "", Degraded},
		{"09 mapped client", "10.0.0.2", []string{"::ffff:203.0.113.9"}, "203.0.113.9", Header},
		{"10 mapped proxy", "10.0.0.2", []string{"203.0.113.9, ::ffff:10.0.0.7"}, "203.0.113.9", Header},
		{"11 with port", "10.0.0.2", []string{"203.0.113.9:41234"}, "203.0.113.9", Header},
		{"12 IPv6 with port", "10.0.0.2", []string{"[2001:db8::1]:443"}, "2001:db8::1", Header},
		{"13 IPv6 in brackets", "10.0.0.2", []string{"[2001:db8::1]"}, "2001:db8::1", Header},
		{"14 zone", "10.0.0.2", []string{"2001:db8::1%eth0"}, "2001:db8::1", Header},
		{"15 escaped zone", "10.0.0.2", []string{"fe80::1%25eth0"}, "fe80::1", Header},
		{"16 octal", "10.0.0.2", []string{"010.0.0.1"}, "", Degraded},
		{"17 hexadecimal", "10.0.0.2", []string{"0x7f.1"}, "", Degraded},
		{"18 decimal", "10.0.0.2", []string{"2130706433"}, "", Degraded},
		{"19 proxies only", "10.0.0.2", []string{"10.0.0.5, 10.0.0.6"}, "10.0.0.5", Internal},
		{"20 empty items", "10.0.0.2", []string{",, 203.0.113.9 ,,"}, "203.0.113.9", Header},
		{"21 unknown", "10.0.0.2", []string{"unknown"}, "", Degraded},
		{"22 unspecified", "10.0.0.2", []string{"0.0.0.0"}, "", Degraded},
		{"23 loopback IPv6 peer", "::1", []string{"203.0.113.9"}, "203.0.113.9", Header},
		{"24 mapped peer", "::ffff:10.0.0.2", []string{"203.0.113.9"}, "203.0.113.9", Header},
		{"25 IPv6 peer", "2001:db8:ffff::2", []string{"2001:db8:1:2:aaaa::1"}, "2001:db8:1:2:aaaa::1", Header},
		{"26 too many hops", "10.0.0.2", []string{strings.TrimSuffix(strings.Repeat("10.0.0.9,", 41), ",")}, "", Degraded},
		{"27 public proxy", "10.0.0.2", []string{"203.0.113.9, 198.51.100.4"}, "203.0.113.9", Header},
		{"28 semicolon", "10.0.0.2", []string{"203.0.113.9;10.0.0.3"}, "", Degraded},
		{"29 NUL", "10.0.0.2", []string{"203.0.113.9\x00"}, "", Degraded},
		{"30 Unix socket", "@", []string{"203.0.113.9"}, "", Degraded},

		{"16 hops", "10.0.0.2", []string{strings.TrimSuffix(strings.Repeat("10.0.0.9,", 16), ",")}, "10.0.0.9", Internal},
		{"client at hop 16", "10.0.0.2", []string{"203.0.113.9" + strings.Repeat(",10.0.0.9", 15)}, "203.0.113.9", Header},
		{"client at hop 17", "10.0.0.2", []string{"203.0.113.9" + strings.Repeat(",10.0.0.9", 16)}, "", Degraded},
		{"many forged ones do not hide the client", "10.0.0.2", []string{strings.Repeat("1.1.1.1,", 1000) + "203.0.113.9"}, "203.0.113.9", Header},
		{"junk on the left does not hide the client", "10.0.0.2", []string{"junk", "\x00, 203.0.113.9"}, "203.0.113.9", Header},
		{"multicast", "10.0.0.2", []string{"203.0.113.9, 224.0.0.1"}, "", Degraded},
		{"port out of range", "10.0.0.2", []string{"203.0.113.9:65536"}, "", Degraded},
		{"IPv4 in brackets", "10.0.0.2", []string{"[203.0.113.9]"}, "", Degraded},
		{"half a bracket", "10.0.0.2", []string{"2001:db8::1]"}, "", Degraded},
		{"NAT64", "10.0.0.2", []string{"64:ff9b::203.0.113.9"}, "203.0.113.9", Header},
		{"NAT64 of a proxy", "10.0.0.2", []string{"203.0.113.9, 64:ff9b::10.0.0.7"}, "203.0.113.9", Header},
		{"tabs", "10.0.0.2", []string{"\t203.0.113.9\t"}, "203.0.113.9", Header},
		{"only commas", "10.0.0.2", []string{",,,", ""}, "10.0.0.2", Internal},
		{"peer with zone", "fe80::1%eth0", []string{"1.1.1.1"}, "fe80::1", Socket},
		{"unreadable peer", "localhost:80", []string{"203.0.113.9"}, "", Degraded},
		{"named Unix socket", "/run/app.sock", []string{"203.0.113.9"}, "", Degraded},
		{"no peer", "", []string{"203.0.113.9"}, "", Degraded},
	}
	r := resolver(t, Options{Trusted: trusted})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X-Real-Ip": {"1.2.3.4"}, "X_forwarded_for": {"1.2.3.4"}}
			if tt.lines != nil {
				h["X-Forwarded-For"] = tt.lines
			}
			got := r.Client(remote(tt.peer), h)
			if got.Kind != tt.kind || addrString(got.Addr) != tt.want {
				t.Errorf("client is %s (%s), want %s (%s)", got.Addr, got.Kind, tt.want, tt.kind)
			}
		})
	}
}

func addrString(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func TestUnixSocket(t *testing.T) {
	r := resolver(t, Options{TrustUnix: true})
	for _, tt := range []struct {
		lines []string
		want  Client
	}{
		{[]string{"203.0.113.9"}, Client{Addr: netip.MustParseAddr("203.0.113.9"), Kind: Header}},
		{nil, Client{Kind: Internal}},
		{[]string{"junk"}, Client{Kind: Degraded}},
	} {
		if got := r.Client("@", http.Header{"X-Forwarded-For": tt.lines}); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.lines, got, tt.want)
		}
	}
}

func TestNobodyIsTrustedByDefault(t *testing.T) {
	r := resolver(t, Options{})
	for _, peer := range []string{"127.0.0.1", "::1", "10.0.0.2", "203.0.113.9", "fe80::1"} {
		got := r.Client(remote(peer), http.Header{"X-Forwarded-For": {"1.1.1.1"}})
		if got.Kind != Socket || got.Addr != netip.MustParseAddr(peer) {
			t.Errorf("%s: %+v", peer, got)
		}
	}
}

func TestOneHeaderOnly(t *testing.T) {
	r := resolver(t, Options{Trusted: trusted, Header: "cf-connecting-ip"})
	h := http.Header{"X-Forwarded-For": {"1.1.1.1"}, "Cf_connecting_ip": {"2.2.2.2"}, "Cf-Connecting-Ip": {"203.0.113.9"}}
	if got := r.Client("10.0.0.2:1", h); got.Addr != netip.MustParseAddr("203.0.113.9") {
		t.Errorf("%+v", got)
	}
	delete(h, "Cf-Connecting-Ip")
	if got := r.Client("10.0.0.2:1", h); got.Kind != Internal {
		t.Errorf("without its header: %+v", got)
	}
}

func TestUntrustedForwarder(t *testing.T) {
	forwarded := func(name string) http.Header { return http.Header{name: {"203.0.113.9"}} }
	tests := []struct {
		name, peer string
		h          http.Header
		want       bool
	}{
		{"private", "192.168.1.5", forwarded("X-Forwarded-For"), true},
		{"loopback", "127.0.0.1", forwarded("X-Forwarded-For"), true},
		{"loopback IPv6", "::1", forwarded("X-Real-Ip"), true},
		{"unique local", "fd00::1", forwarded("Forwarded"), true},
		{"link local", "fe80::1", forwarded("X-Forwarded-For"), true},
		{"shared", "100.64.0.1", forwarded("X-Forwarded-For"), true},
		{"mapped", "::ffff:172.16.0.1", forwarded("X-Forwarded-For"), true},
		{"Unix socket", "@", forwarded("X-Forwarded-For"), true},
		{"sends nothing", "192.168.1.5", nil, false},
		{"public", "203.0.113.9", forwarded("X-Forwarded-For"), false},
		{"trusted", "10.0.0.2", forwarded("X-Forwarded-For"), false},
		{"trusted with junk", "10.0.0.2", http.Header{"X-Forwarded-For": {"junk"}}, false},
	}
	r := resolver(t, Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := r.Client(remote(tt.peer), tt.h)
			if got.UntrustedForwarder != tt.want {
				t.Errorf("%+v, want UntrustedForwarder %t", got, tt.want)
			}
			if tt.want && got.Kind == Header {
				t.Error("its header was believed")
			}
		})
	}
}

func TestRefusedTrust(t *testing.T) {
	tests := []struct {
		o    Options
		want []string // locations
	}{
		{Options{}, nil},
		{Options{Trusted: trusted, Header: "X-Client-IP"}, nil},
		{Options{Trusted: prefixes("0.0.0.0/0")}, []string{"trusted_proxies[0]"}},
		{Options{Trusted: prefixes("::/0")}, []string{"trusted_proxies[0]"}},
		{Options{Trusted: prefixes("::ffff:0:0/96")}, []string{"trusted_proxies[0]"}},
		{Options{Trusted: prefixes("64:ff9b::/96")}, []string{"trusted_proxies[0]"}},
		{Options{Trusted: prefixes("10.0.0.0/8", "128.0.0.0/7", "2000::/15", "2001::/16")}, []string{"trusted_proxies[1]", "trusted_proxies[2]"}},
		{Options{Trusted: []netip.Prefix{{}}}, []string{"trusted_proxies[0]"}},
		{Options{Header: "X_Forwarded_For"}, []string{"client_ip_header"}},
		{Options{Header: "X-Forwarded-For: 1"}, []string{"client_ip_header"}},
		{Options{Header: "Forwarded"}, []string{"client_ip_header"}},
	}
	for _, tt := range tests {
		_, err := New(tt.o)
		var faults warder.Faults
		if err != nil && !errors.As(err, &faults) {
			t.Errorf("%v: error is no Faults: %v", tt.o, err)
		}
		var got []string
		for _, f := range faults {
			got = append(got, f.Location)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.o, diff)
		}
	}
}

func prefixes(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// Over a real connection, with headers as an attacker would write them.
func TestOverTheWire(t *testing.T) {
	r := resolver(t, Options{Trusted: prefixes("127.0.0.0/8", "::1/128")})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := r.Client(req.RemoteAddr, req.Header)
		fmt.Fprintf(w, "%s %s", addrString(c.Addr), c.Kind)
	}))
	defer server.Close()

	const client = "203.0.113.9 header"
	for _, tt := range []struct{ headers, want string }{
		{"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.9\r\n", client},
		{"x-forwarded-for: 203.0.113.9\r\nX-FORWARDED-FOR: 127.0.0.2\r\n", client},
		{"X_Forwarded_For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.9\r\n", client},
		{"X-Forwarded-For: 203.0.113.9\r\nX_Forwarded_For: 1.1.1.1\r\n", client},
		{"X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n", client},
		{"Connection: x-forwarded-for\r\nX-Forwarded-For: 203.0.113.9\r\n", client},
		{"X_Forwarded_For: 1.1.1.1\r\n", "127.0.0.1 internal"},
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", tt.headers)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 64)
		n, _ := res.Body.Read(got)
		res.Body.Close()
		conn.Close()
		if string(got[:n]) != tt.want {
			t.Errorf("%q: %s, want %s", tt.headers, got[:n], tt.want)
		}
	}
}

// slow is the algorithm as one would explain it: split everything, then walk.
func slow(trusted func(netip.Addr) bool, lines []string, peer netip.Addr) (netip.Addr, Kind) {
	var items []string
	for item := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if item = strings.Trim(item, " \t"); item != "" {
			items = append(items, item)
		}
	}
	last := peer
	slices.Reverse(items)
	for i, item := range items {
		a, ok := parseHop(item)
		if !ok || i >= MaxHops {
			return netip.Addr{}, Degraded
		}
		if !trusted(a) {
			return a, Header
		}
		last = a
	}
	return last, Internal
}

func FuzzClient(f *testing.F) {
	f.Add("10.0.0.2", "1.1.1.1, 203.0.113.9", "10.0.0.7")
	f.Add("203.0.113.9", "junk, [2001:db8::1]:443", ",,")
	f.Add("@", "fe80::1%25eth0", "64:ff9b::a00:1")
	f.Add("::ffff:10.0.0.2", "[::ffff:1.2.3.4]:1", "\x00")
	r := resolver(f, Options{Trusted: trusted})
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		ask := func(lines ...string) Client {
			return r.Client(remote(peer), http.Header{"X-Forwarded-For": lines})
		}
		got := ask(first, second)

		if got.Addr.IsValid() != (got.Kind != Degraded) {
			t.Fatalf("%+v: an address and degraded, or neither", got)
		}
		if got.Addr.IsValid() && warder.Canonical(got.Addr) != got.Addr {
			t.Fatalf("%s is not canonical", got.Addr)
		}
		believed := got.Peer.IsValid() && r.Trusts(got.Peer)
		switch got.Kind {
		case Header:
			if !believed || r.Trusts(got.Addr) || got.Addr.IsUnspecified() || got.Addr.IsMulticast() {
				t.Fatalf("%+v cannot be a client", got)
			}
		case Socket:
			if believed || got.Addr != got.Peer || ask().Addr != got.Addr {
				t.Fatalf("%+v: a header of nobody's changed the client", got)
			}
		case Internal:
			if !believed || !r.Trusts(got.Addr) {
				t.Fatalf("%+v is not internal", got)
			}
		}
		if !believed {
			return
		}
		if a, kind := slow(r.Trusts, []string{first, second}, got.Peer); a != got.Addr || kind != got.Kind {
			t.Fatalf("%+v, the slow way %s (%s)", got, a, kind)
		}
		// What a client writes stands on the left and changes nothing.
		if got.Kind != Internal {
			for _, forged := range []string{"1.1.1.1", "junk", "10.0.0.1", ",", "\x00"} {
				if again := ask(forged, first, second); again != got {
					t.Fatalf("%+v became %+v by writing %q on the left", got, again, forged)
				}
				if again := ask(forged+","+first, second); again != got {
					t.Fatalf("%+v became %+v by writing %q on the left", got, again, forged)
				}
			}
		}
		// Junk on the right hides everything left of it.
		if again := ask(first, second, "junk"); again.Kind != Degraded {
			t.Fatalf("junk was skipped: %+v", again)
		}
		// The client's own spelling means the client.
		if got.Kind == Header {
			if again := ask(got.Addr.String()); again != got {
				t.Fatalf("%+v became %+v", got, again)
			}
		}
	})
}

func BenchmarkClient(b *testing.B) {
	r := resolver(b, Options{Trusted: trusted})
	h := http.Header{"X-Forwarded-For": {"1.1.1.1, 203.0.113.9, 10.0.0.7"}}
	b.ReportAllocs()
	for b.Loop() {
		r.Client("10.0.0.2:40000", h)
	}
}
