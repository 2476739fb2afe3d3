package plugin_test

import (
	"strings"
	"testing"
	"time"
)

// The engine's health check tells a node that comes by from one that does not.
func TestHealth(t *testing.T) {
	text := strings.ReplaceAll(chain("Endless", "Stuck"), "docker: {source: ./nodes,", "start_timeout_ms: 20000\n    docker: {health_interval_s: 1, source: ./nodes,")
	s := newStage(t, "health", text)
	p := s.start("docker-medianode", "up")
	p.says("stuck")
	health := func(node string) string {
		return docker(t, "ps", "--filter", "label=com.docker.compose.project="+s.project, "--filter", "label=dev.medianode.node="+node, "--format", "{{.Status}}")
	}
	if !eventually(30*time.Second, func() bool { return strings.HasSuffix(health("mid"), "(unhealthy)") }) {
		t.Errorf("mid hangs: %s", health("mid"))
	}
	if got := health("src"); !strings.HasSuffix(got, "(healthy)") {
		t.Errorf("src: %s", got)
	}
	if got := docker(t, "compose", "-p", s.project, "ps", "mid"); !strings.Contains(got, "(unhealthy)") {
		t.Errorf("compose ps: %s", got)
	}
	const why = "the node's thread has not come by for more than 5 s"
	if got := docker(t, "inspect", "--format", "{{range .State.Health.Log}}{{.Output}}{{end}}", s.project+"-mid-1"); !strings.Contains(got, why) {
		t.Errorf("inspect: %s", got)
	}
	p.interrupt()
	p.end(stopLimit).is(t, 130)
}
