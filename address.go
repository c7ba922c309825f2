package warder

import (
	"errors"
	"fmt"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// Canonical gives the one spelling of an address that Warder works with:
// IPv4-mapped and NAT64 addresses become the IPv4 address inside, zones are
// dropped. Two addresses of one host compare equal after it.
func Canonical(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// ParseAddr reads an address in its usual spelling and makes it canonical.
// Octal, hexadecimal and decimal spellings, ports, the unspecified address and
// multicast addresses are refused: none of them is a client.
func ParseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("must be an IPv4 or IPv6 address, is %q", clip(s, 64))
	}
	a = Canonical(a)
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("must be the address of a client, %s is not", a)
	}
	return a, nil
}

// AddressKey is the unit in which sources are counted and blocked: the address
// itself for IPv4, its /64 for IPv6, where one host owns as many addresses as
// it likes. An invalid address has an invalid key.
func AddressKey(a netip.Addr) netip.Prefix {
	a = Canonical(a)
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// ParseSource reads an address or prefix as an operator writes it in a block
// or in the trusted list: a bare IPv6 address means its /64, since /128 must be
// written. Host bits beyond the prefix length are refused, so that a typing
// mistake does not silently cover another network.
func ParseSource(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return AddressKey(a), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("must be an address or a prefix such as 192.0.2.0/24, is %q", clip(s, 64))
	}
	if a := Canonical(p.Addr()); a != p.Addr() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a, p.Bits()-96)
	} else if p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("must not be wider than the IPv4-mapped range ::ffff:0:0/96")
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits set beyond the prefix length, the network is %s", p.Masked())
	}
	return p, nil
}

// AccountKey is the unit in which accounts are counted: the realm and the name
// in one spelling (NFKC, case folded, without spaces and invisible characters
// at its ends), so that Alice, ALICE and " alice" are one person. An empty
// account has no key. The last U+001F of a key separates realm from name.
func AccountKey(realm, account string) string {
	var name string
	if strings.IndexFunc(account, func(r rune) bool { return r >= 0x80 }) < 0 {
		name = strings.ToLower(strings.TrimSpace(account))
	} else {
		name = foldName(account)
	}
	if strings.IndexByte(name, 0x1f) >= 0 {
		name = strings.ReplaceAll(name, "\x1f", "\ufffd")
	}
	if name == "" {
		return ""
	}
	return realm + "\x1f" + name
}

// foldName is NFKC, case fold and NFKC with the ends trimmed, until nothing
// changes: a name without a second spelling must be its own key.
func foldName(s string) string {
	for range 4 {
		next := cases.Fold().String(norm.NFKC.String(s))
		next = norm.NFKC.String(strings.Map(cherokee, next))
		next = strings.TrimFunc(next, invisible)
		if next == s {
			break
		}
		s = next
	}
	return s
}

// cherokee chooses the capital letter, as Unicode's case folding does for this
// one script; x/text exchanges capital and small letters instead.
func cherokee(r rune) rune {
	if r >= 0x13a0 && unicode.Is(unicode.Cherokee, r) {
		return unicode.ToUpper(r)
	}
	return r
}

// invisible reports whether r cannot be seen at the end of a name: a space, or
// a format character such as the zero width space or a direction mark.
func invisible(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// otherHeaders are names of headers that say something else than who the client
// is. Proxies pass most of them on as the client sent them.
var otherHeaders = []string{
	"Accept", "Authorization", "Cache-Control", "Connection", "Cookie", "Date", "Expect", "From", "Host", "Keep-Alive", "Origin", "Pragma",
	"Proxy-Authorization", "Proxy-Connection", "Range", "Referer", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via",
	"X-Forwarded-Host", "X-Forwarded-Method", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-Uri",
	"X-Requested-With", "X-Request-Id",
}

// CheckClientHeader reports whether a header of this name can carry the address
// of a client; the error says why not, without the name. A header that has
// another meaning is one that clients fill in: with it everybody would choose
// an address.
func CheckClientHeader(name string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case strings.Contains(name, "_"):
		return errors.New("must not contain underscores: many proxies cannot tell them from hyphens")
	case name == "" || len(name) > 64 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return errors.New("must be the name of an HTTP header, of letters, digits and hyphens, such as X-Forwarded-For")
	case canonical == "Forwarded":
		return errors.New("must not be Forwarded, which is not supported: use X-Forwarded-For")
	}
	for _, prefix := range []string{"Accept-", "Access-Control-", "Content-", "If-", "Sec-", "X-Original-", "X-Warder-"} {
		if strings.HasPrefix(canonical, prefix) {
			return fmt.Errorf("%s... says something else than who the client is: name the header that your proxy sets, such as X-Forwarded-For", prefix)
		}
	}
	if slices.Contains(otherHeaders, canonical) {
		return fmt.Errorf("%s says something else than who the client is: name the header that your proxy sets, such as X-Forwarded-For", canonical)
	}
	return nil
}
