package store

import (
	"context"
	"fmt"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// BlockFigures are what a report says of Blocks, in numbers.
type BlockFigures struct {
	Made      map[string]int64 // by origin, without observed ones
	Observed  int64
	Lifted    map[string]int64 // by verdict
	Ended     int64            // by themselves
	Refused   int64            // requests that Blocks made in the time refused so far
	Automatic int64
	Reviewed  int64 // automatic ones that somebody looked at
	Before    int64 // standing when the time began
	After     int64 // standing when it ended
	Attackers int64 // different addresses that something bad came from; whole days of UTC
}

// BlockFigures counts the Blocks of [from, to).
func (d *DB) BlockFigures(ctx context.Context, from, to time.Time) (BlockFigures, error) {
	f := BlockFigures{Made: map[string]int64{}, Lifted: map[string]int64{}}
	a, b := micros(from), micros(to)
	err := d.read(ctx, `SELECT origin, observed, count(*), coalesce(sum(hits), 0), coalesce(sum(CASE WHEN reviewed_at > 0 THEN 1 ELSE 0 END), 0)
		FROM blocks WHERE from_at >= $1 AND from_at < $2 GROUP BY origin, observed`, []any{a, b}, func(scan func(...any) error) error {
		var origin string
		var observed, n, hits, reviewed int64
		if err := scan(&origin, &observed, &n, &hits, &reviewed); err != nil {
			return err
		}
		if observed != 0 {
			f.Observed += n
			return nil
		}
		f.Made[origin] += n
		f.Refused += hits
		if origin == guard.FromRule {
			f.Automatic, f.Reviewed = n, reviewed
		}
		return nil
	})
	if err == nil {
		err = d.read(ctx, "SELECT verdict, count(*) FROM blocks WHERE lifted_at >= $1 AND lifted_at < $2 AND lifted_at > 0 AND observed = 0 GROUP BY verdict",
			[]any{a, b}, func(scan func(...any) error) error {
				var verdict string
				var n int64
				err := scan(&verdict, &n)
				f.Lifted[verdict] = n
				return err
			})
	}
	for _, q := range []struct {
		to    *int64
		query string
		args  []any
	}{
		{&f.Ended, "SELECT count(*) FROM blocks WHERE until_at >= $1 AND until_at < $2 AND until_at > 0 AND lifted_at = 0 AND observed = 0", []any{a, b}},
		{&f.Before, standingAt, []any{a}},
		{&f.After, standingAt, []any{b}},
		{&f.Attackers, `SELECT count(*) FROM (SELECT address FROM address_days WHERE day BETWEEN $1 AND $2 AND bad > 0
			UNION SELECT address FROM addresses WHERE day BETWEEN $1 AND $2 AND day_bad > 0) AS some`, []any{a / usPerDay, (b - 1) / usPerDay}},
	} {
		if err != nil {
			break
		}
		err = translate(d.readDB.QueryRowContext(ctx, q.query, q.args...).Scan(q.to))
	}
	if err != nil {
		return f, fmt.Errorf("count blocks: %w", err)
	}
	return f, nil
}

const standingAt = `SELECT count(*) FROM blocks WHERE from_at < $1 AND observed = 0 AND (lifted_at = 0 OR lifted_at >= $1)
	AND (ended_at = 0 OR ended_at >= $1) AND (until_at = 0 OR until_at >= $1)`

// RuleFigures are the Blocks that one rule made.
type RuleFigures struct {
	Rule     string
	Blocks   int64
	Errors   int64 // lifted as errors since
	Observed int64
}

// RuleFigures counts the Blocks of [from, to) by rule, most first.
func (d *DB) RuleFigures(ctx context.Context, from, to time.Time) ([]RuleFigures, error) {
	var out []RuleFigures
	err := d.read(ctx, `SELECT rule, count(*), sum(CASE WHEN verdict = 'error' THEN 1 ELSE 0 END), sum(observed)
		FROM blocks WHERE from_at >= $1 AND from_at < $2 AND rule <> '' GROUP BY rule ORDER BY 2 DESC, 1`,
		[]any{micros(from), micros(to)}, func(scan func(...any) error) error {
			var r RuleFigures
			err := scan(&r.Rule, &r.Blocks, &r.Errors, &r.Observed)
			r.Blocks -= r.Observed
			out = append(out, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("count blocks: %w", err)
	}
	return out, nil
}

// BlocksMade counts the Blocks made in each stretch of time; starts holds the
// beginnings and the end of the last.
func (d *DB) BlocksMade(ctx context.Context, starts []time.Time) ([]int64, error) {
	out := make([]int64, max(len(starts)-1, 0))
	for i := range out {
		err := d.readDB.QueryRowContext(ctx, "SELECT coalesce(sum(n), 0) FROM block_rollups WHERE bucket >= $1 AND bucket < $2",
			micros(starts[i]), micros(starts[i+1])).Scan(&out[i])
		if err != nil {
			return nil, fmt.Errorf("count blocks: %w", translate(err))
		}
	}
	return out, nil
}

// RevisionsBetween returns the policy revisions made in [from, to) with their
// documents, oldest first, after the one that was in force at from, if any.
func (d *DB) RevisionsBetween(ctx context.Context, from, to time.Time, each func(*guard.Revision) error) error {
	var first int64
	if err := d.readDB.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM revisions WHERE time < $1", micros(from)).Scan(&first); err != nil {
		return fmt.Errorf("read policy revisions: %w", translate(err))
	}
	for {
		var r guard.Revision
		var at int64
		found := false
		err := d.read(ctx, `SELECT n, time, made_by, comment, document FROM revisions WHERE n >= $1 AND time < $2
			ORDER BY n LIMIT 1`, []any{first, micros(to)}, func(scan func(...any) error) error {
			found = true
			return scan(&r.N, &at, &r.By, &r.Comment, &r.Document)
		})
		if err != nil {
			return fmt.Errorf("read policy revisions: %w", err)
		}
		if !found {
			return nil
		}
		r.Time = instant(at)
		if err := each(&r); err != nil {
			return err
		}
		first = r.N + 1
	}
}
