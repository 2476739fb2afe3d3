//go:build cgo && linux

package iox_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/channel/channeltest"
)

// TestKilledWhileOpening kills processes while they open their ends, and while
// they have frames loaned and held: the next ones find nothing in their way, and
// nothing is left of the dead.
func TestKilledWhileOpening(t *testing.T) {
	python := os.Getenv(envPython)
	kinds := map[string]func(*testing.T, project) *channeltest.Worker{
		"go": func(t *testing.T, p project) *channeltest.Worker { return p.process(t) },
		"python": func(t *testing.T, p project) *channeltest.Worker {
			if python == "" {
				t.Skipf("%s names no Python interpreter with medianode and iceoryx2", envPython)
			}
			return channeltest.Process(t, p.domain, p.dir, nil, python, "-m", "medianode.conformance")
		},
	}
	for name, start := range kinds {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, name == "python")
			tr := p.open(t)
			in, out := spec(p.domain.Prefix+"in", 1<<16, 2, 4), spec(p.domain.Prefix+"out", 1<<16, 2, 4)
			for _, s := range []channel.Spec{in, out} {
				if _, err := tr.Create(s); err != nil {
					t.Fatal(err)
				}
			}
			before := p.files(t, "")
			kills := 80
			if name == "python" {
				kills = 8 // each needs half a second to start
			}
			for i := range kills {
				w := start(t, p)
				w.Start(channeltest.Request{Do: "publisher", Ports: []string{"w"}, Spec: &in})
				w.Start(channeltest.Request{Do: "subscriber", Ports: []string{"r"}, Spec: &out})
				w.Start(channeltest.Request{Do: "loan", Ports: []string{"w"}, Count: 2, Length: 1 << 16})
				time.Sleep(rand.N(6 * time.Millisecond))
				w.Kill()
				if _, err := tr.Clean(); err != nil {
					t.Fatalf("after kill %d: %v", i, err)
				}
				for _, f := range p.files(t, "") {
					if !slices.Contains(before, f) {
						t.Fatalf("kill %d left %s", i, f)
					}
				}
			}
			w, r := start(t, p), start(t, p)
			w.Do(t, channeltest.Request{Do: "publisher", Ports: []string{"w"}, Spec: &in})
			r.Do(t, channeltest.Request{Do: "subscriber", Ports: []string{"r"}, Spec: &in})
			w.Do(t, channeltest.Request{Do: "send", Ports: []string{"w"}, Count: 3, Length: 8})
			if n := r.Do(t, channeltest.Request{Do: "receive", Ports: []string{"r"}, Count: 3, Brief: true, WithinMS: 10000}).Received; n != 3 {
				t.Errorf("%d of 3 frames arrived after the kills", n)
			}
		})
	}
}
