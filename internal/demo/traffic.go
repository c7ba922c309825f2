package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// traffic is the life of the platform: people who use it, and attackers. All of
// it is real HTTP through the front proxy, a few requests a second at most.
type traffic struct {
	front     *Front
	platform  *Platform
	people    *population
	transport http.RoundTripper
	pace      time.Duration // the unit of all pauses: a second, less in tests
	sent      atomic.Int64
	log       *slog.Logger
}

// visitor is one browser or program somewhere in the world.
type visitor struct {
	t     *traffic
	http  http.Client
	addr  netip.Addr
	agent string
}

func (t *traffic) visitor(addr netip.Addr, agent string) *visitor {
	jar, _ := cookiejar.New(nil) // never fails
	v := &visitor{t: t, addr: addr, agent: agent}
	v.http = http.Client{
		Transport: t.transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return v
}

// do sends a request and returns the status, 0 if there was no answer.
func (v *visitor) do(ctx context.Context, method, path string, form url.Values) int {
	var body io.Reader
	if form != nil {
		body = bytes.NewBufferString(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+v.t.front.bots.Addr().String()+path, body)
	if err != nil {
		return 0
	}
	r.Header.Set(trafficFrom, v.addr.String())
	r.Header.Set(trafficSecret, v.t.front.secret)
	r.Header.Set("User-Agent", v.agent)
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := v.http.Do(r)
	if err != nil {
		if ctx.Err() == nil {
			v.t.log.DebugContext(ctx, "no answer", "path", path, "error", err)
		}
		return 0
	}
	defer res.Body.Close()
	v.t.sent.Add(1)
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // to use the connection again
	return res.StatusCode
}

func (v *visitor) get(ctx context.Context, path string) int {
	return v.do(ctx, http.MethodGet, path, nil)
}

// signIn tries a password.
func (v *visitor) signIn(ctx context.Context, realm Realm, name, password string) int {
	path := "/login"
	if realm == Admin {
		path = "/admin/login"
	}
	return v.do(ctx, http.MethodPost, path, url.Values{"username": {name}, "password": {password}})
}

// refused reports whether an answer was the gate's refusal.
func refused(status int) bool { return status == http.StatusForbidden }

// pause waits for about n units of time; false means that ctx has ended.
func (t *traffic) pause(ctx context.Context, n float64) bool {
	d := time.Duration(n * (0.6 + 0.8*float64(number(1000))/1000) * float64(t.pace))
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// After a while everything is calmer, so that a demo that runs for a day does
// not drown the thirty days before it.
const (
	calmAfter = 120
	calmer    = 4
)

// run lives until ctx ends.
func (t *traffic) run(ctx context.Context) error {
	var g errgroup.Group
	begun := time.Now()
	loop := func(first, every float64, f func(context.Context)) {
		g.Go(func() error {
			for ok := t.pause(ctx, first); ok; {
				f(ctx)
				next := every
				if time.Since(begun) > calmAfter*t.pace {
					next *= calmer
				}
				ok = t.pause(ctx, next)
			}
			return nil
		})
	}
	for i := range 3 {
		loop(float64(i)/2, 4, func(ctx context.Context) { t.use(ctx, t.people.home[number(len(t.people.home))]) })
	}
	loop(0.5, 6, func(ctx context.Context) { t.use(ctx, t.people.office[number(len(t.people.office))]) })
	loop(3, 40, func(ctx context.Context) { t.administer(ctx, t.people.admins[number(len(t.people.admins))]) })
	loop(8, 70, func(ctx context.Context) { t.recover(ctx, t.people.home[number(len(t.people.home))]) })
	stale := t.visitor(t.people.forgetful.addr, t.people.forgetful.agent)
	loop(1, 20, func(ctx context.Context) {
		stale.signIn(ctx, User, t.people.forgetful.name, "the-password-of-last-year")
	})
	g.Go(func() error { t.attacks(ctx); return nil })
	return g.Wait()
}

// use signs somebody in, with a typo now and then, and does what people do.
func (t *traffic) use(ctx context.Context, p person) {
	v := t.visitor(p.addr, p.agent)
	v.get(ctx, "/login")
	if number(6) == 0 {
		wrong := typo(p.password)
		v.signIn(ctx, p.realm, p.name, wrong)
		if number(2) == 0 && t.pause(ctx, 1.5) {
			v.signIn(ctx, p.realm, p.name, wrong) // sure that it was right
		}
		if !t.pause(ctx, 2) {
			return
		}
	}
	if v.signIn(ctx, p.realm, p.name, p.password) != http.StatusSeeOther {
		return
	}
	v.get(ctx, "/messages")
	v.get(ctx, "/assets/style.css")
	if !t.pause(ctx, 1) {
		return
	}
	if number(3) == 0 {
		v.do(ctx, http.MethodPost, "/messages", url.Values{"to": {telephone()}, "text": {phrases[number(len(phrases))]}})
	} else {
		v.get(ctx, "/account")
	}
	if number(3) > 0 && t.pause(ctx, 1) {
		v.do(ctx, http.MethodPost, "/logout", url.Values{})
	}
}

// administer signs an administrator in; afterwards a tab that was left open
// asks for the pages once more.
func (t *traffic) administer(ctx context.Context, p person) {
	v := t.visitor(p.addr, p.agent)
	if v.signIn(ctx, Admin, p.name, p.password) != http.StatusSeeOther {
		return
	}
	for _, path := range []string{"/admin/", "/admin/users", "/admin/gateways"} {
		v.get(ctx, path)
		if !t.pause(ctx, 1) {
			return
		}
	}
	v.do(ctx, http.MethodPost, "/admin/logout", url.Values{})
	if number(3) == 0 {
		v.get(ctx, "/admin/users")
	}
}

// recover gets somebody who has forgotten the password back in.
func (t *traffic) recover(ctx context.Context, p person) {
	v := t.visitor(p.addr, p.agent)
	v.signIn(ctx, User, p.name, "forgotten-"+p.name)
	v.do(ctx, http.MethodPost, "/forgot", url.Values{"username": {p.name}})
	if !t.pause(ctx, 3) {
		return
	}
	v.do(ctx, http.MethodPost, "/reset", url.Values{"username": {p.name}, "code": {t.platform.code(p.name)}, "new_password": {p.password}})
	v.signIn(ctx, User, p.name, p.password)
	v.get(ctx, "/messages")
}

// attacks go on one after the other: all kinds within the first minute, then
// one every minute or two.
func (t *traffic) attacks(ctx context.Context) {
	var pool addresses
	kinds := []func(context.Context, netip.Addr){t.bruteForce, t.enumerate, t.spray(&pool), t.steal, t.stuff, t.probe, t.lookAround}
	for _, kind := range kinds {
		if !t.pause(ctx, 1) {
			return
		}
		kind(ctx, pool.next())
	}
	for t.pause(ctx, 50) {
		kinds[number(len(kinds))](ctx, pool.next())
	}
}

// addresses hands out those of attackers, again from the start when all were
// used: those in documentation networks are few, which bounds the blocks.
type addresses struct{ n int }

func (a *addresses) next() netip.Addr {
	a.n++
	if a.n%5 == 0 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0x0b, 0xad, 0, byte(a.n / 5), 15: 1})
	}
	last := byte(1 + a.n*37%250) // visits each of 250 once
	if last == 66 {
		last = 254 // that one is for visitors
	}
	return netip.AddrFrom4([4]byte{203, 0, 113, last})
}

// bruteForce guesses the password of one account, and goes on for a while when
// nobody listens any more.
func (t *traffic) bruteForce(ctx context.Context, from netip.Addr) {
	v := t.visitor(from, programs[number(len(programs))])
	realm, name := Admin, "root"
	if number(2) == 0 {
		realm, name = User, homeNames[number(len(homeNames))]
	}
	for i := range 14 {
		v.signIn(ctx, realm, name, fmt.Sprintf("%s%d", words[number(len(words))], 2020+i))
		if !t.pause(ctx, 0.6) {
			return
		}
	}
	for _, path := range []string{"/", "/messages", "/assets/app.js"} {
		v.get(ctx, path)
	}
}

// enumerate finds out who has an account, by the form for forgotten passwords.
func (t *traffic) enumerate(ctx context.Context, from netip.Addr) {
	v := t.visitor(from, programs[number(len(programs))])
	for _, name := range []string{"info", "sales", "admin", "support", "test", "billing", "office", "ceo"} {
		if refused(v.do(ctx, http.MethodPost, "/forgot", url.Values{"username": {name}})) || !t.pause(ctx, 0.7) {
			return
		}
	}
}

// spray tries one popular password on many accounts from several addresses, a
// few from each.
func (t *traffic) spray(pool *addresses) func(context.Context, netip.Addr) {
	return func(ctx context.Context, from netip.Addr) {
		n := 0
		for i := range 5 {
			v := t.visitor(from, browsers[i%len(browsers)])
			for range 2 + 2*(i%3) {
				v.signIn(ctx, User, homeNames[n%len(homeNames)], "Summer2026!")
				if n++; !t.pause(ctx, 0.4) {
					return
				}
			}
			from = pool.next()
		}
	}
}

// stuff tries pairs that were stolen elsewhere.
func (t *traffic) stuff(ctx context.Context, from netip.Addr) {
	v := t.visitor(from, programs[0])
	for i := range 9 {
		name := fmt.Sprintf("%s.%s%d", words[number(len(words))], words[number(len(words))], number(90)+10)
		if refused(v.signIn(ctx, User, name, random(5))) && i > 6 || !t.pause(ctx, 0.5) {
			return
		}
	}
}

// probe looks for pages that are for administrators only.
func (t *traffic) probe(ctx context.Context, from netip.Addr) {
	v := t.visitor(from, programs[1])
	for _, path := range []string{"", "users", "gateways", "config", "backup.sql", "export", "logs", "api/keys", "settings", "debug", "invoices", "console"} {
		if refused(v.get(ctx, "/admin/"+path)) || !t.pause(ctx, 0.4) {
			return
		}
	}
}

// steal uses the session of somebody in another browser, from another network.
func (t *traffic) steal(ctx context.Context, from netip.Addr) {
	p := t.people.home[number(len(t.people.home))]
	victim := t.visitor(p.addr, browsers[0])
	if victim.signIn(ctx, User, p.name, p.password) != http.StatusSeeOther {
		return
	}
	victim.get(ctx, "/messages")
	thief := t.visitor(from, programs[1])
	thief.http.Jar = victim.http.Jar
	for range 4 {
		thief.get(ctx, "/account")
		if !t.pause(ctx, 0.7) {
			return
		}
	}
}

// lookAround stops before the limit.
func (t *traffic) lookAround(ctx context.Context, from netip.Addr) {
	v := t.visitor(from, browsers[2])
	for range 3 {
		v.signIn(ctx, User, officeNames[number(len(officeNames))], "Welcome1!")
		if !t.pause(ctx, 1) {
			return
		}
	}
}
