package demo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/warderhq/warder"
)

// historyDays is how far back the invented past goes.
const historyDays = 30

// history invents what happened before the start: people on working days,
// attacks at night. Each event has its own time, all before the last two hours,
// so that Warder stores them as it would those of an old log, and counts none
// of them: what is blocked, is blocked for what happens from now on.
func (p *population) history(now time.Time, seed uint64) []warder.Event {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // an invention may be guessed
	last := now.Add(-2 * time.Hour)
	midnight := now.Truncate(24 * time.Hour)
	var out []warder.Event
	add := func(at time.Time, e warder.Event) {
		if at.Before(last) && at.After(now.AddDate(0, 0, -historyDays)) {
			e.Time = at
			e.Method = "POST"
			out = append(out, e)
		}
	}
	event := func(one *person, name, path string) warder.Event {
		return warder.Event{Name: name, IP: one.addr, Account: one.name, Realm: string(one.realm), UserAgent: one.agent, Path: path}
	}
	everybody := slices.Concat(p.home, p.office, p.admins)
	for d := historyDays; d >= 0; d-- {
		day := midnight.AddDate(0, 0, -d)
		busy := 130
		if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
			busy = 50
		}
		for range busy + r.IntN(40) {
			one := &everybody[r.IntN(len(everybody))]
			at := day.Add(7*time.Hour + time.Duration(r.IntN(12*3600))*time.Second)
			stem, panel := "USER", ""
			if one.realm == Admin {
				stem, panel = "ADMIN", "/admin"
			}
			path := panel + "/login"
			mistakes := 8 // one in so many
			if one.addr == officeAddr {
				mistakes = 40 // colleagues have a password manager
			}
			if r.IntN(mistakes) == 0 {
				e := event(one, stem+"_LOGIN_FAILURE", path)
				e.Reason = warder.WrongPassword
				add(at.Add(-20*time.Second), e)
			}
			add(at, event(one, stem+"_LOGIN_SUCCESS", path))
			if r.IntN(3) > 0 {
				add(at.Add(time.Duration(5+r.IntN(60))*time.Minute), event(one, warder.Logout, panel+"/logout"))
			}
			if one.realm == User && r.IntN(40) == 0 {
				add(at.Add(-3*time.Minute), event(one, "USER_PASSWORD_RESET_REQUEST", "/forgot"))
				add(at.Add(-2*time.Minute), event(one, "USER_PASSWORD_RESET_SUCCESS", "/reset"))
			}
		}
		attacks, most := r.IntN(3), 30
		if d%9 == 4 {
			attacks, most = attacks+3, 90 // a bad night
		}
		for range attacks {
			at := day.Add(time.Duration(r.IntN(24*3600)) * time.Second)
			from := netip.AddrFrom4([4]byte{203, 0, 113, byte(70 + r.IntN(180))})
			kind := r.IntN(4)
			agent := programs[r.IntN(len(programs))]
			for i := range 8 + r.IntN(most) {
				e := warder.Event{
					Name: "USER_LOGIN_FAILURE", IP: from, Account: homeNames[r.IntN(len(homeNames))], Realm: string(User),
					UserAgent: agent, Path: "/login", Reason: warder.WrongPassword,
				}
				switch kind {
				case 0:
					e.Account, e.Reason = fmt.Sprintf("user%d", r.IntN(1000)), "unknown_account"
				case 1:
					e.Name, e.Realm, e.Account, e.Path = "ADMIN_LOGIN_FAILURE", string(Admin), "root", "/admin/login"
				case 2:
					e.Account = homeNames[0]
				}
				if i > 12 && r.IntN(9) == 0 {
					e.Name, e.Realm, e.Account, e.Path, e.Reason = warder.UnauthorizedAccess, string(Admin), "", "/admin/users", ""
				}
				add(at.Add(time.Duration(i*2)*time.Second), e)
			}
		}
	}
	slices.SortFunc(out, func(a, b warder.Event) int { return cmp.Compare(a.Time.UnixNano(), b.Time.UnixNano()) })
	return out
}
