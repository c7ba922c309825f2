package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// PolicyRevisions returns the revisions without their documents, latest first.
func (d *DB) PolicyRevisions(ctx context.Context, p Page) (List[guard.Revision], error) {
	c, err := parseCursor(cursorRevisions, p.Cursor)
	if err != nil {
		return List[guard.Revision]{}, err
	}
	w := &where{}
	if c != nil {
		w.add("n < ?", c.A)
	}
	query, args := w.query("SELECT n, time, made_by, comment FROM revisions", "ORDER BY n DESC LIMIT ?", p.size()+1)
	var out []guard.Revision
	err = d.read(ctx, query, args, func(scan func(...any) error) error {
		var r guard.Revision
		var at int64
		err := scan(&r.N, &at, &r.By, &r.Comment)
		r.Time = instant(at)
		out = append(out, r)
		return err
	})
	if err != nil {
		return List[guard.Revision]{}, fmt.Errorf("list policy revisions: %w", err)
	}
	return cut(out, p, func(r *guard.Revision) cursor { return cursor{Kind: cursorRevisions, A: r.N} }), nil
}

// PolicyRevision returns one revision with its document, 0 being the latest, or
// ErrNotFound.
func (d *DB) PolicyRevision(ctx context.Context, n int64) (*guard.Revision, error) {
	var r guard.Revision
	var at int64
	err := d.readDB.QueryRowContext(ctx, `SELECT n, time, made_by, comment, document FROM revisions
		WHERE n = $1 OR $2 = 0 ORDER BY n DESC LIMIT 1`, n, n).Scan(&r.N, &at, &r.By, &r.Comment, &r.Document)
	if err != nil {
		return nil, translate(err)
	}
	r.Time = instant(at)
	return &r, nil
}

// Note is a text that an operator left on something, such as
// "ip:203.0.113.7" or "account:alice".
type Note struct {
	ID   string    `json:"id"`
	On   string    `json:"on"`
	Text string    `json:"text"`
	By   string    `json:"by"`
	Time time.Time `json:"time"`
}

// How many notes there are at most, on one thing and altogether: whoever notes
// must not fill the disk.
const (
	MaxNotesOn = 1000
	MaxNotes   = 200_000
)

// ErrFull says that there are as many notes as there may be.
var ErrFull = errors.New("there are too many notes")

// AddNote stores a note, or returns ErrFull.
func (d *DB) AddNote(ctx context.Context, n Note, audit guard.Audit) error {
	err := d.audited(ctx, audit, `INSERT INTO notes (id, topic, text, made_by, time) SELECT $1, $2, $3, $4, $5
		WHERE (SELECT count(*) FROM notes WHERE topic = $2) < $6 AND (SELECT count(*) FROM notes) < $7`,
		n.ID, n.On, n.Text, n.By, micros(n.Time), MaxNotesOn, MaxNotes)
	if errors.Is(err, ErrNotFound) {
		return ErrFull
	}
	return err
}

// Note finds a note by its id, or ErrNotFound.
func (d *DB) Note(ctx context.Context, id string) (*Note, error) {
	var n Note
	var at int64
	err := d.readDB.QueryRowContext(ctx, "SELECT id, topic, text, made_by, time FROM notes WHERE id = $1", id).
		Scan(&n.ID, &n.On, &n.Text, &n.By, &at)
	n.Time = instant(at)
	return &n, translate(err)
}

// DeleteNote deletes a note, or returns ErrNotFound.
func (d *DB) DeleteNote(ctx context.Context, id string, audit guard.Audit) error {
	return d.audited(ctx, audit, "DELETE FROM notes WHERE id = $1", id)
}

// Notes returns the notes on something, or all if on is empty, latest first.
func (d *DB) Notes(ctx context.Context, on string, p Page) (List[Note], error) {
	c, err := parseCursor(cursorNotes, p.Cursor)
	if err != nil {
		return List[Note]{}, err
	}
	w := &where{}
	if on != "" {
		w.add("topic = ?", on)
	}
	if c != nil {
		w.add("n < ?", c.A)
	}
	query, args := w.query("SELECT n, id, topic, text, made_by, time FROM notes", "ORDER BY n DESC LIMIT ?", p.size()+1)
	var out []numbered[Note]
	err = d.read(ctx, query, args, func(scan func(...any) error) error {
		var n numbered[Note]
		var at int64
		err := scan(&n.n, &n.v.ID, &n.v.On, &n.v.Text, &n.v.By, &at)
		n.v.Time = instant(at)
		out = append(out, n)
		return err
	})
	if err != nil {
		return List[Note]{}, fmt.Errorf("list notes: %w", err)
	}
	return values(cut(out, p, func(n *numbered[Note]) cursor { return cursor{Kind: cursorNotes, A: n.n} })), nil
}

// View is a saved filter of a list.
type View struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	List    string    `json:"list"`
	Query   string    `json:"query"`
	Shared  bool      `json:"shared"` // everybody sees it; else only By
	By      string    `json:"by"`
	Created time.Time `json:"created"`
}

// SaveView stores a view, or replaces the one with its id.
func (d *DB) SaveView(ctx context.Context, v View, audit guard.Audit) error {
	return d.audited(ctx, audit, `INSERT INTO views (id, name, list, query, made_by, created, shared) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, list = excluded.list, query = excluded.query, shared = excluded.shared`,
		v.ID, v.Name, v.List, v.Query, v.By, micros(v.Created), flag(v.Shared))
}

// DeleteView deletes a view, or returns ErrNotFound.
func (d *DB) DeleteView(ctx context.Context, id string, audit guard.Audit) error {
	return d.audited(ctx, audit, "DELETE FROM views WHERE id = $1", id)
}

// Views returns all views by name.
func (d *DB) Views(ctx context.Context) ([]View, error) {
	out := []View{}
	err := d.read(ctx, "SELECT id, name, list, query, made_by, created, shared FROM views ORDER BY name, id", nil,
		func(scan func(...any) error) error {
			var v View
			var at int64
			var shared int64
			err := scan(&v.ID, &v.Name, &v.List, &v.Query, &v.By, &at, &shared)
			v.Created, v.Shared = instant(at), shared != 0
			out = append(out, v)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list views: %w", err)
	}
	return out, nil
}

// Setting returns a stored setting, or ErrNotFound if it was never set.
func (d *DB) Setting(ctx context.Context, name string) (json.RawMessage, error) {
	var value string
	if err := d.readDB.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&value); err != nil {
		return nil, translate(err)
	}
	return json.RawMessage(value), nil
}

// PutSetting stores a setting.
func (d *DB) PutSetting(ctx context.Context, name string, value json.RawMessage, audit guard.Audit) error {
	return d.audited(ctx, audit, `INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, string(value))
}

// audited changes one row and leaves an audit row in the same transaction. If
// nothing changed it is ErrNotFound.
func (d *DB) audited(ctx context.Context, audit guard.Audit, query string, args ...any) error {
	return d.write(ctx, func(t *tx) error {
		n, err := t.affect(query, args...)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		if err == nil {
			err = t.audit(&audit)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", audit.Action, translate(err))
		}
		return nil
	})
}

// Repeat is what was answered to a management call with an Idempotency-Key.
type Repeat struct {
	Actor  string // who called
	Key    string // the Idempotency-Key
	Digest []byte // of method, path and body
	Status int
	Body   []byte
	At     time.Time
}

// Repeated returns what was answered to (actor, key) since the given time, or
// ErrNotFound.
func (d *DB) Repeated(ctx context.Context, actor, key string, since time.Time) (*Repeat, error) {
	r := Repeat{Actor: actor, Key: key}
	var at int64
	err := d.readDB.QueryRowContext(ctx, `SELECT digest, status, body, at FROM repeats
		WHERE actor = $1 AND key = $2 AND at >= $3`, actor, key, micros(since)).Scan(&r.Digest, &r.Status, &r.Body, &at)
	if err != nil {
		return nil, translate(err)
	}
	r.At = instant(at)
	return &r, nil
}

// Remember stores an answer for a day; ErrConflict if there is one already.
func (d *DB) Remember(ctx context.Context, r Repeat) error {
	return d.write(ctx, func(t *tx) error {
		n, err := t.affect(`INSERT INTO repeats (actor, key, digest, status, body, at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (actor, key) DO UPDATE SET digest = excluded.digest, status = excluded.status,
				body = excluded.body, at = excluded.at WHERE repeats.at < $7`,
			r.Actor, r.Key, notNil(r.Digest), r.Status, notNil(r.Body), micros(r.At), micros(r.At.Add(-keepRepeat)))
		if err != nil {
			return fmt.Errorf("remember answer: %w", translate(err))
		}
		if n == 0 {
			return ErrConflict
		}
		return nil
	})
}

// notNil is an empty value instead of NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Spend marks a challenge token as spent, durably and once: the second time it
// is ErrSpent. until is when the token expires, after which it is forgotten.
func (d *DB) Spend(ctx context.Context, id string, until time.Time) error {
	return d.write(ctx, func(t *tx) error {
		err := translate(t.exec("INSERT INTO spends (id, until_at) VALUES ($1, $2)", id, micros(until)))
		if errors.Is(err, ErrConflict) {
			return ErrSpent
		}
		if err != nil {
			return fmt.Errorf("spend challenge: %w", err)
		}
		return nil
	})
}
