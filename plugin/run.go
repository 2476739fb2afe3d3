package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/medianode/docker-medianode/runtime"
)

// sessionOptions are what makes one session differ from another.
type sessionOptions struct {
	session string
	set     []string // node.param=value
}

func (o *sessionOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.session, "session", "", "Name of the session (default the first free one of main, s2, s3, ...)")
	flags.StringArrayVar(&o.set, "set", nil, "A param of this session, as node.param=value; may be given more than once")
}

var sessionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

const wantSessionName = "want a letter, then letters, digits, - and _, 63 at most"

// check refuses what no session can be called.
func (o *sessionOptions) check() error {
	if o.session != "" && !sessionName.MatchString(o.session) {
		return exit(exitUsage, fmt.Sprintf("--session %q: %s", o.session, wantSessionName))
	}
	return nil
}

// params are those of --set by node; values are read as in the pipeline file.
func (o *sessionOptions) params(p *prepared) (map[string]map[string]any, error) {
	params := map[string]map[string]any{}
	ids := make([]string, len(p.plan.Nodes))
	for i, n := range p.plan.Nodes {
		ids[i] = n.ID
	}
	for _, text := range o.set {
		key, value, ok := strings.Cut(text, "=")
		id, name, dotted := strings.Cut(key, ".")
		if !ok || !dotted || id == "" || name == "" {
			return nil, exit(exitUsage, fmt.Sprintf("--set %s: want node.param=value", text))
		}
		i := slices.Index(ids, id)
		if i < 0 {
			return nil, exit(exitUsage, fmt.Sprintf("--set %s: the pipeline has no node %s: it has %s", text, id, strings.Join(ids, ", ")))
		}
		if p.plan.Nodes[i].Container && p.plan.Nodes[i].Control == nil {
			return nil, exit(exitUsage, fmt.Sprintf("--set %s: %s is a finished image, which gets no params", text, id))
		}
		var read any
		if err := yaml.Unmarshal([]byte(value), &read); err != nil {
			return nil, exit(exitUsage, fmt.Sprintf("--set %s: the value is no YAML: %v", text, err))
		}
		if params[id] == nil {
			params[id] = map[string]any{}
		}
		params[id][name] = read
	}
	return params, nil
}

func runCommand(e *env) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Open one more session on the containers of a running project",
		Long: `Open one more session on the containers of a running project: nothing is
built and no container is started. The session has its own channels, its own
built-in nodes and its own report, and ends as one of "up" does. The pipeline
must be the one that runs; params of this session alone are given with --set.

The pipeline's "sessions" says how many may be open at once. "up" does the same
where the project runs, and starts it where it does not. --metrics is for when
this session's process takes over the project: see "up".`,
		Example: `  docker medianode run --set speech.path=other.wav
  docker medianode run --session second --format json > report.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", o.format, "table", "json"); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return e.run(cmd.Context(), o)
		},
	}
	o.sessionOptions.flags(cmd.Flags())
	exposeFlag(cmd.Flags(), &o.metrics)
	cmd.Flags().StringVar(&o.format, "format", "table", `Format of the report: "table" or "json"; logs are then JSON lines`)
	return cmd
}

func (e *env) run(ctx context.Context, o upOptions) (err error) {
	ctx, interrupts, done := interruptible(ctx, func() string { return leftToNodes })
	defer done()
	ctx, finish := e.tracePhases(ctx, "run", &o)
	defer func() { finish(err) }()
	p, err := e.prepare(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	if o.exposed, err = e.exposeAt(o.metrics, p); err != nil {
		return err
	}
	defer o.exposed.close()
	session, err := e.join(ctx, p, o)
	if errors.Is(err, runtime.ErrNotRunning) {
		return fmt.Errorf("project %s does not run: docker medianode up starts it", p.plan.Name)
	}
	if err != nil {
		return interrupted(ctx, e.explainNode(p.source, err))
	}
	return e.attend(ctx, p, session, interrupts, o)
}

// join opens a session in a project that runs.
func (e *env) join(ctx context.Context, p *prepared, o upOptions) (*runtime.Session, error) {
	if err := runtime.Running(p.plan.UID, p.plan.Name); err == nil {
		return nil, runtime.ErrNotRunning
	}
	c, err := e.sessionConfig(p, o)
	if err != nil {
		return nil, err
	}
	w := newWaiting(e.cli.Err())
	defer w.close()
	o.phases.to("open")
	e.hear(p, &c, o, w.note)
	return runtime.Join(ctx, c)
}

// sessionConfig is config with what a session tells its user.
func (e *env) sessionConfig(p *prepared, o upOptions) (runtime.Config, error) {
	c, err := e.config(p, o.sessionOptions)
	if err != nil {
		return c, err
	}
	c.Logs = logSink(e.cli.Err(), e.color(), o.format == "json")
	c.Supervises = o.exposed.supervises
	if e.traces.On() {
		c.Traced = o.phases.frame
	}
	c.Warn = func(text string) { fmt.Fprintln(e.cli.Err(), "warning:", text) }
	return c, nil
}

// attend waits for a session's end, closes it and reports.
func (e *env) attend(ctx context.Context, p *prepared, session *runtime.Session, interrupts <-chan os.Signal, o upOptions) error {
	o.phases.to("run")
	if r := session.Report(); e.cli.Err().IsTerminal() && o.format == "table" && r.State == "running" {
		fmt.Fprintf(e.cli.Err(), "%s: running, session %s; Ctrl-C ends it\n", r.Project, r.Session)
	}
	stopped := context.AfterFunc(ctx, func() { o.phases.to("stop") })
	err := follow(ctx, session, interrupts, e.cli.Err())
	stopped()
	o.phases.to("stop")
	if ctx.Err() != nil && errors.Is(err, runtime.ErrKilled) {
		err = nil // as was asked for, and as the report says
	}
	o.exposed.close() // before another process may take over
	err = errors.Join(err, session.Close())
	if bad := e.report(p, session.Report(), o); bad != nil {
		err = errors.Join(err, bad)
	}
	return interrupted(ctx, e.explainNode(p.source, err))
}
