package image

import (
	"context"
	"fmt"

	bk "github.com/moby/buildkit/client"
	"github.com/moby/moby/client/pkg/versions"
)

// snapshotterLabel is on the worker of an engine that keeps its images in
// containerd.
const snapshotterLabel = "org.mobyproject.buildkit.worker.snapshotter"

// containerdStore says how to get what the older image store cannot do.
const containerdStore = `put {"features": {"containerd-snapshotter": true}} into the engine's daemon.json and restart it (its images have to be built or pulled anew)`

// Refuse is what the image store of an engine with these workers cannot do of
// the options, in one line, or nil.
func (o Options) Refuse(workers []*bk.WorkerInfo) error {
	for _, w := range workers {
		if _, ok := w.Labels[snapshotterLabel]; ok {
			return nil
		}
	}
	for _, c := range o.CacheTo {
		if c.Type != inlineCache {
			return fmt.Errorf("--cache-to type=%s: the engine's image store cannot write a build cache: %s, or use --cache-to type=inline with --push", c.Type, containerdStore)
		}
	}
	for _, c := range o.CacheFrom {
		if c.Type == ghaCache {
			return fmt.Errorf("--cache-from type=gha: the engine's image store cannot read it: %s, or use type=registry", containerdStore)
		}
	}
	return nil
}

// demanding says that an engine may not be able to do what is asked for.
func (o Options) demanding() bool {
	return o.Refuse(nil) != nil
}

// oldestAPI is that of Docker Engine 23.0, the first whose BuildKit reads our
// Dockerfiles (it has COPY --link) and whose images may have layers of zstd.
const oldestAPI = "1.42"

// Able says what the engine cannot do of what is wanted, and what to change; it
// is asked where that is not certain. Its API must be agreed on already.
func (b BuildKit) Able(ctx context.Context) error {
	if api := b.Engine.ClientVersion(); versions.LessThan(api, oldestAPI) {
		return fmt.Errorf("the engine is too old to build images of nodes: its API is %s, want %s or newer, which Docker Engine 23.0 has (docker.image needs no build)", api, oldestAPI)
	}
	if !b.Options.demanding() {
		return nil
	}
	c, err := b.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to the engine's BuildKit: %w", err)
	}
	defer c.Close() // nothing was written
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return fmt.Errorf("ask the engine's BuildKit what it can do: %w", err)
	}
	return b.Options.Refuse(workers)
}
