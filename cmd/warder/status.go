package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/app"
)

// statusCmd asks the server that runs, and never takes its place as other
// commands do: it is what a supervisor looks at.
type statusCmd struct{}

func (statusCmd) Run(ctx context.Context, e *env) error {
	cfg, err := e.config(nil)
	if err != nil {
		return err
	}
	dial := func(ctx context.Context) (net.Conn, error) { return app.DialSocket(ctx, cfg.Data) }
	conn, err := dial(ctx)
	switch {
	case errors.Is(err, os.ErrPermission):
		return forbidden(cfg.Data)
	case err != nil:
		return fmt.Errorf("no server runs on %s: name its data directory with --data, or start one with warder serve", cfg.Data)
	}
	_ = conn.Close() // only asked whether somebody is there
	in := newInstance(dial, func() error { return nil })
	defer func() { _ = in.close() }()
	var r api.Readiness
	if err := in.call(ctx, "GET", "/readyz", nil, &r); err != nil {
		return fmt.Errorf("the server is not ready: %w", err)
	}
	return e.print(r, func(w io.Writer) {
		if len(r.Degraded) == 0 {
			_, _ = fmt.Fprintln(w, "ready")
		}
		for _, d := range r.Degraded {
			_, _ = fmt.Fprintf(w, "ready, degraded: %s: %s\n", d.Reason, cmp.Or(d.Remedy, d.Detail))
		}
	})
}
