package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// Bounds of what operators write.
const (
	maxReason   = 1000
	maxNote     = 4000
	maxDuration = 10 * 365 * 24 * time.Hour
	maxImport   = 100_000
)

// change makes a management change: its record with the audit row first, then
// memory, then the answer. A change that cannot be made durable in time does
// not happen (ErrBusy).
func (g *Guard) change(ctx context.Context, rec *Record, apply func()) error {
	p, ok := g.queue.add(rec, func(Committed) { apply() }, false)
	if !ok {
		return ErrBusy
	}
	timer := time.NewTimer(durabilityPatience)
	defer timer.Stop()
	if err := await(ctx, p, timer.C); err == nil || p.err != nil {
		return p.err
	}
	if g.queue.withdraw(p) {
		return ErrBusy
	}
	// Its commit is under way: its end is near, one way or the other, and it is
	// not tried again. Only a disk that does not answer at all leaves it open.
	select {
	case <-p.done:
		return p.err
	case <-time.After(commitPatience + time.Second):
		return ErrNotDurable
	}
}

// urge makes a change that must not depend on the database: it acts whether or
// not its record is taken. It still waits for the commit, since whoever was
// told that it is done may cut the power; only when the commit takes too long
// is the change journaled later. The record is queued first: a recount that
// begins in between then finds it there, and one that has begun tapes it.
func (g *Guard) urge(ctx context.Context, rec *Record, apply func()) error {
	p, ok := g.queue.add(rec, nil, true)
	apply()
	if !ok {
		return fmt.Errorf("%w: done, but it could not be journaled", ErrNotDurable)
	}
	timer := time.NewTimer(durabilityPatience)
	defer timer.Stop()
	if err := await(ctx, p, timer.C); !errors.Is(err, ErrNotDurable) {
		return err
	}
	return nil
}

// exclusive lets one change in at a time, so that what it checked still holds
// when it is made.
func (g *Guard) exclusive(ctx context.Context) (release func(), err error) {
	select {
	case g.changing <- struct{}{}:
		return func() { <-g.changing }, nil
	case <-ctx.Done():
		return nil, ErrBusy
	case <-time.After(durabilityPatience):
		return nil, ErrBusy
	}
}

func (g *Guard) audit(by Actor, action, target, reason string, before, after any) []Audit {
	a := Audit{Time: g.now(), Actor: by.Name, Action: action, Target: target, Reason: reason, From: by.From}
	if before != nil {
		a.Before = mustJSON(before)
	}
	if after != nil {
		a.After = mustJSON(after)
	}
	return []Audit{a}
}

// Block makes a Block by hand. *OverlapError says whom it would have hit.
func (g *Guard) Block(ctx context.Context, by Actor, b NewBlock) (*Block, error) {
	release, err := g.exclusive(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	block, err := g.manual(by, b, FromManual)
	if err != nil {
		return nil, err
	}
	rec := &Record{Audit: g.audit(by, "block.create", subjectText(block.Subject), b.Reason, nil, block)}
	g.addBlock(rec, block, by)
	g.flushSessions()
	if err := g.change(ctx, rec, func() { g.enforceAll([]*Block{block}) }); err != nil {
		return nil, err
	}
	return block, nil
}

// ImportBlocks makes many; the result has one error (or nil) for each. They are
// made durable a thousand at a time, in order, so a crash leaves the first
// parts. To repeat the whole import is harmless: a subject has at most one live
// imported Block, which stays as it is unless the new one lasts longer.
func (g *Guard) ImportBlocks(ctx context.Context, by Actor, list []NewBlock) ([]error, error) {
	if len(list) > maxImport {
		return nil, warder.Faults{{Location: "blocks", Message: fmt.Sprintf("must be at most %d at once", maxImport)}}
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	errs := make([]error, len(list))
	longest := make(map[netip.Prefix]int, len(list)) // of entries with the same subject
	for i, b := range list {
		if len(b.faults()) > 0 {
			continue // it must not stand in for one that is in order
		}
		old, ok := longest[b.IP.Masked()]
		if d := list[old].Duration; !ok || d != 0 && (b.Duration == 0 || b.Duration > d) {
			longest[b.IP.Masked()] = i
		}
	}
	for start := 0; start < len(list); start += 1000 {
		part := list[start:min(start+1000, len(list))]
		rec := &Record{}
		var blocks, over []*Block
		for i, b := range part {
			block, err := g.manual(by, b, FromImport)
			if err != nil {
				errs[start+i] = err
				continue
			}
			if longest[block.Subject.IP] != start+i {
				continue // the list names it again
			}
			if old := g.blocks.imported(block.Subject, block.From); old != nil {
				if !block.outlasts(old) {
					continue
				}
				over = append(over, old)
				rec.BlockEnds = append(rec.BlockEnds, BlockEnd{ID: old.ID, At: block.From, Reason: "superseded by " + block.ID})
			}
			blocks = append(blocks, block)
			g.addBlock(rec, block, by)
		}
		if len(blocks) == 0 {
			continue
		}
		rec.Audit = g.audit(by, "block.import", fmt.Sprintf("%d blocks", len(blocks)), "", nil, map[string]any{
			"first": subjectText(blocks[0].Subject), "last": subjectText(blocks[len(blocks)-1].Subject), "count": len(blocks),
		})
		g.flushSessions()
		apply := func() {
			g.enforceAll(blocks)
			g.mu.Lock()
			defer g.mu.Unlock()
			for _, b := range over {
				g.blocks.remove(b.Subject, b.ID)
			}
		}
		if err := g.change(ctx, rec, apply); err != nil {
			for i := range part {
				if errs[start+i] == nil {
					errs[start+i] = err
				}
			}
		}
	}
	return errs, nil
}

func (b *NewBlock) faults() warder.Faults {
	var f warder.Faults
	if !b.IP.IsValid() {
		f.Add("ip", "is required")
	}
	if len(b.Reason) > maxReason {
		f.Add("reason", "must be at most %d bytes", maxReason)
	}
	if b.Duration < 0 || b.Duration > maxDuration {
		f.Add("duration", "must be between 0 (permanent) and %d seconds", int64(maxDuration/time.Second))
	}
	return f
}

// manual checks a Block made by hand.
func (g *Guard) manual(by Actor, b NewBlock, origin string) (*Block, error) {
	if err := b.faults().Err(); err != nil {
		return nil, err
	}
	now := g.now()
	if err := g.mayBlock(b.IP, now); err != nil {
		return nil, err
	}
	block := &Block{
		ID: newID(), Reference: formatReference(g.references.next(now)), Subject: warder.Subject{IP: b.IP.Masked()},
		Origin: origin, Reason: b.Reason, By: by.Name, From: now,
	}
	if b.Duration > 0 {
		block.Until = now.Add(b.Duration)
	}
	block.GoodAccounts, _ = g.good.standing(block.Subject.IP, now)
	return block, nil
}

// mayBlock refuses a prefix that is too wide or covers somebody who must not
// be blocked.
func (g *Guard) mayBlock(p netip.Prefix, now time.Time) error {
	if tooWide(p) {
		return &OverlapError{With: p, What: "too_wide"}
	}
	if with, ok := g.protectedOverlap(p, now); ok {
		return &OverlapError{With: with, What: "self_protected"}
	}
	var hit netip.Prefix
	if _, _, ok := g.trusted.Overlaps(p); ok {
		for _, t := range g.TrustedList() {
			if t.IP.Overlaps(p) {
				hit = t.IP
			}
		}
	}
	if hit.IsValid() {
		return &OverlapError{With: hit, What: "trusted"}
	}
	return nil
}

func tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	return p.Bits() < 19
}

// addBlock puts a Block that is not a rule's into a record, with its event and
// the end of the sessions it covers; see flushSessions.
func (g *Guard) addBlock(rec *Record, b *Block, by Actor) {
	now := b.From
	rec.Blocks = append(rec.Blocks, b)
	e := g.ownEvent(warder.Event{Name: warder.IPBlocked, IP: clientOf(b.Subject.IP), Reason: b.Origin, Details: mustJSON(map[string]any{
		"block": b.ID, "prefix": b.Subject.IP, "until": instantOrNull(b.Until), "by": by.Name, "reason": b.Reason,
	})}, now)
	e.BlockID, e.Reference = b.ID, b.Reference
	rec.Events = append(rec.Events, e)
	rec.Revoke = append(rec.Revoke, Revoke{Address: b.Subject.IP, Reason: string(warder.Blocked), At: now, By: by.Name})
}

// instantOrNull keeps the zero time, which means never, out of JSON.
func instantOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// atOnce is how many Blocks come into force in one step, during which no event is
// judged: a fraction of a millisecond.
const atOnce = 64

// enforceAll puts Blocks of addresses in force.
func (g *Guard) enforceAll(blocks []*Block) {
	// Neighbours share parts of the table.
	blocks = slices.SortedFunc(slices.Values(blocks), func(a, b *Block) int { return a.Subject.IP.Addr().Compare(b.Subject.IP.Addr()) })
	for part := range slices.Chunk(blocks, atOnce) {
		g.mu.Lock()
		for i, s := range g.blocks.addAll(part) {
			g.ends.addBlock(s, part[i].Subject)
		}
		g.mu.Unlock()
	}
}

// Lift ends Blocks and returns them. ErrNotFound: none of them is live;
// *CoveredError: the address is blocked by a wider one. An urgent one does not
// queue up behind a slow database.
func (g *Guard) Lift(ctx context.Context, by Actor, l Lift) ([]*Block, error) {
	if err := l.faults().Err(); err != nil {
		return nil, err
	}
	change := g.urge
	if !by.Urgent {
		change = g.change
		release, err := g.exclusive(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	now := g.now()
	blocks, err := g.toLift(l, now)
	if err != nil {
		return nil, err
	}
	rec := &Record{}
	exempt := map[netip.Prefix]bool{} // several Blocks may be of one address
	defer g.beginClearing()()
	for _, b := range blocks {
		rec.BlockEnds = append(rec.BlockEnds, BlockEnd{ID: b.ID, At: now, By: by.Name, Verdict: l.Verdict, Reason: l.Reason})
		rec.Audit = append(rec.Audit, g.audit(by, "block.lift", subjectText(b.Subject), l.Reason, b, map[string]any{"verdict": l.Verdict})...)
		e := g.ownEvent(warder.Event{Name: warder.IPUnblocked, IP: clientOf(b.Subject.IP), Reason: "lifted", Details: mustJSON(map[string]any{
			"block": b.ID, "by": by.Name, "verdict": l.Verdict,
		})}, now)
		e.BlockID, e.Reference, e.Rule = b.ID, b.Reference, b.Rule
		rec.Events = append(rec.Events, e)
		if l.ClearCounters || l.Verdict == VerdictError {
			rec.Clears = append(rec.Clears, Clear{Seq: g.nextSeq(now), At: now, Selection: selectionOf(b.Subject)})
		}
		if l.TrustFor > 0 && byAddress(b.Subject) && !exempt[b.Subject.IP] {
			exempt[b.Subject.IP] = true
			t := Trusted{ID: newID(), IP: b.Subject.IP, Note: strings.TrimSuffix("lifted: "+l.Reason, ": "), By: by.Name, From: now, Until: now.Add(l.TrustFor)}
			rec.Trusted = append(rec.Trusted, t)
			rec.Audit = append(rec.Audit, g.audit(by, "trusted.add", prefixText(t.IP), l.Reason, nil, t)...)
		}
	}
	apply := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, b := range blocks {
			g.blocks.remove(b.Subject, b.ID)
			b.LiftedAt, b.LiftedBy, b.Verdict, b.LiftReason = now, by.Name, l.Verdict, l.Reason
		}
		for _, c := range rec.Clears {
			g.clearCounters(c, now)
		}
		for _, t := range rec.Trusted {
			g.addTrusted(t)
		}
	}
	if by.Urgent {
		// What is left of the address's past comes with the commit; who must not
		// wait for the disk is not refused for the rest until then.
		for _, b := range blocks {
			if byAddress(b.Subject) {
				g.applyHistory(b.Subject.IP, History{})
			}
		}
	}
	if err := change(ctx, rec, apply); err != nil {
		return nil, err
	}
	return blocks, nil
}

func (l *Lift) faults() warder.Faults {
	var f warder.Faults
	if l.Verdict != VerdictError && l.Verdict != VerdictResolved {
		f.Add("verdict", "must be error (blocked by mistake) or resolved")
	}
	if len(l.Reason) > maxReason {
		f.Add("reason", "must be at most %d bytes", maxReason)
	}
	if l.TrustFor < 0 || l.TrustFor > maxDuration {
		f.Add("trust_for", "must be between 0 and %d seconds", int64(maxDuration/time.Second))
	}
	if len(l.IDs) == 0 && !l.IP.IsValid() {
		f.Add("ip", "or ids is required")
	}
	return f
}

// toLift finds the Blocks that a lift names.
func (g *Guard) toLift(l Lift, now time.Time) ([]*Block, error) {
	n := now.UnixNano()
	var named map[string]warder.Subject
	if len(l.IDs) > 0 {
		named = g.blocks.find(l.IDs)
	}
	// A Block acts as soon as it is made. Once the event that made it is judged
	// its record is queued, so that its end comes after it in the journal.
	g.mu.Lock()
	defer g.mu.Unlock()
	var blocks []*Block
	take := func(subject warder.Subject, wanted func(*stand) bool) {
		for s := g.blocks.of(subject); s != nil; s = s.next {
			if s.live(n) && wanted(s) {
				blocks = append(blocks, s.block(subject))
			}
		}
	}
	for id, subject := range named {
		take(subject, func(s *stand) bool { return s.ID() == id })
	}
	if l.IP.IsValid() {
		take(warder.Subject{IP: l.IP.Masked()}, func(*stand) bool { return true })
	}
	if len(blocks) > 0 {
		return blocks, nil
	}
	if l.IP.IsValid() {
		if s, at := g.blocks.longest(l.IP.Addr(), n); s != nil {
			return nil, &CoveredError{By: s.block(warder.Subject{IP: at})}
		}
	}
	return nil, fmt.Errorf("%w: no block of it is in force", ErrNotFound)
}

// selectionOf selects the counters of a Block's subject.
func selectionOf(s warder.Subject) counter.Selection {
	return counter.Selection{Address: s.IP, Account: s.Account}
}

// beginClearing keeps checkpoints away until the clearing acts or fails.
func (g *Guard) beginClearing() (end func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clearing++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.clearing--
	}
}

// clearCounters empties counters; the caller holds the engine's lock.
func (g *Guard) clearCounters(c Clear, now time.Time) {
	g.logged("clear", g.counters.Clear(context.Background(), now, c.Selection, c.Seq))
	g.tape(&Record{Clears: []Clear{c}})
}

// EditBlock changes the note, the review or the end of a live Block.
func (g *Guard) EditBlock(ctx context.Context, by Actor, edit BlockEdit) error {
	var f warder.Faults
	if edit.Note != nil && len(*edit.Note) > maxNote {
		f.Add("note", "must be at most %d bytes", maxNote)
	}
	now := g.now()
	switch {
	case edit.Until == nil || edit.Until.IsZero():
	case !edit.Until.After(now):
		f.Add("until", "must lie in the future; lift the block to end it now")
	case edit.Until.After(now.Add(maxDuration)):
		f.Add("until", "must lie within ten years; a block can be without end")
	}
	if err := f.Err(); err != nil {
		return err
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	edit.At = now
	subject, live := g.blocks.find([]string{edit.ID})[edit.ID]
	if edit.Until != nil && !live {
		return ErrConflict
	}
	rec := &Record{BlockEdits: []BlockEdit{edit}, Audit: g.audit(by, "block.edit", edit.ID, "", nil, edit)}
	return g.change(ctx, rec, func() {
		if edit.Until == nil {
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		s := g.blocks.of(subject).find(edit.ID)
		if s == nil {
			return
		}
		b := s.block(subject)
		b.Until = *edit.Until
		g.blocks.remove(subject, edit.ID)
		g.ends.addBlock(g.blocks.add(b), subject)
	})
}

// ClearRequest says what to clear; all empty means everything.
type ClearRequest struct {
	IP             netip.Prefix // an address key
	Account        string
	Realm          string
	RestartMetrics bool
}

// ClearCounters empties counters and scores: of an address, of an account (in
// a realm), of both, or all. It lifts no Block.
func (g *Guard) ClearCounters(ctx context.Context, by Actor, c ClearRequest) error {
	release, err := g.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	now := g.now()
	clear := Clear{At: now, RestartMetrics: c.RestartMetrics}
	target := "everything"
	var parts []string
	if c.IP.IsValid() {
		clear.Selection.Address = c.IP.Masked()
		parts = append(parts, prefixText(c.IP))
	}
	if c.Account != "" {
		clear.Selection.Account = warder.AccountKey(c.Realm, c.Account)
		parts = append(parts, "account "+accountText(clear.Selection.Account))
	}
	if len(parts) > 0 {
		target = strings.Join(parts, ", ")
	} else {
		clear.Selection.All = true
	}
	defer g.beginClearing()()
	clear.Seq = g.nextSeq(now)
	rec := &Record{Clears: []Clear{clear}, Audit: g.audit(by, "counters.clear", target, "", nil, map[string]any{"restart_metrics": c.RestartMetrics})}
	return g.change(ctx, rec, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.clearCounters(clear, now)
	})
}

// Mark records that an address is known to be fraudulent, or that it is not.
func (g *Guard) Mark(ctx context.Context, by Actor, ip netip.Addr, fraudulent bool, note string) error {
	if len(note) > maxNote {
		return warder.Faults{{Location: "note", Message: fmt.Sprintf("must be at most %d bytes", maxNote)}}
	}
	key := warder.AddressKey(ip)
	if !key.IsValid() {
		return warder.Faults{{Location: "ip", Message: "must be an address"}}
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	m := Mark{Address: key, Fraudulent: fraudulent, Note: note, By: by.Name, At: g.now()}
	rec := &Record{Marks: []Mark{m}, Audit: g.audit(by, "address.mark", prefixText(key), note, nil, map[string]any{"fraudulent": fraudulent})}
	return g.change(ctx, rec, func() {})
}

// RevokeRequest names the sessions to end: exactly one of Session, Account and
// IP is set.
type RevokeRequest struct {
	Session string
	Account string
	Realm   string // of Account
	IP      netip.Prefix
	Reason  string
}

// RevokeSessions ends sessions and returns them.
func (g *Guard) RevokeSessions(ctx context.Context, by Actor, r RevokeRequest) ([]Revoked, error) {
	var f warder.Faults
	set := 0
	for _, given := range []bool{r.Session != "", r.Account != "", r.IP.IsValid()} {
		if given {
			set++
		}
	}
	if set != 1 {
		f.Add("session", "give exactly one of session, account and ip")
	}
	if len(r.Reason) > maxReason {
		f.Add("reason", "must be at most %d bytes", maxReason)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	revoke := Revoke{Session: r.Session, Address: r.IP, Reason: r.Reason, At: g.now(), By: by.Name}
	if revoke.Reason == "" {
		revoke.Reason = "revoked"
	}
	target := "session " + r.Session
	switch {
	case r.Account != "":
		revoke.AccountKey = warder.AccountKey(r.Realm, r.Account)
		target = "account " + accountText(revoke.AccountKey)
	case r.IP.IsValid():
		target = prefixText(r.IP)
	}
	rec := &Record{Revoke: []Revoke{revoke}, Audit: g.audit(by, "session.revoke", target, r.Reason, nil, nil)}
	g.flushSessions()
	var ended []Revoked
	p, ok := g.queue.add(rec, func(c Committed) {
		ended = slices.DeleteFunc(slices.Clone(c.Revoked), func(x Revoked) bool { return !revoke.covers(x) })
	}, false)
	if !ok {
		return nil, ErrBusy
	}
	timer := time.NewTimer(durabilityPatience)
	defer timer.Stop()
	if err := await(ctx, p, timer.C); err != nil {
		if g.queue.withdraw(p) {
			return nil, ErrBusy
		}
		select {
		case <-p.done:
		case <-time.After(commitPatience + time.Second):
			return nil, ErrNotDurable
		}
		if p.err != nil {
			return nil, p.err
		}
	}
	return ended, nil
}

// covers tells the sessions that one revocation ended from those of others in
// the same commit.
func (r *Revoke) covers(x Revoked) bool {
	switch {
	case r.Session != "":
		return x.Session == r.Session
	case r.AccountKey != "":
		return x.AccountKey == r.AccountKey && x.Reason == r.Reason
	}
	return x.Reason == r.Reason && x.Time.Equal(r.At)
}

// LiftDemand ends a Demand before its time: who it was for signs in as if it
// had never been made. What was counted before it was made stays used up. For
// an id that stands no more ErrNotFound.
func (g *Guard) LiftDemand(ctx context.Context, by Actor, id, reason string) (*Demand, error) {
	if len(reason) > maxReason {
		return nil, warder.Fault{Location: "reason", Message: fmt.Sprintf("must be at most %d bytes", maxReason)}
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	d := g.demands.byID(id)
	if d == nil || !d.live(g.now()) {
		return nil, ErrNotFound
	}
	rec := &Record{
		DemandEnds: []string{d.ID},
		Audit:      g.audit(by, "demand.lift", subjectText(d.Subject), reason, d, nil),
	}
	return d, g.change(ctx, rec, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.demands.remove(d)
	})
}

// StandingBlock is the live Block that lasts longest of those that cover an
// address key, as memory knows it: without reason, evidence and figures. nil:
// there is none.
func (g *Guard) StandingBlock(key netip.Prefix) *Block {
	s, at := g.blocks.longest(key.Addr(), g.now().UnixNano())
	if s == nil {
		return nil
	}
	return s.block(warder.Subject{IP: at})
}
