package plugin

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/medianode/docker-medianode/runtime/python"
)

// pip installs the wheel without an index, and the package imports without
// anything else.
func TestWheel(t *testing.T) {
	name, text, err := wheel(python.Files)
	if err != nil {
		t.Fatal(err)
	}
	again, more, err := wheel(python.Files)
	if err != nil || again != name || !bytes.Equal(text, more) {
		t.Errorf("another time it is another wheel: %s, %s: %v", name, again, err)
	}
	interpreter, err := exec.LookPath(cmp.Or(os.Getenv("MEDIANODE_TEST_PYTHON"), "python3"))
	if err != nil {
		t.Skip("skipped: no Python here, and MEDIANODE_TEST_PYTHON names none")
	}
	if exec.Command(interpreter, "-m", "pip", "--version").Run() != nil {
		t.Skip("skipped: this Python has no pip")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(interpreter, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", "--target", dir+"/site", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	use := exec.Command(interpreter, "-c", "import medianode; print(medianode.__file__)")
	use.Env, use.Dir = append(os.Environ(), "PYTHONPATH="+dir+"/site"), dir
	if out, err := use.CombinedOutput(); err != nil || string(out) != filepath.Join(dir, "site", "medianode", "__init__.py")+"\n" {
		t.Errorf("%v: %s", err, out)
	}
}
