package gate

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// usage is how often sign-ins went well with each name for an account that a
// profile lists, and resets and second factors with none of them. The name that
// the application reads is there each time; who adds another one, to have
// somebody else's failures taken out by a success of their own, cannot add it to
// everybody's.
type usage struct {
	times map[*Endpoint][]atomic.Int64 // by name; the last is for none
	from  *memory[struct{}]            // addresses that were counted within the hour
}

func newUsage(p *Profile) *usage {
	u := &usage{times: map[*Endpoint][]atomic.Int64{}, from: newMemory[struct{}](16<<10, time.Hour)}
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; len(e.Account) > 1 || e.nameless() && len(e.Account) > 0 {
			u.times[e] = make([]atomic.Int64, len(e.Account)+1)
		}
	}
	return u
}

// nameless reports whether a form there may do without the name of an account:
// a link or a sign-in before it says whose it is.
func (e *Endpoint) nameless() bool { return e.Kind == PasswordReset || e.Kind == SecondFactor }

// usual returns the name that was there most often, the first of several; -1 if
// most often none was.
func (u *usage) usual(e *Endpoint, named []bool) int {
	times, best := u.times[e], slices.Index(named, true)
	if best < 0 || len(times) == 0 {
		return best
	}
	for i := range named {
		if named[i] && times[i].Load() > times[best].Load() {
			best = i
		}
	}
	if times[len(named)].Load() > times[best].Load() {
		return -1
	}
	return best
}

// worked notes the names of a sign-in that went well, once an hour for each
// address.
func (u *usage) worked(e *Endpoint, named []bool, from netip.Prefix) {
	times := u.times[e]
	if len(times) == 0 || !from.IsValid() {
		return
	}
	key := from.String() + e.Paths[0]
	if _, ok := u.from.get(key); ok {
		return
	}
	u.from.put(key, struct{}{})
	for i, there := range named {
		if there {
			times[i].Add(1)
		}
	}
	if e.nameless() && !slices.Contains(named, true) {
		times[len(named)].Add(1)
	}
}
