package counter_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/counter/countertest"
)

func TestMemory(t *testing.T) {
	countertest.Run(t, func() counter.Counter { return counter.New(counter.Options{}) })
}

// TestMemoryAgainstModel also looks for contradictions inside after every step.
func TestMemoryAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := counter.New(counter.Options{Bytes: 1 << 20, Shards: 4})
		countertest.Compare(t, m, countertest.NewModel(), m.Check)
	})
}
