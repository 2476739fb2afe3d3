package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Defaults of Config.
const (
	defaultGrace        = 10 * time.Second
	defaultStartTimeout = time.Minute
	defaultSession      = "main"
)

// ErrKilled is the session's error after Kill.
var ErrKilled = errors.New("session killed")

// Session is one running session.
//
// One goroutine, loop, owns what changes: everybody else posts functions to
// it. A look at the state from outside, as Report does, takes mu, which loop
// holds while it works.
type Session struct {
	c         Config
	grace     time.Duration
	members   []*member
	byService map[string]*member
	sink      *sink
	transport channel.Transport
	ledgers   map[string]*channel.Ledger

	inbox   chan func()
	running chan struct{} // closed when every node was ready
	ended   chan struct{} // closed when the session has ended
	stopped chan struct{} // closed when loop has ended
	looping bool

	link    *link // to the process that supervises the project; nil: this one does
	hosting       // of other processes' sessions

	life       context.Context // of all goroutines: ends in Close
	stopLife   context.CancelFunc
	hard       context.Context // of the bodies of built-in nodes
	cutHard    context.CancelFunc
	source     context.Context // of those that have no inputs
	stopSource context.CancelFunc
	upCtx      context.Context // of bringing the project up
	cutUp      context.CancelFunc
	group      sync.WaitGroup

	undo      []step
	closeOnce sync.Once
	closeErr  error

	mu sync.Mutex
	supervision
}

// step is one thing to be taken away again.
type step struct {
	name    string
	timeout time.Duration
	do      func(context.Context) error
}

// supervision is what loop decides by; see supervise.go.
type supervision struct {
	begun    time.Time
	started  time.Time // every node was ready
	drained  time.Time // every node had sent its last frame
	over     time.Time // the session has ended
	raising  bool      // the project is being brought up
	stopping bool
	exiting  bool // exit was sent
	parting  bool // instead, the containers are left to other sessions
	killed   bool

	termAt, killAt, giveUpAt time.Time // zero: not planned

	cause     error   // the first failure that is no node's
	culprit   *member // the first node that failed
	late      *member // the node whose frames were in flight when the grace ended
	err       error   // of Wait, once over
	nodeError *NodeError
	warnings  []string
	unkept    int       // further warnings
	lostSince time.Time // the engine is away; zero: it answers
	final     *Report
	crashes
	nodesTold string // what tellNodes has written
	forgetful bool   // restarts cannot be noted, which was told
}

// Start makes the project's directory and channels, brings the containers up,
// waits until every node is ready and starts the session. Where another process
// runs the project already, it opens the session there, as Join does. If it
// fails, nothing is left; a failure of a node is a *NodeError.
func Start(ctx context.Context, c Config) (*Session, error) {
	for {
		s, err := start(ctx, c)
		var running *RunningError
		if !errors.As(err, &running) || running.Owner.PID == 0 {
			return s, err
		}
		s, err = Join(ctx, c)
		if !errors.Is(err, ErrNotRunning) {
			return s, err
		}
		pause(ctx, joinPause) // it has just ended
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// start is Start in a project that nobody runs.
func start(ctx context.Context, c Config) (*Session, error) {
	s, err := newSession(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.begin(ctx, s.prepare)
}

// begin prepares and launches the session, or leaves nothing.
func (s *Session) begin(ctx context.Context, prepare func(context.Context) error) (*Session, error) {
	err := prepare(ctx)
	if err == nil {
		err = s.launch(ctx)
	}
	if err == nil {
		return s, nil
	}
	if bad := s.Close(); bad != nil {
		err = errors.Join(err, bad)
	}
	return nil, err
}

func newSession(ctx context.Context, c Config) (*Session, error) {
	if c.Sessions < 1 {
		c.Sessions = 1
	}
	if c.Project == "" || c.Dir == "" || c.Open == nil {
		return nil, errors.New("runtime: project, directory and transport are required")
	}
	s := &Session{
		c: c, grace: c.StopGrace, byService: map[string]*member{}, ledgers: map[string]*channel.Ledger{},
		sink: &sink{take: c.Logs}, inbox: make(chan func()),
		running: make(chan struct{}), ended: make(chan struct{}), stopped: make(chan struct{}),
		hosting: hosting{guests: map[string]*guest{}},
	}
	if s.grace <= 0 {
		s.grace = defaultGrace
	}
	for _, n := range c.Nodes {
		m := newMember(n, s.sink)
		switch {
		case n.Container && c.Engine == nil:
			return nil, fmt.Errorf("node %s: a container needs an engine", n.ID)
		case !n.Container && n.Run == nil:
			return nil, fmt.Errorf("node %s: no container and no body", n.ID)
		case n.Container:
			s.byService[m.Service] = m
		}
		s.members = append(s.members, m)
	}
	// The end of ctx must not cut what cleans: it is watched where it matters.
	s.life, s.stopLife = context.WithCancel(context.WithoutCancel(ctx))
	s.hard, s.cutHard = context.WithCancel(s.life)
	s.source, s.stopSource = context.WithCancel(s.hard)
	s.upCtx, s.cutUp = context.WithCancel(s.life)
	s.begun = time.Now()
	return s, nil
}

// launch starts loop, the nodes and the project, and waits for all nodes.
func (s *Session) launch(ctx context.Context) error {
	s.looping = true
	go s.loop()
	for _, m := range s.members {
		if !m.Container && !m.isSource() {
			s.group.Go(func() { s.runBuiltin(m) })
		}
	}
	if len(s.byService) > 0 && s.link == nil {
		s.post(func() { s.raising = true })
		s.group.Go(s.bringUp)
	}
	s.post(s.checkReady)
	select {
	case <-s.running:
		return nil
	case <-s.ended:
		select {
		case <-s.running: // it started, and was short
			return nil
		default:
		}
		if s.err == nil {
			return errors.New("the session ended before every node was ready")
		}
		return s.err
	case <-ctx.Done():
		s.Kill()
		<-s.ended
		return ctx.Err()
	}
}

// Wait waits for the session's end: every stream has ended and every container
// has exited. The error is the first failure, mostly a *NodeError; the end of
// ctx ends the wait and not the session.
func (s *Session) Wait(ctx context.Context) error {
	select {
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends the session well: sources stop, what is in flight drains, within
// the stop grace. It returns as Wait does.
func (s *Session) Stop(ctx context.Context) error {
	s.post(s.stop)
	return s.Wait(ctx)
}

// Kill ends the session at once; Wait returns soon after, with ErrKilled if
// nothing had failed before.
func (s *Session) Kill() {
	s.post(s.kill)
}

// Close removes containers, volumes, channels and files, whatever has happened
// before; a running session is killed. Where other processes have sessions of
// the project, it removes what is this session's and leaves the rest to them.
// Safe twice.
func (s *Session) Close() error {
	s.closeOnce.Do(func() {
		if s.looping {
			s.post(func() {
				s.kill()
				s.leaving = true
			})
			<-s.stopped
			s.handing = s.hasHeirs()
		} else {
			close(s.ended)
			close(s.stopped) // nobody will take what is posted
		}
		s.stopLife()
		for len(s.undo) > 0 {
			last := s.undo[len(s.undo)-1]
			s.undo = s.undo[:len(s.undo)-1]
			if err := last.run(); err != nil {
				s.closeErr = errors.Join(s.closeErr, fmt.Errorf("%s: %w", last.name, err))
			}
		}
		if s.handing {
			s.closeErr = errors.Join(s.closeErr, s.checkHeirs())
		}
	})
	return s.closeErr
}

// run does the step under its own deadline: nobody's cancelled context stops
// cleaning. A step that does not listen to its context is left behind.
func (st step) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), st.timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- st.do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // a step that listens answers now
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return ctx.Err()
	}
}

// later remembers what takes away what has just been made.
func (s *Session) later(name string, timeout time.Duration, do func(context.Context) error) {
	s.undo = append(s.undo, step{name, timeout, do})
}

// post gives loop something to do; nothing happens if loop has ended.
func (s *Session) post(f func()) {
	select {
	case s.inbox <- f:
	case <-s.stopped:
	}
}
