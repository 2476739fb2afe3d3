package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func TestDeadJudgement(t *testing.T) {
	now := time.Now()
	old, young := now.Add(-2*probeTime), now.Add(-time.Second)
	tests := map[string]struct {
		r    remains
		want string
	}{
		"nothing":             {remains{}, ""},
		"of a dead project":   {remains{engine: []Owned{{Kind: kindVolume, Name: "v", Project: "a"}, {Kind: kindContainer, Name: "c", Project: "a"}}}, "c v"},
		"of a running one":    {remains{engine: []Owned{{Kind: kindContainer, Name: "c", Project: "live"}}, files: []Leftover{{Kind: kindDirectory, Name: "d", Project: "live"}}}, ""},
		"without a project":   {remains{engine: []Owned{{Kind: kindContainer, Name: "c"}}}, ""},
		"files":               {remains{files: []Leftover{{Kind: kindLock, Name: "l", Project: "a"}, {Kind: kindDirectory, Name: "d", Project: "a"}}}, "d l"},
		"a probe at work":     {remains{engine: []Owned{{Kind: kindContainer, Name: "c", Probe: "/dev/shm/x/.probe-1-77", Made: young}}, files: []Leftover{{Name: "/x/.probe-1-77", Made: young}}}, ""},
		"a probe, dead":       {remains{engine: []Owned{{Kind: kindContainer, Name: "c", Probe: "/dev/shm/x/.probe-2-77", Made: young}}, files: []Leftover{{Kind: kindDirectory, Name: "/x/.probe-2-77", Made: young}}}, "c /x/.probe-2-77"},
		"a probe, id of now":  {remains{engine: []Owned{{Kind: kindContainer, Name: "c", Probe: "/dev/shm/x/.probe-1-77", Made: old}}}, "c"},
		"a probe, no process": {remains{engine: []Owned{{Kind: kindContainer, Name: "c", Probe: "1", Made: old}}}, "c"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := test.r
			r.now, r.lives, r.running = now, func(pid int) bool { return pid == 1 }, map[string]bool{"live": true}
			if got := names(r.dead()); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func names(left []Leftover) string {
	var all []string
	for _, l := range left {
		all = append(all, l.Name)
	}
	return strings.Join(all, " ")
}

// litter makes what a killed run of a project leaves.
func litter(t *testing.T, uid int, project string) *place {
	t.Helper()
	p := &place{project: project, dir: Directory(uid, project), root: channel.NewDomain(uid, project).Root, uid: os.Getuid(), gid: os.Getgid()}
	if err := errors.Join(p.take(Owner{PID: 1 << 30}), p.make()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = errors.Join(p.wipe(), p.leave(), os.RemoveAll(p.lockPath()), os.RemoveAll(filepath.Dir(p.dir)))
	})
	return p
}

func TestLeftovers(t *testing.T) {
	const uid = 987657
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("no /dev/shm")
	}
	dead, live := litter(t, uid, "dead"), litter(t, uid, "live")
	if err := errors.Join(dead.lock.Close(), writeOwner(live.lock, Owner{PID: os.Getpid()})); err != nil {
		t.Fatal(err)
	}
	parent := filepath.Dir(dead.dir)
	probe := filepath.Join(parent, probePrefix+"1073741824-1")
	if err := os.Mkdir(probe, 0o700); err != nil {
		t.Fatal(err)
	}
	f := newFake(nil)
	f.owned = []Owned{
		{Kind: kindContainer, ID: "1", Name: "c", Project: "dead", State: "running"}, {Kind: kindVolume, ID: "2", Name: "v", Project: "dead"},
		{Kind: kindContainer, ID: "3", Name: "other", Project: "live"},
	}

	t.Run("the engine is gone", func(t *testing.T) {
		f.failAt = len(f.calls) + 1
		left, err := Leftovers(t.Context(), f, uid)
		if !errors.Is(err, errInjected) || len(left) != 4 {
			t.Errorf("left: %s, %v", names(left), err)
		}
	})
	left, err := Leftovers(t.Context(), f, uid)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join([]string{probe, "c", "v", dead.root, dead.dir, dead.lockPath()}, " "); names(left) != want {
		t.Errorf("left: %s\nwant: %s", names(left), want)
	}
	gone, err := RemoveLeftovers(t.Context(), f, uid, left)
	if err != nil || len(gone) != len(left) {
		t.Errorf("gone: %s, %v", names(gone), err)
	}
	for _, path := range []string{probe, dead.root, dead.dir, dead.lockPath()} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("is there: %s", path)
		}
	}
	for _, path := range []string{live.root, live.dir, live.lockPath()} {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	if len(f.owned) != 1 || f.owned[0].ID != "3" {
		t.Errorf("the engine has %v", f.owned)
	}
	if left, err = Leftovers(t.Context(), f, uid); len(left) > 0 || err != nil {
		t.Errorf("left: %s, %v", names(left), err)
	}
}

// What was listed and is run by somebody by now stays; what cannot be removed is
// named, and the rest goes.
func TestRemoveLeftovers(t *testing.T) {
	const uid = 987658
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("no /dev/shm")
	}
	p := litter(t, uid, "p")
	if err := writeOwner(p.lock, Owner{PID: os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	f := newFake(nil)
	f.owned = []Owned{{Kind: kindContainer, ID: "1", Name: "c", Project: "p"}}
	left := []Leftover{{Kind: kindContainer, ID: "1", Name: "c", Project: "p"}, {Kind: kindDirectory, Name: p.dir, Project: "p"}}
	if gone, err := RemoveLeftovers(t.Context(), f, uid, left); err != nil || len(gone) > 0 || len(f.owned) != 1 {
		t.Errorf("running: %s, %v", names(gone), err)
	}
	if err := p.lock.Close(); err != nil {
		t.Fatal(err)
	}
	f.failAt = len(f.calls) + 1
	gone, err := RemoveLeftovers(t.Context(), f, uid, left)
	if !errors.Is(err, errInjected) || !strings.Contains(err.Error(), "remove container c") || !slices.ContainsFunc(gone, func(l Leftover) bool { return l.Name == p.dir }) {
		t.Errorf("gone: %s, %v", names(gone), err)
	}
}
