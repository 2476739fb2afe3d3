package base

import (
	"bytes"
	"cmp"
	"context"
	_ "embed" // what runs in the container
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate/image"
)

//go:embed probe.py
var script string

const (
	// probeVersion is part of what facts are remembered by; it changes with them.
	probeVersion = "1"
	// answer stands before the line of facts.
	answer = "medianode-base "
	// maxOutput is far more than the facts of an image have, bytes.
	maxOutput = 64 << 10
	// callTime is enough for the engine to make or to remove a container.
	callTime = 30 * time.Second

	memory = 256 << 20 // bytes
	pids   = 32

	defaultTimeout = 30 * time.Second
	staleAfter     = 5 * time.Minute

	// probeLabel is on the container of every probe.
	probeLabel = "dev.medianode.probe"
)

// Engine is the part of the engine's client that a probe needs.
type Engine interface {
	image.Puller
	ContainerCreate(ctx context.Context, options client.ContainerCreateOptions) (client.ContainerCreateResult, error)
	ContainerAttach(ctx context.Context, id string, options client.ContainerAttachOptions) (client.ContainerAttachResult, error)
	ContainerStart(ctx context.Context, id string, options client.ContainerStartOptions) (client.ContainerStartResult, error)
	ContainerWait(ctx context.Context, id string, options client.ContainerWaitOptions) client.ContainerWaitResult
	ContainerStatPath(ctx context.Context, id string, options client.ContainerStatPathOptions) (client.ContainerStatPathResult, error)
	ContainerRemove(ctx context.Context, id string, options client.ContainerRemoveOptions) (client.ContainerRemoveResult, error)
	ContainerList(ctx context.Context, options client.ContainerListOptions) (client.ContainerListResult, error)
}

// Memory remembers facts from one command to the next, by a key that changes
// when the image does. The zero Memory remembers nothing.
type Memory struct {
	Get func(ctx context.Context, key string) (value string, found bool, err error)
	Put func(ctx context.Context, key, value string) error
}

// Prober gathers the facts of images.
type Prober struct {
	Engine Engine
	Memory Memory
	// UID is who the node will run as, and the probe runs as.
	UID int
	// Auth is what the registry of an image wants to know, as the engine takes
	// it; nil: nothing. Pulling is told before it begins; nil: to nobody.
	Auth    func(ref string) (string, error)
	Pulling func(ref string)
	// Timeout bounds the container; 0: 30 s. A container of a probe that is older
	// than Stale, 0: five minutes, belongs to nobody and is removed.
	Timeout, Stale time.Duration
}

// Probe gives the facts of an image, which is pulled if the engine does not
// have it. A python3 that does not work is a fact; an engine that does not is
// an error. What a slow machine may have caused is not remembered.
func (p Prober) Probe(ctx context.Context, ref string) (Facts, error) {
	got, err := p.inspect(ctx, ref)
	if err != nil {
		return Facts{}, err
	}
	key := fmt.Sprintf("base:%s:%d:%s", probeVersion, p.UID, got.ID)
	if f, ok := p.recall(ctx, key); ok {
		return f, nil
	}
	f := Facts{ID: got.ID, Config: config(got)}
	if f.Config.OS != "linux" {
		return f, nil
	}
	p.sweep(ctx)
	if err := p.run(ctx, &f); err != nil {
		return Facts{}, fmt.Errorf("look into base image %s: %w", ref, err)
	}
	if f.Why == Missing || f.Why == Closed {
		if err := p.look(ctx, &f); err != nil {
			return Facts{}, fmt.Errorf("look into base image %s: %w", ref, err)
		}
	}
	if f.Python != nil || f.Why == Missing || f.Why == Closed {
		p.remember(ctx, key, f)
	}
	return f, nil
}

// sweep removes the containers of probes that were killed: no probe lives as
// long as they are old. What cannot be removed now goes with a later one.
func (p Prober) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	got, err := p.Engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", probeLabel+"=base")})
	if err != nil {
		return
	}
	for _, c := range got.Items {
		if time.Since(time.Unix(c.Created, 0)) >= cmp.Or(p.Stale, staleAfter) {
			_, _ = p.Engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		}
	}
}

// recall and remember take a memory that does not work for an empty one: the
// facts can always be gathered again.
func (p Prober) recall(ctx context.Context, key string) (Facts, bool) {
	if p.Memory.Get == nil {
		return Facts{}, false
	}
	text, ok, err := p.Memory.Get(ctx, key)
	var f Facts
	if err != nil || !ok || json.Unmarshal([]byte(text), &f) != nil || f.ID == "" {
		return Facts{}, false
	}
	return f, true
}

func (p Prober) remember(ctx context.Context, key string, f Facts) {
	if p.Memory.Put == nil {
		return
	}
	if text, err := json.Marshal(f); err == nil {
		_ = p.Memory.Put(ctx, key, string(text))
	}
}

func (p Prober) inspect(ctx context.Context, ref string) (client.ImageInspectResult, error) {
	has, err := image.Has(ctx, p.Engine, ref)
	if err != nil {
		return client.ImageInspectResult{}, err
	}
	if !has {
		var auth string
		if p.Auth != nil {
			if auth, err = p.Auth(ref); err != nil {
				return client.ImageInspectResult{}, fmt.Errorf("credentials for %s: %w", ref, err)
			}
		}
		if p.Pulling != nil {
			p.Pulling(ref)
		}
		if err := image.Pull(ctx, p.Engine, ref, auth); err != nil {
			return client.ImageInspectResult{}, err
		}
	}
	got, err := p.Engine.ImageInspect(ctx, ref)
	if err != nil {
		return got, fmt.Errorf("look for image %s: %w", ref, err)
	}
	return got, nil
}

// config keeps of the image's config what is judged, and no other variable.
func config(got client.ImageInspectResult) Config {
	c := Config{OS: got.Os, Arch: got.Architecture, Path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if got.Config == nil {
		return c
	}
	c.User, c.Entrypoint, c.Cmd, c.OnBuild = got.Config.User, got.Config.Entrypoint, got.Config.Cmd, got.Config.OnBuild
	c.Volumes = slices.Sorted(maps.Keys(got.Config.Volumes))
	if h := got.Config.Healthcheck; h != nil {
		c.Health = len(h.Test) > 0 && h.Test[0] != "NONE"
	}
	for _, entry := range got.Config.Env {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case name == "PATH":
			c.Path = value
		case slices.Contains(append(elsewhere(), "PYTHONHOME", "PYTHONPATH", "LD_PRELOAD"), name):
			if c.Env == nil {
				c.Env = map[string]string{}
			}
			c.Env[name] = value
		}
	}
	return c
}

// create makes a container that could do nothing to anybody: the image is not
// trusted before it was looked at. An engine finishes a request that was
// cancelled, and the container would stay: so it is not cut short.
func (p Prober) create(ctx context.Context, id string) (made string, remove func() error, err error) {
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	whole := context.WithoutCancel(ctx)
	making, cancel := context.WithTimeout(whole, callTime)
	defer cancel()
	created, err := p.Engine.ContainerCreate(making, p.locked(id))
	if err != nil {
		return "", nil, err
	}
	return created.ID, func() error {
		removing, cancel := context.WithTimeout(whole, callTime)
		defer cancel()
		_, err := p.Engine.ContainerRemove(removing, created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if errdefs.IsConflict(err) { // it has ended, and is just going
			gone := p.Engine.ContainerWait(removing, created.ID, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
			select {
			case <-gone.Result:
				err = nil
			case err = <-gone.Error:
			}
		}
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}, nil
}

func (p Prober) locked(id string) client.ContainerCreateOptions {
	limit := int64(pids)
	return client.ContainerCreateOptions{
		Config: &container.Config{
			Image: id, User: fmt.Sprintf("%d:%d", p.UID, p.UID), WorkingDir: "/",
			Entrypoint: []string{"python3", "-I", "-B", "-c", script}, Cmd: []string{},
			AttachStdout: true, AttachStderr: true, NetworkDisabled: true,
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
			Labels:      map[string]string{probeLabel: "base"},
		},
		HostConfig: &container.HostConfig{
			AutoRemove:  true, // should this process end before its container
			NetworkMode: "none", ReadonlyRootfs: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
			LogConfig: container.LogConfig{Type: "none"}, // what it prints goes to us, not to a disk
			Resources: container.Resources{Memory: memory, MemorySwap: memory, PidsLimit: &limit, NanoCPUs: 1e9},
		},
	}
}

// run starts the container and waits for its answer.
func (p Prober) run(ctx context.Context, f *Facts) (err error) {
	id, remove, err := p.create(ctx, f.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	timeout := p.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	streams, err := p.Engine.ContainerAttach(limited, id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	defer streams.Close()
	defer context.AfterFunc(limited, streams.Close)() // reading does not look at the context
	ended := p.Engine.ContainerWait(limited, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := p.Engine.ContainerStart(limited, id, client.ContainerStartOptions{}); err != nil {
		f.Why, f.Detail = refusal(strings.TrimSpace(err.Error()))
		if f.Why == "" {
			return err
		}
		return nil
	}
	stdout, stderr := &bounded{room: maxOutput}, &bounded{room: maxOutput}
	_, err = stdcopy.StdCopy(stdout, stderr, streams.Reader)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errFull):
		f.Why, f.Detail = Flooded, fmt.Sprintf("%d KiB", maxOutput>>10)
		return nil
	case limited.Err() != nil:
		f.Why, f.Detail = Hung, fmt.Sprintf("ran for %s", timeout)
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	select {
	case end := <-ended.Result:
		f.read(stdout.Bytes(), stderr.Bytes(), end.StatusCode)
		return nil
	case err := <-ended.Error:
		if ctx.Err() == nil && limited.Err() != nil {
			f.Why, f.Detail = Hung, fmt.Sprintf("ran for %s", timeout)
			return nil
		}
		return err
	}
}

// refusal tells the reasons of an engine, or of its runtime, that lie in the
// image.
func refusal(text string) (why Reason, detail string) {
	if strings.Contains(text, "executable file not found") {
		return Missing, "executable file not found"
	}
	at := strings.LastIndex(text, "exec")
	if at < 0 {
		return "", ""
	}
	detail = text[at:]
	switch {
	case strings.HasSuffix(detail, "exec format error"):
		return Foreign, detail
	case strings.HasSuffix(detail, "permission denied"):
		return Closed, detail
	case strings.HasSuffix(detail, "no such file or directory"): // its loader, or what a #! names
		return Failed, "what it is run by is not there: " + detail
	}
	return "", ""
}

// read takes the last line of facts; whoever wraps python3 may print before it.
func (f *Facts) read(stdout, stderr []byte, code int64) {
	lines := strings.Split(string(stdout), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		text, ok := strings.CutPrefix(lines[i], answer)
		if !ok {
			continue
		}
		var p Python
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.Version == "" {
			f.Why, f.Detail = Failed, "it answers something else than it was asked"
			return
		}
		f.Python = &p
		return
	}
	said := strings.Split(strings.TrimSpace(string(stderr)), "\n")
	last := said[len(said)-1]
	if code == 255 || code == 127 || code == 126 { // not python3 itself
		f.Why, f.Detail = refusal(last)
	}
	if f.Why == "" {
		f.Why, f.Detail = Failed, fmt.Sprintf("exit code %d", code)
		if last != "" {
			f.Detail += ": " + last
		}
	}
}

// look finds a python3 without running anything: in the directories of the
// PATH, where the user may not run it, else where it often is.
func (p Prober) look(ctx context.Context, f *Facts) (err error) {
	id, remove, err := p.create(ctx, f.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	there := func(dir string) bool {
		name := path.Join(dir, "python3")
		if !path.IsAbs(dir) || slices.Contains(f.Elsewhere, name) || !p.exists(ctx, id, name) {
			return false
		}
		f.Elsewhere = append(f.Elsewhere, name)
		return true
	}
	for _, dir := range strings.Split(f.Config.Path, ":") {
		if there(dir) {
			f.Why = Closed // the user cannot even see it
		}
	}
	if f.Why == Missing {
		for _, dir := range []string{"/usr/local/bin", "/usr/bin", venvPath + "/bin", "/opt/conda/bin", "/opt/python/bin", "/usr/local/python/bin", "/venv/bin"} {
			there(dir)
		}
	}
	return ctx.Err()
}

// exists follows a symbolic link.
func (p Prober) exists(ctx context.Context, id, name string) bool {
	got, err := p.Engine.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: name})
	if err == nil && got.Stat.LinkTarget != "" {
		_, err = p.Engine.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: got.Stat.LinkTarget})
	}
	return err == nil
}

var errFull = errors.New("more output than was asked for")

// bounded keeps so many bytes and then refuses more.
type bounded struct {
	bytes.Buffer
	room int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.room {
		return 0, errFull
	}
	return b.Buffer.Write(p)
}
