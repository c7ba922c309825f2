package alert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// TestLinkIsMailed: the link arrives whole; the delivery log tells of the mail
// and not of the link; what a person calls himself ends no line.
func TestLinkIsMailed(t *testing.T) {
	r := newRelay(t, relayOptions{mechanisms: []string{"PLAIN"}})
	var log []Delivery
	s := r.sender(t, Options{
		SMTP:       SMTP{User: "warder", Password: "pass phrase"},
		OnDelivery: func(_ context.Context, d Delivery) error { log = append(log, d); return nil },
	})
	l := Link{
		To: olga, Role: "analyst", By: "ann@example.org\r\nBcc: eve@example.org", URL: "https://warder.example/accept#token=" + strings.Repeat("Ab-_9", 9),
		Expires: time.Date(2026, 5, 4, 3, 2, 0, 0, time.UTC),
	}
	if err := s.SendLink(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(r.letters()[0].raw))
	if err != nil {
		t.Fatal(err)
	}
	body := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{l.URL, "invites you", "as analyst", "2026-05-04 03:02 UTC"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if m.Header.Get("Bcc") != "" || strings.Contains(string(text), "\nBcc") || m.Header.Get("Subject") != "[Warder] You are invited" {
		t.Errorf("mail:\n%s", r.letters()[0].raw)
	}
	l.Reset = true
	r.rcpt = func(string) error {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Relaying denied"}
	}
	if err := s.SendLink(t.Context(), l); err == nil {
		t.Error("a mail that the server refused counts as sent")
	}
	if len(log) != 2 || log[0].State != Sent || log[0].Kind != KindInvitation || log[1].State != Failed || log[1].Kind != KindReset {
		t.Errorf("%+v", log)
	}
	for _, d := range log {
		if strings.Contains(d.Answer+d.Subject, "token") {
			t.Errorf("the delivery log holds the link: %+v", d)
		}
	}
	if err := s.SendLink(t.Context(), Link{To: "a@b\r\nRCPT TO:<c@d>"}); err == nil {
		t.Error("that is no address")
	}
}

// TestLinkIsWrittenToNoFile: without a mail server nothing that lets somebody
// in lies about.
func TestLinkIsWrittenToNoFile(t *testing.T) {
	dir := t.TempDir()
	s, err := New(Options{Outbox: &outbox{}, Recipients: to(), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendLink(t.Context(), Link{To: olga, URL: "https://warder.example/accept#token=x"}); !errors.Is(err, ErrNoServer) {
		t.Errorf("%v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v %v", files, err)
	}
}
