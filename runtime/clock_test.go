package runtime

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// TestClockJumps sets the clock by which the engine dates what happens: nobody
// is taken for dead or for late, and restarts count as ever.
func TestClockJumps(t *testing.T) {
	const frames = 400
	for name, jump := range map[string]time.Duration{
		"a day on": 24 * time.Hour, "a day back": -24 * time.Hour, "to 1970": -time.Since(time.Unix(0, 0)), "a second back": -time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, frames)
			r.config.Nodes[0].Run = func(ctx context.Context, p *node.Ports) error {
				for i := range frames {
					if err := p.Send(ctx, "output", channel.Header{Kind: channel.Text}, fmt.Append(nil, i)); err != nil {
						return err
					}
					pause(ctx, time.Millisecond)
				}
				return nil
			}
			r.again(Restart{Policy: "on-failure", MaxAttempts: 2, Window: time.Hour})
			s := r.start()
			for kills := 1; kills <= 2; kills++ {
				before := r.out.len()
				eventually(func() bool { return r.out.len() > before+50 })
				r.engine.mu.Lock()
				r.engine.ahead += jump
				r.engine.mu.Unlock()
				r.kill()
				eventually(func() bool { return len(s.Report().Warnings) == kills })
			}
			if err := s.Wait(t.Context()); err != nil {
				t.Errorf("Wait: %v", err)
			}
			r.exact(s, frames)
			report := s.Report()
			r.end(s)
			if n := report.Nodes[1].Restarts; n != 2 || len(report.Warnings) != 2 {
				t.Errorf("%d restarts, warnings %q", n, report.Warnings)
			}
		})
	}
}
