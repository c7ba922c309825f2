package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/warderhq/warder/internal/app"
)

type backupCmd struct {
	File string `arg:"" help:"File to write (must not exist), or - for standard output. It holds the keys too: keep it secret."`
}

func (c *backupCmd) Run(ctx context.Context, e *env) error {
	return e.with(ctx, existing, func(in *instance) (err error) {
		if _, err := os.Lstat(c.File); err == nil && c.File != "-" {
			return fmt.Errorf("write the backup: %w", &os.PathError{Op: "open", Path: c.File, Err: os.ErrExist})
		}
		resp, err := in.send(ctx, "POST", "/local/backup", "", nil)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // only read
		if c.File == "-" {
			_, err := io.Copy(e.out, resp.Body)
			return err
		}
		n, err := writeNew(c.File, resp.Body)
		if err != nil {
			return fmt.Errorf("write the backup: %w", err)
		}
		result := map[string]any{"file": c.File, "bytes": n}
		return e.print(result, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s: %d bytes\n", c.File, n) })
	})
}

// writeNew writes a file that does not exist yet, readable by its owner only.
// It is complete and on disk, or gone.
func writeNew(path string, r io.Reader) (n int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if n, err = io.Copy(f, r); err != nil {
		return n, errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return n, errors.Join(err, f.Close())
	}
	return n, f.Close()
}

type restoreCmd struct {
	File    string `arg:"" help:"Backup to read, or - for standard input."`
	Replace bool   `help:"Move a database that stands there aside."`
}

func (c *restoreCmd) Run(ctx context.Context, e *env) error {
	cfg, err := e.config(nil)
	if err != nil {
		return err
	}
	from, done, err := e.open(c.File)
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	defer done()
	restored, err := app.Restore(ctx, cfg.Data, from, c.Replace)
	if err != nil {
		return err
	}
	return e.print(restored, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "restored into %s: the state of %s, audit trail of %d rows verified\n",
			cfg.Data, restored.Time.UTC().Format(time.RFC3339), restored.Audit)
		if restored.Aside != "" {
			_, _ = fmt.Fprintf(w, "what stood there before is in %s\n", restored.Aside)
		}
	})
}
