package guard

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/warderhq/warder"
)

// Reasons for working with less than one should that the engine itself finds.
const (
	DegradedStore     = "store_unwritable"
	DegradedSuspect   = AlertSuspect
	DegradedForwarder = AlertForwarder
	DegradedBlast     = AlertBlastRadius
	DegradedCounters  = AlertCountersFull
	DegradedJournal   = "settlements_not_journaled"
	DegradedBlocks    = "blocks_full"
	DegradedNoRules   = "no_rules"
)

// degraded is what works with less than it should.
type degraded struct {
	mu sync.Mutex
	m  map[string]Degradation
	// told remembers when the operators were told of something, so that one
	// cause makes one alert a day.
	told map[string]time.Time
}

// Degraded lists what is degraded now, oldest first.
func (g *Guard) Degraded() []Degradation {
	g.degraded.mu.Lock()
	defer g.degraded.mu.Unlock()
	list := make([]Degradation, 0, len(g.degraded.m))
	for _, d := range g.degraded.m {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Degradation) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// Degrade sets or clears a reason from outside: mail, providers.
func (g *Guard) Degrade(reason, detail string, on bool) {
	g.degraded.mu.Lock()
	defer g.degraded.mu.Unlock()
	if !on {
		delete(g.degraded.m, reason)
		return
	}
	if g.degraded.m == nil {
		g.degraded.m = make(map[string]Degradation)
	}
	d, ok := g.degraded.m[reason]
	if !ok {
		d = Degradation{Reason: reason, Since: time.Now().UTC()}
	}
	d.Detail = detail
	g.degraded.m[reason] = d
}

// tell reports whether the operators have not been told of cause within a day,
// and notes that they are told now.
func (g *Guard) tell(cause string, now time.Time) bool {
	g.degraded.mu.Lock()
	defer g.degraded.mu.Unlock()
	if at, ok := g.degraded.told[cause]; ok && now.Sub(at) < 24*time.Hour {
		return false
	}
	if g.degraded.told == nil || len(g.degraded.told) > 4096 {
		g.degraded.told = make(map[string]time.Time)
	}
	g.degraded.told[cause] = now
	return true
}

func (g *Guard) journalHealth(err error) {
	if err == nil {
		g.Degrade(DegradedStore, "", false)
		return
	}
	g.log.Warn("journal cannot commit", "error", err)
	g.Degrade(DegradedStore, err.Error(), true)
}

// notice makes the alert of something that is no crossing.
func notice(kind, ip, text string, now time.Time) *Alert {
	return &Alert{ID: newID(), Kind: kind, Time: now, Severity: warder.Critical, IP: ip, Text: text}
}

// noteSuspect tells that an address looks like a proxy (SEMANTICS 55).
func (g *Guard) noteSuspect(address netip.Prefix, rec *Record, now time.Time) {
	ip := prefixText(address)
	g.Degrade(DegradedSuspect, ip+" looks like a proxy: nearly all sign-ins come from it. Add it to trusted_proxies, or make the application report the client's own address.", true)
	if g.tell(AlertSuspect+ip, now) {
		rec.Alerts = append(rec.Alerts, notice(AlertSuspect, ip,
			"Nearly all sign-ins of the last 24 hours came from "+ip+", by 20 or more accounts. "+
				"Warder takes it for a proxy and does not block it by itself, so attackers behind it are not blocked by address. "+
				"Add it to trusted_proxies, or make the application report the client's own address.", now))
	}
}

// NoteUntrustedForwarder is told when a private peer sends a forwarding header
// without being a trusted proxy (SEMANTICS 55).
func (g *Guard) NoteUntrustedForwarder(peer netip.Addr) {
	now := g.now()
	address := warder.AddressKey(peer)
	g.forwarder.put(digestOf(address.String()), now)
	ip := prefixText(address)
	g.Degrade(DegradedForwarder, ip+" sends a forwarding header but is not in trusted_proxies; the header is ignored.", true)
	if g.tell(AlertForwarder+ip, now) {
		g.queue.add(&Record{Alerts: []*Alert{notice(AlertForwarder, ip,
			"The private address "+ip+" sends a forwarding header but is not listed in trusted_proxies. "+
				"Warder ignores the header and does not block "+ip+" by itself. If it is your proxy, list it.", now)}}, nil, true)
	}
}

// noteBlast tells that automatic Blocks hit too many good addresses
// (SEMANTICS 56).
func (g *Guard) noteBlast(rec *Record, now time.Time) {
	const text = "Automatic blocks of the last ten minutes would cover more than 1 % of the addresses that people signed in from this week. " +
		"New blocks of such addresses last 15 minutes until this is over. Is a rule too strict, or does the platform itself refuse correct passwords?"
	g.Degrade(DegradedBlast, text, true)
	if g.tell(AlertBlastRadius, now) {
		rec.Alerts = append(rec.Alerts, notice(AlertBlastRadius, "", text, now))
	}
}

// watch looks after the degradations that end, or begin, without an event.
func (g *Guard) watch(now time.Time) {
	g.degraded.mu.Lock()
	_, blast := g.degraded.m[DegradedBlast]
	_, suspect := g.degraded.m[DegradedSuspect]
	_, forwarder := g.degraded.m[DegradedForwarder]
	g.degraded.mu.Unlock()
	if blast && g.good.quiet(now) {
		g.Degrade(DegradedBlast, "", false)
	}
	if suspect && !g.good.anySuspect(now, g.protectsKey) {
		g.Degrade(DegradedSuspect, "", false)
	}
	if forwarder {
		g.forwarder.sweep(now.Add(-24 * time.Hour))
		if g.forwarder.n.Load() == 0 {
			g.Degrade(DegradedForwarder, "", false)
		}
	}
	g.mu.Lock()
	full := g.counters.Stats().Full
	g.mu.Unlock()
	if full {
		const text = "More addresses and accounts stand close to their threshold than fit in limits.counters: some are forgotten. Raise limits.counters."
		g.Degrade(DegradedCounters, text, true)
		if g.tell(AlertCountersFull, now) {
			g.queue.add(&Record{Alerts: []*Alert{notice(AlertCountersFull, "", text, now)}}, nil, true)
		}
	} else {
		g.Degrade(DegradedCounters, "", false)
	}
	g.Degrade(DegradedBlocks, "So many blocks stand that new automatic ones last 15 minutes. Lift what is no longer needed, or let rules have a cooling period.",
		g.blocks.n.Load() >= maxBlocks)
	g.Degrade(DegradedNoRules, "The policy is switched on but none of its rules is: nothing is counted. Put a preset in force.", g.force.Load().idle())
	if n := g.unjournaled.Load(); n > 0 {
		g.Degrade(DegradedJournal, "Outcomes of attempts that counted but could not be journaled since the start; they are not in the event log.", true)
	}
}

// AlertOn makes crossings of rules of these severities alerts as well. Critical
// ones always are.
func (g *Guard) AlertOn(severities []warder.Severity) {
	var mask uint32
	for _, s := range severities {
		mask |= 1 << s
	}
	g.mailed.Store(mask)
}

// ProtectAlso makes prefixes self-protected, or no longer so: the trusted
// proxies, when they are changed while Warder runs.
func (g *Guard) ProtectAlso(before, now []netip.Prefix) {
	for _, p := range before {
		if !slices.Contains(now, p) {
			g.protected.Delete(p)
		}
	}
	for _, p := range now {
		g.protected.Set(p, time.Time{})
	}
}

// ProtectAddress makes the address key of a signed-in administrator
// self-protected until the given time.
func (g *Guard) ProtectAddress(ip netip.Addr, until time.Time) {
	key := warder.AddressKey(ip)
	if old, ok := g.protected.Get(key); ok && (old.IsZero() || old.After(until)) {
		return
	}
	g.protected.Set(key, until)
}

// Protected reports whether an automatic Block of p would hit ourselves.
func (g *Guard) Protected(p netip.Prefix) bool {
	_, ok := g.protectedOverlap(p, g.now())
	return ok
}

func (g *Guard) protectedOverlap(p netip.Prefix, now time.Time) (netip.Prefix, bool) {
	var hit netip.Prefix
	g.protected.All(func(q netip.Prefix, until time.Time) bool {
		if q.Overlaps(p) && (until.IsZero() || now.Before(until)) {
			hit = q
		}
		return !hit.IsValid()
	})
	return hit, hit.IsValid()
}

// protects reports whether an address is self-protected. Its key counts: an
// IPv6 /64 that holds one of our own addresses is ours.
func (g *Guard) protects(a netip.Addr) bool { return g.protectsKey(warder.AddressKey(a)) }

func (g *Guard) protectsKey(key netip.Prefix) bool {
	if _, until, ok := g.protected.Overlaps(key); !ok || until.IsZero() {
		return ok
	}
	_, ok := g.protectedOverlap(key, g.now())
	return ok
}
