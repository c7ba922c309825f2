package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// The oldest SQLite that does not damage a WAL database with several
// connections.
const minSQLite = "3.51.3"

// DB is an open database. Methods are safe for concurrent use.
type DB struct {
	path   string
	real   string // path without links: the log lies beside what a link names
	log    *slog.Logger
	key    []byte
	readDB *sql.DB
	pool   *sql.DB // of the one writing connection

	readsMu sync.Mutex
	reads   map[string]*sql.Stmt // see read

	turn    chan struct{} // holds one token: whose turn it is to write
	w       *sql.Conn
	stmts   map[string]*sql.Stmt // prepared on w; used by the holder of the turn
	recent  *recent              // used by the holder of the turn
	head    auditHead            // as committed; used by the holder of the turn
	history atomic.Int64         // look-back of History in microseconds

	checkpointer *checkpointer
	durable      *durable

	closing sync.Once
}

// Open opens or creates the database and brings it to the version of this
// program. Its errors are one line that names the file and what to do: they
// wrap ErrNewer, ErrCorrupt, ErrLocked, ErrNotWritable or ErrOldSQLite.
func Open(ctx context.Context, o Options) (*DB, error) {
	if len(o.AuditKey) < 32 {
		return nil, errors.New("open database: the audit key must be at least 32 bytes")
	}
	if o.Path == "" {
		return nil, errors.New("open database: no path")
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = time.Second
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &DB{
		path: o.Path, log: o.Logger, key: append([]byte(nil), o.AuditKey...),
		turn: make(chan struct{}, 1), stmts: make(map[string]*sql.Stmt),
		reads: make(map[string]*sql.Stmt), recent: newRecent(),
	}
	d.turn <- struct{}{}
	if err := d.open(ctx, o); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("open database %s: %w", o.Path, remedy(err))
	}
	return d, nil
}

func (d *DB) open(ctx context.Context, o Options) error {
	if err := checkFile(o.Path); err != nil {
		return err
	}
	var err error
	if d.real, err = filepath.EvalSymlinks(o.Path); err != nil {
		return err
	}
	if d.pool, err = sql.Open("sqlite", dsn(o, false)); err != nil {
		return err
	}
	d.pool.SetMaxOpenConns(1)
	if err := checkVersion(ctx, d.pool); err != nil {
		return err
	}
	if o.QuickCheck {
		if err := check(ctx, d.pool, "PRAGMA quick_check(1)"); err != nil {
			return err
		}
	}
	if err := migrate(ctx, d.pool); err != nil {
		return err
	}
	if d.w, err = d.pool.Conn(ctx); err != nil {
		return err
	}
	if d.readDB, err = sql.Open("sqlite", dsn(o, true)); err != nil {
		return err
	}
	d.readDB.SetMaxOpenConns(o.Readers)
	d.readDB.SetMaxIdleConns(o.Readers)
	// The names of new files are durable only when their directory is.
	if err := syncDir(d.real); err != nil {
		return err
	}
	if err := d.openCheckpointer(ctx, o); err != nil {
		return err
	}
	if err := d.openDurable(); err != nil {
		return err
	}
	// What a killed process left in the log is on the disk, too, after this.
	if err := d.Writable(ctx); err != nil {
		return err
	}
	return d.openAudit(ctx)
}

// dsn never holds anything that a stranger chose: the path is escaped, the
// rest is fixed.
func dsn(o Options, reader bool) string {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10))
	q.Set("_foreign_keys", "1")
	q.Add("_pragma", "temp_store(memory)")
	if reader {
		q.Set("_query_only", "1")
		q.Add("_pragma", "cache_size(-16384)")
	} else {
		q.Set("_auto_vacuum", "incremental")
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", "NORMAL") // see durable
		q.Add("_pragma", "cache_size(-32768)")
		q.Add("_pragma", "journal_size_limit("+strconv.Itoa(walLimit*pageSize)+")")
	}
	path := o.Path
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// checkFile finds out early, and in words, what SQLite would say in a riddle.
func checkFile(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: directory %s does not exist, create it", ErrNotWritable, dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%w: %s is not a directory", ErrNotWritable, dir)
	}
	// SQLite creates files beside the database, so the directory counts too.
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("%w: no file can be created in %s, check its owner, permissions and space", ErrNotWritable, dir)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%w: check the owner and permissions of the file", ErrNotWritable)
	}
	return f.Close()
}

func checkVersion(ctx context.Context, db *sql.DB) error {
	var v string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&v); err != nil {
		return err
	}
	if olderVersion(v, minSQLite) {
		return fmt.Errorf("%w: this program was built with %s, build it with %s or later", ErrOldSQLite, v, minSQLite)
	}
	return nil
}

func olderVersion(v, than string) bool {
	a, b := strings.Split(v, "."), strings.Split(than, ".")
	for i := range b {
		x, y := 0, 0
		if i < len(a) {
			x, _ = strconv.Atoi(a[i])
		}
		y, _ = strconv.Atoi(b[i])
		if x != y {
			return x < y
		}
	}
	return false
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithLogger(goose.NopLogger()),
		goose.WithAllowOutofOrder(true)) // parts of one release are written side by side
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fmt.Errorf("%w: it has version %d and this program knows %d, start the program that wrote it or a later one",
			ErrNewer, have, newest)
	}
	if pending, err := p.HasPending(ctx); err != nil || !pending {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}

// Close waits for the write under way and closes the database.
func (d *DB) Close() error {
	var err error
	d.closing.Do(func() {
		if d.checkpointer != nil {
			d.checkpointer.close()
		}
		if d.durable != nil {
			err = d.Sync() // so that the anchor is that of the last row
		}
		<-d.turn // never given back: later writes see a closed database
		for _, s := range d.stmts {
			_ = s.Close()
		}
		d.readsMu.Lock()
		for _, s := range d.reads {
			_ = s.Close()
		}
		d.readsMu.Unlock()
		if d.readDB != nil {
			err = errors.Join(err, d.readDB.Close())
		}
		if d.w != nil {
			err = errors.Join(err, d.w.Close())
		}
		if d.pool != nil {
			err = errors.Join(err, d.pool.Close())
		}
		if d.durable != nil {
			err = errors.Join(err, d.durable.file.Close())
		}
		close(d.turn)
	})
	return err
}

// SchemaVersion is the version of the schema in the database.
func (d *DB) SchemaVersion(ctx context.Context) (int64, error) {
	var v int64
	err := d.readDB.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&v)
	return v, translate(err)
}

// code is SQLite's result code of an error; 0 if it is not one of SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// translate turns the driver's errors into those of this package.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	switch c := code(err); c & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w: %w", ErrNotWritable, ErrDiskFull, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: %w", ErrNotWritable, err)
	case sqlite3.SQLITE_CONSTRAINT:
		if c == sqlite3.SQLITE_CONSTRAINT_UNIQUE || c == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
			return fmt.Errorf("%w: %w", ErrConflict, err)
		}
	}
	return err
}

// remedy adds to an error of Open what a person can do about it.
func remedy(err error) error {
	known := errors.Is(err, ErrNewer) || errors.Is(err, ErrNotWritable) || errors.Is(err, ErrOldSQLite)
	err = translate(err)
	switch {
	case known:
	case errors.Is(err, ErrLocked):
		return fmt.Errorf("%w, stop the other program that uses it", err)
	case errors.Is(err, ErrCorrupt):
		return fmt.Errorf("%w, restore a backup", err)
	case errors.Is(err, ErrNotWritable):
		return fmt.Errorf("%w, check permissions and free space", err)
	}
	return err
}

// check runs one of SQLite's checks.
func check(ctx context.Context, db *sql.DB, pragma string) error {
	var result string
	if err := db.QueryRowContext(ctx, pragma).Scan(&result); err != nil {
		return translate(err)
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", ErrCorrupt, strings.Join(strings.Fields(result), " "))
	}
	return nil
}
