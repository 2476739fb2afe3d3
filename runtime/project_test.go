package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func newPlace(t *testing.T) *place {
	base := t.TempDir()
	return &place{
		project: "p", dir: filepath.Join(base, "mn", "p"), root: filepath.Join(base, "root"),
		uid: os.Getuid(), gid: os.Getgid(),
	}
}

func TestSecondRunIsTold(t *testing.T) {
	p := newPlace(t)
	if err := p.take(Owner{PID: 42, Pipeline: "/a/b.yaml", Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	second := *p
	second.lock = nil
	err := second.take(Owner{PID: 43})
	var running *RunningError
	if !errors.As(err, &running) || running.Owner.PID != 42 || !strings.Contains(err.Error(), "process 42") || !strings.Contains(err.Error(), "/a/b.yaml") {
		t.Errorf("got %v", err)
	}
	running.Asked = 20400 * time.Millisecond // by down
	if text := err.Error(); !strings.HasPrefix(text, "process 42 was asked to stop 20s ago and has not") || !strings.Contains(text, "kill -9 42") || strings.Contains(text, "--project-name") {
		t.Errorf("asked: %s", text)
	}
	if err := p.leave(); err != nil {
		t.Fatal(err)
	}
	if err := second.take(Owner{PID: 43}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.leave(), second.leave()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Dir(p.dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the parent is left: %v", err)
	}
}

// TestLockRace lets many take and leave at once: at most one has the lock.
func TestLockRace(t *testing.T) {
	p := newPlace(t)
	var holders atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 200 {
				mine := *p
				err := mine.take(Owner{PID: 1})
				if errors.As(err, new(*RunningError)) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two have the lock")
				}
				holders.Add(-1)
				if err := mine.leave(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func TestMakeAndWipe(t *testing.T) {
	p := newPlace(t)
	if err := p.makeParent(); err != nil {
		t.Fatal(err)
	}
	if err := p.make(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{p.dir: 0o700, filepath.Join(p.dir, "shm"): 0o700, filepath.Dir(p.dir): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(p.root, "through the link"), nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := p.wipe(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{p.dir, p.root} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

func TestSomethingElseAtTheRoot(t *testing.T) {
	for name, put := range map[string]func(string) error{
		"file":      func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/etc", path) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			root := r.config.Domain.Root
			if err := put(root); err != nil {
				t.Fatal(err)
			}
			if _, err := Start(t.Context(), r.config); err == nil || !strings.Contains(err.Error(), "in the way") {
				t.Errorf("Start: %v", err)
			}
			if _, err := os.Lstat(root); err != nil {
				t.Errorf("it was removed: %v", err)
			}
			_ = os.Remove(root)
			r.nothingLeft()
		})
	}
}

func TestParentOfSomebodyElse(t *testing.T) {
	p := newPlace(t)
	parent := filepath.Dir(p.dir)
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := p.take(Owner{}); err == nil || !strings.Contains(err.Error(), "only this user can write") {
		t.Errorf("got %v", err)
	}
}

func TestTooLittleSharedMemory(t *testing.T) {
	r := newRig(t, 1)
	r.config.SharedMemory = 1 << 60
	_, err := Start(t.Context(), r.config)
	var space *SpaceError
	if !errors.As(err, &space) || !errors.Is(err, channel.ErrNoSpace) || space.Need != 1<<60 || space.Have <= 0 {
		t.Errorf("got %v", err)
	}
	r.nothingLeft()
}

func TestLeftoversOfADeadRun(t *testing.T) {
	r := newRig(t, 5)
	p := &place{project: "p", dir: r.config.Dir, root: r.config.Domain.Root, uid: os.Getuid(), gid: os.Getgid()}
	if err := errors.Join(p.makeParent(), p.make()); err != nil {
		t.Fatal(err)
	}
	r.engine.launch("mid", &script{die: "start"})
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
}

func TestDetachedProjectIsLeftAlone(t *testing.T) {
	r := newRig(t, 5)
	r.engine.foreign = []Container{{ID: "x", Service: "runtime", State: "running"}}
	if _, err := Start(t.Context(), r.config); !errors.As(err, new(*RunningError)) {
		t.Errorf("Start: %v", err)
	}
	r.nothingLeft()
}
