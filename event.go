package warder

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"
)

// Limits of an event's parts, in bytes.
const (
	MaxID        = 64
	MaxName      = 64
	MaxAccount   = 256
	MaxRealm     = 64
	MaxSession   = 256
	MaxDevice    = 256
	MaxUserAgent = 1024
	MaxMethod    = 16
	MaxPath      = 2048
	MaxReason    = 64
	MaxGuess     = 64
	MaxDetails   = 8 << 10
	// MaxAhead is how far an event's time may lie in the future.
	MaxAhead = 5 * time.Minute
)

// Names of the events that Warder writes itself. From outside they are refused.
const (
	ThresholdExceeded = "THRESHOLD_EXCEEDED"
	IPBlocked         = "IP_BLOCKED"
	IPUnblocked       = "IP_UNBLOCKED"
	SessionTerminated = "SESSION_TERMINATED"
	SuspiciousIP      = "SUSPICIOUS_IP"
)

// Names of built-in events that the engine itself has to know.
const (
	UnauthorizedAccess     = "UNAUTHORIZED_ACCESS"
	SessionHijackSuspected = "SESSION_HIJACK_SUSPECTED"
	MFASuccess             = "MFA_SUCCESS"
	MFAFailure             = "MFA_FAILURE"
	Logout                 = "LOGOUT"
)

// Reasons of a failure that the engine knows; any other text is welcome.
const (
	WrongPassword  = "wrong_password"
	UnknownAccount = "unknown_account"
	Locked         = "locked"
	MFAFailed      = "mfa_failed"
	Expired        = "expired"
	Unsettled      = "unsettled"
)

// Event is something that happened at a sign-in page, as an application
// reports it. Times are UTC; a zero Time means "now, on arrival". An invalid IP
// means that the client is unknown ("degraded"): rules that count by address
// do not apply to it.
type Event struct {
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name"`
	Time      time.Time       `json:"time,omitzero"`
	IP        netip.Addr      `json:"ip,omitzero"`
	Account   string          `json:"account,omitempty"`
	Realm     string          `json:"realm,omitempty"`
	Session   string          `json:"session,omitempty"`
	Device    string          `json:"device,omitempty"`
	UserAgent string          `json:"user_agent,omitempty"`
	Method    string          `json:"method,omitempty"`
	Path      string          `json:"path,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Guess     Guess           `json:"guess,omitzero"`
	Details   json.RawMessage `json:"details,omitempty"`
}

// Guess holds truncated keyed hashes of a wrong password, made by the
// application: Same over account and password, Popular over the password alone.
// The password itself never reaches Warder.
type Guess struct {
	Same    string `json:"same,omitempty"`
	Popular string `json:"popular,omitempty"`
}

// Faults checks every field of an event that came from outside, now being the
// time of its arrival. Locations are the field names.
func (e *Event) Faults(now time.Time) Faults {
	var f Faults
	f.text("id", e.ID, MaxID)
	switch {
	case e.Name == "":
		f.Add("name", "is required")
	case !ValidName(e.Name):
		f.Add("name", "must match [A-Z][A-Z0-9_]{1,63}, is %q", clip(e.Name, 80))
	case OwnEvent(e.Name):
		f.Add("name", "%s is written by Warder itself and cannot be reported", e.Name)
	}
	if e.Time.After(now.Add(MaxAhead)) {
		f.Add("time", "must not be more than 5 minutes ahead of the server's clock")
	}
	if y := e.Time.UTC().Year(); !e.Time.IsZero() && (y < 2000 || y > 9999) {
		f.Add("time", "must lie after the year 2000")
	}
	f.text("account", e.Account, MaxAccount)
	f.text("realm", e.Realm, MaxRealm)
	f.text("session", e.Session, MaxSession)
	f.text("device", e.Device, MaxDevice)
	f.text("user_agent", e.UserAgent, MaxUserAgent)
	f.text("method", e.Method, MaxMethod)
	f.text("path", e.Path, MaxPath)
	f.text("reason", e.Reason, MaxReason)
	f.guess("guess.same", e.Guess.Same)
	f.guess("guess.popular", e.Guess.Popular)
	switch {
	case len(e.Details) > MaxDetails:
		f.Add("details", "must be at most %d bytes of JSON, is %d", MaxDetails, len(e.Details))
	case len(e.Details) > 0 && !json.Valid(e.Details):
		f.Add("details", "must be JSON")
	}
	return f
}

func (f *Faults) guess(location, s string) {
	if len(s) > MaxGuess {
		f.Add(location, "must be at most %d hexadecimal digits", MaxGuess)
	} else if _, err := hex.DecodeString(s + s); err != nil {
		f.Add(location, "must be hexadecimal digits")
	}
}

// ValidName reports whether s can be the name of an event.
func ValidName(s string) bool {
	if len(s) < 2 || len(s) > MaxName || s[0] < 'A' || s[0] > 'Z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// OwnEvent reports whether name is one of the five events that only Warder
// writes.
func OwnEvent(name string) bool {
	switch name {
	case ThresholdExceeded, IPBlocked, IPUnblocked, SessionTerminated, SuspiciousIP:
		return true
	}
	return false
}
