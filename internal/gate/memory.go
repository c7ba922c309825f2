package gate

import (
	"sync"
	"time"
)

// memory is a bounded table of things that are true for a while. When it is
// full, entries go at random.
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
		n := 0
		for k, r := range t.m {
			if n++; n == 1 || now.After(r.until) {
				delete(t.m, k)
			}
			if n == 16 {
				break
			}
		}
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
