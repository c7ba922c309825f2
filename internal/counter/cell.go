package counter

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// Forms of a cell.
const (
	exact  = iota // members
	coarse        // sub-buckets
	score
)

// kind is what cells of one rule have in common. The window of a score is its
// half-life.
type kind struct {
	rule      uint32
	form      uint8
	threshold int32
	window    int64
}

func kindOf(rule uint32, threshold int, window time.Duration) kind {
	k := kind{rule: rule, threshold: int32(min(max(threshold, 1), math.MaxInt32)), window: span(window)}
	if threshold > Exact {
		k.form = coarse
	}
	return k
}

// width is the length of a sub-bucket.
func (k *kind) width() int64 { return max(k.window/Buckets, 1) }

// kinds numbers the kinds in use.
type kinds struct {
	rows   []kindRow
	index  map[kind]uint32
	unused []uint32
	widest int // entries that one key can have, ever seen
}

type kindRow struct {
	kind
	cells int
}

func (k *kinds) of(c *cell) *kind { return &k.rows[c.kind].kind }

// take returns the number of want for one cell more.
func (k *kinds) take(want kind) uint32 {
	i, ok := k.index[want]
	if !ok {
		if n := len(k.unused); n > 0 {
			i, k.unused = k.unused[n-1], k.unused[:n-1]
		} else {
			i = uint32(len(k.rows))
			k.rows = append(k.rows, kindRow{})
		}
		k.rows[i] = kindRow{kind: want}
		k.index[want] = i
		switch want.form {
		case exact:
			k.widest = max(k.widest, int(want.threshold))
		case coarse:
			k.widest = max(k.widest, Buckets+1)
		}
	}
	k.rows[i].cells++
	return i
}

func (k *kinds) give(i uint32) {
	if k.rows[i].cells--; k.rows[i].cells == 0 {
		delete(k.index, k.rows[i].kind)
		k.unused = append(k.unused, i)
	}
}

// most is how many blocks one key may need: its cell, and one entry less than
// its threshold. Thresholds of 10 are taken for granted.
func (k *kinds) most() int { return max(k.widest, 10) }

func (m *Memory) shardOf(id digest) int {
	return int(binary.BigEndian.Uint64(id[:8]) >> (64 - m.shardBits))
}

// contains reports whether the shard of id was restored with event seq in it.
func (m *Memory) contains(id digest, seq int64) bool {
	return seq != 0 && m.shards[m.shardOf(id)].seq >= seq
}

func (m *Memory) bucket(id digest) *uint32 {
	part := len(m.keyBuckets) >> m.shardBits
	return &m.keyBuckets[m.shardOf(id)*part+int(binary.LittleEndian.Uint64(id[8:]))&(part-1)]
}

func (m *Memory) tagBucket(t tagDigest) int { return int(t.hi) & (len(m.tagBuckets) - 1) }

func (m *Memory) find(id digest) uint32 {
	for i := *m.bucket(id); i != 0; i = m.cell(i).next {
		if m.cell(i).id == id {
			return i
		}
	}
	return 0
}

// create returns a new cell, outside of all lists, or 0 if there is no memory.
func (m *Memory) create(id digest, address, account uint64, k kind) uint32 {
	i := m.alloc()
	if i == 0 {
		return 0
	}
	c, b := m.cell(i), m.bucket(id)
	*c = cell{id: id, address: address, account: account, at: math.MinInt64, next: *b, kind: m.kinds.take(k)}
	*b = i
	m.setMark(i, mark(address, account))
	m.keys++
	return i
}

// open finds the cell of a key, or creates it, and brings it up to date: it is
// of the form, window and threshold of h, and what left the window is gone. It
// is outside of all lists. 0 if there is no memory.
func (m *Memory) open(h *Hit) uint32 {
	id := m.digest.keySum(ofCounter, &h.Key)
	i := m.find(id)
	if i == 0 {
		return m.create(id, m.digest.addressSum(h.Key.Address), m.digest.accountSum(h.Key.Account),
			kindOf(m.digest.ruleSum(h.Key.Rule), h.Threshold, h.Window))
	}
	m.lift(&m.order, i)
	c := m.cell(i)
	old := *m.kinds.of(c)
	if k := kindOf(old.rule, h.Threshold, h.Window); k != old {
		if k.form != old.form || k.form == coarse && k.window != old.window {
			m.drain(i) // its entries mean something else
		}
		m.kinds.give(c.kind)
		c.kind = m.kinds.take(k)
		m.changed(i)
		m.touchCell(i) // a higher threshold may let somebody in
	}
	m.trim(i)
	return i
}

// place puts a cell back into the lists, or away if it is empty.
func (m *Memory) place(i uint32) {
	c := m.cell(i)
	switch {
	case c.flags&(pinned|listed) != 0:
	case c.n == 0:
		m.discard(i)
	default:
		m.earliest = min(m.earliest, c.at+m.life(c))
		m.enlist(&m.order, i, m.rank(c))
	}
}

// rank is the list in which a cell belongs.
func (m *Memory) rank(c *cell) uint8 {
	k := m.kinds.of(c)
	if k.form == score {
		v := math.Float64frombits(uint64(m.entry(c.first).seq))
		return uint8(min(max(math.Ilogb(v)+1, 1), lowRanks-1))
	}
	n := m.total(c)
	if k.threshold > 1 && 2*n >= int(k.threshold) {
		return uint8(lowRanks + min(n, ranks-lowRanks-1))
	}
	return uint8(min(n, lowRanks-1))
}

// life is how long after its newest entry a cell is over.
func (m *Memory) life(c *cell) int64 {
	k := m.kinds.of(c)
	if k.form == score {
		return min(k.window, math.MaxInt64/2/scoreLife) * scoreLife
	}
	return k.window
}

// discard gives an empty cell back.
func (m *Memory) discard(i uint32) {
	c := m.cell(i)
	b := m.bucket(c.id)
	for *b != i {
		b = &m.cell(*b).next
	}
	*b = c.next
	m.kinds.give(c.kind)
	m.setMark(i, 0)
	m.keys--
	m.give(i)
}

func (m *Memory) changed(i uint32) { m.shards[m.shardOf(m.cell(i).id)].changed = true }

// total is the count of a cell.
func (m *Memory) total(c *cell) int {
	if m.kinds.of(c).form == exact {
		return int(c.n)
	}
	var n int64
	for e := c.first; e != 0; e = m.entry(e).next {
		n += m.entry(e).seq
	}
	return int(min(n, math.MaxInt32))
}

// trim removes what left the window and reports whether there was anything. The
// cell must be outside of all lists.
func (m *Memory) trim(i uint32) bool {
	c := m.cell(i)
	k := m.kinds.of(c)
	if k.form == score {
		return false
	}
	any := false
	for c.first != 0 && m.entry(c.first).at <= m.now-k.window {
		m.dropFirst(i)
		any = true
	}
	if any {
		m.touchCell(i)
	}
	return any
}

func (m *Memory) dropFirst(i uint32) {
	c := m.cell(i)
	e := c.first
	c.first = m.entry(e).next
	c.n--
	m.untag(e)
	m.give(e)
}

// drain removes all entries.
func (m *Memory) drain(i uint32) {
	if m.cell(i).n == 0 {
		return
	}
	for m.cell(i).first != 0 {
		m.dropFirst(i)
	}
	m.changed(i)
	m.touchCell(i)
}

// remove removes entry e of cell i.
func (m *Memory) remove(i, e uint32) {
	m.unlink(i, e)
	m.untag(e)
	m.give(e)
	m.changed(i)
	m.touchCell(i)
}

func (m *Memory) unlink(i, e uint32) {
	c := m.cell(i)
	p := &c.first
	for *p != e {
		p = &m.entry(*p).next
	}
	*p = m.entry(e).next
	c.n--
}

// insert puts entry e where its time belongs, after those of the same time.
func (m *Memory) insert(i, e uint32) {
	c, entry := m.cell(i), m.entry(e)
	p := &c.first
	for *p != 0 && m.entry(*p).at <= entry.at {
		p = &m.entry(*p).next
	}
	entry.next, *p = *p, e
	entry.cell = i
	c.n++
	c.at = max(c.at, entry.at)
	m.changed(i)
}

// member finds the entry of a member.
func (m *Memory) member(c *cell, id digest) uint32 {
	for e := c.first; e != 0; e = m.entry(e).next {
		if m.entry(e).id == id {
			return e
		}
	}
	return 0
}

func (m *Memory) tag(e uint32, t tagDigest) {
	entry, b := m.entry(e), &m.tagBuckets[m.tagBucket(t)]
	entry.tagHi, entry.tagLo, entry.tagPrev, entry.tagNext = t.hi, t.lo, 0, *b
	entry.flags |= tagged
	if *b != 0 {
		m.entry(*b).tagPrev = e
	}
	*b = e
}

func (m *Memory) untag(e uint32) {
	entry := m.entry(e)
	if entry.flags&tagged == 0 {
		return
	}
	entry.flags &^= tagged
	if entry.tagPrev != 0 {
		m.entry(entry.tagPrev).tagNext = entry.tagNext
	} else {
		m.tagBuckets[m.tagBucket(tagDigest{entry.tagHi, entry.tagLo})] = entry.tagNext
	}
	if entry.tagNext != 0 {
		m.entry(entry.tagNext).tagPrev = entry.tagPrev
	}
}

func (e *entry) evidence() Evidence {
	return Evidence{Seq: e.seq, At: time.Unix(0, e.at).UTC(), Unsettled: e.flags&unsettled != 0}
}

// count counts one hit. Replaying never crosses, and keeps at most as many
// members as the threshold.
func (m *Memory) count(h *Hit, replaying bool) Count {
	i := m.open(h)
	if i == 0 {
		return m.unstored(h, replaying)
	}
	defer m.place(i)
	c := m.cell(i)
	k := m.kinds.of(c)
	at := min(nano(h.At), m.now)
	if k.form == coarse {
		at -= floorMod(at, k.width())
	}
	if at <= m.now-k.window {
		return Count{N: m.total(c), Stale: true}
	}
	if k.form == coarse {
		return m.countCoarse(i, at, replaying)
	}
	fresh := entry{id: m.digest.memberSum(h.Member), at: at, seq: h.Seq}
	if h.Unsettled {
		fresh.flags = unsettled
	}
	n := Count{N: int(c.n) + 1}
	e := m.member(c, fresh.id)
	if e != 0 {
		n.N, n.Repeat = int(c.n), true
	}
	if n.N >= int(k.threshold) && !replaying {
		n.Crossed, n.Evidence = true, m.cross(i, e, &fresh)
		return n
	}
	switch {
	case e == 0:
		if e = m.alloc(); e == 0 {
			return n // there is no memory but for held counters; Full says so
		}
	case m.entry(e).at > at:
		return n // the latest hit of this member is known already
	default:
		m.unlink(i, e)
		m.untag(e)
	}
	*m.entry(e) = fresh
	m.insert(i, e)
	m.tag(e, m.digest.tagOf(h.Tag))
	for int(c.n) > int(k.threshold) {
		m.dropFirst(i)
	}
	return n
}

// cross empties a cell into evidence, with a hit that is not in it yet, or only
// as the older entry e.
func (m *Memory) cross(i, e uint32, fresh *entry) []Evidence {
	if e != 0 && m.entry(e).at > fresh.at {
		fresh = m.entry(e)
	}
	var all []entry
	for j := m.cell(i).first; j != 0; j = m.entry(j).next {
		if j != e {
			all = append(all, *m.entry(j))
		}
	}
	p := len(all)
	for p > 0 && all[p-1].at > fresh.at {
		p--
	}
	all = slices.Insert(all, p, *fresh)
	evidence := make([]Evidence, len(all))
	for j := range all {
		evidence[j] = all[j].evidence()
	}
	m.drain(i)
	m.wake(i)
	return evidence
}

// countCoarse counts a hit in the sub-bucket that begins at an instant. A
// sub-bucket leaves the window as a whole when its beginning does, so no hit
// counts longer than its window.
func (m *Memory) countCoarse(i uint32, at int64, replaying bool) Count {
	c := m.cell(i)
	n := Count{N: m.total(c) + 1}
	if n.N >= int(m.kinds.of(c).threshold) && !replaying {
		n.Crossed = true
		m.drain(i)
		m.wake(i)
		return n
	}
	for e := c.first; e != 0; e = m.entry(e).next {
		if m.entry(e).at == at {
			m.entry(e).seq = min(m.entry(e).seq+1, math.MaxInt32)
			m.changed(i)
			return n
		}
	}
	if e := m.alloc(); e != 0 {
		*m.entry(e) = entry{at: at, seq: 1}
		m.insert(i, e)
	}
	return n
}

// unstored answers for a hit that found no memory at all.
func (m *Memory) unstored(h *Hit, replaying bool) Count {
	at := min(nano(h.At), m.now)
	if at <= m.now-span(h.Window) {
		return Count{Stale: true}
	}
	n := Count{N: 1}
	if h.Threshold <= 1 && !replaying {
		n.Crossed = true
		fresh := entry{at: at, seq: h.Seq}
		if h.Unsettled {
			fresh.flags = unsettled
		}
		n.Evidence = []Evidence{fresh.evidence()}
	}
	return n
}

func floorMod(a, b int64) int64 {
	return (a%b + b) % b
}
