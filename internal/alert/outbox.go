package alert

import (
	"context"

	"github.com/warderhq/warder/internal/guard"
)

// Outbox is what the sender asks of durable storage. Alerts are written by the
// journal, in the transaction of what they tell about; the sender only reads
// them, and keeps one small state per recipient that says how far it got.
//
// store implements it.
type Outbox interface {
	// AlertsAfter returns at most limit alerts with a number above after,
	// lowest first. Numbers ascend in the order of commit: once a number was
	// returned, no lower one appears any more. Evidence is filled in.
	AlertsAfter(ctx context.Context, after int64, limit int) ([]Queued, error)

	// MailStates returns everything that was saved, by its key.
	MailStates(ctx context.Context) (map[string][]byte, error)

	// SaveMailState makes the state of one key durable (at most 4 KiB of JSON);
	// a nil state deletes the key. Keys are e-mail addresses, and "" for the
	// sender's own.
	SaveMailState(ctx context.Context, key string, state []byte) error
}

// Queued is an alert with its number.
type Queued struct {
	Seq   int64
	Alert *guard.Alert
}
