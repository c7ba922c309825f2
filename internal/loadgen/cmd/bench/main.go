// Command bench measures Warder against its budgets and prints one table. It
// builds the program that ships, runs it as processes of its own on this machine
// and loads it over loopback; nothing leaves the machine.
//
// Where a budget compares two things, they take turns in one run and the table
// shows the ratio of their medians: a machine that is slow today is slow for
// both. Each row also says how much of the processors other programs took
// meanwhile; where that is more than a tenth, the row is marked as noisy.
//
//	bench                  all rows, in ten minutes or so on two cores
//	bench -rows http,fsync single rows
//
// It is run from the root of the repository.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// figure is one line of the table.
type figure struct {
	what, got, budget string
	ok                bool
	skipped           string // why it could not be measured
}

// row is one budget and how it is measured.
type row struct {
	name string
	run  func(context.Context, *bench) ([]figure, error)
}

var rows = []row{
	{"check", checkRow},
	{"http", httpRow},
	{"forward", forwardRow},
	{"gate", gateRow},
	{"attempts", attemptsRow},
	{"ingest", ingestRow},
	{"fsync", fsyncRow},
	{"stall", stallRow},
	{"million", millionRow},
	{"flood", floodRow},
	{"dashboard", dashboardRow},
	{"page", pageRow},
	{"export", exportRow},
}

// bench is what all rows share.
type bench struct {
	dir    string // of everything that is written
	warder string // the program
	self   string // this program, which also plays the other parts
	log    io.Writer
}

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 2 && os.Args[1] == "part" {
		if err := play(ctx, os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
		return 0
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	chosen := flag.String("rows", strings.Join(names, ","), "which rows to measure")
	warder := flag.String("warder", "", "program to measure (default: build it)")
	flag.Parse()
	short, err := measure(ctx, strings.Split(*chosen, ","), *warder)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	if short > 0 {
		fmt.Printf("\n%d short of the budget.\n", short)
	}
	return 0
}

// measure prints the table and returns how many figures miss their budget.
func measure(ctx context.Context, chosen []string, program string) (short int, err error) {
	for _, name := range chosen {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return 0, fmt.Errorf("there is no row %q", name)
		}
	}
	b := &bench{warder: program, log: os.Stderr}
	if b.dir, err = os.MkdirTemp("", "warder-bench-*"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.self, err = os.Executable(); err != nil {
		return 0, err
	}
	if b.warder == "" {
		b.warder = filepath.Join(b.dir, "warder")
		if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.warder, "./cmd/warder").CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build warder: %w\n%s", err, out)
		}
	}
	start := time.Now()
	type line struct {
		figure
		others float64
	}
	var lines []line
	for _, r := range rows {
		if !slices.Contains(chosen, r.name) {
			continue
		}
		_, _ = fmt.Fprintf(b.log, "%s: ", r.name)
		began, watch := time.Now(), watchOthers()
		figures, err := r.run(ctx, b)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		others := watch()
		if err != nil {
			figures = append(figures, figure{what: r.name, got: "-", budget: "-", skipped: err.Error()})
		}
		_, _ = fmt.Fprintf(b.log, "%.0f s\n", time.Since(began).Seconds())
		for _, f := range figures {
			lines = append(lines, line{f, others})
		}
	}
	fmt.Printf("\n%s, %d cores shared by the server and its load, %s, %.0f s\n\n",
		runtime.Version(), runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly), time.Since(start).Seconds())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "what\tmeasured\tbudget\tresult\t")
	for _, l := range lines {
		result := "pass"
		switch {
		case l.skipped != "":
			result = "not measured: " + l.skipped
		case !l.ok:
			result = "SHORT"
			short++
		}
		if l.others > 0.1 {
			result += fmt.Sprintf(" (noisy: others took %.0f %%)", l.others*100)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\n", l.what, l.got, l.budget, result)
	}
	return short, w.Flush()
}

// parts are what this program plays in processes of its own, so that neither
// its memory nor its scheduler disturbs what is measured.
func play(ctx context.Context, part string, args []string) error {
	switch part {
	case "bare":
		return bareServer(ctx)
	case "application":
		return serveHandler(ctx, http.HandlerFunc(application))
	case "plain":
		return plainProxy(ctx, args)
	case "allow":
		return serveHandler(ctx, http.HandlerFunc(allow))
	case "probe":
		return probe(ctx, args)
	case "single":
		return single(ctx, args)
	case "ingest":
		return saturate(ctx, args)
	case "flood":
		return floodEngine(ctx)
	}
	return fmt.Errorf("there is no part %q", part)
}

func median[T float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
