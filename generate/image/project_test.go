package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// probe tells what a container looks like from inside.
const probe = `
import iceoryx2, json, os, socket
iox = iceoryx2.config.global_config().global_cfg
node = json.loads(os.environ["MEDIANODE_NODE"])
def attempt(action):
    try:
        action()
        return "ok"
    except OSError as e:
        return e.strerror
root = node["domain"]["root"]
shm = os.statvfs("/dev/shm")
open("/dev/shm/from-container", "w").close()
open(root + "/from-container", "w").close()
os.makedirs(os.environ["XDG_CACHE_HOME"])
print(json.dumps({
    "uid": os.getuid(), "price": os.environ["PRICE"], "params": json.loads(os.environ["MEDIANODE_PARAMS"]),
    "shm_mode": oct(os.stat("/dev/shm").st_mode & 0o7777), "shm_uid": os.stat("/dev/shm").st_uid, "shm_size": shm.f_blocks * shm.f_frsize,
    "same_root": os.path.exists("/tmp/iceoryx2/from-container"),
    "prefix": str(iox.prefix), "root": str(iox.root_path),
    "app": attempt(lambda: open("/app/x", "w")), "models": attempt(lambda: open("/models/x", "w")),
    "weights": open("/models/model.bin").read(),
    "interfaces": [name for _, name in socket.if_nameindex()],
}))
`

const probed = `
version: v1
nodes:
  - id: Probe_1
    node_type: code:Node
    params: {cost: "$5 ${HOME}", rate: 1.0}
    docker:
      source: src
      env: {PRICE: "$5 $$ ${PRICE}"}
      volumes: [{host_path: models, container_path: /models}]
      resource_limits: {memory_mb: 128, cpu_cores: 0.5}
`

func TestContainer(t *testing.T) {
	c := engine(t)
	spec, err := pipeline.Parse("pipeline.yaml", []byte(probed), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []generate.Form{generate.Attached, generate.Portable} {
		t.Run(form.String(), func(t *testing.T) {
			name := "mn-test-" + form.String() + unique()
			dir := t.TempDir()
			host := generate.Host{UID: 1234, GID: 1234, Arch: "amd64", Form: form, Base: dir}
			if form == generate.Attached {
				host.Dir = sharedMemory(t, host.UID)
			}
			sdk := fstest.MapFS{"__init__.py": {Data: []byte("")}, "__main__.py": {Data: []byte(probe)}}
			source := fstest.MapFS{"src/code.py": {Data: []byte("")}, "models/model.bin": {Data: []byte("weights")}}
			plan, err := generate.Resolve(spec, name, host, source, sdk)
			if err != nil {
				t.Fatal(err)
			}
			remove(t, c, plan.Images)
			if _, err := image.BuildAll(t.Context(), builder(t, c, nil), plan.Images, 0); err != nil {
				t.Fatal(err)
			}
			write(t, dir, plan)
			if err := os.CopyFS(filepath.Join(dir, "models"), fstest.MapFS{"model.bin": source["models/model.bin"]}); err != nil {
				t.Fatal(err)
			}
			check(t, plan, run(t, filepath.Join(dir, "compose.yaml")))
			if form == generate.Attached {
				if _, err := os.Stat(filepath.Join(host.Dir, "shm", "from-container")); err != nil {
					t.Error("the host does not see the container's file: ", err)
				}
			}
		})
	}
}

// sharedMemory makes a project's directory for a user.
func sharedMemory(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "medianode-test-")
	if err != nil {
		t.Skip("no shared memory here: ", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []string{"", "shm", "iox"} {
		d = filepath.Join(dir, d)
		if err := errors.Join(os.MkdirAll(d, 0o700), os.Chown(d, uid, uid)); err != nil {
			t.Skip("cannot give a directory away: ", err)
		}
	}
	return dir
}

func write(t *testing.T, dir string, plan *generate.Plan) {
	t.Helper()
	files, err := plan.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, f.Data, f.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// run brings the project up until its container ends and gives its output.
func run(t *testing.T, file string) []byte {
	t.Helper()
	compose := func(ctx context.Context, args ...string) ([]byte, error) {
		c := exec.CommandContext(ctx, "docker", append([]string{"compose", "-f", file}, args...)...)
		var stderr strings.Builder
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, stderr.String())
		}
		return out, err
	}
	t.Cleanup(func() {
		if _, err := compose(context.Background(), "down", "-v", "-t", "0"); err != nil {
			t.Error(err)
		}
	})
	_, up := compose(t.Context(), "up", "--abort-on-container-exit", "--exit-code-from", "Probe_1")
	out, err := compose(t.Context(), "logs", "--no-log-prefix", "--no-color")
	if up != nil || err != nil {
		t.Fatalf("%v, %v: %s", up, err, out)
	}
	return out
}

func check(t *testing.T, plan *generate.Plan, output []byte) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(output, &got); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for key, want := range map[string]any{
		"uid": float64(plan.UID), "price": "$5 $$ ${PRICE}", "shm_mode": "0o700", "shm_uid": float64(plan.UID), "same_root": true,
		"app": "Read-only file system", "models": "Read-only file system", "weights": "weights",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if got := fmt.Sprint(got["params"]); got != "map[cost:$5 ${HOME} rate:1]" {
		t.Errorf("params %s", got)
	}
	if plan.Form == generate.Portable && got["shm_size"] != float64(plan.SharedMemory) {
		t.Errorf("shared memory has %v bytes, want %v", got["shm_size"], plan.SharedMemory)
	}
	for key, want := range map[string]string{"prefix": plan.Domain.Prefix, "root": plan.Domain.Root} {
		if !strings.Contains(fmt.Sprint(got[key]), want) {
			t.Errorf("iceoryx2's %s is %v, want %s", key, got[key], want)
		}
	}
	if got := fmt.Sprint(got["interfaces"]); got != "[lo]" {
		t.Errorf("interfaces %s", got)
	}
}
