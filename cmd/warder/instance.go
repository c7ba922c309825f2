package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/app"
)

// How long a command waits for whoever holds the data directory: a server that
// is loading, or another command that will be done in a moment.
const (
	lockPatience = 10 * time.Second
	lockRetry    = 50 * time.Millisecond
)

// instance is the Warder that a command talks to, by the API of the contract:
// the server that runs, or one inside this process.
type instance struct {
	http  *http.Client
	close func() error
}

// need says whether a command may make a data directory that is not there.
type need bool

const (
	existing need = false
	fresh    need = true
)

// connect finds the instance of the data directory.
func (e *env) connect(ctx context.Context, n need) (*instance, error) {
	cfg, err := e.config(nil)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockPatience)
	for {
		conn, err := app.DialSocket(ctx, cfg.Data)
		if errors.Is(err, os.ErrPermission) {
			return nil, forbidden(cfg.Data)
		}
		if err == nil {
			_ = conn.Close() // only asked whether somebody is there
			return newInstance(func(ctx context.Context) (net.Conn, error) {
				return app.DialSocket(ctx, cfg.Data)
			}, func() error { return nil }), nil
		}
		if _, err := os.Stat(filepath.Join(cfg.Data, app.DatabaseFile)); n == existing && errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("there is no Warder in %s: name its data directory with --data, or start one with warder serve", cfg.Data)
		}
		own, err := app.Open(ctx, app.Options{
			Config:  cfg,
			Logger:  slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: slog.LevelError})),
			Version: versionText(),
		})
		if err == nil {
			return newInstance(own.Dial, own.Close), nil
		}
		var locked *app.LockedError
		if !errors.As(err, &locked) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockRetry):
		}
	}
}

// forbidden is what somebody is told who is not the user that runs Warder: to
// make the directory readable would be the wrong remedy.
func forbidden(dir string) error {
	return fmt.Errorf("data directory %s is closed to user %d: run this as the user that runs Warder, or as root", dir, os.Getuid())
}

func newInstance(dial func(context.Context) (net.Conn, error), closeFunc func() error) *instance {
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true,
	}
	return &instance{
		http: &http.Client{Transport: transport},
		close: func() error {
			transport.CloseIdleConnections()
			return closeFunc()
		},
	}
}

// with runs f on the instance and closes it.
func (e *env) with(ctx context.Context, n need, f func(*instance) error) (err error) {
	in, err := e.connect(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	return f(in)
}

// problem is an error that the instance answered with.
type problem struct {
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail"`
	Errors []warder.Fault `json:"errors"`
}

func (p *problem) Error() string {
	if len(p.Errors) > 0 {
		lines := make([]string, len(p.Errors))
		for i, f := range p.Errors {
			lines[i] = strings.TrimPrefix(strings.TrimPrefix(f.Location, "body."), "query.") + ": " + f.Message
		}
		return strings.Join(lines, "\n")
	}
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// send makes one request and returns the answer if it is a good one; the
// caller closes its body.
func (in *instance) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://warder"+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := in.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the instance: %w", err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	p := &problem{Status: resp.StatusCode, Title: resp.Status}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == "application/problem+json" {
		if err := json.Unmarshal(text, p); err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
	}
	return nil, p
}

// call sends in as JSON, if it is not nil, and reads the answer into out.
func (in *instance) call(ctx context.Context, method, path string, body, out any) error {
	var reader io.Reader
	contentType := ""
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader, contentType = bytes.NewReader(text), "application/json"
	}
	resp, err := in.send(ctx, method, path, contentType, reader)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// print writes v as JSON if --json was given, else by text.
func (e *env) print(v any, text func(w io.Writer)) error {
	if e.flags.JSON {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return err
		}
		_, err := io.WriteString(e.out, plain(b.String()))
		return err
	}
	var b bytes.Buffer
	text(&b)
	_, err := io.WriteString(e.out, plain(b.String()))
	return err
}

// plain writes what is not printable, and is not the end of a line, as JSON
// escapes it: names and reasons come from strangers and must not command the
// terminal that they are shown on. JSON stays the same JSON.
func plain(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '\n' || unicode.IsPrint(c):
			b.WriteRune(c)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

// seconds is a length of time on the command line: whole seconds, as in the
// API, or with a unit (90s, 15m, 24h, 7d).
type seconds int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *seconds) UnmarshalText(text []byte) error {
	n, err := parseSeconds(string(text))
	*s = seconds(n)
	return err
}

func parseSeconds(s string) (int64, error) {
	bad := fmt.Errorf("must be seconds, or a length of time such as 15m, 24h or 7d, is %q", s)
	var n json.Number
	if json.Unmarshal([]byte(s), &n) == nil {
		if v, err := n.Int64(); err == nil && v >= 0 {
			return v, nil
		}
		return 0, bad
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		v, err := parseSeconds(days)
		if err != nil || v > 36500 || strings.ContainsAny(days, "smhd") {
			return 0, bad
		}
		return v * 86400, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d%time.Second != 0 {
		return 0, bad
	}
	return int64(d / time.Second), nil
}
