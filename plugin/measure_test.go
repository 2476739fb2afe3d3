package plugin

import (
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime"
)

func TestMeasured(t *testing.T) {
	const mib = 1 << 20
	r := runtime.Report{RunS: 20, Nodes: []runtime.NodeReport{
		{Node: "speech"},
		{Node: "asr", Container: true, Usage: &runtime.Usage{MemoryMost: 301 * mib, MemoryPeak: 900 * mib, Frames: 96 * mib, CPUS: 8.4, CPUMost: 0.97}},
		{Node: "small", Container: true, Restarts: 2, Usage: &runtime.Usage{MemoryMost: 12 * mib, RSSPeak: 30 * mib, CPUS: 0.1}},
		{Node: "side", Container: true},
	}}
	var b strings.Builder
	if err := measured(&b, r); err != nil {
		t.Fatal(err)
	}
	const want = `
# measured in 20.0 s without limits; a quarter is added to what was seen
nodes:
  - id: asr    # at most 301 MiB, 96 MiB of it frames; 8.4 s of CPU, 0.97 in the busiest second
    docker: {resource_limits: {memory_mb: 384, cpu_cores: 1.3}}
  - id: small    # at most 30 MiB; 0.1 s of CPU; restarted 2 times: only the last process is counted
    docker: {resource_limits: {memory_mb: 128, cpu_cores: 0.1}}
  # side: a finished image, which takes no samples: see docker medianode stats while it runs
`
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
	b.Reset()
	if err := measured(&b, runtime.Report{Nodes: []runtime.NodeReport{{Node: "speech"}}}); err != nil || b.Len() > 0 {
		t.Errorf("built-in nodes only: %q, %v", b.String(), err)
	}
}
