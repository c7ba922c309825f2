package counter

import (
	"encoding/binary"
	"fmt"
)

// Seal gives a snapshot the right checksum.
func Seal(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, snapshotSum(b)) }

// Check looks for contradictions in everything that m keeps.
func (m *Memory) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	used, keys, entries := 0, 0, map[uint32]bool{}
	for b, i := range m.keyBuckets {
		for ; i != 0; i = m.cell(i).next {
			c := m.cell(i)
			keys++
			used += 1 + int(c.n)
			if m.bucket(c.id) != &m.keyBuckets[b] {
				return fmt.Errorf("cell %d is in bucket %d", i, b)
			}
			if (c.flags&pinned != 0) != (m.lines[i] != nil) || (c.flags&pinned != 0) == (c.flags&listed != 0) {
				return fmt.Errorf("cell %d: flags %b, line %v", i, c.flags, m.lines[i])
			}
			if c.n == 0 && c.flags&pinned == 0 {
				return fmt.Errorf("cell %d is empty", i)
			}
			if c.flags&listed != 0 && c.rank != m.rank(c) {
				return fmt.Errorf("cell %d has rank %d, not %d", i, c.rank, m.rank(c))
			}
			if m.chunks[i>>chunkBits].marks[i&(chunkBlocks-1)] != mark(c.address, c.account) {
				return fmt.Errorf("cell %d is marked wrongly", i)
			}
			n := 0
			for e := c.first; e != 0; e = m.entry(e).next {
				n++
				entry := m.entry(e)
				if entries[e] || entry.at > c.at || entry.next != 0 && m.entry(entry.next).at < entry.at {
					return fmt.Errorf("entry %d of cell %d is out of order", e, i)
				}
				entries[e] = true
				if (entry.flags&tagged != 0) != (m.kinds.of(c).form == exact) || entry.cell != i {
					return fmt.Errorf("entry %d of cell %d: %+v", e, i, entry)
				}
			}
			if n != int(c.n) {
				return fmt.Errorf("cell %d has %d entries, not %d", i, n, c.n)
			}
			if k := m.kinds.of(c); k.form == exact && n > int(k.threshold) {
				return fmt.Errorf("cell %d has %d members at threshold %d", i, n, k.threshold)
			}
		}
	}
	if used != m.used || keys != m.keys {
		return fmt.Errorf("%d blocks and %d keys in use, not %d and %d", used, keys, m.used, m.keys)
	}
	for b, e := range m.tagBuckets {
		for before := uint32(0); e != 0; before, e = e, m.entry(e).tagNext {
			entry := m.entry(e)
			if !entries[e] || entry.tagPrev != before || m.tagBucket(tagDigest{entry.tagHi, entry.tagLo}) != b {
				return fmt.Errorf("entry %d is in the wrong chain", e)
			}
		}
	}
	return m.checkLists()
}

func (m *Memory) checkLists() error {
	high, listedCells := 0, 0
	for rank, l := range m.lists {
		if (l.first != 0) != (m.some[rank/64]>>(rank%64)&1 == 1) {
			return fmt.Errorf("list %d: bit is wrong", rank)
		}
		for i := l.first; i != 0; i = m.cell(i).newer {
			listedCells++
			if rank >= lowRanks {
				high += 1 + int(m.cell(i).n)
			}
		}
	}
	if listedCells+len(m.lines) != m.keys || high != m.high {
		return fmt.Errorf("%d listed, %d lines, %d keys; %d high, not %d", listedCells, len(m.lines), m.keys, high, m.high)
	}
	var booked int64
	waiting := 0
	for _, t := range m.tickets {
		booked += t.cost()
		if t.state.Load() == ticketWaiting {
			waiting++
		}
	}
	if booked != m.booked || waiting != m.waiting || len(m.work) > 0 {
		return fmt.Errorf("%d booked, not %d; %d waiting, not %d; %d to do", booked, m.booked, waiting, m.waiting, len(m.work))
	}
	cells := 0
	for _, k := range m.kinds.rows {
		cells += k.cells
	}
	if cells != m.keys || len(m.kinds.index)+len(m.kinds.unused) != len(m.kinds.rows) {
		return fmt.Errorf("%d cells in %d kinds", cells, len(m.kinds.index))
	}
	return nil
}
