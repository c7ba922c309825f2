package alert

import (
	"math/rand/v2"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Throttle: the first mail at once, the second after digestFirst, then one per
// digestThen; an hour without alerts begins anew. Never more than perHour.
const (
	digestFirst = 5 * time.Minute
	digestThen  = time.Hour
	perHour     = 10
)

// Lanes are throttled apart, so that a flood of attacks does not delay the word
// that Warder itself needs attention.
const (
	laneAttack = "attack"
	laneSystem = "system"
	laneMinor  = "minor" // what an operator asked to be told of besides
)

var lanes = []string{laneAttack, laneSystem, laneMinor}

func laneOf(a *guard.Alert) string {
	switch {
	case a.Kind == guard.AlertThreshold:
		return laneMinor
	case a.Kind != guard.AlertCrossing && a.Kind != "":
		return laneSystem
	case a.Severity < warder.Critical:
		return laneMinor
	}
	return laneAttack
}

// ownState is what the sender keeps for itself: the highest alert it has seen,
// in all and by lane.
type ownState struct {
	Head   int64            `json:"head"`
	Latest map[string]int64 `json:"latest"`
}

// mailbox is what the sender keeps per recipient.
type mailbox struct {
	Lanes map[string]*lane `json:"lanes"`
	Sent  []time.Time      `json:"sent,omitempty"` // mails of the last hour, at most perHour
	dirty bool             // not saved yet
}

// lane is one queue of one recipient.
type lane struct {
	After   int64     `json:"after"`          // alerts up to here are delivered
	Since   time.Time `json:"since,omitzero"` // when something was first found waiting
	Last    time.Time `json:"last,omitzero"`
	Step    int       `json:"step,omitempty"`   // mails of this burst: 0, 1, 2 or more
	Missed  int       `json:"missed,omitempty"` // alerts that were given up, to be told of
	Sending *sending  `json:"sending,omitempty"`
}

// sending is a mail under way. It is saved before the first try, so that a
// repeat after a crash holds the same alerts under the same Message-ID.
type sending struct {
	To    int64     `json:"to"`
	Since time.Time `json:"since"`
	Count int       `json:"count,omitempty"` // alerts in it
	Tries int       `json:"tries,omitempty"` // refused so often
	Next  time.Time `json:"next,omitzero"`
}

func newMailbox(after int64) *mailbox {
	b := &mailbox{Lanes: map[string]*lane{}, dirty: true}
	for _, name := range lanes {
		b.Lanes[name] = &lane{After: after}
	}
	return b
}

// due is when a lane's next mail may leave, given that it has alerts waiting.
// In files nobody is disturbed, so only the hourly limit holds there.
func (b *mailbox) due(l *lane, name string, r Recipient, files bool, now time.Time) time.Time {
	b.forget(now)
	at := time.Time{}
	prefs := r.prefs()
	free := files || r.Always && name != laneMinor
	if l.Since.IsZero() {
		l.Since, b.dirty = now, true
	}
	switch {
	case !free && prefs.Digest == Hourly:
		at = l.Since.Truncate(time.Hour).Add(time.Hour)
	case !free && prefs.Digest == Daily:
		at = morning(l.Since, prefs.Quiet)
	case files || l.Step == 0:
	case l.Step == 1:
		at = l.Last.Add(digestFirst)
	default:
		at = l.Last.Add(digestThen)
	}
	if n := len(b.Sent); n >= perHour {
		if free := b.Sent[n-perHour].Add(time.Hour); free.After(at) {
			at = free
		}
	}
	if l.Sending != nil && l.Sending.Next.After(at) {
		at = l.Sending.Next
	}
	if !free {
		at = prefs.Quiet.ends(later(at, now))
	}
	return at
}

// digestHour is when daily mails leave.
const digestHour = 8

// morning is the next time for a daily mail, in the zone of the quiet hours.
func morning(t time.Time, q *Quiet) time.Time {
	zone := time.UTC
	if q != nil {
		if z, err := time.LoadLocation(q.TimeZone); err == nil {
			zone = z
		}
	}
	y, m, d := t.In(zone).Date()
	if at := time.Date(y, m, d, digestHour, 0, 0, 0, zone); at.After(t) {
		return at
	}
	return time.Date(y, m, d+1, digestHour, 0, 0, 0, zone)
}

// forget drops what is older than an hour, and moves times that a wrong clock
// put into the future.
func (b *mailbox) forget(now time.Time) {
	keep := b.Sent[:0]
	for _, t := range b.Sent {
		if t.After(now) {
			t = now
		}
		if now.Sub(t) < time.Hour {
			keep = append(keep, t)
		}
	}
	b.Sent = keep
	for _, l := range b.Lanes {
		if l.Last.After(now) {
			l.Last = now
		}
		if l.Since.After(now) {
			l.Since = now
		}
		if l.Sending != nil && l.Sending.Next.After(now.Add(2*retryMost)) {
			l.Sending.Next = now
		}
	}
}

// delivered moves a lane on after a mail; first is the time of its first alert.
func (b *mailbox) delivered(l *lane, first, now time.Time) {
	if l.Step == 0 || first.After(l.Last.Add(digestThen)) {
		l.Step = 1
	} else {
		l.Step = 2
	}
	l.After, l.Sending, l.Missed, l.Last, l.Since = l.Sending.To, nil, 0, now, time.Time{}
	b.Sent = append(b.Sent, now)
	b.dirty = true
}

// Retries: a dead server is asked again soon, a mail that it refuses later.
const (
	outageFrom = 5 * time.Second
	outageMost = 5 * time.Minute
	retryFrom  = 30 * time.Second
	retryMost  = time.Hour
	// A mail that the server refused for good all the time is given up.
	giveUpAfter = 24 * time.Hour
)

func backoff(from, most time.Duration, tries int) time.Duration {
	d := min(from<<min(max(tries-1, 0), 20), most)
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d))
}

// outage is a mail server that cannot be reached.
type outage struct {
	tries int
	next  time.Time
}
