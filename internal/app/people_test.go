package app

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/operator"
)

// TestSetUpLink: printed by every start until there is an owner, on localhost;
// the address of a signed-in owner is protected also after a restart.
func TestSetUpLink(t *testing.T) {
	dir := t.TempDir()
	w := start(t, dir, func(*config.Config) {})
	link := w.app.SetupURL()
	base, token, ok := strings.Cut(link, "/setup#token=")
	if !ok || !strings.HasPrefix(base, "http://localhost:") || len(token) != 43 {
		t.Fatalf("link %q", link)
	}
	var answer map[string]any
	if n := w.do(http.DefaultClient, w.app.URL()+"/v1/setup", "POST", map[string]any{
		"token": token, "email": "ann@example.org", "password": "correct horse battery", "preset": "observe",
		"settings": map[string]any{"contact": "it@example.org"},
	}, &answer); n != http.StatusCreated {
		t.Fatalf("set-up: %d %v", n, answer)
	}
	if answer["state"] != "signed_in" || answer["missed"] != nil {
		t.Errorf("%v", answer)
	}
	// An address that somebody was signed in from, as the store has it.
	ctx := t.Context()
	ann, err := w.app.people.Find(ctx, "ann@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.app.people.Start(ctx, &ann, true, "", operator.Visitor{IP: "203.0.113.9"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w = start(t, dir, func(*config.Config) {})
	if link := w.app.SetupURL(); link != "" {
		t.Errorf("there is an owner, and still a link: %s", link)
	}
	if !w.app.guard.Protected(netip.MustParsePrefix("203.0.113.9/32")) {
		t.Error("the address of a signed-in owner is not protected after a restart")
	}
}
