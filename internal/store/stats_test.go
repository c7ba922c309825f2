package store

import (
	"testing"
	"time"

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

// TestHistoryOfNewAddresses: with history switched on, whoever has never done
// anything bad is journaled like everybody else.
func TestHistoryOfNewAddresses(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		if _, err := d.History(t.Context(), 30*24*time.Hour, start); err != nil {
			t.Fatal(err)
		}
		good := signIn(1, "198.51.100.1", "a")
		good.Severity = warder.Info
		c := j.commit(t, events(good), &guard.Record{Blocks: []*guard.Block{block("b1", "198.51.100.2/32", start, time.Hour)}},
			events(event(2, "198.51.100.3", "b")))
		for address, want := range map[string]guard.History{"198.51.100.1/32": {}, "198.51.100.3/32": {Failures: 1}} {
			if got, ok := c.History[prefix(address)]; !ok || got != want {
				t.Errorf("%s: %+v, %v, want %+v", address, got, ok, want)
			}
		}
	})
}
