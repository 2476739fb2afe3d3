package runtime

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// scripted answers looks and signals with what a test gives.
type scripted struct {
	*fakeEngine
	inspect func() (Container, error)
	kill    func() error
}

func (e *scripted) Inspect(context.Context, string) (Container, error) { return e.inspect() }

func (e *scripted) Kill(context.Context, string, string) error { return e.kill() }

// idle is a session whose loop does not run, and its node mid in a container.
func (r *rig) idle(engine Engine) (*Session, *member) {
	r.t.Helper()
	r.config.Engine = engine
	s, err := newSession(r.t.Context(), r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.stopLife)
	s.transport = r.engine.transport
	m := s.byService["mid"]
	m.container = "id"
	return s, m
}

// A start that an engine refuses is planned again; one that it has not answered for
// as long as it is waited for is the last one.
func TestUnansweredStartIsTheLast(t *testing.T) {
	tests := map[string]struct {
		err   error
		again bool
	}{
		"refused":    {errInjected, true},
		"unanswered": {fmt.Errorf("start: %w", errdefs.ErrUnavailable), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 0)
			r.again(Restart{Policy: "always", Window: time.Minute})
			s, m := r.idle(r.engine)
			m.dead, m.reviving, m.recent = &Container{ExitCode: 1}, true, []time.Time{time.Now().Add(-2 * time.Minute)}
			s.onRevived(m, test.err)
			s.stopLife() // it waits no longer for its delay
			if m.reviving {
				<-s.inbox
			}
			if m.reviving != test.again || m.exited == test.again || (m.state == StateFailed) == test.again {
				t.Errorf("planned again: %t, ended: %t, %s", m.reviving, m.exited, m.state)
			}
		})
	}
}

// Old restarts are forgotten of a node that was ready since, and not of one that
// never gets ready: each start may take as long as the window.
func TestRestartsThatCount(t *testing.T) {
	now := time.Now()
	control, status := channel.ControlSpec("mid"), channel.StatusSpec("mid")
	tests := map[string]struct {
		change func(*member)
		count  int
	}{
		"never ready":                   {func(*member) {}, 2},
		"was ready":                     {func(m *member) { m.served = true }, 1},
		"its first process":             {func(m *member) { m.later = false }, 1},
		"a finished image is not ready": {func(m *member) { m.Control, m.Status = nil, nil }, 1},
	}
	for name, test := range tests {
		m := newMember(Node{Node: channel.Node{ID: "mid", Control: &control, Status: &status}, Container: true, Restart: Restart{Policy: "always", Window: time.Minute}}, nil)
		m.later, m.recent = true, []time.Time{now.Add(-2 * time.Minute), now}
		test.change(m)
		if got := m.counting(now); len(got) != test.count {
			t.Errorf("%s: %d count, want %d", name, len(got), test.count)
		}
	}
}

// What somebody has started since a node's process died is not killed for it.
func TestBuryLetsALaterProcessLive(t *testing.T) {
	died := time.Now()
	for lived, want := range map[time.Duration]struct {
		kills int
		err   error
	}{0: {1, errTakenForAlive}, time.Second: {0, nil}} {
		kills := 0
		r := newRig(t, 0)
		s, m := r.idle(&scripted{
			r.engine,
			func() (Container, error) { return Container{State: "running", Started: died.Add(lived)}, nil },
			func() error { kills++; return nil },
		})
		if err := s.bury(t.Context(), m, death{"id", died}); !errors.Is(err, want.err) || kills != want.kills {
			t.Errorf("started %s later: %v, %d kills", lived, err, kills)
		}
	}
}

// A process that was condemned while the engine was away, and then is ready, is
// neither killed nor taken for dead, even if it is so during the first look at it.
func TestPardon(t *testing.T) {
	r := newRig(t, 0)
	away := errdefs.ErrUnavailable
	ready := make(chan struct{})
	kills := 0
	var s *Session
	var m *member
	s, m = r.idle(&scripted{r.engine, func() (Container, error) {
		select {
		case <-ready:
		default:
			s.mu.Lock()
			s.onStatus(m, channel.Status{Event: channel.EventReady, Session: s.c.Session})
			s.mu.Unlock()
			close(ready)
		}
		return Container{}, away
	}, func() error {
		select {
		case <-ready:
			kills++
		default:
		}
		return away
	}})
	s.setState(m, StateOpening)
	s.raising = true // nothing more comes of it
	s.condemn(m)
	done := make(chan struct{})
	go func() {
		s.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-s.inbox:
		t.Error("its end is told")
		s.stopLife()
		<-done
	}
	if m.condemned || kills > 0 {
		t.Errorf("condemned %t, %d kills", m.condemned, kills)
	}
	if m.state != StateReady || len(s.warnings) > 0 {
		t.Errorf("%s, %q", m.state, s.warnings)
	}
}
