//go:build linux

package acceptance

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCountsSurviveKill: a restart resets no attacker, and forgives nobody's
// clearing of counters.
func TestCountsSurviveKill(t *testing.T) {
	s := newServer(t)
	const attacker, cleared = "203.0.113.50", "203.0.113.51"
	s.fail(attacker, "alice", 4)
	s.fail(cleared, "bob", 4)
	s.cleared(cleared)
	s.restart()
	if a := s.fail(attacker, "alice", 1); a.Decision.Action != "block" || a.Severity != "critical" {
		t.Errorf("4 failures, kill -9, 1 failure: %+v", a)
	}
	if a := s.fail(cleared, "bob", 1); a.Decision.Action != "allow" || a.Severity != "warning" {
		t.Errorf("4 failures, clear, kill -9, 1 failure: %+v", a)
	}
}

// cleared clears the counters of an address, as an operator.
func (s *server) cleared(ip string) {
	s.t.Helper()
	if err := s.socket().call("POST", "/v1/counters/clear", map[string]string{"ip": ip}, nil); err != nil {
		s.t.Fatal(err)
	}
}

// diary is what writers were told, and what they were not told any more.
type diary struct {
	mu     sync.Mutex
	events map[string]bool   // id -> acknowledged
	blocks map[string]string // id of a block -> address
	open   []event           // sent, not answered
}

func (d *diary) acknowledged(id, ip string, a answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events[id] = true
	if a.Decision.BlockID != "" {
		d.blocks[a.Decision.BlockID] = ip
	}
}

func (d *diary) unanswered(e event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, e)
}

// TestNothingAcknowledgedIsLost kills the server again and again while writers
// work. What it has acknowledged, events and blocks, is there afterwards, once.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	s := newServer(t)
	rounds := pick(4, 200)
	d := &diary{events: map[string]bool{}, blocks: map[string]string{}}
	slowest := time.Duration(0)
	for round := range rounds {
		// What was cut off is repeated under its id, as applications do.
		d.mu.Lock()
		again := d.open
		d.open = nil
		d.mu.Unlock()
		for _, e := range again {
			d.acknowledged(e.ID, e.IP, s.report(e))
		}
		var acks atomic.Int64
		enough := int64(20 + rand.N(pick(150, 300)))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for writer := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					// Five failures each: every address is blocked in its turn.
					e := wrong(fmt.Sprintf("11.%d.%d.%d", writer, round, i/5), fmt.Sprintf("account-%d", i%3))
					e.ID = fmt.Sprintf("r%d-w%d-%d", round, writer, i)
					var a answer
					if err := s.call("POST", "/v1/events", e, &a); err != nil {
						d.unanswered(e)
						return
					}
					d.acknowledged(e.ID, e.IP, a)
					acks.Add(1)
				}
			})
		}
		eventually(t, 60*time.Second, "enough was acknowledged", func() bool { return acks.Load() >= enough })
		cmd := s.cmd
		_ = cmd.Process.Kill()
		close(stop)
		wg.Wait()
		s.kill() // and collect it
		s.start()
		slowest = max(slowest, s.ready)
		if s.ready > 5*time.Second {
			t.Errorf("round %d: ready after %s", round, s.ready)
		}
		sample := 20
		for id, ip := range d.blocks {
			if sample--; sample < 0 && round < rounds-1 {
				break // all of them at the end
			}
			if got := s.check(ip); got.Action != "block" || got.BlockID != id {
				t.Errorf("round %d: block %s of %s was acknowledged, check says %+v", round, id, ip, got)
			}
		}
	}
	s.stop()
	s.verified()
	db := s.openDatabase()
	defer func() { _ = db.Close() }()
	lost := 0
	for id := range d.events {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM events WHERE id = ?", id).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != 1 {
			lost++
			t.Errorf("event %s is there %d times", id, n)
		}
	}
	for id, ip := range d.blocks {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM blocks WHERE id = ?", id).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != 1 {
			lost++
			t.Errorf("block %s of %s is there %d times", id, ip, n)
		}
	}
	for what, query := range map[string]string{
		"events doubled":             "SELECT count(*) FROM (SELECT 1 FROM events GROUP BY id HAVING count(*) > 1)",
		"addresses blocked twice":    "SELECT count(*) FROM (SELECT 1 FROM blocks GROUP BY ip_first HAVING count(*) > 1)",
		"blocks without their alert": "SELECT (SELECT count(*) FROM blocks) - (SELECT count(*) FROM alerts)",
		"blocks without their event": "SELECT (SELECT count(*) FROM blocks) - (SELECT count(*) FROM events WHERE name = 'THRESHOLD_EXCEEDED')",
		"blocks without their audit": "SELECT (SELECT count(*) FROM blocks) - (SELECT count(*) FROM audit WHERE action LIKE 'block%')",
		"blocks short of five":       "SELECT count(*) FROM blocks WHERE (SELECT count(*) FROM events e WHERE e.address = blocks.ip_first AND e.name = 'USER_LOGIN_FAILURE') < 5",
	} {
		if n := s.number(query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	s.cli("audit", "verify")
	t.Logf("%d rounds: %d events and %d blocks acknowledged, %d lost or doubled, ready after %s at most",
		rounds, len(d.events), len(d.blocks), lost, slowest)
}

// TestImportIsRepeatedAfterKill kills the server in the middle of an import.
// What was taken by then stays, and the same import again completes it and
// doubles nothing.
func TestImportIsRepeatedAfterKill(t *testing.T) {
	s := newServer(t)
	const n = 20_000
	type entry struct {
		IP     string `json:"ip"`
		Reason string `json:"reason"`
	}
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{fmt.Sprintf("198.18.%d.%d", i/250, i%250+1), "list"}
	}
	load := func(c *client) (out struct {
		Imported int   `json:"imported"`
		Rejected []any `json:"rejected"`
	}, err error,
	) {
		err = c.call("POST", "/v1/blocks/import", map[string]any{"blocks": entries}, &out)
		return out, err
	}
	live := func() int {
		return s.number("SELECT count(*) FROM blocks WHERE origin = 'import' AND lifted_at = 0 AND ended_at = 0")
	}
	broken := make(chan error, 1)
	go func(c *client) {
		_, err := load(c)
		broken <- err
	}(s.socket())
	eventually(t, 30*time.Second, "the import is under way", func() bool { return live() >= 1000 })
	s.kill()
	if err := <-broken; err == nil {
		t.Log("the import was done before the kill")
	}
	s.start()
	if left := live(); left < 1000 {
		t.Errorf("%d blocks after the kill, want what was committed", left)
	}
	for range 2 {
		out, err := load(s.socket())
		if err != nil || out.Imported != n || len(out.Rejected) > 0 {
			t.Fatalf("repeated import: %d imported, %d rejected, %v", out.Imported, len(out.Rejected), err)
		}
		if got := live(); got != n {
			t.Errorf("%d live blocks after the import was repeated, want %d", got, n)
		}
	}
}
