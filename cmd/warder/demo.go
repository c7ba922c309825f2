package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/app"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/demo"
)

// demoOwner is who signs in to the dashboard of the demo.
const demoOwner = "owner@example.org"

// demoCmd is Warder with a sample platform behind its gate. It takes nothing of
// the configuration, so that it can touch nothing of a Warder that protects
// something.
type demoCmd struct {
	Port          int    `help:"Port of the front page; three more follow. 0: any that are free." default:"8080"`
	DashboardPort int    `help:"Port of the dashboard. 0: any that is free." default:"8420"`
	Traffic       bool   `help:"Let people and attackers come." default:"true" negatable:""`
	History       bool   `help:"Import an invented past of thirty days." default:"true" negatable:""`
	Speed         int    `help:"How many times faster than usual people and attackers act, 1 to 20." default:"1" placeholder:"N"`
	SMTP          string `help:"Mail server for the alerts, without TLS. Without one they are written to files." name:"smtp" placeholder:"HOST:PORT"`
}

// Help implements kong.HelpProvider.
func (demoCmd) Help() string {
	return `A small SMS platform that knows nothing of Warder stands behind the gate. A
front page lets you visit it as an attacker, from an office and from home.
People use it, attackers attack it, all by real HTTP; the dashboard shows what
Warder makes of it within a minute. The thirty days before are invented and
imported like an old log: stored with their own times, counted towards nothing.

Everything listens on 127.0.0.1. The data lies in a new temporary directory
that is deleted at the end, or in the one of --data, which must hold no Warder.
Configuration files and WARDER_ variables are not read.`
}

func (c *demoCmd) Run(ctx context.Context, e *env) (err error) {
	for _, port := range []struct {
		name string
		n    int
	}{{"--port", c.Port}, {"--dashboard-port", c.DashboardPort}} {
		if port.n < 0 || port.n > 65535 {
			return &usageError{fmt.Sprintf("%s: must be from 0 to 65535, is %d", port.name, port.n)}
		}
	}
	if e.flags.Config != "" && e.flags.Config != os.Getenv("WARDER_CONFIG") {
		return &usageError{"--config: the demo reads no configuration"}
	}
	if c.Speed < 1 || c.Speed > 20 {
		return &usageError{fmt.Sprintf("--speed: must be from 1 to 20, is %d", c.Speed)}
	}
	cfg, err := c.config(e.flags.Data)
	if err != nil {
		return err
	}
	if e.flags.Data == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(cfg.Data)) }()
	}
	log := newLogger(e.err, cfg.Log)
	spareProcessors()
	world, err := demo.New(demo.Options{Port: c.Port, Traffic: c.Traffic, Pace: time.Second / time.Duration(c.Speed), Logger: log.With("part", "demo")})
	if err != nil {
		return err
	}
	site, err := config.NewSite(map[string]string{
		"name": "sms", "upstream": world.Upstream(), "profile": "sms-platform", "listen": "127.0.0.1:0",
		"brand": "Example SMS", "contact": "support@example.org, +44 7700 900999",
	})
	if err != nil {
		world.Close()
		return err
	}
	cfg.Sites = []config.Site{site}
	a, err := app.New(ctx, app.Options{Config: cfg, Logger: log, Version: versionText()})
	if err != nil {
		world.Close()
		if ctx.Err() != nil {
			return nil
		}
		// The server knows its own flag only.
		return errors.New(strings.ReplaceAll(err.Error(), "another with --listen", "another with --dashboard-port"))
	}
	defer func() { err = errors.Join(err, a.Close()) }()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(gctx) })
	g.Go(func() error {
		in := newInstance(func(ctx context.Context) (net.Conn, error) { return a.Dial(ctx) }, func() error { return nil })
		err := c.furnish(gctx, e, in, a, cfg, world)
		if gctx.Err() != nil {
			err = nil // told to stop
		}
		return errors.Join(err, in.close())
	})
	return g.Wait()
}

// config makes the configuration of the demo's Warder.
func (c *demoCmd) config(data string) (*config.Config, error) {
	cfg := config.Default()
	cfg.Listen = "127.0.0.1:" + strconv.Itoa(c.DashboardPort)
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	cfg.Log.Level = slog.LevelWarn
	if c.SMTP != "" {
		host, port, err := net.SplitHostPort(c.SMTP)
		n, bad := strconv.ParseUint(port, 10, 16)
		if err != nil || bad != nil || host == "" {
			return nil, &usageError{fmt.Sprintf("--smtp: must be host:port, is %q", c.SMTP)}
		}
		cfg.SMTP.Host, cfg.SMTP.Port, cfg.SMTP.TLS, cfg.SMTP.From = host, int(n), "none", "warder@example.org"
	}
	if data == "" {
		dir, err := os.MkdirTemp("", "warder-demo-")
		if err != nil {
			return nil, fmt.Errorf("make a data directory: %w", err)
		}
		cfg.Data = dir
		return cfg, nil
	}
	if _, err := os.Stat(filepath.Join(data, app.DatabaseFile)); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s holds a Warder already: name a new directory with --data, or leave it out", data)
	}
	cfg.Data = data
	return cfg, nil
}

// furnish sets the dashboard up, tells where everything is, and lets the world
// in until ctx ends.
func (c *demoCmd) furnish(ctx context.Context, e *env, in *instance, a *app.App, cfg *config.Config, world *demo.World) error {
	_, _ = fmt.Fprintln(e.err, "\nThe demo is being furnished, which takes some seconds ...")
	password := newPassphrase()
	gate, err := c.prepare(ctx, in, a, world, password)
	if err != nil {
		world.Close()
		return err
	}
	unblock := fmt.Sprintf("%s unblock --data %s --verdict error %s", program(), shellQuote(cfg.Data), world.Front().Places()[0].Addr)
	printDemo(e.err, a, cfg, world, password, unblock, c.Traffic)
	return world.Serve(ctx, demo.Behind{
		Gate: gate, Dashboard: a.DashboardURL(), Unblock: unblock,
		Check: func(ctx context.Context, ip netip.Addr) (bool, string, error) {
			var d struct {
				Action    string `json:"action"`
				Reference string `json:"reference"`
			}
			err := in.call(ctx, "POST", "/v1/check", map[string]string{"ip": ip.String()}, &d)
			return d.Action == "block", d.Reference, err
		},
	})
}

// prepare makes the owner, the platform's accounts and the past, and returns
// the URL of the gate.
func (c *demoCmd) prepare(ctx context.Context, in *instance, a *app.App, world *demo.World, password string) (*url.URL, error) {
	var g errgroup.Group
	g.Go(world.Populate)
	g.Go(func() error {
		owner := map[string]string{"email": demoOwner, "role": "owner", "password": password}
		if err := in.call(ctx, "POST", "/v1/operators", owner, nil); err != nil {
			return fmt.Errorf("make the owner: %w", err)
		}
		if !c.History {
			return nil
		}
		if err := importEvents(ctx, in, world.History(time.Now())); err != nil {
			return fmt.Errorf("import the past: %w", err)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return url.Parse("http://" + a.SiteAddr("sms"))
}

// importEvents reports events of the past, as an application does that brings
// its old log along.
func importEvents(ctx context.Context, in *instance, events []warder.Event) error {
	const batch = 500
	for len(events) > 0 {
		n := min(batch, len(events))
		list := make([]map[string]any, n)
		for i := range n {
			ev := &events[i]
			list[i] = map[string]any{
				"name": ev.Name, "time": ev.Time.UTC().Format(time.RFC3339), "ip": ev.IP.String(), "account": ev.Account, "realm": ev.Realm,
				"user_agent": ev.UserAgent, "method": ev.Method, "path": ev.Path, "reason": ev.Reason,
			}
		}
		var answer struct {
			Results []struct {
				Error json.RawMessage `json:"error"`
			} `json:"results"`
		}
		if err := in.call(ctx, "POST", "/v1/events", map[string]any{"events": list}, &answer); err != nil {
			return err
		}
		for i, r := range answer.Results {
			if len(r.Error) > 0 {
				return fmt.Errorf("event %d: %s", i, r.Error)
			}
		}
		events = events[n:]
	}
	return nil
}

// newPassphrase draws a password of 80 bits that can be typed.
func newPassphrase() string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // never fails
	text := strings.ToLower(base32.StdEncoding.EncodeToString(b))
	return text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
}

func printDemo(w io.Writer, a *app.App, cfg *config.Config, world *demo.World, password, unblock string, traffic bool) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("")
	p("Warder %s with a sample platform behind its gate. Nothing here is real but Warder.", versionText())
	p("")
	p("Start here:        %s", world.Front().URL())
	for _, place := range world.Front().Places() {
		p("  %-16s %s   %s", place.ID, place.URL(), place.Addr)
	}
	p("Dashboard:         %s", a.DashboardURL())
	p("  e-mail           %s", demoOwner)
	p("  password         %s", password)
	p("Platform:          accounts to sign in with")
	for _, l := range world.Accounts() {
		p("  %-16s %s   %s", l.Realm, l.Name, l.Password)
	}
	if cfg.SMTP.Host == "" {
		p("Mails:             %s", a.MailDir())
	} else {
		p("Mails:             to %s at %s:%d", demoOwner, cfg.SMTP.Host, cfg.SMTP.Port)
	}
	p("Lift a block:      %s", unblock)
	p("")
	if traffic {
		p("People and attackers are on their way. Ctrl-C ends it all.")
	} else {
		p("Nobody else is here. Ctrl-C ends it all.")
	}
	p("")
}
