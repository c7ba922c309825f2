package gate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warderhq/warder"
)

// maxClearance bounds the cookie that is looked at, in bytes.
const maxClearance = 1 << 10

// own answers for the gate's own paths.
func (s *Site) own(w http.ResponseWriter, r *http.Request, x *exchange) {
	v := view{Denied: s.opts.Denied, home: "/", ip: x.query.IP, secure: x.secure, crossed: x.crossing}
	if s.opts.Pages == nil && r.URL.Path == reserved+"denied" {
		v.ServeHTTP(w, r)
		return
	}
	if s.opts.Pages == nil || !s.opts.Pages.serve(w, r, v) {
		writeProblem(w, r, http.StatusNotFound, "There is nothing at this path.")
	}
}

// ask sends a visitor who opens the page of a form to the challenge, if there is
// one, so that nothing has to be entered twice; false: there is none.
func (s *Site) ask(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	if s.opts.Pages == nil || x.endpoint.Kind == Basic || r.Method != http.MethodGet || !WantsPage(r.Header) {
		return false
	}
	q := x.query
	q.Realm = x.endpoint.Realm
	if d := s.engine.Check(s.app, &q); d.Action != warder.Challenge {
		return false
	}
	s.challenge(w, r, x)
	return true
}

// clear insists on a clearance for a request that is no attempt, and counts its
// use. cleared says that there was one; ok false: the request was answered.
func (s *Site) clear(w http.ResponseWriter, r *http.Request, x *exchange) (cleared, ok bool) {
	q := x.query
	q.Realm, q.Account, q.Clearance = x.endpoint.Realm, x.claims.account, ""
	if d := s.engine.Check(s.app, &q); d.Action != warder.Challenge {
		return false, true
	}
	q.Clearance = x.query.Clearance
	if s.engine.TakeClearance(&q) {
		return true, true
	}
	s.challenge(w, r, x)
	return false, false
}

// challenge sends a visitor to the page with the challenge, and tells a program
// where it is.
func (s *Site) challenge(w http.ResponseWriter, r *http.Request, x *exchange) {
	t := ticket{Realm: x.endpoint.Realm, Return: cameFrom(r, x.host(r), x.endpoint.Password), Posted: !safe(r.Method) || x.claims.given}
	link := ChallengePath + "?t=" + s.opts.Pages.seal(challengePage, t, time.Now())
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Vary"] = []string{"Accept"}
	if WantsPage(r.Header) {
		// Another request, by GET: what was entered stays in nobody's history.
		h["Location"] = []string{link}
		h["Content-Length"] = zeroLength
		h["Referrer-Policy"] = []string{"no-referrer"}
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	scheme := httpScheme[0]
	if x.secure {
		scheme = httpsScheme[0]
	}
	writeChallenge(w, r, http.StatusForbidden, (&url.URL{Scheme: scheme, Host: x.host(r)}).String()+link)
}

// host is the host that the visitor asked.
func (x *exchange) host(r *http.Request) string {
	if h := r.Header.Get("X-Forwarded-Host"); x.proxied && h != "" && printable(h) && !strings.ContainsAny(h, " ,/\\") {
		return h
	}
	return r.Host
}

// writeChallenge tells a program that a challenge has to be solved, and where;
// link may be empty.
func writeChallenge(w http.ResponseWriter, r *http.Request, status int, link string) {
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		URL    string `json:"challenge_url,omitempty"`
	}{"about:blank", "Challenge required", status, "Please show that you are not a robot, then try again.", link})
	if err != nil {
		body = nil // texts and a number
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/problem+json"}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// crossSite reports whether a page of another site made the browser send this;
// origins are others that may.
func crossSite(r *http.Request, origins []string, proxied bool) bool {
	origin := r.Header.Get("Origin")
	if slices.Contains(origins, origin) && origin != "" {
		return false
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "cross-site"
	}
	if origin == "" {
		return false // not a browser, or one that sends none for pages of its own
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return true
	}
	return !strings.EqualFold(u.Host, r.Host) && (!proxied || !strings.EqualFold(u.Host, r.Header.Get("X-Forwarded-Host")))
}
