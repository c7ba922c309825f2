package gate

import (
	"slices"
	"strings"
)

// Applications and the servers around them do not agree on what a path means:
// some decode it twice, drop what follows a semicolon, take a backslash for a
// slash or ignore the case. A request is matched in every spelling that
// somebody could read it in. Where these disagree about which endpoint is
// meant, the request is refused; where they agree it is as good as any other.

// readings are the paths that a path could be read as, in lower case, without a
// slash at the end. plain says that there is only one.
type readings struct {
	paths [3]string
	plain bool
	deep  bool // encoded more often than anybody has a reason to
}

// read finds the readings of an escaped path.
func read(escaped string) readings {
	if plainPath(escaped) {
		return readings{paths: [3]string{trimSlash(strings.ToLower(escaped))}, plain: true}
	}
	whole, stable := decodeAll(escaped)
	once, _ := decodeOnce(escaped)
	return readings{
		paths: [3]string{
			trimSlash(strings.ToLower(escaped)),
			resolve(once, false),
			resolve(fold(whole), true),
		},
		deep: !stable,
	}
}

// plainPath reports whether nobody can read s in two ways, but for its case.
func plainPath(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '~', c == '@', c == '+', c == '=', c == ',':
		case c == '.':
			// A segment that begins or ends in a dot may be taken for another.
			if s[i-1] == '/' || i+1 == len(s) || s[i+1] == '/' {
				return false
			}
		case c == '/':
			if i > 0 && s[i-1] == '/' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func trimSlash(s string) string {
	for len(s) > 1 && s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return s
}

// decodeOnce decodes percent signs; what is no encoding stays as it is.
func decodeOnce(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, false
	}
	var b strings.Builder
	b.Grow(len(s))
	changed := false
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				changed = true
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), changed
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// decodeAll decodes until nothing changes, five times at most.
func decodeAll(s string) (out string, stable bool) {
	for range 5 {
		next, changed := decodeOnce(s)
		if !changed {
			return s, true
		}
		s = next
	}
	_, changed := decodeOnce(s)
	return s, !changed
}

// folds are other spellings of the characters that structure a path: overlong
// UTF-8 and full-width forms.
var folds = strings.NewReplacer(
	"\xc0\xaf", "/", "\xe0\x80\xaf", "/", "\xc0\xae", ".", "\xe0\x80\xae", ".", "\xc1\x9c", "/", "\\", "/",
	"\uff0f", "/", "\u2215", "/", "\u2044", "/", "\uff3c", "/", "\uff0e", ".", "\u2024", ".",
)

// fold ends a path where some servers end it and folds its separators.
func fold(s string) string {
	if i := strings.IndexAny(s, "?#\x00"); i >= 0 {
		s = s[:i]
	}
	return folds.Replace(s)
}

// resolve takes out empty segments and dots. With params it also takes off what
// follows a semicolon, and the spaces, dots and control characters at the end
// of a segment that some file systems ignore.
func resolve(s string, params bool) string {
	var kept []string
	for seg := range strings.SplitSeq(s, "/") {
		if params {
			seg, _, _ = strings.Cut(seg, ";")
			seg = strings.TrimFunc(seg, func(r rune) bool { return r <= 0x20 || r == 0x7f })
		}
		switch {
		case seg == "" || seg == ".":
			continue
		case seg == "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			continue
		case params:
			if seg = strings.TrimRight(seg, "."); seg == "" {
				continue
			}
		}
		kept = append(kept, seg)
	}
	return "/" + strings.ToLower(strings.Join(kept, "/"))
}

// climbs reports whether a path goes up on its way in any reading. Browsers have
// worked that out before they ask; where the application's own path stands
// before it, it could lead beside what was matched.
func climbs(escaped string) bool {
	if plainPath(escaped) {
		return false
	}
	whole, _ := decodeAll(escaped)
	return strings.Contains(folds.Replace(whole), "/..")
}

// pattern is a path of a profile. A star at its end stands for everything
// below, one at its beginning for everything before.
type pattern struct {
	path   string // lower case, without stars
	below  bool
	before bool
}

func newPattern(s string) pattern {
	p := pattern{path: strings.ToLower(s)}
	p.path, p.before = strings.CutPrefix(p.path, "*")
	if p.path, p.below = strings.CutSuffix(p.path, "/*"); p.path != "/" {
		p.path = strings.TrimSuffix(p.path, "/") // as readings have none
	}
	return p
}

// whole reports whether a pattern is about every path there is, so that no
// spelling can escape it.
func (p pattern) whole() bool { return p.path == "" && p.below }

// match reports whether a reading falls under the pattern. Applications take
// /login.json for /login, Rails /login.anything, and PHP /login.php/x for
// /login.php.
func (p pattern) match(path string) bool {
	if p.before {
		for i := 0; ; {
			j := strings.Index(path[i:], p.path)
			if j < 0 {
				return false
			}
			i += j
			if p.rest(path[i+len(p.path):]) {
				return true
			}
			i++
		}
	}
	rest, ok := strings.CutPrefix(path, p.path)
	return ok && p.rest(rest)
}

// rest judges what follows the pattern's own text.
func (p pattern) rest(rest string) bool {
	switch {
	case rest == "" || rest == "/":
		return true
	case rest[0] == '/':
		return p.below || strings.IndexByte(p.path[strings.LastIndexByte(p.path, '/')+1:], '.') >= 0
	case rest[0] == '.' && !p.below:
		return true
	}
	return false
}

// at returns all endpoints at the path of ep, which find returned, ep first: in
// whichever way somebody could read it.
func (p *Profile) at(ep *Endpoint, escaped string) []*Endpoint {
	list := []*Endpoint{ep}
	if len(ep.When) == 0 {
		return list
	}
	r := read(escaped)
	paths := r.paths[:]
	if r.plain {
		paths = paths[:1]
	}
	for i := range p.Endpoints {
		other := &p.Endpoints[i]
		if other != ep && other.asksFields() && slices.ContainsFunc(paths, other.covers) {
			list = append(list, other)
		}
	}
	return list
}

// basicAt returns the endpoint for HTTP Basic at a path, in whichever way somebody
// could read it, also where another one stands before it; nil: there is none.
func (p *Profile) basicAt(escaped string) *Endpoint {
	r := read(escaped)
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; e.Kind == Basic && slices.ContainsFunc(r.paths[:], e.covers) {
			return e
		}
	}
	return nil
}

// find returns the endpoint that a request is for. odd says that it could be
// for one and could be for another, or for none.
func (p *Profile) find(escaped string) (ep *Endpoint, odd bool) {
	r := read(escaped)
	ep = p.endpoint(r.paths[0])
	if r.plain {
		return ep, false
	}
	for _, path := range r.paths[1:] {
		other := p.endpoint(path)
		odd = odd || other != ep
		if ep == nil {
			ep = other
		}
	}
	return ep, odd || r.deep && ep != nil
}

func (p *Profile) endpoint(path string) *Endpoint {
	for i := range p.Endpoints {
		if p.Endpoints[i].covers(path) {
			return &p.Endpoints[i]
		}
	}
	return nil
}

// covers reports whether a reading is about the endpoint, also where it goes
// through the script that answers for every path of a PHP application:
// /index.php/login is /login.
func (e *Endpoint) covers(path string) bool {
	matches := func(path string) bool {
		return slices.ContainsFunc(e.patterns, func(pat pattern) bool { return pat.match(path) })
	}
	if matches(path) {
		return true
	}
	i := strings.Index(path, ".php/")
	return i >= 0 && matches(path[i+len(".php"):])
}
