package policy

import (
	"net/netip"
	"time"

	"github.com/warderhq/warder"
)

// Document is the policy as it is written, in YAML or JSON with the same
// names. Parse fills in what may be left out, so a parsed Document says
// everything it means. It must not be changed while others read it.
type Document struct {
	Enabled   bool           `yaml:"enabled" json:"enabled"`                         // false: mode off
	Mode      warder.Mode    `yaml:"mode" json:"mode"`                               // Observe or Enforce
	Trusted   []netip.Prefix `yaml:"trusted,omitempty" json:"trusted,omitempty"`     // exempt from counting and blocking
	Blocked   []BlockedSpec  `yaml:"blocked,omitempty" json:"blocked,omitempty"`     // standing refusals
	Activity  Activity       `yaml:"activity" json:"activity"`                       // rules over events
	History   HistorySpec    `yaml:"history" json:"history"`                         // what an address did before
	Providers []ProviderSpec `yaml:"providers,omitempty" json:"providers,omitempty"` // external threat feeds
	Tests     []TestSpec     `yaml:"tests,omitempty" json:"tests,omitempty"`         // what the document promises of itself
}

// BlockedSpec is one entry of the `blocked` list. A nil Until has no end.
type BlockedSpec struct {
	IP     netip.Prefix `yaml:"ip" json:"ip"`
	Reason string       `yaml:"reason,omitempty" json:"reason,omitempty"`
	Until  *time.Time   `yaml:"until" json:"until"`
}

// Activity is the section of rules over events.
type Activity struct {
	Enabled bool       `yaml:"enabled" json:"enabled"`
	Rules   []RuleSpec `yaml:"rules,omitempty" json:"rules,omitempty"`
}

// RuleSpec is a rule as it is written. Durations are whole seconds.
type RuleSpec struct {
	ID      string `yaml:"id" json:"id"`
	Enabled bool   `yaml:"enabled" json:"enabled"`
	// Events are names or patterns in which * stands for any run of characters.
	Events []string `yaml:"events" json:"events"`
	// Realms and Reasons limit the rule to events with one of them; none: all.
	Realms  []string `yaml:"realms,omitempty" json:"realms,omitempty"`
	Reasons []string `yaml:"reasons,omitempty" json:"reasons,omitempty"`
	// Except lists events that the rule passes over: cross_site (their reason
	// says so) and recent_session (their session was valid within 24 h).
	Except    []string `yaml:"except,omitempty" json:"except,omitempty"`
	Key       KeyKind  `yaml:"key" json:"key"`
	Distinct  string   `yaml:"distinct,omitempty" json:"distinct,omitempty"`
	Threshold int      `yaml:"threshold" json:"threshold"`
	TimeRange int64    `yaml:"time_range" json:"time_range"`
	// CoolingPeriod is how long the result lasts, 0 = until lifted. It is nil
	// exactly if Escalate is given.
	CoolingPeriod *int64  `yaml:"cooling_period,omitempty" json:"cooling_period,omitempty"`
	Escalate      []int64 `yaml:"escalate,omitempty" json:"escalate,omitempty"`
	// AtMost cuts the result short if the event that crossed has that name.
	AtMost   map[string]int64 `yaml:"at_most,omitempty" json:"at_most,omitempty"`
	Action   warder.Action    `yaml:"action" json:"action"`
	Mode     warder.Mode      `yaml:"mode" json:"mode"`
	Severity warder.Severity  `yaml:"severity" json:"severity"`
}

// HistorySpec is the section on what an address did before.
type HistorySpec struct {
	Enabled  bool            `yaml:"enabled" json:"enabled"`
	Lookback int64           `yaml:"lookback" json:"lookback"` // seconds
	Criteria []CriterionSpec `yaml:"criteria,omitempty" json:"criteria,omitempty"`
}

// CriterionSpec asks for an action if an address did something often enough.
type CriterionSpec struct {
	When    string        `yaml:"when" json:"when"`
	AtLeast int           `yaml:"at_least" json:"at_least"`
	Action  warder.Action `yaml:"action" json:"action"`
}

// Kinds of history criteria.
const (
	PreviousBlocks   = "previous_blocks"
	Failures         = "failures"
	MarkedFraudulent = "marked_fraudulent"
)

// ProviderSpec is an external threat feed.
type ProviderSpec struct {
	Name    string  `yaml:"name" json:"name"`
	Enabled bool    `yaml:"enabled" json:"enabled"`
	URL     string  `yaml:"url" json:"url"`       // http, https or the path of a file
	Format  string  `yaml:"format" json:"format"` // ipsum
	Refresh int64   `yaml:"refresh" json:"refresh"`
	Levels  []Level `yaml:"levels,omitempty" json:"levels,omitempty"` // lowest first
}

// Level asks for an action if a feed lists an address at AtLeast or above.
type Level struct {
	AtLeast int           `yaml:"at_least" json:"at_least"`
	Action  warder.Action `yaml:"action" json:"action"`
}
