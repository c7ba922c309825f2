package operator_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
)

var cheap = operator.Cost{Memory: 64, Passes: 1, Threads: 1}

// newPeople are operators in a database of their own.
func newPeople(t *testing.T) (*operator.People, *store.DB) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "warder.db"), AuditKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	people, err := operator.New(operator.Options{Store: db, Hasher: operator.NewHasher(cheap, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return people, db
}

func TestPeople(t *testing.T) {
	people, db := newPeople(t)
	by := operator.Change{Actor: "cli:0", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	ctx := t.Context()
	ann, err := people.Create(ctx, " Ann@Example.org ", "owner", "correct horse battery", by)
	if err != nil || ann.Email != "ann@example.org" || ann.Role != operator.Owner {
		t.Fatalf("Create = %+v, %v", ann, err)
	}
	if _, err := people.Create(ctx, "ANN@example.org", "viewer", "another passphrase", by); !errors.Is(err, operator.ErrExists) {
		t.Errorf("second Ann: %v, want ErrExists", err)
	}
	var faults warder.Faults
	if _, err := people.Create(ctx, "nobody", "king", "short", by); !errors.As(err, &faults) || len(faults) != 3 {
		t.Errorf("three faults wanted, got %v", err)
	}
	for _, email := range []string{"vic@example.org", "other@example.org"} {
		if _, err := people.Create(ctx, email, "viewer", "just looking around", by); err != nil {
			t.Fatal(err)
		}
	}
	if to, err := people.Recipients(ctx); err != nil || !slices.Equal(to, []string{"ann@example.org"}) {
		t.Errorf("Recipients = %v, %v", to, err)
	}
	if got, err := people.Authenticate(ctx, "ANN@example.org", "correct horse battery", false); err != nil || got.ID != ann.ID {
		t.Errorf("Authenticate = %+v, %v", got, err)
	}
	for _, wrong := range [][2]string{{"ann@example.org", "wrong"}, {"bob@example.org", "correct horse battery"}, {"", ""}, {ann.ID, "correct horse battery"}, {"ann@example.org", strings.Repeat("x", 1<<20)}} {
		if _, err := people.Authenticate(ctx, wrong[0], wrong[1], false); !errors.Is(err, operator.ErrWrong) {
			t.Errorf("Authenticate(%q): %v, want ErrWrong", wrong[0], err)
		}
	}
	if _, err := people.SetActive(ctx, ann.ID, false, by); !errors.Is(err, operator.ErrLastOwner) {
		t.Errorf("the last owner: %v, want ErrLastOwner", err)
	}
	if o, err := people.SetActive(ctx, "Vic@example.org", false, by); err != nil || o.Active(by.At) {
		t.Errorf("SetActive = %+v, %v", o, err)
	}
	if _, err := people.SetActive(ctx, "vic@example.org", false, by); err != nil {
		t.Error(err)
	}
	if _, err := people.Authenticate(ctx, "vic@example.org", "just looking around", false); !errors.Is(err, operator.ErrWrong) {
		t.Errorf("disabled operator: %v, want ErrWrong", err)
	}
	if _, err := people.SetActive(ctx, "bob@example.org", false, by); !errors.Is(err, operator.ErrNotFound) {
		t.Errorf("unknown operator: %v, want ErrNotFound", err)
	}
	if err := people.SetPassword(ctx, ann.ID, "an even longer passphrase", by); err != nil {
		t.Fatal(err)
	}
	if _, err := people.SetActive(ctx, "vic@example.org", true, by); err != nil {
		t.Fatal(err)
	}
	if _, err := people.Authenticate(ctx, "ann@example.org", "an even longer passphrase", true); err != nil {
		t.Error(err)
	}
	rows, err := db.ListAudit(ctx, store.AuditFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, row := range slices.Backward(rows.Items) {
		did = append(did, row.Action)
	}
	want := []string{"operator.create", "operator.create", "operator.create", "operator.disable", "operator.password", "operator.enable"}
	if !slices.Equal(did, want) {
		t.Errorf("changes %v, want %v", did, want)
	}
}

// between is a store in which something else happens just before an edit.
type between struct {
	operator.Store
	first func()
}

func (b *between) EditOperator(ctx context.Context, id string, e operator.OperatorEdit, by operator.Change) (operator.Operator, error) {
	if f := b.first; f != nil {
		b.first = nil
		f()
	}
	return b.Store.EditOperator(ctx, id, e, by)
}

// TestOwnersDoNotEnd: also where somebody becomes an owner while an end is set.
func TestOwnersDoNotEnd(t *testing.T) {
	_, db := newPeople(t)
	b := &between{Store: db}
	people, err := operator.New(operator.Options{Store: b, Hasher: operator.NewHasher(cheap, 1)})
	if err != nil {
		t.Fatal(err)
	}
	by := operator.Change{Actor: "cli:0", At: noon}
	o, err := people.Create(t.Context(), "ann@example.org", "admin", "correct horse battery", by)
	if err != nil {
		t.Fatal(err)
	}
	b.first = func() {
		role := "owner"
		if _, err := people.Edit(t.Context(), o.ID, operator.Edit{Role: &role}, by); err != nil {
			t.Error(err)
		}
	}
	end := noon.Add(time.Hour)
	if _, err := people.Edit(t.Context(), o.ID, operator.Edit{Expires: &end}, by); !errors.As(err, new(warder.Faults)) {
		t.Errorf("an end for an owner: %v", err)
	}
	if o, err = people.Find(t.Context(), o.ID); err != nil || o.Role != operator.Owner || !o.ExpiresAt.IsZero() {
		t.Errorf("%s ends %s, %v", o.Role, o.ExpiresAt, err)
	}
}
