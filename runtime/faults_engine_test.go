package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// remains are the files of iceoryx2 ports in a project's directory, and the
// directories of its nodes. Names are read and nothing is opened: closing a
// file would end the locks by which nodes know each other alive.
func remains(t *testing.T, dir string) (ports, nodes []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		switch filepath.Ext(path) {
		case ".data", ".connection", ".event_mgmt", ".event", ".port_tag":
			ports = append(ports, path)
		}
		if err == nil && e.IsDir() && filepath.Base(filepath.Dir(path)) == "nodes" {
			nodes = append(nodes, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return ports, nodes
}

// portIDs are the ids of the ports in the name of a file.
func portIDs(file string, d channel.Domain) (ids []string) {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	for part := range strings.SplitSeq(strings.TrimPrefix(name, d.Prefix), "_") {
		if len(part) != 40 { // not the hash of a type's name
			ids = append(ids, part)
		}
	}
	return ids
}

func eventually(limit time.Duration, is func() bool) bool {
	for end := time.Now().Add(limit); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return is()
		}
	}
	return true
}

func (p *pipe) container() string {
	p.t.Helper()
	list, err := runtime.Ps(p.t.Context(), p.config.Engine, p.config.Project)
	if err != nil || len(list) != 1 {
		p.t.Fatalf("ps: %v %v", list, err)
	}
	return list[0].ID
}

func (p *pipe) signal(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := p.config.Engine.Kill(ctx, p.container(), name); err != nil {
		p.t.Fatal(err)
	}
}

// TestEngineKilledNodeIsCleaned: what a killed container leaves in shared
// memory is gone while the others still run.
func TestEngineKilledNodeIsCleaned(t *testing.T) {
	p := newPipe(t, "cleaned", 0, "{}")
	goOn, early := make(chan struct{}), make(chan error, 1)
	p.config.Nodes[2].Run = func(ctx context.Context, ports *node.Ports) error {
		err := p.sink(ctx, ports)
		early <- err
		<-goOn
		return err
	}
	s := p.start()
	p.flows(100)
	ports, nodes := remains(t, p.config.Dir)
	if len(nodes) != 2 {
		t.Errorf("two processes have the nodes %v", nodes)
	}
	p.signal("SIGKILL")
	if err := <-early; !errors.Is(err, node.ErrIncomplete) {
		t.Errorf("sink: %v", err)
	}
	gone := eventually(5*time.Second, func() bool {
		_, nodes = remains(t, p.config.Dir)
		return len(nodes) == 1
	})
	left, _ := remains(t, p.config.Dir)
	if !gone {
		t.Errorf("the dead node stays: %v", nodes)
	}
	tags := map[string]bool{}
	for _, file := range left {
		if filepath.Ext(file) == ".port_tag" {
			if filepath.Dir(file) != nodes[0] {
				t.Errorf("left: %s", file)
			}
			tags[portIDs(file, p.config.Domain)[0]] = true
		}
	}
	for _, file := range left {
		for _, id := range portIDs(file, p.config.Domain) {
			if !tags[id] {
				t.Errorf("left, of the dead port %s: %s", id, file)
			}
		}
	}
	if len(left) >= len(ports) {
		t.Errorf("%d of %d files left", len(left), len(ports))
	}
	close(goOn)
	if err := s.Wait(t.Context()); err == nil {
		t.Error("the session ended well")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestEngineTerm: a node that is asked to end sends what it has and the end of
// its stream.
func TestEngineTerm(t *testing.T) {
	p := newPipe(t, "term", 0, "{}")
	sinkIn := p.config.Nodes[2].Inputs[0]
	count := p.config.Nodes[1].Node
	count.Type, count.Inputs = "app:Count", nil
	p.config.Nodes = []runtime.Node{
		{Node: count, Container: true},
		{Node: channel.Node{ID: "sink", Inputs: []channel.Input{sinkIn}}, Run: p.sink},
	}
	p.write(map[string]any{"echo": p.service("echo", os.Getenv(envSDK), &count, nil)})
	s := p.start()
	p.flows(100)
	p.signal("SIGTERM")
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	r := s.Report()
	if code := r.Nodes[0].ExitCode; code == nil || *code != 0 {
		t.Errorf("node: %+v", r.Nodes[0])
	}
	if c := r.Connections[0]; c.Dropped != 0 || int64(c.Frames) != p.arrived.Load() {
		t.Errorf("%d arrived of %+v", p.arrived.Load(), c)
	}
}

// TestEngineNodeErrors: what a node does wrong ends the session with a text
// that says what to do.
func TestEngineNodeErrors(t *testing.T) {
	tests := map[string]struct {
		params string
		want   []string
	}{
		"large": {`{"grow": 5000}`, []string{"node echo: process: ", "output output", "5000 bytes", "1024", "max_frame", "frame 0 of input"}},
		"hold":  {`{"keep": true}`, []string{"node echo: process: ", "input input from src", "2 frames are kept", "hold of the connection is 2", "raise hold"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPipe(t, name, 0, test.params)
			s := p.start()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := s.Wait(ctx)
			if bad := s.Close(); bad != nil {
				t.Error(bad)
			}
			p.tell(s)
			var got *runtime.NodeError
			if !errors.As(err, &got) || got.ExitCode != 1 {
				t.Fatalf("got %+v", err)
			}
			t.Log(err)
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %s", part, err)
				}
			}
		})
	}
}

// TestEngineUnread: frames on a port that nothing reads are counted and told
// once.
func TestEngineUnread(t *testing.T) {
	p := newPipe(t, "unread", 50, `{"stray": true}`)
	s := p.start()
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	if n := s.Report().Nodes[1].Unread["stray"]; n != 50 || p.arrived.Load() != 50 {
		t.Errorf("%d frames unread, %d arrived, want 50", n, p.arrived.Load())
	}
	if n := strings.Count(strings.Join(p.lines, "\n"), "nothing reads it"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestEngineBothPolicies sends 10,000 frames through a container to two slow
// readers: one blocks and misses nothing, the other drops, and every drop is
// counted.
func TestEngineBothPolicies(t *testing.T) {
	const frames = 10000
	p := newPipe(t, "policies", frames, "{}")
	lossy := channel.Spec{
		Name: channel.LossyName(channel.SessionMark, "echo", "output"), MaxFrame: 1024, Loans: 2, Policy: channel.DropOldest,
		Readers: []channel.Reader{{Node: "lossy", Port: "input", Buffer: 3, Hold: 1}},
	}
	p.config.Channels = append(p.config.Channels, lossy)
	echo := &p.config.Nodes[1].Node
	echo.Outputs[0].Channels = append(echo.Outputs[0].Channels, lossy)
	service := p.service("echo", os.Getenv(envSDK), echo, nil)
	p.write(map[string]any{"echo": service})
	body := p.config.Nodes[2].Run
	p.config.Nodes[2].Run = func(ctx context.Context, ports *node.Ports) error {
		time.Sleep(100 * time.Millisecond) // everything before it is full by now
		return body(ctx, ports)
	}
	var got, gaps, next atomic.Uint64
	p.config.Nodes = append(p.config.Nodes, runtime.Node{
		Node: channel.Node{ID: "lossy", Inputs: []channel.Input{{Port: "input", Source: "echo", SourcePort: "output", Channel: lossy}}},
		Run: func(ctx context.Context, ports *node.Ports) error {
			for {
				f, err := ports.Receive(ctx)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if want := fmt.Sprint(f.Header.Sequence); string(f.Payload) != want {
					t.Errorf("frame %s is %q", want, f.Payload)
				}
				gaps.Add(f.Header.Sequence - next.Load())
				next.Store(f.Header.Sequence + 1)
				got.Add(1)
				f.Release()
				time.Sleep(5 * time.Millisecond)
			}
		},
	})
	s := p.start()
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	if n := p.arrived.Load(); n != frames {
		t.Errorf("%d frames arrived under block, want %d", n, frames)
	}
	tail := frames - next.Load() // after the last frame received came the end only
	for _, c := range s.Report().Connections {
		text, _ := json.Marshal(c)
		switch {
		case c.To != "lossy.input" && (c.Dropped != 0 || c.Frames != frames):
			t.Errorf("%s", text)
		case c.To == "lossy.input" && (c.Frames != got.Load() || c.Dropped != gaps.Load()+tail || c.Dropped == 0 || c.Frames+c.Dropped != frames):
			t.Errorf("%s: %d received, %d missed", text, got.Load(), gaps.Load()+tail)
		}
	}
}
