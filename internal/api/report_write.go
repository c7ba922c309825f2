package api

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/warderhq/warder/internal/store"
)

// reportWriter writes the sections of a report in one format.
type reportWriter interface {
	open() error
	begin(s *section) error
	row(cells ...any) error
	end() error
	chart(buckets []store.Bucket)
	// close ends the content. What follows it is the seal, on a line of its own.
	close() error
	seal(text []byte) error
}

// tally counts and hashes what passes.
type tally struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.sum.Write(p[:n])
	t.n += int64(n)
	return n, err
}

// paced gives a reader of a long answer time for each piece.
type paced struct {
	w  io.Writer
	rc *http.ResponseController
}

func (p *paced) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(exportPause)) // tests without a connection have none
	return p.w.Write(b)
}

// serve streams the report. A failure on the way breaks the connection: nobody
// must take a part for the whole, and without its seal it does not verify.
func (r *report) serve(ctx context.Context, req *http.Request, w http.ResponseWriter) {
	key, err := reportKey(r.s.opts.Secret)
	if err != nil {
		r.s.writeProblem(w, req, err)
		return
	}
	r.key = key.Public().(ed25519.PublicKey)
	begun := false
	raw := bufio.NewWriterSize(writerFunc(func(p []byte) (int, error) {
		if !begun { // a database that cannot be read at all is still told as a problem
			begun = true
			r.header(w)
		}
		return (&paced{w, http.NewResponseController(w)}).Write(p)
	}), 32<<10)
	sum := &tally{w: raw, sum: sha256.New()}
	switch r.format {
	case "ndjson":
		r.out = &linesReport{w: sum}
	case "csv":
		r.out = &csvReport{w: csvWriter{w: sum}, raw: sum}
	case "html":
		r.out = &pageReport{w: sum, r: r}
	default:
		r.out = &jsonReport{w: sum}
	}
	err = r.out.open()
	if err == nil {
		err = r.write(ctx)
	}
	if err == nil {
		err = r.out.close()
	}
	if err == nil {
		s := Seal{
			Instance: r.instance(), From: r.from, To: r.to, TZ: r.zone.String(), Format: r.format, Created: r.now, By: r.by,
			Blocks: r.blocks, Bytes: sum.n, SHA256: hex.EncodeToString(sum.sum.Sum(nil)),
		}
		s.sign(key)
		err = r.out.seal(s.text())
	}
	if err == nil {
		err = raw.Flush()
	}
	switch {
	case err == nil:
	case !begun:
		r.s.writeProblem(w, req, r.s.managed(ctx, req.Pattern, err))
	default:
		if !errors.Is(err, context.Canceled) {
			r.s.log.WarnContext(ctx, "report broken off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (r *report) header(w http.ResponseWriter) {
	h := w.Header()
	name := "warder-report-" + r.from.In(r.zone).Format(time.DateOnly) + "-" + r.to.Add(-time.Second).In(r.zone).Format(time.DateOnly) + "." + r.format
	kind := "attachment"
	if r.format == "html" {
		h["Content-Type"] = []string{"text/html; charset=utf-8"}
		h["Content-Security-Policy"] = []string{reportCSP}
		if r.inline {
			kind = "inline"
		}
	} else {
		h["Content-Type"] = []string{exportTypes[r.format]}
	}
	h["Content-Disposition"] = []string{kind + `; filename="` + name + `"`}
	w.WriteHeader(http.StatusOK)
}

// fieldName is a column as a name in JSON.
func fieldName(column string) string {
	return strings.ReplaceAll(strings.ReplaceAll(column, "-", "_"), " ", "_")
}

// object is a row as JSON, its fields in the order of the columns.
func object(b []byte, columns []string, cells []any) ([]byte, error) {
	b = append(b, '{')
	for i, c := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(fieldName(c))
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(cells[i])
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// jsonReport is one JSON object of lists.
type jsonReport struct {
	w       io.Writer
	columns []string
	some    bool
	buf     []byte
}

func (j *jsonReport) print(s string) error {
	_, err := io.WriteString(j.w, s)
	return err
}

func (j *jsonReport) open() error { return j.print("{\n") }

func (j *jsonReport) begin(s *section) error {
	j.columns, j.some = s.columns, false
	return j.print(`"` + s.name + `":[`)
}

func (j *jsonReport) row(cells ...any) (err error) {
	j.buf = append(j.buf[:0], '\n')
	if j.some {
		j.buf = append(j.buf[:0], ",\n"...)
	}
	j.some = true
	if j.buf, err = object(j.buf, j.columns, cells); err != nil {
		return err
	}
	_, err = j.w.Write(j.buf)
	return err
}

func (j *jsonReport) end() error             { return j.print("],\n") }
func (j *jsonReport) chart([]store.Bucket)   {}
func (j *jsonReport) close() error           { return nil }
func (j *jsonReport) seal(text []byte) error { return j.print(sealLine("json", text) + "\n") }

// linesReport is a line of JSON for each row.
type linesReport struct {
	w       io.Writer
	name    string
	columns []string
	buf     []byte
}

func (l *linesReport) open() error { return nil }

func (l *linesReport) begin(s *section) error {
	l.name, l.columns = s.name, append([]string{"section"}, s.columns...)
	return nil
}

func (l *linesReport) row(cells ...any) (err error) {
	if l.buf, err = object(l.buf[:0], l.columns, append([]any{l.name}, cells...)); err != nil {
		return err
	}
	l.buf = append(l.buf, '\n')
	_, err = l.w.Write(l.buf)
	return err
}

func (l *linesReport) end() error           { return nil }
func (l *linesReport) chart([]store.Bucket) {}
func (l *linesReport) close() error         { return nil }

func (l *linesReport) seal(text []byte) error {
	_, err := io.WriteString(l.w, sealLine("ndjson", text)+"\n")
	return err
}

// csvReport is a table for each section, the name of the section in its first
// column, with a blank line between two.
type csvReport struct {
	w     csvWriter
	raw   io.Writer
	name  string
	cells []string
}

func (c *csvReport) open() error { return nil }

func (c *csvReport) begin(s *section) error {
	c.name = s.name
	return c.w.row(append([]string{"section"}, s.columns...))
}

func (c *csvReport) row(cells ...any) error {
	c.cells = append(c.cells[:0], c.name)
	for _, v := range cells {
		c.cells = append(c.cells, plainCell(v))
	}
	return c.w.row(c.cells)
}

func (c *csvReport) end() error {
	_, err := io.WriteString(c.raw, "\r\n")
	return err
}

func (c *csvReport) chart([]store.Bucket) {}
func (c *csvReport) close() error         { return nil }

func (c *csvReport) seal(text []byte) error {
	_, err := io.WriteString(c.raw, sealLine("csv", text)+"\r\n")
	return err
}

// pageReport is a page to print. It has no script, no picture and no style but
// its own, which its content security policy names by its hash.
type pageReport struct {
	w       io.Writer
	r       *report
	s       *section
	rows    int
	drawing []store.Bucket
	err     error
}

const reportStyle = `
:root{color-scheme:light}
body{font:14px/1.45 system-ui,sans-serif;color:#1a1d21;background:#fff;margin:2rem auto;max-width:75rem;padding:0 1.5rem}
h1{font-size:1.7rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2rem 0 .25rem;break-after:avoid}
p{margin:.25rem 0 .5rem;color:#4a5058}
table{border-collapse:collapse;width:100%;font-size:.8rem}thead{display:table-header-group}tr{break-inside:avoid}
th,td{text-align:left;vertical-align:top;padding:.25rem .5rem;border-bottom:1px solid #d5d9de;overflow-wrap:anywhere}
th{border-bottom:2px solid #8a929b;overflow-wrap:normal}td.n{text-align:right;font-variant-numeric:tabular-nums}td.t{white-space:nowrap}
td.x{white-space:pre-wrap;font-family:ui-monospace,monospace;font-size:.72rem}
table.many thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table.many tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.25rem 1rem;padding:.6rem 0;border-bottom:1px solid #d5d9de}
table.many td{border:0;padding:0;text-align:left;white-space:normal}table.many td::before{content:attr(data-column);display:block;font:.72rem system-ui,sans-serif;color:#4a5058}
table.many td.x{grid-column:1/-1;white-space:pre-wrap}table.many tbody,table.many{display:block}
@media screen and (max-width:48rem){body{padding:0 1rem}section{overflow-x:auto}}
svg{width:100%;height:auto;margin:.5rem 0}.info{fill:#1c7ed6}.warning{fill:#f2c037}.high{fill:#e8590c}.critical{fill:#c92a2a}.axis{fill:#4a5058;font-size:11px}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.75rem;background:#f3f5f7;padding:.75rem}
@page{margin:15mm}@media print{body{margin:0;max-width:none;padding:0;font-size:11px}}
`

var reportCSP = func() string {
	sum := sha256.Sum256([]byte(reportStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

func (p *pageReport) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// visible is a text as it may stand in a page: what cannot be seen, or turns
// the direction of what follows, is shown as what it is.
func visible(s string) string {
	return html.EscapeString(strings.Map(func(c rune) rune {
		if c != '\n' && c != '\t' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || unicode.Is(unicode.Co, c)) {
			return '\ufffd'
		}
		return c
	}, s))
}

func (p *pageReport) open() error {
	title := "Security report, " + p.local(p.r.from) + " to " + p.local(p.r.to)
	p.printf("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"+
		"<title>%s</title><style>%s</style></head><body><main>\n", visible(title), reportStyle)
	return p.err
}

func (p *pageReport) local(t time.Time) string { return t.In(p.r.zone).Format("2006-01-02 15:04:05") }

func (p *pageReport) begin(s *section) error {
	p.s, p.rows = s, 0
	tag := "h2"
	if s.name == "report" {
		tag = "h1"
	}
	p.printf("<section id=\"%s\"><%s>%s</%s>\n", s.name, tag, visible(s.title), tag)
	if s.note != "" {
		p.printf("<p>%s</p>\n", visible(s.note))
	}
	p.draw()
	// A row of many columns is a card, each cell under its name: as a table it
	// would be wider than every screen and every sheet.
	if p.many() {
		p.printf("<table class=\"many\"><thead><tr>")
	} else {
		p.printf("<table><thead><tr>")
	}
	for _, c := range s.columns {
		p.printf("<th scope=\"col\">%s</th>", visible(columnTitle(c)))
	}
	p.printf("</tr></thead><tbody>\n")
	return p.err
}

func columnTitle(c string) string { return strings.ToUpper(c[:1]) + c[1:] }

// many says whether the rows of the section are cards.
func (p *pageReport) many() bool { return len(p.s.columns) > 8 }

func (p *pageReport) row(cells ...any) error {
	p.rows++
	p.printf("<tr>")
	for i, v := range cells {
		class, text := "", ""
		switch v := v.(type) {
		case int64:
			class, text = "n", strconv.FormatInt(v, 10)
		case time.Time:
			class, text = "t", p.local(v)
		case *time.Time:
			if v != nil {
				class, text = "t", p.local(*v)
			}
		default:
			text = plainCell(v)
			switch {
			case strings.ContainsAny(text, "\n{"):
				class = "x"
			case p.s.columns[i] == "day":
				class = "t"
			}
			if text != "" {
				text = "<bdi>" + visible(text) + "</bdi>"
			}
		}
		if p.many() && text == "" {
			continue // a card tells what there is
		}
		p.printf("<td")
		if class != "" {
			p.printf(" class=\"%s\"", class)
		}
		if p.many() {
			p.printf(" data-column=\"%s\"", visible(columnTitle(p.s.columns[i])))
		}
		p.printf(">%s</td>", text)
	}
	p.printf("</tr>\n")
	return p.err
}

func (p *pageReport) end() error {
	if p.rows == 0 {
		p.printf("<tr><td colspan=\"%d\">None.</td></tr>\n", len(p.s.columns))
	}
	p.printf("</tbody></table></section>\n")
	return p.err
}

// chart is drawn at the head of the next section.
func (p *pageReport) chart(buckets []store.Bucket) { p.drawing = buckets }

// draw draws bars of severities by day.
func (p *pageReport) draw() {
	list := p.drawing
	p.drawing = nil
	most := int64(0)
	for _, b := range list {
		most = max(most, b.Info+b.Warning+b.High+b.Critical)
	}
	if most == 0 {
		return
	}
	const width, height = 1000.0, 180.0
	step := width / float64(len(list))
	p.printf("<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Events by day and severity; the table below has the figures\">", width, height+20)
	for i, b := range list {
		y := height
		for _, part := range []struct {
			class string
			n     int64
		}{{"info", b.Info}, {"warning", b.Warning}, {"high", b.High}, {"critical", b.Critical}} {
			h := float64(part.n) / float64(most) * (height - 10)
			if part.n == 0 {
				continue
			}
			y -= h
			p.printf("<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>", part.class, float64(i)*step, y, max(step*0.85, 0.5), h)
		}
	}
	p.printf("<text class=\"axis\" x=\"0\" y=\"%.0f\">%s</text><text class=\"axis\" x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%s</text></svg>\n",
		height+14, list[0].Time.In(p.r.zone).Format(time.DateOnly), width, height+14, list[len(list)-1].Time.In(p.r.zone).Format(time.DateOnly))
	p.printf("<p>Bars: info (blue), warning (yellow), high (orange), critical (red), from the bottom up. The highest is %d events.</p>\n", most)
}

func (p *pageReport) close() error { return p.err }

func (p *pageReport) seal(text []byte) error {
	p.printf("%s\n", sealLine("html", text))
	return p.err
}
