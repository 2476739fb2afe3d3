//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// kill kills one of a kind, and returns what is to be waited for before frames
// that flow say anything. The error is errNoVictim if there is none.
func (s *storm) kill(ctx context.Context, kind string) (func() error, error) {
	var wait func() error
	var err error
	switch kind {
	case killNode:
		wait, err = s.killNode(ctx)
	case killShim:
		wait, err = s.killShim()
	case killEngine:
		wait, err = s.killEngine(ctx)
	default:
		wait, err = s.killRuntime()
	}
	if err == nil {
		s.kills[kind]++
	}
	return wait, err
}

var errNoVictim = errors.New("nothing of the kind runs")

func pick[T any](s *storm, all []T) (T, error) {
	var none T
	if len(all) == 0 {
		return none, errNoVictim
	}
	return all[s.random.IntN(len(all))], nil
}

// killNode kills the process of a node, or the init above it.
func (s *storm) killNode(ctx context.Context) (func() error, error) {
	if s.engine == nil {
		return s.killContainer(ctx)
	}
	shim, err := pick(s, s.engine.named(shimName))
	if err != nil {
		return nil, err
	}
	pid, err := pick(s, s.engine.inContainer(shim))
	if err != nil {
		return nil, err
	}
	return s.sigkill(pid)
}

// killContainer has an engine kill a container that cannot be reached otherwise.
func (s *storm) killContainer(ctx context.Context) (func() error, error) {
	out, err := docker(ctx, "", "ps", "-q", "--filter", "label=com.docker.compose.project="+s.load.project)
	if err != nil {
		return nil, err
	}
	id, err := pick(s, strings.Fields(out))
	if err != nil {
		return nil, err
	}
	if _, err := docker(ctx, "", "kill", id); err != nil {
		return nil, errNoVictim // it has just ended by itself
	}
	return func() error { return nil }, nil
}

// killShim kills the process of containerd that holds a container; containerd
// then kills the container.
func (s *storm) killShim() (func() error, error) {
	shim, err := pick(s, s.engine.named(shimName))
	if err != nil {
		return nil, err
	}
	return s.sigkill(append([]int{shim}, s.engine.inContainer(shim)...)...)
}

// sigkill kills the first process, and waits for the end of all.
func (s *storm) sigkill(pids ...int) (func() error, error) {
	began := map[int]string{} // an id may be used again
	for _, pid := range pids {
		began[pid] = startOf(pid)
	}
	s.say("kill %s %d", nameOf(pids[0]), pids[0])
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		return nil, errNoVictim // it has just ended by itself
	}
	return func() error {
		for _, pid := range pids {
			if !until(10*time.Second, func() bool { now := startOf(pid); return now == "" || now != began[pid] }) {
				return fmt.Errorf("process %d (%s) goes on", pid, nameOf(pid))
			}
		}
		return nil
	}, nil
}

// killEngine kills dockerd and starts it again after a moment, with or without
// live-restore.
func (s *storm) killEngine(ctx context.Context) (func() error, error) {
	away, live := time.Duration(s.random.IntN(2000))*time.Millisecond, s.random.IntN(2) == 0
	s.say("kill dockerd; back in %s, live-restore %t", away, live)
	if err := s.engine.kill(); err != nil {
		return nil, err
	}
	s.away = true
	return func() error {
		if err := s.rest(ctx, away); err != nil {
			return err
		}
		err := s.engine.start(ctx, live)
		s.away, s.back = false, time.Now()
		if !live {
			s.stopped = s.back
		}
		return err
	}, nil
}

// killRuntime kills the process of one session, which may be the one that
// supervises; now and then all of them.
func (s *storm) killRuntime() (func() error, error) {
	victims := s.load.streams
	if s.random.IntN(4) > 0 {
		one, err := pick(s, victims)
		if err != nil {
			return nil, err
		}
		victims = []*life{one}
	}
	for _, one := range victims {
		one.killed = true
		s.say("kill %s", one.name)
		_ = one.cmd.Process.Kill() // it may have ended
	}
	return func() error {
		for _, one := range victims {
			<-one.gone
		}
		return nil
	}, nil
}
