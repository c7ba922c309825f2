package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// BlockFilter selects Blocks. Zero fields select everything.
type BlockFilter struct {
	Now      time.Time    // what State is derived at
	State    string       // active, expired, lifted, observed; all or "" = all
	From, To time.Time    // From <= beginning of the Block < To
	IP       netip.Prefix // Blocks of it, within it or around it
	Account  string       // in any spelling
	Event    string       // name of the deciding event
	Rule     string
	Source   string // rule, manual, policy, import
	Reviewed *bool
	Verdict  string // lifted with it
	// LiftedFrom <= lifted < LiftedTo.
	LiftedFrom, LiftedTo time.Time
	// NoEvidence says that EachBlock need not read it.
	NoEvidence bool
	// None of these must hold.
	NotIPs     []netip.Prefix
	NotEvents  []string
	NotRules   []string
	NotSources []string
	// Q is an exact id, reference, address, prefix or account, else the
	// beginning of an account.
	Q string
}

func (f *BlockFilter) where() *where {
	w := &where{}
	now := micros(f.Now)
	switch f.State {
	case guard.StateActive:
		// Most Blocks are active, so they are found by walking back in time and
		// not by the index of live ones.
		w.add("lifted_at = 0 AND (ended_at + 0) = 0 AND observed = 0 AND (until_at = 0 OR (until_at + 0) > ?)", now)
	case guard.StateExpired:
		w.add("until_at > 0")
		w.add("lifted_at = 0")
		w.add("observed = 0")
		w.add("(until_at + 0) <= ? OR ended_at > 0", now)
	case guard.StateLifted:
		w.add("lifted_at > 0 AND observed = 0")
	case guard.StateObserved:
		w.add("observed = 1")
	}
	if !f.From.IsZero() {
		w.add("from_at >= ?", micros(f.From))
	}
	if !f.To.IsZero() {
		w.add("from_at < ?", micros(f.To))
	}
	if f.IP.IsValid() {
		overlapping(w, f.IP)
	}
	if f.Account != "" {
		// The realm is a part of the key, so it is the end that must match.
		w.add(`account <> '' AND account LIKE ? ESCAPE '\'`, "%\x1f"+likeText(foldAccount(f.Account)))
	}
	if f.Event != "" {
		w.add("event = ?", f.Event)
	}
	if f.Rule != "" {
		w.add("rule = ?", f.Rule)
	}
	if f.Source != "" {
		w.add("origin = ?", f.Source)
	}
	if f.Reviewed != nil {
		if *f.Reviewed {
			w.add("reviewed_at > 0")
		} else {
			w.add("reviewed_at = 0")
		}
	}
	if !f.LiftedFrom.IsZero() {
		w.add("lifted_at > 0 AND lifted_at >= ? AND lifted_at < ?", micros(f.LiftedFrom), micros(f.LiftedTo))
	}
	if f.Verdict != "" {
		w.add("lifted_at > 0 AND verdict = ?", f.Verdict)
	}
	for _, c := range []struct {
		column string
		values []string
	}{{"event", f.NotEvents}, {"(rule || '')", f.NotRules}, {"(origin || '')", f.NotSources}} {
		if len(c.values) > 0 {
			w.notIn(c.column, anys(c.values))
		}
	}
	for _, p := range f.NotIPs {
		first, last := bounds(p)
		w.add("ip_first IS NULL OR (ip_last || '') < (? || '') OR (ip_first || '') > (? || '')", first, last)
	}
	return w
}

// fewMatches is how many Blocks a search names one by one.
const fewMatches = 500

// searchBlocks adds what a search asks for. Most searches find a handful, or nothing:
// these are found by the indexes of ids, references and accounts, and not by a
// walk through all Blocks. Where many match, a walk soon meets some.
func (d *DB) searchBlocks(ctx context.Context, text string, w *where) error {
	q := strings.TrimSpace(text)
	if q == "" {
		return nil
	}
	if p, ok := parseNet(q); ok {
		overlapping(w, p)
		return nil
	}
	args := []any{q, strings.ToUpper(q), "%\x1f" + likeText(foldAccount(q)) + "%"}
	var found []any
	err := d.read(ctx, `SELECT n FROM blocks WHERE id = $1
		UNION SELECT n FROM blocks WHERE reference = $2 AND reference <> ''
		UNION SELECT n FROM (SELECT n FROM blocks WHERE account <> '' AND account LIKE $3 ESCAPE '\' LIMIT $4)`,
		append(args, fewMatches+1), func(scan func(...any) error) error {
			var n int64
			err := scan(&n)
			found = append(found, n)
			return err
		})
	switch {
	case err != nil:
		return fmt.Errorf("search blocks: %w", err)
	case len(found) == 0:
		w.add("1 = 0")
	case len(found) <= fewMatches:
		w.in("n", found)
	default:
		w.add(`id = ? OR reference = ? AND reference <> '' OR account <> '' AND account LIKE ? ESCAPE '\'`, args...)
	}
	return nil
}

// overlapping selects Blocks of prefixes that lie within p or around it. Those
// around it begin at one of at most 128 addresses.
func overlapping(w *where, p netip.Prefix) {
	_, last := bounds(p)
	condition, args := within("ip_first", p)
	seen := map[netip.Addr]bool{p.Masked().Addr(): true}
	for bits := p.Bits() - 1; bits >= 0; bits-- {
		a := netip.PrefixFrom(p.Addr(), bits).Masked().Addr()
		if seen[a] {
			continue
		}
		seen[a] = true
		f, _ := bounds(netip.PrefixFrom(a, bits))
		condition += " OR ip_first = ? AND ip_last >= ?"
		args = append(args, f, last)
	}
	// A wider Block may begin at the same address.
	w.add("ip_first IS NOT NULL AND ("+condition+")", args...)
}

// scanBlock reads n and blockColumns.
func scanBlock(scan func(...any) error) (n int64, b guard.Block, err error) {
	var (
		first, last                      []byte
		from, until, observed            int64
		lifted, ended, lastHit, reviewed int64
	)
	err = scan(&n, &b.ID, &b.Reference, &first, &last, &b.Subject.Account, &b.Subject.Source, &b.Subject.Realm,
		&b.Subject.Session, &b.Origin, &b.Rule, &b.EventName, &b.EventSeq, &b.Reason, &b.By, &from, &until, &b.Cut,
		&observed, &b.GoodAccounts, &b.Threshold, &b.Window, &lifted, &ended, &b.LiftedBy, &b.Verdict, &b.LiftReason,
		&b.Hits, &lastHit, &b.ReviewedBy, &reviewed, &b.Note)
	b.Subject.IP, b.Observed = bytesPrefix(first, last), observed != 0
	b.From, b.Until, b.LiftedAt, b.EndedAt = instant(from), instant(until), instant(lifted), instant(ended)
	b.LastHit, b.ReviewedAt = instant(lastHit), instant(reviewed)
	return n, b, translate(err)
}

type numbered[T any] struct {
	n int64
	v T
}

func (d *DB) blockPage(ctx context.Context, f BlockFilter, c *cursor, limit int) ([]numbered[guard.Block], error) {
	w := f.where()
	if err := d.searchBlocks(ctx, f.Q, w); err != nil {
		return nil, err
	}
	if c != nil {
		w.add("from_at <= ?", c.A)
		w.add("from_at < ? OR n < ?", c.A, c.B)
	}
	query, args := w.query("SELECT n, "+blockColumns+" FROM blocks", "ORDER BY from_at DESC, n DESC LIMIT ?", limit)
	var out []numbered[guard.Block]
	err := d.read(ctx, query, args, func(scan func(...any) error) error {
		n, b, err := scanBlock(scan)
		out = append(out, numbered[guard.Block]{n, b})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	return out, nil
}

func blockCursor(b *numbered[guard.Block]) cursor {
	return cursor{Kind: cursorBlocks, A: micros(b.v.From), B: b.n}
}

// ListBlocks returns a part of the Blocks, latest first. Their evidence is
// given by Block.
func (d *DB) ListBlocks(ctx context.Context, f BlockFilter, p Page) (List[guard.Block], error) {
	c, err := parseCursor(cursorBlocks, p.Cursor)
	if err != nil {
		return List[guard.Block]{}, err
	}
	rows, err := d.blockPage(ctx, f, c, p.size()+1)
	if err != nil {
		return List[guard.Block]{}, err
	}
	return values(cut(rows, p, blockCursor)), nil
}

// values drops the numbers that rows were ordered by.
func values[T any](l List[numbered[T]]) List[T] {
	out := List[T]{Items: make([]T, len(l.Items)), Next: l.Next}
	for i := range l.Items {
		out.Items[i] = l.Items[i].v
	}
	return out
}

// EachBlock calls each for every Block of the filter with its evidence, latest
// first, in flat memory.
func (d *DB) EachBlock(ctx context.Context, f BlockFilter, each func(*guard.Block) error) error {
	return all(func(c *cursor) ([]numbered[guard.Block], error) { return d.blockPage(ctx, f, c, MaxPage) }, blockCursor,
		func(b *numbered[guard.Block]) error {
			if !f.NoEvidence {
				if err := d.fillEvidence(ctx, &b.v); err != nil {
					return err
				}
			}
			return each(&b.v)
		})
}

// Block finds a Block by id, with its evidence.
func (d *DB) Block(ctx context.Context, id string) (*guard.Block, error) {
	return d.oneBlock(ctx, "id = $1", id)
}

func (d *DB) oneBlock(ctx context.Context, condition string, arg any) (*guard.Block, error) {
	var out *guard.Block
	err := d.read(ctx, "SELECT n, "+blockColumns+" FROM blocks WHERE "+condition+" ORDER BY n DESC LIMIT 1", []any{arg},
		func(scan func(...any) error) error {
			_, b, err := scanBlock(scan)
			out = &b
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read block: %w", err)
	}
	if out == nil {
		return nil, ErrNotFound
	}
	return out, d.fillEvidence(ctx, out)
}

// BlocksByID returns the Blocks with these ids, MaxPage at most, without their
// evidence.
func (d *DB) BlocksByID(ctx context.Context, ids []string) (map[string]guard.Block, error) {
	out := make(map[string]guard.Block, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	w := &where{}
	w.in("id", anys(ids[:min(len(ids), MaxPage)]))
	query, args := w.query("SELECT n, "+blockColumns+" FROM blocks", "")
	err := d.read(ctx, query, args, func(scan func(...any) error) error {
		_, b, err := scanBlock(scan)
		out[b.ID] = b
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read blocks: %w", err)
	}
	return out, nil
}

func (d *DB) fillEvidence(ctx context.Context, b *guard.Block) error {
	err := d.read(ctx, "SELECT also, evidence FROM block_evidence WHERE block_id = $1", []any{b.ID},
		func(scan func(...any) error) error {
			var also, evidence string
			if err := scan(&also, &evidence); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(also), &b.Also); err != nil {
				return fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			if err := json.Unmarshal([]byte(evidence), &b.Evidence); err != nil {
				return fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			return nil
		})
	if err != nil {
		return fmt.Errorf("read evidence of block %s: %w", b.ID, err)
	}
	return nil
}

// ListDemands returns the standing Demands, latest first.
func (d *DB) ListDemands(ctx context.Context, now time.Time, p Page) (List[guard.Demand], error) {
	c, err := parseCursor(cursorDemands, p.Cursor)
	if err != nil {
		return List[guard.Demand]{}, err
	}
	w := &where{}
	w.add("ended = 0 AND (until_at = 0 OR until_at > ?)", micros(now))
	if c != nil {
		w.add("from_at <= ?", c.A)
		w.add("from_at < ? OR n < ?", c.A, c.B)
	}
	query, args := w.query("SELECT "+demandColumns+", n FROM demands", "ORDER BY from_at DESC, n DESC LIMIT ?", p.size()+1)
	var out []numbered[guard.Demand]
	err = d.read(ctx, query, args, func(scan func(...any) error) error {
		var n int64
		m, err := scanDemand(scan, &n)
		if err == nil {
			out = append(out, numbered[guard.Demand]{n, *m})
		}
		return err
	})
	if err != nil {
		return List[guard.Demand]{}, fmt.Errorf("list demands: %w", err)
	}
	return values(cut(out, p, func(m *numbered[guard.Demand]) cursor {
		return cursor{Kind: cursorDemands, A: micros(m.v.From), B: m.n}
	})), nil
}

// SessionFilter selects sessions.
type SessionFilter struct {
	Account string // in any spelling; with Realm, or in every realm
	Realm   string
	IP      netip.Prefix // opened or last used within it
	Live    bool         // only those that are not revoked
	ID      string       // exactly this one
	Q       string       // an exact id, address or prefix, else the beginning of an account
}

// ListSessions returns sessions, last used first.
func (d *DB) ListSessions(ctx context.Context, f SessionFilter, p Page) (List[guard.Session], error) {
	c, err := parseCursor(cursorSessions, p.Cursor)
	if err != nil {
		return List[guard.Session]{}, err
	}
	w := &where{}
	if f.Live {
		w.add("revoked_at = 0")
	}
	if f.Account != "" {
		if f.Realm != "" {
			w.add("account_key = ?", warder.AccountKey(f.Realm, f.Account))
		} else {
			w.add(`account_key LIKE ? ESCAPE '\'`, "%\x1f"+likeText(foldAccount(f.Account)))
		}
	}
	if f.Realm != "" {
		w.add("realm = ?", f.Realm)
	}
	if f.ID != "" {
		w.add("id = ?", f.ID)
	}
	if q := strings.TrimSpace(f.Q); q != "" {
		if p, ok := parseNet(q); ok && !f.IP.IsValid() {
			f.IP = p
		} else {
			w.add(`id = ? OR account_key LIKE ? ESCAPE '\'`, q, "%\x1f"+likeText(foldAccount(q))+"%")
		}
	}
	if f.IP.IsValid() {
		opening, args := within("opening", widen(f.IP))
		latest, more := within("latest", widen(f.IP))
		w.add(opening+" OR "+latest, append(args, more...)...)
	}
	if c != nil {
		w.add("last_used <= ?", c.A)
		w.add("last_used < ? OR id < ?", c.A, c.S)
	}
	query, args := w.query("SELECT "+sessionColumns+" FROM sessions", "ORDER BY last_used DESC, id DESC LIMIT ?", p.size()+1)
	var out []guard.Session
	err = d.read(ctx, query, args, func(scan func(...any) error) error {
		n, err := scanSession(scan)
		out = append(out, n)
		return err
	})
	if err != nil {
		return List[guard.Session]{}, fmt.Errorf("list sessions: %w", err)
	}
	return cut(out, p, func(n *guard.Session) cursor {
		return cursor{Kind: cursorSessions, A: micros(n.LastUsed), S: n.ID}
	}), nil
}

// Revocations is a part of the feed of ended sessions. Next is the number to
// continue after. Reset says that rows after the asked number are gone already,
// so that the caller has to end every session it cannot account for.
type Revocations struct {
	Items []guard.Revoked `json:"items"`
	Next  int64           `json:"next"`
	Reset bool            `json:"reset,omitempty"`
}

// Revocations returns those with a number above after, in commit order; after
// below 0 starts at the oldest kept.
func (d *DB) Revocations(ctx context.Context, after int64, limit int) (Revocations, error) {
	r := Revocations{Items: []guard.Revoked{}}
	var gone, last int64
	err := d.readDB.QueryRowContext(ctx, `SELECT (SELECT value FROM meta WHERE name = $1),
		coalesce((SELECT max(seq) FROM revocations), 0)`, metaRevoked).Scan(&gone, &last)
	if err != nil {
		return r, fmt.Errorf("read revocations: %w", translate(err))
	}
	last = max(last, gone)
	switch {
	case after < 0:
		after = gone
	case after < gone, after > last: // deleted, or from before the database was restored
		r.Reset = true
		after = gone
	}
	r.Next = after
	err = d.read(ctx, `SELECT seq, session, account, account_key, realm, address, reason, at FROM revocations
		WHERE seq > $1 ORDER BY seq LIMIT $2`, []any{after, Page{Limit: limit}.size()}, func(scan func(...any) error) error {
		var v guard.Revoked
		var address []byte
		var at int64
		err := scan(&v.Seq, &v.Session, &v.Account, &v.AccountKey, &v.Realm, &address, &v.Reason, &at)
		v.Time = instant(at)
		if p := bytesKey(address); p.IsValid() {
			v.IP = keyText(p)
		}
		r.Items = append(r.Items, v)
		r.Next = v.Seq
		return err
	})
	if err != nil {
		return r, fmt.Errorf("read revocations: %w", err)
	}
	if len(r.Items) == 0 {
		return r, nil
	}
	// Who has seen a number will not ask for it again.
	return r, d.durable.waitSeen()
}
