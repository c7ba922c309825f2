package app

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/config"
)

// djangoProject is the smallest project with an administration, in files.
var djangoProject = map[string]string{
	"settings.py": `
import os
BASE = os.path.dirname(os.path.abspath(__file__))
SECRET_KEY = "test"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages", "papers"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware", "django.contrib.messages.middleware.MessageMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
    "django.template.context_processors.request", "django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages"]}}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(BASE, "db.sqlite3")}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = os.path.join(BASE, "mails")
MEDIA_ROOT = os.path.join(BASE, "media")
STATIC_URL = "/static/"
LOGIN_REDIRECT_URL = "/home/"
`,
	"urls.py": `
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import include, path
urlpatterns = [path("admin/", admin.site.urls), path("accounts/", include("django.contrib.auth.urls")),
    path("home/", login_required(lambda request: HttpResponse("hello " + request.user.username)))]
`,
	"papers/__init__.py": "",
	"papers/models.py": `
from django.db import models
class Paper(models.Model):
    file = models.FileField()
`,
	"papers/admin.py": `
from django.contrib import admin
from .models import Paper
admin.site.register(Paper)
`,
	"papers/templates/registration/login.html": `<form method="post">{% csrf_token %}{{ form }}</form>`,
	"fill.py": `
import django
django.setup()
from django.contrib.auth.models import User
User.objects.create_superuser("root", "root@example.org", "right")
User.objects.create_user("alice", "alice@example.org", "right")
`,
}

// TestRealDjango runs the Django of the distribution, its administration and
// its forms for people, behind the gate.
func TestRealDjango(t *testing.T) {
	packaged(t, "python3-django", "/usr/lib/python3/dist-packages/django/__init__.py")
	const python = "/usr/bin/python3"
	dir := t.TempDir()
	for name, text := range djangoProject {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		putFile(t, path, text)
	}
	t.Setenv("DJANGO_SETTINGS_MODULE", "settings")
	t.Setenv("PYTHONPATH", dir)
	for _, args := range [][]string{{"-m", "django", "migrate", "--run-syncdb", "-v0"}, {filepath.Join(dir, "fill.py")}} {
		if out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	upstream := freePort(t)
	launch(t, upstream, python, "-m", "django", "runserver", "--noreload", "127.0.0.1:"+upstream)
	srv := start(t, filepath.Join(t.TempDir(), "data"), func(c *config.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.ProtectLoopback = false
		c.Sites = []config.Site{{Name: "www", Listen: "127.0.0.1:0", Upstream: "http://127.0.0.1:" + upstream, Profile: "django-admin", Timeout: time.Minute}}
	})
	_, port, _ := strings.Cut(srv.app.SiteAddr("www"), ":")
	w := &watcher{server: srv}

	owner := browse(t, port, office)
	csrf := func(b *browser, path string) []string {
		b.t.Helper()
		return []string{"csrfmiddlewaretoken", find(b.t, b.get(path).body, `name="csrfmiddlewaretoken" value="([^"]+)"`)}
	}
	signIn := func(b *browser, path, account, password string) reply {
		b.t.Helper()
		return b.post(path, append(csrf(b, path), "username", account, "password", password)...)
	}
	for _, path := range []string{"/admin/", "/admin/auth/user/", "/admin/nothing"} {
		if r := owner.get(path); r.status != http.StatusFound {
			t.Errorf("%s, signed out: %d", path, r.status)
		}
	}
	w.expect("signed out", times(3, "UNAUTHORIZED_ACCESS admin/")...)
	if r := signIn(owner, "/admin/login/", "root", "wrong"); r.status != http.StatusOK {
		t.Errorf("a wrong password: %d", r.status)
	}
	if r := signIn(owner, "/admin/login/?next=/admin/", "alice", "right"); r.status != http.StatusOK {
		t.Errorf("no administrator: %d", r.status)
	}
	if r := signIn(owner, "/admin/login/?next=/admin/", "root", "right"); r.status != http.StatusFound {
		t.Errorf("the right password: %d", r.status)
	}
	w.expect("the administration", "ADMIN_LOGIN_FAILURE admin/root wrong_password", "ADMIN_LOGIN_FAILURE admin/alice wrong_password", "ADMIN_LOGIN_SUCCESS admin/root")
	file := bytes.Repeat([]byte("some text\n"), 400<<10)
	if r := owner.upload("/admin/papers/paper/add/", "file", "big.txt", file, csrf(owner, "/admin/papers/paper/add/")...); r.status != http.StatusFound {
		t.Errorf("upload: %d", r.status)
	} else if info, err := os.Stat(filepath.Join(dir, "media", "big.txt")); err != nil || info.Size() != int64(len(file)) {
		t.Errorf("the file that was uploaded: %v %v", info, err)
	}
	if r := owner.get("/admin/logout/"); r.status != http.StatusOK {
		t.Errorf("sign out: %d", r.status)
	}
	w.expect("sign-out", "LOGOUT admin/root")

	person := browse(t, port, office)
	if r := signIn(person, "/accounts/login/", "alice", "wrong"); r.status != http.StatusOK {
		t.Errorf("alice, a wrong password: %d", r.status)
	}
	if r := signIn(person, "/accounts/login/", "alice", "right"); r.status != http.StatusFound {
		t.Errorf("alice: %d", r.status)
	}
	if r := person.get("/home/"); r.body != "hello alice" {
		t.Errorf("alice at home: %d %s", r.status, r.body)
	}
	person.post("/accounts/password_reset/", append(csrf(person, "/accounts/password_reset/"), "email", "alice@example.org")...)
	mails, err := os.ReadDir(filepath.Join(dir, "mails"))
	if err != nil || len(mails) != 1 {
		t.Fatalf("mails: %v %v", mails, err)
	}
	mail, err := os.ReadFile(filepath.Join(dir, "mails", mails[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	link := find(t, string(mail), `(/accounts/reset/[^\s]+)`)
	if r := person.get(link); r.status != http.StatusFound {
		t.Errorf("the link of the mail: %d", r.status)
	}
	set := link[:strings.LastIndexByte(strings.TrimSuffix(link, "/"), '/')] + "/set-password/"
	for range 6 { // not the same twice, and a form that expired: nobody is blocked for that
		person.post(set, append(csrf(person, set), "new_password1", "another", "new_password2", "different")...)
		person.post("/accounts/login/", "username", "alice", "password", "another")
	}
	if r := person.post(set, append(csrf(person, set), "new_password1", "another", "new_password2", "another")...); r.status != http.StatusFound {
		t.Errorf("the new password: %d", r.status)
	}
	w.expect("people", slices.Concat([]string{"USER_LOGIN_FAILURE user/alice wrong_password", "USER_LOGIN_SUCCESS user/alice", "USER_PASSWORD_RESET_REQUEST user/alice@example.org"},
		slices.Repeat([]string{"USER_PASSWORD_RESET_ERROR user/", "USER_LOGIN_ERROR user/alice"}, 6), []string{"USER_PASSWORD_RESET_SUCCESS user/"})...)

	bad := browse(t, port, stranger)
	token := csrf(bad, "/admin/login/")
	for i := range 6 {
		r := bad.post("/admin/login/", append(token, "username", "root", "password", fmt.Sprint("guess ", i))...)
		if (r.status == http.StatusForbidden) != (i >= 4) || i >= 4 && !strings.Contains(r.body, "Reference") {
			t.Errorf("guess %d: %d", i, r.status)
		}
	}
	w.expect("guesses", times(5, "ADMIN_LOGIN_FAILURE admin/root wrong_password")...)
	if r := signIn(browse(t, port, office), "/admin/login/", "root", "right"); r.status != http.StatusFound {
		t.Errorf("root from elsewhere: %d", r.status)
	}
}
