package policy

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
)

func TestTestsNameWhatFailed(t *testing.T) {
	p := policyOf(t, `activity: {rules: [{id: r, events: [X_FAILURE], threshold: 3, time_range: 60, cooling_period: 30, action: block}]}
tests:
  - name: right
    events:
      - {name: X_FAILURE, ip: 192.0.2.1, repeat: 3, crossing: r, lasts: 30, cut: "", spared: "", severity: critical, action: block}
      - {at: 30, name: X_SUCCESS, ip: 192.0.2.1, crossing: "", action: allow}
  - name: wrong
    events:
      - {name: X_FAILURE, ip: 192.0.2.1, repeat: 2, severity: critical, crossing: r}
      - {name: X_FAILURE, ip: 192.0.2.1, severity: warning, action: allow, crossing: "", lasts: 31, cut: event, spared: self_protected}
`)
	want := warder.Faults{
		{Location: "tests[1].events[0].severity", Message: "want critical, got high"},
		{Location: "tests[1].events[0].crossing", Message: `want "r", got ""`},
		{Location: "tests[1].events[1].severity", Message: "want warning, got critical"},
		{Location: "tests[1].events[1].action", Message: "want allow, got block"},
		{Location: "tests[1].events[1].crossing", Message: `want "", got "r"`},
		{Location: "tests[1].events[1].lasts", Message: "want 31, got 30"},
		{Location: "tests[1].events[1].cut", Message: `want "event", got ""`},
		{Location: "tests[1].events[1].spared", Message: `want "self_protected", got ""`},
	}
	var got warder.Faults
	errors.As(p.test(newModel()), &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Switching a policy off or to observe must not break its tests.
func TestTestsDescribeTheRulesAndNotTheSwitches(t *testing.T) {
	for _, change := range []func(*Document){
		func(d *Document) { d.Enabled = false },
		func(d *Document) { d.Mode = warder.Observe },
		func(d *Document) { d.Activity.Enabled = false },
	} {
		d := preset(t, "classic")
		change(d)
		if err := compiled(t, d).test(newModel()); err != nil {
			t.Error(err)
		}
	}
}

// What a test can say beyond counting: Demands, clearances, second factors,
// trusted and blocked prefixes, feeds and what happened before.
func TestTestsKnowWhatStands(t *testing.T) {
	p := policyOf(t, `
trusted: [10.0.0.0/8]
blocked: [{ip: 198.51.100.0/24}, {ip: 192.0.2.0/24, until: 2025-12-31T00:00:00Z}]
activity:
  rules:
    - {id: ch, events: [X_FAILURE], threshold: 2, time_range: 60, cooling_period: 100, action: challenge}
    - {id: mfa, events: [Y_FAILURE], key: account, threshold: 2, time_range: 60, cooling_period: 100, action: mfa}
    - {id: realm, events: [Z_FAILURE], key: realm, threshold: 2, time_range: 60, cooling_period: 100, action: challenge}
history: {criteria: [{when: failures, at_least: 5, action: mfa}]}
providers: [{name: feed, url: /feed, format: ipsum, levels: [{at_least: 3, action: block}]}]
tests:
  - name: a challenge stands, stops its own rule, is met, and ends
    events:
      - {name: X_FAILURE, ip: 203.0.113.1, repeat: 2, crossing: ch, action: challenge}
      - {name: X_FAILURE, ip: 203.0.113.1, repeat: 5, crossing: "", action: challenge}
      - {name: CHALLENGE_SUCCESS, ip: 203.0.113.1}
      - {name: PAGE, ip: 203.0.113.1, action: allow}
      - {name: PAGE, ip: 203.0.113.1, realm: other, action: challenge}
      - {at: 99, name: PAGE, ip: 203.0.113.1, realm: other, action: challenge}
      - {at: 100, name: PAGE, ip: 203.0.113.1, realm: other, action: allow}
  - name: a second factor is asked of unknown sources
    events:
      - {name: A_LOGIN_SUCCESS, ip: 203.0.113.9, account: alice, device: phone}
      - {name: Y_FAILURE, ip: 203.0.113.1, account: alice, repeat: 2, crossing: mfa, action: mfa}
      - {name: A_LOGIN_SUCCESS, ip: 203.0.113.2, account: alice, action: mfa}
      - {name: A_LOGIN_SUCCESS, ip: 203.0.113.9, account: alice, device: phone, action: allow}
      - {name: MFA_SUCCESS, ip: 203.0.113.2, account: alice}
      - {name: PAGE, ip: 203.0.113.2, account: alice, action: allow}
      - {name: PAGE, ip: 203.0.113.3, account: alice, action: mfa}
  - name: a realm under fire
    events:
      - {name: Z_FAILURE, ip: 203.0.113.1, realm: shop, repeat: 2, crossing: realm}
      - {name: PAGE, ip: 203.0.113.2, account: alice, realm: shop, action: challenge}
      - {name: PAGE, ip: 203.0.113.2, account: alice, realm: shop, given: {known: true}, action: allow}
      - {name: PAGE, ip: 203.0.113.2, realm: office, action: allow}
  - name: lists
    events:
      - {name: X_FAILURE, ip: 10.1.1.1, repeat: 9, crossing: "", action: allow}
      - {name: X_FAILURE, ip: 198.51.100.1, repeat: 9, crossing: "", severity: high, action: block}
      - {name: PAGE, ip: 192.0.2.1, action: allow}
      - {name: PAGE, ip: 203.0.113.1, given: {listed: {feed: 2}}, action: allow}
      - {name: PAGE, ip: 203.0.113.1, given: {listed: {feed: 3}}, action: block}
      - {name: PAGE, ip: 203.0.113.1, given: {failures: 5}, action: mfa}
      - {name: PAGE, ip: 10.0.0.1, given: {listed: {feed: 3}, failures: 5}, action: allow}
`)
	if err := p.test(newModel()); err != nil {
		t.Error(err)
	}
}
