package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// lookEvery is how often the runtime looks whether a silent node lives.
const lookEvery = 100 * time.Millisecond

// member is one node of a running session. Only loop changes it, except where
// a field says otherwise.
type member struct {
	Node
	state string

	// A container node.
	control   *channel.Publisher
	status    *channel.Subscriber
	commands  chan channel.Command
	container string    // id
	deadline  time.Time // for being ready
	*process            // the container's present or last one
	revival

	// A built-in node.
	ports *node.Ports
	err   error

	closed bool // its last frame is sent
	left   bool // it did not close the session in time, and others have the container
	exited bool // nothing more will come from it
	forced bool // TERM or KILL was sent after the grace
	unread map[string]uint64

	metrics []channel.Metric  // as the node last told them
	fate    string            // how its last process died, in words
	letters map[string]uint64 // told of frames that were given up, by connection
	stall   stall
}

// process is one process of a container, from its start to its end.
type process struct {
	log       *logbook // has its own lock
	later     bool     // there was one before it
	cut       bool     // SIGKILL was sent to it
	served    bool     // it was ready in some session
	condemned bool     // it is killed because it does not come on
	loaded    bool     // it can open sessions
	imported  bool     // its module is there
	failure   *channel.Status
	bye       *channel.Status
	dead      *Container    // as it was when it had ended
	drained   bool          // every status of a dead container has been read
	ended     chan struct{} // closed when dead is set
	logged    chan struct{} // closed when the log has been read to its end
	last      time.Time     // of the last line of the log, once that is read
	noted     bool          // its death has been looked at
	usage     *Usage        // the last sample of it, once it is dead
}

func newProcess(log *logbook) *process {
	return &process{log: log, ended: make(chan struct{}), logged: make(chan struct{})}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// end notes how the process was when it had ended; false if that is known. Only
// loop calls it.
func (p *process) end(c *Container) bool {
	if p.hasEnded() {
		return false
	}
	p.dead = c
	close(p.ended)
	return true
}

func newMember(n Node, out *sink) *member {
	if n.Service == "" {
		n.Service = n.ID
	}
	if n.StartTimeout <= 0 {
		n.StartTimeout = defaultStartTimeout
	}
	return &member{
		Node: n, state: StateCreated,
		commands: make(chan channel.Command, 1024), // more than there are commands of all sessions
		process:  newProcess(&logbook{node: n.ID, sink: out}), letters: map[string]uint64{},
	}
}

// hasControl says whether the container speaks with the runtime. A finished
// image without the SDK does not: it is ready when it runs.
func (m *member) hasControl() bool { return m.Container && m.Control != nil && m.Status != nil }

// isSource says whether nothing but feedback enters the node.
func (m *member) isSource() bool {
	for _, in := range m.Inputs {
		if !in.Feedback {
			return false
		}
	}
	return true
}

// isReady says whether the node waits for the start.
func (m *member) isReady() bool {
	switch {
	case !m.Container:
		return true
	case !m.hasControl():
		return m.container != ""
	}
	return m.state == StateReady
}

// isStarting says whether the node's container runs and it is not ready yet.
func (m *member) isStarting() bool {
	return m.state == StateStarting || m.state == StateLoading || m.state == StateOpening
}

// command gives the node something to do in the session.
func (s *Session) command(m *member, name string) {
	if !m.hasControl() {
		return
	}
	c := channel.Command{Command: name, Session: s.c.Session}
	if name == channel.CommandOpen {
		c.Params, c.Trace = s.c.Params[m.ID], s.c.Traced != nil
	}
	if s.link != nil {
		s.link.wire.send(message{Node: m.ID, Command: &c})
		return
	}
	m.queue(c)
}

// queue keeps a command until it can be sent; there is room for all that the
// sessions have.
func (m *member) queue(c channel.Command) {
	if !m.hasControl() {
		return
	}
	select {
	case m.commands <- c:
	default:
	}
}

// sendCommands sends what command queues, in order.
func (s *Session) sendCommands(m *member) {
	for {
		select {
		case c := <-m.commands:
			if err := sendCommand(s.life, m.control, c); err != nil && s.life.Err() == nil {
				s.post(func() { s.warn(fmt.Sprintf("node %s: command %s: %v", m.ID, c.Command, err)) })
			}
		case <-s.life.Done():
			return
		}
	}
}

func sendCommand(ctx context.Context, p *channel.Publisher, c channel.Command) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l, err := p.Loan(len(text))
	if err != nil {
		return err
	}
	l.Header.Kind = channel.Control
	copy(l.Payload, text)
	if err := l.Send(ctx); err != nil {
		_ = l.Release() // unless Send has ended it
		return err
	}
	return nil
}

// receiveStatus reads what the node says until its container has ended and all
// is read. A writer that was there and is gone is noticed here, without the
// engine.
func (s *Session) receiveStatus(m *member, p *process) {
	defer s.post(func() {
		p.drained = true
		s.settle(m)
	})
	seen, lost := false, false
	for {
		ctx, cancel := context.WithTimeout(s.life, lookEvery)
		sample, err := m.status.Receive(ctx)
		cancel()
		alive := m.status.WriterAlive()
		if err == nil {
			seen = true
			s.takeStatus(m, sample)
			continue
		}
		if s.life.Err() != nil {
			return
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			s.post(func() { s.failNode(m, &NodeError{Phase: "status", Message: err.Error()}) })
			return
		}
		select {
		case <-p.ended: // and nothing was there after that
			return
		default:
		}
		if seen = seen || alive; seen && !alive && !lost {
			lost = true
			s.group.Go(func() { s.await(m, p, Event{}) })
		}
	}
}

func (s *Session) takeStatus(m *member, sample channel.Sample) {
	var st channel.Status
	err := json.Unmarshal(sample.Payload, &st)
	flags := sample.Header.Flags
	err = errors.Join(err, sample.Release())
	if flags&channel.EndOfStream != 0 {
		return
	}
	s.post(func() {
		if err != nil {
			s.failNode(m, &NodeError{Phase: "status", Message: err.Error()})
			return
		}
		s.onStatus(m, st)
	})
}

// onError is an exception in a node: of one session of several, or of its
// process, which ends by it.
func (s *Session) onError(m *member, st channel.Status) {
	if st.GoesOn {
		m.deadline = time.Time{}
		e := &NodeError{Phase: st.Phase, Message: st.Message, Traceback: st.Traceback, Port: st.Port, Sequence: st.Sequence}
		if !s.reopens(m, e) {
			s.failNode(m, e)
		}
		return
	}
	m.failure = &st
	switch {
	case s.link != nil: // what becomes of it is told when its process has ended
	case s.mayRevive(m, true):
		m.deadline = time.Now().Add(failGrace)
	case s.takesPart(m):
		s.failNode(m, nil)
	}
}

// takesPart says whether the session still has something to do with a node.
func (s *Session) takesPart(m *member) bool { return s.over.IsZero() && (!m.closed || !s.shared()) }

// errCut is the error of a built-in node that had not ended with the grace.
var errCut = errors.New("did not end within the stop grace")

// runBuiltin runs the body of a built-in node and ends its streams.
func (s *Session) runBuiltin(m *member) {
	ctx := s.hard
	if m.isSource() {
		ctx = s.source
	}
	err := body(ctx, m)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // it was told to stop
	}
	if err != nil && !errors.Is(err, node.ErrIncomplete) {
		// Told before the others can find out by the end of its streams.
		s.post(func() { s.failNode(m, &NodeError{Message: err.Error(), Err: err}) })
	}
	bad := m.ports.Close(s.hard, err != nil || s.hard.Err() != nil)
	switch {
	case err != nil:
	case s.hard.Err() != nil:
		err = errCut
	default:
		err = bad
	}
	s.post(func() { s.onReturn(m, err) })
}

// body keeps a panic from taking the process with it, and containers behind.
func body(ctx context.Context, m *member) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return m.Run(ctx, m.ports)
}
