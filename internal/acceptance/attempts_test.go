//go:build linux

package acceptance

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// query announces a sign-in.
type query struct {
	IP      string `json:"ip"`
	Account string `json:"account,omitempty"`
	Device  string `json:"device,omitempty"`
	Event   string `json:"event"`
	Wait    int    `json:"wait"`
}

type outcome struct {
	Outcome string         `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
	Session string         `json:"session,omitempty"`
	Guess   map[string]any `json:"guess,omitempty"`
}

// begin announces a sign-in; a refusal of the call itself is an error.
func (c *client) begin(q query) (attempt, error) {
	var a attempt
	q.Event = "USER_LOGIN"
	err := c.call("POST", "/v1/attempts", q, &a)
	return a, err
}

func (c *client) settle(token string, o outcome) (answer, error) {
	var a answer
	err := c.call("POST", "/v1/attempts/"+token, o, &a)
	return a, err
}

// inParallel calls f n times at the same time and waits.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// tally counts, from many goroutines.
type tally struct {
	mu sync.Mutex
	m  map[string]int
}

func (n *tally) add(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil {
		n.m = map[string]int{}
	}
	n.m[what]++
}

// TestNoMoreGuessesThanTheThreshold: however parallel the guesses come, five
// reach the password check, and one block, one alert, one audit row and one
// event come of them.
func TestNoMoreGuessesThanTheThreshold(t *testing.T) {
	s := newServer(t)
	rounds := pick(3, 50)
	for round := range rounds {
		ip := fmt.Sprintf("203.0.113.%d", round+1)
		var n tally
		inParallel(300, func(i int) {
			a, err := s.begin(query{IP: ip, Account: fmt.Sprintf("account-%d", i%7), Wait: 10})
			switch {
			case err != nil:
				n.add(err.Error())
			case a.Attempt == "":
				n.add("refused: " + a.Decision.Reason)
			default:
				n.add("checked")
				if _, err := s.settle(a.Attempt, outcome{Outcome: "failure", Reason: "wrong_password"}); err != nil {
					n.add(err.Error())
				}
			}
		})
		if n.m["checked"] != 5 || n.m["refused: blocked"] != 295 {
			t.Fatalf("round %d: %v, want 5 checked and 295 refused", round+1, n.m)
		}
	}
	s.stop() // everything is journaled
	for what, query := range map[string]string{
		"blocks":      "SELECT count(*) FROM blocks",
		"alerts":      "SELECT count(*) FROM alerts",
		"audit rows":  "SELECT count(*) FROM audit WHERE action LIKE 'block%'",
		"crossings":   "SELECT count(*) FROM events WHERE name = 'THRESHOLD_EXCEEDED'",
		"subjects":    "SELECT count(DISTINCT ip_first) FROM blocks",
		"audited ips": "SELECT count(DISTINCT target) FROM audit WHERE action LIKE 'block%'",
	} {
		if n := s.number(query); n != rounds {
			t.Errorf("%d %s, want %d", n, what, rounds)
		}
	}
	if n := s.number("SELECT count(*) FROM events WHERE name = 'USER_LOGIN_FAILURE' AND flags & 1"); n != 5*rounds {
		t.Errorf("%d failures were counted, want %d", n, 5*rounds)
	}
}

// TestParallelGoodSignInsAllSucceed: forty people sign in at the same moment
// from one address of which five slots are free.
func TestParallelGoodSignInsAllSucceed(t *testing.T) {
	s := newServer(t)
	var n tally
	inParallel(40, func(i int) {
		a, err := s.begin(query{IP: "198.51.100.20", Account: fmt.Sprintf("person-%d", i), Wait: 10})
		if err != nil || a.Attempt == "" {
			n.add(fmt.Sprintf("refused: %+v %v", a, err))
			return
		}
		r, err := s.settle(a.Attempt, outcome{Outcome: "success", Session: fmt.Sprintf("session-%d", i)})
		if err != nil || r.Decision.Action != "allow" {
			n.add(fmt.Sprintf("not let in: %+v %v", r, err))
			return
		}
		n.add("signed in")
	})
	if n.m["signed in"] != 40 {
		t.Errorf("%v, want 40 signed in", n.m)
	}
	if b := s.blocks("state=all"); len(b) != 0 {
		t.Errorf("blocks: %+v", b)
	}
}

// TestUpstreamErrorsBlockNobody: the platform cannot check passwords, everybody
// tries again and again.
func TestUpstreamErrorsBlockNobody(t *testing.T) {
	s := newServer(t)
	people := pick(50, 200)
	var n tally
	inParallel(people, func(i int) {
		for range 10 {
			// Every fourth sits in the same office.
			ip := fmt.Sprintf("198.51.100.%d", i+1)
			if i%4 == 0 {
				ip = "203.0.113.200"
			}
			a, err := s.begin(query{IP: ip, Account: fmt.Sprintf("person-%d", i), Wait: 10})
			if err == nil && a.Attempt != "" {
				_, err = s.settle(a.Attempt, outcome{Outcome: "error"})
			}
			switch {
			case err != nil:
				n.add(err.Error())
			case a.Attempt == "":
				n.add("refused: " + a.Decision.Reason)
			default:
				n.add("tried")
			}
		}
	})
	if n.m["tried"] != 10*people {
		t.Errorf("%v, want %d tried", n.m, 10*people)
	}
	if b := s.blocks("state=all"); len(b) != 0 {
		t.Errorf("blocks: %+v", b)
	}
	if d := s.check("203.0.113.200"); d.Action != "allow" {
		t.Errorf("the office: %+v", d)
	}
}

// TestUnsettledAttempts: a caller dies after reserving. What it left behind
// counts as failures, which block for a quarter of an hour at most, and a late
// settlement takes one back.
func TestUnsettledAttempts(t *testing.T) {
	t.Parallel() // it waits for attempts to run out
	s := newServer(t)
	const ip = "203.0.113.40"
	begun := time.Now()
	var tokens []string
	for i := range 5 {
		a, err := s.begin(query{IP: ip, Account: fmt.Sprintf("account-%d", i)})
		if err != nil || a.Attempt == "" || a.ExpiresIn != 30 {
			t.Fatalf("attempt %d: %+v, %v", i, a, err)
		}
		tokens = append(tokens, a.Attempt)
	}
	// All slots are held: the sixth waits its turn, then is told to come back.
	var p problem
	if status, err := s.do("POST", "/v1/attempts", query{IP: ip, Account: "sixth", Event: "USER_LOGIN", Wait: 1}, &p); status != http.StatusServiceUnavailable || err != nil {
		t.Errorf("the sixth: %d, %v", status, err)
	}
	if d := s.check(ip); d.Action != "allow" {
		t.Errorf("while the attempts live: %+v", d)
	}
	eventually(t, 45*time.Second, "the attempts count as failures", func() bool { return s.check(ip).Action == "block" })
	if lived := time.Since(begun); lived < 29*time.Second {
		t.Errorf("they ran out after %s", lived)
	}
	d := s.check(ip)
	if d.ExpiresAt == nil || time.Until(*d.ExpiresAt) > 900*time.Second {
		t.Errorf("block: %+v, want 15 minutes at most", d)
	}
	eventually(t, 5*time.Second, "the block is in the report", func() bool {
		b := s.blocks("state=active&ip=" + ip)
		return len(b) == 1 && b[0].Cut == "unsettled"
	})
	unsettled := 0
	for _, e := range s.events("name=USER_LOGIN_FAILURE&ip=" + ip) {
		if e.Reason == "unsettled" {
			unsettled++
		}
	}
	if unsettled != 5 {
		t.Errorf("%d events with reason unsettled, want 5", unsettled)
	}
	if _, err := s.settle(tokens[0], outcome{Outcome: "success"}); err != nil {
		t.Errorf("a late settlement: %v", err)
	}
	if status, err := s.do("POST", "/v1/attempts/"+tokens[0], outcome{Outcome: "success"}, nil); status != http.StatusConflict {
		t.Errorf("a second settlement: %d, %v", status, err)
	}
}

// TestOutcomeIsFinal: whoever was let through to the password check and finds
// it right is not let in if the address was blocked meanwhile.
func TestOutcomeIsFinal(t *testing.T) {
	s := newServer(t)
	const ip = "203.0.113.41"
	a, err := s.begin(query{IP: ip, Account: "alice", Wait: 2})
	if err != nil || a.Attempt == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	s.fail(ip, "bob", 5)
	r, err := s.settle(a.Attempt, outcome{Outcome: "success", Session: "must-not-open"})
	if err != nil || r.Decision.Action != "block" || r.Decision.Reason != "blocked" {
		t.Errorf("the right password after the block: %+v, %v", r, err)
	}
	if status, err := s.do("POST", "/v1/attempts/"+a.Attempt, outcome{Outcome: "success"}, nil); status != http.StatusConflict {
		t.Errorf("the same outcome again: %d, %v", status, err)
	}
	// An application that opens the session nevertheless is told to end it.
	var ended revocations
	s.get("/v1/sessions/revocations?wait=10", &ended)
	if len(ended.Items) != 1 || ended.Items[0].Session != "must-not-open" {
		t.Errorf("revocations: %+v", ended)
	}
	// A token of the time before a restart is still good for its outcome.
	const other = "203.0.113.42"
	if a, err = s.begin(query{IP: other, Account: "carol", Wait: 2}); err != nil {
		t.Fatal(err)
	}
	s.restart()
	if r, err := s.settle(a.Attempt, outcome{Outcome: "failure"}); err != nil || r.Severity != "warning" {
		t.Errorf("a failure after kill -9: %+v, %v", r, err)
	}
	if r := s.fail(other, "carol", 4); r.Decision.Action != "block" {
		t.Errorf("it was not counted: %+v", r)
	}
}
