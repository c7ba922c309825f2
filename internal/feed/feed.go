// Package feed loads threat lists of other people, such as IPsum, and keeps
// them current: which addresses are listed, and on what level.
//
// It promises that a broken, poisoned or dead source does no harm. What must
// not be listed is left out; a list that is something else is refused whole; a
// list that changed suspiciously much waits for an operator; the last good list
// stays in force meanwhile, also across restarts, and expires when nothing new
// comes for two weeks. It does not decide what a level means: the policy does.
package feed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder/internal/outbound"
)

// Times of a feed.
const (
	DefaultRefresh = 24 * time.Hour
	MinRefreshURL  = 15 * time.Minute // shorter ones are stretched to this
	MinRefreshFile = time.Second

	StaleAfter = 7 * 24 * time.Hour  // nothing new for so long: shown as stale
	DropAfter  = 14 * 24 * time.Hour // nothing new for so long: the entries expire

	fetchTimeout = time.Minute
	backoffFrom  = time.Minute
	backoffTo    = 6 * time.Hour
)

// A list that changes more than this needs an operator's approval. A few
// entries may always change, and the top of a list may always grow a little.
const (
	churnLimit = 0.30
	churnFree  = 10
	levelTimes = 5
	levelFree  = 1000
)

// Errors that callers may test for.
var (
	ErrHeld    = errors.New("list is held for approval")
	ErrNotHeld = errors.New("no list is held for approval")
	ErrBusy    = errors.New("a refresh is under way")
	ErrWait    = errors.New("the source asked to wait")
)

// Options are what a Feed is made of.
type Options struct {
	Name    string           // [a-z0-9_-], at most 32 bytes: names the files
	Source  string           // https:// URL or path of a file
	Refresh time.Duration    // DefaultRefresh if 0
	MaxBody int64            // bytes of the list; DefaultMaxBody if 0
	Dir     string           // where lists are kept, such as data/providers
	Client  *outbound.Client // needed for a URL
	Logger  *slog.Logger     // nil: nobody is told
	// NeverBlock reports whether a prefix overlaps one that must not be listed:
	// trusted and self-protected ones. It may be nil.
	NeverBlock func(netip.Prefix) bool
	// OnUpdate is told each list that comes into force, beginning with the one
	// that New found on disk, and nil when the entries have expired. It is
	// called from one goroutine at a time and must not call the Feed.
	OnUpdate func(*List)
}

// Feed keeps one list current. All methods are safe for concurrent use.
type Feed struct {
	opts  Options
	url   bool
	fetch func(ctx context.Context, etag, modified string) (*fetched, error)

	list atomic.Pointer[List]
	work sync.Mutex // held by whoever fetches, approves or expires
	base *List      // guarded by work: the last good list, also when it has expired

	mu        sync.Mutex // guards what follows
	meta      meta
	rejects   []Reject
	rejected  int
	reasons   map[string]int
	held      *Held
	lastErr   string
	failures  int
	notBefore time.Time
	next      time.Time
}

// Status is what the operators see of a feed.
type Status struct {
	Name    string `json:"name"`
	Source  string `json:"source"`
	Refresh int64  `json:"refresh"` // seconds
	Entries int    `json:"entries"` // in force
	// Rejects are the first refused lines of the last list that arrived, in
	// force or not; Rejected and Reasons count all of them.
	Rejects      []Reject       `json:"rejects"`
	Rejected     int            `json:"rejected"`
	Reasons      map[string]int `json:"reasons,omitempty"`
	LoadedAt     time.Time      `json:"loaded_at,omitzero"`  // when the list in force arrived
	CheckedAt    time.Time      `json:"checked_at,omitzero"` // last answer of the source
	NextAt       time.Time      `json:"next_at,omitzero"`
	UpstreamDate time.Time      `json:"upstream_date,omitzero"` // when its publisher made it
	Held         *Held          `json:"held"`
	LastError    string         `json:"last_error,omitempty"`
	Stale        bool           `json:"stale"`   // nothing new for a week
	Expired      bool           `json:"expired"` // nothing new for two weeks: nothing is in force
}

// Held is a list that waits for approval.
type Held struct {
	Since   time.Time `json:"since"`
	Reason  string    `json:"reason"`
	Entries int       `json:"entries"`
	Added   int       `json:"added"`
	Removed int       `json:"removed"`
}

// fetched is an answer of the source; body is nil if nothing changed.
type fetched struct {
	body           []byte
	etag, modified string
}

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// New checks the options, loads the last good list from Dir and puts it into
// force. An unreadable file there is reported by Status, not as an error.
func New(opts Options) (*Feed, error) {
	if !validName.MatchString(opts.Name) {
		return nil, fmt.Errorf("provider name %.64q must consist of a-z, 0-9, _ and -", opts.Name)
	}
	f := &Feed{opts: opts, url: strings.Contains(opts.Source, "://")}
	least := MinRefreshFile
	f.fetch = f.readFile
	if f.url {
		if _, err := outbound.CheckURL(opts.Source); err != nil {
			return nil, fmt.Errorf("provider %s: %w", opts.Name, err)
		}
		if opts.Client == nil {
			return nil, fmt.Errorf("provider %s: no client for a URL", opts.Name)
		}
		least = MinRefreshURL
		f.fetch = f.get
	} else if opts.Source == "" {
		return nil, fmt.Errorf("provider %s: source is missing", opts.Name)
	}
	if opts.Dir == "" {
		return nil, fmt.Errorf("provider %s: no directory", opts.Name)
	}
	if f.opts.Refresh <= 0 {
		f.opts.Refresh = DefaultRefresh
	}
	f.opts.Refresh = max(f.opts.Refresh, least)
	if f.opts.MaxBody <= 0 {
		f.opts.MaxBody = DefaultMaxBody
	}
	if f.opts.Logger == nil {
		f.opts.Logger = slog.New(slog.DiscardHandler)
	}
	f.opts.Logger = f.opts.Logger.With("provider", opts.Name)
	f.load(time.Now())
	return f, nil
}

// List returns the list in force; nil, which is an empty list, if there is none.
func (f *Feed) List() *List { return f.list.Load() }

// Run refreshes the list until ctx ends; it returns nil then.
func (f *Feed) Run(ctx context.Context) error {
	for {
		wait := time.Until(f.wake())
		if wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				t.Stop()
				return nil
			case <-t.C:
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		f.work.Lock()
		now := time.Now()
		f.expire(now)
		if !now.Before(f.due()) {
			_ = f.refresh(ctx) // logged, shown by Status and tried again
		}
		f.work.Unlock()
	}
}

// due is when the next refresh should happen.
func (f *Feed) due() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// wake is when Run has something to do.
func (f *Feed) wake() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := f.fresh().Add(DropAfter); f.list.Load() != nil && at.Before(f.next) {
		return at
	}
	return f.next
}

// Refresh fetches the list now. It returns nil if the list in force is what the
// source has, ErrHeld if that waits for approval, ErrBusy, ErrWait, or what
// went wrong; the list in force stays then.
func (f *Feed) Refresh(ctx context.Context) error {
	if !f.work.TryLock() {
		return ErrBusy
	}
	defer f.work.Unlock()
	f.mu.Lock()
	until := f.notBefore
	f.mu.Unlock()
	if time.Now().Before(until) {
		return fmt.Errorf("%w until %s", ErrWait, until.UTC().Format(time.RFC3339))
	}
	f.expire(time.Now())
	return f.refresh(ctx)
}

// refresh needs f.work.
func (f *Feed) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	f.mu.Lock()
	etag, modified := f.meta.ETag, f.meta.LastModified
	f.mu.Unlock()

	got, err := f.fetch(ctx, etag, modified)
	now := time.Now()
	if err == nil {
		err = f.consider(got, now)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && !errors.Is(err, ErrHeld) {
		f.failures++
		f.lastErr = err.Error()
		wait := min(backoffFrom<<min(f.failures-1, 20), backoffTo, f.opts.Refresh)
		if w, ok := errors.AsType[*waitError](err); ok {
			f.notBefore = now.Add(w.wait)
			wait = max(wait, w.wait)
		}
		f.next = now.Add(jitter(wait))
		f.opts.Logger.Warn("provider not refreshed", "error", err, "failures", f.failures, "next", f.next)
		return err
	}
	f.failures, f.lastErr, f.notBefore = 0, "", time.Time{}
	f.next = now.Add(jitter(f.opts.Refresh))
	f.meta.CheckedAt = now
	if saveErr := f.saveMeta(); saveErr != nil {
		f.lastErr = saveErr.Error()
		f.opts.Logger.Warn("provider state not kept", "error", saveErr)
	}
	return err
}

// consider decides what becomes of an answer of the source.
func (f *Feed) consider(got *fetched, now time.Time) error {
	f.mu.Lock()
	m, held := f.meta, f.held
	f.mu.Unlock()
	if got.body == nil {
		if held != nil {
			return ErrHeld
		}
		return nil
	}
	sum := digest(got.body)
	same := sum == m.SHA256
	if same || held != nil && sum == m.HeldSHA256 {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.meta.ETag, f.meta.LastModified = got.etag, got.modified
		if !same {
			return ErrHeld
		}
		// The source went back to what is in force: nothing to approve any more.
		f.held, f.meta.HeldSHA256, f.meta.HeldSince = nil, "", time.Time{}
		return nil
	}

	p, err := Parse(got.body, f.opts.NeverBlock)
	f.mu.Lock()
	f.rejects, f.rejected, f.reasons = p.Rejects, p.Rejected, p.Reasons
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if h := brake(f.base, p.List, now); h != nil {
		if err := f.write("held", got.body); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if held != nil {
			h.Since = held.Since
		}
		f.held = h
		f.meta.HeldSHA256, f.meta.HeldSince = sum, h.Since
		f.meta.ETag, f.meta.LastModified = got.etag, got.modified
		f.opts.Logger.Warn("provider list held for approval", "reason", h.Reason, "entries", h.Entries)
		return ErrHeld
	}
	return f.apply(got, sum, p, now)
}

// apply puts a list into force. It stays in memory also where the disk does not
// keep it: the error says so, and the next refresh tries again.
func (f *Feed) apply(got *fetched, sum string, p *Parsed, now time.Time) error {
	err := f.write("list", got.body)
	f.mu.Lock()
	f.meta.LoadedAt, f.meta.ChangedAt, f.meta.CheckedAt, f.meta.Upstream = now, now, now, p.Upstream
	f.meta.ETag, f.meta.LastModified, f.meta.SHA256 = got.etag, got.modified, sum
	f.meta.HeldSHA256, f.meta.HeldSince, f.held = "", time.Time{}, nil
	if err != nil {
		f.meta.ETag, f.meta.LastModified, f.meta.SHA256 = "", "", ""
	}
	f.mu.Unlock()
	f.use(p.List)
	f.opts.Logger.Info("provider list loaded", "entries", p.List.Len(), "rejected", p.Rejected)
	return err
}

func (f *Feed) use(l *List) {
	if l != nil {
		f.base = l
	}
	f.list.Store(l)
	if f.opts.OnUpdate != nil {
		f.opts.OnUpdate(l)
	}
}

// Approve puts the held list into force.
func (f *Feed) Approve(context.Context) error {
	f.work.Lock()
	defer f.work.Unlock()
	f.mu.Lock()
	held, m := f.held, f.meta
	f.mu.Unlock()
	if held == nil {
		return ErrNotHeld
	}
	body, err := f.read("held")
	if err != nil {
		return err
	}
	sum := digest(body)
	if sum != m.HeldSHA256 {
		return fmt.Errorf("approve provider %s: the held file was changed", f.opts.Name)
	}
	p, err := Parse(body, f.opts.NeverBlock)
	if err != nil {
		return err
	}
	if err := f.apply(&fetched{etag: m.ETag, modified: m.LastModified, body: body}, sum, p, time.Now()); err != nil {
		return err
	}
	f.remove("held")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rejects, f.rejected, f.reasons, f.lastErr = p.Rejects, p.Rejected, p.Reasons, ""
	return f.saveMeta()
}

// brake says whether a list differs too much from the one in force.
func brake(old, new *List, now time.Time) *Held {
	if old.Len() == 0 {
		return nil
	}
	h := Held{Since: now, Entries: new.Len()}
	h.Added, h.Removed = difference(old, new)
	change := float64(max(h.Added, h.Removed)) / float64(old.Len())
	if change > churnLimit && max(h.Added, h.Removed) > churnFree {
		h.Reason = fmt.Sprintf("%.0f %% of the entries changed", 100*change)
		return &h
	}
	// A list can also be turned into a weapon without changing its entries, by
	// raising their levels.
	was, is := old.levels(), new.levels()
	before := 0 // entries of was on this level and above
	for i, level := range is {
		for before < len(was) && was[before] >= level {
			before++
		}
		// The last of a level stands for all of it.
		if n := i + 1; level > 1 && (n == len(is) || is[n] != level) && n > levelTimes*before+levelFree {
			h.Reason = fmt.Sprintf("entries of level %d and above grew from %d to %d", level, before, n)
			return &h
		}
	}
	return nil
}

// levels are the levels of all entries, highest first.
func (l *List) levels() []uint16 {
	list := make([]uint16, len(l.entries))
	for i, e := range l.entries {
		list[i] = e.Level
	}
	slices.SortFunc(list, func(a, b uint16) int { return int(b) - int(a) })
	return list
}

// fresh is when something new came last: a list of the web grows old when it
// stops changing, a file of one's own only when it cannot be read. Needs f.mu.
func (f *Feed) fresh() time.Time {
	if f.url {
		return f.meta.ChangedAt
	}
	return f.meta.CheckedAt
}

// expire drops the entries of a dead source. Needs f.work.
func (f *Feed) expire(now time.Time) {
	f.mu.Lock()
	dead := f.list.Load() != nil && !now.Before(f.fresh().Add(DropAfter))
	f.mu.Unlock()
	if dead {
		f.opts.Logger.Warn("provider list expired", "source", f.opts.Source)
		f.use(nil)
	}
}

// Status returns what the operators see.
func (f *Feed) Status() Status {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{
		Name: f.opts.Name, Source: f.opts.Source, Refresh: int64(f.opts.Refresh / time.Second),
		Entries: f.list.Load().Len(), Rejects: append([]Reject{}, f.rejects...), Rejected: f.rejected, Reasons: maps.Clone(f.reasons),
		LoadedAt: f.meta.LoadedAt, CheckedAt: f.meta.CheckedAt, NextAt: f.next, UpstreamDate: f.meta.Upstream,
		LastError: f.lastErr,
	}
	if f.held != nil {
		h := *f.held
		s.Held = &h
	}
	if !f.meta.LoadedAt.IsZero() {
		age := now.Sub(f.fresh())
		s.Stale = age >= StaleAfter
		s.Expired = f.list.Load() == nil && age >= DropAfter
	}
	return s
}

// jitter spreads a time by ±10 %, so that not everybody asks at once.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
