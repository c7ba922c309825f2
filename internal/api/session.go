package api

import (
	"context"
	"net/http"
	"time"

	"github.com/warderhq/warder/internal/operator"
)

// SignInState says how far a browser is with signing in.
type SignInState struct {
	State       string     `json:"state" enum:"none,second_factor,signed_in" doc:"second_factor: the password was right, and a second factor is wanted."`
	Operator    *Me        `json:"operator,omitempty" doc:"Who is signed in; absent before that."`
	Methods     []string   `json:"methods" doc:"How to go on: password, passkey, totp, recovery."`
	ExpiresAt   *time.Time `json:"expires_at,omitempty" doc:"When the session ends at the latest."`
	SetupNeeded bool       `json:"setup_needed" doc:"There is no owner yet: open the link that Warder printed when it started."`
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
		func(ctx context.Context, _ *struct{}) (SignInState, error) { return SignInState{}, errUnbuilt })
	registerRaw(s, "POST /v1/session", "sign-in", "Sign in with e-mail address and password", 0,
		func(ctx context.Context, in *body[SignInBody]) (*sessionAnswer, error) { return nil, errUnbuilt })
	registerRaw(s, "POST /v1/session/totp", "sign-in-totp", "Go on with a code of the authenticator app", 0,
		func(ctx context.Context, in *body[CodeBody]) (*sessionAnswer, error) { return nil, errUnbuilt })
	registerRaw(s, "POST /v1/session/recovery", "sign-in-recovery", "Go on with a recovery code", 0,
		func(ctx context.Context, in *body[CodeBody]) (*sessionAnswer, error) { return nil, errUnbuilt })
	register(s, "POST /v1/session/passkey/options", "sign-in-passkey-options", "Begin to sign in, or to go on, with a passkey", 0,
		func(ctx context.Context, _ *struct{}) (PasskeyOptions, error) { return PasskeyOptions{}, errUnbuilt })
	registerRaw(s, "POST /v1/session/passkey", "sign-in-passkey", "Sign in, or go on, with a passkey", 0,
		func(ctx context.Context, in *body[CredentialBody]) (*sessionAnswer, error) { return nil, errUnbuilt })
	registerRaw(s, "DELETE /v1/session", "sign-out", "Sign out", http.StatusNoContent,
		func(ctx context.Context, _ *struct{}) (*signedOut, error) { return nil, errUnbuilt })
}

var errUnbuilt = newProblem(http.StatusNotImplemented, "This call is being built.")
