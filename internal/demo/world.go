package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warderhq/warder"
)

// World is the whole demo but Warder: the platform, the front proxy, and those
// who use and attack it.
type World struct {
	o        Options
	platform *Platform
	upstream net.Listener
	front    *Front
	people   *population
}

// Options are what a World is made of.
type Options struct {
	Port int // of the front page, see FrontOptions
	Cost int // of the platform's password hashes, see PlatformOptions
	// Traffic makes people and attackers come; otherwise visitors are alone.
	Traffic bool
	Pace    time.Duration // of the traffic: the unit of its pauses; default 1 s
	Logger  *slog.Logger
}

// New makes the platform and binds the ports. Serve serves them; Close frees the
// ports of a World that was never served.
func New(o Options) (_ *World, err error) {
	if o.Pace <= 0 {
		o.Pace = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &World{o: o, people: newPopulation()}
	if w.platform, err = NewPlatform(PlatformOptions{Cost: o.Cost}); err != nil {
		return nil, err
	}
	w.front, err = NewFront(FrontOptions{Port: o.Port, Platform: w.platform, Accounts: w.people.visitors, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if w.upstream, err = Listen(0); err != nil {
		w.front.Close()
		return nil, err
	}
	return w, nil
}

// Populate makes the platform's accounts, which takes a second or two.
func (w *World) Populate() error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, a := range w.people.everybody() {
		g.Go(func() error { return w.platform.AddAccount(a.Realm, a.Name, a.Password) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("make the platform's accounts: %w", err)
	}
	return nil
}

// Platform is the sample application.
func (w *World) Platform() *Platform { return w.platform }

// Front is the proxy before the gate.
func (w *World) Front() *Front { return w.front }

// Accounts are those that visitors may use.
func (w *World) Accounts() []Login { return w.people.visitors }

// Upstream is the URL of the platform, for the gate.
func (w *World) Upstream() string { return "http://" + w.upstream.Addr().String() }

// History returns invented events of the last thirty days, oldest first, in
// the past by two hours or more.
func (w *World) History(now time.Time) []warder.Event {
	return w.people.history(now, uint64(now.Unix())) //nolint:gosec // only a seed
}

// Close frees the ports of a World that was never served.
func (w *World) Close() {
	w.front.Close()
	_ = w.upstream.Close()
}

// Serve serves the platform and the front proxy, and lets people and attackers
// come, until ctx ends.
func (w *World) Serve(ctx context.Context, b Behind) error {
	g, ctx := errgroup.WithContext(ctx)
	srv := &http.Server{
		Handler: w.platform.Handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(w.o.Logger.Handler(), slog.LevelDebug),
	}
	g.Go(func() error {
		if err := srv.Serve(w.upstream); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the platform: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	g.Go(func() error { return w.platform.Run(ctx) })
	g.Go(func() error { return w.front.Serve(ctx, b) })
	if w.o.Traffic {
		g.Go(func() error {
			transport := &http.Transport{MaxIdleConnsPerHost: 16}
			defer transport.CloseIdleConnections()
			t := &traffic{front: w.front, platform: w.platform, people: w.people, transport: transport, pace: w.o.Pace, log: w.o.Logger}
			return t.run(ctx)
		})
	}
	return g.Wait()
}
