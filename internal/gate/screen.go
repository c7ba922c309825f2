package gate

import (
	"bytes"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// An application may take its uploads at the path of its sign-in, as phpMyAdmin
// does. What is larger than a form can be is not kept in memory: it passes, and
// on its way it must not hold the names of the fields that would make it a
// sign-in. The piece that completes such a name never leaves the gate, so that
// no credentials in it can be checked.

// optional reports whether a request to the endpoints may be for none of them,
// as far as its query says.
func optional(endpoints []*Endpoint, query fields) bool {
	return !slices.ContainsFunc(endpoints, func(e *Endpoint) bool {
		return len(e.When) == 0 || e.Format != "" || e.Kind.guesses() && has(query, e.When)
	})
}

// plainBoundary is a type that everybody finds the same boundary in.
var plainBoundary = regexp.MustCompile(`^multipart/form-data; ?boundary="?[0-9A-Za-z'_.+/=-]{1,70}"?$`)

// screen lets the body of an upload pass under observation; ok is false if it
// is no upload.
func screen(w http.ResponseWriter, r *http.Request, endpoints []*Endpoint) (ok bool) {
	types := r.Header["Content-Type"]
	if len(types) != 1 || !plainBoundary.MatchString(types[0]) {
		return false
	}
	if _, _, err := mime.ParseMediaType(types[0]); err != nil {
		return false
	}
	var names []string
	for _, e := range endpoints {
		if !e.Kind.guesses() && e.Kind != ResetRequest {
			continue
		}
		for _, when := range e.When {
			name, _, _ := strings.Cut(when, "=")
			names = append(names, name)
		}
	}
	r.Body = &screened{readCloser: r.Body, find: newFinder(names)}
	return true
}

// maxSpace is how much space before a parameter is waited for, in bytes; more
// is refused, since its beginning would be gone.
const maxSpace = 200

// finder finds names of fields however PHP spells them. Names in another
// encoding than the body's are found by the star of their parameter.
type finder struct {
	names []string  // lower case
	first [256]bool // bytes that something to be found can begin with
	most  int       // bytes that a find may be long
}

func newFinder(names []string) *finder {
	f := &finder{most: len(";name*") + maxSpace}
	f.first[';'] = true
	for _, name := range names {
		name = strings.ToLower(name)
		for c := range f.first {
			f.first[c] = f.first[c] || sameByte(byte(c), name[0])
		}
		f.names, f.most = append(f.names, name), max(f.most, len(name))
	}
	return f
}

// sameByte reports whether PHP could take c for a byte of a name, whose case
// does not matter.
func sameByte(c, name byte) bool {
	if name == '_' {
		return c == '_' || c == ' ' || c == '.' || c == '['
	}
	return lowerByte(c) == name
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// in reports whether there is something to be found in b.
func (f *finder) in(b []byte) bool {
	for i, c := range b {
		if f.first[c] && (c == ';' && encoded(b[i+1:]) || slices.ContainsFunc(f.names, func(name string) bool { return begins(b[i:], name) })) {
			return true
		}
	}
	return false
}

func begins(b []byte, name string) bool {
	if len(b) < len(name) {
		return false
	}
	for i := range len(name) {
		if !sameByte(b[i], name[i]) {
			return false
		}
	}
	return true
}

// encoded reports whether the name of a field follows that is in an encoding of
// its own, or more space than it is waited for.
func encoded(b []byte) bool {
	rest := bytes.TrimLeft(b[:min(len(b), maxSpace+1)], " \t\n\f\r\v")
	space := min(len(b), maxSpace+1) - len(rest)
	return space > maxSpace || begins(b[space:], "name*")
}

// screened is a body that ends in an error where something is found.
type screened struct {
	readCloser
	find  *finder
	buf   []byte
	ready int // bytes of buf that may leave
	err   error
}

func (s *screened) Read(p []byte) (int, error) {
	for s.ready == 0 && s.err == nil {
		have := len(s.buf)
		s.buf = slices.Grow(s.buf, 32<<10)
		n, err := s.readCloser.Read(s.buf[have : have+32<<10])
		s.buf, s.err = s.buf[:have+n], err
		if s.find.in(s.buf) {
			s.buf, s.err = nil, errScreened
			return 0, s.err
		}
		if s.ready = len(s.buf) - s.find.most; s.err != nil {
			s.ready = len(s.buf)
		}
		s.ready = max(s.ready, 0)
	}
	if s.ready == 0 {
		return 0, s.err
	}
	n := copy(p, s.buf[:s.ready])
	s.ready -= n
	s.buf = append(s.buf[:0], s.buf[n:]...)
	return n, nil
}

var errScreened = &statusError{http.StatusRequestEntityTooLarge, "A form with credentials is too large."}
