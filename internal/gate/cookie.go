package gate

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	gohash "hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DeviceCookie tells a browser that signed in well from others. It holds a
// random number with a signature; Warder keeps and reports only a hash of it.
const DeviceCookie = "warder_device"

const (
	deviceLife = 400 * 24 * time.Hour // the longest that browsers keep
	// maxSessions is how many session cookies of one request are looked at; the
	// application does not get to see more.
	maxSessions = 4
)

// keys sign and hash what a site learns of its visitors, so that no value of a
// cookie or password is ever kept or reported.
type keys struct {
	device, guess []byte
	sessions      *sync.Pool // of hash.Hash; every request with a cookie needs one
}

func newKeys(secret []byte) keys {
	derive := func(purpose string) []byte { return hash(secret, purpose) }
	session := derive("gate session")
	return keys{derive("gate device"), derive("gate guess"), &sync.Pool{New: func() any { return hmac.New(sha256.New, session) }}}
}

func hash(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write([]byte(p))
		mac.Write([]byte{0})
	}
	return mac.Sum(nil)
}

// sessionID names the session that a cookie holds.
func (k keys) sessionID(site, value string) string {
	mac := k.sessions.Get().(gohash.Hash)
	defer k.sessions.Put(mac)
	mac.Reset()
	var b [2 * sha256.Size]byte
	mac.Write(append(append(b[:0], site...), 0))
	mac.Write([]byte(value))
	sum := mac.Sum(b[:0])
	var text [32]byte
	hex.Encode(text[:], sum[:16])
	return string(text[:])
}

// newDevice makes the value of a device cookie.
func (k keys) newDevice() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	id := base64.RawURLEncoding.EncodeToString(b[:])
	return id + "." + base64.RawURLEncoding.EncodeToString(hash(k.device, "sign", id)[:16])
}

// deviceID names the device of a cookie; "" if we did not make it.
func (k keys) deviceID(value string) string {
	id, mac, ok := strings.Cut(value, ".")
	if !ok || len(value) > 64 || !hmac.Equal([]byte(mac), []byte(base64.RawURLEncoding.EncodeToString(hash(k.device, "sign", id)[:16]))) {
		return ""
	}
	return hex.EncodeToString(hash(k.device, "name", id)[:16])
}

// cookies goes through the cookies of a request as they stand there, quotes
// included, until f returns false; also through those that not everybody finds.
func cookies(h http.Header, f func(name, value string) bool) {
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			name, value, _ := strings.Cut(pair, "=")
			if name != "" && !f(strings.TrimSpace(name), strings.TrimSpace(value)) || !hidden(pair, f) {
				return
			}
		}
	}
}

// hidden goes through what some take for further cookies inside of one: they
// let a comma or a space end it, as Python does, and servers of Java.
func hidden(pair string, f func(name, value string) bool) bool {
	start, between := 0, false // of a name; 0: of the cookie's own, -1: it had its value
	for i := range len(pair) {
		switch c := pair[i]; {
		case c == '=':
			if start > 0 && !f(trimSpaces(pair[start:i]), firstToken(trimSpaces(pair[i+1:]))) {
				return false
			}
			start, between = -1, false
		case c == ',' || anySpace(c):
			between = true
		case between:
			start, between = i, false
		}
	}
	return true
}

func firstToken(s string) string {
	for i := range len(s) {
		if s[i] == ',' || anySpace(s[i]) {
			return s[:i]
		}
	}
	return s
}

// dropCookies takes the cookies out that drop names, with those that they are
// hidden in.
func dropCookies(h http.Header, drop func(name, value string) bool) {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return
	}
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			name, value, _ := strings.Cut(pair, "=")
			if pair != "" && !drop(strings.TrimSpace(name), strings.TrimSpace(value)) && hidden(pair, func(name, value string) bool { return !drop(name, value) }) {
				kept = append(kept, pair)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = []string{strings.Join(kept, "; ")}
}

// dropSessions takes all cookies out that hold one of the sessions, whatever
// their names.
func (s *Site) dropSessions(h http.Header, gone []string) {
	dropCookies(h, func(name, value string) bool {
		return s.isSession(name) && slices.Contains(gone, s.sessionOf(s.keys.sessionID(s.name, s.sessionValue(value))))
	})
}

// dropAllSessions takes all cookies out that hold any session.
func (s *Site) dropAllSessions(h http.Header) {
	dropCookies(h, func(name, _ string) bool { return s.isSession(name) })
}

// visitor is what the cookies of a request say.
type visitor struct {
	sessions []string // ids, in the order of the cookies
	names    []string // of the cookies that hold them
	device   string   // id; "" if there is none of ours
	marked   bool     // there is a cookie of our names, ours or not
	many     bool     // more sessions than are looked at
	left     []string // ids of sessions that were signed out

	clearance string // of a solved challenge; whether it is good, the engine knows

	room [2][maxSessions]string // for sessions and names
}

// visitor reads the cookies of a request into v, which is empty and must not be
// copied.
func (s *Site) visitor(v *visitor, h http.Header) {
	if len(h["Cookie"]) == 0 {
		return
	}
	v.sessions, v.names = v.room[0][:0], v.room[1][:0]
	cookies(h, func(name, value string) bool {
		if name == DeviceCookie {
			v.marked = true
			if v.device == "" {
				v.device = s.keys.deviceID(value)
			}
			return true
		}
		if name == ClearanceCookie {
			v.marked = true
			if len(value) <= maxClearance {
				v.clearance = value
			}
			return true
		}
		if v.many || !s.isSession(name) {
			return true
		}
		value = s.sessionValue(value)
		if value == "" {
			return true
		}
		id := s.sessionOf(s.keys.sessionID(s.name, value))
		if _, ok := s.left.get(id); ok {
			v.left = append(v.left, id)
			return true
		}
		if slices.Contains(v.sessions, id) {
			return true
		}
		if len(v.sessions) == maxSessions {
			v.many = true
			return true
		}
		v.sessions, v.names = append(v.sessions, id), append(v.names, name)
		return true
	})
}

// isSession reports whether a cookie of this name holds a session.
func (s *Site) isSession(name string) bool {
	if strings.IndexByte(name, '%') >= 0 {
		name, _ = decodeOnce(name) // as PHP did until 7.4
	}
	return slices.ContainsFunc(s.sessions, func(p string) bool { return namedLoosely(p, name) })
}

// namedLoosely is named as the most generous application compares: PHP makes
// underscores of dots, spaces and brackets, and .NET does not look at the case.
func namedLoosely(pattern, name string) bool {
	pattern, all := strings.CutSuffix(pattern, "*")
	if len(name) < len(pattern) || len(name) > len(pattern) && !all {
		return false
	}
	for i := range len(pattern) {
		if cookieByte(name[i]) != cookieByte(pattern[i]) {
			return false
		}
	}
	return true
}

func cookieByte(c byte) byte {
	switch c {
	case ' ', '.', '[', '+':
		return '_'
	}
	return lowerByte(c)
}

// expired reports whether a cookie of a response takes the cookie away.
func expired(c *http.Cookie) bool {
	return c.Value == "" || c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now())
}

// sessionValue is the part of a cookie's value that names a session, "" if
// none does.
func (s *Site) sessionValue(value string) string {
	value = plainValue(value)
	if s.profile.SessionFields == 0 {
		return value
	}
	end := 0
	for range s.profile.SessionFields {
		i := strings.IndexByte(value[end:], '|')
		if i < 0 {
			return ""
		}
		end += i + 1
	}
	return value[:end]
}

// plainValue is the value of a cookie as applications read it that decode it:
// one session must not have two names. Some take percent signs and plus for
// an encoding, others what stands behind a backslash.
func plainValue(value string) string {
	value = strings.Trim(value, `"`)
	for range 5 {
		if !strings.ContainsAny(value, `%+\`) {
			break
		}
		next, _ := decodeOnce(strings.ReplaceAll(value, "+", " "))
		if next = unslash(next); next == value {
			break
		}
		value = next
	}
	return value
}

// unslash takes backslashes away, and what they stand for in octal.
func unslash(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) {
				break
			}
			if n, err := strconv.ParseUint(s[i:min(i+3, len(s))], 8, 8); err == nil && i+3 <= len(s) {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// opened returns the session that a response opens, "" if none. Of a cookie
// that is set twice the last one counts, as in browsers.
func (s *Site) opened(list []*http.Cookie) (session string) {
	first := ""
	for _, c := range list {
		if first != "" && c.Name != first || !s.isSession(c.Name) {
			continue
		}
		value := s.sessionValue(c.Value)
		if expired(c) || value == "" {
			if c.Name == first {
				session = ""
			}
			continue
		}
		first, session = c.Name, s.keys.sessionID(s.name, value)
	}
	return session
}

// expire tells the browser to forget the sessions that have ended.
func (s *Site) expire(h http.Header, names []string, secure bool) {
	for _, name := range names {
		c := http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}
		c.Secure = secure || strings.HasPrefix(name, "__")
		if text := c.String(); text != "" { // no browser has one of such a name
			h.Add("Set-Cookie", text)
		}
	}
}

func (s *Site) deviceCookie(secure bool) string {
	c := http.Cookie{
		Name: DeviceCookie, Value: s.keys.newDevice(), Path: "/", MaxAge: int(deviceLife / time.Second),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
	return c.String()
}
