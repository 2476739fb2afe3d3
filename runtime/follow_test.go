package runtime

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"
)

// oneLog is an engine with the log of one container, whose streams are cut when the
// test says so; the container runs on.
type oneLog struct {
	Engine

	first time.Time

	mu    sync.Mutex
	lines []time.Time     // one line each
	cut   context.Context // the present streams
	stop  context.CancelFunc
}

func newLog() *oneLog {
	l := &oneLog{first: time.Now().Add(time.Hour).Truncate(time.Second)} // after whoever follows from now on
	l.cut, l.stop = context.WithCancel(context.Background())
	return l
}

func (l *oneLog) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, l.first.Add(time.Duration(len(l.lines))*time.Second))
}

// lose ends the streams as an engine does that is stopped.
func (l *oneLog) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
	l.cut, l.stop = context.WithCancel(context.Background())
}

func (l *oneLog) Inspect(context.Context, string) (Container, error) {
	return Container{State: "running"}, nil
}

func (l *oneLog) Logs(ctx context.Context, _ string, o LogOptions, stdout, _ io.Writer) error {
	since, _ := time.Parse(time.RFC3339Nano, o.Since)
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	for n := 0; ; {
		l.mu.Lock()
		lines := l.lines[n:]
		n = len(l.lines)
		l.mu.Unlock()
		for _, at := range lines {
			if !at.Before(since) {
				fmt.Fprintf(stdout, "%s line %d\n", at.UTC().Format(time.RFC3339Nano), at.Sub(l.first)/time.Second)
			}
		}
		switch {
		case !o.Follow:
			return nil
		case cut.Err() != nil:
			return io.ErrUnexpectedEOF
		case ctx.Err() != nil:
			return ctx.Err()
		}
		pause(ctx, time.Millisecond)
	}
}

// followed is a session with one container node, and what is read of its log.
func followed(t *testing.T, l *oneLog) (s *Session, read func() []string) {
	t.Helper()
	var mu sync.Mutex
	var texts []string
	r := newRig(t, 0)
	r.config.Engine = l
	r.config.Logs = func(line LogLine) {
		mu.Lock()
		defer mu.Unlock()
		texts = append(texts, line.Text)
	}
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stopLife()
		s.group.Wait()
	})
	return s, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(texts)
	}
}

func reads(t *testing.T, read func() []string, want ...string) {
	t.Helper()
	eventually(func() bool { return len(read()) >= len(want) })
	time.Sleep(20 * time.Millisecond) // for a line too many
	if got := read(); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

// TestLogOfOneThatDiedUnheard: the engine is away when a process dies, and has
// started the next one before the rest of the log is read. No line is read twice,
// and the one that read for the dead process does not stay.
func TestLogOfOneThatDiedUnheard(t *testing.T) {
	log := newLog()
	s, read := followed(t, log)
	m := s.members[1]
	first, next := m.process, newProcess(m.log.next())
	log.write()
	s.group.Go(func() { s.follow(m, "id", first, nil) })
	reads(t, read, "line 0")
	s.mu.Lock()
	first.end(&Container{})
	s.mu.Unlock()
	log.write()
	log.lose()
	log.write() // of the next one
	s.group.Go(func() { s.follow(m, "id", next, first) })
	select {
	case <-first.logged:
	case <-time.After(5 * time.Second):
		t.Error("the log of the dead process is still followed")
	}
	log.write()
	reads(t, read, "line 0", "line 1", "line 2", "line 3")
}

// TestLogInAnotherSession: a process that another one supervises is started again
// before this session hears of it, and its log is read once.
func TestLogInAnotherSession(t *testing.T) {
	log := newLog()
	s, read := followed(t, log)
	s.link = &link{wire: newPeer(nil)}
	m := s.members[1]
	s.onIntroduced(m, message{Container: &Container{ID: "id"}})
	first := m.process
	log.write()
	reads(t, read, "line 0")
	s.onRestarting(m, message{Container: &Container{ID: "id"}, Restart: "died: starts again in 100ms", Number: 1})
	if !first.hasEnded() {
		t.Error("nobody has told that the first process has ended")
	}
	log.lose()
	log.write()
	reads(t, read, "line 0", "line 1")
}
