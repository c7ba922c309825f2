package guard

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
	"github.com/warderhq/warder/internal/prefix"
)

// million is a journal with a million permanent Blocks of IPv4 addresses.
type million struct {
	*memJournal
	n int
}

func (m *million) Blocks(_ context.Context, _ time.Time, f func(*Block) error) error {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.n {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], r.Uint32())
		ip := netip.PrefixFrom(netip.AddrFrom4(b), 32)
		err := f(&Block{ID: fmt.Sprintf("%016d", i), Reference: "0000-0000", Subject: warder.Subject{IP: ip}, Origin: FromRule, Rule: "sign_in"})
		if err != nil {
			return err
		}
	}
	return nil
}

// fullGuard is an engine with 1,000,000 Blocks, 120,000 listed addresses,
// trusted prefixes and Demands.
func fullGuard(tb testing.TB) *Guard {
	tb.Helper()
	doc, err := policy.Preset("classic")
	if err != nil {
		tb.Fatal(err)
	}
	doc.Providers[0].Enabled = true
	g, err := New(Options{
		Journal: &million{newMemJournal(), 1_000_000}, Counters: counter.New(counter.Options{Bytes: 16 << 20}), Secret: testSecret, Preset: doc,
		Protected: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := g.Load(context.Background()); err != nil {
		tb.Fatal(err)
	}
	var feed prefix.Table[int]
	r := rand.New(rand.NewPCG(3, 4))
	feed.Replace(func(add func(netip.Prefix, int)) {
		for range 120_000 {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], r.Uint32())
			add(netip.PrefixFrom(netip.AddrFrom4(b), 32), 1+int(r.Uint32()%8))
		}
	})
	g.SetProvider(doc.Providers[0].Name, feed.Lookup)
	for i := range 100 {
		g.addTrusted(Trusted{ID: newID(), IP: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)})
		g.demands.add(&Demand{ID: newID(), Action: warder.Challenge, Subject: warder.Subject{IP: warder.AddressKey(netip.AddrFrom4([4]byte{172, 16, 0, byte(i)}))}})
	}
	return g
}

// BenchmarkCheck is the allow path with everything loaded: budget 200 ns and
// no allocation.
func BenchmarkCheck(b *testing.B) {
	g := fullGuard(b)
	r := rand.New(rand.NewPCG(5, 6))
	queries := make([]Query, 1<<16)
	app := &App{ID: "bench"}
	for i := range queries {
		for {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], r.Uint32())
			queries[i].IP = netip.AddrFrom4(a)
			if g.Check(app, &queries[i]).Action == warder.Allow {
				break
			}
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if d := g.Check(app, &queries[i&(1<<16-1)]); d.Action != warder.Allow {
			b.Fatal(d)
		}
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	r := newBareGuard(t)
	app, q := &App{}, &Query{IP: addr("198.51.100.7")}
	if n := testing.AllocsPerRun(1000, func() { r.Check(app, q) }); n != 0 {
		t.Errorf("a check allocates %v times, want 0", n)
	}
}

func newBareGuard(tb testing.TB) *Guard {
	tb.Helper()
	doc, err := policy.Preset("classic")
	if err != nil {
		tb.Fatal(err)
	}
	g, err := New(Options{Journal: newMemJournal(), Counters: counter.New(counter.Options{Bytes: 16 << 20}), Secret: testSecret, Preset: doc})
	if err != nil {
		tb.Fatal(err)
	}
	if err := g.Load(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return g
}

// BenchmarkJudge is what one failure costs in memory, without its commit.
func BenchmarkJudge(b *testing.B) {
	g := newBareGuard(b)
	app := &App{ID: "bench"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i)|1<<24)
		g.mu.Lock()
		g.judge(&judgement{app: app, now: g.now(), event: warder.Event{
			Name: "USER_LOGIN_FAILURE", IP: netip.AddrFrom4(a), Account: "alice", Realm: "user",
		}})
		g.mu.Unlock()
	}
}

// BenchmarkMillionBlocks is what a million Blocks cost in memory, and how long
// they take to load from a journal that costs nothing.
func BenchmarkMillionBlocks(b *testing.B) {
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		g := fullGuard(b)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(g)
	}
}
