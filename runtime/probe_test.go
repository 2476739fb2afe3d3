package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
