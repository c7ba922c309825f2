package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie about: so many bytes, whatever is in use. Go's own
// choice, as much as is in use, would collect many times a second while that is
// little, and every collection stops the program twice; a million Blocks would
// be there twice. Below leanest the collector would be busy with nothing else.
const (
	garbage   = 48 << 20
	leanest   = 25 // percent of what is in use
	loading   = 20 // while nobody is served yet
	laziest   = 250
	usual     = 100 // Go's own choice
	tuneEvery = time.Second
	// tuneBy is by how many percent the choice must be off before it is changed:
	// changing it stops the program as well.
	tuneBy = 10
)

// leanly runs f, which makes much garbage and serves nobody yet, with the
// collector set to keep memory low.
func leanly(f func() error) error {
	defer debug.SetGCPercent(debug.SetGCPercent(loading))
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
	live, now := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, usual
	tick := time.NewTicker(tuneEvery)
	defer tick.Stop()
	for {
		metrics.Read(live)
		if p := gcPercent(live[0].Value.Uint64()); p-now >= tuneBy || now-p >= tuneBy {
			debug.SetGCPercent(p)
			now = p
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func gcPercent(live uint64) int {
	return int(min(laziest, max(leanest, garbage*100/max(live, 1))))
}
