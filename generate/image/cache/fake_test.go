package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	moby "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// fakeEngine is an engine whose images are files of a directory, so that
// several processes share it.
type fakeEngine struct {
	dir        string
	mu         sync.Mutex
	lists      int
	after      func() // what happens right after an answer, once
	containers []container.Summary
}

type fakeImage struct{ Ref, ID, Key, Base string }

func (f *fakeEngine) path(ref string) string {
	return filepath.Join(f.dir, strings.NewReplacer("/", "_", ":", "_").Replace(ref))
}

// tag puts an image under a reference, whole or not at all.
func (f *fakeEngine) tag(i fakeImage) error {
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	part := fmt.Sprintf("%s.%d.%d.part", f.path(i.Ref), os.Getpid(), rand.Uint64())
	return errors.Join(os.WriteFile(part, text, 0o600), os.Rename(part, f.path(i.Ref)))
}

func (f *fakeEngine) ImageList(_ context.Context, o client.ImageListOptions) (client.ImageListResult, error) {
	f.mu.Lock()
	f.lists++
	after := f.after
	f.after = nil
	f.mu.Unlock()
	if after != nil {
		defer after()
	}
	var out client.ImageListResult
	names, err := filepath.Glob(filepath.Join(f.dir, "*"))
	for _, name := range names {
		var i fakeImage
		text, bad := os.ReadFile(name)
		if bad != nil || json.Unmarshal(text, &i) != nil || strings.HasSuffix(name, ".part") {
			continue
		}
		if wanted := o.Filters["reference"]; wanted != nil && !wanted[i.Ref] || o.Filters["label"][image.KeyLabel] && i.Key == "" {
			continue
		}
		out.Items = append(out.Items, moby.Summary{
			ID: i.ID, RepoTags: []string{i.Ref}, Size: 1000, Labels: map[string]string{image.KeyLabel: i.Key, image.BaseLabel: i.Base},
		})
	}
	return out, err
}

func (f *fakeEngine) ImageRemove(_ context.Context, ref string, _ client.ImageRemoveOptions) (client.ImageRemoveResult, error) {
	err := os.Remove(f.path(ref))
	if errors.Is(err, fs.ErrNotExist) {
		err = errdefs.ErrNotFound
	}
	return client.ImageRemoveResult{}, err
}

func (f *fakeEngine) ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error) {
	return client.ContainerListResult{Items: f.containers}, nil
}

// fakeBuilder tags an image in the fake engine, after a while.
type fakeBuilder struct {
	engine *fakeEngine
	takes  time.Duration
	fail   error
	log    string // a file that gets a line for each build
}

func (b fakeBuilder) Build(ctx context.Context, img generate.Image) (image.ID, error) {
	if b.fail != nil {
		return "", b.fail
	}
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	id := fmt.Sprintf("sha256:%s-%d", img.Key, rand.Uint64())
	if err := b.engine.tag(fakeImage{img.Ref, id, img.Key, b.engine.base()}); err != nil {
		return "", err
	}
	f, err := os.OpenFile(b.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(img.Node + "\n")
	return image.ID(id), errors.Join(err, f.Close())
}

const baseRef = "python:3.11-slim"

// base is the id of the base image.
func (f *fakeEngine) base() string {
	var i fakeImage
	text, err := os.ReadFile(f.path(baseRef))
	if err != nil || json.Unmarshal(text, &i) != nil {
		return ""
	}
	return i.ID
}

// plant is a cache with its fakes, all in one directory.
type plant struct {
	*Cache
	engine  *fakeEngine
	builder fakeBuilder
	dir     string

	mu   sync.Mutex
	said []string
}

func openPlant(ctx context.Context, dir string) (*plant, error) {
	p := &plant{dir: dir, engine: &fakeEngine{dir: filepath.Join(dir, "engine")}}
	p.builder = fakeBuilder{engine: p.engine, takes: 20 * time.Millisecond, log: filepath.Join(dir, "builds")}
	if err := os.MkdirAll(p.engine.dir, 0o700); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, filepath.Join(dir, "image_cache.db"))
	if err != nil {
		return nil, err
	}
	say := func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.said = append(p.said, text)
	}
	p.Cache = &Cache{
		Engine: p.engine, EngineID: "engine", Store: s, Locks: filepath.Join(dir, "locks"), Keep: 50,
		Say: say, Wait: func(node, text string) func() { say(node + ": " + text); return func() {} },
	}
	return p, nil
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p, err := openPlant(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.engine.tag(fakeImage{Ref: baseRef, ID: "base-1"}); err != nil {
		t.Fatal(err)
	}
	return p
}

// builds are the nodes that were built, in order.
func (p *plant) builds(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "builds"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// recipes are images to build; version makes their keys.
func recipes(version string, nodes ...string) []generate.Image {
	var out []generate.Image
	for _, n := range nodes {
		key := fmt.Sprintf("%012s-%s-%s", version, n, version)
		out = append(out, generate.Image{
			Node: n, Ref: generate.Repository + n + ":" + key[:12], Key: key, Base: baseRef, Dockerfile: []byte("FROM x\n"),
			Recipe:  generate.Recipe{PythonVersion: "3.11", PythonPackages: []string{"numpy==" + version}},
			Context: []generate.File{{Path: "app/code.py", Data: []byte(version)}},
		})
	}
	return out
}

func (p *plant) ensure(t *testing.T, images []generate.Image) []image.ID {
	t.Helper()
	r, err := p.Ensure(t.Context(), images, p.builder, Use{Project: "test", Parallelism: 1})
	if err != nil {
		t.Fatal(err)
	}
	r.Release()
	return r.IDs
}
