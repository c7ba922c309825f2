package challenge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warderhq/warder"
)

var (
	begin  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	secret = bytes.Repeat([]byte{7}, 32)
	alice  = Binding{AddressKey: warder.AddressKey(netip.MustParseAddr("203.0.113.9")), Realm: "user", Purpose: "login"}
)

// ledger is a Spender in memory. With err set it spends nothing.
type ledger struct {
	mu    sync.Mutex
	spent map[string]time.Time
	err   error
}

func (l *ledger) Spend(_ context.Context, id string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if _, ok := l.spent[id]; ok {
		return fmt.Errorf("insert: %w", ErrSpent)
	}
	if l.spent == nil {
		l.spent = map[string]time.Time{}
	}
	l.spent[id] = until
	return nil
}

func issuer(t testing.TB, change func(*Options)) (*Issuer, *ledger) {
	t.Helper()
	l := &ledger{}
	o := Options{Secret: secret, Spender: l, Difficulty: MinDifficulty}
	if change != nil {
		change(&o)
	}
	i, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return i, l
}

func solved(t testing.TB, i *Issuer, b Binding) (challenge, token string) {
	t.Helper()
	challenge, _, err := i.Issue(begin, b)
	if err != nil {
		t.Fatal(err)
	}
	token, err = Solve(context.Background(), challenge)
	if err != nil {
		t.Fatal(err)
	}
	return challenge, token
}

func TestSolveAndVerify(t *testing.T) {
	for _, difficulty := range []int{0, MinDifficulty, 12} {
		i, l := issuer(t, func(o *Options) { o.Difficulty = difficulty })
		challenge, token := solved(t, i, alice)
		if !strings.HasPrefix(token, challenge+".") || len(token) > MaxToken {
			t.Fatalf("challenge %s, token %s", challenge, token)
		}
		purpose, err := i.Verify(t.Context(), begin, token, alice)
		if err != nil || purpose != "login" {
			t.Fatalf("Verify = %q, %v", purpose, err)
		}
		for _, until := range l.spent {
			if until.Before(begin.Add(DefaultLife)) {
				t.Errorf("forgotten at %s, before it expires", until)
			}
		}
	}
}

func TestVerify(t *testing.T) {
	i, _ := issuer(t, func(o *Options) { o.Life = time.Minute })
	other, _ := issuer(t, func(o *Options) { o.Secret = bytes.Repeat([]byte{8}, 32) })
	unknown := Binding{Realm: "user", Purpose: "login"}
	sameNetwork := alice
	sameNetwork.AddressKey = warder.AddressKey(netip.MustParseAddr("::ffff:203.0.113.9"))
	tests := []struct {
		name   string
		i      *Issuer
		issued Binding
		asked  Binding
		after  time.Duration
		want   error
	}{
		{"good", i, alice, alice, 0, nil},
		{"other spelling of the address", i, alice, sameNetwork, 0, nil},
		{"any purpose", i, alice, Binding{AddressKey: alice.AddressKey, Realm: "user"}, 0, nil},
		{"good to the last", i, alice, alice, time.Minute - time.Second, nil},
		{"expired", i, alice, alice, time.Minute, ErrExpired},
		{"long expired", i, alice, alice, 24 * time.Hour, ErrExpired},
		{"other address", i, alice, Binding{warder.AddressKey(netip.MustParseAddr("203.0.113.10")), "user", "login"}, 0, ErrBinding},
		{"other realm", i, alice, Binding{alice.AddressKey, "admin", "login"}, 0, ErrBinding},
		{"other purpose", i, alice, Binding{alice.AddressKey, "user", "reset"}, 0, ErrBinding},
		{"no purpose, then one", i, Binding{alice.AddressKey, "user", ""}, alice, 0, ErrBinding},
		{"address unknown", i, unknown, unknown, 0, nil},
		{"address unknown, then known", i, unknown, alice, 0, ErrBinding},
		{"other secret", other, alice, alice, 0, ErrInvalid},
		{"strange purpose", i, Binding{alice.AddressKey, "user", "a.b.\x00\xff"}, Binding{alice.AddressKey, "user", "a.b.\x00\xff"}, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, token := solved(t, tt.i, tt.issued)
			purpose, err := i.Verify(t.Context(), begin.Add(tt.after), token, tt.asked)
			if !errors.Is(err, tt.want) || err == nil && purpose != tt.issued.Purpose {
				t.Errorf("Verify = %q, %v, want %v", purpose, err, tt.want)
			}
		})
	}
}

// A wrong answer does not use the challenge up; a right one does, for everybody
// and at once.
func TestSpentOnce(t *testing.T) {
	i, l := issuer(t, nil)
	challenge, token := solved(t, i, alice)
	again, _ := issuer(t, func(o *Options) { o.Spender = l }) // another node, or after a restart

	if _, err := i.Verify(t.Context(), begin, challenge+".nonsense", alice); !errors.Is(err, ErrInvalid) {
		t.Fatalf("unsolved: %v", err)
	}
	if _, err := i.Verify(t.Context(), begin, token, Binding{}); !errors.Is(err, ErrBinding) {
		t.Fatalf("by somebody else: %v", err)
	}
	l.err = errors.New("disk full")
	if _, err := i.Verify(t.Context(), begin, token, alice); !errors.Is(err, l.err) || errors.As(err, new(Code)) {
		t.Fatalf("not durable: %v", err)
	}
	l.err = nil

	var wg sync.WaitGroup
	results := make(chan error, 40)
	for n := range cap(results) {
		wg.Go(func() {
			_, err := []*Issuer{i, again}[n%2].Verify(context.Background(), begin, token, alice)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	accepted := 0
	for err := range results {
		switch {
		case err == nil:
			accepted++
		case err != ErrSpent: // clients see the code itself
			t.Errorf("Verify: %v", err)
		}
	}
	if accepted != 1 {
		t.Errorf("accepted %d times", accepted)
	}
	// A second solution of the same challenge is the same challenge.
	for n := range 1 << 16 {
		if other := fmt.Sprintf("%s.x%d", challenge, n); solves(other, MinDifficulty) {
			if _, err := i.Verify(t.Context(), begin, other, alice); !errors.Is(err, ErrSpent) {
				t.Errorf("another solution: %v", err)
			}
			break
		}
	}
}

// No field can be changed, moved to its neighbour or taken from another
// challenge.
func TestTamperedChallenge(t *testing.T) {
	i, l := issuer(t, nil)
	challenge, _ := solved(t, i, alice)
	second, _ := solved(t, i, Binding{AddressKey: alice.AddressKey, Realm: "admin", Purpose: "lo"})
	mine, theirs := strings.Split(challenge, "."), strings.Split(second, ".")

	var forged []string
	for n := range mine {
		for _, value := range []string{"", theirs[n], mine[n] + "A", "9999999999", "0", "w2", "+" + mine[n], "0" + mine[n], mine[n] + "="} {
			fields := append([]string(nil), mine...)
			if fields[n] != value {
				fields[n] = value
				forged = append(forged, strings.Join(fields, "."))
			}
		}
		forged = append(forged, strings.Join(append(append([]string(nil), mine[:n]...), mine[n+1:]...), "."))
	}
	forged = append(forged, "."+challenge, challenge+".", strings.ToUpper(challenge), challenge+"\n", strings.Repeat(".", 1000), "", ".", "w1......", strings.Repeat("a", 1<<20))
	for _, c := range forged {
		// Solved, as far as that is possible: only the signature is left to refuse it.
		token := c
		for n := range 1 << 14 {
			if token = fmt.Sprintf("%s.%d", c, n); solves(token, MinDifficulty) || len(c) > MaxToken {
				break
			}
		}
		if token == challenge || strings.HasPrefix(token, challenge+".") && strings.Count(token, ".") == 7 {
			continue
		}
		if _, err := i.Verify(t.Context(), begin, token, alice); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.200q: %v", token, err)
		}
	}
	if len(l.spent) != 0 {
		t.Errorf("spent %v", l.spent)
	}
}

func TestOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"short secret":  func(o *Options) { o.Secret = secret[:31] },
		"no spender":    func(o *Options) { o.Spender = nil },
		"too easy":      func(o *Options) { o.Difficulty = MinDifficulty - 1 },
		"too hard":      func(o *Options) { o.Difficulty = MaxDifficulty + 1 },
		"negative life": func(o *Options) { o.Life = -1 },
		"endless life":  func(o *Options) { o.Life = MaxLife + 1 },
	} {
		o := Options{Secret: secret, Spender: &ledger{}}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	i, _ := issuer(t, nil)
	if _, _, err := i.Issue(begin, Binding{Purpose: strings.Repeat("p", MaxPurpose+1)}); err == nil {
		t.Error("a long purpose is accepted")
	}
	if c, life, err := i.Issue(begin, Binding{Purpose: strings.Repeat("\xff", MaxPurpose)}); err != nil || life != DefaultLife || len(c)+21 > MaxToken {
		t.Errorf("challenge of %d bytes for %s, %v", len(c), life, err)
	}
}

func TestSolveGivesUp(t *testing.T) {
	i, _ := issuer(t, func(o *Options) { o.Difficulty = MaxDifficulty })
	challenge, _, err := i.Issue(begin, alice)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Solve(ctx, challenge); !errors.Is(err, context.Canceled) {
		t.Errorf("Solve: %v", err)
	}
	for _, c := range []string{"", "x", "w1.64.1.a.b.c.d", strings.Repeat(".", 6), strings.Repeat("a", 1<<20)} {
		if _, err := Solve(t.Context(), c); !errors.Is(err, ErrInvalid) {
			t.Errorf("Solve(%.40q): %v", c, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	i, l := issuer(f, nil)
	// The same in every process.
	text := parts{
		difficulty: MinDifficulty, expires: begin.Add(DefaultLife).Unix(), id: strings.Repeat("A", 22),
		purpose: alice.Purpose, binding: i.bind(alice),
	}.String()
	challenge := text + "." + i.sign(text)
	good, err := Solve(f.Context(), challenge)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, "203.0.113.9", "user", "login", int64(0))
	f.Add(good[:len(good)-1], "2001:db8::1", "", "", int64(time.Hour))
	f.Add("w1.8.1.AAAAAAAAAAAAAAAAAAAAAA..AAAAAAAAAAAAAAAAAAAAAA.AA.0", "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, token, addr, realm, purpose string, after int64) {
		clear(l.spent)
		a, _ := netip.ParseAddr(addr)
		b := Binding{AddressKey: warder.AddressKey(a), Realm: realm, Purpose: purpose}
		issued, err := i.Verify(t.Context(), begin.Add(time.Duration(after)), token, b)
		code := Code("")
		switch {
		case err == nil:
			// Only what was issued is accepted, for whom it was issued and in time.
			if !strings.HasPrefix(token, challenge+".") || issued != "login" ||
				b.AddressKey != alice.AddressKey || realm != "user" || time.Duration(after) >= DefaultLife || len(l.spent) != 1 {
				t.Errorf("accepted %q for %+v", token, b)
			}
		case !errors.As(err, &code):
			t.Errorf("%q: %v is no Code", token, err)
		case len(l.spent) != 0:
			t.Errorf("%q: refused as %s and spent", token, code)
		}
		if p, err := parse(token); err == nil && p.String() != token {
			t.Errorf("%q is another spelling of %q", token, p)
		}
		if len(purpose) > MaxPurpose {
			return
		}
		// Whatever it is bound to, a challenge can be read, and only for that.
		c, _, err := i.Issue(begin, b)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := cutLast(c)
		if p, err := parse(text); err != nil || p.purpose != purpose || p.binding != i.bind(b) {
			t.Errorf("issued %q: %+v, %v", c, p, err)
		}
	})
}

func BenchmarkVerifyRefused(b *testing.B) {
	i, _ := issuer(b, nil)
	challenge, _ := solved(b, i, alice)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Verify(b.Context(), begin, challenge+".nonsense", alice); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkSolve(b *testing.B) {
	i, _ := issuer(b, func(o *Options) { o.Difficulty = DefaultDifficulty })
	for b.Loop() {
		solved(b, i, alice)
	}
}
