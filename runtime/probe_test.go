package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRefuse(t *testing.T) {
	local := Info{Host: "unix:///var/run/docker.sock", System: "Ubuntu", OSType: "linux", Kernel: "6.1", Security: []string{"name=seccomp,profile=builtin"}}
	tests := map[string]struct {
		change func(*Info)
		want   string
	}{
		"local":    {func(*Info) {}, ""},
		"remote":   {func(i *Info) { i.Host = "tcp://10.0.0.1:2376" }, "remote: tcp://10.0.0.1:2376"},
		"ssh":      {func(i *Info) { i.Host = "ssh://me@there" }, "remote"},
		"desktop":  {func(i *Info) { i.System = "Docker Desktop" }, "Docker Desktop"},
		"rootless": {func(i *Info) { i.Security = append(i.Security, "name=rootless") }, "rootless"},
		"userns":   {func(i *Info) { i.Security = append(i.Security, "name=userns") }, "userns-remap"},
		"windows":  {func(i *Info) { i.OSType = "windows" }, "windows containers"},
		"vm":       {func(i *Info) { i.Kernel = "5.15-vm" }, "its kernel is 5.15-vm"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := local
			test.change(&i)
			if got := refuse(i, "6.1"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAttached(t *testing.T) {
	const uid = 987654
	parent := filepath.Dir(Directory(uid, "x"))
	if _, err := os.Stat(filepath.Dir(parent)); err != nil {
		t.Skip("no /dev/shm")
	}
	f := newFake(nil)
	f.info = Info{Host: "unix:///x", OSType: "linux", Kernel: kernel(), Name: "here"}
	if err := Attached(t.Context(), f, uid, "image"); err != nil {
		t.Error(err)
	}
	f.sees = false
	if err := Attached(t.Context(), f, uid, "image"); !errors.Is(err, ErrDetached) || !strings.Contains(err.Error(), "up -d") {
		t.Errorf("got %v", err)
	}
	f.failAt = len(f.calls) + 2
	if err := Attached(t.Context(), f, uid, "image"); !errors.Is(err, errInjected) || errors.Is(err, ErrDetached) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(parent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the probe left its directory: %v", err)
	}
}

// What a probe has left that was killed goes with the next one; without any the
// engine is not asked.
func TestProbeRemovesDeadOnes(t *testing.T) {
	const uid = 987655
	parent := filepath.Dir(Directory(uid, "x"))
	if _, err := os.Stat(filepath.Dir(parent)); err != nil {
		t.Skip("no /dev/shm")
	}
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	dead := filepath.Join(parent, probePrefix+"4194305-77") // beyond what the kernel has
	mine := filepath.Join(parent, fmt.Sprintf("%s%d-77", probePrefix, os.Getpid()))
	for _, dir := range []string{dead, mine} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake(nil)
	f.info = Info{Host: "unix:///x", OSType: "linux", Kernel: kernel(), Name: "here"}
	f.owned = []Owned{{Kind: kindContainer, ID: "1", Probe: dead}, {Kind: kindContainer, ID: "2", Probe: mine, Made: time.Now()}, {Kind: kindContainer, ID: "3", Project: "p"}}
	if err := Attached(t.Context(), f, uid, "image"); err != nil {
		t.Error(err)
	}
	if len(f.owned) != 2 || f.owned[0].ID != "2" || f.owned[1].ID != "3" {
		t.Errorf("containers left: %v", f.owned)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("that of a process that lives: %v", err)
	}
	before := len(f.calls)
	if err := Attached(t.Context(), f, uid, "image"); err != nil {
		t.Error(err)
	}
	if slices.Contains(f.calls[before:], "owned") {
		t.Errorf("asked without need: %q", f.calls[before:])
	}
}
