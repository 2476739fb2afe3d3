package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// These tests run containers. They need an engine, and an image: any with
// Python, and for those that send frames one with the SDK and a module app.
const (
	envImage = "MEDIANODE_TEST_IMAGE"     // default python:3.11-slim
	envSDK   = "MEDIANODE_TEST_SDK_IMAGE" // no default
)

func image(t *testing.T) string {
	if name := os.Getenv(envImage); name != "" {
		return name
	}
	return "python:3.11-slim"
}

func engine(t *testing.T) runtime.Engine {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: runs containers, which -short leaves out")
	}
	cli, err := command.NewDockerCli(command.WithCombinedStreams(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.Initialize(flags.NewClientOptions()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cli.Client().Close() })
	e, err := runtime.NewEngine(cli, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := e.Info(ctx); err != nil {
		t.Skipf("skipped: no engine answers: %v", err)
	}
	if err := runtime.Attached(t.Context(), e, os.Getuid(), image(t)); err != nil {
		t.Skipf("skipped: %v", err)
	}
	return e
}

// stage is a project with the containers of a test.
type stage struct {
	t      *testing.T
	config runtime.Config
	mu     sync.Mutex
	lines  []string
	states []string
}

func newStage(t *testing.T, name string) *stage {
	t.Helper()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1000, 1000
	}
	project := fmt.Sprintf("mntest-%s-%d", name, os.Getpid())
	s := &stage{t: t}
	s.config = runtime.Config{
		Project: project, Domain: channel.NewDomain(uid, project), Dir: runtime.Directory(uid, project),
		UID: uid, GID: gid, StopGrace: 5 * time.Second, Engine: engine(t),
		ComposeFile: filepath.Join(t.TempDir(), "compose.yaml"),
		Open:        func(channel.Domain, string) (channel.Transport, error) { return channel.NewMemory(), nil },
		Logs: func(l runtime.LogLine) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lines = append(s.lines, l.Node+" "+l.Stream+" "+l.Text)
		},
		Note: func(node, state string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.states = append(s.states, node+" "+state)
		},
		Warn: func(text string) { t.Log("warning:", text) },
	}
	t.Cleanup(s.nothingLeft)
	return s
}

// service is one container of the compose file; wiring is nil for an image
// without the SDK.
func (s *stage) service(id, image string, wiring *channel.Node, more map[string]any) map[string]any {
	service := map[string]any{
		"image": image, "pull_policy": "never", "network_mode": "none", "init": true,
		"user": fmt.Sprintf("%d:%d", s.config.UID, s.config.GID), "stop_signal": "SIGTERM",
		"volumes": []any{
			map[string]any{"type": "volume", "source": "shm", "target": "/dev/shm", "volume": map[string]any{"nocopy": true}},
			map[string]any{"type": "volume", "source": "iox", "target": s.config.Domain.Root, "volume": map[string]any{"nocopy": true}},
		},
	}
	if wiring != nil {
		text, err := json.Marshal(wiring)
		if err != nil {
			s.t.Fatal(err)
		}
		service["environment"] = map[string]string{
			channel.EnvNode: string(text), channel.EnvParams: "{}", "HOME": "/tmp/home", "PYTHONUNBUFFERED": "1",
		}
	}
	for k, v := range more {
		service[k] = v
	}
	return service
}

// write writes the compose file; JSON is YAML.
func (s *stage) write(services map[string]any) {
	s.t.Helper()
	volume := func(name string) map[string]any {
		return map[string]any{
			"name": s.config.Project + "_" + name, "driver": "local",
			"driver_opts": map[string]string{"type": "none", "o": "bind", "device": filepath.Join(s.config.Dir, name)},
		}
	}
	text, err := json.Marshal(map[string]any{
		"services": services, "volumes": map[string]any{"shm": volume("shm"), "iox": volume("iox")},
	})
	if err == nil {
		err = os.WriteFile(s.config.ComposeFile, []byte(strings.ReplaceAll(string(text), "$", "$$")), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) nothingLeft() {
	ctx := context.Background()
	if left, err := runtime.Ps(ctx, s.config.Engine, s.config.Project); err != nil || len(left) > 0 {
		s.t.Errorf("containers left: %v %v", left, err)
		_ = runtime.Down(ctx, s.config.Engine, s.config.Project, s.config.UID)
	}
	for _, path := range []string{s.config.Dir, s.config.Dir + ".lock", s.config.Domain.Root} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			s.t.Errorf("left: %s", path)
		}
	}
}

// plain runs one image without the SDK and gives the session's error.
func (s *stage) plain(more map[string]any) error {
	s.config.Nodes = []runtime.Node{{Node: channel.Node{ID: "it"}, Container: true}}
	s.write(map[string]any{"it": s.service("it", image(s.t), nil, more)})
	session, err := runtime.Start(s.t.Context(), s.config)
	if err != nil {
		return err
	}
	return errors.Join(session.Wait(s.t.Context()), session.Close())
}

func TestEngineExit(t *testing.T) {
	s := newStage(t, "exit")
	if err := s.plain(map[string]any{"command": []string{"python", "-c", "import sys; print('out'); print('x' * 100000); print('err', file=sys.stderr); print('tail', end='')"}}); err != nil {
		t.Error(err)
	}
	slices.Sort(s.lines)
	if got := strings.Join(s.lines, ", "); got != "it stderr err, it stdout out, it stdout tail, it stdout "+strings.Repeat("x", 16<<10)+" …" {
		t.Errorf("log: %.200s", got)
	}
}

// TestEngineImageTakenMeanwhile gives the name of a checked image to another one
// before the containers are made.
func TestEngineImageTakenMeanwhile(t *testing.T) {
	s := newStage(t, "retag")
	docker, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	defer docker.Close()
	ref := s.config.Project + ":1"
	tag := func(from string) {
		t.Helper()
		if _, err := docker.ImageTag(t.Context(), client.ImageTagOptions{Source: from, Target: ref}); err != nil {
			t.Skipf("skipped: %v", err)
		}
	}
	tag("python:3.11-slim")
	defer func() { _, _ = docker.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{}) }()
	list, err := docker.ImageList(t.Context(), client.ImageListOptions{Filters: make(client.Filters).Add("reference", ref)})
	if err != nil || len(list.Items) != 1 {
		t.Fatal(list, err)
	}
	run := func() error {
		s.config.Nodes = []runtime.Node{{Node: channel.Node{ID: "it"}, Container: true, ImageID: list.Items[0].ID}}
		s.write(map[string]any{"it": s.service("it", ref, nil, map[string]any{"command": []string{"python", "-V"}})})
		session, err := runtime.Start(t.Context(), s.config)
		if err != nil {
			return err
		}
		return errors.Join(session.Wait(t.Context()), session.Close())
	}
	if err := run(); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	s.lines = nil
	s.config.Write = func() error {
		tag("python:3.12-slim")
		return nil
	}
	err = run()
	failed, ok := errors.AsType[*runtime.NodeError](err)
	if !ok || failed.Node != "it" || !strings.Contains(failed.Message, "another program gave "+ref+" to another image") {
		t.Errorf("got %v", err)
	}
	if len(s.lines) > 0 {
		t.Errorf("it ran: %v", s.lines)
	}
}

func TestEngineFailure(t *testing.T) {
	tests := map[string]struct {
		more map[string]any
		want runtime.NodeError
	}{
		"code":   {map[string]any{"command": []string{"python", "-c", "print('bye'); exit(3)"}}, runtime.NodeError{ExitCode: 3}},
		"signal": {map[string]any{"command": []string{"python", "-c", "import os; print('bye', flush=True); os.abort()"}}, runtime.NodeError{ExitCode: 134, Signal: "SIGABRT"}},
		"memory": {map[string]any{"command": []string{"python", "-c", "print('bye', flush=True); bytearray(1<<30)"}, "mem_limit": "64m", "memswap_limit": "64m"},
			runtime.NodeError{ExitCode: 137, Signal: "SIGKILL", OOM: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := newStage(t, name).plain(test.more)
			var got *runtime.NodeError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a NodeError", err)
			}
			t.Log(err)
			if got.ExitCode != test.want.ExitCode || got.Signal != test.want.Signal || got.OOM != test.want.OOM || !slices.Contains(got.Log, "bye") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestEngineUpFails(t *testing.T) {
	err := newStage(t, "upfails").plain(map[string]any{"image": "medianode/none-such:1"})
	if err == nil || !strings.Contains(err.Error(), "none-such") {
		t.Errorf("got %v", err)
	}
	err = newStage(t, "badcommand").plain(map[string]any{"command": []string{"/no/such"}, "init": false})
	if err == nil || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("got %v", err)
	}
}

func TestEngineStopAndDown(t *testing.T) {
	s := newStage(t, "stop")
	s.config.Nodes = []runtime.Node{{Node: channel.Node{ID: "it"}, Container: true}}
	s.write(map[string]any{"it": s.service("it", image(t), nil, map[string]any{"command": []string{"sleep", "1000"}})})
	session, err := runtime.Start(t.Context(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runtime.Start(t.Context(), s.config); !errors.As(err, new(*runtime.RunningError)) {
		t.Errorf("second start: %v", err)
	}
	if list, err := runtime.Ps(t.Context(), s.config.Engine, s.config.Project); err != nil || len(list) != 1 || list[0].Service != "it" || list[0].State != "running" {
		t.Errorf("ps: %+v %v", list, err)
	}
	began := time.Now()
	if err := errors.Join(session.Stop(t.Context()), session.Close()); err != nil {
		t.Error(err)
	}
	t.Logf("stop and close took %s", time.Since(began))
}
