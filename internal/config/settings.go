package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/mail"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/warderhq/warder"
)

// kind is the type of a setting's value, named as faults name it.
type kind string

const (
	text    kind = "a text"
	list    kind = "a list"
	number  kind = "a number"
	boolean kind = "true or false"
	size    kind = "a size such as 128MiB"
)

// setting is one value of the configuration: its name in the file, which also
// gives its variable, and how it is read. set gets one value, or any number for
// a list; its error is a message for people.
type setting struct {
	name   string
	kind   kind
	secret bool // may be given as <name>_file; never printed
	set    func(c *Config, values []string) error
}

// sections are the settings that hold settings.
var sections = []string{"tls", "smtp", "outbound", "retention", "limits", "denied", "challenge", "log"}

var settings = []setting{
	{name: "listen", kind: text, set: func(c *Config, v []string) error {
		c.Listen = v[0]
		return checkListen(v[0])
	}},
	{name: "public_url", kind: text, set: func(c *Config, v []string) (err error) {
		c.PublicURL, err = parseURL(v[0])
		return err
	}},
	{name: "public_listen", kind: text, set: func(c *Config, v []string) error {
		if c.PublicListen = v[0]; v[0] == "" {
			return nil
		}
		return checkListen(v[0])
	}},
	{name: "tls.cert", kind: text, set: func(c *Config, v []string) error { c.TLS.Cert = v[0]; return nil }},
	{name: "tls.key", kind: text, set: func(c *Config, v []string) error { c.TLS.Key = v[0]; return nil }},
	{name: "data", kind: text, set: func(c *Config, v []string) error {
		if c.Data = v[0]; c.Data == "" {
			return errors.New("must name a directory")
		}
		return nil
	}},
	{name: "database", kind: text, secret: true, set: notYet("keeps its data in SQLite inside the data directory")},
	{name: "trusted_proxies", kind: list, set: func(c *Config, v []string) (err error) {
		c.TrustedProxies, err = prefixes(v, parseProxy)
		return err
	}},
	{name: "client_ip_header", kind: text, set: func(c *Config, v []string) error {
		if err := warder.CheckClientHeader(v[0]); err != nil {
			return err
		}
		c.ClientIPHeader = textproto.CanonicalMIMEHeaderKey(v[0])
		return nil
	}},
	{name: "never_block", kind: list, set: func(c *Config, v []string) (err error) {
		c.NeverBlock, err = prefixes(v, warder.ParseSource)
		return err
	}},
	{name: "protect_loopback", kind: boolean, set: func(c *Config, v []string) (err error) {
		c.ProtectLoopback, err = parseBool(v[0])
		return err
	}},
	{name: "policy_file", kind: text, set: func(c *Config, v []string) error { c.PolicyFile = v[0]; return nil }},
	{name: "smtp.host", kind: text, set: func(c *Config, v []string) error {
		c.SMTP.Host = v[0]
		if strings.ContainsAny(v[0], " /@\t\r\n") || strings.Count(v[0], ":") == 1 {
			return errors.New("must be a host name or address, without a port")
		}
		return nil
	}},
	{name: "smtp.port", kind: number, set: func(c *Config, v []string) (err error) {
		c.SMTP.Port, err = parseInt(v[0], 1, 65535)
		return err
	}},
	{name: "smtp.tls", kind: text, set: func(c *Config, v []string) error {
		c.SMTP.TLS = v[0]
		return oneOf(v[0], "starttls", "implicit", "none")
	}},
	{name: "smtp.user", kind: text, set: func(c *Config, v []string) error { c.SMTP.User = v[0]; return nil }},
	{name: "smtp.password", kind: text, secret: true, set: func(c *Config, v []string) error {
		c.SMTP.Password = v[0]
		return nil
	}},
	{name: "smtp.from", kind: text, set: func(c *Config, v []string) error {
		if c.SMTP.From = v[0]; v[0] == "" {
			return nil
		}
		return checkAddress(v[0])
	}},
	{name: "smtp.to", kind: list, set: func(c *Config, v []string) error {
		c.SMTP.To = v
		for _, to := range v {
			if a, err := mail.ParseAddress(to); err != nil || a.Address != to {
				return fmt.Errorf("must be plain e-mail addresses, one is %q", clip(to))
			}
		}
		if len(v) > 100 {
			return errors.New("must name at most 100 recipients")
		}
		return nil
	}},
	{name: "outbound.allow_private", kind: list, set: func(c *Config, v []string) (err error) {
		c.Outbound.AllowPrivate, err = prefixes(v, parseTarget)
		return err
	}},
	{name: "retention.events_days", kind: number, set: func(c *Config, v []string) (err error) {
		c.Retention.EventsDays, err = parseInt(v[0], 1, 36500)
		return err
	}},
	{name: "retention.max_size", kind: size, set: func(c *Config, v []string) (err error) {
		c.Retention.MaxSize, err = sizeBetween(v[0], 64<<20, 1<<50)
		return err
	}},
	{name: "limits.counters", kind: size, set: func(c *Config, v []string) (err error) {
		c.Limits.Counters, err = sizeBetween(v[0], 8<<20, 1<<40)
		return err
	}},
	{name: "limits.body", kind: size, set: func(c *Config, v []string) (err error) {
		c.Limits.Body, err = sizeBetween(v[0], 64<<10, 64<<20)
		return err
	}},
	{name: "limits.batch", kind: size, set: func(c *Config, v []string) (err error) {
		c.Limits.Batch, err = sizeBetween(v[0], 64<<10, 256<<20)
		return err
	}},
	{name: "sites", kind: list, set: func(_ *Config, v []string) error {
		if len(v) > 0 { // a file's are read by loader.sites
			return errors.New("must be given in the configuration file, or with warder gate")
		}
		return nil
	}},
	{name: "denied.brand", kind: text, set: func(c *Config, v []string) error {
		c.Denied.Brand = v[0]
		return atMost(v[0], 200)
	}},
	{name: "denied.contact", kind: text, set: func(c *Config, v []string) error {
		c.Denied.Contact = v[0]
		return atMost(v[0], 200)
	}},
	{name: "challenge.provider", kind: text, set: func(c *Config, v []string) error {
		c.Challenge.Provider = v[0]
		return oneOf(v[0], "embedded", "turnstile", "hcaptcha", "recaptcha")
	}},
	{name: "challenge.site_key", kind: text, set: func(c *Config, v []string) error {
		c.Challenge.SiteKey = v[0]
		return atMost(v[0], 200)
	}},
	{name: "challenge.secret", kind: text, secret: true, set: func(c *Config, v []string) error {
		c.Challenge.Secret = v[0]
		return atMost(v[0], 200)
	}},
	{name: "challenge.server", kind: text, set: func(c *Config, v []string) (err error) {
		c.Challenge.Server, err = parseURL(v[0])
		return err
	}},
	{name: "challenge.fallback", kind: text, set: func(c *Config, v []string) error {
		c.Challenge.Fallback = v[0]
		return oneOf(v[0], "outage", "always")
	}},
	{name: "challenge.difficulty", kind: number, set: func(c *Config, v []string) (err error) {
		c.Challenge.Difficulty, err = parseInt(v[0], 8, 24)
		return err
	}},
	{name: "challenge.origins", kind: list, set: func(c *Config, v []string) error {
		c.Challenge.Origins = v
		return checkOrigins(v)
	}},
	{name: "log.level", kind: text, set: func(c *Config, v []string) error {
		if err := oneOf(v[0], "debug", "info", "warn", "error"); err != nil {
			return err
		}
		var level slog.Level
		err := level.UnmarshalText([]byte(v[0]))
		c.Log.Level = level
		return err
	}},
	{name: "log.format", kind: text, set: func(c *Config, v []string) error {
		c.Log.Format = v[0]
		return oneOf(v[0], "text", "json")
	}},
}

func find(name string) (setting, bool) {
	for _, s := range settings {
		if s.name == name {
			return s, true
		}
	}
	return setting{}, false
}

// check looks at values that must fit together.
func (l *loader) check() {
	c := l.config
	fault := func(name, format string, args ...any) {
		location := l.origin[name]
		if location == "" {
			location = name
		}
		l.faults.Add(location, format, args...)
	}
	if c.TLS.Cert == "" && c.TLS.Key != "" {
		fault("tls.cert", "is required with tls.key")
	}
	if c.TLS.Cert != "" && c.TLS.Key == "" {
		fault("tls.key", "is required with tls.cert")
	}
	if l.origin["smtp.port"] == "" {
		switch c.SMTP.TLS {
		case "implicit":
			c.SMTP.Port = 465
		case "none":
			c.SMTP.Port = 25
		}
	}
	if c.SMTP.Host != "" && c.SMTP.From == "" {
		fault("smtp.from", "is required with smtp.host")
	}
	if (c.SMTP.User == "") != (c.SMTP.Password == "") {
		fault("smtp.user", "and smtp.password are required together")
	}
	if c.SMTP.User != "" && c.SMTP.TLS == "none" {
		fault("smtp.tls", "must not be none where a password is sent")
	}
	if external := c.Challenge.Provider != "embedded"; external && (c.Challenge.SiteKey == "" || c.Challenge.Secret == "") {
		fault("challenge.provider", "needs challenge.site_key and challenge.secret")
	} else if !external && (c.Challenge.SiteKey != "" || c.Challenge.Secret != "" || c.Challenge.Server != "") {
		fault("challenge.provider", "must name the service that the other settings of challenge are for")
	}
	if c.PublicListen != "" && c.PublicListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		fault("public_listen", "must not be the address of listen: the dashboard is there")
	}
	if c.Limits.Batch < c.Limits.Body {
		fault("limits.batch", "must be at least limits.body")
	}
}

// notYet refuses a setting of the contract whose feature this version does not
// have: to accept it would be to claim that it is at work.
func notYet(what string) func(*Config, []string) error {
	return func(_ *Config, v []string) error {
		if len(v) == 0 || len(v) == 1 && v[0] == "" {
			return nil
		}
		return fmt.Errorf("must be empty, this version %s", what)
	}
}

func checkListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("must be address:port such as 127.0.0.1:8420, is %q", clip(s))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("must end in a port from 0 to 65535, is %q", clip(s))
	}
	return nil
}

func parseURL(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("must be a URL such as https://warder.example.org, is %q", clip(s))
	}
	return strings.TrimRight(s, "/"), nil
}

// parseProxy reads a trusted proxy. Unlike a Block, a bare IPv6 address means
// exactly that address: whoever shares a proxy's /64 must not be believed.
func parseProxy(s string) (netip.Prefix, error) {
	p, err := parseTarget(s)
	if err != nil {
		return p, err
	}
	widest := 8
	if p.Addr().Is6() {
		widest = 16
	}
	if p.Bits() > 0 && p.Bits() < widest {
		return p, fmt.Errorf("must not be wider than /%d: whoever it holds is believed", widest)
	}
	return p, nil
}

// parseTarget reads what may be reached; a bare IPv6 address means exactly that
// address.
func parseTarget(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return warder.ParseSource(s)
	}
	a, err := warder.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func prefixes(values []string, parse func(string) (netip.Prefix, error)) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, v := range values {
		p, err := parse(v)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("entry %d: must not be %s, which is everybody", i+1, p)
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("must be true or false, is %q", clip(s))
}

func parseInt(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return least, fmt.Errorf("must be a number from %d to %d, is %q", least, most, clip(s))
	}
	return n, nil
}

var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"B", 1},
	{"", 1},
}

// ParseSize reads a size in bytes: 20GiB, 128MiB, 64KiB, 512B or 512. Decimal
// units (MB) are refused, since they are meant as often as not.
func ParseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		digits = strings.TrimSuffix(digits, " ")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || digits[0] == '+' || digits[0] == '-' || n > math.MaxInt64/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf("must be a size such as 128MiB or 20GiB, is %q", clip(s))
}

// FormatSize writes a size as ParseSize reads it, in the largest unit that
// divides it.
func FormatSize(n int64) string {
	for _, u := range units {
		if u.name != "" && n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func sizeBetween(s string, least, most int64) (int64, error) {
	n, err := ParseSize(s)
	if err != nil {
		return least, err
	}
	if n < least || n > most {
		return least, fmt.Errorf("must be from %s to %s, is %q", FormatSize(least), FormatSize(most), clip(s))
	}
	return n, nil
}

func oneOf(s string, names ...string) error {
	if slices.Contains(names, s) {
		return nil
	}
	return fmt.Errorf("must be one of %s, is %q", strings.Join(names, ", "), clip(s))
}

func checkAddress(s string) error {
	if a, err := mail.ParseAddress(s); err != nil || strings.ContainsAny(a.Address, "\r\n") {
		return fmt.Errorf("must be an e-mail address, is %q", clip(s))
	}
	return nil
}

func isToken(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
