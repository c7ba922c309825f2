package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/challenge"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/gate"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// challenges joins what poses challenges to the API: what they are bound to here
// is the address key.
type challenges struct {
	desk   *challenge.Desk
	issuer *challenge.Issuer // the embedded one, which the dashboard knows to solve
}

// harder is how much more a browser has to work that does not reach the external
// service, in bits, where the operator allows that at all.
const harder = 3

func (a *App) newChallenges(cfg *config.Config, secret []byte) (*challenges, error) {
	c := cfg.Challenge
	pose := func(bits int) (*challenge.Issuer, error) {
		return challenge.New(challenge.Options{Secret: secret, Spender: spender{a.db}, Difficulty: bits})
	}
	issuer, err := pose(c.Difficulty)
	if err != nil {
		return nil, err
	}
	o := challenge.DeskOptions{Issuer: issuer, Logger: a.log.With("part", "challenge")}
	if c.Provider != challenge.Provider && c.Provider != "" {
		if o.Service, err = challenge.NewService(c.Provider, c.SiteKey, c.Server); err != nil {
			return nil, err
		}
		o.Spender = spender{a.db}
		o.Verify = &challenge.SiteVerify{Service: o.Service, Secret: c.Secret, Client: a.live.outbound}
		o.OnHealth = func(down bool, _ error) {
			a.guard.Degrade("captcha_unreachable", "The CAPTCHA service "+c.Provider+" does not answer: the embedded proof of work takes its place. See the log.", down)
		}
		if c.Fallback == "always" {
			if o.Hard, err = pose(min(c.Difficulty+harder, challenge.MaxDifficulty)); err != nil {
				return nil, err
			}
		}
	}
	desk, err := challenge.NewDesk(o)
	return &challenges{desk, issuer}, err
}

// dashboardRealm is the realm of the dashboard's own sign-in.
const dashboardRealm = "warder"

// Issue implements api.Challenges. Whom a challenge is for is not part of it:
// the clearance that it buys is the address's.
func (c *challenges) Issue(_ context.Context, ip netip.Addr, _, realm, purpose string) (api.Posed, error) {
	b := challenge.Binding{AddressKey: warder.AddressKey(ip), Realm: realm, Purpose: purpose}
	if realm == dashboardRealm {
		text, lasts, err := c.issuer.Issue(time.Now(), b)
		return api.Posed{Provider: challenge.Provider, Challenge: text, Expires: lasts}, err
	}
	p, err := c.desk.Pose(time.Now(), b)
	return api.Posed{Provider: p.Provider, Challenge: p.Challenge, SiteKey: p.SiteKey, Expires: p.Life}, err
}

// Verify implements api.Challenges.
func (c *challenges) Verify(ctx context.Context, token string, ip netip.Addr, realm string) (bool, []string, error) {
	b := challenge.Binding{AddressKey: warder.AddressKey(ip), Realm: realm}
	var err error
	if realm == dashboardRealm {
		_, err = c.issuer.Verify(ctx, time.Now(), token, b)
	} else {
		err = c.desk.Redeem(ctx, time.Now(), token, b, ip)
	}
	var code challenge.Code
	switch {
	case err == nil:
		return true, nil, nil
	case errors.As(err, &code):
		return false, []string{string(code)}, nil
	case errors.Is(err, challenge.ErrService), errors.Is(err, challenge.ErrBusy):
		// Another challenge, asked for now, is the embedded one.
		return false, []string{"unavailable"}, nil
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

// newPages makes the pages for end users.
func (a *App) newPages(cfg *config.Config, c *challenges, secret []byte) (*gate.Pages, error) {
	return gate.NewPages(gate.PagesOptions{
		Secret: secret, Challenges: c.desk, Clear: a.guard.Cleared, PublicURL: a.live.publicURL, Origins: cfg.Challenge.Origins,
		Tell: a.tellChallenge, Logger: a.log.With("part", "pages"),
	})
}

// pagesApp is in whose name events about challenges are written.
var pagesApp = &guard.App{ID: "pages", Name: "pages"}

// tellChallenge writes an event about a challenge. None of them is counted.
func (a *App) tellChallenge(ctx context.Context, e warder.Event) {
	for _, r := range a.guard.Report(ctx, pagesApp, []guard.Incoming{{Event: e}}) {
		if r.Err != nil {
			a.log.DebugContext(ctx, "an event about a challenge is not durable yet", "error", r.Err)
		}
	}
}

// challengeURL is where somebody solves a challenge that is asked for by the
// API; empty without a public URL.
func (a *App) challengeURL(q *guard.Query) string { return a.pages.URL(q.Realm) }

// PublicAddr is the address that the pages for end users have to themselves;
// empty: none.
func (a *App) PublicAddr() string {
	if a.public == nil {
		return ""
	}
	return a.public.Addr().String()
}

// servePages starts the server of the pages for end users, if they have one.
func (a *App) servePages(requests context.Context, g *errgroup.Group, tlsConfig *tls.Config) []*http.Server {
	if a.public == nil {
		return nil
	}
	l := net.Listener(a.public)
	if tlsConfig != nil {
		l = tls.NewListener(l, tlsConfig)
	}
	cfg := a.opts.Config
	srv := &http.Server{
		Handler: gate.Public(gate.PublicOptions{
			Pages: a.pages, Proxies: &a.live.proxies, Untrusted: a.guard.NoteUntrustedForwarder,
			Denied: gate.Denied{Brand: cfg.Denied.Brand, Contact: cfg.Denied.Contact},
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the pages: %w", err)
		}
		return nil
	})
	return []*http.Server{srv}
}
