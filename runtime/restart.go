package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

const (
	// Without max_attempts a node that always crashes must end too.
	defaultAttempts = 5
	defaultWindow   = time.Minute

	firstDelay = 100 * time.Millisecond // before a restart; doubled each time
	lastDelay  = 5 * time.Second
	healthy    = 10 * time.Second // a process that lived so long starts the delays anew

	// failGrace is how long a process that has told its failure may take to end.
	// The SDK itself gives up after five seconds.
	failGrace = 10 * time.Second
)

// startsAgain is what follows a death in the text of its warning.
const startsAgain = ": starts again in "

// errCancelled is the end of a restart that the session does not want any more.
var errCancelled = errors.New("the session ended while it waited for its restart")

// comesBack says whether the node is ever started again.
func (r Restart) comesBack() bool { return r.Policy == "on-failure" || r.Policy == "always" }

// wants says whether the policy is for a restart after such an end.
func (r Restart) wants(failed bool) bool {
	return r.Policy == "always" || (r.Policy == "on-failure" && failed)
}

// limits are the restarts allowed in a window; a window of 0 is the whole run.
func (r Restart) limits() (attempts int, window time.Duration) {
	if r.MaxAttempts > 0 {
		return r.MaxAttempts, r.Window
	}
	if r.Window > 0 {
		return defaultAttempts, r.Window
	}
	return defaultAttempts, defaultWindow
}

// counting are those of the restarts that count at a time.
func (r Restart) counting(restarts []time.Time, now time.Time) []time.Time {
	_, window := r.limits()
	if window == 0 {
		return restarts
	}
	return slices.DeleteFunc(slices.Clone(restarts), func(at time.Time) bool { return now.Sub(at) >= window })
}

// counting are those of a node's restarts that count at a time. While it is never
// ready they all do: a start that takes as long as the window would leave no other.
func (m *member) counting(now time.Time) []time.Time {
	if m.hasControl() && m.later && !m.served {
		return m.recent
	}
	return m.Restart.counting(m.recent, now)
}

// revival is the part of a member that knows of its restarts.
type revival struct {
	restarts int         // in the whole run, by any process
	recent   []time.Time // those of them that may count against the limit
	seen     int         // by this session
	heard    int         // when this process took over
	planned  *death      // what the last one follows, if another process has planned it
	reopenings
	reviving bool // its container is dead and will be started
	cancel   context.CancelFunc
	blame    *NodeError    // why its container was killed
	delay    time.Duration // before the last restart
	born     time.Time     // start of the present process, if it is not the first
}

func (r *revival) cancelRevival() {
	if r.reviving {
		r.cancel()
	}
}

// nextDelay is how long the next restart waits.
func (r *revival) nextDelay(lived time.Duration) time.Duration { return delayAfter(r.delay, lived) }

func delayAfter(before, lived time.Duration) time.Duration {
	if before == 0 || lived >= healthy {
		return firstDelay
	}
	return min(2*before, lastDelay)
}

// expect tells the other ends of a node's channels whether it comes back when
// it dies: whether they wait for it.
func (s *Session) expect(m *member, back bool) {
	value := uint64(0)
	if back {
		value = 1
	}
	for _, o := range m.Outputs {
		for _, spec := range o.Channels {
			if l := s.ledgerOf(spec); l != nil {
				l.Expected().Store(value)
			}
		}
	}
	for _, in := range m.Inputs {
		if l := s.ledgerOf(in.Channel); l != nil && in.Slot < l.Slots() {
			l.Slot(in.Slot).Expected().Store(value)
		}
	}
	if !m.hasControl() || (!back && s.wantedByGuests(m)) {
		return
	}
	if l := s.ledgers[m.Control.Name]; l != nil {
		l.Slot(0).Expected().Store(value)
	}
	if l := s.ledgers[m.Status.Name]; l != nil {
		l.Expected().Store(value)
	}
}

// mayRevive says whether a node that has ended by itself, or is about to, is
// started again.
func (s *Session) mayRevive(m *member, failed bool) bool {
	if s.link != nil || m.container == "" || m.forced || !m.Restart.wants(failed) || !s.wants(m) {
		return false
	}
	attempts, _ := m.Restart.limits()
	return m.isPlanned() || len(m.counting(time.Now())) < attempts
}

// wants says whether a session goes on with the node.
func (s *Session) wants(m *member) bool {
	return (s.takesPart(m) && !s.stopping && !s.exiting && !s.isThrough(m)) || s.wantedByGuests(m)
}

// isThrough says whether all of a node's streams have ended, or, if it has
// none, whether it has said that it is through: there is nothing to go on with.
func (s *Session) isThrough(m *member) bool {
	if m.reopening != notReopening {
		return false // its streams ended with the copy that failed
	}
	streams := 0
	for _, o := range m.Outputs {
		for _, spec := range o.Channels {
			streams++
			if l := s.ledgerOf(spec); l == nil || l.Ended().Load() == 0 {
				return false
			}
		}
	}
	return streams > 0 || m.closed
}

// hasFailed says whether a process that is dead ended by a failure.
func (m *member) hasFailed() bool {
	return m.dead.ExitCode != 0 || m.failure != nil || m.blame != nil
}

// revive plans the restart of a node whose process has ended, if its policy
// says so. That is a warning: what was lost is in the report.
func (s *Session) revive(m *member) bool {
	if !s.mayRevive(m, m.hasFailed()) {
		return false
	}
	delay := s.plan(m)
	attempts, _ := m.Restart.limits()
	e := NodeError{}
	if m.blame != nil {
		e = *m.blame
	}
	m.fate = s.describe(m, &e).Error()
	text := fmt.Sprintf("%s%s%s, restart %d of %d", m.fate, startsAgain, m.delay, len(m.recent), attempts)
	if m.restarts > m.heard {
		m.heard = m.restarts
		m.seen++
		s.warn(text)
	}
	s.tellRestart(m, text)
	if s.takesPart(m) {
		s.setState(m, StateRestarting)
		m.closed = false
	}
	m.reviving, m.deadline = true, time.Time{}
	ctx, cancel := context.WithCancel(s.life)
	m.cancel = cancel
	dead := death{m.container, m.dead.Started}
	s.group.Go(func() {
		defer cancel()
		err := s.startAgain(ctx, m, dead, delay)
		s.post(func() { s.onRevived(m, err) })
	})
	return true
}

// plan counts a restart and says how long it waits. One that another process has
// planned is not counted again, and waits for what is left of its time.
func (s *Session) plan(m *member) time.Duration {
	now := time.Now()
	if m.isPlanned() {
		m.planned = nil
		return max(0, m.born.Sub(now))
	}
	began := m.born
	if began.IsZero() {
		began = s.begun
	}
	m.delay = m.nextDelay(now.Sub(began))
	m.restarts++
	m.recent = append(m.counting(now), now)
	s.keepHistory()
	return m.delay
}

// startAgain starts a container once what its dead process left is gone. An
// engine that can start nothing for a while is waited for, which is told.
func (s *Session) startAgain(ctx context.Context, m *member, dead death, delay time.Duration) error {
	s.clean(m)
	pause(ctx, delay)
	if ctx.Err() != nil {
		return errCancelled
	}
	told := false
	return untilAnswered(ctx, engineGrace, func(ctx context.Context) error {
		err := s.bury(ctx, m, dead)
		if err == nil {
			err = s.c.Engine.Start(ctx, dead.Container)
		}
		if isDisabled(err) && !told {
			told = true
			s.post(func() { s.warn(fmt.Sprintf("node %s: waits to be started: %v", m.ID, err)) })
		}
		return err
	})
}

// bury makes the engine know that a node's process is dead: to start what it
// takes for running does nothing, and is no error. What was started since is let
// live.
func (s *Session) bury(ctx context.Context, m *member, dead death) error {
	var refused error
	for killed := false; ; killed = true {
		c, err := s.c.Engine.Inspect(ctx, dead.Container)
		switch {
		case unanswered(err):
			return err
		case err == nil && c.isUp() && !dead.Started.IsZero() && c.Started.After(dead.Started):
			return nil
		case err == nil && c.isUp() && killed && refused != nil:
			return fmt.Errorf("%w: %w", errTakenForAlive, refused)
		case err == nil && c.isUp() && killed:
			return errTakenForAlive
		case err != nil || !c.isUp():
			if killed {
				s.clean(m) // it may have lived until now
			}
			return nil
		}
		refused = s.c.Engine.Kill(ctx, dead.Container, "SIGKILL") // the next look tells
	}
}

// onRevived is the start of a node's next process, or the reason why there is
// none.
func (s *Session) onRevived(m *member, err error) {
	m.reviving, m.born = false, time.Now()
	switch {
	case err == nil:
	case s.wants(m):
		// The failure before has been told, and this is another one.
		m.blame, m.failure = &NodeError{Phase: "start", Message: err.Error()}, nil
		// An engine that has not answered for so long is waited for no more: each
		// time would be longer than a window, and there would be no last one.
		if !unanswered(err) && s.revive(m) {
			return
		}
		fallthrough
	default:
		s.endForGood(m)
		return
	}
	before := m.process
	m.process, m.blame = newProcess(before.log.next()), nil
	p := m.process
	p.later = true
	s.forgetCommands(m)
	id := m.container
	s.group.Go(func() { s.follow(m, id, p, before) })
	// It may have died before anybody listened to this process.
	s.group.Go(func() { s.lookOnce(m, p) })
	if (s.stopping || m.closed) && !s.wantedByGuests(m) {
		s.sendSignal(m, "SIGKILL")
	}
	if !m.hasControl() {
		s.setState(m, StateRunning)
		return
	}
	if s.takesPart(m) {
		s.setState(m, StateStarting)
	}
	m.deadline = time.Now().Add(m.StartTimeout)
	s.group.Go(func() { s.receiveStatus(m, p) })
}

// forgetCommands drops what was for the process before.
func (s *Session) forgetCommands(m *member) {
	for {
		select {
		case <-m.commands:
		default:
			return
		}
	}
}

func (s *Session) lookOnce(m *member, p *process) {
	if c, err := s.inspect(m, ""); err == nil && !c.isUp() {
		s.await(m, p, Event{Time: c.Started, Container: c.ID, ExitCode: c.ExitCode})
	}
}

// rejoin lets a node that is ready again go on in a session that has begun.
// What it had not finished is given to it again: the readers and writers of the
// built-in nodes look for it here, those in containers by themselves.
func (s *Session) rejoin(m *member) {
	if s.started.IsZero() || m.restarts+m.reopened == 0 {
		return
	}
	s.command(m, channel.CommandStart)
	s.setState(m, StateRunning)
	s.group.Go(func() { s.clean(m) })
}

// endForGood ends a node that is dead and will not be started any more.
func (s *Session) endForGood(m *member) {
	took := s.takesPart(m)
	m.exited = true
	s.expect(m, false)
	s.tellEnded(m)
	switch {
	case !took:
	case s.killed:
		s.setState(m, StateFailed)
	case m.closed:
		s.setState(m, StateExited)
	default:
		s.failNode(m, m.blame)
	}
	s.checkClosed()
}

// stopRevivals is called when the session ends: nobody is started again, and
// nobody waits for the dead. A node that was on its way back has lost its
// stream: it fails.
func (s *Session) stopRevivals() {
	for _, m := range s.members {
		if !m.Restart.comesBack() {
			continue
		}
		s.expect(m, false)
		if s.stopReopening(m) {
			continue
		}
		others := s.wantedByGuests(m)
		if !others {
			m.cancelRevival()
		}
		back := !s.started.IsZero() && m.restarts+m.reopened > 0 && m.isStarting()
		if back && m.dead == nil && !s.killed {
			blame := &NodeError{Phase: startPhase(m), Message: "the session ended before it was ready again"}
			if others || s.link != nil {
				m.left = true
				s.failNode(m, blame)
				continue
			}
			m.blame = blame
			s.sendSignal(m, "SIGKILL")
		}
	}
}
