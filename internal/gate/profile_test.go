package gate

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
)

// TestShippedProfiles: every profile that comes with Warder is valid, is called
// like its file, and that of a product says with which version it was run, or
// that nobody has.
func TestShippedProfiles(t *testing.T) {
	run := map[string]bool{"generic-form": true, "generic-json": true, "basic-auth": true, "sms-platform": true}
	for _, name := range ProfileNames() {
		p, err := LoadProfile(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := p.Test(); err != nil || len(p.Tests) == 0 {
			t.Errorf("%s: %d tests: %v", name, len(p.Tests), err)
		}
		if p.Name != name || p.About == "" || run[name] == (p.Unverified || p.Verified != "") {
			t.Errorf("%s: name %q, about %q, unverified %t, verified %q", name, p.Name, p.About, p.Unverified, p.Verified)
		}
		delete(run, name)
	}
	if len(run) > 0 {
		t.Errorf("missing: %v", run)
	}
	if _, err := LoadProfile("nothing"); err == nil || !strings.Contains(err.Error(), "generic-form") {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := LoadProfile("./nothing.yaml"); err == nil {
		t.Error("a file that is not there")
	}
}

func TestProfileFaults(t *testing.T) {
	tests := []struct {
		text string
		want []string // places
	}{
		{"name: x\nsessions: ['a b']\n", []string{"sessions[0]", "endpoints"}},
		{"endpoints: [{kind: nothing}]\n", []string{"name", "endpoints[0].kind", "endpoints[0].paths"}},
		{"name: x\nendpoints: [{kind: sign_in, paths: [login, //x, /a%20b, '/a*b', '*', '']}]\n", []string{
			"endpoints[0].paths[0]", "endpoints[0].paths[1]", "endpoints[0].paths[2]", "endpoints[0].paths[3]",
			"endpoints[0].paths[4]", "endpoints[0].paths[5]", "endpoints[0].success",
		}},
		{"name: x\nendpoints: [{kind: sign_in, paths: [/x], when: [''], account: [a, ''], password: [''], success: [{status: [302]}]}]\n", []string{
			"endpoints[0].when[0]", "endpoints[0].account[1]", "endpoints[0].password[0]",
		}},
		{"name: x\nendpoints: [{kind: mfa, paths: [/x], success: [{}], failure: [{status: [99]}]}]\n", []string{
			"endpoints[0].failure[0].status", "endpoints[0].success[0]",
		}},
	}
	for _, tt := range tests {
		_, err := ParseProfile([]byte(tt.text))
		faults, ok := errors.AsType[warder.Faults](err)
		if !ok {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		var got []string
		for _, f := range faults {
			got = append(got, f.Location)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q:\n%s", tt.text, diff)
		}
	}
	for _, text := range []string{"", "a: [", "name: x\nunknown: y\n", strings.Repeat("#", maxProfile+1)} {
		if _, err := ParseProfile([]byte(text)); err == nil {
			t.Errorf("%.20q is accepted", text)
		}
	}
}

// TestOutcomes: exchanges as the shipped profiles have to read them.
func TestOutcomes(t *testing.T) {
	tests := []struct {
		profile, path string
		r             response
		want          warder.Outcome
	}{
		{"generic-form", "/login", response{status: 302, location: "/"}, warder.Success},
		{"generic-form", "/login", response{status: 303, location: "/login"}, warder.Failure},
		{"generic-form", "/login", response{status: 302, location: "/?error=1"}, warder.Failure},
		{"generic-form", "/login", response{status: 200}, warder.Failure},
		{"generic-form", "/login", response{status: 401}, warder.Failure},
		{"generic-form", "/login", response{status: 503}, warder.OutcomeError},
		{"generic-form", "/login", response{status: 429}, warder.OutcomeError},
		{"generic-form", "/login", response{status: 404}, warder.OutcomeError},
		{"generic-form", "/admin/login", response{status: 302, location: "/admin"}, warder.Success},
		{"generic-json", "/api/login", response{status: 200, body: []byte(`{"token":"x"}`)}, warder.Success},
		{"generic-json", "/api/login", response{status: 200, body: []byte(`{"success":false}`)}, warder.Failure},
		{"generic-json", "/api/login", response{status: 401}, warder.Failure},
		{"generic-json", "/api/login", response{status: 500}, warder.OutcomeError},
		{"basic-auth", "/x", response{status: 401}, warder.Failure},
		{"basic-auth", "/x", response{status: 404}, warder.OutcomeError},
		{"basic-auth", "/x", response{status: 200}, warder.Success},
		{"basic-auth", "/x", response{status: 304}, warder.Success},
		{"sms-platform", "/login", response{status: 303, location: "/home", session: true}, warder.Success},
		{"sms-platform", "/login", response{status: 303, location: "/home"}, warder.Failure},
		{"sms-platform", "/login", response{status: 200}, warder.Failure},
		{"sms-platform", "/admin/login", response{status: 303, location: "/admin/login?e=1", session: true}, warder.Failure},
	}
	for _, tt := range tests {
		p, err := LoadProfile(tt.profile)
		if err != nil {
			t.Fatal(err)
		}
		ep, odd := p.find(tt.path)
		if ep == nil || odd {
			t.Fatalf("%s does not know %s", tt.profile, tt.path)
		}
		if got, _ := ep.outcome(&tt.r); got != tt.want {
			t.Errorf("%s %s %+v: %s, want %s", tt.profile, tt.path, tt.r, got, tt.want)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"/login", "/login", true},
		{"/login", "/login/", false},
		{"/login*", "/login?x", true},
		{"*error*", "/?error=1", true},
		{"*error*", "/", false},
		{"a*b*c", "a-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"*", "", true},
		{"", "", true},
		{"ab*ba", "aba", false},
	} {
		if got := glob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("glob(%q, %q) = %t", tt.pattern, tt.s, got)
		}
	}
}

// FuzzCredentials: whatever a stranger sends is read or refused.
func FuzzCredentials(f *testing.F) {
	f.Add("application/json", `{"username":"a","password":{"x":["y"]}}`)
	f.Add("application/x-www-form-urlencoded", "username=a&password=%zz&;")
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\na\r\n--b--")
	f.Add("", "\x00")
	e := &Endpoint{Kind: SignIn, Account: []string{"username"}, Password: []string{"password", "password.x"}}
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		_, c, err := claimsOf(httptest.NewRecorder(), r, []*Endpoint{e}, unlimited)
		if err != nil {
			if _, ok := errors.AsType[*statusError](err); !ok {
				t.Fatal(err)
			}
			return
		}
		if len(c.account) > warder.MaxAccount || c.given != (body != "") {
			t.Fatalf("%+v", c)
		}
	})
}

// TestProfileOfTheDocumentation: the example is a profile, and its exchanges
// are read as it says.
func TestProfileOfTheDocumentation(t *testing.T) {
	b, err := os.ReadFile("../../docs/profiles.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	p, err := ParseProfile([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Test(); err != nil || len(p.Tests) == 0 {
		t.Error(err)
	}
	for _, name := range ProfileNames() {
		if !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("%s is not named", name)
		}
	}
}
