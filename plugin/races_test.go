package plugin_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime"
)

// runs says whether a process runs the project of the stage.
func (s *stage) runs() bool { return runtime.Running(uid(), s.project) != nil }

// While up builds there is nothing yet that down could remove: up goes on.
func TestDownDuringBuild(t *testing.T) {
	s := newStage(t, "downbuild", strings.Replace(single("Few"), "source: ./nodes",
		`source: ./nodes, python_packages: ["six; platform_release != '`+project("down")+`'"]`, 1))
	p := s.start("docker-medianode", "up", "--progress", "plain")
	p.says("pip install")
	s.medianode("down").is(t, 0)
	if s.runs() {
		t.Fatal("the build was over: nothing is tested")
	}
	p.end(time.Minute).is(t, 0)
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
	}
}

// From its first call to the engine on up is asked to stop, and leaves nothing.
func TestDownDuringStart(t *testing.T) {
	s := newStage(t, "downstart", chain("Few", "SlowLoad"))
	s.medianode("build").is(t, 0)
	began := time.Now()
	p := s.start("docker-medianode", "up")
	p.says("loading")
	whole := time.Since(began)
	s.medianode("down").is(t, 0)
	p.end(stopLimit).is(t, 130, "interrupted")
	const steps = 4
	for i := range steps {
		p := s.start("docker-medianode", "up")
		p.until("runs", s.runs)
		time.Sleep(whole * time.Duration(i) / steps) // any moment will do
		s.medianode("down").is(t, 0)
		p.end(stopLimit).is(t, 130, "interrupted")
		if left := found(t, s.project); len(left) > 0 {
			t.Errorf("step %d: left %v", i, left)
		}
	}
}

// Sessions whose supervisor has just died end well all the same: one of them takes
// over first.
func TestDownDuringTakeover(t *testing.T) {
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			s := manySessions(t, "downtake")
			main := s.start("docker-medianode", "up")
			main.flows(s, "main.txt")
			names := []string{"one", "two"}
			var others []*process
			for _, name := range names {
				others = append(others, s.session(name, 0))
			}
			for i, p := range others {
				p.flows(s, names[i]+".txt")
			}
			main.signal(syscall.SIGKILL)
			<-main.done
			time.Sleep(after) // is what is tested
			s.medianode("down").is(t, 0)
			for i, p := range others {
				p.end(stopLimit).is(t, 130)
				if !s.has(names[i]+".txt") || s.own(names[i], names[i]+".txt") == 0 {
					t.Errorf("%s.txt is not complete", names[i])
				}
			}
		})
	}
}

// one is an up of so many frames under its own name.
func (s *stage) one(name string, frames int) *process {
	return s.start("docker-medianode", "up", "--session", name, "--set", "out.path="+name+".txt", "--set", fmt.Sprintf("src.count=%d", frames))
}

// Whoever comes while the last session leaves joins it, or starts the project anew.
func TestArrivalWhileLeaving(t *testing.T) {
	s := manySessions(t, "arrival")
	first := s.one("first", 20)
	first.end(time.Minute).is(t, 0)
	for i := range 4 {
		early, late := fmt.Sprintf("early%d", i), fmt.Sprintf("late%d", i)
		p := s.one(early, 20)
		p.until("is through", func() bool { return s.has(early + ".txt") })
		time.Sleep(time.Duration(i) * 80 * time.Millisecond) // any moment will do
		q := s.one(late, 20)
		p.end(time.Minute).is(t, 0)
		q.end(time.Minute).is(t, 0)
		if n, m := s.own(early, early+".txt"), s.own(late, late+".txt"); n != 20 || m != 20 {
			t.Errorf("%d and %d frames", n, m)
		}
		if left := found(t, s.project); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}

// Of two first ones one starts the project, the other joins it. They may come from
// two directories: where it is the same pipeline, it is the same project, and what
// the runtime's own nodes read and write is each one's own.
func TestTwoFirstOnes(t *testing.T) {
	s := manySessions(t, "twofirst")
	elsewhere := manySessions(t, "twofirst")
	elsewhere.state = s.state
	elsewhere.env = s.env
	s.medianode("build").is(t, 0)
	for range 2 {
		p, q := s.one("a", 30), elsewhere.one("b", 30)
		p.end(time.Minute).is(t, 0)
		q.end(time.Minute).is(t, 0)
		if n, m := s.own("a", "a.txt"), elsewhere.own("b", "b.txt"); n != 30 || m != 30 || s.has("b.txt") || elsewhere.has("a.txt") {
			t.Errorf("%d and %d frames", n, m)
		}
	}
	p := s.one("a", 0)
	p.flows(s, "a.txt")
	q := elsewhere.one("b", 30)
	q.end(time.Minute).is(t, 0)
	// Another pipeline of that name is told, with the file of the one that runs.
	elsewhere.write("pipeline.yaml", strings.Replace(elsewhere.read("pipeline.yaml"), "memory_mb: 256", "memory_mb: 257", 1))
	elsewhere.one("c", 1).end(time.Minute).is(t, 1, "project "+s.project+" is running already: process ", s.dir, "it runs another pipeline")
	s.medianode("down").is(t, 0)
	p.end(stopLimit).is(t, 130)
}

// Of two processes that remove the same project one waits for the other.
func TestDownTwice(t *testing.T) {
	s := newStage(t, "downtwice", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	first, second := s.start("docker-medianode", "down"), s.start("docker-medianode", "down")
	first.end(stopLimit).is(t, 0)
	second.end(stopLimit).is(t, 0)
	p.end(stopLimit).is(t, 130)
	if err := runtime.Running(uid(), s.project); errors.As(err, new(*runtime.RunningError)) {
		t.Error(err)
	}
}
