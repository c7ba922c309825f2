package gate

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/warderhq/warder"
)

// Profile says how an application signs people in: its endpoints, where the
// account and the password stand, and what the responses mean. It is data; an
// operator can bring one along.
type Profile struct {
	Name  string `yaml:"name"`
	About string `yaml:"about"`
	// Unverified says that nobody has run this profile against the product.
	Unverified bool `yaml:"unverified,omitempty"`
	// Verified are the products that it was run against, with their versions.
	Verified string `yaml:"verified,omitempty"`
	// Sessions are the names of the cookies that hold a session; a star at the
	// end stands for any ending.
	Sessions []string `yaml:"sessions"`
	// SessionFields is for applications that write one session into several
	// cookies which end differently: the first so many fields of a value, which
	// bars separate, name the session, and a value with fewer is none.
	SessionFields int        `yaml:"session_fields,omitempty"`
	Endpoints     []Endpoint `yaml:"endpoints"`
	// Tests are exchanges with what is to be read from them.
	Tests []ProfileTest `yaml:"tests,omitempty"`
}

// EndpointKind is what an endpoint is for.
type EndpointKind string

// The kinds of endpoints.
const (
	SignIn        EndpointKind = "sign_in"        // a password is checked
	SecondFactor  EndpointKind = "mfa"            // a code is checked
	ResetRequest  EndpointKind = "reset_request"  // a password reset is asked for
	PasswordReset EndpointKind = "password_reset" // a reset code is checked, a new password set
	SignUp        EndpointKind = "sign_up"
	SignOut       EndpointKind = "sign_out"
	AdminArea     EndpointKind = "admin_area" // pages for administrators only
	Basic         EndpointKind = "basic"      // HTTP Basic authentication
	Open          EndpointKind = "open"       // nothing is checked, whatever stands below it in the profile
)

var endpointKinds = [...]EndpointKind{SignIn, SecondFactor, ResetRequest, PasswordReset, SignUp, SignOut, AdminArea, Basic, Open}

// guesses reports whether somebody can guess at a secret there, so that a slot
// is reserved before the application sees the request.
func (k EndpointKind) guesses() bool {
	switch k {
	case SignIn, SecondFactor, PasswordReset, SignUp, Basic:
		return true
	}
	return false
}

// asksFields reports whether the fields of a request have a say in whether it is
// for the endpoint, or what it claims there.
func (e *Endpoint) asksFields() bool {
	return e.Kind != AdminArea && (e.Kind != SignOut || len(e.When) > 0)
}

// Endpoint is a place of an application that Warder has to know.
type Endpoint struct {
	Kind  EndpointKind `yaml:"kind"`
	Realm string       `yaml:"realm,omitempty"` // default user
	// Paths are exact, or end in /* for everything below, or begin in * for
	// any path before.
	Paths []string `yaml:"paths"`
	// When are names of fields of which one must be there, or names and values
	// such as action=logout, with * for any text; without one of them a request
	// is for the next endpoint at its path, or for none. For paths that serve
	// more than this. Of kind open all values that are sent must be named.
	When []string `yaml:"when,omitempty"`
	// Format says that a body must be of one format, whatever its type claims:
	// xmlrpc, a call of XML-RPC in UTF-8, with the fields methodName and
	// params.0, params.1 and so on for parameters that are plain values.
	Format string `yaml:"format,omitempty"`
	// Account and Password are names of fields, the first that is there counts:
	// of a form, of a query, or of a JSON object, where dots lead into objects.
	Account  []string `yaml:"account,omitempty"`
	Password []string `yaml:"password,omitempty"`
	// Failure, Success and Unchecked are looked at in this order; one condition
	// that holds is enough. Unchecked is for answers that say nothing of the
	// secret, such as a form that expired: no outcome at all (error). So is a
	// response that nothing describes if its status says that nothing was
	// checked; any other is a failure.
	Failure   []Condition `yaml:"failure,omitempty"`
	Success   []Condition `yaml:"success,omitempty"`
	Unchecked []Condition `yaml:"unchecked,omitempty"`

	patterns []pattern
	bodies   bool // a condition looks at the body
	ordinal  int  // of Kind in endpointKinds
}

// Condition describes a response; everything that is given must hold.
type Condition struct {
	Status      []int    `yaml:"status,omitempty"`
	Location    []string `yaml:"location,omitempty"`     // one of these, with * for any text
	NotLocation []string `yaml:"not_location,omitempty"` // none of these
	Back        bool     `yaml:"back,omitempty"`         // it leads back to this endpoint, or to another of its kind
	Session     *bool    `yaml:"session,omitempty"`      // a session cookie is set
	Cookie      string   `yaml:"cookie,omitempty"`       // this cookie is set
	Body        []string `yaml:"body,omitempty"`         // one of these stands in its first 64 KiB
	NotBody     []string `yaml:"not_body,omitempty"`     // none of these does, and the body is not longer
	Reason      string   `yaml:"reason,omitempty"`       // of a failure, such as unknown_account
}

//go:embed profiles/*.yaml
var shipped embed.FS

// maxProfile bounds a profile, in bytes.
const maxProfile = 256 << 10

// ProfileNames are the profiles that come with Warder.
func ProfileNames() []string {
	entries, err := fs.ReadDir(shipped, "profiles")
	if err != nil {
		panic(err) // it is embedded
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

// LoadProfile returns a profile by the name it is shipped under, or reads it
// from a file, whose name must contain a slash or end in .yaml.
func LoadProfile(name string) (*Profile, error) {
	if !strings.Contains(name, "/") && path.Ext(name) != ".yaml" {
		data, err := shipped.ReadFile("profiles/" + name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("there is no profile %q, there are %s; the name of a file must contain a slash or end in .yaml",
				clip(name, 64), strings.Join(ProfileNames(), ", "))
		}
		return ParseProfile(data)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	p, err := ParseProfile(data)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return p, nil
}

// unknownField is how the reader of YAML names what it does not know, in words
// of Go's types.
var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// ParseProfile reads a profile. Its faults come all at once, as warder.Faults.
func ParseProfile(data []byte) (*Profile, error) {
	if len(data) > maxProfile {
		return nil, fmt.Errorf("must be at most %d bytes", maxProfile)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithKnownFields())
	if err != nil {
		return nil, err
	}
	var p Profile
	if err := loader.Load(&p); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("is empty")
		}
		text := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "yaml: construct errors: ")
		return nil, errors.New(unknownField.ReplaceAllString(text, "$1 is not known here"))
	}
	return &p, p.compile()
}

// compile checks a profile and prepares it for use.
func (p *Profile) compile() error {
	var f warder.Faults
	if p.Name == "" {
		f.Add("name", "is required")
	}
	for i, name := range p.Sessions {
		if name = strings.TrimSuffix(name, "*"); !cookieName(name) {
			f.Add(fmt.Sprintf("sessions[%d]", i), "must be the name of a cookie")
		}
	}
	if p.SessionFields < 0 || p.SessionFields > 16 {
		f.Add("session_fields", "must be from 0 to 16, is %d", p.SessionFields)
	}
	if p.Unverified && p.Verified != "" {
		f.Add("verified", "contradicts unverified")
	}
	if len(p.Endpoints) == 0 {
		f.Add("endpoints", "must name at least one endpoint")
	}
	for i := range p.Endpoints {
		p.Endpoints[i].compile(fmt.Sprintf("endpoints[%d]", i), &f)
	}
	return f.Err()
}

func (e *Endpoint) compile(at string, f *warder.Faults) {
	if e.ordinal = slices.Index(endpointKinds[:], e.Kind); e.ordinal < 0 {
		f.Add(at+".kind", "must be one of %v, is %q", endpointKinds, clip(string(e.Kind), 64))
	}
	if e.Realm == "" {
		e.Realm = "user"
	}
	if len(e.Realm) > warder.MaxRealm {
		f.Add(at+".realm", "must be at most %d bytes", warder.MaxRealm)
	}
	if len(e.Paths) == 0 {
		f.Add(at+".paths", "must name at least one path")
	}
	if e.Format != "" && e.Format != formatRPC {
		f.Add(at+".format", "must be %s or absent, is %q", formatRPC, clip(e.Format, 64))
	}
	for i, s := range e.When {
		if name, _, _ := strings.Cut(s, "="); name == "" {
			f.Add(fmt.Sprintf("%s.when[%d]", at, i), "must be the name of a field, or name=value")
		}
	}
	for _, list := range []struct {
		name   string
		fields []string
	}{{"account", e.Account}, {"password", e.Password}} {
		if i := slices.Index(list.fields, ""); i >= 0 {
			f.Add(fmt.Sprintf("%s.%s[%d]", at, list.name, i), "must be the name of a field")
		}
	}
	if e.Kind == Open && len(e.When) == 0 {
		f.Add(at+".when", "is required, or nothing below would ever be looked at")
	}
	e.patterns = nil
	for i, s := range e.Paths {
		pat := newPattern(s)
		if !pat.whole() && (len(pat.path) < 2 || pat.path[0] != '/' || strings.Contains(pat.path, "*") || !plainPath(pat.path)) {
			f.Add(fmt.Sprintf("%s.paths[%d]", at, i), "must be a plain path such as /login, /admin/* or */login, is %q", clip(s, 80))
		}
		e.patterns = append(e.patterns, pat)
	}
	for _, list := range []struct {
		name       string
		conditions []Condition
	}{{"failure", e.Failure}, {"success", e.Success}, {"unchecked", e.Unchecked}} {
		for i := range list.conditions {
			c := &list.conditions[i]
			where := fmt.Sprintf("%s.%s[%d]", at, list.name, i)
			if len(c.Status) == 0 && len(c.Location) == 0 && len(c.NotLocation) == 0 && !c.Back && c.Session == nil && c.Cookie == "" && len(c.Body) == 0 && len(c.NotBody) == 0 {
				f.Add(where, "must describe a response")
			}
			for _, status := range c.Status {
				if status < 200 || status > 599 {
					f.Add(where+".status", "must be from 200 to 599, is %d", status)
				}
			}
			if len(c.Reason) > warder.MaxReason {
				f.Add(where+".reason", "must be at most %d bytes", warder.MaxReason)
			}
			e.bodies = e.bodies || len(c.Body) > 0 || len(c.NotBody) > 0
		}
	}
	if e.Kind.guesses() && e.Kind != Basic && len(e.Success) == 0 {
		f.Add(at+".success", "is required, or every sign-in would look like a failure")
	}
}

// stem is the name that an attempt at this endpoint becomes an event under.
func (e *Endpoint) stem() string {
	switch e.Kind {
	case SecondFactor:
		return "MFA"
	case SignUp:
		return "SIGNUP"
	case PasswordReset:
		return e.panel() + "_PASSWORD_RESET"
	}
	return e.panel() + "_LOGIN"
}

func (e *Endpoint) panel() string {
	if e.Realm == "admin" {
		return "ADMIN"
	}
	return "USER"
}

// response is what outcomes are read from.
type response struct {
	status   int
	location string // path and query
	back     bool   // which are those of an endpoint of the same kind
	cookies  []*http.Cookie
	session  bool
	body     []byte
	sealed   bool // the body cannot be read: nothing that is said of it holds
	cut      bool // the body goes on
}

func (c *Condition) holds(r *response) bool {
	if len(c.Status) > 0 && !slices.Contains(c.Status, r.status) {
		return false
	}
	if len(c.Location) > 0 && !anyGlob(c.Location, r.location) {
		return false
	}
	if len(c.NotLocation) > 0 && anyGlob(c.NotLocation, r.location) {
		return false
	}
	if c.Back && !r.back {
		return false
	}
	if c.Session != nil && *c.Session != r.session {
		return false
	}
	if c.Cookie != "" && !slices.ContainsFunc(r.cookies, func(k *http.Cookie) bool { return named(c.Cookie, k.Name) && !expired(k) }) {
		return false
	}
	if r.sealed && len(c.Body)+len(c.NotBody) > 0 {
		return false
	}
	contains := func(s string) bool { return bytes.Contains(r.body, []byte(s)) }
	if len(c.NotBody) > 0 && r.cut {
		return false // what the rest says is not known
	}
	return (len(c.Body) == 0 || slices.ContainsFunc(c.Body, contains)) && !slices.ContainsFunc(c.NotBody, contains)
}

// outcome reads the outcome of an attempt from the response.
func (e *Endpoint) outcome(r *response) (o warder.Outcome, reason string) {
	for i := range e.Failure {
		if e.Failure[i].holds(r) {
			return warder.Failure, e.Failure[i].Reason
		}
	}
	for i := range e.Success {
		if e.Success[i].holds(r) {
			return warder.Success, ""
		}
	}
	for i := range e.Unchecked {
		if e.Unchecked[i].holds(r) {
			return warder.OutcomeError, ""
		}
	}
	switch r.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests:
		return warder.OutcomeError, ""
	}
	if r.status >= 500 {
		return warder.OutcomeError, ""
	}
	if e.Kind == Basic && r.status != http.StatusUnauthorized {
		return warder.Success, ""
	}
	return warder.Failure, ""
}

// leadsBack reports whether a location is that of an endpoint like e.
func (p *Profile) leadsBack(e *Endpoint, location string) bool {
	path, _, _ := strings.Cut(location, "?")
	if path == "" {
		return false
	}
	to, _ := p.find(path)
	return to != nil && (to == e || to.Kind == e.Kind)
}

// redirects are the statuses by which applications answer forms.
var redirects = []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}

// leading returns the profile with what an operator says about where sign-ins
// lead to, which goes before what it says itself.
func (p *Profile) leading(succeeded, failed []string) *Profile {
	var more []Condition
	if len(failed) > 0 {
		more = append(more, Condition{Status: redirects, Location: failed})
	}
	if len(succeeded) > 0 {
		more = append(more, Condition{Status: redirects, NotLocation: succeeded})
	}
	if len(more) == 0 {
		return p
	}
	out := *p
	out.Endpoints = slices.Clone(p.Endpoints)
	for i := range out.Endpoints {
		if e := &out.Endpoints[i]; e.Kind == SignIn {
			e.Failure = slices.Concat(more, e.Failure)
		}
	}
	return &out
}

// Trusting reports whether a sign-in succeeds by leading anywhere else, so that
// the operator should say where.
func (p *Profile) Trusting() bool {
	return slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool {
		return e.Kind == SignIn && slices.ContainsFunc(e.Success, func(c Condition) bool {
			return slices.Contains(c.Status, http.StatusFound) && len(c.Location)+len(c.NotLocation)+len(c.Body)+len(c.NotBody) == 0 && c.Session == nil && c.Cookie == ""
		})
	})
}

func anyGlob(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, s) })
}

// glob matches a text against a pattern whose stars stand for any text.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(s, parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

func cookieName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}*`, c) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// named reports whether a cookie's name falls under a name of a profile.
func named(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
