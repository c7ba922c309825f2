package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/api"
)

type checkCmd struct {
	IP        string `arg:"" help:"Address of the client."`
	Account   string `help:"Account that signs in."`
	Realm     string `help:"Realm, such as user or admin."`
	Session   string `help:"Session of the application."`
	Device    string `help:"Device of the client."`
	UserAgent string `help:"User agent of the client."`
}

func (c *checkCmd) Run(ctx context.Context, e *env) error {
	body := map[string]string{"ip": c.IP}
	for name, value := range map[string]string{
		"account": c.Account, "realm": c.Realm, "session": c.Session, "device": c.Device, "user_agent": c.UserAgent,
	} {
		if value != "" {
			body[name] = value
		}
	}
	return e.with(ctx, existing, func(in *instance) error {
		var d warder.Decision
		if err := in.call(ctx, "POST", "/v1/check", body, &d); err != nil {
			return err
		}
		return e.print(d, func(w io.Writer) { printDecision(w, c.IP, &d) })
	})
}

func printDecision(w io.Writer, ip string, d *warder.Decision) {
	line := fmt.Sprintf("%s: %s (%s", ip, d.Action, d.Reason)
	if d.Rule != "" {
		line += ", rule " + d.Rule
	}
	line += ")"
	if d.ExpiresAt != nil {
		line += " until " + d.ExpiresAt.UTC().Format(time.RFC3339)
	} else if d.BlockID != "" {
		line += " until lifted"
	}
	if d.Reference != "" {
		line += ", reference " + d.Reference
	}
	if d.Would != nil {
		line += fmt.Sprintf("; would have been %s (%s)", d.Would.Action, d.Would.Reason)
	}
	_, _ = fmt.Fprintln(w, line)
}

type blockCmd struct {
	IP       string  `arg:"" help:"Address or prefix; a bare IPv6 address means its /64."`
	Reason   string  `help:"Why, for the report and the audit trail."`
	Duration seconds `help:"How long, in seconds or as 15m, 24h, 7d; 0 = until lifted." default:"0"`
}

func (c *blockCmd) Run(ctx context.Context, e *env) error {
	body := map[string]any{"ip": c.IP, "reason": c.Reason, "duration": c.Duration}
	return e.with(ctx, existing, func(in *instance) error {
		var b api.BlockView
		if err := in.call(ctx, "POST", "/v1/blocks", body, &b); err != nil {
			return err
		}
		return e.print(&b, func(w io.Writer) {
			_, _ = fmt.Fprintf(w, "%s is blocked %s, reference %s\n", b.IP, until(b.Until), b.Reference)
		})
	})
}

func until(t *time.Time) string {
	if t == nil {
		return "until lifted"
	}
	return "until " + t.UTC().Format(time.RFC3339)
}

type unblockCmd struct {
	IP            string  `arg:"" help:"Address or prefix whose blocks to lift."`
	Verdict       string  `required:"" enum:"error,resolved" help:"error: it was a mistake and never counts again; resolved: it was right and is over."`
	Reason        string  `help:"Why, for the report and the audit trail."`
	TrustFor      seconds `help:"Also trust the address for this long." default:"0"`
	ClearCounters bool    `help:"Also forget what was counted for it."`
}

func (c *unblockCmd) Run(ctx context.Context, e *env) error {
	body := map[string]any{
		"ip": c.IP, "verdict": c.Verdict, "reason": c.Reason,
		"trust_for": c.TrustFor, "clear_counters": c.ClearCounters,
	}
	return e.with(ctx, existing, func(in *instance) error {
		var lifted api.Lifted
		if err := in.call(ctx, "POST", "/v1/blocks/lift", body, &lifted); err != nil {
			return err
		}
		return e.print(lifted, func(w io.Writer) {
			for _, b := range lifted.Blocks {
				_, _ = fmt.Fprintf(w, "block of %s lifted (%s), reference %s\n", subjectOf(b.SubjectView), c.Verdict, b.Reference)
			}
		})
	})
}

type explainCmd struct {
	IP      string `arg:"" optional:"" help:"Address of the client."`
	Account string `help:"Account."`
	Realm   string `help:"Realm of the account."`
	Event   string `help:"Id of a stored event."`
}

func (c *explainCmd) Run(ctx context.Context, e *env) error {
	q := url.Values{}
	for name, value := range map[string]string{"ip": c.IP, "account": c.Account, "realm": c.Realm, "event": c.Event} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return &usageError{"explain needs an address, --account or --event"}
	}
	return e.with(ctx, existing, func(in *instance) error {
		var why api.ExplainView
		if err := in.call(ctx, "GET", "/v1/explain?"+q.Encode(), nil, &why); err != nil {
			return unknown(err, "there is no event %q (any more)", c.Event)
		}
		return e.print(&why, func(w io.Writer) { printExplanation(w, c, &why) })
	})
}

func printExplanation(w io.Writer, c *explainCmd, why *api.ExplainView) {
	who := c.IP
	for _, s := range []string{c.Account, c.Event} {
		if who == "" {
			who = s
		}
	}
	printDecision(w, who, &why.Decision)
	for _, step := range why.Steps {
		_, _ = fmt.Fprintln(w, "  "+step)
	}
	for _, b := range why.Blocks {
		_, _ = fmt.Fprintf(w, "  block %s of %s%s %s, reference %s\n", b.ID, subjectOf(b.SubjectView), since(b.BlockedAt), until(b.Until), b.Reference)
	}
	for _, d := range why.Demands {
		_, _ = fmt.Fprintf(w, "  demand of %s on %s %s\n", d.Action, subjectOf(d.SubjectView), until(d.Until))
	}
}

// since is empty where memory does not know it.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + t.UTC().Format(time.RFC3339)
}

func subjectOf(s api.SubjectView) string {
	return subjectParts(s.IP, s.Account, s.Realm, s.Session)
}

func subjectText(s warder.Subject) string {
	realm, name, ok := strings.Cut(s.Account, "\x1f")
	if !ok {
		realm, name = s.Realm, ""
	}
	ip := ""
	if s.IP.IsValid() {
		ip = s.IP.String()
	}
	return subjectParts(ip, name, realm, s.Session)
}

func subjectParts(ip, account, realm, session string) string {
	var parts []string
	if account != "" {
		parts = append(parts, "account "+account)
	}
	if realm != "" {
		parts = append(parts, "realm "+realm)
	}
	if session != "" {
		parts = append(parts, "session "+session)
	}
	if ip != "" {
		parts = append(parts, ip)
	}
	return strings.Join(parts, ", ")
}
