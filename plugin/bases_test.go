package plugin_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// docker runs the docker command.
func (s *stage) docker(args ...string) result {
	s.t.Helper()
	return s.start("docker", args...).end(time.Minute)
}

// What is wrong with the bases of a pipeline is said of all nodes at once, each
// at its place, before anything is built.
func TestWrongBases(t *testing.T) {
	text := single("Few")
	nodes := "  - {id: old, node_type: 'app:Echo', docker: {source: ./nodes, base_image: 'python:3.9-slim', python_version: 3.11}}\n" +
		"  - {id: gone, node_type: 'app:Echo', docker: {source: ./nodes, base_image: 'localhost:1/medianode/none:1'}}\n" +
		"  - {id: fine, node_type: 'app:Echo', docker: {source: ./nodes, base_image: 'python:3.11-slim'}}\n"
	s := newStage(t, "bases", strings.Replace(text, "  - {id: out", nodes+"  - {id: out", 1))
	r := s.medianode("build", "--progress", "plain")
	r.is(t, 1, `nodes[1].docker.base_image: python:3.9-slim has Python 3.9.`, `but docker.python_version is 3.11`, `= hint: write python_version: "3.9", or base on an image with Python 3.11`,
		"nodes[2].docker.base_image: the engine does not have image localhost:1/medianode/none:1 and cannot pull it", "pulling localhost:1/medianode/none:1\n")
	if found := regexp.MustCompile(`(?m)^pipeline\.yaml:\d+:\d+: nodes\[\d\]\.docker\.base_image: `).FindAllString(r.stderr, -1); len(found) != 2 {
		t.Errorf("%d findings: %s", len(found), r)
	}
	for _, unwanted := range []string{"nodes[3].docker", "[builder", "load build definition"} {
		if strings.Contains(r.stderr, unwanted) {
			t.Errorf("%q: %s", unwanted, r)
		}
	}
}

// A base that is only odd is told of, once: what is built already is not looked
// at again.
func TestOddBase(t *testing.T) {
	s := newStage(t, "oddbase", strings.Replace(single("Few"), "docker: {", "docker: {base_image: 'mn-test-odd-base:1', ", 1))
	if !strings.Contains(s.read("pipeline.yaml"), "base_image") {
		t.Fatal("no base_image: ", s.read("pipeline.yaml"))
	}
	s.write("nodes/mark.py", fmt.Sprintf("# %d\n", time.Now().UnixNano())) // not built before
	container := strings.TrimSpace(s.docker("create", "python:3.11-slim").stdout)
	t.Cleanup(func() { s.docker("rm", "-f", container) })
	s.docker("commit", "--change", "VOLUME /data", container, "mn-test-odd-base:1").is(t, 0)
	t.Cleanup(func() { s.docker("image", "rm", "-f", "mn-test-odd-base:1") })
	s.medianode("build", "--progress", "quiet").is(t, 0, "warning: nodes[0].docker.base_image: mn-test-odd-base:1 declares the volume /data")
	if r := s.medianode("build", "--progress", "quiet"); r.code != 0 || r.stderr != "" {
		t.Errorf("again: %s", r)
	}
}

// A base of one's own is made, looked at and built on.
func TestBaseBuild(t *testing.T) {
	s := newStage(t, "ownbase", strings.Replace(single("Few"), "docker: {", "docker: {base_image: 'mn-test-own-base:1', ", 1))
	s.write("common.txt", "# what all nodes have\nsix==1.16.0  # pinned\n\n")
	t.Cleanup(func() { s.docker("image", "rm", "-f", "mn-test-own-base:1") })
	r := s.medianode("base", "build", "--packages", "common.txt", "--tag", "mn-test-own-base:1", "--progress", "quiet")
	r.is(t, 0, "mn-test-own-base:1: Python 3.11.", "in a node write base_image: mn-test-own-base:1")
	if r.stdout != "mn-test-own-base:1\n" {
		t.Errorf("stdout %q", r.stdout)
	}
	r = s.medianode("base", "check", "mn-test-own-base:1")
	r.is(t, 0)
	if !strings.Contains(r.stdout, "builds go on with it") || !strings.HasSuffix(r.stdout, "\nmn-test-own-base:1 is a base for nodes with Python 3.11\n") {
		t.Errorf("check: %s", r)
	}
	r = s.medianode("base", "check", "--format", "json", "--python", "3.12", "mn-test-own-base:1")
	r.is(t, 1)
	if !strings.Contains(r.stdout, `"fits": false`) || !strings.Contains(r.stdout, `"iceoryx2": "0.10.0"`) {
		t.Errorf("check: %s", r)
	}
	s.up().is(t, 0)
}
