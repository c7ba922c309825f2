package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder/internal/loadgen"
)

func numCPU() float64 { return float64(runtime.NumCPU()) }

const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// event is one event as JSON: four of five are sign-ins of people, the rest are
// wrong passwords, by as many people as asked for, each from an address of
// their own.
func event(w io.Writer, r *rand.Rand, people int) {
	n := r.IntN(people)
	name, reason := "USER_LOGIN_SUCCESS", ""
	if r.IntN(5) == 0 {
		name, reason = "USER_LOGIN_FAILURE", `,"reason":"wrong_password"`
	}
	_, _ = fmt.Fprintf(w, `{"name":%q,"ip":"%s","account":"person%d","realm":"user","method":"POST","path":"/login","user_agent":%q%s}`,
		name, person(n), n, agent, reason)
}

func person(n int) string { return fmt.Sprintf("11.%d.%d.%d", n>>16&255, n>>8&255, n&255) }

const people = 100_000

// eventBatch is a batch of n events as JSON.
func eventBatch(r *rand.Rand, n int) []byte {
	var w bytes.Buffer
	w.WriteString(`{"events":[`)
	for i := range n {
		if i > 0 {
			w.WriteByte(',')
		}
		event(&w, r, people)
	}
	w.WriteString(`]}`)
	return w.Bytes()
}

func headers(key string) http.Header {
	return http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {"application/json"}}
}

// posts makes the requests of a run from bodies that are made beforehand.
func posts(path, key string, bodies [][]byte) func(int64) loadgen.Request {
	h := headers(key)
	return func(n int64) loadgen.Request {
		return loadgen.Request{Path: path, Header: h, Body: bodies[int(n)%len(bodies)]}
	}
}

// good fails a run in which something did not go well.
func good(r loadgen.Result, err error) (loadgen.Result, error) {
	if err == nil && r.OK != r.Sent+r.Unsent {
		err = fmt.Errorf("not all answers are good: %s", r)
	}
	return r, err
}

// caller does what takes more than one request.
type caller struct {
	client *http.Client
	url    string
	head   http.Header
}

func newCaller(url, key string, workers int) *caller {
	return &caller{
		url: url, head: headers(key),
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
	}
}

// post sends a body and decodes the answer, if out is not nil.
func (c *caller) post(ctx context.Context, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = c.head
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("POST %s: status %d: %.300s", path, resp.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// perSecond keeps workers busy with f for as long as told and returns how many
// calls were done per second.
func perSecond(ctx context.Context, workers int, d time.Duration, f func(ctx context.Context, r *rand.Rand) error) (float64, error) {
	var (
		all   sync.WaitGroup
		n     atomic.Int64
		once  sync.Once
		first error
		begin = time.Now()
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range workers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
			for time.Since(begin) < d && ctx.Err() == nil {
				if err := f(ctx, r); err != nil {
					once.Do(func() { first = err; cancel() })
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(begin).Seconds(), first
}
