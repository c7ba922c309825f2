package app

import (
	"context"
	"slices"

	"github.com/warderhq/warder/internal/alert"
	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/operator"
	"github.com/warderhq/warder/internal/store"
)

// mailRemedies say what to do about the sender's reasons of degradation.
var mailRemedies = map[string]string{
	alert.Unconfigured: "No mail server is configured, alerts are written to files: set smtp.host and smtp.from.",
	alert.Failing:      "The mail server does not take mails: run warder alert test to see its answer.",
	alert.NoRecipient:  "Nobody is told of alerts: create an operator with warder operator create, or set smtp.to.",
}

// recipients returns who is told of alerts: every active owner and admin, and
// the configured addresses.
func recipients(people *operator.People, to []string) func(context.Context) ([]alert.Recipient, error) {
	return func(ctx context.Context) ([]alert.Recipient, error) {
		operators, err := people.Recipients(ctx)
		if err != nil {
			return nil, err
		}
		list := make([]alert.Recipient, 0, len(operators)+len(to))
		for _, address := range slices.Concat(operators, to) {
			list = append(list, alert.Recipient{Address: address})
		}
		return list, nil
	}
}

func smtpOf(c config.SMTP) alert.SMTP {
	return alert.SMTP{Host: c.Host, Port: c.Port, TLS: c.TLS, User: c.User, Password: c.Password, From: c.From}
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
