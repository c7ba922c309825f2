//go:build linux

package acceptance

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// TestGateUnderAttack: slow headers, slow bodies, endless forms and floods of
// HTTP/2 frames, all at once. The process stays, within its bounds, and people
// go on.
func TestGateUnderAttack(t *testing.T) {
	t.Parallel() // it waits for slow senders to be given up
	g := newGated(t)
	www, secure, pid := g.site("www"), g.site("secure"), g.cmd.Process.Pid
	done := g.healthy(t, "www", "127.0.0.9")
	doneTLS := g.healthy(t, "secure", "127.0.0.10")
	before := g.memory("VmHWM")
	t.Run("all at once", func(t *testing.T) {
		t.Run("slow headers", func(t *testing.T) {
			t.Parallel()
			slowly(t, www, "127.0.0.66", pick(1500, 6000), 20*time.Second, "GET / HTTP/1.1\r\nHost: www\r\n", "X-A: b\r\n")
		})
		t.Run("no word at all", func(t *testing.T) {
			t.Parallel()
			slowly(t, www, "127.0.0.65", pick(300, 2000), 20*time.Second, "", "")
		})
		t.Run("no handshake", func(t *testing.T) {
			t.Parallel()
			slowly(t, secure, "127.0.0.64", pick(300, 2000), 20*time.Second, "\x16", "")
		})
		t.Run("slow forms", func(t *testing.T) {
			t.Parallel()
			slowly(t, www, "127.0.0.67", pick(200, 1000), 45*time.Second,
				"POST /login HTTP/1.1\r\nHost: www\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\nusername=alice&password=", "x")
			if n := g.app.seenAs("127.0.0.67"); n != 0 {
				t.Errorf("%d reached the application", n)
			}
		})
		t.Run("slow bodies", func(t *testing.T) {
			t.Parallel()
			slowBodies(t, g)
		})
		t.Run("endless forms", func(t *testing.T) {
			t.Parallel()
			endlessForms(t, g)
		})
		t.Run("HTTP2", func(t *testing.T) {
			t.Parallel()
			for name, flood := range h2Floods {
				t.Run(name, func(t *testing.T) {
					for range pick(2, 10) {
						flood(t, g.h2(t, "127.0.0.69"))
					}
				})
			}
		})
	})
	done()
	doneTLS()
	g.alive(t, pid)
	peak := g.memory("VmHWM")
	t.Logf("memory %d MiB at most, %d before", peak>>20, before>>20)
	if peak > 384<<20 {
		t.Errorf("memory %d MiB", peak>>20)
	}
}

// seenAs counts the requests of a client that reached the application.
func (p *platform) seenAs(from string) int64 {
	if n, ok := p.byAddress.Load(from); ok {
		return n.(*atomic.Int64).Load()
	}
	return 0
}

// slowly opens n connections that say a little and then one word a second, and
// waits until the server has given up on each of them.
func slowly(t *testing.T, address, from string, n int, patience time.Duration, first, word string) {
	t.Helper()
	var open, refused atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		if i%100 == 99 {
			time.Sleep(10 * time.Millisecond) // or the kernel's queue is full of them
		}
		all.Go(func() {
			conn, err := dialFrom(address, from)
			if err != nil {
				refused.Add(1)
				return
			}
			defer func() { _ = conn.Close() }()
			deadline := time.Now().Add(patience)
			_ = conn.SetDeadline(deadline)
			_, _ = io.WriteString(conn, first)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, err := io.Copy(io.Discard, conn)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					open.Add(1)
				}
			}()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ended:
					return
				case <-tick.C:
					if word != "" {
						_, _ = io.WriteString(conn, word)
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d connections, %d refused at once", n, refused.Load())
	if open.Load() > 0 {
		t.Errorf("%d of %d connections are open after %v", open.Load(), n, patience)
	}
}

// slowBodies keeps requests with bodies open that the application waits for:
// an address has so many under way and no more.
func slowBodies(t *testing.T, g *gated) {
	const from, n, most = "127.0.0.68", 700, 512
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	var passed, refused atomic.Int64
	for range n {
		conn, err := g.dial("www", from)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if _, err := io.WriteString(conn, "POST /upload HTTP/1.1\r\nHost: www\r\nContent-Length: 5000\r\n\r\nx"); err != nil {
			t.Fatal(err)
		}
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				return // closed by the end of this test
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "" {
				refused.Add(1)
			} else {
				passed.Add(1)
			}
		}()
	}
	eventually(t, 30*time.Second, "those above the bound are refused", func() bool { return refused.Load() == n-most })
	if passed.Load() > 0 {
		t.Errorf("%d requests with unfinished bodies were answered", passed.Load())
	}
	if reached := g.app.seenAs(from); reached > most {
		t.Errorf("%d reached the application", reached)
	}
}

// endlessForms sends forms without an end to an endpoint that reads them.
func endlessForms(t *testing.T, g *gated) {
	const from = "127.0.0.70"
	var answers tally
	v := g.visitor("www", from)
	inParallel(pick(64, 300), func(i int) {
		req, err := http.NewRequest("POST", v.base+"/login", endless("username=", "A"))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", []string{"application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x"}[i%3])
		if req.ContentLength = -1; i%2 == 0 {
			req.ContentLength = 1 << 30
		}
		res, err := v.Do(req)
		if err != nil {
			answers.add("broken off") // the answer came while it was still sending
			return
		}
		_ = res.Body.Close()
		answers.add(res.Status)
	})
	t.Logf("endless forms: %v", answers.m)
	for status := range answers.m {
		if status != "broken off" && !strings.HasPrefix(status, "413") && !strings.HasPrefix(status, "503") {
			t.Errorf("an endless form is answered %s", status)
		}
	}
	if n := g.app.seenAs(from); n != 0 {
		t.Errorf("%d reached the application", n)
	}
}

// h2Conn is a connection that speaks HTTP/2 as badly as it likes.
type h2Conn struct {
	*tls.Conn
	block []byte // the header block of a GET
}

// h2 makes a connection and says what a client says at first.
func (g *gated) h2(t *testing.T, from string) *h2Conn {
	t.Helper()
	raw, err := g.dial("secure", from)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, &tls.Config{RootCAs: g.roots, ServerName: "127.0.0.1", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	if err := c.Handshake(); err != nil || c.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatalf("handshake: %v %s", err, c.ConnectionState().NegotiatedProtocol)
	}
	h := &h2Conn{Conn: c}
	// HPACK: :method GET, :scheme https, :path and :authority as they stand.
	h.block = append(h.block, 0x82, 0x87)
	h.block = append(append(h.block, 0x04, byte(len("/hang"))), "/hang"...)
	h.block = append(append(h.block, 0x01, byte(len("www"))), "www"...)
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	h.frame(4, 0, 0, nil)
	return h
}

// frame writes a frame and reports whether the connection took it.
func (c *h2Conn) frame(kind, flags byte, stream uint32, payload []byte) bool {
	_, err := c.Write(h2Frame(kind, flags, stream, payload))
	return err == nil
}

func h2Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}, payload...)
}

// ended reads what the server says until it ends the connection.
func (c *h2Conn) ended(t *testing.T) (goAway bool) {
	t.Helper()
	return c.endedOr(t, func(byte, byte) bool { return false })
}

// endedOr is ended that is content with a certain frame as well.
func (c *h2Conn) endedOr(t *testing.T, enough func(kind, flags byte) bool) (goAway bool) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	var head [9]byte
	for {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the server keeps the connection")
			}
			return goAway
		}
		if head[3] == 7 {
			goAway = true
		}
		if enough(head[3], head[4]) {
			return goAway
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return goAway
		}
	}
}

const (
	endStream  = 1
	endHeaders = 4
)

// h2Floods are attacks, each of which ends with the end of its connection.
var h2Floods = map[string]func(t *testing.T, c *h2Conn){
	"rapid reset": func(t *testing.T, c *h2Conn) {
		go func() {
			var b bytes.Buffer
			for stream := uint32(1); stream < 200_000; stream += 2 {
				b.Write(h2Frame(1, endStream|endHeaders, stream, c.block))
				b.Write(h2Frame(3, 0, stream, []byte{0, 0, 0, 8}))
				if b.Len() > 16<<10 {
					if _, err := c.Write(b.Bytes()); err != nil {
						return
					}
					b.Reset()
				}
			}
			// The server ends it when more is begun than it gets done. Where it gets
			// all of it done, it answers what comes after.
			c.frame(6, 0, 0, []byte("kept up."))
		}()
		c.endedOr(t, func(kind, flags byte) bool { return kind == 6 && flags&1 != 0 })
	},
	"continuation": func(t *testing.T, c *h2Conn) {
		go func() {
			c.frame(1, endStream, 1, c.block)
			// A header, literal without indexing: x: a...
			junk := append([]byte{0x00, 0x01, 'x', 0x7f, 0x81, 0x7e}, bytes.Repeat([]byte("a"), 16<<10-6)...)
			for range 100_000 {
				if !c.frame(9, 0, 1, junk[:16<<10]) {
					return
				}
			}
		}()
		c.ended(t)
	},
	"empty continuation": func(t *testing.T, c *h2Conn) {
		go func() {
			c.frame(1, endStream, 1, c.block)
			several := bytes.Repeat(h2Frame(9, 0, 1, nil), 1000)
			for range 10_000 {
				if _, err := c.Write(several); err != nil {
					return
				}
			}
			_ = c.Close() // it costs the server nothing
		}()
		c.ended(t)
	},
	"settings": func(t *testing.T, c *h2Conn) { floodUnread(t, c, h2Frame(4, 0, 0, nil)) },
	"ping":     func(t *testing.T, c *h2Conn) { floodUnread(t, c, h2Frame(6, 0, 0, make([]byte, 8))) },
	"no window": func(t *testing.T, c *h2Conn) {
		// The client asks for much and takes nothing; the streams are bounded.
		c.frame(4, 0, 0, []byte{0, 4, 0, 0, 0, 0})
		for stream := uint32(1); stream < 400; stream += 2 {
			c.frame(1, endStream|endHeaders, stream, c.block)
		}
		_ = c.Close()
	},
}

// floodUnread sends frames that want an answer and reads none: the server ends
// that, or stops reading, which costs it nothing either.
func floodUnread(t *testing.T, c *h2Conn, frame []byte) {
	t.Helper()
	several := bytes.Repeat(frame, 1000)
	for range 1000 {
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write(several); err != nil {
			return
		}
	}
	t.Log("the server took a million frames and answered few") // it joins its answers
}

// TestGateMalformedRequests: requests that two readers could read differently.
// The application sees exactly the requests that the gate has answered for it,
// and none that the gate did not see.
func TestGateMalformedRequests(t *testing.T) {
	g := newGated(t)
	pid := g.cmd.Process.Pid
	const tail = "GET /smuggled HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n"
	post := "POST /upload HTTP/1.1\r\nHost: www\r\n"
	tests := []struct {
		name, send string
		refused    bool // before the application sees anything
	}{
		{"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + tail, true},
		{"two lengths in one", post + "Content-Length: 5, 6\r\n\r\nhello" + tail, true},
		{"the same length twice", post + "Content-Length: 5\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", false},
		{"negative length", post + "Content-Length: -5\r\n\r\nhello" + tail, true},
		{"signed length", post + "Content-Length: +5\r\n\r\nhello" + tail, true},
		{"length in hexadecimal", post + "Content-Length: 0x5\r\n\r\nhello" + tail, true},
		{"length beyond numbers", post + "Content-Length: 99999999999999999999\r\n\r\nhello" + tail, true},
		{"length with a space before the colon", post + "Content-Length : 5\r\n\r\nhello" + tail, true},
		{"length and chunks", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", false},
		{"length and chunks, with a request behind", post + "Content-Length: 70\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + tail, false},
		{"chunks, then a request", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + tail, false},
		{"an encoding nobody knows", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + tail, true},
		{"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + tail, true},
		{"chunked and identity", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + tail, true},
		{"chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + tail, true},
		{"encoding with a space before the colon", post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + tail, true},
		{"encoding with a tab before the colon", post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + tail, true},
		{"encoding behind a control character", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + tail, true},
		{"encoding in quotes", post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + tail, true},
		{"encoding with a NUL", post + "Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n" + tail, true},
		{"encoding on a folded line", post + "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", false},
		{"first header folded", "POST /upload HTTP/1.1\r\n Host: www\r\nHost: www\r\nContent-Length: 5\r\n\r\nhello" + tail, true},
		{"chunks by HTTP/1.0", "POST /upload HTTP/1.0\r\nHost: www\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + tail, false},
		{"chunk size that is none", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n" + tail, false},
		{"chunk size beyond numbers", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n" + tail, false},
		{"chunk size with a sign", post + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n" + tail, false},
		{"chunk without its end", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n" + tail, false},
		{"chunk line ended by LF alone", post + "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n" + tail, false},
		{"endless chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n0\r\n\r\n" + tail, false},
		{"lines ended by LF alone", "GET /home HTTP/1.1\nHost: www\nConnection: close\n\n", false},
		{"a CR within a value", "GET /home HTTP/1.1\r\nHost: www\r\nX-A: b\rX-B: c\r\n\r\n" + tail, true},
		{"a NUL within a value", "GET /home HTTP/1.1\r\nHost: www\r\nX-A: b\x00c\r\n\r\n" + tail, true},
		{"a name with a space", "GET /home HTTP/1.1\r\nHost: www\r\nX A: b\r\n\r\n" + tail, true},
		{"a name that is empty", "GET /home HTTP/1.1\r\nHost: www\r\n: b\r\n\r\n" + tail, true},
		{"a line without a colon", "GET /home HTTP/1.1\r\nHost: www\r\nnonsense\r\n\r\n" + tail, true},
		{"no host", "GET /home HTTP/1.1\r\n\r\n" + tail, true},
		{"two hosts", "GET /home HTTP/1.1\r\nHost: www\r\nHost: other\r\n\r\n" + tail, true},
		{"a host that is none", "GET /home HTTP/1.1\r\nHost: a b\r\n\r\n" + tail, true},
		{"absolute form", "GET http://other.example/home HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n", false},
		{"a tunnel", "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n" + tail, true},
		{"a tunnel by path", "CONNECT /home HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n", true},
		{"no slash", "GET home HTTP/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"an asterisk", "GET * HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n", true},
		{"broken escape", "GET /%zz HTTP/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"a space in the path", "GET /a b HTTP/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"a control character in the path", "GET /a\x01b HTTP/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"HTTP/0.9", "GET /home\r\n\r\n", true},
		{"HTTP/3", "GET /home HTTP/3.0\r\nHost: www\r\n\r\n" + tail, true},
		{"http", "GET /home http/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"two spaces", "GET  /home HTTP/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + tail, true},
		{"upgrade to HTTP/2", "GET /socket HTTP/1.1\r\nHost: www\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", false},
		{"upgrade to anything", "GET /socket HTTP/1.1\r\nHost: www\r\nConnection: Upgrade, close\r\nUpgrade: tunnel\r\n\r\n", false},
		{"a page with a body", "GET /home HTTP/1.1\r\nHost: www\r\nContent-Length: 5\r\n\r\nhello" + tail, false},
		{"a method that is none", "G<T /home HTTP/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"a long request line", "GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: www\r\n\r\n" + tail, true},
		{"a long header", "GET /home HTTP/1.1\r\nHost: www\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n" + tail, true},
		{"many headers", "GET /home HTTP/1.1\r\nHost: www\r\n" + strings.Repeat("X-A: b\r\n", 100_000) + "\r\n" + tail, true},
		{"rubbish", "\x00\x01\x02\xff\xfe\r\n\r\n" + tail, true},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100), true},
		{"an expectation nobody knows", post + "Content-Length: 5\r\nExpect: 200-maybe\r\n\r\nhello" + tail, true},
	}
	done := g.healthy(t, "www", "127.0.0.9")
	inParallel(len(tests), func(i int) {
		tt, from := tests[i], fmt.Sprintf("127.0.3.%d", i+1)
		conn, err := g.dial("www", from)
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		go func() { _, _ = io.WriteString(conn, tt.send) }()
		answered, through := answers(conn)
		_ = conn.Close()
		reached := g.app.seenAs(from)
		if tt.refused && reached > 0 {
			t.Errorf("%s: %d requests reached the application", tt.name, reached)
		}
		if !tt.refused && (reached < int64(through) || reached > int64(answered) || answered == 0) {
			t.Errorf("%s: %d requests reached the application, %d were answered, %d of them well", tt.name, reached, answered, through)
		}
		if tt.refused && (through > 0 || answered > 1) {
			t.Errorf("%s: %d answers, %d of them good", tt.name, answered, through)
		}
	})
	done()
	g.alive(t, pid)
	if n := len(tests); n < 60 {
		t.Errorf("only %d requests", n)
	}
}

// answers reads the answers on a connection until it ends, and counts them and
// those that are good.
func answers(conn net.Conn) (n, good int) {
	r := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return n, good
		}
		n++
		if res.StatusCode < 300 {
			good++
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil || res.Close {
			return n, good
		}
	}
}

// TestGateHostileNames: account names with markup, control characters, bytes
// that are no text, and without end. They are stored as text within their bound,
// and neither the log nor the page of a refusal shows them raw.
func TestGateHostileNames(t *testing.T) {
	g := newGated(t)
	pid := g.cmd.Process.Pid
	names := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "a\r\nSet-Cookie: b=c", "a\nlevel=ERROR msg=forged", "\x1b[2J\x1b[31mred", "\u202egnp.exe",
		"\xff\xfe\xfd", "\xc0\xafetc", "a\x00b", "\u2028\u2029", "=cmd|'/c calc'!A0", strings.Repeat("long", 50_000), "{{.}}${7*7}", "\ufeffbom", "\U000e0041",
		strings.Repeat("\u0301", 1000), "' OR 1=1 --", "%s%n%x", "../../etc/passwd", "\x7f\x80\x9f",
	}
	for i, name := range names {
		v := g.visitor("www", fmt.Sprintf("127.0.4.%d", i+1))
		var status int
		var body string
		for k := range 5 {
			var err error
			if status, body, err = v.signIn(name, fmt.Sprint("guess ", k)); err != nil {
				t.Fatalf("%.40q: %v", name, err)
			}
		}
		if status != http.StatusForbidden || strings.Contains(body, "script") || !utf8.ValidString(body) {
			t.Errorf("%.40q: %d %s", name, status, body)
		}
		v.CloseIdleConnections()
	}
	var list struct {
		Items []struct {
			Account string `json:"account"`
			Name    string `json:"name"`
		} `json:"items"`
	}
	g.get("/v1/events?name=USER_LOGIN_FAILURE&limit=500", &list)
	if len(list.Items) != 5*len(names) {
		t.Errorf("%d events, want %d", len(list.Items), 5*len(names))
	}
	for _, e := range list.Items {
		if len(e.Account) > 512 || !utf8.ValidString(e.Account) {
			t.Errorf("stored account %.60q of %d bytes", e.Account, len(e.Account))
		}
	}
	for line := range strings.Lines(g.log.tail(1 << 20)) {
		for _, c := range strings.TrimSuffix(line, "\n") {
			if c == unicode.ReplacementChar || unicode.IsControl(c) || c == '\u202e' {
				t.Errorf("the log holds %q", line)
				break
			}
		}
		if strings.Contains(line, "level=ERROR msg=forged") && !strings.Contains(line, `\n`) {
			t.Errorf("a forged line: %q", line)
		}
	}
	g.alive(t, pid)
}
