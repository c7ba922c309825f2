package operator

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/totp"
)

const (
	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits, 16 letters
	issuer        = "Warder"
)

// Factors names the second factors that an operator has: passkey, totp,
// recovery.
func (o *Operator) Factors() []string {
	var list []string
	if o.Passkeys > 0 {
		list = append(list, "passkey")
	}
	if o.TOTP {
		list = append(list, "totp")
	}
	if o.RecoveryCodes > 0 && o.SecondFactor() {
		list = append(list, "recovery")
	}
	return list
}

// NewTOTP is the secret of an authenticator app that is not confirmed yet.
type NewTOTP struct {
	Secret string // base32
	URI    string
	QR     []string
}

// BeginTOTP draws a secret for an operator's authenticator app. One that is
// confirmed is in force until DropTOTP: ErrExists.
func (p *People) BeginTOTP(ctx context.Context, o *Operator, by Change) (NewTOTP, error) {
	secret := totp.NewSecret()
	sealed := p.keys.sealFor(o.ID, secret)
	by.Action = "totp.begin"
	_, err := p.store.EditOperator(ctx, o.ID, OperatorEdit{Change: func(o *Operator) error {
		if o.TOTP {
			return ErrFactorExists
		}
		o.TOTPSecret, o.TOTPStep = sealed, 0
		return nil
	}}, by)
	if err != nil {
		return NewTOTP{}, err
	}
	out := NewTOTP{Secret: totp.Text(secret), URI: totp.URI(issuer, o.Email, secret)}
	if out.QR, err = totp.QR(out.URI); err != nil {
		return NewTOTP{}, err
	}
	return out, nil
}

// ErrFactorExists says that an authenticator app is confirmed already.
var ErrFactorExists = errors.New("an authenticator app is switched on: switch it off first")

// ConfirmTOTP switches the authenticator app on by its first code, and makes
// recovery codes unless there are some. ErrWrong, ErrNoFactor, ErrFactorExists.
func (p *People) ConfirmTOTP(ctx context.Context, o *Operator, code string, by Change) (codes []string, err error) {
	if o.TOTP {
		return nil, ErrFactorExists
	}
	step, err := p.checkTOTP(o, code, by.At)
	if err != nil {
		return nil, err
	}
	by.Action = "totp.on"
	sealed := o.TOTPSecret
	after, err := p.store.EditOperator(ctx, o.ID, OperatorEdit{Change: func(o *Operator) error {
		if o.TOTP || string(o.TOTPSecret) != string(sealed) {
			return ErrFactorExists
		}
		o.TOTP, o.TOTPStep = true, step
		return nil
	}}, by)
	if err != nil || after.RecoveryCodes > 0 {
		return nil, err
	}
	return p.NewRecoveryCodes(ctx, o, by)
}

// UseTOTP checks a code of a confirmed authenticator app: ErrWrong also for one
// that was used before, ErrNoFactor without an app.
func (p *People) UseTOTP(ctx context.Context, o *Operator, code string, now time.Time) error {
	if !o.TOTP {
		return ErrNoFactor
	}
	step, err := p.checkTOTP(o, code, now)
	if err != nil {
		return err
	}
	return p.store.UseStep(ctx, o.ID, step)
}

func (p *People) checkTOTP(o *Operator, code string, now time.Time) (int64, error) {
	if len(o.TOTPSecret) == 0 {
		return 0, ErrNoFactor
	}
	secret, err := p.keys.openFor(o.ID, o.TOTPSecret)
	if err != nil {
		return 0, err
	}
	step, err := totp.Check(secret, code, now, o.TOTPStep)
	if errors.Is(err, totp.ErrWrong) {
		return 0, ErrWrong
	}
	return step, err
}

// DropTOTP switches the authenticator app off. The recovery codes go with the
// last second factor.
func (p *People) DropTOTP(ctx context.Context, o *Operator, by Change) error {
	by.Action = "totp.off"
	_, err := p.store.EditOperator(ctx, o.ID, OperatorEdit{Change: func(o *Operator) error {
		if len(o.TOTPSecret) == 0 {
			return ErrNoFactor
		}
		o.TOTP, o.TOTPSecret, o.TOTPStep = false, nil, 0
		return nil
	}}, by)
	if err == nil && o.Passkeys == 0 {
		err = p.store.ReplaceRecoveryCodes(ctx, o.ID, nil, withAction(by, "recovery.drop"))
	}
	return err
}

func withAction(by Change, action string) Change {
	by.Action = action
	return by
}

var recoveryText = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewRecoveryCodes makes ten codes in place of those before: four groups of
// four letters and digits, each good for one sign-in instead of the second
// factor.
func (p *People) NewRecoveryCodes(ctx context.Context, o *Operator, by Change) ([]string, error) {
	codes := make([]string, recoveryCodes)
	hashes := make([][]byte, recoveryCodes)
	for i := range codes {
		var b [recoveryBytes]byte
		_, _ = rand.Read(b[:]) // never fails
		text := recoveryText.EncodeToString(b[:])
		hashes[i] = p.recoveryHash(o.ID, text)
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
	}
	if err := p.store.ReplaceRecoveryCodes(ctx, o.ID, hashes, withAction(by, "recovery.new")); err != nil {
		return nil, fmt.Errorf("store recovery codes: %w", err)
	}
	return codes, nil
}

func (p *People) recoveryHash(operator, code string) []byte {
	return mac(p.keys.recovery, operator, code)
}

// UseRecoveryCode uses a recovery code up. Case, spaces and hyphens do not
// matter: people type them from paper.
func (p *People) UseRecoveryCode(ctx context.Context, o *Operator, code string, by Change) error {
	plain := strings.NewReplacer("-", "", " ", "", "0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(code))
	if len(plain) != recoveryText.EncodedLen(recoveryBytes) {
		return ErrWrong
	}
	return p.store.SpendRecoveryCode(ctx, o.ID, p.recoveryHash(o.ID, plain), withAction(by, "recovery.use"))
}

// Reprove checks the password of an operator who is signed in: ErrWrong.
func (p *People) Reprove(ctx context.Context, o *Operator, password string) error {
	ok, err := p.reserved.Verify(ctx, o.Hash, password)
	if err != nil {
		return fmt.Errorf("verify password: %w", err)
	}
	if !ok {
		return ErrWrong
	}
	return nil
}

// ChangePassword replaces the password of an operator who has given the one
// before, and ends all their sessions but keep. It returns what came of them.
func (p *People) ChangePassword(ctx context.Context, o *Operator, password, keep string, by Change) (Operator, error) {
	return p.setPassword(ctx, *o, password, keep, by)
}

// Fail counts a wrong code on a session that waits for a second factor and
// returns ErrWrong.
func (p *People) Fail(ctx context.Context, s *Session) error { return p.failed(ctx, s) }

// checkPasskeyName checks what a person calls a passkey.
func checkPasskeyName(name string) error {
	if strings.TrimSpace(name) == "" {
		return warder.Faults{{Location: "name", Message: "is required"}}
	}
	if err := checkName(name); err != nil || len(name) > 64 {
		return warder.Faults{{Location: "name", Message: "must be printable text of at most 64 bytes"}}
	}
	return nil
}
