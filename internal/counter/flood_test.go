package counter_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/counter"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const window = time.Hour

// stranger is the i-th of very many addresses.
func stranger(i int) netip.Prefix {
	var a [16]byte
	copy(a[:], "\x20\x01\x0d\xb8")
	binary.BigEndian.PutUint32(a[4:], uint32(i))
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

func hit(account, member string, threshold int) counter.Hit {
	return counter.Hit{
		Key: counter.Key{Rule: "rule", Account: account}, Window: window, Threshold: threshold,
		Member: member, At: epoch, Seq: 1, Tag: counter.Tag{Account: account},
	}
}

func strangersHit(i, threshold int) counter.Hit {
	h := hit("", "m"+strconv.Itoa(i), threshold)
	h.Key.Address = stranger(i)
	h.Tag.Address = h.Key.Address
	return h
}

func apply(t testing.TB, m *counter.Memory, now time.Time, hits ...counter.Hit) []counter.Count {
	t.Helper()
	counts, err := m.Apply(t.Context(), now, hits)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// raise brings an account's counter to n of threshold.
func raise(t testing.TB, m *counter.Memory, account string, n, threshold int) {
	t.Helper()
	for i := range n {
		apply(t, m, epoch, hit(account, strconv.Itoa(i), threshold))
	}
}

func level(t testing.TB, m *counter.Memory, now time.Time, account string) int {
	t.Helper()
	levels, err := m.Counts(t.Context(), now, []counter.Key{{Rule: "rule", Account: account}})
	if err != nil {
		t.Fatal(err)
	}
	return levels[0].N
}

func check(t testing.TB, m *counter.Memory) {
	t.Helper()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestFloodForgetsNobodyClose: a million new keys make Memory forget no key at
// half of its threshold, and of the others those with the lowest count.
func TestFloodForgetsNobodyClose(t *testing.T) {
	m := counter.New(counter.Options{Bytes: 8 << 20})
	raise(t, m, "four of five", 4, 5)
	raise(t, m, "three of five", 3, 5)
	raise(t, m, "half of ten", 5, 10)
	raise(t, m, "two of five", 2, 5)
	raise(t, m, "one of five", 1, 5)
	before := m.Stats().Keys
	flood := 1_000_000
	if testing.Short() {
		flood = 200_000
	}
	for i := range flood {
		apply(t, m, epoch, strangersHit(i, 5))
	}
	s := m.Stats()
	if s.Full || s.Evicted < int64(flood-110_000) || s.Bytes > s.Cap || s.Keys <= before {
		t.Fatalf("%+v", s)
	}
	for account, want := range map[string]int{
		"four of five": 4, "three of five": 3, "half of ten": 5,
		"two of five": 2, // there was always somebody with one
		"one of five": 0,
	} {
		if n := level(t, m, epoch, account); n != want {
			t.Errorf("%s: %d", account, n)
		}
	}
	if c := apply(t, m, epoch, hit("four of five", "fifth", 5))[0]; !c.Crossed || len(c.Evidence) != 5 {
		t.Errorf("the fifth: %+v", c)
	}
	check(t, m)
}

// TestForgetsOldestFirst: of keys with the same count the one that was touched
// longest ago goes first.
func TestForgetsOldestFirst(t *testing.T) {
	m := counter.New(counter.Options{Bytes: 1 << 20})
	n := 0
	for ; m.Stats().Evicted == 0; n++ {
		apply(t, m, epoch, hit(strconv.Itoa(n), "a", 10))
		if n == 1000 {
			apply(t, m, epoch, hit("0", "a", 10)) // touched again
		}
	}
	for i := range 200 {
		apply(t, m, epoch, hit(strconv.Itoa(n+i), "a", 10))
	}
	for i := range 201 {
		want := 0
		if i == 0 {
			want = 1
		}
		if got := level(t, m, epoch, strconv.Itoa(i)); got != want {
			t.Fatalf("key %d: %d, want %d", i, got, want)
		}
	}
	check(t, m)
}

// TestGuaranteed: while fewer than N keys stand at half of their threshold or
// more, a flood makes Memory forget none of them.
func TestGuaranteed(t *testing.T) {
	m := counter.New(counter.Options{Bytes: 1 << 20})
	n := m.Stats().Guaranteed - 1
	if n < 1000 {
		t.Fatalf("only %d keys are guaranteed in 1 MiB", n)
	}
	for i := range n {
		raise(t, m, strconv.Itoa(i), 9, 10)
		apply(t, m, epoch, strangersHit(3*i, 10), strangersHit(3*i+1, 10), strangersHit(3*i+2, 10))
	}
	for i := range 50_000 {
		apply(t, m, epoch, strangersHit(i, 10))
	}
	for i := range n {
		if got := level(t, m, epoch, strconv.Itoa(i)); got != 9 {
			t.Fatalf("key %d of %d stands at %d", i, n, got)
		}
	}
	if s := m.Stats(); s.Full {
		t.Fatalf("full: %+v", s)
	}
	check(t, m)
}

// TestFullOnlyWhenFull: keys that matter are forgotten only when nothing else
// is left, counters that are over are never a reason, and it ends.
func TestFullOnlyWhenFull(t *testing.T) {
	m := counter.New(counter.Options{Bytes: 1 << 20})
	n := 0
	for ; !m.Stats().Full; n++ {
		if s := m.Stats(); s.Evicted > 0 {
			t.Fatalf("evicted without being full: %+v", s)
		}
		raise(t, m, strconv.Itoa(n), 3, 5)
	}
	if s := m.Stats(); n < 2500 || s.Bytes > s.Cap || float64(s.Bytes) < 0.85*7/8*float64(s.Cap) {
		t.Fatalf("full with %d keys: %+v", n, s)
	}
	check(t, m)
	// An hour later all of them are over. New ones find room at once.
	later := epoch.Add(window)
	was := m.Stats().Evicted
	for i := range n / 2 {
		h := hit("new"+strconv.Itoa(i), "a", 2)
		h.At = later
		apply(t, m, later, h)
	}
	if s := m.Stats(); s.Full || s.Evicted != was {
		t.Fatalf("after all were over: %+v", s)
	}
	check(t, m)
}

func TestHeldIsNeverForgotten(t *testing.T) {
	m := counter.New(counter.Options{Bytes: 1 << 20})
	raise(t, m, "held", 1, 5)
	ticket, _, err := m.Reserve(t.Context(), epoch, "id", []counter.Hit{hit("held", "x", 5), hit("empty", "x", 5)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		apply(t, m, epoch, strangersHit(i, 5))
	}
	levels, _ := m.Counts(t.Context(), epoch, []counter.Key{{Rule: "rule", Account: "held"}, {Rule: "rule", Account: "empty"}})
	if levels[0].N != 1 || levels[0].Held != 1 || levels[1].Held != 1 {
		t.Fatalf("%+v", levels)
	}
	_ = m.Cancel(t.Context(), epoch, ticket)
	check(t, m)
}

// TestEverythingHeld: if there is no memory at all hits are answered without
// being kept, and nothing breaks.
func TestEverythingHeld(t *testing.T) {
	m := counter.New(counter.Options{Bytes: 1 << 20})
	var ids []string
	for i := 0; ; i++ {
		id := strconv.Itoa(i)
		if _, _, err := m.Reserve(t.Context(), epoch, id, []counter.Hit{hit(id, "x", 128)}); errors.Is(err, counter.ErrBusy) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		raise(t, m, id, 127, 128)
	}
	if s := m.Stats(); !s.Full || s.Bytes > s.Cap {
		t.Fatalf("%+v", s)
	}
	if c := apply(t, m, epoch, hit("new", "a", 5), hit("new", "a", 1)); c[0].N != 1 || c[0].Crossed || !c[1].Crossed || len(c[1].Evidence) != 1 {
		t.Fatalf("%+v", c)
	}
	if c := apply(t, m, epoch, hit("0", "b", 128)); !c[0].Crossed || len(c[0].Evidence) != 128 {
		t.Fatalf("a crossing needs no memory: %+v", c)
	}
	check(t, m)
	for _, id := range ids {
		if _, err := m.Settle(t.Context(), epoch, id, nil); err != nil {
			t.Fatal(err)
		}
	}
	check(t, m)
	m.Sweep(epoch.Add(window))
	if s := m.Stats(); s.Keys != 0 || s.Held != 0 || s.Full {
		t.Fatalf("%+v", s)
	}
	check(t, m)
}

// TestSweepForgetsWhatIsOver, and gives the memory back when nothing is left.
func TestSweepForgetsWhatIsOver(t *testing.T) {
	m := counter.New(counter.Options{})
	idle := m.Stats().Bytes
	for i := range 10_000 {
		apply(t, m, epoch, strangersHit(i, 5))
	}
	raise(t, m, "partly", 2, 4)
	h := hit("partly", "late", 4)
	h.At = epoch.Add(time.Minute)
	apply(t, m, h.At, h)
	_, _ = m.AddScore(t.Context(), epoch, counter.Key{Rule: "score"}, 4, time.Second)
	m.Sweep(epoch.Add(window - 1))
	if s := m.Stats(); s.Keys != 10_001 {
		t.Fatalf("an hour less a nanosecond later: %+v", s)
	}
	m.Sweep(epoch.Add(window))
	if s := m.Stats(); s.Keys != 1 || level(t, m, epoch.Add(window), "partly") != 1 {
		t.Fatalf("an hour later: %+v", s)
	}
	check(t, m)
	m.Sweep(epoch.Add(window + time.Minute))
	if s := m.Stats(); s.Keys != 0 || s.Bytes != idle {
		t.Fatalf("in the end: %+v", s)
	}
	// Without Sweep every call does a little.
	for i := range 10_000 {
		apply(t, m, epoch, strangersHit(i, 5))
	}
	for range 20_000 {
		apply(t, m, epoch.Add(window))
	}
	if s := m.Stats(); s.Keys != 0 {
		t.Fatalf("after many calls: %+v", s)
	}
}

func TestExpireGrants(t *testing.T) {
	m := counter.New(counter.Options{})
	raise(t, m, "k", 1, 2)
	if _, _, err := m.Reserve(t.Context(), epoch, "first", []counter.Hit{hit("k", "x", 2)}); err != nil {
		t.Fatal(err)
	}
	ticket, status, err := m.Reserve(t.Context(), epoch, "second", []counter.Hit{hit("k", "y", 2)})
	if err != nil || status != counter.Waiting {
		t.Fatal(status, err)
	}
	m.Expire(epoch.Add(window - 1))
	select {
	case <-ticket.Done():
		t.Fatal("granted too early")
	default:
	}
	m.Expire(epoch.Add(window))
	<-ticket.Done()
	if m.Retry(ticket) {
		t.Fatal("told to retry")
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestBytesAreHonest compares what a Memory says it occupies with what the
// runtime says, for short and long counters and for reservations.
func TestBytesAreHonest(t *testing.T) {
	within := func(what string, real, said int64) {
		t.Helper()
		t.Logf("%s: really %d KiB, said %d KiB", what, real>>10, said>>10)
		if float64(said) < 0.8*float64(real) || float64(said) > 1.25*float64(real) {
			t.Errorf("%s: really %d bytes, said %d", what, real, said)
		}
	}
	base := heap()
	m := counter.New(counter.Options{Bytes: 16 << 20})
	for i := range 200_000 {
		apply(t, m, epoch, strangersHit(i, 5))
	}
	s := m.Stats()
	within("flood", heap()-base, s.Bytes)
	if s.Bytes > s.Cap {
		t.Errorf("%d bytes of %d", s.Bytes, s.Cap)
	}
	for i := range 20_000 {
		raise(t, m, strconv.Itoa(i), 9, 10)
	}
	within("nine of ten", heap()-base, m.Stats().Bytes)

	before, said := heap(), m.Stats().Bytes
	tickets := make([]*counter.Ticket, 0, 10_000)
	for i := range 10_000 {
		id := "an id as long as those of attempts are, " + strconv.Itoa(i)
		ticket, _, err := m.Reserve(t.Context(), epoch, id, []counter.Hit{strangersHit(i, 5), hit(strconv.Itoa(i), "a", 5)})
		if errors.Is(err, counter.ErrBusy) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	if len(tickets) < 1000 {
		t.Fatalf("only %d reservations", len(tickets))
	}
	within("reservations", heap()-before-8*10_000, m.Stats().Bytes-said)
	if s := m.Stats(); s.Bytes > s.Cap || s.Held != len(tickets) {
		t.Errorf("%+v", s)
	}
	runtime.KeepAlive(tickets)
}

// TestPressure does everything at random in a small Memory and looks for
// contradictions.
func TestPressure(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := counter.New(counter.Options{Bytes: 1 << 20, Shards: 8})
	now := epoch
	var tickets []*counter.Ticket
	thresholds := []int{1, 2, 5, 40, 128, 300}
	steps := 300_000
	if testing.Short() {
		steps = 60_000
	}
	for step := range steps {
		now = now.Add(time.Duration(r.IntN(20)) * time.Millisecond)
		some := func() []counter.Hit {
			hits := make([]counter.Hit, r.IntN(4))
			for i := range hits {
				n := int(r.ExpFloat64() * 500)
				threshold := thresholds[n%len(thresholds)]
				hits[i] = hit(strconv.Itoa(n), strconv.Itoa(r.IntN(200)), threshold)
				hits[i].At = now.Add(-time.Duration(r.IntN(70)) * time.Second)
				hits[i].Window = time.Minute
			}
			return hits
		}
		switch r.IntN(20) {
		case 0, 1, 2:
			if ticket, _, err := m.Reserve(t.Context(), now, strconv.Itoa(step), some()); err == nil {
				tickets = append(tickets, ticket)
			}
		case 3, 4, 5:
			if len(tickets) > 0 {
				_, _ = m.Settle(t.Context(), now, tickets[0].ID, some())
				tickets = tickets[1:]
			}
		case 6:
			if len(tickets) > 0 {
				_ = m.Cancel(t.Context(), now, tickets[0])
				tickets = tickets[1:]
			}
		case 7:
			_, _ = m.TakeOut(t.Context(), now, counter.Tag{Account: strconv.Itoa(r.IntN(500))}, now, 0)
		case 8:
			_ = m.Clear(t.Context(), now, counter.Selection{Account: strconv.Itoa(r.IntN(500))}, 0)
		case 9:
			_, _ = m.AddScore(t.Context(), now, counter.Key{Account: strconv.Itoa(r.IntN(5000))}, r.Float64()*20, time.Second)
		default:
			apply(t, m, now, some()...)
			apply(t, m, now, strangersHit(step, 3))
		}
		if step%10_000 == 0 {
			check(t, m)
		}
	}
	if s := m.Stats(); s.Evicted == 0 || s.Bytes > s.Cap {
		t.Fatalf("%+v", s)
	}
	check(t, m)
}

func three(i int) []counter.Hit {
	address, account := stranger(i), "account"+strconv.Itoa(i)
	h := counter.Hit{
		Window: window, Threshold: 10, Member: account, At: epoch, Seq: int64(i),
		Tag: counter.Tag{Account: account, Address: address},
	}
	a, b, c := h, h, h
	a.Key = counter.Key{Rule: "sign_in", Address: address}
	b.Key = counter.Key{Rule: "many_accounts", Address: address}
	c.Key = counter.Key{Rule: "pair", Address: address, Account: account}
	return []counter.Hit{a, b, c}
}

// BenchmarkApply counts three hits of an event whose keys are known.
func BenchmarkApply(b *testing.B) {
	m := counter.New(counter.Options{})
	events := make([][]counter.Hit, 1<<14)
	for i := range events {
		events[i] = three(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = m.Apply(b.Context(), epoch, events[i%len(events)])
	}
}

// BenchmarkReserveSettle is one attempt on three counters, with success.
func BenchmarkReserveSettle(b *testing.B) {
	m := counter.New(counter.Options{})
	events := make([][]counter.Hit, 1<<14)
	for i := range events {
		events[i] = three(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _, _ = m.Reserve(b.Context(), epoch, "an id", events[i%len(events)])
		_, _ = m.Settle(b.Context(), epoch, "an id", nil)
	}
}

// BenchmarkFlood is an event with three new keys while memory is full, and
// reports what the process occupies.
func BenchmarkFlood(b *testing.B) {
	m := counter.New(counter.Options{})
	i := 0
	for ; m.Stats().Evicted == 0; i++ {
		_, _ = m.Apply(b.Context(), epoch, three(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Apply(b.Context(), epoch, three(i))
		i++
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	b.ReportMetric(float64(s.Sys)/(1<<20), "MiB")
	b.ReportMetric(float64(m.Stats().Keys), "keys")
}

// BenchmarkSweep is one Sweep of a full memory in which nothing is over.
func BenchmarkSweep(b *testing.B) {
	m := counter.New(counter.Options{})
	for i := 0; m.Stats().Evicted == 0; i++ {
		_, _ = m.Apply(b.Context(), epoch, three(i))
	}
	for b.Loop() {
		m.Sweep(epoch)
	}
}

// BenchmarkSnapshot saves one shard of a full memory.
func BenchmarkSnapshot(b *testing.B) {
	m := counter.New(counter.Options{})
	for i := 0; m.Stats().Evicted == 0; i++ {
		_, _ = m.Apply(b.Context(), epoch, three(i))
	}
	i, n := 0, 0
	for b.Loop() {
		m.Unsaved(i)
		n = len(m.Snapshot(i, 1))
		i = (i + 1) % m.Shards()
	}
	b.ReportMetric(float64(n), "bytes")
}

// BenchmarkClear empties the counters of one account in a full memory.
func BenchmarkClear(b *testing.B) {
	m := counter.New(counter.Options{})
	for i := 0; m.Stats().Evicted == 0; i++ {
		_, _ = m.Apply(b.Context(), epoch, three(i))
	}
	i := 0
	for b.Loop() {
		_ = m.Clear(b.Context(), epoch, counter.Selection{Account: fmt.Sprint("account", i)}, 0)
		i++
	}
}
