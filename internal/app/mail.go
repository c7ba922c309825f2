package app

import (
	"context"

	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/store"
)

// mailRemedies say what to do about the sender's reasons of degradation.
var mailRemedies = map[string]string{
	alert.Unconfigured: "No mail server is configured, alerts are written to files: set smtp.host and smtp.from.",
	alert.Failing:      "The mail server does not take mails: run warder alert test to see its answer.",
	alert.NoRecipient:  "Nobody is told of alerts: create an operator with warder operator create, or set smtp.to.",
}

// outbox gives the sender what the store keeps, in the sender's words.
type outbox struct{ *store.DB }

// AlertsAfter implements alert.Outbox.
func (o outbox) AlertsAfter(ctx context.Context, after int64, limit int) ([]alert.Queued, error) {
	rows, err := o.DB.AlertsAfter(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]alert.Queued, len(rows))
	for i, row := range rows {
		list[i] = alert.Queued{Seq: row.Seq, Alert: row.Alert}
	}
	return list, nil
}
