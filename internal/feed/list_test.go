package feed

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// slowLookup is the obvious model of List.Lookup.
func slowLookup(entries []Entry, a netip.Addr) (level int, ok bool) {
	for _, e := range entries {
		if e.Prefix.Contains(a.Unmap()) {
			level, ok = max(level, int(e.Level)), true
		}
	}
	return level, ok
}

func TestListAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for round := range 300 {
		var entries []Entry
		for range r.IntN(40) {
			// Few different bits, so that entries often contain one another.
			var a netip.Addr
			width := 32
			if r.IntN(3) == 0 {
				width = 128
				a = netip.AddrFrom16([16]byte{0x20, byte(r.IntN(2)), 0, byte(r.IntN(3)), 0, 0, 0, byte(r.IntN(2)), byte(r.IntN(2)), 15: byte(r.IntN(4))})
			} else {
				a = netip.AddrFrom4([4]byte{byte(r.IntN(3)), byte(r.IntN(2) * 255), byte(r.IntN(2) * 255), byte(r.IntN(256))})
			}
			p, _ := a.Prefix(r.IntN(width + 1))
			entries = append(entries, Entry{p, uint16(1 + r.IntN(4))})
		}
		l := newList(append([]Entry(nil), entries...))
		probe := func(a netip.Addr) {
			level, ok := l.Lookup(a)
			wantLevel, wantOK := slowLookup(entries, a)
			if level != wantLevel || ok != wantOK {
				t.Fatalf("round %d: %s is %d %t, want %d %t in %v", round, a, level, ok, wantLevel, wantOK, entries)
			}
		}
		for _, e := range entries {
			first := e.Prefix.Addr()
			for _, a := range []netip.Addr{first, first.Prev(), first.Next(), lastAddr(e.Prefix), lastAddr(e.Prefix).Next(), lastAddr(e.Prefix).Prev()} {
				if a.IsValid() {
					probe(a)
				}
			}
		}
		for range 50 {
			probe(netip.AddrFrom4([4]byte{byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}))
		}
		probe(netip.MustParseAddr("::ffff:1.0.0.1"))
		for i, s := range l.v6 {
			if s.end.less(s.start) || i > 0 && !l.v6[i-1].end.less(s.start) {
				t.Fatalf("ranges overlap: %v", l.v6)
			}
		}
	}
}

func lastAddr(p netip.Prefix) netip.Addr {
	a := p.Addr().As16()
	off := 128 - p.Addr().BitLen()
	for i := off + p.Bits(); i < 128; i++ {
		a[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom16(a).Unmap()
}

func TestEmptyLists(t *testing.T) {
	var none *List
	for _, l := range []*List{none, newList(nil)} {
		for _, a := range []netip.Addr{{}, netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("::")} {
			if _, ok := l.Lookup(a); ok {
				t.Errorf("%s is listed in an empty list", a)
			}
		}
		if l.Len() != 0 {
			t.Errorf("length %d", l.Len())
		}
	}
}

// manyEntries makes a list like IPsum: single addresses, most of level 1.
func manyEntries(n int) []Entry {
	r := rand.New(rand.NewPCG(3, 4))
	entries := make([]Entry, n)
	for i := range entries {
		a := netip.AddrFrom4([4]byte{byte(11 + r.IntN(80)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		entries[i] = Entry{netip.PrefixFrom(a, 32), uint16(1 + r.IntN(10)*r.IntN(2)*r.IntN(2))}
	}
	return entries
}

func TestLookupAllocatesNothing(t *testing.T) {
	l := newList(manyEntries(10_000))
	a, b := netip.MustParseAddr("93.1.2.3"), netip.MustParseAddr("2a00::1")
	if n := testing.AllocsPerRun(100, func() { l.Lookup(a); l.Lookup(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1000, 120_430} {
		l := newList(manyEntries(n))
		r := rand.New(rand.NewPCG(1, 2))
		addrs := make([]netip.Addr, 1<<16)
		for i := range addrs {
			addrs[i] = netip.AddrFrom4([4]byte{byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			found := 0
			for i := 0; b.Loop(); i++ {
				if _, ok := l.Lookup(addrs[i&(len(addrs)-1)]); ok {
					found++
				}
			}
		})
	}
}
