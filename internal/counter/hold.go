package counter

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"
)

// line is the queue before one counter: who holds slots of it and who waits.
// It exists only while there is somebody.
type line struct {
	cell    uint32
	queued  bool // in Memory.work
	held    []held
	waiters []*Ticket // first come first
}

// held is a member that reservations hold, and how many of them.
type held struct {
	member digest
	by     int
}

// slot is what a ticket needs of one counter.
type slot struct {
	line   *line
	member digest
}

// States of a ticket.
const (
	ticketWaiting uint32 = iota
	ticketGranted
	ticketRetry
	ticketOver
)

type ticketState = atomic.Uint32

// What a reservation costs besides its cells, in bytes; measured.
const (
	ticketBytes = int64(unsafe.Sizeof(Ticket{})) + 112 + 64 // its channel, its places in maps
	slotBytes   = int64(unsafe.Sizeof(slot{})+unsafe.Sizeof(line{})+unsafe.Sizeof(held{})) + 16
)

func (t *Ticket) cost() int64 {
	return ticketBytes + int64(len(t.ID)) + int64(len(t.slots))*slotBytes
}

// Reserve implements Counter. Errors: ErrReserved, and ErrBusy if a line is
// full or the memory for reservations is used up.
//
// A counter on which nobody holds a slot always has one free, even if it stands
// at its threshold (as it may after Replay): otherwise nobody could ever bring
// the outcome that decides.
func (m *Memory) Reserve(_ context.Context, now time.Time, id string, hits []Hit) (*Ticket, Status, error) {
	t := &Ticket{ID: id, done: m.closed, slots: make([]slot, 0, len(hits))}
	m.begin(now)
	defer m.end()
	if m.tickets[id] != nil {
		return nil, 0, ErrReserved
	}
	if m.booked+t.cost()+int64(len(hits))*slotBytes > m.opts.Bytes/holdShare {
		return nil, 0, ErrBusy
	}
	for i := range hits {
		c := m.open(&hits[i])
		if c == 0 {
			return nil, 0, ErrBusy
		}
		s := slot{m.pin(c), m.digest.memberSum(hits[i].Member)}
		if !slices.Contains(t.slots, s) {
			t.slots = append(t.slots, s)
		}
	}
	if m.nobodyAhead(t) && m.fits(t) {
		m.hold(t)
		m.book(t)
		return t, Granted, nil
	}
	busy := m.waiting >= MaxWaiters
	for i := range t.slots {
		busy = busy || len(t.slots[i].line.waiters) >= MaxWaitersPerKey
	}
	if busy {
		return nil, 0, ErrBusy
	}
	t.done = make(chan struct{})
	for i := range t.slots {
		if l := t.slots[i].line; t.first(i) {
			l.waiters = append(l.waiters, t)
		}
	}
	m.waiting++
	m.book(t)
	return t, Waiting, nil
}

// Retry implements Counter.
func (m *Memory) Retry(t *Ticket) bool { return t.state.Load() == ticketRetry }

// Cancel implements Counter. It never returns an error; a ticket that is
// settled, cancelled or told to retry is left alone.
func (m *Memory) Cancel(_ context.Context, now time.Time, t *Ticket) error {
	m.begin(now)
	defer m.end()
	if m.tickets[t.ID] == t {
		m.finish(t, ticketOver)
	}
	return nil
}

// Settle implements Counter. It never returns an error. Settling a ticket that
// still waits takes it out of line and tells it to retry.
func (m *Memory) Settle(_ context.Context, now time.Time, id string, hits []Hit) ([]Count, error) {
	counts := make([]Count, len(hits))
	m.begin(now)
	defer m.end()
	if t := m.tickets[id]; t != nil {
		if t.state.Load() == ticketWaiting {
			m.finish(t, ticketRetry)
		} else {
			m.finish(t, ticketOver)
		}
	}
	// Nothing is granted before end, so nobody slips in between.
	for i := range hits {
		counts[i] = m.count(&hits[i], false)
	}
	return counts, nil
}

// Carry takes over the reservations of from, of which m must be a Fresh one;
// from must not be used any more. Slots that are held stay held under the same
// keys, whether there is room for them or not, so that attempts on their way are
// settled as if nothing had happened; those that find no memory are dropped,
// and their settlements count like events. Tickets that wait are told to retry:
// under the new policy other counters may decide on them.
func (m *Memory) Carry(from *Memory) {
	from.mu.Lock()
	defer from.mu.Unlock()
	m.mu.Lock()
	defer m.end()
	m.now = max(m.now, from.now)
	for _, t := range from.tickets {
		if t.state.Load() == ticketWaiting {
			from.finish(t, ticketRetry)
			continue
		}
		var moved []slot
		for _, s := range t.slots {
			if m.digest.salt != from.digest.salt || m.tickets[t.ID] != nil {
				break
			}
			old := from.cell(s.line.cell)
			i := m.find(old.id)
			if i == 0 {
				if i = m.create(old.id, old.address, old.account, *from.kinds.of(old)); i == 0 {
					continue
				}
			}
			m.lift(&m.order, i)
			moved = append(moved, slot{m.pin(i), s.member})
		}
		from.finish(t, ticketOver)
		if len(moved) > 0 {
			t.slots = moved
			m.hold(t)
			m.book(t)
		}
	}
	from.grant()
}

// pin returns the line of a cell, which is never evicted while it has one.
func (m *Memory) pin(i uint32) *line {
	c := m.cell(i)
	if c.flags&pinned != 0 {
		return m.lines[i]
	}
	c.flags |= pinned
	l := &line{cell: i}
	m.lines[i] = l
	m.touch(l) // so that it goes again if nobody joins it
	return l
}

// touch has a line looked at when the operation ends.
func (m *Memory) touch(l *line) {
	if !l.queued {
		l.queued = true
		m.work = append(m.work, l)
	}
}

func (m *Memory) touchCell(i uint32) {
	if m.cell(i).flags&pinned != 0 {
		m.touch(m.lines[i])
	}
}

// grant gives the first in line what became free, in every line that was
// touched, and removes lines that nobody needs.
func (m *Memory) grant() {
	for len(m.work) > 0 {
		l := m.work[len(m.work)-1]
		m.work = m.work[:len(m.work)-1]
		l.queued = false
		for len(l.waiters) > 0 {
			t := l.waiters[0]
			if !m.nobodyAhead(t) || !m.fits(t) {
				break
			}
			m.leave(t) // touches its other lines
			m.hold(t)
			close(t.done)
		}
		if len(l.held) == 0 && len(l.waiters) == 0 && m.lines[l.cell] == l {
			delete(m.lines, l.cell)
			m.cell(l.cell).flags &^= pinned
			m.place(l.cell)
		}
	}
}

// first reports whether no slot before i is in the same line.
func (t *Ticket) first(i int) bool {
	for j := range i {
		if t.slots[j].line == t.slots[i].line {
			return false
		}
	}
	return true
}

// nobodyAhead reports whether t is first in all its lines, or would be.
func (m *Memory) nobodyAhead(t *Ticket) bool {
	for i := range t.slots {
		if w := t.slots[i].line.waiters; len(w) > 0 && w[0] != t {
			return false
		}
	}
	return true
}

// fits reports whether all slots of t are free.
func (m *Memory) fits(t *Ticket) bool {
	for i := range t.slots {
		l := t.slots[i].line
		if !t.first(i) || len(l.held) == 0 {
			continue
		}
		m.trim(l.cell)
		c := m.cell(l.cell)
		need := 0
		for _, s := range t.slots[i:] {
			if s.line == l && l.find(s.member) < 0 && !m.counted(c, s.member) {
				need++
			}
		}
		if need > 0 && m.total(c)+m.heldApart(l.cell)+need > int(m.kinds.of(c).threshold) {
			return false
		}
	}
	return true
}

func (m *Memory) counted(c *cell, id digest) bool {
	return m.kinds.of(c).form == exact && m.member(c, id) != 0
}

// heldApart counts the held members of a cell that are not members already
// (within the window).
func (m *Memory) heldApart(i uint32) int {
	c := m.cell(i)
	if c.flags&pinned == 0 {
		return 0
	}
	l := m.lines[i]
	n := len(l.held)
	k := m.kinds.of(c)
	if k.form != exact {
		return n
	}
	for e := c.first; e != 0; e = m.entry(e).next {
		if m.entry(e).at > m.now-k.window && l.find(m.entry(e).id) >= 0 {
			n--
		}
	}
	return n
}

func (l *line) find(id digest) int {
	return slices.IndexFunc(l.held, func(h held) bool { return h.member == id })
}

func (m *Memory) hold(t *Ticket) {
	t.state.Store(ticketGranted)
	for _, s := range t.slots {
		if i := s.line.find(s.member); i >= 0 {
			s.line.held[i].by++
		} else {
			s.line.held = append(s.line.held, held{s.member, 1})
		}
	}
}

func (m *Memory) book(t *Ticket) {
	m.tickets[t.ID] = t
	m.booked += t.cost()
}

// finish ends a ticket, whatever state it is in.
func (m *Memory) finish(t *Ticket, state uint32) {
	delete(m.tickets, t.ID)
	m.booked -= t.cost()
	if t.state.Swap(state) == ticketWaiting {
		m.leave(t)
		if state == ticketRetry {
			close(t.done)
		}
	} else {
		for _, s := range t.slots {
			i := s.line.find(s.member)
			if s.line.held[i].by--; s.line.held[i].by == 0 {
				s.line.held = slices.Delete(s.line.held, i, i+1)
			}
		}
	}
	for i := range t.slots {
		m.touch(t.slots[i].line)
	}
	t.slots = nil
}

// leave takes a waiting ticket out of every line.
func (m *Memory) leave(t *Ticket) {
	m.waiting--
	for i := range t.slots {
		if l := t.slots[i].line; t.first(i) {
			j := slices.Index(l.waiters, t)
			l.waiters = slices.Delete(l.waiters, j, j+1)
			m.touch(l)
		}
	}
}

// wake tells everybody who waits before a counter to decide anew.
func (m *Memory) wake(i uint32) {
	if m.cell(i).flags&pinned == 0 {
		return
	}
	for _, t := range slices.Clone(m.lines[i].waiters) {
		m.finish(t, ticketRetry)
	}
}
