package guard

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/warderhq/warder"
)

// memJournal is a journal that forgets at the end of the test and can be made
// to fail. What a real one promises is tested with the store.
type memJournal struct {
	mu       sync.Mutex
	broken   error
	stuck    chan struct{} // not nil: Commit waits for it
	slow     chan struct{} // not nil: Sync waits for it
	unsynced error         // what Sync says
	syncs    int
	no       int64
	events   []Event
	blocks   map[string]*Block
	demands  map[string]*Demand
	trusted  map[string]Trusted
	known    []Known
	sessions map[string]Session
	revoked  []Revoked
	clears   []Clear
	alerts   []*Alert
	audit    []Audit
	refusals []Refusal
	ends     []BlockEnd
	hits     map[string]int64
	marks    map[netip.Prefix]Mark
	shards   map[int]Shard
	policy   *Revision
	lookback time.Duration
	commits  int
	rows     int // of sessions
	// reading, if set, is called by Tail between the clearings and the events, and
	// by History before what it read is returned.
	reading func()
}

func newMemJournal() *memJournal {
	return &memJournal{
		blocks: map[string]*Block{}, demands: map[string]*Demand{}, trusted: map[string]Trusted{}, sessions: map[string]Session{},
		hits: map[string]int64{}, marks: map[netip.Prefix]Mark{}, shards: map[int]Shard{},
	}
}

var errDisk = errors.New("disk full")

func (m *memJournal) Commit(ctx context.Context, records []*Record) (Committed, error) {
	m.mu.Lock()
	stuck := m.stuck
	m.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
			return Committed{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return Committed{}, m.broken
	}
	var out Committed
	m.commits++
	for _, r := range records {
		if r.No <= m.no {
			continue
		}
		m.no = r.No
		m.events = append(m.events, r.Events...)
		for _, b := range r.Blocks {
			c := *b
			m.blocks[b.ID] = &c
		}
		for _, e := range r.BlockEnds {
			m.ends = append(m.ends, e)
			if b := m.blocks[e.ID]; b != nil && e.By != "" {
				b.LiftedAt, b.LiftedBy, b.Verdict = e.At, e.By, e.Verdict
			} else if b != nil {
				b.EndedAt = e.At
			}
		}
		for _, h := range r.BlockHits {
			m.hits[h.ID] += h.N
		}
		for _, e := range r.BlockEdits {
			if e.Until != nil {
				m.blocks[e.ID].Until = *e.Until
			}
		}
		for _, d := range r.Demands {
			m.demands[d.ID] = d
		}
		for _, id := range r.DemandEnds {
			delete(m.demands, id)
		}
		for _, t := range r.Trusted {
			m.trusted[t.ID] = t
		}
		for _, id := range r.TrustedEnds {
			delete(m.trusted, id)
		}
		m.known = append(m.known, r.Known...)
		for _, s := range r.Sessions {
			m.sessions[s.ID] = s
			m.rows++
		}
		for _, id := range r.SessionEnds {
			if m.sessions[id].RevokedAt.IsZero() {
				delete(m.sessions, id)
			}
		}
		for _, r := range r.Revoke {
			out.Revoked = append(out.Revoked, m.revoke(r)...)
		}
		m.clears = append(m.clears, r.Clears...)
		for _, mark := range r.Marks {
			m.marks[mark.Address] = mark
			if m.lookback > 0 {
				out.History = m.history()
			}
		}
		m.refusals = append(m.refusals, r.Refusals...)
		m.alerts = append(m.alerts, r.Alerts...)
		m.audit = append(m.audit, r.Audit...)
		for _, s := range r.Shards {
			if s.Data == nil {
				s.Data = m.shards[s.Index].Data
			}
			m.shards[s.Index] = s
		}
		if r.Policy != nil {
			m.policy = r.Policy
		}
	}
	return out, nil
}

func (m *memJournal) Sync() error {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	if slow != nil {
		<-slow
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs++
	return m.unsynced
}

func (m *memJournal) revoke(r Revoke) (out []Revoked) {
	for id, s := range m.sessions {
		hit := id == r.Session || r.AccountKey != "" && s.AccountKey == r.AccountKey ||
			r.Address.IsValid() && (r.Address.Overlaps(s.Opening) || r.Address.Overlaps(s.Latest))
		if hit && s.RevokedAt.IsZero() {
			s.RevokedAt, s.Reason = r.At, r.Reason
			m.sessions[id] = s
			out = append(out, Revoked{Session: id, Account: s.Account, AccountKey: s.AccountKey, Reason: r.Reason, Time: r.At})
		}
	}
	if _, ok := m.sessions[r.Session]; !ok && r.Session != "" {
		m.sessions[r.Session] = Session{ID: r.Session, RevokedAt: r.At}
		out = append(out, Revoked{Session: r.Session, Reason: r.Reason, Time: r.At})
	}
	for i := range out {
		out[i].Seq = int64(len(m.revoked) + 1)
		m.revoked = append(m.revoked, out[i])
	}
	return out
}

func (m *memJournal) history() map[netip.Prefix]History {
	h := map[netip.Prefix]History{}
	for p, mark := range m.marks {
		h[p] = History{Fraudulent: mark.Fraudulent}
	}
	return h
}

func (m *memJournal) History(_ context.Context, lookback time.Duration, _ time.Time) (map[netip.Prefix]History, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookback = lookback
	if lookback == 0 {
		return nil, nil
	}
	h := m.history()
	if reading := m.reading; reading != nil {
		m.mu.Unlock()
		reading()
		m.mu.Lock()
	}
	return h, nil
}

func (m *memJournal) Answers(_ context.Context, app string, ids []string, since time.Time) (map[string]Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	out := map[string]Answer{}
	for _, e := range m.events {
		if e.App == app && slices.Contains(ids, e.ID) && !e.Arrival.Before(since) {
			a := Answer{Digest: e.Digest, Severity: e.Severity, Answer: e.Answer}
			if !e.OwnID {
				a.Answer = mustJSON(warder.Decision{Action: e.Action, Reason: e.Why, Rule: e.Rule, BlockID: e.BlockID, Reference: e.Reference})
			}
			if e.Reason == warder.Unsettled && e.Digest == nil {
				a.Unsettled = &e
			}
			out[e.ID] = a
		}
	}
	return out, nil
}

func (m *memJournal) Load(_ context.Context, now time.Time) (*State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &State{LastNo: m.no, Policy: m.policy}
	for _, e := range m.events {
		s.LastSeq = max(s.LastSeq, e.Seq)
		if e.Completed {
			s.Good = append(s.Good, Good{e.Address, e.AccountKey, e.Arrival})
			s.Hours = append(s.Hours, Hour{Address: e.Address, Realm: e.Realm, Hour: e.Arrival.Truncate(time.Hour), OK: 1})
		}
	}
	for _, d := range m.demands {
		s.Demands = append(s.Demands, d)
	}
	for _, t := range m.trusted {
		s.Trusted = append(s.Trusted, t)
	}
	s.Known = slices.Clone(m.known)
	slices.Reverse(s.Known)
	for id, x := range m.sessions {
		if x.RevokedAt.IsZero() {
			s.Sessions = append(s.Sessions, x)
		} else {
			s.Revoked = append(s.Revoked, id)
		}
	}
	for _, b := range m.blocks {
		if b.Origin == FromRule && !b.Until.IsZero() && !b.EndedAt.Before(b.Until) {
			s.Steps = append(s.Steps, Step{b.Subject, b.EndedAt})
		}
	}
	for _, x := range m.shards {
		s.Shards = append(s.Shards, x)
	}
	return s, nil
}

func (m *memJournal) Blocks(_ context.Context, now time.Time, f func(*Block) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.blocks {
		if b.State(now) == StateActive && b.EndedAt.IsZero() {
			if err := f(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memJournal) Tail(_ context.Context, after int64, f func(TailItem) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var items []TailItem
	for i := range m.clears {
		items = append(items, TailItem{Clear: &m.clears[i]})
	}
	if reading := m.reading; reading != nil {
		m.mu.Unlock()
		reading()
		m.mu.Lock()
	}
	for i := range m.events {
		items = append(items, TailItem{Event: &m.events[i]})
	}
	slices.SortFunc(items, func(a, b TailItem) int { return int(a.seq() - b.seq()) })
	for _, it := range items {
		if it.seq() > after {
			if err := f(it); err != nil {
				return err
			}
		}
	}
	return nil
}

// set changes how the journal works while it is in use.
func (m *memJournal) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// named returns the stored events of one name.
func (m *memJournal) named(name string) (out []Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.Name == name {
			out = append(out, e)
		}
	}
	return out
}

func (m *memJournal) counts() (blocks, alerts, audits int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.blocks), len(m.alerts), len(m.audit)
}

// synced is how often Sync was called.
func (m *memJournal) synced() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// journaled is a copy of what tests look at.
type journaled struct {
	alerts   []*Alert
	sessions map[string]Session
	known    []Known
	hits     map[string]int64
	refusals []Refusal
	revoked  []Revoked
	commits  int

	sessionRows int
}

func (m *memJournal) peek() journaled {
	m.mu.Lock()
	defer m.mu.Unlock()
	return journaled{slices.Clone(m.alerts), maps.Clone(m.sessions), slices.Clone(m.known), maps.Clone(m.hits), slices.Clone(m.refusals), slices.Clone(m.revoked), m.commits, m.rows}
}

func (m *memJournal) lastAlert() *Alert {
	alerts := m.peek().alerts
	return alerts[len(alerts)-1]
}
