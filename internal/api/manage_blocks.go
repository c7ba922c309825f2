package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
)

// Bounds on what people write.
const (
	maxReasonText = 500
	maxNote       = 2000
	maxImport     = 100000
	maxLift       = 10000 // blocks lifted by one filter
)

// BlockQuery is the filter that the list, the export and lifting share.
type BlockQuery struct {
	State    string    `query:"state" enum:"active,expired,lifted,observed,all" default:"all"`
	From     time.Time `query:"from" doc:"Blocked at or after this time."`
	To       time.Time `query:"to" doc:"Blocked before this time."`
	IP       string    `query:"ip" maxLength:"64" doc:"Blocks that overlap this address or prefix."`
	Account  string    `query:"account" maxLength:"256"`
	Event    string    `query:"event" maxLength:"64"`
	Rule     string    `query:"rule" maxLength:"64"`
	Source   string    `query:"source" enum:"rule,manual,policy,import"`
	Reviewed string    `query:"reviewed" enum:"true,false"`
	Verdict  string    `query:"verdict" enum:"error,resolved" doc:"Lifted with this verdict."`
	Q        string    `query:"q" maxLength:"256" doc:"Exact id, reference, address or account; else the beginning of an account."`

	NotIP     []string `query:"not_ip" maxItems:"32" doc:"None of these addresses or prefixes, separated by commas."`
	NotEvent  []string `query:"not_event" maxItems:"32" doc:"Not because of these events, separated by commas."`
	NotRule   []string `query:"not_rule" maxItems:"32" doc:"None of these rules, separated by commas."`
	NotSource []string `query:"not_source" maxItems:"4" doc:"None of rule, manual, policy, import, separated by commas."`
}

func (q *BlockQuery) filter(now time.Time) (store.BlockFilter, error) {
	var faults warder.Faults
	f := store.BlockFilter{
		Now: now, State: q.State, From: q.From.UTC(), To: q.To.UTC(), Account: q.Account, Event: q.Event,
		Rule: q.Rule, Source: q.Source, Q: q.Q, IP: parseRange(&faults, "query.ip", q.IP), Verdict: q.Verdict,
		NotIPs: parseRanges(&faults, "query.not_ip", q.NotIP), NotEvents: q.NotEvent, NotRules: q.NotRule, NotSources: q.NotSource,
	}
	if q.Reviewed != "" {
		reviewed := q.Reviewed == "true"
		f.Reviewed = &reviewed
	}
	checkSpan(&faults, "query", q.From, q.To)
	return f, faults.Err()
}

// parseRange reads an address or prefix to look for; a bare address is itself.
func parseRange(f *warder.Faults, location, s string) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	if a, err := warder.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	return parseSource(f, location, s)
}

func parseRanges(f *warder.Faults, location string, list []string) (out []netip.Prefix) {
	for _, text := range list {
		if p := parseRange(f, location, text); p.IsValid() {
			out = append(out, p)
		}
	}
	return out
}

// NewBlockBody is a block made by hand.
type NewBlockBody struct {
	IP       string `json:"ip" maxLength:"64" doc:"An address or a prefix. A bare IPv6 address means its /64."`
	Reason   string `json:"reason,omitempty" maxLength:"500"`
	Duration int64  `json:"duration,omitempty" minimum:"0" doc:"Seconds; 0 is permanent."`
}

func (b *NewBlockBody) parse(f *warder.Faults, at string) guard.NewBlock {
	if b.IP == "" {
		f.Add(at+".ip", "is required")
	}
	checkText(f, at+".reason", b.Reason, maxReasonText, false)
	return guard.NewBlock{
		IP: parseSource(f, at+".ip", b.IP), Reason: b.Reason, Duration: seconds(f, at+".duration", b.Duration),
	}
}

// LiftBody says why a block is lifted.
type LiftBody struct {
	Verdict       string `json:"verdict" enum:"error,resolved" doc:"error: it was a mistake and never counts as history; resolved: the matter is settled."`
	Reason        string `json:"reason,omitempty" maxLength:"500"`
	TrustFor      int64  `json:"trust_for,omitempty" minimum:"0" doc:"Seconds that the address is trusted from now on; 0: not at all. By key it takes the scope admin."`
	ClearCounters bool   `json:"clear_counters,omitempty"`
}

func (b *LiftBody) parse(c *caller) (guard.Lift, error) {
	// As POST /v1/trusted: whoever may only block and lift exempts nobody.
	if b.TrustFor != 0 && c.key != nil && !c.key.may(ScopeAdmin) {
		return guard.Lift{}, newProblem(http.StatusForbidden, "This API key may lift; to trust an address (trust_for) it lacks the scope "+string(ScopeAdmin)+".")
	}
	var f warder.Faults
	if b.Verdict != guard.VerdictError && b.Verdict != guard.VerdictResolved {
		f.Add("body.verdict", "must be error or resolved")
	}
	checkText(&f, "body.reason", b.Reason, maxReasonText, false)
	l := guard.Lift{
		Verdict: b.Verdict, Reason: b.Reason, ClearCounters: b.ClearCounters,
		TrustFor: seconds(&f, "body.trust_for", b.TrustFor),
	}
	return l, f.Err()
}

// LiftManyBody lifts the blocks of an address, or all that a filter selects.
type LiftManyBody struct {
	LiftBody
	IDs    []string    `json:"ids,omitempty" maxItems:"10000"`
	IP     string      `json:"ip,omitempty" maxLength:"64" doc:"All blocks whose subject is this address or prefix."`
	Filter *LiftFilter `json:"filter,omitempty" doc:"All live blocks that match every given field; at most 10000."`
	DryRun bool        `json:"dry_run,omitempty" doc:"Tell what ids or filter would lift, and lift nothing."`
}

// LiftFilter selects live blocks.
type LiftFilter struct {
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Within string    `json:"within,omitempty" maxLength:"64" doc:"Blocks that overlap this prefix."`
	Rule   string    `json:"rule,omitempty" maxLength:"64"`
	Event  string    `json:"event,omitempty" maxLength:"64"`
	Source string    `json:"source,omitempty" enum:"rule,manual,import"`
	Q      string    `json:"q,omitempty" maxLength:"256"`

	Account   string   `json:"account,omitempty" maxLength:"256"`
	Reviewed  *bool    `json:"reviewed,omitempty"`
	NotWithin []string `json:"not_within,omitempty" maxItems:"32" doc:"But none that overlaps these prefixes."`
	NotRule   []string `json:"not_rule,omitempty" maxItems:"32"`
	NotEvent  []string `json:"not_event,omitempty" maxItems:"32"`
	NotSource []string `json:"not_source,omitempty" maxItems:"4"`
}

// Lifted is the answer to lifting.
type Lifted struct {
	Lifted int         `json:"lifted" doc:"With dry_run: how many it would be."`
	DryRun bool        `json:"dry_run,omitempty"`
	Blocks []BlockView `json:"blocks" doc:"The first 500 of them."`
}

// EditBlockBody changes what people wrote on a block. Absent fields stay.
type EditBlockBody struct {
	Reviewed *bool      `json:"reviewed,omitempty"`
	Note     *string    `json:"note,omitempty" maxLength:"2000"`
	Until    *time.Time `json:"until,omitempty" doc:"A new end."`
	// Permanent is a field of its own since an absent until must not mean it.
	Permanent bool `json:"permanent,omitempty" doc:"No end any more."`
}

// ImportBody is a list of blocks.
type ImportBody struct {
	Blocks []NewBlockBody `json:"blocks" maxItems:"100000"`
}

// Imported is the answer to an import: every entry stands alone.
type Imported struct {
	Imported int           `json:"imported"`
	Rejected []ImportFault `json:"rejected"`
}

// ImportFault is an entry that was refused.
type ImportFault struct {
	Index   int    `json:"index"`
	IP      string `json:"ip"`
	Message string `json:"message"`
}

// BlockPath names a block.
type BlockPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) manageBlocks() {
	db, g := s.opts.Store, s.opts.Guard
	type blockList struct {
		BlockQuery
		Paging
	}
	register(s, "GET /v1/blocks", "list-blocks", "Blocks, latest first: the suspicious-address report", 0,
		func(ctx context.Context, in *blockList) (Items[BlockView], error) {
			now := time.Now()
			f, err := in.filter(now)
			if err != nil {
				return Items[BlockView]{}, err
			}
			list, err := db.ListBlocks(ctx, f, in.page())
			view := func(b *guard.Block) BlockView { return newBlockView(b, now) }
			return Items[BlockView]{Items: views(list.Items, view), Next: list.Next}, err
		})
	register(s, "GET /v1/blocks/{id}", "get-block", "One block with its evidence", 0,
		func(ctx context.Context, in *BlockPath) (BlockView, error) {
			b, err := db.Block(ctx, in.ID)
			if err != nil {
				return BlockView{}, err
			}
			return newBlockView(b, time.Now()), nil
		})
	register(s, "POST /v1/blocks", "create-block", "Block an address or prefix by hand", http.StatusCreated,
		func(ctx context.Context, in *body[NewBlockBody]) (BlockView, error) {
			var f warder.Faults
			nb := in.Body.parse(&f, "body")
			if err := f.Err(); err != nil {
				return BlockView{}, err
			}
			b, err := g.Block(ctx, callerOf(ctx).actor, nb)
			if err != nil {
				return BlockView{}, inBody(err)
			}
			return newBlockView(b, time.Now()), nil
		})
	register(s, "POST /v1/blocks/import", "import-blocks", "Block many; each entry stands alone, and a repeat adds nothing to what stands", 0,
		func(ctx context.Context, in *body[ImportBody]) (Imported, error) {
			return s.importBlocks(ctx, in.Body.Blocks)
		})
	register(s, "PATCH /v1/blocks/{id}", "edit-block", "Review a block, note something on it, change its end", 0,
		func(ctx context.Context, in *struct {
			BlockPath
			Body EditBlockBody
		},
		) (BlockView, error) {
			return s.editBlock(ctx, in.ID, &in.Body)
		})
	register(s, "DELETE /v1/blocks/{id}", "lift-block", "Lift a block", 0,
		func(ctx context.Context, in *struct {
			BlockPath
			Body LiftBody
		},
		) (Lifted, error) {
			l, err := in.Body.parse(callerOf(ctx))
			if err != nil {
				return Lifted{}, err
			}
			l.IDs = []string{in.ID}
			return s.lift(ctx, l)
		})
	register(s, "POST /v1/blocks/lift", "lift-blocks", "Lift the blocks of an address, or all that a filter selects", 0,
		func(ctx context.Context, in *body[LiftManyBody]) (Lifted, error) { return s.liftMany(ctx, &in.Body) })
	register(s, "GET /v1/demands", "list-demands", "Standing demands of a challenge or MFA", 0,
		func(ctx context.Context, in *Paging) (Items[DemandView], error) {
			list, err := db.ListDemands(ctx, time.Now(), in.page())
			return Items[DemandView]{Items: views(list.Items, newDemandView), Next: list.Next}, err
		})
	registerRaw(s, "DELETE /v1/demands/{id}", "lift-demand", "End a demand of a challenge or MFA before its time", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID     string `path:"id" maxLength:"64"`
			Reason string `query:"reason" maxLength:"1000" doc:"For the audit trail."`
		},
		) (*struct{}, error) {
			var f warder.Faults
			checkText(&f, "query.reason", in.Reason, 1000, false)
			if err := f.Err(); err != nil {
				return nil, err
			}
			_, err := s.opts.Guard.LiftDemand(ctx, callerOf(ctx).actor, in.ID, in.Reason)
			return nil, err
		})
	s.manageTrusted()
}

func (s *Server) importBlocks(ctx context.Context, entries []NewBlockBody) (Imported, error) {
	out := Imported{Rejected: []ImportFault{}}
	if len(entries) > maxImport {
		return out, warder.Fault{Location: "body.blocks", Message: "must hold at most 100000 blocks"}
	}
	var (
		list   []guard.NewBlock
		places []int
	)
	for i := range entries {
		var f warder.Faults
		nb := entries[i].parse(&f, "")
		if len(f) > 0 {
			out.Rejected = append(out.Rejected, ImportFault{
				Index: i, IP: clip(printable(entries[i].IP), 64), Message: f[0].Location[1:] + " " + f[0].Message,
			})
			continue
		}
		list, places = append(list, nb), append(places, i)
	}
	errs, err := s.opts.Guard.ImportBlocks(ctx, callerOf(ctx).actor, list)
	if err != nil {
		return out, err
	}
	for i := range list {
		if i < len(errs) && errs[i] != nil {
			at := places[i]
			out.Rejected = append(out.Rejected, ImportFault{Index: at, IP: entries[at].IP, Message: importFault(errs[i])})
			continue
		}
		out.Imported++
	}
	return out, nil
}

// importFault says what is the matter with one entry.
func importFault(err error) string {
	var faults warder.Faults
	if errors.As(err, &faults) && len(faults) > 0 {
		return faults[0].Location + " " + faults[0].Message
	}
	return problemOf(err).Detail
}

func (s *Server) editBlock(ctx context.Context, id string, in *EditBlockBody) (BlockView, error) {
	var f warder.Faults
	edit := guard.BlockEdit{ID: id, Note: in.Note, At: time.Now().UTC()}
	actor := callerOf(ctx).actor
	if in.Note != nil {
		checkText(&f, "body.note", *in.Note, maxNote, true)
	}
	if in.Reviewed != nil {
		who := ""
		if *in.Reviewed {
			who = actor.Name
		}
		edit.Reviewed = &who
	}
	if who := callerOf(ctx).operator; (in.Permanent || in.Until != nil) && who != nil && !who.Role.Includes(operator.Admin) {
		return BlockView{}, newProblem(http.StatusForbidden, "Your role "+string(who.Role)+" may review and note; to change how long a block lasts takes admin.")
	}
	switch {
	case in.Permanent && in.Until != nil:
		f.Add("body.permanent", "cannot stand beside until")
	case in.Permanent:
		edit.Until = new(time.Time)
	case in.Until != nil && !in.Until.After(edit.At):
		f.Add("body.until", "must lie ahead; to end a block, lift it")
	default:
		edit.Until = in.Until
	}
	if in.Note == nil && in.Reviewed == nil && in.Until == nil && !in.Permanent {
		f.Add("body", "must change something: reviewed, note, until or permanent")
	}
	if err := f.Err(); err != nil {
		return BlockView{}, err
	}
	if c := callerOf(ctx); edit.Until != nil && c.role == operator.Analyst {
		return BlockView{}, newProblem(http.StatusForbidden, "An analyst reviews and notes; how long a block lasts takes an admin.")
	}
	if err := s.opts.Guard.EditBlock(ctx, actor, edit); err != nil {
		return BlockView{}, inBody(err)
	}
	b, err := s.opts.Store.Block(ctx, id)
	if err != nil {
		return BlockView{}, err
	}
	return newBlockView(b, time.Now()), nil
}

func (s *Server) lift(ctx context.Context, l guard.Lift) (Lifted, error) {
	blocks, err := s.opts.Guard.Lift(ctx, callerOf(ctx).actor, l)
	if err != nil {
		return Lifted{}, inBody(err)
	}
	now := time.Now()
	out := Lifted{Lifted: len(blocks), Blocks: []BlockView{}}
	for _, b := range blocks {
		if len(out.Blocks) < store.MaxPage {
			out.Blocks = append(out.Blocks, newBlockView(b, now))
		}
	}
	return out, nil
}

func (s *Server) liftMany(ctx context.Context, in *LiftManyBody) (Lifted, error) {
	l, err := in.parse(callerOf(ctx))
	if err != nil {
		return Lifted{}, err
	}
	var f warder.Faults
	ways := 0
	for _, given := range []bool{len(in.IDs) > 0, in.IP != "", in.Filter != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		f.Add("body", "must name exactly one of ids, ip and filter")
	}
	l.IDs, l.IP = in.IDs, parseSource(&f, "body.ip", in.IP)
	filter := store.BlockFilter{Now: time.Now(), State: guard.StateActive}
	if q := in.Filter; q != nil {
		filter.From, filter.To, filter.Account, filter.Reviewed = q.From, q.To, q.Account, q.Reviewed
		filter.Rule, filter.Event, filter.Source, filter.Q = q.Rule, q.Event, q.Source, q.Q
		filter.NotRules, filter.NotEvents, filter.NotSources = q.NotRule, q.NotEvent, q.NotSource
		filter.IP = parseRange(&f, "body.filter.within", q.Within)
		filter.NotIPs = parseRanges(&f, "body.filter.not_within", q.NotWithin)
		checkSpan(&f, "body.filter", q.From, q.To)
	}
	if in.DryRun && in.IP != "" {
		f.Add("body.dry_run", "goes with ids or filter; to see the blocks of an address, use filter.within")
	}
	if err := f.Err(); err != nil {
		return Lifted{}, err
	}
	if in.Filter != nil {
		errEnough := errors.New("enough")
		err := s.opts.Store.EachBlock(ctx, filter, func(b *guard.Block) error {
			if l.IDs = append(l.IDs, b.ID); len(l.IDs) > maxLift {
				return errEnough
			}
			return nil
		})
		switch {
		case errors.Is(err, errEnough):
			return Lifted{}, warder.Fault{Location: "body.filter", Message: "selects more than 10000 blocks; narrow it"}
		case err != nil:
			return Lifted{}, err
		case len(l.IDs) == 0:
			return Lifted{DryRun: in.DryRun, Blocks: []BlockView{}}, nil
		}
	}
	if in.DryRun {
		return s.wouldLift(ctx, l.IDs)
	}
	return s.lift(ctx, l)
}

// wouldLift counts the blocks among ids that are live, and shows the first.
func (s *Server) wouldLift(ctx context.Context, ids []string) (Lifted, error) {
	now := time.Now()
	out := Lifted{DryRun: true, Blocks: []BlockView{}}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		b, err := s.opts.Store.Block(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return Lifted{}, err
		}
		if v := newBlockView(b, now); v.State == guard.StateActive {
			if out.Lifted++; len(out.Blocks) < store.MaxPage {
				out.Blocks = append(out.Blocks, v)
			}
		}
	}
	return out, nil
}

// TrustBody is a new entry of the trusted list.
type TrustBody struct {
	IP        string `json:"ip" maxLength:"64" doc:"An address or a prefix. A bare IPv6 address means its /64."`
	Note      string `json:"note,omitempty" maxLength:"500"`
	ExpiresIn int64  `json:"expires_in,omitempty" minimum:"0" doc:"Seconds; 0: until removed."`
}

func (s *Server) manageTrusted() {
	g := s.opts.Guard
	register(s, "GET /v1/trusted", "list-trusted", "Trusted prefixes, those of the policy first", 0,
		func(_ context.Context, _ *struct{}) (Items[TrustedView], error) {
			return Items[TrustedView]{Items: views(g.TrustedList(), newTrustedView)}, nil
		})
	register(s, "POST /v1/trusted", "create-trusted", "Exempt a prefix from counting and blocking", http.StatusCreated,
		func(ctx context.Context, in *body[TrustBody]) (TrustedView, error) {
			var f warder.Faults
			if in.Body.IP == "" {
				f.Add("body.ip", "is required")
			}
			p := parseSource(&f, "body.ip", in.Body.IP)
			checkText(&f, "body.note", in.Body.Note, maxReasonText, false)
			lasts := seconds(&f, "body.expires_in", in.Body.ExpiresIn)
			if err := f.Err(); err != nil {
				return TrustedView{}, err
			}
			t, err := g.Trust(ctx, callerOf(ctx).actor, p, in.Body.Note, lasts)
			if err != nil {
				return TrustedView{}, inBody(err)
			}
			return newTrustedView(&t), nil
		})
	registerRaw(s, "DELETE /v1/trusted/{id}", "delete-trusted", "Take an entry out of the trusted list", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		},
		) (*struct{}, error) {
			return nil, g.Untrust(ctx, callerOf(ctx).actor, in.ID)
		})
}
