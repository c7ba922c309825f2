package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warderhq/warder/internal/operator"
)

const linkColumns = "id, kind, email, role, operator_id, operator_expires, made_by, created, expires"

func scanLink(scan func(...any) error) (operator.Link, error) {
	var l operator.Link
	var role string
	var ends, created, expires int64
	err := scan(&l.ID, &l.Kind, &l.Email, &role, &l.Operator, &ends, &l.By, &created, &expires)
	l.Role, l.OperatorExpires, l.Created, l.Expires = operator.Role(role), instant(ends), instant(created), instant(expires)
	return l, translate(err)
}

// CreateLink implements operator.LinkStore.
func (d *DB) CreateLink(ctx context.Context, l operator.Link, hash []byte, edit *operator.OperatorEdit, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		if err := t.mayChange(by); err != nil {
			return err
		}
		if err := t.exec("DELETE FROM operator_links WHERE email = $1", l.Email); err != nil {
			return translate(err)
		}
		if err := t.exec("INSERT INTO operator_links (hash, "+linkColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
			hash, l.ID, l.Kind, l.Email, string(l.Role), l.Operator, micros(l.OperatorExpires), l.By, micros(l.Created), micros(l.Expires)); err != nil {
			return fmt.Errorf("store a link: %w", translate(err))
		}
		if edit != nil {
			_, err := t.editOperator(l.Operator, *edit, by) // with its audit row
			return err
		}
		return translate(t.audit(operatorAudit(by, l.Email, nil, l)))
	})
}

// Links implements operator.LinkStore.
func (d *DB) Links(ctx context.Context, now time.Time) ([]operator.Link, error) {
	var out []operator.Link
	err := d.read(ctx, "SELECT "+linkColumns+" FROM operator_links WHERE expires > $1 ORDER BY created DESC, id", []any{micros(now)},
		func(scan func(...any) error) error {
			l, err := scanLink(scan)
			out = append(out, l)
			return err
		})
	return out, translate(err)
}

// LinkByHash implements operator.LinkStore.
func (d *DB) LinkByHash(ctx context.Context, hash []byte, now time.Time) (l operator.Link, err error) {
	found := false
	err = d.read(ctx, "SELECT "+linkColumns+" FROM operator_links WHERE hash = $1 AND expires > $2", []any{hash, micros(now)},
		func(scan func(...any) error) (err error) {
			l, err = scanLink(scan)
			found = err == nil
			return err
		})
	if err == nil && !found {
		err = operator.ErrBadLink
	}
	return l, translate(err)
}

// RevokeLink implements operator.LinkStore.
func (d *DB) RevokeLink(ctx context.Context, id string, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		if err := t.mayChange(by); err != nil {
			return err
		}
		l, err := scanLink(t.row("SELECT "+linkColumns+" FROM operator_links WHERE id = $1", id).Scan)
		if errors.Is(err, ErrNotFound) {
			return operator.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := t.exec("DELETE FROM operator_links WHERE id = $1", id); err != nil {
			return translate(err)
		}
		return translate(t.audit(operatorAudit(by, l.Email, l, nil)))
	})
}

// take uses a link up inside the transaction: of many at once one gets it.
func (t *tx) take(hash []byte, kind string, now time.Time) (operator.Link, error) {
	l, err := scanLink(t.row("SELECT "+linkColumns+" FROM operator_links WHERE hash = $1 AND kind = $2 AND expires > $3",
		hash, kind, micros(now)).Scan)
	if errors.Is(err, ErrNotFound) {
		return l, operator.ErrBadLink
	}
	if err != nil {
		return l, err
	}
	return l, translate(t.exec("DELETE FROM operator_links WHERE id = $1", l.ID))
}

// AcceptInvitation implements operator.LinkStore.
func (d *DB) AcceptInvitation(ctx context.Context, hash []byte, o operator.Operator, by operator.Change) error {
	return d.write(ctx, func(t *tx) error {
		if _, err := t.take(hash, operator.Invitation, by.At); err != nil {
			return err
		}
		return t.insertOperator(&o, by)
	})
}

// AcceptReset implements operator.LinkStore.
func (d *DB) AcceptReset(ctx context.Context, hash []byte, e operator.OperatorEdit, by operator.Change) (o operator.Operator, err error) {
	err = d.write(ctx, func(t *tx) error {
		l, err := t.take(hash, operator.Reset, by.At)
		if err != nil {
			return err
		}
		o, err = t.editOperator(l.Operator, e, by)
		return err
	})
	return o, err
}
