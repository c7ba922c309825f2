package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/warderhq/warder"
)

// Bounds of a request with credentials: its body, the time that it may take to
// arrive, and the parts and depth that are looked at.
const (
	maxForm   = 1 << 20
	formTime  = 30 * time.Second
	maxFields = 1000
	maxDepth  = 32
)

// credentials are what a request to an endpoint claims. The password is used
// for hashes and forgotten.
type credentials struct {
	account, password string
	given             bool // there is a password, or some field of it
	unproven          bool // a success would not say that it was the account's
	// sent is a digest of everything that could be taken for credentials.
	sent []byte
	// named says which of the endpoint's names for an account are there.
	named []bool
}

// Faults of a request with credentials, as statuses.
type statusError struct {
	status int
	detail string
}

func (e *statusError) Error() string { return e.detail }

var errLarge = &statusError{http.StatusRequestEntityTooLarge, "The form is too large."}

// claimsOf reads what a request to one of the endpoints of its path claims,
// puts its body back, and says which endpoint it is for; nil: none. All of the
// body is read before anything else happens, so that nobody holds a slot while
// sending slowly.
func claimsOf(w http.ResponseWriter, r *http.Request, endpoints []*Endpoint, in intake) (e *Endpoint, c credentials, err error) {
	if len(endpoints) > 0 && endpoints[0].Kind == Basic {
		c, err = basicOf(r)
		return endpoints[0], c, err
	}
	query, err := parseForm(r.URL.RawQuery)
	if err != nil {
		return nil, c, err
	}
	if len(r.Header["Content-Type"]) > 1 {
		return nil, c, errUnclear
	}
	body, err := readForm(w, r, in.hold)
	if errors.Is(err, errLarge) && optional(endpoints, query) && screen(w, r, endpoints) {
		return nil, c, nil
	}
	if err != nil {
		return nil, c, err
	}
	var sent fields
	switch {
	case endpoints[0].Format != formatRPC:
		sent, err = formFields(r.Header.Get("Content-Type"), body)
	case len(body) > 0:
		// A call says all by itself: what stands in the query, nobody reads.
		query = nil
		sent, err = rpcFields(body)
	}
	if err != nil {
		return nil, c, err
	}
	for _, candidate := range endpoints {
		if candidate.Kind != Basic && candidate.wants(sent, query) {
			e = candidate
			break
		}
	}
	if e == nil {
		return nil, c, nil
	}
	sent, query = sent.loosely(), query.loosely()
	if len(e.Success) > 0 && (sent.any(leadsAway) || query.any(leadsAway)) {
		return e, c, errLeadsAway
	}
	c.named = make([]bool, len(e.Account))
	for i, name := range e.Account {
		full := func(v string) bool { return v != "" }
		c.named[i] = slices.ContainsFunc(sent.named(name), full) || slices.ContainsFunc(query.named(name), full)
	}
	if i := in.usual(e, c.named); i >= 0 {
		if c.account, err = single(sent, query, e.Account[i:i+1], ""); err != nil {
			return e, c, err
		}
	}
	if c.password, err = single(sent, query, e.Password, ";"); err != nil {
		return e, c, err
	}
	c.account = accountText(c.account)
	c.given = len(body) > 0 || query.any(e.Password) ||
		len(e.When) > 0 && (e.Kind != ResetRequest && e.Kind != SignUp || query.any(e.Account)) // which else may show a form
	c.sent = digest(r, body, e.Password)
	return e, c, nil
}

// leadsAway are fields in which clients say where a wrong secret leads, as they may
// to Symfony: it would look right.
var leadsAway = []string{"_failure_path"}

var errLeadsAway = &statusError{http.StatusBadRequest, "A sign-in cannot choose where its failure leads (_failure_path)."}

// single returns the value of the first name that is there. Two different values
// for one name are a fault: which of them the application takes cannot be
// known. Those that ends allows are none: a password that some end at a
// semicolon is the same guess to us, which is known by all that was sent.
func single(sent, query fields, names []string, ends string) (string, error) {
	for _, name := range names {
		values := slices.Concat(sent.named(name), query.named(name))
		for _, v := range values {
			if v != values[0] && (ends == "" || !strings.HasPrefix(values[0], v+ends)) {
				return "", &statusError{http.StatusBadRequest, "A field is given more than once."}
			}
		}
		if len(values) > 0 && values[0] != "" {
			return values[0], nil
		}
	}
	return "", nil
}

func basicOf(r *http.Request) (c credentials, err error) {
	lines := r.Header["Authorization"]
	if len(lines) > 1 {
		return c, &statusError{http.StatusBadRequest, "Authorization is given more than once."}
	}
	if len(lines) == 0 {
		return c, nil
	}
	// Some take any space for the one behind the scheme, also those of Latin-1.
	line := trimSpaces(lines[0])
	if len(line) < 6 || !strings.EqualFold(line[:5], "basic") || !anySpace(line[5]) {
		return c, nil
	}
	c.given = true
	line = trimSpaces(line[5:])
	decoded, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		// Whatever the application makes of it is a guess all the same.
		decoded, err = base64.RawStdEncoding.DecodeString(line)
		if err != nil {
			c.password = line // so that no two are taken for the same
			return c, nil     //nolint:nilerr // without account
		}
	}
	c.account, c.password, _ = strings.Cut(string(decoded), ":")
	c.account = accountText(c.account)
	return c, nil
}

// accountText makes the name of an account fit for the event log. What is not
// UTF-8 is Latin-1 most likely; without a reading of its own it would be one with
// the names of others. What cannot be seen at its ends, applications take off.
func accountText(s string) string {
	if !utf8.ValidString(s) {
		wide := make([]rune, len(s))
		for i := range len(s) {
			wide[i] = rune(s[i])
		}
		s = string(wide)
	}
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf) })
	if len(s) <= warder.MaxAccount {
		return s
	}
	// What is cut off would make names one that are two to the application. Folding
	// a megabyte can take seconds.
	whole := s
	if len(s) <= maxFolded {
		whole = warder.AccountKey("", s)
	}
	sum := sha256.Sum256([]byte(whole))
	return clip(s, warder.MaxAccount-17) + "#" + hexOf(sum[:8])
}

// maxFolded bounds a name, in bytes, whose spellings are still one.
const maxFolded = 4 * warder.MaxAccount

func anySpace(c byte) bool { return c <= ' ' || c == 0x85 || c == 0xa0 }

func trimSpaces(s string) string {
	for s != "" && anySpace(s[0]) {
		s = s[1:]
	}
	for s != "" && anySpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// intake is what reading credentials asks of a site.
type intake struct {
	hold func(bytes int64) bool // memory for a large body
	// usual chooses among the names for an account that are there; -1: none is.
	usual func(e *Endpoint, named []bool) int
}

// unlimited holds any amount of memory and takes the first name that is there.
var unlimited = intake{
	hold:  func(int64) bool { return true },
	usual: func(_ *Endpoint, named []bool) int { return slices.Index(named, true) },
}

// forms bounds the memory that large forms take at a site, each from when it
// turns out to be large until it has its answer.
type forms struct{ taken atomic.Int64 }

// Bounds of forms: in all, and what each may take without asking.
const (
	maxForms  = 32 << 20
	smallForm = 8 << 10
)

func (f *forms) take(x *exchange, n int64) bool {
	if f.taken.Add(n) > maxForms {
		f.taken.Add(-n)
		return false
	}
	x.form += n
	return true
}

func (f *forms) give(x *exchange) {
	if x.form > 0 {
		f.taken.Add(-x.form)
	}
}

// readForm reads the body and puts it back.
func readForm(w http.ResponseWriter, r *http.Request, hold func(bytes int64) bool) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if slices.ContainsFunc(r.Header["Content-Encoding"], func(enc string) bool { return enc != "" && !strings.EqualFold(enc, "identity") }) {
		return nil, &statusError{http.StatusUnsupportedMediaType, "A form must not be compressed."}
	}
	if r.ContentLength > maxForm {
		return nil, errLarge
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(formTime)) // tests without a connection have none
	body, err := io.ReadAll(io.LimitReader(r.Body, smallForm))
	if err == nil && len(body) == smallForm {
		size := r.ContentLength
		if size < 0 {
			size = maxForm
		}
		if !hold(size) {
			return nil, &statusError{http.StatusServiceUnavailable, "Too many large forms are under way. Try again."}
		}
		whole := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
		whole.Write(body)
		_, err = whole.ReadFrom(io.LimitReader(r.Body, maxForm+1-smallForm))
		body = whole.Bytes()
	}
	if err == nil && len(body) <= maxForm {
		_ = rc.SetReadDeadline(time.Time{})
	}
	switch {
	case err != nil:
		return nil, &statusError{http.StatusBadRequest, "The form did not arrive."}
	case len(body) > maxForm:
		r.Body = &rejoined{Reader: io.MultiReader(bytes.NewReader(body), r.Body), Closer: r.Body}
		return nil, errLarge
	}
	_ = r.Body.Close()
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	// A connection that the application has just closed is no reason to fail.
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	if len(body) == 0 {
		r.Body, r.GetBody = http.NoBody, nil
	}
	r.Header.Del("Expect")
	return body, nil
}

var errUnclear = &statusError{http.StatusBadRequest, "This form can be read in more than one way."}

// someForm finds types that somebody may take for a form's. PHP, for one, takes
// what stands before a comma or a space for the type.
var someForm = regexp.MustCompile(`(?i)multipart|urlencoded`)

// plainParts is a type that everybody finds the same boundary in.
var plainParts = regexp.MustCompile(`(?i)^multipart/[a-z-]+(?:; ?charset="?[\w-]+"?)?; ?boundary="?[0-9A-Za-z'_.+/=-]{1,70}"?(?:; ?charset="?[\w-]+"?)?$`)

// formFields reads the fields of a body. What is of a kind that we do not know
// has none: it is an attempt without an account. What applications may read in
// another way is a fault, or is read in every way.
func formFields(contentType string, body []byte) (fields, error) {
	if len(body) == 0 {
		return nil, nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		if someForm.MatchString(contentType) {
			return nil, errUnclear
		}
		kind, _, _ = strings.Cut(contentType, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	if !plainCharset(params["charset"]) {
		return nil, errUnclear
	}
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json") || kind == "text/json":
		out, err := jsonFields(body)
		if err != nil || !bytes.ContainsAny(body, "&;") {
			return out, err
		}
		// Some, such as Bottle, take whatever is not in parts for a form.
		return out.with(parseForm(string(body)))
	case strings.HasPrefix(kind, "multipart/"):
		if !plainParts.MatchString(contentType) {
			return nil, errUnclear
		}
		return partFields(body, params["boundary"])
	}
	out, err := parseForm(string(body))
	if err != nil || !document(body) {
		return out, err
	}
	// Many applications that take JSON do not look at the type. Browsers encode
	// the brace of a form.
	return out.with(jsonFields(body))
}

// with adds the fields of another reading, if there is no fault in it.
func (f fields) with(more fields, err error) (fields, error) {
	if err != nil {
		return nil, err
	}
	for name, values := range more {
		f[name] = append(f[name], values...)
	}
	return f, nil
}

// plainCharset reports whether a text in a set of characters reads as ASCII does:
// in EBCDIC, UTF-16 or UTF-7 applications that obey the type would find other
// fields and other accounts than we do.
func plainCharset(name string) bool {
	name = strings.ToLower(name)
	return name == "" || slices.ContainsFunc([]string{"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-", "iso8859-", "latin1", "windows-125", "cp125"},
		func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// document reports whether a body begins as JSON does, in any encoding of
// Unicode, with or without its mark.
func document(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n', '\v', '\f', 0, 0xef, 0xbb, 0xbf, 0xfe, 0xff:
			continue
		}
		return c == '{'
	}
	return false
}

// parseForm reads a form as leniently as applications do. Some, such as those on
// Rack 2 and CGI.pm, end a field at a semicolon, too, which browsers encode.
func parseForm(s string) (fields, error) {
	out, n := fields{}, 0
	add := func(pair string) {
		n++
		name, value, _ := strings.Cut(pair, "=")
		name = unescape(name)
		out[name] = append(out[name], unescape(value))
	}
	both := func(pair string) {
		add(pair)
		if strings.Contains(pair, "%u") {
			if wide := wideEscape.ReplaceAllStringFunc(pair, unescapeWide); wide != pair {
				add(wide)
			}
		}
	}
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		both(pair)
		if strings.IndexByte(pair, ';') >= 0 {
			for piece := range strings.SplitSeq(pair, ";") {
				if both(piece); n > 10*maxFields {
					break
				}
			}
		}
		if n > 10*maxFields {
			return nil, errMany
		}
	}
	return out, nil
}

// wideEscape is an encoding that ASP.NET knows besides the usual one.
var wideEscape = regexp.MustCompile(`%u[0-9a-fA-F]{4}`)

func unescapeWide(s string) string {
	n, err := strconv.ParseUint(s[2:], 16, 16)
	if err != nil {
		return s
	}
	return url.QueryEscape(string(rune(n)))
}

var errMany = &statusError{http.StatusBadRequest, "The form has too many fields."}

func unescape(s string) string {
	if out, err := url.QueryUnescape(s); err == nil {
		return out
	}
	out, _ := decodeOnce(strings.ReplaceAll(s, "+", " "))
	return out
}

// plainFile is a part that everybody takes for a file.
var plainFile = regexp.MustCompile(`(?i)^form-data; ?name="[^"\\]*"; ?filename="(?:[^"\\]|\\.)+"(?:; ?filename\*=[^;"]*)?$`)

// partFields reads a form in parts. Every boundary must be the beginning of a
// part or the end, in everybody's reading: PHP does without the carriage
// return before it, and others read what stands before the first one or behind
// the last.
func partFields(body []byte, boundary string) (fields, error) {
	out := fields{}
	between := []byte("--" + boundary)
	if !bytes.HasPrefix(body, append(slices.Clip(between), "\r\n"...)) {
		return nil, errUnclear
	}
	mr := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := range maxFields {
		part, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			if bytes.Count(body, between) != n+1 {
				return nil, errUnclear
			}
			return out, nil
		}
		if err != nil {
			return nil, errBroken
		}
		value, err := io.ReadAll(part) // of a body that is in memory
		if err != nil {
			return nil, errBroken
		}
		what := part.Header["Content-Disposition"]
		if len(what) != 1 {
			return nil, errUnclear
		}
		_, params, err := mime.ParseMediaType(what[0])
		if err != nil || otherName.MatchString(what[0]) || strings.ContainsAny(params["name"], `'"\`) {
			return nil, errUnclear
		}
		if name := params["name"]; name != "" && !plainFile.MatchString(what[0]) {
			if !plainPart(part.Header) {
				return nil, errUnclear
			}
			out[name] = append(out[name], string(value))
		}
	}
	return nil, errMany
}

// plainPart reports whether the value of a part is what stands there: some
// applications, Django among them, decode base64.
func plainPart(h textproto.MIMEHeader) bool {
	for _, encoding := range h["Content-Transfer-Encoding"] {
		switch strings.ToLower(strings.TrimSpace(encoding)) {
		case "", "7bit", "8bit", "binary":
		default:
			return false
		}
	}
	for _, kind := range h["Content-Type"] {
		if _, params, err := mime.ParseMediaType(kind); err != nil || !plainCharset(params["charset"]) {
			return false
		}
	}
	return true
}

var errBroken = &statusError{http.StatusBadRequest, "The form is broken."}

// otherName finds a name that not everybody knows how to read.
var otherName = regexp.MustCompile(`(?i)(?:^|[;\s])name\s*\*`)

// jsonFields reads the texts and numbers of a JSON object, by their path with
// dots. A name that is there twice gives two values.
func jsonFields(body []byte) (fields, error) {
	out := fields{}
	if !utf8.Valid(body) {
		return nil, &statusError{http.StatusBadRequest, "The JSON is not UTF-8."}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	n := 0
	var walk func(at string, depth int) error
	walk = func(at string, depth int) error {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		if n++; n > 10*maxFields || depth > maxDepth {
			return errors.New("too much")
		}
		switch v := tok.(type) {
		case json.Delim:
			for dec.More() {
				below := at
				if v == '{' {
					name, err := dec.Token()
					if err != nil {
						return err
					}
					key, _ := name.(string)
					if below = key; at != "" {
						below = at + "." + key
					}
				}
				if err := walk(below, depth+1); err != nil {
					return err
				}
			}
			_, err = dec.Token()
			return err
		case string:
			out[at] = append(out[at], v)
		case json.Number:
			out[at] = append(out[at], v.String())
		}
		return nil
	}
	if err := walk("", 0); err != nil {
		return nil, &statusError{http.StatusBadRequest, "The JSON is broken."}
	}
	return out, nil
}

// digest is over all that a request with a form sends. Which of its fields the
// application takes for the password cannot be known: whoever sends the one that
// we look at as a decoy, and guesses with another, does not make the same mistake
// again. Left out are only the tokens against forgery, of which every form has
// its own.
func digest(r *http.Request, body []byte, secrets []string) []byte {
	h := sha256.New()
	add := func(b string) {
		h.Write([]byte(b))
		h.Write([]byte{0})
	}
	form := func(s string) {
		for pair := range strings.SplitSeq(s, "&") {
			name, value, _ := strings.Cut(pair, "=")
			if !fleeting(unescape(name), unescape(value), secrets) {
				add(pair)
			}
		}
		h.Write([]byte{1})
	}
	form(r.URL.RawQuery)
	for _, line := range r.Header["Authorization"] {
		add(line)
	}
	h.Write([]byte{1})
	switch kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded":
		form(string(body))
	case "multipart/form-data":
		// The boundary is another one each time.
		for mr := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
			part, err := mr.NextRawPart()
			if err != nil {
				break
			}
			value, _ := io.ReadAll(part) // of a body that is in memory, and was read before
			if part.FileName() != "" || !fleeting(part.FormName(), string(value), secrets) {
				add(part.Header.Get("Content-Disposition"))
				add(string(value))
			}
		}
	default:
		h.Write(body)
	}
	return h.Sum(nil)
}

// token68 is what tokens are made of: no sign that structures JSON or XML, so
// that nobody who reads the body in another way finds a password in it.
var token68 = regexp.MustCompile(`^[0-9A-Za-z._~:+/=-]*$`)

// fleeting reports whether a field holds a token that each form has anew.
func fleeting(name, value string, secrets []string) bool {
	if slices.Contains(secrets, name) {
		return false
	}
	switch name = strings.ToLower(name); name {
	case "token", "_token", "authenticity_token", "__requestverificationtoken", "set_session", "_wpnonce", "nonce", "form_build_id":
	default:
		if !strings.Contains(name, "csrf") && !strings.Contains(name, "xsrf") {
			return false
		}
	}
	return len(value) <= maxToken && token68.MatchString(value)
}

const maxToken = 4 << 10 // bytes

// guess hashes a wrong password, so that the same mistake counts once.
func (s *Site) guess(realm string, c credentials) warder.Guess {
	if c.password == "" {
		return warder.Guess{}
	}
	return warder.Guess{
		Same:    hexOf(hash(s.keys.guess, "same", warder.AccountKey(realm, c.account), c.password, string(c.sent))[:8]),
		Popular: hexOf(hash(s.keys.guess, "popular", c.password)[:8]),
	}
}
