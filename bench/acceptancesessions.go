//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"
)

// newTempLoad is a pipeline of this package on the engine that answers.
func newTempLoad(ctx context.Context, name string, wires []wire) (*load, error) {
	dir, err := os.MkdirTemp("", "acceptance")
	if err != nil {
		return nil, err
	}
	l, err := newLoad(ctx, name, dir, nil)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l.say, l.wires = func(string, ...any) {}, wires
	return l, nil
}

// newSessions is bench/acceptance/sessions.
func newSessions(ctx context.Context) (*load, error) {
	return newTempLoad(ctx, "acceptance/sessions", []wire{
		{from: "tone.output", to: "first.input", channel: "tone_output"},
		{from: "first.output", to: "mid.input", channel: "first_output"},
		{from: "mid.output", to: "last.input", channel: "mid_output"},
		{from: "last.output", to: "out.input", channel: "last_output"},
	})
}

// someFrames is a session of five frames, which take a tenth of a second.
func someFrames() []string { return []string{"--set", "tone.duration_s=0.1"} }

// close ends what runs and wants nothing to be left.
func (l *load) close(ctx context.Context) error {
	err := l.end(ctx)
	left, bad := l.leftovers(ctx)
	l.sweep()
	if len(left) > 0 {
		bad = errors.Join(bad, fmt.Errorf("left behind: %s", strings.Join(left, ", ")))
	}
	return errors.Join(err, bad, os.RemoveAll(l.dir))
}

// leftovers are what gc finds, and what is found without it.
func (l *load) leftovers(ctx context.Context) ([]string, error) {
	check := exec.CommandContext(ctx, l.plugin, "gc", "--check", "-p", l.project)
	check.Env = l.env
	out, err := check.CombinedOutput()
	left, bad := remainsOf(ctx, l.project, func(ctx context.Context, args ...string) (string, error) { return docker(ctx, "", args...) })
	if err != nil {
		bad = errors.Join(bad, fmt.Errorf("gc --check: %w: %s", err, out))
	}
	return left, bad
}

// await waits until frames of a session come through.
func (l *load) await(s *life) error {
	flows := until(recoverTime, func() bool {
		s.counts.look()
		return s.counts.flows() || s.isGone()
	})
	if !flows || !s.counts.flows() {
		return fmt.Errorf("no frames: %s", tail(s.stderr.String(), 10))
	}
	s.flowing = time.Now()
	return nil
}

// ended waits for the end of a session that has so many frames, which must have
// come in order and be its own.
func (s *life) ended(frames int) error {
	if !until(recoverTime, s.isGone) {
		return fmt.Errorf("session %s does not end: %s", s.name, tail(s.stderr.String(), 10))
	}
	s.counts.look()
	lines, err := readLines(s.file)
	if err != nil {
		return err
	}
	for i, l := range lines {
		if l.Value.Session != s.name || l.Sequence != uint64(i) || l.Value.Mid != uint64(i) || l.Value.Last != uint64(i) {
			return fmt.Errorf("session %s: line %d is %+v", s.name, i, l)
		}
	}
	if !s.cmd.ProcessState.Success() || len(lines) != frames {
		return fmt.Errorf("session %s: %d frames of %d: %s", s.name, len(lines), frames, s.exited())
	}
	return nil
}

// nothingLeft opens a hundred sessions in a running project and a hundred whose
// owner is killed; then the same where each one starts the project, too.
func nothingLeft(ctx context.Context, x *examination) (f finding, err error) {
	l, err := newSessions(ctx)
	if err != nil {
		return finding{}, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	inside, whole := x.of(100, 25), x.of(100, 6)
	if err := l.withinProject(ctx, inside); err != nil {
		return f, err
	}
	if err := l.wholeProjects(ctx, whole); err != nil {
		return f, err
	}
	left, err := l.leftovers(ctx)
	f.measured = fmt.Sprintf("%d left after %d sessions and %d killed in a running project, and %d and %d that started it", len(left), inside, inside, whole, whole)
	return f, err
}

func (l *load) withinProject(ctx context.Context, n int) error {
	first, err := l.open()
	if err != nil {
		return err
	}
	if err := l.await(first); err != nil {
		return err
	}
	for range n {
		s, err := l.open(someFrames()...)
		if err != nil {
			return err
		}
		if err := errors.Join(s.ended(5), l.forget(), ctx.Err()); err != nil {
			return err
		}
	}
	for range n {
		s, err := l.open()
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond) // any moment will do
		_ = s.cmd.Process.Kill()
		<-s.gone
		if err := errors.Join(l.forget(), ctx.Err()); err != nil {
			return err
		}
	}
	alone := func() bool {
		out, err := docker(ctx, l.dir, "medianode", "sessions", "-p", l.project)
		return err == nil && strings.Count(strings.TrimSpace(out), "\n") == 1 // the head, and the first one
	}
	if !until(20*time.Second, alone) {
		out, _ := docker(ctx, l.dir, "medianode", "sessions", "-p", l.project)
		return fmt.Errorf("sessions whose owner is dead are there:\n%s", out)
	}
	return l.end(ctx)
}

func (l *load) wholeProjects(ctx context.Context, n int) error {
	var longest time.Duration
	for range n {
		s, err := l.open(someFrames()...)
		if err != nil {
			return err
		}
		if err := errors.Join(s.ended(5), l.forget(), ctx.Err()); err != nil {
			return err
		}
		longest = max(longest, time.Since(s.began))
		left, err := l.leftovers(ctx)
		if len(left) > 0 || err != nil {
			return errors.Join(err, fmt.Errorf("after session %s: left behind: %s", s.name, strings.Join(left, ", ")))
		}
	}
	for range n {
		s, err := l.open(someFrames()...)
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.Int64N(int64(longest)))) // any moment will do
		_ = s.cmd.Process.Kill()
		<-s.gone
		if err := errors.Join(l.forget(), ctx.Err()); err != nil {
			return err
		}
	}
	// What the last one has left is the next one's to remove.
	s, err := l.open(someFrames()...)
	if err != nil {
		return err
	}
	return errors.Join(s.ended(5), l.forget())
}

// forget lets go of sessions that have ended.
func (l *load) forget() error {
	want := l.want
	l.want = 0
	err := l.tend()
	l.want = want
	for _, s := range l.past {
		s.counts.close()
	}
	l.past = nil
	return err
}

// fiveAtOnce runs five sessions by a clock, and watches their memory.
func fiveAtOnce(ctx context.Context, x *examination) (f finding, err error) {
	l, err := newSessions(ctx)
	if err != nil {
		return finding{}, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	const rate = 50 // frames a second of a session
	frames := int(x.length.Seconds() * rate)
	var pids []int
	for loudness := -5; loudness < 0; loudness++ {
		s, err := l.open("--set", fmt.Sprintf("tone.duration_s=%g", x.length.Seconds()),
			"--set", fmt.Sprintf("tone.amplitude_db=%d", loudness), "--set", fmt.Sprintf("first.amplitude_db=%d", loudness))
		if err != nil {
			return f, err
		}
		pids = append(pids, s.cmd.Process.Pid)
		if err := l.await(s); err != nil {
			return f, err
		}
	}
	all := append([]*life(nil), l.streams...)
	memory := newMemory(l.project, 3, pids...)
	memory.drift = 2 << 20 // a header a frame would be 3.7 MB in ten minutes
	stop := context.AfterFunc(ctx, func() {
		for _, s := range all {
			_ = s.cmd.Process.Signal(os.Interrupt) // it may have ended
		}
	})
	defer stop()
	done := make(chan error, 1)
	go func() {
		for _, s := range all {
			<-s.gone
		}
		done <- nil
	}()
	if err := memory.watch(ctx, done); err != nil {
		return f, err
	}
	var late time.Duration
	for _, s := range all {
		if err := s.ended(frames); err != nil {
			return f, err
		}
		if r := s.report(); r != nil {
			late = max(late, time.Duration((r.RunS-x.length.Seconds())*float64(time.Second)))
		}
	}
	f.measured = fmt.Sprintf("%d frames in %s, none astray; the last %s late; memory of a process changes by at most %s",
		5*frames, x.length, digits(late), mib(memory.widest()))
	err = memory.check(x.log)
	if late > max(x.length/100, time.Second) {
		err = errors.Join(err, fmt.Errorf("a session ended %s after its time", digits(late)))
	}
	return f, err
}

// fastOpening opens sessions in a running project, one after the other.
func fastOpening(ctx context.Context, x *examination) (f finding, err error) {
	l, err := newSessions(ctx)
	if err != nil {
		return finding{}, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	first, err := l.open()
	if err != nil {
		return f, err
	}
	if err := l.await(first); err != nil {
		return f, err
	}
	var opened, prompt []time.Duration
	for range x.of(100, 25) {
		s, err := l.open(someFrames()...)
		if err != nil {
			return f, err
		}
		for !s.counts.flows() && !s.isGone() {
			s.counts.look()
			time.Sleep(500 * time.Microsecond)
		}
		flowing := time.Now()
		if err := s.ended(5); err != nil {
			return f, err
		}
		r := s.report()
		if r == nil {
			return f, errors.New("no report")
		}
		opened, prompt = append(opened, flowing.Sub(r.Started)), append(prompt, flowing.Sub(s.began))
		if err := errors.Join(l.forget(), ctx.Err()); err != nil {
			return f, err
		}
	}
	f = finding{
		measured: fmt.Sprintf("%d openings: median %s, p90 %s, at most %s", len(opened), digits(median(opened)), digits(quantile(opened, 0.9)), digits(quantile(opened, 1))),
		beside:   "from the prompt of up: median " + digits(median(prompt)),
	}
	if m := median(opened); m > 50*time.Millisecond {
		return f, fmt.Errorf("the first frame comes after %s", digits(m))
	}
	return f, nil
}
