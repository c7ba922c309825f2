package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// SetupView is what the page of the first set-up begins with.
type SetupView struct {
	Needed  bool         `json:"needed" doc:"There is no owner yet."`
	TokenOK bool         `json:"token_ok" doc:"The link is the one that Warder printed."`
	Client  *SetupClient `json:"client,omitempty" doc:"We see you as ...; only with a good token."`
	Presets []PresetView `json:"presets" doc:"To choose from; only with a good token."`
	Problem string       `json:"problem,omitempty" doc:"Why the link does not work, and what to do."`
}

// SetupClient is what Warder sees of whoever asks, so that they can say
// whether it is right.
type SetupClient struct {
	Peer         string   `json:"peer" doc:"The other end of the connection."`
	Address      string   `json:"address" doc:"Whom Warder takes the client for; empty: it cannot tell."`
	Forwarded    []string `json:"forwarded" doc:"What the forwarding header says, nearest last."`
	TrustedProxy bool     `json:"trusted_proxy" doc:"The peer is a trusted proxy, so that its header counts."`
	Problem      string   `json:"problem,omitempty" doc:"What looks wrong, and what to set."`
}

// SetupBody makes the first owner and says how to begin.
type SetupBody struct {
	Token    string          `json:"token" maxLength:"128"`
	Email    string          `json:"email" maxLength:"254"`
	Name     string          `json:"name,omitempty" maxLength:"100"`
	Password string          `json:"password" maxLength:"1024" doc:"At least 12 characters."`
	Preset   string          `json:"preset,omitempty" maxLength:"32" doc:"Name of a preset; empty: the policy stays as it is."`
	IPsum    bool            `json:"ipsum,omitempty" doc:"Switch the IPsum list on."`
	Settings json.RawMessage `json:"settings,omitempty" doc:"As PUT /v1/settings takes them, any part."`
}

// InvitationView is an invitation that waits for somebody.
type InvitationView struct {
	ID                string     `json:"id"`
	Kind              string     `json:"kind" enum:"invitation,reset"`
	Email             string     `json:"email"`
	Role              string     `json:"role"`
	OperatorExpiresAt *time.Time `json:"operator_expires_at,omitempty" doc:"When the account will end; absent: never."`
	InvitedBy         string     `json:"invited_by"`
	Created           time.Time  `json:"created"`
	ExpiresAt         time.Time  `json:"expires_at"`
}

// NewInvitationBody invites somebody.
type NewInvitationBody struct {
	Email             string  `json:"email" maxLength:"254"`
	Role              string  `json:"role" enum:"owner,admin,analyst,viewer"`
	OperatorExpiresAt *string `json:"operator_expires_at,omitempty" format:"date-time" doc:"When the account will end, for auditors; absent: never."`
}

// NewLink is a link that works once and is shown this once.
type NewLink struct {
	ID        string    `json:"id"`
	Link      string    `json:"link" doc:"Works once; shown this once."`
	ExpiresAt time.Time `json:"expires_at"`
	Mailed    bool      `json:"mailed" doc:"It was also sent to the e-mail address."`
}

// LinkView says what an invitation or a reset is for.
type LinkView struct {
	Email string `json:"email"`
	Role  string `json:"role"`
	Name  string `json:"name"`
	Kind  string `json:"kind" enum:"invitation,reset"`
}

// AcceptBody takes an invitation, or sets a new password.
type AcceptBody struct {
	Token    string `json:"token" maxLength:"128"`
	Name     string `json:"name,omitempty" maxLength:"100"`
	Password string `json:"password" maxLength:"1024" doc:"At least 12 characters."`
}

type tokenQuery struct {
	Token string `query:"token" maxLength:"128"`
}

func (s *Server) manageSetup() {
	register(s, "GET /v1/setup", "get-setup", "Whether the first owner is still to come", 0,
		func(ctx context.Context, in *tokenQuery) (SetupView, error) { return SetupView{}, errUnbuilt })
	registerRaw(s, "POST /v1/setup", "set-up", "Make the first owner, once, and sign in", http.StatusCreated,
		func(ctx context.Context, in *body[SetupBody]) (*sessionAnswer, error) { return nil, errUnbuilt })
	register(s, "GET /v1/invitations", "list-invitations", "Invitations that wait for somebody", 0,
		func(ctx context.Context, _ *struct{}) (Items[InvitationView], error) {
			return Items[InvitationView]{}, errUnbuilt
		})
	register(s, "POST /v1/invitations", "invite", "Invite somebody by a link that works once", http.StatusCreated,
		func(ctx context.Context, in *body[NewInvitationBody]) (NewLink, error) { return NewLink{}, errUnbuilt })
	registerRaw(s, "DELETE /v1/invitations/{id}", "revoke-invitation", "Take an invitation back", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			return nil, errUnbuilt
		})
	register(s, "GET /v1/invitations/accept", "read-invitation", "What a link is for", 0,
		func(ctx context.Context, in *tokenQuery) (LinkView, error) { return LinkView{}, errUnbuilt })
	registerRaw(s, "POST /v1/invitations/accept", "accept-invitation", "Take an invitation, or set a new password, and sign in", http.StatusCreated,
		func(ctx context.Context, in *body[AcceptBody]) (*sessionAnswer, error) { return nil, errUnbuilt })
}
