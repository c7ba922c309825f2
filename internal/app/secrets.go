package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"log/slog"
)

// secrets are what is derived from the two keys of the data directory.
type secrets struct {
	tokens    []byte // signs attempts and clearances
	counters  []byte // keys the digests of the counters
	operators []byte // seals what operators sign in with
	settings  []byte // seals the passwords among the settings
	reports   []byte // signs reports
	gate      []byte // signs device cookies, keys the names of sessions and wrong passwords
	pages     []byte // signs the addresses of pages for end users
	audit     []byte

	replaced bool // the key of all but audit was missing, and is a new one
}

func (d *dataDir) secrets() (s secrets, err error) {
	// A new audit key beside an old trail would make every row of it look
	// forged, so it is not made silently.
	if d.has(DatabaseFile) && !d.has(auditFile) {
		return s, fmt.Errorf("%s is missing, without it the audit trail in %s cannot be verified: restore it from a backup, or move the database away to start anew",
			d.file(auditFile), d.file(DatabaseFile))
	}
	if s.audit, err = d.secret(auditFile); err != nil {
		return s, err
	}
	s.replaced = d.has(DatabaseFile) && !d.has(secretFile)
	root, err := d.secret(secretFile)
	if err != nil {
		return s, err
	}
	for _, to := range []struct {
		key *[]byte
		use string
	}{
		{&s.tokens, "tokens"},
		{&s.counters, "counters"},
		{&s.operators, "operators"},
		{&s.settings, "settings"},
		{&s.reports, "reports"},
		{&s.gate, "gate"},
		{&s.pages, "pages"},
	} {
		if *to.key, err = hkdf.Key(sha256.New, root, nil, "warder "+to.use, keyBytes); err != nil {
			return s, fmt.Errorf("derive key: %w", err)
		}
	}
	return s, nil
}

// tellReplaced says what a new secret.key beside an old database costs. Blocks,
// policy, passwords and passkeys of operators and API keys do without it, so
// that the instance starts all the same.
func (a *App) tellReplaced(ctx context.Context) {
	level := slog.LevelWarn
	if a.opts.Local {
		level = slog.LevelError // commands show nothing less, and the next start finds a key
	}
	a.log.Log(ctx, level, "secret.key was missing beside a database, a new one was made", "file", a.dir.file(secretFile),
		"lost", "device cookies and sessions of people behind the gate, clearances and links to challenges, sign-ins under way, "+
			"authenticator apps and recovery codes of operators, the mail password among the settings, the genuineness of reports exported before",
		"remedy", "stop Warder, put the file back from the backup and start again; if there is none, set the mail password again and run warder operator reset for whoever has an authenticator app")
}
