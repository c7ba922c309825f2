package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How long sessions last. Settings may shorten the first two.
const (
	DefaultIdle     = 12 * time.Hour
	DefaultAbsolute = 7 * 24 * time.Hour

	factorTime  = 10 * time.Minute // between the password and the second factor
	deviceLife  = 90 * 24 * time.Hour
	touchEvery  = time.Minute
	maxCodes    = 5  // wrong codes before the password is asked for again
	MaxSessions = 20 // of one operator, of each kind; the oldest end
	maxAgent    = 300
)

// Session is where an operator is signed in, or about to be.
type Session struct {
	ID       string
	Operator string // id
	SignedIn bool   // false: the password was right, the second factor is to come
	Created  time.Time
	LastSeen time.Time
	Expires  time.Time // at the latest
	IP       string
	Agent    string
	Device   string // DeviceID
	Failures int    // wrong codes
}

// limits are how long sessions may last.
type limits struct {
	idle, absolute atomic.Int64
}

// LimitSessions shortens how long sessions last; what is longer than the
// default, or not positive, is the default.
func (p *People) LimitSessions(idle, absolute time.Duration) {
	bound := func(d, most time.Duration) int64 {
		if d <= 0 || d > most {
			d = most
		}
		return int64(max(d, time.Minute))
	}
	i, a := bound(idle, DefaultIdle), bound(absolute, DefaultAbsolute)
	if p.limits.idle.Swap(i) != i || p.limits.absolute.Swap(a) != a {
		p.changes.tell()
	}
}

// SessionLimits is how long sessions last without use, and altogether.
func (p *People) SessionLimits() (idle, absolute time.Duration) {
	idle, absolute = time.Duration(p.limits.idle.Load()), time.Duration(p.limits.absolute.Load())
	if idle == 0 {
		idle = DefaultIdle
	}
	if absolute == 0 {
		absolute = DefaultAbsolute
	}
	return idle, absolute
}

// changes tells those who hold a request open that sessions may have ended.
type changes struct {
	mu sync.Mutex
	ch chan struct{}
}

func (c *changes) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == nil {
		c.ch = make(chan struct{})
	}
	return c.ch
}

func (c *changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

// Changed is closed at the next end of a session, or change of an operator.
func (p *People) Changed() <-chan struct{} { return p.changes.wait() }

// Visitor is the browser at the other end.
type Visitor struct {
	IP     string
	Agent  string
	Device string // DeviceID of its cookie; empty: it has none
}

// Start begins a session and returns its token, which is shown to the browser
// only. old is the session that it replaces, if there is one: every change of
// what a session may do gives it a new token. ErrNoSession if o got another
// password since they were read: what was proven may be worth nothing any more.
func (p *People) Start(ctx context.Context, o *Operator, signedIn bool, old string, v Visitor, now time.Time) (token string, s Session, err error) {
	_, absolute := p.SessionLimits()
	s = Session{
		ID: newID(), Operator: o.ID, SignedIn: signedIn, Created: now.UTC(), LastSeen: now.UTC(), Expires: now.Add(absolute).UTC(),
		IP: v.IP, Agent: clip(strings.ToValidUTF8(v.Agent, ""), maxAgent), Device: v.Device,
	}
	if !signedIn {
		s.Expires = now.Add(factorTime).UTC()
	}
	if !o.ExpiresAt.IsZero() && o.ExpiresAt.Before(s.Expires) {
		s.Expires = o.ExpiresAt
	}
	token, hash := newToken()
	var oldHash []byte
	if len(old) == tokenLen {
		oldHash = hashToken(old)
	}
	if err := p.store.StartSession(ctx, s, o.Hash, hash, oldHash); err != nil {
		return "", s, fmt.Errorf("start a session: %w", err)
	}
	return token, s, nil
}

// Session finds the live session of a token, and its operator as they are now:
// roles and ends act at once. ErrNoSession for all others.
func (p *People) Session(ctx context.Context, token string, now time.Time) (Session, Operator, error) {
	if len(token) != tokenLen {
		return Session{}, Operator{}, ErrNoSession
	}
	s, o, err := p.store.SessionByHash(ctx, hashToken(token))
	if err != nil {
		if !errors.Is(err, ErrNoSession) {
			err = fmt.Errorf("find a session: %w", err)
		}
		return Session{}, Operator{}, err
	}
	idle, absolute := p.SessionLimits()
	if !o.Active(now) || !now.Before(s.Expires) || now.Sub(s.Created) >= absolute || now.Sub(s.LastSeen) >= idle {
		return Session{}, Operator{}, ErrNoSession
	}
	return s, o, nil
}

// Touch notes that a session is in use, now and then, and reports whether it
// did.
func (p *People) Touch(ctx context.Context, s *Session, ip string, now time.Time) (bool, error) {
	if now.Sub(s.LastSeen) < touchEvery && s.IP == ip {
		return false, nil
	}
	if err := p.store.TouchSession(ctx, s.ID, now, ip); err != nil {
		return false, fmt.Errorf("note the use of a session: %w", err)
	}
	return true, nil
}

// SignOut ends a session by its own wish.
func (p *People) SignOut(ctx context.Context, s *Session) error {
	err := p.store.DropSession(ctx, s.ID)
	p.changes.tell()
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// EndSessions ends one session of an operator, or all with an empty id.
// ErrNotFound if there is none with the id.
func (p *People) EndSessions(ctx context.Context, operator, id string, by Change) (int, error) {
	by.Action = "session.end"
	n, err := p.store.EndSessions(ctx, operator, id, by)
	p.changes.tell()
	if err == nil && n == 0 && id != "" {
		return 0, ErrNotFound
	}
	return n, err
}

// Sessions lists the live sessions of an operator, latest first.
func (p *People) Sessions(ctx context.Context, operator string, now time.Time) ([]Session, error) {
	all, err := p.store.SessionsOf(ctx, operator)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	idle, absolute := p.SessionLimits()
	live := all[:0]
	for _, s := range all {
		if now.Before(s.Expires) && now.Sub(s.Created) < absolute && now.Sub(s.LastSeen) < idle {
			live = append(live, s)
		}
	}
	return live, nil
}

// Sweep forgets what is over.
func (p *People) Sweep(ctx context.Context, now time.Time) error {
	idle, _ := p.SessionLimits()
	if err := p.store.SweepSessions(ctx, now, now.Add(-idle), now.Add(-deviceLife)); err != nil {
		return fmt.Errorf("sweep sessions: %w", err)
	}
	return nil
}

// Knows reports whether an operator signed in with a device in the last 90
// days.
func (p *People) Knows(ctx context.Context, o *Operator, device string, now time.Time) (bool, error) {
	if o.ID == "" || device == "" {
		return false, nil
	}
	known, err := p.store.KnownDevice(ctx, o.ID, device, now.Add(-deviceLife))
	if err != nil {
		return false, fmt.Errorf("look for a device: %w", err)
	}
	return known, nil
}

// Seen lists the addresses that operators with a role were signed in from since
// a time, which no rule may block.
func (p *People) Seen(ctx context.Context, role Role, since time.Time) ([]Session, error) {
	all, err := p.store.Operators(ctx)
	if err != nil {
		return nil, fmt.Errorf("list operators: %w", err)
	}
	roles := make(map[string]Role, len(all))
	for i := range all {
		if all[i].Active(since) {
			roles[all[i].ID] = all[i].Role
		}
	}
	sessions, err := p.store.SessionsOf(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	var seen []Session
	for _, s := range sessions {
		if s.SignedIn && s.LastSeen.After(since) && roles[s.Operator].Includes(role) {
			seen = append(seen, s)
		}
	}
	return seen, nil
}

// failed counts a wrong code on a session; after a few the password has to be
// given again.
func (p *People) failed(ctx context.Context, s *Session) error {
	n, err := p.store.FailSession(ctx, s.ID)
	if err == nil && n >= maxCodes {
		err = p.store.DropSession(ctx, s.ID)
	}
	if err != nil {
		return fmt.Errorf("count a wrong code: %w", err)
	}
	return ErrWrong
}
