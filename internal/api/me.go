package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/operator"
)

// EditMeBody changes what an operator says of themselves.
type EditMeBody struct {
	Name     *string `json:"name,omitempty" maxLength:"100"`
	TimeZone *string `json:"time_zone,omitempty" maxLength:"64" example:"Asia/Kolkata" doc:"Empty: that of the browser."`
}

// NewPasswordBody replaces a password.
type NewPasswordBody struct {
	Current string `json:"current" maxLength:"1024"`
	New     string `json:"new" maxLength:"1024" doc:"At least 12 characters."`
}

// PasswordBody proves that it is still the same person.
type PasswordBody struct {
	Password string `json:"password" maxLength:"1024"`
}

// NewTOTP is a secret for an authenticator app.
type NewTOTP struct {
	Secret string   `json:"secret" doc:"In base32, to type in by hand."`
	URI    string   `json:"uri" doc:"otpauth://..."`
	QR     []string `json:"qr" doc:"The URI as a QR code: one text for each row, 1 is a dark module. Draw four light modules around it."`
}

// RecoveryCodes are shown this once.
type RecoveryCodes struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Shown this once; each works once. Empty if the ones before stay valid."`
}

// PasskeyView is a passkey of an operator.
type PasskeyView struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Site     string     `json:"site" doc:"Host name that it works on."`
	Created  time.Time  `json:"created"`
	LastUsed *time.Time `json:"last_used,omitempty"`
}

// NewPasskeyBody is a passkey to add.
type NewPasskeyBody struct {
	Name       string `json:"name" maxLength:"64"`
	Credential any    `json:"credential" doc:"PublicKeyCredential.toJSON()."`
}

// NewPasskey is a passkey with the recovery codes that come with the first
// second factor.
type NewPasskey struct {
	PasskeyView
	RecoveryCodes
}

// SignInView is a session of the dashboard.
type SignInView struct {
	ID       string    `json:"id"`
	Current  bool      `json:"current" doc:"The one that asks."`
	State    string    `json:"state" enum:"second_factor,signed_in"`
	IP       string    `json:"ip,omitempty"`
	Agent    string    `json:"agent,omitempty"`
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires_at"`
}

func (s *Server) manageMe() {
	register(s, "GET /v1/me", "get-me", "The operator who is signed in", 0,
		func(ctx context.Context, _ *struct{}) (Me, error) {
			c, err := me(ctx)
			if err != nil {
				return Me{}, err
			}
			return newMe(c.operator), nil
		})
	register(s, "PATCH /v1/me", "edit-me", "Change one's name and time zone", 0,
		func(ctx context.Context, in *body[EditMeBody]) (Me, error) {
			c, err := me(ctx)
			if err != nil {
				return Me{}, err
			}
			o, err := s.opts.People.Edit(ctx, c.operator.ID, operator.Edit{Name: in.Body.Name, TimeZone: in.Body.TimeZone}, changeOf(ctx))
			return newMe(&o), inBody(err)
		})
	registerRaw(s, "POST /v1/me/password", "change-password", "Change one's password; ends all other sessions", 0,
		func(ctx context.Context, in *body[NewPasswordBody]) (*sessionAnswer, error) {
			return s.changePassword(ctx, &in.Body)
		})
	s.manageStepUp()
	s.manageMyTOTP()
	s.manageMyPasskeys()
	s.manageMySessions()
}

func (s *Server) manageMyTOTP() {
	register(s, "POST /v1/me/totp", "begin-totp", "Make a secret for an authenticator app; it counts once it is confirmed", 0,
		func(ctx context.Context, _ *struct{}) (NewTOTP, error) {
			c, err := s.fresh(ctx)
			if err != nil {
				return NewTOTP{}, err
			}
			made, err := s.opts.People.BeginTOTP(ctx, c.operator, changeOf(ctx))
			return NewTOTP{Secret: made.Secret, URI: made.URI, QR: some(made.QR)}, err
		})
	register(s, "POST /v1/me/totp/confirm", "confirm-totp", "Switch the authenticator app on by its first code", 0,
		func(ctx context.Context, in *body[CodeBody]) (RecoveryCodes, error) {
			c, err := me(ctx)
			if err != nil {
				return RecoveryCodes{}, err
			}
			var codes []string
			err = s.throttled(c, func() (err error) {
				codes, err = s.opts.People.ConfirmTOTP(ctx, c.operator, in.Body.Code, changeOf(ctx))
				return err
			})
			if errors.Is(err, operator.ErrWrong) {
				err = fault(http.StatusUnprocessableEntity, "body.code", "is not the code of this secret: compare the clocks of the two devices")
			}
			return RecoveryCodes{RecoveryCodes: some(codes)}, err
		})
	registerRaw(s, "DELETE /v1/me/totp", "remove-totp", "Switch the authenticator app off", http.StatusNoContent,
		func(ctx context.Context, in *body[PasswordBody]) (*struct{}, error) {
			c, err := s.reproven(ctx, in.Body.Password, "body.password")
			if err != nil {
				return nil, err
			}
			return nil, s.opts.People.DropTOTP(ctx, c.operator, changeOf(ctx))
		})
	register(s, "POST /v1/me/recovery-codes", "renew-recovery-codes", "Make new recovery codes; the ones before end", 0,
		func(ctx context.Context, in *body[PasswordBody]) (RecoveryCodes, error) {
			c, err := s.reproven(ctx, in.Body.Password, "body.password")
			if err != nil {
				return RecoveryCodes{}, err
			}
			if !c.operator.SecondFactor() {
				return RecoveryCodes{}, newProblem(http.StatusConflict, "Recovery codes stand in for a second factor: add an authenticator app or a passkey first.")
			}
			codes, err := s.opts.People.NewRecoveryCodes(ctx, c.operator, changeOf(ctx))
			return RecoveryCodes{RecoveryCodes: some(codes)}, err
		})
}

func newPasskeyView(k *operator.Passkey) PasskeyView {
	return PasskeyView{ID: k.ID, Name: k.Name, Site: k.Site, Created: k.Created.UTC(), LastUsed: maybe(k.LastUsed)}
}

func (s *Server) manageMyPasskeys() {
	register(s, "GET /v1/me/passkeys", "list-passkeys", "One's passkeys", 0,
		func(ctx context.Context, _ *struct{}) (Items[PasskeyView], error) {
			c, err := me(ctx)
			if err != nil {
				return Items[PasskeyView]{}, err
			}
			list, err := s.opts.People.Passkeys(ctx, c.operator)
			return Items[PasskeyView]{Items: views(list, newPasskeyView)}, err
		})
	register(s, "POST /v1/me/passkeys/options", "add-passkey-options", "Begin to add a passkey", 0,
		func(ctx context.Context, _ *struct{}) (PasskeyOptions, error) {
			c, err := s.fresh(ctx)
			if err != nil {
				return PasskeyOptions{}, err
			}
			options, err := s.opts.People.PasskeyToAdd(ctx, c.operator, c.session.ID, c.request.Host, time.Now())
			return PasskeyOptions{Options: options}, err
		})
	register(s, "POST /v1/me/passkeys", "add-passkey", "Add a passkey", http.StatusCreated,
		func(ctx context.Context, in *body[NewPasskeyBody]) (NewPasskey, error) {
			c, err := s.fresh(ctx)
			if err != nil {
				return NewPasskey{}, err
			}
			raw, err := json.Marshal(in.Body.Credential)
			if err != nil {
				return NewPasskey{}, fault(http.StatusUnprocessableEntity, "body.credential", "must be a PublicKeyCredential")
			}
			k, codes, err := s.opts.People.AddPasskey(ctx, c.operator, c.session.ID, c.request.Host, in.Body.Name, raw, changeOf(ctx))
			if errors.Is(err, operator.ErrWrong) {
				err = fault(http.StatusUnprocessableEntity, "body.credential", "must be the answer of navigator.credentials.create to options of the last five minutes")
			}
			return NewPasskey{PasskeyView: newPasskeyView(&k), RecoveryCodes: RecoveryCodes{RecoveryCodes: some(codes)}}, inBody(err)
		})
	registerRaw(s, "DELETE /v1/me/passkeys/{id}", "remove-passkey", "Remove a passkey", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			c, err := s.fresh(ctx)
			if err != nil {
				return nil, err
			}
			return nil, s.opts.People.RemovePasskey(ctx, c.operator, in.ID, changeOf(ctx))
		})
}

func (s *Server) manageMySessions() {
	register(s, "GET /v1/me/sessions", "list-my-sessions", "Where one is signed in", 0,
		func(ctx context.Context, _ *struct{}) (Items[SignInView], error) {
			c, err := me(ctx)
			if err != nil {
				return Items[SignInView]{}, err
			}
			list, err := s.opts.People.Sessions(ctx, c.operator.ID, time.Now())
			return Items[SignInView]{Items: views(list, func(one *operator.Session) SignInView {
				v := SignInView{
					ID: one.ID, Current: one.ID == c.session.ID, State: "second_factor", IP: one.IP, Agent: one.Agent,
					Created: one.Created.UTC(), LastSeen: one.LastSeen.UTC(), Expires: one.Expires.UTC(),
				}
				if one.SignedIn {
					v.State = "signed_in"
				}
				return v
			})}, err
		})
	registerRaw(s, "DELETE /v1/me/sessions/{id}", "end-my-session", "End one session of one's own", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" minLength:"1" maxLength:"64"`
		},
		) (*struct{}, error) {
			c, err := me(ctx)
			if err != nil {
				return nil, err
			}
			_, err = s.opts.People.EndSessions(ctx, c.operator.ID, in.ID, changeOf(ctx))
			return nil, err
		})
	registerRaw(s, "DELETE /v1/me/sessions", "sign-out-everywhere", "Sign out everywhere, here too", http.StatusNoContent,
		func(ctx context.Context, _ *struct{}) (*signedOut, error) {
			c, err := me(ctx)
			if err != nil {
				return nil, err
			}
			if _, err := s.opts.People.EndSessions(ctx, c.operator.ID, "", changeOf(ctx)); err != nil {
				return nil, err
			}
			return s.out(c.request), nil
		})
}

// throttled bounds guessing by somebody who is signed in, who may be somebody
// with a stolen session.
func (s *Server) throttled(c *caller, check func() error) error {
	now := time.Now()
	try := operator.Try{
		Account: c.operator.Email, Exists: true, Device: "session of " + c.operator.ID, Address: warder.AddressKey(s.clientAddr(c.request)),
	}
	guess, wait, _ := s.opts.People.Throttle().Begin(try, now)
	if wait > 0 {
		p := newProblem(http.StatusTooManyRequests, "Too many wrong guesses. Wait a while.")
		p.retryAfter = int((wait + time.Second - 1) / time.Second)
		return p
	}
	err := check()
	switch {
	case err == nil:
		guess.Right(true)
	case errors.Is(err, operator.ErrWrong):
		guess.Wrong("", now)
	default:
		guess.Drop()
	}
	return err
}

// reproven is the operator who is signed in and has given the password again.
func (s *Server) reproven(ctx context.Context, password, location string) (*caller, error) {
	c, err := me(ctx)
	if err != nil {
		return nil, err
	}
	err = s.throttled(c, func() error { return s.opts.People.Reprove(ctx, c.operator, password) })
	if errors.Is(err, operator.ErrWrong) {
		err = fault(http.StatusUnprocessableEntity, location, "is not your password")
	}
	return c, err
}

func (s *Server) changePassword(ctx context.Context, in *NewPasswordBody) (*sessionAnswer, error) {
	c, err := s.reproven(ctx, in.Current, "body.current")
	if err != nil {
		return nil, err
	}
	b, err := s.browserOf(ctx)
	if err != nil {
		return nil, err
	}
	changed, err := s.opts.People.ChangePassword(ctx, c.operator, in.New, c.session.ID, changeOf(ctx))
	if err != nil {
		var faults warder.Faults
		if errors.As(err, &faults) && len(faults) == 1 {
			return nil, warder.Fault{Location: "body.new", Message: faults[0].Message}
		}
		return nil, err
	}
	return s.start(ctx, b, &changed, true)
}
