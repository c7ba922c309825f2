package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/warderhq/warder/internal/guard"
)

// Queued is an alert with its number.
type Queued struct {
	Seq   int64
	Alert *guard.Alert
}

func scanAlert(scan func(...any) error) (Queued, error) {
	var q Queued
	var payload string
	if err := scan(&q.Seq, &payload); err != nil {
		return q, translate(err)
	}
	q.Alert = &guard.Alert{}
	if err := json.Unmarshal([]byte(payload), q.Alert); err != nil {
		return q, fmt.Errorf("%w: alert %d: %w", ErrCorrupt, q.Seq, err)
	}
	return q, nil
}

// AlertsAfter returns at most limit alerts with a number above after, lowest
// first. Numbers ascend in the order of commit and are never used again.
func (d *DB) AlertsAfter(ctx context.Context, after int64, limit int) ([]Queued, error) {
	var out []Queued
	err := d.read(ctx, "SELECT n, payload FROM alerts WHERE n > $1 ORDER BY n LIMIT $2", []any{after, limit},
		func(scan func(...any) error) error {
			q, err := scanAlert(scan)
			out = append(out, q)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, d.durable.waitSeen()
}

// ListAlerts returns alerts, latest first.
func (d *DB) ListAlerts(ctx context.Context, p Page) (List[guard.Alert], error) {
	c, err := parseCursor(cursorAlerts, p.Cursor)
	if err != nil {
		return List[guard.Alert]{}, err
	}
	w := &where{}
	if c != nil {
		w.add("n < ?", c.A)
	}
	query, args := w.query("SELECT n, payload FROM alerts", "ORDER BY n DESC LIMIT ?", p.size()+1)
	var out []numbered[guard.Alert]
	err = d.read(ctx, query, args, func(scan func(...any) error) error {
		q, err := scanAlert(scan)
		if err == nil {
			out = append(out, numbered[guard.Alert]{q.Seq, *q.Alert})
		}
		return err
	})
	if err != nil {
		return List[guard.Alert]{}, fmt.Errorf("list alerts: %w", err)
	}
	return values(cut(out, p, func(a *numbered[guard.Alert]) cursor { return cursor{Kind: cursorAlerts, A: a.n} })), nil
}

// Alert finds an alert by id.
func (d *DB) Alert(ctx context.Context, id string) (*guard.Alert, error) {
	var out *guard.Alert
	err := d.read(ctx, "SELECT n, payload FROM alerts WHERE id = $1", []any{id}, func(scan func(...any) error) error {
		q, err := scanAlert(scan)
		out = q.Alert
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read alert %q: %w", id, err)
	}
	if out == nil {
		return nil, ErrNotFound
	}
	return out, nil
}

// AddAlert puts an alert that no event led to into the outbox.
func (d *DB) AddAlert(ctx context.Context, a *guard.Alert) error {
	return d.write(ctx, func(t *tx) error { return translate(t.addAlert(a)) })
}

// MailStates returns how far the sender of mails got, by recipient.
func (d *DB) MailStates(ctx context.Context) (map[string][]byte, error) {
	out := make(map[string][]byte)
	err := d.read(ctx, "SELECT name, state FROM mail_states", nil, func(scan func(...any) error) error {
		var name string
		var state []byte
		err := scan(&name, &state)
		out[name] = state
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read mail states: %w", err)
	}
	return out, nil
}

// MaxMailState is the largest state of one recipient, in bytes.
const MaxMailState = 4 << 10

// SaveMailState makes the state of one recipient durable; nil deletes it.
func (d *DB) SaveMailState(ctx context.Context, key string, state []byte) error {
	if len(state) > MaxMailState {
		return errors.New("save mail state: larger than 4 KiB")
	}
	return d.write(ctx, func(t *tx) error {
		if state == nil {
			return translate(t.exec("DELETE FROM mail_states WHERE name = $1", key))
		}
		return translate(t.exec(`INSERT INTO mail_states (name, state) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET state = excluded.state`, key, state))
	})
}
