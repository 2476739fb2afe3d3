package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// An engine whose containerd is away has answered nothing; a start that it refuses is
// answered. The texts are those of its releases, in both of its image stores.
func TestUnanswered(t *testing.T) {
	const daemon = "Error response from daemon: "
	tests := map[string]bool{
		`Unavailable: connection error: desc = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused"`: true,
		`Unavailable: connection error: desc = "error reading server preface: connection reset by peer"`:                                                 true,
		`failed to create task for container: Unavailable: error reading from server: EOF`:                                                               true,
		`connection error: desc = "transport: Error while dialing: dial unix:///run/containerd/containerd.sock: timeout": unavailable: unknown`:          true,

		`failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "/nope": stat /nope: no such file or directory`: false,
		`Cannot mkdir: /etc/passwd is not a directory`:                                                         false,
		`error gathering device information while adding custom device "/dev/nope": no such file or directory`: false,
		`invalid mount config for type "bind": bind source path does not exist: /nope`:                         false,
	}
	for text, want := range tests {
		if got := unanswered(fmt.Errorf("start: %w", errors.New(daemon+text))); got != want {
			t.Errorf("%t: %s", got, text)
		}
	}
	if !unanswered(errdefs.ErrUnavailable) || unanswered(nil) || unanswered(errdefs.ErrNotFound) {
		t.Error("not by its kind")
	}
}

// believer takes a process for running until it has been told so many times to kill it.
type believer struct {
	*fakeEngine
	kills, starts int
}

func (e *believer) Inspect(context.Context, string) (Container, error) {
	if e.kills > 0 {
		return Container{State: "running"}, nil
	}
	return Container{State: "exited"}, nil
}

func (e *believer) Kill(context.Context, string, string) error {
	e.kills--
	return nil
}

func (e *believer) Start(context.Context, string) error {
	if e.kills <= 0 { // else it does nothing
		e.starts++
	}
	return nil
}

// An engine that takes a dead process for running does not start the next one. It is
// told to kill it until it has understood.
func TestStartOfOneTakenForAlive(t *testing.T) {
	for kills, told := range []int{0, 0, 1, 1} {
		r := newRig(t, 0)
		engine := &believer{fakeEngine: r.engine, kills: kills}
		r.config.Engine = engine
		s, err := newSession(t.Context(), r.config)
		if err != nil {
			t.Fatal(err)
		}
		defer s.stopLife()
		s.transport = r.engine.transport
		done := make(chan error)
		go func() { done <- s.startAgain(t.Context(), s.byService["mid"], death{Container: "id"}, 0) }()
		for waits := true; waits; {
			select {
			case f := <-s.inbox:
				f()
			case err = <-done:
				waits = false
			}
		}
		if err != nil || engine.kills != 0 || engine.starts != 1 || len(s.warnings) != told {
			t.Errorf("%d kills: %v, %d to come, %d starts, %q", kills, err, engine.kills, engine.starts, s.warnings)
		}
	}
}

// shy refuses so many questions before it answers.
type shy struct {
	*fakeEngine
	refusals int
	kills    int
	refused  func()
}

func (e *shy) Kill(context.Context, string, string) error {
	if e.refusals > 0 {
		e.refusals--
		e.refused()
		return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	e.kills++
	return nil
}

func (e *shy) Containers(context.Context, string) ([]Container, error) {
	if e.refusals > 0 {
		e.refusals--
		return nil, errInjected
	}
	return nil, nil
}

// An engine whose events come again, and that refuses the first question, is asked
// again: a death of meanwhile would not be heard of, and it would stay lost.
func TestFoundEngineRefusesAtFirst(t *testing.T) {
	r := newRig(t, 0)
	engine := &shy{fakeEngine: r.engine, refusals: 2}
	r.config.Engine = engine
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stopLife()
	s.lostSince = time.Now()
	s.group.Go(func() { s.foundEngine(s.life) })
	select {
	case f := <-s.inbox:
		f()
	case <-time.After(5 * time.Second):
		t.Fatal("it is not asked again")
	}
	s.group.Wait()
	if !s.lostSince.IsZero() || !strings.HasPrefix(strings.Join(s.warnings, ""), "the engine answers again") || engine.refusals != 0 {
		t.Errorf("lost since %s, %q, %d refusals to come", s.lostSince, s.warnings, engine.refusals)
	}
	stream, lost := context.WithCancel(s.life)
	lost()
	engine.refusals = 1
	s.foundEngine(stream) // returns: the next stream's asks
}

// A finished image has no channel by which its death is noticed: that its container
// was removed while nobody listened is seen when somebody does again.
func TestRemovedWhileTheEngineWasAway(t *testing.T) {
	r := newRig(t, 0)
	side := &script{node: channel.Node{ID: "side"}}
	r.engine.nodes["side"], r.engine.blind = side, true
	r.config.Nodes = append(r.config.Nodes, Node{Node: side.node, Container: true})
	s := r.start()
	r.engine.mu.Lock()
	removed := r.engine.containers["id-side"]
	delete(r.engine.containers, "id-side")
	r.engine.mu.Unlock()
	removed.kill()
	s.group.Go(func() { s.foundEngine(s.life) })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := s.Wait(ctx)
	if err == nil || err.Error() != "node side: ended, and the engine does not know how" {
		t.Errorf("Wait: %v", err)
	}
	r.end(s)
}

// A signal waits for an engine that is away: a node that hangs is killed once. It is
// for the process that is there, and not for the one after it.
func TestSignalWaitsForTheEngine(t *testing.T) {
	tests := map[string]struct {
		dies  bool // meanwhile
		kills int
	}{
		"it hangs on":       {false, 1},
		"it dies by itself": {true, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 0)
			engine := &shy{fakeEngine: r.engine, refusals: 2}
			r.config.Engine = engine
			s, err := newSession(t.Context(), r.config)
			if err != nil {
				t.Fatal(err)
			}
			defer s.stopLife()
			m := s.byService["mid"]
			m.container = "id"
			engine.refused = func() {
				if test.dies {
					m.end(&Container{})
				}
			}
			s.sendSignal(m, "SIGKILL")
			s.group.Wait()
			if engine.kills != test.kills {
				t.Errorf("killed %d times, want %d", engine.kills, test.kills)
			}
		})
	}
}
