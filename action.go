package warder

import "fmt"

// Action is what Warder asks an application to do with a request. The values
// are ordered: a stronger action is a greater value.
type Action uint8

// The actions, weakest first.
const (
	Allow Action = iota
	Challenge
	MFA
	BlockAction
)

var actionNames = [...]string{Allow: "allow", Challenge: "challenge", MFA: "mfa", BlockAction: "block"}

func (a Action) String() string { return nameOf(actionNames[:], uint8(a)) }

// MarshalText implements encoding.TextMarshaler.
func (a Action) MarshalText() ([]byte, error) { return marshalName(actionNames[:], uint8(a), "action") }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Action) UnmarshalText(text []byte) error {
	return unmarshalName(actionNames[:], text, "action", (*uint8)(a))
}

// Severity grades an event, mildest first.
type Severity uint8

// The severities.
const (
	Info Severity = iota
	Warning
	High
	Critical
)

var severityNames = [...]string{Info: "info", Warning: "warning", High: "high", Critical: "critical"}

func (s Severity) String() string { return nameOf(severityNames[:], uint8(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) {
	return marshalName(severityNames[:], uint8(s), "severity")
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(text []byte) error {
	return unmarshalName(severityNames[:], text, "severity", (*uint8)(s))
}

// Mode says how far a policy or a rule may go. The values are ordered, so the
// weaker of two modes is the smaller value.
type Mode uint8

// The modes, weakest first. Off is written `enabled: false` in a policy.
const (
	Off Mode = iota
	Observe
	Enforce
)

var modeNames = [...]string{Off: "off", Observe: "observe", Enforce: "enforce"}

func (m Mode) String() string { return nameOf(modeNames[:], uint8(m)) }

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return marshalName(modeNames[:], uint8(m), "mode") }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	return unmarshalName(modeNames[:], text, "mode", (*uint8)(m))
}

// Outcome is how an attempt ended.
type Outcome uint8

// The outcomes. OutcomeError means that the application could not check the
// password, so nothing was learned and nothing counts.
const (
	Success Outcome = iota
	Failure
	OutcomeError
)

var outcomeNames = [...]string{Success: "success", Failure: "failure", OutcomeError: "error"}

func (o Outcome) String() string { return nameOf(outcomeNames[:], uint8(o)) }

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) {
	return marshalName(outcomeNames[:], uint8(o), "outcome")
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Outcome) UnmarshalText(text []byte) error {
	return unmarshalName(outcomeNames[:], text, "outcome", (*uint8)(o))
}

func nameOf(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("invalid(%d)", v)
}

func marshalName(names []string, v uint8, what string) ([]byte, error) {
	if int(v) >= len(names) {
		return nil, fmt.Errorf("invalid %s %d", what, v)
	}
	return []byte(names[v]), nil
}

func unmarshalName(names []string, text []byte, what string, out *uint8) error {
	for i, name := range names {
		if string(text) == name {
			*out = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("unknown %s %q, want one of %q", what, clip(string(text), 64), names)
}
