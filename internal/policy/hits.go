package policy

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// Eligible reports whether an event may count at all (SEMANTICS 5).
func (p *Policy) Eligible(e *warder.Event, f *Facts) bool {
	return p.mode != warder.Off &&
		!f.Trusted && !f.Covered && !f.Errored && !f.Refused &&
		e.Reason != warder.Locked && e.Reason != warder.Expired
}

// Needs names what must be found out about an event before it can be judged.
func (p *Policy) Needs(e *warder.Event) Needs {
	var n Needs
	var s scope
	for _, r := range p.names.find(e.Name) {
		if !r.concerns(e) {
			continue
		}
		if s.account == "" && !s.address.IsValid() {
			s = scopeOf(e)
		}
		n.Source = n.Source || r.apart() && s.account != ""
		n.RecentSession = n.RecentSession || r.recentSession && e.Session != ""
		if len(r.Escalate) > 0 && r.complete(e, &s) {
			if subject := r.subject(e, &s, ""); !slices.Contains(n.Steps, subject) {
				n.Steps = append(n.Steps, subject)
			}
		}
	}
	return n
}

// Hits names the counters that an event touches, in the order of the policy.
// at is the hit time (SEMANTICS 7), seq the event's number. Before an outcome
// is known, the event is the failure that the attempt may become, its ID that
// of the attempt, and seq 0.
func (p *Policy) Hits(e *warder.Event, f *Facts, at time.Time, seq int64) []Hit {
	rules := p.names.find(e.Name)
	if len(rules) == 0 || !p.Eligible(e, f) {
		return nil
	}
	s := scopeOf(e)
	source := f.Source
	if s.account == "" {
		source = ""
	}
	tag := counter.Tag{Account: s.account, Address: s.address, Class: class(e.Name)}
	guess := "" // the member of rules without distinct
	hits := make([]Hit, 0, len(rules))
	for _, r := range rules {
		if !r.concerns(e) || r.recentSession && f.RecentSession || !r.complete(e, &s) {
			continue
		}
		if len(f.Demanded) > 0 && slices.Contains(f.Demanded, Demanded{r.ID, r.subject(e, &s, source)}) {
			continue // SEMANTICS 16
		}
		member := r.member(e, &s)
		if r.Distinct == "" {
			if guess == "" {
				guess = guessOf(e, &s, seq)
			}
			member = guess
		}
		hits = append(hits, Hit{Rule: r, Hit: counter.Hit{
			Key:       r.counter(e, &s, source),
			Window:    r.Window,
			Threshold: r.Threshold,
			Member:    member,
			At:        at,
			Seq:       seq,
			Tag:       tag,
			Unsettled: e.Reason == warder.Unsettled,
		}})
	}
	if len(hits) == 0 {
		return nil
	}
	return hits
}

// scope is an event's keys, made once for all rules.
type scope struct {
	address netip.Prefix
	account string
}

func scopeOf(e *warder.Event) scope {
	return scope{address: warder.AddressKey(e.IP), account: warder.AccountKey(e.Realm, e.Account)}
}

// guessOf is the member of rules that count different guesses: the account with
// the application's hash of the guess, else the event itself. An event is known
// by its number, since two applications may choose the same id; only an attempt,
// which has none yet, by its id.
func guessOf(e *warder.Event, s *scope, seq int64) string {
	switch {
	case e.Guess.Same != "":
		return "g:" + s.account + "\x1f" + e.Guess.Same
	case seq == 0:
		return "e:" + e.ID
	}
	return "n:" + strconv.FormatInt(seq, 10)
}

// concerns reports whether an event passes the rule's filters that need no
// facts.
func (r *Rule) concerns(e *warder.Event) bool {
	return (len(r.realms) == 0 || slices.Contains(r.realms, e.Realm)) &&
		(len(r.reasons) == 0 || slices.Contains(r.reasons, e.Reason)) &&
		(!r.crossSite || e.Reason != CrossSite)
}

// complete reports whether an event has every part that the rule counts by
// (SEMANTICS 2).
func (r *Rule) complete(e *warder.Event, s *scope) bool {
	switch r.Key {
	case ByIP:
		if !s.address.IsValid() {
			return false
		}
	case ByAccount:
		if s.account == "" {
			return false
		}
	case ByIPAccount:
		if !s.address.IsValid() || s.account == "" {
			return false
		}
	case BySession:
		if e.Session == "" {
			return false
		}
	case ByRealm:
		if e.Realm == "" {
			return false
		}
	}
	switch r.Distinct {
	case distinctAccount:
		return s.account != ""
	case distinctIP:
		return s.address.IsValid()
	case distinctPath:
		return e.Path != ""
	}
	return true
}

// apart reports whether the rule judges known sources apart (SEMANTICS 8).
func (r *Rule) apart() bool {
	return r.Distinct == "" && (r.Key == ByIP || r.Key == ByAccount)
}

// counter is the key of the counter that an event hits. source is the known
// source that it came from, or empty.
func (r *Rule) counter(e *warder.Event, s *scope, source string) counter.Key {
	k := counter.Key{Rule: r.ID}
	if source != "" && r.apart() {
		k.Account, k.Source = s.account, source
		return k
	}
	switch r.Key {
	case ByIP:
		k.Address = s.address
	case ByAccount:
		k.Account = s.account
	case ByIPAccount:
		k.Address, k.Account = s.address, s.account
	case BySession:
		k.Session = e.Session
	case ByRealm:
		k.Realm = e.Realm
	}
	return k
}

// subject is what a crossing of the rule results in a Block or Demand of
// (SEMANTICS 15). A known source that was counted apart in a rule with key
// `ip` has the same result as everybody: the address (SEMANTICS 8).
func (r *Rule) subject(e *warder.Event, s *scope, source string) warder.Subject {
	switch r.Key {
	case ByIP:
		return warder.Subject{IP: s.address}
	case ByAccount:
		if r.apart() {
			return warder.Subject{Account: s.account, Source: source}
		}
		return warder.Subject{Account: s.account}
	case ByIPAccount:
		return warder.Subject{IP: s.address, Account: s.account}
	case BySession:
		return warder.Subject{Session: e.Session}
	case ByRealm:
		return warder.Subject{Realm: e.Realm}
	}
	return warder.Subject{}
}

// member is what a distinct rule counts different ones of.
func (r *Rule) member(e *warder.Event, s *scope) string {
	switch r.Distinct {
	case distinctAccount:
		return s.account
	case distinctIP:
		return s.address.String()
	case distinctPath:
		return e.Path
	}
	return ""
}
