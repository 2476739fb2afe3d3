package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

const (
	// takeoverTimeout is for finding the next supervisor, or becoming it. Nodes
	// wait for it a little shorter.
	takeoverTimeout = 3 * time.Second
	// resumeGrace is how long a new supervisor waits for the sessions of the one
	// before.
	resumeGrace = 2 * time.Second
)

// onLinkLost is the end of the process that supervises the containers: of its
// sessions, the first one to lock the project takes its place, and the others
// go to that one.
func (s *Session) onLinkLost() {
	if !s.over.IsZero() || s.life.Err() != nil || s.link == nil {
		return
	}
	s.group.Go(s.findSupervisor)
}

func (s *Session) findSupervisor() {
	p := s.home()
	unfit := s.fitsDescriptors(true) // then another session may take its place
	for end := time.Now().Add(takeoverTimeout); time.Now().Before(end) && s.life.Err() == nil; pause(s.life, joinPause) {
		if conn, err := s.dial(s.life); err == nil && s.resume(conn) {
			return
		}
		if unfit != nil {
			continue
		}
		err := p.take(Owner{PID: os.Getpid(), Pipeline: s.c.Pipeline, Started: s.begun})
		if errors.As(err, new(*RunningError)) {
			continue
		}
		done := make(chan struct{})
		s.post(func() {
			defer close(done)
			if err == nil {
				s.place = p
				err = s.promote()
			}
			if err != nil {
				s.orphan(err)
			}
		})
		select {
		case <-done:
		case <-s.stopped:
		}
		if s.place == nil {
			_ = p.leave() // the session has just ended
		}
		return
	}
	if unfit == nil {
		unfit = errors.New("no other took over")
	}
	s.post(func() { s.orphan(unfit) })
}

// orphan ends a session that has lost its supervisor.
func (s *Session) orphan(err error) {
	if !s.over.IsZero() {
		return
	}
	if s.link != nil {
		s.link.lost = true
	}
	s.fail(fmt.Errorf("the process that supervises project %s has ended: %w", s.c.Project, err))
	s.kill()
}

func (s *Session) home() *place {
	return &place{project: s.c.Project, dir: s.c.Dir, root: s.c.Domain.Root, uid: s.c.UID, gid: s.c.GID}
}

// resume goes on with another supervisor; false if that one has no place for it.
func (s *Session) resume(conn net.Conn) bool {
	w := newPeer(conn)
	messages := s.talk(w)
	w.send(message{Open: &opening{Session: s.c.Session, Digest: s.c.Digest, PID: os.Getpid(), Resume: true}})
	if first, ok := <-messages; !ok || !first.Accepted {
		w.close()
		return false
	}
	s.post(func() { s.link.wire = w })
	s.group.Go(func() { s.listen(messages) })
	return true
}

// promote makes this session's process the supervisor.
func (s *Session) promote() error {
	s.link = nil
	if path, err := socketPath(s.c.Dir); err == nil {
		_ = os.Remove(path)
	}
	s.recallHistory()
	for _, m := range s.members {
		if !m.hasControl() || m.exited {
			continue
		}
		if err := s.takeControl(m); err != nil {
			return fmt.Errorf("node %s: %w", m.ID, err)
		}
	}
	s.awaitOthers()
	if err := s.openDoor(); err != nil {
		return err
	}
	s.seat.Supervises = true
	_ = s.seat.write() // it is for the eye
	s.tellSupervises()
	s.group.Go(s.lookForDeaths)
	s.askNodes()
	return nil
}

// lookForDeaths listens to the engine, and finds what has died while nobody did,
// with the supervisor before.
func (s *Session) lookForDeaths() {
	if err := s.watch(); err != nil && s.upCtx.Err() == nil {
		s.post(func() { s.lostEngine(err) })
	}
	s.foundEngine(s.life)
}

// takeControl attaches this process to a node's control and status channels.
func (s *Session) takeControl(m *member) error {
	if err := s.openControl(m); err != nil {
		if err := s.renewControl(m, err); err != nil {
			return err
		}
	}
	for _, spec := range []channel.Spec{*m.Control, *m.Status} {
		if s.ledgers[spec.Name] != nil {
			continue
		}
		// Inside one process there are no files, and no other end to look by.
		if ledger, unmap, err := s.ledger(spec); err == nil {
			s.keepLedger(spec, ledger, unmap)
		}
	}
	if m.state == StateRestarting && m.dead == nil {
		m.deadline = time.Now().Add(m.StartTimeout)
	}
	m.later, m.drained = m.restarts > 0, false
	return nil
}

// renewControl makes a node's control and status channels anew: its process was
// dead, too, when the one that supervised died, and nobody had them open.
func (s *Session) renewControl(m *member, why error) error {
	for _, spec := range []channel.Spec{*m.Control, *m.Status} {
		if err := s.create(spec); err != nil {
			why = errors.Join(why, err) // unless it is there
		}
	}
	if err := s.openControl(m); err != nil {
		return errors.Join(why, err)
	}
	if m.Restart.comesBack() {
		s.expect(m, true)
	}
	return nil
}

// awaitOthers notes the sessions that the supervisor before had: those that
// live come again, the others are closed.
func (s *Session) awaitOthers() {
	alive := owned(s.c.Dir)
	for name, lives := range alive {
		if name == s.c.Session {
			continue
		}
		near, far := net.Pipe()
		_ = far.Close()
		g := newGuest(name, newPeer(near))
		for _, m := range s.members {
			g.opened[m] = m.hasControl()
		}
		s.guests[name] = g
		if !lives {
			s.warn("the process that supervised project " + s.c.Project + " was killed: this one does now")
			s.onGuestGone(g)
			continue
		}
		g.awaited = time.Now().Add(resumeGrace)
	}
}

// askNodes asks every node how its sessions are.
func (s *Session) askNodes() {
	for _, m := range s.members {
		if m.Container && !m.exited {
			m.queue(channel.Command{Command: channel.CommandReport})
		}
	}
}

// onReport is how a node's sessions are, for those that have not heard of it.
func (s *Session) onReport(m *member, st channel.Status) {
	for _, state := range st.Sessions {
		m.served = m.served || (state != channel.SessionOpening && state != channel.SessionFailed)
	}
	for name, g := range s.guests {
		switch state := st.Sessions[name]; {
		case state == channel.SessionClosed, state == channel.SessionFailed, state == "" && !g.lost.IsZero():
			g.closed[m], g.failed[m] = true, state == channel.SessionFailed && m.Restart.wants(true)
		}
		g.wire.send(message{Node: m.ID, Status: &st})
		s.forget(g)
	}
	if !s.takesPart(m) {
		return
	}
	m.loaded = true
	switch st.Sessions[s.c.Session] {
	case "": // a new process
		if m.closed || s.stopping {
			return
		}
		m.forgetReopening()
		s.setState(m, StateOpening)
		s.command(m, channel.CommandOpen)
	case channel.SessionOpening:
		s.setState(m, StateOpening)
	case channel.SessionReady:
		if s.started.IsZero() {
			s.onReady(m)
			return
		}
		s.command(m, channel.CommandStart) // it was lost on its way
		m.deadline = time.Time{}
		s.setState(m, StateRunning)
	case channel.SessionRunning:
		m.deadline = time.Time{}
		s.setState(m, StateRunning)
		if s.stopping {
			s.command(m, channel.CommandStop)
		}
	case channel.SessionClosed:
		m.closed = true
		s.setState(m, StateClosed)
		s.checkClosed()
	case channel.SessionFailed:
		e := &NodeError{Message: "failed while nobody supervised it: its log says why"}
		switch {
		case m.state == StateFailed:
		case m.reopening != notReopening || s.reopens(m, e):
			s.openSoon(m)
		default:
			s.failNode(m, e)
		}
	}
}

// inherit removes the project, of which this session's process is or would be
// the supervisor, unless others are left.
func (s *Session) inherit(ctx context.Context) error {
	p := s.place
	if p == nil {
		p = s.home()
	}
	for end := time.Now().Add(inheritTimeout); p.lock == nil; pause(ctx, joinPause) {
		err := p.take(Owner{PID: os.Getpid(), Pipeline: s.c.Pipeline, Started: time.Now()})
		if err != nil && !errors.As(err, new(*RunningError)) {
			return err
		}
		if err != nil && time.Now().After(end) {
			return nil // somebody has started it anew, and removed what was left
		}
	}
	if s.handing || (s.place == nil && len(owners(s.c.Dir)) > 0) {
		return p.leave()
	}
	var err error
	if s.c.Engine != nil {
		err = s.removeProject(ctx)
	}
	return errors.Join(err, p.wipe(), p.leave())
}

// checkHeirs looks once more whether somebody is left to whom the project was
// handed: one that left at the same time saw it locked, and left it to this one.
// Who leaves gives up its own lock before it looks at the others', so one of the
// two sees that nobody is left.
func (s *Session) checkHeirs() error {
	if _, err := os.Stat(s.c.Dir); err != nil || len(owners(s.c.Dir)) > 0 {
		return nil
	}
	s.handing, s.place = false, nil
	ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
	defer cancel()
	return s.inherit(ctx)
}

// isWaited says whether g stands for a session that is to come again.
func (g *guest) isWaited() bool { return g != nil && !g.awaited.IsZero() }
