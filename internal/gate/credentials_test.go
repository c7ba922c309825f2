package gate

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSameMistake: only what the application cannot read as another guess is
// the same mistake again.
func TestSameMistake(t *testing.T) {
	const (
		form = "application/x-www-form-urlencoded"
		json = "application/json"
		part = "multipart/form-data; boundary=b"
	)
	field := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	tests := []struct {
		name, kind, target  string
		first, second       string
		header, otherHeader string
		same                bool
	}{
		{name: "again", kind: form, first: "username=a&password=x", second: "username=a&password=x", same: true},
		{name: "another token of the form", kind: form, first: "csrf_token=aB1-&username=a&password=x", second: "csrf_token=cD2_&username=a&password=x", same: true},
		{name: "another token of Django", kind: form, first: "csrfmiddlewaretoken=aB1&username=a&password=x", second: "csrfmiddlewaretoken=cD2&username=a&password=x", same: true},
		{name: "another token of Rails", kind: form, first: "authenticity_token=aB%2B%3D%3D&username=a&password=x", second: "authenticity_token=cD1%2F&username=a&password=x", same: true},
		{name: "another token, in parts", kind: part, first: field("_token", "aB") + field("username", "a") + field("password", "x") + "--b--\r\n", second: field("_token", "cD") + field("username", "a") + field("password", "x") + "--b--\r\n", same: true},
		{name: "another password", kind: form, first: "username=a&password=x", second: "username=a&password=y"},
		{name: "behind a decoy", kind: form, first: "username=a&password=x&pass=1", second: "username=a&password=x&pass=2"},
		{name: "in a field that nobody named", kind: form, first: "username=a&password=x&geheim=1", second: "username=a&password=x&geheim=2"},
		{name: "a decoy in the query", kind: form, target: "?password=x", first: "username=a&pass=1", second: "username=a&pass=2"},
		{name: "another account behind a decoy", kind: form, first: "username=a&user=b&password=x", second: "username=a&user=c&password=x"},
		{name: "in another case", kind: json, first: `{"username":"a","password":"x","Pass":"1"}`, second: `{"username":"a","password":"x","Pass":"2"}`},
		{name: "behind the document", kind: json, first: `{"username":"a","password":"x"}{"password":"1"}`, second: `{"username":"a","password":"x"}{"password":"2"}`},
		{name: "in a token", kind: form, first: `{"x":"&username=a&password=x&csrf=","geheim":"1"}`, second: `{"x":"&username=a&password=x&csrf=","geheim":"2"}`},
		{name: "in parts", kind: part, first: field("username", "a") + field("password", "x") + field("pass", "1") + "--b--\r\n", second: field("username", "a") + field("password", "x") + field("pass", "2") + "--b--\r\n"},
		{name: "beside Basic", kind: form, first: "username=a&password=x", second: "username=a&password=x", header: "Basic YTox", otherHeader: "Basic YToy"},
		{name: "behind a thousand fields", kind: form, first: "username=a&password=x&" + strings.Repeat("z=1&", 1001) + "pass=1", second: "username=a&password=x&" + strings.Repeat("z=1&", 1001) + "pass=2"},
	}
	p, err := LoadProfile("generic-form")
	if err != nil {
		t.Fatal(err)
	}
	s := &Site{profile: p, keys: newKeys(make([]byte, 32))}
	for _, tt := range tests {
		hash := func(body, header string) string {
			r := httptest.NewRequest("POST", "/login"+tt.target, strings.NewReader(body))
			r.Header.Set("Content-Type", tt.kind)
			if header != "" {
				r.Header.Set("Authorization", header)
			}
			ep, _ := p.find("/login")
			_, c, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, "/login"), unlimited)
			if err != nil || c.account != "a" || c.password == "" {
				t.Fatalf("%s: %+v %v", tt.name, c, err)
			}
			return s.guess("user", c).Same
		}
		if same := hash(tt.first, tt.header) == hash(tt.second, tt.otherHeader); same != tt.same {
			t.Errorf("%s: same %t", tt.name, same)
		}
	}
}
