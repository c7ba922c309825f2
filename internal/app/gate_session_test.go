package app

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const (
	chromeOnWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	firefoxOnLinux  = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
	safariOnPhone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1"
)

// browsing is a session as its cookie, used by a browser from somewhere.
type browsing struct {
	g      *guarded
	client *http.Client
	agent  string
	cookie string
}

func (g *guarded) browse(t *testing.T, account, from, agent string) *browsing {
	t.Helper()
	b := &browsing{g: g, client: g.client(), agent: agent}
	r := do(t, b.client, g.request("POST", "/login", from, right(account), "User-Agent", agent))
	if b.cookie = r.cookie("sms_session"); b.cookie == "" {
		t.Fatalf("%s cannot sign in: %d %s", account, r.status, r.body)
	}
	return b
}

// page asks for the page that is for people who are signed in.
func (b *browsing) page(t *testing.T, from string) reply {
	t.Helper()
	return do(t, b.client, b.g.request("GET", "/home", from, nil, "User-Agent", b.agent, "Cookie", "sms_session="+b.cookie))
}

// signedOut waits until the session is over from an address.
func (b *browsing) signedOut(t *testing.T, from string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r := b.page(t, from)
		if r.status == http.StatusFound && r.header.Get("Location") == "/login" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the session is still good: %d %s", r.status, r.body)
		}
	}
}

// flagged waits until an event tells of a stolen session, which decisions do
// not wait for, and returns how many do.
func (g *guarded) flagged(t *testing.T) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if n := g.events(t, "SESSION_HIJACK_SUSPECTED"); n > 0 || time.Now().After(deadline) {
			return n
		}
	}
}

// TestGateStolenSession: a session that turns up in another browser and
// network is flagged once and ended, for the thief and for its owner, whose
// open connections end with it. Nobody's address is blocked, and the owner
// signs in again.
func TestGateStolenSession(t *testing.T) {
	const home, elsewhere = "203.0.113.5", "198.51.100.7"
	thefts := []struct {
		name  string
		steal func(t *testing.T, owner, thief *browsing)
	}{
		{"another browser and network", func(t *testing.T, _, thief *browsing) {
			thief.agent = firefoxOnLinux
			thief.page(t, elsewhere)
		}},
		{"a program", func(t *testing.T, _, thief *browsing) {
			thief.agent = "curl/8.16.0"
			thief.page(t, elsewhere)
		}},
		{"the same browser, in two networks at once", func(t *testing.T, owner, thief *browsing) {
			for range 3 {
				thief.page(t, elsewhere)
				owner.page(t, home)
			}
		}},
	}
	for _, tt := range thefts {
		t.Run(tt.name, func(t *testing.T) {
			g := behindGate(t, nil)
			owner := g.browse(t, "alice", home, chromeOnWindows)
			neighbour := g.browse(t, "bob", home, chromeOnWindows)
			if r := owner.page(t, home); r.body != "hello alice" {
				t.Fatalf("before: %d %s", r.status, r.body)
			}
			socket, rw := g.socket(t, home, "sms_session="+owner.cookie)
			thief := &browsing{g, g.client(), owner.agent, owner.cookie}
			tt.steal(t, owner, thief)
			thief.signedOut(t, elsewhere)
			owner.signedOut(t, home)
			_ = socket.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := rw.ReadByte(); err == nil {
				t.Error("the owner's WebSocket is still open")
			}
			if n := g.flagged(t); n != 1 {
				t.Errorf("flagged %d times", n)
			}
			if blocked := g.blocks(t); len(blocked) > 0 {
				t.Errorf("blocked %v", blocked)
			}
			if r := neighbour.page(t, home); r.body != "hello bob" {
				t.Errorf("the neighbour: %d %s", r.status, r.body)
			}
			if r := g.browse(t, "alice", home, chromeOnWindows).page(t, home); r.body != "hello alice" {
				t.Errorf("the owner after signing in again: %d %s", r.status, r.body)
			}
		})
	}
}

// TestGatePhoneMoves: a phone that goes from Wi-Fi to a mobile network and
// back, that changes its address within a pool, or that uses IPv6 beside IPv4,
// stays signed in.
func TestGatePhoneMoves(t *testing.T) {
	g := behindGate(t, nil)
	ways := map[string][]string{
		"to mobile":            {"203.0.113.9", "198.51.100.44"},
		"to mobile and back":   {"203.0.113.9", "198.51.100.44", "203.0.113.9"},
		"about a pool":         {"198.51.100.1", "198.51.100.2", "198.51.101.3", "198.51.200.4", "198.51.100.1"},
		"two families at once": {"192.0.2.9", "2001:db8:1::9", "192.0.2.9", "2001:db8:1::9", "192.0.2.9", "2001:db8:1::9", "192.0.2.9"},
		"from one to the next": {"192.0.2.9", "2001:db8:2::1", "198.51.100.9"},
	}
	n := 0
	phones := map[string]*browsing{}
	for name, way := range ways {
		n++
		account := fmt.Sprintf("phone%d", n)
		b := g.browse(t, account, way[0], safariOnPhone)
		for _, from := range way {
			for range 3 {
				if r := b.page(t, from); r.body != "hello "+account {
					t.Fatalf("%s: signed out at %s: %d %s", name, from, r.status, r.body)
				}
			}
		}
		phones[name] = b
	}
	// Flags are raised one after the other: when that of a real theft is there,
	// those of the phones would be there too.
	stolen := g.browse(t, "alice", "203.0.113.77", chromeOnWindows)
	thief := &browsing{g, g.client(), firefoxOnLinux, stolen.cookie}
	thief.page(t, "198.51.100.77")
	thief.signedOut(t, "198.51.100.77")
	if n := g.flagged(t); n != 1 {
		t.Errorf("%d sessions were flagged, want the stolen one only", n)
	}
	for name, b := range phones {
		if r := b.page(t, ways[name][len(ways[name])-1]); r.status != http.StatusOK {
			t.Errorf("%s: signed out in the end: %d", name, r.status)
		}
	}
}
