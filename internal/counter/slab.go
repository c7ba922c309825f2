package counter

import (
	"math/bits"
	"unsafe"
)

// All counters live in blocks of 64 bytes, one cache line each, in one slab
// without pointers: the collector has nothing to walk through, every byte is
// accounted for, and it does not matter for what a block was used before.
//
// A cell is a counter; its entries hang on it, oldest first.
//
//	exact counter: one entry per member
//	above Exact:   one entry per sub-bucket, seq is its count, at its beginning
//	score:         one entry, seq is its value (IEEE 754), at its time
type cell struct {
	id      digest // of the key
	address uint64 // digests of these parts of the key, 0 if it has none
	account uint64
	at      int64  // of the newest entry, or a little later
	next    uint32 // in the chain of its bucket
	first   uint32 // oldest entry
	older   uint32 // neighbours in the list of its rank
	newer   uint32
	kind    uint32 // rule, threshold, window
	n       uint16 // entries
	rank    uint8
	flags   uint8
}

type entry struct {
	id      digest // of the member
	at      int64
	seq     int64
	tagHi   uint64
	tagLo   uint32
	next    uint32 // next newer entry of the cell, or next free block
	cell    uint32
	tagPrev uint32 // neighbours in the chain of the tag's bucket
	tagNext uint32
	flags   uint8
}

// Flags of cells and of entries.
const (
	listed    = 1 << iota // the cell is in the list of its rank
	pinned                // the cell has a line of reservations
	unsettled             // see Evidence
	tagged                // the entry is in a chain of tags
)

type block [8]uint64

// Blocks must be as large as what lies in them.
var (
	_ [0]struct{} = [unsafe.Sizeof(block{}) - unsafe.Sizeof(cell{})]struct{}{}
	_ [0]struct{} = [unsafe.Sizeof(block{}) - unsafe.Sizeof(entry{})]struct{}{}
)

const (
	chunkBits   = 11
	chunkBlocks = 1 << chunkBits
	chunkBytes  = int64(unsafe.Sizeof(chunk{})) // 17 pages of 8 KiB
)

// chunk is how the slab grows. A mark tells a cell from other blocks (0) and
// carries a few bits of its address and account, so that clearing reads 4 bytes
// of each block and not 64.
type chunk struct {
	blocks [chunkBlocks]block
	marks  [chunkBlocks]uint32
}

// slab hands out blocks by number. Number 0 is never handed out.
type slab struct {
	chunks []*chunk
	most   int    // chunks
	top    uint32 // blocks below were handed out before
	free   uint32
	used   int // blocks
}

func (s *slab) block(i uint32) *block {
	return &s.chunks[i>>chunkBits].blocks[i&(chunkBlocks-1)]
}

// Both types are of the size and the alignment of a block and hold no pointers.
func (s *slab) cell(i uint32) *cell   { return (*cell)(unsafe.Pointer(s.block(i))) }
func (s *slab) entry(i uint32) *entry { return (*entry)(unsafe.Pointer(s.block(i))) }

// take returns a zeroed block, or 0 if none is left.
func (s *slab) take() uint32 {
	i := s.free
	switch {
	case i != 0:
		s.free = s.entry(i).next
		*s.block(i) = block{}
	case int(s.top) < len(s.chunks)<<chunkBits || len(s.chunks) < s.most:
		if s.top == 0 {
			s.top = 1
		}
		if int(s.top)>>chunkBits >= len(s.chunks) {
			s.chunks = append(s.chunks, new(chunk))
		}
		i = s.top
		s.top++
	default:
		return 0
	}
	s.used++
	return i
}

func (s *slab) give(i uint32) {
	s.entry(i).next = s.free
	s.free = i
	s.used--
}

// blocks is how many blocks there can ever be.
func (s *slab) blocks() int { return s.most<<chunkBits - 1 }

// release gives everything back if nothing is in use.
func (s *slab) release() {
	if s.used == 0 {
		s.chunks, s.top, s.free = nil, 0, 0
	}
}

const isCell = 1 << 31

func mark(address, account uint64) uint32 {
	return isCell | uint32(address&0x7fff)<<16 | uint32(account&0xffff)
}

func (s *slab) setMark(i, m uint32) {
	s.chunks[i>>chunkBits].marks[i&(chunkBlocks-1)] = m
}

// Ranks order the cells for eviction: by count; those at half of their
// threshold come after all others.
const (
	lowRanks = 64
	ranks    = lowRanks + 128
)

// list is a list of cells, the one touched longest ago first.
type list struct{ first, last uint32 }

// order holds all cells that may be evicted.
type order struct {
	lists [ranks]list
	some  [ranks / 64]uint64 // bit set: the list is not empty
	high  int                // blocks of cells of high rank
}

func (s *slab) enlist(o *order, i uint32, rank uint8) {
	c := s.cell(i)
	c.rank, c.flags = rank, c.flags|listed
	l := &o.lists[rank]
	c.older, c.newer = l.last, 0
	if l.last == 0 {
		l.first = i
		o.some[rank/64] |= 1 << (rank % 64)
	} else {
		s.cell(l.last).newer = i
	}
	l.last = i
	if rank >= lowRanks {
		o.high += 1 + int(c.n)
	}
}

// lift takes a cell out of its list. Only then may it change.
func (s *slab) lift(o *order, i uint32) {
	c := s.cell(i)
	if c.flags&listed == 0 {
		return
	}
	c.flags &^= listed
	l := &o.lists[c.rank]
	if c.older == 0 {
		l.first = c.newer
	} else {
		s.cell(c.older).newer = c.newer
	}
	if c.newer == 0 {
		l.last = c.older
	} else {
		s.cell(c.newer).older = c.older
	}
	if l.first == 0 {
		o.some[c.rank/64] &^= 1 << (c.rank % 64)
	}
	if c.rank >= lowRanks {
		o.high -= 1 + int(c.n)
	}
}

// lowest returns the cell to evict first, 0 if there is none.
func (o *order) lowest() uint32 {
	for w, set := range o.some {
		if set != 0 {
			return o.lists[w*64+bits.TrailingZeros64(set)].first
		}
	}
	return 0
}
