package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/policy"
)

// Bounds of a replay.
const (
	maxReplayLine  = 64 << 10
	maxReplayFault = 100 // faults reported before the rest is only counted
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
	r := &replay{
		world: policy.NewWorld(p, policy.WorldOptions{Counters: counter.New(counter.Options{})}),
		out:   Replayed{Severities: map[string]int{}, Crossings: []ReplayedCross{}},
	}
	in := bufio.NewReaderSize(events, maxReplayLine)
	for line := 1; ; line++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		text, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			r.bad(line, warder.Faults{{Message: fmt.Sprintf("is longer than %d bytes", maxReplayLine)}})
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		case len(bytes.TrimSpace(text)) > 0:
			if e, own, faults := replayEvent(text); len(faults) > 0 {
				r.bad(line, faults)
			} else if own {
				r.out.Own++
			} else if stepErr := r.step(ctx, line, e); stepErr != nil {
				return nil, stepErr
			}
		}
		if errors.Is(err, io.EOF) {
			if r.back > r.forth {
				return nil, errBackwards
			}
			return &r.out, nil
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

// replay is a replay under way.
type replay struct {
	world *policy.World
	last  time.Time // of the event before
	back  int       // how often an event is older than the one before, and newer
	forth int
	out   Replayed
}

func (r *replay) bad(line int, faults warder.Faults) {
	r.out.Bad++
	for _, f := range faults {
		if len(r.out.Faults) >= maxReplayFault {
			return
		}
		location := fmt.Sprintf("line[%d]", line)
		if f.Location != "" {
			location += "." + f.Location
		}
		r.out.Faults = append(r.out.Faults, warder.Fault{Location: location, Message: f.Message})
	}
}

// step judges the next event.
func (r *replay) step(ctx context.Context, line int, e *warder.Event) error {
	switch {
	case r.last.IsZero():
	case e.Time.Before(r.last):
		r.back++
	case e.Time.After(r.last):
		r.forth++
	}
	r.last = e.Time
	r.out.Events++
	got, err := r.world.Judge(ctx, e, int64(r.out.Events), nil)
	if err != nil {
		return fmt.Errorf("judge line %d: %w", line, err)
	}
	now := r.world.Now().UTC()
	if r.out.From.IsZero() || e.Time.Before(r.out.From) {
		r.out.From = e.Time.UTC()
	}
	r.out.To = now
	r.out.Severities[got.Verdict.Severity.String()]++
	if got.Refused {
		r.out.Refused++
	}
	if x := got.Verdict.Crossing; x != nil {
		r.out.Crossings = append(r.out.Crossings, ReplayedCross{
			Line: line, Time: now, Event: e.Name, Rule: x.Rule.ID, Action: x.Action, Subject: x.Subject, Count: x.Count,
			Duration: int64(x.Duration / time.Second), Observed: x.Observed, Cut: x.Cut, Spared: x.Spared, Also: x.Also,
		})
	}
	return nil
}
