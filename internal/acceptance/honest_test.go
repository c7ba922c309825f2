//go:build linux

package acceptance

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// guess is a failure with a hash of what was guessed.
func guess(ip, account, hash string) event {
	e := wrong(ip, account)
	e.Guess = map[string]any{"same": hash}
	return e
}

// TestSameWrongPasswordCountsOnce: a mail client that knows the old password
// only is no attacker; somebody with five ideas is.
func TestSameWrongPasswordCountsOnce(t *testing.T) {
	s := newServer(t)
	for i := range 20 {
		if a := s.report(guess("203.0.113.70", "alice", "0badcafe")); a.Decision.Action != "allow" || a.Severity != "warning" {
			t.Fatalf("try %d with the same password: %+v", i+1, a)
		}
	}
	var why struct {
		Counters []struct {
			Rule  string `json:"rule"`
			Count int    `json:"count"`
		} `json:"counters"`
	}
	s.get("/v1/explain?ip=203.0.113.70", &why)
	if len(why.Counters) == 0 || why.Counters[0].Rule != "sign_in" || why.Counters[0].Count != 1 {
		t.Errorf("counted: %+v, want once", why)
	}
	for i := range 5 {
		a := s.report(guess("203.0.113.71", "alice", fmt.Sprintf("%02x", i)))
		if want := map[bool]string{true: "block", false: "allow"}[i == 4]; a.Decision.Action != want {
			t.Errorf("different password %d: %+v, want %s", i+1, a, want)
		}
	}
	// The same through attempts: a repeated guess gives its slot back.
	for i := range 20 {
		a, err := s.begin(query{IP: "203.0.113.72", Account: "bob", Wait: 2})
		if err != nil || a.Attempt == "" {
			t.Fatalf("attempt %d: %+v, %v", i+1, a, err)
		}
		if _, err := s.settle(a.Attempt, outcome{Outcome: "failure", Guess: map[string]any{"same": "0badcafe"}}); err != nil {
			t.Fatal(err)
		}
	}
	if b := s.blocks("state=all"); len(b) != 1 || b[0].IP != "203.0.113.71" {
		t.Errorf("blocks: %+v", b)
	}
}

// TestSharedOffice: thirty-seven people sit behind one address. An attacker
// among them is stopped for a quarter of an hour, and the mail says why not for
// longer.
func TestSharedOffice(t *testing.T) {
	mails := newMailServer(t, 0)
	s := newServer(t, append(mails.settings(), "SMTP_TO=ops@example.org")...)
	const office = "198.51.100.37"
	var morning []event
	for i := range 37 {
		morning = append(morning, right(office, fmt.Sprintf("colleague-%d", i)))
	}
	for i := range 40 { // others elsewhere, else the office would be the proxy
		morning = append(morning, right(fmt.Sprintf("192.0.2.%d", i+1), fmt.Sprintf("person-%d", i)))
	}
	s.reportAll(morning)
	a := s.fail(office, "victim", 5)
	if a.Decision.Action != "block" || a.Decision.ExpiresAt == nil {
		t.Fatalf("the fifth: %+v, want a block that ends", a)
	}
	if left := time.Until(*a.Decision.ExpiresAt); left > 900*time.Second || left < 880*time.Second {
		t.Errorf("it ends in %s, want 15 minutes", left)
	}
	if b := s.blocks("state=active&ip=" + office); len(b) != 1 || b[0].Cut != "shared_address" || b[0].GoodAccounts != 37 {
		t.Errorf("report: %+v", b)
	}
	eventually(t, 10*time.Second, "the mail", func() bool { return len(mails.all()) > 0 })
	for _, want := range []string{"shared address", "37 different accounts", "15 minutes"} {
		if m := mails.all()[0]; !strings.Contains(m.text, want) || !strings.Contains(m.html, want) {
			t.Errorf("the mail lacks %q:\n%s", want, m.text)
		}
	}
}

// TestKnownSourceIsJudgedApart: what a stranger behind the same address does
// is not held against somebody on a known device, and the other way round.
func TestKnownSourceIsJudgedApart(t *testing.T) {
	s := newServer(t)
	const ip = "203.0.113.73"
	phone := func(e event) event { e.Device = "phone-of-alice"; return e }
	s.report(phone(right(ip, "alice")))
	for range 4 {
		s.report(phone(wrong(ip, "alice")))
	}
	if a := s.fail(ip, "mallory", 4); a.Decision.Action != "allow" {
		t.Errorf("4 of a known source and 4 of a stranger: %+v", a)
	}
	if a := s.fail(ip, "mallory", 1); a.Decision.Action != "block" {
		t.Errorf("the stranger's fifth: %+v", a)
	}
}

// TestSuccessTakesOutItsShare: who remembers the password in the end starts
// anew, and wipes away nobody else's failures.
func TestSuccessTakesOutItsShare(t *testing.T) {
	s := newServer(t)
	const ip, other = "203.0.113.74", "203.0.113.75"
	s.fail(ip, "alice", 4)
	s.report(right(ip, "alice"))
	if a := s.fail(ip, "mallory", 4); a.Decision.Action != "allow" {
		t.Errorf("4 failures, success, 4 failures: %+v", a)
	}
	s.fail(other, "alice", 4)
	s.report(right(other, "mallory")) // an attacker's own account
	if a := s.fail(other, "alice", 1); a.Decision.Action != "block" {
		t.Errorf("4 failures, success of another account, 1 failure: %+v", a)
	}
}

// TestSecondFactorLoop: whoever knows the password cannot wipe away wrong codes
// by signing in again and again.
func TestSecondFactorLoop(t *testing.T) {
	s := newServer(t)
	const ip = "203.0.113.76"
	for i := range 5 {
		s.report(right(ip, "alice"))
		a := s.report(event{Name: "MFA_FAILURE", IP: ip, Account: "alice"})
		if want := map[bool]string{true: "block", false: "allow"}[i == 4]; a.Decision.Action != want {
			t.Errorf("wrong code %d: %+v, want %s", i+1, a, want)
		}
	}
	// The right code does take them out.
	const good = "203.0.113.77"
	for range 4 {
		s.report(event{Name: "MFA_FAILURE", IP: good, Account: "bob"})
	}
	s.report(event{Name: "MFA_SUCCESS", IP: good, Account: "bob"})
	var a answer
	for range 4 {
		a = s.report(event{Name: "MFA_FAILURE", IP: good, Account: "bob"})
	}
	if a.Decision.Action != "allow" {
		t.Errorf("4 wrong codes, the right one, 4 wrong codes: %+v", a)
	}
}
