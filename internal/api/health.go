package api

import (
	"net/http"
	"time"
)

// Readiness is the answer of /readyz. Degraded does not mean not ready: a dead
// dependency lifts no block and stops no decision.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Degraded []Reason `json:"degraded"`
}

// Reason is one thing that is not as it should be.
type Reason struct {
	Reason string    `json:"reason"`
	Detail string    `json:"detail,omitempty"`
	Since  time.Time `json:"since"`
	Remedy string    `json:"remedy,omitempty"`
}

// remedies say what an operator can do about a reason.
var remedies = map[string]string{
	"blocks_full":               "Lift blocks that are no longer needed, or give rules a cooling period.",
	"no_rules":                  "Put a preset in force: warder policy show --preset classic, then warder policy apply.",
	"client_address_suspect":    "Nearly all sign-ins come from one address: that is probably a proxy. Name it in trusted_proxies, so that the clients behind it are seen.",
	"untrusted_forwarder":       "A private peer sends a forwarding header. If it is your proxy, name it in trusted_proxies.",
	"counters_full":             "More keys are close to their threshold than fit. Raise limits.counters.",
	"mail_unconfigured":         "Set smtp.host and smtp.from; until then mails are written to mail in the data directory.",
	"mail_no_recipient":         "Nobody is told of alerts: warder operator create, or set smtp.to.",
	"captcha_unreachable":       "The CAPTCHA service does not answer, and the proof of work takes its place: look at the log and at challenge.server.",
	"certificate_unreadable":    "A renewed certificate cannot be used, the one before stays in force: look at its files.",
	"certificate_ending":        "A certificate ends soon, or has ended: renew its files; no restart is needed.",
	"mail_failing":              "Look at the mail server's answer: warder alert test.",
	"store_unwritable":          "The database does not take writes: look at its disk and at who holds it locked.",
	"settlements_not_journaled": "The database was away for so long that outcomes counted but were not kept. Nothing to do but to know it.",
	"provider_failing":          "A threat feed cannot be refreshed; the last good list is in force. The page Providers (GET /v1/providers) tells why.",
	"provider_held":             "A threat feed changed too much at once and is held back. Look at it and approve it: POST /v1/providers/{name}/approve.",
	"retention_failing":         "Old events are not deleted; look at the log and at the disk.",
	"blast_radius":              "Automatic blocks would hit many who signed in well; look at the newest blocks and lift what is wrong.",
}

// readyz answers 503 only until everything is loaded.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request, _ *caller) {
	out := Readiness{Ready: s.opts.Ready == nil || s.opts.Ready(), Degraded: []Reason{}}
	if out.Ready {
		out.Degraded = s.reasons()
	}
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
		w.Header()["Retry-After"] = []string{"1"}
	}
	s.writeJSON(w, r, status, &out)
}

// reasons are what works with less than it should now.
func (s *Server) reasons() []Reason {
	out := []Reason{}
	for _, d := range s.opts.Guard.Degraded() {
		out = append(out, Reason{Reason: d.Reason, Detail: d.Detail, Since: d.Since.UTC(), Remedy: remedies[d.Reason]})
	}
	return out
}
