package policy

import (
	"context"
	"slices"
	"time"

	"github.com/warderhq/warder/internal/counter"
)

// model is a slow and obvious counter.Counter for the tests of this package, so
// that a failure here is a failure of the policy. What it does not need is left
// to the embedded nil.
type model struct {
	counter.Counter
	keys map[counter.Key][]modelHit
}

type modelHit struct {
	counter.Hit
	at time.Time
}

func newModel() *model { return &model{keys: map[counter.Key][]modelHit{}} }

func (m *model) Apply(_ context.Context, now time.Time, hits []counter.Hit) ([]counter.Count, error) {
	counts := make([]counter.Count, len(hits))
	for i, h := range hits {
		list := slices.DeleteFunc(m.keys[h.Key], func(o modelHit) bool { return !o.at.After(now.Add(-h.Window)) })
		c := &counts[i]
		c.Stale = !h.At.After(now.Add(-h.Window))
		if j := slices.IndexFunc(list, func(o modelHit) bool { return o.Member == h.Member }); j >= 0 {
			c.Repeat = true
			list[j] = modelHit{h, h.At}
		} else if !c.Stale {
			list = append(list, modelHit{h, h.At})
		}
		c.N = len(list)
		if !c.Repeat && !c.Stale && c.N >= h.Threshold {
			c.Crossed = true
			for _, o := range list {
				c.Evidence = append(c.Evidence, counter.Evidence{Seq: o.Seq, At: o.At, Unsettled: o.Unsettled})
			}
			list = nil
		}
		m.keys[h.Key] = list
	}
	return counts, nil
}

func (m *model) TakeOut(_ context.Context, _ time.Time, tag counter.Tag, upTo time.Time, _ int64) (int, error) {
	n := 0
	for k, list := range m.keys {
		before := len(list)
		m.keys[k] = slices.DeleteFunc(list, func(o modelHit) bool { return o.Tag == tag && !o.at.After(upTo) })
		n += before - len(m.keys[k])
	}
	return n, nil
}

func (m *model) Clear(context.Context, time.Time, counter.Selection, int64) error {
	clear(m.keys)
	return nil
}
