package alert

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Watch counts what is committed for the operators' own thresholds. It promises
// that a threshold makes one alert each time it is reached anew, and at most
// one for as long as its window lasts. It does not survive a restart: it counts
// anew from there.
type Watch struct {
	opts WatchOptions
	rows []*watched
}

// WatchOptions are what a Watch is made of.
type WatchOptions struct {
	Records <-chan *guard.Record
	// Team are the operators and what they chose.
	Team func(context.Context) ([]Person, error)
	// Add puts an alert into the outbox.
	Add func(context.Context, *guard.Alert) error
	// Changed tells that choices were made anew; may be nil.
	Changed <-chan struct{}
	// OnTeam is told of every team that was read; may be nil.
	OnTeam func([]Person)
	Logger *slog.Logger
}

// watchSlots cut the window of a threshold: the count is exact to a sixtieth of
// it, and takes the same memory however much happens.
const watchSlots = 60

// watched is one threshold of one operator, as it is counted.
type watched struct {
	who   string
	want  Threshold
	realm []string // empty: all
	slots [watchSlots + 1]int
	first int64 // number of the oldest slot
	quiet time.Time
}

// teamEvery is how old the choices may be at most.
const teamEvery = 30 * time.Second

// NewWatch makes a Watch.
func NewWatch(o WatchOptions) *Watch {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watch{opts: o}
}

// Run counts until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(teamEvery)
	defer tick.Stop()
	w.refresh(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.refresh(ctx)
		case <-w.opts.Changed:
			w.refresh(ctx)
		case rec, ok := <-w.opts.Records:
			if !ok {
				return nil
			}
			for _, a := range w.count(rec, time.Now()) {
				if err := w.opts.Add(ctx, a); err != nil && ctx.Err() == nil {
					w.opts.Logger.Warn("own threshold not told", "recipient", a.For, "error", err)
				}
			}
		}
	}
}

// refresh reads the choices; what was counted for those that stay is kept.
func (w *Watch) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	team, err := w.opts.Team(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.opts.Logger.Warn("choices of operators not read, those of before are used", "error", err)
		}
		return
	}
	if w.opts.OnTeam != nil {
		w.opts.OnTeam(team)
	}
	var rows []*watched
	for _, p := range team {
		if p.Prefs == nil || !p.Prefs.Mail {
			continue
		}
		for _, t := range p.Prefs.Thresholds {
			i := slices.IndexFunc(w.rows, func(old *watched) bool { return old.who == p.Email && old.want == t })
			if i >= 0 {
				w.rows[i].realm = p.Prefs.Realms
				rows = append(rows, w.rows[i])
				continue
			}
			rows = append(rows, &watched{who: p.Email, want: t, realm: p.Prefs.Realms})
		}
	}
	w.rows = rows
}

// count adds a record and returns the alerts that are due.
func (w *Watch) count(rec *guard.Record, now time.Time) (out []*guard.Alert) {
	for _, r := range w.rows {
		n := 0
		for i := range rec.Events {
			if e := &rec.Events[i]; r.matches(e) {
				n++
			}
		}
		if n == 0 {
			continue
		}
		total := r.add(n, now)
		if total < r.want.Count || now.Before(r.quiet) {
			continue
		}
		window := time.Duration(r.want.Seconds) * time.Second
		r.slots, r.quiet = [watchSlots + 1]int{}, now.Add(window)
		out = append(out, r.alert(total, now))
	}
	return out
}

func (r *watched) matches(e *guard.Event) bool {
	if len(r.realm) > 0 && !slices.Contains(r.realm, e.Realm) {
		return false
	}
	if r.want.Event != "" {
		return e.Name == r.want.Event
	}
	return e.Name == warder.ThresholdExceeded && e.Rule == r.want.Rule
}

// add counts n more and returns how many there are in the window.
func (r *watched) add(n int, now time.Time) (total int) {
	step := max(time.Duration(r.want.Seconds)*time.Second/watchSlots, time.Second)
	slot := now.UnixNano() / int64(step)
	if first := slot - watchSlots; first > r.first {
		if gone := first - r.first; gone > watchSlots {
			r.slots = [watchSlots + 1]int{}
		} else {
			copy(r.slots[:], r.slots[gone:])
			clear(r.slots[watchSlots+1-gone:])
		}
		r.first = first
	}
	r.slots[min(max(slot-r.first, 0), watchSlots)] += n
	for _, k := range r.slots {
		total += k
	}
	return total
}

func (r *watched) alert(n int, now time.Time) *guard.Alert {
	what := "events " + r.want.Event
	if r.want.Rule != "" {
		what = "crossings of rule " + r.want.Rule
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return &guard.Alert{
		ID: hex.EncodeToString(id[:]), Kind: guard.AlertThreshold, For: r.who, Time: now.UTC(), Severity: warder.Warning,
		Rule: r.want.Rule, Count: n, Window: r.want.Seconds,
		Text: fmt.Sprintf("%d %s within %d seconds, from wherever they came: you asked to be told at %d.", n, what, r.want.Seconds, r.want.Count),
	}
}

// Severities are those below critical that somebody wants to be told of.
func Severities(team []Person) []warder.Severity {
	var out []warder.Severity
	for _, p := range team {
		if p.Prefs == nil || !p.Prefs.Mail {
			continue
		}
		for _, text := range p.Prefs.Severities {
			var s warder.Severity
			if s.UnmarshalText([]byte(text)) == nil && s < warder.Critical && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}
