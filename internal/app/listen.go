package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/warderhq/warder"
)

// maxConns bounds the connections that are open at a time. Those who come
// while all are taken wait in the kernel's queue.
const maxConns = 8192

// listenTCP binds an address. setting is what chooses it.
func listenTCP(addr, setting string) (*limited, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is taken: stop the program that uses it, or choose another with %s", addr, setting)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: not permitted for user %d: choose a port above 1023 with %s", addr, os.Getuid(), setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %s: this machine does not have the address: choose another with %s", addr, setting)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &limited{Listener: l, slots: make(chan struct{}, maxConns), done: make(chan struct{})}, nil
}

// What one address may hold of the connections of a gate: a quarter, and little
// once half of all are taken, so that nobody takes them from everybody else.
const (
	shareUsual = 4
	shareFull  = 64
)

// limited accepts a connection only while fewer than cap(slots) are open, and
// of one address only as many as it may hold.
type limited struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once

	// spared reports whether many people come from an address; nil: addresses
	// are not told apart.
	spared  func(netip.Addr) bool
	refused func(netip.Addr) // is told of those who have too many
	mu      sync.Mutex
	held    map[netip.Prefix]int // by address key
}

// fair makes the limit of single addresses, but for those that are spared.
func (l *limited) fair(spared func(netip.Addr) bool, refused func(netip.Addr)) {
	l.spared, l.refused, l.held = spared, refused, map[netip.Prefix]int{}
}

// hold counts a connection of an address; false means that it has too many.
func (l *limited) hold(c net.Conn) (key netip.Prefix, ok bool) {
	peer, isTCP := c.RemoteAddr().(*net.TCPAddr)
	if l.spared == nil || !isTCP {
		return key, true
	}
	a := peer.AddrPort().Addr().Unmap().WithZone("")
	if l.spared(a) {
		return key, true
	}
	key = warder.AddressKey(a)
	most := cap(l.slots) / shareUsual
	if len(l.slots) > cap(l.slots)/2 {
		most = cap(l.slots) / shareFull
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key] < most {
		l.held[key]++
		return key, true
	}
	l.refused(a)
	return key, false
}

func (l *limited) release(key netip.Prefix) {
	<-l.slots
	if !key.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key]--; l.held[key] <= 0 {
		delete(l.held, key)
	}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		if key, ok := l.hold(c); ok {
			return &slotConn{Conn: c, free: func() { l.release(key) }}, nil
		}
		_ = c.Close() // refused
	}
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type slotConn struct {
	net.Conn
	once sync.Once
	free func()
}

func (c *slotConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}

// maxSocketPath is what fits into a socket's address on every system.
const maxSocketPath = 100

// listenSocket binds the local socket in the data directory. The lock on the
// directory is held, so a socket that lies there belongs to nobody any more.
// It gets its mode before it gets its name: at no time can others open it.
func listenSocket(dir *dataDir) (net.Listener, error) {
	path := dir.file(socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	hidden := dir.file(".sock")
	if err := os.Remove(hidden); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	var l *net.UnixListener
	err := withShortPath(dir.path, ".sock", func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close(), os.Remove(hidden))
	}
	return &socketListener{Listener: l, path: path}, nil
}

// socketListener takes its file away when it is closed.
type socketListener struct {
	net.Listener
	path string
	once sync.Once
}

func (l *socketListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() {
		if rmErr := os.Remove(l.path); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	})
	return err
}

// DialSocket connects to the instance that serves the data directory dir.
func DialSocket(ctx context.Context, dir string) (net.Conn, error) {
	var conn net.Conn
	err := withShortPath(dir, socketFile, func(short string) (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// withShortPath calls f with a path of name in dir that fits into the address
// of a socket, however deep dir lies.
func withShortPath(dir, name string, f func(string) error) error {
	path := filepath.Join(dir, name)
	if len(path) <= maxSocketPath {
		return f(path)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // only names a directory
	return f("/proc/self/fd/" + strconv.Itoa(int(d.Fd())) + "/" + name)
}

// pairs is a listener inside the process: each dial makes a pair of connected
// sockets and hands one end to Accept. A command that finds no server running
// talks to its own instance through it, by the very same handlers, and the
// kernel vouches for its user as it does for the socket in the data directory.
type pairs struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPairs() *pairs {
	return &pairs{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (p *pairs) dial(ctx context.Context) (net.Conn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("make a pair of sockets: %w", err)
		}
	}
	select {
	case p.conns <- ends[0]:
		return ends[1], nil
	case <-p.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, ends[0].Close(), ends[1].Close())
}

func (p *pairs) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pairs) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pairs) Addr() net.Addr { return &net.UnixAddr{Name: "pair", Net: "unix"} }
