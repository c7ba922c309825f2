package api

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

// Names of cookies. Over TLS the prefix makes browsers refuse them from any
// other host and without Secure, so that nobody beside us can plant one.
const (
	cookieName       = "warder"
	deviceCookieName = "warder-device"
	securePrefix     = "__Host-"
	secureCookieName = securePrefix + cookieName
)

// deviceLife is how long a browser keeps the cookie that makes it a known
// device.
const deviceLife = 90 * 24 * time.Hour

// protectFor is how long the address of a signed-in owner or admin is kept from
// automatic Blocks (SEMANTICS 4).
const protectFor = 24 * time.Hour

// people are the operators, with the sessions as long as the settings say.
func (s *Server) people() *operator.People {
	p := s.opts.People
	if p != nil && s.settings != nil {
		v := s.settings.Current().Session
		p.LimitSessions(time.Duration(v.Idle)*time.Second, time.Duration(v.Absolute)*time.Second)
	}
	return p
}

// secure reports whether the browser talks TLS, to us or to a trusted proxy.
func (s *Server) secure(r *http.Request) bool {
	return r.TLS != nil || s.opts.HTTPS != nil && s.opts.HTTPS(r)
}

func cookieNamed(name string, secure bool) string {
	if secure {
		return securePrefix + name
	}
	return name
}

// cookie reads the cookie of a browser; empty if it has none, or several, which
// no browser sends that has only ours.
func (s *Server) cookie(r *http.Request, name string) string {
	all := r.CookiesNamed(cookieNamed(name, s.secure(r)))
	if len(all) != 1 {
		return ""
	}
	return all[0].Value
}

// setCookie makes a cookie that only we read. Strict is enough for links in
// mails too: they lead to a page, and the page's own calls carry the cookie.
func (s *Server) setCookie(r *http.Request, name, value string, life time.Duration) http.Cookie {
	secure := s.secure(r)
	c := http.Cookie{
		Name: cookieNamed(name, secure), Value: value, Path: "/", HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteStrictMode, MaxAge: int(life / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// browser is what a request says of the browser that sent it.
type browser struct {
	r      *http.Request
	ip     netip.Addr
	token  string // of its session
	device string // token of its device; fresh if it has none
	visit  operator.Visitor
}

// browserOf reads the browser of a management handler. Programs that come
// through the socket have none.
func (s *Server) browserOf(ctx context.Context) (*browser, error) {
	c := callerOf(ctx)
	if c.request == nil || s.people() == nil {
		return nil, newProblem(http.StatusNotFound, "This instance knows no operators.")
	}
	if local, _ := c.request.Context().Value(localContext{}).(bool); local {
		return nil, newProblem(http.StatusForbidden, "This call is for browsers.")
	}
	b := &browser{r: c.request, ip: s.clientAddr(c.request)}
	b.token, b.device = s.cookie(b.r, cookieName), s.cookie(b.r, deviceCookieName)
	if operator.DeviceID(b.device) == "" {
		b.device = operator.NewDevice()
	}
	b.visit = operator.Visitor{Agent: clip(b.r.UserAgent(), warder.MaxUserAgent), Device: operator.DeviceID(b.device)}
	if b.ip.IsValid() {
		b.visit.IP = b.ip.String()
	}
	return b, nil
}

// signedIn finds the operator whose cookie a request carries.
func (s *Server) signedIn(r *http.Request, row *route) (*caller, error) {
	refuse := func(status int, why, detail string) (*caller, error) {
		s.metrics.refused.WithLabelValues(why).Inc()
		return nil, newProblem(status, detail)
	}
	token := s.cookie(r, cookieName)
	if s.people() == nil || token == "" {
		return refuse(http.StatusUnauthorized, "missing", "Sign in, or send an API key: Authorization: Bearer wk_...")
	}
	now := time.Now()
	session, o, err := s.opts.People.Session(r.Context(), token, now)
	switch {
	case errors.Is(err, operator.ErrNoSession):
		return refuse(http.StatusUnauthorized, "wrong", "Your session has ended. Sign in again.")
	case err != nil:
		s.log.WarnContext(r.Context(), "sessions cannot be read", "error", err)
		return nil, guard.ErrBusy
	case !session.SignedIn:
		return refuse(http.StatusUnauthorized, "missing", "Your second factor is still to come.")
	case row.role == "":
		return refuse(http.StatusForbidden, "role", "This call is for applications, by API key.")
	case !o.Role.Includes(row.role):
		return refuse(http.StatusForbidden, "role", "Your role "+string(o.Role)+" may not do this; it takes "+string(row.role)+".")
	}
	if err := fromOwnPage(r); err != nil {
		return nil, err
	}
	s.touchSession(r, &session, &o, now)
	return &caller{
		app:      &guard.App{ID: "dashboard", Name: "dashboard", CanChallenge: true, CanMFA: true},
		actor:    guard.Actor{Name: "operator:" + o.Email},
		role:     o.Role,
		operator: &o, session: &session, token: token,
	}, nil
}

// fromOwnPage refuses what a page of another site could send with our cookie if
// a browser tells nothing about sites: a form. http.CrossOriginProtection has
// looked at the headers that newer browsers send.
func fromOwnPage(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case media == "application/json" || media == "application/yaml":
		return nil // takes a preflight
	case r.ContentLength != 0:
		return newProblem(http.StatusUnsupportedMediaType, "With a session, send application/json.")
	case r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "":
		return newProblem(http.StatusForbidden, "The browser does not say which page this comes from; send Content-Type: application/json.")
	}
	return nil
}

// touchSession notes that a session is used. It is no part of letting anybody
// in, so it waits a moment at most.
func (s *Server) touchSession(r *http.Request, session *operator.Session, o *operator.Operator, now time.Time) {
	ip := s.clientAddr(r)
	text := ""
	if ip.IsValid() {
		text = ip.String()
	}
	ctx, cancel := context.WithTimeout(r.Context(), 250*time.Millisecond)
	defer cancel()
	touched, err := s.opts.People.Touch(ctx, session, text, now)
	if err != nil {
		s.log.DebugContext(r.Context(), "use of a session is not stored", "error", err)
	}
	if touched {
		s.protect(o, ip, now)
	}
}

// protect keeps the address of an owner or admin from automatic Blocks.
func (s *Server) protect(o *operator.Operator, ip netip.Addr, now time.Time) {
	if ip.IsValid() && o.Role.Includes(operator.Admin) {
		s.opts.Guard.ProtectAddress(ip, now.Add(protectFor))
	}
}

// whileSignedIn ends the context of a request that may last, when the session
// it came by ends or may no longer do this.
func (s *Server) whileSignedIn(r *http.Request, row *route, c *caller) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		defer cancel()
		tick := time.NewTicker(sessionCheck)
		defer tick.Stop()
		for {
			changed := s.opts.People.Changed()
			session, o, err := s.opts.People.Session(ctx, c.token, time.Now())
			if errors.Is(err, operator.ErrNoSession) || err == nil && (!session.SignedIn || !o.Role.Includes(row.role)) {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-tick.C:
			}
		}
	}()
	return r.WithContext(ctx), cancel
}

// sessionCheck is how often a request that lasts asks whether its session does.
const sessionCheck = 15 * time.Second

// me is the operator who is signed in.
func me(ctx context.Context) (*caller, error) {
	c := callerOf(ctx)
	if c.operator == nil || c.session == nil {
		return nil, newProblem(http.StatusForbidden, "This call is for operators who are signed in.")
	}
	return c, nil
}

// changeOf says who makes a change.
func changeOf(ctx context.Context) operator.Change {
	c := callerOf(ctx)
	by := operator.Change{Actor: c.actor.Name, From: c.actor.From, At: time.Now()}
	if c.operator != nil {
		by.ID = c.operator.ID
	}
	return by
}
