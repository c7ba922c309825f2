package gate

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/guard"
)

// checker answers every question alike and notes the last one.
type checker struct {
	d   warder.Decision
	q   guard.Query
	app *guard.App
	n   int
}

func (c *checker) Check(app *guard.App, q *guard.Query) warder.Decision {
	c.n++
	c.app, c.q = app, *q
	return c.d
}

func resolver(t testing.TB, o clientip.Options) *clientip.Resolver {
	t.Helper()
	r, err := clientip.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// forward is a Forward that trusts 10.0.0.0/8 and the key "Bearer wk_good_x".
func forward(t testing.TB, d warder.Decision) (*Forward, *checker) {
	t.Helper()
	c := &checker{d: d}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	return NewForward(ForwardOptions{
		Checker: c,
		Proxies: resolver(t, clientip.Options{Trusted: trusted}),
		Keyed:   resolver(t, clientip.Options{Trusted: trusted, TrustUnix: true}),
		Key: func(r *http.Request) *guard.App {
			if r.Header.Get("Authorization") == "Bearer wk_good_x" {
				return &guard.App{ID: "k", CanChallenge: true, CanMFA: true}
			}
			return nil
		},
		Denied: Denied{Brand: "Example <SMS>", Contact: "help@example.org"},
	}), c
}

func question(peer, method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RequestURI = target
	r.RemoteAddr = peer
	for i := 0; i+1 < len(header); i += 2 {
		r.Header[http.CanonicalHeaderKey(header[i])] = append(r.Header[http.CanonicalHeaderKey(header[i])], header[i+1])
	}
	return r
}

const ref = "7K3M-22QP"

func refused() warder.Decision {
	return warder.Decision{Action: warder.BlockAction, Reason: warder.Blocked, Reference: ref, Message: "Access denied. Reference " + ref + "."}
}

func TestForwardQuestions(t *testing.T) {
	good := []string{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Method", "POST", "X-Forwarded-Uri", "/login?next=%2f", "X-Forwarded-Host", "www.example.org"}
	nginx := []string{"X-Forwarded-For", "203.0.113.7", "X-Original-Method", "POST", "X-Original-URL", "https://www.example.org/login?x=1"}
	with := func(base []string, more ...string) []string { return append(append([]string{}, base...), more...) }
	without := func(base []string, name string) (out []string) {
		for i := 0; i < len(base); i += 2 {
			if base[i] != name {
				out = append(out, base[i], base[i+1])
			}
		}
		return out
	}
	tests := []struct {
		name, peer, method, target string
		header                     []string
		status                     int
		reason                     string
		path                       string // that was asked about; "" if nothing was
	}{
		{"caddy", "10.0.0.1:80", "GET", "/authz/forward", good, 200, "ok", "/login"},
		{"head, as some ask", "10.0.0.1:80", "HEAD", "/authz/forward", good, 200, "ok", "/login"},
		{"other query", "10.0.0.1:80", "POST", "/authz/forward?x", good, 200, "ok", "/login"},
		{"a stranger", "198.51.100.1:80", "GET", "/authz/forward", good, 403, "untrusted_proxy", ""},
		{"a private stranger", "192.168.0.1:80", "GET", "/authz/forward", good, 403, "untrusted_proxy", ""},
		{"a key", "198.51.100.1:80", "GET", "/authz/forward", with(good, "Authorization", "Bearer wk_good_x"), 200, "ok", "/login"},
		{"a key, no client", "198.51.100.1:80", "GET", "/authz/forward", with(without(good, "X-Forwarded-For"), "Authorization", "Bearer wk_good_x"), 403, "unknown_client", ""},
		{"a wrong key", "198.51.100.1:80", "GET", "/authz/forward", with(good, "Authorization", "Bearer wk_bad_x"), 403, "untrusted_proxy", ""},
		{"the application's own Authorization", "10.0.0.1:80", "GET", "/authz/forward", with(good, "Authorization", "Basic YTpi"), 200, "ok", "/login"},
		{"no client", "10.0.0.1:80", "GET", "/authz/forward", without(good, "X-Forwarded-For"), 403, "unknown_client", ""},
		{"empty client", "10.0.0.1:80", "GET", "/authz/forward", with(without(good, "X-Forwarded-For"), "X-Forwarded-For", " , "), 403, "unknown_client", ""},
		{"junk client", "10.0.0.1:80", "GET", "/authz/forward", with(without(good, "X-Forwarded-For"), "X-Forwarded-For", "unknown"), 403, "unknown_client", ""},
		{"no path", "10.0.0.1:80", "GET", "/authz/forward", without(good, "X-Forwarded-Uri"), 403, "bad_request", ""},
		{"no method", "10.0.0.1:80", "GET", "/authz/forward", without(good, "X-Forwarded-Method"), 403, "bad_request", ""},
		{"two paths", "10.0.0.1:80", "GET", "/authz/forward", with(good, "X-Forwarded-Uri", "/public"), 403, "bad_request", ""},
		{"path that is none", "10.0.0.1:80", "GET", "/authz/forward", with(without(good, "X-Forwarded-Uri"), "X-Forwarded-Uri", "login"), 403, "bad_request", ""},
		{"control characters", "10.0.0.1:80", "GET", "/authz/forward", with(without(good, "X-Forwarded-Uri"), "X-Forwarded-Uri", "/a\x01b"), 403, "bad_request", ""},
		{"no UTF-8", "10.0.0.1:80", "GET", "/authz/forward", with(without(good, "X-Forwarded-Uri"), "X-Forwarded-Uri", "/a\xffb"), 403, "bad_request", ""},
		{"method that is none", "10.0.0.1:80", "GET", "/authz/forward", with(without(good, "X-Forwarded-Method"), "X-Forwarded-Method", "GET /"), 403, "bad_request", ""},
		{"nginx", "10.0.0.1:80", "GET", "/authz/nginx", nginx, 200, "ok", "/login"},
		{"nginx asked as another proxy", "10.0.0.1:80", "GET", "/authz/nginx", good, 403, "bad_request", ""},
		{"ingress", "10.0.0.1:80", "GET", "/authz/nginx", with(without(nginx, "X-Original-URL"), "X-Original-URI", "/admin"), 200, "ok", "/admin"},
		{"URL that is none", "10.0.0.1:80", "GET", "/authz/nginx", with(without(nginx, "X-Original-URL"), "X-Original-URL", "javascript:x", "X-Original-URI", "/x"), 403, "bad_request", ""},
		{"URL without path", "10.0.0.1:80", "GET", "/authz/nginx", with(without(nginx, "X-Original-URL"), "X-Original-URL", "http://www.example.org"), 200, "ok", "/"},
		{"envoy", "10.0.0.1:80", "POST", "/authz/envoy//admin/../x?y=1", []string{"X-Forwarded-For", "203.0.113.7"}, 200, "ok", "//admin/../x"},
		{"envoy, forged headers", "10.0.0.1:80", "GET", "/authz/envoy/admin", good, 200, "ok", "/admin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, c := forward(t, warder.Decision{Reason: warder.OK})
			r := question(tt.peer, tt.method, tt.target, tt.header...)
			kind, ok := KindOf(r.RequestURI)
			if !ok {
				t.Fatal("no call")
			}
			w := httptest.NewRecorder()
			f.Serve(w, r, kind)
			h := w.Header()
			if w.Code != tt.status || h.Get("X-Warder-Reason") != tt.reason || c.q.Path != tt.path || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v, asked about %q", w.Code, h, c.q.Path)
			}
			if tt.path != "" && c.q.IP != netip.MustParseAddr("203.0.113.7") {
				t.Errorf("the client is %s", c.q.IP)
			}
			if want := map[bool]string{true: "allow", false: "block"}[w.Code == 200]; h.Get("X-Warder-Action") != want {
				t.Errorf("action %q", h.Get("X-Warder-Action"))
			}
			if w.Code == 200 && w.Body.Len() > 0 {
				t.Errorf("body %q", w.Body)
			}
		})
	}
}

func TestForwardKindOf(t *testing.T) {
	for target, want := range map[string]bool{
		"/authz/forward": true, "/authz/nginx?x=1": true, "/authz/envoy/": true, "/authz/envoy//x": true,
		"/authz/envoy": false, "/authz/": false, "/authz/forward/x": false, "/%61uthz/forward": false, "/": false, "": false,
	} {
		if _, ok := KindOf(target); ok != want {
			t.Errorf("%q: %t", target, ok)
		}
	}
}

// TestForwardAnswers: every decision in the words of every kind of proxy.
func TestForwardAnswers(t *testing.T) {
	url := "https://auth.example.org/.warder/challenge"
	after := int64(900)
	temporary := refused()
	temporary.RetryAfter = &after
	challenge := warder.Decision{Action: warder.Challenge, Reason: warder.Provider, ChallengeURL: &url, Message: "Please show that you are not a robot."}
	const html = "text/html,*/*;q=0.8"
	tests := []struct {
		name                    string
		kind                    Kind
		d                       warder.Decision
		method, accept          string
		status                  int
		action, location, kind2 string
		body                    string
	}{
		{"block, page", Generic, refused(), "GET", html, 403, "block", "", "text/html; charset=utf-8", ref},
		{"block, data", Generic, refused(), "GET", "application/json", 403, "block", "", "application/problem+json", `"reference":"` + ref + `"`},
		{"block, nginx", Nginx, refused(), "GET", html, 403, "block", "", "text/html; charset=utf-8", ref},
		{"block, envoy", Envoy, temporary, "POST", "", 403, "block", "", "application/problem+json", ref},
		{"mfa is for the application", Generic, warder.Decision{Action: warder.MFA, Reason: warder.DemandStanding}, "GET", html, 200, "mfa", "", "", ""},
		{"challenge, page", Generic, challenge, "GET", html, 302, "challenge", url, "application/problem+json", "robot"},
		{"challenge, form", Generic, challenge, "POST", html, 303, "challenge", url, "application/problem+json", "robot"},
		{"challenge, data", Generic, challenge, "GET", "application/json", 401, "challenge", "", "application/problem+json", "robot"},
		{"challenge, nginx", Nginx, challenge, "GET", html, 401, "challenge", url, "application/problem+json", "robot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := forward(t, tt.d)
			header := []string{
				"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Method", tt.method, "X-Forwarded-Uri", "/x",
				"X-Original-Method", tt.method, "X-Original-URI", "/x",
			}
			target := map[Kind]string{Generic: GenericPath, Nginx: NginxPath, Envoy: EnvoyPath + "/x"}[tt.kind]
			r := question("10.0.0.1:80", "GET", target, header...)
			r.Header.Set("Accept", tt.accept)
			w := httptest.NewRecorder()
			f.Serve(w, r, tt.kind)
			h := w.Header()
			if w.Code != tt.status || h.Get("X-Warder-Action") != tt.action || h.Get("Location") != tt.location ||
				h.Get("Content-Type") != tt.kind2 || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("%d %v\n%s", w.Code, h, w.Body)
			}
			if tt.d.Reference != "" && h.Get("X-Warder-Reference") != tt.d.Reference {
				t.Errorf("reference %q", h.Get("X-Warder-Reference"))
			}
			if tt.d.RetryAfter != nil && h.Get("Retry-After") != "900" {
				t.Errorf("Retry-After %q", h.Get("Retry-After"))
			}
		})
	}
}

// TestForwardFailsClosed: a mistake of ours lets nobody through.
func TestForwardFailsClosed(t *testing.T) {
	f, _ := forward(t, warder.Decision{})
	f.opts.Checker = nil
	w := httptest.NewRecorder()
	f.Serve(w, question("10.0.0.1:80", "GET", EnvoyPath+"/x", "X-Forwarded-For", "203.0.113.7"), Envoy)
	if w.Code != http.StatusForbidden || w.Header().Get("X-Warder-Degraded") != "1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// TestDeniedPage: it needs nothing from anywhere and shows nothing that a
// stranger can choose.
func TestDeniedPage(t *testing.T) {
	p := Denied{Brand: "Example <SMS>", Contact: "help@example.org"}
	get := func(target string, header ...string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, question("203.0.113.7:80", "GET", target, header...))
		return w
	}
	w := get("/denied?ref="+ref, "Accept", "text/html", "Accept-Language", "de-AT,de;q=0.9,en;q=0.8")
	page := w.Body.String()
	for _, want := range []string{`<html lang="de">`, "Zugriff verweigert", ref, "help@example.org", "Example &lt;SMS&gt;", "prefers-color-scheme:dark", "width=device-width"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "http:", "https:", "url(", "src=", "href=", "Example <SMS>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	if w.Code != http.StatusForbidden || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, lang := range []string{"", "xx", "fr;q=1", "es-MX", strings.Repeat("a", 10000)} {
		if w := get("/denied", "Accept", "text/html", "Accept-Language", lang); !strings.Contains(w.Body.String(), "<h1>") {
			t.Errorf("%q: %s", lang, w.Body)
		}
	}
	for _, bad := range []string{"<script>", "7K3M-22QU", "7k3m-22qp", "7K3M22QP", "7K3M-22QP7", "%00%00%00%00-aaaa"} {
		if w := get("/denied?ref="+bad, "Accept", "text/html"); strings.Contains(w.Body.String(), "class=\"reference\"") {
			t.Errorf("%q is shown: %s", bad, w.Body)
		}
	}
	if w := get("/denied?ref="+ref, "Accept", "*/*"); w.Header().Get("Content-Type") != "application/problem+json" ||
		!strings.Contains(w.Body.String(), `"status":403`) {
		t.Errorf("for programs: %v %s", w.Header(), w.Body)
	}
}
