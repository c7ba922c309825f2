package gate

import (
	"sync"
	"time"
)

// memory is a bounded table of things that are true for a while. When it is
// full, the oldest of a few goes.
type memory[V any] struct {
	mu   sync.Mutex
	m    map[string]remembered[V]
	max  int
	life time.Duration
}

type remembered[V any] struct {
	value V
	until time.Time
}

func newMemory[V any](size int, life time.Duration) *memory[V] {
	return &memory[V]{m: map[string]remembered[V]{}, max: size, life: life}
}

func (t *memory[V]) put(key string, v V) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.m[key]; !ok && len(t.m) >= t.max {
		n, oldest, first := 0, "", time.Time{}
		for k, r := range t.m { // in no order
			if n++; n == 1 || r.until.Before(first) {
				oldest, first = k, r.until
			}
			if n == 16 {
				break
			}
		}
		delete(t.m, oldest)
	}
	t.m[key] = remembered[V]{v, now.Add(t.life)}
}

func (t *memory[V]) get(key string) (v V, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.m[key]
	if !ok || time.Now().After(r.until) {
		return v, false
	}
	return r.value, true
}

func (t *memory[V]) drop(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, key)
}
