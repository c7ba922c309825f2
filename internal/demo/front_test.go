package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// seen is what a gate saw of the last request.
type seen struct {
	mu     sync.Mutex
	header http.Header
	host   string
}

// newFront is a front before a gate that notes what it is asked.
func newFront(t *testing.T) (*Front, *seen) {
	t.Helper()
	s := &seen{}
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.header, s.host = r.Header.Clone(), r.Host
		http.SetCookie(w, &http.Cookie{Name: SessionCookie, Value: "of-" + r.Header.Get("X-Forwarded-For"), Path: "/", HttpOnly: true})
	}))
	t.Cleanup(gate.Close)
	p, err := NewPlatform(PlatformOptions{Cost: bcrypt.MinCost})
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFront(FrontOptions{Platform: p, Accounts: newPopulation().visitors})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(gate.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- f.Serve(ctx, Behind{
			Gate: u, Dashboard: "http://localhost:8420", Unblock: "warder unblock 203.0.113.66",
			Check: func(_ context.Context, ip netip.Addr) (bool, string, error) {
				return ip == f.places[0].Addr, "7K3M-22QP", nil
			},
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f, s
}

// Whatever a visitor claims, the gate hears of the place; the cookies of one
// place are not those of another.
func TestFrontKeepsPlacesApart(t *testing.T) {
	f, s := newFront(t)
	c := browser()
	for range 2 { // the second time with the cookies of the first
		for _, p := range f.Places() {
			send(t, c, "GET", p.URL()+"/x", nil,
				"X-Forwarded-For", "192.0.2.1", "Forwarded", "for=192.0.2.1", "X-Real-Ip", "192.0.2.1", "X-Forwarded-Host", "evil.example",
				"True-Client-Ip", "192.0.2.1", "Cf-Connecting-Ip", "192.0.2.1", trafficFrom, "192.0.2.1")
			if got := s.header["X-Forwarded-For"]; len(got) != 1 || got[0] != p.Addr.String() {
				t.Errorf("%s: X-Forwarded-For %v", p.ID, got)
			}
			for name, values := range s.header {
				if name != "X-Forwarded-For" && name != trafficFrom && strings.Contains(fmt.Sprint(values), "192.0.2.1]") || name == "X-Forwarded-Host" {
					t.Errorf("%s: %s %v", p.ID, name, values)
				}
			}
			if s.host != p.listener.Addr().String() {
				t.Errorf("%s: host %s", p.ID, s.host)
			}
		}
	}
	for _, p := range f.Places() {
		send(t, c, "GET", p.URL()+"/x", nil)
		if got := s.header.Get("Cookie"); got != SessionCookie+"=of-"+p.Addr.String() {
			t.Errorf("%s: cookie %s", p.ID, got)
		}
	}
	// A stolen session.
	res, _ := send(t, c, "POST", f.URL()+"/carry", url.Values{"from": {"home"}, "to": {"attacker"}})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("carry: %d", res.StatusCode)
	}
	send(t, c, "GET", f.Places()[0].URL()+"/x", nil, "User-Agent", "mine")
	if got := s.header.Get("Cookie"); !strings.Contains(got, "192.0.2.34") || s.header.Get("User-Agent") == "mine" {
		t.Errorf("stolen: cookie %s of %s", got, s.header.Get("User-Agent"))
	}
}

func TestFrontPage(t *testing.T) {
	f, s := newFront(t)
	c := browser()
	_, body := send(t, c, "GET", f.URL()+"/", nil)
	for _, want := range []string{"refused, reference 7K3M-22QP", "http://localhost:8420", "river-lantern-42", "203.0.113.66", f.Places()[1].URL()} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	_, body = send(t, c, "GET", f.URL()+"/states", nil)
	var states struct{ Places []state }
	if err := json.Unmarshal([]byte(body), &states); err != nil || len(states.Places) != 3 || !states.Places[0].Refused || states.Places[1].Refused {
		t.Errorf("states %s, %v", body, err)
	}
	// Only by the name of this machine, and only from the page itself.
	for _, base := range []string{f.URL(), f.Places()[0].URL()} {
		if res, _ := send(t, c, "GET", base+"/", nil, "Host", "evil.example"); res.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("by another name: %d", res.StatusCode)
		}
		if res, _ := send(t, c, "GET", base+"/login", nil, "Host", "localhost:1"); res.Header.Get("Location") != "http://127.0.0.1:1/login" {
			t.Errorf("by localhost: %s", res.Header.Get("Location"))
		}
	}
	if res, _ := send(t, c, "POST", f.URL()+"/carry", url.Values{"from": {"home"}, "to": {"attacker"}}, "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden {
		t.Errorf("carry from another site: %d", res.StatusCode)
	}
	for _, form := range []url.Values{{"from": {"home"}, "to": {"office"}}, {"from": {"home"}, "to": {"mars"}}} {
		if res, _ := send(t, browser(), "POST", f.URL()+"/carry", form); res.StatusCode == http.StatusSeeOther && res.Header.Get("Location") != "/?note=signed-out" {
			t.Errorf("carry %v: %d", form, res.StatusCode)
		}
	}
	// The door of the traffic is for the traffic.
	s.header = nil
	for _, secret := range []string{"", "guess"} {
		if res, _ := send(t, c, "GET", "http://"+f.bots.Addr().String()+"/", nil, trafficFrom, "192.0.2.1", trafficSecret, secret); res.StatusCode != http.StatusForbidden || s.header != nil {
			t.Errorf("traffic of a visitor: %d", res.StatusCode)
		}
	}
	send(t, c, "GET", "http://"+f.bots.Addr().String()+"/", nil, trafficFrom, "192.0.2.1", trafficSecret, f.secret)
	if got := s.header.Get("X-Forwarded-For"); got != "192.0.2.1" || s.header.Get(trafficSecret) != "" || s.header.Get(trafficFrom) != "" {
		t.Errorf("traffic: %v", s.header)
	}
}

func TestPortsAreTaken(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	if _, err := NewFront(FrontOptions{Port: int(port)}); err == nil || !strings.Contains(err.Error(), "the port is taken") || strings.Contains(err.Error(), "\n") {
		t.Errorf("NewFront: %v", err)
	}
	if _, err := NewFront(FrontOptions{Port: 65535}); err == nil || !strings.Contains(err.Error(), "3 more follow") {
		t.Errorf("NewFront: %v", err)
	}
}

// The past is valid, in order, and older than any window that counts.
func TestHistory(t *testing.T) {
	now := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	events := newPopulation().history(now, 1)
	if len(events) < 5000 || len(events) > 20000 {
		t.Errorf("%d events", len(events))
	}
	days := map[string]int{}
	var last time.Time
	for i, e := range events {
		if e.Time.Before(last) || e.Time.After(now.Add(-time.Hour)) || e.Time.Before(now.AddDate(0, 0, -30)) {
			t.Fatalf("event %d is at %s after %s", i, e.Time, last)
		}
		last = e.Time
		days[e.Time.Format(time.DateOnly)]++
		if faults := e.Faults(now); len(faults) > 0 {
			t.Fatalf("event %d: %v", i, faults)
		}
		if e.Name == "USER_LOGIN_SUCCESS" && strings.HasPrefix(e.IP.String(), "203.") {
			t.Errorf("event %d lets an attacker in", i)
		}
	}
	if len(days) < 29 {
		t.Errorf("%d days", len(days))
	}
}

// Typos are wrong, and attackers come from networks for examples.
func TestInventions(t *testing.T) {
	for range 1000 {
		if typo("amber-birch-01") == "amber-birch-01" {
			t.Fatal("a typo that is right")
		}
	}
	allowed := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	var pool addresses
	for range 5000 {
		a := pool.next()
		if !allowed[0].Contains(a) && !allowed[1].Contains(a) || a == places()[0].Addr {
			t.Fatalf("attackers come from %s", a)
		}
	}
}
