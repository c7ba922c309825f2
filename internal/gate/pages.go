package gate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // the pages
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/challenge"
	"github.com/warderhq/warder/internal/clientip"
)

// ClearanceCookie holds the clearance that a solved challenge is worth.
const ClearanceCookie = "warder_clearance"

// ChallengePath is the page that poses challenges.
const ChallengePath = reserved + "challenge"

// Challenges pose challenges and take what people bring. *challenge.Desk does.
type Challenges interface {
	Pose(now time.Time, b challenge.Binding) (challenge.Posed, error)
	// Redeem accepts a token, once. A challenge.Code says what is wrong with it;
	// after any other error another challenge should be posed.
	Redeem(ctx context.Context, now time.Time, token string, b challenge.Binding, remote netip.Addr) error
	// Unreachable is told that a browser does not reach the external service; ok
	// false: there is no other way.
	Unreachable(ctx context.Context, now time.Time, b challenge.Binding) (p challenge.Posed, ok bool, err error)
	// Service is the external service; nil: there is none.
	Service() *challenge.Service
}

// PagesOptions are what Pages are made of. Secret, Challenges and Clear are
// required.
type PagesOptions struct {
	Secret     []byte // 32 bytes or more; signs what the addresses of pages carry
	Challenges Challenges
	// Clear makes the clearance that a solved challenge is worth.
	Clear func(ip netip.Addr, realm string) (clearance string, lasts time.Duration)
	// Tell writes an event about a challenge; may be nil.
	Tell func(ctx context.Context, e warder.Event)
	// PublicURL is where people reach the pages; empty: only on the sites
	// themselves.
	PublicURL string
	// Origins are other origins that people may be sent back to; those where
	// proxies ask Warder must lead /.warder/ to it.
	Origins []string
	Logger  *slog.Logger
}

// Pages are what people see of Warder, below /.warder/: the challenge, and the
// access-denied page. They keep nothing of anybody: whom a page is for and where
// it leads stands signed in its address. Nobody is sent to another place than a
// path of the same host or an origin that the operator allowed.
type Pages struct {
	opts      PagesOptions
	ticketKey []byte
	origins   []string          // allowed, the public one first
	told      *memory[struct{}] // address keys of whom a failure was told a moment ago
	log       *slog.Logger
}

// NewPages makes Pages.
func NewPages(o PagesOptions) (*Pages, error) {
	if len(o.Secret) < 32 || o.Challenges == nil || o.Clear == nil {
		return nil, errors.New("gate: pages need Secret, Challenges and Clear")
	}
	p := &Pages{opts: o, ticketKey: hash(o.Secret, "gate ticket"), log: o.Logger, told: newMemory[struct{}](16<<10, time.Minute)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	for _, s := range append([]string{o.PublicURL}, o.Origins...) {
		if origin := originOf(s); origin != "" && !slices.Contains(p.origins, origin) {
			p.origins = append(p.origins, origin)
		}
	}
	return p, nil
}

// URL is the address of the page with a challenge of a realm; empty without a
// public URL. Whoever hands it out may add &return= and a URL of an allowed
// origin.
func (p *Pages) URL(realm string) string {
	if p.opts.PublicURL == "" {
		return ""
	}
	return p.opts.PublicURL + ChallengePath + "?t=" + p.seal(challengePage, ticket{Realm: realm}, time.Now())
}

// at is the address of the page for a visitor of a host that we know, who came
// for a path there; "" if there is none.
func (p *Pages) at(host string, t ticket) string {
	i := p.originFor(host)
	if i < 0 {
		return ""
	}
	base := p.origins[i]
	if i == 0 && p.opts.PublicURL != "" {
		base = p.opts.PublicURL
	}
	return base + ChallengePath + "?t=" + p.seal(challengePage, t, time.Now())
}

// knows reports whether visitors of a host can be sent to the page.
func (p *Pages) knows(host string) bool { return p.originFor(host) >= 0 }

// originFor finds the origin of a host; -1: there is none. Proxies find their
// site without regard to the port that a client writes, and to the dot at the
// end, with which nobody must get past a challenge.
func (p *Pages) originFor(host string) int {
	for _, same := range []func(a, b string) bool{strings.EqualFold, sameName} {
		if i := slices.IndexFunc(p.origins, func(origin string) bool {
			_, h, ok := strings.Cut(origin, "://")
			return ok && same(h, host)
		}); i >= 0 {
			return i
		}
	}
	return -1
}

func sameName(a, b string) bool {
	name := func(host string) string {
		if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
			host = host[:i]
		}
		return strings.TrimSuffix(host, ".")
	}
	return strings.EqualFold(name(a), name(b))
}

// has reports whether a path, as it was sent, is one of the pages: to ask for a
// challenge before the challenge would be to ask for ever.
func (p *Pages) has(path string) bool {
	return path == ChallengePath || path == reserved+"solve.js" || path == reserved+"denied"
}

// view is how one listener shows the pages, and who visits.
type view struct {
	Denied
	ip      netip.Addr // invalid: unknown
	home    string     // the start page; empty: there may be none
	secure  bool       // the visitor came by TLS
	crossed bool       // another site sent the request
}

const challengePage = "challenge"

// serve answers for a path below /.warder/ and reports whether there is
// something at it.
func (p *Pages) serve(w http.ResponseWriter, r *http.Request, v view) bool {
	switch r.URL.Path {
	case reserved + "denied":
		v.ServeHTTP(w, r)
	case ChallengePath:
		p.challenge(w, r, v)
	case reserved + "solve.js":
		if method(w, r, http.MethodGet) {
			script(w, r)
		}
	default:
		return false
	}
	return true
}

// method refuses requests by other methods; GET includes HEAD.
func method(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	m := r.Method
	if m == http.MethodHead {
		m = http.MethodGet
	}
	if slices.Contains(allowed, m) {
		return true
	}
	w.Header()["Allow"] = []string{strings.Join(allowed, ", ")}
	writeProblem(w, r, http.StatusMethodNotAllowed, "This page knows no such method.")
	return false
}

func (p *Pages) challenge(w http.ResponseWriter, r *http.Request, v view) {
	if !method(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	if r.Method == http.MethodPost {
		p.solved(w, r, v)
		return
	}
	now := time.Now()
	said := speakChallenge(r.Header.Get("Accept-Language"))
	q := r.URL.Query()
	t, expired, err := p.unseal(challengePage, q.Get("t"), now)
	switch {
	case err != nil:
		p.write(w, r, http.StatusBadRequest, said, v, &challengeView{Message: said.Invalid, Go: v.home})
		return
	case expired:
		p.write(w, r, http.StatusGone, said, v, &challengeView{Message: said.Expired, Go: t.Return})
		return
	case !v.ip.IsValid():
		p.write(w, r, http.StatusForbidden, said, v, &challengeView{Message: said.Unknown})
		return
	}
	if to := q.Get("return"); to != "" && t.Return == "" {
		t.Return = returnTo(to, p.origins)
	}
	posed, err := p.opts.Challenges.Pose(now, challenge.BindingOf(v.ip, t.Realm))
	if err != nil {
		p.log.WarnContext(r.Context(), "a challenge cannot be posed", "error", err)
		p.write(w, r, http.StatusServiceUnavailable, said, v, &challengeView{Message: said.Broken})
		return
	}
	data := pageData{Ticket: p.seal(challengePage, t, now), Posed: posedOf(posed), Posted: t.Posted, Words: said.scripted(), Patience: patience}
	view := &challengeView{Posted: t.Posted}
	if s := p.opts.Challenges.Service(); s != nil && posed.Provider == s.Name {
		data.Service, data.SiteKey, data.Script, data.Global = s.Name, s.SiteKey, s.Script, s.Global
		view.sources = s.Sources
	}
	text, err := json.Marshal(data)
	if err != nil {
		text = nil // texts and numbers
	}
	view.Data = string(text)
	p.write(w, r, http.StatusOK, said, v, view)
}

// patience is how long the script of an external service may take, in
// milliseconds.
const patience = 12000

// pageData is what the page's script is told.
type pageData struct {
	Ticket   string            `json:"ticket"`
	Posed    posedData         `json:"posed"`
	Posted   bool              `json:"posted"`
	Words    map[string]string `json:"words"`
	Service  string            `json:"service,omitempty"`
	SiteKey  string            `json:"siteKey,omitempty"`
	Script   string            `json:"script,omitempty"`
	Global   string            `json:"global,omitempty"`
	Patience int               `json:"patience"`
}

type posedData struct {
	Provider  string `json:"provider"`
	Challenge string `json:"challenge,omitempty"`
}

func posedOf(p challenge.Posed) posedData { return posedData{p.Provider, p.Challenge} }

// solution is what the page sends back.
type solution struct {
	Ticket      string `json:"ticket"`
	Token       string `json:"token"`
	Unreachable bool   `json:"unreachable"` // the external service is, from this browser
}

// solvedAnswer is the answer to a solution.
type solvedAnswer struct {
	Return    string     `json:"return,omitempty"`     // where to go on
	ExpiresIn int64      `json:"expires_in,omitempty"` // of the clearance in the cookie, in seconds
	Message   string     `json:"message,omitempty"`    // what is wrong
	Code      string     `json:"code,omitempty"`
	Posed     *posedData `json:"posed,omitempty"` // what to try instead
}

// maxSolution bounds what is sent back, in bytes.
const maxSolution = maxTicket + challenge.MaxServiceToken + 1024

// readSolution reads a solution strictly.
func readSolution(w http.ResponseWriter, r *http.Request) (s solution, status int) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return s, http.StatusUnsupportedMediaType // a form of another site cannot send this type
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(formTime)) // tests without a connection have none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSolution))
	_ = rc.SetReadDeadline(time.Time{})
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return s, http.StatusRequestEntityTooLarge
	}
	if err != nil {
		return s, http.StatusBadRequest
	}
	return parseSolution(body)
}

func parseSolution(body []byte) (s solution, status int) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil || dec.More() {
		return solution{}, http.StatusBadRequest
	}
	return s, http.StatusOK
}

// solved takes a solution and gives the clearance.
func (p *Pages) solved(w http.ResponseWriter, r *http.Request, v view) {
	if v.crossed {
		writeProblem(w, r, http.StatusForbidden, "Challenges are solved on this page only.")
		return
	}
	s, status := readSolution(w, r)
	if status != http.StatusOK {
		writeProblem(w, r, status, "The page sends a small JSON document.")
		return
	}
	now := time.Now()
	said := speakChallenge(r.Header.Get("Accept-Language"))
	t, expired, err := p.unseal(challengePage, s.Ticket, now)
	switch {
	case err != nil:
		writeAnswer(w, http.StatusBadRequest, &solvedAnswer{Message: said.Invalid, Code: "ticket"})
		return
	case expired:
		writeAnswer(w, http.StatusGone, &solvedAnswer{Message: said.Expired, Code: "expired"})
		return
	case !v.ip.IsValid():
		writeAnswer(w, http.StatusForbidden, &solvedAnswer{Message: said.Unknown, Code: "unknown_client"})
		return
	}
	b := challenge.BindingOf(v.ip, t.Realm)
	if s.Unreachable {
		posed, ok, err := p.opts.Challenges.Unreachable(r.Context(), now, b)
		switch {
		case err != nil:
			p.busy(w, r, said, err)
		case ok:
			data := posedOf(posed)
			writeAnswer(w, http.StatusForbidden, &solvedAnswer{Code: "unreachable", Posed: &data})
		default:
			writeAnswer(w, http.StatusForbidden, &solvedAnswer{Message: said.Unreachable, Code: "unreachable"})
		}
		return
	}
	err = p.opts.Challenges.Redeem(r.Context(), now, s.Token, b, v.ip)
	if err != nil {
		p.notAccepted(w, r, said, b, err)
		if code, ok := errors.AsType[challenge.Code](err); ok {
			p.tell(r, v, t.Realm, challengeFailure, string(code))
		}
		return
	}
	p.tell(r, v, t.Realm, challengeSuccess, "")
	clearance, lasts := p.opts.Clear(v.ip, t.Realm)
	w.Header().Add("Set-Cookie", (&http.Cookie{
		Name: ClearanceCookie, Value: clearance, Path: "/", MaxAge: int(lasts / time.Second),
		HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode,
	}).String())
	writeAnswer(w, http.StatusOK, &solvedAnswer{Return: handOver(t.Return, clearance), ExpiresIn: int64(lasts / time.Second)})
}

// The events about challenges.
const (
	challengeSuccess = "CHALLENGE_SUCCESS"
	challengeFailure = "CHALLENGE_FAILURE"
)

// tell writes an event about a challenge: for each one that was solved, which
// cost work, and once a minute for each address that sends what is no solution.
func (p *Pages) tell(r *http.Request, v view, realm, name, reason string) {
	if p.opts.Tell == nil {
		return
	}
	if key := warder.AddressKey(v.ip).String(); name == challengeFailure {
		if _, ok := p.told.get(key); ok {
			return
		}
		p.told.put(key, struct{}{})
	}
	p.opts.Tell(context.WithoutCancel(r.Context()), warder.Event{
		Name: name, IP: v.ip, Realm: realm, Reason: reason, UserAgent: text(r.Header.Get("User-Agent"), warder.MaxUserAgent),
		Method: r.Method, Path: ChallengePath,
	})
}

// handOver adds the clearance to an address of another origin, whose
// application does not see our cookie.
func handOver(to, clearance string) string {
	if to == "" || to[0] == '/' {
		return to
	}
	sep := "?"
	if strings.Contains(to, "?") {
		sep = "&"
	}
	return to + sep + ClearanceCookie + "=" + url.QueryEscape(clearance)
}

// notAccepted answers to a token that is not good enough, with another
// challenge.
func (p *Pages) notAccepted(w http.ResponseWriter, r *http.Request, said *challengeWords, b challenge.Binding, err error) {
	code, blamed := errors.AsType[challenge.Code](err)
	if r.Context().Err() != nil {
		return
	}
	out := solvedAnswer{Message: said.Refused, Code: string(code)}
	status := http.StatusForbidden
	if !blamed {
		p.log.WarnContext(r.Context(), "a challenge cannot be checked", "error", err)
		status, out.Message, out.Code = http.StatusServiceUnavailable, said.Broken, "unavailable"
	}
	if code != challenge.ErrBinding {
		if posed, err := p.opts.Challenges.Pose(time.Now(), b); err == nil {
			data := posedOf(posed)
			out.Posed = &data
		}
	}
	if status == http.StatusServiceUnavailable {
		w.Header()["Retry-After"] = one
	}
	writeAnswer(w, status, &out)
}

func (p *Pages) busy(w http.ResponseWriter, r *http.Request, said *challengeWords, err error) {
	p.log.WarnContext(r.Context(), "a challenge cannot be posed", "error", err)
	w.Header()["Retry-After"] = one
	writeAnswer(w, http.StatusServiceUnavailable, &solvedAnswer{Message: said.Broken, Code: "unavailable"})
}

func writeAnswer(w http.ResponseWriter, status int, a *solvedAnswer) {
	body, err := json.Marshal(a)
	if err != nil {
		body = nil // texts and a number
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

var (
	//go:embed pages/challenge.html
	challengeHTML string
	//go:embed pages/challenge.js
	challengeJS string
	//go:embed pages/solve.js
	solveJS string
	//go:embed pages/worker.js
	workerJS string

	challengeTemplate = template.Must(template.New("challenge").Parse(challengeHTML))
	pageScript        = "\n" + solveJS + challengeJS
	workerScript      = solveJS + workerJS
)

const challengeStyle = deniedStyle + `
main{border-top-color:var(--go)}
:root{--go:#1f5fbf;--on:#fff}
@media(prefers-color-scheme:dark){:root{--go:#8ab8ff;--on:#10141a}}
.note{border-left:3px solid var(--go);padding-left:.75rem;font-weight:600}
progress{display:block;width:100%;height:.6rem;margin:1rem 0;accent-color:var(--go)}
[hidden]{display:none}
#status{color:var(--soft);margin:0}
#fault:empty,#status:empty{display:none}
.acts:not(:has(>:not([hidden]))){display:none}
#widget{margin:1rem 0;min-height:4rem;overflow-x:auto}
.acts{margin:1rem 0 0}
.acts>*{display:inline-block;font:inherit;font-weight:600;line-height:1.2;padding:.75rem 1.1rem;border:0;border-radius:.4rem;background:var(--go);color:var(--on);text-decoration:none;cursor:pointer}
.acts>[hidden]{display:none}
.acts>:focus-visible{outline:3px solid var(--ink);outline-offset:3px}
`

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var styleHash, scriptHash = hashOf(challengeStyle), hashOf(pageScript)

// challengePolicy is the page's content security policy: its own style sheet and
// script by their hashes, and what an external service needs.
func challengePolicy(sources map[string]string) string {
	d := map[string]string{
		"default-src": "'none'", "style-src": styleHash, "script-src": scriptHash, "worker-src": "'self'", "connect-src": "'self'",
		"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
	}
	for name, hosts := range sources {
		if d[name] == "" {
			d[name] = hosts
		} else {
			d[name] += " " + hosts
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name + " " + d[name])
	}
	return b.String()
}

var plainChallengePolicy = challengePolicy(nil)

// challengeView is what stands on the page.
type challengeView struct {
	Data    string // for the script; empty: only a message
	Posted  bool
	Title   string // of a message
	Message string
	Go      string // where a message leads
	sources map[string]string
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, said *challengeWords, v view, c *challengeView) {
	policy, referrer := plainChallengePolicy, "no-referrer"
	if c.sources != nil {
		policy, referrer = challengePolicy(c.sources), "strict-origin" // services look at who embeds them
	}
	h := w.Header()
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Referrer-Policy"] = []string{referrer}
	h["X-Frame-Options"] = []string{"DENY"}
	h["Vary"] = []string{"Accept-Language"}
	h["Content-Security-Policy"] = []string{policy}
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	title, goWord := said.Title, said.Go
	if c.Data == "" {
		title = cmp.Or(c.Title, said.Trouble)
	}
	if c.Go == v.home {
		goWord = said.Home
	}
	var b bytes.Buffer
	err := challengeTemplate.Execute(&b, map[string]any{
		"W": said, "Title": title, "GoWord": goWord, "Data": c.Data, "Posted": c.Posted, "Asked": c.sources != nil, "Message": c.Message, "Go": c.Go,
		"Brand": clip(v.Brand, maxBrand), "Contact": clip(v.Contact, maxBrand), "ContactWord": said.contact(),
		"Style":  template.CSS(challengeStyle), //nolint:gosec // our own constant
		"Script": template.JS(pageScript),      //nolint:gosec // our own constant
	})
	if err != nil {
		p.log.WarnContext(r.Context(), "a page cannot be written", "error", err)
	}
	h["Content-Length"] = []string{strconv.Itoa(b.Len())}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes())
	}
}

// script is the part of the page that works beside it.
func script(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Content-Type"] = []string{"text/javascript; charset=utf-8"}
	h["Cache-Control"] = []string{"no-cache"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Security-Policy"] = []string{"default-src 'none'"}
	h["Content-Length"] = []string{strconv.Itoa(len(workerScript))}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, workerScript)
	}
}

// PublicOptions are what a listener of its own for the pages is made of.
type PublicOptions struct {
	Pages     *Pages
	Proxies   Clients
	Untrusted func(netip.Addr) // told of peers that look like a proxy nobody trusts; may be nil
	Denied    Denied
}

// Public serves the pages and nothing else, for applications that ask Warder by
// its API or by forward auth.
func Public(o PublicOptions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := o.Proxies.Client(r.RemoteAddr, r.Header)
		if client.UntrustedForwarder && client.Peer.IsValid() && o.Untrusted != nil {
			o.Untrusted(client.Peer)
		}
		proxied := client.Kind != clientip.Socket
		v := view{
			Denied: o.Denied, ip: client.Addr, secure: r.TLS != nil || proxied && r.Header.Get("X-Forwarded-Proto") == "https",
			crossed: crossSite(r, nil, proxied),
		}
		if r.Method == http.MethodConnect || !o.Pages.serve(w, r, v) {
			writeProblem(w, r, http.StatusNotFound, "There is nothing at this path.")
		}
	})
}
