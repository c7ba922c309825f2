package guard

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warderhq/warder"
)

// An import puts every Block in force in few steps. One stands beside what is
// there on the same address, and lifting that leaves it.
func TestImportStandsBesideWhatIsThere(t *testing.T) {
	bubble(t, "", func(r *rig) {
		ctx, by := context.Background(), Actor{Name: "operator:a@example.org"}
		first, err := r.Block(ctx, by, NewBlock{IP: netip.MustParsePrefix("198.51.100.7/32")})
		if err != nil {
			r.Fatal(err)
		}
		list := []NewBlock{
			{IP: netip.MustParsePrefix("198.51.100.7/32")},
			{IP: netip.MustParsePrefix("192.0.2.9/32")},
			{IP: netip.MustParsePrefix("192.0.2.9/32"), Duration: 3600e9},
			{IP: netip.MustParsePrefix("2001:db8:1::/48")},
			{IP: netip.MustParsePrefix("127.0.0.1/32")},
		}
		for i := range 3000 {
			list = append(list, NewBlock{IP: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i * 7), byte(i >> 8), byte(i)}), 32)})
		}
		errs, err := r.ImportBlocks(ctx, by, list)
		if err != nil {
			r.Fatal(err)
		}
		for i, b := range list {
			if refused := i == 4; (errs[i] != nil) != refused {
				r.Fatalf("%s: %v", b.IP, errs[i])
			} else if !refused {
				r.want(r.check(b.IP.Addr().String()), warder.BlockAction, warder.Blocked)
			}
		}
		if n := r.Stats().Blocks; n != len(list)-1 { // one refused, one named twice, one before
			r.Errorf("%d blocks, want %d", n, len(list)-1)
		}
		chain := func(ip string) (n int) {
			for s := r.blocks.of(warder.Subject{IP: netip.MustParsePrefix(ip)}); s != nil; s = s.next {
				n++
			}
			return n
		}
		if chain("198.51.100.7/32") != 2 || chain("192.0.2.9/32") != 1 {
			r.Errorf("%d and %d side by side", chain("198.51.100.7/32"), chain("192.0.2.9/32"))
		}
		if _, err := r.Lift(ctx, by, Lift{IDs: []string{first.ID}, Verdict: VerdictResolved}); err != nil {
			r.Fatal(err)
		}
		r.want(r.check("198.51.100.7"), warder.BlockAction, warder.Blocked)
	})
}

// While all turns for batches are taken, checks and single events are answered
// and a batch waits.
func TestBatchesTakeTurns(t *testing.T) {
	bubble(t, "", func(r *rig) {
		var taken []func()
		for range cap(r.bulk) {
			taken = append(taken, r.Bulk())
		}
		r.want(r.check("203.0.113.5"), warder.Allow, warder.OK)
		r.report(succeed("203.0.113.5", "alice"))
		batch := make([]Incoming, 100)
		for i := range batch {
			batch[i] = Incoming{Event: succeed("203.0.113.6", fmt.Sprint("p", i))}
		}
		answered := make(chan []Reported, 1)
		go func() { answered <- r.Report(context.Background(), r.app, batch) }()
		synctest.Wait()
		select {
		case <-answered:
			r.Error("the batch did not wait")
		default:
		}
		for _, done := range taken {
			done()
		}
		for _, rep := range <-answered {
			if rep.Err != nil {
				r.Fatal(rep.Err)
			}
		}
	})
}

// An entry with a fault does not stand in for one of the same prefix that is in
// order.
func TestImportPassesOverFaultyEntries(t *testing.T) {
	bubble(t, "", func(r *rig) {
		ip := netip.MustParsePrefix("192.0.2.9/32")
		errs, err := r.ImportBlocks(context.Background(), Actor{Name: "test"}, []NewBlock{
			{IP: ip, Duration: time.Hour},
			{IP: ip, Duration: 2 * maxDuration},
			{IP: ip, Reason: strings.Repeat("x", maxReason+1)},
		})
		if err != nil {
			r.Fatal(err)
		}
		if errs[0] != nil || errs[1] == nil || errs[2] == nil {
			r.Errorf("%v", errs)
		}
		r.want(r.check("192.0.2.9"), warder.BlockAction, warder.Blocked)
	})
}
