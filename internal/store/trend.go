package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/warderhq/warder"
)

// MaxTrendDays bounds a trend.
const MaxTrendDays = 400

// TrendQuery says how a trend is cut: the last Days days up to Now, by "day" or
// "hour" of Zone. The current day is the last one.
type TrendQuery struct {
	Now    time.Time
	Days   int
	Bucket string
	Zone   *time.Location // nil: UTC
}

// Bucket is one bar of a trend.
type Bucket struct {
	Time     time.Time `json:"time"` // its start
	Info     int64     `json:"info"`
	Warning  int64     `json:"warning"`
	High     int64     `json:"high"`
	Critical int64     `json:"critical"`
}

// Count is a name and how often it occurred.
type Count struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// starts are the beginnings of the buckets, and the end of the last.
func (q TrendQuery) starts() []time.Time {
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	now := q.Now.In(zone)
	y, m, day := now.Date()
	days := min(max(q.Days, 1), MaxTrendDays)
	at := time.Date(y, m, day-days+1, 0, 0, 0, 0, zone)
	end := time.Date(y, m, day+1, 0, 0, 0, 0, zone)
	var out []time.Time
	for i := 1; at.Before(end); i++ {
		out = append(out, at)
		if q.Bucket == "hour" {
			at = at.Add(time.Hour)
		} else {
			at = time.Date(y, m, day-days+1+i, 0, 0, 0, 0, zone)
		}
	}
	return append(out, end)
}

// Trend counts events by severity. Every bucket is given, also empty ones. The
// filter's own times are not used.
func (d *DB) Trend(ctx context.Context, f EventFilter, q TrendQuery) ([]Bucket, error) {
	starts := q.starts()
	out := make([]Bucket, len(starts)-1)
	for i := range out {
		out[i].Time = starts[i]
	}
	// Buckets of one length are counted in one query. Only where a clock
	// changes is a day longer or shorter.
	for first := 0; first < len(out); {
		begin, length := micros(starts[first]), micros(starts[first+1])-micros(starts[first])
		end := first + 1
		for end < len(out) && micros(starts[end+1])-micros(starts[end]) == length {
			end++
		}
		f.From, f.To = starts[first], starts[end]
		slots := grouping{"(bucket - ?) / ?, severity", "(time - ?) / ?, severity", "1, 2", []any{begin, length}}
		err := d.counts(ctx, f, slots, func(scan func(...any) error) error {
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
			return nil, fmt.Errorf("count trend: %w", err)
		}
		first = end
	}
	return out, nil
}

// Types counts events by name, most frequent first.
func (d *DB) Types(ctx context.Context, f EventFilter) ([]Count, error) {
	out := []Count{}
	err := d.counts(ctx, f, byName, func(scan func(...any) error) error {
		var c Count
		err := scan(&c.Name, &c.Count)
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count types: %w", err)
	}
	slices.SortFunc(out, func(a, b Count) int {
		if a.Count != b.Count {
			return int(b.Count - a.Count)
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, nil
}

// countLimit is how many events are looked at to count what no rollup knows,
// such as the events of one address. More than that are not counted.
const countLimit = 100_000

// counts groups events, by the rollups where the filter allows it. Statistics
// begin where they were restarted.
func (d *DB) counts(ctx context.Context, f EventFilter, group grouping, each func(scan func(...any) error) error) error {
	shown, err := d.shown(ctx)
	if err != nil {
		return err
	}
	if f.From.Before(shown) {
		f.From = shown
	}
	if f.IP.IsValid() || f.Account != "" || f.Rule != "" || f.Q != "" {
		return d.countEvents(ctx, f, group, countLimit, each)
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
	query, args := w.query("SELECT "+group.rollup+", sum(n) FROM rollups", "GROUP BY "+group.by)
	return d.read(ctx, query, slices.Concat(group.args, args), each)
}

// grouping is a way to group: what to select of rollups and of events, which of
// the columns to group by, and the arguments of what is selected.
type grouping struct {
	rollup, event, by string
	args              []any
}

var (
	byName     = grouping{"name", "name", "1", nil}
	bySeverity = grouping{"severity", "severity", "1", nil}
	byAddress  = grouping{"", "address", "1", nil}
)

// countEvents groups the latest events of a filter, at most limit of them.
func (d *DB) countEvents(ctx context.Context, f EventFilter, group grouping, limit int,
	each func(scan func(...any) error) error,
) error {
	p, err := d.plan(ctx, f)
	if err != nil || p.none {
		return err
	}
	// Filters other than by name and severity make one branch.
	for i := range p.branches {
		w := p.branches[i].join(&p.common)
		p.between(w, nil, 0, 0)
		query, args := w.query("SELECT "+group.event+", count(*) FROM (SELECT time, name, severity, address FROM events",
			"ORDER BY time DESC, seq DESC LIMIT ?) AS some GROUP BY "+group.by, limit)
		if err := d.read(ctx, query, slices.Concat(group.args, args), each); err != nil {
			return err
		}
	}
	return nil
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

// typeLimit is how many of an attacker's latest events are counted by name.
const typeLimit = 10_000

// Attackers returns the addresses with the most events of severity warning and
// above, most first, at most 100. Days are counted whole. Candidates are the
// worst addresses of each day, so an address can be missed only if it is on no
// day among the worst 100. Types are those of its latest 10,000 events.
func (d *DB) Attackers(ctx context.Context, f EventFilter, now time.Time, limit int) ([]Attacker, error) {
	limit = min(max(limit, 1), 100)
	shown, err := d.shown(ctx)
	if err != nil {
		return nil, fmt.Errorf("list attackers: %w", err)
	}
	if f.From.Before(shown) {
		f.From = shown
	}
	if f.To.IsZero() || f.To.After(now) {
		f.To = now
	}
	first, last := micros(f.From)/usPerDay, (micros(f.To)-1)/usPerDay
	first = max(first, last-MaxTrendDays)
	totals, err := d.candidates(ctx, f, first, last)
	if err != nil {
		return nil, fmt.Errorf("list attackers: %w", err)
	}
	out := make([]Attacker, 0, limit)
	for _, c := range totals[:min(limit, len(totals))] {
		a := Attacker{IP: bytesKey(c.address[:]), Count: c.n, LastSeen: instant(c.last), Types: map[string]int64{}}
		only := f
		only.IP = a.IP
		if err := d.countEvents(ctx, only, byName, typeLimit, func(scan func(...any) error) error {
			var name string
			var n int64
			err := scan(&name, &n)
			if !warder.OwnEvent(name) {
				a.Types[name] += n
			}
			return err
		}); err != nil {
			return nil, fmt.Errorf("list attackers: %w", err)
		}
		if a.BlockID, err = d.liveBlock(ctx, a.IP, now); err != nil {
			return nil, fmt.Errorf("list attackers: %w", err)
		}
		out = append(out, a)
	}
	return out, nil
}

type candidate struct {
	address address
	n, last int64
}

// candidates are the worst addresses between two days, worst first.
func (d *DB) candidates(ctx context.Context, f EventFilter, first, last int64) ([]candidate, error) {
	if f.Account != "" || f.Realm != "" || f.Rule != "" || f.Q != "" || len(f.Names) > 0 || len(f.Severities) > 0 {
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
				return nil, err
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
			return nil, translate(err)
		}
	}
	slices.SortFunc(list, worst)
	return list, nil
}

// counted finds candidates by counting the latest events of a filter that the
// days do not know.
func (d *DB) counted(ctx context.Context, f EventFilter) ([]candidate, error) {
	if len(f.Severities) == 0 {
		f.Severities = []warder.Severity{warder.Warning, warder.High, warder.Critical}
	}
	seen := make(map[address]int64)
	err := d.countEvents(ctx, f, byAddress, countLimit, func(scan func(...any) error) error {
		var a []byte
		var n int64
		err := scan(&a, &n)
		if len(a) == 16 {
			seen[address(a)] += n
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]candidate, 0, len(seen))
	for a, n := range seen {
		c := candidate{address: a, n: n}
		if err := d.readDB.QueryRowContext(ctx, "SELECT coalesce(max(last_seen), 0) FROM addresses WHERE address = $1",
			a[:]).Scan(&c.last); err != nil {
			return nil, translate(err)
		}
		list = append(list, c)
	}
	slices.SortFunc(list, worst)
	return list, nil
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
	Unreviewed   int64 `json:"unreviewed_blocks"` // active and not reviewed
	Demands      int64 `json:"demands"`           // standing
	Sessions     int64 `json:"sessions"`          // live ones
	Addresses    int64 `json:"suspicious_addresses"`
}

// Summary counts what the dashboard shows first.
func (d *DB) Summary(ctx context.Context, f EventFilter, now time.Time) (Summary, error) {
	var s Summary
	err := d.counts(ctx, f, bySeverity, func(scan func(...any) error) error {
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
		return s, fmt.Errorf("count events: %w", err)
	}
	to := now
	if !f.To.IsZero() {
		to = f.To
	}
	for _, q := range []struct {
		to    *int64
		query string
		args  []any
	}{
		{&s.NewBlocks, `SELECT (SELECT count(*) FROM blocks WHERE from_at >= $1 AND from_at < $2)
			- (SELECT count(*) FROM blocks WHERE from_at >= $1 AND from_at < $2 AND observed = 1)`, []any{micros(f.From), micros(to)}},
		{&s.Demands, "SELECT count(*) FROM demands WHERE ended = 0 AND (until_at = 0 OR until_at > $1)", []any{micros(now)}},
		{&s.Sessions, "SELECT count(*) FROM sessions WHERE revoked_at = 0 AND last_used > $1", []any{micros(now.Add(-keepSession))}},
		{&s.Addresses, "SELECT count(*) FROM addresses WHERE suspicious = 1 AND seen >= $1", []any{micros(f.From) / usPerBucket}},
	} {
		if err := d.readDB.QueryRowContext(ctx, q.query, q.args...).Scan(q.to); err != nil {
			return s, fmt.Errorf("count summary: %w", translate(err))
		}
	}
	// One walk of the index of live Blocks.
	if err := d.readDB.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(CASE WHEN reviewed_at = 0 THEN 1 ELSE 0 END), 0)
		FROM blocks WHERE lifted_at = 0 AND ended_at = 0 AND observed = 0 AND (until_at = 0 OR until_at > $1)`,
		micros(now)).Scan(&s.ActiveBlocks, &s.Unreviewed); err != nil {
		return s, fmt.Errorf("count summary: %w", translate(err))
	}
	return s, nil
}
