package operator

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Bounds on a password, MinPassword in characters and MaxPassword in bytes.
// Length is what makes guessing dear, so length is asked for and no mixture of
// classes (NIST SP 800-63B); the upper bound keeps hashing cheap.
const (
	MinPassword = 12
	MaxPassword = 256
)

// CheckPassword says what is wrong with a new password of the operator with
// the given e-mail address.
func CheckPassword(password, email string) error {
	switch {
	case !utf8.ValidString(password):
		return errors.New("must be valid UTF-8")
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("must have at least %d characters", MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("must have at most %d bytes", MaxPassword)
	case different(password) < 5:
		return errors.New("must have at least 5 different characters")
	case email != "" && strings.EqualFold(password, email):
		return errors.New("must not be the e-mail address")
	}
	return nil
}

func different(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// Cost is what one hash costs.
type Cost struct {
	Memory  uint32 // KiB
	Passes  uint32
	Threads uint8
}

// DefaultCost is above the least that OWASP's password storage guidance names
// for argon2id (19 MiB, 2 passes, 1 thread).
var DefaultCost = Cost{Memory: 32 << 10, Passes: 3, Threads: 1}

// What a stored hash may ask for; a damaged or planted one must not exhaust
// the machine.
const (
	maxMemory  = 256 << 10 // KiB
	maxPasses  = 16
	maxThreads = 16
	saltLen    = 16
	keyLen     = 32
)

// Hasher computes argon2id hashes, at most a given number at a time: each one
// takes tens of MiB, and anybody can ask for one by trying to sign in.
type Hasher struct {
	cost  Cost
	slots chan struct{}
	dummy string
}

// NewHasher returns a Hasher that computes at most parallel hashes at a time.
func NewHasher(cost Cost, parallel int) *Hasher {
	h := &Hasher{cost: cost, slots: make(chan struct{}, max(1, parallel))}
	// The hash that unknown e-mail addresses are checked against matches no
	// password, because its key is random; only its cost matters.
	var salt [saltLen]byte
	var key [keyLen]byte
	_, _ = rand.Read(salt[:]) // never fails
	_, _ = rand.Read(key[:])
	h.dummy = encode(cost, salt[:], key[:])
	return h
}

// Hash returns password's hash as a PHC string:
// $argon2id$v=19$m=32768,t=3,p=1$salt$key. It fails only with ctx.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	var salt [saltLen]byte
	_, _ = rand.Read(salt[:]) // never fails
	key := argon2.IDKey([]byte(password), salt[:], h.cost.Passes, h.cost.Memory, h.cost.Threads, keyLen)
	return encode(h.cost, salt[:], key), nil
}

// Verify reports whether hash is password's. The parameters are those in the
// hash, so that a change of the default leaves old passwords valid. A hash that
// cannot be read is an error, and a password longer than MaxPassword is simply
// wrong.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (bool, error) {
	cost, salt, want, err := decode(hash)
	if err != nil {
		return false, err
	}
	tooLong := len(password) > MaxPassword
	if tooLong {
		password = ""
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	got := argon2.IDKey([]byte(password), salt, cost.Passes, cost.Memory, cost.Threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && !tooLong, nil
}

func (h *Hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Hasher) leave() { <-h.slots }

func encode(c Cost, salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, c.Memory, c.Passes, c.Threads, b.EncodeToString(salt), b.EncodeToString(key))
}

var errHash = errors.New("password hash is not an argon2id PHC string")

func decode(hash string) (c Cost, salt, key []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(hash) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return c, nil, nil, errHash
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, fmt.Errorf("%w of version %d", errHash, argon2.Version)
	}
	var m, t, p uint32
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil {
		return c, nil, nil, errHash
	}
	if p < 1 || p > maxThreads || t < 1 || t > maxPasses || m < 8*p || m > maxMemory {
		return c, nil, nil, fmt.Errorf("%w: parameters out of range", errHash)
	}
	c = Cost{Memory: m, Passes: t, Threads: uint8(p)}
	b := base64.RawStdEncoding.Strict()
	if salt, err = b.DecodeString(parts[4]); err != nil || len(salt) < 8 {
		return c, nil, nil, errHash
	}
	if key, err = b.DecodeString(parts[5]); err != nil || len(key) < 16 || len(key) > 64 {
		return c, nil, nil, errHash
	}
	if encode(c, salt, key) != hash { // Sscanf forgives what we never write
		return c, nil, nil, errHash
	}
	return c, salt, key, nil
}
