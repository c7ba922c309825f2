package gate

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ticket is why somebody is on a page of ours and where they go from there. It
// is signed for one page and carried in the address, so that nothing is kept
// for anybody.
type ticket struct {
	Realm   string `json:"r,omitempty"`
	Return  string `json:"u,omitempty"` // where to; a local path or a URL of an origin that is allowed
	Posted  bool   `json:"w,omitempty"` // a form was sent and has to be filled in again
	Expires int64  `json:"x"`           // Unix seconds
}

// Bounds of tickets.
const (
	ticketLife = 15 * time.Minute
	maxTicket  = 4 << 10 // bytes
	maxReturn  = 1 << 10 // bytes
)

var errTicket = errors.New("not a ticket of this page")

// seal signs a ticket for one page.
func (p *Pages) seal(page string, t ticket, now time.Time) string {
	t.Expires = now.Add(ticketLife).Unix()
	body, err := json.Marshal(t)
	if err != nil {
		return "" // two texts, a bool and a number
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(hash(p.ticketKey, page, text))
}

// unseal reads a ticket for one page. A ticket that was ours and is too old is
// returned with expired.
func (p *Pages) unseal(page, s string, now time.Time) (t ticket, expired bool, err error) {
	text, mac, ok := strings.Cut(s, ".")
	if !ok || len(s) > maxTicket ||
		!hmac.Equal([]byte(mac), []byte(base64.RawURLEncoding.EncodeToString(hash(p.ticketKey, page, text)))) {
		return ticket{}, false, errTicket
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(body, &t) != nil {
		return ticket{}, false, errTicket
	}
	return t, now.Unix() >= t.Expires, nil
}

// localPath reports whether s leads to a page of the same host in every browser
// there is: //host and /\host lead elsewhere, and control characters are taken
// out before anybody looks.
func localPath(s string) bool {
	if s == "" || s[0] != '/' || len(s) > maxReturn || len(s) > 1 && s[1] == '/' {
		return false
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && !strings.HasPrefix(u.Path, "//") && !ownPath(u.Path)
}

// ownPath reports whether a path is one of our pages, which nobody returns to.
func ownPath(path string) bool {
	return strings.HasPrefix(path+"/", reserved)
}

// returnTo checks where somebody asks to be sent: a local path, or a URL of one
// of the origins. It returns "" for everything else.
func returnTo(s string, origins []string) string {
	if localPath(s) {
		return s
	}
	if len(s) > maxReturn || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return ""
	}
	origin := strings.ToLower(u.Scheme + "://" + u.Host)
	if !slices.Contains(origins, origin) {
		return ""
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if path[0] != '/' {
		return ""
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return origin + path
}

// originOf is the origin of a URL, as browsers write it; "" if it has none.
func originOf(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// cameFrom is where the visitor who sends this request should go on: the page
// that the request was sent from, or its own path. Fields that hold secrets are
// left out.
func cameFrom(r *http.Request, host string, secrets []string) string {
	target := r.URL.EscapedPath()
	if safe(r.Method) {
		if q := r.URL.RawQuery; q != "" && !holds(q, secrets) && localPath(target+"?"+q) {
			target += "?" + q
		}
	} else if u, err := url.Parse(r.Header.Get("Referer")); err == nil && u.Host != "" && strings.EqualFold(u.Host, host) {
		from := u.EscapedPath()
		if u.RawQuery != "" && !holds(u.RawQuery, secrets) {
			from += "?" + u.RawQuery
		}
		if localPath(from) {
			target = from
		}
	}
	if !localPath(target) {
		return "/"
	}
	return target
}

// holds reports whether a query has one of the fields, or cannot be read.
func holds(query string, names []string) bool {
	f, err := parseForm(query)
	return err != nil || f.loosely().any(names)
}
