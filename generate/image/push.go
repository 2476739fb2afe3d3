package image

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	bk "github.com/moby/buildkit/client"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"

	"github.com/medianode/docker-medianode/generate"
)

// Pusher is the part of the engine's client that pushes need.
type Pusher interface {
	ImageTag(ctx context.Context, opts client.ImageTagOptions) (client.ImageTagResult, error)
	ImageRemove(ctx context.Context, ref string, opts client.ImageRemoveOptions) (client.ImageRemoveResult, error)
	ImagePush(ctx context.Context, ref string, opts client.ImagePushOptions) (client.ImagePushResponse, error)
}

// CheckRepository refuses what images cannot be pushed below. The registry has
// to be named: nothing goes to a public one by a slip.
func CheckRepository(repository string) error {
	const want = "want REGISTRY/PATH, such as ghcr.io/me/captions or docker.io/me"
	host, path, ok := strings.Cut(repository, "/")
	if !ok || path == "" || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return errors.New(want)
	}
	named, err := reference.ParseNormalizedNamed(repository + "/node") // docker.io/me alone is another name
	if err != nil {
		return fmt.Errorf("%w; %s", err, want)
	}
	if !reference.IsNameOnly(named) {
		return errors.New(want)
	}
	if strings.Contains(path, ":") {
		return errors.New("the tag is the key of each image: " + want)
	}
	return nil
}

// PushRef is the name of an image in a repository: REPOSITORY/<node>:<key12>.
func PushRef(repository string, img generate.Image) string {
	_, own, _ := strings.Cut(img.Ref, "/") // without medianode
	return strings.TrimSuffix(repository, "/") + "/" + own
}

// Target is where an image is pushed to.
type Target struct {
	Ref  string // its name there
	Auth string // what the registry wants to know, as the engine takes it
	// Temporary says that the engine is to know the image by that name only
	// meanwhile.
	Temporary bool
}

// Push brings an image of the engine to a registry, and gives its digest there,
// or nothing if the engine does not tell. progress may be nil.
func Push(ctx context.Context, engine Pusher, img generate.Image, to Target, progress *Progress) (pushed string, err error) {
	ref := to.Ref
	if _, err := engine.ImageTag(ctx, client.ImageTagOptions{Source: img.Ref, Target: ref}); err != nil {
		return "", fmt.Errorf("name image %s: %w", ref, err)
	}
	if to.Temporary {
		defer func() {
			_, bad := engine.ImageRemove(context.WithoutCancel(ctx), ref, client.ImageRemoveOptions{})
			if bad != nil && !errdefs.IsNotFound(bad) {
				err = errors.Join(err, fmt.Errorf("forget the name %s: %w", ref, bad))
			}
		}()
	}
	show := newPushing(img.Node, ref, progress)
	response, err := engine.ImagePush(ctx, ref, client.ImagePushOptions{RegistryAuth: to.Auth})
	if err == nil {
		for m, bad := range response.JSONMessages(ctx) {
			if bad != nil {
				err = bad
				break
			}
			if m.Error != nil {
				err = m.Error
				break
			}
			show.message(m)
		}
	}
	show.end(err)
	if err != nil {
		return "", pushError(img.Node, ref, err)
	}
	return show.digest, nil
}

// pushError says what to do where that can be told.
func pushError(node, ref string, err error) error {
	host, _, _ := strings.Cut(ref, "/")
	text, hint := err.Error(), ""
	switch {
	case strings.Contains(text, "HTTP response to HTTPS client"):
		hint = fmt.Sprintf(`: the registry speaks plain HTTP: put {"insecure-registries": [%q]} into the engine's daemon.json and restart it`, host)
	case strings.Contains(text, "unauthorized"), strings.Contains(text, "denied"), strings.Contains(text, "no basic auth credentials"), strings.Contains(text, "authorization failed"):
		hint = ": log in with 'docker login " + host + "', as a user who may push there"
	}
	return fmt.Errorf("push the image of %s to %s: %w%s", node, ref, err, hint)
}

// digestPattern finds what the engine says at the end of a push.
var digestPattern = regexp.MustCompile(`digest: (sha256:[0-9a-f]{64})`)

// pushing shows one push as a step of the builds' display.
type pushing struct {
	progress *Progress
	vertex   bk.Vertex
	began    map[string]time.Time // of each layer
	digest   string               // in the registry
}

func newPushing(node, ref string, p *Progress) *pushing {
	now := time.Now()
	s := &pushing{progress: p, began: map[string]time.Time{}, vertex: bk.Vertex{
		Digest: digest.FromString("push\x00" + node + "\x00" + ref), Name: "[" + node + "] pushing " + ref, Started: &now,
	}}
	s.show(&bk.SolveStatus{})
	return s
}

func (s *pushing) show(status *bk.SolveStatus) {
	if s.progress == nil {
		return
	}
	v := s.vertex
	status.Vertexes = []*bk.Vertex{&v}
	s.progress.show(status)
}

// message takes a line of the engine.
func (s *pushing) message(m jsonstream.Message) {
	if found := digestPattern.FindStringSubmatch(m.Status); found != nil {
		s.digest = found[1]
	}
	if m.ID == "" {
		return
	}
	now := time.Now()
	began, known := s.began[m.ID]
	if !known {
		began = now
		s.began[m.ID] = now
	}
	layer := &bk.VertexStatus{ID: "layer " + m.ID, Vertex: s.vertex.Digest, Timestamp: now, Started: &began}
	if m.Progress != nil {
		layer.Current, layer.Total = m.Progress.Current, m.Progress.Total
	}
	if m.Status == "Pushed" || m.Status == "Layer already exists" || strings.HasPrefix(m.Status, "Mounted from ") {
		layer.Completed = &now
	}
	if known && m.Progress == nil && layer.Completed == nil {
		return // waits
	}
	s.show(&bk.SolveStatus{Statuses: []*bk.VertexStatus{layer}})
}

// end shows how it ended.
func (s *pushing) end(err error) {
	now := time.Now()
	s.vertex.Completed = &now
	if err != nil {
		s.vertex.Error = err.Error()
	}
	s.show(&bk.SolveStatus{})
}
