package challenge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/warderhq/warder"
)

// Posed is a challenge as somebody has to meet it.
type Posed struct {
	Provider  string        // Provider, or the name of a service
	Challenge string        // the puzzle; empty for a service
	SiteKey   string        // of a service
	Life      time.Duration // how long it can be met
}

// Verifier asks an external service whether a token is good. It returns nil, a
// Code if the token is to blame, or another error if the service is: then it is
// out of order.
type Verifier interface {
	Verify(ctx context.Context, token string, remote netip.Addr) error
	// Probe returns nil if the service answers.
	Probe(ctx context.Context) error
}

// ErrService is wrapped when an external service does not answer or makes no
// sense. Nothing was spent.
var ErrService = errors.New("the CAPTCHA service is out of order")

// ErrBusy says that too many tokens are being checked; nothing was spent.
var ErrBusy = errors.New("too many answers to a CAPTCHA are being checked")

// DeskOptions are what a Desk is made of. Issuer is required.
type DeskOptions struct {
	Issuer *Issuer
	// Service and the three below are for an external service; nil: there is none.
	Service *Service
	Verify  Verifier
	Spender Spender
	// Hard poses the puzzle to browsers that do not reach a service which Warder
	// does reach; nil: those are turned away. It should cost more than Issuer.
	Hard *Issuer
	// OnHealth is told when the service fails and when it answers again.
	OnHealth func(down bool, err error)
	Logger   *slog.Logger
}

// Desk poses challenges and takes what people bring: those of an external
// service while that answers, and the embedded proof of work otherwise. A dead
// service keeps nobody out and lets nobody in.
type Desk struct {
	opts DeskOptions
	log  *slog.Logger

	mu      sync.Mutex
	down    time.Time // the service is taken to be out of order until then
	probing bool
	probed  time.Time
	asking  map[netip.Prefix]int // tokens that the service is looking at, by address key
	asked   int                  // all of them
}

// Bounds of what is asked of a service.
const (
	outage     = time.Minute      // how long a failure is believed
	probeEvery = 10 * time.Second // at most
	tokenLife  = 24 * time.Hour   // spent tokens of a service are remembered for so long
	maxAsking  = 64               // tokens that the service is asked about at a time
	maxOfOne   = 4                // of those from one address key
	// MaxServiceToken bounds the tokens of external services, in bytes.
	MaxServiceToken = 8 << 10
)

// NewDesk makes a Desk.
func NewDesk(o DeskOptions) (*Desk, error) {
	switch {
	case o.Issuer == nil:
		return nil, errors.New("challenge: Issuer is required")
	case o.Service != nil && (o.Verify == nil || o.Spender == nil):
		return nil, errors.New("challenge: an external service needs Verify and Spender")
	}
	d := &Desk{opts: o, log: o.Logger, asking: map[netip.Prefix]int{}}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d, nil
}

// Service is the external service; nil if there is none.
func (d *Desk) Service() *Service { return d.opts.Service }

// external reports whether challenges are the service's now.
func (d *Desk) external(now time.Time) bool {
	if d.opts.Service == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !now.Before(d.down)
}

// Pose poses a challenge.
func (d *Desk) Pose(now time.Time, b Binding) (Posed, error) {
	if d.external(now) {
		return Posed{Provider: d.opts.Service.Name, SiteKey: d.opts.Service.SiteKey, Life: DefaultLife}, nil
	}
	return puzzle(d.opts.Issuer, now, b)
}

func puzzle(i *Issuer, now time.Time, b Binding) (Posed, error) {
	text, life, err := i.Issue(now, b)
	return Posed{Provider: Provider, Challenge: text, Life: life}, err
}

// Redeem accepts a token, once. A Code says what is wrong with it; any other
// error means that nothing was spent, and that another challenge should be
// posed.
func (d *Desk) Redeem(ctx context.Context, now time.Time, token string, b Binding, remote netip.Addr) error {
	if d.opts.Service == nil || strings.HasPrefix(token, version+".") {
		_, err := d.opts.Issuer.Verify(ctx, now, token, b)
		if err == ErrInvalid && d.opts.Hard != nil { //nolint:errorlint // a Code is never wrapped
			_, err = d.opts.Hard.Verify(ctx, now, token, b)
		}
		return err
	}
	if token == "" || len(token) > MaxServiceToken {
		return ErrInvalid
	}
	if !d.begin(b.AddressKey) {
		return ErrBusy
	}
	err := d.opts.Verify.Verify(ctx, token, remote)
	d.end(b.AddressKey)
	if _, ok := errors.AsType[Code](err); ok {
		d.healthy(nil, now)
		return err
	}
	if err != nil {
		// The token may be to blame after all, made up by somebody who would like
		// a cheaper challenge: the service is asked something harmless.
		if d.look(ctx, now); d.external(now) {
			return ErrInvalid
		}
		return fmt.Errorf("%w: %w", ErrService, err)
	}
	d.healthy(nil, now)
	sum := sha256.Sum256([]byte(d.opts.Service.Name + "\x00" + token))
	err = d.opts.Spender.Spend(ctx, hex.EncodeToString(sum[:]), now.Add(tokenLife))
	if errors.Is(err, ErrSpent) {
		return ErrSpent
	}
	return err
}

// begin takes a place among those whose tokens the service is asked about.
func (d *Desk) begin(key netip.Prefix) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked >= maxAsking || d.asking[key] >= maxOfOne {
		return false
	}
	d.asked++
	d.asking[key]++
	return true
}

func (d *Desk) end(key netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked--
	if d.asking[key]--; d.asking[key] == 0 {
		delete(d.asking, key)
	}
}

// Unreachable is told that a browser does not reach the service, and returns
// what can be done instead. Warder looks for itself, since whoever would like a
// cheaper challenge can say so; ok false: it does reach the service.
func (d *Desk) Unreachable(ctx context.Context, now time.Time, b Binding) (p Posed, ok bool, err error) {
	if d.opts.Service == nil || !d.external(now) {
		p, err = puzzle(d.opts.Issuer, now, b)
		return p, true, err
	}
	d.look(ctx, now)
	if !d.external(now) {
		p, err = puzzle(d.opts.Issuer, now, b)
		return p, true, err
	}
	if d.opts.Hard == nil {
		return Posed{}, false, nil
	}
	p, err = puzzle(d.opts.Hard, now, b)
	return p, true, err
}

// look asks the service whether it is there, if nobody did a moment ago.
func (d *Desk) look(ctx context.Context, now time.Time) {
	d.mu.Lock()
	look := !d.probing && now.Sub(d.probed) >= probeEvery
	if look {
		d.probing, d.probed = true, now
	}
	d.mu.Unlock()
	if !look {
		return
	}
	err := d.opts.Verify.Probe(context.WithoutCancel(ctx))
	d.mu.Lock()
	d.probing = false
	d.mu.Unlock()
	d.healthy(err, now)
}

// healthy notes how the service does.
func (d *Desk) healthy(err error, now time.Time) {
	d.mu.Lock()
	was := !d.down.IsZero()
	d.down = time.Time{}
	if err != nil {
		d.down = now.Add(outage)
	}
	d.mu.Unlock()
	if was == (err != nil) {
		return
	}
	if err != nil {
		d.log.Warn("the CAPTCHA service does not answer, the embedded proof of work takes its place", "service", d.opts.Service.Name, "error", err)
	}
	if d.opts.OnHealth != nil {
		d.opts.OnHealth(err != nil, err)
	}
}

// BindingOf is what challenges on Warder's pages are good for.
func BindingOf(ip netip.Addr, realm string) Binding {
	return Binding{AddressKey: warder.AddressKey(ip), Realm: realm, Purpose: "page"}
}
