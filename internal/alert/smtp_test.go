package alert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/warderhq/warder/internal/guard"
)

// relay is a real SMTP server on loopback.
type relay struct {
	port  int
	roots *x509.CertPool

	mu       sync.Mutex
	taken    []letter
	sessions int
	secure   []bool
	login    string
	data     func(n int) error // answer to the nth DATA, from 1
	rcpt     func(to string) error
	drop     int // cut the connection in the middle of the first so many DATA
	tries    int
}

type letter struct {
	from string
	to   []string
	raw  []byte
}

type relayOptions struct {
	implicit, noTLS bool
	mechanisms      []string
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func newRelay(t *testing.T, o relayOptions) *relay {
	t.Helper()
	r := &relay{}
	cert, roots := certificate(t)
	r.roots = roots
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secure := c.TLSConnectionState()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sessions++
		r.secure = append(r.secure, secure)
		return &relaySession{r: r, conn: c, mechanisms: o.mechanisms}, nil
	}))
	srv.Domain, srv.ErrorLog = "relay.test", silent{}
	srv.ReadTimeout, srv.WriteTimeout = 5*time.Second, 5*time.Second
	if !o.noTLS {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	if o.noTLS {
		srv.AllowInsecureAuth = true
	}
	if o.implicit {
		l = tls.NewListener(l, srv.TLSConfig)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return r
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

type relaySession struct {
	r          *relay
	conn       *smtp.Conn
	mechanisms []string
	letter     letter
}

func (s *relaySession) AuthMechanisms() []string { return s.mechanisms }

func (s *relaySession) Auth(mech string) (sasl.Server, error) {
	check := func(user, password string) error {
		s.r.mu.Lock()
		defer s.r.mu.Unlock()
		if user != "warder" || password != "pass phrase" {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Bad credentials of " + user + " " + password}
		}
		s.r.login = mech
		return nil
	}
	if mech == sasl.Plain {
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	}
	return &loginServer{check: check}, nil
}

type loginServer struct {
	check func(user, password string) error
	user  *string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case l.user == nil:
		user := string(response)
		l.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

func (s *relaySession) Reset()        { s.letter = letter{} }
func (s *relaySession) Logout() error { return nil }
func (s *relaySession) Mail(from string, _ *smtp.MailOptions) error {
	s.letter.from = from
	return nil
}

func (s *relaySession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.r.rcpt != nil {
		if err := s.r.rcpt(to); err != nil {
			return err
		}
	}
	s.letter.to = append(s.letter.to, to)
	return nil
}

func (s *relaySession) Data(body io.Reader) error {
	s.r.mu.Lock()
	s.r.tries++
	n := s.r.tries
	cut := n <= s.r.drop
	s.r.mu.Unlock()
	if cut {
		_, _ = io.ReadFull(body, make([]byte, 100))
		_ = s.conn.Conn().Close()
		return errors.New("cut")
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if s.r.data != nil {
		if err := s.r.data(n); err != nil {
			return err
		}
	}
	s.letter.raw = raw
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.taken = append(s.r.taken, s.letter)
	return nil
}

func (r *relay) letters() []letter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]letter(nil), r.taken...)
}

// smtpSender makes a sender that delivers to the relay.
func (r *relay) sender(t *testing.T, o Options) *Sender {
	t.Helper()
	if o.Outbox == nil {
		o.Outbox = &outbox{}
	}
	if o.Recipients == nil {
		o.Recipients = to()
	}
	o.SMTP.Host, o.SMTP.Port, o.SMTP.RootCAs, o.SMTP.From = "127.0.0.1", r.port, r.roots, "Warder <warder@example.org>"
	if o.SMTP.Timeout == 0 {
		o.SMTP.Timeout = 5 * time.Second
	}
	o.Dial = (&net.Dialer{}).DialContext
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually runs rounds until the relay has n letters. Waiting for a next try
// is skipped, so that nothing sleeps.
func eventually(t *testing.T, s *Sender, r *relay, n, rounds int) {
	t.Helper()
	for range rounds {
		if _, err := s.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(r.letters()) >= n {
			return
		}
		s.outage.next = time.Time{}
		for _, b := range s.boxes {
			for _, l := range b.Lanes {
				if l.Sending != nil {
					l.Sending.Next = time.Time{}
				}
			}
		}
	}
	t.Fatalf("%d letters after %d rounds, want %d", len(r.letters()), rounds, n)
}

func TestSMTPSecurity(t *testing.T) {
	for _, tc := range []struct {
		name   string
		server relayOptions
		conf   SMTP
		login  string
		secure bool
	}{
		{"starttls", relayOptions{}, SMTP{}, "", true},
		{"starttls, PLAIN", relayOptions{mechanisms: []string{"PLAIN", "LOGIN"}}, SMTP{User: "warder", Password: "pass phrase"}, "PLAIN", true},
		{"starttls, LOGIN", relayOptions{mechanisms: []string{"LOGIN"}}, SMTP{User: "warder", Password: "pass phrase"}, "LOGIN", true},
		{"implicit", relayOptions{implicit: true}, SMTP{TLS: Implicit}, "", true},
		{"implicit, PLAIN", relayOptions{implicit: true, mechanisms: []string{"PLAIN"}}, SMTP{TLS: Implicit, User: "warder", Password: "pass phrase"}, "PLAIN", true},
		{"none", relayOptions{noTLS: true}, SMTP{TLS: Plain}, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRelay(t, tc.server)
			o := &outbox{alerts: []*guard.Alert{attack(1)}}
			s := r.sender(t, Options{Outbox: o, SMTP: tc.conf, Recipients: to(olga, otto)})
			eventually(t, s, r, 2, 1)
			got := r.letters()
			if got[0].from != "warder@example.org" || fmt.Sprint(got[0].to, got[1].to) != "["+olga+"] ["+otto+"]" {
				t.Errorf("envelopes: %+v", got)
			}
			p := parse(t, got[0].raw)
			if !strings.Contains(p.text, "203.0.0.1") || p.header.Get("To") != "<"+olga+">" {
				t.Errorf("mail: %s", p.raw)
			}
			if r.login != tc.login || r.secure[len(r.secure)-1] != tc.secure {
				t.Errorf("login %q, secure %v", r.login, r.secure)
			}
		})
	}
}

// A password, and with STARTTLS any mail at all, never travels in the clear.
func TestSMTPNeverFallsBackToClearText(t *testing.T) {
	r := newRelay(t, relayOptions{noTLS: true, mechanisms: []string{"PLAIN"}})
	o := &outbox{alerts: []*guard.Alert{attack(1)}}
	s := r.sender(t, Options{Outbox: o, Recipients: to(olga), SMTP: SMTP{User: "warder", Password: "pass phrase"}})
	if _, err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.letters()) != 0 || r.login != "" || !s.failing() {
		t.Error("sent without TLS")
	}
	if _, err := New(Options{Outbox: o, Recipients: to(), SMTP: SMTP{Host: "h", TLS: Plain, User: "u"}, Dial: (&net.Dialer{}).DialContext}); err == nil {
		t.Error("a password without TLS is accepted")
	}

	// A certificate that nobody vouches for.
	r = newRelay(t, relayOptions{})
	r.roots = x509.NewCertPool()
	s = r.sender(t, Options{Outbox: o, Recipients: to(olga)})
	if _, err := s.round(t.Context()); err != nil || len(r.letters()) != 0 || !s.failing() {
		t.Error("sent to a server with a wrong certificate")
	}
}

func TestSMTPTemporaryAnswerThenSuccess(t *testing.T) {
	r := newRelay(t, relayOptions{})
	r.data = func(n int) error {
		if n <= 2 {
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted"}
		}
		return nil
	}
	s := r.sender(t, Options{Outbox: &outbox{alerts: []*guard.Alert{attack(1)}}, Recipients: to(olga)})
	if _, err := s.round(t.Context()); err != nil || !s.failing() || s.boxes[olga].Lanes[laneAttack].Sending.Tries != 1 {
		t.Fatalf("%v", err)
	}
	eventually(t, s, r, 1, 4)
	if s.failing() {
		t.Error("still failing")
	}
}

func TestSMTPUnknownRecipient(t *testing.T) {
	r := newRelay(t, relayOptions{})
	r.rcpt = func(to string) error {
		if to == olga {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
		}
		return nil
	}
	s := r.sender(t, Options{Outbox: &outbox{alerts: []*guard.Alert{attack(1)}}, Recipients: to(olga, otto)})
	eventually(t, s, r, 1, 1)
	if got := r.letters(); len(got) != 1 || got[0].to[0] != otto {
		t.Errorf("letters: %+v", got)
	}
	if r.sessions > 2 { // one greets in the clear, one after STARTTLS
		t.Errorf("%d sessions for two mails", r.sessions)
	}
}

func TestSMTPConnectionDropsInTheMiddle(t *testing.T) {
	r := newRelay(t, relayOptions{})
	r.drop = 2
	s := r.sender(t, Options{Outbox: &outbox{alerts: []*guard.Alert{attack(1)}}, Recipients: to(olga)})
	if _, err := s.round(t.Context()); err != nil || s.outage.tries != 1 {
		t.Fatalf("%v, %+v", err, s.outage)
	}
	eventually(t, s, r, 1, 4)
	if len(r.letters()) != 1 || s.failing() {
		t.Errorf("letters: %d", len(r.letters()))
	}
}

func TestSMTPDeadServers(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := refused.Addr().(*net.TCPAddr).Port
	refused.Close()
	for name, r := range map[string]*relay{
		"refused": {port: port},
		"mute":    {port: listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })},
		"rude":    {port: listen(t, func(c net.Conn) { fmt.Fprint(c, "554 go away\r\n") })},
		"babble":  {port: listen(t, func(c net.Conn) { fmt.Fprint(c, strings.Repeat("x", 1<<16)) })},
		"closing": {port: listen(t, func(net.Conn) {})},
	} {
		t.Run(name, func(t *testing.T) {
			bad := ""
			s := r.sender(t, Options{
				Outbox: &outbox{alerts: []*guard.Alert{attack(1)}}, Recipients: to(olga, otto), SMTP: SMTP{Timeout: 200 * time.Millisecond},
				OnHealth: func(reason string, b bool) {
					if b {
						bad += reason
					}
				},
			})
			if _, err := s.round(t.Context()); err != nil {
				t.Fatal(err)
			}
			if bad != Failing || s.outage.tries != 1 {
				t.Errorf("health %q, %d tries", bad, s.outage.tries)
			}
		})
	}
}

// listen serves connections with f and then closes them.
func listen(t *testing.T, f func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestTestMailShowsTheRealAnswer(t *testing.T) {
	r := newRelay(t, relayOptions{mechanisms: []string{"PLAIN"}})
	s := r.sender(t, Options{SMTP: SMTP{User: "warder", Password: "pass phrase"}})
	script, err := s.SendTest(t.Context(), olga)
	if err != nil {
		t.Fatalf("%v\n%s", err, script)
	}
	for _, want := range []string{"250 ", "220 ", "235 ", "354 ", "queued"} {
		if !strings.Contains(script, want) {
			t.Errorf("%q is missing in\n%s", want, script)
		}
	}
	p := parse(t, r.letters()[0].raw)
	if !strings.Contains(p.header.Get("Subject"), "Test mail") {
		t.Errorf("subject %q", p.header.Get("Subject"))
	}

	s = r.sender(t, Options{SMTP: SMTP{User: "warder", Password: "wrong secret"}})
	script, err = s.SendTest(t.Context(), olga)
	if err == nil || !strings.Contains(script, "535 5.7.8 Bad credentials") || strings.Contains(script+err.Error(), "wrong secret") {
		t.Errorf("%v\n%s", err, script)
	}

	r.rcpt = func(string) error {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Relaying denied"}
	}
	s = r.sender(t, Options{SMTP: SMTP{User: "warder", Password: "pass phrase"}})
	if script, err = s.SendTest(t.Context(), olga); err == nil || !strings.Contains(script, "550 5.7.1 Relaying denied") {
		t.Errorf("%v\n%s", err, script)
	}
	for _, bad := range []string{"", "x", "a@b\r\nRCPT TO:<c@d>", "a b@c.d", "<a@b.c>", "a@b.c, d@e.f"} {
		if _, err := s.SendTest(t.Context(), bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.SendTest(ctx, olga); err == nil {
		t.Error("cancelled and yet sent")
	}
}
