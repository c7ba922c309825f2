package guard

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/policy"
)

// cross turns a crossing into its Block, Demand or revocation, its event, its
// audit row and its alert, all in the record of the deciding event
// (SEMANTICS 14). Memory changes at once.
func (g *Guard) cross(j *judgement, f *inForce, c *policy.Crossing, rec *Record) *finding {
	out := &finding{action: c.Action, why: warder.Threshold, rule: c.Rule.ID, observe: c.Observed}
	if c.Duration > 0 {
		out.until = j.now.Add(c.Duration)
	}
	told := g.ownEvent(warder.Event{
		Name: warder.ThresholdExceeded, IP: j.event.IP, Account: j.event.Account, Realm: j.event.Realm,
		Session: j.event.Session, UserAgent: j.event.UserAgent, Method: j.event.Method, Path: j.event.Path,
		Details: mustJSON(crossingDetails(c)),
	}, j.now)
	told.Severity, told.Rule, told.Why = c.Rule.Severity, c.Rule.ID, warder.Threshold
	audit := Audit{Time: j.now, Actor: "warder", Target: subjectText(c.Subject)}
	var block *Block
	switch {
	case c.Spared != "":
		out.action = warder.Allow
		audit.Action = "crossing.spared"
		audit.Reason = c.Spared
		if c.Spared == AlertSuspect {
			g.noteSuspect(j.who.address, rec, j.now)
		}
	case c.Rule.Key == policy.BySession:
		audit.Action = "session.revoke"
		if c.Observed {
			audit.Action = "crossing.observed"
		} else {
			g.endSession(j, c, rec)
			out.why = warder.SessionRevoked
		}
	case c.Action == warder.BlockAction:
		block = g.blockFor(j, c)
		audit.Action = "block.create"
		if c.Observed {
			audit.Action = "crossing.observed"
		}
		if g.place(j, block, c, rec, out) {
			told.BlockID, told.Reference = block.ID, block.Reference
		}
	default:
		audit.Action = "demand.create"
		d := &Demand{
			ID: newID(), Subject: c.Subject, Action: c.Action, Rule: c.Rule.ID, From: j.now,
			Until: out.until, Observed: c.Observed, EventSeq: j.row.Seq,
		}
		rec.Demands = append(rec.Demands, d)
		if !c.Observed {
			g.demands.add(d)
			g.ends.addDemand(d)
		}
	}
	told.Action = out.action
	rec.Events = append(rec.Events, told)
	if block != nil && !c.Observed && byAddress(block.Subject) {
		blocked := g.ownEvent(warder.Event{
			Name: warder.IPBlocked, IP: j.event.IP, Account: j.event.Account, Realm: j.event.Realm, Reason: "rule",
			Details: mustJSON(map[string]any{"block": block.ID, "rule": c.Rule.ID, "until": block.Until}),
		}, j.now)
		blocked.BlockID, blocked.Reference, blocked.Rule = block.ID, block.Reference, c.Rule.ID
		rec.Events = append(rec.Events, blocked)
	}
	audit.After = mustJSON(crossingAudit(c, block))
	rec.Audit = append(rec.Audit, audit)
	if c.Alert || !c.Observed && g.mailed.Load()&(1<<c.Rule.Severity) != 0 {
		rec.Alerts = append(rec.Alerts, g.alertOf(j, c, block, out))
	}
	return out
}

// blockFor is the Block that a crossing asks for.
func (g *Guard) blockFor(j *judgement, c *policy.Crossing) *Block {
	b := &Block{
		ID: newID(), Reference: formatReference(g.references.next(j.now)), Subject: c.Subject, Origin: FromRule,
		Rule: c.Rule.ID, EventName: j.event.Name, EventSeq: j.row.Seq, Reason: crossingText(c), From: j.now,
		Cut: c.Cut, Observed: c.Observed, GoodAccounts: j.facts.GoodAccounts, Threshold: c.Rule.Threshold,
		Window: int64(c.Rule.Window / time.Second), Also: c.Also, Members: c.Evidence,
	}
	if c.Duration > 0 {
		b.Until = j.now.Add(c.Duration)
	}
	return b
}

// maxBlocks bounds what attackers with many addresses can make Warder remember
// for good: beyond it automatic Blocks last 15 minutes.
const maxBlocks = 2_000_000

// place puts an automatic Block in force unless one that lasts as long refuses
// the subject already (SEMANTICS 32), and reports whether b is the one that
// counts.
func (g *Guard) place(j *judgement, b *Block, c *policy.Crossing, rec *Record, out *finding) bool {
	if b.Observed {
		rec.Blocks = append(rec.Blocks, b)
		return true
	}
	now := j.now.UnixNano()
	if old := g.blocks.automatic(b.Subject, now); old != nil {
		until := endNanos(b.Until)
		// One that is only observed since its rule is refuses nobody: it makes room.
		refuses := g.force.Load().ruleMode(old.why.rule) != warder.Observe
		if refuses && (old.until == 0 || until != 0 && until <= old.until) {
			// What is told is the Block that stands.
			b.ID, b.Reference, b.Until, b.Cut = old.ID(), formatReference(old.ref), time.Time{}, ""
			if old.until != 0 {
				b.Until = time.Unix(0, old.until).UTC()
			}
			out.until = b.Until
			out.stand = old
			return true
		}
		g.blocks.remove(b.Subject, old.ID())
		rec.BlockEnds = append(rec.BlockEnds, BlockEnd{ID: old.ID(), At: j.now, Reason: "superseded by " + b.ID})
	}
	if limit := j.now.Add(policy.ShortBlock); g.blocks.n.Load() >= maxBlocks && (b.Until.IsZero() || b.Until.After(limit)) {
		b.Until, b.Cut = limit, DegradedBlocks
		out.until = limit
	}
	rec.Blocks = append(rec.Blocks, b)
	out.stand = g.blocks.add(b)
	g.ends.addBlock(out.stand, b.Subject)
	if byAddress(b.Subject) {
		g.good.blocked(b.Subject.IP, j.now)
		g.flushSessions()
		rec.Revoke = append(rec.Revoke, Revoke{Address: b.Subject.IP, Reason: string(warder.Blocked), At: j.now, By: "warder"})
		if c.Cut == "blast_radius" {
			g.noteBlast(rec, j.now)
		}
	}
	return true
}

// endSession revokes the session that a rule counted by.
func (g *Guard) endSession(j *judgement, c *policy.Crossing, rec *Record) {
	id := c.Subject.Session
	g.sessions.revoke(id, j.now)
	rec.Revoke = append(rec.Revoke, Revoke{Session: id, Reason: c.Rule.ID, At: j.now, By: "warder"})
}

func (g *Guard) alertOf(j *judgement, c *policy.Crossing, b *Block, out *finding) *Alert {
	a := &Alert{
		ID: newID(), Kind: AlertCrossing, Time: j.now, Severity: c.Rule.Severity, Account: j.event.Account,
		Realm: j.event.Realm, Event: j.event.Name, Rule: c.Rule.ID, Action: out.action, Spared: c.Spared,
		Count: c.Count, Window: int64(c.Rule.Window / time.Second), GoodAccounts: j.facts.GoodAccounts,
		Block: b, Members: c.Evidence,
	}
	if j.event.IP.IsValid() {
		a.IP = j.event.IP.String()
	}
	return a
}

// crossingText says in words why a rule was crossed.
func crossingText(c *policy.Crossing) string {
	what := "failures"
	if c.Rule.Distinct != "" {
		what = "different values of " + c.Rule.Distinct
	}
	return fmt.Sprintf("rule %s: %d %s within %s by %s", c.Rule.ID, c.Count, what, Span(c.Rule.Window), c.Rule.Key)
}

func crossingDetails(c *policy.Crossing) map[string]any {
	d := map[string]any{
		"rule": c.Rule.ID, "key": c.Rule.Key, "count": c.Count, "threshold": c.Rule.Threshold,
		"window": int64(c.Rule.Window / time.Second), "action": c.Action, "subject": c.Subject,
	}
	if c.Observed {
		d["observed"] = true
	}
	if c.Cut != "" {
		d["cut"] = c.Cut
	}
	if c.Spared != "" {
		d["spared"] = c.Spared
	}
	if len(c.Also) > 0 {
		d["also"] = c.Also
	}
	return d
}

func crossingAudit(c *policy.Crossing, b *Block) map[string]any {
	d := crossingDetails(c)
	if b != nil {
		d["block"], d["reference"] = b.ID, b.Reference
		if !b.Until.IsZero() {
			d["until"] = b.Until
		}
	}
	return d
}

// subjectText names a subject for people: an address, or an account and where
// it is held.
func subjectText(s warder.Subject) string {
	switch {
	case s.Session != "":
		return "session " + s.Session
	case s.Account != "" && s.IP.IsValid():
		return "account " + accountText(s.Account) + " from " + prefixText(s.IP)
	case s.Account != "" && s.Source != "":
		return "account " + accountText(s.Account) + " from a known source"
	case s.Account != "":
		return "account " + accountText(s.Account) + " from unknown sources"
	case s.Realm != "":
		return "realm " + s.Realm
	case s.IP.IsValid():
		return prefixText(s.IP)
	}
	return ""
}

// accountText shows an account key.
func accountText(key string) string {
	for i := range len(key) {
		if key[i] == 0x1f {
			if i == 0 {
				return key[1:]
			}
			return key[:i] + "/" + key[i+1:]
		}
	}
	return key
}

// prefixText shows a single IPv4 address without its /32.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() && p.Addr().Is4() {
		return p.Addr().String()
	}
	return p.String()
}
