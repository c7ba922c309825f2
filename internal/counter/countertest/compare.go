package countertest

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warderhq/warder/internal/counter"
)

// Compare drives two Counters with the same random operations and fails at the
// first difference. Expiring must grant what became free by the passing of time.
// Counters with thresholds that differ only in their rule share their accounts
// and addresses, members are few, hits come out of order. The invariant is
// checked after every step.
func Compare(t *rapid.T, a, b Expiring, invariant func() error) {
	c := &comparison{a: a, b: b, invariant: invariant, now: epoch}
	t.Repeat(map[string]func(*rapid.T){
		"":         c.check,
		"apply":    c.apply,
		"reserve":  c.reserve,
		"settle":   c.settle,
		"cancel":   c.cancel,
		"take out": c.takeOut,
		"remove":   c.remove,
		"clear":    c.clear,
		"score":    c.score,
		"wait":     c.wait,
	})
}

// Expiring is a Counter that can be told that time has passed.
type Expiring interface {
	counter.Counter
	Expire(now time.Time)
}

type comparison struct {
	a, b      Expiring
	invariant func() error
	now       time.Time
	seq       int64
	ids       int
	tickets   [][2]*counter.Ticket // issued and not settled or cancelled
}

var (
	thresholds = map[string]int{"one": 1, "two": 2, "three": 3, "six": 6, "many": 140}
	rules      = rapid.SampledFrom([]string{"one", "two", "three", "six", "many"})
	names      = rapid.SampledFrom([]string{"", "ann", "bob"})
	members    = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"})
	classes    = rapid.SampledFrom([]string{"", "mfa"})
)

const short = time.Minute // the window of Compare, so that time matters

func (c *comparison) key(t *rapid.T) counter.Key {
	k := counter.Key{Rule: rules.Draw(t, "rule"), Account: names.Draw(t, "account")}
	if rapid.Bool().Draw(t, "address") {
		k.Address = address("192.0.2.1/32")
	}
	return k
}

func (c *comparison) tag(t *rapid.T) counter.Tag {
	return counter.Tag{Account: names.Draw(t, "tag"), Class: classes.Draw(t, "class")}
}

func (c *comparison) hit(t *rapid.T) counter.Hit {
	c.seq++
	h := counter.Hit{
		Key: c.key(t), Window: short, Member: members.Draw(t, "member"),
		At:  c.now.Add(-time.Duration(rapid.IntRange(0, 70).Draw(t, "age")) * time.Second),
		Seq: c.seq, Tag: c.tag(t), Unsettled: rapid.Bool().Draw(t, "unsettled"),
	}
	h.Threshold = thresholds[h.Key.Rule]
	return h
}

func (c *comparison) hits(t *rapid.T, most int) []counter.Hit {
	var hits []counter.Hit
	for range rapid.IntRange(0, most).Draw(t, "hits") {
		h := c.hit(t)
		hits = append(hits, h)
		if h.Threshold > counter.Exact {
			for range rapid.IntRange(0, 90).Draw(t, "more") {
				hits = append(hits, h)
			}
		}
	}
	return hits
}

// same compares the results of both.
func same[V any](t *rapid.T, what string, a, b V, errA, errB error) {
	t.Helper()
	if d := cmp.Diff(a, b); d != "" || !cmp.Equal(fmt.Sprint(errA), fmt.Sprint(errB)) {
		t.Fatalf("%s: %v and %v; -a +b:\n%s", what, errA, errB, d)
	}
}

func (c *comparison) ctx() context.Context { return context.Background() }

func (c *comparison) apply(t *rapid.T) {
	hits := c.hits(t, 4)
	a, errA := c.a.Apply(c.ctx(), c.now, hits)
	b, errB := c.b.Apply(c.ctx(), c.now, hits)
	same(t, "Apply", a, b, errA, errB)
}

func (c *comparison) reserve(t *rapid.T) {
	hits := c.hits(t, 3)
	c.ids++
	id := fmt.Sprint("r", c.ids)
	a, statusA, errA := c.a.Reserve(c.ctx(), c.now, id, hits)
	b, statusB, errB := c.b.Reserve(c.ctx(), c.now, id, hits)
	same(t, "Reserve", statusA, statusB, errA, errB)
	if errA == nil {
		c.tickets = append(c.tickets, [2]*counter.Ticket{a, b})
	}
}

// take picks a ticket and forgets it.
func (c *comparison) take(t *rapid.T) [2]*counter.Ticket {
	if len(c.tickets) == 0 {
		t.Skip("no tickets")
	}
	i := rapid.IntRange(0, len(c.tickets)-1).Draw(t, "ticket")
	ticket := c.tickets[i]
	c.tickets = append(c.tickets[:i], c.tickets[i+1:]...)
	return ticket
}

func (c *comparison) settle(t *rapid.T) {
	ticket, hits := c.take(t), c.hits(t, 3)
	a, errA := c.a.Settle(c.ctx(), c.now, ticket[0].ID, hits)
	b, errB := c.b.Settle(c.ctx(), c.now, ticket[1].ID, hits)
	same(t, "Settle", a, b, errA, errB)
}

func (c *comparison) cancel(t *rapid.T) {
	ticket := c.take(t)
	same(t, "Cancel", 0, 0, c.a.Cancel(c.ctx(), c.now, ticket[0]), c.b.Cancel(c.ctx(), c.now, ticket[1]))
}

func (c *comparison) takeOut(t *rapid.T) {
	tag, upTo := c.tag(t), c.now.Add(-time.Duration(rapid.IntRange(0, 70).Draw(t, "up to"))*time.Second)
	a, errA := c.a.TakeOut(c.ctx(), c.now, tag, upTo, 0)
	b, errB := c.b.TakeOut(c.ctx(), c.now, tag, upTo, 0)
	same(t, "TakeOut", a, b, errA, errB)
}

func (c *comparison) remove(t *rapid.T) {
	hits := c.hits(t, 3)
	same(t, "Remove", 0, 0, c.a.Remove(c.ctx(), c.now, hits, 0), c.b.Remove(c.ctx(), c.now, hits, 0))
}

func (c *comparison) clear(t *rapid.T) {
	k := c.key(t)
	s := counter.Selection{Account: k.Account}
	switch rapid.IntRange(0, 5).Draw(t, "selection") {
	case 0:
		s = counter.Selection{Key: &k}
	case 1:
		s.Rule = k.Rule
	case 2:
		s.Address = k.Address
	case 3:
		s = counter.Selection{All: true}
	}
	same(t, "Clear", 0, 0, c.a.Clear(c.ctx(), c.now, s, 0), c.b.Clear(c.ctx(), c.now, s, 0))
}

func (c *comparison) score(t *rapid.T) {
	k, weight := c.key(t), rapid.Float64Range(0.1, 10).Draw(t, "weight")
	a, errA := c.a.AddScore(c.ctx(), c.now, k, weight, short)
	b, errB := c.b.AddScore(c.ctx(), c.now, k, weight, short)
	same(t, "AddScore", round(a), round(b), errA, errB)
}

// round forgives that a score which is as good as nothing is forgotten.
func round(v float64) float64 { return math.Round(v * 50) }

func (c *comparison) wait(t *rapid.T) {
	c.now = c.now.Add(time.Duration(rapid.IntRange(0, 45).Draw(t, "seconds")) * time.Second)
	c.a.Expire(c.now)
	c.b.Expire(c.now)
}

// check compares everything that can be seen.
func (c *comparison) check(t *rapid.T) {
	if err := c.invariant(); err != nil {
		t.Fatal(err)
	}
	var keys []counter.Key
	for rule := range thresholds {
		for _, name := range []string{"", "ann", "bob"} {
			keys = append(keys, counter.Key{Rule: rule, Account: name},
				counter.Key{Rule: rule, Account: name, Address: address("192.0.2.1/32")})
		}
	}
	a, errA := c.a.Counts(c.ctx(), c.now, keys)
	b, errB := c.b.Counts(c.ctx(), c.now, keys)
	same(t, "Counts", a, b, errA, errB)
	for _, k := range keys {
		a, errA := c.a.Score(c.ctx(), c.now, k)
		b, errB := c.b.Score(c.ctx(), c.now, k)
		same(t, "Score", round(a), round(b), errA, errB)
	}
	for _, ticket := range c.tickets {
		doneA, doneB := isDone(ticket[0]), isDone(ticket[1])
		same(t, "Done of "+ticket[0].ID, doneA, doneB, nil, nil)
		if doneA {
			same(t, "Retry of "+ticket[0].ID, c.a.Retry(ticket[0]), c.b.Retry(ticket[1]), nil, nil)
		}
	}
}
