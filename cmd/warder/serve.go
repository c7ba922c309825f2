package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/warderhq/warder/internal/app"
	"github.com/warderhq/warder/internal/config"
)

type serveCmd struct {
	Listen string `help:"Address and port of the API (default 127.0.0.1:8420)." placeholder:"ADDR"`
}

func (c *serveCmd) Run(ctx context.Context, e *env) error {
	cfg, err := e.config(map[string]string{"listen": c.Listen})
	if err != nil {
		return err
	}
	return serve(ctx, e, cfg)
}

// serve runs an instance until ctx ends.
func serve(ctx context.Context, e *env, cfg *config.Config) error {
	log := newLogger(e.err, cfg.Log)
	for _, name := range cfg.Ignored {
		log.WarnContext(ctx, "variable names no setting and is ignored", "variable", name)
	}
	spareProcessors()
	a, err := app.New(ctx, app.Options{Config: cfg, Logger: log, Version: versionText()})
	if ctx.Err() != nil { // told to stop while it was loading
		if err == nil {
			err = a.Close()
		} else if errors.Is(err, context.Canceled) {
			err = nil
		}
		log.InfoContext(ctx, "stopped before it was ready")
		return err
	}
	if err != nil {
		return err
	}
	if cfg.Log.Format == "text" {
		printWelcome(e.err, a, cfg, dataFlag(cfg))
	}
	log.InfoContext(ctx, "serving", "address", a.Addr(), "data", cfg.Data, "version", versionText())
	runErr := a.Run(ctx)
	closeErr := a.Close()
	if runErr != nil {
		return runErr
	}
	log.InfoContext(ctx, "stopped")
	return closeErr
}

// spareProcessors lets Go run on two more processors than there are. When a
// commit and a batch keep all of Go's processors busy, nobody waits for the
// network, and a check that arrives is noticed only when the runtime looks by
// itself, every 10 ms; with some to spare the kernel wakes one at once.
func spareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
}

func newLogger(w io.Writer, c config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// dataFlag is what a command needs to find this instance.
func dataFlag(cfg *config.Config) string {
	if cfg.Data == config.Default().Data {
		return ""
	}
	return " --data " + shellQuote(cfg.Data)
}

// printWelcome says how to see Warder at work. The line it prints is made to
// be pasted: it reports six failures from an address of its own, out of the
// three networks that RFC 5737 reserves for examples. The address goes on every
// 20 ms, so that pastes within a quarter of a minute never meet; date knows
// fractions of a second almost everywhere, and seconds have to do elsewhere.
func printWelcome(w io.Writer, a *app.App, cfg *config.Config, data string) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	me := program()
	p("")
	p("Warder %s listens on %s, its data is in %s.", versionText(), a.URL(), cfg.Data)
	p("")
	if link := a.SetupURL(); link != "" {
		p("Set it up in your browser, within 24 hours, by this link. It works once and is printed by each start until then:")
		p("")
		p("  %s", link)
	} else {
		p("Dashboard:         %s", a.DashboardURL())
	}
	p("")
	if a.FirstKey == "" {
		p("Make an API key:   %s key create%s --name my-app --scope events,check,sessions,read", me, data)
		p("")
		return
	}
	p("An API key to try it with (scopes events, check, sessions, read). It is shown this once:")
	p("")
	p("  %s", a.FirstKey)
	p("")
	p("Another one:       %s key create%s --name my-app --scope events,check,sessions,read", me, data)
	p("")
	p("Paste this into another shell to see five wrong passwords, the block, and the refused sixth:")
	p("")
	p("  %s", tryLine(a.URL(), a.FirstKey, cfg.TLS.Cert != ""))
	p("")
	if cfg.SMTP.Host == "" {
		p("No mail server is configured: the alert is written to %s.", filepath.Join(cfg.Data, "mail"))
		p("Whom to tell:      echo 'a long passphrase' | %s operator create%s --email you@example.org --role owner --password-stdin", me, data)
	}
	p("Undo the block:    %s unblock%s --verdict error $ip", me, data)
	p("")
}

// tryLine is the command line that shows an attack being stopped; it works in
// sh and bash. Networks that use documentation addresses have their machines at
// the beginning and the end, and one's own is never refused.
func tryLine(url, key string, insecure bool) string {
	curl := "curl -s"
	if insecure {
		curl = "curl -sk"
	}
	return fmt.Sprintf(`t=$(date +%%s%%N | tr -d N); case $t in ???????????*) t=$((t/20000000));; esac; `+
		`case $((t%%3)) in 0) p=192.0.2;; 1) p=198.51.100;; *) p=203.0.113;; esac; ip=$p.$((t/3%%200+50)); echo "from $ip"; `+
		`for i in 1 2 3 4 5 6; do %s %s/v1/events -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' `+
		`-d "{\"name\":\"USER_LOGIN_FAILURE\",\"ip\":\"$ip\",\"account\":\"alice\",\"reason\":\"wrong_password\"}"; done`,
		curl, url, key)
}

// program is how this program was called, so that what is printed can be
// pasted also where it is not on the PATH.
func program() string {
	if strings.Contains(os.Args[0], "/") {
		return shellQuote(os.Args[0])
	}
	return "warder"
}

func shellQuote(s string) string {
	plain := func(r rune) bool {
		return strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
