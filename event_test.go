package warder

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var arrival = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestEventFaults(t *testing.T) {
	type set func(*Event)
	texts := []struct {
		name  string
		limit int
		set   func(*Event, string)
	}{
		{"id", MaxID, func(e *Event, s string) { e.ID = s }},
		{"account", MaxAccount, func(e *Event, s string) { e.Account = s }},
		{"realm", MaxRealm, func(e *Event, s string) { e.Realm = s }},
		{"session", MaxSession, func(e *Event, s string) { e.Session = s }},
		{"device", MaxDevice, func(e *Event, s string) { e.Device = s }},
		{"user_agent", MaxUserAgent, func(e *Event, s string) { e.UserAgent = s }},
		{"method", MaxMethod, func(e *Event, s string) { e.Method = s }},
		{"path", MaxPath, func(e *Event, s string) { e.Path = s }},
		{"reason", MaxReason, func(e *Event, s string) { e.Reason = s }},
	}
	type test struct {
		name  string
		set   set
		wants []string // locations
	}
	tests := []test{
		{"nothing but a name", func(*Event) {}, nil},
		{"own name of the application", func(e *Event) { e.Name = "A1" }, nil},
		{"longest name", func(e *Event) { e.Name = strings.Repeat("A", 64) }, nil},
		{"name missing", func(e *Event) { e.Name = "" }, []string{"name"}},
		{"name too short", func(e *Event) { e.Name = "A" }, []string{"name"}},
		{"name too long", func(e *Event) { e.Name = strings.Repeat("A", 65) }, []string{"name"}},
		{"name in lower case", func(e *Event) { e.Name = "user_login" }, []string{"name"}},
		{"name begins with a digit", func(e *Event) { e.Name = "1A" }, []string{"name"}},
		{"name begins with an underscore", func(e *Event) { e.Name = "_A" }, []string{"name"}},
		{"name with NUL", func(e *Event) { e.Name = "USER\x00" }, []string{"name"}},
		{"name with other letters", func(e *Event) { e.Name = "USER_ÄÖ" }, []string{"name"}},
		{"five minutes ahead", func(e *Event) { e.Time = arrival.Add(MaxAhead) }, nil},
		{"more than five minutes ahead", func(e *Event) { e.Time = arrival.Add(MaxAhead + 1) }, []string{"time"}},
		{"long ago", func(e *Event) { e.Time = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }, nil},
		{"before the year 2000", func(e *Event) { e.Time = time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC) }, []string{"time"}},
		{"year 2000 only in its own zone", func(e *Event) {
			e.Time = time.Date(2000, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
		}, []string{"time"}},
		{"guess", func(e *Event) { e.Guess = Guess{Same: "0aF", Popular: strings.Repeat("0", 64)} }, nil},
		{"guess is no hash", func(e *Event) { e.Guess = Guess{Same: "hunter2", Popular: "0x00"} }, []string{"guess.same", "guess.popular"}},
		{"guess too long", func(e *Event) { e.Guess.Same = strings.Repeat("0", 65) }, []string{"guess.same"}},
		{"details", func(e *Event) { e.Details = json.RawMessage(`{"a":[1,null]}`) }, nil},
		{"details are not JSON", func(e *Event) { e.Details = json.RawMessage(`{"a":`) }, []string{"details"}},
		{"details end early", func(e *Event) { e.Details = json.RawMessage(`{} {}`) }, []string{"details"}},
		{"largest details", func(e *Event) { e.Details = json.RawMessage(`"` + strings.Repeat("a", MaxDetails-2) + `"`) }, nil},
		{"details too large", func(e *Event) { e.Details = json.RawMessage(`"` + strings.Repeat("a", MaxDetails-1) + `"`) }, []string{"details"}},
		{"details too deep", func(e *Event) { e.Details = json.RawMessage(strings.Repeat("[", 10_000)) }, []string{"details"}},
		{"all at once, in the order of the fields", func(e *Event) {
			*e = Event{ID: "\x00", Time: arrival.Add(time.Hour), Account: "\xff", Path: "\n", Guess: Guess{Popular: "x"}}
		}, []string{"id", "name", "time", "account", "path", "guess.popular"}},
	}
	for _, own := range []string{ThresholdExceeded, IPBlocked, IPUnblocked, SessionTerminated, SuspiciousIP} {
		tests = append(tests, test{"forged " + own, func(e *Event) { e.Name = own }, []string{"name"}})
	}
	for _, f := range texts {
		for _, c := range []struct {
			name, text string
			wrong      bool
		}{
			{"is free text", "Ünï ©ødé 漢字 <b>'\"`=1+1", false},
			{"has the longest text", strings.Repeat("a", f.limit), false},
			{"is too long", strings.Repeat("a", f.limit+1), true},
			{"is far too long", strings.Repeat("a", 1<<20), true},
			{"is not UTF-8", "a\xc3", true},
			{"has an overlong encoding", "\xc0\xaf", true},
			{"has a surrogate", "\xed\xa0\x80", true},
			{"has NUL", "a\x00b", true},
			{"has a line break", "a\r\nb", true},
			{"has an escape", "\x1b[31m", true},
			{"has DEL", "a\x7f", true},
			{"has a C1 control", "a\u0085b", true},
			{"holds our separator", "a\x1fb", true},
		} {
			if f.limit < len(c.text) && !c.wrong {
				continue
			}
			var wants []string
			if c.wrong {
				wants = []string{f.name}
			}
			tests = append(tests, test{f.name + " " + c.name, func(e *Event) { f.set(e, c.text) }, wants})
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Event{Name: "USER_LOGIN_FAILURE"}
			tt.set(&e)
			faults := e.Faults(arrival)
			var got []string
			for _, f := range faults {
				got = append(got, f.Location)
				checkMessage(t, f)
			}
			if diff := cmp.Diff(tt.wants, got); diff != "" {
				t.Errorf("locations (-want +got):\n%s", diff)
			}
			if err := faults.Err(); (err == nil) != (len(tt.wants) == 0) {
				t.Errorf("Err() = %v", err)
			}
		})
	}
}

// checkMessage holds that a fault can be sent back and logged: short, UTF-8, on
// one line, not blank.
func checkMessage(t *testing.T, f Fault) {
	t.Helper()
	if s := f.Error(); f.Message == "" || len(s) > 400 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("fault %.500q is not fit to be sent", s)
	}
}

func TestFaultsError(t *testing.T) {
	var f Faults
	if f.Err() != nil {
		t.Error("no faults are an error")
	}
	f.Add("rules[0].threshold", "must be at most %d", 7)
	f.Add("name", "is required")
	const want = "rules[0].threshold: must be at most 7\nname: is required"
	if err := f.Err(); err == nil || err.Error() != want {
		t.Errorf("Err() = %v", err)
	}
}

func FuzzEventFaults(f *testing.F) {
	f.Add("USER_LOGIN_FAILURE", "alice", "Mozilla/5.0", "/login", "0a", `{"a":1}`, int64(0))
	f.Add("IP_BLOCKED", "\x00", "\xff", strings.Repeat("/", 3000), "hunter2", "[", int64(1e9))
	f.Fuzz(func(t *testing.T, name, account, agent, path, guess, details string, ahead int64) {
		e := Event{
			Name: name, Account: account, UserAgent: agent, Path: path, Guess: Guess{Same: guess},
			Details: json.RawMessage(details), Time: arrival.Add(time.Duration(ahead)),
		}
		faults := e.Faults(arrival)
		for _, fault := range faults {
			checkMessage(t, fault)
		}
		if faults != nil {
			return
		}
		// What passes can be stored, sent and read again as it is.
		for _, s := range []string{name, account, agent, path, guess} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("%q passed", s)
			}
		}
		if OwnEvent(name) || !ValidName(name) || time.Duration(ahead) > MaxAhead || len(details) > MaxDetails {
			t.Errorf("%+v passed", e)
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var again Event
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if again.Account != account || again.UserAgent != agent || again.Path != path || !again.Time.Equal(e.Time) {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}
