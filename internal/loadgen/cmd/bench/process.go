package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that runs until stop.
type process struct {
	cmd  *exec.Cmd
	pid  int // of the program itself, not of what it is wrapped in
	url  string
	done chan struct{}
	err  error // of Wait
	tail bytes.Buffer
}

// start runs a program that says on w where it listens, in a line that found
// recognises.
func start(cmd *exec.Cmd, pipe func() (io.ReadCloser, error), found func(line []byte) string) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	out, err := pipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	where := make(chan string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(out)
		told := false
		for lines.Scan() {
			if p.tail.Len() < 4096 {
				p.tail.Write(append(lines.Bytes(), '\n'))
			}
			if url := found(lines.Bytes()); url != "" && !told {
				told = true
				where <- url
			}
		}
		p.err = cmd.Wait()
	}()
	select {
	case p.url = <-where:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s ended before it listened: %w\n%s", cmd.Path, p.err, p.tail.String())
	case <-time.After(2 * time.Minute):
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("%s does not listen", cmd.Path)
	}
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.done
		return errors.New("did not stop within a minute")
	}
}

// data makes a data directory with an API key.
func (b *bench) data(ctx context.Context) (dir, key string, err error) {
	if dir, err = os.MkdirTemp(b.dir, "data-*"); err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, b.warder, "key", "create", "--data", dir, "--name", "bench", "--scopes", "events,check,blocks,read")
	out, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("make an API key: %w", err)
	}
	return dir, strings.TrimSpace(string(out)), nil
}

// serve runs Warder. wrap is put before its command line.
func (b *bench) serve(ctx context.Context, dir string, wrap ...string) (*process, error) {
	argv := append(wrap, b.warder, "serve", "--data", dir, "--listen", "127.0.0.1:0")
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// Databases that are kept for the next time may be old; nothing of them goes.
	cmd.Env = append(os.Environ(), "WARDER_LOG_FORMAT=json", "WARDER_RETENTION_EVENTS_DAYS=36500", "WARDER_RETENTION_MAX_SIZE=1000GiB")
	p, err := start(cmd, cmd.StderrPipe, func(line []byte) string {
		var said struct{ Msg, Address string }
		if json.Unmarshal(line, &said) != nil || said.Msg != "serving" {
			return ""
		}
		return "http://" + said.Address
	})
	if err != nil {
		return nil, err
	}
	if len(wrap) > 0 {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.pid, p.pid))
		if err == nil {
			p.pid, err = strconv.Atoi(strings.Fields(string(children) + " ?")[0])
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("find the server: %w", err), cmd.Process.Kill())
		}
	}
	return p, b.ready(ctx, p)
}

func (b *bench) ready(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("the server does not become ready"), p.stop())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// part runs this program in another role to its end and decodes what it prints.
func (b *bench) part(ctx context.Context, out any, name string, args ...string) error {
	return decode(exec.CommandContext(ctx, b.self, append([]string{"part", name}, args...)...), name, out)
}

// outside is part for somebody who in truth sits at another machine: what is
// measured is how long the server takes, not how long a client waits for a
// processor that the server is using. Where the system does not allow that, the
// client's own lag, which is printed, says how far to trust the figure.
func (b *bench) outside(ctx context.Context, out any, name string, args ...string) error {
	if _, err := exec.LookPath("nice"); err != nil || os.Geteuid() != 0 {
		return b.part(ctx, out, name, args...)
	}
	return decode(exec.CommandContext(ctx, "nice", append([]string{"-n", "-20", b.self, "part", name}, args...)...), name, out)
}

func decode(cmd *exec.Cmd, name string, out any) error {
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return json.Unmarshal(text, out)
}

// memory reads a figure of /proc/PID/status in bytes, such as VmHWM, the most
// that was resident at a time.
func memory(pid int, name string) (int64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name+":" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, name)
}

// cpu is the processor time that a process has used.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("stat of a process is cut short")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * (time.Second / ticks), errors.Join(err1, err2)
}

const ticks = 100 // of /proc, per second, on every Linux that Go runs on

// watchOthers returns a function that tells which share of the processors
// programs other than this one and its children used since then.
func watchOthers() func() float64 {
	busy := func() (sum time.Duration) {
		stat, err := os.ReadFile("/proc/stat")
		if err != nil {
			return 0
		}
		first, _, _ := strings.Cut(string(stat), "\n")
		for i, f := range strings.Fields(first) {
			if i == 0 || i == 4 || i == 5 || i > 8 { // the name, idle, waiting, guests (counted in user)
				continue
			}
			n, _ := strconv.ParseInt(f, 10, 64)
			sum += time.Duration(n) * (time.Second / ticks)
		}
		return sum
	}
	own := func() (sum time.Duration) {
		for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
			var u syscall.Rusage
			if syscall.Getrusage(who, &u) == nil {
				sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
			}
		}
		return sum
	}
	began, busy0, own0 := time.Now(), busy(), own()
	return func() float64 {
		others := (busy() - busy0) - (own() - own0)
		return max(0, others.Seconds()/(time.Since(began).Seconds()*numCPU()))
	}
}
