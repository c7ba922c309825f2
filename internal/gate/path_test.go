package gate

import (
	"strings"
	"testing"
)

func find(t *testing.T, p *Profile, path string) (string, bool) {
	t.Helper()
	ep, odd := p.find(path)
	if ep == nil {
		return "", odd
	}
	return string(ep.Kind), odd
}

func profile(t testing.TB, text string) *Profile {
	t.Helper()
	p, err := ParseProfile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFindEndpoint: a path that everybody reads alike is matched; one that
// could be an endpoint in somebody's reading only is refused; all others pass.
func TestFindEndpoint(t *testing.T) {
	p := profile(t, `
name: x
endpoints:
  - {kind: sign_in, paths: [/wp-login.php, /login, "*/signin"], success: [{status: [302]}]}
  - {kind: admin_area, paths: ["/admin/*"]}
`)
	tests := []struct {
		path, kind string
		odd        bool
	}{
		{"/", "", false},
		{"/login", "sign_in", false},
		{"/LOGIN/", "sign_in", false},
		{"/login.json", "sign_in", false},
		{"/login/x", "", false},
		{"/loginx", "", false},
		{"/login.backup-of-2024", "sign_in", false},
		{"/login.action", "sign_in", false},
		{"/login.php/x", "sign_in", false},
		{"/app/signin.anything", "sign_in", false},
		{"/app/signin.php/x", "sign_in", false},
		{"/index.php/login", "sign_in", false},
		{"/index.php/login/", "sign_in", false},
		{"/app/Index.PHP/LOGIN.json", "sign_in", false},
		{"/index.php/admin/users", "admin_area", false},
		{"/index.php/about/login", "", false},
		{"/index.php", "", false},
		{"/index.php/%6cogin", "sign_in", true},
		{"/x.php/../login", "sign_in", true},
		{"/admin.old", "", false},
		{"/wp-login.php/anything", "sign_in", false},
		{"/app/v1/signin", "sign_in", false},
		{"//signin", "sign_in", false},
		{"/signing", "", false},
		{"/admin", "admin_area", false},
		{"/admin/users", "admin_area", false},
		{"/admin/Q1%20report.pdf", "admin_area", false},
		{"/admin/a;b", "admin_area", false},
		{"/administrator", "", false},
		{"/a/b%2Fc", "", false},
		{"/files/a;b=c/d%20e/%E9", "", false},
		{"/.well-known/x", "", false},
		{"//admin", "admin_area", true},
		{"/%61dmin", "admin_area", true},
		{"/%2561dmin", "admin_area", true},
		{"/%25252525252561dmin", "", false},
		{"/x/../admin", "admin_area", true},
		{"/admin/../public", "admin_area", true},
		{"/x/..%2fadmin", "admin_area", true},
		{"/x/%2e%2e/admin", "admin_area", true},
		{"/;a/admin", "admin_area", true},
		{"/..;/admin", "admin_area", true},
		{"/admin;x", "admin_area", true},
		{"/admin%20", "admin_area", true},
		{"/admin%00", "admin_area", true},
		{"/admin%3fx", "admin_area", true},
		{"/admin%23x", "admin_area", true},
		{"/admin.", "admin_area", true},
		{"/x%5c..%5cadmin", "admin_area", true},
		{"/%c0%afadmin", "admin_area", true},
		{"/x/%c0%ae%c0%ae/admin", "admin_area", true},
		{"/%ef%bc%8fadmin", "admin_area", true},
		{"/./login", "sign_in", true},
		{"/login;jsessionid=1", "sign_in", true},
		{"/%6cogin", "sign_in", true},
		{"/wp-login.php%20", "sign_in", true},
	}
	for _, tt := range tests {
		if kind, odd := find(t, p, tt.path); kind != tt.kind || odd != tt.odd {
			t.Errorf("%s: %q odd %t, want %q odd %t", tt.path, kind, odd, tt.kind, tt.odd)
		}
	}
	all := profile(t, "name: x\nendpoints: [{kind: basic, paths: [/*]}]\n")
	for _, path := range []string{"/", "/a%20b", "/x/../y", "/%2e%2e", "//"} {
		if kind, odd := find(t, all, path); kind != "basic" || odd {
			t.Errorf("every path: %s is %q odd %t", path, kind, odd)
		}
	}
}

// TestSlashAtTheEnd: many applications write their paths with one, and so do
// those who write a profile.
func TestSlashAtTheEnd(t *testing.T) {
	p := profile(t, `
name: x
endpoints:
  - {kind: sign_in, paths: [/accounts/login/, "*/signin/"], success: [{status: [302]}]}
`)
	for _, path := range []string{"/accounts/login/", "/accounts/login", "/app/signin", "/app/signin/"} {
		if kind, odd := find(t, p, path); kind != "sign_in" || odd {
			t.Errorf("%s: %q %v", path, kind, odd)
		}
	}
}

// TestEndpointsOfOnePath: an endpoint that is for some requests only hides no
// other one, in no spelling of the path.
func TestEndpointsOfOnePath(t *testing.T) {
	p := profile(t, `
name: x
endpoints:
  - {kind: sign_in, paths: ["/*"], when: [one_time_token], success: [{status: [302]}]}
  - {kind: sign_in, paths: [/login], password: [password], success: [{status: [302]}]}
`)
	for _, path := range []string{"/login", "/LOGIN/", "/%6cogin", "//login", "/x/../login", "/login;x", "/index.php/login"} {
		ep, odd := p.find(path)
		if ep == nil || odd {
			t.Fatal(path, ep, odd)
		}
		if all := p.at(ep, path); len(all) != 2 {
			t.Errorf("%s: %d endpoints", path, len(all))
		}
	}
}

// FuzzReadings: a path that is read is plain for whoever reads it again, and
// what is plain has no second reading.
func FuzzReadings(f *testing.F) {
	for _, s := range []string{"/login", "/x/..%2fadmin;a", "/%2561dmin", "//a/./b/", "/%c0%ae%c0%ae/x", "/a%zz%4", "/;/..;/", "*", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := read(s)
		if r.plain {
			if r.paths[0] != trimSlash(strings.ToLower(s)) || r.paths[1] != "" {
				t.Fatalf("%q: %q", s, r.paths)
			}
			return
		}
		for _, path := range r.paths[1:] {
			if path == "" || path[0] != '/' || strings.Contains(path, "//") || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./") {
				t.Fatalf("%q reads as %q", s, path)
			}
		}
	})
}

// TestClimbs: an application below a path is not reached around what the gate
// matches.
func TestClimbs(t *testing.T) {
	for path, want := range map[string]bool{
		"/": false, "/a/b.c": false, "/a..b": false, "/%61": false, "/../app/login": true, "/x/../../app/login": true, "/%2e%2e/app/login": true,
		"/..;/app/login": true, "/x%2f..%2f..": true, "/%252e%252e/": true, "/x\\..\\..": true, "/x%3f/../..": true, "/%c0%ae%c0%ae/x": true,
	} {
		if got := climbs(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}
