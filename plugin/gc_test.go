package plugin_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A run that is killed at any moment leaves nothing that gc does not remove, and
// the next one works. What others run, and their leftovers, are not looked at.
func TestGarbage(t *testing.T) {
	s := newStage(t, "gc", strings.Replace(chain("Few", "Echo"), "./nodes, ", "./nodes, network: bridge, ", 1))
	s.up().is(t, 0) // the images
	best := time.Hour
	for round := range 6 {
		p := s.start("docker-medianode", "up", "--progress", "plain")
		wait := 100*time.Millisecond + time.Duration(rand.Int64N(int64(1500*time.Millisecond)))
		select {
		case <-p.done: // it was faster
		case <-time.After(wait):
			p.signal(syscall.SIGKILL)
		}
		p.end(stopLimit)
		// The engine goes on with the request that was cut.
		var took time.Duration
		if !eventually(5*time.Second, func() bool {
			r := s.medianode("gc", "-p", s.project)
			took, best = max(took, r.took), min(best, r.took)
			return r.code == 0 && len(s.left()) == 0
		}) {
			t.Errorf("round %d, killed after %s: left %v", round, wait, s.left())
		}
		if took > 3*time.Second {
			t.Errorf("gc took %s", took)
		}
		t.Logf("killed after %s: gc took %s", wait.Round(time.Millisecond), took.Round(time.Millisecond))
		leftovers(t, s.project)
	}
	if best > time.Second { // each is, on a quiet machine
		t.Errorf("the fastest gc took %s", best)
	}
	s.up().is(t, 0)
}

// left are the names of this project's leftovers, by gc --check.
func (s *stage) left() []string {
	s.t.Helper()
	r := s.medianode("gc", "-p", s.project, "--check", "--format", "json")
	var g struct {
		Left []struct{ Name, Project string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &g); err != nil {
		s.t.Fatalf("%v: %s", err, r)
	}
	if (r.code == 0) != (len(g.Left) == 0) {
		s.t.Errorf("gc --check: %s", r)
	}
	var names []string
	for _, l := range g.Left {
		if l.Project == s.project {
			names = append(names, l.Name)
		}
	}
	return names
}

// gc while a project runs does not disturb it.
func TestGarbageOfARunningProject(t *testing.T) {
	s := newStage(t, "gclive", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	if left := s.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	p.interrupt()
	p.end(stopLimit).is(t, 130)
}
