package origin_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/schemas/origin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

var update = flag.Bool("update", false, "write what comes out into testdata")

func builtins() []pipeline.Builtin {
	path := []pipeline.ParamSpec{{Name: "path", Type: pipeline.ParamPath, Required: true}}
	return []pipeline.Builtin{
		{Name: "TextFileSource", Outputs: []pipeline.BuiltinPort{{Name: "output"}}, Params: path},
		{Name: "TextFileSink", Inputs: []pipeline.BuiltinPort{{Name: "input"}}, Params: path},
	}
}

func convert(src []byte) ([]byte, []origin.Change, error) {
	return origin.Convert(src, []string{"TextFileSource", "TextFileSink"})
}

// What comes out is a pipeline, and every change is named.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".out") {
			continue
		}
		tested++
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out, changes, err := convert(src)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pipeline.Parse("out", out, builtins()); err != nil {
				t.Errorf("what comes out is no pipeline: %v", err)
			}
			again, more, err := convert(out)
			if err != nil || string(again) != string(out) {
				t.Errorf("what was converted changes again: %v\n%s", err, again)
			}
			for _, c := range more {
				if !c.ToDo {
					t.Errorf("changed again: %s", c)
				}
			}
			var b strings.Builder
			b.Write(out)
			b.WriteString("--- changes\n")
			for _, c := range changes {
				fmt.Fprintln(&b, c)
			}
			golden := file + ".out"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("%s:\n%s\nwant:\n%s", file, b.String(), want)
			}
		})
	}
	if tested == 0 {
		t.Error("nothing was tested")
	}
}

func TestRefused(t *testing.T) {
	for name, src := range map[string]string{
		"empty": "", "text": "hello", "list": "- a", "no nodes": "version: v1", "nodes no list": "nodes: {a: b}", "two": "nodes: []\n---\nnodes: []\n",
		"no yaml": "nodes: [", "too large": "nodes: []\n" + strings.Repeat("# x\n", 300_000), "null": "null", "comment": "# only\n",
	} {
		if out, _, err := convert([]byte(src)); err == nil {
			t.Errorf("%s became\n%s", name, out)
		}
	}
}

// Whatever the text, it is converted or refused.
func FuzzConvert(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"nodes: [{}]", "nodes: [&a {id: x, docker: *a}]", "nodes: [{id: [], node_type: {}, params: 1, docker: [1], metadata: 2}]", "nodes: [1, null]\nconnections: {}",
		"nodes: []\nconnections: [1, {from: [], to: {}, field_mapping: 3}]", "nodes: [{docker: {volumes: [1, {}], env: 1, gpu_devices: {a: b}, python_packages: {}}, node_type: .}]",
		"nodes: [{node_type: ':'}]", "? [a]\n: b\nnodes: []\nmetadata: [1]\nname: {}\n", "<<: {a: b}\nnodes: []", "&a nodes: []\nx: *a",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, src []byte) {
		if out, _, err := convert(src); err == nil {
			_, _, _ = convert(out)
		}
	})
}
