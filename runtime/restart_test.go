package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

func TestRestartDelays(t *testing.T) {
	var r revival
	var got []time.Duration
	for _, lived := range []time.Duration{0, 0, 0, 0, 0, 0, 0, 0, healthy, 0} {
		r.delay = r.nextDelay(lived)
		got = append(got, r.delay)
	}
	if s := fmt.Sprint(got); s != "[100ms 200ms 400ms 800ms 1.6s 3.2s 5s 5s 100ms 200ms]" {
		t.Error(s)
	}
}

func TestRestartLimits(t *testing.T) {
	now := time.Now()
	restarts := []time.Time{now.Add(-2 * time.Minute), now.Add(-30 * time.Second), now}
	for _, test := range []struct {
		Restart
		attempts, count int
	}{
		{Restart{Policy: "always"}, 5, 2},
		{Restart{Policy: "always", Window: time.Second}, 5, 1},
		{Restart{Policy: "always", MaxAttempts: 2}, 2, 3},
		{Restart{Policy: "always", MaxAttempts: 2, Window: 31 * time.Second}, 2, 2},
	} {
		attempts, _ := test.limits()
		if used := len(test.counting(restarts, now)); attempts != test.attempts || used != test.count {
			t.Errorf("%+v: %d of %d, want %d of %d", test.Restart, used, attempts, test.count, test.attempts)
		}
	}
}

// again gives mid a policy.
func (r *rig) again(restart Restart) {
	r.mid.back = true
	r.config.Nodes[1].Restart = restart
}

func (r *rig) kill() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.engine.Kill(ctx, "id-mid", "SIGKILL"); err != nil {
		r.t.Error(err)
	}
}

// exact wants every frame that was sent to be received or dropped.
func (r *rig) exact(s *Session, frames uint64) {
	r.t.Helper()
	c := s.Report().Connections
	if c[0].Frames+c[0].Dropped != frames {
		r.t.Errorf("%d frames sent to mid, accounted %+v", frames, c[0])
	}
	// A process that is a goroutine releases a frame although it is killed.
	lost, restarts := c[0].Frames-c[1].Frames-c[1].Dropped, uint64(s.Report().Nodes[1].Restarts)
	if lost > restarts || int(c[1].Frames) != r.out.len() {
		r.t.Errorf("%d frames written, accounted %+v and %+v", r.out.len(), c[0], c[1])
	}
}

func TestRestart(t *testing.T) {
	const frames = 1000
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
	r.again(Restart{Policy: "on-failure"})
	s := r.start()
	for kills := 1; kills <= 3; kills++ {
		before := r.out.len()
		eventually(func() bool { return r.out.len() > before+50 })
		r.kill()
		eventually(func() bool { return len(s.Report().Warnings) == kills })
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	r.exact(s, frames)
	report := s.Report()
	r.end(s)
	if n := report.Nodes[1].Restarts; n != 3 {
		t.Errorf("%d restarts", n)
	}
	if w := report.Warnings; len(w) != 3 || w[0] != "node mid: killed by SIGKILL before its streams ended (exit code 137): starts again in 100ms, restart 1 of 5" {
		t.Errorf("warnings: %q", w)
	}
	var text strings.Builder
	if err := report.Text(&text); err != nil || !strings.Contains(text.String(), "mid: restarted 3 times") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// TestRestartRetry gives every frame to a node that dies with some of them.
func TestRestartRetry(t *testing.T) {
	const frames = 200
	r := newRig(t, frames)
	r.again(Restart{Policy: "on-failure"})
	for i := range r.config.Nodes {
		n := &r.config.Nodes[i]
		for j := range n.Inputs {
			if n.ID == "mid" {
				n.Inputs[j].Channel.Readers[0].Retry = true
			}
		}
	}
	died := false
	r.mid.body = func(ctx context.Context, p *node.Ports) error {
		for i := 0; ; i++ {
			f, err := p.Receive(ctx)
			if err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			if !died && i == 20 {
				died = true
				return errors.New("no")
			}
			if err := p.Send(ctx, "output", *f.Header, f.Payload); err != nil {
				return err
			}
			f.Release()
		}
	}
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	r.exact(s, frames)
	r.end(s)
	if n := r.out.len(); n != frames || r.out.lines[frames-1] != fmt.Sprint(frames-1) {
		t.Errorf("%d frames of %d arrived: %q", n, frames, r.out.lines)
	}
	if w := s.Report().Warnings; len(w) != 1 || !strings.HasPrefix(w[0], "node mid: process: ValueError: no: starts again in 100ms") {
		t.Errorf("warnings: %q", w)
	}
}

func TestRestartGivesUp(t *testing.T) {
	tests := map[string]struct {
		change func(*rig)
		want   string
	}{
		"process dies": {func(r *rig) { r.mid.die, r.mid.exit = "process", 3 },
			"node mid: exited before its streams ended (exit code 3), after 2 restarts"},
		"process raises": {func(r *rig) { r.mid.raise = "process" }, "node mid: process: ValueError: no, after 2 restarts"},
		"load raises":    {func(r *rig) { r.mid.raise = "load" }, "node mid: load: ValueError: no, after 2 restarts"},
		"dies at once":   {func(r *rig) { r.mid.die, r.mid.exit = "start", 127 }, "node mid: exited before its streams ended (exit code 127), after 2 restarts"},
		"no events":      {func(r *rig) { r.mid.die, r.mid.exit, r.engine.blind = "process", 3, true }, "node mid: exited before its streams ended (exit code 3), after 2 restarts"},
		"load hangs": {func(r *rig) { r.mid.hang, r.config.Nodes[1].StartTimeout = "load", 100*time.Millisecond },
			"node mid: load: not ready after 100ms: raise start_timeout_ms if it needs longer, after 2 restarts"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 100)
			r.again(Restart{Policy: "on-failure", MaxAttempts: 2})
			test.change(r)
			s, err := Start(t.Context(), r.config)
			if err == nil {
				err = s.Wait(t.Context())
				r.end(s)
			} else {
				r.nothingLeft()
			}
			var got *NodeError
			if !errors.As(err, &got) || got.Error() != test.want || got.Restarts != 2 {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestRestartPolicies: which ends are followed by a restart.
func TestRestartPolicies(t *testing.T) {
	tests := map[string]struct {
		policy   string
		exit     int
		restarts int
	}{
		"no":                  {"no", 1, 0},
		"on-failure, well":    {"on-failure", 0, 0},
		"on-failure, failure": {"on-failure", 1, 1},
		"always, well":        {"always", 0, 1},
		"always, failure":     {"always", 1, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 100)
			r.again(Restart{Policy: test.policy, MaxAttempts: 1})
			r.mid.die, r.mid.exit = "process", test.exit
			s := r.start()
			err := s.Wait(t.Context())
			r.end(s)
			if n := s.Report().Nodes[1].Restarts; err == nil || n != test.restarts {
				t.Errorf("%d restarts, %v", n, err)
			}
		})
	}
}

// TestRestartNotAfterTheEnd: a node whose streams have ended has nothing to go
// on with.
func TestRestartNotAfterTheEnd(t *testing.T) {
	r := newRig(t, 10)
	r.again(Restart{Policy: "always"})
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	r.end(s)
	if n := s.Report().Nodes[1].Restarts; n != 0 || r.out.len() != 10 {
		t.Errorf("%d restarts, %d frames", n, r.out.len())
	}
}

// TestStopDuringDelay: who stops a session does not wait for a restart.
func TestStopDuringDelay(t *testing.T) {
	for _, kill := range []bool{false, true} {
		r := newRig(t, 0)
		r.again(Restart{Policy: "on-failure", MaxAttempts: 100})
		r.config.StopGrace = time.Minute
		waiting := make(chan struct{}, 100)
		r.config.Note = func(id, state string) {
			if state == StateRestarting {
				waiting <- struct{}{}
			}
		}
		s := r.start()
		s.mu.Lock()
		for _, m := range s.members {
			m.delay = lastDelay / 2 // the next one is long
		}
		s.mu.Unlock()
		r.kill()
		<-waiting
		began := time.Now()
		var err error
		if kill {
			s.Kill()
			err = s.Wait(t.Context())
		} else {
			err = s.Stop(t.Context())
		}
		if took := time.Since(began); took > lastDelay-time.Second {
			t.Errorf("stopped after %s", took)
		}
		r.end(s)
		var got *NodeError
		if kill && !errors.Is(err, ErrKilled) || !kill && (!errors.As(err, &got) || got.Node != "mid" || got.ExitCode != 137) {
			t.Errorf("kill %v: %v", kill, err)
		}
	}
}

// TestStopWhileLoadingAgain: nor for one that is on its way back.
func TestStopWhileLoadingAgain(t *testing.T) {
	r := newRig(t, 0)
	r.again(Restart{Policy: "on-failure"})
	r.config.StopGrace = time.Minute
	again := *r.mid
	again.hang = "load"
	r.mid.again = &again
	s := r.start()
	r.kill()
	if !eventually(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		m := s.byService["mid"]
		return m.restarts == 1 && m.state == StateLoading && m.imported
	}) {
		t.Fatalf("%+v", s.Report().Nodes[1])
	}
	began := time.Now()
	err := s.Stop(t.Context())
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("stopped after %s", took)
	}
	r.end(s)
	if err == nil || err.Error() != "node mid: load: the session ended before it was ready again, after 1 restart" {
		t.Errorf("Stop: %v", err)
	}
}

// TestRestartHeals: what fails once does not fail the session, whenever it is.
func TestRestartHeals(t *testing.T) {
	for _, phase := range []string{"start", "hello", "load", "open", "process"} {
		t.Run(phase, func(t *testing.T) {
			const frames = 100
			r := newRig(t, frames)
			r.again(Restart{Policy: "on-failure", MaxAttempts: 1})
			well := *r.mid
			r.mid.again = &well
			r.mid.die, r.mid.exit = phase, 1
			s := r.start()
			if err := s.Wait(t.Context()); err != nil {
				t.Errorf("Wait: %v", err)
			}
			r.exact(s, frames)
			r.end(s)
			if n := s.Report().Nodes[1].Restarts; n != 1 {
				t.Errorf("%d restarts", n)
			}
		})
	}
}

// TestRestartOfASideContainer has no channels to wait for.
func TestRestartOfASideContainer(t *testing.T) {
	r := newRig(t, 0)
	side := &script{node: channel.Node{ID: "side"}}
	r.engine.nodes["side"] = side
	r.config.Nodes = append(r.config.Nodes, Node{Node: side.node, Container: true, Restart: Restart{Policy: "on-failure"}})
	s := r.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.engine.Kill(ctx, "id-side", "SIGKILL"); err != nil {
		t.Error(err)
	}
	if !eventually(func() bool { n := s.Report().Nodes[3]; return n.Restarts == 1 && n.State == StateRunning }) {
		t.Errorf("%+v", s.Report().Nodes[3])
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.end(s)
}

// TestEngineFailsToStartAgain: a start that fails is an attempt.
func TestEngineFailsToStartAgain(t *testing.T) {
	r := newRig(t, 0)
	r.again(Restart{Policy: "on-failure", MaxAttempts: 3})
	r.engine.startFails = 2
	s := r.start()
	before := r.out.len()
	r.kill()
	if !eventually(func() bool { return r.out.len() > before+20 && s.Report().Nodes[1].Restarts == 3 }) {
		t.Errorf("%+v", s.Report())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.end(s)
	if w := strings.Join(s.Report().Warnings, "\n"); strings.Count(w, "injected") != 2 {
		t.Errorf("warnings: %s", w)
	}
}

// TestRestartWaitsForTheEngine: one that is away costs time and no attempts. Only
// its events tell that dockerd is; that its containerd is, is told here.
func TestRestartWaitsForTheEngine(t *testing.T) {
	tests := map[string]struct {
		err  error
		told []string // after the warning of the restart
	}{
		"dockerd":    {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, nil},
		"containerd": {errdefs.ErrUnavailable.WithMessage("no containerd"), []string{"node mid: waits to be started: no containerd"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 0)
			r.again(Restart{Policy: "on-failure", MaxAttempts: 1})
			r.engine.startFails, r.engine.startError = 5, test.err
			s := r.start()
			before := r.out.len()
			r.kill()
			if !eventually(func() bool { return r.out.len() > before+20 && s.Report().Nodes[1].Restarts == 1 }) {
				t.Errorf("%+v", s.Report())
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Errorf("Stop: %v", err)
			}
			r.end(s)
			if w := s.Report().Warnings; len(w) == 0 || !slices.Equal(w[1:], test.told) {
				t.Errorf("warnings: %q", w)
			}
		})
	}
}

// TestLateNodeThatTheEngineDoesNotKill: a process that never spoke with this one,
// and whose death the engine does not tell, is not waited for.
func TestLateNodeThatTheEngineDoesNotKill(t *testing.T) {
	r := newRig(t, 0)
	r.again(Restart{Policy: "on-failure", MaxAttempts: 2})
	const late = 3 * time.Second // of every start, also of those that must be in time
	r.config.Nodes[1].StartTimeout = late
	well := *r.mid
	r.mid.again = &script{node: r.mid.node, hang: "start", again: &well}
	dead := make(chan struct{}, 2)
	r.config.Note = func(_, state string) {
		if state == StateRestarting {
			dead <- struct{}{}
		}
	}
	s := r.start()
	before := r.out.len()
	r.kill()
	r.engine.mu.Lock()
	r.engine.deafKills = 2 // when it is late, and killGrace after that
	r.engine.mu.Unlock()
	<-dead
	select {
	case <-dead:
	case <-time.After(late + 2*(killGrace+lookTimeout)):
		t.Error("it is waited for")
	}
	if !eventually(func() bool { return r.out.len() > before+20 && s.Report().Nodes[1].Restarts == 2 }) {
		t.Errorf("%+v", s.Report())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.end(s)
}

// TestEngineFailsAfterAFailure: what is told is why the start failed, not why
// it was wanted.
func TestEngineFailsAfterAFailure(t *testing.T) {
	r := newRig(t, 100)
	r.again(Restart{Policy: "on-failure", MaxAttempts: 2})
	r.mid.raise, r.engine.startFails = "process", 2
	s := r.start()
	err := s.Wait(t.Context())
	r.end(s)
	if err == nil || err.Error() != "node mid: start: injected, after 2 restarts" {
		t.Errorf("Wait: %v", err)
	}
	if w := s.Report().Warnings; len(w) != 2 || !strings.HasPrefix(w[0], "node mid: process: ValueError: no: ") || !strings.HasPrefix(w[1], "node mid: start: injected: ") {
		t.Errorf("warnings: %q", w)
	}
}

// TestOldNews: what was seen of a process before is not taken for the end of
// the present one.
func TestOldNews(t *testing.T) {
	r := newRig(t, 0)
	r.again(Restart{Policy: "on-failure"})
	s := r.start()
	m := s.byService["mid"]
	first, err := s.inspect(m, "")
	if err != nil {
		t.Fatal(err)
	}
	r.kill()
	if !eventually(func() bool { n := s.Report().Nodes[1]; return n.Restarts == 1 && n.State == StateRunning }) {
		t.Fatalf("%+v", s.Report().Nodes[1])
	}
	s.mu.Lock()
	p := m.process
	s.mu.Unlock()
	s.await(m, p, Event{Time: first.Started, Container: first.ID, ExitCode: 137})
	s.mu.Lock()
	if p.dead != nil {
		t.Errorf("taken for dead: %+v", p.dead)
	}
	s.mu.Unlock()
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.end(s)
}
