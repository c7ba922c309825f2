package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/challenge"
	"github.com/warderhq/warder/internal/clientip"
)

// ledger is a Spender in memory.
type ledger struct {
	mu    sync.Mutex
	spent map[string]bool
}

func (l *ledger) Spend(_ context.Context, id string, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spent[id] {
		return challenge.ErrSpent
	}
	l.spent[id] = true
	return nil
}

func newPages(t testing.TB, o PagesOptions) *Pages {
	t.Helper()
	issuer, err := challenge.New(challenge.Options{Secret: bytes.Repeat([]byte{1}, 32), Spender: &ledger{spent: map[string]bool{}}, Difficulty: 8})
	if err != nil {
		t.Fatal(err)
	}
	if o.Challenges == nil {
		if o.Challenges, err = challenge.NewDesk(challenge.DeskOptions{Issuer: issuer}); err != nil {
			t.Fatal(err)
		}
	}
	o.Secret = bytes.Repeat([]byte{2}, 32)
	o.Clear = func(ip netip.Addr, realm string) (string, time.Duration) {
		return "clear-" + ip.String() + "-" + realm, 15 * time.Minute
	}
	p, err := NewPages(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	dataPage = regexp.MustCompile(`data-page="([^"]*)"`)
	origins  = []string{"https://warder.example.org", "https://www.example.org"}
)

// publicPages are pages on a listener of their own, and what asks them.
func publicPages(t testing.TB, o PagesOptions) (*Pages, func(method, target, body string, header ...string) *httptest.ResponseRecorder) {
	t.Helper()
	o.PublicURL, o.Origins = "https://warder.example.org", []string{"https://www.example.org"}
	p := newPages(t, o)
	h := Public(PublicOptions{Pages: p, Proxies: resolver(t, clientip.Options{}), Denied: Denied{Brand: "Example <SMS>"}})
	return p, func(method, target, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.RemoteAddr = "203.0.113.7:80"
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

// TestPublicPages: whoever is sent by an application solves the challenge and
// comes back with the clearance, to places that the operator allowed.
func TestPublicPages(t *testing.T) {
	p, ask := publicPages(t, PagesOptions{})
	link := p.URL("user")
	if !strings.HasPrefix(link, "https://warder.example.org/.warder/challenge?t=") {
		t.Fatalf("link %q", link)
	}
	meet := func(to string) string {
		t.Helper()
		target := link
		if to != "" {
			target += "&return=" + url.QueryEscape(to)
		}
		w := ask("GET", target, "")
		m := dataPage.FindStringSubmatch(w.Body.String())
		if m == nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var data pageData
		if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &data); err != nil {
			t.Fatal(err)
		}
		token, err := challenge.Solve(t.Context(), data.Posed.Challenge)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := json.Marshal(solution{Ticket: data.Ticket, Token: token})
		w = ask("POST", ChallengePath, string(body), "Content-Type", "application/json")
		var a solvedAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || !strings.Contains(w.Header().Get("Set-Cookie"), "warder_clearance=clear-203.0.113.7-user; Path=/; Max-Age=900; HttpOnly; SameSite=Lax") {
			t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
		}
		return a.Return
	}
	const handed = "warder_clearance=clear-203.0.113.7-user"
	for to, want := range map[string]string{
		"":                                    "",
		"/login?next=/x":                      "/login?next=/x",
		"https://www.example.org/login":       "https://www.example.org/login?" + handed,
		"https://www.example.org/login?a=b#x": "https://www.example.org/login?a=b&" + handed,
		"https://WWW.example.org":             "https://www.example.org/?" + handed,
		"https://warder.example.org/x":        "https://warder.example.org/x?" + handed,
		"https://evil.example/":               "",
		"http://www.example.org/":             "",
		"https://www.example.org.evil.org/":   "",
		"https://www.example.org@evil.org/":   "",
		"https://www.example.org:444/":        "",
		"//evil.example":                      "",
		`/\evil.example`:                      "",
		"javascript:alert(1)":                 "",
		"/.warder/challenge":                  "",
	} {
		if got := meet(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

// TestPublicServesNothingElse: neither the dashboard nor the API nor anything
// else is there.
func TestPublicServesNothingElse(t *testing.T) {
	_, ask := publicPages(t, PagesOptions{})
	for _, target := range []string{
		"/", "/v1/check", "/v1/events", "/v1/me", "/healthz", "/readyz", "/metrics", "/openapi.json", "/authz/forward", "/authz/nginx", "/denied",
		"/setup", "/login", "/assets/index.js", "/.warder", "/.warder/", "/.warder/../v1/me", "//.warder/challenge", "/.warder/challenge/x", "/.WARDER/challenge",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"} {
			if w := ask(method, "http://x"+target, ""); w.Code != 404 && w.Code != 405 || strings.Contains(w.Body.String(), "<html") {
				t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
			}
		}
	}
	if w := ask("GET", "/.warder/denied?ref="+ref, "", "Accept", "text/html"); w.Code != 403 || !strings.Contains(w.Body.String(), ref) {
		t.Errorf("the access-denied page: %d", w.Code)
	}
	if w := ask("HEAD", "/.warder/solve.js", ""); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("solve.js: %d", w.Code)
	}
}

// TestChallengePage: it says the same in every language that the access-denied
// page knows, and shows nothing that a stranger can choose.
func TestChallengePage(t *testing.T) {
	p, ask := publicPages(t, PagesOptions{})
	link := p.URL("<script>alert(1)</script>")
	if len(challengeLanguages) != len(languages) {
		t.Errorf("%d languages, the access-denied page has %d", len(challengeLanguages), len(languages))
	}
	for i := range languages {
		w := ask("GET", link, "", "Accept-Language", languages[i].Lang)
		said := challengeLanguages[i]
		if !strings.Contains(w.Body.String(), `<html lang="`+languages[i].Lang+`">`) || !strings.Contains(w.Body.String(), html.EscapeString(said.NoScript)) {
			t.Errorf("%s: %s", languages[i].Lang, w.Body)
		}
		words, _ := json.Marshal(said)
		if strings.Contains(string(words), `""`) {
			t.Errorf("%s lacks words: %s", languages[i].Lang, words)
		}
	}
	w := ask("GET", link, "")
	page := w.Body.String()
	for _, bad := range []string{"<script>alert", "http:", "https:", "Example <SMS>", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	csp := w.Header().Get("Content-Security-Policy")
	for _, block := range []string{"style", "script"} {
		m := regexp.MustCompile(`(?s)<` + block + `>(.*?)</` + block + `>`).FindStringSubmatch(page)
		if m == nil || !strings.Contains(csp, block+"-src "+hashOf(m[1])) {
			t.Errorf("the policy does not fit the %s of the page: %s", block, csp)
		}
	}
	for _, target := range []string{ChallengePath, ChallengePath + "?t=", ChallengePath + "?t=a.b", ChallengePath + "?t=" + strings.Repeat("a", 9000), ChallengePath + "?t=%00"} {
		if w := ask("GET", target, ""); w.Code != 400 || strings.Contains(w.Body.String(), "<script") {
			t.Errorf("%.60s: %d", target, w.Code)
		}
	}
	old := p.seal(challengePage, ticket{Return: "/login"}, time.Now().Add(-time.Hour))
	if w := ask("GET", ChallengePath+"?t="+old, ""); w.Code != http.StatusGone || !strings.Contains(w.Body.String(), `href="/login"`) {
		t.Errorf("an old ticket: %d %s", w.Code, w.Body)
	}
	other := p.seal("other", ticket{}, time.Now())
	if w := ask("GET", ChallengePath+"?t="+other, ""); w.Code != 400 {
		t.Errorf("a ticket of another page: %d", w.Code)
	}
}

// TestServicePage: the page of an external service allows that service's hosts
// and no others.
func TestServicePage(t *testing.T) {
	issuer, err := challenge.New(challenge.Options{Secret: bytes.Repeat([]byte{1}, 32), Spender: &ledger{spent: map[string]bool{}}, Difficulty: 8})
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]string{"turnstile": "https://challenges.cloudflare.com", "hcaptcha": "https://*.hcaptcha.com", "recaptcha": "https://www.google.com/recaptcha/"}
	for _, name := range challenge.Services() {
		service, err := challenge.NewService(name, `"><b>key`, "")
		if err != nil {
			t.Fatal(err)
		}
		desk, err := challenge.NewDesk(challenge.DeskOptions{Issuer: issuer, Service: service, Verify: &challenge.SiteVerify{Service: service}, Spender: &ledger{}})
		if err != nil {
			t.Fatal(err)
		}
		p, ask := publicPages(t, PagesOptions{Challenges: desk})
		w := ask("GET", p.URL("user"), "")
		csp := w.Header().Get("Content-Security-Policy")
		if w.Code != 200 || !strings.Contains(csp, hosts[name]) || strings.Contains(csp, "unsafe") || strings.Contains(w.Body.String(), "<b>key") {
			t.Errorf("%s: %d %s", name, w.Code, csp)
		}
		for other, host := range hosts {
			if other != name && strings.Contains(csp, host) {
				t.Errorf("%s allows %s", name, host)
			}
		}
	}
}

// FuzzReturn: nobody is led to another place than a path of the same host or an
// origin that is allowed, whatever a browser makes of the text.
func FuzzReturn(f *testing.F) {
	for _, s := range []string{
		"/login", "//evil", `/\evil`, "javascript:alert(1)", "https://www.example.org/x", "https://www.example.org@evil/", "/\t/evil", "/%2f/evil", "https:/evil",
		"https://www.example.org\\@evil", "/.warder/challenge", "http://[::1]/", "https://www.example.org:443/", "?x", "#x", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		to := returnTo(s, origins)
		if to == "" {
			return
		}
		if strings.ContainsAny(to, "\\\t\r\n \x00") || len(to) > maxReturn+100 {
			t.Fatalf("%q leads to %q", s, to)
		}
		if to[0] == '/' {
			if len(to) > 1 && to[1] == '/' {
				t.Fatalf("%q leads to %q", s, to)
			}
			return
		}
		if rest, ok := strings.CutPrefix(to, origins[0]); !ok || rest[0] != '/' {
			if rest, ok := strings.CutPrefix(to, origins[1]); !ok || rest[0] != '/' {
				t.Fatalf("%q leads to %q", s, to)
			}
		}
	})
}

// FuzzTicket: only what we signed is a ticket.
func FuzzTicket(f *testing.F) {
	p := newPages(f, PagesOptions{})
	now := time.Now()
	good := p.seal(challengePage, ticket{Realm: "user", Return: "/login", Posted: true}, now)
	for _, s := range []string{good, good + "=", good[1:], "", ".", "e30.", strings.Replace(good, ".", "..", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, _, err := p.unseal(challengePage, s, now); (err == nil) != (s == good) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

// FuzzSolution: what is sent back is read strictly and never panics.
func FuzzSolution(f *testing.F) {
	for _, s := range []string{`{"ticket":"a","token":"b"}`, `{"unreachable":true}`, `{}`, `[]`, `{"ticket":1}`, `{"a":1}`, `{}{}`, ``, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, status := parseSolution(body)
		if status != http.StatusOK && (s != solution{}) {
			t.Fatalf("%q: %d %+v", body, status, s)
		}
	})
}
