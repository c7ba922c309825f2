package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// everyKey has one rule of each key, and distinct ones.
const everyKey = `activity: {rules: [
  {id: ip, events: [X_FAILURE], key: ip, threshold: 5, time_range: 60, cooling_period: 0, action: block},
  {id: account, events: [X_FAILURE], key: account, threshold: 5, time_range: 60, cooling_period: 60, action: block},
  {id: pair, events: [X_FAILURE], key: ip+account, threshold: 5, time_range: 60, cooling_period: 60, action: block},
  {id: session, events: [X_FAILURE], key: session, threshold: 5, time_range: 60, action: block},
  {id: realm, events: [X_FAILURE], key: realm, threshold: 5, time_range: 60, action: challenge},
  {id: accounts, events: [X_FAILURE], key: ip, distinct: account, threshold: 5, time_range: 60, cooling_period: 60, action: block},
  {id: addresses, events: [X_FAILURE], key: account, distinct: ip, threshold: 5, time_range: 60, cooling_period: 60, action: block},
  {id: paths, events: [X_FAILURE], key: ip, distinct: path, threshold: 5, time_range: 60, cooling_period: 60, action: block}]}`

// whole has every part that a rule can count by.
func whole() *warder.Event {
	return &warder.Event{
		ID: "1", Name: "X_FAILURE", Time: now, IP: netip.MustParseAddr("2001:db8::7"),
		Account: "Alice", Realm: "user", Session: "s", Path: "/p",
	}
}

func ids(hits []Hit) string {
	var out []string
	for _, h := range hits {
		out = append(out, h.Rule.ID)
	}
	return strings.Join(out, " ")
}

// SEMANTICS 2.
func TestRuleNeedsEveryPartOfItsKey(t *testing.T) {
	p := policyOf(t, everyKey)
	for _, tt := range []struct {
		name   string
		change func(*warder.Event)
		want   string
	}{
		{"whole", func(*warder.Event) {}, "ip account pair session realm accounts addresses paths"},
		{"degraded", func(e *warder.Event) { e.IP = netip.Addr{} }, "account session realm"},
		{"no account", func(e *warder.Event) { e.Account = " " }, "ip session realm paths"},
		{"no session", func(e *warder.Event) { e.Session = "" }, "ip account pair realm accounts addresses paths"},
		{"no realm", func(e *warder.Event) { e.Realm = "" }, "ip account pair session accounts addresses paths"},
		{"no path", func(e *warder.Event) { e.Path = "" }, "ip account pair session realm accounts addresses"},
		{"nothing", func(e *warder.Event) { *e = warder.Event{Name: "X_FAILURE"} }, ""},
		{"other name", func(e *warder.Event) { e.Name = "Y_FAILURE" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := whole()
			tt.change(e)
			if got := ids(p.Hits(e, &Facts{}, now, 1)); got != tt.want {
				t.Errorf("want %q, got %q", tt.want, got)
			}
		})
	}
}

// SEMANTICS 1 and 6: what is counted, under which key.
func TestKeysAndMembers(t *testing.T) {
	p := policyOf(t, everyKey)
	key := netip.MustParsePrefix("2001:db8::/64")
	account := warder.AccountKey("user", "alice")
	got := map[string]counter.Hit{}
	for _, h := range p.Hits(whole(), &Facts{}, now, 7) {
		got[h.Rule.ID] = h.Hit
	}
	hit := func(k counter.Key, member string) counter.Hit {
		return counter.Hit{
			Key: k, Member: member, Window: time.Minute, Threshold: 5, At: now, Seq: 7,
			Tag: counter.Tag{Account: account, Address: key},
		}
	}
	want := map[string]counter.Hit{
		"ip":        hit(counter.Key{Rule: "ip", Address: key}, "n:7"),
		"account":   hit(counter.Key{Rule: "account", Account: account}, "n:7"),
		"pair":      hit(counter.Key{Rule: "pair", Address: key, Account: account}, "n:7"),
		"session":   hit(counter.Key{Rule: "session", Session: "s"}, "n:7"),
		"realm":     hit(counter.Key{Rule: "realm", Realm: "user"}, "n:7"),
		"accounts":  hit(counter.Key{Rule: "accounts", Address: key}, account),
		"addresses": hit(counter.Key{Rule: "addresses", Account: account}, key.String()),
		"paths":     hit(counter.Key{Rule: "paths", Address: key}, "/p"),
	}
	if diff := cmp.Diff(want, got, prefixes); diff != "" {
		t.Error(diff)
	}
}

// SEMANTICS 6.
func TestSameGuessIsOneMember(t *testing.T) {
	p := policyOf(t, everyKey)
	member := func(change func(*warder.Event)) string {
		e := whole()
		change(e)
		return p.Hits(e, &Facts{}, now, 3)[0].Member
	}
	guess := func(account, same, id string) string {
		return member(func(e *warder.Event) { e.Account, e.Guess.Same, e.ID = account, same, id })
	}
	if guess("alice", "01", "1") != guess("ALICE", "01", "2") {
		t.Error("the same guess at the same account is two members")
	}
	for _, other := range []string{guess("bob", "01", "1"), guess("alice", "02", "1"), guess("alice", "", "1"), guess("alice", "", "01")} {
		if other == guess("alice", "01", "1") {
			t.Errorf("two guesses are one member, %q", other)
		}
	}
	// Two applications may choose the same id for their events.
	if a, b := guess("alice", "", "1"), guess("alice", "", "2"); a != b {
		t.Error("an event must be known by its number, whatever id its reporter chose")
	}
	attempt := func(id string) string {
		e := whole()
		e.ID = id
		return p.Hits(e, &Facts{}, now, 0)[0].Member
	}
	if attempt("1") == attempt("2") {
		t.Error("two attempts, which have no number yet, are one member")
	}
}

// SEMANTICS 5.
func TestEligible(t *testing.T) {
	p := policyOf(t, everyKey)
	for _, tt := range []struct {
		name   string
		reason string
		facts  Facts
		want   bool
	}{
		{"wrong password", warder.WrongPassword, Facts{}, true},
		{"unsettled", warder.Unsettled, Facts{}, true},
		{"self-protected", "", Facts{SelfProtected: true}, true},
		{"suspect", "", Facts{Suspect: true}, true},
		{"locked", warder.Locked, Facts{}, false},
		{"expired", warder.Expired, Facts{}, false},
		{"trusted", "", Facts{Trusted: true}, false},
		{"covered", "", Facts{Covered: true}, false},
		{"refused", "", Facts{Refused: true}, false},
		{"error", "", Facts{Errored: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := whole()
			e.Reason = tt.reason
			if got := p.Eligible(e, &tt.facts); got != tt.want {
				t.Errorf("eligible: want %v, got %v", tt.want, got)
			}
			if got := len(p.Hits(e, &tt.facts, now, 1)) > 0; got != tt.want {
				t.Errorf("hits: want %v, got %v", tt.want, got)
			}
		})
	}
}

// SEMANTICS 29: what is off counts nothing, what observes counts.
func TestModes(t *testing.T) {
	rule := `{id: r, events: [X_FAILURE], threshold: 5, time_range: 60, cooling_period: 0, action: block`
	for _, tt := range []struct {
		text string
		want warder.Mode
	}{
		{"activity: {rules: [" + rule + "}]}", warder.Enforce},
		{"mode: observe\nactivity: {rules: [" + rule + "}]}", warder.Observe},
		{"activity: {rules: [" + rule + ", mode: observe}]}", warder.Observe},
		{"mode: observe\nactivity: {rules: [" + rule + ", mode: enforce}]}", warder.Observe},
		{"enabled: false\nactivity: {rules: [" + rule + "}]}", warder.Off},
		{"activity: {enabled: false, rules: [" + rule + "}]}", warder.Off},
		{"activity: {rules: [" + rule + ", enabled: false}]}", warder.Off},
	} {
		p := policyOf(t, tt.text)
		if got := p.Rule("r").Mode; got != tt.want {
			t.Errorf("%s: want %v, got %v", tt.text, tt.want, got)
		}
		hits := p.Hits(whole(), &Facts{}, now, 1)
		if got := len(hits) == 1; got != (tt.want != warder.Off) {
			t.Errorf("%s: %d hits", tt.text, len(hits))
		}
		if got := p.MaxWindow() > 0; got != (tt.want != warder.Off) {
			t.Errorf("%s: longest window %v", tt.text, p.MaxWindow())
		}
	}
}

// SEMANTICS 8.
func TestKnownSourceIsCountedApart(t *testing.T) {
	p := policyOf(t, everyKey)
	account := warder.AccountKey("user", "alice")
	for _, h := range p.Hits(whole(), &Facts{Source: "d:phone"}, now, 1) {
		apart := h.Key == counter.Key{Rule: h.Rule.ID, Account: account, Source: "d:phone"}
		if want := h.Rule.ID == "ip" || h.Rule.ID == "account"; apart != want {
			t.Errorf("rule %s: key %+v", h.Rule.ID, h.Key)
		}
	}
	e := whole()
	e.IP = netip.Addr{}
	if got := ids(p.Hits(e, &Facts{Source: "d:phone"}, now, 1)); strings.Contains(got, "ip") {
		t.Errorf("a rule with key ip counted a degraded request: %s", got)
	}
}

// SEMANTICS 8 and 15: what a known source leads to.
func TestKnownSourceResult(t *testing.T) {
	p := policyOf(t, everyKey)
	e, f := whole(), &Facts{Source: "d:phone"}
	for _, h := range p.Hits(e, f, now, 1) {
		v := p.Decide(e, f, []Hit{h}, []counter.Count{{N: 5, Crossed: true}})
		got := v.Crossing.Subject
		switch h.Rule.ID {
		case "ip":
			if want := (warder.Subject{IP: warder.AddressKey(e.IP)}); got != want {
				t.Errorf("ip: want %+v, got %+v", want, got)
			}
		case "account":
			if want := (warder.Subject{Account: warder.AccountKey("user", "alice"), Source: "d:phone"}); got != want {
				t.Errorf("account: want %+v, got %+v", want, got)
			}
		case "addresses":
			if want := (warder.Subject{Account: warder.AccountKey("user", "alice")}); got != want {
				t.Errorf("addresses: want %+v, got %+v", want, got)
			}
		}
	}
}

// SEMANTICS 11: what kind of success takes a hit out.
func TestHitsOfMFAHaveTheirOwnClass(t *testing.T) {
	p := compiled(t, preset(t, "classic"))
	for name, want := range map[string]string{"MFA_FAILURE": ClassMFA, "USER_LOGIN_FAILURE": ClassSignIn} {
		e := whole()
		e.Name = name
		hits := p.Hits(e, &Facts{}, now, 1)
		if len(hits) == 0 {
			t.Fatalf("%s hits nothing", name)
		}
		for _, h := range hits {
			if h.Tag.Class != want {
				t.Errorf("%s in %s: class %q", name, h.Rule.ID, h.Tag.Class)
			}
		}
	}
}

// SEMANTICS 16.
func TestStandingDemandStopsItsOwnRule(t *testing.T) {
	p := policyOf(t, everyKey)
	e := whole()
	own := warder.Subject{IP: warder.AddressKey(e.IP)}
	other := warder.Subject{IP: netip.MustParsePrefix("192.0.2.1/32")}
	all := ids(p.Hits(e, &Facts{}, now, 1))
	for _, tt := range []struct {
		demand Demanded
		want   string
	}{
		{Demanded{"ip", own}, strings.TrimPrefix(all, "ip ")},
		{Demanded{"ip", other}, all},
		{Demanded{"realm", warder.Subject{Realm: "user"}}, strings.Replace(all, "realm ", "", 1)},
	} {
		if got := ids(p.Hits(e, &Facts{Demanded: []Demanded{tt.demand}}, now, 1)); got != tt.want {
			t.Errorf("%+v: want %q, got %q", tt.demand, tt.want, got)
		}
	}
}

func TestFilters(t *testing.T) {
	p := policyOf(t, `activity: {rules: [
	  {id: realms, events: [X_FAILURE], realms: [admin], threshold: 5, time_range: 60, cooling_period: 0, action: block},
	  {id: reasons, events: [X_FAILURE], reasons: [unknown_account], threshold: 5, time_range: 60, cooling_period: 0, action: block},
	  {id: except, events: [X_FAILURE], except: [cross_site, recent_session], threshold: 5, time_range: 60, cooling_period: 0, action: block}]}`)
	for _, tt := range []struct {
		realm, reason string
		recent        bool
		want          string
	}{
		{"user", "", false, "except"},
		{"admin", "", false, "realms except"},
		{"user", "unknown_account", false, "reasons except"},
		{"user", "cross_site", false, ""},
		{"user", "", true, ""},
	} {
		e := whole()
		e.Realm, e.Reason = tt.realm, tt.reason
		if got := ids(p.Hits(e, &Facts{RecentSession: tt.recent}, now, 1)); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

func TestUnsettledIsMarked(t *testing.T) {
	e := whole()
	e.Reason = warder.Unsettled
	for _, h := range policyOf(t, everyKey).Hits(e, &Facts{}, now, 1) {
		if !h.Unsettled {
			t.Errorf("rule %s does not say so", h.Rule.ID)
		}
	}
}

func TestNeeds(t *testing.T) {
	p := policyOf(t, `activity: {rules: [
	  {id: a, events: [A_FAILURE], key: ip, threshold: 5, time_range: 60, escalate: [60, 0], action: block},
	  {id: b, events: [A_FAILURE], key: ip, distinct: path, threshold: 5, time_range: 60, escalate: [60, 0], action: block},
	  {id: c, events: [B_FAILURE], key: account, threshold: 5, time_range: 60, escalate: [60], action: block},
	  {id: d, events: [C_FAILURE], key: ip, distinct: path, threshold: 5, time_range: 60, cooling_period: 0, action: block, except: [recent_session]}]}`)
	key, account := netip.MustParsePrefix("2001:db8::/64"), warder.AccountKey("user", "alice")
	for name, want := range map[string]Needs{
		"A_FAILURE": {Source: true, Steps: []warder.Subject{{IP: key}}},
		"B_FAILURE": {Source: true, Steps: []warder.Subject{{Account: account}}},
		"C_FAILURE": {RecentSession: true},
		"D_FAILURE": {},
	} {
		e := whole()
		e.Name = name
		if diff := cmp.Diff(want, p.Needs(e), prefixes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
