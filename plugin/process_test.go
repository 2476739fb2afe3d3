package plugin_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// stopLimit is the longest that the end of a run may take: the stop grace, the
// engine's part, and a machine that does something else at the same time.
const stopLimit = 30 * time.Second

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// String is everything, for a failure's message.
func (r result) String() string {
	return fmt.Sprintf("exit code %d after %s\n--- stdout\n%s--- stderr\n%s", r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// is fails the test if the command did not exit so, or did not say so on stderr.
func (r result) is(t *testing.T, code int, said ...string) {
	t.Helper()
	for _, text := range said {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("not said: %q", text)
			code = -1
		}
	}
	if r.code != code {
		t.Errorf("want exit code %d: %s", code, r)
	}
}

// process is a command that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	began  time.Time
	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	done   chan struct{}
	tty    *os.File
	shown  chan struct{} // closed when all of the terminal has been read
}

func (s *stage) start(name string, args ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, began: time.Now(), done: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.Dir, p.cmd.Env = s.dir, s.env
	p.cmd.Stdout, p.cmd.Stderr = p.into(&p.stdout), p.into(&p.stderr)
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p.wait()
	return p
}

// startTerminal starts a command in a terminal of its own; all output is in stderr.
func (s *stage) startTerminal(name string, args ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, began: time.Now(), done: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.Dir, p.cmd.Env = s.dir, append(s.env, "TERM=xterm")
	tty, err := pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 50, Cols: 120})
	if err != nil {
		s.t.Fatal(err)
	}
	p.tty = tty
	p.shown = make(chan struct{})
	go func() {
		_, _ = io.Copy(p.into(&p.stderr), tty) // ends with the terminal
		close(p.shown)
	}()
	p.wait()
	return p
}

func (p *process) wait() {
	go func() {
		_ = p.cmd.Wait() // the state tells
		close(p.done)
	}()
	p.t.Cleanup(func() {
		if p.running() {
			p.t.Errorf("still runs: %s", p.cmd)
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if p.tty != nil {
			_ = p.tty.Close()
		}
	})
}

// into is a writer to one of the buffers.
func (p *process) into(b *bytes.Buffer) io.Writer {
	return writer(func(text []byte) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return b.Write(text)
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) said() result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return result{code: -1, stdout: p.stdout.String(), stderr: p.stderr.String(), took: time.Since(p.began)}
}

// until waits for something to become true while the command runs.
func (p *process) until(what string, holds func() bool) {
	p.t.Helper()
	ok := eventually(time.Minute, func() bool { return holds() || !p.running() })
	if !ok || !holds() {
		if p.running() {
			p.interrupt()
		}
		p.t.Fatalf("%s: never. %s", what, p.end(time.Minute))
	}
}

// says waits for a text on stderr.
func (p *process) says(text string) {
	p.t.Helper()
	p.until("says "+text, func() bool { return strings.Contains(p.said().stderr, text) })
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal: %v", err)
	}
}

func (p *process) interrupt() { p.signal(os.Interrupt) }

// press types Ctrl-C.
func (p *process) press() {
	p.t.Helper()
	if _, err := p.tty.Write([]byte{3}); err != nil {
		p.t.Error(err)
	}
}

// end waits for the command's end.
func (p *process) end(limit time.Duration) result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		r := p.said()
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		p.t.Fatalf("%s has not ended within %s: %s", p.cmd, limit, r)
	}
	if p.tty != nil {
		<-p.shown
	}
	r := p.said()
	r.code = p.cmd.ProcessState.ExitCode()
	return r
}

// flows waits until a sink's file, which has another name before its end, has
// so many bytes: the pipeline flows.
func (p *process) flows(s *stage, file string) {
	p.t.Helper()
	p.until("frames in "+file, func() bool {
		info, err := os.Stat(filepath.Join(s.dir, file+".partial"))
		return err == nil && info.Size() > 50
	})
}
