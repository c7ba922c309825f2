package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// hot are the calls of the data plane with a body that is in order. Texts are
// the fields that hold texts, with their limits.
var hot = []struct {
	path  string
	body  string
	texts map[string]int
	other map[string]string // field -> a value of the wrong type
}{
	{
		"/v1/check", `{"ip":"203.0.113.7"}`,
		map[string]int{
			"account": 256, "realm": 64, "session": 256, "device": 256, "user_agent": 1024, "method": 16, "path": 2048, "clearance": 1024,
		},
		map[string]string{"ip": `7`, "event": `[]`},
	},
	{
		"/v1/attempts", `{"ip":"203.0.113.7","event":"USER_LOGIN"}`,
		map[string]int{
			"account": 256, "realm": 64, "session": 256, "device": 256, "user_agent": 1024, "method": 16, "path": 2048, "clearance": 1024,
		},
		map[string]string{"ip": `{}`, "wait": `"2"`, "event": `7`},
	},
	{
		"/v1/events", `{"name":"USER_LOGIN_FAILURE","ip":"203.0.113.7"}`,
		map[string]int{
			"id": 64, "account": 256, "realm": 64, "session": 256, "device": 256, "user_agent": 1024, "method": 16,
			"path": 2048, "reason": 64,
		},
		map[string]string{"ip": `true`, "name": `7`, "time": `1700000000`, "guess": `"ab"`},
	},
	{
		"/v1/attempts/token", `{"outcome":"failure"}`,
		map[string]int{"reason": 64, "session": 256, "account": 256},
		map[string]string{"outcome": `1`, "guess": `[]`},
	},
	{"/v1/challenge", `{"ip":"203.0.113.7"}`, map[string]int{"account": 256, "realm": 64, "purpose": 64}, map[string]string{"ip": `7`}},
	{"/v1/challenge/verify", `{"ip":"203.0.113.7","token":"t"}`, map[string]int{"realm": 64}, map[string]string{"token": `7`, "ip": `[]`}},
}

// with adds a field to a JSON object.
func with(body, field, value string) string {
	comma := ","
	if body == "{}" {
		comma = ""
	}
	return strings.TrimSuffix(body, "}") + comma + `"` + field + `":` + value + `}`
}

// without takes fields out of a JSON object.
func without(t *testing.T, body string, fields ...string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		delete(m, f)
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestBadInputNamesThePlace sends every field of every hot call in every wrong
// way: a problem document that names the place, and nothing reaches the engine.
func TestBadInputNamesThePlace(t *testing.T) {
	s, f := bare(t, Options{})
	refuse := func(path, body, what string, status int, place string) {
		t.Helper()
		before := f.calls
		w := call(t, s, "POST", path, body)
		if w.Code != status {
			t.Errorf("%s, %s: status %d, want %d: %s", path, what, w.Code, status, clip(w.Body.String(), 300))
			return
		}
		if got := places(t, w); place != "" && !slices.Contains(got, place) {
			t.Errorf("%s, %s: places %q, want %s", path, what, got, place)
		}
		if f.calls != before {
			t.Errorf("%s, %s: it reached the engine", path, what)
		}
	}
	const bad, content = http.StatusBadRequest, http.StatusUnprocessableEntity
	for _, c := range hot {
		for field, limit := range c.texts {
			at := "body." + field
			refuse(c.path, with(c.body, field, `7`), field+" a number", content, at)
			refuse(c.path, with(c.body, field, `["a"]`), field+" an array", content, at)
			refuse(c.path, with(c.body, field, `{"a":1}`), field+" an object", content, at)
			refuse(c.path, with(c.body, field, `"`+strings.Repeat("x", limit+1)+`"`), field+" too long", content, at)
			refuse(c.path, with(c.body, field, `"a\u0000b"`), field+" with NUL", content, at)
			refuse(c.path, with(c.body, field, `"a\u001bb"`), field+" with a control character", content, at)
			refuse(c.path, with(c.body, field, `"a\nb"`), field+" with a line break", content, at)
			refuse(c.path, with(c.body, field, "\"a\xffb\""), field+" not UTF-8", bad, at)
			refuse(c.path, with(c.body, field, `"\ud800"`), field+" half a surrogate", bad, at)
			refuse(c.path, with(with(c.body, field, `"a"`), field, `"b"`), field+" twice", content, at)
			refuse(c.path, with(with(c.body, field, `"a"`), `\u00`+fmt.Sprintf("%02x", field[0])+field[1:], `"b"`), field+" twice in disguise", content, at)
			refuse(c.path, with(c.body, field, strings.Repeat("[", 10000)+strings.Repeat("]", 10000)), field+" 10,000 levels deep", bad, at+"[0][0][0][0][0][0][0]...")
		}
		for field, value := range c.other {
			refuse(c.path, with(without(t, c.body, field), field, value), field+" of the wrong type", content, "body."+field)
			refuse(c.path, with(with(c.body, field, "null"), field, "null"), field+" twice", content, "body."+field)
		}
		refuse(c.path, with(c.body, "colour", `"red"`), "unknown name", content, "body.colour")
		refuse(c.path, with(c.body, "IP", `"203.0.113.7"`), "name in capitals", content, "body.IP")
		for what, body := range map[string]string{
			"empty": "", "null": "null", "text": `"a"`, "array": "[]", "number": "7",
		} {
			status := content
			if body == "" {
				status = http.StatusUnsupportedMediaType
			}
			refuse(c.path, body, what, status, "")
		}
		for what, body := range map[string]string{
			"cut off": c.body[:len(c.body)-1], "trailing": c.body + "{}", "trailing text": c.body + " x", "comma": strings.TrimSuffix(c.body, "}") + ",}",
			"single quotes": "{'ip':'a'}", "comment": "/**/" + c.body, "byte order mark": "\ufeff" + c.body, "NaN": with(c.body, "wait", "NaN"),
		} {
			refuse(c.path, body, what, bad, "")
		}
	}
	for _, path := range []string{"/v1/check", "/v1/attempts", "/v1/events", "/v1/challenge", "/v1/challenge/verify"} {
		body := hot[slices.IndexFunc(hot, func(c struct {
			path  string
			body  string
			texts map[string]int
			other map[string]string
		},
		) bool {
			return c.path == path
		})].body
		refuse(path, without(t, body, "ip"), "no ip", content, "body.ip")
		for _, ip := range []string{
			"localhost", "1.2.3", "1.2.3.4:80", "0x7f.1", "010.1.1.1", "2130706433", "1.2.3.4/24", "::g", "0.0.0.0", "::", "224.0.0.1", "1.2.3.4 ", strings.Repeat("1", 300),
		} {
			refuse(path, with(without(t, body, "ip"), "ip", strconv.Quote(ip)), "ip "+ip, content, "body.ip")
		}
	}
	for _, wait := range []string{"-1", "11", "1.5", "1e1", "99999999999999999999", `"2"`, "true"} {
		refuse("/v1/attempts", with(hot[1].body, "wait", wait), "wait "+wait, content, "body.wait")
	}
	refuse("/v1/attempts", `{"ip":null,"event":"`+strings.Repeat("A", 57)+`"}`, "stem too long", content, "body.event")
	refuse("/v1/check", `{"ip":null,"event":"user login"}`, "stem of another shape", content, "body.event")
	refuse("/v1/attempts/token", `{}`, "no outcome", content, "body.outcome")
	refuse("/v1/attempts/token", `{"outcome":"maybe"}`, "unknown outcome", content, "body.outcome")
	refuse("/v1/attempts/token", `{"outcome":"failure","guess":{"same":"xyz"}}`, "guess of other letters", content, "body.guess.same")
	refuse("/v1/challenge", `{"ip":null}`, "challenge for nobody", content, "body.ip")
	refuse("/v1/challenge/verify", `{"ip":"203.0.113.7","token":""}`, "no token", content, "body.token")
	event := func(field, value string) string { return with(without(t, hot[2].body, field), field, value) }
	for _, own := range []string{"THRESHOLD_EXCEEDED", "IP_BLOCKED", "IP_UNBLOCKED", "SESSION_TERMINATED", "SUSPICIOUS_IP"} {
		refuse("/v1/events", event("name", `"`+own+`"`), "forged "+own, content, "body.name")
	}
	ahead := time.Now().Add(6 * time.Minute).UTC().Format(time.RFC3339)
	for field, values := range map[string][]string{
		"name":    {`""`, `"a"`, `"user_login"`, `"_A"`, `"A-B"`, `"A B"`, `null`, `"` + strings.Repeat("A", 65) + `"`},
		"time":    {`"yesterday"`, `"2026-13-01T00:00:00Z"`, `"1999-12-31T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"` + ahead + `"`},
		"details": {`{"a":1,"a":2}`, `"` + strings.Repeat("x", 9000) + `"`, strings.Repeat("[", 40) + strings.Repeat("]", 40)},
	} {
		for _, value := range values {
			refuse("/v1/events", event(field, value), field+" "+clip(value, 40), content, "body."+field)
		}
	}
	refuse("/v1/events", event("guess", `{"same":"abc","other":"x"}`), "unknown name in guess", content, "body.guess.other")
	refuse("/v1/events", event("guess", `{"popular":"`+strings.Repeat("a", 66)+`"}`), "guess too long", content, "body.guess.popular")
	refuse("/v1/events", with(hot[2].body, "events", "[]"), "events beside an event", content, "body.events")
	refuse("/v1/events", `{"events":{}}`, "events not an array", content, "body.events")
	refuse("/v1/events", `{"events":[],"colour":1}`, "unknown name beside events", content, "body.colour")
	refuse("/v1/events", `{"events":[`+strings.Repeat(`1,`, maxBatch)+`1]}`, "too many events", content, "body.events")
	refuse("/v1/events", `{"events":[`+hot[2].body+`,{"ip":}]}`, "broken in the second", bad, "body.events[1].ip")
}

// TestAllFaultsAtOnce: a caller learns of everything in one answer.
func TestAllFaultsAtOnce(t *testing.T) {
	s, _ := bare(t, Options{})
	w := call(t, s, "POST", "/v1/events", `{"name":"x","colour":1,"realm":7,"path":"\u0000"}`)
	want := []string{"body.colour", "body.realm", "body.ip", "body.name", "body.path"}
	if diff := cmp.Diff(want, places(t, w)); diff != "" {
		t.Error(diff)
	}
}

// TestUnknownClient: null and "" say that the client is not known.
func TestUnknownClient(t *testing.T) {
	s, f := bare(t, Options{})
	for _, ip := range []string{`null`, `""`} {
		if w := call(t, s, "POST", "/v1/check", `{"ip":`+ip+`}`); w.Code != http.StatusOK || f.query.IP.IsValid() {
			t.Errorf("check from %s: %d, %v", ip, w.Code, f.query.IP)
		}
		if w := call(t, s, "POST", "/v1/events", `{"name":"LOGOUT","ip":`+ip+`}`); w.Code != http.StatusOK {
			t.Errorf("event from %s: %d", ip, w.Code)
		}
	}
}

func TestContentTypeAndSize(t *testing.T) {
	s, f := bare(t, Options{MaxBody: 1 << 10, MaxBatch: 8 << 10})
	for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "application/json; charset=latin1"} {
		w := call(t, s, "POST", "/v1/check", `{"ip":null}`, "Content-Type", ct)
		if w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("Content-Type %q: %d", ct, w.Code)
		}
		places(t, w)
	}
	if w := call(t, s, "POST", "/v1/check", `{"ip":null}`, "Content-Type", "application/json; charset=UTF-8"); w.Code != http.StatusOK {
		t.Errorf("with charset: %d", w.Code)
	}
	f.calls = 0
	pad := func(n int) string { return `{"ip":null,"name":"LOGOUT"` + strings.Repeat(" ", n) + `}` }
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/v1/check", `{"ip":null` + strings.Repeat(" ", 1<<10) + `}`, 413},
		{"/v1/events", pad(1 << 10), 413},
		{"/v1/events", pad(8 << 10), 413},
		{"/v1/events", `{"events":[` + pad(2<<10) + `]}`, 200},
		{"/v1/events", `{"events":[` + pad(8<<10) + `]}`, 413},
	} {
		w := call(t, s, "POST", c.path, c.body)
		if w.Code != c.want {
			t.Errorf("%s with %d bytes: %d, want %d", c.path, len(c.body), w.Code, c.want)
		}
	}
}

// TestGigabyteBody: neither an announced nor an endless body is read, and
// memory stays flat.
func TestGigabyteBody(t *testing.T) {
	s, _ := bare(t, Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, path := range []string{"/v1/check", "/v1/events", "/v1/attempts", "/v1/attempts/t", "/v1/challenge", "/v1/blocks", "/v1/policy"} {
		method := "POST"
		if path == "/v1/policy" {
			method = "PUT"
		}
		for _, length := range []int64{1 << 30, -1} {
			for _, ct := range []string{"application/json", "application/x-ndjson"} {
				if ct != "application/json" && path != "/v1/events" {
					continue
				}
				e := &endless{start: `{"ip":"`}
				r := httptest.NewRequest(method, path, io.LimitReader(e, 1<<30))
				r.ContentLength = length
				r.Header.Set("Authorization", bearer(ScopeAdmin))
				r.Header.Set("Content-Type", ct)
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				if w.Code != http.StatusRequestEntityTooLarge {
					t.Errorf("%s (%s), length %d: %d %s", path, ct, length, w.Code, clip(w.Body.String(), 200))
				}
				if length > 0 && e.read > 0 || e.read > 2*DefaultMaxBatch {
					t.Errorf("%s, length %d: read %d bytes", path, length, e.read)
				}
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("heap grew by %d MiB", grown>>20)
	}
}

// results are the statuses of a batch's answers: 200 or that of the error.
func results(t *testing.T, w *httptest.ResponseRecorder) (statuses []int, list []EventResult) {
	t.Helper()
	var out struct{ Results []EventResult }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	for _, r := range out.Results {
		status := http.StatusOK
		if r.Error != nil {
			status = r.Error.Status
		}
		statuses = append(statuses, status)
	}
	return statuses, out.Results
}

// TestBatchBadEventAtItsIndex: the good events are stored, each bad one is
// reported at its index, wrong types included.
func TestBatchBadEventAtItsIndex(t *testing.T) {
	const good = `{"name":"LOGOUT","ip":null}`
	bodies := []string{good, `{"name":"LOGOUT","ip":7}`, good, `7`, `{"name":"IP_BLOCKED","ip":null}`, `{"name":"LOGOUT","ip":null,"x":1}`, `null`, good}
	want := []int{200, 422, 200, 422, 422, 422, 422, 200}
	wantPlace := map[int]string{1: ".ip", 3: "", 4: ".name", 5: ".x", 6: ""}
	for _, c := range []struct{ ct, body, prefix string }{
		{"application/json", `{"events":[` + strings.Join(bodies, ",") + `]}`, "body.events"},
		{"application/x-ndjson", strings.Join(bodies, "\n"), "body"},
		{"application/x-ndjson", "\n" + strings.Join(bodies, "\r\n\r\n") + "\n\n", "body"},
	} {
		s, f := bare(t, Options{})
		w := call(t, s, "POST", "/v1/events", c.body, "Content-Type", c.ct, "Idempotency-Key", "k")
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", c.ct, w.Code, w.Body)
		}
		statuses, list := results(t, w)
		if diff := cmp.Diff(want, statuses); diff != "" {
			t.Errorf("%s: %s", c.ct, diff)
		}
		for i, field := range wantPlace {
			if got, place := list[i].Error.Errors[0].Location, fmt.Sprintf("%s[%d]%s", c.prefix, i, field); got != place {
				t.Errorf("%s: place %q, want %q", c.ct, got, place)
			}
		}
		for i := range f.incoming {
			bad := len(f.incoming[i].Faults) > 0
			if bad != (want[i] != 200) {
				t.Errorf("%s: event %d reached the engine with faults %v", c.ct, i, f.incoming[i].Faults)
			}
			if !bad && f.incoming[i].Event.ID != "k#"+strconv.Itoa(i) {
				t.Errorf("%s: event %d has the id %q", c.ct, i, f.incoming[i].Event.ID)
			}
		}
	}
}

// TestBrokenLineHarmsNoOther: in NDJSON even a line that is no JSON, or one
// that is too long, stands alone.
func TestBrokenLineHarmsNoOther(t *testing.T) {
	s, _ := bare(t, Options{MaxBody: 1 << 10})
	good := `{"name":"LOGOUT","ip":null}`
	body := strings.Join([]string{good, `{"name":`, good, `{"name":"LOGOUT","ip":null,"path":"` + strings.Repeat("x", 1<<10) + `"}`, good, good + good}, "\n")
	w := call(t, s, "POST", "/v1/events", body, "Content-Type", "application/x-ndjson")
	statuses, _ := results(t, w)
	if diff := cmp.Diff([]int{200, 422, 200, 422, 200, 422}, statuses); diff != "" {
		t.Error(diff)
	}
}

// TestLinesAreTakenInGroups: a long stream reaches the engine piece by piece.
func TestLinesAreTakenInGroups(t *testing.T) {
	s, f := bare(t, Options{})
	n := 3*lineGroup + 7
	w := call(t, s, "POST", "/v1/events", strings.Repeat(`{"name":"LOGOUT","ip":null}`+"\n", n), "Content-Type", "application/x-ndjson")
	statuses, _ := results(t, w)
	if len(statuses) != n || f.calls != 4 {
		t.Errorf("%d answers in %d calls", len(statuses), f.calls)
	}
	w = call(t, s, "POST", "/v1/events", strings.Repeat(`{"name":"LOGOUT","ip":null}`+"\n", maxLines+1), "Content-Type", "application/x-ndjson")
	if statuses, _ := results(t, w); w.Code != http.StatusRequestEntityTooLarge || len(statuses) != maxLines {
		t.Errorf("too many lines: %d with %d answers", w.Code, len(statuses))
	}
}

// TestNothingIsDroppedSilently: a batch of which a part is not durable is not
// answered 2xx, and says which part.
func TestNothingIsDroppedSilently(t *testing.T) {
	s, f := bare(t, Options{})
	f.answer = func(i int) guard.Reported {
		return []guard.Reported{{ID: "a"}, {Err: guard.ErrBusy}, {ID: "c", Err: guard.ErrNotDurable}, {ID: "d", Err: guard.ErrConflict}}[i]
	}
	good := `{"name":"LOGOUT","ip":null}`
	w := call(t, s, "POST", "/v1/events", `{"events":[`+good+","+good+","+good+","+good+`]}`)
	statuses, list := results(t, w)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d", w.Code)
	}
	if diff := cmp.Diff([]int{200, 503, 503, 409}, statuses); diff != "" {
		t.Error(diff)
	}
	if list[2].ID != "c" {
		t.Errorf("the event that is not durable is called %q", list[2].ID)
	}
	f.incoming, f.answer = nil, func(int) guard.Reported { return guard.Reported{ID: "e7", Err: guard.ErrNotDurable} }
	w = call(t, s, "POST", "/v1/events", good)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"id":"e7"`) {
		t.Errorf("single event: %d %s", w.Code, w.Body)
	}
}

// TestErrorsToStatuses is the one table of errors.
func TestErrorsToStatuses(t *testing.T) {
	s, f := bare(t, Options{})
	for err, want := range map[error]int{
		guard.ErrNotFound: 404, guard.ErrConflict: 409, guard.ErrBusy: 503, guard.ErrNotDurable: 503, guard.ErrStale: 412,
		io.ErrUnexpectedEOF: 500, fmt.Errorf("wrapped: %w", guard.ErrBusy): 503,
	} {
		f.err = err
		w := call(t, s, "POST", "/v1/attempts/token", `{"outcome":"success"}`)
		if w.Code != want {
			t.Errorf("%v: %d, want %d", err, w.Code, want)
		}
		if strings.Contains(w.Body.String(), "EOF") {
			t.Errorf("an inner error is shown: %s", w.Body)
		}
		if (w.Header().Get("Retry-After") != "") != (want == 503) {
			t.Errorf("%v: Retry-After %q", err, w.Header().Get("Retry-After"))
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	s, f := bare(t, Options{})
	for _, k := range []string{strings.Repeat("x", 256), "a\x7f", "ü"} {
		if w := call(t, s, "POST", "/v1/attempts", `{"ip":null}`, "Idempotency-Key", k); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("key %q: %d", k, w.Code)
		}
	}
	call(t, s, "POST", "/v1/attempts", `{"ip":null,"wait":7}`, "Idempotency-Key", "one")
	if f.key != "one" || f.wait != 7*time.Second {
		t.Errorf("key %q, wait %v", f.key, f.wait)
	}
	long := strings.Repeat("y", 255)
	call(t, s, "POST", "/v1/events", `{"name":"LOGOUT","ip":null}`, "Idempotency-Key", long)
	if id := f.incoming[0].Event.ID; len(id) > warder.MaxID-8 || id == "" {
		t.Errorf("id from a long key: %q", id)
	}
	call(t, s, "POST", "/v1/events", `{"name":"LOGOUT","ip":null,"id":"own"}`, "Idempotency-Key", "one")
	if id := f.incoming[1].Event.ID; id != "own" {
		t.Errorf("the event's own id is %q", id)
	}
}

// TestDigest: the same event in another spelling is the same; another is not.
func TestDigest(t *testing.T) {
	digest := func(body string) []byte {
		r := newReader()
		defer r.free()
		r.buf.WriteString(body)
		list, _, err := r.eventsBody(time.Now(), "")
		if err != nil || len(list[0].Faults) > 0 {
			t.Fatal(err, list[0].Faults)
		}
		return list[0].Digest
	}
	one := digest(`{"name":"LOGOUT","ip":"203.0.113.7","account":"a","details":{"x": 1}}`)
	if !bytes.Equal(one, digest(` {"details":{"x":1},"account":"\u0061", "ip":"::ffff:203.0.113.7","name":"LOGOUT"}`)) {
		t.Error("another spelling is another event")
	}
	for _, other := range []string{
		`{"name":"LOGOUT","ip":"203.0.113.8","account":"a","details":{"x":1}}`,
		`{"name":"LOGOUT","ip":"203.0.113.7","realm":"a","details":{"x":1}}`,
		`{"name":"LOGOUT","ip":"203.0.113.7","account":"a"}`,
		`{"name":"LOGOUT","ip":null,"account":"a","details":{"x":1}}`,
	} {
		if bytes.Equal(one, digest(other)) {
			t.Errorf("%s is taken for the same", other)
		}
	}
}

// TestPlainDecisionsAreEncodedOnce compares the encodings made beforehand with
// those made on the spot.
func TestPlainDecisionsAreEncodedOnce(t *testing.T) {
	for _, why := range []warder.Why{warder.OK, warder.Trusted, warder.Disabled} {
		d := warder.Decision{Reason: why}
		got, length := encoded(&d)
		want, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want)+"\n" || length[0] != strconv.Itoa(len(got)) {
			t.Errorf("%s: %s", why, got)
		}
	}
	if got, _ := encoded(&warder.Decision{Reason: warder.OK, Rule: "r"}); got != nil {
		t.Error("a decision with details is taken for a plain one")
	}
}
