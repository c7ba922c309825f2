package gate

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/warderhq/warder"
)

// TestForwardContract puts the requests that each proxy sends, by its own
// documentation, and sees that the answer is one that this proxy understands:
// yes only for yes, and never what it would take for a mistake of ours.
func TestForwardContract(t *testing.T) {
	const browser = "User-Agent: Mozilla/5.0\nAccept: text/html,*/*;q=0.8\nAccept-Language: de\nCookie: session=1\n"
	url := "https://auth.example.org/.warder/challenge"
	proxies := []struct {
		name    string
		request string
		yes     func(int) bool // what lets a request through
		no      func(int) bool // what the client is given as it is
		method  string
	}{
		{
			"nginx auth_request, our page",
			"GET /authz/nginx HTTP/1.1\nHost: warder\nX-Original-URL: https://www.example.org/a//b%2fc?q=1\nX-Original-Method: POST\n" +
				"X-Forwarded-For: 203.0.113.7\n" + browser,
			func(s int) bool { return s/100 == 2 }, func(s int) bool { return s == 401 || s == 403 }, "POST",
		},
		{
			"ingress-nginx auth-url",
			"GET /authz/nginx HTTP/1.1\nHost: warder.default.svc.cluster.local\nX-Original-URL: https://www.example.org/a//b%2fc?q=1\n" +
				"X-Original-URI: /a//b%2fc?q=1\nX-Original-Method: POST\nX-Sent-From: nginx-ingress-controller\nX-Real-IP: 203.0.113.7\n" +
				"X-Forwarded-For: 203.0.113.7\nX-Forwarded-Proto: \nX-Scheme: https\nX-Auth-Request-Redirect: /a//b%2fc?q=1\nX-Request-ID: 1\n" + browser,
			func(s int) bool { return s/100 == 2 }, func(s int) bool { return s == 401 || s == 403 }, "POST",
		},
		{
			"Traefik ForwardAuth",
			"GET /authz/forward HTTP/1.1\nHost: 127.0.0.1:8420\nX-Forwarded-Method: POST\nX-Forwarded-Proto: https\nX-Forwarded-Host: www.example.org\n" +
				"X-Forwarded-Uri: /a//b%2fc?q=1\nX-Forwarded-For: 203.0.113.7\nX-Forwarded-Port: 443\nX-Forwarded-Server: t\nX-Real-Ip: 203.0.113.7\n" + browser,
			func(s int) bool { return s/100 == 2 }, func(s int) bool { return s/100 != 2 && s < 500 }, "POST",
		},
		{
			"Caddy forward_auth",
			"GET /authz/forward HTTP/1.1\nHost: 127.0.0.1:8420\nX-Forwarded-Method: POST\nX-Forwarded-Uri: /a//b%2fc?q=1\nX-Forwarded-For: 203.0.113.7\n" +
				"X-Forwarded-Proto: https\nX-Forwarded-Host: www.example.org\nAccept-Encoding: gzip\n" + browser,
			func(s int) bool { return s/100 == 2 }, func(s int) bool { return s/100 != 2 && s < 500 }, "POST",
		},
		{
			"HAProxy, auth-request in Lua",
			"HEAD /authz/forward HTTP/1.1\nHost: 127.0.0.1:8420\nX-Forwarded-Method: POST\nX-Forwarded-Uri: /a//b%2fc?q=1\nX-Forwarded-For: 203.0.113.7\n" + browser,
			func(s int) bool { return s/100 == 2 }, func(s int) bool { return s/100 != 2 && s < 500 }, "POST",
		},
		{
			"Envoy ext_authz over HTTP",
			"POST /authz/envoy/a//b%2fc?q=1 HTTP/1.1\nHost: www.example.org\nContent-Length: 0\nX-Forwarded-For: 203.0.113.7\n" +
				"User-Agent: Mozilla/5.0\nAccept: text/html,*/*;q=0.8\nAuthorization: Basic YTpi\nX-Envoy-Internal: true\n",
			func(s int) bool { return s == 200 }, func(s int) bool { return s != 200 && s < 500 }, "POST",
		},
		{
			"Envoy, a request of WebSocket",
			"GET /authz/envoy/a//b%2fc?q=1 HTTP/1.1\nHost: www.example.org\nContent-Length: 0\nX-Forwarded-For: 203.0.113.7\nAuthorization: Basic YTpi\n",
			func(s int) bool { return s == 200 }, func(s int) bool { return s != 200 && s < 500 }, "GET",
		},
	}
	for _, p := range proxies {
		ask := func(d warder.Decision, drop string) (*httptest.ResponseRecorder, *checker) {
			t.Helper()
			f, c := forward(t, d)
			var lines []string
			for line := range strings.SplitSeq(p.request, "\n") {
				if drop == "" || !strings.HasPrefix(strings.ToLower(line), drop) {
					lines = append(lines, line)
				}
			}
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n")))
			if err != nil {
				t.Fatal(p.name, err)
			}
			r.RemoteAddr = "10.0.0.1:4711"
			kind, ok := KindOf(r.RequestURI)
			if !ok {
				t.Fatalf("%s: %s is no call", p.name, r.RequestURI)
			}
			w := httptest.NewRecorder()
			f.Serve(w, r, kind)
			return w, c
		}
		w, c := ask(warder.Decision{Reason: warder.OK}, "")
		if !p.yes(w.Code) || w.Body.Len() > 0 {
			t.Errorf("%s: yes is %d %s", p.name, w.Code, w.Body)
		}
		if c.q.IP != netip.MustParseAddr("203.0.113.7") || c.q.Path != "/a//b%2fc" || c.q.Method != p.method {
			t.Errorf("%s: asked about %s %s %s", p.name, c.q.IP, c.q.Method, c.q.Path)
		}
		for _, d := range []warder.Decision{
			refused(),
			{Action: warder.Challenge, Reason: warder.Provider, ChallengeURL: &url, Message: "m"},
			{Action: warder.Challenge, Reason: warder.Provider, Message: "m"},
		} {
			if w, _ := ask(d, ""); p.yes(w.Code) || !p.no(w.Code) {
				t.Errorf("%s: %s is %d", p.name, d.Action, w.Code)
			}
		}
		// Whatever is missing of what is needed, it is no yes, and no mistake of
		// ours either.
		for _, name := range []string{"x-original-method", "x-forwarded-method", "x-forwarded-uri", "x-forwarded-for"} {
			if !strings.Contains(strings.ToLower(p.request), "\n"+name+":") {
				continue
			}
			if w, c := ask(warder.Decision{Reason: warder.OK}, name+":"); p.yes(w.Code) || !p.no(w.Code) || c.n > 0 {
				t.Errorf("%s without %s: %d", p.name, name, w.Code)
			}
		}
	}
}
