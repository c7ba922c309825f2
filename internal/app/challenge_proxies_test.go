package app

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warderhq/warder/internal/config"
)

// TestRealProxiesChallenge: nginx, Caddy and HAProxy with the configurations of
// the documentation send a challenged visitor to the page, let it through with
// the clearance, and without the page's settings let it through as before.
func TestRealProxiesChallenge(t *testing.T) {
	for _, tt := range realProxies {
		t.Run(tt.name, func(t *testing.T) {
			var reached atomic.Int64
			application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				reached.Add(1)
				_, _ = w.Write([]byte("welcome"))
			}))
			t.Cleanup(application.Close)
			file := filepath.Join(t.TempDir(), "policy.yaml")
			putFile(t, file, strings.Replace(demanding, "%s", "challenge", 1))
			port := freePort(t)
			w := start(t, filepath.Join(t.TempDir(), "data"), func(c *config.Config) {
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
				c.ProtectLoopback = false
				c.PolicyFile = file
				c.PublicListen, c.PublicURL = "127.0.0.1:0", "http://www.example.org"
				c.Challenge.Difficulty = 8
			})
			tt.run(t, w.app.Addr(), w.app.PublicAddr(), strings.TrimPrefix(application.URL, "http://"), port, false)
			const good, bad = "127.0.0.9", "127.0.0.77"
			for i := range 2 {
				w.report(map[string]any{"name": "USER_LOGIN_FAILURE", "ip": bad, "account": "alice", "id": fmt.Sprint(i)})
			}
			if status, body, _ := ask(t, port, good, "GET", "/x"); status != 200 || body != "welcome" {
				t.Fatalf("a good client: %d %s", status, body)
			}
			before := reached.Load()
			status, _, h := ask(t, port, bad, "GET", "/shop?item=7", "Accept", browsers)
			link, ok := strings.CutPrefix(h.Get("Location"), "http://www.example.org")
			if status < 302 || status > 303 || !ok || !strings.HasPrefix(link, "/.warder/challenge?t=") {
				t.Fatalf("a challenged client: %d %v", status, h)
			}
			for _, target := range append(confusing(), "/.warder/../admin", "/.warder/%2e%2e/admin", "/.warder/challenge/../../admin", "/.warder//../admin", "/.warder/..;/admin") {
				for _, method := range []string{"GET", "POST"} {
					if status, body, _ := ask(t, port, bad, method, target); body == "welcome" || status == 200 {
						t.Errorf("%s %s: %d %s", method, target, status, body)
					}
				}
			}
			for _, host := range []string{"www.example.org:1234", "www.example.org:", "WWW.example.org", "www.example.org."} {
				if status, body, _ := ask(t, port, bad, "GET", "/", "Host", host); body == "welcome" {
					t.Errorf("as %s: %d %s", host, status, body)
				}
			}
			if n := reached.Load() - before; n != 0 {
				t.Errorf("%d requests of the challenged client reached the application", n)
			}

			status, page, _ := ask(t, port, bad, "GET", link, "Accept", "text/html")
			m := dataPage.FindStringSubmatch(page)
			if status != 200 || m == nil {
				t.Fatalf("the page: %d %s", status, page)
			}
			var p posedPage
			if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &p); err != nil {
				t.Fatal(err)
			}
			if status, _, _ := ask(t, port, bad, "GET", "/.warder/solve.js"); status != 200 {
				t.Errorf("solve.js: %d", status)
			}
			send, _ := json.Marshal(give{"ticket": p.Ticket, "token": solve(t, p)})
			status, body, h := askWith(t, port, bad, "POST", "/.warder/challenge", string(send), "Content-Type", "application/json")
			if status != 200 || !strings.Contains(body, `"return":"/shop?item=7"`) {
				t.Fatalf("solved: %d %s", status, body)
			}
			cookie := reply{header: h}.cookie("warder_clearance")
			if status, body, _ := ask(t, port, bad, "GET", "/shop?item=7", "Cookie", "a=b; warder_clearance="+cookie+"; c=d,e"); status != 200 || body != "welcome" {
				t.Errorf("with the clearance: %d %s", status, body)
			}
			if status, body, _ := ask(t, port, bad, "GET", "/", "Cookie", "warder_clearance=x"+cookie); body == "welcome" {
				t.Errorf("with a forged clearance: %d", status)
			}
			// Nothing of the dashboard or the API is where the pages are.
			for _, target := range []string{"/.warder/../v1/status", "/.warder/", "/.warder/v1/status"} {
				if status, body, _ := ask(t, port, good, "GET", target); status == 200 && body != "welcome" {
					t.Errorf("%s: %d %s", target, status, body)
				}
			}
		})
	}
}

// TestPublicListen: the pages have a listener of their own, on which nothing of
// the dashboard or the API is, and they are not where the dashboard is.
func TestPublicListen(t *testing.T) {
	w := start(t, filepath.Join(t.TempDir(), "data"), func(c *config.Config) {
		c.PublicListen, c.PublicURL, c.Challenge.Difficulty = "127.0.0.1:0", "https://warder.example.org", 8
		c.Challenge.Origins = []string{"https://www.example.org"}
		file := filepath.Join(t.TempDir(), "policy.yaml")
		putFile(t, file, strings.Replace(demanding, "%s", "challenge", 1))
		c.PolicyFile = file
	})
	get := func(base, target string) reply {
		r, err := http.NewRequest("GET", base+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, &http.Client{Transport: &http.Transport{}}, r)
	}
	if w.app.public.held == nil {
		t.Error("one address may hold all of its connections")
	}
	public := "http://" + w.app.PublicAddr()
	for _, target := range []string{"/", "/v1/status", "/v1/check", "/healthz", "/readyz", "/metrics", "/openapi.json", "/authz/nginx", "/denied", "/setup"} {
		if r := get(public, target); r.status != 404 || !strings.Contains(r.body, "There is nothing at this path.") {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
	for _, target := range []string{"/.warder/challenge", "/.warder/denied", "/.warder/solve.js", "/.warder/"} {
		if r := get(w.app.URL(), target); r.status != 404 {
			t.Errorf("the dashboard's port serves %s: %d", target, r.status)
		}
	}
	if r := get(public, "/.warder/denied"); r.status != 403 {
		t.Errorf("denied: %d", r.status)
	}
	// An application learns where the challenge is, people solve it, and the
	// application sends the clearance with the attempt.
	var key struct{ Token string }
	w.local("POST", "/v1/keys", map[string]any{"name": "app2", "scopes": []string{"events", "check"}, "can": []string{"challenge"}}, &key)
	w.key = key.Token
	const from = "127.0.0.1" // whoever reaches the listener here
	for i := range 2 {
		w.report(map[string]any{"name": "USER_LOGIN_FAILURE", "ip": "203.0.113.7", "account": "alice", "realm": "user", "id": fmt.Sprint(i)})
	}
	var d struct {
		Attempt  string
		Decision struct {
			Action string
			URL    string `json:"challenge_url"`
		}
	}
	w.post("/v1/attempts", map[string]any{"ip": "203.0.113.7", "account": "alice", "realm": "user", "event": "USER_LOGIN"}, &d)
	link, ok := strings.CutPrefix(d.Decision.URL, "https://warder.example.org/.warder/challenge?t=")
	if !ok || d.Decision.Action != "challenge" || d.Attempt != "" {
		t.Fatalf("the decision: %+v", d)
	}
	p, got := openChallenge(t, http.DefaultClient, public+"/.warder/challenge?t="+link+"&return=https%3A%2F%2Fwww.example.org%2Flogin", "")
	if got.status != 200 {
		t.Fatalf("the page: %d", got.status)
	}
	answer, got := sendSolution(t, http.DefaultClient, public+"/.warder/challenge", "", give{"ticket": p.Ticket, "token": solve(t, p)})
	if !strings.HasPrefix(answer.Return, "https://www.example.org/login?warder_clearance=") {
		t.Fatalf("solved from %s: %d %s", from, got.status, got.body)
	}
}
