//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image/cache"
	"github.com/medianode/docker-medianode/generate/image/store"
	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/python"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

const cachedNodes = 20

// timedEngine tells the engine's part of a decision.
type timedEngine struct {
	*client.Client
	calls int
	took  time.Duration
}

func (e *timedEngine) ImageList(ctx context.Context, o client.ImageListOptions) (client.ImageListResult, error) {
	began := time.Now()
	defer func() { e.calls, e.took = e.calls+1, e.took+time.Since(began) }()
	return e.Client.ImageList(ctx, o)
}

// cacheDecision measures what it costs to find out that nothing has to be
// built, for twenty nodes: the store, the engine, and all of it from prompt to
// prompt.
func cacheDecision(ctx context.Context, w io.Writer, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "medianode-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	images, err := twentyNodes(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "image_cache.db")
	build := func() (time.Duration, error) {
		cmd := exec.CommandContext(ctx, "docker", "medianode", "build", "--progress", "quiet")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), store.EnvPath+"="+path)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("docker medianode build: %w: %s", err, tail(string(out), 5))
		}
		return time.Since(began), err
	}
	if _, err := build(); err != nil {
		return err
	}
	c, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer c.Close()
	defer func() {
		for _, img := range images {
			_, bad := c.ImageRemove(context.WithoutCancel(ctx), img.Ref, client.ImageRemoveOptions{})
			err = errors.Join(err, bad)
		}
	}()
	m := map[string][]time.Duration{}
	for range rounds * 4 {
		if err := decideOnce(ctx, c, path, images, m); err != nil {
			return err
		}
		took, err := build()
		if err != nil {
			return err
		}
		m["no-op build, prompt to prompt"] = append(m["no-op build, prompt to prompt"], took)
		began := time.Now()
		if _, err := docker(ctx, dir, "version"); err != nil {
			return err
		}
		m["docker version, prompt to prompt"] = append(m["docker version, prompt to prompt"], time.Since(began))
	}
	fmt.Fprintf(w, "The decision that none of %d images has to be built. %d rounds, medians.\n\n", cachedNodes, rounds*4)
	t := newTable("what", "median", "least", "most")
	for _, name := range []string{
		"our own time: open the store, look up, judge", "the engine's one call for all", "asking the engine for each by inspect",
		"the engine's list of all it has", "store: look up", "store: write a row", "store: note the uses",
		"no-op build, prompt to prompt", "docker version, prompt to prompt",
	} {
		t.row(name, median(m[name]), quantile(m[name], 0), quantile(m[name], 1))
	}
	t.print(w)
	return nil
}

// decideOnce does each part of the decision once.
func decideOnce(ctx context.Context, c *client.Client, path string, images []generate.Image, m map[string][]time.Duration) error {
	timed := func(name string, f func() error) error {
		began := time.Now()
		err := f()
		m[name] = append(m[name], time.Since(began))
		return err
	}
	info, err := c.Info(ctx, client.InfoOptions{})
	if err != nil {
		return err
	}
	engine := &timedEngine{Client: c}
	began := time.Now()
	s, err := store.Open(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	known := &cache.Cache{Engine: engine, EngineID: info.Info.ID, Store: s, Locks: path + ".locks"}
	states, err := known.Look(ctx, images)
	if err != nil {
		return err
	}
	own := time.Since(began) - engine.took
	for _, state := range states {
		if state.ID == "" || engine.calls != 1 {
			return fmt.Errorf("%s: %s, after %d calls", state.Image.Ref, state.Why, engine.calls)
		}
	}
	m["our own time: open the store, look up, judge"] = append(m["our own time: open the store, look up, judge"], own)
	m["the engine's one call for all"] = append(m["the engine's one call for all"], engine.took)
	var refs []store.Ref
	var uses []store.Use
	for _, img := range images {
		name, tag, _ := strings.Cut(img.Ref, ":")
		refs = append(refs, store.Ref{Name: name, Tag: tag})
		uses = append(uses, store.Use{Ref: store.Ref{Name: name, Tag: tag}, Project: "bench", Node: img.Node})
	}
	row := store.Row{Name: "medianode/other", Tag: "1", Status: store.Failed, Error: "x"}
	return errors.Join(
		timed("store: look up", func() error { _, err := s.Get(ctx, refs); return err }),
		timed("store: write a row", func() error { return s.Put(ctx, row) }),
		timed("store: note the uses", func() error { return s.Touch(ctx, uses) }),
		timed("asking the engine for each by inspect", func() error {
			for _, img := range images {
				if _, err := c.ImageInspect(ctx, img.Ref); err != nil {
					return err
				}
			}
			return nil
		}),
		timed("the engine's list of all it has", func() error { _, err := c.ImageList(ctx, client.ImageListOptions{}); return err }),
	)
}

// twentyNodes writes a pipeline of nodes with the least of code, and resolves it
// as the command does.
func twentyNodes(dir string) ([]generate.Image, error) {
	text := "version: v1\nnodes:\n"
	if err := os.Mkdir(filepath.Join(dir, "code"), 0o755); err != nil {
		return nil, err
	}
	for i := range cachedNodes {
		text += fmt.Sprintf("  - {id: bench%d, node_type: 'code%d:Node', docker: {source: ./code}}\n", i, i)
		code := fmt.Sprintf("from medianode import Node as Base\n\n# %d\nclass Node(Base):\n    pass\n", i)
		if err := os.WriteFile(filepath.Join(dir, "code", fmt.Sprintf("code%d.py", i)), []byte(code), 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(text), 0o644); err != nil {
		return nil, err
	}
	spec, err := pipeline.Parse("pipeline.yaml", []byte(text), builtin.Catalog())
	if err != nil {
		return nil, err
	}
	plan, err := generate.Resolve(spec, "bench", generate.Host{Arch: "x86_64"}, os.DirFS(dir), python.Package())
	if err != nil {
		return nil, err
	}
	return plan.Images, nil
}
