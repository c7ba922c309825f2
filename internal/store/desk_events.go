package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Bounds of a search that looks at events one by one.
const (
	sieveTime = 250 * time.Millisecond
	sieveRows = 5000 // looked at between two looks at the clock
)

// walk cuts the time that a plan covers into stretches of some thousand events
// that its indexes lead to, latest first, and calls each for every one until it
// returns false. If that takes longer than limit (0: no limit), it stops and
// returns the beginning of the last stretch; 0: everything was looked at.
func (d *DB) walk(ctx context.Context, p *plan, c *cursor, limit time.Duration, each func(from, to int64) (bool, error)) (int64, error) {
	began := time.Now()
	to := p.to
	if c != nil && (to == 0 || c.A < to) {
		to = c.A + 1
	}
	for {
		from, err := d.reach(ctx, p, to)
		if err != nil {
			return 0, err
		}
		more, err := each(from, to)
		if err != nil || from == 0 || !more {
			return 0, err
		}
		if limit > 0 && time.Since(began) >= limit {
			return from, nil
		}
		to = from
	}
}

// reach is the time of an event some thousand before to, as the plan's
// indexes go; 0 if there are not so many.
func (d *DB) reach(ctx context.Context, p *plan, to int64) (int64, error) {
	latest := int64(0)
	for i := range p.branches {
		w := p.branches[i].join(&where{})
		if p.from != 0 {
			w.add("time >= ?", p.from)
		}
		if to != 0 {
			w.add("time < ?", to)
		}
		query, args := w.query("SELECT time FROM events", "ORDER BY time DESC LIMIT 1 OFFSET ?", sieveRows)
		var at int64
		err := translate(d.readDB.QueryRowContext(ctx, query, args...).Scan(&at))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		latest = max(latest, at)
	}
	return latest, nil
}

// Neighbours returns the events before and after one, at most limit each,
// oldest first: by "time" all of them, else those of its "ip" (address key),
// "account" (in its realm) or "session".
func (d *DB) Neighbours(ctx context.Context, id, by string, limit int) (before, after []guard.Event, err error) {
	e, err := d.Event(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	at, seq := micros(e.Time), e.Seq
	w := &where{}
	switch by {
	case "ip":
		if !e.Address.IsValid() {
			return nil, nil, nil
		}
		w.add("address = ?", keyBytes(e.Address))
	case "account", "session":
		_, name := splitKey(e.AccountKey)
		if name == "" || by == "session" && e.Session == "" {
			return nil, nil, nil
		}
		w.add("account_key = ? AND account_key <> ''", name)
		w.add("(realm || '') = ?", e.Realm)
		if by == "session" {
			// No index knows sessions, so they are looked for among what the
			// account did within the time that a session is kept.
			w.add("(session || '') = ?", e.Session)
			w.add("time BETWEEN ? AND ?", at-keepSession.Microseconds(), at+keepSession.Microseconds())
		}
	}
	side := func(condition, order string) (out []guard.Event, err error) {
		half := w.join(&where{})
		half.add(condition, at, at, seq)
		query, args := half.query("SELECT "+eventColumns+" FROM events", "ORDER BY time "+order+", seq "+order+" LIMIT ?", limit)
		err = d.read(ctx, query, args, func(scan func(...any) error) error {
			e, err := scanEvent(scan)
			if err == nil {
				out = append(out, *e)
			}
			return err
		})
		return out, err
	}
	if before, err = side("time <= ? AND ((time + 0) < ? OR seq < ?)", "DESC"); err != nil {
		return nil, nil, fmt.Errorf("read neighbours: %w", err)
	}
	slices.Reverse(before)
	if after, err = side("time >= ? AND ((time + 0) > ? OR seq > ?)", "ASC"); err != nil {
		return nil, nil, fmt.Errorf("read neighbours: %w", err)
	}
	return before, after, nil
}

// OldestEvent is the time of the oldest event; zero: there is none.
func (d *DB) OldestEvent(ctx context.Context) (time.Time, error) {
	var at int64
	err := translate(d.readDB.QueryRowContext(ctx, "SELECT coalesce(min(time), 0) FROM events").Scan(&at))
	return instant(at), err
}

// LastOutcomes tells when applications last reported how a sign-in ended, by
// the id of their API key (gate:NAME of a site), as far as the newest events
// tell: at most scan of them are looked at, none older than since. Attempts
// that nobody settled are no outcome.
func (d *DB) LastOutcomes(ctx context.Context, since time.Time, scan int) (map[string]time.Time, error) {
	rows, err := d.readDB.QueryContext(ctx, `
		SELECT app, max(arrival) FROM (SELECT app, name, reason, arrival FROM events ORDER BY seq DESC LIMIT ?)
		WHERE arrival >= ? AND app <> '' AND reason <> ? AND name NOT LIKE 'CHALLENGE%'
			AND (name LIKE '%_SUCCESS' OR name LIKE '%_FAILURE')
		GROUP BY app`, scan, micros(since), warder.Unsettled)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	out := map[string]time.Time{}
	for rows.Next() {
		var (
			app string
			at  int64
		)
		if err := rows.Scan(&app, &at); err != nil {
			return nil, translate(err)
		}
		out[app] = instant(at)
	}
	return out, translate(rows.Err())
}
