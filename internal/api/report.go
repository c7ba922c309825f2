package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/store"
)

// ReportQuery asks for the security report of a time.
type ReportQuery struct {
	Period string    `query:"period" enum:"previous_week,previous_month,previous_quarter,previous_year,this_month,this_quarter,last_7_days,last_30_days,last_90_days" doc:"A calendar period in the time zone; or from and to."`
	From   time.Time `query:"from" doc:"Beginning, with to; not beside period."`
	To     time.Time `query:"to" doc:"End, not included."`
	TZ     string    `query:"tz" maxLength:"64" default:"UTC" doc:"Time zone that days begin in, such as Asia/Kolkata."`
	Format string    `query:"format" enum:"json,ndjson,csv,html" default:"json"`
	Inline bool      `query:"inline" doc:"Show it in the browser instead of saving it; html only."`
}

// Seal is the last line of a report: what was signed, and the signature. The
// hash covers every byte of the file before that line.
type Seal struct {
	Kind      string    `json:"kind" enum:"warder.report.v1"`
	Instance  string    `json:"instance" doc:"The installation that made it."`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	TZ        string    `json:"tz"`
	Format    string    `json:"format" enum:"json,ndjson,csv,html"`
	Created   time.Time `json:"created"`
	By        string    `json:"by" doc:"Who asked for it."`
	Blocks    int64     `json:"blocks" doc:"Blocks listed."`
	Bytes     int64     `json:"bytes" doc:"Bytes before the seal."`
	SHA256    string    `json:"sha256" doc:"Of the bytes before the seal, in hexadecimal."`
	Key       string    `json:"key" doc:"Ed25519 public key, in hexadecimal."`
	Signature string    `json:"signature" doc:"Ed25519 signature over the other fields, in hexadecimal."`
}

// VerifyReportBody is what is known of a file: its seal, and the hash that was
// computed of the bytes before it.
type VerifyReportBody struct {
	Seal   Seal   `json:"seal" doc:"The last line of the file."`
	SHA256 string `json:"sha256" pattern:"^[0-9a-f]{64}$" doc:"Of the bytes before the seal, as the file is now."`
	Bytes  int64  `json:"bytes" minimum:"0" doc:"Bytes before the seal, as the file is now."`
}

// VerifyReportAnswer says whether a report is genuine.
type VerifyReportAnswer struct {
	Valid bool   `json:"valid"`
	Fault string `json:"fault,omitempty" doc:"What is the matter with it."`
	Key   string `json:"key" doc:"The public key that this installation signs with, in hexadecimal."`
}

// sealKind names the format of a report and its seal.
const sealKind = "warder.report.v1"

// reportKey is what reports are signed with. It is derived from the secret of
// the installation, so that it outlives restarts and backups.
func reportKey(secret []byte) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, "warder report signature", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// text is the seal as Warder writes it; nil if it has a time that nobody could
// write.
func (s Seal) text() []byte {
	s.From, s.To, s.Created = s.From.UTC(), s.To.UTC(), s.Created.UTC()
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return text
}

// signed are the bytes that a signature is over: the seal without it.
func (s Seal) signed() []byte {
	s.Signature = ""
	return append([]byte(sealKind+"\n"), s.text()...)
}

func (s *Seal) sign(key ed25519.PrivateKey) {
	s.Kind, s.Key = sealKind, hex.EncodeToString(key.Public().(ed25519.PublicKey))
	s.Signature = hex.EncodeToString(ed25519.Sign(key, s.signed()))
}

// Check says what is the matter with a report whose bytes before the seal have
// the given hash and number; "" if nothing. That the key is the installation's
// own is for the caller to see.
func (s Seal) Check(sum string, n int64) string {
	key, err := hex.DecodeString(s.Key)
	signature, err2 := hex.DecodeString(s.Signature)
	switch {
	case s.Kind != sealKind:
		return "this is no report of Warder, or one of a version that is not known here"
	case err != nil || err2 != nil || len(key) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize,
		s.Signature != hex.EncodeToString(signature), s.text() == nil:
		return "the seal is damaged"
	case !ed25519.Verify(key, s.signed(), signature):
		return "the seal was changed, or was not written with its key"
	case s.Bytes != n:
		return fmt.Sprintf("the report has %d bytes before its seal, %d were signed: something was added or cut off", n, s.Bytes)
	case s.SHA256 != sum:
		return "the report was changed after it was signed"
	}
	return ""
}

// blanks may stand behind a report; programs that carry files add them.
const blanks = " \t\r\n"

// maxReportLine bounds a line of a report, in bytes.
const maxReportLine = 64 << 20

// ReadSeal reads a report in any of its formats in flat memory: the seal that
// its last line holds, and the hash and number of the bytes before it.
func ReadSeal(r io.Reader) (seal Seal, sum string, n int64, err error) {
	h := sha256.New()
	in := bufio.NewReaderSize(r, 64<<10)
	var last []byte
	for {
		line, err := in.ReadBytes('\n')
		if len(line)+len(last) > maxReportLine {
			return seal, "", n, errors.New("a line is longer than any of a report")
		}
		if len(bytes.Trim(line, blanks)) > 0 {
			h.Write(last)
			n += int64(len(last))
			last = line
		} else if len(line) > 0 {
			last = append(last, line...) // blank lines at the end belong to no hash
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return seal, "", n, err
		}
	}
	line := strings.TrimRight(string(last), blanks)
	text, ok := sealText(line)
	if !ok {
		return seal, "", n, errors.New("there is no seal at its end: it is no report of Warder, or its end is missing")
	}
	if err := unmarshalStrict([]byte(text), &seal); err != nil {
		return seal, "", n, errors.New("the seal at its end cannot be read")
	}
	// No hash covers the last line: it has to be the one that Warder writes.
	if line != sealLine(seal.Format, seal.text()) {
		return seal, "", n, errors.New("the line of its seal was changed")
	}
	return seal, hex.EncodeToString(h.Sum(nil)), n, nil
}

// sealForms is how the seal stands in the last line of a report, by format.
var sealForms = map[string]struct {
	before, after string
	write, read   func(string) string
}{
	"json":   {`"seal":`, `}`, asItIs, asItIs},
	"ndjson": {`{"section":"seal","seal":`, `}`, asItIs, asItIs},
	"csv":    {`"seal","`, `"`, strings.NewReplacer(`"`, `""`).Replace, strings.NewReplacer(`""`, `"`).Replace},
	"html": {
		`<footer><h2>Signature</h2><p>This line seals everything above it: warder export verify FILE.</p><pre id="seal">`,
		`</pre></footer></main></body></html>`, html.EscapeString, html.UnescapeString,
	},
}

func asItIs(s string) string { return s }

// sealLine is the last line of a report; "" for a format that is not known.
func sealLine(format string, seal []byte) string {
	f, ok := sealForms[format]
	if !ok {
		return ""
	}
	return f.before + f.write(string(seal)) + f.after
}

// sealText finds the seal in the last line of a report.
func sealText(line string) (string, bool) {
	for _, f := range sealForms {
		if text, ok := strings.CutPrefix(line, f.before); ok {
			if text, ok = strings.CutSuffix(text, f.after); ok {
				return f.read(text), true
			}
		}
	}
	return "", false
}

func (s *Server) manageReports() {
	registerRaw(s, "GET /v1/export/report", "export-report", "The security report of a time, signed: JSON, NDJSON, CSV or a page to print; streamed, never cut", 0,
		func(ctx context.Context, in *ReportQuery) (*huma.StreamResponse, error) {
			r, err := s.newReport(ctx, in)
			if err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				req, w := humago.Unwrap(hc)
				r.serve(ctx, req, w)
			}}, nil
		})
	register(s, "POST /v1/export/verify", "verify-report", "Whether a report was made here and is unchanged", 0,
		func(_ context.Context, in *body[VerifyReportBody]) (VerifyReportAnswer, error) {
			key, err := reportKey(s.opts.Secret)
			if err != nil {
				return VerifyReportAnswer{}, err
			}
			out := VerifyReportAnswer{Key: hex.EncodeToString(key.Public().(ed25519.PublicKey))}
			out.Fault = in.Body.Seal.Check(in.Body.SHA256, in.Body.Bytes)
			if out.Fault == "" && in.Body.Seal.Key != out.Key {
				out.Fault = "it was signed by another installation"
			}
			out.Valid = out.Fault == ""
			return out, nil
		})
}

// span reads the time that a report is about.
func (q *ReportQuery) span(now time.Time) (from, to time.Time, zone *time.Location, err error) {
	if zone, err = loadZone(q.TZ); err != nil {
		return from, to, zone, err
	}
	y, m, d := now.In(zone).Date()
	at := func(y int, m time.Month, d int) time.Time { return store.Midnight(y, m, d, zone) }
	quarter := (m-1)/3*3 + 1
	monday := d - (int(now.In(zone).Weekday())+6)%7
	switch q.Period {
	case "previous_week":
		from, to = at(y, m, monday-7), at(y, m, monday)
	case "previous_month":
		from, to = at(y, m-1, 1), at(y, m, 1)
	case "previous_quarter":
		from, to = at(y, quarter-3, 1), at(y, quarter, 1)
	case "previous_year":
		from, to = at(y-1, 1, 1), at(y, 1, 1)
	case "this_month":
		from, to = at(y, m, 1), at(y, m+1, 1)
	case "this_quarter":
		from, to = at(y, quarter, 1), at(y, quarter+3, 1)
	case "last_7_days":
		from, to = at(y, m, d-6), at(y, m, d+1)
	case "last_30_days":
		from, to = at(y, m, d-29), at(y, m, d+1)
	case "last_90_days":
		from, to = at(y, m, d-89), at(y, m, d+1)
	case "":
		from, to = q.From, q.To
	}
	var f warder.Faults
	switch {
	case q.Period != "" && (!q.From.IsZero() || !q.To.IsZero()):
		f.Add("query.period", "cannot stand beside from and to")
	case from.IsZero() || to.IsZero():
		f.Add("query.period", "is required, or from and to")
	case from.UTC().Year() < 1:
		f.Add("query.from", "must be in the year 1 or later")
	case !from.Before(to):
		f.Add("query.to", "must be after query.from")
	case to.Sub(from) > store.MaxTrendDays*24*time.Hour:
		f.Add("query.to", "must be at most %d days after query.from", store.MaxTrendDays)
	case from.After(now):
		f.Add("query.from", "lies ahead")
	}
	if q.Inline && q.Format != "html" {
		f.Add("query.inline", "is for html only")
	}
	return from, to, zone, f.Err()
}
