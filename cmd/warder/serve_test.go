package main

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder/internal/app"
	"github.com/warderhq/warder/internal/config"
)

// The line that a first start prints works in both shells, and each paste
// attacks from an address of its own.
func TestPastedLineShowsAnAttackBeingStopped(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	cfg := config.Default()
	cfg.Data, cfg.Listen = t.TempDir(), "127.0.0.1:0"
	a, err := app.New(t.Context(), app.Options{Config: cfg, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-done, a.Close()); err != nil {
			t.Error(err)
		}
	}()
	severity, reason := regexp.MustCompile(`"severity":"(\w+)"`), regexp.MustCompile(`"reason":"(\w+)"`)
	from := map[string]bool{}
	for _, shell := range []string{"sh", "bash", "sh"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		out, err := exec.CommandContext(t.Context(), shell, "-c", tryLine(a.URL(), a.FirstKey, false)).Output()
		if err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(s string) bool { return s == "" })
		if len(lines) != 7 || from[lines[0]] {
			t.Fatalf("%s: %d lines, want an address that was not used before and six answers:\n%s", shell, len(lines), out)
		}
		from[lines[0]] = true
		var got []string
		for _, line := range lines[1:] {
			got = append(got, severity.FindStringSubmatch(line)[1]+" "+reason.FindStringSubmatch(line)[1])
		}
		want := []string{"warning ok", "high ok", "high ok", "high ok", "critical threshold_exceeded", "high blocked"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", shell, diff)
		}
	}
}
