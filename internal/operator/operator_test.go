package operator

import (
	"context"
	"errors"
	"strings"
	"testing"
)

var cheap = Cost{Memory: 64, Passes: 1, Threads: 1}

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
