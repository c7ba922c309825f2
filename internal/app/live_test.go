package app

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/store"
)

// settingsAnswer is what the tests look at in the settings.
type settingsAnswer struct {
	SMTP struct {
		Host        string `json:"host"`
		PasswordSet bool   `json:"password_set"`
	} `json:"smtp"`
	TrustedProxies []string            `json:"trusted_proxies"`
	Retention      api.RetentionValues `json:"retention"`
	ReadOnly       []string            `json:"read_only"`
	RestartNeeded  []string            `json:"restart_needed"`
}

// TestSettingsActWithoutARestart: a mail server, proxies and retention are
// changed while the instance runs, and hold after a restart.
func TestSettingsActWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, nil)
	var s settingsAnswer
	if n := w.local("GET", "/v1/settings", nil, &s); n != 200 || s.SMTP.Host != "" || len(s.ReadOnly) != 0 {
		t.Fatalf("%d %+v", n, s)
	}
	const password = "correct horse battery staple"
	patch := map[string]any{
		"smtp":            map[string]any{"host": "127.0.0.1", "port": 1, "tls": "starttls", "user": "u", "password": password, "from": "warder@example.org"},
		"trusted_proxies": []string{"10.9.8.7", "192.0.2.0/24"},
		"retention":       map[string]any{"events_days": 7},
		"public_url":      "https://warder.example.org/",
	}
	if n := w.local("PUT", "/v1/settings", patch, &s); n != 200 || !s.SMTP.PasswordSet || !slices.Equal(s.RestartNeeded, []string{"public_url"}) {
		t.Fatalf("%d %+v", n, s)
	}
	var sent struct{ Items []api.AlertTest }
	if n := w.local("POST", "/v1/alerts/test", map[string]any{"to": []string{"a@example.org"}}, &sent); n != 200 || sent.Items[0].OK ||
		!strings.Contains(sent.Items[0].Error, "127.0.0.1:1") {
		t.Errorf("the new mail server is not asked: %d %+v", n, sent)
	}
	if !w.app.guard.Protected(proxiesOf(&api.Values{TrustedProxies: []string{"10.9.8.7"}})[0]) {
		t.Error("a new proxy is not self-protected")
	}
	if r := w.app.live.retention(); r.EventsDays != 7 {
		t.Errorf("retention %+v", r)
	}
	for _, wrong := range []map[string]any{
		{"trusted_proxies": []string{"0.0.0.0/0"}},
		{"smtp": map[string]any{"tls": "none"}}, // would send the password in clear
		{"session": map[string]any{"idle": 1}},
		{"retention": map[string]any{"events_days": 0}},
		{"nonsense": 1},
	} {
		if n := w.local("PUT", "/v1/settings", wrong, nil); n != 422 {
			t.Errorf("%v was answered %d", wrong, n)
		}
	}
	if n := w.local("PUT", "/v1/settings", map[string]any{"trusted_proxies": []string{}}, nil); n != 200 {
		t.Fatal(n)
	}
	if w.app.guard.Protected(proxiesOf(&api.Values{TrustedProxies: []string{"10.9.8.7"}})[0]) {
		t.Error("a proxy that is no more is still self-protected")
	}
	w.stop()
	for _, name := range []string{DatabaseFile, DatabaseFile + "-wal"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && bytes.Contains(text, []byte(password)) {
			t.Errorf("the password stands in %s", name)
		}
	}
	w = start(t, dir, nil)
	if n := w.local("GET", "/v1/settings", nil, &s); n != 200 || s.SMTP.Host != "127.0.0.1" || !s.SMTP.PasswordSet || s.Retention.EventsDays != 7 {
		t.Errorf("after a restart: %d %+v", n, s)
	}
	w.stop()
	// What the configuration sets is stronger, and read-only.
	w = start(t, dir, func(c *config.Config) {
		c.Retention.EventsDays, c.Set = 30, []string{"retention.events_days"}
	})
	if n := w.local("GET", "/v1/settings", nil, &s); n != 200 || s.Retention.EventsDays != 30 || !slices.Contains(s.ReadOnly, "retention.events_days") {
		t.Errorf("with a configuration: %d %+v", n, s)
	}
	if n := w.local("PUT", "/v1/settings", map[string]any{"retention": map[string]any{"events_days": 8}}, nil); n != 422 {
		t.Errorf("a read-only value was changed: %d", n)
	}
}

// TestTimesOfRunningAreKept: what the report says about gaps.
func TestTimesOfRunningAreKept(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, nil)
	began := time.Now().Add(-time.Minute)
	for { // the first note is made when the instance runs
		list, err := w.app.db.ConditionsBetween(t.Context(), began, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(c store.Condition) bool { return c.Reason == store.Running && c.Until.IsZero() }) {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("never noted")
		case <-time.After(10 * time.Millisecond):
		}
	}
	w.stop()
	w = start(t, dir, nil)
	w.stop()
	w = start(t, dir, nil)
	list, err := w.app.db.ConditionsBetween(t.Context(), began, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ended := 0
	for _, c := range list {
		if c.Reason == store.Running && !c.Until.IsZero() {
			ended++
		}
	}
	if ended == 0 {
		t.Errorf("no end is noted: %+v", list)
	}
}
