package counter

import (
	"context"
	"math"
	"time"
)

// A score below scoreFloor is 0; none is above scoreMost, and after scoreLife
// half-lives nothing is left of any.
const (
	scoreFloor = 1.0 / 1024
	scoreMost  = 1 << 30
	scoreLife  = 40
)

// AddScore implements Counter. Weights that are not positive and finite add
// nothing. It never returns an error; if there is no memory the score is that
// of this weight alone.
func (m *Memory) AddScore(_ context.Context, now time.Time, key Key, weight float64, halfLife time.Duration) (float64, error) {
	m.begin(now)
	defer m.end()
	id := m.digest.keySum(ofScore, &key)
	i := m.find(id)
	v := m.scoreOf(i)
	if !(weight > 0) || math.IsInf(weight, 0) {
		return v, nil
	}
	v = min(v+weight, scoreMost)
	k := kind{rule: m.digest.ruleSum(key.Rule), form: score, window: span(halfLife)}
	if v < scoreFloor {
		return 0, nil
	}
	if i != 0 {
		m.lift(&m.order, i)
		c := m.cell(i)
		if k != *m.kinds.of(c) {
			m.kinds.give(c.kind)
			c.kind = m.kinds.take(k)
		}
		e := m.entry(c.first)
		e.seq, e.at = int64(math.Float64bits(v)), max(e.at, m.now)
		c.at = e.at
		m.changed(i)
		m.place(i)
		return v, nil
	}
	if i = m.create(id, m.digest.addressSum(key.Address), m.digest.accountSum(key.Account), k); i == 0 {
		return v, nil
	}
	if e := m.alloc(); e != 0 {
		*m.entry(e) = entry{at: m.now, seq: int64(math.Float64bits(v))}
		m.insert(i, e)
	}
	m.place(i)
	return v, nil
}

// Score implements Counter. It never returns an error.
func (m *Memory) Score(_ context.Context, now time.Time, key Key) (float64, error) {
	m.begin(now)
	defer m.end()
	return m.scoreOf(m.find(m.digest.keySum(ofScore, &key))), nil
}

func (m *Memory) scoreOf(i uint32) float64 {
	if i == 0 {
		return 0
	}
	c := m.cell(i)
	e := m.entry(c.first)
	v := math.Float64frombits(uint64(e.seq))
	if age := m.now - e.at; age > 0 {
		v *= math.Exp2(-float64(age) / float64(m.kinds.of(c).window))
	}
	if v < scoreFloor {
		return 0
	}
	return v
}
