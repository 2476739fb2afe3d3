//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/medianode/docker-medianode/runtime"
)

// life is one session of a project: a process of the plugin, what it says, and
// the counters of its channels.
type life struct {
	name    string
	file    string // of its sink
	cmd     *exec.Cmd
	began   time.Time
	counts  *counts
	stdout  tailBuffer
	stderr  tailBuffer
	gone    chan struct{}
	flowing time.Time // its first frame was seen at the sink; zero: not yet
	killed  bool      // by the test
	asked   bool      // to end
	excused bool      // it ended when it may have failed
}

// tailBuffer keeps the last of what is written to it.
type tailBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *tailBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, text...)
	b.text = b.text[max(0, len(b.text)-256<<10):]
	return len(text), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

// load is a project with some sessions, which are begun again when they end.
type load struct {
	dir, project string
	plugin       string
	env          []string
	wires        []wire
	want         int // sessions at once
	made         int
	streams      []*life // that run
	past         []*life
	say          func(format string, args ...any)
	excused      func(*life) bool // whether a session may fail just now
}

// open begins one more session; it starts the project where none runs.
func (l *load) open(more ...string) (*life, error) {
	l.made++
	s := &life{name: fmt.Sprintf("s%d", l.made), gone: make(chan struct{}), began: time.Now()}
	s.file = filepath.Join(l.dir, s.name+".jsonl")
	// An interrupt of the test is not one of the session: end and abandon are.
	args := []string{"up", "-p", l.project, "--session", s.name, "--set", "out.path=" + s.name + ".jsonl", "--format", "json", "--progress", "quiet"}
	s.cmd = exec.CommandContext(context.Background(), l.plugin, append(args, more...)...)
	s.cmd.Dir, s.cmd.Env = l.dir, l.env
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.counts = newCounts(filepath.Join(runtime.Directory(containerUID(), l.project), "shm"), s.name, l.wires)
	go func() {
		_ = s.cmd.Wait() // its state tells
		close(s.gone)
	}()
	l.streams = append(l.streams, s)
	l.say("%s begins, process %d", s.name, s.cmd.Process.Pid)
	return s, nil
}

func (s *life) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// tend begins sessions in the place of those that have ended.
func (l *load) tend() error {
	var live []*life
	for _, s := range l.streams {
		s.counts.look()
		if s.flowing.IsZero() && s.counts.flows() {
			s.flowing = time.Now()
		}
		if !s.isGone() {
			live = append(live, s)
			continue
		}
		s.counts.look()
		s.excused = l.excused != nil && l.excused(s)
		l.past = append(l.past, s)
		if s.killed || s.asked {
			l.say("%s has ended, %s", s.name, s.cmd.ProcessState)
		} else {
			l.say("%s\n%s", s.exited(), tail(s.stderr.String(), 30))
		}
	}
	l.streams = live
	for len(l.streams) < l.want {
		if _, err := l.open(); err != nil {
			return err
		}
	}
	return nil
}

// report is what a session said at its end; nil: it could not.
func (s *life) report() *runtime.Report {
	var r runtime.Report
	if !s.isGone() || json.Unmarshal([]byte(s.stdout.String()), &r) != nil {
		return nil
	}
	return &r
}

// end asks all sessions to end, and waits for it.
func (l *load) end(ctx context.Context) error {
	l.want = 0
	for _, s := range l.streams {
		s.asked = true
		_ = s.cmd.Process.Signal(os.Interrupt) // it may have ended
	}
	var err error
	for _, s := range l.streams {
		select {
		case <-s.gone:
		case <-ctx.Done():
			err = errors.Join(err, ctx.Err())
		case <-time.After(time.Minute):
			err = errors.Join(err, fmt.Errorf("session %s does not end within a minute of Ctrl-C:\n%s", s.name, tail(s.stderr.String(), 20)))
			_ = s.cmd.Process.Signal(syscall.SIGQUIT)
			<-s.gone
		}
	}
	return errors.Join(err, l.tend())
}

// abandon kills what still runs.
func (l *load) abandon() {
	for _, s := range l.streams {
		_ = s.cmd.Process.Kill()
		<-s.gone
	}
}

// sweep is abandon, and removes what that leaves: nothing, after a good end.
func (l *load) sweep() {
	l.abandon()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	gc := exec.CommandContext(ctx, l.plugin, "gc", "-p", l.project)
	gc.Env = l.env
	_ = gc.Run() // what failed before is what is told
}

// exited is how a session's process ended, for people.
func (s *life) exited() string {
	text := fmt.Sprintf("session %s: %s", s.name, s.cmd.ProcessState)
	var lines []string
	for line := range strings.Lines(s.stderr.String()) {
		var entry struct {
			Text string `json:"text"`
			Node string `json:"node"`
		}
		if json.Unmarshal([]byte(line), &entry) != nil { // no line of a node
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return text + ": " + tail(strings.Join(lines, "\n"), 4)
}
