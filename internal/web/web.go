// Package web holds the dashboard: the pages that Vite built from web/, or, in
// a binary that was built without them, one page that says how to build them.
//
// It promises that nothing is sent but files that were embedded, that every
// page comes under a content security policy with a nonce of its own and
// without an exception, and that a page is never kept by a cache.
package web

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

//go:embed fallback.html
var fallback []byte

// nonceMark stands in index.html where the nonce belongs.
const nonceMark = "{{nonce}}"

// Pages serves the dashboard. It is safe for concurrent use.
type Pages struct {
	files map[string]*file // by path below the root, without a slash before it
	index [][]byte         // index.html, split where the nonce belongs; nil: not built
}

// file is one asset, with what the build compressed.
type file struct {
	kind          string
	plain, gz, br []byte
}

// Built returns the dashboard that is embedded in this binary.
func Built() (*Pages, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("embedded dashboard: %w", err)
	}
	return New(files)
}

// New returns the dashboard that lies in files: index.html with the mark
// {{nonce}}, and what it refers to, each beside its .br and .gz if there are
// any. Without an index.html every page is the one that says how to build it.
func New(files fs.FS) (*Pages, error) {
	p := &Pages{files: map[string]*file{}}
	html, err := fs.ReadFile(files, "index.html")
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	p.index = bytes.Split(html, []byte(nonceMark))
	if len(p.index) < 2 {
		return nil, errors.New("dashboard: index.html has no place for the nonce")
	}
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		ext := path.Ext(name)
		if err != nil || entry.IsDir() || name == "index.html" || ext == ".gz" || ext == ".br" || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		f := &file{kind: mime.TypeByExtension(ext)}
		if f.plain, err = fs.ReadFile(files, name); err != nil {
			return err
		}
		f.gz, _ = fs.ReadFile(files, name+".gz") // there need not be one
		f.br, _ = fs.ReadFile(files, name+".br")
		p.files[name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	return p, nil
}

// IsBuilt reports whether there are pages, not only the one that says how to
// build them.
func (p *Pages) IsBuilt() bool { return p.index != nil }

// Asset answers with an embedded file and reports whether there is one at the
// request's path.
func (p *Pages) Asset(w http.ResponseWriter, r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, "/")
	f := p.files[name]
	if f == nil {
		return false
	}
	h := w.Header()
	if f.kind != "" {
		h.Set("Content-Type", f.kind)
	}
	if strings.HasPrefix(name, "assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable") // its name holds its hash
	} else {
		h.Set("Cache-Control", "public, max-age=3600")
	}
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	switch accept := r.Header.Get("Accept-Encoding"); {
	case f.br != nil && accepts(accept, "br"):
		h.Set("Content-Encoding", "br")
		body = f.br
	case f.gz != nil && accepts(accept, "gzip"):
		h.Set("Content-Encoding", "gzip")
		body = f.gz
	}
	send(w, r, body)
	return true
}

// accepts reports whether an Accept-Encoding header names a coding, and not
// with a weight of zero.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) == coding {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

// policy is the content security policy of a page; %s is its nonce. Only styles
// that the page makes while it runs need the nonce, scripts come as files.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-%s'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'; report-uri /v1/csp-report"

// Page answers with the page from which all others are drawn, whatever the
// path.
func (p *Pages) Page(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if p.index == nil {
		send(w, r, fallback)
		return
	}
	nonce := newNonce()
	h.Set("Content-Security-Policy", fmt.Sprintf(policy, nonce))
	send(w, r, bytes.Join(p.index, []byte(nonce)))
}

// newNonce returns 128 random bits.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func send(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the reader may have left
	}
}
