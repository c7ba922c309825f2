package demo

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // the handshake of RFC 6455 asks for it
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// listener is a browser that is told of what happens to an account.
type listener struct {
	account *account
	news    chan news
}

// news is what a browser is told: a delivery report, or the balance.
type news struct {
	Message *message `json:"message,omitempty"`
	Balance string   `json:"balance,omitempty"`
}

// Run delivers messages and tells the browsers that listen, until ctx ends.
// Streams and WebSockets end with it.
func (p *Platform) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			defer p.mu.Unlock()
			if !p.stopped {
				p.stopped = true
				close(p.stop)
			}
			return nil
		case <-tick.C:
			p.deliver()
		}
	}
}

// deliver takes every message that is under way one step further.
func (p *Platform) deliver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.accounts {
		for i := range a.messages {
			m := &a.messages[i]
			switch m.State {
			case "queued":
				m.State = "sent"
			case "sent":
				m.State = "delivered"
			default:
				continue
			}
			report := *m
			p.tell(a, news{Message: &report, Balance: money(a.balance)})
		}
	}
}

// tell tells everybody who listens to an account; who does not keep up misses
// something. The lock is held.
func (p *Platform) tell(a *account, n news) {
	for l := range p.listeners {
		if l.account == a {
			select {
			case l.news <- n:
			default:
			}
		}
	}
}

func (p *Platform) listen(a *account) *listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.listeners) >= maxListeners {
		return nil
	}
	l := &listener{account: a, news: make(chan news, 16)}
	p.listeners[l] = struct{}{}
	return l
}

func (p *Platform) unlisten(l *listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.listeners, l)
}

// events sends the balance as server-sent events.
func (p *Platform) events(w http.ResponseWriter, r *http.Request, a *account) {
	l := p.listen(a)
	if l == nil {
		http.Error(w, "Too many listen.", http.StatusServiceUnavailable)
		return
	}
	defer p.unlisten(l)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	say := func(text string) bool {
		_, err := fmt.Fprintf(w, "data: %s\n\n", text)
		return err == nil && rc.Flush() == nil
	}
	p.mu.Lock()
	balance := money(a.balance)
	p.mu.Unlock()
	if !say(balance) {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case <-p.stop:
			return
		case n := <-l.news:
			if !say(n.Balance) {
				return
			}
		}
	}
}

// live sends delivery reports over a WebSocket (RFC 6455).
func (p *Platform) live(w http.ResponseWriter, r *http.Request, a *account) {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host != "" && !strings.EqualFold(origin.Host, r.Host) {
		http.Error(w, "This page may not listen.", http.StatusForbidden)
		return
	}
	nonce := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || nonce == "" {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "There is a WebSocket here.", http.StatusUpgradeRequired)
		return
	}
	l := p.listen(a)
	if l == nil {
		http.Error(w, "Too many listen.", http.StatusServiceUnavailable)
		return
	}
	defer p.unlisten(l)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the connection cannot be taken over
	}
	sum := sha1.Sum([]byte(nonce + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	p.talk(&socket{conn: conn, w: rw.Writer}, rw.Reader, l)
}

// talk sends news until either side is gone.
func (p *Platform) talk(s *socket, in *bufio.Reader, l *listener) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.read(in)
	}()
	defer func() { <-gone }()
	defer func() { _ = s.conn.Close() }() // nothing is left to be lost
	ping := time.NewTicker(20 * time.Second)
	defer ping.Stop()
	if s.write(opText, []byte(`{"hello":true}`)) != nil {
		return
	}
	for {
		var err error
		select {
		case <-gone:
			return
		case <-p.stop:
			_ = s.write(opClose, []byte{0x03, 0xe9}) // 1001: going away
			return
		case n := <-l.news:
			var text []byte
			if text, err = json.Marshal(n); err == nil {
				err = s.write(opText, text)
			}
		case <-ping.C:
			err = s.write(opPing, nil)
		}
		if err != nil {
			return
		}
	}
}

// Opcodes of frames.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// socket is the server's end of a WebSocket.
type socket struct {
	conn net.Conn
	mu   sync.Mutex
	w    *bufio.Writer
}

// write sends one frame of at most 64 KiB.
func (s *socket) write(op byte, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	head := []byte{0x80 | op, byte(min(len(body), 126))}
	if len(body) >= 126 {
		head = binary.BigEndian.AppendUint16(head, uint16(min(len(body), 1<<16-1)))
	}
	if _, err := s.w.Write(append(head, body...)); err != nil {
		return err
	}
	return s.w.Flush()
}

// read answers pings, until the other side closes or says nothing for a
// minute, although it is pinged.
func (s *socket) read(in *bufio.Reader) {
	const maxFrame = 4 << 10 // browsers have nothing to tell
	for {
		if s.conn.SetReadDeadline(time.Now().Add(time.Minute)) != nil {
			return
		}
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		size := int(head[1] & 0x7f)
		if size == 126 {
			var long [2]byte
			if _, err := io.ReadFull(in, long[:]); err != nil {
				return
			}
			size = int(binary.BigEndian.Uint16(long[:]))
		}
		if head[1]&0x80 == 0 || size > maxFrame {
			return // not masked, or too large
		}
		body := make([]byte, 4+size)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		mask, body := body[:4], body[4:]
		for i := range body {
			body[i] ^= mask[i%4]
		}
		switch head[0] & 0x0f {
		case opClose:
			_ = s.write(opClose, body)
			return
		case opPing:
			if s.write(opPong, body) != nil {
				return
			}
		}
	}
}
