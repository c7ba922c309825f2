package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// durabilityPatience is how long a caller waits for a commit (SEMANTICS 44).
const durabilityPatience = 2 * time.Second

// repeatLife is how long a repeat of an event is recognised.
const repeatLife = 24 * time.Hour

// Report takes events in, one by one in the order given, and returns when all
// of them are durable (or after 2 s, with ErrNotDurable on those that are not).
func (g *Guard) Report(ctx context.Context, app *App, events []Incoming) []Reported {
	results := make([]Reported, len(events))
	waits := make([]*pending, len(events))
	before, err := g.answersBefore(ctx, app, events)
	func() {
		if len(events) >= bulkFrom {
			defer g.Bulk()()
		}
		for i := range events {
			in := &events[i]
			results[i].ID = in.Event.ID
			switch {
			case len(in.Faults) > 0:
				results[i].Err = in.Faults
			case err != nil && in.Event.ID != "":
				// Whether it is a repeat cannot be known now.
				results[i].Err = ErrBusy
			default:
				results[i], waits[i] = g.reportOne(app, in, before)
			}
		}
	}()
	// A context, because a timer tells only the first who asks that it is over.
	ctx, cancel := context.WithTimeout(ctx, durabilityPatience)
	defer cancel()
	for i, p := range waits {
		if p != nil {
			results[i].Err = await(ctx, p, nil)
			if errors.Is(results[i].Err, ErrNotDurable) && events[i].Event.ID == "" {
				g.expectRepeat(app, &events[i], results[i], p)
			}
		}
	}
	return results
}

// await waits for a record's commit. A caller that hangs up does not take its
// event back: it stays queued and counted.
func await(ctx context.Context, p *pending, deadline <-chan time.Time) error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	select {
	case <-p.done:
		return p.err
	case <-deadline:
	case <-ctx.Done():
	}
	return ErrNotDurable
}

// expectRepeat remembers an event that is counted but not durable yet under the
// id that its reporter is told together with a 503 (SEMANTICS 44).
func (g *Guard) expectRepeat(app *App, in *Incoming, r Reported, wait *pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := recentKey{app.id(), r.ID}
	if _, ok := g.recent[key]; ok || len(g.recent) >= recentEvents {
		return
	}
	r.Err = nil
	g.noteRecent(key, recent{digest: in.Digest, answer: r, wait: wait, at: g.now()})
}

// recent is an event whose commit is under way or just over. Repeats find it
// here until every look-up in the journal is certain to see it.
type recent struct {
	digest []byte
	answer Reported
	wait   *pending
	at     time.Time
}

type recentKey struct{ app, id string }

// recentLife must be longer than a look-up in the journal may take.
const (
	recentLife   = 20 * time.Second
	lookupLimit  = 5 * time.Second
	recentEvents = 1 << 20
)

// enqueue journals what the engine did under its lock. What has been counted is
// let in beyond the bound of the queue.
func (g *Guard) enqueue(rec *Record) (*pending, bool) {
	g.tape(rec)
	p, ok := g.queue.add(rec, nil, true)
	if !ok {
		g.unjournaled.Add(1)
	}
	return p, ok
}

// tape keeps a record for a replay that is under way.
func (g *Guard) tape(rec *Record) {
	if g.taped != nil {
		*g.taped = append(*g.taped, rec)
	}
}

// answersBefore looks up what was answered to the events of a call that carry
// an id of their own.
func (g *Guard) answersBefore(ctx context.Context, app *App, events []Incoming) (map[string]Answer, error) {
	var ids []string
	for i := range events {
		if id := events[i].Event.ID; id != "" && len(events[i].Faults) == 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	return g.journal.Answers(ctx, app.id(), ids, g.now().Add(-repeatLife))
}

func (a *App) id() string {
	if a == nil {
		return ""
	}
	return a.ID
}

// reportOne judges one event under the engine's lock.
func (g *Guard) reportOne(app *App, in *Incoming, before map[string]Answer) (Reported, *pending) {
	own := in.Event.ID != ""
	if own {
		if a, ok := before[in.Event.ID]; ok {
			return repeated(in, a), nil
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	key := recentKey{app.id(), in.Event.ID}
	if own {
		if r, ok := g.recent[key]; ok {
			if !bytes.Equal(r.digest, in.Digest) {
				return Reported{ID: in.Event.ID, Err: errOtherBody}, nil
			}
			return r.answer, r.wait
		}
		if len(g.recent) >= recentEvents {
			return Reported{ID: in.Event.ID, Err: ErrBusy}, nil
		}
	}
	if g.queue.full() {
		return Reported{ID: in.Event.ID, Err: ErrBusy}, nil
	}
	j := &judgement{app: app, event: in.Event, now: g.now(), digest: in.Digest, ownID: own}
	rec := g.judge(j)
	p, ok := g.enqueue(rec)
	if !ok {
		// Counted but not journaled; the bound of the forced queue is twice that
		// of events, so only a flood of settlements leads here.
		return Reported{ID: j.row.ID, Severity: j.row.Severity, Decision: j.decision, Err: ErrNotDurable}, nil
	}
	r := Reported{ID: j.row.ID, Severity: j.row.Severity, Decision: j.decision}
	if own {
		g.noteRecent(key, recent{digest: in.Digest, answer: r, wait: p, at: j.now})
	}
	return r, p
}

func repeated(in *Incoming, a Answer) Reported {
	if !bytes.Equal(a.Digest, in.Digest) {
		return Reported{ID: in.Event.ID, Err: errOtherBody}
	}
	r := Reported{ID: in.Event.ID, Severity: a.Severity}
	if err := json.Unmarshal(a.Answer, &r.Decision); err != nil {
		r.Err = err
	}
	return r
}

// judgement is one event on its way through the engine.
type judgement struct {
	app     *App
	event   warder.Event
	now     time.Time
	digest  []byte
	ownID   bool
	attempt *attempt // whose settlement this is, if any
	errored bool     // the outcome is `error`
	settled bool     // rules by address had nothing left to say
	half    bool     // a second factor has to follow before it is a sign-in
	replace *Event   // the unsettled event that a late settlement replaces

	query    Query
	who      requester
	facts    policy.Facts
	row      Event
	decision warder.Decision
}

// replayFacts is what a replay needs to judge an event again the way it was
// judged; see Event.Facts.
type replayFacts struct {
	Source        string            `json:"s,omitempty"`
	RecentSession bool              `json:"r,omitempty"`
	Demanded      []policy.Demanded `json:"d,omitempty"`
	// Settled says that rules by address had nothing left to say; see Guard.settled.
	Settled bool `json:"b,omitempty"`
	// Replaced is the failure that a late settlement takes back, as far as its
	// hits depend on it. What is known at the settlement may be different.
	Replaced *replacedFacts `json:"o,omitempty"`
}

type replacedFacts struct {
	Account       string            `json:"a,omitempty"`
	Session       string            `json:"n,omitempty"`
	Source        string            `json:"s,omitempty"`
	RecentSession bool              `json:"r,omitempty"`
	Demanded      []policy.Demanded `json:"d,omitempty"`
}

// judge takes one event through the engine: facts, hits, counts, verdict, and
// everything that follows. The caller holds the engine's lock. All of it has
// happened in memory when judge returns; the record makes it durable.
func (g *Guard) judge(j *judgement) *Record {
	f := g.force.Load()
	g.prepare(j)
	found := g.decide(f, &j.query, j.now)
	if j.attempt != nil && found.action == warder.Challenge && isSignIn(f, &j.event) {
		// A challenge comes before the password is checked. This one was met, or
		// came too late to matter (SEMANTICS 21, 23).
		found = finding{why: warder.OK}
	}
	g.gather(j, f, found)

	rec := &Record{}
	var verdict policy.Verdict
	eligible := f.mode != warder.Off && f.policy.Eligible(&j.event, &j.facts)
	if j.replace != nil {
		g.logged("take back an unsettled attempt", g.counters.Remove(context.Background(), j.now, g.hitsOfUnsettled(f, j), j.row.Seq))
	}
	var hits []policy.Hit
	if eligible {
		hits = f.policy.Hits(&j.event, &j.facts, j.hitTime(), j.row.Seq)
		all := len(hits)
		hits = slices.DeleteFunc(hits, func(h policy.Hit) bool { return g.settled(f, j, h.Rule) })
		j.settled = len(hits) < all
	}
	counts := g.count(j, hits)
	if eligible {
		verdict = f.policy.Decide(&j.event, &j.facts, hits, counts)
	} else {
		verdict.Severity = f.policy.Severity(j.event.Name, j.facts.Covered)
	}
	j.row.Eligible = eligible
	j.row.Severity = verdict.Severity
	j.row.Emptied = verdict.Emptied
	j.row.Source = j.facts.Source
	j.keepFacts()
	g.succeed(j, f, found, rec)
	if eligible && policy.SignInFailed(j.event.Name) && !verdict.Repeat {
		j.row.Failed = true
		g.good.failed(j.who.address, j.hitTime(), 1)
	}
	var cross *finding
	if verdict.Crossing != nil {
		cross = g.cross(j, f, verdict.Crossing, rec)
	}
	g.conclude(j, f, found, cross, rec)
	return rec
}

// keepFacts notes what a replay must know and cannot find out.
func (j *judgement) keepFacts() {
	var keep replayFacts
	if j.row.Eligible {
		keep = replayFacts{Source: j.facts.Source, RecentSession: j.facts.RecentSession, Demanded: j.facts.Demanded, Settled: j.settled}
	}
	if old := j.replace; old != nil {
		facts, _ := factsOf(old)
		keep.Replaced = &replacedFacts{old.Account, old.Session, facts.Source, facts.RecentSession, facts.Demanded}
	}
	if keep.Source != "" || keep.RecentSession || len(keep.Demanded) > 0 || keep.Settled || keep.Replaced != nil {
		j.row.Facts = mustJSON(keep)
	}
}

// factsOf is what was known of a journaled event when it was judged.
func factsOf(e *Event) (policy.Facts, replayFacts) {
	facts := policy.Facts{Source: e.Source}
	var kept replayFacts
	if len(e.Facts) > 0 && json.Unmarshal(e.Facts, &kept) == nil {
		facts.RecentSession, facts.Demanded = kept.RecentSession, kept.Demanded
	}
	return facts, kept
}

// prepare fills in what the reporter left out and names the event.
func (g *Guard) prepare(j *judgement) {
	e := &j.event
	seq := g.nextSeq(j.now)
	if e.Time.IsZero() {
		e.Time = j.now
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	if e.IP.IsValid() {
		e.IP = warder.Canonical(e.IP)
	}
	if e.ID == "" {
		e.ID = eventID(seq)
	}
	j.query = Query{
		IP: e.IP, Account: e.Account, Realm: e.Realm, Session: e.Session, Device: e.Device,
		UserAgent: e.UserAgent, Method: e.Method, Path: e.Path,
	}
	j.query.own, j.query.known = j.app.own()
	j.who = requesterOf(&j.query)
	j.row = Event{
		Seq: seq, Arrival: j.now, App: j.app.id(), OwnID: j.ownID, Digest: j.digest,
		AccountKey: j.who.account, Address: j.who.address,
	}
	if j.replace != nil {
		j.row.Replaces = j.replace.Seq
	}
}

// hitTime is min(event time, arrival): SEMANTICS 7.
func (j *judgement) hitTime() time.Time {
	if j.event.Time.Before(j.now) {
		return j.event.Time
	}
	return j.now
}

// gather answers policy.Needs and the facts that are always given.
func (g *Guard) gather(j *judgement, f *inForce, found finding) {
	e, facts := &j.event, &j.facts
	needs := f.policy.Needs(e)
	enforced := found.action == warder.BlockAction && !found.observe
	facts.Errored = j.errored
	// A revoked session covers what is done in the session. It does not cover
	// guesses: whoever had a session ended could send it along and guess
	// uncounted ever after.
	revoked := found.why == warder.SessionRevoked
	facts.Covered = enforced && (found.why == warder.Blocked || revoked && !strings.HasSuffix(e.Name, "_FAILURE"))
	facts.Refused = enforced && found.why != warder.Blocked && !revoked && j.attempt == nil
	facts.Trusted = found.why == warder.Trusted || revoked && g.trusts(e.IP, j.now)
	if j.attempt != nil && j.attempt.trusted {
		facts.Trusted = true
	}
	if needs.Source && g.knows(j.who, j.now) {
		facts.Source = j.who.source
	}
	if needs.RecentSession && e.Session != "" {
		facts.RecentSession = g.sessions.recent(e.Session, j.now)
	}
	if j.who.address.IsValid() {
		facts.SelfProtected = g.protects(e.IP)
		facts.GoodAccounts, facts.Hostile = g.good.standing(j.who.address, j.now)
		if facts.GoodAccounts >= suspectAccounts {
			facts.Suspect = g.good.suspect(j.who.address, j.now)
		}
		if facts.GoodAccounts > 0 {
			facts.BlastRadius = g.good.blast(j.who.address, j.now)
		}
		if g.forwarder.after(digestOf(j.who.address.String()), j.now.Add(-time.Hour)) {
			facts.Suspect = true
		}
	}
	for _, d := range g.demandsAbout(j.who, j.now) {
		facts.Demanded = append(facts.Demanded, policy.Demanded{Rule: d.Rule, Subject: d.Subject})
	}
	if len(needs.Steps) > 0 {
		// What ended a moment ago counts, although nobody has released it yet.
		g.release(j.now)
		facts.Steps = make(map[warder.Subject]int, len(needs.Steps))
		for _, s := range needs.Steps {
			facts.Steps[s] = g.steps.count(s, j.now)
			if facts.Source != "" && s.Account != "" && !s.IP.IsValid() {
				s.Source = facts.Source
				facts.Steps[s] = g.steps.count(s, j.now)
			}
		}
	}
}

// count applies the hits, for a settlement together with freeing its slots.
func (g *Guard) count(j *judgement, hits []policy.Hit) []counter.Count {
	plain := make([]counter.Hit, len(hits))
	for i := range hits {
		hits[i].Unsettled = j.event.Reason == warder.Unsettled && j.attempt != nil
		plain[i] = hits[i].Hit
	}
	var counts []counter.Count
	var err error
	if j.attempt != nil {
		counts, err = g.counters.Settle(context.Background(), j.now, j.attempt.id, plain)
	} else if len(plain) > 0 {
		counts, err = g.counters.Apply(context.Background(), j.now, plain)
	}
	if err != nil || len(counts) != len(hits) {
		// Memory never fails here; a remote counter will have to be answered for.
		g.log.Error("count hits", "error", err)
		counts = make([]counter.Count, len(hits))
	}
	return counts
}

// succeed lets a completed sign-in take out its share, make its source known
// and open its session (SEMANTICS 10, 11).
func (g *Guard) succeed(j *judgement, f *inForce, found finding, rec *Record) {
	e := &j.event
	if f.mode == warder.Off || j.errored {
		return
	}
	refused := found.action == warder.BlockAction && !found.observe
	if refused {
		// The application should not have opened a session. If it did, it ends.
		if classes, completed := f.policy.Takes(e, false); (completed || len(classes) > 0) && e.Session != "" && found.why == warder.Blocked {
			g.sessions.revoke(e.Session, j.now)
			rec.Revoke = append(rec.Revoke, Revoke{Session: e.Session, Reason: string(warder.Blocked), At: j.now, By: "warder"})
		}
		return
	}
	demanded := j.half || found.action == warder.MFA && !found.observe && j.app.can(warder.MFA)
	pendingKey := digestOf("mfa", j.who.account, j.who.source)
	confirmed := false
	if e.Name == warder.MFASuccess && j.who.source != "" {
		var session string
		if session, confirmed = g.mfaPending.take(pendingKey, j.now); e.Session == "" {
			e.Session = session
		}
	}
	classes, completed := f.policy.Takes(e, demanded || confirmed)
	if e.Name != warder.MFASuccess && demanded && j.who.source != "" && isSignIn(f, e) {
		g.mfaPending.put(pendingKey, e.Session, j.now)
	}
	if e.Name == warder.MFASuccess && j.who.source != "" {
		g.mfaMet.put(digestOf(j.who.account, j.who.source), j.now)
		rec.Known = append(rec.Known, Known{Account: j.who.account, Source: mfaSource + j.who.source, Address: j.who.address, Realm: e.Realm, At: j.now})
	}
	for _, class := range classes {
		tag := counter.Tag{Account: j.who.account, Address: j.who.address, Class: class}
		_, err := g.counters.TakeOut(context.Background(), j.now, tag, j.hitTime(), j.row.Seq)
		g.logged("take out a success's share", err)
	}
	j.row.Takes, j.row.Completed = classes, completed
	if completed {
		g.complete(j, rec)
	}
}

// mfaSource marks a known source that met a demand of MFA; see Guard.mfaMet.
const mfaSource = "mfa:"

// isSignIn reports whether the event would complete a sign-in if no MFA were
// demanded.
func isSignIn(f *inForce, e *warder.Event) bool {
	_, completed := f.policy.Takes(e, false)
	return completed
}

// complete remembers what a completed sign-in proves.
func (g *Guard) complete(j *judgement, rec *Record) {
	e, at := &j.event, j.hitTime()
	if j.who.account != "" {
		sources := []string{sourceOf("", j.who.address), sourceOf(e.Device, j.who.address)}
		for _, source := range slices.Compact(sources) {
			if source == "" {
				continue
			}
			g.known.put(digestOf(j.who.account, source), at)
			rec.Known = append(rec.Known, Known{Account: j.who.account, Source: source, Address: j.who.address, Realm: e.Realm, At: at})
		}
	}
	g.spendClearance(j.attempt)
	if j.who.address.IsValid() && j.now.Sub(at) < goodLife {
		if j.who.account != "" {
			g.good.account(j.who.address, j.who.account, at)
		}
		g.good.completed(j.who.address, e.Realm, at, 1)
		if g.good.suspect(j.who.address, j.now) && !g.protects(e.IP) {
			g.noteSuspect(j.who.address, rec, j.now)
		}
	}
	if e.Session != "" {
		s := Session{
			ID: e.Session, Account: e.Account, AccountKey: j.who.account, Realm: e.Realm, Opening: j.who.address,
			Latest: j.who.address, Agent: agentFamily(e.UserAgent), Opened: j.now, LastUsed: j.now,
		}
		g.sessions.open(s)
		rec.Sessions = append(rec.Sessions, s)
	}
}

// conclude writes the decision and the row of the event.
func (g *Guard) conclude(j *judgement, f *inForce, found finding, cross *finding, rec *Record) {
	switch {
	case cross != nil && cross.action != warder.Allow && cross.strength() >= found.strength():
		j.decision = g.answer(j.app, &j.query, *cross, j.now)
	default:
		if cross == nil && j.attempt == nil {
			g.refused(&j.query, found, j.now)
		}
		j.decision = g.answer(j.app, &j.query, found, j.now)
	}
	j.row.Event = j.event
	j.row.Action, j.row.Why, j.row.Rule = j.decision.Action, j.decision.Reason, j.decision.Rule
	j.row.BlockID, j.row.Reference = j.decision.BlockID, j.decision.Reference
	if j.ownID {
		j.row.Answer = mustJSON(j.decision)
	}
	rec.Events = slices.Insert(rec.Events, 0, j.row)
	if j.event.Name == warder.Logout && j.event.Session != "" {
		g.closeSession(j.event.Session)
		rec.SessionEnds = append(rec.SessionEnds, j.event.Session)
		return
	}
	g.use(&j.query, j.now)
}

// hitsOfUnsettled are the hits that the failure named `unsettled` made, which a
// late settlement takes back.
func (g *Guard) hitsOfUnsettled(f *inForce, j *judgement) []counter.Hit {
	old := j.replace
	facts, _ := factsOf(old)
	hits := f.policy.Hits(&old.Event, &facts, old.Time, old.Seq)
	plain := make([]counter.Hit, len(hits))
	for i := range hits {
		plain[i] = hits[i].Hit
	}
	return plain
}

// ownEvent makes the row of an event that Warder writes itself.
func (g *Guard) ownEvent(e warder.Event, now time.Time) Event {
	row := Event{Seq: g.nextSeq(now), Arrival: now, Severity: g.force.Load().policy.Severity(e.Name, false)}
	if e.Time.IsZero() {
		e.Time = now
	}
	e.ID = eventID(row.Seq)
	if e.IP.IsValid() {
		row.Address = warder.AddressKey(e.IP)
	}
	if e.Account != "" {
		row.AccountKey = warder.AccountKey(e.Realm, e.Account)
	}
	row.Event = e
	return row
}

// enqueueOwn journals an event of Warder's own in the background; it is
// dropped when the journal is behind, since it only repeats what is known.
func (g *Guard) enqueueOwn(row Event) { g.queue.notice(&Record{Events: []Event{row}}) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("guard: " + err.Error()) // only our own plain structs come here
	}
	return b
}

// clientOf is the address part of a prefix for display in an event.
func clientOf(p netip.Prefix) netip.Addr {
	if !p.IsValid() {
		return netip.Addr{}
	}
	return p.Addr()
}
