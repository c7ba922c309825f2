package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Ways to gather alerts into mails.
const (
	AtOnce = "at_once" // the first at once, what follows in digests
	Hourly = "hourly"  // one mail an hour
	Daily  = "daily"   // one mail a day
)

// Bounds of what one operator can choose.
const (
	maxChosen     = 64
	maxThresholds = 20
	maxCount      = 1_000_000
	maxSeconds    = 7 * 86400
)

// critical is the severity that everybody who is mailed is told of.
var critical = warder.Critical.String()

// Preferences are what one operator wants to be told of. Empty lists mean
// everything.
type Preferences struct {
	Mail       bool        `json:"mail" doc:"false: no mail at all."`
	Severities []string    `json:"severities" maxItems:"4" enum:"info,warning,high,critical" doc:"Of the rule that was crossed. Empty: critical."`
	Rules      []string    `json:"rules" maxItems:"64" doc:"Only alerts of these rules. Empty: of all."`
	Realms     []string    `json:"realms" maxItems:"64" doc:"Only alerts about these realms. Empty: about all."`
	Thresholds []Threshold `json:"thresholds" maxItems:"20" doc:"Own thresholds: a mail when something happens so often, wherever it comes from."`
	Digest     string      `json:"digest" enum:"at_once,hourly,daily"`
	Quiet      *Quiet      `json:"quiet,omitempty" doc:"No mail in these hours; it is sent when they end."`
}

// Threshold asks for a mail when an event, or crossings of a rule, are so many
// in so many seconds.
type Threshold struct {
	Event   string `json:"event,omitempty" maxLength:"64" doc:"Name of an event; or rule."`
	Rule    string `json:"rule,omitempty" maxLength:"64" doc:"A rule of the policy; or event."`
	Count   int    `json:"count" minimum:"1" maximum:"1000000"`
	Seconds int64  `json:"seconds" minimum:"60" maximum:"604800"`
}

// Quiet are hours without mail, every day, in a time zone. They may span
// midnight.
type Quiet struct {
	From     string `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" example:"22:00"`
	To       string `json:"to" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" example:"06:00"`
	TimeZone string `json:"time_zone" maxLength:"64" example:"Europe/Berlin"`
}

// Defaults are the preferences of somebody who chose nothing: critical alerts
// at once for those whom alerts are mailed to, nothing for others.
func Defaults(mailed bool) Preferences {
	return Preferences{
		Mail: mailed, Severities: []string{critical}, Rules: []string{}, Realms: []string{},
		Thresholds: []Threshold{}, Digest: AtOnce,
	}
}

// Check returns every fault as warder.Faults, and fills in what was left out.
func (p *Preferences) Check() error {
	var f warder.Faults
	if p.Digest == "" {
		p.Digest = AtOnce
	}
	if !slices.Contains([]string{AtOnce, Hourly, Daily}, p.Digest) {
		f.Add("digest", "must be at_once, hourly or daily")
	}
	if len(p.Severities) == 0 {
		p.Severities = []string{critical}
	}
	slices.Sort(p.Severities)
	p.Severities = slices.Compact(p.Severities)
	for _, text := range p.Severities {
		var s warder.Severity
		if s.UnmarshalText([]byte(text)) != nil {
			f.Add("severities", "must be of info, warning, high, critical")
		}
	}
	p.Rules = tidy(&f, "rules", p.Rules)
	p.Realms = tidy(&f, "realms", p.Realms)
	if p.Thresholds == nil {
		p.Thresholds = []Threshold{}
	}
	if len(p.Thresholds) > maxThresholds {
		f.Add("thresholds", "must be at most %d", maxThresholds)
	}
	for i, t := range p.Thresholds {
		at := fmt.Sprintf("thresholds[%d]", i)
		switch {
		case (t.Event == "") == (t.Rule == ""):
			f.Add(at, "must name an event or a rule")
		case t.Event != "" && !warder.ValidName(t.Event):
			f.Add(at+".event", "must be a name such as USER_LOGIN_FAILURE")
		case len(t.Rule) > 64 || strings.ContainsFunc(t.Rule, unprintable):
			f.Add(at+".rule", "must be the id of a rule")
		}
		if t.Count < 1 || t.Count > maxCount {
			f.Add(at+".count", "must be from 1 to %d", maxCount)
		}
		if t.Seconds < 60 || t.Seconds > maxSeconds {
			f.Add(at+".seconds", "must be from 60 to %d", maxSeconds)
		}
	}
	if p.Quiet != nil {
		p.Quiet.check(&f)
	}
	return f.Err()
}

func tidy(f *warder.Faults, location string, list []string) []string {
	if list == nil {
		return []string{}
	}
	if len(list) > maxChosen {
		f.Add(location, "must be at most %d", maxChosen)
	}
	for i, s := range list {
		if s == "" || len(s) > 64 || strings.ContainsFunc(s, unprintable) {
			f.Add(fmt.Sprintf("%s[%d]", location, i), "must be 1 to 64 bytes of plain text")
		}
	}
	return list
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }

func (q *Quiet) check(f *warder.Faults) {
	from, err := clock(q.From)
	if err != nil {
		f.Add("quiet.from", "must be a time such as 22:00")
	}
	to, err2 := clock(q.To)
	if err2 != nil {
		f.Add("quiet.to", "must be a time such as 06:00")
	}
	if err == nil && err2 == nil && from == to {
		f.Add("quiet.to", "must differ from quiet.from; to get no mail at all, switch mail off")
	}
	if q.TimeZone == "" {
		q.TimeZone = "UTC"
	}
	if _, err := time.LoadLocation(q.TimeZone); err != nil || q.TimeZone == "Local" {
		f.Add("quiet.time_zone", "must be the name of a time zone, such as Europe/Berlin")
	}
}

// clock reads a time of day in minutes.
func clock(s string) (int, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != 5 {
		return 0, fmt.Errorf("%q is no time of day", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// ends is when the quiet hours that now lies in are over; now itself if it lies
// in none.
func (q *Quiet) ends(now time.Time) time.Time {
	if q == nil {
		return now
	}
	zone, err := time.LoadLocation(q.TimeZone)
	from, err1 := clock(q.From)
	to, err2 := clock(q.To)
	if err != nil || err1 != nil || err2 != nil || from == to {
		return now
	}
	local := now.In(zone)
	y, m, d := local.Date()
	minute := local.Hour()*60 + local.Minute()
	at := func(day int) time.Time { return time.Date(y, m, day, to/60, to%60, 0, 0, zone) }
	switch {
	case from < to && minute >= from && minute < to:
		return at(d)
	case from > to && minute >= from:
		return at(d + 1)
	case from > to && minute < to:
		return at(d)
	}
	return now
}

// wants reports whether an alert is one that the recipient asked for.
func (r *Recipient) wants(a *guard.Alert) bool {
	if a.For != "" {
		return strings.EqualFold(a.For, r.Address) && r.prefs().Mail
	}
	if r.Always && a.Severity == warder.Critical {
		return true
	}
	p := r.prefs()
	if !p.Mail || !slices.Contains(p.Severities, a.Severity.String()) {
		return false
	}
	if laneOf(a) == laneSystem { // what Warder itself needs is of no rule and no realm
		return true
	}
	if len(p.Rules) > 0 && !slices.Contains(p.Rules, a.Rule) {
		return false
	}
	return len(p.Realms) == 0 || slices.Contains(p.Realms, a.Realm)
}

// filter names what wants goes by: recipients with the same get the same mails.
func (r *Recipient) filter() string {
	p := r.prefs()
	own := ""
	if len(p.Thresholds) > 0 || !p.Mail {
		own = strings.ToLower(r.Address)
	}
	return fmt.Sprintf("%t %t %v %q %q %s", r.Always, p.Mail, p.Severities, p.Rules, p.Realms, own)
}

// prefs are those chosen, or the defaults.
func (r *Recipient) prefs() *Preferences {
	if r.Prefs == nil {
		return &defaults
	}
	return r.Prefs
}

var defaults = Defaults(true)

// Person is an operator who may get mail.
type Person struct {
	Email  string
	Owner  bool
	Mailed bool // by default: owners and admins
	// Prefs are what they chose; nil: nothing.
	Prefs *Preferences
}

// Assign makes recipients of the active operators, oldest first, and sees to it
// that one owner always gets critical alerts at once: if no owner would get
// all of them so, the first does, whatever they chose.
func Assign(people []Person) []Recipient {
	var out []Recipient
	keeper, guarded := -1, false
	for _, who := range people {
		p := Defaults(who.Mailed)
		if who.Prefs != nil {
			p = *who.Prefs
		}
		if who.Owner {
			if keeper < 0 {
				keeper = len(out)
			}
			guarded = guarded || p.complete()
		}
		out = append(out, Recipient{Address: who.Email, Prefs: &p})
	}
	if keeper >= 0 && !guarded {
		out[keeper].Always = true
	}
	return slices.DeleteFunc(out, func(r Recipient) bool { return !r.Always && !r.Prefs.Mail })
}

// complete reports whether every critical alert leaves at once.
func (p *Preferences) complete() bool {
	return p.Mail && slices.Contains(p.Severities, critical) && len(p.Rules) == 0 && len(p.Realms) == 0 &&
		p.Digest == AtOnce && p.Quiet == nil
}

// Overrides tells an operator in words what they get in spite of their choice.
func Overrides(people []Person, email string) []string {
	for _, r := range Assign(people) {
		if strings.EqualFold(r.Address, email) && r.Always {
			return []string{"Critical alerts are mailed to you at once, whatever is chosen here: one owner must always get them, and no other owner does."}
		}
	}
	return nil
}
