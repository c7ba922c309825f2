package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Problem is the answer to a request that failed (RFC 9457). Errors name the
// place of each fault, such as body.events[3].ip or query.limit.
type Problem struct {
	Type   string         `json:"type" doc:"Kind of problem; about:blank means that the status says it all, urn:warder:prove that the operator has to give the password once more (POST /v1/me/prove)." example:"about:blank"`
	Title  string         `json:"title" doc:"The status in words."`
	Status int            `json:"status" doc:"The HTTP status."`
	Detail string         `json:"detail,omitempty" doc:"What is the matter with this request."`
	Errors []warder.Fault `json:"errors,omitempty" doc:"Every fault with its place."`
	ID     string         `json:"id,omitempty" doc:"The event that is counted but not durable yet."`
	// Reference and Challenge belong to a refused sign-in.
	Reference string       `json:"reference,omitempty" doc:"What finds this decision, for whoever can help."`
	Challenge *PosedAnswer `json:"challenge,omitempty" doc:"Solve it and send its token as clearance."`
	// Results accompany the refusal of a part of a batch.
	Results json.RawMessage `json:"results,omitempty" doc:"What became of each event of a batch that was not taken whole."`

	retryAfter int // seconds
	allow      string
	cause      error // logged, never sent
}

func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// Unwrap gives the cause that is not shown.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus lets huma answer with a Problem.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType lets huma answer with a Problem.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders lets huma send the headers that belong to a Problem.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="warder"`)
	}
	return h
}

func newProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// fault is a Problem about one place.
func fault(status int, location, message string) *Problem {
	p := newProblem(status, location+": "+message)
	p.Errors = []warder.Fault{{Location: location, Message: message}}
	return p
}

// problemOf is the one place that maps errors to statuses.
func problemOf(err error) *Problem {
	var (
		p       *Problem
		faults  warder.Faults
		one     warder.Fault
		overlap *guard.OverlapError
		covered *guard.CoveredError
		tooBig  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &faults):
		p = newProblem(http.StatusUnprocessableEntity, "The request has faults; nothing of it was done.")
		p.Errors = faults
	case errors.As(err, &one):
		p = fault(http.StatusUnprocessableEntity, one.Location, one.Message)
	case errors.As(err, &overlap):
		p = fault(http.StatusConflict, "body.ip", overlap.Error())
	case errors.As(err, &covered):
		p = newProblem(http.StatusConflict, covered.Error())
	case errors.As(err, &tooBig):
		p = tooLarge(tooBig.Limit)
	case errors.Is(err, guard.ErrNotFound):
		p = newProblem(http.StatusNotFound, detailOf(err, guard.ErrNotFound, "There is no such thing (any more)."))
	case errors.Is(err, guard.ErrConflict):
		p = newProblem(http.StatusConflict, detailOf(err, guard.ErrConflict, "This was already done, or done differently."))
	case errors.Is(err, guard.ErrStale):
		p = newProblem(http.StatusPreconditionFailed, "It was changed meanwhile: read it again and repeat the change.")
	case errors.Is(err, guard.ErrNotDurable):
		p = newProblem(http.StatusServiceUnavailable, "It is counted and queued, but not durable yet. A repeat with the same id is harmless.")
		p.retryAfter = 1
	case errors.Is(err, guard.ErrBusy):
		p = newProblem(http.StatusServiceUnavailable, "Busy; nothing was counted. Try again.")
		p.retryAfter = 1
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = newProblem(http.StatusServiceUnavailable, "It took too long. Try again.")
		p.retryAfter = 1
	default:
		p = newProblem(http.StatusInternalServerError, "Warder made a mistake; its log has more.")
		p.cause = err
	}
	return p
}

// detailOf is what err says beyond being kind, or else words for all of them.
func detailOf(err, kind error, words string) string {
	if rest, ok := strings.CutPrefix(err.Error(), kind.Error()+": "); ok {
		return rest
	}
	return words
}

func tooLarge(limit int64) *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, "The body must be at most "+strconv.FormatInt(limit, 10)+" bytes.")
}

// writeProblem answers with err as a problem document.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= 500 && p.cause != nil {
		s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "error", p.cause)
	}
	h := w.Header()
	maps.Copy(h, p.GetHeaders())
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	h["Content-Type"] = problemType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the caller is gone; nobody is left to tell
	}
}
