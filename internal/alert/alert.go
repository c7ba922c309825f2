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
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/warderhq/warder/internal/guard"
)

// Reasons that OnHealth reports.
const (
	Unconfigured = "mail_unconfigured" // no SMTP host: mails are written to files
	Failing      = "mail_failing"      // mails are not taken: no connection, refused, or disk full
	NoRecipient  = "mail_no_recipient" // nobody to write to
)

// Recipient is somebody who gets alerts.
type Recipient struct {
	Address string // a bare e-mail address
	Name    string // may be empty
	// Prefs are what they want to be told of; nil: every critical alert at once.
	Prefs *Preferences
	// Always says that critical alerts come at once whatever Prefs say.
	Always bool
}

// Ways to secure the connection to the mail server.
const (
	StartTLS = "starttls" // required, also if the server does not offer it
	Implicit = "implicit" // TLS from the first byte
	Plain    = "none"
)

// SMTP says which server takes the mails.
type SMTP struct {
	Host     string // empty: mails are written to files
	Port     int    // 0: 587 for StartTLS, 465 for Implicit, 25 for Plain
	TLS      string // StartTLS if empty
	User     string // empty: no authentication
	Password string
	// From is the sender, bare or with a name; empty: warder@ and the name of
	// this machine.
	From    string
	RootCAs *x509.CertPool // nil: those of the system
	// Timeout bounds connecting and each mail; 30 s if 0.
	Timeout time.Duration
}

// Options are what a sender is made of.
type Options struct {
	Outbox Outbox
	SMTP   SMTP
	// Dial opens the connection to the mail server (outbound.Client.DialSMTP).
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Dir is where mails are written while no SMTP host is set: data/mail.
	Dir string
	// Recipients returns everybody who gets alerts: every active owner and
	// admin, and the configured addresses. Doubles are removed by the sender.
	Recipients func(ctx context.Context) ([]Recipient, error)
	// DashboardURL is where operators reach the dashboard; may be empty.
	DashboardURL string
	// OnHealth, if set, is told when a reason begins and when it ends.
	OnHealth func(reason string, bad bool)
	// OnDelivery, if set, keeps what became of each mail. A repeat of an ID is
	// another try of the same mail.
	OnDelivery func(ctx context.Context, d Delivery) error
	Logger     *slog.Logger // nil: nobody is told
}

// States of a Delivery.
const (
	Sent     = "sent"     // the server took it
	Deferred = "deferred" // not yet; it is tried again
	Failed   = "failed"   // given up
	Written  = "file"     // to a file
)

// Delivery is one try to send a mail.
type Delivery struct {
	ID      string
	Time    time.Time
	To      string
	Subject string // empty: it was not written yet
	Kind    string // alert, digest, system, test, invitation, reset
	Alerts  int
	State   string
	Answer  string // the server's, or the file
}

// Sender delivers alerts.
type Sender struct {
	opts Options
	wake chan struct{}

	mu   sync.Mutex
	next *way // what SetSMTP was told last; taken over by the next round

	// What follows belongs to Run.
	way
	loaded  bool
	own     ownState
	boxes   map[string]*mailbox
	people  map[string]Recipient // those of the last round
	outage  outage
	health  map[string]bool
	skipped map[string]bool // invalid recipients that were logged
}

// way is how mails leave.
type way struct {
	from    mail.Address
	out     transport
	written bool // mails are written to files
}

// transport takes mails: an SMTP server, or a directory.
type transport interface {
	// open begins a delivery of one or more mails. An error means that nothing
	// can be delivered at the moment.
	open(ctx context.Context) (delivery, error)
}

type delivery interface {
	// send returns nil when the mail was taken. A *refusal is an answer about
	// this mail; any other error means that the connection is gone.
	send(ctx context.Context, m *message) error
	close()
}

// refusal is a server's answer that it does not take a mail.
type refusal struct {
	code int
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// New checks the options and makes a sender.
func New(opts Options) (*Sender, error) {
	if opts.Outbox == nil || opts.Recipients == nil {
		return nil, errors.New("alert: outbox and recipients are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.DashboardURL != "" {
		u, err := url.Parse(opts.DashboardURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return nil, fmt.Errorf("alert: dashboard URL %q must begin with https:// or http://", opts.DashboardURL)
		}
		opts.DashboardURL = strings.TrimRight(opts.DashboardURL, "/")
	}
	s := &Sender{
		opts: opts, wake: make(chan struct{}, 1), boxes: map[string]*mailbox{},
		health: map[string]bool{}, skipped: map[string]bool{},
	}
	w, err := s.through(opts.SMTP)
	if err != nil {
		return nil, err
	}
	s.way = *w
	s.setHealth(Unconfigured, s.written) // at once, so that it shows as soon as anything does
	return s, nil
}

// through is the way of a mail server, or of files if none is named.
func (s *Sender) through(conf SMTP) (*way, error) {
	from, err := sender(conf.From)
	if err != nil {
		return nil, err
	}
	if conf.Host == "" {
		if s.opts.Dir == "" {
			return nil, errors.New("alert: neither an SMTP host nor a directory for mails is set")
		}
		return &way{from: *from, out: &files{dir: s.opts.Dir, keep: keepFiles, log: s.opts.Logger}, written: true}, nil
	}
	out, err := newSMTP(conf, s.opts.Dial)
	if err != nil {
		return nil, err
	}
	return &way{from: *from, out: out}, nil
}

// SetSMTP makes mails leave another way from the next one on.
func (s *Sender) SetSMTP(conf SMTP) error {
	w, err := s.through(conf)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.next = w
	s.mu.Unlock()
	s.Notify()
	return nil
}

// latest is the way that mails leave from now on.
func (s *Sender) latest() *way {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		return s.next
	}
	w := s.way
	s.next = &w
	return s.next
}

// sender reads the configured sender address, or makes one up.
func sender(s string) (*mail.Address, error) {
	if s == "" {
		host, err := os.Hostname()
		if err != nil || !validDomain(host) {
			host = "localhost"
		}
		return &mail.Address{Name: "Warder", Address: "warder@" + host}, nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil || !validAddress(a.Address) {
		return nil, fmt.Errorf("alert: sender %q is not an e-mail address", s)
	}
	if a.Name == "" {
		a.Name = "Warder"
	}
	return a, nil
}

// validAddress accepts what can stand in an SMTP command and a header without
// any quoting.
func validAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || len(s) > 254 || !validDomain(s[at+1:]) {
		return false
	}
	for _, r := range s[:at] {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(`<>()[]\,;:@"`, r) {
			return false
		}
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

func validDomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r < 0x80 {
			return false
		}
	}
	return true
}

// Notify wakes the sender: the journal committed an alert. It never blocks.
func (s *Sender) Notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Recipients lists the addresses of everybody who gets alerts, sorted.
func (s *Sender) Recipients(ctx context.Context) ([]string, error) {
	people, err := s.opts.Recipients(ctx)
	if err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	seen := make(map[string]bool, len(people))
	var list []string
	for _, r := range people {
		if key := strings.ToLower(strings.TrimSpace(r.Address)); !seen[key] {
			seen[key] = true
			list = append(list, r.Address)
		}
	}
	slices.Sort(list)
	return list, nil
}

// SendTest sends a test mail to one address now and returns what the server
// answered, line by line and without secrets; also when it failed. It leaves
// the queue alone.
func (s *Sender) SendTest(ctx context.Context, to string) (transcript string, err error) {
	if !validAddress(to) {
		return "", fmt.Errorf("%q is not an e-mail address", to)
	}
	now := time.Now()
	d := &digest{count: 1, first: now}
	d.details = append(d.details, &guard.Alert{Kind: guard.AlertTest, Time: now, Text: "This mail was asked for by hand. If you can read it, alerts of Warder reach you."})
	w := s.latest()
	m, err := s.compose(d, Recipient{Address: to}, w.from, fmt.Sprintf("test-%d", now.UnixNano()))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	transcript, err = s.try(ctx, w, m)
	log := Delivery{ID: m.id, Time: now, To: to, Subject: subject(d), Kind: guard.AlertTest, Alerts: 0, State: Sent, Answer: lastLine(transcript)}
	switch {
	case err != nil:
		log.State, log.Answer = Failed, err.Error()
	case w.written:
		log.State, log.Answer = Written, m.path
	}
	s.note(context.WithoutCancel(ctx), log)
	return transcript, err
}

func (s *Sender) try(ctx context.Context, w *way, m *message) (transcript string, err error) {
	if t, ok := w.out.(*smtpServer); ok {
		return t.test(ctx, m)
	}
	out, err := w.out.open(ctx)
	if err != nil {
		return "", err
	}
	defer out.close()
	if err := out.send(ctx, m); err != nil {
		return "", err
	}
	return "No SMTP host is configured. Written to " + m.path + "\n", nil
}

// lastLine is the last line of a transcript that says something.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// note keeps what became of a mail.
func (s *Sender) note(ctx context.Context, d Delivery) {
	if s.opts.OnDelivery == nil {
		return
	}
	d.Answer = oneLine(d.Answer)
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if err := s.opts.OnDelivery(ctx, d); err != nil {
		s.opts.Logger.Warn("delivery not noted", "recipient", d.To, "error", err)
	}
}

// oneLine is what others wrote, fit for a line of a list.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxAnswerBytes {
		s = strings.ToValidUTF8(s[:maxAnswerBytes], "") + "..."
	}
	return s
}
