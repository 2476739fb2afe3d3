// Package python holds the Python SDK, so that it can be copied into images
// without a package index.
package python

import (
	"embed"
	"io/fs"
)

// Files are the files of the package: medianode/__init__.py and so on.
//
//go:embed medianode/*.py medianode/py.typed
var Files embed.FS

// Package is the package's directory: __init__.py and so on at its root.
func Package() fs.FS {
	sub, err := fs.Sub(Files, "medianode")
	if err != nil { // the pattern above has the directory in it
		panic(err)
	}
	return sub
}
