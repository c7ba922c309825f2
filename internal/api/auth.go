package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

// A bearer token is wk_<id>_<secret>: the id finds the record, the secret
// proves the right. Both are lower-case hexadecimal, so that neither contains
// the separator. Only the SHA-256 of the secret is kept: 256 random bits need
// no slow hash.
const (
	bearerPrefix = "wk_"
	keyIDBytes   = 8
	secretBytes  = 32
)

// NewToken makes a fresh API key: its id, the token to show once, and the hash
// to store.
func NewToken() (id, token string, hash []byte) {
	var b [keyIDBytes + secretBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	id = hex.EncodeToString(b[:keyIDBytes])
	secret := hex.EncodeToString(b[keyIDBytes:])
	sum := sha256.Sum256([]byte(secret))
	return id, bearerPrefix + id + "_" + secret, sum[:]
}

// parseBearer splits the value of an Authorization header.
func parseBearer(header string) (id, secret string, ok bool) {
	const scheme = "bearer "
	if len(header) < len(scheme) || len(header) > 256 || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", "", false
	}
	rest, ok := strings.CutPrefix(header[len(scheme):], bearerPrefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, "_")
	if !ok || len(id) < 4 || len(id) > 32 || len(secret) < 32 || len(secret) > 128 || !isToken(id) || !isToken(secret) {
		return "", "", false
	}
	return id, secret, true
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func hexString(b []byte) string { return hex.EncodeToString(b) }

// key is an API key as requests are judged by it.
type key struct {
	id     string
	name   string
	hash   [sha256.Size]byte
	scopes []Scope
	from   []netip.Prefix
	app    guard.App
	used   *atomic.Int64   // Unix seconds of the last use that is not stored yet
	life   context.Context //nolint:containedctx // of requests that last; ends when the key is revoked
	end    context.CancelFunc
	caller caller // the same for every request that brings the key; From is filled in where it is needed
}

func (k *key) may(s Scope) bool {
	return slices.Contains(k.scopes, s) || slices.Contains(k.scopes, ScopeAdmin)
}

// caller is who sends a request.
type caller struct {
	app   *guard.App
	actor guard.Actor
	key   *key
	role  operator.Role // of an operator; "" for keys
	local bool          // through the socket

	operator *operator.Operator // who is signed in; nil: nobody
	session  *operator.Session
	token    string        // of the session
	request  *http.Request // of a management handler
}

// nobody sends requests to open routes.
var nobody = &caller{app: &guard.App{}}

type callerContext struct{}

func withCaller(ctx context.Context, c *caller) context.Context {
	return context.WithValue(ctx, callerContext{}, c)
}

// callerOf returns who sent the request of a management handler.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerContext{}).(*caller); ok {
		return c
	}
	return nobody
}

// peerContext carries the user id of the process at the other end of the
// socket.
type peerContext struct{}

// ConnContext is for http.Server.ConnContext of the unix socket: it notes who
// is at the other end. Connections of other kinds are left alone.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if uid, ok := peerUID(c); ok {
		return context.WithValue(ctx, peerContext{}, uid)
	}
	return ctx
}

// PeerUID is the user id of the process at the other end of the socket that a
// request came through, as ConnContext noted it. It is for handlers that are
// served beside this package's own.
func PeerUID(ctx context.Context) (uid int, ok bool) {
	uid, ok = ctx.Value(peerContext{}).(int)
	return uid, ok
}

// admit lets a request through to h if its sender may use the route.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, row *route, h callerHandler) {
	if row.open {
		h(w, r, nobody)
		return
	}
	c, err := s.authenticate(r, row)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	if row.slow && c.session != nil {
		var cancel context.CancelFunc
		r, cancel = s.whileSignedIn(r, row, c)
		defer cancel()
	}
	if row.slow && c.key != nil {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(c.key.life, cancel)()
		r = r.WithContext(ctx)
	}
	if strings.HasPrefix(row.pattern, "GET /v1/export/") {
		if !s.exports.begin(c.actor.Name) {
			p := newProblem(http.StatusTooManyRequests, "Four exports of yours are under way; wait until one ends.")
			p.retryAfter = 10
			s.writeProblem(w, r, p)
			return
		}
		defer s.exports.end(c.actor.Name)
	}
	h(w, r, c)
}

func (s *Server) authenticate(r *http.Request, row *route) (*caller, error) {
	if local, _ := r.Context().Value(localContext{}).(bool); local {
		uid, ok := r.Context().Value(peerContext{}).(int)
		if !ok {
			return nil, newProblem(http.StatusForbidden, "The process at the other end of the socket is not known.")
		}
		return &caller{
			app:   &guard.App{ID: "cli", Name: "cli", CanChallenge: true, CanMFA: true},
			actor: guard.Actor{Name: "cli:" + strconv.Itoa(uid), Urgent: true},
			role:  operator.Owner,
			local: true,
		}, nil
	}
	if r.Header["Authorization"] == nil {
		return s.signedIn(r, row) // a key and a session never mix
	}
	id, secret, ok := parseBearer(r.Header.Get("Authorization"))
	if !ok {
		s.metrics.refused.WithLabelValues("missing").Inc()
		return nil, newProblem(http.StatusUnauthorized, "Send an API key: Authorization: Bearer wk_...")
	}
	k := s.keys.find(id)
	sum := sha256.Sum256([]byte(secret))
	if k == nil || subtle.ConstantTimeCompare(k.hash[:], sum[:]) != 1 {
		s.metrics.refused.WithLabelValues("wrong").Inc()
		return nil, newProblem(http.StatusUnauthorized, "This API key is not known (any more).")
	}
	if len(k.from) > 0 {
		ip := s.clientAddr(r)
		if !slices.ContainsFunc(k.from, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			s.metrics.refused.WithLabelValues("source").Inc()
			return nil, newProblem(http.StatusForbidden, "This API key may not be used from this address.")
		}
	}
	if row.scope == "" {
		s.metrics.refused.WithLabelValues("scope").Inc()
		return nil, newProblem(http.StatusForbidden, "This call is for operators who are signed in, not for API keys.")
	}
	if !k.may(row.scope) {
		s.metrics.refused.WithLabelValues("scope").Inc()
		return nil, newProblem(http.StatusForbidden, "This API key lacks the scope "+string(row.scope)+".")
	}
	if now := time.Now().Unix(); k.used.Load() != now {
		k.used.Store(now) // at most one write per second: requests share the line
	}
	return &k.caller, nil
}

// stillMay asks once more when the body of a request has come. A sender can take
// long over it, and whoever lost a right meanwhile must not use it any more.
func (s *Server) stillMay(ctx context.Context, row *route) error {
	c := callerOf(ctx)
	if row.open || c.request == nil || c.request.ContentLength == 0 {
		return nil
	}
	if c.key != nil && c.key.life.Err() != nil {
		return newProblem(http.StatusUnauthorized, "This API key is not known (any more).")
	}
	if c.session == nil {
		return nil
	}
	now, err := s.signedIn(c.request, row)
	if err == nil {
		c.role, c.operator, c.session = now.role, now.operator, now.session
	}
	return err
}

// clientAddr is the address of the process that sent the request, as far as it
// is known.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	if s.opts.ClientAddr != nil {
		return s.opts.ClientAddr(r)
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return warder.Canonical(ap.Addr())
}

// actor is who changes something by this request.
func (s *Server) actor(r *http.Request, c *caller) guard.Actor {
	a := c.actor
	if ip := s.clientAddr(r); ip.IsValid() {
		a.From = ip.String()
	}
	return a
}

// keyRefresh is how old the cache of API keys may be. Changes through this
// instance act at once; it is for those made beside it.
const keyRefresh = time.Second
