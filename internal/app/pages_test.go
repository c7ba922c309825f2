package app

import (
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/warderhq/warder/internal/config"
	"github.com/warderhq/warder/internal/gate"
)

// document reads a document of YAML into maps and lists.
func document(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Load([]byte(text), &out); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return out
}

// at follows names into maps, and 0 into the first of a list.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for _, name := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			if name != "0" || len(x) == 0 {
				t.Fatalf("no %s in a list", name)
			}
			v = x[0]
		default:
			t.Fatalf("no %s", name)
		}
	}
	return v
}

// TestPagesThatAreNotRun: the pages about Envoy, Traefik and Kubernetes, whose
// programs are not run here, are what they claim to be as far as that can be
// seen without them.
func TestPagesThatAreNotRun(t *testing.T) {
	for page, mark := range map[string]string{"envoy.md": "not run here", "kubernetes.md": "not run here", "traefik.md": "not run here"} {
		blocks := strings.Join(snippets(t, page, "yaml"), "\n---\n")
		for part := range strings.SplitSeq(blocks, "\n---\n") {
			document(t, part)
		}
		if text := readPage(t, page); !strings.Contains(strings.ReplaceAll(text, "**", ""), mark) {
			t.Errorf("%s does not say that it is %s", page, mark)
		}
	}
	envoy := snippets(t, "envoy.md", "yaml")
	filter := at(t, document(t, envoy[1]), "http_filters", "0", "typed_config")
	if at(t, filter, "failure_mode_allow") != false || at(t, filter, "http_service", "path_prefix") != gate.EnvoyPath {
		t.Errorf("Envoy's filter: %v", filter)
	}
	if address := at(t, document(t, snippet(t, "traefik.md", "yaml")), "http", "middlewares", "warder", "forwardAuth", "address"); address != "http://127.0.0.1:8420"+gate.GenericPath {
		t.Errorf("Traefik asks %v", address)
	}
	manifests := strings.Split(snippet(t, "kubernetes.md", "yaml"), "\n---\n")
	kinds := map[string]map[string]any{}
	for _, m := range manifests {
		d := document(t, m)
		kinds[d["kind"].(string)] = d
	}
	file := filepath.Join(t.TempDir(), "warder.yaml")
	putFile(t, file, at(t, kinds["ConfigMap"], "data", "warder.yaml").(string))
	cfg, err := config.Load(file, nil, map[string]string{})
	if err != nil || cfg.Data != "/data" || len(cfg.TrustedProxies) == 0 {
		t.Errorf("the configuration of the manifest: %v", err)
	}
	spec := at(t, kinds["Deployment"], "spec")
	if at(t, spec, "replicas") != 1 || at(t, spec, "strategy", "type") != "Recreate" {
		t.Errorf("two processes could serve one data directory: %v", spec)
	}
	auth := at(t, document(t, snippets(t, "kubernetes.md", "yaml")[1]), "metadata", "annotations", "nginx.ingress.kubernetes.io/auth-url")
	if !strings.HasSuffix(auth.(string), ":8420"+gate.NginxPath) {
		t.Errorf("the ingress asks %v", auth)
	}
}
