package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// dashboardEvents is how many events the dashboard is measured with unless
// WARDER_BENCH_EVENTS says otherwise. The budget is about ten million of them,
// which take longer to write than all other rows to measure:
//
//	WARDER_BENCH_EVENTS=10000000 WARDER_BENCH_DIR=/somewhere make bench
//
// keeps the database for the next time.
const dashboardEvents = 1_000_000

// Budgets of the dashboard, in milliseconds: what it shows first, and filters
// that somebody sets.
const (
	shownFirst  = 100
	otherFilter = 500
)

// first are the lists and charts that the dashboard shows before anybody
// filters.
var first = []string{"events", "events-30d", "trend-30d", "types-30d", "attackers-30d", "blocks", "summary", "addresses", "accounts", "address"}

var benchLine = regexp.MustCompile(`^BenchmarkDashboard/([a-z0-9-]+?)(-\d+)?\s.*?([0-9.]+) p95-ms`)

// benchmark runs the benchmark of package store, where the database can be
// filled without a server, and returns what it prints, where the database is and
// how many events it has.
func (b *bench) benchmark(ctx context.Context, which string) (out []byte, path, events string, err error) {
	if events = os.Getenv("WARDER_BENCH_EVENTS"); events == "" {
		events = strconv.Itoa(dashboardEvents)
	}
	dir := os.Getenv("WARDER_BENCH_DIR")
	if dir == "" {
		dir = b.dir
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, "", "", err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "./internal/store", "-run", "xxx", "-bench", which, "-benchtime", "40x", "-timeout", "3h")
	cmd.Env = append(os.Environ(), "WARDER_BENCH_EVENTS="+events, "WARDER_BENCH_DIR="+dir)
	if out, err = cmd.CombinedOutput(); err != nil {
		return nil, "", "", fmt.Errorf("measure the dashboard: %w\n%s", err, out)
	}
	return out, filepath.Join(dir, "bench-"+events+".db"), events, nil
}

// filled returns the database of the dashboard's row.
func (b *bench) filled(ctx context.Context) (path string, err error) {
	_, path, _, err = b.benchmark(ctx, "Dashboard/none-of-them")
	return path, err
}

func dashboardRow(ctx context.Context, b *bench) ([]figure, error) {
	out, _, events, err := b.benchmark(ctx, "Dashboard")
	if err != nil {
		return nil, err
	}
	var figures []figure
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		m := benchLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		ms, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, err
		}
		budget := float64(otherFilter)
		if slices.Contains(first, m[1]) {
			budget = shownFirst
		}
		figures = append(figures, figure{
			what: fmt.Sprintf("dashboard, %s events, a tenth as many blocks: %s", events, m[1]), got: fmt.Sprintf("%.1f ms p95", ms),
			budget: fmt.Sprintf("<= %.0f ms", budget), ok: ms <= budget,
		})
	}
	return figures, lines.Err()
}
