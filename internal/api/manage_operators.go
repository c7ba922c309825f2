package api

import (
	"context"
	"net/http"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/operator"
)

// OperatorView is a person who runs Warder.
type OperatorView struct {
	ID         string        `json:"id"`
	Email      string        `json:"email"`
	Name       string        `json:"name"`
	Role       operator.Role `json:"role"`
	Active     bool          `json:"active"`
	TOTP       bool          `json:"totp"`
	Passkeys   int           `json:"passkeys"`
	Created    time.Time     `json:"created"`
	LastSignIn *time.Time    `json:"last_sign_in,omitempty"`
	ExpiresAt  *time.Time    `json:"expires_at,omitempty" doc:"When the account ends; absent: never."`
	DisabledAt *time.Time    `json:"disabled_at,omitempty"`
}

func newOperatorView(o *operator.Operator) OperatorView {
	return OperatorView{
		ID: o.ID, Email: o.Email, Name: o.Name, Role: o.Role, Active: o.Active(time.Now()), TOTP: o.TOTP, Passkeys: o.Passkeys,
		Created: o.Created.UTC(), LastSignIn: maybe(o.LastSignIn), ExpiresAt: maybe(o.ExpiresAt), DisabledAt: maybe(o.DisabledAt),
	}
}

// NewOperatorBody is a person to add.
type NewOperatorBody struct {
	Email    string `json:"email" maxLength:"254"`
	Role     string `json:"role" enum:"owner,admin,analyst,viewer"`
	Password string `json:"password" maxLength:"256"`
}

// EditOperatorBody changes one thing.
type EditOperatorBody struct {
	Active    *bool   `json:"active,omitempty" doc:"The opposite of disabled."`
	Disabled  *bool   `json:"disabled,omitempty"`
	Password  *string `json:"password,omitempty" maxLength:"256" doc:"By key or socket only; in the dashboard, make a reset link."`
	Role      *string `json:"role,omitempty" enum:"owner,admin,analyst,viewer"`
	ExpiresAt *string `json:"expires_at,omitempty" doc:"When the account ends, RFC 3339; empty: never."`
}

func (s *Server) manageOperators() {
	register(s, "GET /v1/operators", "list-operators", "The people who run Warder", 0,
		func(ctx context.Context, _ *struct{}) (Items[OperatorView], error) {
			if s.opts.People == nil {
				return Items[OperatorView]{}, errNoPeople
			}
			list, err := s.opts.People.List(ctx)
			return Items[OperatorView]{Items: views(list, newOperatorView)}, err
		})
	register(s, "POST /v1/operators", "create-operator", "Add a person; in the dashboard, invite them instead", http.StatusCreated,
		func(ctx context.Context, in *body[NewOperatorBody]) (OperatorView, error) {
			if s.opts.People == nil {
				return OperatorView{}, errNoPeople
			}
			o, err := s.opts.People.Create(ctx, in.Body.Email, in.Body.Role, in.Body.Password, changeOf(ctx))
			if err != nil {
				return OperatorView{}, inBody(err)
			}
			return newOperatorView(&o), nil
		})
	register(s, "PATCH /v1/operators/{id}", "edit-operator", "Change role, activity or end of a person, or give a new password; by id or e-mail address", 0,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"254"`
			Body EditOperatorBody
		},
		) (OperatorView, error) {
			return s.editOperator(ctx, in.ID, &in.Body)
		})
	register(s, "POST /v1/operators/{id}/reset", "reset-operator", "Make a link by which a person sets a new password; the second factor is removed", 0,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"254"`
		},
		) (NewLink, error) {
			return s.resetOperator(ctx, in.ID)
		})
	registerRaw(s, "DELETE /v1/operators/{id}/sessions", "end-operator-sessions", "Sign a person out everywhere", http.StatusNoContent,
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"254"`
		},
		) (*struct{}, error) {
			if s.opts.People == nil {
				return nil, errNoPeople
			}
			o, err := s.opts.People.Find(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			_, err = s.opts.People.EndSessions(ctx, o.ID, "", changeOf(ctx))
			return nil, err
		})
}

// editOperator changes an operator. A password is for keys and the socket:
// nobody who is signed in should know that of somebody else.
func (s *Server) editOperator(ctx context.Context, id string, in *EditOperatorBody) (OperatorView, error) {
	if s.opts.People == nil {
		return OperatorView{}, errNoPeople
	}
	edit := operator.Edit{Role: in.Role, Disabled: in.Disabled}
	var f warder.Faults
	if in.Active != nil {
		if in.Disabled != nil {
			f.Add("body.active", "says the same as disabled: send one of them")
		}
		off := !*in.Active
		edit.Disabled = &off
	}
	if in.ExpiresAt != nil {
		var at time.Time
		if *in.ExpiresAt != "" {
			var err error
			if at, err = time.Parse(time.RFC3339, *in.ExpiresAt); err != nil {
				f.Add("body.expires_at", "must be a time such as 2026-01-02T15:04:05Z, or empty")
			} else if !at.After(time.Now()) {
				f.Add("body.expires_at", "must be in the future: to end an account now, disable it")
			}
		}
		edit.Expires = &at
	}
	changes := edit.Role != nil || edit.Disabled != nil || edit.Expires != nil
	switch {
	case !changes && in.Password == nil:
		f.Add("body", "must change something: role, disabled, expires_at or password")
	case changes && in.Password != nil:
		f.Add("body.password", "must be changed by itself")
	}
	if err := f.Err(); err != nil {
		return OperatorView{}, err
	}
	if in.Password == nil {
		o, err := s.opts.People.Edit(ctx, id, edit, changeOf(ctx))
		return newOperatorView(&o), inBody(err)
	}
	if callerOf(ctx).operator != nil {
		return OperatorView{}, newProblem(http.StatusForbidden, "Make a reset link instead: nobody should know the password of somebody else.")
	}
	if err := s.opts.People.SetPassword(ctx, id, *in.Password, changeOf(ctx)); err != nil {
		return OperatorView{}, inBody(err)
	}
	o, err := s.opts.People.Find(ctx, id)
	return newOperatorView(&o), err
}

func (s *Server) resetOperator(ctx context.Context, id string) (NewLink, error) {
	if s.opts.People == nil {
		return NewLink{}, errNoPeople
	}
	by := changeOf(ctx)
	o, err := s.opts.People.Find(ctx, id)
	if err != nil {
		return NewLink{}, err
	}
	if by.ID == o.ID {
		return NewLink{}, newProblem(http.StatusConflict, "Change your own password in your profile.")
	}
	token, l, err := s.opts.People.Reset(ctx, o.ID, by)
	if err != nil {
		return NewLink{}, err
	}
	return s.newLink(ctx, token, &l), nil
}
