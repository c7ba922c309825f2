package gate

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/warderhq/warder"
)

// Where a second factor is demanded, the gate cannot ask for it; applications
// whose profile names the endpoint of their own one can. There the password is
// checked, and the session that it opens is half of one: it is good for that
// endpoint, for signing in again and for signing out. Everywhere else its
// visitor is signed out, until MFA_SUCCESS (SEMANTICS 23, 40).

// half is a sign-in that lacks its second factor.
type half struct {
	account, realm string
	page           string // where the application asks for it; empty: it does not
}

// halves are the sessions that are half of one, until they have not been used for
// as long as sessions are remembered.
type halves struct {
	memory *memory[half]
	any    atomic.Bool // there was one since the start
}

func newHalves() *halves { return &halves{memory: newMemory[half](64<<10, sessionLife)} }

// canAskMFA reports whether an application asks for second factors where the
// gate sees it. HTTP Basic knows of none.
func (p *Profile) canAskMFA() bool {
	has := func(kind EndpointKind) bool {
		return slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return e.Kind == kind })
	}
	return has(SecondFactor) && !has(Basic)
}

// hold notes the sessions of a response as half of one, and takes what else
// could stand for a session out of it.
func (s *Site) hold(res *http.Response, x *exchange, session string) {
	h := half{account: x.claims.account, realm: x.endpoint.Realm}
	if to := location(res); to != "" {
		path, _, _ := strings.Cut(to, "?")
		if ep, _ := s.profile.find(path); ep != nil && ep.Kind == SecondFactor && localPath(to) {
			h.page = to
		}
	}
	s.halves.any.Store(true)
	if session != "" {
		s.halves.memory.put(session, h)
	}
	keepCookies(res.Header, func(name string) bool {
		lower := strings.ToLower(name)
		return s.isSession(name) || strings.Contains(lower, "csrf") || strings.Contains(lower, "xsrf")
	})
}

// whole notes that the second factor of a visitor was right.
func (s *Site) whole(x *exchange) {
	for _, session := range x.visitor.sessions {
		if h, ok := s.halves.memory.get(session); ok && (h.account == "" || sameAccount(h.account, x.claims.account)) {
			s.halves.memory.drop(session)
		}
	}
}

// held keeps the sessions from the application that are half of one, and
// reports whether the request was answered.
func (s *Site) held(w http.ResponseWriter, r *http.Request, x *exchange) (answered bool) {
	if !s.halves.any.Load() || len(x.visitor.sessions) == 0 {
		return false
	}
	if x.endpoint != nil && (x.endpoint.Kind == SecondFactor || x.endpoint.Kind == SignIn || x.endpoint.Kind == SignOut) {
		return false
	}
	var lacking *half
	for _, session := range x.visitor.sessions {
		h, ok := s.halves.memory.get(session)
		if !ok {
			continue
		}
		q := x.query
		q.Session, q.Account, q.Realm = "", h.account, h.realm
		if d := s.engine.Check(s.app, &q); d.Action != warder.MFA {
			s.halves.memory.drop(session) // it is demanded no more
			continue
		}
		s.halves.memory.put(session, h) // for as long as it is used
		lacking = &h
	}
	switch {
	case lacking == nil:
		return false
	case r.Method == http.MethodGet && WantsPage(r.Header) && s.opts.Pages != nil:
		said := speakChallenge(r.Header.Get("Accept-Language"))
		c := challengeView{Title: said.MFATitle, Message: said.MFAText, Go: lacking.page}
		if lacking.page == "" {
			c.Message = said.MFANone
		}
		s.opts.Pages.write(w, r, http.StatusForbidden, said, view{Denied: s.opts.Denied}, &c)
		return true
	}
	s.dropAllSessions(r.Header)
	x.visitor.sessions, x.query.Session, x.signedOut = nil, "", true
	return false
}

// keepCookies takes the cookies out of a response that keep does not name.
func keepCookies(h http.Header, keep func(name string) bool) {
	lines := h["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return !keep(strings.TrimSpace(name))
	})
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}
