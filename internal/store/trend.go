package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/warderhq/warder"
)

// MaxTrendDays bounds a trend.
const MaxTrendDays = 400

// ErrTooFine says that a trend would have more buckets than are readable.
var ErrTooFine = errors.New("the buckets are too fine for so long a time")

// TrendQuery says how a trend is cut. The filter's From and To bound it; if
// there is no From, it covers the last Days days up to the end of today in Zone.
type TrendQuery struct {
	Now    time.Time
	Days   int
	Bucket string         // minute, quarter (of an hour), hour, day of Zone; auto or empty
	Zone   *time.Location // nil: UTC
}

// Longest times that a bucket takes.
const (
	finestSpan       = 6 * time.Hour
	longestByQuarter = 32 * 24 * time.Hour
)

// Bucket is one bar of a trend, from Time to before End.
type Bucket struct {
	Time     time.Time `json:"time"`
	End      time.Time `json:"end"`
	Info     int64     `json:"info"`
	Warning  int64     `json:"warning"`
	High     int64     `json:"high"`
	Critical int64     `json:"critical"`
}

// Counted says what a statistic was counted over: whole quarters of an hour, as
// statistics are kept; a trend by the minute ends with this minute. Sampled says
// that the filter is one that they do not know and that so much matches that
// only what happened since Since was counted.
type Counted struct {
	From, To time.Time
	Sampled  bool
	Since    time.Time
}

// Trend is how many events there were, over time.
type Trend struct {
	Buckets []Bucket
	Bucket  string
	Counted
}

// Count is a name and how often it occurred.
type Count struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// quarter rounds down to a quarter of an hour.
func quarter(t time.Time) time.Time {
	t = t.Truncate(time.Microsecond) // what is below would make a bucket of its own
	return t.Add(-time.Duration(mod(micros(t), usPerBucket)) * time.Microsecond)
}

// aligned widens the times of a filter to whole quarters of an hour.
func aligned(f EventFilter) EventFilter {
	if !f.From.IsZero() {
		f.From = quarter(f.From)
	}
	if !f.To.IsZero() {
		if q := quarter(f.To); q.Before(f.To) {
			f.To = q.Add(15 * time.Minute)
		}
	}
	return f
}

// Midnight is when a day begins in a zone. Where clocks go forward at midnight
// that is one o'clock, and not the hour before, which is what time.Date makes of
// it west of Greenwich; where a zone left out a whole day it is the day after.
func Midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if t.Day() != time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Day() {
		_, t = t.ZoneBounds()
	}
	return t
}

// cut says where the buckets of a trend begin, and where the last ends. The
// first and the last may be cut by the filter's times.
func (q TrendQuery) cut(f EventFilter) (starts []time.Time, bucket string, err error) {
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	day := func(t time.Time, add int) time.Time {
		y, m, d := t.In(zone).Date()
		return Midnight(y, m, d+add, zone)
	}
	to := f.To
	if to.IsZero() {
		to = day(q.Now, 1)
		if !f.From.IsZero() {
			to = quarter(q.Now).Add(15 * time.Minute)
		}
	}
	from := f.From
	if from.IsZero() {
		from = day(to.Add(-1), 1-min(max(q.Days, 1), MaxTrendDays))
	}
	if !from.Before(to) {
		to = from.Add(15 * time.Minute)
	}
	span := to.Sub(from)
	bucket = q.Bucket
	switch bucket {
	case "minute":
		if span > finestSpan+30*time.Minute {
			return nil, bucket, ErrTooFine
		}
	case "quarter":
		if span > longestByQuarter {
			return nil, bucket, ErrTooFine
		}
	case "hour", "day":
	case "auto":
		switch {
		case span <= 3*time.Hour:
			bucket = "minute"
		case span <= 26*time.Hour:
			bucket = "quarter"
		case span <= 8*24*time.Hour:
			bucket = "hour"
		default:
			bucket = "day"
		}
	default:
		bucket = "day"
	}
	if span > (MaxTrendDays+1)*24*time.Hour {
		return nil, bucket, ErrTooFine
	}
	next := func(t time.Time) time.Time {
		switch bucket {
		case "minute":
			return t.Add(time.Minute)
		case "quarter":
			return t.Add(15 * time.Minute)
		case "hour":
			// Hours begin where the clock says so, also in zones that are half
			// an hour off.
			return t.Add(time.Hour - time.Duration(t.In(zone).Minute())*time.Minute)
		}
		return day(t, 1)
	}
	for at := from; at.Before(to); at = next(at) {
		starts = append(starts, at)
	}
	return append(starts, to), bucket, nil
}

// Trend counts events by severity. Every bucket is given, also empty ones.
func (d *DB) Trend(ctx context.Context, f EventFilter, q TrendQuery) (Trend, error) {
	f = aligned(f)
	starts, bucket, err := q.cut(f)
	if err != nil {
		return Trend{}, err
	}
	t := Trend{Bucket: bucket, Buckets: make([]Bucket, len(starts)-1)}
	out := t.Buckets
	for i := range out {
		out[i].Time, out[i].End = starts[i], starts[i+1]
	}
	t.From, t.To = starts[0], starts[len(starts)-1]
	// Buckets of one length are counted in one query. Only at the ends, and
	// where a clock changes, is one longer or shorter. The latest are counted
	// first, so that a sample is of the latest.
	begun := time.Now()
	for end := len(out); end > 0; {
		length := starts[end].Sub(starts[end-1])
		first := end - 1
		for first > 0 && starts[first].Sub(starts[first-1]) == length {
			first--
		}
		begin := micros(starts[first])
		f.From, f.To = starts[first], starts[end]
		slots := grouping{"(bucket - ?) / ?, severity", "(time - ?) / ?, severity", "1, 2", []any{begin, length.Microseconds()}}
		c, err := d.counts(ctx, f, slots, bucket == "minute", begun, func(scan func(...any) error) error {
			var i, severity, n int64
			if err := scan(&i, &severity, &n); err != nil {
				return err
			}
			b := &out[min(max(first+int(i), first), end-1)]
			switch warder.Severity(severity) {
			case warder.Info:
				b.Info += n
			case warder.Warning:
				b.Warning += n
			case warder.High:
				b.High += n
			case warder.Critical:
				b.Critical += n
			}
			return nil
		})
		if err != nil {
			return Trend{}, fmt.Errorf("count trend: %w", err)
		}
		if c.Sampled {
			t.Sampled, t.Since = true, c.Since
			break
		}
		end = first
	}
	if bucket == "minute" {
		t.begun(q.Now)
	}
	return t, nil
}

// begun leaves out what is empty because it has not begun: the quarter of an
// hour that a trend ends with is not over.
func (t *Trend) begun(now time.Time) {
	n := len(t.Buckets)
	for n > 1 {
		if b := t.Buckets[n-1]; !b.Time.After(now) || b.Info+b.Warning+b.High+b.Critical > 0 {
			break
		}
		n--
	}
	t.Buckets, t.To = t.Buckets[:n], t.Buckets[n-1].End
}

// Types counts events by name, most frequent first.
func (d *DB) Types(ctx context.Context, f EventFilter) ([]Count, Counted, error) {
	return d.named(ctx, f, byName)
}

// Realms counts events by realm, most frequent first.
func (d *DB) Realms(ctx context.Context, f EventFilter) ([]Count, Counted, error) {
	return d.named(ctx, f, byRealm)
}

// named counts events by a text.
func (d *DB) named(ctx context.Context, f EventFilter, by grouping) ([]Count, Counted, error) {
	sums := map[string]int64{}
	c, err := d.counts(ctx, aligned(f), by, false, time.Now(), func(scan func(...any) error) error {
		var name string
		var n int64
		err := scan(&name, &n)
		sums[name] += n
		return err
	})
	if err != nil {
		return nil, c, fmt.Errorf("count events: %w", err)
	}
	out := make([]Count, 0, len(sums))
	for name, n := range sums {
		out = append(out, Count{Name: name, Count: n})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return out, c, nil
}

// counts groups events, by the rollups where the filter allows it and nothing
// finer is asked for. Statistics begin where they were restarted, unless the
// filter wants the whole. each may be called several times for one group. What
// began at begun is given up after sieveTime.
func (d *DB) counts(ctx context.Context, f EventFilter, group grouping, fine bool, begun time.Time,
	each func(scan func(...any) error) error,
) (Counted, error) {
	c := Counted{From: f.From, To: f.To}
	shown, err := d.shown(ctx)
	if err != nil {
		return c, err
	}
	if !f.Whole && f.From.Before(shown) {
		f.From, c.From = shown, shown
	}
	if fine || !f.rolled() {
		since, err := d.countEvents(ctx, f, group, begun, each)
		c.Sampled, c.Since = !since.IsZero(), since
		return c, err
	}
	w := &where{}
	if !f.From.IsZero() {
		at := micros(f.From)
		w.add("bucket >= ?", at-mod(at, usPerBucket))
	}
	if !f.To.IsZero() {
		w.add("bucket < ?", micros(f.To))
	}
	if f.Realm != "" {
		w.add("realm = ?", f.Realm)
	}
	if len(f.Names) > 0 {
		w.in("name", anys(f.Names))
	}
	if len(f.Severities) > 0 {
		w.in("severity", anys(f.Severities))
	}
	excluded(w, &f)
	query, args := w.query("SELECT "+group.rollup+", sum(n) FROM rollups", "GROUP BY "+group.by)
	return c, d.read(ctx, query, slices.Concat(group.args, args), each)
}

// countTime is how long one statistic may look at events one by one.
const countTime = 300 * time.Millisecond

// grouping is a way to group: what to select of rollups and of events, which of
// the columns to group by, and the arguments of what is selected.
type grouping struct {
	rollup, event, by string
	args              []any
}

var (
	byName     = grouping{"name", "name", "1", nil}
	byRealm    = grouping{"realm", "realm", "1", nil}
	bySeverity = grouping{"severity", "severity", "1", nil}
	byAddress  = grouping{"", "address, max(time)", "1", nil}
)

// countEvents groups the events of a filter, latest first, for countTime after
// begun at most. If that was not enough, it returns the time of the oldest that
// was counted.
func (d *DB) countEvents(ctx context.Context, f EventFilter, group grouping, begun time.Time,
	each func(scan func(...any) error) error,
) (time.Time, error) {
	p, err := d.plan(ctx, f)
	if err != nil || p.none {
		return time.Time{}, err
	}
	left := max(countTime-time.Since(begun), time.Millisecond)
	paused, err := d.walk(ctx, p, nil, left, func(from, to int64) (bool, error) {
		// Filters other than by name and severity make one branch.
		for i := range p.branches {
			w := p.branches[i].join(&p.common)
			p.between(w, nil, from, to)
			query, args := w.query("SELECT "+group.event+", count(*) FROM events", "GROUP BY "+group.by)
			if err := d.read(ctx, query, slices.Concat(group.args, args), each); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	return instant(paused), err
}

// shown is when the statistics began.
func (d *DB) shown(ctx context.Context) (time.Time, error) {
	var at int64
	err := d.readDB.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = $1", metaShown).Scan(&at)
	return instant(at), translate(err)
}

// Attacker is an address and what it did. BlockID is a live Block of it.
type Attacker struct {
	IP       netip.Prefix     `json:"ip"`
	Count    int64            `json:"count"` // events of severity warning and above
	Types    map[string]int64 `json:"types"`
	LastSeen time.Time        `json:"last_seen"`
	BlockID  string           `json:"block_id,omitempty"`
}

// attackersPerDay is how many addresses of each day are candidates for the list
// of attackers, see Attackers.
const attackersPerDay = 100

// typesTime is how long the types of all attackers together may take to count.
const typesTime = 150 * time.Millisecond

// Attackers returns the addresses with the most events of severity warning and
// above, most first, at most 100. Days are counted whole. Candidates are the
// worst addresses of each day, so an address can be missed only if it is on no
// day among the worst 100. Types are those of the same events, of its latest
// 5,000 at least.
func (d *DB) Attackers(ctx context.Context, f EventFilter, now time.Time, limit int) ([]Attacker, Counted, error) {
	limit = min(max(limit, 1), 100)
	f = aligned(f)
	c := Counted{From: f.From, To: f.To}
	shown, err := d.shown(ctx)
	if err != nil {
		return nil, c, fmt.Errorf("list attackers: %w", err)
	}
	if !f.Whole && f.From.Before(shown) {
		f.From, c.From = shown, shown
	}
	if f.To.IsZero() || f.To.After(now) {
		f.To = now
	}
	first, last := micros(f.From)/usPerDay, (micros(f.To)-1)/usPerDay
	first = max(first, last-MaxTrendDays)
	totals, since, err := d.candidates(ctx, f, first, last)
	if err != nil {
		return nil, c, fmt.Errorf("list attackers: %w", err)
	}
	c.Sampled, c.Since = !since.IsZero(), since
	begun := time.Now().Add(typesTime - countTime)
	out := make([]Attacker, 0, limit)
	for _, t := range totals[:min(limit, len(totals))] {
		a := Attacker{IP: bytesKey(t.address[:]), Count: t.n, LastSeen: instant(t.last), Types: map[string]int64{}}
		only := f
		only.IP = a.IP
		if len(only.Severities) == 0 {
			only.Severities = []warder.Severity{warder.Warning, warder.High, warder.Critical}
		}
		if _, err := d.countEvents(ctx, only, byName, begun, func(scan func(...any) error) error {
			var name string
			var n int64
			err := scan(&name, &n)
			if !warder.OwnEvent(name) {
				a.Types[name] += n
			}
			return err
		}); err != nil {
			return nil, c, fmt.Errorf("list attackers: %w", err)
		}
		if a.BlockID, err = d.liveBlock(ctx, a.IP, now); err != nil {
			return nil, c, fmt.Errorf("list attackers: %w", err)
		}
		out = append(out, a)
	}
	return out, c, nil
}

type candidate struct {
	address address
	n, last int64
}

// candidates are the worst addresses between two days, worst first. Days are
// whole ones of UTC; a filter that they do not know, or that covers a part of
// a day or two, is counted by its events. The time is that of countEvents.
func (d *DB) candidates(ctx context.Context, f EventFilter, first, last int64) ([]candidate, time.Time, error) {
	short := !f.From.IsZero() && f.To.Sub(f.From) < 48*time.Hour
	plain := f
	plain.IP = netip.Prefix{}
	if short || !plain.rolled() || f.Realm != "" || len(f.Names) > 0 || len(f.Severities) > 0 ||
		len(f.NotNames) > 0 || len(f.NotSeverities) > 0 || len(f.NotRealms) > 0 {
		return d.counted(ctx, f)
	}
	seen := make(map[address]int64)
	var w where
	if f.IP.IsValid() {
		w.within("address", widen(f.IP))
	}
	for day := last; day >= first; day-- {
		for _, from := range []struct{ table, bad string }{{"addresses", "day_bad"}, {"address_days", "bad"}} {
			one := w.join(&where{})
			one.add("day = ? AND "+from.bad+" > 0", day)
			query, args := one.query("SELECT address, "+from.bad+" FROM "+from.table,
				"ORDER BY "+from.bad+" DESC LIMIT ?", attackersPerDay)
			if err := d.read(ctx, query, args, func(scan func(...any) error) error {
				var a []byte
				var n int64
				if err := scan(&a, &n); err != nil {
					return err
				}
				if len(a) == 16 {
					seen[address(a)] += n
				}
				return nil
			}); err != nil {
				return nil, time.Time{}, err
			}
		}
	}
	list := make([]candidate, 0, len(seen))
	for a, n := range seen {
		list = append(list, candidate{address: a, n: n})
	}
	slices.SortFunc(list, worst)
	// What is known of a candidate so far is a lower bound; its whole sum costs
	// a look-up, so only the best are completed.
	list = list[:min(len(list), 200)]
	for i := range list {
		c := &list[i]
		if err := d.readDB.QueryRowContext(ctx, `SELECT coalesce(sum(bad), 0), coalesce(max(last), 0) FROM (
				SELECT bad, last FROM address_days WHERE address = $1 AND day BETWEEN $2 AND $3
				UNION ALL SELECT day_bad, day_last FROM addresses WHERE address = $1 AND day BETWEEN $2 AND $3) AS some`,
			c.address[:], first, last).Scan(&c.n, &c.last); err != nil {
			return nil, time.Time{}, translate(err)
		}
	}
	slices.SortFunc(list, worst)
	return list, time.Time{}, nil
}

// ownNames are events of Warder itself, which tell of others' doings.
var ownNames = []string{
	warder.ThresholdExceeded, warder.IPBlocked, warder.IPUnblocked, warder.SessionTerminated, warder.SuspiciousIP,
}

// counted finds candidates by counting the latest events of a filter that the
// days do not know.
func (d *DB) counted(ctx context.Context, f EventFilter) ([]candidate, time.Time, error) {
	if len(f.Severities) == 0 {
		f.Severities = []warder.Severity{warder.Warning, warder.High, warder.Critical}
	}
	f.NotNames = slices.Concat(f.NotNames, ownNames)
	seen := make(map[address]candidate)
	since, err := d.countEvents(ctx, f, byAddress, time.Now(), func(scan func(...any) error) error {
		var a []byte
		var n, last int64
		err := scan(&a, &last, &n)
		if len(a) == 16 {
			c := seen[address(a)]
			c.address, c.n, c.last = address(a), c.n+n, max(c.last, last)
			seen[address(a)] = c
		}
		return err
	})
	if err != nil {
		return nil, since, err
	}
	list := slices.SortedFunc(maps.Values(seen), func(a, b candidate) int { return worst(a, b) })
	return list, since, nil
}

func worst(a, b candidate) int {
	if a.n != b.n {
		return cmp.Compare(b.n, a.n)
	}
	return slices.Compare(a.address[:], b.address[:])
}

// liveBlock is the id of the latest live Block of exactly this prefix.
func (d *DB) liveBlock(ctx context.Context, p netip.Prefix, now time.Time) (string, error) {
	first, last := bounds(p)
	var id string
	err := translate(d.readDB.QueryRowContext(ctx, `SELECT id FROM blocks WHERE ip_first = $1 AND ip_last = $2
		AND lifted_at = 0 AND ended_at = 0 AND observed = 0 AND account = '' AND (until_at = 0 OR until_at > $3)
		ORDER BY from_at DESC LIMIT 1`, first, last, micros(now)).Scan(&id))
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return id, err
}

// Summary is the head of the dashboard.
type Summary struct {
	Events       int64 `json:"events"` // in the filter's range, as are the next three
	Warning      int64 `json:"warning"`
	High         int64 `json:"high"`
	Critical     int64 `json:"critical"`
	ActiveBlocks int64 `json:"active_blocks"`
	NewBlocks    int64 `json:"new_blocks"`        // in the filter's range
	Unreviewed   int64 `json:"unreviewed_blocks"` // automatic ones that are active and not reviewed
	Demands      int64 `json:"demands"`           // standing
	Sessions     int64 `json:"sessions"`          // live ones
	Addresses    int64 `json:"suspicious_addresses"`
}

// Summary counts what the dashboard shows first.
func (d *DB) Summary(ctx context.Context, f EventFilter, now time.Time) (Summary, Counted, error) {
	var s Summary
	f = aligned(f)
	c, err := d.counts(ctx, f, bySeverity, false, time.Now(), func(scan func(...any) error) error {
		var severity, n int64
		if err := scan(&severity, &n); err != nil {
			return err
		}
		s.Events += n
		switch warder.Severity(severity) {
		case warder.Warning:
			s.Warning += n
		case warder.High:
			s.High += n
		case warder.Critical:
			s.Critical += n
		}
		return nil
	})
	if err != nil {
		return s, c, fmt.Errorf("count events: %w", err)
	}
	to := now
	if !f.To.IsZero() {
		to = f.To
	}
	for _, q := range []struct {
		to    []any
		query string
		args  []any
	}{
		{[]any{&s.NewBlocks}, "SELECT coalesce(sum(n), 0) FROM block_rollups WHERE bucket >= $1 AND bucket < $2", []any{micros(f.From), micros(to)}},
		{[]any{&s.Demands}, "SELECT count(*) FROM demands WHERE ended = 0 AND (until_at = 0 OR until_at > $1)", []any{micros(now)}},
		{[]any{&s.Sessions}, "SELECT count(*) FROM sessions WHERE revoked_at = 0 AND last_used > $1", []any{micros(now.Add(-keepSession))}},
		{[]any{&s.Addresses}, "SELECT count(*) FROM addresses WHERE suspicious = 1 AND seen >= $1", []any{micros(f.From) / usPerBucket}},
		// Blocks without an end are counted as they come and go, the others
		// by a walk of their index.
		{
			[]any{&s.ActiveBlocks, &s.Unreviewed}, `SELECT c.live + t.n, c.unreviewed + t.unreviewed FROM block_counts AS c,
			(SELECT count(*) AS n, coalesce(sum(CASE WHEN reviewed_at = 0 AND origin = 'rule' THEN 1 ELSE 0 END), 0) AS unreviewed
				FROM blocks WHERE lifted_at = 0 AND ended_at = 0 AND observed = 0 AND until_at > $1) AS t`, []any{micros(now)},
		},
	} {
		if err := d.readDB.QueryRowContext(ctx, q.query, q.args...).Scan(q.to...); err != nil {
			return s, c, fmt.Errorf("count summary: %w", translate(err))
		}
	}
	return s, c, nil
}
