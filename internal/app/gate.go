package app

import (
	"fmt"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/gate"
)

// openGate switches on what stands before applications: forward auth for other
// people's proxies.
func (a *App) openGate(cfg *config.Config, server *api.Server, proxies *clientip.Resolver) error {
	keyed, err := clientip.New(clientip.Options{Trusted: cfg.TrustedProxies, Header: cfg.ClientIPHeader, TrustUnix: true})
	if err != nil {
		return fmt.Errorf("trusted_proxies: %w", err)
	}
	server.ForwardAuth(gate.ForwardOptions{
		Checker:   a.guard,
		Proxies:   proxies,
		Keyed:     keyed,
		Untrusted: a.guard.NoteUntrustedForwarder,
	})
	return nil
}
