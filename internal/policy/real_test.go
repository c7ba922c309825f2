package policy

import "testing"

// TestPresetsWithRealCounters runs what a write of a policy runs.
func TestPresetsWithRealCounters(t *testing.T) {
	for _, name := range Presets() {
		if err := compiled(t, preset(t, name)).Test(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
