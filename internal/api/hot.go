package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// The names of a query's fields, in the order of the switch below. /v1/check
// and /v1/attempts share them; wait is for attempts only.
var queryFields = []string{
	"ip", "account", "realm", "session", "device", "user_agent", "event", "method", "path", "clearance", "wait",
}

const (
	fieldQueryIP    = 0
	fieldQueryEvent = 6
	fieldQueryWait  = 10

	maxClearance = 1024
	maxStem      = warder.MaxName - len("_SUCCESS")
	defaultWait  = 2
	maxWait      = 10
)

// query reads the body of /v1/check, or with attempt that of /v1/attempts.
func (r *reader) query(q *guard.Query, attempt bool) (wait time.Duration, err error) {
	r.start()
	fields := queryFields
	if !attempt {
		fields = fields[:fieldQueryWait]
	}
	wait = defaultWait * time.Second
	seen, ok := r.object("", fields, func(i int) {
		name := queryFields[i]
		switch i {
		case fieldQueryIP:
			q.IP = r.address(name)
		case 1:
			q.Account = r.text(name, warder.MaxAccount)
		case 2:
			q.Realm = r.text(name, warder.MaxRealm)
		case 3:
			q.Session = r.text(name, warder.MaxSession)
		case 4:
			q.Device = r.text(name, warder.MaxDevice)
		case 5:
			q.UserAgent = r.text(name, warder.MaxUserAgent)
		case fieldQueryEvent:
			q.Event = r.text(name, warder.MaxName)
			if q.Event != "" && !warder.ValidName(q.Event) {
				r.fault(name, "must match [A-Z][A-Z0-9_]{1,63}, such as USER_LOGIN")
			}
		case 7:
			q.Method = r.text(name, warder.MaxMethod)
		case 8:
			q.Path = r.text(name, warder.MaxPath)
		case 9:
			q.Clearance = r.text(name, maxClearance)
		case fieldQueryWait:
			wait = time.Duration(r.integer(name, 0, maxWait, defaultWait)) * time.Second
		}
	})
	if ok && seen&(1<<fieldQueryIP) == 0 {
		r.fault("ip", ipRequired)
	}
	if ok && attempt && len(q.Event) > maxStem {
		r.fault("event", "must be at most "+strconv.Itoa(maxStem)+" bytes: the stem of names such as USER_LOGIN_SUCCESS")
	}
	return wait, r.done()
}

// done ends the reading of a body: the first reason to refuse it, or nil.
func (r *reader) done() error {
	r.end()
	if r.err != nil {
		return r.err
	}
	return r.faults.Err()
}

func (s *Server) hotRoutes() {
	s.router.handle("POST /v1/check", s.check)
	s.router.handle("POST /v1/events", s.events)
	s.router.handle("POST /v1/attempts", s.attempt)
	s.router.handle("POST /v1/attempts/{token}", s.settle)
	s.router.handle("POST /v1/challenge", s.pose)
	s.router.handle("POST /v1/challenge/verify", s.verify)
	s.router.handle("GET /v1/sessions/revocations", s.revocations)
}

// check answers with a decision. It is called on every request of a platform,
// so it reads memory only and logs nothing.
func (s *Server) check(w http.ResponseWriter, r *http.Request, c *caller) {
	in := newReader()
	defer in.free()
	if err := in.fill(r, "application/json", s.opts.MaxBody); err != nil {
		s.writeProblem(w, r, err)
		return
	}
	var q guard.Query
	if _, err := in.query(&q, false); err != nil {
		s.writeProblem(w, r, err)
		return
	}
	d := s.engine.Check(c.app, &q)
	s.metrics.decided(d.Action, d.Reason)
	if body, length := encoded(&d); body != nil {
		h := w.Header()
		h["Content-Type"] = jsonType
		h["Content-Length"] = length
		_, _ = w.Write(body)
		return
	}
	s.writeJSON(w, r, http.StatusOK, &d)
}

// plain are the decisions without any detail, which nearly all answers are,
// encoded once.
var plain = func() (list [3]struct {
	why    warder.Why
	body   []byte
	length []string
},
) {
	for i, why := range [...]warder.Why{warder.OK, warder.Trusted, warder.Disabled} {
		body, err := json.Marshal(warder.Decision{Action: warder.Allow, Reason: why})
		if err != nil {
			panic(err) // it is a constant
		}
		list[i].why, list[i].body = why, append(body, '\n')
		list[i].length = []string{strconv.Itoa(len(body) + 1)}
	}
	return list
}()

// encoded returns the encoding of a decision without details, or nil.
func encoded(d *warder.Decision) (body []byte, length []string) {
	for i := range plain {
		if *d == (warder.Decision{Action: warder.Allow, Reason: plain[i].why}) {
			return plain[i].body, plain[i].length
		}
	}
	return nil, nil
}

// writeJSON answers with v.
func (s *Server) writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	body = append(body, '\n')
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone; nobody is left to tell
}

// AttemptAnswer is the answer to POST /v1/attempts.
type AttemptAnswer struct {
	Attempt   string          `json:"attempt,omitempty" doc:"Signed token to settle; absent if the password must not be checked."`
	ExpiresIn int64           `json:"expires_in,omitempty" doc:"Seconds until the attempt counts as unsettled."`
	Decision  warder.Decision `json:"decision"`
}

func (s *Server) attempt(w http.ResponseWriter, r *http.Request, c *caller) {
	in := newReader()
	defer in.free()
	key, err := idempotencyKey(r)
	if err == nil {
		err = in.fill(r, "application/json", s.opts.MaxBody)
	}
	var (
		q    guard.Query
		wait time.Duration
	)
	if err == nil {
		wait, err = in.query(&q, true)
	}
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	a, err := s.engine.Begin(r.Context(), c.app, q, wait, key)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	s.metrics.decided(a.Decision.Action, a.Decision.Reason)
	out := AttemptAnswer{Attempt: a.Token, Decision: a.Decision}
	if a.Token != "" {
		out.ExpiresIn = int64(a.ExpiresIn / time.Second)
	}
	s.writeJSON(w, r, http.StatusOK, &out)
}

var (
	settleFields = []string{"outcome", "reason", "guess", "session", "account"}
	outcomes     = map[string]warder.Outcome{
		"success": warder.Success, "failure": warder.Failure, "error": warder.OutcomeError,
	}
)

// settlement reads the body of POST /v1/attempts/{token}.
func (r *reader) settlement() (st guard.Settlement, err error) {
	r.start()
	given := false
	_, ok := r.object("", settleFields, func(i int) {
		name := settleFields[i]
		switch i {
		case 0:
			text, isText := r.bytes(name)
			if !isText {
				return
			}
			if st.Outcome, given = outcomes[string(text)]; !given {
				r.fault(name, "must be success, failure or error")
			}
		case 1:
			st.Reason = r.text(name, warder.MaxReason)
		case 2:
			st.Guess = r.guess()
		case 3:
			st.Session = r.text(name, warder.MaxSession)
		case 4:
			st.Account = r.text(name, warder.MaxAccount)
		}
	})
	if ok && !given && !r.failed("outcome") {
		r.fault("outcome", "is required: success, failure or error")
	}
	// The guess is checked where the guess of every event is.
	e := warder.Event{Name: "ATTEMPT", Guess: st.Guess}
	for _, f := range e.Faults(time.Time{}) {
		if ok && !r.failed(f.Location) {
			r.fault(f.Location, f.Message)
		}
	}
	if err := r.done(); err != nil {
		return st, err
	}
	e.Name, e.Reason, e.Session, e.Account = "ATTEMPT_"+st.Outcome.String(), st.Reason, st.Session, st.Account
	st.Digest = digestEvent(&e)
	return st, nil
}

func (s *Server) settle(w http.ResponseWriter, r *http.Request, c *caller) {
	in := newReader()
	defer in.free()
	err := in.fill(r, "application/json", s.opts.MaxBody)
	var st guard.Settlement
	if err == nil {
		st, err = in.settlement()
	}
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	rep, err := s.engine.Settle(r.Context(), c.app, r.PathValue("token"), st)
	if err == nil {
		err = rep.Err
	}
	if err != nil {
		s.writeProblem(w, r, withID(err, rep.ID))
		return
	}
	s.metrics.decided(rep.Decision.Action, rep.Decision.Reason)
	s.writeJSON(w, r, http.StatusOK, &EventAnswer{ID: rep.ID, Severity: rep.Severity, Decision: rep.Decision})
}

// withID names the event in the problem about it.
func withID(err error, id string) error {
	if id == "" {
		return err
	}
	p := *problemOf(err)
	p.ID = id
	return &p
}
