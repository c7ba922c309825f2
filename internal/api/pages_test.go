package api

import (
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/warderhq/warder/internal/web"
)

// TestPages asks for pages, files and calls as browsers and programs do.
func TestPages(t *testing.T) {
	pages, err := web.New(fstest.MapFS{
		"index.html":    {Data: []byte("dashboard {{nonce}}")},
		"assets/a-1.js": {Data: []byte("script")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := bare(t, Options{Dashboard: pages})
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, test := range []struct {
		method, path, accept string
		status               int
		body                 string
	}{
		{"GET", "/", browser, 200, "dashboard"},
		{"GET", "/", "*/*", 200, "Report what happens"},
		{"GET", "/blocks?state=all", browser, 200, "dashboard"},
		{"GET", "/references/7K3M-22QP", browser, 200, "dashboard"},
		{"GET", "/references/7K3M-22QP", "*/*", 200, "warder unblock"},
		{"GET", "/assets/a-1.js", "*/*", 200, "script"},
		{"GET", "/assets/gone.js", browser, 404, "nothing at this path"},
		{"GET", "/blocks", "application/json", 404, "nothing at this path"},
		{"POST", "/blocks", browser, 404, "nothing at this path"},
		{"GET", "/v1/nothing", browser, 404, "nothing at this path"},
		{"GET", "/authz/nothing", browser, 404, "nothing at this path"},
	} {
		w := call(t, s, test.method, test.path, "", "Accept", test.accept)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.body) {
			t.Errorf("%s %s for %s: %d %q", test.method, test.path, test.accept, w.Code, w.Body)
		}
		if w.Header().Get("X-Frame-Options") != "DENY" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: headers %v", test.method, test.path, w.Header())
		}
	}
	if w := call(t, s, http.MethodHead, "/blocks", "", "Accept", browser); w.Code != 200 || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d %q", w.Code, w.Body)
	}
}
