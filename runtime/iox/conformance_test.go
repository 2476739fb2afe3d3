//go:build cgo && linux

package iox_test

import (
	"os"
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel/channeltest"
)

// envPython names a Python interpreter that has the SDK and iceoryx2.
const envPython = "MEDIANODE_TEST_PYTHON"

// TestConformance runs the cases between every two kinds of ends.
func TestConformance(t *testing.T) {
	python := os.Getenv(envPython)
	ends := []struct {
		name  string
		start func(*testing.T, project) *channeltest.Worker
	}{
		{"inside", func(t *testing.T, p project) *channeltest.Worker { return p.inside(t) }},
		{"go", func(t *testing.T, p project) *channeltest.Worker { return p.process(t) }},
		{"python", func(t *testing.T, p project) *channeltest.Worker {
			return channeltest.Process(t, p.domain, p.dir, nil, python, "-m", "medianode.conformance")
		}},
	}
	for _, w := range ends {
		for _, r := range ends {
			t.Run(w.name+" to "+r.name, func(t *testing.T) {
				withPython := w.name == "python" || r.name == "python"
				if withPython && python == "" {
					t.Skipf("%s names no Python interpreter with medianode and iceoryx2", envPython)
				}
				p := newProject(t, withPython)
				channeltest.Run(t, p.domain.Prefix, channeltest.Harness{
					Transport: p.open(t),
					Writer:    func(t *testing.T) *channeltest.Worker { return w.start(t, p) },
					Reader:    func(t *testing.T) *channeltest.Worker { return r.start(t, p) },
				})
			})
		}
	}
}
