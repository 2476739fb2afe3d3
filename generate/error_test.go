package generate_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/medianode/docker-medianode/generate"
)

func dir(name string) fs.FS { return os.DirFS(name) }

func link(target string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
}

// mistakes are pipelines with one mistake each.
func mistakes() map[string]wrong {
	with := func(changes map[string]*fstest.MapFile) fstest.MapFS {
		files := code()
		for name, f := range changes {
			files[name] = f
		}
		return files
	}
	return map[string]wrong{
		"no source":         {strings.Replace(one(""), "source: src", "source: gone", 1), code(), `pipeline.yaml:6:15: nodes[0].docker.source: "gone" does not exist`},
		"source is a file":  {strings.Replace(one(""), "source: src", "source: data/x", 1), code(), `6:15: nodes[0].docker.source: "data/x" is not a directory`},
		"no module":         {strings.Replace(one(""), "m:C", "x.y:C", 1), code(), `6:15: nodes[0].docker.source: "src" has neither x/y.py nor x/y/__init__.py for node_type x.y:C`},
		"no class":          {strings.Replace(one(""), "m:C", "m:Cc", 1), with(map[string]*fstest.MapFile{"src/m.py": {Data: []byte("class C: ...\nclass D(C):\n  pass\n")}}), `4:16: nodes[0].node_type: m.py of "src" has no class Cc`},
		"hides the sdk":     {one(""), with(map[string]*fstest.MapFile{"src/medianode/__init__.py": {}}), `"src" holds a module medianode, which hides the SDK`},
		"link out":          {one(""), with(map[string]*fstest.MapFile{"src/x": link("../../etc/passwd")}), `"src/x" leads out of the project through a symbolic link`},
		"absolute link":     {one(""), with(map[string]*fstest.MapFile{"src/x": link("/etc/passwd")}), `"src/x" leads out of the project through a symbolic link`},
		"link out by link":  {one(""), with(map[string]*fstest.MapFile{"src/x": link("y"), "src/y": link("../../z")}), `"src/x" leads out`},
		"link in a circle":  {one(""), with(map[string]*fstest.MapFile{"src/x": link("y"), "src/y": link("x")}), `"src/x" symbolic links lead in a circle`},
		"link to nowhere":   {one(""), with(map[string]*fstest.MapFile{"src/x": link("gone")}), `"src/x" does not exist`},
		"link to directory": {one(""), with(map[string]*fstest.MapFile{"src/x": link("../data")}), `"src/x" is a symbolic link to a directory`},
		"device":            {one(""), with(map[string]*fstest.MapFile{"src/x": {Mode: fs.ModeNamedPipe}}), `"src/x" is not a regular file`},
		"too large":         {one(""), with(map[string]*fstest.MapFile{"src/x": {Data: make([]byte, 40<<20)}, "src/y": {Data: make([]byte, 40<<20)}}), `"src" holds 80 MiB, more than 64 MiB, most of it in x (40 MiB), y (40 MiB): keep models and data elsewhere and mount them with docker.volumes, or leave them out with a .dockerignore`},
		"no volume":         {one("      volumes: [{host_path: gone, container_path: /x}]\n"), code(), `7:29: nodes[0].docker.volumes[0].host_path: "gone" does not exist`},
		"volume out":        {one("      volumes: [{host_path: data/l, container_path: /x}]\n"), with(map[string]*fstest.MapFile{"data/l": link("../..")}), `"data/l" leads out`},
		"too many cpus":     {one("      resource_limits: {cpu_cores: 2.5}\n"), code(), `7:36: nodes[0].docker.resource_limits.cpu_cores: 2.5 cores are more than the engine has: 2`},
		"too much memory":   {one("      resource_limits: {memory_mb: 2048}\n"), code(), `7:36: nodes[0].docker.resource_limits.memory_mb: "a" needs 2 GiB, more than the engine has: 1 GiB`},
		"iceoryx2":          {one("      python_packages: [numpy, 'Iceoryx2>=0.9']\n"), code(), `7:32: nodes[0].docker.python_packages[1]: iceoryx2 is always there, at version 0.10.0`},
		"own variable":      {one("      env: {MEDIANODE_NODE: x}\n"), code(), `7:13: nodes[0].docker.env.MEDIANODE_NODE: MEDIANODE_NODE is set by medianode`},
		"own env_from":      {one("      env_from: [MEDIANODE_PARAMS]\n"), code(), `nodes[0].docker.env_from[0]: MEDIANODE_PARAMS is set by medianode`},
		"long variable":     {one("      env: {A: " + strings.Repeat("x", 128<<10) + "}\n"), code(), `nodes[0].docker.env.A: A is too long: 128 KiB of 128 KiB`},
		"long params":       {one("    params: {a: " + strings.Repeat("x", 128<<10) + "}\n"), code(), `nodes[0].params: MEDIANODE_PARAMS is too long`},
		"unread port":       {one("    outputs: {extra: {}}\n"), code(), `7:15: nodes[0].outputs.extra: no connection reads this output`},
		"memory for frames": {
			one("      resource_limits: {memory_mb: 128}\n    outputs: {o: {max_frame: 16MiB}}\n") +
				"  - {id: n, node_type: NullSink}\nconnections: [{from: a, from_output: o, to: n, buffer: 8}]\n",
			code(), `7:36: nodes[0].docker.resource_limits.memory_mb: 128 MiB cannot hold what "a" publishes: 161.1 MiB of frames and answers + 64 MiB reserve = 225.1 MiB`,
		},
		"memory for frames without a limit": {
			one("    outputs: {o: {max_frame: 1GiB}}\n") + "  - {id: n, node_type: NullSink}\nconnections: [{from: a, from_output: o, to: n}]\n",
			code(), `"a" needs 10.1 GiB, more than the engine has: 1 GiB`,
		},
		"shared memory": {
			"version: v1\nnodes:\n  - {id: s, node_type: TestPatternSource, params: {width: 16384, height: 16384}}\n  - {id: n, node_type: NullSink}\nconnections: [{from: s, to: n}]\n",
			code(), `5:15: the pipeline needs 10 GiB of shared memory, more than the engine has: 1 GiB; 10 GiB of it for "output" of "s"`,
		},
		"clash": {
			"version: v1\nnodes:\n  - {id: a, node_type: 'm:C', outputs: {b_output: {}}, docker: {source: src}}\n" +
				"  - {id: a_output_b, node_type: 'm:C', docker: {source: src}}\n  - {id: n, node_type: NullSink}\n" +
				"connections:\n  - {from: a, from_output: b_output, to: n}\n  - {from: a_output_b, to: n}\n",
			code(), `8:5: output "b_output" of "a" and output "output" of "a_output_b" would both have the channel "{session}_a_output_b_output"`,
		},
		"clash with an input": {
			"version: v1\nnodes:\n  - {id: a, node_type: 'm:C', outputs: {b_input: {}}, docker: {source: src}}\n" +
				"  - {id: a_output_b, node_type: NullSink}\nconnections: [{from: a, from_output: b_input, to: a_output_b}]\n",
			code(), `would both have the channel "{session}_a_output_b_input"`,
		},
	}
}

// wrong is a pipeline, the files beside it and a part of what is said.
type wrong struct {
	text  string
	files fstest.MapFS
	want  string
}

// TestErrors holds each mistake to its place and words.
func TestErrors(t *testing.T) {
	small := attached()
	small.CPUs, small.Memory = 2, 1<<30
	for name, c := range mistakes() {
		t.Run(name, func(t *testing.T) {
			_, err := resolve(t, c.text, small, c.files)
			if err == nil {
				t.Fatal("no error")
			}
			if got := diagnostics(t, err); !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	text := "version: v1\nnodes:\n"
	for i := range 3 {
		text += fmt.Sprintf("  - {id: n%d, node_type: 'm:C', docker: {source: gone%d, env: {MEDIANODE_NODE: x}}}\n", i, i)
	}
	_, err := resolve(t, text, attached(), code())
	if got := strings.Count(diagnostics(t, err), "\n") + 1; got != 6 {
		t.Errorf("%d mistakes:\n%v", got, err)
	}
}

func TestLinksInsideTheProject(t *testing.T) {
	files := code()
	files["shared/common.py"] = &fstest.MapFile{Data: []byte("shared")}
	files["src/common.py"] = link("../shared/common.py")
	for _, f := range must(t, one(""), attached(), files).Images[0].Context {
		if f.Path == "app/common.py" && string(f.Data) == "shared" {
			return
		}
	}
	t.Error("the link was not copied as its file")
}

// TestLinksOnDisk is the same with a real directory, opened as the CLI does.
func TestLinksOnDisk(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	if err := os.CopyFS(inside, fstest.MapFS{"src/m.py": {}, "shared/s.py": {}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Symlink("../shared/s.py", filepath.Join(inside, "src", "s.py")); err != nil {
		t.Fatal(err)
	}
	must(t, one(""), attached(), root.FS())
	for _, target := range []string{filepath.Join(outside, "secret"), "../../" + filepath.Base(outside) + "/secret"} {
		name := filepath.Join(inside, "src", "x")
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		if _, err := resolve(t, one(""), attached(), root.FS()); err == nil || !strings.Contains(err.Error(), "leads out of the project") {
			t.Errorf("%s: %v", target, err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRuntimeServiceName(t *testing.T) {
	text := strings.Replace(one(""), "id: a", "id: runtime", 1)
	if _, err := resolve(t, text, portable(), code()); err == nil || !strings.Contains(err.Error(), "the runtime and node \"runtime\"") {
		t.Errorf("got %v", err)
	}
}

func TestProjectName(t *testing.T) {
	for _, name := range []string{"", "A", "a b", "-a", "a/b", strings.Repeat("a", 64)} {
		if _, err := generate.Resolve(nil, name, attached(), code(), sdk()); err == nil {
			t.Errorf("%q passed", name)
		}
	}
}

// What a module might have in a way that its text does not show is for the
// container to say.
func TestClassesThatMayBeThere(t *testing.T) {
	for name, text := range map[string]string{
		"its own": "class C(Node):", "imported": "class D: ...\nfrom x import C\n", "by another name": "class D: ...\nC = D\n", "a star": "class D: ...\nfrom x import *\n",
		"made": "class D: ...\nglobals()['C'[:1]] = D\n", "no class": "import x\n", "empty": "",
	} {
		files := code()
		files["src/m.py"] = &fstest.MapFile{Data: []byte(text)}
		if _, err := resolve(t, one(""), attached(), files); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
