package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/outbound"
	"github.com/warderhq/warder/internal/store"
)

// live is what settings change while the instance runs. Before the parts exist
// it only keeps the values that they are made with.
type live struct {
	proxies resolver // whom to believe by address
	keyed   resolver // whom to believe behind a proxy that sends an API key
	values  atomic.Pointer[api.Values]
	choices chan struct{} // operators chose anew what they are told of

	base      []netip.Prefix // self-protected besides the proxies
	publicURL string         // that the engine was made with
	outbound  *outbound.Client
}

// resolver finds clients by the settings in force.
type resolver struct {
	now atomic.Pointer[clientip.Resolver]
}

// Client implements gate.Clients.
func (r *resolver) Client(remote string, h http.Header) clientip.Client {
	return r.now.Load().Client(remote, h)
}

// Trusts implements gate.Clients.
func (r *resolver) Trusts(a netip.Addr) bool { return r.now.Load().Trusts(a) }

// Header implements gate.Clients.
func (r *resolver) Header() string { return r.now.Load().Header() }

// settingsOf are the values that the configuration gives, and the names of
// those that it sets itself and that are therefore read-only.
func settingsOf(cfg *config.Config) (v api.Values, readOnly []string) {
	v = api.DefaultValues()
	v.SMTP = api.SMTPValues{
		Host: cfg.SMTP.Host, Port: cfg.SMTP.Port, TLS: cfg.SMTP.TLS, User: cfg.SMTP.User, Password: cfg.SMTP.Password, From: cfg.SMTP.From,
	}
	for _, p := range cfg.TrustedProxies {
		v.TrustedProxies = append(v.TrustedProxies, p.String())
	}
	v.ClientIPHeader, v.PublicURL = cfg.ClientIPHeader, cfg.PublicURL
	v.Retention = api.RetentionValues{EventsDays: cfg.Retention.EventsDays, MaxSize: cfg.Retention.MaxSize}
	v.Recipients = slices.Clone(cfg.SMTP.To)
	for _, name := range cfg.Set {
		switch {
		case name == "smtp.to":
			readOnly = append(readOnly, "recipients")
		case strings.HasPrefix(name, "smtp.") || strings.HasPrefix(name, "retention."),
			name == "trusted_proxies", name == "client_ip_header", name == "public_url":
			readOnly = append(readOnly, name)
		}
	}
	// A mail server is one thing: whoever sets its host rules all of it.
	if slices.Contains(readOnly, "smtp.host") {
		readOnly = append(readOnly, "smtp.port", "smtp.tls", "smtp.user", "smtp.password", "smtp.from")
	}
	slices.Sort(readOnly)
	return v, slices.Compact(readOnly)
}

// proxiesOf reads the trusted proxies, which were checked when they were set.
func proxiesOf(v *api.Values) (list []netip.Prefix) {
	for _, text := range v.TrustedProxies {
		if p, err := netip.ParsePrefix(text); err == nil {
			list = append(list, p)
		} else if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		}
	}
	return list
}

// apply puts settings in force. What can fail comes first, so that an error
// leaves everything as it was.
func (a *App) apply(v api.Values) (restart []string, err error) {
	proxies, err := clientip.New(clientip.Options{Trusted: proxiesOf(&v), Header: v.ClientIPHeader})
	if err != nil {
		return nil, err
	}
	keyed, err := clientip.New(clientip.Options{Trusted: proxiesOf(&v), Header: v.ClientIPHeader, TrustUnix: true})
	if err != nil {
		return nil, err
	}
	old := a.live.values.Load()
	if a.sender != nil && old.SMTP != v.SMTP {
		if err := a.sender.SetSMTP(smtpOf(&v)); err != nil {
			return nil, warder.Fault{Location: "body.smtp", Message: strings.TrimPrefix(err.Error(), "alert: ")}
		}
	}
	a.live.proxies.now.Store(proxies)
	a.live.keyed.now.Store(keyed)
	a.live.values.Store(&v)
	if a.live.outbound != nil {
		a.live.outbound.Allow(hosts(v.SMTP.Host), proxiesOf(&v))
	}
	if a.people != nil {
		a.people.LimitSessions(time.Duration(v.Session.Idle)*time.Second, time.Duration(v.Session.Absolute)*time.Second)
	}
	if a.guard == nil {
		return nil, nil
	}
	before := slices.DeleteFunc(proxiesOf(old), func(p netip.Prefix) bool { return slices.Contains(a.live.base, p) })
	a.guard.ProtectAlso(before, proxiesOf(&v))
	if v.PublicURL != a.live.publicURL {
		restart = append(restart, "public_url")
	}
	return restart, nil
}

// poke wakes whoever waits for a channel.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func smtpOf(v *api.Values) alert.SMTP {
	m := v.SMTP
	return alert.SMTP{Host: m.Host, Port: m.Port, TLS: m.TLS, User: m.User, Password: m.Password, From: m.From}
}

// retention is what may be deleted now. A change acts at the next round, within
// the hour: what is deleted does not come back, and a slip of the hand should.
func (l *live) retention() store.Retention {
	v := l.values.Load()
	return store.Retention{EventsDays: v.Retention.EventsDays, MaxSize: v.Retention.MaxSize}
}

// callers finds the address of whoever calls the API, past trusted proxies.
func (a *App) callers() func(*http.Request) netip.Addr {
	return func(r *http.Request) netip.Addr {
		c := a.live.proxies.Client(r.RemoteAddr, r.Header)
		if c.UntrustedForwarder && c.Peer.IsValid() {
			a.guard.NoteUntrustedForwarder(c.Peer)
		}
		return c.Addr
	}
}

// mailed is everybody who gets alerts: the operators by their own choice, and
// the configured addresses, which get what is critical.
func (a *App) mailed(people *operator.People) func(context.Context) ([]alert.Recipient, error) {
	return func(ctx context.Context) ([]alert.Recipient, error) {
		team, err := api.Team(ctx, people, a.db)
		if err != nil {
			return nil, err
		}
		list := alert.Assign(team)
		for _, address := range a.live.values.Load().Recipients {
			list = append(list, alert.Recipient{Address: address})
		}
		return list, nil
	}
}

// deliver keeps what became of a mail.
func (a *App) deliver(ctx context.Context, d alert.Delivery) error {
	return a.db.SaveDelivery(ctx, store.Delivery{
		ID: d.ID, First: d.Time, Time: d.Time, To: d.To, Subject: d.Subject, Kind: d.Kind, Alerts: d.Alerts, State: d.State,
		Attempts: 1, Answer: d.Answer,
	})
}

// watchThresholds counts for the operators' own thresholds.
func (a *App) watchThresholds(ctx context.Context) error {
	records, cancel := a.guard.Subscribe()
	defer cancel()
	w := alert.NewWatch(alert.WatchOptions{
		Records: records,
		Team:    func(ctx context.Context) ([]alert.Person, error) { return api.Team(ctx, a.people, a.db) },
		Add:     a.addAlert,
		Changed: a.live.choices,
		OnTeam:  func(team []alert.Person) { a.guard.AlertOn(alert.Severities(team)) },
		Logger:  a.log.With("part", "alert"),
	})
	return w.Run(ctx)
}

func (a *App) addAlert(ctx context.Context, n *guard.Alert) error {
	if err := a.db.AddAlert(ctx, n); err != nil {
		return err
	}
	a.sender.Notify()
	return nil
}

// mailer is the sender as the API sees it: it learns at once of a new choice.
type mailer struct {
	*alert.Sender
	choices chan struct{}
}

// Notify tells that somebody chose anew what to be told of.
func (m mailer) Notify() {
	poke(m.choices)
	m.Sender.Notify()
}

// How often it is noted what holds, at most and at least.
const (
	conditionsEvery = 5 * time.Second
	runningEvery    = time.Minute
)

// noteConditions keeps when the instance ran, and when it worked with less than
// it should, for the report. A time that it was down shows as a gap.
func (a *App) noteConditions(ctx context.Context) error {
	tick := time.NewTicker(conditionsEvery)
	defer tick.Stop()
	begun := true
	var last string
	var noted time.Time
	for {
		holds := map[string]string{store.Running: ""}
		var reasons []string
		for _, d := range a.guard.Degraded() {
			holds[d.Reason] = d.Detail
			reasons = append(reasons, d.Reason)
		}
		key := strings.Join(reasons, "\n")
		if now := time.Now(); begun || key != last || now.Sub(noted) >= runningEvery {
			if err := a.db.Conditions(ctx, now, holds, begun); err == nil {
				begun, last, noted = false, key, now
			} else if ctx.Err() == nil && !errors.Is(err, store.ErrLocked) {
				a.log.WarnContext(ctx, "what is degraded is not noted", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			a.leave(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
		}
	}
}

// leave notes when the instance stopped, if that is possible quickly.
func (a *App) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := a.db.Conditions(ctx, time.Now(), nil, false); err != nil {
		a.log.Debug("the end is not noted", "error", fmt.Sprint(err))
	}
}
