package gate

import (
	"slices"
	"strings"
)

// fields collects values by name, as a form, a query or a JSON object hold them.
type fields map[string][]string

// wants reports whether a request with these fields is for the endpoint.
func (e *Endpoint) wants(sent, query fields) bool {
	if len(e.When) == 0 {
		return true
	}
	if e.Kind == Open {
		some := false
		for _, f := range []fields{sent, query} {
			for name, values := range f {
				php := phpName(name)
				for _, v := range values {
					named, fits := false, false
					for _, when := range e.When {
						n, glob := is(when, name, php, v)
						named, fits = named || n, fits || n && glob
					}
					if named && !fits {
						return false
					}
					some = some || fits
				}
			}
		}
		return some
	}
	return has(sent, e.When) || has(query, e.When)
}

// has reports whether any of the fields is there, in any reading of names. What
// is named as name=value must have that value.
func has(f fields, when []string) bool {
	for name, values := range f {
		php, others := loose(phpName(name)), looseNames(name)
		for _, w := range when {
			want, pattern, valued := strings.Cut(w, "=")
			if want = loose(want); want != php && !slices.Contains(others, want) {
				continue
			}
			if !valued || slices.ContainsFunc(values, func(v string) bool { return glob(pattern, v) }) {
				return true
			}
		}
	}
	return false
}

// is compares one field with one of When: its name, also as PHP reads it, and
// its value. Named by that is also what others read for the name.
func is(when, name, php, value string) (named, fits bool) {
	want, pattern, valued := strings.Cut(when, "=")
	if name != want && php != want {
		return slices.Contains(looseNames(name), loose(want)), false
	}
	return true, !valued || glob(pattern, value)
}

var phpNames = strings.NewReplacer(" ", "_", ".", "_", "[", "_")

// phpName is the variable that PHP makes of the name of a field.
func phpName(name string) string {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	if i := strings.IndexByte(name, '['); i > 0 && strings.IndexByte(name[i:], ']') > 0 {
		name = name[:i]
	}
	return phpNames.Replace(name)
}

// loosely are the fields by their names as applications may read them: without
// regard to case, as PHP does, or as Rack does, to whom [user][email],
// user[email] and user[email][] are much the same.
func (f fields) loosely() fields {
	out := make(fields, len(f))
	for name, values := range f {
		for _, name := range looseNames(name) {
			out[name] = append(out[name], values...)
		}
	}
	return out
}

// named returns the values of a field, where f are fields loosely.
func (f fields) named(name string) []string { return f[loose(name)] }

// any reports whether one of the fields is there, where f are fields loosely.
func (f fields) any(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return len(f.named(name)) > 0 })
}

// loose is a name without what some application does not look at. Brackets of
// either kind, as many as there are, are one to Rack 2.
func loose(name string) string {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	name = strings.Trim(name, "[]")
	out := make([]byte, 0, len(name))
	for i := range len(name) {
		switch c := name[i]; c {
		case '[', ']':
			if last := name[i-1]; last != '[' && last != ']' {
				out = append(out, '_')
			}
		case ' ', '.':
			out = append(out, '_')
		default:
			out = append(out, c)
		}
	}
	// Go takes the long s for an s where it does not look at the case.
	return strings.ReplaceAll(strings.ToLower(string(out)), "\u017f", "s")
}

// looseNames are the names that a field may have: PHP, and the usual parser of
// Node, do not look at what follows the last bracket, as in user[email]x.
func looseNames(name string) []string {
	end := strings.IndexByte(name, '[')
	for end >= 0 && end < len(name) && name[end] == '[' {
		i := strings.IndexByte(name[end:], ']')
		if i < 0 {
			break
		}
		end += i + 1
	}
	names := []string{loose(name)}
	if end > 0 && end < len(name) {
		if short := loose(name[:end]); short != names[0] {
			names = append(names, short)
		}
	}
	return names
}
