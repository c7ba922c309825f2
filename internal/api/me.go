package api

import (
	"context"
	"net/http"
	"time"
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
		func(ctx context.Context, _ *struct{}) (Me, error) { return Me{}, errUnbuilt })
	register(s, "PATCH /v1/me", "edit-me", "Change one's name and time zone", 0,
		func(ctx context.Context, in *body[EditMeBody]) (Me, error) { return Me{}, errUnbuilt })
	registerRaw(s, "POST /v1/me/password", "change-password", "Change one's password; ends all other sessions", 0,
		func(ctx context.Context, in *body[NewPasswordBody]) (*sessionAnswer, error) { return nil, errUnbuilt })
	register(s, "POST /v1/me/totp", "begin-totp", "Make a secret for an authenticator app; it counts once it is confirmed", 0,
		func(ctx context.Context, _ *struct{}) (NewTOTP, error) { return NewTOTP{}, errUnbuilt })
	register(s, "POST /v1/me/totp/confirm", "confirm-totp", "Switch the authenticator app on by its first code", 0,
		func(ctx context.Context, in *body[CodeBody]) (RecoveryCodes, error) {
			return RecoveryCodes{}, errUnbuilt
		})
	registerRaw(s, "DELETE /v1/me/totp", "remove-totp", "Switch the authenticator app off", http.StatusNoContent,
		func(ctx context.Context, in *body[PasswordBody]) (*struct{}, error) { return nil, errUnbuilt })
	register(s, "POST /v1/me/recovery-codes", "renew-recovery-codes", "Make new recovery codes; the ones before end", 0,
		func(ctx context.Context, in *body[PasswordBody]) (RecoveryCodes, error) {
			return RecoveryCodes{}, errUnbuilt
		})
	register(s, "GET /v1/me/passkeys", "list-passkeys", "One's passkeys", 0,
		func(ctx context.Context, _ *struct{}) (Items[PasskeyView], error) {
			return Items[PasskeyView]{}, errUnbuilt
		})
	register(s, "POST /v1/me/passkeys/options", "add-passkey-options", "Begin to add a passkey", 0,
		func(ctx context.Context, _ *struct{}) (PasskeyOptions, error) { return PasskeyOptions{}, errUnbuilt })
	register(s, "POST /v1/me/passkeys", "add-passkey", "Add a passkey", http.StatusCreated,
		func(ctx context.Context, in *body[NewPasskeyBody]) (NewPasskey, error) {
			return NewPasskey{}, errUnbuilt
		})
	registerRaw(s, "DELETE /v1/me/passkeys/{id}", "remove-passkey", "Remove a passkey", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			return nil, errUnbuilt
		})
	register(s, "GET /v1/me/sessions", "list-my-sessions", "Where one is signed in", 0,
		func(ctx context.Context, _ *struct{}) (Items[SignInView], error) {
			return Items[SignInView]{}, errUnbuilt
		})
	registerRaw(s, "DELETE /v1/me/sessions/{id}", "end-my-session", "End one session of one's own", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			return nil, errUnbuilt
		})
	registerRaw(s, "DELETE /v1/me/sessions", "sign-out-everywhere", "Sign out everywhere, here too", http.StatusNoContent,
		func(ctx context.Context, _ *struct{}) (*signedOut, error) { return nil, errUnbuilt })
}
