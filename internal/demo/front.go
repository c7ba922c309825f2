package demo

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Place is where somebody sits who visits the platform.
type Place struct {
	ID    string
	Title string
	About string
	Addr  netip.Addr
	// Agent is the browser that the platform is told of; empty: the visitor's
	// own.
	Agent string

	listener net.Listener
}

// URL is where a browser visits the platform from this place.
func (p *Place) URL() string { return "http://" + p.listener.Addr().String() }

// places are those that the front page offers, on the ports that follow its
// own.
func places() []*Place {
	return []*Place{
		{
			ID: "attacker", Title: "The attacker", Addr: netip.MustParseAddr("203.0.113.66"),
			About: "Somebody who guesses passwords, in a browser of another make.",
			Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
		},
		{
			ID: "office", Title: "The office", Addr: officeAddr,
			About: "Twelve colleagues behind one address. They mistype, and stay welcome.",
		},
		{
			ID: "home", Title: "At home", Addr: netip.MustParseAddr("192.0.2.34"),
			About: "An address that nobody else has.",
		},
	}
}

var officeAddr = netip.MustParseAddr("198.51.100.20")

// Front is the proxy before the gate: it tells the gate who the client is, as
// proxies do, by X-Forwarded-For. A browser visits the platform from a place by
// that place's port; the cookies of one place are kept from the others. The
// front page explains this and says how each place is treated now.
type Front struct {
	o      FrontOptions
	page   net.Listener
	places []*Place
	bots   net.Listener // where the traffic comes in
	secret string       // by which the traffic is told from others
}

// FrontOptions are what a Front is made of.
type FrontOptions struct {
	Port     int // of the front page, the places follow; 0: any that are free
	Platform *Platform
	Accounts []Login // that the front page offers
	Logger   *slog.Logger
}

// Behind is what stands behind a Front.
type Behind struct {
	Gate      *url.URL
	Dashboard string // URL
	Unblock   string // the command that lifts the block of an address
	// Check asks Warder what it would answer to an address: whether it is
	// refused, and with which reference.
	Check func(context.Context, netip.Addr) (refused bool, reference string, err error)
}

// Login is an account that visitors may use.
type Login struct {
	Realm          Realm
	Name, Password string
}

// NewFront binds the ports. Serve serves them.
func NewFront(o FrontOptions) (_ *Front, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Front{o: o, places: places(), secret: random(16)}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if o.Port < 0 || o.Port > 65535-len(f.places) {
		return nil, fmt.Errorf("port %d: must be from 0 to %d, since %d more follow it", o.Port, 65535-len(f.places), len(f.places))
	}
	if f.page, err = Listen(o.Port); err != nil {
		return nil, err
	}
	for i, p := range f.places {
		port := 0
		if o.Port > 0 {
			port = o.Port + 1 + i
		}
		if p.listener, err = Listen(port); err != nil {
			return nil, err
		}
	}
	if f.bots, err = Listen(0); err != nil {
		return nil, err
	}
	return f, nil
}

// Listen binds a port of this machine that no other machine reaches.
func Listen(port int) (net.Listener, error) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp4", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is taken: stop the program that uses it, or choose others with --port", addr)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// URL is that of the front page.
func (f *Front) URL() string { return "http://" + f.page.Addr().String() }

// Places are where one can visit the platform from.
func (f *Front) Places() []*Place { return f.places }

// Close frees the ports of a Front that does not serve.
func (f *Front) Close() {
	list := []net.Listener{f.page, f.bots}
	for _, p := range f.places {
		list = append(list, p.listener)
	}
	for _, l := range list {
		if l != nil {
			_ = l.Close()
		}
	}
}

// Serve forwards to the gate until ctx ends.
func (f *Front) Serve(ctx context.Context, b Behind) error {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	defer transport.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	serve := func(l net.Listener, h http.Handler) {
		srv := &http.Server{
			Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
			BaseContext: func(net.Listener) context.Context { return ctx },
			ErrorLog:    slog.NewLogLogger(f.o.Logger.Handler(), slog.LevelDebug),
		}
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			return srv.Close()
		})
	}
	serve(f.page, f.onlyHere(f.frontPage(b)))
	for _, p := range f.places {
		serve(p.listener, f.onlyHere(f.visit(b.Gate, transport, p)))
	}
	serve(f.bots, f.traffic(b.Gate, transport))
	return g.Wait()
}

// onlyHere refuses requests that came by the name of another host: a page of
// the Internet whose name leads to this machine must not look inside. Whoever
// says localhost is sent on, since cookies belong to one name.
func (f *Front) onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, port, err := net.SplitHostPort(r.Host)
		if err != nil {
			host, port = r.Host, "80"
		}
		switch host {
		case "127.0.0.1":
			next.ServeHTTP(w, r)
		case "localhost":
			http.Redirect(w, r, "http://127.0.0.1:"+port+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		default:
			http.Error(w, "The demo is for this machine only: open "+f.URL(), http.StatusMisdirectedRequest)
		}
	})
}

// forward makes the proxy to the gate. from says who the client is, and may
// change the request further.
func (f *Front) forward(gate *url.URL, transport http.RoundTripper, from func(*httputil.ProxyRequest) netip.Addr, back func(*http.Response) error) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(gate)
			pr.Out.Host = pr.In.Host
			addr := from(pr)
			// Whoever sends such headers wants to be taken for somebody else.
			for name := range pr.Out.Header {
				if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") || strings.HasSuffix(name, "-Ip") {
					pr.Out.Header.Del(name)
				}
			}
			pr.Out.Header.Set("X-Forwarded-For", addr.String())
			pr.Out.Header.Set("X-Forwarded-Proto", "http")
		},
		ModifyResponse: back,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "The gate does not answer.", http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(f.o.Logger.Handler(), slog.LevelDebug),
	}
}

// visit lets a browser visit the platform from a place. Cookies do not know
// ports, so those of the places would mix: each gets the place's name.
func (f *Front) visit(gate *url.URL, transport http.RoundTripper, p *Place) http.Handler {
	prefix := p.ID + "."
	return f.forward(gate, transport, func(pr *httputil.ProxyRequest) netip.Addr {
		h := pr.Out.Header
		var kept []string
		for _, c := range pr.In.Cookies() {
			if name, ok := strings.CutPrefix(c.Name, prefix); ok {
				kept = append(kept, name+"="+c.Value)
			}
		}
		h.Del("Cookie")
		if len(kept) > 0 {
			h.Set("Cookie", strings.Join(kept, "; "))
		}
		if p.Agent != "" {
			h.Set("User-Agent", p.Agent)
		}
		return p.Addr
	}, func(res *http.Response) error {
		set := res.Header["Set-Cookie"]
		for i, line := range set {
			set[i] = prefix + line
		}
		return nil
	})
}

// Headers by which the traffic says from where it comes. Others who send them
// are refused.
const (
	trafficFrom   = "Demo-From"
	trafficSecret = "Demo-Secret"
)

// traffic takes what the people and attackers of this process send.
func (f *Front) traffic(gate *url.URL, transport http.RoundTripper) http.Handler {
	proxy := f.forward(gate, transport, func(pr *httputil.ProxyRequest) netip.Addr {
		addr, _ := netip.ParseAddr(pr.In.Header.Get(trafficFrom)) // was checked
		pr.Out.Header.Del(trafficFrom)
		pr.Out.Header.Del(trafficSecret)
		return addr
	}, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := netip.ParseAddr(r.Header.Get(trafficFrom))
		if err != nil || subtle.ConstantTimeCompare([]byte(r.Header.Get(trafficSecret)), []byte(f.secret)) != 1 {
			http.Error(w, "Not for visitors.", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// frontPage explains the demo.
func (f *Front) frontPage(b Behind) http.Handler {
	page := template.Must(template.New("front.html").Funcs(template.FuncMap{"clock": clock}).ParseFS(files, "front/front.html"))
	mux := http.NewServeMux()
	serve := func(name, kind string) {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			text, err := files.ReadFile("front/" + name)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache")
			_, _ = w.Write(text) // the visitor may be gone
		})
	}
	serve("front.css", "text/css; charset=utf-8")
	serve("front.js", "text/javascript; charset=utf-8")
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, map[string]any{ // the visitor may be gone
			"Places": f.places, "Accounts": f.o.Accounts, "Dashboard": b.Dashboard, "Unblock": b.Unblock,
			"Texts": f.o.Platform.Texts(), "States": f.states(r.Context(), b),
			"SignedOut": r.URL.Query().Get("note") == "signed-out",
		})
	})
	mux.HandleFunc("GET /states", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		texts := f.o.Platform.Texts()
		out := make([]string, len(texts))
		for i, t := range texts {
			out[i] = fmt.Sprintf("%s  to %s: %s", clock(t.At), t.Account, t.Body)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"places": f.states(r.Context(), b), "texts": out}) // as above
	})
	mux.HandleFunc("POST /carry", f.carry)
	guard := http.NewCrossOriginProtection()
	return guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action *; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
}

// state is how a place is treated now.
type state struct {
	ID      string `json:"id"`
	Refused bool   `json:"refused"`
	Text    string `json:"text"`
}

// states asks Warder for each place. Asking counts nothing.
func (f *Front) states(ctx context.Context, b Behind) []state {
	out := make([]state, len(f.places))
	for i, p := range f.places {
		s := state{ID: p.ID, Text: "let in"}
		refused, reference, err := b.Check(ctx, p.Addr)
		switch {
		case err != nil:
			s.Text = "Warder does not answer"
		case refused && reference != "":
			s.Refused, s.Text = true, "refused, reference "+reference
		case refused:
			s.Refused, s.Text = true, "refused"
		}
		out[i] = s
	}
	return out
}

// carry copies the session of one place to another, as a thief does.
func (f *Front) carry(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
	from, to := r.PostFormValue("from"), r.PostFormValue("to")
	i := slices.IndexFunc(f.places, func(p *Place) bool { return p.ID == to })
	c, err := r.Cookie(from + "." + SessionCookie)
	switch {
	case i < 0:
		http.Error(w, "There is no such place.", http.StatusBadRequest)
		return
	case err != nil:
		http.Redirect(w, r, "/?note=signed-out", http.StatusSeeOther)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: to + "." + SessionCookie, Value: c.Value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, f.places[i].URL()+"/messages", http.StatusSeeOther)
}
