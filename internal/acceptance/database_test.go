//go:build linux

package acceptance

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // a second hand on the database
)

// openDatabase opens the database of a server as another program would.
func (s *server) openDatabase() *sql.DB {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, "warder.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		s.t.Fatal(err)
	}
	return db
}

// number asks the database for one number.
func (s *server) number(query string, args ...any) int {
	s.t.Helper()
	db := s.openDatabase()
	defer func() { _ = db.Close() }()
	var n int
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// lockDatabase takes the right to write away from the server until the
// returned function is called.
func lockDatabase(t testing.TB, s *server) (unlock func()) {
	t.Helper()
	db := s.openDatabase()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	done := false
	unlock = func() {
		if done {
			return
		}
		done = true
		_, _ = conn.ExecContext(ctx, "ROLLBACK")
		_ = conn.Close()
		_ = db.Close()
	}
	t.Cleanup(unlock)
	return unlock
}

// verified fails the test unless SQLite finds the database whole.
func (s *server) verified() {
	s.t.Helper()
	db := s.openDatabase()
	defer func() { _ = db.Close() }()
	var result string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		s.t.Errorf("integrity check: %q, %v", result, err)
	}
}
