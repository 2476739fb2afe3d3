package runtime

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// lostGrace is how long the containers may take to end the session of a process
// that is gone.
const lostGrace = 5 * time.Second

// hosting is what a supervising session knows of those of other processes. Only
// loop changes it.
type hosting struct {
	seat    *seat
	place   *place // locked, if the session has become the supervisor
	door    net.Listener
	guests  map[string]*guest
	waiting []*guest // come before the project was ready, or while their name was taken
	leaving bool     // this process stops to supervise
	handing bool     // to another session's process; fixed when loop has ended
}

// guest is a session of another process.
type guest struct {
	name     string
	digest   string
	wire     *peer
	opened   map[*member]bool // in the present process of the node
	closed   map[*member]bool
	stopping bool
	lost     time.Time // when its process left; until all nodes have closed it
	awaited  time.Time // until when it may come again, to a new supervisor
}

// shared says whether other sessions use the containers too.
func (s *Session) shared() bool { return s.link != nil || len(s.guests) > 0 }

// hasHeirs says whether a session of another process can take over.
func (s *Session) hasHeirs() bool {
	for _, g := range s.guests {
		if g.lost.IsZero() {
			return true
		}
	}
	return false
}

// openDoor lets other processes' sessions in.
func (s *Session) openDoor() error {
	path, err := socketPath(s.c.Dir)
	if err != nil {
		return err
	}
	door, err := new(net.ListenConfig).Listen(s.life, "unix", path)
	if err != nil {
		return fmt.Errorf("socket of the project: %w", err)
	}
	s.door = door
	s.later("socket of the project", closeTimeout, func(context.Context) error { s.closeDoor(); return nil })
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("socket of the project: %w", err)
	}
	s.group.Go(func() {
		for {
			conn, err := door.Accept()
			if err != nil {
				return
			}
			s.group.Go(func() { s.serve(newPeer(conn)) })
		}
	})
	return nil
}

// closeDoor ends what guests are connected by; called when loop ends, and by
// whoever never began it.
func (s *Session) closeDoor() {
	if s.door != nil {
		_ = s.door.Close()
	}
	for _, g := range s.waiting {
		g.wire.close() // it comes again, and finds another supervisor or none
	}
	for _, g := range s.guests {
		g.wire.close()
	}
}

// serve is one connection, from the request for a session to its end.
func (s *Session) serve(w *peer) {
	g := &guest{wire: w, opened: map[*member]bool{}, closed: map[*member]bool{}}
	s.group.Go(w.write)
	s.group.Go(func() {
		select {
		case <-s.life.Done():
		case <-s.stopped:
		case <-w.done:
		}
		w.close()
	})
	w.read(func(m message) { s.post(func() { s.onGuest(g, m) }) })
	s.post(func() { s.onGuestGone(g) })
}

func (s *Session) onGuest(g *guest, m message) {
	switch {
	case m.Open != nil && g.name == "":
		g.name, g.digest = m.Open.Session, m.Open.Digest
		if m.Open.Resume {
			s.readmit(g)
			return
		}
		s.admit(g)
	case m.Command != nil && s.guests[g.name] == g:
		s.obeyGuest(g, m.Node, *m.Command)
	}
}

// obeyGuest passes a command on; a guest commands its own session only.
func (s *Session) obeyGuest(g *guest, id string, c channel.Command) {
	i := slices.IndexFunc(s.members, func(m *member) bool { return m.ID == id })
	if i < 0 {
		return
	}
	switch c.Command {
	case channel.CommandOpen:
		g.opened[s.members[i]] = true
		delete(g.closed, s.members[i]) // it may have failed there before
	case channel.CommandStop, channel.CommandClose:
		g.stopping = true
	case channel.CommandStart:
	default:
		return
	}
	c.Session = g.name
	s.members[i].queue(c)
}

// admit lets a session in, refuses it, or keeps it waiting.
func (s *Session) admit(g *guest) {
	ending := (s.stopping || s.exiting) && len(s.guests) == 0
	_, taken := s.guests[g.name]
	taken = taken || (s.over.IsZero() && g.name == s.c.Session)
	if why := s.noRoom(g, taken); why != "" && !ending {
		g.wire.send(message{Running: why})
		return
	}
	switch why := s.refusal(g, taken); {
	case ending || s.leaving:
		g.wire.close()
	case s.over.IsZero() && s.started.IsZero(), taken && why == "":
		s.waiting = append(s.waiting, g)
	case why != "":
		g.wire.send(message{Refused: why})
	default:
		s.guests[g.name] = g
		g.wire.send(message{Accepted: true})
		for _, m := range s.members {
			s.introduce(g, m)
		}
	}
}

// readmit takes a session over from the supervisor before.
func (s *Session) readmit(g *guest) {
	before := s.guests[g.name]
	if !before.isWaited() || s.leaving {
		g.wire.send(message{Refused: "session " + g.name + " is not known any more"})
		return
	}
	g.opened, g.closed = before.opened, before.closed
	s.guests[g.name] = g
	g.wire.send(message{Accepted: true})
	for _, m := range s.members {
		if m.Container && m.exited {
			s.introduce(g, m)
		}
	}
	s.askNodes()
}

// noRoom says why the project takes no session more; nothing if it does.
func (s *Session) noRoom(g *guest, taken bool) string {
	if g.digest != s.c.Digest {
		return "it runs another pipeline than this one: other params of a session are given with --set; otherwise wait for its end, stop it with docker medianode down"
	}
	if names := s.names(); !taken && len(names) >= s.c.Sessions {
		return fmt.Sprintf("%d of %d sessions are open (%s) and shared memory is reserved for no more: raise sessions in the pipeline, wait for one to end",
			len(names), s.c.Sessions, strings.Join(names, ", "))
	}
	return ""
}

// names are the open sessions of the project.
func (s *Session) names() []string {
	var names []string
	if s.over.IsZero() {
		names = append(names, s.c.Session)
	}
	for name := range s.guests {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// refusal says why this session cannot be opened; nothing if it can, or could
// once its name is free.
func (s *Session) refusal(g *guest, taken bool) string {
	for _, m := range s.members {
		if m.Container && !m.hasControl() {
			return fmt.Sprintf("node %s is a finished image, which knows of one session only: project %s cannot have a second one", m.ID, s.c.Project)
		}
	}
	lost := taken && s.guests[g.name] != nil && !s.guests[g.name].lost.IsZero()
	if taken && !lost {
		return "session " + g.name + " is open already"
	}
	return s.clash(g.name, s.names())
}

// clash is the error of two sessions that would share a channel's name.
func (s *Session) clash(name string, names []string) string {
	for _, a := range s.c.Channels {
		for _, b := range s.c.Channels {
			for _, other := range names {
				if other != name && a.For(name).Name == b.For(other).Name {
					return fmt.Sprintf("sessions %s and %s would share the channel %s: choose another name", name, other, a.For(name).Name)
				}
			}
		}
	}
	return ""
}

// admitWaiting is called when what some waited for may have come.
func (s *Session) admitWaiting() {
	waiting := s.waiting
	s.waiting = nil
	for _, g := range waiting {
		s.admit(g)
	}
}

// introduce tells a guest how a node is.
func (s *Session) introduce(g *guest, m *member) {
	switch {
	case !m.Container:
	case m.exited:
		g.wire.send(message{Node: m.ID, Container: m.dead, Ended: s.obituary(m)})
	default:
		g.wire.send(message{Node: m.ID, Container: &Container{ID: m.container}, Loaded: m.loaded && m.dead == nil})
	}
}

func (s *Session) obituary(m *member) *NodeError {
	e := NodeError{}
	if m.blame != nil {
		e = *m.blame
	}
	told := s.describe(m, &e)
	told.Restarts = len(m.restarts)
	return told
}

// forward passes a node's message on to those whom it is for; false if that is
// the session of this process, too.
func (s *Session) forward(m *member, st channel.Status) bool {
	if st.Session == "" {
		if st.Event == channel.EventHello || st.Event == channel.EventLoaded {
			for _, g := range s.guests {
				g.wire.send(message{Node: m.ID, Status: &st})
			}
		}
		return false
	}
	g := s.guests[st.Session]
	if g == nil {
		return st.Session != s.c.Session || !s.over.IsZero()
	}
	ends := st.Event == channel.EventError && !st.GoesOn
	if ends {
		m.failure = &st // of the process, which told it in the name of the only session that it had
	}
	if st.Event == channel.EventClosed && m.failure == nil {
		g.closed[m] = true
	}
	g.wire.send(message{Node: m.ID, Status: &st})
	s.forget(g)
	if ends && s.mayRevive(m, true) {
		m.deadline = time.Now().Add(failGrace)
	}
	return true
}

// wantedByGuests says whether a session of another process goes on with a node.
func (s *Session) wantedByGuests(m *member) bool {
	for _, g := range s.guests {
		if !g.stopping && g.lost.IsZero() && !g.closed[m] {
			return true
		}
	}
	return false
}

func (s *Session) tellRestart(m *member, text string) {
	for _, g := range s.guests {
		delete(g.opened, m)
		g.wire.send(message{Node: m.ID, Container: m.dead, Restart: text})
		s.forget(g)
	}
}

func (s *Session) tellEnded(m *member) {
	for _, g := range s.guests {
		g.wire.send(message{Node: m.ID, Container: m.dead, Ended: s.obituary(m)})
		s.forget(g)
	}
}

// onGuestGone ends a session whose process has left, well or not.
func (s *Session) onGuestGone(g *guest) {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *guest) bool { return w == g })
	if s.guests[g.name] != g {
		return
	}
	g.lost = time.Now()
	for _, m := range s.members {
		if g.opened[m] && !g.closed[m] && !m.exited {
			m.queue(channel.Command{Command: channel.CommandClose, Session: g.name})
		}
	}
	s.forget(g)
}

// forget lets a session go that no node has open any more.
func (s *Session) forget(g *guest) {
	if g.lost.IsZero() {
		return
	}
	for _, m := range s.members {
		if g.opened[m] && !g.closed[m] && !m.exited && time.Since(g.lost) < lostGrace {
			return
		}
	}
	delete(s.guests, g.name)
	for _, spec := range s.c.Channels { // of a process that was killed
		_ = os.Remove(filepath.Join(s.c.Dir, "shm", channel.LedgerName(spec.For(g.name).Name)))
	}
	s.group.Go(func() {
		if _, err := s.transport.Clean(); err != nil && s.life.Err() == nil {
			s.post(func() { s.warn(fmt.Sprintf("session %s: clean up after it: %v", g.name, err)) })
		}
	})
	s.group.Go(func() { s.dropSeat(g.name) })
	s.checkClosed()
	s.admitWaiting()
}

// dropSeat removes the file of a session whose owner was killed. The kernel may
// have closed its connection before its lock; one that lives removes it itself.
func (s *Session) dropSeat(name string) {
	path := filepath.Join(seatDir(s.c.Dir), name)
	for end := time.Now().Add(time.Second); time.Now().Before(end) && s.life.Err() == nil; pause(s.life, joinPause) {
		f, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
		if err != nil {
			return
		}
		if free, err := tryLock(f); free && err == nil {
			_ = os.Remove(path)
		}
		_ = f.Close()
	}
}

func (s *Session) guestDeadlines() []time.Time {
	var all []time.Time
	for _, g := range s.guests {
		if !g.lost.IsZero() {
			all = append(all, g.lost.Add(lostGrace))
		} else if g.isWaited() {
			all = append(all, g.awaited)
		}
	}
	return all
}

func (s *Session) onGuestsTime() {
	for _, g := range s.guests {
		if g.lost.IsZero() && s.past(g.awaited) {
			s.onGuestGone(g)
			continue
		}
		s.forget(g)
	}
}

// Others are the sessions of other processes that this one supervises.
func (s *Session) Others() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.guests {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
