package app

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clientDriver signs somebody in by the client of the documentation and prints
// what came of it, whether the password was looked at, and how long it took.
const clientDriver = `<?php
require __DIR__ . '/client.php';
[, $ip, $password, $open] = $argv;
$_SERVER['REMOTE_ADDR'] = $ip;
$checked = 0;
$begin = hrtime(true);
$answer = warder_sign_in('alice', function () use ($password, &$checked): bool { $checked++; return $password === 'right'; }, $open === 'open');
echo json_encode($answer), "\n", $checked, "\n", intdiv(hrtime(true) - $begin, 1000000), "\n";
`

// TestRealPHPClient runs the client that the page about PHP prints.
func TestRealPHPClient(t *testing.T) {
	php := program(t, "php")
	if out, err := exec.CommandContext(t.Context(), php, "-r", "echo extension_loaded('curl') ? 'yes' : 'no';").Output(); err != nil || string(out) != "yes" {
		t.Skip("php-curl is not installed: apt-get install php-curl")
	}
	dir := t.TempDir()
	client := snippet(t, "php-nginx.md", "php")
	if n := strings.Count(strings.TrimSpace(client), "\n") + 1; n > 36 {
		t.Errorf("the client has %d lines", n)
	}
	putFile(t, filepath.Join(dir, "client.php"), client)
	putFile(t, filepath.Join(dir, "driver.php"), clientDriver)
	signIn := func(url, key, ip, password, policy string) (answer string, checked int, took time.Duration) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), php, "-d", "display_errors=stderr", filepath.Join(dir, "driver.php"), ip, password, policy)
		cmd.Env = append(os.Environ(), "WARDER_URL="+url, "WARDER_KEY="+key)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		lines := strings.Split(string(out), "\n")
		if err != nil || len(lines) != 4 || said.Len() > 0 {
			t.Fatalf("%v: %s%s", err, out, said.String())
		}
		checked, _ = strconv.Atoi(lines[1])
		ms, _ := strconv.Atoi(lines[2])
		return lines[0], checked, time.Duration(ms) * time.Millisecond
	}

	w := start(t, filepath.Join(dir, "data"), nil)
	const bad, good = "203.0.113.66", "203.0.113.9"
	for i := range 6 {
		answer, checked, _ := signIn(w.app.URL(), w.key, bad, fmt.Sprint("guess ", i), "closed")
		want, looked := "false", 1
		if i >= 4 {
			want = "Access denied. Reference"
		}
		if i == 5 {
			looked = 0
		}
		if !strings.Contains(answer, want) || checked != looked {
			t.Errorf("guess %d: %s, %d passwords were looked at", i, answer, checked)
		}
	}
	if answer, _, _ := signIn(w.app.URL(), w.key, good, "right", "closed"); answer != "true" {
		t.Errorf("the right password: %s", answer)
	}
	if answer, _, _ := signIn(w.app.URL(), w.key, good, "wrong", "open"); answer != "false" {
		t.Errorf("the wrong password of somebody else: %s", answer)
	}
	if answer, checked, _ := signIn(w.app.URL(), w.key+"0", good, "right", "closed"); !strings.Contains(answer, "not available") || checked != 0 {
		t.Errorf("with a wrong key: %s, %d passwords were looked at", answer, checked)
	}
	w.stop()

	// Warder is slow: it accepts and says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, url := range map[string]string{"stopped": w.app.URL(), "silent": "http://" + silent.Addr().String()} {
		for policy, want := range map[string]string{"closed": "not available", "open": "true"} {
			answer, checked, took := signIn(url, w.key, good, "right", policy)
			if !strings.Contains(answer, want) || (checked == 1) != (policy == "open") {
				t.Errorf("%s, %s: %s, %d passwords were looked at", name, policy, answer, checked)
			}
			if took > 2*time.Second || name == "silent" && took < 250*time.Millisecond { // 300 ms on a machine that is not busy
				t.Errorf("%s, %s: it took %s", name, policy, took)
			}
		}
		if answer, _, _ := signIn(url, w.key, good, "wrong", "open"); answer != "false" {
			t.Errorf("%s: a wrong password: %s", name, answer)
		}
	}

	// Warder falls silent between the announcement and the outcome: whether
	// the session may be opened was not said.
	half := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/attempts" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"attempt":"t","expires_in":30,"decision":{"action":"allow","reason":"ok"}}`)
	}))
	defer half.Close()
	for _, c := range []struct{ password, policy, want string }{
		{"right", "closed", "not available"},
		{"right", "open", "true"},
		{"wrong", "closed", "false"},
	} {
		if answer, checked, _ := signIn(half.URL, w.key, good, c.password, c.policy); !strings.Contains(answer, c.want) || checked != 1 {
			t.Errorf("no answer to the outcome, %s password, %s: %s, %d passwords were looked at", c.password, c.policy, answer, checked)
		}
	}
}
