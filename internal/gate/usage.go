package gate

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// usage is how often sign-ins went well with each name for an account that a
// profile lists. The name that the application reads is there each time; who
// adds another one, to have somebody else's failures taken out by a success of
// their own, cannot add it to everybody's.
type usage struct {
	times map[*Endpoint][]atomic.Int64
	from  *memory[struct{}] // addresses that were counted within the hour
}

func newUsage(p *Profile) *usage {
	u := &usage{times: map[*Endpoint][]atomic.Int64{}, from: newMemory[struct{}](16<<10, time.Hour)}
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; len(e.Account) > 1 {
			u.times[e] = make([]atomic.Int64, len(e.Account))
		}
	}
	return u
}

// usual returns the name that was there most often, the first of several.
func (u *usage) usual(e *Endpoint, named []bool) int {
	times, best := u.times[e], slices.Index(named, true)
	for i := range times {
		if named[i] && times[i].Load() > times[best].Load() {
			best = i
		}
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
}
