//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/iox"
)

// envChild makes this program the other end of something.
const envChild = "MEDIANODE_BENCH_CHILD"

// limit is the largest payload.
const limit = 24883200

func hopSpec(name string) channel.Spec {
	return channel.Spec{Name: "bench_" + name, MaxFrame: limit, Loans: 1,
		Readers: []channel.Reader{{Node: "bench", Port: "input", Buffer: 2, Hold: 1}}}
}

// site is a place for channels and sockets, as a project has it.
type site struct {
	domain    channel.Domain
	base, dir string
	tag       string // in the names of channels, where others have some beside them
	t         *iox.Transport
	undo      []func()
}

func newSite() (*site, error) {
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	id := hex.EncodeToString(random)
	base := "/dev/shm/medianode-bench-" + id
	s := &site{
		domain: channel.Domain{Root: "/tmp/mn-" + id, Prefix: "mn" + id + "_"},
		base:   base, dir: filepath.Join(base, "shm"),
	}
	s.later(func() { _ = os.RemoveAll(base) })
	for _, dir := range []string{base, s.dir, filepath.Join(base, "iox"), filepath.Join(base, "socket")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return s, err
		}
		if uid := containerUID(); uid != os.Getuid() {
			if err := os.Chown(dir, uid, uid); err != nil {
				return s, err
			}
		}
	}
	s.later(func() { _ = os.Remove(s.domain.Root) })
	if err := os.Symlink(filepath.Join(base, "iox"), s.domain.Root); err != nil {
		return s, err
	}
	t, err := iox.Open(s.domain, s.dir)
	if err != nil {
		return s, err
	}
	s.t = t
	s.later(func() { _ = t.Close() })
	return s, nil
}

// outside moves the site to where programs on the machine, which know no other
// place, look for shared memory.
func (s *site) outside() error {
	if err := s.t.Close(); err != nil {
		return err
	}
	s.dir, s.tag = "/dev/shm", filepath.Base(s.domain.Root)
	t, err := iox.Open(s.domain, s.dir)
	if err != nil {
		return err
	}
	s.t = t
	s.later(func() {
		_ = t.Close()
		for _, pattern := range []string{s.domain.Prefix + "*", "medianode_ledger_*" + s.tag + "*"} {
			left, _ := filepath.Glob(filepath.Join(s.dir, pattern))
			for _, path := range left {
				_ = os.Remove(path)
			}
		}
	})
	return nil
}

func (s *site) later(f func()) { s.undo = append(s.undo, f) }

func (s *site) close() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
}

// shm makes the channels of a link.
func (s *site) shm(data *payload, poll bool) (*shm, error) {
	for _, name := range []string{"there", "back"} {
		if _, err := s.t.Create(hopSpec(s.tag + name)); err != nil {
			return nil, err
		}
	}
	sub, err := channel.NewSubscriber(s.t, hopSpec(s.tag+"back"), 0)
	if err != nil {
		return nil, err
	}
	pub, err := channel.NewPublisher(s.t, hopSpec(s.tag+"there"))
	if err != nil {
		return nil, err
	}
	return &shm{poll: poll, data: data, pub: pub, sub: sub}, nil
}

// process starts this program as the other end, and waits for its line.
func (s *site) process(ctx context.Context, what string, args ...string) error {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), envChild+"="+what)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.later(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if what == "socket" {
		return nil // it connects when it is there
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	return err
}

// child is the other end.
func child(what string) error {
	a := os.Args[1:]
	switch what {
	case "eventfd":
		return eventfdChild(a[0])
	case "shm":
		pin(otherCore)
		return echoShm(channel.Domain{Root: a[0], Prefix: a[1]}, a[2], a[3] == "poll", func() { fmt.Println("ready") })
	case "exec":
		pin(otherCore)
		return syscall.Exec(a[0], a, os.Environ())
	case "socket":
		pin(otherCore)
		return echoStream(a[0], limit)
	}
	return fmt.Errorf("%s=%q", envChild, what)
}

// container starts the image with the site mounted as a project's is.
func (s *site) container(ctx context.Context, image string, env map[string]string, command ...string) (string, error) {
	uid := strconv.Itoa(containerUID())
	args := []string{
		"run", "-d", "--init", "--network", "none", "--user", uid + ":" + uid, "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp", "-e", "HOME=/tmp",
		"-v", s.dir + ":/dev/shm", "-v", filepath.Join(s.base, "iox") + ":" + s.domain.Root,
		"-v", filepath.Join(s.base, "socket") + ":/socket",
	}
	if runtime.NumCPU() > 1 {
		args = append(args, "--cpuset-cpus", otherCore)
	}
	for key, value := range env {
		args = append(args, "-e", key+"="+value)
	}
	name := "medianode-bench-" + filepath.Base(s.domain.Root)
	args = append(args, "--name", name, image)
	s.later(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, _ = docker(ctx, "", "rm", "-f", name)
	})
	_, err := docker(ctx, "", append(args, command...)...)
	return name, err
}

// wheel is the other end by hand; poll or block.
func (s *site) wheel(ctx context.Context, image string, l *shm, how string) error {
	name, err := s.container(ctx, image, nil, "python", "-u", "/app/wheel.py", s.domain.Root, s.domain.Prefix,
		hopSpec("there").Name, hopSpec("back").Name, strconv.Itoa(limit), how)
	if err != nil {
		return err
	}
	if how != "poll" {
		// Its listener knows nothing of the ledger, so it is always to be woken.
		l.pub.Ledger().Slot(0).Waiting().Store(1)
	}
	return awaitLine(ctx, name)
}

// awaitLine waits until a container has said something good.
func awaitLine(ctx context.Context, name string) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		out, err := docker(ctx, "", "logs", name)
		if err != nil {
			return err
		}
		if out != "" {
			return nil
		}
	}
	return errors.New(name + " does not start")
}

// sdk is the other end by the SDK in a container.
func (s *site) sdk(ctx context.Context, image, how string) error {
	return s.node(ctx, how, func(env map[string]string) (func() string, error) {
		name, err := s.container(ctx, image, env)
		return func() string {
			logs, _ := docker(ctx, "", "logs", name)
			return logs
		}, err
	})
}

// node is the other end by the SDK, run by its runner, which is told what to do
// as the runtime tells it. launch starts it, and returns what shows its log.
func (s *site) node(ctx context.Context, how string, launch func(env map[string]string) (func() string, error)) error {
	id := "echo" + s.tag
	control, status := channel.ControlSpec(id), channel.StatusSpec(id)
	for _, spec := range []channel.Spec{control, status} {
		if _, err := s.t.Create(spec); err != nil {
			return err
		}
	}
	commands, err := channel.NewPublisher(s.t, control)
	if err != nil {
		return err
	}
	answers, err := channel.NewSubscriber(s.t, status, 0)
	if err != nil {
		return err
	}
	wiring, err := json.Marshal(channel.Node{
		Version: channel.WiringVersion, Project: "bench", Domain: s.domain, ID: id, Type: "echo:Echo", Streaming: true,
		Inputs:  []channel.Input{{Port: "input", Source: "bench", SourcePort: "output", Channel: hopSpec(s.tag + "there")}},
		Outputs: []channel.Output{{Port: "output", MaxFrame: limit, Channels: []channel.Spec{hopSpec(s.tag + "back")}}},
		Control: &control, Status: &status,
	})
	if err != nil {
		return err
	}
	logs, err := launch(map[string]string{channel.EnvNode: string(wiring), channel.EnvParams: fmt.Sprintf(`{"poll": %t}`, how == "poll")})
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := converse(limited, commands, answers); err != nil {
		return fmt.Errorf("echo by the SDK: %w\n%s", err, tail(logs(), 10))
	}
	return nil
}

// converse brings a node to where frames flow.
func converse(ctx context.Context, commands *channel.Publisher, answers *channel.Subscriber) error {
	for {
		sample, err := answers.Receive(ctx)
		if err != nil {
			return err
		}
		var st channel.Status
		if err := errors.Join(json.Unmarshal(sample.Payload, &st), sample.Release()); err != nil {
			return err
		}
		switch st.Event {
		case channel.EventLoaded:
			err = command(ctx, commands, channel.CommandOpen)
		case channel.EventReady:
			return command(ctx, commands, channel.CommandStart)
		case channel.EventError:
			return errors.New(st.Message)
		}
		if err != nil {
			return err
		}
	}
}

func command(ctx context.Context, p *channel.Publisher, what string) error {
	text, err := json.Marshal(channel.Command{Command: what, Session: "main"})
	if err != nil {
		return err
	}
	l, err := p.Loan(len(text))
	if err != nil {
		return err
	}
	l.Header.Kind = channel.Control
	copy(l.Payload, text)
	return l.Send(ctx)
}

// socket listens, starts the other end and waits for it.
func (s *site) socket(ctx context.Context, data *payload, other func(path string) error) (*stream, error) {
	path := filepath.Join(s.base, "socket", "s")
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, err
	}
	if err := other(path); err != nil {
		return nil, err
	}
	if err := listener.(*net.UnixListener).SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	conn, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	return newStream(conn, data, limit), nil
}
