package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/warderhq/warder"
)

// Denied writes the answer that a refused person sees: a page for browsers, a
// problem document (RFC 9457) for everybody else. It needs nothing from
// anywhere, since everything is refused to whoever sees it. The zero value
// works.
type Denied struct {
	Brand   string // name of the platform, shown above the heading; may be empty
	Contact string // whom to turn to, as a text: an e-mail address, a number; may be empty
}

// maxBrand bounds Brand and Contact, in bytes.
const maxBrand = 200

// words are what the page says in one language.
type words struct {
	Lang, Title, Text, Reference, Keep, Contact, Ask, Later, Session string
}

// languages are the page's; the first is for everybody who asks for none of
// them.
var languages = []words{
	{
		Lang: "en", Title: "Access denied",
		Text:      "Your request was refused because of unusual activity from your network address.",
		Reference: "Reference", Keep: "Please have this reference ready.",
		Contact: "Contact", Ask: "If you think this is a mistake, contact the people who run this site.",
		Later: "You can try again in about %s.", Session: "Your session was ended. Please sign in again.",
	},
	{
		Lang: "de", Title: "Zugriff verweigert",
		Text:      "Ihre Anfrage wurde wegen ungewöhnlicher Aktivität von Ihrer Netzwerkadresse abgelehnt.",
		Reference: "Kennung", Keep: "Bitte halten Sie diese Kennung bereit.",
		Contact: "Kontakt", Ask: "Wenn Sie das für einen Irrtum halten, wenden Sie sich an die Betreiber dieser Seite.",
		Later: "Sie können es in etwa %s erneut versuchen.", Session: "Ihre Sitzung wurde beendet. Bitte melden Sie sich neu an.",
	},
	{
		Lang: "fr", Title: "Accès refusé",
		Text:      "Votre demande a été refusée en raison d’une activité inhabituelle depuis votre adresse réseau.", //nolint:misspell // French
		Reference: "Référence", Keep: "Veuillez garder cette référence à portée de main.",
		Contact: "Contact", Ask: "Si vous pensez qu’il s’agit d’une erreur, contactez les responsables de ce site.",
		Later: "Vous pourrez réessayer dans environ %s.", Session: "Votre session a été fermée. Veuillez vous reconnecter.",
	},
	{
		Lang: "es", Title: "Acceso denegado",
		Text:      "Su solicitud se rechazó por actividad inusual desde su dirección de red.",
		Reference: "Referencia", Keep: "Tenga a mano esta referencia.",
		Contact: "Contacto", Ask: "Si cree que se trata de un error, póngase en contacto con los responsables de este sitio.",
		Later: "Puede volver a intentarlo en unos %s.", Session: "Su sesión ha finalizado. Vuelva a iniciar sesión.",
	},
}

// speak chooses the language that an Accept-Language header names first among
// ours. Weights are ignored: browsers write the list in order.
func speak(header string) *words {
	if len(header) > 256 {
		header = header[:256]
	}
	for tag := range strings.SplitSeq(header, ",") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		primary, _, _ := strings.Cut(tag, "-")
		for i := range languages {
			if strings.EqualFold(primary, languages[i].Lang) {
				return &languages[i]
			}
		}
	}
	return &languages[0]
}

const deniedStyle = `
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#1a1d21;--soft:#55606b;--line:#d9dee3;--mark:#b42318}
@media(prefers-color-scheme:dark){:root{--ground:#121417;--card:#1b1f24;--ink:#eceff2;--soft:#a4afba;--line:#343b43;--mark:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.25rem;background:var(--ground);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:34rem;background:var(--card);border:1px solid var(--line);border-top:4px solid var(--mark);border-radius:.6rem;padding:clamp(1.25rem,5vw,2.25rem)}
.brand{margin:0 0 .75rem;color:var(--soft);font-size:.9rem;overflow-wrap:anywhere}
h1{margin:0 0 .75rem;font-size:1.6rem;line-height:1.2;text-wrap:balance}
p{margin:0 0 .75rem}
dl{margin:1.5rem 0 0;padding-top:1.25rem;border-top:1px solid var(--line);display:grid;gap:1rem}
dt{color:var(--soft);font-size:.85rem}
dd{margin:0;overflow-wrap:anywhere}
.reference{font:600 1.5rem/1.3 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;letter-spacing:.06em;user-select:all}
small{color:var(--soft)}
`

var deniedPage = template.Must(template.New("denied").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
{{with .Brand}}<p class="brand">{{.}}</p>
{{end}}<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{with .Later}}<p>{{.}}</p>
{{end}}<p>{{.Ask}}</p>
{{if or .Reference .Contact}}<dl>
{{if .Reference}}<div><dt>{{.ReferenceWord}}</dt><dd class="reference">{{.Reference}}</dd><dd><small>{{.Keep}}</small></dd></div>
{{end}}{{if .Contact}}<div><dt>{{.ContactWord}}</dt><dd>{{.Contact}}</dd></div>
{{end}}</dl>
{{end}}</main>
</body>
</html>
`))

// deniedPolicy is the page's content security policy: nothing at all, but the
// one style sheet by its hash.
var deniedPolicy = func() []string {
	sum := sha256.Sum256([]byte(deniedStyle))
	return []string{"default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
}()

// ValidReference reports whether s looks like the reference of a refusal, such
// as 7K3M-22QP. Nothing else is ever shown.
func ValidReference(s string) bool {
	if len(s) != 9 || s[4] != '-' {
		return false
	}
	for i := range len(s) {
		if i != 4 && !strings.Contains("0123456789ABCDEFGHJKMNPQRSTVWXYZ", s[i:i+1]) {
			return false
		}
	}
	return true
}

// Write refuses a request by a decision, whose action is block. reference and
// retry_after of the decision are all that is told.
func (p Denied) Write(w http.ResponseWriter, r *http.Request, d *warder.Decision) {
	var after int64
	if d.RetryAfter != nil {
		after = *d.RetryAfter
	}
	p.write(w, r, d.Reference, after, d.Reason == warder.SessionRevoked)
}

// ServeHTTP is the page that a proxy can send people to: ?ref= is the reference
// to show.
func (p Denied) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("ref")
	if !ValidReference(ref) {
		ref = ""
	}
	p.write(w, r, ref, 0, false)
}

func (p Denied) write(w http.ResponseWriter, r *http.Request, ref string, after int64, session bool) {
	h := w.Header()
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["X-Frame-Options"] = []string{"DENY"}
	h["Vary"] = []string{"Accept, Accept-Language"}
	h["Content-Security-Policy"] = deniedPolicy
	if after > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(after, 10)}
	}
	var body []byte
	if WantsPage(r.Header) {
		h["Content-Type"] = []string{"text/html; charset=utf-8"}
		body = p.page(speak(r.Header.Get("Accept-Language")), ref, after, session)
	} else {
		h["Content-Type"] = []string{"application/problem+json"}
		detail := "Access denied."
		if session {
			detail = languages[0].Session
		}
		if ref != "" {
			detail += " Reference " + ref + "."
		}
		body = problem(http.StatusForbidden, "Access denied", detail, ref)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusForbidden)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func (p Denied) page(l *words, ref string, after int64, session bool) []byte {
	text, later := l.Text, ""
	if session {
		text = l.Session
	}
	if after > 0 {
		later = strings.Replace(l.Later, "%s", span(after), 1)
	}
	var b bytes.Buffer
	err := deniedPage.Execute(&b, map[string]any{
		"Lang": l.Lang, "Title": l.Title, "Text": text, "Later": later, "Ask": l.Ask, "Keep": l.Keep,
		"ReferenceWord": l.Reference, "ContactWord": l.Contact, "Reference": ref,
		"Brand": clip(p.Brand, maxBrand), "Contact": clip(p.Contact, maxBrand),
		"Style": template.CSS(deniedStyle), //nolint:gosec // our own constant
	})
	if err != nil {
		return []byte(l.Title) // the template is a constant and its data are texts
	}
	return b.Bytes()
}

// span writes seconds as people say them, in units that all languages share.
func span(seconds int64) string {
	switch {
	case seconds < 120:
		return strconv.FormatInt(seconds, 10) + " s"
	case seconds < 2*3600:
		return strconv.FormatInt((seconds+59)/60, 10) + " min"
	}
	return strconv.FormatInt((seconds+3599)/3600, 10) + " h"
}

// problem encodes a problem document.
func problem(status int, title, detail, ref string) []byte {
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail,omitempty"`
		Reference string `json:"reference,omitempty"`
	}{"about:blank", title, status, detail, ref})
	if err != nil {
		return nil // four texts and a number
	}
	return append(body, '\n')
}

// writeProblem answers with a problem document, whoever asks.
func writeProblem(w http.ResponseWriter, r *http.Request, status int, detail string) {
	body := problem(status, http.StatusText(status), detail, "")
	h := w.Header()
	h["Content-Type"] = []string{"application/problem+json"}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// WantsPage reports whether a browser opens a page with this request, as
// opposed to a script that wants data.
func WantsPage(h http.Header) bool {
	if strings.EqualFold(h.Get("X-Requested-With"), "XMLHttpRequest") {
		return false
	}
	return strings.Contains(h.Get("Accept"), "text/html")
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
