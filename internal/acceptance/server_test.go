//go:build linux

package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is one data directory and the process that serves it.
type server struct {
	t    testing.TB
	data string
	env  []string // WARDER_ settings
	*client
	key string // API key made at the first start

	cmd    *exec.Cmd
	exited chan struct{}
	log    *logBuffer
	ready  time.Duration // from exec to /readyz, of the latest start
}

// newServer makes a data directory and starts a server on it. Settings are
// given as in the environment, without their prefix: "SMTP_HOST=127.0.0.1".
func newServer(t testing.TB, settings ...string) *server {
	t.Helper()
	return newServerIn(t, filepath.Join(t.TempDir(), "data"), settings...)
}

func newServerIn(t testing.TB, data string, settings ...string) *server {
	t.Helper()
	s := &server{t: t, data: data}
	for _, setting := range settings {
		s.env = append(s.env, "WARDER_"+setting)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() && s.log != nil {
			t.Logf("the server's last words:\n%s", s.log.tail(4000))
		}
	})
	s.start()
	return s
}

var (
	addressLine = regexp.MustCompile(`msg=serving address=(\S+)`)
	keyLine     = regexp.MustCompile(`^\s+(wk_[0-9a-f]+_[0-9a-f]+)\s*$`)
)

// command makes a command of the program that sees no settings but its own and
// dies with the tests.
func (s *server) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(s.data), "GORACE=halt_on_error=1"}, s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start starts the process and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	begun := time.Now()
	s.cmd = s.command(context.Background(), "serve", "--data", s.data, "--listen", "127.0.0.1:0")
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.log = new(logBuffer)
	s.exited = make(chan struct{})
	address := make(chan string, 1)
	key := ""
	go func(cmd *exec.Cmd, log *logBuffer, exited chan struct{}) {
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			log.add(line)
			if m := keyLine.FindStringSubmatch(line); m != nil {
				key = m[1]
			}
			if m := addressLine.FindStringSubmatch(line); m != nil {
				address <- m[1]
			}
		}
		_, _ = io.Copy(io.Discard, pipe) // a line too long
		_ = cmd.Wait()                   // how it ended is in its log
		close(exited)
	}(s.cmd, s.log, s.exited)
	select {
	case a := <-address:
		if key != "" {
			s.key = key
		}
		s.client = newClient(s.t, "http://"+a, s.key)
	case <-s.exited:
		s.t.Fatalf("warder serve ended:\n%s", s.log.tail(4000))
	case <-time.After(60 * time.Second):
		s.t.Fatalf("warder serve does not come up:\n%s", s.log.tail(4000))
	}
	eventually(s.t, 30*time.Second, "the server is ready", func() bool {
		var r readiness
		return s.tryGet("/readyz", &r) == nil && r.Ready
	})
	s.ready = time.Since(begun)
}

// kill ends the process as a power cut would, and waits for its end.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.exited
	s.cmd = nil
	s.client.close()
}

// stop ends the process in order.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		s.t.Fatal("the server does not stop")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("the server stopped with code %d", code)
	}
	s.cmd = nil
	s.client.close()
}

// restart kills and starts the process.
func (s *server) restart() {
	s.t.Helper()
	s.kill()
	s.start()
}

// tryCLI runs a command on the data directory.
func (s *server) tryCLI(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := s.command(ctx, append(args, "--data", s.data)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("warder %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// cli runs a command that must succeed.
func (s *server) cli(args ...string) string {
	s.t.Helper()
	return s.cliWith("", args...)
}

func (s *server) cliWith(stdin string, args ...string) string {
	s.t.Helper()
	out, errs, code := s.tryCLI(stdin, args...)
	if code != 0 {
		s.t.Fatalf("warder %s: exit code %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

// apply puts a policy in force.
func (s *server) apply(policy string) {
	s.t.Helper()
	s.cliWith(policy, "policy", "apply", "-")
}

// eventually polls until ok returns true.
func eventually(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		<-tick.C
	}
}

// logBuffer keeps what a process wrote.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBuffer) add(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(append(b.text, line...), '\n')
	if len(b.text) > 1<<20 {
		b.text = b.text[len(b.text)-1<<19:]
	}
}

func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text[max(0, len(b.text)-n):])
}

// socket returns a client of the socket in the data directory, which may do
// everything.
func (s *server) socket() *client {
	path := filepath.Join(s.data, "warder.sock")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}, DisableKeepAlives: true}
	return &client{t: s.t, base: "http://warder", http: &http.Client{Transport: transport, Timeout: 60 * time.Second}}
}
