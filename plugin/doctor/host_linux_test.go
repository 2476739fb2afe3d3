package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestMounted(t *testing.T) {
	mounts := "tmpfs /dev/shm tmpfs rw,size=1k 0 0\nshm /dev/shm tmpfs ro,noexec 0 0\n/dev/sda / ext4 rw 0 0\n"
	kind, options := mounted(mounts, "/dev/shm")
	if kind != "tmpfs" || !slices.Equal(options, []string{"ro", "noexec"}) {
		t.Error(kind, options)
	}
	if kind, _ := mounted(mounts, "/tmp"); kind != "not mounted" {
		t.Error(kind)
	}
}

func TestForeignRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "iceoryx2")
	if got := foreignRoot(dir); got.There {
		t.Errorf("%+v", got)
	}
	if err := os.MkdirAll(filepath.Join(dir, "services"), 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{"new", "old"} {
		path := filepath.Join(dir, "services", name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "old" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := foreignRoot(dir)
	if !got.There || got.Files != 2 || got.Old != 1 || !got.Writable || got.UID != os.Getuid() || got.Err != nil {
		t.Errorf("%+v", got)
	}
}

// Room is that of the nearest directory which is there.
func TestRoom(t *testing.T) {
	if got := room(useState, filepath.Join(t.TempDir(), "not", "yet")); got.Err != nil || got.Free <= 0 {
		t.Errorf("%+v", got)
	}
}
