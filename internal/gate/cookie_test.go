package gate

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSessionSpellings: one session has one name, however its cookie is spelled
// for applications that read cookies leniently; who is signed out is so in all
// of these.
func TestSessionSpellings(t *testing.T) {
	s := &Site{name: "x", profile: &Profile{}, sessions: []string{"app_session", "wordpress_*", "__Host-s", "connect.sid"}, keys: newKeys(make([]byte, 32)), left: newMemory[struct{}](16, time.Hour)}
	const value = "s:aB3.x/y="
	want := s.keys.sessionID("x", value)
	for _, line := range []string{
		"app_session=" + value,
		`app_session="` + value + `"`,
		"app.session=" + value, // PHP
		"app session=" + value,
		"a=1;  app[session=" + value,
		"app%5fsession=" + value,
		"app%5Fsession=" + value,
		"App_Session=" + value, // .NET
		"wordpress.logged_in_1=" + value,
		"wordpress[logged.in_1=" + value,
		"connect_sid=" + value,
		"__host-s=" + value,
		"app_session=s%3aaB3.x/y=", // PHP, Express
		"app_session=%73%3A%61B3%2Ex%2fy%3D",
		"app_session=s%253aaB3.x/y=",
		`app_session="s:\141B3.x/y="`, // Python
		`app_session="s\:aB3.x/y\="`,
		"a=1 app_session=" + value, // Python
		"a=1\tapp_session = " + value + " b=2",
		"a=1\xa0app_session=" + value,
		"a=1,app_session=" + value, // Tomcat
		`$Version=1, a="b", app_session=` + value + ",c=d",
		"a app_session=" + value,
	} {
		var v visitor
		h := http.Header{"Cookie": {line}}
		s.visitor(&v, h)
		found := false
		for _, session := range v.sessions {
			found = found || session == want
		}
		if !found {
			t.Errorf("%q: another session: %v", line, v.names)
		}
		s.dropAllSessions(h)
		if rest := strings.Join(h["Cookie"], ";"); strings.Contains(rest, "B3") {
			t.Errorf("%q: %q is left", line, rest)
		}
		if h := (http.Header{}); len(v.names) > 0 {
			if s.expire(h, v.names, true); strings.Contains(strings.Join(h["Set-Cookie"], ""), "B3") || len(h["Set-Cookie"]) > 0 && h["Set-Cookie"][0] == "" {
				t.Errorf("%q: %q", line, h)
			}
		}
	}
	for _, line := range []string{"app_session2=1", "app_sessio=1", "a=app_session", "a=1&app_session=2", "wordpress=1", "app-session=1", "connectXsid=1"} {
		var v visitor
		if s.visitor(&v, http.Header{"Cookie": {line}}); len(v.sessions) > 0 {
			t.Errorf("%q: a session", line)
		}
	}
	// Other sessions have other names.
	names := map[string]bool{}
	for _, value := range []string{"a", "A", "a.b", "a,b", "%61b", "a%2cb c", `\`, "%", "%zz", "%25", "+"} {
		names[s.keys.sessionID("x", s.sessionValue(value))] = true
	}
	if len(names) != 10 { // % and %25 are one
		t.Errorf("%d names of 10 sessions", len(names))
	}
	// What is sent to be hard to read is read in no time.
	for _, unit := range []string{",", "=", ", =", "a=", ",a=", "= ", "%", "%25", `\`, `\1`, " a =", "\xa0="} {
		begun := time.Now()
		s.visitor(&visitor{}, http.Header{"Cookie": {"app_session=" + strings.Repeat(unit, 64<<10/len(unit))}})
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%q: %v", unit, took)
		}
	}
}
