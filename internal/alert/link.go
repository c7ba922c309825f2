package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// ErrNoServer says that no mail server is configured. What is secret is not
// written to a file instead.
var ErrNoServer = errors.New("no mail server is configured")

// Kinds of a Delivery that carried a link.
const (
	KindInvitation = "invitation"
	KindReset      = "reset"
)

// linkTime bounds how long somebody waits for the mail server's answer.
const linkTime = 15 * time.Second

// Link is an invitation, or a way to a new password, for one person.
type Link struct {
	To      string
	Reset   bool // for a new password; else an invitation
	Role    string
	By      string // who made it; in words
	URL     string
	Expires time.Time
}

// SendLink mails a link now. nil means that the server took the mail; any error
// that the link has to be handed over otherwise. Neither log nor delivery log
// hold the link.
func (s *Sender) SendLink(ctx context.Context, l Link) error {
	if !validAddress(l.To) {
		return fmt.Errorf("%q is not an e-mail address", l.To)
	}
	w := s.latest()
	if w.written {
		return ErrNoServer
	}
	now := time.Now()
	m := newMessage(w.from, Recipient{Address: l.To}, fmt.Sprintf("link-%d", now.UnixNano()), l.subject(), now)
	m.SetBodyString(gomail.TypeTextPlain, l.text())
	ctx, cancel := context.WithTimeout(ctx, linkTime)
	defer cancel()
	transcript, err := s.try(ctx, w, m)
	log := Delivery{ID: m.id, Time: now, To: l.To, Subject: l.subject(), Kind: l.kind(), State: Sent, Answer: lastLine(transcript)}
	if err != nil {
		log.State, log.Answer = Failed, err.Error()
	}
	s.note(context.WithoutCancel(ctx), log)
	return err
}

func (l *Link) kind() string {
	if l.Reset {
		return KindReset
	}
	return KindInvitation
}

func (l *Link) subject() string {
	if l.Reset {
		return "[Warder] A new password"
	}
	return "[Warder] You are invited"
}

func (l *Link) text() string {
	var b strings.Builder
	by := tame(l.By, maxField)
	if l.Reset {
		fmt.Fprintf(&b, "%s made a link by which you set a new password for Warder's dashboard.\n", by)
	} else {
		fmt.Fprintf(&b, "%s invites you to Warder's dashboard, as %s.\n", by, tame(l.Role, maxField))
	}
	fmt.Fprintf(&b, "\n%s\n\nIt works once, until %s.\n", l.URL, l.Expires.UTC().Format("2006-01-02 15:04 UTC"))
	b.WriteString("Did you not expect this? Then ask whoever runs Warder, and do not open it.\n")
	return b.String()
}
