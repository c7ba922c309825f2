package warder_test

import (
	"os"
	"regexp"
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
