package plugin_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime"
)

// envSessions is how long five sessions run at once; ten minutes is the full form.
const envSessions = "MEDIANODE_TEST_SESSIONS"

// many are nodes that find a frame of another session.
const many = `import time
from medianode import Frame, Node

class Ticks(Node):
    def produce(self):
        count = self.params.get("count", 0)
        i = 0
        while not count or i < count:
            yield Frame.from_text(f"{self.session} {i}")
            i += 1
            time.sleep(0.005)

class Echo(Node):
    def process(self, frame):
        session, number = frame.text.split()
        if session != self.session:
            raise RuntimeError(f"a frame of {session} in {self.session}")
        if int(number) == self.params.get("bad"):
            raise ValueError("as asked")
        return frame

class Own(Node):
    concurrent = True
    def process(self, frame):
        print("print of", self.session)
        self.log.info("log of", session=self.session)
        time.sleep(self.params.get("sleep", 0))
        return frame
`

func manySessions(t *testing.T, name string) *stage {
	t.Helper()
	node := func(id, class string) string {
		return fmt.Sprintf("  - {id: %s, node_type: 'many:%s', docker: {source: ./nodes, restart: {policy: on-failure, max_attempts: 3}, resource_limits: {memory_mb: 256}}}\n", id, class)
	}
	s := newStage(t, name, "sessions: 6\nnodes:\n"+node("src", "Ticks")+node("mid", "Echo")+node("last", "Echo")+
		"  - {id: out, node_type: TextFileSink, params: {path: main.txt}}\n"+
		"connections:\n  - {from: src, to: mid}\n  - {from: mid, to: last}\n  - {from: last, to: out}\n")
	s.write("nodes/many.py", many)
	return s
}

// session starts one more session, of so many frames; 0: without an end.
func (s *stage) session(name string, frames int, more ...string) *process {
	args := append([]string{"run", "--session", name, "--set", "out.path=" + name + ".txt", "--set", fmt.Sprintf("src.count=%d", frames), "--format", "json"}, more...)
	return s.start("docker-medianode", args...)
}

// own says how many lines a session's file has, which must be its own in order.
func (s *stage) own(name string, in string) int {
	s.t.Helper()
	lines := strings.Split(strings.TrimSuffix(s.read(in), "\n"), "\n")
	for i, line := range lines {
		if line != fmt.Sprintf("%s %d", name, i) {
			s.t.Errorf("%s: line %d is %q", in, i, line)
			break
		}
	}
	return len(lines)
}

func startup(t *testing.T, r result) time.Duration {
	t.Helper()
	var report runtime.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	return time.Duration(report.StartupS * float64(time.Second))
}

func TestSessions(t *testing.T) {
	s := manySessions(t, "sessions")
	s.medianode("run").is(t, 1, "does not run: docker medianode up starts it")
	main := s.start("docker-medianode", "up", "--format", "json")
	main.flows(s, "main.txt")

	t.Run("one after the other", func(t *testing.T) {
		best, worst := time.Hour, time.Duration(0)
		for i := range 20 {
			name := fmt.Sprintf("n%d", i)
			r := s.session(name, 5).end(time.Minute)
			r.is(t, 0)
			took := startup(t, r)
			best, worst = min(best, took), max(worst, took)
			if n := s.own(name, name+".txt"); n != 5 {
				t.Errorf("%s: %d lines", name, n)
			}
		}
		t.Logf("from the start of the session to its begin: best %s, worst %s", best.Round(time.Millisecond), worst.Round(time.Millisecond))
		if best > 50*time.Millisecond {
			t.Logf("more than 50 ms: the machine is busy, or it is slower than it was")
		}
		if best > 500*time.Millisecond {
			t.Error("a session must not start anything")
		}
	})
	t.Run("an exception", func(t *testing.T) {
		r := s.session("bad", 60, "--set", "mid.bad=3").end(time.Minute)
		r.is(t, 0, "node mid: process: ValueError: as asked", "session bad opens in it again in 100ms, restart 1 of 3")
		// What waited, and what came until it was back, is lost.
		if text := s.read("bad.txt"); !strings.HasPrefix(text, "bad 0\nbad 1\nbad 2\nbad ") || strings.Contains(text, "bad 3\n") || !strings.HasSuffix(text, "\nbad 59\n") {
			t.Errorf("bad.txt: %s", text)
		}
		if c := s.crashes(); len(c) != 1 || c[0].Session != "bad" || c[0].Node != "mid" || !c[0].GoesOn || c[0].Restart != 1 || c[0].Sequence == nil || *c[0].Sequence != 3 ||
			!strings.Contains(c[0].Traceback, "as asked") || len(c[0].Ports) != 2 || c[0].Ports[0].Last == nil || c[0].Usage == nil {
			t.Errorf("crashes: %+v", c)
		}
	})
	t.Run("five at once", func(t *testing.T) {
		last := 3 * time.Second
		if text := os.Getenv(envSessions); text != "" {
			var err error
			if last, err = time.ParseDuration(text); err != nil {
				t.Fatal(err)
			}
		}
		var all []*process
		names := []string{"a", "b", "c", "d", "e"}
		for _, name := range names {
			all = append(all, s.session(name, 0))
		}
		for i := range all {
			all[i].flows(s, names[i]+".txt")
		}
		s.session("f", 1).end(time.Minute).is(t, 1, "6 of 6 sessions are open (a, b, c, d, e, main)", "raise sessions")
		time.Sleep(last)
		var list []runtime.SessionInfo
		r := s.medianode("sessions", "--format", "json")
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != 6 || list[0].Session != "main" || !list[0].Supervises || list[5].Frames == 0 {
			t.Errorf("%v: %s", err, r)
		}
		var nodes []struct{ Sessions []string }
		r = s.medianode("ps", "--format", "json")
		if err := json.Unmarshal([]byte(r.stdout), &nodes); err != nil || len(nodes) != 3 || len(nodes[2].Sessions) != 6 || nodes[2].Sessions[0] != "main" {
			t.Errorf("%v: %s", err, r)
		}
		for i, p := range all {
			s.medianode("sessions", "close", names[i]).is(t, 0)
			r := p.end(stopLimit)
			if r.code != 130 {
				t.Errorf("%s: %s", names[i], r)
			}
			t.Logf("%s: %d frames", names[i], s.own(names[i], names[i]+".txt"))
		}
	})
	t.Run("killed", func(t *testing.T) {
		for i := range 10 {
			name := fmt.Sprintf("k%d", i)
			p := s.session(name, 0)
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
			p.signal(syscall.SIGKILL)
			p.end(stopLimit)
		}
		ledgers := func() string {
			entries, err := os.ReadDir(runtime.Directory(uid(), s.project) + "/shm")
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), "medianode_ledger_k") {
					left = append(left, e.Name())
				}
			}
			return strings.Join(left, " ")
		}
		if !eventually(10*time.Second, func() bool {
			return ledgers() == "" && !strings.Contains(s.medianode("sessions").stdout, "k")
		}) {
			t.Errorf("left: %s\n%s", ledgers(), s.medianode("sessions"))
		}
	})
	main.signal(syscall.SIGINT)
	if r := main.end(stopLimit); r.code != 130 {
		t.Errorf("main: %s", r)
	}
	s.own("main", "main.txt")
}

// A session that takes half a second for each frame does not hold up another one
// whose class is concurrent, and each line of the log is known to be of its session.
func TestConcurrentSessions(t *testing.T) {
	s := newStage(t, "concurrent", "sessions: 2\nnodes:\n"+
		"  - {id: src, node_type: 'many:Ticks', docker: {source: ./nodes, resource_limits: {memory_mb: 256}}}\n"+
		"  - {id: mid, node_type: 'many:Own', docker: {source: ./nodes, resource_limits: {memory_mb: 256}}}\n"+
		"  - {id: out, node_type: TextFileSink, params: {path: quick.txt}}\n"+
		"connections:\n  - {from: src, to: mid}\n  - {from: mid, to: out}\n")
	s.write("nodes/many.py", many)
	quick := s.start("docker-medianode", "up", "--session", "quick", "--format", "json")
	quick.flows(s, "quick.txt")
	slow := s.session("slow", 0, "--set", "mid.sleep=0.5")
	slow.flows(s, "slow.txt")
	before := strings.Count(s.read("quick.txt.partial"), "\n")
	time.Sleep(3 * time.Second)
	if n := strings.Count(s.read("quick.txt.partial"), "\n") - before; n < 40 { // 200 a second on a quiet machine, and 6 where they take turns
		t.Errorf("%d frames of the quick session in 3 s", n)
	}
	seen := map[string]int{}
	for line := range strings.Lines(s.medianode("logs", "mid", "--format", "json").stdout) {
		var l runtime.LogLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		seen[l.Session+": "+l.Level+" "+l.Text]++
	}
	for _, name := range []string{"quick", "slow"} {
		if seen[name+":  print of "+name] == 0 || seen[name+": info log of session="+name] == 0 {
			t.Errorf("lines of %s are not in %v", name, seen)
		}
	}
	if len(seen) != 4 {
		t.Errorf("other lines: %v", seen)
	}
	for _, p := range []*process{slow, quick} {
		p.signal(syscall.SIGINT)
		r := p.end(stopLimit)
		if r.code != 130 {
			t.Errorf("%s", r)
		}
		var report runtime.Report
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
			t.Fatal(err)
		}
		t.Logf("session %s: src to mid %+v", report.Session, report.Connections[0])
	}
}

// A project goes on until its last session has ended; down ends all.
func TestLastSessionOut(t *testing.T) {
	s := manySessions(t, "lastout")
	main := s.start("docker-medianode", "up", "--set", "src.count=300")
	main.flows(s, "main.txt")
	other := s.session("other", 0)
	other.flows(s, "other.txt")
	if !eventually(20*time.Second, func() bool { return s.has("main.txt") }) {
		t.Fatal("main does not end")
	}
	if r := main.end(stopLimit); r.code != 0 {
		t.Errorf("main: %s", r)
	}
	before := s.has("other.txt")
	time.Sleep(500 * time.Millisecond)
	if before || s.has("other.txt") {
		t.Error("other has ended with main")
	}
	s.medianode("down").is(t, 0)
	if r := other.end(stopLimit); r.code != 130 {
		t.Errorf("other: %s", r)
	}
	s.own("other", "other.txt")
	if n := s.own("main", "main.txt"); n != 300 {
		t.Errorf("main: %d lines", n)
	}
}

// A node that is killed is started again for every session; when the supervisor
// is killed another session's process takes its place.
func TestDeathsUnderSessions(t *testing.T) {
	s := manySessions(t, "deaths")
	main := s.start("docker-medianode", "up")
	main.flows(s, "main.txt")
	others := []*process{s.session("one", 0), s.session("two", 0)}
	files := []string{"one.txt", "two.txt", "main.txt"}
	size := func(file string) int64 {
		info, err := os.Stat(s.dir + "/" + file + ".partial")
		if err != nil {
			return 0
		}
		return info.Size()
	}
	flow := func(when string) {
		t.Helper()
		for _, file := range files {
			before := size(file)
			if !eventually(20*time.Second, func() bool { return size(file) > before }) {
				t.Fatalf("%s: nothing comes to %s\n%s", when, file, main.said())
			}
		}
	}
	flow("at first")
	docker(t, "kill", s.project+"-mid-1")
	for _, p := range append(others, main) {
		p.says("node mid: killed by SIGKILL before its streams ended (exit code 137): starts again in 100ms, restart 1 of 3")
	}
	flow("after the death of mid")
	told := map[string]bool{}
	for _, c := range s.crashes() {
		for _, p := range c.Ports {
			told[p.Session] = told[p.Session] || p.Last != nil
		}
	}
	if !told["main"] || !told["one"] || !told["two"] {
		t.Errorf("how far mid was is told of sessions %v", told)
	}
	main.signal(syscall.SIGKILL)
	main.end(stopLimit)
	files = files[:2]
	began := time.Now()
	if !eventually(5*time.Second, func() bool {
		return strings.Contains(s.medianode("sessions").stdout, ", supervises") && !strings.Contains(s.medianode("sessions").stdout, "main")
	}) {
		t.Fatalf("nobody takes over:\n%s\n%s\n%s", s.medianode("sessions"), others[0].said(), others[1].said())
	}
	t.Logf("another process supervised after %s", time.Since(began).Round(time.Millisecond))
	flow("after the death of the supervisor")
	time.Sleep(4 * time.Second) // longer than a node waits for a runtime
	flow("long after the death of the supervisor")
	docker(t, "kill", s.project+"-mid-1")
	for _, p := range others {
		p.says("restart 2 of 3")
	}
	flow("after the second death of mid")
	third := s.session("three", 20).end(time.Minute)
	third.is(t, 0)
	if n := s.own("three", "three.txt"); n != 20 {
		t.Errorf("three: %d lines", n)
	}
	for i, p := range others {
		p.signal(syscall.SIGINT)
		if r := p.end(stopLimit); r.code != 130 {
			t.Errorf("session %d: %s", i, r)
		}
	}
	if left := found(t, s.project); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// supervises says whether a session's process runs the containers. One that was
// killed has said so of itself, and still does until it is forgotten.
func (s *stage) supervises(name string) bool {
	s.t.Helper()
	all, err := runtime.Sessions(uid(), s.project)
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(i runtime.SessionInfo) bool { return i.Session == name && i.Supervises })
}

// Restarts count on although the process that counts them is killed between two
// deaths of a node, or between a death and the restart that follows it.
func TestLimitOutlivesTheSupervisor(t *testing.T) {
	s := manySessions(t, "limit")
	main := s.start("docker-medianode", "up")
	main.flows(s, "main.txt")
	one := s.session("one", 0)
	one.flows(s, "one.txt")
	restarts := func(want int) {
		t.Helper()
		if !eventually(20*time.Second, func() bool {
			mid := runtime.NodeStates(uid(), s.project)["mid"]
			return mid.Restarts == want && mid.State == runtime.StateRunning
		}) {
			t.Fatalf("not running after %d restarts: %+v: %s", want, runtime.NodeStates(uid(), s.project), one.said())
		}
	}
	docker(t, "kill", s.project+"-mid-1")
	main.says("restart 1 of 3")
	main.signal(syscall.SIGKILL)
	main.end(stopLimit)
	one.says("restart 1 of 3") // from the one or the other
	restarts(1)
	two := s.session("two", 0)
	two.flows(s, "two.txt")
	docker(t, "kill", s.project+"-mid-1")
	two.says("restart 2 of 3")
	restarts(2)
	three := s.session("three", 0) // has not heard of any
	three.flows(s, "three.txt")
	for _, p := range []*process{two, one} { // who supervises last: nodes wait for one change
		p.signal(syscall.SIGKILL)
		p.end(stopLimit)
	}
	if !eventually(5*time.Second, func() bool { return s.supervises("three") }) {
		t.Fatal("it does not take over")
	}
	docker(t, "kill", s.project+"-mid-1")
	three.says("restart 3 of 3")
	restarts(3)
	docker(t, "kill", s.project+"-mid-1")
	three.end(stopLimit).is(t, 1, "mid: killed by SIGKILL", "after 1 restart\n")
	if n := strings.Count(three.said().stderr, "starts again in"); n != 1 {
		t.Errorf("told of %d restarts, saw one: %s", n, three.said())
	}
}
