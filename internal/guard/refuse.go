package guard

import (
	"encoding/json"
	"net/netip"
	"sync"
	"time"

	"github.com/warderhq/warder"
)

// refusalMemory bounds the refusals whose reference is remembered in memory so
// that one source that asks again and again has one reference.
const (
	refusalMemory = 16 << 10
	refusalLife   = time.Hour
	tellEvery     = time.Minute // at most one event per Block, or per refused address
)

// refusals remembers the references of refusals that have no Block.
type refusals struct {
	mu sync.Mutex
	m  map[digest]refusalSeen
}

type refusalSeen struct {
	ref  uint64
	at   time.Time
	told time.Time
	lost bool // the journal had no room for it: the next one tries again
}

// refusalKey names what was refused, by nothing that the refused one can vary
// at will: a session that was ended, or an address key.
func refusalKey(q *Query, found finding) digest {
	what := q.Session
	if found.why != warder.SessionRevoked {
		what = warder.AddressKey(q.IP).String()
	}
	return digestOf(string(found.why), found.rule, what)
}

// refusal gives the reference of a refusal without a Block; the first of its
// kind is journaled, in the background. Who only asks why gets the one that there
// is, or none.
func (g *Guard) refusal(q *Query, found finding, now time.Time) string {
	key := refusalKey(q, found)
	g.refusals.mu.Lock()
	seen, ok := g.refusals.m[key]
	ok = ok && now.Sub(seen.at) <= refusalLife
	if !ok && q.why {
		g.refusals.mu.Unlock()
		return ""
	}
	if !ok {
		if len(g.refusals.m) >= refusalMemory {
			n := 0
			for k := range g.refusals.m {
				delete(g.refusals.m, k)
				if n++; n == 16 {
					break
				}
			}
		}
		seen = refusalSeen{ref: g.references.next(now), at: now, told: now}
		g.refusals.m[key] = seen
	}
	g.refusals.mu.Unlock()
	reference := formatReference(seen.ref)
	if !ok || seen.lost && !q.why {
		account := q.Account
		r := Refusal{Reference: reference, Time: now, Account: account, Why: found.why, Rule: found.rule}
		if q.IP.IsValid() {
			r.Address = warder.AddressKey(q.IP)
		}
		r.Details = g.numbers(q.IP, found)
		if lost := !g.queue.notice(&Record{Refusals: []Refusal{r}}); lost != seen.lost {
			g.refusals.mu.Lock()
			if now, ok := g.refusals.m[key]; ok && now.ref == seen.ref {
				now.lost = lost
				g.refusals.m[key] = now
			}
			g.refusals.mu.Unlock()
		}
	}
	return reference
}

// numbers are the figures behind a refusal, for those who look it up.
func (g *Guard) numbers(a netip.Addr, found finding) json.RawMessage {
	figures := map[string]any{"action": found.action.String()}
	if found.why == warder.Provider {
		for _, l := range g.force.Load().lists {
			if level, ok := l.lookup(a); ok && l.provider.Name == found.rule {
				figures["level"] = level
			}
		}
	}
	b, err := json.Marshal(figures)
	if err != nil {
		return nil
	}
	return b
}

// refused counts a refused request on its Block, and tells of it in the event
// log at most once a minute. It takes no lock of the engine.
func (g *Guard) refused(q *Query, found finding, now time.Time) {
	if found.action != warder.BlockAction || found.observe {
		return
	}
	if s := found.stand; s != nil {
		n := now.UnixNano()
		k := s.strikes()
		k.lastHit.Store(n)
		if k.hits.Add(1) == 1 {
			g.noteHit(s)
		}
		last := k.lastTold.Load()
		if n-last < int64(tellEvery) || !k.lastTold.CompareAndSwap(last, n) {
			return
		}
	} else if !g.tellRefusal(q, found, now) {
		return
	}
	ev := warder.Event{
		Name: warder.SuspiciousIP, Time: now, IP: q.IP, Account: q.Account, Realm: q.Realm,
		UserAgent: q.UserAgent, Method: q.Method, Path: q.Path, Reason: "refused",
	}
	row := g.ownEvent(ev, now)
	row.Action, row.Why, row.Rule = found.action, found.why, found.rule
	if found.stand != nil {
		row.BlockID, row.Reference = found.stand.ID(), formatReference(found.stand.ref)
	}
	g.enqueueOwn(row)
}

// tellRefusal reports whether a refusal without a Block is worth an event now.
func (g *Guard) tellRefusal(q *Query, found finding, now time.Time) bool {
	key := refusalKey(q, found)
	g.refusals.mu.Lock()
	defer g.refusals.mu.Unlock()
	seen, ok := g.refusals.m[key]
	if !ok {
		return true // refusal, which is called next, makes the entry
	}
	if now.Sub(seen.told) < tellEvery {
		return false
	}
	seen.told = now
	g.refusals.m[key] = seen
	return true
}

// noteHit puts a Block on the list of those whose count of refused requests
// has to be journaled.
func (g *Guard) noteHit(s *stand) {
	g.hitMu.Lock()
	defer g.hitMu.Unlock()
	if len(g.hit) < 1<<16 {
		g.hit = append(g.hit, s)
	} else {
		s.strikes().hits.Store(0)
	}
}

// flushHits journals the counts of refused requests.
func (g *Guard) flushHits() {
	g.hitMu.Lock()
	stands := g.hit
	g.hit = nil
	g.hitMu.Unlock()
	for len(stands) > 0 {
		n := min(len(stands), 1024)
		rec := &Record{BlockHits: make([]BlockHits, 0, n)}
		for _, s := range stands[:n] {
			k := s.strikes()
			rec.BlockHits = append(rec.BlockHits, BlockHits{ID: s.ID(), N: k.hits.Swap(0), Last: time.Unix(0, k.lastHit.Load()).UTC()})
		}
		if _, ok := g.queue.add(rec, nil, false); !ok { // the next round tries again
			for i, s := range stands[:n] {
				if s.strikes().hits.Add(rec.BlockHits[i].N) == rec.BlockHits[i].N {
					g.noteHit(s)
				}
			}
		}
		stands = stands[n:]
	}
}
