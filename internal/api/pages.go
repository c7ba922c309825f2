package api

import (
	"net/http"
	"strings"

	"github.com/warderhq/warder/internal/gate"
)

// page answers a browser with the dashboard, everybody else with a text.
func (s *Server) page(text string) callerHandler {
	return func(w http.ResponseWriter, r *http.Request, _ *caller) {
		if s.opts.Dashboard != nil && gate.WantsPage(r.Header) {
			s.opts.Dashboard.Page(w, r)
			return
		}
		w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
		_, _ = w.Write([]byte(strings.TrimLeft(text, "\n")))
	}
}

// dashboard answers for paths that no call has: with a file of the dashboard,
// or, to a browser, with the page, which knows its own paths. It reports
// whether it did.
func (s *Server) dashboard(w http.ResponseWriter, r *http.Request) bool {
	if s.opts.Dashboard == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	for _, calls := range []string{"/v1/", "/authz/", "/.warder/"} {
		if strings.HasPrefix(r.URL.Path, calls) {
			return false
		}
	}
	if s.opts.Dashboard.Asset(w, r) {
		return true
	}
	// A file that a new version no longer has must not look like one.
	if !gate.WantsPage(r.Header) || strings.HasPrefix(r.URL.Path, "/assets/") {
		return false
	}
	s.opts.Dashboard.Page(w, r)
	return true
}

// lifting is what the link in a mail leads to. It tells a stranger nothing:
// what a reference stands for takes a key, or the command line.
const lifting = `
What a reference stands for, and why:

  curl /v1/references/REFERENCE -H 'Authorization: Bearer wk_...'       (scope "read")

Lift the block, on the machine that Warder runs on:

  warder unblock --verdict error ADDRESS        it was a mistake
  warder unblock --verdict resolved ADDRESS     it was an attack, and it is over

or with an API key of scope "blocks":

  curl -X DELETE /v1/blocks/ID -H 'Authorization: Bearer wk_...' -H 'Content-Type: application/json' \
       -d '{"verdict":"error","reason":"..."}'
`

const welcome = `
Warder watches sign-ins, tells attacks from mistakes and stops the attackers.

Report what happens, with an API key of scope "events":

  curl -X POST /v1/events -H 'Authorization: Bearer wk_...' -H 'Content-Type: application/json' \
       -d '{"name":"USER_LOGIN_FAILURE","ip":"203.0.113.7","account":"alice"}'

Ask before you let somebody in:

  curl -X POST /v1/check -H 'Authorization: Bearer wk_...' -H 'Content-Type: application/json' \
       -d '{"ip":"203.0.113.7","account":"alice"}'

Everything else is described in /openapi.json. How Warder is: /healthz, /readyz, /metrics.
`
