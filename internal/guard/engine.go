package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
	"github.com/warderhq/warder/internal/prefix"
)

// Guard is the engine. All methods are safe for concurrent use.
//
// Events, settlements and changes are taken one at a time under mu, which is
// never held across I/O. Checks take no part in that: they read tables that
// are safe to read at any time.
type Guard struct {
	journal      Journal
	queue        *queue
	log          *slog.Logger
	secret       []byte
	challengeURL func(*Query) string
	every        time.Duration // between two ticks of the loop
	onPolicy     func(*policy.Policy)

	force      atomic.Pointer[inForce]
	mailed     atomic.Uint32 // severities of crossings that make alerts, as bits; see AlertOn
	blocks     *blockTable
	demands    *demandTable
	trusted    prefix.Table[[]Trusted]
	protected  prefix.Table[time.Time] // until; zero: always
	history    prefix.Table[historyVerdict]
	known      *aging
	mfaMet     *aging
	forwarder  *aging // address keys of private peers that forward without being trusted
	sessions   *sessions
	good       *goodwill
	refusals   refusals
	references *references
	clearances clearances
	degraded   degraded

	mu          sync.Mutex // guards what follows
	counters    *counter.Memory
	ends        ends
	steps       steps
	attempts    attempts
	mfaPending  mfaPending
	recent      map[recentKey]recent
	recentOrder []recentKey // oldest first, those on their way to the journal
	recentLost  []recentKey // oldest first, those that the journal had no room for
	taped       *[]*Record  // records since a replay for a new policy began
	saved       []int64     // per shard: the event number its checkpoint holds
	nextShard   int
	clearing    int       // clearings that are journaled but do not act yet
	cycle       time.Time // when the round of checkpoints began

	changing chan struct{} // held by one change at a time
	bulk     chan struct{} // held by those who work on batches, see Bulk

	seq      atomic.Int64
	clock    atomic.Int64
	flushing sync.Mutex // one flush of sessions at a time, none beside an end
	hitMu    sync.Mutex // guards hit
	hit      []*stand
	aside    chan func()
	revoked  broadcast
	feed     subscribers

	learning sync.Mutex               // guards learned, and is held by who changes history
	learned  map[netip.Prefix]History // what commits told since history began to be read; nil: nobody reads

	lists   sync.Mutex // guards lookups
	lookups map[string]func(netip.Addr) (int, bool)

	unjournaled atomic.Int64
}

// New makes an engine from opts. Call Load before anything else, and Run.
func New(opts Options) (*Guard, error) {
	switch {
	case opts.Journal == nil || opts.Counters == nil || opts.Preset == nil:
		return nil, errors.New("guard: Journal, Counters and Preset are required")
	case len(opts.Secret) < 32:
		return nil, errors.New("guard: Secret must have 32 bytes or more")
	}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	knownBytes, sessionTotal := opts.KnownBytes, opts.SessionBytes
	if knownBytes <= 0 {
		knownBytes = 32 << 20
	}
	if sessionTotal <= 0 {
		sessionTotal = 32 << 20
	}
	g := &Guard{
		journal: opts.Journal, queue: newQueue(opts.Journal, log), log: log, secret: opts.Secret,
		challengeURL: opts.ChallengeURL, every: 200 * time.Millisecond, onPolicy: opts.OnPolicy, blocks: newBlockTable(), demands: newDemandTable(),
		known: newAging(int(knownBytes / agingBytes)), mfaMet: newAging(int(knownBytes / 8 / agingBytes)),
		forwarder: newAging(4096), sessions: newSessions(int(sessionTotal / sessionBytes)),
		good: newGoodwill(int(knownBytes / goodBytes)), refusals: refusals{m: make(map[digest]refusalSeen)},
		references: newReferences(opts.Secret), clearances: clearances{uses: make(map[string]clearanceUse)},
		counters: opts.Counters, steps: steps{m: make(map[warder.Subject][]time.Time)},
		attempts:   attempts{m: make(map[string]*attempt), idem: make(map[recentKey]*attempt)},
		mfaPending: mfaPending{m: make(map[digest]pendingSignIn)}, recent: make(map[recentKey]recent),
		saved: make([]int64, opts.Counters.Shards()), changing: make(chan struct{}, 1), bulk: newBulk(), aside: make(chan func(), 1024),
		lookups: make(map[string]func(netip.Addr) (int, bool)),
	}
	g.revoked.c = make(chan struct{})
	for _, p := range opts.Protected {
		g.protected.Set(p, time.Time{})
	}
	g.queue.health = g.journalHealth
	g.queue.committed = g.feed.publish
	g.queue.afterBatches = g.afterCommit
	compiled, err := opts.Preset.Compile()
	if err != nil {
		return nil, fmt.Errorf("compile the preset: %w", err)
	}
	g.force.Store(g.inForce(opts.Preset, 0, compiled))
	g.trustPolicy(compiled, nil)
	return g, nil
}

// now is wall time that never goes backwards in this process.
func (g *Guard) now() time.Time {
	n := time.Now().UnixNano()
	for {
		last := g.clock.Load()
		if n <= last {
			return time.Unix(0, last).UTC()
		}
		if g.clock.CompareAndSwap(last, n) {
			return time.Unix(0, n).UTC()
		}
	}
}

// nextSeq gives the number of the next event: its time, made unique.
func (g *Guard) nextSeq(now time.Time) int64 {
	n := now.UnixMicro()
	for {
		last := g.seq.Load()
		next := max(n, last+1)
		if g.seq.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Run commits the journal, expires attempts and Blocks and checkpoints the
// counters until ctx ends; then it commits what is queued.
func (g *Guard) Run(ctx context.Context) error {
	qctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var committing sync.WaitGroup
	committing.Go(func() { g.queue.run(qctx) })
	g.loop(ctx)
	g.flushHits()
	g.flushSessions()
	g.checkpointAll()
	stop()
	committing.Wait()
	return nil
}

func (g *Guard) loop(ctx context.Context) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	n := 0
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-g.aside:
			f()
		case <-tick.C:
			n++
			g.tick(n)
		}
	}
}

func (g *Guard) tick(n int) {
	g.mu.Lock()
	now := g.now()
	g.release(now)
	g.expireAttempts(now)
	g.counters.Sweep(now)
	g.mu.Unlock()
	if n%5 == 0 { // every second
		g.checkpoint(now)
		g.flushSessions()
		g.forgetRecent(now)
		g.watch(now)
	}
	if n%25 == 0 { // every five seconds
		g.flushHits()
	}
	if n%300 == 0 { // every minute
		g.sweep(now)
	}
}

// sweep forgets what is over. None of it matters to decisions, which look at
// the time themselves.
func (g *Guard) sweep(now time.Time) {
	g.sweepClearances(now)
	g.sessions.sweep(now)
	g.good.sweep(now)
	g.known.sweep(now.Add(-knownLife))
	g.mfaMet.sweep(now.Add(-mfaLife))
	g.forwarder.sweep(now.Add(-24 * time.Hour))
	g.sweepTrusted(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.steps.sweep(now)
	g.mfaPending.sweep(now)
	g.attempts.forget(now)
}

// noteRecent remembers an event for repeats of it. The caller holds the
// engine's lock.
func (g *Guard) noteRecent(key recentKey, r recent) {
	g.recent[key] = r
	if r.wait == nil {
		g.recentLost = append(g.recentLost, key)
		return
	}
	g.recentOrder = append(g.recentOrder, key)
}

// forgetRecent forgets events that every look-up in the journal now finds.
func (g *Guard) forgetRecent(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.recentOrder = g.forgetFirst(g.recentOrder, now)
	g.recentLost = g.forgetFirst(g.recentLost, now)
}

// forgetFirst forgets the first of some events, oldest first, and returns the
// others.
func (g *Guard) forgetFirst(keys []recentKey, now time.Time) []recentKey {
	n := 0
	for _, key := range keys {
		r := g.recent[key]
		if now.Sub(r.at) <= recentLife {
			break
		}
		if r.wait != nil {
			select {
			case <-r.wait.done:
			default: // the journal is behind
				return slices.Delete(keys, 0, n)
			}
		}
		delete(g.recent, key)
		n++
	}
	return slices.Delete(keys, 0, n)
}

// logged logs an error of the counters. Memory has none; a remote counter will
// have to be answered for.
func (g *Guard) logged(what string, err error) {
	if err != nil {
		g.log.Error("counters", "doing", what, "error", err)
	}
}

// later runs f outside the engine's lock, soon; false means that too much
// waits already, and f will not run.
func (g *Guard) later(f func()) bool {
	select {
	case g.aside <- f:
		return true
	default:
		return false
	}
}

// afterCommit takes over what the journal found out while it committed.
func (g *Guard) afterCommit(c Committed) {
	for _, r := range c.Revoked {
		g.sessions.revoke(r.Session, r.Time)
		e := g.ownEvent(warder.Event{Name: warder.SessionTerminated, Session: r.Session, Account: r.Account, Realm: r.Realm, Reason: r.Reason}, g.now())
		if p, err := netip.ParsePrefix(r.IP); err == nil {
			e.IP, e.Address = p.Addr(), p
		}
		g.queue.add(&Record{Events: []Event{e}}, nil, true)
	}
	if len(c.Revoked) > 0 {
		g.revoked.wake()
	}
	for p, h := range c.History {
		g.applyHistory(p, h)
	}
}

// applyHistory computes what the policy's criteria make of an address's past.
func (g *Guard) applyHistory(p netip.Prefix, h History) {
	g.learning.Lock()
	defer g.learning.Unlock()
	if g.learned != nil {
		g.learned[p] = h
	}
	v := judgeHistory(g.force.Load().policy, h)
	if v.action == warder.Allow {
		g.history.Delete(p)
		return
	}
	g.history.Set(p, v)
}

func judgeHistory(p *policy.Policy, h History) historyVerdict {
	action, criterion := p.History(policy.HistoryFacts{
		PreviousBlocks: h.Blocks, Failures: h.Failures, MarkedFraudulent: h.Fraudulent,
	})
	return historyVerdict{action: action, criterion: criterion}
}

// flushSessions journals from where sessions were used last. It comes before
// every record that ends sessions by address, so that none is missed.
func (g *Guard) flushSessions() {
	g.flushing.Lock()
	defer g.flushing.Unlock()
	for part := range slices.Chunk(g.sessions.changed(), 1024) {
		g.queue.add(&Record{Sessions: part}, nil, true)
	}
}

// closeSession forgets a session that its user ended. It is not revoked: some
// applications use the same id again. What was flushed of it is in the queue
// already, before the record that ends it.
func (g *Guard) closeSession(id string) {
	g.flushing.Lock()
	defer g.flushing.Unlock()
	g.sessions.close(id)
}

// use notes that a session was used, in the background.
func (g *Guard) use(q *Query, now time.Time) {
	u := g.touch(q, now)
	if u.jumped != "" {
		query := *q
		if !g.later(func() { g.reportJump(u, query) }) {
			g.sessions.untold(q.Session) // its next use tells
		}
	}
}

func (g *Guard) touch(q *Query, now time.Time) used {
	if q.Session == "" {
		return used{}
	}
	var address netip.Prefix
	if q.IP.IsValid() {
		address = warder.AddressKey(q.IP)
	}
	return g.sessions.touch(q.Session, address, q.UserAgent, now)
}

// reportJump writes the event of a session that looks stolen and lets the
// policy judge it like any other.
func (g *Guard) reportJump(u used, q Query) {
	e := q.event(warder.SessionHijackSuspected, g.now())
	e.Account, e.Realm, e.Reason = u.Session.Account, u.Session.Realm, u.jumped
	e.Details = mustJSON(map[string]any{"opened_from": u.Session.Opening, "agent": u.Session.Agent})
	g.mu.Lock()
	defer g.mu.Unlock()
	j := &judgement{event: e, now: g.now()}
	g.enqueue(g.judge(j))
}

// mfaPending remembers sign-ins that wait for their second factor. It is
// guarded by the engine's lock.
type mfaPending struct{ m map[digest]pendingSignIn }

type pendingSignIn struct {
	session string
	at      time.Time
}

// Bounds of mfaPending.
const (
	mfaPendingLife = 15 * time.Minute
	maxMFAPending  = 64 << 10
)

func (t *mfaPending) put(key digest, session string, now time.Time) {
	if len(t.m) >= maxMFAPending {
		for k := range t.m {
			delete(t.m, k)
			break
		}
	}
	t.m[key] = pendingSignIn{session: session, at: now}
}

func (t *mfaPending) take(key digest, now time.Time) (session string, ok bool) {
	p, ok := t.m[key]
	delete(t.m, key)
	return p.session, ok && now.Sub(p.at) <= mfaPendingLife
}

func (t *mfaPending) sweep(now time.Time) {
	for k, p := range t.m {
		if now.Sub(p.at) > mfaPendingLife {
			delete(t.m, k)
		}
	}
}

// broadcast wakes everybody who waits for the next of something.
type broadcast struct {
	mu sync.Mutex
	c  chan struct{}
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.c
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.c)
	b.c = make(chan struct{})
}

// RevocationsChanged returns a channel that is closed at the next revocation.
func (g *Guard) RevocationsChanged() <-chan struct{} { return g.revoked.wait() }

// subscribers are told of every committed record. A slow reader misses records
// rather than delaying anybody.
type subscribers struct {
	mu sync.Mutex
	m  []chan *Record
}

const subscriberBuffer = 256

func (s *subscribers) publish(r *Record) {
	if len(r.Events)+len(r.Blocks)+len(r.BlockEnds)+len(r.Alerts)+len(r.Audit) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.m {
		select {
		case c <- r:
		default:
		}
	}
}

// Subscribe returns the records that are committed from now on. A slow reader
// misses records rather than delaying anybody; cancel ends it.
func (g *Guard) Subscribe() (records <-chan *Record, cancel func()) {
	c := make(chan *Record, subscriberBuffer)
	g.feed.mu.Lock()
	defer g.feed.mu.Unlock()
	g.feed.m = append(g.feed.m, c)
	return c, func() {
		g.feed.mu.Lock()
		defer g.feed.mu.Unlock()
		g.feed.m = slices.DeleteFunc(g.feed.m, func(o chan *Record) bool { return o == c })
	}
}

// Stats are figures for /metrics.
type Stats struct {
	Blocks        int
	Demands       int
	Trusted       int
	Sessions      int
	Known         int
	Attempts      int
	QueueRows     int
	QueueBytes    int64
	Unjournaled   int64 // settlements that counted but could not be journaled
	Commits       int64
	CommitSeconds float64 // sum
	Counters      counter.Stats
}

// Stats returns current figures.
func (g *Guard) Stats() Stats {
	s := Stats{
		Blocks: int(g.blocks.n.Load()), Demands: int(g.demands.n.Load()), Trusted: g.trusted.Len(),
		Sessions: g.sessions.len(), Known: int(g.known.n.Load()), Unjournaled: g.unjournaled.Load(),
		Commits: g.queue.commits.Load(), CommitSeconds: time.Duration(g.queue.commitNanos.Load()).Seconds(),
	}
	s.QueueRows, s.QueueBytes = g.queue.depth()
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Attempts, s.Counters = len(g.attempts.m), g.counters.Stats()
	return s
}
