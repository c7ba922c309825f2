package operator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warderhq/warder"
)

var cheap = Cost{Memory: 64, Passes: 1, Threads: 1}

// shelf keeps operators in memory; the store has the real ones, with the rule
// about the last owner inside its transaction.
type shelf struct {
	mu      sync.Mutex
	all     []Operator
	changes []Change
}

func (s *shelf) Operators(context.Context) ([]Operator, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all), nil
}

func (s *shelf) CreateOperator(_ context.Context, o Operator, by Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.all, func(have Operator) bool { return have.Email == o.Email }) {
		return ErrExists
	}
	s.all, s.changes = append(s.all, o), append(s.changes, by)
	return nil
}

func (s *shelf) UpdateOperator(_ context.Context, o Operator, by Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if s.all[i].ID == o.ID {
			s.all[i], s.changes = o, append(s.changes, by)
			return nil
		}
	}
	return ErrNotFound
}

func TestPeople(t *testing.T) {
	store := &shelf{}
	people := New(store, NewHasher(cheap, 1))
	by := Change{Actor: "cli:0", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	ctx := t.Context()
	ann, err := people.Create(ctx, " Ann@Example.org ", "owner", "correct horse battery", by)
	if err != nil || ann.Email != "ann@example.org" || ann.Role != Owner {
		t.Fatalf("Create = %+v, %v", ann, err)
	}
	if _, err := people.Create(ctx, "ANN@example.org", "viewer", "another passphrase", by); !errors.Is(err, ErrExists) {
		t.Errorf("second Ann: %v, want ErrExists", err)
	}
	var faults warder.Faults
	if _, err := people.Create(ctx, "nobody", "king", "short", by); !errors.As(err, &faults) || len(faults) != 3 {
		t.Errorf("three faults wanted, got %v", err)
	}
	if _, err := people.Create(ctx, "vic@example.org", "viewer", "just looking around", by); err != nil {
		t.Fatal(err)
	}
	if to, err := people.Recipients(ctx); err != nil || !slices.Equal(to, []string{"ann@example.org"}) {
		t.Errorf("Recipients = %v, %v", to, err)
	}
	if got, err := people.Authenticate(ctx, "ANN@example.org", "correct horse battery"); err != nil || got.ID != ann.ID {
		t.Errorf("Authenticate = %+v, %v", got, err)
	}
	for _, wrong := range [][2]string{{"ann@example.org", "wrong"}, {"bob@example.org", "correct horse battery"}, {"", ""}, {"ann@example.org", strings.Repeat("x", 1<<20)}} {
		if _, err := people.Authenticate(ctx, wrong[0], wrong[1]); !errors.Is(err, ErrWrong) {
			t.Errorf("Authenticate(%q): %v, want ErrWrong", wrong[0], err)
		}
	}
	if o, err := people.SetActive(ctx, "Ann@example.org", false, by); err != nil || o.Active() {
		t.Errorf("SetActive = %+v, %v", o, err)
	}
	if _, err := people.SetActive(ctx, ann.ID, false, by); err != nil {
		t.Error(err)
	}
	if _, err := people.Authenticate(ctx, "ann@example.org", "correct horse battery"); !errors.Is(err, ErrWrong) {
		t.Errorf("disabled operator: %v, want ErrWrong", err)
	}
	if to, _ := people.Recipients(ctx); len(to) != 0 {
		t.Errorf("a disabled operator is told of alerts: %v", to)
	}
	if _, err := people.SetActive(ctx, "bob@example.org", false, by); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown operator: %v, want ErrNotFound", err)
	}
	if err := people.SetPassword(ctx, ann.ID, "an even longer passphrase", by); err != nil {
		t.Fatal(err)
	}
	if _, err := people.SetActive(ctx, ann.ID, true, by); err != nil {
		t.Fatal(err)
	}
	if _, err := people.Authenticate(ctx, "ann@example.org", "an even longer passphrase"); err != nil {
		t.Error(err)
	}
	var did []string
	for _, c := range store.changes {
		did = append(did, c.Action)
	}
	want := []string{"operator.create", "operator.create", "operator.disable", "operator.password", "operator.enable"}
	if !slices.Equal(did, want) {
		t.Errorf("changes %v, want %v", did, want)
	}
}

func TestRolesIncludeWeakerOnes(t *testing.T) {
	for i, a := range Roles() {
		for j, b := range Roles() {
			if got, want := a.Includes(b), i <= j; got != want {
				t.Errorf("%s.Includes(%s) = %v", a, b, got)
			}
		}
		if a.Includes("") || Role("").Includes(a) || Role("root").Includes(a) {
			t.Errorf("%s: an unknown role counts", a)
		}
	}
}

func TestPasswordRules(t *testing.T) {
	for password, ok := range map[string]bool{
		"elevenchars":                        false,
		"twelve chars":                       true,
		"пароль длинный":                     true,
		"aaaaaaaaaaaaaaaa":                   false,
		"abcabcabcabcabc":                    false,
		"ann.long@example.org":               false,
		"ANN.long@Example.org":               false,
		"\xff\xfe bad utf8 text":             false,
		strings.Repeat("abcdefgh", 32):       true,
		strings.Repeat("abcdefgh", 32) + "x": false,
	} {
		if err := CheckPassword(password, "ann.long@example.org"); (err == nil) != ok {
			t.Errorf("CheckPassword(%.20q): %v", password, err)
		}
	}
}

func TestHasher(t *testing.T) {
	h := NewHasher(cheap, 1)
	hash, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("Hash = %q, %v", hash, err)
	}
	if again, _ := h.Hash(t.Context(), "correct horse battery"); again == hash {
		t.Error("two hashes share a salt")
	}
	other := NewHasher(DefaultCost, 1) // the parameters of the hash count
	if ok, err := other.Verify(t.Context(), hash, "correct horse battery"); !ok || err != nil {
		t.Errorf("Verify = %v, %v", ok, err)
	}
	if ok, err := other.Verify(t.Context(), hash, "correct horse batterz"); ok || err != nil {
		t.Errorf("Verify of a wrong password = %v, %v", ok, err)
	}
	parts := strings.Split(hash, "$")
	for _, bad := range []string{
		"", "$", strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "v=19", "v=16", 1),
		strings.Replace(hash, "m=64", "m=999999999", 1), strings.Replace(hash, "t=1", "t=0", 1),
		strings.Replace(hash, "p=1", "p=99", 1), strings.Replace(hash, "m=64", "m=064", 1),
		strings.TrimSuffix(hash, parts[5]), hash + "$",
	} {
		if ok, err := h.Verify(t.Context(), bad, "correct horse battery"); ok || err == nil {
			t.Errorf("Verify of hash %q = %v, %v, want an error", bad, ok, err)
		}
	}
}

func TestHashingIsBounded(t *testing.T) {
	h := NewHasher(cheap, 1)
	h.slots <- struct{}{} // somebody is hashing
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Hash while all slots are taken: %v, want context.Canceled", err)
	}
	if _, err := h.Verify(ctx, h.dummy, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify while all slots are taken: %v, want context.Canceled", err)
	}
}

func TestFoldEmail(t *testing.T) {
	for in, want := range map[string]string{
		"ann@example.org":                         "ann@example.org",
		" Ann.B+tag@EXAMPLE.org\n":                "ann.b+tag@example.org",
		"\uff41\uff4e\uff4e@example.org":          "ann@example.org",
		"jürgen@bücher.example":                   "jürgen@bücher.example",
		"":                                        "",
		"ann":                                     "",
		"@example.org":                            "",
		"Ann <ann@example.org>":                   "",
		"ann@example.org, b@c.d":                  "",
		"\"a b\"@example.org":                     "",
		"ann@example.org\r\nBcc: x":               "",
		"\u009b31m@example.org":                   "", // commands a terminal
		"a\u202eb@example.org":                    "", // turns what follows
		"a\u200bb@example.org":                    "",
		"ann@exa\ufeffmple.org":                   "",
		strings.Repeat("a", 250) + "@example.org": "",
	} {
		got, err := FoldEmail(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("FoldEmail(%.40q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzFoldEmail(f *testing.F) {
	for _, s := range []string{"ann@example.org", "Ann <a@b.c>", "ﬀ@x.y", "İ@x.y", "a@[127.0.0.1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		folded, err := FoldEmail(s)
		if err != nil {
			return
		}
		if again, err := FoldEmail(folded); err != nil || again != folded {
			t.Errorf("FoldEmail(%q) = %q, folded again %q, %v", s, folded, again, err)
		}
		if len(folded) > MaxEmail || strings.ContainsAny(folded, "\r\n\x00 ,<>") || strings.ContainsFunc(folded, unprintable) || strings.Count(folded, "@") != 1 {
			t.Errorf("FoldEmail(%q) = %q", s, folded)
		}
	})
}

func FuzzDecodeHash(f *testing.F) {
	h, _ := NewHasher(cheap, 1).Hash(context.Background(), "x")
	f.Add(h)
	f.Add("$argon2id$v=19$m=64,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		c, salt, key, err := decode(s)
		if err == nil && (encode(c, salt, key) != s || c.Memory > maxMemory || c.Passes > maxPasses || len(key) < 16) {
			t.Errorf("decode(%q) = %+v", s, c)
		}
	})
}
