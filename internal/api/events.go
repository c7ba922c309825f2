package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Bounds of a stream of events in one request (NDJSON).
const (
	lineGroup = 256   // events that are taken in and committed together
	maxLines  = 20000 // bounds the answer, which lists every line
)

// EventAnswer is the answer to one event.
type EventAnswer struct {
	ID       string          `json:"id"`
	Severity warder.Severity `json:"severity"`
	Decision warder.Decision `json:"decision"`
}

// EventResult is the answer to one event of a batch: what became of it, or
// what is the matter with it.
type EventResult struct {
	ID       string           `json:"id,omitempty"`
	Severity *warder.Severity `json:"severity,omitempty"`
	Decision *warder.Decision `json:"decision,omitempty"`
	Error    *Problem         `json:"error,omitempty"`
}

func (s *Server) events(w http.ResponseWriter, r *http.Request, c *caller) {
	key, err := idempotencyKey(r)
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media == "application/x-ndjson" {
		s.eventLines(w, r, c, key)
		return
	}
	in := newReader()
	defer in.free()
	if err := in.fill(r, "application/json", s.opts.MaxBatch); err != nil {
		s.writeProblem(w, r, err)
		return
	}
	size := int64(in.buf.Len())
	list, many, err := s.decodeEvents(in, size, key)
	switch {
	case err != nil:
	case !many && size > s.opts.MaxBody:
		err = tooLarge(s.opts.MaxBody)
	case !many && len(list[0].Faults) > 0:
		err = list[0].Faults
	}
	if err != nil {
		s.writeProblem(w, r, err)
		return
	}
	reported := s.engine.Report(r.Context(), c.app, list)
	if many {
		b := newBatch(s)
		b.add(list, reported)
		b.write(w, r, nil)
		return
	}
	if len(reported) != 1 {
		s.writeProblem(w, r, errMissingAnswer)
		return
	}
	rep := &reported[0]
	if rep.Err != nil {
		s.writeProblem(w, r, withID(rep.Err, rep.ID))
		return
	}
	s.metrics.decided(rep.Decision.Action, rep.Decision.Reason)
	s.writeJSON(w, r, http.StatusOK, &EventAnswer{ID: rep.ID, Severity: rep.Severity, Decision: rep.Decision})
}

// bulkBody is from how many bytes on a body is decoded in a turn of its own.
const bulkBody = 8 << 10

// decodeEvents decodes the body that was read, a large one when it is its turn.
func (s *Server) decodeEvents(in *reader, size int64, key string) (list []guard.Incoming, many bool, err error) {
	if size >= bulkBody {
		defer s.engine.Bulk()()
	}
	return in.eventsBody(time.Now(), key)
}

var errMissingAnswer = errors.New("the engine did not answer to every event")

// batch gathers the answers to the events of one request.
type batch struct {
	s      *Server
	n      int
	json   []byte // the array, unfinished
	undone bool   // some event was not made durable
	err    error
}

func newBatch(s *Server) *batch { return &batch{s: s, json: []byte{'['}} }

// add appends the answers to a group of events.
func (b *batch) add(list []guard.Incoming, reported []guard.Reported) {
	for i := range list {
		if i >= len(reported) {
			b.err = errMissingAnswer
			return
		}
		rep := &reported[i]
		var out EventResult
		err := rep.Err
		if len(list[i].Faults) > 0 {
			err = list[i].Faults
		}
		if err != nil {
			out.Error = problemOf(err)
			out.ID, out.Error.ID = rep.ID, ""
			if out.Error.Status >= 500 {
				b.undone = true
			}
		} else {
			out = EventResult{ID: rep.ID, Severity: &rep.Severity, Decision: &rep.Decision}
			b.s.metrics.decided(rep.Decision.Action, rep.Decision.Reason)
		}
		b.append(&out)
	}
}

func (b *batch) append(out *EventResult) {
	one, err := json.Marshal(out)
	if err != nil {
		b.err = err
		return
	}
	if b.n > 0 {
		b.json = append(b.json, ',')
	}
	b.json = append(b.json, one...)
	b.n++
}

// write answers for the batch. 2xx means that every event without a fault of
// its own is durable. err says that the rest of the request was not taken.
func (b *batch) write(w http.ResponseWriter, r *http.Request, err error) {
	b.json = append(b.json, ']')
	if err == nil {
		err = b.err
	}
	if err == nil && b.undone {
		p := newProblem(http.StatusServiceUnavailable,
			"Some events are not durable; repeat those whose result is an error of status 503.")
		p.retryAfter = 1
		err = p
	}
	if err != nil {
		p := *problemOf(err)
		if b.n > 0 {
			p.Results = b.json
		}
		b.s.writeProblem(w, r, &p)
		return
	}
	body := make([]byte, 0, len(b.json)+16)
	body = append(body, `{"results":`...)
	body = append(body, b.json...)
	body = append(body, "}\n"...)
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = w.Write(body)
}

// eventLines takes NDJSON in, line by line: what has arrived is stored in
// groups, so that neither a long nor a slow stream is held in memory. A line
// with faults, or one that is no JSON at all, is answered at its index and
// harms no other.
func (s *Server) eventLines(w http.ResponseWriter, r *http.Request, c *caller, key string) {
	if r.ContentLength > s.opts.MaxBatch {
		s.writeProblem(w, r, tooLarge(s.opts.MaxBatch))
		return
	}
	var (
		lines = bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, s.opts.MaxBatch), 64<<10)
		b     = newBatch(s)
		group = make([]guard.Incoming, 0, lineGroup)
		in    = newReader()
		index = 0
	)
	defer in.free()
	flush := func() {
		if len(group) > 0 {
			b.add(group, s.engine.Report(r.Context(), c.app, group))
			group = make([]guard.Incoming, 0, lineGroup) // the engine may keep what it was given
		}
	}
	for {
		long, err := readLine(lines, in, s.opts.MaxBody)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			flush()
			if p := problemOf(err); p.Status == http.StatusRequestEntityTooLarge {
				b.write(w, r, p)
			} else {
				b.write(w, r, newProblem(http.StatusBadRequest, "The body could not be read to its end."))
			}
			return
		}
		if blank(in.buf.Bytes()) && !long {
			if last {
				break
			}
			continue
		}
		if index == maxLines {
			flush()
			p := newProblem(http.StatusRequestEntityTooLarge, "At most "+strconv.Itoa(maxLines)+" lines are taken at once; the rest was not read.")
			b.write(w, r, p)
			return
		}
		group = append(group, in.line(index, long, time.Now(), keyAt(key, index), s.opts.MaxBody))
		index++
		if len(group) == lineGroup {
			flush()
		}
		if last {
			break
		}
	}
	flush()
	b.write(w, r, nil)
}

// line decodes the line in buf.
func (r *reader) line(index int, long bool, now time.Time, key string, limit int64) guard.Incoming {
	r.reset("body")
	r.index = index
	r.root = r.at("")
	if long {
		return guard.Incoming{Faults: warder.Faults{{
			Location: r.at(""), Message: "must be at most " + strconv.FormatInt(limit, 10) + " bytes",
		}}}
	}
	r.start()
	e := r.event(now, key)
	r.end()
	if r.err != nil {
		return guard.Incoming{Faults: r.err.Errors}
	}
	return e
}

// readLine fills in.buf with the next line. A line longer than limit is read
// to its end and dropped.
func readLine(lines *bufio.Reader, in *reader, limit int64) (long bool, err error) {
	in.buf.Reset()
	for {
		part, err := lines.ReadSlice('\n')
		if !long {
			_, _ = in.buf.Write(part) // a bytes.Buffer never fails
			if int64(in.buf.Len()) > limit {
				long = true
				in.buf.Reset()
			}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}
