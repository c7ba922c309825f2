package api

import (
	"io"
	"strings"
	"unicode/utf8"
)

// csvWriter writes rows that a spreadsheet shows as text and never runs as a
// formula (RFC 4180, every cell quoted). Each row goes out by itself.
type csvWriter struct {
	w   io.Writer
	buf []byte
}

func (c *csvWriter) row(cells []string) error {
	c.buf = c.buf[:0]
	for i, cell := range cells {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = appendCell(c.buf, cell)
	}
	c.buf = append(c.buf, '\r', '\n')
	_, err := c.w.Write(c.buf)
	return err
}

// appendCell quotes one cell. A cell that a spreadsheet could take for a
// formula gets an apostrophe in front, the spreadsheets' own sign for text.
func appendCell(b []byte, cell string) []byte {
	b = append(b, '"')
	if isFormula(cell) {
		b = append(b, '\'')
	}
	for i := 0; i < len(cell); i++ {
		switch cell[i] {
		case '"':
			b = append(b, '"', '"')
		case 0:
			b = append(b, ' ')
		default:
			b = append(b, cell[i])
		}
	}
	return append(b, '"')
}

// isFormula reports whether a cell starts, after any blank, with a sign that
// makes spreadsheets calculate, in its usual or its full-width form, or with
// a control character.
func isFormula(cell string) bool {
	if cell == "" {
		return false
	}
	switch cell[0] {
	case '\t', '\r', '\n', 0:
		return true
	}
	rest := strings.TrimLeft(cell, " \u00a0\u3000\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u202f\ufeff\t\r\n\x00\v\f'\"")
	first, _ := utf8.DecodeRuneInString(rest)
	return strings.ContainsRune("=+-@\uff1d\uff0b\uff0d\uff20\u2212\ufe62\ufe63\ufe66\ufe6b|%", first) && rest != ""
}
