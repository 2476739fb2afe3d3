package plugin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/iox"
	"github.com/medianode/docker-medianode/runtime/node"
	"github.com/medianode/docker-medianode/runtime/python"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// prepared is a pipeline with its plan.
type prepared struct {
	source   *source
	plan     *generate.Plan
	state    string // the project's state directory
	engineID string // of the engine that it was resolved for; empty: of none
	// ids are those of the built images, by reference; filled in by build.
	ids map[string]image.ID
}

// resolve makes the plan of a parsed pipeline for a machine.
func (e *env) resolve(s *source, host generate.Host) (*prepared, error) {
	project, err := e.name(s)
	if err != nil {
		return nil, err
	}
	state, err := stateDir(project)
	if err != nil {
		return nil, err
	}
	if host.Arch == "" { // no engine was asked: mostly it is on this machine
		host.Arch = goruntime.GOARCH
	}
	if host.Form == generate.Attached {
		id := user()
		host.UID, host.GID = id.UID, id.GID
		host.Dir = runtime.Directory(id.UID, project)
		host.Base = s.dir
	}
	host.MaxFrame = func(nodeType string, params map[string]any) int64 {
		// A file that is missing or bad is for the run to report.
		n, err := builtin.MaxFrame(nodeType, params, s.dir)
		if err != nil {
			return 0
		}
		return n
	}
	if err := e.allow(&host); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	plan, err := generate.Resolve(s.spec, project, host, root.FS(), python.Package())
	if err != nil {
		return nil, e.explain(s, err)
	}
	return &prepared{source: s, plan: plan, state: state}, nil
}

// prepare parses the pipeline file and resolves it for the engine.
func (e *env) prepare(ctx context.Context) (p *prepared, err error) {
	_, parsed := e.span(ctx, "parse")
	s, err := e.parse()
	parsed(err)
	if err != nil {
		return nil, err
	}
	ctx, resolved := e.span(ctx, "resolve")
	defer func() { resolved(err) }()
	e.widen(s)
	m := machine{Host: generate.Host{Form: generate.Attached}}
	if s.contained() {
		if m, err = e.machine(ctx); err != nil {
			return nil, err
		}
	}
	p, err = e.resolve(s, m.Host)
	if err == nil {
		p.engineID = m.engineID
	}
	return p, err
}

// contained says whether a node runs in a container; a pipeline of built-in
// nodes alone needs no engine.
func (s *source) contained() bool {
	return slices.ContainsFunc(s.spec.Nodes, func(n *pipeline.Node) bool { return n.Docker != nil })
}

// attached proves that the containers will share this machine's memory.
func (e *env) attached(ctx context.Context, p *prepared, engine runtime.Engine) error {
	if p.plan.AnyImage() == "" {
		return nil
	}
	return runtime.Attached(ctx, engine, p.plan.UID, p.plan.AnyImage())
}

// machine is what a plan must know of an engine's machine, and which engine it
// is.
type machine struct {
	generate.Host
	engineID string
}

// machine asks the engine, in the attached form.
func (e *env) machine(ctx context.Context) (machine, error) {
	info, err := e.info(ctx)
	if err != nil {
		return machine{}, err
	}
	return machine{generate.Host{
		CPUs: float64(info.NCPU), Memory: info.MemTotal, Arch: info.Architecture, Form: generate.Attached,
	}, info.ID}, nil
}

// answerTime is how long an engine may take to say what it is. One that is
// frozen takes connections and never answers.
const answerTime = 15 * time.Second

// info is what the engine says of itself; the first question of most verbs.
func (e *env) info(ctx context.Context) (system.Info, error) {
	asking, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	got, err := e.cli.Client().Info(asking, client.InfoOptions{})
	if err != nil && ctx.Err() == nil {
		err = e.unanswered(err)
	}
	return got.Info, err
}

// engine is an engine that answers.
func (e *env) engine(ctx context.Context) (runtime.Engine, error) {
	asking, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err := e.cli.Client().Ping(asking, client.PingOptions{}); err != nil {
		return nil, e.unanswered(err)
	}
	return runtime.NewEngine(e.cli, nil)
}

// unanswered says in one line where no engine answers, and why.
func (e *env) unanswered(err error) error {
	text := strings.TrimSpace(err.Error())
	if errors.Is(err, context.DeadlineExceeded) { // whose text names a request
		text = "it takes the question and does not answer it"
	}
	if client.IsErrConnectionFailed(err) {
		// The client's own text guesses; the reason is at its end.
		_, why, _ := strings.Cut(text, "running: ")
		if _, after, ok := strings.Cut(text, "running?: "); ok {
			why = after
		}
		text = cmp.Or(why, text)
	}
	if errors.Is(err, fs.ErrPermission) || strings.Contains(text, "permission denied") {
		return fmt.Errorf("the Docker engine at %s does not let this user in: permission denied (mostly the group docker is missing)", e.cli.Client().DaemonHost())
	}
	text = strings.ReplaceAll(text, "\n", " ")
	if errdefs.IsInternal(err) {
		return fmt.Errorf("the Docker engine at %s fails: %s", e.cli.Client().DaemonHost(), text)
	}
	return fmt.Errorf("no Docker engine answers at %s: %s", e.cli.Client().DaemonHost(), text)
}

// write puts the plan's compose file and what it binds into the state
// directory. What is written there is what runs.
func (p *prepared) write() error {
	files, err := p.plan.Files()
	if err != nil {
		return err
	}
	for _, f := range files {
		if filepath.Dir(filepath.FromSlash(f.Path)) != "." {
			continue // contexts of images, which are built from memory
		}
		if err := p.keep(f.Path, f.Data); err != nil {
			return err
		}
	}
	return nil
}

// digest says what the containers are made of and what they are told: a session
// may join only what it would have started itself.
func (p *prepared) digest() (string, error) {
	files, err := p.plan.Files()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, f := range files {
		if filepath.Dir(filepath.FromSlash(f.Path)) == "." {
			fmt.Fprintf(sum, "%s %d\n%s", f.Path, len(f.Data), f.Data)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// keep writes a file of the state directory, whole or not at all.
func (p *prepared) keep(name string, data []byte) error {
	err := os.MkdirAll(p.state, 0o755)
	if err == nil {
		err = writeFile(filepath.Join(p.state, name), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("the project's state directory, which XDG_STATE_HOME can move: %w", err)
	}
	return nil
}

// writeFile replaces a file at once.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(mode); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// config is what the runtime is told of the plan.
func (e *env) config(p *prepared, o sessionOptions) (runtime.Config, error) {
	params, err := o.params(p)
	if err != nil {
		return runtime.Config{}, err
	}
	digest, err := p.digest()
	if err != nil {
		return runtime.Config{}, err
	}
	c := runtime.Config{
		Project: p.plan.Name, Domain: p.plan.Domain, Dir: runtime.Directory(p.plan.UID, p.plan.Name),
		UID: p.plan.UID, GID: p.plan.GID, Session: o.session, Sessions: p.plan.Sessions, Digest: digest, Params: params,
		ComposeFile: filepath.Join(p.state, "compose.yaml"), DeadLetters: filepath.Join(p.state, "dead-letters.jsonl"), Write: p.write, Pipeline: filepath.Join(p.source.dir, filepath.Base(p.source.path)),
		Channels: p.plan.DataChannels(), SharedMemory: p.plan.SharedMemory,
		Open: func(d channel.Domain, dir string) (channel.Transport, error) { return iox.Open(d, dir) },
	}
	stdio := &builtin.Stdio{In: e.cli.In(), Out: e.cli.Out()}
	var wrong pipeline.Diagnostics
	for _, n := range p.plan.Nodes {
		run, err := body(p, n, params[n.ID], stdio)
		if bad, ok := errors.AsType[*builtin.ParamError](err); ok {
			if _, set := params[n.ID][bad.Param]; set { // the file is not to blame
				return c, exit(exitUsage, fmt.Sprintf("--set %s.%s: %v", n.ID, bad.Param, bad))
			}
		}
		if err != nil {
			wrong = append(wrong, p.source.unmade(n.ID, err))
		}
		c.Nodes = append(c.Nodes, runtime.Node{
			Node: n.Node, Container: n.Container, Service: n.Service, Run: run, ImageID: string(p.ids[n.Image]),
			StartTimeout: time.Duration(n.StartTimeoutMS) * time.Millisecond,
			Restart: runtime.Restart{
				Policy: n.Restart.Policy, MaxAttempts: n.Restart.MaxAttempts, Window: time.Duration(n.Restart.WindowS) * time.Second,
			},
		})
	}
	if len(wrong) > 0 {
		return c, e.explain(p.source, wrong)
	}
	if p.plan.AnyImage() == "" {
		return c, nil
	}
	engine, err := runtime.NewEngine(e.cli, nil)
	c.Engine = engine
	return c, err
}

// body is a built-in node's function; none for a container.
func body(p *prepared, n generate.Node, set map[string]any, stdio *builtin.Stdio) (node.Builtin, error) {
	if n.Container {
		return nil, nil
	}
	params := maps.Clone(n.Params)
	for name, value := range set {
		if params == nil {
			params = map[string]any{}
		}
		params[name] = value
	}
	return builtin.New(n.Node, params, p.source.dir, stdio)
}

// unmade says where the pipeline file has what keeps a built-in node from
// being made: at the param that is to blame, if it was written.
func (s *source) unmade(id string, err error) *pipeline.Diagnostic {
	i := slices.IndexFunc(s.spec.Nodes, func(n *pipeline.Node) bool { return n.ID.V == id })
	n := s.spec.Nodes[i]
	d := &pipeline.Diagnostic{
		File: s.path, Pos: n.ID.Pos, Path: fmt.Sprintf("nodes[%d]", i), Message: fmt.Sprintf("node %s: %v", id, err),
	}
	if bad, ok := errors.AsType[*builtin.ParamError](err); ok {
		if at, written := n.Params.At[bad.Param]; written {
			d.Pos, d.Path = at, d.Path+".params."+bad.Param
		}
	}
	return d
}
