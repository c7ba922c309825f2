// Package web holds the dashboard: the pages that Vite built from web/, or, in
// a binary that was built without them, one page that says how to build them.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

//go:embed fallback.html
var fallback []byte

// Files returns the built dashboard, and false if it was not built.
func Files() (fs.FS, bool) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, false
	}
	_, err = fs.Stat(files, "index.html")
	return files, err == nil
}

// Fallback is the page that is shown when there is no dashboard.
func Fallback() []byte { return fallback }
