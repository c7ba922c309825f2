package feed

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/warderhq/warder"
)

// Limits of a list.
const (
	DefaultMaxBody = 8 << 20 // bytes
	maxEntries     = 1 << 20
	maxLine        = 256
	maxRejects     = 100 // kept with their line; all are counted

	// Floors: wider prefixes are refused.
	floor4 = 16
	floor6 = 32

	// The most that one list may cover: half a percent of the IPv4 addresses,
	// as much of IPv6 as sixteen /32.
	maxCovered4 = 1 << 32 / 200
	maxCovered6 = 16 << (64 - floor6)
)

// ErrNotAList is wrapped when a whole list is refused: it is something else, or
// nobody honest publishes it.
var ErrNotAList = errors.New("list refused")

// Reject is one line that was refused. The line itself is not shown: a source
// may turn out to be something that is not for everybody's eyes.
type Reject struct {
	Line   int    `json:"line"` // from 1
	Reason string `json:"reason"`
}

// Parsed is the outcome of reading a list.
type Parsed struct {
	List     *List
	Lines    int            // lines that were not empty and no comment
	Rejects  []Reject       // the first ones
	Rejected int            // all of them
	Reasons  map[string]int // all of them, by reason
	Upstream time.Time      // when the publisher made it, if the list says so
}

// Reasons for refusing a line. They contain nothing of the line.
const (
	whyNoAddress = "is not an address or a prefix"
	whyHostBits  = "has bits set beyond the prefix length"
	whyWide      = "is wider than /16 (IPv4) or /32 (IPv6)"
	whyNotPublic = "is not a public address"
	whyNever     = "overlaps an address that is never listed"
	whyLevel     = "has a level that is not a number of 1 to 65535"
	whyForm      = "is not of the form address, or address, tab and level"
	whyLong      = "is longer than 256 bytes"
)

// canaries are public resolvers. A list that names one is broken or poisoned.
var canaries = []netip.Addr{
	netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("1.0.0.1"),
	netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("8.8.4.4"),
	netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("149.112.112.112"),
	netip.MustParseAddr("208.67.222.222"), netip.MustParseAddr("208.67.220.220"),
	netip.MustParseAddr("2606:4700:4700::1111"), netip.MustParseAddr("2606:4700:4700::1001"),
	netip.MustParseAddr("2001:4860:4860::8888"), netip.MustParseAddr("2001:4860:4860::8844"),
	netip.MustParseAddr("2620:fe::fe"), netip.MustParseAddr("2620:fe::9"),
}

// notPublic are never listed, whatever a list says. Documentation addresses are
// left out: they do no harm and serve for trying things out.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

var public6 = netip.MustParsePrefix("2000::/3")

// Parse reads a list: `address TAB level` per line as IPsum publishes it, or
// plain addresses and prefixes, which have level 1. Comments begin with # or ;
// and may follow an entry. A bare IPv6 address means its /64, the unit in which
// sources are judged. Lines that are wrong, or name what must not be listed,
// are counted and left out; an error refuses the whole.
func Parse(body []byte, neverBlock func(netip.Prefix) bool) (*Parsed, error) {
	p := &Parsed{Reasons: map[string]int{}}
	if err := looksLikeList(body); err != nil {
		return p, err
	}
	entries := make([]Entry, 0, min(bytes.Count(body, []byte{'\n'})+1, maxEntries))
	line := 0
	for text := range strings.Lines(strings.TrimPrefix(string(body), "\ufeff")) {
		line++
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		if text[0] == '#' || text[0] == ';' {
			p.header(text)
			continue
		}
		p.Lines++
		e, why := parseLine(text)
		if why == "" {
			why = listable(e.Prefix)
		}
		if why == "" {
			for _, c := range canaries {
				if e.Prefix.Contains(c) {
					return p, fmt.Errorf("%w: line %d lists %s, a public resolver", ErrNotAList, line, c)
				}
			}
			if neverBlock != nil && neverBlock(e.Prefix) {
				why = whyNever
			}
		}
		if why != "" {
			p.Rejected++
			p.Reasons[why]++
			if len(p.Rejects) < maxRejects {
				p.Rejects = append(p.Rejects, Reject{line, why})
			}
			continue
		}
		if len(entries) == maxEntries {
			return p, fmt.Errorf("%w: more than %d entries", ErrNotAList, maxEntries)
		}
		entries = append(entries, e)
	}
	switch {
	case len(entries) == 0:
		return p, fmt.Errorf("%w: no entry in %d lines", ErrNotAList, line)
	case p.Rejected > len(entries):
		return p, fmt.Errorf("%w: %d of %d entries are wrong", ErrNotAList, p.Rejected, p.Lines)
	}
	l := newList(entries)
	if v4, v6 := l.covered(); v4 > maxCovered4 || v6 > maxCovered6 {
		return p, fmt.Errorf("%w: it covers %d IPv4 addresses and %d IPv6 networks, more than half a percent of all", ErrNotAList, v4, v6)
	}
	p.List = l
	return p, nil
}

// looksLikeList refuses what is no list at first sight: pages, programs,
// archives.
func looksLikeList(body []byte) error {
	start := bytes.TrimSpace(bytes.TrimPrefix(body[:min(len(body), 512)], []byte("\xef\xbb\xbf")))
	switch {
	case len(start) == 0 && len(body) <= 512:
		return fmt.Errorf("%w: it is empty", ErrNotAList)
	case len(start) > 0 && start[0] == '<':
		return fmt.Errorf("%w: it is a web page", ErrNotAList)
	case len(start) > 0 && (start[0] == '{' || start[0] == '['):
		return fmt.Errorf("%w: it is JSON", ErrNotAList)
	case bytes.IndexByte(body, 0) >= 0, bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		return fmt.Errorf("%w: it is binary", ErrNotAList)
	}
	return nil
}

func parseLine(s string) (e Entry, why string) {
	if len(s) > maxLine {
		return e, whyLong
	}
	if i := strings.IndexAny(s, "#;"); i >= 0 {
		s = strings.TrimRight(s[:i], " \t")
	}
	e.Level = 1
	if i := strings.IndexByte(s, '\t'); i >= 0 {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || n == 0 {
			return e, whyLevel
		}
		s, e.Level = s[:i], uint16(n)
	}
	if strings.ContainsAny(s, " \t\r") {
		return e, whyForm
	}
	if strings.IndexByte(s, '/') < 0 {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return e, whyNoAddress
		}
		e.Prefix = warder.AddressKey(a)
		return e, ""
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return e, whyNoAddress
	case p != p.Masked():
		return e, whyHostBits
	}
	if e.Prefix, err = warder.ParseSource(s); err != nil {
		return e, whyWide // of the IPv4-mapped range
	}
	return e, ""
}

// listable says why a prefix must not be listed.
func listable(p netip.Prefix) string {
	if p.Addr().Is6() {
		switch {
		case p.Bits() < floor6:
			return whyWide
		case !public6.Contains(p.Addr()):
			return whyNotPublic
		}
		return ""
	}
	if p.Bits() < floor4 {
		return whyWide
	}
	for _, n := range notPublic {
		if n.Overlaps(p) {
			return whyNotPublic
		}
	}
	return ""
}

// header takes the date out of a comment such as
// "# Last update: Sat, 22 Aug 2026 03:00:29 +0200".
func (p *Parsed) header(s string) {
	if !p.Upstream.IsZero() || len(s) > maxLine {
		return
	}
	const mark = "last update:"
	i := strings.Index(strings.ToLower(s), mark)
	if i < 0 || i+len(mark) > len(s) {
		return
	}
	s = strings.TrimSpace(s[i+len(mark):])
	for _, layout := range []string{time.RFC1123Z, time.RFC1123, time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			p.Upstream = t.UTC()
			return
		}
	}
}
