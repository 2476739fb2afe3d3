package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/generate"
)

const digest64 = "sha256:e644ff0c302d7de4c3e03dc718bc4b77ebeb324f7c8f5483b463fa230027b02c"

// broken are what builds failed with because of the engine, as it was reported.
func broken() []string {
	return []string{
		"failed to solve: failed to read dockerfile: failed to mount lhzivmrs3pheot21kx3b24aix: snapshot lhzivmrs3pheot21kx3b24aix does not exist: not found",
		"failed to apply diffs: failed to stat lower snapshot oqp2tt0j92m39s8wogp0pul7d: snapshot oqp2tt0j92m39s8wogp0pul7d does not exist: not found",
		`failed to prepare extraction snapshot "extract-810343375-eUiw sha256:2f8d": parent snapshot ` + digest64 + ` does not exist: not found`,
		"failed to prepare: parent snapshot does not exist: not found",
		"failed to solve: failed to get layer " + digest64 + ": layer does not exist",
		"failed to solve: failed to load cache key: content digest " + digest64 + ": not found",
		"failed to solve: rpc error: code = Unknown desc = content digest " + digest64 + ": not found",
		"failed to solve: failed to compute cache key: blob " + digest64 + " not found",
		"failed to solve: failed to compute cache key: blob not found",
		"error committing 5yhgjt88cnwecs2gtanqos715: invalid mutable ref 0xc002a652c0: invalid: executor failed running [/bin/bash -c poetry install]: stat /var/lib/docker/overlay2/5yhgjt88cnwecs2gtanqos715: no such file or directory",
		"failed to solve: missing descriptor handlers for lazy blobs [" + digest64 + "]",
		"failed to solve: rpc error: code = Unknown desc = failed to load cache: ref buildkit/1/layer-sha256:30a locked: unavailable",
		`failed to copy: lease "` + digest64 + `": not found`,
		`failed commit on ref "layer-x": unexpected commit digest ` + digest64 + ", expected sha256:1d41: failed precondition",
		"lstat /var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/12/fs: no such file or directory",
	}
}

// fine are failures that another try does not mend.
func fine() []error {
	return []error{
		&BuildError{Node: "a", Err: errors.New(`failed to solve: process "python3 -c raise" did not complete successfully: exit code: 1: snapshot x does not exist: not found`)},
		errors.New(`failed to solve: failed to compute cache key: failed to calculate checksum of ref vseuhyvq::d29f: "/dist/nginx": not found`),
		errors.New("failed to solve: python:3.11-slimm: failed to resolve source metadata for docker.io/library/python:3.11-slimm: docker.io/library/python:3.11-slimm: not found"),
		errors.New("failed to solve: ResourceExhausted: failed to copy files: write /var/lib/docker/overlay2/yp9t/diff/x: no space left on device"),
		errors.New("failed to solve: dockerfile parse error on line 3: unknown instruction: RUNN"),
		errors.New("failed to solve: failed to load cache key: invalid response status 403"),
		errors.New("connect to the engine's BuildKit: dial unix /var/run/docker.sock: connect: no such file or directory"),
		fmt.Errorf("failed to solve: snapshot x does not exist: %w", context.Canceled),
	}
}

// attempts is a builder that counts, and fails as often as it is told.
type attempts struct {
	errs  []error
	count int
}

func (a *attempts) Build(context.Context, generate.Image) (ID, error) {
	a.count++
	if a.count <= len(a.errs) {
		return "", a.errs[a.count-1]
	}
	return "sha256:made", nil
}

func TestBrokenCacheIsTriedOnceMore(t *testing.T) {
	for _, text := range broken() {
		usual, fresh := &attempts{errs: []error{&BuildError{Node: "asr", Step: "RUN x", Err: errors.New(text)}}}, &attempts{}
		var said []string
		r := NewRetry(usual, fresh, func(node, text string) { said = append(said, node+": "+text) })
		id, err := r.Build(t.Context(), generate.Image{Node: "asr"})
		if err != nil || id != "sha256:made" || usual.count != 1 || fresh.count != 1 {
			t.Errorf("%s: %s, %v after %d and %d attempts", text, id, err, usual.count, fresh.count)
		}
		if len(said) != 1 || !strings.HasPrefix(said[0], "asr: the engine's build cache is damaged (") || !strings.HasSuffix(said[0], "): built again without it") || len(said[0]) > 260 {
			t.Errorf("said %q", said)
		}
	}
}

func TestBrokenTwice(t *testing.T) {
	lost := errors.New(broken()[0])
	fresh := &attempts{errs: []error{lost, lost}}
	_, err := NewRetry(&attempts{errs: []error{lost}}, fresh, func(string, string) {}).Build(t.Context(), generate.Image{Base: "python:3.11-slim"})
	const hint = "docker builder prune --all, then pull or build python:3.11-slim again"
	if !errors.Is(err, lost) || !strings.HasSuffix(err.Error(), hint+")") || fresh.count != 1 {
		t.Errorf("%v after %d attempts", err, fresh.count)
	}
	step := &BuildError{Node: "a", Err: lost}
	_, err = NewRetry(&attempts{errs: []error{lost}}, &attempts{errs: []error{step}}, func(string, string) {}).Build(t.Context(), generate.Image{Base: "python:3.11-slim"})
	if !errors.Is(err, lost) || !strings.HasSuffix(step.Hint, hint) {
		t.Errorf("%v, hint %s", err, step.Hint)
	}
	user := errors.New("exit code: 1")
	if _, err := NewRetry(&attempts{errs: []error{lost}}, &attempts{errs: []error{user}}, func(string, string) {}).Build(t.Context(), generate.Image{}); err != user { //nolint:errorlint // the same error, as it is
		t.Errorf("got %v", err)
	}
}

func TestOthersAreNotTriedAgain(t *testing.T) {
	for _, err := range append(fine(), nil) {
		usual, fresh := &attempts{}, &attempts{}
		if err != nil {
			usual.errs = []error{err}
		}
		_, got := NewRetry(usual, fresh, func(_, text string) { t.Errorf("said %q", text) }).Build(t.Context(), generate.Image{})
		if got != err || usual.count != 1 || fresh.count != 0 { //nolint:errorlint // the same error, as it is
			t.Errorf("%v: %v after %d and %d attempts", err, got, usual.count, fresh.count)
		}
	}
}

func TestNoRetryAfterCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fresh := &attempts{}
	lost := errors.New(broken()[0])
	if _, err := NewRetry(&attempts{errs: []error{lost}}, fresh, func(string, string) {}).Build(ctx, generate.Image{}); !errors.Is(err, lost) || fresh.count != 0 {
		t.Errorf("%v after %d attempts", err, fresh.count)
	}
}

// TestDiskFull: one attempt, and no id.
func TestDiskFull(t *testing.T) {
	full := &attempts{errs: []error{fine()[3], fine()[3]}}
	img := generate.Image{Node: "a", Ref: "medianode/a:1", Key: "key"}
	ids, err := BuildAll(t.Context(), NewRetry(full, full, func(_, text string) { t.Errorf("said %q", text) }), []generate.Image{img}, 0)
	if err == nil || ids != nil || full.count != 1 {
		t.Errorf("%v, %v after %d attempts", ids, err, full.count)
	}
}

func TestProgressSays(t *testing.T) {
	for _, mode := range []string{"plain", "json"} {
		var out bytes.Buffer
		p, err := NewProgress(&out, mode)
		if err != nil {
			t.Fatal(err)
		}
		p.Say("asr", "built again")
		p.Say("tts", "built again")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if text := out.String(); !strings.Contains(text, "[asr] built again") || !strings.Contains(text, "[tts] built again") {
			t.Errorf("%s: %s", mode, text)
		}
	}
	var none *Progress
	none.Say("asr", "nobody looks")
}
