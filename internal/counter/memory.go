package counter

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"math/bits"
	"sync"
	"time"
)

// Options are what a Memory is made of. Zero values take the defaults.
type Options struct {
	// Bytes is the memory it may use; default 128 MiB, at least 1 MiB. One part
	// in eight is set aside for reservations.
	Bytes int64
	// Shards is the number of parts that are saved and restored one by one,
	// rounded up to a power of two; default 256, at most 1024. Saving one holds
	// everybody up: a millisecond or two with the defaults.
	Shards int
	// Secret keys the digests of everything that strangers choose, so that
	// nobody can aim at a shard or a bucket. A snapshot can be restored only
	// under the secret it was made under. Empty: a random one.
	Secret []byte
}

// Stats are the figures of a Memory.
type Stats struct {
	Keys    int
	Bytes   int64 // what it occupies
	Cap     int64 // what it may occupy
	Evicted int64 // keys forgotten for lack of memory, ever
	// Full says that there was nothing left to forget but keys at half of their
	// threshold or more. It ends when one part in eight is free of such keys.
	Full bool
	// Guaranteed is N of the promise: while fewer than N keys stand at half of
	// their threshold or more, none of them is forgotten.
	Guaranteed int
	Held       int // reservations that hold slots
	Waiters    int // tickets in line
}

// Memory is the Counter of one instance. It is bounded: if memory runs out it
// forgets the key with the lowest count first, of several the one not touched
// for longest, and keys at half of their threshold or more only if there is
// nothing else. Keys on which slots are held are never forgotten. What has left
// its window is swept out little by little by every call, and by Sweep.
//
// Where the budget ends is decided for all shards together, so that no shard
// runs full alone.
type Memory struct {
	mu     sync.Mutex
	opts   Options
	digest digester

	slab
	order
	keyBuckets []uint32 // first cell; the shards own equal parts of it, one after the other
	tagBuckets []uint32 // first entry
	shardBits  int
	shards     []shard
	kinds      kinds
	keys       int

	now      int64 // of the running operation
	hand     uint32
	earliest int64 // nothing that could be evicted leaves its window before
	scanned  int64 // when all cells were looked through for want of memory
	full     bool
	evicted  int64

	lines   map[uint32]*line // by cell
	tickets map[string]*Ticket
	work    []*line // lines in which something may be granted
	waiting int
	booked  int64 // bytes of reservations
	closed  chan struct{}
}

// shard is what a Memory knows of one part of itself.
type shard struct {
	seq     int64 // everything up to this event was in it when it was restored
	changed bool  // since the last snapshot, or not saved at all yet
}

var _ Counter = (*Memory)(nil)

const (
	defaultBytes  = 128 << 20
	minBytes      = 1 << 20
	defaultShards = 256
	maxShards     = 1024
	holdShare     = 8 // one part of the memory in so many is for reservations
)

// New returns an empty Memory.
func New(o Options) *Memory {
	if o.Bytes == 0 {
		o.Bytes = defaultBytes
	}
	o.Bytes = max(o.Bytes, minBytes)
	if o.Shards <= 0 {
		o.Shards = defaultShards
	}
	o.Shards = 1 << bits.Len(uint(min(o.Shards, maxShards)-1))
	var salt [16]byte
	if len(o.Secret) > 0 {
		sum := sha256.Sum256(append([]byte("warder counters\x00"), o.Secret...))
		copy(salt[:], sum[:])
	} else {
		_, _ = rand.Read(salt[:]) // never fails
	}
	return newMemory(o, salt)
}

func newMemory(o Options, salt [16]byte) *Memory {
	m := &Memory{opts: o, digest: newDigester(salt)}
	share := o.Bytes - o.Bytes/holdShare
	// One bucket for two to four blocks: a key takes at least two.
	n := max(1<<(bits.Len64(uint64(share/chunkBytes*chunkBlocks))-2), o.Shards)
	m.keyBuckets = make([]uint32, n)
	m.tagBuckets = make([]uint32, n)
	m.most = max(int((share-8*int64(n))/chunkBytes), 1)
	m.chunks = make([]*chunk, 0, m.most)
	m.shardBits = bits.Len(uint(o.Shards)) - 1
	m.shards = make([]shard, o.Shards)
	for i := range m.shards {
		m.shards[i].changed = true // what is stored, if anything, is of another life
	}
	m.kinds.index = map[kind]uint32{}
	m.lines = map[uint32]*line{}
	m.tickets = map[string]*Ticket{}
	m.closed = make(chan struct{})
	close(m.closed)
	return m
}

// Fresh returns an empty Memory with the options and the secret of m, into
// which the journal can be replayed under a new policy; then Carry.
func (m *Memory) Fresh() *Memory { return newMemory(m.opts, m.digest.salt) }

// Stats returns the figures of m.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = m.full && m.dear() >= m.blocks()*7/8
	return Stats{
		Keys:       m.keys,
		Bytes:      int64(len(m.chunks))*chunkBytes + 4*int64(len(m.keyBuckets)+len(m.tagBuckets)) + m.booked,
		Cap:        m.opts.Bytes,
		Evicted:    m.evicted,
		Full:       m.full,
		Guaranteed: m.blocks() / m.kinds.most(),
		Held:       len(m.tickets) - m.waiting,
		Waiters:    m.waiting,
	}
}

// dear is how many blocks are of counters that must not, or should not, be
// forgotten.
func (m *Memory) dear() int {
	n := m.high
	for i := range m.lines {
		n += 1 + int(m.cell(i).n)
	}
	return n
}

// begin locks m for one operation and end closes it: it grants what became
// free, sweeps a little, and unlocks.
func (m *Memory) begin(now time.Time) {
	m.mu.Lock()
	m.now = nano(now)
}

func (m *Memory) end() {
	m.grant()
	m.sweep(sweepStep)
	m.mu.Unlock()
}

// Apply implements Counter. It never returns an error.
func (m *Memory) Apply(_ context.Context, now time.Time, hits []Hit) ([]Count, error) {
	counts := make([]Count, len(hits))
	m.begin(now)
	defer m.end()
	for i := range hits {
		counts[i] = m.count(&hits[i], false)
	}
	return counts, nil
}

// TakeOut implements Counter. Shards that were restored with event seq in them
// are left alone.
func (m *Memory) TakeOut(_ context.Context, now time.Time, tag Tag, upTo time.Time, seq int64) (int, error) {
	m.begin(now)
	defer m.end()
	t, until := m.digest.tagOf(tag), nano(upTo)
	n := 0
	for e, next := m.tagBuckets[m.tagBucket(t)], uint32(0); e != 0; e = next {
		entry := m.entry(e)
		next = entry.tagNext
		i := entry.cell
		if (tagDigest{entry.tagHi, entry.tagLo}) != t || entry.at > until || m.contains(m.cell(i).id, seq) {
			continue
		}
		m.lift(&m.order, i)
		if entry.at > m.now-m.kinds.of(m.cell(i)).window {
			n++
		}
		m.remove(i, e)
		m.place(i)
	}
	return n, nil
}

// Remove implements Counter. Shards that were restored with event seq in them
// are left alone.
func (m *Memory) Remove(_ context.Context, now time.Time, hits []Hit, seq int64) error {
	m.begin(now)
	defer m.end()
	for i := range hits {
		h := &hits[i]
		id := m.digest.keySum(ofCounter, &h.Key)
		c := m.find(id)
		if c == 0 || m.contains(id, seq) || m.kinds.of(m.cell(c)).form != exact {
			continue
		}
		if e := m.member(m.cell(c), m.digest.memberSum(h.Member)); e != 0 {
			m.lift(&m.order, c)
			m.remove(c, e)
			m.place(c)
		}
	}
	return nil
}

// Counts implements Counter. It touches nothing.
func (m *Memory) Counts(_ context.Context, now time.Time, keys []Key) ([]Level, error) {
	levels := make([]Level, len(keys))
	m.begin(now)
	defer m.end()
	for i := range keys {
		c := m.find(m.digest.keySum(ofCounter, &keys[i]))
		if c == 0 {
			continue
		}
		l, k := &levels[i], m.kinds.of(m.cell(c))
		for e := m.cell(c).first; e != 0; e = m.entry(e).next {
			if entry := m.entry(e); entry.at <= m.now-k.window {
				continue
			} else if k.form == exact {
				l.N++
				l.Evidence = append(l.Evidence, entry.evidence())
			} else {
				l.N += int(entry.seq)
			}
		}
		l.Held = m.heldApart(c)
		if l.N > 0 || l.Held > 0 {
			l.Threshold = int(k.threshold)
		}
	}
	return levels, nil
}

// Clear implements Counter. Shards that were restored with event seq in them
// are left alone. Clearing by Key costs what a hit costs; any other selection
// reads a mark of every block.
func (m *Memory) Clear(_ context.Context, now time.Time, s Selection, seq int64) error {
	m.begin(now)
	defer m.end()
	address, account := m.digest.addressSum(s.Address), m.digest.accountSum(s.Account)
	var rule uint32
	if s.Rule != "" {
		rule = m.digest.ruleSum(s.Rule)
	}
	if !s.All && s.Key == nil && address == 0 && account == 0 && rule == 0 {
		return nil
	}
	clearing := func(i uint32) {
		c := m.cell(i)
		if address != 0 && c.address != address || account != 0 && c.account != account ||
			rule != 0 && m.kinds.of(c).rule != rule || m.contains(c.id, seq) {
			return
		}
		m.lift(&m.order, i)
		m.drain(i)
		m.place(i)
	}
	if s.Key != nil {
		for _, role := range []byte{ofCounter, ofScore} {
			if i := m.find(m.digest.keySum(role, s.Key)); i != 0 {
				clearing(i)
			}
		}
		return nil
	}
	want, mask := uint32(isCell), uint32(isCell)
	if address != 0 {
		want, mask = want|mark(address, 0), mask|mark(^uint64(0), 0)
	}
	if account != 0 {
		want, mask = want|mark(0, account), mask|mark(0, ^uint64(0))
	}
	for n, c := range m.chunks {
		for j, mark := range &c.marks {
			if mark&mask == want {
				clearing(uint32(n<<chunkBits | j))
			}
		}
	}
	return nil
}

// Sweep forgets what has left its window in the next part of the memory, gives
// memory back if nothing is left at all, and does what Expire does. The part is
// so small (32 Ki blocks, all of 2 MiB) that Sweep may be called under a lock,
// some times per second: then everything is looked at every few seconds.
func (m *Memory) Sweep(now time.Time) {
	m.begin(now)
	defer m.end()
	for range min(sweepChunks, len(m.chunks)) {
		m.hand = m.hand &^ (chunkBlocks - 1)
		m.sweep(chunkBlocks)
	}
	m.release()
	m.expire()
}

// Expire grants waiting tickets what became free because members left their
// window. Everything else that frees slots grants them by itself, so this is
// only worth calling while Stats().Waiters is above 0, some times per second.
func (m *Memory) Expire(now time.Time) {
	m.begin(now)
	defer m.end()
	m.expire()
}

func (m *Memory) expire() {
	if m.waiting == 0 {
		return
	}
	for i, l := range m.lines {
		if len(l.waiters) > 0 && m.trim(i) {
			m.touch(l)
		}
	}
}

// nano is an instant in nanoseconds, kept within a range in which sums with
// durations cannot overflow (years 1823 to 2116).
func nano(t time.Time) int64 {
	const most = 1<<62 - 1
	switch s := t.Unix(); {
	case s >= most/int64(time.Second):
		return most
	case s <= -most/int64(time.Second):
		return -most
	}
	return t.UnixNano()
}

func span(d time.Duration) int64 { return int64(min(max(d, 0), 1<<62-1)) }
