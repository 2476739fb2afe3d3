package plugin_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/medianode/docker-medianode/runtime"
)

// loop is a cycle of two nodes: what comes back is counted by the process that
// gets it, and the count goes on with each frame.
const loop = `from medianode import Frame, Node

class Head(Node):
    def open(self, session):
        self.back = 0
    def process(self, frame):
        if frame.port == "back":
            self.back += 1
            return None
        return Frame.from_text(f"{self.back}")

class Tail(Node):
    def process(self, frame):
        yield frame
        yield Frame.from_text("back", port="again")
`

// Whichever node of a cycle is killed: it comes back, and so do the frames on every
// connection, also those that lead back and those to a second reader.
func TestLoopAfterDeaths(t *testing.T) {
	node := func(id, class, ports string) string {
		return fmt.Sprintf("  - {id: %s, node_type: '%s', %s, docker: {source: ./nodes, resource_limits: {memory_mb: 128}, restart: {policy: on-failure}}}\n", id, class, ports)
	}
	const small = "{max_frame: 4KiB}"
	s := newStage(t, "loop", "nodes:\n"+node("src", "app:Endless", "outputs: {output: "+small+"}")+node("head", "loop:Head", "inputs: {input: {}, back: {}}, outputs: {output: "+small+"}")+
		node("tail", "loop:Tail", "outputs: {output: "+small+", again: "+small+"}")+
		"  - {id: out, node_type: TextFileSink, params: {path: out.txt}}\n  - {id: beside, node_type: TextFileSink, params: {path: beside.txt}}\n"+
		"connections:\n  - {from: src, to: head}\n  - {from: head, to: tail}\n  - {from: tail, to: out}\n  - {from: tail, to: beside}\n"+
		"  - {from: tail, from_output: again, to: head, to_input: back, feedback: true}\n")
	s.write("nodes/loop.py", loop)
	p := s.start("docker-medianode", "up", "--format", "json")
	p.flows(s, "out.txt")
	// The count that the last frame has.
	last := func(file string) (back int) {
		text, err := os.ReadFile(filepath.Join(s.dir, file+".partial"))
		if err != nil {
			return 0
		}
		lines := strings.Split(string(text), "\n")
		back, _ = strconv.Atoi(lines[max(0, len(lines)-2)])
		return back
	}
	goesOn := func(when string) {
		t.Helper()
		for _, file := range []string{"out.txt", "beside.txt"} {
			p.more(s, file)
			before := last(file)
			p.until(when+": frames come back, by "+file, func() bool { return last(file) > before+20 })
		}
	}
	goesOn("at first")
	for i, victim := range []string{"head", "tail", "head"} {
		docker(t, "kill", s.project+"-"+victim+"-1")
		p.until("the restart of "+victim, func() bool {
			return strings.Count(p.said().stderr, "starts again in") == i+1
		})
		p.until(victim+" runs", func() bool { return runtime.NodeStates(uid(), s.project)[victim].State == runtime.StateRunning })
		goesOn("after the death of " + victim)
	}
	p.signal(syscall.SIGINT)
	r := p.end(stopLimit)
	r.is(t, 130)
	var report runtime.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Connections) != 5 {
		t.Fatalf("%v: %s", err, r)
	}
	same := map[uint64]bool{}
	for _, c := range report.Connections {
		if c.Frames < 60 {
			t.Errorf("%+v", c)
		}
		if c.From == "tail.output" {
			same[c.Frames+c.Dropped] = true
		}
	}
	if len(same) != 1 {
		t.Errorf("two readers of one output: %+v", report.Connections)
	}
}
