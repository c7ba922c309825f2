package api

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/store"
)

// hostile are texts that attackers put where people will look at them: markup,
// scripts, formulas, line breaks, directions, and what breaks parsers.
func hostile() []string {
	list := []string{
		`<script>alert(1)</script>`, `"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `<svg onload=alert(1)>`,
		`<iframe src=javascript:alert(1)>`, `</title><script>alert(1)</script>`, `</style><script>alert(1)</script>`,
		`</textarea><script>alert(1)</script>`, `</script><script>alert(1)</script>`, `<!--<script>`, `--><script>alert(1)</script>`,
		`]]><script>alert(1)</script>`, `javascript:alert(1)`, `data:text/html,<script>alert(1)</script>`, `<a href="javascript:alert(1)">x</a>`,
		`<math><mtext></mtext><script>alert(1)</script>`, `<body onload=alert(1)>`, `<input autofocus onfocus=alert(1)>`,
		`<details open ontoggle=alert(1)>`, `<link rel=stylesheet href=//evil.example>`, `<base href=//evil.example/>`,
		`<meta http-equiv=refresh content="0;url=//evil.example">`, `<form action=//evil.example><button>`, `<object data=//evil.example>`,
		`&lt;script&gt;alert(1)&lt;/script&gt;`, `&#60;script&#62;`, `<script>`, `%3Cscript%3E`, "<\u200bscript>", `<ScRiPt>alert(1)</sCrIpT>`,
		`{{constructor.constructor('alert(1)')()}}`, `${alert(1)}`, `{{7*7}}`, `<%= 7*7 %>`, "`alert(1)`",
		`=cmd|'/C calc'!A0`, `=HYPERLINK("//evil.example","x")`, `+1+1`, `-2+3+cmd|' /C calc'!A0`, `@SUM(1+1)*cmd|' /C calc'!A0`,
		" =1+1", "\u00a0=1+1", "\uff1d1+1", "\uff0b1", "\uff20SUM(1)", `'=1+1`, `"=1+1`, `%0A=1+1`, `|calc`, `;=1+1;`,
		"a,b\";=1", "\u202ecod.exe", "\u2066admin\u2069", "a\u200db", "\ufeffadmin", "e\u0301\u0301\u0301\u0301",
		"</pre></footer>", `<pre id="seal">{}</pre>`, `"seal":{}}`, `{"section":"seal","seal":{}}`, `"seal","{}"`, `' OR 1=1 --`,
		"../../etc/passwd", `\u0000`, "\U0001f4a9", strings.Repeat("A", 200),
	}
	return list
}

func TestThereAreSixtyHostileTexts(t *testing.T) {
	if n := len(hostile()); n < 60 {
		t.Errorf("only %d", n)
	}
}

// fill reports an event for every hostile text in every field, blocks by hand
// and notes with them.
func fill(t *testing.T, h *whole) {
	t.Helper()
	var events []map[string]any
	for i, text := range hostile() {
		details := map[string]string{"text": text, text: "x"}
		events = append(events, map[string]any{
			"name": "USER_LOGIN_FAILURE", "ip": fmt.Sprintf("203.0.113.%d", i+1), "account": text, "user_agent": text, "path": "/" + text,
			"session": text, "device": text, "details": details,
		})
	}
	for _, e := range events {
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		h.want(t, 200, "POST", "/v1/events", string(body), nil)
	}
	for i, text := range hostile() {
		body, err := json.Marshal(map[string]any{"ip": fmt.Sprintf("198.51.100.%d", i+1), "reason": text})
		if err != nil {
			t.Fatal(err)
		}
		h.want(t, 201, "POST", "/v1/blocks", string(body), nil)
	}
	var list Items[BlockView]
	h.want(t, 200, "GET", "/v1/blocks?limit=5", "", &list)
	for i, b := range list.Items {
		body, err := json.Marshal(map[string]any{"verdict": "error", "reason": hostile()[i*7]})
		if err != nil {
			t.Fatal(err)
		}
		h.want(t, 200, "DELETE", "/v1/blocks/"+b.ID, string(body), nil)
	}
}

const thisMonth = "?period=this_month&tz=Asia/Kolkata&format="

// TestDamagedSeal: a time that nobody can write is damage, no panic.
func TestDamagedSeal(t *testing.T) {
	key, err := reportKey(bytes.Repeat([]byte("x"), 32))
	if err != nil {
		t.Fatal(err)
	}
	var s Seal
	s.sign(key)
	s.From = time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 23*3600))
	if fault := s.Check("", 0); fault != "the seal is damaged" {
		t.Errorf("%q", fault)
	}
	h := newWhole(t)
	h.want(t, 422, "GET", "/v1/export/report?from=0000-01-01T00:00:00%2B23:59&to=0000-02-01T00:00:00Z", "", nil)
}

// TestReport: every format holds the same rows, re-parses, is sealed, and a
// changed byte shows. The texts in it are hostile.
func TestReport(t *testing.T) {
	once(t)
	h := newWhole(t)
	fill(t, h)
	blocks := len(hostile())
	for _, format := range []string{"json", "ndjson", "csv", "html"} {
		t.Run(format, func(t *testing.T) {
			var text string
			res := h.want(t, 200, "GET", "/v1/export/report"+thisMonth+format, "", &text)
			if !strings.Contains(res.Header.Get("Content-Disposition"), `."`) && !strings.Contains(res.Header.Get("Content-Disposition"), "."+format) {
				t.Errorf("name %q", res.Header.Get("Content-Disposition"))
			}
			seal, sum, n, err := ReadSeal(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if fault := seal.Check(sum, n); fault != "" {
				t.Error(fault)
			}
			if seal.Blocks != int64(blocks) || seal.Format != format || seal.By != "key:test" || seal.TZ != "Asia/Kolkata" {
				t.Errorf("seal %+v", seal)
			}
			verify := func(s Seal, sum string, n int64) VerifyReportAnswer {
				var out VerifyReportAnswer
				h.want(t, 200, "POST", "/v1/export/verify", string(mustJSON(VerifyReportBody{Seal: s, SHA256: sum, Bytes: n})), &out)
				return out
			}
			if v := verify(seal, sum, n); !v.Valid {
				t.Errorf("%+v", v)
			}
			if v := verify(seal, strings.Repeat("0", 64), n); v.Valid {
				t.Error("another hash was taken")
			}
			forged := seal
			forged.By = "operator:somebody@example.org"
			if v := verify(forged, sum, n); v.Valid {
				t.Error("a forged name was taken")
			}
			foreign := seal
			key, err := reportKey(bytes.Repeat([]byte("x"), 32))
			if err != nil {
				t.Fatal(err)
			}
			foreign.sign(key)
			if v := verify(foreign, sum, n); v.Valid || !strings.Contains(v.Fault, "another installation") {
				t.Errorf("another key: %+v", v)
			}
			// A byte changed (all of them in the line of the seal), something
			// put into that line, a line taken out, the end cut off.
			noticed := func(changed string) bool {
				s, sum, n, err := ReadSeal(strings.NewReader(changed))
				return err != nil || s.Check(sum, n) != ""
			}
			step := max(97, len(text)/200)
			for at := 0; at < len(strings.TrimSpace(text)); at += step {
				if at >= int(n) {
					step = 1
				} else if at+step > int(n) {
					step = int(n) - at
				}
				if changed := text[:at] + string([]byte{text[at] ^ 1}) + text[at+1:]; !noticed(changed) {
					t.Fatalf("byte %d of %d was changed and nobody noticed", at, len(text))
				}
				if at >= int(n) && !noticed(text[:at]+"<b>No block was lifted.</b>"+text[at:]) {
					t.Fatalf("something was put in at byte %d of %d and nobody noticed", at, len(text))
				}
			}
			head, line := text[:n], text[n:]
			for what, changed := range map[string]string{
				"a time with another offset":   strings.Replace(line, seal.From.Format(time.RFC3339), seal.From.In(time.FixedZone("", -23*3600)).Format(time.RFC3339), 1),
				"a signature in capitals":      strings.Replace(line, seal.Signature, strings.ToUpper(seal.Signature), 1),
				"a blank of another kind":      "\u00a0" + line,
				"a blank of ours, but before":  " " + line,
				"another blank behind":         strings.TrimSpace(line) + "\u2029\n",
				"the seal of another format":   sealLine(map[string]string{"json": "ndjson", "ndjson": "json", "csv": "html", "html": "csv"}[format], seal.text()) + "\n",
				"the same seal a second time":  line + line,
				"more text in front of a line": "x" + line,
			} {
				if changed == line || !noticed(head+changed) {
					t.Errorf("%s was not noticed", what)
				}
			}
			if noticed(text + "\r\n \n") {
				t.Error("blank lines at the end were taken for a change")
			}
			if !noticed(strings.TrimSpace(text) + "<b>No block was lifted.</b>\n") {
				t.Error("something was added and nobody noticed")
			}
			lines := strings.SplitAfter(text, "\n")
			for _, cut := range []string{strings.Join(append(append([]string{}, lines[:5]...), lines[6:]...), ""), text[:len(text)/2]} {
				if !noticed(cut) {
					t.Error("a part was taken out and nobody noticed")
				}
			}
			check := map[string]func(*testing.T, string){"json": reportJSON, "ndjson": reportLines, "csv": reportCSVFile, "html": reportPage}
			check[format](t, text)
		})
	}
}

func rowsOf(t *testing.T, rows []map[string]any) {
	t.Helper()
	if len(rows) != len(hostile()) {
		t.Fatalf("%d blocks", len(rows))
	}
	reasons := map[string]bool{}
	lifted := 0
	for _, r := range rows {
		reason, _ := r["reason"].(string)
		reasons[reason] = true
		if r["lifted_by"] == "key:test" {
			lifted++
		}
	}
	for _, text := range hostile() {
		if !reasons[text] {
			t.Errorf("the reason %q is not there as it was given", text)
		}
	}
	if lifted != 5 {
		t.Errorf("%d lifted", lifted)
	}
}

func reportJSON(t *testing.T, text string) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"report", "totals", "trend", "types", "sources", "rules", "protection", "degraded", "policy_changes", "deliveries", "actions", "blocks", "seal",
	} {
		if doc[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal(doc["blocks"], &rows); err != nil {
		t.Fatal(err)
	}
	rowsOf(t, rows)
	var actions []map[string]any
	if err := json.Unmarshal(doc["actions"], &actions); err != nil || len(actions) < len(hostile())+5 {
		t.Errorf("%d actions, %v", len(actions), err)
	}
}

func reportLines(t *testing.T, text string) {
	var rows []map[string]any
	for line := range strings.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if row["section"] == "blocks" {
			rows = append(rows, row)
		}
	}
	rowsOf(t, rows)
}

func reportCSVFile(t *testing.T, text string) {
	in := csv.NewReader(strings.NewReader(text))
	in.FieldsPerRecord = -1
	blocks := 0
	for {
		row, err := in.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range row {
			if isFormula(cell) && cell[0] != '\'' && !strings.HasPrefix(cell, "/") {
				t.Errorf("a spreadsheet would calculate %q", cell)
			}
		}
		if row[0] == "blocks" {
			blocks++
		}
	}
	if blocks != len(hostile()) {
		t.Errorf("%d blocks", blocks)
	}
}

var (
	anyTag  = regexp.MustCompile(`<(/?)([^\s/>]*)([^>]*)>`)
	plainOf = regexp.MustCompile(`^( (lang|charset|name|content|scope|class|id|colspan|viewBox|role|aria-label|x|y|width|height|text-anchor|data-column)="[^"<>]*")*/?$`)
)

// reportPage looks at everything that a browser could take for markup.
func reportPage(t *testing.T, text string) {
	allowed := map[string]bool{}
	for tag := range strings.FieldsSeq("!doctype html head meta title style body main section h1 h2 p table thead tbody tr th td bdi svg rect text footer pre") {
		allowed[tag] = true
	}
	rows := 0
	for _, tag := range anyTag.FindAllStringSubmatch(text, -1) {
		if !allowed[tag[2]] || tag[2] != "!doctype" && !plainOf.MatchString(tag[3]) {
			t.Errorf("a stranger made the tag %s", tag[0])
		}
		if tag[0] == "<tr>" {
			rows++
		}
	}
	if strings.Count(text, "<") != len(anyTag.FindAllString(text, -1)) {
		t.Error("there is a < that begins no tag")
	}
	if rows < len(hostile()) {
		t.Errorf("%d rows", rows)
	}
	if strings.ContainsAny(text, "\u202e\u2066\ufeff\u200b") || !utf8.ValidString(text) {
		t.Error("invisible characters")
	}
}

func TestReportOverTheWireIsForThePageOnly(t *testing.T) {
	h := newWhole(t)
	var text string
	res := h.want(t, 200, "GET", "/v1/export/report?period=last_7_days&format=html&inline=true", "", &text)
	csp := res.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || strings.Contains(csp, "unsafe") {
		t.Errorf("CSP %q", csp)
	}
	if d := res.Header.Get("Content-Disposition"); !strings.HasPrefix(d, "inline") {
		t.Errorf("disposition %q", d)
	}
	for query, place := range map[string]string{
		"":                        "query.period",
		"?period=yesterday":       "query.period",
		"?period=this_month&tz=X": "query.tz",
		"?period=this_month&from=2026-01-01T00:00:00Z":                                  "query.period",
		"?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z":                            "query.to",
		"?from=2020-02-01T00:00:00Z&to=2024-01-01T00:00:00Z":                            "query.to",
		"?period=this_month&inline=true":                                                "query.inline",
		"?period=this_month&format=pdf":                                                 "query.format",
		"?from=" + url.QueryEscape("2099-01-01T00:00:00Z") + "&to=2099-02-01T00:00:00Z": "query.from",
	} {
		h.want(t, 422, "GET", "/v1/export/report"+query, "", nil)
		h.do(t, "GET", "/v1/export/report"+query, "", &text)
		if !strings.Contains(text, place) {
			t.Errorf("%s: %s", query, text)
		}
	}
}

func TestReportPeriods(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 1, 0, 30, 0, 0, zone) // 30 April in UTC, a Friday
	for period, want := range map[string]string{
		"previous_week":    "2026-04-20 2026-04-27",
		"previous_month":   "2026-04-01 2026-05-01",
		"previous_quarter": "2026-01-01 2026-04-01",
		"previous_year":    "2025-01-01 2026-01-01",
		"this_month":       "2026-05-01 2026-06-01",
		"this_quarter":     "2026-04-01 2026-07-01",
		"last_7_days":      "2026-04-25 2026-05-02",
		"last_30_days":     "2026-04-02 2026-05-02",
	} {
		q := ReportQuery{Period: period, TZ: "Europe/Berlin"}
		from, to, _, err := q.span(now)
		if got := from.In(zone).Format(time.DateOnly) + " " + to.In(zone).Format(time.DateOnly); got != want || err != nil {
			t.Errorf("%s: %s, want %s (%v)", period, got, want, err)
		}
		if h, m, s := from.In(zone).Clock(); h+m+s != 0 {
			t.Errorf("%s begins at %s", period, from)
		}
	}
}

// FuzzReadSeal: whatever a file holds, it is read to its end or refused, and
// nothing that was not signed checks.
func FuzzReadSeal(f *testing.F) {
	for _, s := range []string{"", "\n", `"seal":{}}`, `{"section":"seal","seal":{"kind":"warder.report.v1"}}`, `"seal","{""kind"":""x""}"`, `<pre id="seal">{}</pre>`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, sum, n, err := ReadSeal(bytes.NewReader(data))
		if err == nil && (n > int64(len(data)) || s.Check(sum, n) == "") {
			t.Fatalf("%+v checks", s)
		}
	})
}

// section reads the rows of one section of a report, by ndjson.
func (h *whole) section(t *testing.T, name, query string) (rows []map[string]any) {
	t.Helper()
	var text string
	h.want(t, 200, "GET", "/v1/export/report?format=ndjson&"+query, "", &text)
	for line := range strings.Lines(text) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			continue // between two rows
		}
		if row["section"] == name {
			rows = append(rows, row)
		}
	}
	return rows
}

// TestReportOfOutagesAtItsEdges: an outage that a period begins or ends in, or
// that takes all of it, is in its report. Before it was ever started it was not
// down.
func TestReportOfOutagesAtItsEdges(t *testing.T) {
	h := newWhole(t)
	ran := func(from, to string) {
		for _, c := range []struct {
			at    string
			holds map[string]string
		}{{from, map[string]string{store.Running: ""}}, {to, nil}} {
			at, err := time.Parse(time.DateOnly, c.at)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.db.Conditions(t.Context(), at, c.holds, c.holds != nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	ran("2026-01-05", "2026-03-20")
	ran("2026-04-05", "2026-06-25")
	for _, c := range []struct{ from, to, want string }{
		{"2026-01-01", "2026-04-01", "2026-03-20 2026-04-01 "},
		{"2026-02-01", "2026-03-01", ""},
		{"2026-04-01", "2026-07-01", "2026-04-01 2026-04-05 2026-06-25 2026-07-01 "},
		{"2026-07-01", "2026-10-01", "2026-07-01 2026-10-01 "},
	} {
		var got strings.Builder
		for _, row := range h.section(t, "degraded", "from="+c.from+"T00:00:00Z&to="+c.to+"T00:00:00Z") {
			if row["what"] != "not running" {
				continue
			}
			for _, name := range []string{"from", "to"} {
				day, _, _ := strings.Cut(fmt.Sprint(row[name]), "T")
				got.WriteString(day + " ")
			}
		}
		if got.String() != c.want {
			t.Errorf("%s to %s: down %q, want %q", c.from, c.to, got.String(), c.want)
		}
	}
}

// TestReportCountsWhatStatisticsForgot: that the statistics of the dashboard
// start anew takes nothing out of a report.
func TestReportCountsWhatStatisticsForgot(t *testing.T) {
	h := newWhole(t)
	before := time.Now().UTC().Add(-50 * time.Hour).Format(time.RFC3339)
	for i := range 3 {
		h.want(t, 200, "POST", "/v1/events", strings.Replace(failure("203.0.113.7", i), "{", `{"time":"`+before+`",`, 1), nil)
	}
	read := func() (all [][]map[string]any) {
		for _, name := range []string{"totals", "trend", "types", "sources"} {
			all = append(all, h.section(t, name, "period=last_7_days"))
		}
		return all
	}
	want := read()
	h.want(t, 204, "POST", "/v1/counters/clear", `{"restart_metrics":true}`, nil)
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Error(diff)
	}
	var types Items[store.Count]
	if h.want(t, 200, "GET", "/v1/stats/types", "", &types); len(types.Items) != 0 {
		t.Errorf("the dashboard still counts %v", types.Items)
	}
}

// TestReportOfAPeriodThatIsNotOver: what will end has not ended.
func TestReportOfAPeriodThatIsNotOver(t *testing.T) {
	h := newWhole(t)
	h.want(t, 201, "POST", "/v1/blocks", `{"ip":"203.0.113.7","duration":600}`, nil)
	got := map[string]any{}
	now := time.Now().UTC()
	for _, row := range h.section(t, "totals", "from="+now.Add(-time.Hour).Format(time.RFC3339)+"&to="+now.Add(time.Hour).Format(time.RFC3339)) {
		got[fmt.Sprint(row["name"])] = row["value"]
	}
	for name, want := range map[string]float64{
		"blocks made by hand": 1, "blocks that ended by themselves": 0, "blocks in force when the period ended": 1,
	} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
}
