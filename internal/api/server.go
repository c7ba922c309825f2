package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/feed"
	"github.com/warderhq/warder/internal/gate"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
	"github.com/warderhq/warder/internal/web"
)

// Options are what the API is made of. Guard and Store are required.
type Options struct {
	Guard      *guard.Guard
	Store      *store.DB
	People     *operator.People
	Challenges Challenges // nil: POST /v1/challenge answers 404
	Providers  Providers  // nil: there are none
	Alerts     Alerts     // nil: POST /v1/alerts/test answers 404
	Logger     *slog.Logger
	Version    string
	// ClientAddr tells the address of the process that sent a request, past
	// trusted proxies; nil: the peer.
	ClientAddr func(*http.Request) netip.Addr
	// HTTPS tells whether a browser talks TLS to a trusted proxy before us; nil:
	// there is none.
	HTTPS func(*http.Request) bool
	// Client tells what is known of whoever sent a request, for the page of the
	// first set-up; nil: the peer.
	Client func(*http.Request) clientip.Client
	// URL is where this machine reaches the dashboard, for links that are not
	// asked for by a browser.
	URL string
	// MaxBody and MaxBatch bound request bodies in bytes; 0: 1 MiB and 8 MiB.
	MaxBody, MaxBatch int64
	// Ready says whether everything is loaded; nil: always.
	Ready func() bool
	// Dashboard is shown to browsers; nil: there is none.
	Dashboard *web.Pages
	// PolicyFile says that the policy is ruled by a file and read-only here.
	PolicyFile string
	// Settings are what can be set while Warder runs; nil: defaults that hold
	// nothing but for this instance's database.
	Settings *Settings
	// Secret (32 bytes or more) is what the keys of reports are derived from;
	// nil: a random one, for tests.
	Secret []byte
}

// Challenges issue and spend challenge tokens.
type Challenges interface {
	// Issue poses a challenge to one source.
	Issue(ctx context.Context, ip netip.Addr, account, realm, purpose string) (Posed, error)
	// Verify spends a token, once. codes say in words why success is false.
	Verify(ctx context.Context, token string, ip netip.Addr, realm string) (success bool, codes []string, err error)
}

// Providers are the external threat feeds that are switched on.
type Providers interface {
	// Statuses returns the state of every provider.
	Statuses() []feed.Status
	// Refresh fetches a list now; guard.ErrNotFound for an unknown name.
	Refresh(ctx context.Context, name string) error
	// Approve puts a list in force that was held back because it changed too
	// much; guard.ErrConflict if nothing is held back.
	Approve(ctx context.Context, name string) error
}

// Alerts send test messages.
type Alerts interface {
	// SendTest sends a mail now and returns what the server said, also with an
	// error.
	SendTest(ctx context.Context, to string) (transcript string, err error)
	// SendLink mails an invitation or a way to a new password now; nil: the mail
	// server took it.
	SendLink(ctx context.Context, l alert.Link) error
	// Recipients are everybody who is told of alerts.
	Recipients(ctx context.Context) ([]string, error)
}

// Default limits of request bodies, in bytes.
const (
	DefaultMaxBody  = 1 << 20
	DefaultMaxBatch = 8 << 20
)

// engine is what the hot calls need of *guard.Guard.
type engine interface {
	Check(app *guard.App, q *guard.Query) warder.Decision
	Report(ctx context.Context, app *guard.App, events []guard.Incoming) []guard.Reported
	Begin(ctx context.Context, app *guard.App, q guard.Query, wait time.Duration, idempotency string) (guard.Attempt, error)
	Settle(ctx context.Context, app *guard.App, token string, s guard.Settlement) (guard.Reported, error)
	Bulk() (done func())
}

// Server is the HTTP surface of one instance.
type Server struct {
	opts    Options
	engine  engine
	log     *slog.Logger
	keys    keyring
	metrics *metrics
	router  *router
	huma    huma.API
	stream  *hub
	calls   underWay
	origin  *http.CrossOriginProtection

	settings *Settings
	cspLog   rate
	exports  exports
	forward  *gate.Forward // nil: none
	denied   gate.Denied
	guarded  func() []GuardedSite // nil: the gate has no sites
	outcomes outcomeLog
	proofs   proofs

	previewing chan struct{} // held by the preview under way
}

// New makes the API and loads the API keys.
func New(opts Options) (*Server, error) {
	if opts.Guard == nil || opts.Store == nil {
		return nil, errors.New("api: Guard and Store are required")
	}
	s, err := build(opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.loadKeys(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// build makes a Server that knows no keys yet.
func build(opts Options) (*Server, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MaxBody <= 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.MaxBatch <= 0 {
		opts.MaxBatch = DefaultMaxBatch
	}
	s := &Server{
		opts:   opts,
		engine: opts.Guard,
		log:    opts.Logger,
		stream: newHub(),
		origin: http.NewCrossOriginProtection(),

		previewing: make(chan struct{}, 1),
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s)
	s.router = newRouter(s)
	s.hotRoutes()
	s.plainRoutes()
	s.authzRoutes()
	return s, s.manage()
}

// prepare fills in what tests leave out: settings and a secret.
func (s *Server) prepare() error {
	if len(s.opts.Secret) == 0 {
		s.opts.Secret = make([]byte, 32)
		_, _ = rand.Read(s.opts.Secret) // never fails
	}
	if s.settings = s.opts.Settings; s.settings != nil {
		return nil
	}
	seal, err := newSeal(s.opts.Secret)
	if err != nil {
		return err
	}
	s.settings = &Settings{opts: SettingsOptions{
		Store: s.opts.Store, Base: DefaultValues(), Apply: func(Values) ([]string, error) { return nil, nil },
	}, seal: seal}
	s.settings.current.Store(&settled{values: DefaultValues()})
	return nil
}

// Run keeps the API keys fresh and feeds the event stream until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	records, cancel := s.opts.Guard.Subscribe()
	defer cancel()
	defer s.stream.close()
	tick := time.NewTicker(keyRefresh)
	defer tick.Stop()
	failing := false
	touched := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case rec, ok := <-records:
			if !ok {
				records = nil
				continue
			}
			s.metrics.record(rec)
			s.outcomes.record(rec)
			s.stream.publish(rec)
		case <-tick.C:
			short, stop := context.WithTimeout(ctx, keyRefresh)
			err := s.loadKeys(short)
			stop()
			if err != nil && !failing && ctx.Err() == nil {
				s.log.WarnContext(ctx, "API keys are not refreshed, those in memory stay in force", "error", err)
			}
			failing = err != nil
			if !failing && time.Since(touched) >= touchEvery {
				touched = time.Now()
				if err := s.touch(ctx); err != nil && ctx.Err() == nil {
					s.log.DebugContext(ctx, "last use of API keys is not stored", "error", err)
				}
			}
		}
	}
}

// ReloadKeys puts changes of API keys in force at once, for those who make
// them beside the API.
func (s *Server) ReloadKeys(ctx context.Context) error { return s.loadKeys(ctx) }

// Handler serves the TCP listener.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// localContext marks requests that came through the socket.
type localContext struct{}

// SocketHandler serves the unix socket in the data directory, whose file mode
// is the lock on it. Callers have every scope; the audit trail names their
// user id, which ConnContext notes.
func (s *Server) SocketHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r.WithContext(context.WithValue(r.Context(), localContext{}, true)))
	})
}

// HTTPServer wraps a handler of this package in a server with the limits that
// keep slow and idle callers from piling up.
func (s *Server) HTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ConnContext:       ConnContext,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Values of headers, shared by all answers; nobody changes them.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	nosniff     = []string{"nosniff"}
	denyFrame   = []string{"DENY"}
	noReferrer  = []string{"no-referrer"}
	noStore     = []string{"no-store"}
	cspNone     = []string{"default-src 'none'; frame-ancestors 'none'"}
)

// serve is the outermost handler: headers that belong on every answer, and a
// net under the handlers.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.authz(w, r) {
		return
	}
	h := w.Header()
	h["X-Content-Type-Options"] = nosniff
	h["Content-Security-Policy"] = cspNone
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	h["X-Frame-Options"] = denyFrame
	defer s.rescue(w, r)
	if r.Header["Authorization"] == nil {
		// A browser sends no API key across sites by itself, all else is checked.
		if err := s.origin.Check(r); err != nil {
			s.writeProblem(w, r, newProblem(http.StatusForbidden, "Requests from other sites are refused."))
			return
		}
	}
	s.router.ServeHTTP(w, r)
}

// rescue turns a panic into a 500: one broken request must not end the others.
func (s *Server) rescue(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.metrics.panics.Inc()
	s.log.ErrorContext(r.Context(), "panic in a handler", "method", r.Method, "route", r.Pattern,
		"panic", fmt.Sprint(v), "stack", string(bytes.TrimSpace(debug.Stack())))
	s.writeProblem(w, r, newProblem(http.StatusInternalServerError, "Warder made a mistake; its log has more."))
}

// plainRoutes registers what needs no API key.
func (s *Server) plainRoutes() {
	s.router.handle("GET /{$}", s.page(welcome))
	s.router.handle("GET /references/{ref}", s.page(lifting))
	s.router.handle("GET /healthz", func(w http.ResponseWriter, _ *http.Request, _ *caller) {
		w.Header()["Content-Type"] = jsonType
		_, _ = w.Write([]byte(`{"up":true}` + "\n"))
	})
	s.router.handle("GET /readyz", s.readyz)
	s.router.handle("GET /metrics", s.metrics.serve)
}
