package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	pollEvery   = 5 * time.Second
	roundGap    = 200 * time.Millisecond // between two rounds that Notify asked for
	pageSize    = 200
	storeWait   = 10 * time.Second
	roundWait   = 5 * time.Minute
	nobodyKey   = "operators@localhost" // while there are files but no operators
	nobodyName  = "Operators of Warder"
	maxBoxes    = 1000
	maxStateLen = 4 << 10
)

// Run delivers until ctx ends; it returns nil then. What goes wrong is logged,
// shown through OnHealth and tried again.
func (s *Sender) Run(ctx context.Context) error {
	for {
		next, err := s.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.opts.Logger.Warn("alerts not read", "error", err)
		}
		if !s.wait(ctx, next) {
			return nil
		}
	}
}

// wait sleeps until next, the next poll or a call of Notify; false: ctx ended.
func (s *Sender) wait(ctx context.Context, next time.Time) bool {
	gap := time.NewTimer(roundGap)
	defer gap.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-gap.C:
	}
	sleep := pollEvery
	if !next.IsZero() {
		sleep = max(0, min(sleep, time.Until(next)))
	}
	t := time.NewTimer(sleep)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-s.wake:
	case <-t.C:
	}
	return true
}

// round looks for new alerts and sends what is due. It returns when the next
// mail is due; zero: none waits.
func (s *Sender) round(ctx context.Context) (next time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundWait)
	defer cancel()
	s.turn()
	if !s.loaded {
		if err := s.load(ctx); err != nil {
			return next, err
		}
	}
	// The order matters: whoever may read mail when an alert is committed is
	// found when the recipients are asked after the alerts.
	before := s.own.Head
	if err := s.scan(ctx); err != nil {
		return next, err
	}
	people, err := s.recipients(ctx)
	if err != nil {
		if s.people == nil {
			return next, err
		}
		s.opts.Logger.Warn("recipients not read, those of before are used", "error", err)
		people = s.people
	}
	s.people = people
	s.settle(people, before)
	next = s.deliver(ctx, people)
	s.save(ctx, people)
	return next, nil
}

// turn takes over a new way that mails leave.
func (s *Sender) turn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil || s.next.out == s.out {
		return
	}
	s.way = *s.next
	s.outage = outage{}
	s.setHealth(Unconfigured, s.written)
}

// load reads how far the sender got before.
func (s *Sender) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	states, err := s.opts.Outbox.MailStates(ctx)
	if err != nil {
		return fmt.Errorf("load mail states: %w", err)
	}
	s.own = ownState{Latest: map[string]int64{}}
	for key, raw := range states {
		if key == "" {
			if err := json.Unmarshal(raw, &s.own); err != nil {
				s.opts.Logger.Error("mail state unreadable, begun anew", "error", err)
			}
			continue
		}
		b := newMailbox(0)
		if err := json.Unmarshal(raw, b); err != nil {
			s.opts.Logger.Error("mail state unreadable, begun anew", "recipient", key, "error", err)
			continue
		}
		for _, name := range lanes {
			if b.Lanes[name] == nil { // a lane that is new has nothing to catch up with
				b.Lanes[name] = &lane{After: s.own.Head}
			}
		}
		b.dirty = false
		s.boxes[key] = b
	}
	if s.own.Latest == nil {
		s.own.Latest = map[string]int64{}
	}
	s.loaded = true
	return nil
}

// scan finds out up to which number there are alerts in each lane.
func (s *Sender) scan(ctx context.Context) error {
	was := s.own.Head
	for {
		page, err := s.read(ctx, s.own.Head)
		if err != nil {
			return err
		}
		for _, q := range page {
			s.own.Latest[laneOf(q.Alert)] = q.Seq
			s.own.Head = q.Seq
		}
		if len(page) < pageSize {
			break
		}
	}
	if s.own.Head == was {
		return nil
	}
	raw, err := json.Marshal(s.own)
	if err == nil {
		err = s.put(ctx, "", raw)
	}
	if err != nil { // it is looked for again after a restart
		s.opts.Logger.Warn("mail state not saved", "error", err)
	}
	return nil
}

func (s *Sender) read(ctx context.Context, after int64) ([]Queued, error) {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	page, err := s.opts.Outbox.AlertsAfter(ctx, after, pageSize)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	return page, nil
}

func (s *Sender) put(ctx context.Context, key string, raw []byte) error {
	if len(raw) > maxStateLen {
		return fmt.Errorf("state of %d bytes is too long", len(raw))
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	return s.opts.Outbox.SaveMailState(ctx, key, raw)
}

// recipients returns everybody who gets mail, by key, without doubles.
func (s *Sender) recipients(ctx context.Context) (map[string]Recipient, error) {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	list, err := s.opts.Recipients(ctx)
	if err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	people := map[string]Recipient{}
	for _, r := range list {
		r.Address = strings.TrimSpace(r.Address)
		key := strings.ToLower(r.Address)
		if !validAddress(r.Address) || len(people) >= maxBoxes {
			if !s.skipped[key] && len(s.skipped) < maxBoxes {
				s.skipped[key] = true
				s.opts.Logger.Error("alerts cannot be sent to this address", "recipient", r.Address)
			}
			continue
		}
		if _, ok := people[key]; !ok {
			people[key] = r
		}
	}
	s.setHealth(NoRecipient, len(people) == 0 && !s.written)
	if len(people) == 0 && s.written {
		people[nobodyKey] = Recipient{Address: nobodyKey, Name: nobodyName}
	}
	return people, nil
}

// settle gives new recipients a mailbox that begins with what came last.
func (s *Sender) settle(people map[string]Recipient, after int64) {
	for key := range people {
		if s.boxes[key] == nil {
			s.boxes[key] = newMailbox(after)
		}
	}
}

// save makes changed mailboxes durable and forgets those of people who are gone.
func (s *Sender) save(ctx context.Context, people map[string]Recipient) {
	for key, b := range s.boxes {
		if _, ok := people[key]; !ok {
			if err := s.put(ctx, key, nil); err != nil {
				s.opts.Logger.Warn("mail state not removed", "recipient", key, "error", err)
				continue
			}
			delete(s.boxes, key)
			continue
		}
		s.saveBox(ctx, key, b)
	}
}

func (s *Sender) saveBox(ctx context.Context, key string, b *mailbox) {
	if !b.dirty {
		return
	}
	raw, err := json.Marshal(b)
	if err == nil {
		err = s.put(ctx, key, raw)
	}
	if err != nil { // kept in memory, tried again in the next round
		s.opts.Logger.Warn("mail state not saved", "recipient", key, "error", err)
		return
	}
	b.dirty = false
}

// deliver sends everything that is due over one connection. It returns when
// the next mail is due.
func (s *Sender) deliver(ctx context.Context, people map[string]Recipient) (next time.Time) {
	soonest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	var out delivery
	defer func() {
		if out != nil {
			out.close()
		}
		s.setHealth(Failing, s.failing())
	}()
	digests := map[digestKey]*digest{}
	for _, key := range slices.Sorted(maps.Keys(people)) {
		b := s.boxes[key]
		for _, name := range lanes {
			l := b.Lanes[name]
			if l.Sending == nil && s.own.Latest[name] <= l.After {
				continue
			}
			now := time.Now()
			at := b.due(l, name, people[key], s.written, now)
			if s.outage.next.After(at) {
				at = s.outage.next
			}
			if at.After(now) {
				soonest(at)
				continue
			}
			if out == nil {
				opened, err := s.out.open(ctx)
				if err != nil {
					s.down(err)
					s.note(ctx, Delivery{
						ID: deliveryID(key, name, l), Time: now, To: people[key].Address, Kind: kindOf(name, 1), State: Deferred, Answer: err.Error(),
					})
					soonest(s.outage.next)
					continue
				}
				out = opened
			}
			if err := s.sendLane(ctx, out, people[key], key, name, digests); err != nil {
				if ctx.Err() != nil {
					return next
				}
				if r, ok := errors.AsType[*refusal](err); ok {
					id := deliveryID(key, name, l)
					if s.refused(l, r, key) {
						s.note(ctx, Delivery{ID: id, Time: now, To: people[key].Address, Kind: kindOf(name, 1), State: Failed, Answer: r.Error()})
					}
					b.dirty = true
				} else {
					out.close()
					out = nil
					s.down(err)
				}
			} else {
				s.outage = outage{}
			}
			if l.Sending != nil {
				soonest(later(l.Sending.Next, s.outage.next))
			} else if s.own.Latest[name] > l.After {
				soonest(b.due(l, name, people[key], s.written, now))
			}
		}
	}
	return next
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sendLane sends one mail with everything that waits in a lane.
func (s *Sender) sendLane(ctx context.Context, out delivery, to Recipient, key, name string, digests map[digestKey]*digest) error {
	b := s.boxes[key]
	l := b.Lanes[name]
	if l.Sending == nil {
		l.Sending = &sending{To: s.own.Latest[name], Since: time.Now()}
		b.dirty = true
		s.saveBox(ctx, key, b)
	}
	k := digestKey{name, l.After, l.Sending.To, to.filter()}
	d := digests[k]
	if d == nil {
		var err error
		if d, err = s.collect(ctx, k, &to); err != nil {
			// The store, not the mail server: the next round tries again.
			s.opts.Logger.Warn("alerts not read", "error", err)
			l.Sending.Next = time.Now().Add(pollEvery)
			return nil
		}
		digests[k] = d
	}
	if d.count == 0 { // nothing that the recipient asked for, or retention was faster
		l.After, l.Sending, l.Since, b.dirty = l.Sending.To, nil, time.Time{}, true
		return nil
	}
	l.Sending.Count = d.count
	told := *d
	told.missed = l.Missed
	m, err := s.compose(&told, to, s.from, fmt.Sprintf("%s %s %s %d", key, name, d.id, l.Sending.To))
	if err != nil {
		return &refusal{code: 554, err: err}
	}
	log := Delivery{
		ID: deliveryID(key, name, l), Time: time.Now(), To: to.Address, Subject: subject(d), Kind: kindOf(name, d.count),
		Alerts: d.count, State: Sent,
	}
	if err := out.send(ctx, m); err != nil {
		log.State, log.Answer = Deferred, err.Error()
		s.note(ctx, log)
		return err
	}
	if log.Answer = m.ServerResponse(); s.written {
		log.State, log.Answer = Written, m.path
	}
	s.note(ctx, log)
	b.delivered(l, d.first, time.Now())
	s.saveBox(ctx, key, b)
	s.opts.Logger.Info("alert mailed", "recipient", key, "alerts", d.count, "message_id", m.id, "file", m.path)
	return nil
}

// deliveryID names the next mail of a lane, whatever it will hold.
func deliveryID(key, name string, l *lane) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", key, name, l.After))
	return hex.EncodeToString(sum[:16])
}

func kindOf(lane string, n int) string {
	switch {
	case lane == laneSystem:
		return "system"
	case n > 1:
		return "digest"
	}
	return "alert"
}

// refused plans the next try of a mail that the server did not take, and
// reports whether there is none.
func (s *Sender) refused(l *lane, r *refusal, key string) (givenUp bool) {
	s.outage = outage{} // it answers
	l.Sending.Tries++
	now := time.Now()
	l.Sending.Next = now.Add(backoff(retryFrom, retryMost, l.Sending.Tries))
	s.opts.Logger.Warn("alert mail refused", "recipient", key, "tries", l.Sending.Tries, "error", r.err)
	if r.code >= 500 && l.Sending.Tries > 1 && now.Sub(l.Sending.Since) > giveUpAfter {
		s.opts.Logger.Error("alert mail given up", "recipient", key, "error", r.err)
		l.Missed += l.Sending.Count
		l.After, l.Sending, l.Since = l.Sending.To, nil, time.Time{}
		return true
	}
	return false
}

// down plans the next try after the server could not be reached.
func (s *Sender) down(err error) {
	s.outage.tries++
	s.outage.next = time.Now().Add(backoff(outageFrom, outageMost, s.outage.tries))
	s.opts.Logger.Warn("mail server not reached", "tries", s.outage.tries, "error", err)
}

func (s *Sender) failing() bool {
	if s.outage.tries > 0 {
		return true
	}
	for _, b := range s.boxes {
		for _, l := range b.Lanes {
			if l.Sending != nil && l.Sending.Tries > 0 {
				return true
			}
		}
	}
	return false
}

func (s *Sender) setHealth(reason string, bad bool) {
	if s.health[reason] == bad {
		return
	}
	s.health[reason] = bad
	if s.opts.OnHealth != nil {
		s.opts.OnHealth(reason, bad)
	}
}
