package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/loadgen"
	"github.com/warderhq/warder/internal/policy"
)

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// millionRow starts a server whose database has a million Blocks.
func millionRow(ctx context.Context, b *bench) (_ []figure, err error) {
	dir, key, err := b.data(ctx)
	if err != nil {
		return nil, err
	}
	const n = 1_000_000
	if out, err := exec.CommandContext(ctx, b.warder, "block", "--data", dir, "203.0.113.77", "--reason", "bench").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("block an address: %w\n%s", err, out)
	}
	if err := seedBlocks(ctx, filepath.Join(dir, "warder.db"), n); err != nil {
		return nil, err
	}
	var took []time.Duration
	var most int64
	for range 3 {
		begin := time.Now()
		server, err := b.serve(ctx, dir)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
		var d struct{ Action string }
		err = newCaller(server.url, key, 1).post(ctx, "/v1/check", fmt.Appendf(nil, `{"ip":"%s"}`, blocked(n-1)), &d)
		if err == nil && d.Action != "block" {
			err = fmt.Errorf("the last block is not in force: %q", d.Action)
		}
		rss, err2 := memory(server.pid, "VmHWM")
		most = max(most, rss)
		if err := errors.Join(err, err2, server.stop()); err != nil {
			return nil, err
		}
	}
	return []figure{
		{what: "1 M blocks: start until /readyz", got: fmt.Sprintf("%.1f s", median(took).Seconds()), budget: "<= 4 s", ok: median(took) <= 4*time.Second},
		{what: "1 M blocks: most memory resident", got: mib(most), budget: "<= 250 MiB", ok: most <= 250<<20},
	}, nil
}

// blocked is the address of a seeded Block.
func blocked(i int) netip.Addr {
	a := 11<<24 + i*509
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

const (
	floodKeys     = 10_000_000
	floodOverHTTP = 1_000_000
	floodGroup    = 1000
)

// flooder is one of very many addresses of an attacker.
func flooder(i int) netip.Addr {
	a := 16<<24 + i*7
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// victim has failed four times of five before the flood.
const victim = "198.51.100.9"

type flooded struct {
	RSS     int64
	Tripped bool
	Took    time.Duration
	Keys    int
}

// floodRow floods the engine in a process of its own, then a server over HTTP.
func floodRow(ctx context.Context, b *bench) ([]figure, error) {
	const budget = "<= 512 MiB, a key at 4 of 5 still trips"
	var in flooded
	if err := b.part(ctx, &in, "flood"); err != nil {
		return nil, err
	}
	tell := func(what string, f flooded, n int) figure {
		trips := "trips"
		if !f.Tripped {
			trips = "FORGOTTEN"
		}
		return figure{
			what: what, got: fmt.Sprintf("%s, %s (%.0f keys/s)", mib(f.RSS), trips, float64(n)/f.Took.Seconds()), budget: budget,
			ok: f.Tripped && f.RSS <= 512<<20,
		}
	}
	figures := []figure{tell("flood of 10 M new keys, in process", in, floodKeys)}
	out, err := floodServer(ctx, b)
	if err != nil {
		return figures, err
	}
	return append(figures, tell("flood of 1 M new keys over HTTP", out, floodOverHTTP)), nil
}

func floodServer(ctx context.Context, b *bench) (out flooded, err error) {
	dir, key, err := b.data(ctx)
	if err != nil {
		return out, err
	}
	server, err := b.serve(ctx, dir)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	c := newCaller(server.url, key, 1)
	fail := func(i int) (action string, err error) {
		var a struct{ Decision struct{ Action string } }
		err = c.post(ctx, "/v1/events", fmt.Appendf(nil, `{"name":"USER_LOGIN_FAILURE","ip":"%s","account":"victim%d","reason":"wrong_password"}`, victim, i), &a)
		return a.Decision.Action, err
	}
	for i := range 4 {
		if action, err := fail(i); err != nil || action != "allow" {
			return out, fmt.Errorf("failure %d: %s: %w", i, action, err)
		}
	}
	h := headers(key)
	begin := time.Now()
	_, err = good(loadgen.Closed(ctx, 4, loadgen.Options{
		Target: server.url, Count: floodOverHTTP / floodGroup, Duration: 5 * time.Minute,
		Next: func(n int64) loadgen.Request {
			var w bytes.Buffer
			w.WriteString(`{"events":[`)
			for i := range floodGroup {
				if i > 0 {
					w.WriteByte(',')
				}
				_, _ = fmt.Fprintf(&w, `{"name":"USER_LOGIN_FAILURE","ip":"%s","account":"guess%d","reason":"wrong_password"}`,
					flooder(int(n)*floodGroup+i), int(n)*floodGroup+i)
			}
			w.WriteString(`]}`)
			return loadgen.Request{Path: "/v1/events", Header: h, Body: w.Bytes()}
		},
	}))
	if err != nil {
		return out, err
	}
	out.Took = time.Since(begin)
	action, err := fail(4)
	if err != nil {
		return out, err
	}
	out.Tripped = action == "block"
	out.RSS, err = memory(server.pid, "VmHWM")
	return out, err
}

// noJournal forgets everything at once: what is measured is the engine.
type noJournal struct{}

func (noJournal) Commit(context.Context, []*guard.Record) (guard.Committed, error) {
	return guard.Committed{}, nil
}

func (noJournal) Sync() error { return nil }

func (noJournal) Answers(context.Context, string, []string, time.Time) (map[string]guard.Answer, error) {
	return nil, nil
}

func (noJournal) Load(context.Context, time.Time) (*guard.State, error) { return &guard.State{}, nil }

func (noJournal) History(context.Context, time.Duration, time.Time) (map[netip.Prefix]guard.History, error) {
	return nil, nil
}
func (noJournal) Blocks(context.Context, time.Time, func(*guard.Block) error) error { return nil }
func (noJournal) Tail(context.Context, int64, func(guard.TailItem) error) error     { return nil }

// floodEngine sends an engine with the memory that Warder gives it failures
// from ten million addresses.
func floodEngine(ctx context.Context) error {
	preset, err := policy.Preset("classic")
	if err != nil {
		return err
	}
	counters := counter.New(counter.Options{Bytes: 128 << 20, Secret: make([]byte, 32)})
	g, err := guard.New(guard.Options{
		Journal: noJournal{}, Counters: counters, Secret: make([]byte, 32), Preset: preset,
		KnownBytes: 64 << 20, SessionBytes: 64 << 20,
	})
	if err != nil {
		return err
	}
	if err := g.Load(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- g.Run(running) }()
	app := &guard.App{ID: "bench"}
	report := func(events ...guard.Incoming) (last warder.Decision, err error) {
		for _, r := range g.Report(ctx, app, events) {
			if r.Err != nil {
				return last, r.Err
			}
			last = r.Decision
		}
		return last, nil
	}
	failure := func(ip netip.Addr, account string) guard.Incoming {
		return guard.Incoming{Event: warder.Event{Name: "USER_LOGIN_FAILURE", IP: ip, Account: account, Realm: "user", Reason: warder.WrongPassword}}
	}
	at := netip.MustParseAddr(victim)
	for i := range 4 {
		if _, err := report(failure(at, fmt.Sprintf("victim%d", i))); err != nil {
			return err
		}
	}
	begin := time.Now()
	group := make([]guard.Incoming, floodGroup)
	for i := 0; i < floodKeys; i += floodGroup {
		for k := range group {
			group[k] = failure(flooder(i+k), fmt.Sprintf("guess%d", i+k))
		}
		if _, err := report(group...); err != nil {
			return err
		}
	}
	out := flooded{Took: time.Since(begin), Keys: counters.Stats().Keys}
	d, err := report(failure(at, "victim5"))
	if err != nil {
		return err
	}
	out.Tripped = d.Action == warder.BlockAction
	out.RSS, err = memory(os.Getpid(), "VmHWM")
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
