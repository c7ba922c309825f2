package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// maxHistory is how many addresses History returns at most, those with the most
// failures first.
const maxHistory = 500_000

// History implements guard.Journal: from now on Commit reports the history of
// the addresses it touches over a look-back in whole days (0 stops it), and
// that of all addresses that have any is returned.
func (d *DB) History(ctx context.Context, lookback time.Duration, now time.Time) (map[netip.Prefix]guard.History, error) {
	d.history.Store(max(0, lookback.Microseconds()))
	if lookback <= 0 {
		return nil, nil //nolint:nilnil // history is off
	}
	out := make(map[netip.Prefix]guard.History)
	from := micros(now.Add(-lookback))
	add := func(address []byte, f func(*guard.History)) {
		p := bytesKey(address)
		h := out[p]
		f(&h)
		out[p] = h
	}
	err := d.read(ctx, `SELECT a.address, CASE WHEN a.day >= $1 THEN a.day_failed ELSE 0 END
			- CASE WHEN a.cleared_day >= $1 THEN a.cleared_bad ELSE 0 END
			+ coalesce((SELECT sum(failed) FROM address_days d WHERE d.address = a.address AND d.day >= $1
				AND d.day >= a.cleared_day), 0) AS n
		FROM addresses a WHERE a.bad > 0 AND a.last_seen >= $1 * $3 ORDER BY n DESC LIMIT $2`,
		[]any{from / usPerDay, maxHistory, usPerDay}, func(scan func(...any) error) error {
			var address []byte
			var n int
			err := scan(&address, &n)
			if n > 0 {
				add(address, func(h *guard.History) { h.Failures = n })
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read failures: %w", err)
	}
	err = d.read(ctx, `SELECT ip_first, ip_last, count(*) FROM blocks WHERE from_at >= $1 AND ip_first IS NOT NULL
		AND origin = 'rule' AND observed = 0 AND lifted_at = 0 GROUP BY ip_first, ip_last`, []any{from},
		func(scan func(...any) error) error {
			var first, last []byte
			var n int
			err := scan(&first, &last, &n)
			if bytesPrefix(first, last) == bytesKey(first) {
				add(first, func(h *guard.History) { h.Blocks = n })
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read earlier blocks: %w", err)
	}
	err = d.read(ctx, "SELECT address FROM addresses WHERE suspicious = 1 AND fraudulent = 1", nil,
		func(scan func(...any) error) error {
			var address []byte
			err := scan(&address)
			add(address, func(h *guard.History) { h.Fraudulent = true })
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	return out, nil
}
