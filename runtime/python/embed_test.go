package python

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

func TestPackage(t *testing.T) {
	embedded := map[string]bool{}
	err := fs.WalkDir(Package(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			embedded[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("medianode")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if source := !e.IsDir() && !strings.HasPrefix(e.Name(), "."); source && !embedded[e.Name()] {
			t.Errorf("%s is not embedded", e.Name())
		}
	}
	for _, name := range []string{"__init__.py", "__main__.py", "py.typed"} {
		if !embedded[name] {
			t.Errorf("%s is missing", name)
		}
	}
	for name := range embedded {
		if ext := path.Ext(name); ext != ".py" && ext != ".typed" {
			t.Errorf("%s is embedded", name)
		}
	}
}
