package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/policy"
)

func classic(t *testing.T) *policy.Document {
	t.Helper()
	doc, err := policy.Preset("classic")
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// lines writes events one second apart, oldest first.
func lines(events ...string) string {
	var b strings.Builder
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, e := range events {
		fmt.Fprintf(&b, "{\"time\":%q,%s}\n", at.Add(time.Duration(i)*time.Second).Format(time.RFC3339), e)
	}
	return b.String()
}

const (
	failure = `"name":"USER_LOGIN_FAILURE","ip":"203.0.113.7","account":"alice","realm":"user"`
	success = `"name":"USER_LOGIN_SUCCESS","ip":"203.0.113.7","account":"alice","realm":"user"`
)

func TestReplayJudgesAsLiveTraffic(t *testing.T) {
	tests := map[string]struct {
		events string
		want   string // crossings, severities, refused
	}{
		"five failures block, the sixth is refused": {
			events: lines(failure, failure, failure, failure, failure, failure),
			want:   "[5:sign_in:block:0] warning=1 high=4 critical=1 refused=1",
		},
		"a sign-in takes out its share": {
			events: lines(failure, failure, failure, failure, success, failure),
			want:   "[] info=1 warning=2 high=3 refused=0",
		},
		"the same guess counts once": {
			events: lines(failure+`,"guess":{"same":"aa"}`, failure+`,"guess":{"same":"aa"}`, failure+`,"guess":{"same":"aa"}`,
				failure+`,"guess":{"same":"aa"}`, failure+`,"guess":{"same":"aa"}`),
			want: "[] warning=5 refused=0",
		},
		"a locked account counts nothing": {
			events: lines(failure+`,"reason":"locked"`, failure+`,"reason":"locked"`, failure+`,"reason":"locked"`,
				failure+`,"reason":"locked"`, failure+`,"reason":"locked"`),
			want: "[] warning=5 refused=0",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := Replay(t.Context(), classic(t), strings.NewReader(tt.events))
			if err != nil {
				t.Fatal(err)
			}
			var crossings []string
			for _, x := range r.Crossings {
				crossings = append(crossings, fmt.Sprintf("%d:%s:%s:%d", x.Line, x.Rule, x.Action, x.Duration))
			}
			got := fmt.Sprintf("%v", crossings)
			for _, s := range []string{"info", "warning", "high", "critical"} {
				if n := r.Severities[s]; n > 0 {
					got += fmt.Sprintf(" %s=%d", s, n)
				}
			}
			got += fmt.Sprintf(" refused=%d", r.Refused)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReplaySparesSharedAddresses(t *testing.T) {
	var events []string
	for i := range 20 {
		events = append(events, fmt.Sprintf(`"name":"USER_LOGIN_SUCCESS","ip":"203.0.113.7","account":"a%d"`, i))
	}
	for range 5 {
		events = append(events, failure)
	}
	r, err := Replay(t.Context(), classic(t), strings.NewReader(lines(events...)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Crossings) != 1 || r.Crossings[0].Cut != policy.CutShared || r.Crossings[0].Duration != 900 {
		t.Errorf("crossings %+v, want one of 15 minutes", r.Crossings)
	}
}

func TestReplayReportsBadLines(t *testing.T) {
	input := lines(failure) + "\n{\n" + `{"name":"X","ip":"1.2.3.4"}` + "\n" + `{"time":"2026-03-01T12:00:00Z","nome":"X"}` + "\n" +
		strings.Repeat("x", maxReplayLine+10) + "\n" + lines(failure)
	r, err := Replay(t.Context(), classic(t), strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, f := range r.Faults {
		places = append(places, f.Location)
	}
	want := []string{"line[3]", "line[4].name", "line[4].time", "line[5]", "line[6]"}
	if diff := cmp.Diff(want, places); diff != "" || r.Events != 2 || r.Bad != 4 {
		t.Errorf("%d events, %d bad lines, faults: %s", r.Events, r.Bad, diff)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte(lines(failure, success, failure)))
	f.Add([]byte(`{"time":"2026-03-01T12:00:00Z","name":"MFA_FAILURE","ip":"::1","details":{}}`))
	doc, err := policy.Preset("classic")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Replay(t.Context(), doc, strings.NewReader(string(data)))
		if errors.Is(err, errBackwards) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		graded := 0
		for _, n := range r.Severities {
			graded += n
		}
		if graded != r.Events || r.Refused > r.Events || len(r.Crossings) > r.Events || (r.Bad == 0) != (len(r.Faults) == 0) {
			t.Errorf("%+v", r)
		}
	})
}

// What an instance exports can be replayed: what the export adds is passed
// over, and so are the events that Warder made itself.
func TestReplayReadsAnExport(t *testing.T) {
	const added = `,"arrival":"2026-03-01T12:00:00Z","severity":"high","address":"203.0.113.7","app":"k","eligible":true,` +
		`"completed":false,"action":"allow","decision_reason":"ok","rule":"r","block_id":"b","reference":"f","known_source":"d","replaces_unsettled":true`
	in := lines(failure+added, failure+added, failure+added, failure+added, failure+added, `"name":"IP_BLOCKED","ip":"203.0.113.7"`+added)
	out, err := Replay(t.Context(), classic(t), strings.NewReader(in))
	if err != nil || out.Bad != 0 || out.Events != 5 || out.Own != 1 || len(out.Crossings) != 1 {
		t.Errorf("Replay = %+v, %v", out, err)
	}
	out, err = Replay(t.Context(), classic(t), strings.NewReader(lines(failure+`,"surprise":1`)))
	if err != nil || out.Bad != 1 || !strings.Contains(out.Faults.Error(), "surprise") {
		t.Errorf("Replay with an unknown name = %+v, %v", out, err)
	}
}

// An export is the other way round; judging it backwards would mislead.
func TestReplayRefusesAListThatRunsBackwards(t *testing.T) {
	in := strings.Split(strings.TrimSpace(lines(failure, failure, failure)), "\n")
	slices.Reverse(in)
	_, err := Replay(t.Context(), classic(t), strings.NewReader(strings.Join(in, "\n")))
	if err == nil || !strings.Contains(err.Error(), "oldest first") {
		t.Errorf("Replay backwards: %v", err)
	}
}
