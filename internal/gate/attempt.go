package gate

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// maxLook is how much of a response's body is looked at for its outcome.
const maxLook = 64 << 10

// safe reports whether a request by this method changes nothing.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// claim reads the credentials of a request to an endpoint, and which of several
// at its path it is for; ok is false if the request was answered.
func (s *Site) claim(w http.ResponseWriter, r *http.Request, x *exchange) (ok bool) {
	if x.crossing && !safe(r.Method) {
		// A visitor of another site must not be made to guess, or be counted.
		writeProblem(w, r, http.StatusForbidden, "Sign-ins from other sites are refused.")
		return false
	}
	ep, c, err := claimsOf(w, r, s.profile.at(x.endpoint, r.URL.EscapedPath()), intake{
		hold:  func(n int64) bool { return s.forms.take(x, n) },
		usual: s.usage.usual,
	})
	if err != nil {
		status := http.StatusBadRequest
		if se, ok := errors.AsType[*statusError](err); ok {
			status = se.status
		}
		if status == http.StatusServiceUnavailable {
			w.Header()["Retry-After"] = one
		}
		writeProblem(w, r, status, err.Error())
		return false
	}
	x.endpoint, x.claims = ep, c
	if c.given && ep.lures(r, x.crossing) {
		writeProblem(w, r, http.StatusForbidden, "Sign-ins from other sites are refused.")
		return false
	}
	return true
}

// beside looks for credentials of HTTP Basic where an application takes them
// beside its forms: they are a guess on every other page. ok is false if the
// request was answered.
func (s *Site) beside(w http.ResponseWriter, r *http.Request, x *exchange) (ok bool) {
	if len(r.Header["Authorization"]) == 0 || x.endpoint != nil && x.endpoint.Kind == Basic {
		return true
	}
	basic := s.profile.basicAt(r.URL.EscapedPath())
	if basic == nil {
		return true
	}
	c, err := basicOf(r)
	switch {
	case err == nil && !c.given:
		return true
	case err == nil && x.crossing && !safe(r.Method):
		writeProblem(w, r, http.StatusForbidden, "Sign-ins from other sites are refused.")
		return false
	case err != nil || x.endpoint != nil && x.endpoint.Kind != AdminArea && x.endpoint.Kind != Open:
		// A page with a form tells by other means than 401 whether they are right.
		writeProblem(w, r, http.StatusBadRequest, "HTTP Basic is not for this page.")
		return false
	}
	x.endpoint, x.claims = basic, c
	return true
}

// lures reports whether a browser sends a guess that its user knows nothing of:
// a picture or a frame of another site can have any address of ours, and so can
// a picture that somebody put into a page of our own. What a user opens, such
// as the link of a mail, is no trick, unless there is a password for an account
// in it.
func (e *Endpoint) lures(r *http.Request, crossing bool) bool {
	if e.Kind == Basic || !e.Kind.guesses() && e.Kind != ResetRequest {
		return false // browsers send Basic credentials with every request
	}
	switch dest := r.Header.Get("Sec-Fetch-Dest"); dest {
	case "", "empty", "document", "frame", "iframe":
		return crossing && (e.Kind == SignIn && len(e.Account) > 0 || dest != "document")
	}
	return true
}

// request takes a request for a password reset: it is counted before the
// application sends anything.
func (s *Site) request(w http.ResponseWriter, r *http.Request, x *exchange) {
	if safe(r.Method) && !x.claims.given {
		if !s.ask(w, r, x) {
			s.pass(w, r, x)
		}
		return
	}
	cleared, ok := s.clear(w, r, x)
	if !ok {
		return
	}
	rep := s.report(r.Context(), x, x.endpoint.panel()+"_PASSWORD_RESET_REQUEST", "")
	if rep.Decision.Action == warder.BlockAction {
		s.refuse(w, r, &rep.Decision)
		return
	}
	if rep.Decision.Action == warder.Challenge && !cleared {
		s.challenge(w, r, x) // this request was the one too many
		return
	}
	if errors.Is(rep.Err, guard.ErrBusy) && !s.opts.FailOpen {
		busy(w, r)
		return
	}
	s.pass(w, r, x)
}

// report writes an event about an exchange.
func (s *Site) report(ctx context.Context, x *exchange, name, reason string) guard.Reported {
	e := warder.Event{
		Name: name, IP: x.query.IP, Account: x.claims.account, Realm: x.endpoint.Realm, Session: x.query.Session,
		Device: x.query.Device, UserAgent: x.query.UserAgent, Method: x.query.Method, Path: x.query.Path, Reason: reason,
	}
	if e.Account == "" && e.Session != "" {
		e.Account = s.accountOf(e.Session)
	}
	rep := s.engine.Report(context.WithoutCancel(ctx), s.app, []guard.Incoming{{Event: e}})[0]
	if rep.Err != nil {
		s.warn(ctx, &s.told.event, "an event is not durable yet", "event", name, "error", rep.Err)
	}
	return rep
}

func busy(w http.ResponseWriter, r *http.Request) {
	w.Header()["Retry-After"] = one
	writeProblem(w, r, http.StatusServiceUnavailable, "Too many sign-ins are under way. Try again.")
}

// attempt takes a request that may guess at a secret. It reserves, forwards
// whatever the client does meanwhile, and reads the outcome.
func (s *Site) attempt(w http.ResponseWriter, r *http.Request, x *exchange) {
	if x.endpoint.Kind == Basic {
		x.place = s.place(r)
	}
	if !x.claims.given && (safe(r.Method) || x.endpoint.Kind == Basic) {
		if !s.ask(w, r, x) {
			s.pass(w, r, x) // shows the form, or asks for credentials
		}
		return
	}
	if x.endpoint.Kind == SecondFactor {
		s.secondFactor(r, x)
	}
	q := x.query
	q.Account, q.Realm, q.Event = x.claims.account, x.endpoint.Realm, x.endpoint.stem()
	if x.endpoint.Kind == Basic {
		x.proof = string(hash(s.keys.guess, "proof", warder.AddressKey(q.IP).String(), q.Account, x.claims.password))
		if s.isProved(x) {
			// Every request brings the credentials; those that were right a
			// moment ago reserve nothing, unless somebody is refused now.
			if d := s.engine.Check(s.app, &q); d.Action == warder.BlockAction {
				s.refuse(w, r, &d)
				return
			}
			s.pass(w, r, x)
			return
		}
	}
	if r.Method == http.MethodHead && x.endpoint.bodies {
		// The outcome would stand in what nobody sends.
		w.Header()["Allow"] = []string{"GET, POST"}
		writeProblem(w, r, http.StatusMethodNotAllowed, "Sign-ins are not for this method.")
		return
	}
	if x.endpoint.credits(&x.claims) && s.signedInAsAnother(r, x) {
		x.visitor.sessions, x.visitor.names, x.query.Session, q.Session = nil, nil, "", ""
	}
	a, err := s.engine.Begin(r.Context(), s.app, q, attemptWait, "")
	switch {
	case r.Context().Err() != nil && a.Token == "":
		return // the client left while it waited: nothing was reserved
	case err != nil && !s.opts.FailOpen:
		if !errors.Is(err, guard.ErrBusy) {
			s.warn(r.Context(), &s.told.begin, "a sign-in cannot be announced", "error", err)
		}
		busy(w, r)
		return
	case err == nil && a.Token == "" && a.Decision.Action == warder.Challenge:
		s.challenge(w, r, x)
		return
	case err == nil && a.Token == "":
		s.refuse(w, r, &a.Decision)
		return
	}
	x.token, x.attempted = a.Token, true
	s.figures.attempts.Add(1)

	// From here on the client's hang-up changes nothing: the application may
	// have checked the password, and the outcome counts.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	limit := time.AfterFunc(min(attemptTimeout, s.opts.Timeout), func() { cancel(context.DeadlineExceeded) })
	defer limit.Stop()
	x.Context = ctx
	abandon := func() { cancel(errShutdown) }
	x.abandon.Store(&abandon)
	client := r.Context()
	x.decided = func() {
		// What is left is an answer like any other.
		limit.Stop()
		s.live.passing(x, func() { cancel(nil) })
		context.AfterFunc(client, func() { cancel(nil) })
	}
	defer func() {
		if x.token != "" && !x.settled {
			s.settle(ctx, x, guard.Settlement{Outcome: warder.OutcomeError})
		}
	}()
	r = r.WithContext(x)
	s.body(w, r, x)
	s.proxy.ServeHTTP(newAnswer(w, r, x), r)
}

// credits reports whether a success there is one of the account that the request
// names, whoever is signed in. A reset that names none may rest on the session.
func (e *Endpoint) credits(c *credentials) bool {
	return e.Kind == SignIn || e.Kind == Basic || e.Kind == PasswordReset && c.account != ""
}

// proves reports whether a success there says whose the session is from then on.
// Who signs up, or follows a link to set a password anew, may be somebody else
// than a field of the form says.
func (e *Endpoint) proves() bool { return e.Kind != SignUp && e.Kind != PasswordReset }

// signedInAsAnother keeps the sessions of other accounts out of a sign-in, and
// reports whether there were any. Many applications send whoever is signed in on
// his way without looking at the password, which would look like a success: with
// an account of his own somebody could take out his failures at another one.
func (s *Site) signedInAsAnother(r *http.Request, x *exchange) bool {
	var others []string
	for _, session := range x.visitor.sessions {
		if s.isOwned(session) && !sameAccount(s.accountOf(session), x.claims.account) {
			others = append(others, session)
		}
	}
	if len(others) == 0 {
		return false
	}
	s.dropSessions(r.Header, others)
	return true
}

func sameAccount(a, b string) bool { return warder.AccountKey("", a) == warder.AccountKey("", b) }

// secondFactor finds out whose second factor a request brings: that of whoever
// signed in last, by one of its sessions. Those of others are kept out of it. A
// field that names somebody else may be what the application goes by, or may
// not, so that a success proves nothing then: with an account of his own nobody
// completes the sign-in of another one.
func (s *Site) secondFactor(r *http.Request, x *exchange) {
	account, since, found := "", time.Time{}, false
	for _, session := range x.visitor.sessions {
		p, _ := s.people.get(session)
		if s.isOwned(session) && (!found || p.since.After(since)) {
			account, since, found, x.query.Session = s.accountOf(session), p.since, true, session
		}
	}
	if !found {
		return
	}
	x.claims.unproven = x.claims.account != "" && !sameAccount(x.claims.account, account)
	x.claims.account = account
	s.signedInAsAnother(r, x)
}

// person is who a session belongs to, as far as the gate has seen.
type person struct {
	account string // may be empty
	// session is the one that the sign-in opened, where this is another name of
	// it; empty: this is the one.
	session string
	since   time.Time // when it signed in; zero: not seen
}

// accountOf is the account that a session belongs to; empty: not known.
func (s *Site) accountOf(session string) string {
	if p, ok := s.people.get(session); ok || session == "" {
		return p.account
	}
	return s.engine.SessionAccount(session) // of a sign-in long ago, or before a restart
}

// sessionOf is the session that a name stands for.
func (s *Site) sessionOf(name string) string {
	if s.renamed.Load() {
		if p, ok := s.people.get(name); ok && p.session != "" {
			return p.session
		}
	}
	return name
}

// goesOn notes that an application writes a session anew, as those do that
// encrypt it into the cookie: what ends the one ends the other.
func (s *Site) goesOn(res *http.Response, x *exchange) {
	if x.query.Session == "" || len(res.Header["Set-Cookie"]) == 0 || x.endpoint != nil && x.endpoint.Kind == SignOut {
		return
	}
	if s.isOwned(x.query.Session) {
		p, _ := s.people.get(x.query.Session)
		s.owns(person{account: s.accountOf(x.query.Session), since: p.since}, x.query.Session, res.Cookies())
	}
}

// isOwned reports whether a session was opened by a sign-in, be its account
// known or not.
func (s *Site) isOwned(session string) bool {
	_, ok := s.people.get(session)
	return ok || s.accountOf(session) != ""
}

// owns notes whose a session is, with the other names that cookies give it.
func (s *Site) owns(p person, session string, list []*http.Cookie) {
	s.people.put(session, p)
	p.session = session
	for _, c := range list {
		if !s.isSession(c.Name) || expired(c) {
			continue
		}
		if value := s.sessionValue(c.Value); value != "" {
			if name := s.keys.sessionID(s.name, value); name != session {
				s.renamed.Store(true)
				s.people.put(name, p)
			}
		}
	}
}

// besides notes whose the other sessions are that came along where the
// application goes on with one of them: which one, only it knows.
func (s *Site) besides(p person, x *exchange) {
	p.session = x.query.Session
	for _, session := range x.visitor.sessions {
		if session != p.session && !s.isOwned(session) {
			s.renamed.Store(true)
			s.people.put(session, p)
		}
	}
}

// place is what a request asks for, as far as whether it needs credentials may
// depend on it.
func (s *Site) place(r *http.Request) string {
	return string(hash(s.keys.guess, "place", r.Method, strings.ToLower(r.Host), r.URL.EscapedPath()))
}

// isProved reports whether Basic credentials were right a moment ago, or nobody
// asked for any at this place.
func (s *Site) isProved(x *exchange) bool {
	if _, ok := s.proved.get(x.proof); ok {
		return true
	}
	_, ok := s.proved.get(x.proof + x.place)
	return ok
}

var errShutdown = errors.New("the gate shuts down")

// settle reports the outcome of the exchange's attempt, once.
func (s *Site) settle(ctx context.Context, x *exchange, st guard.Settlement) guard.Reported {
	if x.settled {
		return guard.Reported{}
	}
	x.settled = true
	switch st.Outcome {
	case warder.Success:
		s.figures.success.Add(1)
	case warder.Failure:
		s.figures.failure.Add(1)
	default:
		s.figures.errors.Add(1)
	}
	if st.Outcome != warder.OutcomeError {
		s.figures.lastOutcome.Store(time.Now().Unix())
	}
	st.Digest = []byte(st.Outcome.String())
	rep, err := s.engine.Settle(context.WithoutCancel(ctx), s.app, x.token, st)
	if err == nil {
		err = rep.Err
	}
	rep.Err = err
	if err != nil {
		s.warn(ctx, &s.told.outcome, "the outcome of a sign-in is not durable yet", "error", err)
	}
	return rep
}

// respond looks at a response before it goes to the client.
func (s *Site) respond(res *http.Response) error {
	if s.figures.unanswered.Load() != 0 {
		s.figures.unanswered.Store(0)
	}
	x := exchangeOf(res.Request.Context())
	if x == nil {
		return nil
	}
	if x.informed > 0 && len(x.ended) > 0 {
		s.expire(res.Header, x.ended, x.secure) // an informational response took it along
	}
	if x.signedOut {
		keepCookies(res.Header, func(name string) bool { return !s.isSession(name) }) // the visitor keeps what it has
	}
	if x.endpoint != nil && x.endpoint.Kind == Basic && res.StatusCode == http.StatusUnauthorized &&
		strings.Contains(strings.ToLower(strings.Join(res.Header["Www-Authenticate"], ",")), "basic") {
		s.asks.put(x.place, struct{}{})
	}
	if !x.attempted {
		s.goesOn(res, x)
	}
	switch {
	case x.attempted:
		if err := s.judge(res, x); err != nil {
			return err
		}
		x.decided()
	case x.endpoint == nil:
	case x.endpoint.Kind == SignOut:
		if owned := s.isOwned(x.query.Session); s.leaves(res) && x.query.Session != "" && !x.crossing && (owned || s.first(x, warder.Logout)) {
			s.report(res.Request.Context(), x, warder.Logout, "")
			if owned {
				// The engine forgets it. That the application has seen the same
				// cookie cannot be known, so it sees it no more.
				s.left.put(x.query.Session, struct{}{})
			}
		}
	case x.endpoint.Kind == AdminArea:
		return s.adminArea(res, x)
	case x.endpoint.Kind == Basic && x.proof != "" && res.StatusCode == http.StatusUnauthorized:
		// The password was changed, or the session of the application ended.
		s.proved.drop(x.proof)
		s.proved.drop(x.proof + x.place)
		s.report(res.Request.Context(), x, x.endpoint.stem()+"_FAILURE", warder.WrongPassword)
	}
	return nil
}

// leaves reports whether a response is that to a sign-out. A page that takes no
// cookie away may only ask whether one wants to leave; a session that is taken
// for ended too early would not end when it must.
func (s *Site) leaves(res *http.Response) bool {
	if res.StatusCode < 300 && safe(res.Request.Method) {
		return slices.ContainsFunc(res.Cookies(), func(c *http.Cookie) bool { return s.isSession(c.Name) && expired(c) })
	}
	return res.StatusCode < 400
}

// first reports whether an event that no rule counts, and that nobody is blocked
// for, is the first of its name from an address within a minute: strangers must
// not fill the log with them.
func (s *Site) first(x *exchange, name string) bool {
	key := warder.AddressKey(x.query.IP).String() + name
	if _, ok := s.seldom.get(key); ok {
		return false
	}
	s.seldom.put(key, struct{}{})
	return true
}

// adminArea tells of somebody who asked for a page that is for administrators
// only and was not let in.
func (s *Site) adminArea(res *http.Response, x *exchange) error {
	refused := res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
	if loc := location(res); loc != "" && res.StatusCode >= 300 && res.StatusCode < 400 {
		p, _, _ := strings.Cut(loc, "?")
		if ep, _ := s.profile.find(p); ep != nil && ep.Kind == SignIn {
			refused = true
		}
	}
	if !refused {
		return nil
	}
	reason := ""
	if x.crossing {
		if reason = "cross_site"; !s.first(x, warder.UnauthorizedAccess) {
			return nil
		}
	}
	rep := s.report(res.Request.Context(), x, warder.UnauthorizedAccess, reason)
	if rep.Decision.Action == warder.BlockAction && rep.Decision.Reason != warder.SessionRevoked {
		return &refusedError{rep.Decision}
	}
	return nil
}

// judge reads the outcome of an attempt and settles it. Its decision is final:
// who is refused does not get the session that the application has opened.
func (s *Site) judge(res *http.Response, x *exchange) error {
	look := response{status: res.StatusCode, location: location(res), cookies: res.Cookies()}
	opened := s.opened(look.cookies)
	look.session = opened != ""
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		look.sealed = true // a connection, which may never end
	case x.endpoint.bodies:
		body, err := io.ReadAll(io.LimitReader(res.Body, maxLook))
		if err != nil {
			return err // the application broke off: no outcome
		}
		look.body, look.sealed = readable(res.Header["Content-Encoding"], body)
		look.cut = len(body) == maxLook || len(look.body) == maxLook
		if look.sealed {
			s.warn(res.Request.Context(), &s.told.sealed, "the application compresses answers to sign-ins though it was asked not to, its outcomes cannot be read",
				"encoding", text(res.Header.Get("Content-Encoding"), 64))
		}
		res.Body = &rejoined{Reader: io.MultiReader(bytes.NewReader(body), res.Body), Closer: res.Body}
	}
	look.back = s.profile.leadsBack(x.endpoint, look.location)
	outcome, reason := x.endpoint.outcome(&look)
	if _, asked := s.asks.get(x.place); outcome == warder.Success && x.endpoint.Kind == Basic && !asked {
		// As far as is known, nobody needs credentials here: that these were let
		// in proves nothing, and must not take out failures elsewhere.
		outcome = warder.OutcomeError
		s.proved.put(x.proof+x.place, struct{}{})
	}
	if outcome == warder.Success && x.claims.unproven {
		outcome = warder.OutcomeError
	}
	if x.token == "" {
		return nil // let through unguarded
	}
	st := guard.Settlement{Outcome: outcome, Reason: text(reason, warder.MaxReason)}
	switch outcome {
	case warder.Success:
		st.Session = opened
		switch owned := s.isOwned(x.query.Session); {
		case !x.endpoint.proves():
			if owned {
				st.Session = "" // who is signed in stays who he is
			}
		case opened == "" || x.endpoint.Kind == SecondFactor && owned:
			st.Session = x.query.Session // the application goes on with the session it had
		}
	case warder.Failure:
		st.Guess = s.guess(x.endpoint.Realm, x.claims)
		if reason == "" {
			st.Reason = warder.WrongPassword
			if x.endpoint.Kind == SecondFactor {
				st.Reason = warder.MFAFailed
			}
		}
	}
	rep := s.settle(res.Request.Context(), x, st)
	if rep.Decision.Action == warder.BlockAction {
		return &refusedError{rep.Decision}
	}
	if rep.Err != nil {
		res.Header[hDegraded] = one
	}
	if outcome != warder.Success {
		s.goesOn(res, x)
		return nil
	}
	if x.proof != "" {
		s.proved.put(x.proof, struct{}{})
	}
	if !s.isOwned(x.query.Session) { // nobody looks at the form of who is signed in
		s.usage.worked(x.endpoint, x.claims.named, x.key)
	}
	if st.Session != "" {
		s.left.drop(st.Session)
		p := person{since: time.Now()}
		if x.endpoint.proves() {
			p.account = x.claims.account
		}
		s.owns(p, st.Session, look.cookies)
		if st.Session == x.query.Session {
			s.besides(p, x)
		}
	} else {
		s.goesOn(res, x)
	}
	if x.endpoint.Kind == SecondFactor {
		s.whole(x)
	} else if rep.Decision.Action == warder.MFA {
		s.hold(res, x, st.Session)
		return nil
	}
	if x.visitor.device == "" && x.endpoint.Kind != SignUp {
		res.Header.Add("Set-Cookie", s.deviceCookie(x.secure))
	}
	return nil
}

// readable is as much of a body as can be looked at. The application was asked
// for no encoding; gzip is read nevertheless, no further than any other body,
// whatever it would become. sealed says that the body cannot be read.
func readable(encoding []string, body []byte) (_ []byte, sealed bool) {
	switch strings.ToLower(strings.TrimSpace(strings.Join(encoding, ","))) {
	case "", "identity":
		return body, false
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, len(body) > 0
		}
		plain, err := io.ReadAll(io.LimitReader(z, maxLook))
		if err != nil && !(errors.Is(err, io.ErrUnexpectedEOF) && len(body) == maxLook) {
			return nil, true
		}
		return plain, false
	}
	return nil, true
}

// rejoined is a body of which a part was read and put back.
type rejoined struct {
	io.Reader
	io.Closer
}

// location is where a response leads to, as a path with its query.
func location(res *http.Response) string {
	header := res.Header.Get("Location")
	if header == "" {
		return ""
	}
	u, err := url.Parse(header)
	if err != nil {
		return header
	}
	u = res.Request.URL.ResolveReference(u)
	if u.RawQuery != "" {
		return u.EscapedPath() + "?" + u.RawQuery
	}
	return u.EscapedPath()
}
