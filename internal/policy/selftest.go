package policy

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// testStart is when the first test of a document begins.
var testStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Bounds of a test's surroundings that follow from SEMANTICS 17 and 39.
const (
	stepMemory    = 7 * 24 * time.Hour
	clearanceLife = 15 * time.Minute
)

// Test runs the document's tests with the functions that live traffic is judged
// by and counters of its own. The error is warder.Faults with every expectation
// that was not met: `tests[0].events[4].severity: want critical, got high`.
func (p *Policy) Test() error {
	return p.test(counter.New(counter.Options{Bytes: 16 << 20}))
}

func (p *Policy) test(c counter.Counter) error {
	d := *p.document
	d.Enabled, d.Mode, d.Activity.Enabled = true, warder.Enforce, true
	on, err := d.Compile()
	if err != nil {
		return err
	}
	var f warder.Faults
	start := testStart
	var seq int64
	for i := range d.Tests {
		// Counters see one clock that never goes back, so each test begins
		// after the one before.
		if err := c.Clear(context.Background(), start, counter.Selection{All: true}, seq); err != nil {
			return fmt.Errorf("clear counters: %w", err)
		}
		t := trial{p: on, c: c, start: start, seq: seq, known: map[known]bool{}, met: map[known]bool{}, cleared: map[cleared]time.Time{}}
		for j := range d.Tests[i].Events {
			e := &d.Tests[i].Events[j]
			var got seen
			for range max(1, e.Repeat) {
				if got, err = t.step(e); err != nil {
					return fmt.Errorf("run tests[%d]: %w", i, err)
				}
			}
			got.compare(e, fmt.Sprintf("tests[%d].events[%d]", i, j), &f)
		}
		start, seq = t.now.Add(time.Hour), t.seq
	}
	return f.Err()
}

// seen is what one event of a test led to.
type seen struct {
	severity warder.Severity
	action   warder.Action
	crossing string
	lasts    int64
	cut      string
	spared   string
}

func (s seen) compare(e *TestEvent, at string, f *warder.Faults) {
	check(f, at+".severity", e.Severity, s.severity)
	check(f, at+".action", e.Action, s.action)
	check(f, at+".crossing", e.Crossing, s.crossing)
	check(f, at+".lasts", e.Lasts, s.lasts)
	check(f, at+".cut", e.Cut, s.cut)
	check(f, at+".spared", e.Spared, s.spared)
}

func check[T comparable](f *warder.Faults, at string, want *T, got T) {
	if want == nil || *want == got {
		return
	}
	if fmt.Sprint(*want) == "" || fmt.Sprint(got) == "" {
		f.Add(at, "want %q, got %q", fmt.Sprint(*want), fmt.Sprint(got))
		return
	}
	f.Add(at, "want %v, got %v", *want, got)
}

// trial is what stands after the events of one test so far: a small engine
// without time, storage or parallel callers.
type trial struct {
	p       *Policy
	c       counter.Counter
	start   time.Time
	now     time.Time
	seq     int64
	results []result
	known   map[known]bool // sources that completed a sign-in
	met     map[known]bool // those that met their mfa Demands
	cleared map[cleared]time.Time
}

type known struct{ account, source string }

type cleared struct {
	address netip.Prefix
	realm   string
}

// result is a Block, a Demand or a revocation that a crossing made.
type result struct {
	subject warder.Subject
	action  warder.Action
	rule    string
	until   time.Time // zero: no end
}

func (r *result) live(now time.Time) bool { return r.until.IsZero() || now.Before(r.until) }

// stands reports whether the result concerns an event, source being the known
// source that it came from or empty.
func (r *result) stands(e *warder.Event, s *scope, source string) bool {
	sub := r.subject
	switch {
	case sub.Session != "":
		return sub.Session == e.Session
	case sub.IP.IsValid():
		return sub.IP == s.address && (sub.Account == "" || sub.Account == s.account)
	case sub.Account != "":
		return sub.Account == s.account && sub.Source == source
	}
	return sub.Realm == e.Realm && source == ""
}

func (t *trial) step(te *TestEvent) (seen, error) {
	e, err := te.event(t.start)
	if err != nil {
		return seen{}, err
	}
	t.now = e.Time
	t.seq++
	e.ID = fmt.Sprintf("test-%d", t.seq)
	given := te.Given
	if given == nil {
		given = &TestFacts{}
	}
	s := scopeOf(&e)
	own := sourceOf(&e, &s)
	f := t.facts(&e, &s, own, given)
	got := seen{action: t.standing(&e, &s, f, own, given)}

	hits := t.p.Hits(&e, f, e.Time, t.seq)
	plain := make([]counter.Hit, len(hits))
	for i := range hits {
		plain[i] = hits[i].Hit
	}
	counts, err := t.c.Apply(context.Background(), t.now, plain)
	if err != nil {
		return got, err
	}
	v := t.p.Decide(&e, f, hits, counts)
	got.severity = v.Severity
	if x := v.Crossing; x != nil {
		got.crossing, got.lasts, got.cut, got.spared = x.Rule.ID, int64(x.Duration/time.Second), x.Cut, x.Spared
		if !x.Observed && x.Spared == "" {
			got.action = max(got.action, x.Action)
			r := result{subject: x.Subject, action: x.Action, rule: x.Rule.ID}
			if x.Duration > 0 {
				r.until = t.now.Add(x.Duration)
			}
			t.results = append(t.results, r)
		}
	}
	if f.Trusted {
		got.action = warder.Allow
	}
	return got, t.success(&e, &s, f, own)
}

// success does what a success does: it takes out hits, makes the source known
// and meets Demands.
func (t *trial) success(e *warder.Event, s *scope, f *Facts, own string) error {
	classes, completed := t.p.Takes(e, t.unmet(e, s, f.Source, own, warder.MFA))
	for _, class := range classes {
		tag := counter.Tag{Account: s.account, Address: s.address, Class: class}
		if _, err := t.c.TakeOut(context.Background(), t.now, tag, e.Time, t.seq); err != nil {
			return err
		}
	}
	if completed && s.account != "" && own != "" {
		t.known[known{s.account, own}] = true
	}
	switch e.Name {
	case warder.MFASuccess:
		t.met[known{s.account, own}] = true
	case "CHALLENGE_SUCCESS":
		t.cleared[cleared{s.address, e.Realm}] = t.now.Add(clearanceLife)
	}
	return nil
}

// sourceOf names the source of an event: the device, else the address key.
func sourceOf(e *warder.Event, s *scope) string {
	switch {
	case e.Device != "":
		return "d:" + e.Device
	case s.address.IsValid():
		return "a:" + s.address.String()
	}
	return ""
}

func (t *trial) facts(e *warder.Event, s *scope, own string, given *TestFacts) *Facts {
	f := &Facts{
		SelfProtected: given.SelfProtected, Refused: given.Refused, Errored: given.Errored,
		RecentSession: given.RecentSession, GoodAccounts: given.GoodAccounts, Hostile: given.Hostile,
		Suspect: given.Suspect, BlastRadius: given.BlastRadius,
		Steps: map[warder.Subject]int{},
	}
	if given.Known || t.known[known{s.account, own}] {
		f.Source = own
	}
	for _, p := range t.p.Trusted {
		f.Trusted = f.Trusted || p.Contains(e.IP)
	}
	for _, b := range t.p.Blocked {
		f.Covered = f.Covered || b.IP.Contains(e.IP) && (b.Until.IsZero() || t.now.Before(b.Until))
	}
	for i := range t.results {
		r := &t.results[i]
		switch {
		case !r.live(t.now):
			if r.action == warder.BlockAction && t.now.Sub(r.until) <= stepMemory {
				f.Steps[r.subject]++
			}
		case !r.stands(e, s, f.Source):
		case r.action == warder.BlockAction:
			f.Covered = true
		default:
			f.Demanded = append(f.Demanded, Demanded{r.rule, r.subject})
		}
	}
	return f
}

// standing is the decision on an event's arrival, in the order of SEMANTICS 27.
func (t *trial) standing(e *warder.Event, s *scope, f *Facts, own string, given *TestFacts) warder.Action {
	if f.Covered {
		return warder.BlockAction
	}
	action := warder.Allow
	for _, p := range t.p.Providers {
		action = max(action, p.Action(given.Listed[p.Name]))
	}
	history, _ := t.p.History(HistoryFacts{given.PreviousBlocks, given.Failures, given.MarkedFraudulent})
	action = max(action, history)
	for _, demand := range []warder.Action{warder.Challenge, warder.MFA} {
		if t.unmet(e, s, f.Source, own, demand) {
			action = max(action, demand)
		}
	}
	return action
}

// unmet reports whether a Demand of that action stands on an event and was not
// met.
func (t *trial) unmet(e *warder.Event, s *scope, source, own string, action warder.Action) bool {
	switch {
	case action == warder.MFA && t.met[known{s.account, own}],
		action == warder.Challenge && t.now.Before(t.cleared[cleared{s.address, e.Realm}]):
		return false
	}
	for i := range t.results {
		if r := &t.results[i]; r.action == action && r.live(t.now) && r.stands(e, s, source) {
			return true
		}
	}
	return false
}
