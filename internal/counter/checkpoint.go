package counter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"
)

// ErrSnapshot is wrapped by the errors of Restore.
var ErrSnapshot = errors.New("snapshot cannot be used")

// A snapshot is
//
//	magic "WCTR", version (1 byte), secret (8), shards (2), shard (2), seq (8)
//	kinds: how many; for each rule (4), form (1), threshold, window
//	cells: how many; for each key (16), address (8), account (8), number of its
//	kind, how many entries; for each at (difference to the entry before), seq,
//	and for members: flags (1), member (16), tag (12, unless like the one before)
//	CRC-32C of all that (4)
//
// with fixed numbers little-endian and all others as varints.
const (
	snapshotMagic   = "WCTR"
	snapshotVersion = 1
	snapshotHeader  = 4 + 1 + 8 + 2 + 2 + 8

	savedUnsettled = 1
	savedSameTag   = 2
)

// Shards is the number of shards; they are numbered from 0.
func (m *Memory) Shards() int { return len(m.shards) }

// Replay counts hits of event seq as Apply does, but without ever crossing: a
// count may then stand at its threshold, and the next hit crosses. Hits of
// shards that were restored with event seq in them are skipped.
func (m *Memory) Replay(now time.Time, seq int64, hits []Hit) {
	m.begin(now)
	defer m.end()
	for i := range hits {
		if !m.contains(m.digest.keySum(ofCounter, &hits[i].Key), seq) {
			m.count(&hits[i], true)
		}
	}
}

// Empty empties the counters of keys, as the crossing by event seq did. Shards
// that were restored with event seq in them are left alone.
func (m *Memory) Empty(keys []Key, seq int64) {
	m.mu.Lock()
	defer m.end()
	for i := range keys {
		id := m.digest.keySum(ofCounter, &keys[i])
		if c := m.find(id); c != 0 && !m.contains(id, seq) {
			m.lift(&m.order, c)
			m.drain(c)
			m.place(c)
		}
	}
}

// Unsaved makes the next Snapshot of a shard return it in any case: the last one
// could not be stored.
func (m *Memory) Unsaved(shard int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shards[shard].changed = true
}

// Snapshot returns the counters and scores of one shard, in which every event up
// to seq is counted, for Restore. Reservations are not in it. It returns nil if
// nothing changed since the last Snapshot or Restore of this shard: what was
// stored then is true for seq too.
func (m *Memory) Snapshot(shard int, seq int64) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.shards[shard].changed {
		return nil
	}
	m.shards[shard].changed = false
	var (
		kindNumbers = map[uint32]int{}
		kindBytes   []byte
		cells       = make([]byte, 0, m.used/len(m.shards)*48)
		n           int
		part        = len(m.keyBuckets) >> m.shardBits
	)
	for _, i := range m.keyBuckets[shard*part : (shard+1)*part] {
		for ; i != 0; i = m.cell(i).next {
			c := m.cell(i)
			if c.n == 0 {
				continue
			}
			k := m.kinds.of(c)
			number, ok := kindNumbers[c.kind]
			if !ok {
				number = len(kindNumbers)
				kindNumbers[c.kind] = number
				kindBytes = binary.LittleEndian.AppendUint32(kindBytes, k.rule)
				kindBytes = append(kindBytes, k.form)
				kindBytes = binary.AppendUvarint(kindBytes, uint64(k.threshold))
				kindBytes = binary.AppendUvarint(kindBytes, uint64(k.window))
			}
			cells = append(cells, c.id[:]...)
			cells = binary.LittleEndian.AppendUint64(cells, c.address)
			cells = binary.LittleEndian.AppendUint64(cells, c.account)
			cells = binary.AppendUvarint(cells, uint64(number))
			cells = m.appendEntries(cells, c, k.form)
			n++
		}
	}
	b := make([]byte, 0, snapshotHeader+len(kindBytes)+len(cells)+24)
	b = append(b, snapshotMagic...)
	b = append(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint64(b, m.digest.secretSum())
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.shards)))
	b = binary.LittleEndian.AppendUint16(b, uint16(shard))
	b = binary.LittleEndian.AppendUint64(b, uint64(seq))
	b = binary.AppendUvarint(b, uint64(len(kindNumbers)))
	b = append(b, kindBytes...)
	b = binary.AppendUvarint(b, uint64(n))
	b = append(b, cells...)
	return binary.LittleEndian.AppendUint32(b, snapshotSum(b))
}

func snapshotSum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (m *Memory) appendEntries(b []byte, c *cell, form uint8) []byte {
	b = binary.AppendUvarint(b, uint64(c.n))
	var before entry
	for i := c.first; i != 0; i = m.entry(i).next {
		e := m.entry(i)
		b = binary.AppendVarint(b, e.at-before.at)
		b = binary.AppendVarint(b, e.seq-before.seq)
		if form == exact {
			var flags byte
			if e.flags&unsettled != 0 {
				flags |= savedUnsettled
			}
			same := i != c.first && e.tagHi == before.tagHi && e.tagLo == before.tagLo
			if same {
				flags |= savedSameTag
			}
			b = append(b, flags)
			b = append(b, e.id[:]...)
			if !same {
				b = binary.LittleEndian.AppendUint64(b, e.tagHi)
				b = binary.LittleEndian.AppendUint32(b, e.tagLo)
			}
		}
		before = *e
	}
	return b
}

// Restore fills a shard with a snapshot that is true for event seq (or a later
// event, if Snapshot returned nil since). Afterwards everything that was caused
// by an event up to seq leaves the shard alone: Replay, Empty, TakeOut, Remove
// and Clear. If data is damaged, of another version, secret or number of shards,
// the shard is empty and takes part in everything, and the error wraps
// ErrSnapshot. Restore before anything else: held slots are not kept apart.
func (m *Memory) Restore(shard int, seq int64, data []byte) error {
	m.mu.Lock()
	defer m.end()
	m.emptyShard(shard)
	m.shards[shard].seq = 0
	if err := m.restore(shard, seq, data); err != nil {
		m.emptyShard(shard)
		m.shards[shard].changed = true
		return fmt.Errorf("restore shard %d: %w: %w", shard, ErrSnapshot, err)
	}
	m.shards[shard].seq, m.shards[shard].changed = seq, false
	return nil
}

func (m *Memory) emptyShard(shard int) {
	part := len(m.keyBuckets) >> m.shardBits
	for b := shard * part; b < (shard+1)*part; b++ {
		for i, next := m.keyBuckets[b], uint32(0); i != 0; i = next {
			next = m.cell(i).next
			m.lift(&m.order, i)
			m.drain(i)
			m.place(i)
		}
	}
}

var (
	errShort = errors.New("it is cut short or has a number out of range")
	errTwice = errors.New("something is in it twice")
)

func (m *Memory) restore(shard int, seq int64, data []byte) error {
	if len(data) < snapshotHeader+4 || string(data[:4]) != snapshotMagic {
		return errors.New("it is not a snapshot of counters")
	}
	if data[4] != snapshotVersion {
		return fmt.Errorf("it has version %d", data[4])
	}
	body, sum := data[:len(data)-4], data[len(data)-4:]
	if !slices.Equal(sum, binary.LittleEndian.AppendUint32(nil, snapshotSum(body))) {
		return errors.New("its checksum is wrong")
	}
	r := &reader{b: body[5:]}
	switch {
	case r.uint64() != m.digest.secretSum():
		return errors.New("it was made under another secret")
	case int(r.uint16()) != len(m.shards):
		return errors.New("it was made with another number of shards")
	case int(r.uint16()) != shard:
		return errors.New("it is another shard")
	case int64(r.uint64()) > seq:
		return errors.New("it is of a later event")
	}
	kinds := make([]kind, r.count(7))
	for i := range kinds {
		k := kind{rule: r.uint32(), form: r.byte(), threshold: int32(r.most(math.MaxInt32)), window: int64(r.most(1<<62 - 1))}
		if k.form > score || k.form == exact && (k.threshold < 1 || k.threshold > Exact) || k.form == coarse && k.threshold <= Exact {
			return errShort
		}
		kinds[i] = k
	}
	for range r.count(37) {
		if err := m.restoreCell(r, shard, kinds); err != nil {
			return err
		}
	}
	if r.bad || len(r.b) > 0 {
		return errShort
	}
	return nil
}

// restoreCell reads one cell completely before it stores it.
func (m *Memory) restoreCell(r *reader, shard int, kinds []kind) error {
	id, address, account := r.digest(), r.uint64(), r.uint64()
	number := r.most(uint64(len(kinds)))
	if r.bad || int(number) >= len(kinds) || m.shardOf(id) != shard {
		return errShort
	}
	k := kinds[number]
	entries, err := readEntries(r, &k)
	if err != nil {
		return err
	}
	if m.find(id) != 0 {
		return errTwice
	}
	i := m.create(id, address, account, k)
	if i == 0 {
		return nil // no memory: forgotten like anything that is evicted
	}
	for j := range entries {
		e := m.alloc()
		if e == 0 {
			break
		}
		*m.entry(e) = entries[j]
		m.insert(i, e)
		if k.form == exact {
			m.tag(e, tagDigest{entries[j].tagHi, entries[j].tagLo})
		}
	}
	m.place(i)
	return nil
}

func readEntries(r *reader, k *kind) ([]entry, error) {
	least, most := 2, 1
	switch k.form {
	case exact:
		least, most = 19, int(k.threshold)
	case coarse:
		most = Buckets + 1
	}
	n := r.count(least)
	if n < 1 || n > most {
		return nil, errShort
	}
	entries := make([]entry, n)
	var before entry
	for j := range entries {
		e := entry{at: before.at + r.varint(), seq: before.seq + r.varint()}
		if k.form == exact {
			flags := r.byte()
			if flags&savedUnsettled != 0 {
				e.flags = unsettled
			}
			e.id = r.digest()
			if flags&savedSameTag != 0 && j > 0 {
				e.tagHi, e.tagLo = before.tagHi, before.tagLo
			} else {
				e.tagHi, e.tagLo = r.uint64(), r.uint32()
			}
			if flags > savedUnsettled|savedSameTag || flags&savedSameTag != 0 && j == 0 {
				return nil, errShort
			}
			if slices.ContainsFunc(entries[:j], func(o entry) bool { return o.id == e.id }) {
				return nil, errTwice
			}
		}
		if r.bad || e.at < -(1<<62) || e.at >= 1<<62 || j > 0 && e.at < before.at {
			return nil, errShort
		}
		switch v := math.Float64frombits(uint64(e.seq)); {
		case k.form == coarse && (e.seq < 1 || e.seq > math.MaxInt32 || j > 0 && e.at == before.at),
			k.form == score && !(v >= scoreFloor && v <= scoreMost):
			return nil, errShort
		}
		entries[j], before = e, e
	}
	return entries, nil
}

// reader reads numbers; after the first that cannot be read it is bad and
// everything else is 0.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad = true
		return make([]byte, n)
	}
	var head []byte
	head, r.b = r.b[:n], r.b[n:]
	return head
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) digest() digest { return digest(r.take(16)) }

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) most(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many things of at least so many bytes follow; more cannot be
// than there are bytes.
func (r *reader) count(size int) int { return int(r.most(uint64(len(r.b) / size))) }
