package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Durability. With synchronous=FULL, SQLite synchronises its log inside every
// commit, and whoever wants to write next waits for the disk. Here a commit only
// writes to the log (synchronous=NORMAL, in which the log is synchronised before
// a checkpoint and when it begins anew), gives the turn to write back, and then
// waits until the log is synchronised: the disk works on one transaction while
// the next is prepared, and commits that end meanwhile share the next
// synchronisation. What a caller is promised is that of FULL: when a write
// returns, it is on the disk, and so is every commit before it.

// durable synchronises the log. Commits are numbered in their order.
type durable struct {
	d    *DB
	file *os.File // the log; SQLite keeps the file as long as the database is open
	sync func(*os.File) error

	mu     sync.Mutex // guards what follows
	change sync.Cond
	begun  int64     // commits that were begun, the last number handed out
	ended  int64     // of those, how many are in the log, or failed
	synced int64     // of those, how many are on the disk
	head   auditHead // of the audit trail after the last that ended
	busy   bool      // somebody is synchronising

	// Used by whoever is synchronising.
	anchored auditHead // as it stands in the anchor
	doubt    bool      // the last synchronisation failed
}

// openDurable is called when the log exists and nobody writes.
func (d *DB) openDurable() error {
	f, err := os.OpenFile(d.real+"-wal", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	u := &durable{d: d, file: f, sync: syncData}
	u.change.L = &u.mu
	d.durable = u
	return nil
}

// begin numbers a commit. It is called with the turn to write.
func (u *durable) begin() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun++
	return u.begun
}

// end tells that the commit begun last is in the log, or has failed.
func (u *durable) end(head auditHead) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended, u.head = u.begun, head
	u.change.Broadcast()
}

// wait returns when commit n and all before it are on the disk. After an error
// that is not known; another wait tries again.
func (u *durable) wait(n int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.synced < n {
		if u.busy || u.ended < n {
			u.change.Wait()
			continue
		}
		u.busy = true
		ended, head := u.ended, u.head
		u.mu.Unlock()
		err := u.synchronise(head)
		u.mu.Lock()
		u.busy = false
		u.change.Broadcast()
		if err != nil {
			return err
		}
		u.synced = ended
	}
	return nil
}

// waitSeen returns when everything that a reader has seen is on the disk: a
// transaction can be read a little before that.
func (u *durable) waitSeen() error {
	u.mu.Lock()
	n := u.begun
	u.mu.Unlock()
	return u.wait(n)
}

func (u *durable) synchronise(head auditHead) error {
	var err error
	if u.doubt {
		err = u.rewrite()
	}
	if err == nil {
		err = u.sync(u.file)
	}
	u.doubt = err != nil
	if err != nil {
		return fmt.Errorf("%w: synchronise the log: %w", ErrNotWritable, err)
	}
	if head != u.anchored {
		u.anchored = head
		u.d.writeAnchor(head)
	}
	return nil
}

// rewrite writes the log again, byte for byte. A kernel that could not write a
// page tells so once and may then take the page for clean: the next
// synchronisation would succeed without it.
func (u *durable) rewrite() error {
	if _, open := <-u.d.turn; !open {
		return errClosed
	}
	defer func() { u.d.turn <- struct{}{} }()
	buf := make([]byte, 64*pageSize)
	for at := int64(0); ; {
		n, err := u.file.ReadAt(buf, at)
		if _, err := u.file.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Sync implements guard.Journal: what was committed before is on the disk when
// it returns.
func (d *DB) Sync() error { return d.durable.waitSeen() }
