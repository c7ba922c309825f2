package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/gate"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/outbound"
	"github.com/warderhq/warder/internal/policy"
	"github.com/warderhq/warder/internal/store"
	"github.com/warderhq/warder/internal/web"
)

// Bounds of the tables that strangers can fill, besides the counters, whose
// bound is configured.
const (
	knownBytes   = 64 << 20
	sessionBytes = 64 << 20
	parallelKDF  = 2 // password hashes at a time, 32 MiB each
)

// Options are what an instance is made of.
type Options struct {
	Config  *config.Config
	Logger  *slog.Logger
	Version string
	// Local makes an instance for the commands of one process: it binds
	// nothing, fetches nothing and mails nothing by itself, and is reached by
	// Dial only.
	Local bool
}

// App is one instance.
type App struct {
	opts   Options
	log    *slog.Logger
	dir    *dataDir
	db     *store.DB
	guard  *guard.Guard
	feeds  *feeds
	sender *alert.Sender
	api    *api.Server
	policy *policyFile
	people *operator.People
	live   live

	tcp    net.Listener // nil: Local
	socket net.Listener
	local  *pairs // nil: not Local
	sites  []*site
	certs  certificates
	public *limited // of the pages for end users; nil: none
	pages  *gate.Pages

	// SetupToken makes the first owner, once, within 24 hours; empty if there is
	// an owner.
	SetupToken string
	// FirstKey is the API key made at the first start, to be shown once;
	// empty otherwise.
	FirstKey string

	ready  atomic.Bool
	closer closer
}

// New opens everything that an instance needs, in the order in which the parts
// depend on each other, and loads what decisions need. What can be wrong comes
// as one error that names the remedy. Close gives everything back.
func New(ctx context.Context, opts Options) (_ *App, err error) {
	a := &App{opts: opts, log: opts.Logger}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	cfg := opts.Config

	if a.dir, err = openData(cfg.Data); err != nil {
		return nil, err
	}
	a.closer.add("data directory", a.dir.Close)
	if err := a.dir.whole(); err != nil {
		return nil, err
	}
	if err := a.dir.sweep(); err != nil {
		a.log.WarnContext(ctx, "leftovers of a backup cannot be removed", "error", err)
	}
	if err := a.bind(cfg); err != nil {
		return nil, err
	}
	if a.policy, err = readPolicyFile(cfg.PolicyFile); err != nil {
		return nil, err
	}

	secrets, err := a.dir.secrets()
	if err != nil {
		return nil, err
	}
	if secrets.replaced {
		a.tellReplaced(ctx)
	}
	a.db, err = store.Open(ctx, store.Options{
		Path:     a.dir.file(DatabaseFile),
		AuditKey: secrets.audit,
		Logger:   a.log.With("part", "store"),
	})
	if err != nil {
		return nil, remedy(err, cfg.Data)
	}
	a.closer.add("database", a.db.Close)

	a.live.choices = make(chan struct{}, 1)
	base, readOnly := settingsOf(cfg)
	settings, err := api.NewSettings(ctx, api.SettingsOptions{
		Store: a.db, Secret: secrets.settings, Base: base, ReadOnly: readOnly, Apply: a.apply,
		Logger: a.log.With("part", "api"),
	})
	if err != nil {
		return nil, err
	}
	now := settings.Current()
	client, err := outbound.New(outbound.Options{
		AllowPrivate: cfg.Outbound.AllowPrivate,
		Deny:         proxiesOf(&now),
		SMTPHosts:    hosts(now.SMTP.Host),
		UserAgent:    "warder/" + opts.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("make the outbound client: %w", err)
	}

	preset, err := policy.Preset("classic")
	if err != nil {
		return nil, fmt.Errorf("read preset classic: %w", err)
	}
	if a.live.base, err = selfProtected(cfg); err != nil {
		return nil, err
	}
	a.live.outbound, a.live.publicURL = client, now.PublicURL
	a.feeds = newFeeds(client, a.dir.file(providerDir), a.log.With("part", "feed"))
	a.guard, err = guard.New(guard.Options{
		Journal:      a.db,
		Counters:     counter.New(counter.Options{Bytes: cfg.Limits.Counters, Secret: secrets.counters}),
		Logger:       a.log.With("part", "guard"),
		Secret:       secrets.tokens,
		Protected:    slices.Concat(a.live.base, proxiesOf(&now)),
		Preset:       preset,
		OnPolicy:     func(*policy.Policy) { a.feeds.notify() },
		ChallengeURL: a.challengeURL,
		KnownBytes:   knownBytes,
		SessionBytes: sessionBytes,
	})
	if err != nil {
		return nil, fmt.Errorf("make the engine: %w", err)
	}
	a.feeds.guard = a.guard
	if err := leanly(func() error { return a.guard.Load(ctx) }); err != nil {
		return nil, fmt.Errorf("load the engine: %w", err)
	}

	a.feeds.follow(ctx) // the last good lists are in force before anybody is let in
	a.people, err = operator.New(operator.Options{
		Store: a.db, Hasher: operator.NewHasher(operator.DefaultCost, parallelKDF), Secret: secrets.operators,
	})
	if err != nil {
		return nil, fmt.Errorf("make the operators: %w", err)
	}
	a.people.LimitSessions(time.Duration(now.Session.Idle)*time.Second, time.Duration(now.Session.Absolute)*time.Second)
	a.sender, err = alert.New(alert.Options{
		Outbox:       outbox{a.db},
		SMTP:         smtpOf(&now),
		OnDelivery:   a.deliver,
		Dial:         client.DialSMTP,
		Dir:          a.MailDir(),
		Recipients:   a.mailed(a.people),
		DashboardURL: a.URL(),
		OnHealth:     func(reason string, bad bool) { a.guard.Degrade(reason, mailRemedies[reason], bad) },
		Logger:       a.log.With("part", "alert"),
	})
	if err != nil {
		return nil, fmt.Errorf("make the alert sender: %w", err)
	}

	if a.FirstKey, err = a.firstKey(ctx); err != nil {
		return nil, err
	}
	if err := a.welcomePeople(ctx); err != nil {
		return nil, err
	}
	puzzles, err := a.newChallenges(cfg, secrets.tokens)
	if err != nil {
		return nil, fmt.Errorf("make the challenges: %w", err)
	}
	if a.pages, err = a.newPages(cfg, puzzles, secrets.pages); err != nil {
		return nil, fmt.Errorf("make the pages: %w", err)
	}
	pages, err := web.Built()
	if err != nil {
		return nil, err
	}
	if !pages.IsBuilt() {
		a.log.Info("the dashboard is not built into this program; make build does it")
	}
	a.api, err = api.New(api.Options{
		Guard:      a.guard,
		Store:      a.db,
		People:     a.people,
		Challenges: puzzles,
		Providers:  a.feeds,
		Alerts:     mailer{a.sender, a.live.choices},
		Settings:   settings,
		Secret:     secrets.reports,
		Logger:     a.log.With("part", "api"),
		Version:    opts.Version,
		ClientAddr: a.callers(),
		Client:     a.client,
		HTTPS:      overHTTPS(&a.live.proxies),
		URL:        a.DashboardURL(),
		MaxBody:    cfg.Limits.Body,
		MaxBatch:   cfg.Limits.Batch,
		Ready:      a.ready.Load,
		Dashboard:  pages,
		PolicyFile: cfg.PolicyFile,
	})
	if err != nil {
		return nil, fmt.Errorf("make the API: %w", err)
	}
	if err := a.openGate(cfg, a.api, secrets.gate); err != nil {
		return nil, err
	}
	return a, nil
}

// bind opens the listeners, before the long work of loading: a port that is
// taken should be told at once. Nothing is accepted before Run.
func (a *App) bind(cfg *config.Config) (err error) {
	if a.opts.Local {
		a.local = newPairs()
		a.closer.add("local listener", a.local.Close)
		return nil
	}
	if cfg.TLS.Cert != "" { // before anybody is told that it listens
		if _, err := a.certificate(cfg.TLS.Cert, cfg.TLS.Key); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	if a.tcp, err = listenTCP(cfg.Listen, "--listen"); err != nil {
		return err
	}
	a.closer.add("listener", ignoreClosed(a.tcp.Close))
	if cfg.PublicListen != "" {
		if a.public, err = listenTCP(cfg.PublicListen, "public_listen"); err != nil {
			return fmt.Errorf("public_listen: %w", err)
		}
		a.closer.add("listener of the pages", ignoreClosed(a.public.Close))
		a.share(a.public, a.log.With("part", "pages"))
	}
	if a.socket, err = listenSocket(a.dir); err != nil {
		return err
	}
	a.closer.add("socket", ignoreClosed(a.socket.Close))
	return nil
}

// Addr is the address that the API listens on; empty for a Local instance.
func (a *App) Addr() string {
	if a.tcp == nil {
		return ""
	}
	return a.tcp.Addr().String()
}

// URL is where this machine reaches the API; empty for a Local instance.
func (a *App) URL() string {
	if a.tcp == nil {
		return ""
	}
	scheme := "http"
	if a.opts.Config.TLS.Cert != "" {
		scheme = "https"
	}
	ap, err := netip.ParseAddrPort(a.Addr())
	if err != nil {
		return scheme + "://" + a.Addr()
	}
	if ap.Addr().IsUnspecified() {
		ap = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())
	}
	return scheme + "://" + ap.String()
}

// DashboardURL is where a browser on this machine opens the dashboard; empty
// for a Local instance.
func (a *App) DashboardURL() string {
	if a.tcp == nil {
		return ""
	}
	return dashboardURL(a.opts.Config, a.Addr())
}

// SetupURL is the link of the first set-up; empty if there is an owner. The
// token stands behind the #, which browsers send to nobody.
func (a *App) SetupURL() string {
	if a.SetupToken == "" {
		return ""
	}
	return a.DashboardURL() + "/setup#token=" + a.SetupToken
}

// MailDir is where mails are written without SMTP.
func (a *App) MailDir() string { return a.dir.file(mailDir) }

// Dial connects to a Local instance.
func (a *App) Dial(ctx context.Context) (net.Conn, error) {
	if a.local == nil {
		return DialSocket(ctx, a.dir.path)
	}
	return a.local.dial(ctx)
}

// Close gives back what New opened, in the opposite order. Run must have
// returned.
func (a *App) Close() error { return a.closer.Close() }

// closer is a stack of what is to be closed.
type closer struct {
	steps []step
}

type step struct {
	what  string
	close func() error
}

func (c *closer) add(what string, f func() error) { c.steps = append(c.steps, step{what, f}) }

func (c *closer) Close() error {
	var errs []error
	for _, s := range slices.Backward(c.steps) {
		if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", s.what, err))
		}
	}
	c.steps = nil
	return errors.Join(errs...)
}

// ignoreClosed is for listeners that their server has closed already.
func ignoreClosed(f func() error) func() error {
	return func() error {
		if err := f(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// remedy adds to an error of the database what can be done about it.
func remedy(err error, dir string) error {
	path := filepath.Join(dir, DatabaseFile)
	switch {
	case errors.Is(err, store.ErrNewer):
		return fmt.Errorf("%s was written by a newer Warder: install that version, or restore a backup made with this one (%w)", path, err)
	case errors.Is(err, store.ErrCorrupt):
		return fmt.Errorf("%s is damaged: restore a backup with warder restore (%w)", path, err)
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("%s is locked by another program: end that program, then start again (%w)", path, err)
	case errors.Is(err, store.ErrDiskFull):
		return fmt.Errorf("the disk of %s is full: make room, then start again (%w)", path, err)
	case errors.Is(err, store.ErrNotWritable):
		return fmt.Errorf("%s is not writable: make it and its directory writable for user %d (%w)", path, os.Getuid(), err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// selfProtected are the prefixes that no rule may block: loopback, the
// addresses of this machine, and what the configuration names. Its proxies are
// added apart: they may change.
func selfProtected(cfg *config.Config) ([]netip.Prefix, error) {
	var list []netip.Prefix
	if cfg.ProtectLoopback {
		list = append(list, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read the addresses of this machine: %w", err)
	}
	for _, addr := range own {
		p, err := netip.ParsePrefix(addr.String())
		if err != nil || p.Addr().IsLoopback() {
			continue
		}
		ip := p.Addr().Unmap().WithZone("")
		list = append(list, netip.PrefixFrom(ip, ip.BitLen()))
	}
	return append(list, cfg.NeverBlock...), nil
}

func hosts(host string) []string {
	if host == "" {
		return nil
	}
	return []string{host}
}

// firstKeyScopes are enough to report events, to ask for decisions and to look
// at what came of them.
var firstKeyScopes = []string{"events", "check", "sessions", "read"}

// firstKey makes an API key if none was ever made, so that a first start can
// be tried at once. Where logs are for machines nobody reads it, and it would
// only lie about in them.
func (a *App) firstKey(ctx context.Context) (string, error) {
	if a.opts.Local || a.opts.Config.Log.Format != "text" {
		return "", nil
	}
	keys, err := a.db.Keys(ctx)
	if err != nil || len(keys) > 0 {
		return "", err
	}
	key, err := api.CreateKey(ctx, a.db, guard.Actor{Name: "warder"}, api.NewKeyBody{Name: "first", Scopes: firstKeyScopes})
	if err != nil {
		return "", fmt.Errorf("make the first API key: %w", err)
	}
	return key.Token, nil
}
