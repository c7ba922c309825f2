package app

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/config"
)

func (w *server) sites() api.SitesView {
	w.t.Helper()
	var v api.SitesView
	if status := w.do(http.DefaultClient, w.app.URL()+"/v1/sites", "GET", nil, &v); status != http.StatusOK {
		w.t.Fatalf("GET /v1/sites: %d", status)
	}
	return v
}

// TestSitesPage: what GET /v1/sites tells of a site is what happened there, its
// outcomes outlast a restart, and the password of the upstream does not show.
func TestSitesPage(t *testing.T) {
	g := behindGate(t, func(c *config.Config, s *config.Site) {
		s.Upstream = strings.Replace(s.Upstream, "http://", "http://gate:hunter2@", 1)
	})
	before := g.sites()
	if len(before.Items) != 1 || before.Items[0].State != "waiting" || before.Items[0].Remedy == "" || before.Items[0].LastOutcome != nil {
		t.Fatalf("before the first sign-in: %+v", before)
	}
	c := g.client()
	do(t, c, g.request("GET", "/login", "203.0.113.1", nil))
	do(t, c, g.request("GET", "/", "203.0.113.1", nil))
	do(t, c, g.request("POST", "/login", "203.0.113.1", right("ann")))
	do(t, c, g.request("GET", "/admin/home", "203.0.113.1", nil))
	for i := range 5 {
		do(t, c, g.request("POST", "/admin/login", "203.0.113.2", wrong("root", i)))
	}
	do(t, c, g.request("GET", "/", "203.0.113.2", nil))
	v := g.sites()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") {
		t.Errorf("the password of the upstream shows: %s", text)
	}
	s := v.Items[0]
	matches := map[string]int64{}
	for _, m := range s.Matches {
		matches[m.Kind] = m.Count
		if len(m.Paths) == 0 {
			t.Errorf("%s names no path", m.Kind)
		}
	}
	if s.Name != "www" || s.State != "ok" || s.Remedy != "" || s.Profile != "sms-platform" || s.OnFailure != "closed" || s.TLS || s.Listen != g.app.SiteAddr("www") {
		t.Errorf("%+v", s)
	}
	if s.Requests != 10 || s.Refused != 2 || s.Attempts != 6 || s.Success != 1 || s.Failure != 5 || s.Errors != 0 || s.LastOutcome == nil || s.Open != 0 {
		t.Errorf("%+v", s)
	}
	if matches["sign_in"] != 7 || matches["admin_area"] != 1 || matches["reset_request"] != 0 {
		t.Errorf("matches: %v", matches)
	}

	g.platform.Server.Close()
	do(t, c, g.request("GET", "/", "203.0.113.1", nil))
	if s := g.sites().Items[0]; s.State != "upstream_down" || s.Unanswered == nil || !strings.Contains(s.Remedy, s.Upstream) {
		t.Errorf("with the application down: %+v", s)
	}
}

// TestSitesOutcomeOutlastsRestart: a restart does not make a site look as if it
// had never seen an outcome.
func TestSitesOutcomeOutlastsRestart(t *testing.T) {
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "data")
	run := func() *guarded {
		g := &guarded{platform: p}
		g.server = start(t, dir, func(c *config.Config) {
			c.Sites = []config.Site{{Name: "www", Listen: "127.0.0.1:0", Upstream: p.URL, Profile: "sms-platform", Timeout: 10e9}}
		})
		g.base = "http://" + g.app.SiteAddr("www")
		return g
	}
	g := run()
	key := g.key
	do(t, g.client(), g.request("POST", "/login", "", right("ann")))
	first := g.sites().Items[0]
	g.stop()
	g = run()
	g.key = key
	again := g.sites().Items[0]
	if first.LastOutcome == nil || again.State != "ok" || again.LastOutcome == nil || again.Success != 0 {
		t.Errorf("before %+v, after %+v", first, again)
	}
}

// TestSitesForwardAuth: who asks forward auth is listed, with whether anybody
// reports outcomes; without a site there is none.
func TestSitesForwardAuth(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "data"), func(c *config.Config) { c.ProtectLoopback = true })
	if v := w.sites(); v.Items == nil || len(v.Items) > 0 || v.Proxies == nil || len(v.Proxies) > 0 || v.Since.IsZero() {
		t.Fatalf("without a site: %+v", v)
	}
	ask := func(header ...string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.app.URL()+"/authz/forward", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+w.key)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	for range 3 {
		ask("X-Forwarded-For", "203.0.113.9", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/")
	}
	ask("X-Forwarded-For", "203.0.113.9")
	ask("X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/")
	v := w.sites()
	if len(v.Proxies) != 1 {
		t.Fatalf("%+v", v)
	}
	if p := v.Proxies[0]; p.Kind != "key" || p.Name != "first" || p.Checks != 3 || p.Unclear != 2 || p.Refused != 0 || p.State != "waiting" || p.Remedy == "" {
		t.Errorf("%+v", p)
	}
	for range 5 {
		w.post("/v1/events", map[string]any{"name": "USER_LOGIN_FAILURE", "ip": "203.0.113.9", "account": "ann"}, nil)
	}
	ask("X-Forwarded-For", "203.0.113.9", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/")
	if p := w.sites().Proxies[0]; p.State != "ok" || p.LastOutcome == nil || p.Reporter != "first" || p.Refused != 1 || p.Remedy != "" {
		t.Errorf("once it reports: %+v", p)
	}
}
