package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// site is a platform that listens.
type site struct {
	*Platform
	url string
}

func newSite(t *testing.T) *site {
	t.Helper()
	p, err := NewPlatform(PlatformOptions{Cost: bcrypt.MinCost})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []Login{{User, "alice", "right"}, {User, "bob", "right"}, {Admin, "root", "right"}} {
		if err := p.AddAccount(a.Realm, a.Name, a.Password); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	srv := httptest.NewServer(p.Handler())
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	return &site{p, srv.URL}
}

// browser is a client with cookies that follows no redirects.
func browser() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func send(t *testing.T, c *http.Client, method, url string, form url.Values, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func login(name, password string) url.Values {
	return url.Values{"username": {name}, "password": {password}}
}

func TestPlatformSignsIn(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		path, name, password string
		status               int
		location             string
	}{
		{"/login", "alice", "right", 303, "/messages"},
		{"/login", "alice", "wrong", 200, ""},
		{"/login", "nobody", "right", 200, ""},
		{"/login", "root", "right", 200, ""}, // of the other panel
		{"/login", "alice", strings.Repeat("x", 100), 200, ""},
		{"/admin/login", "root", "right", 303, "/admin/"},
		{"/admin/login", "alice", "right", 200, ""},
	}
	for i, tt := range tests {
		c := browser()
		res, body := send(t, c, "POST", s.url+tt.path, login(tt.name, tt.password))
		if res.StatusCode != tt.status || res.Header.Get("Location") != tt.location {
			t.Errorf("%s %s %s: %d %s", tt.path, tt.name, tt.password, res.StatusCode, res.Header.Get("Location"))
		}
		if signedIn := len(res.Cookies()) == 1; signedIn != (tt.status == 303) {
			t.Errorf("%s %s: cookies %v", tt.path, tt.name, res.Cookies())
		}
		if tt.status == 200 && !strings.Contains(body, "Wrong user name or password.") {
			t.Errorf("%s %s: says %s", tt.path, tt.name, body)
		}
		if got := s.Checked(); got != int64(i+1) {
			t.Errorf("checked %d passwords, want %d", got, i+1)
		}
	}
}

func TestPlatformPages(t *testing.T) {
	s := newSite(t)
	user, admin, stranger := browser(), browser(), browser()
	send(t, user, "POST", s.url+"/login", login("alice", "right"))
	send(t, admin, "POST", s.url+"/admin/login", login("root", "right"))
	tests := []struct {
		path                  string
		user, admin, stranger int
	}{
		{"/", 302, 302, 302},
		{"/login", 200, 200, 200},
		{"/forgot", 200, 200, 200},
		{"/reset", 200, 200, 200},
		{"/register", 200, 200, 200},
		{"/messages", 200, 302, 302},
		{"/account", 200, 302, 302},
		{"/events/none", 404, 404, 404},
		{"/live", 426, 302, 302},
		{"/admin/login", 200, 200, 200},
		{"/admin/", 302, 200, 302},
		{"/admin/users", 302, 200, 302},
		{"/admin/gateways", 302, 200, 302},
		{"/admin/none", 302, 404, 302},
		{"/assets/style.css", 200, 200, 200},
		{"/assets/app.js", 200, 200, 200},
		{"/assets/logo.svg", 200, 200, 200},
		{"/assets/none", 404, 404, 404},
	}
	for _, tt := range tests {
		for who, c := range map[*http.Client]int{user: tt.user, admin: tt.admin, stranger: tt.stranger} {
			if res, body := send(t, who, "GET", s.url+tt.path, nil); res.StatusCode != c {
				t.Errorf("%s: %d, want %d: %.200s", tt.path, res.StatusCode, c, body)
			}
		}
	}
	// Another site cannot make a browser send anything.
	if res, _ := send(t, user, "POST", s.url+"/messages", url.Values{"to": {"1"}, "text": {"x"}}, "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden {
		t.Errorf("a message from another site: %d", res.StatusCode)
	}
	// What strangers type stays text.
	if _, body := send(t, stranger, "POST", s.url+"/login", login(`"><script>alert(1)</script>`, "x")); strings.Contains(body, "<script>alert") {
		t.Error("markup of a stranger is markup")
	}
	send(t, user, "POST", s.url+"/logout", url.Values{})
	if res, _ := send(t, user, "GET", s.url+"/messages", nil); res.StatusCode != http.StatusFound {
		t.Errorf("signed out: %d", res.StatusCode)
	}
}

func TestPlatformRecovers(t *testing.T) {
	s := newSite(t)
	old, c := browser(), browser()
	send(t, old, "POST", s.url+"/login", login("alice", "right"))
	reset := func(name, code string) int {
		res, _ := send(t, c, "POST", s.url+"/reset", url.Values{"username": {name}, "code": {code}, "new_password": {"a new password"}})
		return res.StatusCode
	}
	// Both look the same.
	for _, name := range []string{"alice", "nobody"} {
		res, _ := send(t, c, "POST", s.url+"/forgot", url.Values{"username": {name}})
		if res.StatusCode != 303 || res.Header.Get("Location") != "/reset?note=sent&username="+name {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.Header.Get("Location"))
		}
	}
	code := s.code("alice")
	if texts := s.Texts(); len(texts) != 1 || !strings.Contains(texts[0].Body, code) {
		t.Fatalf("sent %v", texts)
	}
	// Five wrong codes end a recovery.
	for range codeTries {
		if got := reset("alice", "none"); got != http.StatusOK {
			t.Fatalf("a wrong code: %d", got)
		}
	}
	if got := reset("alice", code); got != http.StatusOK {
		t.Errorf("the right code after five wrong ones: %d", got)
	}
	send(t, c, "POST", s.url+"/forgot", url.Values{"username": {"alice"}})
	if got := reset("bob", s.code("alice")); got != http.StatusOK {
		t.Errorf("the code of another: %d", got)
	}
	if got := reset("alice", s.code("alice")); got != http.StatusSeeOther {
		t.Errorf("the right code: %d", got)
	}
	if res, _ := send(t, old, "GET", s.url+"/account", nil); res.StatusCode != http.StatusFound {
		t.Errorf("the old session: %d", res.StatusCode)
	}
	if res, _ := send(t, c, "POST", s.url+"/login", login("alice", "a new password")); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the new password: %d", res.StatusCode)
	}
	if res, _ := send(t, c, "POST", s.url+"/register", login("carol", "a long password")); res.StatusCode != http.StatusSeeOther {
		t.Errorf("sign-up: %d", res.StatusCode)
	}
	if res, _ := send(t, c, "POST", s.url+"/register", login("carol", "a long password")); res.StatusCode != http.StatusOK {
		t.Errorf("sign-up with a name that is taken: %d", res.StatusCode)
	}
}

// A message that is sent comes by as a delivery report, and as a balance.
func TestPlatformTellsLive(t *testing.T) {
	s := newSite(t)
	c := browser()
	send(t, c, "POST", s.url+"/login", login("alice", "right"))
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(origin string) (net.Conn, *bufio.Reader, *http.Response) {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET /live HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: %s\r\nCookie: %s=%s\r\n\r\n", u.Host, origin, SessionCookie, c.Jar.Cookies(u)[0].Value)
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		return conn, in, res
	}
	if _, _, res := dial("https://evil.example"); res.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %d", res.StatusCode)
	}
	conn, in, res := dial(s.url)
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("handshake: %d %v", res.StatusCode, res.Header)
	}
	frame := func() (op byte, text string) {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, head[1])
		if _, err := io.ReadFull(in, body); err != nil {
			t.Fatal(err)
		}
		return head[0] & 0x0f, string(body)
	}
	if op, text := frame(); op != opText || text != `{"hello":true}` {
		t.Fatalf("first frame %d %s", op, text)
	}
	// A ping is answered.
	if _, err := conn.Write([]byte{0x80 | opPing, 0x80 | 2, 0, 0, 0, 0, 'h', 'i'}); err != nil {
		t.Fatal(err)
	}
	if op, text := frame(); op != opPong || text != "hi" {
		t.Fatalf("pong %d %s", op, text)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewReader(stream.Body)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(first, "data: ") {
		t.Fatalf("first line %q, %v", first, err)
	}
	send(t, c, "POST", s.url+"/messages", url.Values{"to": {"+44 7700 900123"}, "text": {"hello"}})
	for _, want := range []string{`"state":"sent"`, `"state":"delivered"`} {
		if _, text := frame(); !strings.Contains(text, want) || !strings.Contains(text, `"text":"hello"`) {
			t.Errorf("report %s, want %s", text, want)
		}
	}
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if second, err := lines.ReadString('\n'); err != nil || second == first {
		t.Errorf("balance %q after %q, %v", second, first, err)
	}
	// A browser that closes is let go.
	if _, err := conn.Write([]byte{0x80 | opClose, 0x80, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if op, _ := frame(); op != opClose {
		t.Errorf("answered close with %d", op)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after close: %v", err)
	}
}
