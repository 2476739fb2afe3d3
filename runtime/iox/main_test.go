//go:build cgo && linux

package iox_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/channel/channeltest"
	"github.com/medianode/docker-medianode/runtime/iox"
)

// envWorker makes this test binary a conformance worker.
const envWorker = "MEDIANODE_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(envWorker) == "" {
		os.Exit(m.Run())
	}
	if err := channeltest.Serve(os.Stdin, os.Stdout, open); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func open(d channel.Domain, dir string) (channel.Transport, error) { return iox.Open(d, dir) }

// project is a domain with directories of its own on tmpfs, which are removed
// with everything in them.
type project struct {
	domain channel.Domain
	dir    string
}

// public is where processes have their segments that know no other directory.
const public = "/dev/shm"

// newProject has its segments in a directory of its own, or in /dev/shm itself
// for peers that know no other.
func newProject(t *testing.T, shared bool) project {
	t.Helper()
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	id := "mntest" + hex.EncodeToString(random)
	base := filepath.Join(public, id)
	p := project{channel.Domain{Root: filepath.Join(base, "iox"), Prefix: id + "_"}, filepath.Join(base, "shm")}
	for _, dir := range []string{p.domain.Root, p.dir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Skipf("no tmpfs at /dev/shm: %v", err)
		}
	}
	if shared {
		p.dir = public
	}
	t.Cleanup(func() {
		files, err := filepath.Glob(filepath.Join("/dev/shm", "*"+id+"*"))
		if err != nil {
			t.Error(err)
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

// files are the names in the segments' directory that contain a text; where others
// have theirs too, those of this project.
func (p project) files(t *testing.T, containing string) []string {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		ledger := strings.HasPrefix(name, "medianode_ledger_") && (p.dir != public || strings.Contains(name, p.domain.Prefix))
		ours := strings.HasPrefix(name, p.domain.Prefix) || ledger
		if ours && strings.Contains(name, containing) {
			names = append(names, name)
		}
	}
	return names
}

func (p project) open(t *testing.T) *iox.Transport {
	t.Helper()
	tr, err := iox.Open(p.domain, p.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// inside is a worker in this process, process one of its own.
func (p project) inside(t *testing.T) *channeltest.Worker {
	return channeltest.Inside(t, p.domain, p.dir, open)
}

func (p project) process(t *testing.T) *channeltest.Worker {
	// A process under the race detector would sleep for a second at its end.
	env := []string{envWorker + "=1", "GORACE=atexit_sleep_ms=0"}
	return channeltest.Process(t, p.domain, p.dir, env, os.Args[0])
}
