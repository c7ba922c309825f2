package web

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func built(t *testing.T) *Pages {
	t.Helper()
	p, err := New(fstest.MapFS{
		"index.html":       {Data: []byte(`<meta content="{{nonce}}"><script src="/assets/a-1.js"></script>`)},
		"assets/a-1.js":    {Data: []byte("plain")},
		"assets/a-1.js.br": {Data: []byte("brotli")},
		"assets/a-1.js.gz": {Data: []byte("gzip")},
		"favicon.svg":      {Data: []byte("<svg/>")},
		".gitkeep":         {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPageHasANonceOfItsOwn(t *testing.T) {
	p := built(t)
	seen := map[string]bool{}
	for range 3 {
		w := httptest.NewRecorder()
		p.Page(w, httptest.NewRequest("GET", "/blocks?state=all", nil))
		csp := w.Header().Get("Content-Security-Policy")
		m := regexp.MustCompile(`style-src 'self' 'nonce-([\w-]{22})';`).FindStringSubmatch(csp)
		if m == nil {
			t.Fatalf("no nonce in %q", csp)
		}
		if !strings.Contains(w.Body.String(), `<meta content="`+m[1]+`">`) {
			t.Errorf("the page does not carry the nonce of its policy: %s", w.Body)
		}
		if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("the policy has an exception: %q", csp)
		}
		if cache := w.Header().Get("Cache-Control"); cache != "no-store" {
			t.Errorf("Cache-Control %q", cache)
		}
		seen[m[1]] = true
	}
	if len(seen) != 3 {
		t.Errorf("nonces repeat: %v", seen)
	}
}

func TestAssets(t *testing.T) {
	p := built(t)
	for _, test := range []struct {
		path, accept    string
		found           bool
		body, cache     string
		encoding, ctype string
	}{
		{"/assets/a-1.js", "gzip, br", true, "brotli", "immutable", "br", "text/javascript"},
		{"/assets/a-1.js", "gzip, br;q=0", true, "gzip", "immutable", "gzip", "text/javascript"},
		{"/assets/a-1.js", "", true, "plain", "immutable", "", "text/javascript"},
		{"/favicon.svg", "br", true, "<svg/>", "max-age=3600", "", "image/svg+xml"},
		{"/.gitkeep", "", false, "", "", "", ""},
		{"/assets/../index.html", "", false, "", "", "", ""},
		{"/assets/a-1.js.br", "", false, "", "", "", ""},
		{"/assets/none.js", "", false, "", "", "", ""},
	} {
		r := httptest.NewRequest("GET", test.path, nil)
		r.Header.Set("Accept-Encoding", test.accept)
		w := httptest.NewRecorder()
		if found := p.Asset(w, r); found != test.found {
			t.Errorf("%s: found %v", test.path, found)
		}
		h := w.Header()
		if w.Body.String() != test.body || h.Get("Content-Encoding") != test.encoding ||
			!strings.Contains(h.Get("Cache-Control"), test.cache) || !strings.Contains(h.Get("Content-Type"), test.ctype) {
			t.Errorf("%s with %q: %q %v", test.path, test.accept, w.Body, h)
		}
	}
}

func TestFallbackSaysHowToBuild(t *testing.T) {
	p, err := New(fstest.MapFS{".gitkeep": {}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.Page(w, httptest.NewRequest("GET", "/", nil))
	if p.IsBuilt() || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("built %v: %s", p.IsBuilt(), w.Body)
	}
}

func TestIndexWithoutNonceIsRefused(t *testing.T) {
	if _, err := New(fstest.MapFS{"index.html": {Data: []byte("<p>")}}); err == nil {
		t.Error("an index.html without a place for the nonce was taken")
	}
}
