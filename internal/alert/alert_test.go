package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// outbox is an Outbox in memory. States survive as JSON, as they would in a
// database, so a new sender on the same outbox is a restart.
type outbox struct {
	mu     sync.Mutex
	alerts []*guard.Alert // number = index + 1
	states map[string][]byte
	broken bool
}

var errBroken = errors.New("database is locked")

func (o *outbox) add(alerts ...*guard.Alert) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alerts = append(o.alerts, alerts...)
}

func (o *outbox) setBroken(b bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken = b
}

func (o *outbox) AlertsAfter(_ context.Context, after int64, limit int) ([]Queued, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return nil, errBroken
	}
	var page []Queued
	for seq := after + 1; int(seq) <= len(o.alerts) && len(page) < limit; seq++ {
		page = append(page, Queued{seq, o.alerts[seq-1]})
	}
	return page, nil
}

func (o *outbox) MailStates(context.Context) (map[string][]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return nil, errBroken
	}
	m := map[string][]byte{}
	for k, v := range o.states {
		m[k] = slices.Clone(v)
	}
	return m, nil
}

func (o *outbox) SaveMailState(_ context.Context, key string, state []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return errBroken
	}
	if o.states == nil {
		o.states = map[string][]byte{}
	}
	if state == nil {
		delete(o.states, key)
		return nil
	}
	if len(state) > 4<<10 || !json.Valid(state) {
		return fmt.Errorf("bad state %q", state)
	}
	o.states[key] = slices.Clone(state)
	return nil
}

func to(addresses ...string) func(context.Context) ([]Recipient, error) {
	return func(context.Context) ([]Recipient, error) {
		var list []Recipient
		for _, a := range addresses {
			list = append(list, Recipient{Address: a})
		}
		return list, nil
	}
}

// attack makes an alert as the engine writes it.
func attack(i int) *guard.Alert {
	at := time.Now().UTC()
	ip := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
	b := &guard.Block{
		ID: fmt.Sprint("b", i), Reference: "7K3M-22QP", Subject: warder.Subject{IP: netip.PrefixFrom(ip, 32)},
		Origin: guard.FromRule, Rule: "sign_in", From: at,
	}
	a := &guard.Alert{
		ID: fmt.Sprint("a", i), Kind: guard.AlertCrossing, Time: at, Severity: warder.Critical, IP: ip.String(), Account: "alice",
		Realm: "user", Event: "USER_LOGIN_FAILURE", Rule: "sign_in", Action: warder.BlockAction, Count: 5, Window: 3600, Block: b,
	}
	for j := range 5 {
		a.Evidence = append(a.Evidence, guard.Evidence{
			Seq: int64(j), ID: fmt.Sprint("e", j), Time: at.Add(time.Duration(j-5) * time.Second), Name: "USER_LOGIN_FAILURE", IP: ip.String(),
			Account: []string{"alice", "bob"}[j%2], Realm: "user", Method: "POST", Path: "/login", Reason: warder.WrongPassword,
		})
	}
	return a
}

func system(kind string) *guard.Alert {
	return &guard.Alert{ID: "s-" + kind, Kind: kind, Time: time.Now(), Severity: warder.Critical, Text: "Configure trusted_proxies."}
}

// parsed is a mail taken apart.
type parsed struct {
	header     mail.Header
	raw        string
	text, html string
}

func parse(t *testing.T, raw []byte) parsed {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	p := parsed{header: m.Header, raw: string(raw)}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q: %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for i := 0; ; i++ {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = part
		if part.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			r = quotedprintable.NewReader(part)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		switch kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); {
		case kind == "text/plain" && i == 0:
			p.text = strings.ReplaceAll(string(b), "\r\n", "\n")
		case kind == "text/html" && i == 1:
			p.html = string(b)
		default:
			t.Errorf("part %d is %s", i, kind)
		}
	}
	return p
}

// write composes the mail that tells of alerts.
func write(t *testing.T, o Options, alerts ...*guard.Alert) parsed {
	t.Helper()
	o.Outbox, o.Recipients, o.Dir = &outbox{}, to(), t.TempDir()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	d := &digest{}
	for _, a := range alerts {
		d.add(a)
	}
	m, err := s.compose(d, Recipient{Address: "olga@example.org"}, s.from, "seed")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return parse(t, b.Bytes())
}

// rest lets time pass in a bubble and waits until everybody is idle again.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
