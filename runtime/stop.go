package runtime

import (
	"fmt"
	"slices"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// stop lets the sources end and what is in flight drain, for the grace. A
// session that has not started has nothing in flight.
func (s *Session) stop() {
	if s.stopping {
		return
	}
	s.stopping = true
	s.stopRevivals()
	s.stopSource()
	if s.started.IsZero() {
		s.cutUp()
		s.terminate()
		s.checkClosed()
		return
	}
	for _, m := range s.members {
		s.command(m, channel.CommandStop)
		s.dismiss(m)
	}
	s.termAt = time.Now().Add(s.grace)
}

// terminate is the end of the grace.
func (s *Session) terminate() {
	s.stopping = true
	s.stopRevivals()
	s.termAt = time.Time{}
	s.stopSource()
	s.late = s.undrained()
	s.cutHard()
	s.killAt = time.Now().Add(termGrace)
	if s.shared() {
		s.closeInNodes()
		return
	}
	s.signal("SIGTERM")
}

// closeInNodes ends the session in containers that others go on with.
func (s *Session) closeInNodes() {
	for _, m := range s.members {
		if m.Container && !m.closed && !m.exited {
			s.command(m, channel.CommandClose)
		}
	}
}

// leaveOpen gives a session up that a container does not close in time; others
// go on with it.
func (s *Session) leaveOpen() {
	for _, m := range s.members {
		if m.Container && !m.closed && !m.exited {
			m.left = true
			s.failNode(m, &NodeError{Phase: "stop", Message: fmt.Sprintf("did not end the session within the stop grace of %s", s.grace)})
		}
	}
	s.giveUpAt = time.Now().Add(killGrace)
}

// undrained is the node that the others wait for: it has frames to take, and
// nobody after it has; or all that it reads from has ended, and it has not.
func (s *Session) undrained() *member {
	open, behind := map[string]bool{}, map[string]bool{}
	for _, m := range s.members {
		open[m.ID] = !m.closed && !m.exited && !s.neverRan(m)
		behind[m.ID] = open[m.ID] && slices.ContainsFunc(m.Inputs, s.isBehind)
	}
	after := func(m *member) bool {
		return slices.ContainsFunc(s.members, func(r *member) bool {
			return behind[r.ID] && slices.ContainsFunc(r.Inputs, func(i channel.Input) bool { return i.Source == m.ID && !i.Feedback })
		})
	}
	before := func(m *member) bool {
		return slices.ContainsFunc(m.Inputs, func(i channel.Input) bool { return open[i.Source] && !i.Feedback })
	}
	var ended *member
	for _, m := range s.members {
		if behind[m.ID] && !after(m) {
			return m
		}
		if ended == nil && open[m.ID] && !before(m) {
			ended = m
		}
	}
	return ended
}

// feeds says whether what m sends reaches another node, if by others between them.
func (s *Session) feeds(m, to *member) bool {
	if to == nil {
		return false
	}
	reached := map[string]bool{m.ID: true}
	for grown := true; grown; {
		grown = false
		for _, r := range s.members {
			if !reached[r.ID] && slices.ContainsFunc(r.Inputs, func(i channel.Input) bool { return reached[i.Source] && !i.Feedback }) {
				reached[r.ID], grown = true, true
			}
		}
	}
	return m != to && reached[to.ID]
}

// isBehind says whether frames wait at an input.
func (s *Session) isBehind(i channel.Input) bool {
	l := s.ledgers[i.Channel.For(s.c.Session).Name]
	return l != nil && l.Slot(i.Slot).Next().Load() < l.Next().Load()
}

// kill ends everything at once.
func (s *Session) kill() {
	if s.killed || !s.over.IsZero() {
		return
	}
	s.killed, s.stopping = true, true
	s.stopRevivals()
	s.termAt, s.killAt = time.Time{}, time.Time{}
	s.stopSource()
	s.cutUp()
	s.cutHard()
	if s.shared() {
		s.closeInNodes()
		s.giveUpAt = time.Now().Add(time.Second)
		return
	}
	s.signal("SIGKILL")
	s.giveUpAt = time.Now().Add(killGrace)
}

// signal is sent to every container that has not ended.
func (s *Session) signal(name string) {
	for _, m := range s.members {
		if m.Container && !m.exited && m.dead == nil {
			m.forced = m.forced || (!s.started.IsZero() && m.state != StateFailed)
			s.sendSignal(m, name)
		}
	}
}

// failNode notes that a node failed; the first one is the cause, what follows
// is taken for its consequence.
func (s *Session) failNode(m *member, e *NodeError) {
	s.setState(m, StateFailed)
	if s.culprit == nil && s.cause == nil && !s.killed {
		if e == nil {
			e = &NodeError{}
		}
		e.Restarts = m.seen
		s.culprit, s.nodeError = m, e
	}
	s.stop()
	s.checkClosed()
}

// fail notes a failure that is no node's.
func (s *Session) fail(err error) {
	if s.culprit == nil && s.cause == nil && !s.killed {
		s.cause = err
	}
	s.stop()
}
