package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func TestDown(t *testing.T) {
	const uid = 987655
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("no /dev/shm")
	}
	p := &place{project: "p", dir: Directory(uid, "p"), root: channel.NewDomain(uid, "p").Root, uid: os.Getuid(), gid: os.Getgid()}
	if err := errors.Join(p.makeParent(), p.make()); err != nil {
		t.Fatal(err)
	}
	f := newFake(nil)
	f.launch("mid", &script{die: "start"})
	if names, err := Projects(uid); err != nil || len(names) != 1 || names[0] != "p" {
		t.Errorf("projects: %v %v", names, err)
	}
	for range 2 { // the second finds nothing and is no error
		if err := Down(t.Context(), f, "p", uid); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{filepath.Dir(p.dir), p.root} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left: %s", path)
		}
	}
	if len(f.containers) > 0 {
		t.Error("containers are left")
	}
	if names, err := Projects(uid); err != nil || len(names) != 0 {
		t.Errorf("projects: %v %v", names, err)
	}
	f.failAt = len(f.calls) + 1
	if err := Down(t.Context(), f, "p", uid); !errors.Is(err, errInjected) {
		t.Errorf("got %v", err)
	}
}

func TestPsAndLogs(t *testing.T) {
	f := newFake(nil)
	for _, service := range []string{"b", "a"} {
		f.launch(service, &script{die: "start", logs: []string{"from " + service}})
	}
	list, err := Ps(t.Context(), f, "p")
	if err != nil || len(list) != 2 || list[0].Service != "a" {
		t.Errorf("ps: %+v %v", list, err)
	}
	for _, follow := range []bool{false, true} {
		var got []string
		last := time.Time{}
		err = Logs(t.Context(), f, "p", LogOptions{Tail: "all", Follow: follow}, func(l LogLine) {
			if !follow && l.Time.Before(last) {
				t.Error("not in order")
			}
			last = l.Time
			got = append(got, l.Node+" "+l.Text)
		})
		if all := strings.Join(got, ", "); err != nil || len(got) != 4 || !strings.Contains(all, "a from a") || !strings.Contains(all, "b last words") {
			t.Errorf("logs: %s %v", all, err)
		}
	}
	f.failAt = len(f.calls) + 1
	if _, err := Ps(t.Context(), f, "p"); !errors.Is(err, errInjected) {
		t.Errorf("ps: %v", err)
	}
	f.failAt = len(f.calls) + 2
	if err := Logs(t.Context(), f, "p", LogOptions{}, func(LogLine) {}); !errors.Is(err, errInjected) {
		t.Errorf("logs: %v", err)
	}
}

func TestRunning(t *testing.T) {
	const uid = 987656
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc")
	}
	if err := Running(uid, "p"); err != nil {
		t.Errorf("nobody: %v", err)
	}
	p := &place{project: "p", dir: Directory(uid, "p"), uid: os.Getuid(), gid: os.Getgid()}
	if err := p.take(Owner{PID: os.Getpid(), Pipeline: "/a/b.yaml"}); err != nil {
		t.Fatal(err)
	}
	var running *RunningError
	if err := Running(uid, "p"); !errors.As(err, &running) || running.Owner.Pipeline != "/a/b.yaml" {
		t.Errorf("got %v", err)
	}
	// One who died left its name.
	if err := writeOwner(p.lock, Owner{PID: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if err := Running(uid, "p"); err != nil {
		t.Errorf("dead: %v", err)
	}
	if err := p.leave(); err != nil {
		t.Error(err)
	}
}
