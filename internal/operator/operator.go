// Package operator is about the people who run Warder: who they are, how they
// prove it, where they are signed in, and what their role allows.
//
// It promises that a password is stored only as an argon2id hash with its own
// salt and parameters, that checking one takes as long for an unknown e-mail
// address as for a known one, that at most a few hashes are computed at a time
// whatever arrives, that tokens of sessions and links and recovery codes are
// stored only as hashes and work once where they are meant to, that guessing is
// bounded whatever the policy says while a known device gets in, and that the
// last active owner cannot be switched off. It knows no HTTP and no SQL; what it
// stores goes through Store.
package operator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/warderhq/warder"
)

// Errors that callers may test for.
var (
	ErrNotFound  = errors.New("no such operator")
	ErrExists    = errors.New("an operator with this e-mail address exists")
	ErrLastOwner = errors.New("the last active owner cannot be switched off")
	ErrWrong     = errors.New("wrong e-mail address or password")
	ErrSetUp     = errors.New("there is an owner already")
	ErrOwnRole   = errors.New("nobody changes their own role, end or activity: ask another owner")
	ErrBusy      = errors.New("too many sign-ins are waiting, try again in a moment")
	ErrNoSession = errors.New("no such session (any more)")
	ErrNoFactor  = errors.New("there is nothing like that to use")
	ErrBadLink   = errors.New("this link does not work (any more)")
)

// Role is what an operator may do. Each role includes the ones after it.
type Role string

// The roles, strongest first.
const (
	Owner   Role = "owner"   // everything, people included
	Admin   Role = "admin"   // blocks, policy, keys, settings
	Analyst Role = "analyst" // reads and notes
	Viewer  Role = "viewer"  // reads
)

// Roles are all roles, strongest first.
func Roles() []Role { return []Role{Owner, Admin, Analyst, Viewer} }

// Includes reports whether r may do what needs asks for. An unknown role
// includes nothing.
func (r Role) Includes(needs Role) bool {
	have, want := slices.Index(Roles(), r), slices.Index(Roles(), needs)
	return have >= 0 && want >= 0 && have <= want
}

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	if slices.Contains(Roles(), Role(s)) {
		return Role(s), nil
	}
	return "", fmt.Errorf("must be one of owner, admin, analyst, viewer, is %q", clip(s, 32))
}

// Operator is a person who runs Warder. Hash is a PHC string ($argon2id$...)
// and never leaves the process, and neither does the sealed secret of the
// authenticator app.
type Operator struct {
	ID         string    `json:"id"`
	Email      string    `json:"email"` // folded by FoldEmail; unique
	Name       string    `json:"name,omitempty"`
	Role       Role      `json:"role"`
	TimeZone   string    `json:"time_zone,omitempty"` // IANA name; empty: that of the browser
	Created    time.Time `json:"created"`
	LastSignIn time.Time `json:"-"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`  // zero: never
	DisabledAt time.Time `json:"disabled_at,omitzero"` // zero: not switched off
	Hash       string    `json:"-"`

	TOTP       bool   `json:"totp,omitempty"` // the authenticator app is confirmed
	TOTPSecret []byte `json:"-"`              // sealed; set also before it is confirmed
	TOTPStep   int64  `json:"-"`              // last used step

	Passkeys      int `json:"-"` // counted by the store, not stored with the operator
	RecoveryCodes int `json:"-"` // unused ones; counted by the store
}

// Active reports whether the operator may sign in and is told of alerts.
func (o *Operator) Active(now time.Time) bool {
	return o.DisabledAt.IsZero() && (o.ExpiresAt.IsZero() || now.Before(o.ExpiresAt))
}

// Alerted reports whether alerts are mailed to the operator: every active
// owner and admin.
func (o *Operator) Alerted(now time.Time) bool { return o.Active(now) && o.Role.Includes(Admin) }

// SecondFactor reports whether a password alone does not sign the operator in.
func (o *Operator) SecondFactor() bool { return o.TOTP || o.Passkeys > 0 }

// Change says who changes something, for the audit row that is written in the
// same transaction.
type Change struct {
	Actor  string // operator:<email>, cli:<uid>
	ID     string // of the operator who changes it; empty: by key or socket
	From   string // address of the actor, may be empty
	Action string // operator.create, operator.disable, operator.password, session.end, ...
	At     time.Time
}

// People are the operators of one instance. Methods are safe for concurrent
// use.
type People struct {
	store    Store
	hasher   *Hasher
	reserved *Hasher // for known devices, so that strangers cannot make them wait
	line     chan struct{}
	keys     keys
	throttle *Throttle
	spent    spent
	setup    setup
	limits   limits
	changes  changes
}

// Options are what People are made of.
type Options struct {
	Store  Store
	Hasher *Hasher
	// Secret (32 bytes) seals the secrets of authenticator apps and hashes
	// recovery codes. It must survive restarts; empty: a random one, for tests.
	Secret []byte
}

// waiting is how many sign-ins of strangers may wait for a hash at a time.
const waiting = 64

// New returns the operators that a store keeps.
func New(o Options) (*People, error) {
	keys, err := newKeys(o.Secret)
	if err != nil {
		return nil, err
	}
	p := &People{
		store: o.Store, hasher: o.Hasher, reserved: NewHasher(o.Hasher.cost, 1), line: make(chan struct{}, waiting),
		keys: keys, throttle: NewThrottle(),
	}
	p.reserved.dummy = o.Hasher.dummy
	return p, nil
}

// Throttle bounds guessing at passwords and codes.
func (p *People) Throttle() *Throttle { return p.throttle }

// List returns everybody, oldest first.
func (p *People) List(ctx context.Context) ([]Operator, error) {
	return p.store.Operators(ctx)
}

// Recipients are the e-mail addresses of every active owner and admin.
func (p *People) Recipients(ctx context.Context) ([]string, error) {
	all, err := p.store.Operators(ctx)
	if err != nil {
		return nil, fmt.Errorf("list operators: %w", err)
	}
	var to []string
	now := time.Now()
	for i := range all {
		if all[i].Alerted(now) {
			to = append(to, all[i].Email)
		}
	}
	return to, nil
}

// newOperator checks and makes a person. Faults are located at email, role,
// name and password.
func (p *People) newOperator(ctx context.Context, email, name, role, password string, at time.Time) (Operator, error) {
	var faults warder.Faults
	folded, err := FoldEmail(email)
	if err != nil {
		faults.Add("email", "%s", err)
	}
	parsed, err := ParseRole(role)
	if err != nil {
		faults.Add("role", "%s", err)
	}
	if err := checkName(name); err != nil {
		faults.Add("name", "%s", err)
	}
	if err := CheckPassword(password, folded); err != nil {
		faults.Add("password", "%s", err)
	}
	if len(faults) > 0 {
		return Operator{}, faults
	}
	hash, err := p.hash(ctx, password)
	if err != nil {
		return Operator{}, err
	}
	return Operator{ID: newID(), Email: folded, Name: strings.TrimSpace(name), Role: parsed, Created: at.UTC(), Hash: hash}, nil
}

func (p *People) hash(ctx context.Context, password string) (string, error) {
	hash, err := p.hasher.Hash(ctx, password)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// Create adds an operator. The error is warder.Faults (email, role, password)
// or ErrExists where the input is to blame.
func (p *People) Create(ctx context.Context, email, role, password string, by Change) (Operator, error) {
	o, err := p.newOperator(ctx, email, "", role, password, by.At)
	if err != nil {
		return Operator{}, err
	}
	by.Action = "operator.create"
	if err := p.store.CreateOperator(ctx, o, by); err != nil {
		return Operator{}, err
	}
	return o, nil
}

// errOwnerEnds keeps the last owner from ending unseen.
var errOwnerEnds = warder.Fault{Location: "expires_at", Message: "is for admin, analyst and viewer: an owner does not end by itself"}

// Edit is what an owner changes of somebody else; nil leaves as it is.
type Edit struct {
	Role     *string
	Disabled *bool
	Expires  *time.Time // zero: never
	Name     *string
	TimeZone *string
}

// Edit changes an operator, by e-mail address or id. Whoever is switched off,
// or has come to their end, is signed out everywhere at once. Doing it twice
// changes nothing and leaves no audit row.
func (p *People) Edit(ctx context.Context, who string, e Edit, by Change) (Operator, error) {
	o, err := p.find(ctx, who)
	if err != nil {
		return o, err
	}
	if by.ID != "" && by.ID == o.ID && (e.Role != nil || e.Disabled != nil || e.Expires != nil) {
		return o, ErrOwnRole
	}
	var faults warder.Faults
	role := o.Role
	if e.Role != nil {
		if role, err = ParseRole(*e.Role); err != nil {
			faults.Add("role", "%s", err)
		}
	}
	if e.Name != nil {
		if err := checkName(*e.Name); err != nil {
			faults.Add("name", "%s", err)
		}
	}
	if e.TimeZone != nil {
		if err := checkZone(*e.TimeZone); err != nil {
			faults.Add("time_zone", "%s", err)
		}
	}
	ends := e.Expires != nil && !e.Expires.IsZero()
	if ends && role == Owner {
		faults = append(faults, errOwnerEnds)
	}
	if len(faults) > 0 {
		return o, faults
	}
	action := "operator.edit"
	if e.Disabled != nil && e.Role == nil && e.Expires == nil {
		if action = "operator.enable"; *e.Disabled {
			action = "operator.disable"
		}
	}
	by.Action = action
	after, err := p.store.EditOperator(ctx, o.ID, OperatorEdit{Change: func(o *Operator) error {
		if e.Role != nil {
			o.Role = role
			if role == Owner {
				o.ExpiresAt = time.Time{}
			}
		}
		if ends && o.Role == Owner { // since a moment ago
			return warder.Faults{errOwnerEnds}
		}
		if e.Expires != nil {
			if o.ExpiresAt = e.Expires.UTC(); e.Expires.IsZero() {
				o.ExpiresAt = time.Time{}
			}
		}
		if e.Disabled != nil && *e.Disabled != !o.DisabledAt.IsZero() {
			if o.DisabledAt = (time.Time{}); *e.Disabled {
				o.DisabledAt = by.At.UTC()
			}
		}
		if e.Name != nil {
			o.Name = strings.TrimSpace(*e.Name)
		}
		if e.TimeZone != nil {
			o.TimeZone = *e.TimeZone
		}
		return nil
	}}, by)
	if err == nil {
		p.changes.tell()
	}
	return after, err
}

// SetActive switches an operator on or off by e-mail address or id.
func (p *People) SetActive(ctx context.Context, who string, active bool, by Change) (Operator, error) {
	off := !active
	return p.Edit(ctx, who, Edit{Disabled: &off}, by)
}

// SetPassword gives an operator a new password and signs them out everywhere.
func (p *People) SetPassword(ctx context.Context, who, password string, by Change) error {
	o, err := p.find(ctx, who)
	if err != nil {
		return err
	}
	_, err = p.setPassword(ctx, o, password, "", by)
	return err
}

// setPassword ends all sessions of the operator but the one with the id keep.
func (p *People) setPassword(ctx context.Context, o Operator, password, keep string, by Change) (Operator, error) {
	if err := CheckPassword(password, o.Email); err != nil {
		return o, warder.Faults{{Location: "password", Message: err.Error()}}
	}
	hash, err := p.hash(ctx, password)
	if err != nil {
		return o, err
	}
	by.Action = "operator.password"
	after, err := p.store.EditOperator(ctx, o.ID, OperatorEdit{
		EndSessions: true, KeepSession: keep,
		Change: func(o *Operator) error { o.Hash = hash; return nil },
	}, by)
	if err == nil {
		p.changes.tell()
	}
	return after, err
}

// Authenticate returns the active operator whose password it is, or ErrWrong.
// Unknown and disabled operators cost the same time as a wrong password. known
// says that the device is known to the account, which spares it the line; for
// others ErrBusy when the line is full.
func (p *People) Authenticate(ctx context.Context, email, password string, known bool) (Operator, error) {
	hasher := p.reserved
	if !known {
		hasher = p.hasher
		select {
		case p.line <- struct{}{}:
			defer func() { <-p.line }()
		default:
			return Operator{}, ErrBusy
		}
	}
	o, err := p.find(ctx, email)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Operator{}, err
	}
	folded, _ := FoldEmail(email)
	found := err == nil && o.Email == folded && o.Active(time.Now())
	if !found {
		o.Hash = hasher.dummy
	}
	ok, err := hasher.Verify(ctx, o.Hash, password)
	if err != nil {
		return Operator{}, fmt.Errorf("verify password: %w", err)
	}
	if !ok || !found {
		return Operator{}, ErrWrong
	}
	return o, nil
}

// Find returns an operator by e-mail address or id, or ErrNotFound.
func (p *People) Find(ctx context.Context, who string) (Operator, error) { return p.find(ctx, who) }

func (p *People) find(ctx context.Context, who string) (Operator, error) {
	all, err := p.store.Operators(ctx)
	if err != nil {
		return Operator{}, fmt.Errorf("list operators: %w", err)
	}
	folded, _ := FoldEmail(who)
	for _, o := range all {
		if o.ID == who || folded != "" && o.Email == folded {
			return o, nil
		}
	}
	return Operator{}, ErrNotFound
}

// MaxEmail is the longest e-mail address accepted, in bytes (RFC 5321 allows
// no longer one in a path).
const MaxEmail = 254

// FoldEmail checks an e-mail address and gives it the one spelling under which
// it is kept and compared: NFKC, case folded. That mailboxes could in theory
// differ by case alone matters less than two accounts for one person.
func FoldEmail(s string) (string, error) {
	s = strings.TrimSpace(s)
	folded := fold(fold(s)) // some letters fold only when they are composed anew
	if fold(folded) != folded {
		return "", fmt.Errorf("must be an e-mail address with one spelling, is %q", clip(s, 64))
	}
	if s == "" || len(folded) > MaxEmail || !utf8.ValidString(s) {
		return "", fmt.Errorf("must be an e-mail address of at most %d bytes", MaxEmail)
	}
	a, err := mail.ParseAddress(folded)
	// Display names, comments and quoted local parts parse, but are not the
	// plain address that is asked for.
	if err != nil || a.Address != folded || a.Name != "" || strings.ContainsAny(folded, "\"<>() ,;:\\") || strings.ContainsFunc(folded, unprintable) {
		return "", fmt.Errorf("must be a plain e-mail address such as ann@example.org, is %q", clip(s, 64))
	}
	return folded, nil
}

func fold(s string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
}

// unprintable finds control characters and marks without a shape of their own,
// which would make two addresses look alike or command a terminal.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

const maxName = 100

func checkName(s string) error {
	if len(s) > maxName || !utf8.ValidString(s) || strings.ContainsFunc(s, unprintable) {
		return fmt.Errorf("must be printable text of at most %d bytes", maxName)
	}
	return nil
}

func checkZone(s string) error {
	if s == "" {
		return nil
	}
	if s == "Local" || len(s) > 64 {
		return errors.New("must be the name of a time zone, such as Asia/Kolkata")
	}
	if _, err := time.LoadLocation(s); err != nil {
		return errors.New("must be the name of a time zone, such as Asia/Kolkata")
	}
	return nil
}
