package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

type upOptions struct {
	sessionOptions
	progress string
	format   string
	detach   bool
	toEvents string
	events   *events
	metrics  string
	exposed  *exposure
	phases   *phases
}

func upCommand(e *env) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Build what is missing, run the pipeline until its sources end, remove everything",
		Long: `Build what is missing, run the pipeline until its sources end, and remove
everything again. Lines of the nodes and progress go to stderr, the report at
the end to stdout.

Ctrl-C ends it well: sources stop, what is in flight is handled, files are
completed. A second Ctrl-C ends it at once.

--events writes a JSON object a line for whoever supervises the command: begin,
state of a node, warning, crash (as "crash" shows it), and at last end with the
exit code and the report. With "-" they go to stdout, and the report only there;
what a StdoutSink writes goes there too.

--metrics serves what "stats" shows, for Prometheus, while the project runs, at
http://ADDRESS:PORT/metrics. Without an ADDRESS only this machine can read it.
Of several sessions the one that supervises the project serves; others that were
given an address serve there once they take over.`,
		Example: `  docker medianode up
  docker medianode up -f captions.yaml --progress plain
  docker medianode up --format json > report.json
  docker medianode up --measure
  docker medianode up --metrics 9464
  docker medianode up --events - | jq -r 'select(.event == "state") | .node + " " + .state'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--progress", o.progress, progressModes()...); err != nil {
				return err
			}
			if err := oneOf("--format", o.format, "table", "json"); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			if o.detach {
				return exit(exitUsage, "up -d: not yet: the runtime runs in this command; leave out -d")
			}
			var err error
			if o.events, err = openEvents(o.toEvents, e.cli.Out()); err != nil {
				return err
			}
			err = e.up(cmd.Context(), o)
			o.events.end(err)
			return err
		},
	}
	flags := cmd.Flags()
	o.sessionOptions.flags(flags)
	flags.StringVar(&o.progress, "progress", "auto", "Progress of builds: auto, tty, plain, json, quiet")
	flags.BoolVar(&e.wide, "measure", false, "Run without limits of memory and CPU, and say at the end which each node needs")
	flags.StringVar(&o.toEvents, "events", "", "Write events as JSON lines to a file, or to stdout with \"-\"")
	exposeFlag(flags, &o.metrics)
	flags.BoolVarP(&o.detach, "detach", "d", false, "Not yet: run in the background")
	flags.StringVar(&o.format, "format", "table", `Format of the report: "table" or "json"; logs are then JSON lines`)
	return cmd
}

// up is the straight line from the pipeline file to the report.
func (e *env) up(ctx context.Context, o upOptions) (err error) {
	var joined atomic.Bool // others have sessions there, which down would end
	ctx, interrupts, done := interruptible(ctx, func() string {
		if joined.Load() {
			return leftToNodes
		}
		return fmt.Sprintf("left as it is; '%s' removes it", e.verb("down"))
	})
	defer done()
	ctx, finish := e.tracePhases(ctx, "up", &o)
	defer func() { finish(err) }()
	p, err := e.prepare(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	o.events.tell(Event{Event: "begin", Project: p.plan.Name, Pipeline: p.source.path, PID: os.Getpid()})
	if err := e.notRunning(p); err != nil {
		return err
	}
	if o.exposed, err = e.exposeAt(o.metrics, p); err != nil {
		return err
	}
	defer o.exposed.close()
	// Before anything is built or written; Start is what decides.
	session, err := e.join(ctx, p, o)
	if err == nil {
		joined.Store(true)
		return e.attend(ctx, p, session, interrupts, o)
	}
	if !errors.Is(err, runtime.ErrNotRunning) {
		return interrupted(ctx, e.explainNode(p.source, err))
	}
	if err := o.exposed.check(); err != nil {
		return err
	}
	e.warnUnset(p.source)
	if _, err := e.config(p, o.sessionOptions); err != nil { // not only after a long build
		return err
	}
	building, built := e.span(ctx, "build")
	release, err := e.build(building, p, buildOptions{progress: o.progress})
	built(err)
	defer release()
	if err != nil {
		return interrupted(ctx, err)
	}
	c, err := e.sessionConfig(p, o)
	if err != nil {
		return err
	}
	if err := e.attached(ctx, p, c.Engine); err != nil {
		return interrupted(ctx, err)
	}
	w := newWaiting(e.cli.Err())
	o.phases.to("create")
	e.hear(p, &c, o, w.note)
	session, err = runtime.Start(ctx, c)
	w.close()
	release() // from here on the containers hold their images
	if err != nil {
		return interrupted(ctx, e.explainNode(p.source, err))
	}
	return e.attend(ctx, p, session, interrupts, o)
}

// warnUnset tells which variables a node is to get from the caller, and the
// caller does not have.
func (e *env) warnUnset(s *source) {
	var unset pipeline.Diagnostics
	for i, n := range s.spec.Nodes {
		if n.Docker == nil {
			continue
		}
		for j, from := range n.Docker.EnvFrom {
			if _, ok := os.LookupEnv(from.V); ok {
				continue
			}
			unset = append(unset, &pipeline.Diagnostic{
				File: s.path, Pos: from.Pos, Path: fmt.Sprintf("nodes[%d].docker.env_from[%d]", i, j),
				Message: fmt.Sprintf("%s is not set here: %s runs without it", from.V, n.ID.V), Severity: pipeline.Warning,
			})
		}
	}
	e.warn(s, unset)
}

// interruptible gives a context that the first Ctrl-C ends, and tells of the
// second. SIGTERM and SIGHUP count as Ctrl-C; so does the Docker CLI's own end,
// which it tells by the context. The third one ends the process, whatever it is
// at, with the words of left: it may be waiting for an engine that does not answer.
func interruptible(ctx context.Context, left func() string) (context.Context, <-chan os.Signal, func()) {
	first, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 3)
	again := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Whoever read stdout or stderr may have gone, as head does: that is an
	// error of a write and must not end the process before it has cleaned.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	stopped := make(chan struct{})
	go func() {
		for more := 0; ; {
			select {
			case s := <-signals:
				switch {
				case first.Err() == nil:
					cancel(errInterrupted)
				case s == syscall.SIGHUP: // a closed terminal says it more than once
				case more == 0:
					more++
					again <- s
				default:
					fmt.Fprintln(os.Stderr, left())
					os.Exit(exitInterrupted)
				}
			case <-stopped:
				return
			}
		}
	}()
	return first, again, func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		close(stopped)
		cancel(nil)
	}
}

// What a third Ctrl-C leaves.
func leftAsItIs() string { return "left as it is" }

const leftToNodes = "left as it is; the nodes find out and end the session"

var errInterrupted = errors.New("interrupted")

// interrupted turns the error of a session that somebody ended into exit code
// 130; what else went wrong is still said.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted) {
		return exit(exitInterrupted, "interrupted")
	}
	return exit(exitInterrupted, err.Error())
}

// follow waits for the session's end; the first interrupt stops it well, the
// second at once.
func follow(ctx context.Context, s *runtime.Session, again <-chan os.Signal, w interface{ Write([]byte) (int, error) }) error {
	err := s.Wait(ctx)
	if ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(w, "stopping: what is in flight is handled first; Ctrl-C again to end at once")
	rest := context.WithoutCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Stop(rest) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-again:
			fmt.Fprintln(w, "killing")
			s.Kill()
		}
	}
}

// report prints what happened on stdout, and keeps it in the state directory; if
// that cannot be, as on a full disk, it is printed all the same.
func (e *env) report(p *prepared, r runtime.Report, o upOptions) error {
	kept, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := p.keep("report.json", append(kept, '\n')); err != nil {
		fmt.Fprintln(e.cli.Err(), "warning: the report cannot be kept:", err)
	}
	if o.events != nil {
		o.events.report = &r
		if o.events.stdout {
			return nil
		}
	}
	if o.format == "json" {
		return json.NewEncoder(e.cli.Out()).Encode(r)
	}
	if err := r.Text(e.cli.Out()); err != nil || !e.wide {
		return err
	}
	return measured(e.cli.Out(), r)
}
