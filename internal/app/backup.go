package app

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/warderhq/warder/internal/api"
	"github.com/warderhq/warder/internal/counter"
	"github.com/warderhq/warder/internal/guard"
	"github.com/warderhq/warder/internal/policy"
	"github.com/warderhq/warder/internal/store"
)

// manifest is the first member of a backup.
type manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the Warder that wrote it
	Schema  int64     `json:"schema"`  // of the database
	Time    time.Time `json:"time"`
}

const (
	manifestFile = "manifest.json"
	backupFormat = 1
	maxSmallFile = 1 << 20 // of members that are not the database

	// restoringFile stands in the data directory while a restore moves files.
	restoringFile = "restoring"
)

// members are the files of a backup, in the order in which they are written.
// The keys are among them: a database without its audit key cannot be verified
// and is not started. A backup is therefore as secret as the data directory.
var members = []string{manifestFile, secretFile, auditFile, anchorFile, DatabaseFile}

// serveBackup answers with a backup: a tar archive of the members. The
// instance goes on serving meanwhile.
func (a *App) serveBackup(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{}) // a large database takes its time
	dir, err := os.MkdirTemp(a.dir.path, ".backup-*")
	if err != nil {
		a.refuse(w, r, fmt.Errorf("make a backup: %w", err))
		return
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays is removed by the next start
	if err := a.snapshot(ctx, dir); err != nil {
		a.refuse(w, r, err)
		return
	}
	actor := "cli"
	if uid, ok := api.PeerUID(ctx); ok {
		actor = fmt.Sprintf("cli:%d", uid)
	}
	err = a.db.AppendAudit(ctx, guard.Audit{Time: time.Now().UTC(), Actor: actor, Action: "backup"})
	if err != nil {
		a.refuse(w, r, fmt.Errorf("audit the backup: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := writeTar(w, dir); err != nil {
		a.log.ErrorContext(ctx, "backup is cut off", "error", err)
		panic(http.ErrAbortHandler) // the reader must not take it for whole
	}
}

func (a *App) refuse(w http.ResponseWriter, r *http.Request, err error) {
	a.log.ErrorContext(r.Context(), "backup not made", "error", err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusInternalServerError)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the caller is gone if it fails
		"type": "about:blank", "title": "Internal Server Error", "status": http.StatusInternalServerError, "detail": err.Error(),
	})
}

// snapshot gathers the members in dir.
func (a *App) snapshot(ctx context.Context, dir string) error {
	schema, err := a.db.SchemaVersion(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	m := manifest{Format: backupFormat, Version: a.opts.Version, Schema: schema, Time: time.Now().UTC()}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, manifestFile), append(text, '\n'), 0o600); err != nil {
		return err
	}
	// The anchor is copied before the database, so that it is never ahead of it:
	// an anchor that knows of more rows would look like a trail cut short.
	for _, name := range []string{secretFile, auditFile, anchorFile} {
		content, err := os.ReadFile(a.dir.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	if err := a.db.Backup(ctx, filepath.Join(dir, DatabaseFile)); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}

func writeTar(w io.Writer, dir string) error {
	tw := tar.NewWriter(w)
	for _, name := range members {
		if err := addFile(tw, filepath.Join(dir, name), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return tw.Close()
}

func addFile(tw *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	err = tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime(), Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}

// Restored says what Restore did.
type Restored struct {
	Version string    `json:"version"` // that wrote the backup
	Time    time.Time `json:"time"`    // of the backup
	Audit   int64     `json:"audit_rows"`
	Aside   string    `json:"moved_aside,omitempty"` // where the files are that stood there before
}

// Restore puts a backup into the data directory dir, which no process may be
// serving. Everything of the backup is read, checked for damage and its audit
// trail verified before anything in dir changes. A database that stands there
// is refused unless replace is set; its files are moved aside, not deleted.
func Restore(ctx context.Context, dir string, backup io.Reader, replace bool) (done Restored, err error) {
	d, err := openData(dir)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if d.has(DatabaseFile) && !replace {
		return done, fmt.Errorf("%s exists: give --replace to move it aside, or restore into another directory with --data", d.file(DatabaseFile))
	}
	fresh, err := os.MkdirTemp(dir, ".restore-*")
	if err != nil {
		return done, unwritable(dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	m, err := readTar(backup, fresh)
	if err != nil {
		return done, fmt.Errorf("read the backup: %w", err)
	}
	done.Version, done.Time = m.Version, m.Time
	if done.Audit, err = examine(ctx, fresh); err != nil {
		return done, err
	}
	if err := writeFile(d.file(restoringFile), nil); err != nil {
		return done, unwritable(dir, err)
	}
	if done.Aside, err = d.moveAside(); err != nil {
		return done, fmt.Errorf("move the old files aside: %w", err)
	}
	for _, name := range members {
		if name == manifestFile {
			continue
		}
		if err := os.Rename(filepath.Join(fresh, name), d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
	}
	if err := syncDir(dir); err != nil {
		return done, err
	}
	if err := os.Remove(d.file(restoringFile)); err != nil {
		return done, err
	}
	return done, syncDir(dir)
}

// whole refuses a directory in which a restore was cut off between the old files
// and the new ones. A start would make an empty database, in which nobody is
// blocked and everybody may become the first owner.
func (d *dataDir) whole() error {
	if !d.has(restoringFile) {
		return nil
	}
	return fmt.Errorf("a restore into data directory %s was cut off: repeat it with warder restore --replace (what stood there before is in %s)",
		d.path, d.file("replaced-*"))
}

// readTar unpacks the members of a backup, each at most once, nothing else.
func readTar(r io.Reader, dir string) (m manifest, err error) {
	tr := tar.NewReader(r)
	seen := map[string]bool{}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m, fmt.Errorf("this is no complete backup of Warder (%w)", err)
		}
		switch {
		case !slices.Contains(members, h.Name) || h.Typeflag != tar.TypeReg:
			return m, fmt.Errorf("this is no backup of Warder: it holds %.64q", h.Name)
		case seen[h.Name]:
			return m, fmt.Errorf("%s is in it twice", h.Name)
		case h.Name != DatabaseFile && h.Size > maxSmallFile:
			return m, fmt.Errorf("%s is larger than %d bytes", h.Name, maxSmallFile)
		}
		seen[h.Name] = true
		if err := unpack(filepath.Join(dir, h.Name), tr); err != nil {
			return m, fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
	for _, name := range []string{manifestFile, secretFile, auditFile, DatabaseFile} {
		if !seen[name] {
			return m, fmt.Errorf("this is no complete backup of Warder: %s is missing", name)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", manifestFile, err)
	}
	if m.Format != backupFormat {
		return m, fmt.Errorf("backup format %d is not known to this version: restore it with Warder %.32s", m.Format, m.Version)
	}
	return m, nil
}

func unpack(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// examine opens the unpacked database as a start would, and reads all of it.
func examine(ctx context.Context, dir string) (rows int64, err error) {
	keys, err := (&dataDir{path: dir}).secrets()
	if err != nil {
		return 0, err
	}
	db, err := store.Open(ctx, store.Options{Path: filepath.Join(dir, DatabaseFile), AuditKey: keys.audit})
	if err != nil {
		return 0, remedy(err, dir)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.IntegrityCheck(ctx); err != nil {
		return 0, fmt.Errorf("the database in the backup is damaged: %w", err)
	}
	report, err := db.VerifyAudit(ctx)
	if err != nil {
		return 0, fmt.Errorf("verify the audit trail in the backup: %w", err)
	}
	if !report.OK {
		return 0, fmt.Errorf("the audit trail in the backup is not genuine: row %d: %s", report.Bad, report.Fault)
	}
	preset, err := policy.Preset("classic")
	if err != nil {
		return 0, fmt.Errorf("read preset classic: %w", err)
	}
	g, err := guard.New(guard.Options{
		Journal: db, Counters: counter.New(counter.Options{Secret: keys.counters}), Secret: keys.tokens, Preset: preset,
	})
	if err != nil {
		return 0, fmt.Errorf("make the engine: %w", err)
	}
	if err := leanly(func() error { return g.Load(ctx) }); err != nil {
		return 0, fmt.Errorf("a server could not start with the database in the backup: %w", err)
	}
	return report.Rows, nil
}

// moveAside puts the files that a restore replaces into a directory of their
// own, if there are any.
func (d *dataDir) moveAside() (string, error) {
	names := []string{secretFile, auditFile, anchorFile, DatabaseFile, DatabaseFile + "-wal", DatabaseFile + "-shm"}
	aside := ""
	for _, name := range names {
		if !d.has(name) {
			continue
		}
		if aside == "" {
			aside = d.file("replaced-" + time.Now().UTC().Format("20060102T150405.000Z"))
			if err := os.Mkdir(aside, 0o700); err != nil {
				return "", err
			}
		}
		if err := os.Rename(d.file(name), filepath.Join(aside, name)); err != nil {
			return aside, err
		}
	}
	return aside, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what an interrupted backup or restore left behind.
func (d *dataDir) sweep() error {
	for _, pattern := range []string{".backup-*", ".restore-*"} {
		left, err := filepath.Glob(d.file(pattern))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}
