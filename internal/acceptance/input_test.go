//go:build linux

package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// endless is a body of a gigabyte that repeats itself after its start.
func endless(start, unit string) io.Reader {
	return io.LimitReader(io.MultiReader(strings.NewReader(start), &repeat{unit: strings.Repeat(unit, 1+(64<<10)/len(unit))}), 1<<30)
}

type repeat struct {
	unit string
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.unit[r.at:])
	r.at = (r.at + n) % len(r.unit)
	return n, nil
}

// TestGigabyteBodies: whoever sends a gigabyte is told that it is too much and
// costs no memory.
func TestGigabyteBodies(t *testing.T) {
	s := newServer(t)
	s.check("203.0.113.85")
	before := s.memory("VmHWM")
	valid := `{"name":"LOGOUT","ip":"203.0.113.85"}`
	for _, tt := range []struct{ name, path, contentType, start, unit string }{
		{"one long text", "/v1/events", "application/json", `{"name":"`, "A"},
		{"one long text to check", "/v1/check", "application/json", `{"ip":"203.0.113.85","account":"`, "A"},
		{"one long text to attempts", "/v1/attempts", "application/json", `{"ip":"203.0.113.85","account":"`, "A"},
		{"white space", "/v1/check", "application/json", "", " "},
		{"a batch without end", "/v1/events", "application/json", `{"events":[` + valid, "," + valid},
		{"depth without end", "/v1/events", "application/json", `{"details":`, "["},
		{"a line without end", "/v1/events", "application/x-ndjson", `{"name":"`, "A"},
		{"empty lines without end", "/v1/events", "application/x-ndjson", "", "\n"},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", tt.name, chunked), func(t *testing.T) {
				req, err := http.NewRequest("POST", s.base+tt.path, endless(tt.start, tt.unit))
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = 1 << 30
				if chunked {
					req.ContentLength = -1
				}
				req.Header.Set("Authorization", s.auth)
				req.Header.Set("Content-Type", tt.contentType)
				begun := time.Now()
				resp, err := s.http.Do(req)
				if err != nil {
					// The server answered and hung up while the body was still
					// being sent; the answer got lost in that.
					t.Logf("the connection was cut: %v", err)
				} else {
					var p problem
					err = json.NewDecoder(resp.Body).Decode(&p)
					_ = resp.Body.Close()
					if resp.StatusCode != http.StatusRequestEntityTooLarge && resp.StatusCode != http.StatusBadRequest || p.Status != resp.StatusCode || err != nil {
						t.Errorf("%d %+v, %v, want 413", resp.StatusCode, p, err)
					}
				}
				if took := time.Since(begun); took > 20*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		}
	}
	after := s.memory("VmHWM")
	t.Logf("memory %d MiB before, %d MiB at most", before>>20, after>>20)
	// A batch of 8 MiB some times over, and 48 MiB of garbage before a collection.
	if after-before > (96+48)<<20 {
		t.Errorf("memory grew by %d MiB", (after-before)>>20)
	}
	if d := s.check("203.0.113.85"); d.Action != "allow" {
		t.Errorf("%+v", d)
	}
}

// raw sends a body as it is.
func (c *client) raw(path, body string) (status int, p problem) {
	c.t.Helper()
	req, err := http.NewRequest("POST", c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", c.auth)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		c.t.Errorf("%.80s: %v", body, err)
	}
	if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
		c.t.Errorf("%.80s: answered with %s", body, resp.Header.Get("Content-Type"))
	}
	return resp.StatusCode, p
}

// TestBadInput: faults are named by their place, and nothing half is done.
func TestBadInput(t *testing.T) {
	s := newServer(t)
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, tt := range []struct {
		path, body string
		status     int
		location   string
	}{
		{"/v1/events", `{"name":"LOGOUT","ip":"203.0.113.86","details":` + deep + `}`, 0, "details"},
		{"/v1/events", deep, 0, ""},
		{"/v1/check", `{"ip":` + deep + `}`, 0, ""},
		{"/v1/attempts", strings.Repeat(`{"ip":`, 10_000), 0, ""},
		{"/v1/events", `{"name":"LOGOUT","ip":"203.0.113.86","ip":"203.0.113.87"}`, 0, "ip"},
		{"/v1/events", `{"name":"LOGOUT","ip":"203.0.113.86","pasword":"x"}`, 422, "pasword"},
		{"/v1/events", `{"name":"LOGOUT","ip":"203.0.113.86","account":"a\u0000b"}`, 422, "account"},
		{"/v1/events", "{\"name\":\"LOGOUT\",\"ip\":\"203.0.113.86\",\"account\":\"\xff\xfe\"}", 0, "account"},
		{"/v1/events", `{"name":"LOGOUT","ip":"203.0.113.86","time":"9999-12-31T23:59:59Z"}`, 422, "time"},
		{"/v1/events", `{"name":"THRESHOLD_EXCEEDED","ip":"203.0.113.86"}`, 422, "name"},
		{"/v1/events", `{"name":"IP_BLOCKED","ip":"203.0.113.86"}`, 422, "name"},
		{"/v1/events", `{"name":"IP_UNBLOCKED","ip":"203.0.113.86"}`, 422, "name"},
		{"/v1/events", `{"name":"SESSION_TERMINATED","ip":"203.0.113.86"}`, 422, "name"},
		{"/v1/events", `{"name":"SUSPICIOUS_IP","ip":"203.0.113.86"}`, 422, "name"},
		{"/v1/check", `{}`, 422, "ip"},
		{"/v1/attempts/not-a-token", `{"outcome":"success"}`, 404, ""},
	} {
		status, p := s.raw(tt.path, tt.body)
		if tt.status == 0 && status != 400 && status != 422 || tt.status != 0 && status != tt.status {
			t.Errorf("%.60s: %d, want %d", tt.body, status, tt.status)
		}
		named := tt.location == "" || strings.Contains(p.Detail, tt.location)
		for _, e := range p.Errors {
			named = named || strings.Contains(e.Location, tt.location)
		}
		if !named {
			t.Errorf("%.60s: %+v does not name %s", tt.body, p, tt.location)
		}
	}
	if e := s.events("ip=203.0.113.86"); len(e) != 0 {
		t.Errorf("something half was done: %+v", e)
	}

	// In a batch each stands alone.
	var r results
	body := map[string]any{"events": []any{
		wrong("203.0.113.88", "alice"),
		map[string]any{"name": "USER_LOGIN_FAILURE", "ip": "203.0.113.888"},
		map[string]any{"name": "IP_BLOCKED", "ip": "203.0.113.88"},
		wrong("203.0.113.88", "alice"),
	}}
	if err := s.call("POST", "/v1/events", body, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 4 || r.Results[0].Severity != "warning" || r.Results[3].Severity != "high" {
		t.Fatalf("batch: %+v", r)
	}
	for i, place := range map[int]string{1: "body.events[1].ip", 2: "body.events[2].name"} {
		if e := r.Results[i].Error; e == nil || e.Status != 422 || len(e.Errors) != 1 || e.Errors[0].Location != place {
			t.Errorf("element %d: %+v, want a fault at %s", i, e, place)
		}
	}
	if e := s.events("ip=203.0.113.88"); len(e) != 2 {
		t.Errorf("%d events of the batch are stored, want 2", len(e))
	}
}
