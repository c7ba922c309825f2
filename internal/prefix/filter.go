package prefix

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
)

// filter is a Bloom filter whose bits of one key all lie in one word, so that
// the usual answer, no, costs a single memory access (Putze, Sanders, Singler:
// Cache-, hash- and space-efficient Bloom filters, 2009). Filled to its
// capacity it says "maybe" wrongly about three times in a hundred.
//
// Bits are never taken back; a key that is gone is a wrong "maybe" until the
// filter is drawn anew. The seed keeps strangers from choosing addresses that
// collide.
type filter struct {
	words []atomic.Uint64 // a power of two
	shift uint
	seed  uint64
	room  int // keys that may still be added; guarded by the table's writers
}

const (
	keysPerWord = 6
	minWords    = 64
)

// newFilter makes a filter with room for at least half as many keys again as n.
func newFilter(n int) *filter {
	words := max(minWords, 1<<bits.Len(uint((n+n/2)/keysPerWord)))
	return &filter{
		words: make([]atomic.Uint64, words),
		shift: uint(64 - bits.TrailingZeros(uint(words))),
		seed:  rand.Uint64(),
		room:  words * keysPerWord,
	}
}

// add puts key in and returns false if the filter was too full for it.
func (f *filter) add(key uint64) bool {
	i, mask := f.place(key)
	if f.words[i].Load()&mask == mask {
		return true
	}
	if f.room == 0 {
		return false
	}
	f.room--
	f.words[i].Or(mask)
	return true
}

// mayHold is false if key was never added.
func (f *filter) mayHold(key uint64) bool {
	i, mask := f.place(key)
	return f.words[i].Load()&mask == mask
}

func (f *filter) place(key uint64) (word uint64, mask uint64) {
	hi, lo := bits.Mul64(key^f.seed, 0x9e3779b97f4a7c15)
	h := hi ^ lo
	h *= 0xbf58476d1ce4e5b9
	// The word is chosen by the top bits, its bits by the 24 below the middle.
	mask = 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
	return h >> f.shift, mask
}

// hostKey is the number under which the filter knows a canonical address: all
// of it for IPv4, its /64 for IPv6.
func hostKey(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}
