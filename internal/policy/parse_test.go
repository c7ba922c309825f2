package policy

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/counter"
)

var update = flag.Bool("update", false, "write what is reported into the fixtures")

// TestFixtures reads testdata/*.txtar: a file `policy` and, if it is a bad
// one, a file `faults` with every fault that must be reported, in order.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(ar.Files); i++ {
			f := ar.Files[i]
			name, ok := strings.CutPrefix(f.Name, "policy ")
			if !ok {
				t.Fatalf("%s: unexpected file %q", file, f.Name)
			}
			want := ""
			if i+1 < len(ar.Files) && ar.Files[i+1].Name == "faults" {
				want = string(ar.Files[i+1].Data)
				i++
			}
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+name, func(t *testing.T) {
				d, err := Parse(f.Data)
				if want == "" {
					if err != nil {
						t.Fatal(err)
					}
					roundTrip(t, d)
					return
				}
				var faults warder.Faults
				if !errors.As(err, &faults) {
					t.Fatalf("want faults, got %v", err)
				}
				if *update {
					ar.Files[i].Data = []byte(faults.Error() + "\n")
					return
				}
				if diff := cmp.Diff(want, faults.Error()+"\n"); diff != "" {
					t.Error(diff)
				}
			})
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// roundTrip checks that a document survives being written.
func roundTrip(t testing.TB, d *Document) {
	t.Helper()
	text := d.YAML()
	again, err := Parse(text)
	if err != nil {
		t.Fatalf("read back YAML: %v\n%s", err, text)
	}
	if diff := cmp.Diff(d, again, prefixes); diff != "" {
		t.Errorf("YAML: %s\n%s", diff, text)
	}
	text, err = json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if again, err = Parse(text); err != nil {
		t.Fatalf("read back JSON: %v\n%s", err, text)
	}
	if diff := cmp.Diff(d, again, prefixes); diff != "" {
		t.Errorf("JSON: %s\n%s", diff, text)
	}
}

var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestDefaults(t *testing.T) {
	p := policyOf(t, `activity: {rules: [
	  {id: a, events: [X_FAILURE], threshold: 3, time_range: 60, action: challenge},
	  {id: b, events: [X_FAILURE], threshold: 3, time_range: 60, key: session, action: block}]}`)
	if p.Mode() != warder.Enforce || p.Lookback != 0 {
		t.Errorf("mode %v, look-back %v", p.Mode(), p.Lookback)
	}
	a := p.Rule("a")
	if a.Key != ByIP || a.Mode != warder.Enforce || a.Severity != warder.Critical || a.Cooling != seconds(DefaultDemand) {
		t.Errorf("rule a: %+v", a)
	}
	if p.Rule("b").Cooling != 0 {
		t.Errorf("rule b: %+v", p.Rule("b"))
	}
}

func TestBounds(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	rules := func(n int) string {
		return "activity:\n  rules:\n" + many(n, "    - {id: r%d, events: [X_FAILURE], threshold: 3, time_range: 60, cooling_period: 1, action: block}\n")
	}
	prefixes := func(what string, n int, format string) string {
		var b strings.Builder
		b.WriteString(what + ":\n")
		for i := range n {
			fmt.Fprintf(&b, format, i>>8, i&255)
		}
		return b.String()
	}
	for _, tt := range []struct {
		name, text, want string // want: part of the error, "" = valid
	}{
		{"200 rules", rules(200), ""},
		{"201 rules", rules(201), "activity.rules: must be at most 200, is 201"},
		{"10,000 trusted", prefixes("trusted", 10000, "  - 10.0.%d.%d\n"), ""},
		{"10,001 trusted", prefixes("trusted", 10001, "  - 10.0.%d.%d\n"), "trusted: must have at most 10000 entries"},
		{"10,000 blocked", prefixes("blocked", 10000, "  - {ip: 10.1.%d.%d}\n"), ""},
		{"10,001 blocked", prefixes("blocked", 10001, "  - {ip: 10.1.%d.%d}\n"), "blocked: must have at most 10000 entries"},
		{"33 providers", "providers:\n" + many(33, "  - {name: p%d, url: /x, format: ipsum, levels: [{at_least: 1, action: block}]}\n"), "providers: must be at most 32, is 33"},
		{"a megabyte and a byte", "# " + strings.Repeat("x", MaxBytes), "policy: must be at most 1048576 bytes"},
		{"10,000 brackets", strings.Repeat("[", 10000), "policy: "},
		{"half a million brackets", strings.Repeat("[", 500000) + strings.Repeat("]", 500000), "policy: "},
		{"half a million braces", strings.Repeat(`{"a":`, 100000), "must not be nested more than 16 levels deep"},
		{"deep blocks", strings.Repeat("- ", 200000), "policy: "},
		{"a text of a megabyte", `{"mode": "` + strings.Repeat("x", 1<<19) + `"}`, "mode: unknown mode"},
		{"a name of half a megabyte", `{"` + strings.Repeat("x", 1<<19) + `": 1}`, "x...: is not known here"},
		{"50,000 unknown names", "{" + strings.TrimSuffix(many(50000, `"a%d":1,`), ",") + "}", "policy: has 49900 more faults"},
		{"aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors and aliases are not accepted"},
		{"alias to itself", "&a [*a]", "anchors and aliases are not accepted"},
		{"5001 test events", "tests:\n  - {name: t, events: [{name: X_FAILURE, repeat: 2500}, {name: X_FAILURE, repeat: 2501}]}", "tests: must have at most 5000 events"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("want none, got %.300s", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("want %q, got %.300v", tt.want, err)
			}
			if err != nil && len(err.Error()) > 64<<10 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestCompileChecksWhatWasBuiltByHand(t *testing.T) {
	_, err := (&Document{Activity: Activity{Rules: []RuleSpec{{Distinct: "path", Threshold: counter.Exact + 1}}}}).Compile()
	var faults warder.Faults
	if !errors.As(err, &faults) || len(faults) < 5 {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Presets() {
		text, err := presetText(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		d := preset(f, name)
		text, err = json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(data).Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			var faults warder.Faults
			if !errors.As(err, &faults) || len(faults) == 0 || d != nil {
				t.Fatalf("a refusal without faults: %v", err)
			}
			for _, fault := range faults {
				if fault.Location == "" || fault.Message == "" || strings.ContainsAny(fault.Error(), "\n\x00") {
					t.Fatalf("a fault without place or words: %q", fault)
				}
			}
			return
		}
		roundTrip(t, d)
		p, err := d.Compile()
		if err != nil {
			t.Fatalf("a parsed document does not compile: %v", err)
		}
		_ = p.test(newModel())
	})
}
