package runtime

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/node"
)

func TestStall(t *testing.T) {
	type step struct {
		at    int // seconds
		taken uint64
		could bool
		want  string
	}
	tests := map[string][]step{
		"flows":           {{0, 0, true, ""}, {4, 1, true, ""}, {8, 2, true, ""}},
		"hangs once":      {{0, 3, true, ""}, {4, 3, true, ""}, {5, 3, true, "hangs"}, {9, 3, true, ""}, {60, 4, true, "again"}, {61, 5, true, ""}},
		"nothing waits":   {{0, 3, false, ""}, {100, 3, false, ""}, {104, 3, true, ""}, {105, 3, true, "hangs"}},
		"is slow":         {{0, 0, true, ""}, {4, 1, true, ""}, {12, 1, true, ""}, {15, 2, true, ""}, {40, 2, true, ""}, {48, 2, true, "hangs"}},
		"stopped reading": {{0, 0, true, ""}, {5, 0, true, "hangs"}, {6, 0, false, ""}, {7, 1, true, "again"}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var st stall
			for _, s := range steps {
				hangs, again, _ := st.look(time.Unix(1000+int64(s.at), 0), s.taken, s.could)
				got := map[[2]bool]string{{true, false}: "hangs", {false, true}: "again"}[[2]bool{hangs, again}]
				if got != s.want {
					t.Errorf("after %d s: %q, want %q", s.at, got, s.want)
				}
			}
		})
	}
}

// A node that hangs is named, and not the node that waits for it.
func TestHangIsNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: takes 7 s, which -short leaves out")
	}
	r := newRig(t, 0)
	release := make(chan struct{})
	r.config.Nodes[2].Run = func(ctx context.Context, p *node.Ports) error {
		<-release
		return r.out.collect(ctx, p)
	}
	s := r.start()
	named := func(text string) bool {
		return strings.Contains(strings.Join(s.Report().Warnings, "\n"), text)
	}
	for end := time.Now().Add(20 * time.Second); !named("node out: has taken no frame for ") && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	close(release)
	if !eventually(func() bool { return named("node out: takes frames again, after ") }) || named("node mid") {
		t.Errorf("warnings: %q", s.Report().Warnings)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
}
