package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Crash is what is known of the death of one process of a node's container, or of
// one session's copy of a node, which an exception has ended.
type Crash struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"` // as the engine noted it, else when it was noticed
	Project   string    `json:"project"`
	Session   string    `json:"session"` // in which the node failed; else that of the process that supervises
	Node      string    `json:"node"`
	Source    string    `json:"source,omitempty"` // file:line:column of the node
	Container string    `json:"container"`
	Service   string    `json:"service"`
	LivedS    float64   `json:"lived_s"`
	GoesOn    bool      `json:"goes_on,omitempty"` // the process, for its other sessions; it has no exit code

	Cause     string  `json:"cause"` // in words
	ExitCode  int     `json:"exit_code"`
	Exit      string  `json:"exit"` // the code in words
	Signal    string  `json:"signal,omitempty"`
	OOM       bool    `json:"oom,omitempty"`
	Phase     string  `json:"phase,omitempty"`
	Port      string  `json:"port,omitempty"`     // of the frame in process
	Sequence  *uint64 `json:"sequence,omitempty"` // of that frame
	Traceback string  `json:"traceback,omitempty"`
	Advice    string  `json:"advice,omitempty"`

	First   bool   `json:"first"`             // nothing had failed before
	Follows string `json:"follows,omitempty"` // what had
	Restart int    `json:"restart,omitempty"` // the process is started again, for the how-manieth time

	Usage *Usage      `json:"usage,omitempty"` // a sample from before the death
	Ports []CrashPort `json:"ports"`
	Log   []string    `json:"log,omitempty"` // the last lines
}

// CrashPort is how far a node had come on one connection when it died.
type CrashPort struct {
	Session   string  `json:"session"`
	Direction string  `json:"direction"` // in, out
	Port      string  `json:"port"`
	Peer      string  `json:"peer,omitempty"` // of an input: node.port
	Last      *uint64 `json:"last,omitempty"` // sequence of the last frame taken or sent; none: nothing yet
	Waiting   uint64  `json:"waiting"`        // frames, of an input
	Dropped   uint64  `json:"dropped"`
}

// untold is a death whose process may still have lines to be read.
type untold struct {
	crash *Crash
	log   *logbook
}

// crashes is the part of a session that tells of deaths.
type crashes struct {
	untold []untold
}

// noteCrash keeps what is known of a process that has ended and is told once its
// log is complete. What it used and how far it was is read now: the next process
// begins anew.
func (s *Session) noteCrash(m *member) {
	if m.noted {
		return
	}
	m.noted, m.usage = true, readUsage(s.c.Dir, m.ID)
	if s.c.Crashed == nil || !s.isCrash(m) {
		return
	}
	c := s.crash(m)
	s.tellSoon(m, c, logGrace)
}

// tellSoon tells of a crash once the process's log has been read, or after a time.
func (s *Session) tellSoon(m *member, c *Crash, most time.Duration) {
	p := m.process
	s.untold = append(s.untold, untold{c, p.log})
	s.group.Go(func() {
		select {
		case <-p.logged:
		case <-time.After(most):
		case <-s.life.Done():
		}
		s.post(func() { s.tellCrash(c) })
	})
}

// afterwards is how long lines of the log may come after the failure that they
// belong to, where the process goes on and so does its log.
const afterwards = 300 * time.Millisecond

// noteFailure keeps what is known of an exception that has ended this session's
// copy of a node; restart is the how-manieth time it opens again, or 0.
func (s *Session) noteFailure(m *member, e *NodeError, restart int, began time.Time) {
	if s.c.Crashed == nil || s.killed {
		return
	}
	e = s.describe(m, e)
	c := &Crash{
		Time: time.Now(), Project: s.c.Project, Session: s.c.Session, Node: m.ID, Container: m.container, Service: m.Service,
		GoesOn: true, Exit: "the process goes on, for its other sessions", Cause: e.Message, Phase: e.Phase, Port: e.Port, Sequence: e.Sequence,
		Traceback: e.Traceback, Restart: restart, Usage: readUsage(s.c.Dir, m.ID), Ports: s.crashPorts(m, s.c.Session),
	}
	c.LivedS = c.Time.Sub(began).Seconds()
	c.ID = c.Time.UTC().Format("20060102-150405.000") + "-" + m.ID + "-" + c.Session
	s.order(m, c)
	s.tellSoon(m, c, afterwards)
}

// tellCrash tells of a death, once. At the session's end all are told that are not yet.
func (s *Session) tellCrash(c *Crash) {
	i := slices.IndexFunc(s.untold, func(u untold) bool { return u.crash == c })
	if i < 0 {
		return
	}
	c.Log = s.untold[i].log.last()
	s.untold = slices.Delete(s.untold, i, i+1)
	s.c.Crashed(*c)
}

func (s *Session) tellCrashes() {
	for _, u := range slices.Clone(s.untold) {
		s.tellCrash(u.crash)
	}
}

// isCrash says whether a process that has ended was not told to, or did not do as
// it was told.
func (s *Session) isCrash(m *member) bool {
	c := m.dead
	switch {
	case c.outOfMemory():
		return true
	case s.killed && s.culprit != m: // what it says while everything is cut off follows from that
		return false
	case m.failure != nil || m.blame != nil, s.culprit == m:
		return true
	case s.killed, s.stopping && s.started.IsZero(): // it was killed for another reason
		return false
	case c.ExitCode == 0 && m.bye != nil:
		return false
	case m.closed && (c.ExitCode == 0 || m.forced || !m.hasControl()):
		return false
	}
	return true
}

// outOfMemory says whether the engine saw it killed at its limit. A process of the
// node's own that was killed so, and that it survived, does not count.
func (c *Container) outOfMemory() bool { return c.OOMKilled && c.ExitCode == 137 }

func (s *Session) crash(m *member) *Crash {
	e := &NodeError{}
	switch {
	case m.blame != nil:
		*e = *m.blame
	case s.culprit == m && s.nodeError != nil:
		*e = *s.nodeError // why the session ends, and so the process
	}
	e = s.describe(m, e)
	d := m.dead
	c := &Crash{
		Time: d.Finished, Project: s.c.Project, Session: s.c.Session, Node: m.ID, Container: d.ID, Service: m.Service,
		Cause: e.Message, ExitCode: d.ExitCode, Signal: e.Signal, OOM: d.outOfMemory(), Phase: e.Phase, Port: e.Port,
		Sequence: e.Sequence, Traceback: e.Traceback, Usage: m.usage, Ports: []CrashPort{},
	}
	if m.failure != nil && m.failure.Session != "" {
		c.Session = m.failure.Session
	}
	for _, session := range s.open() {
		c.Ports = append(c.Ports, s.crashPorts(m, session)...)
	}
	if d.Name != "" {
		c.Container = d.Name
	}
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	if !d.Started.IsZero() && c.Time.After(d.Started) {
		c.LivedS = c.Time.Sub(d.Started).Seconds()
	}
	c.ID = c.Time.UTC().Format("20060102-150405.000") + "-" + m.ID
	c.Exit = exitWords(d.ExitCode, c.OOM, m.failure != nil || (m.bye != nil && d.ExitCode != 1))
	if m.cut && d.ExitCode == 137 && !c.OOM {
		c.Exit = endedByUs
	}
	c.Advice = advice(c)
	s.order(m, c)
	if s.mayRevive(m, m.hasFailed()) {
		c.Restart = m.restarts + 1
		if m.isPlanned() {
			c.Restart = m.restarts
		}
	}
	return c
}

// order says which failure was first.
func (s *Session) order(m *member, c *Crash) {
	switch {
	case s.culprit != nil && s.culprit != m:
		c.Follows = "node " + s.culprit.ID
	case s.culprit == nil && s.cause != nil:
		c.Follows = s.cause.Error()
	default: // also when the ends of its channels were noticed before its death
		c.First = true
	}
}

// open are the names of the sessions that are open, this one's first.
func (s *Session) open() []string {
	var others []string
	for name, g := range s.guests {
		if g.lost.IsZero() {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return append([]string{s.c.Session}, others...)
}

// crashPorts is how far the node was in a session, from the ledgers of its channels.
func (s *Session) crashPorts(m *member, session string) []CrashPort {
	ports := []CrashPort{}
	for _, in := range m.Inputs {
		l := s.ledgerIn(session, in.Channel)
		if l == nil || in.Slot >= l.Slots() {
			continue
		}
		slot := l.Slot(in.Slot)
		next := slot.Next().Load()
		p := CrashPort{Session: session, Direction: "in", Port: in.Port, Peer: in.Source + "." + in.SourcePort, Dropped: slot.Dropped().Load()}
		p.Last = before(min(next, l.Frames()))
		if sent := l.Frames(); sent > next {
			p.Waiting = sent - next
		}
		ports = append(ports, p)
	}
	for _, out := range m.Outputs {
		for _, spec := range out.Channels[:min(1, len(out.Channels))] { // the second carries the same frames
			if l := s.ledgerIn(session, spec); l != nil {
				ports = append(ports, CrashPort{Session: session, Direction: "out", Port: out.Port, Last: before(l.Frames())})
			}
		}
	}
	return ports
}

// ledgerIn is the ledger of a channel in any session; of another process's a copy.
func (s *Session) ledgerIn(session string, spec channel.Spec) *channel.Ledger {
	if session == s.c.Session {
		return s.ledgerOf(spec)
	}
	mem, err := os.ReadFile(filepath.Join(s.c.Dir, "shm", channel.LedgerName(spec.For(session).Name)))
	if err != nil {
		return nil // it has just ended
	}
	l, err := channel.NewLedger(mem, len(spec.Readers))
	if err != nil {
		return nil
	}
	return l
}

// before is the sequence before one, if there is any.
func before(next uint64) *uint64 {
	if next == 0 {
		return nil
	}
	next--
	return &next
}

// endedByUs is what exitWords cannot know.
const endedByUs = "killed by docker medianode"

// exitWords says what an exit code means; told: the process has said that it ends.
func exitWords(code int, oom, told bool) string {
	switch {
	case oom:
		return "killed by the kernel at its memory limit"
	case code == 1 && told:
		return "ended by the SDK, for that reason"
	case code == 137 && told:
		return "it ended itself with 128 + 9; nobody killed it"
	case code == 137:
		return "killed by SIGKILL (kill -9, docker kill, or a machine without memory), or ended itself with this code"
	}
	if words, ok := map[int]string{
		0: "ended by itself, without a word to the runtime", 1: "ended by itself with an error, in Python mostly an exception",
		2: "wrong use of a command, or its file is not there", 125: "the engine could not start it",
		126: "the command is there and cannot be executed", 127: "the command is not in the image",
		-1:  "not known: the engine did not tell",
		130: "interrupted (SIGINT)", 132: "an instruction that this processor does not have (SIGILL)",
		134: "a library gave up: assertion, double free, or C++ exception (SIGABRT)",
		135: "mapped memory that is not there any more: a file cut short, or a full disk or tmpfs (SIGBUS)",
		136: "division by zero or another arithmetic error (SIGFPE)",
		139: "memory that it may not touch (SIGSEGV)", 143: "asked to end (SIGTERM)",
	}[code]; ok {
		return words
	}
	if code > 128 && code < 128+65 {
		return "ended by " + signalName(code-128)
	}
	return "ended by itself with its own code"
}

// nearLimit is the share of a memory limit from which a kill is suspected to be
// for memory although the engine does not say so.
const nearLimit = 0.9

// advice is what to try next, or nothing.
func advice(c *Crash) string {
	switch {
	case c.OOM && c.Usage == nil:
		return "raise memory_mb, then measure with docker medianode up --measure"
	case c.OOM:
		return c.Usage.more()
	case c.Signal == "SIGKILL" && c.Exit != endedByUs && c.Usage.isNear():
		return "memory " + c.Usage.words() + ": it may have been its memory although the engine does not say so; " + c.Usage.more()
	case c.ExitCode == 139:
		return "frames that were received are read-only: copy() one before a library writes into it"
	case c.ExitCode == 132:
		return "a package was built for another processor: take another version of it"
	case c.ExitCode == 126 || c.ExitCode == 127:
		return "compare docker.command with what the image has"
	case c.Phase == "" && c.Signal == "" && c.ExitCode == 0:
		return "a node ends when its streams do: do not call os._exit"
	}
	return ""
}

func (u *Usage) isNear() bool {
	return u != nil && u.Limit > 0 && float64(max(u.Memory, u.MemoryMost)) >= nearLimit*float64(u.Limit)
}

// words is the memory of a sample in words.
func (u *Usage) words() string {
	if u.Limit == 0 {
		return "no limit, " + u.seen()
	}
	return "limit " + size(u.Limit) + ", " + u.seen()
}

// seen is what was used of it.
func (u *Usage) seen() string {
	text := "last seen " + size(u.Memory)
	if u.Frames > 0 {
		text += ", " + size(u.Frames) + " of it frames"
	}
	if u.Files > 0 {
		text += ", " + size(u.Files) + " of it files in /tmp"
	}
	return text
}

// more is the next limit to try.
func (u *Usage) more() string {
	return fmt.Sprintf("try memory_mb: %d, then measure with docker medianode up --measure", roundMB(max(u.Limit, u.Memory)*3/2))
}

// roundMB is bytes as memory_mb, up to a multiple of 64 and not less than the
// language takes.
func roundMB(bytes uint64) uint64 {
	const step = 64 << 20
	return max(128, (bytes+step-1)/step*64)
}
