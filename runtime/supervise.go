package runtime

import (
	"errors"
	"fmt"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

const (
	termGrace = 2 * time.Second // from TERM to KILL
	killGrace = 5 * time.Second // from KILL to giving a container up
	logGrace  = 2 * time.Second // for the log of a container that has ended

	unknownExit = -1 // the engine did not tell

	maxWarnings = 1000 // of a report; a session may run for days
)

// loop does what is posted until every node has ended, and serves the sessions of
// other processes until Close. All functions of this file run in it.
func (s *Session) loop() {
	defer close(s.stopped)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.mu.Lock()
		over, next := s.over.IsZero() && s.finished(), s.nextDeadline()
		s.mu.Unlock()
		if over {
			s.readLogs()
			s.mu.Lock()
			s.conclude()
			s.mu.Unlock()
			close(s.ended)
			continue
		}
		if !s.over.IsZero() && (s.leaving || len(s.guests) == 0) {
			break
		}
		timer.Reset(time.Until(next))
		var f func()
		select {
		case f = <-s.inbox:
		case <-timer.C:
			f = s.onTime
		}
		s.mu.Lock()
		f()
		s.tellState()
		s.mu.Unlock()
	}
	s.closeDoor()
}

// finished says whether nothing more will happen. A container that was never
// made counts as ended once the project is no longer being brought up.
func (s *Session) finished() bool {
	if s.raising {
		return false
	}
	for _, m := range s.members {
		if m.exited || (m.Container && m.container == "" && s.stopping) || (!m.Container && s.neverRan(m)) {
			continue
		}
		if m.Container && s.shared() && (m.left || (s.parting && m.closed)) {
			continue
		}
		return s.past(s.giveUpAt)
	}
	return true
}

// neverRan says whether m is a source of a session that ends before its start.
func (s *Session) neverRan(m *member) bool {
	return s.stopping && m.isSource() && s.started.IsZero()
}

func (s *Session) past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// nextDeadline is when onTime has something to do next.
func (s *Session) nextDeadline() time.Time {
	next := time.Now().Add(time.Hour)
	deadlines := append(s.guestDeadlines(), s.termAt, s.killAt)
	if !s.raising { // until then nothing is given up
		deadlines = append(deadlines, s.giveUpAt)
	}
	for _, t := range deadlines {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, m := range s.members {
		if !m.deadline.IsZero() && m.deadline.Before(next) {
			next = m.deadline
		}
	}
	return next
}

func (s *Session) onTime() {
	for _, m := range s.members {
		if s.past(m.deadline) {
			m.deadline = time.Time{}
			s.onLate(m)
		}
	}
	if s.past(s.termAt) {
		s.termAt = time.Time{}
		s.terminate()
	}
	s.onGuestsTime()
	if s.past(s.killAt) {
		s.killAt = time.Time{}
		if s.shared() {
			s.leaveOpen()
			return
		}
		s.signal("SIGKILL")
		s.giveUpAt = time.Now().Add(killGrace)
	}
}

// onLate is the end of the time that a node had to become ready, or to end
// after its failure.
func (s *Session) onLate(m *member) {
	e := &NodeError{Phase: startPhase(m), Message: fmt.Sprintf("not ready after %s: raise start_timeout_ms if it needs longer", m.StartTimeout)}
	switch {
	case s.link != nil && (m.failure != nil || !s.takesPart(m)): // who supervises waits for it
	case m.dead == nil && m.failure != nil, !s.takesPart(m): // it hangs, and its death is waited for
		s.condemn(m)
	case m.dead != nil && s.mayRevive(m, true): // its last words are just being read
	case s.mayRevive(m, true):
		m.blame = e
		s.condemn(m)
	default:
		s.failNode(m, e)
	}
}

// startPhase is what a node does in a state before ready.
func startPhase(m *member) string {
	switch {
	case m.state == StateLoading && !m.imported:
		return "import"
	case m.state == StateLoading:
		return "load"
	case m.state == StateOpening:
		return "open"
	}
	return "start"
}

func (s *Session) setState(m *member, state string) {
	if m.state == state || m.state == StateFailed || !s.over.IsZero() {
		return
	}
	m.state = state
	if s.c.Note != nil {
		s.c.Note(m.ID, state)
	}
}

func (s *Session) warn(text string) {
	if len(s.warnings) == maxWarnings {
		s.warnings = s.warnings[1:]
		s.unkept++
	}
	s.warnings = append(s.warnings, text)
	if s.c.Warn != nil {
		s.c.Warn(text)
	}
}

// onStart is the start of a node's container.
func (s *Session) onStart(m *member, id string, at time.Time) {
	if m.container != "" {
		return
	}
	m.container = id
	// A node may have said more by now than the engine: it does not go back.
	if m.state == StateCreated {
		s.setState(m, StateStarting)
	}
	p := m.process
	s.group.Go(func() { s.follow(m, id, p, nil) })
	if s.killed || (s.stopping && s.started.IsZero()) {
		s.sendSignal(m, "SIGKILL")
	}
	if m.hasControl() && !s.stopping && m.isStarting() {
		// The engine's clock may be another one: the deadline is this process's.
		m.deadline = time.Now().Add(m.StartTimeout - min(max(0, time.Since(at)), m.StartTimeout/2))
	}
	s.checkReady()
}

// onStatus is a message of a node.
func (s *Session) onStatus(m *member, st channel.Status) {
	m.served = m.served || st.Event == channel.EventReady
	if s.forward(m, st) {
		return
	}
	switch st.Event {
	case channel.EventHello:
		if s.takesPart(m) {
			s.setState(m, StateLoading)
		}
	case channel.EventImported:
		m.imported = true
	case channel.EventLoaded:
		m.loaded = true
		if !s.takesPart(m) {
			m.deadline = time.Time{}
			return
		}
		s.setState(m, StateOpening)
		if !s.stopping {
			s.command(m, channel.CommandOpen)
		}
	case channel.EventReady:
		s.onReady(m)
	case channel.EventReport:
		s.onReport(m, st)
	case channel.EventError:
		s.onError(m, st)
	case channel.EventMetrics:
		m.metrics = st.Metrics
	case channel.EventGivenUp:
		s.onGivenUp(m, st)
	case channel.EventSpans:
		for _, span := range st.Spans {
			if span.Failed {
				span.Message, span.Traceback = st.Message, st.Traceback
			}
			if s.c.Traced != nil {
				s.c.Traced(m.ID, span)
			}
		}
	case channel.EventClosed:
		m.unread = st.Unread
		if m.reopening != notReopening {
			s.openSoon(m)
			return
		}
		if m.failure != nil && m.state != StateFailed {
			return // its process left the session early, and the next one goes on
		}
		m.closed = true
		s.setState(m, StateClosed)
		s.checkClosed()
	case channel.EventBye:
		m.bye = &st
	}
}

func (s *Session) onReady(m *member) {
	m.deadline = time.Time{}
	m.pardon()
	s.setState(m, StateReady)
	s.rejoin(m)
	s.checkReady()
}

// checkReady starts the session when every node waits for it.
func (s *Session) checkReady() {
	if s.stopping || !s.started.IsZero() || s.raising {
		return
	}
	for _, m := range s.members {
		if !m.isReady() {
			return
		}
	}
	s.started = time.Now()
	for _, m := range s.members {
		s.command(m, channel.CommandStart)
		if m.ports != nil {
			m.ports.Begin()
		}
		if !m.exited {
			s.setState(m, StateRunning)
		}
		if !m.Container && m.isSource() {
			s.group.Go(func() { s.runBuiltin(m) })
		}
	}
	close(s.running)
	s.group.Go(s.watchStalls)
	s.admitWaiting()
}

// onReturn is the end of a built-in node.
func (s *Session) onReturn(m *member, err error) {
	m.exited, m.closed, m.err, m.unread = true, err == nil, err, m.ports.Unread()
	switch {
	case err == nil:
		s.setState(m, StateExited)
	case errors.Is(err, errCut) && s.killed:
		s.setState(m, StateFailed)
	case errors.Is(err, errCut):
		if s.late == nil {
			s.late = m
		}
		s.setState(m, StateFailed)
		s.failNode(s.late, &NodeError{Phase: "stop", Message: err.Error() + fmt.Sprintf(" of %s; what was in flight is lost", s.grace)})
	case errors.Is(err, node.ErrIncomplete):
		s.setState(m, StateFailed) // by another node's failure, which is told first
		s.stop()
	default:
		s.failNode(m, &NodeError{Message: err.Error(), Err: err})
	}
	s.checkClosed()
}

// checkClosed lets the containers end when every node has sent its last frame.
// A finished image does not tell: it ends by a signal when the others have.
func (s *Session) checkClosed() {
	speakers := 0
	for _, m := range s.members {
		if m.Container && !m.hasControl() {
			continue
		}
		speakers++
		if !m.closed && !m.exited && !s.neverRan(m) {
			return
		}
	}
	if speakers == 0 && !s.stopping {
		return
	}
	if s.exiting {
		return
	}
	s.exiting, s.drained = true, time.Now()
	if s.shared() {
		s.parting = true
		return
	}
	for _, m := range s.members {
		if !m.exited {
			m.queue(channel.Command{Command: channel.CommandExit})
			s.dismiss(m)
		}
	}
	if s.termAt.IsZero() && s.killAt.IsZero() && s.giveUpAt.IsZero() {
		s.termAt = time.Now().Add(s.grace)
	}
}

// dismiss ends the container of a finished image.
func (s *Session) dismiss(m *member) {
	if m.Container && !m.hasControl() && !m.closed {
		m.closed = true
		m.cancelRevival()
		s.sendSignal(m, "SIGTERM")
	}
}

// settle is called when a container has ended, and when its last status has
// been read; with both it is known how the node ended.
func (s *Session) settle(m *member) {
	if m.dead == nil || m.exited || m.reviving || (m.hasControl() && !m.drained) {
		return
	}
	if m.dead.ExitCode == unknownExit && m.bye != nil {
		m.dead.ExitCode = 0 // it has told itself that it ends
	}
	s.noteCrash(m)
	revived := s.revive(m)
	m.forgetReopening()
	if revived {
		return
	}
	took := s.takesPart(m)
	m.exited, m.deadline = true, time.Time{}
	s.expect(m, false)
	if m.bye == nil {
		s.group.Go(func() { s.clean(m) })
	}
	s.tellEnded(m)
	if !took {
		s.setState(m, StateExited)
		s.checkClosed()
		return
	}
	c := m.dead
	switch {
	case m.blame != nil && m.failure == nil:
		s.failNode(m, m.blame)
	case m.failure != nil || m.state == StateFailed:
		s.failNode(m, nil)
	case s.killed:
		s.setState(m, StateFailed)
	case m.closed && !m.hasControl():
		s.setState(m, StateExited) // by the signal it was sent
	case m.forced && m.closed && c.ExitCode == 0:
		m.forced = false // it was told to end, and did so by itself
		s.setState(m, StateExited)
		s.warn(fmt.Sprintf("node %s: its data is complete, but it needed longer than the stop grace of %s", m.ID, s.grace))
	case m.forced && m.closed:
		s.setState(m, StateExited)
		if !s.feeds(m, s.late) { // else it could not end before that one, which is told
			s.warn(fmt.Sprintf("node %s: its data is complete, but it had to be killed", m.ID))
		}
	case m.forced:
		s.failNode(m, &NodeError{Phase: "stop", Message: fmt.Sprintf("did not end within the stop grace of %s and was killed", s.grace)})
	case c.ExitCode == 0 && (m.closed || !m.hasControl() || s.isThrough(m)):
		m.closed = true // if it has said so, then to a supervisor that has gone
		s.setState(m, StateExited)
	default:
		s.failNode(m, nil)
	}
	s.checkClosed()
}
