package plugin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/distribution/reference"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/base"
	"github.com/medianode/docker-medianode/runtime/iox"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func baseCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:                        "base",
		Short:                      "Make an image for nodes to be built on, or look at one",
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return exit(exitUsage, unknownVerb(cmd, args[0]))
		},
	}
	cmd.AddCommand(baseBuildCommand(e), baseCheckCommand(e))
	return cmd
}

// baseOptions are the words of base build.
type baseOptions struct {
	Python      string
	From        string
	Packages    []string
	File        string // with more packages
	System      []string
	BuildSystem []string
	Tag         string
	Progress    string
	NoCache     bool
}

func baseBuildCommand(e *env) *cobra.Command {
	var o baseOptions
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Make a base image: a Python with iceoryx2 and the packages that your nodes share",
		Long: `Make a base image: a Python with iceoryx2 and the packages that your nodes share,
and tag it. A node that names it in docker.base_image builds on it: what the base
has is neither installed nor stored again. Prints the tag on stdout.`,
		Example: `  docker medianode base build
  docker medianode base build --python 3.12 --package numpy==2.3.5 --system libsndfile1 --tag team/audio:1
  docker medianode base build --from team/debian:12 --packages common.txt --tag team/media:1`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--progress", o.Progress, progressModes()...); err != nil {
				return err
			}
			ctx, _, done := interruptible(cmd.Context(), leftAsItIs)
			defer done()
			return interrupted(ctx, e.baseBuild(ctx, o))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Python, "python", pipeline.DefaultPythonVersion, "Version of Python")
	flags.StringVar(&o.From, "from", "", "Image to build on (default: python:VERSION-slim)")
	flags.StringArrayVar(&o.Packages, "package", nil, "Python package, as in python_packages; may be given again")
	flags.StringVar(&o.File, "packages", "", "File with a Python package a line")
	flags.StringArrayVar(&o.System, "system", nil, "Debian package of the image; may be given again")
	flags.StringArrayVar(&o.BuildSystem, "build-system", nil, "Debian package that only installing needs; may be given again")
	flags.StringVarP(&o.Tag, "tag", "t", "", "Name of the image (default: medianode-base:VERSION)")
	flags.StringVar(&o.Progress, "progress", "auto", "Progress: auto, tty, plain, json, quiet")
	flags.BoolVar(&o.NoCache, "no-cache", false, "Run every step of the build")
	complete(cmd, "progress", progressModes()...)
	return cmd
}

// baseBuild looks at what it builds on, builds, and looks at what came out.
func (e *env) baseBuild(ctx context.Context, o baseOptions) error {
	d, err := o.docker()
	if err != nil {
		return err
	}
	if o.Tag == "" {
		o.Tag = "medianode-base:" + d.PythonVersion.V
	}
	if err := checkTag(o.Tag); err != nil {
		return err
	}
	info, err := e.info(ctx)
	if err != nil {
		return err
	}
	img, err := generate.Base(d, o.Tag, info.Architecture)
	if err != nil {
		return err
	}
	need := baseNeed(d)
	need.Arch = architecture(img)
	if o.From != "" {
		if _, err := e.mustFit(ctx, img.Base, need); err != nil {
			return err
		}
	}
	if err := e.buildOne(ctx, img, o); err != nil {
		return err
	}
	need.Debian = nil // they are there now
	facts, err := e.mustFit(ctx, o.Tag, need)
	if err != nil {
		return err
	}
	if have := facts.Python.Iceoryx2; have != iox.Version {
		return exit(exitFailed, fmt.Sprintf("%s has iceoryx2 %q after its build, want %s", o.Tag, have, iox.Version))
	}
	fmt.Fprintf(e.cli.Err(), "%s: Python %s, iceoryx2 %s; in a node write base_image: %s\n", o.Tag, facts.Python.Version, facts.Python.Iceoryx2, o.Tag)
	_, err = fmt.Fprintln(e.cli.Out(), o.Tag)
	return err
}

func (e *env) buildOne(ctx context.Context, img generate.Image, o baseOptions) error {
	kit := image.BuildKit{
		Engine: e.cli.Client(), CA: certificates(), Proxy: image.ProxyFromEnv(os.Environ()),
		Credentials: e.cli.ConfigFile(), Options: image.Options{NoCache: o.NoCache},
	}
	if err := kit.Able(ctx); err != nil {
		return err
	}
	progress, err := image.NewProgress(e.terminal(), o.Progress)
	if err != nil {
		return err
	}
	kit.Progress = progress
	_, err = kit.Build(ctx, img)
	if bad := progress.Close(); err == nil {
		err = bad
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failed, ok := errors.AsType[*image.BuildError](err)
	if !ok {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s", failed)
	details(&b, "", failed.Log)
	return exit(exitFailed, b.String())
}

// mustFit says on stderr what is to be known of a base; what keeps nodes from
// being built on it is an error.
func (e *env) mustFit(ctx context.Context, ref string, need base.Need) (base.Facts, error) {
	need.UID = e.nodeUID()
	facts, err := e.prober(need.UID, base.Memory{}).Probe(ctx, ref)
	if err != nil {
		return facts, err
	}
	var wrong []string
	for _, f := range base.Judge(facts, need) {
		text := ref + " " + f.Message
		if f.Hint != "" {
			text += "\n    = hint: " + f.Hint
		}
		if f.Severity == pipeline.Error {
			wrong = append(wrong, text)
			continue
		}
		fmt.Fprintf(e.cli.Err(), "warning: %s\n", text)
	}
	if len(wrong) > 0 {
		return facts, exit(exitFailed, strings.Join(wrong, "\n"))
	}
	return facts, nil
}

// nodeUID is who nodes run as.
func (e *env) nodeUID() int {
	if uid := user().UID; uid != 0 {
		return uid
	}
	return generate.RootUID
}

// docker is what is asked for as a node would ask for it: the same rules hold.
func (o baseOptions) docker() (*pipeline.Docker, error) {
	packages, err := o.packages()
	if err != nil {
		return nil, err
	}
	asked := map[string]any{"python_version": o.Python, "source": "."}
	for key, list := range map[string][]string{"python_packages": packages, "system_dependencies": o.System, "build_dependencies": o.BuildSystem} {
		if len(list) > 0 {
			asked[key] = list
		}
	}
	if o.From != "" {
		asked["base_image"] = o.From
	}
	text, err := json.Marshal(map[string]any{
		"version": "v1", "nodes": []any{map[string]any{"id": "base", "node_type": "base:Base", "docker": asked}},
	})
	if err != nil {
		return nil, err
	}
	spec, err := pipeline.Parse("base", text, nil)
	if err == nil {
		return spec.Nodes[0].Docker, nil
	}
	found, ok := pipeline.AsDiagnostics(err)
	if !ok {
		return nil, err
	}
	flags := strings.NewReplacer("nodes[0].docker.", "", "python_version", "--python", "python_packages", "--package",
		"system_dependencies", "--system", "build_dependencies", "--build-system", "base_image", "--from")
	var lines []string
	for _, d := range found {
		name, _, _ := strings.Cut(flags.Replace(d.Path), "[")
		line := name + ": " + d.Message
		if d.Hint != "" {
			line += "\n    = hint: " + d.Hint
		}
		lines = append(lines, line)
	}
	return nil, exit(exitUsage, strings.Join(lines, "\n"))
}

// packages are those of the flags, and of the file without its comments.
func (o baseOptions) packages() ([]string, error) {
	all := o.Packages
	if o.File == "" {
		return all, nil
	}
	text, err := readBounded(o.File)
	if err != nil {
		return nil, exit(exitFailed, err.Error())
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		line, _, _ := strings.Cut(" "+lines.Text(), " #")
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all, lines.Err()
}

// checkTag refuses what is no name that an image can be given.
func checkTag(tag string) error {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return exit(exitUsage, fmt.Sprintf("--tag %q: %v", tag, err))
	}
	if strings.HasPrefix(reference.FamiliarName(named), generate.Repository) {
		return exit(exitUsage, fmt.Sprintf("--tag %q: names that begin with %s are those of nodes' images, which are removed when nothing has used them for long; choose another", tag, generate.Repository))
	}
	if _, pinned := named.(reference.Digested); pinned {
		return exit(exitUsage, fmt.Sprintf("--tag %q: a digest cannot be given; write NAME:TAG", tag))
	}
	return nil
}
