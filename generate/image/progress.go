package image

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	bk "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"

	"github.com/medianode/docker-medianode/generate"
)

// Progress is one display for all builds of a command.
type Progress struct {
	display progressui.Display
	once    sync.Once
	updates chan *bk.SolveStatus
	done    chan error
}

// NewProgress shows builds on w in a mode of docker: auto, tty, plain, json or
// quiet. Nothing is written before the first build begins.
func NewProgress(w io.Writer, mode string) (*Progress, error) {
	m := progressui.DisplayMode(mode)
	if mode == "json" {
		m = progressui.RawJSONMode
	}
	d, err := progressui.NewDisplay(w, m)
	if err != nil {
		return nil, fmt.Errorf("progress: %w", err)
	}
	return &Progress{display: d, updates: make(chan *bk.SolveStatus), done: make(chan error, 1)}, nil
}

// show displays one update.
func (p *Progress) show(s *bk.SolveStatus) {
	p.once.Do(func() {
		go func() {
			// Close ends it; a cancelled build still shows how it ended.
			_, err := p.display.UpdateFrom(context.Background(), p.updates)
			p.done <- err
		}()
	})
	p.updates <- s
}

// Step shows a line of its own about a node until done is called: for what is
// no step of a build. Also a nil Progress takes it.
func (p *Progress) Step(node, text string) (done func()) {
	if p == nil {
		return func() {}
	}
	began := time.Now()
	v := bk.Vertex{Digest: digest.FromString(node + "\x00" + text + began.String()), Name: "[" + node + "] " + text, Started: &began}
	shown := v
	p.show(&bk.SolveStatus{Vertexes: []*bk.Vertex{&shown}})
	return func() {
		ended := time.Now()
		v.Completed = &ended
		p.show(&bk.SolveStatus{Vertexes: []*bk.Vertex{&v}})
	}
}

// Say shows such a line that is done.
func (p *Progress) Say(node, text string) { p.Step(node, text)() }

// Close ends the display, when every build has returned.
func (p *Progress) Close() error {
	p.once.Do(func() { p.done <- nil })
	close(p.updates)
	return <-p.done
}

const (
	logLines   = 20  // the last lines of a failed step that are shown
	keptLines  = 500 // that are looked at
	stepLength = 160 // of a step's text, characters
)

// watch follows one build: it shows it and keeps what explains a failure.
type watch struct {
	node     string
	progress *Progress
	updates  chan *bk.SolveStatus
	done     chan struct{}
	steps    map[digest.Digest]*step
	failed   *step
}

// step is one instruction of a build.
type step struct {
	name string
	log  []string
	open string // a line without its end
}

func newWatch(node string, p *Progress) *watch {
	w := &watch{
		node: node, progress: p, updates: make(chan *bk.SolveStatus), done: make(chan struct{}), steps: map[digest.Digest]*step{},
	}
	go func() {
		defer close(w.done)
		for s := range w.updates {
			w.keep(s)
			if p != nil {
				p.show(w.own(s))
			}
		}
	}()
	return w
}

func (w *watch) step(d digest.Digest) *step {
	if w.steps[d] == nil {
		w.steps[d] = &step{}
	}
	return w.steps[d]
}

func (w *watch) keep(s *bk.SolveStatus) {
	for _, v := range s.Vertexes {
		st := w.step(v.Digest)
		st.name = v.Name
		if v.Error != "" && !isImport(v) && (w.failed == nil || !strings.Contains(v.Error, context.Canceled.Error())) {
			w.failed = st
		}
	}
	for _, l := range s.Logs {
		w.step(l.Vertex).write(string(l.Data))
	}
}

// isImport tells the look into a cache, which fails no build.
func isImport(v *bk.Vertex) bool { return strings.HasPrefix(v.Name, "importing cache manifest from ") }

// quietly makes a cache that is not there yet no error: so it is at the first
// build of all, and for each new node.
func quietly(v *bk.Vertex) {
	if isImport(v) && strings.HasSuffix(v.Error, "not found") {
		v.Name, v.Error = strings.Replace(v.Name, "importing cache manifest from", "no cache yet at", 1), ""
	}
}

func (s *step) write(text string) {
	lines := strings.Split(s.open+text, "\n")
	s.open = lines[len(lines)-1]
	if len(s.open) > 4096 {
		s.open = s.open[:4096]
	}
	for _, l := range lines[:len(lines)-1] {
		s.log = append(s.log, strings.Map(visible, l))
	}
	s.log = s.log[max(0, len(s.log)-keptLines):]
}

// visible drops what would steer a terminal.
func visible(r rune) rune {
	if r != '\t' && unicode.IsControl(r) {
		return -1
	}
	return r
}

// failure is the error of a build, told by its failed step.
func (w *watch) failure(err error) error {
	e := &BuildError{Node: w.node, Err: err}
	what := failure{lines: strings.Split(err.Error(), "\n")}
	if w.failed != nil {
		e.Step = short(w.failed.name)
		if r := []rune(e.Step); len(r) > stepLength {
			e.Step = string(r[:stepLength-1]) + "…"
		}
		log := w.failed.log
		if w.failed.open != "" {
			log = append(log, strings.Map(visible, w.failed.open))
		}
		what.step, what.lines = w.failed.name, slices.Concat(log, what.lines)
		e.Log = log[max(0, len(log)-logLines):]
	}
	e.Hint = what.hint()
	return e
}

// short is a step as its author thinks of it, or at least without its mounts.
func short(name string) string {
	words := strings.Split(name, " ")
	return generate.StepTitle(strings.Join(slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "--mount=") }), " "))
}

// own makes an update this build's own: builds that share a step would write
// into one line otherwise.
func (w *watch) own(s *bk.SolveStatus) *bk.SolveStatus {
	mine := func(d digest.Digest) digest.Digest {
		if d == "" {
			return d
		}
		return digest.FromString(w.node + "\x00" + d.String())
	}
	out := &bk.SolveStatus{}
	for _, v := range s.Vertexes {
		c := *v
		quietly(&c)
		c.Digest, c.Name = mine(v.Digest), "["+w.node+"] "+short(c.Name)
		if g := v.ProgressGroup; g != nil {
			c.ProgressGroup = &pb.ProgressGroup{Id: w.node + "\x00" + g.Id, Name: "[" + w.node + "] " + g.Name, Weak: g.Weak}
		}
		c.Inputs = make([]digest.Digest, len(v.Inputs))
		for i, in := range v.Inputs {
			c.Inputs[i] = mine(in)
		}
		out.Vertexes = append(out.Vertexes, &c)
	}
	for _, st := range s.Statuses {
		c := *st
		c.Vertex = mine(st.Vertex)
		out.Statuses = append(out.Statuses, &c)
	}
	for _, l := range s.Logs {
		c := *l
		c.Vertex = mine(l.Vertex)
		out.Logs = append(out.Logs, &c)
	}
	for _, warning := range s.Warnings {
		c := *warning
		c.Vertex = mine(warning.Vertex)
		out.Warnings = append(out.Warnings, &c)
	}
	return out
}
