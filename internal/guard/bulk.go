package guard

import "runtime"

// Who sends batches wants them done; who asks for a check waits for it. While a
// transaction is written there is work for one processor already, so batches
// share half of the others and never take all: eight that were answered together
// come back together, and checks would have to wait behind the lot.

// bulkFrom is from how many events on a call is a batch.
const bulkFrom = 16

func newBulk() chan struct{} { return make(chan struct{}, max(1, runtime.NumCPU()/2)) }

// Bulk waits for a turn among those who work on batches. Until done is called
// nothing may be waited for: neither network nor disk nor another turn.
func (g *Guard) Bulk() (done func()) {
	g.bulk <- struct{}{}
	return func() { <-g.bulk }
}
