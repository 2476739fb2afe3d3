package image_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// resolved is the image of a node whose source is a directory on the disk.
func resolved(t *testing.T, dir string) generate.Image {
	t.Helper()
	text := "version: v1\nnodes: [{id: stale, node_type: 'code:Node', docker: {source: src}}]\n"
	spec, err := pipeline.Parse("pipeline.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	sdk := fstest.MapFS{"__init__.py": {}, "__main__.py": {Data: []byte("import os, code\nprint(sorted(os.listdir('/app')), os.access('/app/run.sh', os.X_OK))\n")}}
	p, err := generate.Resolve(spec, "test", generate.Host{Arch: "amd64"}, root.FS(), sdk)
	if err != nil {
		t.Fatal(err)
	}
	return p.Images[0]
}

// TestFilesThatChangeBeforeTheBuild: what was hashed is what is sent, whatever
// becomes of the files meanwhile.
func TestFilesThatChangeBeforeTheBuild(t *testing.T) {
	c := engine(t)
	dir, mark := t.TempDir(), unique()
	if err := os.CopyFS(dir, fstest.MapFS{
		"src/code.py": {Data: []byte("print('old " + mark + "')\n")}, "src/run.sh": {Data: []byte("x"), Mode: 0o755}, "src/gone.py": {Data: []byte("x")},
	}); err != nil {
		t.Fatal(err)
	}
	old := resolved(t, dir)
	src := filepath.Join(dir, "src")
	write := func(name, text string) error { return os.WriteFile(filepath.Join(src, name), []byte(text), 0o600) }
	change := errors.Join(
		write("code.py", "print('new "+mark+"')\n"), // as long as before
		os.Chmod(filepath.Join(src, "run.sh"), 0o644), os.Remove(filepath.Join(src, "gone.py")), write("added.py", ""), write(".dockerignore", "run.sh"),
	)
	if change != nil {
		t.Fatal(change)
	}
	now := resolved(t, dir)
	remove(t, c, []generate.Image{old, now})
	if old.Key == now.Key {
		t.Error("the change has the same key")
	}
	if _, err := image.BuildAll(t.Context(), builder(t, c, nil), []generate.Image{old, now}, 1); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		old.Ref: "old " + mark + "\n['code.py', 'gone.py', 'run.sh'] True\n",
		now.Ref: "new " + mark + "\n['added.py', 'code.py'] False\n",
	} {
		out, err := exec.CommandContext(context.Background(), "docker", "run", "--rm", "--network=none", ref).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%v: %s\nwant %s", err, out, want)
		}
	}
	if got := strings.Join(now.Inputs().Changes(old.Inputs()), "; "); got != "code: added.py new, code.py changed, gone.py gone, run.sh gone" {
		t.Errorf("told: %s", got)
	}
}
