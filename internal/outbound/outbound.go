// Package outbound is the one way out: every HTTP request and every connection
// to a mail server that Warder opens goes through it.
//
// It promises that a name is resolved once, that every address of the answer
// is checked and that a checked address is what gets dialled, so neither a
// redirect, nor a name with mixed answers, nor one that changes its answer
// reaches a machine that is not public. What may be reached in spite of that is
// said in local configuration only. It bounds time and size, uses no proxy
// from the environment, and its errors never contain what a server answered.
package outbound

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrRefused is wrapped by every error that says that a target must not be
// reached. Nothing was sent.
var ErrRefused = errors.New("target refused")

// Limits of every exchange.
const (
	DefaultTimeout = 10 * time.Second
	DefaultMaxBody = 1 << 20
	MaxRedirects   = 3

	maxURL          = 2048     // bytes
	maxAnswers      = 64       // addresses of one name
	maxHeader       = 64 << 10 // bytes of an answer's header
	connectTimeout  = 5 * time.Second
	maxDialAttempts = 4
)

// Options are what a Client is made of. All of it comes from local
// configuration, never from a policy or the dashboard.
type Options struct {
	// AllowPrivate are targets that may be reached although they are not
	// public, also without TLS.
	AllowPrivate []netip.Prefix
	// Deny are targets that are refused although they look public: trusted
	// proxies and other machines of the operator's own.
	Deny []netip.Prefix
	// SMTPHosts are the mail servers that the configuration names. They may be
	// private, as relays usually are.
	SMTPHosts []string
	// UserAgent is sent with every request; "Warder" if empty.
	UserAgent string
	// Timeout bounds one exchange from the look-up to the last byte;
	// DefaultTimeout if 0. A context may shorten it.
	Timeout time.Duration
	// Resolve looks up a host name; nil asks the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Interfaces returns the addresses of this machine, which are refused; nil
	// asks the system.
	Interfaces func() ([]netip.Addr, error)
	// RootCAs are trusted for https; nil: those of the system.
	RootCAs *x509.CertPool
	// Logger is told what was refused; nil: nobody.
	Logger *slog.Logger
}

// Client opens connections to checked addresses only. It is safe for
// concurrent use.
type Client struct {
	opts Options
	live atomic.Pointer[allowed]
	http *httpClient
}

// allowed is what Allow may change.
type allowed struct {
	hosts []string // SMTPHosts in one spelling
	deny  []netip.Prefix
}

// New checks the options and makes a Client.
func New(opts Options) (*Client, error) {
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Timeout < 0 {
		return nil, fmt.Errorf("outbound: timeout must be positive, is %s", opts.Timeout)
	}
	if opts.UserAgent == "" {
		opts.UserAgent = "Warder"
	}
	if opts.Resolve == nil {
		opts.Resolve = systemResolve
	}
	if opts.Interfaces == nil {
		opts.Interfaces = systemInterfaces
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	for _, list := range [][]netip.Prefix{opts.AllowPrivate, opts.Deny} {
		for _, p := range list {
			if !p.IsValid() {
				return nil, errors.New("outbound: invalid prefix in the options")
			}
		}
	}
	c := &Client{opts: opts}
	c.Allow(opts.SMTPHosts, opts.Deny)
	c.http = newHTTP(c)
	return c, nil
}

// Allow replaces SMTPHosts and Deny for connections that are made from now on.
// It is for settings that an administrator changes: a mail server is named by
// whoever may change the policy, and relays usually are private.
func (c *Client) Allow(smtpHosts []string, deny []netip.Prefix) {
	a := &allowed{deny: slices.Clone(deny)}
	for _, h := range smtpHosts {
		a.hosts = append(a.hosts, foldHost(h))
	}
	c.live.Store(a)
}

// DialSMTP connects to a mail server, given as host:port. Hosts that the
// configuration names may be private; others must be public.
func (c *Client) DialSMTP(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("%w: network %q", ErrRefused, network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: mail server must be host:port", ErrRefused)
	}
	named := slices.Contains(c.live.Load().hosts, foldHost(host))
	return c.dial(ctx, host, port, func(a netip.Addr) error {
		if named {
			return c.checkNamed(a)
		}
		return c.check(a)
	})
}

// dial resolves host, demands that check accepts every answer, and connects to
// the first address that takes the connection.
func (c *Client) dial(ctx context.Context, host, port string, check func(netip.Addr) error) (net.Conn, error) {
	if err := checkHost(host); err != nil {
		return nil, err
	}
	addrs, err := c.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := check(a); err != nil {
			c.opts.Logger.Warn("outbound target refused", "host", host, "address", a.String())
			return nil, fmt.Errorf("connect to %s: %w", host, err)
		}
	}
	// The address is checked once more where the socket is made, so that no
	// change to the lines above can open a way around it.
	d := net.Dialer{Timeout: connectTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %q is no address", ErrRefused, address)
		}
		return check(plain(ap.Addr()))
	}}
	var last error
	for i, a := range addrs {
		if i == maxDialAttempts {
			break
		}
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", host, last)
}

// resolve returns the different addresses of a host, IPv4 first.
func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{plain(a)}, nil
	}
	answers, err := c.opts.Resolve(ctx, strings.TrimSuffix(host, "."))
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	if len(answers) == 0 {
		return nil, fmt.Errorf("look up %s: no address", host)
	}
	if len(answers) > maxAnswers {
		return nil, fmt.Errorf("%w: %s has %d addresses", ErrRefused, host, len(answers))
	}
	addrs := make([]netip.Addr, 0, len(answers))
	for _, a := range answers {
		if a.Zone() != "" {
			return nil, fmt.Errorf("%w: %s has an address with a zone", ErrRefused, host)
		}
		if a = plain(a); !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return addrs, nil
}

func systemResolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func systemInterfaces() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	addrs := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, ip.Unmap())
			}
		}
	}
	return addrs, nil
}
