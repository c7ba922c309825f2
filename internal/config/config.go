// Package config is the configuration of one process: what the file, the
// environment and the command line say, in one checked value.
//
// It is strict and complete: an unknown name, a wrong type, a value out of
// range or a name given twice is a fault, and all faults are reported at once,
// each with its place. What runs next to other people's traffic must not guess
// what its operator meant. The policy is not configuration; see package policy.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is everything a process is told at its start. Sizes are bytes.
type Config struct {
	Listen          string
	PublicURL       string
	PublicListen    string // address of the pages for end users; empty: none
	TLS             TLS
	Data            string // directory
	TrustedProxies  []netip.Prefix
	ClientIPHeader  string
	NeverBlock      []netip.Prefix
	ProtectLoopback bool
	PolicyFile      string
	SMTP            SMTP
	Outbound        Outbound
	Retention       Retention
	Limits          Limits
	Sites           []Site
	Denied          Denied
	Challenge       Challenge
	Log             Log

	// Set names the settings that the file, the environment or the command line
	// gave a value, such as smtp.host, sorted.
	Set []string

	// Ignored are the WARDER_ variables of the environment that name no
	// setting, sorted. They are no fault, because orchestrators set such
	// variables of their own (WARDER_SERVICE_HOST), but worth a line in the log.
	Ignored []string
}

// TLS names the files of a certificate chain and its key; both or none.
type TLS struct {
	Cert, Key string
}

// SMTP is how mail leaves. An empty Host means that mails are written to files.
type SMTP struct {
	Host     string
	Port     int
	TLS      string // starttls, implicit or none
	User     string
	Password string
	From     string
	To       []string // told of alerts besides the operators
}

// Outbound is about what Warder connects to by itself.
type Outbound struct {
	// AllowPrivate may be reached by providers although they are not public
	// addresses, also without TLS: such as a mirror in the own network.
	AllowPrivate []netip.Prefix
}

// Retention bounds what is kept.
type Retention struct {
	EventsDays int
	MaxSize    int64
}

// Events is how long events are kept.
func (r Retention) Events() time.Duration { return time.Duration(r.EventsDays) * 24 * time.Hour }

// Limits bounds memory and requests.
type Limits struct {
	Counters int64 // memory of the counters
	Body     int64 // of one request
	Batch    int64 // of one request with many events
}

// Denied is what the access-denied page of forward auth says besides the
// reference; sites have their own.
type Denied struct {
	Brand, Contact string
}

// Challenge is how end users show that they are no robots.
type Challenge struct {
	Provider   string // embedded, or an external service: turnstile, hcaptcha, recaptcha
	SiteKey    string
	Secret     string
	Server     string   // in place of the service's own address
	Fallback   string   // outage or always: when the embedded one takes its place
	Difficulty int      // of the embedded one, in bits
	Origins    []string // that people may be sent back to
}

// Log says what is logged, and how.
type Log struct {
	Level  slog.Level
	Format string // text or json
}

// Default is the configuration of a process that is told nothing.
func Default() *Config {
	return &Config{
		Listen:          "127.0.0.1:8420",
		Data:            "./data",
		ClientIPHeader:  "X-Forwarded-For",
		ProtectLoopback: true,
		SMTP:            SMTP{Port: 587, TLS: "starttls"},
		Retention:       Retention{EventsDays: 400, MaxSize: 20 << 30},
		Limits:          Limits{Counters: 128 << 20, Body: 1 << 20, Batch: 8 << 20},
		Challenge:       Challenge{Provider: "embedded", Fallback: "outage", Difficulty: 17},
		Log:             Log{Level: slog.LevelInfo, Format: "text"},
	}
}
