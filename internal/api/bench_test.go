package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

const benchBody = `{"ip":"203.0.113.7","account":"alice","realm":"user","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"}`

// serveBench measures a handler over loopback with keep-alive connections, by
// requests of one kind that are all answered 200.
func serveBench(b *testing.B, s *Server, h http.Handler, request func(base string) (*http.Request, error)) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := s.HTTPServer(h)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	defer func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Errorf("serve: %v", err)
		}
	}()
	base := "http://" + ln.Addr().String()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 10 * time.Second}
		defer client.CloseIdleConnections()
		for pb.Next() {
			req, err := request(base)
			if err != nil {
				b.Error(err)
				return
			}
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Errorf("status %d", res.StatusCode)
				return
			}
		}
	})
}

// check is a question by POST /v1/check.
func check(base string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, base+"/v1/check", bytes.NewReader([]byte(benchBody)))
	if err == nil {
		req.Header = http.Header{"Authorization": {bearer(ScopeCheck)}, "Content-Type": {"application/json"}}
	}
	return req, err
}

// BenchmarkBare is what net/http does by itself: read the same body, answer
// 200.
func BenchmarkBare(b *testing.B) {
	s, _ := bare(b, Options{})
	serveBench(b, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
	}), check)
}

// BenchmarkCheck is POST /v1/check on the allow path.
func BenchmarkCheck(b *testing.B) {
	s, _ := bare(b, Options{})
	serveBench(b, s, s.Handler(), check)
}

// discard is an answer that nobody reads.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkCheckHandler is the handler alone.
func BenchmarkCheckHandler(b *testing.B) {
	s, _ := bare(b, Options{})
	h := s.Handler()
	body := bytes.NewReader(nil)
	req, err := http.NewRequest(http.MethodPost, "/v1/check", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", bearer(ScopeCheck))
	req.Header.Set("Content-Type", "application/json")
	req.ContentLength = int64(len(benchBody))
	w := &discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset([]byte(benchBody))
		req.Body = io.NopCloser(body)
		h.ServeHTTP(w, req)
	}
}
