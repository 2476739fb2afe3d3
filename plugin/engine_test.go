package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// stopLimit is the longest that the end of a run may take: the stop grace, the
// engine's part, and a machine that does something else at the same time.
const stopLimit = 30 * time.Second

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

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// String is everything, for a failure's message.
func (r result) String() string {
	return fmt.Sprintf("exit code %d after %s\n--- stdout\n%s--- stderr\n%s", r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// is fails the test if the command did not exit so, or did not say so on stderr.
func (r result) is(t *testing.T, code int, said ...string) {
	t.Helper()
	for _, text := range said {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("not said: %q", text)
			code = -1
		}
	}
	if r.code != code {
		t.Errorf("want exit code %d: %s", code, r)
	}
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

// process is a command that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	began  time.Time
	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	done   chan struct{}
	tty    *os.File
	shown  chan struct{} // closed when all of the terminal has been read
}

func (s *stage) start(name string, args ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, began: time.Now(), done: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.Dir, p.cmd.Env = s.dir, s.env
	p.cmd.Stdout, p.cmd.Stderr = p.into(&p.stdout), p.into(&p.stderr)
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p.wait()
	return p
}

// startTerminal starts a command in a terminal of its own; all output is in stderr.
func (s *stage) startTerminal(name string, args ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, began: time.Now(), done: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.Dir, p.cmd.Env = s.dir, append(s.env, "TERM=xterm")
	tty, err := pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 50, Cols: 120})
	if err != nil {
		s.t.Fatal(err)
	}
	p.tty = tty
	p.shown = make(chan struct{})
	go func() {
		_, _ = io.Copy(p.into(&p.stderr), tty) // ends with the terminal
		close(p.shown)
	}()
	p.wait()
	return p
}

func (p *process) wait() {
	go func() {
		_ = p.cmd.Wait() // the state tells
		close(p.done)
	}()
	p.t.Cleanup(func() {
		if p.running() {
			p.t.Errorf("still runs: %s", p.cmd)
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if p.tty != nil {
			_ = p.tty.Close()
		}
	})
}

// into is a writer to one of the buffers.
func (p *process) into(b *bytes.Buffer) io.Writer {
	return writer(func(text []byte) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return b.Write(text)
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) said() result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return result{code: -1, stdout: p.stdout.String(), stderr: p.stderr.String(), took: time.Since(p.began)}
}

// until waits for something to become true while the command runs.
func (p *process) until(what string, holds func() bool) {
	p.t.Helper()
	ok := eventually(time.Minute, func() bool { return holds() || !p.running() })
	if !ok || !holds() {
		if p.running() {
			p.interrupt()
		}
		p.t.Fatalf("%s: never. %s", what, p.end(time.Minute))
	}
}

// says waits for a text on stderr.
func (p *process) says(text string) {
	p.t.Helper()
	p.until("says "+text, func() bool { return strings.Contains(p.said().stderr, text) })
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal: %v", err)
	}
}

func (p *process) interrupt() { p.signal(os.Interrupt) }

// press types Ctrl-C.
func (p *process) press() {
	p.t.Helper()
	if _, err := p.tty.Write([]byte{3}); err != nil {
		p.t.Error(err)
	}
}

// end waits for the command's end.
func (p *process) end(limit time.Duration) result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		r := p.said()
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		p.t.Fatalf("%s has not ended within %s: %s", p.cmd, limit, r)
	}
	if p.tty != nil {
		<-p.shown
	}
	r := p.said()
	r.code = p.cmd.ProcessState.ExitCode()
	return r
}

// flows waits until a sink's file, which has another name before its end, has
// so many bytes: the pipeline flows.
func (p *process) flows(s *stage, file string) {
	p.t.Helper()
	p.until("frames in "+file, func() bool {
		info, err := os.Stat(filepath.Join(s.dir, file+".partial"))
		return err == nil && info.Size() > 50
	})
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
