package store

import (
	"encoding/json"
	"fmt"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/guard"
)

const blockColumns = `id, reference, ip_first, ip_last, account, source, realm, session, origin, rule, event, event_seq,
	reason, made_by, from_at, until_at, cut, observed, good, threshold, span, lifted_at, ended_at, lifted_by, verdict,
	lift_reason, hits, last_hit, reviewed_by, reviewed_at, note`

const insertBlock = `INSERT INTO blocks (` + blockColumns + `, plain) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
	$12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)`

// blocks writes what a record says of Blocks. It returns the evidence of the
// new ones by id and leaves the Blocks of the caller untouched: decisions are
// being taken by them meanwhile.
func (b *batch) blocks(r *guard.Record) (map[string][]guard.Evidence, error) {
	var evidence map[string][]guard.Evidence
	for _, k := range r.Blocks {
		first, last := bounds(k.Subject.IP)
		if err := b.exec(insertBlock, k.ID, k.Reference, first, last, k.Subject.Account, k.Subject.Source,
			k.Subject.Realm, k.Subject.Session, k.Origin, k.Rule, k.EventName, k.EventSeq, k.Reason, k.By,
			micros(k.From), micros(k.Until), k.Cut, flag(k.Observed), k.GoodAccounts, k.Threshold, k.Window,
			micros(k.LiftedAt), micros(k.EndedAt), k.LiftedBy, k.Verdict, k.LiftReason, k.Hits, micros(k.LastHit),
			k.ReviewedBy, micros(k.ReviewedAt), k.Note, flag(k.Subject == warder.Subject{IP: k.Subject.IP})); err != nil {
			return nil, err
		}
		copied := k.Evidence
		if len(k.Members) > 0 {
			var err error
			if copied, err = b.evidence(k.Members); err != nil {
				return nil, err
			}
		}
		if len(copied) > 0 || len(k.Also) > 0 {
			if err := b.exec("INSERT INTO block_evidence (block_id, also, evidence) VALUES ($1, $2, $3)",
				k.ID, jsonText(k.Also), jsonText(copied)); err != nil {
				return nil, err
			}
			if evidence == nil {
				evidence = make(map[string][]guard.Evidence)
			}
			evidence[k.ID] = copied
		}
		b.blocked(k)
	}
	for i := range r.BlockEnds {
		if err := b.blockEnd(&r.BlockEnds[i]); err != nil {
			return nil, err
		}
	}
	for _, h := range r.BlockHits {
		if err := b.exec(`UPDATE blocks SET hits = hits + $1,
			last_hit = CASE WHEN last_hit < $2 THEN $3 ELSE last_hit END WHERE id = $4`,
			h.N, micros(h.Last), micros(h.Last), h.ID); err != nil {
			return nil, err
		}
	}
	for _, e := range r.BlockEdits {
		if e.Note != nil {
			if err := b.exec("UPDATE blocks SET note = $1 WHERE id = $2", *e.Note, e.ID); err != nil {
				return nil, err
			}
		}
		if e.Reviewed != nil {
			at := micros(e.At)
			if *e.Reviewed == "" {
				at = 0
			}
			if err := b.exec("UPDATE blocks SET reviewed_by = $1, reviewed_at = $2 WHERE id = $3",
				*e.Reviewed, at, e.ID); err != nil {
				return nil, err
			}
		}
		if e.Until != nil {
			// The engine does not put a Block in force again that ended meanwhile.
			if err := b.exec("UPDATE blocks SET until_at = $1 WHERE id = $2 AND ended_at = 0 AND lifted_at = 0",
				micros(*e.Until), e.ID); err != nil {
				return nil, err
			}
		}
	}
	return evidence, nil
}

func (b *batch) blockEnd(e *guard.BlockEnd) error {
	if e.By == "" {
		return b.exec("UPDATE blocks SET ended_at = $1 WHERE id = $2 AND ended_at = 0 AND lifted_at = 0", micros(e.At), e.ID)
	}
	return b.exec(`UPDATE blocks SET lifted_at = $1, lifted_by = $2, verdict = $3, lift_reason = $4
		WHERE id = $5 AND lifted_at = 0`, micros(e.At), e.By, e.Verdict, e.Reason, e.ID)
}

// lists writes the trusted list, clearings, marks and refusals of a record.
func (b *batch) lists(r *guard.Record) error {
	for i := range r.Trusted {
		x := &r.Trusted[i]
		first, last := bounds(x.IP)
		if err := b.exec(`INSERT INTO trusted (id, ip_first, ip_last, note, made_by, from_at, until_at, ended)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
			x.ID, first, last, x.Note, x.By, micros(x.From), micros(x.Until)); err != nil {
			return err
		}
	}
	for _, id := range r.TrustedEnds {
		if err := b.exec("UPDATE trusted SET ended = 1 WHERE id = $1", id); err != nil {
			return err
		}
	}
	for i := range r.Clears {
		if err := b.clear(&r.Clears[i]); err != nil {
			return err
		}
	}
	for _, m := range r.Marks {
		if err := b.flush(); err != nil {
			return err
		}
		if err := b.exec(`INSERT INTO addresses (address, first_seen, last_seen, seen, bad, worst, suspicious, account,
				realm, event, fraudulent, note, marked_by, marked_at, day, day_bad, day_failed, day_last)
			VALUES ($1, $2, $2, $3, 0, 0, $4, '', '', '', $4, $5, $6, $2, $7, 0, 0, 0)
			ON CONFLICT (address) DO UPDATE SET fraudulent = excluded.fraudulent, note = excluded.note,
				marked_by = excluded.marked_by, marked_at = excluded.marked_at,
				suspicious = CASE WHEN excluded.fraudulent = 1 OR addresses.worst >= 2 OR addresses.blocks > 0
					THEN 1 ELSE 0 END`,
			keyBytes(m.Address), micros(m.At), micros(m.At)/usPerBucket, flag(m.Fraudulent), m.Note, m.By,
			micros(m.At)/usPerDay); err != nil {
			return err
		}
		b.touch(m.Address, m.At)
	}
	for i := range r.Refusals {
		x := &r.Refusals[i]
		first, last := bounds(x.Address)
		if err := b.exec(`INSERT INTO refusals (reference, time, ip_first, ip_last, account, why, rule, details)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (reference) DO UPDATE SET time = excluded.time, ip_first = excluded.ip_first,
				ip_last = excluded.ip_last, account = excluded.account, why = excluded.why, rule = excluded.rule,
				details = excluded.details`,
			x.Reference, micros(x.Time), first, last, x.Account, string(x.Why), x.Rule, optional(x.Details)); err != nil {
			return err
		}
	}
	return nil
}

// clear journals a clearing. Clearing an address drops its history too.
func (b *batch) clear(c *guard.Clear) error {
	if err := b.exec("INSERT INTO clears (seq, at, selection, restart) VALUES ($1, $2, $3, $4)",
		c.Seq, micros(c.At), jsonText(c.Selection), flag(c.RestartMetrics)); err != nil {
		return err
	}
	if c.RestartMetrics {
		if err := b.exec("UPDATE meta SET value = $1 WHERE name = $2", micros(c.At), metaShown); err != nil {
			return err
		}
	}
	if s := c.Selection; s.Address.IsValid() && s.Rule == "" && s.Account == "" && s.Key == nil {
		// What arrived before must be counted before.
		if err := b.flush(); err != nil {
			return err
		}
		day := micros(c.At) / usPerDay
		address := warder.AddressKey(s.Address.Addr())
		key := keyBytes(address)
		b.touch(address, c.At)
		return b.exec(`UPDATE addresses SET cleared_day = $1,
			cleared_bad = CASE WHEN day = $1 THEN day_failed ELSE 0 END WHERE address = $2`, day, key)
	}
	return nil
}

func (b *batch) alert(a *guard.Alert, evidence map[string][]guard.Evidence) error {
	out := *a
	if out.Block != nil {
		k := *out.Block
		if e, ok := evidence[k.ID]; ok {
			k.Evidence = e
		} else if len(k.Evidence) == 0 {
			e, err := b.evidence(k.Members)
			if err != nil {
				return err
			}
			k.Evidence = e
		}
		out.Block = &k
	}
	if len(out.Members) > 0 {
		e, err := b.evidence(out.Members)
		if err != nil {
			return err
		}
		out.Evidence = e
	} else if len(out.Evidence) == 0 && out.Block != nil {
		out.Evidence = out.Block.Evidence
	}
	return b.addAlert(&out)
}

func (t *tx) addAlert(a *guard.Alert) error {
	payload, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write alert %q: %w", a.ID, err)
	}
	return t.exec("INSERT INTO alerts (id, time, payload) VALUES ($1, $2, $3)", a.ID, micros(a.Time), string(payload))
}

// shard stores a part of the checkpoint; without data only its number is
// renewed, because nothing changed in it.
func (b *batch) shard(s *guard.Shard) error {
	if s.Data == nil {
		return b.exec("UPDATE shards SET seq = $1 WHERE n = $2", s.Seq, s.Index)
	}
	return b.exec(`INSERT INTO shards (n, seq, data) VALUES ($1, $2, $3)
		ON CONFLICT (n) DO UPDATE SET seq = excluded.seq, data = excluded.data`, s.Index, s.Seq, s.Data)
}
