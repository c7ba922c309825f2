package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// Key is an API key. Only the SHA-256 of its secret is stored.
type Key struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Hash      [32]byte       `json:"-"`
	Scopes    []string       `json:"scopes"`
	Prefixes  []netip.Prefix `json:"prefixes,omitempty"` // where it may be used from; empty: anywhere
	Can       []string       `json:"can,omitempty"`      // what its application can do
	Created   time.Time      `json:"created"`
	LastUsed  time.Time      `json:"last_used,omitzero"`
	RevokedAt time.Time      `json:"revoked_at,omitzero"` // zero: live
}

const keyColumns = "id, name, hash, scopes, prefixes, can, created, last_used, revoked_at"

func scanKey(scan func(...any) error) (*Key, error) {
	var k Key
	var sum []byte
	var scopes, prefixes, can string
	var created, used, revoked int64
	if err := scan(&k.ID, &k.Name, &sum, &scopes, &prefixes, &can, &created, &used, &revoked); err != nil {
		return nil, translate(err)
	}
	copy(k.Hash[:], sum)
	if err := errors.Join(json.Unmarshal([]byte(scopes), &k.Scopes), json.Unmarshal([]byte(prefixes), &k.Prefixes),
		json.Unmarshal([]byte(can), &k.Can)); err != nil {
		return nil, fmt.Errorf("%w: key %s: %w", ErrCorrupt, k.ID, err)
	}
	k.Created, k.LastUsed, k.RevokedAt = instant(created), instant(used), instant(revoked)
	return &k, nil
}

// CreateKey stores a key; ErrConflict if a live key has its name.
func (d *DB) CreateKey(ctx context.Context, k Key, audit guard.Audit) error {
	return d.write(ctx, func(t *tx) error {
		if err := t.exec(`INSERT INTO api_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)`,
			k.ID, k.Name, k.Hash[:], jsonText(k.Scopes), jsonText(k.Prefixes), jsonText(k.Can), micros(k.Created)); err != nil {
			return fmt.Errorf("create key %q: %w", k.Name, translate(err))
		}
		return translate(t.audit(&audit))
	})
}

// Keys returns all keys, also revoked ones, oldest first.
func (d *DB) Keys(ctx context.Context) ([]Key, error) {
	out := []Key{}
	err := d.read(ctx, "SELECT "+keyColumns+" FROM api_keys ORDER BY created, id", nil, func(scan func(...any) error) error {
		k, err := scanKey(scan)
		if err == nil {
			out = append(out, *k)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return out, nil
}

// KeyByHash finds a live key by the SHA-256 of its secret, or ErrNotFound.
func (d *DB) KeyByHash(ctx context.Context, hash [32]byte) (*Key, error) {
	var out *Key
	err := d.read(ctx, "SELECT "+keyColumns+" FROM api_keys WHERE hash = $1 AND revoked_at = 0", []any{hash[:]},
		func(scan func(...any) error) (err error) {
			out, err = scanKey(scan)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if out == nil {
		return nil, ErrNotFound
	}
	return out, nil
}

// RevokeKey revokes a live key by its id or name; ErrNotFound if there is none.
// The invitations and resets that it made end with it: whoever had it must not
// come back through them.
func (d *DB) RevokeKey(ctx context.Context, idOrName string, at time.Time, audit guard.Audit) error {
	return d.write(ctx, func(t *tx) error {
		if err := t.exec(`DELETE FROM operator_links WHERE made_by IN
			(SELECT 'key:' || name FROM api_keys WHERE revoked_at = 0 AND (id = $1 OR name = $1))`, idOrName); err != nil {
			return fmt.Errorf("revoke key %q: take links back: %w", idOrName, translate(err))
		}
		n, err := t.affect("UPDATE api_keys SET revoked_at = $1 WHERE revoked_at = 0 AND (id = $2 OR name = $2)",
			micros(at), idOrName)
		if err != nil {
			return fmt.Errorf("revoke key %q: %w", idOrName, translate(err))
		}
		if n == 0 {
			return ErrNotFound
		}
		return translate(t.audit(&audit))
	})
}

// TouchKey notes when a key was used last. It leaves no audit row.
func (d *DB) TouchKey(ctx context.Context, id string, at time.Time) error {
	return d.write(ctx, func(t *tx) error {
		return translate(t.exec("UPDATE api_keys SET last_used = $1 WHERE id = $2 AND last_used < $1", micros(at), id))
	})
}
