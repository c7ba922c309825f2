package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// Bounds of a replay.
const (
	maxReplayLine  = 64 << 10
	maxReplayFault = 100 // faults reported before the rest is only counted
	goodFor        = 14 * 24 * time.Hour
	ratioFor       = 24 * time.Hour
	knownFor       = 90 * 24 * time.Hour
	stepsFor       = 7 * 24 * time.Hour
)

// Replayed is what a policy would have made of a list of events.
type Replayed struct {
	Events     int             `json:"events"`
	Bad        int             `json:"bad_lines"`
	Own        int             `json:"own,omitempty"`    // events of Warder's own making, passed over
	Faults     warder.Faults   `json:"faults,omitempty"` // of the first bad lines, located at line[n].field
	From       time.Time       `json:"from,omitzero"`
	To         time.Time       `json:"to,omitzero"`
	Severities map[string]int  `json:"severities"`
	Refused    int             `json:"refused"` // events that a Block stood against on arrival
	Crossings  []ReplayedCross `json:"crossings"`
}

// ReplayedCross is one crossing of a replay.
type ReplayedCross struct {
	Line     int            `json:"line"`
	Time     time.Time      `json:"time"`
	Event    string         `json:"event"`
	Rule     string         `json:"rule"`
	Action   warder.Action  `json:"action"`
	Subject  warder.Subject `json:"subject"`
	Count    int            `json:"count"`
	Duration int64          `json:"duration"` // seconds, 0 = until lifted
	Observed bool           `json:"observed,omitempty"`
	Cut      string         `json:"cut,omitempty"`
	Spared   string         `json:"spared,omitempty"`
	Also     []string       `json:"also,omitempty"`
}

var errBackwards = errors.New("the events run from the latest to the oldest; a replay needs them oldest first (tac turns a file round)")

// Replay runs events, one JSON object per line, oldest first, through the
// functions that live traffic is judged by, taking each event's time as now
// (SEMANTICS 7). Events need a time. What depends on the world outside the
// list (feeds, marks, lifted Blocks, other parts of the configuration) is not
// known to it. A bad line is reported and passed over. Lines of an export of
// events are read as well, turned round: an export begins with the latest.
func Replay(ctx context.Context, doc *policy.Document, events io.Reader) (*Replayed, error) {
	p, err := doc.Compile()
	if err != nil {
		return nil, err
	}
	w := newWorld(p)
	in := bufio.NewReaderSize(events, maxReplayLine)
	for line := 1; ; line++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		text, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			w.bad(line, warder.Faults{{Message: fmt.Sprintf("is longer than %d bytes", maxReplayLine)}})
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		case len(bytes.TrimSpace(text)) > 0:
			if e, own, faults := replayEvent(text); len(faults) > 0 {
				w.bad(line, faults)
			} else if own {
				w.out.Own++
			} else if stepErr := w.step(ctx, line, e); stepErr != nil {
				return nil, stepErr
			}
		}
		if errors.Is(err, io.EOF) {
			if w.back > w.forth {
				return nil, errBackwards
			}
			return &w.out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
	}
}

// exported is a line of an export: an event, and what became of it when it
// was reported, which a replay finds out anew.
type exported struct {
	warder.Event
	Arrival    json.RawMessage `json:"arrival"`
	Severity   json.RawMessage `json:"severity"`
	Address    json.RawMessage `json:"address"`
	App        json.RawMessage `json:"app"`
	Counted    json.RawMessage `json:"eligible"`
	Completed  json.RawMessage `json:"completed"`
	Action     json.RawMessage `json:"action"`
	Why        json.RawMessage `json:"decision_reason"`
	Rule       json.RawMessage `json:"rule"`
	BlockID    json.RawMessage `json:"block_id"`
	Reference  json.RawMessage `json:"reference"`
	KnownFrom  json.RawMessage `json:"known_source"`
	Superseded json.RawMessage `json:"replaces_unsettled"`
}

// replayEvent reads one line; own says that it is an event of Warder's own.
func replayEvent(text []byte) (_ *warder.Event, own bool, _ warder.Faults) {
	var line exported
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&line); err != nil {
		return nil, false, warder.Faults{{Message: "is not an event: " + err.Error()}}
	}
	if dec.More() {
		return nil, false, warder.Faults{{Message: "holds more than one event"}}
	}
	e := line.Event
	if line.Arrival != nil && warder.OwnEvent(e.Name) {
		return &e, true, nil
	}
	faults := e.Faults(time.Now())
	if e.Time.IsZero() {
		faults.Add("time", "is required in a replay")
	}
	if e.IP.IsValid() {
		e.IP = warder.Canonical(e.IP)
	}
	return &e, false, faults
}

// world is what stands after the events so far: an engine without storage or
// parallel callers, whose clock is the events' own.
type world struct {
	p        *policy.Policy
	counters *counter.Memory
	now      time.Time
	last     time.Time // of the event before
	seq      int64
	back     int // how often an event is older than the one before, and newer
	forth    int
	out      Replayed

	standing map[warder.Subject][]standing // Blocks, Demands, revocations
	known    map[sourceOf]time.Time
	met      map[sourceOf]time.Time // mfa Demands met until
	good     map[netip.Prefix]map[string]time.Time
	ratio    map[netip.Prefix]*ratio
	sessions map[string]time.Time // completed sign-ins
}

type sourceOf struct{ account, source string }

type standing struct {
	action warder.Action
	rule   string
	until  time.Time // zero: until lifted
}

func (s standing) live(now time.Time) bool { return s.until.IsZero() || now.Before(s.until) }

// ratio counts sign-ins of one address in two halves of the time that it looks
// back, so that old ones are forgotten.
type ratio struct {
	begin       time.Time
	ok, bad     int
	wasOK, was  int
	initialized bool
}

func (r *ratio) at(now time.Time) {
	switch age := now.Sub(r.begin); {
	case !r.initialized || age >= ratioFor:
		*r = ratio{begin: now, initialized: true}
	case age >= ratioFor/2:
		*r = ratio{begin: now, wasOK: r.ok, was: r.ok + r.bad, initialized: true}
	}
}

// hostile reports whether fewer than 5 % of the sign-ins succeeded.
func (r *ratio) hostile() bool {
	all := r.ok + r.bad + r.was
	return all > 0 && (r.ok+r.wasOK)*20 < all
}

func newWorld(p *policy.Policy) *world {
	return &world{
		p:        p,
		counters: counter.New(counter.Options{}),
		out:      Replayed{Severities: map[string]int{}, Crossings: []ReplayedCross{}},
		standing: map[warder.Subject][]standing{},
		known:    map[sourceOf]time.Time{},
		met:      map[sourceOf]time.Time{},
		good:     map[netip.Prefix]map[string]time.Time{},
		ratio:    map[netip.Prefix]*ratio{},
		sessions: map[string]time.Time{},
	}
}

func (w *world) bad(line int, faults warder.Faults) {
	w.out.Bad++
	for _, f := range faults {
		if len(w.out.Faults) >= maxReplayFault {
			return
		}
		location := fmt.Sprintf("line[%d]", line)
		if f.Location != "" {
			location += "." + f.Location
		}
		w.out.Faults = append(w.out.Faults, warder.Fault{Location: location, Message: f.Message})
	}
}

// scene is one event with its keys.
type scene struct {
	*warder.Event
	address netip.Prefix
	account string
	own     string // the name of its source
}

func (w *world) step(ctx context.Context, line int, e *warder.Event) error {
	s := scene{Event: e, account: warder.AccountKey(e.Realm, e.Account)}
	if e.IP.IsValid() {
		s.address = warder.AddressKey(e.IP)
		s.own = "a:" + s.address.String()
	}
	if e.Device != "" {
		s.own = "d:" + e.Device
	}
	if e.Time.After(w.now) {
		w.now = e.Time
	}
	switch {
	case w.last.IsZero():
	case e.Time.Before(w.last):
		w.back++
	case e.Time.After(w.last):
		w.forth++
	}
	w.last = e.Time
	w.seq++
	w.out.Events++
	if w.out.From.IsZero() || e.Time.Before(w.out.From) {
		w.out.From = e.Time.UTC()
	}
	w.out.To = w.now.UTC()

	f := w.facts(&s)
	if f.Covered && !f.Trusted {
		w.out.Refused++
	}
	hits := w.p.Hits(e, f, e.Time, w.seq)
	plain := make([]counter.Hit, len(hits))
	for i := range hits {
		plain[i] = hits[i].Hit
	}
	var counts []counter.Count
	if len(hits) > 0 {
		var err error
		if counts, err = w.counters.Apply(ctx, w.now, plain); err != nil {
			return fmt.Errorf("count line %d: %w", line, err)
		}
	}
	v := w.p.Decide(e, f, hits, counts)
	w.out.Severities[v.Severity.String()]++
	if v.Crossing != nil {
		w.cross(line, e, v.Crossing)
	}
	return w.success(ctx, &s, f)
}

func (w *world) cross(line int, e *warder.Event, x *policy.Crossing) {
	w.out.Crossings = append(w.out.Crossings, ReplayedCross{
		Line: line, Time: w.now.UTC(), Event: e.Name, Rule: x.Rule.ID, Action: x.Action, Subject: x.Subject,
		Count: x.Count, Duration: int64(x.Duration / time.Second), Observed: x.Observed, Cut: x.Cut, Spared: x.Spared, Also: x.Also,
	})
	if x.Observed || x.Spared != "" {
		return
	}
	r := standing{action: x.Action, rule: x.Rule.ID}
	if x.Duration > 0 {
		r.until = w.now.Add(x.Duration)
	}
	w.standing[x.Subject] = append(w.standing[x.Subject], r)
}

// facts answers what policy asks for, from the events so far.
func (w *world) facts(s *scene) *policy.Facts {
	f := &policy.Facts{Steps: map[warder.Subject]int{}}
	id := sourceOf{s.account, s.own}
	if at, ok := w.known[id]; ok && s.account != "" && w.now.Sub(at) <= knownFor {
		f.Source = s.own
	}
	if at, ok := w.sessions[s.Session]; ok && s.Session != "" {
		f.RecentSession = w.now.Sub(at) <= ratioFor
	}
	for _, p := range w.p.Trusted {
		f.Trusted = f.Trusted || p.Contains(s.IP)
	}
	for _, b := range w.p.Blocked {
		f.Covered = f.Covered || b.IP.Contains(s.IP) && (b.Until.IsZero() || w.now.Before(b.Until))
	}
	if s.address.IsValid() {
		for account, at := range w.good[s.address] {
			if w.now.Sub(at) > goodFor {
				delete(w.good[s.address], account)
			}
		}
		f.GoodAccounts = len(w.good[s.address])
		if r := w.ratio[s.address]; r != nil {
			r.at(w.now)
			f.Hostile = r.hostile()
		}
	}
	for _, subject := range s.subjects(f.Source) {
		for _, r := range w.standing[subject] {
			switch {
			case !r.live(w.now):
			case r.action == warder.BlockAction:
				f.Covered = true
			default:
				f.Demanded = append(f.Demanded, policy.Demanded{Rule: r.rule, Subject: subject})
			}
		}
	}
	for _, subject := range w.p.Needs(s.Event).Steps {
		f.Steps[subject] = w.steps(subject)
		if f.Source != "" && subject.Account != "" && !subject.IP.IsValid() {
			subject.Source = f.Source
			f.Steps[subject] = w.steps(subject)
		}
	}
	return f
}

// subjects are all subjects that an event can stand under.
func (s *scene) subjects(source string) []warder.Subject {
	var list []warder.Subject
	if s.address.IsValid() {
		list = append(list, warder.Subject{IP: s.address})
		if s.account != "" {
			list = append(list, warder.Subject{IP: s.address, Account: s.account})
		}
	}
	if s.account != "" {
		list = append(list, warder.Subject{Account: s.account, Source: source})
	}
	if s.Session != "" {
		list = append(list, warder.Subject{Session: s.Session})
	}
	if s.Realm != "" && source == "" {
		list = append(list, warder.Subject{Realm: s.Realm})
	}
	return list
}

// steps counts the Blocks of a subject that ended within seven days.
func (w *world) steps(subject warder.Subject) int {
	n := 0
	for _, r := range w.standing[subject] {
		if r.action == warder.BlockAction && !r.live(w.now) && w.now.Sub(r.until) <= stepsFor {
			n++
		}
	}
	return n
}

// success does what a success does: it takes out hits, makes the source known
// and meets Demands.
func (w *world) success(ctx context.Context, s *scene, f *policy.Facts) error {
	id := sourceOf{s.account, s.own}
	demanded := false
	for _, subject := range s.subjects(f.Source) {
		for _, r := range w.standing[subject] {
			demanded = demanded || r.action == warder.MFA && r.live(w.now)
		}
	}
	demanded = demanded && !w.now.Before(w.met[id])
	classes, completed := w.p.Takes(s.Event, demanded)
	if f.Covered && !f.Trusted {
		classes, completed = nil, false // it was refused
	}
	for _, class := range classes {
		tag := counter.Tag{Account: s.account, Address: s.address, Class: class}
		if _, err := w.counters.TakeOut(ctx, w.now, tag, s.Time, w.seq); err != nil {
			return fmt.Errorf("take out hits: %w", err)
		}
	}
	if s.Name == warder.MFASuccess {
		w.met[id] = w.now.Add(ratioFor)
	}
	if s.address.IsValid() && (completed || strings.HasSuffix(s.Name, "_FAILURE")) {
		r := w.ratio[s.address]
		if r == nil {
			r = &ratio{}
			w.ratio[s.address] = r
		}
		r.at(w.now)
		if completed {
			r.ok++
		} else {
			r.bad++
		}
	}
	if !completed {
		return nil
	}
	if s.Session != "" {
		w.sessions[s.Session] = w.now
	}
	if s.account != "" && s.own != "" {
		w.known[id] = w.now
	}
	if s.account != "" && s.address.IsValid() {
		if w.good[s.address] == nil {
			w.good[s.address] = map[string]time.Time{}
		}
		w.good[s.address][s.account] = w.now
	}
	return nil
}
