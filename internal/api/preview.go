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
	previewKept    = 500_000  // known sources, live results, good addresses, each
	previewShown   = 200      // crossings listed
	previewTimeout = 60 * time.Second
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
	// One at a time: each may take some hundred megabytes.
	select {
	case s.previewing <- struct{}{}:
		defer func() { <-s.previewing }()
	case <-ctx.Done():
		return Preview{}, ctx.Err()
	case <-time.After(previewTimeout):
		return Preview{}, guard.ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	now := time.Now().UTC()
	var trusted []netip.Prefix
	for _, t := range s.opts.Guard.TrustedList() {
		if !strings.HasPrefix(t.ID, "policy:") { // the policy that is tried names its own
			trusted = append(trusted, t.IP)
		}
	}
	r := &trial{
		policy: p, world: policy.NewWorld(p, policy.WorldOptions{
			Counters: counter.New(counter.Options{Bytes: previewBytes}), Trusted: trusted,
			Protected: s.opts.Guard.Protected, Most: previewKept,
		}),
		refused: map[string]struct{}{}, addresses: map[netip.Prefix]struct{}{}, rules: map[string]*PreviewRule{},
		out: Preview{From: now.AddDate(0, 0, -days), To: now, Complete: true, Rules: []PreviewRule{}, Crossings: []PreviewCross{}},
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

// trial is a preview under way.
type trial struct {
	policy    *policy.Policy
	world     *policy.World
	refused   map[string]struct{}
	addresses map[netip.Prefix]struct{}
	rules     map[string]*PreviewRule
	out       Preview
}

func (r *trial) step(ctx context.Context, row *guard.Event) error {
	r.out.Events++
	e := &row.Event
	if warder.OwnEvent(e.Name) || strings.HasSuffix(e.Name, "_ERROR") {
		return nil // an attempt that could not be checked, or our own words
	}
	got, err := r.world.Judge(ctx, e, row.Seq, nil)
	if err != nil {
		return err
	}
	if got.Verdict.Crossing != nil {
		r.cross(e, got.Verdict.Crossing)
	}
	if got.Refused && got.SignIn {
		r.out.SignInsRefused++
		keep(r.refused, warder.AccountKey(e.Realm, e.Account))
	}
	return nil
}

// keep adds to a set that is bounded.
func keep[K comparable](m map[K]struct{}, k K) {
	if len(m) < previewKept {
		m[k] = struct{}{}
	}
}

func (r *trial) cross(e *warder.Event, x *policy.Crossing) {
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
	case x.Observed:
		r.out.Observed++
	case x.Subject.Session != "":
		r.out.Revoked++
	case x.Action == warder.BlockAction:
		r.out.Blocks++
		if x.Subject.IP.IsValid() {
			keep(r.addresses, x.Subject.IP)
		}
	default:
		r.out.Demands++
	}
}

// done sums up, rules in the order of the policy.
func (r *trial) done() Preview {
	for _, rule := range r.policy.Rules {
		if got := r.rules[rule.ID]; got != nil {
			r.out.Rules = append(r.out.Rules, *got)
		} else {
			r.out.Rules = append(r.out.Rules, PreviewRule{Rule: rule.ID, Action: rule.Action, Mode: rule.Mode})
		}
	}
	r.out.Addresses, r.out.AccountsRefused = int64(len(r.addresses)), int64(len(r.refused))
	return r.out
}
