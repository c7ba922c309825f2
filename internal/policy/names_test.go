package policy

import (
	"fmt"
	"path"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warderhq/warder"
)

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"USER_LOGIN_FAILURE", "USER_LOGIN_FAILURE", true},
		{"USER_LOGIN_FAILURE", "USER_LOGIN_FAILURE_2", false},
		{"*_LOGIN_FAILURE", "USER_LOGIN_FAILURE", true},
		{"*_LOGIN_FAILURE", "LOGIN_FAILURE", false},
		{"*_PASSWORD_RESET_*", "ADMIN_PASSWORD_RESET_REQUEST", true},
		{"*_PASSWORD_RESET_*", "PASSWORD_RESET_REQUEST", false},
		{"USER_*", "USER_", true},
		{"A*A", "A", false},
		{"A*A", "AA", true},
		{"A*B*C", "ABBC", true},
		{"A*B*C", "ACB", false},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s and %s: %v", tt.pattern, tt.name, got)
		}
	}
}

func TestPatternsAgreeWithPathMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[AB_*]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[AB_]{0,10}`).Draw(t, "name")
		want, _ := path.Match(pattern, name)
		if got := matches(pattern, name); got != want {
			t.Fatalf("%s and %s: want %v, got %v", pattern, name, want, got)
		}
	})
}

func TestOwnEventsAreNeverCounted(t *testing.T) {
	p := policyOf(t, `activity: {rules: [{id: r, events: ["*S*"], threshold: 5, time_range: 60, cooling_period: 0, action: block}]}`)
	for name, want := range map[string]int{
		"SOMETHING": 1, warder.ThresholdExceeded: 0, warder.SessionTerminated: 0, warder.SuspiciousIP: 0,
	} {
		e := whole()
		e.Name = name
		if got := len(p.Hits(e, &Facts{}, now, 1)); got != want {
			t.Errorf("%s: %d hits", name, got)
		}
	}
}

func TestNamesAreRememberedWithinBounds(t *testing.T) {
	p := policyOf(t, everyKey)
	for i := range 3 * maxNames {
		p.names.find(fmt.Sprintf("OWN_%d", i))
	}
	p.names.find("not a name")
	if n := len(*p.names.seen.Load()); n != maxNames {
		t.Errorf("%d names are remembered", n)
	}
	if got := len(p.names.find("X_FAILURE")); got != 8 {
		t.Errorf("%d rules after the cache was full", got)
	}
}

// SEMANTICS 42, for events that no rule judged.
func TestSeverityOfUnjudgedEvents(t *testing.T) {
	p := policyOf(t, "{}")
	for name, want := range map[string][2]warder.Severity{ // else, and during a Block
		"USER_LOGIN_FAILURE":          {warder.Warning, warder.High},
		"OWN_THING_FAILURE":           {warder.Warning, warder.High},
		warder.UnauthorizedAccess:     {warder.Warning, warder.High},
		warder.SessionHijackSuspected: {warder.Critical, warder.Critical},
		warder.IPBlocked:              {warder.High, warder.High},
		warder.SuspiciousIP:           {warder.High, warder.High},
		warder.ThresholdExceeded:      {warder.Critical, warder.Critical},
		warder.IPUnblocked:            {warder.Info, warder.Info},
		warder.SessionTerminated:      {warder.Info, warder.Info},
		warder.Logout:                 {warder.Info, warder.Info},
		"USER_LOGIN_SUCCESS":          {warder.Info, warder.Info},
		"USER_PASSWORD_RESET_REQUEST": {warder.Info, warder.Info},
		"PAGE_VIEW":                   {warder.Info, warder.Info},
	} {
		if got := [2]warder.Severity{p.Severity(name, false), p.Severity(name, true)}; got != want {
			t.Errorf("%s: want %v, got %v", name, want, got)
		}
	}
}

// SEMANTICS 10 and 11.
func TestTakes(t *testing.T) {
	p := policyOf(t, "{}")
	for _, tt := range []struct {
		name      string
		demanded  bool
		classes   []string
		completed bool
	}{
		{"USER_LOGIN_SUCCESS", false, []string{ClassSignIn}, true},
		{"ADMIN_LOGIN_SUCCESS", false, []string{ClassSignIn}, true},
		{"USER_LOGIN_SUCCESS", true, nil, false}, // the password alone completes nothing
		{"USER_PASSWORD_RESET_SUCCESS", false, []string{ClassSignIn}, true},
		{"USER_PASSWORD_RESET_SUCCESS", true, nil, false},
		{"SMPP_BIND_SUCCESS", false, []string{ClassSignIn}, true},
		{"MFA_SUCCESS", false, []string{ClassMFA}, false},
		{"MFA_SUCCESS", true, []string{ClassMFA, ClassSignIn}, true},
		{"USER_LOGIN_FAILURE", false, nil, false},
		{"SIGNUP_SUCCESS", false, nil, false},
		{"CHALLENGE_SUCCESS", false, nil, false},
		{"LOGIN_SUCCESS", false, nil, false},
	} {
		classes, completed := p.Takes(&warder.Event{Name: tt.name, Account: "alice"}, tt.demanded)
		if !slices.Equal(classes, tt.classes) || completed != tt.completed {
			t.Errorf("%s, demanded %v: got %q, %v", tt.name, tt.demanded, classes, completed)
		}
		// Whose success it is, is not known, so that nobody's failures go with it.
		if classes, completed := p.Takes(&warder.Event{Name: tt.name}, tt.demanded); len(classes) > 0 || completed != tt.completed {
			t.Errorf("%s without an account: got %q, %v", tt.name, classes, completed)
		}
	}
}

func TestAttemptNames(t *testing.T) {
	success, failure, errored := AttemptNames("ADMIN_LOGIN")
	if success != "ADMIN_LOGIN_SUCCESS" || failure != "ADMIN_LOGIN_FAILURE" || errored != "ADMIN_LOGIN_ERROR" {
		t.Error(success, failure, errored)
	}
	if _, failure, _ := AttemptNames(""); failure != "USER_LOGIN_FAILURE" {
		t.Error(failure)
	}
}
