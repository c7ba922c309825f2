package alert

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

const dashboard = "https://warder.example.org/"

func TestAlertSaysEverything(t *testing.T) {
	a := attack(7)
	a.Time = time.Date(2026, 11, 22, 14, 4, 39, 0, time.UTC)
	a.GoodAccounts = 3
	p := write(t, Options{DashboardURL: dashboard}, a)
	for _, want := range []string{
		"203.0.0.7", "7K3M-22QP", "2026-11-22 14:04:39 UTC", "Sunday, 22 November 2026, 14:04:39 UTC", "password guessing",
		"sign_in", "5 within 1 hour", "POST /login", "alice", "bob", "wrong_password", "USER_LOGIN_FAILURE",
		"blocked permanently", "Could this be a mistake?", "3 different accounts signed in well", "last 14 days",
		"https://warder.example.org/references/7K3M-22QP", "warder unblock --verdict error 203.0.0.7",
	} {
		if !strings.Contains(p.text, want) {
			t.Errorf("text lacks %q", want)
		}
		if !strings.Contains(p.html, want) {
			t.Errorf("HTML lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(p.text)
	}
	if got, want := p.header.Get("Subject"), "[Warder] Password guessing from 203.0.0.7: blocked permanently (7K3M-22QP)"; got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	if p.header.Get("Auto-Submitted") != "auto-generated" || p.header.Get("Message-Id") == "" || p.header.Get("Date") == "" {
		t.Errorf("header: %v", p.header)
	}
	for _, not := range []string{"User-Agent", "X-Mailer", "Bcc", "Cc"} {
		if p.header.Get(not) != "" {
			t.Errorf("header %s: %s", not, p.header.Get(not))
		}
	}
	if regexp.MustCompile(`(?i)<(img|script|link|iframe|style|form|object)|src=|url\(|@import`).MatchString(p.html) {
		t.Error("the HTML loads or runs something")
	}
}

func TestAlertWithoutDashboardHasTheCommand(t *testing.T) {
	p := write(t, Options{}, attack(7))
	if strings.Contains(p.html, "<a ") || strings.Contains(p.text, "http") || !strings.Contains(p.text, "warder unblock --verdict error 203.0.0.7") {
		t.Error(p.text)
	}
}

func TestWhatWasDone(t *testing.T) {
	from := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	block := func(d time.Duration, cut string, s warder.Subject) *guard.Block {
		b := &guard.Block{From: from, Cut: cut, Subject: s, GoodAccounts: 37}
		if d > 0 {
			b.Until = from.Add(d)
		}
		return b
	}
	ip := warder.Subject{IP: netip.MustParsePrefix("203.0.113.7/32")}
	net6 := warder.Subject{IP: netip.MustParsePrefix("2001:db8::/64")}
	for name, tc := range map[string]struct {
		a    guard.Alert
		want []string
	}{
		"permanent":   {guard.Alert{Block: block(0, "", ip)}, []string{"permanently", "sessions were ended"}},
		"until":       {guard.Alert{Block: block(time.Hour, "", ip)}, []string{"for 1 hour", "until Sunday, 22 November 2026, 15:00:00 UTC"}},
		"shared":      {guard.Alert{Block: block(15*time.Minute, "shared_address", ip)}, []string{"15 minutes", "shared address", "37 different accounts"}},
		"unsettled":   {guard.Alert{Block: block(15*time.Minute, "unsettled", ip)}, []string{"15 minutes", "never reported"}},
		"blast":       {guard.Alert{Block: block(15*time.Minute, "blast_radius", ip)}, []string{"15 minutes", "honest users"}},
		"machines":    {guard.Alert{Block: block(15*time.Minute, "event", ip)}, []string{"15 minutes", "machines"}},
		"network":     {guard.Alert{Block: block(0, "", net6)}, []string{"The network 2001:db8::/64"}},
		"pair":        {guard.Alert{Block: block(900*time.Second, "", warder.Subject{IP: ip.IP, Account: "user\x1fal"})}, []string{"The account, from this address only"}},
		"account":     {guard.Alert{Block: block(900*time.Second, "", warder.Subject{Account: "user\x1fal"})}, []string{"never used"}},
		"own proxy":   {guard.Alert{Spared: "self_protected", Action: warder.BlockAction}, []string{"Not blocked: own proxy"}},
		"suspect":     {guard.Alert{Spared: "client_address_suspect", Action: warder.BlockAction}, []string{"Not blocked", "trusted_proxies"}},
		"session":     {guard.Alert{Event: warder.SessionHijackSuspected, Action: warder.BlockAction}, []string{"session was ended"}},
		"mfa":         {guard.Alert{Action: warder.MFA}, []string{"second factor"}},
		"challenge":   {guard.Alert{Action: warder.Challenge}, []string{"challenge"}},
		"nothing":     {guard.Alert{Action: warder.Allow}, []string{"Nothing was blocked"}},
		"other cut":   {guard.Alert{Block: block(time.Minute, "new", ip)}, []string{"1 minute", "shorter than its rule"}},
		"odd seconds": {guard.Alert{Block: block(7384*time.Second, "", ip)}, []string{"2 h 3 min"}},
	} {
		tc.a.Kind = guard.AlertCrossing
		got := doneOf(&tc.a)
		for _, want := range tc.want {
			if !strings.Contains(got.long, want) {
				t.Errorf("%s: %q lacks %q", name, got.long, want)
			}
		}
		if tc.a.Block != nil && tc.a.Block.Subject.Account != "" && strings.Contains(got.long, "sessions") {
			t.Errorf("%s: %q speaks of sessions that go on", name, got.long)
		}
		if got.kind == "" || got.short == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAttackInWords(t *testing.T) {
	events := func(name, reason string, accounts ...string) (list []guard.Evidence) {
		for _, a := range accounts {
			list = append(list, guard.Evidence{Name: name, Reason: reason, Account: a, Realm: "user"})
		}
		return list
	}
	for _, tc := range []struct {
		rule, event string
		evidence    []guard.Evidence
		want        string
	}{
		{"sign_in", "USER_LOGIN_FAILURE", events("USER_LOGIN_FAILURE", "wrong_password", "a", "a", "b", "a", "a"), "password guessing"},
		{"sign_in", "ADMIN_LOGIN_FAILURE", events("ADMIN_LOGIN_FAILURE", "", "a", "b", "c", "d", "e"), "password spraying over many accounts"},
		{"sign_in", "USER_LOGIN_FAILURE", events("USER_LOGIN_FAILURE", "unknown_account", "a", "b", "c", "d", "e"), "account enumeration"},
		{"sign_in", "MFA_FAILURE", nil, "MFA code guessing"},
		{"sign_in", "USER_PASSWORD_RESET_FAILURE", nil, "password-recovery abuse"},
		{"sign_in", "API_KEY_FAILURE", nil, "API key guessing"},
		{"sign_in", "SMPP_BIND_FAILURE", nil, "SMPP password guessing"},
		{"enumeration", "USER_LOGIN_FAILURE", nil, "account enumeration"},
		{"recovery", "ADMIN_PASSWORD_RESET_REQUEST", nil, "password-recovery abuse"},
		{"mfa_guess", "MFA_FAILURE", nil, "MFA code guessing"},
		{"hijack", "SESSION_HIJACK_SUSPECTED", nil, "session hijacking"},
		{"mine", "SESSION_HIJACK_SUSPECTED", nil, "session hijacking"},
		{"admin_area", "UNAUTHORIZED_ACCESS", nil, "probing of the administration area"},
		{"mine", "UNAUTHORIZED_ACCESS", nil, "probing of the administration area"},
		{"mine", "", events("MFA_FAILURE", "", "a", "a"), "MFA code guessing"},
		{"mine", "COUPON_FAILURE", nil, "suspicious activity"},
	} {
		a := &guard.Alert{Kind: guard.AlertCrossing, Rule: tc.rule, Event: tc.event, Evidence: tc.evidence}
		if got := attackOf(a); got != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.rule, tc.event, got, tc.want)
		}
	}
}

func TestListsAreBoundedAndSayHowManyMore(t *testing.T) {
	a := attack(1)
	a.Evidence = nil
	for i := range 128 {
		a.Evidence = append(a.Evidence, guard.Evidence{Time: a.Time, Name: "USER_LOGIN_FAILURE", Account: fmt.Sprintf("account%03d", i), Method: "POST", Path: fmt.Sprint("/p", i%30)})
	}
	p := write(t, Options{}, a)
	for _, want := range []string{"account009", "and 118 more", "and 20 more", "and 108 more"} {
		if !strings.Contains(p.text, want) {
			t.Errorf("text lacks %q", want)
		}
	}
	if strings.Contains(p.text, "account020") {
		t.Error("lists too many")
	}
}

func TestSystemAlertSaysWhatToDo(t *testing.T) {
	for kind, title := range titles {
		p := write(t, Options{DashboardURL: dashboard}, &guard.Alert{Kind: kind, Time: time.Now(), Text: "Put 10.0.0.1 into trusted_proxies.", IP: "10.0.0.1"})
		if !strings.Contains(p.text, "Put 10.0.0.1 into trusted_proxies.") || p.header.Get("Subject") != "[Warder] "+title || strings.Contains(p.text, "mistake") {
			t.Errorf("%s: %s\n%s", kind, p.header.Get("Subject"), p.text)
		}
	}
}

func TestDigestCountsExactly(t *testing.T) {
	var list []*guard.Alert
	for i := range 250 {
		a := attack(i)
		if i%5 == 0 {
			a.Block.Until = a.Block.From.Add(time.Hour)
			a.Rule = "enumeration"
		}
		list = append(list, a)
	}
	p := write(t, Options{DashboardURL: dashboard}, list...)
	if got, want := p.header.Get("Subject"), "[Warder] 250 alerts: 200 blocked permanently, 50 blocked for a time"; got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	for _, want := range []string{"200  password guessing", "50  account enumeration", "and 150 more"} {
		if !strings.Contains(p.text, want) {
			t.Errorf("text lacks %q", want)
		}
	}
	for i := range maxRows {
		ip := netip.AddrFrom4([4]byte{203, 0, 0, byte(i)}).String()
		if !strings.Contains(p.text, ip) || !strings.Contains(p.html, ip) {
			t.Errorf("%s is missing", ip)
		}
	}
}

// payloads are what an attacker may try in every field that can hold text.
var payloads = []string{
	"x\r\nBcc: evil@example.com", "x\nBcc: evil@example.com", "x\rBcc: evil@example.com", "x\r\n\r\nbody", "x\r\n.\r\nMAIL FROM:<a@b>",
	"x%0d%0aBcc: evil@example.com", "x\u0085Bcc: e@example.com", "x\u2028Bcc: e@example.com", "x\u2029Bcc: e@example.com", "x\x00y",
	"=?utf-8?q?=0d=0aBcc:_e@example.com?=", "=?utf-8?b?DQpCY2M6IGVAZXhhbXBsZS5jb20=?=", "\x0bx\x0cy", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
	"\"><a href=https://evil.example>click</a>", "'><b>", "</td></tr></table><h1>Pay here</h1>", "<!--", "-->", "]]>", "{{.Title}}", "{{template \"x\"}}",
	"javascript:alert(1)", "https://evil.example/login", "http://www.evil.example", "\u202egpj.exe", "\u200b\u200d\ufeff", "--=_boundary--", "\r\n--",
	"a\r\nContent-Type: text/html\r\n\r\n<b>", "\xff\xfe\xc0\x80", "&lt;b&gt;&#x3c;b&#x3e;", "~!touch /tmp/x", "`id` $(id) ; rm -rf /", strings.Repeat("A", 5000),
	strings.Repeat("\u0301", 3000), "From attacker", ".", "..\r\n.",
}

// hostile puts a payload into every field of an alert.
func hostile(s string) *guard.Alert {
	a := attack(7)
	a.ID, a.Account, a.Realm, a.Rule, a.Text, a.IP = s, s, s, s, s, s
	a.Event = "USER_LOGIN_FAILURE"
	a.Block.Reference, a.Block.Rule, a.Block.Reason, a.Block.ID = s, s, s, s
	for i := range a.Evidence {
		e := &a.Evidence[i]
		e.Name, e.Account, e.Realm, e.Method, e.Path, e.UserAgent, e.Reason, e.IP = s, s, s, s, s, s, s, s
	}
	return a
}

var tag = regexp.MustCompile(`<[^>]*>`)

func TestHostileTextAddsNoHeaderAndNoMarkup(t *testing.T) {
	if len(payloads) < 30 {
		t.Fatalf("%d payloads", len(payloads))
	}
	benign := write(t, Options{DashboardURL: dashboard}, hostile("benign"))
	names := func(p parsed) map[string]int {
		m := map[string]int{}
		for k, v := range p.header {
			m[k] = len(v)
		}
		return m
	}
	for _, s := range payloads {
		p := write(t, Options{DashboardURL: dashboard}, hostile(s))
		if diff := cmp.Diff(names(benign), names(p)); diff != "" {
			t.Errorf("%.40q: headers differ: %s", s, diff)
		}
		if p.header.Get("To") != benign.header.Get("To") || p.header.Get("Subject") != benign.header.Get("Subject") {
			t.Errorf("%.40q: recipient or subject changed: %s", s, p.header.Get("Subject"))
		}
		// A payload that vanishes wholly takes nothing away but list entries.
		if diff := cmp.Diff(tag.FindAllString(benign.html, -1), tag.FindAllString(p.html, -1)); diff != "" {
			t.Errorf("%.40q: markup differs: %s", s, diff)
		}
		for _, r := range p.text + p.html {
			if unicode.IsControl(r) && r != '\n' && r != '\r' || unicode.Is(unicode.Cf, r) || r == '\u2028' {
				t.Errorf("%.40q: %U survives", s, r)
				break
			}
		}
		for _, active := range []string{"https://evil", "http://", "www.evil"} {
			if strings.Contains(p.text, active) {
				t.Errorf("%.40q: %s can be followed", s, active)
			}
		}
		for line := range strings.Lines(p.raw) {
			if len(line) > 998 {
				t.Errorf("%.40q: line of %d bytes", s, len(line))
			}
		}
	}
}

func TestRecipientsNameIsHarmless(t *testing.T) {
	s, err := New(Options{Outbox: &outbox{}, Recipients: to(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	d := &digest{}
	d.add(attack(1))
	for _, name := range payloads {
		m, err := s.compose(d, Recipient{Address: olga, Name: name}, s.from, "seed")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		p := parse(t, []byte(b.String()))
		list, err := p.header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != olga || p.header.Get("Bcc") != "" {
			t.Errorf("%.40q: to %v, %v", name, list, err)
		}
	}
}

func FuzzCompose(f *testing.F) {
	for _, s := range payloads {
		f.Add(s)
	}
	f.Add("\xc1\\")
	s, err := New(Options{Outbox: &outbox{}, Recipients: to(), Dir: f.TempDir(), DashboardURL: dashboard})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := &digest{}
		for range 7 {
			d.add(hostile(text))
		}
		m, err := s.compose(d, Recipient{Address: olga, Name: text}, s.from, text)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		p := parse(t, []byte(b.String()))
		if len(p.header) != 9 {
			t.Fatalf("%d headers: %v", len(p.header), p.header)
		}
		list, err := p.header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != olga {
			t.Fatalf("to %v, %v", list, err)
		}
		if strings.ContainsAny(tame(text, 50), "\r\n\x00\u2028\u202e") || tame(tame(text, 50), 60) != tame(text, 50) {
			t.Fatalf("tame is not tame: %q", tame(text, 50))
		}
	})
}
