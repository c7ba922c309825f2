package guard

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/prefix"
)

// stand is a live Block as memory keeps it: small, since there may be a
// million. The rest of a Block is read from the journal when somebody asks.
type stand struct {
	next *stand // another Block of the same subject

	id    [16]byte
	ref   uint64
	until int64     // Unix nanoseconds; 0 = until lifted
	why   *standWhy // shared by all Blocks of the same rule and origin

	struck atomic.Pointer[strikes] // nil: it has refused nobody; changes after it was published
}

// strikes are the refusals of a Block. Few Blocks of many ever have any.
type strikes struct {
	hits     atomic.Int64 // since the last journaled count
	lastHit  atomic.Int64 // Unix nanoseconds
	lastTold atomic.Int64 // when a refused request last became an event
}

func (s *stand) strikes() *strikes {
	for {
		if k := s.struck.Load(); k != nil {
			return k
		}
		s.struck.CompareAndSwap(nil, new(strikes))
	}
}

// standWhy is where a Block comes from.
type standWhy struct {
	rule   string
	origin string
}

func (t *blockTable) standOf(b *Block) *stand {
	key := standWhy{rule: b.Rule, origin: b.Origin}
	why := t.whys[key]
	if why == nil {
		why = &standWhy{rule: b.Rule, origin: b.Origin} // not &key, which would put every key on the heap
		t.whys[key] = why
	}
	s := &stand{why: why}
	copy(s.id[:], b.ID)
	s.ref, _ = parseReference(b.Reference)
	s.until = endNanos(b.Until)
	return s
}

// endNanos is the end of what stands in Unix nanoseconds: 0 if it has none. They
// reach until 2262; what ends later ends there.
func endNanos(until time.Time) int64 {
	switch last := time.Unix(0, math.MaxInt64); {
	case until.IsZero():
		return 0
	case until.After(last):
		return math.MaxInt64
	}
	return until.UnixNano()
}

func (s *stand) live(now int64) bool { return s.until == 0 || now < s.until }

// outlasts reports whether s ends later than o.
func (s *stand) outlasts(o *stand) bool {
	return o.until != 0 && (s.until == 0 || s.until > o.until)
}

func (s *stand) ID() string { return string(s.id[:]) }

// block gives back what memory knows of a Block.
func (s *stand) block(subject warder.Subject) *Block {
	b := &Block{
		ID: s.ID(), Reference: formatReference(s.ref), Subject: subject,
		Origin: s.why.origin, Rule: s.why.rule,
	}
	if s.until != 0 {
		b.Until = time.Unix(0, s.until).UTC()
	}
	return b
}

// without returns the list with the Block named id left out. Lists are never
// changed in place: readers hold no lock.
func (s *stand) without(id string) *stand {
	if s == nil {
		return nil
	}
	rest := s.next.without(id)
	if s.ID() == id {
		return rest
	}
	if rest == s.next {
		return s
	}
	c := &stand{next: rest, id: s.id, ref: s.ref, until: s.until, why: s.why}
	// Hits not yet journaled stay with s, which the list of hits points to.
	if k := s.struck.Load(); k != nil {
		c.strikes().lastTold.Store(k.lastTold.Load())
	}
	return c
}

func (s *stand) find(id string) *stand {
	for ; s != nil; s = s.next {
		if s.ID() == id {
			return s
		}
	}
	return nil
}

// blockTable holds the live Blocks. Readers take no lock for Blocks of
// prefixes, and a read lock for those of accounts, only when there are any.
// Writers hold the engine's lock.
type blockTable struct {
	prefixes prefix.Table[*stand]

	mu       sync.RWMutex // guards accounts
	accounts map[warder.Subject]*stand
	nAccount atomic.Int64

	n    atomic.Int64
	whys map[standWhy]*standWhy // guarded by the engine's lock
}

func newBlockTable() *blockTable {
	return &blockTable{
		accounts: make(map[warder.Subject]*stand),
		whys:     make(map[standWhy]*standWhy),
	}
}

// byAddress reports whether a subject is a prefix and nothing else.
func byAddress(s warder.Subject) bool {
	return s.Account == "" && s.Realm == "" && s.Session == "" && s.IP.IsValid()
}

func (t *blockTable) add(b *Block) *stand {
	s := t.standOf(b)
	t.n.Add(1)
	if byAddress(b.Subject) {
		s.next, _ = t.prefixes.Get(b.Subject.IP)
		t.prefixes.Set(b.Subject.IP, s)
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.next = t.accounts[b.Subject]
	t.accounts[b.Subject] = s
	t.nAccount.Store(int64(len(t.accounts)))
	return s
}

// addAll adds Blocks of addresses and nothing else in one step, which is cheaper
// than one by one. The result stands are in the order of the Blocks.
func (t *blockTable) addAll(blocks []*Block) []*stand {
	stands := make([]*stand, len(blocks))
	t.prefixes.Merge(func(old, latest *stand) *stand {
		latest.next = old // nobody has seen latest yet
		return latest
	}, func(add func(netip.Prefix, *stand)) {
		for i, b := range blocks {
			stands[i] = t.standOf(b)
			add(b.Subject.IP, stands[i])
		}
	})
	t.n.Add(int64(len(blocks)))
	return stands
}

// find looks for Blocks by id, in one pass over the table: it is made for
// operators' requests, not for decisions.
func (t *blockTable) find(ids []string) map[string]warder.Subject {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	found := make(map[string]warder.Subject, len(ids))
	note := func(subject warder.Subject, head *stand) bool {
		for b := head; b != nil; b = b.next {
			if wanted[string(b.id[:])] {
				found[b.ID()] = subject
			}
		}
		return len(found) < len(wanted)
	}
	t.mu.RLock()
	for subject, head := range t.accounts {
		note(subject, head)
	}
	t.mu.RUnlock()
	if len(found) < len(wanted) {
		t.prefixes.All(func(p netip.Prefix, head *stand) bool { return note(warder.Subject{IP: p}, head) })
	}
	return found
}

// of returns the Blocks whose subject is exactly s.
func (t *blockTable) of(s warder.Subject) *stand {
	if byAddress(s) {
		head, _ := t.prefixes.Get(s.IP)
		return head
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.accounts[s]
}

// remove takes a Block out and reports whether it was there.
func (t *blockTable) remove(subject warder.Subject, id string) bool {
	head := t.of(subject)
	if head.find(id) == nil {
		return false
	}
	t.n.Add(-1)
	rest := head.without(id)
	if byAddress(subject) {
		if rest != nil {
			t.prefixes.Set(subject.IP, rest)
		} else {
			t.prefixes.Delete(subject.IP)
		}
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if rest != nil {
		t.accounts[subject] = rest
	} else {
		delete(t.accounts, subject)
	}
	t.nAccount.Store(int64(len(t.accounts)))
	return true
}

// automatic returns the live automatic Block of a subject, if there is one.
func (t *blockTable) automatic(s warder.Subject, now int64) *stand {
	for b := t.of(s); b != nil; b = b.next {
		if b.why.origin == FromRule && b.live(now) {
			return b
		}
	}
	return nil
}

// imported returns the live imported Block of a subject, if there is one.
func (t *blockTable) imported(s warder.Subject, now time.Time) *Block {
	for b := t.of(s); b != nil; b = b.next {
		if b.why.origin == FromImport && b.live(now.UnixNano()) {
			return b.block(s)
		}
	}
	return nil
}

// longest returns the live Block of an address that lasts longest, the
// narrowest of equals, and the prefix it stands on.
func (t *blockTable) longest(a netip.Addr, now int64) (*stand, netip.Prefix) {
	var best *stand
	var at netip.Prefix
	t.prefixes.Covering(a, func(p netip.Prefix, head *stand) bool {
		for b := head; b != nil; b = b.next {
			if b.live(now) && (best == nil || b.outlasts(best)) {
				best, at = b, p
			}
		}
		return true
	})
	return best, at
}

// demandTable holds the standing Demands, by subject. Whether a request may be
// concerned by any is found without a lock.
type demandTable struct {
	mu sync.RWMutex // guards m
	m  map[warder.Subject][]*Demand
	n  atomic.Int64

	addresses prefix.Table[struct{}] // of the subjects that are an address and nothing else
	others    atomic.Int64           // Demands with other subjects
}

// mayConcern is false if no Demand stands against a request.
func (t *demandTable) mayConcern(q *Query) bool {
	return t.others.Load() > 0 && (q.Account != "" || q.Realm != "") || q.IP.IsValid() && t.addresses.Contains(q.IP)
}

func newDemandTable() *demandTable {
	return &demandTable{m: make(map[warder.Subject][]*Demand)}
}

func (t *demandTable) add(d *Demand) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[d.Subject] = append(slices.Clip(t.m[d.Subject]), d)
	t.n.Add(1)
	if byAddress(d.Subject) {
		t.addresses.Set(d.Subject.IP, struct{}{})
	} else {
		t.others.Add(1)
	}
}

func (t *demandTable) remove(d *Demand) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.m[d.Subject]
	rest := slices.DeleteFunc(slices.Clone(before), func(o *Demand) bool { return o.ID == d.ID })
	gone := int64(len(before) - len(rest))
	t.n.Add(-gone)
	if !byAddress(d.Subject) {
		t.others.Add(-gone)
	}
	if len(rest) == 0 {
		delete(t.m, d.Subject)
		if byAddress(d.Subject) {
			t.addresses.Delete(d.Subject.IP)
		}
	} else {
		t.m[d.Subject] = rest
	}
}

// byID finds a Demand; nil: there is none.
func (t *demandTable) byID(id string) *Demand {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, list := range t.m {
		for _, d := range list {
			if d.ID == id {
				return d
			}
		}
	}
	return nil
}

// of returns the live Demands on one subject. The slice must not be changed.
func (t *demandTable) of(s warder.Subject) []*Demand {
	if t.n.Load() == 0 {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.m[s]
}

func (d *Demand) live(now time.Time) bool { return d.Until.IsZero() || now.Before(d.Until) }
