package store

import (
	"path/filepath"
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

// TestTrendEndsNow: minutes that have not begun would look as if the attack was
// over. An event of a clock that is ahead is shown all the same.
func TestTrendEndsNow(t *testing.T) {
	d := openAt(t, filepath.Join(t.TempDir(), "warder.db"))
	now := time.Date(2026, 11, 22, 10, 19, 30, 0, time.UTC)
	got, err := d.Trend(t.Context(), EventFilter{From: now.Add(-time.Hour)}, TrendQuery{Now: now, Bucket: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	first, last := got.Buckets[0].Time, got.Buckets[len(got.Buckets)-1]
	if !first.Equal(now.Add(-64*time.Minute-30*time.Second)) || !last.Time.Equal(now.Add(-30*time.Second)) || !got.To.Equal(last.End) {
		t.Errorf("from %v to %v, %v", first, last, got.To)
	}
	ahead := Trend{Buckets: []Bucket{{Time: now.Add(-time.Minute)}, {Time: now.Add(time.Minute), Info: 1}, {Time: now.Add(2 * time.Minute)}}}
	if ahead.begun(now); len(ahead.Buckets) != 2 {
		t.Errorf("%+v", ahead.Buckets)
	}
}

// TestDaysWithoutMidnight: where clocks go forward at midnight, and where a zone
// left out a day, every day begins after the one before. A trend that met the
// same day again and again would never end.
func TestDaysWithoutMidnight(t *testing.T) {
	for _, name := range []string{"America/Santiago", "America/Havana", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := Midnight(2009, 1, 1, zone); at.Year() < 2028; {
			y, m, d := at.Date()
			next := Midnight(y, m, d+1, zone)
			if !next.After(at) || next.Day() == d {
				t.Fatalf("%s: the day after %v begins at %v", name, at, next)
			}
			at = next
		}
	}
	zone, _ := time.LoadLocation("America/Santiago")
	from := time.Date(2026, 9, 4, 0, 0, 0, 0, zone)
	cut := make(chan []time.Time, 1)
	go func() {
		starts, _, _ := TrendQuery{Now: from, Zone: zone, Bucket: "day"}.cut(EventFilter{From: from, To: from.AddDate(0, 0, 4)})
		cut <- starts
	}()
	select {
	case starts := <-cut:
		if want := time.Date(2026, 9, 6, 4, 0, 0, 0, time.UTC); len(starts) != 5 || !starts[2].Equal(want) {
			t.Errorf("%v, want the third at %v", starts, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the days of a trend have no end")
	}
}
