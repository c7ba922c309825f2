package alert

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// keepFiles is how many mails are kept in the directory, newest first.
const keepFiles = 1000

// files writes mails to a directory, one file each, while there is no server.
type files struct {
	dir  string
	keep int
	log  *slog.Logger
	mu   sync.Mutex // held from open to close: a test mail may come between
}

func (f *files) open(context.Context) (delivery, error) {
	f.mu.Lock()
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		f.mu.Unlock()
		return nil, fmt.Errorf("write mails: %w", err)
	}
	return f, nil
}

// send writes a mail. The name begins with the time of its first alert and ends
// with its Message-ID, so a repeated mail replaces itself.
func (f *files) send(_ context.Context, m *message) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write mail: %w", err)
		}
	}()
	id, _, _ := strings.Cut(m.id, "@")
	name := m.at.UTC().Format("20060102T150405.000Z") + "-" + id + ".eml"
	tmp, err := os.CreateTemp(f.dir, ".mail-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already if all went well
	_, err = m.WriteTo(tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	path := filepath.Join(f.dir, name)
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	m.path = path
	return dir.Sync()
}

// close removes the oldest mails beyond what is kept, and what a crash left.
func (f *files) close() {
	defer f.mu.Unlock()
	entries, err := os.ReadDir(f.dir) // sorted by name, which is by time
	if err != nil {
		f.log.Warn("old mails not removed", "error", err)
		return
	}
	var mails []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".mail-"):
			_ = os.Remove(filepath.Join(f.dir, name))
		case strings.HasSuffix(name, ".eml"):
			mails = append(mails, name)
		}
	}
	slices.Sort(mails)
	for len(mails) > f.keep {
		_ = os.Remove(filepath.Join(f.dir, mails[0]))
		mails = mails[1:]
	}
}
