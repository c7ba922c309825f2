package app

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/warderhq/warder/internal/config"
)

// TestGateBasicUnread: credentials that we cannot decode, and the application
// can, do not vouch for each other.
func TestGateBasicUnread(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "basic-auth" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		line, given := strings.CutPrefix(r.Header.Get("Authorization"), "Basic ")
		plain, _ := base64.StdEncoding.DecodeString(strings.ReplaceAll(line, "!", "")) // as PHP does
		if strings.HasSuffix(string(plain), ":right") {
			fmt.Fprint(w, "hello")
			return
		}
		if given {
			g.checked.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, "no", http.StatusUnauthorized)
	})
	c := g.client()
	get := func(credentials string) int {
		return do(t, c, g.request("GET", "/", "203.0.113.120", nil, "Authorization", "Basic !"+base64.StdEncoding.EncodeToString([]byte(credentials)))).status
	}
	do(t, c, g.request("GET", "/", "203.0.113.121", nil)) // asks for credentials
	if got := get("mallory:right"); got != http.StatusOK {
		t.Fatalf("his own: %d", got)
	}
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() { get(fmt.Sprint("alice:guess", i)) })
	}
	all.Wait()
	if got := g.checked.Load(); got != 5 {
		t.Errorf("%d guesses", got)
	}
}
