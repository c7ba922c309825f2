package api

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/store"
)

// keyring is the set of live API keys in memory, so that no request waits for
// SQL to be let in, and none is shut out because the database is busy.
type keyring struct {
	loading sync.Mutex // one load at a time, so that an old list never replaces a newer one
	byID    atomic.Pointer[map[string]*key]
}

func (k *keyring) find(id string) *key {
	m := k.byID.Load()
	if m == nil {
		return nil
	}
	return (*m)[id]
}

// drop takes a key out by id or name before anything else is asked, so that a
// revocation holds even if the database cannot be read again. What lasts by it
// ends.
func (k *keyring) drop(idOrName string) {
	old := k.byID.Load()
	if old == nil {
		return
	}
	m := make(map[string]*key, len(*old))
	for id, one := range *old {
		if id != idOrName && one.name != idOrName {
			m[id] = one
		}
	}
	k.replace(m)
}

// replace puts other keys in force. Those that are not among them are over.
func (k *keyring) replace(m map[string]*key) {
	old := k.byID.Swap(&m)
	if old == nil {
		return
	}
	for id, one := range *old {
		if m[id] == nil {
			one.end()
		}
	}
}

// touchEvery is how often the last use of keys is stored.
const touchEvery = time.Minute

// touch stores when keys were used last, for people who look for forgotten
// ones. It is no part of letting anybody in, so a failure waits for the next
// round.
func (s *Server) touch(ctx context.Context) error {
	m := s.keys.byID.Load()
	if m == nil {
		return nil
	}
	for id, k := range *m {
		at := k.used.Load()
		if at == 0 {
			continue
		}
		if err := s.opts.Store.TouchKey(ctx, id, time.Unix(at, 0).UTC()); err != nil {
			return fmt.Errorf("store the last use of API key %s: %w", id, err)
		}
		k.used.CompareAndSwap(at, 0)
	}
	return nil
}

// loadKeys replaces the ring by what is stored.
func (s *Server) loadKeys(ctx context.Context) error {
	s.keys.loading.Lock()
	defer s.keys.loading.Unlock()
	list, err := s.opts.Store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("load API keys: %w", err)
	}
	m := make(map[string]*key, len(list))
	for i := range list {
		if list[i].RevokedAt.IsZero() {
			k := newKey(&list[i])
			if before := s.keys.find(k.id); before != nil {
				k.used, k.life, k.end = before.used, before.life, before.end
			}
			m[k.id] = k
		}
	}
	s.keys.replace(m)
	return nil
}

func newKey(rec *store.Key) *key {
	k := &key{used: new(atomic.Int64), id: rec.ID, name: rec.Name, hash: rec.Hash, from: rec.Prefixes}
	k.life, k.end = context.WithCancel(context.Background())
	for _, scope := range rec.Scopes {
		k.scopes = append(k.scopes, Scope(scope))
	}
	k.app = guard.App{ID: rec.ID, Name: rec.Name}
	for _, can := range rec.Can {
		switch can {
		case "challenge":
			k.app.CanChallenge = true
		case "mfa":
			k.app.CanMFA = true
		}
	}
	k.caller = caller{app: &k.app, actor: guard.Actor{Name: "key:" + rec.Name}, key: k}
	return k
}
