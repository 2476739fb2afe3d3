package plugin_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/medianode/docker-medianode/runtime"
)

// After the death of the command containers end by themselves; the next up and
// down find what is left.
func TestCommandKilled(t *testing.T) {
	for _, next := range []string{"up", "down"} {
		t.Run(next, func(t *testing.T) {
			s := newStage(t, "kill9-"+next, chain("Endless", "Echo"))
			p := s.start("docker-medianode", "up")
			p.flows(s, "out.txt")
			p.signal(syscall.SIGKILL)
			p.end(stopLimit)
			began := time.Now()
			filter := "label=com.docker.compose.project=" + s.project
			if !eventually(10*time.Second, func() bool { return docker(t, "ps", "-q", "--filter", filter) == "" }) {
				t.Errorf("containers still run: %s", docker(t, "ps", "-a", "--filter", filter))
			}
			t.Logf("containers ended after %s", time.Since(began).Round(time.Millisecond))
			if r := s.medianode("ps", "-p", s.project, "--format", "json"); r.code != 0 || !strings.Contains(r.stdout, `"sessions":[]`) {
				t.Errorf("a session is open whose process is dead: %s", r)
			}
			if next == "down" {
				s.medianode("down", "-p", s.project).is(t, 0)
				return
			}
			s.write("pipeline.yaml", strings.Replace(s.read("pipeline.yaml"), "app:Endless", "app:Few", 1))
			s.up().is(t, 0)
			if s.counted("out.txt") != 5 {
				t.Errorf("out.txt: %s", s.read("out.txt"))
			}
		})
	}
}

// While a project runs, everybody can look at it, and another up of it is told.
func TestWhileRunning(t *testing.T) {
	s := newStage(t, "running", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")

	elsewhere := newStage(t, "running", chain("Few", "Echo")) // the same project
	elsewhere.env = append(elsewhere.env, "XDG_STATE_HOME="+s.state)
	t.Run("ps", func(t *testing.T) {
		r := elsewhere.medianode("ps", "-p", s.project)
		r.is(t, 0)
		if !strings.Contains(r.stdout, "src") || !strings.Contains(r.stdout, "running") {
			t.Errorf("%s", r)
		}
		r = elsewhere.medianode("ps", "-p", s.project, "--format", "json")
		var list []runtime.Container
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != 2 || list[0].Service != "src" || list[0].State != "running" {
			t.Errorf("%v: %s", err, r)
		}
	})
	t.Run("logs", func(t *testing.T) {
		r := elsewhere.medianode("logs", "-p", s.project, "--tail", "3")
		r.is(t, 0)
		if strings.Count(r.stdout, "mid | echo ") != 3 {
			t.Errorf("%s", r)
		}
		var l runtime.LogLine
		r = elsewhere.medianode("logs", "-p", s.project, "-n", "1", "--format", "json")
		if err := json.Unmarshal([]byte(r.stdout), &l); err != nil || l.Node != "mid" {
			t.Errorf("%v: %s", err, r)
		}
	})
	t.Run("compose", func(t *testing.T) {
		if got := docker(t, "compose", "ls", "--format", "json"); !strings.Contains(got, s.project) {
			t.Errorf("compose ls: %s", got)
		}
		if got := docker(t, "compose", "-p", s.project, "ps"); !strings.Contains(got, "mid") || !strings.Contains(got, "src") {
			t.Errorf("compose ps: %s", got)
		}
		if got := docker(t, "compose", "-p", s.project, "logs", "--tail", "3", "mid"); !strings.Contains(got, "echo") {
			t.Errorf("compose logs: %s", got)
		}
	})
	t.Run("again", func(t *testing.T) {
		compose := filepath.Join(s.state, "medianode", s.project, "compose.yaml")
		before, err := os.ReadFile(compose)
		if err != nil {
			t.Fatal(err)
		}
		r := s.up()
		r.is(t, 1, "project "+s.project+" is running already: process ", filepath.Join(s.dir, "pipeline.yaml"), "--project-name")
		r = elsewhere.up()
		r.is(t, 1, "project "+s.project+" is running already: process ", filepath.Join(s.dir, "pipeline.yaml"), "--project-name")
		if after, err := os.ReadFile(compose); err != nil || string(after) != string(before) {
			t.Errorf("the compose file of the running project has changed: %v", err)
		}
	})
	t.Run("owners", func(t *testing.T) {
		for _, name := range []string{"", "shm", "iox"} {
			info, err := os.Stat(filepath.Join(runtime.Directory(uid(), s.project), name))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != uid() || info.Mode().Perm() != 0o700 {
				t.Errorf("%q: owner %d, mode %s", name, owner, info.Mode())
			}
		}
	})
	t.Run("down", func(t *testing.T) {
		if !p.running() {
			t.Fatalf("was disturbed: %s", p.said())
		}
		elsewhere.medianode("down", "-p", s.project).is(t, 0)
		p.end(stopLimit).is(t, 130)
		if s.has("out.txt.partial") || s.counted("out.txt") == 0 {
			t.Error("out.txt is not complete")
		}
	})
}

// A change that is none for the containers: no build, and the same services.
func TestCommentChangesNothing(t *testing.T) {
	s := newStage(t, "comment", single("Few"))
	s.up().is(t, 0)
	first := s.services()
	s.write("pipeline.yaml", "# a comment, which moves every line\n"+s.read("pipeline.yaml"))
	r := s.up()
	r.is(t, 0)
	if strings.Contains(r.stderr, "#") || strings.Contains(r.stderr, "build") {
		t.Errorf("builds: %s", r)
	}
	if second := s.services(); second != first {
		t.Errorf("services were\n%s\nand are\n%s", first, second)
	}
}

// services are those of the compose file in the state directory, and whatever
// else compose looks at.
func (s *stage) services() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.state, "medianode", s.project, "compose.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	var file map[string]any
	if err := yaml.Unmarshal(text, &file); err != nil {
		s.t.Fatal(err)
	}
	delete(file, "x-medianode")
	text, err = yaml.Marshal(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(text), "services:") {
		s.t.Fatalf("no services: %s", text)
	}
	return string(text)
}

// Two ups at the same moment: one runs, the other is told.
func TestAtOnce(t *testing.T) {
	s := newStage(t, "atonce", single("Few"))
	s.medianode("build").is(t, 0)
	first, second := s.start("docker-medianode", "up"), s.start("docker-medianode", "up")
	a, b := first.end(time.Minute), second.end(time.Minute)
	if a.code != 0 {
		a, b = b, a
	}
	a.is(t, 0)
	if b.code != 0 { // else it began when the other had ended
		b.is(t, 1, "is running already")
	}
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
	}
}

// Whenever the command is killed, down finds all, and the next up works.
func TestKilledAnytime(t *testing.T) {
	s := newStage(t, "killany", chain("Few", "Echo"))
	began := time.Now()
	s.up().is(t, 0)
	whole := time.Since(began)
	const steps = 6
	for i := range steps {
		after := whole * time.Duration(i+1) / (steps + 1)
		p := s.start("docker-medianode", "up")
		time.Sleep(after) // any moment will do
		if p.running() {
			_ = p.cmd.Process.Kill()
		}
		p.end(stopLimit)
		if i%2 == 0 {
			s.up().is(t, 0)
		} else {
			s.medianode("down").is(t, 0)
		}
		if left := found(t, s.project); len(left) > 0 {
			t.Errorf("killed after %s: left %v", after, left)
		}
	}
}

// Somebody else removes the containers: a failure that is told, and no hang.
func TestRemovedByCompose(t *testing.T) {
	s := newStage(t, "removed", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	docker(t, "compose", "-p", s.project, "down", "--timeout", "1")
	r := p.end(stopLimit)
	if r.code != 0 && r.code != 1 {
		t.Errorf("%s", r)
	}
	t.Logf("%s", r)
}

// A volume that somebody else holds for a moment is removed when it is free.
func TestVolumeInUse(t *testing.T) {
	s := newStage(t, "inuse", single("Endless"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	image := docker(t, "ps", "--filter", "label=com.docker.compose.project="+s.project, "--format", "{{.Image}}")
	docker(t, "run", "--detach", "--rm", "--network", "none", "--volume", s.project+"_shm:/held", "--entrypoint", "sleep", image, "1")
	p.interrupt()
	p.end(stopLimit).is(t, 130)
}

// Projects that come and go at the same time share a directory and no harm.
func TestSideBySide(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 4 {
		s := newStage(t, fmt.Sprintf("side%d", i), `nodes:
  - {id: in, node_type: TextFileSource, params: {path: in.txt}}
  - {id: out, node_type: TextFileSink, params: {path: out.txt}}
connections: [{from: in, to: out}]
`)
		s.write("in.txt", "0\n1\n")
		wait.Go(func() {
			for range 10 {
				p := exec.CommandContext(t.Context(), "docker-medianode", "up")
				p.Dir, p.Env = s.dir, s.env
				if text, err := p.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, text)
				}
			}
		})
	}
	wait.Wait()
}
