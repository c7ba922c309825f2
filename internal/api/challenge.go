package api

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/warderhq/warder"
)

// Posed is a challenge as the page that shows it needs it.
type Posed struct {
	Provider  string        `json:"provider"`
	Challenge string        `json:"challenge"`
	SiteKey   string        `json:"site_key"`
	Expires   time.Duration `json:"-"`
}

// PosedAnswer is the answer to POST /v1/challenge.
type PosedAnswer struct {
	Posed
	ExpiresIn int64 `json:"expires_in" doc:"Seconds."`
}

// VerifyAnswer is the answer to POST /v1/challenge/verify.
type VerifyAnswer struct {
	Success    bool     `json:"success"`
	Clearance  string   `json:"clearance,omitempty" doc:"Send it back as clearance with checks and attempts."`
	ExpiresIn  int64    `json:"expires_in,omitempty" doc:"Seconds."`
	ErrorCodes []string `json:"error_codes"`
}

const (
	maxChallengeToken = 8 << 10
	maxPurpose        = 64
)

var (
	poseFields   = []string{"ip", "account", "realm", "purpose"}
	verifyFields = []string{"token", "ip", "realm"}
)

// challengeQuery is what the two calls about challenges are asked with.
type challengeQuery struct {
	ip                             netip.Addr
	account, realm, purpose, token string
}

func (r *reader) pose() (q challengeQuery, err error) {
	r.start()
	_, ok := r.object("", poseFields, func(i int) {
		name := poseFields[i]
		switch i {
		case 0:
			q.ip = r.address(name)
		case 1:
			q.account = r.text(name, warder.MaxAccount)
		case 2:
			q.realm = r.text(name, warder.MaxRealm)
		case 3:
			q.purpose = r.text(name, maxPurpose)
		}
	})
	r.bound(ok, q.ip)
	return q, r.done()
}

func (r *reader) verify() (q challengeQuery, err error) {
	r.start()
	_, ok := r.object("", verifyFields, func(i int) {
		name := verifyFields[i]
		switch i {
		case 0:
			q.token = r.text(name, maxChallengeToken)
		case 1:
			q.ip = r.address(name)
		case 2:
			q.realm = r.text(name, warder.MaxRealm)
		}
	})
	if ok && q.token == "" && !r.failed("token") {
		r.fault("token", "is required")
	}
	r.bound(ok, q.ip)
	return q, r.done()
}

// bound insists on an address: a challenge is bound to one.
func (r *reader) bound(ok bool, ip netip.Addr) {
	if ok && !ip.IsValid() && !r.failed("ip") {
		r.fault("ip", "is required: a challenge is bound to the address of the client")
	}
}

// pose issues a challenge.
func (s *Server) pose(w http.ResponseWriter, r *http.Request, _ *caller) {
	in := newReader()
	defer in.free()
	err := in.fill(r, "application/json", s.opts.MaxBody)
	var q challengeQuery
	if err == nil {
		q, err = in.pose()
	}
	if err == nil && s.opts.Challenges == nil {
		err = newProblem(http.StatusNotFound, "This instance poses no challenges.")
	}
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	posed, err := s.opts.Challenges.Issue(r.Context(), q.ip, q.account, q.realm, q.purpose)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	s.writeJSON(w, r, http.StatusOK, &PosedAnswer{Posed: posed, ExpiresIn: int64(posed.Expires / time.Second)})
}

// verify spends a solved challenge and gives the clearance for it.
func (s *Server) verify(w http.ResponseWriter, r *http.Request, _ *caller) {
	in := newReader()
	defer in.free()
	err := in.fill(r, "application/json", s.opts.MaxBody)
	var q challengeQuery
	if err == nil {
		q, err = in.verify()
	}
	if err == nil && s.opts.Challenges == nil {
		err = newProblem(http.StatusNotFound, "This instance poses no challenges.")
	}
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	ok, codes, err := s.opts.Challenges.Verify(r.Context(), q.token, q.ip, q.realm)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	out := VerifyAnswer{Success: ok, ErrorCodes: codes}
	if codes == nil {
		out.ErrorCodes = []string{}
	}
	if ok {
		clearance, lasts := s.opts.Guard.Cleared(q.ip, q.realm)
		out.Clearance, out.ExpiresIn = clearance, int64(lasts/time.Second)
	}
	s.writeJSON(w, r, http.StatusOK, &out)
}
