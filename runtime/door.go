package runtime

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

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
	g := newGuest("", w)
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
	g.opened, g.closed, g.failed = before.opened, before.closed, before.failed
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
		return "it runs another pipeline than this one: other params of a session are given with --set; otherwise wait for its end, stop it with docker medianode down -p " + s.c.Project
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
