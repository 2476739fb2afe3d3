package plugin

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/medianode/docker-medianode/generate"
)

// The tests that come with a new pipeline pass, without an engine.
func TestNewPassesItsTests(t *testing.T) {
	interpreter, err := exec.LookPath(cmp.Or(os.Getenv("MEDIANODE_TEST_PYTHON"), "python3"))
	if err != nil {
		t.Skip("skipped: no Python here, and MEDIANODE_TEST_PYTHON names none")
	}
	if exec.Command(interpreter, "-c", "import numpy, pytest").Run() != nil {
		t.Skip("skipped: this Python has no numpy and pytest; MEDIANODE_TEST_PYTHON may name one that has")
	}
	sdk, err := filepath.Abs("../runtime/python")
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range templateNames() {
		t.Run(template, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "it")
			files, err := scaffold(template, "a-first-one")
			if err != nil {
				t.Fatal(err)
			}
			if err := writeNew(dir, files); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider")
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+sdk, "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// A directory that fails half way is not left behind, one that was there stays.
func TestNewLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it")
	bad := []generate.File{{Path: "a/b", Data: []byte("x"), Mode: 0o644}, {Path: "a/b/c", Data: []byte("x"), Mode: 0o644}}
	if err := writeNew(dir, bad); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("left behind:", err)
	}
}

func TestNames(t *testing.T) {
	for name, class := range map[string]string{"captions": "Captions", "speech-to-text": "SpeechToText", "a_b": "AB", "x1": "X1", "a--b_": "AB"} {
		if bad := checkName(name); bad != "" {
			t.Errorf("%s: %s", name, bad)
		}
		if got := className(name); got != class {
			t.Errorf("%s: class %s, want %s", name, got, class)
		}
	}
	for _, name := range []string{"", "-a", "1a", "A", "a b", "a/b", "..", "ünï", "json", "class", "import", "none", "input", "conftest", "a.b"} {
		if checkName(name) == "" {
			t.Errorf("%q is taken for a name", name)
		}
	}
	if slices.Contains(templateNames(), "") {
		t.Error("a template without a name")
	}
}
