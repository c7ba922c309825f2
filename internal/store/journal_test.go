package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/guard"
)

var same = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmpopts.EquateEmpty(),
	cmpopts.EquateApproxTime(0),
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// block is an automatic Block of an address key.
func block(id, ip string, from time.Time, duration time.Duration) *guard.Block {
	p := prefix(ip)
	b := &guard.Block{
		ID: id, Reference: "REF-" + strings.ToUpper(id), Subject: warder.Subject{IP: p}, Origin: guard.FromRule,
		Rule: "sign_in", EventName: "USER_LOGIN_FAILURE", From: from, GoodAccounts: 2, Threshold: 5, Window: 3600,
	}
	if duration > 0 {
		b.Until = from.Add(duration)
	}
	return b
}

// everything is a record with every field set.
func everything() *guard.Record {
	e := event(1, "2001:db8:1:2:3:4:5:6", "Alice")
	e.Session, e.Device = "s1", "d1"
	e.Guess = warder.Guess{Same: "abcd", Popular: "ef01"}
	e.Details = []byte(`{"a":1}`)
	e.OwnID, e.Rule, e.BlockID, e.Reference = true, "sign_in", "b1", "REF-B1"
	e.Action, e.Why = warder.BlockAction, warder.Threshold
	e.Takes, e.Emptied = []string{"", "mfa"}, []counter.Key{{Rule: "sign_in", Address: prefix("2001:db8:1:2::/64")}}
	e.Replaces, e.Source, e.Facts = 17, "d:1234", []byte(`{"x":true}`)
	second := event(2, "192.0.2.7", "bob")
	b := block("b1", "2001:db8:1:2::/64", start.Add(time.Second), 0)
	b.Members = []counter.Evidence{{Seq: e.Seq, At: e.Time}, {Seq: 99, At: start}}
	b.Also = []string{"pair"}
	return &guard.Record{
		Events: []guard.Event{e, second},
		Blocks: []*guard.Block{b},
		Demands: []*guard.Demand{{
			ID: "d1", Subject: warder.Subject{Account: "user\x1fbob"}, Action: warder.MFA, Rule: "r", From: start,
			Until: start.Add(time.Hour), EventSeq: second.Seq,
		}},
		Known: []guard.Known{{Account: "user\x1fbob", Source: "d:1", Address: prefix("192.0.2.7/32"), Realm: "user", At: start}},
		Sessions: []guard.Session{{
			ID: "s1", Account: "Alice", AccountKey: "user\x1falice", Realm: "user", Opening: prefix("192.0.2.1/32"),
			Latest: prefix("192.0.2.2/32"), Agent: "Firefox", Opened: start, LastUsed: start,
		}},
		Trusted:  []guard.Trusted{{ID: "t1", IP: prefix("10.0.0.0/8"), Note: "office", By: "operator:a@b", From: start}},
		Clears:   []guard.Clear{{Seq: e.Seq + 1, At: start, Selection: counter.Selection{Account: "user\x1fbob"}}},
		Marks:    []guard.Mark{{Address: prefix("192.0.2.7/32"), Fraudulent: true, Note: "n", By: "operator:a@b", At: start}},
		Refusals: []guard.Refusal{{Reference: "R-1", Time: start, Address: prefix("192.0.2.9/32"), Account: "x", Why: warder.Provider, Rule: "ipsum", Details: []byte(`{"level":5}`)}},
		Alerts:   []*guard.Alert{{ID: "a1", Kind: guard.AlertCrossing, Time: start, Severity: warder.Critical, IP: "192.0.2.7", Block: b, Count: 5}},
		Audit:    []guard.Audit{{Time: start, Actor: "warder", Action: "block.create", Target: "b1", After: []byte(`{"x":1}`)}},
		Shards:   []guard.Shard{{Index: 0, Seq: 5, Data: []byte{1, 2, 3}}, {Index: 1, Seq: 5, Data: []byte{4}}},
		Policy:   &guard.Revision{N: 1, Time: start, By: "operator:a@b", Comment: "c", Document: []byte("enabled: true\n")},
	}
}

func TestCommitAndLoad(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		r := everything()
		j.commit(t, r)
		now := start.Add(time.Minute)

		var tail []guard.TailItem
		if err := d.Tail(t.Context(), 0, func(i guard.TailItem) error { tail = append(tail, i); return nil }); err != nil {
			t.Fatal(err)
		}
		want := []guard.TailItem{{Event: &r.Events[0]}, {Clear: &r.Clears[0]}, {Event: &r.Events[1]}}
		if diff := cmp.Diff(want, tail, same); diff != "" {
			t.Errorf("tail: %s", diff)
		}

		s, err := d.Load(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		wantState := &guard.State{
			LastSeq: r.Events[1].Seq, LastNo: 1, Demands: r.Demands, Trusted: r.Trusted, Known: r.Known,
			Sessions: r.Sessions, Shards: r.Shards, Policy: r.Policy,
		}
		if diff := cmp.Diff(wantState, s, same); diff != "" {
			t.Errorf("state: %s", diff)
		}

		var blocks []*guard.Block
		if err := d.Blocks(t.Context(), now, func(b *guard.Block) error { blocks = append(blocks, b); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(blocks) != 1 || blocks[0].ID != "b1" || blocks[0].Subject != r.Blocks[0].Subject || !blocks[0].From.Equal(r.Blocks[0].From) {
			t.Errorf("blocks: %+v", blocks)
		}
	})
}

// TestEvidenceIsCopied: SEMANTICS 35, a Block keeps a copy of its evidence, and
// the alert carries the same.
func TestEvidenceIsCopied(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		r := everything()
		j.commit(t, r)
		if r.Blocks[0].Evidence != nil {
			t.Error("the caller's block was changed")
		}
		want := []guard.Evidence{
			{
				Seq: r.Events[0].Seq, ID: "e000001", Time: r.Events[0].Time, Name: "USER_LOGIN_FAILURE", IP: "2001:db8:1:2:3:4:5:6",
				Account: "Alice", Realm: "user", Method: "POST", Path: "/login", Reason: "wrong_password",
				UserAgent: r.Events[0].UserAgent,
			},
			{Seq: 99, Time: start},
		}
		if _, err := raw(t, d).Exec("DELETE FROM events"); err != nil {
			t.Fatal(err)
		}
		b, err := d.Block(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.Evidence, same); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"pair"}, b.Also); diff != "" {
			t.Error(diff)
		}
		a, err := d.AlertsAfter(t.Context(), 0, 10)
		if err != nil || len(a) != 1 {
			t.Fatal(a, err)
		}
		if diff := cmp.Diff(want, a[0].Alert.Evidence, same); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(want, a[0].Alert.Block.Evidence, same); diff != "" {
			t.Error(diff)
		}
	})
}

// TestRepeatedCommitDoublesNothing: the caller repeats a Commit whose outcome
// it does not know.
func TestRepeatedCommitDoublesNothing(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		r := everything()
		r.No = 1
		next := events(event(30, "192.0.2.7", "bob"))
		next.No = 2
		r.Revoke = []guard.Revoke{{Session: "s1", Reason: "x", At: start}}
		first, err := d.Commit(t.Context(), []*guard.Record{r})
		if err != nil || len(first.Revoked) != 1 {
			t.Fatal(first, err)
		}
		sums := func() (s [9]int) {
			for i, table := range []string{
				"events", "blocks", "audit", "alerts", "demands", "revocations", "clears",
			} {
				s[i] = count(t, d, "SELECT count(*) FROM "+table)
			}
			s[7] = count(t, d, "SELECT sum(n) FROM rollups")
			s[8] = count(t, d, "SELECT sum(bad) FROM addresses")
			return s
		}
		before := sums()
		for range 2 {
			c, err := d.Commit(t.Context(), []*guard.Record{r})
			if err != nil || len(c.Revoked) != 0 {
				t.Fatal(c, err)
			}
		}
		if after := sums(); after != before {
			t.Errorf("got %v, want %v", after, before)
		}
		if _, err := d.Commit(t.Context(), []*guard.Record{r, next}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, d, "SELECT count(*) FROM events"); n != 3 {
			t.Errorf("%d events, want 3", n)
		}
		if v, err := d.VerifyAudit(t.Context()); err != nil || !v.OK {
			t.Error(v, err)
		}
	})
}

// TestRefusedRecordIsNamed: nothing of the call is durable, and the others can
// be committed without it.
func TestRefusedRecordIsNamed(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		j.commit(t, events(event(1, "192.0.2.1", "a")))
		good, bad, last := events(event(2, "192.0.2.1", "a")), events(event(1, "192.0.2.1", "a")), events(event(3, "192.0.2.1", "a"))
		good.No, bad.No, last.No = 2, 3, 4
		_, err := d.Commit(t.Context(), []*guard.Record{good, bad, last})
		var refused *guard.RefusedError
		if !errors.As(err, &refused) || refused.No != 3 || !errors.Is(err, guard.ErrRecordRefused) {
			t.Fatalf("got %v", err)
		}
		if n := count(t, d, "SELECT count(*) FROM events"); n != 1 {
			t.Errorf("%d events are durable, want 1", n)
		}
		if _, err := d.Commit(t.Context(), []*guard.Record{good, last}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, d, "SELECT count(*) FROM events"); n != 3 {
			t.Errorf("%d events are durable, want 3", n)
		}
	})
}

// TestLockedDatabase: an error within the busy timeout, and later it works.
func TestLockedDatabase(t *testing.T) {
	d := openAt(t, t.TempDir()+"/warder.db")
	other := raw(t, d)
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	r := events(event(1, "192.0.2.1", "a"))
	r.No = 1
	began := time.Now()
	_, err = d.Commit(t.Context(), []*guard.Record{r})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	if errors.Is(err, guard.ErrRecordRefused) {
		t.Error("a lock is no reason to refuse a record")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if err := d.Writable(t.Context()); !errors.Is(err, ErrLocked) {
		t.Errorf("writable: %v", err)
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Errorf("reading must go on: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Commit(ctx, []*guard.Record{r}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), []*guard.Record{r}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d, "SELECT count(*) FROM events"); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// TestAnswers: SEMANTICS 44, 47. Only ids of the application's own events are
// found, only since the given time; the id may be used again later. Of an event
// that came without one the answer is what the log says.
func TestAnswers(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		mine, ours, theirs := event(1, "192.0.2.1", "a"), event(2, "192.0.2.1", "a"), event(3, "192.0.2.1", "a")
		mine.OwnID, mine.ID, mine.Digest = true, "x", []byte("1")
		ours.ID, ours.Digest, ours.Answer = "y", []byte("3"), nil
		theirs.OwnID, theirs.ID, theirs.App = true, "z", "app2"
		again := event(90_000, "192.0.2.1", "a")
		again.OwnID, again.ID, again.Digest = true, "x", []byte("2")
		j.commit(t, events(mine, ours, theirs), events(again))
		left := event(90_001, "192.0.2.1", "a")
		left.OwnID, left.ID, left.Reason, left.Digest = true, "u", warder.Unsettled, nil
		j.commit(t, events(left))
		ids := []string{"x", "y", "z", "w", "u"}
		got, err := d.Answers(t.Context(), "app1", ids, start)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]guard.Answer{
			"x": {Digest: []byte("2"), Severity: warder.High, Answer: again.Answer},
			"y": {Digest: []byte("3"), Severity: warder.High, Answer: []byte(jsonText(warder.Decision{
				Action: ours.Action, Reason: ours.Why, Rule: ours.Rule, BlockID: ours.BlockID, Reference: ours.Reference,
			}))},
			"u": {Severity: warder.High, Answer: left.Answer, Unsettled: &left},
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Error(diff)
		}
		// A batch asks for more than one query can, and some ids twice.
		var many []string
		for i := range 1000 {
			many = append(many, fmt.Sprint("none", i))
		}
		got, err = d.Answers(t.Context(), "app1", append(append(many, ids...), ids...), start)
		if diff := cmp.Diff(want, got, same); diff != "" || err != nil {
			t.Error(diff, err)
		}
		var plan string
		if err := raw(t, d).QueryRow("EXPLAIN QUERY PLAN SELECT seq FROM events WHERE id IN ('x', 'y') AND app = 'app1' AND arrival >= 1").
			Scan(new(int), new(int), new(int), &plan); err != nil || !strings.Contains(plan, "events_id") {
			t.Errorf("plan %q, %v", plan, err)
		}
		if got, err = d.Answers(t.Context(), "app1", ids, start.Add(48*time.Hour)); err != nil || len(got) != 0 {
			t.Error(got, err)
		}
		e, err := d.Event(t.Context(), "x")
		if err != nil || e.Seq != again.Seq {
			t.Error(e, err)
		}
	})
}

// TestRevocation: SEMANTICS 37 and 38.
func TestRevocation(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		open := func(id, account, opening, latest string) guard.Session {
			return guard.Session{
				ID: id, Account: account, AccountKey: "user\x1f" + account, Realm: "user", Opening: prefix(opening),
				Latest: prefix(latest), Opened: start, LastUsed: start,
			}
		}
		j.commit(t, &guard.Record{Sessions: []guard.Session{
			open("s1", "a", "192.0.2.1/32", "192.0.2.1/32"), open("s2", "b", "192.0.2.2/32", "192.0.2.1/32"),
			open("s3", "c", "192.0.2.1/32", "192.0.2.3/32"), open("s4", "a", "198.51.100.1/32", "198.51.100.1/32"),
			open("s5", "e", "2001:db8::/64", "2001:db8::/64"), open("s6", "f", "198.51.100.2/32", "198.51.100.2/32"),
		}})
		ids := func(c guard.Committed) (out []string) {
			for _, r := range c.Revoked {
				out = append(out, fmt.Sprintf("%d:%s", r.Seq, r.Session))
			}
			return out
		}
		at := start.Add(time.Minute)
		for _, tt := range []struct {
			name   string
			revoke guard.Revoke
			want   []string
		}{
			{"opening or latest address", guard.Revoke{Address: prefix("192.0.2.1/32")}, []string{"1:s1", "2:s2", "3:s3"}},
			{"again", guard.Revoke{Address: prefix("192.0.2.1/32")}, nil},
			{"account", guard.Revoke{AccountKey: "user\x1fa"}, []string{"4:s4"}},
			{"ipv6 is not ipv4", guard.Revoke{Address: prefix("::/8")}, nil},
			{"part of an address key", guard.Revoke{Address: prefix("2001:db8::1/128")}, []string{"5:s5"}},
			{"one never opened", guard.Revoke{Session: "unknown"}, []string{"6:unknown"}},
			{"it again", guard.Revoke{Session: "unknown"}, nil},
			{"account from elsewhere", guard.Revoke{AccountKey: "user\x1ff", Address: prefix("192.0.2.0/24")}, nil},
			{"account from there", guard.Revoke{AccountKey: "user\x1ff", Address: prefix("198.51.100.0/24")}, []string{"7:s6"}},
		} {
			tt.revoke.Reason, tt.revoke.At = "ip_blocked", at
			if diff := cmp.Diff(tt.want, ids(j.commit(t, &guard.Record{Revoke: []guard.Revoke{tt.revoke}}))); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
		}
		// Seen again, a revoked session stays revoked.
		j.commit(t, &guard.Record{Sessions: []guard.Session{open("s1", "a", "192.0.2.1/32", "192.0.2.9/32")}})
		s, err := d.Load(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Sessions) != 0 || len(s.Revoked) != 7 {
			t.Errorf("live %v, revoked %v", s.Sessions, s.Revoked)
		}

		f, err := d.Revocations(t.Context(), -1, 3)
		if err != nil || len(f.Items) != 3 || f.Next != 3 || f.Reset || f.Items[1].IP != "192.0.2.1" {
			t.Fatal(f, err)
		}
		f, err = d.Revocations(t.Context(), f.Next, 500)
		if err != nil || len(f.Items) != 4 || f.Next != 7 || f.Items[1].IP != "2001:db8::/64" {
			t.Fatal(f, err)
		}
		if f, err = d.Revocations(t.Context(), 7, 500); err != nil || len(f.Items) != 0 || f.Next != 7 || f.Reset {
			t.Fatal(f, err)
		}
		// Retention deletes all; who asks from before is told, numbers go on.
		if _, err := d.Retain(t.Context(), at.Add(8*24*time.Hour), Retention{}); err != nil {
			t.Fatal(err)
		}
		if f, err = d.Revocations(t.Context(), 3, 500); err != nil || !f.Reset || f.Next != 7 {
			t.Fatal(f, err)
		}
		if f, err = d.Revocations(t.Context(), 7, 500); err != nil || f.Reset {
			t.Fatal(f, err)
		}
		c := j.commit(t, &guard.Record{Revoke: []guard.Revoke{{Session: "new", At: at}}})
		if diff := cmp.Diff([]string{"8:new"}, ids(c)); diff != "" {
			t.Error(diff)
		}
		if f, err = d.Revocations(t.Context(), 99, 500); err != nil || !f.Reset || len(f.Items) != 1 {
			t.Fatal(f, err)
		}
	})
}

// TestHostileText: whatever the words hold, they come back as they were.
func TestHostileText(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		texts := []string{
			"'; DROP TABLE events; --", `" OR 1=1`, "%_\\", "\u202eevil", "日本語", "a\x00b", "😀", "$1 ?1 :name @x",
			strings.Repeat("é", 128), "{\"x\":\"\\u0000\"}", "\x7f", "<script>",
		}
		for i, s := range texts {
			e := event(i+1, "192.0.2.1", s)
			e.Path, e.UserAgent, e.Session, e.Reason, e.Realm = "/"+s, s, s, s, "r"+s
			e.AccountKey = warder.AccountKey(e.Realm, s)
			j.commit(t, &guard.Record{
				Events: []guard.Event{e},
				Audit:  []guard.Audit{{Time: start, Actor: s, Action: "x", Reason: s, Before: []byte(`"` + "b" + `"`)}},
			})
			got, err := d.Event(t.Context(), e.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&e, got, same); diff != "" {
				t.Errorf("%q: %s", s, diff)
			}
			for _, f := range []EventFilter{{Q: s}, {Account: s}, {Realm: e.Realm}, {Q: e.Path}} {
				if l, err := d.ListEvents(t.Context(), f, Page{}); err != nil {
					t.Errorf("%+v: %v", f, err)
				} else if f.Q != s && len(l.Items) == 0 && warder.AccountKey("", s) != "" {
					t.Errorf("%+v: not found", f)
				}
			}
		}
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK || r.Rows != int64(len(texts)) {
			t.Error(r, err)
		}
	})
}

// TestHistory: SEMANTICS 31, 50 and 57.
func TestHistory(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		key := prefix("192.0.2.1/32")
		day := 24 * 60 * 60
		if _, err := d.History(t.Context(), 30*24*time.Hour, start); err != nil {
			t.Fatal(err)
		}
		ineligible := event(3, "192.0.2.1", "a")
		ineligible.Eligible = false
		c := j.commit(t, events(event(1, "192.0.2.1", "a"), event(2, "192.0.2.1", "a"), ineligible, signIn(4, "192.0.2.1", "a")))
		want := guard.History{Failures: 2}
		check := func(step string, c guard.Committed, now time.Time) {
			t.Helper()
			if c.History != nil && c.History[key] != want {
				t.Errorf("%s: commit says %+v, want %+v", step, c.History[key], want)
			}
			all, err := d.History(t.Context(), 30*24*time.Hour, now)
			if err != nil {
				t.Fatal(err)
			}
			if all[key] != want {
				t.Errorf("%s: %+v, want %+v", step, all[key], want)
			}
		}
		check("two failures", c, start)
		c = j.commit(t, events(event(day, "192.0.2.1", "a")), events(event(3*day, "192.0.2.1", "a")))
		want.Failures = 4
		check("two more days", c, start.Add(72*time.Hour))
		late := event(day+1, "192.0.2.1", "a")
		late.Seq = start.Add(73 * time.Hour).UnixMicro()
		c = j.commit(t, events(late))
		want.Failures = 5
		check("reported late", c, start.Add(73*time.Hour))

		k, obs := block("b1", "192.0.2.1/32", start, time.Hour), block("b2", "192.0.2.1/32", start, time.Hour)
		obs.Observed = true
		lifted := block("b3", "192.0.2.1/32", start, time.Hour)
		j.commit(t, &guard.Record{Blocks: []*guard.Block{k, obs, lifted}}, &guard.Record{
			BlockEnds: []guard.BlockEnd{{ID: "b3", At: start, By: "operator:x", Verdict: guard.VerdictError}},
		})
		c = j.commit(t, &guard.Record{Marks: []guard.Mark{{Address: key, Fraudulent: true, At: start.Add(73 * time.Hour)}}})
		want.Blocks, want.Fraudulent = 1, true
		if len(c.History) != 1 {
			t.Errorf("a mark changes the history of %d addresses, want 1", len(c.History))
		}
		check("blocked and marked", c, start.Add(73*time.Hour))

		c = j.commit(t, &guard.Record{Clears: []guard.Clear{{
			Seq: start.Add(74 * time.Hour).UnixMicro(), At: start.Add(74 * time.Hour), Selection: counter.Selection{Address: key},
		}}})
		want.Failures = 0
		if len(c.History) != 1 {
			t.Errorf("a clearing changes the history of %d addresses, want 1", len(c.History))
		}
		check("cleared", c, start.Add(74*time.Hour))
		c = j.commit(t, events(event(3*day+10_000, "192.0.2.1", "a")))
		want.Failures = 1
		check("one more that day", c, start.Add(75*time.Hour))
		check("still within", guard.Committed{}, start.Add(29*24*time.Hour))
		want = guard.History{Fraudulent: true}
		check("long ago", guard.Committed{}, start.Add(60*24*time.Hour))
	})
}

func TestBlockLife(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		j.commit(t, &guard.Record{Blocks: []*guard.Block{block("b1", "192.0.2.1/32", start, time.Hour)}})
		note, who, until := "seen", "operator:x", start.Add(3*time.Hour)
		j.commit(t, &guard.Record{
			BlockHits:  []guard.BlockHits{{ID: "b1", N: 3, Last: start.Add(time.Second)}, {ID: "b1", N: 2, Last: start}, {ID: "none", N: 1}},
			BlockEdits: []guard.BlockEdit{{ID: "b1", Note: &note, Reviewed: &who, At: start, Until: &until}},
		})
		b, err := d.Block(t.Context(), "b1")
		if err != nil {
			t.Fatal(err)
		}
		if b.Hits != 5 || !b.LastHit.Equal(start.Add(time.Second)) || b.Note != note || b.ReviewedBy != who || !b.Until.Equal(until) {
			t.Errorf("%+v", b)
		}
		later := until.Add(time.Hour)
		j.commit(t, &guard.Record{BlockEnds: []guard.BlockEnd{{ID: "b1", At: until}}},
			&guard.Record{BlockEdits: []guard.BlockEdit{{ID: "b1", At: until, Until: &later}}})
		if b, err = d.Block(t.Context(), "b1"); err != nil || b.State(until) != guard.StateExpired || !b.Until.Equal(until) {
			t.Errorf("prolonged after it had ended: %+v, %v", b, err)
		}
		s, err := d.Load(t.Context(), until.Add(time.Minute))
		if err != nil || len(s.Steps) != 1 || s.Steps[0].Subject != b.Subject || !s.Steps[0].Ended.Equal(until) {
			t.Errorf("steps %+v %v", s.Steps, err)
		}
		j.commit(t, &guard.Record{BlockEnds: []guard.BlockEnd{{ID: "b1", At: until, By: "operator:x", Verdict: "error", Reason: "oops"}}})
		if s, err = d.Load(t.Context(), until.Add(time.Minute)); err != nil || len(s.Steps) != 0 {
			t.Errorf("a lifted block is no step: %+v %v", s.Steps, err)
		}
		j.commit(t, &guard.Record{Blocks: []*guard.Block{block("b2", "192.0.2.1/32", start, time.Hour)}},
			&guard.Record{BlockEnds: []guard.BlockEnd{{ID: "b2", At: start.Add(time.Minute), Reason: "superseded by b3"}}})
		if s, err = d.Load(t.Context(), until.Add(time.Minute)); err != nil || len(s.Steps) != 0 {
			t.Errorf("a block that made room for another is no step: %+v %v", s.Steps, err)
		}
		n := 0
		if err := d.Blocks(t.Context(), start, func(*guard.Block) error { n++; return nil }); err != nil || n != 0 {
			t.Error(n, err)
		}
	})
}

func TestGoodAndHours(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		failed := func(second int, ip string) guard.Event {
			e := event(second, ip, "c")
			e.Failed = true
			return e
		}
		j.commit(t, events(signIn(1, "192.0.2.1", "a"), signIn(2, "192.0.2.1", "b"), failed(3, "192.0.2.1"), event(4, "192.0.2.1", "c"),
			signIn(5, "192.0.2.1", "a"), failed(6, "192.0.2.2")))
		j.commit(t, events(signIn(2*3600, "192.0.2.1", "a")))
		s, err := d.Load(t.Context(), start.Add(3*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		key := prefix("192.0.2.1/32")
		good := []guard.Good{
			{Address: key, Account: "user\x1fa", At: start.Add(2 * time.Hour)},
			{Address: key, Account: "user\x1fb", At: start.Add(2 * time.Second)},
		}
		if diff := cmp.Diff(good, s.Good, same); diff != "" {
			t.Error(diff)
		}
		hours := []guard.Hour{
			{Address: key, Realm: "user", Hour: start, OK: 3, Bad: 1},
			{Address: key, Realm: "user", Hour: start.Add(2 * time.Hour), OK: 1},
		}
		if diff := cmp.Diff(hours, s.Hours, same); diff != "" {
			t.Error(diff)
		}
		if s, err = d.Load(t.Context(), start.Add(25*time.Hour)); err != nil || len(s.Hours) != 1 {
			t.Error(s.Hours, err)
		}
	})
}

func TestShardKeepsData(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		j.commit(t, &guard.Record{Shards: []guard.Shard{{Index: 3, Seq: 1, Data: []byte("x")}}})
		j.commit(t, &guard.Record{Shards: []guard.Shard{{Index: 3, Seq: 2}}})
		s, err := d.Load(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]guard.Shard{{Index: 3, Seq: 2, Data: []byte("x")}}, s.Shards); diff != "" {
			t.Error(diff)
		}
	})
}

// TestCancelledAtBegin: who gives up at any moment leaves no transaction open, in
// which nobody else could write any more.
func TestCancelledAtBegin(t *testing.T) {
	d := openAt(t, t.TempDir()+"/warder.db")
	for i := range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(i%100)*time.Microsecond, cancel)
		if _, err := d.commit(ctx, func(*tx) error { return nil }); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("round %d: %v", i, err)
		}
		cancel()
	}
	if err := d.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
}
