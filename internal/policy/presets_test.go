package policy

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warderhq/warder"
)

func TestPresetsKeepTheirPromises(t *testing.T) {
	for _, name := range Presets() {
		t.Run(name, func(t *testing.T) {
			p := compiled(t, preset(t, name))
			if len(p.document.Tests) == 0 {
				t.Error("has no tests of its own")
			}
			if err := p.test(newModel()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPresetObserveIsClassic(t *testing.T) {
	classic, observe := preset(t, "classic"), preset(t, "observe")
	if observe.Mode != warder.Observe {
		t.Errorf("mode is %v", observe.Mode)
	}
	observe.Mode = classic.Mode
	if diff := cmp.Diff(classic.YAML(), observe.YAML()); diff != "" {
		t.Error(diff)
	}
	if a, b := compiled(t, classic).Counting(), compiled(t, preset(t, "observe")).Counting(); a != b {
		t.Error("observing must count what enforcing counts")
	}
}

func TestPresetText(t *testing.T) {
	for _, name := range Presets() {
		data, err := presetText(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, []byte("# "+name+":")) {
			t.Errorf("%s does not begin by saying what it is", name)
		}
	}
	if _, err := Preset("../classic"); err == nil {
		t.Error("an unknown preset was found")
	}
}

func preset(t testing.TB, name string) *Document {
	t.Helper()
	d, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func compiled(t testing.TB, d *Document) *Policy {
	t.Helper()
	p, err := d.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// policyOf compiles a document that is written in a test.
func policyOf(t testing.TB, text string) *Policy {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return compiled(t, d)
}

// TestPresetsWithRealCounters runs what a write of a policy runs.
func TestPresetsWithRealCounters(t *testing.T) {
	for _, name := range Presets() {
		if err := compiled(t, preset(t, name)).Test(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
