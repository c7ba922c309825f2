package api

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/policy"
)

// Bounds of a preview.
const (
	previewEvents  = 2_000_000 // events replayed at most
	previewPage    = 5000
	previewBytes   = 32 << 20 // of counters
	previewKept    = 500_000  // known sources, live results, good accounts, each
	previewShown   = 200      // crossings listed
	previewTimeout = 60 * time.Second
	goodFor        = 14 * 24 * time.Hour
	stepsFor       = 7 * 24 * time.Hour
)

// Preview is what a policy would have done to the events of the last days.
// Providers, geography, history criteria and shared-address guards over longer
// spans than the replay are not part of it.
type Preview struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Events    int64     `json:"events" doc:"Events replayed."`
	Complete  bool      `json:"complete" doc:"false: there were more events than a preview replays, or it took too long."`
	Blocks    int64     `json:"blocks"`
	Demands   int64     `json:"demands"`
	Revoked   int64     `json:"sessions_revoked"`
	Observed  int64     `json:"observed" doc:"Crossings of rules that only observe."`
	Spared    int64     `json:"spared" doc:"Crossings on addresses of our own, where nothing is blocked."`
	Addresses int64     `json:"addresses_blocked"`
	// SignInsRefused are the people who would have been hurt.
	SignInsRefused  int64          `json:"sign_ins_refused" doc:"Completed sign-ins that a block would have refused."`
	AccountsRefused int64          `json:"accounts_refused" doc:"Different accounts among them."`
	Rules           []PreviewRule  `json:"rules"`
	Crossings       []PreviewCross `json:"crossings" doc:"The first 200."`
}

// PreviewRule is what one rule would have done.
type PreviewRule struct {
	Rule      string        `json:"rule"`
	Action    warder.Action `json:"action"`
	Mode      warder.Mode   `json:"mode"`
	Crossings int64         `json:"crossings"`
}

// PreviewCross is one crossing of a preview.
type PreviewCross struct {
	Time time.Time `json:"time"`
	Rule string    `json:"rule"`
	SubjectView
	Action   warder.Action `json:"action"`
	Duration int64         `json:"duration" doc:"Seconds; 0: until lifted."`
	Cut      string        `json:"cut,omitempty"`
	Spared   string        `json:"spared,omitempty"`
	Observed bool          `json:"observed"`
	Event    string        `json:"event" doc:"Id of the event that crossed."`
}

// preview replays the last days through the pure policy.
func (s *Server) preview(ctx context.Context, d *policy.Document, days int) (Preview, error) {
	p, err := d.Compile()
	if err != nil {
		return Preview{}, inBody(err)
	}
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	now := time.Now().UTC()
	r := &replay{
		p: p, counters: counter.New(counter.Options{Bytes: previewBytes}),
		protected: s.opts.Guard.Protected, live: map[warder.Subject]result{}, steps: map[warder.Subject][]time.Time{},
		known: map[sourceKey]struct{}{}, good: map[netip.Prefix]map[string]time.Time{}, sessions: map[string]time.Time{},
		refused: map[string]struct{}{}, addresses: map[netip.Prefix]struct{}{}, rules: map[string]*PreviewRule{},
		out: Preview{From: now.AddDate(0, 0, -days), To: now, Complete: true, Rules: []PreviewRule{}, Crossings: []PreviewCross{}},
	}
	r.trusted = append(r.trusted, p.Trusted...)
	for _, t := range s.opts.Guard.TrustedList() {
		if !strings.HasPrefix(t.ID, "policy:") {
			r.trusted = append(r.trusted, t.IP)
		}
	}
	after := r.out.From.UnixMicro() - 1
	for r.out.Events < previewEvents {
		page, err := s.opts.Store.EventsAfter(ctx, after, previewPage)
		if errors.Is(err, context.DeadlineExceeded) {
			r.out.Complete = false
			return r.done(), nil
		}
		if err != nil {
			return r.out, err
		}
		for i := range page {
			if err := r.step(ctx, &page[i]); err != nil {
				return r.out, err
			}
			after = page[i].Seq
		}
		if len(page) < previewPage {
			return r.done(), nil
		}
	}
	r.out.Complete = false
	return r.done(), nil
}

type sourceKey struct{ account, source string }

// result is what a crossing left standing.
type result struct {
	rule   string
	action warder.Action
	until  time.Time // zero: no end
}

// replay is the state of a preview: a small engine without a clock.
type replay struct {
	p         *policy.Policy
	counters  *counter.Memory
	trusted   []netip.Prefix
	protected func(netip.Prefix) bool
	live      map[warder.Subject]result
	steps     map[warder.Subject][]time.Time
	known     map[sourceKey]struct{}
	good      map[netip.Prefix]map[string]time.Time
	nGood     int
	sessions  map[string]time.Time
	refused   map[string]struct{}
	addresses map[netip.Prefix]struct{}
	rules     map[string]*PreviewRule
	out       Preview
}

func (r *replay) step(ctx context.Context, row *guard.Event) error {
	r.out.Events++
	e := &row.Event
	if warder.OwnEvent(e.Name) || strings.HasSuffix(e.Name, "_ERROR") {
		return nil // an attempt that could not be checked, or our own words
	}
	address, account := warder.AddressKey(e.IP), warder.AccountKey(e.Realm, e.Account)
	own := ""
	switch {
	case e.Device != "":
		own = "d:" + e.Device
	case address.IsValid():
		own = "a:" + address.String()
	}
	f := &policy.Facts{SelfProtected: address.IsValid() && r.protected(address), Steps: map[warder.Subject]int{}}
	if _, ok := r.known[sourceKey{account, own}]; ok {
		f.Source = own
	}
	for _, p := range r.trusted {
		f.Trusted = f.Trusted || p.Contains(e.IP)
	}
	if at, ok := r.sessions[e.Session]; ok && e.Session != "" {
		f.RecentSession = e.Time.Sub(at) < 24*time.Hour
	}
	f.GoodAccounts = len(r.good[address])
	r.standing(e, f, address, account)
	for _, subject := range r.p.Needs(e).Steps {
		for _, ended := range r.steps[subject] {
			if e.Time.Sub(ended) <= stepsFor {
				f.Steps[subject]++
			}
		}
	}
	hits := r.p.Hits(e, f, e.Time, row.Seq)
	plain := make([]counter.Hit, len(hits))
	for i := range hits {
		plain[i] = hits[i].Hit
	}
	counts, err := r.counters.Apply(ctx, e.Time, plain)
	if err != nil {
		return err
	}
	if v := r.p.Decide(e, f, hits, counts); v.Crossing != nil {
		r.cross(e, v.Crossing)
	}
	classes, completed := r.p.Takes(e, false)
	if completed && f.Covered && !f.Trusted {
		r.out.SignInsRefused++
		keep(r.refused, account, struct{}{})
		return nil
	}
	for _, class := range classes {
		tag := counter.Tag{Account: account, Address: address, Class: class}
		if _, err := r.counters.TakeOut(ctx, e.Time, tag, e.Time, row.Seq); err != nil {
			return err
		}
	}
	if completed {
		r.complete(e, address, account, own)
	}
	return nil
}

// keep adds to a map that is bounded.
func keep[K comparable, V any](m map[K]V, k K, v V) {
	if _, there := m[k]; there || len(m) < previewKept {
		m[k] = v
	}
}

func (r *replay) complete(e *warder.Event, address netip.Prefix, account, own string) {
	if account != "" && own != "" {
		keep(r.known, sourceKey{account, own}, struct{}{})
	}
	if e.Session != "" {
		keep(r.sessions, e.Session, e.Time)
	}
	if account == "" || !address.IsValid() || r.nGood >= previewKept {
		return
	}
	there := r.good[address]
	if there == nil {
		there = map[string]time.Time{}
		r.good[address] = there
	}
	for one, at := range there {
		if e.Time.Sub(at) > goodFor {
			delete(there, one)
			r.nGood--
		}
	}
	if _, ok := there[account]; !ok {
		r.nGood++
	}
	there[account] = e.Time
}

// standing finds what earlier crossings and the policy's own list hold against
// an event.
func (r *replay) standing(e *warder.Event, f *policy.Facts, address netip.Prefix, account string) {
	for _, b := range r.p.Blocked {
		f.Covered = f.Covered || b.IP.Contains(e.IP) && (b.Until.IsZero() || e.Time.Before(b.Until))
	}
	subjects := []warder.Subject{{IP: address}, {IP: address, Account: account}, {Session: e.Session}}
	if account != "" {
		subjects = append(subjects, warder.Subject{Account: account, Source: f.Source})
	}
	if f.Source == "" {
		subjects = append(subjects, warder.Subject{Realm: e.Realm})
	}
	for _, subject := range subjects {
		if subject == (warder.Subject{}) {
			continue
		}
		res, ok := r.live[subject]
		switch {
		case !ok:
		case !res.until.IsZero() && !e.Time.Before(res.until):
			delete(r.live, subject)
			if res.action == warder.BlockAction {
				keep(r.steps, subject, append(r.steps[subject], res.until))
			}
		case res.action == warder.BlockAction:
			f.Covered = true
		default:
			f.Demanded = append(f.Demanded, policy.Demanded{Rule: res.rule, Subject: subject})
		}
	}
}

func (r *replay) cross(e *warder.Event, x *policy.Crossing) {
	rule := r.rules[x.Rule.ID]
	if rule == nil {
		rule = &PreviewRule{Rule: x.Rule.ID, Action: x.Rule.Action, Mode: x.Rule.Mode}
		r.rules[x.Rule.ID] = rule
	}
	rule.Crossings++
	if len(r.out.Crossings) < previewShown {
		r.out.Crossings = append(r.out.Crossings, PreviewCross{
			Time: e.Time.UTC(), Rule: x.Rule.ID, SubjectView: newSubjectView(x.Subject), Action: x.Action,
			Duration: int64(x.Duration / time.Second), Cut: x.Cut, Spared: x.Spared, Observed: x.Observed, Event: e.ID,
		})
	}
	switch {
	case x.Spared != "":
		r.out.Spared++
		return
	case x.Observed:
		r.out.Observed++
		return
	case x.Subject.Session != "":
		r.out.Revoked++
	case x.Action == warder.BlockAction:
		r.out.Blocks++
		if x.Subject.IP.IsValid() {
			keep(r.addresses, x.Subject.IP, struct{}{})
		}
	default:
		r.out.Demands++
	}
	res := result{rule: x.Rule.ID, action: x.Action}
	if x.Duration > 0 {
		res.until = e.Time.Add(x.Duration)
	}
	keep(r.live, x.Subject, res)
}

// done sums up, rules in the order of the policy.
func (r *replay) done() Preview {
	for _, rule := range r.p.Rules {
		if got := r.rules[rule.ID]; got != nil {
			r.out.Rules = append(r.out.Rules, *got)
		} else {
			r.out.Rules = append(r.out.Rules, PreviewRule{Rule: rule.ID, Action: rule.Action, Mode: rule.Mode})
		}
	}
	r.out.Addresses, r.out.AccountsRefused = int64(len(r.addresses)), int64(len(r.refused))
	return r.out
}
