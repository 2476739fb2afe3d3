//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// launch is one way to start a container from a prompt.
type launch struct {
	name string
	args []string // of docker
	sign string   // in the line of output that says that it works; "" if there is none
}

// timing is from the prompt to the sign, and to the prompt again.
type timing struct{ first, prompt time.Duration }

// start measures from the prompt to the first frame, beside what the engine and
// compose need for the same container.
func start(ctx context.Context, w io.Writer, rounds int) error {
	s, err := newStarts(ctx)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	all, err := s.measure(ctx, rounds)
	if err != nil {
		return err
	}
	s.print(w, all, rounds)
	return waterfall(ctx, w, s.up, s.project, s.image, rounds)
}

// starts are the times of a start by each way.
func starts(ctx context.Context, rounds int) (map[string][]timing, error) {
	s, err := newStarts(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close(ctx)
	return s.measure(ctx, rounds)
}

// startPlace is where starts are measured: examples/hello, and its compose file.
type startPlace struct {
	project, image string
	compose        string
	temp           string
	up             launch
	ways           []launch
}

func newStarts(ctx context.Context) (*startPlace, error) {
	hello, err := benchDir("../examples/hello")
	if err != nil {
		return nil, err
	}
	s := &startPlace{project: "bench-" + strconv.Itoa(os.Getpid())}
	file := filepath.Join(hello, "pipeline.yaml")
	if s.temp, err = os.MkdirTemp("", s.project); err != nil {
		return nil, err
	}
	s.compose = filepath.Join(s.temp, "compose.yaml")
	for _, args := range [][]string{
		{"medianode", "build", "-f", file, "--progress", "quiet"},
		{"medianode", "generate", "-f", file, "-p", s.project + "-compose", "-o", s.temp},
	} {
		if _, err := docker(ctx, "", args...); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.temp))
		}
	}
	if s.image, err = imageOf(s.compose); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.temp))
	}
	s.up = launch{"docker medianode up", []string{"medianode", "up", "-f", file, "-p", s.project}, "Hello, "}
	s.ways = []launch{
		{"docker version", []string{"version"}, ""},
		{"docker run --rm", []string{"run", "--rm", "--init", "--network", "none", s.image, "python", "-c", "pass"}, ""},
		{"docker compose up", []string{"compose", "-f", s.compose, "up"}, " | "},
		{"docker compose down", []string{"compose", "-f", s.compose, "down", "-v"}, ""},
		s.up,
	}
	return s, nil
}

// close removes what is there if it was interrupted.
func (s *startPlace) close(ctx context.Context) {
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_, _ = docker(cleaning, "", "compose", "-f", s.compose, "down", "-v")
	_ = os.RemoveAll(s.temp)
}

func (s *startPlace) measure(ctx context.Context, rounds int) (map[string][]timing, error) {
	all := map[string][]timing{}
	for round := range rounds + 1 {
		for _, l := range s.ways {
			t, err := l.run(ctx, nil)
			if err != nil {
				return nil, err
			}
			if round > 0 { // the first warms the engine
				all[l.name] = append(all[l.name], t)
			}
		}
	}
	return all, nil
}

func (s *startPlace) print(w io.Writer, all map[string][]timing, rounds int) {
	fmt.Fprintf(w, "Warm start of examples/hello: the image is there. %d rounds, every way in each, medians.\n\n", rounds)
	t := newTable("from the prompt to", "first sign", "prompt again", "least", "most")
	for _, l := range s.ways {
		sign := any("")
		if l.sign != "" {
			sign = first(all[l.name], 0.5)
		}
		t.row(l.name, sign, prompt(all[l.name], 0.5), prompt(all[l.name], 0), prompt(all[l.name], 1))
	}
	t.print(w)
	mine := prompt(all[s.up.name], 0.5)
	peer := prompt(all["docker compose up"], 0.5) + prompt(all["docker compose down"], 0.5)
	fmt.Fprintf(w, `up / (compose up + down): %s to the prompt; up / compose up: %s to the first sign.
The first sign of medianode up is the first frame that reaches the sink; its prompt comes when nothing
of the project is left. Compose starts the same service from the generated compose.yaml; its first sign
is the first line of the container, which the SDK writes when it finds that it runs without the runtime,
after which the container ends and the prompt comes; down then removes what up made. docker run is
"python -c pass" in the same image without a network.

`, times(mine, peer), times(first(all[s.up.name], 0.5), first(all["docker compose up"], 0.5)))
}

func first(all []timing, q float64) time.Duration {
	var each []time.Duration
	for _, t := range all {
		each = append(each, t.first)
	}
	return quantile(each, q)
}

func prompt(all []timing, q float64) time.Duration {
	var each []time.Duration
	for _, t := range all {
		each = append(each, t.prompt)
	}
	return quantile(each, q)
}

// run runs the command; marks, if any, gets the sign.
func (l launch) run(ctx context.Context, marks *marks) (timing, error) {
	cmd := exec.CommandContext(ctx, "docker", l.args...)
	read, write, err := os.Pipe()
	if err != nil {
		return timing{}, err
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	began := time.Now()
	if err := cmd.Start(); err != nil {
		_ = write.Close()
		return timing{}, err
	}
	_ = write.Close()
	var t timing
	var text strings.Builder
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if l.sign != "" && t.first == 0 && strings.Contains(lines.Text(), l.sign) {
			t.first = time.Since(began)
			if marks != nil {
				marks.set("first frame at the sink", time.Now())
			}
		}
		text.WriteString(lines.Text() + "\n")
	}
	err = cmd.Wait()
	t.prompt = time.Since(began)
	if l.sign != "" && t.first == 0 {
		err = fmt.Errorf("no %q in its output: %w", l.sign, err)
	} else if strings.HasPrefix(l.name, "docker compose up") {
		err = nil // the container fails without the runtime
	}
	if err != nil {
		return t, fmt.Errorf("%s: %w\n%s", l.name, err, tail(text.String(), 10))
	}
	return t, nil
}
