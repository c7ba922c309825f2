package counter_test

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warderhq/warder/internal/counter"
)

var secret = []byte("a secret of at least thirty-two bytes")

func saved(shards int) *counter.Memory {
	return counter.New(counter.Options{Bytes: 1 << 20, Shards: shards, Secret: secret})
}

// reborn restores all shards of m in a new Memory.
func reborn(t testing.TB, m *counter.Memory, seq int64) *counter.Memory {
	t.Helper()
	n := saved(m.Shards())
	for i := range m.Shards() {
		m.Unsaved(i)
		if err := n.Restore(i, seq, m.Snapshot(i, seq)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, n)
	return n
}

func filled(t testing.TB) (m *counter.Memory, keys []counter.Key) {
	m = saved(4)
	for i := range 50 {
		h := hit(strconv.Itoa(i), "m", []int{5, 128, 300, 2}[i%4])
		h.Key.Address = stranger(i)
		h.Seq, h.Unsettled = int64(1000-i), i%3 == 0
		for j := range 1 + i%7 {
			h.Member += strconv.Itoa(j)
			h.At = h.At.Add(-time.Second)
			if j%2 == 0 {
				h.Tag.Class = "mfa"
			}
			apply(t, m, epoch, h)
		}
		keys = append(keys, h.Key)
		if _, err := m.AddScore(t.Context(), epoch, h.Key, float64(i+1), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	return m, keys
}

// TestSnapshotRestores everything: members with their times, numbers and tags,
// sub-buckets, scores.
func TestSnapshotRestores(t *testing.T) {
	m, keys := filled(t)
	n := reborn(t, m, 7)
	same := func(now time.Time) {
		t.Helper()
		want, _ := m.Counts(t.Context(), now, keys)
		got, _ := n.Counts(t.Context(), now, keys)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		for _, k := range keys {
			want, _ := m.Score(t.Context(), now, k)
			if got, _ := n.Score(t.Context(), now, k); got != want {
				t.Fatalf("score %v, want %v", got, want)
			}
		}
	}
	same(epoch)
	same(epoch.Add(window - 3*time.Second))
	for i := range keys {
		for _, tag := range []counter.Tag{{Account: strconv.Itoa(i)}, {Account: strconv.Itoa(i), Class: "mfa"}} {
			want, _ := m.TakeOut(t.Context(), epoch, tag, epoch, 0)
			if got, _ := n.TakeOut(t.Context(), epoch, tag, epoch, 0); got != want {
				t.Fatalf("took out %d, want %d", got, want)
			}
		}
	}
	same(epoch)
	check(t, n)
}

func TestSnapshotOnlyOfChanges(t *testing.T) {
	m := saved(1)
	// What is stored may be of another life, under other rules.
	if m.Snapshot(0, 1) == nil || m.Fresh().Snapshot(0, 1) == nil || m.Snapshot(0, 1) != nil {
		t.Error("not one snapshot of a new Memory")
	}
	apply(t, m, epoch, hit("k", "a", 5))
	first := m.Snapshot(0, 2)
	if first == nil || m.Snapshot(0, 3) != nil {
		t.Error("not one snapshot of one change")
	}
	m.Unsaved(0)
	if again := m.Snapshot(0, 2); !bytes.Equal(again, first) {
		t.Error("it is another one after it could not be stored")
	}
	if _, err := m.TakeOut(t.Context(), epoch, counter.Tag{Account: "k"}, epoch, 4); err != nil {
		t.Fatal(err)
	}
	empty := m.Snapshot(0, 5)
	if empty == nil {
		t.Fatal("taking out changed nothing")
	}
	n := saved(1)
	if err := n.Restore(0, 9, first); err != nil {
		t.Fatal(err)
	}
	if n.Snapshot(0, 10) != nil {
		t.Error("restoring is a change")
	}
	if err := n.Restore(0, 9, empty); err != nil || n.Stats().Keys != 0 {
		t.Errorf("%v, %d keys", err, n.Stats().Keys)
	}
}

// TestRestoreRefuses everything that is not exactly what was saved.
func TestRestoreRefuses(t *testing.T) {
	m, _ := filled(t)
	data := m.Snapshot(2, 10)
	n := saved(4)
	refuse := func(what string, n *counter.Memory, shard int, seq int64, data []byte) {
		t.Helper()
		apply(t, n, epoch, hit("k", "a", 5))
		if err := n.Restore(shard, seq, data); !errors.Is(err, counter.ErrSnapshot) {
			t.Fatalf("%s: %v", what, err)
		}
		check(t, n)
	}
	for i := range data {
		refuse("cut short", n, 2, 10, data[:i])
		bad := bytes.Clone(data)
		bad[i] ^= 0x10
		refuse("one bit differs", n, 2, 10, bad)
	}
	refuse("longer", n, 2, 10, append(bytes.Clone(data), 0))
	refuse("other shard", n, 1, 10, data)
	refuse("other number of shards", saved(8), 2, 10, data)
	refuse("later event", n, 2, 9, data)
	refuse("other secret", counter.New(counter.Options{Shards: 4, Secret: []byte("other")}), 2, 10, data)
	refuse("random secret", counter.New(counter.Options{Shards: 4}), 2, 10, data)
	old := bytes.Clone(data)
	old[4]++
	refuse("other version", n, 2, 10, counter.Seal(old))

	// It is empty then, and takes part in everything.
	n = saved(1)
	apply(t, n, epoch, hit("k", "a", 5))
	refuse("nothing", n, 0, 100, nil)
	if s := n.Stats(); s.Keys != 0 {
		t.Errorf("%d keys are left", s.Keys)
	}
	n.Replay(epoch, 50, []counter.Hit{hit("k", "a", 5)})
	if level(t, n, epoch, "k") != 1 {
		t.Error("it takes no part in the replay")
	}
	if err := n.Restore(0, 1, n.Snapshot(0, 1)); err != nil {
		t.Error(err)
	}
}

// TestRestoredSkipsWhatItHas: a restored shard is left alone by everything up
// to its event, and by nothing after it.
func TestRestoredSkipsWhatItHas(t *testing.T) {
	key := hit("k", "", 5).Key
	for name, do := range map[string]func(m *counter.Memory, seq int64){
		"replay": func(m *counter.Memory, seq int64) { m.Replay(epoch, seq, []counter.Hit{hit("k", "b", 5)}) },
		"empty":  func(m *counter.Memory, seq int64) { m.Empty([]counter.Key{key}, seq) },
		"take out": func(m *counter.Memory, seq int64) {
			_, _ = m.TakeOut(t.Context(), epoch, counter.Tag{Account: "k"}, epoch, seq)
		},
		"remove": func(m *counter.Memory, seq int64) {
			_ = m.Remove(t.Context(), epoch, []counter.Hit{hit("k", "a", 5)}, seq)
		},
		"clear": func(m *counter.Memory, seq int64) {
			_ = m.Clear(t.Context(), epoch, counter.Selection{All: true}, seq)
		},
		"clear key": func(m *counter.Memory, seq int64) {
			_ = m.Clear(t.Context(), epoch, counter.Selection{Key: &key}, seq)
		},
	} {
		m := saved(2)
		apply(t, m, epoch, hit("k", "a", 5))
		m = reborn(t, m, 10)
		for _, seq := range []int64{1, 10} {
			if do(m, seq); level(t, m, epoch, "k") != 1 {
				t.Errorf("%s of event %d: %d", name, seq, level(t, m, epoch, "k"))
			}
		}
		if do(m, 11); level(t, m, epoch, "k") == 1 {
			t.Errorf("%s of event 11 did nothing", name)
		}
		m = reborn(t, saved(2), 10)
		apply(t, m, epoch, hit("k", "a", 5))
		if do(m, 0); level(t, m, epoch, "k") == 1 {
			t.Errorf("%s of no event did nothing", name)
		}
	}
}

// TestReplayNeverCrosses: a count may stand at its threshold afterwards, with
// the newest members; the next hit crosses, and only one slot is free.
func TestReplayNeverCrosses(t *testing.T) {
	m := counter.New(counter.Options{})
	for i := range 7 {
		h := hit("k", strconv.Itoa(i), 5)
		h.At, h.Seq = epoch.Add(time.Duration(i-7)*time.Second), int64(i)
		m.Replay(epoch, h.Seq, []counter.Hit{h})
	}
	if n := level(t, m, epoch, "k"); n != 5 {
		t.Fatalf("%d members", n)
	}
	first, status, err := m.Reserve(t.Context(), epoch, "first", []counter.Hit{hit("k", "x", 5)})
	if err != nil || status != counter.Granted {
		t.Fatal("nobody can bring the outcome that decides:", status, err)
	}
	second, status, err := m.Reserve(t.Context(), epoch, "second", []counter.Hit{hit("k", "y", 5)})
	if err != nil || status != counter.Waiting {
		t.Fatal(status, err)
	}
	c, _ := m.Settle(t.Context(), epoch, first.ID, []counter.Hit{hit("k", "x", 5)})
	if !c[0].Crossed || c[0].N != 6 || len(c[0].Evidence) != 6 || c[0].Evidence[0].Seq != 2 {
		t.Fatalf("%+v", c)
	}
	if <-second.Done(); !m.Retry(second) {
		t.Error("the second was let in")
	}
	// A repeat crosses too, and above Exact it is the same.
	many := hit("many", "", 130)
	for i := range 200 {
		m.Replay(epoch, 1, []counter.Hit{hit("again", strconv.Itoa(i%5), 5), many})
	}
	c = apply(t, m, epoch, hit("again", "3", 5), many)
	if !c[0].Crossed || !c[0].Repeat || len(c[0].Evidence) != 5 || !c[1].Crossed || c[1].N != 201 {
		t.Fatalf("%+v", c)
	}
	check(t, m)
}

// event is a line of a journal.
type event struct {
	seq     int64
	now     time.Time
	hits    []counter.Hit
	emptied []counter.Key
	taken   *counter.Tag
	removed []counter.Hit
	cleared *counter.Selection
}

// TestCheckpointAndTail: shards saved at different events, and the tail of the
// journal replayed over them, give what was there when the process was killed.
func TestCheckpointAndTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			live    = saved(8)
			journal []event
			shards  = make([][]byte, live.Shards())
			seqs    = make([]int64, live.Shards())
			now     = epoch
			keys    []counter.Key
		)
		for i := range 6 {
			keys = append(keys, counter.Key{Rule: "two", Account: strconv.Itoa(i)}, counter.Key{Rule: "three", Account: strconv.Itoa(i)})
		}
		draw := func() []counter.Hit {
			var hits []counter.Hit
			for range rapid.IntRange(0, 3).Draw(t, "hits") {
				k := rapid.SampledFrom(keys).Draw(t, "key")
				if slices.ContainsFunc(hits, func(h counter.Hit) bool { return h.Key == k }) {
					continue // an event hits a counter once
				}
				h := counter.Hit{
					Key: k, Window: time.Minute, Threshold: len(k.Rule) - 1,
					Member: strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "member")),
					At:     now.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "age")) * time.Second),
					Seq:    int64(len(journal) + 1),
				}
				h.Tag.Account = k.Account
				hits = append(hits, h)
			}
			return hits
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second)
			e := event{seq: int64(len(journal) + 1), now: now}
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				e.taken = &counter.Tag{Account: strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "tag"))}
				_, _ = live.TakeOut(t.Context(), now, *e.taken, now, e.seq)
			case 1:
				e.removed = draw()
				_ = live.Remove(t.Context(), now, e.removed, e.seq)
			case 2:
				e.cleared = &counter.Selection{Account: strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "clear"))}
				_ = live.Clear(t.Context(), now, *e.cleared, e.seq)
			default:
				e.hits = draw()
				counts, _ := live.Apply(t.Context(), now, e.hits)
				for i, c := range counts {
					if c.Crossed {
						e.emptied = append(e.emptied, e.hits[i].Key)
					}
				}
			}
			journal = append(journal, e)
			for range rapid.IntRange(0, 3).Draw(t, "saves") {
				i := rapid.IntRange(0, len(shards)-1).Draw(t, "shard")
				if data := live.Snapshot(i, e.seq); data != nil {
					shards[i] = data
				}
				if seqs[i] = e.seq; shards[i] == nil {
					seqs[i] = 0 // never saved: nothing was in it
				}
			}
		}
		again := saved(8)
		for i, data := range shards {
			if data != nil {
				if err := again.Restore(i, seqs[i], data); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, e := range journal {
			again.Replay(e.now, e.seq, e.hits)
			again.Empty(e.emptied, e.seq)
			if e.taken != nil {
				_, _ = again.TakeOut(t.Context(), e.now, *e.taken, e.now, e.seq)
			}
			_ = again.Remove(t.Context(), e.now, e.removed, e.seq)
			if e.cleared != nil {
				_ = again.Clear(t.Context(), e.now, *e.cleared, e.seq)
			}
		}
		want, _ := live.Counts(t.Context(), now, keys)
		got, _ := again.Counts(t.Context(), now, keys)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if err := again.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRestore: whatever a snapshot says under a right checksum, it is either
// refused or read into something without contradictions that is written the same
// way again. The seeds are small, so that the fuzzer does not spend its time on
// making them smaller.
func FuzzRestore(f *testing.F) {
	keys := []counter.Key{hit("exact", "", 5).Key, hit("coarse", "", 300).Key}
	for i := range 4 {
		m := saved(1)
		if i != 1 {
			raise(f, m, "exact", 1+i, 5)
		}
		if i != 2 {
			raise(f, m, "coarse", 1, 300)
		}
		if i == 3 {
			_, _ = m.AddScore(f.Context(), epoch, keys[0], 3, time.Hour)
		}
		data := m.Snapshot(0, 10)
		f.Add(data[:len(data)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n := saved(1)
		if err := n.Restore(0, 10, counter.Seal(bytes.Clone(body))); err != nil {
			if check(t, n); n.Stats().Keys != 0 {
				t.Fatal("something is left of", err)
			}
			return
		}
		check(t, n)
		n.Unsaved(0)
		o := saved(1)
		if err := o.Restore(0, 10, n.Snapshot(0, 10)); err != nil {
			t.Fatal(err)
		}
		want, _ := n.Counts(t.Context(), epoch, keys)
		if got, _ := o.Counts(t.Context(), epoch, keys); !cmp.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
		for _, k := range keys {
			apply(t, n, epoch, counter.Hit{Key: k, Window: window, Threshold: 5, Member: "new", At: epoch})
		}
		n.Sweep(epoch.Add(window))
		check(t, n)
	})
}

// TestCarry: after a change of policy attempts on their way are settled as if
// nothing had happened, and those in line decide anew.
func TestCarry(t *testing.T) {
	old := counter.New(counter.Options{})
	reserve := func(m *counter.Memory, id string, want counter.Status, hits ...counter.Hit) *counter.Ticket {
		t.Helper()
		ticket, status, err := m.Reserve(t.Context(), epoch, id, hits)
		if err != nil || status != want {
			t.Fatal(id, status, err)
		}
		return ticket
	}
	apply(t, old, epoch, hit("k", "a", 3))
	first := reserve(old, "first", counter.Granted, hit("k", "x", 3), hit("gone", "x", 3))
	reserve(old, "second", counter.Granted, hit("k", "y", 3))
	waits := reserve(old, "third", counter.Waiting, hit("k", "z", 3))

	m := old.Fresh()
	m.Replay(epoch, 1, []counter.Hit{hit("k", "a", 4)}) // the new policy allows one more
	m.Carry(old)
	check(t, m)
	check(t, old)
	if <-waits.Done(); !m.Retry(waits) || old.Stats().Held != 0 || m.Stats().Held != 2 {
		t.Fatalf("%+v and %+v", old.Stats(), m.Stats())
	}
	levels, _ := m.Counts(t.Context(), epoch, []counter.Key{hit("k", "", 3).Key, hit("gone", "", 3).Key})
	if levels[0].N != 1 || levels[0].Held != 2 || levels[0].Threshold != 4 || levels[1].Held != 1 {
		t.Fatalf("%+v", levels)
	}
	reserve(m, "third", counter.Granted, hit("k", "z", 4))
	fourth := reserve(m, "fourth", counter.Waiting, hit("k", "w", 4))
	_ = old.Cancel(t.Context(), epoch, first) // too late, and harmless
	if err := m.Cancel(t.Context(), epoch, first); err != nil {
		t.Fatal(err)
	}
	if <-fourth.Done(); m.Retry(fourth) {
		t.Error("the fourth was told to retry")
	}
	if c, _ := m.Settle(t.Context(), epoch, "second", []counter.Hit{hit("k", "y", 4)}); c[0].N != 2 {
		t.Errorf("%+v", c)
	}
	check(t, m)

	// Of a Memory with another secret nothing can be taken over.
	other := counter.New(counter.Options{})
	other.Carry(m)
	if s := other.Stats(); s.Held != 0 {
		t.Errorf("%+v", s)
	}
	check(t, other)
}
