package runtime_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/iox"
)

// mounted is a transport whose memory is a file system of its own.
type mounted struct {
	channel.Transport
	dirs []string
}

func (m *mounted) Close() error {
	err := m.Transport.Close()
	for _, dir := range m.dirs {
		err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
	}
	return err
}

// TestEngineMemoryFilled lets somebody else take all memory that the project has
// left, while it runs: its own is there since its channels were made. A node
// that dies meanwhile says why it does not come back, until there is memory.
func TestEngineMemoryFilled(t *testing.T) {
	p, r := restarting(t, "filled", 1000000, "{}", false)
	small := &mounted{}
	p.config.Open = func(d channel.Domain, shm string) (channel.Transport, error) {
		for _, dir := range []string{shm, filepath.Join(filepath.Dir(shm), "iox")} {
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=700"); err != nil {
				t.Skipf("skipped: cannot mount a small file system: %v", err)
			}
			small.dirs = append(small.dirs, dir)
			if err := os.Chown(dir, p.config.UID, p.config.GID); err != nil {
				return nil, err
			}
		}
		var err error
		small.Transport, err = iox.Open(d, shm)
		return small, err
	}
	s := p.start()
	t.Cleanup(func() { _ = s.Close() })
	more := func(what string) {
		t.Helper()
		if seen := r.len(); !eventually(20*time.Second, func() bool { return r.len() > seen+200 }) {
			t.Fatalf("%s: %d frames, %+v", what, r.len(), s.Report())
		}
	}
	more("at first")
	for _, dir := range small.dirs {
		filled(t, dir)
	}
	more("with no memory left")
	p.signal("SIGKILL")
	full := eventually(20*time.Second, func() bool {
		for _, dir := range small.dirs { // also what the dead process had
			filled(t, dir)
		}
		return p.wrote("shared memory is full")
	})
	if !full {
		t.Errorf("the node does not say that there is no memory: %q", p.lines)
	}
	for _, dir := range small.dirs {
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Fatal(err)
		}
	}
	more("with memory again")
	if err := errors.Join(s.Stop(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	for _, n := range s.Report().Nodes {
		if n.State != runtime.StateExited {
			t.Errorf("%+v", n)
		}
	}
}

// wrote says whether a node has written a line with a text in it.
func (s *stage) wrote(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.lines, func(line string) bool { return strings.Contains(line, text) })
}

// filled takes all of a file system.
func filled(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "filler"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
