package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
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

func (s *Server) manageReports() {
	registerRaw(s, "GET /v1/export/report", "export-report", "The security report of a time, signed: JSON, NDJSON, CSV or a page to print; streamed, never cut", 0,
		func(context.Context, *ReportQuery) (*huma.StreamResponse, error) {
			return nil, newProblem(http.StatusNotImplemented, "Not finished yet.")
		})
	register(s, "POST /v1/export/verify", "verify-report", "Whether a report was made here and is unchanged", 0,
		func(context.Context, *body[VerifyReportBody]) (VerifyReportAnswer, error) {
			return VerifyReportAnswer{}, newProblem(http.StatusNotImplemented, "Not finished yet.")
		})
}
