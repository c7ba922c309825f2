package store

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/warderhq/warder/internal/guard"
)

// disk stands for a disk that is slow or broken: it synchronises when it is told.
type disk struct {
	calls chan chan error // each synchronisation sends how it wants to be answered
}

func slowDisk(t *testing.T, d *DB) *disk {
	t.Helper()
	k := &disk{calls: make(chan chan error)}
	d.durable.mu.Lock()
	d.durable.sync = func(f *os.File) error {
		answer := make(chan error)
		k.calls <- answer
		if err := <-answer; err != nil {
			return err
		}
		return syncData(f)
	}
	d.durable.mu.Unlock()
	return k
}

// next is the synchronisation that waits for its answer.
func (k *disk) next(t *testing.T) chan error {
	t.Helper()
	select {
	case c := <-k.calls:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("nobody synchronises")
		return nil
	}
}

func mustNot(t *testing.T, what string, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		t.Fatalf("%s: %v", what, err)
	default:
	}
}

// TestWritesReturnWhenTheyAreOnTheDisk: others write meanwhile, they share the
// next synchronisation, and the anchor of the audit trail waits as well.
func TestWritesReturnWhenTheyAreOnTheDisk(t *testing.T) {
	d := openAt(t, t.TempDir()+"/warder.db")
	j := &journal{DB: d}
	j.commit(t, everything())
	anchor, err := os.ReadFile(d.anchorPath())
	if err != nil {
		t.Fatal(err)
	}
	k := slowDisk(t, d)
	row := guard.Audit{Time: start, Actor: "warder", Action: "x"}
	first, second, third := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { first <- d.AppendAudit(t.Context(), row) }()
	slow := k.next(t)
	// The disk works for the first; the second commit ends all the same.
	if _, err := d.Commit(t.Context(), []*guard.Record{{No: j.no + 1, Events: []guard.Event{event(50, "192.0.2.50", "a")}}}); err != nil {
		t.Fatal(err)
	}
	go func() { second <- d.Sync() }()
	go func() { third <- d.AppendAudit(t.Context(), row) }()
	eventually(t, "the third does not get its turn", func() bool {
		return count(t, d, "SELECT count(*) FROM audit") == 3
	})
	mustNot(t, "a write returned before the disk was done", first)
	if now, _ := os.ReadFile(d.anchorPath()); !bytes.Equal(now, anchor) {
		t.Error("the anchor ran ahead of the disk")
	}
	slow <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	shared := k.next(t)
	mustNot(t, "the second did not wait for a synchronisation of its own", second)
	mustNot(t, "the third did not wait", third)
	shared <- nil
	for _, c := range []chan error{second, third} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	if h, err := d.readAnchor(); err != nil || h.seq != 3 {
		t.Errorf("the anchor says %d, %v", h.seq, err)
	}
	// Nothing new: nothing to wait for.
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

// TestNothingIsToldBeforeItIsOnTheDisk: what answers come from can be read a
// little earlier; whoever is told it waits.
func TestNothingIsToldBeforeItIsOnTheDisk(t *testing.T) {
	d := openAt(t, t.TempDir()+"/warder.db")
	k := slowDisk(t, d)
	r := everything()
	r.No = 1
	r.Revoke = []guard.Revoke{{Session: "s9", Reason: "x", At: start}}
	if _, err := d.Commit(t.Context(), []*guard.Record{r}); err != nil {
		t.Fatal(err)
	}
	answers, revocations, alerts := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		a, err := d.Answers(t.Context(), r.Events[0].App, []string{r.Events[0].ID}, start.Add(-time.Hour))
		if len(a) != 1 {
			t.Errorf("%d answers", len(a))
		}
		answers <- err
	}()
	go func() {
		v, err := d.Revocations(t.Context(), -1, 10)
		if len(v.Items) != 1 {
			t.Errorf("%d revocations", len(v.Items))
		}
		revocations <- err
	}()
	go func() {
		a, err := d.AlertsAfter(t.Context(), 0, 10)
		if len(a) != 1 {
			t.Errorf("%d alerts", len(a))
		}
		alerts <- err
	}()
	sync := k.next(t)
	for _, c := range []chan error{answers, revocations, alerts} {
		mustNot(t, "told before it was on the disk", c)
	}
	sync <- nil
	for _, c := range []chan error{answers, revocations, alerts} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	// What is not there keeps nobody waiting.
	if a, err := d.Answers(t.Context(), "nobody", []string{"none"}, start); err != nil || len(a) != 0 {
		t.Error(a, err)
	}
}

// TestFailedSyncWritesTheLogAgain: after a failure the kernel may take pages for
// clean that are not on the disk, so they are written once more.
func TestFailedSyncWritesTheLogAgain(t *testing.T) {
	d := openAt(t, t.TempDir()+"/warder.db")
	j := &journal{DB: d}
	j.commit(t, everything())
	k := slowDisk(t, d)
	broken := errors.New("input/output error")
	done := make(chan error, 1)
	go func() { done <- d.Writable(t.Context()) }()
	k.next(t) <- broken
	if err := <-done; !errors.Is(err, ErrNotWritable) || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	before, err := os.ReadFile(d.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(d.path+"-wal", old, old); err != nil {
		t.Fatal(err)
	}
	go func() { done <- d.Sync() }()
	k.next(t) <- nil
	if err := <-done; err != nil {
		t.Errorf("after the disk works again: %v", err)
	}
	info, err := os.Stat(d.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if !info.ModTime().After(old.Add(time.Minute)) {
		t.Error("the log was not written again")
	}
	if after, err := os.ReadFile(d.path + "-wal"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the log changed: %v", err)
	}
	if err := d.IntegrityCheck(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDurableUnderLoad: many writers and readers at once, with a log that begins
// anew all the time; everything that returned is there when the file is opened
// again.
func TestDurableUnderLoad(t *testing.T) {
	d := openSmallLog(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { churn(t, d, 25) })
		all.Go(func() {
			for range 25 {
				if err := d.AppendAudit(t.Context(), guard.Audit{Time: start, Actor: "warder", Action: "x"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	d.durable.mu.Lock()
	if u := d.durable; u.synced != u.ended || u.ended != u.begun {
		t.Errorf("%d begun, %d ended, %d synchronised", u.begun, u.ended, u.synced)
	}
	d.durable.mu.Unlock()
	if r, err := d.VerifyAudit(t.Context()); err != nil || !r.OK {
		t.Error(r, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, openAt(t, d.path), "SELECT count(*) FROM audit"); n != 100 {
		t.Errorf("%d audit rows", n)
	}
}

// TestLinkedDatabase: the log lies beside the database that a link names, not
// beside the link.
func TestLinkedDatabase(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	path := dir + "/warder.db"
	if err := os.Symlink(far+"/real.db", path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil { // as left when the database moved
		t.Fatal(err)
	}
	for range 2 {
		d := openAt(t, path)
		j := &journal{DB: d}
		j.commit(t, events(event(1, "192.0.2.1", "a")))
		ours, err := d.durable.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if log, err := os.Stat(far + "/real.db-wal"); err != nil || !os.SameFile(ours, log) {
			t.Errorf("another file than the log is synchronised (%v)", err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
