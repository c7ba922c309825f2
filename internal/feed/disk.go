package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// meta is what is kept beside the last good list.
type meta struct {
	Source       string    `json:"source"`
	SHA256       string    `json:"sha256"` // of the list in force
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	LoadedAt     time.Time `json:"loaded_at,omitzero"`
	ChangedAt    time.Time `json:"changed_at,omitzero"`
	CheckedAt    time.Time `json:"checked_at,omitzero"`
	Upstream     time.Time `json:"upstream_date,omitzero"`
	HeldSHA256   string    `json:"held_sha256,omitempty"`
	HeldSince    time.Time `json:"held_since,omitzero"`
}

func (f *Feed) path(ext string) string { return filepath.Join(f.opts.Dir, f.opts.Name+"."+ext) }

// load puts the last good list into force, if there is one that is not too old
// and came from the same source.
func (f *Feed) load(now time.Time) {
	if left, err := filepath.Glob(filepath.Join(f.opts.Dir, "."+f.opts.Name+".*")); err == nil {
		for _, name := range left { // of a crash while writing
			_ = os.Remove(name)
		}
	}
	f.meta.Source = f.opts.Source
	fail := func(err error) {
		f.lastErr = err.Error()
		f.opts.Logger.Warn("last good list not loaded", "error", err)
	}
	raw, err := f.read("json")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var m meta
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		fail(err)
		return
	}
	if m.Source != f.opts.Source {
		return // another list under the same name: start anew
	}
	body, err := f.read("list")
	if err != nil {
		fail(err)
		return
	}
	p, err := Parse(body, f.opts.NeverBlock)
	if err != nil {
		fail(err)
		return
	}
	if digest(body) != m.SHA256 {
		// The list was replaced but not its description, or somebody edited it.
		// It is a good list all the same, only not what the validators mean.
		m.SHA256, m.ETag, m.LastModified = "", "", ""
	}
	// A clock that was wrong must not keep a list alive for ever.
	for _, t := range []*time.Time{&m.LoadedAt, &m.ChangedAt, &m.CheckedAt} {
		if t.After(now) {
			*t = now
		}
	}
	f.meta = m
	f.rejects, f.rejected, f.reasons = p.Rejects, p.Rejected, p.Reasons
	f.next = m.CheckedAt.Add(jitter(f.opts.Refresh))
	if now.Before(f.fresh().Add(DropAfter)) {
		f.use(p.List)
	}
	f.base = p.List
	if m.HeldSHA256 != "" {
		f.loadHeld(p.List)
	}
}

func (f *Feed) loadHeld(current *List) {
	body, err := f.read("held")
	if err == nil && digest(body) == f.meta.HeldSHA256 {
		if p, err := Parse(body, f.opts.NeverBlock); err == nil {
			if f.held = brake(current, p.List, f.meta.HeldSince); f.held == nil {
				f.held = &Held{Since: f.meta.HeldSince, Reason: "changed much", Entries: p.List.Len()}
			}
			return
		}
	}
	// Lost: fetch it again.
	f.meta.HeldSHA256, f.meta.HeldSince, f.meta.ETag, f.meta.LastModified = "", time.Time{}, "", ""
	f.next = time.Time{}
}

// saveMeta needs f.mu.
func (f *Feed) saveMeta() error {
	if f.meta.LoadedAt.IsZero() {
		return nil // no list yet
	}
	raw, err := json.MarshalIndent(f.meta, "", " ")
	if err != nil {
		return fmt.Errorf("keep provider state: %w", err)
	}
	return f.write("json", raw)
}

func (f *Feed) read(ext string) ([]byte, error) {
	return readRegular(f.path(ext), max(f.opts.MaxBody, 1<<20))
}

func (f *Feed) remove(ext string) { _ = os.Remove(f.path(ext)) }

// write replaces a file in one step: after a crash it is the old one or the new
// one.
func (f *Feed) write(ext string, b []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep provider %s: %w", f.opts.Name, err)
		}
	}()
	if err := os.MkdirAll(f.opts.Dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(f.opts.Dir, "."+f.opts.Name+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already if all went well
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), f.path(ext))
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(f.opts.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}
