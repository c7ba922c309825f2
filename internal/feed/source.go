package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/warderhq/warder/internal/outbound"
)

// waitError is the answer of a source that asked to be left alone for a while.
type waitError struct {
	status int
	wait   time.Duration
}

func (e *waitError) Error() string {
	return fmt.Sprintf("source answered %d and asked to wait %s", e.status, e.wait)
}

// get asks the web for the list.
func (f *Feed) get(ctx context.Context, etag, modified string) (*fetched, error) {
	h := http.Header{"Accept": {"text/plain, */*;q=0.5"}}
	if etag != "" {
		h.Set("If-None-Match", etag)
	}
	if modified != "" {
		h.Set("If-Modified-Since", modified)
	}
	resp, err := f.opts.Client.Do(ctx, outbound.Request{URL: f.opts.Source, Header: h, MaxBody: f.opts.MaxBody, Timeout: fetchTimeout})
	if err != nil {
		return nil, err
	}
	switch resp.Status {
	case http.StatusOK:
	case http.StatusNotModified:
		if etag == "" && modified == "" {
			return nil, errors.New("source answered 304 to an unconditional request")
		}
		return &fetched{}, nil
	default:
		if d := retryAfter(resp.Header.Get("Retry-After"), time.Now()); d > 0 {
			return nil, &waitError{resp.Status, d}
		}
		return nil, fmt.Errorf("source answered %d", resp.Status)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && (strings.Contains(t, "html") || strings.Contains(t, "json")) {
		return nil, fmt.Errorf("%w: it is of type %s", ErrNotAList, t)
	}
	if resp.Body == nil {
		resp.Body = []byte{}
	}
	return &fetched{resp.Body, validator(resp.Header.Get("ETag")), validator(resp.Header.Get("Last-Modified"))}, nil
}

// validator keeps what can be sent back in a header.
func validator(s string) string {
	if len(s) > 256 {
		return ""
	}
	return s
}

// retryAfter reads a Retry-After header: seconds, or a date. At most a day.
func retryAfter(s string, now time.Time) time.Duration {
	const most = 24 * time.Hour
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return min(time.Duration(min(n, uint64(most/time.Second)))*time.Second, most)
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(t.Sub(now), most)
	}
	return 0
}

// readFile reads the list from a regular file.
func (f *Feed) readFile(context.Context, string, string) (*fetched, error) {
	b, err := readRegular(f.opts.Source, f.opts.MaxBody)
	if err != nil {
		return nil, err
	}
	return &fetched{body: b}, nil
}

// readRegular reads a file of at most limit bytes. Devices and pipes, which may
// never end, are refused before they are opened.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read list %s: not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	defer func() { _ = file.Close() }()
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read list %s: longer than %d bytes", path, limit)
	}
	return b, nil
}
