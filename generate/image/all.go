package image

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/medianode/docker-medianode/generate"
)

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
