package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/warderhq/warder/internal/loadgen"
)

// Comparisons take turns so many times.
const (
	rounds    = 5
	roundTime = 1500 * time.Millisecond
	clients   = 32
)

// checkRow runs the benchmark of the engine that its package brings.
func checkRow(ctx context.Context, b *bench) ([]figure, error) {
	test := filepath.Join(b.dir, "guard.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, "./internal/guard").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	out, err := exec.CommandContext(ctx, test, "-test.run", "^$", "-test.bench", "^BenchmarkCheck$", "-test.benchtime", "1s", "-test.count", "5").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	var times []float64
	allocs := 0.0
	for _, m := range regexp.MustCompile(`BenchmarkCheck\S*\s+\d+\s+([\d.]+) ns/op.*?(\d+) allocs/op`).FindAllSubmatch(out, -1) {
		ns, err1 := strconv.ParseFloat(string(m[1]), 64)
		n, err2 := strconv.ParseFloat(string(m[2]), 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		times, allocs = append(times, ns), max(allocs, n)
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("no result in %q", out)
	}
	ns := median(times)
	return []figure{{
		what: "check in process: allow path, 1 M blocks, 120 k listed, trusted, demands",
		got:  fmt.Sprintf("%.0f ns, %.0f allocations", ns, allocs), budget: "<= 200 ns, 0 allocations", ok: ns <= 200 && allocs == 0,
	}}, nil
}

// Of a check: what is asked, and what the bare handler answers, byte for byte
// what Warder does.
const (
	checkBody   = `{"ip":"203.0.113.7","account":"alice","realm":"user","user_agent":"` + agent + `"}`
	checkAnswer = `{"action":"allow","reason":"ok","expires_at":null,"retry_after":null,"challenge_url":null,"observe":false,"would":null}` + "\n"
)

// bareServer reads a body and answers 200, and does nothing else.
func bareServer(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	length, kind := []string{strconv.Itoa(len(checkAnswer))}, []string{"application/json"}
	srv := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header()["Content-Type"], w.Header()["Content-Length"] = kind, length
			_, _ = io.WriteString(w, checkAnswer)
		}),
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	fmt.Println("http://" + l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// httpRow compares a check over HTTP with a handler that does nothing.
func httpRow(ctx context.Context, b *bench) (_ []figure, err error) {
	dir, key, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	server, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	cmd := exec.CommandContext(ctx, b.self, "part", "bare")
	bare, err := start(cmd, cmd.StdoutPipe, func(line []byte) string { return string(line) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()

	c := newCaller(server.url, key, 1)
	var answer json.RawMessage
	if err := c.post(ctx, "/v1/check", []byte(checkBody), &answer); err != nil {
		return nil, err
	}
	if string(answer)+"\n" != checkAnswer {
		return nil, fmt.Errorf("a check is answered %s, the bare handler answers something else", answer)
	}
	var rate, work [2][]float64
	for i := range rounds + 1 {
		for side, p := range []*process{server, bare} {
			before, err := cpu(p.pid)
			if err != nil {
				return nil, err
			}
			r, err := good(loadgen.Closed(ctx, clients, loadgen.Options{
				Target: p.url, Next: posts("/v1/check", key, [][]byte{[]byte(checkBody)}), Duration: roundTime,
			}))
			if err != nil {
				return nil, err
			}
			after, err := cpu(p.pid)
			if err != nil {
				return nil, err
			}
			if i > 0 { // the first round warms up
				rate[side] = append(rate[side], r.Rate)
				work[side] = append(work[side], float64((after-before).Microseconds())/float64(r.OK))
			}
		}
	}
	ours, theirs := median(rate[0]), median(rate[1])
	ratio := ours / theirs
	return []figure{{
		what:   "check over HTTP against a bare net/http handler",
		got:    fmt.Sprintf("%.0f %% (%.0f against %.0f/s; server CPU %.0f against %.0f us)", ratio*100, ours, theirs, median(work[0]), median(work[1])),
		budget: ">= 70 %", ok: ratio >= 0.7,
	}}, nil
}

// attemptsRow compares attempts with their settlements with single events.
func attemptsRow(ctx context.Context, b *bench) (_ []figure, err error) {
	dir, key, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	server, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	c := newCaller(server.url, key, clients)
	single := func(ctx context.Context, r *rand.Rand) error {
		var w bytes.Buffer
		event(&w, r, people)
		return c.post(ctx, "/v1/events", w.Bytes(), nil)
	}
	pair := func(ctx context.Context, r *rand.Rand) error {
		n := r.IntN(people)
		var w bytes.Buffer
		_, _ = fmt.Fprintf(&w, `{"ip":"%s","account":"person%d","realm":"user","event":"USER_LOGIN","method":"POST","path":"/login","user_agent":%q}`,
			person(n), n, agent)
		var begun struct{ Attempt string }
		if err := c.post(ctx, "/v1/attempts", w.Bytes(), &begun); err != nil {
			return err
		}
		if begun.Attempt == "" { // blocked, five wrong passwords in a row
			return nil
		}
		outcome := `{"outcome":"success"}`
		if r.IntN(5) == 0 {
			outcome = `{"outcome":"failure","reason":"wrong_password"}`
		}
		return c.post(ctx, "/v1/attempts/"+begun.Attempt, []byte(outcome), nil)
	}
	var rate [2][]float64
	for i := range rounds + 1 {
		for side, f := range []func(context.Context, *rand.Rand) error{pair, single} {
			n, err := perSecond(ctx, clients, roundTime, f)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				rate[side] = append(rate[side], n)
			}
		}
	}
	ours, theirs := median(rate[0]), median(rate[1])
	ratio := ours / theirs
	return []figure{{
		what: "attempt + settlement against single durable events", got: fmt.Sprintf("%.0f %% (%.0f pairs against %.0f events/s)", ratio*100, ours, theirs),
		budget: ">= 50 %", ok: ratio >= 0.5,
	}}, nil
}

// ingestRow compares batches of events over HTTP with inserts of the very rows
// that they became into a copy of the database.
func ingestRow(ctx context.Context, b *bench) (_ []figure, err error) {
	dir, key, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	copied := filepath.Join(b.dir, "bare.db")
	text, err := os.ReadFile(filepath.Join(dir, "warder.db"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		return nil, err
	}
	server, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	bare, err := openBare(ctx, copied)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	const batches = 300 // a round
	var rate, work [2][]float64
	r := rand.New(rand.NewPCG(1, 2))
	for i := range rounds + 1 {
		bodies := make([][]byte, batches)
		for k := range bodies {
			bodies[k] = eventBatch(r, 100)
		}
		before, err := cpu(server.pid)
		if err != nil {
			return nil, err
		}
		res, err := good(loadgen.Closed(ctx, 8, loadgen.Options{
			Target: server.url, Next: posts("/v1/events", key, bodies), Count: batches, Duration: time.Minute,
		}))
		if err != nil {
			return nil, err
		}
		after, err := cpu(server.pid)
		if err != nil {
			return nil, err
		}
		n, took, err := bare.repeat(ctx, filepath.Join(dir, "warder.db"), 100)
		if err != nil {
			return nil, err
		}
		if n < batches*100 {
			return nil, fmt.Errorf("%d events were acknowledged, %d are stored", batches*100, n)
		}
		if i > 0 {
			rate[0] = append(rate[0], batches*100/res.Elapsed.Seconds())
			rate[1] = append(rate[1], float64(n)/took.Seconds())
			work[0] = append(work[0], float64((after-before).Microseconds())/(batches*100))
		}
	}
	ours, theirs := median(rate[0]), median(rate[1])
	ratio := ours / theirs
	return []figure{{
		what: "durable ingest, batches of 100, against raw inserts of the same rows",
		got:  fmt.Sprintf("%.0f %% (%.0f against %.0f events/s; server CPU %.0f us each)", ratio*100, ours, theirs, median(work[0])), budget: ">= 50 %", ok: ratio >= 0.5,
	}}, nil
}
