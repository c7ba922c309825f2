package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

// SignInState says how far a browser is with signing in.
type SignInState struct {
	State       string     `json:"state" enum:"none,second_factor,signed_in" doc:"second_factor: the password was right, and a second factor is wanted."`
	Operator    *Me        `json:"operator,omitempty" doc:"Who is signed in; absent before that."`
	Methods     []string   `json:"methods" doc:"How to go on: password, passkey, totp, recovery."`
	ExpiresAt   *time.Time `json:"expires_at,omitempty" doc:"When the session ends at the latest."`
	SetupNeeded bool       `json:"setup_needed" doc:"There is no owner yet: open the link that Warder printed when it started."`
	Missed      []string   `json:"missed,omitempty" doc:"What the set-up could not do besides making the owner, and why."`
}

// Me is the operator who is signed in.
type Me struct {
	ID            string        `json:"id"`
	Email         string        `json:"email"`
	Name          string        `json:"name"`
	Role          operator.Role `json:"role"`
	TimeZone      string        `json:"time_zone" doc:"Of the days on every page, such as Asia/Kolkata; empty: that of the browser."`
	ExpiresAt     *time.Time    `json:"expires_at,omitempty" doc:"When the account ends; absent: never."`
	TOTP          bool          `json:"totp"`
	Passkeys      int           `json:"passkeys"`
	RecoveryCodes int           `json:"recovery_codes_left"`
	Created       time.Time     `json:"created"`
	LastSignIn    *time.Time    `json:"last_sign_in,omitempty"`
}

// SignInBody is an e-mail address and its password.
type SignInBody struct {
	Email     string `json:"email" maxLength:"254"`
	Password  string `json:"password" maxLength:"1024"`
	Clearance string `json:"clearance,omitempty" maxLength:"8192" doc:"The token of a solved challenge, if one was demanded."`
}

// CodeBody is a code of six digits, or a recovery code.
type CodeBody struct {
	Code string `json:"code" maxLength:"64"`
}

// PasskeyOptions are what navigator.credentials wants to be given.
type PasskeyOptions struct {
	Options any `json:"options" doc:"For navigator.credentials, with binary values in base64url."`
}

// CredentialBody is what navigator.credentials answered.
type CredentialBody struct {
	Credential any `json:"credential" doc:"PublicKeyCredential.toJSON()."`
}

// sessionAnswer is a SignInState with the cookies that belong to it.
type sessionAnswer struct {
	SetCookie     []http.Cookie `header:"Set-Cookie"`
	ClearSiteData string        `header:"Clear-Site-Data"`
	Body          SignInState
}

// signedOut is the answer to the end of a session.
type signedOut struct {
	SetCookie     []http.Cookie `header:"Set-Cookie"`
	ClearSiteData string        `header:"Clear-Site-Data"`
}

func (s *Server) manageSession() {
	register(s, "GET /v1/session", "get-session", "How far this browser is with signing in", 0,
		func(ctx context.Context, _ *struct{}) (SignInState, error) { return s.sessionState(ctx) })
	registerRaw(s, "POST /v1/session", "sign-in", "Sign in with e-mail address and password", 0,
		func(ctx context.Context, in *body[SignInBody]) (*sessionAnswer, error) {
			return s.signIn(ctx, &in.Body)
		})
	registerRaw(s, "POST /v1/session/totp", "sign-in-totp", "Go on with a code of the authenticator app", 0,
		func(ctx context.Context, in *body[CodeBody]) (*sessionAnswer, error) {
			return s.secondFactor(ctx, "The code is wrong, or was used before.", func(ctx context.Context, o *operator.Operator, _ string, _ *browser) error {
				return s.opts.People.UseTOTP(ctx, o, in.Body.Code, time.Now())
			})
		})
	registerRaw(s, "POST /v1/session/recovery", "sign-in-recovery", "Go on with a recovery code", 0,
		func(ctx context.Context, in *body[CodeBody]) (*sessionAnswer, error) {
			return s.secondFactor(ctx, "The recovery code is wrong, or was used before.", func(ctx context.Context, o *operator.Operator, _ string, b *browser) error {
				by := operator.Change{Actor: "operator:" + o.Email, From: b.visit.IP, At: time.Now()}
				return s.opts.People.UseRecoveryCode(ctx, o, in.Body.Code, by)
			})
		})
	register(s, "POST /v1/session/passkey/options", "sign-in-passkey-options", "Begin to sign in, or to go on, with a passkey", 0,
		func(ctx context.Context, _ *struct{}) (PasskeyOptions, error) {
			b, err := s.browserOf(ctx)
			if err != nil {
				return PasskeyOptions{}, err
			}
			session, o, err := s.halfSignedIn(ctx, b)
			if err != nil {
				return PasskeyOptions{}, err
			}
			id := ""
			if session != nil {
				id = session.ID
			}
			options, err := s.opts.People.PasskeyToUse(ctx, o, id, b.r.Host, time.Now())
			return PasskeyOptions{Options: options}, err
		})
	registerRaw(s, "POST /v1/session/passkey", "sign-in-passkey", "Sign in, or go on, with a passkey", 0,
		func(ctx context.Context, in *body[CredentialBody]) (*sessionAnswer, error) {
			return s.usePasskey(ctx, in.Body.Credential)
		})
	registerRaw(s, "DELETE /v1/session", "sign-out", "Sign out", http.StatusNoContent,
		func(ctx context.Context, _ *struct{}) (*signedOut, error) { return s.signOut(ctx) })
}

// sessionState tells a browser how far it is.
func (s *Server) sessionState(ctx context.Context) (SignInState, error) {
	none := SignInState{State: "none", Methods: []string{"password", "passkey"}}
	b, err := s.browserOf(ctx)
	if err != nil {
		return none, err
	}
	session, o, err := s.opts.People.Session(ctx, b.token, time.Now())
	if err == nil {
		return stateOf(&session, &o), nil
	}
	if !errors.Is(err, operator.ErrNoSession) {
		return none, err
	}
	none.SetupNeeded, err = s.opts.People.SetupNeeded(ctx)
	return none, err
}

// signIn checks a password. What it answers does not tell whether there is an
// operator of that name.
func (s *Server) signIn(ctx context.Context, in *SignInBody) (*sessionAnswer, error) {
	b, err := s.browserOf(ctx)
	if err != nil {
		return nil, err
	}
	folded, _ := operator.FoldEmail(in.Email)
	t := proof{
		account: folded, stem: loginStem, secret: in.Password, reason: "wrong_password", clearance: in.Clearance,
	}
	found, err := s.opts.People.Find(ctx, folded)
	switch {
	case err == nil && found.Active(time.Now()):
		t.who = &found
	case err != nil && !errors.Is(err, operator.ErrNotFound):
		return nil, err
	default:
		t.reason = "unknown_account"
	}
	var o operator.Operator
	t.half = func() bool { return o.SecondFactor() }
	known := false
	if t.who != nil {
		if known, err = s.opts.People.Knows(ctx, t.who, b.visit.Device, time.Now()); err != nil {
			return nil, err
		}
	}
	err = s.prove(ctx, b, t, func(ctx context.Context) (err error) {
		o, err = s.opts.People.Authenticate(ctx, folded, in.Password, known)
		return err
	})
	if err != nil {
		return nil, wrong("The e-mail address or the password is wrong.")(err)
	}
	return s.start(ctx, b, &o, !o.SecondFactor())
}

// halfSignedIn finds the session that waits for a second factor; nil if the
// browser has none.
func (s *Server) halfSignedIn(ctx context.Context, b *browser) (*operator.Session, *operator.Operator, error) {
	session, o, err := s.opts.People.Session(ctx, b.token, time.Now())
	switch {
	case errors.Is(err, operator.ErrNoSession), err == nil && session.SignedIn:
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return &session, &o, nil
}

// secondFactor goes on after the password.
func (s *Server) secondFactor(ctx context.Context, detail string, check func(context.Context, *operator.Operator, string, *browser) error) (*sessionAnswer, error) {
	b, err := s.browserOf(ctx)
	if err != nil {
		return nil, err
	}
	session, o, err := s.halfSignedIn(ctx, b)
	if err != nil {
		return nil, err
	}
	if session == nil {
		return nil, newProblem(http.StatusUnauthorized, "Give e-mail address and password first.")
	}
	t := proof{who: o, account: o.Email, stem: mfaStem, reason: "mfa_failed"}
	err = s.prove(ctx, b, t, func(ctx context.Context) error {
		err := check(ctx, o, session.ID, b)
		if errors.Is(err, operator.ErrNoFactor) {
			err = operator.ErrWrong
		}
		if errors.Is(err, operator.ErrWrong) {
			return s.opts.People.Fail(context.WithoutCancel(ctx), session)
		}
		return err
	})
	if err != nil {
		return nil, wrong(detail)(err)
	}
	return s.start(ctx, b, o, true)
}

// usePasskey takes a passkey as the second factor if the password was given,
// else as both.
func (s *Server) usePasskey(ctx context.Context, credential any) (*sessionAnswer, error) {
	const detail = "This passkey does not sign you in here."
	raw, err := json.Marshal(credential)
	if err != nil {
		return nil, fault(http.StatusUnprocessableEntity, "body.credential", "must be a PublicKeyCredential")
	}
	b, err := s.browserOf(ctx)
	if err != nil {
		return nil, err
	}
	people := s.opts.People
	assertion, err := people.ReadAssertion(ctx, raw)
	if errors.Is(err, operator.ErrWrong) {
		return nil, fault(http.StatusUnprocessableEntity, "body.credential", "must be the answer of navigator.credentials.get")
	}
	if err != nil {
		return nil, err
	}
	session, _, err := s.halfSignedIn(ctx, b)
	if err != nil {
		return nil, err
	}
	if session != nil {
		return s.secondFactor(ctx, detail, func(ctx context.Context, o *operator.Operator, session string, b *browser) error {
			return people.UsePasskey(ctx, o, assertion, session, b.r.Host, time.Now())
		})
	}
	t := proof{stem: loginStem, reason: "unknown_account"}
	var o operator.Operator
	if assertion.Operator != "" {
		o, err = people.Find(ctx, assertion.Operator)
		switch {
		case err == nil && o.Active(time.Now()):
			t.who, t.account, t.reason = &o, o.Email, "wrong_passkey"
		case err != nil && !errors.Is(err, operator.ErrNotFound):
			return nil, err
		}
	}
	err = s.prove(ctx, b, t, func(ctx context.Context) error {
		if t.who == nil {
			return operator.ErrWrong
		}
		return people.UsePasskey(ctx, &o, assertion, "", b.r.Host, time.Now())
	})
	if err != nil {
		return nil, wrong(detail)(err)
	}
	return s.start(ctx, b, &o, true)
}

// signOut ends the session of the browser, if it has one.
func (s *Server) signOut(ctx context.Context) (*signedOut, error) {
	b, err := s.browserOf(ctx)
	if err != nil {
		return nil, err
	}
	session, o, err := s.opts.People.Session(ctx, b.token, time.Now())
	if err == nil {
		if err := s.opts.People.SignOut(ctx, &session); err != nil {
			return nil, err
		}
		s.tellLogout(ctx, b, &o)
	} else if !errors.Is(err, operator.ErrNoSession) {
		return nil, err
	}
	return s.out(b.r), nil
}

// out takes the session out of a browser.
func (s *Server) out(r *http.Request) *signedOut {
	return &signedOut{SetCookie: []http.Cookie{s.setCookie(r, cookieName, "", 0)}, ClearSiteData: `"cache"`}
}

func (s *Server) tellLogout(ctx context.Context, b *browser, o *operator.Operator) {
	e := warder.Event{Name: warder.Logout, IP: b.ip, Account: o.Email, Realm: ownRealm, Device: b.visit.Device, UserAgent: b.visit.Agent}
	for _, r := range s.engine.Report(ctx, s.ownApp(true), []guard.Incoming{{Event: e}}) {
		if r.Err != nil {
			s.log.DebugContext(ctx, "a sign-out is not journaled", "error", r.Err)
		}
	}
}
