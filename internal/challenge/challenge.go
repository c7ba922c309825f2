// Package challenge poses the embedded proof of work: a puzzle that costs a
// browser about a second and a guesser as much for every few guesses. It needs
// no third party and no images. A Desk poses the challenges of a CAPTCHA service
// instead, if the operator has one, for as long as that answers.
//
// It promises that a challenge is good for one address key, realm and purpose,
// until it expires, and once: no part of it can be changed, and that it was
// spent is durable before it is accepted. Issuing keeps no state, so strangers
// can grow nothing. It does not prove a human, and what a solved challenge is
// good for is not decided here.
//
// # The puzzle
//
// A challenge is a line of ASCII, seven fields with dots between them:
//
//	w1.DIFFICULTY.EXPIRES.ID.PURPOSE.BINDING.SIGNATURE
//
// A client looks for a decimal number N such that the SHA-256 of the text
// challenge + "." + N begins with DIFFICULTY zero bits (a decimal number, the
// second field), and sends that text back as the token. The other fields mean
// nothing to it. Back's Hashcash (2002) is the origin of the idea.
package challenge

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Provider is the name of this kind of challenge.
const Provider = "embedded"

// Bounds and defaults.
const (
	DefaultDifficulty = 17 // bits: 131,072 hashes on average
	MinDifficulty     = 8
	MaxDifficulty     = 28
	DefaultLife       = 5 * time.Minute
	MaxLife           = time.Hour
	MaxPurpose        = 64  // bytes
	MaxToken          = 384 // bytes; no token is longer
)

// Code is the reason why a token was not accepted, as clients see it.
type Code string

// The codes.
const (
	ErrInvalid Code = "invalid" // it was not issued here, was changed, or is not solved
	ErrExpired Code = "expired"
	ErrBinding Code = "binding" // issued for another address, realm or purpose
	ErrSpent   Code = "spent"
)

func (c Code) Error() string { return "challenge: " + string(c) }

// Spender marks tokens as spent. Spend returns nil once for each id, only when
// that is durable, and from then on, at least until the given time, an error
// that is ErrSpent. Any other error means that nothing was spent.
type Spender interface {
	Spend(ctx context.Context, id string, until time.Time) error
}

// Binding is what a challenge is good for. An invalid AddressKey stands for
// clients whose address is unknown. Purpose is free text.
type Binding struct {
	AddressKey netip.Prefix
	Realm      string
	Purpose    string
}

// Options are what an Issuer is made of.
type Options struct {
	Secret     []byte  // 32 bytes or more, the same on all nodes and after a restart
	Spender    Spender // durable and shared by all nodes
	Difficulty int     // bits; default DefaultDifficulty
	Life       time.Duration
}

// Issuer poses and checks challenges. It is safe for concurrent use.
type Issuer struct {
	signKey, bindKey []byte
	spender          Spender
	difficulty       int
	life             time.Duration
}

// New checks options.
func New(o Options) (*Issuer, error) {
	if o.Difficulty == 0 {
		o.Difficulty = DefaultDifficulty
	}
	if o.Life == 0 {
		o.Life = DefaultLife
	}
	switch {
	case len(o.Secret) < 32:
		return nil, fmt.Errorf("challenge secret of %d bytes, want 32 or more", len(o.Secret))
	case o.Spender == nil:
		return nil, errors.New("challenges without somebody who remembers the spent ones")
	case o.Difficulty < MinDifficulty || o.Difficulty > MaxDifficulty:
		return nil, fmt.Errorf("challenge difficulty %d, want %d to %d", o.Difficulty, MinDifficulty, MaxDifficulty)
	case o.Life < time.Second || o.Life > MaxLife:
		return nil, fmt.Errorf("challenge life %s, want 1s to %s", o.Life, MaxLife)
	}
	// The secret signs other things too; keys of our own keep them apart.
	keys, err := hkdf.Key(sha256.New, o.Secret, nil, "warder challenge w1", 64)
	if err != nil {
		return nil, fmt.Errorf("derive challenge keys: %w", err)
	}
	return &Issuer{signKey: keys[:32], bindKey: keys[32:], spender: o.Spender, difficulty: o.Difficulty, life: o.Life}, nil
}

// Issue poses a challenge for b and says how long it is good. The error is a
// purpose that is too long.
func (i *Issuer) Issue(now time.Time, b Binding) (challenge string, expiresIn time.Duration, err error) {
	if len(b.Purpose) > MaxPurpose {
		return "", 0, fmt.Errorf("purpose of %d bytes, want at most %d", len(b.Purpose), MaxPurpose)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	p := parts{
		difficulty: i.difficulty,
		// Whole seconds, rounded up: it lasts no shorter than it says.
		expires: now.Add(i.life + time.Second - 1).Unix(),
		id:      encoding.EncodeToString(id[:]),
		purpose: b.Purpose,
		binding: i.bind(b),
	}
	text := p.String()
	return text + "." + i.sign(text), i.life, nil
}

// Verify accepts a solved challenge and spends it, and returns the purpose that
// it was issued for. An empty b.Purpose accepts any. The error is a Code, or
// what the Spender says, in which case the token is still good.
func (i *Issuer) Verify(ctx context.Context, now time.Time, token string, b Binding) (purpose string, err error) {
	challenge, _, ok := cutLast(token)
	if !ok || len(token) > MaxToken {
		return "", ErrInvalid
	}
	text, signature, ok := cutLast(challenge)
	if !ok {
		return "", ErrInvalid
	}
	// Compared as text: there are several spellings of the same bytes.
	if subtle.ConstantTimeCompare([]byte(signature), []byte(i.sign(text))) != 1 {
		return "", ErrInvalid
	}
	p, err := parse(text)
	switch {
	case err != nil: // signed, so it is of another version
		return "", ErrInvalid
	case now.Unix() >= p.expires:
		return "", ErrExpired
	case subtle.ConstantTimeCompare([]byte(p.binding), []byte(i.bind(b))) != 1:
		return "", ErrBinding
	case b.Purpose != "" && b.Purpose != p.purpose:
		return "", ErrBinding
	case !solves(token, p.difficulty):
		return "", ErrInvalid
	}
	// Remembered for longer than it is good, for clocks that go back.
	if err := i.spender.Spend(ctx, p.id, time.Unix(p.expires, 0).Add(MaxLife)); err != nil {
		if errors.Is(err, ErrSpent) {
			return "", ErrSpent
		}
		return "", fmt.Errorf("spend challenge: %w", err)
	}
	return p.purpose, nil
}

// sign is over the fields, each behind its length.
func (i *Issuer) sign(text string) string {
	return encoding.EncodeToString(mac(i.signKey, strings.Split(text, ".")...))
}

// bind hides the address from those who see the token. The purpose stands in
// the token itself.
func (i *Issuer) bind(b Binding) string {
	return encoding.EncodeToString(mac(i.bindKey, b.AddressKey.String(), b.Realm)[:16])
}

func mac(key []byte, fields ...string) []byte {
	h := hmac.New(sha256.New, key)
	var length [4]byte
	for _, f := range fields {
		binary.BigEndian.PutUint32(length[:], uint32(len(f)))
		h.Write(length[:])
		h.Write([]byte(f))
	}
	return h.Sum(nil)
}

// Solve finds the token for a challenge; it is the reference for clients. It
// gives up when ctx ends. The error is ErrInvalid for what is no challenge.
func Solve(ctx context.Context, challenge string) (token string, err error) {
	text, _, ok := cutLast(challenge)
	if !ok || len(challenge) > MaxToken {
		return "", ErrInvalid
	}
	p, err := parse(text)
	if err != nil {
		return "", err
	}
	buf := append([]byte(challenge), '.')
	for n := range uint64(1) << 40 {
		if n%4096 == 0 && ctx.Err() != nil {
			return "", ctx.Err()
		}
		if try := strconv.AppendUint(buf, n, 10); zeros(sha256.Sum256(try)) >= p.difficulty {
			return string(try), nil
		}
	}
	return "", ErrInvalid
}

// solves checks the last field of token. Other spellings of a number are other
// numbers, so they need no care.
func solves(token string, difficulty int) bool {
	return zeros(sha256.Sum256([]byte(token))) >= difficulty
}

// zeros counts the zero bits at the front.
func zeros(sum [sha256.Size]byte) int {
	// MaxDifficulty is far below 64.
	return bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:8]))
}
