package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sliceTime is how long retention may hold the writer at a time.
const sliceTime = 20 * time.Millisecond

// Retention says what may be deleted: events older than EventsDays (0: none),
// and the oldest events, with what else is as old, while the database is larger
// than MaxSize bytes (0: no limit).
type Retention struct {
	EventsDays int
	MaxSize    int64
}

// Retained counts the rows that Retain deleted.
type Retained struct {
	Events int64
	Other  int64
}

// stale are rows of a table that may go. Rows are found on a reading connection
// and deleted by their key, so that looking for them never holds the writer.
type stale struct {
	table     string
	key       []string // the primary key
	condition string   // on one argument
	arg       int64
	// indexed says that an index finds the rows; else the table is walked.
	indexed bool
}

// Retain deletes what is too old or too much, in slices between which others
// can write. Policy revisions and Blocks are kept, but for those that are over
// when the size demands it.
func (d *DB) Retain(ctx context.Context, now time.Time, r Retention) (Retained, error) {
	var done Retained
	ago := func(age time.Duration) int64 { return micros(now.Add(-age)) }
	old := []stale{
		{"refusals", []string{"reference"}, "time < ?", ago(keepRefusal), true},
		{"known", []string{"account_key", "source"}, "at < ?", ago(keepKnown), true},
		{"sessions", []string{"id"}, "used < ?", ago(keepSession) / usPerBucket, true},
		{"repeats", []string{"actor", "key"}, "at < ?", ago(keepRepeat), true},
		{"spends", []string{"id"}, "until_at < ?", micros(now), true},
		{"good", []string{"address", "account_key"}, "at < ?", ago(keepGood), false},
		{"demands", []string{"n"}, "until_at > 0 AND until_at < ?", ago(keepDeadLists), false},
		{"trusted", []string{"id"}, "until_at > 0 AND until_at < ?", ago(keepDeadLists), false},
	}
	if r.EventsDays > 0 {
		before := ago(time.Duration(r.EventsDays) * day)
		n, err := d.drop(ctx, stale{"events", []string{"seq"}, "time < ?", before, true})
		done.Events += n
		if err != nil {
			return done, err
		}
		old = append(old, ofTheTime(before)...)
		old = append(
			old,
			stale{"rollups", []string{"bucket", "name", "severity", "realm"}, "bucket < ?", before - usPerBucket, true},
			stale{"clears", []string{"seq"}, "seq < ?", before, true},
		)
	}
	for _, s := range old {
		n, err := d.drop(ctx, s)
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
		if err := d.shrink(ctx, now, r.MaxSize, &done); err != nil {
			return done, err
		}
	}
	return done, d.giveBack(ctx)
}

// ofTheTime is what is known of addresses and accounts that nothing was heard of
// since an instant, and what was told before it.
func ofTheTime(before int64) []stale {
	return []stale{
		{"address_days", []string{"address", "day"}, "day < ?", before / usPerDay, false},
		{"addresses", []string{"address"}, "fraudulent = 0 AND last_seen < ?", before, false},
		{"accounts", []string{"account_key", "realm"}, "last_seen < ?", before, false},
		{"alerts", []string{"n"}, "time < ?", before, true},
		{"deliveries", []string{"n"}, "first_at < ?", before, true},
	}
}

// pastBlocks are Blocks that were over before an instant, or only observed; their
// evidence goes with them.
func pastBlocks(before int64) stale {
	return stale{"blocks", []string{"n"}, `CASE WHEN observed = 1 OR lifted_at > 0 OR ended_at > 0 THEN from_at
		WHEN until_at > 0 THEN until_at ELSE 9223372036854775807 END < ?`, before, false}
}

// foundAtOnce is how many keys of stale rows are looked up at once.
const foundAtOnce = 1000

// drop deletes stale rows.
func (d *DB) drop(ctx context.Context, s stale) (int64, error) {
	var total int64
	var last []any
	for {
		keys, err := d.find(ctx, s, last)
		if err != nil {
			return total, fmt.Errorf("find old rows of %s: %w", s.table, err)
		}
		n, err := d.deleteKeys(ctx, s, keys)
		total += n
		if err != nil {
			return total, fmt.Errorf("delete old rows of %s: %w", s.table, err)
		}
		if len(keys) < foundAtOnce || s.indexed && n == 0 {
			return total, nil
		}
		last = keys[len(keys)-1]
	}
}

// find returns the keys of some stale rows: the next ones after last if the
// table has to be walked.
func (d *DB) find(ctx context.Context, s stale, last []any) ([][]any, error) {
	key := strings.Join(s.key, ", ")
	w := &where{}
	w.add(s.condition, s.arg)
	tail := "LIMIT ?"
	if !s.indexed {
		tail = "ORDER BY " + key + " LIMIT ?"
		if last != nil {
			w.add("("+key+") > (?"+strings.Repeat(", ?", len(last)-1)+")", last...)
		}
	}
	query, args := w.query("SELECT "+key+" FROM "+s.table, tail, foundAtOnce)
	var keys [][]any
	err := d.read(ctx, query, args, func(scan func(...any) error) error {
		row, dest := make([]any, len(s.key)), make([]any, len(s.key))
		for i := range row {
			dest[i] = &row[i]
		}
		err := scan(dest...)
		keys = append(keys, row)
		return err
	})
	return keys, err
}

// deleteKeys deletes rows that are still stale, for at most sliceTime in one
// transaction.
func (d *DB) deleteKeys(ctx context.Context, s stale, keys [][]any) (int64, error) {
	w := &where{}
	for _, column := range s.key {
		w.add(column + " = ?")
	}
	w.add(s.condition)
	query, _ := w.query("DELETE FROM "+s.table, "")
	var total int64
	for len(keys) > 0 {
		var done int64
		rest := keys
		err := d.write(ctx, func(t *tx) error {
			done, rest = 0, keys
			for began := time.Now(); len(rest) > 0 && time.Since(began) < sliceTime; rest = rest[1:] {
				n, err := t.affect(query, append(slices.Clone(rest[0]), s.arg)...)
				if err != nil {
					return translate(err)
				}
				done += n
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total += done
		keys = rest
	}
	return total, nil
}

// retainRevocations remembers what it deleted, so that a reader who asks from
// before is told to start anew.
func (d *DB) retainRevocations(ctx context.Context, before int64) (int64, error) {
	first, end, err := d.stretch(ctx, "revocations", "at", before)
	if err != nil {
		return 0, fmt.Errorf("find old revocations: %w", err)
	}
	return d.cutOff(ctx, "revocations", first, end, func(t *tx, upTo int64) error {
		return t.exec("UPDATE meta SET value = $1 WHERE name = $2 AND value < $1", upTo, metaRevoked)
	})
}

// retainAudit deletes the oldest rows of the trail and leaves a signed
// checkpoint from which the rest verifies. The last row always stays.
func (d *DB) retainAudit(ctx context.Context, now time.Time, before int64) (int64, error) {
	first, end, err := d.stretch(ctx, "audit", "time", before)
	if err != nil {
		return 0, fmt.Errorf("find old audit rows: %w", err)
	}
	var last int64
	if err := d.readDB.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM audit").Scan(&last); err != nil {
		return 0, fmt.Errorf("find old audit rows: %w", translate(err))
	}
	return d.cutOff(ctx, "audit", first, min(end, last), func(t *tx, upTo int64) error {
		h := auditHead{seq: upTo}
		var sum []byte
		if err := t.row("SELECT hash FROM audit WHERE seq = $1", upTo).Scan(&sum); err != nil {
			return err
		}
		copy(h.hash[:], sum)
		mac := newChain(d.key).seal("warder audit checkpoint 1", h, micros(now))
		return t.exec(`INSERT INTO audit_checkpoint (one, seq, hash, time, mac) VALUES (1, $1, $2, $3, $4)
			ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, time = excluded.time,
				mac = excluded.mac`, h.seq, h.hash[:], micros(now), mac[:])
	})
}

// stretch finds the numbers [first, end) at the beginning of a numbered table
// that are older than before.
func (d *DB) stretch(ctx context.Context, table, column string, before int64) (first, end int64, err error) {
	err = d.readDB.QueryRowContext(ctx, "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) + 1 FROM "+table).Scan(&first, &end)
	if err != nil || first == 0 {
		return 0, 0, translate(err)
	}
	// Walked in the order of numbers, this ends at the first row that is young.
	var young int64
	err = translate(d.readDB.QueryRowContext(ctx, "SELECT seq FROM "+table+" WHERE ("+column+" + 0) >= $1 ORDER BY seq LIMIT 1",
		before).Scan(&young))
	if errors.Is(err, ErrNotFound) {
		return first, end, nil
	}
	return first, young, err
}

// cutOff deletes the rows [first, end) of a numbered table, the oldest first,
// and calls mark with the last number of each slice before it is deleted.
func (d *DB) cutOff(ctx context.Context, table string, first, end int64, mark func(t *tx, upTo int64) error) (int64, error) {
	var total int64
	for ; first < end; first += 250 {
		upTo := min(first+250, end) - 1
		err := d.write(ctx, func(t *tx) error {
			// There may be gaps; the mark needs a row that exists.
			err := t.row("SELECT coalesce(max(seq), 0) FROM "+table+" WHERE seq <= $1", upTo).Scan(&upTo)
			if err != nil || upTo == 0 {
				return translate(err)
			}
			if err := mark(t, upTo); err != nil {
				return translate(err)
			}
			n, err := t.affect("DELETE FROM "+table+" WHERE seq <= $1", upTo)
			total += n
			return translate(err)
		})
		if err != nil {
			return total, fmt.Errorf("delete old rows of %s: %w", table, err)
		}
	}
	return total, nil
}

// shrink deletes the oldest events while more than limit bytes are in use, and
// what is as old as they: whoever comes from ever new addresses with ever new
// accounts leaves more behind than events. Blocks that stand and the audit trail
// stay, so that nobody washes them away.
func (d *DB) shrink(ctx context.Context, now time.Time, limit int64, done *Retained) error {
	first, err := d.firstArrival(ctx, now)
	if err != nil {
		return err
	}
	step := now.Sub(first) / shrinkSteps
	for next := first.Add(step); ; {
		used, err := d.used(ctx)
		if err != nil || used <= limit {
			return err
		}
		n, err := d.deleteOldest(ctx)
		done.Events += n
		if err != nil {
			return err
		}
		if first, err = d.firstArrival(ctx, now); err != nil {
			return err
		}
		if n > 0 && first.Before(next) {
			continue
		}
		next = first.Add(step)
		other, err := d.forget(ctx, micros(first))
		done.Other += other
		if err != nil || n == 0 && other == 0 {
			return err
		}
	}
}

// shrinkSteps is in how many steps, at most, what is as old as the events goes
// with them: each looks through whole tables.
const shrinkSteps = 32

// firstArrival is when the oldest event arrived; now if there is none. Events
// have their arrival for a number.
func (d *DB) firstArrival(ctx context.Context, now time.Time) (time.Time, error) {
	var seq int64
	err := translate(d.readDB.QueryRowContext(ctx, "SELECT coalesce(min(seq), 0) FROM events").Scan(&seq))
	if err != nil {
		return now, fmt.Errorf("find oldest event: %w", err)
	}
	if seq == 0 || instant(seq).After(now) {
		return now, nil
	}
	return instant(seq), nil
}

// forget deletes what is older than an instant, but for events.
func (d *DB) forget(ctx context.Context, before int64) (int64, error) {
	var total int64
	for _, s := range append(ofTheTime(before), pastBlocks(before)) {
		n, err := d.drop(ctx, s)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// deleteOldest deletes some of the oldest events.
func (d *DB) deleteOldest(ctx context.Context) (int64, error) {
	s := stale{"events", []string{"seq"}, "seq > ?", 0, false}
	keys, err := d.find(ctx, s, nil)
	if err != nil {
		return 0, fmt.Errorf("find oldest events: %w", err)
	}
	n, err := d.deleteKeys(ctx, s, keys)
	if err != nil {
		return n, fmt.Errorf("delete oldest events: %w", err)
	}
	return n, nil
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
		info, err := os.Stat(d.real + suffix)
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

// Writable commits a small change. A full disk, a lock held by somebody else and
// a read-only file system show here. It costs a write to disk.
func (d *DB) Writable(ctx context.Context) error {
	return d.write(ctx, func(t *tx) error {
		return translate(t.exec("UPDATE meta SET value = value + 1 WHERE name = $1", metaProbe))
	})
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
