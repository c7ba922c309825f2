package api

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/gate"
)

func withForwardAuth(t testing.TB) (*Server, *fake) {
	t.Helper()
	s, f := bare(t, Options{})
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	proxies, err := clientip.New(clientip.Options{Trusted: trusted})
	if err != nil {
		t.Fatal(err)
	}
	keyed, err := clientip.New(clientip.Options{Trusted: trusted, TrustUnix: true})
	if err != nil {
		t.Fatal(err)
	}
	s.ForwardAuth(gate.ForwardOptions{Proxies: proxies, Keyed: keyed})
	return s, f
}

// TestForwardAuthDoor: trusted proxies and keys of scope check get an answer,
// by any method and with any path behind Envoy's prefix; nobody else does.
func TestForwardAuthDoor(t *testing.T) {
	s, f := withForwardAuth(t)
	ask := func(peer, method, target, auth string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", nil)
		r.RequestURI, r.URL.Path, r.RemoteAddr = target, target, peer
		for name, value := range map[string]string{
			"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/login",
			"X-Original-Method": "POST", "X-Original-Uri": "/login", "Sec-Fetch-Site": "cross-site", "Authorization": auth,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w
	}
	const proxy, stranger = "127.0.0.1:999", "198.51.100.1:999"
	for _, target := range []string{"/authz/forward", "/authz/nginx", "/authz/envoy/login", "/authz/envoy//x/../login", "/authz/envoy/a/./b"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"} {
			if w := ask(proxy, method, target, ""); w.Code != http.StatusOK {
				t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
			}
		}
		for auth, want := range map[string]int{
			"": 403, "Basic YTpi": 403, bearer(ScopeCheck): 200, bearer(ScopeAdmin): 200, bearer(ScopeEvents): 403, bearer(ScopeRead): 403,
			"Bearer wk_nobody_" + testSecret: 403,
		} {
			calls := f.calls
			if w := ask(stranger, "GET", target, auth); w.Code != want || (f.calls > calls) != (want == 200) {
				t.Errorf("%s with %q: %d %s", target, auth, w.Code, w.Body)
			}
		}
	}
	if w := ask(stranger, "GET", "/denied", ""); w.Code != http.StatusForbidden {
		t.Errorf("/denied: %d", w.Code)
	}
	bare, _ := bare(t, Options{})
	if w := call(t, bare, "GET", "/authz/forward", ""); w.Code != http.StatusNotFound {
		t.Errorf("without forward auth: %d", w.Code)
	}
}

// BenchmarkForwardAuth is /authz/forward on the allow path; compare
// BenchmarkForwardBare.
func BenchmarkForwardAuth(b *testing.B) {
	s, _ := withForwardAuth(b)
	serveBench(b, s, s.Handler(), ask)
}

// BenchmarkForwardBare is what net/http does by itself with the same question.
func BenchmarkForwardBare(b *testing.B) {
	s, _ := withForwardAuth(b)
	serveBench(b, s, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }), ask)
}

// ask is a question of a proxy.
func ask(base string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodGet, base+gate.GenericPath, nil)
	if err == nil {
		req.Header = http.Header{
			"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {"/x?y=1"},
			"X-Forwarded-Host": {"www.example.org"}, "User-Agent": {"Mozilla/5.0"}, "Accept": {"text/html"},
		}
	}
	return req, err
}
