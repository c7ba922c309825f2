package guard

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Sessions (SEMANTICS 37, 38).
const (
	sessionLife   = 30 * 24 * time.Hour // after the last use
	sessionRecent = 24 * time.Hour
	// sessionBytes is what one session in memory costs.
	sessionBytes = 512
	// So many times as many revoked sessions are remembered: an id costs less,
	// and a revoked session that is forgotten is one that nobody opened.
	revokedTimes = 4
	// A session is written again when it was used from elsewhere, or when its
	// last use is so much newer than the one written.
	sessionRewrite = 10 * time.Minute
	// Two networks at once: so many changes between networks of one address
	// family within the span. One change is a phone that leaves the house.
	hijackSwitches = 3
	hijackSpan     = time.Minute
)

// liveSession is a session as memory keeps it.
type liveSession struct {
	Session
	written  time.Time // LastUsed as journaled
	networks [2]network
	told     bool // a jump was reported
}

// network follows one address family of a session: clients with both families
// use them side by side, so changes are only counted within one.
type network struct {
	latest   netip.Prefix
	switches int
	since    time.Time
}

// sessions holds the sessions used last, as many as fit, and the ids of
// revoked ones. The journal knows them all.
type sessions struct {
	mu      sync.Mutex
	max     int
	m       map[string]*list.Element // of *liveSession, most recently used first
	lru     *list.List
	revoked map[string]time.Time // when it was revoked
	// dirty are the sessions that were used from elsewhere, or long after what
	// the journal says of them: they are journaled together once a second, so
	// that a client that keeps changing between two networks costs little.
	dirty map[string]*liveSession
}

func newSessions(maxSessions int) *sessions {
	return &sessions{max: max(16, maxSessions), m: make(map[string]*list.Element), lru: list.New(), revoked: make(map[string]time.Time), dirty: make(map[string]*liveSession)}
}

// isRevoked reports whether a session was ended.
func (t *sessions) isRevoked(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.revoked[id]
	return ok
}

func (t *sessions) revoke(id string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.revoked[id]; !known && len(t.revoked) >= revokedTimes*t.max {
		t.forgetRevoked()
	}
	t.revoked[id] = at
	delete(t.dirty, id)
	if el := t.m[id]; el != nil {
		t.lru.Remove(el)
		delete(t.m, id)
	}
}

// forgetRevoked forgets the one of a few that was revoked first. Applications
// were told of it by the feed.
func (t *sessions) forgetRevoked() {
	var oldest string
	var first time.Time
	seen := 0
	for id, at := range t.revoked {
		if seen == 0 || at.Before(first) {
			oldest, first = id, at
		}
		if seen++; seen == 8 {
			break
		}
	}
	delete(t.revoked, oldest)
}

// open remembers a session that a completed sign-in opened, as it is now.
func (t *sessions) open(s Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if el := t.m[s.ID]; el != nil {
		t.lru.Remove(el)
		delete(t.dirty, s.ID)
	}
	t.m[s.ID] = t.lru.PushFront(&liveSession{Session: s, written: s.LastUsed})
	for len(t.m) > t.max {
		last := t.lru.Back()
		t.lru.Remove(last)
		delete(t.m, last.Value.(*liveSession).ID)
	}
}

// close forgets a session that its user ended.
func (t *sessions) close(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if el := t.m[id]; el != nil {
		t.lru.Remove(el)
		delete(t.m, id)
		delete(t.dirty, id)
	}
}

// used is what touch found.
type used struct {
	known   bool
	jumped  string  // why the session looks stolen, or ""
	Session Session // as it is now
}

// touch notes that a session was used from an address with a user agent.
func (t *sessions) touch(id string, address netip.Prefix, ua string, now time.Time) used {
	t.mu.Lock()
	defer t.mu.Unlock()
	el := t.m[id]
	if el == nil {
		return used{}
	}
	t.lru.MoveToFront(el)
	s := el.Value.(*liveSession)
	u := used{known: true}
	if now.After(s.LastUsed) {
		s.LastUsed = now
	}
	if address.IsValid() && s.Latest != address {
		s.Latest = address
		t.dirty[id] = s
	}
	if !s.told {
		u.jumped = s.jump(address, ua, now)
		s.told = u.jumped != ""
	}
	if s.LastUsed.Sub(s.written) >= sessionRewrite {
		t.dirty[id] = s
	}
	u.Session = s.Session
	return u
}

// SessionAccount is the account that opened a session, as it was last reported;
// empty: none that memory knows.
func (g *Guard) SessionAccount(id string) string {
	t := g.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	if el := t.m[id]; el != nil {
		return el.Value.(*liveSession).Account
	}
	return ""
}

// untold forgets that a jump of a session was reported.
func (t *sessions) untold(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if el := t.m[id]; el != nil {
		el.Value.(*liveSession).told = false
	}
}

// changed returns the sessions that have to be written, and takes them for
// written.
func (t *sessions) changed() []Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.dirty) == 0 {
		return nil
	}
	out := make([]Session, 0, len(t.dirty))
	for id, s := range t.dirty {
		s.written = s.LastUsed
		out = append(out, s.Session)
		delete(t.dirty, id)
	}
	return out
}

// jump tells why a use of the session does not look like its owner's.
func (s *liveSession) jump(address netip.Prefix, ua string, now time.Time) string {
	if family := agentFamily(ua); family != "" {
		if s.Agent == "" {
			s.Agent = family
		} else if !sameAgent(family, s.Agent) {
			return "agent_changed"
		}
	}
	if !address.IsValid() {
		return ""
	}
	// As wide as the pools that providers share between their customers: one
	// phone changes its address within them from one request to the next.
	n, bits := &s.networks[0], 16
	if address.Addr().Is6() {
		n, bits = &s.networks[1], 32
	}
	here, _ := address.Addr().Prefix(bits)
	if !n.latest.IsValid() || n.latest == here {
		n.latest = here
		return ""
	}
	n.latest = here
	if now.Sub(n.since) > hijackSpan {
		n.since, n.switches = now, 0
	}
	if n.switches++; n.switches >= hijackSwitches {
		return "two_networks"
	}
	return ""
}

// recent reports whether a session was valid within 24 h.
func (t *sessions) recent(id string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.revoked[id]; ok {
		return now.Sub(at) <= sessionRecent
	}
	el := t.m[id]
	return el != nil && now.Sub(el.Value.(*liveSession).LastUsed) <= sessionRecent
}

// sweep forgets what is not used for 30 days.
func (t *sessions) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for el := t.lru.Back(); el != nil; el = t.lru.Back() {
		s := el.Value.(*liveSession)
		if now.Sub(s.LastUsed) <= sessionLife {
			break
		}
		t.lru.Remove(el)
		delete(t.m, s.ID)
	}
	for id, at := range t.revoked {
		if now.Sub(at) > sessionLife {
			delete(t.revoked, id)
		}
	}
}

func (t *sessions) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}
