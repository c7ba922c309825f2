package outbound

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// denied4 and denied6 are not public: private, local, reserved, documentation
// and translation ranges. Of IPv6 only 2000::/3 is public at all, which takes
// care of mapped, compatible, NAT64, site-local and multicast addresses.
var (
	denied4 = prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
		"172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	)
	public6 = netip.MustParsePrefix("2000::/3")
	denied6 = prefixes(
		"2001::/23", // Teredo, benchmarking, ORCHID and other protocol assignments
		"2001:db8::/32", "2002::/16", "3fff::/20",
	)
	// metadata are the services from which a cloud machine learns its secrets.
	// No configuration opens them.
	metadata = prefixes(
		"169.254.169.254/32", "169.254.170.0/24", "100.100.100.200/32", "192.0.0.192/32",
		"168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128",
	)
	metadataHosts = []string{
		"metadata", "metadata.google.internal", "metadata.goog", "instance-data",
		"instance-data.ec2.internal", "metadata.azure.internal", "metadata.tencentyun.com",
	}
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// plain is an address without the IPv4-mapped form.
func plain(a netip.Addr) netip.Addr { return a.Unmap() }

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// check is nil if a is a public address, or one that the operator allows.
func (c *Client) check(a netip.Addr) error {
	if err := c.usable(a); err != nil {
		return err
	}
	if contains(c.opts.AllowPrivate, a) {
		return nil
	}
	if !public(a) {
		return fmt.Errorf("%w: %s is not a public address", ErrRefused, a)
	}
	if contains(c.live.Load().deny, a) {
		return fmt.Errorf("%w: %s belongs to this installation", ErrRefused, a)
	}
	own, err := c.opts.Interfaces()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	for _, o := range own {
		if plain(o) == a {
			return fmt.Errorf("%w: %s is this machine", ErrRefused, a)
		}
	}
	return nil
}

// checkNamed is the rule for mail servers that the configuration names.
func (c *Client) checkNamed(a netip.Addr) error { return c.usable(a) }

// usable refuses what no configuration can mean.
func (c *Client) usable(a netip.Addr) error {
	switch {
	case !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast():
		return fmt.Errorf("%w: %s is not the address of a server", ErrRefused, a)
	case contains(metadata, a):
		return fmt.Errorf("%w: %s is a metadata service", ErrRefused, a)
	}
	return nil
}

func public(a netip.Addr) bool {
	if a.Is4() {
		return !contains(denied4, a)
	}
	return public6.Contains(a) && !contains(denied6, a)
}

// foldHost is the one spelling in which host names are compared.
func foldHost(h string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(h), "."))
}

// checkHost refuses host names that resolvers read in different ways: numbers
// that are no strict dotted quad, other alphabets, zones, metadata services.
func checkHost(host string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: host name %s", ErrRefused, why) }
	if host == "" || len(host) > 253 {
		return refuse("must have 1 to 253 characters")
	}
	if strings.Contains(host, ":") {
		a, err := netip.ParseAddr(host)
		if err != nil || a.Zone() != "" {
			return refuse("is not an IPv6 address")
		}
		return nil
	}
	for i := range len(host) {
		if c := host[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return refuse("must consist of ASCII letters, digits, dots and hyphens")
		}
	}
	name := foldHost(host)
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return refuse("has an empty or overlong label")
		}
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last[0] >= '0' && last[0] <= '9' { // no top-level domain does; resolvers read 0x7f.1 and 127.1
		if a, err := netip.ParseAddr(host); err != nil || !a.Is4() {
			return refuse("is a number that is not an IPv4 address in its usual form")
		}
		return nil
	}
	if slices.Contains(metadataHosts, name) {
		return refuse("is a metadata service")
	}
	return nil
}
