package store

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// churn changes a MiB of the database so many times, each in a transaction.
func churn(t testing.TB, d *DB, n int) {
	t.Helper()
	data := make([]byte, 1<<20)
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

const walBytes = int64(walLimit) * 4096

// TestLogStaysBounded: commits that never pause and readers whose snapshots
// overlap do not make the write-ahead log grow for ever.
func TestLogStaysBounded(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "warder.db"))
	churn(t, d, 4)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_ = d.read(ctx, "SELECT n, length(data) FROM shards UNION ALL SELECT value, 1 FROM meta", nil,
					func(func(...any) error) error { return nil })
			}
		})
	}
	churn(t, d, 300) // about five times the limit
	stop()
	readers.Wait()
	if n := logSize(t, d); n > 2*walBytes {
		t.Errorf("the log has %d MiB", n>>20)
	}
	if err := d.IntegrityCheck(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLogOfLongSnapshot: a reader that holds a snapshot stops neither commits
// nor checkpoints of what came before it, and when it ends the log begins anew.
func TestLogOfLongSnapshot(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "warder.db"))
	churn(t, d, 4)
	snapshot, err := d.readDB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var before, after int
	if err := snapshot.QueryRow("SELECT sum(length(data)) FROM shards").Scan(&before); err != nil {
		t.Fatal(err)
	}
	churn(t, d, 100)
	if n := logSize(t, d); n < walBytes {
		t.Fatalf("the log has only %d MiB: this tests nothing", n>>20)
	}
	if err := snapshot.QueryRow("SELECT sum(length(data)) FROM shards").Scan(&after); err != nil || before != after {
		t.Errorf("the snapshot changed: %d, %d, %v", before, after, err)
	}
	if err := snapshot.Rollback(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log does not begin anew", func() bool {
		churn(t, d, 1)
		return logSize(t, d) <= walBytes
	})
}

// TestCheckpointInTheBackground: the writer leaves the pages in the log, and the
// checkpointer brings them home without a turn of its own.
func TestCheckpointInTheBackground(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "warder.db"))
	var auto int
	if err := d.w.QueryRowContext(t.Context(), "PRAGMA wal_autocheckpoint").Scan(&auto); err != nil || auto != 0 {
		t.Fatalf("the writer checkpoints by itself every %d pages, %v", auto, err)
	}
	churn(t, d, 8)
	looker := raw(t, d)
	eventually(t, "pages stay away", func() bool {
		var busy, used, home int64
		if err := looker.QueryRow("PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &used, &home); err != nil {
			t.Fatal(err)
		}
		return used-home < walWorth
	})
}
