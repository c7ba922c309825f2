package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver that Warder uses
)

// database is a connection beside Warder's own, with the settings of its writer.
type database struct {
	*sql.DB
	conn *sql.Conn
	seq  int64 // of the last event repeated
}

func openBare(ctx context.Context, path string) (*database, error) {
	q := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		"temp_store(memory)", "cache_size(-32768)", "journal_size_limit(67108864)",
	}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &database{DB: db, conn: conn}, nil
}

func (d *database) Close() error { return errors.Join(d.conn.Close(), d.DB.Close()) }

func (d *database) exec(ctx context.Context, query string, args ...any) error {
	if _, err := d.conn.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%.60q: %w", query, err)
	}
	return nil
}

// repeat inserts the events that are new in another database, so many in a
// transaction, with one statement that is prepared once, and measures that alone.
func (d *database) repeat(ctx context.Context, from string, group int) (n int, took time.Duration, err error) {
	list, columns, err := eventsAfter(ctx, from, d.seq)
	if err != nil || len(list) == 0 {
		return 0, 0, err
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",")
	insert, err := d.conn.PrepareContext(ctx, "INSERT INTO events ("+strings.Join(columns, ",")+") VALUES ("+marks+")")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	begin := time.Now()
	for start := 0; start < len(list); start += group {
		if err := d.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
			return 0, 0, err
		}
		for _, row := range list[start:min(start+group, len(list))] {
			if _, err := insert.ExecContext(ctx, row...); err != nil {
				return 0, 0, err
			}
		}
		if err := d.exec(ctx, "COMMIT"); err != nil {
			return 0, 0, err
		}
	}
	took = time.Since(begin)
	d.seq = list[len(list)-1][0].(int64)
	return len(list), took, nil
}

func eventsAfter(ctx context.Context, path string, seq int64) (list [][]any, columns []string, err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=query_only(1)&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT * FROM events WHERE seq > ? ORDER BY seq", seq)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if columns, err = rows.Columns(); err != nil {
		return nil, nil, err
	}
	for rows.Next() {
		row := make([]any, len(columns))
		at := make([]any, len(columns))
		for i := range row {
			at[i] = &row[i]
		}
		if err := rows.Scan(at...); err != nil {
			return nil, nil, err
		}
		list = append(list, row)
	}
	return list, columns, rows.Err()
}

// lock holds the write lock of a database for a while.
func lock(ctx context.Context, path string, d time.Duration) error {
	db, err := openBare(ctx, path)
	if err != nil {
		return err
	}
	err = db.exec(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		err = db.exec(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return errors.Join(err, db.Close())
}

// seedBlocks multiplies the one Block of a database: so many, permanent, as
// crossings of a rule leave them, each of another address.
func seedBlocks(ctx context.Context, path string, n int) (err error) {
	db, err := openBare(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.conn.QueryContext(ctx, "SELECT * FROM blocks LIMIT 0")
	if err != nil {
		return err
	}
	columns, err := rows.Columns()
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // the one connection is needed below
		return err
	}
	values := slices.Clone(columns)
	for i, c := range columns {
		switch c {
		case "n":
			values[i] = "1000 + i"
		case "id":
			values[i] = "printf('%016X', i)"
		case "reference":
			values[i] = "printf('%04X-%04X', i / 65536, i % 65536)"
		case "ip_first", "ip_last":
			values[i] = "unhex(printf('00000000000000000000FFFF%08X', 184549376 + i * 509))"
		case "origin":
			values[i] = "'rule'"
		case "rule":
			values[i] = "'sign_in'"
		case "from_at":
			values[i] = "from_at + i"
		}
	}
	const step = 250_000
	for from := 0; from < n && err == nil; from += step {
		err = db.exec(ctx, "WITH RECURSIVE c (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM c WHERE i + 1 < ?) INSERT INTO blocks ("+
			strings.Join(columns, ", ")+") SELECT "+strings.Join(values, ", ")+" FROM c, (SELECT * FROM blocks WHERE n < 1000 LIMIT 1)",
			from, min(from+step, n))
	}
	return err
}
