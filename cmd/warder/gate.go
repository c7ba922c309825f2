package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/gate"
)

// gateCmd is serve with a site that needs no configuration file.
type gateCmd struct {
	Upstream      string `help:"URL of the application." required:"" placeholder:"URL"`
	Profile       string `help:"How the application signs people in: a name of warder profile list, or a file." default:"generic-form"`
	Site          string `help:"Address and port of the gate (default ${default})." default:"127.0.0.1:8080" placeholder:"ADDR"`
	SessionCookie string `help:"Names of session cookies besides the profile's, separated by commas." placeholder:"NAMES"`
	TLSCert       string `help:"Certificate chain of the gate." placeholder:"FILE"`
	TLSKey        string `help:"Its key." placeholder:"FILE"`
	Contact       string `help:"Whom a refused person can turn to." placeholder:"TEXT"`
	Listen        string `help:"Address and port of the API (default 127.0.0.1:8420)." placeholder:"ADDR"`
}

func (c *gateCmd) Run(ctx context.Context, e *env) error {
	cfg, err := e.config(map[string]string{"listen": c.Listen})
	if err != nil {
		return err
	}
	site, err := config.NewSite(map[string]string{
		"upstream": c.Upstream, "profile": c.Profile, "listen": c.Site, "session_cookies": c.SessionCookie,
		"tls.cert": c.TLSCert, "tls.key": c.TLSKey, "contact": c.Contact,
	})
	if err != nil {
		return &usageError{"site: " + err.Error()}
	}
	cfg.Sites = append(cfg.Sites, site)
	return serve(ctx, e, cfg)
}

type profileCmd struct {
	List profileListCmd `cmd:"" help:"List the profiles that come with Warder."`
	Test profileTestCmd `cmd:"" help:"Check a profile and run the exchanges that it brings along."`
}

type profileListCmd struct{}

func (profileListCmd) Run(e *env) error {
	type row struct {
		Name       string `json:"name"`
		About      string `json:"about"`
		Unverified bool   `json:"unverified"`
		Verified   string `json:"verified,omitempty"`
	}
	var list []row
	for _, name := range gate.ProfileNames() {
		p, err := gate.LoadProfile(name)
		if err != nil {
			return err
		}
		list = append(list, row{p.Name, strings.Join(strings.Fields(p.About), " "), p.Unverified, p.Verified})
	}
	return e.print(list, func(w io.Writer) {
		for _, p := range list {
			mark := ""
			if p.Unverified {
				mark = "unverified"
			}
			about := p.About
			if p.Verified != "" {
				about += " Run against " + p.Verified + "."
			}
			_, _ = fmt.Fprintf(w, "%-14s %-10s  %s\n", p.Name, mark, about)
		}
	})
}

type profileTestCmd struct {
	File string `arg:"" help:"A file, or the name of a profile that comes with Warder."`
}

func (c *profileTestCmd) Run(e *env) error {
	p, err := gate.LoadProfile(c.File)
	if err != nil {
		return err
	}
	if err := p.Test(); err != nil {
		return fmt.Errorf("profile %s: %w", p.Name, err)
	}
	return e.print(map[string]any{"name": p.Name, "endpoints": len(p.Endpoints), "tests": len(p.Tests)}, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s: %d endpoints, %d tests pass\n", p.Name, len(p.Endpoints), len(p.Tests))
	})
}
