package guard

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// Explanation is the answer to "why?": the decision, and every fact, rule and
// counter behind it.
type Explanation struct {
	Decision warder.Decision `json:"decision"`
	Steps    []string        `json:"steps"` // in words, in the order of deciding
	Counters []CounterState  `json:"counters"`
	Blocks   []*Block        `json:"blocks"`
	Demands  []*Demand       `json:"demands"`
	Known    bool            `json:"known_source"`
	Shared   int             `json:"good_accounts_14d"`
	Levels   map[string]int  `json:"providers,omitempty"`
	History  string          `json:"history,omitempty"` // the criterion that applies
}

// CounterState is one counter that a failure of the query would hit.
type CounterState struct {
	Rule      string      `json:"rule"`
	Key       string      `json:"key"`
	Count     int         `json:"count"`
	Held      int         `json:"held"`
	Threshold int         `json:"threshold"`
	Window    int64       `json:"window"` // seconds
	Mode      warder.Mode `json:"mode"`
}

// Explain tells how a decision comes about now, in numbers and words. It
// counts nothing. An empty q.Event stands for a failed sign-in of a user.
func (g *Guard) Explain(q Query) Explanation {
	now := g.now()
	f := g.force.Load()
	q.why = true
	r := requesterOf(&q)
	found := g.decide(f, &q, now)
	x := Explanation{Decision: g.answer(nil, &q, found, now), Counters: []CounterState{}, Blocks: []*Block{}, Demands: []*Demand{}}
	say := func(format string, args ...any) { x.Steps = append(x.Steps, fmt.Sprintf(format, args...)) }
	say("The policy is in mode %s (revision %d).", f.mode, f.revision)
	if q.Session != "" {
		if g.sessions.isRevoked(q.Session) {
			say("The session was ended.")
		} else {
			say("The session was not ended by Warder.")
		}
	}
	if q.IP.IsValid() {
		g.explainAddress(&x, f, &q, r, now, say)
	} else {
		say("The client's address is unknown: nothing that goes by address applies.")
	}
	if r.account != "" {
		x.Known = g.knows(r, now)
		if x.Known {
			say("The account signed in from this source within 90 days: its failures from here are judged apart.")
		} else if r.source != "" {
			say("The account has not signed in from this source within 90 days.")
		}
		for _, s := range g.accountSubjects(r, now) {
			x.addBlocks(g.blocks.of(s), s, now)
		}
	}
	for _, d := range g.standingDemands(r, now) {
		x.Demands = append(x.Demands, d)
		state := "not met"
		if g.meets(r, d.Action, now) {
			state = "met"
		}
		say("Rule %s demands %s of %s, %s.", d.Rule, d.Action, subjectText(d.Subject), state)
	}
	for _, b := range x.Blocks {
		until := "until it is lifted"
		if !b.Until.IsZero() {
			until = "until " + b.Until.Format(time.RFC3339)
		}
		by := b.Origin
		if b.Rule != "" {
			by = "rule " + b.Rule
		}
		say("Block %s (%s) stands on %s by %s, %s.", b.ID, b.Reference, subjectText(b.Subject), by, until)
	}
	g.explainCounters(&x, f, &q, r, now)
	for _, c := range x.Counters {
		held := ""
		if c.Held > 0 {
			held = fmt.Sprintf(", with %d attempts under way", c.Held)
		}
		say("Rule %s by %s stands at %d of %d within %s%s (%s).", c.Rule, c.Key, c.Count, c.Threshold, Span(time.Duration(c.Window)*time.Second), held, c.Mode)
	}
	say("The decision is %s (%s).", x.Decision.Action, x.Decision.Reason)
	return x
}

func (g *Guard) explainAddress(x *Explanation, f *inForce, q *Query, r requester, now time.Time, say func(string, ...any)) {
	if g.trusts(q.IP, now) {
		say("%s is trusted: it is never refused and nothing of it counts.", q.IP)
	}
	if g.protects(q.IP) {
		say("%s is self-protected: rules by address alert but do not block it.", q.IP)
	}
	var hostile bool
	x.Shared, hostile = g.good.standing(r.address, now)
	switch {
	case x.Shared >= sharedAccounts && hostile:
		say("%d accounts signed in from it in 14 days, but fewer than 5 %% of its sign-ins of the last 24 hours succeeded: it is not spared as shared.", x.Shared)
	case x.Shared >= sharedAccounts:
		say("It is shared by %d accounts: an automatic block of it lasts 15 minutes at most.", x.Shared)
	case x.Shared > 0:
		say("%d accounts signed in from it in 14 days.", x.Shared)
	}
	if g.good.suspect(r.address, now) {
		say("It looks like a proxy: nearly all sign-ins come from it. It is not blocked automatically.")
	}
	for _, l := range f.lists {
		if level, ok := l.lookup(q.IP); ok {
			if x.Levels == nil {
				x.Levels = make(map[string]int)
			}
			x.Levels[l.provider.Name] = level
			say("Provider %s lists it at level %d: %s.", l.provider.Name, level, l.provider.Action(level))
		}
	}
	if v, ok := g.history.Lookup(q.IP); ok {
		x.History = v.criterion
		say("Its history meets the criterion %s: %s.", v.criterion, v.action)
	}
	g.blocks.prefixes.Covering(q.IP, func(p netip.Prefix, head *stand) bool {
		x.addBlocks(head, warder.Subject{IP: p}, now)
		return true
	})
}

func (x *Explanation) addBlocks(s *stand, subject warder.Subject, now time.Time) {
	for ; s != nil; s = s.next {
		if s.live(now.UnixNano()) {
			x.Blocks = append(x.Blocks, s.block(subject))
		}
	}
}

func (g *Guard) explainCounters(x *Explanation, f *inForce, q *Query, r requester, now time.Time) {
	stem := q.Event
	if stem == "" {
		stem = "USER_LOGIN"
	}
	_, failure, _ := policy.AttemptNames(stem)
	e := q.event(failure, now)
	e.ID = "explain"
	facts := policy.Facts{}
	if x.Known {
		facts.Source = r.source
	}
	hits := f.policy.Hits(&e, &facts, now, 0)
	keys := make([]counter.Key, len(hits))
	for i := range hits {
		keys[i] = hits[i].Key
	}
	g.mu.Lock()
	levels, err := g.counters.Counts(context.Background(), now, keys)
	g.mu.Unlock()
	if err != nil || len(levels) != len(hits) {
		return
	}
	for i, h := range hits {
		x.Counters = append(x.Counters, CounterState{
			Rule: h.Rule.ID, Key: string(h.Rule.Key), Count: levels[i].N, Held: levels[i].Held,
			Threshold: h.Rule.Threshold, Window: int64(h.Rule.Window / time.Second), Mode: min(f.mode, h.Rule.Mode),
		})
	}
}

// Span writes a duration as people say it.
func Span(d time.Duration) string {
	unit := func(n int64, one string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %ss", n, one)
	}
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s >= 86400 && s%86400 == 0:
		return unit(s/86400, "day")
	case s >= 3600 && s%3600 == 0:
		return unit(s/3600, "hour")
	case s >= 60 && s%60 == 0:
		return unit(s/60, "minute")
	case s >= 7200:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	}
	return unit(s, "second")
}
