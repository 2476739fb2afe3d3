package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
)

// bringUp makes and starts the containers. What happens to them meanwhile is
// heard by watch.
func (s *Session) bringUp() {
	err := s.up()
	s.post(func() {
		s.raising = false
		if err != nil && s.upCtx.Err() == nil {
			s.fail(err)
		}
		s.checkReady()
	})
}

func (s *Session) up() error {
	if err := s.watch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.upCtx, callTimeout)
	project, err := s.c.Engine.LoadProject(ctx, s.c.ComposeFile, s.c.Project)
	cancel()
	if err != nil {
		return fmt.Errorf("load %s: %w", s.c.ComposeFile, err)
	}
	ctx, cancel = context.WithTimeout(s.upCtx, upTimeout)
	err = s.c.Engine.Up(ctx, project, s.checkImages)
	cancel()
	// Also after a failure: what has started must be known to be killed.
	known := s.lookAround(s.life)
	if changed, ok := errors.AsType[*NodeError](err); ok {
		return changed
	}
	if err != nil {
		return fmt.Errorf("start the containers: %w", err)
	}
	return known
}

// checkImages refuses containers of other images than were asked for: compose
// takes what has the name at that moment, and somebody may just have given it to
// another image.
func (s *Session) checkImages(containers []Container) error {
	for _, c := range containers {
		m := s.byService[c.Service]
		if m == nil || m.ImageID == "" || m.ImageID == c.ImageID {
			continue
		}
		return &NodeError{
			Node: m.ID, Container: true, Phase: "start",
			Message: fmt.Sprintf("another program gave %s to another image while the node was starting: up again builds it anew", c.Image),
		}
	}
	return nil
}

// lookAround finds the containers whose start or end no event has told. One that
// has been removed has ended, too.
func (s *Session) lookAround(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	known := s.silentOnes() // before the list: what starts meanwhile is not in it
	containers, err := s.c.Engine.Containers(ctx, s.c.Project)
	if err != nil {
		return fmt.Errorf("containers of project %s: %w", s.c.Project, err)
	}
	for _, c := range containers {
		if m := s.byService[c.Service]; m != nil && !c.Started.IsZero() {
			s.post(func() { s.onStart(m, c.ID, c.Started) })
			if !c.isUp() {
				s.post(func() { s.awaitNow(m, Event{Time: c.Started, Container: c.ID, ExitCode: c.ExitCode}) })
			}
		}
	}
	for m, id := range known {
		if !slices.ContainsFunc(containers, func(c Container) bool { return c.ID == id }) {
			s.post(func() { s.awaitNow(m, Event{Container: id, ExitCode: unknownExit}) })
		}
	}
	return nil
}

// silentOnes are the containers of nodes that have no status channel, which tells
// of others whether they live.
func (s *Session) silentOnes() map[*member]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[*member]string{}
	for _, m := range s.members {
		if m.container != "" && !m.hasControl() {
			ids[m] = m.container
		}
	}
	return ids
}

// watch listens to the engine's events until life ends, and again from where
// it was when the engine is lost; it returns when no event can be missed.
func (s *Session) watch() error {
	listening, failed := make(chan struct{}), make(chan error, 1)
	s.group.Go(func() {
		listen := func(context.Context) { close(listening) }
		query := EventQuery{Project: s.c.Project}
		query.Each = func(e Event) {
			query.Since = e.Time
			s.onEvent(e)
		}
		for wait := firstDelay; ; wait = min(2*wait, lastDelay) {
			began := time.Now()
			stream, ended := context.WithCancel(s.life)
			query.Listening = func() { listen(stream) }
			err := s.c.Engine.Events(stream, query)
			ended()
			if s.life.Err() != nil {
				return
			}
			if time.Since(began) > lastDelay {
				wait = firstDelay // it was there meanwhile
			}
			select {
			case failed <- err: // the first one, if watch still waits
			default:
			}
			s.post(func() { s.lostEngine(err) })
			if query.Since.IsZero() {
				query.Since = began
			}
			listen = func(stream context.Context) { s.group.Go(func() { s.foundEngine(stream) }) }
			pause(s.life, wait)
		}
	})
	select {
	case <-listening:
		return nil
	case err := <-failed:
		return fmt.Errorf("events of the engine: %w", err)
	case <-time.After(callTimeout):
		return errors.New("events of the engine: no answer")
	case <-s.upCtx.Done():
		return s.upCtx.Err()
	}
}

func (s *Session) onEvent(e Event) {
	m := s.byService[e.Service]
	if m == nil {
		return
	}
	switch e.Action {
	case "start":
		s.post(func() { s.onStart(m, e.Container, e.Time) })
	case "die":
		s.post(func() { s.awaitNow(m, e) })
	}
}

// awaitNow is await of the present process; called in loop.
func (s *Session) awaitNow(m *member, e Event) {
	p := m.process
	s.group.Go(func() { s.await(m, p, e) })
}

// await finds out how a container ended that is ending: its event says so, or
// its process has let its status channel go. The engine may need a moment to
// know; without an event, a process that has said that it ends may need as long
// as it likes. One that has not, or that was to be killed, is dead, whatever the
// engine believes: it loses deaths when its containerd is killed. Whoever finds
// it out first tells.
func (s *Session) await(m *member, p *process, e Event) {
	var c Container
	var err error
	began, forced := time.Now(), false
	_, condemned := s.outlook(p) // a look may take so long that it is pardoned meanwhile
	for end := began.Add(killGrace); ; {
		select {
		case <-p.ended:
			return
		default:
		}
		c, err = s.inspect(m, e.Container)
		gone := errdefs.IsNotFound(err) && e.Container != "" // without an event that may come
		if (err == nil && !c.isUp()) || gone || s.life.Err() != nil {
			break
		}
		if err == nil && p.later && c.Started.After(e.Time) && !e.Time.IsZero() {
			return // the event is of the process before
		}
		late := time.Now().After(end)
		ends, still := s.outlook(p)
		if condemned && !still {
			return // it was pardoned
		}
		condemned = still
		lives := condemned && unanswered(err) && time.Since(began) < engineGrace // the signal waits, too
		if late && err == nil && e.Container == "" && !forced && (!ends || condemned) {
			forced, end = true, time.Now().Add(lookTimeout)
			s.post(func() { s.killPresent(m, p) })
		} else if late && (e.Container != "" || forced || (err != nil && !lives)) {
			break
		}
		pause(s.life, lookEvery)
	}
	if err != nil || c.isUp() {
		c = e.end(m.Service, c.Started) // the engine cannot tell; the event may
	}
	s.post(func() {
		if p.end(&c) {
			s.settle(m)
		}
	})
}

// end is a container as the event has it, which may be none.
func (e Event) end(service string, started time.Time) Container {
	c := Container{ID: e.Container, Service: service, State: "exited", ExitCode: e.ExitCode, Started: started}
	if e.Container == "" {
		c.ExitCode = unknownExit
	}
	return c
}

// killPresent kills a process unless it is not the node's present one any more.
func (s *Session) killPresent(m *member, p *process) {
	if m.process == p {
		s.sendSignal(m, "SIGKILL")
	}
}

// outlook says whether a process has told its end or a failure, and whether it
// was to be killed.
func (s *Session) outlook(p *process) (ends, condemned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.bye != nil || p.failure != nil, p.condemned
}

// condemn kills a process that does not come on. Nothing else may tell of its
// death: it is waited for here.
func (s *Session) condemn(m *member) {
	p := m.process
	p.condemned = true
	s.sendSignal(m, "SIGKILL")
	s.group.Go(func() { s.await(m, p, Event{}) })
}

// pardon lets a condemned process live that has come on after all, before an
// engine that was away could kill it.
func (m *member) pardon() {
	if m.condemned {
		m.condemned, m.blame = false, nil
	}
}

func (s *Session) inspect(m *member, id string) (Container, error) {
	if id == "" {
		s.mu.Lock()
		id = m.container
		s.mu.Unlock()
	}
	if id == "" {
		return Container{}, errors.New("no container")
	}
	ctx, cancel := context.WithTimeout(s.life, lookTimeout)
	defer cancel()
	return s.c.Engine.Inspect(ctx, id)
}

// sendSignal sends a signal to the present process of a node's container, if there
// is one. A node that hangs is killed once: that waits for an engine that is away.
func (s *Session) sendSignal(m *member, name string) {
	id, p := m.container, m.process
	if id == "" {
		return
	}
	condemned := p.condemned
	p.cut = p.cut || name == "SIGKILL"
	s.group.Go(func() {
		err := untilAnswered(s.life, engineGrace, func(ctx context.Context) error {
			if p.hasEnded() {
				return nil // the next one is not meant
			}
			if _, still := s.outlook(p); condemned && !still {
				return nil
			}
			return s.c.Engine.Kill(ctx, id, name)
		})
		if err != nil && s.life.Err() == nil {
			s.post(func() { s.warn(fmt.Sprintf("node %s: %s: %v", m.ID, name, err)) })
		}
	})
}

// follow reads the log of a container's process from its first line to its
// last; before is the process before it, if any, whose lines are known.
func (s *Session) follow(m *member, id string, p, before *process) {
	defer close(p.logged)
	told := false
	if before != nil { // its last lines may wait for an engine that is away
		select {
		case <-before.logged:
			p.last = before.last
		case <-s.life.Done():
			return
		}
	}
	for wait := firstDelay; ; wait = min(2*wait, lastDelay) {
		over := p.hasEnded()
		err := s.readLog(m, id, p, over)
		if s.life.Err() != nil {
			return
		}
		refused := err != nil && !unanswered(err)
		if refused && !told {
			told = true
			s.post(func() { s.warn(fmt.Sprintf("node %s: log: %v", m.ID, err)) })
		}
		// A try that began after the end of the process is the last one: the lines
		// after it are the next one's.
		if over && (err == nil || refused) || err == nil && s.hasEnded(m, id, p) {
			return
		}
		pause(s.life, wait) // the engine ended the log, and not the container
	}
}

// readLog reads on from the last whole line that was read, until the engine ends
// the log. over says that the process has ended: what is there is all of it, and
// what comes is the next one's.
func (s *Session) readLog(m *member, id string, p *process, over bool) error {
	options := LogOptions{Follow: !over, Tail: "all"}
	since := p.last
	if !since.IsZero() {
		options.Since = since.Format(time.RFC3339Nano)
	}
	line := func(l LogLine) {
		if !l.Time.After(since) {
			return
		}
		if l.Time.After(p.last) {
			p.last = l.Time
		}
		p.log.line(l)
	}
	read := func(ctx context.Context, o LogOptions, through func(io.Writer) io.Writer) error {
		out := &liner{node: m.ID, stream: "stdout", each: line}
		bad := &liner{node: m.ID, stream: "stderr", each: line}
		err := s.c.Engine.Logs(ctx, id, o, through(out), through(bad))
		if err == nil || (over && !unanswered(err)) || ctx.Err() != nil { // else the rest of a line that was cut comes again
			out.flush()
			bad.flush()
		}
		return err
	}
	ctx, cancel := context.WithCancel(s.life)
	defer cancel()
	bound := newPace(ctx, p.ended, cancel)
	bound.tell = func() {
		s.post(func() { s.warn(fmt.Sprintf("node %s: %s", m.ID, flooded)) })
	}
	err := read(ctx, options, bound.of)
	if bound.given {
		since = p.last
		p.log.line(LogLine{Time: time.Now(), Node: m.ID, Stream: "stderr", Text: leftOut})
		err = read(s.life, LogOptions{Tail: lastLines, Since: since.Format(time.RFC3339Nano)}, func(w io.Writer) io.Writer { return w })
	}
	return err
}

// hasEnded says whether a process is known to have ended, by others or by the
// engine. An engine that is told to end ends the logs of what runs, too.
func (s *Session) hasEnded(m *member, id string, p *process) bool {
	if p.hasEnded() {
		return true
	}
	c, err := s.inspect(m, id)
	return (err == nil && !c.isUp()) || (err != nil && !unanswered(err))
}

// readLogs waits for the ends of the logs of containers that have ended.
func (s *Session) readLogs() {
	ctx, cancel := context.WithTimeout(s.life, logGrace)
	defer cancel()
	for _, m := range s.members {
		if m.container == "" || (s.shared() && m.dead == nil) {
			continue
		}
		select {
		case <-m.logged:
			continue
		case <-ctx.Done():
		}
		select {
		case <-m.logged: // both
		default:
			if m.exited {
				s.mu.Lock()
				s.warn(fmt.Sprintf("node %s: the end of its log was not read within %s", m.ID, logGrace))
				s.mu.Unlock()
			}
		}
	}
}

// clean removes from shared memory what the dead process of a node has left;
// the other nodes go on.
func (s *Session) clean(m *member) {
	if _, err := s.transport.Clean(); err != nil && s.life.Err() == nil {
		s.post(func() { s.warn(fmt.Sprintf("node %s: clean up after it: %v", m.ID, err)) })
	}
}

// signalName is the name of a signal on Linux, where containers run.
func signalName(n int) string {
	names := map[int]string{
		1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS",
		8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 31: "SIGSYS",
	}
	if name, ok := names[n]; ok {
		return name
	}
	return "signal " + strconv.Itoa(n)
}
