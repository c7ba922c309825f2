package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
)

// NotificationsView is what an operator wants to be told of, and what
// overrides it.
type NotificationsView struct {
	alert.Preferences
	// Default says that nothing was chosen yet.
	Default   bool     `json:"default" doc:"Nothing was chosen yet: these are the defaults of the role."`
	Overrides []string `json:"overrides" doc:"In words: what is sent in spite of the choice, such as critical alerts to the one owner who must get them."`
}

// RecipientsView are addresses that get every alert besides the operators.
type RecipientsView struct {
	To       []string `json:"to"`
	ReadOnly []string `json:"read_only" doc:"Those that the configuration names."`
	Also     []string `json:"operators" doc:"Operators who get mail by their own choice."`
}

// RecipientsBody replaces the addresses.
type RecipientsBody struct {
	To []string `json:"to" maxItems:"100"`
}

// DeliveryView is one mail and what became of it.
type DeliveryView struct {
	ID       string    `json:"id"`
	Time     time.Time `json:"time" doc:"Of the latest try."`
	First    time.Time `json:"first_tried"`
	To       string    `json:"to"`
	Subject  string    `json:"subject"`
	Kind     string    `json:"kind" enum:"alert,digest,system,test,invitation,reset"`
	Alerts   int       `json:"alerts" doc:"How many alerts it tells of."`
	State    string    `json:"state" enum:"sent,deferred,failed,file"`
	Attempts int       `json:"attempts"`
	Answer   string    `json:"answer" doc:"The mail server's own words, or the file."`
}

func newDeliveryView(d *store.Delivery) DeliveryView {
	return DeliveryView{
		ID: d.ID, Time: d.Time.UTC(), First: d.First.UTC(), To: d.To, Subject: d.Subject, Kind: d.Kind, Alerts: d.Alerts,
		State: d.State, Attempts: d.Attempts, Answer: d.Answer,
	}
}

var errNobody = newProblem(http.StatusForbidden, "Only an operator who is signed in has notifications; an API key and the command line have none.")

func (s *Server) manageNotifications() {
	db := s.opts.Store
	show := func(ctx context.Context) (NotificationsView, error) {
		email := callerOf(ctx).person()
		if email == "" {
			return NotificationsView{}, errNobody
		}
		team, err := Team(ctx, s.opts.People, db)
		if err != nil {
			return NotificationsView{}, err
		}
		p, chosen := preferencesOf(team, email)
		return NotificationsView{Preferences: p, Default: !chosen, Overrides: some(alert.Overrides(team, email))}, nil
	}
	register(s, "GET /v1/me/notifications", "get-notifications", "What one wants to be told of by mail", 0,
		func(ctx context.Context, _ *struct{}) (NotificationsView, error) { return show(ctx) })
	register(s, "PUT /v1/me/notifications", "put-notifications", "Choose what one is told of by mail", 0,
		func(ctx context.Context, in *body[alert.Preferences]) (NotificationsView, error) {
			c := callerOf(ctx)
			email := c.person()
			if email == "" {
				return NotificationsView{}, errNobody
			}
			p := in.Body
			if err := p.Check(); err != nil {
				return NotificationsView{}, inBody(err)
			}
			a := c.actor
			if err := db.PutPreferences(ctx, email, mustJSON(p), audited(a, time.Now(), "notifications.change", email, p)); err != nil {
				return NotificationsView{}, err
			}
			s.changedRecipients()
			return show(ctx)
		})
	register(s, "GET /v1/notifications/deliveries", "list-deliveries", "Mails and what became of them, latest first", 0,
		func(ctx context.Context, in *struct {
			From      time.Time `query:"from"`
			To        time.Time `query:"to"`
			Recipient string    `query:"recipient" maxLength:"254"`
			State     string    `query:"state" enum:"sent,deferred,failed,file"`
			Paging
		},
		) (Items[DeliveryView], error) {
			var f warder.Faults
			checkSpan(&f, "query", in.From, in.To)
			if err := f.Err(); err != nil {
				return Items[DeliveryView]{}, err
			}
			list, err := db.ListDeliveries(ctx, store.DeliveryFilter{From: in.From, To: in.To, Recipient: in.Recipient, State: in.State}, in.page())
			return Items[DeliveryView]{Items: views(list.Items, newDeliveryView), Next: list.Next}, err
		})
	register(s, "GET /v1/notifications/recipients", "get-recipients", "Addresses that get every alert besides the operators", 0,
		func(ctx context.Context, _ *struct{}) (RecipientsView, error) { return s.recipients(ctx) })
	register(s, "PUT /v1/notifications/recipients", "put-recipients", "Replace the addresses that get every alert besides the operators", 0,
		func(ctx context.Context, in *body[RecipientsBody]) (RecipientsView, error) {
			to, err := checkRecipients(in.Body.To)
			if err != nil {
				return RecipientsView{}, err
			}
			if err := s.settings.setRecipients(ctx, callerOf(ctx).actor, to); err != nil {
				return RecipientsView{}, err
			}
			s.changedRecipients()
			return s.recipients(ctx)
		})
}

// checkRecipients folds addresses and drops doubles.
func checkRecipients(list []string) ([]string, error) {
	var f warder.Faults
	out := []string{}
	seen := map[string]bool{}
	if len(list) > 100 {
		f.Add("body.to", "must name at most 100 recipients")
		return nil, f.Err()
	}
	for i, address := range list {
		folded, err := operator.FoldEmail(address)
		if err != nil {
			f.Add(fmt.Sprintf("body.to[%d]", i), "%s", printable(err.Error()))
			continue
		}
		if !seen[folded] {
			seen[folded] = true
			out = append(out, folded)
		}
	}
	return out, f.Err()
}

// Team returns the active operators, oldest first, with what they chose to be
// told of by mail.
func Team(ctx context.Context, people *operator.People, db *store.DB) ([]alert.Person, error) {
	if people == nil {
		return nil, nil
	}
	list, err := people.List(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := db.Preferences(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var out []alert.Person
	for i := range list {
		o := &list[i]
		if !o.Active(now) {
			continue
		}
		who := alert.Person{Email: o.Email, Owner: o.Role == operator.Owner, Mailed: o.Alerted(now)}
		if text, ok := chosen[o.Email]; ok {
			var p alert.Preferences
			// What cannot be read must not keep anybody from getting alerts.
			if json.Unmarshal(text, &p) == nil && p.Check() == nil {
				who.Prefs = &p
			}
		}
		out = append(out, who)
	}
	return out, nil
}

func preferencesOf(team []alert.Person, email string) (p alert.Preferences, chosen bool) {
	for _, who := range team {
		if who.Email != email {
			continue
		}
		if who.Prefs != nil {
			return *who.Prefs, true
		}
		return alert.Defaults(who.Mailed), false
	}
	return alert.Defaults(false), false
}

func (s *Server) recipients(ctx context.Context) (RecipientsView, error) {
	out := RecipientsView{To: []string{}, ReadOnly: []string{}, Also: []string{}}
	team, err := Team(ctx, s.opts.People, s.opts.Store)
	if err != nil {
		return out, err
	}
	for _, r := range alert.Assign(team) {
		out.Also = append(out.Also, r.Address)
	}
	to := s.settings.Current().Recipients
	if s.settings.readOnly("recipients") {
		out.ReadOnly = append(out.ReadOnly, to...)
	} else {
		out.To = append(out.To, to...)
	}
	return out, nil
}

// changedRecipients tells the sender of mails that somebody chose anew.
func (s *Server) changedRecipients() {
	if n, ok := s.opts.Alerts.(interface{ Notify() }); ok {
		n.Notify()
	}
}
