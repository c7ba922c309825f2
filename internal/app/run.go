package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/policy"
)

// How long a shutdown may take: requests under way get graceTime to end by
// themselves, then their contexts end; after serverTime their connections are
// cut. The outcomes of sign-ins at the gate are waited for a little longer. After
// stopTime Run returns, whatever hangs.
const (
	graceTime  = 2 * time.Second
	serverTime = 5 * time.Second
	stopTime   = 15 * time.Second

	retainEvery = time.Hour
)

// Run serves until ctx ends, then finishes what is under way and commits what
// is queued. It returns an error only if a part gave up by itself.
func (a *App) Run(ctx context.Context) error {
	// The parts outlive ctx: the servers stop first, because their last
	// answers wait for the journal.
	back, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, gctx := errgroup.WithContext(back)
	run := func(what string, f func(context.Context) error) {
		g.Go(func() error {
			if err := f(gctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	run("engine", a.guard.Run)
	if err := a.policy.apply(gctx, a.guard); err != nil {
		stop()
		return errors.Join(err, g.Wait())
	}
	if !a.opts.Local {
		run("alerts", a.sender.Run)
		run("wake the alert sender", a.wakeSender)
		run("own thresholds", a.watchThresholds)
		run("conditions", a.noteConditions)
		run("providers", a.feeds.Run)
		run("retention", a.retain)
		run("sessions", a.sweepPeople)
		run("memory", tuneGC)
	}
	apiCtx, stopAPI := context.WithCancel(gctx)
	defer stopAPI()
	run("API", func(context.Context) error { return a.api.Run(apiCtx) })

	requests, cutRequests := context.WithCancel(back)
	defer cutRequests()
	servers, err := a.serve(requests, g)
	if err != nil {
		stop()
		return errors.Join(err, g.Wait())
	}
	if !a.opts.Local {
		run("certificates", a.watchCertificates)
	}
	a.ready.Store(true)

	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-gctx.Done(): // a part gave up
		}
		a.ready.Store(false)
		stopAPI() // ends event streams
		err := shutdown(servers, cutRequests)
		cutRequests() // WebSockets, which no server knows of
		a.drainGate()
		stop()
		return err
	})
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-done:
		return err
	case <-back.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(stopTime):
		return errors.New("shutdown takes too long, leaving without waiting")
	}
}

// serve starts a server on each listener. Requests end with the context
// requests at the latest.
func (a *App) serve(requests context.Context, g *errgroup.Group) ([]*http.Server, error) {
	var servers []*http.Server
	start := func(l net.Listener, h http.Handler) {
		srv := a.api.HTTPServer(h)
		srv.ReadHeaderTimeout = 5 * time.Second
		srv.ReadTimeout = 15 * time.Second // long polls, streams and exports lift it
		srv.IdleTimeout = 60 * time.Second
		srv.MaxHeaderBytes = 16 << 10
		srv.BaseContext = func(net.Listener) context.Context { return requests }
		servers = append(servers, srv)
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	if a.local != nil {
		start(a.local, a.localHandler())
		return servers, nil
	}
	tcp := a.tcp
	var secure *tls.Config
	if cert := a.opts.Config.TLS; cert.Cert != "" {
		load, err := a.certificate(cert.Cert, cert.Key)
		if err != nil {
			return nil, err
		}
		secure = load.config()
		tcp = tls.NewListener(tcp, secure)
	}
	start(tcp, a.api.Handler())
	start(a.socket, a.localHandler())
	servers = append(servers, a.servePages(requests, g, secure)...)
	return append(servers, a.serveGate(requests, g)...), nil
}

// shutdown lets the requests under way end, for as long as it may take.
func shutdown(servers []*http.Server, cutRequests func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), serverTime)
	defer cancel()
	patience := time.AfterFunc(graceTime, cutRequests)
	defer patience.Stop()
	var g errgroup.Group
	for _, srv := range servers {
		g.Go(func() error {
			if err := srv.Shutdown(ctx); err != nil {
				return srv.Close()
			}
			return nil
		})
	}
	return g.Wait()
}

// wakeSender tells the alert sender of alerts as soon as they are committed.
func (a *App) wakeSender(ctx context.Context) error {
	records, cancel := a.guard.Subscribe()
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case rec, ok := <-records:
			if !ok {
				return nil
			}
			if len(rec.Alerts) > 0 {
				a.sender.Notify()
			}
		}
	}
}

// retain deletes what is older or larger than the settings allow.
func (a *App) retain(ctx context.Context) error {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		kept, err := a.db.Retain(ctx, time.Now(), a.live.retention())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.log.WarnContext(ctx, "old rows are not deleted", "error", err)
		} else if kept.Events+kept.Other > 0 {
			a.log.InfoContext(ctx, "old rows deleted", "events", kept.Events, "other", kept.Other)
		}
		a.guard.Degrade("retention_failing", "Old events cannot be deleted: see the log.", err != nil)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// policyFile is the policy that the configuration rules, if it does.
type policyFile struct {
	path string
	doc  *policy.Document // nil: the database is the truth
}

// readPolicyFile reads and checks the file, its own tests included.
func readPolicyFile(path string) (*policyFile, error) {
	if path == "" {
		return &policyFile{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read policy_file: %w", err)
	}
	doc, err := CheckPolicy(text)
	if err != nil {
		return nil, fmt.Errorf("policy_file %s: %w", path, err)
	}
	return &policyFile{path: path, doc: doc}, nil
}

// CheckPolicy parses a policy and runs its tests. The error is warder.Faults
// where the text is to blame.
func CheckPolicy(text []byte) (*policy.Document, error) {
	doc, err := policy.Parse(text)
	if err != nil {
		return nil, err
	}
	compiled, err := doc.Compile()
	if err != nil {
		return nil, err
	}
	if err := compiled.Test(); err != nil {
		return nil, err
	}
	return doc, nil
}

// apply puts the file in force, as a revision of its own if it says something
// new.
func (p *policyFile) apply(ctx context.Context, g *guard.Guard) error {
	if p.doc == nil {
		return nil
	}
	if now, _ := g.Policy(); now != nil && bytes.Equal(now.YAML(), p.doc.YAML()) {
		return nil
	}
	_, err := g.SetPolicy(ctx, guard.Actor{Name: "config"}, p.doc, "policy_file "+p.path, -1)
	if err != nil {
		return fmt.Errorf("put policy_file %s in force: %w", p.path, err)
	}
	return nil
}
