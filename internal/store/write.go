package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// errClosed is returned by writes after Close.
var errClosed = errors.New("database is closed")

// tx is the write transaction under way. There is one at a time; whoever has
// it has the turn.
type tx struct {
	d   *DB
	ctx context.Context //nolint:containedctx // of the statements of one call, without its cancellation
	// head is the head of the audit trail with the rows of this transaction.
	head auditHead
	// after, if set, is called after the commit, before the turn is given back.
	after func()
}

// write runs f in a transaction and returns when it is on the disk. It waits for
// its turn and for the lock of the file as long as ctx and the busy timeout allow;
// from then on the transaction is carried through, so that its outcome is known.
func (d *DB) write(ctx context.Context, f func(*tx) error) error {
	n, err := d.commit(ctx, f)
	if err != nil {
		return err
	}
	return d.durable.wait(n)
}

// commit is write that does not wait for the disk; it returns the number that
// tells durable what to wait for.
func (d *DB) commit(ctx context.Context, f func(*tx) error) (n int64, err error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case _, open := <-d.turn:
		if !open {
			return 0, errClosed
		}
	}
	defer func() { d.turn <- struct{}{} }()
	// A cancelled context would interrupt statements half way, and watching
	// one costs a goroutine for each statement.
	t := &tx{d: d, ctx: context.WithoutCancel(ctx), head: d.head}
	if _, err := d.w.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		// Who gives up while SQLite begins is told so, and it has begun.
		_, _ = d.w.ExecContext(t.ctx, "ROLLBACK")
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("begin transaction: %w", translate(err))
	}
	err = f(t)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		n = d.durable.begin()
		if err = t.exec("COMMIT"); err != nil {
			err = fmt.Errorf("commit transaction: %w", translate(err))
		} else {
			d.head = t.head
		}
		d.durable.end(d.head)
	}
	if err != nil {
		// After some errors SQLite has rolled back by itself; then this says
		// that there is no transaction, which is all that is wanted.
		_, _ = d.w.ExecContext(t.ctx, "ROLLBACK")
		d.checkpointer.failed(err)
		return 0, err
	}
	d.checkpointer.committed()
	if t.after != nil {
		t.after()
	}
	return n, nil
}

// stmt returns the prepared statement of a query. The set of queries is fixed
// by the program text, so the cache is bounded.
func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if s, ok := t.d.stmts[query]; ok {
		return s, nil
	}
	s, err := t.d.w.PrepareContext(t.ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare %.40q: %w", query, err)
	}
	t.d.stmts[query] = s
	return s, nil
}

// exec runs a statement that is prepared once.
func (t *tx) exec(query string, args ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(t.ctx, args...)
	return err
}

// affect is exec that returns the number of rows it changed.
func (t *tx) affect(query string, args ...any) (int64, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *tx) row(query string, args ...any) row {
	s, err := t.stmt(query)
	if err != nil {
		return row{err: err}
	}
	return row{row: s.QueryRowContext(t.ctx, args...)}
}

// row is an sql.Row that can carry the error of preparing it.
type row struct {
	row *sql.Row
	err error
}

// Scan is that of sql.Row.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.row.Scan(dest...)
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(t.ctx, args...)
}

// each calls f for every row, closes the rows and returns the first error.
func each(rows *sql.Rows, err error, f func(scan func(...any) error) error) error {
	if err != nil {
		return translate(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return translate(rows.Err())
}

// maxReads bounds the cache of prepared queries. Their texts are few; lists of
// names of many lengths are what makes more.
const maxReads = 256

// read runs a query on a reading connection.
func (d *DB) read(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	s, err := d.prepared(ctx, query)
	if err != nil {
		return translate(err)
	}
	if s == nil {
		rows, err := d.readDB.QueryContext(ctx, query, args...)
		return each(rows, err, f)
	}
	rows, err := s.QueryContext(ctx, args...)
	return each(rows, err, f)
}

// prepared returns the prepared query, or nil if there is no room for it.
func (d *DB) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	d.readsMu.Lock()
	s, full := d.reads[query], len(d.reads) >= maxReads
	d.readsMu.Unlock()
	if s != nil || full {
		return s, nil
	}
	s, err := d.readDB.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	d.readsMu.Lock()
	defer d.readsMu.Unlock()
	if other := d.reads[query]; other != nil {
		_ = s.Close()
		return other, nil
	}
	d.reads[query] = s
	return s, nil
}
