package store

import (
	"testing"

	"github.com/warderhq/warder"
)

func TestSmoke(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		j.commit(t, events(event(1, "192.0.2.1", "alice"), event(2, "192.0.2.1", "bob")))
		for _, f := range []EventFilter{{}, {Names: []string{"USER_LOGIN_FAILURE"}}, {Q: "ali"}, {Q: "/lo"}, {Realm: "user"}, {Severities: []warder.Severity{warder.High}}} {
			l, err := d.ListEvents(t.Context(), f, Page{})
			if err != nil || len(l.Items) == 0 {
				t.Fatal(f, l, err)
			}
		}
		if _, err := d.Load(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Retain(t.Context(), start, Retention{EventsDays: 10, MaxSize: 1 << 30}); err != nil {
			t.Fatal(err)
		}
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK {
			t.Fatal(r, err)
		}
	})
}
