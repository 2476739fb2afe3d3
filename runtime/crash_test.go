package runtime

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/node"
)

// crashed runs a rig to its end and returns what was told of deaths.
func (r *rig) crashed() []Crash {
	r.t.Helper()
	var told []Crash
	r.config.Crashed = func(c Crash) { told = append(told, c) }
	s, err := Start(r.t.Context(), r.config)
	if err == nil {
		_ = s.Wait(r.t.Context())
		r.end(s)
	}
	return told
}

func TestCrashes(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		change func(*rig)
		want   Crash
	}{
		"killed": {func(r *rig) { r.mid.die, r.mid.exit = "process", 137 },
			Crash{ExitCode: 137, Signal: "SIGKILL", Exit: exitWords(137, false, false), Cause: "killed by SIGKILL before its streams ended (exit code 137)"}},
		"exits with 137": {func(r *rig) { r.mid.die, r.mid.exit = "exit", 137 },
			Crash{ExitCode: 137, Exit: exitWords(137, false, true), Cause: "exited (exit code 137)"}},
		"out of memory": {func(r *rig) { r.mid.die, r.mid.exit, r.mid.oom, r.mid.memory = "process", 137, true, 512*mib },
			Crash{ExitCode: 137, Signal: "SIGKILL", OOM: true, Exit: exitWords(137, true, false),
				Cause:  "killed at its memory limit of 512 MiB before its streams ended (exit code 137); last seen 498 MiB, 96 MiB of it frames: try memory_mb: 768, then measure with docker medianode up --measure",
				Advice: "try memory_mb: 768, then measure with docker medianode up --measure"}},
		"raises": {func(r *rig) { r.mid.raise = "process" },
			Crash{ExitCode: 1, Exit: exitWords(1, false, true), Phase: "process", Traceback: "Traceback…", Cause: "ValueError: no"}},
		"late": {func(r *rig) { r.mid.hang, r.config.Nodes[1].StartTimeout = "load", 200*time.Millisecond },
			Crash{ExitCode: 143, Signal: "SIGTERM", Exit: exitWords(143, false, false), Phase: "load", Cause: "not ready after 200ms: raise start_timeout_ms if it needs longer"}},
		"late and deaf": {func(r *rig) {
			r.mid.hang, r.mid.deaf, r.config.Nodes[1].StartTimeout = "load", true, 200*time.Millisecond
		},
			Crash{ExitCode: 137, Signal: "SIGKILL", Exit: endedByUs, Phase: "load", Cause: "not ready after 200ms: raise start_timeout_ms if it needs longer"}},
		"segfault at the start": {func(r *rig) { r.mid.die, r.mid.exit = "load", 139 },
			Crash{ExitCode: 139, Signal: "SIGSEGV", Exit: exitWords(139, false, false), Cause: "killed by SIGSEGV before its streams ended (exit code 139)", Advice: "frames that were received are read-only: copy() one before a library writes into it"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 100)
			r.config.Note = func(node, state string) {
				if node == "mid" && state == StateLoading {
					used := uint64(100 * mib)
					if r.mid.oom {
						used = 498 * mib
					}
					putUsage(t, r.config.Dir, "mid", sample(1, 5e9, used, used, used, 96*mib, 0, 512*mib, 1e9))
				}
			}
			test.change(r)
			told := r.crashed()
			if len(told) != 1 {
				t.Fatalf("told: %+v", told)
			}
			got := told[0]
			if got.ID == "" || got.Project != "p" || got.Session != "main" || got.Node != "mid" || !got.First || got.Follows != "" || got.Usage == nil {
				t.Errorf("got %+v", got)
			}
			if n := len(got.Log); n != 3 || got.Log[n-1] != "last words" {
				t.Errorf("log: %q", got.Log)
			}
			if len(got.Ports) != 2 || got.Ports[0].Peer != "src.output" || got.Ports[1].Direction != "out" {
				t.Errorf("ports: %+v", got.Ports)
			}
			same := Crash{ExitCode: got.ExitCode, Signal: got.Signal, OOM: got.OOM, Exit: got.Exit, Phase: got.Phase, Traceback: got.Traceback, Cause: got.Cause, Advice: got.Advice}
			want := test.want
			if same.Cause != want.Cause || same.Exit != want.Exit || same.Advice != want.Advice || same.OOM != want.OOM || same.Phase != want.Phase ||
				same.Traceback != want.Traceback || same.Signal != want.Signal || same.ExitCode != want.ExitCode {
				t.Errorf("got %+v\nwant %+v", same, want)
			}
		})
	}
}

// A run that ends well, and one that is told to end, tell of no death.
func TestNoCrash(t *testing.T) {
	r := newRig(t, 20)
	if told := r.crashed(); len(told) > 0 {
		t.Errorf("ended well: %+v", told)
	}
	r = newRig(t, 0)
	r.config.Crashed = func(c Crash) { t.Errorf("told: %+v", c) }
	s := r.start()
	s.Kill()
	if err := s.Wait(t.Context()); !errors.Is(err, ErrKilled) {
		t.Errorf("Wait: %v", err)
	}
	r.end(s)
}

// What a node used that was killed is in the report: as last seen.
func TestReportOfTheKilled(t *testing.T) {
	r := newRig(t, 100)
	r.mid.die, r.mid.exit = "process", 137
	r.config.Note = func(node, state string) {
		if node == "mid" && state == StateLoading {
			putUsage(t, r.config.Dir, "mid", sample(1, 5e9, 90<<20, 98<<20, 99<<20, 0, 0, 512<<20, 1e9))
		}
	}
	s := r.start()
	_ = s.Wait(t.Context())
	r.end(s)
	nodes := s.Report().Nodes
	i := slices.IndexFunc(nodes, func(n NodeReport) bool { return n.Node == "mid" })
	if i < 0 || nodes[i].CPUS != 1 || nodes[i].MemoryPeak != 98<<20 {
		t.Errorf("got %+v", nodes)
	}
}

// Who dies after another node has failed is told to have followed from it.
func TestCrashFollows(t *testing.T) {
	r := newRig(t, 100)
	r.mid.die, r.mid.exit = "exit", 42
	r.config.Nodes[2].Run = func(ctx context.Context, p *node.Ports) error {
		f, err := p.Receive(ctx)
		if err != nil {
			return err
		}
		f.Release()
		return errors.New("no more room")
	}
	told := r.crashed()
	if len(told) != 1 || told[0].Node != "mid" || told[0].First || told[0].Follows != "node out" || told[0].ExitCode != 42 {
		t.Fatalf("told: %+v", told)
	}
	var b bytes.Buffer
	if err := told[0].Text(&b); err != nil || !strings.Contains(b.String(), "order    followed from node out\n") {
		t.Errorf("%v: %s", err, b.String())
	}
}

// A node that is started again is told of each time, with the count.
func TestCrashesOfRestarts(t *testing.T) {
	r := newRig(t, 100)
	r.again(Restart{Policy: "on-failure", MaxAttempts: 2})
	r.mid.die, r.mid.exit = "process", 139
	told := r.crashed()
	var restarts []int
	for _, c := range told {
		restarts = append(restarts, c.Restart)
	}
	if len(told) != 3 || restarts[0] != 1 || restarts[1] != 2 || restarts[2] != 0 || !told[2].First {
		t.Fatalf("restarts: %v", restarts)
	}
	// The fake's lines have one time: what comes after the first death is known.
	if len(told[0].Log) == 0 || len(told[1].Log) > 0 || len(told[2].Log) > 0 {
		t.Errorf("logs of three processes: %q, %q, %q: a line is of the one that wrote it", told[0].Log, told[1].Log, told[2].Log)
	}
}

func TestExitWords(t *testing.T) {
	for code, want := range map[int]string{126: "cannot be executed", 127: "not in the image", 132: "processor", 134: "gave up", 135: "SIGBUS", 139: "SIGSEGV", 131: "SIGQUIT", 42: "its own code", -1: "not known"} {
		if got := exitWords(code, false, false); !strings.Contains(got, want) {
			t.Errorf("%d: %s", code, got)
		}
	}
	if a, b, c := exitWords(137, true, false), exitWords(137, false, true), exitWords(137, false, false); a == b || b == c || a == c {
		t.Error("out of memory, an exit and a kill are not told apart")
	}
}

func TestAdviceWhenTheEngineDoesNotSay(t *testing.T) {
	u := &Usage{Limit: 100 << 20, Memory: 96 << 20}
	if got := advice(&Crash{ExitCode: 137, Signal: "SIGKILL", Usage: u}); !strings.Contains(got, "may have been its memory") || !strings.Contains(got, "memory_mb: 192") {
		t.Errorf("near: %s", got)
	}
	u.Memory = 20 << 20
	if got := advice(&Crash{ExitCode: 137, Signal: "SIGKILL", Usage: u}); got != "" {
		t.Errorf("far: %s", got)
	}
}

func TestCrashText(t *testing.T) {
	seven, sixteen := uint64(7), uint64(16)
	at := time.Date(2026, 1, 2, 3, 4, 5, 600e6, time.UTC)
	c := Crash{
		ID: "20260102-030405.600-asr", Time: at, Project: "captions", Session: "main", Node: "asr", Source: "pipeline.yaml:14:9", Container: "captions-asr-1",
		LivedS: 12.34, Cause: "ValueError: no", ExitCode: 1, Exit: exitWords(1, false, true), Phase: "process", Port: "input", Sequence: &seven,
		Traceback: "Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: no\x1b[31m\n", Advice: "do better", First: true,
		Usage: &Usage{Time: at.Add(-120 * time.Millisecond), Memory: 90 << 20, MemoryMost: 97 << 20, Frames: 30 << 20, Files: 1 << 20, Limit: 128 << 20, CPUS: 3.2, CPUMost: 0.97, Throttled: 0.34},
		Ports: []CrashPort{
			{Session: "main", Direction: "in", Port: "input", Peer: "src.output", Last: &seven, Waiting: 4, Dropped: 2}, {Session: "main", Direction: "in", Port: "side", Peer: "x.y"},
			{Session: "main", Direction: "out", Port: "output", Last: &sixteen}, {Session: "s2", Direction: "out", Port: "output", Last: &seven},
		},
		Log: []string{"one", "two"},
	}
	var b bytes.Buffer
	if err := c.Text(&b); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(b.String(), at.Local().Format("2006-01-02 15:04:05.000"), "TIME", 1)
	golden(t, filepath.Join("testdata", "crash.txt"), text)
	c.GoesOn, c.Exit, c.Container, c.Session = true, "the process goes on", strings.Repeat("0123456789abcdef", 4), "s2"
	b.Reset()
	if err := c.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"container 0123456789ab, session s2\n", "exit     none: the process goes on\n", "  output   output: last sent frame 7\n"} {
		if !strings.Contains(b.String(), line) || strings.Contains(b.String(), "  input ") {
			t.Errorf("no %q in %s", line, b.String())
		}
	}
}

func TestThrottled(t *testing.T) {
	r := Report{Nodes: []NodeReport{
		{Node: "a", Usage: &Usage{Throttled: 0.34, ThrottledS: 2, CPUMost: 0.5, Periods: 100}},
		{Node: "b", Usage: &Usage{Throttled: 0.01, Periods: 100}}, {Node: "c", Usage: &Usage{Throttled: 1, Periods: 3}}, {Node: "d"},
	}}
	if got := strings.Join(r.throttled(), "\n"); got != "a: held back by its CPU limit in 34 % of the time, 2.0s in all; it used at most 0.50 cores" {
		t.Errorf("got %s", got)
	}
}

// golden holds a text to a file of testdata.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if update() {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
