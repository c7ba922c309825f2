package alert

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	maillog "github.com/wneessen/go-mail/log"
	"github.com/wneessen/go-mail/smtp"
)

const (
	smtpTimeout    = 30 * time.Second
	maxTranscript  = 200 // lines
	maxAnswerBytes = 512 // of one line of a transcript
)

// smtpServer is a mail server as configured.
type smtpServer struct {
	conf SMTP
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	helo string
}

func newSMTP(conf SMTP, dial func(context.Context, string, string) (net.Conn, error)) (*smtpServer, error) {
	if dial == nil {
		return nil, errors.New("alert: no way to reach the SMTP host")
	}
	if conf.TLS == "" {
		conf.TLS = StartTLS
	}
	port, ok := map[string]int{StartTLS: 587, Implicit: 465, Plain: 25}[conf.TLS]
	switch {
	case !ok:
		return nil, fmt.Errorf("alert: smtp.tls must be %s, %s or %s, is %q", StartTLS, Implicit, Plain, conf.TLS)
	case conf.TLS == Plain && conf.User != "":
		return nil, errors.New("alert: a mail password must not travel without TLS: set smtp.tls, or no smtp.user")
	case conf.Port < 0 || conf.Port > 65535:
		return nil, fmt.Errorf("alert: smtp.port must be 1 to 65535, is %d", conf.Port)
	}
	if conf.Port == 0 {
		conf.Port = port
	}
	if conf.Timeout <= 0 {
		conf.Timeout = smtpTimeout
	}
	helo, err := os.Hostname()
	if err != nil || !validDomain(helo) {
		helo = "localhost"
	}
	return &smtpServer{conf: conf, dial: dial, helo: helo}, nil
}

func (t *smtpServer) open(ctx context.Context) (delivery, error) {
	d, err := t.connect(ctx, nil)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// connect dials, secures the connection and signs in.
func (t *smtpServer) connect(ctx context.Context, script *transcript) (*smtpDelivery, error) {
	d := &smtpDelivery{server: t}
	tlsConf := &tls.Config{ServerName: t.conf.Host, RootCAs: t.conf.RootCAs, MinVersion: tls.VersionTLS12}
	opts := []gomail.Option{
		gomail.WithPort(t.conf.Port), gomail.WithTimeout(t.conf.Timeout), gomail.WithHELO(t.helo), gomail.WithTLSConfig(tlsConf),
		gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := t.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			d.conn = conn
			if t.conf.TLS != Implicit {
				return conn, nil
			}
			secure := tls.Client(conn, tlsConf)
			if err := secure.HandshakeContext(ctx); err != nil {
				return nil, fmt.Errorf("TLS handshake: %w", err)
			}
			return secure, nil
		}),
	}
	if t.conf.TLS == StartTLS {
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	} else {
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS)) // Implicit has it already
	}
	if t.conf.User != "" {
		opts = append(opts, gomail.WithSMTPAuthCustom(&login{user: t.conf.User, password: t.conf.Password, host: t.conf.Host}))
	}
	if script != nil {
		opts = append(opts, gomail.WithDebugLog(), gomail.WithLogger(script))
	}
	client, err := gomail.NewClient(t.conf.Host, opts...)
	if err != nil {
		return nil, fmt.Errorf("mail server %s: %w", t.conf.Host, err)
	}
	if script != nil {
		client.ErrorHandlerRegistry.SetDefaultHandler(script)
	}
	d.client = client
	d.smtp, err = client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		if d.conn != nil {
			_ = d.conn.Close()
		}
		return nil, fmt.Errorf("mail server %s: %w", net.JoinHostPort(t.conf.Host, strconv.Itoa(t.conf.Port)), t.redact(err))
	}
	return d, nil
}

// smtpDelivery is a connection to the server.
type smtpDelivery struct {
	server *smtpServer
	client *gomail.Client
	smtp   *smtp.Client
	conn   net.Conn
}

func (d *smtpDelivery) send(ctx context.Context, m *message) error {
	stop := context.AfterFunc(ctx, func() { _ = d.conn.Close() })
	defer stop()
	err := d.client.SendWithSMTPClient(d.smtp, m.Msg)
	if err == nil || m.IsDelivered() { // a mail that was taken is delivered, whatever came after
		return nil
	}
	if se, ok := errors.AsType[*gomail.SendError](err); ok && se.ErrorCode() >= 400 && se.ErrorCode() != 421 {
		return &refusal{code: se.ErrorCode(), err: err}
	}
	return err
}

func (d *smtpDelivery) close() {
	_ = d.conn.SetDeadline(time.Now().Add(2 * time.Second)) // QUIT is a courtesy
	_ = d.client.CloseWithSMTPClient(d.smtp)
	_ = d.conn.Close()
}

// test sends one mail and returns what the server said.
func (t *smtpServer) test(ctx context.Context, m *message) (string, error) {
	script := &transcript{secrets: t.secrets()}
	d, err := t.connect(ctx, script)
	if err != nil {
		script.failed(err)
		return script.String(), err
	}
	defer d.close()
	if err := d.send(ctx, m); err != nil {
		script.failed(err)
		return script.String(), err
	}
	if answer := strings.TrimSpace(m.ServerResponse()); answer != "" && !strings.Contains(script.String(), answer) {
		script.add("250 " + strings.TrimPrefix(answer, "250 "))
	}
	return script.String(), nil
}

// redact is for servers that repeat a wrong password in their answer.
func (t *smtpServer) redact(err error) error {
	text := err.Error()
	for _, secret := range t.secrets() {
		text = strings.ReplaceAll(text, secret, "***")
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// secrets are all the forms in which the password can appear in a conversation.
func (t *smtpServer) secrets() []string {
	if t.conf.Password == "" {
		return nil
	}
	enc := base64.StdEncoding.EncodeToString
	return []string{t.conf.Password, enc([]byte(t.conf.Password)), enc([]byte("\x00" + t.conf.User + "\x00" + t.conf.Password))}
}

// transcript gathers the lines that a server answered.
type transcript struct {
	mu      sync.Mutex
	lines   []string
	secrets []string
}

func (s *transcript) add(line string) {
	for _, secret := range s.secrets {
		line = strings.ReplaceAll(line, secret, "***")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) < maxTranscript {
		s.lines = append(s.lines, tame(line, maxAnswerBytes))
	}
}

// HandleError implements the error handler of go-mail, which does not log what
// a server refuses.
func (s *transcript) HandleError(_, _ string, _ *textproto.Conn, err error) error {
	if te, ok := errors.AsType[*textproto.Error](err); ok {
		for line := range strings.SplitSeq(te.Msg, "\n") {
			s.add(fmt.Sprintf("%d %s", te.Code, line))
		}
	}
	return err
}

// failed adds the error that ended a conversation: it is not always an answer.
func (s *transcript) failed(err error) { s.add("failed: " + err.Error()) }

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 {
		return ""
	}
	return strings.Join(s.lines, "\n") + "\n"
}

// Debugf implements the logger of go-mail: what the server says is kept, what
// we say is not.
func (s *transcript) Debugf(l maillog.Log) {
	if l.Direction != maillog.DirServerToClient {
		return
	}
	text := fmt.Sprintf(l.Format, l.Messages...)
	code, rest, _ := strings.Cut(text, " ")
	for line := range strings.SplitSeq(rest, "\n") {
		s.add(code + " " + strings.TrimRight(line, "\r"))
	}
}

// Infof implements the logger of go-mail.
func (s *transcript) Infof(maillog.Log) {}

// Warnf implements the logger of go-mail.
func (s *transcript) Warnf(maillog.Log) {}

// Errorf implements the logger of go-mail.
func (s *transcript) Errorf(maillog.Log) {}

// login signs in with PLAIN or LOGIN, whichever the server offers, and only
// over TLS.
type login struct {
	user, password, host string
	chosen               smtp.Auth
}

// Start implements smtp.Auth.
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	for _, mechanism := range server.Auth {
		switch strings.ToUpper(mechanism) {
		case "PLAIN":
			l.chosen = smtp.PlainAuth("", l.user, l.password, l.host, false)
			return l.start(server)
		case "LOGIN":
			l.chosen = smtp.LoginAuth(l.user, l.password, l.host, false)
		}
	}
	if l.chosen == nil {
		return "", nil, fmt.Errorf("server offers neither AUTH PLAIN nor AUTH LOGIN, but %q", server.Auth)
	}
	return l.start(server)
}

func (l *login) start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS {
		return "", nil, errors.New("server wants a password without TLS")
	}
	return l.chosen.Start(server)
}

// Next implements smtp.Auth.
func (l *login) Next(fromServer []byte, more bool) ([]byte, error) {
	return l.chosen.Next(fromServer, more)
}
