package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

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
			for _, doubt := range report.Doubts {
				_, _ = fmt.Fprintf(w, "doubt: %s\n", doubt)
			}
		})
		if err == nil && !report.OK {
			err = fmt.Errorf("the audit trail is not genuine: row %d: %s", report.Bad, report.Fault)
		}
		return err
	})
}

type exportCmd struct {
	What   string            `arg:"" enum:"events,blocks,audit,report,verify" help:"events, blocks, audit or report; or verify, for a report that was saved."`
	File   string            `arg:"" optional:"" help:"The report to verify; - for standard input."`
	Format string            `enum:"csv,ndjson,json,html" default:"csv" help:"csv, ndjson or json; a report also html, to print."`
	Output string            `short:"o" help:"File to write (must not exist); default standard output." placeholder:"FILE"`
	From   string            `help:"Only what happened at or after this time (RFC 3339)." placeholder:"TIME"`
	To     string            `help:"Only what happened before this time (RFC 3339)." placeholder:"TIME"`
	Period string            `help:"Of a report instead of --from and --to: previous_month, previous_quarter, last_30_days and so on." placeholder:"PERIOD"`
	TZ     string            `name:"tz" help:"Time zone of a report, such as Asia/Kolkata (default UTC)." placeholder:"ZONE"`
	Key    string            `help:"To verify without the data directory: the public key that the report must be signed with." placeholder:"HEX"`
	Filter map[string]string `help:"Filters of the list, such as ip=203.0.113.0/24;severity=high." placeholder:"NAME=VALUE;..."`
}

func (c *exportCmd) Run(ctx context.Context, e *env) error {
	switch {
	case c.What == "verify":
		return c.verify(ctx, e)
	case c.File != "":
		return &usageError{"only verify takes a file; to write one, use --output"}
	case c.What != "report" && (c.Period != "" || c.TZ != "" || c.Format == "html"):
		return &usageError{"--period, --tz and --format html are for reports"}
	case c.What == "report" && c.Period == "" && c.From == "" && c.To == "":
		return &usageError{"a report needs --period, or --from and --to"}
	}
	q := url.Values{"format": {c.Format}}
	for name, value := range c.Filter {
		q.Set(name, value)
	}
	for name, value := range map[string]string{"from": c.From, "to": c.To, "period": c.Period, "tz": c.TZ} {
		if value != "" {
			q.Set(name, value)
		}
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

// verify tells whether a report is genuine: its hash and signature here, that
// the key is the installation's own by the instance, or by --key.
func (c *exportCmd) verify(ctx context.Context, e *env) error {
	if c.File == "" {
		return &usageError{"verify needs the file of a report"}
	}
	in := e.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("read the report: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	seal, sum, n, err := api.ReadSeal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	answer := api.VerifyReportAnswer{Key: strings.ToLower(c.Key)}
	if c.Key != "" {
		if answer.Fault = seal.Check(sum, n); answer.Fault == "" && seal.Key != answer.Key {
			answer.Fault = "it was signed with another key"
		}
		answer.Valid = answer.Fault == ""
	} else if err := e.with(ctx, existing, func(in *instance) error {
		return in.call(ctx, "POST", "/v1/export/verify", api.VerifyReportBody{Seal: seal, SHA256: sum, Bytes: n}, &answer)
	}); err != nil {
		return err
	}
	if !answer.Valid {
		return fmt.Errorf("%s is not genuine: %s", c.File, answer.Fault)
	}
	return e.print(answer, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "genuine: report of %s, %s to %s (%s), made %s by %s, %d blocks, %d bytes, SHA-256 %s, key %s\n",
			plain(seal.Instance), seal.From.Format(time.RFC3339), seal.To.Format(time.RFC3339), plain(seal.TZ),
			seal.Created.Format(time.RFC3339), plain(seal.By), seal.Blocks, seal.Bytes, seal.SHA256, seal.Key)
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
