package runtime

import (
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
		m.command(channel.CommandStop, s.c.Session)
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
	s.signal("SIGTERM")
	s.killAt = time.Now().Add(termGrace)
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

// isBehind says whether frames wait at an input.
func (s *Session) isBehind(i channel.Input) bool {
	l := s.ledgers[i.Channel.For(s.c.Session).Name]
	return l != nil && l.Slot(i.Slot).Next().Load() < l.Next().Load()
}

// kill ends everything at once.
func (s *Session) kill() {
	if s.killed {
		return
	}
	s.killed, s.stopping = true, true
	s.stopRevivals()
	s.termAt, s.killAt = time.Time{}, time.Time{}
	s.stopSource()
	s.cutUp()
	s.cutHard()
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
