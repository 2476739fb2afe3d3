package generate_test

import (
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// dockerOf is the docker mapping of one node.
func dockerOf(t *testing.T, fields string) *pipeline.Docker {
	t.Helper()
	spec, err := pipeline.Parse("pipeline.yaml", []byte("version: v1\nnodes:\n  - {id: base, node_type: 'base:Base', docker: {source: ., "+fields+"}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return spec.Nodes[0].Docker
}

func TestBase(t *testing.T) {
	img, err := generate.Base(dockerOf(t, "python_version: 3.12, python_packages: [six, numpy==2.3.5], system_dependencies: [libsndfile1], build_dependencies: [gcc]"), "team/base:1", "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	text := string(img.Dockerfile)
	for _, want := range []string{
		"FROM python:3.12-slim AS builder\n", `"venv", "iceoryx2==0.10.0"`, `"apt", "gcc"`, `"apt", "libsndfile1"`, `"-r", "/run/requirements.txt"`,
		"COPY --from=builder --link /layers/common/root/ /\n", "COPY --from=builder --link /layers/5/root/ /\n", "ENV PATH=\"/opt/venv/bin:$PATH\"\n", `LABEL dev.medianode.python="3.12"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, unwanted := range []string{"USER", "ENTRYPOINT", "CMD", "/app", "sdk"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%q in\n%s", unwanted, text)
		}
	}
	if img.Ref != "team/base:1" || img.Base != "python:3.12-slim" || img.Platform != "linux/amd64" || len(img.Context) != 10 {
		t.Errorf("got %+v", img)
	}
	for _, f := range img.Context {
		if f.Path == "requirements.txt" && string(f.Data) != "numpy==2.3.5\nsix\n" {
			t.Errorf("requirements %q", f.Data)
		}
	}
}

// The key of a base is that of its recipe: the order of packages and its name
// say nothing.
func TestBaseKey(t *testing.T) {
	key := func(fields, ref string) string {
		img, err := generate.Base(dockerOf(t, fields), ref, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		return img.Key
	}
	one := key("python_packages: [a, b]", "x:1")
	if key("python_packages: [b, a]", "y:2") != one {
		t.Error("another key for the same recipe")
	}
	for _, other := range []string{"python_packages: [a]", "python_packages: [a], system_dependencies: [bb]", "python_packages: [a, b], python_version: 3.12", "python_packages: [a, b], base_image: 'own:1'"} {
		if key(other, "x:1") == one {
			t.Errorf("%s: the same key", other)
		}
	}
}

// A node on a base of its author's has nothing of it that its packages replace;
// the standard base has nothing to remove.
func TestNodeOnBase(t *testing.T) {
	for _, fields := range []string{"base_image: 'own:1'", "python_version: 3.11"} {
		img, err := generate.Base(dockerOf(t, fields), "x:1", "")
		if err != nil {
			t.Fatal(err)
		}
		own := strings.HasPrefix(fields, "base_image")
		for _, verb := range []string{`"remove", "/run/medianode-gone"`, "--mount=type=bind,from=builder,source=/layers/gone,target=/run/medianode-gone", "USER 0:0"} {
			if strings.Contains(string(img.Dockerfile), verb) != own {
				t.Errorf("%s: %q there: %v\n%s", fields, verb, !own, img.Dockerfile)
			}
		}
	}
}
