package store

import (
	"testing"
	"time"
)

// TestQuarterIsWhole: what is left of a microsecond would begin one more bucket
// behind midnight.
func TestQuarterIsWhole(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2026, 11, 22, 18, 15, 0, 305, time.UTC),
		time.Date(2026, 11, 22, 18, 29, 59, 999_999_999, time.UTC),
	} {
		if got, want := quarter(at), time.Date(2026, 11, 22, 18, 15, 0, 0, time.UTC); !got.Equal(want) {
			t.Errorf("quarter(%v) = %v, want %v", at, got, want)
		}
	}
	zone := time.FixedZone("", 19800)
	now := time.Date(2026, 11, 22, 23, 57, 48, 305, zone) // the last quarter of a day there
	q := TrendQuery{Now: now, Zone: zone, Bucket: "auto"}
	starts, _, err := q.cut(EventFilter{From: time.Date(2026, 10, 24, 0, 0, 0, 0, zone)})
	if err != nil || len(starts) != 31 { // and where the last ends
		t.Errorf("%d instants of 30 days, %v", len(starts), err)
	}
}
