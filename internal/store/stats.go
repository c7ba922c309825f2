package store

import (
	"net/netip"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Units of the statistics, in microseconds.
const (
	usPerBucket = int64(15 * time.Minute / time.Microsecond)
	usPerHour   = int64(time.Hour / time.Microsecond)
	usPerDay    = 24 * usPerHour
)

// stats gathers what the events of one transaction add to the statistics, so
// that each row is touched once.
type stats struct {
	rollups   map[rollupKey]int64
	addresses map[address]*addressDelta
	days      map[dayKey]*dayDelta
	hours     map[hourKey]*hourDelta
	accounts  map[accountKey]*accountDelta
	good      map[goodKey]int64
	known     map[knownKey]guard.Known
	sessions  map[string]guard.Session
}

type (
	address   [16]byte
	rollupKey struct {
		bucket   int64
		name     string
		severity warder.Severity
		realm    string
	}
	addressDelta struct {
		first, last            int64
		events, completed, bad int64
		worst                  warder.Severity
		blocks                 int64
		suspicious             bool
		account, realm, event  string
	}
	dayKey struct {
		address address
		day     int64
	}
	dayDelta struct{ events, bad, failed, last int64 }
	hourKey  struct {
		hour    int64
		address address
		realm   string
	}
	hourDelta  struct{ ok, bad int64 }
	accountKey struct{ name, realm string }
	// accountDelta also remembers what an account did last.
	accountDelta struct {
		first, last            int64
		events, completed, bad int64
		suspicious             bool
		account, event         string
		address                []byte
	}
	goodKey struct {
		address address
		account string
	}
	knownKey struct{ account, source string }
)

func newStats() *stats {
	return &stats{
		rollups:   make(map[rollupKey]int64),
		addresses: make(map[address]*addressDelta),
		days:      make(map[dayKey]*dayDelta),
		hours:     make(map[hourKey]*hourDelta),
		accounts:  make(map[accountKey]*accountDelta),
		good:      make(map[goodKey]int64),
		known:     make(map[knownKey]guard.Known),
		sessions:  make(map[string]guard.Session),
	}
}

// failure reports whether an event is a failure of the kind that history
// counts, and whether it is a failed sign-in.
func failure(e *guard.Event) (failed, signIn bool) {
	if !e.Eligible || !strings.HasSuffix(e.Name, "_FAILURE") {
		return false, false
	}
	switch e.Name {
	case warder.MFAFailure, "API_KEY_FAILURE":
		return true, true
	}
	return true, strings.HasSuffix(e.Name, "_LOGIN_FAILURE") || strings.HasSuffix(e.Name, "_BIND_FAILURE")
}

// count adds an event.
func (s *stats) count(e *guard.Event) {
	at := micros(e.Time)
	s.rollups[rollupKey{at - mod(at, usPerBucket), e.Name, e.Severity, e.Realm}]++

	// What Warder wrote itself says nothing new about how busy somebody is.
	own := warder.OwnEvent(e.Name)
	var n, bad int64 = 1, 0
	if own {
		n = 0
	} else if e.Severity >= warder.Warning {
		bad = 1
	}
	failed, signIn := failure(e)
	if e.Address.IsValid() {
		key := addressOf(e.Address)
		a := s.address(key, at)
		a.events += n
		a.completed += flag(e.Completed)
		a.bad += bad
		a.worst = max(a.worst, e.Severity)
		a.suspicious = a.suspicious || e.Severity >= warder.High
		if at >= a.last {
			a.last, a.event = at, e.Name
			if e.Account != "" {
				a.account, a.realm = e.Account, e.Realm
			}
		}
		if n > 0 {
			k := dayKey{key, at / usPerDay}
			d := s.days[k]
			if d == nil {
				d = &dayDelta{}
				s.days[k] = d
			}
			d.events++
			d.bad += bad
			d.failed += flag(failed)
			d.last = max(d.last, at)
		}
		if e.Completed || signIn {
			k := hourKey{at / usPerHour, key, e.Realm}
			h := s.hours[k]
			if h == nil {
				h = &hourDelta{}
				s.hours[k] = h
			}
			h.ok += flag(e.Completed)
			h.bad += flag(signIn && !e.Completed)
		}
		if e.Completed && e.AccountKey != "" {
			k := goodKey{key, e.AccountKey}
			s.good[k] = max(s.good[k], at)
		}
	}
	if _, name := splitKey(e.AccountKey); name != "" && !own {
		k := accountKey{name, e.Realm}
		a := s.accounts[k]
		if a == nil {
			a = &accountDelta{first: at}
			s.accounts[k] = a
		}
		a.events++
		a.completed += flag(e.Completed)
		a.bad += bad
		a.suspicious = a.suspicious || e.Severity >= warder.High
		a.first = min(a.first, at)
		if at >= a.last {
			a.last, a.account, a.event, a.address = at, e.Account, e.Name, keyBytes(e.Address)
		}
	}
}

// blocked counts an automatic Block on the profile of its address key.
func (s *stats) blocked(k *guard.Block) {
	p := k.Subject.IP
	if k.Observed || k.Origin != guard.FromRule || !p.IsValid() || p != warder.AddressKey(p.Addr()) {
		return
	}
	a := s.address(addressOf(p), micros(k.From))
	a.blocks++
	a.suspicious = true
}

func (s *stats) address(key address, at int64) *addressDelta {
	a := s.addresses[key]
	if a == nil {
		a = &addressDelta{first: at, last: at}
		s.addresses[key] = a
	}
	a.first = min(a.first, at)
	return a
}

func (s *stats) see(k guard.Known) {
	key := knownKey{k.Account, k.Source}
	if old, ok := s.known[key]; !ok || !k.At.Before(old.At) {
		s.known[key] = k
	}
}

// session keeps the latest state of a session; what it does not say about the
// opening stays.
func (s *stats) session(n guard.Session) {
	if old, ok := s.sessions[n.ID]; ok {
		if !n.Opening.IsValid() {
			n.Opening = old.Opening
		}
		if n.Opened.IsZero() {
			n.Opened = old.Opened
		}
	}
	s.sessions[n.ID] = n
}

// addressOf is keyBytes for use as a key of a map.
func addressOf(p netip.Prefix) address { return p.Masked().Addr().As16() }

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return ((a % b) + b) % b }

// flush writes what was gathered and forgets it.
func (b *batch) flush() error {
	s, t := b.stats, b.tx
	for k, n := range s.rollups {
		if err := t.exec(`INSERT INTO rollups (bucket, name, severity, realm, n) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (bucket, name, severity, realm) DO UPDATE SET n = rollups.n + excluded.n`,
			k.bucket, k.name, int64(k.severity), k.realm, n); err != nil {
			return err
		}
	}
	for k, a := range s.addresses {
		if err := t.exec(`INSERT INTO addresses (address, first_seen, last_seen, events, completed, bad, worst, blocks,
				suspicious, account, realm, event)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (address) DO UPDATE SET
				first_seen = CASE WHEN excluded.first_seen < addresses.first_seen THEN excluded.first_seen ELSE addresses.first_seen END,
				last_seen = CASE WHEN excluded.last_seen > addresses.last_seen THEN excluded.last_seen ELSE addresses.last_seen END,
				events = addresses.events + excluded.events,
				completed = addresses.completed + excluded.completed,
				bad = addresses.bad + excluded.bad,
				worst = CASE WHEN excluded.worst > addresses.worst THEN excluded.worst ELSE addresses.worst END,
				blocks = addresses.blocks + excluded.blocks,
				suspicious = CASE WHEN excluded.suspicious = 1 THEN 1 ELSE addresses.suspicious END,
				account = CASE WHEN excluded.account <> '' THEN excluded.account ELSE addresses.account END,
				realm = CASE WHEN excluded.account <> '' THEN excluded.realm ELSE addresses.realm END,
				event = CASE WHEN excluded.event <> '' THEN excluded.event ELSE addresses.event END`,
			k[:], a.first, a.last, a.events, a.completed, a.bad, int64(a.worst), a.blocks, flag(a.suspicious),
			a.account, a.realm, a.event); err != nil {
			return err
		}
	}
	for k, v := range s.days {
		if err := t.exec(`INSERT INTO address_days (address, day, events, bad, failed, last)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (address, day) DO UPDATE SET events = address_days.events + excluded.events,
				bad = address_days.bad + excluded.bad, failed = address_days.failed + excluded.failed,
				last = CASE WHEN excluded.last > address_days.last THEN excluded.last ELSE address_days.last END`,
			k.address[:], k.day, v.events, v.bad, v.failed, v.last); err != nil {
			return err
		}
	}
	for k, v := range s.hours {
		if err := t.exec(`INSERT INTO address_hours (hour, address, realm, ok, bad) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (hour, address, realm) DO UPDATE SET ok = address_hours.ok + excluded.ok,
				bad = address_hours.bad + excluded.bad`,
			k.hour, k.address[:], k.realm, v.ok, v.bad); err != nil {
			return err
		}
	}
	if err := s.flushPeople(t); err != nil {
		return err
	}
	clear(s.rollups)
	clear(s.addresses)
	clear(s.days)
	clear(s.hours)
	return nil
}

// flushPeople writes what is kept by account.
func (s *stats) flushPeople(t *tx) error {
	for k, a := range s.accounts {
		if err := t.exec(`INSERT INTO accounts (account_key, realm, account, first_seen, last_seen, events, completed,
				bad, suspicious, address, event)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (account_key, realm) DO UPDATE SET
				account = excluded.account,
				first_seen = CASE WHEN excluded.first_seen < accounts.first_seen THEN excluded.first_seen ELSE accounts.first_seen END,
				last_seen = CASE WHEN excluded.last_seen > accounts.last_seen THEN excluded.last_seen ELSE accounts.last_seen END,
				events = accounts.events + excluded.events,
				completed = accounts.completed + excluded.completed,
				bad = accounts.bad + excluded.bad,
				suspicious = CASE WHEN excluded.suspicious = 1 THEN 1 ELSE accounts.suspicious END,
				address = coalesce(excluded.address, accounts.address),
				event = excluded.event`,
			k.name, k.realm, a.account, a.first, a.last, a.events, a.completed, a.bad, flag(a.suspicious),
			a.address, a.event); err != nil {
			return err
		}
	}
	for k, at := range s.good {
		if err := t.exec(`INSERT INTO good (address, account_key, at) VALUES ($1, $2, $3)
			ON CONFLICT (address, account_key) DO UPDATE SET
				at = CASE WHEN excluded.at > good.at THEN excluded.at ELSE good.at END`,
			k.address[:], k.account, at); err != nil {
			return err
		}
	}
	for _, k := range s.known {
		if err := t.exec(`INSERT INTO known (account_key, source, realm, address, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (account_key, source) DO UPDATE SET realm = excluded.realm,
				address = coalesce(excluded.address, known.address),
				at = CASE WHEN excluded.at > known.at THEN excluded.at ELSE known.at END`,
			k.Account, k.Source, k.Realm, keyBytes(k.Address), micros(k.At)); err != nil {
			return err
		}
	}
	clear(s.accounts)
	clear(s.good)
	clear(s.known)
	return s.flushSessions(t)
}

// flushSessions writes sessions. One that was revoked stays revoked.
func (s *stats) flushSessions(t *tx) error {
	for id, n := range s.sessions {
		if err := t.exec(`INSERT INTO sessions (id, account, account_key, realm, opening, latest, agent, opened,
				last_used, revoked_at, reason)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET
				account = excluded.account, account_key = excluded.account_key, realm = excluded.realm,
				opening = coalesce(excluded.opening, sessions.opening),
				latest = coalesce(excluded.latest, sessions.latest),
				agent = CASE WHEN excluded.agent <> '' THEN excluded.agent ELSE sessions.agent END,
				opened = CASE WHEN excluded.opened > 0 THEN excluded.opened ELSE sessions.opened END,
				last_used = CASE WHEN excluded.last_used > sessions.last_used THEN excluded.last_used ELSE sessions.last_used END,
				revoked_at = CASE WHEN sessions.revoked_at > 0 THEN sessions.revoked_at ELSE excluded.revoked_at END,
				reason = CASE WHEN sessions.revoked_at > 0 THEN sessions.reason ELSE excluded.reason END`,
			id, n.Account, n.AccountKey, n.Realm, keyBytes(n.Opening), keyBytes(n.Latest), n.Agent, micros(n.Opened),
			micros(n.LastUsed), micros(n.RevokedAt), n.Reason); err != nil {
			return err
		}
	}
	clear(s.sessions)
	return nil
}

// histories reads what the touched addresses did before.
func (b *batch) histories(lookback time.Duration) (map[netip.Prefix]guard.History, error) {
	out := make(map[netip.Prefix]guard.History, len(b.touched))
	from := micros(b.latest.Add(-lookback))
	for p := range b.touched {
		h, err := b.history(p, from)
		if err != nil {
			return nil, err
		}
		out[p] = h
	}
	return out, nil
}

func (b *batch) history(p netip.Prefix, from int64) (guard.History, error) {
	var h guard.History
	first, last := bounds(p)
	if err := b.row(`SELECT count(*) FROM blocks WHERE ip_first = $1 AND ip_last = $2 AND from_at >= $3
		AND origin = 'rule' AND observed = 0 AND lifted_at = 0`, first, last, from).Scan(&h.Blocks); err != nil {
		return h, err
	}
	var day, bad, fraudulent int64
	if err := b.row("SELECT cleared_day, cleared_bad, fraudulent FROM addresses WHERE address = $1",
		first).Scan(&day, &bad, &fraudulent); err != nil {
		return h, err
	}
	h.Fraudulent = fraudulent != 0
	start := from / usPerDay
	if day >= start {
		start = day
	} else {
		bad = 0
	}
	if err := b.row("SELECT coalesce(sum(failed), 0) FROM address_days WHERE address = $1 AND day >= $2",
		first, start).Scan(&h.Failures); err != nil {
		return h, err
	}
	h.Failures = max(0, h.Failures-int(bad))
	return h, nil
}
