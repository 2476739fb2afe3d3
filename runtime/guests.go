package runtime

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	failed   map[*member]bool // of those closed: where it may open again, by the node's policy
	stopping bool
	lost     time.Time // when its process left; until all nodes have closed it
	awaited  time.Time // until when it may come again, to a new supervisor
}

func newGuest(name string, w *peer) *guest {
	return &guest{name: name, wire: w, opened: map[*member]bool{}, closed: map[*member]bool{}, failed: map[*member]bool{}}
}

// goesOn says whether the session has a node open, or will have it again.
func (g *guest) goesOn(m *member) bool {
	return !g.stopping && g.lost.IsZero() && (!g.closed[m] || g.failed[m])
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
		delete(g.failed, s.members[i])
	case channel.CommandStop, channel.CommandClose:
		g.stopping = true
	case channel.CommandStart:
	default:
		return
	}
	c.Session = g.name
	s.members[i].queue(c)
}

// introduce tells a guest how a node is.
func (s *Session) introduce(g *guest, m *member) {
	switch {
	case !m.Container:
	case m.exited:
		g.wire.send(message{Node: m.ID, Container: m.dead, Ended: s.obituary(m)})
	default:
		g.wire.send(message{Node: m.ID, Container: &Container{ID: m.container}, Loaded: m.loaded && m.dead == nil, Number: m.restarts})
	}
}

func (s *Session) obituary(m *member) *NodeError {
	e := NodeError{}
	if m.blame != nil {
		e = *m.blame
	}
	return s.describe(m, &e)
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
	if st.Event == channel.EventError && st.GoesOn {
		g.failed[m] = m.Restart.wants(true)
	}
	ends := st.Event == channel.EventError && !st.GoesOn
	if ends {
		m.failure = &st // of the process, which told it in the name of the only session that it had
	}
	if st.Event == channel.EventClosed {
		if m.failure != nil {
			return true // its process leaves all sessions early; what becomes of the node is told when it has ended
		}
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
		if g.goesOn(m) {
			return true
		}
	}
	return false
}

func (s *Session) tellRestart(m *member, text string) {
	for _, g := range s.guests {
		delete(g.opened, m)
		g.wire.send(message{Node: m.ID, Container: m.dead, Restart: text, Number: m.restarts})
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
		s.group.Go(s.dropSeats)
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

// dropSeats removes the files of sessions whose owners were killed before they were
// let in, or had even said which session they want.
func (s *Session) dropSeats() {
	for _, wait := range []time.Duration{joinPause, time.Second} {
		pause(s.life, wait)
		for name, lives := range owned(s.c.Dir) {
			if lives {
				continue
			}
			s.post(func() {
				if s.guests[name] == nil { // else it may be waited for, after a change of the supervisor
					s.group.Go(func() { s.dropSeat(name) })
				}
			})
		}
	}
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
		if free, err := tryLock(f); free && err == nil && (&seat{file: f, path: path}).isCurrent() {
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
