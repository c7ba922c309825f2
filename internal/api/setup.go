package api

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/policy"
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
	Token    string         `json:"token" maxLength:"128"`
	Email    string         `json:"email" maxLength:"254"`
	Name     string         `json:"name,omitempty" maxLength:"100"`
	Password string         `json:"password" maxLength:"1024" doc:"At least 12 characters."`
	Preset   string         `json:"preset,omitempty" maxLength:"32" doc:"Name of a preset; empty: the policy stays as it is."`
	IPsum    bool           `json:"ipsum,omitempty" doc:"Switch the IPsum list on."`
	Settings *SettingsPatch `json:"settings,omitempty" doc:"As PUT /v1/settings takes them, any part."`
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
		func(ctx context.Context, in *tokenQuery) (SetupView, error) { return s.setupView(ctx, in.Token) })
	registerRaw(s, "POST /v1/setup", "set-up", "Make the first owner, once, and sign in", http.StatusCreated,
		func(ctx context.Context, in *body[SetupBody]) (*sessionAnswer, error) { return s.setUp(ctx, &in.Body) })
	register(s, "GET /v1/invitations", "list-invitations", "Invitations and resets that wait for somebody", 0,
		func(ctx context.Context, _ *struct{}) (Items[InvitationView], error) {
			if s.opts.People == nil {
				return Items[InvitationView]{}, errNoPeople
			}
			list, err := s.opts.People.Links(ctx, time.Now())
			return Items[InvitationView]{Items: views(list, newInvitationView)}, err
		})
	register(s, "POST /v1/invitations", "invite", "Invite somebody by a link that works once", http.StatusCreated,
		func(ctx context.Context, in *body[NewInvitationBody]) (NewLink, error) {
			return s.invite(ctx, &in.Body)
		})
	registerRaw(s, "DELETE /v1/invitations/{id}", "revoke-invitation", "Take an invitation back", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			if s.opts.People == nil {
				return nil, errNoPeople
			}
			return nil, s.opts.People.RevokeLink(ctx, in.ID, changeOf(ctx))
		})
	register(s, "GET /v1/invitations/accept", "read-invitation", "What a link is for", 0,
		func(ctx context.Context, in *tokenQuery) (LinkView, error) {
			if s.opts.People == nil {
				return LinkView{}, errNoPeople
			}
			l, err := s.opts.People.Link(ctx, in.Token, time.Now())
			if err != nil {
				return LinkView{}, err
			}
			v := LinkView{Email: l.Email, Role: string(l.Role), Kind: l.Kind}
			if o, err := s.opts.People.Find(ctx, l.Email); err == nil {
				v.Name = o.Name
			}
			return v, nil
		})
	registerRaw(s, "POST /v1/invitations/accept", "accept-invitation", "Take an invitation, or set a new password, and sign in", http.StatusCreated,
		func(ctx context.Context, in *body[AcceptBody]) (*sessionAnswer, error) {
			b, err := s.browserOf(ctx)
			if err != nil {
				return nil, err
			}
			by := operator.Change{From: b.visit.IP, At: time.Now()}
			o, err := s.opts.People.Accept(ctx, in.Body.Token, in.Body.Name, in.Body.Password, by)
			if err != nil {
				return nil, inBody(err)
			}
			return s.start(ctx, b, &o, true)
		})
}

var errNoPeople = newProblem(http.StatusNotFound, "This instance knows no operators.")

func newInvitationView(l *operator.Link) InvitationView {
	return InvitationView{
		ID: l.ID, Kind: l.Kind, Email: l.Email, Role: string(l.Role), OperatorExpiresAt: maybe(l.OperatorExpires),
		InvitedBy: l.By, Created: l.Created.UTC(), ExpiresAt: l.Expires.UTC(),
	}
}

func (s *Server) invite(ctx context.Context, in *NewInvitationBody) (NewLink, error) {
	if s.opts.People == nil {
		return NewLink{}, errNoPeople
	}
	var expires time.Time
	if in.OperatorExpiresAt != nil && *in.OperatorExpiresAt != "" {
		var err error
		if expires, err = time.Parse(time.RFC3339, *in.OperatorExpiresAt); err != nil {
			return NewLink{}, warder.Fault{Location: "body.operator_expires_at", Message: "must be a time such as 2026-01-02T15:04:05Z"}
		}
	}
	token, l, err := s.opts.People.Invite(ctx, in.Email, in.Role, expires, changeOf(ctx))
	if err != nil {
		return NewLink{}, inBody(err)
	}
	return s.newLink(ctx, token, &l), nil
}

// newLink is a link to the page that takes it. The token stands behind the #,
// which browsers send to nobody.
func (s *Server) newLink(ctx context.Context, token string, l *operator.Link) NewLink {
	base := s.opts.URL
	if c := callerOf(ctx); c.request != nil {
		base = s.base(c.request)
	}
	out := NewLink{ID: l.ID, Link: base + "/accept#token=" + token, ExpiresAt: l.Expires.UTC()}
	if s.opts.Alerts == nil || s.settings.Current().SMTP.Host == "" {
		return out
	}
	err := s.opts.Alerts.SendLink(ctx, alert.Link{
		To: l.Email, Reset: l.Kind == operator.Reset, Role: string(l.Role), By: byWords(callerOf(ctx).actor.Name), URL: out.Link, Expires: l.Expires,
	})
	if out.Mailed = err == nil; err != nil {
		s.log.WarnContext(ctx, "a link could not be mailed: it has to be handed over otherwise", "error", err)
	}
	return out
}

// byWords is an actor as a stranger reads it.
func byWords(actor string) string {
	if email, ok := strings.CutPrefix(actor, "operator:"); ok {
		return email
	}
	return "An administrator"
}

// setupView says whether the first set-up is to come, and to whoever has its
// link also how Warder sees them.
func (s *Server) setupView(ctx context.Context, token string) (SetupView, error) {
	v := SetupView{Presets: []PresetView{}}
	if s.opts.People == nil {
		return v, errNoPeople
	}
	var err error
	if v.Needed, err = s.opts.People.SetupNeeded(ctx); err != nil {
		return v, err
	}
	if !v.Needed {
		v.Problem = "There is an owner already. Sign in, or ask an owner for an invitation."
		return v, nil
	}
	if v.TokenOK = s.opts.People.SetupToken(token, time.Now()); !v.TokenOK {
		v.Problem = "This link does not work (any more). Start Warder again: it prints a new one, which works for 24 hours."
		return v, nil
	}
	v.Client = s.setupClient(callerOf(ctx).request)
	if s.opts.PolicyFile == "" {
		v.Presets, err = presetViews()
	}
	return v, err
}

func (s *Server) setupClient(r *http.Request) *SetupClient {
	if r == nil {
		return nil
	}
	c := clientip.Client{Addr: s.clientAddr(r)}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.Peer = warder.Canonical(ap.Addr())
	}
	if s.opts.Client != nil {
		c = s.opts.Client(r)
	}
	v := &SetupClient{Forwarded: []string{}, TrustedProxy: c.Kind == clientip.Header || c.Kind == clientip.Internal}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		for _, line := range r.Header[name] {
			if len(v.Forwarded) < clientip.MaxHops {
				v.Forwarded = append(v.Forwarded, clip(printable(name+": "+line), 300))
			}
		}
	}
	if c.Peer.IsValid() {
		v.Peer = c.Peer.String()
	}
	if c.Addr.IsValid() {
		v.Address = c.Addr.String()
	}
	switch {
	case c.UntrustedForwarder:
		v.Problem = "Your request came through a proxy at " + v.Peer + " that is not trusted, so everybody looks like the proxy. Put its address into trusted_proxies."
	case v.Address == "" && v.TrustedProxy:
		v.Problem = "The proxy at " + v.Peer + " is trusted but does not say who the client is. Let it set the forwarding header, or set client_ip_header to the one that it sets."
	}
	return v
}

// setUp makes the first owner and then does what else was asked for. The owner
// is there even if the rest fails: what failed can be done again in the
// dashboard, the set-up cannot.
func (s *Server) setUp(ctx context.Context, in *SetupBody) (*sessionAnswer, error) {
	b, err := s.browserOf(ctx)
	if err != nil {
		return nil, err
	}
	if !s.opts.People.SetupToken(in.Token, time.Now()) {
		if needed, err := s.opts.People.SetupNeeded(ctx); err != nil {
			return nil, err
		} else if !needed {
			return nil, operator.ErrSetUp
		}
		return nil, newProblem(http.StatusForbidden, "This link does not work (any more). Start Warder again: it prints a new one.")
	}
	doc, err := s.setupPolicy(in)
	if err != nil {
		return nil, err
	}
	o, err := s.opts.People.SetUp(ctx, in.Token, in.Email, in.Name, in.Password, operator.Change{From: b.visit.IP, At: time.Now()})
	if err != nil {
		return nil, inBody(err)
	}
	answer, err := s.start(ctx, b, &o, true)
	if err != nil {
		return nil, err
	}
	actor := guard.Actor{Name: "operator:" + o.Email, From: b.visit.IP}
	missed := func(what string, err error) {
		if err == nil {
			return
		}
		p := problemOf(s.managed(ctx, "POST /v1/setup", err))
		if len(p.Errors) == 0 {
			answer.Body.Missed = append(answer.Body.Missed, what+": "+p.Error())
		}
		for _, f := range p.Errors {
			answer.Body.Missed = append(answer.Body.Missed, what+": "+strings.TrimPrefix(f.Location, "body.")+": "+f.Message)
		}
	}
	if doc != nil {
		_, err := s.opts.Guard.SetPolicy(ctx, actor, doc, "chosen at set-up", -1)
		missed("preset", err)
	}
	if in.Settings != nil {
		missed("settings", s.settings.Change(ctx, actor, in.Settings, -1))
	}
	return answer, nil
}

// setupPolicy is the policy that was chosen; nil: it stays as it is.
func (s *Server) setupPolicy(in *SetupBody) (*policy.Document, error) {
	if in.Preset == "" && !in.IPsum {
		return nil, nil
	}
	if s.opts.PolicyFile != "" {
		return nil, errReadOnly
	}
	name := in.Preset
	if name == "" {
		name = "classic"
	}
	if !slices.Contains(policy.Presets(), name) {
		return nil, warder.Fault{Location: "body.preset", Message: "must be one of " + strings.Join(policy.Presets(), ", ")}
	}
	doc, err := policy.Preset(name)
	if err != nil {
		return nil, err
	}
	for i := range doc.Providers {
		if doc.Providers[i].Name == "ipsum" {
			doc.Providers[i].Enabled = in.IPsum
		}
	}
	return doc, nil
}
