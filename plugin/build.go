package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/cache"
)

// progressModes are docker build's.
func progressModes() []string { return []string{"auto", "tty", "plain", "json", "quiet"} }

// buildOptions are what is asked of the builds of a command; up asks for
// progress alone.
type buildOptions struct {
	progress   string
	push       bool
	repository string
	caches     image.Options
}

// fit refuses caches in which an image has no place.
func (o buildOptions) fit(images []generate.Image) error {
	for _, c := range o.caches.CacheTo {
		if err := c.CheckNodes(images); err != nil {
			return exit(exitUsage, "--cache-to: "+err.Error())
		}
	}
	return nil
}

// buildFlags are those of build as they were written.
type buildFlags struct {
	buildOptions
	cacheTo, cacheFrom []string
	check              bool
	format             string
}

func buildCommand(e *env) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the images that the engine does not have",
		Long: `Build the images that the engine does not have.

--cache-to and --cache-from keep layers outside of the engine, in buildx's
syntax: a reference, or type=registry|local|gha|inline and attributes. Each node
has its own part of a cache, named for it: the tag NODE, or TAG-NODE, of a
reference, the directory NODE below one, the scope SCOPE-NODE. Two pipelines
need two references, or two tags.

--push pushes each image as REPOSITORY/NODE:KEY, whose KEY changes when anything
that is built does, and prints each name with its digest on stdout. In the
engine it keeps its name medianode/NODE:KEY. Credentials are those of 'docker
login'.

--check builds nothing and needs no engine: it holds the checks of 'docker build
--check' against each generated Dockerfile and shows what they find at the node,
or its field, that is the cause. Exit code 1 if there is an error.`,
		Example: `  docker medianode build
  docker medianode build --cache-from ghcr.io/me/cache \
    --cache-to type=registry,ref=ghcr.io/me/cache,mode=max \
    --push --repository ghcr.io/me/captions
  docker medianode build --cache-to type=local,dest=.cache --cache-from type=local,src=.cache
  docker medianode build --check --format github`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.valid(cmd); err != nil {
				return err
			}
			if f.check {
				return e.check(cmd.Context(), f.format)
			}
			if err := f.parse(e); err != nil {
				return err
			}
			ctx, _, done := interruptible(cmd.Context(), leftAsItIs)
			defer done()
			p, err := e.prepare(ctx)
			if err != nil {
				return interrupted(ctx, err)
			}
			release, err := e.build(ctx, p, f.buildOptions)
			release()
			return interrupted(ctx, err)
		},
	}
	f.define(cmd)
	return cmd
}

func (f *buildFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.progress, "progress", "auto", "Progress: auto, tty, plain, json, quiet")
	flags.StringArrayVar(&f.cacheTo, "cache-to", nil, "Write layers there, such as type=registry,ref=REF,mode=max (repeatable)")
	flags.StringArrayVar(&f.cacheFrom, "cache-from", nil, "Look for layers there, such as a reference (repeatable)")
	flags.BoolVar(&f.push, "push", false, "Push each image as REPOSITORY/NODE:KEY")
	flags.StringVar(&f.repository, "repository", "", "Where --push pushes to: REGISTRY/PATH")
	flags.BoolVar(&f.caches.NoCache, "no-cache", false, "Run every step anew")
	flags.BoolVar(&f.caches.Pull, "pull", false, "Ask registries for newer base images, and build on them")
	flags.BoolVar(&f.check, "check", false, "Check the Dockerfiles, build nothing")
	formatFlag(cmd, &f.format, "text", "json", "github")
	complete(cmd, "progress", progressModes()...)
}

// valid refuses what says nothing, or nothing together.
func (f *buildFlags) valid(cmd *cobra.Command) error {
	if err := oneOf("--progress", f.progress, progressModes()...); err != nil {
		return err
	}
	if err := oneOf("--format", f.format, "text", "json", "github"); err != nil {
		return err
	}
	set := cmd.Flags().Changed
	if f.check {
		for _, name := range []string{"cache-to", "cache-from", "push", "repository", "no-cache", "pull", "progress"} {
			if set(name) {
				return exit(exitUsage, "--check builds nothing: leave out --"+name)
			}
		}
		return nil
	}
	switch {
	case set("format"):
		return exit(exitUsage, "--format is about what --check finds: leave it out, or add --check")
	case f.push && f.repository == "":
		return exit(exitUsage, "--push: where to? add --repository REGISTRY/PATH, such as ghcr.io/me/captions")
	case !f.push && set("repository"):
		return exit(exitUsage, "--repository says where --push pushes to: add --push, or leave it out")
	case f.caches.NoCache && len(f.cacheFrom) > 0:
		return exit(exitUsage, "--no-cache runs every step, whatever --cache-from has: leave one of them out")
	case !f.push:
		return nil
	}
	if err := image.CheckRepository(f.repository); err != nil {
		return exit(exitUsage, fmt.Sprintf("--repository %q: %v", f.repository, err))
	}
	return nil
}

// parse reads the caches. A cache of GitHub is left out where there is none, so
// that the same command works on a desk.
func (f *buildFlags) parse(e *env) error {
	for _, flag := range []struct {
		name  string
		texts []string
		read  func(string, func(string) string) (image.Cache, error)
		into  *[]image.Cache
	}{
		{"--cache-to", f.cacheTo, image.ParseCacheTo, &f.caches.CacheTo},
		{"--cache-from", f.cacheFrom, image.ParseCacheFrom, &f.caches.CacheFrom},
	} {
		for _, text := range flag.texts {
			c, err := flag.read(text, os.Getenv)
			if errors.Is(err, image.ErrNoGitHub) {
				fmt.Fprintf(e.cli.Err(), "warning: %s %s is not used: %v\n", flag.name, text, err)
				continue
			}
			if err != nil {
				return exit(exitUsage, fmt.Sprintf("%s %q: %v", flag.name, text, err))
			}
			*flag.into = append(*flag.into, c)
		}
	}
	return nil
}

// pushesAtOnce is as many as an engine sends layers of an image at once.
const pushesAtOnce = 5

// push brings images to a repository, and gives their names there in order,
// each with its digest.
func (e *env) push(ctx context.Context, known *cache.Cache, images []generate.Image, repository string, progress *image.Progress) ([]string, error) {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(pushesAtOnce)
	pushed := make([]string, len(images))
	for i, img := range images {
		group.Go(func() error {
			ref := image.PushRef(repository, img)
			auth, err := command.RetrieveAuthTokenFromImage(e.cli.ConfigFile(), ref)
			if err != nil {
				return fmt.Errorf("credentials for %s: %w", ref, err)
			}
			temporary, done, err := known.Name(running, img.Node, ref)
			if err != nil {
				return err
			}
			defer done()
			digest, err := image.Push(running, e.cli.Client(), img, image.Target{Ref: ref, Auth: auth, Temporary: temporary}, progress)
			if digest != "" {
				ref += "@" + digest
			}
			pushed[i] = ref
			return err
		})
	}
	return pushed, group.Wait()
}
