package operator_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/operator"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestThrottle: ten different guesses of strangers, then a pause that doubles;
// the device that is known has a count of its own.
func TestThrottle(t *testing.T) {
	th := operator.NewThrottle()
	stranger := operator.Try{Account: "ann@example.org", Exists: true}
	known := operator.Try{Account: "ann@example.org", Exists: true, Device: "laptop"}
	guess := func(try operator.Try, same string, now time.Time) (checked bool, wait time.Duration) {
		g, wait, _ := th.Begin(try, now)
		if wait > 0 {
			return false, wait
		}
		g.Wrong(same, now)
		return true, 0
	}
	for range 50 {
		if ok, _ := guess(known, "caps lock", noon); !ok {
			t.Fatal("the same mistake again counted twice")
		}
	}
	now := noon
	for pause := 15 * time.Minute; ; pause *= 2 {
		checked := 0
		for i := range 40 {
			if ok, _ := guess(stranger, fmt.Sprint(i), now); ok {
				checked++
			}
		}
		if checked != 10 {
			t.Errorf("%d guesses were checked, want 10", checked)
		}
		if _, wait := guess(stranger, "x", now.Add(time.Second)); wait != min(pause, operator.ThrottleMost)-time.Second {
			t.Errorf("pause %s, want %s", wait, min(pause, operator.ThrottleMost))
		}
		if ok, _ := guess(known, "caps lock", now); !ok {
			t.Error("strangers locked the known device out")
		}
		if pause > 2*operator.ThrottleMost {
			break
		}
		now = now.Add(min(pause, operator.ThrottleMost))
	}
	th.Clear("ann@example.org")
	if ok, _ := guess(stranger, "x", now); !ok {
		t.Error("cleared, and still throttled")
	}
	for i := range 10 {
		guess(known, fmt.Sprint(i), now)
	}
	if ok, wait := guess(known, "x", now); ok || wait != operator.ThrottleTime {
		t.Errorf("a known device guesses without end: %v, %s", ok, wait)
	}
}

// TestThrottleCountsWhatIsUnderWay: a hundred at once are no way round it, and
// what was taken back did not happen.
func TestThrottleCountsWhatIsUnderWay(t *testing.T) {
	th := operator.NewThrottle()
	try := operator.Try{Account: "ann@example.org", Exists: true}
	var under []*operator.Guess
	for range 100 {
		if g, wait, _ := th.Begin(try, noon); wait == 0 {
			under = append(under, g)
		}
	}
	if len(under) != 10 {
		t.Errorf("%d are checked at once, want 10", len(under))
	}
	for _, g := range under {
		g.Drop()
	}
	g, wait, _ := th.Begin(try, noon)
	if wait != 0 {
		t.Fatal("what was dropped counts")
	}
	g.Right(false)
}

// TestThrottleIsBounded: by address over many accounts, and in memory; what
// strangers make up does not make it forget an operator.
func TestThrottleIsBounded(t *testing.T) {
	th := operator.NewThrottle()
	for i := range 10 {
		g, _, _ := th.Begin(operator.Try{Account: "ann@example.org", Exists: true}, noon)
		g.Wrong(fmt.Sprint(i), noon)
	}
	for i := range 50_000 {
		g, wait, _ := th.Begin(operator.Try{Account: fmt.Sprintf("u%d@example.org", i)}, noon.Add(time.Minute))
		if wait == 0 {
			g.Wrong("", noon.Add(time.Minute))
		}
	}
	if n := th.Len(); n > 40_000 {
		t.Errorf("%d tallies are kept", n)
	}
	if _, wait, _ := th.Begin(operator.Try{Account: "ann@example.org", Exists: true}, noon.Add(2*time.Minute)); wait == 0 {
		t.Error("a flood made it forget")
	}
	address := netip.MustParsePrefix("203.0.113.7/32")
	checked := 0
	for i := range 100 {
		if g, wait, _ := th.Begin(operator.Try{Account: fmt.Sprintf("v%d@example.org", i), Address: address}, noon); wait == 0 {
			checked++
			g.Wrong("", noon)
		}
	}
	if checked != 30 {
		t.Errorf("one address guessed %d times, want 30", checked)
	}
}

// TestPasswordReplacedMeanwhile: who proved a password that was replaced before
// the session begins is not signed in by it.
func TestPasswordReplacedMeanwhile(t *testing.T) {
	people, _ := newPeople(t)
	ctx := t.Context()
	by := operator.Change{Actor: "cli:0", At: noon}
	const email, stolen = "ann@example.org", "correct horse battery"
	o, err := people.Create(ctx, email, "owner", stolen, by)
	if err != nil {
		t.Fatal(err)
	}
	for what, replace := range map[string]func() error{
		"set": func() error { return people.SetPassword(ctx, email, "another horse battery", by) },
		"changed": func() error {
			_, err := people.ChangePassword(ctx, &o, "another horse battery", "", by)
			return err
		},
		"reset": func() error { _, _, err := people.Reset(ctx, email, by); return err },
	} {
		if err := people.SetPassword(ctx, email, stolen, by); err != nil {
			t.Fatal(err)
		}
		proven, err := people.Authenticate(ctx, email, stolen, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		for _, whole := range []bool{true, false} {
			if _, _, err := people.Start(ctx, &proven, whole, "", operator.Visitor{}, noon); !errors.Is(err, operator.ErrNoSession) {
				t.Errorf("%s: signed in by the password before, %v", what, err)
			}
		}
	}
}

// TestSessionsEnd: by idleness, at the latest, and sooner if the settings say.
func TestSessionsEnd(t *testing.T) {
	people, _ := newPeople(t)
	ctx := t.Context()
	o, err := people.Create(ctx, "ann@example.org", "owner", "correct horse battery", operator.Change{Actor: "cli:0", At: noon})
	if err != nil {
		t.Fatal(err)
	}
	token, s, err := people.Start(ctx, &o, true, "", operator.Visitor{IP: "203.0.113.7", Agent: strings.Repeat("x", 5000), Device: "d"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	live := func(token string, at time.Time) bool {
		t.Helper()
		_, _, err := people.Session(ctx, token, at)
		if err != nil && !errors.Is(err, operator.ErrNoSession) {
			t.Fatal(err)
		}
		return err == nil
	}
	if !live(token, noon.Add(operator.DefaultIdle-time.Second)) || live(token, noon.Add(operator.DefaultIdle)) {
		t.Error("a session does not end by idleness")
	}
	var at time.Time
	for at = noon; at.Before(noon.Add(operator.DefaultAbsolute)); at = at.Add(time.Hour) {
		if !live(token, at) {
			t.Fatalf("ended after %s of use", at.Sub(noon))
		}
		if ok, err := people.Touch(ctx, &s, "203.0.113.8", at.Add(time.Second)); !ok || err != nil {
			t.Fatal(ok, err)
		}
		s.LastSeen, s.IP = at.Add(time.Second), "203.0.113.8"
	}
	if live(token, at) {
		t.Error("a session lasts for ever if it is used")
	}
	people.LimitSessions(time.Hour, 2*time.Hour)
	token, _, _ = people.Start(ctx, &o, true, "", operator.Visitor{}, noon)
	if !live(token, noon.Add(59*time.Minute)) || live(token, noon.Add(time.Hour)) {
		t.Error("a shorter limit does not hold")
	}
	people.LimitSessions(1000*time.Hour, 0)
	if idle, absolute := people.SessionLimits(); idle != operator.DefaultIdle || absolute != operator.DefaultAbsolute {
		t.Errorf("limits %s, %s are longer than they may be", idle, absolute)
	}
	half, _, _ := people.Start(ctx, &o, false, "", operator.Visitor{}, noon)
	if !live(half, noon.Add(9*time.Minute)) || live(half, noon.Add(10*time.Minute)) {
		t.Error("the second factor is waited for too long")
	}
	for range 50 {
		if _, _, err := people.Start(ctx, &o, false, "", operator.Visitor{}, noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := people.Sessions(ctx, o.ID, noon.Add(2*time.Minute))
	if err != nil || len(list) > 2*operator.MaxSessions || !live(token, noon.Add(2*time.Minute)) {
		t.Errorf("%d sessions of one person, %v; signed in %v", len(list), err, live(token, noon.Add(2*time.Minute)))
	}
	if err := people.Sweep(ctx, noon.Add(30*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if seen, err := people.Seen(ctx, operator.Admin, noon.Add(-time.Hour)); err != nil || len(seen) != 0 {
		t.Errorf("after the sweep: %v, %v", seen, err)
	}
}
