//go:build linux

package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// durabilityPatience is how long a call may wait for its commit (SEMANTICS 44),
// and some more for a busy machine.
const durabilityPatience = 2*time.Second + 3*time.Second

// latency measures checks, one after the other, until stop is closed.
func (c *client) latency(t testing.TB, stop <-chan struct{}, ips ...string) (p99, worst time.Duration, n int) {
	t.Helper()
	var took []time.Duration
	for i := 0; ; i++ {
		select {
		case <-stop:
			if len(took) == 0 {
				return 0, 0, 0
			}
			slices.Sort(took)
			return took[len(took)*99/100], took[len(took)-1], len(took)
		default:
		}
		begun := time.Now()
		if _, err := c.tryCheck(ips[i%len(ips)]); err != nil {
			t.Error(err)
			return 0, 0, 0
		}
		took = append(took, time.Since(begun))
		// At most 2,000 per second: this is about waiting, not about work.
		time.Sleep(500 * time.Microsecond)
	}
}

// timed measures checks while f runs.
func (s *server) timed(t testing.TB, f func(), ips ...string) (p99 time.Duration) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var worst time.Duration
		var n int
		p99, worst, n = s.latency(t, stop, ips...)
		t.Logf("%d checks: p99 %s, worst %s", n, p99, worst)
	}()
	f()
	close(stop)
	<-done
	return p99
}

// within says whether checks were answered in time: within 5 ms, or, on a
// machine that is busy with other things, hardly slower than when all was well.
func within(t testing.TB, p99, well time.Duration) {
	t.Helper()
	if p99 > max(5*time.Millisecond, 4*well) {
		t.Errorf("check p99 %s, %s when all is well, want 5ms at most", p99, well)
	}
}

// siege is what happens while nothing can be written, and what must be true of
// it. Addresses end in the numbers given.
type siege struct {
	*server
	before, meanwhile, innocent string
	lost                        event
}

// newSiege starts from a server on which one address is blocked and checks are
// quick.
func newSiege(t *testing.T, s *server) (g *siege, well time.Duration) {
	t.Helper()
	g = &siege{server: s, before: "203.0.113.80", meanwhile: "203.0.113.81", innocent: "203.0.113.82"}
	s.fail(g.before, "alice", 5)
	well = s.timed(t, func() { time.Sleep(pick(time.Second, 3*time.Second)) }, g.before, g.innocent)
	return g, well
}

// hold goes through what must hold while nothing can be written.
func (g *siege) hold(t *testing.T) {
	t.Helper()
	// What cannot be made durable is not acknowledged.
	g.lost = wrong(g.innocent, "alice")
	g.lost.ID = "not-durable"
	text, err := json.Marshal(g.lost)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest("POST", g.base+"/v1/events", strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", g.auth)
	req.Header.Set("Content-Type", "application/json")
	begun := time.Now()
	resp, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var p problem
	err = json.NewDecoder(resp.Body).Decode(&p)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || p.ID != "not-durable" || err != nil {
		t.Errorf("an event: %d %+v, %v, want 503 with its id", resp.StatusCode, p, err)
	}
	if took := time.Since(begun); took > durabilityPatience {
		t.Errorf("an event was answered after %s", took)
	}
	// Somebody crosses meanwhile.
	inParallel(5, func(i int) {
		if status, err := g.do("POST", "/v1/events", wrong(g.meanwhile, "alice"), nil); status != http.StatusServiceUnavailable || err != nil {
			t.Errorf("failure %d was answered with %d, %v, want 503", i+1, status, err)
		}
	})
	for _, ip := range []string{g.before, g.meanwhile} {
		if d := g.check(ip); d.Action != "block" {
			t.Errorf("%s is not refused: %+v", ip, d)
		}
	}
	if d := g.check(g.innocent); d.Action != "allow" {
		t.Errorf("%s is refused: %+v", g.innocent, d)
	}
	// Attempts are admitted and refused from memory.
	begun = time.Now()
	if a, err := g.begin(query{IP: g.innocent, Account: "bob"}); err != nil || a.Attempt == "" {
		t.Errorf("attempt: %+v, %v", a, err)
	}
	if a, err := g.begin(query{IP: g.meanwhile, Account: "bob"}); err != nil || a.Attempt != "" || a.Decision.Action != "block" {
		t.Errorf("attempt from a blocked address: %+v, %v", a, err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("attempts were answered after %s", took)
	}
	eventually(t, 5*time.Second, "/readyz says that nothing can be written", func() bool {
		detail, ok := g.degraded("store_unwritable")
		return ok && detail != ""
	})
	// An innocent is let in by the command line all the same.
	begun = time.Now()
	g.cli("unblock", g.before, "--verdict", "error", "--reason", "while nothing could be written")
	t.Logf("unblock took %s", time.Since(begun))
	if d := g.check(g.before); d.Action != "allow" {
		t.Errorf("after unblock: %+v", d)
	}
}

// recover goes through what must be true when it is over, without a restart
// and after kill -9.
func (g *siege) recover(t *testing.T) {
	t.Helper()
	eventually(t, 20*time.Second, "the server recovers by itself", func() bool {
		_, bad := g.degraded("store_unwritable")
		return !bad
	})
	var again answer
	eventually(t, 10*time.Second, "the repeat is answered", func() bool {
		return g.call("POST", "/v1/events", g.lost, &again) == nil
	})
	if again.ID != "not-durable" || again.Severity != "warning" {
		t.Errorf("the repeat: %+v", again)
	}
	eventually(t, 10*time.Second, "the lift is journaled", func() bool {
		b := g.blocks("state=lifted")
		return len(b) == 1 && b[0].IP == g.before
	})
	g.restart()
	if d := g.check(g.meanwhile); d.Action != "block" {
		t.Errorf("who crossed meanwhile, after kill -9: %+v", d)
	}
	if d := g.check(g.before); d.Action != "allow" {
		t.Errorf("who was let in meanwhile, after kill -9: %+v", d)
	}
	for filter, want := range map[string]int{
		"name=USER_LOGIN_FAILURE&ip=" + g.meanwhile: 5,
		"name=THRESHOLD_EXCEEDED&ip=" + g.meanwhile: 1,
		"name=USER_LOGIN_FAILURE&ip=" + g.innocent:  1,
		"name=IP_UNBLOCKED&ip=" + g.before:          1,
	} {
		if n := len(g.events(filter)); n != want {
			t.Errorf("%d events with %s, want %d", n, filter, want)
		}
	}
	g.cli("audit", "verify")
}

// TestDatabaseLocked: another program holds the database. Blocks stay in force,
// decisions stay quick, nothing is promised that cannot be kept, and all of it
// catches up afterwards.
func TestDatabaseLocked(t *testing.T) {
	s := newServer(t)
	g, well := newSiege(t, s)
	unlock := lockDatabase(t, s)
	locked := time.Now()
	p99 := s.timed(t, func() {
		g.hold(t)
		for time.Since(locked) < pick(4*time.Second, 20*time.Second) {
			time.Sleep(50 * time.Millisecond) // the point is that it lasts
		}
	}, g.meanwhile, g.innocent)
	within(t, p99, well)
	unlock()
	g.recover(t)
}

// TestDiskFull: the same on a disk that has no room left.
func TestDiskFull(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=32m,mode=0700"); err != nil {
		t.Skipf("needs the right to mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := newServerIn(t, data)
	g, well := newSiege(t, s)
	ballast := filepath.Join(data, "ballast")
	fill(t, ballast)
	p99 := s.timed(t, func() {
		// The write-ahead log may have room of its own left.
		var n atomic.Int64
		eventually(t, 60*time.Second, "the disk is full", func() bool {
			status, err := s.do("POST", "/v1/events", right(fmt.Sprintf("192.0.2.%d", n.Add(1)%250+1), "somebody"), nil)
			if err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable {
				t.Errorf("an event: %d, %v", status, err)
			}
			return status != http.StatusOK
		})
		t.Logf("%d events until the disk was full", n.Load())
		g.hold(t)
	}, g.meanwhile, g.innocent)
	within(t, p99, well)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	g.recover(t)
}

// fill writes a file until its disk has no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// TestMailServerDead: nobody takes the mail. Blocks are enforced and told of in
// /readyz; the mail goes out when the server is back, once.
func TestMailServerDead(t *testing.T) {
	t.Parallel() // it waits for a second try
	dead := &mailServer{port: freePort(t)}
	s := newServer(t, append(dead.settings(), "SMTP_TO=ops@example.org")...)
	if a := s.fail("203.0.113.83", "alice", 5); a.Decision.Action != "block" {
		t.Errorf("the fifth: %+v", a)
	}
	if d := s.check("203.0.113.83"); d.Action != "block" {
		t.Errorf("check: %+v", d)
	}
	eventually(t, 20*time.Second, "/readyz says that mail fails", func() bool {
		_, bad := s.degraded("mail_failing")
		return bad
	})
	if out, errs, code := s.tryCLI("", "alert", "test"); code != 1 || !strings.Contains(out, "refused") {
		t.Errorf("alert test: exit code %d, %s%s, want the reason", code, out, errs)
	}
	mails := newMailServer(t, dead.port)
	eventually(t, 60*time.Second, "the mail arrives when the server is back", func() bool { return len(mails.all()) > 0 })
	eventually(t, 20*time.Second, "/readyz says that mail works", func() bool {
		_, bad := s.degraded("mail_failing")
		return !bad
	})
	if out := s.cli("alert", "test"); !strings.Contains(out, "ops@example.org: sent") || !strings.Contains(out, "250") {
		t.Errorf("alert test: %s, want the server's answer", out)
	}
	s.stop()
	alerts := 0
	for _, m := range mails.all() {
		if strings.Contains(m.subject, "203.0.113.83") {
			alerts++
		}
	}
	if alerts != 1 {
		t.Errorf("the alert arrived %d times", alerts)
	}
}

// TestQueueFull: more is reported than can be kept while nothing can be
// written. What was taken is stored once afterwards, what was refused is not;
// nothing is lost in silence.
func TestQueueFull(t *testing.T) {
	s := newServer(t)
	unlock := lockDatabase(t, s)
	const batch = 1000
	batches := 72 // more than 64 Ki events
	var mu sync.Mutex
	queued, refused := map[string]bool{}, map[string]bool{}
	inParallel(batches, func(i int) {
		events := make([]event, batch)
		for j := range events {
			events[j] = right(fmt.Sprintf("30.%d.%d.%d", i, j>>8, j&255), fmt.Sprintf("b%d-%d", i, j))
		}
		var p struct {
			problem
			results
		}
		status, err := s.do("POST", "/v1/events", map[string]any{"events": events}, &p)
		if err != nil || status != http.StatusServiceUnavailable || len(p.Results) != batch {
			t.Errorf("batch %d: %d, %v, %d results, want 503 with a result for each", i, status, err, len(p.Results))
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for j, r := range p.Results {
			switch {
			case r.Error == nil:
				t.Errorf("%s is acknowledged", events[j].Account)
			case strings.Contains(r.Error.Detail, "nothing was counted"):
				refused[events[j].Account] = true
			default:
				queued[events[j].Account] = true
			}
		}
	})
	t.Logf("%d events queued, %d refused, memory %d MiB", len(queued), len(refused), s.memory("VmHWM")>>20)
	if len(refused) == 0 || len(queued) == 0 || len(queued) > 64<<10 {
		t.Errorf("%d queued, %d refused", len(queued), len(refused))
	}
	unlock()
	eventually(t, 60*time.Second, "what was queued is stored", func() bool {
		return s.number("SELECT count(*) FROM events WHERE account LIKE 'b%'") >= len(queued)
	})
	s.stop()
	db := s.openDatabase()
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT account FROM events WHERE account LIKE 'b%'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	stored := 0
	for rows.Next() {
		var account string
		if err := rows.Scan(&account); err != nil {
			t.Fatal(err)
		}
		if stored++; !queued[account] {
			t.Errorf("%s was refused, or is there twice", account)
		}
		delete(queued, account)
	}
	if err := rows.Err(); err != nil || len(queued) > 0 {
		t.Errorf("%d stored, %d queued events are lost, %v", stored, len(queued), err)
	}
}
