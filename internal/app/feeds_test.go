package app

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/config"
)

// A policy switches a feed on; the listed address is refused before it ever
// signed in, also by a command without a server; switching it off ends that.
func TestProviderFollowsThePolicy(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(t.TempDir(), "ipsum.txt")
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "45.%d.%d.9\t%d\n", 1+i/250, i%250, 1+i%8)
	}
	text.WriteString("45.66.77.88\t8\n")
	if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	doc := func(enabled bool) map[string]any {
		return map[string]any{"providers": []any{map[string]any{
			"name": "ipsum", "enabled": enabled, "url": list, "format": "ipsum", "refresh": 86400,
			"levels": []any{map[string]any{"at_least": 5, "action": "block"}},
		}}}
	}
	until := func(w *server, action string) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(10 * time.Second)
		for w.check("45.66.77.88").Action != action {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("not %s within 10 s", action)
			}
		}
	}
	w := start(t, dir, nil)
	if code := w.local("PUT", "/v1/policy", doc(true), nil); code != 200 {
		t.Fatalf("PUT: %d", code)
	}
	until(w, "block")
	if d := w.check("45.66.77.88"); d.Reason != "provider" || d.Reference == "" {
		t.Errorf("%+v, want a refusal by the provider with a reference", d)
	}
	var providers struct {
		Items []struct {
			Name   string
			Status *struct{ Entries int }
		}
	}
	if w.local("GET", "/v1/providers", nil, &providers); len(providers.Items) != 1 || providers.Items[0].Status == nil || providers.Items[0].Status.Entries != 301 {
		t.Errorf("providers: %+v", providers)
	}
	if code := w.local("POST", "/v1/providers/ipsum/approve", nil, nil); code != 409 {
		t.Errorf("approve of nothing: %d", code)
	}
	if code := w.local("POST", "/v1/providers/other/refresh", nil, nil); code != 404 {
		t.Errorf("refresh of an unknown provider: %d", code)
	}
	w.stop()

	cfg := config.Default()
	cfg.Data = dir
	l, err := Open(t.Context(), Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	offline := &server{t: t, app: l.app}
	var d decision
	if offline.local("POST", "/v1/check", map[string]any{"ip": "45.66.77.88"}, &d); d.Reason != "provider" {
		t.Errorf("without a server: %+v", d)
	}
	if code := offline.local("PUT", "/v1/policy", doc(false), nil); code != 200 {
		t.Errorf("PUT: %d", code)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	key := w.key
	w = start(t, dir, nil)
	w.key = key
	until(w, "allow")
}

// What an operator fetches by hand while the policy turns to another source does
// not come into force in its place.
func TestProviderOfBeforeIsOver(t *testing.T) {
	const listed, free = "45.66.77.88\t8\n", "45.66.77.89\t8\n"
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	n := 0
	src := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			_, _ = io.WriteString(w, free)
			return
		}
		asked <- struct{}{}
		select {
		case <-answer:
			_, _ = io.WriteString(w, listed)
		case <-r.Context().Done():
		}
	}))
	defer src.Close()
	other := filepath.Join(t.TempDir(), "other.txt")
	if err := os.WriteFile(other, []byte(free), 0o600); err != nil {
		t.Fatal(err)
	}
	doc := func(url string) map[string]any {
		return map[string]any{"providers": []any{map[string]any{
			"name": "ipsum", "url": url, "format": "ipsum", "refresh": 86400,
			"levels": []any{map[string]any{"at_least": 5, "action": "block"}},
		}}}
	}
	w := start(t, t.TempDir(), func(c *config.Config) {
		c.Outbound.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	put := func(url string) {
		t.Helper()
		if code := w.local("PUT", "/v1/policy", doc(url), nil); code != 200 {
			t.Fatalf("PUT: %d", code)
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range 1000 {
			if s := w.app.feeds.Statuses(); len(s) == 1 && s[0].Source == url && s[0].Entries == 1 {
				return
			}
			<-tick.C
		}
		t.Fatalf("%s is not in force: %+v", url, w.app.feeds.Statuses())
	}
	put(src.URL)
	done := make(chan error, 1)
	go func() { done <- w.app.feeds.Refresh(t.Context(), "ipsum") }()
	<-asked
	put(other)
	close(answer)
	if err := <-done; err == nil {
		t.Error("a list that is over was refreshed")
	}
	if d := w.check("45.66.77.88"); d.Action != "allow" {
		t.Errorf("%+v, by a list that the policy does not name any more", d)
	}
}
