package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// scene feeds a World one event a second.
type scene struct {
	*testing.T
	world   *World
	seq     int64
	session string
}

func newScene(t *testing.T, yaml string, most int) *scene {
	t.Helper()
	d, err := Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return &scene{T: t, world: NewWorld(p, WorldOptions{Counters: counter.New(counter.Options{Bytes: 1 << 20}), Most: most})}
}

func (s *scene) do(name, ip, account, guess string) Judged {
	s.Helper()
	s.seq++
	e := &warder.Event{
		ID: fmt.Sprint(s.seq), Name: name, Time: testStart.Add(time.Duration(s.seq) * time.Second), IP: netip.MustParseAddr(ip),
		Account: account, Realm: "user", Guess: warder.Guess{Same: guess}, Session: s.session,
	}
	got, err := s.world.Judge(s.Context(), e, s.seq, nil)
	if err != nil {
		s.Fatal(err)
	}
	return got
}

const (
	office   = "203.0.113.200"
	stranger = "198.51.100.1"
)

// A World spares an office as the engine does, whatever one stale password
// there repeats (SEMANTICS 54), and tells whom a Block hurts.
func TestWorldSparesAnOffice(t *testing.T) {
	for _, stale := range []bool{true, false} {
		s := newScene(t, "activity: {rules: [{id: r, events: ['*_LOGIN_FAILURE'], threshold: 128, time_range: 3600, action: block, cooling_period: 0}]}", 0)
		for i := range 20 {
			s.do("USER_LOGIN_SUCCESS", office, fmt.Sprint("staff", i), "")
		}
		for i := range 400 {
			guess := "aa"
			if !stale {
				guess = "" // every one is another
			}
			if got := s.do("USER_LOGIN_FAILURE", office, "printer", guess); got.Refused && stale {
				t.Fatalf("repetition %d of one guess is refused", i)
			}
		}
		got := s.do("USER_LOGIN_SUCCESS", office, "staff1", "")
		if got.Facts.GoodAccounts != 20 || !got.SignIn || got.Refused == stale {
			t.Errorf("stale %t: %d accounts, sign-in %t, refused %t", stale, got.Facts.GoodAccounts, got.SignIn, got.Refused)
		}
	}
}

// While a Demand stands its own rule rests, for the known source that it spares
// too (SEMANTICS 16), and MFA_SUCCESS meets it.
func TestWorldDemands(t *testing.T) {
	s := newScene(t, "activity: {rules: [{id: r, events: ['*_LOGIN_FAILURE'], key: account, distinct: ip, threshold: 2, time_range: 3600, action: mfa, cooling_period: 600}]}", 0)
	s.do("USER_LOGIN_SUCCESS", office, "alice", "")
	s.do("USER_LOGIN_FAILURE", stranger, "alice", "")
	if got := s.do("USER_LOGIN_FAILURE", "198.51.100.2", "alice", ""); got.Verdict.Crossing == nil {
		t.Fatal("no crossing")
	}
	if got := s.do("USER_LOGIN_FAILURE", office, "alice", ""); got.Verdict.Counted || got.Unmet != warder.Allow {
		t.Errorf("a known source is counted %t, unmet %s", got.Verdict.Counted, got.Unmet)
	}
	if got := s.do("USER_LOGIN_SUCCESS", stranger, "alice", ""); got.Unmet != warder.MFA {
		t.Errorf("unmet %s, want mfa", got.Unmet)
	}
	s.do("MFA_SUCCESS", stranger, "alice", "")
	if got := s.do("USER_LOGIN_SUCCESS", stranger, "alice", ""); got.Unmet != warder.Allow || got.Facts.Source == "" {
		t.Errorf("unmet %s, source %q, want met and known", got.Unmet, got.Facts.Source)
	}
}

// What strangers can grow is bounded.
func TestWorldIsBounded(t *testing.T) {
	s := newScene(t, "activity: {rules: [{id: r, events: ['*_LOGIN_FAILURE'], threshold: 1, time_range: 3600, action: block, cooling_period: 1}]}", 10)
	for i := range 1000 {
		ip := fmt.Sprintf("198.51.%d.%d", i/250, i%250+1)
		s.do("USER_LOGIN_SUCCESS", ip, fmt.Sprint("a", i), "")
		s.do("USER_LOGIN_SUCCESS", office, fmt.Sprint("a", i), "")
		s.do("USER_LOGIN_FAILURE", ip, "x", "")
		s.do("MFA_SUCCESS", ip, fmt.Sprint("a", i), "")
		s.do("CHALLENGE_SUCCESS", ip, "", "")
	}
	w := s.world
	for name, n := range map[string]int{
		"standing": len(w.standing), "ended": len(w.ended), "known": len(w.known), "met": len(w.met), "cleared": len(w.cleared), "good": len(w.good),
	} {
		if n > 10 {
			t.Errorf("%d %s, want 10 at most", n, name)
		}
	}
	if g := w.good[netip.PrefixFrom(netip.MustParseAddr(office), 32)]; g == nil || len(g.accounts) > maxAccounts {
		t.Errorf("accounts of one address: %v", g)
	}
}

// A session that was ended is refused, but guesses in it count as they do in the
// engine, or whoever had one ended could guess on unseen.
func TestWorldCountsGuessesInARevokedSession(t *testing.T) {
	const yaml = `activity: {rules: [
		{id: r, events: ['*_LOGIN_FAILURE'], threshold: 3, time_range: 3600, action: block, cooling_period: 0},
		{id: s, events: [SESSION_HIJACK_SUSPECTED], key: session, threshold: 1, time_range: 3600, action: block, cooling_period: 0}]}`
	s := newScene(t, yaml, 0)
	s.session = "stolen"
	s.do("USER_LOGIN_SUCCESS", office, "alice", "")
	s.do("SESSION_HIJACK_SUSPECTED", stranger, "alice", "")
	if got := s.do("USER_LOGIN_SUCCESS", office, "alice", ""); !got.Refused {
		t.Error("the ended session is let in")
	}
	for i := range 3 {
		got := s.do("USER_LOGIN_FAILURE", stranger, "alice", "")
		if crossed := got.Verdict.Crossing != nil; !got.Refused || crossed != (i == 2) {
			t.Errorf("guess %d: refused %t, crossing %t", i+1, got.Refused, crossed)
		}
	}
}
