//go:build linux

package acceptance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// source serves a list over plain HTTP on loopback, as a mirror in the own
// network would.
type source struct {
	mu          sync.Mutex
	contentType string
	body        string
}

func (s *source) put(contentType, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contentType, s.body = contentType, body
}

func (s *source) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", s.contentType)
	_, _ = w.Write([]byte(s.body))
}

type provider struct {
	Entries   int            `json:"entries"`
	Rejected  int            `json:"rejected"`
	Reasons   map[string]int `json:"reasons"`
	LastError string         `json:"last_error"`
	Held      *struct {
		Reason string `json:"reason"`
	} `json:"held"`
}

// listed is a list like IPsum's: its text, its size, and an address on level 5
// or above.
func listed(t *testing.T) (text string, entries int, worst string) {
	t.Helper()
	if path := os.Getenv("WARDER_IPSUM_FILE"); path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = string(content)
	} else {
		var b strings.Builder
		b.WriteString("# IPsum Threat Intelligence Feed\n#\n# Last update: Sat, 22 Aug 2026 03:00:29 +0200\n#\n# IP\tnumber of (black)lists\n#\n")
		a := netip.MustParseAddr("45.0.0.7")
		for i := range 120_430 {
			fmt.Fprintf(&b, "%s\t%d\n", a, 1+9*(120_430-1-i)/120_430)
			for range 1 + i%5 {
				a = a.Next()
			}
		}
		text = b.String()
	}
	for line := range strings.Lines(text) {
		if line[0] == '#' {
			continue
		}
		if entries++; worst == "" {
			worst, _, _ = strings.Cut(line, "\t")
		}
	}
	return text, entries, worst
}

// TestThreatList: an address that others know is refused at its very first
// question; a poisoned or broken list changes nothing for the worse.
func TestThreatList(t *testing.T) {
	good, entries, worst := listed(t)
	list := &source{contentType: "text/plain; charset=utf-8", body: good}
	web := httptest.NewServer(list)
	defer web.Close()
	s := newServer(t, "OUTBOUND_ALLOW_PRIVATE=127.0.0.1/32")
	status := func() provider {
		t.Helper()
		var all providers
		s.get("/v1/providers", &all)
		if len(all.Items) != 1 {
			return provider{}
		}
		return all.Items[0].Status
	}
	if d := s.check(worst); d.Action != "allow" {
		t.Errorf("before it is switched on: %+v", d)
	}
	s.apply(`
activity:
  rules:
    - {id: sign_in, events: ["*_LOGIN_FAILURE"], key: ip, threshold: 5, time_range: 3600, cooling_period: 0, action: block}
providers:
  - {name: ipsum, enabled: true, url: "` + web.URL + `/ipsum.txt", format: ipsum, refresh: 86400, levels: [{at_least: 5, action: block}]}
`)
	switched := time.Now()
	eventually(t, 10*time.Second, "the list is loaded", func() bool { return status().Entries > 0 })
	took := time.Since(switched)
	t.Logf("%d addresses loaded in %s", status().Entries, took)
	if took > pick(5*time.Second, time.Second) {
		t.Errorf("loaded in %s, want 1s at most", took)
	}
	if n := status().Entries; n < entries*99/100 || n > entries {
		t.Errorf("%d entries, want %d", n, entries)
	}
	refused := func(when string) {
		t.Helper()
		if d := s.check(worst); d.Action != "block" || d.Reason != "provider" || d.Reference == "" {
			t.Errorf("%s, a listed address: %+v", when, d)
		}
		if d := s.check("203.0.113.89"); d.Action != "allow" {
			t.Errorf("%s, somebody else: %+v", when, d)
		}
	}
	refused("at the first check")
	if a, err := s.begin(query{IP: worst, Account: "alice"}); err != nil || a.Attempt != "" || a.Decision.Reason != "provider" {
		t.Errorf("attempt of a listed address: %+v, %v", a, err)
	}
	if b := s.blocks("state=all"); len(b) != 0 {
		t.Errorf("a refusal by a list is no block: %+v", b)
	}

	refresh := func() {
		t.Helper()
		if _, err := s.socket().do("POST", "/v1/providers/ipsum/refresh", nil, nil); err != nil {
			t.Logf("refresh: %v", err) // its outcome is looked at in the status
		}
	}
	loaded := status().Entries
	poison := []string{
		"0.0.0.0/0\t9", "0.0.0.0/1\t9", "128.0.0.0/1\t9", "::/0\t9", "2000::/3\t9",
		"10.0.0.1\t9", "192.168.1.1\t9", "172.16.0.0/12\t9", "127.0.0.1\t9", "169.254.169.254\t9",
		"224.0.0.1\t9", "fe80::1\t9", "::1\t9", "100.64.0.1\t9", "255.255.255.255\t9",
		"<script>alert(1)</script>", "; DROP TABLE blocks", "45.0.0.300\t9", "45.0.0.9\tmany", strings.Repeat("9", 400),
	}
	// Comments begin with ; too, so one of the twenty is not even a fault.
	list.put("text/plain", good+strings.Join(poison, "\n")+"\n")
	refresh()
	p := status()
	if p.Rejected != 19 || p.Entries != loaded || p.LastError != "" {
		t.Errorf("poisoned lines: %+v, want 19 refused and %d entries", p, loaded)
	}
	if len(p.Reasons) < 4 {
		t.Errorf("reasons: %v", p.Reasons)
	}
	refused("with poisoned lines")

	for name, broken := range map[string]struct{ contentType, body string }{
		"HTML":                  {"text/html", "<!doctype html><title>Please sign in</title>"},
		"HTML that says text":   {"text/plain", strings.Repeat("<!doctype html><p>Please sign in\n", 1000)},
		"nothing":               {"text/plain", ""},
		"comments only":         {"text/plain", "# nothing today\n"},
		"cut off":               {"text/plain", good[:len(good)/3]},
		"a public resolver":     {"text/plain", good + "8.8.8.8\t9\n"},
		"much of the internet":  {"text/plain", good + muchOfTheInternet()},
		"everybody on level 10": {"text/plain", strings.ReplaceAll(good, "\t1\n", "\t10\n")},
	} {
		list.put(broken.contentType, broken.body)
		refresh()
		p := status()
		if p.Entries != loaded || p.LastError == "" && p.Held == nil {
			t.Errorf("%s: %+v, want the last good list and a reason", name, p)
		}
		t.Logf("%s: %q, held %+v", name, p.LastError, p.Held)
		refused("with " + name)
	}
	eventually(t, 5*time.Second, "/readyz says so", func() bool {
		_, failing := s.degraded("provider_failing")
		_, held := s.degraded("provider_held")
		return failing || held
	})
	s.restart()
	refused("after kill -9 with a broken source")
	list.put("text/plain", good)
	refresh()
	if p := status(); p.Entries != loaded || p.LastError != "" || p.Held != nil {
		t.Errorf("when the source is well again: %+v", p)
	}
}

type providers = list[struct {
	Status provider `json:"status"`
}]

// muchOfTheInternet are lines that are harmless one by one.
func muchOfTheInternet() string {
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "%d.%d.0.0/16\t9\n", 64+i/256, i%256)
	}
	return b.String()
}
