package app

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warderhq/warder/internal/challenge"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/guard"
)

// demanding is a policy under which two different wrong passwords of one address
// lead to a demand.
const demanding = `
activity:
  enabled: true
  rules:
    - id: guess
      events: ["*_LOGIN_FAILURE"]
      key: ip
      threshold: 2
      time_range: 3600
      cooling_period: 3600
      action: %s
    - id: recovery
      events: ["*_PASSWORD_RESET_REQUEST"]
      key: ip
      distinct: account
      threshold: 2
      time_range: 3600
      cooling_period: 3600
      action: challenge
`

// challenging is a platform behind a gate that demands.
func challenging(t *testing.T, action string, change func(*config.Config, *config.Site)) *guarded {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	putFile(t, file, fmt.Sprintf(demanding, action))
	return behindGate(t, func(c *config.Config, s *config.Site) {
		c.PolicyFile = file
		c.Challenge.Difficulty = 8
		if change != nil {
			change(c, s)
		}
	})
}

// bothChallenging runs a test over HTTP/1.1 and over HTTP/2.
func bothChallenging(t *testing.T, test func(t *testing.T, g *guarded)) {
	t.Helper()
	t.Run("http1", func(t *testing.T) { test(t, challenging(t, "challenge", nil)) })
	t.Run("http2", func(t *testing.T) {
		var roots *x509.CertPool
		g := challenging(t, "challenge", overTLS(t, &roots))
		g.roots, g.h2 = roots, true
		test(t, g)
	})
}

// annoy brings an address to the demand.
func (g *guarded) annoy(t *testing.T, from string) {
	t.Helper()
	for i := range 2 {
		if r := do(t, g.client(), g.request("POST", "/login", from, wrong("alice", i))); r.status != http.StatusOK {
			t.Fatalf("wrong password %d: %d %s", i, r.status, r.body)
		}
	}
}

var asPage = []string{"Accept", "text/html,*/*;q=0.8"}

// posed is what the page's script is told.
type posedPage struct {
	Ticket                           string
	Posed                            struct{ Provider, Challenge string }
	Posted                           bool
	Words                            map[string]string
	Script, Global, Service, SiteKey string
}

var dataPage = regexp.MustCompile(`data-page="([^"]*)"`)

// open opens the page with the challenge at an address.
func openChallenge(t *testing.T, c *http.Client, at, from string) (posedPage, reply) {
	t.Helper()
	r, err := http.NewRequest("GET", at, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if from != "" {
		r.Header.Set("X-Forwarded-For", from)
	}
	got := do(t, c, r)
	var p posedPage
	if m := dataPage.FindStringSubmatch(got.body); m != nil {
		if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &p); err != nil {
			t.Fatal(err)
		}
	}
	return p, got
}

type solvedReply struct {
	Return, Message, Code string
	ExpiresIn             int `json:"expires_in"`
	Posed                 *struct{ Provider, Challenge string }
}

// send sends a solution back.
func sendSolution(t *testing.T, c *http.Client, at, from string, body any, header ...string) (solvedReply, reply) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = ""
	r, err := http.NewRequest("POST", u.String(), strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if from != "" {
		r.Header.Set("X-Forwarded-For", from)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got := do(t, c, r)
	var s solvedReply
	_ = json.Unmarshal([]byte(got.body), &s)
	return s, got
}

type give map[string]any

// solve does what the page's script does.
func solve(t *testing.T, p posedPage) string {
	t.Helper()
	token, err := challenge.Solve(t.Context(), p.Posed.Challenge)
	if err != nil {
		t.Fatalf("%q: %v", p.Posed.Challenge, err)
	}
	return token
}

// TestGateChallenge: who is challenged gets a page, or the address of one;
// solving it is worth three attempts from this address, and nothing is checked
// before.
func TestGateChallenge(t *testing.T) {
	bothChallenging(t, func(t *testing.T, g *guarded) {
		const from = "203.0.113.7"
		g.annoy(t, from)
		checked := g.checked.Load()
		c := g.client()

		// A program learns where the challenge is.
		program := do(t, c, g.request("POST", "/login", from, right("alice"), "Accept", "application/json"))
		var doc struct {
			Status int
			URL    string `json:"challenge_url"`
		}
		if err := json.Unmarshal([]byte(program.body), &doc); err != nil || program.status != 403 || doc.Status != 403 ||
			!strings.HasPrefix(doc.URL, g.base+"/.warder/challenge?t=") || program.header.Get("Content-Type") != "application/problem+json" {
			t.Fatalf("a program gets %d %s, %v", program.status, program.body, err)
		}
		// A browser is sent there, by GET, and knows that its form was not sent on.
		form := do(t, c, g.request("POST", "/login", from, right("alice"), append(asPage, "Referer", g.base+"/login?next=/home")...))
		at := g.base + form.header.Get("Location")
		if form.status != http.StatusSeeOther || !strings.HasPrefix(at, g.base+"/.warder/challenge?t=") || strings.Contains(at, "right") {
			t.Fatalf("a browser gets %d %v", form.status, form.header)
		}
		p, page := openChallenge(t, c, at, from)
		if page.status != 200 || !p.Posted || !strings.Contains(page.body, "enter it again") || p.Posed.Provider != "embedded" {
			t.Fatalf("page: %d %+v\n%s", page.status, p, page.body)
		}
		// The page of the form itself asks beforehand.
		before := do(t, c, g.request("GET", "/login?next=%2Fhome", from, nil, asPage...))
		if p, _ := openChallenge(t, c, g.base+before.header.Get("Location"), from); before.status != 303 || p.Posted {
			t.Fatalf("before the form: %d %+v", before.status, p)
		}
		if n := g.checked.Load(); n != checked {
			t.Fatalf("%d passwords were checked without the challenge", n-checked)
		}

		answer, got := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": solve(t, p)})
		if got.status != 200 || answer.Return != "/login?next=/home" || answer.ExpiresIn != 900 {
			t.Fatalf("solved: %d %s", got.status, got.body)
		}
		cookie := (&http.Response{Header: got.header}).Cookies()[0]
		if cookie.Name != "warder_clearance" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 900 ||
			cookie.Path != "/" || cookie.Secure != strings.HasPrefix(g.base, "https") {
			t.Fatalf("cookie %+v", cookie)
		}
		if strings.Contains(got.body, cookie.Value) {
			t.Error("scripts of the page can read the clearance")
		}
		with := []string{"Cookie", "warder_clearance=" + cookie.Value, "Accept", "text/html"}
		// Not from another address, nor in another realm.
		g.annoy(t, "203.0.113.8")
		if r := do(t, c, g.request("POST", "/login", "203.0.113.8", right("alice"), with...)); r.status != 303 || !strings.Contains(r.header.Get("Location"), ".warder") {
			t.Errorf("from another address: %d %v", r.status, r.header)
		}
		if r := do(t, c, g.request("POST", "/admin/login", from, right("root"), with...)); r.status != 303 || !strings.Contains(r.header.Get("Location"), ".warder") {
			t.Errorf("in another realm: %d %v", r.status, r.header)
		}
		// The sign-in page is shown, and three attempts are taken.
		if r := do(t, c, g.request("GET", "/login", from, nil, with...)); r.status != 200 {
			t.Errorf("the form: %d", r.status)
		}
		for i := range 3 {
			if r := do(t, c, g.request("POST", "/login", from, wrong("alice", 10+i), with...)); r.status != 200 {
				t.Errorf("attempt %d with a clearance: %d %v", i, r.status, r.header)
			}
		}
		if r := do(t, c, g.request("POST", "/login", from, right("alice"), with...)); !strings.Contains(r.header.Get("Location"), ".warder") {
			t.Errorf("a fourth attempt: %d %v", r.status, r.header)
		}
		// A completed sign-in uses it up, too.
		p, _ = openChallenge(t, c, at, from)
		_, got = sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": solve(t, p)})
		with[1] = "warder_clearance=" + got.cookie("warder_clearance")
		if r := do(t, c, g.request("POST", "/login", from, right("alice"), with...)); r.header.Get("Location") != "/home" || r.cookie("sms_session") == "" {
			t.Fatalf("sign-in: %d %v", r.status, r.header)
		}
		if h := g.header.Load(); h != nil && strings.Contains(h.Get("Cookie"), "warder_clearance") {
			t.Error("the application saw the clearance")
		}
		if r := do(t, c, g.request("POST", "/login", from, right("alice"), with...)); !strings.Contains(r.header.Get("Location"), ".warder") {
			t.Errorf("after the sign-in: %d %v", r.status, r.header)
		}
		// Others notice nothing.
		if r := do(t, c, g.request("POST", "/login", "198.51.100.1", right("alice"), asPage...)); r.header.Get("Location") != "/home" {
			t.Errorf("another address: %d %v", r.status, r.header)
		}
	})
}

// TestGateChallengeAttacks: what strangers try at the pages gets them nothing.
func TestGateChallengeAttacks(t *testing.T) {
	g := challenging(t, "challenge", nil)
	const from = "203.0.113.7"
	c := g.client()
	g.annoy(t, from)
	form := do(t, c, g.request("POST", "/login", from, right("alice"), asPage...))
	at := g.base + form.header.Get("Location")
	p, page := openChallenge(t, c, at, from)

	for name, value := range map[string]string{
		"X-Frame-Options": "DENY", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := page.header.Get(name); got != value {
			t.Errorf("%s: %q", name, got)
		}
	}
	csp := page.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "script-src 'sha256-"} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy lacks %s: %s", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
		t.Errorf("policy %q", csp)
	}

	// Of parallel spends of one token one wins.
	token := solve(t, p)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, got := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": token}); got.status == 200 {
				won.Add(1)
			} else if got.cookie("warder_clearance") != "" {
				t.Error("a clearance was given away")
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 20 won", won.Load())
	}
	if answer, got := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": token}); got.status != 403 || answer.Code != "spent" || answer.Posed == nil {
		t.Errorf("replay: %d %s", got.status, got.body)
	}

	p, _ = openChallenge(t, c, at, from)
	token = solve(t, p)
	unsolved := p.Posed.Challenge + ".x"
	for sha256.Sum256([]byte(unsolved))[0] == 0 { // by chance
		unsolved += "x"
	}
	changed := func(s string, i int) string {
		b := []byte(s)
		b[i] ^= 1
		return string(b)
	}
	for name, try := range map[string]struct {
		from string
		body any
		code string
	}{
		"another address":  {"203.0.113.9", give{"ticket": p.Ticket, "token": token}, "binding"},
		"changed token":    {from, give{"ticket": p.Ticket, "token": changed(token, len(token)/2)}, "invalid"},
		"easier challenge": {from, give{"ticket": p.Ticket, "token": strings.Replace(token, "w1.8.", "w1.1.", 1)}, "invalid"},
		"unsolved":         {from, give{"ticket": p.Ticket, "token": unsolved}, "invalid"},
		"no token":         {from, give{"ticket": p.Ticket}, "invalid"},
		"changed ticket":   {from, give{"ticket": changed(p.Ticket, 3), "token": token}, "ticket"},
		"no ticket":        {from, give{"token": token}, "ticket"},
	} {
		answer, got := sendSolution(t, c, at, try.from, try.body)
		if got.status < 400 || answer.Code != try.code || got.cookie("warder_clearance") != "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	// A page of another site, other methods, other types, too much.
	for name, r := range map[string]*http.Request{
		"cross-site": g.request("POST", "/.warder/challenge", from, nil, "Sec-Fetch-Site", "cross-site", "Content-Type", "application/json"),
		"origin":     g.request("POST", "/.warder/challenge", from, nil, "Origin", "https://evil.example", "Content-Type", "application/json"),
		"form":       g.request("POST", "/.warder/challenge", from, url.Values{"ticket": {p.Ticket}, "token": {token}}),
		"PUT":        g.request("PUT", "/.warder/challenge?t="+p.Ticket, from, nil),
		"DELETE":     g.request("DELETE", "/.warder/challenge?t="+p.Ticket, from, nil),
		"POST":       g.request("POST", "/.warder/solve.js", from, nil),
		"override":   g.request("POST", "/.warder/challenge?t="+p.Ticket, from, nil, "X-HTTP-Method-Override", "GET"),
		"huge":       g.request("POST", "/.warder/challenge", from, url.Values{"a": {strings.Repeat("a", 1<<20)}}, "Content-Type", "application/json"),
		"elsewhere":  g.request("GET", "/.warder/../.warder/x", from, nil),
	} {
		if got := do(t, c, r); got.status < 400 || got.cookie("warder_clearance") != "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if n := g.events(t, "CHALLENGE_FAILURE"); n != 2 { // of two addresses, once a minute each
		t.Errorf("%d CHALLENGE_FAILURE", n)
	}
	if n := g.events(t, "CHALLENGE_SUCCESS"); n != 1 {
		t.Errorf("%d CHALLENGE_SUCCESS", n)
	}
	// The token is still good: none of that spent it.
	if _, got := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": token}); got.status != 200 {
		t.Errorf("the honest one: %d %s", got.status, got.body)
	}
	// Nobody is led away.
	for _, referer := range []string{"https://evil.example/login", g.base + "//evil.example/login", g.base + "/%5cevil.example", "javascript:alert(1)", g.base + "/.warder/challenge"} {
		r := do(t, c, g.request("POST", "/login", from, right("alice"), append(asPage, "Referer", referer)...))
		p, _ := openChallenge(t, c, g.base+r.header.Get("Location"), from)
		answer, got := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": solve(t, p)})
		if want := "/login"; answer.Return != want && answer.Return != "/%5cevil.example" {
			t.Errorf("%s leads to %q: %d", referer, answer.Return, got.status)
		}
	}
	for _, to := range []string{"//evil.example", `/\evil.example`, "javascript:alert(1)", "https://evil.example/", "data:text/html,x"} {
		p, _ := openChallenge(t, c, at+"&return="+url.QueryEscape(to), from)
		if answer, _ := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": solve(t, p)}); answer.Return != "/login" {
			t.Errorf("%s leads to %q", to, answer.Return)
		}
	}
	// Who is blocked does not even see the page.
	if code := g.local("POST", "/v1/blocks", map[string]any{"ip": from, "reason": "test", "duration": 60}, nil); code != 201 {
		t.Fatalf("block: %d", code)
	}
	if _, got := openChallenge(t, c, at, from); got.status != 403 || strings.Contains(got.body, "data-page") {
		t.Errorf("a blocked address gets %d", got.status)
	}
}

// TestGateChallengeRecovery: requests for resets are challenged like sign-ins.
func TestGateChallengeRecovery(t *testing.T) {
	g := challenging(t, "challenge", nil)
	c := g.client()
	const from = "203.0.113.7"
	ask := func(account string, header ...string) reply {
		return do(t, c, g.request("POST", "/forgot", from, url.Values{"username": {account}}, append(asPage, header...)...))
	}
	if r := ask("a"); r.status != 200 {
		t.Fatalf("the first request: %d", r.status)
	}
	r := ask("b")
	if r.status != 303 {
		t.Fatalf("the request that crosses: %d", r.status)
	}
	at := g.base + r.header.Get("Location")
	p, _ := openChallenge(t, c, at, from)
	_, got := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": solve(t, p)})
	cookie := "warder_clearance=" + got.cookie("warder_clearance")
	for i := range 3 {
		if r := ask(fmt.Sprint("c", i), "Cookie", cookie); r.status != 200 {
			t.Errorf("request %d with a clearance: %d", i, r.status)
		}
	}
	if r := ask("d", "Cookie", cookie); r.status != 303 {
		t.Errorf("a fourth request: %d", r.status)
	}
}

// TestGateManyOpenChallenges: open challenges cost no memory, since nothing is
// kept of them.
func TestGateManyOpenChallenges(t *testing.T) {
	g := challenging(t, "challenge", nil)
	c := g.client()
	const from = "203.0.113.7"
	g.annoy(t, from)
	r := do(t, c, g.request("POST", "/login", from, right("alice"), asPage...))
	at := g.base + r.header.Get("Location")
	seen := map[string]bool{}
	for range 2000 {
		p, _ := openChallenge(t, c, at, from)
		seen[p.Posed.Challenge] = true
	}
	if len(seen) != 2000 {
		t.Errorf("%d different challenges of 2000", len(seen))
	}
}

// TestGateMFAStepsDown: where a second factor is demanded and the application
// has none, a challenge is what can be asked for.
func TestGateMFAStepsDown(t *testing.T) {
	g := challenging(t, "mfa", nil)
	const from = "203.0.113.7"
	g.annoy(t, from)
	c := g.client()
	checked := g.checked.Load()
	r := do(t, c, g.request("POST", "/login", from, right("alice"), asPage...))
	at := g.base + r.header.Get("Location")
	p, page := openChallenge(t, c, at, from)
	if r.status != 303 || page.status != 200 || g.checked.Load() != checked {
		t.Fatalf("%d %v, page %d", r.status, r.header, page.status)
	}
	_, got := sendSolution(t, c, at, from, give{"ticket": p.Ticket, "token": solve(t, p)})
	cookie := "warder_clearance=" + got.cookie("warder_clearance")
	for i := range 3 {
		if r := do(t, c, g.request("POST", "/login", from, wrong("alice", 10+i), "Cookie", cookie, "Accept", "text/html")); r.status != 200 {
			t.Errorf("attempt %d with a clearance: %d %v", i, r.status, r.header)
		}
	}
	if r := do(t, c, g.request("POST", "/login", from, right("alice"), "Cookie", cookie, "Accept", "text/html")); r.status != 303 || !strings.Contains(r.header.Get("Location"), ".warder") {
		t.Errorf("a fourth attempt: %d %v", r.status, r.header)
	}
}

const withMFA = `
name: with-mfa
about: An application with a second factor.
sessions: [sms_session]
endpoints:
  - {kind: sign_in, paths: [/login, /signin], account: [username], password: [password], failure: [{status: [200]}], success: [{status: [303], session: true}]}
  - {kind: mfa, paths: [/mfa], password: [code], failure: [{status: [200]}], success: [{status: [303]}]}
  - {kind: sign_out, paths: [/logout]}
`

// TestGateMFA: where the application asks for second factors itself, it checks
// the password, and the session is worth nothing elsewhere before MFA_SUCCESS.
func TestGateMFA(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	putFile(t, profile, withMFA)
	g := challenging(t, "mfa", func(_ *config.Config, s *config.Site) { s.Profile = profile })
	g.mux.HandleFunc("/signin", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") != "right" {
			return
		}
		g.mu.Lock()
		g.sessions["half"+r.FormValue("username")] = r.FormValue("username")
		g.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "sms_session", Value: "half" + r.FormValue("username"), Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "remember_me", Value: "1", Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "csrftoken", Value: "1", Path: "/"})
		http.Redirect(w, r, "/mfa", http.StatusSeeOther)
	})
	g.mux.HandleFunc("/mfa", func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("sms_session")
		if err != nil {
			http.Error(w, "no session", http.StatusForbidden)
			return
		}
		if r.FormValue("code") != "123456" {
			fmt.Fprint(w, "Your code, please: ", c.Value)
			return
		}
		http.Redirect(w, r, "/home", http.StatusSeeOther)
	})
	const from = "203.0.113.7"
	c := g.client()
	g.annoy(t, from)
	in := do(t, c, g.request("POST", "/signin", from, right("alice"), asPage...))
	if in.header.Get("Location") != "/mfa" || in.cookie("sms_session") == "" || in.cookie("csrftoken") == "" {
		t.Fatalf("the password: %d %v", in.status, in.header)
	}
	if in.cookie("remember_me") != "" || in.cookie("warder_device") != "" {
		t.Errorf("half a sign-in gives more than a session: %v", in.header["Set-Cookie"])
	}
	cookie := []string{"Cookie", "sms_session=" + in.cookie("sms_session")}
	page := append(append([]string{}, cookie...), asPage...)
	if r := do(t, c, g.request("GET", "/home", from, nil, page...)); r.status != 403 || !strings.Contains(r.body, "second factor") || !strings.Contains(r.body, `href="/mfa"`) {
		t.Errorf("a page before the second factor: %d %s", r.status, r.body)
	}
	for _, method := range []string{"GET", "POST", "HEAD"} {
		if r := do(t, c, g.request(method, "/home", from, nil, cookie...)); r.status != 302 || strings.Contains(r.body, "hello") {
			t.Errorf("%s before the second factor: %d %s", method, r.status, r.body)
		}
	}
	in = do(t, c, g.request("POST", "/signin", from, right("alice"), asPage...))
	cookie[1] = "sms_session=" + in.cookie("sms_session")
	if r := do(t, c, g.request("GET", "/mfa", from, nil, cookie...)); r.status != 200 || !strings.Contains(r.body, "halfalice") {
		t.Errorf("the form of the second factor: %d %s", r.status, r.body)
	}
	if r := do(t, c, g.request("POST", "/mfa", from, url.Values{"code": {"000000"}}, cookie...)); r.status != 200 {
		t.Errorf("a wrong code: %d", r.status)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, cookie...)); strings.Contains(r.body, "hello") {
		t.Errorf("after a wrong code: %s", r.body)
	}
	if r := do(t, c, g.request("POST", "/mfa", from, url.Values{"code": {"123456"}}, cookie...)); r.status != 303 || r.cookie("warder_device") == "" {
		t.Errorf("the right code: %d %v", r.status, r.header)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, cookie...)); r.body != "hello alice" {
		t.Errorf("after the second factor: %d %s", r.status, r.body)
	}
	if n := g.events(t, "MFA_SUCCESS"); n != 1 {
		t.Errorf("%d MFA_SUCCESS", n)
	}
	// Without a second factor of the account there is no way in.
	in = do(t, c, g.request("POST", "/login", from, right("bob"), asPage...))
	if in.header.Get("Location") != "/home" {
		t.Fatalf("bob's password: %d %v", in.status, in.header)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "sms_session="+in.cookie("sms_session"), "Accept", "text/html")); r.status != 403 ||
		!strings.Contains(r.body, "asked you for none") || strings.Contains(r.body, "href") {
		t.Errorf("without a second factor: %d %s", r.status, r.body)
	}
}

// rewriting is an application that keeps who is signed in in the cookie, as
// those do that encrypt it: every answer writes it anew, and all are good.
func rewriting(g *guarded, names ...string) {
	var n atomic.Int64
	who := func(r *http.Request) string {
		for _, name := range names {
			if c, err := r.Cookie(name); err == nil {
				account, _, _ := strings.Cut(c.Value, "-")
				return account
			}
		}
		return ""
	}
	open := func(w http.ResponseWriter, account string) {
		for _, name := range names {
			http.SetCookie(w, &http.Cookie{Name: name, Value: fmt.Sprint(account, "-", n.Add(1)), Path: "/"})
		}
	}
	g.mux = http.NewServeMux()
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		account := who(r)
		switch {
		case r.URL.Path == "/logout":
			http.SetCookie(w, &http.Cookie{Name: names[0], MaxAge: -1})
		case r.FormValue("password") == "right":
			open(w, r.FormValue("username"))
			http.Redirect(w, r, "/mfa", http.StatusSeeOther)
			return
		case account != "":
			open(w, account)
		}
		if r.FormValue("code") == "123456" {
			http.Redirect(w, r, "/home", http.StatusSeeOther)
			return
		}
		fmt.Fprint(w, "hello ", account)
	})
}

// TestGateRewrittenSession: a session that an application writes anew with
// every answer, or into several cookies, is one session: it ends as a whole, and
// is half of one until its second factor.
func TestGateRewrittenSession(t *testing.T) {
	const from = "203.0.113.7"
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	putFile(t, profile, strings.Replace(withMFA, "[sms_session]", "[sms_session, token]", 1))
	for _, names := range [][]string{{"sms_session"}, {"sms_session", "token"}} {
		// The cookies that a visitor had, the latest last.
		collect := func(cookies []string, r reply) []string {
			for _, name := range names {
				if v := r.cookie(name); v != "" {
					cookies = append(cookies, name+"="+v)
				}
			}
			return cookies
		}
		g := behindGate(t, func(_ *config.Config, s *config.Site) { s.Profile = profile })
		rewriting(g, names...)
		c := g.client()
		cookies := collect(nil, do(t, c, g.request("POST", "/login", from, right("alice"))))
		for range 3 {
			cookies = collect(cookies, do(t, c, g.request("GET", "/home", from, nil, "Cookie", cookies[len(cookies)-1])))
		}
		if len(cookies) != 4*len(names) {
			t.Fatal(cookies)
		}
		if _, err := g.app.guard.RevokeSessions(t.Context(), guard.Actor{Name: "test"}, guard.RevokeRequest{Account: "alice", Realm: "user", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		for _, cookie := range cookies {
			if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", cookie)); r.body != "hello " {
				t.Errorf("%v: %s is still good: %d %s", names, cookie, r.status, r.body)
			}
		}

		g = challenging(t, "mfa", func(_ *config.Config, s *config.Site) { s.Profile = profile })
		rewriting(g, names...)
		g.annoy(t, from)
		c = g.client()
		cookies = collect(nil, do(t, c, g.request("POST", "/login", from, right("alice"))))
		if len(cookies) != len(names) {
			t.Fatal(cookies)
		}
		last := func() string { return cookies[len(cookies)-1] }
		cookies = collect(cookies, do(t, c, g.request("GET", "/mfa", from, nil, "Cookie", last())))
		cookies = collect(cookies, do(t, c, g.request("POST", "/mfa", from, url.Values{"code": {"1"}}, "Cookie", last())))
		cookies = collect(cookies, do(t, c, g.request("POST", "/login", from, wrong("alice", 77), "Cookie", last())))
		for _, cookie := range cookies {
			if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", cookie)); r.body != "hello " {
				t.Errorf("%v: %s is whole without a second factor: %s", names, cookie, r.body)
			}
		}
		r := do(t, c, g.request("POST", "/mfa", from, url.Values{"code": {"123456"}}, "Cookie", last()))
		if cookies = collect(cookies, r); r.status != http.StatusSeeOther {
			t.Errorf("%v: the right code: %d %s", names, r.status, r.body)
		}
		if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", last())); r.body != "hello alice" {
			t.Errorf("%v: after the second factor: %d %s", names, r.status, r.body)
		}
		if _, err := g.app.guard.RevokeSessions(t.Context(), guard.Actor{Name: "test"}, guard.RevokeRequest{Account: "alice", Realm: "user", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		for _, cookie := range cookies {
			if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", cookie)); r.body != "hello " {
				t.Errorf("%v: %s is still good: %d %s", names, cookie, r.status, r.body)
			}
		}
	}
}

// TestGateMFAEverywhere: a sign-in that is at every path, for some requests,
// makes no other request one.
func TestGateMFAEverywhere(t *testing.T) {
	const from = "203.0.113.8"
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	putFile(t, profile, strings.NewReplacer("paths: [/login, /signin]", "paths: ['/*'], when: [password]", "paths: [/mfa]", "paths: ['/*'], when: [code]").Replace(withMFA))
	g := challenging(t, "mfa", func(_ *config.Config, s *config.Site) { s.Profile = profile })
	rewriting(g, "sms_session")
	g.annoy(t, from)
	c := g.client()
	cookie := "sms_session=" + do(t, c, g.request("POST", "/login", from, right("alice"))).cookie("sms_session")
	for _, method := range []string{"GET", "POST"} {
		if r := do(t, c, g.request(method, "/home", from, nil, "Cookie", cookie)); r.body != "hello " {
			t.Errorf("%s without a second factor: %d %s", method, r.status, r.body)
		}
	}
	if r := do(t, c, g.request("POST", "/home", from, url.Values{"code": {"123456"}}, "Cookie", cookie)); r.status != http.StatusSeeOther {
		t.Errorf("the right code: %d %s", r.status, r.body)
	}
	if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", cookie)); r.body != "hello alice" {
		t.Errorf("after the second factor: %d %s", r.status, r.body)
	}
}

// TestGateMFAOfAnother: with the session and the second factor of an account of
// his own nobody completes the sign-in of another one, whose password he has,
// or has wrong codes taken back.
func TestGateMFAOfAnother(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	putFile(t, profile, strings.Replace(withMFA, "password: [code]", "account: [username], password: [code]", 1))
	tricks := map[string]struct {
		cookie string // %[1]s: his own session, %[2]s: the one that lacks its second factor
		form   url.Values
	}{
		"beside his own":       {"sms_session=%[1]s; SMS_SESSION=%[2]s", nil},
		"before his own":       {"SMS_SESSION=%[2]s; sms_session=%[1]s", nil},
		"by name":              {"sms_session=%[1]s", url.Values{"username": {"alice"}}},
		"by name, beside it":   {"sms_session=%[1]s; SMS_SESSION=%[2]s", url.Values{"username": {"alice"}}},
		"by name, before it":   {"SMS_SESSION=%[2]s; sms_session=%[1]s", url.Values{"username": {"alice"}}},
		"by his name":          {"SMS_SESSION=%[2]s; sms_session=%[1]s", url.Values{"username": {"mallory"}}},
		"by his name, besides": {"sms_session=%[1]s; SMS_SESSION=%[2]s", url.Values{"username": {"mallory"}}},
	}
	n := 40
	for name, trick := range tricks {
		n++
		from := fmt.Sprintf("203.0.113.%d", n)
		g := challenging(t, "mfa", func(_ *config.Config, s *config.Site) { s.Profile = profile })
		g.mux.HandleFunc("/mfa", func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie("sms_session")
			g.mu.Lock()
			defer g.mu.Unlock()
			if err != nil || r.FormValue("code") != g.sessions[c.Value]+"'s code" {
				fmt.Fprint(w, "Your code, please.")
				return
			}
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		})
		c := g.client()
		own := do(t, c, g.request("POST", "/login", from, right("mallory"))).cookie("sms_session")
		g.annoy(t, from)
		half := do(t, c, g.request("POST", "/login", from, right("alice"))).cookie("sms_session")
		if own == "" || half == "" {
			t.Fatal(name, own, half)
		}
		form := url.Values{"code": {"mallory's code"}}
		maps.Copy(form, trick.form)
		do(t, c, g.request("POST", "/mfa", from, form, "Cookie", fmt.Sprintf(trick.cookie, own, half)))
		if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "sms_session="+half)); strings.Contains(r.body, "hello") {
			t.Errorf("%s: whole without a second factor: %s", name, r.body)
		}
		half = do(t, c, g.request("POST", "/login", from, right("alice"))).cookie("sms_session")
		if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "sms_session="+half)); strings.Contains(r.body, "hello") {
			t.Errorf("%s: the demand is met: %s", name, r.body)
		}
		if r := do(t, c, g.request("POST", "/mfa", from, url.Values{"code": {"alice's code"}}, "Cookie", "sms_session="+half)); r.status != http.StatusSeeOther {
			t.Errorf("%s: the right code: %d %s", name, r.status, r.body)
		}
		if r := do(t, c, g.request("GET", "/home", from, nil, "Cookie", "sms_session="+half)); r.body != "hello alice" {
			t.Errorf("%s: after the second factor: %d %s", name, r.status, r.body)
		}
	}
}
