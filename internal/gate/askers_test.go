package gate

import (
	"net/netip"
	"testing"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// TestAskersAreBounded: the table holds no more than its bound, whoever asks,
// and loses no question.
func TestAskersAreBounded(t *testing.T) {
	var f Forward
	a := netip.MustParseAddr("10.0.0.0")
	for range 2 * maxAskers {
		a = a.Next()
		f.askers.of(proxyApp, a).count(&warder.Decision{})
	}
	f.askers.of(&guard.App{ID: "k", Name: "key"}, a).count(&warder.Decision{Action: warder.BlockAction})
	list := f.Askers()
	var checks, others int64
	for _, s := range list {
		checks += s.Checks
		if !s.Peer.IsValid() {
			others = s.Checks
		}
		if s.App != "" || s.Last.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if len(list) != maxAskers+1 || checks != 2*maxAskers+1 || others != maxAskers+1 {
		t.Errorf("%d askers, %d checks, %d by others", len(list), checks, others)
	}
}
