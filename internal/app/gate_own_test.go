package app

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/guard"
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

// sendsOn is an application with the usual habits: whoever is signed in is sent
// on his way from its forms, without a look at the password, and a sign-out
// without a session that it knows is as good as any other.
func sendsOn(g *guarded) {
	var mu sync.Mutex
	open := map[string]bool{}
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		c, err := r.Cookie("session")
		signedIn := err == nil && open[c.Value]
		enter := func() {
			id := fmt.Sprint("s", len(open))
			open[id] = true
			http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/"})
			http.Redirect(w, r, "/home", http.StatusFound)
		}
		switch {
		case r.URL.Path == "/logout":
			if signedIn {
				delete(open, c.Value)
			}
			http.Redirect(w, r, "/bye", http.StatusFound)
		case r.URL.Path == "/home" && signedIn:
			fmt.Fprint(w, "hello")
		case signedIn:
			http.Redirect(w, r, "/home", http.StatusFound)
		case r.URL.Path == "/register", r.URL.Path == "/login" && r.FormValue("password") == "right",
			r.URL.Path == "/reset-password" && strings.HasPrefix(r.FormValue("token"), "right"):
			enter()
		case r.URL.Path == "/login":
			g.checked.Add(1)
			fmt.Fprint(w, "Wrong user name or password.")
		default:
			http.Error(w, "no", http.StatusForbidden)
		}
	})
}

// TestGateOwnSessionUnnamed: a session of one's own takes out no failures at
// another account, however it came about and whatever became of it as far as
// the gate knows.
func TestGateOwnSessionUnnamed(t *testing.T) {
	const from = "203.0.113.122"
	tricks := map[string]func(t *testing.T, g *guarded, c *http.Client) (session string, form url.Values, path string){
		"a sign-in whose account we cannot read": func(t *testing.T, g *guarded, c *http.Client) (string, url.Values, string) {
			return do(t, c, g.request("POST", "/login", from, url.Values{"who": {"mallory"}, "password": {"right"}})).cookie("session"), wrong("alice", 3), "/login"
		},
		"a sign-up in another's name": func(t *testing.T, g *guarded, c *http.Client) (string, url.Values, string) {
			return do(t, c, g.request("POST", "/register", from, url.Values{"who": {"mallory"}, "username": {"alice"}})).cookie("session"), wrong("alice", 3), "/login"
		},
		"a reset that opens a session": func(t *testing.T, g *guarded, c *http.Client) (string, url.Values, string) {
			return do(t, c, g.request("POST", "/reset-password", from, url.Values{"token": {"right"}})).cookie("session"), wrong("alice", 3), "/login"
		},
		"a reset in another's name that opens one": func(t *testing.T, g *guarded, c *http.Client) (string, url.Values, string) {
			return do(t, c, g.request("POST", "/reset-password", from, url.Values{"token": {"right"}, "username": {"alice"}})).cookie("session"), wrong("alice", 3), "/login"
		},
		"a reset that is sent on": func(t *testing.T, g *guarded, c *http.Client) (string, url.Values, string) {
			own := do(t, c, g.request("POST", "/login", from, right("mallory"))).cookie("session")
			do(t, c, g.request("POST", "/reset-password", from, url.Values{"token": {"x"}}, "Cookie", "session="+own))
			return own, wrong("alice", 3), "/login"
		},
		"a reset of another that is sent on": func(t *testing.T, g *guarded, c *http.Client) (string, url.Values, string) {
			return do(t, c, g.request("POST", "/login", from, right("mallory"))).cookie("session"), url.Values{"token": {"x"}, "username": {"alice"}}, "/reset-password"
		},
		"a sign-out that the application does not see": func(t *testing.T, g *guarded, c *http.Client) (string, url.Values, string) {
			own := do(t, c, g.request("POST", "/login", from, right("mallory"))).cookie("session")
			do(t, c, g.request("POST", "/logout", from, nil, "Cookie", "SESSION="+own))
			return own, wrong("alice", 3), "/login"
		},
	}
	for name, trick := range tricks {
		t.Run(name, func(t *testing.T) {
			g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
			sendsOn(g)
			c := g.client()
			own, form, path := trick(t, g, c)
			if own == "" {
				t.Fatal("no session")
			}
			for i := range 20 {
				if i%4 == 3 {
					do(t, c, g.request("POST", path, from, form, "Cookie", "session="+own))
					continue
				}
				do(t, c, g.request("POST", "/login", from, wrong("alice", i)))
			}
			if got := g.checked.Load(); got > 5 {
				t.Errorf("%d guesses", got)
			}
			if got := g.blocks(t); len(got) != 1 {
				t.Errorf("blocked: %v", got)
			}
		})
	}
}

// TestGateOwnSessionTwice: a session of one's own takes out no failures at
// another account when it comes in several cookies, either.
func TestGateOwnSessionTwice(t *testing.T) {
	for n, cookie := range []string{"SESSION=%[1]s; session=%[1]s", "session=%[1]s; SESSION=%[1]s", "sid=%[1]s; session=%[1]s"} {
		g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
		sendsOn(g)
		c := g.client()
		from := fmt.Sprintf("203.0.113.%d", 130+n)
		own := do(t, c, g.request("POST", "/login", from, right("mallory"))).cookie("session")
		for i := range 20 {
			if i%4 == 3 {
				do(t, c, g.request("POST", "/login", from, wrong("alice", i), "Cookie", fmt.Sprintf(cookie, own)))
				continue
			}
			do(t, c, g.request("POST", "/login", from, wrong("alice", i)))
		}
		if got := g.checked.Load(); got != 5 {
			t.Errorf("%s: %d guesses", cookie, got)
		}
	}
}

// TestGateSignOutUnseen: a sign-out under a name of the cookie that the
// application does not know makes no session outlive its end.
func TestGateSignOutUnseen(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
	sendsOn(g)
	c := g.client()
	const from = "203.0.113.123"
	own := do(t, c, g.request("POST", "/login", from, right("mallory"))).cookie("session")
	do(t, c, g.request("POST", "/logout", from, nil, "Cookie", "SESSION="+own))
	if _, err := g.app.guard.RevokeSessions(t.Context(), guard.Actor{Name: "test"}, guard.RevokeRequest{Account: "mallory", Realm: "user", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "session="+own)); r.body == "hello" {
		t.Errorf("the session goes on: %d %s", r.status, r.body)
	}
	// Whoever signs out and in again, with the form that the application shows
	// him in between, is signed in.
	own = do(t, c, g.request("POST", "/login", from, right("bob"))).cookie("session")
	do(t, c, g.request("POST", "/logout", from, nil, "Cookie", "session="+own))
	own = do(t, c, g.request("POST", "/login", from, right("bob"), "Cookie", "session="+own)).cookie("session")
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "session="+own)); r.body != "hello" {
		t.Errorf("after a sign-out: %d %s", r.status, r.body)
	}
}

// TestGateSessionBesideDecoy: where an application goes on with the session that
// a visitor had, a decoy beside it does not keep it from being known.
func TestGateSessionBesideDecoy(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
	var mu sync.Mutex
	open := map[string]bool{}
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		c, err := r.Cookie("session")
		switch {
		case err != nil:
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "first", Path: "/"})
		case r.FormValue("password") == "right":
			open[c.Value] = true
			http.Redirect(w, r, "/home", http.StatusFound)
		case open[c.Value]:
			fmt.Fprint(w, "hello")
		}
	})
	c := g.client()
	const from = "203.0.113.124"
	if r := do(t, c, g.request("POST", "/login", from, right("mallory"), "Cookie", "SESSION=decoy; session=own")); r.status != http.StatusFound {
		t.Fatalf("sign-in: %d", r.status)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "session=own")); r.body != "hello" {
		t.Fatalf("signed in: %d %s", r.status, r.body)
	}
	if _, err := g.app.guard.RevokeSessions(t.Context(), guard.Actor{Name: "test"}, guard.RevokeRequest{Account: "mallory", Realm: "user", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "session=own")); r.body == "hello" {
		t.Errorf("the session goes on: %d %s", r.status, r.body)
	}
}

// TestGateSwitchedSignIn: an application that turns a sign-in into a connection
// of another kind, which nobody asked for, has not let anybody in.
func TestGateSwitchedSignIn(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-json" })
	g.mux = http.NewServeMux()
	done := make(chan struct{})
	defer close(done)
	g.mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		<-done
	})
	r := g.request("POST", "/login", "203.0.113.125", nil, "Content-Type", "application/json", "Connection", "Upgrade", "Upgrade", "websocket")
	body := `{"username":"alice","password":"x"}`
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	c := g.client()
	c.Timeout = 5e9
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadGateway {
		t.Errorf("%d", res.StatusCode)
	}
	if n := g.events(t, "USER_LOGIN_FAILURE"); n != 1 {
		t.Errorf("%d failures", n)
	}
}

// TestGateLinkOfAMail: who opens the link of a mail that signs in has not been
// lured, though it comes from another site; a picture has.
func TestGateLinkOfAMail(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	putFile(t, profile, `
name: by-link
about: A sign-in by the link of a mail.
sessions: [session]
endpoints:
  - {kind: sign_in, paths: [/link], password: [token], success: [{status: [303], session: true}]}
`)
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = profile })
	g.mux.HandleFunc("/link", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") == "right" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		}
	})
	c := g.client()
	for dest, want := range map[string]int{"document": http.StatusSeeOther, "image": http.StatusForbidden, "iframe": http.StatusForbidden} {
		if r := do(t, c, g.request("GET", "/link?token=right", "203.0.113.126", nil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", dest)); r.status != want {
			t.Errorf("%s: %d", dest, r.status)
		}
	}
}

// TestGateMFAOfUnnamed: a second factor of somebody whose account we could not
// read is not that of the account which a field names.
func TestGateMFAOfUnnamed(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	putFile(t, profile, strings.Replace(withMFA, "password: [code]", "account: [username], password: [code]", 1))
	g := challenging(t, "mfa", func(_ *config.Config, s *config.Site) { s.Profile = profile })
	g.mux.HandleFunc("/signin", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") == "right" {
			http.SetCookie(w, &http.Cookie{Name: "sms_session", Value: "mallory", Path: "/"})
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		}
	})
	g.mux.HandleFunc("/mfa", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("sms_session"); err == nil && c.Value == "mallory" && r.FormValue("code") == "mallory's code" {
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		}
	})
	const from = "203.0.113.127"
	c := g.client()
	do(t, c, g.request("POST", "/signin", from, url.Values{"who": {"mallory"}, "password": {"right"}}))
	g.annoy(t, from)
	half := do(t, c, g.request("POST", "/login", from, right("alice"))).cookie("sms_session")
	if half == "" {
		t.Fatal("no session")
	}
	do(t, c, g.request("POST", "/mfa", from, url.Values{"code": {"mallory's code"}, "username": {"alice"}}, "Cookie", "sms_session=mallory"))
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "sms_session="+half)); strings.Contains(r.body, "hello") {
		t.Errorf("whole without a second factor: %s", r.body)
	}
}
