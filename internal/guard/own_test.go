package guard

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/warderhq/warder"
)

// try makes one attempt at the dashboard and settles it; the decision is that
// of its beginning if nothing was checked.
func (r *rig) try(known bool, ip, device, stem string, s Settlement) warder.Decision {
	r.Helper()
	app := &App{ID: "dashboard", Own: true, Known: known}
	q := Query{IP: addr(ip), Account: "ann@example.org", Realm: "warder", Device: device, Event: stem}
	a, err := r.Begin(context.Background(), app, q, time.Second, "")
	if err != nil {
		r.Fatal(err)
	}
	if a.Token == "" {
		return a.Decision
	}
	res, err := r.Settle(context.Background(), app, a.Token, s)
	if err != nil {
		r.Fatal(err)
	}
	return res.Decision
}

// TestDashboardIsNotRefusedByAddress: SEMANTICS 36. A Block of the address
// refuses nobody at the dashboard, its guesses count for the account all the
// same, the Block is told once, and the account's Block spares the device that
// is known.
func TestDashboardIsNotRefusedByAddress(t *testing.T) {
	bubble(t, "", func(r *rig) {
		wrong := func(i int) Settlement {
			return Settlement{Outcome: warder.Failure, Reason: "wrong_password", Guess: warder.Guess{Same: fmt.Sprintf("%02x", i)}}
		}
		for i := range 5 {
			r.try(false, attacker, "stranger", "ADMIN_LOGIN", wrong(i))
		}
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		if d := r.try(false, attacker, "stranger", "ADMIN_LOGIN", wrong(5)); d.Action != warder.Allow {
			t.Errorf("the sixth guess: %+v", d)
		}
		r.want(r.try(true, attacker, "laptop", "ADMIN_LOGIN", Settlement{Outcome: warder.Success}), warder.Allow, warder.OK)
		blocks := 0
		for i := 6; i < 30; i++ {
			if d := r.try(false, attacker, "stranger", "ADMIN_LOGIN", wrong(i)); d.Action == warder.BlockAction {
				blocks++
			}
		}
		if blocks == 0 {
			t.Error("the rule about account and address never refused")
		}
		r.want(r.try(true, attacker, "laptop", "ADMIN_LOGIN", Settlement{Outcome: warder.Success}), warder.Allow, warder.OK)
		r.want(r.try(false, "198.51.100.7", "phone", "ADMIN_LOGIN", Settlement{Outcome: warder.Success}), warder.Allow, warder.OK)
		byAddress := 0
		r.stop()
		for _, b := range r.j.blocks {
			if b.Subject.IP.IsValid() && b.Subject.Account == "" {
				byAddress++
			}
		}
		if byAddress != 1 {
			t.Errorf("the address was blocked %d times", byAddress)
		}
	})
}

// TestHalfASignInIsNone: a password before its second factor makes no device
// known and takes no failure out; the second factor completes it.
func TestHalfASignInIsNone(t *testing.T) {
	bubble(t, "", func(r *rig) {
		half := Settlement{Outcome: warder.Success, SecondFactor: true}
		who := requesterOf(&Query{IP: addr(attacker), Account: "ann@example.org", Realm: "warder", Device: "phone"})
		r.try(false, attacker, "phone", "ADMIN_LOGIN", half)
		if r.knows(who, r.now()) {
			t.Error("the password alone made the device known")
		}
		r.try(false, attacker, "phone", "MFA", Settlement{Outcome: warder.Failure})
		if r.knows(who, r.now()) {
			t.Error("a wrong code made the device known")
		}
		r.try(false, attacker, "phone", "MFA", Settlement{Outcome: warder.Success})
		if !r.knows(who, r.now()) {
			t.Error("the completed sign-in made the device not known")
		}
	})
}
