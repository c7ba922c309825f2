package app

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/warderhq/warder/internal/config"
)

// TestGateOwnSession: many applications send whoever is signed in on his way
// without looking at the password. With an account of one's own that takes out
// no failures at another one, also where every answer writes the session anew.
func TestGateOwnSession(t *testing.T) {
	for _, anew := range []bool{false, true} {
		g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
		var mu sync.Mutex
		n := 0
		open := func(w http.ResponseWriter) {
			mu.Lock()
			defer mu.Unlock()
			n++
			http.SetCookie(w, &http.Cookie{Name: "session", Value: fmt.Sprint("open", n), Path: "/"})
		}
		g.mux = http.NewServeMux()
		g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie("session")
			signedIn := err == nil && strings.HasPrefix(c.Value, "open")
			if signedIn && anew {
				open(w)
			}
			switch {
			case r.URL.Path != "/login" || r.Method != http.MethodPost:
				fmt.Fprint(w, "a page")
			case signedIn:
				http.Redirect(w, r, "/home", http.StatusFound)
			case r.FormValue("password") == "right":
				open(w)
				http.Redirect(w, r, "/home", http.StatusFound)
			default:
				g.checked.Add(1)
				fmt.Fprint(w, "Wrong user name or password.")
			}
		})
		c := g.client()
		own := do(t, c, g.request("POST", "/login", "203.0.113.60", right("mallory"))).cookie("session")
		if own == "" {
			t.Fatal("no session")
		}
		if next := do(t, c, g.request("GET", "/", "203.0.113.60", nil, "Cookie", "session="+own)).cookie("session"); anew {
			own = next
		}
		for i := range 20 {
			if i%4 == 3 {
				do(t, c, g.request("POST", "/login", "203.0.113.60", wrong("alice", i), "Cookie", "session="+own))
				continue
			}
			do(t, c, g.request("POST", "/login", "203.0.113.60", wrong("alice", i)))
		}
		if got := g.checked.Load(); got != 5 {
			t.Errorf("anew %t: %d guesses", anew, got)
		}
		// Whoever is signed in may sign in again, and with another account.
		own = do(t, c, g.request("POST", "/login", "203.0.113.61", right("bob"))).cookie("session")
		for _, account := range []string{"bob", "carol"} {
			if r := do(t, c, g.request("POST", "/login", "203.0.113.61", right(account), "Cookie", "session="+own)); r.status != http.StatusFound {
				t.Errorf("%s: %d %s", account, r.status, r.body)
			}
		}
	}
}

// TestGateBasicElsewhere: where an application asks for no credentials, any are
// let in. That takes out no failures, and is worth nothing where it does ask.
func TestGateBasicElsewhere(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "basic-auth" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "for all") })
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		user, pass, given := r.BasicAuth()
		if user == "alice" && pass == "right" {
			fmt.Fprint(w, "hello")
			return
		}
		if given || r.Header.Get("Authorization") != "" {
			g.checked.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, "no", http.StatusUnauthorized)
	})
	c := g.client()
	get := func(path, from, pass string) int {
		r := g.request("GET", path, from, nil)
		r.SetBasicAuth("alice", pass)
		return do(t, c, r).status
	}
	for i := range 20 {
		get("/closed", "203.0.113.70", fmt.Sprint("guess", i))
		if i%4 == 3 {
			get("/open", "203.0.113.70", "whatever")
		}
	}
	if got := g.checked.Swap(0); got != 5 {
		t.Errorf("%d guesses beside a page for all", got)
	}
	for i := range 30 {
		get("/open", "203.0.113.71", fmt.Sprint("guess", i))
	}
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() { get("/closed", "203.0.113.71", fmt.Sprint("guess", i)) })
	}
	all.Wait()
	if got := g.checked.Swap(0); got != 5 {
		t.Errorf("%d guesses that were let in elsewhere before", got)
	}
	for i := range 20 {
		do(t, c, g.request("GET", "/closed", "203.0.113.72", nil, "Authorization", []string{"Basic\t", "Basic\xa0", "\xa0basic\x85"}[i%3]+"YWxpY2U6"+fmt.Sprintf("%04d", i)))
	}
	if got := g.checked.Load(); got != 5 {
		t.Errorf("%d guesses behind other spaces", got)
	}
	// Right ones are as good as ever, whether they were asked for or not.
	for i := range 40 {
		if got := get(fmt.Sprint("/closed", i%4), "203.0.113.73", "right"); got != http.StatusOK {
			t.Errorf("right: %d", got)
		}
	}
}
