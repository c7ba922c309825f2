package countertest

import (
	"testing"

	"github.com/warderhq/warder/internal/counter"
)

// TestModel shows that the model fulfils what it is used to judge.
func TestModel(t *testing.T) {
	if testing.Short() {
		t.Skip("the model is slow")
	}
	Run(t, func() counter.Counter { return NewModel() })
}
