package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warderhq/warder/internal/operator"
)

const signInColumns = `s.id, s.operator_id, s.signed_in, s.created, s.last_seen, s.expires, s.ip, s.agent, s.device, s.failures`

func signInFields(s *operator.Session) (fields []any, done func()) {
	var signedIn, created, seen, expires int64
	return []any{&s.ID, &s.Operator, &signedIn, &created, &seen, &expires, &s.IP, &s.Agent, &s.Device, &s.Failures}, func() {
		s.SignedIn, s.Created, s.LastSeen, s.Expires = signedIn != 0, instant(created), instant(seen), instant(expires)
	}
}

// StartSession implements operator.SessionStore.
func (d *DB) StartSession(ctx context.Context, s operator.Session, password string, hash, old []byte) error {
	return d.write(ctx, func(t *tx) error {
		if len(old) > 0 {
			if err := t.exec("DELETE FROM operator_sessions WHERE hash = $1", old); err != nil {
				return translate(err)
			}
		}
		// Whoever was switched off, or got another password, between the proof and
		// here stays out.
		n, err := t.affect(`INSERT INTO operator_sessions (id, hash, operator_id, signed_in, created, last_seen, expires, ip, agent, device, failures)
			SELECT $1, $2, o.id, $3, $4, $5, $6, $7, $8, $9, 0 FROM operators o
			WHERE o.id = $10 AND o.hash = $11 AND o.disabled_at = 0 AND (o.expires_at = 0 OR o.expires_at > $4)`,
			s.ID, hash, flag(s.SignedIn), micros(s.Created), micros(s.LastSeen), micros(s.Expires), s.IP, s.Agent, s.Device, s.Operator,
			password)
		if err != nil {
			return translate(err)
		}
		if n == 0 {
			return operator.ErrNoSession
		}
		// Each kind makes room for its own: sessions that wait for a second factor
		// neither push out those that have it, nor are kept out by them.
		if err := t.exec(`DELETE FROM operator_sessions WHERE operator_id = $1 AND signed_in = $2 AND id <> $3 AND id NOT IN
			(SELECT id FROM operator_sessions WHERE operator_id = $1 AND signed_in = $2 AND id <> $3 ORDER BY created DESC, id LIMIT $4)`,
			s.Operator, flag(s.SignedIn), s.ID, operator.MaxSessions-1); err != nil {
			return translate(err)
		}
		if !s.SignedIn {
			return nil
		}
		if err := t.exec("UPDATE operators SET last_sign_in = $1 WHERE id = $2", micros(s.Created), s.Operator); err != nil || s.Device == "" {
			return translate(err)
		}
		if err := t.exec(`INSERT INTO operator_devices (operator_id, device, last_seen) VALUES ($1, $2, $3)
			ON CONFLICT (operator_id, device) DO UPDATE SET last_seen = excluded.last_seen`,
			s.Operator, s.Device, micros(s.Created)); err != nil {
			return translate(err)
		}
		return translate(t.exec(`DELETE FROM operator_devices WHERE operator_id = $1 AND device NOT IN
			(SELECT device FROM operator_devices WHERE operator_id = $1 ORDER BY last_seen DESC, device LIMIT $2)`,
			s.Operator, operator.MaxSessions))
	})
}

// SessionByHash implements operator.SessionStore.
func (d *DB) SessionByHash(ctx context.Context, hash []byte) (operator.Session, operator.Operator, error) {
	var s operator.Session
	var o operator.Operator
	found := false
	err := d.read(ctx, "SELECT "+signInColumns+", "+operatorColumns+
		" FROM operator_sessions s JOIN operators ON operators.id = s.operator_id WHERE s.hash = $1", []any{hash},
		func(scan func(...any) error) error {
			a, doneA := signInFields(&s)
			b, doneB := operatorFields(&o)
			err := scan(append(a, b...)...)
			doneA()
			doneB()
			found = err == nil
			return err
		})
	if err == nil && !found {
		err = operator.ErrNoSession
	}
	return s, o, translate(err)
}

// TouchSession implements operator.SessionStore.
func (d *DB) TouchSession(ctx context.Context, id string, at time.Time, ip string) error {
	return d.write(ctx, func(t *tx) error {
		if err := t.exec("UPDATE operator_sessions SET last_seen = $1, ip = $2 WHERE id = $3 AND last_seen <= $1", micros(at), ip, id); err != nil {
			return translate(err)
		}
		return translate(t.exec(`UPDATE operator_devices SET last_seen = $1 WHERE last_seen < $1 AND EXISTS
			(SELECT 1 FROM operator_sessions s WHERE s.id = $2 AND s.signed_in = 1
				AND s.operator_id = operator_devices.operator_id AND s.device = operator_devices.device)`, micros(at), id))
	})
}

// FailSession implements operator.SessionStore.
func (d *DB) FailSession(ctx context.Context, id string) (n int, err error) {
	err = d.write(ctx, func(t *tx) error {
		if err := t.exec("UPDATE operator_sessions SET failures = failures + 1 WHERE id = $1", id); err != nil {
			return translate(err)
		}
		err := translate(t.row("SELECT failures FROM operator_sessions WHERE id = $1", id).Scan(&n))
		if errors.Is(err, ErrNotFound) {
			n, err = 0, nil
		}
		return err
	})
	return n, err
}

// DropSession implements operator.SessionStore.
func (d *DB) DropSession(ctx context.Context, id string) error {
	return d.write(ctx, func(t *tx) error { return translate(t.exec("DELETE FROM operator_sessions WHERE id = $1", id)) })
}

// EndSessions implements operator.SessionStore.
func (d *DB) EndSessions(ctx context.Context, who, id string, by operator.Change) (ended int, err error) {
	err = d.write(ctx, func(t *tx) error {
		if err := t.mayChange(by); err != nil {
			return err
		}
		n, err := t.affect("DELETE FROM operator_sessions WHERE operator_id = $1 AND ($2 = '' OR id = $2)", who, id)
		if err != nil || n == 0 {
			return translate(err)
		}
		ended = int(n)
		var email string
		if err := t.row("SELECT email FROM operators WHERE id = $1", who).Scan(&email); err != nil {
			return translate(err)
		}
		return translate(t.audit(operatorAudit(by, email, nil, map[string]any{"ended": n})))
	})
	return ended, err
}

// SessionsOf implements operator.SessionStore.
func (d *DB) SessionsOf(ctx context.Context, who string) ([]operator.Session, error) {
	var out []operator.Session
	err := d.read(ctx, "SELECT "+signInColumns+" FROM operator_sessions s WHERE $1 = '' OR s.operator_id = $1 ORDER BY s.last_seen DESC, s.id",
		[]any{who}, func(scan func(...any) error) error {
			var s operator.Session
			fields, done := signInFields(&s)
			err := scan(fields...)
			done()
			out = append(out, s)
			return err
		})
	return out, translate(err)
}

// SweepSessions implements operator.SessionStore.
func (d *DB) SweepSessions(ctx context.Context, now, idle, devices time.Time) error {
	return d.write(ctx, func(t *tx) error {
		for _, step := range []struct {
			query string
			args  []any
		}{
			{"DELETE FROM operator_sessions WHERE expires <= $1 OR last_seen < $2", []any{micros(now), micros(idle)}},
			{"DELETE FROM operator_devices WHERE last_seen < $1", []any{micros(devices)}},
			{"DELETE FROM operator_links WHERE expires <= $1", []any{micros(now)}},
		} {
			if err := t.exec(step.query, step.args...); err != nil {
				return fmt.Errorf("sweep: %w", translate(err))
			}
		}
		return nil
	})
}

// KnownDevice implements operator.SessionStore.
func (d *DB) KnownDevice(ctx context.Context, who, device string, since time.Time) (known bool, err error) {
	err = d.read(ctx, "SELECT 1 FROM operator_devices WHERE operator_id = $1 AND device = $2 AND last_seen >= $3",
		[]any{who, device, micros(since)}, func(scan func(...any) error) error {
			var one int
			known = true
			return scan(&one)
		})
	return known, translate(err)
}
