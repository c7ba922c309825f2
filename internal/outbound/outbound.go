// Package outbound is the one way out: every HTTP request and every connection
// to a mail server that Warder opens goes through it.
package outbound

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Options are what a Client is made of. All come from local configuration.
type Options struct {
	// AllowPrivate are targets that may be reached although they are not public.
	AllowPrivate []netip.Prefix
	// SMTPHosts are mail servers that the configuration names; they may be private.
	SMTPHosts []string
	UserAgent string
	Timeout   time.Duration
	Resolve   func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Client opens connections to checked addresses only.
type Client struct{}

// New makes a Client.
func New(opts Options) (*Client, error) { return &Client{}, nil }

// Request is one HTTP request.
type Request struct {
	Method  string // GET if empty
	URL     string
	Header  http.Header
	Body    []byte
	MaxBody int64 // of the answer, compressed and decompressed; 1 MiB if 0
}

// Response is a complete answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends one request and reads the whole answer.
func (c *Client) Do(ctx context.Context, req Request) (*Response, error) { return nil, nil }

// DialSMTP connects to a mail server.
func (c *Client) DialSMTP(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, nil
}
