package runtime

import (
	"fmt"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// A node's exception in one session of several ends that session's copy of the
// node, and the process goes on. What a restart of the container is to all
// sessions, opening again in the same process is to this one: by the same policy,
// limits and delays, with the same losses.

// reopenings is the part of a member that knows of it.
type reopenings struct {
	reopening reopening
	reopened  int           // times, in all
	recently  []time.Time   // those of them that may count against the limit
	pause     time.Duration // before the last time
}

// reopening is where a session stands whose copy of a node is to be made anew.
type reopening int

const (
	notReopening reopening = iota
	failing                // the copy that failed has not let its channels go
	delayed                // it has, and the delay runs
)

// reopens tells of a failure in this session only, and says whether the session
// opens again.
func (s *Session) reopens(m *member, e *NodeError) bool {
	began := m.lastBegun(s.begun)
	restart := s.reopen(m, e)
	s.noteFailure(m, e, restart, began)
	return restart > 0
}

// reopen plans to open the session again in a node in which it has failed, if the
// node's policy says so, and returns for the how-manieth time; 0: it does not.
func (s *Session) reopen(m *member, e *NodeError) int {
	now := time.Now()
	attempts, _ := m.Restart.limits()
	recent := m.Restart.counting(m.recently, now)
	switch {
	case !m.Restart.wants(true), len(recent) >= attempts:
		return 0
	case m.dead != nil, m.forced, m.left, s.stopping, s.exiting, !s.takesPart(m), s.isThrough(m):
		return 0
	}
	m.pause = delayAfter(m.pause, now.Sub(m.lastBegun(s.begun)))
	m.recently = append(recent, now)
	m.reopened++
	m.seen++
	m.fate = s.describe(m, e).Error()
	s.warn(fmt.Sprintf("%s: session %s opens in it again in %s, restart %d of %d", m.fate, s.c.Session, m.pause, len(m.recently), attempts))
	s.setState(m, StateRestarting)
	m.reopening, m.closed, m.deadline = failing, false, time.Time{}
	return len(m.recently)
}

// lastBegun is when what has just failed began: the process, or the session's
// copy that was opened last.
func (r *revival) lastBegun(first time.Time) time.Time {
	last := first
	if r.born.After(last) {
		last = r.born
	}
	if n := len(r.recently); n > 0 && r.recently[n-1].After(last) {
		last = r.recently[n-1]
	}
	return last
}

// openSoon is called when the copy that failed has let its channels go.
func (s *Session) openSoon(m *member) {
	if m.reopening != failing {
		return
	}
	m.reopening = delayed
	p, delay, times := m.process, m.pause, m.reopened
	s.group.Go(func() {
		pause(s.life, delay)
		s.post(func() {
			if m.reopening == delayed && m.process == p && m.reopened == times {
				s.openAgain(m)
			}
		})
	})
}

func (s *Session) openAgain(m *member) {
	if s.link != nil && s.link.wire.isClosed() {
		m.reopening = failing // nobody would hear it; whoever takes over asks the node, which tells it again
		return
	}
	m.reopening = notReopening
	s.setState(m, StateOpening)
	m.deadline = time.Now().Add(m.StartTimeout)
	s.command(m, channel.CommandOpen)
}

// forgetReopening is called when the process has died: the next one opens the
// session by itself.
func (m *member) forgetReopening() { m.reopening = notReopening }

// stopReopening ends a session that waits to be opened again, and ends before: it
// has lost its stream.
func (s *Session) stopReopening(m *member) bool {
	if m.reopening == notReopening {
		return false
	}
	m.reopening = notReopening
	m.closed, m.left = true, true // it has no copy of the node that could end
	if s.killed {
		s.setState(m, StateFailed)
		return true
	}
	s.failNode(m, &NodeError{Phase: "start", Message: "the session ended before it was opened again"})
	return true
}
