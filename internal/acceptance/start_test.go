//go:build linux

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFaultyStart: a start that cannot succeed is one clear line on standard
// error, exit code 1, and nothing on standard output.
func TestFaultyStart(t *testing.T) {
	running := newServer(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()

	write := func(t *testing.T, name, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := &server{t: t, data: filepath.Join(t.TempDir(), "data")}
	newer.cli("key", "create", "--name", "x", "--scopes", "read")
	db := newer.openDatabase()
	if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name   string
		listen string
		data   string
		args   []string
		env    []string
		nobody bool // run by a user who may write nowhere
		want   string
	}{
		{name: "port taken", listen: taken.Addr().String(), want: `listen on 127\.0\.0\.1:\d+: the port is taken: .*--listen`},
		{name: "data directory in use", data: running.data, want: `data directory .* is in use by process \d+: stop it, or choose another directory with --data`},
		{name: "a file in the way", data: write(t, "data", ""), want: `data directory .* is not writable \(not a directory\)`},
		{name: "data directory not writable", data: "/usr/warder-acceptance", nobody: true, want: `data directory /usr/warder-acceptance is not writable \(permission denied\): make it writable for user 65534`},
		{name: "database newer than the program", data: newer.data, want: `warder\.db was written by a newer Warder: install that version`},
		{name: "faulty policy", env: []string{"POLICY_FILE=" + write(t, "policy.yaml", "activity:\n  rules:\n    - {id: a, events: [USER_LOGIN_FAILURE], key: ip, threshold: 0, time_range: 60, cooling_period: 60, action: block}\n")}, want: `policy_file .*policy\.yaml: .*activity\.rules\[0\]\.threshold`},
		{name: "policy that is no YAML", env: []string{"POLICY_FILE=" + write(t, "policy.yaml", "activity: [")}, want: `policy_file .*policy\.yaml: `},
		{name: "policy that is not there", env: []string{"POLICY_FILE=/nonexistent.yaml"}, want: `policy_file.*/nonexistent\.yaml`},
		{name: "faulty configuration", args: []string{"--config", write(t, "warder.yaml", "listen: 127.0.0.1:8420\nlimits: {counter: 1GiB}\n")}, want: `warder\.yaml: limits\.counter \(line 2\)`},
		{name: "configuration that is no YAML", args: []string{"--config", write(t, "warder.yaml", "listen: [")}, want: `warder\.yaml`},
		{name: "configuration that is not there", args: []string{"--config", "/nonexistent.yaml"}, want: `/nonexistent\.yaml`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.nobody && os.Getuid() != 0 {
				t.Skip("needs root, to become somebody else")
			}
			s := &server{t: t, data: tt.data}
			if s.data == "" {
				s.data = filepath.Join(t.TempDir(), "data")
			}
			if tt.listen == "" {
				tt.listen = "127.0.0.1:0"
			}
			for _, setting := range tt.env {
				s.env = append(s.env, "WARDER_"+setting)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := s.command(ctx, append([]string{"serve", "--data", s.data, "--listen", tt.listen}, tt.args...)...)
			if tt.nobody {
				if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
					t.Fatal(err)
				}
				cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
				cmd.Dir = "/"
			}
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("exit: %v, want code 1", err)
			}
			if lines := strings.Count(errs.String(), "\n"); lines != 1 || !strings.HasPrefix(errs.String(), "warder: ") || !regexp.MustCompile(tt.want).MatchString(errs.String()) {
				t.Errorf("%d lines: %s, want one that matches %s", lines, errs.String(), tt.want)
			}
			if out.Len() > 0 {
				t.Errorf("standard output: %s", out.String())
			}
		})
	}
	// The one that was running does not mind.
	if d := running.check("203.0.113.84"); d.Action != "allow" {
		t.Errorf("%+v", d)
	}
}
