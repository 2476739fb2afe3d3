package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrDetached says that the engine does not share this host's memory.
var ErrDetached = errors.New("the engine does not share this host's memory")

// wayOut ends every refusal.
const wayOut = "run docker medianode on the machine where the engine runs; a runtime in a container (up -d) is not there yet"

// Attached proves that containers of the engine see this host's /dev/shm; an
// error wraps ErrDetached if they do not and says why and what to do instead.
// image is any image that the engine has, such as the first node's.
//
// What the engine says of itself refuses the known cases by name. The proof is
// a directory with a random name, just made on the tmpfs: an engine that finds
// it looks at the same tmpfs. It costs one container that is made and removed
// without being started, some 45 ms. Only a virtual machine that shares files
// could find the directory and not the memory; its kernel is another one.
func Attached(ctx context.Context, e Engine, uid int, image string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask the engine: %w", err)
	}
	if why := refuse(info, kernel()); why != "" {
		return fmt.Errorf("%w: %s; %s", ErrDetached, why, wayOut)
	}
	parent := filepath.Dir(Directory(uid, "x"))
	if leavesProbes(parent) { // else the engine is not asked
		removeProbes(ctx, e, uid)
	}
	made := os.Mkdir(parent, 0o700) == nil
	dir, err := os.MkdirTemp(parent, probePrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return fmt.Errorf("probe shared memory: %w", err)
	}
	sees, err := e.Sees(ctx, image, dir)
	err = errors.Join(err, os.Remove(dir))
	if made {
		_ = os.Remove(parent) // not empty: somebody else uses it by now
	}
	switch {
	case err != nil:
		return fmt.Errorf("probe shared memory: %w", err)
	case !sees:
		return fmt.Errorf("%w: engine %s does not see %s of this machine (this command may itself run in a container); %s", ErrDetached, info.Name, parent, wayOut)
	}
	return nil
}

// leavesProbes says whether a probe has left its directory whose process was killed.
func leavesProbes(parent string) bool {
	r := remains{lives: lives, now: time.Now()}
	entries, _ := os.ReadDir(parent) // none: there is nothing
	return slices.ContainsFunc(entries, func(entry os.DirEntry) bool {
		info, err := entry.Info()
		return err == nil && strings.HasPrefix(entry.Name(), probePrefix) && !r.probes(entry.Name(), info.ModTime())
	})
}

// refuse is why an engine cannot be attached to, or nothing.
func refuse(i Info, kernel string) string {
	scheme, _, _ := strings.Cut(i.Host, "://")
	has := func(option string) bool {
		return slices.ContainsFunc(i.Security, func(s string) bool { return s == option || strings.HasPrefix(s, option+",") })
	}
	switch {
	case strings.Contains(i.System, "Docker Desktop"):
		return "Docker Desktop runs containers in a virtual machine"
	case slices.Contains([]string{"tcp", "ssh", "http", "https"}, scheme):
		return "the engine is remote: " + i.Host
	case i.OSType != "linux":
		return "the engine runs " + i.OSType + " containers"
	case has("name=rootless"):
		return "the engine is rootless: users in containers are not users of this machine"
	case has("name=userns"):
		return "the engine maps users (userns-remap): users in containers are not users of this machine"
	case kernel != "" && i.Kernel != kernel:
		return fmt.Sprintf("the engine runs in another machine: its kernel is %s, this one's %s", i.Kernel, kernel)
	}
	return ""
}
