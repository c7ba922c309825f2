package policy

import (
	"embed"
	"fmt"
	"slices"
)

//go:embed presets/*.yaml
var presets embed.FS

// Presets names the documents that come with Warder, the default first, then
// from the one that does least to the one that does most.
func Presets() []string { return []string{"classic", "observe", "balanced", "strict"} }

// Preset returns a document that comes with Warder, a new one each time.
func Preset(name string) (*Document, error) {
	data, err := presetText(name)
	if err != nil {
		return nil, err
	}
	d, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read preset %s: %w", name, err)
	}
	return d, nil
}

// presetText returns the same as it is written, comments included.
func presetText(name string) ([]byte, error) {
	if !slices.Contains(Presets(), name) {
		return nil, fmt.Errorf("unknown preset %q, want one of %q", clip(name), Presets())
	}
	return presets.ReadFile("presets/" + name + ".yaml")
}
