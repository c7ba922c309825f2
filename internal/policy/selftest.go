package policy

import (
	"context"
	"fmt"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// testStart is when the first test of a document begins.
var testStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

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
		t := trial{world: NewWorld(on, WorldOptions{Counters: c}), start: start, seq: seq}
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
		start, seq = t.world.Now().Add(time.Hour), t.seq
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

// trial is one test under way.
type trial struct {
	world *World
	start time.Time
	seq   int64
}

func (t *trial) step(te *TestEvent) (seen, error) {
	e, err := te.event(t.start)
	if err != nil {
		return seen{}, err
	}
	t.seq++
	e.ID = fmt.Sprintf("test-%d", t.seq)
	got, err := t.world.Judge(context.Background(), &e, t.seq, te.Given)
	if err != nil {
		return seen{}, err
	}
	out := seen{severity: got.Verdict.Severity, action: t.standing(&got, te.Given)}
	if x := got.Verdict.Crossing; x != nil {
		out.crossing, out.lasts, out.cut, out.spared = x.Rule.ID, int64(x.Duration/time.Second), x.Cut, x.Spared
		if !x.Observed && x.Spared == "" {
			out.action = max(out.action, x.Action)
		}
	}
	if got.Facts.Trusted {
		out.action = warder.Allow
	}
	return out, nil
}

// standing is the decision on an event's arrival, in the order of SEMANTICS 27.
func (t *trial) standing(got *Judged, given *TestFacts) warder.Action {
	if got.Facts.Covered {
		return warder.BlockAction
	}
	action := got.Unmet
	if given == nil {
		return action
	}
	for _, p := range t.world.p.Providers {
		action = max(action, p.Action(given.Listed[p.Name]))
	}
	history, _ := t.world.p.History(HistoryFacts{given.PreviousBlocks, given.Failures, given.MarkedFraudulent})
	return max(action, history)
}
