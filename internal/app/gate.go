package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/gate"
)

// site is an application behind the gate, with its listener.
type site struct {
	*gate.Site
	config   config.Site
	profile  *gate.Profile
	cert     *certificate // nil: plain
	listener net.Listener
}

// openGate switches on what stands before applications: forward auth for other
// people's proxies, and the sites of the configuration.
func (a *App) openGate(cfg *config.Config, server *api.Server, secret []byte) error {
	server.ForwardAuth(gate.ForwardOptions{
		Checker:   a.guard,
		Proxies:   &a.live.proxies,
		Keyed:     &a.live.keyed,
		Untrusted: a.guard.NoteUntrustedForwarder,
		Denied:    gate.Denied{Brand: cfg.Denied.Brand, Contact: cfg.Denied.Contact},
		Pages:     a.pages,
	})
	if a.opts.Local || len(cfg.Sites) == 0 {
		return nil
	}
	for _, c := range cfg.Sites {
		if err := a.openSite(c, secret); err != nil {
			return fmt.Errorf("site %s: %w", c.Name, err)
		}
	}
	server.Sites(a.guardedSites)
	return nil
}

// guardedSites are the sites with their figures of now.
func (a *App) guardedSites() []api.GuardedSite {
	list := make([]api.GuardedSite, len(a.sites))
	for i, s := range a.sites {
		list[i] = api.GuardedSite{
			Listen: s.listener.Addr().String(), TLS: s.cert != nil, Upstream: s.config.Upstream, Profile: s.profile,
			FailOpen: s.config.FailOpen, Stats: s.Stats(),
		}
	}
	return list
}

func (a *App) openSite(c config.Site, secret []byte) error {
	profile, err := gate.LoadProfile(c.Profile)
	if err != nil {
		return err
	}
	upstream, err := url.Parse(c.Upstream)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	log := a.log.With("part", "gate")
	s, err := gate.NewSite(gate.SiteOptions{
		Name: c.Name, Upstream: upstream, Profile: profile, Proxies: &a.live.proxies, Engine: a.guard, Secret: secret,
		Sessions: c.SessionCookies, Origins: c.Origins, Succeeded: c.Succeeded, Failed: c.Failed, FailOpen: c.FailOpen, Timeout: c.Timeout,
		Untrusted: a.guard.NoteUntrustedForwarder,
		Denied:    gate.Denied{Brand: c.Brand, Contact: c.Contact},
		Pages:     a.pages,
		Logger:    log,
	})
	if err != nil {
		return err
	}
	var cert *certificate
	if c.TLS.Cert != "" {
		if cert, err = a.certificate(c.TLS.Cert, c.TLS.Key); err != nil {
			return err
		}
	}
	l, err := listenTCP(c.Listen, "the site's listen (warder gate: --site)")
	if err != nil {
		return err
	}
	a.share(l, log.With("site", c.Name))
	a.closer.add("listener of site "+c.Name, ignoreClosed(l.Close))
	if profile.Trusting() && len(c.Succeeded)+len(c.Failed) == 0 {
		log.Warn("this profile takes a redirect to anywhere else for a right password: name success_location or failure_location of the site",
			"site", c.Name, "profile", profile.Name)
	}
	if profile.Unverified {
		log.Warn("this profile was never run against its product: see that outcomes are counted", "site", c.Name, "profile", profile.Name)
	}
	a.sites = append(a.sites, &site{Site: s, config: c, profile: profile, cert: cert, listener: l})
	return nil
}

// share keeps single addresses from taking all connections of a listener that
// strangers reach, and says so once a minute.
func (a *App) share(l *limited, log *slog.Logger) {
	var told atomic.Int64
	l.fair(a.live.proxies.Trusts, func(peer netip.Addr) {
		now := time.Now().Unix()
		if last := told.Load(); now-last >= 60 && told.CompareAndSwap(last, now) {
			log.Warn("connections of an address that has too many are refused", "peer", peer,
				"remedy", "if this is a proxy of yours, name it in trusted_proxies")
		}
	})
}

// SiteAddr is the address that a site listens on; empty if there is no such
// site.
func (a *App) SiteAddr(name string) string {
	for _, s := range a.sites {
		if s.config.Name == name {
			return s.listener.Addr().String()
		}
	}
	return ""
}

// drainTime is how long sign-ins may go on at a shutdown once their clients are
// gone, before they are given up; giveUpTime is how long that may take.
const (
	drainTime  = 3 * time.Second
	giveUpTime = time.Second
)

// drainGate waits for the outcomes of sign-ins that are under way.
func (a *App) drainGate() {
	var all sync.WaitGroup
	for _, s := range a.sites {
		all.Go(func() {
			if n := s.Drain(drainTime, giveUpTime); n > 0 {
				a.log.Warn("sign-ins are given up, the application does not answer", "site", s.config.Name, "number", n)
			}
		})
	}
	all.Wait()
}

// serveGate starts a server for every site.
func (a *App) serveGate(requests context.Context, g *errgroup.Group) (servers []*http.Server) {
	for _, s := range a.sites {
		l := s.listener
		if s.cert != nil {
			l = tls.NewListener(l, s.cert.config())
		}
		srv := s.Server()
		srv.BaseContext = func(net.Listener) context.Context { return requests }
		servers = append(servers, srv)
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve site %s: %w", s.config.Name, err)
			}
			return nil
		})
		g.Go(func() error { return s.Run(requests) })
		a.log.InfoContext(requests, "guarding", "site", s.config.Name, "address", s.listener.Addr().String(),
			"upstream", s.config.Upstream, "profile", s.config.Profile)
	}
	return servers
}
