package guard

import (
	"net/netip"
	"slices"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/policy"
)

// inForce is the policy in force together with the providers it names. It is
// replaced as a whole.
type inForce struct {
	doc      *policy.Document
	revision int64
	policy   *policy.Policy
	mode     warder.Mode
	lists    []listing
}

// listing is a provider's list that is in force.
type listing struct {
	provider policy.Provider
	lookup   func(netip.Addr) (level int, ok bool)
}

// idle reports whether a policy that is switched on has no rule that is.
func (f *inForce) idle() bool {
	return f.mode != warder.Off && !slices.ContainsFunc(f.policy.Rules, func(r *policy.Rule) bool { return r.Mode != warder.Off })
}

// ruleMode is the mode a standing result of a rule is held to: the weaker of
// the policy's and the rule's. What stands from a rule that is gone or
// switched off stays.
func (f *inForce) ruleMode(rule string) warder.Mode {
	if r := f.policy.Rule(rule); r != nil && r.Mode != warder.Off {
		return min(f.mode, r.Mode)
	}
	return f.mode
}

// finding is what is found standing against a request, before it is put into
// words.
type finding struct {
	action  warder.Action
	why     warder.Why
	rule    string
	until   time.Time
	stand   *stand
	observe bool // found, but only observed
}

// strength orders findings: what is enforced is stronger than whatever is only
// observed, since the weaker must not hide it.
func (f *finding) strength() int {
	switch {
	case f.action == warder.Allow:
		return 0
	case f.observe:
		return int(f.action)
	}
	return int(warder.BlockAction) + int(f.action)
}

// requester is what a decision is about.
type requester struct {
	address netip.Prefix // key; invalid if the client is unknown
	account string       // key
	source  string
	q       *Query
}

func requesterOf(q *Query) requester {
	r := requester{q: q}
	if q.IP.IsValid() {
		r.address = warder.AddressKey(q.IP)
	}
	if q.Account != "" {
		r.account = warder.AccountKey(q.Realm, q.Account)
		r.source = sourceOf(q.Device, r.address)
	}
	return r
}

// decide finds what stands against a request, in the order of SEMANTICS 27.
// It reads memory only, takes no lock of the engine, and on its most frequent
// path (nothing stands) allocates nothing.
func (g *Guard) decide(f *inForce, q *Query, now time.Time) finding {
	if f.mode == warder.Off {
		return finding{why: warder.Disabled}
	}
	if q.Session != "" && g.sessions.isRevoked(q.Session) {
		return finding{action: warder.BlockAction, why: warder.SessionRevoked}
	}
	addressed := q.IP.IsValid() && !q.own
	if q.IP.IsValid() && g.trusts(q.IP, now) {
		return finding{why: warder.Trusted}
	}
	best := finding{why: warder.OK}
	if addressed && g.blocks.prefixes.Contains(q.IP) || q.Account != "" && g.blocks.nAccount.Load() > 0 {
		if found, ok := g.blocked(f, q, now); ok {
			if !found.observe {
				return found
			}
			best = found
		}
	}
	if addressed {
		best = g.listed(f, q.IP, best)
		if g.history.Len() > 0 {
			best = g.remembered(f, q.IP, best)
		}
	}
	if q.own && q.known {
		return best
	}
	if g.demands.mayConcern(q) || best.action == warder.Challenge || best.action == warder.MFA {
		best = g.demanded(f, q, best, now)
	}
	return best
}

// trusts reports whether an address is on a trusted list now.
func (g *Guard) trusts(a netip.Addr, now time.Time) bool {
	if !g.trusted.Contains(a) {
		return false
	}
	live := false
	g.trusted.Covering(a, func(_ netip.Prefix, entries []Trusted) bool {
		for i := range entries {
			if entries[i].Until.IsZero() || now.Before(entries[i].Until) {
				live = true
			}
		}
		return !live
	})
	return live
}

// blocked finds the live Block that lasts longest. Among those that are
// enforced and those that a mode makes observed the enforced ones come first.
func (g *Guard) blocked(f *inForce, q *Query, now time.Time) (finding, bool) {
	var best finding
	n := now.UnixNano()
	consider := func(s *stand) {
		for ; s != nil; s = s.next {
			if !s.live(n) {
				continue
			}
			observe := s.why.origin == FromRule && f.ruleMode(s.why.rule) == warder.Observe
			if best.stand == nil || best.observe && !observe || best.observe == observe && s.outlasts(best.stand) {
				best = finding{action: warder.BlockAction, why: warder.Blocked, rule: s.why.rule, stand: s, observe: observe}
			}
		}
	}
	if q.IP.IsValid() && !q.own {
		g.blocks.prefixes.Covering(q.IP, func(_ netip.Prefix, head *stand) bool {
			consider(head)
			return true
		})
	}
	if q.Account != "" && g.blocks.nAccount.Load() > 0 {
		for _, subject := range g.accountSubjects(requesterOf(q), now) {
			if q.own && q.known && subject.Source == "" {
				continue
			}
			consider(g.blocks.of(subject))
		}
	}
	if best.stand == nil {
		return finding{}, false
	}
	if best.stand.until != 0 {
		best.until = time.Unix(0, best.stand.until).UTC()
	}
	return best, true
}

// accountSubjects lists the subjects with an account that a request falls
// under (SEMANTICS 15).
func (g *Guard) accountSubjects(r requester, now time.Time) []warder.Subject {
	if r.account == "" {
		return nil
	}
	subjects := make([]warder.Subject, 0, 3)
	if r.address.IsValid() {
		subjects = append(subjects, warder.Subject{IP: r.address, Account: r.account})
	}
	if g.knows(r, now) {
		subjects = append(subjects, warder.Subject{Account: r.account, Source: r.source})
	} else {
		subjects = append(subjects, warder.Subject{Account: r.account})
	}
	return subjects
}

// knows reports whether the source is known to the account (SEMANTICS 3).
func (g *Guard) knows(r requester, now time.Time) bool {
	if r.q.known {
		return true
	}
	return r.source != "" && r.account != "" && g.known.after(digestOf(r.account, r.source), now.Add(-knownLife))
}

// listed asks the providers. A self-protected address is never refused by a
// feed.
func (g *Guard) listed(f *inForce, a netip.Addr, best finding) finding {
	for i := range f.lists {
		l := &f.lists[i]
		level, ok := l.lookup(a)
		if !ok {
			continue
		}
		found := finding{action: l.provider.Action(level), why: warder.Provider, rule: l.provider.Name, observe: f.mode == warder.Observe}
		if found.strength() > best.strength() && !g.protects(a) {
			best = found
		}
	}
	return best
}

// historyVerdict is what the criteria of the policy made of an address's past.
type historyVerdict struct {
	action    warder.Action
	criterion string
}

func (g *Guard) remembered(f *inForce, a netip.Addr, best finding) finding {
	v, ok := g.history.Lookup(a)
	found := finding{action: v.action, why: warder.History, rule: v.criterion, observe: f.mode == warder.Observe}
	if ok && found.strength() > best.strength() && !g.protects(a) {
		best = found
	}
	return best
}

// demanded adds the Demands that are not met, and takes away a challenge or
// an MFA demanded by others that the request has met.
func (g *Guard) demanded(f *inForce, q *Query, best finding, now time.Time) finding {
	r := requesterOf(q)
	meets := map[warder.Action]bool{}
	met := func(a warder.Action) bool {
		m, known := meets[a]
		if !known {
			m = g.meets(r, a, now)
			meets[a] = m
		}
		return m
	}
	if best.action != warder.Allow && best.action != warder.BlockAction && met(best.action) {
		best = finding{why: warder.OK}
	}
	for _, d := range g.standingDemands(r, now) {
		observe := f.ruleMode(d.Rule) == warder.Observe
		found := finding{action: d.Action, why: warder.DemandStanding, rule: d.Rule, until: d.Until, observe: observe}
		if found.strength() > best.strength() && !met(d.Action) {
			best = found
		}
	}
	return best
}

// standingDemands lists the live Demands on a request, met or not.
func (g *Guard) standingDemands(r requester, now time.Time) []*Demand {
	live := g.demandsAbout(r, now)
	if len(live) == 0 {
		return nil
	}
	known := g.knows(r, now)
	return slices.DeleteFunc(live, func(d *Demand) bool {
		return !d.Subject.IP.IsValid() && known != (d.Subject.Source != "")
	})
}

// demandsAbout lists the live Demands on all that a request is about, also
// those that spare its known source: the rules behind them may count it all the
// same, and rest while they stand (SEMANTICS 8, 16).
func (g *Guard) demandsAbout(r requester, now time.Time) []*Demand {
	if g.demands.n.Load() == 0 {
		return nil
	}
	var live []*Demand
	add := func(s warder.Subject) {
		for _, d := range g.demands.of(s) {
			if d.live(now) {
				live = append(live, d)
			}
		}
	}
	if r.address.IsValid() {
		add(warder.Subject{IP: r.address})
	}
	if r.account != "" {
		if r.address.IsValid() {
			add(warder.Subject{IP: r.address, Account: r.account})
		}
		if r.source != "" {
			add(warder.Subject{Account: r.account, Source: r.source})
		}
		add(warder.Subject{Account: r.account})
	}
	if r.q.Realm != "" {
		add(warder.Subject{Realm: r.q.Realm})
	}
	return live
}

// meets reports whether a request has met a demand: a challenge by a
// clearance, MFA by an MFA success of the account from this source within
// 24 h.
func (g *Guard) meets(r requester, a warder.Action, now time.Time) bool {
	switch a {
	case warder.Challenge:
		return g.clears(r, now)
	case warder.MFA:
		return r.source != "" && g.mfaMet.after(digestOf(r.account, r.source), now.Add(-mfaLife)) || r.q.stepsDown && g.clears(r, now)
	}
	return false
}

// mfaLife is how long an MFA success meets demands at most.
const mfaLife = 24 * time.Hour

// answer puts a finding into the words of a decision for an application.
func (g *Guard) answer(app *App, q *Query, found finding, now time.Time) warder.Decision {
	d := warder.Decision{Reason: found.why}
	if found.action == warder.Allow {
		return d
	}
	if found.action == warder.MFA && app.stepsDown() {
		found.action = warder.Challenge
	}
	if found.observe || !app.can(found.action) {
		d.Observe = found.observe
		d.Reason = warder.OK
		d.Would = &warder.Would{Action: found.action, Reason: found.why, Rule: found.rule}
		return d
	}
	d.Action, d.Rule = found.action, found.rule
	if !found.until.IsZero() {
		until := found.until
		d.ExpiresAt = &until
		if found.action == warder.BlockAction {
			seconds := max(1, int64((until.Sub(now)+time.Second-1)/time.Second))
			d.RetryAfter = &seconds
		}
	}
	switch found.action {
	case warder.BlockAction:
		if found.stand != nil {
			d.BlockID, d.Reference = found.stand.ID(), formatReference(found.stand.ref)
		} else {
			d.Reference = g.refusal(q, found, now)
		}
		d.Message = "Access denied."
		if d.Reference != "" {
			d.Message = "Access denied. Reference " + d.Reference + "."
		}
	case warder.Challenge:
		d.Message = "Please show that you are not a robot."
		if g.challengeURL != nil {
			if url := g.challengeURL(q); url != "" {
				d.ChallengeURL = &url
			}
		}
	case warder.MFA:
		d.Message = "Please confirm your sign-in with a second factor."
	}
	return d
}

// own reports whether the application is the dashboard, and whether the device
// is known to it.
func (a *App) own() (own, known bool) {
	if a == nil {
		return false, false
	}
	return a.Own, a.Own && a.Known
}

// settled reports whether a rule by address has nothing left to say about a
// sign-in at the dashboard, because a Block of the address stands already. It
// refuses nobody there, so the guesses go on; they count for the account, but
// the same Block is not to be made and told again and again.
func (g *Guard) settled(f *inForce, j *judgement, r *policy.Rule) bool {
	if !j.query.own || r.Key != policy.ByIP || !j.query.IP.IsValid() {
		return false
	}
	q := Query{IP: j.query.IP}
	found, ok := g.blocked(f, &q, j.now)
	return ok && !found.observe
}

// can reports whether an application can perform an action. Every application
// can allow and block. A nil App is Warder itself.
func (a *App) can(action warder.Action) bool {
	switch {
	case a == nil:
		return true
	case action == warder.Challenge:
		return a.CanChallenge
	case action == warder.MFA:
		return a.CanMFA
	}
	return true
}

// stepsDown reports whether a challenge takes the place of MFA.
func (a *App) stepsDown() bool { return a != nil && a.StepsDown && a.CanChallenge && !a.CanMFA }

// Check decides about one request. It counts nothing, waits for nothing and
// reads memory only.
func (g *Guard) Check(app *App, q *Query) warder.Decision {
	now := g.now()
	f := g.force.Load()
	q.stepsDown = app.stepsDown()
	found := g.decide(f, q, now)
	g.refused(q, found, now)
	if q.Session != "" && found.why != warder.SessionRevoked && f.mode != warder.Off {
		g.use(q, now)
	}
	return g.answer(app, q, found, now)
}
