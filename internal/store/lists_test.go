package store

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// ids lists a filter page by page.
func ids(t *testing.T, d *DB, f EventFilter, limit int) string {
	t.Helper()
	var out []string
	p := Page{Limit: limit}
	for range 1000 {
		l, err := d.ListEvents(t.Context(), f, p)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if len(l.Items) > limit {
			t.Fatalf("%+v: %d items", f, len(l.Items))
		}
		for _, e := range l.Items {
			out = append(out, strings.TrimLeft(e.ID, "e0"))
		}
		if p.Cursor = l.Next; l.Next == "" {
			return strings.Join(out, " ")
		}
	}
	t.Fatal("no end")
	return ""
}

// TestEventFilters tries every filter, alone and together, with pages of
// several sizes; exports give the same.
func TestEventFilters(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		list := []guard.Event{
			event(1, "192.0.2.1", "alice"), event(2, "192.0.2.1", "Bob"), event(3, "192.0.2.200", "bobby"),
			event(4, "198.51.100.1", "carol"), event(5, "2001:db8:0:1::5", "dave"), event(6, "2001:db8:0:1::6", "dave"),
			event(7, "2001:db8:0:2::7", ""), signIn(8, "192.0.2.1", "alice"), event(9, "203.0.113.9", "ALICE"),
		}
		list[3].Realm, list[3].AccountKey = "admin", warder.AccountKey("admin", "carol")
		list[4].Severity, list[4].Rule = warder.Critical, "sign_in"
		list[5].Severity, list[5].Path, list[5].Reference = warder.Warning, "/admin/login", "7K3M-22QP"
		list[6].Name, list[6].Path = "UNAUTHORIZED_ACCESS", "/admin/x"
		list[8].IP, list[8].Address = netip.Addr{}, netip.Prefix{} // degraded
		late := event(20, "192.0.2.1", "late")                     // reported last, happened first
		late.Time = start
		j.commit(t, events(list...), events(late))
		at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

		for _, tt := range []struct {
			name string
			f    EventFilter
			want string
		}{
			{"all", EventFilter{}, "9 8 7 6 5 4 3 2 1 20"},
			{"from", EventFilter{From: at(7)}, "9 8 7"},
			{"from to", EventFilter{From: at(2), To: at(5)}, "4 3 2"},
			{"to", EventFilter{To: at(1)}, "20"},
			{"name", EventFilter{Names: []string{"USER_LOGIN_SUCCESS"}}, "8"},
			{"names", EventFilter{Names: []string{"USER_LOGIN_SUCCESS", "UNAUTHORIZED_ACCESS", "USER_LOGIN_SUCCESS", "NONE"}}, "8 7"},
			{"names merged", EventFilter{Names: []string{"USER_LOGIN_FAILURE", "UNAUTHORIZED_ACCESS"}}, "9 7 6 5 4 3 2 1 20"},
			{"severity", EventFilter{Severities: []warder.Severity{warder.Critical}}, "5"},
			{"severities", EventFilter{Severities: []warder.Severity{warder.High, warder.Critical}}, "9 7 5 4 3 2 1 20"},
			{"mild severities", EventFilter{Severities: []warder.Severity{warder.Info, warder.Warning}}, "8 6"},
			{"name and severity", EventFilter{Names: []string{"USER_LOGIN_FAILURE"}, Severities: []warder.Severity{warder.Warning}}, "6"},
			{"ip", EventFilter{IP: prefix("192.0.2.1/32")}, "8 2 1 20"},
			{"prefix", EventFilter{IP: prefix("192.0.2.0/24")}, "8 3 2 1 20"},
			{"wide prefix", EventFilter{IP: prefix("0.0.0.0/0")}, "8 4 3 2 1 20"},
			{"ipv6 address", EventFilter{IP: prefix("2001:db8:0:1::5/128")}, "5"},
			{"ipv6 key", EventFilter{IP: prefix("2001:db8:0:1::/64")}, "6 5"},
			{"ipv6 prefix", EventFilter{IP: prefix("2001:db8::/32")}, "7 6 5"},
			{"ipv6 without ipv4", EventFilter{IP: prefix("::/0")}, "7 6 5"},
			{"q ipv6 without ipv4", EventFilter{Q: "::/8", Account: "alice"}, ""},
			{"account", EventFilter{Account: " aLICE"}, "9 8 1"},
			{"account and ip", EventFilter{Account: "alice", IP: prefix("192.0.2.0/24")}, "8 1"},
			{"realm", EventFilter{Realm: "admin"}, "4"},
			{"unknown realm", EventFilter{Realm: "none"}, ""},
			{"realm and time", EventFilter{Realm: "user", From: at(3), To: at(7)}, "6 5 3"},
			{"realm and names", EventFilter{Realm: "user", Names: []string{"USER_LOGIN_SUCCESS", "UNAUTHORIZED_ACCESS"}}, "8 7"},
			{"rule", EventFilter{Rule: "sign_in"}, "5"},
			{"rule and account", EventFilter{Rule: "sign_in", Account: "dave"}, "5"},
			{"rule and other account", EventFilter{Rule: "sign_in", Account: "alice"}, ""},
			{"q id", EventFilter{Q: "e000004"}, "4"},
			{"q reference", EventFilter{Q: "7k3m-22qp"}, "6"},
			{"q address", EventFilter{Q: "192.0.2.200"}, "3"},
			{"q mapped address", EventFilter{Q: "::ffff:192.0.2.200"}, "3"},
			{"q prefix", EventFilter{Q: "192.0.2.77/24"}, "8 3 2 1 20"},
			{"q account, not its beginning", EventFilter{Q: "bob"}, "2"},
			{"q beginning of an account", EventFilter{Q: "BO"}, "3 2"},
			{"q beginning of a path", EventFilter{Q: "/adm"}, "7 6"},
			{"q none", EventFilter{Q: "zzz"}, ""},
			{"q and name", EventFilter{Q: "/admin", Names: []string{"UNAUTHORIZED_ACCESS"}}, "7"},
			{"q and severity", EventFilter{Q: "bo", Severities: []warder.Severity{warder.High}}, "3 2"},
			{"q and account", EventFilter{Q: "dave", Account: "dave"}, "6 5"},
			{"q and other account", EventFilter{Q: "dave", Account: "alice"}, ""},
			{"q narrower than ip", EventFilter{Q: "192.0.2.200", IP: prefix("192.0.2.0/24")}, "3"},
			{"q wider than ip", EventFilter{Q: "192.0.2.0/24", IP: prefix("192.0.2.200/32")}, "3"},
			{"q outside ip", EventFilter{Q: "198.51.100.1", IP: prefix("192.0.2.0/24")}, ""},
			{"everything", EventFilter{
				From: at(5), To: at(6), Names: []string{"USER_LOGIN_FAILURE"}, Severities: []warder.Severity{warder.Critical},
				IP: prefix("2001:db8::/32"), Account: "dave", Realm: "user", Rule: "sign_in", Q: "e000005",
			}, "5"},
		} {
			for _, limit := range []int{1, 2, 3, 500} {
				if got := ids(t, d, tt.f, limit); got != tt.want {
					t.Errorf("%s by %d: %q, want %q", tt.name, limit, got, tt.want)
				}
			}
			var all []string
			if err := d.EachEvent(t.Context(), tt.f, func(e *guard.Event) error {
				all = append(all, strings.TrimLeft(e.ID, "e0"))
				return nil
			}); err != nil || strings.Join(all, " ") != tt.want {
				t.Errorf("%s exported: %q, %v", tt.name, all, err)
			}
		}
	})
}

// TestEventFiltersAgreeWithModel compares with a slow and obvious filter.
func TestEventFiltersAgreeWithModel(t *testing.T) {
	if testing.Short() {
		t.Skip("one call after the other, and long")
	}
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		var list []guard.Event
		for i := range 300 {
			e := event(i*97%5000, fmt.Sprintf("192.0.%d.%d", i%3, i%7), fmt.Sprintf("user%d", i%11))
			e.Seq = start.Add(time.Hour).UnixMicro() + int64(i)
			e.ID = fmt.Sprintf("e%06d", i)
			e.Severity = warder.Severity(i % 4)
			e.Name = []string{"USER_LOGIN_FAILURE", "ADMIN_LOGIN_FAILURE", "LOGOUT"}[i%3]
			e.Realm = []string{"user", "admin"}[i%13/12]
			e.AccountKey = warder.AccountKey(e.Realm, e.Account)
			e.Rule = []string{"", "r1"}[i%5/4]
			list = append(list, e)
			j.commit(t, events(e))
		}
		slices.SortFunc(list, func(a, b guard.Event) int {
			if c := b.Time.Compare(a.Time); c != 0 {
				return c
			}
			return int(b.Seq - a.Seq)
		})
		for i := range 200 {
			f := EventFilter{}
			if i%2 == 1 {
				f.Names = []string{"ADMIN_LOGIN_FAILURE", "LOGOUT"}[:1+i%3/2]
			}
			if i%3 == 1 {
				f.Severities = []warder.Severity{warder.Severity(i % 4), warder.Critical}
			}
			if i%5 == 1 {
				f.Realm = []string{"admin", "user"}[i%2]
			}
			if i%7 == 1 {
				f.IP = prefix([]string{"192.0.1.0/24", "192.0.0.3/32"}[i%2])
			}
			if i%4 == 3 {
				f.From, f.To = start.Add(time.Duration(i)*10*time.Second), start.Add(time.Duration(i)*20*time.Second)
			}
			if i%11 == 1 {
				f.Account = "USER3"
			}
			if i%6 == 5 {
				f.Rule = "r1"
			}
			var want []string
			for _, e := range list {
				if (len(f.Names) == 0 || slices.Contains(f.Names, e.Name)) &&
					(len(f.Severities) == 0 || slices.Contains(f.Severities, e.Severity)) &&
					(f.Realm == "" || f.Realm == e.Realm) && (!f.IP.IsValid() || f.IP.Contains(e.IP)) &&
					(f.From.IsZero() || !e.Time.Before(f.From)) && (f.To.IsZero() || e.Time.Before(f.To)) &&
					(f.Account == "" || e.Account == "user3") && (f.Rule == "" || f.Rule == e.Rule) {
					want = append(want, strings.TrimLeft(e.ID, "e0"))
				}
			}
			if got := ids(t, d, f, 7+i%20); got != strings.Join(want, " ") {
				t.Errorf("%+v:\n got %s\nwant %s", f, got, strings.Join(want, " "))
			}
		}
	})
}

// TestPagingIsStable: rows that arrive while somebody pages are neither shown
// twice nor push others out.
func TestPagingIsStable(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		for i := range 20 {
			e := event(100, "192.0.2.1", "a") // all at the same instant
			e.Seq, e.ID = e.Seq+int64(i), fmt.Sprint(i)
			j.commit(t, events(e))
		}
		seen := map[string]int{}
		p := Page{Limit: 3}
		for n := 0; ; n++ {
			l, err := d.ListEvents(t.Context(), EventFilter{}, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range l.Items {
				seen[e.ID]++
			}
			if p.Cursor = l.Next; l.Next == "" {
				break
			}
			j.commit(t, events(event(200+n, "192.0.2.1", "new")))
		}
		if len(seen) != 20 {
			t.Errorf("%d seen, want 20", len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s seen %d times", id, n)
			}
		}
	})
}

// TestSparseListGoesOn: a filter that only the rollups serve finds what happened
// before a pause, wherever a page ends in the quarter hour after it.
func TestSparseListGoesOn(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		var list []guard.Event
		for burst := range 4 { // with an empty hour between
			for i := range []int{700, 10, 3, 600}[burst] {
				list = append(list, event(burst*3600+i, "192.0.2.1", "alice"))
			}
		}
		j.commit(t, events(list...))
		f := EventFilter{Realm: "user"}
		n := 0
		if err := d.EachEvent(t.Context(), f, func(*guard.Event) error { n++; return nil }); err != nil || n != len(list) {
			t.Errorf("an export holds %d of %d events, %v", n, len(list), err)
		}
		for _, limit := range []int{1, 7, 100, 500} {
			n, next := 0, ""
			for {
				l, err := d.ListEvents(t.Context(), f, Page{Limit: limit, Cursor: next})
				if err != nil {
					t.Fatal(err)
				}
				n += len(l.Items)
				if next = l.Next; next == "" {
					break
				}
			}
			if n != len(list) {
				t.Errorf("pages of %d hold %d of %d events", limit, n, len(list))
			}
		}
	})
}

func TestBadCursor(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		j.commit(t, events(event(1, "192.0.2.1", "a"), event(2, "192.0.2.1", "a")))
		l, err := d.ListEvents(t.Context(), EventFilter{}, Page{Limit: 1})
		if err != nil || l.Next == "" {
			t.Fatal(l, err)
		}
		for _, c := range []string{"x", "!", strings.Repeat("A", 5000), l.Next + "=", l.Next[1:]} {
			if _, err := d.ListEvents(t.Context(), EventFilter{}, Page{Cursor: c}); !errors.Is(err, ErrBadCursor) {
				t.Errorf("%.20q: %v", c, err)
			}
		}
		if _, err := d.ListBlocks(t.Context(), BlockFilter{}, Page{Cursor: l.Next}); !errors.Is(err, ErrBadCursor) {
			t.Errorf("another list's: %v", err)
		}
		if l, err := d.ListEvents(t.Context(), EventFilter{}, Page{Limit: 100_000}); err != nil || len(l.Items) != 2 {
			t.Error(l, err)
		}
	})
}

// TestBlockSearch: a search that many Blocks match lists all of them, one that
// few or none match exactly these.
func TestBlockSearch(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		r := &guard.Record{}
		for i := range fewMatches + 50 {
			b := block(fmt.Sprintf("a%d", i), "198.51.100.1/32", start.Add(time.Duration(i)*time.Second), 0)
			b.Subject = warder.Subject{Account: fmt.Sprintf("user\x1feve%d", i), Source: "d:x"}
			r.Blocks = append(r.Blocks, b)
		}
		for i := range 50 {
			r.Blocks = append(r.Blocks, block(fmt.Sprintf("b%d", i), "192.0.2.1/32", start.Add(time.Duration(i)*time.Second), 0))
		}
		j.commit(t, r)
		for q, want := range map[string]int{
			"eve": fewMatches + 50, "eve549": 1, "EVE54": 11, "a7": 1, "REF-B7": 1, "192.0.2.1": 50, "zzz": 0, "%": 0, " ": fewMatches + 100,
		} {
			n := 0
			last := time.Time{}
			f := BlockFilter{Now: start.Add(day), Q: q, NoEvidence: true}
			if err := d.EachBlock(t.Context(), f, func(b *guard.Block) error {
				if n++; !last.IsZero() && b.From.After(last) {
					t.Errorf("%q: %s is out of order", q, b.ID)
				}
				last = b.From
				return nil
			}); err != nil || n != want {
				t.Errorf("%q: %d, want %d, %v", q, n, want, err)
			}
		}
		known, err := d.BlocksByID(t.Context(), []string{"a7", "b7", "none"})
		if err != nil || len(known) != 2 || known["b7"].Reference != "REF-B7" {
			t.Errorf("%v, %v", known, err)
		}
	})
}

// TestBlockCountsAreTheLists: the figures of the first page are the lengths of
// the lists that they lead to, whatever blocks there are.
func TestBlockCountsAreTheLists(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		at := func(m int) time.Time { return start.Add(time.Duration(m) * time.Minute) }
		var list []*guard.Block
		for i, origin := range []string{guard.FromRule, guard.FromManual, guard.FromPolicy, guard.FromImport} {
			for k, life := range []time.Duration{0, time.Minute, 2 * time.Hour} {
				for copies := range 5 {
					b := block(fmt.Sprintf("b%d-%d-%d", i, k, copies), fmt.Sprintf("192.0.%d.%d/32", i, 10*k+copies), at(i), life)
					b.Origin, b.Observed = origin, copies == 4 && origin == guard.FromRule
					list = append(list, b)
				}
			}
		}
		who := "operator:x"
		r := &guard.Record{}
		for i := range 4 {
			for k := range 3 {
				r.BlockEnds = append(r.BlockEnds, guard.BlockEnd{ID: fmt.Sprintf("b%d-%d-0", i, k), At: at(10), By: who, Verdict: "error"})
				r.BlockEdits = append(r.BlockEdits, guard.BlockEdit{ID: fmt.Sprintf("b%d-%d-1", i, k), Reviewed: &who, At: at(9)})
			}
		}
		j.commit(t, &guard.Record{Blocks: list}, r)
		now := at(60)
		no := false
		length := func(f BlockFilter) (n int64) {
			t.Helper()
			f.Now, f.State, f.NoEvidence = now, guard.StateActive, true
			if err := d.EachBlock(t.Context(), f, func(*guard.Block) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		s, _, err := d.Summary(t.Context(), EventFilter{From: start}, now)
		if err != nil {
			t.Fatal(err)
		}
		if active := length(BlockFilter{}); active != s.ActiveBlocks || active == 0 {
			t.Errorf("%d active blocks, listed %d", s.ActiveBlocks, active)
		}
		if queue := length(BlockFilter{Source: guard.FromRule, Reviewed: &no}); queue != s.Unreviewed || queue == 0 {
			t.Errorf("%d unreviewed blocks, listed %d", s.Unreviewed, queue)
		}
	})
}

// TestBlockFilters tries every filter of the report.
func TestBlockFilters(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		at := func(m int) time.Time { return start.Add(time.Duration(m) * time.Minute) }
		b := []*guard.Block{
			block("b1", "192.0.2.1/32", at(1), 0), block("b2", "192.0.2.2/32", at(2), time.Minute),
			block("b3", "192.0.0.0/16", at(3), 0), block("b4", "2001:db8:1::/64", at(4), 0),
			block("b5", "192.0.2.1/32", at(5), 0), block("b6", "198.51.100.1/32", at(6), 0), block("b7", "10.0.0.0/8", at(7), 2*time.Hour),
		}
		b[2].Origin, b[2].Rule, b[2].EventName, b[2].By = guard.FromManual, "", "", "operator:x"
		b[4].Observed = true
		b[5].Subject = warder.Subject{IP: prefix("198.51.100.1/32"), Account: "user\x1feve_x"}
		b[6].Subject.IP = prefix("0.0.0.0/0")
		b[6].Origin = guard.FromImport
		who := "operator:x"
		j.commit(t, &guard.Record{Blocks: b}, &guard.Record{
			BlockEnds:  []guard.BlockEnd{{ID: "b4", At: at(10), By: "operator:x", Verdict: "error"}},
			BlockEdits: []guard.BlockEdit{{ID: "b1", Reviewed: &who, At: at(9)}},
		})
		yes, no := true, false
		now := at(60)
		for _, tt := range []struct {
			name string
			f    BlockFilter
			want string
		}{
			{"all", BlockFilter{State: "all"}, "b7 b6 b5 b4 b3 b2 b1"},
			{"active", BlockFilter{State: "active"}, "b7 b6 b3 b1"},
			{"expired", BlockFilter{State: "expired"}, "b2"},
			{"lifted", BlockFilter{State: "lifted"}, "b4"},
			{"observed", BlockFilter{State: "observed"}, "b5"},
			{"from to", BlockFilter{From: at(2), To: at(4)}, "b3 b2"},
			{"ip and around it", BlockFilter{IP: prefix("192.0.2.1/32")}, "b7 b5 b3 b1"},
			{"prefix", BlockFilter{IP: prefix("192.0.2.0/24")}, "b7 b5 b3 b2 b1"},
			{"ipv6", BlockFilter{IP: prefix("2001:db8:1::7/128")}, "b4"},
			{"account", BlockFilter{Account: "EVE_x"}, "b6"},
			{"account is no pattern", BlockFilter{Account: "evezx"}, ""},
			{"event", BlockFilter{Event: "USER_LOGIN_FAILURE", State: "lifted"}, "b4"},
			{"rule", BlockFilter{Rule: "sign_in", State: "active"}, "b7 b6 b1"},
			{"source", BlockFilter{Source: "manual"}, "b3"},
			{"reviewed", BlockFilter{Reviewed: &yes}, "b1"},
			{"not reviewed", BlockFilter{Reviewed: &no, State: "active"}, "b7 b6 b3"},
			{"q id", BlockFilter{Q: "b2"}, "b2"},
			{"q reference", BlockFilter{Q: "ref-b3"}, "b3"},
			{"q address", BlockFilter{Q: "198.51.100.1"}, "b7 b6"},
			{"q beginning of an account", BlockFilter{Q: "ev"}, "b6"},
			{"q none", BlockFilter{Q: "%"}, ""},
		} {
			tt.f.Now = now
			for _, limit := range []int{1, 3, 100} {
				var got []string
				p := Page{Limit: limit}
				for {
					l, err := d.ListBlocks(t.Context(), tt.f, p)
					if err != nil {
						t.Fatalf("%s: %v", tt.name, err)
					}
					for _, b := range l.Items {
						got = append(got, b.ID)
						if want := tt.f.State; want != "" && want != "all" && b.State(now) != want {
							t.Errorf("%s: %s is %s", tt.name, b.ID, b.State(now))
						}
					}
					if p.Cursor = l.Next; l.Next == "" {
						break
					}
				}
				if strings.Join(got, " ") != tt.want {
					t.Errorf("%s by %d: %q, want %q", tt.name, limit, got, tt.want)
				}
			}
			n := 0
			if err := d.EachBlock(t.Context(), tt.f, func(*guard.Block) error { n++; return nil }); err != nil || n != len(strings.Fields(tt.want)) {
				t.Errorf("%s: exported %d, %v", tt.name, n, err)
			}
		}
	})
}

// TestReference: SEMANTICS 57, every refusal is found for 30 days.
func TestReference(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		j.commit(t, everything())
		r, err := d.Reference(t.Context(), " ref-b1 ")
		if err != nil || r.Block == nil || r.Block.ID != "b1" || len(r.Block.Evidence) != 2 {
			t.Error(r, err)
		}
		r, err = d.Reference(t.Context(), "r-1")
		if err != nil || r.Refusal == nil || r.Refusal.Why != warder.Provider || string(r.Refusal.Details) != `{"level":5}` ||
			r.Refusal.Address != prefix("192.0.2.9/32") {
			t.Error(r, err)
		}
		if _, err = d.Reference(t.Context(), ""); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		for _, days := range []int{29, 31} {
			if _, err := d.Retain(t.Context(), start.Add(time.Duration(days)*day), Retention{}); err != nil {
				t.Fatal(err)
			}
			if _, err = d.Reference(t.Context(), "R-1"); errors.Is(err, ErrNotFound) != (days == 31) {
				t.Errorf("after %d days: %v", days, err)
			}
		}
	})
}

func TestStatistics(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		var list []guard.Event
		for i := range 30 {
			e := event(i*3600, "192.0.2.1", "a")
			if i%3 == 0 {
				e = event(i*3600, "192.0.2.2", "b")
				e.Severity = warder.Warning
			}
			list = append(list, e)
		}
		own := event(31*3600, "192.0.2.2", "b")
		own.Name, own.Severity = warder.ThresholdExceeded, warder.Critical
		k := block("b1", "192.0.2.1/32", start.Add(30*time.Hour), 0)
		j.commit(t, &guard.Record{Events: append(list, own, signIn(32*3600, "192.0.2.3", "c")), Blocks: []*guard.Block{k}})
		now := start.Add(33 * time.Hour) // 21:00 on the second day

		kolkata := time.FixedZone("IST", 5*3600+1800)
		for _, tt := range []struct {
			name string
			q    TrendQuery
			f    EventFilter
			want string
		}{
			{"days", TrendQuery{Now: now, Days: 2}, EventFilter{}, "03-01 00:00 0/4/8/0, 03-02 00:00 1/6/12/1"},
			{"zone", TrendQuery{Now: now, Days: 2, Zone: kolkata}, EventFilter{}, "03-02 00:00 0/7/16/0, 03-03 00:00 1/0/0/1"},
			{"nine minutes before midnight", TrendQuery{Now: start.Add(30*time.Hour + 21*time.Minute + 629), Zone: kolkata}, EventFilter{From: start.Add(6*time.Hour + 30*time.Minute).In(kolkata)}, "03-02 00:00 0/7/16/0"},
			{"names", TrendQuery{Now: now, Days: 1}, EventFilter{Names: []string{"USER_LOGIN_SUCCESS"}}, "03-02 00:00 1/0/0/0"},
			{"of an address", TrendQuery{Now: now, Days: 2}, EventFilter{IP: prefix("192.0.2.2/32")}, "03-01 00:00 0/4/0/0, 03-02 00:00 0/6/0/1"},
		} {
			got, err := d.Trend(t.Context(), tt.f, tt.q)
			if err != nil {
				t.Fatal(err)
			}
			var s []string
			for _, b := range got.Buckets {
				s = append(s, fmt.Sprintf("%s %d/%d/%d/%d", b.Time.Format("01-02 15:04"), b.Info, b.Warning, b.High, b.Critical))
			}
			if strings.Join(s, ", ") != tt.want {
				t.Errorf("%s: %s", tt.name, strings.Join(s, ", "))
			}
		}
		hours, err := d.Trend(t.Context(), EventFilter{}, TrendQuery{Now: now, Days: 2, Bucket: "hour"})
		if err != nil || len(hours.Buckets) != 48 || hours.Buckets[12].Warning != 1 || hours.Buckets[13].High != 1 {
			t.Error(hours, err)
		}
		types, _, err := d.Types(t.Context(), EventFilter{From: start.Add(-day), To: now})
		want := []Count{{"USER_LOGIN_FAILURE", 30}, {"THRESHOLD_EXCEEDED", 1}, {"USER_LOGIN_SUCCESS", 1}}
		if diff := cmp.Diff(want, types); diff != "" || err != nil {
			t.Error(diff, err)
		}
		types, _, err = d.Types(t.Context(), EventFilter{Account: "B"})
		if diff := cmp.Diff([]Count{{"USER_LOGIN_FAILURE", 10}, {"THRESHOLD_EXCEEDED", 1}}, types); diff != "" || err != nil {
			t.Error(diff, err)
		}
		for _, f := range []EventFilter{
			{From: start.Add(-90 * day)},
			{From: start.Add(-90 * day), Severities: []warder.Severity{warder.Warning, warder.High}},
			{From: start.Add(-90 * day), Realm: "user", IP: prefix("192.0.2.0/24"), Names: []string{"USER_LOGIN_FAILURE"}},
		} {
			attackers, _, err := d.Attackers(t.Context(), f, now, 10)
			wantAttackers := []Attacker{
				{prefix("192.0.2.1/32"), 20, map[string]int64{"USER_LOGIN_FAILURE": 20}, start.Add(29 * time.Hour), "b1"},
				{prefix("192.0.2.2/32"), 10, map[string]int64{"USER_LOGIN_FAILURE": 10}, start.Add(27 * time.Hour), ""},
			}
			if len(attackers) == 2 && f.Severities != nil || f.Names != nil {
				attackers[1].LastSeen = wantAttackers[1].LastSeen // of any event here
			}
			if diff := cmp.Diff(wantAttackers, attackers, same); diff != "" || err != nil {
				t.Errorf("%+v: %s %v", f, diff, err)
			}
		}
		s, _, err := d.Summary(t.Context(), EventFilter{From: start}, now)
		wantSummary := Summary{Events: 32, Warning: 10, High: 20, Critical: 1, ActiveBlocks: 1, NewBlocks: 1, Unreviewed: 1, Addresses: 2}
		if diff := cmp.Diff(wantSummary, s); diff != "" || err != nil {
			t.Error(diff, err)
		}
		// Restarted statistics begin anew; events stay.
		j.commit(t, &guard.Record{Clears: []guard.Clear{{Seq: now.UnixMicro(), At: now, RestartMetrics: true}}})
		if types, _, err = d.Types(t.Context(), EventFilter{}); err != nil || len(types) != 0 {
			t.Error(types, err)
		}
		if st, err := d.Load(t.Context(), now); err != nil || !st.Shown.Equal(now) {
			t.Error(st, err)
		}
	})
}

func TestProfiles(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		j.commit(t, events(signIn(1, "192.0.2.1", "Alice"), event(2, "192.0.2.1", "bob"), signIn(3, "192.0.2.9", "alice"),
			event(5000, "2001:db8::1", "alice"), signIn(6000, "192.0.2.1", "bob")))
		j.commit(t, &guard.Record{
			Blocks: []*guard.Block{block("b1", "192.0.2.1/32", start, 0)},
			Marks:  []guard.Mark{{Address: prefix("203.0.113.1/32"), Fraudulent: true, Note: "n", By: "operator:x", At: start}},
		})
		a, err := d.Address(t.Context(), prefix("192.0.2.1/32"))
		want := &Address{
			IP: prefix("192.0.2.1/32"), FirstSeen: start.Add(time.Second), LastSeen: start.Add(6000 * time.Second), Events: 3,
			Completed: 2, Bad: 1, Worst: warder.High, Blocks: 1, Account: "bob", Realm: "user", Event: "USER_LOGIN_SUCCESS", Suspicious: true,
		}
		if err == nil {
			want.FirstSeen = a.FirstSeen // the block began before
		}
		if diff := cmp.Diff(want, a, same); diff != "" || err != nil {
			t.Error(diff, err)
		}
		a, err = d.Address(t.Context(), prefix("192.0.2.9/32"))
		if err != nil || a.Events != 1 || a.Suspicious || a.Account != "alice" || !a.FirstSeen.Equal(a.LastSeen) {
			t.Error(a, err)
		}
		if _, err = d.Address(t.Context(), prefix("192.0.2.77/32")); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if a, err = d.Address(t.Context(), prefix("2001:db8::1/128")); err != nil || a.IP != prefix("2001:db8::/64") {
			t.Error(a, err)
		}
		var got []string
		for p := (Page{Limit: 1}); ; {
			l, err := d.ListAddresses(t.Context(), AddressFilter{Suspicious: true}, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range l.Items {
				got = append(got, a.IP.String())
			}
			if p.Cursor = l.Next; l.Next == "" {
				break
			}
		}
		if diff := cmp.Diff([]string{"192.0.2.1/32", "2001:db8::/64", "203.0.113.1/32"}, got); diff != "" {
			t.Error(diff)
		}
		if l, err := d.ListAddresses(t.Context(), AddressFilter{IP: prefix("192.0.2.0/24")}, Page{}); err != nil || len(l.Items) != 1 {
			t.Error(l, err)
		}
		good, err := d.AccountsOf(t.Context(), prefix("192.0.2.1/32"), 10)
		if err != nil || len(good) != 2 || good[0].Account != "user\x1fbob" {
			t.Error(good, err)
		}

		c, err := d.Account(t.Context(), "user\x1falice")
		wantAccount := &Account{
			Key: "user\x1falice", Account: "alice", Realm: "user", FirstSeen: start.Add(time.Second),
			LastSeen: start.Add(5000 * time.Second), Events: 3, Completed: 2, Bad: 1, IP: prefix("2001:db8::/64"),
			Event: "USER_LOGIN_FAILURE", Suspicious: true,
		}
		if diff := cmp.Diff(wantAccount, c, same); diff != "" || err != nil {
			t.Error(diff, err)
		}
		for _, tt := range []struct {
			f    AccountFilter
			want string
		}{
			{AccountFilter{}, "alice bob"},
			{AccountFilter{Suspicious: true}, "bob alice"}, // bob was seen later
			{AccountFilter{Q: "AL"}, "alice"},
			{AccountFilter{Q: "x"}, ""},
			{AccountFilter{Q: "b", Suspicious: true, Realm: "user"}, "bob"},
			{AccountFilter{Realm: "admin"}, ""},
		} {
			var got []string
			for p := (Page{Limit: 1}); ; {
				l, err := d.ListAccounts(t.Context(), tt.f, p)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range l.Items {
					got = append(got, a.Account)
				}
				if p.Cursor = l.Next; l.Next == "" {
					break
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%+v: %v", tt.f, got)
			}
		}
	})
}

func TestSessionsAndDemands(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		r := &guard.Record{}
		for i := range 5 {
			r.Sessions = append(r.Sessions, guard.Session{
				ID: fmt.Sprint("s", i), Account: "A", AccountKey: warder.AccountKey("user", fmt.Sprint("a", i%2)), Realm: "user",
				Opening: prefix(fmt.Sprintf("192.0.2.%d/32", i)), Latest: prefix("198.51.100.1/32"), LastUsed: start.Add(time.Duration(i/2) * time.Second),
			})
			r.Demands = append(r.Demands, &guard.Demand{ID: fmt.Sprint("d", i), Subject: warder.Subject{IP: prefix("192.0.2.0/24")}, From: start.Add(time.Duration(i/2) * time.Second), Until: start.Add(time.Hour)})
		}
		r.Sessions = append(r.Sessions, guard.Session{ID: "out", Account: "A", AccountKey: warder.AccountKey("user", "a1"), Realm: "user", LastUsed: start})
		j.commit(t, r, &guard.Record{DemandEnds: []string{"d3"}, Revoke: []guard.Revoke{{Session: "s0", At: start}}},
			&guard.Record{SessionEnds: []string{"out", "s0", "unknown"}})
		for _, tt := range []struct {
			f    SessionFilter
			want string
		}{
			{SessionFilter{}, "s4 s3 s2 s1 s0"},
			{SessionFilter{Live: true}, "s4 s3 s2 s1"},
			{SessionFilter{Account: "A1"}, "s3 s1"},
			{SessionFilter{Account: "a1", Realm: "admin"}, ""},
			{SessionFilter{IP: prefix("192.0.2.2/31")}, "s3 s2"},
			{SessionFilter{IP: prefix("198.51.100.1/32"), Account: "a0", Realm: "user"}, "s4 s2 s0"},
		} {
			var got []string
			for p := (Page{Limit: 2}); ; {
				l, err := d.ListSessions(t.Context(), tt.f, p)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range l.Items {
					got = append(got, s.ID)
				}
				if p.Cursor = l.Next; l.Next == "" {
					break
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%+v: %v", tt.f, got)
			}
		}
		var got []string
		for p := (Page{Limit: 1}); ; {
			l, err := d.ListDemands(t.Context(), start.Add(time.Minute), p)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range l.Items {
				got = append(got, m.ID)
			}
			if p.Cursor = l.Next; l.Next == "" {
				break
			}
		}
		if strings.Join(got, " ") != "d4 d2 d1 d0" {
			t.Error(got)
		}
		if l, err := d.ListDemands(t.Context(), start.Add(2*time.Hour), Page{}); err != nil || len(l.Items) != 0 {
			t.Error(l, err)
		}
	})
}

// TestListsUseIndexes: no list walks a whole table that strangers can grow.
func TestListsUseIndexes(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "warder.db"))
	j := &journal{DB: d}
	j.commit(t, events(event(1, "192.0.2.1", "a"), event(2, "192.0.2.1", "a"), signIn(3, "192.0.2.1", "a")))
	ctx, now := t.Context(), start.Add(time.Hour)
	page := func(kind byte) Page {
		return Page{Cursor: cursor{Kind: kind, A: now.UnixMicro(), S: strings.Repeat("a", 16)}.String()}
	}
	span := EventFilter{From: start, To: now}
	for _, change := range []func(*EventFilter){
		func(*EventFilter) {},
		func(f *EventFilter) { f.Names = []string{"A", "B"} },
		func(f *EventFilter) { f.Severities = []warder.Severity{warder.High, warder.Critical} },
		func(f *EventFilter) { f.Severities = []warder.Severity{warder.Warning} },
		func(f *EventFilter) { f.IP = prefix("192.0.2.1/32") },
		func(f *EventFilter) { f.IP = prefix("192.0.0.0/8") },
		func(f *EventFilter) { f.IP, f.Names, f.Account = prefix("192.0.2.1/32"), []string{"A"}, "a" },
		func(f *EventFilter) { f.Account, f.Rule, f.Realm = "a", "r", "user" },
		func(f *EventFilter) { f.Rule, f.Severities = "r", []warder.Severity{warder.High} },
		func(f *EventFilter) { f.Realm = "user" },
		func(f *EventFilter) { f.Q = "/lo" },
		func(f *EventFilter) { f.Q = "e000001" },
		func(f *EventFilter) { f.Q = "zzz" },
	} {
		for _, f := range []EventFilter{{}, span} {
			change(&f)
			for _, p := range []Page{{}, page(cursorEvents)} {
				if _, err := d.ListEvents(ctx, f, p); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := d.Attackers(ctx, f, now, 10); err != nil {
				t.Fatal(err)
			}
			if _, _, err := d.Types(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, state := range []string{"", "active", "expired", "lifted", "observed"} {
		for _, f := range []BlockFilter{{}, {Rule: "r"}, {Source: "rule"}, {IP: prefix("192.0.2.1/32")}, {From: start, To: now}} {
			f.State, f.Now = state, now
			if _, err := d.ListBlocks(ctx, f, page(cursorBlocks)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range []Page{{}, page(cursorAddresses)} {
		_, err := d.ListAddresses(ctx, AddressFilter{Suspicious: true}, p)
		_, err2 := d.ListAddresses(ctx, AddressFilter{IP: prefix("192.0.0.0/8")}, p)
		if err = errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []Page{{}, page(cursorAccounts)} {
		for _, f := range []AccountFilter{{}, {Suspicious: true}, {Q: "a"}} {
			if _, err := d.ListAccounts(ctx, f, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range []AuditFilter{{}, {Actor: "a"}, {Action: "a"}} {
		if _, err := d.ListAudit(ctx, f, page(cursorAudit)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.Summary(ctx, span, now); err != nil {
		t.Fatal(err)
	}
	for query := range d.reads {
		n := 0
		for strings.Contains(query, fmt.Sprintf("$%d", n+1)) {
			n++
		}
		rows, err := d.readDB.Query("EXPLAIN QUERY PLAN "+query, make([]any, n)...)
		if err := each(rows, err, func(scan func(...any) error) error {
			var id, parent, unused int
			var detail string
			err := scan(&id, &parent, &unused, &detail)
			if strings.HasPrefix(detail, "SCAN ") && detail != "SCAN rollups" && !strings.Contains(detail, "INDEX") && !strings.Contains(detail, "SCAN some") &&
				!strings.Contains(detail, "subquery") && !strings.Contains(detail, "CONSTANT") && !strings.Contains(query, "ORDER BY account_key") {
				t.Errorf("%s\n%s", detail, query)
			}
			if strings.Contains(detail, "TEMP B-TREE FOR ORDER BY") && !strings.Contains(query, "seq IN") && !strings.Contains(query, "id = $") &&
				!strings.Contains(query, "ip_first") {
				t.Errorf("%s\n%s", detail, query)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConcurrentUse runs readers and writers beside each other.
func TestConcurrentUse(t *testing.T) {
	forEach(t, func(t *testing.T, d *DB) {
		j := &journal{DB: d}
		var wg sync.WaitGroup
		run := func(f func(i int) error) {
			wg.Go(func() {
				for i := range 30 {
					if err := f(i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		run(func(i int) error {
			j.no++
			r := events(event(i, "192.0.2.1", "a"))
			r.No = j.no
			r.Audit = []guard.Audit{{Time: start, Action: "x"}}
			_, err := d.Commit(t.Context(), []*guard.Record{r})
			return err
		})
		run(func(int) error { _, err := d.ListEvents(t.Context(), EventFilter{Q: "a"}, Page{}); return err })
		run(func(int) error {
			_, err := d.Trend(t.Context(), EventFilter{}, TrendQuery{Now: start, Days: 2})
			return err
		})
		run(func(int) error { return d.AppendAudit(t.Context(), guard.Audit{Time: start, Action: "y"}) })
		run(func(int) error { _, err := d.Retain(t.Context(), start, Retention{EventsDays: 1}); return err })
		run(func(int) error {
			r, err := d.VerifyAudit(t.Context())
			if err == nil && !r.OK {
				err = errors.New(r.Fault)
			}
			return err
		})
		run(func(int) error { _, err := d.Load(t.Context(), start); return err })
		wg.Wait()
		if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK || r.Rows != 60 {
			t.Error(r, err)
		}
	})
}
