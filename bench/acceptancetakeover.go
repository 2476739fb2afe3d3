//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/medianode/docker-medianode/runtime"
)

// soon is how long a project may be without a process that supervises it.
const soon = time.Second

// takeovers kills the process that supervises, again and again: a session of
// another process takes its place, its frames flow on, and no node starts again.
func takeovers(ctx context.Context, x *examination) (f finding, err error) {
	l, err := newSessions(ctx)
	if err != nil {
		return finding{}, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	var took []time.Duration
	for range x.of(20, 5) {
		for len(l.streams) < 2 {
			s, err := l.open()
			if err != nil {
				return f, err
			}
			if err := l.await(s); err != nil {
				return f, err
			}
		}
		d, err := l.takeover()
		if err := errors.Join(err, l.forget(), ctx.Err()); err != nil {
			return f, err
		}
		took = append(took, d)
	}
	f.measured = fmt.Sprintf("%d kills: after %s, at most %s; no node started again", len(took), digits(median(took)), digits(quantile(took, 1)))
	if worst := quantile(took, 1); worst > soon {
		return f, fmt.Errorf("another process took over after %s", digits(worst))
	}
	return f, nil
}

// takeover kills the process that supervises two sessions, and waits for the other one's.
func (l *load) takeover() (time.Duration, error) {
	at := func() int {
		list, _ := runtime.Sessions(containerUID(), l.project) // nobody supervises while one is being replaced
		i := slices.IndexFunc(list, func(s runtime.SessionInfo) bool { return s.Supervises })
		if i < 0 {
			return -1
		}
		return slices.IndexFunc(l.streams, func(s *life) bool { return s.cmd.Process.Pid == list[i].PID })
	}
	victim := at()
	if victim < 0 {
		return 0, errors.New("nobody supervises")
	}
	other := l.streams[1-victim]
	l.streams[victim].killed = true
	began := time.Now()
	if err := l.streams[victim].cmd.Process.Kill(); err != nil {
		return 0, err
	}
	if !until(recoverTime, func() bool { return at() == 1-victim }) {
		return 0, fmt.Errorf("nobody takes over: %s", tail(other.stderr.String(), 10))
	}
	took := time.Since(began)
	<-l.streams[victim].gone
	other.counts.look()
	before := slices.Clone(other.counts.last)
	if !until(recoverTime, func() bool { other.counts.look(); return other.counts.beyond(before) }) {
		return took, fmt.Errorf("no frames after a takeover: %s", tail(other.stderr.String(), 10))
	}
	for node, state := range runtime.NodeStates(containerUID(), l.project) {
		if state.Restarts != 0 {
			return took, fmt.Errorf("node %s was started again", node)
		}
	}
	return took, nil
}
