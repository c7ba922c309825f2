package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/warderhq/warder"
)

// maxFaults is how many faults of one document are reported one by one.
const maxFaults = 100

// faults collects the faults of one document: one at each place, none inside of
// what could not be read at all, each with its line.
type faults struct {
	all      []placed
	places   map[string]place // where things stand in the text; nil: there is none
	numbered bool             // the text has more than one line: say which
	seen     map[string]bool
	broken   map[string]bool // values of the wrong kind: nothing inside was read
}

// place is where a value stands: its line, and its number in reading order.
type place struct{ line, order int }

type placed struct {
	warder.Fault
	order int
}

// mark remembers where location stands.
func (f *faults) mark(location string, line int) {
	f.places[location] = place{line, len(f.places)}
}

func (f *faults) add(location, format string, args ...any) {
	if f.seen[location] || f.inBroken(location) {
		return
	}
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	f.seen[location] = true
	if f.full() {
		return // only the number of the others is reported
	}
	message := fmt.Sprintf(format, args...)
	at := f.place(location)
	if f.numbered && at.line > 0 {
		message += fmt.Sprintf(" (line %d)", at.line)
	}
	f.all = append(f.all, placed{warder.Fault{Location: location, Message: message}, at.order})
}

// full reports whether further faults are only counted.
func (f *faults) full() bool { return len(f.all) == maxFaults }

// wrongKind reports a value that could not be read at all.
func (f *faults) wrongKind(location, want string, n *node) {
	f.add(location, "must be %s, is %s", want, kindNames[n.kind])
	if f.broken == nil {
		f.broken = map[string]bool{}
	}
	f.broken[location] = true
}

func (f *faults) inBroken(location string) bool {
	for len(f.broken) > 0 && location != "" {
		if location = around(location); f.broken[location] {
			return true
		}
	}
	return false
}

// place is where location stands, or else the nearest thing around it.
func (f *faults) place(location string) place {
	for {
		if p, ok := f.places[location]; ok || location == "" {
			return p
		}
		location = around(location)
	}
}

// around cuts the last step off a location.
func around(location string) string {
	return location[:max(0, strings.LastIndexAny(location, ".["))]
}

// err returns the faults in the order of the text.
func (f *faults) err() error {
	if len(f.all) == 0 {
		return nil
	}
	all := f.all
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.order, b.order) })
	out := make(warder.Faults, 0, len(all)+1)
	for _, p := range all {
		out = append(out, p.Fault)
	}
	if more := len(f.seen) - len(all); more > 0 {
		out.Add("policy", "has %d more faults", more)
	}
	return out
}
