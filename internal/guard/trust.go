package guard

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/policy"
)

// policyTrust begins the ids of trusted entries that the policy names.
const policyTrust = "policy:"

// trustPolicy makes the trusted table from the policy's entries and dynamic
// ones. The caller holds the engine's lock, or has not begun.
func (g *Guard) trustPolicy(p *policy.Policy, dynamic []Trusted) {
	byPrefix := make(map[netip.Prefix][]Trusted)
	for i, t := range p.Trusted {
		byPrefix[t] = append(byPrefix[t], Trusted{ID: fmt.Sprintf("%s%d", policyTrust, i), IP: t})
	}
	for _, t := range dynamic {
		byPrefix[t.IP] = append(byPrefix[t.IP], t)
	}
	g.trusted.Replace(func(add func(netip.Prefix, []Trusted)) {
		for p, entries := range byPrefix {
			add(p, entries)
		}
	})
}

// dynamicTrust lists the entries that operators made.
func (g *Guard) dynamicTrust() []Trusted {
	return slices.DeleteFunc(g.TrustedList(), func(t Trusted) bool { return strings.HasPrefix(t.ID, policyTrust) })
}

// TrustedList returns the entries in force, those of the policy (ID
// "policy:<n>") first.
func (g *Guard) TrustedList() []Trusted {
	now := g.now()
	var list []Trusted
	g.trusted.All(func(_ netip.Prefix, entries []Trusted) bool {
		for _, t := range entries {
			if t.Until.IsZero() || now.Before(t.Until) {
				list = append(list, t)
			}
		}
		return true
	})
	slices.SortFunc(list, func(a, b Trusted) int {
		pa, pb := strings.HasPrefix(a.ID, policyTrust), strings.HasPrefix(b.ID, policyTrust)
		switch {
		case pa != pb && pa:
			return -1
		case pa != pb:
			return 1
		}
		return a.IP.Compare(b.IP)
	})
	return list
}

func (g *Guard) addTrusted(t Trusted) {
	old, _ := g.trusted.Get(t.IP)
	g.trusted.Set(t.IP, append(slices.Clip(old), t))
}

func (g *Guard) removeTrusted(ip netip.Prefix, id string) {
	old, _ := g.trusted.Get(ip)
	rest := slices.DeleteFunc(slices.Clone(old), func(t Trusted) bool { return t.ID == id })
	if len(rest) == 0 {
		g.trusted.Delete(ip)
		return
	}
	g.trusted.Set(ip, rest)
}

// sweepTrusted takes out what is over, so that addresses that are no longer
// trusted are back on the quick path.
func (g *Guard) sweepTrusted(now time.Time) {
	var over []Trusted
	g.trusted.All(func(_ netip.Prefix, entries []Trusted) bool {
		for _, t := range entries {
			if !t.Until.IsZero() && !now.Before(t.Until) {
				over = append(over, t)
			}
		}
		return true
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range over {
		g.removeTrusted(t.IP, t.ID)
	}
}

// Trust adds an entry to the trusted list; zero expiry: until removed.
func (g *Guard) Trust(ctx context.Context, by Actor, ip netip.Prefix, note string, expiresIn time.Duration) (Trusted, error) {
	var f warder.Faults
	switch {
	case !ip.IsValid():
		f.Add("ip", "is required")
	case tooWide(ip):
		f.Add("ip", "must not be wider than /8 (IPv6: /19), is %s", ip)
	}
	if len(note) > maxNote {
		f.Add("note", "must be at most %d bytes", maxNote)
	}
	if expiresIn < 0 || expiresIn > maxDuration {
		f.Add("expires_in", "must be between 0 (never) and %d seconds", int64(maxDuration/time.Second))
	}
	if err := f.Err(); err != nil {
		return Trusted{}, err
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return Trusted{}, err
	}
	defer release()
	now := g.now()
	t := Trusted{ID: newID(), IP: ip.Masked(), Note: note, By: by.Name, From: now}
	if expiresIn > 0 {
		t.Until = now.Add(expiresIn)
	}
	rec := &Record{Trusted: []Trusted{t}, Audit: g.audit(by, "trusted.add", prefixText(t.IP), note, nil, t)}
	return t, g.change(ctx, rec, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.addTrusted(t)
	})
}

// Untrust removes an entry. ErrNotFound; ErrConflict for one of the policy.
func (g *Guard) Untrust(ctx context.Context, by Actor, id string) error {
	if strings.HasPrefix(id, policyTrust) {
		return fmt.Errorf("%w: the policy names it; change the policy", ErrConflict)
	}
	release, err := g.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	list := g.dynamicTrust()
	i := slices.IndexFunc(list, func(t Trusted) bool { return t.ID == id })
	if i < 0 {
		return ErrNotFound
	}
	t := list[i]
	rec := &Record{TrustedEnds: []string{id}, Audit: g.audit(by, "trusted.remove", prefixText(t.IP), "", t, nil)}
	return g.change(ctx, rec, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.removeTrusted(t.IP, id)
	})
}
