//go:build cgo && linux

package iox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/iox"
)

// small is a project whose segments are in a tmpfs of so many bytes.
func small(t *testing.T, size string) project {
	t.Helper()
	p := newProject(t, false)
	if err := unix.Mount("tmpfs", p.dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(p.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestFull(t *testing.T) {
	p := small(t, "4m")
	tr := p.open(t)
	s := spec("main_a_output", 1<<20, 1, 4)
	_, err := connect(tr, s)
	var e *iox.Error
	if !errors.Is(err, channel.ErrNoSpace) || !errors.As(err, &e) {
		t.Fatalf("%v, want ErrNoSpace", err)
	}
	if need := s.Sizes().Data; int(e.Need) > need || int(e.Need) < need-4096 || e.Have == 0 || e.Have > 4<<20 {
		t.Errorf("need %d, have %d, want %d of at most 4 MiB", e.Need, e.Have, need)
	}
	if files := p.files(t, ".data"); len(files) != 0 {
		t.Errorf("left %v", files)
	}
	if err := mustConnect(t, tr, spec("main_b_output", 1<<16, 1, 4)).hop(t.Context(), 1<<16, make([]channel.Sample, 1)); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}

// TestEveryPage opens a channel with one free page more each time: each of its
// files is the one that does not fit once.
func TestEveryPage(t *testing.T) {
	p := small(t, "1m")
	filler := filepath.Join(p.dir, "filler")
	s := spec("main_a_output", 4096, 1, 2, 2)
	for free := 0; ; free++ {
		tr := p.open(t)
		fill(t, p.dir, filler, int64(free)*4096)
		l, err := connect(tr, s)
		if err == nil {
			err = l.hop(t.Context(), 4096, make([]channel.Sample, 1))
		}
		if free == 0 && err == nil {
			t.Fatal("a channel fits where no page is free")
		}
		if bad := tr.Close(); bad != nil {
			t.Errorf("%d pages free: close: %v", free, bad)
		}
		if left := p.left(t); len(left) != 1 {
			t.Fatalf("%d pages free: left %v", free, left)
		}
		if bad := os.Remove(filler); bad != nil {
			t.Fatal(bad)
		}
		if err == nil {
			if want := s.Sizes().Total() / 4096; free != want {
				t.Errorf("it takes %d pages, Sizes says %d", free, want)
			}
			return
		}
		if !errors.Is(err, channel.ErrNoSpace) {
			t.Errorf("%d pages free: %v, want ErrNoSpace", free, err)
		}
	}
}

// fill takes all of a file system but so many bytes.
func fill(t *testing.T, dir, name string, leave int64) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-leave); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSizes compares Spec.Sizes with the files.
func TestSizes(t *testing.T) {
	var two []int
	for range 40 {
		two = append(two, 3)
	}
	again := spec("again", 6220800, 2, 4, 8)
	again.Readers[0].Retry = true
	for _, s := range []channel.Spec{
		spec("one", 1<<20, 1, 4),
		spec("none", 100, 1),
		spec("empty", 0, 3, 1),
		spec("uneven", 6220800, 2, 1, 8),
		spec("many", 64, 2, two...),
		again,
		channel.ControlSpec("n"),
	} {
		t.Run(s.Name, func(t *testing.T) {
			p := newProject(t, false)
			mustConnect(t, p.open(t), s)
			got := channel.Sizes{
				Data: p.pages(t, ".data"), Connection: p.pages(t, ".connection"),
				Service: p.pages(t, ".dynamic") + p.pages(t, ".event_mgmt"), Ledger: p.pages(t, "medianode_ledger_"),
			}
			if len(s.Readers) == 0 { // room for one that is not there
				got.Connection, got.Service = s.Sizes().Connection, got.Service+4096
			}
			if want := s.Sizes(); got != want {
				t.Errorf("files take %+v, Sizes says %+v", got, want)
			}
			for _, f := range p.files(t, ".dynamic") {
				st, err := os.Stat(filepath.Join(p.dir, f))
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: %d bytes", f[strings.LastIndex(f, "_"):], st.Size())
			}
		})
	}
}

// pages are the bytes that files take, in whole pages; each must have all of
// its memory already.
func (p project) pages(t *testing.T, containing string) (sum int) {
	t.Helper()
	for _, name := range p.files(t, containing) {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(p.dir, name), &st); err != nil {
			t.Fatal(err)
		}
		size := int(st.Size+4095) / 4096 * 4096
		if int(st.Blocks)*512 < size {
			t.Errorf("%s has %d of %d bytes", name, st.Blocks*512, size)
		}
		sum += size
	}
	return sum
}
