package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

// Bounds of a document's parts.
const (
	MaxRules       = 200
	MaxPrefixes    = 10000 // of trusted, and of blocked
	MaxProviders   = 32
	MaxCriteria    = 32
	MaxLevels      = 32
	MaxPatterns    = 64 // events, realms or reasons of one rule
	MaxSteps       = 16
	MaxThreshold   = 1000000
	MaxWindow      = 30 * 24 * 3600       // seconds
	MaxCooling     = 10 * 365 * 24 * 3600 // seconds
	MaxAccountLock = 24 * 3600            // seconds an account may be blocked, see SEMANTICS 15
	MaxLookback    = 400 * 24 * 3600      // seconds
	MaxRefresh     = 30 * 24 * 3600       // seconds
	MinRefresh     = 3600                 // seconds, of a URL
	MaxTests       = 200
	MaxTestEvents  = 5000 // of all tests together, repetitions included
	maxText        = 512
)

// check adds everything that is wrong with the values of d.
func (d *Document) check(f *faults) {
	if d.Mode != warder.Observe && d.Mode != warder.Enforce {
		f.add("mode", "must be observe or enforce; `enabled: false` switches a policy off")
	}
	d.checkPrefixes(f)
	if len(d.Activity.Rules) > MaxRules {
		f.add("activity.rules", "must be at most %d, is %d", MaxRules, len(d.Activity.Rules))
	}
	ids := map[string]int{}
	for i := range d.Activity.Rules {
		at := fmt.Sprintf("activity.rules[%d]", i)
		s := &d.Activity.Rules[i]
		s.check(f, at)
		if first, ok := ids[s.ID]; ok && s.ID != "" {
			f.add(at+".id", "%q is the id of rules[%d] already", clip(s.ID), first)
		} else {
			ids[s.ID] = i
		}
	}
	d.History.check(f)
	d.checkProviders(f)
	d.checkTests(f, ids)
}

func (d *Document) checkPrefixes(f *faults) {
	trusted := map[netip.Prefix]int{}
	if len(d.Trusted) > MaxPrefixes {
		f.add("trusted", "must be at most %d, is %d", MaxPrefixes, len(d.Trusted))
		return
	}
	if len(d.Blocked) > MaxPrefixes {
		f.add("blocked", "must be at most %d, is %d", MaxPrefixes, len(d.Blocked))
		return
	}
	for i, p := range d.Trusted {
		at := fmt.Sprintf("trusted[%d]", i)
		if !p.IsValid() || p != p.Masked() {
			f.add(at, "must be an address or a prefix")
		} else if p.Bits() == 0 {
			f.add(at, "must not be /0: that would trust everybody")
		} else if first, ok := trusted[p]; ok {
			f.add(at, "%s is trusted[%d] already", p, first)
		} else {
			trusted[p] = i
		}
	}
	blocked := map[netip.Prefix]int{}
	for i := range d.Blocked {
		b := &d.Blocked[i]
		at := fmt.Sprintf("blocked[%d]", i)
		checkText(f, at+".reason", b.Reason, maxText)
		widest := 8
		if b.IP.IsValid() && b.IP.Addr().Is6() {
			widest = 19
		}
		if !b.IP.IsValid() || b.IP != b.IP.Masked() {
			f.add(at+".ip", "is required: an address or a prefix")
		} else if b.IP.Bits() < widest {
			f.add(at+".ip", "must not be wider than /%d, is %s", widest, b.IP)
		} else if first, ok := blocked[b.IP]; ok {
			f.add(at+".ip", "%s is blocked[%d] already", b.IP, first)
		} else {
			blocked[b.IP] = i
		}
	}
	overlaps(blocked, trusted, func(b, t int) {
		f.add(fmt.Sprintf("blocked[%d].ip", b), "%s overlaps %s, which is trusted[%d]", d.Blocked[b].IP, d.Trusted[t], t)
	})
}

// overlaps reports every entry of blocked that contains an entry of trusted or
// lies in one, by looking up the wider prefixes of each: 10,000 entries against
// 10,000 cost a hundred times less than comparing all pairs.
func overlaps(blocked, trusted map[netip.Prefix]int, report func(b, t int)) {
	found := map[int]int{}
	note := func(b, t int) {
		if old, ok := found[b]; !ok || t < old {
			found[b] = t
		}
	}
	for p, b := range blocked {
		wider(p, trusted, func(t int) { note(b, t) })
	}
	for p, t := range trusted {
		wider(p, blocked, func(b int) { note(b, t) })
	}
	for _, b := range slices.Sorted(maps.Keys(found)) {
		report(b, found[b])
	}
}

// wider calls f for every entry of m that contains p.
func wider(p netip.Prefix, m map[netip.Prefix]int, f func(int)) {
	for bits := 1; bits <= p.Bits(); bits++ {
		w, _ := p.Addr().Prefix(bits)
		if i, ok := m[w]; ok {
			f(i)
		}
	}
}

func (s *RuleSpec) check(f *faults, at string) {
	if !validID(s.ID) {
		f.add(at+".id", "is required and must match [a-z][a-z0-9_]{0,63}, is %q", clip(s.ID))
	}
	checkEvents(f, at+".events", s.Events)
	checkTexts(f, at+".realms", s.Realms, warder.MaxRealm)
	checkTexts(f, at+".reasons", s.Reasons, warder.MaxReason)
	for i, e := range s.Except {
		if e != CrossSite && e != RecentSession {
			f.add(fmt.Sprintf("%s.except[%d]", at, i), "must be cross_site or recent_session, is %q", clip(e))
		} else if slices.Index(s.Except, e) != i {
			f.add(fmt.Sprintf("%s.except[%d]", at, i), "is given twice")
		}
	}
	if s.Mode != warder.Observe && s.Mode != warder.Enforce {
		f.add(at+".mode", "must be observe or enforce; `enabled: false` switches a rule off")
	}
	if s.Severity > warder.Critical {
		f.add(at+".severity", "must be info, warning, high or critical")
	}
	if !acting(s.Action) {
		f.add(at+".action", "must be challenge, mfa or block")
	}
	if s.Threshold < 1 || s.Threshold > MaxThreshold {
		f.add(at+".threshold", "must be 1 to %d, is %d", MaxThreshold, s.Threshold)
	}
	if s.TimeRange < 1 || s.TimeRange > MaxWindow {
		f.add(at+".time_range", "must be 1 to %d seconds, is %d", MaxWindow, s.TimeRange)
	}
	s.checkKey(f, at)
	s.checkDuration(f, at)
}

// Exceptions of a rule.
const (
	CrossSite     = "cross_site"
	RecentSession = "recent_session"
)

// Things that a rule can count different ones of.
const (
	distinctAccount = "account"
	distinctIP      = "ip"
	distinctPath    = "path"
)

func (s *RuleSpec) checkKey(f *faults, at string) {
	switch s.Key {
	case ByIP, ByAccount, ByIPAccount, BySession, ByRealm:
	default:
		f.add(at+".key", "must be ip, account, ip+account, session or realm, is %q", clip(string(s.Key)))
		return
	}
	if s.Key == ByRealm && s.Action == warder.BlockAction {
		f.add(at+".action", "must be challenge or mfa: key realm never blocks")
	}
	if s.Key == BySession && s.Action != warder.BlockAction {
		f.add(at+".action", "must be block: key session ends the session and does nothing else")
	}
	switch s.Distinct {
	case "":
		return
	case distinctAccount, distinctIP, distinctPath:
	default:
		f.add(at+".distinct", "must be account, ip or path, is %q", clip(s.Distinct))
		return
	}
	byIP := s.Key == ByIP || s.Key == ByIPAccount
	byAccount := s.Key == ByAccount || s.Key == ByIPAccount
	if s.Distinct == distinctAccount && byAccount || s.Distinct == distinctIP && byIP {
		f.add(at+".distinct", "must not be part of the key: there is only one %s in each counter of key %s", s.Distinct, s.Key)
	}
	if s.Threshold > counter.Exact {
		f.add(at+".distinct", "needs a threshold of at most %d, is %d", counter.Exact, s.Threshold)
	}
}

func (s *RuleSpec) checkDuration(f *faults, at string) {
	account := s.Key == ByAccount && s.Action == warder.BlockAction
	place := at + ".cooling_period"
	switch {
	case s.CoolingPeriod != nil && len(s.Escalate) > 0:
		f.add(at+".escalate", "replaces cooling_period, give only one of them")
	case s.CoolingPeriod == nil && len(s.Escalate) == 0:
		f.add(place, "is required: seconds, 0 = until lifted; or give escalate")
	case s.CoolingPeriod != nil && s.Key == BySession && *s.CoolingPeriod != 0:
		f.add(place, "must be 0 with key session: a revoked session never comes back")
	case s.CoolingPeriod != nil && account && (*s.CoolingPeriod < 1 || *s.CoolingPeriod > MaxAccountLock):
		f.add(place, "must be 1 to %d seconds for a block by account, or strangers could lock people out for good; is %d", MaxAccountLock, *s.CoolingPeriod)
	case s.CoolingPeriod != nil && (*s.CoolingPeriod < 0 || *s.CoolingPeriod > MaxCooling):
		f.add(place, "must be 0 to %d seconds, is %d", MaxCooling, *s.CoolingPeriod)
	}
	if len(s.Escalate) > 0 {
		switch {
		case s.Action != warder.BlockAction:
			f.add(at+".escalate", "needs action block: its steps are the blocks before")
		case s.Key == BySession:
			f.add(at+".escalate", "makes no sense with key session: a revoked session never comes back")
		case len(s.Escalate) > MaxSteps:
			f.add(at+".escalate", "must have at most %d steps, has %d", MaxSteps, len(s.Escalate))
		}
	}
	for i, step := range s.Escalate {
		place := fmt.Sprintf("%s.escalate[%d]", at, i)
		switch last := i == len(s.Escalate)-1; {
		case account && (step < 1 || step > MaxAccountLock):
			f.add(place, "must be 1 to %d seconds for a block by account, is %d", MaxAccountLock, step)
		case step == 0 && !last:
			f.add(place, "0 = until lifted is for the last step only")
		case step < 0 || step > MaxCooling:
			f.add(place, "must be 1 to %d seconds, is %d", MaxCooling, step)
		}
	}
	if len(s.AtMost) > MaxPatterns {
		f.add(at+".at_most", "must be at most %d, is %d", MaxPatterns, len(s.AtMost))
	}
	for _, name := range slices.Sorted(maps.Keys(s.AtMost)) {
		place := join(at+".at_most", clip(name))
		switch seconds := s.AtMost[name]; {
		case !warder.ValidName(name) || warder.OwnEvent(name):
			f.add(place, "must be the name of an event that can be reported")
		case !slices.ContainsFunc(s.Events, func(p string) bool { return matches(p, name) }):
			f.add(place, "is none of the rule's events")
		case s.Key == BySession:
			f.add(place, "makes no sense with key session: a revoked session never comes back")
		case seconds < 1 || seconds > MaxCooling:
			f.add(place, "must be 1 to %d seconds, is %d", MaxCooling, seconds)
		}
	}
}

func (h *HistorySpec) check(f *faults) {
	if h.Lookback < 1 || h.Lookback > MaxLookback {
		f.add("history.lookback", "must be 1 to %d seconds, is %d", MaxLookback, h.Lookback)
	}
	if len(h.Criteria) > MaxCriteria {
		f.add("history.criteria", "must be at most %d, is %d", MaxCriteria, len(h.Criteria))
	}
	for i, c := range h.Criteria {
		at := fmt.Sprintf("history.criteria[%d]", i)
		switch c.When {
		case PreviousBlocks, Failures, MarkedFraudulent:
		default:
			f.add(at+".when", "must be previous_blocks, failures or marked_fraudulent, is %q", clip(c.When))
		}
		if c.AtLeast < 1 {
			f.add(at+".at_least", "must be at least 1, is %d", c.AtLeast)
		} else if c.When == MarkedFraudulent && c.AtLeast > 1 {
			f.add(at+".at_least", "must be 1: an address is marked or it is not")
		}
		if !acting(c.Action) {
			f.add(at+".action", "must be challenge, mfa or block")
		}
	}
}

func (d *Document) checkProviders(f *faults) {
	if len(d.Providers) > MaxProviders {
		f.add("providers", "must be at most %d, is %d", MaxProviders, len(d.Providers))
	}
	names := map[string]int{}
	for i := range d.Providers {
		p := &d.Providers[i]
		at := fmt.Sprintf("providers[%d]", i)
		if !validID(p.Name) {
			f.add(at+".name", "is required and must match [a-z][a-z0-9_]{0,63}, is %q", clip(p.Name))
		} else if first, ok := names[p.Name]; ok {
			f.add(at+".name", "%q is the name of providers[%d] already", p.Name, first)
		} else {
			names[p.Name] = i
		}
		remote := checkURL(f, at+".url", p.URL)
		if p.Format != FormatIPsum {
			f.add(at+".format", "must be ipsum, is %q", clip(p.Format))
		}
		least := int64(1)
		if remote {
			least = MinRefresh
		}
		if p.Refresh < least || p.Refresh > MaxRefresh {
			f.add(at+".refresh", "must be %d to %d seconds, is %d", least, MaxRefresh, p.Refresh)
		}
		if n := len(p.Levels); n == 0 || n > MaxLevels {
			f.add(at+".levels", "must be 1 to %d, is %d", MaxLevels, n)
		}
		for j, l := range p.Levels {
			place := fmt.Sprintf("%s.levels[%d]", at, j)
			switch {
			case l.AtLeast < 1:
				f.add(place+".at_least", "must be at least 1, is %d", l.AtLeast)
			case j > 0 && l.AtLeast <= p.Levels[j-1].AtLeast:
				f.add(place+".at_least", "must be more than %d, that of the level above it", p.Levels[j-1].AtLeast)
			}
			if !acting(l.Action) {
				f.add(place+".action", "must be challenge, mfa or block")
			} else if j > 0 && l.Action < p.Levels[j-1].Action {
				f.add(place+".action", "must not be weaker than %s, that of the level above it", p.Levels[j-1].Action)
			}
		}
	}
}

// FormatIPsum is the only format of a provider so far.
const FormatIPsum = "ipsum"

// checkURL reports whether s is remote.
func checkURL(f *faults, at, s string) bool {
	checkText(f, at, s, 2048)
	if s == "" {
		f.add(at, "is required: an http or https address or the path of a file")
		return false
	}
	if !strings.Contains(s, "://") {
		return false
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		f.add(at, "must be an http or https address or the path of a file")
	case u.Scheme != "http" && u.Scheme != "https":
		f.add(at, "must be an http or https address or the path of a file, the scheme is %q", clip(u.Scheme))
	case u.Hostname() == "":
		f.add(at, "must name a host")
	case u.User != nil:
		f.add(at, "must not contain a user or a password: a policy is shown to everybody who may read it")
	}
	return true
}

func checkEvents(f *faults, at string, patterns []string) {
	if n := len(patterns); n == 0 || n > MaxPatterns {
		f.add(at, "must be 1 to %d names or patterns, is %d", MaxPatterns, n)
	}
	for i, p := range patterns {
		place := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case warder.OwnEvent(p):
			f.add(place, "%s is written by Warder itself and cannot be counted", p)
		case !validPattern(p):
			f.add(place, "must be the name of an event, or a pattern such as *_LOGIN_FAILURE, is %q", clip(p))
		case slices.Index(patterns, p) != i:
			f.add(place, "is given twice")
		}
	}
}

func checkTexts(f *faults, at string, list []string, limit int) {
	if len(list) > MaxPatterns {
		f.add(at, "must be at most %d, is %d", MaxPatterns, len(list))
	}
	for i, s := range list {
		place := fmt.Sprintf("%s[%d]", at, i)
		if s == "" {
			f.add(place, "must not be empty")
		} else if slices.Index(list, s) != i {
			f.add(place, "is given twice")
		}
		checkText(f, place, s, limit)
	}
}

func checkText(f *faults, at, s string, limit int) {
	switch {
	case len(s) > limit:
		f.add(at, "must be at most %d bytes, is %d", limit, len(s))
	case !utf8.ValidString(s):
		f.add(at, "must be valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		f.add(at, "must not contain control characters")
	}
}

// acting reports whether a can be asked for: `allow` is what happens anyway.
func acting(a warder.Action) bool {
	return a == warder.Challenge || a == warder.MFA || a == warder.BlockAction
}

func validID(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
