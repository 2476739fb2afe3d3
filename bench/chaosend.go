//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// finish ends the load and looks for what is missing and what is left, then
// whether a pipeline still runs.
func (s *storm) finish(ctx context.Context) error {
	if err := s.load.end(ctx); err != nil {
		return err
	}
	s.errs = append(s.errs, s.leftovers(ctx, "after the storm"))
	const frames = 200
	last, err := s.load.open("--set", "src.count="+strconv.Itoa(frames))
	if err != nil {
		return err
	}
	ended := until(recoverTime, func() bool {
		last.counts.look()
		return last.isGone()
	})
	if !ended {
		return fmt.Errorf("the last up does not end: %s", tail(last.stderr.String(), 10))
	}
	lines, err := readLines(last.file)
	if err == nil && (!last.cmd.ProcessState.Success() || len(lines) != frames) {
		err = fmt.Errorf("the last up: %d frames of %d: %s", len(lines), frames, last.exited())
	}
	if err == nil {
		fmt.Fprintf(s.w, "the last up: ok, %d of %d frames in %s\n", len(lines), frames, time.Since(last.began).Round(time.Millisecond))
	}
	if err := s.load.tend(); err != nil {
		return err
	}
	s.errs = append(s.errs, err, s.leftovers(ctx, "after the last up"))
	return nil
}

// summary prints what was killed, what came back and where the frames are.
func (s *storm) summary() {
	t := newTable("killed", "times", "frames flow again", "after p50", "p99", "max")
	for _, kind := range []string{killNode, killShim, killEngine, killRuntime} {
		took := s.took[kind]
		if s.kills[kind] == 0 {
			continue // this machine cannot, and it was said
		}
		t.row(kind, s.kills[kind], len(took), median(took), quantile(took, 0.99), quantile(took, 1))
	}
	t.print(s.w)
	total := make([]account, len(s.load.wires))
	ended, killed, refused, stopped, failed := 0, 0, 0, 0, 0
	for _, one := range s.load.past {
		accounts, err := one.accounts(s.load.wires)
		s.errs = append(s.errs, err)
		for i := range accounts {
			total[i].add(accounts[i])
		}
		switch r := one.report(); {
		case one.killed:
			killed++
		case r != nil && r.State != "failed":
			ended++
		case one.excused && strings.Contains(one.stderr.String(), "no Docker engine answers"):
			refused++
		case one.excused:
			stopped++
		default:
			if failed++; failed <= 5 {
				s.errs = append(s.errs, fmt.Errorf("failed: %s", one.exited()))
			}
		}
		one.counts.close()
	}
	t = newTable("connection", "sent", "received", "lost, counted", "on the way to a killed runtime", "unaccounted", "in process at a death")
	for i, w := range s.load.wires {
		a := total[i]
		t.row(w.from+" → "+w.to, a.sent, a.received, a.lost, a.owner, int64(a.sent)-int64(a.received)-int64(a.lost)-int64(a.owner), a.unfinished)
	}
	t.print(s.w)
	fmt.Fprintf(s.w, "sessions: %d; %d ended, %d were killed with their runtime, %d were refused while no engine answered, %d failed with the containers that an engine stopped, %d for no such reason\n",
		len(s.load.past), ended, killed, refused, stopped, failed)
}

// leftovers asks gc, and looks.
func (s *storm) leftovers(ctx context.Context, when string) error {
	check := exec.CommandContext(ctx, s.load.plugin, "gc", "--check", "-p", s.load.project)
	check.Env = s.load.env
	if out, err := check.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: gc --check: %w: %s", when, err, out)
	}
	left, err := remainsOf(ctx, s.load.project, s.docker)
	if err != nil {
		return err
	}
	if s.engine != nil {
		for _, pid := range s.engine.named(shimName) {
			left = append(left, fmt.Sprintf("shim %d", pid))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%s: left behind: %s", when, strings.Join(left, ", "))
	}
	fmt.Fprintf(s.w, "leftovers %s: 0\n", when)
	return nil
}
