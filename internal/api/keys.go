package api

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

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
// revocation holds even if the database cannot be read again.
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
	k.byID.Store(&m)
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
			m[list[i].ID] = newKey(&list[i])
		}
	}
	s.keys.byID.Store(&m)
	return nil
}

func newKey(rec *store.Key) *key {
	k := &key{id: rec.ID, name: rec.Name, hash: rec.Hash, from: rec.Prefixes}
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
