package warder_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The promises of the README name their proofs; a test that was renamed or
// deleted must not stay there.
func TestReadmeNamesRealTests(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t, os.DirFS("."))
	cited := regexp.MustCompile("`([a-z/]+\\.Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(readme), -1)
	if len(cited) < 8 {
		t.Errorf("%d tests are named, the eight promises have at least one each", len(cited))
	}
	for _, c := range cited {
		if !tests[c[1]] {
			t.Errorf("there is no test %s", c[1])
		}
	}
}

// What one page of the documentation says of another must be there: the file,
// and the heading.
func TestLinksLeadSomewhere(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "web/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 15 {
		t.Fatalf("only %d pages", len(pages))
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Errorf("%s: there is no %s", page, m[1])
				continue
			}
			if heading == "" || info.IsDir() {
				continue
			}
			there, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !headings(string(there))[heading] {
				t.Errorf("%s: %s has no heading %s", page, file, heading)
			}
		}
	}
}

// headings are the anchors of a page.
func headings(text string) map[string]bool {
	list := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return list
}
