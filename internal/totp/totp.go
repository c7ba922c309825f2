// Package totp makes and checks one-time codes (RFC 6238: SHA-1, six digits,
// thirty seconds, as every authenticator app knows them) and draws the QR code
// that carries a secret into an app.
//
// It promises that a code is accepted in its own step and one to either side,
// never for a step that was used before, and that only six ASCII digits are a
// code. Secrets are drawn here and never sent anywhere. It stores nothing: the
// caller keeps the last used step.
package totp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	// Period is the length of a step.
	Period = 30 * time.Second
	// SecretBytes is the length of a secret: RFC 4226 recommends 160 bits.
	SecretBytes = 20

	skew = 1 // steps to either side that clocks may differ
)

// ErrWrong says that a code is not one, not the right one, or used before.
var ErrWrong = errors.New("wrong code")

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecret draws a secret.
func NewSecret() []byte {
	secret := make([]byte, SecretBytes)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// Text writes a secret for people to type: base32 without padding.
func Text(secret []byte) string { return encoding.EncodeToString(secret) }

// Step is the number of the step that a time falls into.
func Step(at time.Time) int64 { return at.Unix() / int64(Period/time.Second) }

// Code is the code of a step.
func Code(secret []byte, step int64) (string, error) {
	code, err := hotp.GenerateCodeCustom(Text(secret), uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return "", fmt.Errorf("compute a one-time code: %w", err)
	}
	return code, nil
}

// Check returns the step whose code it is, or ErrWrong. Only steps after the
// last used one count, so that a code that somebody looked at over a shoulder,
// or in a log, is worth nothing once it was used. The caller stores the step
// before it lets anybody in, on the condition that it is still the largest.
func Check(secret []byte, code string, now time.Time, last int64) (step int64, err error) {
	if !digits(code) {
		return 0, ErrWrong
	}
	found := int64(-1)
	for s := Step(now) - skew; s <= Step(now)+skew; s++ {
		if s < 0 {
			continue
		}
		want, err := Code(secret, s)
		if err != nil {
			return 0, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > last && found < 0 {
			found = s
		}
	}
	if found < 0 {
		return 0, ErrWrong
	}
	return found, nil
}

func digits(code string) bool {
	if len(code) != 6 {
		return false
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return true
}

// URI is what the QR code says: otpauth://totp/ISSUER:ACCOUNT?...
func URI(issuer, account string, secret []byte) string {
	q := url.Values{}
	q.Set("secret", Text(secret))
	q.Set("issuer", issuer)
	q.Set("algorithm", "SHA1")
	q.Set("digits", "6")
	q.Set("period", "30")
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account, RawQuery: q.Encode()}
	return u.String()
}

// QR draws text as a QR code: one string for each row, 1 for a dark module.
// The quiet zone of four light modules around it is left to whoever shows it.
func QR(text string) ([]string, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	size := code.Bounds()
	rows := make([]string, 0, size.Dy())
	for y := size.Min.Y; y < size.Max.Y; y++ {
		row := make([]byte, 0, size.Dx())
		for x := size.Min.X; x < size.Max.X; x++ {
			bit := byte('0')
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				bit = '1'
			}
			row = append(row, bit)
		}
		rows = append(rows, string(row))
	}
	return rows, nil
}

// Parse reads what Text wrote.
func Parse(text string) ([]byte, error) {
	secret, err := encoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("read a secret in base32: %w", err)
	}
	return secret, nil
}
