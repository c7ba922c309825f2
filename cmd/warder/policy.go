package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/app"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/gate"
	"github.com/warderhq/warder/internal/policy"
)

type policyCmd struct {
	Show  policyShowCmd  `cmd:"" help:"Print the policy in force."`
	Check policyCheckCmd `cmd:"" help:"Check a policy file, its own tests included. Touches no data."`
	Test  policyCheckCmd `cmd:"" help:"The same as check, and says how many tests the file has."`
	Apply policyApplyCmd `cmd:"" help:"Put a policy file in force."`
}

type policyShowCmd struct {
	Preset string `help:"Print a preset instead: classic, observe, balanced or strict."`
}

func (c *policyShowCmd) Run(ctx context.Context, e *env) error {
	if c.Preset != "" {
		doc, err := policy.Preset(c.Preset)
		if err != nil {
			return err
		}
		return e.print(doc, func(w io.Writer) { _, _ = w.Write(doc.YAML()) })
	}
	return e.with(ctx, existing, func(in *instance) error {
		resp, err := in.send(ctx, "GET", "/v1/policy", "", nil)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // only read
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if e.flags.JSON {
			_, err := fmt.Fprintln(e.out, string(bytes.TrimSpace(text)))
			return err
		}
		doc, err := policy.Parse(text) // JSON is YAML too
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		origin := "revision " + strings.Trim(resp.Header.Get("ETag"), `"`)
		if origin == "revision 0" {
			origin = "preset classic, no policy was saved yet"
		}
		_, err = fmt.Fprintf(e.out, "# %s\n%s", origin, doc.YAML())
		return err
	})
}

// readPolicy reads and checks a policy file.
func readPolicy(e *env, file string) (*policy.Document, []byte, error) {
	from, done, err := e.open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read policy: %w", err)
	}
	defer done()
	text, err := io.ReadAll(io.LimitReader(from, policy.MaxBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read policy: %w", err)
	}
	doc, err := app.CheckPolicy(text)
	if faults, ok := errors.AsType[warder.Faults](err); ok {
		return nil, nil, &faultsError{where: file, faults: faults}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return doc, text, nil
}

type policyCheckCmd struct {
	File string `arg:"" help:"Policy file, or - for standard input."`
}

func (c *policyCheckCmd) Run(e *env) error {
	doc, _, err := readPolicy(e, c.File)
	if err != nil {
		return err
	}
	result := map[string]any{"ok": true, "rules": len(doc.Activity.Rules), "tests": len(doc.Tests)}
	return e.print(result, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s: good, %d rules, %d tests passed\n", c.File, len(doc.Activity.Rules), len(doc.Tests))
	})
}

type policyApplyCmd struct {
	File    string `arg:"" help:"Policy file, or - for standard input."`
	Comment string `help:"Why, for the list of revisions."`
}

func (c *policyApplyCmd) Run(ctx context.Context, e *env) error {
	_, text, err := readPolicy(e, c.File)
	if err != nil {
		return err
	}
	return e.with(ctx, fresh, func(in *instance) error {
		path := "/v1/policy?" + url.Values{"comment": {c.Comment}}.Encode()
		resp, err := in.send(ctx, "PUT", path, "application/yaml", bytes.NewReader(text))
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // only read
		var r api.RevisionView
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return e.print(r, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s is in force as revision %d\n", c.File, r.Revision) })
	})
}

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check a configuration file as serve would."`
}

type configCheckCmd struct {
	File string `arg:"" help:"Configuration file."`
}

func (c *configCheckCmd) Run(e *env) error {
	e.flags.Config = c.File
	cfg, err := e.config(nil)
	if err != nil {
		return err
	}
	if cfg.PolicyFile != "" {
		if _, _, err := readPolicy(e, cfg.PolicyFile); err != nil {
			return err
		}
	}
	if err := checkFiles(c.File, cfg); err != nil {
		return err
	}
	for _, name := range cfg.Ignored {
		_, _ = fmt.Fprintf(e.err, "warder: %s in the environment names no setting and is ignored\n", name)
	}
	_, err = fmt.Fprintf(e.out, "%s: good\n", c.File)
	return err
}

// checkFiles reads the files that a configuration names and that serve reads
// when it starts: certificates and profiles.
func checkFiles(where string, cfg *config.Config) error {
	var faults warder.Faults
	pair := func(place string, files config.TLS) {
		if files.Cert == "" {
			return
		}
		if _, err := tls.LoadX509KeyPair(files.Cert, files.Key); err != nil {
			faults.Add(place, "%s", err)
		}
	}
	pair("tls", cfg.TLS)
	for i, site := range cfg.Sites {
		pair(fmt.Sprintf("sites[%d].tls", i), site.TLS)
		if _, err := gate.LoadProfile(site.Profile); err != nil {
			faults.Add(fmt.Sprintf("sites[%d].profile", i), "%s", err)
		}
	}
	if len(faults) > 0 {
		return &faultsError{where: where, faults: faults}
	}
	return nil
}
