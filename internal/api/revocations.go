package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

const (
	maxPoll        = 25 // seconds that a long poll may wait
	pollLimit      = 500
	maxPolls       = 4096 // long polls at a time
	pollWriteGrace = 10 * time.Second
)

// RevocationsAnswer is a part of the feed of ended sessions. Reset says that
// some are missing because they are older than the feed goes back: drop all
// sessions that are not known to be fine.
type RevocationsAnswer struct {
	Items []guard.Revoked `json:"items"`
	Next  string          `json:"next" doc:"Send it as after in the next call."`
	Reset bool            `json:"reset,omitempty" doc:"Some are missing because they are older than the feed goes back: drop all sessions that are not known to be fine."`
}

// revocations is a long poll: it answers at once if there is something after
// the given number, else at the next revocation or when the time is over.
func (s *Server) revocations(w http.ResponseWriter, r *http.Request, _ *caller) {
	after, wait, err := pollQuery(r)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	if s.metrics.polls.Add(1) > maxPolls {
		s.metrics.polls.Add(-1)
		s.writeProblem(w, r, guard.ErrBusy)
		return
	}
	defer s.metrics.polls.Add(-1)
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(wait + pollWriteGrace)) // tests without a connection have none
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		changed := s.opts.Guard.RevocationsChanged() // before the look, so that none is missed between
		list, err := s.opts.Store.Revocations(r.Context(), after, pollLimit)
		if err != nil {
			s.writeProblem(w, r, err)
			return
		}
		if len(list.Items) > 0 || list.Reset || wait == 0 {
			s.writeRevocations(w, r, list)
			return
		}
		select {
		case <-changed:
			continue
		case <-timer.C:
		case <-r.Context().Done(): // at a shutdown somebody still reads the answer
		}
		s.writeRevocations(w, r, list)
		return
	}
}

func (s *Server) writeRevocations(w http.ResponseWriter, r *http.Request, list store.Revocations) {
	if list.Items == nil {
		list.Items = []guard.Revoked{}
	}
	s.writeJSON(w, r, http.StatusOK, &RevocationsAnswer{
		Items: list.Items, Next: strconv.FormatInt(list.Next, 10), Reset: list.Reset,
	})
}

// pollQuery reads after (absent: the oldest kept, -1) and wait.
func pollQuery(r *http.Request) (after int64, wait time.Duration, err error) {
	var f warder.Faults
	after, wait = -1, 0
	for name, values := range r.URL.Query() {
		at := "query." + clip(printable(name), 64)
		switch {
		case name != "after" && name != "wait":
			f.Add(at, "is not known here")
		case len(values) > 1:
			f.Add(at, "is there twice")
		case name == "after" && values[0] != "":
			if after, err = strconv.ParseInt(values[0], 10, 64); err != nil || after < 0 {
				f.Add(at, "must be the number that an earlier answer gave as next")
			}
		case name == "wait" && values[0] != "":
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 0 || n > maxPoll {
				f.Add(at, "must be a whole number from 0 to %d", maxPoll)
			}
			wait = time.Duration(n) * time.Second
		}
	}
	return after, wait, f.Err()
}
