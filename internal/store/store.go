// Package store keeps everything that must survive in one SQL database:
// events and their statistics, blocks, sessions, policy, alerts to deliver,
// people and keys, and the audit trail.
//
// It promises that what a write has returned for, or a Sync after a Commit,
// survives kill -9 and power loss, that a Commit repeated because its outcome was
// unknown doubles nothing, that no change lands without its audit row, that lists
// page by keys and stay stable while rows arrive, and that deleting old rows never
// holds the writer for long. It decides nothing and sends nothing. SQL is written
// in the subset that SQLite and PostgreSQL share; errors of the driver do not leave
// the package untranslated.
package store

import (
	"errors"
	"log/slog"
	"time"

	"github.com/warderhq/warder/internal/challenge"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/operator"
)

// Errors that callers may test for.
var (
	ErrNotFound          = errors.New("not found")
	ErrConflict          = errors.New("conflict")                                    // exists already, or was done already
	ErrSpent       error = challenge.ErrSpent                                        // see Spend
	ErrBadCursor         = errors.New("cursor is not one that this list handed out") // see Page
	ErrLocked            = errors.New("database is locked")                          // by another process, for longer than the busy timeout
	ErrNewer             = errors.New("database is newer than this program")
	ErrCorrupt           = errors.New("database is damaged")
	ErrNotWritable       = errors.New("database is not writable")
	ErrDiskFull          = errors.New("no space is left") // in an ErrNotWritable
	ErrOldSQLite         = errors.New("SQLite is too old")
)

// Options say where the database is and how it is opened.
type Options struct {
	// Path is the database file. Its directory must exist. Beside it stand
	// SQLite's -wal and -shm and the anchor of the audit trail, Path + ".anchor".
	Path string
	// AuditKey (32 bytes or more) authenticates the audit trail. It must be
	// kept outside the database and survive restarts.
	AuditKey []byte
	Logger   *slog.Logger
	// BusyTimeout is how long a write waits for another process that holds the
	// database; 0 means one second.
	BusyTimeout time.Duration
	// Readers is the number of reading connections; 0 means 4.
	Readers int
	// QuickCheck looks for damage before the database is used; it reads all of
	// it.
	QuickCheck bool

	walPages int64 // of tests, in place of walLimit
}

// MaxPage is the largest number of items that a list returns at once.
const MaxPage = 500

// Page asks for a part of a list: at most Limit items (1..MaxPage, 0 means
// 100) after Cursor, which is the Next of the part before.
type Page struct {
	Cursor string
	Limit  int
}

// List is one part of a list. Next is empty at the end.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

var (
	_ guard.Journal  = (*DB)(nil)
	_ operator.Store = (*DB)(nil)
)
