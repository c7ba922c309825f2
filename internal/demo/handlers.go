package demo

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Handler serves the platform.
func (p *Platform) Handler() http.Handler {
	guard := http.NewCrossOriginProtection()
	return guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		p.mux.ServeHTTP(w, r)
	}))
}

func (p *Platform) route() {
	mux := http.NewServeMux()
	p.mux = mux
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the directory is embedded
	}
	static := http.StripPrefix("/assets/", http.FileServerFS(assets))
	mux.HandleFunc("GET /assets/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		static.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/messages", http.StatusFound) })
	mux.HandleFunc("GET /login", p.form("login", User))
	mux.HandleFunc("POST /login", p.signIn(User, "/messages"))
	mux.HandleFunc("GET /admin/login", p.form("login", Admin))
	mux.HandleFunc("POST /admin/login", p.signIn(Admin, "/admin/"))
	mux.HandleFunc("GET /forgot", p.form("forgot", User))
	mux.HandleFunc("POST /forgot", p.forgot)
	mux.HandleFunc("GET /reset", p.form("reset", User))
	mux.HandleFunc("POST /reset", p.renew)
	mux.HandleFunc("GET /register", p.form("register", User))
	mux.HandleFunc("POST /register", p.register)
	mux.HandleFunc("POST /logout", p.signOut("/login"))
	mux.HandleFunc("POST /admin/logout", p.signOut("/admin/login"))

	user := func(pattern string, h func(http.ResponseWriter, *http.Request, *account)) {
		mux.HandleFunc(pattern, p.only(User, "/login", h))
	}
	user("GET /messages", p.messages)
	user("POST /messages", p.send)
	user("GET /account", p.account)
	user("GET /live", p.live)
	user("GET /events", p.events)

	admin := func(pattern, page string) {
		mux.HandleFunc(pattern, p.only(Admin, "/admin/login", func(w http.ResponseWriter, r *http.Request, a *account) {
			p.show(w, r, page, view{Realm: Admin, Account: a, Page: page, Rows: p.overview()})
		}))
	}
	admin("GET /admin/{$}", "admin")
	admin("GET /admin/users", "users")
	admin("GET /admin/gateways", "gateways")
	mux.HandleFunc("/admin/", p.only(Admin, "/admin/login", func(w http.ResponseWriter, r *http.Request, a *account) {
		p.missing(w, r, Admin, a)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.missing(w, r, User, p.who(r, User)) })
}

// view is what a page may show.
type view struct {
	Realm   Realm
	Page    string
	Account *account
	Name    string // what was typed
	Fault   string
	Note    string
	Rows    []*account
}

// show writes a page.
func (p *Platform) show(w http.ResponseWriter, _ *http.Request, page string, v view) {
	p.page(w, http.StatusOK, page, v)
}

func (p *Platform) page(w http.ResponseWriter, status int, page string, v view) {
	var b bytes.Buffer
	p.mu.Lock() // pages read accounts
	err := p.pages[page].Execute(&b, v)
	p.mu.Unlock()
	if err != nil {
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the visitor may be gone
}

func (p *Platform) missing(w http.ResponseWriter, _ *http.Request, realm Realm, a *account) {
	p.page(w, http.StatusNotFound, "missing", view{Realm: realm, Account: a})
}

// form shows a page with a form.
func (p *Platform) form(page string, realm Realm) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := view{Realm: realm, Page: page, Name: clip(r.URL.Query().Get("username"))}
		switch r.URL.Query().Get("note") {
		case "bye":
			v.Note = "You are signed out."
		case "renewed":
			v.Note = "Your password is changed. Please sign in."
		case "sent":
			v.Note = "If there is such an account, a code is on its way to its telephone."
		}
		p.show(w, r, page, v)
	}
}

// only lets people in who are signed in to a panel; others are sent to its
// sign-in page.
func (p *Platform) only(realm Realm, signIn string, h func(http.ResponseWriter, *http.Request, *account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := p.who(r, realm)
		if a == nil {
			http.Redirect(w, r, signIn, http.StatusFound)
			return
		}
		h(w, r, a)
	}
}

func (p *Platform) signIn(realm Realm, home string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := clip(r.PostFormValue("username"))
		a := p.check(realm, name, r.PostFormValue("password"))
		if a == nil {
			p.show(w, r, "login", view{Realm: realm, Page: "login", Name: name, Fault: "Wrong user name or password."})
			return
		}
		p.close(r)
		http.SetCookie(w, &http.Cookie{Name: SessionCookie, Value: p.open(a), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, home, http.StatusSeeOther)
	}
}

func (p *Platform) signOut(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.close(r)
		http.SetCookie(w, &http.Cookie{Name: SessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, to+"?note=bye", http.StatusSeeOther)
	}
}

func (p *Platform) forgot(w http.ResponseWriter, r *http.Request) {
	name := clip(r.PostFormValue("username"))
	p.sendCode(name)
	http.Redirect(w, r, "/reset?note=sent&username="+url.QueryEscape(name), http.StatusSeeOther)
}

func (p *Platform) renew(w http.ResponseWriter, r *http.Request) {
	name, password := clip(r.PostFormValue("username")), r.PostFormValue("new_password")
	v := view{Realm: User, Page: "reset", Name: name}
	switch {
	case len(password) < 10 || len(password) > maxPassword:
		v.Fault = "The new password needs 10 to 72 characters."
	case !p.reset(name, strings.TrimSpace(r.PostFormValue("code")), password):
		v.Fault = "This code is wrong, or it is no longer good."
	default:
		http.Redirect(w, r, "/login?note=renewed&username="+url.QueryEscape(name), http.StatusSeeOther)
		return
	}
	p.show(w, r, "reset", v)
}

func (p *Platform) register(w http.ResponseWriter, r *http.Request) {
	name, password := clip(r.PostFormValue("username")), r.PostFormValue("password")
	v := view{Realm: User, Page: "register", Name: name}
	switch {
	case len(name) < 3:
		v.Fault = "A name has three letters or more."
	case len(password) < 10 || len(password) > maxPassword:
		v.Fault = "A password needs 10 to 72 characters."
	default:
		if err := p.AddAccount(User, name, password); err != nil {
			v.Fault = "This name cannot be had: " + err.Error() + "."
			break
		}
		http.Redirect(w, r, "/login?username="+url.QueryEscape(name), http.StatusSeeOther)
		return
	}
	p.show(w, r, "register", v)
}

func (p *Platform) messages(w http.ResponseWriter, r *http.Request, a *account) {
	p.show(w, r, "messages", view{Realm: User, Account: a, Page: "messages"})
}

func (p *Platform) account(w http.ResponseWriter, r *http.Request, a *account) {
	p.show(w, r, "account", view{Realm: User, Account: a, Page: "account"})
}

// send takes a message; Run delivers it.
func (p *Platform) send(w http.ResponseWriter, r *http.Request, a *account) {
	to, text := clip(r.PostFormValue("to")), clip(r.PostFormValue("text"))
	if to == "" || text == "" {
		p.show(w, r, "messages", view{Realm: User, Account: a, Page: "messages", Fault: "A message needs a number and a text."})
		return
	}
	p.mu.Lock()
	id := 1
	for i := range a.messages {
		id = max(id, a.messages[i].ID+1)
	}
	if len(a.messages) >= maxMessages {
		a.messages = slices.Delete(a.messages, 0, 1)
	}
	a.messages = append(a.messages, message{ID: id, To: to, Text: text, State: "queued", At: time.Now()})
	a.balance = max(0, a.balance-7)
	p.mu.Unlock()
	http.Redirect(w, r, "/messages", http.StatusSeeOther)
}

// Latest returns the messages, newest first.
func (a *account) Latest() []message {
	out := slices.Clone(a.messages)
	slices.Reverse(out)
	return out
}

func (m message) Clock() string { return clock(m.At) }

// Named, Since, Seen and Balance are for the pages.
func (a *account) Named() string    { return a.name }
func (a *account) Since() time.Time { return a.since }
func (a *account) Seen() time.Time  { return a.seen }
func (a *account) Balance() int     { return a.balance }
func (a *account) Sent() int        { return len(a.messages) }

// overview returns the first accounts of users, for the admin panel.
func (p *Platform) overview() []*account {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*account
	for _, a := range p.accounts {
		if a.realm == User {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b *account) int { return strings.Compare(a.name, b.name) })
	return list[:min(len(list), 100)]
}

// clip bounds a text of a form.
func clip(s string) string {
	const most = 160
	s = strings.TrimSpace(strings.ToValidUTF8(s, "�"))
	for utf8.RuneCountInString(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
