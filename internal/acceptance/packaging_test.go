//go:build linux

package acceptance

import (
	"bufio"
	"debug/elf"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServiceUnit: systemd takes the unit for valid, and for one that is hardly
// exposed.
func TestServiceUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text, err := os.ReadFile("../../packaging/warder.service")
	if err != nil {
		t.Fatal(err)
	}
	// It must be a program that is there, or verify complains.
	unit := filepath.Join(t.TempDir(), "warder.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/warder", binary)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), unit) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 10 is a service without any protection.
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--threshold=15", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if command, ok := strings.CutPrefix(line, "ExecStart=/usr/local/bin/warder "); ok {
			if out, err := exec.CommandContext(t.Context(), binary, append(strings.Fields(command), "--help")...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
		}
	}
}

// TestImage: what the Dockerfile builds runs without anything else in its
// file system, as nobody. Docker itself is not run here.
func TestImage(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", "\nVOLUME /data\n", "\nHEALTHCHECK "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
	build := regexp.MustCompile(`RUN (CGO_ENABLED=0 go build .*) -o /out/warder (\./cmd/warder)`).FindStringSubmatch(string(text))
	check := regexp.MustCompile(`HEALTHCHECK .* CMD \["/warder", "(\w+)"\]`).FindStringSubmatch(string(text))
	if build == nil || check == nil {
		t.Fatal("the Dockerfile builds or checks otherwise")
	}
	if !soak {
		t.Skip("make soak builds it: without C everything is compiled once more, which takes minutes")
	}
	root := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", build[1]+" -o "+filepath.Join(root, "warder")+" "+build[2])
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "VERSION=v0-test")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build[1], err, out)
	}
	program, err := elf.Open(filepath.Join(root, "warder"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if libraries, err := program.ImportedLibraries(); len(libraries) > 0 || slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("the program is not static: %v %v", libraries, err)
	}
	if os.Getuid() != 0 {
		t.Skip("not root: the program is static, but cannot be run in a file system of its own")
	}
	for _, dir := range []string{root, filepath.Dir(root)} { // others may look through
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(root, "data")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Chown(data, 65532, 65532)); err != nil {
		t.Fatal(err)
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "/warder", args...)
		cmd.Dir, cmd.Env = "/", []string{"WARDER_DATA=/data", "WARDER_LISTEN=127.0.0.1:0"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	if out, err := inside(check[1]).CombinedOutput(); err == nil {
		t.Errorf("before the start %s says %s", check[1], out)
	}
	serve := inside("serve")
	pipe, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	var said logBuffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			said.add(lines.Text())
			if m := addressLine.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	select {
	case a := <-address:
		res, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + a + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("/readyz: %d", res.StatusCode)
		}
	case <-done:
		t.Fatalf("the server ended:\n%s", said.tail(4000))
	case <-time.After(30 * time.Second):
		t.Fatalf("the server does not listen:\n%s", said.tail(4000))
	}
	if out, err := inside(check[1]).CombinedOutput(); err != nil || !strings.Contains(string(out), "ready") {
		t.Errorf("%s: %v %s", check[1], err, out)
	}
	if out, err := inside("version").CombinedOutput(); err != nil || !strings.Contains(string(out), "v0-test") {
		t.Errorf("version: %v %s", err, out)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := serve.Wait(); err != nil {
		t.Errorf("the end: %v\n%s", err, said.tail(4000))
	}
}
