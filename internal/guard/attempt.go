package guard

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// Bounds of attempts: those under way, those that wait for a late settlement,
// and the names that callers gave to attempts of the last minutes, with the
// bytes of these, since strangers choose most of their texts.
const (
	maxAttempts   = 64 << 10
	maxNamed      = 256 << 10
	maxNamedBytes = 64 << 20
)

// attempt is a sign-in that was announced.
type attempt struct {
	id        string
	app       *App
	token     attemptToken
	q         Query
	deadline  time.Time
	trusted   bool // the address was trusted when it began
	clearance string
	// unsettled is the failure that the engine wrote when nobody settled in
	// time; a late settlement replaces it.
	unsettled *Event
	answer    Attempt
}

// attempts is guarded by the engine's lock.
type attempts struct {
	m     map[string]*attempt
	idem  map[recentKey]*attempt
	named int        // bytes of those in idem
	queue []deadline // all live equally long
	late  []deadline // of unsettled ones, by the end of their grace
}

// deadline is when an attempt ends. It names the attempt and does not hold it:
// most are settled long before.
type deadline struct {
	id string
	at time.Time
}

// Begin announces a sign-in: it reserves a slot in every enforcing rule that
// its failure would hit. While slots are held by others it waits its turn, at
// most wait, then ErrBusy. idempotency may be empty.
func (g *Guard) Begin(ctx context.Context, app *App, q Query, wait time.Duration, idempotency string) (Attempt, error) {
	q.own, q.known = app.own()
	q.stepsDown = app.stepsDown()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	if idempotency != "" {
		if a, err := g.attempts.find(recentKey{app.id(), idempotency}, &q); a != nil || err != nil {
			return a.given(), err
		}
	}
	for {
		now := g.now()
		f := g.force.Load()
		found := g.decide(f, &q, now)
		g.refused(&q, found, now)
		decision := g.answer(app, &q, found, now)
		if decision.Action == warder.BlockAction || decision.Action == warder.Challenge {
			return Attempt{Decision: decision}, nil
		}
		if len(g.attempts.m)-len(g.attempts.late) >= maxAttempts {
			return Attempt{}, ErrBusy
		}
		a := &attempt{id: newID(), app: app, q: q, trusted: found.why == warder.Trusted, clearance: q.Clearance}
		ticket, status, err := g.counters.Reserve(ctx, now, a.id, g.holds(f, a, now))
		if errors.Is(err, counter.ErrBusy) {
			return Attempt{}, ErrBusy
		}
		if err != nil {
			return Attempt{}, err
		}
		if status == counter.Waiting {
			granted, err := g.awaitTurn(ctx, ticket, timer.C)
			if err != nil {
				return Attempt{}, err
			}
			if !granted {
				continue
			}
			// What stood against the request may have changed while it waited.
			now = g.now()
			f = g.force.Load()
			if again := g.decide(f, &q, now); again.action != found.action || again.why != found.why {
				g.logged("free the slots of an attempt", g.counters.Cancel(ctx, now, ticket))
				continue
			}
			if idempotency != "" {
				// A repeat of this call may have got its turn first.
				if other, err := g.attempts.find(recentKey{app.id(), idempotency}, &q); other != nil || err != nil {
					g.logged("free the slots of a repeated attempt", g.counters.Cancel(ctx, now, ticket))
					return other.given(), err
				}
			}
		}
		g.useClearance(&q, now)
		return g.admit(a, decision, idempotency, now), nil
	}
}

// awaitTurn waits for a ticket without the engine's lock. granted false means:
// decide anew.
func (g *Guard) awaitTurn(ctx context.Context, t *counter.Ticket, timeout <-chan time.Time) (granted bool, err error) {
	g.mu.Unlock()
	select {
	case <-t.Done():
	case <-timeout:
		err = ErrBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	if err != nil {
		g.logged("cancel an attempt", g.counters.Cancel(context.WithoutCancel(ctx), g.now(), t))
		return false, err
	}
	return !g.counters.Retry(t), nil
}

// admit makes the token of a granted attempt.
func (g *Guard) admit(a *attempt, decision warder.Decision, idempotency string, now time.Time) Attempt {
	a.deadline = now.Add(attemptLife)
	a.token = attemptToken{
		ID: a.id, App: a.app.id(), Expires: a.deadline.UnixMilli(), IP: a.q.IP, Account: a.q.Account, Realm: a.q.Realm,
		Session: a.q.Session, Device: a.q.Device, UserAgent: a.q.UserAgent, Event: a.q.Event, Method: a.q.Method,
		Path: a.q.Path,
	}
	a.answer = Attempt{Token: g.seal("attempt", a.token), ExpiresIn: attemptLife, Decision: decision}
	g.attempts.m[a.id] = a
	g.attempts.queue = append(g.attempts.queue, deadline{a.id, a.deadline})
	if idempotency != "" {
		g.attempts.name(recentKey{a.app.id(), idempotency}, a)
	}
	return a.answer
}

// holds are the hits that the attempt's failure would make, as far as they are
// enforced.
func (g *Guard) holds(f *inForce, a *attempt, now time.Time) []counter.Hit {
	if f.mode == warder.Off || a.trusted {
		return nil
	}
	_, failure, _ := policy.AttemptNames(a.q.Event)
	j := &judgement{app: a.app, event: a.q.event(failure, now), now: now}
	j.event.ID = a.id
	j.query, j.who = a.q, requesterOf(&a.q)
	g.gather(j, f, finding{})
	if !f.policy.Eligible(&j.event, &j.facts) {
		return nil
	}
	var holds []counter.Hit
	for _, h := range f.policy.Hits(&j.event, &j.facts, now, 0) {
		if h.Rule.Mode == warder.Enforce && !(j.facts.SelfProtected && h.Rule.Key == policy.ByIP) && !g.settled(f, j, h.Rule) {
			holds = append(holds, h.Hit)
		}
	}
	return holds
}

// event makes the event that a query becomes.
func (q *Query) event(name string, now time.Time) warder.Event {
	return warder.Event{
		Name: name, Time: now, IP: q.IP, Account: q.Account, Realm: q.Realm, Session: q.Session, Device: q.Device,
		UserAgent: q.UserAgent, Method: q.Method, Path: q.Path,
	}
}

// Settle reports the outcome of an attempt. ErrConflict: it was settled
// before. ErrNotFound: the token is not ours or too old.
func (g *Guard) Settle(ctx context.Context, app *App, token string, s Settlement) (Reported, error) {
	var t attemptToken
	if err := g.unseal("attempt", token, &t); err != nil || t.App != app.id() {
		return Reported{}, ErrNotFound
	}
	expires := time.UnixMilli(t.Expires)
	if g.now().After(expires.Add(attemptGrace)) {
		return Reported{}, ErrNotFound
	}
	deadline := time.NewTimer(durabilityPatience)
	defer deadline.Stop()
	// An attempt that memory knows is not in the journal; one that it does not
	// know was settled before, or belongs to a time before the last start.
	var unsettled *Event
	if known := g.underWay(t.ID); !known {
		before, err := g.journal.Answers(ctx, app.id(), []string{t.ID, t.ID + lateSuffix}, expires.Add(-attemptLife))
		if err != nil {
			return Reported{ID: t.ID}, ErrBusy
		}
		_, late := before[t.ID+lateSuffix]
		first, settled := before[t.ID]
		if late || settled && first.Unsettled == nil {
			return Reported{ID: t.ID}, errSettled
		}
		unsettled = first.Unsettled
	}
	r, p, err := g.settle(app, t, s, unsettled)
	if err != nil {
		return r, err
	}
	if p == nil {
		return r, ErrNotDurable
	}
	return r, await(ctx, p, deadline.C)
}

func (g *Guard) underWay(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.attempts.m[id]
	return ok
}

// settle judges the outcome under the engine's lock. unsettled is the failure
// that was journaled for an attempt that memory has forgotten.
func (g *Guard) settle(app *App, t attemptToken, s Settlement, unsettled *Event) (Reported, *pending, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := recentKey{app.id(), t.ID}
	if _, ok := g.recent[key]; ok {
		return Reported{ID: t.ID}, nil, errSettled
	}
	a := g.attempts.m[t.ID]
	if a == nil {
		// Memory of it is gone: its outcome counts as an ordinary event, in place
		// of the failure that was written for it, if one was.
		a = &attempt{id: t.ID, app: app, token: t, q: t.query(), unsettled: unsettled}
	}
	now := g.now()
	success, failure, errored := policy.AttemptNames(t.Event)
	name := failure
	switch s.Outcome {
	case warder.Success:
		name = success
	case warder.OutcomeError:
		name = errored
	}
	j := &judgement{app: app, event: a.q.event(name, now), now: now, digest: s.Digest, ownID: true, attempt: a, errored: s.Outcome == warder.OutcomeError}
	j.event.ID, j.event.Reason, j.event.Guess = t.ID, s.Reason, s.Guess
	j.half = s.SecondFactor && s.Outcome == warder.Success
	if s.Session != "" {
		j.event.Session = s.Session
	}
	if s.Account != "" {
		j.event.Account = s.Account
	}
	if a.unsettled != nil {
		j.replace = a.unsettled
		j.event.ID = t.ID + lateSuffix
	}
	return g.finishAttempt(a, j)
}

// lateSuffix tells the late settlement of an attempt from the failure that the
// engine wrote for it.
const lateSuffix = ".late"

// finishAttempt journals a settlement and forgets the attempt.
func (g *Guard) finishAttempt(a *attempt, j *judgement) (Reported, *pending, error) {
	rec := g.judge(j)
	delete(g.attempts.m, a.id)
	p, _ := g.enqueue(rec)
	r := Reported{ID: j.row.ID, Severity: j.row.Severity, Decision: j.decision}
	g.noteRecent(recentKey{a.app.id(), a.id}, recent{digest: j.digest, answer: r, wait: p, at: j.now})
	return r, p, nil
}

func (t *attemptToken) query() Query {
	return Query{
		IP: t.IP, Account: t.Account, Realm: t.Realm, Session: t.Session, Device: t.Device, UserAgent: t.UserAgent,
		Event: t.Event, Method: t.Method, Path: t.Path,
	}
}

// expireAttempts turns attempts that nobody settled in time into failures with
// the reason `unsettled`, and forgets those whose grace is over. The caller
// holds the engine's lock.
func (g *Guard) expireAttempts(now time.Time) {
	t := &g.attempts
	for len(t.queue) > 0 && !now.Before(t.queue[0].at) {
		a := t.m[t.queue[0].id]
		t.queue[0] = deadline{}
		t.queue = t.queue[1:]
		if a == nil {
			continue // settled
		}
		_, failure, _ := policy.AttemptNames(a.q.Event)
		j := &judgement{app: a.app, event: a.q.event(failure, now), now: now, ownID: true, attempt: a}
		j.event.ID, j.event.Reason = a.id, warder.Unsettled
		rec := g.judge(j)
		row := j.row
		a.unsettled = &row
		t.late = append(t.late, deadline{a.id, a.deadline})
		g.enqueue(rec)
	}
	for len(t.late) > 0 && (len(t.late) > maxAttempts || now.After(t.late[0].at.Add(attemptGrace))) {
		delete(t.m, t.late[0].id)
		t.late[0] = deadline{}
		t.late = t.late[1:]
	}
}

// find returns the attempt that a caller gave a name to, nil if there is none,
// and ErrConflict if it was another attempt.
func (t *attempts) find(key recentKey, q *Query) (*attempt, error) {
	a := t.idem[key]
	if a != nil && a.q != *q {
		return nil, ErrConflict
	}
	return a, nil
}

// name remembers the name that a caller gave to an attempt.
func (t *attempts) name(key recentKey, a *attempt) {
	for k, old := range t.idem {
		if len(t.idem) < maxNamed && t.named+a.bytes() <= maxNamedBytes {
			break
		}
		t.unname(k, old)
	}
	t.idem[key] = a
	t.named += a.bytes()
}

func (t *attempts) unname(key recentKey, a *attempt) {
	delete(t.idem, key)
	t.named -= a.bytes()
}

// bytes estimates what an attempt takes. Its token repeats the texts of its query.
func (a *attempt) bytes() int {
	q := &a.q
	return 1<<10 + len(a.answer.Token) + len(q.Account) + len(q.Realm) + len(q.Session) + len(q.Device) + len(q.UserAgent) +
		len(q.Path) + len(q.Clearance)
}

// given is what was answered when the attempt began.
func (a *attempt) given() Attempt {
	if a == nil {
		return Attempt{}
	}
	return a.answer
}

// forget lets go of the names that callers gave to attempts.
func (t *attempts) forget(now time.Time) {
	for key, a := range t.idem {
		if now.After(a.deadline.Add(attemptGrace)) {
			t.unname(key, a)
		}
	}
}

// clearances counts how often clearances were used.
type clearances struct {
	mu   sync.Mutex
	uses map[string]clearanceUse
}

type clearanceUse struct {
	n       int
	expires time.Time
}

// Cleared records that a challenge was solved and returns the clearance: it
// meets challenges from the same address key in the same realm, for three
// attempts or one completed sign-in.
func (g *Guard) Cleared(ip netip.Addr, realm string) (clearance string, expiresIn time.Duration) {
	t := clearanceToken{ID: newID(), Expires: g.now().Add(clearanceLife).UnixMilli(), Address: warder.AddressKey(ip), Realm: realm}
	return g.seal("clearance", t), clearanceLife
}

// clearance reads the clearance of a query; ok is false if there is none that
// fits its source.
func (g *Guard) clearance(q *Query, now time.Time) (clearanceToken, bool) {
	var t clearanceToken
	if q.Clearance == "" || g.unseal("clearance", q.Clearance, &t) != nil {
		return t, false
	}
	ok := now.UnixMilli() < t.Expires && q.IP.IsValid() && t.Address == warder.AddressKey(q.IP) && t.Realm == q.Realm
	return t, ok
}

// clears reports whether a request carries a clearance that is not used up.
func (g *Guard) clears(r requester, now time.Time) bool {
	t, ok := g.clearance(r.q, now)
	if !ok {
		return false
	}
	g.clearances.mu.Lock()
	defer g.clearances.mu.Unlock()
	return g.clearances.uses[t.ID].n < clearanceUses
}

// TakeClearance counts one use of a query's clearance, for what is no attempt,
// and reports whether there was one left.
func (g *Guard) TakeClearance(q *Query) bool {
	g.mu.Lock() // Begin looks and counts under it
	defer g.mu.Unlock()
	now := g.now()
	if !g.clears(requesterOf(q), now) {
		return false
	}
	g.useClearance(q, now)
	return true
}

// useClearance counts an attempt on its clearance.
func (g *Guard) useClearance(q *Query, now time.Time) { g.addUses(q, now, 1) }

// spendClearance uses a clearance up: its sign-in was completed.
func (g *Guard) spendClearance(a *attempt) {
	if a != nil && a.clearance != "" {
		q := a.q
		q.Clearance = a.clearance
		g.addUses(&q, g.now(), clearanceUses)
	}
}

func (g *Guard) addUses(q *Query, now time.Time, n int) {
	t, ok := g.clearance(q, now)
	if !ok {
		return
	}
	g.clearances.mu.Lock()
	defer g.clearances.mu.Unlock()
	u := g.clearances.uses[t.ID]
	g.clearances.uses[t.ID] = clearanceUse{n: u.n + n, expires: time.UnixMilli(t.Expires)}
}

// sweepClearances forgets the uses of clearances that are over.
func (g *Guard) sweepClearances(now time.Time) {
	g.clearances.mu.Lock()
	defer g.clearances.mu.Unlock()
	for id, u := range g.clearances.uses {
		if now.After(u.expires) {
			delete(g.clearances.uses, id)
		}
	}
}
