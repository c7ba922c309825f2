package policy

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// How long a World remembers what (SEMANTICS 3, 17, 39, 40, 54).
const (
	knownMemory   = 90 * 24 * time.Hour
	goodMemory    = 14 * 24 * time.Hour
	stepMemory    = 7 * 24 * time.Hour
	dayMemory     = 24 * time.Hour // sessions, MFA that was met, shares of success
	clearanceLife = 15 * time.Minute
	maxSteps      = 16  // of one subject
	maxAccounts   = 256 // of one address: beyond, it is shared anyway
)

// World is a small engine for lists of events: what stands after the events so
// far, without storage or parallel callers, in the events' own time (SEMANTICS
// 7). The tests of a document, the replay of a log and the preview of a policy
// are judged by it. What depends on more than the events (feeds, history, marks,
// lifted Blocks, proxies that are suspected) it knows only as far as it is
// given. It is not safe for concurrent use.
type World struct {
	p    *Policy
	opts WorldOptions
	now  time.Time

	standing map[warder.Subject][]result
	ended    map[warder.Subject][]time.Time // Blocks that ended by themselves
	known    map[known]time.Time
	met      map[known]time.Time // MFA
	cleared  map[cleared]time.Time
	sessions map[string]time.Time
	good     map[netip.Prefix]*goodness
}

// WorldOptions are what a World is made of. Counters is required.
type WorldOptions struct {
	Counters  counter.Counter
	Trusted   []netip.Prefix          // besides those of the policy
	Protected func(netip.Prefix) bool // tells self-protected address keys; may be nil
	// Most bounds each kind of thing that is remembered; 0: no bound. What does
	// not fit is not remembered.
	Most int
}

// Judged is what one event of a World led to.
type Judged struct {
	Facts   *Facts
	Verdict Verdict
	Refused bool          // a Block stood against it on arrival
	Unmet   warder.Action // the strongest Demand that stood against it and was not met
	SignIn  bool          // it completes a sign-in, or would if nothing stood against it
}

type known struct{ account, source string }

type cleared struct {
	address netip.Prefix
	realm   string
}

// result is a Block, a Demand or a revocation that a crossing made.
type result struct {
	action warder.Action
	rule   string
	until  time.Time // zero: no end
}

func (r *result) live(now time.Time) bool { return r.until.IsZero() || now.Before(r.until) }

// goodness is what completed sign-ins say of an address. Its sign-ins are
// counted in two halves of a day, so that old ones are forgotten.
type goodness struct {
	accounts map[string]time.Time
	begin    time.Time
	ok, all  int
	wasOK    int
	wasAll   int
}

func (g *goodness) at(now time.Time) {
	switch age := now.Sub(g.begin); {
	case age >= dayMemory:
		g.begin, g.ok, g.all, g.wasOK, g.wasAll = now, 0, 0, 0, 0
	case age >= dayMemory/2:
		g.begin, g.ok, g.all, g.wasOK, g.wasAll = now, 0, 0, g.ok, g.all
	}
}

// hostile reports whether fewer than 5 % of the sign-ins succeeded.
func (g *goodness) hostile() bool { return (g.ok+g.wasOK)*20 < g.all+g.wasAll }

// NewWorld makes a World in which nothing has happened.
func NewWorld(p *Policy, opts WorldOptions) *World {
	return &World{
		p: p, opts: opts, standing: map[warder.Subject][]result{}, ended: map[warder.Subject][]time.Time{},
		known: map[known]time.Time{}, met: map[known]time.Time{}, cleared: map[cleared]time.Time{},
		sessions: map[string]time.Time{}, good: map[netip.Prefix]*goodness{},
	}
}

// Judge takes in the next event, whose number is seq, ascending. given are facts
// that events cannot bring about; nil: none.
func (w *World) Judge(ctx context.Context, e *warder.Event, seq int64, given *TestFacts) (Judged, error) {
	if e.Time.After(w.now) {
		w.now = e.Time
	}
	if given == nil {
		given = &TestFacts{}
	}
	s := scopeOf(e)
	own := known{s.account, sourceOf(e, &s)}
	f, unmet := w.facts(e, &s, own, given)
	out := Judged{Facts: f, Refused: f.Covered && !f.Trusted || w.revoked(e.Session), Unmet: max(unmet[0], unmet[1])}
	hits := w.p.Hits(e, f, e.Time, seq)
	plain := make([]counter.Hit, len(hits))
	for i := range hits {
		plain[i] = hits[i].Hit
	}
	counts, err := w.opts.Counters.Apply(ctx, w.now, plain)
	if err != nil {
		return out, err
	}
	out.Verdict = w.p.Decide(e, f, hits, counts)
	if x := out.Verdict.Crossing; x != nil && !x.Observed && x.Spared == "" {
		w.stand(x)
	}
	if g := w.good[s.address]; g != nil && SignInFailed(e.Name) && w.p.Eligible(e, f) && !out.Verdict.Repeat {
		g.at(w.now)
		g.all++
	}
	_, out.SignIn = w.p.Takes(e, false)
	if out.Refused {
		return out, nil
	}
	classes, completed := w.p.Takes(e, unmet[1] == warder.MFA)
	out.SignIn = out.SignIn || completed
	for _, class := range classes {
		tag := counter.Tag{Account: s.account, Address: s.address, Class: class}
		if _, err := w.opts.Counters.TakeOut(ctx, w.now, tag, e.Time, seq); err != nil {
			return out, err
		}
	}
	switch e.Name {
	case warder.MFASuccess:
		keep(w, w.met, own, w.now)
	case "CHALLENGE_SUCCESS":
		keep(w, w.cleared, cleared{s.address, e.Realm}, w.now)
	}
	if completed {
		w.complete(e, &s, own)
	}
	return out, nil
}

// Now is the time of the latest event.
func (w *World) Now() time.Time { return w.now }

// keep remembers v unless there is no room.
func keep[K comparable, V any](w *World, m map[K]V, k K, v V) {
	if _, there := m[k]; there || w.opts.Most == 0 || len(m) < w.opts.Most {
		m[k] = v
	}
}

// stand makes what a crossing leads to.
func (w *World) stand(x *Crossing) {
	r := result{action: x.Action, rule: x.Rule.ID}
	if x.Duration > 0 {
		r.until = w.now.Add(x.Duration)
	}
	keep(w, w.standing, x.Subject, append(w.live(x.Subject), r))
}

// live returns what stands on a subject, and moves what is over.
func (w *World) live(subject warder.Subject) []result {
	list := w.standing[subject]
	if len(list) == 0 {
		return nil
	}
	list = slices.DeleteFunc(list, func(r result) bool {
		if r.live(w.now) {
			return false
		}
		if r.action == warder.BlockAction {
			ended := append(w.ended[subject], r.until)
			keep(w, w.ended, subject, ended[max(0, len(ended)-maxSteps):])
		}
		return true
	})
	if len(list) == 0 {
		delete(w.standing, subject)
	} else {
		w.standing[subject] = list
	}
	return list
}

// steps counts the Blocks of a subject that ended within seven days.
func (w *World) steps(subject warder.Subject) int {
	w.live(subject)
	n := 0
	for _, at := range w.ended[subject] {
		if w.now.Sub(at) <= stepMemory {
			n++
		}
	}
	return n
}

// complete remembers what a completed sign-in proves.
func (w *World) complete(e *warder.Event, s *scope, own known) {
	if e.Session != "" {
		keep(w, w.sessions, e.Session, w.now)
	}
	if s.account == "" {
		return
	}
	if own.source != "" {
		keep(w, w.known, own, w.now)
	}
	if !s.address.IsValid() {
		return
	}
	if w.good[s.address] == nil {
		keep(w, w.good, s.address, &goodness{accounts: map[string]time.Time{}})
	}
	g := w.good[s.address]
	if g == nil {
		return
	}
	g.at(w.now)
	g.ok++
	g.all++
	if _, there := g.accounts[s.account]; there || len(g.accounts) < maxAccounts {
		g.accounts[s.account] = w.now
	}
}

// sourceOf names the source of an event: the device, else the address key.
func sourceOf(e *warder.Event, s *scope) string {
	switch {
	case e.Device != "":
		return "d:" + e.Device
	case s.address.IsValid():
		return "a:" + s.address.String()
	}
	return ""
}

// facts answers what the policy asks for, from the events so far. unmet are the
// Demands, of a challenge and of MFA, that stand against the event and were not
// met, each Allow if there is none.
func (w *World) facts(e *warder.Event, s *scope, own known, given *TestFacts) (_ *Facts, unmet [2]warder.Action) {
	f := &Facts{
		SelfProtected: given.SelfProtected, Refused: given.Refused, Errored: given.Errored,
		RecentSession: given.RecentSession, GoodAccounts: given.GoodAccounts, Hostile: given.Hostile,
		Suspect: given.Suspect, BlastRadius: given.BlastRadius,
		Steps: map[warder.Subject]int{},
	}
	if s.account != "" && (given.Known || w.within(w.known, own, knownMemory)) {
		f.Source = own.source
	}
	if at, ok := w.sessions[e.Session]; ok && e.Session != "" {
		f.RecentSession = f.RecentSession || w.now.Sub(at) <= dayMemory
	}
	for _, trusted := range [][]netip.Prefix{w.p.Trusted, w.opts.Trusted} {
		for _, p := range trusted {
			f.Trusted = f.Trusted || p.Contains(e.IP)
		}
	}
	for _, b := range w.p.Blocked {
		f.Covered = f.Covered || b.IP.Contains(e.IP) && (b.Until.IsZero() || w.now.Before(b.Until))
	}
	if s.address.IsValid() && w.opts.Protected != nil {
		f.SelfProtected = f.SelfProtected || w.opts.Protected(s.address)
	}
	if g := w.good[s.address]; g != nil {
		for account, at := range g.accounts {
			if w.now.Sub(at) > goodMemory {
				delete(g.accounts, account)
			}
		}
		g.at(w.now)
		f.GoodAccounts = max(f.GoodAccounts, len(g.accounts))
		f.Hostile = f.Hostile || g.hostile()
	}
	for _, subject := range subjectsOf(e, s, own) {
		// Sources that are known are judged apart, and spared by what stands
		// against the others (SEMANTICS 15).
		spared := !subject.IP.IsValid() && subject.Session == "" && (f.Source != "") != (subject.Source != "")
		for _, r := range w.live(subject) {
			switch {
			case r.action != warder.BlockAction:
				f.Demanded = append(f.Demanded, Demanded{r.rule, subject})
				if !spared && r.action == warder.Challenge && !w.clear(cleared{s.address, e.Realm}) {
					unmet[0] = warder.Challenge
				}
				if !spared && r.action == warder.MFA && !w.within(w.met, own, dayMemory) {
					unmet[1] = warder.MFA
				}
			case subject.Session != "":
				// It does not cover guesses, which would be free in it ever after.
				f.Covered = f.Covered || !strings.HasSuffix(e.Name, "_FAILURE")
			case !spared:
				f.Covered = true
			}
		}
	}
	for _, subject := range w.p.Needs(e).Steps {
		f.Steps[subject] = w.steps(subject)
		if f.Source != "" && subject.Account != "" && !subject.IP.IsValid() {
			subject.Source = f.Source
			f.Steps[subject] = w.steps(subject)
		}
	}
	return f, unmet
}

// revoked reports whether a crossing ended the session.
func (w *World) revoked(session string) bool {
	return session != "" && slices.ContainsFunc(w.live(warder.Subject{Session: session}), func(r result) bool { return r.action == warder.BlockAction })
}

// within reports whether something was noted of a source not longer ago than
// life.
func (w *World) within(m map[known]time.Time, k known, life time.Duration) bool {
	at, ok := m[k]
	return ok && w.now.Sub(at) <= life
}

func (w *World) clear(k cleared) bool {
	at, ok := w.cleared[k]
	return ok && w.now.Sub(at) < clearanceLife
}

// subjectsOf are all subjects that an event can fall under.
func subjectsOf(e *warder.Event, s *scope, own known) []warder.Subject {
	list := make([]warder.Subject, 0, 6)
	if s.address.IsValid() {
		list = append(list, warder.Subject{IP: s.address})
	}
	if s.account != "" {
		if s.address.IsValid() {
			list = append(list, warder.Subject{IP: s.address, Account: s.account})
		}
		if own.source != "" {
			list = append(list, warder.Subject{Account: s.account, Source: own.source})
		}
		list = append(list, warder.Subject{Account: s.account})
	}
	if e.Session != "" {
		list = append(list, warder.Subject{Session: e.Session})
	}
	if e.Realm != "" {
		list = append(list, warder.Subject{Realm: e.Realm})
	}
	return list
}
