package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// What Load reads at most. The engine caps its tables by bytes; these bounds
// lie above what fits there.
const (
	maxKnown    = 1_000_000
	maxSessions = 500_000
	maxGood     = 1_000_000
)

// How long things matter, see also Retain.
const (
	day           = 24 * time.Hour
	keepGood      = 14 * day
	keepKnown     = 90 * day
	keepSteps     = 7 * day
	keepSession   = 30 * day
	keepRefusal   = 30 * day
	keepRevoked   = 7 * day
	keepRepeat    = day
	keepDeadLists = 30 * day // ended demands and trusted entries
)

// Load implements guard.Journal.
func (d *DB) Load(ctx context.Context, now time.Time) (*guard.State, error) {
	s := &guard.State{}
	for _, step := range []struct {
		what string
		load func(context.Context, time.Time, *guard.State) error
	}{
		{"numbers", d.loadNumbers},
		{"demands", d.loadDemands},
		{"trusted", d.loadTrusted},
		{"known sources", d.loadKnown},
		{"sessions", d.loadSessions},
		{"good addresses", d.loadGood},
		{"ended blocks", d.loadSteps},
		{"checkpoint", d.loadShards},
	} {
		if err := step.load(ctx, now, s); err != nil {
			return nil, fmt.Errorf("load %s: %w", step.what, translate(err))
		}
	}
	rev, err := d.PolicyRevision(ctx, 0)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("load policy: %w", err)
	}
	s.Policy = rev
	return s, nil
}

func (d *DB) loadNumbers(ctx context.Context, _ time.Time, s *guard.State) error {
	var clears, shown int64
	if err := d.readDB.QueryRowContext(ctx, `SELECT
		coalesce((SELECT max(seq) FROM events), 0), coalesce((SELECT max(seq) FROM clears), 0),
		(SELECT value FROM meta WHERE name = $1), (SELECT value FROM meta WHERE name = $2)`,
		metaLastNo, metaShown).Scan(&s.LastSeq, &clears, &s.LastNo, &shown); err != nil {
		return err
	}
	s.LastSeq, s.Shown = max(s.LastSeq, clears), instant(shown)
	return nil
}

const demandColumns = "id, ip_first, ip_last, account, source, realm, session, action, rule, from_at, until_at, observed, event_seq"

func scanDemand(scan func(...any) error, more ...any) (*guard.Demand, error) {
	var m guard.Demand
	var first, last []byte
	var from, until, action, observed int64
	dest := []any{
		&m.ID, &first, &last, &m.Subject.Account, &m.Subject.Source, &m.Subject.Realm, &m.Subject.Session,
		&action, &m.Rule, &from, &until, &observed, &m.EventSeq,
	}
	if err := scan(append(dest, more...)...); err != nil {
		return nil, translate(err)
	}
	m.Subject.IP, m.Action, m.Observed = bytesPrefix(first, last), warder.Action(action), observed != 0
	m.From, m.Until = instant(from), instant(until)
	return &m, nil
}

func (d *DB) loadDemands(ctx context.Context, now time.Time, s *guard.State) error {
	return d.read(ctx, "SELECT "+demandColumns+` FROM demands
		WHERE ended = 0 AND (until_at = 0 OR until_at > $1) ORDER BY n`, []any{micros(now)},
		func(scan func(...any) error) error {
			m, err := scanDemand(scan)
			s.Demands = append(s.Demands, m)
			return err
		})
}

func (d *DB) loadTrusted(ctx context.Context, now time.Time, s *guard.State) (err error) {
	s.Trusted, err = d.TrustedList(ctx, now)
	return err
}

// TrustedList returns the live entries of the trusted list, latest first.
func (d *DB) TrustedList(ctx context.Context, now time.Time) ([]guard.Trusted, error) {
	var out []guard.Trusted
	err := d.read(ctx, `SELECT id, ip_first, ip_last, note, made_by, from_at, until_at FROM trusted
		WHERE ended = 0 AND (until_at = 0 OR until_at > $1) ORDER BY from_at DESC, id`, []any{micros(now)},
		func(scan func(...any) error) error {
			var x guard.Trusted
			var first, last []byte
			var from, until int64
			err := scan(&x.ID, &first, &last, &x.Note, &x.By, &from, &until)
			x.IP, x.From, x.Until = bytesPrefix(first, last), instant(from), instant(until)
			out = append(out, x)
			return err
		})
	return out, err
}

func scanKnown(scan func(...any) error) (guard.Known, error) {
	var k guard.Known
	var address []byte
	var at int64
	err := scan(&k.Account, &k.Source, &k.Realm, &address, &at)
	k.Address, k.At = bytesKey(address), instant(at)
	return k, translate(err)
}

func (d *DB) loadKnown(ctx context.Context, now time.Time, s *guard.State) error {
	return d.read(ctx, `SELECT account_key, source, realm, address, at FROM known WHERE at > $1 ORDER BY at DESC LIMIT $2`,
		[]any{micros(now.Add(-keepKnown)), maxKnown}, func(scan func(...any) error) error {
			k, err := scanKnown(scan)
			s.Known = append(s.Known, k)
			return err
		})
}

const sessionColumns = "id, account, account_key, realm, opening, latest, agent, opened, last_used, revoked_at, reason"

func scanSession(scan func(...any) error) (guard.Session, error) {
	var n guard.Session
	var opening, latest []byte
	var opened, used, revoked int64
	err := scan(&n.ID, &n.Account, &n.AccountKey, &n.Realm, &opening, &latest, &n.Agent, &opened, &used, &revoked, &n.Reason)
	n.Opening, n.Latest = bytesKey(opening), bytesKey(latest)
	n.Opened, n.LastUsed, n.RevokedAt = instant(opened), instant(used), instant(revoked)
	return n, translate(err)
}

func (d *DB) loadSessions(ctx context.Context, now time.Time, s *guard.State) error {
	since := micros(now.Add(-keepSession))
	err := d.read(ctx, "SELECT "+sessionColumns+` FROM sessions WHERE last_used > $1 AND revoked_at = 0
		ORDER BY last_used DESC LIMIT $2`, []any{since, maxSessions}, func(scan func(...any) error) error {
		n, err := scanSession(scan)
		s.Sessions = append(s.Sessions, n)
		return err
	})
	if err != nil {
		return err
	}
	return d.read(ctx, `SELECT id FROM sessions WHERE last_used > $1 AND revoked_at > 0 ORDER BY last_used DESC LIMIT $2`,
		[]any{since, maxSessions}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			s.Revoked = append(s.Revoked, id)
			return err
		})
}

func (d *DB) loadGood(ctx context.Context, now time.Time, s *guard.State) error {
	err := d.read(ctx, "SELECT address, account_key, at FROM good WHERE at > $1 LIMIT $2",
		[]any{micros(now.Add(-keepGood)), maxGood}, func(scan func(...any) error) error {
			var g guard.Good
			var address []byte
			var at int64
			err := scan(&address, &g.Account, &at)
			g.Address, g.At = bytesKey(address), instant(at)
			s.Good = append(s.Good, g)
			return err
		})
	if err != nil {
		return err
	}
	// One index holds all of this, and the sign-ins of one day are at its end.
	return d.read(ctx, `SELECT time / $1, address, realm, sum(CASE WHEN flags & 2 > 0 THEN 1 ELSE 0 END),
			sum(CASE WHEN flags & 4 > 0 THEN 1 ELSE 0 END)
		FROM events WHERE time >= $2 AND flags & 6 > 0 AND address IN (SELECT address FROM good)
		GROUP BY 1, 2, 3 LIMIT $3`,
		[]any{usPerHour, micros(now) - 24*usPerHour, maxGood}, func(scan func(...any) error) error {
			var h guard.Hour
			var address []byte
			var hour int64
			err := scan(&hour, &address, &h.Realm, &h.OK, &h.Bad)
			h.Address, h.Hour = bytesKey(address), instant(hour*usPerHour)
			s.Hours = append(s.Hours, h)
			return err
		})
}

// loadSteps reads the automatic Blocks that ended within seven days, by
// themselves or because nobody was there to release them. One that made room for
// a longer one is no step of its own.
func (d *DB) loadSteps(ctx context.Context, now time.Time, s *guard.State) error {
	return d.read(ctx, `SELECT ip_first, ip_last, account, source, realm, session, until_at, ended_at FROM blocks
		WHERE until_at > 0 AND until_at > $1 AND until_at <= $2
		AND origin = 'rule' AND observed = 0 AND lifted_at = 0 AND (ended_at = 0 OR ended_at >= until_at)`,
		[]any{micros(now.Add(-keepSteps)), micros(now)}, func(scan func(...any) error) error {
			var st guard.Step
			var first, last []byte
			var until, ended int64
			err := scan(&first, &last, &st.Subject.Account, &st.Subject.Source, &st.Subject.Realm,
				&st.Subject.Session, &until, &ended)
			if ended == 0 {
				ended = until
			}
			st.Subject.IP, st.Ended = bytesPrefix(first, last), instant(ended)
			s.Steps = append(s.Steps, st)
			return err
		})
}

func (d *DB) loadShards(ctx context.Context, _ time.Time, s *guard.State) error {
	return d.read(ctx, "SELECT n, seq, data FROM shards ORDER BY n", nil, func(scan func(...any) error) error {
		var x guard.Shard
		err := scan(&x.Index, &x.Seq, &x.Data)
		s.Shards = append(s.Shards, x)
		return err
	})
}

// Blocks implements guard.Journal. A Block that is over or lifted is not live;
// an observed one is. Only what decisions need is read, and of the Blocks of an
// address alone even less: there may be a million.
func (d *DB) Blocks(ctx context.Context, now time.Time, f func(*guard.Block) error) error {
	const live = ` FROM blocks WHERE lifted_at = 0 AND (ended_at + 0) = 0 AND (until_at = 0 OR (until_at + 0) > $1) AND plain = `
	rules := make(map[string]string) // few different texts, each kept once
	keep := func(b []byte) string {
		s, ok := rules[string(b)]
		if !ok {
			s = string(b)
			rules[s] = s
		}
		return s
	}
	var (
		id, reference, first, last, origin, rule sql.RawBytes
		from, until, observed                    int64
		b                                        guard.Block // each in turn, so that a million leave no garbage
	)
	dest := []any{&id, &reference, &first, &last, &origin, &rule, &from, &until, &observed}
	common := func(scan func(...any) error, more ...any) error {
		if err := scan(append(dest, more...)...); err != nil {
			return translate(err)
		}
		b = guard.Block{
			ID: string(id), Reference: string(reference), Origin: keep(origin), Rule: keep(rule),
			From: instant(from), Until: instant(until), Observed: observed != 0,
		}
		b.Subject.IP = bytesPrefix(first, last)
		return nil
	}
	const columns = "SELECT id, reference, ip_first, ip_last, origin, rule, from_at, until_at, observed"
	if err := d.read(ctx, columns+live+"1", []any{micros(now)}, func(scan func(...any) error) error {
		if err := common(scan); err != nil {
			return err
		}
		return f(&b)
	}); err != nil {
		return err
	}
	return d.read(ctx, columns+", account, source, realm, session"+live+"0", []any{micros(now)},
		func(scan func(...any) error) error {
			var s [4]string
			if err := common(scan, &s[0], &s[1], &s[2], &s[3]); err != nil {
				return err
			}
			b.Subject.Account, b.Subject.Source, b.Subject.Realm, b.Subject.Session = s[0], s[1], s[2], s[3]
			return f(&b)
		})
}

// tailPage is how many rows of the tail are read at once, so that a long replay
// holds no snapshot of the database open.
const tailPage = 2000

// Tail implements guard.Journal.
func (d *DB) Tail(ctx context.Context, after int64, f func(guard.TailItem) error) error {
	clears, err := d.clearsAfter(ctx, after)
	if err != nil {
		return fmt.Errorf("read clearings: %w", err)
	}
	for {
		events, err := d.EventsAfter(ctx, after, tailPage)
		if err != nil {
			return fmt.Errorf("read tail: %w", err)
		}
		for i := range events {
			for len(clears) > 0 && clears[0].Seq <= events[i].Seq {
				if err := f(guard.TailItem{Clear: &clears[0]}); err != nil {
					return err
				}
				clears = clears[1:]
			}
			if err := f(guard.TailItem{Event: &events[i]}); err != nil {
				return err
			}
			after = events[i].Seq
		}
		if len(events) < tailPage {
			break
		}
	}
	for i := range clears {
		if err := f(guard.TailItem{Clear: &clears[i]}); err != nil {
			return err
		}
	}
	return nil
}

func (d *DB) clearsAfter(ctx context.Context, after int64) ([]guard.Clear, error) {
	var out []guard.Clear
	err := d.read(ctx, "SELECT seq, at, selection, restart FROM clears WHERE seq > $1 ORDER BY seq", []any{after},
		func(scan func(...any) error) error {
			var c guard.Clear
			var at, restart int64
			var selection string
			if err := scan(&c.Seq, &at, &selection, &restart); err != nil {
				return err
			}
			c.At, c.RestartMetrics = instant(at), restart != 0
			if err := json.Unmarshal([]byte(selection), &c.Selection); err != nil {
				return fmt.Errorf("%w: clearing %d: %w", ErrCorrupt, c.Seq, err)
			}
			out = append(out, c)
			return nil
		})
	return out, err
}
