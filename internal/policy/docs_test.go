package policy

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestDocumentationNamesEveryField: docs/policy.md describes each name of a
// document and each preset, and its example is one that can be put in force.
func TestDocumentationNamesEveryField(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ.PkgPath() != reflect.TypeFor[Document]().PkgPath() {
			return
		}
		seen[typ] = true
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name != "" && !strings.Contains(text, "`"+name+"`") {
				t.Errorf("docs/policy.md does not describe %s of %s", name, typ)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[Document]())
	for _, name := range Presets() {
		if !strings.Contains(text, "\n| `"+name+"` |") {
			t.Errorf("docs/policy.md does not describe the preset %s", name)
		}
	}
	_, example, _ := strings.Cut(text, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	d, err := Parse([]byte(example))
	if err != nil {
		t.Fatalf("the example: %v", err)
	}
	p, err := d.Compile()
	if err != nil {
		t.Fatalf("the example: %v", err)
	}
	if err := p.Test(); err != nil {
		t.Errorf("the example: %v", err)
	}
}
