package warder

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

func TestParseAddr(t *testing.T) {
	tests := []struct{ in, want string }{
		{"203.0.113.9", "203.0.113.9"},
		{"2001:DB8::1", "2001:db8::1"},
		{"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
		{"::ffff:203.0.113.9", "203.0.113.9"},
		{"::ffff:cb00:7109", "203.0.113.9"},
		{"64:ff9b::203.0.113.9", "203.0.113.9"},
		{"64:ff9b::cb00:7109", "203.0.113.9"},
		{"fe80::1%eth0", "fe80::1"},
		{"127.0.0.1", "127.0.0.1"},

		{"", ""},
		{"010.0.0.1", ""},
		{"0x7f.1", ""},
		{"2130706433", ""},
		{"127.1", ""},
		{"203.0.113.9:80", ""},
		{"[2001:db8::1]", ""},
		{"[2001:db8::1]:443", ""},
		{" 203.0.113.9", ""},
		{"203.0.113.9\n", ""},
		{"203.0.113.9\x00", ""},
		{"203.0.113.256", ""},
		{"203.0.113.9/32", ""},
		{"２０３.0.113.9", ""},
		{"0.0.0.0", ""},
		{"::", ""},
		{"::ffff:0.0.0.0", ""},
		{"64:ff9b::", ""},
		{"224.0.0.1", ""},
		{"ff02::1", ""},
		{"::ffff:224.0.0.1", ""},
		{"unknown", ""},
		{strings.Repeat("1", 1<<20), ""},
	}
	for _, tt := range tests {
		got, err := ParseAddr(tt.in)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("ParseAddr(%.80q) = %s, want an error", tt.in, got)
		case tt.want == "" && len(err.Error()) > 400:
			t.Errorf("ParseAddr(%.80q): error of %d bytes", tt.in, len(err.Error()))
		case tt.want != "" && (err != nil || got.String() != tt.want):
			t.Errorf("ParseAddr(%q) = %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestAddressKey(t *testing.T) {
	tests := []struct{ in, want string }{
		{"203.0.113.9", "203.0.113.9/32"},
		{"::ffff:203.0.113.9", "203.0.113.9/32"},
		{"64:ff9b::203.0.113.9", "203.0.113.9/32"},
		{"2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"},
		{"2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"},
		{"2001:db8:1:3::", "2001:db8:1:3::/64"},
		{"fe80::1%eth0", "fe80::/64"},
		{"::1", "::/64"},
	}
	for _, tt := range tests {
		if got := AddressKey(netip.MustParseAddr(tt.in)); got.String() != tt.want {
			t.Errorf("AddressKey(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
	if got := AddressKey(netip.Addr{}); got.IsValid() {
		t.Errorf("an invalid address has the key %s", got)
	}
}

func TestParseSource(t *testing.T) {
	tests := []struct{ in, want string }{
		{"203.0.113.9", "203.0.113.9/32"},
		{"203.0.113.0/24", "203.0.113.0/24"},
		{"2001:db8::1", "2001:db8::/64"},
		{"2001:db8::1/128", "2001:db8::1/128"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"::ffff:203.0.113.9", "203.0.113.9/32"},
		{"::ffff:203.0.113.0/120", "203.0.113.0/24"},
		{"::ffff:203.0.113.9/128", "203.0.113.9/32"},
		{"64:ff9b::203.0.113.9", "203.0.113.9/32"},
		{"64:ff9b::203.0.113.0/120", "203.0.113.0/24"},
		{"64:ff9b::203.0.113.9/128", "203.0.113.9/32"},
		{"0.0.0.0/0", "0.0.0.0/0"}, // refused where it matters, not here
		{"::/0", "::/0"},

		{"", ""},
		{"/", ""},
		{"203.0.113.9/", ""},
		{"203.0.113.9/33", ""},
		{"203.0.113.9/-1", ""},
		{"203.0.113.9/032", ""},
		{"203.0.113.9/24", ""}, // host bits
		{"2001:db8::1/64", ""},
		{"::ffff:203.0.113.9/120", ""},
		{"::ffff:0:0/95", ""},
		{"64:ff9b::1.2.3.4/120", ""},
		{"fe80::1%eth0/64", ""},
		{"203.0.113.0/24/24", ""},
		{"224.0.0.1", ""},
		{"0.0.0.0", ""},
		{strings.Repeat("1/", 1<<20), ""},
	}
	for _, tt := range tests {
		got, err := ParseSource(tt.in)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("ParseSource(%.80q) = %s, want an error", tt.in, got)
		case tt.want == "" && len(err.Error()) > 400:
			t.Errorf("ParseSource(%.80q): error of %d bytes", tt.in, len(err.Error()))
		case tt.want != "" && (err != nil || got.String() != tt.want):
			t.Errorf("ParseSource(%q) = %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"203.0.113.9", "::ffff:1.2.3.4", "64:ff9b::1.2.3.4/120", "fe80::1%eth0", "2001:db8::/32", "::/0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAddr(s); err == nil {
			if Canonical(a) != a || a.Is4In6() || a.Zone() != "" || nat64.Contains(a) {
				t.Errorf("ParseAddr(%q) = %s is not canonical", s, a)
			}
			if again, err := ParseAddr(a.String()); err != nil || again != a {
				t.Errorf("ParseAddr(%q) = %s, and that %s, %v", s, a, again, err)
			}
			key := AddressKey(a)
			// 64:ff9b::/64 begins with the addresses that stand for IPv4.
			own := nat64.Contains(key.Addr()) || AddressKey(key.Addr()) == key
			if !key.Contains(a) || key != key.Masked() || !own {
				t.Errorf("AddressKey(%s) = %s", a, key)
			}
			if p, err := ParseSource(s); !strings.Contains(s, "/") && (err != nil || p != key) { // a zone may hold a slash
				t.Errorf("ParseSource(%q) = %s, %v, want the address key %s", s, p, err, key)
			}
		}
		if p, err := ParseSource(s); err == nil {
			if a := Canonical(p.Addr()); !p.IsValid() || p != p.Masked() || a != p.Addr() && p.Bits() >= 96 {
				t.Errorf("ParseSource(%q) = %s is not canonical", s, p)
			}
			if again, err := ParseSource(p.String()); err != nil || again != p {
				t.Errorf("ParseSource(%q) = %s, and that %s, %v", s, p, again, err)
			}
		}
	})
}

func TestAccountKeySpellings(t *testing.T) {
	spellings := []string{
		"jürgen.weiß@example.com",
		"JÜRGEN.WEISS@EXAMPLE.COM",
		"Jürgen.Weiß@Example.com",
		"ju\u0308rgen.weiß@example.com",        // decomposed
		"JU\u0308RGEN.WEIẞ@EXAMPLE.COM",        // decomposed, capital sharp s
		"  jürgen.weiß@example.com",            // spaces
		"jürgen.weiß@example.com\u00a0",        // no-break space
		"\u3000jürgen.weiß@example.com\u2003",  // wide spaces
		"ｊürgen.weiß＠example.com",              // full width
		"jürgen.weiß﹫example.com",              // small form
		"\ufeffjürgen.weiß@example.com\u200b",  // invisible at the ends
		"𝐣ürgen.weiß@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.ⅽom",              // mathematical and Roman letters
		"jürgen․weiß@example.com",              // one dot leader
		"\u200e jürgen.weiß@example.com\u200f", // direction marks
	}
	want := AccountKey("user", spellings[0])
	for _, s := range spellings {
		if got := AccountKey("user", s); got != want {
			t.Errorf("AccountKey(%+q) = %+q, want %+q", s, got, want)
		}
	}
	if upper, lower := AccountKey("user", "ᏣᎳᎩ"), AccountKey("user", "ꮳꮃꭹ"); upper != lower {
		t.Errorf("Cherokee %+q and %+q differ", upper, lower)
	}
	for _, s := range []string{"alice", "ALICE", "Alice", " alice ", "ａｌｉｃｅ", "\talice\n"} {
		if got := AccountKey("user", s); got != "user\x1falice" {
			t.Errorf("AccountKey(%+q) = %+q", s, got)
		}
	}
}

func TestAccountKeyKeepsApart(t *testing.T) {
	pairs := [][2]string{
		{"user", "alice"},
		{"admin", "alice"},
		{"", "alice"},
		{"user", "al ice"},
		{"user", "alicé"},
		{"user", "аlice"}, // Cyrillic а
		{"user", "a.lice"},
		{"user", "alice@example.com"},
		{"user", "corp\\alice"},
		{"user", "alice+1"},
		{"user", "0"},
		{"user", "o"},
		{"user", "\x00alice"},
		// A realm or a name that holds the separator.
		{"user\x1fal", "ice"},
		{"user", "al\x1fice"},
		{"", "user\x1falice"},
	}
	seen := map[string][2]string{}
	for _, p := range pairs {
		key := AccountKey(p[0], p[1])
		if other, ok := seen[key]; ok {
			t.Errorf("%+q and %+q share the key %+q", p, other, key)
		}
		seen[key] = p
	}
	for _, nobody := range []string{"", " ", "\u00a0\u200b", "\ufeff"} {
		if got := AccountKey("user", nobody); got != "" {
			t.Errorf("AccountKey(%+q) = %+q, want none", nobody, got)
		}
	}
}

// slowAccountName does without the short cut for plain ASCII and repeats itself
// until nothing changes.
func slowAccountName(s string) string {
	for range 100 {
		next := norm.NFKC.String(s)
		next = cases.Fold().String(next)
		next = strings.Map(cherokee, next)
		next = norm.NFKC.String(next)
		next = strings.ReplaceAll(next, "\x1f", "\ufffd")
		next = strings.TrimFunc(next, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
		if next == s {
			return s
		}
		s = next
	}
	panic("no end to the spellings of " + strconv.QuoteToASCII(s))
}

// Every character that has another spelling, by itself, within and at the ends
// of a name. The ranges leave out Han, Hangul and the unassigned.
func TestAccountKeyIsAFixedPoint(t *testing.T) {
	for _, block := range [][2]rune{
		{0, 0x33ff},
		{0xa640, 0xabff},
		{0xf900, 0xffff},
		{0x10400, 0x10fff},
		{0x16e40, 0x16e9f},
		{0x1d000, 0x1f2ff},
		{0x2f800, 0x2fa1f},
		{0xe0000, 0xe01ef},
	} {
		for r := block[0]; r <= block[1]; r++ {
			for _, s := range [...]string{string(r), "a" + string(r) + "b", "i" + string(r), "\u0345" + string(r)} {
				checkAccountKey(t, s)
			}
		}
	}
}

func checkAccountKey(t *testing.T, s string) {
	t.Helper()
	key := AccountKey("r", s)
	want := slowAccountName(s)
	if want == "" {
		if key != "" {
			t.Errorf("AccountKey(%+q) = %+q, want none", s, key)
		}
		return
	}
	if key != "r\x1f"+want {
		t.Errorf("AccountKey(%+q) = %+q, the slow way %+q", s, key, want)
		return
	}
	if again := AccountKey("r", want); again != key {
		t.Errorf("AccountKey(%+q) = %+q, and that %+q", s, key, again)
	}
}

func FuzzAccountKey(f *testing.F) {
	f.Add("user", "Alice")
	f.Add("", " ju\u0308rgen\u200b")
	f.Add("a\x1f", "ΑΙΑΣ\u0345")
	f.Fuzz(func(t *testing.T, realm, name string) {
		checkAccountKey(t, name)
		key := AccountKey(realm, name)
		if key == "" {
			return
		}
		// The parts can be read back, so no two different pairs share a key.
		i := strings.LastIndexByte(key, 0x1f)
		if i < 0 || key[:i] != realm || key[i+1:] == "" {
			t.Errorf("AccountKey(%q, %q) = %q", realm, name, key)
		}
		if AccountKey(realm, " "+name+"\t") != key {
			t.Errorf("spaces around %q change its key", name)
		}
	})
}

// A header with another meaning is filled in by clients: with it everybody
// would choose an address.
func TestClientHeader(t *testing.T) {
	for _, good := range []string{"X-Forwarded-For", "x-real-ip", "CF-Connecting-IP", "True-Client-IP", "X-Client-Address"} {
		if err := CheckClientHeader(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "X_Forwarded_For", "X Y", "X-Y:", "Forwarded", "Cookie", "cookie", "HOST", "authorization", "Proxy-Authorization", "User-Agent", "Referer",
		"Origin", "Content-Type", "Accept-Language", "Sec-Fetch-Site", "X-Forwarded-Host", "X-Original-URL", "X-Warder-Action", strings.Repeat("x", 65),
	} {
		if err := CheckClientHeader(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func BenchmarkAccountKey(b *testing.B) {
	for _, name := range []string{"alice@example.com", "Alice@example.com", "jürgen"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				AccountKey("user", name)
			}
		})
	}
}
