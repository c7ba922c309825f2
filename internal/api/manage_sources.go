package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// recent is how many of everything a profile shows.
const recent = 50

// AddressView is what is known of an address.
type AddressView struct {
	IP         string          `json:"ip"`
	FirstSeen  time.Time       `json:"first_seen"`
	LastSeen   time.Time       `json:"last_seen"`
	EventCount int64           `json:"events" doc:"Kept ones, counted up to 100,000. 0 in lists, which do not count them."`
	Completed  int64           `json:"completed" doc:"Sign-ins completed. 0 in lists, which do not count them."`
	Bad        int64           `json:"bad" doc:"Events of severity warning and above."`
	Worst      warder.Severity `json:"worst"`
	BlockCount int64           `json:"blocks_ever"`
	Account    string          `json:"last_account,omitempty"`
	Realm      string          `json:"last_realm,omitempty"`
	Event      string          `json:"last_event,omitempty"`
	Suspicious bool            `json:"suspicious"`
	Fraudulent bool            `json:"fraudulent"`
	Note       string          `json:"note,omitempty"`
	MarkedBy   string          `json:"marked_by,omitempty"`
	MarkedAt   *time.Time      `json:"marked_at,omitempty"`
	Block      *BlockView      `json:"block,omitempty" doc:"In lists: the block in force that covers it and lasts longest."`
}

func newAddressView(a *store.Address) AddressView {
	return AddressView{
		IP: prefixText(a.IP), FirstSeen: a.FirstSeen.UTC(), LastSeen: a.LastSeen.UTC(), EventCount: a.Events,
		Completed: a.Completed, Bad: a.Bad, Worst: a.Worst, BlockCount: a.Blocks, Account: a.Account, Realm: a.Realm,
		Event: a.Event, Suspicious: a.Suspicious, Fraudulent: a.Fraudulent, Note: a.Note, MarkedBy: a.MarkedBy,
		MarkedAt: maybe(a.MarkedAt),
	}
}

// AccountView is what is known of an account.
type AccountView struct {
	Account    string    `json:"account"`
	Realm      string    `json:"realm,omitempty"`
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
	EventCount int64     `json:"events" doc:"Kept ones, counted up to 100,000. 0 in lists, which do not count them."`
	Completed  int64     `json:"completed" doc:"Sign-ins completed. 0 in lists, which do not count them."`
	Bad        int64     `json:"bad"`
	IP         string    `json:"last_ip,omitempty"`
	Event      string    `json:"last_event,omitempty"`
	Suspicious bool      `json:"suspicious"`
}

func newAccountView(a *store.Account) AccountView {
	return AccountView{
		Account: a.Account, Realm: a.Realm, FirstSeen: a.FirstSeen.UTC(), LastSeen: a.LastSeen.UTC(), EventCount: a.Events,
		Completed: a.Completed, Bad: a.Bad, IP: prefixText(a.IP), Event: a.Event, Suspicious: a.Suspicious,
	}
}

// KnownView is a source that an account signed in from.
type KnownView struct {
	Account string    `json:"account,omitempty"`
	Realm   string    `json:"realm,omitempty"`
	Source  string    `json:"source,omitempty"`
	IP      string    `json:"ip,omitempty"`
	At      time.Time `json:"last_signed_in"`
}

// WhyView is how a decision comes about now.
type WhyView struct {
	Decision warder.Decision      `json:"decision"`
	Steps    []string             `json:"steps" doc:"In words, in the order of deciding."`
	Counters []guard.CounterState `json:"counters"`
	Blocks   []BlockView          `json:"blocks"`
	Demands  []DemandView         `json:"demands"`
	Known    bool                 `json:"known_source"`
	Shared   int                  `json:"good_accounts_14d"`
	Levels   map[string]int       `json:"providers,omitempty"`
	History  string               `json:"history,omitempty" doc:"The criterion of the policy that applies."`
}

func newWhyView(e *guard.Explanation, now time.Time) WhyView {
	v := WhyView{
		Decision: e.Decision, Steps: some(e.Steps), Counters: some(e.Counters), Known: e.Known, Shared: e.Shared,
		Levels: e.Levels, History: e.History, Blocks: []BlockView{}, Demands: []DemandView{},
	}
	for _, b := range e.Blocks {
		v.Blocks = append(v.Blocks, newBlockView(b, now))
	}
	for _, d := range e.Demands {
		v.Demands = append(v.Demands, newDemandView(d))
	}
	return v
}

// AddressProfile is everything about one address.
type AddressProfile struct {
	AddressView
	Known    bool          `json:"known" doc:"false: nothing was ever seen of it."`
	Why      WhyView       `json:"why"`
	Blocks   []BlockView   `json:"blocks"`
	Sessions []SessionView `json:"sessions"`
	Accounts []KnownView   `json:"accounts" doc:"Accounts that completed sign-ins from there in 14 days."`
	Events   []EventView   `json:"recent_events"`
}

// AccountProfile is everything about one account.
type AccountProfile struct {
	AccountView
	Known    bool          `json:"known"`
	Why      WhyView       `json:"why"`
	Blocks   []BlockView   `json:"blocks"`
	Sessions []SessionView `json:"sessions"`
	Sources  []KnownView   `json:"known_sources"`
	Events   []EventView   `json:"recent_events"`
	// Reach answers "why can't this person sign in?": from each address that
	// was tried lately, what would be decided now.
	Reach   []ReachView `json:"reach" doc:"From each of the addresses that were used lately, latest first: can this person sign in from there now, and why not?"`
	Summary string      `json:"summary" doc:"The answer in one sentence."`
}

// ReachView is whether an account can sign in from an address now.
type ReachView struct {
	IP        string          `json:"ip"`
	LastSeen  time.Time       `json:"last_seen"`
	LastEvent string          `json:"last_event"`
	Refused   bool            `json:"refused_last" doc:"The latest event from there was refused."`
	Decision  warder.Decision `json:"decision" doc:"What would be answered now."`
	Steps     []string        `json:"steps" doc:"How that comes about, in words."`
	Blocks    []BlockView     `json:"blocks"`
}

// MarkBody is a judgement of an address.
type MarkBody struct {
	Fraudulent bool   `json:"fraudulent"`
	Note       string `json:"note,omitempty" maxLength:"2000"`
}

func (s *Server) manageSources() {
	db, g := s.opts.Store, s.opts.Guard
	type AddressPath struct {
		IP string `path:"ip" maxLength:"64"`
	}
	register(s, "GET /v1/ips", "list-ips", "Addresses that anything bad came from, in their own order; suspicious ones the last seen first", 0,
		func(ctx context.Context, in *struct {
			Suspicious bool   `query:"suspicious" doc:"Only those that did something suspicious."`
			Fraudulent bool   `query:"fraudulent" doc:"Only those that are marked as fraudulent."`
			IP         string `query:"ip" maxLength:"64"`
			Paging
		},
		) (Items[AddressView], error) {
			var f warder.Faults
			filter := store.AddressFilter{Suspicious: in.Suspicious, Fraudulent: in.Fraudulent, IP: parseRange(&f, "query.ip", in.IP)}
			if err := f.Err(); err != nil {
				return Items[AddressView]{}, err
			}
			list, err := db.ListAddresses(ctx, filter, in.page())
			if err != nil {
				return Items[AddressView]{}, err
			}
			out := Items[AddressView]{Items: views(list.Items, newAddressView), Next: list.Next}
			return out, s.standing(ctx, list.Items, out.Items)
		})
	register(s, "GET /v1/ips/{ip}", "get-ip", "Everything about one address", 0,
		func(ctx context.Context, in *AddressPath) (AddressProfile, error) {
			a, err := pathAddr(in.IP)
			if err != nil {
				return AddressProfile{}, err
			}
			return s.addressProfile(ctx, a)
		})
	registerRaw(s, "POST /v1/ips/{ip}/mark", "mark-ip", "Mark an address as fraudulent, or not", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			AddressPath
			Body MarkBody
		},
		) (*struct{}, error) {
			a, err := pathAddr(in.IP)
			if err != nil {
				return nil, err
			}
			var f warder.Faults
			checkText(&f, "body.note", in.Body.Note, maxNote, true)
			if err := f.Err(); err != nil {
				return nil, err
			}
			return nil, inBody(g.Mark(ctx, callerOf(ctx).actor, a, in.Body.Fraudulent, in.Body.Note))
		})
	register(s, "GET /v1/accounts", "list-accounts", "Accounts by name; suspicious ones the last seen first", 0,
		func(ctx context.Context, in *struct {
			Suspicious bool   `query:"suspicious"`
			Realm      string `query:"realm" maxLength:"64"`
			Q          string `query:"q" maxLength:"256" doc:"Beginning of the account."`
			Paging
		},
		) (Items[AccountView], error) {
			list, err := db.ListAccounts(ctx, store.AccountFilter{Suspicious: in.Suspicious, Realm: in.Realm, Q: in.Q}, in.page())
			return Items[AccountView]{Items: views(list.Items, newAccountView), Next: list.Next}, err
		})
	register(s, "GET /v1/accounts/{account}", "get-account", "Everything about one account", 0,
		func(ctx context.Context, in *struct {
			Account string `path:"account" maxLength:"256"`
			Realm   string `query:"realm" maxLength:"64"`
		},
		) (AccountProfile, error) {
			return s.accountProfile(ctx, in.Realm, in.Account)
		})
	s.manageSessions()
	s.manageWhy()
}

// standing tells of each address which block is in force against it. Memory
// knows that of any number; what else there is to tell of it is stored.
func (s *Server) standing(ctx context.Context, list []store.Address, out []AddressView) error {
	now := time.Now()
	var ids []string
	standing := make([]*guard.Block, len(list))
	for i := range list {
		if standing[i] = s.opts.Guard.StandingBlock(list[i].IP); standing[i] != nil {
			ids = append(ids, standing[i].ID)
		}
	}
	stored, err := s.opts.Store.BlocksByID(ctx, ids)
	if err != nil {
		return err
	}
	for i, b := range standing {
		if b == nil {
			continue
		}
		if known, ok := stored[b.ID]; ok {
			b = &known
		}
		v := newBlockView(b, now)
		out[i].Block = &v
	}
	return nil
}

func pathAddr(text string) (netip.Addr, error) {
	a, err := warder.ParseAddr(text)
	if err != nil {
		return a, warder.Fault{Location: "path.ip", Message: printable(err.Error())}
	}
	return a, nil
}

func (s *Server) addressProfile(ctx context.Context, a netip.Addr) (AddressProfile, error) {
	db, now, key := s.opts.Store, time.Now(), warder.AddressKey(a)
	why := s.opts.Guard.Explain(guard.Query{IP: a})
	p := AddressProfile{Why: newWhyView(&why, now)}
	p.IP = prefixText(key)
	known, err := db.Address(ctx, key)
	switch {
	case err == nil:
		p.AddressView, p.Known = newAddressView(known), true
	case !errors.Is(err, store.ErrNotFound):
		return p, err
	}
	blocks, err := db.ListBlocks(ctx, store.BlockFilter{Now: now, State: "all", IP: key}, store.Page{Limit: recent})
	if err != nil {
		return p, err
	}
	sessions, err := db.ListSessions(ctx, store.SessionFilter{IP: key}, store.Page{Limit: recent})
	if err != nil {
		return p, err
	}
	good, err := db.AccountsOf(ctx, key, recent)
	if err != nil {
		return p, err
	}
	events, err := db.ListEvents(ctx, store.EventFilter{IP: key}, store.Page{Limit: recent})
	if err != nil {
		return p, err
	}
	p.Blocks = views(blocks.Items, func(b *guard.Block) BlockView { return newBlockView(b, now) })
	p.Sessions = views(sessions.Items, newSessionView)
	p.Events = views(events.Items, newEventView)
	p.Accounts = views(good, func(g *guard.Good) KnownView {
		realm, account := splitAccount(g.Account)
		return KnownView{Account: account, Realm: realm, At: g.At.UTC()}
	})
	return p, nil
}

func (s *Server) accountProfile(ctx context.Context, realm, account string) (AccountProfile, error) {
	db, now := s.opts.Store, time.Now()
	key := warder.AccountKey(realm, account)
	if key == "" {
		return AccountProfile{}, warder.Fault{Location: "path.account", Message: "must not be blank"}
	}
	why := s.opts.Guard.Explain(guard.Query{Account: account, Realm: realm})
	p := AccountProfile{Why: newWhyView(&why, now)}
	p.Account, p.Realm = account, realm
	known, err := db.Account(ctx, key)
	switch {
	case err == nil:
		p.AccountView, p.Known = newAccountView(known), true
	case !errors.Is(err, store.ErrNotFound):
		return p, err
	}
	blocks, err := db.ListBlocks(ctx, store.BlockFilter{Now: now, State: "all", Account: account}, store.Page{Limit: recent})
	if err != nil {
		return p, err
	}
	sessions, err := db.ListSessions(ctx, store.SessionFilter{Account: account, Realm: realm}, store.Page{Limit: recent})
	if err != nil {
		return p, err
	}
	sources, err := db.KnownSources(ctx, key, recent)
	if err != nil {
		return p, err
	}
	events, err := db.ListEvents(ctx, store.EventFilter{Account: account, Realm: realm}, store.Page{Limit: recent})
	if err != nil {
		return p, err
	}
	p.Blocks = views(blocks.Items, func(b *guard.Block) BlockView { return newBlockView(b, now) })
	p.Sessions = views(sessions.Items, newSessionView)
	p.Events = views(events.Items, newEventView)
	p.Sources = views(sources, func(k *guard.Known) KnownView {
		return KnownView{Source: k.Source, IP: prefixText(k.Address), At: k.At.UTC()}
	})
	p.Reach = s.reach(realm, account, events.Items, now)
	p.Summary = summaryOf(&p)
	return p, nil
}

// maxReach bounds the addresses that an account's profile explains.
const maxReach = 8

// reach explains for each address of the latest events whether the account can
// sign in from there.
func (s *Server) reach(realm, account string, events []guard.Event, now time.Time) []ReachView {
	out := []ReachView{}
	seen := map[netip.Prefix]bool{}
	for i := range events {
		e := &events[i]
		if !e.IP.IsValid() || seen[e.Address] || len(out) == maxReach || warder.OwnEvent(e.Name) {
			continue
		}
		seen[e.Address] = true
		if realm == "" {
			realm = e.Realm
		}
		why := s.opts.Guard.Explain(guard.Query{IP: e.IP, Account: account, Realm: realm, Device: e.Device, UserAgent: e.UserAgent})
		v := ReachView{
			IP: e.IP.String(), LastSeen: e.Time.UTC(), LastEvent: e.Name, Refused: e.Action == warder.BlockAction,
			Decision: why.Decision, Steps: some(why.Steps), Blocks: []BlockView{},
		}
		for _, b := range why.Blocks {
			v.Blocks = append(v.Blocks, newBlockView(b, now))
		}
		out = append(out, v)
	}
	return out
}

// summaryOf answers in one sentence whether a person can sign in.
func summaryOf(p *AccountProfile) string {
	if a := p.Why.Decision.Action; a == warder.BlockAction {
		return "This account is refused wherever it signs in from: " + string(p.Why.Decision.Reason) + "."
	}
	refused, asked := 0, 0
	for i := range p.Reach {
		switch p.Reach[i].Decision.Action {
		case warder.BlockAction:
			refused++
		case warder.Challenge, warder.MFA:
			asked++
		case warder.Allow:
		}
	}
	switch n := len(p.Reach); {
	case n == 0:
		return "Warder refuses this account nothing. It was not seen lately: if the person cannot sign in, the application does not report it under this name, or refuses it by itself."
	case refused == n:
		return "Warder refuses this person: every address that they used lately is blocked."
	case refused > 0:
		return "Warder refuses this person from some of the addresses that they used lately, see which."
	case asked > 0:
		return "Warder asks this person for more than the password: a challenge or a second factor."
	}
	return "Warder lets this person try to sign in from everywhere they were lately. If they cannot, their password or the application is the reason."
}

// RevokeBody names the sessions to end: exactly one of session, account and
// ip.
type RevokeBody struct {
	Session string `json:"session,omitempty" maxLength:"256"`
	Account string `json:"account,omitempty" maxLength:"256"`
	Realm   string `json:"realm,omitempty" maxLength:"64" doc:"Of the account."`
	IP      string `json:"ip,omitempty" maxLength:"64"`
	Reason  string `json:"reason,omitempty" maxLength:"500"`
}

// ClearBody says which counters to empty; all empty means all of them.
type ClearBody struct {
	IP             string `json:"ip,omitempty" maxLength:"64"`
	Account        string `json:"account,omitempty" maxLength:"256"`
	Realm          string `json:"realm,omitempty" maxLength:"64"`
	RestartMetrics bool   `json:"restart_metrics,omitempty" doc:"Statistics start anew from here."`
}

// RevokedAnswer lists the sessions that a call ended.
type RevokedAnswer struct {
	Items []guard.Revoked `json:"items"`
}

func (s *Server) manageSessions() {
	db, g := s.opts.Store, s.opts.Guard
	register(s, "GET /v1/sessions", "list-sessions", "Sessions of applications, last used first", 0,
		func(ctx context.Context, in *struct {
			Account string `query:"account" maxLength:"256"`
			Realm   string `query:"realm" maxLength:"64"`
			IP      string `query:"ip" maxLength:"64"`
			Live    bool   `query:"live" doc:"Only those not revoked."`
			Session string `query:"session" maxLength:"256" doc:"Exactly this one."`
			Q       string `query:"q" maxLength:"256" doc:"An exact id, address or prefix, else the beginning of an account."`
			Paging
		},
		) (Items[SessionView], error) {
			var f warder.Faults
			filter := store.SessionFilter{Account: in.Account, Realm: in.Realm, Live: in.Live, ID: in.Session, Q: in.Q, IP: parseRange(&f, "query.ip", in.IP)}
			if err := f.Err(); err != nil {
				return Items[SessionView]{}, err
			}
			list, err := db.ListSessions(ctx, filter, in.page())
			return Items[SessionView]{Items: views(list.Items, newSessionView), Next: list.Next}, err
		})
	register(s, "POST /v1/sessions/revoke", "revoke-sessions", "End sessions: one, those of an account, or those of an address", 0,
		func(ctx context.Context, in *body[RevokeBody]) (RevokedAnswer, error) {
			b := &in.Body
			var f warder.Faults
			ways := 0
			for _, given := range []string{b.Session, b.Account, b.IP} {
				if given != "" {
					ways++
				}
			}
			if ways != 1 {
				f.Add("body", "must name exactly one of session, account and ip")
			}
			checkText(&f, "body.session", b.Session, warder.MaxSession, false)
			checkText(&f, "body.account", b.Account, warder.MaxAccount, false)
			checkText(&f, "body.realm", b.Realm, warder.MaxRealm, false)
			checkText(&f, "body.reason", b.Reason, maxReasonText, false)
			req := guard.RevokeRequest{
				Session: b.Session, Account: b.Account, Realm: b.Realm, Reason: b.Reason, IP: parseSource(&f, "body.ip", b.IP),
			}
			if err := f.Err(); err != nil {
				return RevokedAnswer{}, err
			}
			list, err := g.RevokeSessions(ctx, callerOf(ctx).actor, req)
			return RevokedAnswer{Items: some(list)}, inBody(err)
		})
	registerRaw(s, "POST /v1/counters/clear", "clear-counters", "Empty counters of an address, an account, or all; lifts no block", http.StatusNoContent,
		func(ctx context.Context, in *body[ClearBody]) (*struct{}, error) {
			b := &in.Body
			var f warder.Faults
			checkText(&f, "body.account", b.Account, warder.MaxAccount, false)
			checkText(&f, "body.realm", b.Realm, warder.MaxRealm, false)
			req := guard.ClearRequest{
				IP: parseSource(&f, "body.ip", b.IP), Account: b.Account, Realm: b.Realm, RestartMetrics: b.RestartMetrics,
			}
			if err := f.Err(); err != nil {
				return nil, err
			}
			return nil, inBody(g.ClearCounters(ctx, callerOf(ctx).actor, req))
		})
}

// manageWhy registers explanations.
func (s *Server) manageWhy() {
	register(s, "GET /v1/explain", "explain", "Why a decision is what it is: of an event, an address or an account", 0,
		func(ctx context.Context, in *struct {
			Event   string `query:"event" maxLength:"128" doc:"Id of an event."`
			IP      string `query:"ip" maxLength:"64"`
			Account string `query:"account" maxLength:"256"`
			Realm   string `query:"realm" maxLength:"64"`
			Stem    string `query:"stem" maxLength:"64" doc:"What would be tried, such as USER_LOGIN."`
		},
		) (ExplainView, error) {
			q := guard.Query{Account: in.Account, Realm: in.Realm, Event: in.Stem}
			var out ExplainView
			switch {
			case in.Event != "" && (in.IP != "" || in.Account != ""):
				return out, warder.Fault{Location: "query.event", Message: "cannot stand beside ip or account"}
			case in.Event == "" && in.IP == "" && in.Account == "":
				return out, warder.Fault{Location: "query", Message: "must name an event, an ip or an account"}
			case in.Event != "":
				e, err := s.opts.Store.Event(ctx, in.Event)
				if err != nil {
					return out, err
				}
				q = guard.Query{
					IP: e.IP, Account: e.Account, Realm: e.Realm, Session: e.Session, Device: e.Device,
					UserAgent: e.UserAgent, Method: e.Method, Path: e.Path,
				}
				v := newEventView(e)
				out.Event = &v
			case in.IP != "":
				a, err := warder.ParseAddr(in.IP)
				if err != nil {
					return out, warder.Fault{Location: "query.ip", Message: printable(err.Error())}
				}
				q.IP = a
			}
			now := time.Now()
			why := s.opts.Guard.Explain(q)
			out.WhyView = newWhyView(&why, now)
			if out.Event != nil && out.Event.BlockID != "" {
				if b, err := s.opts.Store.Block(ctx, out.Event.BlockID); err == nil {
					v := newBlockView(b, now)
					out.Then = &v
				}
			}
			return out, nil
		})
}

// ExplainView is how a decision comes about now; for an event, also what was
// decided then.
type ExplainView struct {
	WhyView
	Event *EventView `json:"event,omitempty" doc:"The event with the decision that was taken on it."`
	Then  *BlockView `json:"block,omitempty" doc:"The block that decided on the event, with its evidence."`
}
