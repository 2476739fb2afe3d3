package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

const base = "python:3.11-slim"

// engine connects to an engine that has the base image, or skips.
func engine(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Skip("no engine: ", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.Ping(t.Context(), client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		t.Skip("no engine: ", err)
	}
	if _, err := c.ImageInspect(t.Context(), base); err != nil {
		t.Skip("the engine has no ", base, ": ", err)
	}
	return c
}

// images resolves one node for each docker mapping; mark makes the recipe new.
func images(t *testing.T, mark string, dockers ...string) []generate.Image {
	t.Helper()
	text := "version: v1\nnodes:\n"
	for i, d := range dockers {
		text += fmt.Sprintf("  - {id: node%d, node_type: 'code:Node', docker: {source: src, %s}}\n", i, d)
	}
	spec, err := pipeline.Parse("pipeline.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	source := fstest.MapFS{"src/code.py": {Data: []byte("import iceoryx2\nprint('code', '" + mark + "', iceoryx2.__name__)\n")}}
	sdk := fstest.MapFS{
		"__init__.py": {Data: []byte("NAME = 'sdk'\n")},
		"__main__.py": {Data: []byte("import os, medianode, code\nprint(medianode.NAME, os.getuid(), os.getcwd())\n")},
	}
	p, err := generate.Resolve(spec, "test", generate.Host{Arch: "amd64"}, source, sdk)
	if err != nil {
		t.Fatal(err)
	}
	return p.Images
}

func builder(t *testing.T, c *client.Client, log io.Writer) image.BuildKit {
	t.Helper()
	b := image.BuildKit{Engine: c, CA: os.Getenv("PIP_CERT"), Proxy: image.ProxyFromEnv(os.Environ())}
	b.Proxy["FTP_PROXY"] = "http://user:marker@proxy.invalid" // used by nothing
	if log != nil {
		p, err := image.NewProgress(log, "plain")
		if err != nil {
			t.Fatal(err)
		}
		b.Progress = p
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return b
}

func remove(t *testing.T, c *client.Client, list []generate.Image) {
	t.Cleanup(func() {
		for _, img := range list {
			_, err := c.ImageRemove(context.Background(), img.Ref, client.ImageRemoveOptions{Force: true})
			if err != nil && !strings.Contains(err.Error(), "No such image") {
				t.Error(err)
			}
		}
	})
}

func unique() string { return fmt.Sprint(time.Now().UnixNano()) }

func TestBuild(t *testing.T) {
	c := engine(t)
	list := images(t, unique(), "python_packages: [six==1.16.0]", "system_dependencies: [libsndfile1]")
	remove(t, c, list)
	var log bytes.Buffer
	p, err := image.NewProgress(&log, "plain")
	if err != nil {
		t.Fatal(err)
	}
	b := builder(t, c, nil)
	b.Progress = p
	began := time.Now()
	ids, err := image.BuildAll(t.Context(), b, list, 0)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("two images: %v", time.Since(began))
	for _, want := range []string{"[node0] [builder", "[node1] [runtime"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the progress has no %q:\n%s", want, log.String())
		}
	}
	t.Run("runs", func(t *testing.T) {
		out, err := exec.Command("docker", "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--user=1234:1234", list[0].Ref).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "sdk 1234 /app") || !strings.Contains(string(out), "iceoryx2") {
			t.Errorf("%v: %s", err, out)
		}
		out, err = exec.Command("docker", "run", "--rm", list[0].Ref, "python", "-c", "import six; print(six.__version__)").CombinedOutput()
		if err != nil || string(out) != "1.16.0\n" {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("again from the cache", func(t *testing.T) {
		began := time.Now()
		again, err := image.BuildAll(t.Context(), builder(t, c, nil), list, 0)
		if err != nil || !slices.Equal(again, ids) {
			t.Errorf("got %v, %v, want %v", again, err, ids)
		}
		t.Logf("%v", time.Since(began))
	})
	t.Run("certificates and proxy are in no cache key", func(t *testing.T) {
		again, err := image.BuildAll(t.Context(), image.BuildKit{Engine: c}, list, 0)
		if err != nil || !slices.Equal(again, ids) {
			t.Errorf("got %v, %v, want %v", again, err, ids)
		}
	})
	t.Run("no trace", func(t *testing.T) { noTrace(t, c, list) })
}

// noTrace looks for the build's certificates, proxy and helpers in what the
// images consist of.
func noTrace(t *testing.T, c *client.Client, list []generate.Image) {
	for _, img := range list {
		config, err := c.ImageInspect(t.Context(), img.Ref)
		if err != nil {
			t.Fatal(err)
		}
		history, err := c.ImageHistory(t.Context(), img.Ref)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]any{config.Config, history.Items})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"PIP_CERT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE=", "CaInfo", "BEGIN CERT", "marker"} {
			if strings.Contains(strings.ToUpper(string(text)), strings.ToUpper(name)) {
				t.Errorf("%s: %s in config or history: %s", img.Ref, name, text)
			}
		}
		for _, path := range added(t, c, img.Ref) {
			for _, trace := range []string{"run/secrets", "medianode-build", "root/.cache", "var/cache/apt/archives/", "var/lib/apt/lists/", "docker-clean", "var/log/apt", "requirements.txt"} {
				if strings.Contains(path, trace) && !strings.HasSuffix(path, "/") {
					t.Errorf("%s: %s is in a layer", img.Ref, path)
				}
			}
		}
	}
}

// added are the paths in the layers of an image that are not its base's.
func added(t *testing.T, c *client.Client, ref string) []string {
	t.Helper()
	known := map[string]bool{}
	layers(t, c, base, func(layer string, _ io.Reader) { known[layer] = true })
	var paths []string
	layers(t, c, ref, func(layer string, blob io.Reader) {
		if !known[layer] {
			contents(blob, func(path string) { paths = append(paths, path) })
		}
	})
	if !slices.Contains(paths, "app/code.py") {
		t.Fatalf("the code is in no layer: %d paths", len(paths))
	}
	return paths
}

func layers(t *testing.T, c *client.Client, ref string, each func(layer string, blob io.Reader)) {
	t.Helper()
	r, err := c.ImageSave(t.Context(), []string{ref})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(h.Name) == "blobs/sha256" {
			each(h.Name, archive)
		}
	}
}

func contents(blob io.Reader, each func(string)) {
	plain, err := decompress(blob)
	if err != nil {
		return
	}
	for layer := tar.NewReader(plain); ; {
		h, err := layer.Next()
		if err != nil { // the end, or a blob that is no layer
			return
		}
		each(h.Name)
	}
}

func TestFailure(t *testing.T) {
	c := engine(t)
	list := images(t, unique(), "python_packages: [this-package-does-not-exist-anywhere==1.0]")
	remove(t, c, list)
	_, err := image.BuildAll(t.Context(), builder(t, c, nil), list, 1)
	var failed *image.BuildError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	t.Logf("%v\nstep %s\nlog %s", err, failed.Step, strings.Join(failed.Log, "\n"))
	if failed.Node != "node0" || !strings.Contains(failed.Step, "pip") || !strings.Contains(strings.Join(failed.Log, "\n"), "this-package-does-not-exist-anywhere") {
		t.Errorf("got %+v", failed)
	}
	if want := "no package index has this-package-does-not-exist-anywhere for this Python"; !strings.HasPrefix(failed.Hint, want) {
		t.Errorf("hint %s", failed.Hint)
	}
}

func TestMissingBase(t *testing.T) {
	c := engine(t)
	list := images(t, unique(), "base_image: 'registry.invalid/no/such:1'")
	_, err := image.BuildAll(t.Context(), builder(t, c, nil), list, 1)
	if err == nil || !strings.Contains(err.Error(), "registry.invalid/no/such:1") {
		t.Errorf("got %v", err)
	}
}

func TestWrongPythonInBase(t *testing.T) {
	c := engine(t)
	list := images(t, unique(), "base_image: 'python:3.11-slim', python_version: 3.12")
	_, err := image.BuildAll(t.Context(), builder(t, c, nil), list, 1)
	var failed *image.BuildError
	if !errors.As(err, &failed) || !strings.Contains(strings.Join(failed.Log, "\n"), "base_image has Python 3.11, but docker.python_version is 3.12") {
		t.Errorf("got %v", err)
	}
}

func TestCancel(t *testing.T) {
	c := engine(t)
	list := images(t, unique(), "system_dependencies: [hello]", "system_dependencies: [sl]")
	remove(t, c, list)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := image.BuildAll(ctx, builder(t, c, nil), list, 0); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

// TestSameSizeOtherBytes holds that BuildKit is never given stale files: size
// and time of both contexts are equal.
func TestSameSizeOtherBytes(t *testing.T) {
	c := engine(t)
	for _, mark := range []string{"aaaa", "bbbb", "aaaa"} {
		list := images(t, mark, "python_version: 3.11")
		remove(t, c, list)
		if _, err := image.BuildAll(t.Context(), builder(t, c, nil), list, 0); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("docker", "run", "--rm", list[0].Ref).CombinedOutput(); err != nil || !strings.Contains(string(out), mark) {
			t.Errorf("want %s: %v: %s", mark, err, out)
		}
	}
}
