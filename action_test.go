package warder

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	type named interface {
		encoding.TextUnmarshaler
		encoding.TextMarshaler
		String() string
	}
	tests := []struct {
		what    string
		zero    func() named
		invalid named
		names   []string // in their order
	}{
		{"action", func() named { return new(Action) }, new(Action(4)), []string{"allow", "challenge", "mfa", "block"}},
		{"severity", func() named { return new(Severity) }, new(Severity(4)), []string{"info", "warning", "high", "critical"}},
		{"mode", func() named { return new(Mode) }, new(Mode(3)), []string{"off", "observe", "enforce"}},
		{"outcome", func() named { return new(Outcome) }, new(Outcome(3)), []string{"success", "failure", "error"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			for _, name := range tt.names {
				v := tt.zero()
				if err := v.UnmarshalText([]byte(name)); err != nil {
					t.Fatal(err)
				}
				text, err := v.MarshalText()
				if err != nil || string(text) != name || v.String() != name {
					t.Errorf("%s reads back as %s, %v", name, text, err)
				}
			}
			for _, wrong := range []string{"", "ALLOW", "Block ", "nothing", "invalid(4)", strings.Repeat("x", 1<<16), "\xff\x00"} {
				v := tt.zero()
				err := v.UnmarshalText([]byte(wrong))
				if err == nil || v.String() != tt.names[0] || len(err.Error()) > 400 {
					t.Errorf("%.40q: %s, %.500v", wrong, v, err)
				}
			}
			if text, err := tt.invalid.MarshalText(); err == nil || !strings.HasPrefix(tt.invalid.String(), "invalid(") {
				t.Errorf("an invalid value is written as %s, %s", text, tt.invalid)
			}
		})
	}
	if !(Allow < Challenge && Challenge < MFA && MFA < BlockAction) || !(Off < Observe && Observe < Enforce) || !(Info < Warning && High < Critical) {
		t.Error("the order is not from weak to strong")
	}
}

// A Subject names the same thing wherever it is used as the key of a map.
func TestSubjectIsComparable(t *testing.T) {
	m := map[Subject]int{}
	ip := AddressKey(netip.MustParseAddr("2001:db8::1"))
	same := AddressKey(netip.MustParseAddr("2001:db8::2%eth0"))
	m[Subject{IP: ip}]++
	m[Subject{IP: same}]++
	m[Subject{IP: ip, Account: AccountKey("user", "Alice")}]++
	m[Subject{IP: same, Account: AccountKey("user", "alice ")}]++
	m[Subject{Account: AccountKey("user", "alice")}]++
	if len(m) != 3 || m[Subject{IP: ip}] != 2 {
		t.Errorf("%v", m)
	}
}

// The contract shows every key of a decision, also those that are null.
func TestDecisionJSON(t *testing.T) {
	text, err := json.Marshal(Decision{Action: Allow, Reason: OK})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"action":"allow","reason":"ok","expires_at":null,"retry_after":null,"challenge_url":null,"observe":false,"would":null}`
	if string(text) != want {
		t.Errorf("%s", text)
	}
	if text, err = json.Marshal(Subject{}); err != nil || string(text) != "{}" {
		t.Errorf("an empty subject is %s, %v", text, err)
	}
}
