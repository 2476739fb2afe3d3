package runtime

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// A node dies, and the process that supervises it leaves, while the engine does
// not answer: the next supervisor starts the node again once the engine is back.
func TestTakeoverWithoutEngine(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	r.mid.back = true
	r.config.Nodes[1].Restart = Restart{Policy: "on-failure", MaxAttempts: 50, Window: time.Second}
	s := r.start()
	c, out := r.second(0)
	c.Nodes[1].Restart = r.config.Nodes[1].Restart
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { return out.len() > 0 }) {
		t.Fatal("nothing flows")
	}
	r.engine.mu.Lock()
	victim := r.engine.containers["id-mid"]
	r.engine.mu.Unlock()
	r.engine.away.Store(true)
	victim.kill()
	<-victim.done
	s.Kill()
	if err := s.Wait(t.Context()); !errors.Is(err, ErrKilled) {
		t.Errorf("Wait: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	time.Sleep(300 * time.Millisecond) // for the next one to look around in vain
	r.engine.away.Store(false)
	n := out.len()
	if !eventually(func() bool { return out.len() > n+20 }) {
		t.Errorf("frames do not flow again: %d, then %d; %+v", n, out.len(), guest.Report())
	}
	if err := guest.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.end(guest)
}

// A node whose streams have all ended, and whose process has ended well, has
// closed: if it has said so, then to a supervisor that was just leaving.
func TestClosedUnheard(t *testing.T) {
	r := newRig(t, 20)
	r.mid.mute = true
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	r.end(s)
	if n := s.Report().Nodes[1]; n.State != StateExited || r.out.len() != 20 {
		t.Errorf("%d lines, %+v", r.out.len(), n)
	}
}

// The channels by which a node is commanded are gone when it has died with its
// supervisor: whoever takes its place makes them anew.
func TestControlIsMadeAnew(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	r.config.Nodes[1].Restart = Restart{Policy: "on-failure"}
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.openTransport(); err != nil {
		t.Fatal(err)
	}
	mid := s.byService["mid"]
	if err := s.takeControl(mid); err != nil {
		t.Fatalf("no channels: %v", err)
	}
	if s.ledgers[mid.Status.Name].Expected().Load() != 1 {
		t.Error("nobody waits for the node's next process")
	}
	status, err := channel.NewPublisher(r.engine.transport, *mid.Status)
	if err != nil {
		t.Errorf("the next process: %v", err)
	} else {
		_ = status.Close()
	}
	s.stopLife()
	close(s.stopped) // there was no loop
	if err := s.quiet(context.Background()); err != nil {
		t.Error(err)
	}
}
