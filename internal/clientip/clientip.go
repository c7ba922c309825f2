// Package clientip says who is asking: it turns a connection's peer and one
// forwarding header into the client's address, or says that it is not known.
//
// It promises that a client cannot choose its own address. Headers count only
// behind trusted proxies, of which there are none unless they were named; only
// the one configured header counts; it is read from the right, and what cannot
// be read there ends the search instead of being skipped. Nothing falls back to
// the proxy's address, so that a proxy is never blamed for a client.
package clientip

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/warderhq/warder"
)

// MaxHops is how many trusted proxies a request may have passed.
const MaxHops = 16

// DefaultHeader is the forwarding header used if Options names none.
const DefaultHeader = "X-Forwarded-For"

// Kind says where a client's address comes from.
type Kind uint8

// The kinds.
const (
	// Degraded: the client is unknown and Addr is invalid. No rule by address
	// applies.
	Degraded Kind = iota
	// Socket: Addr is the peer of the connection, which is no trusted proxy.
	Socket
	// Header: Addr is the first untrusted address that a chain of trusted
	// proxies reports.
	Header
	// Internal: everybody in the chain is a trusted proxy. Addr is the one that
	// started it, or invalid for a trusted Unix socket without a header. It is
	// never blocked automatically.
	Internal
)

func (k Kind) String() string {
	switch k {
	case Degraded:
		return "degraded"
	case Socket:
		return "socket"
	case Header:
		return "header"
	case Internal:
		return "internal"
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

// Client is who sent a request. Addresses are canonical. Peer is the other end
// of the connection, invalid for a Unix socket. UntrustedForwarder says that
// the peer looks like a proxy that somebody forgot to trust: it is private or
// loopback (or a Unix socket) and sends a forwarding header that was ignored.
type Client struct {
	Addr               netip.Addr
	Kind               Kind
	UntrustedForwarder bool
	Peer               netip.Addr
}

// Options say whom to believe. The zero value believes nobody.
type Options struct {
	Trusted   []netip.Prefix // proxies whose header is believed
	Header    string         // a list of addresses, the nearest last; default X-Forwarded-For
	TrustUnix bool           // believe the other end of a Unix socket
}

// Resolver finds clients. It is immutable.
type Resolver struct {
	trusted   []netip.Prefix
	header    string // canonical
	trustUnix bool
}

// New checks options. The error is warder.Faults, located at trusted_proxies[i]
// and client_ip_header: a trusted prefix must not be wider than /8 (IPv6 /16),
// since whoever may write the header may be anybody.
func New(o Options) (*Resolver, error) {
	r := &Resolver{header: DefaultHeader, trustUnix: o.TrustUnix}
	var faults warder.Faults
	for i, p := range o.Trusted {
		q, err := trustable(p)
		if err != nil {
			faults.Add(fmt.Sprintf("trusted_proxies[%d]", i), "%s: %v", p, err)
			continue
		}
		r.trusted = append(r.trusted, q)
	}
	if o.Header != "" {
		r.header = http.CanonicalHeaderKey(o.Header)
		if err := warder.CheckClientHeader(o.Header); err != nil {
			faults.Add("client_ip_header", "%s", err)
		}
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

func trustable(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, errors.New("is not a prefix")
	}
	if a := warder.Canonical(p.Addr()); a.Is4() && !p.Addr().Is4() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a, p.Bits()-96)
	}
	widest := 8
	if p.Addr().Is6() {
		widest = 16
	}
	switch {
	case p.Bits() == 0:
		return p, errors.New("trusting everybody means that every client chooses its own address")
	case p.Bits() < widest:
		return p, fmt.Errorf("is wider than /%d", widest)
	}
	return p.Masked(), nil
}

// Trusts reports whether a is a trusted proxy.
func (r *Resolver) Trusts(a netip.Addr) bool {
	a = warder.Canonical(a)
	for _, p := range r.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Client finds the client of a request with this http.Request.RemoteAddr and
// header.
func (r *Resolver) Client(remoteAddr string, h http.Header) Client {
	var c Client
	var believed bool
	if unix(remoteAddr) {
		believed = r.trustUnix
		c.UntrustedForwarder = !believed && r.forwards(h)
	} else {
		peer, ok := parsePeer(remoteAddr)
		if !ok {
			return c
		}
		c.Peer = peer
		if believed = r.Trusts(peer); !believed {
			c.Addr, c.Kind = peer, Socket
			c.UntrustedForwarder = private(peer) && r.forwards(h)
		}
	}
	if !believed {
		return c
	}
	c.Addr, c.Kind = r.walk(h[r.header], c.Peer)
	return c
}

// walk goes through the lines of the header from the right, past trusted
// proxies, up to the first address that is not one.
func (r *Resolver) walk(lines []string, peer netip.Addr) (netip.Addr, Kind) {
	last, hops := peer, 0
	for _, line := range slices.Backward(lines) {
		for rest, more := line, true; more; {
			var item string
			rest, item, more = cutLast(rest)
			if item = strings.Trim(item, " \t"); item == "" {
				continue
			}
			hops++
			a, ok := parseHop(item)
			if !ok || hops > MaxHops {
				return netip.Addr{}, Degraded
			}
			if !r.Trusts(a) {
				return a, Header
			}
			last = a
		}
	}
	return last, Internal
}

func cutLast(s string) (before, last string, more bool) {
	i := strings.LastIndexByte(s, ',')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// parseHop reads one item of the header: an address, or one with a port, IPv6
// with a port in brackets. Zones mean nothing to anybody but the proxy.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		bare, bracketed := strings.CutPrefix(s, "[")
		if bare, ok := strings.CutSuffix(bare, "]"); ok && bracketed {
			a, err = netip.ParseAddr(bare)
			if a.Is4() {
				return netip.Addr{}, false
			}
		} else {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(s)
			a = ap.Addr()
		}
	}
	if err != nil {
		return netip.Addr{}, false
	}
	a = warder.Canonical(a)
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, false
	}
	return a, true
}

func parsePeer(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return warder.Canonical(ap.Addr()), true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return warder.Canonical(a), true
	}
	return netip.Addr{}, false
}

// unix reports whether net/http names the peer of a Unix socket like this:
// nearly always "@", since clients seldom bind an address of their own.
func unix(remoteAddr string) bool {
	return remoteAddr == "" || remoteAddr[0] == '@' || remoteAddr[0] == '/'
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func private(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || shared.Contains(a)
}

// forwards reports whether a request carries a header that only proxies send.
func (r *Resolver) forwards(h http.Header) bool {
	for _, name := range [...]string{r.header, DefaultHeader, "Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// Header is the canonical name of the one header that is believed.
func (r *Resolver) Header() string { return r.header }
