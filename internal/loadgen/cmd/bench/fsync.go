package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/warderhq/warder/internal/loadgen"
)

// A slow disk: each synchronisation takes so much longer.
const slowBy = 5 * time.Millisecond

// fsyncRow slows and counts the synchronisations of a server with strace while
// 64 clients report single events.
func fsyncRow(ctx context.Context, b *bench) (_ []figure, err error) {
	const what = "64 clients, single durable events, fsync slowed by 5 ms"
	if _, err := exec.LookPath("strace"); err != nil {
		return []figure{{what: what, got: "-", budget: "<= 1 fsync per 20 events, p99 <= 25 ms", skipped: "strace is missing, install it"}}, nil
	}
	dir, key, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	trace := filepath.Join(b.dir, "trace")
	server, err := b.serve(ctx, dir, "strace", "-f", "--seccomp-bpf", "-ttt", "-e", "signal=none", "-e", "trace=fsync,fdatasync",
		"-e", fmt.Sprintf("inject=fsync,fdatasync:delay_exit=%d", slowBy.Microseconds()), "-o", trace)
	if err != nil {
		return nil, err
	}
	var res timed
	if err = errors.Join(b.outside(ctx, &res, "single", server.url, key), server.stop()); err != nil {
		return nil, err
	}
	syncs, err := countLines(trace, res.Began, res.Ended)
	if err != nil {
		return nil, err
	}
	per := float64(res.OK) / float64(max(syncs, 1))
	return []figure{
		{
			what: what, got: fmt.Sprintf("1 fsync per %.0f events (%d for %d)", per, syncs, res.OK),
			budget: "<= 1 per 20", ok: per >= 20 && syncs > 0,
		},
		{what: "  latency", got: fmt.Sprintf("p99 %s at %.0f/s", ms(res.P99), res.Rate), budget: "p99 <= 25 ms", ok: res.P99 <= 25*time.Millisecond},
	}, nil
}

// timed is a result with its place in time.
type timed struct {
	loadgen.Result
	Began, Ended time.Time
}

// single reports single events with 64 clients: URL KEY.
func single(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: single URL KEY")
	}
	r := rand.New(rand.NewPCG(5, 6))
	bodies := make([][]byte, 1<<14)
	for i := range bodies {
		var w strings.Builder
		event(&w, r, people)
		bodies[i] = []byte(w.String())
	}
	o := loadgen.Options{Target: args[0], Next: posts("/v1/events", args[1], bodies), Duration: 2 * time.Second}
	if _, err := good(loadgen.Closed(ctx, 64, o)); err != nil { // warms up
		return err
	}
	o.Duration = 10 * time.Second
	t := timed{Began: time.Now()}
	var err error
	if t.Result, err = good(loadgen.Closed(ctx, 64, o)); err != nil {
		return err
	}
	t.Ended = time.Now()
	return json.NewEncoder(os.Stdout).Encode(t)
}

// countLines counts the calls that a trace has between two instants.
func countLines(path string, from, to time.Time) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.Fields(lines.Text())
		if len(line) < 3 || !strings.HasPrefix(line[2], "fsync(") && !strings.HasPrefix(line[2], "fdatasync(") {
			continue
		}
		at, err := strconv.ParseFloat(line[1], 64)
		if err != nil {
			return 0, err
		}
		if t := time.UnixMicro(int64(at * 1e6)); t.After(from) && t.Before(to) {
			n++
		}
	}
	return n, nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }

// probed is what a probe found.
type probed struct {
	P50, P99, Max, Lag time.Duration
	Sent, OK           int64
}

const probeRate = 500 // checks per second

// probe asks for checks at a fixed rate: URL KEY DURATION.
func probe(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: probe URL KEY DURATION")
	}
	d, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	r, err := loadgen.Open(ctx, probeRate, loadgen.Options{
		Target: args[0], Next: posts("/v1/check", args[1], [][]byte{[]byte(checkBody)}), Duration: d, Connections: 32,
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(probed{P50: r.P50, P99: r.P99, Max: r.Max, Lag: r.Lag, Sent: r.Sent + r.Unsent, OK: r.OK})
}

// saturate sends batches of events as fast as they are taken: URL KEY DURATION.
func saturate(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: ingest URL KEY DURATION")
	}
	d, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(7, 8))
	bodies := make([][]byte, 500)
	for i := range bodies {
		bodies[i] = eventBatch(r, 100)
	}
	res, err := loadgen.Closed(ctx, 8, loadgen.Options{Target: args[0], Next: posts("/v1/events", args[1], bodies), Duration: d})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(saturated{Sent: res.Sent, OK: res.OK, Rate: res.Rate * 100})
}

type saturated struct {
	Sent, OK int64
	Rate     float64 // events per second
}
