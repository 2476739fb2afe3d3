package plugin_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime"
)

// crashes are what the verb shows of a stage's project, the newest first.
func (s *stage) crashes() []runtime.Crash {
	s.t.Helper()
	r := s.medianode("crash", "-p", s.project, "--format", "json")
	r.is(s.t, 0)
	var all []runtime.Crash
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		s.t.Fatalf("%v: %s", err, r)
	}
	return all
}

// Each way to die is told apart, with what was known of the node before.
func TestCrashCards(t *testing.T) {
	tests := []struct {
		name, class string
		check       func(*testing.T, runtime.Crash)
	}{
		{"hungry", "Hungry", func(t *testing.T, c runtime.Crash) {
			if !c.OOM || c.ExitCode != 137 || !strings.Contains(c.Cause, "memory limit of 128 MiB") || !strings.HasPrefix(c.Advice, "try memory_mb: 192, then measure") {
				t.Errorf("got %+v", c)
			}
		}},
		{"abort", "Crash", func(t *testing.T, c runtime.Crash) {
			if c.OOM || c.ExitCode != 134 || c.Signal != "SIGABRT" || len(c.Log) == 0 {
				t.Errorf("got %+v", c)
			}
		}},
		{"exit137", "Exit137", func(t *testing.T, c runtime.Crash) {
			if c.OOM || c.ExitCode != 137 || !strings.Contains(c.Exit, "or ended itself with this code") || !strings.Contains(strings.Join(c.Log, "\n"), "leaving") {
				t.Errorf("got %+v", c)
			}
		}},
		{"raise", "Raise", func(t *testing.T, c runtime.Crash) {
			if c.Phase != "process" || c.Sequence == nil || *c.Sequence != 3 || !strings.Contains(c.Traceback, "no 3 here") {
				t.Errorf("got %+v", c)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, "crash-"+test.name, chain("Endless", test.class))
			r := s.up()
			r.is(t, 1, "docker medianode crash -p "+s.project+" ")
			all := s.crashes()
			if len(all) != 1 {
				t.Fatalf("%d deaths: %+v", len(all), all)
			}
			c := all[0]
			test.check(t, c)
			if c.Node != "mid" || !c.First || c.Source != "pipeline.yaml:8:9" || c.LivedS <= 0 || c.Usage == nil || c.Usage.Limit != 128<<20 || c.Usage.Memory == 0 {
				t.Errorf("got %+v, usage %+v", c, c.Usage)
			}
			if len(c.Ports) != 2 || c.Ports[0].Last == nil || c.Ports[0].Peer != "src.output" {
				t.Errorf("ports: %+v", c.Ports)
			}
			shown := s.medianode("crash", "-p", s.project)
			shown.is(t, 0)
			if !strings.HasPrefix(shown.stdout, "mid: ") || !strings.Contains(shown.stdout, "last took frame") {
				t.Errorf("%s", shown)
			}
			t.Logf("%s", shown.stdout)
		})
	}
}

// Without limits a node shows what it needs.
func TestMeasure(t *testing.T) {
	s := newStage(t, "measure", strings.Replace(chain("Few", "Sated"), "app:Few\n", "app:Few\n    params: {frames: 3}\n", 1))
	r := s.up("--measure")
	r.is(t, 0)
	_, yaml, _ := strings.Cut(r.stdout, "\nnodes:\n")
	if !strings.Contains(yaml, "id: src    # at most ") || !strings.Contains(yaml, "id: mid    # at most 6") || !strings.Contains(yaml, "memory_mb: 832") {
		t.Errorf("%s", r)
	}
	t.Log(yaml)
}

// Events tell a supervisor what the terminal tells a person.
func TestEvents(t *testing.T) {
	s := newStage(t, "events", strings.Replace(chain("Endless", "Raise"), "app:Raise\n", "app:Raise\n    params: {at: \"5\"}\n", 1))
	s.up("--events", "events.jsonl").is(t, 1)
	var states []string
	var last map[string]any
	crashed := false
	for line := range strings.Lines(s.read("events.jsonl")) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e["event"] == "state" && e["node"] == "mid" {
			states = append(states, e["state"].(string))
		}
		crashed = crashed || e["event"] == "crash" && e["crash"].(map[string]any)["node"] == "mid"
		last = e
	}
	if got := strings.Join(states, " "); got != "starting loading opening ready running failed" {
		t.Errorf("states of mid: %s", got)
	}
	report, _ := last["report"].(map[string]any)
	if !crashed || last["event"] != "end" || last["exit_code"] != 1.0 || last["state"] != "failed" || report["project"] != s.project {
		t.Errorf("crash %v, last: %v", crashed, last)
	}

	t.Run("stdout", func(t *testing.T) {
		s.write("pipeline.yaml", strings.Replace(s.read("pipeline.yaml"), "app:Endless", "app:Few", 1))
		r := s.up("--events", "-", "--set", `mid.at="none"`)
		r.is(t, 0)
		lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
		if !strings.Contains(lines[0], `"event":"begin"`) || !strings.Contains(lines[len(lines)-1], `"exit_code":0,"report":{`) || strings.Contains(r.stdout, "CONNECTION") {
			t.Errorf("%s", r)
		}
	})
	t.Run("nobody reads", func(t *testing.T) {
		s.up("--events", "/dev/full", "--set", `mid.at="none"`).is(t, 0)
		s.up("--events", filepath.Join(s.dir, "no", "directory")).is(t, 1, "--events: open ")
	})
}
