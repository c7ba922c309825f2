package app

import (
	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/gate"
)

// openGate switches on what stands before applications: forward auth for other
// people's proxies.
func (a *App) openGate(server *api.Server) {
	server.ForwardAuth(gate.ForwardOptions{
		Checker:   a.guard,
		Proxies:   &a.live.proxies,
		Keyed:     &a.live.keyed,
		Untrusted: a.guard.NoteUntrustedForwarder,
	})
}
