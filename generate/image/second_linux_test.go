package image_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// program finds one of those that .ci/engine builds, or an installed one, or
// skips.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("MEDIANODE_TEST_PROGRAMS")) {
		if file := filepath.Join(dir, name); exec.Command("test", "-x", file).Run() == nil {
			return file
		}
	}
	file, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s: set MEDIANODE_TEST_PROGRAMS=$(.ci/engine programs)", name)
	}
	return file
}

// start runs a program until the test ends; if the test dies, so does it.
func start(t *testing.T, c *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s wrote:\n%s", filepath.Base(c.Path), text[max(0, len(text)-4000):])
		}
		log.Close()
	})
}

// eventually waits up to 20 s.
func eventually(t *testing.T, what string, done func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = done(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// secondEngine starts an engine with an empty store. It has namespaces of its
// own for the network, mounts and processes: an engine beside another would
// change the machine's bridge, and what it leaves behind goes with them. reach
// is an address on the loopback of the machine that is there on its loopback
// too; there is nothing else.
func secondEngine(t *testing.T, reach string) *client.Client {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can start a second engine")
	}
	dockerd := program(t, "dockerd")
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
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
	// Without the directory of a containerd that the machine has, it starts its own.
	const inside = `ip link set lo up && { [ ! -d /run/containerd ] || mount -t tmpfs none /run/containerd; } && exec "$@"`
	c := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", inside, "sh",
		dockerd, "--host", "unix://"+dir+"/d.sock", "--pidfile", dir+"/pid", "--exec-root", dir+"/x", "--data-root", dir+"/d",
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false")
	c.Env = append(os.Environ(), "PATH="+filepath.Dir(dockerd)+":"+os.Getenv("PATH"))
	start(t, c)
	engine, err := client.New(client.WithHost("unix://" + dir + "/d.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	eventually(t, "a second engine", func() error {
		_, err := engine.Ping(t.Context(), client.PingOptions{NegotiateAPIVersion: true})
		return err
	})
	lead(t, c.Process.Pid, reach)
	return engine
}

// lead makes a loopback address of this machine one of the network of a process.
func lead(t *testing.T, pid int, address string) {
	t.Helper()
	listener, err := listenIn(fmt.Sprintf("/proc/%d/ns/net", pid), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			inside, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer inside.Close()
				outside, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				defer outside.Close()
				go func() {
					_, _ = io.Copy(outside, inside)
					_ = outside.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(inside, outside)
			}()
		}
	}()
}

// listenIn opens a socket in another network: a socket stays in the one where it
// was made. The thread goes back and on: programs that it has started would die
// with it.
func listenIn(network, address string) (net.Listener, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(network)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back) // the thread is of no use to others
	}
	runtime.UnlockOSThread()
	return l, err
}

// registry starts a registry on the loopback that wants a name and a password,
// and gives its address.
func registry(t *testing.T) string {
	t.Helper()
	file := program(t, "registry")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: %[1]s/data}}
http: {addr: %[2]q}
auth: {htpasswd: {realm: test, path: %[1]s/users}}
`, dir, address)
	const ciSecret = "ci:$2a$04$1UPbn0Bw38F/9dJsX4dw6.k1c.CUuTUU1yqGr2y3UwHwLqJpbYCGG\n" // password: secret
	for name, text := range map[string]string{"config.yml": config, "users": ciSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(file, "serve", filepath.Join(dir, "config.yml"))
	for _, v := range os.Environ() { // the registry's own settings come from variables too
		if !strings.HasPrefix(v, "REGISTRY_") && !strings.HasPrefix(v, "OTEL_") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "OTEL_TRACES_EXPORTER=none")
	start(t, c)
	eventually(t, "a registry", func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return address
}
