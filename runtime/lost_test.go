package runtime

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

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
	if err == nil || err.Error() != "node side: ended, and the engine did not tell how" {
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
