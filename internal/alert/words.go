package alert

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// The words below are all that a subject line is made of, besides an address
// and a reference that were checked: nothing that a stranger wrote.

// attackByRule names the attacks that the rules of the presets look for.
var attackByRule = map[string]string{
	"recovery":      "password-recovery abuse",
	"enumeration":   "account enumeration",
	"many_accounts": "password spraying over many accounts",
	"pair":          "password guessing against one account",
	"mfa_guess":     "MFA code guessing",
	"admin_area":    "probing of the administration area",
	"hijack":        "session hijacking",
}

// titles are the headlines of alerts without a crossing.
var titles = map[string]string{
	guard.AlertSuspect:      "Warder may see your proxy instead of the clients",
	guard.AlertForwarder:    "An unknown proxy forwards requests",
	guard.AlertBlastRadius:  "Unusually many good addresses would be blocked",
	guard.AlertCountersFull: "The memory for counters is full",
	guard.AlertTest:         "Test mail",
}

// attackOf says in words what kind of attack an alert tells of. Events that are
// not Warder's own words are not repeated.
func attackOf(a *guard.Alert) string {
	if a.Kind == guard.AlertThreshold {
		return "your own threshold was reached"
	}
	if laneOf(a) == laneSystem {
		if t := titles[a.Kind]; t != "" {
			return t
		}
		return "Warder needs attention"
	}
	if w := attackByRule[a.Rule]; w != "" {
		return w
	}
	names, accounts, unknown := map[string]int{}, map[string]bool{}, 0
	for i := range a.Evidence {
		e := &a.Evidence[i]
		names[e.Name]++
		if e.Account != "" {
			accounts[warder.AccountKey(e.Realm, e.Account)] = true
		}
		if e.Reason == warder.UnknownAccount {
			unknown++
		}
	}
	name := a.Event
	if name == "" {
		for n, k := range names {
			if k > names[name] || k == names[name] && n < name {
				name = n
			}
		}
	}
	switch {
	case name == warder.SessionHijackSuspected:
		return "session hijacking"
	case name == warder.UnauthorizedAccess:
		return "probing of the administration area"
	case name == warder.MFAFailure:
		return "MFA code guessing"
	case strings.Contains(name, "_PASSWORD_RESET_"):
		return "password-recovery abuse"
	case name == "API_KEY_FAILURE":
		return "API key guessing"
	case name == "SMPP_BIND_FAILURE":
		return "SMPP password guessing"
	case strings.HasSuffix(name, "_LOGIN_FAILURE"):
		switch {
		case unknown > 0 && 2*unknown >= len(a.Evidence):
			return "account enumeration"
		case len(accounts) >= 5 || len(accounts) >= 3 && len(accounts) == len(a.Evidence):
			return "password spraying over many accounts"
		}
		return "password guessing"
	case strings.HasPrefix(name, "SIGNUP_"):
		return "sign-up abuse"
	}
	return "suspicious activity"
}

// done is what Warder did: its kind for totals, a short form, a sentence.
type done struct{ kind, short, long string }

func doneOf(a *guard.Alert) done {
	if laneOf(a) == laneSystem || a.Kind == guard.AlertThreshold {
		return done{"told of", "-", ""}
	}
	b := a.Block
	// A crossing that blocks and has no Block ended the session it counted by.
	session := b == nil && a.Action == warder.BlockAction || b != nil && b.Subject.Session != ""
	switch {
	case a.Spared == "client_address_suspect":
		return done{
			"not blocked", "not blocked: looks like a proxy",
			"Not blocked: nearly all sign-ins come from this address, so it looks like your own proxy. Put the proxy into trusted_proxies, so that Warder sees the clients behind it.",
		}
	case a.Spared != "":
		return done{
			"not blocked", "not blocked: own proxy",
			"Not blocked: own proxy. The address belongs to this installation, to one of its trusted proxies or to a signed-in administrator.",
		}
	case session:
		return done{"sessions ended", "session ended", "The session was ended. Whoever used it has to sign in again."}
	case b != nil:
		return blocked(a, b)
	case a.Action == warder.MFA:
		return done{"second factor demanded", "second factor demanded", "A second factor is demanded from now on."}
	case a.Action == warder.Challenge:
		return done{"challenge demanded", "challenge demanded", "A challenge has to be solved from now on."}
	}
	return done{"told of", "nothing blocked", "Nothing was blocked."}
}

func blocked(a *guard.Alert, b *guard.Block) done {
	what, ended := "The address", ""
	if b.Subject.Account == "" {
		ended = " Its open sessions were ended."
	}
	switch s := b.Subject; {
	case s.Account != "" && s.IP.IsValid():
		what = "The account, from this address only,"
	case s.Account != "" && s.Source != "":
		what = "The account, from this known device or address only,"
	case s.Account != "":
		what = "The account, from devices and addresses it has never used,"
	case s.IP.IsValid() && !s.IP.IsSingleIP():
		what = "The network " + s.IP.String()
	}
	if b.Until.IsZero() {
		return done{"blocked permanently", "blocked permanently", what + " is blocked permanently, until somebody lifts the block." + ended}
	}
	lasts := guard.Span(b.Until.Sub(b.From))
	d := done{
		"blocked for a time", "blocked for " + lasts,
		fmt.Sprintf("%s is blocked for %s, until %s.%s", what, lasts, longTime(b.Until), ended),
	}
	switch b.Cut {
	case "":
	case "shared_address":
		d.kind, d.short = "blocked for a time (shared address)", "blocked for "+lasts+" (shared address)"
		d.long += fmt.Sprintf(" No longer than that because it is a shared address: %s signed in well from there.", people(good(a)))
	case "unsettled":
		d.long += " No longer than that because the outcome of most tries was never reported."
	case "blast_radius":
		d.long += " No longer than that because unusually many addresses with honest users were blocked at once."
	case "event":
		d.long += " No longer than that because machines, which repeat themselves, sign in this way."
	default:
		d.long += " It is shorter than its rule says."
	}
	return d
}

// good is the number of accounts that signed in well from the address.
func good(a *guard.Alert) int {
	if a.Block != nil {
		return max(a.GoodAccounts, a.Block.GoodAccounts)
	}
	return a.GoodAccounts
}

func people(n int) string {
	if n == 1 {
		return "1 account"
	}
	return fmt.Sprintf("%d different accounts", n)
}

// mistake answers the question whether an honest person was hit.
func mistake(a *guard.Alert) string {
	const days = " in the last 14 days"
	switch n := good(a); n {
	case 0:
		return "No account signed in well from this address" + days + ". A mistake is unlikely, though somebody new who forgot a password looks the same."
	case 1:
		return "1 account signed in well from this address" + days + ". It may be a person who forgot a password: look at the accounts below."
	default:
		return people(n) + " signed in well from this address" + days + ". Honest people may share it, as in an office or a mobile network: look at the accounts below."
	}
}

// longTime is an instant as everybody reads it.
func longTime(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04:05 UTC") }

// address returns the address of an alert if it is one.
func address(a *guard.Alert) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.IP)
	if err == nil {
		return ip.WithZone(""), true
	}
	if a.Block != nil && a.Block.Subject.IP.IsValid() {
		return a.Block.Subject.IP.Addr(), true
	}
	return netip.Addr{}, false
}

// who names the subject of an alert in a line.
func who(a *guard.Alert) string {
	if ip, ok := address(a); ok {
		return ip.String()
	}
	if a.Account != "" {
		return tame(a.Account, 60)
	}
	return "-"
}

var validReference = regexp.MustCompile(`^[0-9A-Z]{2,8}(-[0-9A-Z]{2,8}){0,3}$`)

// reference is what the refused person was shown.
func reference(a *guard.Alert) string {
	if a.Block != nil && validReference.MatchString(a.Block.Reference) {
		return a.Block.Reference
	}
	return ""
}

// tame makes a text that a stranger chose safe to show: on one line, in one
// direction, of bounded length, and with links that nobody follows by mistake.
func tame(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) {
			return '\uFFFD'
		}
		return r
	}, s)
	s = strings.ReplaceAll(s, "://", "[:]//")
	for _, www := range []string{"www.", "WWW.", "Www."} {
		s = strings.ReplaceAll(s, www, www[:3]+"[.]")
	}
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return s
}
