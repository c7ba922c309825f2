package operator

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds on guessing at the dashboard's sign-in. They hold whatever the policy
// says, also while it is switched off: whoever runs Warder can let everybody
// in. Nothing here lasts longer than ThrottleMost, so that nobody is locked out
// for good, and a known device counts by itself, so that strangers cannot lock
// it out at all. For strangers each pause is twice as long as the one before,
// until a day passes without one: codes of six digits can be guessed by whoever
// has the time.
const (
	ThrottleTime     = 15 * time.Minute
	ThrottleMost     = 4 * time.Hour
	throttleMemory   = 24 * time.Hour
	accountGuesses   = 10 // different wrong guesses at one account by strangers together, or by one known device
	addressGuesses   = 30 // wrong guesses of one address at all accounts
	maxThrottleKeys  = 16 << 10
	throttleSweepAge = 2 * ThrottleMost
)

// Throttle bounds guesses by account, by known device and by address. A guess
// is counted before it is checked, so that many at once are no way round it.
type Throttle struct {
	mu sync.Mutex
	// Accounts of operators, accounts that do not exist, and addresses are kept
	// apart: what strangers make up cannot push out what protects an operator.
	real, unreal, addresses map[throttleKey]*tally
}

type throttleKey struct{ account, device, address string }

// tally is what is remembered of one key.
type tally struct {
	wrong []wrong // of the last ThrottleTime, oldest first
	held  int     // guesses that are being checked
	until time.Time
	times int       // pauses so far, of strangers at an account
	told  time.Time // when a refusal was reported last
	used  time.Time
}

type wrong struct {
	same string
	at   time.Time
}

// NewThrottle returns a Throttle that has seen nothing.
func NewThrottle() *Throttle {
	return &Throttle{real: map[throttleKey]*tally{}, unreal: map[throttleKey]*tally{}, addresses: map[throttleKey]*tally{}}
}

// Try is a guess that is to be checked.
type Try struct {
	Account string // folded e-mail address
	Exists  bool   // such an operator exists
	Device  string // id of the device if it is known to the account, else empty
	Address netip.Prefix
}

// Guess is a Try that was let through. One of Right, Wrong and Drop must be
// called.
type Guess struct {
	t    *Throttle
	keys []*tally
	lims []int
	// strangers says that the first key is an account, and the device unknown.
	strangers bool
}

// Begin lets a guess through, or says how long to wait. tell is true for the
// first refusal of a minute, which is worth an event.
func (t *Throttle) Begin(try Try, now time.Time) (g *Guess, wait time.Duration, tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := t.unreal
	if try.Exists {
		table = t.real
	}
	g = &Guess{t: t, strangers: try.Device == "" && try.Account != ""}
	add := func(table map[throttleKey]*tally, key throttleKey, limit int) {
		g.keys, g.lims = append(g.keys, t.tally(table, key, now)), append(g.lims, limit)
	}
	add(table, throttleKey{account: try.Account, device: try.Device}, accountGuesses)
	if try.Device == "" && try.Address.IsValid() {
		add(t.addresses, throttleKey{address: try.Address.String()}, addressGuesses)
	}
	for i, y := range g.keys {
		left := y.until.Sub(now)
		if left <= 0 && len(y.wrong)+y.held >= g.lims[i] {
			left = time.Second // those under way decide
		}
		if wait = max(wait, left); left > 0 && now.Sub(y.told) >= time.Minute {
			y.told, tell = now, true
		}
	}
	if wait > 0 {
		return nil, wait, tell
	}
	for _, y := range g.keys {
		y.held++
	}
	return g, 0, false
}

// Drop takes the guess back: nothing was checked.
func (g *Guess) Drop() { g.end(nil) }

// Right says that the guess was right. A known device starts anew; what
// strangers tried stays counted.
func (g *Guess) Right(known bool) {
	g.end(func(_ int, y *tally, _ int) {
		if known {
			y.wrong = nil
		}
	})
}

// Wrong counts the guess. The same wrong guess again counts once, if same says
// which it was.
func (g *Guess) Wrong(same string, now time.Time) {
	g.end(func(i int, y *tally, limit int) {
		if now.Sub(y.until) > throttleMemory {
			y.times = 0
		}
		if at := slices.IndexFunc(y.wrong, func(w wrong) bool { return same != "" && w.same == same }); at >= 0 {
			y.wrong = slices.Delete(y.wrong, at, at+1)
		}
		y.wrong = append(y.wrong, wrong{same: same, at: now})
		if len(y.wrong) >= limit {
			pause := ThrottleTime
			if i == 0 && g.strangers {
				pause = min(pause<<min(y.times, 8), ThrottleMost)
				y.times++
			}
			y.wrong, y.until = nil, now.Add(pause)
		}
	})
}

func (g *Guess) end(f func(int, *tally, int)) {
	if g == nil || g.t == nil {
		return
	}
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	for i, y := range g.keys {
		y.held--
		if f != nil {
			f(i, y, g.lims[i])
		}
	}
	g.keys = nil
}

// Clear forgets what stands against an account, for the command line.
func (t *Throttle) Clear(account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.real {
		if key.account == account {
			delete(t.real, key)
		}
	}
}

// Len is the number of keys that are remembered.
func (t *Throttle) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.real) + len(t.unreal) + len(t.addresses)
}

func (t *Throttle) tally(table map[throttleKey]*tally, key throttleKey, now time.Time) *tally {
	y := table[key]
	if y == nil {
		if len(table) >= maxThrottleKeys {
			evict(table, now)
		}
		y = &tally{}
		table[key] = y
	}
	y.used = now
	for len(y.wrong) > 0 && now.Sub(y.wrong[0].at) >= ThrottleTime {
		y.wrong = y.wrong[1:]
	}
	return y
}

// evict makes room: what is over, else the one of a few that was used longest
// ago and holds nothing.
func evict(table map[throttleKey]*tally, now time.Time) {
	var oldest throttleKey
	var at time.Time
	seen := 0
	for key, y := range table {
		if y.held > 0 {
			continue
		}
		if now.Sub(y.used) > throttleSweepAge {
			delete(table, key)
			return
		}
		if seen == 0 || y.used.Before(at) {
			oldest, at = key, y.used
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(table, oldest)
}
