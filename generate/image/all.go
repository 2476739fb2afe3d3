package image

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/medianode/docker-medianode/generate"
)

// Present builds only what the engine does not have. It asks for each image by
// name: that takes about a millisecond, where listing takes some for every image
// that the engine has.
type Present struct {
	next   Builder
	engine Engine
}

// NewPresent puts the question before a builder.
func NewPresent(engine Engine, next Builder) *Present { return &Present{engine: engine, next: next} }

// Lookup is the engine's image of the same recipe, if it has it.
func (p *Present) Lookup(ctx context.Context, img generate.Image) (ID, bool, error) {
	got, err := p.engine.ImageInspect(ctx, img.Ref)
	if errdefs.IsNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look for image %s: %w", img.Ref, err)
	}
	// The tag is the beginning of the key only, and anybody can set a tag.
	if got.Config == nil || got.Config.Labels[KeyLabel] != img.Key {
		return "", false, nil
	}
	return ID(got.ID), true, nil
}

// Build answers with what the engine has, or builds.
func (p *Present) Build(ctx context.Context, img generate.Image) (ID, error) {
	if id, ok, err := p.Lookup(ctx, img); ok || err != nil {
		return id, err
	}
	return p.next.Build(ctx, img)
}

// BuildAll builds images, so many at once (0: all), and gives their ids in
// order. The first failure stops the others.
func BuildAll(ctx context.Context, b Builder, images []generate.Image, parallelism int) ([]ID, error) {
	group, running := errgroup.WithContext(ctx)
	if parallelism > 0 {
		group.SetLimit(parallelism)
	}
	ids, errs := make([]ID, len(images)), make([]error, len(images))
	for i, img := range images {
		group.Go(func() error {
			if errs[i] = running.Err(); errs[i] == nil {
				ids[i], errs[i] = b.Build(running, img)
			}
			return errs[i]
		})
	}
	first := group.Wait()
	if first == nil {
		return ids, nil
	}
	// Those that were stopped by it have nothing to say.
	failures := slices.DeleteFunc(errs, func(err error) bool { return err == nil || isCanceled(err) })
	if len(failures) == 0 {
		return nil, first
	}
	return nil, errors.Join(failures...)
}
