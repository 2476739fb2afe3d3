package generate_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// edit is a change of the pipeline or of what lies around it.
type edit func(*project)

// project is all that Resolve is given.
type project struct {
	text  string
	host  generate.Host
	files fstest.MapFS
	sdk   fstest.MapFS
}

func newProject() *project {
	files := fullCode()
	files["data/x"] = &fstest.MapFile{}
	files["src/m.py"] = &fstest.MapFile{Data: []byte("class C: pass\nclass D: pass\n")}
	return &project{full(), attached(), files, fstest.MapFS{"__init__.py": {Data: []byte("sdk")}}}
}

func (p *project) image(t *testing.T) generate.Image {
	t.Helper()
	spec, err := pipeline.Parse("pipeline.yaml", []byte(p.text), builtins())
	if err != nil {
		t.Fatalf("%v\n%s", err, p.text)
	}
	plan, err := generate.Resolve(spec, "test", p.host, p.files, p.sdk)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.text)
	}
	return plan.Images[0]
}

// docker adds a line below the node's docker:, node one below the node, top one
// at the top.
func docker(line string) edit {
	return func(p *project) {
		p.text = strings.Replace(p.text, "    docker:\n", "    docker:\n      "+line+"\n", 1)
	}
}

func node(line string) edit {
	return func(p *project) { p.text = strings.Replace(p.text, "    docker:\n", "    "+line+"\n    docker:\n", 1) }
}

func top(line string) edit {
	return func(p *project) { p.text = strings.Replace(p.text, "nodes:\n", line+"\nnodes:\n", 1) }
}

func swap(old, with string) edit {
	return func(p *project) {
		if !strings.Contains(p.text, old) {
			panic("no " + old)
		}
		p.text = strings.ReplaceAll(p.text, old, with)
	}
}

func put(name, data string) edit {
	return func(p *project) { p.files[name] = &fstest.MapFile{Data: []byte(data)} }
}

// neutral are the edits that build nothing anew.
func neutral() map[string]edit {
	return map[string]edit{
		"memory":   docker("resource_limits: {memory_mb: 512}"),
		"cpus":     docker("resource_limits: {cpu_cores: 2}"),
		"pids":     docker("resource_limits: {pids: 77}"),
		"env":      docker("env: {A: $b}"),
		"env_from": docker("env_from: [A]"),
		"volumes":  docker("volumes: [{host_path: data, container_path: /data, read_only: false}]"),
		"gpu":      docker("gpu_devices: all"),
		"restart":  docker("restart: {policy: on-failure, max_attempts: 3, window_s: 60}"),
		"network":  docker("network: bridge"),
		"health":   docker("health_interval_s: 10"),
		"params":   node("params: {a: [1, {b: .nan}]}"),
		"timeout": func(p *project) {
			node("timeout_ms: 5")(p)
			p.text += "  - {id: s, node_type: TestPatternSource}\nconnections: [{from: s, to: a, hold: 2, wait: spin}]\n"
		},
		"start timeout": node("start_timeout_ms: 5"),
		"streaming":     node("is_streaming: false"),
		"on_crash":      func(p *project) { docker("restart: {policy: always}")(p); node("on_crash: retry")(p) },
		"sessions":      top("sessions: 7"),
		"name":          top("metadata: {name: other, description: other}"),
		"comment":       top("# more"),
		"anchors":       top("x-common: &x {a: b}"),
		"id":            swap("id: a", "id: b"),
		"class":         swap("m:C", "m:D"),
		"connection": func(p *project) {
			p.text += "  - {id: n, node_type: NullSink}\nconnections: [{from: a, to: n, buffer: 3}]\n"
		},
		"order":           swap("[numpy==1.26, six]", "[six, numpy==1.26]"),
		"the default":     swap("      python_version: 3.11\n", ""),
		"the same source": swap("source: src", "source: ./src/"),
		"caller":          func(p *project) { p.host.UID, p.host.GID = 1234, 5678 },
		"portable":        func(p *project) { p.host.Form = generate.Portable },
		"machine":         func(p *project) { p.host.CPUs, p.host.Memory, p.host.Base = 64, 1<<40, "/elsewhere" },
		"arch":            func(p *project) { p.host.Arch = "x86_64" },
		"other files":     put("data/y", "y"),
		"secrets":         put("src/.env", "other"),
		"caches":          put("src/__pycache__/m.pyc", "other"),
		"ignore nothing":  put("src/.dockerignore", "# nothing\nnothing\n"),
		"ignored":         func(p *project) { put("src/.dockerignore", "*.log")(p); put("src/a.log", "line")(p) },
		"permissions":     func(p *project) { p.files["src/m.py"].Mode = 0o600 },
		"other times":     func(p *project) { p.files["src/m.py"].ModTime = p.files["src/m.py"].ModTime.Add(1 << 40) },
		"wheel directory": func(p *project) {
			p.files["w/t-1.0-py3-none-any.whl"] = p.files[wheelFile]
			swap(wheelFile, "w/t-1.0-py3-none-any.whl")(p)
		},
	}
}

// building are the edits that build something else, each something of its own.
func building() map[string]edit {
	out := map[string]edit{
		"python":          swap("python_version: 3.11", "python_version: 3.12"),
		"base":            docker("base_image: own:1"),
		"other base":      docker("base_image: own:2"),
		"usual base":      docker("base_image: python:3.11-slim"), // has the steps of one that is not ours
		"package version": swap("numpy==1.26", "numpy==2.0"),
		"package extra":   swap("six]", "'six[x]']"),
		"no package":      swap(", six]", "]"),
		"no packages":     swap("      python_packages: [numpy==1.26, six]\n", ""),
		"no apt":          swap("      system_dependencies: [ffmpeg]\n", ""),
		"no build":        swap("      build_dependencies: [gcc]\n", ""),
		"apt for build":   swap("build_dependencies: [gcc]", "build_dependencies: [ffmpeg, gcc]"),
		"apt exchanged":   func(p *project) { swap("[ffmpeg]", "[x]")(p); swap("[gcc]", "[ffmpeg]")(p); swap("[x]", "[gcc]")(p) },
		"wheel bytes":     put(wheelFile, "lheew"),
		"wheel name": func(p *project) {
			p.files["wheels/t-1.1-py3-none-any.whl"] = p.files[wheelFile]
			swap(wheelFile, "wheels/t-1.1-py3-none-any.whl")(p)
		},
		"no wheel":   swap("      wheels: ["+wheelFile+"]\n", ""),
		"code":       put("src/m.py", "class C: fail\nclass D: fail\n"),
		"empty file": put("src/n.py", ""),
		"moved file": func(p *project) { p.files["src/sub/run.sh"] = p.files["src/run.sh"]; delete(p.files, "src/run.sh") },
		"file gone":  func(p *project) { delete(p.files, "src/run.sh") },
		"mode":       func(p *project) { p.files["src/m.py"].Mode = 0o744 },
		"ignoring":   put("src/.dockerignore", "asr.py"),
		"swapped bytes": func(p *project) {
			p.files["src/m.py"].Data, p.files["src/asr.py"].Data = p.files["src/asr.py"].Data, p.files["src/m.py"].Data
		},
		"platform":     func(p *project) { p.host.Arch = "arm64" },
		"any platform": func(p *project) { p.host.Arch = "" },
		"sdk":          func(p *project) { p.sdk["__init__.py"].Data = []byte("new") },
		"sdk file":     func(p *project) { p.sdk["more.py"] = &fstest.MapFile{} },
	}
	for _, list := range []string{"system_dependencies: [ffmpeg", "build_dependencies: [gcc", "python_packages: [numpy==1.26"} {
		out["more "+list] = swap(list, list+", more")
	}
	return out
}

// TestKey: a neutral edit never changes a key, whatever else was edited; every
// building edit has a key of its own. What tells two images apart says so
// exactly when the keys differ.
func TestKey(t *testing.T) {
	plain := newProject().image(t)
	images := map[string]generate.Image{"nothing": plain}
	for name, change := range building() {
		p := newProject()
		change(p)
		images[name] = p.image(t)
	}
	seen := map[string]string{}
	for name, img := range images {
		if other, clash := seen[img.Key]; clash {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[img.Key] = name
		for other, old := range images {
			if got := img.Inputs().Changes(old.Inputs()); (len(got) == 0) != (img.Key == old.Key) {
				t.Errorf("from %s to %s: %v", other, name, got)
			}
		}
	}
	for name, change := range neutral() {
		p := newProject()
		change(p)
		img := p.image(t)
		if img.Key != plain.Key {
			t.Errorf("%s builds anew: %v", name, img.Inputs().Changes(plain.Inputs()))
		}
		if got := img.Inputs().Changes(plain.Inputs()); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
		for _, what := range []string{"base", "no package", "code", "wheel bytes", "platform", "sdk"} {
			p := newProject()
			change(p)
			if name == "arch" && what == "platform" || name == "wheel directory" && what == "wheel bytes" || name == "ignore nothing" || name == "order" {
				continue // they are about the same thing
			}
			building()[what](p)
			if p.image(t).Key != images[what].Key {
				t.Errorf("%s builds anew after %s", name, what)
			}
		}
	}
}

// TestListsAreKeptApart: which list a package is in counts, and where one list
// ends and the next begins.
func TestListsAreKeptApart(t *testing.T) {
	lists := []string{"system_dependencies", "build_dependencies", "python_packages"}
	names := []string{"a0", "b0", "c0"}
	seen := map[string]string{}
	for n := range 4 * 4 * 4 { // each name in no list, or in one of three
		text, where := "", n
		in := map[string][]string{}
		for _, name := range names {
			if list := where % 4; list < 3 {
				in[lists[list]] = append(in[lists[list]], name)
			}
			where /= 4
		}
		for _, list := range lists {
			if len(in[list]) > 0 {
				text += fmt.Sprintf("      %s: [%s]\n", list, strings.Join(in[list], ", "))
			}
		}
		k := key(t, one(text), code())
		if other, clash := seen[k]; clash {
			t.Errorf("one key for\n%s\nand\n%s", text, other)
		}
		seen[k] = text
	}
	if len(seen) != 64 {
		t.Errorf("%d keys, want 64", len(seen))
	}
}

// TestKeyIsOfEverything: a key is the digest of the recipe's version, the
// platform, the Dockerfile and the files, each with its length in front.
func TestKeyIsOfEverything(t *testing.T) {
	img := newProject().image(t)
	digest := func(version string) string {
		h := sha256.New()
		part := func(s string) {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
			h.Write([]byte(s))
		}
		part(version)
		part(img.Platform)
		part(string(img.Dockerfile))
		for _, f := range img.Context {
			part(f.Path)
			part(fs.FileMode.String(f.Mode))
			part(string(f.Data))
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	version := img.Inputs().RecipeVersion
	if digest(version) != img.Key {
		t.Errorf("key %s, want %s", img.Key, digest(version))
	}
	if digest(version+"0") == img.Key {
		t.Error("another version of the recipes has the same key")
	}
}
