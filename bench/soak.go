//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

const (
	soakRate   = 30              // frames a second
	soakEvery  = 5 * time.Second // between two samples of memory
	soakWarmUp = 0.2             // of the run, before memory has to be flat
	// After the warm-up a process's memory stays within soakSpread, and its last
	// third is not above its first by more than soakDrift: what leaks a byte a
	// frame would pass, what leaks a header a frame does not. A drift needs some
	// samples to be told from a page more here or there.
	soakSpread  = 8 << 20
	soakDrift   = 1 << 20
	soakSamples = 12
)

// soak runs bench/soak for so long, and fails if a frame was lost, memory
// grew, or something is left.
func soak(ctx context.Context, w io.Writer, length time.Duration) error {
	_, err := soakMemory(ctx, w, length)
	return err
}

// soakMemory is soak, and what memory was used.
func soakMemory(ctx context.Context, w io.Writer, length time.Duration) (*memory, error) {
	project := "soak-" + strconv.Itoa(os.Getpid())
	dir, err := os.MkdirTemp("", project)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	frames := int(length.Seconds() * soakRate)
	if err := soakPipeline(dir, frames); err != nil {
		return nil, err
	}
	if out, err := docker(ctx, dir, "medianode", "build", "-p", project, "--progress", "quiet"); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	fmt.Fprintf(w, "soak: %d frames of 1920x1080 rgb24 at %d/s, camera → negative → nowhere, %s\n", frames, soakRate, length)

	var stdout, stderr bytes.Buffer
	up := exec.CommandContext(ctx, "docker", "medianode", "up", "-p", project, "--format", "json")
	up.Dir, up.Stdout, up.Stderr = dir, &stdout, &stderr
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	up.WaitDelay = time.Minute
	if err := up.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	memory := newMemory(project, 2, up.Process.Pid)
	err = memory.watch(ctx, ended)
	if err != nil {
		err = fmt.Errorf("up: %w\n%s", err, tail(stderr.String(), 20))
	}
	return memory, errors.Join(err,
		checkFrames(w, stdout.Bytes(), frames),
		memory.check(w),
		checkNothingLeft(ctx, w, project),
	)
}

// soakPipeline copies the pipeline with the number of frames that is wanted.
func soakPipeline(dir string, frames int) error {
	from, err := benchDir("soak")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return err
	}
	path := filepath.Join(dir, "pipeline.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := bytes.Replace(text, []byte("frames: 600,"), fmt.Appendf(nil, "frames: %d,", frames), 1)
	if bytes.Equal(changed, text) && frames != 600 {
		return errors.New("soak: pipeline.yaml has no place for the number of frames")
	}
	return os.WriteFile(path, changed, 0o600)
}

// report is what is wanted of the report of up.
type report struct {
	State       string  `json:"state"`
	StartupS    float64 `json:"startup_s"`
	RunS        float64 `json:"run_s"`
	Connections []struct {
		From     string  `json:"from"`
		To       string  `json:"to"`
		Frames   uint64  `json:"frames"`
		Dropped  uint64  `json:"dropped"`
		P50      uint64  `json:"latency_p50_ns"`
		P99      uint64  `json:"latency_p99_ns"`
		BlockedS float64 `json:"blocked_s"`
	} `json:"connections"`
	Nodes []struct {
		Node string  `json:"node"`
		CPUS float64 `json:"cpu_s"`
	} `json:"nodes"`
}

func checkFrames(w io.Writer, text []byte, frames int) error {
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var err error
	if r.State != "ended" {
		err = fmt.Errorf("report: the session %s", r.State)
	}
	t := newTable("connection", "frames", "dropped", "rate", "p50", "p99", "blocked")
	for _, c := range r.Connections {
		t.row(c.From+" → "+c.To, c.Frames, c.Dropped, fmt.Sprintf("%.2f/s", float64(c.Frames)/r.RunS),
			time.Duration(c.P50), time.Duration(c.P99), fmt.Sprintf("%.3f s", c.BlockedS))
		if c.Frames != uint64(frames) || c.Dropped != 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d frames of %d, %d dropped", c.To, c.Frames, frames, c.Dropped))
		}
	}
	t.print(w)
	for _, n := range r.Nodes {
		if n.CPUS > 0 {
			fmt.Fprintf(w, "%s: %.1f %% of a core\n", n.Node, 100*n.CPUS/(r.RunS+r.StartupS))
		}
	}
	if len(r.Connections) != 2 {
		err = errors.Join(err, fmt.Errorf("report: %d connections, want 2", len(r.Connections)))
	}
	// The camera keeps its own time: what runs longer has fallen behind.
	if rate := float64(frames) / r.RunS; rate < 0.98*soakRate {
		err = errors.Join(err, fmt.Errorf("%.2f frames a second, want %d", rate, soakRate))
	}
	return err
}

// checkNothingLeft looks for what a project leaves if its end fails.
func checkNothingLeft(ctx context.Context, w io.Writer, project string) error {
	left, err := remainsOf(ctx, project, func(ctx context.Context, args ...string) (string, error) { return docker(ctx, "", args...) })
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	fmt.Fprintln(w, "left behind: nothing")
	return nil
}

// remainsOf is all that is of a project: in an engine, in shared memory, below
// /tmp, and processes that have its name in their command line.
func remainsOf(ctx context.Context, project string, docker func(context.Context, ...string) (string, error)) ([]string, error) {
	var left []string
	label := "label=com.docker.compose.project=" + project
	for _, what := range [][]string{{"ps", "-aq"}, {"volume", "ls", "-q"}, {"network", "ls", "-q"}} {
		out, err := docker(ctx, append(what, "--filter", label)...)
		if err != nil {
			return nil, err
		}
		if names := strings.Fields(out); len(names) > 0 {
			left = append(left, what[0]+" "+strings.Join(names, " "))
		}
	}
	domain := channel.NewDomain(containerUID(), project)
	dir := filepath.Join("/dev/shm", "medianode-"+strconv.Itoa(containerUID()), project)
	for _, pattern := range []string{dir, dir + ".lock", domain.Root, "/dev/shm/" + domain.Prefix + "*", "/tmp/" + domain.Prefix + "*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		left = append(left, files...)
	}
	for _, pid := range processes() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if pid != os.Getpid() && slices.Contains(strings.Split(string(line), "\x00"), project) {
			left = append(left, fmt.Sprintf("process %d %s", pid, strings.ReplaceAll(string(line), "\x00", " ")))
		}
	}
	return left, nil
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
