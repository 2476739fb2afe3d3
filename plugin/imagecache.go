package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"slices"
	"sync"

	"github.com/medianode/docker-medianode/generate/image/cache"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// imageCache opens the image cache for an engine. What is wrong with the file
// is said and is no error: without it everything works, and is asked anew.
func (e *env) imageCache(ctx context.Context, engineID string) (*cache.Cache, func() error, error) {
	path, err := store.DefaultPath(os.Getenv, goruntime.GOOS)
	if err != nil {
		return nil, nil, exit(exitFailed, err.Error())
	}
	keep, err := store.MaxImages(os.Getenv)
	if err != nil {
		return nil, nil, exit(exitFailed, err.Error())
	}
	s, err := store.Open(ctx, path)
	if err != nil {
		return nil, nil, fmt.Errorf("image cache: %w", err)
	}
	s.Tell(func() { fmt.Fprintln(e.cli.Err(), "waiting for another process that writes the image cache") })
	// Links are followed: the same file has the same locks.
	c := &cache.Cache{Engine: e.cli.Client(), EngineID: engineID, Store: s, Locks: s.Path() + ".locks", Keep: keep}
	done := func() error {
		// Damage may show when the file is used, not when it is opened.
		var err error
		if engineID != "" && s.Renewed() {
			err = c.Adopt(context.WithoutCancel(ctx))
		}
		for _, note := range s.Notes() {
			fmt.Fprintln(e.cli.Err(), "warning:", note)
		}
		return errors.Join(err, s.Close())
	}
	return c, done, nil
}

// remarks collects what the cache has to say while a display is on the screen.
type remarks struct {
	mu   sync.Mutex
	said []string
}

func (r *remarks) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.said, text) {
		r.said = append(r.said, text)
	}
}

func (r *remarks) print(w io.Writer) {
	for _, text := range r.said {
		fmt.Fprintln(w, text)
	}
}

// engineCache is the image cache for the engine that answers.
func (e *env) engineCache(ctx context.Context) (*cache.Cache, func() error, error) {
	info, err := e.info(ctx)
	if err != nil {
		return nil, nil, err
	}
	return e.imageCache(ctx, info.ID)
}
