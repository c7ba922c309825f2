package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// EventFilter selects events. Zero fields select everything; the others must
// all hold.
type EventFilter struct {
	From, To   time.Time // From <= time of the event < To
	Names      []string
	Severities []warder.Severity
	IP         netip.Prefix // every address within it
	Account    string       // in any spelling
	Realm      string
	Rule       string
	Session    string
	Reason     string
	App        string
	Actions    []warder.Action
	// Q is an exact id, reference, address, prefix or account; if it is none of
	// these, the beginning of an account or a path.
	Q string

	// Whole says that statistics count also what was before they were restarted.
	Whole bool

	// None of these must hold.
	NotNames      []string
	NotSeverities []warder.Severity
	NotIPs        []netip.Prefix
	NotAccount    string // in any spelling
	NotRealms     []string
	NotRules      []string
	NotReasons    []string
	NotActions    []warder.Action
}

// rolled reports whether the rollups can tell what matches.
func (f *EventFilter) rolled() bool {
	return !f.IP.IsValid() && f.Account == "" && f.Rule == "" && f.Q == "" && !f.loose()
}

// loose reports whether the filter has conditions that neither an index nor the
// rollups know.
func (f *EventFilter) loose() bool {
	return f.Session != "" || f.Reason != "" || f.App != "" || len(f.Actions) > 0 || len(f.NotIPs) > 0 ||
		f.NotAccount != "" || len(f.NotRules) > 0 || len(f.NotReasons) > 0 || len(f.NotActions) > 0
}

// scanLimit is how many rows may be gathered and sorted to serve one page. What
// matches more often is found soon enough by walking back in time.
const scanLimit = 20_000

// plan is how a page of events is found: by walking one or several indexes in
// the order of time, each with a condition of its own, or by gathering few rows
// and sorting them. It is made once for a list and used for all its pages.
type plan struct {
	common   where   // holds for every branch
	branches []where // each walks an index; at least one
	narrow   *where  // condition on rollups that finds the quarter hours with matches
	none     bool    // nothing can match
	from, to int64   // from <= time < to; 0: open
	// sieve says that many events may have to be looked at to find few.
	sieve bool
}

// Conditions that only filter are written so that no index is chosen for them:
// the plan has chosen one already. (column || ”) is the way to say so that
// both dialects understand.
func (d *DB) plan(ctx context.Context, f EventFilter) (*plan, error) {
	p := &plan{}
	ip, account, driver := f.IP, f.Account, where{}
	if q := strings.TrimSpace(f.Q); q != "" {
		found, err := d.search(ctx, q)
		if err != nil {
			return nil, err
		}
		switch {
		case found.ip.IsValid() && ip.IsValid():
			// Both must hold: the narrower one, if it lies in the other.
			if !ip.Overlaps(found.ip) {
				p.none = true
				return p, nil
			}
			if found.ip.Bits() > ip.Bits() {
				ip = found.ip
			}
		case found.ip.IsValid():
			ip = found.ip
		case found.account != "" && account == "":
			account = found.account
		case found.account != "":
			p.common.add("(account_key || '') = ?", found.account)
		default:
			driver = found.driver
			if found.filter {
				p.common, driver = driver, where{}
			}
		}
	}
	driven := len(driver.args) > 0
	drive := func(condition string, args ...any) {
		driver = where{}
		driver.add(condition, args...)
		driven = true
	}
	if account != "" {
		name := foldAccount(account)
		if driven {
			p.common.add("(account_key || '') = ?", name)
		} else {
			drive("account_key = ? AND account_key <> ''", name)
		}
	}
	if ip.IsValid() {
		if err := d.planAddress(ctx, p, ip, driven, drive); err != nil {
			return nil, err
		}
	}
	if f.Rule != "" {
		if driven {
			p.common.add("(rule || '') = ?", f.Rule)
		} else {
			drive("rule = ? AND rule <> ''", f.Rule)
		}
	}
	if f.Realm != "" {
		p.common.add("realm = ?", f.Realm)
	}
	p.exclude(&f)
	p.sparse(f, driven)
	p.sieve = f.loose() || driven && (f.Realm != "" || len(f.Names) > 0 || len(f.Severities) > 0 ||
		len(f.NotNames) > 0 || len(f.NotSeverities) > 0 || len(f.NotRealms) > 0)
	branches := driven
	if len(f.Names) > 0 {
		names := slices.Compact(slices.Sorted(slices.Values(f.Names)))
		if branches {
			p.common.in("(name || '')", anys(names))
		} else {
			branches = true
			for _, name := range names {
				w := where{}
				w.add("name = ?", name)
				p.branches = append(p.branches, w)
			}
		}
	}
	if len(f.Severities) > 0 {
		sev := slices.Compact(slices.Sorted(slices.Values(f.Severities)))
		if branches || sev[0] < warder.High {
			p.common.in("(severity + 0)", anys(sev))
		} else {
			for _, s := range sev {
				w := where{}
				w.add("severity = ? AND severity >= 2", int64(s))
				p.branches = append(p.branches, w)
			}
		}
	}
	if len(p.branches) == 0 {
		p.branches = []where{driver}
	}
	p.from, p.to = micros(f.From), micros(f.To)
	return p, nil
}

func (d *DB) planAddress(ctx context.Context, p *plan, ip netip.Prefix, driven bool, drive func(string, ...any)) error {
	key := warder.AddressKey(ip.Addr())
	switch {
	case driven:
		p.common.within("ip", ip)
	case ip.Bits() >= key.Bits():
		drive("address = ?", keyBytes(key))
		if ip != key {
			p.common.within("ip", ip)
		}
	default:
		condition, args := within("address", ip)
		few, err := d.few(ctx, condition, args...)
		if err != nil {
			return err
		}
		if few {
			drive("seq IN (SELECT seq FROM events WHERE "+condition+")", args...)
		} else {
			p.common.within("ip", ip)
		}
	}
	return nil
}

// exclude adds what must not hold, and what no index serves.
func (p *plan) exclude(f *EventFilter) {
	w := &p.common
	for _, c := range []struct{ column, value string }{{"session", f.Session}, {"reason", f.Reason}, {"app", f.App}} {
		if c.value != "" {
			w.add("("+c.column+" || '') = ?", c.value)
		}
	}
	if len(f.Actions) > 0 {
		w.in("action", anys(f.Actions))
	}
	for _, c := range []struct {
		column string
		values []any
	}{
		{"(name || '')", anys(f.NotNames)},
		{"(severity + 0)", anys(f.NotSeverities)},
		{"(realm || '')", anys(f.NotRealms)},
		{"(rule || '')", anys(f.NotRules)},
		{"(reason || '')", anys(f.NotReasons)},
		{"action", anys(f.NotActions)},
	} {
		if len(c.values) > 0 {
			w.notIn(c.column, c.values)
		}
	}
	for _, ip := range f.NotIPs {
		condition, args := within("ip", ip)
		w.add("ip IS NULL OR NOT ("+condition+")", args...)
	}
	if name := foldAccount(f.NotAccount); name != "" {
		w.add("(account_key || '') <> ?", name)
	}
}

// sparse prepares the search by the rollups for filters that no index serves:
// without it, the last event of a quiet realm would be looked for in all events
// that came after it.
func (p *plan) sparse(f EventFilter, driven bool) {
	excludes := len(f.NotNames) > 0 || len(f.NotSeverities) > 0 || len(f.NotRealms) > 0
	if driven || f.loose() || f.Realm == "" && !excludes &&
		(len(f.Severities) == 0 || len(f.Names) == 0 && slices.Min(f.Severities) >= warder.High) {
		return
	}
	p.narrow = &where{}
	if f.Realm != "" {
		p.narrow.add("realm = ?", f.Realm)
	}
	if len(f.Names) > 0 {
		p.narrow.in("name", anys(f.Names))
	}
	if len(f.Severities) > 0 {
		p.narrow.in("severity", anys(f.Severities))
	}
	excluded(p.narrow, &f)
	if !f.From.IsZero() {
		p.narrow.add("bucket > ?", micros(f.From)-usPerBucket)
	}
	if !f.To.IsZero() {
		p.narrow.add("bucket < ?", micros(f.To))
	}
}

// excluded adds to a condition on rollups what must not hold.
func excluded(w *where, f *EventFilter) {
	if len(f.NotNames) > 0 {
		w.notIn("name", anys(f.NotNames))
	}
	if len(f.NotSeverities) > 0 {
		w.notIn("severity", anys(f.NotSeverities))
	}
	if len(f.NotRealms) > 0 {
		w.notIn("realm", anys(f.NotRealms))
	}
}

// anys boxes values for the driver.
func anys[T ~string | ~uint8](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		switch v := any(v).(type) {
		case warder.Severity:
			out[i] = int64(v)
		case warder.Action:
			out[i] = int64(v)
		default:
			out[i] = v
		}
	}
	return out
}

// few reports whether a condition holds for so few events that they can be
// sorted.
func (d *DB) few(ctx context.Context, condition string, args ...any) (bool, error) {
	w := &where{}
	w.add(condition, args...)
	query, args := w.query("SELECT count(*) FROM (SELECT 1 FROM events", "LIMIT ?) AS some", scanLimit)
	var n int
	err := d.readDB.QueryRowContext(ctx, query, args...).Scan(&n)
	return n < scanLimit, translate(err)
}

// found is what a search text turned out to be.
type found struct {
	ip      netip.Prefix
	account string // folded
	driver  where
	filter  bool // driver only filters
}

func (d *DB) search(ctx context.Context, q string) (found, error) {
	if p, ok := parseNet(q); ok {
		return found{ip: p}, nil
	}
	var r found
	exists := func(condition string, arg any) (bool, error) {
		var n int
		err := d.readDB.QueryRowContext(ctx,
			"SELECT count(*) FROM (SELECT 1 FROM events WHERE "+condition+" LIMIT 1) AS some", arg).Scan(&n)
		return n > 0, translate(err)
	}
	if ok, err := exists("id = $1", q); ok || err != nil {
		r.driver.add("id = ?", q)
		return r, err
	}
	if ok, err := exists("reference = $1 AND reference <> ''", strings.ToUpper(q)); ok || err != nil {
		r.driver.add("reference = ? AND reference <> ''", strings.ToUpper(q))
		return r, err
	}
	name := foldAccount(q)
	if name != "" {
		if ok, err := exists("account_key = $1 AND account_key <> ''", name); ok || err != nil {
			r.account = name
			return r, err
		}
	}
	var conditions []string
	var args []any
	ok := true
	for _, c := range []struct{ column, prefix string }{{"account_key", name}, {"path", q}} {
		if c.prefix == "" {
			continue
		}
		first, end := prefixRange(c.prefix)
		condition := c.column + " >= ? AND " + c.column + " < ? AND " + c.column + " <> ''"
		few, err := d.few(ctx, condition, first, end)
		if err != nil {
			return r, err
		}
		ok = ok && few
		conditions = append(conditions, condition)
		args = append(args, first, end)
	}
	if ok {
		for i := range conditions {
			conditions[i] = "SELECT seq FROM events WHERE " + conditions[i]
		}
		r.driver.add("seq IN ("+strings.Join(conditions, " UNION ")+")", args...)
		return r, nil
	}
	r.filter = true
	r.driver.add(strings.ReplaceAll(strings.ReplaceAll("("+strings.Join(conditions, ") OR (")+")",
		"path", "(path || '')"), "account_key", "(account_key || '')"), args...)
	return r, nil
}

// parseNet reads an address or a prefix as people search for it: host bits are
// forgiven, an IPv6 address means itself.
func parseNet(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = warder.Canonical(a)
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	p = p.Masked()
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, true
}

// page returns at most n events before the given key, latest first.
func (d *DB) page(ctx context.Context, p *plan, c *cursor, n int) ([]guard.Event, error) {
	if p.none {
		return nil, nil
	}
	if p.narrow == nil {
		return d.merge(ctx, p, c, n, 0, 0)
	}
	var out []guard.Event
	before := int64(0) // of the quarter hours that were looked at
	for want, more := n, true; more; want *= 4 {
		var spans [][2]int64
		var err error
		if spans, more, err = d.spans(ctx, p, c, before, want); err != nil {
			return nil, err
		}
		for _, s := range spans {
			rows, err := d.merge(ctx, p, c, n-len(out), s[0], s[1])
			if err != nil {
				return nil, err
			}
			if out = append(out, rows...); len(out) >= n {
				return out, nil
			}
			before = s[0]
		}
	}
	return out, nil
}

// spans finds the latest stretches of time, latest first, that held n matching
// events before the cursor and before an instant (0: none) by the rollups. There
// may be fewer, and more of them in earlier ones: the page before ended in the
// quarter hour of the cursor, and retention by size deletes what the rollups
// remember.
func (d *DB) spans(ctx context.Context, p *plan, c *cursor, before int64, n int) (out [][2]int64, more bool, err error) {
	w := p.narrow.join(&where{})
	if c != nil {
		w.add("bucket <= ?", c.A)
	}
	if before != 0 {
		w.add("bucket < ?", before)
	}
	query, args := w.query("SELECT bucket, sum(n) FROM rollups", "GROUP BY bucket ORDER BY bucket DESC")
	total := int64(0)
	err = d.read(ctx, query, args,
		func(scan func(...any) error) error {
			var bucket, k int64
			if err := scan(&bucket, &k); err != nil {
				return err
			}
			if last := len(out) - 1; last >= 0 && out[last][0] == bucket+usPerBucket {
				out[last][0] = bucket
			} else {
				out = append(out, [2]int64{bucket, bucket + usPerBucket})
			}
			if total += k; total >= int64(n) {
				return errEnough
			}
			return nil
		})
	if more = errors.Is(err, errEnough); err != nil && !more {
		return nil, false, fmt.Errorf("read rollups: %w", err)
	}
	return out, more, nil
}

var errEnough = errors.New("enough")

// merge walks the branches and returns the n latest of all, in [from, to) if to
// is set.
func (d *DB) merge(ctx context.Context, p *plan, c *cursor, n int, from, to int64) ([]guard.Event, error) {
	var out []guard.Event
	for i := range p.branches {
		w := p.branches[i].join(&p.common)
		p.between(w, c, from, to)
		query, args := w.query("SELECT "+eventColumns+" FROM events", "ORDER BY time DESC, seq DESC LIMIT ?", n)
		err := d.read(ctx, query, args,
			func(scan func(...any) error) error {
				e, err := scanEvent(scan)
				if err == nil {
					out = append(out, *e)
				}
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("list events: %w", err)
		}
	}
	if len(p.branches) > 1 {
		slices.SortFunc(out, func(a, b guard.Event) int {
			if c := b.Time.Compare(a.Time); c != 0 {
				return c
			}
			return int(b.Seq - a.Seq)
		})
	}
	return out[:min(n, len(out))], nil
}

// between limits the time to what the filter, the cursor and a span allow. One
// condition for each end: an index is entered by one only.
func (p *plan) between(w *where, c *cursor, from, to int64) {
	from = max(from, p.from)
	if p.to != 0 && (to == 0 || p.to < to) {
		to = p.to
	}
	if c != nil {
		if to == 0 || c.A < to {
			to = c.A + 1
		}
		w.add("(time + 0) < ? OR seq < ?", c.A, c.B)
	}
	if from != 0 {
		w.add("time >= ?", from)
	}
	if to != 0 {
		w.add("time < ?", to)
	}
}

func eventCursor(e *guard.Event) cursor {
	return cursor{Kind: cursorEvents, A: micros(e.Time), B: e.Seq}
}

// EventList is a part of the events. SearchedTo is set if the search was paused
// before the page was full: everything at or after it was looked at, and Next
// goes on before it.
type EventList struct {
	List[guard.Event]
	SearchedTo time.Time
}

// ListEvents returns a part of the events, latest first. A filter that no index
// serves is followed for sieveTime at most; see EventList.
func (d *DB) ListEvents(ctx context.Context, f EventFilter, p Page) (EventList, error) {
	c, err := parseCursor(cursorEvents, p.Cursor)
	if err != nil {
		return EventList{}, err
	}
	plan, err := d.plan(ctx, f)
	if err != nil {
		return EventList{}, fmt.Errorf("list events: %w", err)
	}
	if !plan.sieve || plan.none {
		rows, err := d.page(ctx, plan, c, p.size()+1)
		if err != nil {
			return EventList{}, err
		}
		return EventList{List: cut(rows, p, eventCursor)}, nil
	}
	var rows []guard.Event
	paused, err := d.walk(ctx, plan, c, sieveTime, func(from, to int64) (bool, error) {
		part, err := d.merge(ctx, plan, c, p.size()+1-len(rows), from, to)
		rows = append(rows, part...)
		return len(rows) <= p.size(), err
	})
	if err != nil {
		return EventList{}, fmt.Errorf("list events: %w", err)
	}
	out := EventList{List: cut(rows, p, eventCursor)}
	if paused != 0 && out.Next == "" {
		out.SearchedTo = instant(paused)
		out.Next = cursor{Kind: cursorEvents, A: paused}.String()
	}
	return out, nil
}

// EachEvent calls each for every event of the filter, latest first, in flat
// memory.
func (d *DB) EachEvent(ctx context.Context, f EventFilter, each func(*guard.Event) error) error {
	plan, err := d.plan(ctx, f)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	return all(func(c *cursor) ([]guard.Event, error) { return d.page(ctx, plan, c, MaxPage) }, eventCursor, each)
}

// Event finds an event by its id: the latest, because an application may use an
// id again after a day.
func (d *DB) Event(ctx context.Context, id string) (*guard.Event, error) {
	var out *guard.Event
	err := d.read(ctx, "SELECT "+eventColumns+" FROM events WHERE id = $1 ORDER BY seq DESC LIMIT 1", []any{id},
		func(scan func(...any) error) (err error) {
			out, err = scanEvent(scan)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read event %q: %w", id, err)
	}
	if out == nil {
		return nil, ErrNotFound
	}
	return out, nil
}

// EventsAfter returns at most limit events with a number above seq, in the
// order of their numbers.
func (d *DB) EventsAfter(ctx context.Context, seq int64, limit int) ([]guard.Event, error) {
	var out []guard.Event
	err := d.read(ctx, "SELECT "+eventColumns+" FROM events WHERE seq > $1 ORDER BY seq LIMIT $2", []any{seq, limit},
		func(scan func(...any) error) error {
			e, err := scanEvent(scan)
			if err != nil {
				return err
			}
			out = append(out, *e)
			return nil
		})
	return out, err
}
