package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	bk "github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"

	"github.com/medianode/docker-medianode/generate"
)

func TestTreeIsValidForFsutil(t *testing.T) {
	files := []generate.File{
		{Path: "app/a.py", Mode: 0o644, Data: []byte("a")}, {Path: "app-b/c", Mode: 0o755, Data: []byte("cc")},
		{Path: "app/sub/x/y", Mode: 0o644}, {Path: "app.txt", Mode: 0o644}, {Path: "app/sub.txt", Mode: 0o644},
	}
	var seen []string
	var v fsutil.Validator
	err := newTree(files).Walk(t.Context(), "", func(path string, d fs.DirEntry, err error) error {
		info, infoErr := d.Info()
		seen = append(seen, path)
		return errors.Join(err, infoErr, v.HandleChange(fsutil.ChangeKindAdd, path, info, nil))
	})
	if err != nil {
		t.Error(err)
	}
	if want := "[app app/a.py app/sub app/sub/x app/sub/x/y app/sub.txt app-b app-b/c app.txt]"; fmt.Sprint(seen) != want {
		t.Errorf("walked %v, want %s", seen, want)
	}
	r, err := newTree(files).Open("app-b/c")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(r); string(data) != "cc" || err != nil {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := newTree(files).Open("app"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened a directory: %v", err)
	}
}

func TestTreeSkips(t *testing.T) {
	tree := newTree([]generate.File{{Path: "a/1"}, {Path: "a/b/2"}, {Path: "a/c/3"}, {Path: "d/4"}})
	for _, c := range []struct {
		target, at string
		answer     error
		want       string
	}{
		{"", "", nil, "[a a/1 a/b a/b/2 a/c a/c/3 d d/4]"},
		{"", "a/b", fs.SkipDir, "[a a/1 a/b a/c a/c/3 d d/4]"},
		{"", "a/1", fs.SkipDir, "[a a/1 d d/4]"},
		{"", "a/b", fs.SkipAll, "[a a/1 a/b]"},
		{"a/b", "", nil, "[a/b a/b/2]"},
	} {
		var seen []string
		err := tree.Walk(t.Context(), c.target, func(path string, _ fs.DirEntry, _ error) error {
			seen = append(seen, path)
			if path == c.at {
				return c.answer
			}
			return nil
		})
		if err != nil || fmt.Sprint(seen) != c.want {
			t.Errorf("%+v: %v, %v", c, seen, err)
		}
	}
}

// builderFunc makes a builder of a function.
type builderFunc func(context.Context, generate.Image) (ID, error)

func (f builderFunc) Build(ctx context.Context, img generate.Image) (ID, error) { return f(ctx, img) }

func TestFirstFailureStopsTheOthers(t *testing.T) {
	broken := errors.New("broken")
	b := builderFunc(func(ctx context.Context, img generate.Image) (ID, error) {
		if img.Node == "bad" {
			return "", &BuildError{Node: img.Node, Step: "RUN x", Err: broken}
		}
		<-ctx.Done()
		return "", &BuildError{Node: img.Node, Err: fmt.Errorf("solve: %w", ctx.Err())}
	})
	_, err := BuildAll(t.Context(), b, []generate.Image{{Node: "a"}, {Node: "bad"}, {Node: "c"}}, 0)
	if !errors.Is(err, broken) || err.Error() != "build bad: RUN x: broken" {
		t.Errorf("got %v", err)
	}
}

func TestCancelledBuildAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := builderFunc(func(context.Context, generate.Image) (ID, error) { return "", errors.New("built") })
	if _, err := BuildAll(ctx, b, []generate.Image{{Node: "a"}}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestParallelism(t *testing.T) {
	running := make(chan struct{}, 2)
	b := builderFunc(func(_ context.Context, img generate.Image) (ID, error) {
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
		default:
			return "", errors.New("more than two at once")
		}
		return ID(img.Node), nil
	})
	images := make([]generate.Image, 20)
	for i := range images {
		images[i].Node = fmt.Sprint(i)
	}
	ids, err := BuildAll(t.Context(), b, images, 2)
	if err != nil || len(ids) != 20 || ids[7] != "7" {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestWatchKeepsTheLastLines(t *testing.T) {
	var shown bytes.Buffer
	p, err := NewProgress(&shown, "plain")
	if err != nil {
		t.Fatal(err)
	}
	w := newWatch("asr", p)
	now := time.Now()
	step := digest.FromString("step")
	vertex := func(reason string) []*bk.Vertex {
		return []*bk.Vertex{{Digest: step, Name: `[builder 2/3] RUN --mount=type=cache,target=/x ["pip"]`, Started: &now, Error: reason}}
	}
	w.updates <- &bk.SolveStatus{Vertexes: vertex("")}
	for i := range 30 {
		w.updates <- &bk.SolveStatus{Logs: []*bk.VertexLog{{Vertex: step, Data: fmt.Appendf(nil, "line\x1b %d\npart", i), Timestamp: now}}}
	}
	w.updates <- &bk.SolveStatus{Vertexes: vertex("exit code: 1")}
	close(w.updates)
	<-w.done
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var failed *BuildError
	if err := w.failure(errors.New("process x did not complete successfully: exit code: 1")); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if len(failed.Log) != logLines || failed.Log[0] != "partline 11" || failed.Log[logLines-1] != "part" {
		t.Errorf("log %q", failed.Log)
	}
	if got := failed.Error(); got != `build asr: [builder 2/3] RUN ["pip"]: exit code: 1` {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(shown.String(), `[asr] [builder 2/3] RUN ["pip"]`) {
		t.Errorf("shown:\n%s", shown.String())
	}
}

// A cache that is not there yet is no error, neither shown nor blamed for a
// failure; one that cannot be read is shown.
func TestWatchOfAMissingCache(t *testing.T) {
	var shown bytes.Buffer
	p, err := NewProgress(&shown, "plain")
	if err != nil {
		t.Fatal(err)
	}
	w := newWatch("asr", p)
	now := time.Now()
	for ref, reason := range map[string]string{
		"ghcr.io/me/cache:asr": "failed to configure registry cache importer: ghcr.io/me/cache:asr: not found",
		"ghcr.io/me/other:asr": "failed to configure registry cache importer: unauthorized",
	} {
		v := &bk.Vertex{Digest: digest.FromString(ref), Name: "importing cache manifest from " + ref, Started: &now, Completed: &now, Error: reason}
		w.updates <- &bk.SolveStatus{Vertexes: []*bk.Vertex{v}}
	}
	close(w.updates)
	<-w.done
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	text := shown.String()
	if !strings.Contains(text, "[asr] no cache yet at ghcr.io/me/cache:asr") || strings.Contains(text, "not found") || !strings.Contains(text, "ERROR: failed to configure registry cache importer: unauthorized") {
		t.Errorf("shown:\n%s", text)
	}
	var failed *BuildError
	if err := w.failure(errors.New("x")); !errors.As(err, &failed) || failed.Step != "" {
		t.Errorf("got %v", err)
	}
}

func TestQuietProgressThatNothingUses(t *testing.T) {
	for _, mode := range []string{"auto", "plain", "json", "quiet"} {
		var out bytes.Buffer
		p, err := NewProgress(&out, mode)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil || out.Len() > 0 {
			t.Errorf("%s: %v, %q", mode, err, out.String())
		}
	}
	if _, err := NewProgress(io.Discard, "loud"); err == nil {
		t.Error("an unknown mode passed")
	}
}

func TestProxyFromEnv(t *testing.T) {
	got := ProxyFromEnv([]string{"HTTP_PROXY=http://p", "no_proxy=a,b", "PATH=/bin", "HTTPS_PROXY="})
	if fmt.Sprint(got) != "map[HTTP_PROXY:http://p no_proxy:a,b]" {
		t.Errorf("got %v", got)
	}
}
