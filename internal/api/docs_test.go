package api

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warderhq/warder/internal/operator"
)

// page is a page of the documentation.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryCallIsListed: docs/api.md is the table of routes.
func TestEveryCallIsListed(t *testing.T) {
	text := page(t, "api.md")
	seen := map[string]bool{}
	for _, row := range routes {
		method, path, _ := strings.Cut(row.pattern, " ")
		if path == "/{$}" || path == "/openapi.json" || path == "/references/{ref}" {
			continue // the dashboard, and the document itself
		}
		call := "`" + method + " " + strings.Replace(path, "...}", "}", 1) + "`"
		seen[call] = true
		_, line, ok := strings.Cut(text, "\n| "+call+" |")
		line, _, _ = strings.Cut(line, "\n")
		want := fmt.Sprintf("| %s | %s |", row.scope, row.role)
		if row.scope == "" || row.role == "" {
			want = strings.ReplaceAll(want, "|  |", "|")
			line = strings.ReplaceAll(line, "|  |", "|")
		}
		if !ok || !strings.HasSuffix(line, strings.TrimPrefix(want, "|")) {
			t.Errorf("docs/api.md has no row for %s that ends in %q", call, want)
		}
	}
	for _, m := range regexp.MustCompile("\n\\| (`[A-Z]+ /[^`]*`) \\|").FindAllStringSubmatch(text, -1) {
		if !seen[m[1]] {
			t.Errorf("docs/api.md lists %s, which there is not", m[1])
		}
	}
	for _, role := range []operator.Role{operator.Owner, operator.Admin, operator.Analyst, operator.Viewer} {
		if !strings.Contains(text, "`"+string(role)+"`") {
			t.Errorf("docs/api.md does not name the role %s", role)
		}
	}
	for _, scope := range Scopes() {
		if !strings.Contains(text, "`"+string(scope)+"`") {
			t.Errorf("docs/api.md does not name the scope %s", scope)
		}
	}
}

// TestEveryFigureIsDescribed: docs/operations.md names each metric, each reason
// for working with less, and no others.
func TestEveryFigureIsDescribed(t *testing.T) {
	text := page(t, "operations.md")
	s, _ := bare(t, Options{})
	descs := make(chan *prometheus.Desc, 1000)
	s.metrics.registry.Describe(descs)
	close(descs)
	have := map[string]bool{}
	for d := range descs {
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]
		if have[name] = true; strings.HasPrefix(name, "warder_") && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/operations.md does not name %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`(warder_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		if !have[m[1]] {
			t.Errorf("docs/operations.md names %s, which there is not", m[1])
		}
	}
	_, table, _ := strings.Cut(text, "\n## Degraded\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for reason := range remedies {
		if !strings.Contains(table, "\n| `"+reason+"` |") {
			t.Errorf("docs/operations.md does not say what to do about %s", reason)
		}
	}
	for _, m := range regexp.MustCompile("\n\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		if remedies[m[1]] == "" {
			t.Errorf("docs/operations.md has a remedy for %s, /readyz has none", m[1])
		}
	}
}
