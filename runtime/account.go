package runtime

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// conclude fixes error and report when everything has ended.
func (s *Session) conclude() {
	s.over = time.Now()
	switch {
	case s.culprit != nil:
		s.nodeError = s.describe(s.culprit, s.nodeError)
		s.err = s.nodeError
	case s.cause != nil:
		s.err = s.cause
	case s.killed:
		s.err = ErrKilled
	default:
		s.concludeQuietly()
	}
	for _, m := range s.members {
		if s.shared() && m.Container && (m.closed || m.left || s.isOrphan()) {
			continue
		}
		if !m.exited && (m.container != "" || !m.Container && !s.neverRan(m)) {
			s.warn("node " + m.ID + " has not ended: it was given up")
		}
	}
	s.tellUntold()
	r := s.account()
	s.final = &r
	s.tellCrashes()
}

// concludeQuietly finds what no node was blamed for: an input that ended
// early although its producer did not fail.
func (s *Session) concludeQuietly() {
	for _, m := range s.members {
		if errors.Is(m.err, node.ErrIncomplete) {
			s.culprit, s.nodeError = m, s.describe(m, &NodeError{Message: m.err.Error(), Err: m.err})
			s.err = s.nodeError
			return
		}
	}
}

// Report is what happened up to now; it stays after Close.
func (s *Session) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.final != nil {
		return *s.final
	}
	return s.account()
}

func (s *Session) account() Report {
	r := Report{
		Project: s.c.Project, Session: s.c.Session, State: s.stateName(), Started: s.begun,
		Warnings: append([]string(nil), s.warnings...), Nodes: []NodeReport{}, Connections: []ConnectionReport{},
	}
	if s.unkept > 0 {
		r.Warnings = append([]string{fmt.Sprintf("%d more before these were told when they came", s.unkept)}, r.Warnings...)
	}
	end := time.Now()
	for _, t := range []time.Time{s.over, s.drained} {
		if !t.IsZero() {
			end = t
		}
	}
	var run time.Duration
	if s.started.IsZero() {
		r.StartupS = end.Sub(s.begun).Seconds()
	} else {
		run = end.Sub(s.started)
		r.StartupS, r.RunS = s.started.Sub(s.begun).Seconds(), run.Seconds()
	}
	var failure *NodeError
	if errors.As(s.err, &failure) {
		r.Error = failure
	} else if s.err != nil {
		r.Message = s.err.Error()
	}
	for _, m := range s.members {
		n := m.account()
		n.Usage = s.usageOf(m)
		if u := n.Usage; u != nil && m.dead != nil && m.bye == nil { // it has not told itself
			n.CPUS, n.MemoryPeak = u.CPUS, max(u.MemoryMost, u.RSSPeak)
		}
		r.Nodes = append(r.Nodes, n)
		r.Connections = append(r.Connections, connections(m.Node.Node, s.ledgerOf, run, !s.over.IsZero() && s.err != nil)...)
	}
	if slices.ContainsFunc(r.Connections, func(c ConnectionReport) bool { return c.GivenUp > 0 }) {
		r.DeadLetters = s.c.DeadLetters
	}
	return r
}

func (s *Session) ledgerOf(spec channel.Spec) *channel.Ledger {
	return s.ledgers[spec.For(s.c.Session).Name]
}

func (s *Session) stateName() string {
	switch {
	case s.over.IsZero() && s.stopping:
		return "stopping"
	case s.over.IsZero() && s.started.IsZero():
		return "starting"
	case s.over.IsZero():
		return "running"
	case s.err != nil:
		return "failed"
	}
	return "ended"
}

func (m *member) account() NodeReport {
	r := NodeReport{Node: m.ID, Container: m.Container, State: m.state, Forced: m.forced, Unread: m.unread, Metrics: m.metrics, Restarts: m.seen}
	if c := m.dead; c != nil {
		code := c.ExitCode
		r.ExitCode, r.OOM = &code, c.OOMKilled
	}
	if b := m.bye; b != nil {
		r.CPUS, r.MemoryPeak = b.CPU, max(b.MemoryPeak, b.RSSPeak)
	}
	if m.ports != nil {
		r.Files = m.ports.Files()
		if !m.exited {
			r.Unread = m.ports.Unread()
		}
	}
	return r
}

// describe is the error of a node, from all that is known of its end.
func (s *Session) describe(m *member, e *NodeError) *NodeError {
	if e == nil {
		e = &NodeError{}
	}
	e.Node, e.Container, e.Log = m.ID, m.Container, m.log.last()
	if f := m.failure; f != nil {
		e.Phase, e.Message, e.Traceback, e.Port, e.Sequence = f.Phase, f.Message, f.Traceback, f.Port, f.Sequence
	}
	c := m.dead
	if c == nil {
		return e
	}
	e.ExitCode, e.OOM = c.ExitCode, c.OOMKilled
	itself := c.ExitCode == 137 && m.bye != nil && !m.forced // it has said so
	if c.ExitCode > 128 && c.ExitCode < 128+65 && !itself {
		e.Signal = signalName(c.ExitCode - 128)
	}
	if e.Message != "" && !e.OOM {
		return e
	}
	e.Message = ending(e, c, s.started.IsZero() || !m.closed)
	if e.OOM && m.usage != nil {
		e.Message = strings.TrimSuffix(e.Message, raiseMemory) + "; " + m.usage.seen() + ": " + m.usage.more()
	}
	return e
}

// raiseMemory is the advice where nothing is known of what was used.
const raiseMemory = "; raise memory_mb"

// ending says in words how a container ended.
func ending(e *NodeError, c *Container, early bool) string {
	when, advice := "", ""
	if early {
		when = " before its streams ended"
	}
	text := "exited"
	if c.ExitCode == unknownExit {
		return "ended" + when + ", and the engine does not know how"
	}
	switch {
	case e.OOM && c.Memory > 0:
		text, advice = "killed at its memory limit of "+size(uint64(c.Memory)), raiseMemory
	case e.OOM:
		text = "killed for want of memory"
	case e.Signal != "":
		text = "killed by " + e.Signal
	}
	return fmt.Sprintf("%s%s (exit code %d)%s", text, when, c.ExitCode, advice)
}
