//go:build linux

package acceptance

import (
	"testing"
	"time"
)

const coolingPolicy = `
activity:
  rules:
    - {id: quick, events: [USER_LOGIN_FAILURE], key: ip, threshold: 2, time_range: 60, cooling_period: 2, action: block}
    - {id: forever, events: [ADMIN_LOGIN_FAILURE], key: ip, threshold: 2, time_range: 60, cooling_period: 0, action: block}
    - {id: steps, events: [SMPP_BIND_FAILURE], key: ip, threshold: 2, time_range: 60, escalate: [1, 2, 3], action: block}
`

// cross reports two failures, which make a block, and returns its answer.
func (s *server) cross(name, ip string) answer {
	s.t.Helper()
	var a answer
	for range 2 {
		a = s.report(event{Name: name, IP: ip, Account: "alice"})
	}
	if a.Decision.Action != "block" || a.Decision.Reason != "threshold_exceeded" {
		s.t.Fatalf("two times %s: %+v", name, a)
	}
	return a
}

// released waits until an address is let in again, and returns when it was.
func (s *server) released(ip string) time.Time {
	s.t.Helper()
	eventually(s.t, 10*time.Second, ip+" is released", func() bool { return s.check(ip).Action == "allow" })
	return time.Now()
}

// TestCoolingPeriod: a block ends by itself when its time is over, which can be
// seen; after kill -9 too.
func TestCoolingPeriod(t *testing.T) {
	t.Parallel() // it waits
	s := newServer(t)
	s.apply(coolingPolicy)
	for name, kill := range map[string]bool{"203.0.113.61": false, "203.0.113.62": true} {
		a := s.cross("USER_LOGIN_FAILURE", name)
		crossed := time.Now()
		if a.Decision.ExpiresAt == nil || a.Decision.ExpiresAt.Sub(crossed) > 2*time.Second {
			t.Fatalf("%+v, want an end in 2 s", a)
		}
		if kill {
			s.restart()
			if time.Until(*a.Decision.ExpiresAt) > 200*time.Millisecond && s.check(name).Action != "block" {
				t.Error("the block did not survive kill -9")
			}
		}
		if at := s.released(name); at.Before(*a.Decision.ExpiresAt) || at.Sub(crossed) > 4*time.Second {
			t.Errorf("released after %s", at.Sub(crossed))
		}
		eventually(t, 10*time.Second, "the release is an event", func() bool {
			return len(s.events("name=IP_UNBLOCKED&ip="+name)) == 1
		})
		b := s.blocks("state=expired&ip=" + name)
		if len(b) != 1 || b[0].EndedAt == nil || b[0].Until == nil || b[0].Rule != "quick" {
			t.Errorf("report: %+v", b)
		}
		if a := s.report(event{Name: "USER_LOGIN_FAILURE", IP: name}); a.Decision.Action != "allow" {
			t.Errorf("counting does not start anew: %+v", a)
		}
	}
}

// TestPermanentBlock: a cooling period of 0 has no end.
func TestPermanentBlock(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.apply(coolingPolicy)
	const ip = "203.0.113.63"
	if a := s.cross("ADMIN_LOGIN_FAILURE", ip); a.Decision.ExpiresAt != nil {
		t.Errorf("%+v, want no end", a)
	}
	// A shorter one beside it comes and goes.
	s.cross("USER_LOGIN_FAILURE", "203.0.113.64")
	s.released("203.0.113.64")
	if d := s.check(ip); d.Action != "block" || d.ExpiresAt != nil {
		t.Errorf("%+v", d)
	}
	if b := s.blocks("state=active"); len(b) != 1 || b[0].IP != ip || b[0].Until != nil {
		t.Errorf("report: %+v", b)
	}
}

// TestEscalation: each repetition within a week is answered by the next step,
// the last one repeats; an operator's lift is not held against anybody.
func TestEscalation(t *testing.T) {
	t.Parallel() // it waits
	s := newServer(t)
	s.apply(coolingPolicy)
	const ip = "203.0.113.65"
	for i, want := range []float64{1, 2, 3, 3} {
		s.cross("SMPP_BIND_FAILURE", ip)
		b := s.blocks("state=active&ip=" + ip)
		if len(b) != 1 || b[0].Until == nil || b[0].Until.Sub(b[0].BlockedAt).Seconds() != want {
			t.Fatalf("block %d: %+v, want %v s", i+1, b, want)
		}
		if i < 3 {
			s.released(ip)
		}
	}
	s.cli("unblock", ip, "--verdict", "resolved")
	s.cross("SMPP_BIND_FAILURE", ip)
	if b := s.blocks("state=active&ip=" + ip); len(b) != 1 || b[0].Until.Sub(b[0].BlockedAt).Seconds() != 3 {
		t.Errorf("after a lift: %+v", b)
	}
}
