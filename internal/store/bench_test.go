package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// traffic makes a plausible mixture: most events are sign-ins of people, the
// rest are failures, from as many addresses as asked for.
func traffic(r *rand.Rand, seq int64, addresses int) guard.Event {
	n := r.IntN(addresses)
	a := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	account := fmt.Sprintf("person%d", n)
	at := time.UnixMicro(seq).UTC()
	e := guard.Event{
		Event: warder.Event{
			ID: fmt.Sprintf("%016x", seq), Name: "USER_LOGIN_SUCCESS", Time: at, IP: a, Account: account, Realm: "user",
			Method: "POST", Path: "/login", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		},
		Seq: seq, Arrival: at, App: "app1", AccountKey: warder.AccountKey("user", account),
		Address: warder.AddressKey(a), Why: warder.OK, Eligible: true,
		Digest: []byte("0123456789abcdef0123456789abcdef"),
		Answer: []byte(`{"action":"allow","reason":"ok","expires_at":null,"retry_after":null,"challenge_url":null,"observe":false,"would":null}`),
	}
	if r.IntN(3) == 0 {
		e.Name, e.Reason, e.Severity = "USER_LOGIN_FAILURE", warder.WrongPassword, warder.Severity(1+r.IntN(2))
	} else {
		e.Completed = true
	}
	return e
}

// BenchmarkIngest compares durable ingest of batches of 100 with raw inserts of
// the same rows into the same table with the same indexes, alternating in one
// run. The figure "ratio" is the budget: at least 0.5.
func BenchmarkIngest(b *testing.B) {
	for _, addresses := range []int{50, 20_000, 1 << 24} {
		b.Run(fmt.Sprintf("addresses=%d", addresses), func(b *testing.B) {
			j := &journal{DB: openAt(b, filepath.Join(b.TempDir(), "warder.db"))}
			bare := openAt(b, filepath.Join(b.TempDir(), "bare.db"))
			r := rand.New(rand.NewPCG(1, 2))
			seq := start.UnixMicro()
			var ours, theirs time.Duration
			for b.Loop() {
				batch := make([]*guard.Record, 100)
				for i := range batch {
					seq += 1000
					batch[i] = events(traffic(r, seq, addresses))
				}
				begin := time.Now()
				j.commit(b, batch...)
				middle := time.Now()
				err := bare.write(context.Background(), func(t *tx) error {
					for _, rec := range batch {
						if err := t.exec(insertEvent, eventArgs(&rec.Events[0])...); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				ours += middle.Sub(begin)
				theirs += time.Since(middle)
			}
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			b.ReportMetric(float64(b.N)*100/ours.Seconds(), "events/s")
			b.ReportMetric(float64(b.N)*100/theirs.Seconds(), "bare/s")
		})
	}
}
