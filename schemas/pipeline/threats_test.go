package pipeline_test

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// The threats that a stranger's file brings, each with what must be refused.
// T1, files that cost far more to read than to write, is TestThreatT1HostileFiles.

// refuses parses a node with this docker: mapping and expects a mistake at a
// path that begins so.
func refuses(t *testing.T, at, docker string) {
	t.Helper()
	text := "version: v1\nnodes:\n  - {id: a, node_type: m:C, docker: {" + docker + "}}\n"
	_, err := pipeline.Parse("p.yaml", []byte(text), builtins())
	found, _ := pipeline.AsDiagnostics(err)
	if !slices.ContainsFunc(found, func(d *pipeline.Diagnostic) bool { return strings.HasPrefix(d.Path, "nodes[0]."+at) }) {
		t.Errorf("%s: %v", docker, err)
	}
}

// quoted is text as YAML reads it too, every sign but those of ASCII escaped.
func quoted(s string) string { return strconv.QuoteToASCII(s) }

// shell is what leaves a word for a shell, a Dockerfile or a file of pip.
func shell() []string {
	return []string{
		"x\nRUN id", "x; id", "x && id", "x | id", "$(id)", "`id`", "${IFS}id", "x \\", "x\\\nid", "x #", "x\x00y", "x\ry", "'x", "\"x",
		"x > /etc/y", "x\u2028y", "x\u0085y", "-x", "--x=y", "*", "x y z", "!x", "~",
	}
}

func TestThreatT2Injection(t *testing.T) {
	for _, bad := range shell() {
		q := quoted(bad)
		refuses(t, "docker.python_packages[0]", "source: ., python_packages: ["+q+"]")
		refuses(t, "docker.system_dependencies[0]", "source: ., system_dependencies: ["+q+"]")
		refuses(t, "docker.build_dependencies[0]", "source: ., build_dependencies: ["+q+"]")
		refuses(t, "docker.base_image", "source: ., base_image: "+q)
		refuses(t, "docker.image", "image: "+q)
		refuses(t, "docker.python_version", "source: ., python_version: "+q)
		refuses(t, "docker.env", "source: ., env: {"+q+": x}")
		refuses(t, "docker.env_from[0]", "source: ., env_from: ["+q+"]")
		refuses(t, "docker.gpu_devices[0]", "source: ., gpu_devices: ["+q+"]")
		refuses(t, "docker.network", "source: ., network: "+q)
		for _, node := range []string{
			"id: " + q + ", node_type: NullSink", "id: a, node_type: " + quoted("m:"+bad), "id: a, node_type: " + quoted(bad+":C"),
			"id: a, node_type: NullSink, inputs: {" + q + ": {}}",
		} {
			if _, err := pipeline.Parse("p.yaml", []byte("version: v1\nnodes: [{"+node+"}]\n"), builtins()); err == nil {
				t.Errorf("%s passes", node)
			}
		}
	}
	// A command goes to the container as a list, where a shell's signs are text;
	// what ends a line is none.
	for _, bad := range []string{"x\ny", "x\x00", "\x1b[0m"} {
		refuses(t, "docker.command[0]", "image: x, command: ["+quoted(bad)+"]")
	}
}

func TestThreatT3Pip(t *testing.T) {
	for _, bad := range []string{
		"-r /etc/passwd", "-e git+https://x/y", "--index-url https://x", "--extra-index-url=https://x", "--pre", "-i https://x", "-c x.txt",
		"x @ file:///etc/passwd", "x @ https://x/y.whl", "x@git+ssh://x/y", "https://x/y.whl", "git+https://x/y", "file:///x", "./x", "../x", "/x",
		"x.whl", "requirements.txt", "x --hash=sha256:0", "x\n--index-url https://x", "x ; --pre", "x[a,--pre]", "x==1 --pre", "x\\y", "x==1/../y",
	} {
		refuses(t, "docker.python_packages[0]", "source: ., python_packages: ["+quoted(bad)+"]")
	}
}

// Whether an absolute path may be mounted and where a symbolic link leads is for
// the caller, who knows the machine.
func TestThreatT5Mounts(t *testing.T) {
	for _, bad := range []string{
		"..", "../x", "x/../../y", "./..", "/x/..", "/x/../y", "//", "/./", "~", "~/x", "~root", `\\x\y`, `C:\x`, "c:/x", "", "\x00", "a\nb",
		"/var/run/docker.sock", "/run/docker.sock", "docker.sock", "x/docker.sock", "/run/containerd/containerd.sock", "/run/user/1/docker.sock",
	} {
		refuses(t, "docker.volumes[0].host_path", "source: ., volumes: [{host_path: "+quoted(bad)+", container_path: /x}]")
	}
	for _, bad := range []string{
		"x", "..", "/", "/..", "/x/..", "//x", "/x/", "/proc", "/proc/1", "/sys", "/sys/fs/cgroup", "/dev", "/dev/shm", "/dev/mem", "/etc", "/usr", "/tmp",
		"/opt/venv", "/tmp/mn-0", "/tmp/iceoryx2", "/etc/iceoryx2", "/run", "/var", "/var/run/docker.sock", "/x:/y", "/x\ny", "/x\\y", "",
	} {
		refuses(t, "docker.volumes[0].container_path", "source: ., volumes: [{host_path: x, container_path: "+quoted(bad)+"}]")
	}
	for _, bad := range []string{"x:/x", "/:/x", "/var/run/docker.sock:/x"} {
		refuses(t, "docker.volumes[0]", "source: ., volumes: ["+quoted(bad)+"]")
	}
	s := parse(t, "version: v1\nnodes: [{id: a, node_type: m:C, docker: {source: ., volumes: [{host_path: x, container_path: /x}]}}]\n")
	if !s.Nodes[0].Docker.Volumes[0].ReadOnly.V {
		t.Error("a mount may be written to unless asked for")
	}
}

func TestThreatT6Privileges(t *testing.T) {
	for _, key := range []string{
		"privileged", "cap_add", "cap_drop", "security_opt", "devices", "device_cgroup_rules", "pid", "ipc", "uts", "userns_mode", "cgroup",
		"cgroup_parent", "sysctls", "runtime", "extra_hosts", "network_mode", "user", "group_add", "volumes_from", "tmpfs", "shm_size", "ulimits",
		"oom_kill_disable", "oom_score_adj", "entrypoint", "use_api_socket", "credential_spec", "isolation", "labels", "extends", "x-anything",
		"dns", "mac_address", "logging", "secrets", "configs", "build", "deploy", "develop", "hooks", "post_start", "pre_stop", "provider",
	} {
		refuses(t, "docker."+key, "source: ., "+key+": x")
		refuses(t, key, "source: .}, "+key+": {x: x")
	}
	for _, word := range []string{"host", "service:a", "container:a", "default"} {
		refuses(t, "docker.network", "source: ., network: "+quoted(word))
	}
}

func TestThreatT10Environment(t *testing.T) {
	s := parse(t, `version: v1
metadata: {name: "${HOME}", description: $AWS_SECRET_ACCESS_KEY}
nodes:
  - id: a
    node_type: m:C
    params: {a: "${HOME}", $b: $$}
    docker: {source: "$HOME", env: {A: "${AWS_SECRET_ACCESS_KEY}", B: $HOME, C: secret$abc, D: $$, E: "${A:-x}"}, env_from: [TOKEN]}
`)
	d := s.Nodes[0].Docker
	var got []string
	for _, e := range d.Env {
		got = append(got, e.Value.V)
	}
	if want := []string{"${AWS_SECRET_ACCESS_KEY}", "$HOME", "secret$abc", "$$", "${A:-x}"}; !slices.Equal(got, want) {
		t.Errorf("env %q", got)
	}
	if s.Metadata.Name.V != "${HOME}" || d.Source.V != "$HOME" || s.Nodes[0].Params.Values["a"] != "${HOME}" || len(d.EnvFrom) != 1 {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"$HOME", "${HOME}", "A=x", "A B", "*", "A*", ""} {
		refuses(t, "docker.env_from[0]", "source: ., env_from: ["+quoted(bad)+"]")
	}
}

func TestThreatT12Paths(t *testing.T) {
	for _, bad := range []string{"..", "../x", "x/../../y", "/", "/etc", "~", "~/x", `..\x`, `C:\x`, "c:/x", "", "x\x00", "x\n", "x/..", "./../x"} {
		refuses(t, "docker.source", "source: "+quoted(bad))
		refuses(t, "docker.wheels[0]", "source: ., wheels: ["+quoted(bad+"/a-1-py3-none-any.whl")+"]")
		text := "version: v1\nnodes: [{id: a, node_type: JSONLinesSink, params: {path: " + quoted(bad) + "}}]\n"
		if _, err := pipeline.Parse("p.yaml", []byte(text), builtins()); err == nil {
			t.Errorf("the param %q passes", bad)
		}
	}
	for _, bad := range []string{"../x", "..", ".", "x/y", "/x", "x.y", `x\y`, "x:y", "", "-x", "_x", "COM1:", "x\x00"} {
		for _, text := range []string{
			"{id: " + quoted(bad) + ", node_type: NullSink}",
			"{id: a, node_type: m:C, outputs: {" + quoted(bad) + ": {}}, docker: {source: .}}",
			"{id: a, node_type: " + quoted("../m"+bad+":C") + ", docker: {source: .}}",
		} {
			if _, err := pipeline.Parse("p.yaml", []byte("version: v1\nnodes: ["+text+"]\n"), builtins()); err == nil {
				t.Errorf("%s passes", text)
			}
		}
	}
}

// Wherever user text stands, what is printed of it moves no cursor, turns no
// line and ends none.
func TestThreatT16Terminal(t *testing.T) {
	for _, evil := range []string{"\x1b[2J", "\x1b]0;x\x07", "\r", "\x08", "\u202e", "\u2066", "\u200f", "\u2028", "\u0085", "\u009b31m", "\x7f", "\u061c"} {
		e := quoted("x" + evil + "y")
		for _, text := range []string{
			"version: " + e + "\n" + e + ": 1\nnodes: [{id: " + e + ", node_type: " + e + ", " + e + ": 1}]\nconnections: [{from: " + e + ", to: " + e + "}]\n",
			"version: v1\nmetadata: {name: " + e + "}\nnodes: [{id: a, node_type: m:C, outputs: {" + e + ": " + e + "}, docker: {source: " + e + ", env: {" + e + ": " + e + "}, python_packages: [" + e + "], volumes: [" + e + "], restart: " + e + ", image: " + e + ", command: " + e + "}}]\n",
			"version: v1\nnodes: " + e + "\n", "x: &" + "a" + evil + " 1\n", "x: !" + evil + " 1\n", "version: v1 # " + evil + "\nnodes: 1\n",
		} {
			file := "x" + evil + ".yaml"
			_, err := pipeline.Parse(file, []byte(text), builtins())
			found, _ := pipeline.AsDiagnostics(err)
			var b bytes.Buffer
			if err := found.Format(&b, []byte(text), false); err != nil {
				t.Fatal(err)
			}
			if err := found.GitHub(&b); err != nil {
				t.Fatal(err)
			}
			b.WriteString(found.Error())
			if i := strings.IndexFunc(b.String(), unprintable); len(found) == 0 || i >= 0 {
				t.Errorf("%q: %q", text, b.String()[max(0, i):])
			}
		}
	}
}

func TestThreatT18Resources(t *testing.T) {
	for at, docker := range map[string]string{
		"docker.resource_limits.memory_mb":    "source: ., resource_limits: {memory_mb: 9223372036854775807}",
		"docker.resource_limits.cpu_cores":    "source: ., resource_limits: {cpu_cores: 1e308}",
		"docker.resource_limits.pids":         "source: ., resource_limits: {pids: 99999999999999999999}",
		"docker.restart.max_attempts":         "source: ., restart: {policy: always, max_attempts: 4294967296}",
		"docker.restart.window_s":             "source: ., restart: {policy: always, max_attempts: 1, window_s: 9223372036854775807}",
		"docker.replicas":                     "source: ., replicas: 1000000",
		"docker.scale":                        "source: ., scale: 1000000",
		"outputs.x.max_frame":                 "source: .}, outputs: {x: {max_frame: 1024GiB}",
		"outputs.y.max_frame":                 "source: .}, outputs: {y: {max_frame: 99999999999999999999GiB}",
		"outputs.z.max_frame":                 "source: .}, outputs: {z: {max_frame: -1}",
		"outputs":                             "source: .}, outputs: {" + strings.TrimSuffix(ports(65), ", "),
		"timeout_ms":                          "source: .}, timeout_ms: 9223372036854775807, x: {",
		"start_timeout_ms":                    "source: .}, start_timeout_ms: -9223372036854775808, x: {",
		"docker.resource_limits.memory_mb.kB": "source: ., resource_limits: {memory_mb: {kB: 1}}",
	} {
		refuses(t, strings.TrimSuffix(at, ".kB"), docker)
	}
	nodes := strings.Repeat("  - {id: a, node_type: NullSink}\n", 501)
	edges := strings.Repeat("  - {from: a, to: b}\n", 1001)
	for _, text := range []string{
		"version: v1\nnodes:\n" + nodes,
		"version: v1\nnodes:\n  - {id: a, node_type: NullSink}\nconnections:\n" + edges,
		"version: v1\nsessions: 65\nnodes: [{id: a, node_type: NullSink}]\n",
		"version: v1\nnodes: [{id: a, node_type: NullSink}]\nconnections: [{from: a, to: a, buffer: 65537}]\n",
		"version: v1\nnodes: [{id: a, node_type: NullSink}]\nconnections: [{from: a, to: a, hold: 1e18}]\n",
	} {
		if _, err := pipeline.Parse("p.yaml", []byte(text), builtins()); err == nil || !strings.Contains(err.Error(), "ore than") && !strings.Contains(err.Error(), "at most") && !strings.Contains(err.Error(), "an integer") {
			t.Errorf("%.200s: %v", text, err)
		}
	}
	// The largest a single output can ask for in all sessions stays far inside 64
	// bits; sums over outputs are made where they are needed.
	const frames, frame, sessions = 2 * 65_536, 1 << 30, 64
	if float64(frames)*frame*sessions > math.MaxInt64/2 {
		t.Error("the bounds of the language overflow")
	}
}
