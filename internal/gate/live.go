package gate

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Bounds of what is under way at a site: of one address key, and in all.
const (
	maxPerAddress = 512
	maxUnderWay   = 16 << 10
)

// live are the exchanges under way: requests that are being answered, streams
// and WebSockets. They end when what they rest on ends. Each is in the shard of
// its address.
type live struct {
	n      atomic.Int64
	shards [liveShards]liveShard
}

const liveShards = 32

type liveShard struct {
	mu    sync.Mutex
	m     map[*exchange]struct{}
	perIP map[netip.Prefix]int
	_     [64]byte // a cache line of its own
}

var liveSeed = maphash.MakeSeed()

func newLive() *live {
	l := &live{}
	for i := range l.shards {
		l.shards[i].m, l.shards[i].perIP = map[*exchange]struct{}{}, map[netip.Prefix]int{}
	}
	return l
}

func (l *live) shard(x *exchange) *liveShard {
	return &l.shards[maphash.Comparable(liveSeed, x.key)%liveShards]
}

// add registers an exchange; false means that there are too many, of its
// address or in all.
func (l *live) add(x *exchange) bool {
	if l.n.Add(1) > maxUnderWay {
		l.n.Add(-1)
		return false
	}
	s := l.shard(x)
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.key.IsValid() {
		if s.perIP[x.key] >= maxPerAddress {
			l.n.Add(-1)
			return false
		}
		s.perIP[x.key]++
	}
	s.m[x] = struct{}{}
	return true
}

// passing says how an exchange is ended. Those of which nobody says so are
// attempts, whose outcome must be read.
func (l *live) passing(x *exchange, cancel context.CancelFunc) {
	s := l.shard(x)
	s.mu.Lock()
	defer s.mu.Unlock()
	x.cancel = cancel
}

func (l *live) remove(x *exchange) {
	s := l.shard(x)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, x)
	if x.key.IsValid() {
		if s.perIP[x.key]--; s.perIP[x.key] <= 0 {
			delete(s.perIP, x.key)
		}
	}
	l.n.Add(-1)
}

// count is how many are under way.
func (l *live) count() int { return int(l.n.Load()) }

// list returns those that can be ended.
func (l *live) list() (out []*exchange) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for x := range s.m {
			if x.cancel != nil {
				out = append(out, x)
			}
		}
		s.mu.Unlock()
	}
	return out
}

// all returns every exchange under way.
func (l *live) all() (out []*exchange) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for x := range s.m {
			out = append(out, x)
		}
		s.mu.Unlock()
	}
	return out
}

// Drain waits for what is under way, for a server that takes no more requests
// and whose requests have ended but for attempts, whose outcome is to be read.
// After patience these are given up, which takes last at most. It returns how
// many that were.
func (s *Site) Drain(patience, last time.Duration) (givenUp int) {
	if s.empty(patience) {
		return 0
	}
	for _, x := range s.live.all() {
		if stop := x.abandon.Load(); stop != nil {
			(*stop)()
			givenUp++
		}
	}
	s.empty(last)
	return givenUp
}

// empty waits until nothing is under way, for d at most.
func (s *Site) empty(d time.Duration) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(d)
	for s.live.count() > 0 {
		select {
		case <-late:
			return false
		case <-tick.C:
		}
	}
	return true
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
