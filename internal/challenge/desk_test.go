package challenge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/outbound"
)

// captcha is a service of this machine that speaks siteverify.
type captcha struct {
	*httptest.Server
	mu    sync.Mutex
	asked []url.Values
	say   func(form url.Values) (status int, body string)
}

func newCaptcha(t *testing.T) *captcha {
	t.Helper()
	c := &captcha{}
	seen := map[string]bool{}
	c.say = func(form url.Values) (int, string) {
		answer := map[string]any{"success": false}
		switch token := form.Get("response"); {
		case form.Get("secret") != "the secret":
			answer["error-codes"] = []string{"invalid-input-secret"}
		case !strings.HasPrefix(token, "good"):
			answer["error-codes"] = []string{"invalid-input-response"}
		case seen[token]:
			answer["error-codes"] = []string{"timeout-or-duplicate"}
		default:
			seen[token] = true
			answer["success"], answer["hostname"] = true, "www.example.org"
		}
		b, _ := json.Marshal(answer)
		return 200, string(b)
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		c.mu.Lock()
		c.asked = append(c.asked, r.PostForm)
		status, body := c.say(r.PostForm)
		c.mu.Unlock()
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *captcha) answers(f func(form url.Values) (int, string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.say = f
}

// desk is a desk with the service, and what it says of its health.
func desk(t *testing.T, name, server string, change func(*DeskOptions)) (*Desk, *atomic.Bool) {
	t.Helper()
	i, l := issuer(t, nil)
	service, err := NewService(name, "the site key", server)
	if err != nil {
		t.Fatal(err)
	}
	client, err := outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	o := DeskOptions{
		Issuer: i, Service: service, Spender: l, OnHealth: func(bad bool, _ error) { down.Store(bad) },
		Verify: &SiteVerify{Service: service, Secret: "the secret", Client: client, Timeout: 2 * time.Second},
	}
	if change != nil {
		change(&o)
	}
	d, err := NewDesk(o)
	if err != nil {
		t.Fatal(err)
	}
	return d, &down
}

var visitor = netip.MustParseAddr("203.0.113.9")

func code(err error) Code {
	c, _ := errors.AsType[Code](err)
	return c
}

// TestServices: tokens of each service are checked by siteverify and spent once.
func TestServices(t *testing.T) {
	for _, name := range Services() {
		t.Run(name, func(t *testing.T) {
			c := newCaptcha(t)
			d, down := desk(t, name, c.URL, nil)
			p, err := d.Pose(begin, alice)
			if err != nil || p.Provider != name || p.SiteKey != "the site key" || p.Challenge != "" {
				t.Fatalf("posed %+v, %v", p, err)
			}
			if !strings.HasPrefix(d.Service().Script, c.URL+"/") || d.Service().Global == "" || d.Service().Sources["script-src"] != c.URL {
				t.Errorf("service %+v", d.Service())
			}
			if err := d.Redeem(t.Context(), begin, "good 1", alice, visitor); err != nil {
				t.Fatal(err)
			}
			if got := c.asked[0]; got.Get("remoteip") != "203.0.113.9" || got.Get("response") != "good 1" || got.Get("secret") != "the secret" {
				t.Errorf("asked %v", got)
			}
			for token, want := range map[string]Code{
				"good 1": ErrExpired, "bad": ErrInvalid, "": ErrInvalid, strings.Repeat("a", MaxServiceToken+1): ErrInvalid, "w1.8.1": ErrInvalid,
			} {
				if err := d.Redeem(t.Context(), begin, token, alice, visitor); code(err) != want {
					t.Errorf("%.20q: %v", token, err)
				}
			}
			// A service that forgets what was spent: Warder does not.
			c.answers(func(url.Values) (int, string) { return 200, `{"success":true}` })
			var won atomic.Int64
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if d.Redeem(t.Context(), begin, "twice", alice, visitor) == nil {
						won.Add(1)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 || down.Load() {
				t.Errorf("%d of 10 won, down %v", won.Load(), down.Load())
			}
		})
	}
}

// TestServiceFails: when the service does not answer or makes no sense, the
// embedded proof of work takes its place, until it answers again.
func TestServiceFails(t *testing.T) {
	for name, say := range map[string]func(url.Values) (int, string){
		"error":        func(url.Values) (int, string) { return 502, "Bad Gateway" },
		"page":         func(url.Values) (int, string) { return 200, "<html>maintenance</html>" },
		"status":       func(url.Values) (int, string) { return 403, `{"success":true}` },
		"wrong secret": func(url.Values) (int, string) { return 200, `{"success":false,"error-codes":["invalid-input-secret"]}` },
		"internal":     func(url.Values) (int, string) { return 200, `{"success":false,"error-codes":["internal-error"]}` },
		"huge": func(url.Values) (int, string) {
			return 200, `{"success":true,"x":"` + strings.Repeat("a", maxVerdict) + `"}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaptcha(t)
			healthy := c.say
			d, down := desk(t, "turnstile", c.URL, nil)
			c.answers(say)
			err := d.Redeem(t.Context(), begin, "good", alice, visitor)
			if !errors.Is(err, ErrService) || !down.Load() {
				t.Fatalf("%v, down %v", err, down.Load())
			}
			p, err := d.Pose(begin, alice)
			if err != nil || p.Provider != Provider {
				t.Fatalf("posed %+v, %v", p, err)
			}
			token, err := Solve(t.Context(), p.Challenge)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Redeem(t.Context(), begin, token, alice, visitor); err != nil {
				t.Errorf("proof of work: %v", err)
			}
			if err := d.Redeem(t.Context(), begin, token, alice, visitor); code(err) != ErrSpent {
				t.Errorf("twice: %v", err)
			}
			// After a minute the service is tried again.
			c.answers(healthy)
			later := begin.Add(outage)
			if p, _ := d.Pose(later, alice); p.Provider != "turnstile" {
				t.Errorf("after a minute: %+v", p)
			}
			if err := d.Redeem(t.Context(), later, "good 2", alice, visitor); err != nil || down.Load() {
				t.Errorf("again: %v, down %v", err, down.Load())
			}
		})
	}
}

// TestServiceUnreachable: a service that is gone is found out by Warder itself,
// since a browser can say what it likes.
func TestServiceUnreachable(t *testing.T) {
	c := newCaptcha(t)
	d, down := desk(t, "hcaptcha", c.URL, nil)
	if _, ok, err := d.Unreachable(t.Context(), begin, alice); ok || err != nil || down.Load() {
		t.Errorf("a browser got round the service: %v %v", ok, err)
	}
	for range 20 {
		_, _, _ = d.Unreachable(t.Context(), begin, alice)
	}
	if len(c.asked) != 1 {
		t.Errorf("the service was asked %d times", len(c.asked))
	}
	// Nor by a token that it takes for a mistake of ours.
	healthy := c.say
	c.answers(func(form url.Values) (int, string) {
		if form.Get("response") == "strange" {
			return 400, `{"success":false,"error-codes":["bad-request"]}`
		}
		return healthy(form)
	})
	now := begin.Add(time.Minute)
	if err := d.Redeem(t.Context(), now, "strange", alice, visitor); code(err) != ErrInvalid || down.Load() {
		t.Errorf("a strange token: %v, down %v", err, down.Load())
	}
	c.Close()
	now = now.Add(time.Minute)
	p, ok, err := d.Unreachable(t.Context(), now, alice)
	if !ok || err != nil || p.Provider != Provider || !down.Load() {
		t.Errorf("gone: %+v %v %v", p, ok, err)
	}
}

// TestServiceIsAskedWithinBounds: nobody makes Warder ask the service without
// end, and nobody keeps others from being checked.
func TestServiceIsAskedWithinBounds(t *testing.T) {
	c := newCaptcha(t)
	d, down := desk(t, "turnstile", c.URL, nil)
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	d.opts.Verify = slow{arrived, release}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(release)
	for range maxOfOne {
		wg.Go(func() { _ = d.Redeem(t.Context(), begin, "a", alice, visitor) })
		<-arrived
	}
	if err := d.Redeem(t.Context(), begin, "a", alice, visitor); !errors.Is(err, ErrBusy) {
		t.Errorf("one more of the same address: %v", err)
	}
	for i := range maxAsking - maxOfOne {
		b := alice
		b.AddressKey = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32)
		wg.Go(func() { _ = d.Redeem(t.Context(), begin, "a", b, visitor) })
		<-arrived
	}
	other := alice
	other.AddressKey = netip.MustParsePrefix("192.0.2.1/32")
	if err := d.Redeem(t.Context(), begin, "a", other, visitor); !errors.Is(err, ErrBusy) || down.Load() {
		t.Errorf("one more of all: %v, down %v", err, down.Load())
	}
}

// slow is a service that takes its time.
type slow struct {
	arrived chan struct{}
	release chan struct{}
}

func (s slow) Verify(context.Context, string, netip.Addr) error {
	s.arrived <- struct{}{}
	<-s.release
	return ErrInvalid
}

func (slow) Probe(context.Context) error { return nil }

// TestServiceFallbackAlways: where the operator allows it, a browser that does
// not reach the service works harder instead.
func TestServiceFallbackAlways(t *testing.T) {
	c := newCaptcha(t)
	d, _ := desk(t, "recaptcha", c.URL, func(o *DeskOptions) {
		o.Hard, _ = New(Options{Secret: secret, Spender: o.Spender, Difficulty: MinDifficulty + 3})
	})
	p, ok, err := d.Unreachable(t.Context(), begin, alice)
	if !ok || err != nil || !strings.HasPrefix(p.Challenge, "w1.11.") {
		t.Fatalf("%+v %v %v", p, ok, err)
	}
	token, err := Solve(context.Background(), p.Challenge)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Redeem(t.Context(), begin, token, alice, visitor); err != nil {
		t.Error(err)
	}
	if p, _ := d.Pose(begin, alice); p.Provider != "recaptcha" {
		t.Errorf("others get %+v", p)
	}
}

func TestServiceFaults(t *testing.T) {
	for _, bad := range [][3]string{{"x", "k", ""}, {"turnstile", "", ""}, {"turnstile", "k", "ftp://x"}, {"turnstile", "k", "http://user:p@x"}} {
		if _, err := NewService(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
