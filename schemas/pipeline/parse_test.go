package pipeline_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func builtins() []pipeline.Builtin {
	str, num, integer := pipeline.ParamString, pipeline.ParamNumber, pipeline.ParamInteger
	port := func(name, kind string) []pipeline.BuiltinPort {
		return []pipeline.BuiltinPort{{Name: name, Kind: kind}}
	}
	one := 1.0
	path := pipeline.ParamSpec{Name: "path", Type: pipeline.ParamPath, Required: true}
	return []pipeline.Builtin{
		{Name: "AudioFileSource", Outputs: port("output", "audio"), Params: []pipeline.ParamSpec{
			path, {Name: "frame_ms", Type: num, Default: 20.0, Min: &one}, {Name: "paced", Type: pipeline.ParamBool, Default: false},
		}},
		{Name: "TextFileSource", Outputs: port("output", "text"), Params: []pipeline.ParamSpec{path}},
		{Name: "TextFileSink", Inputs: port("input", "text"), Params: []pipeline.ParamSpec{path}},
		{Name: "JSONLinesSink", Inputs: port("input", ""), Params: []pipeline.ParamSpec{
			{Name: "path", Type: pipeline.ParamPath, Required: true}, {Name: "envelope", Type: pipeline.ParamBool, Default: false},
		}},
		{Name: "StdoutSink", Inputs: port("input", "any")},
		{Name: "NullSink", Inputs: port("input", "any")},
		{Name: "TestPatternSource", Outputs: port("output", "video"), Params: []pipeline.ParamSpec{
			{Name: "width", Type: integer, Default: int64(320), Min: &one}, {Name: "height", Type: integer, Default: int64(240), Min: &one},
			{Name: "fps", Type: num, Default: 25.0}, {Name: "frames", Type: integer, Default: int64(100)},
			{Name: "format", Type: str, Default: "rgb24", Choices: []string{"rgb24", "bgr24", "gray8"}},
		}},
	}
}

func parse(t *testing.T, text string) *pipeline.Spec {
	t.Helper()
	spec, err := pipeline.Parse("pipeline.yaml", []byte(text), builtins())
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func cases(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		if out[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestOK(t *testing.T) {
	for file, src := range cases(t, "ok") {
		spec, err := pipeline.Parse(file, src, builtins())
		if err != nil {
			t.Errorf("%v", err)
		} else if len(spec.Warnings) > 0 {
			t.Errorf("%v", spec.Warnings)
		}
	}
}

// A file whose name begins with warn- parses; its warnings are the golden text.
func TestErr(t *testing.T) {
	for file, src := range cases(t, "err") {
		name := filepath.Base(file)
		spec, err := pipeline.Parse(name, src, builtins())
		found, ok := pipeline.AsDiagnostics(err)
		if spec != nil {
			found, ok = spec.Warnings, true
		}
		if !ok || len(found) == 0 || (err == nil) != strings.HasPrefix(name, "warn-") {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		var got bytes.Buffer
		if err := found.Format(&got, src, false); err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(file, ".yaml") + ".out"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s: %v\n got:\n%s\nwant:\n%s", name, err, got.String(), want)
		}
	}
}

func TestErrorsAs(t *testing.T) {
	_, err := pipeline.Parse("p.yaml", []byte("version: v2\nnodes: 1\n"), nil)
	var one *pipeline.Diagnostic
	if !errors.As(err, &one) || one.Pos != (pipeline.Pos{Line: 1, Col: 10}) || one.Path != "version" {
		t.Errorf("got %+v of %v", one, err)
	}
	if all, ok := pipeline.AsDiagnostics(err); !ok || len(all) != 2 || len(all.Unwrap()) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestColor(t *testing.T) {
	_, err := pipeline.Parse("p.yaml", []byte("version: v2\nnodes: 1\n"), nil)
	all, _ := pipeline.AsDiagnostics(err)
	var b bytes.Buffer
	if err := all.Format(&b, []byte("version: v2"), true); err != nil || !strings.Contains(b.String(), "\x1b[32m^~\x1b[0m") {
		t.Errorf("%v: %q", err, b.String())
	}
}

func unprintable(r rune) bool {
	return r != '\n' && !unicode.IsPrint(r) && r != unicode.ReplacementChar
}
