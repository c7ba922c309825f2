package policy

import (
	"bytes"
	"encoding"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/warderhq/warder"
)

// Defaults of what a document may leave out.
const (
	DefaultLookback = 30 * 24 * 3600 // seconds
	// DefaultDemand is how long a challenge or mfa lasts if a rule does not say
	// it, in seconds. Blocks have no default: a forgotten line must not decide
	// between a quarter of an hour and for ever.
	DefaultDemand  = 3600
	DefaultRefresh = 24 * 3600 // seconds
)

// Parse reads a document in YAML or JSON, fills in what was left out and checks
// everything. The error is warder.Faults with all faults, each with its place
// and, if the document has more than one line, its line. Parse knows no clock:
// a `blocked` entry whose end has passed is valid.
//
// Left out, `enabled` is true, `mode` enforce, a rule's `key` ip and its
// `severity` critical, `realms` and `reasons` all; `cooling_period` is
// DefaultDemand for challenge and mfa, 0 for key session, and required for
// every other block that does not escalate. A section that is left out is
// empty, and `history` is then off. null means left out.
func Parse(data []byte) (*Document, error) {
	root, err := parseTree(data)
	if err != nil {
		return nil, warder.Faults{{Location: "policy", Message: err.Error()}}
	}
	f := &faults{places: map[string]place{}, numbered: bytes.Contains(bytes.TrimSpace(data), []byte{'\n'})}
	r := reader{f}
	if root.kind != object {
		f.add("policy", "must be an object, is %s", kindNames[root.kind])
		return nil, f.err()
	}
	d := r.document(root)
	d.check(f)
	if err := f.err(); err != nil {
		return nil, err
	}
	return d, nil
}

// reader turns the tree into a Document. What has the wrong kind is a fault and
// leaves the field as it was; whether the value makes sense is for check.
type reader struct{ f *faults }

type fields map[string]func(n *node, at string)

func (r reader) document(n *node) *Document {
	d := &Document{
		Enabled: true, Mode: warder.Enforce,
		Activity: Activity{Enabled: true},
		History:  HistorySpec{Lookback: DefaultLookback},
	}
	r.object(n, "", fields{
		"enabled":   r.boolean(&d.Enabled),
		"mode":      r.word(&d.Mode),
		"trusted":   func(n *node, at string) { d.Trusted = each(r, n, at, r.prefix) },
		"blocked":   func(n *node, at string) { d.Blocked = each(r, n, at, r.blocked) },
		"activity":  func(n *node, at string) { r.activity(n, at, &d.Activity) },
		"history":   func(n *node, at string) { r.history(n, at, &d.History) },
		"providers": func(n *node, at string) { d.Providers = each(r, n, at, r.provider) },
		"tests":     func(n *node, at string) { d.Tests = each(r, n, at, r.test) },
	})
	return d
}

func (r reader) blocked(n *node, at string) (b BlockedSpec) {
	r.object(n, at, fields{
		"ip":     func(n *node, at string) { b.IP = r.prefix(n, at) },
		"reason": r.text(&b.Reason),
		"until": func(n *node, at string) {
			if t, err := time.Parse(time.RFC3339, n.value); n.kind == text && err == nil && t.Year() >= 2000 && t.UTC().Year() <= 9999 {
				t = t.UTC()
				b.Until = &t
			} else {
				r.f.add(at, "must be a time such as 2030-01-31T12:00:00Z or null")
			}
		},
	})
	return b
}

func (r reader) activity(n *node, at string, a *Activity) {
	r.object(n, at, fields{
		"enabled": r.boolean(&a.Enabled),
		"rules":   func(n *node, at string) { a.Rules = each(r, n, at, r.rule) },
	})
}

func (r reader) rule(n *node, at string) RuleSpec {
	s := RuleSpec{Enabled: true, Key: ByIP, Mode: warder.Enforce, Severity: warder.Critical}
	key := string(s.Key)
	r.object(n, at, fields{
		"id":             r.text(&s.ID),
		"enabled":        r.boolean(&s.Enabled),
		"events":         r.texts(&s.Events),
		"realms":         r.texts(&s.Realms),
		"reasons":        r.texts(&s.Reasons),
		"except":         r.texts(&s.Except),
		"key":            r.text(&key),
		"distinct":       r.text(&s.Distinct),
		"threshold":      r.count(&s.Threshold),
		"time_range":     r.whole(&s.TimeRange),
		"cooling_period": optional(&s.CoolingPeriod, r.whole),
		"escalate": func(n *node, at string) {
			s.Escalate = each(r, n, at, func(n *node, at string) (step int64) {
				r.whole(&step)(n, at)
				return step
			})
		},
		"at_most":  func(n *node, at string) { s.AtMost = r.numbers(n, at) },
		"action":   r.word(&s.Action),
		"mode":     r.word(&s.Mode),
		"severity": r.word(&s.Severity),
	})
	s.Key = KeyKind(key)
	if s.CoolingPeriod == nil && len(s.Escalate) == 0 {
		switch {
		case s.Key == BySession:
			s.CoolingPeriod = new(int64)
		case s.Action == warder.Challenge || s.Action == warder.MFA:
			s.CoolingPeriod = new(int64)
			*s.CoolingPeriod = DefaultDemand
		}
	}
	return s
}

func (r reader) history(n *node, at string, h *HistorySpec) {
	h.Enabled = true
	r.object(n, at, fields{
		"enabled":  r.boolean(&h.Enabled),
		"lookback": r.whole(&h.Lookback),
		"criteria": func(n *node, at string) {
			h.Criteria = each(r, n, at, func(n *node, at string) (c CriterionSpec) {
				r.object(n, at, fields{"when": r.text(&c.When), "at_least": r.count(&c.AtLeast), "action": r.word(&c.Action)})
				return c
			})
		},
	})
}

func (r reader) provider(n *node, at string) ProviderSpec {
	p := ProviderSpec{Enabled: true, Refresh: DefaultRefresh}
	r.object(n, at, fields{
		"name":    r.text(&p.Name),
		"enabled": r.boolean(&p.Enabled),
		"url":     r.text(&p.URL),
		"format":  r.text(&p.Format),
		"refresh": r.whole(&p.Refresh),
		"levels": func(n *node, at string) {
			p.Levels = each(r, n, at, func(n *node, at string) (l Level) {
				r.object(n, at, fields{"at_least": r.count(&l.AtLeast), "action": r.word(&l.Action)})
				return l
			})
		},
	})
	return p
}

func (r reader) prefix(n *node, at string) netip.Prefix {
	if n.kind != text {
		r.f.add(at, "must be an address or a prefix, is %s", kindNames[n.kind])
		return netip.Prefix{}
	}
	p, err := warder.ParseSource(n.value)
	if err != nil {
		r.f.add(at, "%s", clean(err.Error()))
	}
	return p
}

// object reads the fields of n. Unknown and repeated names are faults, null is
// as good as absent.
func (r reader) object(n *node, at string, known fields) {
	r.f.mark(at, n.line)
	if n.kind != object {
		r.f.wrongKind(at, "an object", n)
		return
	}
	seen := make(map[string]bool, len(known))
	for i, key := range n.keys {
		place := join(at, clip(key.value))
		r.f.mark(place, key.line)
		read, ok := known[key.value]
		switch {
		case !ok && (r.f.full() || r.f.seen[place]):
			r.f.add(place, "is not known here")
		case !ok:
			r.f.add(place, "is not known here; known are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[key.value]:
			r.f.add(place, "is given twice")
		case n.items[i].kind != null:
			read(n.items[i], place)
		}
		seen[key.value] = ok
	}
}

// maxList is the longest list of any kind; most have a lower bound of their
// own, which check knows.
const maxList = 10000

func each[T any](r reader, n *node, at string, read func(n *node, at string) T) []T {
	if n.kind != list {
		r.f.wrongKind(at, "a list", n)
		return nil
	}
	if len(n.items) > maxList {
		r.f.add(at, "must have at most %d entries, has %d", maxList, len(n.items))
		return nil
	}
	if len(n.items) == 0 {
		return nil
	}
	out := make([]T, len(n.items))
	for i, item := range n.items {
		place := fmt.Sprintf("%s[%d]", at, i)
		r.f.mark(place, item.line)
		out[i] = read(item, place)
	}
	return out
}

func (r reader) numbers(n *node, at string) map[string]int64 {
	if n.kind != object {
		r.f.wrongKind(at, "an object", n)
		return nil
	}
	if len(n.keys) == 0 {
		return nil
	}
	out := make(map[string]int64, len(n.keys))
	for i, key := range n.keys {
		place := join(at, clip(key.value))
		r.f.mark(place, key.line)
		if _, ok := out[key.value]; ok {
			r.f.add(place, "is given twice")
		}
		var v int64
		r.whole(&v)(n.items[i], place)
		out[key.value] = v
	}
	return out
}

func (r reader) boolean(out *bool) func(*node, string) {
	return func(n *node, at string) {
		switch {
		case n.kind == boolean && strings.EqualFold(n.value, "true"):
			*out = true
		case n.kind == boolean && strings.EqualFold(n.value, "false"):
			*out = false
		default:
			r.f.add(at, "must be true or false, is %s", describe(n))
		}
	}
}

// whole reads a whole number as everybody writes it. Octal, hexadecimal,
// 1_000 and 1e3 are refused: 010 is eight to one reader and ten to another.
func (r reader) whole(out *int64) func(*node, string) {
	return func(n *node, at string) {
		v, err := strconv.ParseInt(n.value, 10, 64)
		if n.kind != number || err != nil || strconv.FormatInt(v, 10) != n.value {
			r.f.add(at, "must be a whole number, is %s", describe(n))
			return
		}
		const bound = 1 << 40 // so that no later arithmetic overflows
		if v > bound || v < -bound {
			r.f.add(at, "is out of range")
			return
		}
		*out = v
	}
}

func (r reader) text(out *string) func(*node, string) {
	return func(n *node, at string) {
		switch {
		case n.kind != text:
			r.f.add(at, "must be a text, is %s; put it in quotes", kindNames[n.kind])
		case strings.ContainsFunc(n.value, unicode.IsControl):
			r.f.add(at, "must not contain control characters")
		default:
			*out = n.value
		}
	}
}

func (r reader) texts(out *[]string) func(*node, string) {
	return func(n *node, at string) {
		*out = each(r, n, at, func(n *node, at string) (s string) {
			r.text(&s)(n, at)
			return s
		})
	}
}

// word reads one of the words that package warder knows.
func (r reader) word(out encoding.TextUnmarshaler) func(*node, string) {
	return func(n *node, at string) {
		if n.kind != text {
			r.f.add(at, "must be a text, is %s", kindNames[n.kind])
		} else if err := out.UnmarshalText([]byte(n.value)); err != nil {
			r.f.add(at, "%s", clean(err.Error()))
		}
	}
}

func describe(n *node) string {
	if n.kind == number || n.kind == text {
		return strconv.Quote(clip(n.value))
	}
	return kindNames[n.kind]
}

// join extends a place by a name.
func join(at, name string) string {
	if name == "" {
		name = `""`
	}
	if at == "" {
		return name
	}
	return at + "." + name
}

// clip makes a name of the document short enough for a message.
func clip(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "..."
	}
	return clean(s)
}
