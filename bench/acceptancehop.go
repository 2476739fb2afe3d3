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
	"time"
)

// slower is the most that a hop to a container may take longer.
const slower = 5 * time.Millisecond

// placeOfNode sends the same frames to the same node, which the same runner runs
// in a container and as a plain process, in turns.
func placeOfNode(ctx context.Context, x *examination) (finding, error) {
	image, err := hopImage(ctx)
	if err != nil {
		return finding{}, err
	}
	defer unpin()
	pin("0")
	places := []string{"container", "process"}
	times := map[string]map[string][]time.Duration{} // by place and size
	for _, place := range places {
		times[place] = map[string][]time.Duration{}
	}
	data := newPayload(limit)
	for range x.of(5, 2) {
		for _, place := range places {
			if err := x.hops(ctx, place, image, data, times[place]); err != nil {
				return finding{}, fmt.Errorf("%s: %w", place, err)
			}
		}
	}
	t := newTable("one hop by the SDK, paced", "container p50", "p99", "process p50", "p99")
	f, worst := finding{}, time.Duration(-1<<63)
	for _, z := range sizes() {
		in, out := times["container"][z.name], times["process"][z.name]
		t.row(z.name, median(in), quantile(in, 0.99), median(out), quantile(out, 0.99))
		// By the medians: what else the machine does at the same time is in p99.
		worst = max(worst, median(in)-median(out))
		if f.measured == "" {
			f.measured = fmt.Sprintf("%s p50 %s, p99 %s", z.name, digits(median(in)), digits(quantile(in, 0.99)))
			f.beside = fmt.Sprintf("process p50 %s, p99 %s", digits(median(out)), digits(quantile(out, 0.99)))
		}
	}
	t.print(x.log)
	f.measured += fmt.Sprintf("; largest difference of the medians of all sizes %s", signed(worst))
	if worst > slower {
		return f, fmt.Errorf("a hop to a container takes %s longer", digits(worst))
	}
	return f, nil
}

func signed(d time.Duration) string {
	if d < 0 {
		return "-" + digits(-d)
	}
	return digits(d)
}

// hops measures a round of all sizes; frames come after a pause, as those of media.
func (x *examination) hops(ctx context.Context, place, image string, data *payload, times map[string][]time.Duration) error {
	s, err := newSite()
	defer s.close()
	if err != nil {
		return err
	}
	if place == "process" {
		if err := s.outside(); err != nil {
			return err
		}
	}
	l, err := s.shm(data, false)
	if err != nil {
		return err
	}
	defer l.close()
	if place == "process" {
		err = s.plainSDK(ctx, x.python)
	} else {
		err = s.sdk(ctx, image, "block")
	}
	if err != nil {
		return err
	}
	for _, z := range sizes() {
		each, err := journey(ctx, l, z.bytes, copied, min(z.trips, 200), pause)
		if err != nil {
			return err
		}
		times[z.name] = append(times[z.name], each...)
	}
	return nil
}

// plainSDK is the other end by the SDK's runner, a process on the machine.
func (s *site) plainSDK(ctx context.Context, python string) error {
	nodes, err := benchDir("hop/nodes")
	if err != nil {
		return err
	}
	sdk, err := benchDir("../runtime/python")
	if err != nil {
		return err
	}
	return s.node(ctx, "block", func(env map[string]string) (func() string, error) {
		cmd := exec.CommandContext(ctx, os.Args[0], python, "-m", "medianode")
		cmd.Env = append(os.Environ(), envChild+"=exec", "PYTHONPATH="+sdk+":"+nodes)
		for key, value := range env {
			cmd.Env = append(cmd.Env, key+"="+value)
		}
		cmd.Dir = nodes
		var said tailBuffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		s.later(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return said.String, nil
	})
}

// environments runs three containers with numpy 1, numpy 2 and none, on three
// Pythons. The last one says how old a frame is.
func environments(ctx context.Context, x *examination) (finding, error) {
	project, dir, err := copyPipeline(ctx, "acceptance/environments")
	if err != nil {
		return finding{}, err
	}
	defer os.RemoveAll(dir)
	frames := x.of(1500, 300)
	out, err := docker(ctx, dir, "medianode", "up", "-p", project, "--progress", "quiet", "--format", "json", "--set", fmt.Sprintf("old.frames=%d", frames))
	if err != nil {
		return finding{}, err
	}
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return finding{}, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "ages.jsonl"))
	if err != nil {
		return finding{}, err
	}
	var ages []time.Duration
	pythons := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var age struct {
			NS   int64  `json:"age_ns"`
			Made string `json:"made by"`
		}
		if err := json.Unmarshal([]byte(line), &age); err != nil {
			return finding{}, err
		}
		// The way to the sink comes on top.
		ages = append(ages, time.Duration(age.NS)+time.Duration(r.Connections[len(r.Connections)-1].P99))
		pythons[age.Made] = true
	}
	worst := quantile(ages, 0.99)
	f := finding{measured: fmt.Sprintf("%d frames of 922 KB, p50 %s, p99 %s, at most %s", len(ages), digits(median(ages)), digits(worst), digits(quantile(ages, 1)))}
	switch {
	case len(ages) != frames:
		return f, fmt.Errorf("%d frames of %d came", len(ages), frames)
	case len(pythons) != 1:
		return f, fmt.Errorf("frames were made by %v", pythons)
	case worst > 100*time.Millisecond:
		return f, errors.New("p99 is above 100 ms")
	}
	return f, checkNothingLeft(ctx, x.log, project)
}
