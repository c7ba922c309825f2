package policy

import (
	"maps"
	"strings"
	"sync/atomic"

	"github.com/warderhq/warder"
)

// validPattern reports whether s is the name of an event, or a pattern that
// can match one: letters, digits, _ and at most four *, and not stars alone.
func validPattern(s string) bool {
	if warder.ValidName(s) {
		return true
	}
	if len(s) > warder.MaxName || strings.Count(s, "*") > 4 || !strings.Contains(s, "*") {
		return false
	}
	if rest := strings.Trim(s, "*_"); rest == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && c != '*' && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// matches reports whether a name fits a pattern; * is any run of characters,
// also an empty one.
func matches(pattern, name string) bool {
	star := strings.IndexByte(pattern, '*')
	if star < 0 {
		return pattern == name
	}
	if !strings.HasPrefix(name, pattern[:star]) {
		return false
	}
	name, pattern = name[star:], pattern[star+1:]
	for {
		next := strings.IndexByte(pattern, '*')
		if next < 0 {
			return strings.HasSuffix(name, pattern)
		}
		i := strings.Index(name, pattern[:next])
		if i < 0 {
			return false
		}
		name, pattern = name[i+next:], pattern[next+1:]
	}
}

// maxNames bounds the cache of names: applications may send names of their own,
// and a careless one could put a number into them.
const maxNames = 512

// matcher finds the rules that an event's name concerns. Names that were seen
// are remembered, up to maxNames; then others are matched each time.
type matcher struct {
	rules []*Rule
	seen  atomic.Pointer[map[string][]*Rule] // copied on write
}

// find returns the rules that are on and whose events fit name, in the order of
// the policy. Warder's own events concern none.
func (m *matcher) find(name string) []*Rule {
	seen := m.seen.Load()
	if seen != nil {
		if rules, ok := (*seen)[name]; ok {
			return rules
		}
	}
	rules := m.match(name)
	if !warder.ValidName(name) || seen != nil && len(*seen) >= maxNames {
		return rules
	}
	// A lost race only means that the name is remembered another time.
	next := make(map[string][]*Rule, maxNames)
	if seen != nil {
		maps.Copy(next, *seen)
	}
	next[strings.Clone(name)] = rules
	m.seen.CompareAndSwap(seen, &next)
	return rules
}

func (m *matcher) match(name string) []*Rule {
	if warder.OwnEvent(name) {
		return nil
	}
	var out []*Rule
	for _, r := range m.rules {
		if r.Mode == warder.Off {
			continue
		}
		for _, pattern := range r.events {
			if matches(pattern, name) {
				out = append(out, r)
				break
			}
		}
	}
	return out
}

// failure reports whether an event counts as a failure for its severity.
func failure(name string) bool {
	return strings.HasSuffix(name, "_FAILURE") || name == warder.UnauthorizedAccess
}

// SignInFailed reports whether events of that name are failed sign-ins, whose
// share decides whether an address is hostile (SEMANTICS 54). Anybody can make
// registrations, resets and challenges fail as often as they like, so those do
// not count against the others at their address.
func SignInFailed(name string) bool {
	switch name {
	case warder.MFAFailure, "API_KEY_FAILURE":
		return true
	}
	return strings.HasSuffix(name, "_LOGIN_FAILURE") || strings.HasSuffix(name, "_BIND_FAILURE")
}

// Severity grades an event that no rule judged (SEMANTICS 42). covered says
// that a Block or a revoked session covered it on arrival. THRESHOLD_EXCEEDED
// has the severity of its rule; where that is not known it is critical.
func (p *Policy) Severity(name string, covered bool) warder.Severity {
	switch {
	case name == warder.SessionHijackSuspected, name == warder.ThresholdExceeded:
		return warder.Critical
	case name == warder.IPBlocked, name == warder.SuspiciousIP:
		return warder.High
	case failure(name) && covered:
		return warder.High
	case failure(name):
		return warder.Warning
	}
	return warder.Info
}

// Classes of hits: which success takes them out.
const (
	ClassSignIn = ""    // a completed sign-in
	ClassMFA    = "mfa" // MFA_SUCCESS only (SEMANTICS 11)
)

func class(name string) string {
	if strings.HasPrefix(name, "MFA_") {
		return ClassMFA
	}
	return ClassSignIn
}

var (
	takesSignIn = []string{ClassSignIn}
	takesMFA    = []string{ClassMFA}
	takesBoth   = []string{ClassMFA, ClassSignIn}
)

// Takes says which classes of hits an event takes out as a success, and whether
// it completes a sign-in (SEMANTICS 10 and 11). mfaDemanded says that an mfa
// Demand which was not met before stands on the sign-in: then the password
// alone completes nothing, and MFA_SUCCESS does.
//
// A password reset is as good as a sign-in, and so is SMPP_BIND_SUCCESS: a bind
// is a sign-in with a password, it opens a session and its failures are counted
// with those of sign-ins. A success that names no account takes nothing out:
// it may be another person's. The returned slice must not be changed.
func (p *Policy) Takes(e *warder.Event, mfaDemanded bool) (classes []string, completed bool) {
	classes, completed = takes(e, mfaDemanded)
	if e.Account == "" {
		classes = nil
	}
	return classes, completed
}

func takes(e *warder.Event, mfaDemanded bool) (classes []string, completed bool) {
	switch {
	case e.Name == warder.MFASuccess && mfaDemanded:
		return takesBoth, true
	case e.Name == warder.MFASuccess:
		return takesMFA, false
	case mfaDemanded:
		return nil, false
	case strings.HasSuffix(e.Name, "_LOGIN_SUCCESS"),
		strings.HasSuffix(e.Name, "_PASSWORD_RESET_SUCCESS"),
		e.Name == "SMPP_BIND_SUCCESS":
		return takesSignIn, true
	}
	return nil, false
}

// AttemptNames gives the names of the events that an attempt may become: its
// stem with _SUCCESS, _FAILURE and _ERROR. An empty stem is USER_LOGIN. Whether
// the names are valid is for the caller to check (warder.ValidName): a stem of
// more than 56 characters gives names that are too long.
func AttemptNames(stem string) (success, failure, errored string) {
	if stem == "" {
		stem = "USER_LOGIN"
	}
	return stem + "_SUCCESS", stem + "_FAILURE", stem + "_ERROR"
}
