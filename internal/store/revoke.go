package store

import (
	"errors"

	"github.com/warderhq/warder/internal/guard"
)

// revoke ends sessions and writes them into the feed, in commit order. A
// session that was never opened is revoked when it is named.
func (b *batch) revoke(r *guard.Revoke) error {
	var ended []guard.Revoked
	collect := func(where string, args ...any) error {
		rows, err := b.query(`SELECT id, account, account_key, realm, latest FROM sessions
			WHERE revoked_at = 0 AND `+where+` ORDER BY id`, args...)
		return each(rows, err, func(scan func(...any) error) error {
			v := guard.Revoked{Reason: r.Reason, Time: r.At.UTC()}
			var latest []byte
			if err := scan(&v.Session, &v.Account, &v.AccountKey, &v.Realm, &latest); err != nil {
				return err
			}
			if p := bytesKey(latest); p.IsValid() {
				v.IP = keyText(p)
			}
			ended = append(ended, v)
			return nil
		})
	}
	if r.Session != "" {
		if err := collect("id = $1", r.Session); err != nil {
			return err
		}
		if len(ended) == 0 {
			known, err := b.revokedAlready(r.Session)
			if err != nil {
				return err
			}
			if !known {
				if err := b.exec(`INSERT INTO sessions (id, account, account_key, realm, agent, opened, last_used,
						revoked_at, reason, used) VALUES ($1, '', $2, '', '', $3, $3, 0, '', $4)`,
					r.Session, r.AccountKey, micros(r.At), micros(r.At)/usPerBucket); err != nil {
					return err
				}
				ended = append(ended, guard.Revoked{
					Session: r.Session, AccountKey: r.AccountKey, Reason: r.Reason, Time: r.At.UTC(),
				})
			}
		}
	} else if r.AccountKey != "" {
		if err := collect("account_key = $1", r.AccountKey); err != nil {
			return err
		}
		if r.Address.IsValid() { // both must match
			kept := ended[:0]
			for _, v := range ended {
				match, err := b.sessionWithin(v.Session, r)
				if err != nil {
					return err
				}
				if match {
					kept = append(kept, v)
				}
			}
			ended = kept
		}
	} else if r.Address.IsValid() {
		for _, s := range spans(widen(r.Address)) {
			if err := collect("id IN (SELECT id FROM sessions WHERE revoked_at = 0 AND opening BETWEEN $1 AND $2"+
				" UNION SELECT id FROM sessions WHERE revoked_at = 0 AND (opening IS NULL OR latest <> opening)"+
				" AND latest BETWEEN $1 AND $2)",
				s.first, s.last); err != nil {
				return err
			}
		}
	}
	for i := range ended {
		v := &ended[i]
		if err := b.exec("UPDATE sessions SET revoked_at = $1, reason = $2 WHERE id = $3",
			micros(r.At), r.Reason, v.Session); err != nil {
			return err
		}
		if err := b.row(`INSERT INTO revocations (session, account, account_key, realm, address, reason, at)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING seq`,
			v.Session, v.Account, v.AccountKey, v.Realm, textKey(v.IP), r.Reason, micros(r.At)).Scan(&v.Seq); err != nil {
			return err
		}
	}
	b.revoked = append(b.revoked, ended...)
	return nil
}

func (b *batch) revokedAlready(id string) (bool, error) {
	var at int64
	err := translate(b.row("SELECT revoked_at FROM sessions WHERE id = $1", id).Scan(&at))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (b *batch) sessionWithin(id string, r *guard.Revoke) (bool, error) {
	for _, s := range spans(widen(r.Address)) {
		var n int
		if err := b.row(`SELECT count(*) FROM sessions WHERE id = $1
			AND (opening BETWEEN $2 AND $3 OR latest BETWEEN $2 AND $3)`, id, s.first, s.last).Scan(&n); err != nil {
			return false, err
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}
