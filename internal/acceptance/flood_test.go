//go:build linux

package acceptance

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memory reads a figure of the process, in bytes: VmRSS or VmHWM, the most it
// ever had.
func (s *server) memory(figure string) int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, figure+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n << 10
		}
	}
	s.t.Fatalf("no %s in %s", figure, status)
	return 0
}

// TestFloodForgetsNobody: an attacker stands at 4 of 5 and sends a flood of new
// addresses and accounts, so that Warder forgets him. It does not, nor does it
// grow, nor does the flood block anybody.
func TestFloodForgetsNobody(t *testing.T) {
	s := newServer(t)
	const attacker, most = "203.0.113.60", 512 << 20
	keys := pick(30_000, 1_000_000)
	s.fail(attacker, "alice", 4)
	const batch, workers = 1000, 4
	begun := time.Now()
	inParallel(workers, func(worker int) {
		var body bytes.Buffer
		for first := worker * batch; first < keys; first += workers * batch {
			body.Reset()
			body.WriteString(`{"events":[`)
			for i := first; i < first+batch; i++ {
				if i > first {
					body.WriteByte(',')
				}
				fmt.Fprintf(&body, `{"name":"USER_LOGIN_FAILURE","ip":"%d.%d.%d.%d","account":"flood-%d","reason":"wrong_password"}`,
					20+i>>24, i>>16&255, i>>8&255, i&255, i)
			}
			body.WriteString(`]}`)
			for {
				req, err := http.NewRequest("POST", s.base+"/v1/events", bytes.NewReader(body.Bytes()))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", s.auth)
				req.Header.Set("Content-Type", "application/json")
				resp, err := s.http.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					break
				}
				// Under back-pressure the batch is sent again, as it should be.
				if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
					t.Errorf("a batch was answered with %d", resp.StatusCode)
					return
				}
				if time.Since(begun) > 30*time.Minute {
					t.Error("the flood does not get through")
					return
				}
			}
		}
	})
	peak := s.memory("VmHWM")
	t.Logf("%d new keys in %s, memory %d MiB at most", keys, time.Since(begun).Round(time.Millisecond), peak>>20)
	if peak > most {
		t.Errorf("memory %d MiB, want %d at most", peak>>20, most>>20)
	}
	if a := s.fail(attacker, "alice", 1); a.Decision.Action != "block" || a.Decision.Reason != "threshold_exceeded" {
		t.Errorf("the fifth failure: %+v", a)
	}
	if b := s.blocks("state=all"); len(b) != 1 || b[0].IP != attacker {
		t.Errorf("%d blocks: %.500v", len(b), b)
	}
}
