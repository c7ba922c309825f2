package api

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

var fuzzNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func decodeEvents(body []byte) ([]guard.Incoming, bool, error) {
	r := newReader()
	defer r.free()
	r.buf.Write(body)
	return r.eventsBody(fuzzNow, "")
}

// encodeEvent writes an event the way a caller would.
func encodeEvent(t *testing.T, e *warder.Event) []byte {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		t.Fatalf("encode %+v: %v", e, err)
	}
	out := bytes.TrimSpace(buf.Bytes())
	if !e.IP.IsValid() {
		out = append(out[:len(out)-1], `,"ip":null}`...)
	}
	return out
}

var sameEvent = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty()}

// FuzzEvent: an accepted event has no faults, and read again from its own
// encoding it is the same.
func FuzzEvent(f *testing.F) {
	for _, c := range []string{
		`{"name":"USER_LOGIN_FAILURE","ip":"203.0.113.7","account":"alice","guess":{"same":"ab12"},"details":{"a":[1,"<&>"]}}`,
		`{"name":"LOGOUT","ip":null,"time":"2026-03-01T11:59:59.123456789+05:30"}`, `{"name":"A1","ip":"::ffff:1.2.3.4"}`,
		`{"name":"A1","ip":"64:ff9b::102:304","id":"\u00e4"}`, `{"ip":"1.1.1.1"}`, `[]`, `{"events":[{"name":"LOGOUT","ip":""}]}`, `{"a":`,
	} {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, many, err := decodeEvents(body)
		if err != nil || many || len(list[0].Faults) > 0 {
			return
		}
		e := list[0].Event
		if faults := e.Faults(fuzzNow); len(faults) > 0 {
			t.Fatalf("accepted with faults %v", faults)
		}
		again, _, err := decodeEvents(encodeEvent(t, &e))
		if err != nil || len(again[0].Faults) > 0 {
			t.Fatalf("%s is refused: %v %v", encodeEvent(t, &e), err, again)
		}
		if diff := cmp.Diff(e, again[0].Event, sameEvent); diff != "" {
			t.Fatal(diff)
		}
		if !bytes.Equal(list[0].Digest, again[0].Digest) {
			t.Fatal("the digest changed")
		}
	})
}

// FuzzBatch: every event of a batch is judged as it would be alone, and the
// same as a line of NDJSON.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"name":"LOGOUT","ip":null}`), []byte(`{"name":7}`))
	f.Add([]byte(`7`), []byte(`{"name":"A1","ip":"1.1.1.1","x":[{}]}`))
	f.Add([]byte(`null`), []byte(`{"name":"A1","name":"A2","ip":""}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		batch := []byte(`{"events":[` + string(a) + "," + string(b) + `]}`)
		list, many, err := decodeEvents(batch)
		if err != nil {
			return
		}
		if !many || len(list) > maxBatch {
			t.Fatalf("%d events, many %v", len(list), many)
		}
		if len(list) != 2 { // a or b held more than one value
			return
		}
		for i, alone := range [][]byte{a, b} {
			r := newReader()
			if bytes.ContainsAny(alone, "\r\n") || !json.Valid(alone) {
				r.free()
				continue
			}
			r.buf.Write(alone)
			line := r.line(i, false, fuzzNow, "", DefaultMaxBody)
			r.free()
			if diff := cmp.Diff(line.Event, list[i].Event, sameEvent); diff != "" {
				t.Fatal(diff)
			}
			if len(line.Faults) != len(list[i].Faults) {
				t.Fatalf("faults %v alone, %v in a batch", line.Faults, list[i].Faults)
			}
			for j, fault := range line.Faults {
				if strings.Replace(list[i].Faults[j].Location, "body.events[", "body[", 1) != fault.Location {
					t.Fatalf("faults %v alone, %v in a batch", line.Faults, list[i].Faults)
				}
			}
		}
	})
}

// FuzzQuery: an accepted query has bounded texts without control characters,
// and a canonical address.
func FuzzQuery(f *testing.F) {
	f.Add([]byte(`{"ip":"203.0.113.7","account":"a","wait":3}`))
	f.Add([]byte(`{"ip":null,"event":"USER_LOGIN","clearance":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newReader()
		defer r.free()
		r.buf.Write(body)
		var q guard.Query
		wait, err := r.query(&q, true)
		if err != nil {
			if problemOf(err).Status >= 500 {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if wait < 0 || wait > maxWait*time.Second || q.IP != warder.Canonical(q.IP) {
			t.Fatalf("accepted %+v, wait %v", q, wait)
		}
		e := warder.Event{
			Name: "AA", Account: q.Account, Realm: q.Realm, Session: q.Session, Device: q.Device, UserAgent: q.UserAgent,
			Method: q.Method, Path: q.Path,
		}
		if faults := e.Faults(fuzzNow); len(faults) > 0 {
			t.Fatalf("accepted with faults %v", faults)
		}
	})
}

// FuzzFilter: no query string is answered with a mistake of ours, and none is
// passed over in silence: what is not known is refused.
func FuzzFilter(f *testing.F) {
	f.Add("from=2026-01-01T00:00:00Z&name=LOGOUT,A1&severity=high&ip=10.0.0.0/8&limit=5")
	f.Add("limit=0&cursor=%00&to=x;y=1")
	f.Add("ip=::1/129&ip=2")
	s, _ := bare(f, Options{})
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/v1/stats/countries", nil) // it parses the filter and asks nobody
		r.URL.RawQuery = query
		r.Header.Set("Authorization", bearer(ScopeRead))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 422 {
			t.Fatalf("%q: %d %s", query, w.Code, w.Body)
		}
		if w.Code == 422 {
			places(t, w)
			return
		}
		for name, values := range r.URL.Query() {
			known := map[string]bool{
				"from": true, "to": true, "name": true, "severity": true, "ip": true, "account": true, "realm": true, "rule": true, "q": true,
			}
			if !known[name] || len(values) != 1 {
				t.Fatalf("%q was accepted", query)
			}
		}
	})
}

// FuzzCSV: a row reads back as it was, but for the apostrophe in front of what
// a spreadsheet would calculate; nothing starts a formula.
func FuzzCSV(f *testing.F) {
	for _, c := range formulas {
		f.Add(c, "plain")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var buf bytes.Buffer
		if err := (&csvWriter{w: &buf}).row([]string{a, b}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(buf.Bytes())).ReadAll()
		if err != nil || len(rows) != 1 || len(rows[0]) != 2 {
			t.Fatalf("%q: %v %v", buf.String(), rows, err)
		}
		for i, want := range []string{a, b} {
			got := rows[0][i]
			if isFormula(got) && got[0] != '\'' {
				t.Fatalf("%q starts a formula", got)
			}
			// Reading folds CRLF, and NUL is no text in a spreadsheet.
			want = strings.ReplaceAll(strings.ReplaceAll(want, "\x00", " "), "\r\n", "\n")
			if got != want && got != "'"+want {
				t.Fatalf("%q came back as %q", want, got)
			}
		}
	})
}

var formulas = []string{
	"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", " \t@x", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", "\u00a0=1",
	"\u3000=1", "\x00=1", "\u200b=1", "\ufeff=1", "'=1", "\"=1", "|calc", "%0",
}

func TestFormulasAreText(t *testing.T) {
	for _, c := range formulas {
		if got := string(appendCell(nil, c)); !strings.HasPrefix(got, `"'`) {
			t.Errorf("%q is written as %s", c, got)
		}
	}
	for _, c := range []string{"", "alice", "203.0.113.7", "2001:db8::/64", "a=b", "1-2", "Mozilla/5.0 (X; +http://a)", "{\"a\":1}"} {
		if got := string(appendCell(nil, c)); strings.HasPrefix(got, `"'`) {
			t.Errorf("%q is written as %s", c, got)
		}
	}
}

// FuzzBearer: what is accepted is exactly wk_<id>_<secret> in words.
func FuzzBearer(f *testing.F) {
	_, token, _ := NewToken()
	f.Add("Bearer " + token)
	f.Add("bearer wk_a_b")
	f.Add("Bearer wk__" + testSecret)
	f.Fuzz(func(t *testing.T, header string) {
		id, secret, ok := parseBearer(header)
		if !ok {
			return
		}
		if len(header) < 7 || header[7:] != "wk_"+id+"_"+secret || strings.ContainsAny(id+secret, "_ \t\r\n\x00") || len(secret) < 32 {
			t.Fatalf("%q gave %q, %q", header, id, secret)
		}
	})
}

func TestTokens(t *testing.T) {
	id, token, hash := NewToken()
	gotID, secret, ok := parseBearer("Bearer " + token)
	if !ok || gotID != id || len(hash) != 32 || strings.Contains(token[:len(token)-len(secret)], secret) {
		t.Errorf("%q reads as %q, %q, %v", token, gotID, secret, ok)
	}
}
