package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	joinPause    = 20 * time.Millisecond // between two tries to reach who supervises a project
	joinPatience = 5 * time.Second       // after which a session says that it has no answer yet
	joinTimeout  = time.Minute           // for one that has the lock and does not answer yet
)

// inheritTimeout is for another session that looks whether it is the last.
const inheritTimeout = 2 * time.Second

// ErrNotRunning says that there is no running project to open a session in.
var ErrNotRunning = errors.New("the project does not run")

// link is the connection of a session to the process that supervises its
// project. That process speaks with the containers; the session has its own
// channels and built-in nodes.
type link struct {
	wire *peer
	lost bool // the supervisor has gone first
}

// Join opens a session in a project that another process runs. It waits until
// that project has started, and makes nothing but the session's own channels. An
// error wraps ErrNotRunning if nobody runs the project.
func Join(ctx context.Context, c Config) (*Session, error) {
	s, err := newSession(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.begin(ctx, s.join)
}

// join is prepare for a session on the containers of another process.
func (s *Session) join(ctx context.Context) error {
	s.later("what the supervisor has left", downTimeout, func(ctx context.Context) error {
		_, gone := os.Stat(s.c.Dir)
		if s.place == nil && (gone != nil || runningIn(s.c.Dir, s.c.Project) != nil) {
			return nil
		}
		return s.inherit(ctx)
	})
	messages, err := s.ask(ctx)
	if err != nil {
		return err
	}
	for _, m := range s.members {
		if m.Container {
			m.drained, m.deadline = true, time.Now().Add(m.StartTimeout)
		}
	}
	if err := s.furnish(); err != nil {
		return err
	}
	s.group.Go(func() { s.listen(messages) })
	return ctx.Err()
}

// listen handles what the supervisor says until it is gone.
func (s *Session) listen(messages <-chan message) {
	for m := range messages {
		s.post(func() { s.onMessage(m) })
	}
	s.post(s.onLinkLost)
}

// talk reads and writes a connection until it is closed, or the session is.
func (s *Session) talk(w *peer) <-chan message {
	messages := make(chan message, 64)
	s.group.Go(w.write)
	s.group.Go(func() {
		defer close(messages)
		w.read(func(m message) {
			select {
			case messages <- m:
			case <-s.life.Done():
			}
		})
	})
	context.AfterFunc(s.life, w.close)
	return messages
}

func (s *Session) dial(ctx context.Context) (net.Conn, error) {
	path, err := socketPath(s.c.Dir)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

// ask finds the supervisor, takes a name, and asks for the session. Everything
// that the supervisor says after its consent comes on the channel, which ends
// with the connection.
func (s *Session) ask(ctx context.Context) (<-chan message, error) {
	for end := time.Now().Add(joinTimeout); ; pause(ctx, joinPause) {
		messages, err := s.askOnce(ctx)
		if err == nil || !errors.Is(err, errTryAgain) {
			return messages, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var running *RunningError
		if !errors.As(runningIn(s.c.Dir, s.c.Project), &running) && len(owners(s.c.Dir)) == 0 {
			return nil, ErrNotRunning
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("the process that runs project %s does not answer", s.c.Project)
		}
	}
}

// errTryAgain says that the supervisor is just coming or going.
var errTryAgain = errors.New("try again")

func (s *Session) askOnce(ctx context.Context) (<-chan message, error) {
	if _, err := socketPath(s.c.Dir); err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, errTryAgain
	}
	s.link = &link{wire: newPeer(conn)}
	wanted, kept := s.c.Session, len(s.undo)
	if err := s.sit(); err != nil {
		s.link.wire.close()
		if errors.Is(err, ErrNotRunning) {
			return nil, errTryAgain
		}
		return nil, err
	}
	w := s.link.wire
	s.later("connection to the supervisor", closeTimeout, func(context.Context) error { w.close(); return nil })
	messages := s.talk(w)
	stop := context.AfterFunc(ctx, w.close)
	w.send(message{Open: &opening{Session: s.c.Session, Digest: s.c.Digest, PID: os.Getpid()}})
	slow := time.AfterFunc(joinPatience, s.tellNoAnswer)
	first, ok := <-messages
	slow.Stop()
	if !stop() || (ok && first.Accepted) {
		if !ok {
			return nil, ctx.Err()
		}
		return messages, nil
	}
	err = errTryAgain
	var running *RunningError
	switch {
	case ok && first.Running != "" && errors.As(runningIn(s.c.Dir, s.c.Project), &running):
		running.Reason, err = first.Running, running
	case ok && first.Refused != "":
		err = errors.New(first.Refused)
	}
	for len(s.undo) > kept { // the name
		last := s.undo[len(s.undo)-1]
		s.undo = s.undo[:len(s.undo)-1]
		_ = last.run()
	}
	s.c.Session = wanted
	return nil, err
}

// tellNoAnswer says what a session waits for that is not answered: it may come
// while the project's nodes still load, which takes as long as it takes.
func (s *Session) tellNoAnswer() {
	var running *RunningError
	if s.c.Warn != nil && errors.As(runningIn(s.c.Dir, s.c.Project), &running) {
		s.c.Warn(fmt.Sprintf("project %s has not answered for %s: its nodes are not ready yet, or process %d, which runs it, stands still", s.c.Project, joinPatience, running.Owner.PID))
	}
}

// onMessage is a message of the supervisor.
func (s *Session) onMessage(msg message) {
	i := slices.IndexFunc(s.members, func(m *member) bool { return m.ID == msg.Node })
	if i < 0 {
		return
	}
	m := s.members[i]
	switch {
	case msg.Status != nil:
		s.onStatus(m, *msg.Status)
	case msg.Ended != nil:
		s.onEnded(m, msg)
	case msg.Restart != "":
		s.onRestarting(m, msg)
	case msg.Container != nil:
		s.onIntroduced(m, msg)
	}
}

// onIntroduced is how a node is when the session comes to it.
func (s *Session) onIntroduced(m *member, msg message) {
	m.container, m.restarts = msg.Container.ID, msg.Number
	s.setState(m, StateStarting)
	m.last = time.Now() // what was logged before is not of this session
	s.followPresent(m, nil)
	if msg.Loaded {
		m.loaded = true
		s.setState(m, StateOpening)
		s.command(m, "open")
	}
}

// followPresent is follow for a node's present process, where there is an engine.
func (s *Session) followPresent(m *member, before *process) {
	if id, p := m.container, m.process; s.c.Engine != nil && id != "" {
		s.group.Go(func() { s.follow(m, id, p, before) })
	}
}

// onRestarting is the death of a node's process that has a next one.
func (s *Session) onRestarting(m *member, msg message) {
	if !s.takesPart(m) || msg.Number <= m.restarts { // told by the supervisor before
		return
	}
	s.warn(msg.Restart)
	m.forgetReopening()
	m.fate, _, _ = strings.Cut(msg.Restart, startsAgain)
	m.restarts = msg.Number
	m.seen++
	m.closed = false
	s.setState(m, StateRestarting)
	before := m.process
	before.end(msg.Container)
	m.process = newProcess(before.log.next())
	m.drained = true
	s.followPresent(m, before)
	if s.stopping {
		m.left = true
		s.failNode(m, &NodeError{Phase: "start", Message: "the session ended before it was ready again"})
		return
	}
	m.deadline = time.Now().Add(m.StartTimeout)
}

// onEnded is the death of a node's container that is not started again.
func (s *Session) onEnded(m *member, msg message) {
	if m.exited {
		return
	}
	took := s.takesPart(m)
	m.forgetReopening()
	m.exited, m.deadline = true, time.Time{}
	m.end(msg.Container)
	s.expect(m, false)
	if took {
		s.failNode(m, msg.Ended)
		return
	}
	s.setState(m, StateExited)
	s.checkClosed()
}

// isOrphan says whether the supervisor has gone first.
func (s *Session) isOrphan() bool { return s.link != nil && s.link.lost }
