package builtin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// A full disk fails the sink, and the file does not get its name.
func TestSinkFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full: ", err)
	}
	dir := t.TempDir()
	s, err := createSink(dir, "a.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	s.file = full

	err = s.line([]byte("x"))
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "a.txt: frame 0: ") {
		t.Errorf("error %v", err)
	}
	ports, bad := node.Open(channel.NewMemory(), channel.Node{ID: "a"}, "main")
	if bad != nil {
		t.Fatal(bad)
	}
	if err := s.close(ports, err); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	files := ports.Files()
	if len(files) != 1 || files[0].Complete || files[0].Path != filepath.Join(dir, "a.txt.partial") {
		t.Errorf("report %+v", files)
	}
	if _, err := os.Stat(filepath.Join(dir, "a.txt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a.txt: %v", err)
	}
}

// Errors name the file and not the system call below.
func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	_, _, err := source{dir: dir, path: "none.txt"}.open()
	if err == nil || err.Error() != "open none.txt: no such file or directory" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := createSink(dir, "file/below.txt"); err == nil || !strings.HasPrefix(err.Error(), "open file") {
		t.Errorf("got %v", err)
	}
}
