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
		Log:             Log{Level: slog.LevelInfo, Format: "text"},
	}
}
