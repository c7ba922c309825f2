package app

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/challenge"
	"github.com/warderhq/warder/internal/store"
)

// challenges joins the embedded proof of work to the API: what it is bound to
// here is the address key.
type challenges struct{ issuer *challenge.Issuer }

func newChallenges(secret []byte, db *store.DB) (*challenges, error) {
	issuer, err := challenge.New(challenge.Options{Secret: secret, Spender: spender{db}})
	return &challenges{issuer}, err
}

// Issue implements api.Challenges. Whom a challenge is for is not part of it:
// the clearance that it buys is the address's.
func (c *challenges) Issue(_ context.Context, ip netip.Addr, _, realm, purpose string) (api.Posed, error) {
	text, lasts, err := c.issuer.Issue(time.Now(), challenge.Binding{AddressKey: warder.AddressKey(ip), Realm: realm, Purpose: purpose})
	if err != nil {
		return api.Posed{}, err
	}
	return api.Posed{Provider: challenge.Provider, Challenge: text, Expires: lasts}, nil
}

// Verify implements api.Challenges.
func (c *challenges) Verify(ctx context.Context, token string, ip netip.Addr, realm string) (bool, []string, error) {
	_, err := c.issuer.Verify(ctx, time.Now(), token, challenge.Binding{AddressKey: warder.AddressKey(ip), Realm: realm})
	var code challenge.Code
	switch {
	case err == nil:
		return true, nil, nil
	case errors.As(err, &code):
		return false, []string{string(code)}, nil
	}
	return false, nil, err
}

// spender says "spent already" in the words of package challenge.
type spender struct{ db *store.DB }

func (s spender) Spend(ctx context.Context, id string, until time.Time) error {
	err := s.db.Spend(ctx, id, until)
	if errors.Is(err, store.ErrSpent) {
		return challenge.ErrSpent
	}
	return err
}
