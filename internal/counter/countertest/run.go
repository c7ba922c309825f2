// Package countertest checks implementations of counter.Counter: Run is the
// conformance suite that all of them pass, Compare drives one of them at random
// beside Model, which is slow and obvious.
package countertest

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/counter"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const window = time.Hour

// bench is a Counter in a test, with a clock that stands still until it is
// moved.
type bench struct {
	*testing.T
	counter.Counter
	now time.Time
	seq int64
}

// Run checks an implementation. Every call of fresh returns an empty Counter.
func Run(t *testing.T, fresh func() counter.Counter) {
	for _, test := range []struct {
		name string
		run  func(*bench)
	}{
		{"RepeatCountsOnce", repeatCountsOnce},
		{"RepeatRenewsTime", repeatRenewsTime},
		{"RepeatNeverMovesTimeBack", repeatNeverMovesTimeBack},
		{"WindowEndsExactly", windowEndsExactly},
		{"StaleHitCountsNothing", staleHitCountsNothing},
		{"HitsOutOfOrder", hitsOutOfOrder},
		{"HitFromTheFuture", hitFromTheFuture},
		{"ClockGoesBack", clockGoesBack},
		{"CrossingEmpties", crossingEmpties},
		{"EvidenceIsOldestFirst", evidenceIsOldestFirst},
		{"ThresholdOne", thresholdOne},
		{"KeysAreApart", keysAreApart},
		{"ApplySeveral", applySeveral},
		{"LargestExactThreshold", largestExactThreshold},
		{"AboveExact", aboveExact},
		{"AboveExactSlides", aboveExactSlides},
		{"TakeOutByTag", takeOutByTag},
		{"TakeOutUpToTime", takeOutUpToTime},
		{"TakeOutLatestTag", takeOutLatestTag},
		{"TakeOutSparesAboveExact", takeOutSparesAboveExact},
		{"RemoveMembers", removeMembers},
		{"CountsOfNothing", countsOfNothing},
		{"ClearSelections", clearSelections},
		{"ScoreDecays", scoreDecays},
		{"ScoreIsNoCounter", scoreIsNoCounter},

		{"ReserveAllOrNone", reserveAllOrNone},
		{"HeldMemberCountsOnce", heldMemberCountsOnce},
		{"CountedMemberNeedsNoSlot", countedMemberNeedsNoSlot},
		{"FirstComeFirstServed", firstComeFirstServed},
		{"NewcomerQueuesBehind", newcomerQueuesBehind},
		{"CrossingTellsWaitersToRetry", crossingTellsWaitersToRetry},
		{"SuccessFreesSlot", successFreesSlot},
		{"FailureBecomesHit", failureBecomesHit},
		{"RepeatedGuessFreesSlot", repeatedGuessFreesSlot},
		{"SettleUnknown", settleUnknown},
		{"IDsAreUnique", idsAreUnique},
		{"CancelWaiting", cancelWaiting},
		{"CancelGranted", cancelGranted},
		{"BusyPerKey", busyPerKey},
		{"BusyInAll", busyInAll},
		{"TakeOutFreesSlots", takeOutFreesSlots},
		{"ReservationsSurviveClear", reservationsSurviveClear},
		{"HoldsAboveExact", holdsAboveExact},
		{"NeverOvershoots", neverOvershoots},
		{"ValidSignInsAllPass", validSignInsAllPass},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&bench{T: t, Counter: fresh(), now: epoch})
		})
	}
}

func address(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func keyOf(name string) counter.Key { return counter.Key{Rule: "rule", Account: name} }

// hit is a hit of a member, now, with a threshold of 5.
func (b *bench) hit(key, member string) counter.Hit {
	b.seq++
	return counter.Hit{Key: keyOf(key), Window: window, Threshold: 5, Member: member, At: b.now, Seq: b.seq}
}

func (b *bench) hits(key string, members ...string) []counter.Hit {
	var all []counter.Hit
	for _, m := range members {
		all = append(all, b.hit(key, m))
	}
	return all
}

func (b *bench) apply(hits ...counter.Hit) []counter.Count {
	b.Helper()
	counts, err := b.Apply(b.Context(), b.now, hits)
	if err != nil || len(counts) != len(hits) {
		b.Fatalf("Apply = %d counts, %v; want %d", len(counts), err, len(hits))
	}
	return counts
}

func (b *bench) want(got, want any) {
	b.Helper()
	if d := cmp.Diff(want, got); d != "" {
		b.Fatalf("-want +got:\n%s", d)
	}
}

func (b *bench) level(k counter.Key) counter.Level {
	b.Helper()
	levels, err := b.Counts(b.Context(), b.now, []counter.Key{k})
	if err != nil {
		b.Fatal(err)
	}
	return levels[0]
}

// wantN checks the count and the slots held of a key.
func (b *bench) wantN(key string, n, held int) {
	b.Helper()
	if l := b.level(keyOf(key)); l.N != n || l.Held != held {
		b.Fatalf("%s: %d counted, %d held; want %d and %d", key, l.N, l.Held, n, held)
	}
}

func repeatCountsOnce(b *bench) {
	b.want(b.apply(b.hits("k", "a", "a", "b", "a")...), []counter.Count{
		{N: 1}, {N: 1, Repeat: true}, {N: 2}, {N: 2, Repeat: true},
	})
	b.wantN("k", 2, 0)
}

func repeatRenewsTime(b *bench) {
	b.apply(b.hit("k", "a"))
	b.now = epoch.Add(window - time.Second)
	b.apply(b.hit("k", "a"))
	b.now = epoch.Add(2*window - 2*time.Second)
	b.want(b.level(keyOf("k")).Evidence, []counter.Evidence{{Seq: 2, At: epoch.Add(window - time.Second)}})
}

func repeatNeverMovesTimeBack(b *bench) {
	b.apply(b.hit("k", "a"))
	late := b.hit("k", "a")
	late.At = epoch.Add(-time.Minute)
	b.want(b.apply(late), []counter.Count{{N: 1, Repeat: true}})
	b.want(b.level(keyOf("k")).Evidence, []counter.Evidence{{Seq: 1, At: epoch}})
}

func windowEndsExactly(b *bench) {
	b.apply(b.hit("k", "a"))
	b.now = epoch.Add(window - 1)
	b.wantN("k", 1, 0)
	b.now = epoch.Add(window)
	b.wantN("k", 0, 0)
	b.want(b.apply(b.hit("k", "b")), []counter.Count{{N: 1}})
}

func staleHitCountsNothing(b *bench) {
	for _, age := range []time.Duration{window, 2 * window, 250 * 365 * 24 * time.Hour} {
		old := b.hit("k", "a")
		old.At = epoch.Add(-age)
		b.want(b.apply(old), []counter.Count{{Stale: true}})
	}
	b.apply(b.hit("k", "b"))
	zero := b.hit("k", "c")
	zero.At = time.Time{}
	b.want(b.apply(zero), []counter.Count{{N: 1, Stale: true}})
	b.wantN("k", 1, 0)
}

func hitsOutOfOrder(b *bench) {
	for i, age := range []time.Duration{10, 50, 30, 59} {
		h := b.hit("k", strconv.Itoa(i))
		h.At = epoch.Add(-age * time.Minute)
		b.want(b.apply(h), []counter.Count{{N: i + 1}})
	}
	b.now = epoch.Add(5 * time.Minute)
	b.wantN("k", 3, 0)
	b.now = epoch.Add(10 * time.Minute)
	b.wantN("k", 2, 0)
	b.now = epoch.Add(49 * time.Minute)
	b.wantN("k", 1, 0)
}

func hitFromTheFuture(b *bench) {
	h := b.hit("k", "a")
	h.At = epoch.Add(100 * 365 * 24 * time.Hour)
	b.want(b.apply(h), []counter.Count{{N: 1}})
	b.want(b.level(keyOf("k")).Evidence, []counter.Evidence{{Seq: 1, At: epoch}})
}

func clockGoesBack(b *bench) {
	b.apply(b.hit("k", "a"))
	b.now = epoch.Add(-time.Second)
	b.want(b.apply(b.hit("k", "b")), []counter.Count{{N: 2}})
	b.want(b.level(keyOf("k")).Evidence, []counter.Evidence{{Seq: 2, At: b.now}, {Seq: 1, At: epoch}})
}

func crossingEmpties(b *bench) {
	b.apply(b.hits("k", "a", "b", "c", "d")...)
	u := b.hit("k", "e")
	u.Unsettled = true
	counts := b.apply(u, b.hit("k", "a"))
	b.want(counts[0].Crossed, true)
	b.want(counts[0].N, 5)
	b.want(counts[0].Evidence, []counter.Evidence{
		{Seq: 1, At: epoch}, {Seq: 2, At: epoch}, {Seq: 3, At: epoch}, {Seq: 4, At: epoch}, {Seq: 5, At: epoch, Unsettled: true},
	})
	b.want(counts[1], counter.Count{N: 1})
}

func evidenceIsOldestFirst(b *bench) {
	var last counter.Count
	for i, age := range []time.Duration{1, 4, 2, 5, 3} {
		h := b.hit("k", strconv.Itoa(i))
		h.At = epoch.Add(-age * time.Minute)
		last = b.apply(h)[0]
	}
	var seqs []int64
	for _, e := range last.Evidence {
		seqs = append(seqs, e.Seq)
	}
	b.want(seqs, []int64{4, 2, 5, 3, 1})
}

func thresholdOne(b *bench) {
	h := b.hit("k", "a")
	h.Threshold = 1
	want := counter.Count{N: 1, Crossed: true, Evidence: []counter.Evidence{{Seq: 1, At: epoch}}}
	b.want(b.apply(h, h), []counter.Count{want, want})
	b.want(b.level(h.Key), counter.Level{})
}

// keysAreApart: each part of a key tells counters apart, and moving text from
// one part to the next does not make two keys one.
func keysAreApart(b *bench) {
	keys := []counter.Key{
		{},
		{Rule: "ab"},
		{Rule: "a", Account: "b"},
		{Account: "ab"},
		{Source: "ab"},
		{Session: "ab"},
		{Realm: "ab"},
		{Account: "a", Source: "b"},
		{Account: "a\x01b"},
		{Account: "a", Realm: "b"},
		{Address: address("10.0.0.0/32")},
		{Address: address("10.0.0.0/31")},
		{Address: address("::ffff:10.0.0.0/128")},
		{Address: address("2001:db8::/64")},
		{Address: address("2001:db8::/63")},
		{Address: address("0.0.0.0/0")},
		{Address: address("::/0")},
	}
	for _, k := range keys {
		h := b.hit("", "a")
		h.Key = k
		b.want(b.apply(h), []counter.Count{{N: 1}})
	}
}

func applySeveral(b *bench) {
	one, ten := b.hit("one", "a"), b.hit("ten", "a")
	one.Threshold, ten.Threshold = 1, 10
	counts := b.apply(one, ten, b.hit("k", "a"))
	b.want([]bool{counts[0].Crossed, counts[1].Crossed, counts[2].Crossed}, []bool{true, false, false})
	b.wantN("one", 0, 0)
	b.wantN("ten", 1, 0)
	b.wantN("k", 1, 0)
	b.want(len(b.apply()), 0)
}

func largestExactThreshold(b *bench) {
	for i := range counter.Exact {
		h := b.hit("k", strconv.Itoa(i))
		h.Threshold = counter.Exact
		c := b.apply(h, h)
		if last := i == counter.Exact-1; c[0].Crossed != last || c[0].N != i+1 || c[1].Repeat == last {
			b.Fatalf("hit %d: %+v", i, c)
		} else if last && len(c[0].Evidence) != counter.Exact {
			b.Fatalf("%d pieces of evidence", len(c[0].Evidence))
		}
	}
}

func (b *bench) coarse(key string, threshold int) counter.Hit {
	h := b.hit(key, "same")
	h.Threshold = threshold
	return h
}

func aboveExact(b *bench) {
	for i := range 199 {
		b.want(b.apply(b.coarse("k", 200)), []counter.Count{{N: i + 1}})
	}
	b.want(b.level(keyOf("k")), counter.Level{N: 199, Threshold: 200})
	b.want(b.apply(b.coarse("k", 200)), []counter.Count{{N: 200, Crossed: true}})
	b.wantN("k", 0, 0)
}

// aboveExactSlides: no hit counts for longer than the window, and none for
// shorter than the window less a sub-bucket.
func aboveExactSlides(b *bench) {
	const width = window / counter.Buckets
	for i := range 120 {
		b.now = epoch.Add(time.Duration(i) * width / 2)
		b.apply(b.coarse("k", 200))
	}
	last := b.now
	for age := time.Duration(0); age <= window; age += width / 4 {
		b.now = last.Add(age)
		most, least := 0, 0
		for i := range 120 {
			at := epoch.Add(time.Duration(i) * width / 2)
			if at.After(b.now.Add(-window)) {
				most++
			}
			if at.After(b.now.Add(-window + width)) {
				least++
			}
		}
		if n := b.level(keyOf("k")).N; n < least || n > most {
			b.Fatalf("after %v: %d, want %d to %d", age, n, least, most)
		}
	}
	old := b.coarse("k", 200)
	old.At = b.now.Add(-window)
	b.want(b.apply(old)[0].Stale, true)
}

func (b *bench) tagged(key, member string, tag counter.Tag) counter.Hit {
	h := b.hit(key, member)
	h.Tag = tag
	return h
}

func (b *bench) takeOut(tag counter.Tag, upTo time.Time, want int) {
	b.Helper()
	n, err := b.TakeOut(b.Context(), b.now, tag, upTo, 0)
	if err != nil || n != want {
		b.Fatalf("TakeOut = %d, %v; want %d", n, err, want)
	}
}

func takeOutByTag(b *bench) {
	home := address("192.0.2.7/32")
	mine := counter.Tag{Account: "ann", Address: home}
	b.apply(
		b.tagged("k", "a", mine), b.tagged("k", "b", mine), b.tagged("l", "a", mine),
		b.tagged("k", "c", counter.Tag{Account: "bob", Address: home}),
		b.tagged("k", "d", counter.Tag{Account: "ann", Address: address("192.0.2.8/32")}),
		b.tagged("l", "e", counter.Tag{Account: "ann", Address: home, Class: "mfa"}),
		b.tagged("l", "f", counter.Tag{}),
	)
	b.takeOut(mine, b.now, 3)
	b.wantN("k", 2, 0)
	b.wantN("l", 2, 0)
	b.takeOut(mine, b.now, 0)
	b.takeOut(counter.Tag{Account: "ann", Address: home, Class: "mfa"}, b.now, 1)
	b.wantN("l", 1, 0)
}

func takeOutUpToTime(b *bench) {
	mine := counter.Tag{Account: "ann"}
	b.apply(b.tagged("k", "a", mine))
	b.now = epoch.Add(time.Minute)
	b.apply(b.tagged("k", "b", mine))
	b.now = epoch.Add(2 * time.Minute)
	b.apply(b.tagged("k", "c", mine))
	b.takeOut(mine, epoch.Add(time.Minute), 2)
	b.wantN("k", 1, 0)
	b.now = epoch.Add(3 * window)
	b.takeOut(mine, b.now, 0)
}

func takeOutLatestTag(b *bench) {
	first, then := counter.Tag{Account: "ann"}, counter.Tag{Account: "bob"}
	b.apply(b.tagged("k", "a", first))
	b.now = epoch.Add(time.Minute)
	b.apply(b.tagged("k", "a", then))
	b.takeOut(first, b.now, 0)
	b.takeOut(then, epoch, 0)
	b.takeOut(then, b.now, 1)
}

func takeOutSparesAboveExact(b *bench) {
	h := b.coarse("k", 200)
	h.Tag = counter.Tag{Account: "ann"}
	b.apply(h)
	b.takeOut(h.Tag, b.now, 0)
	b.wantN("k", 1, 0)
}

func removeMembers(b *bench) {
	b.apply(b.hits("k", "a", "b", "c")...)
	gone := append(b.hits("k", "a", "c", "x"), b.hit("unknown", "a"))
	if err := b.Remove(b.Context(), b.now, gone, 0); err != nil {
		b.Fatal(err)
	}
	b.want(b.level(keyOf("k")).Evidence, []counter.Evidence{{Seq: 2, At: epoch}})
}

func countsOfNothing(b *bench) {
	levels, err := b.Counts(b.Context(), b.now, []counter.Key{keyOf("k"), {}})
	b.want(err, nil)
	b.want(levels, make([]counter.Level, 2))
}

func clearSelections(b *bench) {
	x, y := address("192.0.2.1/32"), address("2001:db8::/64")
	keys := []counter.Key{
		{Rule: "r", Address: x},
		{Rule: "r", Address: y},
		{Rule: "r", Account: "ann"},
		{Rule: "r", Address: x, Account: "ann"},
		{Rule: "s", Address: x, Account: "bob"},
		{Rule: "s", Account: "ann", Source: "d:1"},
		{Rule: "s", Realm: "admin"},
	}
	for _, test := range []struct {
		name string
		s    counter.Selection
		left []int
	}{
		{"nothing", counter.Selection{}, []int{0, 1, 2, 3, 4, 5, 6}},
		{"all", counter.Selection{All: true}, nil},
		{"address", counter.Selection{Address: x}, []int{1, 2, 5, 6}},
		{"other address", counter.Selection{Address: y}, []int{0, 2, 3, 4, 5, 6}},
		{"wider address", counter.Selection{Address: address("192.0.2.0/24")}, []int{0, 1, 2, 3, 4, 5, 6}},
		{"account", counter.Selection{Account: "ann"}, []int{0, 1, 4, 6}},
		{"address and account", counter.Selection{Address: x, Account: "ann"}, []int{0, 1, 2, 4, 5, 6}},
		{"rule", counter.Selection{Rule: "s"}, []int{0, 1, 2, 3}},
		{"rule and account", counter.Selection{Rule: "s", Account: "ann"}, []int{0, 1, 2, 3, 4, 6}},
		{"all of a rule", counter.Selection{All: true, Rule: "r"}, []int{4, 5, 6}},
		{"key", counter.Selection{Key: &keys[0]}, []int{1, 2, 3, 4, 5, 6}},
		{"unknown key", counter.Selection{Key: &counter.Key{Rule: "q", Address: x}}, []int{0, 1, 2, 3, 4, 5, 6}},
		{"key of another rule", counter.Selection{Key: &keys[0], Rule: "s"}, []int{0, 1, 2, 3, 4, 5, 6}},
	} {
		if err := b.Clear(b.Context(), b.now, counter.Selection{All: true}, 0); err != nil {
			b.Fatal(err)
		}
		for i, k := range keys {
			h := b.hit("", "m")
			h.Key = k
			b.apply(h)
			if _, err := b.AddScore(b.Context(), b.now, keys[i], 4, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
		if err := b.Clear(b.Context(), b.now, test.s, 0); err != nil {
			b.Fatal(err)
		}
		var left, scores []int
		for i, k := range keys {
			if b.level(k).N > 0 {
				left = append(left, i)
			}
			if b.score(k) > 0 {
				scores = append(scores, i)
			}
		}
		if d := cmp.Diff(test.left, left); d != "" {
			b.Errorf("%s: counters -want +got:\n%s", test.name, d)
		}
		if d := cmp.Diff(test.left, scores); d != "" {
			b.Errorf("%s: scores -want +got:\n%s", test.name, d)
		}
	}
}

func (b *bench) score(k counter.Key) float64 {
	b.Helper()
	v, err := b.Score(b.Context(), b.now, k)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func near(got, want float64) bool { return got > want*0.999 && got < want*1.001 }

func scoreDecays(b *bench) {
	k := keyOf("k")
	b.want(b.score(k), 0.0)
	for _, step := range []struct {
		after time.Duration
		add   float64
		want  float64
	}{{0, 8, 8}, {time.Hour, 0, 4}, {time.Hour, 1, 3}, {30 * time.Minute, 0, 2.1213}, {30 * time.Minute, 0.5, 2}} {
		b.now = b.now.Add(step.after)
		got := b.score(k)
		if step.add > 0 {
			var err error
			if got, err = b.AddScore(b.Context(), b.now, k, step.add, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
		if !near(got, step.want) {
			b.Fatalf("score %v, want %v", got, step.want)
		}
	}
	b.now = b.now.Add(1000 * time.Hour)
	if v := b.score(k); v > 1e-3 {
		b.Fatalf("score %v after 1000 half-lives", v)
	}
}

func scoreIsNoCounter(b *bench) {
	if _, err := b.AddScore(b.Context(), b.now, keyOf("k"), 3, time.Hour); err != nil {
		b.Fatal(err)
	}
	b.want(b.apply(b.hit("k", "a")), []counter.Count{{N: 1}})
	if v := b.score(keyOf("k")); !near(v, 3) {
		b.Fatalf("score %v", v)
	}
}
