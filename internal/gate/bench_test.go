package gate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/clientip"
	"github.com/warderhq/warder/internal/guard"
)

// idle is an engine that lets everybody through.
type idle struct{}

func (*idle) TakeClearance(*guard.Query) bool { return false }
func (*idle) SessionAccount(string) string    { return "" }

func (*idle) Check(*guard.App, *guard.Query) warder.Decision {
	return warder.Decision{Reason: warder.OK}
}

func (*idle) Begin(context.Context, *guard.App, guard.Query, time.Duration, string) (guard.Attempt, error) {
	return guard.Attempt{Token: "t"}, nil
}

func (*idle) Settle(context.Context, *guard.App, string, guard.Settlement) (guard.Reported, error) {
	return guard.Reported{}, nil
}

func (*idle) Report(_ context.Context, _ *guard.App, events []guard.Incoming) []guard.Reported {
	return make([]guard.Reported, len(events))
}
func (*idle) Subscribe() (<-chan *guard.Record, func()) { return nil, func() {} }

func proxyBench(b *testing.B, front func(upstream *url.URL) http.Handler) {
	b.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello, this is a page") }))
	defer app.Close()
	upstream, err := url.Parse(app.URL)
	if err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(front(upstream))
	defer srv.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
		defer client.CloseIdleConnections()
		for pb.Next() {
			req, err := http.NewRequest(http.MethodGet, srv.URL+"/home?x=1", nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header = http.Header{"User-Agent": {"Mozilla/5.0"}, "Accept": {"text/html"}, "Cookie": {"a=b; sms_session=0123456789abcdef"}}
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}

// BenchmarkSite is the gate on an unprotected path; compare BenchmarkPlain.
func BenchmarkSite(b *testing.B) {
	proxyBench(b, func(u *url.URL) http.Handler {
		p, err := LoadProfile("sms-platform")
		if err != nil {
			b.Fatal(err)
		}
		s, err := NewSite(SiteOptions{
			Name: "x", Upstream: u, Profile: p, Engine: &idle{}, Proxies: resolver(b, clientip.Options{}), Secret: make([]byte, 32),
		})
		if err != nil {
			b.Fatal(err)
		}
		return s
	})
}

// BenchmarkPlain is httputil.ReverseProxy by itself, with as many connections.
func BenchmarkPlain(b *testing.B) {
	proxyBench(b, func(u *url.URL) http.Handler {
		return &httputil.ReverseProxy{
			Rewrite:    func(pr *httputil.ProxyRequest) { pr.SetURL(u); pr.SetXForwarded(); pr.Out.Host = pr.In.Host },
			Transport:  &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
			BufferPool: &buffers{},
		}
	})
}
