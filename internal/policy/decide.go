package policy

import (
	"slices"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// Guards against hurting the innocent (SEMANTICS 24, 54 to 56).
const (
	// SharedAccounts is the number of different accounts that make an address
	// a shared one.
	SharedAccounts = 20
	// ShortBlock is how long a Block lasts at most that a guard cut.
	ShortBlock = 15 * time.Minute
)

// Why a crossing is cut short, and why it is spared.
const (
	CutShared      = "shared_address"
	CutUnsettled   = "unsettled"
	CutBlastRadius = "blast_radius"
	CutEvent       = "event"

	SparedProtected = "self_protected"
	SparedSuspect   = "client_address_suspect"
)

// Decide says what an event led to, given its hits and what each of them did to
// its counter. counts belongs to hits, index by index. With no hits it grades
// an event that nothing counted.
func (p *Policy) Decide(e *warder.Event, f *Facts, hits []Hit, counts []counter.Count) Verdict {
	v := Verdict{Severity: p.Severity(e.Name, f.Covered)}
	n := min(len(hits), len(counts))
	judged := false
	var best *Crossing
	for i := range n {
		h, c := &hits[i], &counts[i]
		if !c.Repeat && !c.Stale {
			v.Counted = true
		}
		v.Repeat = v.Repeat || c.Repeat && h.Rule.Distinct == ""
		if !judged && h.Rule.Key == ByIP {
			judged = true // by the first ip rule only, whatever the others say
			if failure(e.Name) && !c.Repeat && !c.Stale && c.N >= 2 {
				v.Severity = warder.High
			}
		}
		if !c.Crossed {
			continue
		}
		v.Emptied = append(v.Emptied, h.Key)
		if x := cross(e, f, h, c); best == nil || stronger(x, best) {
			best = x
		}
	}
	if best == nil {
		return v
	}
	for i := range n {
		if id := hits[i].Rule.ID; counts[i].Crossed && id != best.Rule.ID && !slices.Contains(best.Also, id) {
			best.Also = append(best.Also, id)
		}
	}
	v.Crossing = best
	v.Severity = best.Rule.Severity
	return v
}

// cross says what follows from one crossing.
func cross(e *warder.Event, f *Facts, h *Hit, c *counter.Count) *Crossing {
	r := h.Rule
	s := scope{address: h.Tag.Address, account: h.Tag.Account}
	x := &Crossing{
		Rule:     r,
		Subject:  r.subject(e, &s, h.Key.Source),
		Action:   r.Action,
		Observed: r.Mode != warder.Enforce,
		Duration: r.Cooling,
		Count:    c.N,
		Evidence: c.Evidence,
	}
	x.Alert = !x.Observed && r.Severity == warder.Critical
	if n := len(r.Escalate); n > 0 {
		x.Duration = r.Escalate[min(max(f.Steps[x.Subject], 0), n-1)]
	}
	address := r.Key == ByIP // everybody at the address is hit
	switch {
	case address && f.SelfProtected:
		x.Spared = SparedProtected
	case address && f.Suspect && r.Action == warder.BlockAction:
		x.Spared = SparedSuspect
	}
	if r.Key == BySession {
		return x // a session ends for good
	}
	if r.Action == warder.BlockAction {
		if address && f.GoodAccounts >= SharedAccounts && !f.Hostile {
			x.cut(ShortBlock, CutShared)
		}
		if unsettled(c.Evidence) {
			x.cut(ShortBlock, CutUnsettled)
		}
		if address && f.BlastRadius {
			x.cut(ShortBlock, CutBlastRadius)
		}
	}
	if limit, ok := r.atMost[e.Name]; ok {
		x.cut(limit, CutEvent)
	}
	return x
}

// cut shortens a crossing to limit, if it is longer. Of equal cuts the first is
// named.
func (x *Crossing) cut(limit time.Duration, why string) {
	if x.Duration == 0 || x.Duration > limit {
		x.Duration, x.Cut = limit, why
	}
}

// unsettled reports whether half or more of the evidence are attempts whose
// outcome nobody reported.
func unsettled(evidence []counter.Evidence) bool {
	n := 0
	for i := range evidence {
		if evidence[i].Unsettled {
			n++
		}
	}
	return n > 0 && 2*n >= len(evidence)
}

// stronger reports whether a comes before b as the crossing of record
// (SEMANTICS 13). b came first in the policy. What is enforced comes before
// what is only observed, and what acts before what is spared: otherwise the
// rule that spares an own proxy would hide the one that protects the account.
func stronger(a, b *Crossing) bool {
	switch {
	case a.Observed != b.Observed:
		return b.Observed
	case (a.Spared == "") != (b.Spared == ""):
		return a.Spared == ""
	case a.Action != b.Action:
		return a.Action > b.Action
	case a.Duration == b.Duration || b.Duration == 0:
		return false
	}
	return a.Duration == 0 || a.Duration > b.Duration
}
