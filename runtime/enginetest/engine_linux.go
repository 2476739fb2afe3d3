package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/moby/client"
)

// Engine is an engine with an empty store. It has namespaces of its own for the
// network, mounts and processes: an engine beside another would change the
// machine's bridge, and what it leaves behind goes with them. Memory, /dev/shm
// and paths are the machine's.
type Engine struct {
	Host   string // as DOCKER_HOST has it
	PID    int    // of a process in its namespaces
	Client *client.Client

	t   *testing.T
	dir string
}

// The programs that an engine consists of while it runs.
const (
	Dockerd    = "dockerd"
	Containerd = "containerd"
	Shim       = "containerd-shim-runc-v2"
)

// inside is what runs in the namespaces. Without the directory of a containerd
// that the machine has, dockerd starts its own. A dockerd that has ended is
// started again, as an init system does it; what it leaves alone ends with the
// first process.
const inside = `ip link set lo up || exit 1
[ ! -d /run/containerd ] || mount -t tmpfs none /run/containerd || exit 1
while :; do "$@" & wait $!; sleep 0.3; done`

// New starts an engine, which ends with the test. Settings are lines of its
// daemon.json.
func New(t *testing.T, settings map[string]any) *Engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skipped: only root can start an engine of its own")
	}
	dockerd := Program(t, Dockerd)
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "mn") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the engine's end
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e := &Engine{Host: "unix://" + dir + "/d.sock", t: t, dir: dir}
	e.configure(settings)
	c := exec.CommandContext(context.WithoutCancel(t.Context()), "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", inside, "sh",
		dockerd, "--host", e.Host, "--config-file", dir+"/daemon.json", "--pidfile", dir+"/pid", "--exec-root", dir+"/x", "--data-root", dir+"/d",
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false")
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(dockerd)+":"+os.Getenv("PATH"))
	Start(t, c)
	e.PID = c.Process.Pid
	if e.Client, err = client.New(client.WithHost(e.Host)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Client.Close() })
	e.Await()
	return e
}

// configure changes settings for the next start of the engine.
func (e *Engine) configure(settings map[string]any) {
	e.t.Helper()
	if settings == nil {
		settings = map[string]any{}
	}
	text, err := json.Marshal(settings)
	if err == nil {
		err = os.WriteFile(filepath.Join(e.dir, "daemon.json"), text, 0o600)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// Await waits until the engine answers.
func (e *Engine) Await() {
	e.t.Helper()
	Eventually(e.t, "an engine of the test's own", func() error {
		_, err := e.Client.Ping(e.t.Context(), client.PingOptions{NegotiateAPIVersion: true})
		return err
	})
}

// Restart stops the engine well and waits until it answers again, with other
// settings.
func (e *Engine) Restart(settings map[string]any) {
	e.t.Helper()
	e.configure(settings)
	before := e.pids(Dockerd)
	e.Signal(Dockerd, syscall.SIGTERM)
	Eventually(e.t, "the end of dockerd", func() error {
		if now := e.pids(Dockerd); len(before) > 0 && len(now) > 0 && now[0] == before[0] {
			return errors.New("it still runs")
		}
		return nil
	})
	e.Await()
}

// Load brings images of the engine that docker talks to into this one.
func (e *Engine) Load(images ...string) {
	e.t.Helper()
	save := exec.CommandContext(e.t.Context(), "docker", append([]string{"save"}, images...)...)
	load := exec.CommandContext(e.t.Context(), "docker", "--host", e.Host, "load", "--quiet")
	var saveSaid, loadSaid bytes.Buffer
	save.Stderr, load.Stdout, load.Stderr = &saveSaid, &loadSaid, &loadSaid
	pipe, err := save.StdoutPipe()
	if err != nil {
		e.t.Fatal(err)
	}
	load.Stdin = pipe
	if err := errors.Join(save.Start(), load.Run(), save.Wait()); err != nil {
		e.t.Fatalf("docker save and load %v: %v: %s%s", images, err, &saveSaid, &loadSaid)
	}
}

// Signal sends a signal to every process of one of the engine's programs.
func (e *Engine) Signal(program string, s syscall.Signal) {
	e.t.Helper()
	pids := e.pids(program)
	if len(pids) == 0 {
		e.t.Fatalf("no %s of this engine runs", program)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			e.t.Fatalf("%s, process %d: %v", program, pid, err)
		}
	}
}

// Withhold keeps one of the engine's programs from being started until the
// function that it returns is called.
func (e *Engine) Withhold(program string) (give func()) {
	e.t.Helper()
	file := Program(e.t, program)
	e.Inside("mount", "--bind", "/dev/null", file)
	return sync.OnceFunc(func() { e.Inside("umount", file) })
}

// Inside runs a command where the engine runs: its process ids are those that
// the engine tells.
func (e *Engine) Inside(command ...string) {
	e.t.Helper()
	pids := e.pids(Dockerd)
	if len(pids) == 0 {
		e.t.Fatal("no dockerd of this engine runs")
	}
	c := exec.CommandContext(e.t.Context(), "nsenter", append([]string{"--target", strconv.Itoa(pids[0]), "--mount", "--pid"}, command...)...)
	if said, err := c.CombinedOutput(); err != nil {
		e.t.Fatalf("%v: %v: %s", command, err, said)
	}
}

// pids are the processes of a program that have this engine's directory in
// their command line: nobody else's.
func (e *Engine) pids(program string) (pids []int) {
	e.t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, file := range lines {
		line, err := os.ReadFile(file)
		first, _, _ := bytes.Cut(line, []byte{0})
		if err != nil || filepath.Base(string(first)) != program || !bytes.Contains(line, []byte(e.dir+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
