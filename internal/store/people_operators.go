package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

// What is stored of an operator, then what is counted.
const (
	operatorStored = `operators.id, operators.email, operators.name, operators.role, operators.time_zone, operators.hash,
		operators.created, operators.last_sign_in, operators.expires_at, operators.disabled_at,
		operators.totp, operators.totp_secret, operators.totp_step`
	operatorColumns = operatorStored + `,
		(SELECT count(*) FROM operator_passkeys p WHERE p.operator_id = operators.id),
		(SELECT count(*) FROM operator_recovery c WHERE c.operator_id = operators.id)`
)

// operatorFields are where a row of operatorColumns goes. done completes the
// operator when the row was scanned.
func operatorFields(o *operator.Operator) (fields []any, done func()) {
	var role string
	var created, signedIn, expires, disabled, totp int64
	fields = []any{
		&o.ID, &o.Email, &o.Name, &role, &o.TimeZone, &o.Hash, &created, &signedIn, &expires, &disabled, &totp, &o.TOTPSecret,
		&o.TOTPStep, &o.Passkeys, &o.RecoveryCodes,
	}
	done = func() {
		o.Role, o.TOTP = operator.Role(role), totp != 0
		o.Created, o.LastSignIn, o.ExpiresAt, o.DisabledAt = instant(created), instant(signedIn), instant(expires), instant(disabled)
	}
	return fields, done
}

func scanOperator(scan func(...any) error) (operator.Operator, error) {
	var o operator.Operator
	fields, done := operatorFields(&o)
	err := scan(fields...)
	done()
	return o, translate(err)
}

// Operators implements operator.Store.
func (d *DB) Operators(ctx context.Context) ([]operator.Operator, error) {
	var out []operator.Operator
	err := d.read(ctx, "SELECT "+operatorColumns+" FROM operators ORDER BY n", nil, func(scan func(...any) error) error {
		o, err := scanOperator(scan)
		out = append(out, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list operators: %w", err)
	}
	return out, nil
}

func operatorAudit(by operator.Change, target string, before, after any) *guard.Audit {
	a := &guard.Audit{Time: by.At, Actor: by.Actor, From: by.From, Action: by.Action, Target: target}
	if before != nil {
		a.Before = json.RawMessage(jsonText(before))
	}
	if after != nil {
		a.After = json.RawMessage(jsonText(after))
	}
	return a
}

// mayChange checks, inside the transaction, that whoever makes a change is
// still somebody who may: an owner who was switched off a moment ago is not.
func (t *tx) mayChange(by operator.Change) error {
	if by.ID == "" {
		return nil
	}
	o, err := scanOperator(t.row("SELECT "+operatorColumns+" FROM operators WHERE id = $1", by.ID).Scan)
	if errors.Is(err, ErrNotFound) || err == nil && !o.Active(by.At) {
		return operator.ErrNoSession
	}
	return err
}

func (t *tx) insertOperator(o *operator.Operator, by operator.Change) error {
	err := translate(t.exec(`INSERT INTO operators (id, email, name, role, time_zone, hash, created, last_sign_in, expires_at,
			disabled_at, totp, totp_secret, totp_step)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, 0, x'', 0)`,
		o.ID, o.Email, o.Name, string(o.Role), o.TimeZone, o.Hash, micros(o.Created), micros(o.ExpiresAt), micros(o.DisabledAt)))
	if errors.Is(err, ErrConflict) {
		return operator.ErrExists
	}
	if err != nil {
		return fmt.Errorf("create operator: %w", err)
	}
	return translate(t.audit(operatorAudit(by, o.Email, nil, o)))
}

// CreateOperator implements operator.Store.
func (d *DB) CreateOperator(ctx context.Context, o operator.Operator, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		if err := t.mayChange(by); err != nil {
			return err
		}
		return t.insertOperator(&o, by)
	})
}

// CreateFirstOwner implements operator.Store.
func (d *DB) CreateFirstOwner(ctx context.Context, o operator.Operator, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		var owners int
		if err := t.row("SELECT count(*) FROM operators WHERE role = $1", string(operator.Owner)).Scan(&owners); err != nil {
			return fmt.Errorf("count owners: %w", translate(err))
		}
		if owners > 0 {
			return operator.ErrSetUp
		}
		return t.insertOperator(&o, by)
	})
}

// EditOperator implements operator.Store.
func (d *DB) EditOperator(ctx context.Context, id string, e operator.OperatorEdit, by operator.Change) (operator.Operator, error) {
	var after operator.Operator
	err := d.write(ctx, func(t *tx) (err error) {
		if err := t.mayChange(by); err != nil {
			return err
		}
		after, err = t.editOperator(id, e, by)
		return err
	})
	return after, err
}

func (t *tx) editOperator(id string, e operator.OperatorEdit, by operator.Change) (operator.Operator, error) {
	before, err := scanOperator(t.row("SELECT "+operatorColumns+" FROM operators WHERE id = $1", id).Scan)
	if errors.Is(err, ErrNotFound) {
		return before, operator.ErrNotFound
	}
	if err != nil {
		return before, fmt.Errorf("edit operator: %w", err)
	}
	o := before
	if err := e.Change(&o); err != nil {
		return before, err
	}
	o.ID, o.Email, o.Created = before.ID, before.Email, before.Created
	unchanged := jsonText(before) == jsonText(o) && o.Hash == before.Hash && string(o.TOTPSecret) == string(before.TOTPSecret)
	if unchanged && !e.EndSessions && !e.DropFactors {
		return o, nil
	}
	if err := t.exec(`UPDATE operators SET name = $1, role = $2, time_zone = $3, hash = $4, expires_at = $5, disabled_at = $6,
			totp = $7, totp_secret = $8, totp_step = $9 WHERE id = $10`,
		o.Name, string(o.Role), o.TimeZone, o.Hash, micros(o.ExpiresAt), micros(o.DisabledAt), flag(o.TOTP), blob(o.TOTPSecret),
		o.TOTPStep, o.ID); err != nil {
		return before, fmt.Errorf("edit operator: %w", translate(err))
	}
	owner := func(o *operator.Operator) bool { return o.Role == operator.Owner && o.Active(by.At) }
	if owner(&before) && !owner(&o) {
		var owners int
		if err := t.row("SELECT count(*) FROM operators WHERE disabled_at = 0 AND role = $1 AND (expires_at = 0 OR expires_at > $2)",
			string(operator.Owner), micros(by.At)).Scan(&owners); err != nil {
			return before, fmt.Errorf("edit operator: %w", translate(err))
		}
		if owners == 0 {
			return before, operator.ErrLastOwner
		}
	}
	if e.DropFactors {
		for _, q := range []string{"DELETE FROM operator_passkeys WHERE operator_id = $1", "DELETE FROM operator_recovery WHERE operator_id = $1"} {
			if err := t.exec(q, id); err != nil {
				return before, fmt.Errorf("remove second factors: %w", translate(err))
			}
		}
		o.Passkeys, o.RecoveryCodes = 0, 0
	}
	keep := e.KeepSession
	if !o.Active(by.At) {
		keep = ""
	}
	if e.EndSessions || !o.Active(by.At) {
		if err := t.exec("DELETE FROM operator_sessions WHERE operator_id = $1 AND id <> $2", id, keep); err != nil {
			return before, fmt.Errorf("end sessions: %w", translate(err))
		}
	}
	if !o.Active(by.At) || !o.Role.Includes(before.Role) || e.DropFactors {
		// Whoever made links with rights that are gone, or was perhaps somebody
		// else, must not come back through them. A link for o itself stands.
		if err := t.exec("DELETE FROM operator_links WHERE made_by = $1 AND email <> $2", "operator:"+o.Email, o.Email); err != nil {
			return before, fmt.Errorf("take links back: %w", translate(err))
		}
	}
	return o, translate(t.audit(operatorAudit(by, o.Email, before, o)))
}

// blob is b, never nil: the column is not.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
