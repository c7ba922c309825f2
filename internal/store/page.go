package store

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// cursor is the key of the last row of a page. Lists are ordered by A, then by
// B or S, latest first.
type cursor struct {
	Kind byte
	A, B int64
	S    string
}

// Kinds of cursor, one for each list, so that none is taken for another's.
const (
	cursorEvents     = 'e'
	cursorBlocks     = 'b'
	cursorDemands    = 'd'
	cursorSessions   = 's'
	cursorAddresses  = 'a'
	cursorAccounts   = 'u'
	cursorAudit      = 't'
	cursorAlerts     = 'l'
	cursorNotes      = 'n'
	cursorRevisions  = 'r'
	cursorDeliveries = 'm'
)

const maxCursor = 1 << 10

var cursorEncoding = base64.RawURLEncoding.Strict()

func (c cursor) String() string {
	b := make([]byte, 0, 17+len(c.S))
	b = append(b, c.Kind)
	b = binary.BigEndian.AppendUint64(b, uint64(c.A))
	b = binary.BigEndian.AppendUint64(b, uint64(c.B))
	return cursorEncoding.EncodeToString(append(b, c.S...))
}

// parseCursor reads a cursor of a list; nil if there is none. The error is
// ErrBadCursor.
func parseCursor(kind byte, s string) (*cursor, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // no cursor is no error
	}
	if len(s) > maxCursor {
		return nil, ErrBadCursor
	}
	b, err := cursorEncoding.DecodeString(s)
	// Decoding passes over line breaks; a cursor has one spelling.
	if err != nil || len(b) < 17 || b[0] != kind || cursorEncoding.EncodeToString(b) != s {
		return nil, ErrBadCursor
	}
	return &cursor{
		Kind: kind, A: int64(binary.BigEndian.Uint64(b[1:9])), B: int64(binary.BigEndian.Uint64(b[9:17])),
		S: string(b[17:]),
	}, nil
}

// size clamps the limit of a page.
func (p Page) size() int {
	switch {
	case p.Limit <= 0:
		return 100
	case p.Limit > MaxPage:
		return MaxPage
	}
	return p.Limit
}

// cut makes a page of one row more than was asked for: the extra row only says
// that there is a next page.
func cut[T any](rows []T, p Page, key func(*T) cursor) List[T] {
	l := List[T]{Items: rows}
	if n := p.size(); len(rows) > n {
		l.Items = rows[:n]
		l.Next = key(&rows[n-1]).String()
	}
	if l.Items == nil {
		l.Items = []T{}
	}
	return l
}

// all calls each for every row of a list, a page at a time: page reads the rows
// after a cursor (nil: from the beginning), key is the cursor of a row. Memory
// stays flat, and no snapshot of the database is held open meanwhile.
func all[T any](page func(*cursor) ([]T, error), key func(*T) cursor, each func(*T) error) error {
	var c *cursor
	for {
		rows, err := page(c)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := each(&rows[i]); err != nil {
				return err
			}
		}
		if len(rows) < MaxPage {
			return nil
		}
		last := key(&rows[len(rows)-1])
		c = &last
	}
}

// where gathers conditions that must all hold. Each ? stands for the next
// argument; clause numbers them.
type where struct {
	parts []string
	args  []any
}

func (w *where) add(condition string, args ...any) {
	w.parts = append(w.parts, "("+condition+")")
	w.args = append(w.args, args...)
}

// in adds that column is one of the values.
func (w *where) in(column string, values []any) {
	w.add(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", values...)
}

// notIn adds that column is none of the values.
func (w *where) notIn(column string, values []any) {
	w.add(column+" NOT IN (?"+strings.Repeat(", ?", len(values)-1)+")", values...)
}

// within adds that a stored address lies in a prefix.
func (w *where) within(column string, p netip.Prefix) {
	condition, args := within(column, p)
	w.add(condition, args...)
}

func within(column string, p netip.Prefix) (string, []any) {
	var parts []string
	var args []any
	for _, s := range spans(p) {
		parts = append(parts, column+" BETWEEN ? AND ?")
		args = append(args, s.first, s.last)
	}
	return strings.Join(parts, " OR "), args
}

// join returns the conditions of both, leaving both as they are.
func (w *where) join(b *where) *where {
	return &where{
		parts: append(append([]string(nil), w.parts...), b.parts...),
		args:  append(append([]any(nil), w.args...), b.args...),
	}
}

// query completes a statement: its head, the conditions, and the tail, in which
// each ? stands for one of more.
func (w *where) query(head, tail string, more ...any) (string, []any) {
	if len(w.parts) > 0 {
		head += " WHERE " + strings.Join(w.parts, " AND ")
	}
	pieces := strings.Split(head+" "+tail, "?")
	var out strings.Builder
	for i, piece := range pieces {
		if i > 0 {
			out.WriteByte('$')
			out.WriteString(strconv.Itoa(i))
		}
		out.WriteString(piece)
	}
	return out.String(), append(append([]any(nil), w.args...), more...)
}

// prefixRange is the range of texts that begin with prefix. Texts are compared
// by their bytes, so the end is the prefix with its last byte raised; 0xff does
// not occur in UTF-8.
func prefixRange(prefix string) (first, end string) {
	b := []byte(prefix)
	b[len(b)-1]++
	return prefix, string(b)
}

// likeText escapes a text for use within a pattern of LIKE ... ESCAPE '\'.
func likeText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}
