package api

import (
	"testing"

	"github.com/warderhq/warder/internal/operator"
)

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

// TestExportsOfOneAreBounded: one viewer with many exports makes nobody wait.
func TestExportsOfOneAreBounded(t *testing.T) {
	h := newWhole(t)
	h.hire(t, "vic@example.org", operator.Viewer)
	h.hire(t, ann, operator.Owner)
	vic, owner := h.tab(t), h.tab(t)
	vic.signIn(t, "vic@example.org")
	owner.signIn(t, ann)
	for range maxOwnExports {
		if !h.exports.begin("operator:vic@example.org") {
			t.Fatal("refused")
		}
	}
	vic.want(t, 429, "GET", "/v1/export/events", nil, nil)
	if vic.answer.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	owner.want(t, 200, "GET", "/v1/export/events", nil, nil)
	h.exports.end("operator:vic@example.org")
	for range maxOwnExports + 1 {
		vic.want(t, 200, "GET", "/v1/export/events", nil, nil)
	}
}
