package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/base"
	"github.com/medianode/docker-medianode/generate/image/cache"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// build makes the images that the engine does not have, or all if more is asked
// for, pushes them if that is wanted, and brings the finished ones. Nobody prunes
// them before release is called.
func (e *env) build(ctx context.Context, p *prepared, o buildOptions) (release func(), err error) {
	release = func() {}
	if err := o.fit(p.plan.Images); err != nil {
		return release, err
	}
	kit := image.BuildKit{
		Engine: e.cli.Client(), CA: certificates(), Proxy: image.ProxyFromEnv(os.Environ()),
		Credentials: e.cli.ConfigFile(), Options: o.caches,
	}
	if len(p.plan.Images) > 0 {
		if err := kit.Able(ctx); err != nil {
			return release, err
		}
	}
	if err := e.pull(ctx, p); err != nil {
		return release, err
	}
	if len(p.plan.Images) == 0 {
		if o.push {
			fmt.Fprintln(e.cli.Err(), "nothing is pushed: no node has an image that is built")
		}
		return release, nil
	}
	ready, pushed, err := e.buildAll(ctx, p, kit, o)
	if ready != nil {
		release, p.ids = ready.Release, map[string]image.ID{}
		for i, img := range p.plan.Images {
			p.ids[img.Ref] = ready.IDs[i]
		}
	}
	if ctx.Err() != nil {
		return release, ctx.Err() // no node is to blame
	}
	if err != nil {
		return release, e.explainNode(p.source, err)
	}
	for _, ref := range pushed {
		fmt.Fprintln(e.cli.Out(), ref)
	}
	return release, nil
}

// buildAll is build for images under one display; it gives the names under
// which they were pushed.
func (e *env) buildAll(ctx context.Context, p *prepared, kit image.BuildKit, o buildOptions) (ready *cache.Ready, pushed []string, err error) {
	known, done, err := e.imageCache(ctx, p.engineID)
	if err != nil {
		return nil, nil, err
	}
	var said remarks
	defer func() {
		err = errors.Join(err, done())
		said.print(e.cli.Err())
	}()
	if kit.Progress, err = image.NewProgress(e.terminal(), o.progress); err != nil {
		return nil, nil, err
	}
	defer func() {
		if bad := kit.Progress.Close(); err == nil {
			err = bad
		}
	}()
	known.Wait, known.Say = kit.Progress.Step, said.add
	fresh := kit
	fresh.Options.NoCache = true
	builder := tracedBuilder{e, image.NewRetry(kit, fresh, kit.Progress.Say)}
	_, checked := e.span(ctx, "check images")
	ready, err = known.Ensure(ctx, p.plan.Images, builder, cache.Use{
		Project: p.plan.Name, Always: kit.Options.Always(),
		Before: func(missing []generate.Image) error {
			checked(nil)
			return e.checkBases(ctx, p, missing, remembered(known.Store))
		},
	})
	checked(err)
	if err != nil || !o.push {
		return ready, nil, err
	}
	pushed, err = e.push(ctx, known, p.plan.Images, o.repository, kit.Progress)
	return ready, pushed, err
}

// remembered are the facts of base images that the store keeps.
func remembered(s *store.Store) base.Memory { return base.Memory{Get: s.Facts, Put: s.PutFacts} }

// terminal is stderr as a display needs it: that of the CLI hides the file that
// a terminal is drawn on.
func (e *env) terminal() io.Writer {
	if e.cli.Err().IsTerminal() {
		return os.Stderr
	}
	return e.cli.Err()
}

// certificates is the caller's own bundle, if the environment names one: where
// downloads go through a company's proxy, those of a base image do not do.
func certificates() string {
	for _, name := range []string{"SSL_CERT_FILE", "PIP_CERT"} {
		if file := os.Getenv(name); file != "" {
			return file
		}
	}
	return ""
}
