package generate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// quoted is any text as a YAML scalar in double quotes.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// dockerFields are the fields that can reach a Dockerfile, with a value for
// those that a round of fuzzing leaves alone.
var dockerFields = []struct{ name, value string }{
	{"id", "a"},
	{"node_type", "m:C"},
	{"python_version", "3.11"},
	{"python_packages", "numpy"},
	{"wheels", "wheels/tool-1-py3-none-any.whl"},
	{"system_dependencies", "libsndfile1"},
	{"build_dependencies", "gcc"},
	{"source", "src"},
	{"base_image", ""},
}

// withFields is a pipeline of one node with these values, and files that fit.
func withFields(values map[string]string) (string, fs.FS) {
	value := func(i int) string {
		if v, ok := values[dockerFields[i].name]; ok {
			return v
		}
		return dockerFields[i].value
	}
	text := "version: v1\nnodes:\n  - id: " + quoted(value(0)) + "\n    node_type: " + quoted(value(1)) + "\n    docker:\n"
	for i, f := range dockerFields[2:] {
		v := quoted(value(i + 2))
		switch {
		case v == `""`:
			continue
		case strings.HasSuffix(f.name, "s"):
			v = "[" + v + "]"
		}
		text += "      " + f.name + ": " + v + "\n"
	}
	files := fstest.MapFS{}
	module, _, _ := strings.Cut(value(1), ":")
	put := func(name string) {
		if name = path.Clean(name); fs.ValidPath(name) && name != "." {
			files[name] = &fstest.MapFile{Data: []byte("x")}
		}
	}
	put(value(4))
	put(value(7) + "/" + strings.ReplaceAll(module, ".", "/") + ".py")
	return text, files
}

// FuzzDockerfile puts any text into any field: either it is refused, or the
// Dockerfile is the one that was meant, as BuildKit's own parser reads it.
func FuzzDockerfile(f *testing.F) {
	for i := range dockerFields {
		for _, s := range []string{
			"x\nRUN id", "x && id", "$(id)", "`id`", "x\\", "# syntax=evil/frontend", "<<EOF", "a; id", `x"] && id`, "x AS y", "--mount=type=bind", "é", "\x00", "python:3.12", "builder", "sdk", "a-1-py3-none-any.whl", "numpy>=1,<2",
		} {
			f.Add(uint8(i), s, uint8(i+1), "3.12")
		}
	}
	f.Fuzz(func(t *testing.T, one uint8, a string, two uint8, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			t.Skip("YAML is UTF-8")
		}
		text, files := withFields(map[string]string{
			dockerFields[int(one)%len(dockerFields)].name: a, dockerFields[int(two)%len(dockerFields)].name: b,
		})
		spec, err := pipeline.Parse("pipeline.yaml", []byte(text), builtins())
		if err != nil {
			return
		}
		p, err := generate.Resolve(spec, "test", attached(), files, sdk())
		if err != nil {
			return
		}
		d := spec.Nodes[0].Docker
		img := p.Images[0]
		if got, want := read(t, img.Dockerfile), meant(d); !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", img.Dockerfile, got, want)
		}
		for _, file := range img.Context {
			if !fs.ValidPath(file.Path) || strings.ContainsAny(file.Path, "\n\\") {
				t.Errorf("context holds %q", file.Path)
			}
		}
		if !strings.HasPrefix(img.Ref, "medianode/") || strings.Trim(img.Ref, "abcdefghijklmnopqrstuvwxyz0123456789/:-") != "" {
			t.Errorf("reference %q", img.Ref)
		}
	})
}

// read is a Dockerfile as BuildKit understands it, an instruction a line.
func read(t *testing.T, text []byte) []string {
	t.Helper()
	for line := range bytes.Lines(text) {
		if directive, _, _, found := parser.ParseDirective("syntax", line); found {
			t.Fatalf("asks for the frontend %s", directive)
		}
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if tree.EscapeToken != '\\' || len(tree.Warnings) > 0 {
		t.Fatalf("escape %q, warnings %v", tree.EscapeToken, tree.Warnings)
	}
	stages, arguments, err := instructions.Parse(tree.AST, nil)
	if err != nil || len(arguments) > 0 {
		t.Fatalf("%v, %v\n%s", err, arguments, text)
	}
	var out []string
	for _, s := range stages {
		out = append(out, fmt.Sprintf("FROM %s AS %s %s", s.BaseName, s.Name, s.Platform))
		for _, c := range s.Commands {
			switch c := c.(type) {
			case *instructions.RunCommand:
				if c.PrependShell || len(c.Files) > 0 || len(c.FlagsUsed) > 1 || len(c.FlagsUsed) == 1 && c.FlagsUsed[0] != "mount" {
					t.Fatalf("runs %+v", c)
				}
				out = append(out, fmt.Sprintf("RUN %q", c.CmdLine))
			case *instructions.CopyCommand:
				out = append(out, fmt.Sprintf("COPY %s %q %s %s", c.From, c.SourcePaths, c.DestPath, c.Chown))
				if len(c.SourceContents) > 0 {
					t.Fatalf("copies %+v", c)
				}
			case *instructions.EnvCommand:
				for _, e := range c.Env {
					out = append(out, "ENV "+e.Key)
				}
			default:
				out = append(out, c.Name())
			}
		}
	}
	return out
}

// meant is what a node's Dockerfile is to hold.
func meant(d *pipeline.Docker) []string {
	trimmed := func(values []pipeline.Value[string]) []string {
		var out []string
		for _, v := range values {
			out = append(out, strings.TrimSpace(v.V))
		}
		return out
	}
	step := func(args ...string) string {
		return fmt.Sprintf("RUN %q", append([]string{"python3", "-B", "/run/medianode-build"}, args...))
	}
	base, root := "python:"+d.PythonVersion.V+"-slim", []string{}
	if d.BaseImage.V != "" {
		base, root = d.BaseImage.V, []string{"USER"}
		if base == "builder" || base == "sdk" || base == "runtime" {
			base += ":latest" // the image, not the stage
		}
	}
	out := append([]string{"FROM " + base + " AS builder "}, root...)
	if d.BaseImage.V != "" {
		out = append(out, step("python", d.PythonVersion.V))
	}
	out = append(out, step("venv", "iceoryx2==0.10.0"))
	if len(d.BuildDependencies) > 0 {
		out = append(out, step(append([]string{"apt"}, trimmed(d.BuildDependencies)...)...))
	}
	install := []string{"install", "6", "iceoryx2==0.10.0"}
	if len(d.PythonPackages) > 0 {
		install = []string{"install", "6", "-r", "/run/requirements.txt", "iceoryx2==0.10.0"}
	}
	for _, w := range trimmed(d.Wheels) {
		install = append(install, "/run/medianode-wheels/"+path.Base(w))
	}
	layers := []string{"common", "0", "1", "2", "3", "4", "5", "rest"}
	if len(d.PythonPackages)+len(d.Wheels) == 0 {
		install, layers = []string{"layers", "0"}, []string{"common", "rest"}
	}
	out = append(out, step(install...), "FROM "+base+" AS sdk ")
	out = append(append(out, root...), step("sdk", "/run/medianode-sdk/medianode"), "FROM "+base+" AS runtime ")
	out = append(out, root...)
	if len(d.SystemDependencies) > 0 {
		out = append(out, step(append([]string{"apt"}, trimmed(d.SystemDependencies)...)...))
	}
	if d.BaseImage.V != "" {
		out = append(out, step("remove", "/run/medianode-gone"))
	}
	out = append(out, "WORKDIR", "ENV PATH", "ENV PYTHONDONTWRITEBYTECODE", "ENV PYTHONPATH", "ENV PYTHONUNBUFFERED")
	for _, l := range layers {
		out = append(out, fmt.Sprintf("COPY builder [%q] / ", "/layers/"+l+"/root/"))
	}
	return append(out, `COPY sdk ["/layers/sdk/root/"] / `, `COPY  ["app/"] /app/ `, "USER", "STOPSIGNAL", "ENTRYPOINT", "CMD")
}

// FuzzCompose puts any text where a pipeline may hold any text: it arrives as it
// is through compose's own loader, and what is not asked for does not.
func FuzzCompose(f *testing.F) {
	for _, s := range nasty() {
		f.Add(s, "a"+s, "x"+s)
	}
	f.Fuzz(func(t *testing.T, value, word, name string) {
		if !utf8.ValidString(value) || !utf8.ValidString(word) || !utf8.ValidString(name) {
			t.Skip("YAML is UTF-8")
		}
		text := func(name string) []byte {
			return []byte("version: v1\nmetadata: {description: " + quoted(word) + "}\nnodes:\n  - id: a\n    node_type: m:C\n" +
				"    params: {" + quoted(word) + ": " + quoted(value) + "}\n    docker:\n      source: src\n" +
				"      env: {VALUE: " + quoted(value) + "}\n      volumes: [{host_path: " + quoted(name) + ", container_path: " + quoted("/"+name) + "}]\n")
		}
		spec, err := pipeline.Parse("pipeline.yaml", text(name), builtins())
		if err != nil { // few texts are paths
			name = "data"
			spec, err = pipeline.Parse("pipeline.yaml", text(name), builtins())
		}
		if err != nil {
			return
		}
		files := code()
		if clean := path.Clean(name); fs.ValidPath(clean) && clean != "." {
			files[clean] = &fstest.MapFile{Data: []byte("x")}
		}
		// A command belongs to a finished image, which the rest of this node is not.
		spec.Nodes[0].Docker.Command = []pipeline.Value[string]{{V: "run"}, {V: value}, {V: word}}
		host := attached()
		host.Base = path.Clean("/base/" + word)
		p, err := generate.Resolve(spec, "test", host, files, sdk())
		if err != nil {
			return
		}
		loaded := load(t, file(t, p, "compose.yaml"))
		s, planned := loaded.Services["a"], p.Project().Services["a"]
		if got := s.Environment["VALUE"]; got == nil || *got != value {
			t.Errorf("VALUE arrives as %v, not %q", deref(got), value)
		}
		var params map[string]any
		if err := json.Unmarshal([]byte(*s.Environment[channel.EnvParams]), &params); err != nil || params[word] != value {
			t.Errorf("params arrive as %v: %v", params, err)
		}
		if !slices.Equal(s.Command, []string{"run", value, word}) {
			t.Errorf("command arrives as %q", s.Command)
		}
		if got, want := s.Volumes[len(s.Volumes)-1], planned.Volumes[len(planned.Volumes)-1]; got.Source != want.Source || got.Target != want.Target || !got.ReadOnly || got.Type != "bind" {
			t.Errorf("mounts %+v, not %+v", got, want)
		}
		onlyKnownKeys(t, file(t, p, "compose.yaml"))
	})
}

func deref(s *string) string {
	if s == nil {
		return "nothing"
	}
	return *s
}

func load(t *testing.T, text []byte) *types.Project {
	t.Helper()
	loaded, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  "/somewhere",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: text}},
		Environment: types.Mapping{"HOME": "wrong", "X": "wrong", "API_TOKEN": "secret"},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return loaded
}

// nasty are values that some reader of YAML or of compose files takes for
// something else.
func nasty() []string {
	return []string{
		"$HOME", "$$", "$$$", "${X:-y}", "${X}", "$(id)", "a\nb", "a\r\nb", "\n", "\n\n a\n", "a\n", "a\tb", `"`, `'`, `\`, `\n`, `a"b'c\d`, "é", "日本語", "🎬", "\u00a0", "\u200b",
		" a", "a ", " ", "", "#", "a #b", "#a", ": ", "a: b", "a:", "- a", "-", "?", "? a", "*a", "&a", "!a", "!!int 1", "|", ">", "%", "@", "`", "[", "]", "{", "}", "{a: b}", "[1]", ",",
		"1", "010", "0x1f", "0o7", "1e3", "1.0", "+1", "-1", "1_000", ".5", ".inf", "-.Inf", ".nan", "12:30", "1:2:3", "yes", "no", "on", "off", "y", "n", "true", "False", "null", "~", "NULL", "Null",
		"2026-01-01", "2026-01-01T00:00:00Z", "<<", "=", "---", "...", "%YAML 1.2", "a\u2028b", strings.Repeat("x", 5000), strings.Repeat("x y ", 1000), "\u007f", "\ufeff", "x-y", "/", "~/x", "C:\\x",
	}
}
