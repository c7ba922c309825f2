package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie about: as much as is in use while that is little, as
// Go does it, but not twice a million Blocks. Below leanest the collector would
// be busy with nothing else.
const (
	garbage   = 48 << 20
	leanest   = 25  // percent of what is in use
	usual     = 100 // Go's own choice
	tuneEvery = 10 * time.Second
)

// leanly runs f, which makes much garbage and serves nobody yet, with the
// collector set to keep memory low.
func leanly(f func() error) error {
	defer debug.SetGCPercent(debug.SetGCPercent(leanest))
	return f()
}

// tuneGC keeps the garbage bounded until ctx ends. If somebody has set GOGC,
// they know better.
func tuneGC(ctx context.Context) error {
	before := debug.SetGCPercent(usual)
	defer debug.SetGCPercent(before)
	if before != usual {
		debug.SetGCPercent(before)
		<-ctx.Done()
		return nil
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(tuneEvery)
	defer tick.Stop()
	for {
		metrics.Read(live)
		debug.SetGCPercent(gcPercent(live[0].Value.Uint64()))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func gcPercent(live uint64) int {
	return int(min(usual, max(leanest, garbage*100/max(live, 1))))
}
