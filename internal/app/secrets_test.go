package app

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warderhq/warder/internal/config"
)

// TestMissingSecretKeyIsTold: a new secret.key beside an old database is made,
// but whoever starts it is told what is lost and what to do, also by a command.
func TestMissingSecretKeyIsTold(t *testing.T) {
	cfg := config.Default()
	cfg.Data, cfg.Listen = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0"
	said := func(local bool, level slog.Level) string {
		t.Helper()
		var log bytes.Buffer
		a, err := New(t.Context(), Options{
			Config: cfg, Local: local, Version: "test",
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})),
		})
		if err := errors.Join(err, a.Close()); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "secret.key") {
				return line
			}
		}
		return ""
	}
	if line := said(false, slog.LevelWarn); line != "" {
		t.Errorf("the first start: %s", line)
	}
	for _, tt := range []struct {
		local bool
		level slog.Level // of what is shown
	}{{false, slog.LevelWarn}, {true, slog.LevelError}} {
		if err := os.Remove(filepath.Join(cfg.Data, secretFile)); err != nil {
			t.Fatal(err)
		}
		line := said(tt.local, tt.level)
		for _, want := range []string{"level=" + tt.level.String(), cfg.Data, "lost=", "device cookies", "authenticator apps", "remedy=", "backup"} {
			if !strings.Contains(line, want) {
				t.Errorf("local %t: %q is not in %q", tt.local, want, line)
			}
		}
		if line := said(tt.local, tt.level); line != "" {
			t.Errorf("the start after: %s", line)
		}
	}
}
