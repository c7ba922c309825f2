package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/guard"
)

// post is a mail server in memory, for use in a bubble.
type post struct {
	mu    sync.Mutex
	mails []posted
	fail  func(m *message) error // asked before a mail is taken
	after error                  // returned although the mail was taken
	dead  error                  // returned by open
	opens int
}

type posted struct {
	at    time.Time
	to    string
	id    string
	title string
	n     int
	mail  parsed
}

func (p *post) open(context.Context) (delivery, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens++
	if p.dead != nil {
		return nil, p.dead
	}
	return p, nil
}

func (p *post) close() {}

var digestCount = regexp.MustCompile(`(\d+) alerts: `)

func (p *post) send(_ context.Context, m *message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(m); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return err
	}
	one := posted{at: time.Now(), to: m.to, id: m.id, title: strings.Join(m.GetGenHeader("Subject"), ""), n: 1}
	if f := digestCount.FindStringSubmatch(one.title); f != nil {
		one.n, _ = strconv.Atoi(f[1])
	}
	one.mail.raw = b.String()
	p.mails = append(p.mails, one)
	return p.after
}

func (p *post) set(f func(*post)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// take returns the mails so far to one recipient.
func (p *post) to(address string) (list []posted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.mails {
		if m.to == address {
			list = append(list, m)
		}
	}
	return list
}

func total3(list []posted) (n int) {
	for _, m := range list {
		n += m.n
	}
	return n
}

// start runs a sender that delivers to p; stop ends it as a crash would:
// nothing is saved on the way out.
func start(t *testing.T, o Options, p *post) (s *Sender, stop func()) {
	t.Helper()
	o.SMTP.From = "warder@example.org"
	o.Dir = "unused"
	health := o.OnHealth
	o.OnHealth = nil // it would tell of the files that p takes the place of
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.out, s.written, s.opts.OnHealth = p, false, health
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

const olga, otto = "olga@example.org", "otto@example.org"

func TestFirstMailLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		s, stop := start(t, Options{Outbox: o, Recipients: to(olga, otto, "OLGA@Example.org")}, p)
		defer stop()
		rest(time.Minute)
		began := time.Now()
		o.add(attack(1))
		s.Notify()
		synctest.Wait()
		rest(time.Second)
		if len(p.to(olga)) != 1 || len(p.to(otto)) != 1 || len(p.mails) != 2 {
			t.Fatalf("mails: %+v", p.mails)
		}
		if d := p.mails[0].at.Sub(began); d > time.Second {
			t.Errorf("first mail after %s", d)
		}
		if p.mails[0].id == p.mails[1].id {
			t.Error("two recipients share a Message-ID")
		}
		rest(3 * time.Hour)
		if len(p.mails) != 2 {
			t.Errorf("%d mails of one alert", len(p.mails))
		}
	})
}

func TestPollingFindsAlertsWithoutNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		_, stop := start(t, Options{Outbox: o, Recipients: to(olga)}, p)
		defer stop()
		rest(time.Minute)
		o.add(attack(1))
		rest(10 * time.Second)
		if len(p.mails) != 1 {
			t.Errorf("%d mails", len(p.mails))
		}
	})
}

func TestThrottleFirstThenDigests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		s, stop := start(t, Options{Outbox: o, Recipients: to(olga)}, p)
		defer stop()
		began := time.Now()
		for i := range 50_000 { // within a minute
			o.add(attack(i))
			if i%1000 == 0 {
				s.Notify()
				rest(time.Second)
			}
		}
		rest(12 * time.Hour)
		mails := p.to(olga)
		if n := total3(mails); n != 50_000 {
			t.Errorf("%d alerts told, want exactly 50000", n)
		}
		if len(mails) != 2 || mails[0].at.Sub(began) > time.Second || mails[0].n != 1 {
			t.Fatalf("mails: %d, first %+v", len(mails), mails[0].title)
		}
		if gap := mails[1].at.Sub(mails[0].at); gap < 5*time.Minute || gap > 5*time.Minute+10*time.Second {
			t.Errorf("digest after %s", gap)
		}
		if raw := mails[1].mail.raw; len(raw) > 200_000 {
			t.Errorf("digest of %d bytes", len(raw))
		}
	})
}

func TestThrottleUnderLastingAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		_, stop := start(t, Options{Outbox: o, Recipients: to(olga)}, p)
		defer stop()
		n := 0
		for range 6 * 60 { // six hours
			o.add(attack(n))
			n++
			rest(time.Minute)
		}
		rest(2 * time.Hour)
		mails := p.to(olga)
		if total3(mails) != n {
			t.Errorf("%d told of %d", total3(mails), n)
		}
		var gaps []time.Duration
		for i := 1; i < len(mails); i++ {
			gaps = append(gaps, mails[i].at.Sub(mails[i-1].at).Truncate(time.Minute))
		}
		want := []time.Duration{5 * time.Minute}
		for range len(gaps) - 1 {
			want = append(want, time.Hour)
		}
		if diff := cmp.Diff(want, gaps); diff != "" {
			t.Error(diff)
		}

		rest(3 * time.Hour) // quiet: the next one is a first one again
		before := len(p.to(olga))
		at := time.Now()
		o.add(attack(n))
		rest(10 * time.Second)
		o.add(attack(n + 1))
		rest(10 * time.Minute)
		mails = p.to(olga)[before:]
		if len(mails) != 2 || mails[0].at.Sub(at) > 6*time.Second || mails[1].at.Sub(mails[0].at) > 6*time.Minute {
			t.Errorf("after a quiet time: %v", mails)
		}
	})
}

func TestAtMostTenMailsAnHour(t *testing.T) {
	now := time.Now()
	b := newMailbox(0)
	l := b.Lanes[laneAttack]
	for i := range perHour {
		if at := b.due(l, laneAttack, Recipient{}, true, now); at.After(now) {
			t.Fatalf("mail %d must wait until %s", i, at)
		}
		l.Sending = &sending{To: int64(i)}
		b.delivered(l, now, now)
		now = now.Add(time.Minute)
	}
	if at := b.due(l, laneAttack, Recipient{}, true, now); at.Sub(now) != 50*time.Minute {
		t.Errorf("the eleventh mail waits %s", at.Sub(now))
	}
	other := b.Lanes[laneSystem]
	if at := b.due(other, laneSystem, Recipient{}, true, now); at.Sub(now) != 50*time.Minute {
		t.Errorf("the other lane is not limited: %s", at.Sub(now))
	}
	if b.forget(now.Add(2 * time.Hour)); len(b.Sent) != 0 {
		t.Errorf("%d old mails remembered", len(b.Sent))
	}
}

func TestAttacksDoNotDelaySystemAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		_, stop := start(t, Options{Outbox: o, Recipients: to(olga)}, p)
		defer stop()
		o.add(attack(1))
		rest(20 * time.Second)
		o.add(attack(2), system(guard.AlertForwarder), attack(3))
		rest(10 * time.Second)
		mails := p.to(olga)
		if len(mails) != 2 || !strings.Contains(mails[1].title, "unknown proxy") {
			t.Fatalf("mails: %v", mails)
		}
		rest(5 * time.Minute)
		if mails = p.to(olga); len(mails) != 3 || mails[2].n != 2 {
			t.Errorf("digest: %+v", mails)
		}
	})
}

// A restart neither loses nor repeats, and keeps the throttle.
func TestStateSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		opts := Options{Outbox: o, Recipients: to(olga)}
		_, stop := start(t, opts, p)
		o.add(attack(1))
		rest(10 * time.Second)
		o.add(attack(2))
		rest(10 * time.Second)
		stop()
		o.add(attack(3))
		_, stop = start(t, opts, p)
		rest(2 * time.Minute)
		if len(p.to(olga)) != 1 {
			t.Fatalf("the restart reset the throttle: %v", p.to(olga))
		}
		rest(4 * time.Minute)
		stop()
		_, stop = start(t, opts, p)
		defer stop()
		rest(3 * time.Hour)
		if mails := p.to(olga); len(mails) != 2 || total3(mails) != 3 {
			t.Errorf("mails: %v", mails)
		}
	})
}

// The connection drops after the server took the mail but before it said so,
// and then Warder dies: the mail comes again, the same alerts under the same
// Message-ID, although more have happened meanwhile.
func TestRepeatAfterCrashKeepsMessageID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{after: errors.New("connection reset")}
		opts := Options{Outbox: o, Recipients: to(olga)}
		o.add(attack(1), attack(2))
		_, stop := start(t, opts, p)
		rest(time.Second)
		stop()
		o.add(attack(3))
		p.set(func(p *post) { p.after = nil })
		_, stop = start(t, opts, p)
		defer stop()
		rest(time.Hour)
		mails := p.to(olga)
		if len(mails) != 3 || mails[0].id != mails[1].id || mails[0].n != 2 || mails[1].n != 2 || mails[2].n != 1 || mails[2].id == mails[0].id {
			t.Errorf("mails: %v", mails)
		}
	})
}

func TestOutageIsShownAndRecoversByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{dead: errors.New("connection refused")}
		var health []string
		s, stop := start(t, Options{Outbox: o, Recipients: to(olga, otto), OnHealth: func(reason string, bad bool) {
			health = append(health, fmt.Sprint(reason, bad))
		}}, p)
		defer stop()
		o.add(attack(1))
		s.Notify()
		rest(6 * time.Hour)
		if p.opens < 60 || p.opens > 90 {
			t.Errorf("%d connections in six hours", p.opens)
		}
		if diff := cmp.Diff([]string{"mail_failingtrue"}, health); diff != "" {
			t.Error(diff)
		}
		p.set(func(p *post) { p.dead = nil })
		rest(6 * time.Minute)
		if len(p.to(olga)) != 1 || len(p.to(otto)) != 1 {
			t.Errorf("mails: %v", p.mails)
		}
		if diff := cmp.Diff([]string{"mail_failingtrue", "mail_failingfalse"}, health); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRefusalOfOneRecipientDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		p.fail = func(m *message) error {
			if m.to == olga {
				return &refusal{550, errors.New("550 no such user")}
			}
			return nil
		}
		_, stop := start(t, Options{Outbox: o, Recipients: to(olga, otto)}, p)
		defer stop()
		o.add(attack(1), attack(2))
		rest(10 * time.Second)
		if len(p.to(otto)) != 1 {
			t.Fatalf("mails: %v", p.mails)
		}
		rest(30 * time.Hour) // given up, and told of later
		p.set(func(p *post) { p.fail = nil })
		o.add(attack(3))
		rest(10 * time.Second)
		mails := p.to(olga)
		if len(mails) != 1 || !strings.Contains(mails[0].mail.raw, "2 earlier alerts could not be delivered") {
			t.Errorf("mails: %v", mails)
		}
	})
}

func TestTemporaryRefusalIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		tries := 0
		p.fail = func(*message) error {
			if tries++; tries <= 2 {
				return &refusal{451, errors.New("451 try again later")}
			}
			return nil
		}
		_, stop := start(t, Options{Outbox: o, Recipients: to(olga)}, p)
		defer stop()
		o.add(attack(1))
		rest(3 * time.Minute)
		if len(p.to(olga)) != 1 {
			t.Errorf("mails: %v after %d tries", p.mails, tries)
		}
	})
}

func TestLockedDatabaseDelaysButLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{broken: true}, &post{}
		_, stop := start(t, Options{Outbox: o, Recipients: to(olga)}, p)
		defer stop()
		o.add(attack(1))
		rest(20 * time.Second)
		o.setBroken(false)
		rest(10 * time.Second)
		if len(p.to(olga)) != 1 {
			t.Fatalf("mails: %v", p.mails)
		}
		o.setBroken(true)
		rest(time.Minute)
		o.add(attack(2))
		o.setBroken(false)
		rest(time.Hour)
		if total3(p.to(olga)) != 2 {
			t.Errorf("mails: %v", p.mails)
		}
	})
}

func TestRecipientsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{}
		var mu sync.Mutex
		list := []Recipient{{Address: olga}, {Address: "not an address"}, {Address: "x@example.org\r\nBcc: y@example.org"}}
		health := map[string]bool{}
		_, stop := start(t, Options{Outbox: o, Recipients: func(context.Context) ([]Recipient, error) {
			mu.Lock()
			defer mu.Unlock()
			return list, nil
		}, OnHealth: func(reason string, bad bool) { health[reason] = bad }}, p)
		defer stop()
		set := func(addresses ...string) {
			mu.Lock()
			defer mu.Unlock()
			list, _ = to(addresses...)(t.Context())
		}
		o.add(attack(1))
		rest(10 * time.Second)
		set(olga, otto) // otto is new and gets what happens from now on
		rest(10 * time.Second)
		o.add(attack(2))
		rest(10 * time.Second)
		if len(p.to(olga)) != 1 || len(p.to(otto)) != 1 || !strings.Contains(p.to(otto)[0].mail.raw, "203.0.0.2") {
			t.Fatalf("mails: %v", p.mails)
		}
		set(otto) // olga was switched off before her digest
		rest(time.Hour)
		if len(p.mails) != 2 || o.states[olga] != nil {
			t.Errorf("mails: %v, states %v", p.mails, maps.Keys(o.states))
		}
		set()
		rest(10 * time.Second)
		if !health[NoRecipient] {
			t.Error("no recipient is not shown")
		}
		set(otto)
		rest(10 * time.Second)
		if health[NoRecipient] {
			t.Error("no recipient is still shown")
		}
	})
}

func TestAlertsRemovedByRetentionAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &outbox{}, &post{dead: errors.New("down")}
		_, stop := start(t, Options{Outbox: o, Recipients: to(olga)}, p)
		defer stop()
		o.add(attack(1))
		rest(time.Minute)
		o.mu.Lock()
		o.alerts = nil
		o.mu.Unlock()
		p.set(func(p *post) { p.dead = nil })
		rest(time.Hour)
		if len(p.mails) != 0 {
			t.Errorf("mails: %v", p.mails)
		}
	})
}
