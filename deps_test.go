package warder_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"
)

const module = "github.com/warderhq/warder"

// layers is the shape of the house: a package may import only packages of
// strictly lower layers. A new package needs a row here.
var layers = map[string]int{
	".": 0,

	"internal/clientip": 1,
	"internal/config":   1,
	"internal/counter":  1,
	"internal/outbound": 1,
	"internal/prefix":   1,
	"internal/totp":     1,
	"internal/web":      1,

	"internal/challenge":           2,
	"internal/counter/countertest": 2,
	"internal/counter/valkey":      2,
	"internal/detect":              2,
	"internal/feed":                2,
	"internal/geo":                 2,
	"internal/operator":            2,
	"internal/policy":              2,

	"internal/guard":     3,
	"internal/logsource": 3,

	"internal/alert": 4,
	"internal/gate":  4,
	"internal/store": 4,

	"internal/api": 5,

	"internal/app":     6,
	"internal/demo":    6,
	"internal/eval":    6,
	"internal/loadgen": 6,

	"client":                     7,
	"cmd/warder":                 7,
	"internal/loadgen/cmd/bench": 7,
	"internal/acceptance":        7,
}

// confined lists imports that only some packages may have.
var confined = map[string][]string{
	module + "/internal/config": {"internal/app", "cmd/warder"},
	module + "/internal/demo":   {"cmd/warder"},
	"database/sql":              {"internal/store", "internal/loadgen/cmd/bench"},
	"database/sql/driver":       {"internal/store"},
	"modernc.org/sqlite":        {"internal/store", "internal/loadgen/cmd/bench"},
}

const maxLines = 700

func TestLayers(t *testing.T) {
	for _, fault := range layering(t, os.DirFS(".")) {
		t.Error(fault)
	}
}

// TestLayersFinds shows that the test above is able to fail.
func TestLayersFinds(t *testing.T) {
	const ok = "// Package x is fine.\npackage x\n"
	tree := func(name, src string) fstest.MapFS {
		m := fstest.MapFS{"go.mod": {}, name: {Data: []byte(src)}}
		if path.Dir(name) != "." {
			m["doc.go"] = &fstest.MapFile{Data: []byte(ok)}
		}
		return m
	}
	tests := []struct {
		name, file, src string
		want            []string
	}{
		{"fine", "internal/guard/a.go", "// Package guard.\npackage guard\nimport _ \"" + module + "/internal/policy\"\n", nil},
		{
			"upwards", "internal/policy/a.go", "// Package policy.\npackage policy\nimport _ \"" + module + "/internal/guard\"\n",
			[]string{"internal/policy/a.go: layer 2 may not import internal/guard of layer 3"},
		},
		{
			"sideways", "internal/gate/a.go", "// Package gate.\npackage gate\nimport _ \"" + module + "/internal/store\"\n",
			[]string{"internal/gate/a.go: layer 4 may not import internal/store of layer 4"},
		},
		{
			"the root imports", "a.go", "// Package warder.\npackage warder\nimport _ \"" + module + "/internal/prefix\"\n",
			[]string{"a.go: layer 0 may not import internal/prefix of layer 1"},
		},
		{
			"unknown package", "internal/util/a.go", "// Package util.\npackage util\n",
			[]string{"internal/util: is not in the table of layers (deps_test.go)"},
		},
		{
			"unknown import", "internal/guard/a.go", "// Package guard.\npackage guard\nimport _ \"" + module + "/internal/util\"\n",
			[]string{"internal/guard/a.go: imports internal/util, which is not in the table of layers (deps_test.go)"},
		},
		{
			"no package comment", "internal/guard/a.go", "package guard\n",
			[]string{"internal/guard: has no package comment"},
		},
		{
			"reads the configuration", "internal/api/a.go", "// Package api.\npackage api\nimport _ \"" + module + "/internal/config\"\n",
			[]string{"internal/api/a.go: only internal/app, cmd/warder may import github.com/warderhq/warder/internal/config"},
		},
		{
			"speaks SQL", "internal/alert/a.go", "// Package alert.\npackage alert\nimport _ \"database/sql\"\n",
			[]string{"internal/alert/a.go: only internal/store, internal/loadgen/cmd/bench may import database/sql"},
		},
		{
			"exits", "internal/app/a.go", "// Package app.\npackage app\nimport sys \"os\"\nfunc f() { sys.Exit(1) }\n",
			[]string{"internal/app/a.go:4: only a command may call os.Exit"},
		},
		{
			"dies by log", "internal/app/a.go", "// Package app.\npackage app\nimport \"log\"\nvar die = log.Fatalln\n",
			[]string{"internal/app/a.go:4: only a command may call log.Fatalln"},
		},
		{"commands exit", "cmd/warder/a.go", "// Command warder.\npackage main\nimport \"os\"\nfunc main() { os.Exit(1) }\n", nil},
		{
			"init", "internal/app/a.go", "// Package app.\npackage app\nfunc init() {}\n",
			[]string{"internal/app/a.go:3: nothing may happen in init"},
		},
		{
			"too long", "internal/app/a.go", "// Package app.\npackage app\n" + strings.Repeat("//\n", maxLines),
			[]string{"internal/app/a.go: 702 lines, at most 700 are allowed"},
		},
		{"tests are free", "internal/policy/a_test.go", "package policy\nimport _ \"" + module + "/internal/guard\"\n", nil},
		{"other modules are free", "tools/a.go", "package tools\n", nil},
		{"testdata is free", "internal/app/testdata/a.go", "package x\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := tree(tt.file, tt.src)
			if strings.HasPrefix(tt.file, "tools/") {
				m["tools/go.mod"] = &fstest.MapFile{}
			}
			if diff := gocmp.Diff(tt.want, layering(t, m)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// layering returns everything in a tree that breaks the rules above.
func layering(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	commented := map[string]bool{}

	for name, src := range goFiles(t, fsys) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		dir := path.Dir(name)
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			fault("%v", err)
			continue
		}
		commented[dir] = commented[dir] || file.Doc != nil
		if n := bytes.Count(src, []byte("\n")); n > maxLines {
			fault("%s: %d lines, at most %d are allowed", name, n, maxLines)
		}
		layer, known := layers[dir]
		names := map[string]string{} // as imported -> path
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				fault("%s: %v", name, err)
				continue
			}
			local := path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			names[local] = imported
			if only, ok := confined[imported]; ok && !slices.Contains(only, dir) {
				fault("%s: only %s may import %s", name, strings.Join(only, ", "), imported)
			}
			rel, own := strings.CutPrefix(imported, module)
			if !own || rel != "" && rel[0] != '/' {
				continue
			}
			rel = cmp.Or(strings.TrimPrefix(rel, "/"), ".")
			below, ok := layers[rel]
			switch {
			case !ok:
				fault("%s: imports %s, which is not in the table of layers (deps_test.go)", name, rel)
			case known && below >= layer:
				fault("%s: layer %d may not import %s of layer %d", name, layer, rel, below)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					fault("%s:%d: nothing may happen in init", name, set.Position(n.Pos()).Line)
				}
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || file.Name.Name == "main" {
					break
				}
				from := names[x.Name]
				if from == "os" && n.Sel.Name == "Exit" || from == "log" && strings.HasPrefix(n.Sel.Name, "Fatal") {
					fault("%s:%d: only a command may call %s.%s", name, set.Position(n.Pos()).Line, from, n.Sel.Name)
				}
			}
			return true
		})
	}
	for _, dir := range slices.Sorted(maps.Keys(commented)) {
		if _, ok := layers[dir]; !ok {
			fault("%s: is not in the table of layers (deps_test.go)", dir)
		}
		if !commented[dir] {
			fault("%s: has no package comment", dir)
		}
	}
	return faults
}

// goFiles yields the Go files of this module, by name in lexical order.
func goFiles(t *testing.T, fsys fs.FS) func(yield func(string, []byte) bool) {
	t.Helper()
	return func(yield func(string, []byte) bool) {
		stop := false
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				base := d.Name()
				if name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules") {
					return fs.SkipDir
				}
				if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil && name != "." {
					return fs.SkipDir
				}
				return nil
			}
			if path.Ext(name) != ".go" {
				return nil
			}
			src, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			if !yield(name, src) {
				stop = true
				return fs.SkipAll
			}
			return nil
		})
		if err != nil && !stop {
			t.Fatal(err)
		}
	}
}
