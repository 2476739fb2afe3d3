package generate_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v4"
)

// one is a pipeline with one node in a container; more goes below docker:.
func one(more string) string {
	return "version: v1\nnodes:\n  - id: a\n    node_type: m:C\n    docker:\n      source: src\n" + more
}

func code() fstest.MapFS {
	return fstest.MapFS{
		"src/m.py": {Data: []byte("class C: pass\n")}, "data/x": {Data: []byte("x")}, "src/run.sh": {Data: []byte("#!"), Mode: 0o755},
		"src/.git/config": {Data: []byte("x")}, "src/.env": {Data: []byte("x")}, "src/.env.local": {Data: []byte("x")},
		"src/sub/__pycache__/m.pyc": {Data: []byte("x")}, "src/key.pem": {Data: []byte("x")}, "src/id_rsa": {Data: []byte("x")},
	}
}

func key(t *testing.T, text string, files fstest.MapFS) string {
	t.Helper()
	return must(t, text, attached(), files).Images[0].Key
}

func TestWhatChangesAnImage(t *testing.T) {
	base := key(t, one(""), code())
	for name, text := range map[string]string{
		"memory":   one("      resource_limits: {memory_mb: 512}\n"),
		"cpus":     one("      resource_limits: {cpu_cores: 2}\n"),
		"env":      one("      env: {A: b}\n"),
		"env_from": one("      env_from: [A]\n"),
		"volumes":  one("      volumes: [{host_path: data, container_path: /data}]\n"),
		"network":  one("      network: bridge\n"),
		"params":   one("    params: {a: 1}\n"),
		"frames":   one("    start_timeout_ms: 5\n    is_streaming: false\n"),
		"comment":  "# hello\n\n" + one("      # more\n"),
		"default":  one("      python_version: 3.11\n"),
		"id":       strings.Replace(one(""), "id: a", "id: b", 1),
	} {
		if key(t, text, code()) != base {
			t.Errorf("%s builds anew", name)
		}
	}
	seen := map[string]string{base: "nothing"}
	for name, text := range map[string]string{
		"python":          one("      python_version: 3.12\n"),
		"package":         one("      python_packages: [b]\n"),
		"other package":   one("      python_packages: [a, b]\n"),
		"apt and pip":     one("      system_dependencies: [aa]\n      python_packages: [b]\n"),
		"apt only":        one("      system_dependencies: [aa, bb]\n"),
		"build":           one("      build_dependencies: [aa, bb]\n"),
		"build and apt":   one("      build_dependencies: [aa]\n      system_dependencies: [bb]\n"),
		"base image":      one("      base_image: python:3.11-slim\n"),
		"base image text": one("      base_image: other:3.11\n"),
	} {
		k := key(t, text, code())
		if seen[k] != "" {
			t.Errorf("%s and %s have one key", name, seen[k])
		}
		seen[k] = name
	}
	arm := attached()
	arm.Arch = "arm64"
	if seen[must(t, one(""), arm, code()).Images[0].Key] != "" {
		t.Error("platforms share a key")
	}
	linux := attached()
	linux.Arch = "x86_64"
	if must(t, one(""), linux, code()).Images[0].Key != base {
		t.Error("one platform has two keys")
	}
}

func TestWhatChangesAnImageByItsFiles(t *testing.T) {
	base := key(t, one(""), code())
	seen := map[string]string{base: "nothing"}
	if key(t, one("      python_packages: [a, b]\n"), code()) != key(t, one("      python_packages: [b, a]\n"), code()) {
		t.Error("the order of packages builds anew")
	}
	for name, change := range map[string]func(fstest.MapFS){
		"bytes":      func(f fstest.MapFS) { f["src/m.py"] = &fstest.MapFile{Data: []byte("class C: fail\n")} },
		"new file":   func(f fstest.MapFS) { f["src/n.py"] = &fstest.MapFile{} },
		"executable": func(f fstest.MapFS) { f["src/m.py"].Mode = 0o755 },
		"moved":      func(f fstest.MapFS) { f["src/sub/run.sh"] = f["src/run.sh"]; delete(f, "src/run.sh") },
	} {
		files := code()
		change(files)
		k := key(t, one(""), files)
		if seen[k] != "" {
			t.Errorf("%s and %s have one key", name, seen[k])
		}
		seen[k] = name
	}
	outside := code()
	outside["data/y"], outside["src/.env"] = &fstest.MapFile{}, &fstest.MapFile{Data: []byte("other")}
	if key(t, one(""), outside) != base {
		t.Error("a file that is not in the image builds anew")
	}
}

func TestContextHoldsNoSecrets(t *testing.T) {
	var paths []string
	for _, f := range must(t, one(""), attached(), code()).Images[0].Context {
		paths = append(paths, f.Path)
	}
	want := "[app/m.py app/run.sh build/__main__.py build/bytecode.py build/common.py build/debian.py build/installers.py build/layers.py build/packages.py build/uv.toml sdk/medianode/__init__.py sdk/medianode/__main__.py]"
	if fmt.Sprint(paths) != want {
		t.Errorf("got %v, want %s", paths, want)
	}
}

// TestPositionsAreNotInServices holds that moving a node in its file makes no
// container anew.
func TestPositionsAreNotInServices(t *testing.T) {
	services := func(text string) []byte {
		var doc map[string]any
		if err := yaml.Unmarshal(file(t, must(t, text, attached(), code()), "compose.yaml"), &doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, "x-medianode")
		out, err := yaml.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := services(one(""))
	after := services("# a comment\n\n\nversion: v1   # and one more\nnodes:\n\n\n    -   id: a\n        docker: {source: src}\n        node_type: m:C\n")
	if !bytes.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestRootRunsContainersAsAnotherUser(t *testing.T) {
	host := attached()
	host.UID, host.GID = 0, 0
	p := must(t, one(""), host, code())
	if p.UID != 1000 || p.Project().Services["a"].User != "1000:1000" {
		t.Errorf("runs as %d, service as %s", p.UID, p.Project().Services["a"].User)
	}
}

func TestMaxFrameOfBuiltins(t *testing.T) {
	text := "version: v1\nnodes:\n" +
		"  - {id: s, node_type: AudioFileSource, params: {path: x, frame_ms: %d}}\n  - {id: n, node_type: NullSink}\nconnections: [{from: s, to: n}]\n"
	for ms, want := range map[int]int{20: 245_760, 100: 1 << 20, 10_000: 3_840_000} {
		p := must(t, fmt.Sprintf(text, ms), attached(), code())
		if got := p.Channels[0].MaxFrame; got != want {
			t.Errorf("%d ms: %d bytes, want %d", ms, got, want)
		}
	}
	host := attached()
	host.MaxFrame = func(nodeType string, _ map[string]any) int64 { return int64(len(nodeType)) }
	if got := must(t, fmt.Sprintf(text, 20), host, code()).Channels[0].MaxFrame; got != len("AudioFileSource") {
		t.Errorf("the host's answer was not taken: %d", got)
	}
}

// A node that sends on what it gets needs room for the largest that enters it;
// many ways through such nodes are no more work than one.
func TestMaxFrameOfPassthrough(t *testing.T) {
	text := "version: v1\nnodes:\n  - {id: s, node_type: AudioFileSource, params: {path: x}, outputs: {output: {max_frame: 3MiB}}}\n" +
		"  - {id: s0, node_type: AudioFileSource, params: {path: x}, outputs: {output: {max_frame: 5}}}\n" +
		"  - {id: p0, node_type: Passthrough}\n"
	connections := "connections:\n  - {from: s, to: p0}\n  - {from: s0, to: p0}\n"
	const rounds = 30
	for i := range rounds {
		text += fmt.Sprintf("  - {id: a%[1]d, node_type: Passthrough}\n  - {id: b%[1]d, node_type: Passthrough}\n  - {id: p%d, node_type: Passthrough}\n", i, i+1)
		for _, way := range []string{"a", "b"} {
			connections += fmt.Sprintf("  - {from: p%d, to: %s%[1]d}\n  - {from: %[2]s%[1]d, to: p%[3]d}\n", i, way, i+1)
		}
	}
	text += "  - {id: n, node_type: NullSink}\n" + connections + fmt.Sprintf("  - {from: p%d, to: n}\n  - {from: p1, to: p0, feedback: true}\n", rounds)
	p := must(t, text, attached(), code())
	for _, c := range p.Channels {
		want := 3 << 20
		if c.From == "s0" {
			want = 5
		}
		if c.MaxFrame != want {
			t.Errorf("%s: %d bytes, want %d", c.Name, c.MaxFrame, want)
		}
	}
}

func TestSharedMemoryIsTheSum(t *testing.T) {
	p := must(t, text(t, "testdata/fanout"), attached(), dir("testdata/fanout"))
	sum := int64(4096)
	for _, c := range p.Channels {
		sum += int64(c.Spec.Sizes().Total())
	}
	if p.SharedMemory != sum {
		t.Errorf("got %d, want %d", p.SharedMemory, sum)
	}
	if got := len(p.DataChannels()); got != 3 {
		t.Errorf("%d data channels", got)
	}
	for _, n := range p.Nodes {
		for _, in := range n.Inputs {
			if r := in.Channel.Readers[in.Slot]; r.Node != n.ID || r.Port != in.Port {
				t.Errorf("%s.%s has the slot of %s.%s", n.ID, in.Port, r.Node, r.Port)
			}
		}
	}
}
