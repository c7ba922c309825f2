// Package prefix maps address prefixes to values, for tables that are asked on
// every request and changed now and then: blocks, trusted prefixes, feeds.
//
// It promises: readers take no lock, allocate nothing and always see one whole
// state of the table; a change, also the exchange of a million entries, appears
// at once; the answer "no prefix covers this address", which nearly every
// request gets, costs one or two memory accesses however many host routes the
// table holds. It does not know what the values mean, and it forgets nothing by
// itself.
package prefix

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"github.com/warderhq/warder"
)

// Table maps prefixes to values. The zero value is an empty table. All methods
// are safe for concurrent use; a Table must not be copied.
//
// Prefixes and addresses are made canonical on the way in: mapped and NAT64
// spellings mean the IPv4 address inside, zones and host bits are dropped.
// Invalid ones are in no table and covered by nothing.
//
// Values are shared between the table and its readers: they must not be changed
// once they are set.
type Table[V any] struct {
	mu   sync.Mutex // serialises writers
	snap atomic.Pointer[snapshot[V]]
}

// snapshot is one state of a table. Everything but the bits of hosts, which are
// only ever added to, is immutable once it is published.
type snapshot[V any] struct {
	all *bart.Table[box[V]]
	// wide repeats the prefixes that cover more than one address key (nil if
	// there are none), and hosts is a sketch of the others. What is in neither
	// is not in all.
	wide  *bart.Lite
	hosts *filter
}

// box keeps bart from calling a Clone method that V may happen to have.
type box[V any] struct{ v V }

// Contains reports whether any prefix of the table covers a.
func (t *Table[V]) Contains(a netip.Addr) bool {
	s := t.snap.Load()
	if s == nil {
		return false
	}
	a = canonical(a)
	if s.wide != nil && s.wide.Contains(a) {
		return true
	}
	return s.hosts.mayHold(hostKey(a)) && s.all.Contains(a)
}

// Lookup returns the value of the narrowest prefix that covers a.
func (t *Table[V]) Lookup(a netip.Addr) (v V, ok bool) {
	s := t.snap.Load()
	if s == nil {
		return v, false
	}
	a = canonical(a)
	if !s.mayCover(a) {
		return v, false
	}
	b, ok := s.all.Lookup(a)
	return b.v, ok
}

// Covering calls f for every prefix that covers a, from the narrowest to the
// widest, until f returns false.
func (t *Table[V]) Covering(a netip.Addr, f func(netip.Prefix, V) bool) {
	s := t.snap.Load()
	if s == nil {
		return
	}
	a = canonical(a)
	if !s.mayCover(a) {
		return
	}
	for bits := a.BitLen(); bits >= 0; {
		p, b, ok := s.all.LookupPrefixLPM(netip.PrefixFrom(a, bits))
		if !ok || !f(p, b.v) {
			return
		}
		bits = p.Bits() - 1
	}
}

// Get returns the value set for exactly p.
func (t *Table[V]) Get(p netip.Prefix) (v V, ok bool) {
	s := t.snap.Load()
	p = canonicalPrefix(p)
	if s == nil || !p.IsValid() {
		return v, false
	}
	b, ok := s.all.Get(p)
	return b.v, ok
}

// Overlaps returns one entry that shares an address with p: the narrowest that
// covers p if there is one, else one that lies inside p.
func (t *Table[V]) Overlaps(p netip.Prefix) (with netip.Prefix, v V, ok bool) {
	s := t.snap.Load()
	p = canonicalPrefix(p)
	if s == nil || !p.IsValid() {
		return with, v, false
	}
	if with, b, ok := s.all.LookupPrefixLPM(p); ok {
		return with, b.v, true
	}
	for with, b := range s.all.Subnets(p) {
		return with, b.v, true
	}
	return with, v, false
}

// Len is the number of entries.
func (t *Table[V]) Len() int {
	s := t.snap.Load()
	if s == nil {
		return 0
	}
	return s.all.Size()
}

// All calls f for every entry of one state of the table, in no particular
// order, until f returns false. f may change the table; it does not see that.
func (t *Table[V]) All(f func(netip.Prefix, V) bool) {
	s := t.snap.Load()
	if s == nil {
		return
	}
	for p, b := range s.all.All() {
		if !f(p, b.v) {
			return
		}
	}
}

// Set gives p the value v, in place of the one it may have. It costs some tens
// of microseconds in a table of a million entries; Merge is for adding many, and
// Replace for loading them all.
func (t *Table[V]) Set(p netip.Prefix, v V) {
	p = canonicalPrefix(p)
	if !p.IsValid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()

	old := t.snap.Load()
	if old == nil {
		old = &snapshot[V]{all: new(bart.Table[box[V]]), hosts: newFilter(0)}
	}
	s := &snapshot[V]{
		all:   old.all.InsertPersist(p, box[V]{v}),
		wide:  old.wide,
		hosts: old.hosts,
	}
	if isWide(p) {
		if s.wide == nil {
			s.wide = new(bart.Lite)
		}
		s.wide = s.wide.InsertPersist(p)
	} else if !s.hosts.add(hostKey(p.Addr())) {
		// The sketch is full, of living entries or of deleted ones: draw it anew.
		s.hosts = s.sketch()
	}
	t.snap.Store(s)
}

// Merge adds what fill adds, all of it in one step: readers see none of it until
// fill has returned. What is added to a prefix that is there already is merged
// with what it has. For a thousand entries it costs a small part of as many calls
// of Set. The rules for fill are those of Replace.
func (t *Table[V]) Merge(merge func(old, latest V) V, fill func(add func(netip.Prefix, V))) {
	t.mu.Lock()
	defer t.mu.Unlock()

	s := &snapshot[V]{all: new(bart.Table[box[V]]), hosts: newFilter(0)}
	if old := t.snap.Load(); old != nil {
		*s = *old
	}
	// What is new is gathered apart, so that the nodes it shares with the rest
	// are copied once and not for each entry.
	fresh, wide := new(bart.Table[box[V]]), new(bart.Lite)
	crowded := false
	fill(func(p netip.Prefix, v V) {
		p = canonicalPrefix(p)
		if !p.IsValid() {
			return
		}
		if old, ok := fresh.Get(p); ok {
			fresh.Insert(p, box[V]{merge(old.v, v)})
			return
		}
		if old, ok := s.all.Get(p); ok {
			s.all = s.all.InsertPersist(p, box[V]{merge(old.v, v)})
			return
		}
		fresh.Insert(p, box[V]{v})
		switch {
		case isWide(p):
			wide.Insert(p)
		case !crowded && !s.hosts.add(hostKey(p.Addr())):
			crowded = true
		}
	})
	s.all = s.all.UnionPersist(fresh)
	if wide.Size() > 0 {
		if s.wide == nil {
			s.wide = wide
		} else {
			s.wide = s.wide.UnionPersist(wide)
		}
	}
	if crowded {
		s.hosts = s.sketch()
	}
	t.snap.Store(s)
}

// Delete removes p and reports whether it was there.
func (t *Table[V]) Delete(p netip.Prefix) bool {
	p = canonicalPrefix(p)
	t.mu.Lock()
	defer t.mu.Unlock()

	old := t.snap.Load()
	if old == nil || !p.IsValid() {
		return false
	}
	if _, ok := old.all.Get(p); !ok {
		return false
	}
	s := &snapshot[V]{
		all:   old.all.DeletePersist(p),
		wide:  old.wide,
		hosts: old.hosts,
	}
	if isWide(p) {
		if s.wide = s.wide.DeletePersist(p); s.wide.Size() == 0 {
			s.wide = nil
		}
	}
	t.snap.Store(s)
	return true
}

// Replace exchanges the whole content for what fill adds. Readers see the old
// content until fill has returned and the new one from then on; other writers
// wait. The last value added for a prefix counts. fill must not use the table
// except to read it, and must not keep add.
func (t *Table[V]) Replace(fill func(add func(netip.Prefix, V))) {
	t.ReplaceMerged(func(_, latest V) V { return latest }, fill)
}

// ReplaceMerged is Replace for content that names prefixes more than once: what
// is added to a prefix that is there already is merged with what it has.
func (t *Table[V]) ReplaceMerged(merge func(old, latest V) V, fill func(add func(netip.Prefix, V))) {
	t.mu.Lock()
	defer t.mu.Unlock()

	s := &snapshot[V]{all: new(bart.Table[box[V]])}
	wide := new(bart.Lite)
	fill(func(p netip.Prefix, v V) {
		p = canonicalPrefix(p)
		if !p.IsValid() {
			return
		}
		if old, ok := s.all.Get(p); ok {
			s.all.Insert(p, box[V]{merge(old.v, v)})
			return
		}
		s.all.Insert(p, box[V]{v})
		if isWide(p) {
			wide.Insert(p)
		}
	})
	if wide.Size() > 0 {
		s.wide = wide
	}
	s.hosts = s.sketch()
	t.snap.Store(s)
}

// mayCover is false if no prefix covers a, which must be canonical.
func (s *snapshot[V]) mayCover(a netip.Addr) bool {
	return s.hosts.mayHold(hostKey(a)) || s.wide != nil && s.wide.Contains(a)
}

// sketch draws the filter of all narrow prefixes.
func (s *snapshot[V]) sketch() *filter {
	f := newFilter(s.all.Size())
	for p := range s.all.All() {
		if !isWide(p) {
			f.add(hostKey(p.Addr()))
		}
	}
	return f
}

func canonical(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	return warder.Canonical(a)
}

func canonicalPrefix(p netip.Prefix) netip.Prefix {
	a := p.Addr()
	if c := canonical(a); c.Is4() && !a.Is4() {
		if p.Bits() < 96 {
			return p.Masked()
		}
		p = netip.PrefixFrom(c, p.Bits()-96)
	}
	return p.Masked()
}

// isWide reports whether p covers more than one address key.
func isWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 32
	}
	return p.Bits() < 64
}
