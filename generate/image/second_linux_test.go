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
	"testing"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/medianode/docker-medianode/runtime/enginetest"
)

// secondEngine starts an engine with an empty store. reach is an address on the
// loopback of the machine that is there on its loopback too; there is nothing
// else.
func secondEngine(t *testing.T, reach string) *client.Client {
	t.Helper()
	e := enginetest.New(t, nil)
	lead(t, e.PID, reach)
	return e.Client
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
	file := enginetest.Program(t, "registry")
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
	enginetest.Start(t, c)
	enginetest.Eventually(t, "a registry", func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return address
}
