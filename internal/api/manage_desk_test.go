package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
)

// TestFiltersAgree: list, statistics and export of one filter tell of the same
// events, whatever it includes and excludes.
func TestFiltersAgree(t *testing.T) {
	h := newWhole(t)
	var batch []string
	for i := range 60 {
		batch = append(batch, fmt.Sprintf(`{"name":%q,"ip":"203.0.113.%d","account":"a%d","realm":%q,"reason":%q,"session":"s%d","id":"f%d"}`,
			[]string{"USER_LOGIN_SUCCESS", "USER_LOGIN_FAILURE", "LOGOUT"}[i%3], i%7+1, i%5, []string{"user", "admin"}[i%2],
			[]string{"wrong_password", "expired", ""}[i%3], i%4, i))
	}
	h.want(t, 200, "POST", "/v1/events", `{"events":[`+strings.Join(batch, ",")+`]}`, nil)
	from := time.Now().Add(-time.Hour).UTC().Truncate(15 * time.Minute).Format(time.RFC3339)
	to := time.Now().Add(time.Hour).UTC().Truncate(15 * time.Minute).Format(time.RFC3339)
	all := map[string]EventView{}
	var list EventList
	h.want(t, 200, "GET", "/v1/events?limit=500", "", &list)
	for _, e := range list.Items {
		all[e.ID] = e
	}
	for _, tt := range []struct {
		query string
		want  func(EventView) bool
	}{
		{"", func(EventView) bool { return true }},
		{"name=LOGOUT,USER_LOGIN_SUCCESS", func(e EventView) bool { return e.Name == "LOGOUT" || e.Name == "USER_LOGIN_SUCCESS" }},
		{"not_name=LOGOUT,USER_LOGIN_SUCCESS", func(e EventView) bool { return e.Name != "LOGOUT" && e.Name != "USER_LOGIN_SUCCESS" }},
		{"severity=warning,high", func(e EventView) bool { return e.Severity == warder.Warning || e.Severity == warder.High }},
		{"not_severity=info", func(e EventView) bool { return e.Severity != warder.Info }},
		{"realm=admin&not_severity=info", func(e EventView) bool { return e.Realm == "admin" && e.Severity != warder.Info }},
		{"not_realm=admin", func(e EventView) bool { return e.Realm != "admin" }},
		{"not_ip=203.0.113.1,203.0.113.4/31", func(e EventView) bool {
			return e.IP != "203.0.113.1" && e.IP != "203.0.113.4" && e.IP != "203.0.113.5"
		}},
		{"account=A1&not_name=LOGOUT", func(e EventView) bool { return e.Account == "a1" && e.Name != "LOGOUT" }},
		{"not_account=A1", func(e EventView) bool { return e.Account != "a1" }},
		{"session=s2", func(e EventView) bool { return e.Session == "s2" }},
		{"reason=expired", func(e EventView) bool { return e.Reason == "expired" }},
		{"not_reason=expired,wrong_password", func(e EventView) bool { return e.Reason != "expired" && e.Reason != "wrong_password" }},
		{"action=block", func(e EventView) bool { return e.Action == warder.BlockAction }},
		{"not_action=block&ip=203.0.113.2", func(e EventView) bool { return e.Action != warder.BlockAction && e.IP == "203.0.113.2" }},
		{"not_rule=sign_in", func(e EventView) bool { return e.Rule != "sign_in" }},
	} {
		t.Run(tt.query, func(t *testing.T) {
			want := []string{}
			for id, e := range all {
				if tt.want(e) {
					want = append(want, id)
				}
			}
			slices.Sort(want)
			query := tt.query + "&from=" + from + "&to=" + to
			// The list, in small pages.
			got := []string{}
			cursor := ""
			for {
				var part EventList
				h.want(t, 200, "GET", "/v1/events?limit=7&"+query+cursor, "", &part)
				for _, e := range part.Items {
					got = append(got, e.ID)
				}
				if part.Next == "" {
					break
				}
				cursor = "&cursor=" + part.Next
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("listed %v, want %v", got, want)
			}
			var text string
			h.want(t, 200, "GET", "/v1/export/events?format=ndjson&"+query, "", &text)
			if n := strings.Count(text, "\n"); n != len(want) {
				t.Errorf("%d exported, want %d", n, len(want))
			}
			var types CountsView
			h.want(t, 200, "GET", "/v1/stats/types?"+query, "", &types)
			sum := int64(0)
			for _, c := range types.Items {
				sum += c.Count
			}
			var trend TrendView
			h.want(t, 200, "GET", "/v1/stats/trend?bucket=auto&tz=Asia/Kolkata&"+query, "", &trend)
			total := int64(0)
			for _, b := range trend.Buckets {
				total += b.Info + b.Warning + b.High + b.Critical
			}
			var head SummaryView
			h.want(t, 200, "GET", "/v1/stats/summary?"+query, "", &head)
			if n := int64(len(want)); sum != n || total != n || head.Events != n {
				t.Errorf("types %d, trend %d, summary %d, want %d", sum, total, head.Events, n)
			}
		})
	}
	for query, place := range map[string]string{
		"not_severity=bad": "query.not_severity", "not_ip=nonsense": "query.not_ip", "not_name=lower": "query.not_name",
		"action=perhaps": "query.action", "nonsense=1": "query.nonsense",
	} {
		var text string
		if res := h.do(t, "GET", "/v1/events?"+query, "", &text); res.StatusCode != 422 || !strings.Contains(text, place) {
			t.Errorf("%s: %d %s", query, res.StatusCode, text)
		}
	}
	h.want(t, 422, "GET", "/v1/stats/trend?bucket=minute&days=30", "", nil)
}

func TestTrendIsCutWhereItWasAsked(t *testing.T) {
	h := newWhole(t)
	var v TrendView
	h.want(t, 200, "GET", "/v1/stats/trend?bucket=day&tz=Asia/Kolkata&from=2026-03-01T10:07:00Z&to=2026-03-03T10:01:00Z", "", &v)
	if len(v.Buckets) != 3 || !v.Buckets[0].Time.Equal(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)) ||
		!v.Buckets[1].Time.Equal(time.Date(2026, 3, 1, 18, 30, 0, 0, time.UTC)) ||
		!v.Buckets[2].End.Equal(time.Date(2026, 3, 3, 10, 15, 0, 0, time.UTC)) || v.TZ != "Asia/Kolkata" {
		t.Errorf("%+v", v)
	}
	for i := 1; i < len(v.Buckets); i++ {
		if !v.Buckets[i].Time.Equal(v.Buckets[i-1].End) {
			t.Errorf("a gap before bucket %d", i)
		}
	}
	// The day on which the clock goes forward has 23 hours.
	h.want(t, 200, "GET", "/v1/stats/trend?bucket=hour&tz=Europe/Berlin&from=2026-03-28T23:00:00Z&to=2026-03-29T22:00:00Z", "", &v)
	if len(v.Buckets) != 23 {
		t.Errorf("%d hours", len(v.Buckets))
	}
}

func TestNeighbours(t *testing.T) {
	h := newWhole(t)
	for i := range 9 {
		h.want(t, 200, "POST", "/v1/events", fmt.Sprintf(`{"name":"LOGOUT","ip":"203.0.113.%d","account":"a%d","session":"s%d","id":"n%d","time":%q}`,
			i%2+1, i%3, i%3, i, time.Now().Add(time.Duration(i-20)*time.Second).UTC().Format(time.RFC3339Nano)), nil)
	}
	ids := func(list []EventView) string {
		var out []string
		for _, e := range list {
			out = append(out, e.ID)
		}
		return strings.Join(out, " ")
	}
	for by, want := range map[string]string{
		"time": "n2 n3|n5 n6", "ip": "n0 n2|n6 n8", "account": "n1|n7", "session": "n1|n7",
	} {
		var v NeighboursView
		h.want(t, 200, "GET", "/v1/events/n4/neighbours?limit=2&by="+by, "", &v)
		if got := ids(v.Before) + "|" + ids(v.After); got != want {
			t.Errorf("by %s: %s, want %s", by, got, want)
		}
	}
	h.want(t, 404, "GET", "/v1/events/nothing/neighbours", "", nil)
}

func TestViewsNotesAndReviews(t *testing.T) {
	h := newWhole(t)
	var v SavedView
	h.want(t, 201, "POST", "/v1/views", `{"name":"attackers","page":"events","query":"severity=high&from=-7d","shared":true}`, &v)
	if !v.Own || !v.Shared || v.By != "key:test" {
		t.Errorf("%+v", v)
	}
	h.want(t, 409, "POST", "/v1/views", `{"name":"attackers","page":"events","query":""}`, nil)
	h.want(t, 422, "POST", "/v1/views", `{"name":" ","page":"events","query":""}`, nil)
	h.want(t, 422, "POST", "/v1/views", `{"name":"x","page":"../up","query":""}`, nil)
	h.want(t, 422, "POST", "/v1/views", `{"name":"x","page":"events","query":"%zz"}`, nil)
	for i, text := range hostile() {
		body := string(mustJSON(map[string]any{"name": fmt.Sprint(i, text)[:min(len(fmt.Sprint(i, text)), 60)], "page": "events", "query": "q=" + url.QueryEscape(text)}))
		if res := h.do(t, "POST", "/v1/views", body, nil); res.StatusCode != 201 && res.StatusCode != 422 {
			t.Errorf("%q: %d %s", text, res.StatusCode, h.last)
		}
	}
	var views Items[SavedView]
	h.want(t, 200, "GET", "/v1/views?page=blocks", "", &views)
	if len(views.Items) != 0 {
		t.Errorf("%+v", views)
	}
	// Somebody else sees what is shared, and an analyst may not delete it.
	other := withCaller(t.Context(), &caller{app: &guard.App{}, actor: guard.Actor{Name: "operator:eve@example.org"}, role: operator.Analyst})
	if c := callerOf(other); c.administers() || c.person() != "eve@example.org" {
		t.Errorf("%+v", c)
	}
	h.want(t, 204, "DELETE", "/v1/views/"+v.ID, "", nil)
	h.want(t, 404, "DELETE", "/v1/views/"+v.ID, "", nil)

	var note struct {
		ID string `json:"id"`
	}
	h.want(t, 201, "POST", "/v1/notes", `{"on":"ip:203.0.113.7","text":"seen before"}`, &note)
	h.want(t, 204, "DELETE", "/v1/notes/"+note.ID, "", nil)
	h.want(t, 404, "DELETE", "/v1/notes/"+note.ID, "", nil)

	var b BlockView
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"203.0.113.9","reason":"x"}`, &b)
	var r Reviewed
	h.want(t, 200, "POST", "/v1/blocks/review", `{"ids":["`+b.ID+`","gone"],"reviewed":true}`, &r)
	if r.Reviewed != 1 {
		t.Errorf("%+v", r)
	}
	var list Items[BlockView]
	if h.want(t, 200, "GET", "/v1/blocks?reviewed=true", "", &list); len(list.Items) != 1 || list.Items[0].ReviewedBy != "key:test" {
		t.Errorf("%+v", list)
	}
	if h.want(t, 200, "GET", "/v1/blocks?not_source=manual", "", &list); len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	if h.want(t, 200, "GET", "/v1/blocks?not_ip=203.0.113.0/24", "", &list); len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	if h.want(t, 200, "GET", "/v1/blocks?not_ip=203.0.113.10", "", &list); len(list.Items) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestSearchAndWhy(t *testing.T) {
	h := newWhole(t)
	var last EventAnswer
	for i := range 5 {
		h.want(t, 200, "POST", "/v1/events", failure("203.0.113.7", i), &last)
	}
	for q, want := range map[string]string{
		"203.0.113.7":                            "address /addresses/203.0.113.7",
		"203.0.113.0/24":                         "prefix /events?ip=203.0.113.0%2F24",
		" ALICE ":                                "account /accounts/alice",
		"ali":                                    "account /accounts/alice",
		strings.ToLower(last.Decision.Reference): "reference /references/" + last.Decision.Reference,
		last.ID:                                  "event /events/" + last.ID,
		last.Decision.BlockID:                    "block /blocks/" + last.Decision.BlockID,
		"nobody knows this":                      "",
		"%' OR 1=1 --":                           "",
	} {
		var hits Items[SearchHit]
		h.want(t, 200, "GET", "/v1/search?q="+url.QueryEscape(q), "", &hits)
		got := ""
		if len(hits.Items) > 0 {
			got = hits.Items[0].Kind + " " + hits.Items[0].Path
		}
		if got != want {
			t.Errorf("%q: %q, want %q", q, got, want)
		}
	}
	for _, text := range hostile() {
		h.want(t, 200, "GET", "/v1/search?q="+url.QueryEscape(text), "", nil)
	}
	var p AccountProfile
	h.want(t, 200, "GET", "/v1/accounts/alice", "", &p)
	if len(p.Reach) != 1 || p.Reach[0].Decision.Action != warder.BlockAction || len(p.Reach[0].Blocks) != 1 || !p.Reach[0].Refused ||
		!strings.Contains(p.Summary, "every address") {
		t.Errorf("why can't alice sign in: %q %+v", p.Summary, p.Reach)
	}
	h.want(t, 200, "GET", "/v1/accounts/nobody", "", &p)
	if !strings.Contains(p.Summary, "refuses this account nothing") {
		t.Errorf("%q", p.Summary)
	}
}

func TestStatusAndTestEvent(t *testing.T) {
	h := newWhole(t)
	var s StatusView
	h.want(t, 200, "GET", "/v1/status", "", &s)
	if s.Mode != "enforce" || !s.Enabled || s.Preset != "classic" || s.Database.Bytes == 0 || s.Mail.Configured {
		t.Errorf("%+v", s)
	}
	var e TestEventAnswer
	h.want(t, 200, "POST", "/v1/events/test", "", &e)
	if e.Event.Name != testEventName || e.Event.Severity != warder.Info || e.Decision.Action != warder.Allow || !strings.Contains(string(e.Event.Details), "test") {
		t.Errorf("%+v", e)
	}
	for range 20 {
		h.want(t, 200, "POST", "/v1/events/test", "", &e)
	}
	if e.Decision.Action != warder.Allow {
		t.Errorf("test events count: %+v", e.Decision)
	}
	var check PolicyCheck
	h.want(t, 200, "POST", "/v1/policy/validate", `{"yaml":"mode: enforce\nnonsense: 1\n"}`, &check)
	if check.Valid || len(check.Faults) == 0 {
		t.Errorf("%+v", check)
	}
	var text string
	h.want(t, 200, "GET", "/v1/policy?format=yaml", "", &text)
	h.want(t, 200, "POST", "/v1/policy/validate", string(mustJSON(map[string]string{"yaml": text})), &check)
	if !check.Valid || check.Policy == nil {
		t.Errorf("%+v", check)
	}
	h.want(t, 422, "POST", "/v1/policy/validate", `{}`, nil)
	for range 30 {
		h.want(t, 204, "POST", "/v1/csp-report", `{"csp-report":{"blocked-uri":"\u001b[31m"}}`, nil, "Authorization", "", "Content-Type", "application/csp-report")
	}
	h.want(t, 413, "POST", "/v1/csp-report", strings.Repeat("x", maxCSPReport+1), nil)
	if h.want(t, 200, "GET", "/metrics", "", &text); !strings.Contains(text, "warder_csp_reports_total 30") {
		t.Error("CSP reports are not counted")
	}
}

// TestNotificationChoices: what one operator chooses, and what overrides it.
func TestNotificationChoices(t *testing.T) {
	h := newWhole(t)
	h.want(t, 403, "GET", "/v1/me/notifications", "", nil)
	body := `{"email":"olga@example.org","role":"owner","password":"correct horse battery"}`
	h.want(t, 201, "POST", "/v1/operators", body, nil)
	h.want(t, 201, "POST", "/v1/operators", strings.ReplaceAll(strings.ReplaceAll(body, "olga", "vera"), "owner", "viewer"), nil)
	team := func() []alert.Person {
		team, err := Team(context.Background(), h.opts.People, h.db)
		if err != nil {
			t.Fatal(err)
		}
		return team
	}
	if p, chosen := preferencesOf(team(), "vera@example.org"); chosen || p.Mail {
		t.Errorf("a viewer is mailed by default: %+v", p)
	}
	off := alert.Defaults(true)
	off.Mail = false
	for _, email := range []string{"olga@example.org"} {
		if err := h.db.PutPreferences(t.Context(), email, mustJSON(off), audited(guard.Actor{Name: "operator:" + email}, time.Now(), "notifications.change", email, off)); err != nil {
			t.Fatal(err)
		}
	}
	if p, chosen := preferencesOf(team(), "olga@example.org"); !chosen || p.Mail {
		t.Errorf("%+v", p)
	}
	if o := alert.Overrides(team(), "olga@example.org"); len(o) != 1 {
		t.Errorf("the only owner is not kept: %q", o)
	}
	var r RecipientsView
	h.want(t, 200, "PUT", "/v1/notifications/recipients", `{"to":["Soc@Example.org","soc@example.org"]}`, &r)
	if !slices.Equal(r.To, []string{"soc@example.org"}) || !slices.Equal(r.Also, []string{"olga@example.org"}) {
		t.Errorf("%+v", r)
	}
	h.want(t, 422, "PUT", "/v1/notifications/recipients", `{"to":["a\r\nBcc: b@example.org"]}`, nil)
	var list Items[DeliveryView]
	h.want(t, 200, "GET", "/v1/notifications/deliveries?state=failed", "", &list)
	h.want(t, 422, "GET", "/v1/notifications/deliveries?state=lost", "", nil)
}

func TestSettingsOverHTTP(t *testing.T) {
	h := newWhole(t)
	var s SettingsView
	res := h.want(t, 200, "GET", "/v1/settings", "", &s)
	tag := res.Header.Get("ETag")
	h.want(t, 200, "PUT", "/v1/settings", `{"contact":"it@example.org"}`, &s, "If-Match", tag)
	h.want(t, 412, "PUT", "/v1/settings", `{"contact":"x"}`, nil, "If-Match", tag)
	const secret = "hunter2hunter2"
	h.want(t, 200, "PUT", "/v1/settings", `{"smtp":{"host":"mail.example.org","from":"w@example.org","user":"u","password":"`+secret+`"}}`, &s)
	if !s.SMTP.PasswordSet {
		t.Errorf("%+v", s)
	}
	for _, path := range []string{"/v1/settings", "/v1/audit", "/v1/export/audit?format=json"} {
		var text string
		if h.want(t, 200, "GET", path, "", &text); strings.Contains(text, secret) {
			t.Errorf("%s shows the password", path)
		}
	}
	raw, err := h.db.Setting(t.Context(), settingName)
	if err != nil || strings.Contains(string(raw), secret) || !json.Valid(raw) {
		t.Errorf("stored as %s (%v)", raw, err)
	}
	for body, place := range map[string]string{
		`{"smtp":{"host":"a b"}}`:                   "body.smtp.host",
		`{"smtp":{"tls":"none"}}`:                   "body.smtp.tls",
		`{"smtp":{"from":"x\r\nBcc: y"}}`:           "body.smtp.from",
		`{"trusted_proxies":["::/0"]}`:              "body.trusted_proxies[0]",
		`{"trusted_proxies":["10.0.0.1/8"]}`:        "body.trusted_proxies[0]",
		`{"client_ip_header":"X Y"}`:                "body.client_ip_header",
		`{"client_ip_header":"cookie"}`:             "body.client_ip_header",
		`{"client_ip_header":"Host"}`:               "body.client_ip_header",
		`{"public_url":"javascript:alert(1)"}`:      "body.public_url",
		`{"contact":"a\u0000b"}`:                    "body.contact",
		`{"session":{"idle":43200,"absolute":900}}`: "body.session.idle",
		`{"retention":{"max_size":1}}`:              "body.retention.max_size",
		`{"recipients":["a@example.org"]}`:          "body.recipients",
	} {
		var text string
		if res := h.do(t, "PUT", "/v1/settings", body, &text); res.StatusCode != 422 || !strings.Contains(text, place) {
			t.Errorf("%s: %d %s", body, res.StatusCode, text)
		}
	}
}

// TestDeskBySignedInPeople: choices, views and notes belong to who made them,
// and roles hold.
func TestDeskBySignedInPeople(t *testing.T) {
	h := newWhole(t)
	h.hire(t, ann, operator.Owner)
	h.hire(t, "eve@example.org", operator.Analyst)
	h.hire(t, "vic@example.org", operator.Viewer)
	owner, analyst, viewer := h.tab(t), h.tab(t), h.tab(t)
	owner.signIn(t, ann)
	analyst.signIn(t, "eve@example.org")
	viewer.signIn(t, "vic@example.org")

	var n NotificationsView
	owner.want(t, 200, "GET", "/v1/me/notifications", nil, &n)
	if !n.Default || !n.Mail || len(n.Overrides) != 0 {
		t.Errorf("%+v", n)
	}
	choice := map[string]any{
		"mail": false, "severities": []string{"high", "critical"}, "rules": []string{}, "realms": []string{}, "digest": "hourly",
		"thresholds": []any{map[string]any{"event": "USER_LOGIN_FAILURE", "count": 100, "seconds": 600}},
		"quiet":      map[string]string{"from": "22:00", "to": "06:00", "time_zone": "Asia/Kolkata"},
	}
	owner.want(t, 200, "PUT", "/v1/me/notifications", choice, &n)
	if n.Default || n.Mail || n.Digest != "hourly" || len(n.Thresholds) != 1 || len(n.Overrides) != 1 {
		t.Errorf("%+v", n)
	}
	choice["digest"] = "sometimes"
	owner.want(t, 422, "PUT", "/v1/me/notifications", choice, nil)
	viewer.want(t, 200, "GET", "/v1/me/notifications", nil, &n)
	if !n.Default || n.Mail {
		t.Errorf("a viewer: %+v", n)
	}

	var own, shared SavedView
	analyst.want(t, 201, "POST", "/v1/views", SavedViewBody{Name: "mine", Page: "events", Query: "q=a"}, &own)
	analyst.want(t, 201, "POST", "/v1/views", SavedViewBody{Name: "ours", Page: "events", Query: "q=b", Shared: true}, &shared)
	viewer.want(t, 403, "POST", "/v1/views", SavedViewBody{Name: "x", Page: "events"}, nil)
	var list Items[SavedView]
	viewer.want(t, 200, "GET", "/v1/views", nil, &list)
	if len(list.Items) != 1 || list.Items[0].Name != "ours" || list.Items[0].Own {
		t.Errorf("%+v", list)
	}
	owner.want(t, 404, "DELETE", "/v1/views/"+own.ID, nil, nil) // private ones do not show
	owner.want(t, 204, "DELETE", "/v1/views/"+shared.ID, nil, nil)
	analyst.want(t, 204, "DELETE", "/v1/views/"+own.ID, nil, nil)

	var note struct {
		ID string `json:"id"`
	}
	owner.want(t, 201, "POST", "/v1/notes", NoteBody{On: "ip:203.0.113.7", Text: "mine"}, &note)
	analyst.want(t, 403, "DELETE", "/v1/notes/"+note.ID, nil, nil)
	owner.want(t, 204, "DELETE", "/v1/notes/"+note.ID, nil, nil)

	analyst.want(t, 403, "GET", "/v1/settings", nil, nil)
	analyst.want(t, 403, "PUT", "/v1/notifications/recipients", RecipientsBody{To: []string{}}, nil)
	viewer.want(t, 403, "POST", "/v1/events/test", nil, nil)
	viewer.want(t, 200, "GET", "/v1/export/report?period=this_month&format=html", nil, nil)
	if _, _, _, err := ReadSeal(strings.NewReader(viewer.last)); err != nil {
		t.Error(err)
	}
	var b BlockView
	owner.want(t, 201, "POST", "/v1/blocks", NewBlockBody{IP: "203.0.113.9"}, &b)
	analyst.want(t, 200, "POST", "/v1/blocks/review", ReviewBody{IDs: []string{b.ID}, Reviewed: true}, nil)
	analyst.want(t, 200, "PATCH", "/v1/blocks/"+b.ID, map[string]any{"note": "looked at it"}, nil)
	analyst.want(t, 403, "PATCH", "/v1/blocks/"+b.ID, map[string]any{"until": time.Now().Add(time.Hour)}, nil)
}

// TestMailPasswordStaysWithItsServer: it is shown to nobody, so it must not go
// to whatever server an admin names either.
func TestMailPasswordStaysWithItsServer(t *testing.T) {
	h := newWhole(t)
	h.want(t, 200, "PUT", "/v1/settings", `{"smtp":{"host":"mail.example.org","from":"w@example.org","user":"u","password":"hunter2hunter2"}}`, nil)
	for _, body := range []string{`{"smtp":{"host":"mail.evil.example"}}`, `{"smtp":{"host":"mail.evil.example","tls":"starttls","port":2525}}`} {
		var text string
		if res := h.do(t, "PUT", "/v1/settings", body, &text); res.StatusCode != 422 || !strings.Contains(text, "body.smtp.password") {
			t.Errorf("%s: %d %s", body, res.StatusCode, text)
		}
	}
	h.want(t, 200, "PUT", "/v1/settings", `{"smtp":{"host":"Mail.example.org","port":2525}}`, nil)
	// By way of no server at all it does not go either.
	h.want(t, 200, "PUT", "/v1/settings", `{"smtp":{"host":""}}`, nil)
	h.want(t, 422, "PUT", "/v1/settings", `{"smtp":{"host":"mail.evil.example"}}`, nil)
	for _, body := range []string{
		`{"smtp":{"host":"mail.example.net","password":"another password"}}`,
		`{"smtp":{"host":"mail.example.com","user":"","password":""}}`, `{"smtp":{"host":"mail.example.org"}}`,
	} {
		h.want(t, 200, "PUT", "/v1/settings", body, nil)
	}
}

// TestSettingsOfALostSecret: a password that cannot be opened any more keeps
// nothing from starting, and can be set again.
func TestSettingsOfALostSecret(t *testing.T) {
	h := newWhole(t)
	settings := func(secret string) *Settings {
		s, err := NewSettings(t.Context(), SettingsOptions{Store: h.db, Secret: []byte(strings.Repeat(secret, 32)), Base: DefaultValues()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	patch := func(password string) *SettingsPatch {
		var p SettingsPatch
		text := `{"smtp":{"host":"mail.example.org","from":"w@example.org","user":"u","password":"` + password + `"}}`
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		return &p
	}
	if err := settings("a").Change(t.Context(), guard.Actor{Name: "test"}, patch("hunter2hunter2"), -1); err != nil {
		t.Fatal(err)
	}
	s := settings("b")
	if now := s.Current(); now.SMTP.Host != "mail.example.org" || now.SMTP.Password != "" {
		t.Errorf("with another secret: %+v", now.SMTP)
	}
	if err := s.Change(t.Context(), guard.Actor{Name: "test"}, patch("hunter3hunter3"), -1); err != nil {
		t.Fatal(err)
	}
	if now := settings("b").Current(); now.SMTP.Password != "hunter3hunter3" {
		t.Errorf("set again: %+v", now.SMTP)
	}
}

// TestViewsOfOneAreBounded: one person cannot use up what all share.
func TestViewsOfOneAreBounded(t *testing.T) {
	h := newWhole(t)
	h.hire(t, "eve@example.org", operator.Analyst)
	eve := h.tab(t)
	eve.signIn(t, "eve@example.org")
	for i := range maxOwnViews {
		v := store.View{ID: fmt.Sprint("v", i), Name: fmt.Sprint(i), List: "events", By: "operator:eve@example.org"}
		if err := h.db.SaveView(t.Context(), v, audited(nobody.actor, time.Now(), "view.create", v.Name, v)); err != nil {
			t.Fatal(err)
		}
	}
	eve.want(t, http.StatusConflict, "POST", "/v1/views", SavedViewBody{Name: "x", Page: "events"}, nil)
	h.want(t, 201, "POST", "/v1/views", `{"name":"x","page":"events","query":""}`, nil)
}

// TestAddressesTellWhatStandsAgainstThem: also when many later blocks stand, by
// a wider prefix, and no more once it is lifted.
func TestAddressesTellWhatStandsAgainstThem(t *testing.T) {
	h := newWhole(t)
	for i := range 5 {
		h.want(t, 200, "POST", "/v1/events", failure("198.51.100.4", i), nil)
		h.want(t, 200, "POST", "/v1/events", failure("198.51.100.9", 10), nil)
	}
	var many strings.Builder
	for i := range 600 {
		fmt.Fprintf(&many, `,{"ip":"192.0.%d.%d"}`, i/250, i%250)
	}
	h.want(t, 200, "POST", "/v1/blocks/import", `{"blocks":[`+many.String()[1:]+`]}`, nil)
	of := func(ip string) *BlockView {
		t.Helper()
		var list Items[AddressView]
		h.want(t, 200, "GET", "/v1/ips?ip="+ip, "", &list)
		if len(list.Items) != 1 {
			t.Fatalf("%s: %+v", ip, list.Items)
		}
		return list.Items[0].Block
	}
	b := of("198.51.100.4")
	if b == nil || b.IP != "198.51.100.4" || b.State != "active" || b.Rule != "sign_in" || b.BlockedAt.IsZero() {
		t.Fatalf("%+v", b)
	}
	if b := of("198.51.100.9"); b != nil {
		t.Errorf("one failure: %+v", b)
	}
	h.want(t, 200, "DELETE", "/v1/blocks/"+b.ID, `{"verdict":"error"}`, nil)
	if b := of("198.51.100.4"); b != nil {
		t.Errorf("lifted: %+v", b)
	}
	var wide BlockView
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"198.51.100.0/24","duration":600}`, &wide)
	if b := of("198.51.100.4"); b == nil || b.ID != wide.ID || b.IP != "198.51.100.0/24" || b.Until == nil {
		t.Errorf("within a wider block: %+v", b)
	}
}
