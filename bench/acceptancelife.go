//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// copyPipeline makes a project of a directory of this package, and builds it.
func copyPipeline(ctx context.Context, name string) (project, dir string, err error) {
	from, err := benchDir(name)
	if err != nil {
		return "", "", err
	}
	project = filepath.Base(name) + "-" + strconv.Itoa(os.Getpid())
	if dir, err = os.MkdirTemp("", project); err != nil {
		return "", "", err
	}
	err = os.CopyFS(dir, os.DirFS(from))
	if err == nil {
		_, err = docker(ctx, dir, "medianode", "build", "-p", project, "--progress", "quiet")
	}
	if err != nil {
		return "", "", errors.Join(err, os.RemoveAll(dir))
	}
	return project, dir, nil
}

// noticed is how soon a death is told where the machine is not busy: by the median.
const noticed = 500 * time.Millisecond

// crashes kills nodes in turns, and waits for the news.
func crashes(ctx context.Context, x *examination) (f finding, err error) {
	l, err := newTempLoad(ctx, "chaos", chaosConnections())
	if err != nil {
		return finding{}, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	s, err := l.open("--events", "-")
	if err != nil {
		return finding{}, err
	}
	if err := l.await(s); err != nil {
		return finding{}, err
	}
	var told, flowing []time.Duration
	nodes := []string{"src", "mid", "last"}
	for i := range x.of(12, 3) {
		node := nodes[i%len(nodes)]
		news := s.events()
		began := time.Now()
		if _, err := docker(ctx, "", "kill", l.project+"-"+node+"-1"); err != nil {
			return f, err
		}
		killed := time.Now() // the container is dead at some time before
		s.counts.look()
		before := append([]tally(nil), s.counts.last...)
		if !until(20*time.Second, func() bool { return s.hasToldOf(node, news) }) {
			return f, fmt.Errorf("the death of %s is not told: %s", node, tail(s.stderr.String(), 5))
		}
		told = append(told, s.toldAt(node, news).Sub(began))
		if !until(20*time.Second, func() bool { s.counts.look(); return s.counts.beyond(before) }) {
			return f, fmt.Errorf("%s does not come back: %s", node, tail(s.stderr.String(), 5))
		}
		flowing = append(flowing, time.Since(killed))
		time.Sleep(time.Second)
	}
	f.measured = fmt.Sprintf("%d kills: told after %s, at most %s; frames flow again after %s, at most %s",
		len(told), digits(median(told)), digits(quantile(told, 1)), digits(median(flowing)), digits(quantile(flowing, 1)))
	if worst := quantile(told, 1); worst > 2*time.Second {
		return f, fmt.Errorf("a crash was told after %s", digits(worst))
	}
	if m := median(told); m > noticed {
		return f, fmt.Errorf("half of the crashes were told after %s and more", digits(m))
	}
	if worst := quantile(flowing, 1); worst > 2*time.Second {
		return f, fmt.Errorf("frames flowed again after %s", digits(worst))
	}
	return f, nil
}

// events is how many lines of events there are.
func (s *life) events() int { return strings.Count(s.stdout.String(), "\n") }

func (s *life) hasToldOf(node string, after int) bool { return !s.toldAt(node, after).IsZero() }

// toldAt is when a crash of a node was written, by the time in its event, which
// is of this machine's clock.
func (s *life) toldAt(node string, after int) time.Time {
	for i, line := range strings.Split(s.stdout.String(), "\n") {
		var e struct {
			Time  time.Time `json:"time"`
			Crash *struct {
				Node string `json:"node"`
			} `json:"crash"`
		}
		if i >= after && json.Unmarshal([]byte(line), &e) == nil && e.Crash != nil && e.Crash.Node == node {
			return e.Time
		}
	}
	return time.Time{}
}

// allLines runs two nodes that print by every way, and looks for each line.
func allLines(ctx context.Context, x *examination) (finding, error) {
	project, dir, err := copyPipeline(ctx, "acceptance/logs")
	if err != nil {
		return finding{}, err
	}
	defer os.RemoveAll(dir)
	lines := x.of(5000, 500)
	cmd := exec.CommandContext(ctx, "docker", "medianode", "up", "-p", project, "--format", "json", "--set", fmt.Sprintf("first.lines=%d", lines))
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return finding{}, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return finding{}, err
	}
	seen := map[string]int{}
	var bad error
	for text := bufio.NewScanner(stderr); text.Scan(); {
		var l struct {
			Time               time.Time
			Node, Stream, Text string
		}
		if !strings.HasPrefix(text.Text(), "{") {
			continue // what up itself says
		}
		if err := json.Unmarshal(text.Bytes(), &l); err != nil {
			bad = errors.Join(bad, fmt.Errorf("%w: %s", err, text.Text()))
			continue
		}
		if l.Time.Before(began.Add(-time.Second)) || l.Time.After(time.Now().Add(time.Second)) {
			bad = errors.Join(bad, fmt.Errorf("time %s of %q", l.Time, l.Text))
		}
		seen[l.Node+" "+l.Stream+" "+l.Text]++
	}
	if err := cmd.Wait(); err != nil {
		return finding{}, fmt.Errorf("up: %w", err)
	}
	want := 0
	for _, node := range []string{"first", "second"} {
		expected := []string{"stdout line of import", "stdout line of close"}
		for i := range lines {
			expected = append(expected, fmt.Sprintf("stdout out %d", i), fmt.Sprintf("stderr err %d", i),
				fmt.Sprintf("stdout raw out %d", i), fmt.Sprintf("stderr raw err %d", i))
		}
		want += len(expected)
		for _, text := range expected {
			if n := seen[node+" "+text]; n != 1 && bad == nil {
				bad = fmt.Errorf("node %s: %d times %q", node, n, text)
			}
		}
	}
	f := finding{measured: fmt.Sprintf("%d of %d lines, of 2 nodes", len(seen), want)}
	return f, errors.Join(bad, checkNothingLeft(ctx, x.log, project))
}
