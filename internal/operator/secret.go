package operator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// keys are derived from the secret of the instance, one for each use.
type keys struct {
	seal      cipher.AEAD
	recovery  []byte
	challenge []byte
	guess     []byte
}

func newKeys(secret []byte) (k keys, err error) {
	if len(secret) == 0 {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
	}
	if len(secret) < 32 {
		return k, errors.New("the secret of the operators must be at least 32 bytes")
	}
	derive := func(use string) []byte {
		key, e := hkdf.Key(sha256.New, secret, nil, "warder operators "+use, 32)
		err = errors.Join(err, e)
		return key
	}
	k.recovery, k.challenge, k.guess = derive("recovery"), derive("challenge"), derive("guess")
	seal := derive("seal")
	if err != nil {
		return k, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return k, fmt.Errorf("make cipher: %w", err)
	}
	if k.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return k, fmt.Errorf("make cipher: %w", err)
	}
	return k, nil
}

// sealFor encrypts a secret of one operator; only for the same operator it
// opens again.
func (k *keys) sealFor(operator string, secret []byte) []byte {
	return k.seal.Seal(nil, nil, secret, []byte(operator))
}

func (k *keys) openFor(operator string, sealed []byte) ([]byte, error) {
	secret, err := k.seal.Open(nil, nil, sealed, []byte(operator))
	if err != nil {
		return nil, errors.New("open the secret of an authenticator app: it was sealed with another key")
	}
	return secret, nil
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // never fails
	}
	return h.Sum(nil)
}

// newToken draws 256 bits as text, and the hash of the text to store.
func newToken() (token string, hash []byte) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, hashToken(token)
}

// tokenLen is the length of a token as text; nothing else is looked up.
const tokenLen = 43

func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// NewDevice draws the token of a device, for its cookie.
func NewDevice() string {
	token, _ := newToken()
	return token
}

// DeviceID is what is stored and shown of a device's token; empty for what is
// not a token.
func DeviceID(token string) string {
	if len(token) != tokenLen {
		return ""
	}
	return hex.EncodeToString(hashToken("device:" + token)[:16])
}

// Guess is a keyed hash of a wrong password: over account and password, and
// over the password alone, so that a repeated mistake is seen to be one.
func (p *People) Guess(account, password string) (same, popular string) {
	return hex.EncodeToString(mac(p.keys.guess, account, password)[:8]), hex.EncodeToString(mac(p.keys.guess, password)[:8])
}
