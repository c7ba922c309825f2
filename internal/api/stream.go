package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// Bounds of the event stream.
const (
	streamKept    = 1024 // messages kept for those who come back
	streamBehind  = 256  // messages that a slow reader may lag behind before it is cut off
	maxStreams    = 256
	maxOwnStreams = 24 // of one operator or key: nobody takes them all
	streamBeat    = 15 * time.Second
	streamTimeout = 10 * time.Second // one write
)

// message is one server-sent event. It is encoded, once for all, when the first
// reader asks for it: mostly there is none.
type message struct {
	id   int64
	text func() []byte
}

// hub hands committed records to the readers of the stream. A reader that does
// not keep up is cut off: it comes back with Last-Event-ID and catches up.
type hub struct {
	mu      sync.Mutex
	epoch   string // tells the ids of this process from those of the one before
	next    int64
	kept    []message // ring, oldest at start
	start   int
	readers map[chan message]string // to whose it is
	open    map[string]int          // readers of each
	closed  bool
}

func newHub() *hub {
	return &hub{
		epoch:   strconv.FormatInt(time.Now().UnixNano(), 36),
		next:    1,
		readers: map[chan message]string{},
		open:    map[string]int{},
	}
}

// publish encodes what a record says and hands it out.
func (h *hub) publish(rec *guard.Record) {
	for i := range rec.Events {
		h.send("event", newEventView(&rec.Events[i]))
	}
	for _, b := range rec.Blocks {
		h.send("block", newBlockView(b, b.From))
	}
	for i := range rec.BlockEnds {
		e := &rec.BlockEnds[i]
		h.send("block_end", map[string]any{"id": e.ID, "time": e.At, "by": e.By, "verdict": e.Verdict})
	}
	for _, d := range rec.Demands {
		h.send("demand", d)
	}
	if rec.Policy != nil {
		h.send("policy", rec.Policy)
	}
}

// send hands out v, which must not change any more.
func (h *hub) send(kind string, v any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	id := h.next
	h.next++
	m := message{id: id, text: sync.OnceValue(func() []byte {
		data, err := json.Marshal(v)
		if err != nil {
			return nil // our own types encode
		}
		text := append([]byte(nil), "id: "+h.epoch+"-"+strconv.FormatInt(id, 10)+"\nevent: "+kind+"\ndata: "...)
		text = append(text, data...) // JSON has no line breaks
		return append(text, "\n\n"...)
	})}
	if len(h.kept) < streamKept {
		h.kept = append(h.kept, m)
	} else {
		h.kept[h.start] = m
		h.start = (h.start + 1) % streamKept
	}
	for ch := range h.readers {
		select {
		case ch <- m:
		default:
			h.drop(ch)
		}
	}
}

// drop ends a reader. h.mu is held.
func (h *hub) drop(ch chan message) {
	who, in := h.readers[ch]
	if !in {
		return
	}
	delete(h.readers, ch)
	close(ch)
	if h.open[who]--; h.open[who] <= 0 {
		delete(h.open, who)
	}
}

// join registers a reader of an operator or key and returns what it missed
// since lastID. complete is false if something is missing: the process started
// anew, or it is too old. It is not ok if there are too many, altogether or of
// who.
func (h *hub) join(who, lastID string) (ch chan message, missed []message, complete, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.readers) >= maxStreams || h.open[who] >= maxOwnStreams {
		return nil, nil, false, false
	}
	ch = make(chan message, streamBehind)
	h.readers[ch] = who
	h.open[who]++
	if lastID == "" {
		return ch, nil, true, true
	}
	prefix := h.epoch + "-"
	if len(lastID) <= len(prefix) || lastID[:len(prefix)] != prefix {
		return ch, nil, false, true
	}
	after, err := strconv.ParseInt(lastID[len(prefix):], 10, 64)
	if err != nil || after < 0 || after >= h.next {
		return ch, nil, false, true
	}
	complete = after+1 >= h.next || len(h.kept) > 0 && h.kept[h.start%len(h.kept)].id <= after+1
	for i := range h.kept {
		if m := h.kept[(h.start+i)%len(h.kept)]; m.id > after {
			missed = append(missed, m)
		}
	}
	return ch, missed, complete, true
}

func (h *hub) leave(ch chan message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(ch)
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.readers {
		h.drop(ch)
	}
}

// serveStream sends server-sent events: event, block, block_end, demand, and
// reset when something was missed that is gone.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, c *caller) {
	query := r.URL.Query()
	for name, values := range query {
		if name != "last_event_id" || len(values) > 1 {
			s.writeProblem(w, r, fault(http.StatusUnprocessableEntity, "query."+clip(printable(name), 64), "is not known here, or is there twice"))
			return
		}
	}
	// A browser sends the header when it reconnects by itself; a page that opens
	// a new stream can only write it into the address.
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = query.Get("last_event_id")
	}
	ch, missed, complete, ok := s.stream.join(c.actor.Name, clip(last, 64))
	if !ok {
		s.writeProblem(w, r, guard.ErrBusy)
		return
	}
	defer s.stream.leave(ch)
	s.metrics.streams.Add(1)
	defer s.metrics.streams.Add(-1)
	rc := http.NewResponseController(w)
	h := w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["X-Accel-Buffering"] = []string{"no"}
	write := func(text []byte) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(streamTimeout))
		if _, err := w.Write(text); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
	hello := []byte(": warder\nretry: 2000\n\n")
	if !complete {
		hello = append(hello, "event: reset\ndata: {}\n\n"...)
	}
	if !write(hello) {
		return
	}
	for _, m := range missed {
		if !write(m.text()) {
			return
		}
	}
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	for {
		select {
		case m, open := <-ch:
			if !open || !write(m.text()) {
				return
			}
		case <-beat.C:
			if !write([]byte(": beat\n\n")) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
