package app

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/config"
)

// phpApplication is what somebody wrote years ago.
const phpApplication = `<?php
session_start();
file_put_contents(__DIR__ . '/../requests', $_SERVER['REMOTE_ADDR'] . ' ' . $_SERVER['REQUEST_METHOD'] . ' ' . $_SERVER['REQUEST_URI'] . "\n", FILE_APPEND | LOCK_EX);
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/login' && $_SERVER['REQUEST_METHOD'] === 'POST') {
    file_put_contents(__DIR__ . '/../checked', '.', FILE_APPEND | LOCK_EX);
    if (($_POST['password'] ?? '') === 'right') {
        session_regenerate_id(true);
        $_SESSION['user'] = $_POST['username'];
        header('Location: /home', true, 302);
        exit;
    }
    echo 'Wrong user name or password.';
} elseif ($path === '/upload') {
    echo filesize($_FILES['file']['tmp_name']);
} elseif (isset($_SESSION['user'])) {
    echo 'hello ' . $_SESSION['user'];
} else {
    echo 'please sign in';
}
`

// TestRealPHP runs the page about PHP behind nginx: real nginx twice, the gate
// in between, real php-fpm.
func TestRealPHP(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "html")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	putFile(t, filepath.Join(root, "index.php"), phpApplication)
	outer := behindNginx(t, phpSite{dir: dir, root: root, profile: "generic-form", sessions: []string{"PHPSESSID"}}).port

	checked := func() int {
		b, err := os.ReadFile(filepath.Join(dir, "checked"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(b)
	}
	const good, bad = "127.0.0.9", "127.0.0.66"
	post := func(from string, form url.Values, header ...string) (int, string, http.Header) {
		body := form.Encode()
		return askWith(t, outer, from, "POST", "/login", body, append(header, "Content-Type", "application/x-www-form-urlencoded")...)
	}
	status, _, h := post(good, right("alice"))
	if status != http.StatusFound {
		t.Fatalf("the right password: %d", status)
	}
	cookie := ""
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if c.Name == "PHPSESSID" {
			cookie = "PHPSESSID=" + c.Value
		}
	}
	if _, body, _ := ask(t, outer, good, "GET", "/home", "Cookie", cookie); body != "hello alice" {
		t.Errorf("signed in: %q with %s", body, cookie)
	}
	requests, err := os.ReadFile(filepath.Join(dir, "requests"))
	if err != nil || !strings.HasPrefix(string(requests), good+" POST /login\n") {
		t.Errorf("PHP sees %q %v", requests, err)
	}
	big := strings.Repeat("x", 8<<20)
	upload := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + big + "\r\n--b--\r\n"
	if status, body, _ := askWith(t, outer, good, "POST", "/upload", upload, "Content-Type", "multipart/form-data; boundary=b", "Cookie", cookie); body != fmt.Sprint(len(big)) {
		t.Errorf("upload: %d %q", status, body)
	}
	before := checked()
	for i := range 8 {
		status, body, _ := post(bad, wrong("alice", i), "Accept", "text/html")
		if want := i >= 4; (status == http.StatusForbidden) != want || want && !strings.Contains(body, "Reference") {
			t.Errorf("guess %d: %d %s", i, status, body)
		}
	}
	if n := checked() - before; n != 5 {
		t.Errorf("PHP checked %d passwords", n)
	}
	if status, _, _ := ask(t, outer, bad, "GET", "/index.php"); status != http.StatusForbidden {
		t.Errorf("another page: %d", status)
	}
	if status, body, _ := ask(t, outer, good, "GET", "/home", "Cookie", cookie); body != "hello alice" {
		t.Errorf("alice from elsewhere: %d %q", status, body)
	}
}

// phpSite is a PHP application as docs/integrations/php-nginx.md runs it: real
// nginx twice, the gate in between, real php-fpm.
type phpSite struct {
	dir, root string // a directory for what it writes, and its document root
	profile   string
	sessions  []string
	settings  string // more lines of the pool
	// extensions says that PHP reads the distribution's settings, which load them.
	extensions bool
}

// runningPHP is a phpSite that runs.
type runningPHP struct {
	*server
	port  string // of the outer nginx, where visitors come in
	inner string // of the nginx behind the gate
}

// phpFPM finds php-fpm, or skips the test.
func phpFPM(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"php-fpm", "php-fpm8.2", "php-fpm8.3", "php-fpm8.4"} {
		if path := "/usr/sbin/" + name; exists(path) {
			return path
		}
	}
	t.Skip("php-fpm is not installed: apt-get install php-fpm")
	return ""
}

func behindNginx(t *testing.T, s phpSite) runningPHP {
	t.Helper()
	nginx, fpm := program(t, "nginx"), phpFPM(t)
	sessions := filepath.Join(s.dir, "sessions")
	if err := os.Mkdir(sessions, 0o700); err != nil {
		t.Fatal(err)
	}
	inner, outer, phpPort := freePort(t), freePort(t), freePort(t)
	w := start(t, filepath.Join(s.dir, "data"), func(c *config.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.ProtectLoopback = false // clients of this test live there
		c.Sites = []config.Site{{
			Name: "www", Listen: "127.0.0.1:0", Upstream: "http://127.0.0.1:" + inner, Profile: s.profile,
			SessionCookies: s.sessions, Timeout: time.Minute,
		}}
	})

	pool := fmt.Sprintf("[global]\nerror_log = /proc/self/fd/2\ndaemonize = no\n[www]\nlisten = 127.0.0.1:%s\npm = static\npm.max_children = 4\n"+
		"php_admin_value[session.save_path] = %s\nphp_admin_value[upload_max_filesize] = 64M\nphp_admin_value[post_max_size] = 64M\n%s", phpPort, sessions, s.settings)
	args := []string{"-F", "-y", filepath.Join(s.dir, "fpm.conf")}
	if !s.extensions {
		args = append(args, "-n")
	}
	if os.Getuid() == 0 {
		pool += "user = root\ngroup = root\n"
		args = append(args, "-R")
	}
	putFile(t, filepath.Join(s.dir, "fpm.conf"), pool)
	launch(t, phpPort, fpm, args...)

	conf := substitute(t, snippet(t, "php-nginx.md", "nginx"), "listen 80;", "listen 127.0.0.1:"+outer+";",
		"http://127.0.0.1:8080", "http://"+w.app.SiteAddr("www"), "listen 127.0.0.1:8081;", "listen 127.0.0.1:"+inner+";",
		"/var/www/html", s.root, "unix:/run/php/php-fpm.sock", "127.0.0.1:"+phpPort, "include fastcgi_params;", "include /etc/nginx/fastcgi_params;")
	path := filepath.Join(s.dir, "nginx.conf")
	putFile(t, path, nginxAround(s.dir, conf))
	launch(t, outer, nginx, "-p", s.dir, "-c", path, "-e", "stderr")
	return runningPHP{w, outer, inner}
}

// nginxAround puts what a whole configuration of nginx needs around a piece of
// documentation, for any user and without traces outside of dir.
func nginxAround(dir, conf string) string {
	whole := fmt.Sprintf("daemon off;\nmaster_process off;\nerror_log stderr;\npid %s/pid;\nevents {}\nhttp {\naccess_log off;\n", dir)
	if os.Getuid() == 0 {
		whole = "user root;\n" + whole
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		whole += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	return whole + conf + "}\n"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
