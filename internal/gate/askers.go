package gate

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// maxAskers bounds how many proxies are told apart. API keys and trusted
// addresses can ask, nobody else; those beyond are counted together.
const maxAskers = 256

// asker is who asks forward auth: an application by its API key, or a trusted
// proxy by its address.
type asker struct {
	app  string
	peer netip.Addr
}

type askerFigures struct {
	name                     string
	checks, refused, unclear atomic.Int64
	last                     atomic.Int64 // Unix seconds
}

// askers count questions by who asks. The table is read without a lock and
// copied for the few changes that it ever sees.
type askers struct {
	mu    sync.Mutex
	table atomic.Pointer[map[asker]*askerFigures]
}

// of finds the figures of whoever asks in the name of app, from peer if without
// a key.
func (a *askers) of(app *guard.App, peer netip.Addr) *askerFigures {
	key := asker{app: app.ID}
	if app == proxyApp {
		key.peer = peer
	}
	if table := a.table.Load(); table != nil {
		if f := (*table)[key]; f != nil {
			return f
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	table := map[asker]*askerFigures{}
	if before := a.table.Load(); before != nil {
		if len(*before) >= maxAskers {
			key = asker{}
		}
		if f := (*before)[key]; f != nil {
			return f
		}
		maps.Copy(table, *before)
	}
	f := &askerFigures{name: app.Name}
	table[key] = f
	a.table.Store(&table)
	return f
}

func (f *askerFigures) count(d *warder.Decision) {
	f.checks.Add(1)
	if d.Action == warder.BlockAction {
		f.refused.Add(1)
	}
	f.asked()
}

func (f *askerFigures) asked() {
	if now := time.Now().Unix(); f.last.Load() != now {
		f.last.Store(now)
	}
}

// AskerStats are the figures of one application or proxy that asks forward
// auth, since the start.
type AskerStats struct {
	App     string     // id of its API key; empty: a trusted proxy, or those beyond the bound
	Name    string     // of the key
	Peer    netip.Addr // of a trusted proxy
	Checks  int64      // questions that were decided
	Refused int64      // of them
	Unclear int64      // questions that could not be decided: no client or no request named
	Last    time.Time
}

// Askers returns who has asked since the start, in no order.
func (f *Forward) Askers() []AskerStats {
	table := f.askers.table.Load()
	if table == nil {
		return nil
	}
	out := make([]AskerStats, 0, len(*table))
	for k, v := range *table {
		s := AskerStats{
			App: k.app, Name: v.name, Peer: k.peer, Checks: v.checks.Load(), Refused: v.refused.Load(), Unclear: v.unclear.Load(),
			Last: time.Unix(v.last.Load(), 0).UTC(),
		}
		if k.peer.IsValid() {
			s.App = ""
		}
		out = append(out, s)
	}
	return out
}
