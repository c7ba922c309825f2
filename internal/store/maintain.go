package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sliceTime is how long retention may hold the writer at a time.
const sliceTime = 25 * time.Millisecond

// Retention says what may be deleted: events older than EventsDays (0: none),
// and the oldest events while the database is larger than MaxSize bytes (0: no
// limit).
type Retention struct {
	EventsDays int
	MaxSize    int64
}

// Retained counts the rows that Retain deleted.
type Retained struct {
	Events int64
	Other  int64
}

// Retain deletes what is too old or too much, in slices between which others
// can write. Blocks, demands and policy revisions are kept.
func (d *DB) Retain(ctx context.Context, now time.Time, r Retention) (Retained, error) {
	var done Retained
	type rule struct {
		table, key, condition string
		before                int64
	}
	ago := func(age time.Duration) int64 { return micros(now.Add(-age)) }
	rules := []rule{
		{"refusals", "reference", "time < $1", ago(keepRefusal)},
		{"known", "account_key, source", "at < $1", ago(keepKnown)},
		{"sessions", "id", "used < $1", ago(keepSession) / usPerBucket},
		{"repeats", "actor, key", "at < $1", ago(keepRepeat)},
		{"spends", "id", "until_at < $1", micros(now)},
		{"good", "address, account_key", "at < $1", ago(keepGood)},
		{"demands", "n", "until_at > 0 AND until_at < $1", ago(keepDeadLists)},
		{"trusted", "id", "until_at > 0 AND until_at < $1", ago(keepDeadLists)},
	}
	if r.EventsDays > 0 {
		age := time.Duration(r.EventsDays) * day
		old := ago(age)
		n, err := d.deleteSlices(ctx, "events", "seq", "time < $1", old)
		done.Events += n
		if err != nil {
			return done, err
		}
		rules = append(rules,
			rule{"rollups", "bucket, name, severity, realm", "bucket < $1", old - usPerBucket},
			rule{"address_days", "address, day", "day < $1", old / usPerDay},
			rule{"addresses", "address", "last_seen < $1 AND fraudulent = 0", old},
			rule{"accounts", "account_key, realm", "last_seen < $1", old},
			rule{"clears", "seq", "seq < $1", old},
			rule{"alerts", "n", "time < $1", old},
		)
	}
	for _, x := range rules {
		n, err := d.deleteSlices(ctx, x.table, x.key, x.condition, x.before)
		done.Other += n
		if err != nil {
			return done, err
		}
	}
	n, err := d.retainRevocations(ctx, ago(keepRevoked))
	done.Other += n
	if err != nil {
		return done, err
	}
	if r.EventsDays > 0 {
		n, err := d.retainAudit(ctx, now, ago(time.Duration(r.EventsDays)*day))
		done.Other += n
		if err != nil {
			return done, err
		}
	}
	if r.MaxSize > 0 {
		n, err := d.shrink(ctx, r.MaxSize)
		done.Events += n
		if err != nil {
			return done, err
		}
	}
	return done, d.giveBack(ctx)
}

// deleteSlices deletes the rows of a condition on its one argument. The size of
// a slice follows from how long the one before took.
func (d *DB) deleteSlices(ctx context.Context, table, key, condition string, arg int64) (int64, error) {
	target := "(" + key + ")"
	query := "DELETE FROM " + table + " WHERE " + target + " IN (SELECT " + key + " FROM " + table +
		" WHERE " + condition + " LIMIT $2)"
	return d.slices(ctx, "delete old rows of "+table, func(t *tx, limit int) (int64, error) {
		return t.affect(query, arg, limit)
	})
}

// slices repeats a deletion of at most limit rows, each in a transaction of its
// own, until one deletes less.
func (d *DB) slices(ctx context.Context, what string, del func(t *tx, limit int) (int64, error)) (int64, error) {
	var total int64
	limit := 100
	for {
		var n int64
		var took time.Duration
		err := d.write(ctx, func(t *tx) (err error) {
			began := time.Now()
			n, err = del(t, limit)
			took = time.Since(began)
			return translate(err)
		})
		if err != nil {
			return total, fmt.Errorf("%s: %w", what, err)
		}
		total += n
		if n < int64(limit) {
			return total, nil
		}
		switch {
		case took > sliceTime && limit > 10:
			limit /= 2
		case took < sliceTime/4 && limit < 5000:
			limit *= 2
		}
	}
}

// retainRevocations remembers what it deleted, so that a reader who asks from
// before is told to start anew.
func (d *DB) retainRevocations(ctx context.Context, before int64) (int64, error) {
	return d.slices(ctx, "delete old revocations", func(t *tx, limit int) (int64, error) {
		var last int64
		if err := t.row(`SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM revocations WHERE seq < coalesce(
			(SELECT min(seq) FROM revocations WHERE at >= $1), 9223372036854775807) ORDER BY seq LIMIT $2) AS some`,
			before, limit).Scan(&last); err != nil || last == 0 {
			return 0, err
		}
		n, err := t.affect("DELETE FROM revocations WHERE seq <= $1", last)
		if err != nil {
			return 0, err
		}
		return n, t.exec("UPDATE meta SET value = $1 WHERE name = $2 AND value < $1", last, metaRevoked)
	})
}

// retainAudit deletes the oldest rows of the trail and leaves a signed
// checkpoint from which the rest verifies. The last row always stays.
func (d *DB) retainAudit(ctx context.Context, now time.Time, before int64) (int64, error) {
	return d.slices(ctx, "delete old audit rows", func(t *tx, limit int) (int64, error) {
		var h auditHead
		var sum []byte
		err := translate(t.row(`SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM (
			SELECT seq FROM audit WHERE seq < coalesce((SELECT min(seq) FROM audit WHERE time >= $1),
				(SELECT max(seq) FROM audit)) ORDER BY seq LIMIT $2) AS some)`, before, limit).Scan(&h.seq, &sum))
		if errors.Is(err, ErrNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		copy(h.hash[:], sum)
		mac := newChain(d.key).seal("warder audit checkpoint 1", h, micros(now))
		if err := t.exec(`INSERT INTO audit_checkpoint (one, seq, hash, time, mac) VALUES (1, $1, $2, $3, $4)
			ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, time = excluded.time,
				mac = excluded.mac`, h.seq, h.hash[:], micros(now), mac[:]); err != nil {
			return 0, err
		}
		return t.affect("DELETE FROM audit WHERE seq <= $1", h.seq)
	})
}

// shrink deletes the oldest events while more than limit bytes are in use.
func (d *DB) shrink(ctx context.Context, limit int64) (int64, error) {
	var total int64
	for {
		used, err := d.used(ctx)
		if err != nil || used <= limit {
			return total, err
		}
		n, err := d.deleteOldest(ctx, 1000)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

// deleteOldest deletes about n of the oldest events.
func (d *DB) deleteOldest(ctx context.Context, n int) (int64, error) {
	var total int64
	for range max(1, n/250) {
		var k int64
		err := d.write(ctx, func(t *tx) (err error) {
			k, err = t.affect("DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT 250)")
			return translate(err)
		})
		if total += k; err != nil {
			return total, fmt.Errorf("delete oldest events: %w", err)
		}
	}
	return total, nil
}

// giveBack returns free pages to the file system, some at a time.
func (d *DB) giveBack(ctx context.Context) error {
	for {
		var free int64
		if err := d.readDB.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
			return fmt.Errorf("vacuum: %w", translate(err))
		}
		// A tenth of the pages may stay free: they are used again soon.
		var pages int64
		if err := d.readDB.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
			return fmt.Errorf("vacuum: %w", translate(err))
		}
		if free < 1000 || free < pages/10 {
			return nil
		}
		if err := d.write(ctx, func(t *tx) error {
			rows, err := t.query("PRAGMA incremental_vacuum(500)")
			return each(rows, err, func(func(...any) error) error { return nil })
		}); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
	}
}

// used is the number of bytes in pages that hold something.
func (d *DB) used(ctx context.Context) (int64, error) {
	var pages, free, size int64
	for pragma, to := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := d.readDB.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(to); err != nil {
			return 0, fmt.Errorf("measure database: %w", translate(err))
		}
	}
	return (pages - free) * size, nil
}

// Size is the number of bytes that the database takes on disk.
func (d *DB) Size(context.Context) (int64, error) {
	var total int64
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(d.path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("measure database: %w", err)
		}
		total += info.Size()
	}
	return total, nil
}

// Ping reads from the database.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	return translate(d.readDB.QueryRowContext(ctx, "SELECT 1 FROM meta LIMIT 1").Scan(&one))
}

// Writable takes the lock to write, changes a page and takes it back. A full
// disk, a lock held by somebody else and a read-only file system show here.
func (d *DB) Writable(ctx context.Context) error {
	errBack := errors.New("take back")
	err := d.write(ctx, func(t *tx) error {
		if err := t.exec("UPDATE meta SET value = value WHERE name = $1", metaLastNo); err != nil {
			return translate(err)
		}
		return errBack
	})
	if errors.Is(err, errBack) {
		return nil
	}
	return err
}

// Backup writes a consistent copy to a new file while the database is in use.
func (d *DB) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up to %s: the file exists already", path)
	}
	if err := d.vacuumInto(ctx, path); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("back up to %s: %w", path, translate(err))
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("back up to %s: %w", path, err)
	}
	err = errors.Join(f.Chmod(0o600), f.Sync(), f.Close(), syncDir(filepath.Clean(path)))
	if err != nil {
		return fmt.Errorf("back up to %s: %w", path, err)
	}
	return nil
}

// vacuumInto copies the database on a reading connection, so that writers go
// on. Such a connection refuses every write, also to the copy; it is let for
// this one statement.
func (d *DB) vacuumInto(ctx context.Context, path string) (err error) {
	c, err := d.readDB.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if _, offErr := c.ExecContext(context.WithoutCancel(ctx), "PRAGMA query_only = 1"); offErr != nil {
			// A reader that may write must not go back among the others.
			_ = c.Raw(func(any) error { return driver.ErrBadConn })
		}
		err = errors.Join(err, c.Close())
	}()
	if _, err := c.ExecContext(ctx, "PRAGMA query_only = 0"); err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "VACUUM INTO $1", path)
	return err
}

// IntegrityCheck reads the whole database; what it finds wraps ErrCorrupt.
func (d *DB) IntegrityCheck(ctx context.Context) error {
	if err := check(ctx, d.readDB, "PRAGMA integrity_check(1)"); err != nil {
		return fmt.Errorf("check database %s: %w", d.path, err)
	}
	return nil
}
