package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"sync"
	"time"
)

// References are what a refused person reads out on the telephone: eight
// characters of Crockford's alphabet, which has no letters that are taken for
// digits. They carry 40 bits made by a permutation of a counter, so that they
// never repeat and yet cannot be guessed in order.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var referenceEpoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// references hands out references. The counter is made of seconds and a
// number within the second; more than 1,024 in a second borrow from the next.
type references struct {
	key [32]byte

	mu   sync.Mutex // guards last
	last uint64
}

func newReferences(secret []byte) *references {
	return &references{key: sha256.Sum256(append([]byte("warder reference\x00"), secret...))}
}

func (r *references) next(now time.Time) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := referenceAt(now)
	if n <= r.last {
		n = r.last + 1
	}
	r.last = n
	return r.permute(n & (1<<40 - 1))
}

// referenceAt is where the counter stands at an instant.
func referenceAt(t time.Time) uint64 {
	return uint64(max(0, int64(t.Sub(referenceEpoch)/time.Second))) << 10
}

// resume goes on behind the references that were handed out before a start: one
// of the last, and how many there were in the same moment. One that was borrowed
// from farther ahead than any import reaches was made under another key.
func (r *references) resume(last uint64, beside int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.order(last); n < referenceAt(now.Add(time.Hour)) {
		r.last = max(r.last, n+uint64(beside)+1<<10)
	}
}

// permute is a four-round Feistel network over two halves of 20 bits.
func (r *references) permute(n uint64) uint64 {
	left, right := uint32(n>>20), uint32(n&(1<<20-1))
	for round := range byte(4) {
		left, right = right, left^r.mix(round, right)
	}
	return uint64(left)<<20 | uint64(right)
}

// order takes permute back.
func (r *references) order(n uint64) uint64 {
	left, right := uint32(n>>20), uint32(n&(1<<20-1))
	for round := range byte(4) {
		left, right = right^r.mix(3-round, left), left
	}
	return uint64(left)<<20 | uint64(right)
}

func (r *references) mix(round byte, half uint32) uint32 {
	var in [37]byte
	copy(in[:], r.key[:])
	in[32] = round
	binary.BigEndian.PutUint32(in[33:], half)
	sum := sha256.Sum256(in[:])
	return binary.BigEndian.Uint32(sum[:]) & (1<<20 - 1)
}

// formatReference writes a reference as 7K3M-22QP.
func formatReference(n uint64) string {
	var b [9]byte
	for i := 8; i >= 0; i-- {
		if i == 4 {
			b[i] = '-'
			continue
		}
		b[i] = crockford[n&31]
		n >>= 5
	}
	return string(b[:])
}

// parseReference reads a reference that formatReference wrote; ok is false for
// anything else.
func parseReference(s string) (n uint64, ok bool) {
	if len(s) != 9 || s[4] != '-' {
		return 0, false
	}
	for i := range 9 {
		if i == 4 {
			continue
		}
		v := -1
		for j := range len(crockford) {
			if crockford[j] == s[i] {
				v = j
				break
			}
		}
		if v < 0 {
			return 0, false
		}
		n = n<<5 | uint64(v)
	}
	return n, true
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID makes a random identifier of 16 characters (80 bits).
func newID() string {
	var b [10]byte
	rand.Read(b[:])
	return idEncoding.EncodeToString(b[:])
}

// eventID makes the identifier of an event that its reporter did not name: its
// number, which orders it in time, and some random bits.
func eventID(seq int64) string {
	var b [15]byte
	binary.BigEndian.PutUint64(b[:8], uint64(seq))
	rand.Read(b[8:])
	return idEncoding.EncodeToString(b[:])
}
