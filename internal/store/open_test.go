package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// TestOpenErrors: one clear line that names the file and what to do.
func TestOpenErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, path string) string
		want    error
		says    string
	}{
		{"newer", func(t *testing.T, path string) string {
			d := openAt(t, path)
			if _, err := raw(t, d).Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
				t.Fatal(err)
			}
			_ = d.Close()
			return path
		}, ErrNewer, "start the program that wrote it or a later one"},
		{"no database", func(t *testing.T, path string) string {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, ErrCorrupt, "restore a backup"},
		{"no directory", func(t *testing.T, path string) string {
			return filepath.Join(filepath.Dir(path), "none", "warder.db")
		}, ErrNotWritable, "does not exist"},
		{"a directory", func(t *testing.T, path string) string { return filepath.Dir(path) }, ErrNotWritable, "check"},
		{"a file as directory", func(t *testing.T, path string) string {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(path, "warder.db")
		}, ErrNotWritable, "not a directory"},
		{"locked", func(t *testing.T, path string) string {
			d := openAt(t, path)
			conn, err := raw(t, d).Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
				t.Fatal(err)
			}
			return path
		}, ErrLocked, "stop the other program"},
		{"damaged", func(t *testing.T, path string) string {
			d := openAt(t, path)
			j := &journal{DB: d}
			for i := range 200 {
				j.commit(t, events(event(i, "192.0.2.1", "a")))
			}
			_ = d.Close()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := len(data) / 2; i < len(data)/2+20_000 && i < len(data); i++ {
				data[i] ^= 0x5a
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, ErrCorrupt, "restore a backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.prepare(t, filepath.Join(t.TempDir(), "warder.db"))
			d, err := Open(t.Context(), Options{Path: path, AuditKey: auditKey, QuickCheck: true, BusyTimeout: 50 * time.Millisecond})
			if err == nil {
				_ = d.Close()
			}
			if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), path) || !strings.Contains(fmt.Sprint(err), tt.says) ||
				strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "x"), AuditKey: []byte("short")}); err == nil {
		t.Error("a short key was accepted")
	}
}

func TestOpenSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name ?#%.db")
	d := openAt(t, path)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "1", "foreign_keys": "1", "auto_vacuum": "2",
	} {
		var got string
		if err := d.w.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %s, %v", pragma, got, err)
		}
	}
	if _, err := d.readDB.Exec("DELETE FROM meta"); err == nil {
		t.Error("a reading connection can write")
	}
	if v, err := d.SchemaVersion(t.Context()); err != nil || v < 1 {
		t.Error(v, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := d.Commit(t.Context(), []*guard.Record{{No: 1}}); !errors.Is(err, errClosed) {
		t.Errorf("after close: %v", err)
	}
	if err := d.Ping(context.Background()); err == nil {
		t.Error("ping after close")
	}
	openAt(t, path)
	if !olderVersion("3.51.2", minSQLite) || olderVersion("3.51.3", minSQLite) || olderVersion("3.54.1", minSQLite) || !olderVersion("3.9", minSQLite) {
		t.Error("versions are compared wrongly")
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, filepath.Join(dir, "warder.db"))
	j := &journal{DB: d}
	j.commit(t, everything())
	to := filepath.Join(dir, "it's a backup.db")
	if err := d.Backup(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := d.Backup(t.Context(), to); err == nil {
		t.Error("an existing file was written over")
	}
	if err := d.IntegrityCheck(t.Context()); err != nil {
		t.Error(err)
	}
	j.commit(t, events(event(100, "192.0.2.1", "later")))
	b := openAt(t, to)
	if n := count(t, b, "SELECT count(*) FROM events"); n != 2 {
		t.Errorf("%d events in the backup", n)
	}
	if r, err := b.VerifyAudit(t.Context()); err != nil || !r.OK {
		t.Error(r, err)
	}
	if n, err := d.Size(t.Context()); err != nil || n < 4096 {
		t.Error(n, err)
	}
}

// TestRetention: by age and by size; what is younger stays.
func TestRetention(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		var list []guard.Event
		for i := range 1000 {
			list = append(list, event(i*3600, fmt.Sprintf("192.0.2.%d", i/24), fmt.Sprint("a", i/24)))
		}
		r := everything()
		r.Events, r.Clears = append(list, signIn(1, "192.0.2.1", "x")), nil
		r.Blocks[0].Members = nil
		j.commit(t, r)
		if err := d.Remember(t.Context(), Repeat{Actor: "a", Key: "k", At: start}); err != nil {
			t.Fatal(err)
		}
		if err := d.Spend(t.Context(), "c", start); err != nil {
			t.Fatal(err)
		}
		now := start.Add(1000 * time.Hour)
		done, err := d.Retain(t.Context(), now, Retention{EventsDays: 10})
		if err != nil {
			t.Fatal(err)
		}
		if done.Events != 761 {
			t.Errorf("%+v", done)
		}
		for query, want := range map[string]int{
			"SELECT count(*) FROM events":                         240,
			"SELECT coalesce(min(time), 0) FROM events":           int(micros(now.Add(-240 * time.Hour))),
			"SELECT sum(n) FROM rollups":                          240,
			"SELECT count(*) FROM addresses WHERE fraudulent = 0": 11,
			"SELECT count(*) FROM addresses WHERE fraudulent = 1": 1,
			"SELECT count(*) FROM accounts":                       11,
			"SELECT count(*) FROM blocks":                         1,
			"SELECT count(*) FROM refusals":                       0,
			"SELECT count(*) FROM known":                          1,
			"SELECT count(*) FROM sessions":                       0,
			"SELECT count(*) FROM good":                           0,
			"SELECT count(*) FROM repeats":                        0,
			"SELECT count(*) FROM spends":                         0,
			"SELECT count(*) FROM alerts":                         0,
			"SELECT count(*) FROM demands":                        0,
			"SELECT count(*) FROM revisions":                      1,
			"SELECT count(*) FROM audit":                          1,
		} {
			if n := count(t, d, query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
		used, err := d.used(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newest := count(t, d, "SELECT max(seq) FROM events")
		done, err = d.Retain(t.Context(), now, Retention{MaxSize: used - 20_000})
		if err != nil || done.Events == 0 {
			t.Errorf("%+v, %v", done, err)
		}
		if n := count(t, d, "SELECT coalesce(max(seq), 0) FROM events"); n != newest && n != 0 {
			t.Errorf("newer events went before older ones")
		}
		// A second run finds nothing.
		if done, err = d.Retain(t.Context(), now, Retention{EventsDays: 10}); err != nil || done != (Retained{}) {
			t.Errorf("%+v, %v", done, err)
		}
	})
}

// TestRetentionBySize: whatever strangers make Warder write down, the size holds:
// what is known of addresses and accounts goes with the events of its time, and
// so do Blocks that are over or were only observed. What stands, what people
// marked or did, and what happened last stay.
func TestRetentionBySize(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		const n = 6_000
		for part := range 12 {
			r := &guard.Record{}
			for i := part * n / 12; i < (part+1)*n/12; i++ {
				ip := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
				e := event(i, ip.String(), fmt.Sprintf("account number %d", i))
				r.Events = append(r.Events, e)
				if i%4 == 0 {
					b := &guard.Block{
						ID: fmt.Sprintf("%016d", i), Subject: warder.Subject{IP: e.Address}, Origin: guard.FromRule, From: e.Time,
						Evidence: []guard.Evidence{{UserAgent: strings.Repeat("x", 2000)}},
					}
					switch i % 12 {
					case 0:
						b.Observed = true
					case 4:
						b.Until = e.Time.Add(time.Second)
					}
					r.Blocks = append(r.Blocks, b)
				}
			}
			r.Audit = append(r.Audit, guard.Audit{Time: start, Actor: "operator:ann@example.org", Action: "policy.set"})
			j.commit(t, r)
		}
		j.commit(t, &guard.Record{Marks: []guard.Mark{{Address: netip.MustParsePrefix("198.18.0.1/32"), Fraudulent: true, At: start}}})
		used, err := d.used(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		live := count(t, d, "SELECT count(*) FROM blocks WHERE observed = 0 AND until_at = 0")
		now := start.Add(n * time.Second)
		if _, err := d.Retain(t.Context(), now, Retention{MaxSize: used / 2}); err != nil {
			t.Fatal(err)
		}
		after, err := d.used(t.Context())
		if err != nil || after > used/2 {
			t.Errorf("%d bytes are used, want %d at most, %v", after, used/2, err)
		}
		for query, want := range map[string]int{
			"SELECT count(*) FROM events WHERE seq = (SELECT max(seq) FROM events)":             1,
			"SELECT count(*) FROM addresses WHERE fraudulent = 1":                               1,
			"SELECT count(*) FROM blocks WHERE observed = 0 AND until_at = 0":                   live,
			"SELECT count(*) FROM accounts WHERE account_key = 'account number 5999'":           1,
			"SELECT count(*) FROM accounts WHERE account_key = 'account number 0'":              0,
			"SELECT count(*) FROM blocks WHERE id = '0000000000000000'":                         0,
			"SELECT count(*) FROM block_evidence WHERE block_id NOT IN (SELECT id FROM blocks)": 0,
		} {
			if n := count(t, d, query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK || r.Rows != 12 {
			t.Error(r, err)
		}
	})
}

// TestAlertNumbersAreNotReused: the sender of mails goes on after the last
// number it saw, also when retention deleted all alerts.
func TestAlertNumbersAreNotReused(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		for i, id := range []string{"a", "b"} {
			if err := d.AddAlert(t.Context(), &guard.Alert{ID: id, Time: start}); err != nil {
				t.Fatal(err)
			}
			q, err := d.AlertsAfter(t.Context(), int64(i), 10)
			if err != nil || len(q) != 1 || q[0].Seq != int64(i+1) || q[0].Alert.ID != id {
				t.Fatal(q, err)
			}
			if _, err := d.Retain(t.Context(), start.Add(1000*day), Retention{EventsDays: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.AddAlert(t.Context(), &guard.Alert{ID: "c", Time: start}); err != nil {
			t.Fatal(err)
		}
		if err := d.AddAlert(t.Context(), &guard.Alert{ID: "c", Time: start}); !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
		if a, err := d.Alert(t.Context(), "c"); err != nil || a.ID != "c" {
			t.Error(a, err)
		}
		if _, err := d.Alert(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		l, err := d.ListAlerts(t.Context(), Page{})
		if err != nil || len(l.Items) != 1 {
			t.Error(l, err)
		}
	})
}
