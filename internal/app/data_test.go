package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOneProcessPerDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := openData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", info.Mode(), err)
	}
	_, err = openData(dir)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Fatalf("second: %v, want a LockedError that names process %d", err, os.Getpid())
	}
	if !strings.Contains(err.Error(), "--data") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is not one line with a remedy", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := openData(dir)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnwritableDataDirectoryNamesARemedy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openData(filepath.Join(file, "data"))
	if err == nil || !strings.Contains(err.Error(), "not writable") || !strings.Contains(err.Error(), "--data") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsAreMadeOnceAndKept(t *testing.T) {
	d, err := openData(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	first, err := d.secrets()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{secretFile, auditFile} {
		if info, err := os.Stat(d.file(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info, err)
		}
	}
	again, err := d.secrets()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.tokens, again.tokens) || !bytes.Equal(first.audit, again.audit) || !bytes.Equal(first.counters, again.counters) {
		t.Error("secrets change with each start")
	}
	if len(first.tokens) < 32 || bytes.Equal(first.tokens, first.counters) || bytes.Equal(first.tokens, first.audit) {
		t.Error("secrets are short or the same")
	}
	if left, _ := filepath.Glob(d.file(".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Chmod(d.file(secretFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.secrets(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a secret that others can read: %v", err)
	}
	if err := errors.Join(os.Chmod(d.file(secretFile), 0o600), os.WriteFile(d.file(secretFile), []byte("abc\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.secrets(); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("a broken secret: %v", err)
	}
}

func TestMissingAuditKeyIsNotReplaced(t *testing.T) {
	d, err := openData(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := os.WriteFile(d.file(DatabaseFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.secrets(); err == nil || !strings.Contains(err.Error(), auditFile) {
		t.Errorf("got %v", err)
	}
	if d.has(auditFile) {
		t.Error("a new audit key was made beside an old trail")
	}
}

func TestSocket(t *testing.T) {
	// A directory deeper than the address of a socket is long.
	path := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	d, err := openData(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := os.WriteFile(d.file(socketFile), nil, 0o600); err != nil { // left by a crash
		t.Fatal(err)
	}
	l, err := listenSocket(d)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.file(socketFile))
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("%v, %v, want a socket of mode 0600", info.Mode(), err)
	}
	echo(t, l, func() (net.Conn, error) { return DialSocket(t.Context(), path) })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if d.has(socketFile) {
		t.Error("the socket is left behind")
	}
	if _, err := DialSocket(t.Context(), path); err == nil {
		t.Error("somebody answers")
	}
}

func TestPairs(t *testing.T) {
	p := newPairs()
	echo(t, p, func() (net.Conn, error) { return p.dial(t.Context()) })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after Close: %v", err)
	}
	if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newPairs().dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("dial that nobody accepts: %v", err)
	}
}

// echo checks that what a client sends arrives at the other side of l.
func echo(t *testing.T, l net.Listener, dial func() (net.Conn, error)) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		_, err = io.CopyN(c, c, 5)
		done <- errors.Join(err, c.Close())
	}()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.(*net.UnixConn); !ok {
		t.Errorf("%T is no unix connection, the kernel cannot say who is there", c)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-done, c.Close()); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limited{Listener: inner, slots: make(chan struct{}, 1), done: make(chan struct{})}
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	select {
	case <-accepted:
		t.Fatal("a second connection is accepted while the first is open")
	default:
	}
	if err := errors.Join(first.Close(), ignoreClosed(first.Close)()); err != nil { // twice frees one slot
		t.Error(err)
	}
	c, ok := <-accepted
	if !ok {
		t.Fatal("the second connection is not accepted after the first is closed")
	}
	if len(l.slots) != 1 {
		t.Errorf("%d slots taken, want 1", len(l.slots))
	}
	if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("Accept after Close")
	}
}

func TestPortTakenNamesARemedy(t *testing.T) {
	l, err := listenTCP("127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = listenTCP(l.Addr().String(), "--listen")
	if err == nil || !strings.Contains(err.Error(), "taken") || !strings.Contains(err.Error(), "--listen") || errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

func TestCloserGoesBackwards(t *testing.T) {
	var c closer
	var order []string
	for _, name := range []string{"a", "b", "c"} {
		c.add(name, func() error { order = append(order, name); return errors.New("no") })
	}
	err := c.Close()
	if strings.Join(order, "") != "cba" || err == nil || strings.Count(err.Error(), "close ") != 3 {
		t.Errorf("order %v, error %v", order, err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
