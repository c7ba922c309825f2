package gate

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/guard"
)

// Engine is what a site needs of *guard.Guard.
type Engine interface {
	Checker
	Begin(ctx context.Context, app *guard.App, q guard.Query, wait time.Duration, idempotency string) (guard.Attempt, error)
	Settle(ctx context.Context, app *guard.App, token string, s guard.Settlement) (guard.Reported, error)
	Report(ctx context.Context, app *guard.App, events []guard.Incoming) []guard.Reported
	TakeClearance(q *guard.Query) bool
	SessionAccount(session string) string // who opened it; empty: not known
	Subscribe() (records <-chan *guard.Record, cancel func())
}

// SiteOptions are what a Site is made of. Name, Upstream, Profile, Proxies,
// Engine and Secret are required.
type SiteOptions struct {
	Name     string
	Upstream *url.URL // of the application; http or https
	Profile  *Profile
	Proxies  Clients
	Engine   Engine
	Secret   []byte   // 32 bytes or more; keys the hashes of cookies and passwords
	Sessions []string // names of session cookies besides the profile's
	Origins  []string // other origins that may send sign-ins, such as https://www.example.org
	// Where a sign-in leads to, as patterns of a path with its query: a redirect
	// to one of Failed is a failure, and one to none of Succeeded, if there are
	// any, as well.
	Succeeded, Failed []string
	// FailOpen lets sign-ins through unguarded when the engine cannot take them;
	// otherwise they are refused with 503.
	FailOpen bool
	// Timeout is how long the application may take to answer; default 60 s, for
	// sign-ins 25 s at most, since attempts do not live longer.
	Timeout   time.Duration
	Untrusted func(netip.Addr) // told of peers that look like a proxy nobody trusts; may be nil
	Denied    Denied
	Pages     *Pages // nil: no challenges are posed
	Logger    *slog.Logger
}

const (
	defaultTimeout = 60 * time.Second
	attemptTimeout = 25 * time.Second    // an attempt lives 30 s
	attemptWait    = 10 * time.Second    // for a free slot
	sessionLife    = 30 * 24 * time.Hour // that what is known of one is kept
	reserved       = "/.warder/"         // paths of the gate itself
)

// Site is one application behind the gate: a reverse proxy that refuses who is
// refused, on every path; reserves before a sign-in reaches the application;
// reads the outcome from the response; and ends sessions, also those of open
// streams and WebSockets.
type Site struct {
	name     string
	opts     SiteOptions
	profile  *Profile
	sessions []string
	keys     keys
	engine   Engine
	app      *guard.App
	log      *slog.Logger
	proxy    *httputil.ReverseProxy
	live     *live
	forms    forms             // memory that large ones take
	people   *memory[person]   // by session, of sign-ins seen
	renamed  atomic.Bool       // there was a session of several names
	left     *memory[struct{}] // sessions that were signed out, which the application may not have noticed
	halves   *halves
	proved   *memory[struct{}] // Basic credentials that were right a moment ago
	asks     *memory[struct{}] // places that asked for Basic credentials
	seldom   *memory[struct{}] // addresses that an event of no count was written of
	usage    *usage
	figures  figures
	told     struct{ upstream, client, begin, outcome, event, sealed saying }
}

// figures count what happens at a site.
type figures struct {
	requests, refused, attempts, success, failure, errors atomic.Int64
	lastOutcome                                           atomic.Int64 // Unix seconds
	unanswered                                            atomic.Int64 // Unix seconds of the last request without an answer; 0: one was answered since
	matches                                               [len(endpointKinds)]atomic.Int64
}

// SiteStats are the figures of a site since its start.
type SiteStats struct {
	Name     string    `json:"name"`
	Requests int64     `json:"requests"`
	Refused  int64     `json:"refused"`
	Attempts int64     `json:"attempts"` // sign-ins that reached the application
	Success  int64     `json:"success"`
	Failure  int64     `json:"failure"`
	Errors   int64     `json:"errors"` // attempts without an outcome
	Outcome  time.Time `json:"last_outcome,omitzero"`
	Open     int       `json:"open"` // requests, streams and WebSockets under way
	// Unanswered is when the application did not answer; zero if it answered the
	// last request.
	Unanswered time.Time `json:"unanswered,omitzero"`
	// Matches are the requests that the profile recognised, by kind of endpoint;
	// kinds that the profile does not have are not in it.
	Matches map[EndpointKind]int64 `json:"matches"`
}

// Stats returns the figures of now.
func (s *Site) Stats() SiteStats {
	f := &s.figures
	out := SiteStats{
		Name: s.name, Requests: f.requests.Load(), Refused: f.refused.Load(), Attempts: f.attempts.Load(),
		Success: f.success.Load(), Failure: f.failure.Load(), Errors: f.errors.Load(),
	}
	if at := f.lastOutcome.Load(); at > 0 {
		out.Outcome = time.Unix(at, 0).UTC()
	}
	if at := f.unanswered.Load(); at > 0 {
		out.Unanswered = time.Unix(at, 0).UTC()
	}
	out.Matches = make(map[EndpointKind]int64, len(endpointKinds))
	for i := range s.profile.Endpoints {
		e := &s.profile.Endpoints[i]
		out.Matches[e.Kind] = f.matches[e.ordinal].Load()
	}
	out.Open = s.live.count()
	return out
}

// NewSite makes a Site. Run must run while it serves.
func NewSite(o SiteOptions) (*Site, error) {
	switch {
	case o.Name == "" || o.Profile == nil || o.Proxies == nil || o.Engine == nil:
		return nil, errors.New("gate: Name, Profile, Proxies and Engine are required")
	case o.Upstream == nil || o.Upstream.Scheme != "http" && o.Upstream.Scheme != "https" || o.Upstream.Host == "":
		return nil, fmt.Errorf("gate: Upstream of site %s must be an http or https URL", o.Name)
	case len(o.Secret) < 32:
		return nil, errors.New("gate: Secret must have 32 bytes or more")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Profile = o.Profile.leading(o.Succeeded, o.Failed)
	s := &Site{
		name: o.Name, opts: o, profile: o.Profile, sessions: slices.Concat(o.Profile.Sessions, o.Sessions), keys: newKeys(o.Secret),
		engine: o.Engine, app: application(&o), log: o.Logger.With("site", o.Name),
		live: newLive(), halves: newHalves(), people: newMemory[person](64<<10, sessionLife), proved: newMemory[struct{}](16<<10, 5*time.Minute),
		left: newMemory[struct{}](64<<10, sessionLife),
		asks: newMemory[struct{}](16<<10, 24*time.Hour), usage: newUsage(o.Profile), seldom: newMemory[struct{}](16<<10, time.Minute),
	}
	s.proxy = &httputil.ReverseProxy{
		Rewrite:        s.rewrite,
		ModifyResponse: s.respond,
		ErrorHandler:   s.broken,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConns:           1024,
			MaxIdleConnsPerHost:    1024,
			IdleConnTimeout:        90 * time.Second,
			ResponseHeaderTimeout:  o.Timeout,
			ExpectContinueTimeout:  time.Second,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 256 << 10,
		},
		BufferPool: &buffers{},
		ErrorLog:   slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// application is the site as the engine knows it. What it can do is what its
// pages can do: it poses challenges, and leaves a second factor to an application
// whose own one the profile names. Where there is none, a challenge is the
// strongest that can be asked for (SEMANTICS 30).
func application(o *SiteOptions) *guard.App {
	return &guard.App{ID: "gate:" + o.Name, Name: "gate " + o.Name, CanChallenge: o.Pages != nil, CanMFA: o.Profile.canAskMFA(), StepsDown: true}
}

// buffers lends the memory that bodies are copied through.
type buffers struct{ pool sync.Pool }

type buffer [32 << 10]byte

func (b *buffers) Get() []byte {
	p, ok := b.pool.Get().(*buffer)
	if !ok {
		p = new(buffer)
	}
	return p[:]
}

func (b *buffers) Put(p []byte) { b.pool.Put((*buffer)(p)) }

// exchange is one request and its answer, from the first look to the last byte.
// It is the context of the request to the application, too, so that whoever has
// the one finds the other.
type exchange struct {
	context.Context //nolint:containedctx // it is one

	query    guard.Query
	key      netip.Prefix
	visitor  visitor
	endpoint *Endpoint
	cancel   context.CancelFunc // set under the lock of live
	secure   bool               // the visitor came by TLS
	proxied  bool               // through a proxy that is trusted
	ended    []string           // names of the cookies of sessions that have ended
	crossing bool               // another site sent the visitor
	// signedOut says that the session was kept from the application, since its
	// second factor is missing.
	signedOut bool
	begun     time.Time
	bodied    bool        // there is a body, over HTTP/1
	cut       atomic.Bool // the client's body is broken or has not arrived
	informed  int         // informational responses
	form      int64       // taken from the site's memory for forms
	said      [2]string   // to the application: who the client is, for which host it asks

	attempted bool // what follows is for attempts only
	claims    credentials
	token     string
	settled   bool
	abandon   atomic.Pointer[func()] // ends the wait for the outcome
	decided   func()                 // to be called when the outcome has been read
	proof     string                 // of Basic credentials
	place     string                 // that they are for
}

// sessionsOrNone are the sessions of the exchange, or one empty session.
func (x *exchange) sessionsOrNone() []string {
	if len(x.visitor.sessions) == 0 {
		return noSessions
	}
	return x.visitor.sessions
}

var noSessions = []string{""}

type exchangeContext struct{}

// Value finds the exchange itself.
func (x *exchange) Value(key any) any {
	if key == (exchangeContext{}) {
		return x
	}
	return x.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeContext{}).(*exchange)
	return x
}

// ServeHTTP lets a request through to the application, or refuses it.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.figures.requests.Add(1)
	begun := time.Now()
	if r.ProtoMajor == 1 {
		keepAll(r.Header)
		rc := http.NewResponseController(w)
		// Left over from the request before on this connection.
		_ = rc.SetWriteDeadline(begun.Add(stall))
		if r.ContentLength != 0 {
			// Whoever is refused is refused at once, not when all of the body has
			// come, and the connection ends. pass and attempt undo that.
			_ = rc.SetReadDeadline(begun.Add(unread))
			w.Header()["Connection"] = closing
		}
	}
	if r.Method == http.MethodConnect || r.URL.Path == "" || r.URL.Path[0] != '/' {
		// What follows on this connection could be read in another way.
		w.Header()["Connection"] = closing
		writeProblem(w, r, http.StatusBadRequest, "The gate knows no such request.")
		return
	}
	client := s.opts.Proxies.Client(r.RemoteAddr, r.Header)
	if client.UntrustedForwarder && client.Peer.IsValid() && s.opts.Untrusted != nil {
		s.opts.Untrusted(client.Peer)
	}
	x := &exchange{
		begun:   begun,
		proxied: client.Kind != clientip.Socket,
		secure:  r.TLS != nil || client.Kind != clientip.Socket && r.Header.Get("X-Forwarded-Proto") == "https",
		query: guard.Query{
			IP: client.Addr, UserAgent: text(r.Header.Get("User-Agent"), warder.MaxUserAgent),
			Method: text(r.Method, warder.MaxMethod), Path: text(r.URL.EscapedPath(), warder.MaxPath),
		},
		crossing: crossSite(r, s.opts.Origins, client.Kind != clientip.Socket),
	}
	if s.visitor(&x.visitor, r.Header); len(x.visitor.left) > 0 {
		s.dropSessions(r.Header, x.visitor.left)
	}
	x.query.Device, x.query.Clearance = x.visitor.device, x.visitor.clearance
	if client.Addr.IsValid() && client.Kind != clientip.Internal {
		x.key = warder.AddressKey(client.Addr)
	}
	if !s.admit(w, r, x) {
		return
	}
	if strings.HasPrefix(r.URL.Path, reserved) {
		s.own(w, r, x)
		return
	}
	endpoint, odd := s.profile.find(r.URL.EscapedPath())
	x.endpoint = endpoint
	switch {
	case odd || s.opts.Upstream.Path != "" && climbs(r.URL.EscapedPath()):
		writeProblem(w, r, http.StatusBadRequest, "This path can be read in more than one way.")
		return
	case endpoint != nil && !client.Addr.IsValid():
		s.warn(r.Context(), &s.told.client, "a proxy does not say who the client is, protected paths are refused", "peer", r.RemoteAddr)
		writeProblem(w, r, http.StatusForbidden, refusals["unknown_client"])
		return
	}
	if !s.live.add(x) {
		w.Header()["Retry-After"] = one
		writeProblem(w, r, http.StatusServiceUnavailable, "Too many requests are under way.")
		return
	}
	defer s.live.remove(x)
	defer s.forms.give(x)
	if endpoint != nil && endpoint.asksFields() && !s.claim(w, r, x) {
		return
	}
	if !s.beside(w, r, x) {
		return
	}
	if x.endpoint != nil {
		s.figures.matches[x.endpoint.ordinal].Add(1)
	}
	if s.held(w, r, x) {
		return
	}
	switch {
	case x.endpoint == nil || x.endpoint.Kind == AdminArea || x.endpoint.Kind == SignOut || x.endpoint.Kind == Open:
		s.pass(w, r, x)
	case x.endpoint.Kind == ResetRequest:
		s.request(w, r, x)
	default:
		s.attempt(w, r, x)
	}
}

// admit refuses who is refused; sessions that have ended are taken from the
// request instead, so that the visitor is signed out.
func (s *Site) admit(w http.ResponseWriter, r *http.Request, x *exchange) bool {
	kept := ""
	for i, session := range x.sessionsOrNone() {
		q := x.query
		q.Session = session
		d := s.engine.Check(s.app, &q)
		switch {
		case d.Action != warder.BlockAction:
			if kept == "" {
				kept = session
			}
		case d.Reason == warder.SessionRevoked:
			x.ended = append(x.ended, x.visitor.names[i])
		default:
			s.refuse(w, r, &d)
			return false
		}
	}
	if x.visitor.many || len(x.ended) > 0 {
		// Which of several cookies the application takes cannot be known, so it
		// gets none of them.
		s.dropAllSessions(r.Header)
		x.visitor.sessions, kept = nil, ""
		if len(x.ended) > 0 {
			s.expire(w.Header(), x.ended, x.secure)
			// The address itself may be refused as well.
			if d := s.engine.Check(s.app, &x.query); d.Action == warder.BlockAction {
				s.refuse(w, r, &d)
				return false
			}
		}
	}
	x.query.Session = kept
	return true
}

func (s *Site) refuse(w http.ResponseWriter, r *http.Request, d *warder.Decision) {
	s.figures.refused.Add(1)
	s.opts.Denied.Write(w, r, d)
}

// pass forwards a request that reserves nothing. It ends when its client hangs
// up, and when what it rests on ends.
func (s *Site) pass(w http.ResponseWriter, r *http.Request, x *exchange) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	x.Context = ctx
	s.live.passing(x, cancel)
	r = r.WithContext(x)
	s.body(w, r, x)
	s.proxy.ServeHTTP(newAnswer(w, r, x), r)
}

// body prepares the body of a request for its way to the application.
func (s *Site) body(w http.ResponseWriter, r *http.Request, x *exchange) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	if x.bodied = r.ProtoMajor == 1; x.bodied {
		delete(w.Header(), "Connection")
	}
	r.Body = &patient{readCloser: r.Body, rc: *http.NewResponseController(w), x: x}
}

// rewrite makes the request to the application: who the client is, is said by
// nobody but the gate.
func (s *Site) rewrite(pr *httputil.ProxyRequest) {
	x := exchangeOf(pr.In.Context())
	pr.SetURL(s.opts.Upstream)
	if s.opts.Upstream.RawQuery == "" {
		pr.Out.URL.RawQuery = pr.In.URL.RawQuery // nothing goes by it that does not read all of it
	}
	pr.Out.Host = pr.In.Host
	h := pr.Out.Header
	cleanse(h)
	delete(h, "Http2-Settings")
	if up := h["Upgrade"]; len(up) > 0 && (len(up) > 1 || !strings.EqualFold(up[0], "websocket")) {
		// Whatever else a connection could become, such as HTTP/2, would carry
		// requests past the gate.
		delete(h, "Upgrade")
		delete(h, "Connection")
	}
	if x.visitor.marked {
		dropCookies(h, func(name, _ string) bool { return name == DeviceCookie || name == ClearanceCookie })
	}
	if x.query.IP.IsValid() {
		x.said[0] = x.query.IP.String()
		ip := x.said[0:1:1]
		h["X-Forwarded-For"], h["X-Real-Ip"] = ip, ip
	}
	x.said[1] = pr.In.Host
	h["X-Forwarded-Host"] = x.said[1:2:2]
	h["X-Forwarded-Proto"] = httpScheme
	if x.secure {
		h["X-Forwarded-Proto"] = httpsScheme
	}
	if x.attempted {
		// The outcome is read from the response: all of it, and as a text.
		for _, name := range [...]string{"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "Upgrade", "Connection"} {
			delete(h, name)
		}
		if x.endpoint.bodies {
			h["Accept-Encoding"] = identity
		}
		if len(h["Referer"]) > 0 || x.endpoint.Kind != Basic {
			// Some applications answer a wrong password with a redirect to where
			// the client claims to come from, or, if it does not say so, to the
			// page that it saw last, which must not look like success.
			here := url.URL{Scheme: h["X-Forwarded-Proto"][0], Host: pr.In.Host, Path: pr.In.URL.Path}
			h["Referer"] = []string{here.String()}
		}
	}
}

var (
	httpScheme  = []string{"http"}
	httpsScheme = []string{"https"}
	identity    = []string{"identity"}
	closing     = []string{"close"}
)

// broken answers for an application that does not.
func (s *Site) broken(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	if x != nil && x.token != "" {
		s.settle(r.Context(), x, guard.Settlement{Outcome: warder.OutcomeError})
	}
	if refusal, ok := errors.AsType[*refusedError](err); ok {
		s.refuse(w, r, &refusal.decision)
		return
	}
	if errors.Is(err, errScreened) {
		writeProblem(w, r, errScreened.status, errScreened.detail)
		return
	}
	if r.Context().Err() != nil && (x == nil || !x.attempted) {
		panic(http.ErrAbortHandler) // the client is gone, or the exchange was ended
	}
	if x != nil && x.bodied {
		w.Header()["Connection"] = closing // some of it may not have been read
	}
	if x != nil && x.cut.Load() {
		writeProblem(w, r, http.StatusBadRequest, "The body did not arrive.")
		return
	}
	s.figures.unanswered.Store(time.Now().Unix())
	s.warn(r.Context(), &s.told.upstream, "the application does not answer", "error", err)
	status := http.StatusBadGateway
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() || errors.Is(context.Cause(r.Context()), context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	writeProblem(w, r, status, "The application does not answer.")
}

// saying is a line of the log that strangers can cause: once in ten seconds.
type saying struct{ last, left atomic.Int64 }

const sayEvery = 10 // seconds

// warn writes such a line, with how many were left out since the one before.
func (s *Site) warn(ctx context.Context, what *saying, msg string, args ...any) {
	now := time.Now().Unix()
	last := what.last.Load()
	if now-last < sayEvery || !what.last.CompareAndSwap(last, now) {
		what.left.Add(1)
		return
	}
	if n := what.left.Swap(0); n > 0 {
		args = append(args, "left_out", n)
	}
	s.log.WarnContext(ctx, msg, args...) //nolint:sloglint // the callers' messages are constants
}

// refusedError replaces the response of the application by a refusal.
type refusedError struct{ decision warder.Decision }

func (e *refusedError) Error() string { return "refused" }

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// stall is how long a client may neither send nor take anything.
const stall = 60 * time.Second

// unread is how long the server waits for the rest of a body that nobody wants.
const unread = 10 * time.Second

// Server returns a server for the site with the limits that keep slow and idle
// clients from piling up.
func (s *Site) Server() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 128,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     stall,
		},
	}
}

// patient is a request's body whose sender may take its time, but not stop.
type patient struct {
	rc   http.ResponseController
	x    *exchange
	last time.Time
	readCloser
}

type readCloser = interface {
	Read(p []byte) (int, error)
	Close() error
}

func (b *patient) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.last) > time.Second {
		b.last = now
		_ = b.rc.SetReadDeadline(now.Add(stall))
	}
	n, err := b.readCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		_ = b.rc.SetReadDeadline(time.Time{}) // a deadline that passes would end the answer
	default:
		b.x.cut.Store(true)
	}
	return n, err
}

func (b *patient) Close() error { return b.readCloser.Close() }

// answer is the way back to a client that may take its time, but not stop: on
// HTTP/1. On HTTP/2 the server watches that instead, there a deadline would also
// end a stream that has nothing to say.
type answer struct {
	http.ResponseWriter
	rc    http.ResponseController
	x     *exchange
	last  time.Time // when the deadline was set
	timed bool
}

func newAnswer(w http.ResponseWriter, r *http.Request, x *exchange) *answer {
	return &answer{ResponseWriter: w, rc: *http.NewResponseController(w), x: x, last: x.begun, timed: r.ProtoMajor == 1}
}

// maxInformed is how many informational responses (1xx) of one exchange reach
// the client.
const maxInformed = 8

// WriteHeader lets informational responses pass, but not before the outcome of
// an attempt is known, and not without end. That the application wants the body
// (100), the server tells by itself.
func (w *answer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		if w.x.informed++; w.x.attempted || status == http.StatusContinue || w.x.informed > maxInformed {
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answer) Write(p []byte) (int, error) {
	if w.timed {
		if now := time.Now(); now.Sub(w.last) > time.Second {
			w.last = now
			_ = w.rc.SetWriteDeadline(now.Add(stall))
		}
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets a response be flushed and a connection be taken over.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
