package feed

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// Entry is one listed prefix. Level is what the list says of it: on how many
// other lists it stands, or 1 if the list says nothing.
type Entry struct {
	Prefix netip.Prefix
	Level  uint16
}

// List is an immutable list of addresses, each with a level. Entries that
// contain one another are resolved when it is made: the highest level wins.
// A nil List is empty.
type List struct {
	entries []Entry // sorted, one per prefix
	v4      ranges4
	v6      ranges6
}

// newList takes over entries.
func newList(entries []Entry) *List {
	slices.SortFunc(entries, func(a, b Entry) int {
		if c := comparePrefix(a.Prefix, b.Prefix); c != 0 {
			return c
		}
		return cmp.Compare(b.Level, a.Level)
	})
	entries = slices.CompactFunc(entries, func(a, b Entry) bool { return a.Prefix == b.Prefix })
	l := &List{entries: slices.Clip(entries)}
	split, _ := slices.BinarySearchFunc(entries, 6, func(e Entry, _ int) int {
		if e.Prefix.Addr().Is4() {
			return -1
		}
		return 1
	})
	l.v4 = newRanges4(flatten(entries[:split]))
	l.v6 = flatten(entries[split:])
	return l
}

// comparePrefix sorts IPv4 before IPv6, then by address, wider ones first.
func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return cmp.Compare(a.Bits(), b.Bits())
}

// Len is the number of entries.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	return len(l.entries)
}

// All calls yield for the entries in the order of their addresses.
func (l *List) All(yield func(Entry) bool) {
	if l == nil {
		return
	}
	for _, e := range l.entries {
		if !yield(e) {
			return
		}
	}
}

// Lookup returns the level of an address: the highest of the entries that
// contain it. It allocates nothing and takes no lock.
func (l *List) Lookup(a netip.Addr) (level int, ok bool) {
	if l == nil {
		return 0, false
	}
	if a.Is4In6() {
		a = a.Unmap()
	}
	if a.Is4() {
		b := a.As4()
		return l.v4.lookup(binary.BigEndian.Uint32(b[:]))
	}
	if a.Is6() {
		return l.v6.lookup(wide(a))
	}
	return 0, false
}

// covered4 is the number of IPv4 addresses, covered6 that of IPv6 /64 networks
// (begun ones count).
func (l *List) covered() (v4, v6 uint64) {
	for i := range l.v4.start {
		v4 += uint64(l.v4.end[i]) - uint64(l.v4.start[i]) + 1
	}
	for _, r := range l.v6 {
		v6 += r.end.hi - r.start.hi + 1
	}
	return v4, v6
}

// u128 is an IPv6 address, or an IPv4 address in lo, as a number.
type u128 struct{ hi, lo uint64 }

func wide(a netip.Addr) u128 {
	if a.Is4() {
		b := a.As4()
		return u128{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a u128) compare(b u128) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

func (a u128) less(b u128) bool { return a.compare(b) < 0 }

func (a u128) next() u128 {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return u128{a.hi + carry, lo}
}

func (a u128) prev() u128 {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	return u128{a.hi - borrow, lo}
}

// last is the last address of a prefix.
func last(p netip.Prefix) u128 {
	a := wide(p.Addr())
	host := p.Addr().BitLen() - p.Bits()
	switch {
	case host >= 128:
		return u128{^uint64(0), ^uint64(0)}
	case host >= 64:
		return u128{a.hi | (1<<(host-64) - 1), ^uint64(0)}
	}
	return u128{a.hi, a.lo | (1<<host - 1)}
}

// span is a range of addresses, both ends included, with one level.
type span struct {
	start, end u128
	level      uint16
}

// flatten turns sorted prefixes, which lie apart or inside one another, into
// ranges that lie apart. Neighbours of one level become one range.
func flatten(entries []Entry) []span {
	type open struct {
		end   u128
		level uint16
	}
	var (
		out   []span
		stack []open
		pos   u128 // everything before it is written
		done  bool // pos ran over the end of the address space
	)
	emit := func(end u128, level uint16) {
		if n := len(out); n > 0 && out[n-1].level == level && out[n-1].end.next() == pos {
			out[n-1].end = end
			return
		}
		out = append(out, span{pos, end, level})
	}
	pop := func() {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !done && !top.end.less(pos) {
			emit(top.end, top.level)
			pos = top.end.next()
			done = pos == u128{}
		}
	}
	for _, e := range entries {
		start := wide(e.Prefix.Addr())
		for len(stack) > 0 && stack[len(stack)-1].end.less(start) {
			pop()
		}
		level := e.Level
		if len(stack) > 0 {
			top := stack[len(stack)-1]
			if pos.less(start) {
				emit(start.prev(), top.level)
			}
			level = max(level, top.level)
		}
		pos = start
		stack = append(stack, open{last(e.Prefix), level})
	}
	for len(stack) > 0 {
		pop()
	}
	return slices.Clip(out)
}

// ranges4 are ranges of IPv4 addresses with an index by the leading bits, so
// that a look-up searches among a few ranges instead of all: one access to the
// index, then mostly one cache line.
type ranges4 struct {
	start, end []uint32
	level      []uint16
	index      []uint32 // by bucket: the first range that ends in or after it
	shift      uint
}

func newRanges4(spans []span) ranges4 {
	n := len(spans)
	r := ranges4{start: make([]uint32, n), end: make([]uint32, n), level: make([]uint16, n)}
	for i, s := range spans {
		r.start[i], r.end[i], r.level[i] = uint32(s.start.lo), uint32(s.end.lo), s.level
	}
	lead := min(bits.Len(uint(n)), 18)
	r.shift = uint(32 - lead)
	r.index = make([]uint32, 1<<lead+1)
	i := 0
	for b := range r.index {
		for i < n && uint64(r.end[i])>>r.shift < uint64(b) {
			i++
		}
		r.index[b] = uint32(i)
	}
	return r
}

func (r *ranges4) lookup(a uint32) (int, bool) {
	if len(r.start) == 0 {
		return 0, false
	}
	b := uint64(a) >> r.shift
	lo, hi := int(r.index[b]), min(int(r.index[b+1])+1, len(r.start))
	for lo < hi { // the first range that starts after a
		m := int(uint(lo+hi) >> 1)
		if r.start[m] <= a {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 || r.end[lo-1] < a {
		return 0, false
	}
	return int(r.level[lo-1]), true
}

type ranges6 []span

func (r ranges6) lookup(a u128) (int, bool) {
	lo, hi := 0, len(r)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if !a.less(r[m].start) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 || r[lo-1].end.less(a) {
		return 0, false
	}
	return int(r[lo-1].level), true
}

// difference counts the prefixes that are only in b and only in a.
func difference(a, b *List) (added, removed int) {
	i, j := 0, 0
	for i < a.Len() && j < b.Len() {
		switch c := comparePrefix(a.entries[i].Prefix, b.entries[j].Prefix); {
		case c == 0:
			i, j = i+1, j+1
		case c < 0:
			removed, i = removed+1, i+1
		default:
			added, j = added+1, j+1
		}
	}
	return added + b.Len() - j, removed + a.Len() - i
}
