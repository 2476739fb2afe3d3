package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// project is a project's name of its own.
func project(name string) string { return fmt.Sprintf("mncli-%s-%d", name, os.Getpid()) }

// uid is that of the containers.
func uid() int {
	if os.Getuid() == 0 {
		return 1000
	}
	return os.Getuid()
}

// stage is a directory with a pipeline and its nodes.
type stage struct {
	t       *testing.T
	dir     string
	project string
	state   string
	env     []string
}

// newStage makes a stage; the test is skipped where no engine answers. Nothing
// of the project may be there when the test ends.
func newStage(t *testing.T, name, pipeline string) *stage {
	t.Helper()
	needEngine(t)
	s := &stage{t: t, dir: t.TempDir(), project: project(name), state: t.TempDir()}
	s.env = append(os.Environ(), "XDG_STATE_HOME="+s.state, "DOCKER_CONFIG="+dockerConfig(t),
		"REMOTEMEDIA_IMAGE_CACHE_PATH="+filepath.Join(t.TempDir(), "image_cache.db"))
	if err := os.CopyFS(filepath.Join(s.dir, "nodes"), os.DirFS("testdata/nodes")); err != nil {
		t.Fatal(err)
	}
	s.write("pipeline.yaml", fmt.Sprintf("version: v1\nmetadata: {name: %s}\n%s", s.project, pipeline))
	t.Cleanup(func() {
		leftovers(t, s.project)
		if len(found(t, s.project)) > 0 {
			t.Logf("down: %s", s.medianode("down", "-p", s.project))
		}
	})
	return s
}

func needEngine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: runs containers, which -short leaves out")
	}
	if !answers() {
		t.Skip("skipped: no Docker engine")
	}
}

// dockerConfig is a copy of the Docker CLI's configuration in which the plugin
// is the code under test.
func dockerConfig(t *testing.T) string {
	t.Helper()
	own := os.Getenv("DOCKER_CONFIG")
	if own == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		own = filepath.Join(home, ".docker")
	}
	dir := t.TempDir()
	for _, name := range []string{"config.json", "contexts"} {
		if _, err := os.Stat(filepath.Join(own, name)); err == nil {
			if err := os.Symlink(filepath.Join(own, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	binary, err := exec.LookPath("docker-medianode")
	if err != nil {
		t.Fatal(err)
	}
	plugins := filepath.Join(dir, "cli-plugins")
	if err := errors.Join(os.Mkdir(plugins, 0o755), os.Symlink(binary, filepath.Join(plugins, "docker-medianode"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *stage) has(name string) bool {
	_, err := os.Stat(filepath.Join(s.dir, name))
	return err == nil
}

// medianode runs a verb to its end.
func (s *stage) medianode(args ...string) result {
	s.t.Helper()
	return s.start("docker-medianode", args...).end(3 * time.Minute)
}

// up runs the pipeline to its end.
func (s *stage) up(args ...string) result {
	s.t.Helper()
	return s.medianode(append([]string{"up", "--progress", "plain"}, args...)...)
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	var bad bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stderr = &bad
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, &bad)
	}
	return strings.TrimSpace(string(out))
}

// leftovers fails the test if anything of a project is still on the machine.
func leftovers(t *testing.T, project string) {
	t.Helper()
	var left []string
	if !eventually(5*time.Second, func() bool {
		left = found(t, project)
		return len(left) == 0
	}) {
		t.Errorf("project %s left behind:\n%s", project, strings.Join(left, "\n"))
	}
}

// found is everything of a project that is on the machine: containers, volumes
// and networks by compose's label, shared memory, lock and iceoryx2's files by
// name.
func found(t *testing.T, project string) []string {
	t.Helper()
	var all []string
	for _, list := range [][]string{
		{"ps", "--all", "--format", "container {{.Names}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"},
		{"network", "ls", "--format", "network {{.Name}}"},
	} {
		text := docker(t, append(list, "--filter", "label=com.docker.compose.project="+project)...)
		all = append(all, slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" })...)
	}
	dir, d := runtime.Directory(uid(), project), channel.NewDomain(uid(), project)
	for _, pattern := range []string{dir, dir + ".lock", d.Root, "/dev/shm/" + d.Prefix + "*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, files...)
	}
	return all
}

// eventually looks until what it looks for is true, or the time is over.
func eventually(limit time.Duration, holds func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for !holds() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// counted are the numbers 0, 1, 2 … of a file, a line each; what is between
// them is an error.
func (s *stage) counted(name string) int {
	s.t.Helper()
	n := 0
	for line := range strings.Lines(s.read(name)) {
		if line != strconv.Itoa(n)+"\n" {
			s.t.Fatalf("%s: line %d is %q", name, n, line)
		}
		n++
	}
	return n
}

// chain is the pipeline source → middle → file; more are lines of the nodes.
func chain(source, middle string) string {
	return fmt.Sprintf(`nodes:
  - id: src
    node_type: app:%s
    outputs: {output: {max_frame: 4KiB}}
    docker: {source: ./nodes, resource_limits: {memory_mb: 128}}
  - id: mid
    node_type: app:%s
    outputs: {output: {max_frame: 4KiB}}
    docker: {source: ./nodes, resource_limits: {memory_mb: 128}}
  - {id: out, node_type: TextFileSink, params: {path: out.txt}}
connections:
  - {from: src, to: mid}
  - {from: mid, to: out}
`, source, middle)
}

// single is the pipeline source → file.
func single(source string) string {
	return fmt.Sprintf(`nodes:
  - id: src
    node_type: app:%s
    outputs: {output: {max_frame: 4KiB}}
    docker: {source: ./nodes, resource_limits: {memory_mb: 128}}
  - {id: out, node_type: TextFileSink, params: {path: out.txt}}
connections:
  - {from: src, to: out}
`, source)
}
