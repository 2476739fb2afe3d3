//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What chaos kills, in the order of the summary.
const (
	killNode    = "node"
	killShim    = "shim"
	killEngine  = "engine"
	killRuntime = "runtime"
)

// recoverTime is the longest that frames may take to flow again: what is not
// back by then does not come back. The slowest part is a start of the project
// from nothing, by an engine that has just come back.
const recoverTime = time.Minute

// chaosConnections are those of bench/chaos/pipeline.yaml. Between containers the
// buffer, a frame that is held, and one that was claimed and not sent may be on
// the way when the runtime is killed. Where it was the reader itself, nodes send
// until they notice.
func chaosConnections() []wire {
	const between = 8 + 1 + 1
	const toNobody = noticeTime * chaosRate
	return []wire{
		{"src.output", "mid.input", "src_output", between},
		{"mid.output", "last.input", "mid_output", between},
		{"last.output", "out.input", "last_output", between + toNobody},
		{"mid.output", "beside.input", "mid_output~drop", between + toNobody},
	}
}

const (
	chaosRate  = 200 // frames a second of a session
	noticeTime = 10  // seconds after which nodes have noticed that nobody reads
	// excuseTime is how long a session may fail after an engine has come back that
	// stops the containers it finds.
	excuseTime = 20 * time.Second
)

// storm is a run of chaos.
type storm struct {
	w      io.Writer
	engine *ownEngine // nil: the one that answers, which is not killed
	load   *load
	random *rand.Rand
	pause  time.Duration // the longest one between a recovery and the next kill
	kills  map[string]int
	took   map[string][]time.Duration // from a kill until frames flow
	errs   []error

	verbose bool
	away    bool      // the engine is
	back    time.Time // the last time that it came back
	stopped time.Time // the last time that it came back without live-restore
}

// chaos kills what a pipeline runs on, for so long, and fails if a frame is
// missing without being counted, if anything is left, or if up does not work.
func chaos(ctx context.Context, w io.Writer, length time.Duration, seed uint64, verbose bool) (err error) {
	fmt.Fprintf(w, "chaos: %s, seed %d\n", length, seed)
	engine, err := newOwnEngine(ctx)
	if errors.Is(err, errNoOwn) {
		fmt.Fprintf(w, "shims and engines are not killed here, and nodes by the engine that answers: %v\n", err)
		engine, err = nil, nil
	}
	if err != nil {
		return err
	}
	s := &storm{
		w: w, engine: engine, random: rand.New(rand.NewPCG(seed, 0)), pause: min(4*time.Second, length/40),
		kills: map[string]int{}, took: map[string][]time.Duration{}, verbose: verbose,
	}
	if engine != nil {
		defer func() { err = errors.Join(err, engine.close()) }()
	}
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.load, err = newLoad(ctx, "chaos", dir, engine); err != nil {
		return err
	}
	defer s.load.sweep()
	s.load.say = s.say
	s.load.excused = s.excuses
	err = s.run(ctx, length)
	s.summary()
	return errors.Join(append(s.errs, err)...)
}

// excuses says whether a session may fail just now, if it says why: one whose
// containers the engine stops, or one that is just opening while it is away.
func (s *storm) excuses(one *life) bool {
	opening := one.flowing.IsZero() && (s.away || s.back.After(one.began))
	return (opening || time.Since(s.stopped) < excuseTime) && one.stderr.String() != ""
}

// newLoad builds the pipeline with the machine's engine, and gives the images to
// the one that will be killed: it has no network to build with.
func newLoad(ctx context.Context, name, dir string, engine *ownEngine) (*load, error) {
	from, err := benchDir(name)
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return nil, err
	}
	plugin, err := copyPlugin(ctx, dir)
	if err != nil {
		return nil, err
	}
	l := &load{dir: dir, project: filepath.Base(name) + "-" + strconv.Itoa(os.Getpid()), plugin: plugin, wires: chaosConnections()}
	l.env = append(os.Environ(), "XDG_STATE_HOME="+dir+"/state", "REMOTEMEDIA_IMAGE_CACHE_PATH="+dir+"/cache.db")
	var images []string
	for _, args := range [][]string{{"build", "--progress", "quiet"}, {"plan"}} {
		cmd := exec.CommandContext(ctx, plugin, append(args, "-p", l.project)...)
		cmd.Dir, cmd.Env = dir, l.env
		var bad strings.Builder
		cmd.Stderr = &bad
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", args[0], err, tail(bad.String(), 5))
		}
		images = regexp.MustCompile(`(?m)^medianode/\S+`).FindAllString(string(out), -1)
	}
	if len(images) == 0 {
		return nil, errors.New("plan names no images")
	}
	if engine == nil {
		return l, nil
	}
	l.env = append(l.env, "DOCKER_HOST="+engine.host())
	return l, engine.load(ctx, images...)
}

// copyPlugin takes the plugin as it is now: the one that is installed may change in
// a quarter of an hour, and another version has other images.
func copyPlugin(ctx context.Context, dir string) (string, error) {
	from, err := pluginPath(ctx)
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "docker-medianode")
	return to, os.WriteFile(to, program, 0o755)
}

// pluginPath is the plugin that the docker command runs.
func pluginPath(ctx context.Context) (string, error) {
	out, err := docker(ctx, "", "info", "--format", `{{range .ClientInfo.Plugins}}{{if eq .Name "medianode"}}{{.Path}}{{end}}{{end}}`)
	if path := strings.TrimSpace(out); path != "" {
		return path, nil
	}
	return "", errors.Join(errors.New("docker has no plugin medianode: make install"), err)
}

func (s *storm) run(ctx context.Context, length time.Duration) error {
	s.load.want = 3
	if err := s.settle(ctx); err != nil {
		return fmt.Errorf("before any kill: %w", err)
	}
	// Each kind at least once; then as often as such a thing is likely to happen.
	next := []string{killNode, killRuntime}
	if s.engine != nil {
		next = append(next, killShim, killEngine)
	}
	s.random.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
	for end := time.Now().Add(length); time.Now().Before(end) || len(next) > 0; {
		kind := s.choose()
		if len(next) > 0 {
			kind, next = next[0], next[1:]
		}
		if err := s.strike(ctx, kind); err != nil {
			return fmt.Errorf("after the kill of %s (%d of its kind): %w", kind, s.kills[kind], err)
		}
		if s.random.IntN(4) == 0 {
			s.rotate()
		}
		if err := s.rest(ctx, time.Duration(s.random.Int64N(int64(s.pause)))); err != nil {
			return err
		}
	}
	return s.finish(ctx)
}

func (s *storm) choose() string {
	n := s.random.IntN(100)
	switch {
	case n < 20:
		return killRuntime
	case n < 65 || s.engine == nil:
		return killNode
	case n < 85:
		return killShim
	}
	return killEngine
}

// rotate asks one session to end, so that its account is known; another takes its
// place.
func (s *storm) rotate() {
	one := s.load.streams[s.random.IntN(len(s.load.streams))]
	if !one.flowing.IsZero() && !one.isGone() {
		one.asked = true
		_ = one.cmd.Process.Signal(os.Interrupt)
	}
}

// rest lets things run for a while.
func (s *storm) rest(ctx context.Context, length time.Duration) error {
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := errors.Join(ctx.Err(), s.load.tend()); err != nil {
			return err
		}
	}
	return nil
}

// hit is a kill.
type hit struct {
	kind string
	at   time.Time
}

// strike kills something, sometimes something else right after it, and waits
// until frames flow.
func (s *storm) strike(ctx context.Context, kind string) error {
	var hits []hit
	var waits []func() error
	kill := func(kind string) error {
		at := time.Now()
		wait, err := s.kill(ctx, kind)
		if errors.Is(err, errNoVictim) {
			return nil // what was killed before is not back yet
		}
		hits, waits = append(hits, hit{kind, at}), append(waits, wait)
		return err
	}
	if err := kill(kind); err != nil {
		return err
	}
	// Without an engine there is nothing to be found that could be killed.
	if second := s.choose(); kind != killEngine && second != kind && s.random.IntN(4) == 0 {
		time.Sleep(time.Duration(s.random.IntN(500)) * time.Millisecond)
		if err := kill(second); err != nil {
			return err
		}
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			return err
		}
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	for _, h := range hits {
		took := time.Since(h.at)
		s.took[h.kind] = append(s.took[h.kind], took)
		s.say("%s: frames flow after %s", h.kind, took.Round(time.Millisecond))
	}
	return nil
}

// docker runs the docker CLI on the engine of the storm.
func (s *storm) docker(ctx context.Context, args ...string) (string, error) {
	if s.engine != nil {
		return s.engine.docker(ctx, args...)
	}
	return docker(ctx, "", args...)
}

// say writes to stderr what happens, if that is wanted.
func (s *storm) say(format string, args ...any) {
	if s.verbose {
		fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05.000")}, args...)...)
	}
}

// settle waits until frames of every session come through everything: all that
// was before does not count.
func (s *storm) settle(ctx context.Context) error {
	end := time.Now().Add(recoverTime)
	if err := s.load.tend(); err != nil {
		return err
	}
	before := map[*life][]tally{}
	for _, one := range s.load.streams {
		before[one] = append([]tally(nil), one.counts.last...)
	}
	for ; ; time.Sleep(10 * time.Millisecond) {
		if err := errors.Join(ctx.Err(), s.load.tend()); err != nil {
			return err
		}
		flows := len(s.load.streams) == s.load.want
		for _, one := range s.load.streams {
			if was, ok := before[one]; ok {
				flows = flows && one.counts.beyond(was)
			} else {
				flows = flows && one.counts.flows()
			}
		}
		if flows {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no frames within %s:\n%s", recoverTime, s.scene(ctx))
		}
	}
}

// scene is what one would look at first.
func (s *storm) scene(ctx context.Context) string {
	var b strings.Builder
	out, err := s.docker(ctx, "ps", "-a", "--filter", "label=com.docker.compose.project="+s.load.project, "--format", "{{.Names}} {{.Status}}")
	fmt.Fprintln(&b, out, err)
	for _, one := range s.load.streams {
		fmt.Fprintf(&b, "session %s, %s old: %+v\n%s\n", one.name, time.Since(one.began).Round(time.Millisecond), one.counts.last, one.exited())
	}
	for _, one := range s.load.past[max(0, len(s.load.past)-6):] {
		fmt.Fprintln(&b, one.exited())
	}
	return b.String()
}
