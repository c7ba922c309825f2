package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// crossAll decides an event that crosses every rule it hits.
func crossAll(t testing.TB, p *Policy, e *warder.Event, f *Facts, evidence ...counter.Evidence) Verdict {
	t.Helper()
	hits := p.Hits(e, f, now, 1)
	if len(hits) == 0 {
		t.Fatal("the event hits nothing")
	}
	counts := make([]counter.Count, len(hits))
	for i, h := range hits {
		counts[i] = counter.Count{N: h.Threshold, Crossed: true, Evidence: evidence}
	}
	return p.Decide(e, f, hits, counts)
}

// SEMANTICS 42: five failures read warning, high, high, high, critical.
func TestSeverityByCount(t *testing.T) {
	p := compiled(t, preset(t, "classic"))
	e, f := whole(), &Facts{}
	e.Name = "USER_LOGIN_FAILURE"
	hits := p.Hits(e, f, now, 1)
	if hits[0].Rule.ID != "sign_in" {
		t.Fatalf("the first hit is %s", hits[0].Rule.ID)
	}
	rest := make([]counter.Count, len(hits)-1) // nothing new for the other rules
	for i := range rest {
		rest[i] = counter.Count{N: 4, Repeat: true}
	}
	for _, tt := range []struct {
		count counter.Count
		want  warder.Severity
	}{
		{counter.Count{N: 1}, warder.Warning},
		{counter.Count{N: 2}, warder.High},
		{counter.Count{N: 4}, warder.High},
		{counter.Count{N: 4, Repeat: true}, warder.Warning},
		{counter.Count{N: 4, Stale: true}, warder.Warning},
		{counter.Count{N: 5, Crossed: true}, warder.Critical},
	} {
		v := p.Decide(e, f, hits, append([]counter.Count{tt.count}, rest...))
		if v.Severity != tt.want {
			t.Errorf("%+v: want %v, got %v", tt.count, tt.want, v.Severity)
		}
		if v.Counted == (tt.count.Repeat || tt.count.Stale) {
			t.Errorf("%+v: counted %v", tt.count, v.Counted)
		}
	}
	if v := p.Decide(e, &Facts{Covered: true}, nil, nil); v.Severity != warder.High || v.Counted {
		t.Errorf("during a Block: %+v", v)
	}
	if v := p.Decide(e, &Facts{Trusted: true}, nil, nil); v.Severity != warder.Warning {
		t.Errorf("trusted: %+v", v)
	}
}

// SEMANTICS 42: a request is not a failure, however often it is counted, until
// it crosses.
func TestSeverityOfCountedRequests(t *testing.T) {
	p := compiled(t, preset(t, "classic"))
	e := whole()
	e.Name = "USER_PASSWORD_RESET_REQUEST"
	hits := p.Hits(e, &Facts{}, now, 1)
	if v := p.Decide(e, &Facts{}, hits, []counter.Count{{N: 4}}); v.Severity != warder.Info {
		t.Errorf("fourth: %v", v.Severity)
	}
	if v := p.Decide(e, &Facts{}, hits, []counter.Count{{N: 5, Crossed: true}}); v.Severity != warder.Critical {
		t.Errorf("fifth: %v", v.Severity)
	}
}

// SEMANTICS 15.
func TestSubjectIsTheKey(t *testing.T) {
	p := policyOf(t, everyKey)
	address, account := netip.MustParsePrefix("2001:db8::/64"), warder.AccountKey("user", "alice")
	want := map[string]warder.Subject{
		"ip": {IP: address}, "accounts": {IP: address}, "paths": {IP: address},
		"account": {Account: account}, "addresses": {Account: account},
		"pair":    {IP: address, Account: account},
		"session": {Session: "s"},
		"realm":   {Realm: "user"},
	}
	e := whole()
	for _, h := range p.Hits(e, &Facts{}, now, 1) {
		v := p.Decide(e, &Facts{}, []Hit{h}, []counter.Count{{N: 5, Crossed: true}})
		if got := v.Crossing.Subject; got != want[h.Rule.ID] {
			t.Errorf("%s: want %+v, got %+v", h.Rule.ID, want[h.Rule.ID], got)
		}
	}
}

// SEMANTICS 12 and 13.
func TestCrossingOfRecord(t *testing.T) {
	rule := func(id, rest string) string {
		return fmt.Sprintf("  - {id: %s, events: [X_FAILURE], threshold: 5, time_range: 60, %s}\n", id, rest)
	}
	for _, tt := range []struct {
		name, rules, want string
		facts             Facts
	}{
		{"strongest", rule("a", "action: mfa, cooling_period: 0") + rule("b", "action: block, cooling_period: 1"), "b", Facts{}},
		{"longest", rule("a", "action: block, cooling_period: 10") + rule("b", "action: block, cooling_period: 20"), "b", Facts{}},
		{"for good is longest", rule("a", "action: block, cooling_period: 10") + rule("b", "action: block, cooling_period: 0"), "b", Facts{}},
		{"first", rule("a", "action: block, cooling_period: 0") + rule("b", "action: block, cooling_period: 0"), "a", Facts{}},
		{"enforced before observed", rule("a", "action: block, cooling_period: 0, mode: observe") + rule("b", "action: challenge, cooling_period: 1"), "b", Facts{}},
		{"acting before spared", rule("a", "action: block, cooling_period: 0") + rule("b", "action: block, cooling_period: 60, key: ip+account"), "b", Facts{SelfProtected: true}},
		{"spared before observed", rule("a", "action: block, cooling_period: 60, key: ip+account, mode: observe") + rule("b", "action: block, cooling_period: 0"), "b", Facts{SelfProtected: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policyOf(t, "activity:\n  rules:\n"+tt.rules)
			v := crossAll(t, p, whole(), &tt.facts)
			if v.Crossing.Rule.ID != tt.want {
				t.Errorf("want %s, got %s", tt.want, v.Crossing.Rule.ID)
			}
			other := map[string]string{"a": "b", "b": "a"}[tt.want]
			if diff := cmp.Diff([]string{other}, v.Crossing.Also); diff != "" {
				t.Error(diff)
			}
			if len(v.Emptied) != 2 {
				t.Errorf("emptied %v", v.Emptied)
			}
		})
	}
}

// SEMANTICS 14 and 43.
func TestAlertBelongsToEnforcedCriticalCrossings(t *testing.T) {
	for rest, want := range map[string]bool{
		"":                               true,
		"severity: high":                 false,
		"mode: observe":                  false,
		"mode: observe, severity: info ": false,
	} {
		p := policyOf(t, "activity: {rules: [{id: r, events: [X_FAILURE], threshold: 5, time_range: 60, cooling_period: 0, action: block, "+rest+"}]}")
		if v := crossAll(t, p, whole(), &Facts{}); v.Crossing.Alert != want || v.Crossing.Observed != (p.Rule("r").Mode == warder.Observe) {
			t.Errorf("%s: %+v", rest, v.Crossing)
		}
	}
}

// SEMANTICS 17.
func TestEscalation(t *testing.T) {
	p := policyOf(t, `activity: {rules: [{id: r, events: [X_FAILURE], threshold: 5, time_range: 60, escalate: [900, 3600, 0], action: block}]}`)
	e := whole()
	subject := warder.Subject{IP: warder.AddressKey(e.IP)}
	for step, want := range map[int]time.Duration{0: 15 * time.Minute, 1: time.Hour, 2: 0, 3: 0, 1000: 0, -1: 15 * time.Minute} {
		v := crossAll(t, p, e, &Facts{Steps: map[warder.Subject]int{subject: step}})
		if v.Crossing.Duration != want {
			t.Errorf("step %d: want %v, got %v", step, want, v.Crossing.Duration)
		}
	}
	other := warder.Subject{IP: netip.MustParsePrefix("192.0.2.1/32")}
	if v := crossAll(t, p, e, &Facts{Steps: map[warder.Subject]int{other: 2}}); v.Crossing.Duration != 15*time.Minute {
		t.Errorf("another subject's blocks counted: %v", v.Crossing.Duration)
	}
}

// SEMANTICS 4, 18 and 55: who is spared.
func TestSpared(t *testing.T) {
	p := policyOf(t, everyKey+"\nmode: enforce")
	demand := policyOf(t, `activity: {rules: [{id: demand, events: [X_FAILURE], threshold: 5, time_range: 60, action: challenge}]}`)
	for _, tt := range []struct {
		facts Facts
		want  map[string]string
	}{
		{Facts{SelfProtected: true}, map[string]string{"ip": SparedProtected, "accounts": SparedProtected, "paths": SparedProtected, "demand": SparedProtected}},
		{Facts{Suspect: true}, map[string]string{"ip": SparedSuspect, "accounts": SparedSuspect, "paths": SparedSuspect}},
		{Facts{Suspect: true, SelfProtected: true}, map[string]string{"ip": SparedProtected, "accounts": SparedProtected, "paths": SparedProtected, "demand": SparedProtected}},
		{Facts{}, nil},
	} {
		for _, p := range []*Policy{p, demand} {
			e := whole()
			for _, h := range p.Hits(e, &tt.facts, now, 1) {
				v := p.Decide(e, &tt.facts, []Hit{h}, []counter.Count{{N: 5, Crossed: true}})
				if got := v.Crossing.Spared; got != tt.want[h.Rule.ID] {
					t.Errorf("%+v, %s: got %q", tt.facts, h.Rule.ID, got)
				}
				if !v.Crossing.Alert || v.Severity != warder.Critical {
					t.Errorf("%s: a spared crossing must be told: %+v", h.Rule.ID, v.Crossing)
				}
			}
		}
	}
}

// SEMANTICS 24, 54, 56, and at_most: what cuts a Block short.
func TestCuts(t *testing.T) {
	p := policyOf(t, `activity: {rules: [
	  {id: ip, events: [X_FAILURE, Y_FAILURE, Z_FAILURE], threshold: 5, time_range: 60, cooling_period: 0, action: block, at_most: {Y_FAILURE: 60, Z_FAILURE: 3600}},
	  {id: short, events: [X_FAILURE], threshold: 5, time_range: 60, cooling_period: 300, action: block},
	  {id: account, events: [X_FAILURE], key: account, threshold: 5, time_range: 60, cooling_period: 86400, action: block},
	  {id: session, events: [X_FAILURE], key: session, threshold: 5, time_range: 60, action: block},
	  {id: demand, events: [X_FAILURE], threshold: 5, time_range: 60, cooling_period: 86400, action: mfa}]}`)
	half := []counter.Evidence{{Unsettled: true}, {Unsettled: true}, {}, {}}
	third := []counter.Evidence{{Unsettled: true}, {}, {}}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name, rule, event string
		facts             Facts
		evidence          []counter.Evidence
		want              time.Duration
		cut               string
	}{
		{"none", "ip", "X_FAILURE", Facts{}, third, 0, ""},
		{"19 accounts", "ip", "X_FAILURE", Facts{GoodAccounts: 19}, nil, 0, ""},
		{"20 accounts", "ip", "X_FAILURE", Facts{GoodAccounts: 20}, nil, ShortBlock, CutShared},
		{"hostile", "ip", "X_FAILURE", Facts{GoodAccounts: 20, Hostile: true}, nil, 0, ""},
		{"shorter already", "short", "X_FAILURE", Facts{GoodAccounts: 20}, half, 5 * time.Minute, ""},
		{"shared, by account", "account", "X_FAILURE", Facts{GoodAccounts: 20, BlastRadius: true}, nil, day, ""},
		{"unsettled", "ip", "X_FAILURE", Facts{}, half, ShortBlock, CutUnsettled},
		{"unsettled, by account", "account", "X_FAILURE", Facts{}, half, ShortBlock, CutUnsettled},
		{"unsettled demand", "demand", "X_FAILURE", Facts{GoodAccounts: 20, BlastRadius: true}, half, day, ""},
		{"session", "session", "X_FAILURE", Facts{GoodAccounts: 20, BlastRadius: true}, half, 0, ""},
		{"blast radius", "ip", "X_FAILURE", Facts{BlastRadius: true}, nil, ShortBlock, CutBlastRadius},
		{"event", "ip", "Y_FAILURE", Facts{}, nil, time.Minute, CutEvent},
		{"shortest: event", "ip", "Y_FAILURE", Facts{GoodAccounts: 20, BlastRadius: true}, half, time.Minute, CutEvent},
		{"shortest: shared", "ip", "Z_FAILURE", Facts{GoodAccounts: 20, BlastRadius: true}, half, ShortBlock, CutShared},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := whole()
			e.Name = tt.event
			hits := p.Hits(e, &tt.facts, now, 1)
			i := slices.IndexFunc(hits, func(h Hit) bool { return h.Rule.ID == tt.rule })
			v := p.Decide(e, &tt.facts, hits[i:i+1], []counter.Count{{N: 5, Crossed: true, Evidence: tt.evidence}})
			if x := v.Crossing; x.Duration != tt.want || x.Cut != tt.cut {
				t.Errorf("want %v %q, got %v %q", tt.want, tt.cut, x.Duration, x.Cut)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	p := policyOf(t, `history: {lookback: 3600, criteria: [
	  {when: previous_blocks, at_least: 1, action: challenge},
	  {when: failures, at_least: 20, action: mfa},
	  {when: failures, at_least: 10, action: challenge},
	  {when: marked_fraudulent, at_least: 1, action: block}]}`)
	for _, tt := range []struct {
		facts     HistoryFacts
		action    warder.Action
		criterion string
	}{
		{HistoryFacts{}, warder.Allow, ""},
		{HistoryFacts{PreviousBlocks: 3}, warder.Challenge, PreviousBlocks},
		{HistoryFacts{PreviousBlocks: 3, Failures: 10}, warder.Challenge, PreviousBlocks},
		{HistoryFacts{PreviousBlocks: 3, Failures: 20}, warder.MFA, Failures},
		{HistoryFacts{Failures: 1000, MarkedFraudulent: true}, warder.BlockAction, MarkedFraudulent},
	} {
		if action, criterion := p.History(tt.facts); action != tt.action || criterion != tt.criterion {
			t.Errorf("%+v: got %v by %q", tt.facts, action, criterion)
		}
	}
	if p.Lookback != time.Hour {
		t.Errorf("look-back %v", p.Lookback)
	}
	off := policyOf(t, "history: {enabled: false, criteria: [{when: failures, at_least: 1, action: block}]}")
	if action, _ := off.History(HistoryFacts{Failures: 9}); action != warder.Allow || off.Lookback != 0 {
		t.Errorf("switched off, it asks for %v", action)
	}
}

func TestProviderLevels(t *testing.T) {
	p := policyOf(t, `providers:
  - {name: a, url: /x, format: ipsum, levels: [{at_least: 3, action: challenge}, {at_least: 5, action: block}]}
  - {name: b, url: /x, format: ipsum, enabled: false, levels: [{at_least: 1, action: block}]}`)
	if len(p.Providers) != 1 {
		t.Fatalf("%d providers are on", len(p.Providers))
	}
	for level, want := range map[int]warder.Action{-1: warder.Allow, 2: warder.Allow, 3: warder.Challenge, 4: warder.Challenge, 5: warder.BlockAction, 9: warder.BlockAction} {
		if got := p.Providers[0].Action(level); got != want {
			t.Errorf("level %d: %v", level, got)
		}
	}
}

// SEMANTICS 49: what needs a replay.
func TestCountingChangesWithWhatIsCounted(t *testing.T) {
	base := compiled(t, preset(t, "classic")).Counting()
	for name, tt := range map[string]struct {
		change func(*Document)
		same   bool
	}{
		"nothing":     {func(*Document) {}, true},
		"mode":        {func(d *Document) { d.Mode = warder.Observe }, true},
		"trusted":     {func(d *Document) { d.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, true},
		"order":       {func(d *Document) { slices.Reverse(d.Activity.Rules) }, true},
		"event order": {func(d *Document) { slices.Reverse(d.Activity.Rules[0].Events) }, true},
		"cooling":     {func(d *Document) { *d.Activity.Rules[0].CoolingPeriod = 60 }, true},
		"severity":    {func(d *Document) { d.Activity.Rules[0].Severity = warder.High }, true},
		"at_most":     {func(d *Document) { d.Activity.Rules[0].AtMost = nil }, true},
		"history":     {func(d *Document) { d.History.Enabled = true }, true},
		"off":         {func(d *Document) { d.Enabled = false }, false},
		"rule off":    {func(d *Document) { d.Activity.Rules[0].Enabled = false }, false},
		"threshold":   {func(d *Document) { d.Activity.Rules[0].Threshold = 6 }, false},
		"window":      {func(d *Document) { d.Activity.Rules[0].TimeRange = 60 }, false},
		"key":         {func(d *Document) { d.Activity.Rules[0].Key = ByIPAccount }, false},
		"distinct":    {func(d *Document) { d.Activity.Rules[0].Distinct = "account" }, false},
		"events":      {func(d *Document) { d.Activity.Rules[0].Events[0] = "USER_LOGIN_FAILURE" }, false},
		"realms":      {func(d *Document) { d.Activity.Rules[0].Realms = []string{"admin"} }, false},
		"reasons":     {func(d *Document) { d.Activity.Rules[0].Reasons = []string{"x"} }, false},
		"except":      {func(d *Document) { d.Activity.Rules[0].Except = []string{CrossSite} }, false},
	} {
		d := preset(t, "classic")
		d.Tests = nil
		tt.change(d)
		if got := compiled(t, d).Counting() == base; got != tt.same {
			t.Errorf("%s: same %v", name, got)
		}
	}
}

// drawn is one random event with its facts and counts, under random rules.
type drawn struct {
	doc    *Document
	event  warder.Event
	facts  Facts
	counts []counter.Count // by rule
}

func draw(t *rapid.T) drawn {
	var d drawn
	d.doc = &Document{Enabled: true, Mode: warder.Enforce, Activity: Activity{Enabled: true}, History: HistorySpec{Lookback: DefaultLookback}}
	for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
		s := RuleSpec{
			ID: fmt.Sprintf("r%d", i), Enabled: true, Events: []string{"*_FAILURE"},
			Key:       rapid.SampledFrom([]KeyKind{ByIP, ByAccount, ByIPAccount}).Draw(t, "key"),
			Threshold: 5, TimeRange: 60,
			Action:   rapid.SampledFrom([]warder.Action{warder.Challenge, warder.MFA, warder.BlockAction}).Draw(t, "action"),
			Mode:     rapid.SampledFrom([]warder.Mode{warder.Observe, warder.Enforce}).Draw(t, "mode"),
			Severity: rapid.SampledFrom([]warder.Severity{warder.Info, warder.High, warder.Critical}).Draw(t, "severity"),
		}
		cooling := rapid.Int64Range(1, 86400).Draw(t, "cooling")
		s.CoolingPeriod = &cooling
		d.doc.Activity.Rules = append(d.doc.Activity.Rules, s)
		d.counts = append(d.counts, counter.Count{
			N: rapid.IntRange(1, 5).Draw(t, "n"), Crossed: rapid.Bool().Draw(t, "crossed"),
			Evidence: []counter.Evidence{{Unsettled: rapid.Bool().Draw(t, "unsettled")}},
		})
	}
	d.event = *whole()
	d.facts = Facts{
		SelfProtected: rapid.Bool().Draw(t, "self"), Suspect: rapid.Bool().Draw(t, "suspect"),
		GoodAccounts: rapid.IntRange(0, 40).Draw(t, "good"), Hostile: rapid.Bool().Draw(t, "hostile"),
		BlastRadius: rapid.Bool().Draw(t, "blast"),
		Source:      rapid.SampledFrom([]string{"", "d:1"}).Draw(t, "source"),
	}
	return d
}

// decide is what live traffic does, with drawn counts.
func (d *drawn) decide(t *rapid.T) Verdict {
	p, err := d.doc.Compile()
	if err != nil {
		t.Fatal(err)
	}
	hits := p.Hits(&d.event, &d.facts, now, 1)
	counts := make([]counter.Count, len(hits))
	for i, h := range hits {
		counts[i] = d.counts[h.Rule.Index]
	}
	return p.Decide(&d.event, &d.facts, hits, counts)
}

// enforced is the action that a verdict brings about.
func enforced(v Verdict) warder.Action {
	if v.Crossing == nil || v.Crossing.Observed || v.Crossing.Spared != "" {
		return warder.Allow
	}
	return v.Crossing.Action
}

func TestDecideIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		a, b := d.decide(t), d.decide(t)
		sameRule := cmp.Comparer(func(a, b *Rule) bool { return a.ID == b.ID })
		if diff := cmp.Diff(a, b, sameRule, prefixes); diff != "" {
			t.Fatal(diff)
		}
	})
}

// SEMANTICS 29: a weaker mode never gives a stronger result.
func TestWeakerModeIsNeverStronger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		before := enforced(d.decide(t))
		if rapid.Bool().Draw(t, "document") {
			d.doc.Mode = warder.Observe
		} else {
			i := rapid.IntRange(0, len(d.doc.Activity.Rules)-1).Draw(t, "rule")
			if rapid.Bool().Draw(t, "off") {
				d.doc.Activity.Rules[i].Enabled = false
			} else {
				d.doc.Activity.Rules[i].Mode = warder.Observe
			}
		}
		v := d.decide(t)
		if after := enforced(v); after > before {
			t.Fatalf("%v became %v", before, after)
		}
		if d.doc.Mode == warder.Observe && (enforced(v) != warder.Allow || v.Crossing != nil && v.Crossing.Alert) {
			t.Fatalf("observing acted: %+v", v.Crossing)
		}
	})
}

// A guard never makes a result harder, and never makes one longer.
func TestGuardsOnlySoften(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		guarded := d.decide(t)
		d.facts = Facts{Source: d.facts.Source}
		plain := d.decide(t)
		if enforced(guarded) > enforced(plain) {
			t.Fatalf("%v became %v", enforced(plain), enforced(guarded))
		}
		if (guarded.Crossing == nil) != (plain.Crossing == nil) {
			t.Fatal("a guard changed what crossed")
		}
		if x := guarded.Crossing; x != nil && x.Rule.Index == plain.Crossing.Rule.Index && x.Duration > plain.Crossing.Duration {
			t.Fatalf("%v became %v", plain.Crossing.Duration, x.Duration)
		}
	})
}

func BenchmarkHitsAndDecide(b *testing.B) {
	p := compiled(b, preset(b, "classic"))
	e, f := whole(), &Facts{}
	e.Name, e.Account = "USER_LOGIN_FAILURE", "alice"
	counts := []counter.Count{{N: 2}, {N: 2}, {N: 2}}
	b.ReportAllocs()
	for b.Loop() {
		hits := p.Hits(e, f, now, 1)
		p.Decide(e, f, hits, counts[:len(hits)])
	}
}
