package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// benchEvents is how many events the dashboard is measured with;
// WARDER_BENCH_EVENTS=10000000 is the budget's figure.
func benchEvents() int {
	if n, err := strconv.Atoi(os.Getenv("WARDER_BENCH_EVENTS")); err == nil {
		return n
	}
	return 100_000
}

// BenchmarkDashboard measures the lists and charts that the dashboard shows
// first, over so many events and a tenth as many live Blocks. The figure
// "p95-ms" is the budget: at most 100.
func BenchmarkDashboard(b *testing.B) {
	d, now := filled(b, benchEvents())
	month := EventFilter{From: now.Add(-30 * day), To: now}
	quarter := EventFilter{From: now.Add(-90 * day), To: now}
	with := func(f EventFilter, change func(*EventFilter)) EventFilter { change(&f); return f }
	list := func(f EventFilter) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := d.ListEvents(ctx, f, Page{})
			return err
		}
	}
	for _, q := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"events", list(EventFilter{})},
		{"events-30d", list(month)},
		{"events-names", list(with(month, func(f *EventFilter) { f.Names = []string{"USER_LOGIN_FAILURE", "MFA_FAILURE"} }))},
		{"events-critical", list(with(month, func(f *EventFilter) { f.Severities = []warder.Severity{warder.Critical} }))},
		{"events-warning", list(with(month, func(f *EventFilter) { f.Severities = []warder.Severity{warder.Warning} }))},
		{"events-quiet-realm", list(with(quarter, func(f *EventFilter) { f.Realm = "admin" }))},
		{"events-no-realm", list(with(quarter, func(f *EventFilter) { f.Realm = "none" }))},
		{"events-ip", list(EventFilter{IP: prefix("10.0.0.5/32")})},
		{"events-prefix", list(EventFilter{IP: prefix("10.0.0.0/20")})},
		{"events-account", list(EventFilter{Account: "person77"})},
		{"events-q-account", list(EventFilter{Q: "person77"})},
		{"events-q-beginning", list(EventFilter{Q: "pers"})},
		{"events-q-path", list(EventFilter{Q: "/log"})},
		{"events-q-none", list(EventFilter{Q: "zzz"})},
		{"trend-30d", func(ctx context.Context) error {
			_, err := d.Trend(ctx, EventFilter{}, TrendQuery{Now: now, Days: 30})
			return err
		}},
		{"trend-90d", func(ctx context.Context) error {
			_, err := d.Trend(ctx, EventFilter{}, TrendQuery{Now: now, Days: 90})
			return err
		}},
		{"types-30d", func(ctx context.Context) error { _, _, err := d.Types(ctx, month); return err }},
		{"types-90d", func(ctx context.Context) error { _, _, err := d.Types(ctx, quarter); return err }},
		{"attackers-30d", func(ctx context.Context) error { _, _, err := d.Attackers(ctx, month, now, 10); return err }},
		{"attackers-90d", func(ctx context.Context) error { _, _, err := d.Attackers(ctx, quarter, now, 10); return err }},
		{"blocks", func(ctx context.Context) error {
			_, err := d.ListBlocks(ctx, BlockFilter{State: "active", Now: now}, Page{})
			return err
		}},
		{"blocks-unreviewed", func(ctx context.Context) error {
			no := false
			_, err := d.ListBlocks(ctx, BlockFilter{State: "active", Now: now, Reviewed: &no}, Page{})
			return err
		}},
		{"blocks-q-none", func(ctx context.Context) error {
			_, err := d.ListBlocks(ctx, BlockFilter{State: "all", Now: now, Q: "zzz"}, Page{})
			return err
		}},
		{"summary", func(ctx context.Context) error { _, _, err := d.Summary(ctx, month, now); return err }},
		{"addresses", func(ctx context.Context) error {
			_, err := d.ListAddresses(ctx, AddressFilter{Suspicious: true}, Page{})
			return err
		}},
		{"address", func(ctx context.Context) error { _, err := d.Address(ctx, prefix("10.0.0.5/32")); return err }},
		{"accounts", func(ctx context.Context) error {
			_, err := d.ListAccounts(ctx, AccountFilter{Suspicious: true}, Page{})
			return err
		}},
	} {
		b.Run(q.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if err := q.run(context.Background()); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}

// filled makes a database whose events fill 90 days. WARDER_BENCH_DIR keeps it.
func filled(b *testing.B, n int) (*DB, time.Time) {
	now := start.Add(90 * day)
	dir := os.Getenv("WARDER_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	d := openAt(b, filepath.Join(dir, fmt.Sprintf("bench-%d.db", n)))
	have := count(b, d, "SELECT count(*) FROM events")
	if have >= n {
		return d, now
	}
	r := rand.New(rand.NewPCG(1, uint64(have)))
	var last int64
	if err := d.readDB.QueryRow("SELECT value FROM meta WHERE name = 'last_no'").Scan(&last); err != nil {
		b.Fatal(err)
	}
	j := &journal{DB: d, no: last}
	for _, pragma := range []string{"synchronous=OFF", "cache_size=-2000000"} {
		if _, err := d.w.ExecContext(context.Background(), "PRAGMA "+pragma); err != nil {
			b.Fatal(err)
		}
	}
	indexed := withoutIndexes(b, d, "events")
	step := (90 * day).Microseconds() / int64(n)
	for i := have; i < n; {
		var batch []*guard.Record
		for ; len(batch) < 5000 && i < n; i++ {
			e := traffic(r, start.UnixMicro()+int64(i)*step, 100_000)
			if i%10_000 == 9999 {
				e.Realm, e.Severity = "admin", warder.Critical
				e.AccountKey = warder.AccountKey(e.Realm, e.Account)
			}
			if e.Name == "USER_LOGIN_FAILURE" && r.IntN(2) == 0 { // attackers are few
				k := r.IntN(2000)
				e.IP = netip.AddrFrom4([4]byte{203, 0, byte(k >> 8), byte(k)})
				e.Address = warder.AddressKey(e.IP)
			}
			batch = append(batch, events(e))
		}
		j.commit(b, batch...)
	}
	indexed()
	fillBlocks(b, d, n/10)
	return d, now
}

// withoutIndexes takes the indexes of a table away until the function that it
// returns is called, which makes them in one go: ten times as fast as row by row.
// Their definitions are kept in the database, so that who is stopped in between
// goes on there the next time.
func withoutIndexes(b *testing.B, d *DB, table string) (again func()) {
	b.Helper()
	exec := func(query string, args ...any) {
		b.Helper()
		if _, err := d.w.ExecContext(context.Background(), query, args...); err != nil {
			b.Fatalf("%.80s: %v", query, err)
		}
	}
	exec("CREATE TABLE IF NOT EXISTS bench_indexes (name TEXT, text TEXT)")
	exec("INSERT INTO bench_indexes SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = $1 AND sql IS NOT NULL", table)
	list := func(f func(name, text string)) {
		b.Helper()
		var all [][2]string
		rows, err := d.w.QueryContext(context.Background(), "SELECT name, text FROM bench_indexes")
		err = each(rows, err, func(scan func(...any) error) error {
			var one [2]string
			err := scan(&one[0], &one[1])
			all = append(all, one)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, one := range all {
			f(one[0], one[1])
		}
	}
	list(func(name, _ string) { exec("DROP INDEX IF EXISTS " + name) })
	return func() {
		b.Helper()
		list(func(_, text string) { exec(text) })
		exec("DROP TABLE bench_indexes")
	}
}

// fillBlocks writes live Blocks, the latest at the end of the events.
func fillBlocks(b *testing.B, d *DB, n int) {
	if count(b, d, "SELECT count(*) FROM blocks") >= n {
		return
	}
	j := &journal{DB: d, no: int64(count(b, d, "SELECT value FROM meta WHERE name = 'last_no'"))}
	step := 90 * day / time.Duration(n)
	for i := 0; i < n; {
		r := &guard.Record{}
		for ; len(r.Blocks) < 10_000 && i < n; i++ {
			k := block(fmt.Sprintf("%026x", i), "192.0.2.1/32", start.Add(time.Duration(i)*step), 0)
			k.Subject.IP = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>24), byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			k.Evidence = []guard.Evidence{{Seq: int64(i), Name: "USER_LOGIN_FAILURE"}}
			r.Blocks = append(r.Blocks, k)
		}
		j.commit(b, r)
	}
}

// BenchmarkLoadBlocks: a million live Blocks. The budget is 4 s at the start,
// together with everything else.
func BenchmarkLoadBlocks(b *testing.B) {
	const n = 1_000_000
	d := openAt(b, filepath.Join(b.TempDir(), "warder.db"))
	j := &journal{DB: d}
	if _, err := d.w.ExecContext(context.Background(), "PRAGMA synchronous=OFF"); err != nil {
		b.Fatal(err)
	}
	for i := 0; i < n; {
		r := &guard.Record{}
		for ; len(r.Blocks) < 10_000; i++ {
			k := block(fmt.Sprintf("%026x", i), "192.0.2.1/32", start.Add(time.Duration(i)*time.Millisecond), 0)
			k.Subject.IP = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(10 + i>>24), byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			k.Evidence = []guard.Evidence{{Seq: int64(i), Name: "USER_LOGIN_FAILURE"}}
			r.Blocks = append(r.Blocks, k)
		}
		j.commit(b, r)
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			got := 0
			if err := d.Blocks(context.Background(), start.Add(day), func(*guard.Block) error { got++; return nil }); err != nil || got != n {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("list-active", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.ListBlocks(context.Background(), BlockFilter{State: "active", Now: start.Add(day)}, Page{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list-lifted", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.ListBlocks(context.Background(), BlockFilter{State: "lifted", Now: start.Add(day)}, Page{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list-expired", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.ListBlocks(context.Background(), BlockFilter{State: "expired", Now: start.Add(day)}, Page{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list-rule-active", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.ListBlocks(context.Background(), BlockFilter{State: "active", Rule: "sign_in", Now: start.Add(day)}, Page{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list-q-none", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.ListBlocks(context.Background(), BlockFilter{Q: "zzz", Now: start.Add(day)}, Page{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list-ip", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.ListBlocks(context.Background(), BlockFilter{IP: prefix("10.1.2.3/32"), Now: start.Add(day)}, Page{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("summary", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := d.Summary(context.Background(), EventFilter{From: start}, start.Add(day)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkVerifyAudit: a million rows in at most 10 s.
func BenchmarkVerifyAudit(b *testing.B) {
	const n = 1_000_000
	path := filepath.Join(b.TempDir(), "warder.db")
	trail(b, path, n)
	d := openAt(b, path)
	for b.Loop() {
		if r, err := d.VerifyAudit(context.Background()); err != nil || !r.OK || r.Rows != n {
			b.Fatal(r, err)
		}
	}
}
