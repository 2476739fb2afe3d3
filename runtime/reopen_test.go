package runtime

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// failingRig is a rig whose second session fails so often, each time after some
// frames.
func failingRig(t *testing.T, times int64, restart Restart) (*rig, *Session, *Session, *collector) {
	t.Helper()
	r := newSharedRig(t, 0, 2)
	r.again(restart)
	r.mid.raiseIn, r.mid.raiseAfter = "s2", 10
	r.mid.raiseTimes = new(atomic.Int64)
	r.mid.raiseTimes.Store(times)
	s := r.start()
	c, out := r.second(0)
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r, s, guest, out
}

// What a restart is to all sessions, opening again is to the one that has failed.
func TestSessionOpensAgain(t *testing.T) {
	r, s, guest, out := failingRig(t, 2, Restart{Policy: "on-failure", MaxAttempts: 3})
	if !eventually(func() bool { return len(guest.Report().Warnings) == 2 && guest.Report().Nodes[1].State == StateRunning }) {
		t.Fatalf("%+v", guest.Report())
	}
	n, m := out.len(), r.out.len()
	if !eventually(func() bool { return out.len() > n+20 && r.out.len() > m+20 }) {
		t.Fatalf("frames do not flow again: %d, then %d", n, out.len())
	}
	if err := guest.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	report := guest.Report()
	if w := report.Warnings[0]; w != "node mid: process: ValueError: no: session s2 opens in it again in 100ms, restart 1 of 3" {
		t.Errorf("warning: %s", w)
	}
	in, through := report.Connections[0], report.Connections[1]
	// A frame in process each time; what waited is dropped and counted.
	if report.Nodes[1].Restarts != 2 || in.Frames != through.Frames+2 || int(through.Frames) != out.len() || in.Unfinished != 2 {
		t.Errorf("%d frames written, %+v", out.len(), report)
	}
	if err := errors.Join(guest.Close(), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if report := s.Report(); report.Nodes[1].Restarts != 0 || len(report.Warnings) != 0 {
		t.Errorf("the other session: %+v", report)
	}
	r.end(s)
}

func TestSessionOpensAgainNoMore(t *testing.T) {
	r, s, guest, _ := failingRig(t, 9, Restart{Policy: "on-failure", MaxAttempts: 2})
	var got *NodeError
	if err := guest.Wait(t.Context()); !errors.As(err, &got) || got.Restarts != 2 || got.Message != "ValueError: no" || !strings.Contains(err.Error(), "after 2 restarts") {
		t.Errorf("Wait: %v", err)
	}
	n := r.out.len()
	if !eventually(func() bool { return r.out.len() > n+20 }) {
		t.Error("the first session does not go on")
	}
	if err := errors.Join(guest.Close(), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	r.end(s)
}

// A stop does not wait for a session that is to be opened again.
func TestStopBeforeASessionOpensAgain(t *testing.T) {
	for _, first := range []bool{false, true} {
		r, s, guest, _ := failingRig(t, 9, Restart{Policy: "always", MaxAttempts: 9})
		if !eventually(func() bool {
			return guest.Report().Nodes[1].State == StateRestarting && len(guest.Report().Warnings) >= 3
		}) {
			t.Fatalf("%+v", guest.Report())
		}
		if first { // the container is the guest's alone then
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		began := time.Now()
		var got *NodeError
		if err := guest.Stop(t.Context()); !errors.As(err, &got) || got.Phase != "start" || !strings.Contains(got.Message, "before it was") {
			t.Errorf("first stopped: %t: Stop: %v", first, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("first stopped: %t: it took %s", first, took)
		}
		if err := errors.Join(guest.Close(), s.Stop(t.Context())); err != nil {
			t.Error(err)
		}
		r.end(s)
	}
}

// The death of the process in between is a restart as any other.
func TestDeathBeforeASessionOpensAgain(t *testing.T) {
	r, s, guest, out := failingRig(t, 1, Restart{Policy: "on-failure"})
	if !eventually(func() bool { return guest.Report().Nodes[1].State == StateRestarting }) {
		t.Fatalf("%+v", guest.Report())
	}
	r.kill()
	n, m := out.len(), r.out.len()
	if !eventually(func() bool { return out.len() > n+20 && r.out.len() > m+20 }) {
		t.Fatalf("frames do not flow again: %d, then %d", n, out.len())
	}
	if err := errors.Join(guest.Stop(t.Context()), guest.Close(), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if report := guest.Report(); report.Nodes[1].Restarts != 2 {
		t.Errorf("%+v", report)
	}
	r.end(s)
}

// The process that supervises may end meanwhile: another one opens the session again.
func TestTakeoverBeforeASessionOpensAgain(t *testing.T) {
	r, s, guest, out := failingRig(t, 4, Restart{Policy: "on-failure", MaxAttempts: 9})
	if !eventually(func() bool {
		return len(guest.Report().Warnings) == 4 && guest.Report().Nodes[1].State == StateRestarting
	}) {
		t.Fatalf("%+v", guest.Report())
	}
	if err := errors.Join(s.Stop(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	n := out.len()
	if !eventually(func() bool { return out.len() > n+20 }) {
		t.Fatalf("frames do not flow again: %d, then %d: %+v", n, out.len(), guest.Report())
	}
	if err := guest.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if report := guest.Report(); report.Nodes[1].Restarts != 4 {
		t.Errorf("%+v", report)
	}
	r.end(guest)
}

// A process that dies while the only session waits to be opened in it again is
// started again: the session's streams ended with the copy that failed.
func TestDeathBeforeTheOnlySessionOpensAgain(t *testing.T) {
	r := newRig(t, 0)
	r.again(Restart{Policy: "on-failure"})
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.openTransport(); err != nil {
		t.Fatal(err)
	}
	m := s.byService["mid"]
	for _, spec := range s.specs() {
		if s.ledgers[spec.Name], err = channel.NewLedger(make([]byte, channel.LedgerSize(len(spec.Readers))), len(spec.Readers)); err != nil {
			t.Fatal(err)
		}
		s.ledgers[spec.Name].Ended().Store(1)
	}
	m.container, m.drained, m.reopening = "id", true, delayed
	m.end(&Container{ID: "id", ExitCode: 137})
	s.settle(m)
	if !m.reviving || m.reopening != notReopening || m.state != StateRestarting {
		t.Errorf("%s, revived: %v", m.state, m.reviving)
	}
	s.stopLife()
	close(s.stopped) // there was no loop
	if err := s.quiet(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who supervises starts a node again also for a session that waits to be opened in it
// again, and for no other that has closed.
func TestFailedGuestWantsItsNode(t *testing.T) {
	for policy, want := range map[string]bool{"on-failure": true, "no": false} {
		r := newRig(t, 0)
		r.again(Restart{Policy: policy})
		s, err := newSession(t.Context(), r.config)
		if err != nil {
			t.Fatal(err)
		}
		m, g := s.byService["mid"], newGuest("s2", newPeer(nil))
		s.guests[g.name] = g
		wanted := func() bool { return s.wantedByGuests(m) }
		s.obeyGuest(g, "mid", channel.Command{Command: channel.CommandOpen})
		s.forward(m, channel.Status{Session: "s2", Event: channel.EventError, GoesOn: true})
		s.forward(m, channel.Status{Session: "s2", Event: channel.EventClosed})
		if wanted() != want {
			t.Errorf("%s: wanted: %v", policy, !want)
		}
		s.obeyGuest(g, "mid", channel.Command{Command: channel.CommandOpen})
		s.forward(m, channel.Status{Session: "s2", Event: channel.EventClosed})
		if wanted() {
			t.Errorf("%s: wanted by a session that has closed", policy)
		}
		s.stopLife()
	}
}

// Of the times that a session was opened again only those are kept that may count
// against the limit: it may run for days.
func TestOpeningsThatCountNoMoreAreForgotten(t *testing.T) {
	r := newRig(t, 0)
	r.again(Restart{Policy: "on-failure", MaxAttempts: 2, Window: time.Minute})
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stopLife()
	m := s.byService["mid"]
	const times = 2 * maxWarnings
	for range times {
		for i := range m.recently {
			m.recently[i] = m.recently[i].Add(-time.Minute)
		}
		if s.reopen(m, &NodeError{}) == 0 {
			t.Fatal("it is not opened again")
		}
	}
	if m.reopened != times || m.seen != times || len(m.recently) != 1 {
		t.Errorf("%d times, %d seen, %d kept", m.reopened, m.seen, len(m.recently))
	}
	warnings := s.Report().Warnings
	if first := fmt.Sprintf("%d more before these were told when they came", maxWarnings); len(warnings) != maxWarnings+1 || warnings[0] != first {
		t.Errorf("%d warnings, the first is %q", len(warnings), warnings[0])
	}
}

// The delay may run out while nobody supervises: the session is opened when somebody
// does, and no restart is counted for it.
func TestOpeningAgainWaitsForASupervisor(t *testing.T) {
	r := newRig(t, 0)
	r.again(Restart{Policy: "on-failure"})
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer far.Close()
	m := s.byService["mid"]
	s.link = &link{wire: newPeer(near)}
	s.link.wire.close()
	m.reopened, m.reopening, m.state = 1, delayed, StateRestarting
	s.openAgain(m)
	if m.reopening != failing || m.state != StateRestarting {
		t.Errorf("%s, %d: nobody can open it", m.state, m.reopening)
	}
	s.link.wire = newPeer(near) // of the next one
	s.onReport(m, channel.Status{Sessions: map[string]string{s.c.Session: channel.SessionFailed}})
	select {
	case f := <-s.inbox:
		f()
	case <-time.After(5 * time.Second):
		t.Fatal("it is not opened")
	}
	if m.reopening != notReopening || m.state != StateOpening || m.reopened != 1 {
		t.Errorf("%s, %d, %d restarts", m.state, m.reopening, m.reopened)
	}
	s.stopLife()
	s.group.Wait()
}
