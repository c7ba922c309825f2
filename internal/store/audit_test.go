package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// trail makes a database with n audit rows and closes it.
func trail(t testing.TB, path string, n int) {
	t.Helper()
	d := openAt(t, path)
	j := &journal{DB: d}
	r := &guard.Record{}
	for i := range n {
		r.Audit = append(r.Audit, guard.Audit{
			Time: start.Add(time.Duration(i) * time.Hour), Actor: "operator:a@example.org", Action: "block.create",
			Target: fmt.Sprintf("b%d", i+1), Reason: "because", From: "192.0.2.1", After: json.RawMessage(`{"a":1}`),
		})
	}
	j.commit(t, r)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAuditNamesWhatWasTamperedWith: whoever can write the files but has no key
// is found out, and the first bad row is named.
func TestAuditNamesWhatWasTamperedWith(t *testing.T) {
	if testing.Short() {
		t.Skip("one call after the other, and long")
	}
	for _, tt := range []struct {
		name  string
		sql   string
		bad   int64
		fault string
	}{
		{"nothing", "", 0, ""},
		{"text", "UPDATE audit SET reason = 'Because' WHERE seq = 4", 4, "changed"},
		{"byte of a hash", "UPDATE audit SET hash = zeroblob(32) WHERE seq = 4", 4, "changed"},
		{"time", "UPDATE audit SET time = time + 1 WHERE seq = 1", 1, "changed"},
		{"moved between fields", "UPDATE audit SET target = target || 'b', reason = 'ecause' WHERE seq = 2", 2, "changed"},
		{"JSON removed", "UPDATE audit SET after = NULL WHERE seq = 7", 7, "changed"},
		{"row deleted", "DELETE FROM audit WHERE seq = 5", 5, "rows 5 to 5 are missing"},
		{"rows deleted at the start", "DELETE FROM audit WHERE seq <= 3", 1, "rows 1 to 3 are missing"},
		{"rows swapped", "UPDATE audit SET seq = -1 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = -1", 3, "changed"},
		{"row inserted", "INSERT INTO audit SELECT 11, time, actor, action, target, reason, from_addr, before, after, hash FROM audit WHERE seq = 10", 11, "changed"},
		{"tail cut off", "DELETE FROM audit WHERE seq > 8", 9, "rows 9 to 10"},
		{"all deleted", "DELETE FROM audit", 1, "rows 1 to 10"},
		{"numbers closed up", "DELETE FROM audit WHERE seq = 5; UPDATE audit SET seq = seq - 1 WHERE seq > 5", 5, "changed"},
		{"forged checkpoint", "INSERT INTO audit_checkpoint SELECT 1, seq, hash, 0, zeroblob(32) FROM audit WHERE seq = 4; DELETE FROM audit WHERE seq <= 4", 5, "checkpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "warder.db")
			trail(t, path, 10)
			// While the server runs.
			d := openAt(t, path)
			if _, err := raw(t, d).Exec(tt.sql); err != nil {
				t.Fatal(err)
			}
			check := func(when string) {
				t.Helper()
				r, err := d.VerifyAudit(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if r.OK != (tt.bad == 0) || r.Bad != tt.bad || !strings.Contains(r.Fault, tt.fault) {
					t.Errorf("%s: %+v, want row %d: %s", when, r, tt.bad, tt.fault)
				}
			}
			if tt.name != "tail cut off" && tt.name != "all deleted" {
				check("running")
			} else if r, err := d.VerifyAudit(t.Context()); err != nil || r.OK || r.Bad != tt.bad {
				t.Errorf("running: %+v %v", r, err)
			}
			// After a restart, and with rows written since: nothing covers it up.
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = openAt(t, path)
			if err := d.AppendAudit(t.Context(), guard.Audit{Time: start, Actor: "warder", Action: "later"}); err != nil {
				t.Fatal(err)
			}
			if tt.name == "row inserted" {
				// The row behind the anchor is one that was never written here.
				if r, err := d.VerifyAudit(t.Context()); err != nil || r.OK || r.Bad != 11 {
					t.Errorf("restarted: %+v %v", r, err)
				}
				return
			}
			check("restarted")
		})
	}
}

func TestAuditAnchor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tamper func(path string) error
		action string
	}{
		{"missing", os.Remove, "audit.anchor_missing"},
		{"garbage", func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) }, "audit.anchor_unreadable"},
		{"forged", func(p string) error {
			return os.WriteFile(p, fmt.Appendf(nil, "%020d %064d %064d\n", 2, 0, 0), 0o600)
		}, "audit.anchor_unreadable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "warder.db")
			trail(t, path, 3)
			if err := tt.tamper(path + ".anchor"); err != nil {
				t.Fatal(err)
			}
			d := openAt(t, path)
			l, err := d.ListAudit(t.Context(), AuditFilter{Action: tt.action}, Page{})
			if err != nil || len(l.Items) != 1 || l.Items[0].Seq != 4 {
				t.Fatal(l, err)
			}
			r, err := d.VerifyAudit(t.Context())
			if err != nil || !r.OK || len(r.Doubts) != 1 || !strings.HasPrefix(r.Doubts[0], "row 4, ") {
				t.Fatal(r, err)
			}
		})
	}
	t.Run("behind after a crash", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "warder.db")
		trail(t, path, 3)
		old, err := os.ReadFile(path + ".anchor")
		if err != nil {
			t.Fatal(err)
		}
		d := openAt(t, path)
		if err := d.AppendAudit(t.Context(), guard.Audit{Time: start, Action: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".anchor", old, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = openAt(t, path)
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK || r.Rows != 4 || r.Doubts != nil {
			t.Fatal(r, err)
		}
	})
	t.Run("other key", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "warder.db")
		trail(t, path, 3)
		d, err := Open(t.Context(), Options{Path: path, AuditKey: []byte(strings.Repeat("k", 32))})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		if r, err := d.VerifyAudit(t.Context()); err != nil || r.OK || r.Bad != 1 {
			t.Fatal(r, err)
		}
	})
}

// TestAuditFollowsTransactions: a change that fails leaves no row and no gap.
func TestAuditFollowsTransactions(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		k := Key{ID: "k1", Name: "app", Hash: [32]byte{1}, Created: start}
		for i, want := range []bool{true, false, false, true} {
			if i == 3 {
				k.ID, k.Name, k.Hash = "k2", "app2", [32]byte{2}
			}
			if err := d.CreateKey(t.Context(), k, guard.Audit{Time: start, Action: "key.create"}); (err == nil) != want {
				t.Fatal(i, err)
			}
		}
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK || r.Rows != 2 {
			t.Fatal(r, err)
		}
	})
}

// TestAuditRetention: what is left after deleting old rows verifies, and still
// shows tampering.
func TestAuditRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "warder.db")
	trail(t, path, 240) // one row an hour
	d := openAt(t, path)
	done, err := d.Retain(t.Context(), start.Add(10*24*time.Hour), Retention{EventsDays: 5})
	if err != nil || done.Other != 120 {
		t.Fatal(done, err)
	}
	r, err := d.VerifyAudit(t.Context())
	if err != nil || !r.OK || r.Rows != 120 || r.First != 121 || r.Last != 240 {
		t.Fatal(r, err)
	}
	// Everything is old, yet the last row stays.
	if _, err := d.Retain(t.Context(), start.Add(1000*24*time.Hour), Retention{EventsDays: 5}); err != nil {
		t.Fatal(err)
	}
	if err := d.AppendAudit(t.Context(), guard.Audit{Time: start, Action: "x"}); err != nil {
		t.Fatal(err)
	}
	if r, err = d.VerifyAudit(t.Context()); err != nil || !r.OK || r.Rows != 2 || r.First != 240 {
		t.Fatal(r, err)
	}
	if _, err := raw(t, d).Exec("DELETE FROM audit WHERE seq = 240"); err != nil {
		t.Fatal(err)
	}
	if r, err = d.VerifyAudit(t.Context()); err != nil || r.OK || r.Bad != 240 {
		t.Fatal(r, err)
	}
}

func TestAuditLists(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		for i := range 5 {
			a := guard.Audit{Time: start.Add(time.Duration(i) * time.Minute), Actor: fmt.Sprintf("key:%d", i%2), Action: fmt.Sprintf("a%d", i%3), Target: "t"}
			if err := d.AppendAudit(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			f    AuditFilter
			want []int64
		}{
			{AuditFilter{}, []int64{5, 4, 3, 2, 1}},
			{AuditFilter{Actor: "key:0"}, []int64{5, 3, 1}},
			{AuditFilter{Action: "a1"}, []int64{5, 2}},
			{AuditFilter{Target: "t", From: start.Add(time.Minute), To: start.Add(3 * time.Minute)}, []int64{3, 2}},
			{AuditFilter{Target: "u"}, nil},
		} {
			var got []int64
			p := Page{Limit: 2}
			for {
				l, err := d.ListAudit(t.Context(), tt.f, p)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range l.Items {
					got = append(got, r.Seq)
				}
				if p.Cursor = l.Next; l.Next == "" {
					break
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("%+v: %v, want %v", tt.f, got, tt.want)
			}
			n := 0
			if err := d.EachAudit(t.Context(), tt.f, func(*AuditRow) error { n++; return nil }); err != nil || n != len(tt.want) {
				t.Errorf("%+v: %d rows, %v", tt.f, n, err)
			}
		}
	})
}
