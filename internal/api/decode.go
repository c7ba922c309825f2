package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/warderhq/warder"
)

// Bounds of the strict JSON that callers send.
const (
	maxDepth   = 32 // nesting inside free JSON such as an event's details
	maxFaults  = 64 // faults listed in one answer
	keepBuffer = 64 << 10
)

// reader reads one strict JSON text. It tells two kinds of mistake apart: text
// that is not JSON at all (err, sticky, the reading stops), and JSON that is
// not what was asked for (faults, with their places; the reading goes on so
// that all faults come at once).
//
// Strict means: valid UTF-8, no duplicate or unknown names, no trailing data.
// null stands for an absent value.
type reader struct {
	buf    bytes.Buffer
	dec    *jsontext.Decoder
	err    *Problem
	faults warder.Faults
	root   string // location of the text
	where  string // location of the object being read, without its fields
	index  int    // >= 0: where is the location of an array, index its element
	unq    []byte
}

var readers = sync.Pool{New: func() any { return &reader{dec: new(jsontext.Decoder)} }}

func newReader() *reader {
	r := readers.Get().(*reader)
	r.reset("body")
	return r
}

// reset makes r ready to decode what is in buf.
func (r *reader) reset(where string) {
	r.err, r.faults, r.root, r.where, r.index = nil, nil, where, where, -1
}

func (r *reader) free() {
	if r.buf.Cap() > keepBuffer {
		r.buf = bytes.Buffer{}
	}
	r.buf.Reset()
	r.err, r.faults = nil, nil
	readers.Put(r)
}

// fill reads the body of a request whose media type must be mediaType, at most
// limit bytes of it.
func (r *reader) fill(req *http.Request, mediaType string, limit int64) error {
	if err := checkType(req, mediaType); err != nil {
		return err
	}
	return r.fillFrom(req, limit)
}

func (r *reader) fillFrom(req *http.Request, limit int64) error {
	if req.ContentLength > limit {
		return tooLarge(limit)
	}
	r.buf.Reset()
	if req.ContentLength > 0 {
		r.buf.Grow(int(req.ContentLength) + bytes.MinRead)
	}
	for {
		r.buf.Grow(bytes.MinRead)
		free := r.buf.AvailableBuffer()
		n, err := req.Body.Read(free[:cap(free)])
		_, _ = r.buf.Write(free[:n]) // a bytes.Buffer never fails
		if int64(r.buf.Len()) > limit {
			return tooLarge(limit)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return newProblem(http.StatusBadRequest, "The body could not be read to its end.")
		}
	}
}

// checkType refuses a body of another media type. An absent Content-Type is
// refused as well: a browser can be made to send such a request from anywhere.
func checkType(req *http.Request, want string) error {
	got := req.Header.Get("Content-Type")
	if got == want {
		return nil
	}
	media, params, err := mime.ParseMediaType(got)
	if err == nil && media == want {
		if c, ok := params["charset"]; !ok || strings.EqualFold(c, "utf-8") {
			return nil
		}
	}
	return newProblem(http.StatusUnsupportedMediaType, "Content-Type must be "+want+".")
}

// start begins to decode the text in buf.
func (r *reader) start() {
	r.dec.Reset(&r.buf, jsontext.AllowDuplicateNames(true)) // duplicates are found below, with their place
}

// end makes sure that nothing follows the value.
func (r *reader) end() {
	if r.err != nil {
		return
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			r.err = fault(http.StatusBadRequest, r.root, "has something after the end of its JSON")
			return
		}
		r.broken(err)
	}
}

// broken notes that the text is not JSON.
func (r *reader) broken(err error) {
	if r.err != nil {
		return
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		r.err = fault(http.StatusBadRequest, r.at(""), "is not complete JSON")
		return
	}
	message := "is not JSON at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	if syntax.Err != nil {
		message += ": " + clip(printable(syntax.Err.Error()), 200)
	}
	r.err = fault(http.StatusBadRequest, r.pointer(syntax.JSONPointer), message)
}

// pointer writes a JSON pointer the way that locations are written here.
func (r *reader) pointer(p jsontext.Pointer) string {
	var b strings.Builder
	b.WriteString(r.root)
	depth := 0
	for token := range p.Tokens() {
		if depth++; depth > 8 {
			b.WriteString("...")
			break
		}
		if _, err := strconv.Atoi(token); err == nil {
			b.WriteString("[" + token + "]")
		} else {
			b.WriteString("." + clip(printable(token), 64))
		}
	}
	return b.String()
}

// at is the location of a field of the object being read; "" is the object.
func (r *reader) at(field string) string {
	s := r.where
	if r.index >= 0 {
		s += "[" + strconv.Itoa(r.index) + "]"
	}
	if field != "" {
		s += "." + field
	}
	return s
}

func (r *reader) fault(field, message string) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, warder.Fault{Location: r.at(field), Message: message})
	}
}

// failed reports whether a fault at field was noted already.
func (r *reader) failed(field string) bool {
	if len(r.faults) == 0 {
		return false
	}
	at := r.at(field)
	for _, f := range r.faults {
		if f.Location == at {
			return true
		}
	}
	return false
}

// object reads an object whose names are among fields, calling read with the
// place of each name in it; read must consume the value. It returns which
// names were there, as bits, and whether it was an object at all. prefix names
// the object inside the one at r.where, such as "guess.".
func (r *reader) object(prefix string, fields []string, read func(i int)) (seen uint32, ok bool) {
	if r.err != nil {
		return 0, false
	}
	if kind := r.dec.PeekKind(); kind != '{' {
		r.skip()
		r.fault(strings.TrimSuffix(prefix, "."), "must be an object")
		return 0, false
	}
	if _, err := r.dec.ReadToken(); err != nil {
		r.broken(err)
		return 0, false
	}
	for r.err == nil {
		if r.dec.PeekKind() == '}' {
			if _, err := r.dec.ReadToken(); err != nil {
				r.broken(err)
			}
			return seen, r.err == nil
		}
		name, err := r.dec.ReadValue()
		if err != nil {
			r.broken(err)
			return seen, false
		}
		i := r.lookup(name, fields)
		switch {
		case i < 0:
			s, _ := jsontext.AppendUnquote(nil, name)
			r.fault(prefix+clip(printable(string(s)), 64), "is not known here")
			r.skip()
		case seen&(1<<i) != 0:
			r.fault(prefix+fields[i], "is there twice")
			r.skip()
		default:
			seen |= 1 << i
			read(i)
		}
	}
	return seen, false
}

// lookup finds a raw name among fields.
func (r *reader) lookup(name jsontext.Value, fields []string) int {
	raw := r.unquote(name)
	for i, field := range fields {
		if string(raw) == field {
			return i
		}
	}
	return -1
}

// unquote gives the bytes of a JSON string, valid until the next call.
func (r *reader) unquote(v jsontext.Value) []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	var err error
	if r.unq, err = jsontext.AppendUnquote(r.unq[:0], v); err != nil {
		r.broken(err)
	}
	return r.unq
}

// skip passes over one value.
func (r *reader) skip() {
	if r.err != nil {
		return
	}
	if err := r.dec.SkipValue(); err != nil {
		r.broken(err)
	}
}

// value reads one value raw. It is valid until the next call.
func (r *reader) value() jsontext.Value {
	if r.err != nil {
		return nil
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		r.broken(err)
		return nil
	}
	return v
}

// bytes reads a string. ok is false for null and for anything else, which is a
// fault.
func (r *reader) bytes(field string) (text []byte, ok bool) {
	v := r.value()
	if r.err != nil {
		return nil, false
	}
	switch v.Kind() {
	case '"':
		return r.unquote(v), r.err == nil
	case 'n':
		return nil, false
	}
	r.fault(field, "must be a string")
	return nil, false
}

// raw reads a string that is checked elsewhere.
func (r *reader) raw(field string) string {
	b, _ := r.bytes(field)
	return string(b)
}

// text reads a string of at most limit bytes without control characters.
func (r *reader) text(field string, limit int) string {
	b, _ := r.bytes(field)
	if len(b) > limit {
		r.fault(field, "must be at most "+strconv.Itoa(limit)+" bytes, is "+strconv.Itoa(len(b)))
		return ""
	}
	s := string(b)
	if strings.ContainsFunc(s, unicode.IsControl) {
		r.fault(field, "must not contain control characters")
		return ""
	}
	return s
}

// integer reads a whole number from low to high.
func (r *reader) integer(field string, low, high, absent int64) int64 {
	v := r.value()
	if r.err != nil {
		return absent
	}
	switch v.Kind() {
	case 'n':
		return absent
	case '0':
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err == nil && n >= low && n <= high {
			return n
		}
	}
	r.fault(field, "must be a whole number from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10))
	return absent
}

// free reads any JSON within bounds, without white space; nil if it is null.
func (r *reader) json(field string, limit int) []byte {
	v := r.value()
	if r.err != nil || v.Kind() == 'n' {
		return nil
	}
	switch {
	case depth(v) > maxDepth:
		r.fault(field, "must be nested at most "+strconv.Itoa(maxDepth)+" levels deep")
		return nil
	case !v.IsValid():
		r.fault(field, "must not name a thing twice")
		return nil
	}
	v = v.Clone()
	if err := v.Compact(); err != nil {
		r.fault(field, "must be JSON")
		return nil
	}
	if len(v) > limit {
		r.fault(field, "must be at most "+strconv.Itoa(limit)+" bytes of JSON, is "+strconv.Itoa(len(v)))
		return nil
	}
	return v
}

// depth is how deep valid JSON is nested.
func depth(v []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// clip shortens s for use in a message.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

// printable replaces what could break a line or a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}
