package outbound

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrTooLarge is wrapped when an answer is longer than the request allows,
// before or after decompression.
var ErrTooLarge = errors.New("answer too large")

// Request is one HTTP request.
type Request struct {
	Method  string // GET if empty
	URL     string // https; http only to targets of Options.AllowPrivate
	Header  http.Header
	Body    []byte
	MaxBody int64         // of the answer, compressed and decompressed; DefaultMaxBody if 0
	Timeout time.Duration // of the exchange; that of the Client if 0
}

// Response is a complete answer; Body is decompressed.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

type httpClient struct {
	owner  *Client
	client *http.Client
}

// schemeKey marks the context of a request without TLS.
type schemeKey struct{}

func newHTTP(c *Client) *httpClient {
	h := &httpClient{owner: c}
	h.client = &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy from the environment would do the look-up for us
			DialContext:            h.dial,
			DisableCompression:     true, // done here, with a limit
			DisableKeepAlives:      true, // every request is checked anew
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeader,
			ResponseHeaderTimeout:  c.opts.Timeout,
			TLSHandshakeTimeout:    connectTimeout,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.opts.RootCAs},
		},
	}
	return h
}

func (h *httpClient) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	bare, _ := ctx.Value(schemeKey{}).(bool)
	return h.owner.dial(ctx, host, port, func(a netip.Addr) error {
		if err := h.owner.check(a); err != nil {
			return err
		}
		if bare && !contains(h.owner.opts.AllowPrivate, a) {
			return fmt.Errorf("%w: %s must be reached by https", ErrRefused, host)
		}
		return nil
	})
}

// Do sends one request and reads the whole answer. Any status is an answer, an
// error means that there is none. Errors name the scheme and host of the
// request, never its path or query, which may hold secrets, nor the answer.
func (c *Client) Do(ctx context.Context, req Request) (*Response, error) {
	u, err := CheckURL(req.URL)
	if err != nil {
		return nil, err
	}
	if req.Method == "" {
		req.Method = http.MethodGet
	}
	if req.MaxBody <= 0 {
		req.MaxBody = DefaultMaxBody
	}
	if req.Timeout <= 0 {
		req.Timeout = c.opts.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, req.Timeout)
	defer cancel()
	ctx = context.WithValue(ctx, schemeKey{}, u.Scheme == "http")

	r, err := http.NewRequestWithContext(ctx, req.Method, u.String(), bytes.NewReader(req.Body))
	if err != nil {
		return nil, fmt.Errorf("%w: request is malformed", ErrRefused)
	}
	for name, values := range req.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	r.Header.Set("User-Agent", c.opts.UserAgent)
	r.Header.Set("Accept-Encoding", "gzip")

	resp, err := c.http.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.Method, origin(u), stripURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readBody(resp, req.MaxBody)
	if err == nil {
		// A server that ends its answer because the time is over has not
		// given a whole one.
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", req.Method, origin(u), stripURL(err))
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// CheckURL reads an address as an operator writes it. It looks at the spelling
// only; where the name leads is checked when it is dialled.
func CheckURL(s string) (*url.URL, error) {
	refuse := func(why string) error { return fmt.Errorf("%w: URL %s", ErrRefused, why) }
	tooLong := fmt.Sprintf("must be at most %d bytes", maxURL)
	if len(s) > maxURL {
		return nil, refuse(tooLong)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return nil, refuse("must not contain spaces, control characters or backslashes")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, refuse("is malformed")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, refuse("must begin with https://")
	case u.User != nil:
		return nil, refuse("must not contain a user name or password")
	case u.Opaque != "" || u.Host == "":
		return nil, refuse("must name a host")
	}
	if err := checkHost(u.Hostname()); err != nil {
		return nil, err
	}
	if strings.HasSuffix(u.Host, ":") {
		return nil, refuse("has an empty port")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, refuse("must have a port of 1 to 65535")
		}
	}
	u.Fragment = ""
	if len(u.String()) > maxURL { // what is not ASCII takes three times as much
		return nil, refuse(tooLong)
	}
	return u, nil
}

// checkRedirect runs before each hop; the address of the hop is checked by its
// own dial.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrRefused, MaxRedirects)
	}
	first, last := via[0], via[len(via)-1]
	if first.Method != http.MethodGet && first.Method != http.MethodHead {
		return fmt.Errorf("%w: redirect of a %s", ErrRefused, first.Method)
	}
	if _, err := CheckURL(r.URL.String()); err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	// All hops share the context of the first request, and with it the mark of
	// a request without TLS: upwards that is only too strict.
	if r.URL.Scheme != "https" && last.URL.Scheme == "https" {
		return fmt.Errorf("%w: redirect from https to http", ErrRefused)
	}
	// The address may hold a key in its query, and other headers may be one.
	r.Header.Del("Referer")
	if r.URL.Host != first.URL.Host {
		for name := range r.Header {
			switch name {
			case "Accept", "Accept-Encoding", "User-Agent", "If-None-Match", "If-Modified-Since":
			default:
				r.Header.Del(name)
			}
		}
	}
	return nil
}

// readBody reads an answer, at most limit bytes on the wire and at most limit
// bytes after decompression.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("%w: %d bytes announced, at most %d allowed", ErrTooLarge, resp.ContentLength, limit)
	}
	wire := &bounded{r: resp.Body, left: limit}
	var from io.Reader = wire
	switch enc := strings.ToLower(strings.Join(resp.Header.Values("Content-Encoding"), ",")); enc {
	case "", "identity":
	case "gzip", "x-gzip":
		if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
			return nil, nil
		}
		z, err := gzip.NewReader(wire)
		if err != nil {
			return nil, errors.New("broken compression")
		}
		z.Multistream(false)
		from = &bounded{r: z, left: limit}
	default:
		return nil, errors.New("unknown content encoding")
	}
	var b bytes.Buffer
	if resp.ContentLength > 0 {
		b.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(from); err != nil {
		if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
			return nil, errors.New("broken compression")
		}
		return nil, err
	}
	return b.Bytes(), nil
}

// bounded is a reader that fails, rather than ends, after left bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		return 0, ErrTooLarge
	}
	b.left -= int64(n)
	return n, err
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// stripURL takes the address out of an error: a query may hold a key.
func stripURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}
