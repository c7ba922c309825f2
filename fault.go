package warder

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fault is one thing wrong with a value that came from outside: where it
// stands and what is the matter with it, in words safe to send back.
type Fault struct {
	Location string `json:"location"` // a path such as events[3].ip or rules[0].time_range
	Message  string `json:"message"`
}

func (f Fault) Error() string { return f.Location + ": " + f.Message }

// Faults are all the faults of one value, in the order of its fields. A value
// with no faults is valid; an empty Faults is never returned as an error.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is nil if there are no faults.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Add appends a fault at location.
func (f *Faults) Add(location, format string, args ...any) {
	*f = append(*f, Fault{Location: location, Message: fmt.Sprintf(format, args...)})
}

// text checks a free text: at most limit bytes of valid UTF-8 without control
// characters.
func (f *Faults) text(location, s string, limit int) {
	switch {
	case len(s) > limit:
		f.Add(location, "must be at most %d bytes, is %d", limit, len(s))
	case !utf8.ValidString(s):
		f.Add(location, "must be valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		f.Add(location, "must not contain control characters")
	}
}

// clip shortens s for use in a message.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
