package guard

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warderhq/warder"
)

// SEMANTICS 3: by device, or by address where the application tells no device,
// for 90 days.
func TestKnownSourceByDeviceLong(t *testing.T) {
	bubble(t, rules("cooling_period: 0"), func(r *rig) {
		e := succeed("203.0.113.5", "alice")
		e.Device = "phone"
		r.report(e)
		known := func(ip, account, device string) bool {
			return r.Explain(Query{IP: addr(ip), Account: account, Realm: "user", Device: device}).Known
		}
		for _, tt := range []struct {
			ip, account, device string
			want                bool
		}{
			{"203.0.113.5", "alice", "phone", true},
			{"198.51.100.9", "ALICE ", "phone", true},
			{"203.0.113.5", "alice", "", true},
			{"203.0.113.5", "alice", "tablet", false},
			{"198.51.100.9", "alice", "", false},
			{"203.0.113.5", "bob", "phone", false},
		} {
			if got := known(tt.ip, tt.account, tt.device); got != tt.want {
				t.Errorf("%+v: known %t", tt, got)
			}
		}
		time.Sleep(90*24*time.Hour - time.Minute)
		if !known("198.51.100.9", "alice", "phone") {
			t.Error("forgotten before 90 days")
		}
		time.Sleep(2 * time.Minute)
		if known("198.51.100.9", "alice", "phone") {
			t.Error("known after 90 days")
		}
	})
}

// The table of known sources has a bound; whoever is forgotten is unknown.
func TestAgingIsBounded(t *testing.T) {
	a := newAging(100)
	at := time.Unix(1e9, 0)
	for i := range 10_000 {
		a.put(digestOf(string(rune(i))), at.Add(time.Duration(i)*time.Second))
	}
	if len(a.m) > 100 {
		t.Errorf("%d entries of 100", len(a.m))
	}
	if !a.after(digestOf(string(rune(9999))), at) {
		t.Error("the newest entry is gone")
	}
}

// Several Blocks of one address that are lifted together leave one exemption
// behind: who takes it back has taken it back.
func TestLiftTrustsAnAddressOnce(t *testing.T) {
	bubble(t, rules("cooling_period: 600"), func(r *rig) {
		ctx, by, subject := context.Background(), Actor{Name: "test"}, warder.AddressKey(addr(attacker))
		for range 5 {
			r.report(fail(attacker, "bob"))
		}
		if _, err := r.Block(ctx, by, NewBlock{IP: subject, Duration: time.Hour}); err != nil {
			t.Fatal(err)
		}
		lifted, err := r.Lift(ctx, by, Lift{IP: subject, Verdict: VerdictResolved, TrustFor: time.Hour})
		if err != nil || len(lifted) != 2 {
			t.Fatalf("%d blocks lifted, %v", len(lifted), err)
		}
		if list := r.TrustedList(); len(list) != 1 || list[0].Note != "lifted" {
			t.Errorf("exemptions: %+v", list)
		}
	})
}

// SEMANTICS 32: an automatic and a manual Block of one address stand apart, and
// a second automatic one does not join the first.
func TestManualAndAutomaticBlocksStandApart(t *testing.T) {
	bubble(t, rules("cooling_period: 600"), func(r *rig) {
		q := Query{IP: addr(attacker), Account: "alice", Realm: "user", Event: "USER_LOGIN"}
		late := r.begin(q)
		for range 5 {
			r.report(fail(attacker, "bob"))
		}
		r.settle(late, warder.Failure)
		automatic := r.check(attacker)
		if _, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: warder.AddressKey(addr(attacker)), Duration: time.Hour}); err != nil {
			t.Fatal(err)
		}
		manual := r.check(attacker)
		if manual.BlockID == automatic.BlockID {
			t.Fatal("the longer block is not the one reported")
		}
		r.liftID(manual.BlockID)
		if d := r.check(attacker); d.BlockID != automatic.BlockID {
			t.Errorf("lifting the manual block left %+v", d)
		}
		if _, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: warder.AddressKey(addr(attacker)), Duration: time.Hour}); err != nil {
			t.Fatal(err)
		}
		r.liftID(automatic.BlockID)
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		r.lift(attacker, VerdictResolved)
		r.want(r.check(attacker), warder.Allow, warder.OK)
		if blocks, _, _ := r.j.counts(); blocks != 3 {
			t.Errorf("%d rows, want one automatic and two manual", blocks)
		}
	})
	// A block of the policy is lifted with the others.
	bubble(t, rules("cooling_period: 0"), func(r *rig) {
		r.setPolicy(rules("cooling_period: 0") + "blocked: [{ip: 203.0.113.66, reason: known}]\n")
		for range 2 {
			if _, err := r.Block(context.Background(), Actor{Name: "test"}, NewBlock{IP: netip.MustParsePrefix("203.0.113.66/32")}); err != nil {
				t.Fatal(err)
			}
		}
		r.lift(attacker, VerdictResolved)
		r.want(r.check(attacker), warder.Allow, warder.OK)
	})
}

// SEMANTICS 7.
func TestHitsStandAtTheirOwnTime(t *testing.T) {
	bubble(t, rules("cooling_period: 0"), func(r *rig) {
		level := func() int { return r.Explain(Query{IP: addr(attacker)}).Counters[0].Count }
		e := fail(attacker, "alice")
		e.Time = r.now().Add(-time.Hour)
		if res := r.report(e); res.Severity != warder.Warning || level() != 0 {
			t.Errorf("an event older than the window: severity %s, counted %d", res.Severity, level())
		}
		e.Time = r.now().Add(-50 * time.Minute)
		r.report(e)
		e.Time = r.now().Add(4 * time.Minute) // counts from its arrival
		r.report(e)
		if level() != 2 {
			t.Fatalf("counted %d, want 2", level())
		}
		time.Sleep(10*time.Minute + time.Second)
		if level() != 1 {
			t.Errorf("an hour after the first it counts %d, want 1", level())
		}
		time.Sleep(50 * time.Minute)
		if level() != 0 {
			t.Errorf("an hour after its arrival it counts %d, want 0", level())
		}
		if n := len(r.j.named("USER_LOGIN_FAILURE")); n != 3 {
			t.Errorf("%d events stored, want 3", n)
		}
	})
}

// SEMANTICS 17, 48: the step of an escalation outlives a restart.
func TestEscalationSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newMemJournal()
		for _, seconds := range []int64{10, 100, 1000, 1000} {
			r := newRig(t, j, rules("escalate: [10, 100, 1000]"))
			for range 5 {
				r.report(fail(attacker, "alice"))
			}
			if d := r.check(attacker); d.RetryAfter == nil || *d.RetryAfter != seconds {
				t.Fatalf("decision %+v, want a block of %d s", d, seconds)
			}
			time.Sleep(time.Duration(seconds)*time.Second + time.Second)
			r.stop()
		}
	})
}

// An import that was cut off is repeated as a whole: nothing is doubled.
func TestRepeatedImport(t *testing.T) {
	bubble(t, "", func(r *rig) {
		load := func(list ...NewBlock) (blocks, ends int) {
			t.Helper()
			errs, err := r.ImportBlocks(context.Background(), Actor{Name: "test"}, list)
			if err != nil || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
				t.Fatal(errs, err)
			}
			r.j.mu.Lock()
			defer r.j.mu.Unlock()
			return len(r.j.blocks), len(r.j.ends)
		}
		ip := func(n int) netip.Prefix { return warder.AddressKey(addr(fmt.Sprintf("198.51.100.%d", n))) }
		if n, _ := load(NewBlock{IP: ip(1)}, NewBlock{IP: ip(2), Duration: time.Hour}, NewBlock{IP: ip(2)}, NewBlock{IP: ip(2)}); n != 2 {
			t.Errorf("%d blocks, want 2: the longest of each subject", n)
		}
		if n, ends := load(NewBlock{IP: ip(1)}, NewBlock{IP: ip(2), Duration: time.Hour}, NewBlock{IP: ip(3), Duration: time.Hour}); n != 3 || ends != 0 {
			t.Errorf("%d blocks, %d ended, want 3 and none: two stand already", n, ends)
		}
		time.Sleep(time.Minute)
		if n, ends := load(NewBlock{IP: ip(3), Duration: time.Hour}); n != 4 || ends != 1 {
			t.Errorf("%d blocks, %d ended, want 4 and 1: the longer one replaces the other", n, ends)
		}
		if n := r.Stats().Blocks; n != 3 {
			t.Errorf("%d blocks are live, want 3", n)
		}
		r.j.mu.Lock()
		defer r.j.mu.Unlock()
		for _, b := range r.j.blocks {
			if state := b.State(r.now()); (state == StateExpired) != !b.EndedAt.IsZero() {
				t.Errorf("a block that ended at %v is %s", b.EndedAt, state)
			}
		}
	})
}

// SEMANTICS 54: different guesses make an address hostile, and a mail client
// that repeats one stale password all day does not.
func TestRepeatedGuessMakesNoAddressHostile(t *testing.T) {
	for name, tt := range map[string]struct {
		guess   func(i int) string
		hostile bool
	}{
		"one stale password":  {func(int) string { return "aa" }, false},
		"different passwords": {func(i int) string { return fmt.Sprintf("%04x", i) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, rules("cooling_period: 0\n      mode: observe"), func(r *rig) {
				const office = "203.0.113.200"
				for i := range 20 {
					r.report(succeed(office, fmt.Sprint("staff", i)))
				}
				for i := range 900 {
					e := fail(office, "printer")
					e.Guess.Same = tt.guess(i)
					r.report(e)
				}
				if n, hostile := r.good.standing(warder.AddressKey(addr(office)), r.now()); n != 20 || hostile != tt.hostile {
					t.Errorf("%d accounts, hostile %t, want %t", n, hostile, tt.hostile)
				}
				failed := 0
				for _, e := range r.j.named("USER_LOGIN_FAILURE") {
					if e.Failed {
						failed++
					}
				}
				if want := map[bool]int{false: 1, true: 900}[tt.hostile]; failed != want {
					t.Errorf("%d of the journaled failures count for the share, want %d", failed, want)
				}
			})
		})
	}
}

// SEMANTICS 54: an office does not become hostile by what anybody in it can
// make fail at will.
func TestOnlySignInsMakeAnAddressHostile(t *testing.T) {
	bubble(t, rules("cooling_period: 0"), func(r *rig) {
		const office = "203.0.113.200"
		for i := range 20 {
			r.report(succeed(office, fmt.Sprint("staff", i)))
			r.report(succeed(fmt.Sprintf("198.51.100.%d", i+1), fmt.Sprint("other", i)))
		}
		var noise []Incoming
		for i := range 900 {
			e := fail(office, fmt.Sprint("x", i))
			e.Name = []string{"SIGNUP_FAILURE", "CHALLENGE_FAILURE", "USER_PASSWORD_RESET_FAILURE"}[i%3]
			noise = append(noise, Incoming{Event: e})
		}
		r.Report(context.Background(), r.app, noise)
		if n, hostile := r.good.standing(warder.AddressKey(addr(office)), r.now()); n != 20 || hostile {
			t.Errorf("%d accounts, hostile %t", n, hostile)
		}
	})
}

// Nanoseconds end in 2262. A Block that ends later is in force all the same,
// also after a restart, and a policy that still names it leaves it alone.
func TestBlockUntilAfterNanosecondsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const yaml = "blocked: [{ip: 203.0.113.66, until: 9999-12-31T00:00:00Z}]\n"
		j := newMemJournal()
		r := newRig(t, j, rules("cooling_period: 0"))
		defer r.stop()
		r.setPolicy(rules("cooling_period: 0") + yaml)
		first := r.check(attacker)
		r.want(first, warder.BlockAction, warder.Blocked)
		r.setPolicy(rules("cooling_period: 600") + yaml)
		if d := r.check(attacker); d.BlockID != first.BlockID {
			t.Errorf("another policy replaced block %s by %s", first.BlockID, d.BlockID)
		}
		r.stop()
		r = newRig(t, j, rules("cooling_period: 0"))
		defer r.stop()
		r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
	})
}

// What can be asked for as a duration can be asked for as an end, no more.
func TestEndOfABlockIsBounded(t *testing.T) {
	bubble(t, "", func(r *rig) {
		ctx, by := context.Background(), Actor{Name: "test"}
		b, err := r.Block(ctx, by, NewBlock{IP: netip.MustParsePrefix(attacker + "/32")})
		if err != nil {
			r.Fatal(err)
		}
		for _, tt := range []struct {
			until time.Time
			ok    bool
		}{
			{r.now().Add(maxDuration - time.Hour), true},
			{r.now().Add(maxDuration + time.Hour), false},
			{time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), false},
			{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), false},
			{time.Time{}, true},
		} {
			if err := r.EditBlock(ctx, by, BlockEdit{ID: b.ID, Until: &tt.until}); (err == nil) != tt.ok {
				r.Errorf("until %s: %v", tt.until, err)
			}
			r.want(r.check(attacker), warder.BlockAction, warder.Blocked)
		}
	})
}

// SEMANTICS 5: what a trusted address does never counts, also in a session that
// was ended.
func TestTrustedAddressInARevokedSession(t *testing.T) {
	bubble(t, rules("cooling_period: 0")+"trusted: [203.0.113.66]\n", func(r *rig) {
		if _, err := r.RevokeSessions(context.Background(), Actor{Name: "test"}, RevokeRequest{Session: "s"}); err != nil {
			r.Fatal(err)
		}
		for range 6 {
			e := fail(attacker, "alice")
			e.Session = "s"
			r.want(r.report(e).Decision, warder.BlockAction, warder.SessionRevoked)
		}
		if blocks, alerts, _ := r.j.counts(); blocks != 0 || alerts != 0 {
			t.Errorf("%d blocks and %d alerts about a trusted address", blocks, alerts)
		}
	})
}
