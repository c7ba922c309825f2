package app

import "testing"

func TestGarbageIsBounded(t *testing.T) {
	for live, want := range map[uint64]int{0: 250, 10 << 20: 250, 24 << 20: 200, 48 << 20: 100, 96 << 20: 50, 160 << 20: 30, 1 << 30: 25} {
		if got := gcPercent(live); got != want {
			t.Errorf("with %d MiB in use: %d %%, want %d %%", live>>20, got, want)
		}
	}
}
