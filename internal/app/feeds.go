package app

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warderhq/warder/internal/feed"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/outbound"
	"github.com/warderhq/warder/internal/policy"
)

// lookEvery is how often the state of the providers is looked at.
const lookEvery = 30 * time.Second

// feeds keeps the providers going that the policy in force switches on.
type feeds struct {
	guard  *guard.Guard
	client *outbound.Client
	dir    string
	log    *slog.Logger

	changed chan struct{} // the policy did

	mu      sync.Mutex
	running map[string]*running
}

// running is one provider at work.
type running struct {
	spec  policy.ProviderSpec
	feed  *feed.Feed
	begun bool  // it refreshes itself
	err   error // why it could not be set up; feed is nil then

	life context.Context //nolint:containedctx // of everybody who works on the feed
	end  context.CancelFunc
	work sync.WaitGroup // joined under feeds.mu
}

// stop ends the work on the feed, also what operators asked for, and waits for
// it: nothing that is fetched comes into force after that.
func (r *running) stop() {
	r.end()
	r.work.Wait()
}

func newFeeds(client *outbound.Client, dir string, log *slog.Logger) *feeds {
	return &feeds{client: client, dir: dir, log: log, changed: make(chan struct{}, 1), running: map[string]*running{}}
}

// notify says that another policy came into force. It never blocks.
func (f *feeds) notify() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Run follows the policy until ctx ends.
func (f *feeds) Run(ctx context.Context) error {
	defer f.stopAll()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		f.follow(ctx)
		f.begin(ctx)
		f.report()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-f.changed:
		}
	}
}

// follow makes the providers those of the policy: their last good lists come
// into force, or go. Until begin they do not refresh themselves.
func (f *feeds) follow(ctx context.Context) {
	doc, _ := f.guard.Policy()
	want := map[string]policy.ProviderSpec{}
	if doc != nil {
		for _, spec := range doc.Providers {
			if spec.Enabled {
				want[spec.Name] = spec
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, have := range f.running {
		if spec, ok := want[name]; !ok || !sameSource(spec, have.spec) {
			have.stop()
			f.guard.SetProvider(name, nil)
			delete(f.running, name)
		}
	}
	for name, spec := range want {
		if f.running[name] == nil {
			f.running[name] = f.open(ctx, spec)
		}
	}
}

// begin lets the providers refresh themselves until they are stopped.
func (f *feeds) begin(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, r := range f.running {
		if r.begun || r.feed == nil {
			continue
		}
		r.begun = true
		r.work.Go(func() {
			if err := r.feed.Run(r.life); err != nil && r.life.Err() == nil {
				f.log.ErrorContext(ctx, "provider stopped", "provider", name, "error", err)
			}
		})
	}
}

// sameSource ignores the levels, which the engine reads from the policy.
func sameSource(a, b policy.ProviderSpec) bool {
	return a.URL == b.URL && a.Format == b.Format && a.Refresh == b.Refresh
}

func (f *feeds) open(ctx context.Context, spec policy.ProviderSpec) *running {
	r := &running{spec: spec}
	r.life, r.end = context.WithCancel(context.WithoutCancel(ctx))
	r.feed, r.err = feed.New(feed.Options{
		Name:       spec.Name,
		Source:     spec.URL,
		Refresh:    time.Duration(spec.Refresh) * time.Second,
		Dir:        f.dir,
		Client:     f.client,
		Logger:     f.log.With("provider", spec.Name),
		NeverBlock: f.guard.Protected,
		OnUpdate:   func(list *feed.List) { f.put(spec.Name, list) },
	})
	if r.err != nil {
		f.log.WarnContext(ctx, "provider cannot be set up", "provider", spec.Name, "error", r.err)
		return r
	}
	if list := r.feed.List(); list != nil {
		f.put(spec.Name, list)
	}
	return r
}

func (f *feeds) put(name string, list *feed.List) {
	if list == nil {
		f.guard.SetProvider(name, nil)
		return
	}
	f.guard.SetProvider(name, list.Lookup)
}

func (f *feeds) stopAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.running {
		r.stop()
	}
	clear(f.running)
}

// report shows as degraded what the providers lack.
func (f *feeds) report() {
	var stale, held []string
	for _, s := range f.Statuses() {
		if s.LastError != "" {
			stale = append(stale, s.Name+": "+s.LastError)
		}
		if s.Held != nil {
			held = append(held, s.Name+": "+s.Held.Reason)
		}
	}
	f.guard.Degrade("provider_failing", "The last good list stays in force. "+strings.Join(stale, "; "), len(stale) > 0)
	f.guard.Degrade("provider_held", "A new list waits for approval. "+strings.Join(held, "; "), len(held) > 0)
}

// Statuses implements api.Providers: the state of every provider that is
// switched on, by name.
func (f *feeds) Statuses() []feed.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]feed.Status, 0, len(f.running))
	for name, r := range f.running {
		if r.feed == nil {
			list = append(list, feed.Status{Name: name, Source: r.spec.URL, LastError: r.err.Error()})
		} else {
			list = append(list, r.feed.Status())
		}
	}
	slices.SortFunc(list, func(a, b feed.Status) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Refresh implements api.Providers.
func (f *feeds) Refresh(ctx context.Context, name string) error {
	return f.ask(ctx, name, (*feed.Feed).Refresh)
}

// Approve implements api.Providers.
func (f *feeds) Approve(ctx context.Context, name string) error {
	return f.ask(ctx, name, func(fd *feed.Feed, ctx context.Context) error {
		if fd.Status().Held == nil {
			return guard.ErrConflict
		}
		return fd.Approve(ctx)
	})
}

// ask has a provider do something, which ends with the provider.
func (f *feeds) ask(ctx context.Context, name string, do func(*feed.Feed, context.Context) error) error {
	r, err := f.join(name)
	if err != nil {
		return err
	}
	defer f.report()
	defer r.work.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
	return do(r.feed, ctx)
}

// join finds a provider to work on.
func (f *feeds) join(name string) (*running, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.running[name]
	switch {
	case r == nil:
		return nil, guard.ErrNotFound
	case r.err != nil:
		return nil, r.err
	}
	r.work.Add(1)
	return r, nil
}
