package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/medianode/docker-medianode/generate"
)

// repository is what the references of all our images begin with.
const repository = "medianode/*"

// Present builds only what the engine does not have. It asks the engine once,
// for all images.
type Present struct {
	next   Builder
	engine Engine

	mu   sync.Mutex
	have map[string]found // by reference; nil: not asked yet
}

type found struct {
	id  ID
	key string
}

// NewPresent puts the question before a builder.
func NewPresent(engine Engine, next Builder) *Present { return &Present{engine: engine, next: next} }

// Lookup is the engine's image of the same recipe, if it has it.
func (p *Present) Lookup(ctx context.Context, img generate.Image) (ID, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.have == nil {
		list, err := p.engine.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("reference", repository)})
		if err != nil {
			return "", false, fmt.Errorf("list images: %w", err)
		}
		p.have = map[string]found{}
		for _, item := range list.Items {
			for _, tag := range item.RepoTags {
				p.have[tag] = found{ID(item.ID), item.Labels[KeyLabel]}
			}
		}
	}
	// The tag is the beginning of the key only, and anybody can set a tag.
	f, ok := p.have[img.Ref]
	ok = ok && f.key == img.Key
	if !ok {
		return "", false, nil
	}
	return f.id, true, nil
}

// Build answers with what the engine has, or builds.
func (p *Present) Build(ctx context.Context, img generate.Image) (ID, error) {
	if id, ok, err := p.Lookup(ctx, img); ok || err != nil {
		return id, err
	}
	id, err := p.next.Build(ctx, img)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.have[img.Ref] = found{id, img.Key}
	return id, nil
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
