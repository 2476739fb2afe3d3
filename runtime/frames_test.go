package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/iox"
	"github.com/medianode/docker-medianode/runtime/node"
)

// pipe is src → echo → sink, where echo is a container with the SDK.
type pipe struct {
	*stage
	arrived atomic.Int64
}

// newPipe sends so many frames; 0: until it is told to stop.
func newPipe(t *testing.T, name string, frames int, params string) *pipe {
	t.Helper()
	sdk := os.Getenv(envSDK)
	if sdk == "" {
		t.Skipf("skipped: %s names no image with the SDK and a module app with class Echo", envSDK)
	}
	p := &pipe{stage: newStage(t, name)}
	p.config.Open = func(d channel.Domain, dir string) (channel.Transport, error) { return iox.Open(d, dir) }
	srcOut, echoIn := p.connect("src", "echo")
	echoOut, sinkIn := p.connect("echo", "sink")
	control, status := channel.ControlSpec("echo"), channel.StatusSpec("echo")
	echo := channel.Node{
		Version: channel.WiringVersion, Project: p.config.Project, Domain: p.config.Domain, ID: "echo", Type: "app:Echo",
		Streaming: true, Inputs: []channel.Input{echoIn}, Outputs: []channel.Output{echoOut}, Control: &control, Status: &status,
	}
	p.config.Nodes = []runtime.Node{
		{Node: channel.Node{ID: "src", Outputs: []channel.Output{srcOut}}, Run: send(frames)},
		{Node: echo, Container: true},
		{Node: channel.Node{ID: "sink", Inputs: []channel.Input{sinkIn}}, Run: p.sink},
	}
	service := p.service("echo", sdk, &echo, nil)
	service["environment"].(map[string]string)[channel.EnvParams] = params
	p.write(map[string]any{"echo": service})
	return p
}

func (p *pipe) connect(from, to string) (channel.Output, channel.Input) {
	spec := channel.Spec{
		Name: channel.OutputName(channel.SessionMark, from, "output"), MaxFrame: 1024, Loans: 2,
		Readers: []channel.Reader{{Node: to, Port: "input", Buffer: 8, Hold: 2}},
	}
	p.config.Channels = append(p.config.Channels, spec)
	return channel.Output{Port: "output", MaxFrame: 1024, Channels: []channel.Spec{spec}},
		channel.Input{Port: "input", Source: from, SourcePort: "output", Channel: spec}
}

func send(frames int) node.Builtin {
	return func(ctx context.Context, p *node.Ports) error {
		for i := 0; frames == 0 || i < frames; i++ {
			if err := p.Send(ctx, "output", channel.Header{Kind: channel.Text}, fmt.Appendf(nil, "%d", i)); err != nil {
				return err
			}
		}
		return nil
	}
}

// sink checks that every frame comes, in order.
func (p *pipe) sink(ctx context.Context, ports *node.Ports) error {
	for {
		f, err := ports.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if want := fmt.Sprint(p.arrived.Load()); string(f.Payload) != want {
			p.t.Errorf("frame %s is %q", want, f.Payload)
		}
		p.arrived.Add(1)
		f.Release()
	}
}

func (p *pipe) start() *runtime.Session {
	p.t.Helper()
	session, err := runtime.Start(p.t.Context(), p.config)
	if err != nil {
		p.t.Fatalf("%v\n%s\n%v", err, strings.Join(p.lines, "\n"), p.states)
	}
	return session
}

func (p *pipe) flows(least int64) {
	for end := time.Now().Add(10 * time.Second); p.arrived.Load() < least; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%d frames arrived", p.arrived.Load())
		}
	}
}

func (p *pipe) tell(s *runtime.Session) {
	var text strings.Builder
	if err := s.Report().Text(&text); err != nil {
		p.t.Error(err)
	}
	p.t.Logf("%v\n%s\n%s", p.states, strings.Join(p.lines, "\n"), text.String())
}

func TestEngineFrames(t *testing.T) {
	p := newPipe(t, "frames", 500, "{}")
	s := p.start()
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	if got := p.arrived.Load(); got != 500 {
		t.Errorf("%d frames of 500 arrived", got)
	}
}

func TestEngineStopDrains(t *testing.T) {
	p := newPipe(t, "drain", 0, "{}")
	s := p.start()
	p.flows(100)
	if err := errors.Join(s.Stop(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	c := s.Report().Connections
	if c[0].Frames != c[1].Frames || int64(c[1].Frames) != p.arrived.Load() || c[0].Dropped+c[1].Dropped > 0 {
		t.Errorf("%d went in, %d came out, %d arrived", c[0].Frames, c[1].Frames, p.arrived.Load())
	}
}

func TestEngineNodeRaises(t *testing.T) {
	p := newPipe(t, "raises", 0, `{"raise": true}`)
	s := p.start()
	err := s.Wait(t.Context())
	if bad := s.Close(); bad != nil {
		t.Error(bad)
	}
	p.tell(s)
	var got *runtime.NodeError
	if !errors.As(err, &got) || got.Phase != "process" || got.ExitCode != 1 || !strings.Contains(got.Traceback, "app.py") {
		t.Errorf("got %+v", err)
	}
}

func TestEngineNodeKilled(t *testing.T) {
	p := newPipe(t, "killed", 0, "{}")
	s := p.start()
	p.flows(100)
	list, err := runtime.Ps(t.Context(), p.config.Engine, p.config.Project)
	if err != nil || len(list) != 1 {
		t.Fatalf("ps: %v %v", list, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	if err := p.config.Engine.Kill(ctx, list[0].ID, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	err = s.Wait(ctx)
	t.Logf("noticed and ended after %s", time.Since(began))
	if bad := s.Close(); bad != nil {
		t.Error(bad)
	}
	p.tell(s)
	var got *runtime.NodeError
	if !errors.As(err, &got) || got.Node != "echo" || got.Signal != "SIGKILL" || got.OOM {
		t.Errorf("got %+v", err)
	}
}

// envAbandon makes the test a process that starts a session and is killed.
const envAbandon = "MEDIANODE_TEST_ABANDON"

// TestEngineAbandoned kills the process of a session; the nodes end by
// themselves, and the next run of the project finds a clean place.
func TestEngineAbandoned(t *testing.T) {
	if name := os.Getenv(envAbandon); name != "" {
		p := newPipe(t, name, 0, "{}")
		p.start()
		p.flows(10)
		fmt.Println("flows", p.config.Project)
		select {}
	}
	p := newPipe(t, "abandoned", 200, "{}")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEngineAbandoned$")
	child.Env = append(os.Environ(), envAbandon+"=other")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var word, project string
	if _, err := fmt.Fscan(out, &word, &project); err != nil || word != "flows" {
		t.Errorf("child: %s %v", word, err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	dir, domain := runtime.Directory(p.config.UID, project), channel.NewDomain(p.config.UID, project)
	// As of a process that died while it cleaned up after another.
	orphan := domain.Prefix + "b9fc73e5c1f646968758453273c6c65cb372831b_1_2.connection"
	if err := os.WriteFile(filepath.Join(dir, "shm", orphan), nil, 0o666); err != nil {
		t.Error(err)
	}
	p.ends(project)
	if ports, nodes := remains(t, dir); len(ports) > 0 || len(nodes) > 0 {
		t.Errorf("the node left of its runtime: %v %v", ports, nodes)
	}
	p.takeName(project)
	s := p.start()
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
}

// ends waits for the containers of a killed runtime to notice.
func (p *pipe) ends(project string) {
	began := time.Now()
	for time.Since(began) < 15*time.Second {
		list, err := runtime.Ps(p.t.Context(), p.config.Engine, project)
		if err == nil && len(list) == 1 && list[0].State == "exited" {
			p.t.Logf("the node ended by itself after %s: code %d", time.Since(began), list[0].ExitCode)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Errorf("the node goes on without its runtime")
}

// takeName makes p the same project as one that was left behind. Its compose
// file names the old domain no longer, so it is written anew.
func (p *pipe) takeName(project string) {
	p.config.Project = project
	p.config.Dir = runtime.Directory(p.config.UID, project)
	p.config.Domain = channel.NewDomain(p.config.UID, project)
	for i := range p.config.Nodes {
		p.config.Nodes[i].Domain, p.config.Nodes[i].Project = p.config.Domain, project
	}
	echo := p.config.Nodes[1].Node
	p.write(map[string]any{"echo": p.service("echo", os.Getenv(envSDK), &echo, nil)})
}
