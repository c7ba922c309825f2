//go:build linux

package acceptance

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the program under test, built once by TestMain.
var binary string

// soak says whether tests run in full.
var soak = os.Getenv("WARDER_SOAK") != ""

// pick returns the figure of the form in which tests run.
func pick[T any](short, full T) T {
	if soak {
		return full
	}
	return short
}

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "warder-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	noteSources()
	binary = filepath.Join(dir, "warder")
	args := []string{"build", "-o", binary}
	if os.Getenv("WARDER_RACE") != "" {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/warderhq/warder/cmd/warder")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build warder: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// noteSources looks at every source file of the module. The go command keeps
// results of tests as long as nothing changes that they looked at; what a test
// makes other programs read it does not see.
func noteSources() {
	_ = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, "_test.go") {
			switch filepath.Ext(path) {
			case ".go", ".sql", ".yaml", ".tmpl", ".mod":
				_, _ = os.Stat(path)
			}
		}
		return nil
	})
}
