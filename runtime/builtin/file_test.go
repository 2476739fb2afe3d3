package builtin

import (
	"bytes"
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

// Whatever a file holds, its samples lie inside it.
func FuzzReadWave(f *testing.F) {
	f.Add([]byte("RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x40\x1f\x00\x00\x00\x7d\x00\x00\x04\x00\x10\x00data\x04\x00\x00\x00\x01\x02\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := readWave(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if w.offset < 44 || w.size < 0 || w.offset+w.size > int64(len(b)) || w.size%w.block() != 0 || w.Format.Bytes() == 0 {
			t.Errorf("%+v of %d bytes", w, len(b))
		}
	})
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
