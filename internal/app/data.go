package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// DatabaseFile is the name of the database inside the data directory.
const DatabaseFile = "warder.db"

// Other names inside the data directory.
const (
	lockFile    = "warder.lock"
	socketFile  = "warder.sock"
	anchorFile  = DatabaseFile + ".anchor"
	secretFile  = "secret.key"
	auditFile   = "audit.key"
	mailDir     = "mail"
	providerDir = "providers"
)

// keyBytes is the length of the secrets made at the first start.
const keyBytes = 32

// LockedError says that another process works on the data directory.
type LockedError struct {
	Dir string
	PID int // 0: not known
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop it, or choose another directory with --data", e.Dir, who)
}

// dataDir is the data directory of one instance, held by an exclusive lock
// that the kernel gives back however the process ends.
type dataDir struct {
	path string
	lock *os.File
}

// openData makes the directory if it is missing and locks it. The error is a
// *LockedError if another process holds it.
func openData(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, unwritable(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = lock.Close() }() // only read
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data directory %s: %w", path, err)
		}
		return nil, &LockedError{Dir: path, PID: readPID(lock)}
	}
	d := &dataDir{path: path, lock: lock}
	// A full disk must not keep the instance from starting: the number is for
	// people, the lock is the kernel's.
	_ = lock.Truncate(0)
	_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return d, nil
}

func readPID(r io.ReaderAt) int {
	var b [16]byte
	n, _ := r.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func unwritable(path string, err error) error {
	return fmt.Errorf("data directory %s is not writable (%w): make it writable for user %d, or choose another directory with --data",
		path, cause(err), os.Getuid())
}

// cause takes the path out of an error that will name it anyway.
func cause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// Close gives the directory back.
func (d *dataDir) Close() error { return d.lock.Close() }

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dataDir) has(name string) bool {
	_, err := os.Lstat(d.file(name))
	return err == nil
}

// secret reads the key in a file, or makes it at the first start. It is
// complete or absent: it appears under its name only once it is on disk.
func (d *dataDir) secret(name string) ([]byte, error) {
	path := d.file(name)
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	if err := writeFile(path, []byte(hex.EncodeToString(key)+"\n")); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return key, nil
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) < keyBytes {
		return nil, fmt.Errorf("%s does not hold a key of %d bytes in hexadecimal: restore it from a backup", path, keyBytes)
	}
	return key, nil
}

// writeFile makes a file of mode 0600 that is complete or absent, also after a
// power loss.
func writeFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error counts
		}
	}()
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}
