package app

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warderhq/warder/internal/config"
)

// A restore that was cut off leaves a directory that is not started: it might
// hold no database, and a new one would block nobody.
func TestRestoreCutOff(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	w := start(t, dir, nil)
	for range 5 {
		w.fail("203.0.113.66")
	}
	members, backup := t.TempDir(), &bytes.Buffer{}
	if err := w.app.snapshot(t.Context(), members); err != nil {
		t.Fatal(err)
	}
	if err := writeTar(backup, members); err != nil {
		t.Fatal(err)
	}
	w.stop()
	// What a kill -9 leaves between the two halves of a restore.
	d, err := openData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.file(restoringFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.moveAside(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Data, cfg.Listen = dir, "127.0.0.1:0"
	_, err = New(t.Context(), Options{Config: cfg, Logger: slog.New(slog.DiscardHandler), Version: "test"})
	if err == nil || !strings.Contains(err.Error(), "warder restore") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("started in a directory without its files: %v", err)
	}
	if _, err := Restore(t.Context(), dir, backup, true); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir, nil)
	again.key = w.key
	if got := again.check("203.0.113.66"); got.Action != "block" {
		t.Errorf("after the restore: %+v", got)
	}
}

// What a server could not start with is not put in the place of what it can.
func TestRestoreRefusesWhatDoesNotLoad(t *testing.T) {
	dir, members := filepath.Join(t.TempDir(), "data"), t.TempDir()
	w := start(t, dir, nil)
	for range 5 {
		w.fail("203.0.113.66")
	}
	if err := w.app.snapshot(t.Context(), members); err != nil {
		t.Fatal(err)
	}
	w.stop()
	db, err := sql.Open("sqlite", filepath.Join(members, DatabaseFile))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `INSERT INTO revisions (n, time, made_by, comment, document) VALUES (1, 0, 'x', '', '{')`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	backup := &bytes.Buffer{}
	if err := writeTar(backup, members); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), dir, backup, true); err == nil || !strings.Contains(err.Error(), "saved policy") {
		t.Fatalf("restored a database with a broken policy: %v", err)
	}
	again := start(t, dir, nil)
	again.key = w.key
	if got := again.check("203.0.113.66"); got.Action != "block" {
		t.Errorf("after a restore that was refused: %+v", got)
	}
}
