package demo

import (
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// SessionCookie is the name of the platform's only cookie.
const SessionCookie = "sms_session"

// Bounds of what visitors can grow.
const (
	maxAccounts  = 10_000
	maxSessions  = 10_000
	maxMessages  = 30 // kept per account
	maxListeners = 512
	maxForm      = 64 << 10
	sessionLife  = 12 * time.Hour
	codeLife     = 10 * time.Minute
	codeTries    = 5
	maxPassword  = 72 // bytes that bcrypt reads
)

// Realm is one of the two panels.
type Realm string

// The panels of the platform.
const (
	User  Realm = "user"
	Admin Realm = "admin"
)

// Platform is the sample application: an admin panel and a user panel with
// sign-in forms, password recovery, sessions in a cookie, messages, delivery
// reports over a WebSocket and a balance over server-sent events. It lives in
// memory.
type Platform struct {
	cost    int
	decoy   []byte // a hash to check for accounts that do not exist
	mux     *http.ServeMux
	pages   map[string]*template.Template
	checked atomic.Int64

	mu        sync.Mutex
	accounts  map[string]*account // by realm and name
	sessions  map[string]*session // by the value of the cookie
	listeners map[*listener]struct{}
	texts     []Text // the latest that went to telephones, oldest first
	stop      chan struct{}
	stopped   bool
}

type account struct {
	realm    Realm
	name     string
	hash     []byte
	since    time.Time
	seen     time.Time
	balance  int // in cents
	messages []message
	code     string // of a recovery that is under way
	codeEnds time.Time
	tries    int
}

type session struct {
	account *account
	used    time.Time
}

type message struct {
	ID    int       `json:"id"`
	To    string    `json:"to"`
	Text  string    `json:"text"`
	State string    `json:"state"` // queued, sent, delivered or failed
	At    time.Time `json:"-"`
}

// Text is an SMS that the platform itself has sent.
type Text struct {
	Account string
	Body    string
	At      time.Time
}

// PlatformOptions are what a Platform is made of.
type PlatformOptions struct {
	// Cost is that of bcrypt; default 10, some 50 ms for each password.
	Cost int
}

//go:embed pages assets front
var files embed.FS

// NewPlatform makes a platform without accounts.
func NewPlatform(o PlatformOptions) (*Platform, error) {
	if o.Cost == 0 {
		o.Cost = bcrypt.DefaultCost
	}
	p := &Platform{
		cost: o.Cost, accounts: map[string]*account{}, sessions: map[string]*session{},
		listeners: map[*listener]struct{}{}, stop: make(chan struct{}), pages: map[string]*template.Template{},
	}
	var err error
	if p.decoy, err = bcrypt.GenerateFromPassword([]byte(random(16)), p.cost); err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	if err := p.parse(); err != nil {
		return nil, fmt.Errorf("parse the platform's pages: %w", err)
	}
	p.route()
	return p, nil
}

// parse reads the pages; each is laid into the same frame.
func (p *Platform) parse() error {
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		t, err := template.New("frame.html").Funcs(template.FuncMap{"clock": clock, "money": money}).ParseFS(files, "pages/frame.html", name)
		if err != nil {
			return err
		}
		p.pages[strings.TrimSuffix(strings.TrimPrefix(name, "pages/"), ".html")] = t
	}
	return nil
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2 Jan 15:04")
}

func money(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// AddAccount adds an account with a balance and some messages.
func (p *Platform) AddAccount(realm Realm, name, password string) error {
	if len(password) > maxPassword {
		return errors.New("a password has at most 72 bytes")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), p.cost)
	if err != nil {
		return fmt.Errorf("hash a password: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.accounts[key(realm, name)]; ok {
		return errors.New("the name is taken")
	}
	if len(p.accounts) >= maxAccounts {
		return errors.New("no more accounts fit")
	}
	now := time.Now()
	a := &account{realm: realm, name: name, hash: hash, since: now, balance: 2000 + number(8000)}
	for i := range 6 {
		a.messages = append(a.messages, message{
			ID: i + 1, To: telephone(), Text: phrases[number(len(phrases))], State: "delivered", At: now.Add(time.Duration(i-6) * 47 * time.Minute),
		})
	}
	p.accounts[key(realm, name)] = a
	return nil
}

func key(realm Realm, name string) string { return string(realm) + "/" + name }

// Checked is how many passwords and recovery codes were checked so far.
func (p *Platform) Checked() int64 { return p.checked.Load() }

// Texts returns the latest messages that the platform itself has sent, such as
// recovery codes, newest first.
func (p *Platform) Texts() []Text {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Text, 0, len(p.texts))
	for _, t := range slices.Backward(p.texts) {
		out = append(out, t)
	}
	return out
}

// check compares a password, and takes as long for accounts that do not exist.
func (p *Platform) check(realm Realm, name, password string) *account {
	p.checked.Add(1)
	p.mu.Lock()
	a := p.accounts[key(realm, name)]
	hash := p.decoy
	if a != nil {
		hash = a.hash
	}
	p.mu.Unlock()
	if len(password) > maxPassword || bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
		return nil
	}
	return a
}

// open opens a session and returns the value of its cookie.
func (p *Platform) open(a *account) string {
	id := random(32)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for old := range p.sessions {
		if len(p.sessions) < maxSessions {
			break
		}
		delete(p.sessions, old)
	}
	p.sessions[id] = &session{account: a, used: now}
	a.seen = now
	return id
}

// who is signed in to a panel; nil if nobody is.
func (p *Platform) who(r *http.Request, realm Realm) *account {
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return nil
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions[c.Value]
	if s == nil || s.account.realm != realm {
		return nil
	}
	if now.Sub(s.used) > sessionLife {
		delete(p.sessions, c.Value)
		return nil
	}
	s.used = now
	return s.account
}

func (p *Platform) close(r *http.Request) {
	if c, err := r.Cookie(SessionCookie); err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.sessions, c.Value)
	}
}

// sendCode begins a recovery. Whoever asks learns nothing: the code goes to the
// telephone of the account, if there is one.
func (p *Platform) sendCode(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.accounts[key(User, name)]
	if a == nil {
		return
	}
	now := time.Now()
	a.code, a.codeEnds, a.tries = fmt.Sprintf("%06d", number(1_000_000)), now.Add(codeLife), 0
	p.text(Text{Account: name, Body: "Your recovery code is " + a.code + ".", At: now})
}

// text keeps what went to a telephone. The lock is held.
func (p *Platform) text(t Text) {
	if len(p.texts) == 20 {
		p.texts = append(p.texts[:0], p.texts[1:]...)
	}
	p.texts = append(p.texts, t)
}

// code is the recovery code that the telephone of an account got last.
func (p *Platform) code(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.accounts[key(User, name)]; a != nil {
		return a.code
	}
	return ""
}

// reset changes a password by a recovery code, and ends the sessions of the
// account.
func (p *Platform) reset(name, code, password string) bool {
	p.checked.Add(1)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), p.cost)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.accounts[key(User, name)]
	if a == nil || a.code == "" || time.Now().After(a.codeEnds) {
		return false
	}
	if subtle.ConstantTimeCompare([]byte(a.code), []byte(code)) != 1 {
		if a.tries++; a.tries >= codeTries {
			a.code = ""
		}
		return false
	}
	a.hash, a.code = hash, ""
	for id, s := range p.sessions {
		if s.account == a {
			delete(p.sessions, id)
		}
	}
	return true
}

// random makes a text out of n random bytes.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("%x", b)
}

// number draws one of 0 to n-1.
func number(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // never: the reader does not fail
	}
	return int(v.Int64())
}

// telephone draws a number of those that are reserved for films and examples.
func telephone() string { return fmt.Sprintf("+44 7700 900%03d", number(1000)) }

var phrases = []string{
	"Your parcel arrives today between 10 and 12.",
	"Your table for four is booked at 19:30.",
	"The server room is at 31 °C.",
	"Your appointment is tomorrow at 9:15.",
	"Order 4711 has left the warehouse.",
	"The train to Hamburg leaves from platform 8.",
	"Thank you for your visit. How did you like it?",
	"Water will be off on Thursday from 8 to 11.",
	"Your car is ready and can be collected.",
	"Shift swap accepted: you start at 14:00.",
}
