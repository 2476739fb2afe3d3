//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	goruntime "runtime"
	"strings"
	"time"
)

// criterion is one of what the project promises, in plain words.
type criterion struct {
	id, words, target string
	measure           func(context.Context, *examination) (finding, error)
}

// finding is what was measured. An error says what is not as promised; a finding
// may come with one.
type finding struct {
	measured string
	beside   string // a floor or a peer of the same run
}

// examination is how thorough a run of acceptance is.
type examination struct {
	log    io.Writer // the long tables of what is measured
	short  bool
	python string        // an interpreter with the package iceoryx2 and numpy, for SC-001
	length time.Duration // of SC-007
}

// of is a number for the long form, or one for the short.
func (x *examination) of(long, short int) int {
	if x.short {
		return short
	}
	return long
}

func criteria() []criterion {
	return []criterion{
		{"SC-001", "a node in a container is as fast as one in a plain process", "the median of a hop at most 5 ms longer", placeOfNode},
		{"SC-002", "three containers whose dependencies exclude each other", "end to end below 100 ms", environments},
		{"SC-003", "memory stays flat while 1080p30 streams", "no growth, no frame lost", flatMemory},
		{"SC-004", "a crash is told, and the node starts again by itself", "told within 2 s (median 0.5 s), frames again within 2 s", crashes},
		{"SC-004", "the process that supervises is killed", "another one does within 1 s", takeovers},
		{"SC-005", "an image that is there starts fast", "ready within 5 s", warmStart},
		{"SC-006", "sessions leave nothing, ended or killed", "0 left", nothingLeft},
		{"SC-007", "five sessions at once on three containers", "no frame astray, memory flat, no drift", fiveAtOnce},
		{"SC-007", "a session more opens fast", "first frame within 50 ms (median)", fastOpening},
		{"SC-008", "all that nodes print is in the log", "each line once, with time and node", allLines},
	}
}

// acceptance measures the criteria that match only, prints them in one table, and
// fails if one is missed.
func acceptance(ctx context.Context, w io.Writer, x *examination, only *regexp.Regexp) error {
	t := newTable("", "criterion", "target", "measured", "beside it", "")
	var missed error
	before := loadAverage()
	for _, c := range criteria() {
		if !only.MatchString(c.id + " " + c.words) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().Format(time.TimeOnly), c.id, c.words)
		f, err := c.measure(ctx, x)
		if ctx.Err() != nil {
			missed = errors.Join(missed, ctx.Err())
			break
		}
		verdict := "pass"
		if err != nil {
			verdict = "FAIL"
			missed = errors.Join(missed, fmt.Errorf("%s: %w", c.id, err))
		}
		t.row(c.id, c.words, c.target, f.measured, f.beside, verdict)
	}
	fmt.Fprintf(w, "%d cores, load average %s before and %s after\n\n", goruntime.NumCPU(), before, loadAverage())
	t.print(w)
	return missed
}

// loadAverage is how much else the machine does, as the kernel says it.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

func flatMemory(ctx context.Context, x *examination) (finding, error) {
	length := time.Duration(x.of(60, 20)) * time.Second
	frames := int(length.Seconds() * soakRate)
	memory, err := soakMemory(ctx, x.log, length)
	f := finding{measured: "nothing"}
	if memory != nil {
		f.measured = fmt.Sprintf("%d frames of 6.2 MB in %s, the largest change of a process %s", frames, length, mib(memory.widest()))
	}
	return f, err
}

func warmStart(ctx context.Context, x *examination) (finding, error) {
	all, err := starts(ctx, x.of(10, 3))
	if err != nil {
		return finding{}, err
	}
	up, run := all["docker medianode up"], all["docker run --rm"]
	worst := first(up, 1)
	f := finding{
		measured: fmt.Sprintf("from the prompt to the first frame %s, at most %s", digits(first(up, 0.5)), digits(worst)),
		beside:   "docker run --rm of the same image " + digits(prompt(run, 0.5)),
	}
	if worst > 5*time.Second {
		return f, fmt.Errorf("the first frame came after %s", digits(worst))
	}
	return f, nil
}
