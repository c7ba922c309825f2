package operator

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/warderhq/warder"
)

// How long links work.
const (
	SetupLife      = 24 * time.Hour
	InvitationLife = 7 * 24 * time.Hour
	ResetLife      = 24 * time.Hour
	maxLinks       = 500 // that wait at a time
)

// Kinds of links.
const (
	Invitation = "invitation"
	Reset      = "reset"
)

// Link is an invitation, or a reset of a password, that works once.
type Link struct {
	ID              string    `json:"id"`
	Kind            string    `json:"kind"`
	Email           string    `json:"email"`
	Role            Role      `json:"role"`
	Operator        string    `json:"operator,omitempty"` // id; of a reset
	OperatorExpires time.Time `json:"operator_expires_at,omitzero"`
	By              string    `json:"by"`
	Created         time.Time `json:"created"`
	Expires         time.Time `json:"expires"`
}

// setup is the one-time link by which the first owner is made. Only the hash of
// its token is kept, in memory: every start draws a new one.
type setup struct {
	mu      sync.Mutex
	hash    []byte
	expires time.Time
}

// BeginSetup draws the token of the first set-up, if there is no owner; else it
// returns an empty one. A token drawn before ends.
func (p *People) BeginSetup(ctx context.Context, now time.Time) (token string, err error) {
	needed, err := p.SetupNeeded(ctx)
	if err != nil || !needed {
		return "", err
	}
	token, hash := newToken()
	p.setup.mu.Lock()
	defer p.setup.mu.Unlock()
	p.setup.hash, p.setup.expires = hash, now.Add(SetupLife)
	return token, nil
}

// SetupNeeded reports whether there is no owner.
func (p *People) SetupNeeded(ctx context.Context) (bool, error) {
	all, err := p.store.Operators(ctx)
	if err != nil {
		return false, fmt.Errorf("list operators: %w", err)
	}
	for i := range all {
		if all[i].Role == Owner {
			return false, nil
		}
	}
	return true, nil
}

// SetupToken reports whether it is the token of the first set-up.
func (p *People) SetupToken(token string, now time.Time) bool {
	p.setup.mu.Lock()
	defer p.setup.mu.Unlock()
	return len(token) == tokenLen && p.setup.hash != nil && now.Before(p.setup.expires) &&
		subtle.ConstantTimeCompare(p.setup.hash, hashToken(token)) == 1
}

// SetUp makes the first owner. However many try at once, one wins and the
// others get ErrSetUp. ErrBadLink for a wrong token.
func (p *People) SetUp(ctx context.Context, token, email, name, password string, by Change) (Operator, error) {
	if needed, err := p.SetupNeeded(ctx); err != nil {
		return Operator{}, err
	} else if !needed {
		return Operator{}, ErrSetUp
	}
	if !p.SetupToken(token, by.At) {
		return Operator{}, ErrBadLink
	}
	o, err := p.newOperator(ctx, email, name, string(Owner), password, by.At)
	if err != nil {
		return Operator{}, err
	}
	by.Actor, by.Action = "operator:"+o.Email, "operator.setup"
	if err := p.store.CreateFirstOwner(ctx, o, by); err != nil {
		return Operator{}, err
	}
	p.setup.mu.Lock()
	defer p.setup.mu.Unlock()
	p.setup.hash = nil
	return o, nil
}

// Invite makes a link by which somebody becomes an operator. It takes the place
// of one for the same e-mail address.
func (p *People) Invite(ctx context.Context, email, role string, operatorExpires time.Time, by Change) (token string, l Link, err error) {
	var faults warder.Faults
	folded, err := FoldEmail(email)
	if err != nil {
		faults.Add("email", "%s", err)
	}
	parsed, err := ParseRole(role)
	if err != nil {
		faults.Add("role", "%s", err)
	}
	switch {
	case operatorExpires.IsZero():
	case parsed == Owner:
		faults.Add("operator_expires_at", "is for admin, analyst and viewer: an owner does not end by itself")
	case !operatorExpires.After(by.At):
		faults.Add("operator_expires_at", "must be in the future")
	}
	if len(faults) > 0 {
		return "", l, faults
	}
	if _, err := p.find(ctx, folded); err == nil {
		return "", l, ErrExists
	} else if !errors.Is(err, ErrNotFound) {
		return "", l, err
	}
	waiting, err := p.store.Links(ctx, by.At)
	if err != nil {
		return "", l, fmt.Errorf("list invitations: %w", err)
	}
	if len(waiting) >= maxLinks {
		return "", l, warder.Faults{{Location: "email", Message: fmt.Sprintf("%d invitations wait already: take some back", maxLinks)}}
	}
	l = Link{
		ID: newID(), Kind: Invitation, Email: folded, Role: parsed, OperatorExpires: operatorExpires.UTC(), By: by.Actor,
		Created: by.At.UTC(), Expires: by.At.Add(InvitationLife).UTC(),
	}
	if operatorExpires.IsZero() {
		l.OperatorExpires = time.Time{}
	}
	token, hash := newToken()
	return token, l, p.store.CreateLink(ctx, l, hash, nil, withAction(by, "operator.invite"))
}

// Reset makes a link by which an operator sets a new password. At once the
// password and the second factors end, and so does every session.
func (p *People) Reset(ctx context.Context, who string, by Change) (token string, l Link, err error) {
	o, err := p.find(ctx, who)
	if err != nil {
		return "", l, err
	}
	if !o.DisabledAt.IsZero() {
		return "", l, warder.Faults{{Location: "id", Message: "is switched off: switch it on first"}}
	}
	l = Link{
		ID: newID(), Kind: Reset, Email: o.Email, Role: o.Role, Operator: o.ID, By: by.Actor,
		Created: by.At.UTC(), Expires: by.At.Add(ResetLife).UTC(),
	}
	token, hash := newToken()
	dead := p.hasher.dummy // the hash of no password
	err = p.store.CreateLink(ctx, l, hash, &OperatorEdit{
		EndSessions: true, DropFactors: true,
		Change: func(o *Operator) error {
			o.Hash, o.TOTP, o.TOTPSecret, o.TOTPStep = dead, false, nil, 0
			return nil
		},
	}, withAction(by, "operator.reset"))
	if err == nil {
		p.throttle.Clear(o.Email)
		p.changes.tell()
	}
	return token, l, err
}

// Links lists the invitations and resets that wait.
func (p *People) Links(ctx context.Context, now time.Time) ([]Link, error) {
	list, err := p.store.Links(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return list, nil
}

// Link returns what a token is for, or ErrBadLink.
func (p *People) Link(ctx context.Context, token string, now time.Time) (Link, error) {
	if len(token) != tokenLen {
		return Link{}, ErrBadLink
	}
	return p.store.LinkByHash(ctx, hashToken(token), now)
}

// RevokeLink takes a link back; ErrNotFound.
func (p *People) RevokeLink(ctx context.Context, id string, by Change) error {
	return p.store.RevokeLink(ctx, id, withAction(by, "operator.uninvite"))
}

// Accept uses a link up: whoever was invited becomes an operator, whoever was
// reset has a new password.
func (p *People) Accept(ctx context.Context, token, name, password string, by Change) (Operator, error) {
	l, err := p.Link(ctx, token, by.At)
	if err != nil {
		return Operator{}, err
	}
	by.Actor = "operator:" + l.Email
	if l.Kind == Invitation {
		o, err := p.newOperator(ctx, l.Email, name, string(l.Role), password, by.At)
		if err != nil {
			return Operator{}, err
		}
		o.ExpiresAt = l.OperatorExpires
		return o, p.store.AcceptInvitation(ctx, hashToken(token), o, withAction(by, "operator.create"))
	}
	var faults warder.Faults
	if err := checkName(name); err != nil {
		faults.Add("name", "%s", err)
	}
	if err := CheckPassword(password, l.Email); err != nil {
		faults.Add("password", "%s", err)
	}
	if len(faults) > 0 {
		return Operator{}, faults
	}
	hash, err := p.hash(ctx, password)
	if err != nil {
		return Operator{}, err
	}
	return p.store.AcceptReset(ctx, hashToken(token), OperatorEdit{
		EndSessions: true,
		Change: func(o *Operator) error {
			o.Hash = hash
			if name = strings.TrimSpace(name); name != "" {
				o.Name = name
			}
			return nil
		},
	}, withAction(by, "operator.password"))
}
