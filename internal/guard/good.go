package guard

import (
	"net/netip"
	"sync"
	"time"
)

// Figures of the guards against hurting the innocent (SEMANTICS 54-56).
const (
	goodLife        = 14 * 24 * time.Hour // an account counts for an address for so long
	sharedAccounts  = 20
	suspectAccounts = 20
	suspectPercent  = 90
	hostilePercent  = 5
	blastPercent    = 1
	blastBlocks     = 10 // more than so many
	blastWindow     = 10 * time.Minute
	goodWeek        = 7 * 24 * time.Hour

	// An address remembers so many accounts; beyond, it is shared anyway.
	maxGoodAccounts = 256
	// goodBytes is what one address with a few accounts costs.
	goodBytes = 1 << 10
)

// goodwill remembers which addresses people sign in well from. Only completed
// sign-ins make entries, so a flood of failures cannot fill it. It is guarded
// by its own lock, taken inside the engine's.
type goodwill struct {
	mu     sync.Mutex
	max    int
	m      map[netip.Prefix]*goodAddress
	realms map[string]*day
	blasts []time.Time // automatic Blocks of good addresses, last ten minutes
}

type goodAddress struct {
	accounts map[digest]time.Time
	realms   map[string]*day
	bad      day // failures in every realm
	ok       day
	last     time.Time
}

// day counts in hours, for the last 24.
type day struct {
	n    [24]uint32
	hour int64 // number of the newest hour since 1970
}

func (d *day) add(at time.Time, n int) {
	h := at.Unix() / 3600
	d.roll(h)
	if d.hour-h < 24 {
		d.n[h%24] += uint32(n)
	}
}

func (d *day) roll(h int64) {
	for d.hour < h {
		if h-d.hour >= 24 {
			*d = day{hour: h}
			return
		}
		d.hour++
		d.n[d.hour%24] = 0
	}
}

func (d *day) sum(now time.Time) int {
	d.roll(now.Unix() / 3600)
	sum := 0
	for _, n := range d.n {
		sum += int(n)
	}
	return sum
}

func newGoodwill(maxAddresses int) *goodwill {
	return &goodwill{max: max(16, maxAddresses), m: make(map[netip.Prefix]*goodAddress), realms: make(map[string]*day)}
}

func (g *goodwill) address(a netip.Prefix) *goodAddress {
	ga := g.m[a]
	if ga == nil {
		if len(g.m) >= g.max {
			g.evict()
		}
		ga = &goodAddress{accounts: make(map[digest]time.Time), realms: make(map[string]*day)}
		g.m[a] = ga
	}
	return ga
}

func (g *goodwill) evict() {
	var oldest netip.Prefix
	var at time.Time
	seen := 0
	for k, v := range g.m {
		if seen == 0 || v.last.Before(at) {
			oldest, at = k, v.last
		}
		if seen++; seen == 8 {
			break
		}
	}
	delete(g.m, oldest)
}

// account notes that an account completed a sign-in from an address.
func (g *goodwill) account(a netip.Prefix, account string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ga := g.address(a)
	d := digestOf(account)
	if _, known := ga.accounts[d]; !known && len(ga.accounts) >= maxGoodAccounts {
		for k := range ga.accounts {
			delete(ga.accounts, k)
			break
		}
	}
	ga.accounts[d] = at
	if at.After(ga.last) {
		ga.last = at
	}
}

// completed counts completed sign-ins of an hour.
func (g *goodwill) completed(a netip.Prefix, realm string, at time.Time, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ga := g.address(a)
	dayOf(ga.realms, realm).add(at, n)
	dayOf(g.realms, realm).add(at, n)
	ga.ok.add(at, n)
}

// maxRealms bounds what an application's realm names can grow.
const maxRealms = 256

func dayOf(m map[string]*day, realm string) *day {
	d := m[realm]
	if d == nil {
		if len(m) >= maxRealms {
			realm = ""
			if d = m[realm]; d != nil {
				return d
			}
		}
		d = new(day)
		m[realm] = d
	}
	return d
}

// failed counts failed sign-ins of an address that people sign in well from.
func (g *goodwill) failed(a netip.Prefix, at time.Time, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ga := g.m[a]; ga != nil {
		ga.bad.add(at, n)
	}
}

// standing answers what is known of an address: the different accounts that
// completed sign-ins from it in 14 days, and whether fewer than 5 % of its
// sign-ins of the last 24 h succeeded.
func (g *goodwill) standing(a netip.Prefix, now time.Time) (accounts int, hostile bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ga := g.m[a]
	if ga == nil {
		return 0, false
	}
	accounts = ga.count(now)
	ok, bad := ga.ok.sum(now), ga.bad.sum(now)
	return accounts, ok*100 < hostilePercent*(ok+bad)
}

func (ga *goodAddress) count(now time.Time) int {
	n := 0
	for d, at := range ga.accounts {
		if now.Sub(at) > goodLife {
			delete(ga.accounts, d)
			continue
		}
		n++
	}
	return n
}

// suspect reports whether an address looks like a proxy: 90 % or more of a
// realm's completed sign-ins of the last 24 h came from it, by 20 or more
// accounts.
func (g *goodwill) suspect(a netip.Prefix, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ga := g.m[a]
	return ga != nil && g.looksLikeProxy(ga, now)
}

// anySuspect reports whether any address but the excepted ones is suspect.
func (g *goodwill) anySuspect(now time.Time, except func(netip.Prefix) bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a, ga := range g.m {
		if g.looksLikeProxy(ga, now) && !except(a) {
			return true
		}
	}
	return false
}

func (g *goodwill) looksLikeProxy(ga *goodAddress, now time.Time) bool {
	if len(ga.accounts) < suspectAccounts {
		return false
	}
	today := 0
	for _, at := range ga.accounts {
		if now.Sub(at) <= 24*time.Hour {
			today++
		}
	}
	if today < suspectAccounts {
		return false
	}
	for realm, d := range ga.realms {
		all := g.realms[realm]
		if n := d.sum(now); all != nil && n >= suspectAccounts && n*100 >= suspectPercent*all.sum(now) {
			return true
		}
	}
	return false
}

// blast reports whether one more automatic Block of a good address would make
// the Blocks of ten minutes cover more than 1 % of the good addresses of a
// week (and more than ten). It is about good addresses only: an attack from a
// million strange addresses never triggers it.
func (g *goodwill) blast(a netip.Prefix, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.goodThisWeek(a, now) {
		return false
	}
	g.trimBlasts(now)
	n := len(g.blasts) + 1
	if n <= blastBlocks {
		return false
	}
	week := 0
	for _, ga := range g.m {
		if now.Sub(ga.last) <= goodWeek {
			week++
		}
	}
	return n*100 > blastPercent*week
}

// blocked notes an automatic Block for blast.
func (g *goodwill) blocked(a netip.Prefix, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.goodThisWeek(a, now) {
		g.trimBlasts(now)
		g.blasts = append(g.blasts, now)
	}
}

func (g *goodwill) goodThisWeek(a netip.Prefix, now time.Time) bool {
	ga := g.m[a]
	return ga != nil && now.Sub(ga.last) <= goodWeek
}

func (g *goodwill) trimBlasts(now time.Time) {
	i := 0
	for i < len(g.blasts) && now.Sub(g.blasts[i]) > blastWindow {
		i++
	}
	g.blasts = append(g.blasts[:0], g.blasts[i:]...)
}

// quiet reports whether no good address was blocked for ten minutes.
func (g *goodwill) quiet(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trimBlasts(now)
	return len(g.blasts) == 0
}

// sweep forgets addresses nobody signed in from for 14 days.
func (g *goodwill) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a, ga := range g.m {
		if now.Sub(ga.last) > goodLife {
			delete(g.m, a)
		}
	}
}
