package runtime

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func TestExceptionInOneSession(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	r.mid.raiseIn = "s2"
	r.mid.raiseTimes = new(atomic.Int64)
	r.mid.raiseTimes.Store(1)
	r.config.Crashed = func(c Crash) { t.Errorf("told the other session: %+v", c) }
	s := r.start()
	c, _ := r.second(10)
	var told []Crash
	c.Crashed = func(c Crash) { told = append(told, c) }
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got *NodeError
	if err := guest.Wait(t.Context()); !errors.As(err, &got) || got.Node != "mid" || got.Message != "ValueError: no" || got.Phase != "process" {
		t.Errorf("Wait: %v", err)
	}
	if len(told) != 1 || !told[0].GoesOn || !told[0].First || told[0].Session != "s2" || told[0].Phase != "process" || told[0].Cause != "ValueError: no" || told[0].Restart != 0 ||
		len(told[0].Ports) != 2 || told[0].Ports[0].Session != "s2" {
		t.Errorf("told: %+v", told)
	}
	if err := guest.Close(); err != nil {
		t.Error(err)
	}
	n := r.out.len()
	if !eventually(func() bool { return r.out.len() > n+20 }) {
		t.Error("the first session does not go on")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.end(s)
}

func TestDeathUnderTwoSessions(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	var told []Crash
	r.config.Crashed = func(c Crash) { told = append(told, c) }
	s := r.start()
	c, _ := r.second(0)
	c.Crashed = func(c Crash) { t.Errorf("told by who does not supervise: %+v", c) }
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r.engine.mu.Lock()
	victim := r.engine.containers["id-mid"]
	r.engine.mu.Unlock()
	victim.kill()
	for i, s := range []*Session{guest, s} {
		var got *NodeError
		if err := s.Wait(t.Context()); !errors.As(err, &got) || got.Node != "mid" || got.Signal != "SIGKILL" {
			t.Errorf("session %d: %v", i, err)
		}
	}
	if err := guest.Close(); err != nil {
		t.Error(err)
	}
	r.end(s)
	// How far it was is told of each session, if its channels are files.
	if len(told) != 1 || told[0].Session != "main" || told[0].GoesOn || len(told[0].Ports) < 2 {
		t.Errorf("told: %+v", told)
	}
}

// A process that dies under two sessions is started again for both.
func TestRestartUnderTwoSessions(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	r.mid.back = true
	r.config.Nodes[1].Restart = Restart{Policy: "on-failure", MaxAttempts: 3}
	s := r.start()
	c, out := r.second(0)
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.engine.mu.Lock()
		victim := r.engine.containers["id-mid"]
		r.engine.mu.Unlock()
		n, m := r.out.len(), out.len()
		if !eventually(func() bool { return r.out.len() > n && out.len() > m }) {
			t.Fatal("nothing flows")
		}
		victim.kill()
		<-victim.done
		n, m = r.out.len(), out.len()
		if !eventually(func() bool { return r.out.len() > n+20 && out.len() > m+20 }) {
			t.Fatalf("frames do not flow again: %d and %d, then %d and %d", n, m, r.out.len(), out.len())
		}
	}
	for i, one := range []*Session{guest, s} {
		if err := one.Stop(t.Context()); err != nil {
			t.Errorf("session %d: %v", i, err)
		}
		report := one.Report()
		if report.Nodes[1].Restarts != 2 || len(report.Warnings) != 2 {
			t.Errorf("session %d: %+v %q", i, report.Nodes[1], report.Warnings)
		}
		if i == 0 {
			if err := one.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	r.end(s)
}

// It is started again for one session although the other has ended.
func TestRestartForTheOtherSession(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	r.mid.back = true
	r.config.Nodes[1].Restart = Restart{Policy: "on-failure", MaxAttempts: 3}
	s := r.start()
	c, out := r.second(0)
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.engine.mu.Lock()
	victim := r.engine.containers["id-mid"]
	r.engine.mu.Unlock()
	victim.kill()
	<-victim.done
	n := out.len()
	if !eventually(func() bool { return out.len() > n+20 }) {
		t.Errorf("frames do not flow again: %d, then %d", n, out.len())
	}
	if err := errors.Join(guest.Stop(t.Context()), guest.Close()); err != nil {
		t.Error(err)
	}
	r.end(s)
	if report := s.Report(); report.State != "ended" || report.Nodes[1].State != StateClosed {
		t.Errorf("%+v", report)
	}
}

// A process that fails tells it in the name of one session and closes all: none
// takes that for the end of its stream, all go on with the next process.
func TestFailureUnderThreeSessions(t *testing.T) {
	r := newSharedRig(t, 0, 3)
	r.mid.back = true
	r.config.Nodes[1].Restart = Restart{Policy: "on-failure", MaxAttempts: 3}
	s := r.start()
	outs, guests := []*collector{&r.out}, []*Session{}
	for range 2 {
		c, out := r.second(0)
		c.Nodes[1].Restart = r.config.Nodes[1].Restart
		guest, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		outs, guests = append(outs, out), append(guests, guest)
	}
	flow := func(when string) {
		t.Helper()
		for i, out := range outs {
			n := out.len()
			if !eventually(func() bool { return out.len() > n+20 }) {
				t.Fatalf("%s: nothing comes to session %d", when, i)
			}
		}
	}
	flow("at first")
	r.engine.mu.Lock()
	victim := r.engine.containers["id-mid"]
	r.engine.mu.Unlock()
	mid := s.byService["mid"]
	s.post(func() {
		s.onStatus(mid, channel.Status{Event: channel.EventError, Session: "s3", Phase: "stop", Message: "SIGTERM came"})
		for _, name := range []string{"main", "s2", "s3"} {
			s.onStatus(mid, channel.Status{Event: channel.EventClosed, Session: name})
		}
	})
	time.Sleep(50 * time.Millisecond) // for the guests to hear it
	victim.kill()
	<-victim.done
	flow("after the failure")
	for _, guest := range guests {
		if err := errors.Join(guest.Stop(t.Context()), guest.Close()); err != nil {
			t.Error(err)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
}
