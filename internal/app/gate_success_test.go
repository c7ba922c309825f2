package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/guard"
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

// TestGateOtherName: a profile lists names for the account, of which the
// application reads one. With the others nobody has his own success count for
// the account that he guesses at, or his guesses for his own.
func TestGateOtherName(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
	read := "email"
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue(read) != "" && r.FormValue("password") == "right" {
			http.Redirect(w, r, "/home", http.StatusFound)
			return
		}
		g.checked.Add(1)
		fmt.Fprint(w, "Wrong user name or password.")
	})
	c := g.client()
	post := func(from string, fields ...string) int {
		form := url.Values{}
		for i := 0; i < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		return do(t, c, g.request("POST", "/login", from, form)).status
	}
	if got := post("203.0.113.80", "email", "bob", "password", "right", "login", "Sign in"); got != http.StatusFound {
		t.Fatalf("bob: %d", got)
	}
	tricks := map[string]struct{ guess, own []string }{
		"his success as another's":   {[]string{"email", "alice"}, []string{"email", "mallory", "username", "alice"}},
		"another's failures as his":  {[]string{"email", "alice", "username", "mallory"}, []string{"email", "mallory"}},
		"the same by a later name":   {[]string{"email", "alice", "login", "mallory"}, []string{"email", "mallory"}},
		"each under a name made up":  {[]string{"email", "alice", "username", "nobody"}, []string{"email", "mallory", "username", "nobody"}},
		"by several names that fit":  {[]string{"email", "alice", "username", "x", "user", "mallory"}, []string{"email", "mallory", "username", "x"}},
		"a name in another spelling": {[]string{"email", "alice", "UserName", "mallory"}, []string{"email", "mallory"}},
	}
	n := 80
	for name, trick := range tricks {
		g.checked.Store(0)
		n++
		from := fmt.Sprintf("203.0.113.%d", n)
		for i := range 20 {
			if i%4 == 3 {
				post(from, append(trick.own, "password", "right")...)
				continue
			}
			post(from, append(trick.guess, "password", fmt.Sprint("guess", i))...)
		}
		if got := g.checked.Load(); got != 5 {
			t.Errorf("%s: %d guesses", name, got)
		}
	}
	// A button among the names is no harm: successes take out their own failures.
	read = "username"
	for i := range 20 {
		password := "right"
		if i%4 != 3 {
			password = fmt.Sprint("wrong", i)
		}
		if got := post("203.0.113.99", "username", "carol", "login", "Sign in", "password", password); got == http.StatusForbidden {
			t.Fatalf("carol is refused at sign-in %d", i)
		}
	}
}

// TestGateOwnSessionAfterRestart: whose a session is outlasts a restart.
func TestGateOwnSessionAfterRestart(t *testing.T) {
	p := newPlatform(t)
	p.mux = http.NewServeMux()
	p.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("session")
		switch {
		case err == nil && c.Value == "mallory":
			http.Redirect(w, r, "/home", http.StatusFound)
		case r.FormValue("password") == "right":
			http.SetCookie(w, &http.Cookie{Name: "session", Value: r.FormValue("username"), Path: "/"})
			http.Redirect(w, r, "/home", http.StatusFound)
		default:
			p.checked.Add(1)
			fmt.Fprint(w, "Wrong user name or password.")
		}
	})
	dir := filepath.Join(t.TempDir(), "data")
	run := func() *guarded {
		g := &guarded{platform: p}
		g.server = start(t, dir, func(c *config.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			c.Sites = []config.Site{{Name: "www", Listen: "127.0.0.1:0", Upstream: p.URL, Profile: "generic-form", Timeout: 10e9}}
		})
		g.base = "http://" + g.app.SiteAddr("www")
		return g
	}
	const from = "203.0.113.62"
	g := run()
	if do(t, g.client(), g.request("POST", "/login", from, right("mallory"))).cookie("session") == "" {
		t.Fatal("no session")
	}
	g.stop()
	g = run()
	c := g.client()
	for i := range 20 {
		if i%4 == 3 {
			do(t, c, g.request("POST", "/login", from, wrong("alice", i), "Cookie", "session=mallory"))
			continue
		}
		do(t, c, g.request("POST", "/login", from, wrong("alice", i)))
	}
	if got := p.checked.Load(); got != 5 {
		t.Errorf("%d guesses", got)
	}
}

// TestGateUncountedEvents: what no rule counts, nobody can fill the log with.
func TestGateUncountedEvents(t *testing.T) {
	g := behindGate(t, nil)
	c := g.client()
	const from = "203.0.113.63"
	for i := range 20 {
		do(t, c, g.request("GET", "/logout", from, nil, "Cookie", fmt.Sprint("sms_session=made-up", i)))
		do(t, c, g.request("GET", "/admin/", from, nil, "Sec-Fetch-Site", "cross-site"))
	}
	if n := g.events(t, "LOGOUT"); n != 1 {
		t.Errorf("%d LOGOUT of sessions that nobody opened", n)
	}
	if n := g.events(t, "UNAUTHORIZED_ACCESS"); n != 1 {
		t.Errorf("%d UNAUTHORIZED_ACCESS by another site", n)
	}
	for i := range 3 {
		own := do(t, c, g.request("POST", "/login", from, right("alice"))).cookie("sms_session")
		do(t, c, g.request("GET", "/logout", from, nil, "Cookie", "sms_session="+own))
		if n := g.events(t, "LOGOUT"); n != i+2 {
			t.Errorf("%d LOGOUT, want %d", n, i+2)
		}
	}
}

// TestGateOtherSitesGet: nobody guesses by what a page embeds.
func TestGateOtherSitesGet(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
	c := g.client()
	get := func(from, path, dest string) int {
		return do(t, c, g.request("GET", path, from, nil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", dest)).status
	}
	for i := range 6 {
		for n, path := range []string{"/login?username=a&password=", "/mfa?code=", "/reset-password?token="} {
			for _, dest := range []string{"image", "iframe", "empty"} {
				if status := get(fmt.Sprintf("203.0.113.%d", 100+n), fmt.Sprint(path, i), dest); status != http.StatusForbidden {
					t.Errorf("%s as %s: %d", path, dest, status)
				}
			}
		}
	}
	for i := range 6 {
		picture := g.request("GET", fmt.Sprint("/login?username=a&password=", i), "203.0.113.106", nil, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "image")
		if r := do(t, c, picture); r.status != http.StatusForbidden {
			t.Errorf("a picture in a page of ours: %d", r.status)
		}
	}
	// What somebody opens is no trick: a link of a mail, a form to begin with.
	if status := get("203.0.113.104", "/login", "document"); status != http.StatusOK {
		t.Errorf("a link to the form: %d", status)
	}
	if status := get("203.0.113.104", "/reset-password?token=1", "document"); status != http.StatusNotFound {
		t.Errorf("a link of a mail: %d", status)
	}
	if blocks := g.blocks(t); len(blocks) > 0 || g.checked.Load() > 0 {
		t.Errorf("blocked %v, %d guesses", blocks, g.checked.Load())
	}
}

// TestGateFormsAreOpened: to open the form of a recovery asks for none.
func TestGateFormsAreOpened(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "wordpress" })
	g.mux.HandleFunc("/wp-login.php", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a form") })
	c := g.client()
	for range 12 {
		for _, action := range []string{"lostpassword", "register"} {
			if r := do(t, c, g.request("GET", "/wp-login.php?action="+action, "203.0.113.105", nil)); r.status != http.StatusOK {
				t.Fatalf("%s: %d", action, r.status)
			}
		}
	}
	if n := g.events(t, "USER_PASSWORD_RESET_REQUEST") + g.events(t, "SIGNUP_FAILURE"); n != 0 {
		t.Errorf("%d events", n)
	}
	for i := range 6 {
		r := do(t, c, g.request("POST", "/wp-login.php?action=lostpassword", "203.0.113.105", url.Values{"user_login": {fmt.Sprint(i)}}))
		if (r.status == http.StatusOK) != (i < 4) {
			t.Errorf("request %d: %d", i, r.status)
		}
	}
}

// TestGateConnection: a client cannot have the gate take out of a request what
// the gate itself has gone by, such as the type of a form.
func TestGateConnection(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-json" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		var sent struct{ Username, Password string }
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Type") == "application/json" {
			_ = json.Unmarshal(body, &sent)
		} else { // what has no type is a form, as on Rack
			form, _ := url.ParseQuery(string(body))
			sent.Username, sent.Password = form.Get("username"), form.Get("password")
		}
		if sent.Password == "right" {
			fmt.Fprint(w, "{}")
			return
		}
		g.checked.Add(1)
		http.Error(w, "no", http.StatusUnauthorized)
	})
	c := g.client()
	post := func(body string, header ...string) {
		r := g.request("POST", "/login", "203.0.113.107", nil, append(header, "Content-Type", "application/json")...)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		do(t, c, r)
	}
	for i := range 20 {
		if i%4 == 3 {
			post(`{"username":"alice","password":"x","z":"&username=mallory&password=right&"}`, "Connection", "close, content-type")
			continue
		}
		post(fmt.Sprintf(`{"username":"alice","password":"guess %d"}`, i))
	}
	if got := g.checked.Load(); got != 5 {
		t.Errorf("%d guesses", got)
	}
}

// TestGateUpstreamPath: an application that stands below a path is guarded in
// every spelling of it.
func TestGateUpstreamPath(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Upstream += "/app" })
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := url.PathUnescape(r.URL.Path)
		if path.Clean(p) == "/app/login" {
			g.checked.Add(1)
		}
		fmt.Fprint(w, "Wrong user name or password.")
	})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.base, "http://"))
	for i := range 20 {
		target := []string{"/../app/login", "/x/..%2f../app/login", "/%252e%252e/app/login", "/login"}[i%4]
		ask(t, port, "127.0.0.1", "POST", target, "X-Forwarded-For", "203.0.113.108", "Content-Length", "0")
	}
	if got := g.checked.Load(); got != 5 {
		t.Errorf("%d guesses", got)
	}
}

// TestGateSignOutThatAsks: who is asked whether he wants to sign out has not
// signed out; his session still ends when it must.
func TestGateSignOutThatAsks(t *testing.T) {
	g := behindGate(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/", g.mux)
	mux.HandleFunc("/logout", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "Do you want to sign out?") })
	mux.HandleFunc("/admin/logout", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "sms_session", MaxAge: -1})
		fmt.Fprint(w, "You are signed out.")
	})
	g.mux = mux
	const from = "203.0.113.109"
	c := g.client()
	cookie := []string{"Cookie", "sms_session=" + do(t, c, g.request("POST", "/login", from, right("alice"))).cookie("sms_session")}
	do(t, c, g.request("GET", "/logout", from, nil, cookie...))
	if n := g.events(t, "LOGOUT"); n != 0 {
		t.Errorf("%d LOGOUT by a question", n)
	}
	if _, err := g.app.guard.RevokeSessions(t.Context(), guard.Actor{Name: "test"}, guard.RevokeRequest{Account: "alice", Realm: "user", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, cookie...)); r.status != http.StatusFound {
		t.Errorf("the session goes on: %d %s", r.status, r.body)
	}
	cookie[1] = "sms_session=" + do(t, c, g.request("POST", "/login", from, right("bob"))).cookie("sms_session")
	do(t, c, g.request("GET", "/admin/logout", from, nil, cookie...))
	if n := g.events(t, "LOGOUT"); n != 1 {
		t.Errorf("%d LOGOUT by a page that takes the cookie away", n)
	}
}

// TestGateResetOfAnother: where the link alone says whose password is set anew,
// a field that names somebody else has no failures of his taken out.
func TestGateResetOfAnother(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-form" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) {
		g.checked.Add(1)
		fmt.Fprint(w, "Wrong user name or password.")
	})
	g.mux.HandleFunc("/reset-password", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.FormValue("token"), "right") {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		http.Redirect(w, r, "/home", http.StatusFound)
	})
	c := g.client()
	reset := func(from string, form url.Values) {
		t.Helper()
		if r := do(t, c, g.request("POST", "/reset-password", from, form)); r.status != http.StatusFound && g.checked.Load() < 5 {
			t.Fatalf("reset: %d %s", r.status, r.body)
		}
	}
	for i := range 20 {
		if i%4 == 3 {
			reset("203.0.113.112", url.Values{"token": {fmt.Sprint("right", i)}, "email": {"alice"}})
			continue
		}
		do(t, c, g.request("POST", "/login", "203.0.113.112", wrong("alice", i)))
	}
	if got := g.checked.Load(); got != 5 {
		t.Errorf("%d guesses", got)
	}
}

// TestGateNoReferer: Laravel sends whoever gave a wrong password to the page that
// his session saw last, if he does not say where he comes from. That is no
// success.
func TestGateNoReferer(t *testing.T) {
	for _, profile := range []string{"laravel", "generic-form"} {
		g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = profile })
		g.mux = http.NewServeMux()
		g.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
			g.checked.Add(1)
			to := r.Header.Get("Referer")
			if to == "" {
				to = "/about"
			}
			http.Redirect(w, r, to, http.StatusFound)
		})
		c := g.client()
		for i := range 10 {
			form := wrong("alice", i)
			form.Set("email", "alice")
			do(t, c, g.request("POST", "/login", "203.0.113.60", form))
		}
		if n := g.checked.Load(); n != 5 {
			t.Errorf("%s: %d passwords were checked", profile, n)
		}
	}
}

// TestGateHead: where the outcome stands in the body, a request for the head of
// an answer must not be a guess without an outcome.
func TestGateHead(t *testing.T) {
	g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = "generic-json" })
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") != "" {
			g.checked.Add(1)
		}
		fmt.Fprint(w, `{"success":false}`)
	})
	c := g.client()
	for i := range 10 {
		do(t, c, g.request("HEAD", "/login?"+wrong("alice", i).Encode(), "203.0.113.60", nil))
	}
	if n := g.checked.Load(); n > 5 {
		t.Errorf("%d passwords were checked", n)
	}
	if n := g.events(t, "USER_LOGIN_SUCCESS"); n > 0 {
		t.Errorf("%d of them were right", n)
	}
	if r := do(t, c, g.request("HEAD", "/login", "203.0.113.61", nil)); r.status != http.StatusOK {
		t.Errorf("the head of the form: %d", r.status)
	}
}

// TestGateBasicBeside: Grafana and Gitea take a password by HTTP Basic, too,
// wherever their API is.
func TestGateBasicBeside(t *testing.T) {
	for profile, path := range map[string]string{"grafana": "/api/org", "gitea": "/api/v1/user"} {
		g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = profile })
		g.mux = http.NewServeMux()
		g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if user, pass, given := r.BasicAuth(); given {
				if user == "bob" && pass == "right" {
					fmt.Fprint(w, "hello")
					return
				}
				g.checked.Add(1)
			}
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/user/login", http.StatusFound)
				return
			}
			if strings.HasSuffix(r.URL.Path, "/login") {
				fmt.Fprint(w, "the form")
				return
			}
			w.WriteHeader(http.StatusUnauthorized)
		})
		c := g.client()
		get := func(from, account, pass string) int {
			r := g.request("GET", path, from, nil)
			r.SetBasicAuth(account, pass)
			return do(t, c, r).status
		}
		for i := range 12 {
			for _, place := range []string{path, "/", "/user/login"} {
				r := g.request("GET", place, "203.0.113.60", nil)
				r.SetBasicAuth("alice", fmt.Sprint("guess ", i, place))
				do(t, c, r)
			}
			get("203.0.113.60", "bob", "right")
		}
		if n := g.checked.Load(); n != 5 || len(g.blocks(t)) != 1 {
			t.Errorf("%s: %d passwords were wrong, %v blocked", profile, n, g.blocks(t))
		}
		for i := range 20 {
			if got := get("203.0.113.61", "bob", "right"); got != http.StatusOK {
				t.Errorf("%s: the right one: %d", profile, got)
			}
			if r := do(t, c, g.request("GET", path, "203.0.113.62", nil, "Authorization", fmt.Sprint("Bearer ", i))); r.status != http.StatusUnauthorized {
				t.Errorf("%s: without: %d", profile, r.status)
			}
		}
	}
}

// TestGateQueries: a query is the application's, whatever stands in it.
func TestGateQueries(t *testing.T) {
	g := behindGate(t, nil)
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/find", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.RawQuery) })
	c := g.client()
	for _, query := range []string{"q=50%&a=1", "b=2;c=3&a=1", "q=%zz", "q=a;b", "b=1&a=2", ""} {
		r := g.request("GET", "/find", "203.0.113.60", nil)
		r.URL.RawQuery = query
		if got := do(t, c, r).body; got != query {
			t.Errorf("%q becomes %q", query, got)
		}
	}
}
