package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// Preferences returns what operators want to be told of, by e-mail address.
func (d *DB) Preferences(ctx context.Context) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	err := d.read(ctx, "SELECT email, value FROM preferences", nil, func(scan func(...any) error) error {
		var email, value string
		err := scan(&email, &value)
		out[email] = json.RawMessage(value)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	return out, nil
}

// PutPreferences stores what one operator wants to be told of.
func (d *DB) PutPreferences(ctx context.Context, email string, value json.RawMessage, audit guard.Audit) error {
	return d.audited(ctx, audit, `INSERT INTO preferences (email, value) VALUES ($1, $2)
		ON CONFLICT (email) DO UPDATE SET value = excluded.value`, email, string(value))
}

// States of a delivery.
const (
	MailSent     = "sent"     // the server took it
	MailDeferred = "deferred" // not yet; it is tried again
	MailFailed   = "failed"   // given up
	MailFile     = "file"     // written to a file
)

// Delivery is one mail and what became of it. ID is its Message-ID.
type Delivery struct {
	ID       string
	First    time.Time // of the first try
	Time     time.Time // of the latest
	To       string
	Subject  string
	Kind     string
	Alerts   int
	State    string
	Attempts int
	Answer   string // of the server, or the file
}

const deliveryColumns = "id, first_at, at, to_addr, subject, kind, alerts, state, attempts, answer"

// SaveDelivery stores a mail, or what became of it at its latest try. Attempts
// are added up.
func (d *DB) SaveDelivery(ctx context.Context, v Delivery) error {
	return d.write(ctx, func(t *tx) error {
		return translate(t.exec(`INSERT INTO deliveries (`+deliveryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (id) DO UPDATE SET at = excluded.at, subject = excluded.subject, alerts = excluded.alerts,
				state = excluded.state, attempts = deliveries.attempts + excluded.attempts, answer = excluded.answer`,
			v.ID, micros(v.First), micros(v.Time), v.To, v.Subject, v.Kind, v.Alerts, v.State, v.Attempts, v.Answer))
	})
}

// DeliveryFilter selects mails. Zero fields select everything.
type DeliveryFilter struct {
	From, To  time.Time // From <= first try < To
	Recipient string
	State     string
}

func scanDelivery(scan func(...any) error) (out numbered[Delivery], err error) {
	v := &out.v
	var first, at int64
	err = scan(&out.n, &v.ID, &first, &at, &v.To, &v.Subject, &v.Kind, &v.Alerts, &v.State, &v.Attempts, &v.Answer)
	v.First, v.Time = instant(first), instant(at)
	return out, err
}

func (d *DB) deliveryPage(ctx context.Context, f DeliveryFilter, c *cursor, limit int) ([]numbered[Delivery], error) {
	w := &where{}
	if !f.From.IsZero() {
		w.add("first_at >= ?", micros(f.From))
	}
	if !f.To.IsZero() {
		w.add("first_at < ?", micros(f.To))
	}
	if f.Recipient != "" {
		w.add("to_addr = ?", f.Recipient)
	}
	if f.State != "" {
		w.add("(state || '') = ?", f.State)
	}
	if c != nil {
		w.add("first_at <= ?", c.A)
		w.add("first_at < ? OR n < ?", c.A, c.B)
	}
	query, args := w.query("SELECT n, "+deliveryColumns+" FROM deliveries", "ORDER BY first_at DESC, n DESC LIMIT ?", limit)
	var out []numbered[Delivery]
	err := d.read(ctx, query, args, func(scan func(...any) error) error {
		v, err := scanDelivery(scan)
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return out, nil
}

func deliveryCursor(v *numbered[Delivery]) cursor {
	return cursor{Kind: cursorDeliveries, A: micros(v.v.First), B: v.n}
}

// ListDeliveries returns a part of the mails, latest first.
func (d *DB) ListDeliveries(ctx context.Context, f DeliveryFilter, p Page) (List[Delivery], error) {
	c, err := parseCursor(cursorDeliveries, p.Cursor)
	if err != nil {
		return List[Delivery]{}, err
	}
	rows, err := d.deliveryPage(ctx, f, c, p.size()+1)
	if err != nil {
		return List[Delivery]{}, err
	}
	return values(cut(rows, p, deliveryCursor)), nil
}

// EachDelivery calls each for every mail of the filter, latest first, in flat
// memory.
func (d *DB) EachDelivery(ctx context.Context, f DeliveryFilter, each func(*Delivery) error) error {
	return all(func(c *cursor) ([]numbered[Delivery], error) { return d.deliveryPage(ctx, f, c, MaxPage) }, deliveryCursor,
		func(v *numbered[Delivery]) error { return each(&v.v) })
}

// LastMail is when a mail left last, and when one last did not.
type LastMail struct {
	Sent, Failed time.Time
	Error        string // what the server said then
}

// LastDeliveries tells how the latest mails fared.
func (d *DB) LastDeliveries(ctx context.Context) (LastMail, error) {
	var out LastMail
	for _, state := range []string{MailSent, MailFile, MailDeferred, MailFailed} {
		var at int64
		var answer string
		err := translate(d.readDB.QueryRowContext(ctx, "SELECT at, answer FROM deliveries WHERE state = $1 ORDER BY at DESC LIMIT 1",
			state).Scan(&at, &answer))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("read deliveries: %w", err)
		}
		t := instant(at)
		switch state {
		case MailSent, MailFile:
			if t.After(out.Sent) {
				out.Sent = t
			}
		default:
			if t.After(out.Failed) {
				out.Failed, out.Error = t, answer
			}
		}
	}
	return out, nil
}

// Condition is a time during which something worked with less than it should,
// or, with reason Running, during which the program ran.
type Condition struct {
	Reason string    `json:"reason"`
	Detail string    `json:"detail,omitempty"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until,omitzero"` // zero: still
}

// Running is the Condition of the program itself.
const Running = "running"

// Conditions notes what holds at the given time: what is new begins, what is
// gone ends. The first call of a process (begun) ends what a process before it
// left open, at the time when it was last seen. Running is among what holds.
func (d *DB) Conditions(ctx context.Context, now time.Time, holds map[string]string, begun bool) error {
	type open struct {
		n      int64
		detail string
	}
	was := map[string]open{}
	err := d.read(ctx, "SELECT n, reason, detail FROM conditions WHERE until_at = 0", nil, func(scan func(...any) error) error {
		var o open
		var reason string
		err := scan(&o.n, &reason, &o.detail)
		was[reason] = o
		return err
	})
	if err != nil {
		return fmt.Errorf("read conditions: %w", err)
	}
	at := micros(now)
	return d.write(ctx, func(t *tx) error {
		for reason, o := range was {
			_, still := holds[reason]
			var err error
			switch {
			case begun:
				err = t.exec("UPDATE conditions SET until_at = seen_at WHERE n = $1", o.n)
			case !still:
				err = t.exec("UPDATE conditions SET until_at = $1, seen_at = $1 WHERE n = $2", at, o.n)
			default:
				err = t.exec("UPDATE conditions SET seen_at = $1 WHERE n = $2", at, o.n)
			}
			if err != nil {
				return fmt.Errorf("note conditions: %w", translate(err))
			}
		}
		for reason, detail := range holds {
			if _, known := was[reason]; known && !begun {
				continue
			}
			if err := t.exec("INSERT INTO conditions (reason, detail, from_at, seen_at, until_at) VALUES ($1, $2, $3, $3, 0)",
				reason, detail, at); err != nil {
				return fmt.Errorf("note conditions: %w", translate(err))
			}
		}
		return nil
	})
}

// ConditionsBetween returns what held at some time in [from, to), oldest first.
func (d *DB) ConditionsBetween(ctx context.Context, from, to time.Time) ([]Condition, error) {
	out := []Condition{}
	err := d.read(ctx, `SELECT reason, detail, from_at, until_at FROM conditions WHERE from_at < $1
		AND (until_at = 0 OR until_at > $2) ORDER BY from_at, n`, []any{micros(to), micros(from)}, func(scan func(...any) error) error {
		var c Condition
		var from, until int64
		err := scan(&c.Reason, &c.Detail, &from, &until)
		c.From, c.Until = instant(from), instant(until)
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read conditions: %w", err)
	}
	return out, nil
}

// RanBefore reports whether the program is known to have run before a time.
func (d *DB) RanBefore(ctx context.Context, at time.Time) (ran bool, err error) {
	var n int
	err = d.readDB.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM conditions WHERE reason = $1 AND from_at < $2 LIMIT 1) AS some",
		Running, micros(at)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read conditions: %w", translate(err))
	}
	return n > 0, nil
}
