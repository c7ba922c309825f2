package alert

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

func prefs(change func(*Preferences)) *Preferences {
	p := Defaults(true)
	change(&p)
	return &p
}

func TestPreferencesAreChecked(t *testing.T) {
	for _, tt := range []struct {
		p    Preferences
		want string
	}{
		{Preferences{}, ""},
		{Preferences{Digest: "weekly"}, "digest"},
		{Preferences{Severities: []string{"bad"}}, "severities"},
		{Preferences{Rules: []string{"a\nb"}}, "rules[0]"},
		{Preferences{Realms: slices.Repeat([]string{"a"}, 65)}, "realms"},
		{Preferences{Thresholds: []Threshold{{Event: "X", Rule: "y", Count: 1, Seconds: 60}}}, "thresholds[0]"},
		{Preferences{Thresholds: []Threshold{{Event: "lower", Count: 1, Seconds: 60}}}, "thresholds[0].event"},
		{Preferences{Thresholds: []Threshold{{Rule: "r", Count: 0, Seconds: 60}}}, "thresholds[0].count"},
		{Preferences{Thresholds: []Threshold{{Rule: "r", Count: 1, Seconds: 59}}}, "thresholds[0].seconds"},
		{Preferences{Thresholds: slices.Repeat([]Threshold{{Rule: "r", Count: 1, Seconds: 60}}, 21)}, "thresholds"},
		{Preferences{Quiet: &Quiet{From: "24:00", To: "06:00"}}, "quiet.from"},
		{Preferences{Quiet: &Quiet{From: "6:00", To: "06:00"}}, "quiet.from"},
		{Preferences{Quiet: &Quiet{From: "06:00", To: "06:00"}}, "quiet.to"},
		{Preferences{Quiet: &Quiet{From: "22:00", To: "06:00", TimeZone: "Nowhere/Land"}}, "quiet.time_zone"},
		{Preferences{Quiet: &Quiet{From: "22:00", To: "06:00", TimeZone: "Local"}}, "quiet.time_zone"},
		{Preferences{Quiet: &Quiet{From: "22:00", To: "06:00", TimeZone: "Asia/Kolkata"}}, ""},
	} {
		err := tt.p.Check()
		got := ""
		if faults, ok := errors.AsType[warder.Faults](err); ok {
			got = faults[0].Location
		}
		if got != tt.want {
			t.Errorf("%+v: %v, want a fault at %q", tt.p, err, tt.want)
		}
	}
}

func TestQuietHours(t *testing.T) {
	night := &Quiet{From: "22:00", To: "06:30", TimeZone: "Europe/Berlin"}
	noon := &Quiet{From: "12:00", To: "13:00", TimeZone: "UTC"}
	for _, tt := range []struct {
		q        *Quiet
		now, end string
	}{
		{night, "2026-01-15T20:59:00Z", ""},                     // 21:59
		{night, "2026-01-15T21:00:00Z", "2026-01-16T05:30:00Z"}, // 22:00
		{night, "2026-01-16T05:29:00Z", "2026-01-16T05:30:00Z"},
		{night, "2026-01-16T05:30:00Z", ""},
		{night, "2026-03-28T23:00:00Z", "2026-03-29T04:30:00Z"}, // the clock goes forward that night
		{noon, "2026-01-15T12:30:00Z", "2026-01-15T13:00:00Z"},
		{noon, "2026-01-15T13:00:00Z", ""},
		{nil, "2026-01-15T13:00:00Z", ""},
	} {
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		want := tt.end
		if want == "" {
			want = tt.now
		}
		if got := tt.q.ends(now).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%+v at %s ends %s, want %s", tt.q, tt.now, got, want)
		}
	}
}

// TestOneOwnerAlwaysGetsCritical: whatever the owners choose.
func TestOneOwnerAlwaysGetsCritical(t *testing.T) {
	off := prefs(func(p *Preferences) { p.Mail = false })
	narrow := prefs(func(p *Preferences) { p.Rules = []string{"pair"} })
	for _, tt := range []struct {
		name string
		team []Person
		want string
	}{
		{"nothing chosen", []Person{{Email: "o", Owner: true, Mailed: true}, {Email: "a", Mailed: true}}, "o a"},
		{"owner off", []Person{{Email: "o", Owner: true, Mailed: true, Prefs: off}, {Email: "a", Mailed: true}}, "o! a"},
		{"first of two", []Person{{Email: "o", Owner: true, Prefs: off}, {Email: "p", Owner: true, Prefs: narrow}}, "o! p"},
		{"the other is there", []Person{{Email: "o", Owner: true, Prefs: off}, {Email: "p", Owner: true, Mailed: true}}, "p"},
		{"hourly is not at once", []Person{{Email: "o", Owner: true, Prefs: prefs(func(p *Preferences) { p.Digest = Hourly })}}, "o!"},
		{"quiet is not at once", []Person{{Email: "o", Owner: true, Prefs: prefs(func(p *Preferences) { p.Quiet = &Quiet{From: "22:00", To: "06:00", TimeZone: "UTC"} })}}, "o!"},
		{"a viewer by choice", []Person{{Email: "o", Owner: true, Mailed: true}, {Email: "v", Prefs: prefs(func(*Preferences) {})}, {Email: "w"}}, "o v"},
		{"no owner", []Person{{Email: "a", Mailed: true, Prefs: off}}, ""},
	} {
		var got []string
		for _, r := range Assign(tt.team) {
			name := r.Address
			if r.Always {
				name += "!"
				if Overrides(tt.team, r.Address) == nil {
					t.Errorf("%s: %s is not told", tt.name, r.Address)
				}
			}
			got = append(got, name)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

// TestRecipientsGetWhatTheyChose runs the sender with four different choices.
func TestRecipientsGetWhatTheyChose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		people := []Recipient{
			{Address: "all@example.org"},
			{Address: "high@example.org", Prefs: prefs(func(p *Preferences) { p.Severities = []string{"high"} })},
			{Address: "admin@example.org", Prefs: prefs(func(p *Preferences) { p.Realms = []string{"admin"} })},
			{Address: "pair@example.org", Prefs: prefs(func(p *Preferences) { p.Rules = []string{"pair"} })},
			{Address: "never@example.org", Prefs: prefs(func(p *Preferences) { p.Mail = false })},
			{Address: "owner@example.org", Always: true, Prefs: prefs(func(p *Preferences) { p.Mail = false })},
		}
		o, p := &outbox{}, &post{}
		var log []Delivery
		s, stop := start(t, Options{
			Outbox: o, Recipients: func(context.Context) ([]Recipient, error) { return people, nil },
			OnDelivery: func(_ context.Context, d Delivery) error { log = append(log, d); return nil },
		}, p)
		defer stop()
		rest(time.Minute)
		high := attack(2)
		high.Severity = warder.High
		o.add(attack(1)) // critical, realm user, rule sign_in
		o.add(high)
		own := &guard.Alert{ID: "own", Kind: guard.AlertThreshold, For: "pair@example.org", Time: time.Now(), Severity: warder.Warning, Text: "12 of them"}
		o.add(own)
		s.Notify()
		rest(10 * time.Minute)
		for address, want := range map[string]int{
			"all@example.org": 1, "high@example.org": 1, "admin@example.org": 0, "pair@example.org": 1, "never@example.org": 0, "owner@example.org": 1,
		} {
			if n := total3(p.to(address)); n != want {
				t.Errorf("%s got %d alerts, want %d", address, n, want)
			}
		}
		if len(log) != 4 || log[0].State != Sent || log[0].Subject == "" || log[0].Alerts != 1 {
			t.Errorf("deliveries: %+v", log)
		}
	})
}

func TestDigestAndQuietHoursDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble begins at midnight UTC
		quiet := &Quiet{From: "23:00", To: "06:00", TimeZone: "UTC"}
		people := []Recipient{
			{Address: "hourly@example.org", Prefs: prefs(func(p *Preferences) { p.Digest = Hourly })},
			{Address: "daily@example.org", Prefs: prefs(func(p *Preferences) { p.Digest = Daily })},
			{Address: "quiet@example.org", Prefs: prefs(func(p *Preferences) { p.Quiet = quiet })},
			{Address: "keeper@example.org", Always: true, Prefs: prefs(func(p *Preferences) { p.Quiet, p.Digest = quiet, Daily })},
		}
		o, p := &outbox{}, &post{}
		s, stop := start(t, Options{Outbox: o, Recipients: func(context.Context) ([]Recipient, error) { return people, nil }}, p)
		defer stop()
		rest(10 * time.Minute)
		began := time.Now().Add(-10 * time.Minute)
		for i := range 5 {
			o.add(attack(i))
		}
		s.Notify()
		rest(12 * time.Hour)
		for address, want := range map[string]time.Duration{
			"hourly@example.org": time.Hour, "daily@example.org": 8 * time.Hour, "quiet@example.org": 6 * time.Hour, "keeper@example.org": 10 * time.Minute,
		} {
			mails := p.to(address)
			if len(mails) != 1 || mails[0].n != 5 {
				t.Errorf("%s: %+v", address, mails)
				continue
			}
			if got := mails[0].at.Sub(began); got < want || got > want+10*time.Second {
				t.Errorf("%s got its mail after %s, want %s", address, got, want)
			}
		}
	})
}

// TestOutageIsLogged: every try shows, with the server's words, under one id.
func TestOutageIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{dead: errors.New("dial tcp: connection refused\nSecond: line")}
		log := map[string][]Delivery{}
		s, stop := start(t, Options{Outbox: o, Recipients: to(olga), OnDelivery: func(_ context.Context, d Delivery) error {
			log[d.ID] = append(log[d.ID], d)
			return nil
		}}, p)
		defer stop()
		o.add(attack(1))
		s.Notify()
		rest(time.Minute)
		p.set(func(p *post) { p.dead = nil })
		rest(10 * time.Minute)
		if len(log) != 1 {
			t.Fatalf("one mail has %d ids: %+v", len(log), log)
		}
		for _, tries := range log {
			last := tries[len(tries)-1]
			if tries[0].State != Deferred || tries[0].Answer != "dial tcp: connection refused Second: line" || last.State != Sent {
				t.Errorf("%+v", tries)
			}
		}
	})
}

// TestSMTPChangesWhileRunning: mails leave the new way from the next on.
func TestSMTPChangesWhileRunning(t *testing.T) {
	o := &outbox{}
	s, err := New(Options{Outbox: o, Recipients: to(olga), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := s.SendTest(t.Context(), olga); err != nil || !strings.Contains(answer, "Written to") {
		t.Fatal(answer, err)
	}
	if err := s.SetSMTP(SMTP{Host: "mail.example.org", From: "warder@example.org"}); err == nil {
		t.Error("a server without a way to reach it was taken")
	}
	s.opts.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }
	if err := s.SetSMTP(SMTP{Host: "mail.example.org", From: "warder@example.org"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SendTest(t.Context(), olga); err == nil || !strings.Contains(err.Error(), "no route") {
		t.Errorf("still the old way: %v", err)
	}
	s.turn()
	if s.written {
		t.Error("Run goes on writing files")
	}
}

func TestOwnThresholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := make(chan *guard.Record)
		team := []Person{{Email: olga, Prefs: prefs(func(p *Preferences) {
			p.Thresholds = []Threshold{{Event: "USER_LOGIN_FAILURE", Count: 10, Seconds: 600}, {Rule: "sign_in", Count: 2, Seconds: 60}}
		})}, {Email: otto, Prefs: prefs(func(p *Preferences) {
			p.Realms, p.Severities = []string{"admin"}, []string{"high", "critical"}
			p.Thresholds = []Threshold{{Event: "USER_LOGIN_FAILURE", Count: 1, Seconds: 60}}
		})}}
		var told []string
		var wanted []warder.Severity
		w := NewWatch(WatchOptions{
			Records: records, Team: func(context.Context) ([]Person, error) { return team, nil },
			Add: func(_ context.Context, a *guard.Alert) error {
				told = append(told, fmt.Sprint(a.For, " ", a.Count, " ", a.Rule))
				return nil
			},
			OnTeam: func(team []Person) { wanted = Severities(team) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		send := func(name, rule, realm string, n int) {
			rec := &guard.Record{}
			for range n {
				rec.Events = append(rec.Events, guard.Event{Event: warder.Event{Name: name, Realm: realm}, Rule: rule})
			}
			records <- rec
			synctest.Wait()
		}
		want := func(list ...string) {
			t.Helper()
			if !slices.Equal(told, list) {
				t.Errorf("told %q, want %q", told, list)
			}
			told = nil
		}
		send("USER_LOGIN_FAILURE", "", "user", 9)
		want()
		time.Sleep(11 * time.Minute)
		send("USER_LOGIN_FAILURE", "", "user", 9) // those before are too old
		want()
		send("USER_LOGIN_FAILURE", "", "user", 1)
		want(olga + " 10 ")
		send("USER_LOGIN_FAILURE", "", "user", 50) // told already
		want()
		send(warder.ThresholdExceeded, "sign_in", "user", 2)
		want(olga + " 2 sign_in")
		send("USER_LOGIN_FAILURE", "", "admin", 1)
		want(otto + " 1 ")
		if !slices.Equal(wanted, []warder.Severity{warder.High}) {
			t.Errorf("severities %v", wanted)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
