package operator

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Passkey is a credential of an operator. It works on the host that it was made
// on and nowhere else, which is what makes it safe from imitations.
type Passkey struct {
	ID         string
	Operator   string
	Name       string
	Site       string // host name (relying party id)
	Credential []byte // credential id
	Record     []byte // webauthn.Credential as JSON
	Created    time.Time
	LastUsed   time.Time
}

const (
	maxPasskeys    = 20
	challengeTime  = 5 * time.Minute
	challengeBytes = 16 + 8 + 32 // random, Unix time of the end, MAC
	maxSpent       = 64 << 10
)

// ErrNoHost says that passkeys do not work where the dashboard was opened.
var ErrNoHost = errors.New("passkeys need a host name and https, or localhost: open the dashboard by its name")

// ErrTooMany says that an operator has as many passkeys as one may have.
var ErrTooMany = fmt.Errorf("there are %d passkeys already: remove one first", maxPasskeys)

// site is the WebAuthn library for one host. The host comes from the request:
// an authenticator signs for the host that its browser shows, and a credential
// is only ever asked for on the host that it was made on, so whoever forwards
// requests under another name gets nothing that is of use.
func site(host string) (*webauthn.WebAuthn, string, error) {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || name == "" || len(name) > 253 {
		return nil, "", ErrNoHost
	}
	origins := []string{"https://" + strings.ToLower(host)}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		origins = append(origins, "http://"+strings.ToLower(host))
	}
	w, err := webauthn.New(&webauthn.Config{
		RPID: name, RPDisplayName: issuer, RPOrigins: origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationPreferred,
		},
		// Password managers report what nobody asked for; none of it is used.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, "", ErrNoHost
	}
	return w, name, nil
}

// person is an operator as the library wants to see one.
type person struct {
	*Operator
	list []webauthn.Credential
}

func (u *person) WebAuthnID() []byte   { return []byte(u.ID) }
func (u *person) WebAuthnName() string { return u.Email }

func (u *person) WebAuthnDisplayName() string {
	if u.Name != "" {
		return u.Name
	}
	return u.Email
}
func (u *person) WebAuthnCredentials() []webauthn.Credential { return u.list }

func (u *person) descriptors() []protocol.CredentialDescriptor {
	return webauthn.Credentials(u.list).CredentialDescriptors()
}

// person loads the passkeys of an operator that work on a host.
func (p *People) person(ctx context.Context, o *Operator, host string) (*person, error) {
	list, err := p.store.Passkeys(ctx, o.ID)
	if err != nil {
		return nil, fmt.Errorf("list passkeys: %w", err)
	}
	u := &person{Operator: o}
	for _, k := range list {
		if k.Site != host {
			continue
		}
		var c webauthn.Credential
		if err := json.Unmarshal(k.Record, &c); err != nil {
			return nil, fmt.Errorf("read passkey %s: %w", k.ID, err)
		}
		u.list = append(u.list, c)
	}
	return u, nil
}

// challenge makes a challenge for one purpose that needs no memory: it carries
// its end, and its authenticity.
func (p *People) challenge(purpose string, now time.Time) []byte {
	b := make([]byte, 24, challengeBytes)
	_, _ = rand.Read(b[:16]) // never fails
	binary.BigEndian.PutUint64(b[16:24], uint64(now.Add(challengeTime).Unix()))
	return append(b, mac(p.keys.challenge, purpose, string(b))...)
}

// spent remembers challenges that somebody came in by, until they end.
type spent struct {
	mu sync.Mutex
	m  map[string]int64 // to Unix seconds
}

// checkChallenge reports whether text is a live challenge of ours for a
// purpose.
func (p *People) checkChallenge(purpose, text string, now time.Time) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != challengeBytes {
		return nil, false
	}
	ok := subtle.ConstantTimeCompare(mac(p.keys.challenge, purpose, string(b[:24])), b[24:]) == 1
	if !ok || now.Unix() >= int64(binary.BigEndian.Uint64(b[16:24])) {
		return nil, false
	}
	p.spent.mu.Lock()
	defer p.spent.mu.Unlock()
	_, used := p.spent.m[string(b)]
	return b, !used
}

// spend uses a challenge up; false if somebody was quicker.
func (p *People) spend(b []byte, now time.Time) bool {
	p.spent.mu.Lock()
	defer p.spent.mu.Unlock()
	if p.spent.m == nil {
		p.spent.m = map[string]int64{}
	}
	if _, used := p.spent.m[string(b)]; used {
		return false
	}
	for k, end := range p.spent.m {
		if end <= now.Unix() {
			delete(p.spent.m, k)
		}
	}
	if len(p.spent.m) >= maxSpent {
		return false // so many people do not sign in within five minutes
	}
	p.spent.m[string(b)] = int64(binary.BigEndian.Uint64(b[16:24]))
	return true
}

// PasskeyToAdd returns the options for navigator.credentials.create on a host.
// session ties the answer to the session that asked.
func (p *People) PasskeyToAdd(ctx context.Context, o *Operator, session, host string, now time.Time) (any, error) {
	w, name, err := site(host)
	if err != nil {
		return nil, err
	}
	u, err := p.person(ctx, o, name)
	if err != nil {
		return nil, err
	}
	if o.Passkeys >= maxPasskeys {
		return nil, ErrTooMany
	}
	creation, _, err := w.BeginRegistration(u, webauthn.WithExclusions(u.descriptors()))
	if err != nil {
		return nil, fmt.Errorf("make the options of a passkey: %w", err)
	}
	creation.Response.Challenge = p.challenge("add "+session+" "+name, now)
	return creation, nil
}

// AddPasskey stores the passkey that a browser made, and makes recovery codes
// with the first second factor. ErrWrong if it is not an answer to our options.
func (p *People) AddPasskey(ctx context.Context, o *Operator, session, host, name string, credential []byte, by Change) (Passkey, []string, error) {
	if err := checkPasskeyName(name); err != nil {
		return Passkey{}, nil, err
	}
	w, siteName, err := site(host)
	if err != nil {
		return Passkey{}, nil, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(credential)
	if err != nil {
		return Passkey{}, nil, ErrWrong
	}
	challenge, ok := p.checkChallenge("add "+session+" "+siteName, parsed.Response.CollectedClientData.Challenge, by.At)
	if !ok {
		return Passkey{}, nil, ErrWrong
	}
	u, err := p.person(ctx, o, siteName)
	if err != nil {
		return Passkey{}, nil, err
	}
	if o.Passkeys >= maxPasskeys {
		return Passkey{}, nil, ErrTooMany
	}
	_, data, err := w.BeginRegistration(u, webauthn.WithExclusions(u.descriptors()))
	if err != nil {
		return Passkey{}, nil, fmt.Errorf("make the options of a passkey: %w", err)
	}
	data.Challenge = protocol.URLEncodedBase64(challenge).String()
	made, err := w.CreateCredential(u, *data, parsed)
	if err != nil || !p.spend(challenge, by.At) {
		return Passkey{}, nil, ErrWrong
	}
	record, err := json.Marshal(made)
	if err != nil {
		return Passkey{}, nil, fmt.Errorf("write a passkey: %w", err)
	}
	k := Passkey{
		ID: newID(), Operator: o.ID, Name: strings.TrimSpace(name), Site: siteName, Credential: made.ID, Record: record, Created: by.At.UTC(),
	}
	if err := p.store.AddPasskey(ctx, k, withAction(by, "passkey.add")); err != nil {
		return Passkey{}, nil, err
	}
	if o.RecoveryCodes > 0 {
		return k, nil, nil
	}
	codes, err := p.NewRecoveryCodes(ctx, o, by)
	return k, codes, err
}

// Passkeys lists the passkeys of an operator, oldest first.
func (p *People) Passkeys(ctx context.Context, o *Operator) ([]Passkey, error) {
	return p.store.Passkeys(ctx, o.ID)
}

// RemovePasskey removes a passkey of an operator; ErrNoFactor. The recovery
// codes go with the last second factor.
func (p *People) RemovePasskey(ctx context.Context, o *Operator, id string, by Change) error {
	if err := p.store.RemovePasskey(ctx, o.ID, id, withAction(by, "passkey.remove")); err != nil {
		return err
	}
	if o.Passkeys == 1 && !o.TOTP {
		return p.store.ReplaceRecoveryCodes(ctx, o.ID, nil, withAction(by, "recovery.drop"))
	}
	return nil
}

// PasskeyToUse returns the options for navigator.credentials.get on a host: for
// one operator who has given the password, session being theirs, or with a nil
// operator for anybody who has a passkey that knows its owner.
func (p *People) PasskeyToUse(ctx context.Context, o *Operator, session, host string, now time.Time) (any, error) {
	w, name, err := site(host)
	if err != nil {
		return nil, err
	}
	if o == nil {
		assertion, _, err := w.BeginDiscoverableLogin(webauthn.WithChallenge(p.challenge("sign in "+name, now)),
			webauthn.WithUserVerification(protocol.VerificationRequired))
		if err != nil {
			return nil, fmt.Errorf("make the options of a sign-in: %w", err)
		}
		return assertion, nil
	}
	u, err := p.person(ctx, o, name)
	if err != nil {
		return nil, err
	}
	if len(u.list) == 0 {
		return nil, ErrNoFactor
	}
	assertion, _, err := w.BeginLogin(u, webauthn.WithChallenge(p.challenge("confirm "+session+" "+name, now)))
	if err != nil {
		return nil, fmt.Errorf("make the options of a sign-in: %w", err)
	}
	return assertion, nil
}

// Assertion is what a browser answered to PasskeyToUse.
type Assertion struct {
	parsed *protocol.ParsedCredentialAssertionData
	key    Passkey
	// Operator is who the credential says it is; not proven yet. Empty if the
	// credential is not known.
	Operator string
}

// ReadAssertion finds out whose credential it is. ErrWrong if it is not one.
func (p *People) ReadAssertion(ctx context.Context, credential []byte) (*Assertion, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(credential)
	if err != nil {
		return nil, ErrWrong
	}
	k, err := p.store.PasskeyByCredential(ctx, parsed.RawID)
	switch {
	case errors.Is(err, ErrNoFactor):
		return &Assertion{parsed: parsed}, nil
	case err != nil:
		return nil, fmt.Errorf("find a passkey: %w", err)
	}
	return &Assertion{parsed: parsed, key: k, Operator: k.Operator}, nil
}

// UsePasskey checks an assertion of an operator on a host. session is that of
// the password before it, or empty if the passkey is all there is; then the
// authenticator must have verified its owner. ErrWrong.
func (p *People) UsePasskey(ctx context.Context, o *Operator, a *Assertion, session, host string, now time.Time) error {
	w, name, err := site(host)
	if err != nil {
		return err
	}
	if a.Operator == "" || a.Operator != o.ID || a.key.Site != name {
		return ErrWrong
	}
	purpose, options := "confirm "+session+" "+name, []webauthn.LoginOption{}
	if session == "" {
		purpose = "sign in " + name
		options = append(options, webauthn.WithUserVerification(protocol.VerificationRequired))
	}
	challenge, ok := p.checkChallenge(purpose, a.parsed.Response.CollectedClientData.Challenge, now)
	if !ok {
		return ErrWrong
	}
	u, err := p.person(ctx, o, name)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(u.list, func(c webauthn.Credential) bool { return bytes.Equal(c.ID, a.key.Credential) }) {
		return ErrWrong
	}
	options = append(options, webauthn.WithChallenge(challenge))
	_, data, err := w.BeginLogin(u, options...)
	if err != nil {
		return fmt.Errorf("make the options of a sign-in: %w", err)
	}
	used, err := w.ValidateLogin(u, *data, a.parsed)
	if err != nil || used.Authenticator.CloneWarning || !p.spend(challenge, now) {
		return ErrWrong
	}
	if a.key.Record, err = json.Marshal(used); err != nil {
		return fmt.Errorf("write a passkey: %w", err)
	}
	a.key.LastUsed = now.UTC()
	if err := p.store.UsePasskey(ctx, a.key); err != nil {
		return fmt.Errorf("note the use of a passkey: %w", err)
	}
	return nil
}
