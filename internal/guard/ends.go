package guard

import (
	"container/heap"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
)

// ends is the calendar of what ends by itself: temporary Blocks and Demands.
// It is guarded by the engine's lock. What was ended by somebody before its
// time stays in the calendar and is passed over when its time comes.
type ends struct{ h endHeap }

// endOf is one entry: small, since a million Blocks may be temporary.
type endOf struct {
	at      int64 // Unix nanoseconds
	stand   *stand
	ip      netip.Prefix    // of stand, or
	account *warder.Subject // its subject if that is no prefix
	demand  *Demand
}

func (e *ends) addBlock(s *stand, subject warder.Subject) {
	if s.until == 0 {
		return
	}
	end := endOf{at: s.until, stand: s, ip: subject.IP}
	if !byAddress(subject) {
		account := subject // of these there are few; subject itself stays off the heap
		end.account = &account
	}
	heap.Push(&e.h, end)
}

func (e *ends) addDemand(d *Demand) {
	if !d.Until.IsZero() {
		heap.Push(&e.h, endOf{at: d.Until.UnixNano(), demand: d})
	}
}

func (e *endOf) subject() warder.Subject {
	if e.account != nil {
		return *e.account
	}
	return warder.Subject{IP: e.ip}
}

// due takes out the next thing whose time has come.
func (e *ends) due(now time.Time) (endOf, bool) {
	if len(e.h) == 0 || now.UnixNano() < e.h[0].at {
		return endOf{}, false
	}
	return heap.Pop(&e.h).(endOf), true
}

type endHeap []endOf

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h endHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(x any)        { *h = append(*h, x.(endOf)) }
func (h *endHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = endOf{}
	*h = old[:len(old)-1]
	return last
}

// stepLife is how long an ended automatic Block makes the next one longer.
const stepLife = 7 * 24 * time.Hour

// maxSteps bounds the subjects whose ended Blocks are remembered.
const maxSteps = 100_000

// steps remembers automatic Blocks that ended by themselves, by subject. It is
// guarded by the engine's lock.
type steps struct {
	m map[warder.Subject][]time.Time
}

func (s *steps) note(subject warder.Subject, ended time.Time) {
	if _, ok := s.m[subject]; !ok && len(s.m) >= maxSteps {
		for k := range s.m {
			delete(s.m, k)
			break
		}
	}
	list := s.m[subject]
	if len(list) >= 16 {
		list = list[1:]
	}
	s.m[subject] = append(list, ended)
}

func (s *steps) count(subject warder.Subject, now time.Time) int {
	n := 0
	for _, at := range s.m[subject] {
		if now.Sub(at) <= stepLife {
			n++
		}
	}
	return n
}

func (s *steps) sweep(now time.Time) {
	for subject, list := range s.m {
		if now.Sub(list[len(list)-1]) > stepLife {
			delete(s.m, subject)
		}
	}
}

// release ends what is due: Blocks and Demands whose time is over. The caller
// holds the engine's lock. A release is journaled, with an event for Blocks;
// look-ups ignore what is over anyway, so nothing waits for it.
func (g *Guard) release(now time.Time) {
	for range 4096 {
		end, ok := g.ends.due(now)
		if !ok {
			return
		}
		if end.demand != nil {
			g.demands.remove(end.demand)
			g.queue.add(&Record{DemandEnds: []string{end.demand.ID}}, nil, true)
			continue
		}
		subject, id := end.subject(), end.stand.ID()
		s := g.blocks.of(subject).find(id)
		if s == nil || s.until != end.at {
			continue // lifted before, or its end was changed
		}
		g.blocks.remove(subject, id)
		at := time.Unix(0, end.at).UTC()
		if s.why.origin == FromRule {
			g.steps.note(subject, at)
		}
		rec := &Record{BlockEnds: []BlockEnd{{ID: id, At: at, Reason: "expired"}}}
		if byAddress(subject) {
			e := g.ownEvent(warder.Event{Name: warder.IPUnblocked, Time: at, IP: clientOf(subject.IP), Reason: "expired"}, now)
			e.BlockID, e.Reference, e.Rule = id, formatReference(s.ref), s.why.rule
			rec.Events = append(rec.Events, e)
		}
		rec.Audit = append(rec.Audit, Audit{
			Time: now, Actor: "warder", Action: "block.expire", Target: subjectText(subject),
			After: mustJSON(map[string]any{"block": id, "reference": formatReference(s.ref)}),
		})
		g.queue.add(rec, nil, true)
	}
}
