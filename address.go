package warder

import (
	"errors"
	"fmt"
	"net/netip"
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
