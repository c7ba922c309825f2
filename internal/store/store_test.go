package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

var (
	auditKey = []byte("0123456789abcdef0123456789abcdef")
	start    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// forEach runs a test on every kind of database there is.
func forEach(t *testing.T, f func(t *testing.T, d *DB)) {
	t.Run("sqlite", func(t *testing.T) { f(t, openAt(t, filepath.Join(t.TempDir(), "warder.db"))) })
}

func openAt(t testing.TB, path string) *DB {
	t.Helper()
	d, err := Open(t.Context(), Options{Path: path, AuditKey: auditKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// raw opens the file as somebody else would, behind the back of the store.
func raw(t testing.TB, d *DB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+d.path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// journal numbers records as the engine does.
type journal struct {
	*DB
	no int64
}

func (j *journal) commit(t testing.TB, records ...*guard.Record) guard.Committed {
	t.Helper()
	for _, r := range records {
		j.no++
		r.No = j.no
	}
	c, err := j.Commit(context.Background(), records)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// event is a failed sign-in n seconds after the start.
func event(n int, ip, account string) guard.Event {
	at := start.Add(time.Duration(n) * time.Second)
	a := netip.MustParseAddr(ip)
	return guard.Event{
		Event: warder.Event{
			ID: fmt.Sprintf("e%06d", n), Name: "USER_LOGIN_FAILURE", Time: at, IP: a, Account: account, Realm: "user",
			Method: "POST", Path: "/login", Reason: warder.WrongPassword, UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
		},
		Seq: at.UnixMicro(), Arrival: at, App: "app1", AccountKey: warder.AccountKey("user", account),
		Address: warder.AddressKey(a), Severity: warder.High, Why: warder.OK, Eligible: true,
		Digest: []byte("0123456789abcdef0123456789abcdef"),
		Answer: []byte(`{"action":"allow","reason":"ok","expires_at":null,"retry_after":null,"challenge_url":null,"observe":false,"would":null}`),
	}
}

// signIn is a completed sign-in.
func signIn(n int, ip, account string) guard.Event {
	e := event(n, ip, account)
	e.Name, e.Reason, e.Severity, e.Completed = "USER_LOGIN_SUCCESS", "", warder.Info, true
	return e
}

func events(list ...guard.Event) *guard.Record { return &guard.Record{Events: list} }

func count(t testing.TB, d *DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := d.readDB.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
