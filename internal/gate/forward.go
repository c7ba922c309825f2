package gate

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/guard"
)

// Kind is whose questions forward auth answers: proxies differ in where they
// put the request that they ask about, and in which answers they understand.
type Kind uint8

// The kinds.
const (
	Generic Kind = iota // /authz/forward: Caddy, Traefik, HAProxy
	Nginx               // /authz/nginx: auth_request, which knows 2xx, 401 and 403 only
	Envoy               // /authz/envoy/*: ext_authz over HTTP, which takes 5xx for a failure of ours
)

// Paths of the calls.
const (
	GenericPath = "/authz/forward"
	NginxPath   = "/authz/nginx"
	EnvoyPath   = "/authz/envoy"
)

// Checker decides about one request from memory. *guard.Guard implements it.
type Checker interface {
	Check(app *guard.App, q *guard.Query) warder.Decision
}

// Clients finds who sent a request; *clientip.Resolver does. What it believes
// may change between two requests.
type Clients interface {
	Client(remote string, h http.Header) clientip.Client
	Trusts(a netip.Addr) bool
	Header() string
}

// ForwardOptions are what Forward is made of. Checker and Proxies are required.
type ForwardOptions struct {
	Checker Checker
	// Proxies are believed without a key, by their address.
	Proxies Clients
	// Keyed finds clients behind a proxy that proves itself by an API key; it
	// must believe Unix sockets. Nil: there are no keys.
	Keyed Clients
	// Key returns the application whose key of scope check a request carries;
	// nil: none.
	Key func(*http.Request) *guard.App
	// Untrusted is told of peers that look like a proxy nobody trusts; may be
	// nil.
	Untrusted func(netip.Addr)
	Denied    Denied
	Pages     *Pages // nil: there is no page with a challenge
	Logger    *slog.Logger
}

// Forward answers forward auth: it says whether a request that another proxy
// holds may go on. It counts nothing, reserves nothing and sees no outcome; an
// application behind it has to report its sign-ins by the API.
//
// Only trusted proxies are answered, and those with a key of scope check. What
// is missing or does not make sense is refused with 403, never let through.
type Forward struct {
	opts ForwardOptions
	log  *slog.Logger
	told [4]atomic.Int64 // Unix seconds of the last line in the log, by fault

	askers askers
}

// NewForward makes a Forward.
func NewForward(opts ForwardOptions) *Forward {
	f := &Forward{opts: opts, log: opts.Logger}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

// proxyApp is a trusted proxy without a key. It can neither pose challenges nor
// ask for second factors, so that these are answered allow (SEMANTICS 30).
var proxyApp = &guard.App{ID: "forward-auth", Name: "forward auth"}

// posingApp is the same where its visitors can be sent to the page with the
// challenge.
var posingApp = &guard.App{ID: "forward-auth", Name: "forward auth", CanChallenge: true, StepsDown: true}

// Faults of questions, each told in the log once a minute at most.
const (
	faultPeer = iota
	faultClient
	faultRequest
	faultPanic
)

// original is the request that a proxy asks about.
type original struct {
	method, host, target string
}

// Header names as net/http keys them.
const (
	hAction    = "X-Warder-Action"
	hReason    = "X-Warder-Reason"
	hReference = "X-Warder-Reference"
	hDegraded  = "X-Warder-Degraded"
)

var (
	allowHeader = []string{"allow"}
	blockHeader = []string{"block"}
	noStore     = []string{"no-store"}
	zeroLength  = []string{"0"}
	one         = []string{"1"}
)

// KindOf tells which call a request target is, by its undecoded spelling.
func KindOf(target string) (Kind, bool) {
	path, _, _ := strings.Cut(target, "?")
	switch {
	case path == GenericPath:
		return Generic, true
	case path == NginxPath:
		return Nginx, true
	case strings.HasPrefix(path, EnvoyPath+"/"):
		return Envoy, true
	}
	return 0, false
}

// Serve answers one question of the given kind.
func (f *Forward) Serve(w http.ResponseWriter, r *http.Request, kind Kind) {
	defer func() {
		if v := recover(); v != nil {
			f.tell(faultPanic, "panic in forward auth", "panic", fmt.Sprint(v))
			w.Header()[hDegraded] = one
			f.refuse(w, r, "error")
		}
	}()
	client, app, ok := f.client(r)
	if !ok {
		f.refuse(w, r, "untrusted_proxy")
		return
	}
	figures := f.askers.of(app, client.Peer)
	o, err := originalOf(r, kind)
	if err != "" {
		figures.unclear.Add(1)
		figures.asked()
		f.tell(faultRequest, "a proxy does not say what it asks about", "peer", r.RemoteAddr, "fault", err,
			"remedy", "see the documentation of forward auth for this proxy")
		f.refuse(w, r, "bad_request")
		return
	}
	if !client.Addr.IsValid() {
		// Every path is protected as far as forward auth knows, so a client
		// that is not known is refused (SEMANTICS 2).
		figures.unclear.Add(1)
		figures.asked()
		f.refuse(w, r, "unknown_client")
		return
	}
	path, _, _ := strings.Cut(o.target, "?")
	q := guard.Query{
		IP: client.Addr, UserAgent: text(r.Header.Get("User-Agent"), warder.MaxUserAgent),
		Method: o.method, Path: text(path, warder.MaxPath),
	}
	if f.opts.Pages != nil && f.opts.Pages.knows(o.host) {
		if app == proxyApp && !f.opts.Pages.has(path) {
			app = posingApp
		}
		q.Clearance = clearanceOf(r.Header)
	}
	d := f.opts.Checker.Check(app, &q)
	figures.count(&d)
	f.answer(w, r, kind, &d, o)
}

// client finds who sent the request that is asked about, and in whose name the
// question is asked; ok is false if the asker may not ask.
func (f *Forward) client(r *http.Request) (c clientip.Client, app *guard.App, ok bool) {
	c = f.opts.Proxies.Client(r.RemoteAddr, r.Header)
	app = proxyApp
	if f.opts.Key != nil && f.opts.Keyed != nil && bears(r.Header) {
		if app = f.opts.Key(r); app != nil {
			c = f.opts.Keyed.Client("@", r.Header)
			// A key says who asks: a header that is missing is a client unknown.
			return f.named(c, r), app, true
		}
		app = proxyApp
	}
	if !c.Peer.IsValid() || !f.opts.Proxies.Trusts(c.Peer) {
		if c.UntrustedForwarder && c.Peer.IsValid() && f.opts.Untrusted != nil {
			f.opts.Untrusted(c.Peer)
		}
		f.tell(faultPeer, "forward auth is asked by a stranger and refuses", "peer", r.RemoteAddr,
			"remedy", "name the proxy in trusted_proxies, or let it send an API key of scope check")
		return c, nil, false
	}
	return f.named(c, r), app, true
}

// named takes the address away from a client of whom the proxy told nothing:
// the proxy's own address would always be let through.
func (f *Forward) named(c clientip.Client, r *http.Request) clientip.Client {
	header := f.opts.Proxies.Header()
	said := false
	for _, line := range r.Header[header] {
		said = said || strings.Trim(line, ", \t") != ""
	}
	if !said || !c.Addr.IsValid() {
		f.tell(faultClient, "a proxy does not say who the client is", "peer", r.RemoteAddr, "header", header,
			"remedy", "let the proxy set this header to the client's address")
		c.Addr, c.Kind = netip.Addr{}, clientip.Degraded
	}
	return c
}

// bears reports whether a request carries an API key.
func bears(h http.Header) bool {
	a := h["Authorization"]
	return len(a) == 1 && len(a[0]) > 10 && strings.EqualFold(a[0][:7], "Bearer ") && a[0][7:10] == "wk_"
}

// originalOf reads the request that a proxy asks about. fault is empty or says
// what is missing.
func originalOf(r *http.Request, kind Kind) (o original, fault string) {
	h := r.Header
	get := func(name string) string {
		v := h[name]
		switch {
		case len(v) == 1:
			return v[0]
		case len(v) > 1 && fault == "":
			fault = name + " is there more than once"
		}
		return ""
	}
	switch kind {
	case Generic:
		o.method, o.target, o.host = get("X-Forwarded-Method"), get("X-Forwarded-Uri"), get("X-Forwarded-Host")
		if fault == "" && o.method == "" {
			fault = "X-Forwarded-Method is missing"
		}
		if fault == "" && o.target == "" {
			fault = "X-Forwarded-Uri is missing"
		}
	case Nginx:
		o.method, o.target = get("X-Original-Method"), get("X-Original-Uri")
		if full := get("X-Original-Url"); full != "" {
			u, err := url.Parse(full)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return o, "X-Original-URL is no URL"
			}
			o.host = u.Host
			if _, rest, ok := strings.Cut(full, "://"); ok {
				if i := strings.IndexAny(rest, "/?"); i >= 0 {
					o.target = rest[i:]
				} else {
					o.target = "/"
				}
			}
		}
		if fault == "" && o.target == "" {
			fault = "X-Original-URL and X-Original-URI are missing"
		}
		if fault == "" && o.method == "" {
			fault = "X-Original-Method is missing"
		}
	case Envoy:
		target, ok := strings.CutPrefix(r.RequestURI, EnvoyPath)
		if !ok {
			return o, "the path does not begin with the prefix"
		}
		o.method, o.target, o.host = r.Method, target, r.Host
	}
	if fault != "" {
		return o, fault
	}
	if !token(o.method) {
		return o, "the method is no method"
	}
	if o.target != "*" && (o.target[0] != '/' || !printable(o.target)) {
		return o, "the path is no path"
	}
	return o, ""
}

// token reports whether s can be a method.
func token(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= warder.MaxMethod
}

// printable reports whether s is free of control characters and valid UTF-8.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// text makes a text from outside fit for the event log.
func text(s string, n int) string { return clip(strings.ToValidUTF8(s, "\ufffd"), n) }

// answer puts a decision into the words of a kind of proxy.
func (f *Forward) answer(w http.ResponseWriter, r *http.Request, kind Kind, d *warder.Decision, o original) {
	h := w.Header()
	h["Cache-Control"] = noStore
	h[hReason] = []string{string(d.Reason)}
	switch d.Action {
	case warder.Allow, warder.MFA:
		// An application that can ask for a second factor reads it from the
		// header; to stop the request would stop that, too.
		h[hAction] = allowHeader
		if d.Action == warder.MFA {
			h[hAction] = []string{"mfa"}
		}
		h["Content-Length"] = zeroLength
		w.WriteHeader(http.StatusOK)
	case warder.Challenge:
		f.challenge(w, r, kind, d, o)
	default:
		h[hAction] = blockHeader
		if d.Reference != "" {
			h[hReference] = []string{d.Reference}
		}
		f.opts.Denied.Write(w, r, d)
	}
}

// challenge sends a browser to the page with the challenge; anybody else
// learns that there is one.
func (f *Forward) challenge(w http.ResponseWriter, r *http.Request, kind Kind, d *warder.Decision, o original) {
	h := w.Header()
	h[hAction] = []string{"challenge"}
	status, link := http.StatusUnauthorized, ""
	if d.ChallengeURL != nil {
		link = *d.ChallengeURL
	}
	if f.opts.Pages != nil {
		if at := f.opts.Pages.at(o.host, ticket{Return: o.cameFrom(r), Posted: !safe(o.method)}); at != "" {
			link = at
		}
	}
	if link != "" && (WantsPage(r.Header) || kind == Nginx) {
		h.Set("Location", link)
		switch {
		case kind == Nginx:
		case o.method == http.MethodGet || o.method == http.MethodHead:
			status = http.StatusFound
		default:
			status = http.StatusSeeOther
		}
	}
	writeChallenge(w, r, status, link)
}

// cameFrom is where the visitor should go on after a challenge: the page that
// was asked for, or the one that a form was sent from.
func (o *original) cameFrom(r *http.Request) string {
	target := o.target
	if !safe(o.method) {
		target = ""
		if u, err := url.Parse(r.Header.Get("Referer")); err == nil && strings.EqualFold(u.Host, o.host) {
			target = u.RequestURI()
		}
	}
	if !localPath(target) {
		return "/"
	}
	return target
}

// clearanceOf is the clearance that a visitor's cookie holds.
func clearanceOf(h http.Header) (clearance string) {
	if len(h["Cookie"]) == 0 {
		return ""
	}
	cookies(h, func(name, value string) bool {
		if name == ClearanceCookie && len(value) <= maxClearance {
			clearance = value
		}
		return clearance == ""
	})
	return clearance
}

// refuse answers a question that cannot be answered otherwise.
func (f *Forward) refuse(w http.ResponseWriter, r *http.Request, reason string) {
	h := w.Header()
	h[hAction] = blockHeader
	h[hReason] = []string{reason}
	writeProblem(w, r, http.StatusForbidden, refusals[reason])
}

var refusals = map[string]string{
	"untrusted_proxy": "Forward auth is for trusted proxies, or with an API key of scope check.",
	"bad_request":     "The proxy does not say which request it asks about.",
	"unknown_client":  "The proxy does not say who the client is.",
	"error":           "Warder made a mistake; its log has more.",
}

func (f *Forward) tell(fault int, msg string, args ...any) {
	now := time.Now().Unix()
	last := f.told[fault].Load()
	if now-last < 60 || !f.told[fault].CompareAndSwap(last, now) {
		return
	}
	f.log.Warn(msg, args...) //nolint:sloglint // the callers' messages are constants
}
