package gate

import (
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder"
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

// TestFormsInSeveralReadings: where a request is for an endpoint only if it has
// certain fields, no spelling of a form hides them from us but not from the
// application.
func TestFormsInSeveralReadings(t *testing.T) {
	p, err := LoadProfile("phpmyadmin")
	if err != nil {
		t.Fatal(err)
	}
	part := func(boundary, disposition, value string) string {
		return "--" + boundary + "\r\nContent-Disposition: " + disposition + "\r\n\r\n" + value + "\r\n"
	}
	const (
		user = `form-data; name="pma_username"`
		form = "multipart/form-data; boundary=b"
		end  = "--b--\r\n"
	)
	plain := part("b", `form-data; name="x"`, "1")
	sent := part("b", user, "root") + part("b", `form-data; name="pma_password"`, "x")
	tests := []struct {
		name string
		kind []string
		body string
		read string // kind of endpoint; empty: none; "fault"
	}{
		{"parts", []string{form}, sent + end, "sign_in"},
		{"browsers' boundary", []string{"multipart/form-data; boundary=----WebKitFormBoundaryAb1"}, part("----WebKitFormBoundaryAb1", user, "root") + "------WebKitFormBoundaryAb1--\r\n", "sign_in"},
		{"an upload", []string{form}, part("b", `form-data; name="import_file"; filename="a b;c.sql"`, "select") + plain + end, ""},
		{"a comma behind the type", []string{"multipart/form-data, boundary=b"}, sent + end, "fault"},
		{"a space behind the type", []string{"multipart/form-data boundary=b"}, sent + end, "fault"},
		{"a form with a comma", []string{"application/x-www-form-urlencoded, x"}, `{"a":"&pma_username=root&pma_password=x&b="}`, "fault"},
		{"a form that is JSON, too", []string{"application/x-www-form-urlencoded"}, `{"pma_username":"root","pma_password":"x"}`, "sign_in"},
		{"another type of parts", []string{"multipart/mixed; boundary=b"}, sent + end, "sign_in"},
		{"two types", []string{"text/plain", form}, sent + end, "fault"},
		{"two boundaries", []string{"multipart/form-data; xboundary=b; boundary=c"}, sent + end + part("c", `form-data; name="x"`, "1") + "--c--\r\n", "fault"},
		{"before the first part", []string{form}, "pma_username=root\r\n" + plain + end, "fault"},
		{"behind the last part", []string{form}, plain + end + sent + end, "fault"},
		{"lines without a carriage return", []string{form}, part("b", `form-data; name="f"; filename="f"`, strings.ReplaceAll("x\r\n"+sent, "\r", "")) + end, "fault"},
		{"a file by its star only", []string{form}, part("b", user+`; filename*=utf-8''f`, "root") + end, "sign_in"},
		{"a file within quotes", []string{form}, part("b", user+`; x="; filename="; filename*=utf-8''f`, "root") + end, "sign_in"},
		{"two names", []string{form}, part("b", user+`; name="x"`, "root") + end, "fault"},
		{"a name with a star", []string{form}, part("b", user+`; name*=utf-8''x`, "root") + end, "fault"},
		{"single quotes", []string{form}, part("b", `form-data; name='pma_username'`, "root") + end, "fault"},
		{"a part in base64", []string{form}, part("b", user+"\r\nContent-Transfer-Encoding: Base64", "cm9vdA==") + end, "fault"},
		{"a part as it stands", []string{form}, part("b", user+"\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit", "root") + end, "sign_in"},
		{"a part in EBCDIC", []string{form}, part("b", user+"\r\nContent-Type: text/plain; charset=ibm037", "root") + end, "fault"},
		{"a file in base64", []string{form}, sent + part("b", `form-data; name="f"; filename="f"`+"\r\nContent-Transfer-Encoding: base64", "eA==") + end, "sign_in"},
		{"parts in UTF-16", []string{"multipart/form-data; charset=utf-16; boundary=b"}, sent + end, "fault"},
		{"a form in UTF-8", []string{"application/x-www-form-urlencoded; charset=UTF-8"}, "pma_username=root", "sign_in"},
		{"a form in Latin-1", []string{"application/x-www-form-urlencoded; charset=ISO-8859-1"}, "pma_username=root", "sign_in"},
		{"a form in EBCDIC", []string{"application/x-www-form-urlencoded; charset=ibm037"}, "pma_username=root", "fault"},
		{"a form in UTF-7", []string{"application/x-www-form-urlencoded;charset=\"utf-7\""}, "pma_username=root", "fault"},
		{"two dispositions", []string{form}, part("b", `form-data; name="x"`+"\r\nContent-Disposition: "+user, "root") + end, "fault"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("POST", "/", strings.NewReader(tt.body))
		r.Header["Content-Type"] = tt.kind
		ep, _ := p.find("/")
		e, _, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, "/"), unlimited)
		got := ""
		switch {
		case err != nil:
			got = "fault"
		case e != nil:
			got = string(e.Kind)
		}
		if got != tt.read {
			t.Errorf("%s: read as %q, want %q (%v)", tt.name, got, tt.read, err)
		}
	}
}

// TestAccountInSeveralReadings: no spelling of a form has us find another
// account in it than the application does, whose failures a success would take
// out.
func TestAccountInSeveralReadings(t *testing.T) {
	const (
		form = "application/x-www-form-urlencoded"
		text = "text/plain"
	)
	hidden := `,"username":"own","password":"x","z":"&username=other&password=x&"}`
	tests := []struct{ name, kind, target, body string }{
		{"a semicolon, as Rack 2 and CGI.pm have it", form, "", "username=other&password=x&z=1;username=own;password=y"},
		{"a semicolon and a space", form, "", "username=other&password=x; +username=own"},
		{"the end of the account", form, "", "username=own;&password=x"},
		{"a semicolon in the query", form, "?z=;username=other", "username=own&password=x"},
		{"brackets, as Rack 2 has them", form, "", "username=other&password=x&[username]=own&[password]=y"},
		{"half a bracket", form, "", "username=other&password=x&]username=own"},
		{"two brackets, as Rack 2 has them", form, "", "user[email]=other&password=x&user[[email]=own"},
		{"a bracket of the other kind", form, "", "user[email]=other&password=x&user]email=own"},
		{"behind the last bracket, as PHP has it", form, "", "user[email]=other&password=x&user[email]y=own"},
		{"behind the last bracket, as Node has it", form, "", "username=other&password=x&[username]y=own"},
		{"an account behind a semicolon of the password", form, "", "username=other&password=x;username=own"},
		{"two passwords, one behind a semicolon", form, "", "username=other&password=x;password=y"},
		{"a list", form, "", "username=other&password=x&username[]=own"},
		{"a deep document", form, "", `{"a":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + hidden},
		{"a document as Python has it", form, "", `{"a":NaN` + hidden},
		{"behind the mark of UTF-8", text, "", "\xef\xbb\xbf" + `{"a":1` + hidden},
		{"in UTF-16", text, "?username=other", "\xff\xfe{\x00\"\x00u\x00\"\x00:\x001\x00}\x00"},
		{"JSON that Bottle takes for a form", "application/json", "", `{"a":1` + hidden},
		{"JSON that Bottle takes for a form, with semicolons", "application/json", "", `{"username":"own","password":"x","z":";username=other;password=x;"}`},
		{"an encoding of ASP.NET", form, "", "us%u0065rname=other&username=own&password=x"},
		{"an encoding of ASP.NET in a value", form, "", "username=%u006fwn&password=x"},
		{"where a failure leads, as Symfony has it", form, "", "username=own&password=x&_failure_path=/home"},
		{"where a failure leads, in the query", form, "?_failure_path=app_home", "username=own&password=x"},
		{"in UTF-16, the other way", text, "?username=other", "\x00{\x00\"\x00u\x00\"\x00:\x001\x00}"},
	}
	p, err := LoadProfile("generic-form")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		r := httptest.NewRequest("POST", "/login"+tt.target, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", tt.kind)
		ep, _ := p.find("/login")
		if _, c, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, "/login"), unlimited); err == nil {
			t.Errorf("%s: read as %q", tt.name, c.account)
		}
	}
	for body, account := range map[string]string{
		"username=a%3Bb&password=x%3By": "a;b", "user[email]=a&user[password]=x": "a", "username[]=a&password=x": "a",
		"username=a&password=x;y": "a", "username=a&password=x;": "a", "username=m%FCller&password=x": "müller", "username=m%F6ller&password=x": "möller",
		"[user][email]=a&password=x": "a", "user[[email]=a&password=x": "a", "user[email]y=a&password=x": "a", "next=/a;username=b&email=a&password=x": "b",
		"us%u0065rname=a&email=b&password=x": "a", "username=a&password=%25u0041": "a",
	} {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(body))
		r.Header.Set("Content-Type", form)
		ep, _ := p.find("/login")
		if _, c, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, "/login"), unlimited); err != nil || c.account != account || c.password == "" {
			t.Errorf("%s: %+v %v", body, c, err)
		}
	}
}

// TestLooseNames: a field in another case is the same field to many
// applications.
func TestLooseNames(t *testing.T) {
	p, err := LoadProfile("generic-json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		method, target, body, account string
		given, fault                  bool
	}{
		{"POST", "/login", `{"Username":"a","PASSWORD":"x"}`, "a", true, false},
		{"POST", "/login", `{"user":{"Email":"a","password":"x"}}`, "a", true, false},
		{"POST", "/login", `{"username":"a","USERNAME":"b","password":"x"}`, "", false, true},
		{"POST", "/login", `{"username":"a","password":"x","Password":"y"}`, "", false, true},
		{"POST", "/login", `{"uſername":"a","paſſword":"x"}`, "a", true, false}, // Go reads it so
		{"POST", "/login", `{"username":"a","uſername":"b","password":"x"}`, "", false, true},
		{"POST", "/login", `{"username":"a","u\u017fername":"b","password":"x"}`, "", false, true},
		{"GET", "/login?UserName=a&Password=x", "", "a", true, false},
		{"GET", "/login?next=/", "", "", false, false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json")
		ep, _ := p.find("/login")
		_, c, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, "/login"), unlimited)
		if (err != nil) != tt.fault || !tt.fault && (c.account != tt.account || c.given != tt.given) {
			t.Errorf("%s %s %s: %+v %v", tt.method, tt.target, tt.body, c, err)
		}
	}
}

// TestLongAccounts: names that begin with what applications trim, or that are
// longer than what is kept of them, are not all the same.
func TestLongAccounts(t *testing.T) {
	p, err := LoadProfile("generic-form")
	if err != nil {
		t.Fatal(err)
	}
	read := func(account string) string {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(url.Values{"username": {account}, "password": {"x"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		ep, _ := p.find("/login")
		_, c, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, "/login"), unlimited)
		if err != nil || len(c.account) > warder.MaxAccount {
			t.Fatalf("%q: %+v %v", account, c, err)
		}
		return warder.AccountKey("user", c.account)
	}
	alice := read("alice")
	for _, pad := range []string{" ", "\x00", "\t\n\v\r", "\u00a0", "\ufeff", "\u200b"} {
		for _, n := range []int{1, 300} {
			if got := read(strings.Repeat(pad, n) + "alice" + pad); got != alice {
				t.Errorf("%d of %q: %q", n, pad, got)
			}
		}
	}
	long := strings.Repeat("x", 300)
	if read(long+"alice") == read(long+"own") || read(long+"alice") != read(long+"ALICE") {
		t.Error("of long names the end does not count")
	}
	if read(strings.Repeat(long, 4)+"alice") == read(strings.Repeat(long, 4)+"own") {
		t.Error("of very long names the end does not count")
	}
	// One sign of this is eighteen when it is folded: a megabyte took seconds.
	var before, after runtime.MemStats
	hostile := strings.Repeat("\ufdfa", 1<<20/3)
	runtime.ReadMemStats(&before)
	accountText(hostile)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("a name of %d bytes took %d bytes of memory", len(hostile), n)
	}
}

// TestManyFields: a form has a bound, whatever the names of its fields; what is
// within costs little, in every form that asks a lot of whoever reads it.
func TestManyFields(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		fault      bool
	}{
		{"of one name", strings.Repeat("username=&", 10*maxFields+1), true},
		{"of names that are one", strings.Repeat("username=&user.name=&", 5*maxFields+1), true},
		{"as many as may be", strings.Repeat("x=&", 10*maxFields-2) + "username=a&password=b", false},
		{"between nothing", strings.Repeat("&", maxForm/2) + "username=a&password=b", false},
	} {
		for _, name := range []string{"generic-form", "wordpress"} {
			p, err := LoadProfile(name)
			if err != nil {
				t.Fatal(err)
			}
			path := map[string]string{"generic-form": "/login", "wordpress": "/wp-login.php"}[name]
			r := httptest.NewRequest("POST", path, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			ep, _ := p.find(path)
			begun := time.Now()
			_, _, err = claimsOf(httptest.NewRecorder(), r, p.at(ep, path), unlimited)
			if (err != nil) != tt.fault {
				t.Errorf("%s, %s: %v", name, tt.name, err)
			}
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("%s, %s: %v", name, tt.name, took)
			}
		}
	}
}

// TestCompressedForms: no form passes that we cannot read.
func TestCompressedForms(t *testing.T) {
	p, err := LoadProfile("generic-form")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		lines []string
		fault bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"Identity"}, false},
		{[]string{"gzip"}, true},
		{[]string{"identity, gzip"}, true},
		{[]string{"identity", "gzip"}, true},
		{[]string{"", "gzip"}, true},
	} {
		r := httptest.NewRequest("POST", "/login", strings.NewReader("username=a"))
		r.Header["Content-Encoding"] = tt.lines
		ep, _ := p.find("/login")
		if _, _, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, "/login"), unlimited); (err != nil) != tt.fault {
			t.Errorf("%q: %v", tt.lines, err)
		}
	}
}
