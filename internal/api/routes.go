package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/warderhq/warder/internal/operator"
)

// Scope is what an API key may do. Admin includes all others.
type Scope string

// The scopes.
const (
	ScopeEvents   Scope = "events"   // report events, announce and settle attempts
	ScopeCheck    Scope = "check"    // ask for decisions, pose challenges
	ScopeBlocks   Scope = "blocks"   // make, change and lift Blocks
	ScopeSessions Scope = "sessions" // read and write revocations
	ScopeRead     Scope = "read"     // everything that is only looked at
	ScopeAdmin    Scope = "admin"    // everything
)

// Scopes are all scopes.
func Scopes() []Scope {
	return []Scope{ScopeEvents, ScopeCheck, ScopeBlocks, ScopeSessions, ScopeRead, ScopeAdmin}
}

// route says who may use a path: API keys of a scope, operators of a role.
// An empty scope: no key, since the call is about the operator who is signed
// in. An empty role: no operator, since the call is for applications only.
type route struct {
	pattern string // method and path as net/http writes them
	scope   Scope
	role    operator.Role
	open    bool // for everybody, without authentication
	slow    bool // it may last (long poll, stream, export): no time limit
}

// routes is the one table of who may do what. A handler whose pattern is not
// in it cannot be registered: nothing is reachable by oversight.
var routes = []route{
	{pattern: "GET /{$}", open: true},
	{pattern: "GET /references/{ref}", open: true}, // where mails lead to
	{pattern: "GET /healthz", open: true},
	{pattern: "GET /readyz", open: true},
	{pattern: "GET /metrics", open: true},
	{pattern: "GET /openapi.json", open: true},
	{pattern: "POST /v1/csp-report", open: true},
	// Proxies ask here, by any method: trusted ones, or with a key of this scope
	// (authz.go checks it, since a trusted one needs none).
	{pattern: "GET /authz/forward", open: true},
	{pattern: "GET /authz/nginx", open: true},
	{pattern: "GET /authz/envoy/{path...}", open: true},
	{pattern: "GET /denied", open: true},

	{pattern: "POST /v1/check", scope: ScopeCheck},
	{pattern: "POST /v1/events", scope: ScopeEvents},
	{pattern: "POST /v1/attempts", scope: ScopeEvents},
	{pattern: "POST /v1/attempts/{token}", scope: ScopeEvents},
	{pattern: "POST /v1/challenge", scope: ScopeCheck},
	{pattern: "POST /v1/challenge/verify", scope: ScopeCheck},
	{pattern: "GET /v1/sessions/revocations", scope: ScopeSessions, role: operator.Viewer, slow: true},

	{pattern: "GET /v1/events", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/events/{id}", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/events/{id}/neighbours", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/events/test", scope: ScopeEvents, role: operator.Analyst},
	{pattern: "GET /v1/stats/trend", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/stats/types", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/stats/realms", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/stats/attackers", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/stats/countries", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/stats/summary", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/ips", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/ips/{ip}", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/ips/{ip}/mark", scope: ScopeBlocks, role: operator.Analyst},
	{pattern: "GET /v1/accounts", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/accounts/{account}", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/blocks", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/blocks/{id}", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/blocks", scope: ScopeBlocks, role: operator.Admin},
	{pattern: "PATCH /v1/blocks/{id}", scope: ScopeBlocks, role: operator.Analyst},
	{pattern: "DELETE /v1/blocks/{id}", scope: ScopeBlocks, role: operator.Admin},
	{pattern: "POST /v1/blocks/lift", scope: ScopeBlocks, role: operator.Admin},
	{pattern: "POST /v1/blocks/import", scope: ScopeBlocks, role: operator.Admin},
	{pattern: "POST /v1/blocks/review", scope: ScopeBlocks, role: operator.Analyst},
	{pattern: "GET /v1/references/{ref}", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/trusted", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/trusted", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "DELETE /v1/trusted/{id}", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "POST /v1/counters/clear", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "GET /v1/sessions", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/sessions/revoke", scope: ScopeSessions, role: operator.Admin},
	{pattern: "GET /v1/policy", scope: ScopeRead, role: operator.Viewer},
	{pattern: "PUT /v1/policy", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "GET /v1/policy/revisions", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/policy/revisions/{n}", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/policy/revisions/{n}/restore", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "GET /v1/policy/presets", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/policy/preview", scope: ScopeRead, role: operator.Analyst, slow: true},
	{pattern: "POST /v1/policy/validate", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/providers", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/providers/{name}/refresh", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "POST /v1/providers/{name}/approve", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "GET /v1/explain", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/demands", scope: ScopeRead, role: operator.Viewer},
	{pattern: "DELETE /v1/demands/{id}", scope: ScopeBlocks, role: operator.Admin},
	{pattern: "GET /v1/sites", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/notes", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/notes", scope: ScopeBlocks, role: operator.Analyst},
	{pattern: "DELETE /v1/notes/{id}", scope: ScopeBlocks, role: operator.Analyst},
	{pattern: "GET /v1/views", scope: ScopeRead, role: operator.Viewer},
	{pattern: "POST /v1/views", scope: ScopeBlocks, role: operator.Analyst},
	{pattern: "DELETE /v1/views/{id}", scope: ScopeBlocks, role: operator.Analyst},
	{pattern: "GET /v1/search", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/status", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/audit", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/audit/verify", scope: ScopeRead, role: operator.Viewer, slow: true},
	{pattern: "GET /v1/export/events", scope: ScopeRead, role: operator.Viewer, slow: true},
	{pattern: "GET /v1/export/blocks", scope: ScopeRead, role: operator.Viewer, slow: true},
	{pattern: "GET /v1/export/report", scope: ScopeRead, role: operator.Viewer, slow: true},
	{pattern: "GET /v1/export/audit", scope: ScopeRead, role: operator.Viewer, slow: true},
	{pattern: "POST /v1/export/verify", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/stream", scope: ScopeRead, role: operator.Viewer, slow: true},
	{pattern: "GET /v1/operators", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "POST /v1/operators", scope: ScopeAdmin, role: operator.Owner},
	{pattern: "PATCH /v1/operators/{id}", scope: ScopeAdmin, role: operator.Owner},
	{pattern: "DELETE /v1/operators/{id}/sessions", scope: ScopeAdmin, role: operator.Owner},
	{pattern: "POST /v1/operators/{id}/reset", scope: ScopeAdmin, role: operator.Owner},
	{pattern: "GET /v1/invitations", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "POST /v1/invitations", scope: ScopeAdmin, role: operator.Owner},
	{pattern: "DELETE /v1/invitations/{id}", scope: ScopeAdmin, role: operator.Owner},
	{pattern: "GET /v1/invitations/accept", open: true},  // the link is the right
	{pattern: "POST /v1/invitations/accept", open: true}, // the link is the right
	{pattern: "GET /v1/setup", open: true},
	{pattern: "POST /v1/setup", open: true}, // the link is the right
	{pattern: "GET /v1/session", open: true},
	{pattern: "POST /v1/session", open: true},
	{pattern: "POST /v1/session/totp", open: true},
	{pattern: "POST /v1/session/recovery", open: true},
	{pattern: "POST /v1/session/passkey/options", open: true},
	{pattern: "POST /v1/session/passkey", open: true},
	{pattern: "DELETE /v1/session", open: true},
	{pattern: "GET /v1/me", role: operator.Viewer},
	{pattern: "PATCH /v1/me", role: operator.Viewer},
	{pattern: "POST /v1/me/password", role: operator.Viewer},
	{pattern: "POST /v1/me/prove", role: operator.Viewer},
	{pattern: "POST /v1/me/totp", role: operator.Viewer},
	{pattern: "POST /v1/me/totp/confirm", role: operator.Viewer},
	{pattern: "DELETE /v1/me/totp", role: operator.Viewer},
	{pattern: "POST /v1/me/recovery-codes", role: operator.Viewer},
	{pattern: "GET /v1/me/passkeys", role: operator.Viewer},
	{pattern: "POST /v1/me/passkeys/options", role: operator.Viewer},
	{pattern: "POST /v1/me/passkeys", role: operator.Viewer},
	{pattern: "DELETE /v1/me/passkeys/{id}", role: operator.Viewer},
	{pattern: "GET /v1/me/sessions", role: operator.Viewer},
	{pattern: "DELETE /v1/me/sessions/{id}", role: operator.Viewer},
	{pattern: "DELETE /v1/me/sessions", role: operator.Viewer},
	{pattern: "GET /v1/keys", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "POST /v1/keys", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "DELETE /v1/keys/{id}", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "POST /v1/alerts/test", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "GET /v1/me/notifications", role: operator.Viewer},
	{pattern: "PUT /v1/me/notifications", role: operator.Viewer},
	{pattern: "GET /v1/notifications/deliveries", scope: ScopeRead, role: operator.Viewer},
	{pattern: "GET /v1/notifications/recipients", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "PUT /v1/notifications/recipients", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "GET /v1/settings", scope: ScopeAdmin, role: operator.Admin},
	{pattern: "PUT /v1/settings", scope: ScopeAdmin, role: operator.Admin},
}

// router registers handlers under the table of routes. It is what huma sees as
// its ServeMux, so that management calls pass the same door.
type router struct {
	*http.ServeMux
	server     *Server
	rows       map[string]*route
	registered map[string]bool
}

func newRouter(s *Server) *router {
	rt := &router{ServeMux: http.NewServeMux(), server: s, rows: map[string]*route{}, registered: map[string]bool{}}
	for i := range routes {
		rt.rows[routes[i].pattern] = &routes[i]
	}
	rt.ServeMux.HandleFunc("/", rt.missing)
	return rt
}

// Limits of time. Calls of the data plane have their own: they wait 2 s for
// their commit and 10 s for a slot at most.
const (
	callTimeout = 20 * time.Second // a management call
	slowTimeout = 10 * time.Minute // the first byte of one that may last
)

// callerHandler is a handler of a request whose sender is known.
type callerHandler func(http.ResponseWriter, *http.Request, *caller)

// handle registers h. It panics if the table has no row for pattern: that is a
// mistake of ours, and New must not return.
func (rt *router) handle(pattern string, h callerHandler) {
	row := rt.rows[pattern]
	if row == nil {
		panic("api: no row in the table of routes for " + pattern)
	}
	rt.registered[pattern] = true
	rt.ServeMux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if row.slow {
			// A read deadline that passes would end the request's context.
			rc := http.NewResponseController(w)
			_ = rc.SetReadDeadline(time.Time{}) // tests without a connection have none
			_ = rc.SetWriteDeadline(time.Now().Add(slowTimeout))
		}
		rt.server.admit(w, r, row, h)
	})
}

// HandleFunc is what huma calls.
func (rt *router) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	rt.handle(pattern, func(w http.ResponseWriter, r *http.Request, c *caller) {
		known := *c
		known.actor, known.request = rt.server.actor(r, c), r
		ctx := withCaller(r.Context(), &known)
		if !rt.rows[pattern].slow {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, callTimeout)
			defer cancel()
		}
		r = r.WithContext(ctx)
		rt.server.door(w, r, &known, h)
	})
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// missing answers for paths that no call has: with the dashboard, 405 with the
// methods that the path has, or 404.
func (rt *router) missing(w http.ResponseWriter, r *http.Request) {
	if rt.server.dashboard(w, r) {
		return
	}
	var allow []string
	probe := &http.Request{Host: r.Host, URL: r.URL}
	for _, m := range methods {
		probe.Method = m
		if _, pattern := rt.Handler(probe); pattern != "" && pattern != "/" {
			allow = append(allow, m)
		}
	}
	if len(allow) == 0 {
		rt.server.writeProblem(w, r, newProblem(http.StatusNotFound, "There is nothing at this path."))
		return
	}
	p := newProblem(http.StatusMethodNotAllowed, "This path has "+strings.Join(allow, ", ")+".")
	p.allow = strings.Join(allow, ", ")
	rt.server.writeProblem(w, r, p)
}
