package alert

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	htmltemplate "html/template"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/warderhq/warder/internal/guard"
)

//go:embed mail.txt.tmpl mail.html.tmpl
var templates embed.FS

var (
	textMail = texttemplate.Must(texttemplate.New("mail.txt.tmpl").Funcs(texttemplate.FuncMap{"col": column}).ParseFS(templates, "mail.txt.tmpl"))
	htmlMail = htmltemplate.Must(htmltemplate.ParseFS(templates, "mail.html.tmpl"))
)

// What of one alert is listed.
const (
	maxAccounts  = 10
	maxEndpoints = 10
	maxEvidence  = 20
	maxText      = 2000
	maxField     = 80
)

// message is a mail that is ready to go.
type message struct {
	*gomail.Msg
	id   string    // Message-ID without brackets
	to   string    // bare address
	at   time.Time // of the first alert
	path string    // where it was written, if it was
}

// page is what the templates show.
type page struct {
	Title   string
	Count   int
	From    string // first and last alert of a digest
	Totals  []total
	Acts    []total
	Alerts  []detail
	Rows    []row // those that are not among Alerts
	More    int   // those that are in neither
	Missed  int
	Link    string
	PerHour int
}

type total struct {
	Words string
	N     int
}

// detail is one alert in full.
type detail struct {
	Title, Attack, Address, Account, Realm, Reference string
	Time, Clear                                       string
	Rule, Measure                                     string
	Done, Mistake, Text                               string
	Endpoints, Accounts                               []string
	MoreEndpoints, MoreAccounts                       int
	Evidence                                          []evidence
	MoreEvidence                                      int
	Link, Command                                     string
	Attacks                                           bool // not a word about Warder itself
}

type evidence struct{ Time, Name, Account, Endpoint, Reason string }

// compose writes the mail. seed makes its Message-ID: the same seed gives the
// same mail again.
func (s *Sender) compose(d *digest, to Recipient, from mail.Address, seed string) (*message, error) {
	p := s.page(d)
	var text, html bytes.Buffer
	if err := textMail.Execute(&text, p); err != nil {
		return nil, fmt.Errorf("write alert: %w", err)
	}
	if err := htmlMail.Execute(&html, p); err != nil {
		return nil, fmt.Errorf("write alert: %w", err)
	}
	m := newMessage(from, to, seed, subject(d), d.first)
	m.SetBodyString(gomail.TypeTextPlain, text.String())
	m.AddAlternativeString(gomail.TypeTextHTML, html.String())
	return m, nil
}

// newMessage is a mail without its text.
func newMessage(from mail.Address, to Recipient, seed, subject string, at time.Time) *message {
	sum := sha256.Sum256([]byte(seed))
	m := &message{
		Msg: gomail.NewMsg(gomail.WithNoDefaultUserAgent()), to: to.Address, at: at,
		id: hex.EncodeToString(sum[:16]) + from.Address[strings.LastIndexByte(from.Address, '@'):],
	}
	m.FromMailAddress(&from)
	m.ToMailAddress(&mail.Address{Name: phrase(to.Name), Address: to.Address})
	m.Subject(subject)
	m.SetDateWithValue(time.Now())
	m.SetMessageIDWithValue(m.id)
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	return m
}

// subject is made of fixed words, a checked address and a checked reference.
func subject(d *digest) string {
	if d.count == 1 && len(d.details) == 1 {
		a := d.details[0]
		if laneOf(a) == laneSystem || a.Kind == guard.AlertThreshold {
			return "[Warder] " + capital(attackOf(a))
		}
		s := "[Warder] " + capital(attackOf(a))
		if ip, ok := address(a); ok {
			s += " from " + ip.String()
		}
		s += ": " + doneOf(a).short
		if ref := reference(a); ref != "" {
			s += " (" + ref + ")"
		}
		return s
	}
	parts := []string{}
	for _, t := range totals(d.done) {
		parts = append(parts, fmt.Sprintf("%d %s", t.N, t.Words))
	}
	return fmt.Sprintf("[Warder] %d alerts: %s", d.count, strings.Join(parts, ", "))
}

func capital(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

// totals sorts counts, greatest first.
func totals(m map[string]int) []total {
	list := make([]total, 0, len(m))
	for w, n := range m {
		list = append(list, total{w, n})
	}
	slices.SortFunc(list, func(a, b total) int {
		if a.N != b.N {
			return b.N - a.N
		}
		return strings.Compare(a.Words, b.Words)
	})
	return list
}

func (s *Sender) page(d *digest) *page {
	p := &page{Count: d.count, Missed: d.missed, Link: s.opts.DashboardURL, PerHour: perHour}
	for _, a := range d.details {
		p.Alerts = append(p.Alerts, s.detail(a))
	}
	if d.count == 1 && len(p.Alerts) == 1 {
		p.Title = p.Alerts[0].Title
		return p
	}
	p.Title = fmt.Sprintf("%d alerts", d.count)
	p.From = fmt.Sprintf("%s to %s UTC", d.first.UTC().Format(time.DateTime), d.last.UTC().Format(time.DateTime))
	p.Totals, p.Acts = totals(d.attacks), totals(d.done)
	p.Rows = d.rows[min(len(p.Alerts), len(d.rows)):]
	p.More = d.count - max(len(d.rows), len(p.Alerts))
	return p
}

func (s *Sender) detail(a *guard.Alert) detail {
	act := doneOf(a)
	v := detail{
		Attack: attackOf(a), Reference: reference(a), Time: a.Time.UTC().Format("2006-01-02 15:04:05 UTC"), Clear: longTime(a.Time),
		Account: tame(a.Account, maxField), Realm: tame(a.Realm, maxField), Rule: tame(a.Rule, maxField),
		Done: act.long, Text: tame(a.Text, maxText), Attacks: a.Kind == guard.AlertCrossing || a.Kind == "",
	}
	v.Title = capital(v.Attack)
	ip, hasIP := address(a)
	if hasIP {
		v.Address = ip.String()
		if v.Attacks {
			v.Title += " from " + v.Address
		}
	}
	if !v.Attacks {
		v.Link = s.opts.DashboardURL
		return v
	}
	v.Mistake = mistake(a)
	if a.Count > 0 && a.Window > 0 {
		v.Measure = fmt.Sprintf("%d within %s", a.Count, guard.Span(time.Duration(a.Window)*time.Second))
	}
	if s.opts.DashboardURL != "" {
		v.Link = s.opts.DashboardURL
		if v.Reference != "" {
			v.Link += "/references/" + url.PathEscape(v.Reference)
		}
	}
	if b := a.Block; b != nil && b.Subject.IP.IsValid() && b.Subject.Account == "" {
		target := b.Subject.IP.String()
		if b.Subject.IP.IsSingleIP() {
			target = b.Subject.IP.Addr().String()
		}
		v.Command = "warder unblock --verdict error " + target
	}
	list := a.Evidence
	if len(list) == 0 && a.Block != nil {
		list = a.Block.Evidence
	}
	v.evidence(list)
	return v
}

// evidence lists the events that led to an alert, and what they were aimed at.
func (v *detail) evidence(list []guard.Evidence) {
	accounts, endpoints := newCollection(maxAccounts), newCollection(maxEndpoints)
	for i := range list {
		e := &list[i]
		endpoint := strings.TrimSpace(tame(e.Method, 16) + " " + tame(e.Path, maxField))
		account := tame(e.Account, maxField)
		accounts.add(account)
		endpoints.add(endpoint)
		if i < maxEvidence {
			v.Evidence = append(v.Evidence, evidence{
				Time: e.Time.UTC().Format(time.DateTime), Name: tame(e.Name, maxField),
				Account: account, Endpoint: endpoint, Reason: tame(e.Reason, maxField),
			})
		}
	}
	v.Accounts, v.MoreAccounts = accounts.list, accounts.more()
	v.Endpoints, v.MoreEndpoints = endpoints.list, endpoints.more()
	v.MoreEvidence = len(list) - len(v.Evidence)
}

// collection keeps the first different texts and counts the others.
type collection struct {
	list []string
	seen map[string]bool
	most int
}

func newCollection(most int) *collection { return &collection{seen: map[string]bool{}, most: most} }

func (c *collection) add(s string) {
	if s == "" || c.seen[s] {
		return
	}
	c.seen[s] = true
	if len(c.list) < c.most {
		c.list = append(c.list, s)
	}
}

func (c *collection) more() int { return len(c.seen) - len(c.list) }

// column pads a text to a width, for the table of the plain text.
func column(width int, s string) string {
	if s == "" {
		s = "-"
	}
	if n := len([]rune(s)); n < width {
		s += strings.Repeat(" ", width-n)
	}
	return s
}

// phrase makes a text safe as the name of a recipient in a header: quotes and
// backslashes, which the syntax of addresses gives a meaning to, become
// apostrophes and slashes.
func phrase(s string) string {
	return strings.TrimSpace(strings.NewReplacer(`"`, "'", `\`, "/").Replace(tame(s, maxField)))
}
