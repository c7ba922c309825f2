package loadgen

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run measured. Latencies are of all requests, good or bad,
// those that failed or were never sent included, to three digits.
type Result struct {
	Sent     int64 // requests that went out
	OK       int64 // answers with a good status
	Statuses map[int]int64
	Failures map[string]int64 // no answer: timeout, refused, closed, canceled, request, not_loopback, other
	Unsent   int64            // an open loop gave up before they could go out

	P50, P90, P99, P999, Max time.Duration

	Elapsed time.Duration
	Rate    float64 // answers per second of Elapsed, of any status
	// Lag is the latest that the generator itself was with a request for which
	// it had a connection. If it comes near the latencies, measure elsewhere.
	Lag time.Duration
}

// String is one line.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sent, %d ok, %.0f/s, p50 %v, p90 %v, p99 %v, p99.9 %v, max %v, lag %v",
		r.Sent, r.OK, r.Rate, r.P50, r.P90, r.P99, r.P999, r.Max, r.Lag.Round(time.Microsecond))
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		fmt.Fprintf(&b, ", %d×%d", status, r.Statuses[status])
	}
	for _, why := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(&b, ", %s×%d", why, r.Failures[why])
	}
	if r.Unsent > 0 {
		fmt.Fprintf(&b, ", unsent×%d", r.Unsent)
	}
	return b.String()
}

// longest is the largest latency that is told apart.
const longest = time.Hour

// tally is what was measured until now.
type tally struct {
	sent, ok, unsent int64
	statuses         map[int]int64
	failures         map[string]int64
	latencies        *hdrhistogram.Histogram // µs
	lag, elapsed     time.Duration
}

func newTally() tally {
	return tally{
		statuses: map[int]int64{}, failures: map[string]int64{},
		latencies: hdrhistogram.New(1, longest.Microseconds(), 3),
	}
}

func (t *tally) took(d time.Duration) {
	// It cannot fail: the value is within the range.
	_ = t.latencies.RecordValue(min(max(d.Microseconds(), 1), longest.Microseconds()))
}

func (r *run) result() Result {
	t := &r.tally
	at := func(q float64) time.Duration {
		return time.Duration(t.latencies.ValueAtQuantile(q)) * time.Microsecond
	}
	var answers int64
	for _, n := range t.statuses {
		answers += n
	}
	result := Result{
		Sent: t.sent, OK: t.ok, Statuses: t.statuses, Failures: t.failures, Unsent: t.unsent,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max:     time.Duration(t.latencies.Max()) * time.Microsecond,
		Elapsed: t.elapsed, Lag: t.lag,
	}
	if t.elapsed > 0 {
		result.Rate = float64(answers) / t.elapsed.Seconds()
	}
	return result
}
