package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the command, so that scripts run the very
// code that ships.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"warder": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfor": waitFor,
		},
	})
}

// waitFor FILE waits until a file appears, such as the socket of a server that
// a script started in the background.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	path := ts.MkAbs(args[0])
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		<-tick.C
	}
	ts.Fatalf("%s does not appear", path)
}

func TestParseSeconds(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "90": 90, "90s": 90, "15m": 900, "24h": 86400, "7d": 604800, "1h30m": 5400} {
		if got, err := parseSeconds(in); err != nil || got != want {
			t.Errorf("parseSeconds(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1", "1.5", "1e3", "d", "-2d", "1hd", "99999d", "500ms", "x", "99999999999999999999"} {
		if got, err := parseSeconds(in); err == nil {
			t.Errorf("parseSeconds(%q) = %d, want an error", in, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"./data": "./data", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}

// Every command and flag of the contract parses.
func TestCommandLineOfTheContract(t *testing.T) {
	for _, line := range []string{
		"serve --help", "status --help", "operator create --help", "operator list --help", "operator disable --help", "operator enable --help",
		"key create --help", "key list --help", "key revoke --help", "block --help", "unblock --help", "check --help",
		"policy show --help", "policy check --help", "policy apply --help", "policy test --help", "config check --help",
		"replay --help", "explain --help", "audit verify --help", "export --help", "backup --help", "restore --help",
		"alert test --help", "demo --help", "version --help", "",
	} {
		var out, errs strings.Builder
		if code := run(context.Background(), strings.Fields(line), stdio{strings.NewReader(""), &out, &errs}, nil); code != exitOK || out.Len() == 0 {
			t.Errorf("warder %s: exit code %d, %s", line, code, errs.String())
		}
	}
	dir := t.TempDir()
	for line, want := range map[string]int{
		"nonsense":                               exitUsage,
		"unblock 203.0.113.7":                    exitUsage, // a verdict is required
		"unblock 203.0.113.7 --verdict maybe":    exitUsage,
		"block":                                  exitUsage,
		"block 203.0.113.7 --duration soon":      exitUsage,
		"key create --name x":                    exitUsage,
		"operator create --email a --role b":     exitUsage,
		"explain":                                exitUsage,
		"export everything":                      exitUsage,
		"demo --port 70000":                      exitUsage,
		"demo --speed 21":                        exitUsage,
		"demo --config " + dir + "/none.yaml":    exitUsage,
		"demo --smtp nowhere":                    exitUsage,
		"check 203.0.113.7 --data " + dir:        exitFailure, // nothing is there
		"config check " + dir + "/none.yaml":     exitFailure,
		"policy check " + dir + "/none.yaml":     exitFailure,
		"restore " + dir + "/none --data " + dir: exitFailure,
	} {
		var out, errs strings.Builder
		if code := run(context.Background(), strings.Fields(line), stdio{strings.NewReader(""), &out, &errs}, nil); code != want || errs.Len() == 0 {
			t.Errorf("warder %s: exit code %d, want %d, %s", line, code, want, errs.String())
		}
	}
	if left, _ := filepath.Glob(dir + "/*.db"); len(left) > 0 {
		t.Errorf("a command that only asks made %v", left)
	}
}

// Text of strangers reaches no terminal raw: neither control characters, which
// command it, nor marks that turn the direction of what follows.
func TestNothingRawReachesTheTerminal(t *testing.T) {
	const hostile = "a\x1b[2J\u009b31m\u202eb\U000e0041\u2028\ufeffc\r"
	for _, asJSON := range []bool{false, true} {
		var out strings.Builder
		e := &env{stdio: stdio{out: &out}, flags: &commands{JSON: asJSON}}
		v := map[string]string{"name": hostile}
		if err := e.print(v, func(w io.Writer) { table(w, func(row func(...string)) { row(hostile, "zürich") }) }); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.String() {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Errorf("json %v: %q holds %U", asJSON, out.String(), c)
			}
		}
		if asJSON {
			var got map[string]string
			if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got["name"] != hostile {
				t.Errorf("%s reads as %q, %v", out.String(), got["name"], err)
			}
		} else if !strings.Contains(out.String(), "zürich") {
			t.Errorf("%q lost a letter", out.String())
		}
	}
}
