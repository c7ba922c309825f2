package counter_test

import (
	"testing"

	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/counter/countertest"
)

func TestMemory(t *testing.T) {
	countertest.Run(t, func() counter.Counter { return counter.New(counter.Options{}) })
}
