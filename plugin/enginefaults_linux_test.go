package plugin_test

import (
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/enginetest"
)

// ownEngine starts an engine that has the images of the tests' nodes, and lets
// everything in this test use it.
func ownEngine(t *testing.T, settings map[string]any) *enginetest.Engine {
	t.Helper()
	s := newStage(t, "ownengine", chain("Endless", "Echo"))
	s.medianode("build").is(t, 0)
	images := regexp.MustCompile(`medianode/(src|mid):[0-9a-f]{12}`).FindAllString(s.medianode("plan").stdout, -1)
	if len(images) == 0 {
		t.Fatal("plan names no images")
	}
	e := enginetest.New(t, settings)
	e.Load(images...)
	t.Setenv("DOCKER_HOST", e.Host)
	return e
}

// more waits until a sink's file has grown by some hundred bytes: frames flow.
func (p *process) more(s *stage, file string) {
	p.t.Helper()
	size := func() int { return len(s.read(file + ".partial")) }
	before := size()
	p.until("more frames in "+file, func() bool { return size() > before+300 })
}

// logged waits until a line of the log is shown that was written from now on.
func (p *process) logged() {
	p.t.Helper()
	last := func() int {
		text := p.said().stderr
		_, text, _ = strings.Cut(text[max(0, strings.LastIndex(text, "| echo ")):], "echo ")
		number, _, _ := strings.Cut(text, "\n")
		n, _ := strconv.Atoi(number) // cut while it is written: the next look tells
		return n
	}
	before := last()
	p.until("new lines of the log", func() bool { return last() > before+100 })
}

// The engine is away while a pipeline runs.
func TestEngineAway(t *testing.T) {
	e := ownEngine(t, nil)
	pipeline := chain("Endless", "Echo")
	run := func(name string, test func(*testing.T, *stage, *process)) {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "away-"+name, pipeline)
			p := s.start("docker-medianode", "up")
			p.flows(s, "out.txt")
			test(t, s, p)
		})
	}
	// It takes connections and does not answer. Data flows, Ctrl-C ends the run,
	// and every command says what is the matter.
	run("frozen", func(t *testing.T, s *stage, p *process) {
		e.Signal(enginetest.Dockerd, syscall.SIGSTOP)
		thaw := func() { e.Signal(enginetest.Dockerd, syscall.SIGCONT) }
		defer thaw()
		p.more(s, "out.txt")
		other := s.start("docker-medianode", "down", "-p", "nothing-of-the-kind")
		began := time.Now()
		p.interrupt()
		r := p.end(stopLimit)
		r.is(t, 130, "remove project (docker medianode down -p "+s.project+" does it too)", "has not answered for")
		t.Logf("ended %s after Ctrl-C", time.Since(began).Round(time.Millisecond))
		if s.counted("out.txt") == 0 || strings.Contains(r.stdout, "killed") {
			t.Errorf("%s", r)
		}
		other.end(stopLimit).is(t, 1, "no Docker engine answers at "+e.Host)
		thaw()
		s.medianode("down", "-p", s.project).is(t, 0)
	})
	// Without live-restore the engine ends the containers, each by SIGTERM.
	run("stopped", func(t *testing.T, s *stage, p *process) {
		e.Restart(nil)
		began := time.Now()
		r := p.end(10 * time.Second)
		r.is(t, 0, "the engine's events ended")
		t.Logf("ended %s after the engine was back, %d frames", time.Since(began).Round(time.Millisecond), s.counted("out.txt"))
	})
	live := map[string]any{"live-restore": true}
	e.Restart(live)
	// With it containers outlive the engine: the run goes on, its log too, and
	// what happens afterwards is seen.
	run("restarted", func(t *testing.T, s *stage, p *process) {
		e.Restart(live)
		p.says("the engine answers again")
		p.more(s, "out.txt")
		p.logged()
		docker(t, "kill", s.project+"-mid-1")
		p.end(10*time.Second).is(t, 1, "mid: killed by SIGKILL")
	})
	run("killed", func(t *testing.T, s *stage, p *process) {
		e.Signal(enginetest.Dockerd, syscall.SIGKILL)
		p.says("the engine answers again")
		p.more(s, "out.txt")
		p.logged()
		p.interrupt()
		p.end(stopLimit).is(t, 130)
	})
	// Who held a container's output and reaped it is gone: the container ends.
	run("shim", func(t *testing.T, s *stage, p *process) {
		e.Signal(enginetest.Shim, syscall.SIGKILL)
		began := time.Now()
		r := p.end(10 * time.Second)
		r.is(t, 1, "node ")
		t.Logf("ended %s after its shims: %s", time.Since(began).Round(time.Millisecond), r.stdout[strings.Index(r.stdout, "error:"):])
	})
	// Its containers go on, and dockerd never hears of their ends: it needs 10 s
	// to remove each. A death is noticed by shared memory all the same.
	run("containerd", func(t *testing.T, s *stage, p *process) {
		pid := docker(t, "inspect", "--format", "{{.State.Pid}}", s.project+"-mid-1")
		e.Signal(enginetest.Containerd, syscall.SIGKILL)
		p.more(s, "out.txt")
		e.Inside("kill", "-KILL", pid)
		began := time.Now()
		p.end(time.Minute).is(t, 1, "node mid: ")
		t.Logf("ended %s after the death", time.Since(began).Round(time.Millisecond))
	})
	// It may be away for longer. A start that it cannot do uses up no attempt.
	pipeline = strings.ReplaceAll(pipeline, "source: ./nodes", "source: ./nodes, restart: {policy: on-failure, max_attempts: 1}")
	run("containerd-start", func(t *testing.T, s *stage, p *process) {
		comeBack := e.Withhold(enginetest.Containerd)
		defer comeBack()
		p.signal(syscall.SIGSTOP) // it sees the death when there is no containerd any more
		docker(t, "kill", s.project+"-mid-1")
		e.Signal(enginetest.Containerd, syscall.SIGKILL)
		p.signal(syscall.SIGCONT)
		p.says("restart 1 of 1")
		p.says("node mid: waits to be started: ")
		comeBack()
		p.more(s, "out.txt")
		p.interrupt()
		p.end(stopLimit).is(t, 130)
	})
	// A node that dies meanwhile runs as dockerd sees it, which would not start it.
	run("containerd-restart", func(t *testing.T, s *stage, p *process) {
		pid := docker(t, "inspect", "--format", "{{.State.Pid}}", s.project+"-mid-1")
		e.Signal(enginetest.Containerd, syscall.SIGKILL)
		e.Inside("kill", "-KILL", pid)
		began := time.Now()
		p.says("restart 1 of 1")
		p.more(s, "out.txt")
		t.Logf("frames flowed again %s after the death", time.Since(began).Round(time.Millisecond))
		p.interrupt()
		p.end(stopLimit).is(t, 130)
	})
}
