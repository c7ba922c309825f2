package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Budgets of what is done with the database of the dashboard's row while a
// server serves it.
const (
	drawnWithin = 1500 * time.Millisecond
	pageLoads   = 7

	exportRows = 1_000_000
	// exportMemory is what an export may add to the memory of the server. A
	// million rows are several times as much, in either format.
	exportMemory = 64 << 20
)

// served is a server over the dashboard's database, and a browser's way in.
type served struct {
	*process
	cookie *http.Cookie
	// Its last 30 days, and how many events they have.
	from, to time.Time
	events   int64
	// When its last exportRows events begin, and how many they are.
	export time.Time
	rows   int
}

// withServed runs f with a server over the database of the dashboard's row. The
// server gets a data directory of its own beside the database and the database
// by a second name, so that nothing is copied. What it adds is one operator with
// their sign-ins, an API key, and the audit rows of its start.
func withServed(ctx context.Context, b *bench, f func(*served) error) (err error) {
	path, err := b.filled(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "server-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if out, err := exec.CommandContext(ctx, b.warder, "key", "create", "--data", dir, "--name", "bench", "--scopes", "read").CombinedOutput(); err != nil {
		return fmt.Errorf("make a data directory: %w\n%s", err, out)
	}
	name := filepath.Join(dir, "warder.db")
	for _, suffix := range []string{"", "-wal", "-shm", ".anchor"} {
		if err := os.Remove(name + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Link(path, name); err != nil {
		return err
	}
	s := &served{}
	if err := s.measure(ctx, path); err != nil {
		return err
	}
	if s.process, err = b.serve(ctx, dir); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.stop())
		// A server that did not stop in order leaves a log, which belongs to
		// the database under whatever name.
		if e := os.Rename(name+"-wal", path+"-wal"); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	if err := s.signIn(ctx, b, dir); err != nil {
		return err
	}
	return f(s)
}

// measure finds out what the database holds.
func (s *served) measure(ctx context.Context, path string) (err error) {
	d, err := openBare(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	// The events fill 90 days (filled in package store); what came later are
	// sign-ins of this row.
	var first, begin int64
	if err := d.conn.QueryRowContext(ctx, "SELECT min(time) FROM events").Scan(&first); err != nil {
		return fmt.Errorf("find the first event: %w", err)
	}
	s.to = time.UnixMicro(first).UTC().AddDate(0, 0, 90)
	s.from = s.to.AddDate(0, 0, -30)
	if err := d.conn.QueryRowContext(ctx, "SELECT sum(n) FROM rollups WHERE bucket >= ? AND bucket < ?",
		s.from.UnixMicro(), s.to.UnixMicro()).Scan(&s.events); err != nil {
		return fmt.Errorf("count the events of 30 days: %w", err)
	}
	if err := d.conn.QueryRowContext(ctx, "SELECT min(time), count(*) FROM (SELECT time FROM events WHERE time < ? ORDER BY time DESC LIMIT ?)",
		s.to.UnixMicro(), exportRows).Scan(&begin, &s.rows); err != nil {
		return fmt.Errorf("find the last %d events: %w", exportRows, err)
	}
	s.export = time.UnixMicro(begin).UTC()
	return nil
}

// signIn makes an owner, if the last run did not, and signs in as a browser does.
func (s *served) signIn(ctx context.Context, b *bench, dir string) error {
	const email, password = "bench@example.org", "correct horse battery staple"
	create := exec.CommandContext(ctx, b.warder, "operator", "create", "--data", dir, "--email", email, "--role", "owner", "--password-stdin")
	create.Stdin = strings.NewReader(password + "\n")
	made, createErr := create.CombinedOutput()
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/session", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", s.url)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	for _, c := range resp.Cookies() {
		if c.Name == "warder" {
			s.cookie = c
			return nil
		}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // what is said beside the status
	return errors.Join(fmt.Errorf("sign in: status %d: %s", resp.StatusCode, text), createErr, errors.New(string(made)))
}

// pageRow draws the first page in a browser.
func pageRow(ctx context.Context, b *bench) ([]figure, error) {
	f := figure{
		what: "first page of the dashboard drawn in Chromium, nothing cached", got: "-",
		budget: fmt.Sprintf("<= %.1f s", drawnWithin.Seconds()),
	}
	const script = "web/scripts/first-page.mjs"
	if _, err := exec.LookPath("node"); err != nil {
		f.skipped = "Node is missing, install it"
		return []figure{f}, nil
	}
	if _, err := os.Stat("web/node_modules/playwright-core"); err != nil {
		f.skipped = "what drives the browser is missing: make build, with Node"
		return []figure{f}, nil
	}
	err := withServed(ctx, b, func(s *served) error {
		if built, err := s.hasDashboard(ctx); err != nil || !built {
			f.skipped = "the program has no dashboard: make build, with Node"
			return err
		}
		in, err := json.Marshal(map[string]any{
			"url":    fmt.Sprintf("%s/?range=%s..%s", s.url, s.from.Format(time.RFC3339), s.to.Format(time.RFC3339)),
			"cookie": map[string]string{"name": s.cookie.Name, "value": s.cookie.Value},
			"loads":  pageLoads,
		})
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "node", script)
		cmd.Stdin = bytes.NewReader(in)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 3 {
			f.skipped = strings.TrimSpace(said.String())
			return nil
		}
		if err != nil {
			return fmt.Errorf("draw the first page: %w\n%s", err, said.String())
		}
		var took []time.Duration
		var most time.Duration
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var load struct {
				MS     float64
				Events int64
			}
			err := d.Decode(&load)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			t := time.Duration(load.MS * float64(time.Millisecond))
			took, most = append(took, t), max(most, t)
			if load.Events != s.events {
				return fmt.Errorf("the first page shows %d events, not %d", load.Events, s.events)
			}
		}
		if len(took) != pageLoads {
			return fmt.Errorf("the first page was drawn %d times of %d", len(took), pageLoads)
		}
		f.got = fmt.Sprintf("%.2f s, %.2f s at most of %d, %d events in its 30 days",
			median(took).Seconds(), most.Seconds(), pageLoads, s.events)
		f.ok = most <= drawnWithin
		return nil
	})
	return []figure{f}, err
}

// hasDashboard reports whether a browser gets the pages, not only the one that
// says how to build them.
func (s *served) hasDashboard(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/", nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(resp.Body)
	return bytes.Contains(page, []byte(`src="/assets/`)), err
}

// exportRow exports events and looks how the memory of the server grows.
func exportRow(ctx context.Context, b *bench) (figures []figure, err error) {
	err = withServed(ctx, b, func(s *served) error {
		for _, format := range []string{"csv", "ndjson"} {
			before, err := s.forgetPeak()
			if err != nil {
				return err
			}
			begin := time.Now()
			rows, size, err := s.exported(ctx, format)
			took := time.Since(begin)
			if err != nil {
				return err
			}
			if format == "csv" {
				rows-- // the names of the columns
			}
			if rows != s.rows {
				return fmt.Errorf("the export as %s has %d rows of %d", format, rows, s.rows)
			}
			most, err := memory(s.pid, "VmHWM")
			if err != nil {
				return err
			}
			figures = append(figures, figure{
				what:   fmt.Sprintf("export of %d events as %s: most memory resident, before it", rows, format),
				got:    fmt.Sprintf("%s, %s (%s in %.0f s)", mib(most), mib(before), mib(size), took.Seconds()),
				budget: "<= " + mib(exportMemory) + " more", ok: most-before <= exportMemory,
			})
		}
		return nil
	})
	return figures, err
}

// forgetPeak makes the most that was resident what is resident now.
func (s *served) forgetPeak() (now int64, err error) {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.pid), []byte("5"), 0); err != nil {
		return 0, fmt.Errorf("begin to measure memory: %w", err)
	}
	return memory(s.pid, "VmRSS")
}

// exported reads an export to its end and counts its lines and bytes.
func (s *served) exported(ctx context.Context, format string) (lines int, size int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		s.url+"/v1/export/events?format="+format+"&from="+s.export.Format(time.RFC3339Nano)+"&to="+s.to.Format(time.RFC3339), nil)
	if err != nil {
		return 0, 0, err
	}
	req.AddCookie(s.cookie)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("export as %s: status %d", format, resp.StatusCode)
	}
	for r := bufio.NewReaderSize(resp.Body, 1<<16); ; {
		part, err := r.ReadSlice('\n')
		size += int64(len(part))
		switch {
		case err == nil:
			lines++
		case errors.Is(err, io.EOF):
			return lines, size, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return lines, size, fmt.Errorf("export as %s: %w", format, err)
		}
	}
}
