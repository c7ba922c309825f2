package warder

import (
	"net/netip"
	"time"
)

// Why says why a decision was taken.
type Why string

// The reasons of a decision.
const (
	OK             Why = "ok"
	Disabled       Why = "disabled"
	Trusted        Why = "trusted"
	Blocked        Why = "blocked"
	Threshold      Why = "threshold_exceeded"
	Provider       Why = "provider"
	Geo            Why = "geo"
	History        Why = "history"
	DemandStanding Why = "demand"
	SessionRevoked Why = "session_revoked"
	Risk           Why = "risk"
	Pattern        Why = "pattern"
)

// Decision is the answer for one request. Message is safe to show to a
// stranger. In observe mode, or where the asking application cannot perform
// the action, Action is Allow and Would holds what would have been asked for.
type Decision struct {
	Action       Action     `json:"action"`
	Reason       Why        `json:"reason"`
	Rule         string     `json:"rule,omitempty"`
	BlockID      string     `json:"block_id,omitempty"`
	Reference    string     `json:"reference,omitempty"`
	ExpiresAt    *time.Time `json:"expires_at"`
	RetryAfter   *int64     `json:"retry_after"` // seconds
	ChallengeURL *string    `json:"challenge_url"`
	Message      string     `json:"message,omitempty"`
	Observe      bool       `json:"observe"`
	Would        *Would     `json:"would"`
}

// Would is what a decision would have been if it had been enforced.
type Would struct {
	Action Action `json:"action"`
	Reason Why    `json:"reason"`
	Rule   string `json:"rule,omitempty"`
}

// Subject is what a Block or a Demand stands on. Which parts are set says
// which kind it is:
//
//	IP only            every request from that prefix
//	IP and Account     that account from that prefix
//	Account only       that account, from sources it has not signed in from
//	Account and Source that account from that one known source (see policy)
//	Realm only         that realm, from sources unknown to the account
//
// Account is an account key (AccountKey), Source names a known source.
// Subject is comparable.
type Subject struct {
	IP      netip.Prefix `json:"ip,omitzero"`
	Account string       `json:"account,omitempty"`
	Source  string       `json:"source,omitempty"`
	Realm   string       `json:"realm,omitempty"`
	Session string       `json:"session,omitempty"`
}
