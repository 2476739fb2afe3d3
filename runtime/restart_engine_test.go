package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// paced sends so many numbers, 2 ms apart.
func paced(frames int) node.Builtin {
	return func(ctx context.Context, p *node.Ports) error {
		for i := range frames {
			if err := p.Send(ctx, "output", channel.Header{Kind: channel.Text}, fmt.Append(nil, i)); err != nil {
				return err
			}
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
}

// record is a sink that notes what comes and when.
type record struct {
	mu    sync.Mutex
	lines []string
	at    []time.Time
}

func (r *record) sink(ctx context.Context, ports *node.Ports) error {
	for {
		f, err := ports.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.lines, r.at = append(r.lines, string(f.Payload)), append(r.at, time.Now())
		r.mu.Unlock()
		f.Release()
	}
}

func (r *record) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines)
}

// gap is the longest time without a frame after a moment.
func (r *record) gap(from time.Time) (longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.at {
		if at.After(from) {
			longest = max(longest, at.Sub(from))
			from = at
		}
	}
	return longest
}

// restarting is a pipe whose container is started again when it fails, and
// what its sink gets.
func restarting(t *testing.T, name string, frames int, params string, retry bool) (*pipe, *record) {
	t.Helper()
	p, r := newPipe(t, name, frames, params), &record{}
	p.config.Nodes[0].Run = paced(frames)
	p.config.Nodes[1].Restart = runtime.Restart{Policy: "on-failure"}
	p.config.Nodes[2].Run = r.sink
	if retry {
		// The wiring of all nodes has its reader in common with these.
		p.config.Nodes[1].Inputs[0].Channel.Readers[0].Retry = true
		echo := p.config.Nodes[1].Node
		service := p.service("echo", os.Getenv(envSDK), &echo, nil)
		service["environment"].(map[string]string)[channel.EnvParams] = params
		p.write(map[string]any{"echo": service})
	}
	return p, r
}

func (p *pipe) killAt(r *record, frames int) time.Time {
	p.t.Helper()
	if !eventually(20*time.Second, func() bool { return r.len() >= frames }) {
		p.t.Fatalf("%d frames arrived", r.len())
	}
	p.signal("SIGKILL")
	return time.Now()
}

// TestEngineRestartFilter kills a node twice in the middle of a stream: it goes
// on, and every frame that was lost is counted.
func TestEngineRestartFilter(t *testing.T) {
	const frames = 1500
	p, r := restarting(t, "refilter", frames, "{}", false)
	s := p.start()
	first := p.killAt(r, 200)
	p.killAt(r, 700)
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	t.Logf("frames flowed again within %s of each kill", r.gap(first))
	report := s.Report()
	in, out := report.Connections[0], report.Connections[1]
	if in.Frames+in.Dropped != frames || in.Dropped > 2*8 || out.Frames+out.Dropped+in.Unfinished < in.Frames || int(out.Frames) != r.len() {
		t.Errorf("%d frames sent, %d arrived: %+v, %+v", frames, r.len(), in, out)
	}
	if n := report.Nodes[1].Restarts; n != 2 || r.lines[r.len()-1] != fmt.Sprint(frames-1) {
		t.Errorf("%d restarts, last frame %s", n, r.lines[r.len()-1])
	}
}

// TestEngineRestartSource: a source begins anew; its stream goes on.
func TestEngineRestartSource(t *testing.T) {
	p, r := restarting(t, "resource", 0, "{}", false)
	sinkIn := p.config.Nodes[2].Inputs[0]
	count := p.config.Nodes[1]
	count.Type, count.Inputs = "app:Count", nil
	p.config.Nodes = []runtime.Node{count, {Node: channel.Node{ID: "sink", Inputs: []channel.Input{sinkIn}}, Run: r.sink}}
	service := p.service("echo", os.Getenv(envSDK), &count.Node, nil)
	service["environment"].(map[string]string)[channel.EnvParams] = `{"frames": 400, "pause": 0.002}`
	p.write(map[string]any{"echo": service})
	s := p.start()
	at := p.killAt(r, 100)
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	t.Logf("frames flowed again %s after the kill", r.gap(at))
	c := s.Report().Connections[0]
	if c.Dropped > 1 || int(c.Frames) != r.len() || r.len() < 500 || strings.Join(r.lines[r.len()-400:], " ") != numbers(400) {
		t.Errorf("%d frames arrived: %+v", r.len(), c)
	}
}

func numbers(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(i))
	}
	return strings.Join(list, " ")
}

// TestEngineRestartSink: a container that nothing follows.
func TestEngineRestartSink(t *testing.T) {
	const frames = 800
	p, _ := restarting(t, "resink", frames, "{}", false)
	p.config.Nodes, p.config.Channels = p.config.Nodes[:2], p.config.Channels[:1]
	p.config.Nodes[1].Outputs = nil
	service := p.service("echo", os.Getenv(envSDK), &p.config.Nodes[1].Node, nil)
	p.write(map[string]any{"echo": service})
	s := p.start()
	got := func() uint64 { return s.Report().Connections[0].Frames }
	if !eventually(20*time.Second, func() bool { return got() > 200 }) {
		t.Fatalf("%d frames", got())
	}
	p.signal("SIGKILL")
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	if c := s.Report().Connections[0]; c.Frames+c.Dropped != frames || c.Dropped > 8 {
		t.Errorf("%+v", c)
	}
}

// TestEngineRestartGivesUp: a node that always fails ends the session with its
// last failure.
func TestEngineRestartGivesUp(t *testing.T) {
	p, _ := restarting(t, "regives", 10000, `{"raise": true}`, false)
	p.config.Nodes[1].Restart.MaxAttempts = 2
	s := p.start()
	err := s.Wait(t.Context())
	if bad := s.Close(); bad != nil {
		t.Error(bad)
	}
	p.tell(s)
	var got *runtime.NodeError
	if !errors.As(err, &got) || got.Phase != "process" || got.Restarts != 2 || !strings.Contains(got.Traceback, "app.py") {
		t.Errorf("got %+v", err)
	}
	if n := strings.Count(strings.Join(p.lines, "\n"), "ValueError: asked to"); n != 3 {
		t.Errorf("%d tracebacks in the log, want 3", n)
	}
}

// TestEngineRestartRetry: what a node had not finished is given to it again.
func TestEngineRestartRetry(t *testing.T) {
	const frames = 300
	p, r := restarting(t, "retry", frames, `{"crash_at": 100, "once": "/tmp/once"}`, true)
	s := p.start()
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	seen := map[string]bool{}
	for _, line := range r.lines {
		seen[line] = true
	}
	in := s.Report().Connections[0]
	if len(seen) != frames || in.Frames != frames || in.Dropped != 0 || in.Unfinished != 0 {
		t.Errorf("%d of %d frames arrived: %+v", len(seen), frames, in)
	}
}

// TestEngineRestartPoison: a frame that crashes the node each time is given up.
func TestEngineRestartPoison(t *testing.T) {
	const frames = 200
	p, r := restarting(t, "poison", frames, `{"crash_at": 100}`, true)
	p.config.DeadLetters = filepath.Join(t.TempDir(), "dead-letters.jsonl")
	s := p.start()
	if err := errors.Join(s.Wait(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	if c := s.Report().Connections[0]; c.Frames != frames-1 || c.Dropped != 1 || r.len() != frames-1 || s.Report().Nodes[1].Restarts != 3 {
		t.Errorf("%d frames arrived: %+v", r.len(), c)
	}
	if !strings.Contains(strings.Join(p.lines, "\n"), "frame 100 of input input from src crashed the node 3 times: skipped") {
		t.Error("the log does not name the frame")
	}
	text, err := os.ReadFile(p.config.DeadLetters)
	var letter runtime.DeadLetter
	if err == nil {
		err = json.Unmarshal(text, &letter) // one line
	}
	if err != nil || letter.Node != "echo" || letter.From != "src.output" || letter.Sequence == nil || *letter.Sequence != 100 || letter.Tries != 3 {
		t.Errorf("%v: %s", err, text)
	}
	var header struct {
		Kind     string
		Sequence uint64
		Bytes    int
	}
	if err := json.Unmarshal(letter.Header, &header); err != nil || header.Kind != "text" || header.Sequence != 100 || header.Bytes != 3 {
		t.Errorf("header: %v: %s", err, letter.Header)
	}
	if c := s.Report().Connections[0]; c.GivenUp != 1 || s.Report().DeadLetters != p.config.DeadLetters {
		t.Errorf("report: %+v", c)
	}
	if !strings.HasPrefix(letter.Reason, "the node died with it 3 times, at last: node echo: ") {
		t.Errorf("reason: %s", letter.Reason)
	}
}

// TestEngineStopDuringDelay: who stops a session does not wait for a restart,
// and nothing is left.
func TestEngineStopDuringDelay(t *testing.T) {
	p, r := restarting(t, "redelay", 100000, "{}", false)
	waiting := make(chan struct{}, 1)
	p.config.Note = func(_, state string) {
		if state == runtime.StateRestarting {
			waiting <- struct{}{}
		}
	}
	s := p.start()
	p.killAt(r, 50)
	<-waiting
	began := time.Now()
	err := s.Stop(t.Context())
	t.Logf("stopped after %s: %v", time.Since(began), err)
	if bad := s.Close(); bad != nil {
		t.Error(bad)
	}
	var got *runtime.NodeError
	if !errors.As(err, &got) || got.Signal != "SIGKILL" {
		t.Errorf("got %+v", err)
	}
}

// TestEngineRestartOften: no restart leaves anything that the ones after it
// miss: there are more of them than processes that may have a channel open.
func TestEngineRestartOften(t *testing.T) {
	p, r := restarting(t, "reoften", 1000000, "{}", true)
	p.config.Nodes[1].Restart.MaxAttempts = 100
	s := p.start()
	files := func() (n int) { // others have theirs in /dev/shm
		for _, pattern := range []string{"/proc/self/fd/*", "/dev/shm/" + p.config.Domain.Prefix + "*"} {
			list, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			n += len(list)
		}
		return n
	}
	p.killAt(r, 20)
	var first int
	for i := range 7 {
		if seen := r.len(); !eventually(20*time.Second, func() bool { return r.len() > seen+100 }) {
			t.Fatalf("restart %d: %d frames, %+v", i, r.len(), s.Report())
		}
		if i == 0 {
			first = files()
		}
		p.signal("SIGKILL")
	}
	if seen := r.len(); !eventually(20*time.Second, func() bool { return r.len() > seen+100 }) {
		t.Errorf("no frames after the last restart: %+v", s.Report())
	}
	if last := files(); last > first+10 {
		t.Errorf("%d files after the first restart, %d after the last", first, last)
	}
	if err := errors.Join(s.Stop(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	p.tell(s)
	if c := s.Report().Connections[0]; s.Report().Nodes[1].Restarts != 8 || c.Dropped != 0 {
		t.Errorf("%d restarts: %+v", s.Report().Nodes[1].Restarts, c)
	}
}
