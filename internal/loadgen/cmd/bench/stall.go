package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

const stallTime = 8 * time.Second

// stallRow asks for checks at a fixed rate while the rest of Warder is kept
// busy. The probe is a process of its own, with a processor when it wants one, and
// measures from the instant at which a check was due.
func stallRow(ctx context.Context, b *bench) (_ []figure, err error) {
	dir, key, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	server, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	var figures []figure
	during := func(what string, d time.Duration, f func(ctx context.Context) (string, error)) error {
		var p probed
		var note string
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return b.outside(ctx, &p, "probe", server.url, key, d.String()) })
		g.Go(func() (err error) {
			note, err = f(ctx)
			return err
		})
		if err := g.Wait(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if p.OK != p.Sent {
			return fmt.Errorf("%s: %d of %d checks were answered", what, p.OK, p.Sent)
		}
		figures = append(figures, figure{
			what: what, got: fmt.Sprintf("p99 %s (p50 %s, max %s, the client late by up to %s%s)", ms(p.P99), ms(p.P50), ms(p.Max), ms(p.Lag), note),
			budget: "p99 <= 5 ms", ok: p.P99 <= 5*time.Millisecond,
		})
		return nil
	}
	err = during(fmt.Sprintf("check at %d/s: nothing else going on", probeRate), stallTime/2, func(context.Context) (string, error) { return "", nil })
	if err != nil {
		return nil, err
	}
	figures[0].budget = "(for comparison)"
	err = during("check while ingest is saturated", stallTime, func(ctx context.Context) (string, error) {
		var s saturated
		err := b.part(ctx, &s, "ingest", server.url, key, stallTime.String())
		return fmt.Sprintf("; %.0f events/s", s.Rate), err
	})
	if err != nil {
		return figures, err
	}
	err = during("check while the database is locked", stallTime, func(ctx context.Context) (string, error) {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return lock(ctx, filepath.Join(dir, "warder.db"), stallTime) })
		// Events pile up meanwhile; that they are not acknowledged is right.
		c := newCaller(server.url, key, 4)
		for range 4 {
			g.Go(func() error {
				for end := time.Now().Add(stallTime - 3*time.Second); time.Now().Before(end) && ctx.Err() == nil; {
					_ = c.post(ctx, "/v1/events", []byte(`{"name":"USER_LOGIN_FAILURE","ip":"198.51.100.7","account":"bob"}`), nil)
				}
				return nil
			})
		}
		return "", g.Wait()
	})
	if err != nil {
		return figures, err
	}
	loaded := 0
	err = during("check while blocks are imported, up to 1 M", 30*time.Second, func(ctx context.Context) (string, error) {
		begin := time.Now()
		c := newCaller(server.url, key, 1)
		for loaded < 1_000_000 && time.Since(begin) < 30*time.Second {
			n, err := importBlocks(ctx, c, loaded)
			if err != nil {
				return "", err
			}
			loaded += n
		}
		return fmt.Sprintf("; %d in %.0f s", loaded, time.Since(begin).Seconds()), nil
	})
	return figures, err
}

const importStep = 10_000

// importBlocks imports the blocks from number n on.
func importBlocks(ctx context.Context, c *caller, n int) (int, error) {
	var w bytes.Buffer
	w.WriteString(`{"blocks":[`)
	for i := n; i < n+importStep; i++ {
		if i > n {
			w.WriteByte(',')
		}
		a := 64<<24 + i*509
		_, _ = fmt.Fprintf(&w, `{"ip":"%d.%d.%d.%d","reason":"imported"}`, a>>24, a>>16&255, a>>8&255, a&255)
	}
	w.WriteString(`]}`)
	var out struct{ Imported int }
	if err := c.post(ctx, "/v1/blocks/import", w.Bytes(), &out); err != nil {
		return 0, err
	}
	if out.Imported != importStep {
		return out.Imported, fmt.Errorf("%d of %d blocks were imported", out.Imported, importStep)
	}
	return out.Imported, nil
}
