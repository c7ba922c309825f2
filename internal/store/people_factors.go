package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/warderhq/warder/internal/operator"
)

// emailOf is the target of an audit row.
func (t *tx) emailOf(who string) (email string, err error) {
	err = translate(t.row("SELECT email FROM operators WHERE id = $1", who).Scan(&email))
	if errors.Is(err, ErrNotFound) {
		err = operator.ErrNotFound
	}
	return email, err
}

// UseStep implements operator.FactorStore.
func (d *DB) UseStep(ctx context.Context, who string, step int64) error {
	return d.write(ctx, func(t *tx) error {
		n, err := t.affect("UPDATE operators SET totp_step = $1 WHERE id = $2 AND totp = 1 AND totp_step < $1", step, who)
		if err == nil && n == 0 {
			err = operator.ErrWrong
		}
		return translate(err)
	})
}

// ReplaceRecoveryCodes implements operator.FactorStore.
func (d *DB) ReplaceRecoveryCodes(ctx context.Context, who string, hashes [][]byte, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		email, err := t.emailOf(who)
		if err != nil {
			return err
		}
		n, err := t.affect("DELETE FROM operator_recovery WHERE operator_id = $1", who)
		if err != nil {
			return translate(err)
		}
		if n == 0 && len(hashes) == 0 {
			return nil
		}
		for _, hash := range hashes {
			if err := t.exec("INSERT INTO operator_recovery (operator_id, hash) VALUES ($1, $2)", who, hash); err != nil {
				return fmt.Errorf("store recovery codes: %w", translate(err))
			}
		}
		return translate(t.audit(operatorAudit(by, email, map[string]any{"codes": n}, map[string]any{"codes": len(hashes)})))
	})
}

// SpendRecoveryCode implements operator.FactorStore.
func (d *DB) SpendRecoveryCode(ctx context.Context, who string, hash []byte, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		n, err := t.affect("DELETE FROM operator_recovery WHERE operator_id = $1 AND hash = $2", who, hash)
		if err != nil {
			return translate(err)
		}
		if n == 0 {
			return operator.ErrWrong
		}
		email, err := t.emailOf(who)
		if err != nil {
			return err
		}
		var left int
		if err := t.row("SELECT count(*) FROM operator_recovery WHERE operator_id = $1", who).Scan(&left); err != nil {
			return translate(err)
		}
		return translate(t.audit(operatorAudit(by, email, nil, map[string]any{"left": left})))
	})
}

const passkeyColumns = "id, operator_id, name, site, credential, record, created, last_used"

func scanPasskey(scan func(...any) error) (operator.Passkey, error) {
	var k operator.Passkey
	var created, used int64
	err := scan(&k.ID, &k.Operator, &k.Name, &k.Site, &k.Credential, &k.Record, &created, &used)
	k.Created, k.LastUsed = instant(created), instant(used)
	return k, translate(err)
}

// shownPasskey is what the audit trail says of a passkey.
func shownPasskey(k *operator.Passkey) any {
	return map[string]string{"id": k.ID, "name": k.Name, "site": k.Site}
}

// AddPasskey implements operator.FactorStore.
func (d *DB) AddPasskey(ctx context.Context, k operator.Passkey, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		email, err := t.emailOf(k.Operator)
		if err != nil {
			return err
		}
		err = translate(t.exec("INSERT INTO operator_passkeys ("+passkeyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
			k.ID, k.Operator, k.Name, k.Site, k.Credential, string(k.Record), micros(k.Created)))
		if errors.Is(err, ErrConflict) {
			return operator.ErrFactorExists
		}
		if err != nil {
			return err
		}
		return translate(t.audit(operatorAudit(by, email, nil, shownPasskey(&k))))
	})
}

// Passkeys implements operator.FactorStore.
func (d *DB) Passkeys(ctx context.Context, who string) ([]operator.Passkey, error) {
	var out []operator.Passkey
	err := d.read(ctx, "SELECT "+passkeyColumns+" FROM operator_passkeys WHERE operator_id = $1 ORDER BY created, id", []any{who},
		func(scan func(...any) error) error {
			k, err := scanPasskey(scan)
			out = append(out, k)
			return err
		})
	return out, translate(err)
}

// PasskeyByCredential implements operator.FactorStore.
func (d *DB) PasskeyByCredential(ctx context.Context, credential []byte) (k operator.Passkey, err error) {
	found := false
	err = d.read(ctx, "SELECT "+passkeyColumns+" FROM operator_passkeys WHERE credential = $1", []any{credential},
		func(scan func(...any) error) (err error) {
			k, err = scanPasskey(scan)
			found = err == nil
			return err
		})
	if err == nil && !found {
		err = operator.ErrNoFactor
	}
	return k, translate(err)
}

// UsePasskey implements operator.FactorStore.
func (d *DB) UsePasskey(ctx context.Context, k operator.Passkey) error {
	return d.write(ctx, func(t *tx) error {
		n, err := t.affect("UPDATE operator_passkeys SET record = $1, last_used = $2 WHERE id = $3", string(k.Record), micros(k.LastUsed), k.ID)
		if err == nil && n == 0 {
			err = operator.ErrNoFactor
		}
		return translate(err)
	})
}

// RemovePasskey implements operator.FactorStore.
func (d *DB) RemovePasskey(ctx context.Context, who, id string, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		k, err := scanPasskey(t.row("SELECT "+passkeyColumns+" FROM operator_passkeys WHERE id = $1 AND operator_id = $2", id, who).Scan)
		if errors.Is(err, ErrNotFound) {
			return operator.ErrNoFactor
		}
		if err != nil {
			return err
		}
		if err := t.exec("DELETE FROM operator_passkeys WHERE id = $1", id); err != nil {
			return translate(err)
		}
		email, err := t.emailOf(who)
		if err != nil {
			return err
		}
		return translate(t.audit(operatorAudit(by, email, shownPasskey(&k), nil)))
	})
}
