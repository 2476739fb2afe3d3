package generate_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

var update = flag.Bool("update", false, "write the golden files")

// builtins are the built-in nodes that the tests use.
func builtins() []pipeline.Builtin {
	output := func(kind string) []pipeline.BuiltinPort { return []pipeline.BuiltinPort{{Name: "output", Kind: kind}} }
	input := []pipeline.BuiltinPort{{Name: "input"}}
	return []pipeline.Builtin{
		{Name: "AudioFileSource", Outputs: output("audio"), Params: []pipeline.ParamSpec{
			{Name: "path", Type: pipeline.ParamPath, Required: true}, {Name: "frame_ms", Type: pipeline.ParamNumber, Default: 20.0},
		}},
		{Name: "TestPatternSource", Outputs: output("video"), Params: []pipeline.ParamSpec{
			{Name: "width", Type: pipeline.ParamInteger, Default: 1280}, {Name: "height", Type: pipeline.ParamInteger, Default: 720},
			{Name: "frames", Type: pipeline.ParamInteger, Default: 0},
		}},
		{Name: "TextFileSink", Inputs: input, Params: []pipeline.ParamSpec{{Name: "path", Type: pipeline.ParamPath, Required: true}}},
		{Name: "NullSink", Inputs: input},
		{Name: "Passthrough", Inputs: input, Outputs: []pipeline.BuiltinPort{{Name: "output"}}},
	}
}

func sdk() fs.FS {
	return fstest.MapFS{
		"__init__.py":                      {Data: []byte("class Node: pass\n")},
		"__main__.py":                      {Data: []byte("print('hello')\n")},
		"__pycache__/__init__.cpython.pyc": {Data: []byte("no")},
	}
}

func attached() generate.Host {
	return generate.Host{UID: 1001, GID: 1001, CPUs: 8, Memory: 16 << 30, Arch: "amd64", Dir: "/dev/shm/medianode-1001/test", Base: "/home/someone/project"}
}

func portable() generate.Host { return generate.Host{Arch: "amd64", Form: generate.Portable} }

// resolve parses and resolves a text with the files of a directory.
func resolve(t testing.TB, text string, host generate.Host, source fs.FS) (*generate.Plan, error) {
	t.Helper()
	spec, err := pipeline.Parse("pipeline.yaml", []byte(text), builtins())
	if err != nil {
		t.Fatal(err)
	}
	return generate.Resolve(spec, "test", host, source, sdk())
}

func must(t testing.TB, text string, host generate.Host, source fs.FS) *generate.Plan {
	t.Helper()
	p, err := resolve(t, text, host, source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func file(t testing.TB, p *generate.Plan, name string) []byte {
	t.Helper()
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Path == name {
			return f.Data
		}
	}
	t.Fatalf("no file %s", name)
	return nil
}

func cases(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*/pipeline.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases: ", err)
	}
	for i, f := range files {
		files[i] = filepath.Dir(f)
	}
	return files
}

func text(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (write it with -update):\n%s", name, got)
	}
}

func TestGolden(t *testing.T) {
	for _, dir := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			p := must(t, text(t, dir), attached(), os.DirFS(dir))
			golden(t, filepath.Join(dir, "want", "plan.txt"), []byte(p.String()))
			golden(t, filepath.Join(dir, "want", "compose.yaml"), file(t, p, "compose.yaml"))
			golden(t, filepath.Join(dir, "want", "portable.yaml"), file(t, must(t, text(t, dir), portable(), os.DirFS(dir)), "compose.yaml"))
			for _, img := range p.Images {
				golden(t, filepath.Join(dir, "want", img.Node+".Dockerfile"), img.Dockerfile)
				lint(t, img)
			}
		})
	}
}

// lint asks BuildKit's own linter.
func lint(t *testing.T, img generate.Image) {
	t.Helper()
	found, err := image.Check(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("%s: %s: %s", img.Node, f.Rule, f.Text)
	}
}

// TestComposeLoads holds that what is loaded is what was planned: every value
// survives quoting and interpolation.
func TestComposeLoads(t *testing.T) {
	for _, dir := range cases(t) {
		for _, host := range []generate.Host{attached(), portable()} {
			t.Run(filepath.Base(dir)+"/"+host.Form.String(), func(t *testing.T) {
				p := must(t, text(t, dir), host, os.DirFS(dir))
				loaded, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
					WorkingDir:  "/somewhere",
					ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: file(t, p, "compose.yaml")}},
					Environment: types.Mapping{"API_TOKEN": "secret$x", "HOME": "wrong", "NAME": "wrong"},
				})
				if err != nil {
					t.Fatal(err)
				}
				for name, planned := range p.Project().Services {
					for variable, want := range planned.Environment {
						got := loaded.Services[name].Environment[variable]
						switch {
						case got == nil:
							t.Errorf("%s: %s is unset", name, variable)
						case want == nil && *got != "secret$x":
							t.Errorf("%s: %s is %q, want the caller's", name, variable, *got)
						case want != nil && *got != *want:
							t.Errorf("%s: %s is %q, want %q", name, variable, *got, *want)
						}
					}
				}
			})
		}
	}
}

func TestDockerComposeAcceptsIt(t *testing.T) {
	if out, err := exec.Command("docker", "compose", "version").CombinedOutput(); err != nil {
		t.Skipf("no compose plugin: %s", out)
	}
	for _, dir := range cases(t) {
		for _, name := range []string{"compose.yaml", "portable.yaml"} {
			t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
				c := exec.Command("docker", "compose", "-f", filepath.Join(dir, "want", name), "config", "--quiet")
				c.Env = append(os.Environ(), "API_TOKEN=x")
				if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
	}
}

func TestSameBytesEveryTime(t *testing.T) {
	runs := 1000
	if testing.Short() {
		runs = 20
	}
	for _, dir := range []string{"testdata/captions", "testdata/fanout"} {
		pipelineText, source := text(t, dir), os.DirFS(dir)
		render := func() string {
			p := must(t, pipelineText, attached(), source)
			files, err := p.Files()
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			b.WriteString(p.String())
			for _, f := range files {
				b.WriteString(f.Path + f.Mode.String())
				b.Write(f.Data)
			}
			return b.String()
		}
		first := render()
		for range runs {
			if render() != first {
				t.Fatalf("%s: differs from run to run", dir)
			}
		}
	}
}

func diagnostics(t *testing.T, err error) string {
	t.Helper()
	var found pipeline.Diagnostics
	if !errors.As(err, &found) {
		t.Fatalf("want diagnostics, got %v", err)
	}
	return found.Error()
}

func hints(t *testing.T, err error) string {
	t.Helper()
	var found pipeline.Diagnostics
	if !errors.As(err, &found) {
		t.Fatalf("want diagnostics, got %v", err)
	}
	var all []string
	for _, d := range found {
		all = append(all, d.Hint)
	}
	return strings.Join(all, "\n")
}
