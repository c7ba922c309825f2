package warder_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"
)

// Rules of behaviour, parts of the engine, of the dashboard and of the gate
// that docs/features.md must name.
const (
	behaviours     = 58
	engineParts    = 11
	dashboardParts = 8
	gateParts      = 11
)

func TestFeatures(t *testing.T) {
	doc, err := os.ReadFile("docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range features(string(doc), testNames(t, os.DirFS("."))) {
		t.Error(fault)
	}
}

// TestFeaturesFinds shows that the test above is able to fail.
func TestFeaturesFinds(t *testing.T) {
	var rows strings.Builder
	for i := range behaviours {
		fmt.Fprintf(&rows, "| S%d | x | `prefix.TestSpellings` |\n", i+1)
	}
	for i := range engineParts {
		fmt.Fprintf(&rows, "| E%d | x | `warder.FuzzAddress`, later: gate |\n", i+1)
	}
	for i := range dashboardParts {
		fmt.Fprintf(&rows, "| D%d | x | later: dashboard |\n", i+1)
	}
	for i := range gateParts {
		fmt.Fprintf(&rows, "| G%d | x | later: gate |\n", i+1)
	}
	complete := rows.String()
	tests := testNames(t, fstest.MapFS{
		"a_test.go":                 {Data: []byte("package warder\nimport \"testing\"\nfunc FuzzAddress(f *testing.F) {}\n")},
		"web/e2e/watch.e2e.ts":      {Data: []byte(`it("zooms by dragging, and a reload shows the same", async () => {`)},
		"internal/prefix/x_test.go": {Data: []byte("//go:build soak\n\npackage prefix\nimport \"testing\"\nfunc TestSpellings(t *testing.T) {}\nfunc Testing() {}\n")},
	})
	replace := func(old, new string) string { return strings.Replace(complete, old, new, 1) }
	cases := []struct {
		name string
		doc  string
		want []string
	}{
		{"complete", complete, nil},
		{"a browser's test", replace("`prefix.TestSpellings`", "`web watch: zooms by dragging, and a reload shows the same`, `prefix.TestSpellings`"), nil},
		{"no such browser's test", replace("`prefix.TestSpellings`", "`web watch: zooms`"), []string{"row 1 (S1): there is no test web watch: zooms"}},
		{"a rule is missing", replace("| S7 |", "| S6 |"), []string{"S7 has no row"}},
		{"a part is missing", replace("| E11 |", "| E1 |"), []string{"E11 has no row"}},
		{"a part of the dashboard is missing", replace("| D8 |", "| D1 |"), []string{"D8 has no row"}},
		{"a part of the gate is missing", replace("| G11 |", "| G1 |"), []string{"G11 has no row"}},
		{"unknown item", replace("| S1 |", "| S1 | x | later: gate |\n| S59 |"), []string{"row 2: S59 is no item"}},
		{"no such test", replace("TestSpellings", "TestSpelling"), []string{"row 1 (S1): there is no test prefix.TestSpelling"}},
		{"no such package", replace("prefix.Test", "prefixes.Test"), []string{"row 1 (S1): there is no test prefixes.TestSpellings"}},
		{"not a test", replace("prefix.TestSpellings", "prefix.Testing"), []string{"row 1 (S1): there is no test prefix.Testing"}},
		{"cited twice", replace("`prefix.TestSpellings`", "`prefix.TestSpellings`, `prefix.TestSpellings`"), []string{"row 1 (S1): prefix.TestSpellings is named twice"}},
		{"nothing cited", replace("`prefix.TestSpellings`", ""), []string{"row 1 (S1): names no test"}},
		{"prose", replace("`prefix.TestSpellings`", "somewhere"), []string{`row 1 (S1): "somewhere" is neither a test in backquotes nor pending nor later: something`}},
		{"no words", replace("| S1 | x |", "| S1 |  |"), []string{"row 1 (S1): says nothing"}},
		{"pending", replace("`prefix.TestSpellings`", "pending"), []string{"row 1 (S1): is pending"}},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			if diff := gocmp.Diff(tt.want, features(tt.doc, tests)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// citation is a test in backquotes, whose title may hold commas, or some words.
var citation = regexp.MustCompile("(?:`[^`]*`|[^`,][^,]*)(?:, )?")

var featureRow = regexp.MustCompile(`(?m)^\| ([A-Z]\d+) \|(.*)\|(.*)\|$`)

// features returns what is wrong with a feature table, given the tests that
// exist.
func features(doc string, tests map[string]bool) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	var items []string
	for i := range behaviours {
		items = append(items, fmt.Sprintf("S%d", i+1))
	}
	for i := range engineParts {
		items = append(items, fmt.Sprintf("E%d", i+1))
	}
	for i := range dashboardParts {
		items = append(items, fmt.Sprintf("D%d", i+1))
	}
	for i := range gateParts {
		items = append(items, fmt.Sprintf("G%d", i+1))
	}
	seen := map[string]bool{}
	for n, row := range featureRow.FindAllStringSubmatch(doc, -1) {
		item, words, cited := row[1], strings.TrimSpace(row[2]), strings.TrimSpace(row[3])
		if !slices.Contains(items, item) {
			fault("row %d: %s is no item", n+1, item)
			continue
		}
		seen[item] = true
		at := fmt.Sprintf("row %d (%s)", n+1, item)
		if words == "" {
			fault("%s: says nothing", at)
		}
		if cited == "" {
			fault("%s: names no test", at)
			continue
		}
		named := map[string]bool{}
		for _, cite := range citation.FindAllString(cited, -1) {
			cite = strings.TrimSuffix(cite, ", ")
			name := strings.Trim(cite, "`")
			switch {
			case cite == "pending":
				fault("%s: is pending", at)
			case strings.HasPrefix(cite, "later: ") && len(cite) > len("later: "):
			case cite != "`"+name+"`":
				fault("%s: %q is neither a test in backquotes nor pending nor later: something", at, cite)
			case !tests[name]:
				fault("%s: there is no test %s", at, name)
			case named[name]:
				fault("%s: %s is named twice", at, name)
			default:
				named[name] = true
			}
		}
	}
	for _, item := range items {
		if !seen[item] {
			fault("%s has no row", item)
		}
	}
	return faults
}

var (
	browserFile = regexp.MustCompile(`^web/(?:e2e/(\w+)\.e2e|src/(?:[\w-]+/)*([\w-]+)\.test)\.tsx?$`)
	browserTest = regexp.MustCompile(`(?m)\bit\(\s*"([^"]+)"`)
)

// testNames finds every test, fuzz target, benchmark and example, whatever
// build tags its file has, as package.Name with the package's path below
// internal/, and the tests of the dashboard as "web file: title".
func testNames(t *testing.T, fsys fs.FS) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for name, src := range goFiles(t, fsys) {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		pkg := strings.TrimPrefix(path.Dir(name), "internal/")
		if pkg == "." {
			pkg = "warder"
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && isTest(f) {
				names[pkg+"."+f.Name.Name] = true
			}
		}
	}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		m := browserFile.FindStringSubmatch(name)
		if m == nil {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		for _, title := range browserTest.FindAllStringSubmatch(string(src), -1) {
			names["web "+m[1]+m[2]+": "+title[1]] = true
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return names
}

func isTest(f *ast.FuncDecl) bool {
	if strings.HasPrefix(f.Name.Name, "Example") {
		return len(f.Type.Params.List) == 0
	}
	for _, prefix := range []string{"Test", "Fuzz", "Benchmark"} {
		if rest, ok := strings.CutPrefix(f.Name.Name, prefix); ok {
			return len(f.Type.Params.List) == 1 && (rest == "" || rest[0] < 'a' || rest[0] > 'z')
		}
	}
	return false
}
