package api

import "testing"

// TestNobodyTakesAllStreams: what one operator holds open leaves room for the
// others, and is free again when it ends.
func TestNobodyTakesAllStreams(t *testing.T) {
	hub := newHub()
	var mine []chan message
	for range maxOwnStreams {
		ch, _, _, ok := hub.join("operator:eve@example.org", "")
		if !ok {
			t.Fatal("refused")
		}
		mine = append(mine, ch)
	}
	if _, _, _, ok := hub.join("operator:eve@example.org", ""); ok {
		t.Errorf("more than %d streams of one operator", maxOwnStreams)
	}
	if _, _, _, ok := hub.join("operator:ann@example.org", ""); !ok {
		t.Error("another one is refused")
	}
	hub.leave(mine[0])
	hub.leave(mine[0])
	if _, _, _, ok := hub.join("operator:eve@example.org", ""); !ok {
		t.Error("refused after one ended")
	}
	for range streamBehind + 1 {
		hub.send("event", 1) // nobody reads: all are cut off
	}
	if len(hub.open) != 0 || len(hub.readers) != 0 {
		t.Errorf("left: %v", hub.open)
	}
}
