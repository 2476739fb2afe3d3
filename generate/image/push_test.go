package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
)

func TestCheckRepository(t *testing.T) {
	for repository, good := range map[string]bool{
		"ghcr.io/me/captions": true, "docker.io/me": true, "localhost:5000/x": true, "localhost/x": true, "127.0.0.1:5000/a/b": true,
		"": false, "me": false, "me/captions": false, "ghcr.io": false, "ghcr.io/": false, "ghcr.io/Me": false,
		"ghcr.io/me:tag": false, "ghcr.io/me@sha256:00": false, "https://ghcr.io/me": false, "ghcr.io/me/": false, "ghcr.io//me": false,
	} {
		if err := CheckRepository(repository); (err == nil) != good || err != nil && !strings.HasSuffix(err.Error(), "such as ghcr.io/me/captions or docker.io/me") {
			t.Errorf("%q: %v", repository, err)
		}
	}
}

// hall is an engine that pushes: the keys of its images by reference, what it
// says while it pushes, and what it was asked.
type hall struct {
	keys  map[string]string
	says  []jsonstream.Message
	fails error
	asked []string
}

func (h *hall) ImageTag(_ context.Context, o client.ImageTagOptions) (client.ImageTagResult, error) {
	h.asked = append(h.asked, "tag "+o.Target)
	h.keys[o.Target] = h.keys[o.Source]
	return client.ImageTagResult{}, nil
}

func (h *hall) ImageRemove(ctx context.Context, ref string, _ client.ImageRemoveOptions) (client.ImageRemoveResult, error) {
	h.asked = append(h.asked, "remove "+ref)
	delete(h.keys, ref)
	return client.ImageRemoveResult{}, ctx.Err()
}

func (h *hall) ImagePush(_ context.Context, ref string, o client.ImagePushOptions) (client.ImagePushResponse, error) {
	h.asked = append(h.asked, "push "+ref+" as "+o.RegistryAuth)
	return said(h.says), h.fails
}

// said is the answer to a push.
type said []jsonstream.Message

func (said) Read([]byte) (int, error)   { return 0, io.EOF }
func (said) Close() error               { return nil }
func (said) Wait(context.Context) error { return nil }
func (s said) JSONMessages(context.Context) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for _, m := range s {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func TestPush(t *testing.T) {
	img := generate.Image{Node: "asr", Ref: "medianode/asr:0123456789ab", Key: "key"}
	ref := PushRef("ghcr.io/me/captions", img)
	if ref != "ghcr.io/me/captions/asr:0123456789ab" {
		t.Fatal(ref)
	}
	sum := "sha256:" + strings.Repeat("0", 64)
	says := []jsonstream.Message{
		{Status: "The push refers to repository [ghcr.io/me/captions/asr]"},
		{ID: "0a", Status: "Waiting"},
		{ID: "0a", Status: "Pushing", Progress: &jsonstream.Progress{Current: 1, Total: 2}},
		{ID: "0b", Status: "Layer already exists"},
		{ID: "0a", Status: "Pushed"},
		{Status: "0123456789ab: digest: " + sum + " size: 1234"},
	}
	whole := "[tag " + ref + " push " + ref + " as secret remove " + ref + "]"
	for _, c := range []struct {
		says  []jsonstream.Message
		fails error
		want  string // the digest, or the error
	}{
		{says, nil, sum},
		{says[:3], nil, ""},
		{append(says[:2:2], jsonstream.Message{Error: &jsonstream.Error{Message: "denied: no"}}), nil,
			"push the image of asr to " + ref + ": denied: no: log in with 'docker login ghcr.io', as a user who may push there"},
		{nil, errors.New("http: server gave HTTP response to HTTPS client"),
			"push the image of asr to " + ref + `: http: server gave HTTP response to HTTPS client: the registry speaks plain HTTP: put {"insecure-registries": ["ghcr.io"]} into the engine's daemon.json and restart it`},
		{nil, errors.New("no space left"), "push the image of asr to " + ref + ": no space left"},
	} {
		engine := &hall{keys: map[string]string{img.Ref: "key"}, says: c.says, fails: c.fails}
		var shown strings.Builder
		progress, err := NewProgress(&shown, "plain")
		if err != nil {
			t.Fatal(err)
		}
		got, err := Push(t.Context(), engine, img, Target{ref, "secret", true}, progress)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if fmt.Sprint(engine.asked) != whole {
			t.Errorf("asked %v, want %s", engine.asked, whole)
		}
		if err := progress.Close(); err != nil || !strings.Contains(shown.String(), "[asr] pushing "+ref) {
			t.Errorf("%v, shown:\n%s", err, shown.String())
		}
	}
	// A name that is not temporary stays, and one of ours goes though the push was
	// interrupted.
	engine := &hall{keys: map[string]string{img.Ref: "key", ref: "key"}}
	if _, err := Push(t.Context(), engine, img, Target{Ref: ref}, nil); err != nil || engine.keys[ref] == "" {
		t.Errorf("%v, asked %v", err, engine.asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	engine = &hall{keys: map[string]string{img.Ref: "key"}, fails: ctx.Err()}
	if _, err := Push(ctx, engine, img, Target{Ref: ref, Temporary: true}, nil); !errors.Is(err, context.Canceled) || engine.keys[ref] != "" {
		t.Errorf("%v, asked %v", err, engine.asked)
	}
}
