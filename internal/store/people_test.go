package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

func TestKeys(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		audit := guard.Audit{Time: start, Actor: "cli:0", Action: "key.create"}
		k := Key{
			ID: "k1", Name: "shop", Hash: [32]byte{1, 2}, Scopes: []string{"events", "check"}, Can: []string{"mfa"},
			Prefixes: []netip.Prefix{prefix("10.0.0.0/8")}, Created: start,
		}
		if err := d.CreateKey(t.Context(), k, audit); err != nil {
			t.Fatal(err)
		}
		got, err := d.KeyByHash(t.Context(), k.Hash)
		if diff := cmp.Diff(&k, got, same); diff != "" || err != nil {
			t.Error(diff, err)
		}
		twin := k
		twin.ID, twin.Hash = "k2", [32]byte{9}
		if err := d.CreateKey(t.Context(), twin, audit); !errors.Is(err, ErrConflict) {
			t.Errorf("same name: %v", err)
		}
		if err := d.TouchKey(t.Context(), "k1", start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := d.TouchKey(t.Context(), "k1", start); err != nil {
			t.Fatal(err)
		}
		if err := d.RevokeKey(t.Context(), "shop", start, audit); err != nil {
			t.Fatal(err)
		}
		if err := d.RevokeKey(t.Context(), "k1", start, audit); !errors.Is(err, ErrNotFound) {
			t.Errorf("revoked twice: %v", err)
		}
		if _, err := d.KeyByHash(t.Context(), k.Hash); !errors.Is(err, ErrNotFound) {
			t.Errorf("a revoked key is found: %v", err)
		}
		if err := d.CreateKey(t.Context(), twin, audit); err != nil {
			t.Errorf("the name is free again: %v", err)
		}
		all, err := d.Keys(t.Context())
		if err != nil || len(all) != 2 || !all[0].LastUsed.Equal(start.Add(time.Hour)) || all[0].RevokedAt.IsZero() {
			t.Error(all, err)
		}
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK || r.Rows != 3 {
			t.Error(r, err)
		}
	})
}

func TestOperators(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		by := operator.Change{Actor: "cli:0", Action: "operator.create", At: start}
		o := operator.Operator{ID: "o1", Email: "a@example.org", Role: operator.Owner, Created: start, Hash: "$argon2id$secret"}
		if err := d.CreateOperator(t.Context(), o, by); err != nil {
			t.Fatal(err)
		}
		twin := o
		twin.ID = "o2"
		if err := d.CreateOperator(t.Context(), twin, by); !errors.Is(err, operator.ErrExists) {
			t.Errorf("same address: %v", err)
		}
		edit := func(id string, f func(*operator.Operator)) error {
			_, err := d.EditOperator(t.Context(), id, operator.OperatorEdit{Change: func(o *operator.Operator) error { f(o); return nil }}, by)
			return err
		}
		disable := func(o *operator.Operator) { o.DisabledAt = start }
		for what, f := range map[string]func(*operator.Operator){
			"switched off": disable, "demoted": func(o *operator.Operator) { o.Role = operator.Viewer },
			"ended": func(o *operator.Operator) { o.ExpiresAt = start },
		} {
			if err := edit("o1", f); !errors.Is(err, operator.ErrLastOwner) {
				t.Errorf("last owner %s: %v", what, err)
			}
		}
		twin.Email = "b@example.org"
		if err := d.CreateOperator(t.Context(), twin, by); err != nil {
			t.Fatal(err)
		}
		if err := edit("o1", disable); err != nil {
			t.Errorf("one of two: %v", err)
		}
		if err := edit("o1", disable); err != nil {
			t.Errorf("once more: %v", err)
		}
		if err := edit("none", disable); !errors.Is(err, operator.ErrNotFound) {
			t.Error(err)
		}
		all, err := d.Operators(t.Context())
		if err != nil || len(all) != 2 || all[0].Active(start) || !all[1].Active(start) || all[1].Hash != o.Hash {
			t.Error(all, err)
		}
		if err := d.CreateFirstOwner(t.Context(), operator.Operator{ID: "o9", Email: "z@example.org", Role: operator.Owner}, by); !errors.Is(err, operator.ErrSetUp) {
			t.Error(err)
		}
		l, err := d.ListAudit(t.Context(), AuditFilter{}, Page{})
		if err != nil || len(l.Items) != 3 {
			t.Fatal(l, err)
		}
		for _, r := range l.Items {
			if bytes.Contains(append(r.Before, r.After...), []byte("argon2id")) {
				t.Error("the audit trail holds a password hash")
			}
		}
	})
}

// TestNotesAreBounded: on one thing, so that nobody fills the disk.
func TestNotesAreBounded(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		audit := guard.Audit{Time: start, Actor: "operator:x", Action: "note.create"}
		if err := d.write(t.Context(), func(tx *tx) error {
			for i := range MaxNotesOn {
				if err := tx.exec("INSERT INTO notes (id, topic, text, made_by, time) VALUES ($1, 'ip:192.0.2.1', 't', 'x', 0)", strconv.Itoa(i)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := d.AddNote(t.Context(), Note{ID: "more", On: "ip:192.0.2.1", Text: "t", By: "x", Time: start}, audit); !errors.Is(err, ErrFull) {
			t.Errorf("one more: %v", err)
		}
		if err := d.AddNote(t.Context(), Note{ID: "other", On: "ip:192.0.2.2", Text: "t", By: "x", Time: start}, audit); err != nil {
			t.Error(err)
		}
	})
}

// TestSpendOnce: SEMANTICS 39, a token is spent once, however many try.
func TestSpendOnce(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		var spent atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				switch err := d.Spend(t.Context(), "token", start.Add(time.Hour)); {
				case err == nil:
					spent.Add(1)
				case !errors.Is(err, ErrSpent):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if spent.Load() != 1 {
			t.Errorf("spent %d times", spent.Load())
		}
	})
}

func TestRepeats(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		r := Repeat{Actor: "key:a", Key: "k", Digest: []byte{1}, Status: 201, Body: []byte("{}"), At: start}
		if err := d.Remember(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := d.Remember(t.Context(), r); !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
		got, err := d.Repeated(t.Context(), "key:a", "k", start)
		if diff := cmp.Diff(&r, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		for _, who := range []string{"key:b", "k"} {
			if _, err := d.Repeated(t.Context(), who, "k", start); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		}
		if _, err := d.Repeated(t.Context(), "key:a", "k", start.Add(time.Second)); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		r.At, r.Body = start.Add(25*time.Hour), nil
		if err := d.Remember(t.Context(), r); err != nil {
			t.Errorf("after a day: %v", err)
		}
	})
}

func TestDesk(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		audit := guard.Audit{Time: start, Actor: "operator:x", Action: "x"}
		for i, on := range []string{"ip:192.0.2.1", "ip:192.0.2.1", "account:a"} {
			n := Note{ID: string(rune('a' + i)), On: on, Text: "t", By: "operator:x", Time: start}
			if err := d.AddNote(t.Context(), n, audit); err != nil {
				t.Fatal(err)
			}
		}
		l, err := d.Notes(t.Context(), "ip:192.0.2.1", Page{Limit: 1})
		if err != nil || len(l.Items) != 1 || l.Items[0].ID != "b" || l.Next == "" {
			t.Fatal(l, err)
		}
		if l, err = d.Notes(t.Context(), "ip:192.0.2.1", Page{Limit: 1, Cursor: l.Next}); err != nil || l.Items[0].ID != "a" || l.Next != "" {
			t.Fatal(l, err)
		}
		if err := d.DeleteNote(t.Context(), "a", audit); err != nil {
			t.Fatal(err)
		}
		if err := d.DeleteNote(t.Context(), "a", audit); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		v := View{ID: "v", Name: "mine", List: "events", Query: "severity=high", By: "operator:x", Created: start}
		if err := d.SaveView(t.Context(), v, audit); err != nil {
			t.Fatal(err)
		}
		v.Name = "ours"
		if err := d.SaveView(t.Context(), v, audit); err != nil {
			t.Fatal(err)
		}
		views, err := d.Views(t.Context())
		if diff := cmp.Diff([]View{v}, views); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if err := d.DeleteView(t.Context(), "v", audit); err != nil {
			t.Error(err)
		}
		if _, err := d.Setting(t.Context(), "alerts"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		for _, value := range []string{`{"a":1}`, `[]`} {
			if err := d.PutSetting(t.Context(), "alerts", json.RawMessage(value), audit); err != nil {
				t.Fatal(err)
			}
			if got, err := d.Setting(t.Context(), "alerts"); err != nil || string(got) != value {
				t.Error(string(got), err)
			}
		}
		for _, state := range [][]byte{{1}, {2}, nil} {
			if err := d.SaveMailState(t.Context(), "a@b", state); err != nil {
				t.Fatal(err)
			}
			if got, err := d.MailStates(t.Context()); err != nil || !bytes.Equal(got["a@b"], state) {
				t.Error(got, err)
			}
		}
		if err := d.SaveMailState(t.Context(), "a@b", make([]byte, MaxMailState+1)); err == nil {
			t.Error("a large state was accepted")
		}
		j := &journal{DB: d}
		for i := range 3 {
			j.commit(t, &guard.Record{Policy: &guard.Revision{N: int64(i + 1), Time: start, By: "x", Document: []byte{byte('a' + i)}}})
		}
		revs, err := d.PolicyRevisions(t.Context(), Page{Limit: 2})
		if err != nil || len(revs.Items) != 2 || revs.Items[0].N != 3 || revs.Next == "" || revs.Items[0].Document != nil {
			t.Error(revs, err)
		}
		if r, err := d.PolicyRevision(t.Context(), 0); err != nil || string(r.Document) != "c" {
			t.Error(r, err)
		}
		if r, err := d.PolicyRevision(t.Context(), 1); err != nil || string(r.Document) != "a" {
			t.Error(r, err)
		}
		if _, err := d.PolicyRevision(t.Context(), 9); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK {
			t.Error(r, err)
		}
	})
}
