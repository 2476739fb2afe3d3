package plugin_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// wheel is the smallest one: a module with a constant.
func wheel(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"tracked.py":                     "VALUE = 'from a wheel'\n",
		"tracked-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tracked\nVersion: 1.0\n",
		"tracked-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"tracked-1.0.dist-info/RECORD":   "tracked.py,,\ntracked-1.0.dist-info/METADATA,,\ntracked-1.0.dist-info/WHEEL,,\ntracked-1.0.dist-info/RECORD,,\n",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A wheel of the project is in the image; the image, finished, does the same in
// another pipeline, with a foreign one beside it.
func TestWheelAndFinishedImage(t *testing.T) {
	const node = `  - id: mid
    node_type: app:Echo
    outputs: {output: {max_frame: 4KiB}}
    docker: {%s, resource_limits: {memory_mb: 128}}
`
	text := chain("Few", "Echo")
	from := strings.Index(text, "  - id: mid")
	to := strings.Index(text, "  - {id: out")
	with := func(docker, more string) string { return text[:from] + fmt.Sprintf(node, docker) + more + text[to:] }

	s := newStage(t, "finished", with("source: ./nodes, wheels: [tracked-1.0-py3-none-any.whl]", ""))
	s.write("nodes/tracking.py", "import tracked\nfrom medianode import Node\n\n\nclass Echo(Node):\n    def process(self, frame):\n        print(tracked.VALUE)\n        return frame\n")
	s.write("pipeline.yaml", strings.Replace(s.read("pipeline.yaml"), "node_type: app:Echo", "node_type: tracking:Echo", 1))
	s.write("tracked-1.0-py3-none-any.whl", wheel(t))
	s.up().is(t, 0, "from a wheel")

	image := regexp.MustCompile(`medianode/mid:[0-9a-f]{12}`).FindString(s.medianode("plan").stdout)
	if image == "" {
		t.Fatal("no image in the plan")
	}
	side := `  - id: side
    node_type: any:Thing
    docker:
      image: python:3.11-slim
      command: [python, -c, "import os, time; print('beside', os.listdir('/dev/shm'), '$HOME', flush=True); time.sleep(600)"]
`
	s.write("pipeline.yaml", fmt.Sprintf("version: v1\nmetadata: {name: %s}\n%s", s.project,
		strings.Replace(with("image: '"+image+"'", side), "node_type: app:Echo", "node_type: tracking:Echo", 1)))
	s.medianode("plan").is(t, 0)
	s.up().is(t, 0, "from a wheel")
	if got := s.counted("out.txt"); got != 5 {
		t.Errorf("%d frames", got)
	}
	if plan := s.medianode("plan").stdout; !strings.Contains(plan, image+"  as it is\n") || !strings.Contains(plan, "side: no connections: runs beside the pipeline until it ends") {
		t.Errorf("plan:\n%s", plan)
	}
}

// An image that is nowhere is told at its place, before anything starts.
func TestNoSuchImage(t *testing.T) {
	s := newStage(t, "noimage", strings.Replace(single("Few"),
		"  - {id: out", "  - {id: side, node_type: 'any:Thing', docker: {image: 'localhost:1/medianode/none:1'}}\n  - {id: out", 1))
	r := s.up()
	r.is(t, 1, "node side: the engine does not have image localhost:1/medianode/none:1 and cannot pull it", "side: pulling localhost:1/medianode/none:1")
	if !regexp.MustCompile(`pipeline\.yaml:\d+:\d+: node side:`).MatchString(r.stderr) {
		t.Errorf("no place: %s", r)
	}
}
