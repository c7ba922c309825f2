package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// The audit trail is a chain: the hash of a row is an HMAC-SHA256, under a key
// that is kept outside the database, of the hash before and of every field
// with its length. Who can write the database but has no key can neither
// change, delete, insert nor swap a row unseen. Cutting off the tail leaves a
// valid chain, so the head is kept in a small file beside the database as well,
// the anchor. The anchor is written when the commit is on the disk: after a crash
// it may lag behind, it never runs ahead.

// auditHead is the last row of the trail.
type auditHead struct {
	seq  int64
	hash [sha256.Size]byte
}

// chain computes the hashes of rows.
type chain struct {
	mac hash.Hash
	buf []byte
}

func newChain(key []byte) *chain { return &chain{mac: hmac.New(sha256.New, key)} }

// next is the hash of a row that follows the given one. A missing JSON differs
// from an empty one.
func (c *chain) next(prev [sha256.Size]byte, seq int64, a *guard.Audit) (sum [sha256.Size]byte) {
	b := append(c.buf[:0], "warder audit row 1\x00"...)
	b = append(b, prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	b = binary.BigEndian.AppendUint64(b, uint64(micros(a.Time)))
	for _, s := range [...]string{a.Actor, a.Action, a.Target, a.Reason, a.From, string(a.Before), string(a.After)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	c.buf = b
	return c.sum()
}

func (c *chain) sum() (sum [sha256.Size]byte) {
	c.mac.Reset()
	c.mac.Write(c.buf)
	c.mac.Sum(sum[:0])
	return sum
}

// seal authenticates a head where it stands outside the chain.
func (c *chain) seal(what string, h auditHead, at int64) [sha256.Size]byte {
	b := append(c.buf[:0], what...)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(h.seq))
	b = append(b, h.hash[:]...)
	c.buf = binary.BigEndian.AppendUint64(b, uint64(at))
	return c.sum()
}

// audit appends a row to the trail within the transaction.
func (t *tx) audit(a *guard.Audit) error {
	seq := t.head.seq + 1
	sum := newChain(t.d.key).next(t.head.hash, seq, a)
	if err := t.exec(`INSERT INTO audit (seq, time, actor, action, target, reason, from_addr, before, after, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, seq, micros(a.Time), a.Actor, a.Action, a.Target, a.Reason,
		a.From, optional(a.Before), optional(a.After), sum[:]); err != nil {
		return err
	}
	t.head = auditHead{seq, sum}
	return nil
}

// AppendAudit writes a row of the trail by itself, for changes that leave no
// other trace in the database.
func (d *DB) AppendAudit(ctx context.Context, a guard.Audit) error {
	return d.write(ctx, func(t *tx) error { return translate(t.audit(&a)) })
}

// openAudit finds the head and compares it with the anchor. What does not fit
// is itself put on record, behind the number that the anchor names, so that
// nothing written later can cover it up.
func (d *DB) openAudit(ctx context.Context) error {
	head, err := d.readHead(ctx)
	if err != nil {
		return err
	}
	d.head = head
	anchor, err := d.readAnchor()
	var problem string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if head.seq == 0 {
			d.writeAnchor(head)
			return nil
		}
		problem = anchorProblem + "missing"
	case err != nil:
		problem = anchorProblem + "unreadable"
	case anchor.seq > head.seq:
		problem = "audit.truncated"
		d.head.seq = anchor.seq
	case !d.holds(ctx, anchor):
		problem = anchorProblem + "mismatch"
	default:
		return nil
	}
	d.log.Warn("audit trail does not fit its anchor", "problem", problem, "head", head.seq, "anchor", anchor.seq)
	return d.AppendAudit(ctx, guard.Audit{
		Time: time.Now(), Actor: "warder", Action: problem,
		Reason: fmt.Sprintf("the trail ended with row %d, its anchor says %d", head.seq, anchor.seq),
	})
}

// anchorProblem is how the actions begin by which a start puts on record that
// the anchor is not as it was left.
const anchorProblem = "audit.anchor_"

// readHead is the last row, or where retention left off if there is none.
func (d *DB) readHead(ctx context.Context) (auditHead, error) {
	var h auditHead
	var sum []byte
	err := translate(d.readDB.QueryRowContext(ctx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").Scan(&h.seq, &sum))
	if errors.Is(err, ErrNotFound) {
		err = translate(d.readDB.QueryRowContext(ctx, "SELECT seq, hash FROM audit_checkpoint").Scan(&h.seq, &sum))
	}
	if errors.Is(err, ErrNotFound) {
		return auditHead{}, nil
	}
	copy(h.hash[:], sum)
	return h, err
}

// holds reports whether the trail has the row of an anchor, or had it before
// retention.
func (d *DB) holds(ctx context.Context, h auditHead) bool {
	if h.seq == 0 {
		return true
	}
	var sum []byte
	err := translate(d.readDB.QueryRowContext(ctx, "SELECT hash FROM audit WHERE seq = $1", h.seq).Scan(&sum))
	if errors.Is(err, ErrNotFound) {
		var upTo int64
		err = translate(d.readDB.QueryRowContext(ctx, "SELECT seq FROM audit_checkpoint").Scan(&upTo))
		return err == nil && h.seq <= upTo
	}
	return err == nil && hmac.Equal(sum, h.hash[:])
}

func (d *DB) anchorPath() string { return d.path + ".anchor" }

// writeAnchor is called by one at a time, when the row is on the disk. The line
// has one length and fits a sector, so a crash leaves the old one or the new one.
func (d *DB) writeAnchor(head auditHead) {
	mac := newChain(d.key).seal("warder audit anchor 1", head, 0)
	line := fmt.Sprintf("%020d %x %x\n", head.seq, head.hash, mac)
	f, err := os.OpenFile(d.anchorPath(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteAt([]byte(line), 0)
		if head.seq <= 1 { // so that a new file is never found empty
			err = errors.Join(err, f.Sync(), syncDir(d.path))
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		// The commit stands. A stale anchor only sees a truncation later.
		d.log.Error("write audit anchor", "error", err)
	}
}

func (d *DB) readAnchor() (auditHead, error) {
	text, err := os.ReadFile(d.anchorPath())
	if err != nil {
		return auditHead{}, err
	}
	return parseAnchor(d.key, string(text))
}

func parseAnchor(key []byte, text string) (auditHead, error) {
	var h auditHead
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return h, errors.New("anchor of the audit trail is not readable")
	}
	if _, err := fmt.Sscanf(fields[0], "%d", &h.seq); err != nil {
		return auditHead{}, fmt.Errorf("anchor of the audit trail: %w", err)
	}
	sum, err := hex.DecodeString(fields[1])
	mac, err2 := hex.DecodeString(fields[2])
	if err := errors.Join(err, err2); err != nil || len(sum) != len(h.hash) {
		return auditHead{}, errors.New("anchor of the audit trail is not readable")
	}
	copy(h.hash[:], sum)
	if want := newChain(key).seal("warder audit anchor 1", h, 0); !hmac.Equal(want[:], mac) {
		return auditHead{}, errors.New("anchor of the audit trail was not written with this key")
	}
	return h, nil
}

// AuditReport is the result of VerifyAudit.
type AuditReport struct {
	OK    bool   `json:"ok"`
	Rows  int64  `json:"rows"`            // rows read
	First int64  `json:"first"`           // number of the first row kept
	Last  int64  `json:"last"`            // number of the last row
	Bad   int64  `json:"bad,omitempty"`   // number of the first row that is wrong or missing
	Fault string `json:"fault,omitempty"` // what is the matter with it
	// Doubts are rows by which a start put on record that the anchor was gone or
	// wrong: what is there is genuine, but rows just before could have been cut
	// off. The latest maxDoubts of them.
	Doubts []string `json:"doubts,omitempty" doc:"What no chain can exclude: a start did not find the anchor, so that rows before it could have been cut off."`
}

const maxDoubts = 20

// VerifyAudit recomputes the whole trail and names the first row that was
// changed, inserted or deleted. It reads row by row.
func (d *DB) VerifyAudit(ctx context.Context) (AuditReport, error) {
	// The anchor is read first: rows appended meanwhile come after it.
	anchor, anchorErr := d.readAnchor()
	c := newChain(d.key)
	var r AuditReport
	prev, fault, err := d.verifyCheckpoint(ctx, c)
	if err != nil {
		return r, err
	}
	if fault != "" {
		return AuditReport{Bad: prev.seq + 1, Fault: fault}, nil
	}
	atAnchor := prev.seq >= anchor.seq
	errStop := errors.New("stop")
	bad := func(seq int64, format string, args ...any) error {
		r.Bad, r.Fault = seq, fmt.Sprintf(format, args...)
		return errStop
	}
	err = d.read(ctx, `SELECT seq, time, actor, action, target, reason, from_addr, before, after, hash
		FROM audit ORDER BY seq`, nil, func(scan func(...any) error) error {
		row, sum, err := scanAudit(scan)
		if err != nil {
			return err
		}
		if r.Rows == 0 {
			r.First = row.Seq
		}
		r.Rows++
		r.Last = row.Seq
		if row.Seq != prev.seq+1 {
			if row.Seq <= prev.seq {
				return bad(row.Seq, "row %d should have been deleted with those before %d", row.Seq, prev.seq+1)
			}
			return bad(prev.seq+1, "rows %d to %d are missing", prev.seq+1, row.Seq-1)
		}
		want := c.next(prev.hash, row.Seq, &row.Audit)
		if !hmac.Equal(want[:], sum) {
			return bad(row.Seq, "row %d was changed, or was not written with this key", row.Seq)
		}
		if row.Seq == anchor.seq {
			if want != anchor.hash {
				return bad(row.Seq, "row %d is not the one that the anchor names", row.Seq)
			}
			atAnchor = true
		}
		prev = auditHead{row.Seq, want}
		if strings.HasPrefix(row.Action, anchorProblem) {
			r.Doubts = append(r.Doubts, fmt.Sprintf("row %d, %s: %s at that start, so rows before it could have been cut off",
				row.Seq, row.Time.UTC().Format(time.RFC3339), strings.ReplaceAll(strings.TrimPrefix(row.Action, "audit."), "_", " ")))
			r.Doubts = r.Doubts[max(0, len(r.Doubts)-maxDoubts):]
		}
		return nil
	})
	switch {
	case errors.Is(err, errStop):
		return r, nil
	case err != nil:
		return r, fmt.Errorf("verify audit trail: %w", err)
	case errors.Is(anchorErr, fs.ErrNotExist):
		if prev.seq > 0 {
			r.Bad, r.Fault = prev.seq, "the anchor beside the database is missing, so rows after the last could have been cut off"
		}
	case anchorErr != nil:
		r.Bad, r.Fault = prev.seq, anchorErr.Error()
	case !atAnchor:
		r.Bad, r.Fault = prev.seq+1, fmt.Sprintf("rows %d to %d were cut off", prev.seq+1, anchor.seq)
	}
	r.OK = r.Fault == ""
	return r, nil
}

// verifyCheckpoint returns where the rest of the trail continues from.
func (d *DB) verifyCheckpoint(ctx context.Context, c *chain) (auditHead, string, error) {
	var h auditHead
	var sum, mac []byte
	var at int64
	err := translate(d.readDB.QueryRowContext(ctx, "SELECT seq, hash, time, mac FROM audit_checkpoint").Scan(&h.seq, &sum, &at, &mac))
	if errors.Is(err, ErrNotFound) {
		return auditHead{}, "", nil
	}
	if err != nil {
		return h, "", fmt.Errorf("read audit checkpoint: %w", err)
	}
	copy(h.hash[:], sum)
	if want := c.seal("warder audit checkpoint 1", h, at); !hmac.Equal(want[:], mac) {
		return h, fmt.Sprintf("the checkpoint that retention left at row %d was changed", h.seq), nil
	}
	return h, "", nil
}

// AuditRow is a row of the trail with its number.
type AuditRow struct {
	Seq int64 `json:"seq"`
	guard.Audit
}

func scanAudit(scan func(...any) error) (AuditRow, []byte, error) {
	var (
		r             AuditRow
		at            int64
		before, after *string
		sum           []byte
	)
	if err := scan(&r.Seq, &at, &r.Actor, &r.Action, &r.Target, &r.Reason, &r.From, &before, &after, &sum); err != nil {
		return r, nil, translate(err)
	}
	r.Time = instant(at)
	if before != nil {
		r.Before = json.RawMessage(*before)
	}
	if after != nil {
		r.After = json.RawMessage(*after)
	}
	return r, sum, nil
}

// AuditFilter selects rows of the trail.
type AuditFilter struct {
	From, To time.Time // From <= time < To
	Actor    string
	Action   string
	Target   string
}

func (d *DB) auditPage(ctx context.Context, f AuditFilter, c *cursor, limit int) ([]AuditRow, error) {
	w := &where{}
	if !f.From.IsZero() {
		w.add("time >= ?", micros(f.From))
	}
	if !f.To.IsZero() {
		w.add("time < ?", micros(f.To))
	}
	if f.Actor != "" {
		w.add("actor = ?", f.Actor)
	}
	if f.Action != "" {
		w.add("action = ?", f.Action)
	}
	if f.Target != "" {
		w.add("target = ?", f.Target)
	}
	if c != nil {
		w.add("seq < ?", c.A)
	}
	query, args := w.query("SELECT seq, time, actor, action, target, reason, from_addr, before, after, hash FROM audit",
		"ORDER BY seq DESC LIMIT ?", limit)
	var out []AuditRow
	err := d.read(ctx, query, args, func(scan func(...any) error) error {
		r, _, err := scanAudit(scan)
		out = append(out, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list audit trail: %w", err)
	}
	return out, nil
}

// ListAudit returns a part of the trail, latest first.
func (d *DB) ListAudit(ctx context.Context, f AuditFilter, p Page) (List[AuditRow], error) {
	c, err := parseCursor(cursorAudit, p.Cursor)
	if err != nil {
		return List[AuditRow]{}, err
	}
	rows, err := d.auditPage(ctx, f, c, p.size()+1)
	if err != nil {
		return List[AuditRow]{}, err
	}
	return cut(rows, p, auditCursor), nil
}

func auditCursor(r *AuditRow) cursor { return cursor{Kind: cursorAudit, A: r.Seq} }

// EachAudit calls each for every row of the filter, latest first, in flat
// memory.
func (d *DB) EachAudit(ctx context.Context, f AuditFilter, each func(*AuditRow) error) error {
	return all(func(c *cursor) ([]AuditRow, error) { return d.auditPage(ctx, f, c, MaxPage) }, auditCursor, each)
}
