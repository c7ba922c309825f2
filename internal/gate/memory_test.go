package gate

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemory: what is known of sessions is kept for as long as sessions are, and
// what came last is not what goes first where there is too much.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		halves := newHalves().memory
		halves.put("half", half{account: "alice"})
		time.Sleep(sessionLife - time.Hour)
		if h, ok := halves.get("half"); !ok || h.account != "alice" {
			t.Error("a session that lacks its second factor is forgotten")
		}
		time.Sleep(2 * time.Hour)
		if _, ok := halves.get("half"); ok {
			t.Error("a session is never forgotten")
		}

		const size = 1000
		m := newMemory[int](size, time.Hour)
		kept := 0
		for i := range 2 * size {
			m.put(fmt.Sprint(i), i)
			time.Sleep(time.Millisecond)
		}
		for i := 3 * size / 2; i < 2*size; i++ {
			if _, ok := m.get(fmt.Sprint(i)); ok {
				kept++
			}
		}
		if len(m.m) != size || kept < size*45/100 {
			t.Errorf("%d are kept, %d of the last %d", len(m.m), kept, size/2)
		}
	})
}
