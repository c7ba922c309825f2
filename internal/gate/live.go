package gate

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// live are the exchanges under way: requests that are being answered, streams
// and WebSockets. They end when what they rest on ends.
type live struct {
	mu    sync.Mutex
	m     map[*exchange]struct{}
	perIP map[netip.Prefix]int
	max   int // of one address key
}

// maxPerAddress bounds what one address key can have under way at a site.
const maxPerAddress = 512

func newLive() *live {
	return &live{m: map[*exchange]struct{}{}, perIP: map[netip.Prefix]int{}, max: maxPerAddress}
}

// add registers an exchange; false means that its address has too many.
func (l *live) add(x *exchange) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.key.IsValid() {
		if l.perIP[x.key] >= l.max {
			return false
		}
		l.perIP[x.key]++
	}
	l.m[x] = struct{}{}
	return true
}

func (l *live) remove(x *exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.m, x)
	if x.key.IsValid() {
		if l.perIP[x.key]--; l.perIP[x.key] <= 0 {
			delete(l.perIP, x.key)
		}
	}
}

func (l *live) list() []*exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*exchange, 0, len(l.m))
	for x := range l.m {
		if x.cancel != nil { // others are attempts, whose outcome must be read
			out = append(out, x)
		}
	}
	return out
}

// How often exchanges under way are judged again: at once when something
// ended, but not more often than pause, and every now and then in any case,
// since a reader of records may miss some.
const (
	judgePause = 100 * time.Millisecond
	judgeEvery = 5 * time.Second
)

// Run ends exchanges whose session or address is refused from now on, until
// ctx ends.
func (s *Site) Run(ctx context.Context) error {
	records, cancel := s.engine.Subscribe()
	defer cancel()
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	var soon <-chan time.Time
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case rec, ok := <-records:
			if !ok {
				records = nil
				continue
			}
			if soon == nil && ends(rec) {
				soon = time.After(max(0, judgePause-time.Since(last)))
			}
			continue
		case <-soon:
		case <-tick.C:
		}
		soon, last = nil, time.Now()
		s.judgeLive()
	}
}

// ends reports whether a record may refuse somebody who was let in.
func ends(rec *guard.Record) bool {
	return len(rec.Blocks) > 0 || len(rec.Revoke) > 0 || len(rec.TrustedEnds) > 0 || rec.Policy != nil
}

// judgeLive ends what would not be let in now.
func (s *Site) judgeLive() {
	for _, x := range s.live.list() {
		for _, session := range x.sessionsOrNone() {
			q := x.query
			q.Session = session
			if d := s.engine.Check(s.app, &q); d.Action == warder.BlockAction {
				x.cancel()
				break
			}
		}
	}
}
