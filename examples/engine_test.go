package examples_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// upLimit is how long an example may take with all its images to build.
const upLimit = 15 * time.Minute

// example is a copy of an example's directory, with a project name of its own.
type example struct {
	dir     string
	project string
	binary  string
}

// start copies an example.
func start(t *testing.T, name string) example {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	return startIn(t, name, dir)
}

// startIn sees to it that the project of a directory is gone after the test,
// whatever the test did.
func startIn(t *testing.T, name, dir string) example {
	t.Helper()
	e := example{dir: dir, binary: plugin(t)}
	e.project = "example-" + name + "-" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() {
		if len(found(t, e.project)) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if r := run(ctx, t, e.dir, e.binary, "down", "-p", e.project); r.code != 0 {
			t.Logf("down: %s", r)
		}
	})
	return e
}

// plugin is the built plugin; the test is skipped where it or the engine is missing.
func plugin(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: builds images, which -short leaves out")
	}
	binary := os.Getenv("MEDIANODE_BIN")
	if binary == "" {
		binary = filepath.Join("..", "bin", "docker-medianode")
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skipf("skipped: no plugin, build it or set MEDIANODE_BIN: %v", err)
	}
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skipf("skipped: no docker CLI: %v", err)
	}
	if r := run(t.Context(), t, ".", "docker", "version", "--format", "{{.Server.Version}}"); r.code != 0 {
		t.Skipf("skipped: no engine answers: %s", r)
	}
	return binary
}

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
}

// String is everything, for a failure's message.
func (r result) String() string {
	return "exit code " + strconv.Itoa(r.code) + "\n--- stdout\n" + r.stdout + "--- stderr\n" + r.stderr
}

func run(ctx context.Context, t *testing.T, dir, name string, args ...string) result {
	t.Helper()
	var out, bad bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &bad
	// Killed by the limit only after a chance to clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: bad.String()}
}

// medianode runs a verb of the plugin on the example, to exit code 0.
func (e example) medianode(t *testing.T, verb string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), upLimit)
	defer cancel()
	r := run(ctx, t, e.dir, e.binary, append([]string{verb, "-p", e.project}, args...)...)
	if r.code != 0 {
		t.Fatalf("%s: %s", verb, r)
	}
	return r
}

// up runs the example to its end, after which nothing of it may be left.
func (e example) up(t *testing.T) result {
	t.Helper()
	began := time.Now()
	r := e.medianode(t, "up")
	t.Logf("up took %s", time.Since(began).Round(10*time.Millisecond))
	leftovers(t, e.project)
	return r
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t.Context(), t, ".", "docker", args...)
	if r.code != 0 {
		t.Fatalf("docker %s: %s", strings.Join(args, " "), r)
	}
	return strings.TrimSpace(r.stdout)
}

// leftovers fails the test if anything of a project is still on the machine.
func leftovers(t *testing.T, project string) {
	t.Helper()
	var left []string
	gone := eventually(t, 10*time.Second, func() bool {
		left = found(t, project)
		return len(left) == 0
	})
	if !gone {
		t.Errorf("project %s left behind:\n%s", project, strings.Join(left, "\n"))
	}
}

// found is everything of a project that is on the machine: containers, volumes
// and networks by compose's label, shared memory and iceoryx2's files by name.
func found(t *testing.T, project string) []string {
	t.Helper()
	var all []string
	label := "label=com.docker.compose.project=" + project
	for _, list := range [][]string{
		{"ps", "--all", "--format", "container {{.Names}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"},
		{"network", "ls", "--format", "network {{.Name}}"},
	} {
		r := run(context.Background(), t, ".", "docker", append(list, "--filter", label)...)
		if r.code != 0 {
			t.Fatalf("docker %s: %s", strings.Join(list, " "), r)
		}
		all = append(all, slices.DeleteFunc(strings.Split(r.stdout, "\n"), func(s string) bool { return s == "" })...)
	}
	patterns := []string{"/dev/shm/medianode-*/" + project}
	for _, uid := range []int{os.Getuid(), 1000} { // root's containers run as 1000
		d := channel.NewDomain(uid, project)
		patterns = append(patterns, d.Root, "/dev/shm/"+d.Prefix+"*")
	}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	links, err := filepath.Glob("/tmp/mn-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && slices.Contains(strings.Split(to, "/"), project) {
			all = append(all, link+" -> "+to)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// eventually looks until what it looks for is true, or the time is over.
func eventually(t *testing.T, limit time.Duration, holds func() bool) bool {
	t.Helper()
	deadline := time.After(limit)
	for !holds() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			return false
		}
	}
	return true
}
