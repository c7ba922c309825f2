package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// History implements guard.Journal: it turns the keeping of history on (or off,
// with 0) and returns what there is. TODO(store): replaces KeepHistory.
func (d *DB) History(ctx context.Context, lookback time.Duration, now time.Time) (map[netip.Prefix]guard.History, error) {
	d.KeepHistory(lookback)
	return nil, errTodo
}
