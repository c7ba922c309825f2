package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/operator"
)

// freshFor is how long after signing in, or after giving the password or a code
// once more, an operator may change what signs them in. A session that is left
// open on a desk, or stolen later, cannot add a passkey of somebody else's.
const freshFor = 10 * time.Minute

// proveType is the type of the problem that says to prove oneself first.
const proveType = "urn:warder:prove"

// ProveBody proves that it is still the same person: one of the two.
type ProveBody struct {
	Password string `json:"password,omitempty" maxLength:"1024"`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"Of the authenticator app."`
}

// Proven says until when a proof counts.
type Proven struct {
	Until time.Time `json:"until"`
}

// proofs remember which sessions proved themselves again, and when. A restart
// forgets them: then it is asked once more.
type proofs struct {
	mu sync.Mutex
	at map[string]time.Time // by id of the session
}

func (p *proofs) add(session string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[string]time.Time{}
	}
	for id, at := range p.at {
		if now.Sub(at) >= freshFor {
			delete(p.at, id)
		}
	}
	p.at[session] = now
}

func (p *proofs) has(session string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[session]
	return ok && now.Sub(at) < freshFor
}

func (s *Server) manageStepUp() {
	register(s, "POST /v1/me/prove", "prove", "Give the password or a code once more, before what signs one in can be changed", 0,
		func(ctx context.Context, in *body[ProveBody]) (Proven, error) { return s.proveAgain(ctx, &in.Body) })
}

func (s *Server) proveAgain(ctx context.Context, in *ProveBody) (Proven, error) {
	c, err := me(ctx)
	if err != nil {
		return Proven{}, err
	}
	if (in.Password == "") == (in.Code == "") {
		return Proven{}, warder.Fault{Location: "body", Message: "must hold one of password and code"}
	}
	now := time.Now()
	if in.Code != "" {
		err = s.throttled(c, func() error { return s.opts.People.UseTOTP(ctx, c.operator, in.Code, now) })
		if errors.Is(err, operator.ErrWrong) || errors.Is(err, operator.ErrNoFactor) {
			err = fault(http.StatusUnprocessableEntity, "body.code", "is wrong, or was used before")
		}
	} else {
		_, err = s.reproven(ctx, in.Password, "body.password")
	}
	if err != nil {
		return Proven{}, err
	}
	s.proofs.add(c.session.ID, now)
	return Proven{Until: now.Add(freshFor).UTC()}, nil
}

// fresh is the operator who is signed in and has proved it within the last ten
// minutes.
func (s *Server) fresh(ctx context.Context) (*caller, error) {
	c, err := me(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if now.Sub(c.session.Created) < freshFor || s.proofs.has(c.session.ID, now) {
		return c, nil
	}
	p := newProblem(http.StatusForbidden, "Give your password once more first (POST /v1/me/prove).")
	p.Type = proveType
	return nil, p
}
