package store

import (
	"database/sql"
	"errors"
	"hash/maphash"
	"maps"
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
	accounts  map[accountKey]*accountDelta
	good      map[goodKey]int64
	known     map[knownKey]guard.Known
	sessions  map[string]guard.Session
	recent    *recent
	written   map[uint64]int64 // by this transaction, for recent
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
		first, last           int64
		bad, blocks           int64
		worst                 warder.Severity
		suspicious            bool
		account, realm, event string
		day                   int64 // of the latest bad event; 0: there was none
		today                 dayDelta
		older                 map[int64]*dayDelta
	}
	dayDelta   struct{ bad, failed, last int64 }
	accountKey struct{ name, realm string }
	// accountDelta also remembers what an account did last.
	accountDelta struct {
		first, last    int64
		bad            int64
		suspicious     bool
		account, event string
		address        []byte
	}
	goodKey struct {
		address address
		account string
	}
	knownKey struct{ account, source string }
)

func newStats(recent *recent) *stats {
	return &stats{
		recent:    recent,
		written:   make(map[uint64]int64),
		rollups:   make(map[rollupKey]int64),
		addresses: make(map[address]*addressDelta),
		accounts:  make(map[accountKey]*accountDelta),
		good:      make(map[goodKey]int64),
		known:     make(map[knownKey]guard.Known),
		sessions:  make(map[string]guard.Session),
	}
}

// failure reports whether an event is a failure of the kind that history
// counts. Challenges that were not solved count nowhere (SEMANTICS 40).
func failure(e *guard.Event) bool {
	return e.Eligible && strings.HasSuffix(e.Name, "_FAILURE") && e.Name != "CHALLENGE_FAILURE"
}

// count adds an event.
func (s *stats) count(e *guard.Event) {
	at := micros(e.Time)
	s.rollups[rollupKey{at - mod(at, usPerBucket), e.Name, e.Severity, e.Realm}]++

	// What Warder wrote itself says nothing new about how busy somebody is.
	own := warder.OwnEvent(e.Name)
	bad := flag(!own && e.Severity >= warder.Warning)
	if e.Address.IsValid() {
		key := addressOf(e.Address)
		a := s.address(key, at)
		a.bad += bad
		a.worst = max(a.worst, e.Severity)
		a.suspicious = a.suspicious || e.Severity >= warder.High
		if at >= a.last {
			a.last, a.event = at, e.Name
			if e.Account != "" {
				a.account, a.realm = e.Account, e.Realm
			}
		}
		if bad > 0 {
			d := a.on(at / usPerDay)
			d.bad += bad
			d.failed += flag(failure(e))
			d.last = max(d.last, at)
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
		a.bad += bad
		a.suspicious = a.suspicious || e.Severity >= warder.High
		a.first = min(a.first, at)
		if at >= a.last {
			a.last, a.account, a.event, a.address = at, e.Account, e.Name, keyBytes(e.Address)
		}
	}
}

// on returns the counts of a day.
func (a *addressDelta) on(day int64) *dayDelta {
	if a.day == 0 {
		a.day = day
	}
	if day == a.day {
		return &a.today
	}
	if a.older == nil {
		a.older = make(map[int64]*dayDelta)
	}
	if day > a.day {
		moved := a.today
		a.older[a.day] = &moved
		a.day, a.today = day, dayDelta{}
		return &a.today
	}
	d := a.older[day]
	if d == nil {
		d = &dayDelta{}
		a.older[day] = d
	}
	return d
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
		if err := b.flushAddress(k, a); err != nil {
			return err
		}
	}
	if err := s.flushPeople(t); err != nil {
		return err
	}
	clear(s.rollups)
	clear(s.addresses)
	return nil
}

const addDay = ` ON CONFLICT (address, day) DO UPDATE SET bad = address_days.bad + excluded.bad, failed = address_days.failed + excluded.failed,
	last = CASE WHEN excluded.last > address_days.last THEN excluded.last ELSE address_days.last END`

func (t *tx) addDay(k address, day int64, v *dayDelta) error {
	return t.exec("INSERT INTO address_days (address, day, bad, failed, last) VALUES ($1, $2, $3, $4, $5)"+
		addDay, k[:], day, v.bad, v.failed, v.last)
}

// flushAddress adds to the profile of an address. The counts of its latest bad
// day stand in the profile, so that most events touch one row; they move to the
// days before when a later one begins.
func (b *batch) flushAddress(k address, a *addressDelta) error {
	for day, v := range a.older {
		if err := b.addDay(k, day, v); err != nil {
			return err
		}
	}
	if a.bad == 0 && a.blocks == 0 && !a.suspicious {
		if b.fresh('a', string(k[:]), "", a.last/usPerBucket, 1) {
			return nil
		}
		return b.exec(`UPDATE addresses SET last_seen = $1, seen = $2, event = $3,
				account = CASE WHEN $4 <> '' THEN $4 ELSE account END, realm = CASE WHEN $4 <> '' THEN $5 ELSE realm END
			WHERE address = $6 AND seen < $2`, a.last, a.last/usPerBucket, a.event, a.account, a.realm, k[:])
	}
	if a.day == 0 {
		_, err := b.upsertAddress(k, a, a.last/usPerDay, dayDelta{})
		return err
	}
	done, err := b.upsertAddress(k, a, a.day, a.today)
	if done || err != nil {
		return err
	}
	var latest int64
	if err := b.row("SELECT day FROM addresses WHERE address = $1", k[:]).Scan(&latest); err != nil {
		return err
	}
	if a.day < latest {
		if err := b.addDay(k, a.day, &a.today); err != nil {
			return err
		}
		_, err := b.upsertAddress(k, a, latest, dayDelta{})
		return err
	}
	if err := b.exec(`INSERT INTO address_days (address, day, bad, failed, last)
		SELECT address, day, day_bad, day_failed, day_last FROM addresses
		WHERE address = $1 AND (day_bad > 0 OR day_failed > 0)`+addDay, k[:]); err != nil {
		return err
	}
	if err := b.exec("UPDATE addresses SET day = $1, day_bad = 0, day_failed = 0, day_last = 0 WHERE address = $2",
		a.day, k[:]); err != nil {
		return err
	}
	_, err = b.upsertAddress(k, a, a.day, a.today)
	return err
}

// upsertAddress adds to the profile of an address. It reports false if there is
// something to count and the profile counts another day.
func (t *tx) upsertAddress(k address, a *addressDelta, day int64, v dayDelta) (bool, error) {
	const upsert = `INSERT INTO addresses (address, first_seen, last_seen, seen, bad, worst, blocks,
			suspicious, account, realm, event, day, day_bad, day_failed, day_last)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (address) DO UPDATE SET
			first_seen = CASE WHEN excluded.first_seen < addresses.first_seen THEN excluded.first_seen ELSE addresses.first_seen END,
			last_seen = CASE WHEN excluded.last_seen > addresses.last_seen THEN excluded.last_seen ELSE addresses.last_seen END,
			seen = CASE WHEN excluded.seen > addresses.seen THEN excluded.seen ELSE addresses.seen END,
			bad = addresses.bad + excluded.bad,
			worst = CASE WHEN excluded.worst > addresses.worst THEN excluded.worst ELSE addresses.worst END,
			blocks = addresses.blocks + excluded.blocks,
			suspicious = CASE WHEN excluded.suspicious = 1 THEN 1 ELSE addresses.suspicious END,
			account = CASE WHEN excluded.account <> '' THEN excluded.account ELSE addresses.account END,
			realm = CASE WHEN excluded.account <> '' THEN excluded.realm ELSE addresses.realm END,
			event = CASE WHEN excluded.event <> '' THEN excluded.event ELSE addresses.event END`
	const busy = upsert + `,
			day_bad = addresses.day_bad + excluded.day_bad,
			day_failed = addresses.day_failed + excluded.day_failed,
			day_last = CASE WHEN excluded.day_last > addresses.day_last THEN excluded.day_last ELSE addresses.day_last END
		WHERE addresses.day = excluded.day`
	counts := v != dayDelta{}
	query := upsert
	if counts {
		query = busy
	}
	n, err := t.affect(query, k[:], a.first, a.last, a.last/usPerBucket, a.bad, int64(a.worst), a.blocks,
		flag(a.suspicious), a.account, a.realm, a.event, day, v.bad, v.failed, v.last)
	return n > 0 || !counts, err
}

// flushPeople writes what is kept by account.
func (s *stats) flushPeople(t *tx) error {
	for k, a := range s.accounts {
		if a.bad == 0 && !a.suspicious && s.fresh('u', k.name, k.realm, a.last/usPerBucket, 1) {
			continue
		}
		if err := t.exec(`INSERT INTO accounts (account_key, realm, account, first_seen, last_seen, bad,
				suspicious, address, event, seen)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (account_key, realm) DO UPDATE SET
				account = excluded.account,
				first_seen = CASE WHEN excluded.first_seen < accounts.first_seen THEN excluded.first_seen ELSE accounts.first_seen END,
				last_seen = CASE WHEN excluded.last_seen > accounts.last_seen THEN excluded.last_seen ELSE accounts.last_seen END,
				bad = accounts.bad + excluded.bad,
				suspicious = CASE WHEN excluded.suspicious = 1 THEN 1 ELSE accounts.suspicious END,
				address = coalesce(excluded.address, accounts.address),
				event = excluded.event,
				seen = CASE WHEN excluded.seen > accounts.seen THEN excluded.seen ELSE accounts.seen END
			WHERE excluded.seen > accounts.seen OR excluded.bad > 0 OR excluded.suspicious > accounts.suspicious`,
			k.name, k.realm, a.account, a.first, a.last, a.bad, flag(a.suspicious),
			a.address, a.event, a.last/usPerBucket); err != nil {
			return err
		}
	}
	// That somebody signed in again within the hour changes nothing that is
	// kept for weeks, and a row that stays as it is costs no write.
	for k, at := range s.good {
		if s.fresh('g', string(k.address[:]), k.account, at, usPerHour) {
			continue
		}
		if err := t.exec(`INSERT INTO good (address, account_key, at) VALUES ($1, $2, $3)
			ON CONFLICT (address, account_key) DO UPDATE SET at = excluded.at WHERE excluded.at >= good.at + $4`,
			k.address[:], k.account, at, usPerHour); err != nil {
			return err
		}
	}
	for _, k := range s.known {
		if s.fresh('k', k.Account, k.Source, micros(k.At), usPerHour) {
			continue
		}
		if err := t.exec(`INSERT INTO known (account_key, source, realm, address, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (account_key, source) DO UPDATE SET realm = excluded.realm,
				address = coalesce(excluded.address, known.address), at = excluded.at
				WHERE excluded.at >= known.at + $6`,
			k.Account, k.Source, k.Realm, keyBytes(k.Address), micros(k.At), usPerHour); err != nil {
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
				last_used, revoked_at, reason, used)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (id) DO UPDATE SET
				account = excluded.account, account_key = excluded.account_key, realm = excluded.realm,
				opening = coalesce(excluded.opening, sessions.opening),
				latest = coalesce(excluded.latest, sessions.latest),
				agent = CASE WHEN excluded.agent <> '' THEN excluded.agent ELSE sessions.agent END,
				opened = CASE WHEN excluded.opened > 0 THEN excluded.opened ELSE sessions.opened END,
				last_used = CASE WHEN excluded.last_used > sessions.last_used THEN excluded.last_used ELSE sessions.last_used END,
				revoked_at = CASE WHEN sessions.revoked_at > 0 THEN sessions.revoked_at ELSE excluded.revoked_at END,
				used = CASE WHEN excluded.used > sessions.used THEN excluded.used ELSE sessions.used END,
				reason = CASE WHEN sessions.revoked_at > 0 THEN sessions.reason ELSE excluded.reason END`,
			id, n.Account, n.AccountKey, n.Realm, keyBytes(n.Opening), keyBytes(n.Latest), n.Agent, micros(n.Opened),
			micros(n.LastUsed), micros(n.RevokedAt), n.Reason, micros(n.LastUsed)/usPerBucket); err != nil {
			return err
		}
	}
	clear(s.sessions)
	return nil
}

// recent remembers which rows were written a short while ago, so that no
// statement is run only to find that nothing changes. It is a cache: what it
// does not know is written again.
type recent struct {
	seed maphash.Seed
	at   map[uint64]int64
}

// maxRecent bounds recent (some 8 MiB).
const maxRecent = 200_000

func newRecent() *recent {
	return &recent{seed: maphash.MakeSeed(), at: make(map[uint64]int64)}
}

// fresh reports whether a row was written less than step before now; if not, it
// is going to be.
func (s *stats) fresh(kind byte, a, b string, now, step int64) bool {
	var h maphash.Hash
	h.SetSeed(s.recent.seed)
	_ = h.WriteByte(kind)
	_, _ = h.WriteString(a)
	_ = h.WriteByte(0xff) // in no text
	_, _ = h.WriteString(b)
	key := h.Sum64()
	at, ok := s.written[key]
	if !ok {
		at, ok = s.recent.at[key]
	}
	if ok && now < at+step {
		return true
	}
	s.written[key] = now
	return false
}

// settle remembers what the transaction wrote, now that it is committed.
func (s *stats) settle() {
	if len(s.recent.at)+len(s.written) > maxRecent {
		clear(s.recent.at)
	}
	maps.Copy(s.recent.at, s.written)
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
	var clearedDay, cleared, fraudulent, day, failed int64
	err := b.row(`SELECT cleared_day, cleared_bad, fraudulent, day, day_failed FROM addresses WHERE address = $1`,
		first).Scan(&clearedDay, &cleared, &fraudulent, &day, &failed)
	if errors.Is(err, sql.ErrNoRows) { // it has done nothing bad: there is no profile
		return h, nil
	}
	if err != nil {
		return h, err
	}
	h.Fraudulent = fraudulent != 0
	start := from / usPerDay
	if clearedDay >= start {
		start = clearedDay
	} else {
		cleared = 0
	}
	if day < start {
		failed = 0
	}
	if err := b.row("SELECT coalesce(sum(failed), 0) FROM address_days WHERE address = $1 AND day >= $2",
		first, start).Scan(&h.Failures); err != nil {
		return h, err
	}
	h.Failures = max(0, h.Failures+int(failed-cleared))
	return h, nil
}
