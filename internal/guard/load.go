package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// Checkpoints of the counters.
const (
	checkpointEvery = time.Minute
	checkpointBytes = 512 << 10 // per second, so that a large memory is spread over the minute
)

// Load reads Blocks, Demands, trusted, sessions, known sources and counters
// from the journal, so that a restart resets nobody.
func (g *Guard) Load(ctx context.Context) error {
	now := g.now()
	state, err := g.journal.Load(ctx, now)
	if err != nil {
		return fmt.Errorf("load the state: %w", err)
	}
	g.seq.Store(state.LastSeq)
	g.queue.no = state.LastNo
	if err := g.loadPolicy(state); err != nil {
		return err
	}
	for _, d := range state.Demands {
		if !d.Observed {
			g.demands.add(d)
			g.ends.addDemand(d)
		}
	}
	g.trustPolicy(g.force.Load().policy, state.Trusted)
	g.loadKnown(state)
	g.loadSessions(state, now)
	g.loadGood(state)
	for _, s := range state.Steps {
		g.steps.note(s.Subject, s.Ended)
	}
	if err := g.loadBlocks(ctx, now); err != nil {
		return err
	}
	g.relearnHistory(ctx, g.force.Load().policy)
	if err := g.restoreCounters(ctx, state.Shards, now); err != nil {
		return err
	}
	if g.onPolicy != nil {
		g.onPolicy(g.force.Load().policy)
	}
	return nil
}

func (g *Guard) loadPolicy(state *State) error {
	if state.Policy == nil {
		return nil
	}
	d, err := policy.Parse(state.Policy.Document)
	if err != nil {
		return fmt.Errorf("saved policy, revision %d: %w", state.Policy.N, err)
	}
	// Its tests are not run: a test that has become stale must not keep the
	// protection from starting.
	compiled, err := d.Compile()
	if err != nil {
		return fmt.Errorf("saved policy, revision %d: %w", state.Policy.N, err)
	}
	g.force.Store(g.inForce(d, state.Policy.N, compiled))
	return nil
}

func (g *Guard) loadKnown(state *State) {
	for _, k := range slices.Backward(state.Known) {
		if source, ok := strings.CutPrefix(k.Source, mfaSource); ok {
			g.mfaMet.put(digestOf(k.Account, source), k.At)
			continue
		}
		g.known.put(digestOf(k.Account, k.Source), k.At)
	}
}

func (g *Guard) loadSessions(state *State, now time.Time) {
	for _, s := range slices.Backward(state.Sessions) {
		g.sessions.open(s)
	}
	for _, id := range state.Revoked {
		g.sessions.revoke(id, now)
	}
}

func (g *Guard) loadGood(state *State) {
	for _, a := range state.Good {
		g.good.account(a.Address, a.Account, a.At)
	}
	slices.SortFunc(state.Hours, func(a, b Hour) int { return a.Hour.Compare(b.Hour) })
	for _, h := range state.Hours {
		if h.OK > 0 {
			g.good.completed(h.Address, h.Realm, h.Hour, h.OK)
		}
		g.good.failed(h.Address, h.Hour, h.Bad)
	}
}

func (g *Guard) loadBlocks(ctx context.Context, now time.Time) error {
	var err error
	var latest struct {
		from   time.Time
		ref    uint64
		beside int
	}
	chain := func(old, latest *stand) *stand {
		latest.next = old
		return latest
	}
	g.blocks.prefixes.ReplaceMerged(chain, func(add func(netip.Prefix, *stand)) {
		err = g.journal.Blocks(ctx, now, func(b *Block) error {
			if b.Observed {
				return nil
			}
			if !byAddress(b.Subject) {
				g.ends.addBlock(g.blocks.add(b), b.Subject)
				return nil
			}
			s := g.blocks.standOf(b)
			switch {
			case b.From.After(latest.from):
				latest.from, latest.ref, latest.beside = b.From, s.ref, 0
			case b.From.Equal(latest.from):
				latest.beside++
			}
			add(b.Subject.IP, s)
			g.blocks.n.Add(1)
			g.ends.addBlock(s, b.Subject)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("load blocks: %w", err)
	}
	g.references.resume(latest.ref, latest.beside, now)
	return nil
}

// restoreCounters rebuilds the counters from their checkpoint and the tail of
// the journal. A shard whose checkpoint is missing, broken or made under other
// rules is rebuilt from the journal alone.
func (g *Guard) restoreCounters(ctx context.Context, shards []Shard, now time.Time) error {
	f := g.force.Load()
	oldest := now.Add(-f.policy.MaxWindow()).UnixMicro()
	restored := 0
	from := g.seq.Load()
	for _, s := range shards {
		if s.Index < 0 || s.Index >= len(g.saved) {
			continue
		}
		counting, data, ok := cutCounting(s.Data)
		if !ok || counting != f.policy.Counting() {
			continue
		}
		if err := g.counters.Restore(s.Index, s.Seq, data); err != nil {
			g.log.Warn("checkpoint of the counters is unusable; replaying the journal instead", "shard", s.Index, "error", err)
			continue
		}
		g.saved[s.Index] = s.Seq
		g.seq.Store(max(g.seq.Load(), s.Seq)) // its last number may never have been journaled
		restored++
		from = min(from, s.Seq)
	}
	if restored < len(g.saved) {
		from = oldest
	}
	from = max(from, oldest)
	err := g.journal.Tail(ctx, from, func(item TailItem) error {
		g.replay(f.policy, g.counters, item)
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	g.counters.Sweep(now)
	return nil
}

// replay counts what is in the journal the way it was counted when it
// happened. Crossings that happened are repeated, none is made.
func (g *Guard) replay(p *policy.Policy, counters *counter.Memory, item TailItem) {
	ctx := context.Background()
	if c := item.Clear; c != nil {
		g.logged("replay a clearing", counters.Clear(ctx, c.At, c.Selection, c.Seq))
		return
	}
	e := item.Event
	at := e.Time
	if e.Arrival.Before(at) {
		at = e.Arrival
	}
	facts, kept := factsOf(e)
	if e.Replaces != 0 {
		g.unreplay(p, counters, e, facts, kept.Replaced)
	}
	if e.Eligible {
		hits := p.Hits(&e.Event, &facts, at, e.Seq)
		if kept.Settled {
			hits = slices.DeleteFunc(hits, func(h policy.Hit) bool { return h.Rule.Key == policy.ByIP })
		}
		if len(hits) > 0 {
			plain := make([]counter.Hit, len(hits))
			for i := range hits {
				plain[i] = hits[i].Hit
				plain[i].Unsettled = e.Reason == warder.Unsettled
			}
			counters.Replay(e.Arrival, e.Seq, plain)
		}
	}
	for _, class := range e.Takes {
		tag := counter.Tag{Account: e.AccountKey, Address: e.Address, Class: class}
		_, err := counters.TakeOut(ctx, e.Arrival, tag, at, e.Seq)
		g.logged("replay a success", err)
	}
	if len(e.Emptied) > 0 {
		counters.Empty(e.Emptied, e.Seq)
	}
}

// unreplay takes back the failure that the engine wrote for an attempt which
// was settled late. Without what was known of the failure, it was the same.
func (g *Guard) unreplay(p *policy.Policy, counters *counter.Memory, e *Event, facts policy.Facts, was *replacedFacts) {
	old := e.Event
	old.ID = strings.TrimSuffix(old.ID, lateSuffix)
	old.Name, old.Reason, old.Guess = unsettledName(e.Name), warder.Unsettled, warder.Guess{}
	if was != nil {
		old.Account, old.Session = was.Account, was.Session
		facts = policy.Facts{Source: was.Source, RecentSession: was.RecentSession, Demanded: was.Demanded}
	}
	hits := p.Hits(&old, &facts, old.Time, e.Replaces)
	plain := make([]counter.Hit, len(hits))
	for i := range hits {
		plain[i] = hits[i].Hit
	}
	g.logged("replay a late settlement", counters.Remove(context.Background(), e.Arrival, plain, e.Seq))
}

// unsettledName is the name of the failure that a late settlement replaces.
func unsettledName(name string) string {
	for _, suffix := range []string{"_SUCCESS", "_FAILURE", "_ERROR"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			_, failure, _ := policy.AttemptNames(stem)
			return failure
		}
	}
	return name
}

// checkpoint journals the next shards of the counters, so many that a large
// memory is spread over a minute and a small one is written at once. It writes
// nothing while nothing happens.
func (g *Guard) checkpoint(now time.Time) {
	if g.nextShard == 0 {
		if now.Sub(g.cycle) < checkpointEvery {
			return
		}
		g.cycle = now
	}
	var shards []Shard
	size := 0
	for g.nextShard < len(g.saved) && size < checkpointBytes {
		if s, ok := g.snapshot(g.nextShard); ok {
			shards = append(shards, s)
			size += len(s.Data)
		}
		g.nextShard++
	}
	if g.nextShard >= len(g.saved) {
		g.nextShard = 0
	}
	g.saveShards(shards)
}

// checkpointAll journals every shard that changed, at the end of a run.
func (g *Guard) checkpointAll() {
	for i := range g.saved {
		if s, ok := g.snapshot(i); ok {
			g.saveShards([]Shard{s})
		}
	}
}

// snapshot makes the checkpoint of one shard; ok is false if the one saved is
// as good.
func (g *Guard) snapshot(i int) (s Shard, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	seq := g.seq.Load()
	// A clearing has its number already but acts only when it is durable: a
	// snapshot taken in between would undo it.
	if seq == g.saved[i] || g.clearing > 0 {
		return s, false
	}
	g.saved[i] = seq
	data := g.counters.Snapshot(i, seq)
	if data != nil {
		data = append([]byte(g.force.Load().policy.Counting()+"\n"), data...)
	}
	return Shard{Index: i, Seq: seq, Data: data}, true
}

func (g *Guard) saveShards(shards []Shard) {
	if len(shards) == 0 {
		return
	}
	if _, ok := g.queue.add(&Record{Shards: shards}, nil, false); !ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, s := range shards {
			g.saved[s.Index] = 0
			g.counters.Unsaved(s.Index)
		}
	}
}

// cutCounting splits a checkpoint into the digest of the rules it was made
// under and the counters themselves.
func cutCounting(data []byte) (counting string, rest []byte, ok bool) {
	i := slices.Index(data[:min(len(data), 256)], '\n')
	if i < 0 {
		return "", nil, false
	}
	return string(data[:i]), data[i+1:], true
}

// Policy returns the document in force and its revision (0: the preset).
func (g *Guard) Policy() (*policy.Document, int64) {
	f := g.force.Load()
	return f.doc, f.revision
}

// inForce joins a policy with the providers' lists that are loaded.
func (g *Guard) inForce(d *policy.Document, revision int64, p *policy.Policy) *inForce {
	f := &inForce{doc: d, revision: revision, policy: p, mode: p.Mode()}
	g.lists.Lock()
	defer g.lists.Unlock()
	for _, provider := range p.Providers {
		if lookup := g.lookups[provider.Name]; lookup != nil {
			f.lists = append(f.lists, listing{provider: provider, lookup: lookup})
		}
	}
	return f
}

// SetProvider puts a provider's list in force; nil takes it out. lookup must
// be safe for concurrent use and allocate nothing.
func (g *Guard) SetProvider(name string, lookup func(netip.Addr) (level int, ok bool)) {
	g.lists.Lock()
	if lookup == nil {
		delete(g.lookups, name)
	} else {
		g.lookups[name] = lookup
	}
	g.lists.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.force.Load()
	g.force.Store(g.inForce(f.doc, f.revision, f.policy))
}

// SetPolicy validates a document, runs its tests, saves it and puts it in
// force. ifRevision < 0 means whatever is in force; otherwise ErrStale if the
// revision in force is another. The error is warder.Faults for a faulty
// document.
func (g *Guard) SetPolicy(ctx context.Context, by Actor, d *policy.Document, comment string, ifRevision int64) (Revision, error) {
	compiled, err := d.Compile()
	if err != nil {
		return Revision{}, err
	}
	if err := compiled.Test(); err != nil {
		return Revision{}, err
	}
	if len(comment) > maxNote {
		return Revision{}, warder.Faults{{Location: "comment", Message: fmt.Sprintf("must be at most %d bytes", maxNote)}}
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return Revision{}, err
	}
	defer release()
	old := g.force.Load()
	if ifRevision >= 0 && ifRevision != old.revision {
		return Revision{}, ErrStale
	}
	rec, apply, err := g.swapBlocked(compiled, by)
	if err != nil {
		return Revision{}, err
	}
	now := g.now()
	revision := Revision{N: old.revision + 1, Time: now, By: by.Name, Comment: comment, Document: d.YAML()}
	rec.Policy = &revision
	rec.Audit = append(g.audit(by, "policy.set", fmt.Sprintf("revision %d", revision.N), comment,
		string(old.doc.YAML()), string(revision.Document)), rec.Audit...)
	counters, tape, seen, err := g.recount(ctx, old.policy, compiled, now)
	if err != nil {
		return Revision{}, err
	}
	defer g.stopTape()
	err = g.change(ctx, rec, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		// Without its tape the recount is not the whole story: a commit that
		// came so late that nobody waited for it leaves the counters as they are.
		if counters != nil && g.taped == tape {
			g.swapCounters(compiled, counters, seen)
		}
		g.force.Store(g.inForce(d, revision.N, compiled))
		g.trustPolicy(compiled, g.dynamicTrust())
		apply()
	})
	if err != nil {
		return Revision{}, err
	}
	g.relearnHistory(ctx, compiled)
	if g.onPolicy != nil {
		g.onPolicy(compiled)
	}
	return revision, nil
}

// recount replays the journal under a new policy into fresh counters; nil if the
// new policy counts like the old one. What happens from its beginning on is
// taped. seen are the numbers on the tape that the replay came upon already: the
// journal is read in parts, while others write to it.
func (g *Guard) recount(ctx context.Context, old, new *policy.Policy, now time.Time) (c *counter.Memory, tape *[]*Record, seen map[int64]bool, err error) {
	if old.Counting() == new.Counting() {
		return nil, nil, nil, nil
	}
	g.mu.Lock()
	queued := g.queue.snapshot()
	tape = &queued
	g.taped = tape
	counters := g.counters.Fresh()
	first := g.seq.Load() + 1
	g.mu.Unlock()
	eachItem(queued, func(item TailItem) { first = min(first, item.seq()) })
	seen = map[int64]bool{}
	err = g.journal.Tail(ctx, now.Add(-new.MaxWindow()).UnixMicro(), func(item TailItem) error {
		g.replay(new, counters, item)
		if n := item.seq(); n >= first {
			seen[n] = true
		}
		return ctx.Err()
	})
	if err != nil {
		g.stopTape()
		return nil, nil, nil, errors.Join(ErrBusy, err)
	}
	return counters, tape, seen, nil
}

// eachItem calls f for everything in records that a replay is about.
func eachItem(records []*Record, f func(TailItem)) {
	for _, rec := range records {
		for i := range rec.Events {
			f(TailItem{Event: &rec.Events[i]})
		}
		for i := range rec.Clears {
			f(TailItem{Clear: &rec.Clears[i]})
		}
	}
}

func (i TailItem) seq() int64 {
	if i.Clear != nil {
		return i.Clear.Seq
	}
	return i.Event.Seq
}

// swapCounters catches up with what happened during a recount and puts the new
// counters in place of the old. The caller holds the engine's lock.
func (g *Guard) swapCounters(p *policy.Policy, counters *counter.Memory, seen map[int64]bool) {
	eachItem(*g.taped, func(item TailItem) {
		if !seen[item.seq()] {
			g.replay(p, counters, item)
		}
	})
	counters.Carry(g.counters)
	g.counters = counters
	clear(g.saved)
}

func (g *Guard) stopTape() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taped = nil
}

// swapBlocked makes the record that brings the Blocks of the policy's own list
// in line with it, and the step that does so in memory.
func (g *Guard) swapBlocked(p *policy.Policy, by Actor) (*Record, func(), error) {
	now := g.now()
	wanted := make(map[netip.Prefix]policy.Blocked)
	for i, b := range p.Blocked {
		if err := g.mayBlock(b.IP, now); err != nil {
			overlap := (*OverlapError)(nil)
			if errors.As(err, &overlap) && overlap.What != "trusted" { // the policy's own trusted list is checked by the policy
				return nil, nil, warder.Faults{{Location: fmt.Sprintf("blocked[%d].ip", i), Message: err.Error()}}
			}
		}
		if b.Until.IsZero() || b.Until.After(now) {
			wanted[b.IP] = b
		}
	}
	rec := &Record{}
	var gone []*Block
	g.blocks.prefixes.All(func(ip netip.Prefix, head *stand) bool {
		for s := head; s != nil; s = s.next {
			if s.why.origin != FromPolicy {
				continue
			}
			b := s.block(warder.Subject{IP: ip})
			if w, ok := wanted[ip]; ok && endNanos(w.Until) == s.until {
				delete(wanted, ip)
				continue
			}
			gone = append(gone, b)
			rec.BlockEnds = append(rec.BlockEnds, BlockEnd{ID: b.ID, At: now, By: by.Name, Verdict: VerdictResolved, Reason: "removed from the policy"})
		}
		return true
	})
	var fresh []*Block
	for _, w := range wanted {
		b := &Block{
			ID: newID(), Reference: formatReference(g.references.next(now)), Subject: warder.Subject{IP: w.IP},
			Origin: FromPolicy, Reason: w.Reason, By: by.Name, From: now, Until: w.Until,
		}
		fresh = append(fresh, b)
		g.addBlock(rec, b, by)
	}
	g.flushSessions()
	return rec, func() {
		for _, b := range gone {
			g.blocks.remove(b.Subject, b.ID)
		}
		for i, s := range g.blocks.addAll(fresh) {
			g.ends.addBlock(s, fresh[i].Subject)
		}
	}, nil
}

// relearnHistory computes the history verdicts anew under a changed policy. What
// is committed while the journal is read is newer than what was read.
func (g *Guard) relearnHistory(ctx context.Context, p *policy.Policy) {
	g.learning.Lock()
	g.learned = make(map[netip.Prefix]History)
	g.learning.Unlock()
	facts, err := g.journal.History(ctx, p.Lookback, g.now())
	g.learning.Lock()
	defer g.learning.Unlock()
	learned := g.learned
	g.learned = nil
	if err != nil {
		g.log.Warn("read the history of addresses", "error", err)
		return
	}
	if facts != nil {
		maps.Copy(facts, learned)
	}
	// In one step: nobody whose past refuses them slips in between.
	g.history.Replace(func(add func(netip.Prefix, historyVerdict)) {
		for ip, h := range facts {
			if v := judgeHistory(p, h); v.action > warder.Allow {
				add(ip, v)
			}
		}
	})
}
