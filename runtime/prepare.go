package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// closeTimeout is for steps that only free memory and remove files.
const closeTimeout = 10 * time.Second

// prepare makes all that containers find when they start. Each thing made is
// followed by later, so that Close takes away exactly what there is.
func (s *Session) prepare(ctx context.Context) error {
	p := &place{project: s.c.Project, dir: s.c.Dir, root: s.c.Domain.Root, uid: s.c.UID, gid: s.c.GID}
	s.later("unlock project", closeTimeout, func(context.Context) error { return p.leave() })
	if err := p.take(Owner{PID: os.Getpid(), Pipeline: s.c.Pipeline, Started: s.begun}); err != nil {
		return err
	}
	if err := s.sweep(ctx, p); err != nil {
		return err
	}
	if err := p.fits(s.c.SharedMemory); err != nil {
		return err
	}
	if s.c.Write != nil {
		if err := s.c.Write(); err != nil {
			return err
		}
	}
	s.later("project directory", closeTimeout, func(context.Context) error {
		if s.handing {
			return nil
		}
		return p.wipe()
	})
	if err := p.make(); err != nil {
		return err
	}
	if err := s.sit(); err != nil {
		return err
	}
	if err := s.furnish(); err != nil {
		return err
	}
	if len(s.byService) > 0 {
		s.later("remove project (docker medianode down -p "+s.c.Project+" does it too)", downTimeout, func(ctx context.Context) error {
			if s.handing {
				return nil
			}
			return s.removeProject(ctx)
		})
	}
	if err := s.openDoor(); err != nil {
		return err
	}
	s.tellSupervises()
	return ctx.Err()
}

func (s *Session) tellSupervises() {
	if s.c.Supervises != nil {
		s.c.Supervises()
	}
}

// sweep removes what a dead earlier run has left. Whoever holds the lock is
// the only one of this machine; a service that is none of the nodes is the
// runtime of a detached project, which needs no lock.
func (s *Session) sweep(ctx context.Context, p *place) error {
	if pids := owners(p.dir); len(pids) > 0 { // one of them is just taking over
		return &RunningError{Project: s.c.Project, Owner: Owner{PID: pids[0], Started: time.Now()}}
	}
	if len(s.byService) > 0 {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		containers, err := s.c.Engine.Containers(call, s.c.Project)
		if err != nil {
			return fmt.Errorf("look for project %s: %w", s.c.Project, err)
		}
		for _, c := range containers {
			if s.byService[c.Service] == nil && c.isUp() {
				return &RunningError{Project: s.c.Project}
			}
		}
		call, cancel = context.WithTimeout(ctx, downTimeout)
		defer cancel()
		if err := s.c.Engine.Down(call, s.c.Project, 0); err != nil {
			return fmt.Errorf("remove what an earlier run of project %s left: %w", s.c.Project, err)
		}
	}
	return p.wipe()
}

// furnish makes the session's channels and opens the runtime's own ends of them.
func (s *Session) furnish() error {
	if err := s.openTransport(); err != nil {
		return err
	}
	for _, spec := range s.specs() {
		if err := s.create(spec); err != nil {
			return err
		}
	}
	for _, m := range s.members {
		if m.Restart.comesBack() {
			s.expect(m, true)
		}
	}
	s.later("processes of the session", closeTimeout, s.quiet)
	return s.openPorts()
}

func (s *Session) openTransport() error {
	if err := s.fitsDescriptors(s.link == nil); err != nil {
		return err
	}
	t, err := s.c.Open(s.c.Domain, filepath.Join(s.c.Dir, "shm"))
	if err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	s.transport = t
	s.later("shared memory", closeTimeout, func(context.Context) error { return t.Close() })
	return nil
}

// specs are all channels of the session, under their real names.
func (s *Session) specs() []channel.Spec {
	var specs []channel.Spec
	for _, c := range s.c.Channels {
		specs = append(specs, c.For(s.c.Session))
	}
	for _, m := range s.members {
		if m.hasControl() && s.link == nil {
			specs = append(specs, *m.Control, *m.Status)
		}
	}
	return specs
}

// isControl says whether a channel belongs to a container and not to a session.
func (s *Session) isControl(spec channel.Spec) bool {
	return slices.ContainsFunc(s.members, func(m *member) bool {
		return m.hasControl() && (m.Control.Name == spec.Name || m.Status.Name == spec.Name)
	})
}

func (s *Session) create(spec channel.Spec) error {
	made, err := s.transport.Create(spec)
	if err != nil {
		return fmt.Errorf("create channel %s: %w", spec.Name, err)
	}
	s.later("channel "+spec.Name, closeTimeout, func(context.Context) error {
		if m, ok := made.(interface{ Leave() error }); ok && s.handing && s.isControl(spec) {
			return m.Leave()
		}
		return made.Close()
	})
	ledger, unmap, err := s.ledger(spec)
	if err != nil {
		return fmt.Errorf("ledger of channel %s: %w", spec.Name, err)
	}
	s.keepLedger(spec, ledger, unmap)
	return nil
}

func (s *Session) keepLedger(spec channel.Spec, ledger *channel.Ledger, unmap func() error) {
	s.ledgers[spec.Name] = ledger
	s.later("ledger of channel "+spec.Name, closeTimeout, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.ledgers, spec.Name)
		return unmap()
	})
}

// ledger is a look at a channel's counters: by its file, or, for a transport
// inside the process, by an end that is opened and closed.
func (s *Session) ledger(spec channel.Spec) (*channel.Ledger, func() error, error) {
	mem, unmap, err := mapFile(filepath.Join(s.c.Dir, "shm", channel.LedgerName(spec.Name)))
	if err == nil {
		l, err := channel.NewLedger(mem, len(spec.Readers))
		if err != nil {
			return nil, nil, errors.Join(err, unmap())
		}
		return l, unmap, nil
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		return nil, nil, err
	}
	out, err := s.transport.Outlet(spec)
	if err != nil {
		return nil, nil, err
	}
	return out.Ledger(), func() error { return nil }, out.Close()
}

// openPorts opens what the runtime itself sends and receives by, before any
// container is there, so that no first frame is lost.
func (s *Session) openPorts() error {
	for _, m := range s.members {
		switch {
		case m.hasControl() && s.link != nil:
		case m.hasControl():
			if err := s.openControl(m); err != nil {
				return err
			}
		case !m.Container:
			ports, err := node.Open(s.transport, m.Node.Node, s.c.Session)
			if err != nil {
				return fmt.Errorf("node %s: %w", m.ID, err)
			}
			m.ports = ports
			if s.c.Traced != nil {
				ports.Trace(func(span channel.Span) { s.c.Traced(m.ID, span) })
			}
			s.later("ports of "+m.ID, closeTimeout, func(context.Context) error {
				cut, cancel := context.WithCancel(context.Background())
				cancel() // nobody listens any more: only close
				_ = ports.Close(cut, true)
				return nil
			})
		}
	}
	return nil
}

// openControl opens what the runtime commands a node by, and hears it.
func (s *Session) openControl(m *member) error {
	control, err := channel.NewPublisher(s.transport, *m.Control)
	if err != nil {
		return err
	}
	s.later("control of "+m.ID, closeTimeout, func(context.Context) error { return control.Close() })
	status, err := channel.NewSubscriber(s.transport, *m.Status, 0)
	if err != nil {
		return err
	}
	s.later("status of "+m.ID, closeTimeout, func(context.Context) error { return status.Close() })
	m.control, m.status = control, status
	p := m.process
	s.group.Go(func() { s.sendCommands(m) })
	s.group.Go(func() { s.receiveStatus(m, p) })
	return nil
}

// quiet waits for the session's goroutines; they end with life.
func (s *Session) quiet(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("a built-in node or the log sink does not return")
	}
}
