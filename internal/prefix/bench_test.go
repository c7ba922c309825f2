package prefix

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
)

const million = 1_000_000

// BenchmarkMillionHosts asks a table of a million random host routes for random
// addresses, nearly none of which it holds (miss), and for its own (hit).
func BenchmarkMillionHosts(b *testing.B) {
	for _, wide := range []int{0, 1000} {
		name := "hosts"
		if wide > 0 {
			name = "hosts+1000networks"
		}
		b.Run(name, func(b *testing.B) {
			before := heap()
			var tab Table[*int]
			r := rand.New(rand.NewPCG(1, 2))
			own, strange := make([]netip.Addr, 1<<18), make([]netip.Addr, 1<<18)
			before += uint64(len(own)+len(strange)) * 24
			tab.Replace(func(add func(netip.Prefix, *int)) {
				for i := range million {
					a := randomAddr(r)
					own[i&(len(own)-1)] = a
					add(netip.PrefixFrom(a, 32), nil)
				}
				for range wide {
					add(netip.PrefixFrom(randomAddr(r), 24), nil)
				}
			})
			perEntry := float64(heap()-before) / float64(tab.Len())
			for i := range strange {
				strange[i] = randomAddr(r)
			}
			found := 0
			for _, ask := range []struct {
				name  string
				addrs []netip.Addr
			}{{"miss", strange}, {"hit", own}} {
				b.Run("contains/"+ask.name, func(b *testing.B) {
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						if tab.Contains(ask.addrs[i&(len(ask.addrs)-1)]) {
							found++
						}
					}
					b.ReportMetric(perEntry, "B/entry")
				})
				b.Run("lookup/"+ask.name, func(b *testing.B) {
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						if _, ok := tab.Lookup(ask.addrs[i&(len(ask.addrs)-1)]); ok {
							found++
						}
					}
				})
				b.Run("covering/"+ask.name, func(b *testing.B) {
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						tab.Covering(ask.addrs[i&(len(ask.addrs)-1)], func(netip.Prefix, *int) bool { found++; return true })
					}
				})
			}
			b.Run("set", func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					tab.Set(netip.PrefixFrom(strange[i&(len(strange)-1)], 32), nil)
				}
			})
			for _, n := range []int{100, 1000} {
				b.Run(fmt.Sprintf("merge%d", n), func(b *testing.B) { // the time is that of one entry
					b.ReportAllocs()
					at := len(strange)/4 + 100*n // where no other has been
					for i := 0; i < b.N; i += n {
						tab.Merge(func(_, latest *int) *int { return latest }, func(add func(netip.Prefix, *int)) {
							for range n {
								add(netip.PrefixFrom(strange[at&(len(strange)-1)], 32), nil)
								at++
							}
						})
					}
				})
			}
		})
	}
}

// BenchmarkReplaceMillion loads a million random host routes.
func BenchmarkReplaceMillion(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	ps := make([]netip.Prefix, million)
	for i := range ps {
		ps[i] = netip.PrefixFrom(randomAddr(r), 32)
	}
	for b.Loop() {
		var tab Table[*int]
		tab.Replace(func(add func(netip.Prefix, *int)) {
			for _, p := range ps {
				add(p, nil)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
