// Package operator is about the people who run Warder: who they are, what
// their role allows, and whether a password is theirs.
//
// It promises that a password is stored only as an argon2id hash with its own
// salt and parameters, that checking one takes as long for an unknown e-mail
// address as for a known one, that at most a few hashes are computed at a time
// whatever arrives, and that the last active owner cannot be switched off. It
// knows no HTTP and no SQL; what it stores goes through Store.
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
)

// Role is what an operator may do. Each role includes the ones after it.
type Role string

// The roles, strongest first.
const (
	Owner   Role = "owner"   // everything, people included
	Admin   Role = "admin"   // policy, keys, alerts
	Analyst Role = "analyst" // blocks, reviews, trusted addresses
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
// and never leaves the process.
type Operator struct {
	ID         string    `json:"id"`
	Email      string    `json:"email"` // folded by FoldEmail; unique
	Role       Role      `json:"role"`
	Created    time.Time `json:"created"`
	DisabledAt time.Time `json:"disabled_at,omitzero"` // zero: active
	Hash       string    `json:"-"`
}

// Active reports whether the operator may sign in and is told of alerts.
func (o Operator) Active() bool { return o.DisabledAt.IsZero() }

// Alerted reports whether alerts are mailed to the operator: every active
// owner and admin.
func (o Operator) Alerted() bool { return o.Active() && o.Role.Includes(Admin) }

// Change says who changes something, for the audit row that is written in the
// same transaction.
type Change struct {
	Actor  string // operator:<email>, cli:<uid>
	From   string // address of the actor, may be empty
	Action string // operator.create, operator.disable, operator.enable, operator.password
	At     time.Time
}

// Store keeps operators. Every change and its audit row are durable together
// or not at all.
type Store interface {
	// Operators returns everybody, oldest first.
	Operators(ctx context.Context) ([]Operator, error)
	// CreateOperator stores a new operator; ErrExists if the e-mail address is
	// taken.
	CreateOperator(ctx context.Context, o Operator, by Change) error
	// UpdateOperator stores role, hash and DisabledAt of the operator with
	// o.ID; ErrNotFound if there is none, ErrLastOwner if no active owner would
	// be left although there was one.
	UpdateOperator(ctx context.Context, o Operator, by Change) error
}

// People are the operators of one instance. Methods are safe for concurrent
// use.
type People struct {
	store  Store
	hasher *Hasher
}

// New returns the operators that store keeps.
func New(store Store, hasher *Hasher) *People {
	return &People{store: store, hasher: hasher}
}

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
	for _, o := range all {
		if o.Alerted() {
			to = append(to, o.Email)
		}
	}
	return to, nil
}

// Create adds an operator. The error is warder.Faults (email, role, password)
// or ErrExists where the input is to blame.
func (p *People) Create(ctx context.Context, email, role, password string, by Change) (Operator, error) {
	var faults warder.Faults
	folded, err := FoldEmail(email)
	if err != nil {
		faults.Add("email", "%s", err)
	}
	parsed, err := ParseRole(role)
	if err != nil {
		faults.Add("role", "%s", err)
	}
	if err := CheckPassword(password, folded); err != nil {
		faults.Add("password", "%s", err)
	}
	if len(faults) > 0 {
		return Operator{}, faults
	}
	hash, err := p.hasher.Hash(ctx, password)
	if err != nil {
		return Operator{}, fmt.Errorf("hash password: %w", err)
	}
	o := Operator{ID: newID(), Email: folded, Role: parsed, Created: by.At.UTC(), Hash: hash}
	by.Action = "operator.create"
	if err := p.store.CreateOperator(ctx, o, by); err != nil {
		return Operator{}, err
	}
	return o, nil
}

// SetActive switches an operator on or off by e-mail address or id. Doing it
// twice changes nothing and leaves no audit row.
func (p *People) SetActive(ctx context.Context, who string, active bool, by Change) (Operator, error) {
	o, err := p.find(ctx, who)
	if err != nil || o.Active() == active {
		return o, err
	}
	by.Action, o.DisabledAt = "operator.enable", time.Time{}
	if !active {
		by.Action, o.DisabledAt = "operator.disable", by.At.UTC()
	}
	return o, p.store.UpdateOperator(ctx, o, by)
}

// SetPassword gives an operator a new password.
func (p *People) SetPassword(ctx context.Context, who, password string, by Change) error {
	o, err := p.find(ctx, who)
	if err != nil {
		return err
	}
	if err := CheckPassword(password, o.Email); err != nil {
		return warder.Faults{{Location: "password", Message: err.Error()}}
	}
	if o.Hash, err = p.hasher.Hash(ctx, password); err != nil {
		return fmt.Errorf("hash password: %w", err)
	}
	by.Action = "operator.password"
	return p.store.UpdateOperator(ctx, o, by)
}

// Authenticate returns the active operator whose password it is, or ErrWrong.
// Unknown and disabled operators cost the same time as a wrong password.
func (p *People) Authenticate(ctx context.Context, email, password string) (Operator, error) {
	all, err := p.store.Operators(ctx)
	if err != nil {
		return Operator{}, fmt.Errorf("list operators: %w", err)
	}
	folded, _ := FoldEmail(email)
	found := Operator{Hash: p.hasher.dummy}
	known := false
	for _, o := range all {
		if folded != "" && o.Email == folded && o.Active() {
			found, known = o, true
		}
	}
	ok, err := p.hasher.Verify(ctx, found.Hash, password)
	if err != nil {
		return Operator{}, fmt.Errorf("verify password: %w", err)
	}
	if !ok || !known {
		return Operator{}, ErrWrong
	}
	return found, nil
}

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
