package warder

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

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
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, errors.New("must not be wider than the IPv4-mapped range ::ffff:0:0/96")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits set beyond the prefix length, the network is %s", p.Masked())
	}
	return p, nil
}

// AccountKey is the unit in which accounts are counted: the realm and the name
// in one spelling (NFKC, case folded, trimmed), so that Alice, ALICE and
// " alice" are one person. An empty account has no key.
func AccountKey(realm, account string) string {
	name := account
	for i := 0; i < len(name); i++ {
		if c := name[i]; c >= 0x80 || c <= ' ' || 'A' <= c && c <= 'Z' {
			name = strings.TrimSpace(cases.Fold().String(norm.NFKC.String(account)))
			name = norm.NFKC.String(name)
			break
		}
	}
	if name == "" {
		return ""
	}
	return realm + "\x1f" + name
}
