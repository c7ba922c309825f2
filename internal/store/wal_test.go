package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// smallLog is from how many pages on the log begins anew in these tests.
const smallLog = 1024

func openSmallLog(t testing.TB) *DB {
	t.Helper()
	d, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "warder.db"), AuditKey: auditKey, walPages: smallLog})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	churn(t, d, 4)
	return d
}

// churn changes 64 pages of the database so many times, each in a transaction.
func churn(t testing.TB, d *DB, n int) {
	t.Helper()
	data := make([]byte, 64*pageSize)
	for i := range n {
		_, _ = rand.Read(data) // SQLite does not write what stays the same
		err := d.write(t.Context(), func(tx *tx) error {
			return tx.exec("INSERT INTO shards (n, seq, data) VALUES ($1, 0, $2) ON CONFLICT (n) DO UPDATE SET data = excluded.data",
				i%4, data)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func logSize(t testing.TB, d *DB) int64 {
	t.Helper()
	info, err := os.Stat(d.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatal(what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

const smallBytes = int64(smallLog) * pageSize

// TestLogStaysBounded: commits that never pause and readers whose snapshots
// overlap do not make the write-ahead log grow for ever.
func TestLogStaysBounded(t *testing.T) {
	d := openSmallLog(t)
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				_ = d.read(ctx, "SELECT n, length(data) FROM shards UNION ALL SELECT value, 1 FROM meta", nil,
					func(func(...any) error) error { return nil })
			}
		})
		others.Go(func() {
			for ctx.Err() == nil {
				churn(t, d, 1)
			}
		})
	}
	looker := raw(t, d)
	last, begun := int64(0), 0
	eventually(t, "the log grows and grows", func() bool {
		used := pages(t, looker).used
		if used < last {
			begun++
		}
		last = used
		return begun == 3
	})
	stop()
	others.Wait()
	if err := d.IntegrityCheck(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLogOfLongSnapshot: a reader that holds a snapshot stops neither commits
// nor checkpoints of what came before it, and when it ends the log begins anew.
func TestLogOfLongSnapshot(t *testing.T) {
	d := openSmallLog(t)
	snapshot, err := d.readDB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var before, after int
	if err := snapshot.QueryRow("SELECT sum(length(data)) FROM shards").Scan(&before); err != nil {
		t.Fatal(err)
	}
	churn(t, d, 40)
	if n := logSize(t, d); n < smallBytes {
		t.Fatalf("the log has only %d KiB: this tests nothing", n>>10)
	}
	if err := snapshot.QueryRow("SELECT sum(length(data)) FROM shards").Scan(&after); err != nil || before != after {
		t.Errorf("the snapshot changed: %d, %d, %v", before, after, err)
	}
	if err := snapshot.Rollback(); err != nil {
		t.Fatal(err)
	}
	looker := raw(t, d)
	eventually(t, "the log does not begin anew", func() bool {
		churn(t, d, 1)
		return pages(t, looker).used < smallLog
	})
}

// pages is the state of the log.
func pages(t testing.TB, db *sql.DB) (w wal) {
	t.Helper()
	var busy int64
	if err := db.QueryRow("PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &w.used, &w.home); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestFullDiskGetsTheLogBack: when a write fails for want of space, the log is
// cut off, not only begun anew.
func TestFullDiskGetsTheLogBack(t *testing.T) {
	d := openSmallLog(t)
	if logSize(t, d) == 0 {
		t.Fatal("there is no log")
	}
	var size int64
	if err := d.w.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&size); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int64) {
		t.Helper()
		if _, err := d.w.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(size)
	err := d.write(t.Context(), func(tx *tx) error {
		return tx.exec("INSERT INTO shards (n, seq, data) VALUES (9, 0, $1)", make([]byte, 1<<20))
	})
	if code(err)&0xff != sqlite3.SQLITE_FULL {
		t.Fatalf("got %v", err)
	}
	eventually(t, "the log keeps its space", func() bool { return logSize(t, d) == 0 })
	limit(1 << 30)
	churn(t, d, 1)
}

// TestCheckpointInTheBackground: the writer leaves the pages in the log, and the
// checkpointer brings them home without a turn of its own.
func TestCheckpointInTheBackground(t *testing.T) {
	d := openSmallLog(t)
	var auto int
	if err := d.w.QueryRowContext(t.Context(), "PRAGMA wal_autocheckpoint").Scan(&auto); err != nil || auto != 0 {
		t.Fatalf("the writer checkpoints by itself every %d pages, %v", auto, err)
	}
	churn(t, d, 4)
	looker := raw(t, d)
	eventually(t, "pages stay away", func() bool { return pages(t, looker).away() < smallLog/walWorth })
}
