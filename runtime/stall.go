package runtime

import (
	"fmt"
	"time"
)

const (
	stallEvery = time.Second
	// stallAfter is how long a node may leave frames waiting before it is named.
	stallAfter = 5 * time.Second
	// slower is how many times longer than its longest step so far that must be:
	// a node that takes ten seconds a frame does not hang.
	slower = 3
)

// stall is what is known of a node's progress.
type stall struct {
	taken   uint64        // frames, on all inputs
	since   time.Time     // when that changed, or nothing waited
	longest time.Duration // between two frames while others waited
	told    bool
}

// look takes in how many frames a node has taken, and whether it could take more;
// hangs tells that it has not for long, again that it goes on after that.
func (st *stall) look(now time.Time, taken uint64, could bool) (hangs, again bool, idle time.Duration) {
	idle = now.Sub(st.since)
	switch {
	case st.since.IsZero(), taken != st.taken:
		if st.told {
			again = true
		}
		if !st.since.IsZero() {
			st.longest = max(st.longest, idle)
		}
		*st = stall{taken: taken, since: now, longest: st.longest}
	case !could:
		st.since = now
	case !st.told && idle >= max(stallAfter, slower*st.longest):
		st.told, hangs = true, true
	}
	return hangs, again, idle
}

// watchStalls looks at the nodes until the session ends.
func (s *Session) watchStalls() {
	for pause(s.life, stallEvery); s.life.Err() == nil; pause(s.life, stallEvery) {
		s.post(s.lookForStalls)
	}
}

// lookForStalls names nodes that take no frames although some wait, while they
// live. A node that waits for its own readers does not hang: they may.
func (s *Session) lookForStalls() {
	if s.stopping || !s.over.IsZero() {
		return // the grace, and what is left then, is told elsewhere
	}
	now := time.Now()
	for _, m := range s.members {
		taken, waiting, from := s.progress(m)
		lives := m.dead == nil && !m.exited && !m.closed && m.state == StateRunning
		hangs, again, idle := m.stall.look(now, taken, lives && waiting > 0 && !s.isBlocked(m))
		switch {
		case hangs:
			s.warn(fmt.Sprintf("node %s: has taken no frame for %s while %d wait at %s; it lives%s", m.ID, idle.Round(time.Second), waiting, from, m.limitHint()))
		case again:
			s.warn(fmt.Sprintf("node %s: takes frames again, after %s", m.ID, idle.Round(100*time.Millisecond)))
		}
	}
}

// limitHint is how to make a failure of it.
func (m *member) limitHint() string {
	if !m.hasControl() || m.TimeoutMS > 0 {
		return ""
	}
	return "; timeout_ms would end such a call"
}

// progress is how many frames a node has taken, how many wait, and where.
func (s *Session) progress(m *member) (taken, waiting uint64, from string) {
	for _, in := range m.Inputs {
		l := s.ledgerOf(in.Channel)
		if l == nil || in.Slot >= l.Slots() {
			continue
		}
		next, sent := l.Slot(in.Slot).Next().Load(), l.Next().Load()
		taken += next
		if sent > next {
			if waiting == 0 {
				from = fmt.Sprintf("%s ← %s.%s", in.Port, in.Source, in.SourcePort)
			}
			waiting += sent - next
		}
	}
	return taken, waiting, from
}

// isBlocked says whether a node waits for room at one of its outputs.
func (s *Session) isBlocked(m *member) bool {
	for _, out := range m.Outputs {
		for _, spec := range out.Channels {
			if l := s.ledgerOf(spec); l != nil && l.Starved().Load() != 0 {
				return true
			}
		}
	}
	return false
}
