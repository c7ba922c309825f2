package app

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/operator"
)

// sweepEvery is how often sessions and links that are over are deleted. They
// are refused before that.
const sweepEvery = time.Hour

// welcomePeople draws the token of the first set-up and keeps the addresses of
// owners and admins from Blocks, as they were before the start (SEMANTICS 4).
func (a *App) welcomePeople(ctx context.Context) (err error) {
	if a.opts.Local {
		return nil
	}
	now := time.Now()
	if a.SetupToken, err = a.people.BeginSetup(ctx, now); err != nil {
		return fmt.Errorf("begin the first set-up: %w", err)
	}
	seen, err := a.people.Seen(ctx, operator.Admin, now.Add(-24*time.Hour))
	if err != nil {
		return fmt.Errorf("read who was signed in: %w", err)
	}
	for _, s := range seen {
		if ip, err := netip.ParseAddr(s.IP); err == nil {
			a.guard.ProtectAddress(ip, s.LastSeen.Add(24*time.Hour))
		}
	}
	return nil
}

// sweepPeople deletes sessions, devices and links that are over.
func (a *App) sweepPeople(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := a.people.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "sessions that are over are not deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// client is what is known of whoever sent a request.
func (a *App) client(r *http.Request) clientip.Client {
	return a.live.proxies.Client(r.RemoteAddr, r.Header)
}

// overHTTPS finds out whether a browser talks TLS to a trusted proxy. What
// others say of themselves does not count.
func overHTTPS(proxies interface{ Trusts(netip.Addr) bool }) func(*http.Request) bool {
	return func(r *http.Request) bool {
		values := r.Header["X-Forwarded-Proto"]
		if len(values) != 1 || !strings.EqualFold(strings.TrimSpace(values[0]), "https") {
			return false
		}
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		return err == nil && proxies.Trusts(peer.Addr())
	}
}

// DashboardURL is where a browser on this machine would open the dashboard of
// an instance with a configuration.
func DashboardURL(cfg *config.Config) string { return dashboardURL(cfg, cfg.Listen) }

// dashboardURL names localhost where that leads to the address, since passkeys
// work on names only.
func dashboardURL(cfg *config.Config, addr string) string {
	scheme := "http"
	if cfg.TLS.Cert != "" {
		scheme = "https"
	}
	if ap, err := netip.ParseAddrPort(addr); err == nil && (ap.Addr().IsLoopback() || ap.Addr().IsUnspecified()) {
		addr = "localhost:" + strconv.Itoa(int(ap.Port()))
	}
	return scheme + "://" + addr
}
