package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// count is a source of n frames; 0: until it is told to stop.
func count(n int) node.Builtin {
	return func(ctx context.Context, p *node.Ports) error {
		for i := 0; n == 0 || i < n; i++ {
			if err := p.Send(ctx, "output", channel.Header{Kind: channel.Text}, fmt.Appendf(nil, "%d", i)); err != nil {
				return err
			}
			if n == 0 {
				pause(ctx, time.Millisecond)
			}
		}
		return nil
	}
}

func forward(ctx context.Context, p *node.Ports) error {
	for {
		f, err := p.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = p.Send(ctx, "output", *f.Header, f.Payload)
		f.Release()
		if err != nil {
			return err
		}
	}
}

type collector struct {
	mu    sync.Mutex
	lines []string
}

func (c *collector) collect(ctx context.Context, p *node.Ports) error {
	for {
		f, err := p.Receive(ctx)
		if errors.Is(err, io.EOF) {
			p.Wrote(node.File{Path: "out.txt", Bytes: 10, Frames: uint64(c.len()), Complete: true})
			return nil
		}
		if err != nil {
			p.Wrote(node.File{Path: "out.txt.partial", Frames: uint64(c.len())})
			return err
		}
		c.mu.Lock()
		c.lines = append(c.lines, string(f.Payload))
		c.mu.Unlock()
		f.Release()
	}
}

func (c *collector) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

// rig is a pipeline src → mid → out, mid in a container.
type rig struct {
	t      *testing.T
	base   string
	engine *fakeEngine
	mid    *script
	out    collector
	config Config
	logs   []LogLine
}

func wire(from, to string) (channel.Output, channel.Input) {
	spec := channel.Spec{
		Name: channel.OutputName(channel.SessionMark, from, "output"), MaxFrame: 64, Loans: 1,
		Readers: []channel.Reader{{Node: to, Port: "input", Buffer: 4, Hold: 1}},
	}
	return channel.Output{Port: "output", MaxFrame: 64, Channels: []channel.Spec{spec}},
		channel.Input{Port: "input", Source: from, SourcePort: "output", Channel: spec}
}

func newRig(t *testing.T, frames int) *rig {
	t.Helper()
	base := t.TempDir()
	leak(t)
	r := &rig{t: t, base: base}
	srcOut, midIn := wire("src", "mid")
	midOut, outIn := wire("mid", "out")
	control, status := channel.ControlSpec("mid"), channel.StatusSpec("mid")
	mid := channel.Node{ID: "mid", Inputs: []channel.Input{midIn}, Outputs: []channel.Output{midOut, {Port: "spare"}}, Control: &control, Status: &status}
	r.mid = &script{node: mid, body: forward, logs: []string{"hello", "\x1b[31mred"}}
	r.engine = newFake(map[string]*script{"mid": r.mid})
	r.config = Config{
		Project: "p", Dir: filepath.Join(base, "mn", "p"), UID: os.Getuid(), GID: os.Getgid(),
		Domain: channel.Domain{Root: filepath.Join(base, "root")},
		Nodes: []Node{
			{Node: channel.Node{ID: "src", Outputs: []channel.Output{srcOut}}, Run: count(frames)},
			{Node: mid, Container: true, StartTimeout: 5 * time.Second},
			{Node: channel.Node{ID: "out", Inputs: []channel.Input{outIn}}, Run: r.out.collect},
		},
		Channels:  []channel.Spec{srcOut.Channels[0], midOut.Channels[0]},
		StopGrace: 5 * time.Second, Engine: r.engine,
		Logs: func(l LogLine) { r.logs = append(r.logs, l) },
		Open: func(channel.Domain, string) (channel.Transport, error) { return r.engine.transport, nil },
	}
	return r
}

func (r *rig) start() *Session {
	r.t.Helper()
	s, err := Start(r.t.Context(), r.config)
	if err != nil {
		r.t.Fatalf("Start: %v", err)
	}
	return s
}

// end closes the session and says what is left.
func (r *rig) end(s *Session) {
	r.t.Helper()
	if err := s.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
	if err := s.Close(); err != nil {
		r.t.Errorf("second Close: %v", err)
	}
	r.nothingLeft()
}

func (r *rig) nothingLeft() {
	r.t.Helper()
	entries, err := os.ReadDir(r.base)
	if err != nil || len(entries) > 0 {
		r.t.Errorf("left in the directory: %v %v", entries, err)
	}
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	if len(r.engine.containers) > 0 || r.engine.volumes > 0 {
		r.t.Errorf("left in the engine: %d containers, %d volumes", len(r.engine.containers), r.engine.volumes)
	}
}

// leak fails the test if it leaves goroutines.
func leak(t *testing.T) {
	before := goruntime.NumGoroutine()
	t.Cleanup(func() {
		if !eventually(func() bool { return goruntime.NumGoroutine() <= before }) {
			stack := make([]byte, 1<<20)
			t.Errorf("goroutines: %d before, %d after\n%s", before, goruntime.NumGoroutine(), stack[:goruntime.Stack(stack, true)])
		}
	})
}

func eventually(ok func() bool) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if ok() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ok()
}

func TestSession(t *testing.T) {
	r := newRig(t, 100)
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Fatalf("Wait: %v", err)
	}
	r.end(s)
	if n := r.out.len(); n != 100 || r.out.lines[99] != "99" {
		t.Errorf("%d lines arrived: %q", n, r.out.lines)
	}
	report := s.Report()
	if report.State != "ended" || len(report.Warnings) > 0 {
		t.Errorf("report: %+v", report)
	}
	for _, c := range report.Connections {
		if c.Frames != 100 || c.Dropped != 0 || c.P99 == 0 || c.Rate == 0 {
			t.Errorf("connection: %+v", c)
		}
	}
	if n := report.Nodes[1]; n.CPUS != 1.5 || n.MemoryPeak != 64<<20 || n.ExitCode == nil || *n.ExitCode != 0 || n.State != StateExited {
		t.Errorf("node: %+v", n)
	}
	if f := report.Nodes[2].Files; len(f) != 1 || !f[0].Complete {
		t.Errorf("files: %+v", f)
	}
	var text []string
	for _, l := range r.logs {
		text = append(text, l.Node+" "+l.Stream+" "+l.Text)
	}
	if got, want := strings.Join(text, "\n"), "mid stdout hello\nmid stdout \\x1b[31mred\nmid stderr last words"; got != want {
		t.Errorf("log:\n%s\nwant:\n%s", got, want)
	}
	if b, err := json.Marshal(report); err != nil || !bytes.Contains(b, []byte(`"frames":100`)) {
		t.Errorf("JSON: %s %v", b, err)
	}
}

// A node may be ready before the engine says that its container runs.
func TestReadyBeforeStarted(t *testing.T) {
	r := newRig(t, 10)
	r.engine.blind, r.engine.lag = true, 300*time.Millisecond
	s, err := Start(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
}

func TestStopDrains(t *testing.T) {
	r := newRig(t, 0)
	s := r.start()
	eventually(func() bool { return r.out.len() > 20 })
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	report := s.Report()
	r.end(s)
	if first, last := report.Connections[0].Frames, report.Connections[1].Frames; first != last || int(last) != r.out.len() {
		t.Errorf("%d frames went in, %d came out, %d were written", first, last, r.out.len())
	}
}

func TestKill(t *testing.T) {
	r := newRig(t, 0)
	s := r.start()
	s.Kill()
	if err := s.Wait(t.Context()); !errors.Is(err, ErrKilled) {
		t.Errorf("Wait: %v", err)
	}
	r.end(s)
}

func TestCloseWhileRunning(t *testing.T) {
	r := newRig(t, 0)
	r.end(r.start())
}

func TestCancelledStart(t *testing.T) {
	r := newRig(t, 0)
	r.mid.hang = "load"
	ctx, cancel := context.WithCancel(t.Context())
	r.config.Note = func(_, state string) {
		if state == StateLoading {
			cancel()
		}
	}
	if _, err := Start(ctx, r.config); !errors.Is(err, context.Canceled) {
		t.Errorf("Start: %v", err)
	}
	r.nothingLeft()
}

func TestNodeFailures(t *testing.T) {
	tests := []struct {
		name   string
		change func(*rig)
		starts bool // the failure comes after Start
		want   NodeError
	}{
		{"dies before it says a word", func(r *rig) { r.mid.die, r.mid.exit = "start", 127 }, false,
			NodeError{ExitCode: 127, Message: "exited before its streams ended (exit code 127)"}},
		{"import fails", func(r *rig) { r.mid.raise = "hello" }, false,
			NodeError{ExitCode: 1, Phase: "hello", Message: "ValueError: no", Traceback: "Traceback…"}},
		{"load fails", func(r *rig) { r.mid.raise = "load" }, false,
			NodeError{ExitCode: 1, Phase: "load", Message: "ValueError: no", Traceback: "Traceback…"}},
		{"load hangs", func(r *rig) { r.mid.hang, r.config.Nodes[1].StartTimeout = "load", 200*time.Millisecond }, false,
			NodeError{ExitCode: 143, Signal: "SIGTERM", Phase: "load", Message: "not ready after 200ms: raise start_timeout_ms if it needs longer"}},
		{"import hangs", func(r *rig) { r.mid.hang, r.config.Nodes[1].StartTimeout = "import", 200*time.Millisecond }, false,
			NodeError{ExitCode: 143, Signal: "SIGTERM", Phase: "import", Message: "not ready after 200ms: raise start_timeout_ms if it needs longer"}},
		{"open hangs and is deaf", func(r *rig) {
			r.mid.hang, r.mid.deaf, r.config.Nodes[1].StartTimeout = "open", true, 200*time.Millisecond
		}, false, NodeError{ExitCode: 137, Signal: "SIGKILL", Phase: "open", Message: "not ready after 200ms: raise start_timeout_ms if it needs longer"}},
		{"out of memory", func(r *rig) { r.mid.die, r.mid.exit, r.mid.oom, r.mid.memory = "process", 137, true, 128<<20 }, true,
			NodeError{ExitCode: 137, Signal: "SIGKILL", OOM: true, Message: "killed at its memory limit of 128 MiB before its streams ended (exit code 137); raise memory_mb"}},
		{"killed", func(r *rig) { r.mid.die, r.mid.exit = "process", 137 }, true,
			NodeError{ExitCode: 137, Signal: "SIGKILL", Message: "killed by SIGKILL before its streams ended (exit code 137)"}},
		{"killed, no events", func(r *rig) { r.mid.die, r.mid.exit, r.engine.blind = "process", 137, true }, true,
			NodeError{ExitCode: 137, Signal: "SIGKILL", Message: "killed by SIGKILL before its streams ended (exit code 137)"}},
		{"ends early", func(r *rig) { r.mid.die = "process" }, true,
			NodeError{Message: "exited before its streams ended (exit code 0)"}},
		{"process raises", func(r *rig) { r.mid.raise = "process" }, true,
			NodeError{ExitCode: 1, Phase: "process", Message: "ValueError: no", Traceback: "Traceback…"}},
		{"bad exit code after complete data", func(r *rig) { r.mid.die, r.mid.exit = "exit", 139 }, true,
			NodeError{ExitCode: 139, Signal: "SIGSEGV", Message: "killed by SIGSEGV (exit code 139)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, 100)
			test.change(r)
			s, err := Start(t.Context(), r.config)
			if test.starts {
				if err != nil {
					t.Fatalf("Start: %v", err)
				}
				err = s.Wait(t.Context())
				r.end(s)
			} else {
				r.nothingLeft()
			}
			var got *NodeError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a NodeError", err)
			}
			test.want.Node, test.want.Container = "mid", true
			if len(got.Log) == 0 || got.Log[len(got.Log)-1] != "last words" {
				t.Errorf("log: %q", got.Log)
			}
			have := *got
			have.Log = nil
			if fmt.Sprintf("%+v", have) != fmt.Sprintf("%+v", test.want) {
				t.Errorf("got  %+v\nwant %+v", have, test.want)
			}
		})
	}
}

func TestImageThatChangesMeanwhileDoesNotRun(t *testing.T) {
	r := newRig(t, 10)
	r.mid.image, r.config.Nodes[1].ImageID = "sha256:other", "sha256:checked"
	_, err := Start(t.Context(), r.config)
	const want = "node mid: start: another program gave medianode/mid to another image while the node was starting: up again builds it anew"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if n := len(r.engine.containers); n != 0 {
		t.Errorf("%d containers were started", n)
	}
	r.nothingLeft()

	r = newRig(t, 10)
	r.mid.image, r.config.Nodes[1].ImageID = "sha256:checked", "sha256:checked"
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
}

func TestKilledWithCompleteDataIsAWarning(t *testing.T) {
	r := newRig(t, 10)
	r.mid.deaf, r.config.StopGrace = true, 100*time.Millisecond
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	r.end(s)
	if w := s.Report().Warnings; len(w) != 1 || !strings.Contains(w[0], "mid: its data is complete") {
		t.Errorf("warnings: %q", w)
	}
	if r.out.len() != 10 || !s.Report().Nodes[1].Forced {
		t.Errorf("%d lines, %+v", r.out.len(), s.Report().Nodes[1])
	}
}

// A process that ends by itself after TERM was not killed.
func TestEndAfterTerm(t *testing.T) {
	r := newRig(t, 10)
	r.mid.slow, r.config.StopGrace = 500*time.Millisecond, 100*time.Millisecond
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if n := s.Report().Nodes[1]; n.State != StateExited || n.ExitCode == nil || *n.ExitCode != 0 || n.Forced {
		t.Errorf("node: %+v", n)
	}
	if w := s.Report().Warnings; len(w) != 1 || !strings.Contains(w[0], "mid: its data is complete, but it needed longer than the stop grace") {
		t.Errorf("warnings: %q", w)
	}
	r.end(s)
}

// TestSlowExit: a process that has said its last word may take its time to end.
func TestSlowExit(t *testing.T) {
	r := newRig(t, 10)
	r.mid.slow, r.config.StopGrace = killGrace+500*time.Millisecond, 2*killGrace
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if n := s.Report().Nodes[1]; n.State != StateExited || n.ExitCode == nil || *n.ExitCode != 0 || n.Forced {
		t.Errorf("node: %+v, code %d", n, *n.ExitCode)
	}
	r.end(s)
}

func TestStopOfADeafNode(t *testing.T) {
	r := newRig(t, 0)
	r.mid.hang, r.mid.deaf, r.config.StopGrace = "process", true, 100*time.Millisecond
	s := r.start()
	err := s.Stop(t.Context())
	r.end(s)
	var got *NodeError
	if !errors.As(err, &got) || got.Phase != "stop" || got.Node != "mid" {
		t.Errorf("Stop: %v", err)
	}
}

// A node that needs longer than the grace for what is in flight is to blame,
// and not the built-in node that waits for it.
func TestStopOfASlowNode(t *testing.T) {
	r := newRig(t, 0)
	r.mid.hang, r.config.StopGrace = "process", 100*time.Millisecond
	s := r.start()
	err := s.Stop(t.Context())
	r.end(s)
	var got *NodeError
	if !errors.As(err, &got) || got.Phase != "stop" || got.Node != "mid" || !strings.Contains(got.Message, "lost") {
		t.Errorf("Stop: %v", err)
	}
}

// An engine that goes away takes the logs with it: they are read on from the line
// where they ended, none twice, and what was cut is read as a whole.
func TestLogGoesOn(t *testing.T) {
	r := newRig(t, 20)
	r.mid.logs, r.engine.logsCut = []string{"one", "two", "three"}, 1
	r.engine.apart = true
	var mu sync.Mutex
	var got []string
	r.config.Logs = func(l LogLine) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, l.Text)
	}
	lines := func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(got, ", ")
	}
	r.config.Nodes[0].Run = count(0)
	s := r.start()
	if !eventually(func() bool { return strings.Contains(lines(), "three") }) {
		t.Errorf("lines: %s", lines())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
	if want := "one, two, three, last words"; lines() != want {
		t.Errorf("lines: %s, want %s", lines(), want)
	}
	if w := s.Report().Warnings; len(w) != 0 { // nothing is missing
		t.Errorf("warnings: %q", w)
	}
}

// What a node tells of spans is told with what it failed of, if it failed.
func TestSpansOfAFailure(t *testing.T) {
	r := newRig(t, 0)
	var told []channel.Span
	r.config.Traced = func(_ string, span channel.Span) { told = append(told, span) }
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stopLife()
	s.onStatus(s.byService["mid"], channel.Status{
		Event: channel.EventSpans, Session: r.config.Session, Message: "ValueError: no", Traceback: "Traceback …",
		Spans: []channel.Span{{Sequence: 1}, {Sequence: 2, Failed: true}},
	})
	want := []channel.Span{{Sequence: 1}, {Sequence: 2, Failed: true, Message: "ValueError: no", Traceback: "Traceback …"}}
	if !slices.Equal(told, want) {
		t.Errorf("got %v", told)
	}
}
