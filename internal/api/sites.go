package api

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/gate"
	"github.com/warderhq/warder/internal/guard"
)

// GuardedSite is a site of the gate: what was configured, and its figures of
// now.
type GuardedSite struct {
	Listen   string // address that it listens on
	TLS      bool
	Upstream string // URL of the application
	Profile  *gate.Profile
	FailOpen bool
	Stats    gate.SiteStats
}

// Sites tells the server of the sites of the gate. Call it before the first
// request; without it there are none.
func (s *Server) Sites(list func() []GuardedSite) { s.guarded = list }

// States of what stands before an application.
const (
	siteOK           = "ok"
	siteWaiting      = "waiting"
	siteNoOutcome    = "no_outcome"
	siteUpstreamDown = "upstream_down"
)

// silence is how long nobody may have reported an outcome before it shows.
const silence = 24 * time.Hour

// SitesView is what stands before applications.
type SitesView struct {
	Items   []SiteView  `json:"items" doc:"Sites of the gate, by name."`
	Proxies []ProxyView `json:"proxies" doc:"Who asked forward auth since the start: applications by their API key, and trusted proxies. They enforce only: their applications have to report sign-ins by the API."`
	Since   time.Time   `json:"since" doc:"When Warder started: what is counted is counted since then."`
}

// SiteView is one site of the gate.
type SiteView struct {
	Name        string      `json:"name"`
	Listen      string      `json:"listen"`
	TLS         bool        `json:"tls"`
	Upstream    string      `json:"upstream" doc:"Without credentials."`
	Profile     string      `json:"profile"`
	Verified    bool        `json:"verified" doc:"The profile was run against the product that it is for."`
	OnFailure   string      `json:"on_failure" enum:"closed,open" doc:"What becomes of sign-ins that cannot be guarded: refused (closed) or let through."`
	State       string      `json:"state" enum:"ok,waiting,no_outcome,upstream_down" doc:"waiting: no sign-in was seen yet, and Warder started within the last 24 hours. no_outcome: it enforces, and saw no sign-in succeed or fail for 24 hours, or none of those that it let through had an outcome. upstream_down: the application did not answer the last request."`
	Remedy      string      `json:"remedy,omitempty" doc:"What to do about a state other than ok."`
	Requests    int64       `json:"requests"`
	Refused     int64       `json:"refused" doc:"Requests answered by the access-denied page."`
	Attempts    int64       `json:"attempts" doc:"Sign-ins that reached the application."`
	Success     int64       `json:"success"`
	Failure     int64       `json:"failure"`
	Errors      int64       `json:"errors" doc:"Attempts without an outcome."`
	LastOutcome *time.Time  `json:"last_outcome,omitempty" doc:"When a sign-in last succeeded or failed; also from before the start, if it is among the newest events."`
	Unanswered  *time.Time  `json:"unanswered,omitempty" doc:"When the application did not answer; absent if it answered the last request."`
	Matches     []SiteMatch `json:"matches" doc:"Requests that the profile recognised, by kind of endpoint."`
	Open        int         `json:"open" doc:"Requests, streams and WebSockets under way."`
}

// SiteMatch counts the requests to the endpoints of one kind.
type SiteMatch struct {
	Kind  string   `json:"kind" enum:"sign_in,mfa,reset_request,password_reset,sign_up,sign_out,admin_area,basic,open"`
	Paths []string `json:"paths" doc:"That the profile names for it."`
	Count int64    `json:"count"`
}

// ProxyView is an application or a proxy that asks forward auth.
type ProxyView struct {
	Kind        string     `json:"kind" enum:"key,proxy"`
	Name        string     `json:"name" doc:"Of the API key; of a trusted proxy its address."`
	Key         string     `json:"key,omitempty" doc:"Id of the API key."`
	State       string     `json:"state" enum:"ok,waiting,no_outcome" doc:"As for sites: no_outcome says that nobody reported how sign-ins end, so that nothing is counted."`
	Remedy      string     `json:"remedy,omitempty"`
	Checks      int64      `json:"checks"`
	Refused     int64      `json:"refused"`
	Unclear     int64      `json:"unclear" doc:"Questions refused because the proxy did not say who the client is or which request it asks about."`
	LastCheck   time.Time  `json:"last_check"`
	LastOutcome *time.Time `json:"last_outcome,omitempty" doc:"When the same key reported how a sign-in ended; of a trusted proxy, and of a key without scope events, when any application did."`
	Reporter    string     `json:"reporter,omitempty" doc:"Name of the API key that reported it."`
}

// outcomeLog remembers when each application last reported how a sign-in ended.
type outcomeLog struct {
	mu    sync.Mutex
	begun time.Time
	last  map[string]time.Time // by id of the application; it has as many as there are keys and sites
	read  bool                 // what was reported before the start has been read
}

// record notes the outcomes of a committed record.
func (o *outcomeLog) record(rec *guard.Record) {
	for i := range rec.Events {
		e := &rec.Events[i]
		if e.App == "" || e.Reason == warder.Unsettled || strings.HasPrefix(e.Name, "CHALLENGE") ||
			!strings.HasSuffix(e.Name, "_SUCCESS") && !strings.HasSuffix(e.Name, "_FAILURE") {
			continue
		}
		o.mu.Lock()
		if e.Arrival.After(o.last[e.App]) {
			o.last[e.App] = e.Arrival
		}
		o.mu.Unlock()
	}
}

// outcomeScan is how many of the newest events are looked at for outcomes of
// before the start.
const outcomeScan = 20_000

// lastOutcomes is when each application last reported an outcome.
func (s *Server) lastOutcomes(ctx context.Context) (map[string]time.Time, error) {
	o := &s.outcomes
	o.mu.Lock()
	read := o.read
	o.mu.Unlock()
	var before map[string]time.Time
	if !read {
		var err error
		if before, err = s.opts.Store.LastOutcomes(ctx, o.begun.Add(-30*24*time.Hour), outcomeScan); err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for app, at := range before {
		if at.After(o.last[app]) {
			o.last[app] = at
		}
	}
	o.read = true
	return maps.Clone(o.last), nil
}

func (s *Server) manageSites() {
	s.outcomes.begun, s.outcomes.last = time.Now().UTC(), map[string]time.Time{}
	register(s, "GET /v1/sites", "list-sites", "What stands before applications: the sites of the gate, and who asks forward auth", 0,
		func(ctx context.Context, _ *struct{}) (SitesView, error) { return s.sites(ctx, time.Now().UTC()) })
}

func (s *Server) sites(ctx context.Context, now time.Time) (SitesView, error) {
	v := SitesView{Items: []SiteView{}, Proxies: []ProxyView{}, Since: s.outcomes.begun}
	last, err := s.lastOutcomes(ctx)
	if err != nil {
		return v, err
	}
	d, _ := s.opts.Guard.Policy()
	watch := silenceOf{now: now, since: v.Since, acts: d != nil && d.Enabled}
	if s.guarded != nil {
		for _, g := range s.guarded() {
			v.Items = append(v.Items, newSiteView(&g, last["gate:"+g.Stats.Name], watch))
		}
	}
	slices.SortStableFunc(v.Items, func(a, b SiteView) int { return strings.Compare(a.Name, b.Name) })
	if s.forward == nil {
		return v, nil
	}
	keys, err := s.opts.Store.Keys(ctx)
	if err != nil {
		return v, err
	}
	names, reports := map[string]string{}, map[string]bool{}
	newest := ""
	for i := range keys {
		k := &keys[i]
		names[k.ID] = k.Name
		reports[k.ID] = slices.Contains(k.Scopes, string(ScopeEvents)) || slices.Contains(k.Scopes, string(ScopeAdmin))
		if !last[k.ID].IsZero() && (newest == "" || last[k.ID].After(last[newest])) {
			newest = k.ID
		}
	}
	for _, a := range s.forward.Askers() {
		reporter := newest
		if reports[a.App] {
			reporter = a.App
		}
		v.Proxies = append(v.Proxies, newProxyView(&a, last[reporter], names[reporter], watch))
	}
	slices.SortStableFunc(v.Proxies, func(a, b ProxyView) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return v, nil
}

// silenceOf judges whether outcomes are missing.
type silenceOf struct {
	now, since time.Time
	acts       bool // the policy is switched on: something is to be counted
}

func (s silenceOf) state(last time.Time) string {
	switch {
	case !s.acts || s.now.Sub(last) < silence:
		return siteOK
	case last.IsZero() && s.now.Sub(s.since) < silence:
		return siteWaiting
	}
	return siteNoOutcome
}

// blind is after how many sign-ins without any outcome a profile is doubted
// before a day has passed.
const blind = 5

func newSiteView(g *GuardedSite, last time.Time, watch silenceOf) SiteView {
	st := &g.Stats
	v := SiteView{
		Name: st.Name, Listen: g.Listen, TLS: g.TLS, Upstream: withoutCredentials(g.Upstream), Profile: g.Profile.Name,
		Verified: !g.Profile.Unverified, OnFailure: "closed",
		Requests: st.Requests, Refused: st.Refused, Attempts: st.Attempts, Success: st.Success, Failure: st.Failure, Errors: st.Errors,
		Unanswered: maybe(st.Unanswered), Matches: []SiteMatch{}, Open: st.Open,
	}
	if g.FailOpen {
		v.OnFailure = "open"
	}
	if st.Outcome.After(last) {
		last = st.Outcome
	}
	v.LastOutcome = maybe(last)
	for i := range g.Profile.Endpoints {
		e := &g.Profile.Endpoints[i]
		at := slices.IndexFunc(v.Matches, func(m SiteMatch) bool { return m.Kind == string(e.Kind) })
		if at < 0 {
			at = len(v.Matches)
			v.Matches = append(v.Matches, SiteMatch{Kind: string(e.Kind), Paths: []string{}, Count: st.Matches[e.Kind]})
		}
		for _, p := range e.Paths {
			if !slices.Contains(v.Matches[at].Paths, p) {
				v.Matches[at].Paths = append(v.Matches[at].Paths, p)
			}
		}
	}
	v.State = watch.state(last)
	unread := last.IsZero() && st.Errors >= blind
	if unread && watch.acts {
		v.State = siteNoOutcome
	}
	if v.Unanswered != nil {
		v.State = siteUpstreamDown
	}
	v.Remedy = siteRemedy(&v, unread)
	return v
}

func siteRemedy(v *SiteView, unread bool) string {
	switch v.State {
	case siteUpstreamDown:
		return "The application at " + v.Upstream + " did not answer the last request: see that it runs, and that this machine reaches it."
	case siteWaiting:
		return "Sign in once through " + v.Listen + ", with a wrong password and with the right one: both must be counted here."
	case siteNoOutcome:
		if unread {
			return "Sign-ins reach the application, and its answers look neither like a success nor like a failure: compare them with profile " + v.Profile + " (warder profile test)."
		}
		if v.Attempts > 0 {
			return "Sign-ins were seen, and none succeeded or failed for 24 hours: sign in once, and see that profile " + v.Profile + " reads the outcome."
		}
		return "No sign-in was seen for 24 hours: see that people reach the application through " + v.Listen + " only, and that profile " + v.Profile + " names the paths where it signs people in."
	}
	return ""
}

func newProxyView(a *gate.AskerStats, last time.Time, reporter string, watch silenceOf) ProxyView {
	v := ProxyView{
		Kind: "key", Name: a.Name, Key: a.App, Checks: a.Checks, Refused: a.Refused, Unclear: a.Unclear, LastCheck: a.Last,
		LastOutcome: maybe(last), Reporter: reporter, State: watch.state(last),
	}
	if a.App == "" {
		v.Kind, v.Name = "proxy", addressText(a.Peer)
	}
	if v.State != siteOK {
		v.Remedy = "Forward auth refuses who is blocked and sees no outcome: let the application report its sign-ins by POST /v1/attempts or /v1/events, or put the gate in front of it."
	}
	return v
}

// addressText is an address, or what stands for those beyond the bound.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return "others"
	}
	return a.String()
}

// withoutCredentials is a URL without the user and password that may stand in
// it, and without its query.
func withoutCredentials(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
