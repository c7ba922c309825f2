package api

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// maxBatch is how many events one {"events":[...]} may hold.
const maxBatch = 1000

// The names of an event's fields, in the order of the switch below. "events"
// makes the object a batch.
var eventFields = []string{
	"id", "name", "time", "ip", "account", "realm", "session", "device", "user_agent",
	"method", "path", "reason", "guess", "details", "events",
}

const (
	fieldTime    = 2
	fieldIP      = 3
	fieldDetails = 13
	fieldEvents  = 14
)

var guessFields = []string{"same", "popular"}

// event reads one event. now is its arrival; an event with faults has them at
// their full places. key, if not empty, is the event's id unless it has one.
func (r *reader) event(now time.Time, key string) guard.Incoming {
	return r.eventFrom(now, key, nil)
}

// eventFrom reads an event, or calls batch at the field "events".
func (r *reader) eventFrom(now time.Time, key string, batch func()) guard.Incoming {
	outer := r.faults
	r.faults = nil
	var e warder.Event
	fields := eventFields
	if batch == nil {
		fields = eventFields[:fieldEvents]
	}
	seen, ok := r.object("", fields, func(i int) {
		if i == fieldEvents {
			batch()
			return
		}
		r.eventField(i, &e)
	})
	if seen&(1<<fieldEvents) != 0 {
		if seen != 1<<fieldEvents {
			r.fault("events", "cannot stand beside the fields of a single event")
		}
		return guard.Incoming{Faults: r.take(outer)}
	}
	if ok && r.err == nil {
		if seen&(1<<fieldIP) == 0 {
			r.fault("ip", ipRequired)
		}
		if e.ID == "" {
			e.ID = key
		}
		for _, f := range e.Faults(now) {
			if !r.failed(f.Location) {
				r.fault(f.Location, f.Message)
			}
		}
	}
	in := guard.Incoming{Event: e, Faults: r.take(outer)}
	if len(in.Faults) == 0 {
		in.Digest = digestEvent(&e)
	}
	return in
}

// take returns the faults noted since outer was set aside, and restores it.
func (r *reader) take(outer warder.Faults) warder.Faults {
	f := r.faults
	r.faults = outer
	return f
}

const ipRequired = `is required; send null if the address of the client is not known`

func (r *reader) eventField(i int, e *warder.Event) {
	name := eventFields[i]
	switch i {
	case 0:
		e.ID = r.raw(name)
	case 1:
		e.Name = r.raw(name)
	case fieldTime:
		e.Time = r.instant(name)
	case fieldIP:
		e.IP = r.address(name)
	case 4:
		e.Account = r.raw(name)
	case 5:
		e.Realm = r.raw(name)
	case 6:
		e.Session = r.raw(name)
	case 7:
		e.Device = r.raw(name)
	case 8:
		e.UserAgent = r.raw(name)
	case 9:
		e.Method = r.raw(name)
	case 10:
		e.Path = r.raw(name)
	case 11:
		e.Reason = r.raw(name)
	case 12:
		e.Guess = r.guess()
	case fieldDetails:
		e.Details = r.json(name, warder.MaxDetails)
	}
}

func (r *reader) guess() (g warder.Guess) {
	if r.dec.PeekKind() == 'n' {
		r.skip()
		return g
	}
	r.object("guess.", guessFields, func(i int) {
		if i == 0 {
			g.Same = r.raw("guess.same")
		} else {
			g.Popular = r.raw("guess.popular")
		}
	})
	return g
}

// address reads the address of a client. null and "" mean that the caller does
// not know it: the invalid address.
func (r *reader) address(field string) netip.Addr {
	b, ok := r.bytes(field)
	if !ok || len(b) == 0 {
		return netip.Addr{}
	}
	a, err := warder.ParseAddr(clip(string(b), 128))
	if err != nil {
		r.fault(field, printable(err.Error()))
	}
	return a
}

// instant reads an RFC 3339 time.
func (r *reader) instant(field string) time.Time {
	b, ok := r.bytes(field)
	if !ok || len(b) == 0 {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, clip(string(b), 64))
	if err != nil {
		r.fault(field, "must be a time such as 2026-01-31T12:00:00Z (RFC 3339)")
		return time.Time{}
	}
	if t = t.UTC(); t.IsZero() {
		r.fault(field, "must lie after the year 2000")
	}
	return t
}

// eventsBody decodes the body of POST /v1/events: one event, or a batch. many
// says which it was.
func (r *reader) eventsBody(now time.Time, key string) (list []guard.Incoming, many bool, err error) {
	r.start()
	one := r.eventFrom(now, key, func() {
		many = true
		list = r.events(now, key)
	})
	r.end()
	switch {
	case r.err != nil:
		return nil, many, r.err
	case !many:
		return []guard.Incoming{one}, false, nil
	case len(one.Faults) > 0: // of the envelope
		return nil, true, one.Faults
	}
	return list, true, nil
}

// events reads the array of a batch. A fault of an element stays with that
// element; a fault of the array is a fault of the whole.
func (r *reader) events(now time.Time, key string) []guard.Incoming {
	if r.dec.PeekKind() != '[' {
		r.skip()
		r.fault("events", "must be an array of events")
		return nil
	}
	if _, err := r.dec.ReadToken(); err != nil {
		r.broken(err)
		return nil
	}
	where := r.where
	r.where = where + ".events"
	var list []guard.Incoming
	for r.err == nil && r.dec.PeekKind() != ']' {
		if len(list) == maxBatch {
			r.where, r.index = where, -1
			r.fault("events", "must hold at most "+strconv.Itoa(maxBatch)+" events")
			for r.err == nil && r.dec.PeekKind() != ']' {
				r.skip()
			}
			break
		}
		r.index = len(list)
		list = append(list, r.event(now, keyAt(key, len(list))))
	}
	r.where, r.index = where, -1
	if r.err == nil {
		if _, err := r.dec.ReadToken(); err != nil {
			r.broken(err)
		}
	}
	return list
}

// maxIdempotency bounds the Idempotency-Key header.
const maxIdempotency = 255

// idempotencyKey reads the Idempotency-Key header; empty if there is none. A
// key too long to be the id of an event is replaced by its hash.
func idempotencyKey(req *http.Request) (string, error) {
	values := req.Header["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	const at = "header.Idempotency-Key"
	switch {
	case len(values) > 1:
		return "", fault(http.StatusUnprocessableEntity, at, "is there twice")
	case key == "" || len(key) > maxIdempotency:
		return "", fault(http.StatusUnprocessableEntity, at, "must have 1 to 255 characters")
	}
	for i := 0; i < len(key); i++ {
		if key[i] < ' ' || key[i] > '~' {
			return "", fault(http.StatusUnprocessableEntity, at, "must be printable ASCII")
		}
	}
	if len(key) > warder.MaxID-8 {
		sum := sha256.Sum256([]byte(key))
		key = "sha256-" + hexString(sum[:16])
	}
	return key, nil
}

// keyAt is the id that an Idempotency-Key gives to element i of a batch.
func keyAt(key string, i int) string {
	if key == "" {
		return ""
	}
	return key + "#" + strconv.Itoa(i)
}

// digestEvent identifies what an event says, however it was spelled, so that a
// repeat of it is told from another event under the same id.
func digestEvent(e *warder.Event) []byte {
	b := make([]byte, 0, 512)
	for _, s := range [...]string{
		e.Name, e.Account, e.Realm, e.Session, e.Device, e.UserAgent, e.Method, e.Path, e.Reason,
		e.Guess.Same, e.Guess.Popular, string(e.Details),
	} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	ip := e.IP.As16()
	b = append(b, ip[:]...)
	if !e.IP.IsValid() {
		b = append(b, '-')
	}
	if !e.Time.IsZero() {
		b = e.Time.AppendFormat(b, time.RFC3339Nano)
	}
	sum := sha256.Sum256(b)
	return sum[:]
}
