package gate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/warderhq/warder"
)

// ProfileTest is an exchange that a profile brings along, with what is to be
// read from it.
type ProfileTest struct {
	Request  string   `yaml:"request"`            // such as POST /login
	Type     string   `yaml:"type,omitempty"`     // of Body; default a form
	Body     string   `yaml:"body,omitempty"`     // of the request
	Status   int      `yaml:"status,omitempty"`   // of the response
	Location string   `yaml:"location,omitempty"` // of the response
	Cookies  []string `yaml:"cookies,omitempty"`  // Set-Cookie of the response
	Response string   `yaml:"response,omitempty"` // beginning of its body
	// What is expected. Without Kind, that it is no endpoint at all.
	Kind    EndpointKind `yaml:"kind,omitempty"`
	Realm   string       `yaml:"realm,omitempty"`
	Account string       `yaml:"account,omitempty"`
	Outcome string       `yaml:"outcome,omitempty"` // success, failure, error; none for requests that are no attempt
	Reason  string       `yaml:"reason,omitempty"`
}

// Test runs the exchanges that the profile brings along. The error is
// warder.Faults, one for each that is read otherwise.
func (p *Profile) Test() error {
	var f warder.Faults
	site := &Site{name: p.Name, profile: p, sessions: p.Sessions, keys: newKeys(make([]byte, 32))}
	for i := range p.Tests {
		tt := &p.Tests[i]
		at := fmt.Sprintf("tests[%d]", i)
		method, target, ok := strings.Cut(tt.Request, " ")
		if !ok || !token(method) || !strings.HasPrefix(target, "/") || !printable(target) || strings.Contains(target, " ") {
			f.Add(at+".request", "must be a method and a path, such as POST /login")
			continue
		}
		r := httptest.NewRequest(method, target, strings.NewReader(tt.Body))
		if r.Header.Set("Content-Type", tt.Type); tt.Type == "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		got, reason, err := p.read(site, r, tt)
		want := ProfileTest{Kind: tt.Kind, Realm: tt.Realm, Account: tt.Account, Outcome: tt.Outcome}
		if want.Kind != "" && want.Realm == "" {
			want.Realm = "user"
		}
		switch {
		case err != nil:
			f.Add(at, "%s: %v", tt.Request, err)
		case got.Kind != want.Kind || got.Realm != want.Realm || got.Account != want.Account || got.Outcome != want.Outcome:
			f.Add(at, "%s is read as %s, not as %s", tt.Request, got.words(), want.words())
		case tt.Reason != "" && reason != tt.Reason:
			f.Add(at+".reason", "is %q", reason)
		}
	}
	return f.Err()
}

func (tt *ProfileTest) words() string {
	if tt.Kind == "" {
		return "no endpoint"
	}
	return fmt.Sprintf("%s (realm %s, account %q, outcome %q)", tt.Kind, tt.Realm, tt.Account, tt.Outcome)
}

// read reads an exchange as a site does.
func (p *Profile) read(s *Site, r *http.Request, tt *ProfileTest) (got ProfileTest, reason string, err error) {
	ep, odd := p.find(r.URL.EscapedPath())
	switch {
	case odd:
		return got, "", fmt.Errorf("this path can be read in more than one way")
	case ep == nil:
		return got, "", nil
	}
	c := credentials{}
	if ep.asksFields() {
		if ep, c, err = claimsOf(httptest.NewRecorder(), r, p.at(ep, r.URL.EscapedPath()), unlimited); err != nil || ep == nil {
			return got, "", err
		}
	}
	got.Kind, got.Realm, got.Account = ep.Kind, ep.Realm, c.account
	if !ep.Kind.guesses() || !c.given && (safe(r.Method) || ep.Kind == Basic) {
		return got, "", nil
	}
	res := &http.Response{StatusCode: tt.Status, Request: r, Header: http.Header{"Set-Cookie": tt.Cookies}}
	if tt.Location != "" {
		res.Header.Set("Location", tt.Location)
	}
	look := response{status: tt.Status, location: location(res), cookies: res.Cookies(), body: []byte(tt.Response)}
	look.session = s.opened(look.cookies) != ""
	look.back = p.leadsBack(ep, look.location)
	o, reason := ep.outcome(&look)
	got.Outcome = o.String()
	return got, reason, nil
}
