package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestDocumentationNamesEveryCommand: docs/commands.md has each command and
// each flag.
func TestDocumentationNamesEveryCommand(t *testing.T) {
	page, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	parser, err := kong.New(&commands{}, kong.Name("warder"))
	if err != nil {
		t.Fatal(err)
	}
	var visit func(n *kong.Node, path string)
	visit = func(n *kong.Node, path string) {
		for _, f := range n.Flags {
			if !strings.Contains(text, "--"+f.Name) && !strings.Contains(text, "--no-"+f.Name) {
				t.Errorf("docs/commands.md does not name --%s of %s", f.Name, path)
			}
		}
		if len(n.Children) == 0 {
			// A second command of one row stands there without "warder".
			if name := strings.TrimPrefix(path, "warder "); !strings.Contains(text, "`"+path) &&
				!strings.Contains(text, "`"+name) && !strings.Contains(text, "`"+n.Name+" ") {
				t.Errorf("docs/commands.md does not name %s", path)
			}
		}
		for _, c := range n.Children {
			visit(c, path+" "+c.Name)
		}
	}
	visit(parser.Model.Node, "warder")
}
