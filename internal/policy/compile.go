package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/warderhq/warder"
)

// Policy is a compiled document: immutable and safe for concurrent use. Its
// exported fields must not be changed.
type Policy struct {
	Rules     []*Rule // all of them, also those in mode Off
	Trusted   []netip.Prefix
	Blocked   []Blocked
	Providers []Provider    // those that are switched on
	Lookback  time.Duration // of History; 0: history is off

	mode     warder.Mode
	names    matcher
	byID     map[string]*Rule
	criteria []CriterionSpec
	window   time.Duration
	counting string
	document *Document
}

// Provider is an external threat feed that is switched on.
type Provider struct {
	Name    string
	URL     string // http, https or the path of a file
	Format  string
	Refresh time.Duration
	levels  []Level
}

// HistoryFacts is what an address did within the look-back.
type HistoryFacts struct {
	PreviousBlocks   int
	Failures         int
	MarkedFraudulent bool
}

// YAML writes the document so that Parse reads the same one.
func (d *Document) YAML() []byte {
	out, err := yaml.Dump(d, yaml.WithV4Defaults())
	if err != nil {
		// Every field is a plain value; the library has no reason to refuse.
		panic(fmt.Sprintf("write policy: %v", err))
	}
	return out
}

// Compile checks the document, so that one which was built by hand cannot do
// harm, and makes it ready to decide by. The error is warder.Faults.
func (d *Document) Compile() (*Policy, error) {
	f := &faults{}
	d.check(f)
	if err := f.err(); err != nil {
		return nil, err
	}
	p := &Policy{
		Trusted:  slices.Clone(d.Trusted),
		mode:     d.Mode,
		byID:     make(map[string]*Rule, len(d.Activity.Rules)),
		document: d,
	}
	if !d.Enabled {
		p.mode = warder.Off
	}
	section := p.mode
	if !d.Activity.Enabled {
		section = warder.Off
	}
	for _, b := range d.Blocked {
		blocked := Blocked{IP: b.IP, Reason: b.Reason}
		if b.Until != nil {
			blocked.Until = *b.Until
		}
		p.Blocked = append(p.Blocked, blocked)
	}
	for i := range d.Activity.Rules {
		r := d.Activity.Rules[i].compile(i, section)
		p.Rules = append(p.Rules, r)
		p.byID[r.ID] = r
		if r.Mode != warder.Off {
			p.window = max(p.window, r.Window)
		}
	}
	if d.History.Enabled && len(d.History.Criteria) > 0 {
		p.Lookback = seconds(d.History.Lookback)
		p.criteria = slices.Clone(d.History.Criteria)
	}
	for _, s := range d.Providers {
		if s.Enabled {
			p.Providers = append(p.Providers, Provider{
				Name: s.Name, URL: s.URL, Format: s.Format,
				Refresh: seconds(s.Refresh), levels: slices.Clone(s.Levels),
			})
		}
	}
	p.names.rules = p.Rules
	p.counting = p.digest()
	return p, nil
}

func (s *RuleSpec) compile(index int, section warder.Mode) *Rule {
	r := &Rule{
		ID: s.ID, Index: index, Key: s.Key, Distinct: s.Distinct,
		Threshold: s.Threshold, Window: seconds(s.TimeRange),
		Action: s.Action, Mode: min(section, s.Mode), Severity: s.Severity,
		events: slices.Clone(s.Events), realms: slices.Clone(s.Realms), reasons: slices.Clone(s.Reasons),
		crossSite:     slices.Contains(s.Except, CrossSite),
		recentSession: slices.Contains(s.Except, RecentSession),
	}
	if !s.Enabled {
		r.Mode = warder.Off
	}
	if s.CoolingPeriod != nil {
		r.Cooling = seconds(*s.CoolingPeriod)
	}
	for _, step := range s.Escalate {
		r.Escalate = append(r.Escalate, seconds(step))
	}
	if len(s.AtMost) > 0 {
		r.atMost = make(map[string]time.Duration, len(s.AtMost))
		for name, limit := range s.AtMost {
			r.atMost[name] = seconds(limit)
		}
	}
	return r
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// digest covers everything that decides which events are counted where, and
// nothing else. The order of rules, their actions and how long results last
// change no counter.
func (p *Policy) digest() string {
	type counted struct {
		ID, Key, Distinct              string
		Threshold                      int
		Window                         time.Duration
		Events, Realms, Reasons        []string
		CrossSite, ExceptRecentSession bool
	}
	var all []counted
	for _, r := range p.Rules {
		if r.Mode == warder.Off {
			continue
		}
		all = append(all, counted{
			r.ID, string(r.Key), r.Distinct, r.Threshold, r.Window,
			sorted(r.events), sorted(r.realms), sorted(r.reasons), r.crossSite, r.recentSession,
		})
	}
	slices.SortFunc(all, func(a, b counted) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	text, err := json.Marshal(all)
	if err != nil {
		panic(fmt.Sprintf("write digest: %v", err)) // plain values only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// Mode is Off if the document is not enabled, else the document's mode.
func (p *Policy) Mode() warder.Mode { return p.mode }

// Rule returns the rule with that id, or nil.
func (p *Policy) Rule(id string) *Rule { return p.byID[id] }

// MaxWindow is the longest window of a rule that is on; 0 if none is. Events
// older than that count nowhere.
func (p *Policy) MaxWindow() time.Duration { return p.window }

// Counting identifies everything that decides what is counted: while two
// policies agree in it, counters made under one are right under the other.
func (p *Policy) Counting() string { return p.counting }

// History judges an address by what it did before: the strongest action whose
// criterion is met and the name of that criterion, the first of equals. It is
// Allow and "" if none is met or the section is off. The document's mode is for
// the caller to apply, as with providers.
func (p *Policy) History(h HistoryFacts) (warder.Action, string) {
	action, criterion := warder.Allow, ""
	for _, c := range p.criteria {
		n := 0
		switch c.When {
		case PreviousBlocks:
			n = h.PreviousBlocks
		case Failures:
			n = h.Failures
		case MarkedFraudulent:
			if h.MarkedFraudulent {
				n = 1
			}
		}
		if n >= c.AtLeast && c.Action > action {
			action, criterion = c.Action, c.When
		}
	}
	return action, criterion
}

// Action is what the feed asks for at a level, Allow below the lowest.
func (p Provider) Action(level int) warder.Action {
	action := warder.Allow
	for _, l := range p.levels {
		if level >= l.AtLeast {
			action = l.Action
		}
	}
	return action
}
