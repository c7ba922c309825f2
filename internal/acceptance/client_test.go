//go:build linux

package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// The answers of the contract, as far as the tests look at them. They are
// written out here and not imported: an application does not import them
// either.
type (
	decision struct {
		Action    string     `json:"action"`
		Reason    string     `json:"reason"`
		Rule      string     `json:"rule"`
		BlockID   string     `json:"block_id"`
		Reference string     `json:"reference"`
		ExpiresAt *time.Time `json:"expires_at"`
		Message   string     `json:"message"`
	}
	answer struct {
		ID       string   `json:"id"`
		Severity string   `json:"severity"`
		Decision decision `json:"decision"`
	}
	results struct {
		Results []struct {
			ID       string    `json:"id"`
			Severity string    `json:"severity"`
			Decision *decision `json:"decision"`
			Error    *problem  `json:"error"`
		} `json:"results"`
	}
	attempt struct {
		Attempt   string   `json:"attempt"`
		ExpiresIn int      `json:"expires_in"`
		Decision  decision `json:"decision"`
	}
	problem struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		ID     string `json:"id"`
		Errors []struct {
			Location string `json:"location"`
			Message  string `json:"message"`
		} `json:"errors"`
	}
	readiness struct {
		Ready    bool `json:"ready"`
		Degraded []struct {
			Reason string `json:"reason"`
			Detail string `json:"detail"`
		} `json:"degraded"`
	}
	block struct {
		ID           string     `json:"id"`
		IP           string     `json:"ip"`
		State        string     `json:"state"`
		Source       string     `json:"source"`
		Rule         string     `json:"rule"`
		Reference    string     `json:"reference"`
		BlockedAt    time.Time  `json:"blocked_at"`
		Until        *time.Time `json:"until"`
		Cut          string     `json:"cut"`
		GoodAccounts int        `json:"good_accounts_14d"`
		EndedAt      *time.Time `json:"ended_at"`
		LiftedBy     string     `json:"lifted_by"`
		Verdict      string     `json:"verdict"`
	}
	storedEvent struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		IP     string `json:"ip"`
		Reason string `json:"reason"`
	}
	list[T any] struct {
		Items []T    `json:"items"`
		Next  string `json:"next"`
	}
)

// event is what an application reports.
type event struct {
	ID        string         `json:"id,omitempty"`
	Name      string         `json:"name"`
	IP        string         `json:"ip"`
	Account   string         `json:"account,omitempty"`
	Realm     string         `json:"realm,omitempty"`
	Session   string         `json:"session,omitempty"`
	Device    string         `json:"device,omitempty"`
	UserAgent string         `json:"user_agent,omitempty"`
	Method    string         `json:"method,omitempty"`
	Path      string         `json:"path,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Guess     map[string]any `json:"guess,omitempty"`
}

// wrong is a sign-in with a wrong password.
func wrong(ip, account string) event {
	return event{Name: "USER_LOGIN_FAILURE", IP: ip, Account: account, Reason: "wrong_password", Method: "POST", Path: "/login"}
}

// right is a completed sign-in.
func right(ip, account string) event {
	return event{Name: "USER_LOGIN_SUCCESS", IP: ip, Account: account, Method: "POST", Path: "/login"}
}

// client talks to a server as an application does.
type client struct {
	t    testing.TB
	base string
	auth string
	http *http.Client
}

func newClient(t testing.TB, base, key string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 512}
	return &client{t: t, base: base, auth: "Bearer " + key, http: &http.Client{Transport: transport, Timeout: 60 * time.Second}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// do makes one call and reads the answer, whatever its status, into out. It may
// be used by any goroutine.
func (c *client) do(method, path string, body, out any) (status int, err error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, c.base+path, reader)
	if err != nil {
		return 0, err
	}
	if c.auth != "" { // the socket asks for none
		req.Header.Set("Authorization", c.auth)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if out != nil && resp.StatusCode != http.StatusNoContent {
		if err := json.Unmarshal(text, out); err != nil {
			return resp.StatusCode, fmt.Errorf("%s %s answered %d: %w: %.300s", method, path, resp.StatusCode, err, text)
		}
	}
	return resp.StatusCode, nil
}

// call makes a call that must be answered with 200 or 201.
func (c *client) call(method, path string, body, out any) error {
	var raw json.RawMessage
	status, err := c.do(method, path, body, &raw)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return fmt.Errorf("%s %s answered %d: %.400s", method, path, status, raw)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}

func (c *client) tryGet(path string, out any) error { return c.call("GET", path, nil, out) }

func (c *client) get(path string, out any) {
	c.t.Helper()
	if err := c.tryGet(path, out); err != nil {
		c.t.Fatal(err)
	}
}

// report reports an event that must be stored.
func (c *client) report(e event) answer {
	c.t.Helper()
	var a answer
	if err := c.call("POST", "/v1/events", e, &a); err != nil {
		c.t.Fatal(err)
	}
	return a
}

// reportAll reports events in batches, in their order.
func (c *client) reportAll(events []event) results {
	c.t.Helper()
	var all results
	for len(events) > 0 {
		n := min(len(events), 1000)
		var part results
		if err := c.call("POST", "/v1/events", map[string]any{"events": events[:n]}, &part); err != nil {
			c.t.Fatal(err)
		}
		for i, r := range part.Results {
			if r.Error != nil {
				c.t.Fatalf("event %+v: %+v", events[i], *r.Error)
			}
		}
		all.Results = append(all.Results, part.Results...)
		events = events[n:]
	}
	return all
}

// fail reports wrong passwords for an account and returns the last answer.
func (c *client) fail(ip, account string, n int) answer {
	c.t.Helper()
	var a answer
	for range n {
		a = c.report(wrong(ip, account))
	}
	return a
}

func (c *client) tryCheck(ip string) (decision, error) {
	var d decision
	err := c.call("POST", "/v1/check", map[string]string{"ip": ip}, &d)
	return d, err
}

// check asks for a decision about an address.
func (c *client) check(ip string) decision {
	c.t.Helper()
	d, err := c.tryCheck(ip)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// blocks lists the rows of the report.
func (c *client) blocks(filter string) []block {
	c.t.Helper()
	return pages[block](c, "/v1/blocks?limit=500&"+filter)
}

// events lists stored events.
func (c *client) events(filter string) []storedEvent {
	c.t.Helper()
	return pages[storedEvent](c, "/v1/events?limit=500&"+filter)
}

// pages reads a list to its end.
func pages[T any](c *client, path string) []T {
	c.t.Helper()
	var all []T
	cursor := ""
	for {
		var part list[T]
		c.get(path+"&cursor="+url.QueryEscape(cursor), &part)
		all = append(all, part.Items...)
		if cursor = part.Next; cursor == "" {
			return all
		}
	}
}

// degraded reports whether /readyz names a reason, and what it says about it.
func (c *client) degraded(reason string) (string, bool) {
	var r readiness
	if err := c.tryGet("/readyz", &r); err != nil {
		return err.Error(), false
	}
	for _, d := range r.Degraded {
		if d.Reason == reason {
			return d.Detail, true
		}
	}
	return "", false
}
