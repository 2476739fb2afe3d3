package base_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/base"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// mine gives a node with a docker mapping, and its image.
func mine(t *testing.T, fields string) (*pipeline.Docker, generate.Image) {
	t.Helper()
	spec, err := pipeline.Parse("pipeline.yaml", fmt.Appendf(nil, "version: v1\nnodes:\n  - {id: mn-test-on-base, node_type: 'code:Node', docker: {source: src, %s}}\n", fields), nil)
	if err != nil {
		t.Fatal(err)
	}
	source := fstest.MapFS{"src/code.py": {Data: fmt.Appendf(nil, "# %d\n", time.Now().UnixNano())}}
	plan, err := generate.Resolve(spec, "test", generate.Host{Arch: "amd64"}, source, fstest.MapFS{"__init__.py": {Data: []byte("")}})
	if err != nil {
		t.Fatal(err)
	}
	return spec.Nodes[0].Docker, plan.Images[0]
}

func build(t *testing.T, c *client.Client, img generate.Image) {
	t.Helper()
	began := time.Now()
	if _, err := (image.BuildKit{Engine: c, CA: os.Getenv("PIP_CERT"), Proxy: image.ProxyFromEnv(os.Environ())}).Build(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %v", img.Ref, time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if _, err := c.ImageRemove(context.Background(), img.Ref, client.ImageRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
}

func python(t *testing.T, ref, program string) string {
	t.Helper()
	out, err := exec.Command("docker", "run", "--rm", "--network=none", "--user=1234:1234", ref, "python", "-c", program).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", ref, err, out)
	}
	return strings.TrimSpace(string(out))
}

// sizes are the bytes of an image's layers that are not its base's, by the
// instruction that made them.
func sizes(t *testing.T, c *client.Client, ref string) map[string]int64 {
	t.Helper()
	got, err := c.ImageHistory(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]int64{}
	for _, h := range got.Items {
		sum[h.CreatedBy] += h.Size
	}
	return sum
}

const versions = `
import glob, importlib.metadata as m, sys
print("iceoryx2", m.version("iceoryx2"), "six", m.version("six"), "infos", len(glob.glob("/opt/venv/lib/python3*/site-packages/six-*")))
import iceoryx2, six
assert iceoryx2.__file__.startswith("/opt/venv/") and six.__version__ == m.version("six"), six.__file__
`

// A base that was made for it fits; nodes go on with what it has, and have
// another version if they ask for one.
func TestBaseForNodes(t *testing.T) {
	c := engine(t)
	d, _ := mine(t, "python_version: '3.11', python_packages: [six==1.16.0]")
	made, err := generate.Base(d, fmt.Sprintf("mn-test-base:%d", time.Now().UnixNano()), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	build(t, c, made)
	f, err := base.Prober{Engine: c, UID: 1000}.Probe(t.Context(), made.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if found := base.Judge(f, base.Need{Python: "3.11", Arch: "amd64", Iceoryx2: "0.10.0", UID: 1000, Debian: []string{"sl"}}); len(found) > 0 {
		t.Errorf("the base does not fit: %v", found)
	}
	if f.Python.Iceoryx2 != "0.10.0" || !strings.HasPrefix(f.Python.Venv, "3.11.") {
		t.Errorf("facts %+v", f.Python)
	}
	for version, want := range map[string]string{"==1.16.0": "iceoryx2 0.10.0 six 1.16.0 infos 1", "==1.17.0": "iceoryx2 0.10.0 six 1.17.0 infos 1", "": "iceoryx2 0.10.0 six 1.16.0 infos 1"} {
		t.Run("six"+version, func(t *testing.T) {
			_, img := mine(t, fmt.Sprintf("base_image: '%s', python_packages: ['six%s']", made.Ref, version))
			build(t, c, img)
			if got := python(t, img.Ref, versions); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			for step, size := range sizes(t, c, img.Ref) {
				if strings.Contains(step, "medianode-build") && size > 100_000 || strings.Contains(step, "COPY /layers/") && size > 500_000+sizes(t, c, made.Ref)[step] {
					t.Errorf("%d bytes in %q", size, step)
				}
			}
		})
	}
}

// An environment that cannot be gone on with is replaced, and nothing of it
// stays.
func TestBaseWithUselessEnvironment(t *testing.T) {
	c := engine(t)
	ref := odd(t, c, "FROM "+slim+"\nCOPY pyvenv.cfg old.py /opt/venv/\nCOPY old.py /opt/venv/lib/python3.9/site-packages/old.py\nUSER 1234\nENTRYPOINT [\"false\"]\nONBUILD RUN touch /tmp/triggered",
		generate.File{Path: "old.py", Mode: 0o644, Data: []byte("1/0\n")}, generate.File{Path: "pyvenv.cfg", Mode: 0o644, Data: []byte("home = /nowhere\nversion = 3.9.1\n")})
	_, img := mine(t, fmt.Sprintf("base_image: '%s', python_packages: [six==1.16.0]", ref))
	build(t, c, img)
	if got := python(t, img.Ref, versions+"import os; print(os.path.exists('/opt/venv/old.py'), os.path.exists('/opt/venv/lib/python3.9'), os.path.exists('/tmp/triggered'))"); got != "iceoryx2 0.10.0 six 1.16.0 infos 1\nFalse False True" {
		t.Errorf("got %q", got)
	}
}
