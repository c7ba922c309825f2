package counter

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// digest stands for a text that a stranger chose. It is keyed, so that nobody
// outside can look for texts that collide, or that fall into one shard.
type digest [16]byte

// tagDigest is cut to what fits into an entry; 96 keyed bits are plenty.
type tagDigest struct {
	hi uint64
	lo uint32
}

// What is digested, so that equal texts in different roles differ.
const (
	ofCounter = 'c'
	ofScore   = 's'
	ofMember  = 'm'
	ofTag     = 't'
	ofAddress = 'a'
	ofAccount = 'n'
	ofRule    = 'r'
	ofSecret  = 'x'
)

// digester makes digests. It remembers the last of those that the hits of one
// event have in common. It is not safe for concurrent use.
type digester struct {
	salt [16]byte
	buf  []byte

	member       string
	memberDigest digest
	tag          Tag
	tagged       tagDigest

	address       netip.Prefix
	addressDigest uint64
	account       string
	accountDigest uint64
}

func newDigester(salt [16]byte) digester {
	d := digester{salt: salt, buf: make([]byte, 0, 512)}
	d.memberDigest = d.sum(append(d.start(ofMember), ""...))
	d.tagged = d.tagSum(Tag{})
	return d
}

func (d *digester) start(role byte) []byte {
	return append(append(d.buf[:0], d.salt[:]...), role)
}

func (d *digester) sum(text []byte) digest {
	if cap(text) <= 1<<16 {
		d.buf = text // keep what grew
	}
	sum := sha256.Sum256(text)
	return digest(sum[:16])
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	if !p.IsValid() {
		return append(b, 0)
	}
	family := byte(6)
	if p.Addr().Is4() {
		family = 4
	}
	a := p.Addr().As16()
	return append(append(append(b, family), a[:]...), byte(p.Bits()))
}

func (d *digester) keySum(role byte, k *Key) digest {
	b := d.start(role)
	b = appendText(b, k.Rule)
	b = appendPrefix(b, k.Address)
	b = appendText(b, k.Account)
	b = appendText(b, k.Source)
	b = appendText(b, k.Session)
	b = appendText(b, k.Realm)
	return d.sum(b)
}

func (d *digester) memberSum(s string) digest {
	if s != d.member {
		d.member, d.memberDigest = s, d.sum(append(d.start(ofMember), s...))
	}
	return d.memberDigest
}

func (d *digester) tagOf(t Tag) tagDigest {
	if t != d.tag {
		d.tag, d.tagged = t, d.tagSum(t)
	}
	return d.tagged
}

func (d *digester) tagSum(t Tag) tagDigest {
	s := d.sum(appendText(appendPrefix(appendText(d.start(ofTag), t.Account), t.Address), t.Class))
	return tagDigest{hi: binary.LittleEndian.Uint64(s[:8]), lo: binary.LittleEndian.Uint32(s[8:12])}
}

// addressSum is 0 for a key without an address.
func (d *digester) addressSum(p netip.Prefix) uint64 {
	if !p.IsValid() {
		return 0
	}
	if p != d.address {
		d.address, d.addressDigest = p, d.short(appendPrefix(d.start(ofAddress), p))
	}
	return d.addressDigest
}

// accountSum is 0 for a key without an account.
func (d *digester) accountSum(s string) uint64 {
	if s == "" {
		return 0
	}
	if s != d.account {
		d.account, d.accountDigest = s, d.short(append(d.start(ofAccount), s...))
	}
	return d.accountDigest
}

func (d *digester) ruleSum(s string) uint32 {
	return uint32(d.short(append(d.start(ofRule), s...)))
}

// secretSum tells two salts apart without giving them away.
func (d *digester) secretSum() uint64 {
	return d.short(d.start(ofSecret))
}

func (d *digester) short(text []byte) uint64 {
	s := d.sum(text)
	return max(binary.LittleEndian.Uint64(s[:8]), 1)
}
