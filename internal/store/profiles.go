package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

// Address is what is known of an address key. In lists what went well may be a
// quarter of an hour behind, and the counts of all events are not given.
type Address struct {
	IP         netip.Prefix    `json:"ip"`
	FirstSeen  time.Time       `json:"first_seen"`
	LastSeen   time.Time       `json:"last_seen"`
	Events     int64           `json:"events,omitempty"`    // kept ones, counted up to 100,000
	Completed  int64           `json:"completed,omitempty"` // sign-ins among them
	Bad        int64           `json:"bad"`                 // events of severity warning and above
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
	Fraudulent bool         // only those that are marked
	IP         netip.Prefix // within it
}

const addressColumns = `address, first_seen, last_seen, bad, worst, blocks, suspicious, account, realm,
	event, fraudulent, note, marked_by, marked_at`

func scanAddress(scan func(...any) error) (Address, error) {
	var a Address
	var key []byte
	var first, last, worst, suspicious, fraudulent, marked int64
	err := scan(&key, &first, &last, &a.Bad, &worst, &a.Blocks, &suspicious, &a.Account,
		&a.Realm, &a.Event, &fraudulent, &a.Note, &a.MarkedBy, &marked)
	a.IP, a.FirstSeen, a.LastSeen, a.MarkedAt = bytesKey(key), instant(first), instant(last), instant(marked)
	a.Worst, a.Suspicious, a.Fraudulent = warder.Severity(worst), suspicious != 0, fraudulent != 0
	return a, translate(err)
}

// ListAddresses returns suspicious addresses, the last seen first (within a
// quarter of an hour by address), or all that anything bad ever came from, in
// their own order.
func (d *DB) ListAddresses(ctx context.Context, f AddressFilter, p Page) (List[Address], error) {
	c, err := parseCursor(cursorAddresses, p.Cursor)
	if err != nil {
		return List[Address]{}, err
	}
	w, order := &where{}, "address"
	if f.IP.IsValid() {
		w.within("address", widen(f.IP))
	}
	if f.Fraudulent {
		w.add("fraudulent = 1")
	}
	if f.Suspicious {
		order = "seen DESC, address"
		w.add("suspicious = 1")
		if c != nil {
			w.add("seen <= ?", c.A)
			w.add("seen < ? OR address > ?", c.A, []byte(c.S))
		}
	} else if c != nil {
		w.add("address > ?", []byte(c.S))
	}
	query, args := w.query("SELECT "+addressColumns+" FROM addresses", "ORDER BY "+order+" LIMIT ?", p.size()+1)
	var out []Address
	if err := d.read(ctx, query, args, func(scan func(...any) error) error {
		a, err := scanAddress(scan)
		out = append(out, a)
		return err
	}); err != nil {
		return List[Address]{}, fmt.Errorf("list addresses: %w", err)
	}
	return cut(out, p, func(a *Address) cursor {
		return cursor{Kind: cursorAddresses, A: micros(a.LastSeen) / usPerBucket, S: string(keyBytes(a.IP))}
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
	if out == nil { // it never did anything bad
		out = &Address{IP: warder.AddressKey(ip.Addr())}
		var at int64
		err := d.readDB.QueryRowContext(ctx, "SELECT time FROM events WHERE address = $1 ORDER BY time LIMIT 1",
			keyBytes(out.IP)).Scan(&at)
		if err != nil {
			return nil, translate(err)
		}
		out.FirstSeen = instant(at)
	}
	out.Events, out.Completed, err = d.tally(ctx, "address = $1", keyBytes(out.IP))
	if err != nil {
		return nil, fmt.Errorf("count events of %s: %w", ip, err)
	}
	var at int64
	var account, realm string
	err = d.readDB.QueryRowContext(ctx, `SELECT time, name, account, realm FROM events WHERE address = $1
		ORDER BY time DESC, seq DESC LIMIT 1`, keyBytes(out.IP)).Scan(&at, &out.Event, &account, &realm)
	if err = translate(err); err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read last event of %s: %w", ip, err)
	}
	if account != "" {
		out.Account, out.Realm = account, realm
	}
	if t := instant(at); t.After(out.LastSeen) {
		out.LastSeen = t
	}
	return out, nil
}

// countLimit is how many of the latest events of an address or an account are
// counted.
const countLimit = 100_000

// tally counts the events and the completed sign-ins of a condition that has an
// index, among the latest that there are.
func (d *DB) tally(ctx context.Context, condition string, args ...any) (events, completed int64, err error) {
	err = d.readDB.QueryRowContext(ctx, fmt.Sprintf(`SELECT count(*), coalesce(sum(CASE WHEN flags & 2 > 0 THEN 1 ELSE 0 END), 0)
		FROM (SELECT flags FROM events WHERE %s ORDER BY time DESC LIMIT %d) AS some`, condition, countLimit), args...).
		Scan(&events, &completed)
	return events, completed, translate(err)
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

// Account is what is known of an account, in lists as for Address.
type Account struct {
	Key        string       `json:"-"`
	Account    string       `json:"account"` // as last reported
	Realm      string       `json:"realm,omitempty"`
	FirstSeen  time.Time    `json:"first_seen"`
	LastSeen   time.Time    `json:"last_seen"`
	Events     int64        `json:"events,omitempty"`    // kept ones, counted up to 100,000
	Completed  int64        `json:"completed,omitempty"` // sign-ins among them
	Bad        int64        `json:"bad"`                 // events of severity warning and above
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

const accountColumns = `account_key, realm, account, first_seen, last_seen, bad, suspicious, address, event`

func scanAccount(scan func(...any) error) (Account, error) {
	var a Account
	var name string
	var first, last, suspicious int64
	var key []byte
	err := scan(&name, &a.Realm, &a.Account, &first, &last, &a.Bad, &suspicious, &key, &a.Event)
	a.Key, a.IP, a.Suspicious = joinKey(a.Realm, name), bytesKey(key), suspicious != 0
	a.FirstSeen, a.LastSeen = instant(first), instant(last)
	return a, translate(err)
}

// ListAccounts returns suspicious accounts, the last seen first (within a
// quarter of an hour by name), or all accounts, or those that begin with Q, by
// name.
func (d *DB) ListAccounts(ctx context.Context, f AccountFilter, p Page) (List[Account], error) {
	c, err := parseCursor(cursorAccounts, p.Cursor)
	if err != nil {
		return List[Account]{}, err
	}
	w, order := &where{}, "account_key, realm"
	if f.Realm != "" {
		w.add("(realm || '') = ?", f.Realm)
	}
	prefix := foldAccount(f.Q)
	if prefix != "" {
		first, end := prefixRange(prefix)
		w.add("account_key >= ? AND account_key < ?", first, end)
	}
	var name, realm string
	if c != nil {
		name, realm, _ = strings.Cut(c.S, "\x1f")
	}
	switch {
	case f.Suspicious && prefix == "":
		order = "seen DESC, account_key, realm"
		w.add("suspicious = 1")
		if c != nil {
			w.add("seen <= ?", c.A)
			w.add("seen < ? OR account_key > ? OR account_key = ? AND realm > ?", c.A, name, name, realm)
		}
	case c != nil:
		w.add("account_key >= ?", name)
		w.add("account_key > ? OR realm > ?", name, realm)
		fallthrough
	default:
		if f.Suspicious {
			w.add("(suspicious + 0) = 1")
		}
	}
	query, args := w.query("SELECT "+accountColumns+" FROM accounts", "ORDER BY "+order+" LIMIT ?", p.size()+1)
	var out []Account
	if err := d.read(ctx, query, args, func(scan func(...any) error) error {
		a, err := scanAccount(scan)
		out = append(out, a)
		return err
	}); err != nil {
		return List[Account]{}, fmt.Errorf("list accounts: %w", err)
	}
	return cut(out, p, func(a *Account) cursor {
		_, name := splitKey(a.Key)
		return cursor{Kind: cursorAccounts, A: micros(a.LastSeen) / usPerBucket, S: name + "\x1f" + a.Realm}
	}), nil
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
	out.Events, out.Completed, err = d.tally(ctx, "account_key = $1 AND account_key <> '' AND realm = $2", name, realm)
	if err != nil {
		return nil, fmt.Errorf("count events of account: %w", err)
	}
	var at int64
	var address []byte
	err = d.readDB.QueryRowContext(ctx, `SELECT time, name, address FROM events WHERE account_key = $1 AND account_key <> ''
		AND realm = $2 ORDER BY time DESC, seq DESC LIMIT 1`, name, realm).Scan(&at, &out.Event, &address)
	if err = translate(err); err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read last event of account: %w", err)
	}
	if p := bytesKey(address); p.IsValid() {
		out.IP = p
	}
	if t := instant(at); t.After(out.LastSeen) {
		out.LastSeen = t
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
