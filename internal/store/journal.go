package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/guard"
)

// metaLastNo is the number of the last record committed, written in the
// transaction of the record.
const (
	metaLastNo = "last_no"
	metaShown  = "shown" // start of the statistics
	// metaRevoked is the number of the last revocation that retention deleted.
	metaRevoked = "revoked_gone"
	metaProbe   = "probe" // see Writable
)

// Commit implements guard.Journal. Besides the rows themselves it keeps the
// statistics: once per key and transaction, whatever the number of events.
func (d *DB) Commit(ctx context.Context, records []*guard.Record) (guard.Committed, error) {
	var done guard.Committed
	lookback := time.Duration(d.history.Load()) * time.Microsecond
	_, err := d.commit(ctx, func(t *tx) error {
		done = guard.Committed{}
		var last int64
		if err := t.row("SELECT value FROM meta WHERE name = $1", metaLastNo).Scan(&last); err != nil {
			return translate(err)
		}
		before := last
		b := &batch{tx: t, stats: newStats(d.recent)}
		t.after = b.settle
		for _, r := range records {
			if r.No <= last {
				continue
			}
			if err := b.record(r); err != nil {
				return refuse(r.No, err)
			}
			last = r.No
		}
		if last == before {
			return nil
		}
		if err := b.flush(); err != nil {
			return fmt.Errorf("update statistics: %w", translate(err))
		}
		if err := t.exec("UPDATE meta SET value = $1 WHERE name = $2", last, metaLastNo); err != nil {
			return translate(err)
		}
		done.Revoked = b.revoked
		if lookback > 0 && len(b.touched) > 0 {
			history, err := b.histories(lookback)
			if err != nil {
				return fmt.Errorf("read history: %w", translate(err))
			}
			done.History = history
		}
		return nil
	})
	if err != nil {
		return guard.Committed{}, err
	}
	return done, nil
}

// refuse names the record of an error that no repetition will cure.
func refuse(no int64, err error) error {
	switch code(err) & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE:
		return &guard.RefusedError{No: no, Err: fmt.Errorf("commit record %d: %w", no, translate(err))}
	}
	return fmt.Errorf("commit record %d: %w", no, translate(err))
}

// batch is the work of one Commit.
type batch struct {
	*tx
	*stats
	revoked []guard.Revoked
	touched map[netip.Prefix]struct{} // address keys whose history may have changed: of its events, marks and clearings
	latest  time.Time                 // arrival of the latest of them
}

func (b *batch) record(r *guard.Record) error {
	for i := range r.Events {
		if err := b.event(&r.Events[i]); err != nil {
			return err
		}
	}
	evidence, err := b.blocks(r)
	if err != nil {
		return err
	}
	for _, m := range r.Demands {
		first, last := bounds(m.Subject.IP)
		if err := b.exec(`INSERT INTO demands (id, ip_first, ip_last, account, source, realm, session, action, rule,
			from_at, until_at, observed, event_seq, ended)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0)`,
			m.ID, first, last, m.Subject.Account, m.Subject.Source, m.Subject.Realm, m.Subject.Session,
			int64(m.Action), m.Rule, micros(m.From), micros(m.Until), flag(m.Observed), m.EventSeq); err != nil {
			return err
		}
	}
	for _, id := range r.DemandEnds {
		if err := b.exec("UPDATE demands SET ended = 1 WHERE id = $1", id); err != nil {
			return err
		}
	}
	for i := range r.Known {
		b.see(r.Known[i])
	}
	for i := range r.Sessions {
		b.session(r.Sessions[i])
	}
	if len(r.SessionEnds)+len(r.Revoke) > 0 {
		if err := b.flushSessions(b.tx); err != nil {
			return err
		}
	}
	for _, id := range r.SessionEnds {
		if err := b.exec("DELETE FROM sessions WHERE id = $1 AND revoked_at = 0", id); err != nil {
			return err
		}
	}
	for i := range r.Revoke {
		if err := b.revoke(&r.Revoke[i]); err != nil {
			return err
		}
	}
	if err := b.lists(r); err != nil {
		return err
	}
	for _, a := range r.Alerts {
		if err := b.alert(a, evidence); err != nil {
			return err
		}
	}
	for i := range r.Audit {
		if err := b.audit(&r.Audit[i]); err != nil {
			return err
		}
	}
	for i := range r.Shards {
		if err := b.shard(&r.Shards[i]); err != nil {
			return err
		}
	}
	if p := r.Policy; p != nil {
		if err := b.exec("INSERT INTO revisions (n, time, made_by, comment, document) VALUES ($1, $2, $3, $4, $5)",
			p.N, micros(p.Time), p.By, p.Comment, p.Document); err != nil {
			return err
		}
	}
	return nil
}

// Flags of an event.
const (
	flagEligible = 1 << iota
	flagCompleted
	flagFailed
)

// extra are the parts of an event that few events have.
type extra struct {
	Takes    []string      `json:"takes,omitempty"`
	Emptied  []counter.Key `json:"emptied,omitempty"`
	Replaces int64         `json:"replaces,omitempty"`
	// Facts is kept as the engine wrote it.
	Facts json.RawMessage `json:"facts,omitempty"`
}

const eventColumns = `seq, time, arrival, id, app, own_id, name, severity, ip, address, realm, account, account_key,
	session, device, user_agent, method, path, reason, guess, details, action, why, rule, block_id, reference,
	flags, source, extra, facts, digest, answer`

const insertEvent = `INSERT INTO events (` + eventColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
	$11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)`

func (b *batch) event(e *guard.Event) error {
	if err := b.exec(insertEvent, eventArgs(e)...); err != nil {
		return err
	}
	b.count(e)
	b.touch(e.Address, e.Arrival)
	return nil
}

// touch notes that the history of an address may have changed.
func (b *batch) touch(p netip.Prefix, at time.Time) {
	if p.IsValid() {
		if b.touched == nil {
			b.touched = make(map[netip.Prefix]struct{})
		}
		b.touched[p] = struct{}{}
	}
	if at.After(b.latest) {
		b.latest = at
	}
}

func eventArgs(e *guard.Event) []any {
	var flags int64
	if e.Eligible {
		flags |= flagEligible
	}
	if e.Completed {
		flags |= flagCompleted
	}
	if e.Failed {
		flags |= flagFailed
	}
	var guess, more any
	if e.Guess != (warder.Guess{}) {
		guess = e.Guess.Same + " " + e.Guess.Popular
	}
	if len(e.Takes) > 0 || len(e.Emptied) > 0 || e.Replaces != 0 || len(e.Facts) > 0 {
		more = jsonText(extra{e.Takes, e.Emptied, e.Replaces, e.Facts})
	}
	_, account := splitKey(e.AccountKey)
	return []any{
		e.Seq, micros(e.Time), micros(e.Arrival), e.ID, e.App, flag(e.OwnID), e.Name, int64(e.Severity),
		addrBytes(e.IP), keyBytes(e.Address), e.Realm, e.Account, account, e.Session, e.Device, e.UserAgent,
		e.Method, e.Path, e.Reason, guess, optional(e.Details), int64(e.Action), string(e.Why), e.Rule, e.BlockID,
		e.Reference, flags, e.Source, more, optional(e.Facts), e.Digest, optional(e.Answer),
	}
}

// scanEvent reads eventColumns.
func scanEvent(scan func(...any) error) (*guard.Event, error) {
	var (
		e                           guard.Event
		at, arrival, own, sev, act  int64
		flags                       int64
		ip, address, digest         []byte
		account, why                string
		guess, details, more, facts *string
		answered                    *string
	)
	if err := scan(&e.Seq, &at, &arrival, &e.ID, &e.App, &own, &e.Name, &sev, &ip, &address, &e.Realm, &e.Account,
		&account, &e.Session, &e.Device, &e.UserAgent, &e.Method, &e.Path, &e.Reason, &guess, &details, &act, &why,
		&e.Rule, &e.BlockID, &e.Reference, &flags, &e.Source, &more, &facts, &digest, &answered); err != nil {
		return nil, translate(err)
	}
	e.Time, e.Arrival, e.OwnID = instant(at), instant(arrival), own != 0
	e.Severity, e.Action, e.Why = warder.Severity(sev), warder.Action(act), warder.Why(why)
	e.IP, e.Address, e.AccountKey = bytesAddr(ip), bytesKey(address), joinKey(e.Realm, account)
	e.Eligible, e.Completed, e.Failed = flags&flagEligible != 0, flags&flagCompleted != 0, flags&flagFailed != 0
	e.Digest = digest
	if guess != nil {
		for i := range len(*guess) {
			if (*guess)[i] == ' ' {
				e.Guess = warder.Guess{Same: (*guess)[:i], Popular: (*guess)[i+1:]}
				break
			}
		}
	}
	if details != nil {
		e.Details = json.RawMessage(*details)
	}
	if facts != nil {
		e.Facts = []byte(*facts)
	}
	if answered != nil {
		e.Answer = []byte(*answered)
	}
	if more != nil {
		var x extra
		if err := json.Unmarshal([]byte(*more), &x); err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", ErrCorrupt, e.Seq, err)
		}
		e.Takes, e.Emptied, e.Replaces, e.Facts = x.Takes, x.Emptied, x.Replaces, x.Facts
	}
	return &e, nil
}

// evidence copies what matters of the events that led to a Block. Events that
// are gone already leave their number and time.
func (b *batch) evidence(members []counter.Evidence) ([]guard.Evidence, error) {
	out := make([]guard.Evidence, 0, len(members))
	for _, m := range members {
		v := guard.Evidence{Seq: m.Seq, Time: m.At.UTC()}
		var at int64
		var ip []byte
		err := translate(b.row(`SELECT id, time, name, ip, account, realm, method, path, user_agent, reason
			FROM events WHERE seq = $1`, m.Seq).Scan(&v.ID, &at, &v.Name, &ip, &v.Account, &v.Realm, &v.Method,
			&v.Path, &v.UserAgent, &v.Reason))
		switch {
		case err == nil:
			v.Time = instant(at)
			if a := bytesAddr(ip); a.IsValid() {
				v.IP = a.String()
			}
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// answersAtOnce is how many ids one query asks for.
const answersAtOnce = 256

// Answers implements guard.Journal.
func (d *DB) Answers(ctx context.Context, app string, ids []string, since time.Time) (map[string]guard.Answer, error) {
	out := make(map[string]guard.Answer)
	latest := make(map[string]int64)
	var unsettled []string
	for part := range slices.Chunk(ids, answersAtOnce) {
		// Queries of few lengths, so that each is prepared once.
		n := 1
		for n < len(part) {
			n *= 4
		}
		named := make([]any, n)
		for i := range named {
			named[i] = part[min(i, len(part)-1)]
		}
		w := &where{}
		w.add("id IN (?"+strings.Repeat(", ?", n-1)+")", named...)
		w.add("app = ? AND arrival >= ?", app, micros(since))
		query, args := w.query("SELECT seq, id, digest, severity, reason, answer, action, why, rule, block_id, reference FROM events", "")
		if err := d.read(ctx, query, args, func(scan func(...any) error) error {
			var a guard.Answer
			var seq, sev, action int64
			var id, reason, why string
			var answer *string
			var d warder.Decision
			if err := scan(&seq, &id, &a.Digest, &sev, &reason, &answer, &action, &why, &d.Rule, &d.BlockID, &d.Reference); err != nil {
				return err
			}
			if seq < latest[id] {
				return nil
			}
			a.Severity = warder.Severity(sev)
			switch {
			case answer != nil:
				a.Answer = []byte(*answer)
			case len(a.Digest) == 0:
				return nil
			default: // its reporter had no id for it, and knows this one from a 503
				d.Action, d.Reason = warder.Action(action), warder.Why(why)
				a.Answer = []byte(jsonText(d))
			}
			out[id], latest[id] = a, seq
			if reason == warder.Unsettled && len(a.Digest) == 0 {
				unsettled = append(unsettled, id)
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("read answers: %w", err)
		}
	}
	for _, id := range unsettled {
		a := out[id]
		if len(a.Digest) > 0 || a.Unsettled != nil {
			continue // a later one has the same id
		}
		events, err := d.EventsAfter(ctx, latest[id]-1, 1)
		if err != nil {
			return nil, fmt.Errorf("read unsettled attempt: %w", err)
		}
		if len(events) > 0 {
			a.Unsettled = &events[0]
			out[id] = a
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	return out, d.durable.waitSeen()
}
