package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Address is what is known of an address key.
type Address struct {
	IP         netip.Prefix    `json:"ip"`
	FirstSeen  time.Time       `json:"first_seen"`
	LastSeen   time.Time       `json:"last_seen"`
	Events     int64           `json:"events"`
	Completed  int64           `json:"completed"` // sign-ins
	Bad        int64           `json:"bad"`       // events of severity warning and above
	Worst      warder.Severity `json:"worst"`
	Blocks     int64           `json:"blocks"` // automatic ones, ever
	Account    string          `json:"last_account,omitempty"`
	Realm      string          `json:"last_realm,omitempty"`
	Event      string          `json:"last_event,omitempty"`
	Suspicious bool            `json:"suspicious"` // it did something high, was blocked or is marked
	Fraudulent bool            `json:"fraudulent"`
	Note       string          `json:"note,omitempty"`
	MarkedBy   string          `json:"marked_by,omitempty"`
	MarkedAt   time.Time       `json:"marked_at,omitzero"`
}

// AddressFilter selects addresses.
type AddressFilter struct {
	Suspicious bool         // only those
	IP         netip.Prefix // within it
}

const addressColumns = `address, first_seen, last_seen, events, completed, bad, worst, blocks, suspicious, account, realm,
	event, fraudulent, note, marked_by, marked_at`

func scanAddress(scan func(...any) error) (Address, error) {
	var a Address
	var key []byte
	var first, last, worst, suspicious, fraudulent, marked int64
	err := scan(&key, &first, &last, &a.Events, &a.Completed, &a.Bad, &worst, &a.Blocks, &suspicious, &a.Account,
		&a.Realm, &a.Event, &fraudulent, &a.Note, &a.MarkedBy, &marked)
	a.IP, a.FirstSeen, a.LastSeen, a.MarkedAt = bytesKey(key), instant(first), instant(last), instant(marked)
	a.Worst, a.Suspicious, a.Fraudulent = warder.Severity(worst), suspicious != 0, fraudulent != 0
	return a, translate(err)
}

// ListAddresses returns addresses, the last seen first.
func (d *DB) ListAddresses(ctx context.Context, f AddressFilter, p Page) (List[Address], error) {
	c, err := parseCursor(cursorAddresses, p.Cursor)
	if err != nil {
		return List[Address]{}, err
	}
	var out []Address
	for _, suspicious := range []int{1, 0} { // each walks its part of the index
		if f.Suspicious && suspicious == 0 {
			continue
		}
		w := &where{}
		w.add("suspicious = ?", suspicious)
		if f.IP.IsValid() {
			_, last := bounds(f.IP)
			w.add("address BETWEEN ? AND ?", keyBytes(warder.AddressKey(f.IP.Addr())), last)
		}
		if c != nil {
			w.add("last_seen <= ?", c.A)
			w.add("last_seen < ? OR address < ?", c.A, []byte(c.S))
		}
		query, args := w.query("SELECT "+addressColumns+" FROM addresses", "ORDER BY last_seen DESC, address DESC LIMIT ?", p.size()+1)
		if err := d.read(ctx, query, args, func(scan func(...any) error) error {
			a, err := scanAddress(scan)
			out = append(out, a)
			return err
		}); err != nil {
			return List[Address]{}, fmt.Errorf("list addresses: %w", err)
		}
	}
	slices.SortFunc(out, func(a, b Address) int {
		if c := b.LastSeen.Compare(a.LastSeen); c != 0 {
			return c
		}
		return slices.Compare(keyBytes(b.IP), keyBytes(a.IP))
	})
	return cut(out[:min(len(out), p.size()+1)], p, func(a *Address) cursor {
		return cursor{Kind: cursorAddresses, A: micros(a.LastSeen), S: string(keyBytes(a.IP))}
	}), nil
}

// Address returns what is known of the address key that ip lies in, or
// ErrNotFound.
func (d *DB) Address(ctx context.Context, ip netip.Prefix) (*Address, error) {
	var out *Address
	err := d.read(ctx, "SELECT "+addressColumns+" FROM addresses WHERE address = $1",
		[]any{keyBytes(warder.AddressKey(ip.Addr()))}, func(scan func(...any) error) error {
			a, err := scanAddress(scan)
			out = &a
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read address %s: %w", ip, err)
	}
	if out == nil {
		return nil, ErrNotFound
	}
	return out, nil
}

// AccountsOf returns the accounts that completed sign-ins from an address key
// in the last 14 days, as Retain keeps them, latest first.
func (d *DB) AccountsOf(ctx context.Context, ip netip.Prefix, limit int) ([]guard.Good, error) {
	out := []guard.Good{}
	key := warder.AddressKey(ip.Addr())
	err := d.read(ctx, "SELECT account_key, at FROM good WHERE address = $1 ORDER BY at DESC LIMIT $2",
		[]any{keyBytes(key), Page{Limit: limit}.size()}, func(scan func(...any) error) error {
			g := guard.Good{Address: key}
			var at int64
			err := scan(&g.Account, &at)
			g.At = instant(at)
			out = append(out, g)
			return err
		})
	return out, err
}

// Account is what is known of an account.
type Account struct {
	Key        string       `json:"-"`
	Account    string       `json:"account"` // as last reported
	Realm      string       `json:"realm,omitempty"`
	FirstSeen  time.Time    `json:"first_seen"`
	LastSeen   time.Time    `json:"last_seen"`
	Events     int64        `json:"events"`
	Completed  int64        `json:"completed"` // sign-ins
	Bad        int64        `json:"bad"`       // events of severity warning and above
	IP         netip.Prefix `json:"last_ip,omitzero"`
	Event      string       `json:"last_event,omitempty"`
	Suspicious bool         `json:"suspicious"` // something high happened to it
}

// AccountFilter selects accounts.
type AccountFilter struct {
	Suspicious bool
	Realm      string
	Q          string // beginning of the account
}

const accountColumns = `account_key, realm, account, first_seen, last_seen, events, completed, bad, suspicious, address, event`

func scanAccount(scan func(...any) error) (Account, error) {
	var a Account
	var name string
	var first, last, suspicious int64
	var key []byte
	err := scan(&name, &a.Realm, &a.Account, &first, &last, &a.Events, &a.Completed, &a.Bad, &suspicious, &key, &a.Event)
	a.Key, a.IP, a.Suspicious = joinKey(a.Realm, name), bytesKey(key), suspicious != 0
	a.FirstSeen, a.LastSeen = instant(first), instant(last)
	return a, translate(err)
}

// ListAccounts returns accounts, the last seen first; those that begin with Q
// in the order of their names.
func (d *DB) ListAccounts(ctx context.Context, f AccountFilter, p Page) (List[Account], error) {
	c, err := parseCursor(cursorAccounts, p.Cursor)
	if err != nil {
		return List[Account]{}, err
	}
	var out []Account
	list := func(w *where, order string) error {
		if f.Realm != "" {
			w.add("realm = ?", f.Realm)
		}
		query, args := w.query("SELECT "+accountColumns+" FROM accounts", "ORDER BY "+order+" LIMIT ?", p.size()+1)
		return d.read(ctx, query, args, func(scan func(...any) error) error {
			a, err := scanAccount(scan)
			out = append(out, a)
			return err
		})
	}
	var name, realm string
	if c != nil {
		name, realm, _ = strings.Cut(c.S, "\x1f")
	}
	if prefix := foldAccount(f.Q); prefix != "" {
		w := &where{}
		first, end := prefixRange(prefix)
		w.add("account_key >= ? AND account_key < ?", first, end)
		if f.Suspicious {
			w.add("(suspicious + 0) = 1")
		}
		if c != nil {
			w.add("account_key >= ?", name)
			w.add("account_key > ? OR realm > ?", name, realm)
		}
		err = list(w, "account_key, realm")
	} else {
		for _, suspicious := range []int{1, 0} {
			if f.Suspicious && suspicious == 0 {
				continue
			}
			w := &where{}
			w.add("suspicious = ?", suspicious)
			if c != nil {
				w.add("last_seen <= ?", c.A)
				w.add("last_seen < ? OR account_key < ? OR account_key = ? AND realm < ?", c.A, name, name, realm)
			}
			if err = list(w, "last_seen DESC, account_key DESC, realm DESC"); err != nil {
				break
			}
		}
		slices.SortFunc(out, func(a, b Account) int {
			if c := b.LastSeen.Compare(a.LastSeen); c != 0 {
				return c
			}
			return strings.Compare(orderOf(&b), orderOf(&a))
		})
	}
	if err != nil {
		return List[Account]{}, fmt.Errorf("list accounts: %w", err)
	}
	return cut(out[:min(len(out), p.size()+1)], p, func(a *Account) cursor {
		return cursor{Kind: cursorAccounts, A: micros(a.LastSeen), S: orderOf(a)}
	}), nil
}

// orderOf is what accounts seen at the same instant are ordered by. The
// separator sorts below everything that a name may hold.
func orderOf(a *Account) string {
	_, name := splitKey(a.Key)
	return name + "\x1f" + a.Realm
}

// Account returns what is known of an account key, or ErrNotFound.
func (d *DB) Account(ctx context.Context, key string) (*Account, error) {
	realm, name := splitKey(key)
	var out *Account
	err := d.read(ctx, "SELECT "+accountColumns+" FROM accounts WHERE account_key = $1 AND realm = $2",
		[]any{name, realm}, func(scan func(...any) error) error {
			a, err := scanAccount(scan)
			out = &a
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	if out == nil {
		return nil, ErrNotFound
	}
	return out, nil
}

// KnownSources returns the sources known of an account key, latest first.
func (d *DB) KnownSources(ctx context.Context, key string, limit int) ([]guard.Known, error) {
	out := []guard.Known{}
	err := d.read(ctx, `SELECT account_key, source, realm, address, at FROM known WHERE account_key = $1
		ORDER BY at DESC, source LIMIT $2`, []any{key, Page{Limit: limit}.size()}, func(scan func(...any) error) error {
		k, err := scanKnown(scan)
		out = append(out, k)
		return err
	})
	return out, err
}

// Referenced is what a reference names: one of the two is set.
type Referenced struct {
	Block   *guard.Block   `json:"block,omitempty"`
	Refusal *guard.Refusal `json:"refusal,omitempty"`
}

// Reference finds the Block or the refusal that a person was told the reference
// of, in upper or lower case.
func (d *DB) Reference(ctx context.Context, ref string) (Referenced, error) {
	ref = strings.ToUpper(strings.TrimSpace(ref))
	if ref == "" {
		return Referenced{}, ErrNotFound
	}
	b, err := d.oneBlock(ctx, "reference = $1 AND reference <> ''", ref)
	if err == nil {
		return Referenced{Block: b}, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return Referenced{}, err
	}
	var r guard.Refusal
	var at int64
	var first, last []byte
	var why string
	var details *string
	err = d.readDB.QueryRowContext(ctx, `SELECT reference, time, ip_first, ip_last, account, why, rule, details
		FROM refusals WHERE reference = $1`, ref).Scan(&r.Reference, &at, &first, &last, &r.Account, &why, &r.Rule, &details)
	if err != nil {
		return Referenced{}, translate(err)
	}
	r.Time, r.Address, r.Why = instant(at), bytesPrefix(first, last), warder.Why(why)
	if details != nil {
		r.Details = []byte(*details)
	}
	return Referenced{Refusal: &r}, nil
}
