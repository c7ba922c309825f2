package api

import (
	"net/http"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/gate"
	"github.com/warderhq/warder/internal/guard"
)

// ForwardAuth makes the server answer /authz/* and /denied; without it both
// are 404. opts needs neither Key nor Logger. Call it before the first request.
func (s *Server) ForwardAuth(opts gate.ForwardOptions) {
	if opts.Checker == nil {
		opts.Checker = s.engine
	}
	opts.Logger = s.log
	opts.Key = func(r *http.Request) *guard.App {
		c, err := s.authenticate(r, proxyRoute)
		if err != nil {
			return nil
		}
		return c.app
	}
	opts.Checker = &measured{opts.Checker, s.metrics}
	s.denied = opts.Denied
	s.forward = gate.NewForward(opts)
}

// proxyRoute is what a proxy that is not trusted needs a key for.
var proxyRoute = &route{scope: ScopeCheck}

// measured counts what forward auth decides.
type measured struct {
	gate.Checker
	metrics *metrics
}

func (m *measured) Check(app *guard.App, q *guard.Query) (d warder.Decision) {
	d = m.Checker.Check(app, q)
	m.metrics.decided(d.Action, d.Reason)
	return d
}

// authz answers forward auth and reports whether the request is one. It comes
// before the router, which would redirect the paths that Envoy hands over as
// they are, and before the check of origins, which is the application's affair:
// the headers are those of somebody else's request.
func (s *Server) authz(w http.ResponseWriter, r *http.Request) bool {
	if s.forward == nil {
		return false
	}
	kind, ok := gate.KindOf(r.RequestURI)
	if ok {
		s.forward.Serve(w, r, kind)
	}
	return ok
}

// authzRoutes registers the calls of proxies in the table of routes. All
// methods are answered: authz takes them before the router does.
func (s *Server) authzRoutes() {
	missing := func(w http.ResponseWriter, r *http.Request, _ *caller) {
		if !s.authz(w, r) {
			s.writeProblem(w, r, newProblem(http.StatusNotFound, "There is nothing at this path."))
		}
	}
	s.router.handle("GET "+gate.GenericPath, missing)
	s.router.handle("GET "+gate.NginxPath, missing)
	s.router.handle("GET "+gate.EnvoyPath+"/{path...}", missing)
	s.router.handle("GET /denied", func(w http.ResponseWriter, r *http.Request, _ *caller) {
		s.denied.ServeHTTP(w, r)
	})
}
