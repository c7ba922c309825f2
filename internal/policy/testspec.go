package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/warderhq/warder"
)

// TestSpec is a promise that a document makes of itself: events in order, and
// what they must lead to.
//
//	tests:
//	  - name: five wrong passwords
//	    events:
//	      - {name: USER_LOGIN_FAILURE, ip: 203.0.113.7, account: alice, severity: warning}
//	      - {name: USER_LOGIN_FAILURE, ip: 203.0.113.7, account: alice, repeat: 4, crossing: sign_in}
//	      - {name: USER_LOGIN_FAILURE, ip: 203.0.113.7, account: bob, action: block}
//
// Tests are run as if `enabled`, `mode` and `activity.enabled` were on: they
// describe the rules, and switching a policy to observe must not break them.
// A rule's own switches are part of what is tested.
type TestSpec struct {
	Name   string      `yaml:"name" json:"name"`
	Events []TestEvent `yaml:"events" json:"events"`
}

// TestEvent is one event of a test, and what it must lead to. Expectations that
// are left out are not checked; those of a repeated event hold for its last
// repetition.
type TestEvent struct {
	At        int64         `yaml:"at,omitempty" json:"at,omitempty"` // seconds after the start of the test, never before the event above
	Name      string        `yaml:"name" json:"name"`
	IP        string        `yaml:"ip,omitempty" json:"ip,omitempty"` // empty: the client is unknown
	Account   string        `yaml:"account,omitempty" json:"account,omitempty"`
	Realm     string        `yaml:"realm,omitempty" json:"realm,omitempty"`
	Session   string        `yaml:"session,omitempty" json:"session,omitempty"`
	Device    string        `yaml:"device,omitempty" json:"device,omitempty"`
	UserAgent string        `yaml:"user_agent,omitempty" json:"user_agent,omitempty"`
	Method    string        `yaml:"method,omitempty" json:"method,omitempty"`
	Path      string        `yaml:"path,omitempty" json:"path,omitempty"`
	Reason    string        `yaml:"reason,omitempty" json:"reason,omitempty"`
	Guess     *warder.Guess `yaml:"guess,omitempty" json:"guess,omitempty"`
	Given     *TestFacts    `yaml:"given,omitempty" json:"given,omitempty"`
	Repeat    int           `yaml:"repeat,omitempty" json:"repeat,omitempty"` // so many events like this one; 0 is 1

	Severity *warder.Severity `yaml:"severity,omitempty" json:"severity,omitempty"`
	Action   *warder.Action   `yaml:"action,omitempty" json:"action,omitempty"`     // of the decision
	Crossing *string          `yaml:"crossing,omitempty" json:"crossing,omitempty"` // id of the rule of record, "" = none
	Lasts    *int64           `yaml:"lasts,omitempty" json:"lasts,omitempty"`       // seconds, of the crossing; 0 = until lifted
	Cut      *string          `yaml:"cut,omitempty" json:"cut,omitempty"`           // of the crossing
	Spared   *string          `yaml:"spared,omitempty" json:"spared,omitempty"`     // of the crossing
}

// TestFacts are the facts about an event that a test cannot bring about by its
// own events. Trusted addresses, standing results, earlier Blocks and sources
// known by a sign-in follow from the document and from the events before.
type TestFacts struct {
	Known            bool           `yaml:"known,omitempty" json:"known,omitempty"` // the source is known to the account
	RecentSession    bool           `yaml:"recent_session,omitempty" json:"recent_session,omitempty"`
	SelfProtected    bool           `yaml:"self_protected,omitempty" json:"self_protected,omitempty"`
	Refused          bool           `yaml:"refused,omitempty" json:"refused,omitempty"`
	Errored          bool           `yaml:"error,omitempty" json:"error,omitempty"`
	GoodAccounts     int            `yaml:"good_accounts,omitempty" json:"good_accounts,omitempty"`
	Hostile          bool           `yaml:"hostile,omitempty" json:"hostile,omitempty"`
	Suspect          bool           `yaml:"suspect,omitempty" json:"suspect,omitempty"`
	BlastRadius      bool           `yaml:"blast_radius,omitempty" json:"blast_radius,omitempty"`
	Listed           map[string]int `yaml:"listed,omitempty" json:"listed,omitempty"` // level by provider
	PreviousBlocks   int            `yaml:"previous_blocks,omitempty" json:"previous_blocks,omitempty"`
	Failures         int            `yaml:"failures,omitempty" json:"failures,omitempty"`
	MarkedFraudulent bool           `yaml:"marked_fraudulent,omitempty" json:"marked_fraudulent,omitempty"`
}

func (r reader) test(n *node, at string) (t TestSpec) {
	r.object(n, at, fields{
		"name":   r.text(&t.Name),
		"events": func(n *node, at string) { t.Events = each(r, n, at, r.testEvent) },
	})
	return t
}

func (r reader) testEvent(n *node, at string) (e TestEvent) {
	r.object(n, at, fields{
		"at":         r.whole(&e.At),
		"name":       r.text(&e.Name),
		"ip":         r.text(&e.IP),
		"account":    r.text(&e.Account),
		"realm":      r.text(&e.Realm),
		"session":    r.text(&e.Session),
		"device":     r.text(&e.Device),
		"user_agent": r.text(&e.UserAgent),
		"method":     r.text(&e.Method),
		"path":       r.text(&e.Path),
		"reason":     r.text(&e.Reason),
		"guess": func(n *node, at string) {
			e.Guess = &warder.Guess{}
			r.object(n, at, fields{"same": r.text(&e.Guess.Same), "popular": r.text(&e.Guess.Popular)})
		},
		"given":  func(n *node, at string) { e.Given = r.testFacts(n, at) },
		"repeat": r.count(&e.Repeat),
		"severity": func(n *node, at string) {
			e.Severity = new(warder.Severity)
			r.word(e.Severity)(n, at)
		},
		"action": func(n *node, at string) {
			e.Action = new(warder.Action)
			r.word(e.Action)(n, at)
		},
		"crossing": optional(&e.Crossing, r.text),
		"lasts":    optional(&e.Lasts, r.whole),
		"cut":      optional(&e.Cut, r.text),
		"spared":   optional(&e.Spared, r.text),
	})
	return e
}

func (r reader) testFacts(n *node, at string) *TestFacts {
	f := &TestFacts{}
	r.object(n, at, fields{
		"known":          r.boolean(&f.Known),
		"recent_session": r.boolean(&f.RecentSession),
		"self_protected": r.boolean(&f.SelfProtected),
		"refused":        r.boolean(&f.Refused),
		"error":          r.boolean(&f.Errored),
		"good_accounts":  r.count(&f.GoodAccounts),
		"hostile":        r.boolean(&f.Hostile),
		"suspect":        r.boolean(&f.Suspect),
		"blast_radius":   r.boolean(&f.BlastRadius),
		"listed": func(n *node, at string) {
			for name, level := range r.numbers(n, at) {
				if f.Listed == nil {
					f.Listed = map[string]int{}
				}
				f.Listed[name] = int(level)
			}
		},
		"previous_blocks":   r.count(&f.PreviousBlocks),
		"failures":          r.count(&f.Failures),
		"marked_fraudulent": r.boolean(&f.MarkedFraudulent),
	})
	return f
}

func (r reader) count(out *int) func(*node, string) {
	return func(n *node, at string) {
		var v int64
		r.whole(&v)(n, at)
		*out = int(v)
	}
}

// optional reads a value that is nil if it is left out.
func optional[T any](out **T, read func(*T) func(*node, string)) func(*node, string) {
	return func(n *node, at string) {
		*out = new(T)
		read(*out)(n, at)
	}
}

// event is what a test reports, at a time after start.
func (e *TestEvent) event(start time.Time) (warder.Event, error) {
	ev := warder.Event{
		Name: e.Name, Time: start.Add(seconds(e.At)), Account: e.Account, Realm: e.Realm, Session: e.Session,
		Device: e.Device, UserAgent: e.UserAgent, Method: e.Method, Path: e.Path, Reason: e.Reason,
	}
	if e.Guess != nil {
		ev.Guess = *e.Guess
	}
	if e.IP == "" {
		return ev, nil
	}
	addr, err := warder.ParseAddr(e.IP)
	ev.IP = addr
	return ev, err
}

// checkTests checks that the tests can be run; whether they pass is for Test.
func (d *Document) checkTests(f *faults, ids map[string]int) {
	if len(d.Tests) > MaxTests {
		f.add("tests", "must be at most %d, is %d", MaxTests, len(d.Tests))
	}
	total := 0
	for i := range d.Tests {
		t := &d.Tests[i]
		at := fmt.Sprintf("tests[%d]", i)
		if t.Name == "" {
			f.add(at+".name", "is required")
		}
		checkText(f, at+".name", t.Name, maxText)
		if len(t.Events) == 0 {
			f.add(at+".events", "must not be empty")
		}
		var clock int64
		for j := range t.Events {
			e := &t.Events[j]
			place := fmt.Sprintf("%s.events[%d]", at, j)
			if e.At < clock || e.At > 4*MaxWindow {
				f.add(place+".at", "must be %d to %d seconds after the start, is %d", clock, 4*MaxWindow, e.At)
			}
			clock = max(clock, e.At)
			if e.Repeat < 0 || e.Repeat > MaxTestEvents {
				f.add(place+".repeat", "must be 1 to %d, is %d", MaxTestEvents, e.Repeat)
			} else {
				total += max(1, e.Repeat)
			}
			d.checkTestEvent(f, place, e, ids)
		}
	}
	if total > MaxTestEvents {
		f.add("tests", "must have at most %d events in all, repetitions included, have %d", MaxTestEvents, total)
	}
}

func (d *Document) checkTestEvent(f *faults, at string, e *TestEvent, ids map[string]int) {
	ev, err := e.event(testStart)
	if err != nil {
		f.add(at+".ip", "%s", clean(err.Error()))
	}
	ev.Time = testStart
	for _, fault := range ev.Faults(testStart) {
		f.add(at+"."+fault.Location, "%s", clean(fault.Message))
	}
	if e.Crossing != nil && *e.Crossing != "" {
		if _, ok := ids[*e.Crossing]; !ok {
			f.add(at+".crossing", "must be the id of a rule or empty, is %q", clip(*e.Crossing))
		}
	}
	if e.Severity != nil && *e.Severity > warder.Critical {
		f.add(at+".severity", "must be info, warning, high or critical")
	}
	if e.Action != nil && *e.Action > warder.BlockAction {
		f.add(at+".action", "must be allow, challenge, mfa or block")
	}
	checkWord(f, at+".cut", e.Cut, "", CutShared, CutUnsettled, CutBlastRadius, CutEvent)
	checkWord(f, at+".spared", e.Spared, "", SparedProtected, SparedSuspect)
	if e.Given == nil {
		return
	}
	for name := range e.Given.Listed {
		if !slices.ContainsFunc(d.Providers, func(p ProviderSpec) bool { return p.Name == name }) {
			f.add(join(at+".given.listed", clip(name)), "is not the name of a provider")
		}
	}
}

func checkWord(f *faults, at string, word *string, known ...string) {
	if word != nil && !slices.Contains(known, *word) {
		f.add(at, "must be one of %q, is %q", known, clip(*word))
	}
}
