package store

import (
	"testing"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// TestFailuresOfHistory: what the history of an address counts as failures.
func TestFailuresOfHistory(t *testing.T) {
	for name, want := range map[string]bool{
		"USER_LOGIN_FAILURE": true, "MFA_FAILURE": true, "API_KEY_FAILURE": true, "CHALLENGE_FAILURE": false, "USER_LOGIN_SUCCESS": false,
	} {
		e := &guard.Event{Event: warder.Event{Name: name}, Eligible: true}
		if failure(e) != want {
			t.Errorf("%s: %v", name, !want)
		}
		if e.Eligible = false; failure(e) {
			t.Errorf("%s counts although it is not eligible", name)
		}
	}
}
