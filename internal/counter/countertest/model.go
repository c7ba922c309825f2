package countertest

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/warderhq/warder/internal/counter"
)

// Model is a Counter that is slow, obvious and grows without bounds. It keeps
// every member as it was told and works everything out when it is asked.
type Model struct {
	mu       sync.Mutex
	counters map[counter.Key]*tally
	scores   map[counter.Key]points
	tickets  map[string]*booking
	queue    []*booking // waiting, in the order of arrival
	granted  time.Time  // when the queue was last gone through
	retries  map[*counter.Ticket]bool
	hits     int
}

type tally struct {
	threshold int
	window    time.Duration
	members   map[string]member
	parts     map[int64]int // sub-buckets, above Exact
}

type member struct {
	counter.Evidence
	tag   counter.Tag
	order int
}

type points struct {
	value    float64
	at       time.Time
	halfLife time.Duration
}

type booking struct {
	ticket *counter.Ticket
	ready  func()
	hits   []counter.Hit
	waits  bool
}

// NewModel returns an empty Model.
func NewModel() *Model {
	return &Model{
		counters: map[counter.Key]*tally{},
		scores:   map[counter.Key]points{},
		tickets:  map[string]*booking{},
		retries:  map[*counter.Ticket]bool{},
	}
}

func (m *Model) tally(h counter.Hit) *tally {
	c := m.counters[h.Key]
	if c == nil {
		c = &tally{members: map[string]member{}, parts: map[int64]int{}}
		m.counters[h.Key] = c
	}
	c.threshold, c.window = h.Threshold, h.Window
	return c
}

// advance forgets what left its window.
func (m *Model) advance(now time.Time) {
	for _, c := range m.counters {
		from := now.Add(-c.window)
		maps.DeleteFunc(c.members, func(_ string, e member) bool { return !e.At.After(from) })
		maps.DeleteFunc(c.parts, func(at int64, _ int) bool { return !time.Unix(0, at).After(from) })
	}
}

func (c *tally) n() int {
	n := len(c.members)
	for _, p := range c.parts {
		n += p
	}
	return n
}

func (c *tally) evidence() []counter.Evidence {
	var all []counter.Evidence
	for _, e := range slices.SortedFunc(maps.Values(c.members), func(a, b member) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.order, b.order))
	}) {
		all = append(all, e.Evidence)
	}
	return all
}

func (c *tally) empty() {
	clear(c.members)
	clear(c.parts)
}

func (m *Model) apply(now time.Time, hits []counter.Hit) []counter.Count {
	counts := make([]counter.Count, len(hits))
	for i, h := range hits {
		m.hits++
		c := m.tally(h)
		m.advance(now)
		n, at := &counts[i], h.At
		if at.After(now) {
			at = now
		}
		if h.Threshold > counter.Exact {
			width := h.Window / counter.Buckets
			at = time.Unix(0, at.UnixNano()/int64(width)*int64(width))
		}
		if !at.After(now.Add(-h.Window)) {
			n.N, n.Stale = c.n(), true
			continue
		}
		if h.Threshold > counter.Exact {
			c.parts[at.UnixNano()]++
		} else {
			before, ok := c.members[h.Member]
			n.Repeat = ok
			if !ok || !before.At.After(at) {
				e := counter.Evidence{Seq: h.Seq, At: at.UTC(), Unsettled: h.Unsettled}
				c.members[h.Member] = member{e, h.Tag, m.hits}
			}
		}
		if n.N = c.n(); n.N >= h.Threshold {
			n.Crossed, n.Evidence = true, c.evidence()
			c.empty()
			for _, b := range slices.Clone(m.queue) {
				if b.uses(h.Key) {
					m.end(b)
					m.retries[b.ticket] = true
					b.ready()
				}
			}
		}
	}
	return counts
}

func (b *booking) uses(k counter.Key) bool {
	return slices.ContainsFunc(b.hits, func(h counter.Hit) bool { return h.Key == k })
}

// end takes a booking out of everything.
func (m *Model) end(b *booking) {
	delete(m.tickets, b.ticket.ID)
	m.queue = slices.DeleteFunc(m.queue, func(o *booking) bool { return o == b })
}

// held returns the members held under a key.
func (m *Model) held(k counter.Key) map[string]bool {
	all := map[string]bool{}
	for _, b := range m.tickets {
		if b.waits {
			continue
		}
		for _, h := range b.hits {
			if h.Key == k {
				all[h.Member] = true
			}
		}
	}
	return all
}

// used is the number of different members counted or held, with those of more.
func (m *Model) used(k counter.Key, more []counter.Hit) int {
	apart := m.held(k)
	for _, h := range more {
		if h.Key == k {
			apart[h.Member] = true
		}
	}
	c := m.counters[k]
	for member := range c.members {
		delete(apart, member)
	}
	return c.n() + len(apart)
}

// blocked reports whether b has to wait, given who came before it.
func (m *Model) blocked(b *booking, before []*booking) bool {
	for _, h := range b.hits {
		for _, o := range before {
			if o.uses(h.Key) {
				return true
			}
		}
		need := m.used(h.Key, b.hits) - m.used(h.Key, nil)
		if need > 0 && len(m.held(h.Key)) > 0 && m.used(h.Key, b.hits) > m.counters[h.Key].threshold {
			return true
		}
	}
	return false
}

// grant looks for somebody in line who can have what he waits for.
func (m *Model) grant(now time.Time) {
	m.advance(now)
	m.granted = now
	for i := 0; i < len(m.queue); i++ {
		if b := m.queue[i]; !m.blocked(b, m.queue[:i]) {
			m.queue = slices.Delete(m.queue, i, i+1)
			b.waits = false
			b.ready()
			i = -1
		}
	}
}

// Expire grants what became free by the passing of time.
func (m *Model) Expire(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grant(now)
}

// Apply implements counter.Counter.
func (m *Model) Apply(_ context.Context, now time.Time, hits []counter.Hit) ([]counter.Count, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.grant(now)
	return m.apply(now, hits), nil
}

// Reserve implements counter.Counter.
func (m *Model) Reserve(_ context.Context, now time.Time, id string, hits []counter.Hit) (*counter.Ticket, counter.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tickets[id] != nil {
		return nil, 0, counter.ErrReserved
	}
	for _, h := range hits {
		m.tally(h)
	}
	if !now.Equal(m.granted) { // else nothing has become free
		m.grant(now)
	}
	b := &booking{hits: slices.Clone(hits)}
	b.ticket, b.ready = counter.NewTicket(id)
	if !m.blocked(b, m.queue) {
		b.ready()
		m.tickets[id] = b
		return b.ticket, counter.Granted, nil
	}
	lines := map[counter.Key]int{}
	for _, o := range m.queue {
		for _, h := range hits {
			if o.uses(h.Key) {
				lines[h.Key]++
			}
		}
	}
	for _, n := range lines {
		if n >= counter.MaxWaitersPerKey {
			return nil, 0, counter.ErrBusy
		}
	}
	if len(m.queue) >= counter.MaxWaiters {
		return nil, 0, counter.ErrBusy
	}
	m.tickets[id] = b
	b.waits = true
	m.queue = append(m.queue, b)
	return b.ticket, counter.Waiting, nil
}

// Retry implements counter.Counter.
func (m *Model) Retry(t *counter.Ticket) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.retries[t]
}

// Cancel implements counter.Counter.
func (m *Model) Cancel(_ context.Context, now time.Time, t *counter.Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.tickets[t.ID]; b != nil && b.ticket == t {
		m.end(b)
		m.grant(now)
	}
	return nil
}

// Settle implements counter.Counter.
func (m *Model) Settle(_ context.Context, now time.Time, id string, hits []counter.Hit) ([]counter.Count, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.tickets[id]; b != nil {
		if b.waits {
			m.retries[b.ticket] = true
			b.ready()
		}
		m.end(b)
	}
	defer m.grant(now)
	return m.apply(now, hits), nil
}

// TakeOut implements counter.Counter.
func (m *Model) TakeOut(_ context.Context, now time.Time, tag counter.Tag, upTo time.Time, _ int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	n := 0
	for _, c := range m.counters {
		for name, e := range c.members {
			if e.tag == tag && !e.At.After(upTo) {
				delete(c.members, name)
				n++
			}
		}
	}
	m.grant(now)
	return n, nil
}

// Remove implements counter.Counter.
func (m *Model) Remove(_ context.Context, now time.Time, hits []counter.Hit, _ int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range hits {
		if c := m.counters[h.Key]; c != nil {
			delete(c.members, h.Member)
		}
	}
	m.grant(now)
	return nil
}

// Counts implements counter.Counter.
func (m *Model) Counts(_ context.Context, now time.Time, keys []counter.Key) ([]counter.Level, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	levels := make([]counter.Level, len(keys))
	for i, k := range keys {
		c := m.counters[k]
		if c == nil {
			continue
		}
		l := counter.Level{N: c.n(), Held: m.used(k, nil) - c.n(), Threshold: c.threshold, Evidence: c.evidence()}
		if l.N > 0 || l.Held > 0 {
			levels[i] = l
		}
	}
	return levels, nil
}

// Clear implements counter.Counter.
func (m *Model) Clear(_ context.Context, now time.Time, s counter.Selection, _ int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	nothing := !s.All && s.Key == nil && !s.Address.IsValid() && s.Account == "" && s.Rule == ""
	chosen := func(k counter.Key) bool {
		return !nothing && (s.Key == nil || *s.Key == k) && (!s.Address.IsValid() || s.Address == k.Address) &&
			(s.Account == "" || s.Account == k.Account) && (s.Rule == "" || s.Rule == k.Rule)
	}
	for k, c := range m.counters {
		if chosen(k) {
			c.empty()
		}
	}
	maps.DeleteFunc(m.scores, func(k counter.Key, _ points) bool { return chosen(k) })
	m.grant(now)
	return nil
}

// AddScore implements counter.Counter.
func (m *Model) AddScore(_ context.Context, now time.Time, key counter.Key, weight float64, halfLife time.Duration) (float64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scores[key] = points{m.score(now, key) + weight, now, halfLife}
	return m.score(now, key), nil
}

// Score implements counter.Counter.
func (m *Model) Score(_ context.Context, now time.Time, key counter.Key) (float64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.score(now, key), nil
}

func (m *Model) score(now time.Time, key counter.Key) float64 {
	p, ok := m.scores[key]
	if !ok {
		return 0
	}
	return p.value * math.Exp2(-float64(now.Sub(p.at))/float64(p.halfLife))
}
