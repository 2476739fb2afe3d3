package generate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v4"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// nastyPipeline is a pipeline with each of the nasty values in env and params.
func nastyPipeline() (text string, values []string) {
	for _, v := range nasty() {
		// Not what a text may hold: see the language's own tests.
		if !strings.ContainsAny(v, "\r\u007f") {
			values = append(values, v)
		}
	}
	text = "version: v1\nnodes:\n  - id: a\n    node_type: m:C\n    params:\n"
	for i, v := range values {
		text += fmt.Sprintf("      V%d: %s\n", i, quoted(v))
	}
	text += "    docker:\n      source: src\n      env:\n"
	for i, v := range values {
		text += fmt.Sprintf("        V%d: %s\n", i, quoted(v))
	}
	return text, values
}

// TestValuesArriveThroughDockerCompose asks the real program.
func TestValuesArriveThroughDockerCompose(t *testing.T) {
	if out, err := exec.Command("docker", "compose", "version").CombinedOutput(); err != nil {
		t.Skipf("no compose plugin: %s", out)
	}
	text, values := nastyPipeline()
	name := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(name, file(t, must(t, text, attached(), code()), "compose.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("docker", "compose", "-f", name, "config", "--format", "json")
	c.Env = append(os.Environ(), "X=wrong")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var loaded struct {
		Services map[string]struct{ Environment map[string]*string }
	}
	if err := json.Unmarshal(out, &loaded); err != nil {
		t.Fatal(err)
	}
	got := loaded.Services["a"].Environment
	// What config prints is again a file to load.
	literal := func(name string) string { return strings.ReplaceAll(deref(got[name]), "$$", "$") }
	var params map[string]string
	if err := json.Unmarshal([]byte(literal(channel.EnvParams)), &params); err != nil {
		t.Fatal(err)
	}
	for i, want := range values {
		name := fmt.Sprintf("V%d", i)
		if literal(name) != want {
			t.Errorf("%q arrives as %q", want, literal(name))
		}
		if params[name] != want {
			t.Errorf("the param %q arrives as %q", want, params[name])
		}
	}
}

// serviceKeys are all keys of a service that are ever written. Whoever adds one
// says why a pipeline may have it: privileged, cap_add, devices, pid, ipc,
// userns_mode, sysctls, extra_hosts and the like give the machine away.
var serviceKeys = []string{
	"cap_drop", "command", "cpus", "deploy", "environment", "image", "init", "labels", "logging", "mem_limit", "memswap_limit", "network_mode", "networks",
	"pids_limit", "pull_policy", "read_only", "restart", "security_opt", "shm_size", "stop_grace_period", "stop_signal", "tmpfs", "user", "volumes",
}

// onlyKnownKeys holds a compose file to the keys that this package means.
func onlyKnownKeys(t *testing.T, text []byte) {
	t.Helper()
	var doc struct {
		Top      map[string]any `yaml:",inline"`
		Services map[string]map[string]any
		Volumes  map[string]map[string]any
		Networks map[string]map[string]any
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	known := func(where string, keys []string, allowed ...string) {
		for _, k := range keys {
			if !slices.Contains(allowed, k) {
				t.Errorf("%s: key %q", where, k)
			}
		}
	}
	known("file", keys(doc.Top), "name", "x-medianode")
	for name, s := range doc.Services {
		known("service "+name, keys(s), serviceKeys...)
		labels, _ := s["labels"].(map[string]any)
		known("labels of "+name, keys(labels), "dev.medianode.node", "dev.medianode.key", "dev.medianode.uid")
		volumes, _ := s["volumes"].([]any)
		for _, v := range volumes {
			v, _ := v.(map[string]any)
			known("volume of "+name, keys(v), "type", "source", "target", "read_only", "bind", "volume")
			bind, _ := v["bind"].(map[string]any)
			known("bind of "+name, keys(bind), "create_host_path")
		}
		if deploy, ok := s["deploy"].(map[string]any); ok {
			known("deploy of "+name, keys(deploy), "resources")
			resources, _ := deploy["resources"].(map[string]any)
			known("resources of "+name, keys(resources), "reservations")
			reservations, _ := resources["reservations"].(map[string]any)
			known("reservations of "+name, keys(reservations), "devices")
		}
	}
	for name, v := range doc.Volumes {
		known("volume "+name, keys(v), "name", "driver", "driver_opts", "labels")
	}
	for name, n := range doc.Networks {
		known("network "+name, keys(n), "name", "labels")
	}
}

func keys(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// TestEmittedKeys is both ways: no other key is ever written, and each of them
// is by some pipeline of testdata.
func TestEmittedKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, dir := range cases(t) {
		for _, host := range []generate.Host{attached(), portable()} {
			out := file(t, must(t, text(t, dir), host, os.DirFS(dir)), "compose.yaml")
			onlyKnownKeys(t, out)
			var doc struct{ Services map[string]map[string]any }
			if err := yaml.Unmarshal(out, &doc); err != nil {
				t.Fatal(err)
			}
			for _, s := range doc.Services {
				for k := range s {
					seen[k] = true
				}
			}
		}
	}
	for _, k := range serviceKeys {
		if !seen[k] {
			t.Errorf("no pipeline of testdata has the key %s", k)
		}
	}
}

// everyByte is all that a plan writes.
func everyByte(t *testing.T, p *generate.Plan) []byte {
	t.Helper()
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	all.WriteString(p.String())
	for _, f := range files {
		all.WriteString(f.Path)
		all.Write(f.Data)
	}
	for _, img := range p.Images {
		all.WriteString(img.Ref + img.Base)
	}
	return all.Bytes()
}

// TestSecretsStayOutside holds that what the caller's environment and the
// project's own secret files hold is in nothing that is written, and that a
// variable is named, not copied.
func TestSecretsStayOutside(t *testing.T) {
	const canary = "canary-8c1f"
	t.Setenv("API_TOKEN", canary)
	t.Setenv("SSL_CERT_FILE", "/etc/"+canary+".pem")
	t.Setenv("PIP_CERT", "/etc/"+canary+".pem")
	t.Setenv("HTTPS_PROXY", "http://user:"+canary+"@proxy.example")
	files := code()
	for _, name := range []string{".env", ".env.local", ".git/config", "key.pem", "id_rsa", "id_ed25519", "sub/.env", "sub/deep/.git/HEAD", "node_modules/x.js", ".venv/pyvenv.cfg", "x.pyc"} {
		files["src/"+name] = &fstest.MapFile{Data: []byte(canary)}
	}
	files["secret"], files["data/secret"] = &fstest.MapFile{Data: []byte(canary)}, &fstest.MapFile{Data: []byte(canary)}
	text := one("      env_from: [API_TOKEN]\n      volumes: [{host_path: data, container_path: /data}]\n      python_packages: [numpy]\n      system_dependencies: [gcc]\n")
	for _, host := range []generate.Host{attached(), portable()} {
		p := must(t, text, host, files)
		all := everyByte(t, p)
		if at := bytes.Index(all, []byte(canary)); at >= 0 {
			t.Errorf("%s", all[max(0, at-100):at+20])
		}
		compose := string(file(t, p, "compose.yaml"))
		if !strings.Contains(compose, "      API_TOKEN: null\n") || !strings.Contains(p.String(), "from the caller's environment: API_TOKEN") {
			t.Errorf("the variable is not named:\n%s", compose)
		}
	}
}

// TestNoFrontendOfOthers holds that nothing in a project makes a Dockerfile ask
// for another frontend or be somebody else's.
func TestNoFrontendOfOthers(t *testing.T) {
	files := code()
	for _, name := range []string{"src/Dockerfile", "src/.dockerignore", "Dockerfile", ".dockerignore"} {
		files[name] = &fstest.MapFile{Data: []byte("# syntax=evil/frontend\nFROM evil\n")}
	}
	p := must(t, one(""), attached(), files)
	if bytes.Contains(p.Images[0].Dockerfile, []byte("syntax")) || !bytes.HasPrefix(p.Images[0].Dockerfile, []byte("# Generated by docker medianode.\n")) {
		t.Errorf("%s", p.Images[0].Dockerfile)
	}
	for _, f := range p.Images[0].Context {
		if f.Path == "Dockerfile" || f.Path == ".dockerignore" {
			t.Errorf("the context holds %s", f.Path)
		}
	}
}

// TestFilesStayBelow holds that every path that is written is relative and goes
// nowhere but down, whatever the ids.
func TestFilesStayBelow(t *testing.T) {
	for _, dir := range cases(t) {
		files, err := must(t, text(t, dir), attached(), os.DirFS(dir)).Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !fs.ValidPath(f.Path) {
				t.Errorf("writes %q", f.Path)
			}
		}
	}
}
