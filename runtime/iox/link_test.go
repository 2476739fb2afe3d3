//go:build cgo && linux

package iox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestLink(t *testing.T) {
	for _, l := range []struct {
		name  string
		flags []string
	}{
		{"dynamic", nil},
		{"static", []string{"-tags", "netgo,osusergo", "-ldflags", "-linkmode external -extldflags -static"}},
	} {
		t.Run(l.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "link")
			args := append(append([]string{"build", "-o", program}, l.flags...), "./testdata/link")
			if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
				t.Fatalf("go %v: %v\n%s", args, err, out)
			}
			p := newProject(t, false)
			sendsFrame(t, exec.Command(program, p.domain.Root, p.dir))
			if l.name == "static" {
				t.Run("empty root", func(t *testing.T) { inEmptyRoot(t, program) })
			}
		})
	}
}

// inEmptyRoot runs a program where there is no /dev, no /proc and no library.
func inEmptyRoot(t *testing.T, program string) {
	if os.Getuid() != 0 {
		t.Skip("only root may change the root directory")
	}
	root := filepath.Dir(newProject(t, false).dir)
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "link"), binary, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/link", "/iox", "/shm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	sendsFrame(t, cmd)
}

func sendsFrame(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "frame\n" {
		t.Errorf("%v: %v, output %q", cmd.Args, err, out)
	}
}
