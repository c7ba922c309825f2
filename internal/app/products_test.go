package app

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/store"
)

// Clients of the products live at addresses of loopback.
const (
	office   = "127.0.0.9"
	stranger = "127.0.0.66"
)

// packaged skips the test unless a file of a package of the distribution is
// there.
func packaged(t *testing.T, name, file string) {
	t.Helper()
	if !exists(file) {
		t.Skipf("%s is not installed (%s is missing): scripts/need products, or apt-get install %s", name, file, name)
	}
}

// copyTree copies what a package installed, links followed, so that the
// product can be configured and can write without touching the system's own.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", "-rL", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v %s", from, err, out)
	}
}

// mariaDB runs a database server of its own, which ends with the test, and
// returns its port. Its superuser runs the statements at the start.
func mariaDB(t *testing.T, dir string, sql ...string) (port string) {
	t.Helper()
	server := program(t, "mariadbd")
	data, port := filepath.Join(dir, "db"), freePort(t)
	// --user matters to root only, who must say so.
	if out, err := exec.CommandContext(t.Context(), "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v %s", err, out)
	}
	putFile(t, filepath.Join(dir, "init.sql"), strings.Join(sql, ";\n")+";\n")
	launch(t, port, server, "--no-defaults", "--user=root", "--datadir="+data, "--socket="+filepath.Join(dir, "db.sock"),
		"--pid-file="+filepath.Join(dir, "db.pid"), "--bind-address=127.0.0.1", "--port="+port, "--init-file="+filepath.Join(dir, "init.sql"),
		"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--max-allowed-packet=64M", "--skip-log-bin", "--skip-name-resolve")
	return port
}

// browser is a visitor of www.example.org who comes from an address of loopback
// and keeps cookies.
type browser struct {
	t *testing.T
	*http.Client
}

func browse(t *testing.T, port, from string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", "127.0.0.1:"+port)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &browser{t, &http.Client{
		Transport: tr, Jar: jar, Timeout: 40 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (b *browser) send(method, target, kind string, body io.Reader, header ...string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, "http://www.example.org"+target, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return do(b.t, b.Client, r)
}

func (b *browser) get(target string, header ...string) reply {
	b.t.Helper()
	return b.send("GET", target, "", nil, header...)
}

// post sends a form, given as names and values.
func (b *browser) post(target string, pairs ...string) reply {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return b.send("POST", target, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// upload sends a multipart form with one file.
func (b *browser) upload(target, field, name string, file []byte, pairs ...string) reply {
	b.t.Helper()
	var body bytes.Buffer
	mw := multipart.NewWriter(&body)
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := mw.WriteField(pairs[i], pairs[i+1]); err != nil {
			b.t.Fatal(err)
		}
	}
	part, err := mw.CreateFormFile(field, name)
	if err == nil {
		_, err = part.Write(file)
	}
	if err == nil {
		err = mw.Close()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send("POST", target, mw.FormDataContentType(), &body)
}

// find returns the first group of a pattern in a page.
func find(t *testing.T, page, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no %s:\n%.2000s", pattern, page)
	}
	return html.UnescapeString(m[1])
}

// outcomes are the events that a site reported, oldest first, as
// name/realm/account, with the reason if there is one.
func (w *server) outcomes() []string {
	w.t.Helper()
	page, err := w.app.db.ListEvents(w.t.Context(), store.EventFilter{}, store.Page{Limit: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range slices.Backward(page.Items) {
		if !slices.Contains([]string{"THRESHOLD_EXCEEDED", "IP_BLOCKED", "SESSION_TERMINATED", "SUSPICIOUS_IP", "IP_UNBLOCKED"}, e.Name) {
			out = append(out, strings.TrimSuffix(e.Name+" "+e.Realm+"/"+e.Account+" "+e.Reason, " "))
		}
	}
	return out
}

// watcher remembers what of that was looked at.
type watcher struct {
	*server
	seen int
}

// expect compares what was reported since the last call.
func (w *watcher) expect(what string, want ...string) {
	w.t.Helper()
	all := w.outcomes()
	got := all[w.seen:]
	w.seen = len(all)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: reported\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func times(n int, s string) []string { return slices.Repeat([]string{s}, n) }

// TestRealWordPress runs the WordPress of the distribution behind nginx, the
// gate and nginx, on a database of its own.
func TestRealWordPress(t *testing.T) {
	packaged(t, "wordpress", "/usr/share/wordpress/wp-login.php")
	packaged(t, "php-mysql", "/usr/share/php8.2-mysql")
	packaged(t, "mariadb-server", "/usr/sbin/mariadbd")
	phpFPM(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "wordpress")
	copyTree(t, "/usr/share/wordpress", root)
	db := mariaDB(t, dir, "CREATE DATABASE wordpress", "GRANT ALL ON wordpress.* TO wordpress@'127.0.0.1' IDENTIFIED BY 'secret'")
	putFile(t, filepath.Join(root, "wp-config.php"), fmt.Sprintf(`<?php
define('DB_NAME', 'wordpress'); define('DB_USER', 'wordpress'); define('DB_PASSWORD', 'secret'); define('DB_HOST', '127.0.0.1:%s');
define('WP_HOME', 'http://www.example.org'); define('WP_SITEURL', 'http://www.example.org');
define('DISABLE_WP_CRON', true); define('WP_HTTP_BLOCK_EXTERNAL', true); define('AUTOMATIC_UPDATER_DISABLED', true);
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
`, db))
	mails, sendmail := filepath.Join(dir, "mails"), filepath.Join(dir, "sendmail")
	if err := os.WriteFile(sendmail, []byte("#!/bin/sh\ncat >> "+mails+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	php := behindNginx(t, phpSite{
		dir: dir, root: root, profile: "wordpress", extensions: true,
		settings: "php_admin_value[sendmail_path] = " + sendmail + "\n",
	})
	owner := browse(t, php.port, office)
	if r := owner.post("/wp-admin/install.php?step=2", "weblog_title", "Test", "user_name", "root", "admin_password", "right-1",
		"admin_password2", "right-1", "pw_weak", "on", "admin_email", "root@example.org", "blog_public", "0", "language", ""); !strings.Contains(r.body, "Success!") {
		t.Fatalf("install: %d\n%.3000s", r.status, r.body)
	}
	w := &watcher{server: php.server}
	w.expect("the installation")
	form := owner.get("/wp-login.php")
	if form.status != http.StatusOK || !strings.Contains(form.body, `name="pwd"`) {
		t.Fatalf("the form: %d", form.status)
	}
	if r := owner.get("/wp-admin/users.php"); r.status != http.StatusFound {
		t.Errorf("a page of the administration, signed out: %d", r.status)
	}
	owner.get("/wp-admin/admin-ajax.php?action=heartbeat") // for visitors
	w.expect("signed out", "UNAUTHORIZED_ACCESS admin/")
	signIn := func(b *browser, account, password string, more ...string) reply {
		b.t.Helper()
		return b.post("/wp-login.php", append([]string{"log", account, "pwd", password, "wp-submit", "Log In", "testcookie", "1", "redirect_to", "http://www.example.org/wp-admin/"}, more...)...)
	}
	signIn(owner, "root", "wrong")
	signIn(owner, "nobody", "wrong")
	if r := signIn(owner, "root", "right-1"); r.status != http.StatusFound {
		t.Errorf("the right password: %d", r.status)
	}
	w.expect("sign-ins", "USER_LOGIN_FAILURE user/root wrong_password", "USER_LOGIN_FAILURE user/nobody unknown_account", "USER_LOGIN_SUCCESS user/root")
	if r := owner.get("/wp-admin/users.php"); r.status != http.StatusOK || !strings.Contains(r.body, "root@example.org") {
		t.Errorf("a page of the administration, signed in: %d", r.status)
	}

	// The window that opens over an expired session.
	again := browse(t, php.port, office)
	if r := signIn(again, "root", "right-1", "interim-login", "1"); r.status != http.StatusOK {
		t.Errorf("the window: %d", r.status)
	}
	signIn(again, "root", "wrong", "interim-login", "1")
	w.expect("the window", "USER_LOGIN_SUCCESS user/root", "USER_LOGIN_FAILURE user/root wrong_password")

	// A file of some MiB, by the page and by the editor's way.
	nonce := find(t, owner.get("/wp-admin/media-new.php").body, `name="_wpnonce" value="([0-9a-f]+)"`)
	file := bytes.Repeat([]byte("some text\n"), 400<<10)
	r := owner.upload("/wp-admin/async-upload.php", "async-upload", "big.txt", file, "name", "big.txt", "action", "upload-attachment", "_wpnonce", nonce)
	if r.status != http.StatusOK || !strings.Contains(r.body, `"success":true`) {
		t.Errorf("upload: %d %.300s", r.status, r.body)
	} else if got := owner.get(strings.ReplaceAll(find(t, r.body, `"url":"http:\\/\\/www.example.org([^"]+)"`), `\/`, "/")); got.body != string(file) {
		t.Errorf("the file that was uploaded: %d, %d bytes", got.status, len(got.body))
	}
	rest := find(t, owner.get("/wp-admin/post-new.php").body, `createNonceMiddleware\( "([0-9a-f]+)" \)`)
	if r := owner.send("POST", "/index.php?rest_route=/wp/v2/media", "text/plain", bytes.NewReader(file), "X-WP-Nonce", rest,
		"Content-Disposition", `attachment; filename="rest.txt"`); r.status != http.StatusCreated {
		t.Errorf("upload by the editor: %d %.300s", r.status, r.body)
	}
	w.expect("uploads")

	// Recovery: the request, the mail, the new password.
	visitor := browse(t, php.port, office)
	visitor.post("/wp-login.php?action=lostpassword", "user_login", "root")
	mail, err := os.ReadFile(mails)
	if err != nil {
		t.Fatal(err)
	}
	key := find(t, string(mail), `(/wp-login.php\?action=rp&key=[^\s&]+&login=root)`)
	if r := visitor.get(key); r.status != http.StatusFound {
		t.Errorf("the link of the mail: %d", r.status)
	}
	secret := find(t, visitor.get("/wp-login.php?action=rp").body, `name="rp_key" value="([^"]+)"`)
	for range 6 { // not the same twice: nobody is blocked for that
		visitor.post("/wp-login.php?action=resetpass", "pass1", "right-2", "pass2", "right-3", "rp_key", secret)
	}
	if r := visitor.post("/wp-login.php?action=resetpass", "pass1", "right-2", "pass2", "right-2", "pw_weak", "on", "rp_key", secret); r.status != http.StatusOK {
		t.Errorf("the new password: %d", r.status)
	}
	visitor.post("/wp-login.php?action=resetpass", "pass1", "x", "pass2", "x", "rp_key", "wrong")
	visitor.post("/wp-login.php?action=register", "user_login", "new", "user_email", "new@example.org")
	w.expect("recovery and sign-up", slices.Concat([]string{"USER_PASSWORD_RESET_REQUEST user/root"}, times(6, "USER_PASSWORD_RESET_ERROR user/"),
		[]string{"USER_PASSWORD_RESET_SUCCESS user/", "USER_PASSWORD_RESET_FAILURE user/ wrong_password", "SIGNUP_FAILURE user/new wrong_password"})...)

	// The old session ended with the password; a new one, signed out.
	if r := signIn(owner, "root", "right-2"); r.status != http.StatusFound {
		t.Errorf("the new password: %d", r.status)
	}
	leave := find(t, owner.get("/wp-admin/index.php").body, `href="http://www.example.org(/wp-login.php\?action=logout[^"]+)"`)
	if r := owner.get(leave + "0"); r.status != http.StatusForbidden {
		t.Errorf("a wrong link to sign out: %d", r.status)
	}
	if r := owner.get(leave); r.status != http.StatusFound {
		t.Errorf("sign out: %d", r.status)
	}
	if r := owner.get("/wp-admin/index.php"); r.status != http.StatusFound {
		t.Errorf("signed out: %d", r.status)
	}
	signIn(owner, "root", "right-2")
	w.expect("sign-out", "USER_LOGIN_SUCCESS user/root", "LOGOUT user/root", "UNAUTHORIZED_ACCESS admin/", "USER_LOGIN_SUCCESS user/root")

	xml := func(b *browser, body string) reply {
		b.t.Helper()
		return b.send("POST", "/xmlrpc.php", "text/xml", strings.NewReader(body))
	}
	for _, call := range []string{
		rpc("wp.getUsersBlogs", "root", "wrong"),
		rpc("wp.getUsersBlogs", "root", "right-2"),
		rpc("wp.getPosts", "1", "root", "right-2"),
		rpc("metaWeblog.getRecentPosts", "1", "root", "wrong too"),
		rpc("blogger.getUserInfo", "key", "root", "right-2"),
	} {
		if r := xml(owner, call); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", call, r.status, r.body)
		}
	}
	w.expect("XML-RPC", "USER_LOGIN_FAILURE user/root wrong_password", "USER_LOGIN_SUCCESS user/root", "USER_LOGIN_SUCCESS user/root",
		"USER_LOGIN_FAILURE user/root wrong_password", "USER_LOGIN_SUCCESS user/root")
	for range 3 {
		xml(owner, rpc("system.listMethods"))
		xml(owner, rpc("pingback.ping", "http://a.example/", "http://b.example/"))
	}
	if r := xml(owner, `<methodCall><methodName>pingback.ping</methodName><methodName>wp.getUsersBlogs</methodName></methodCall>`); r.status != http.StatusBadRequest {
		t.Errorf("a call with two methods: %d", r.status)
	}
	owner.get("/xmlrpc.php?rsd")
	w.expect("calls without a password")

	// Many guesses in one call: WordPress looks at the first wrong one, so the
	// call is one guess; a right one beside it does not make it right.
	r = xml(owner, multicall("root", "wrong", "root", "right-2"))
	if n := strings.Count(r.body, "faultCode"); n != 2 {
		t.Errorf("%d calls of two fail:\n%s", n, r.body)
	}
	xml(owner, multicall("root", "right-2", "root", "wrong"))
	w.expect("many calls in one", times(2, "USER_LOGIN_FAILURE user/ wrong_password")...)

	// A session that was ended is ended in all of its cookies.
	if status := php.local("POST", "/v1/sessions/revoke", map[string]string{"account": "root", "realm": "user", "reason": "test"}, nil); status/100 != 2 {
		t.Fatalf("revoke: %d", status)
	}
	cookies := owner.Jar.Cookies(&url.URL{Scheme: "http", Host: "www.example.org", Path: "/wp-admin/"})
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, "wordpress_") || strings.Contains(c.Name, "test") {
			continue
		}
		if r := browse(t, php.port, office).get("/wp-admin/index.php", "Cookie", c.Name+"="+c.Value); r.status != http.StatusFound {
			t.Errorf("%s of an ended session: %d", c.Name, r.status)
		}
	}
	w.seen = len(w.outcomes())

	// The fifth wrong password blocks, whichever door it comes through, and
	// nothing on the way takes guesses back.
	bad := browse(t, php.port, stranger)
	for i, guess := range []func() reply{
		func() reply { return signIn(bad, "root", "a") },
		func() reply { return xml(bad, rpc("wp.getUsersBlogs", "root", "b")) },
		func() reply { return xml(bad, multicall("root", "c", "root", "d")) },
		func() reply { return signIn(bad, "root", "e") },
	} {
		if r := guess(); r.status != http.StatusOK {
			t.Errorf("guess %d: %d %.300s", i, r.status, r.body)
		}
		xml(bad, rpc("system.listMethods"))
		xml(bad, `<methodCall><methodName>system.multicall</methodName><params><param><value><array><data/></array></value></param></params></methodCall>`)
	}
	if r := signIn(bad, "root", "f"); r.status != http.StatusForbidden || !strings.Contains(r.body, "Reference") {
		t.Errorf("the fifth guess: %d", r.status)
	}
	if r := signIn(bad, "root", "right-2"); r.status != http.StatusForbidden {
		t.Errorf("the right password after it: %d", r.status)
	}
	for _, path := range []string{"/", "/wp-login.php", "/wp-admin/", "/xmlrpc.php", "/wp-includes/js/jquery/jquery.min.js"} {
		if r := bad.get(path); r.status != http.StatusForbidden {
			t.Errorf("%s after the fifth: %d", path, r.status)
		}
	}
	if r := browse(t, php.port, office).get("/wp-login.php"); r.status != http.StatusOK {
		t.Errorf("everybody else: %d", r.status)
	}
}

// rpc is a call of XML-RPC whose parameters are texts.
func rpc(method string, params ...string) string {
	s := "<?xml version=\"1.0\"?><methodCall><methodName>" + method + "</methodName><params>"
	for _, p := range params {
		s += "<param><value><string>" + p + "</string></value></param>"
	}
	return s + "</params></methodCall>"
}

// multicall is one call of several that each name an account and a password.
func multicall(pairs ...string) string {
	s := "<?xml version=\"1.0\"?><methodCall><methodName>system.multicall</methodName><params><param><value><array><data>"
	for i := 0; i < len(pairs); i += 2 {
		s += "<value><struct><member><name>methodName</name><value><string>wp.getUsersBlogs</string></value></member>" +
			"<member><name>params</name><value><array><data><value><string>" + pairs[i] + "</string></value><value><string>" + pairs[i+1] +
			"</string></value></data></array></value></member></struct></value>"
	}
	return s + "</data></array></value></param></params></methodCall>"
}

// TestRealPhpMyAdmin runs the phpMyAdmin of the distribution behind nginx, the
// gate and nginx, on a database of its own.
func TestRealPhpMyAdmin(t *testing.T) {
	packaged(t, "phpmyadmin", "/usr/share/phpmyadmin/libraries/vendor_config.php")
	packaged(t, "mariadb-server", "/usr/sbin/mariadbd")
	phpFPM(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "html")
	copyTree(t, "/usr/share/phpmyadmin", root)
	db := mariaDB(t, dir, "CREATE DATABASE shop", "GRANT ALL ON *.* TO alice@'127.0.0.1' IDENTIFIED BY 'right'")
	vendor := filepath.Join(root, "libraries", "vendor_config.php")
	b, err := os.ReadFile(vendor)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, vendor, substitute(t, string(b), "'/etc/phpmyadmin/config.inc.php'", "'"+dir+"/config.inc.php'", "'/var/lib/phpmyadmin/tmp/'", "'"+dir+"/tmp/'"))
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	putFile(t, filepath.Join(dir, "config.inc.php"), fmt.Sprintf(`<?php
$cfg['blowfish_secret'] = '0123456789abcdef0123456789abcdef';
$cfg['Servers'][1] = ['auth_type' => 'cookie', 'host' => '127.0.0.1', 'port' => '%s', 'AllowNoPassword' => false];
$cfg['SendErrorReports'] = 'never';
`, db))
	php := behindNginx(t, phpSite{dir: dir, root: root, profile: "phpmyadmin", extensions: true})
	w := &watcher{server: php.server}

	// The form's token belongs to the session that the form began.
	signIn := func(b *browser, path, password string) reply {
		b.t.Helper()
		page := b.get(path)
		if page.status != http.StatusOK {
			return page
		}
		return b.post(path+"?route=/", "set_session", find(t, page.body, `name="set_session" value="([^"]+)"`),
			"token", find(t, page.body, `name="token" value="([^"]+)"`), "pma_username", "alice", "pma_password", password, "server", "1", "route", "/")
	}
	owner := browse(t, php.port, office)
	if r := signIn(owner, "/index.php", "wrong"); r.status != http.StatusOK || !strings.Contains(r.body, "Access denied") && !strings.Contains(r.body, "Cannot log in") {
		t.Errorf("a wrong password: %d", r.status)
	}
	if r := signIn(owner, "/", "right"); r.status != http.StatusFound { // the directory's own page
		t.Errorf("the right password: %d", r.status)
	}
	w.expect("sign-ins", "ADMIN_LOGIN_FAILURE admin/alice wrong_password", "ADMIN_LOGIN_SUCCESS admin/alice")
	home := owner.get("/index.php?route=/").body
	token := find(t, home, `token:"([^"]+)"`)
	if r := owner.post("/index.php?route=/sql", "token", token, "db", "shop", "sql_query", "CREATE TABLE t (id INT PRIMARY KEY, note LONGTEXT)", "ajax_request", "true"); !strings.Contains(r.body, `"success":true`) {
		t.Errorf("a query: %d %.500s", r.status, r.body)
	}

	// An import of some MiB.
	var sql strings.Builder
	const rows = 600
	for i := range rows {
		fmt.Fprintf(&sql, "INSERT INTO t VALUES (%d, '%s');\n", i, strings.Repeat("x", 8<<10))
	}
	more := []string{"token", token, "db", "shop", "import_type", "database", "format", "sql", "charset_of_file", "utf-8", "sql_compatibility", "NONE", "ajax_request", "true"}
	if r := owner.upload("/index.php?route=/import", "import_file", "dump.sql", []byte(sql.String()), more...); r.status != http.StatusOK || !strings.Contains(r.body, `"success":true`) {
		t.Errorf("import: %d %.500s", r.status, r.body)
	}
	if r := owner.post("/index.php?route=/sql", "token", token, "db", "shop", "sql_query", "SELECT COUNT(*) AS n FROM t", "ajax_request", "true"); !strings.Contains(r.body, fmt.Sprint(rows)) {
		t.Errorf("what was imported: %.1000s", r.body)
	}
	w.expect("work")

	// Credentials behind a file, where nobody would keep them in memory.
	bad := browse(t, php.port, stranger)
	for _, name := range []string{"pma_username", "pma.username", " pma_username", "pma[username"} {
		if r := bad.upload("/", "import_file", "dump.sql", []byte(sql.String()), "a", "b"); r.status != http.StatusOK {
			t.Errorf("an upload by a stranger: %d", r.status)
		}
		status, _, _ := askWith(t, php.port, stranger, "POST", "/index.php", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n"+sql.String()+
			"\r\n--b\r\nContent-Disposition: form-data; name=\""+name+"\"\r\n\r\nalice\r\n--b\r\nContent-Disposition: form-data; name=\"pma_password\"\r\n\r\nright\r\n--b--\r\n",
			"Content-Type", "multipart/form-data; boundary=b")
		if status != http.StatusRequestEntityTooLarge {
			t.Errorf("%q behind a file: %d", name, status)
		}
	}
	w.expect("hidden credentials")

	// The window over an expired session answers in JSON.
	late := browse(t, php.port, office)
	page := late.get("/index.php")
	form := []string{
		"set_session", find(t, page.body, `name="set_session" value="([^"]+)"`), "token", find(t, page.body, `name="token" value="([^"]+)"`),
		"pma_username", "alice", "pma_password", "right", "server", "1", "route", "/", "session_timedout", "1", "ajax_request", "true",
	}
	if r := late.post("/index.php?route=/", form...); !strings.Contains(r.body, `"logged_in":1`) {
		t.Errorf("the window: %d %.300s", r.status, r.body)
	}
	w.expect("the window", "ADMIN_LOGIN_SUCCESS admin/alice")

	if r := owner.post("/index.php?route=/logout", "token", token); r.status != http.StatusFound {
		t.Errorf("sign out: %d", r.status)
	}
	if r := owner.get("/index.php?route=/"); !strings.Contains(r.body, "pma_password") {
		t.Errorf("signed out: %d", r.status)
	}
	w.expect("sign-out", "LOGOUT admin/alice")

	for i := range 4 {
		if r := signIn(bad, "/", fmt.Sprint("guess ", i)); r.status != http.StatusOK {
			t.Errorf("guess %d: %d", i, r.status)
		}
	}
	if r := bad.post("/index.php", "pma_username", "alice", "pma_password", "guess 5", "server", "1"); r.status != http.StatusForbidden || !strings.Contains(r.body, "Reference") {
		t.Errorf("the fifth guess: %d", r.status)
	}
	if r := signIn(bad, "/", "right"); r.status != http.StatusForbidden {
		t.Errorf("after the fifth: %d", r.status)
	}
	w.expect("guesses", times(5, "ADMIN_LOGIN_FAILURE admin/alice wrong_password")...)
	if r := signIn(browse(t, php.port, office), "/", "right"); r.status != http.StatusFound {
		t.Errorf("alice from elsewhere: %d", r.status)
	}
}
