package store

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/warderhq/warder"
)

// micros stores an instant; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant reads what micros stored.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// addrBytes stores an address; an invalid one is NULL.
func addrBytes(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	b := a.As16()
	return b[:]
}

func bytesAddr(b []byte) netip.Addr {
	if len(b) != 16 {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

// keyBytes stores an address key by its first address: its length follows from
// the family.
func keyBytes(p netip.Prefix) []byte {
	if !p.IsValid() {
		return nil
	}
	return addrBytes(p.Masked().Addr())
}

// widen makes a part of an address key the key: sessions, profiles and counts
// are kept by keys.
func widen(p netip.Prefix) netip.Prefix {
	if key := warder.AddressKey(p.Addr()); key.IsValid() && key.Bits() < p.Bits() {
		return key
	}
	return p
}

func bytesKey(b []byte) netip.Prefix { return warder.AddressKey(bytesAddr(b)) }

// bounds stores any prefix by its first and its last address.
func bounds(p netip.Prefix) (first, last []byte) {
	if !p.IsValid() {
		return nil, nil
	}
	f := p.Masked().Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	l := f
	for i := bits; i < 128; i++ {
		l[i/8] |= 0x80 >> (i % 8)
	}
	return f[:], l[:]
}

// mapped is where IPv4 lies among the 16 bytes.
var mappedFirst, mappedLast = bounds(netip.MustParsePrefix("0.0.0.0/0"))

// span is a range of stored addresses.
type span struct{ first, last []byte }

// spans are the stored addresses that a prefix covers: one range, but for an
// IPv6 prefix so wide that the IPv4 addresses, which it does not cover, lie in
// the middle of it.
func spans(p netip.Prefix) []span {
	first, last := bounds(p)
	if p.Addr().Is4() || p.Bits() >= 96 || !p.Contains(netip.AddrFrom16([16]byte(mappedFirst))) {
		return []span{{first, last}}
	}
	before := netip.AddrFrom16([16]byte(mappedFirst)).Prev().As16()
	after := netip.AddrFrom16([16]byte(mappedLast)).Next().As16()
	return []span{{first, before[:]}, {after[:], last}}
}

// bytesPrefix reads what bounds stored. IPv4 is told by its mapped form, so a
// prefix of /96 or longer inside ::ffff:0:0/96 is IPv4.
func bytesPrefix(first, last []byte) netip.Prefix {
	if len(first) != 16 || len(last) != 16 {
		return netip.Prefix{}
	}
	bits := 0
	for bits < 128 && (first[bits/8]^last[bits/8])&(0x80>>(bits%8)) == 0 {
		bits++
	}
	a := netip.AddrFrom16([16]byte(first))
	if a.Is4In6() && bits >= 96 {
		return netip.PrefixFrom(a.Unmap(), bits-96)
	}
	return netip.PrefixFrom(a, bits)
}

// splitKey parts an account key into realm and folded name.
func splitKey(key string) (realm, name string) {
	realm, name, _ = strings.Cut(key, "\x1f")
	return realm, name
}

func joinKey(realm, name string) string {
	if name == "" {
		return ""
	}
	return realm + "\x1f" + name
}

// foldAccount folds an account as its key does, without the realm.
func foldAccount(account string) string {
	_, name := splitKey(warder.AccountKey("", account))
	return name
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// optional stores an empty text as NULL.
func optional[T ~string | ~[]byte](s T) any {
	if len(s) == 0 {
		return nil
	}
	return string(s)
}

// jsonText marshals what cannot fail to.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(b)
}

// keyText is how an address key is shown: IPv4 without its length.
func keyText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// textKey reads what keyText wrote.
func textKey(s string) []byte {
	p, err := warder.ParseSource(s)
	if err != nil {
		return nil
	}
	return keyBytes(p)
}
