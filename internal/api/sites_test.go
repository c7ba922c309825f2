package api

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/gate"
)

// TestSiteStates: amber means that nothing is counted although people sign in,
// or that nobody does; the remedy names what to look at.
func TestSiteStates(t *testing.T) {
	profile, err := gate.LoadProfile("generic-form")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		name   string
		stats  gate.SiteStats
		before time.Time // the last outcome that is stored
		since  time.Duration
		off    bool
		state  string
		remedy string
	}{
		{"new", gate.SiteStats{}, time.Time{}, time.Hour, false, "waiting", "wrong password"},
		{"an outcome", gate.SiteStats{Success: 1, Outcome: ago(time.Hour)}, time.Time{}, 90 * time.Hour, false, "ok", ""},
		{"an outcome before the restart", gate.SiteStats{}, ago(time.Hour), time.Minute, false, "ok", ""},
		{"silent since yesterday", gate.SiteStats{Attempts: 9, Success: 1, Outcome: ago(25 * time.Hour)}, time.Time{}, 90 * time.Hour, false, "no_outcome", "Sign-ins were seen"},
		{"silent, known of by the log alone", gate.SiteStats{}, ago(25 * time.Hour), time.Minute, false, "no_outcome", "No sign-in was seen"},
		{"nobody signs in", gate.SiteStats{Requests: 99}, time.Time{}, 25 * time.Hour, false, "no_outcome", "No sign-in was seen"},
		{"unreadable", gate.SiteStats{Attempts: 5, Errors: 5}, time.Time{}, time.Minute, false, "no_outcome", "neither like a success"},
		{"an outage", gate.SiteStats{Attempts: 5, Errors: 5}, ago(time.Hour), time.Minute, false, "ok", ""},
		{"switched off", gate.SiteStats{}, time.Time{}, 90 * time.Hour, true, "ok", ""},
		{"down", gate.SiteStats{Success: 1, Outcome: ago(time.Minute), Unanswered: now}, time.Time{}, time.Hour, false, "upstream_down", "http://app.example:3000"},
	} {
		c.stats.Name = "www"
		v := newSiteView(&GuardedSite{Listen: "127.0.0.1:80", Upstream: "http://u:p@app.example:3000?x=y", Profile: profile, FailOpen: true, Stats: c.stats},
			c.before, silenceOf{now: now, since: ago(c.since), acts: !c.off})
		if v.State != c.state || !strings.Contains(v.Remedy, c.remedy) || (c.remedy == "") != (v.Remedy == "") {
			t.Errorf("%s: %s: %q", c.name, v.State, v.Remedy)
		}
		if v.Upstream != "http://app.example:3000" || v.OnFailure != "open" || len(v.Matches) == 0 {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	p := newProxyView(&gate.AskerStats{Peer: netip.MustParseAddr("10.0.0.1")}, time.Time{}, "", silenceOf{now: now, since: ago(25 * time.Hour), acts: true})
	if p.Kind != "proxy" || p.Name != "10.0.0.1" || p.State != "no_outcome" || !strings.Contains(p.Remedy, "/v1/attempts") {
		t.Errorf("%+v", p)
	}
}

// TestSiteMatchKinds: the document names every kind that a profile may have.
func TestSiteMatchKinds(t *testing.T) {
	field, _ := reflect.TypeFor[SiteMatch]().FieldByName("Kind")
	named := strings.Split(field.Tag.Get("enum"), ",")
	for _, name := range gate.ProfileNames() {
		p, err := gate.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Endpoints {
			if !slices.Contains(named, string(e.Kind)) {
				t.Errorf("%s of profile %s is not among %v", e.Kind, name, named)
			}
		}
	}
}
