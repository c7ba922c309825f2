package prefix

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// model is the obvious table: a list that is searched from end to end.
type model map[netip.Prefix]int

type entry struct {
	P netip.Prefix
	V int
}

func (m model) covering(a netip.Addr) []entry {
	var out []entry
	for p, v := range m {
		if p.Contains(a) {
			out = append(out, entry{p, v})
		}
	}
	slices.SortFunc(out, func(x, y entry) int { return cmp.Compare(y.P.Bits(), x.P.Bits()) })
	return out
}

func (m model) overlaps(p netip.Prefix) (covering *entry, any bool) {
	for q, v := range m {
		if !q.Overlaps(p) {
			continue
		}
		any = true
		if q.Bits() <= p.Bits() && (covering == nil || q.Bits() > covering.P.Bits()) {
			covering = &entry{q, v}
		}
	}
	return covering, any
}

// genAddr draws from few addresses, so that prefixes and addresses meet.
func genAddr(t *rapid.T) netip.Addr {
	few := func(label string) byte { return rapid.SampledFrom([]byte{0, 1, 127, 128, 255}).Draw(t, label) }
	if rapid.Bool().Draw(t, "v4") {
		return netip.AddrFrom4([4]byte{few("a"), few("b"), few("c"), few("d")})
	}
	b := [16]byte{0: 0x20, 1: few("a"), 6: few("b"), 7: few("c"), 8: few("d"), 15: few("e")}
	return netip.AddrFrom16(b)
}

func genPrefix(t *rapid.T) netip.Prefix {
	a := genAddr(t)
	bits := []int{0, 1, 8, 9, 15, 24, 31, 32, 32, 32}
	if a.Is6() {
		bits = []int{0, 9, 16, 48, 63, 64, 64, 65, 127, 128}
	}
	return netip.PrefixFrom(a, rapid.SampledFrom(bits).Draw(t, "bits"))
}

func TestTableAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tab Table[int]
		want := model{}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				p := genPrefix(t)
				n++
				tab.Set(p, n)
				want[p.Masked()] = n
			},
			"delete": func(t *rapid.T) {
				p := genPrefix(t)
				_, had := want[p.Masked()]
				if got := tab.Delete(p); got != had {
					t.Fatalf("Delete(%s) = %t, want %t", p, got, had)
				}
				delete(want, p.Masked())
			},
			"replace": func(t *rapid.T) {
				ps := rapid.SliceOfN(rapid.Custom(genPrefix), 0, 8).Draw(t, "new")
				clear(want)
				tab.Replace(func(add func(netip.Prefix, int)) {
					for _, p := range ps {
						n++
						add(p, n)
						want[p.Masked()] = n
					}
				})
			},
			"merge": func(t *rapid.T) {
				ps := rapid.SliceOfN(rapid.Custom(genPrefix), 0, 8).Draw(t, "added")
				before := model{}
				tab.All(func(p netip.Prefix, v int) bool { before[p] = v; return true })
				old := tab.snap.Load()
				// What is added weighs more than what was there, so the order of
				// the two shows.
				tab.Merge(func(old, latest int) int { return old + 2*latest }, func(add func(netip.Prefix, int)) {
					for _, p := range ps {
						n++
						add(p, n)
						if v, ok := want[p.Masked()]; ok {
							want[p.Masked()] = v + 2*n
						} else {
							want[p.Masked()] = n
						}
					}
				})
				if old == nil {
					return
				}
				for p, b := range old.all.All() { // readers may still be at it
					if before[p] != b.v {
						t.Fatalf("%s changed in a state that was published: %d, was %d", p, b.v, before[p])
					}
				}
				if old.all.Size() != len(before) {
					t.Fatalf("a published state has %d entries, had %d", old.all.Size(), len(before))
				}
			},
			"": func(t *rapid.T) {
				a := genAddr(t)
				cover := want.covering(a)
				if got := tab.Contains(a); got != (len(cover) > 0) {
					t.Fatalf("Contains(%s) = %t, want %t", a, got, !got)
				}
				var got []entry
				tab.Covering(a, func(p netip.Prefix, v int) bool {
					got = append(got, entry{p, v})
					return true
				})
				if diff := gocmp.Diff(cover, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
					t.Fatalf("Covering(%s) (-want +got):\n%s", a, diff)
				}
				v, ok := tab.Lookup(a)
				if ok != (len(cover) > 0) || ok && v != cover[0].V {
					t.Fatalf("Lookup(%s) = %d, %t, want first of %v", a, v, ok, cover)
				}
				p := genPrefix(t)
				v, ok = tab.Get(p)
				if wv, wok := want[p.Masked()]; v != wv || ok != wok {
					t.Fatalf("Get(%s) = %d, %t, want %d, %t", p, v, ok, wv, wok)
				}
				narrowest, any := want.overlaps(p.Masked())
				q, v, ok := tab.Overlaps(p)
				switch {
				case ok != any:
					t.Fatalf("Overlaps(%s) = %t, want %t", p, ok, any)
				case narrowest != nil && (q != narrowest.P || v != narrowest.V):
					t.Fatalf("Overlaps(%s) = %s, want %s", p, q, narrowest.P)
				case ok && (!q.Overlaps(p.Masked()) || want[q] != v):
					t.Fatalf("Overlaps(%s) = %s (%d), which does not", p, q, v)
				}
				all := model{}
				tab.All(func(p netip.Prefix, v int) bool { all[p] = v; return true })
				if diff := gocmp.Diff(want, all, cmpopts.EquateEmpty()); diff != "" || tab.Len() != len(want) {
					t.Fatalf("All (-want +got), Len %d:\n%s", tab.Len(), diff)
				}
			},
		})
	})
}

func TestSpellings(t *testing.T) {
	tests := []struct{ set, get string }{
		{"203.0.113.9/32", "::ffff:203.0.113.9"},
		{"203.0.113.9/32", "64:ff9b::203.0.113.9"},
		{"::ffff:203.0.113.9/128", "203.0.113.9"},
		{"::ffff:203.0.113.0/120", "203.0.113.200"},
		{"64:ff9b::203.0.113.0/120", "203.0.113.200"},
		{"203.0.113.77/24", "203.0.113.1"},
		{"fe80::1/64", "fe80::1%eth0"},
		{"fe80::/10", "fe80::1%eth0"},
		{"2001:db8::1/128", "2001:db8::1"},
		{"::/0", "2001:db8::1"},
		{"0.0.0.0/0", "::ffff:203.0.113.9"},
	}
	for _, tt := range tests {
		t.Run(tt.set+" covers "+tt.get, func(t *testing.T) {
			p, a := netip.MustParsePrefix(tt.set), netip.MustParseAddr(tt.get)
			var tab Table[string]
			tab.Set(p, "x")
			if v, ok := tab.Lookup(a); !ok || v != "x" || !tab.Contains(a) {
				t.Errorf("Lookup(%s) = %q, %t", a, v, ok)
			}
			if _, ok := tab.Get(p); !ok {
				t.Errorf("Get(%s) finds nothing", p)
			}
			if _, _, ok := tab.Overlaps(p); !ok {
				t.Errorf("Overlaps(%s) finds nothing", p)
			}
			if !tab.Delete(p) || tab.Contains(a) || tab.Len() != 0 {
				t.Errorf("%s is still there", p)
			}
		})
	}
}

// An IPv4 address is never covered by ::/0, nor the other way round.
func TestFamiliesStayApart(t *testing.T) {
	var tab Table[int]
	tab.Set(netip.MustParsePrefix("::/0"), 6)
	if tab.Contains(netip.MustParseAddr("203.0.113.9")) || tab.Contains(netip.MustParseAddr("::ffff:203.0.113.9")) {
		t.Error("::/0 covers an IPv4 address")
	}
	tab.Delete(netip.MustParsePrefix("::/0"))
	tab.Set(netip.MustParsePrefix("0.0.0.0/0"), 4)
	if tab.Contains(netip.MustParseAddr("2001:db8::1")) {
		t.Error("0.0.0.0/0 covers an IPv6 address")
	}
}

func TestEmptyAndInvalid(t *testing.T) {
	var tab Table[int]
	check := func() {
		t.Helper()
		if tab.Contains(netip.Addr{}) || tab.Delete(netip.Prefix{}) || tab.Len() != 0 {
			t.Error("an empty table holds something")
		}
		if _, _, ok := tab.Overlaps(netip.Prefix{}); ok {
			t.Error("an invalid prefix overlaps")
		}
		if _, ok := tab.Get(netip.Prefix{}); ok {
			t.Error("an invalid prefix is found")
		}
		if _, ok := tab.Lookup(netip.MustParseAddr("192.0.2.1")); ok {
			t.Error("an empty table finds something")
		}
		tab.Covering(netip.Addr{}, func(netip.Prefix, int) bool { t.Error("covered"); return true })
		tab.All(func(netip.Prefix, int) bool { t.Error("not empty"); return true })
	}
	check()
	tab.Set(netip.Prefix{}, 1)
	check()
	tab.Replace(func(add func(netip.Prefix, int)) { add(netip.Prefix{}, 1) })
	check()

	tab.Set(netip.MustParsePrefix("0.0.0.0/0"), 1)
	tab.Set(netip.MustParsePrefix("::/0"), 1)
	if tab.Contains(netip.Addr{}) {
		t.Error("an invalid address is covered")
	}
	tab.Covering(netip.Addr{}, func(netip.Prefix, int) bool { t.Error("covered"); return true })
}

// cloner would panic if the table copied it on a change of its neighbours.
type cloner struct{ n int }

func (c *cloner) Clone() *cloner { panic("cloned") }

func TestValuesAreShared(t *testing.T) {
	var tab Table[*cloner]
	want := &cloner{1}
	tab.Set(netip.MustParsePrefix("192.0.2.1/32"), want)
	for i := range 100 {
		tab.Set(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 2)}), 32), &cloner{i})
	}
	if got, _ := tab.Lookup(netip.MustParseAddr("192.0.2.1")); got != want {
		t.Error("Lookup returns another value than the one set")
	}
}

// The sketch of host routes fills up with deleted ones and is drawn anew many
// times here; nothing living may get lost on the way.
func TestChurnLosesNothing(t *testing.T) {
	var tab Table[int]
	r := rand.New(rand.NewPCG(1, 2))
	var live []netip.Prefix
	for i := range 20_000 {
		p := netip.PrefixFrom(randomAddr(r), 32)
		tab.Set(p, i)
		if live = append(live, p); len(live) > 300 {
			tab.Delete(live[0])
			live = live[1:]
		}
		if i%100 == 0 {
			for _, p := range live {
				if !tab.Contains(p.Addr()) {
					t.Fatalf("%s is lost after %d changes", p, i)
				}
			}
		}
	}
	if words := len(tab.snap.Load().hosts.words); words > 256 {
		t.Errorf("the filter of 300 hosts grew to %d words", words)
	}
}

func TestFilterIsRarelyWrong(t *testing.T) {
	for _, n := range []int{100, 10_000, 300_000} {
		f := newFilter(n)
		r := rand.New(rand.NewPCG(1, uint64(n)))
		added := 0
		for f.room > 0 { // to the brim
			f.add(uint64(r.Uint32()))
			added++
		}
		wrong := 0
		const asked = 100_000
		for range asked {
			if f.mayHold(uint64(r.Uint32())) {
				wrong++
			}
		}
		if rate := float64(wrong) / asked; rate > 0.04 {
			t.Errorf("full filter for %d (%d added): wrong %.1f %% of the time", n, added, rate*100)
		}
	}
	// Neighbours, as a network block of attackers would be.
	f := newFilter(1 << 16)
	for i := range uint64(1 << 16) {
		f.add(0xcb007100 + 2*i)
	}
	wrong := 0
	for i := range uint64(1 << 16) {
		if f.mayHold(0xcb007100 + 2*i + 1) {
			wrong++
		}
	}
	if wrong > 1<<16/50 {
		t.Errorf("%d of %d neighbours are mistaken for entries", wrong, 1<<16)
	}
}

// Readers see each state whole: the entries of one Replace carry one value,
// and a permanent entry is never missing, whatever the writers do.
func TestConcurrentReadersSeeWholeStates(t *testing.T) {
	var tab Table[int]
	pair := [2]netip.Prefix{netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("198.51.100.0/24")}
	host := netip.MustParseAddr("198.51.100.7")
	fill := func(n int) {
		tab.Replace(func(add func(netip.Prefix, int)) {
			for _, p := range pair {
				add(p, n)
			}
		})
	}
	fill(0)
	var readers, writers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var got []int
				tab.Covering(host, func(_ netip.Prefix, v int) bool { got = append(got, v); return true })
				if len(got) != 2 || got[0] != got[1] {
					t.Errorf("saw half a change: %v", got)
					return
				}
				if !tab.Contains(host) {
					t.Error("a standing entry was missing")
					return
				}
			}
		})
	}
	writers.Go(func() {
		for i := range 500 {
			fill(i)
		}
	})
	writers.Go(func() {
		r := rand.New(rand.NewPCG(5, 6))
		for i := range 200 {
			tab.Merge(func(_, latest int) int { return latest }, func(add func(netip.Prefix, int)) {
				add(netip.PrefixFrom(randomAddr(r), 32), i)
				for _, p := range pair {
					add(p, -i)
				}
			})
		}
	})
	writers.Go(func() {
		r := rand.New(rand.NewPCG(3, 4))
		for range 2000 {
			a := randomAddr(r)
			p := netip.PrefixFrom(a, 32)
			tab.Set(p, 1)
			if r.IntN(2) == 0 {
				tab.Delete(p)
			}
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestReadsDoNotAllocate(t *testing.T) {
	var tab Table[int]
	tab.Set(netip.MustParsePrefix("203.0.113.9/32"), 1)
	tab.Set(netip.MustParsePrefix("203.0.113.0/24"), 2)
	tab.Set(netip.MustParsePrefix("2001:db8::/64"), 3)
	addrs := []netip.Addr{
		netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("192.0.2.1"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db9::1"), netip.MustParseAddr("::ffff:203.0.113.9"),
	}
	n := 0
	allocs := testing.AllocsPerRun(100, func() {
		for _, a := range addrs {
			if tab.Contains(a) {
				n++
			}
			v, _ := tab.Lookup(a)
			n += v
			tab.Covering(a, func(_ netip.Prefix, v int) bool { n += v; return true })
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations in reading", allocs)
	}
}

func randomAddr(r *rand.Rand) netip.Addr {
	v := r.Uint32()
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func ExampleTable_Covering() {
	var t Table[string]
	t.Set(netip.MustParsePrefix("192.0.2.0/24"), "network")
	t.Set(netip.MustParsePrefix("192.0.2.7/32"), "host")
	t.Covering(netip.MustParseAddr("192.0.2.7"), func(p netip.Prefix, v string) bool {
		fmt.Println(p, v)
		return true
	})
	// Output:
	// 192.0.2.7/32 host
	// 192.0.2.0/24 network
}
