package plugin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"github.com/medianode/docker-medianode/runtime"
)

// What a running project shows to another process.
func TestViews(t *testing.T) {
	pipeline := chain("Endless", "Echo")
	pipeline = strings.Replace(pipeline, "app:Echo\n    outputs: {output: {max_frame: 4KiB}}\n    docker: {", "app:Echo\n    outputs: {output: {max_frame: 4KiB}}\n    docker: {restart: {policy: on-failure}, ", 1)
	s := newStage(t, "views", pipeline)
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")

	t.Run("stats", func(t *testing.T) {
		r := s.medianode("stats", "-p", s.project, "--no-stream", "--format", "json")
		r.is(t, 0)
		var got runtime.Stats
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Fatalf("%v: %s", err, r)
		}
		if len(got.Nodes) != 3 || len(got.Connections) != 2 {
			t.Fatalf("got %+v", got)
		}
		for _, n := range got.Nodes[:2] {
			if !n.Known || !n.Container || n.State != "running" || n.Limit != 128<<20 || n.Memory == 0 || n.Frames == 0 || n.Frames > n.Memory {
				t.Errorf("node: %+v", n)
			}
		}
		if n := got.Nodes[2]; n.Node != "out" || n.Known || n.State != "running" {
			t.Errorf("node: %+v", n)
		}
		for _, c := range got.Connections {
			if c.Rate < 10 || c.Rate > 250 || c.P50 == 0 || c.P99 < c.P50 || c.Capacity == 0 || c.Session != "main" {
				t.Errorf("connection: %+v", c)
			}
		}
		r = s.medianode("stats", "-p", s.project, "--no-stream")
		r.is(t, 0)
		if !strings.Contains(r.stdout, "src.output → mid.input") || strings.Contains(r.stdout, "\x1b") {
			t.Errorf("%s", r)
		}
		t.Log(r.stdout)
		r = s.medianode("stats", "-p", s.project, "--no-stream", "out")
		r.is(t, 0)
		if strings.Contains(r.stdout, "src") || !strings.Contains(r.stdout, "mid.output → out.input") || strings.Contains(r.stdout, "\nmid") {
			t.Errorf("%s", r)
		}
		s.medianode("stats", "-p", s.project, "nobody").is(t, 1, "the pipeline has no node nobody: it has src, mid, out")
	})
	t.Run("stats in a terminal", func(t *testing.T) {
		w := s.startTerminal("docker-medianode", "stats", "-p", s.project, "--interval", "200ms")
		w.until("is drawn twice", func() bool { return strings.Count(w.said().stderr, "\x1b[H") >= 2 })
		w.press()
		if r := w.end(10 * time.Second); r.code != 0 || !strings.HasSuffix(r.stderr, "\n") {
			t.Errorf("%s", r)
		}
	})
	t.Run("stats in a small terminal", func(t *testing.T) {
		w := s.startTerminal("docker-medianode", "stats", "-p", s.project, "--interval", "200ms")
		if err := pty.Setsize(w.tty, &pty.Winsize{Rows: 6, Cols: 40}); err != nil {
			t.Fatal(err)
		}
		w.until("it says that the terminal is too low", func() bool { return strings.Contains(w.said().stderr, "… 4 lines more: the terminal is") })
		w.press()
		r := w.end(10 * time.Second)
		looks := strings.Split(r.stderr, "\x1b[H")
		for line := range strings.Lines(looks[len(looks)-1]) {
			if n := utf8.RuneCountInString(strings.NewReplacer("\x1b[K", "", "\r\n", "", "\x1b[J", "").Replace(line)); n > 40 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	})
	t.Run("exec", func(t *testing.T) {
		r := s.medianode("exec", "-p", s.project, "mid", "sh", "-c", "id -u; exit 7")
		r.is(t, 7)
		if r.stdout != fmt.Sprintln(uid()) || r.stderr != "" {
			t.Errorf("%s", r)
		}
		s.medianode("exec", "-p", s.project, "out", "true").is(t, 1, "node out is built in (TextFileSink): it has no container")
		s.medianode("exec", "-p", s.project, "nobody", "true").is(t, 1, "the pipeline has no node nobody: it has src, mid, out")
		s.medianode("exec", "-it", "-p", s.project, "mid", "true").is(t, 0)
		w := s.startTerminal("docker-medianode", "exec", "-p", s.project, "mid", "python", "-c", "import sys; print('tty', sys.stdin.isatty())")
		if r := w.end(20 * time.Second); !strings.Contains(r.stderr, "tty True") {
			t.Errorf("%s", r)
		}
		w = s.startTerminal("docker-medianode", "exec", "-t=false", "-p", s.project, "mid", "python", "-c", "import sys; print('tty', sys.stdin.isatty())")
		if r := w.end(20 * time.Second); !strings.Contains(r.stderr, "tty False") {
			t.Errorf("%s", r)
		}
	})
	// Children that nobody waits for are the init's, which each container has.
	t.Run("orphans", func(t *testing.T) {
		r := s.medianode("exec", "-p", s.project, "mid", "sh", "-c", `for i in 1 2 3; do (sleep 0.1 &); done; sleep 1; cat /proc/1/comm; grep -l "^State:.Z" /proc/[0-9]*/status`)
		if r.stdout != "docker-init\n" {
			t.Errorf("%s", r)
		}
	})
	t.Run("logs of one", func(t *testing.T) {
		r := s.medianode("logs", "-p", s.project, "mid", "--tail", "2")
		r.is(t, 0)
		if strings.Count(r.stdout, "mid | echo ") != 2 {
			t.Errorf("%s", r)
		}
		r = s.medianode("logs", "-p", s.project, "src")
		r.is(t, 0)
		if strings.Contains(r.stdout, "mid |") {
			t.Errorf("%s", r)
		}
		s.medianode("logs", "-p", s.project, "nobody").is(t, 1, "the pipeline has no node nobody")
		for option, want := range map[string]string{
			"--since=yesterday": `--since "yesterday": want a time as in 2026-01-02T15:04:05Z, or how long ago as in 10m`,
			"--tail=few":        `--tail "few": want a number of lines, or all`,
			"-f":                "-f names the pipeline file, to follow write --follow",
		} {
			s.medianode("logs", "-p", s.project, option).is(t, 2, want)
		}
		if r := s.medianode("logs", "-p", s.project, "mid", "--since", "1s"); r.code != 0 || !strings.Contains(r.stdout, "mid | echo ") {
			t.Errorf("%s", r)
		}
		s.medianode("logs", "-p", s.project+"-none").is(t, 0, "has no containers, and so no logs")
	})
	t.Run("after a restart", func(t *testing.T) {
		docker(t, "kill", s.project+"-mid-1")
		p.says("restart 1 of 5")
		var list []struct {
			Node, State, Phase, Source string
			Restarts                   int
		}
		p.until("ps shows the restart", func() bool {
			r := s.medianode("ps", "-p", s.project, "--format", "json")
			if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
				t.Fatalf("%v: %s", err, r)
			}
			return len(list) == 2 && list[1].Restarts == 1 && list[1].Phase == "running"
		})
		if c := list[1]; c.Node != "mid" || c.State != "running" || c.Source != "pipeline.yaml:8:5" {
			t.Errorf("ps: %+v", c)
		}
		if c := s.crashes(); len(c) != 1 || c[0].Restart != 1 || c[0].Signal != "SIGKILL" || c[0].OOM {
			t.Errorf("crashes: %+v", c)
		}
	})
	p.signal(syscall.SIGINT)
	p.end(stopLimit).is(t, 130)
	s.medianode("stats", "-p", s.project).is(t, 1, "project "+s.project+" does not run")
	s.medianode("exec", "-p", s.project, "mid", "true").is(t, 1, "node mid of project "+s.project+" does not run")
}

// A node that floods its log slows neither its frames nor the others', fills no
// disk, and no memory of this command.
func TestFlood(t *testing.T) {
	s := newStage(t, "flood", chain("Paced", "Torrent"))
	p := s.start("docker-medianode", "up", "--format", "json")
	p.flows(s, "out.txt")
	if got := docker(t, "inspect", "--format", "{{.HostConfig.LogConfig}}", s.project+"-mid-1"); got != "{local map[max-file:3 max-size:10m]}" {
		t.Errorf("log of the container: %s", got)
	}
	r := p.end(stopLimit)
	if r.code != 0 || s.counted("out.txt") != 600 {
		t.Fatalf("exit code %d, %d frames", r.code, s.counted("out.txt"))
	}
	var report runtime.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	written := 0.0
	for _, n := range report.Nodes {
		for _, m := range n.Metrics {
			written = m.Value
		}
	}
	for _, c := range report.Connections {
		if c.Frames != 600 || c.Dropped != 0 || c.Rate < 150 {
			t.Errorf("%+v", c)
		}
	}
	if written < 10<<20 {
		t.Errorf("%.0f bytes are no flood", written)
	}
	if !utf8.ValidString(r.stderr) || strings.Contains(r.stderr, "\x1b") {
		t.Error("stderr has what a terminal should not get")
	}
	usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || usage.Maxrss > 200<<10 { // KiB
		t.Errorf("the command took %d KiB", usage.Maxrss)
	}
	t.Logf("%.0f MB/s into the log, %d MB of it read, frames at %.1f/s, p99 %s, %d KiB", written/report.RunS/1e6, len(r.stderr)>>20,
		report.Connections[0].Rate, time.Duration(report.Connections[0].P99), usage.Maxrss)
}
