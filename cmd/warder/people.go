package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/app"
)

type operatorCmd struct {
	Create  operatorCreateCmd  `cmd:"" help:"Add an operator. The password is read from standard input."`
	List    operatorListCmd    `cmd:"" help:"List operators."`
	Disable operatorDisableCmd `cmd:"" help:"Switch an operator off."`
	Enable  operatorEnableCmd  `cmd:"" help:"Switch an operator on again."`
	Reset   operatorResetCmd   `cmd:"" aliases:"reset-link" help:"End an operator's password and second factor, and print a link to set a new password."`
}

type operatorCreateCmd struct {
	Email         string `required:"" help:"E-mail address, to sign in with and for alerts."`
	Role          string `required:"" enum:"owner,admin,analyst,viewer" help:"owner, admin, analyst or viewer."`
	PasswordStdin bool   `required:"" help:"Read the password from the first line of standard input."`
}

func (c *operatorCreateCmd) Run(ctx context.Context, e *env) error {
	password, err := firstLine(e.in)
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	body := map[string]string{"email": c.Email, "role": c.Role, "password": password}
	return e.with(ctx, fresh, func(in *instance) error {
		var o api.OperatorView
		if err := in.call(ctx, "POST", "/v1/operators", body, &o); err != nil {
			return err
		}
		return e.print(o, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s is %s\n", o.Email, o.Role) })
	})
}

// firstLine reads a secret that somebody pipes in; the end of line is not part
// of it.
func firstLine(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, 4<<10))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

type operatorListCmd struct{}

func (operatorListCmd) Run(ctx context.Context, e *env) error {
	return e.with(ctx, existing, func(in *instance) error {
		var list api.Items[api.OperatorView]
		if err := in.call(ctx, "GET", "/v1/operators", nil, &list); err != nil {
			return err
		}
		return e.print(list, func(w io.Writer) {
			table(w, func(row func(...string)) {
				row("E-MAIL", "ROLE", "STATE", "CREATED", "ID")
				for _, o := range list.Items {
					state := "active"
					if !o.Active {
						state = "disabled"
					}
					row(o.Email, string(o.Role), state, day(o.Created), o.ID)
				}
			})
		})
	})
}

type operatorDisableCmd struct {
	Operator string `arg:"" help:"E-mail address or id."`
}

func (c *operatorDisableCmd) Run(ctx context.Context, e *env) error {
	return switchOperator(ctx, e, c.Operator, false)
}

type operatorEnableCmd struct {
	Operator string `arg:"" help:"E-mail address or id."`
}

func (c *operatorEnableCmd) Run(ctx context.Context, e *env) error {
	return switchOperator(ctx, e, c.Operator, true)
}

type operatorResetCmd struct {
	Operator string `arg:"" help:"E-mail address or id."`
}

// Run prints the link. It is the way back in for a last owner who has lost the
// password, the second factor, or patience with a throttled sign-in.
func (c *operatorResetCmd) Run(ctx context.Context, e *env) error {
	return e.with(ctx, existing, func(in *instance) error {
		var l api.NewLink
		if err := in.call(ctx, "POST", "/v1/operators/"+url.PathEscape(c.Operator)+"/reset", nil, &l); err != nil {
			return unknown(err, noOperator, c.Operator)
		}
		if strings.HasPrefix(l.Link, "/") { // nobody serves it now
			cfg, err := e.config(nil)
			if err != nil {
				return err
			}
			l.Link = app.DashboardURL(cfg) + l.Link
		}
		return e.print(l, func(w io.Writer) {
			_, _ = fmt.Fprintf(w, "%s\n", l.Link)
			_, _ = fmt.Fprintf(e.err, "Works once, until %s. Warder must be running to open it.\n", day(l.ExpiresAt))
		})
	})
}

const noOperator = "there is no operator %q: warder operator list names them"

// unknown says in plain words what does not exist, where that is the matter.
func unknown(err error, format, name string) error {
	if p, ok := errors.AsType[*problem](err); ok && p.Status == http.StatusNotFound {
		return fmt.Errorf(format, name)
	}
	return err
}

func switchOperator(ctx context.Context, e *env, who string, active bool) error {
	return e.with(ctx, existing, func(in *instance) error {
		var o api.OperatorView
		path := "/v1/operators/" + url.PathEscape(who)
		if err := in.call(ctx, "PATCH", path, map[string]bool{"active": active}, &o); err != nil {
			return unknown(err, noOperator, who)
		}
		return e.print(o, func(w io.Writer) {
			state := "disabled"
			if o.Active {
				state = "active"
			}
			_, _ = fmt.Fprintf(w, "%s is %s\n", o.Email, state)
		})
	})
}

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key and print it, once."`
	List   keyListCmd   `cmd:"" help:"List API keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke an API key."`
}

type keyCreateCmd struct {
	Name   string   `required:"" help:"Name, unique among live keys."`
	Scopes []string `required:"" name:"scope" aliases:"scopes" help:"Any of events, check, blocks, sessions, read, admin, separated by commas."`
	Can    []string `help:"What the application can do: challenge, mfa."`
	From   []string `help:"Prefixes from which the key may be used (default everywhere)."`
}

func (c *keyCreateCmd) Run(ctx context.Context, e *env) error {
	body := map[string]any{"name": c.Name, "scopes": c.Scopes}
	if len(c.Can) > 0 {
		body["can"] = c.Can
	}
	if len(c.From) > 0 {
		body["from"] = c.From
	}
	return e.with(ctx, fresh, func(in *instance) error {
		var k api.NewKey
		if err := in.call(ctx, "POST", "/v1/keys", body, &k); err != nil {
			return err
		}
		return e.print(k, func(w io.Writer) { _, _ = fmt.Fprintln(w, k.Token) })
	})
}

type keyListCmd struct{}

func (keyListCmd) Run(ctx context.Context, e *env) error {
	return e.with(ctx, existing, func(in *instance) error {
		var list api.Items[api.KeyView]
		if err := in.call(ctx, "GET", "/v1/keys", nil, &list); err != nil {
			return err
		}
		return e.print(list, func(w io.Writer) {
			table(w, func(row func(...string)) {
				row("NAME", "SCOPES", "CAN", "FROM", "CREATED", "LAST USED", "STATE", "ID")
				for _, k := range list.Items {
					state := "live"
					if k.RevokedAt != nil {
						state = "revoked"
					}
					row(k.Name, strings.Join(k.Scopes, ","), strings.Join(k.Can, ","), strings.Join(k.From, ","), day(k.Created), dayOf(k.LastUsed), state, k.ID)
				}
			})
		})
	})
}

type keyRevokeCmd struct {
	Key string `arg:"" help:"Name or id."`
}

func (c *keyRevokeCmd) Run(ctx context.Context, e *env) error {
	return e.with(ctx, existing, func(in *instance) error {
		if err := in.call(ctx, "DELETE", "/v1/keys/"+url.PathEscape(c.Key), nil, nil); err != nil {
			return unknown(err, "there is no live key %q: warder key list names them", c.Key)
		}
		return e.print(map[string]string{"revoked": c.Key}, func(w io.Writer) { _, _ = fmt.Fprintf(w, "key %s is revoked\n", c.Key) })
	})
}

func table(w io.Writer, fill func(row func(...string))) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fill(func(cells ...string) {
		for i, c := range cells {
			if c == "" {
				cells[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(tw, strings.Join(cells, "\t"))
	})
	_ = tw.Flush()
}

func dayOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return day(*t)
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}
