package counter

import (
	"math"
	"time"
)

const (
	// sweepStep is how many blocks one operation looks at. An event of three
	// new keys takes six, so the sweep is faster than whatever comes in.
	sweepStep   = 16
	sweepChunks = 16 // in one Sweep
	// scanEvery spaces out the searches of everything for want of memory.
	scanEvery = int64(time.Second)
)

// alloc returns a block, if need be one of a key that is evicted for it, or 0
// if nothing may be evicted.
func (m *Memory) alloc() uint32 {
	for {
		if i := m.take(); i != 0 {
			return i
		}
		if !m.evict() {
			m.full = true
			return 0
		}
	}
}

// evict forgets the key that is missed least.
func (m *Memory) evict() bool {
	i := m.lowest()
	if i == 0 {
		return false
	}
	if m.cell(i).rank >= lowRanks {
		// Before a key that matters goes, everything that is over must be gone.
		if m.now >= m.earliest && (m.now-m.scanned >= scanEvery || m.now < m.scanned) {
			used := m.used
			m.scan()
			if m.used < used {
				return true
			}
			if i = m.lowest(); i == 0 {
				return false
			}
		}
		m.full = true
	}
	m.lift(&m.order, i)
	m.drain(i)
	m.place(i)
	m.evicted++
	return true
}

// scan sweeps everything at once.
func (m *Memory) scan() {
	m.scanned, m.earliest = m.now, math.MaxInt64
	for n, c := range m.chunks {
		m.sweepChunk(c, n, 0, chunkBlocks)
		for j, mark := range &c.marks {
			if mark != 0 {
				if c := m.cell(uint32(n<<chunkBits | j)); c.flags&listed != 0 {
					m.earliest = min(m.earliest, c.at+m.life(c))
				}
			}
		}
	}
}

// sweep looks at the next n blocks.
func (m *Memory) sweep(n uint32) {
	if m.keys == 0 {
		return
	}
	if int(m.hand)>>chunkBits >= len(m.chunks) {
		m.hand = 0
	}
	from := m.hand & (chunkBlocks - 1)
	m.sweepChunk(m.chunks[m.hand>>chunkBits], int(m.hand>>chunkBits), from, from+n)
	m.hand += n
}

// sweepChunk removes what is over from the cells in a part of a chunk. Cells
// outside of the lists are somebody's business already.
func (m *Memory) sweepChunk(c *chunk, number int, from, to uint32) {
	for j, mark := range c.marks[from:to] {
		if mark == 0 {
			continue
		}
		i := uint32(number)<<chunkBits | from + uint32(j)
		c := m.cell(i)
		switch over := c.at <= m.now-m.life(c); {
		case c.flags&listed == 0:
		case over:
			m.lift(&m.order, i)
			m.drain(i)
			m.place(i)
		case c.rank >= lowRanks && m.entry(c.first).at <= m.now-m.kinds.of(c).window:
			m.lift(&m.order, i)
			m.trim(i)
			m.place(i)
		}
	}
}
