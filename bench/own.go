//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNoOwn says why no engine of one's own can be started here.
var errNoOwn = errors.New("no engine of its own")

// ownEngine is an engine that may be killed. It has namespaces of its own for
// the network, mounts and processes, in which an init reaps: what the engine
// leaves behind goes with them, and no other engine is touched.
type ownEngine struct {
	dir      string // of its socket, its state and its data
	programs string
	cgroup   string
	space    *exec.Cmd       // holds the namespaces
	init     int             // its process, the first one in them
	pids     string          // the namespace of processes, as /proc has it
	daemon   <-chan struct{} // closed at the end of dockerd
	log      *os.File
}

// programDir finds what .ci/engine has built, or what is installed.
func programDir() (string, error) {
	for _, dir := range filepath.SplitList(os.Getenv("MEDIANODE_TEST_PROGRAMS")) {
		if _, err := os.Stat(filepath.Join(dir, "dockerd")); err == nil {
			return dir, nil
		}
	}
	file, err := exec.LookPath("dockerd")
	if err != nil {
		return "", fmt.Errorf("%w: no dockerd: set MEDIANODE_TEST_PROGRAMS=$(.ci/engine programs)", errNoOwn)
	}
	return filepath.Dir(file), nil
}

// newOwnEngine makes the namespaces and starts the engine in them, with an
// empty store. The error is errNoOwn where that cannot be.
func newOwnEngine(ctx context.Context) (e *ownEngine, err error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("%w: only root can start one", errNoOwn)
	}
	e = &ownEngine{}
	if e.programs, err = programDir(); err != nil {
		return nil, err
	}
	path := "PATH=" + e.programs + ":" + os.Getenv("PATH")
	for _, tool := range []string{"unshare", "nsenter", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoOwn, err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.dir, err = os.MkdirTemp("", "mn"); err != nil { // a socket's path must be short
		return nil, err
	}
	e.cgroup = "/medianode-" + filepath.Base(e.dir)
	if e.log, err = os.Create(filepath.Join(e.dir, "log")); err != nil {
		return nil, err
	}
	// Without the directory of a containerd that the machine has, it starts its own.
	const inside = `ip link set lo up && { [ ! -d /run/containerd ] || mount -t tmpfs none /run/containerd; } && exec docker-init -- sleep infinity`
	e.space = exec.CommandContext(context.WithoutCancel(ctx), "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", inside)
	e.space.Env = append(os.Environ(), path)
	e.space.Stdout, e.space.Stderr = e.log, e.log
	e.space.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := e.space.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		if all := family(e.space.Process.Pid); len(all) > 1 && nameOf(all[1]) == "docker-init" {
			e.init, e.pids = all[1], pidSpace(all[1])
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if e.init == 0 {
		return nil, fmt.Errorf("%w: unshare: %s", errNoOwn, e.lastWords())
	}
	return e, e.start(ctx, false)
}

// start starts dockerd and waits until it answers. Without live-restore it stops
// the containers that it finds running, with it it adopts them.
func (e *ownEngine) start(ctx context.Context, liveRestore bool) error {
	args := []string{
		"--target", strconv.Itoa(e.init), "--net", "--mount", "--pid", "--", filepath.Join(e.programs, "dockerd"),
		"--host", e.host(), "--pidfile", e.dir + "/pid", "--exec-root", e.dir + "/x", "--data-root", e.dir + "/d",
		"--cgroup-parent", e.cgroup, "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false",
	}
	if liveRestore {
		args = append(args, "--live-restore")
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "nsenter", args...) // close ends it
	cmd.Env = append(os.Environ(), "PATH="+e.programs+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = e.log, e.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	e.daemon = ended
	go func() {
		_ = cmd.Wait() // its state tells
		close(ended)
	}()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if e.answers(ctx) {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("dockerd ended: %s: %s", cmd.ProcessState, e.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("dockerd does not answer: %s", e.lastWords())
}

func (e *ownEngine) host() string { return "unix://" + e.dir + "/d.sock" }

func (e *ownEngine) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := e.docker(ctx, "version", "--format", "{{.Server.Version}}")
	return err == nil
}

// docker runs the docker CLI on this engine.
func (e *ownEngine) docker(ctx context.Context, args ...string) (string, error) {
	return docker(ctx, "", append([]string{"--host", e.host()}, args...)...)
}

// load gives the engine an image that the machine's engine has.
func (e *ownEngine) load(ctx context.Context, images ...string) error {
	save := exec.CommandContext(ctx, "docker", append([]string{"save"}, images...)...)
	load := exec.CommandContext(ctx, "docker", "--host", e.host(), "load", "--quiet")
	var bad strings.Builder
	save.Stderr, load.Stderr = &bad, &bad
	pipe, err := save.StdoutPipe()
	if err != nil {
		return err
	}
	load.Stdin = pipe
	if err := save.Start(); err != nil {
		return err
	}
	err = load.Run()
	if err = errors.Join(err, save.Wait()); err != nil {
		return fmt.Errorf("give images to the engine: %w: %s", err, tail(bad.String(), 3))
	}
	return nil
}

// named are the engine's own processes of a name: dockerd, containerd, its shims.
func (e *ownEngine) named(name string) []int {
	return slices.DeleteFunc(processes(), func(pid int) bool {
		return nameOf(pid) != name || pidSpace(pid) != e.pids
	})
}

// The names of processes are cut to 15 bytes.
const shimName = "containerd-shim"

// inContainer are the processes of a shim's container: its init and the node.
func (e *ownEngine) inContainer(shim int) []int {
	return slices.DeleteFunc(family(shim), func(pid int) bool { return pidSpace(pid) == e.pids })
}

// kill kills dockerd alone: its containerd, shims and containers live on.
func (e *ownEngine) kill() error {
	all := e.named("dockerd")
	if len(all) == 0 {
		return errors.New("no dockerd to kill")
	}
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	<-e.daemon
	return nil
}

// close ends everything in the namespaces and removes what was of the engine.
func (e *ownEngine) close() error {
	if e.space != nil && e.space.Process != nil {
		_ = e.space.Process.Kill() // its child goes with it, and all others with that
		_ = e.space.Wait()
		if !until(10*time.Second, func() bool { return e.pids == "" || len(e.everybody()) == 0 }) {
			return fmt.Errorf("processes %v of the engine go on", e.everybody())
		}
	}
	if e.log != nil {
		_ = e.log.Close()
	}
	if e.cgroup != "" {
		removeCgroups(e.cgroup)
	}
	return os.RemoveAll(e.dir)
}

func (e *ownEngine) everybody() []int {
	return slices.DeleteFunc(processes(), func(pid int) bool { return pidSpace(pid) != e.pids })
}

func (e *ownEngine) lastWords() string {
	text, _ := os.ReadFile(filepath.Join(e.dir, "log"))
	return tail(string(text), 5)
}

// removeCgroups removes the empty groups of an engine that was killed, which
// are on the machine and not in its namespaces.
func removeCgroups(name string) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*" + name)
	for _, root := range append(roots, "/sys/fs/cgroup"+name) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			_ = os.Remove(dir)
		}
	}
}

// processes are all of the machine.
func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var all []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

func nameOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(text))
}

// startOf is when a process began, by the kernel's clock; none: it is gone. With
// its id it is a process's name for ever.
func startOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// pidSpace is the namespace of processes that a process is in; none: it is gone.
func pidSpace(pid int) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	return name
}

// until looks until what it looks for is true, or the time is over.
func until(limit time.Duration, holds func() bool) bool {
	for end := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
