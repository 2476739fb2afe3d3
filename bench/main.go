//go:build linux

// Command bench measures the product beside its floors and its peers, in one
// run on one machine: figures of other machines or other days say nothing.
//
//	go run ./bench hop      one frame from process to process
//	go run ./bench start    from the prompt to the first frame
//	go run ./bench cache    the decision that nothing has to be built
//	go run ./bench images   bytes of images and times of their builds
//	go run ./bench soak     1080p30 for ten minutes, without a loss or a leak
//	go run ./bench acceptance  what the project promises, in one table
//	go run ./bench chaos    kills nodes, runtimes, shims and an engine of its own
//	go run ./bench all      hop, start and cache
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	if os.Getenv(envChild) != "" {
		if err := child(os.Getenv(envChild)); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("bench [hop|start|cache|images|soak|acceptance|chaos|all]", flag.ContinueOnError)
	short := flags.Bool("short", false, "fewer rounds: figures are rough")
	rounds := flags.Int("rounds", 5, "rounds, interleaved")
	only := flags.String("only", "", "part of hop or images: a pattern of `path, how, size`, such as 'SDK|wheel.*3.8'; of acceptance: SC-006")
	python := flags.String("python", "python3", "acceptance: an interpreter with the packages iceoryx2 and numpy")
	length := flags.Duration("for", 10*time.Minute, "length of soak, chaos, and five sessions of acceptance")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano())%1e6, "chaos: of what is killed when")
	verbose := flags.Bool("v", false, "images: show the steps of the builds on stderr; chaos: what is killed")
	what := "all"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		what, args = args[0], args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *short {
		*rounds = 2
	}
	switch what {
	case "hop":
		return hop(ctx, w, *rounds, *short, *only)
	case "start":
		return start(ctx, w, *rounds)
	case "cache":
		return cacheDecision(ctx, w, *rounds)
	case "images":
		return images(ctx, w, *rounds, *only, *verbose)
	case "soak":
		return soak(ctx, w, *length)
	case "acceptance":
		pattern, err := regexp.Compile(*only)
		if err != nil {
			return err
		}
		x := &examination{log: os.Stderr, short: *short, python: *python, length: *length}
		if !set(flags, "for") && *short {
			x.length = 30 * time.Second
		}
		return acceptance(ctx, w, x, pattern)
	case "chaos":
		return chaos(ctx, w, *length, *seed, *verbose)
	case "all":
		return errors.Join(hop(ctx, w, *rounds, *short, *only), start(ctx, w, *rounds), cacheDecision(ctx, w, *rounds))
	}
	return fmt.Errorf("%q: want hop, start, cache, images, soak, acceptance, chaos or all", what)
}

// set says whether a flag was given.
func set(flags *flag.FlagSet, name string) bool {
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// docker runs the docker CLI and returns what it wrote to stdout; its error has
// what it wrote to stderr.
func docker(ctx context.Context, dir string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, tail(stderr.String(), 5))
	}
	return stdout.String(), nil
}

// benchDir is a directory of this package's source.
func benchDir(name string) (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if dir := filepath.Join(filepath.Dir(file), name); ok && filepath.IsAbs(dir) {
		return dir, nil
	}
	return "", errors.New("built with -trimpath: the pipelines beside the source cannot be found")
}

// containerUID is the user of the containers: the caller, or 1000 for root.
func containerUID() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return 1000
}
