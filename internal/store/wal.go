package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// A commit appends pages to the write-ahead log and synchronises it; bringing
// them home into the database, a checkpoint, takes longer and two more
// synchronisations. SQLite would do that inside a commit, while everybody waits.
// Here another connection does it meanwhile. A log that is wholly at home begins
// anew with the next write; under load that never happens by itself, since
// commits go on during the checkpoint, so now and then the checkpointer takes a
// turn among the writers for the few pages that are left. What a commit promises
// is the same as ever: all of it is in the log, synchronised, before it returns.

const (
	pageSize = 4096 // bytes, SQLite's own choice

	// walLimit is from how many pages on (128 MiB) the log is made to begin anew.
	// A reader that holds a snapshot of old pages prevents that until it ends.
	walLimit = 32 << 10
	// walWorth is for which part of that a checkpoint is worth its two
	// synchronisations (16 MiB): pages that changed often are brought home once.
	walWorth = 8
	// walRest is how many pages a turn among the writers is taken for.
	walRest = 256
	// walPause is how long the checkpointer rests between two looks at the log.
	walPause = 50 * time.Millisecond
	// walPatience is how long a turn waits for readers to end.
	walPatience = 20 * time.Millisecond
)

// checkpointer brings the pages of the log home.
type checkpointer struct {
	d    *DB
	pool *sql.DB
	conn *sql.Conn
	wake chan struct{} // holds a token if something was committed
	stop context.CancelFunc
	done chan struct{}

	full    atomic.Bool // the disk, when something was written last
	bound   int64       // walLimit
	limit   int64       // pages from which on the log is made to begin anew now
	failing bool
}

// wal is the state of the log in pages: how many are in use, and how many of
// them are at home.
type wal struct{ used, home int64 }

func (w wal) away() int64 { return w.used - w.home }

// openCheckpointer starts the checkpointer. The writing connection must not
// do its work.
func (d *DB) openCheckpointer(ctx context.Context, o Options) (err error) {
	if _, err := d.w.ExecContext(ctx, "PRAGMA wal_autocheckpoint = 0"); err != nil {
		return err
	}
	o.BusyTimeout = walPatience
	if o.walPages == 0 {
		o.walPages = walLimit
	}
	c := &checkpointer{d: d, wake: make(chan struct{}, 1), done: make(chan struct{}), bound: o.walPages, limit: o.walPages}
	if c.pool, err = sql.Open("sqlite", dsn(o, false)); err != nil {
		return err
	}
	c.pool.SetMaxOpenConns(1)
	if c.conn, err = c.pool.Conn(ctx); err != nil {
		_ = c.pool.Close()
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	d.checkpointer = c
	go c.run(running)
	return nil
}

// close waits for the checkpoint under way.
func (c *checkpointer) close() {
	c.stop()
	<-c.done
	_ = c.conn.Close()
	_ = c.pool.Close()
}

// failed tells the checkpointer why nothing was committed.
func (c *checkpointer) failed(err error) {
	if n := code(err) & 0xff; n != sqlite3.SQLITE_FULL && n != sqlite3.SQLITE_IOERR {
		return
	}
	c.full.Store(true)
	c.committed()
}

// committed tells the checkpointer that there may be work.
func (c *checkpointer) committed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *checkpointer) run(ctx context.Context) {
	defer close(c.done)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			// Commits go on without; the next look tries again.
			if !c.failing {
				c.d.log.Warn("checkpoint the database", "error", err)
			}
			c.failing = true
		} else if c.failing && err == nil {
			c.failing = false
			c.d.log.Info("the database is checkpointed again")
		}
		pause.Reset(walPause)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// look does what there is to do.
func (c *checkpointer) look(ctx context.Context) error {
	mode := "RESTART"
	if c.full.Swap(false) {
		mode = "TRUNCATE" // what is home already can be given back
	}
	w, err := c.checkpoint("NOOP")
	if err != nil {
		return err
	}
	if w.used < c.bound {
		c.limit = c.bound
	}
	begin := w.used >= c.limit || mode == "TRUNCATE"
	if w.away() < c.bound/walWorth && !begin {
		return nil
	}
	// Commits go on meanwhile: the second time there is less to do.
	for range 3 {
		if w, err = c.checkpoint("PASSIVE"); err != nil || !begin || w.away() < walRest {
			break
		}
	}
	if err != nil || !begin {
		return err
	}
	if w.away() < c.bound/walWorth {
		if w, err = c.restart(ctx, mode); err != nil {
			return err
		}
	}
	if w.used >= c.limit {
		// Somebody reads old pages. Writers are not made to wait for them again
		// before the log has grown a good deal.
		c.limit = w.used + c.bound/4
	}
	return nil
}

// restart takes a turn among the writers, so that no page is added while the
// last ones are brought home, and lets the log begin anew.
func (c *checkpointer) restart(ctx context.Context, mode string) (wal, error) {
	select {
	case <-ctx.Done():
		return wal{}, ctx.Err()
	case _, open := <-c.d.turn:
		if !open {
			return wal{}, errClosed
		}
	}
	defer func() { c.d.turn <- struct{}{} }()
	return c.checkpoint(mode)
}

// checkpoint runs one of SQLite's checkpoints; NOOP only looks.
func (c *checkpointer) checkpoint(mode string) (wal, error) {
	var w wal
	var busy int
	// Not with a context that ends: it would cost a goroutine, and Close waits.
	err := c.conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &w.used, &w.home)
	if err != nil {
		return wal{}, fmt.Errorf("checkpoint %s: %w", mode, translate(err))
	}
	if mode == "RESTART" && busy == 0 {
		w = wal{} // it counts what was in the log
	}
	return w, nil
}
