//go:build linux

package acceptance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

type revocations struct {
	Items []struct {
		Seq     int    `json:"seq"`
		Session string `json:"session"`
		Account string `json:"account"`
		IP      string `json:"ip"`
		Reason  string `json:"reason"`
	} `json:"items"`
	Next string `json:"next"`
}

// TestJourney is the main job from end to end: an attack is seen, stopped,
// told, survives kill -9, and is undone.
func TestJourney(t *testing.T) {
	mails := newMailServer(t, 0)
	s := newServer(t, mails.settings()...)
	for email, role := range map[string]string{
		"owner@example.org": "owner", "admin@example.org": "admin", "gone@example.org": "admin", "viewer@example.org": "viewer",
	} {
		s.cliWith("a long passphrase for "+email+"\n", "operator", "create", "--email", email, "--role", role, "--password-stdin")
	}
	s.cli("operator", "disable", "gone@example.org")
	const attacker, other = "203.0.113.7", "203.0.113.99"

	// Somebody else makes mistakes of severity warning and high.
	s.fail(other, "zoe", 4)
	// A session is opened from the address that will be blocked.
	good := right(attacker, "carol")
	good.Session = "session-of-carol"
	s.report(good)
	polled := make(chan revocations, 1)
	go func() {
		var r revocations
		if err := s.tryGet("/v1/sessions/revocations?wait=25", &r); err != nil {
			t.Error(err)
		}
		polled <- r
	}()

	crossed := time.Now()
	reference := ""
	for i, want := range []struct{ severity, action, reason string }{
		{"warning", "allow", "ok"},
		{"high", "allow", "ok"},
		{"high", "allow", "ok"},
		{"high", "allow", "ok"},
		{"critical", "block", "threshold_exceeded"},
		{"high", "block", "blocked"},
	} {
		e := wrong(attacker, []string{"alice", "bob"}[i%2])
		if i == 3 {
			e.Path = "/api/login"
		}
		a := s.report(e)
		if a.Severity != want.severity || a.Decision.Action != want.action || a.Decision.Reason != want.reason {
			t.Errorf("failure %d: %+v, want %+v", i+1, a, want)
		}
		if i == 4 {
			reference = a.Decision.Reference
			if a.Decision.ExpiresAt != nil || a.Decision.Rule != "sign_in" || !strings.Contains(a.Decision.Message, reference) || reference == "" {
				t.Errorf("the fifth: %+v", a.Decision)
			}
		}
	}
	if d := s.check(attacker); d.Action != "block" || d.Reason != "blocked" || d.Reference != reference {
		t.Errorf("check: %+v", d)
	}

	select {
	case r := <-polled:
		if len(r.Items) != 1 || r.Items[0].Session != "session-of-carol" || r.Items[0].Account != "carol" || r.Items[0].IP != attacker {
			t.Errorf("revocations: %+v", r)
		}
	case <-time.After(20 * time.Second):
		t.Error("the long poll does not answer")
	}

	t.Run("mail", func(t *testing.T) {
		eventually(t, 10*time.Second, "two mails", func() bool { return len(mails.all()) >= 2 })
		var to []string
		for _, m := range mails.all() {
			t.Logf("mail to %s after %s", m.to, m.at.Sub(crossed))
			to = append(to, m.to...)
			for _, want := range []string{
				attacker, reference, time.Now().UTC().Format("2 January 2006"), "password guessing", "sign_in",
				"Endpoints hit", "/login", "/api/login",
				"Accounts tried", "alice", "bob",
				"USER_LOGIN_FAILURE", "wrong_password",
				"What was done", "blocked permanently",
				"Could this be a mistake?", "1 account signed in well from this address",
				s.base,
			} {
				if !strings.Contains(m.text, want) {
					t.Errorf("the text of the mail lacks %q", want)
				}
				if !strings.Contains(m.html, want) {
					t.Errorf("the HTML of the mail lacks %q", want)
				}
			}
			if strings.Contains(m.text, other) || strings.Contains(m.html, other) {
				t.Error("the mail tells of somebody who only made mistakes")
			}
			if !strings.Contains(m.subject, attacker) || m.header.Get("Message-ID") == "" {
				t.Errorf("header: %q, %q", m.subject, m.header.Get("Message-ID"))
			}
		}
		slices.Sort(to)
		if want := []string{"admin@example.org", "owner@example.org"}; !slices.Equal(to, want) {
			t.Errorf("mails went to %v, want %v", to, want)
		}
		if t.Failed() {
			t.Logf("%s", mails.all()[0].text)
		}
	})

	// Mail is sent at least once: who is killed before he noted that a mail was
	// taken sends it again, under the same Message-ID.
	eventually(t, 10*time.Second, "both mails are noted as sent", func() bool {
		return strings.Count(s.log.tail(1<<20), `msg="alert mailed"`) == 2
	})
	s.restart()
	if d := s.check(attacker); d.Action != "block" || d.Reference != reference {
		t.Errorf("after kill -9: %+v", d)
	}

	s.cli("unblock", attacker, "--verdict", "error", "--reason", "it was our own monitoring")
	lifted := time.Now()
	eventually(t, time.Second, "the address is allowed", func() bool { return s.check(attacker).Action == "allow" })
	t.Logf("allowed %s after unblock returned", time.Since(lifted))
	if a := s.report(wrong(attacker, "alice")); a.Decision.Action != "allow" || a.Severity != "warning" {
		t.Errorf("one more failure after the unblock: %+v", a)
	}
	if b := s.blocks("state=all&ip=" + attacker); len(b) != 1 || b[0].State != "lifted" || b[0].Verdict != "error" || !strings.HasPrefix(b[0].LiftedBy, "cli:") {
		t.Errorf("report: %+v", b)
	}
	var trail list[struct {
		Actor, Action, Target, Reason string
	}]
	s.get("/v1/audit?limit=500", &trail)
	var made, undone int
	for _, row := range trail.Items {
		if row.Target != attacker {
			continue
		}
		if row.Action == "block.lift" && strings.HasPrefix(row.Actor, "cli:") && row.Reason == "it was our own monitoring" {
			undone++
		} else {
			made++
		}
	}
	if made != 1 || undone != 1 {
		t.Errorf("the audit trail has %d rows of the block and %d of its end: %+v", made, undone, trail.Items)
	}
	s.cli("audit", "verify")

	s.stop()
	if n := len(mails.all()); n != 2 {
		t.Errorf("%d mails in all, want 2", n)
	}
	s.cli("audit", "verify") // also without a server
	auditTampered(t, s)
}

// auditTampered changes one byte of one row of the audit trail, in each column.
func auditTampered(t *testing.T, s *server) {
	t.Helper()
	db := s.openDatabase()
	defer func() { _ = db.Close() }()
	var row int
	if err := db.QueryRow("SELECT max(seq) - 1 FROM audit").Scan(&row); err != nil {
		t.Fatal(err)
	}
	for _, column := range []string{"actor", "action", "hash"} {
		var original []byte
		if err := db.QueryRow("SELECT "+column+" FROM audit WHERE seq = ?", row).Scan(&original); err != nil {
			t.Fatal(err)
		}
		write := func(v []byte) {
			t.Helper()
			var value any = string(v)
			if column == "hash" {
				value = v
			}
			if _, err := db.Exec("UPDATE audit SET "+column+" = ? WHERE seq = ?", value, row); err != nil {
				t.Fatal(err)
			}
		}
		flipped := slices.Clone(original)
		flipped[0] ^= 1
		write(flipped)
		_, errs, code := s.tryCLI("", "audit", "verify")
		if want := fmt.Sprintf("row %d", row); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("one byte of %s is changed: exit code %d, %q, want 1 and %q", column, code, errs, want)
		}
		write(original)
	}
	s.cli("audit", "verify")
}
