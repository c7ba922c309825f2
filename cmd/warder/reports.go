package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/store"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Verify the chain of the audit trail. Exit code 1 if a row is not genuine."`
}

type auditVerifyCmd struct{}

func (auditVerifyCmd) Run(ctx context.Context, e *env) error {
	return e.with(ctx, existing, func(in *instance) error {
		var report store.AuditReport
		if err := in.call(ctx, "GET", "/v1/audit/verify", nil, &report); err != nil {
			return err
		}
		err := e.print(report, func(w io.Writer) {
			if report.OK {
				_, _ = fmt.Fprintf(w, "audit trail verified: %d rows\n", report.Rows)
			}
		})
		if err == nil && !report.OK {
			err = fmt.Errorf("the audit trail is not genuine: row %d: %s", report.Bad, report.Fault)
		}
		return err
	})
}

type exportCmd struct {
	What   string            `arg:"" enum:"events,blocks,audit" help:"events, blocks or audit."`
	Format string            `enum:"csv,ndjson,json" default:"csv" help:"csv, ndjson or json."`
	Output string            `short:"o" help:"File to write (must not exist); default standard output." placeholder:"FILE"`
	From   string            `help:"Only what happened at or after this time (RFC 3339)." placeholder:"TIME"`
	To     string            `help:"Only what happened before this time (RFC 3339)." placeholder:"TIME"`
	Filter map[string]string `help:"Filters of the list, such as ip=203.0.113.0/24;severity=high." placeholder:"NAME=VALUE;..."`
}

func (c *exportCmd) Run(ctx context.Context, e *env) error {
	q := url.Values{"format": {c.Format}}
	for name, value := range c.Filter {
		q.Set(name, value)
	}
	if c.From != "" {
		q.Set("from", c.From)
	}
	if c.To != "" {
		q.Set("to", c.To)
	}
	return e.with(ctx, existing, func(in *instance) error {
		resp, err := in.send(ctx, "GET", "/v1/export/"+c.What+"?"+q.Encode(), "", nil)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // only read
		if c.Output == "" {
			_, err := io.Copy(e.out, resp.Body)
			return err
		}
		n, err := writeNew(c.Output, resp.Body)
		if err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		_, err = fmt.Fprintf(e.err, "%s: %d bytes\n", c.Output, n)
		return err
	})
}

type alertCmd struct {
	Test alertTestCmd `cmd:"" help:"Send a test mail now and print what the mail server answers."`
}

type alertTestCmd struct {
	To []string `help:"Addresses to write to (default everybody who is told of alerts)."`
}

func (c *alertTestCmd) Run(ctx context.Context, e *env) error {
	body := map[string]any{}
	if len(c.To) > 0 {
		body["to"] = c.To
	}
	return e.with(ctx, existing, func(in *instance) error {
		var answer api.Items[api.AlertTest]
		if err := in.call(ctx, "POST", "/v1/alerts/test", body, &answer); err != nil {
			return err
		}
		failed := 0
		for _, r := range answer.Items {
			if !r.OK {
				failed++
			}
		}
		err := e.print(answer, func(w io.Writer) {
			for _, r := range answer.Items {
				state := "sent"
				if !r.OK {
					state = "NOT sent"
				}
				_, _ = fmt.Fprintf(w, "%s: %s\n", r.Recipient, state)
				for line := range strings.Lines(r.Answer + "\n" + r.Error) {
					if line = strings.TrimSpace(line); line != "" {
						_, _ = fmt.Fprintln(w, "  "+line)
					}
				}
			}
		})
		switch {
		case err != nil:
			return err
		case failed > 0:
			return fmt.Errorf("%d of %d test mails were not sent", failed, len(answer.Items))
		}
		return nil
	})
}
