package gate

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// upload is a body of more than a form may have, with a tail.
func upload(tail string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", maxForm) + tail + "\r\n--b--\r\n"
}

// TestLargeUploads: where an application takes uploads at the path of its
// sign-in, they pass, unless they could be one.
func TestLargeUploads(t *testing.T) {
	p, err := LoadProfile("phpmyadmin")
	if err != nil {
		t.Fatal(err)
	}
	const form = "multipart/form-data; boundary=b"
	field := func(name string) string {
		return "\r\n--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\nv"
	}
	tests := []struct {
		name, kind, target, tail string
		status                   int // 0: it passes
	}{
		{"an import", form, "/index.php?route=/import", "", 0},
		{"browsers' boundary", "multipart/form-data; boundary=----WebKitFormBoundaryAbC123", "/", "", 0},
		{"the user behind it", form, "/", field("pma_username"), 413},
		{"the password behind it", form, "/", field("pma_password"), 413},
		{"as PHP reads names", form, "/", field("pma username"), 413},
		{"in the query", form, "/?pma_username=a", "", 413},
		{"a name in another encoding", form, "/", "\r\n--b\r\nContent-Disposition: form-data; name*=utf-8''pma%5fusername\r\n\r\nv", 413},
		{"the same behind much space", form, "/", "\r\n--b\r\nContent-Disposition: form-data;" + strings.Repeat(" ", 40<<10) + "name*=utf-8''%70ma%5fusername\r\n\r\nv", 413},
		{"the same behind some space", form, "/", "\r\n--b\r\nContent-Disposition: form-data;" + strings.Repeat(" ", 150) + "name*=utf-8''%70ma%5fusername\r\n\r\nv", 413},
		{"a form", "application/x-www-form-urlencoded", "/", "", 413},
		{"JSON", "application/json", "/", "", 413},
		{"two boundaries", "multipart/form-data; boundary=a; boundary=b", "/", "", 413},
		{"a boundary that is read in two ways", "multipart/form-data; boundary=\"b\\\"\"", "/", "", 413},
		{"no boundary", "multipart/form-data", "/", "", 413},
	}
	for _, tt := range tests {
		for _, known := range []bool{true, false} {
			body := upload(tt.tail)
			r := httptest.NewRequest("POST", tt.target, iotest.HalfReader(strings.NewReader(body)))
			r.Header.Set("Content-Type", tt.kind)
			if r.ContentLength = -1; known {
				r.ContentLength = int64(len(body))
			}
			ep, odd := p.find(r.URL.EscapedPath())
			if ep == nil || odd {
				t.Fatal(ep, odd)
			}
			status := 0
			ep, _, err := claimsOf(httptest.NewRecorder(), r, p.at(ep, r.URL.EscapedPath()), unlimited)
			var got []byte
			if err == nil {
				if ep != nil {
					t.Errorf("%s: taken for %s", tt.name, ep.Kind)
				}
				got, err = io.ReadAll(r.Body)
			}
			if se, ok := errors.AsType[*statusError](err); ok {
				status = se.status
			}
			if status != tt.status || status == 0 && (err != nil || string(got) != body) {
				t.Errorf("%s: %d %v, %d bytes of %d", tt.name, status, err, len(got), len(body))
			}
			if strings.Contains(string(got), "pma") {
				t.Errorf("%s: the name of the field left the gate", tt.name)
			}
		}
	}
}

// TestFinder: fields are found in every spelling that PHP takes for theirs.
func TestFinder(t *testing.T) {
	f := newFinder([]string{"pma_username", "_x", "user[name]"})
	for text, want := range map[string]bool{
		"":                  false,
		"pma_usernam":       false,
		"pma-username":      false,
		"a PMA_Username":    true,
		"pma[username":      true,
		"ppma.username":     true,
		"pma username":      true,
		".X":                true,
		"[x":                true,
		"x":                 false,
		"User[name]":        true,
		"user_name_":        false,
		"; name=\"a\"":      false,
		";NAME*=":           true,
		";\t\r\n name*=":    true,
		"; nam":             false,
		";; name*":          true,
		"; filename*=utf-8": false,
		";" + strings.Repeat(" ", maxSpace) + "name*":   true,
		";" + strings.Repeat(" ", maxSpace) + "y":       false,
		";" + strings.Repeat("\t", maxSpace+1):          true,
		";" + strings.Repeat("; ", 2*maxSpace) + "name": false,
	} {
		if got := f.in([]byte(text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// TestSessionFields: one session in several cookies.
func TestSessionFields(t *testing.T) {
	s := &Site{name: "x", profile: &Profile{SessionFields: 3}, sessions: []string{"wordpress_*"}, keys: newKeys(make([]byte, 32)), left: newMemory[struct{}](16, time.Hour)}
	want := s.keys.sessionID("x", "root|1|token|")
	for line, n := range map[string]int{
		"wordpress_logged_in_a=root%7C1%7Ctoken%7Cmac1":                                          1,
		"wordpress_a=root|1|token|mac2; wordpress_logged_in_a=root%7c1%7ctoken%7cmac1":           1,
		"wordpress_test_cookie=WP%20Cookie%20check; wordpress_a=root%7C1%7Ctoken%7Cmac; other=1": 1,
		"wordpress_a=root%7C1%7Ctoken":                                                           0,
		"wordpress_a=":                                                                           0,
	} {
		var v visitor
		s.visitor(&v, http.Header{"Cookie": {line}})
		if len(v.sessions) != n || n > 0 && v.sessions[0] != want {
			t.Errorf("%s: %v", line, v.sessions)
		}
	}
}

// TestWhen: fields, and values of fields, decide between the endpoints of a
// path; open is for what is only that.
func TestWhen(t *testing.T) {
	e := &Endpoint{Kind: SignIn, When: []string{"log", "action=reset*"}}
	open := &Endpoint{Kind: Open, When: []string{"m=a", "m=b*"}}
	tests := []struct {
		e           *Endpoint
		sent, query fields
		want        bool
	}{
		{e, nil, nil, false},
		{e, fields{"log": {""}}, nil, true},
		{e, nil, fields{"log": {"x"}}, true},
		{e, fields{"action": {"x", "resetpass"}}, nil, true},
		{e, nil, fields{"action": {"login"}}, false},
		{e, fields{"[log]": {""}}, nil, true},
		{e, fields{"Log": {""}}, nil, true},
		{e, fields{"Action[]": {"reset"}}, nil, true},
		{open, fields{"m": {"a"}}, nil, true},
		{open, fields{"m": {"a", "bcd"}, "other": {"x"}}, nil, true},
		{open, fields{"m": {"a", "c"}}, nil, false},
		{open, fields{"m": {"a"}}, fields{"m": {"c"}}, false},
		{open, fields{"other": {"a"}}, nil, false},
		{open, fields{"m": {"a"}, "[m]": {"c"}}, nil, false},
		{open, fields{"M": {"a"}}, nil, false},
	}
	for i, tt := range tests {
		if got := tt.e.wants(tt.sent, tt.query); got != tt.want {
			t.Error(cmp.Diff(tt.want, got), i)
		}
	}
}
