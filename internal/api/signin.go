package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

// The dashboard's own sign-in is an attempt in a realm of its own (SEMANTICS
// 36), so that the policy counts it and its events are seen. Beside that stands
// operator.Throttle, which holds whatever the policy says.
const (
	ownRealm  = "warder"
	ownApp    = "dashboard"
	loginStem = "ADMIN_LOGIN"
	mfaStem   = "MFA"
	ownWait   = 2 * time.Second
)

// proof is something that is to be proven: a password, a code, a passkey.
type proof struct {
	who       *operator.Operator // nil: no such operator
	account   string             // folded e-mail address
	stem      string
	secret    string // what is guessed; empty: every guess is another one
	reason    string // of a failure
	clearance string // token of a solved challenge
	half      func() bool
}

// prove runs check if neither the throttle nor the engine refuses, and tells
// both what came of it. check returns nil, operator.ErrWrong, or what kept it
// from checking. The outcome counts even if the browser hangs up.
func (s *Server) prove(ctx context.Context, b *browser, t proof, check func(context.Context) error) error {
	now := time.Now()
	known := false
	if t.who != nil {
		var err error
		if known, err = s.opts.People.Knows(ctx, t.who, b.visit.Device, now); err != nil {
			return err
		}
	}
	q := guard.Query{
		IP: b.ip, Account: t.account, Realm: ownRealm, Device: b.visit.Device, UserAgent: b.visit.Agent,
		Event: t.stem, Method: b.r.Method, Path: b.r.URL.Path,
	}
	try := operator.Try{Account: t.account, Exists: t.who != nil, Address: warder.AddressKey(b.ip)}
	if known {
		try.Device = b.visit.Device
	}
	guess, wait, tell := s.opts.People.Throttle().Begin(try, now)
	if wait > 0 {
		if tell {
			s.tellThrottled(ctx, &q, known)
		}
		p := newProblem(http.StatusTooManyRequests, "Too many wrong guesses. Wait, or sign in from a device that you signed in from before.")
		p.retryAfter = int((wait + time.Second - 1) / time.Second)
		return p
	}
	if t.clearance != "" && s.opts.Challenges != nil && b.ip.IsValid() {
		ok, _, err := s.opts.Challenges.Verify(ctx, t.clearance, b.ip, ownRealm)
		if err != nil {
			guess.Drop()
			return err
		}
		if ok {
			q.Clearance, _ = s.opts.Guard.Cleared(b.ip, ownRealm)
		}
	}
	app := s.ownApp(known)
	attempt, err := s.engine.Begin(ctx, app, q, ownWait, "")
	if err == nil && attempt.Token == "" {
		err = s.refusedSignIn(ctx, b, &attempt.Decision)
	}
	if err != nil {
		guess.Drop()
		return err
	}
	outcome := guard.Settlement{Outcome: warder.OutcomeError}
	checked := check(ctx)
	switch {
	case checked == nil:
		outcome.Outcome = warder.Success
		outcome.SecondFactor = t.half != nil && t.half()
		// A password with a second factor to come proves nothing yet: if it
		// cleared the wrong codes, whoever has it could try codes without end.
		guess.Right(known && !outcome.SecondFactor)
	case errors.Is(checked, operator.ErrWrong):
		outcome.Outcome, outcome.Reason = warder.Failure, t.reason
		same := ""
		if t.secret != "" {
			var popular string
			same, popular = s.opts.People.Guess(t.account, t.secret)
			outcome.Guess = warder.Guess{Same: same, Popular: popular}
		}
		guess.Wrong(same, time.Now())
	default:
		guess.Drop()
	}
	settled, err := s.engine.Settle(context.WithoutCancel(ctx), app, attempt.Token, outcome)
	if err != nil && !errors.Is(err, guard.ErrNotDurable) {
		s.log.WarnContext(ctx, "outcome of a sign-in at the dashboard is not counted", "error", err)
	}
	if settled.Decision.Action == warder.BlockAction && (checked == nil || errors.Is(checked, operator.ErrWrong)) {
		return s.refusedSignIn(ctx, b, &settled.Decision)
	}
	return checked
}

// ownApp is the dashboard as the engine knows it. It asks nobody for MFA on
// demand: whoever has a second factor is asked for it anyway.
func (s *Server) ownApp(known bool) *guard.App {
	return &guard.App{ID: ownApp, Name: ownApp, CanChallenge: s.opts.Challenges != nil, Own: true, Known: known}
}

// refusedSignIn is the answer to a sign-in that the engine refuses.
func (s *Server) refusedSignIn(ctx context.Context, b *browser, d *warder.Decision) error {
	p := newProblem(http.StatusForbidden, d.Message)
	p.Reference = d.Reference
	if d.RetryAfter != nil {
		p.Status, p.Title = http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests)
		p.retryAfter = int(min(*d.RetryAfter, 1<<30))
	}
	if d.Action != warder.Challenge {
		return p
	}
	if s.opts.Challenges == nil || !b.ip.IsValid() {
		return p
	}
	posed, err := s.opts.Challenges.Issue(ctx, b.ip, "", ownRealm, "sign_in")
	if err != nil {
		return err
	}
	p.Challenge = &PosedAnswer{Posed: posed, ExpiresIn: int64(posed.Expires / time.Second)}
	return p
}

// tellThrottled makes a refusal of the throttle visible: an event that counts
// nowhere, one for each minute.
func (s *Server) tellThrottled(ctx context.Context, q *guard.Query, known bool) {
	e := warder.Event{
		Name: q.Event + "_FAILURE", IP: q.IP, Account: q.Account, Realm: q.Realm, Device: q.Device, UserAgent: q.UserAgent,
		Method: q.Method, Path: q.Path, Reason: warder.Locked,
	}
	for _, r := range s.engine.Report(context.WithoutCancel(ctx), s.ownApp(known), []guard.Incoming{{Event: e}}) {
		if r.Err != nil {
			s.log.DebugContext(ctx, "refusal of a sign-in is not journaled", "error", r.Err)
		}
	}
	s.log.WarnContext(ctx, "sign-in at the dashboard is throttled", "address", q.IP.String())
}

// wrong is the answer to what was not right.
func wrong(detail string) func(error) error {
	return func(err error) error {
		if errors.Is(err, operator.ErrWrong) {
			return newProblem(http.StatusUnauthorized, detail)
		}
		return err
	}
}

// start begins the session of somebody who has proven enough, with a new token
// in place of the one before.
func (s *Server) start(ctx context.Context, b *browser, o *operator.Operator, signedIn bool) (*sessionAnswer, error) {
	now := time.Now()
	token, session, err := s.opts.People.Start(ctx, o, signedIn, b.token, b.visit, now)
	if err != nil {
		return nil, err
	}
	if signedIn {
		s.protect(o, b.ip, now)
		o.LastSignIn = now
	}
	return &sessionAnswer{
		SetCookie: []http.Cookie{
			s.setCookie(b.r, cookieName, token, session.Expires.Sub(now)),
			s.setCookie(b.r, deviceCookieName, b.device, deviceLife),
		},
		Body: stateOf(&session, o),
	}, nil
}

// stateOf describes a session to its own browser.
func stateOf(session *operator.Session, o *operator.Operator) SignInState {
	v := SignInState{State: "second_factor", Methods: some(o.Factors()), ExpiresAt: maybe(session.Expires)}
	if session.SignedIn {
		who := newMe(o)
		v.State, v.Operator, v.Methods = "signed_in", &who, []string{}
	}
	return v
}

func newMe(o *operator.Operator) Me {
	return Me{
		ID: o.ID, Email: o.Email, Name: o.Name, Role: o.Role, TimeZone: o.TimeZone, ExpiresAt: maybe(o.ExpiresAt), TOTP: o.TOTP,
		Passkeys: o.Passkeys, RecoveryCodes: o.RecoveryCodes, Created: o.Created.UTC(), LastSignIn: maybe(o.LastSignIn),
	}
}

// base is where the browser sees the dashboard, for links.
func (s *Server) base(r *http.Request) string {
	if local, _ := r.Context().Value(localContext{}).(bool); local || r.Header["Authorization"] != nil {
		return s.opts.URL // a key's program may say any host
	}
	if s.secure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
