package alert

import (
	"context"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// What of a digest is shown in full and in one line; the rest is counted.
const (
	maxDetails = 5
	maxRows    = 100
)

// digestKey names the alerts of one mail.
type digestKey struct {
	lane      string
	after, to int64
	filter    string // of the recipient
}

// digest is what one mail tells: a few alerts in full, more in one line each,
// and exact totals of all. Its size is bounded however many there are.
type digest struct {
	id      string // of the first alert
	count   int
	first   time.Time
	last    time.Time
	details []*guard.Alert
	rows    []row
	attacks map[string]int // by attack in words
	done    map[string]int // by what was done, in words
	missed  int            // earlier alerts that could not be delivered
}

// row is an alert in one line.
type row struct {
	Time, Who, Attack, Done, Reference string
}

func (d *digest) add(a *guard.Alert) {
	if d.count == 0 {
		d.id, d.first = a.ID, a.Time
	}
	d.count++
	d.last = a.Time
	if d.attacks == nil {
		d.attacks, d.done = map[string]int{}, map[string]int{}
	}
	attack, done := attackOf(a), doneOf(a)
	d.attacks[attack]++
	d.done[done.kind]++
	if len(d.details) < maxDetails {
		d.details = append(d.details, a)
	}
	if len(d.rows) < maxRows {
		d.rows = append(d.rows, row{
			Time: a.Time.UTC().Format(time.DateTime), Who: who(a), Attack: attack, Done: done.short, Reference: reference(a),
		})
	}
}

// collect reads the alerts of one mail.
func (s *Sender) collect(ctx context.Context, k digestKey, r *Recipient) (*digest, error) {
	d := &digest{}
	for after := k.after; after < k.to; {
		page, err := s.read(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, q := range page {
			if q.Seq > k.to {
				return d, nil
			}
			after = q.Seq
			if laneOf(q.Alert) == k.lane && r.wants(q.Alert) {
				d.add(q.Alert)
			}
		}
		if len(page) < pageSize {
			break
		}
	}
	return d, nil
}
